"""Readers of the node shapes whose name is not simply in a `name` field.

Each takes a node and the text, and gives the things it names as (heading, name, node that holds the body).
"""

import re
from collections.abc import Callable, Iterator

from tree_sitter import Node

Named = tuple[str, str, Node]

_FUNCTIONS = frozenset({"arrow_function", "function_expression", "function", "generator_function"})
_EXPORTED = re.compile(
    r"(?:module\.)?exports(?:\.([\w$]+))?$|[\w$.]+?\.prototype\.([\w$]+)$|([\w$]+(?:\.[\w$]+){1,3})$"
)


_REQUIRE = re.compile(r"""require\(['"]([^'"]+)['"]\)""")
_NO_NAMES = frozenset(
    {
        "bool",
        "char",
        "const",
        "double",
        "float",
        "for",
        "if",
        "int",
        "long",
        "short",
        "signed",
        "static",
        "struct",
        "unsigned",
        "void",
        "while",
    }
)


def slice_of(node: Node | None, data: bytes, most: int = 120) -> str:
    """The node's text on one line, cut at `most` bytes."""
    if node is None:
        return ""
    raw = data[node.start_byte : min(node.end_byte, node.start_byte + most)]
    return " ".join(raw.decode("utf-8", "replace").split())


def _field(node: Node, name: str) -> Node | None:
    return node.child_by_field_name(name)


def declarator(node: Node, data: bytes) -> Iterator[Named]:
    """A C or C++ declaration or definition: functions and prototypes; plain variables are left out."""
    inner, is_function = _declared(_field(node, "declarator"))
    name = slice_of(inner, data)
    if name and name not in _NO_NAMES and is_function and not slice_of(node, data, 8).startswith("static "):
        yield "Functions", name, node
    elif not is_function and node.type == "declaration":
        described = _field(node, "type")
        if described is not None and _field(described, "body") is not None:
            heading = {"class_specifier": "Classes", "enum_specifier": "Enums"}.get(described.type, "Structs")
            yield heading, slice_of(_field(described, "name"), data) or name, described


def _declared(node: Node | None) -> tuple[Node | None, bool]:
    """The innermost name of a declarator, and whether it declares a function."""
    is_function = False
    for _ in range(16):  # `int *(*f(void))[3]` nests four; more than 16 is no C
        if node is None:
            return None, False
        is_function = is_function or node.type == "function_declarator"
        inner = _field(node, "declarator")
        if inner is None and node.type in {"parenthesized_declarator", "reference_declarator"}:
            inner = node.named_child(0) if node.named_child_count else None
        if inner is None:
            return node, is_function
        node = inner
    return None, False


def typedef(node: Node, data: bytes) -> Iterator[Named]:
    """A C typedef, under the heading of what it renames."""
    inner, _ = _declared(_field(node, "declarator"))
    described = _field(node, "type")
    kind = described.type if described is not None else ""
    heading = {"struct_specifier": "Structs", "enum_specifier": "Enums"}.get(kind, "Types")
    yield heading, slice_of(inner, data), described or node


def define(node: Node, data: bytes) -> Iterator[Named]:
    """A C macro with a value; include guards have none."""
    name = slice_of(_field(node, "name"), data)
    if _field(node, "value") is not None and not name.endswith(("_H", "_H_", "_H__", "_INCLUDED", "_HPP", "_TCC")):
        yield "Constants", name, node


def variables(node: Node, data: bytes) -> Iterator[Named]:
    """`const f = () => …` names a function, `const C = class …` a class, all else a constant."""
    for child in node.named_children[:50]:
        name, value = _field(child, "name"), _field(child, "value")
        if child.type != "variable_declarator" or name is None or name.type != "identifier":
            continue
        kind = value.type if value is not None else ""
        required_ = _REQUIRE.match(slice_of(value, data)) if kind == "call_expression" else None
        if required_ is not None:
            yield "Imports", required_[1], child
            continue
        heading = "Functions" if kind in _FUNCTIONS else "Classes" if kind == "class" else "Constants"
        yield heading, slice_of(name, data), value or child


