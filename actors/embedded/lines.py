"""Outlines by line patterns: for languages without a grammar here, and for texts whose parsing was given up."""

import re

from .outline import Entity, Outline

_WORD = r"([A-Za-z_$][\w$]*)"
_MODIFIERS = (
    r"(?:(?:export|default|public|protected|internal|open|override|sealed|data|abstract|final|static"
    r"|async|pub(?:\([\w ]+\))?|"
    r"inline|suspend|case|partial|unsafe|extern|const|local|virtual|private|fileprivate)\s+)*"
)


def _table(**rows: str) -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((heading, re.compile(pattern, re.MULTILINE)) for heading, pattern in rows.items())


_GENERIC = _table(
    Classes=rf"^[ \t]{{0,4}}{_MODIFIERS}(?:class|object|actor)[ \t]+{_WORD}",
    Interfaces=rf"^[ \t]{{0,4}}{_MODIFIERS}(?:interface|protocol)[ \t]+{_WORD}",
    Structs=rf"^[ \t]{{0,4}}{_MODIFIERS}struct[ \t]+{_WORD}",
    Enums=rf"^[ \t]{{0,4}}{_MODIFIERS}enum(?:[ \t]+class)?[ \t]+{_WORD}",
    Traits=rf"^[ \t]{{0,4}}{_MODIFIERS}(?:trait|mixin|extension)[ \t]+{_WORD}",
    Functions=rf"^[ \t]{{0,4}}{_MODIFIERS}(?:def|function|func|fun|fn|sub|proc|method)[ \t]+"
    rf"(?:\([^()\n]{{0,60}}\)[ \t]*)?{_WORD}",
)
_TABLES = {
    "bash": _table(Functions=r"^[ \t]*(?:function[ \t]+)?([\w:-]+)[ \t]*\(\)", Sourced=r"^(?:source|\.)[ \t]+(\S+)"),
    "lua": _table(Functions=r"^[ \t]*(?:local[ \t]+)?function[ \t]+([\w.:]+)"),
    "perl": _table(Packages=r"^package[ \t]+([\w:]+)", Functions=r"^sub[ \t]+(\w+)"),
    "elixir": _table(Modules=r"^[ \t]*defmodule[ \t]+([\w.]+)", Functions=r"^[ \t]*def(?:macro)?[ \t]+(\w+[?!]?)"),
    "haskell": _table(
        Types=r"^(?:data|newtype|type|class)[ \t]+(?:[^=\n]*=>[ \t]*)?(\w+)",
        Functions=r"^([a-z][\w']*)[ \t]*::",
    ),
    "julia": _table(Types=r"^(?:mutable )?struct[ \t]+(\w+)", Functions=r"^(?:function|macro)[ \t]+([\w.!]+)"),
    "r": _table(Functions=r"^([\w.]+)[ \t]*(?:<-|=)[ \t]*function\b"),
    "sql": _table(
        Tables=r"(?i)^[ \t]*create[ \t]+(?:temp\w*[ \t]+)?table[ \t]+(?:if not exists[ \t]+)?[\"`\[]?([\w.]+)",
        Views=r"(?i)^[ \t]*create[ \t]+(?:or replace[ \t]+)?(?:materialized[ \t]+)?view[ \t]+[\"`\[]?([\w.]+)",
        Functions=r"(?i)^[ \t]*create[ \t]+(?:or replace[ \t]+)?(?:function|procedure|trigger)[ \t]+[\"`\[]?([\w.]+)",
    ),
    "makefile": _table(Targets=r"^([A-Za-z][\w./-]*)[ \t]*:(?!=)"),
    "cmake": _table(
        Projects=r"(?i)^\s*project\s*\(\s*([\w.+-]+)",
        Targets=r"(?i)^\s*add_(?:executable|library)\s*\(\s*([\w.+:-]+)",
    ),
    "protobuf": _table(
        Services=r"^service[ \t]+(\w+)",
        Messages=r"^message[ \t]+(\w+)",
        Enums=r"^enum[ \t]+(\w+)",
        Calls=r"^[ \t]+rpc[ \t]+(\w+)",
    ),
    "terraform": _table(
        Resources=r'^resource[ \t]+"[\w-]+"[ \t]+"([\w-]+)"',
        Variables=r'^variable[ \t]+"([\w-]+)"',
        Modules=r'^module[ \t]+"([\w-]+)"',
    ),
    "css": _table(Selectors=r"^[ \t]*([.#]?[A-Za-z][\w-]*)[^{};\n]{0,200}\{"),
    "assembly": _table(Symbols=r"^[ \t]*\.?(?:globl|global)[ \t]+(\w+)"),
    "starlark": _table(Functions=r"^def[ \t]+(\w+)", Targets=r'^[ \t]+name[ \t]*=[ \t]*"([\w.-]+)"'),
    "powershell": _table(Functions=r"(?i)^function[ \t]+([\w-]+)"),
    "nim": _table(
        Types=r"^[ \t]{2}(\w+)\*?[ \t]*=[ \t]*(?:ref[ \t]+)?object",
        Functions=r"^(?:proc|func|template|macro)[ \t]+(\w+)",
    ),
    "patch": _table(Files=r"^\+\+\+ (?:b/)?(\S+)"),
    "dockerfile": _table(
        Images=r"(?i)^FROM[ \t]+(\S+)",
        Ports=r"(?i)^EXPOSE[ \t]+(.+)",
        Commands=r"(?i)^(?:CMD|ENTRYPOINT)[ \t]+(.+)",
    ),
    "gomod": _table(Modules=r"^module[ \t]+(\S+)", Requires=r"^(?:require)?[ \t]+([\w.-]+\.[\w./-]+)[ \t]+v"),
}
_OTHERS = frozenset(
    {
        "c",
        "c-sharp",
        "cpp",
        "dart",
        "go",
        "java",
        "javascript",
        "kotlin",
        "php",
        "python",
        "ruby",
        "rust",
        "scala",
        "swift",
        "tsx",
        "typescript",
        "vue",
        "zig",
    }
)
_MOST = 400
_LINE = 300  # no definition's name stands further right, and the patterns are quadratic in a line


def knows(language: str) -> bool:
    """True where line patterns tell something about the language."""
    return language in _TABLES or language in _OTHERS


def outline(language: str, text: str) -> Outline:
    """What the lines of the text define, heading by heading."""
    entities: dict[tuple[str, str], Entity] = {}
    text = "\n".join(line[:_LINE] for line in text.split("\n"))
    for heading, pattern in _TABLES.get(language, _GENERIC):
        for number, found in enumerate(pattern.finditer(text)):
            if number > _MOST:
                break
            name = " ".join(found[1].split())[:80]
            entities.setdefault((heading, name), Entity(heading, name, public=not name.startswith("_")))
    return Outline(tuple(entities.values()))
