"""What a file of data or configuration holds: its top-level names and its counts."""

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from .compose import Item, Listing, Sketch
from .languages import proper
from .leading import about_file
from .prose import summarise
from .sentences import clip, finish, plain

_MAX_CHARACTERS = 2_000_000
_KEPT = 12
_JSON_KEY = re.compile(r'^[ \t]{0,4}"([^"\n]{1,80})"[ \t]*:', re.MULTILINE)
_YAML_KEY = re.compile(r"^([A-Za-z_\"'/.][\w \"'/.-]{0,60}?):(?:[ \t]|$)", re.MULTILINE)
_TABLE = re.compile(r"^\[{1,2}([^\[\]\n]{1,80})\]{1,2}", re.MULTILINE)
_INI_KEY = re.compile(r"^([\w.-]{1,60})[ \t]*[=:]", re.MULTILINE)
_TOML_TEXT = re.compile(r'^(name|description|title)[ \t]*=[ \t]*"([^"\n]{1,300})"', re.MULTILINE)
_LOCKED = re.compile(r'^(?:name = "([^"]+)"|"?(@?[\w/.-]+)@[^\n]*:$|[ ]{4}([\w.-]+) \()', re.MULTILINE)
_REQUIRED = re.compile(r"^([A-Za-z][\w.-]*)", re.MULTILINE)
_ELEMENT = re.compile(r"<([A-Za-z][\w:.-]{0,60})")
_HTML_TITLE = re.compile(r"<title[^>]*>(.{1,300}?)</title>", re.DOTALL | re.IGNORECASE)
_HTML_HEADING = re.compile(r"<h[1-3][^>]*>(.{1,300}?)</h[1-3]>", re.DOTALL | re.IGNORECASE)
_HTML_HEAD = re.compile(r"<(head|script|style|nav)\b.*?</\1>", re.DOTALL | re.IGNORECASE)
_ENTITY = re.compile(r"&(?:[a-z]{2,8}|#\d{2,5});")


def describe(language: str, text: str) -> Sketch | None:
    """A sketch of a data file, or None where the language is not one of data."""
    describer = _DESCRIBERS.get(language)
    return describer(text[:_MAX_CHARACTERS]) if describer is not None else None


def _names(heading: str, names: Iterable[str]) -> tuple[Listing, ...]:
    unique = [name for name in dict.fromkeys(names) if name.strip()]
    items = tuple(Item(clip(name, 8)[:60]) for name in unique[:_KEPT])
    return (Listing(heading, items, max(0, len(unique) - _KEPT)),) if items else ()


def _number(count: int, noun: str) -> str:
    plural = noun[:-1] + "ies" if noun.endswith("ry") else noun + "s"
    return f"{count} {noun if count == 1 else plural}"


def _json(text: str) -> Sketch:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        keys = _JSON_KEY.findall(text)
        return Sketch((f"Part of a JSON document of {_number(len(keys), 'key')}.",), _names("Keys", keys))
    if isinstance(value, dict):
        return _json_object(value)
    if isinstance(value, list):
        keys = [key for entry in value[:100] if isinstance(entry, dict) for key in entry]
        return Sketch((f"A JSON list of {_number(len(value), 'entry')}.",), _names("Keys", keys))
    return Sketch((f"A JSON value: {clip(str(value), 12)}.",))


def _json_object(value: Mapping[str, Any]) -> Sketch:
    about = value.get("description") or value.get("title") or ""
    name = value.get("name") or value.get("$id") or ""
    scripts = value.get("scripts")
    lead = [f"A JSON object of {_number(len(value), 'key')}."]
    if isinstance(about, str) and about.strip():
        lead.insert(0, finish(clip(plain(about), 30)))
    elif isinstance(name, str) and name.strip():
        lead.insert(0, f"Describes `{clip(name, 6)[:80]}`.")
    listings = _names("Scripts", scripts) if isinstance(scripts, dict) else ()
    needed = value.get("dependencies")
    listings += _names("Dependencies", needed) if isinstance(needed, dict) else ()
    return Sketch(tuple(lead), listings or _names("Keys", value))


def _notebook(text: str) -> Sketch:
    try:
        cells = orjson.loads(text)["cells"]
        told = [(str(cell["cell_type"]), "".join(cell["source"])) for cell in cells]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return _json(text)
    kinds = Counter(kind for kind, _ in told)
    size = f"A notebook of {_number(kinds['code'], 'code cell')} and {_number(kinds['markdown'], 'text cell')}."
    prose = summarise("\n\n".join(source for kind, source in told if kind == "markdown"))
    return Sketch((*prose.lead[:2], size), prose.listings)


