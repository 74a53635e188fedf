"""Sentences, leading comments, prose, data files, and the form that merging reads back."""

from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.embedded.compose import Item, Listing, Sketch, compose, parse, render_listing
from understudy.actors.embedded.data import describe
from understudy.actors.embedded.leading import about_file, note
from understudy.actors.embedded.prose import central, summarise
from understudy.actors.embedded.sentences import clip, plain, split
from understudy.actors.embedded.terms import stem, terms
from understudy.actors.embedded.tokens import count, cut

LICENCE = "# Copyright 2020 The Authors. All rights reserved.\n# Licensed under the Apache License, Version 2.0.\n"


def test_licences_and_headers_are_passed_over() -> None:
    """Shebang, coding line and licence are not what a file is for."""
    text = f'#!/usr/bin/env python3\n# -*- coding: utf-8 -*-\n{LICENCE}\n"""Reads mail.\n\nMore."""\n'
    assert about_file("python", text)[0] == "Reads mail."


def test_a_licence_alone_says_nothing() -> None:
    """A file with only a licence has no purpose to tell."""
    assert about_file("python", f"{LICENCE}\nimport os\n") == ()


def test_comment_styles() -> None:
    """Block comments, line comments and file tags are read in other languages."""
    assert about_file("c", "/*\n * pool.c - keeps threads alive\n */\n#include <a.h>\n") == ("Keeps threads alive.",)
    assert about_file(
        "go", "// Copyright 2020 X. All rights reserved.\n\n// Package pool keeps threads.\npackage pool\n"
    )
    assert about_file("rust", "//! Keeps threads alive.\n\nuse std::io;\n") == ("Keeps threads alive.",)
    assert about_file("cpp", "//===- Pool.h - Keeps threads alive --*- C++ -*-===//\n\n#include <a>\n") == (
        "Keeps threads alive.",
    )


def test_a_comment_about_the_next_line_is_not_about_the_file() -> None:
    """A comment that touches code other than imports belongs to that code."""
    assert about_file("python", "# Try the fast one first.\ntry:\n    import fast\nexcept ImportError: pass\n") == ()


def test_notes_are_short_and_free_of_markup() -> None:
    """A definition's note is its first sentence without markup."""
    assert note("Return the :class:`~a.Queue` of ``x``.\n\n:param x: a thing.") == "Return the a.Queue of x"
    assert len(note("word " * 100).split()) <= 14


def test_sentences_survive_abbreviations() -> None:
    """Abbreviations and initials do not end a sentence."""
    text = "It reads files, e.g. Mails. See J. Doe et al. for more. Then it stops."
    assert split(text) == ["It reads files, e.g. Mails.", "See J. Doe et al. for more.", "Then it stops."]


def test_markup_is_taken_off() -> None:
    """Links, images, roles and emphasis leave their text."""
    assert plain("![x](y.png) See [the *docs*](http://a) and `b <http://c>`_ **now**.") == "See the docs and b now."


def test_readme_gives_title_and_sections() -> None:
    """A Markdown file gives its first sentence under its title, its sections, and no code or badges."""
    text = (
        "# Relay\n\n[![ci](a.svg)](b)\n\nA small server that keeps mail. It is written in C.\n\n"
        "```\nrm -rf / is not a sentence here.\n```\n\n## Usage\n\nRun it and send mail to it.\n\n## Licence\n\nMIT.\n"
    )
    found = summarise(text)
    assert found.lead[0] == "Relay: A small server that keeps mail."
    assert [item.name for item in found.listings[0].items] == ["Usage", "Licence"]
    assert "rm -rf" not in compose(found, 200)


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=60), max_size=30), st.integers(1, 5))
def test_central_sentences_are_an_ordered_selection(found: list[str], most: int) -> None:
    """Whatever the sentences, at most `most` of them come back, in their order, the first among them."""
    chosen = central(found, most)
    places = [found.index(one) for one in chosen]
    assert places == sorted(places)
    assert len(chosen) <= most
    assert chosen[:1] == found[:1]


def test_data_files_tell_their_names() -> None:
    """Keys, columns, tables and counts are told."""
    package = describe("json", '{"name": "relay", "description": "Keeps mail", "scripts": {"build": "x"}, "a": 1}')
    assert package is not None
    assert package.lead[0] == "Keeps mail."
    assert package.listings[0] == Listing("Scripts", (Item("build"),))
    table = describe("csv", "id,name\n1,a\n2,b\n")
    assert table is not None
    assert table.lead == ("A table of 2 columns and 2 rows.",)
    toml = describe("toml", '[project]\nname = "relay"\ndescription = "Keeps mail"\n[tool.x]\n')
    assert toml is not None
    assert toml.lead[0] == "relay: Keeps mail."
    broken = describe("json", '  "a": 1,\n  "b": [')
    assert broken is not None
    assert [item.name for item in broken.listings[0].items] == ["a", "b"]
    assert describe("json", "[" * 100_000) is not None


_names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.]{0,12}(\([a-z, ]{0,8}\))?", fullmatch=True)
_notes = st.from_regex(r"([A-Z][a-z]{1,8}( \([a-z, ]{1,8}\))?( [a-z]{1,8}){0,3})?", fullmatch=True)
_items = st.lists(st.builds(Item, _names, _notes), min_size=1, max_size=6)


@given(st.sampled_from(["Classes", "Functions", "Test classes"]), _items, st.integers(0, 99))
def test_a_rendered_listing_reads_back(heading: str, items: list[Item], more: int) -> None:
    """What is written of a listing is what merging reads of it."""
    listing = Listing(heading, tuple(Item(" ".join(item.name.split()), item.note.strip()) for item in items), more)
    assert parse(render_listing(listing, 99, 99)).listings == (listing,)


@given(st.lists(st.text(max_size=80), max_size=4), _items, st.integers(1, 200))
def test_a_composed_sketch_keeps_its_budget(lead: list[str], items: list[Item], budget: int) -> None:
    """A sketch is shortened to any budget."""
    clean = tuple(one.encode("utf-8", "replace").decode() for one in lead)
    text = compose(Sketch(clean, (Listing("Classes", tuple(items), 3),)), budget)
    assert count(text) <= budget


@given(st.text(), st.integers(0, 40))
def test_a_cut_text_is_a_beginning_within_its_tokens(text: str, tokens: int) -> None:
    """Cutting never adds anything and never breaks a character."""
    clean = text.encode("utf-8", "replace").decode()
    piece = cut(clean, tokens)
    assert clean.startswith(piece)
    assert count(piece) <= tokens


def test_clipping_prefers_a_clause_end() -> None:
    """A clipped sentence ends at a late comma, else with an ellipsis."""
    assert clip("one two three four, five six seven", 6) == "one two three four"
    assert clip("one two three four five", 3) == "one two three…"


def test_word_forms_meet_in_one_stem() -> None:
    """The forms of a verb that questions and code use differ only in the ending."""
    assert len({stem(word) for word in ("retry", "retries", "retried")}) == 1
    assert len({stem(word) for word in ("stop", "stops", "stopped", "stopping")}) == 1
    assert terms("parseHTTPReply of max_retries") == [stem("parse"), "http", stem("reply"), "max", stem("retries")]