def exports(node: Node, data: bytes) -> Iterator[Named]:
    """`exports.x = …`, `module.exports = {…}` and `A.prototype.m = function …` of CommonJS."""
    left, right = _field(node, "left"), _field(node, "right")
    found = _EXPORTED.match(slice_of(left, data))
    if found is None or right is None:
        return
    name = found[1] or found[2] or found[3]
    if right.type in _FUNCTIONS and name:
        yield ("Methods" if found[2] else "Functions"), name, right
    elif right.type == "class":
        yield "Classes", slice_of(_field(right, "name"), data) or name or "default", right
    elif right.type == "object" and not name:
        for entry in right.named_children[:60]:
            key = _field(entry, "key") or entry
            yield "Exports", slice_of(key, data, 60).split("(")[0], entry
    elif found[1]:
        yield "Exports", found[1], right


def inner(node: Node, data: bytes) -> Iterator[Named]:
    """A class expression that has a name."""
    yield "Classes", slice_of(_field(node, "name"), data), node


def assignment(node: Node, data: bytes) -> Iterator[Named]:
    """A module-level assignment to one plain name."""
    left = _field(node, "left")
    if left is not None and left.type in {"identifier", "constant"}:
        yield "Constants", slice_of(left, data), node


def alias(node: Node, data: bytes) -> Iterator[Named]:
    """Python's `type X = …`."""
    yield "Types", slice_of(_field(node, "left"), data).split("[")[0], node


def constant(node: Node, data: bytes) -> Iterator[Named]:
    """A constant whose name is in the `name` field."""
    yield "Constants", slice_of(_field(node, "name"), data), node


def first_name(node: Node, data: bytes) -> Iterator[Named]:
    """A constant whose first child is its name."""
    if node.named_child_count:
        yield "Constants", slice_of(node.named_child(0), data), node


def sourced(node: Node, data: bytes) -> Iterator[Named]:
    """A shell command that reads another script."""
    words = slice_of(node, data).split()
    if len(words) > 1 and words[0] in {"source", "."}:
        yield "Imports", words[1].strip("\"'"), node


def required(node: Node, data: bytes) -> Iterator[Named]:
    """Ruby's `require`."""
    words = slice_of(node, data).replace("(", " ").split()
    if len(words) > 1 and words[0] in {"require", "require_relative"}:
        yield "Imports", words[1].strip("\"')"), node


def go_type(node: Node, data: bytes) -> Iterator[Named]:
    """A Go type, under the heading of its underlying type."""
    described = _field(node, "type")
    kind = described.type if described is not None else ""
    heading = {"struct_type": "Structs", "interface_type": "Interfaces"}.get(kind, "Types")
    yield heading, slice_of(_field(node, "name"), data), node


def go_method(node: Node, data: bytes) -> Iterator[Named]:
    """A Go method, named `Type.Method`."""
    owner = re.sub(r"^\(\s*(?:\w+\s+)?\*?(\w+).*$", r"\1", slice_of(_field(node, "receiver"), data))
    yield "Methods", f"{owner}.{slice_of(_field(node, 'name'), data)}", node


def rust_impl(node: Node, data: bytes) -> Iterator[Named]:
    """The methods of a Rust `impl`, named `Type::method`; those of a trait's implementation are told by the trait."""
    body = _field(node, "body")
    if body is None or _field(node, "trait") is not None:
        return
    owner = slice_of(_field(node, "type"), data).split("<")[0]
    for child in body.named_children[:200]:
        if child.type == "function_item" and slice_of(child, data, 4).startswith("pub"):
            yield "Methods", f"{owner}::{slice_of(_field(child, 'name'), data)}", child


READERS: dict[str, Callable[[Node, bytes], Iterator[Named]]] = {
    reader.__name__: reader
    for reader in (
        declarator,
        typedef,
        define,
        variables,
        exports,
        inner,
        assignment,
        alias,
        constant,
        first_name,
        sourced,
        required,
        go_type,
        go_method,
        rust_impl,
    )
}