def _yaml(text: str) -> Sketch:
    keys = [key.strip("\"'") for key in _YAML_KEY.findall(text)]
    documents = len(re.findall(r"^---\s*$", text, re.MULTILINE))
    size = f"YAML of {_number(len(keys), 'top-level key')}{f' in {documents} documents' if documents > 1 else ''}."
    return Sketch((*about_file("yaml", text)[:2], size), _names("Keys", keys))


def _toml(text: str) -> Sketch:
    told = dict(reversed(_TOML_TEXT.findall(text)))
    about = told.get("description") or told.get("title")
    named = f"{told['name']}: {about}" if about and "name" in told else about
    lead = [f"{clip(named, 30).rstrip('.')}."] if named else []
    tables = _TABLE.findall(text)
    lead.extend(about_file("toml", text)[:1])
    return Sketch(
        (*lead, f"TOML of {_number(len(tables), 'table')}."),
        _names("Tables", tables or _INI_KEY.findall(text)),
    )


def _ini(text: str) -> Sketch:
    sections, keys = _TABLE.findall(text), _INI_KEY.findall(text)
    where = f" in {_number(len(sections), 'section')}" if sections else ""
    size = f"Configuration of {_number(len(keys), 'setting')}{where}."
    return Sketch(
        (*about_file("ini", text)[:2], size), _names("Sections" if sections else "Settings", sections or keys)
    )


def _csv(text: str) -> Sketch:
    head, _, rest = text.partition("\n")
    delimiter = max("\t,;|", key=head.count)
    try:
        columns = next(csv.reader([head[:5_000]], delimiter=delimiter), [])
    except csv.Error:
        columns = []
    rows = rest.count("\n") + (1 if rest.strip() and not rest.endswith("\n") else 0)
    size = f"A table of {_number(len(columns), 'column')} and {_number(rows, 'row')}."
    return Sketch((size,), _names("Columns", columns))


def _xml(text: str) -> Sketch:
    elements = Counter(_ELEMENT.findall(text))
    root = next(iter(elements), "")
    if root == "svg":
        return Sketch((f"An SVG image of {_number(sum(elements.values()), 'element')}.",))
    size = f"An XML document of {_number(sum(elements.values()), 'element')}{f' under {root}' if root else ''}."
    common = [name for name, _ in elements.most_common(8) if name != root]
    return Sketch((*about_file("xml", text)[:1], size), _names("Elements", common))


def _lock(text: str) -> Sketch:
    names = [next(filter(None, groups), "") for groups in _LOCKED.findall(text)]
    return Sketch((f"A lock file that pins {_number(len(set(names)), 'package')}.",), _names("Packages", names))


def _requirements(text: str) -> Sketch:
    names = _REQUIRED.findall(text)
    about = about_file("requirements", text)[:1]
    return Sketch((*about, f"Lists {_number(len(names), 'required package')}."), _names("Packages", names))


def _patterns(text: str) -> Sketch:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return Sketch((f"Lists {_number(len(lines), 'path pattern')}.",), _names("Patterns", lines))


def _html(text: str) -> Sketch:
    title = _HTML_TITLE.search(text)
    headings = [_unescaped(plain(found)) for found in _HTML_HEADING.findall(text)]
    body = summarise(_unescaped(_HTML_HEADING.sub("\n\n", _HTML_HEAD.sub("\n\n", text))))
    named = clip(_unescaped(plain(title[1])), 12) if title else ""
    lead = body.lead[:2] or ("HTML page.",)
    lead = (f"{named}: {lead[0]}" if named else lead[0], *lead[1:])
    return Sketch(lead, _names("Headings", headings))


def _unescaped(text: str) -> str:
    return " ".join(_ENTITY.sub(" ", text).split()) if "\n" not in text else _ENTITY.sub(" ", text)


_DESCRIBERS: dict[str, Callable[[str], Sketch]] = {
    "json": _json,
    "notebook": _notebook,
    "yaml": _yaml,
    "toml": _toml,
    "ini": _ini,
    "csv": _csv,
    "xml": _xml,
    "lock": _lock,
    "requirements": _requirements,
    "patterns": _patterns,
    "html": _html,
}


def fallback(language: str, text: str) -> Sketch:
    """What can be said of a text that neither defines nor tells anything."""
    lines = text.count("\n") + (0 if text.endswith("\n") else 1)
    kind = proper(language)
    return Sketch((f"{kind[0].upper()}{kind[1:]} file of {_number(lines, 'line')}.",))
