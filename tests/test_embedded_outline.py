"""The outlines of the languages whose grammars are installed."""

import pytest

from understudy.actors.embedded import lines
from understudy.actors.embedded.languages import detect, parse
from understudy.actors.embedded.outline import outline

SAMPLES = {
    "python": (
        (
            "'''Doc.'''\nimport json.scanner\nLIMIT = 1\n\n@wraps\nclass Queue(Base):\n    '''A queue.'''\n"
            "    def put(self): pass\n    def _hidden(self): pass\n\nif True:\n    async def drain(*, now): pass\n"
        ),
        {("Classes", "Queue"), ("Functions", "drain"), ("Constants", "LIMIT")},
    ),
    "javascript": (
        (
            "const q = require('z');\n/** A socket. */\nexport class Socket extends B { open() {} }\n"
            "export const dial = (host) => 1;\nexports.close = function (a) {};\nexport default function main() {}\n"
        ),
        {("Classes", "Socket"), ("Functions", "dial"), ("Functions", "close"), ("Functions", "main")},
    ),
    "typescript": (
        (
            "export interface Shape { area: number }\nexport type Id = string;\n"
            "export abstract class Base<T> { run(): void {} }\n"
            "declare function load(a: string): void;\nexport enum Kind { A }\n"
        ),
        {("Interfaces", "Shape"), ("Types", "Id"), ("Classes", "Base"), ("Functions", "load"), ("Enums", "Kind")},
    ),
    "tsx": (
        "export const App = (props: Props) => <div>{props.name}</div>;\nfunction Row() { return <tr/>; }\n",
        {("Functions", "App"), ("Functions", "Row")},
    ),
    "go": (
        (
            '// Package a does b.\npackage a\nimport "fmt"\n// T is x.\ntype T struct{}\nfunc (t *T) Run() {}\n'
            "type I interface{ M() }\nfunc New() *T { return nil }\nconst Max = 1\n"
        ),
        {("Structs", "T"), ("Interfaces", "I"), ("Functions", "New"), ("Constants", "Max")},
    ),
    "rust": (
        (
            "//! Crate.\nuse std::io;\n/// S holds.\n#[derive(Debug)]\npub struct S<T> { a: T }\n"
            "impl<T> S<T> { pub fn new() {} }\n"
            "pub trait Go { fn a(); }\npub enum E { A }\nmacro_rules! m { () => {} }\npub fn run(a: i32) {}\n"
        ),
        {("Structs", "S"), ("Traits", "Go"), ("Enums", "E"), ("Macros", "m"), ("Functions", "run")},
    ),
    "java": (
        (
            "package a;\nimport java.util.List;\n/** Doc. */\npublic final class A<T> { public void m() {} }\n"
            "interface I {}\nenum E { X }\nrecord R(int a) {}\n"
        ),
        {("Classes", "A"), ("Interfaces", "I"), ("Enums", "E"), ("Records", "R")},
    ),
    "c": (
        (
            "#ifndef A_H\n#define A_H\n#include <stdio.h>\n#define MAX(a, b) a\n#define SIZE 3\nstruct later;\n"
            "typedef struct foo { int a; } foo_t;\nextern int run(int a);\nstatic int hidden(void) { return 0; }\n"
            'char *name(void) { return 0; }\n#ifdef __cplusplus\nextern "C" {\n#endif\nvoid last(void);\n#endif\n'
        ),
        {("Macros", "MAX"), ("Constants", "SIZE"), ("Structs", "foo_t"), ("Functions", "run"), ("Functions", "name")},
    ),
    "cpp": (
        (
            "namespace a {\n/// Doc\ntemplate <typename T> class X : public Y { public: void m(); };\nvoid X::m() {}\n"
            "enum class E { A };\n}\ntemplate <class T> T pick(T a) { return a; }\n"
        ),
        {("Classes", "X"), ("Enums", "E"), ("Functions", "pick")},
    ),
    "bash": (
        "#!/bin/bash\nset -e\nfoo() { echo a; }\nfunction bar { echo; }\n",
        {("Functions", "foo"), ("Functions", "bar")},
    ),
    "ruby": (
        "require 'set'\n# Doc\nmodule A\n class B < C\n  def m(a); end\n end\nend\ndef f(a) end\n",
        {("Modules", "A"), ("Classes", "B"), ("Functions", "f")},
    ),
    "c-sharp": (
        (
            "using System;\nnamespace A.B {\n/// <summary>Doc</summary>\npublic class X : Y { public void M() {} }\n"
            "interface I {}\npublic struct S {}\n}\n"
        ),
        {("Classes", "X"), ("Interfaces", "I"), ("Structs", "S")},
    ),
    "php": (
        (
            "<?php\nnamespace A;\nuse X\\Y;\n/** Doc */\nfinal class C extends D { public function m($a) {} }\n"
            "trait T {}\nfunction f($a) {}\n"
        ),
        {("Classes", "C"), ("Traits", "T"), ("Functions", "f")},
    ),
}


