"""The outline of a source file: what it defines, by syntax tree.

The walk keeps its own stack, so that nesting can't exhaust Python's, and stops after a bounded number of
nodes.
"""

import re
from typing import NamedTuple

from tree_sitter import Node

from .kinds import COMMENTS, KINDS, Kinds
from .languages import parse
from .names import READERS, Named, slice_of

_MAX_NODES = 20_000
_MAX_ENTITIES = 2_000
_DOC_BYTES = 1_500
_BODIES = ("body", "type")
_QUOTES = re.compile(r"^[rRuUbBfF]{0,3}(\"\"\"|'''|\"|')")
_BLANK_LINE = re.compile(rb"\n[ \t]*\r?\n")
_INDENT = re.compile(r"^([ \t]*)\S", re.MULTILINE)
_IMPORT_NAME = {
    "python": re.compile(r"^(?:from\s+([\w.]+)|import\s+([\w.]+))"),
    "javascript": re.compile(r"""['"]([^'"]+)['"]\s*;?\s*$"""),
    "go": re.compile(r'"([^"]+)"'),
    "c": re.compile(r'[<"]([^>"]+)[>"]'),
    "": re.compile(r"^(?:import|use|using|extern crate)\s+(?:static\s+)?([\w.:\\]+)"),
}
_IMPORT_FAMILY = {"typescript": "javascript", "tsx": "javascript", "cpp": "c"}


class Entity(NamedTuple):
    """Something a file defines.

    Attributes:
        heading: what it is, as a plural heading (`Classes`, `Functions`, …).
        doc: the raw beginning of its docstring or of the comment before it.
        parameters: its parameter list with the brackets, or empty.
        members: names of its methods.
        size: bytes of source.
        public: False for what the language's habits mark as private.
    """

    heading: str
    name: str
    doc: str = ""
    parameters: str = ""
    members: tuple[str, ...] = ()
    size: int = 0
    public: bool = True


class Outline(NamedTuple):
    """All that was found, in the order of the source."""

    entities: tuple[Entity, ...] = ()
    imports: tuple[str, ...] = ()


def outline(language: str, text: str, *, inside: bool = False) -> Outline | None:
    """What the text defines; None where there is no grammar for it or the text can't be parsed in bounds.

    With `inside` the text may begin in the middle of a class or function, as a later piece of a large file
    does.
    """
    if language == "python" and inside:
        text = _dressed(text)
    data = text.encode("utf-8", "replace")
    tree = parse(language, data)
    if tree is None:
        return None
    kinds = KINDS[language]
    found = _Walk(language, kinds, data).run(tree.root_node, kinds.wrappers)
    if kinds.deep and not any(entity.heading != "Constants" for entity in found.entities):
        deeper = _Walk(language, kinds, data).run(tree.root_node, kinds.wrappers | kinds.deep)
        found = deeper if deeper.entities else found
    return Outline(_gathered(found.entities), found.imports)


def _dressed(text: str) -> str:
    """Python that begins indented, under made-up headers, so that the parser sees its methods as methods."""
    levels: list[int] = []
    for found in _INDENT.finditer(text):
        width = len(found[1].expandtabs())
        if not levels or width < levels[-1]:
            levels.append(width)
        if width == 0 or len(levels) > 8:
            break
    lines: list[str] = []
    for width in reversed([level for level in levels if level]):
        lines.append(" " * _outer(levels, width) + ("class _:" if not lines else "def _():"))
    return "\n".join([*lines, text]) if lines else text


def _outer(levels: list[int], width: int) -> int:
    return max((level for level in levels if level < width), default=0)


