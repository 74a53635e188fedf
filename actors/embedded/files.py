"""A piece of a source file as a sketch: what it is for, then what it defines."""

import posixpath
import re
from collections.abc import Sequence

from ...protocols.chat import Document
from . import data, lines
from .compose import Item, Listing, Sketch
from .languages import detect, proper
from .leading import about_file, note, opening
from .outline import Entity, Outline, outline
from .prose import summarise

_PROSE = frozenset({"markdown", "rst", "text"})
_TEST_NAME = re.compile(r"^(?:test_(.+)|(.+?)[_.](?:tests?|spec)|(?:Test)([A-Z]\w+)|([A-Z]\w+?)Tests?)$")
_TEST_FOLDERS = frozenset({"test", "tests", "testing", "spec", "specs", "__tests__", "testdata"})
_TEST_CASES = re.compile(
    r"^[ \t]*(?:(?:async )?def (test\w*)|func (Test\w+)|(?:it|test)(?:\.\w+)?\(|#\[(?:\w+::)?test\b"
    r"|@Test\b|\[(?:Test|Fact|Theory)\b"
    r"|public function test)",
    re.MULTILINE,
)
_DESCRIBED = re.compile(r"""^[ \t]{0,4}describe(?:\.\w+)?\(\s*['"`]([^'"`\n]{2,80})""", re.MULTILINE)
_ALL = re.compile(r"^__all__\s*(?:\+?=|:[^=\n]*=)\s*[\[(]([^\])]{0,8000})", re.MULTILINE)
_LICENCES = (
    ("Apache License", "Apache License"),
    ("GNU AFFERO", "GNU Affero General Public License"),
    ("GNU LESSER", "GNU Lesser General Public License"),
    ("GNU GENERAL PUBLIC", "GNU General Public License"),
    ("Mozilla Public License", "Mozilla Public License"),
    ("Permission is hereby granted, free of charge", "MIT licence"),
    ("Permission to use, copy, modify, and", "ISC licence"),
    ("Redistribution and use in source and binary", "BSD licence"),
)
_LICENCE_NAME = re.compile(r"^(?:licen[sc]e|copying|notice|unlicense)\b", re.IGNORECASE)
_ORDER = (
    "Classes",
    "Records",
    "Structs",
    "Interfaces",
    "Traits",
    "Enums",
    "Functions",
    "Methods",
    "Macros",
    "Types",
    "Modules",
    "Exports",
    "Constants",
)
_MOST = 40


def is_test(name: str) -> bool:
    """True where a path says that it holds tests."""
    folders, base = posixpath.split(name.rstrip("/"))
    stem = base.split(".")[0] if not re.search(r"\.(?:test|spec)\.", base) else base.rpartition(".")[0]
    below = {folder.lower() for folder in folders.split("/")}
    return bool(_TEST_NAME.match(stem)) or stem == "conftest" or bool(below & _TEST_FOLDERS)


def sketch(document: Document) -> Sketch:
    """All there is to tell about one piece of a source file."""
    text, name = document.text, document.name
    base = posixpath.basename(name)
    if not text.strip():
        return Sketch(("Empty file.",))
    if _LICENCE_NAME.match(base):
        return _licence(text)
    language = detect(name, text)
    if language in _PROSE:
        found = summarise(text, whole=document.first_line <= 1)
        return found if found.lead or found.listings else data.fallback(language, text)
    described = data.describe(language, text)
    if described is not None:
        return described
    return _code(document, language)


def _licence(text: str) -> Sketch:
    named = next((name for mark, name in _LICENCES if mark.lower() in text[:20_000].lower()), "")
    return Sketch((f"Text of the {named}.",)) if named else Sketch(("Licence text.",))


def _code(document: Document, language: str) -> Sketch:
    text, inside = document.text, document.first_line > 1
    found = outline(language, text, inside=inside)
    if found is None or not (found.entities or found.imports):
        found = lines.outline(language, text)
    about = () if inside else about_file(language, text)
    if is_test(document.name):
        return _tests(document.name, text, about, found)
    if not about and not inside:
        about, found = _about_only(document, found)
    listings = _listings(found.entities, _exported(language, text))
    if found.imports and not inside:
        listings = (*listings, Listing("Imports", _imported(found.imports), max(0, len(found.imports) - 6)))
    if not listings and not about:
        return data.fallback(language, text)
    if not about and not inside and all(listing.heading == "Imports" for listing in listings):
        about = (_script(document, language, found),)
    return Sketch(about, listings)


def _exported(language: str, text: str) -> frozenset[str]:
    found = _ALL.search(text) if language == "python" and "__all__" in text else None
    return frozenset(re.findall(r"['\"](\w+)['\"]", found[1])) if found else frozenset()


def _imported(imports: Sequence[str]) -> tuple[Item, ...]:
    # What stands near says more about a file than the standard modules that every file needs.
    dull = {
        "os",
        "sys",
        "re",
        "typing",
        "time",
        "io",
        "math",
        "string.h",
        "stdlib.h",
        "stdio.h",
        "fmt",
        "collections",
    }
    ranked = sorted(dict.fromkeys(imports), key=lambda name: (name in dull, imports.index(name)))
    return tuple(Item(name) for name in ranked[:6])


