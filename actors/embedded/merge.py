"""The answer to a reduce call: one summary out of the summaries of what lies below.

A folder's text is its lead, one or two sentences, then a bullet for each child worth telling. Of a child
folder only the lead is taken up, so that text neither grows nor repeats itself however deep the tree is.
"""

import posixpath
import re
from collections.abc import Sequence

from ...protocols.chat import Document
from .children import BULLET_WORDS, Child, children_of
from .compose import Item, Listing, Sketch, compose, parse
from .files import is_test
from .languages import detect, proper
from .sentences import clip, finish
from .terms import terms
from .tokens import count, cut

MOST_BULLETS = 12
_MOST_NAMED = 24

_SPEAKS_FOR_FOLDER = (
    re.compile(r"^readme\b", re.IGNORECASE),
    re.compile(r"^__init__\.pyi?$|^(?:doc\.go|package-info\.java|lib\.rs|mod\.rs|index\.\w+)$"),
)
_HOLDS = re.compile(r"^Holds (?:(\d+) [^.]*?files?)?[^.\d]*(?:(\d+) folders?)?")
# Of a child that itself only lists its children, the first one's note.
_INNER = re.compile(r"^Contains `[^`]*` \(([^()]*(?:\([^()]*\)[^()]*)*)\)")
_NOTHING = "Nothing below could be summarised."


def folder(path: str, documents: Sequence[Document], max_tokens: int) -> str:
    """Lead and bullets for a folder."""
    children = children_of(path, documents)
    children = [child for child in children if not _marks_package(child)] or children
    notes = [note for document in documents if document.name == path for note in parse(document.text).lead]
    if not children:
        return cut(" ".join(notes[:2]) or _NOTHING, max_tokens)
    purpose, spoken = _purpose(path, children, notes)
    lead = f"{purpose} {_holds(children, notes, named=not purpose)}".strip()
    return _fit(lead, [child for child in children if child is not spoken or len(children) == 1], max_tokens)


def _marks_package(child: Child) -> bool:
    """True of an `__init__.py` that only makes its folder a package."""
    return child.name == "__init__.py" and not child.tells and not child.sentence.startswith(("Defines", "Re-exports"))


def _purpose(path: str, children: Sequence[Child], notes: Sequence[str]) -> tuple[str, Child | None]:
    """What the folder is for, and the child that said so."""
    speakers = [
        child
        for pattern in _SPEAKS_FOR_FOLDER
        for child in children
        if pattern.match(child.name) and child.tells and not child.is_folder
    ]
    if speakers:
        return speakers[0].sentence, speakers[0]
    own = [note for note in notes if not note.startswith(("Contains ", "Holds ", "Tests of "))]
    if own:
        return finish(clip(own[0], 30)), None
    tested = _tested(children) if path != "./" and is_test(f"{path}x") else ""
    return tested or _contains(children), None


def _tested(children: Sequence[Child]) -> str:
    """What the tests of a folder are about, by their names; empty where few are named as tests."""
    names = [posixpath.splitext(child.name.rstrip("/"))[0] for child in children]
    subjects = [re.sub(r"^test_|[_.](?:tests?|spec)$|^Test(?=[A-Z])|Tests?$", "", name) for name in names]
    tested = [f"`{subject}`" for name, subject in zip(names, subjects, strict=True) if subject not in {"", name}]
    if len(tested) * 3 < len(names):
        return ""
    more = f" and {len(tested) - 6} more" if len(tested) > 6 else ""
    return f"Tests of {', '.join(tested[:6])}{more}."


def _contains(children: Sequence[Child]) -> str:
    """A sentence made of the children's own, where none of them speaks for the folder."""
    told: list[str] = []
    seen: set[str] = set()
    telling = [child for child in children if child.tells]
    if len(telling) == 1 and len(children) < 4:
        return telling[0].sentence
    if len(telling) < 2:
        telling += [child for child in children if child.sentence.startswith("Defines")]
    for child in telling:
        note = _short(child.sentence)
        words = set(terms(note))
        if len(words - seen) * 2 >= len(words) and note.count("(") == note.count(")"):
            told.append(f"`{child.name}` ({note})")
            seen |= words
        if len(told) == 3:
            break
    return f"Contains {_joined(told)}." if told else ""