class _Walk:
    """One walk over a tree: the entities and imports found so far and the comment that waits for its entity."""

    def __init__(self, language: str, kinds: Kinds, data: bytes) -> None:
        self.language = language
        self.kinds = kinds
        self.data = data
        self.entities: list[Entity] = []
        self.imports: dict[str, None] = {}
        self.comment = ""
        self.comment_end = 0

    def run(self, root: Node, wrappers: frozenset[str]) -> Outline:
        stack = [root]
        for _ in range(_MAX_NODES):
            if not stack or len(self.entities) > _MAX_ENTITIES:
                break
            node = stack.pop()
            kind = node.type
            if kind in COMMENTS:
                self._keep_comment(node)
            elif kind in self.kinds.quiet:
                self.comment_end = max(self.comment_end, node.end_byte)
            else:
                self._visit(node, kind)
                if node is root or kind in wrappers:
                    stack.extend(reversed(node.named_children[:_MAX_NODES]))
        return Outline(tuple(self.entities), tuple(self.imports))

    def _visit(self, node: Node, kind: str) -> None:
        if kind.endswith("_specifier") and node.child_by_field_name("body") is None:
            return  # C's forward declarations
        if kind in self.kinds.named:
            name = slice_of(node.child_by_field_name("name"), self.data)
            if name == "_":
                self._open(node)
            else:
                self._add(self.kinds.named[kind], name, node, node)
        elif kind in self.kinds.special:
            for heading, name, holder in READERS[self.kinds.special[kind]](node, self.data):
                self._take((heading, name, holder), node)
        elif kind in self.kinds.imports:
            self._import(node)

    def _open(self, node: Node) -> None:
        """The methods of a class whose header stands in an earlier piece of the file."""
        body = node.child_by_field_name("body")
        for child in body.named_children if body is not None else ():
            method = child.child_by_field_name("definition") or child
            if method.type in self.kinds.members:
                self._add("Methods", slice_of(method.child_by_field_name("name"), self.data), method, method)

    def _take(self, named: Named, node: Node) -> None:
        heading, name, holder = named
        if heading == "Imports":
            self.imports[name] = None
        else:
            self._add(heading, name, holder, node)

    def _import(self, node: Node) -> None:
        family = _IMPORT_FAMILY.get(self.language, self.language)
        pattern = _IMPORT_NAME.get(family, _IMPORT_NAME[""])
        for found in list(pattern.finditer(slice_of(node, self.data, 2_000)))[:50]:
            name = next((group for group in found.groups() if group), "")
            if name and name != "__future__":
                self.imports[name] = None

    def _keep_comment(self, node: Node) -> None:
        line = self.data.rfind(b"\n", 0, node.start_byte) + 1
        if self.data[line : node.start_byte].strip():
            return  # it trails code, so it is about that code
        gap = self.data[self.comment_end : node.start_byte]
        text = self.data[node.start_byte : min(node.end_byte, node.start_byte + _DOC_BYTES)].decode("utf-8", "replace")
        joined = bool(self.comment) and gap.count(b"\n") <= 1 and not gap.strip()
        self.comment = f"{self.comment}\n{text}"[:_DOC_BYTES] if joined else text
        self.comment_end = node.end_byte

    def _add(self, heading: str, name: str, holder: Node, node: Node) -> None:
        if not name or name == "_":
            return
        body = next((found for part in _BODIES if (found := holder.child_by_field_name(part)) is not None), None)
        self.entities.append(
            Entity(
                heading=heading,
                name=name,
                doc=self._doc(node, body),
                parameters=self._parameters(holder),
                members=self._members(body),
                size=node.end_byte - node.start_byte,
                public=self._public(name, node),
            )
        )

    def _doc(self, node: Node, body: Node | None) -> str:
        if self.kinds.docstrings:
            first = body.named_child(0) if body is not None and body.named_child_count else None
            if first is not None and first.type == "expression_statement" and first.named_child_count:
                first = first.named_child(0)
            if first is None or first.type != "string":
                return ""
            raw = self.data[first.start_byte : min(first.end_byte, first.start_byte + _DOC_BYTES)]
            text = raw.decode("utf-8", "replace")
            quotes = _QUOTES.match(text)
            return text[quotes.end() :].removesuffix(quotes[1]) if quotes else text
        gap = self.data[self.comment_end : node.start_byte]
        near = len(gap) < 200 and _BLANK_LINE.search(gap) is None  # `template <…>` may stand between
        comment, self.comment = (self.comment if near else ""), ""
        return comment

    def _parameters(self, holder: Node) -> str:
        found = holder.child_by_field_name("parameters")
        return slice_of(found, self.data, 200)

    def _members(self, body: Node | None) -> tuple[str, ...]:
        if body is None or not self.kinds.members:
            return ()
        names = []
        for child in body.named_children[:400]:
            if child.type not in self.kinds.members:
                continue
            inner = child.child_by_field_name("definition") or child
            if inner.type == "class_definition":
                continue
            name = inner.child_by_field_name("name")
            text = slice_of(name, self.data) if name is not None else self._declared(inner)
            if text and self._public(text, inner):
                names.append(text)
        return tuple(dict.fromkeys(names))

    def _declared(self, node: Node) -> str:
        return next(
            (name for heading, name, _ in READERS["declarator"](node, self.data) if heading == "Functions"),
            "",
        )

    def _public(self, name: str, node: Node) -> bool:
        if name.startswith("_") and self.language not in {"c", "cpp"}:
            return False
        if self.language == "go":
            return name.rpartition(".")[2][:1].isupper()
        if self.language == "rust":
            return "::" in name or slice_of(node, self.data, 4).startswith("pub") or node.type == "macro_definition"
        if self.language in {"java", "c-sharp", "php", "typescript", "tsx"}:
            return "private " not in slice_of(node, self.data, 60).split(name)[0]
        return not name.startswith("__")


def _gathered(entities: tuple[Entity, ...]) -> tuple[Entity, ...]:
    """Methods defined apart from their type (Go, Rust, C++) moved to it; the same name twice made one."""
    types = {entity.name for entity in entities if entity.heading not in {"Functions", "Methods", "Constants"}}
    moved: dict[str, list[str]] = {}
    kept: dict[tuple[str, str], Entity] = {}
    for entity in entities:
        owner, _, method = re.sub(r"::", ".", entity.name).rpartition(".")
        if entity.heading in {"Functions", "Methods"} and owner in types:
            if entity.public:
                moved.setdefault(owner, []).append(method)
            continue
        known = kept.get((entity.heading, entity.name))
        if known is None or (entity.doc and not known.doc):
            kept[entity.heading, entity.name] = entity
    return tuple(
        entity._replace(members=tuple(dict.fromkeys((*entity.members, *moved.get(entity.name, ())))))
        if entity.heading not in {"Functions", "Methods"}
        else entity
        for entity in kept.values()
    )