@pytest.mark.parametrize("language", SAMPLES)
def test_names_are_found_in_each_language(language: str) -> None:
    """A small file of each language gives up what it defines, under the right headings."""
    text, expected = SAMPLES[language]
    found = outline(language, text)
    assert found is not None
    assert {(entity.heading, entity.name) for entity in found.entities if entity.public} >= expected


@pytest.mark.parametrize("language", [name for name in SAMPLES if name not in {"tsx", "typescript", "bash", "cpp"}])
def test_imports_are_found(language: str) -> None:
    """Each language's import statement is read."""
    found = outline(language, SAMPLES[language][0])
    assert found is not None
    assert found.imports


def test_methods_defined_apart_join_their_type() -> None:
    """Go, Rust and C++ methods count as members of their type."""
    for language, owner, method in (("go", "T", "Run"), ("rust", "S", "new"), ("cpp", "X", "m")):
        found = outline(language, SAMPLES[language][0])
        assert found is not None
        members = {entity.name: entity.members for entity in found.entities}
        assert method in members[owner]


def test_private_things_are_marked() -> None:
    """Underscored, static, unexported and forward-declared names are not public, or not there."""
    found = outline("python", SAMPLES["python"][0])
    assert found is not None
    assert [entity.members for entity in found.entities if entity.name == "Queue"] == [("put",)]
    in_c = outline("c", SAMPLES["c"][0])
    assert in_c is not None
    assert not {entity.name for entity in in_c.entities} & {"hidden", "later", "A_H"}


def test_documentation_is_attached() -> None:
    """A docstring, or the comment just before, belongs to the definition; a trailing comment does not."""
    found = outline("go", "package a\nvar x = 1 // not about F\nfunc F() {}\n\n// G goes.\nfunc G() {}\n")
    assert found is not None
    assert {entity.name: entity.doc for entity in found.entities} == {"F": "", "G": "// G goes."}


def test_a_later_piece_of_a_class_keeps_its_methods() -> None:
    """A piece that begins indented still gives its methods and what follows the class."""
    piece = (
        "        x = 1\n\n    def put(self):\n        '''Put.'''\n\n    def get(self): pass\n\nclass Next:\n    pass\n"
    )
    found = outline("python", piece, inside=True)
    assert found is not None
    names = {(entity.heading, entity.name) for entity in found.entities}
    assert names >= {("Methods", "put"), ("Methods", "get"), ("Classes", "Next")}


def test_broken_source_still_gives_an_outline() -> None:
    """A syntax error hides only its surroundings."""
    found = outline("python", "def good(): pass\n\nclass ((((\n\ndef also(): pass\n")
    assert found is not None
    assert "good" in {entity.name for entity in found.entities}


@pytest.mark.parametrize("language", ["bash", "python", "rust", "java"])
def test_work_on_hostile_text_is_bounded(language: str) -> None:
    """Nesting past any stack, and texts on which grammars take quadratic time, are given up by counting steps."""
    for pattern in ("[", "[]", '"', "template<", "if (a) ", "<<E\n"):
        outline(language, pattern * (200_000 // len(pattern)))


def test_giving_up_does_not_spoil_the_parser() -> None:
    """After a text that was given up the same thread's parser reads the next one as always."""
    noise = "".join(chr(33 + number * number % 89) for number in range(60_000))
    parse("bash", noise.encode())
    found = outline("bash", "foo() { echo a; }\n")
    assert found is not None
    assert [entity.name for entity in found.entities] == ["foo"]


def test_lines_stand_in_where_there_is_no_grammar() -> None:
    """Languages without a grammar are outlined by their lines."""
    found = lines.outline("kotlin", "data class Point(val x: Int)\nfun main(args: Array<String>) {}\n")
    assert {(entity.heading, entity.name) for entity in found.entities} == {("Classes", "Point"), ("Functions", "main")}
    targets = lines.outline("makefile", "all: build\n\techo\nbuild:\n\tcc\nX := 1\n")
    assert [entity.name for entity in targets.entities] == ["all", "build"]


@pytest.mark.parametrize(
    ("name", "text", "language"),
    [
        ("a/b.py", "", "python"),
        ("Makefile", "", "makefile"),
        ("docker/Dockerfile.dev", "", "dockerfile"),
        ("x.h", "namespace a {}\n", "cpp"),
        ("x.h", "int a;\n", "c"),
        ("run", "#!/usr/bin/env python3\n", "python"),
        ("run", "#!/bin/sh\n", "bash"),
        ("requirements-dev.txt", "", "requirements"),
        ("notes", "hello", "text"),
    ],
)
def test_languages_are_told_by_name_then_first_line(name: str, text: str, language: str) -> None:
    """Extension, well-known names, then the `#!` line."""
    assert detect(name, text) == language


def test_feeding_by_blocks_changes_nothing() -> None:
    """A text longer than many blocks, with names across their edges, gives the tree that the whole text gives."""
    text = "".join(f"def name_{number}_é(a, b):\n    return a  # {'x' * (number % 97)}\n\n\n" for number in range(900))
    found = outline("python", text)
    assert found is not None
    assert [entity.name for entity in found.entities] == [f"name_{number}_é" for number in range(900)]