def _short(sentence: str) -> str:
    """A child's sentence as a remark in brackets; of made-up ones the first names."""
    if sentence.startswith("Defines"):
        names = [name.partition("(")[0] for name in re.findall(r"`([^`]+)`", sentence)]
        return f"defines {' and '.join(names[:2])}"
    inner = _INNER.match(sentence)
    return clip((inner[1] if inner else sentence).rstrip(".…"), 10).replace("`", "")


def _joined(told: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(told[:-1]), told[-1])))


def _holds(children: Sequence[Child], notes: Sequence[str], *, named: bool) -> str:
    """How many files and folders there are, those included that partial summaries counted."""
    files = [detect(child.path) for child in children if not child.is_folder]
    counted = [(int(found[1] or 0), int(found[2] or 0)) for note in notes if (found := _HOLDS.match(note))]
    of_files = max(len(files), sum(files_ for files_, _ in counted))
    of_folders = max(sum(child.is_folder for child in children), sum(folders for _, folders in counted))
    main = max(sorted(set(files)), key=files.count) if files else "text"
    told = []
    if of_files:
        noun = "file" if of_files == 1 else "files"
        if main == "text" or files.count(main) * 2 <= len(files):
            told.append(f"{of_files} {noun}")
        elif files.count(main) == len(files):
            told.append(f"{of_files} {proper(main)} {noun}")
        else:
            told.append(f"{of_files} {noun} (mostly {proper(main)})")
    if of_folders:
        told.append(f"{of_folders} {'folder' if of_folders == 1 else 'folders'}")
    if named:
        names = [f"`{child.name}`" for child in children[:4]]
        return f"Holds {' and '.join(told)}: {', '.join(names)}{' and more' if len(children) > 4 else ''}."
    return f"Holds {' and '.join(told)}."


def _fit(lead: str, ranked: Sequence[Child], max_tokens: int) -> str:
    """Lead, then as many bullets as there is room for; a last bullet names some of the rest."""
    most = MOST_BULLETS if len(ranked) <= 3 * MOST_BULLETS else MOST_BULLETS * 3 // 2
    for shown in range(min(most, len(ranked)), -1, -1):
        for words in (BULLET_WORDS, 14):
            text = _render(lead, ranked, shown, words)
            if count(text) <= max_tokens:
                return text
    return cut(lead, max_tokens)


def _render(lead: str, ranked: Sequence[Child], shown: int, words: int) -> str:
    bullets = [
        f"- **{child.name}**: {finish(clip(child.sentence, words)) or 'no summary.'}" for child in ranked[:shown]
    ]
    rest = [child.name for child in ranked[shown:]]
    if rest:
        named = f"{', '.join(rest[:_MOST_NAMED])}{', …' if len(rest) > _MOST_NAMED else ''}"
        bullets.append(f"- and {len(rest)} more: {named}" if shown else f"Children: {named}")
    return "\n".join([lead, "", *bullets] if bullets else [lead])


def file(documents: Sequence[Document], max_tokens: int) -> str:
    """The outlines of a large file's pieces as one: the first piece's lead, listings joined by heading."""
    sketches = [parse(document.text) for document in documents]
    lead = next((sketch.lead for sketch in sketches if sketch.lead), ())
    items: dict[str, dict[str, Item]] = {}
    more: dict[str, int] = {}
    for listing in (listing for sketch in sketches for listing in sketch.listings):
        known = items.setdefault(listing.heading, {})
        for item in listing.items:
            if not known.get(item.name, Item("")).note:
                known[item.name] = item
        more[listing.heading] = more.get(listing.heading, 0) + listing.more
    listings = [Listing(heading, tuple(known.values()), more[heading]) for heading, known in items.items()]
    listings.sort(key=lambda listing: listing.heading == "Imports")
    return compose(Sketch(lead, tuple(listings)), max_tokens) or cut(_NOTHING, max_tokens)