def _about_only(document: Document, found: Outline) -> tuple[tuple[str, ...], Outline]:
    """What the one class or function of a file says of itself, for a file that says nothing."""
    named = [one for one in found.entities if one.public and one.heading not in {"Constants", "Methods", "Exports"}]
    alone = len(named) == 1 and bool(named[0].doc) and not posixpath.basename(document.name).startswith("__init__")
    about = opening(named[0].doc)[:1] if alone and named[0].size * 3 > len(document.text) else ()
    if not about:
        return (), found
    rest = tuple(one._replace(doc="") if one is named[0] else one for one in found.entities)
    return about, found._replace(entities=rest)


def _script(document: Document, language: str, found: Outline) -> str:
    near = [name for name in found.imports if name.startswith(".")]
    if posixpath.basename(document.name) == "__init__.py" and near:
        return f"Re-exports names of {', '.join(f'`{name}`' for name in near[:5])}."
    size = document.text.count("\n") + 1
    return f"{proper(language)} script of {size} lines." if size > 1 else f"One line of {proper(language)}."


def _listings(entities: Sequence[Entity], exported: frozenset[str]) -> tuple[Listing, ...]:
    telling = [entity for entity in entities if entity.public or entity.name in exported] or list(entities)
    groups: dict[str, list[Entity]] = {}
    for entity in telling:
        groups.setdefault(entity.heading, []).append(entity)
    if any(heading != "Constants" for heading in groups):
        constants = groups.get("Constants", [])
        groups["Constants"] = [one for one in constants if one.name in exported or one.name.isupper()]
    elsewhere = {one.name for heading, group in groups.items() if heading != "Exports" for one in group}
    groups["Exports"] = [one for one in groups.get("Exports", []) if one.name not in elsewhere]
    order = sorted(groups, key=lambda heading: _ORDER.index(heading) if heading in _ORDER else len(_ORDER))
    return tuple(_listing(heading, groups[heading], exported) for heading in order if groups[heading])


def _listing(heading: str, group: Sequence[Entity], exported: frozenset[str]) -> Listing:
    """The group's items, those first that the file exports, documents and spends most lines on."""
    ranked = sorted(group, key=lambda one: (one.name not in exported, not one.doc, -one.size))
    kept = ranked[:_MOST]
    alone = len(group) <= 3
    items = []
    for place, entity in enumerate(kept):
        told = _note(entity, with_members=alone) if place < 14 else ""
        plain_function = entity.heading in {"Functions", "Methods"} and not told
        name = entity.name + _signature(entity.parameters) if plain_function and len(group) <= 8 else entity.name
        items.append(Item(name, told))
    return Listing(heading, tuple(items), len(group) - len(kept))


def _note(entity: Entity, *, with_members: bool) -> str:
    if entity.heading in {"Constants", "Exports", "Modules"}:
        return ""
    told = note(entity.doc) if entity.doc else ""
    # Go's habit of starting with the name, and C extensions' of starting with the signature.
    told = re.sub(
        rf"^{re.escape(entity.name)}(?:\s*\([^()]*\)(?:\s*(?:->|--)\s*\S*)?)?\s*(?:is\s+)?",
        "",
        told,
        flags=re.IGNORECASE,
    )
    if not entity.members or not with_members or told:
        return told
    names = [name for name in entity.members if name not in {"constructor", "__construct", "initialize"}]
    return f"methods {', '.join(names[:4])}{' and more' if len(names) > 4 else ''}" if names else ""


def _signature(parameters: str) -> str:
    """A parameter list short enough for a heading, without types, defaults and `self`."""
    inner = parameters.strip().removeprefix("(").removesuffix(")")
    if len(parameters) > 150 or any(mark in inner for mark in "({[<"):
        return "()"
    names = [re.split(r"[:=]", part)[0].strip() for part in inner.split(",")]
    names = [name.split()[-1] if name.split() else "" for name in names]
    shown = [name for name in names if name and name not in {"self", "cls", "/", "*", "this"}]
    return f"({', '.join(shown[:4])}{', …' if len(shown) > 4 else ''})"


def _tests(name: str, text: str, about: tuple[str, ...], found: Outline) -> Sketch:
    base = posixpath.basename(name)
    matched = _TEST_NAME.match(base.rpartition(".")[0])
    subject = next((group for group in matched.groups() if group), "") if matched else ""
    cases = sum(1 for _ in _TEST_CASES.finditer(text))
    size = f"{cases} test {'case' if cases == 1 else 'cases'}" if cases else ""
    # A test file's first comment is as often an aside as a purpose.
    lead = [one for one in about[:1] if "test" in one.lower() or (subject and subject.lower() in one.lower())]
    if not lead and subject:
        lead.append(f"Tests of `{subject}`{f': {size}' if size else ''}.")
    elif not lead:
        lead.append(f"Test file of {size}." if size else "Test support.")
    elif size:
        lead.append(f"{size}.")
    described = _DESCRIBED.findall(text)
    classes = [entity for entity in found.entities if entity.heading == "Classes" and entity.public]
    functions = [entity for entity in found.entities if entity.heading == "Functions" and entity.public]
    shown = [Item(clean) for clean in dict.fromkeys(one.strip() for one in described)] or [
        Item(entity.name, note(entity.doc, 10) if entity.doc else "") for entity in classes or functions
    ]
    heading = "Suites" if described else "Test classes" if classes else "Test functions" if cases else "Functions"
    return Sketch(tuple(lead), (Listing(heading, tuple(shown[:_MOST]), max(0, len(shown) - _MOST)),) if shown else ())
