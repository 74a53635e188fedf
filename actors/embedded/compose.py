"""A summary as data, and as text within a number of tokens.

The text's form is what merging reads back: sentences first, then one line a listing,
``Classes: `Queue` (a FIFO queue), `Empty`, and 3 more.``
"""

import re
from typing import NamedTuple

from .sentences import clip, split
from .tokens import count, cut

# Summaries are this long where the request leaves room: longer ones drown the folder's summary above them.
NATURAL_TOKENS = 150

_VERBS = {
    "Test classes": "Tests in",
    "Test functions": "Tests in",
    "Suites": "Tests of",
    "Sections": "Has sections",
    "Keys": "Has keys",
    "Columns": "Has columns",
    "Tables": "Has tables",
    "Settings": "Has settings",
    "Elements": "Has elements",
    "Packages": "Lists packages",
    "Patterns": "Lists patterns",
    "Scripts": "Has scripts",
    "Dependencies": "Depends on",
}

_LISTING = re.compile(r"^([A-Z][A-Za-z ]{2,28}): (?=`)")
_ITEM = re.compile(r"`([^`\n]+)`(?: \(([^`\n]*)\))?(?:, |\.$|$)")
_MORE = re.compile(r"and (\d+) more\.?$")


class Item(NamedTuple):
    """A name and, where known, what it is for (without backticks)."""

    name: str
    note: str = ""


class Listing(NamedTuple):
    """Names under one heading; `more` counts those left out."""

    heading: str
    items: tuple[Item, ...]
    more: int = 0


class Sketch(NamedTuple):
    """What there is to say about one thing: sentences, most telling first, and listings, most telling first."""

    lead: tuple[str, ...] = ()
    listings: tuple[Listing, ...] = ()


class _Room(NamedTuple):
    sentences: int
    items: int
    note_words: int
    listings: int


# From the fullest to the barest form; the first that fits is taken.
_LADDER = (
    _Room(3, 14, 14, 4),
    _Room(2, 12, 12, 4),
    _Room(2, 10, 10, 4),
    _Room(2, 9, 8, 3),
    _Room(2, 6, 8, 3),
    _Room(1, 6, 7, 3),
    _Room(1, 8, 0, 3),
    _Room(1, 5, 0, 2),
    _Room(1, 3, 0, 2),
    _Room(1, 3, 0, 1),
    _Room(1, 0, 0, 0),
)


def compose(sketch: Sketch, budget: int) -> str:
    """The fullest text of the sketch within `budget` tokens and a natural length; at least its beginning."""
    limit = min(budget, NATURAL_TOKENS)
    text = ""
    for room in _LADDER:
        text = _render(sketch, room)
        if text and count(text) <= limit:
            return text
    return cut(text or _render(sketch, _LADDER[-2]), budget)


def _render(sketch: Sketch, room: _Room) -> str:
    lines = [" ".join(sketch.lead[: room.sentences])] if sketch.lead else []
    lines += [render_listing(listing, room.items, room.note_words) for listing in sketch.listings[: room.listings]]
    return "\n".join(line for line in lines if line)


def render_listing(listing: Listing, most: int, note_words: int) -> str:
    """One line: the heading and its first `most` items, notes clipped to that many words."""
    shown = listing.items[:most]
    if not shown:
        return ""
    more = listing.more + len(listing.items) - len(shown)
    words = [_render_item(item, note_words) for item in shown]
    return f"{listing.heading}: {', '.join(words)}{f', and {more} more' if more else ''}."


def _render_item(item: Item, note_words: int) -> str:
    name = " ".join(item.name.replace("`", "").split())
    about = " ".join(clip(item.note, note_words).replace("`", "").split()) if note_words else ""
    return f"`{name}` ({about})" if about else f"`{name}`"


def parse(text: str) -> Sketch:
    """Reads back what `compose` wrote; of any other text, its sentences before the first list."""
    lead: list[str] = []
    listings: list[Listing] = []
    for line in text.splitlines():
        heading = _LISTING.match(line)
        if heading is not None and _is_listing(line[heading.end() :]):
            listings.append(_parse_listing(heading[1], line[heading.end() :]))
        elif not listings and not line.startswith(("- ", "* ", "#", "|", ">", "```")) and line.strip():
            lead.extend(split(line.strip()))
    return Sketch(tuple(lead), tuple(listings))


def _is_listing(line: str) -> bool:
    """True where nothing stands on the line but items; prose such as ``Note: `x` makes y`` is none."""
    return not _MORE.sub("", _ITEM.sub("", line)).strip(" ,.")


def _parse_listing(heading: str, line: str) -> Listing:
    items = tuple(Item(found[1], found[2] or "") for found in _ITEM.finditer(line))
    more = _MORE.search(line)
    return Listing(heading, items, int(more[1][:9]) if more else 0)


def defined(sketch: Sketch, words: int = 24) -> str:
    """One sentence out of listings alone, such as ``Defines `Queue` (a FIFO queue), `Empty` and more.``."""
    listings = [listing for listing in sketch.listings if listing.heading != "Imports"]
    if not listings:
        used = ", ".join(f"`{item.name}`" for listing in sketch.listings for item in listing.items[:4])
        return f"Script that imports {used}." if used else ""
    items = [item for listing in listings for item in listing.items]
    told = [item for item in items if item.note and not item.note.startswith("methods ")][:1]
    first, others = told, [item for item in items if item not in told]
    names = [f"`{item.name}` ({clip(item.note, 12)})" for item in first] + [f"`{item.name}`" for item in others[:3]]
    rest = len(others) - 3 + sum(listing.more for listing in listings)
    verb = _VERBS.get(listings[0].heading, "Defines")
    return clip(f"{verb} {', '.join(names)}{' and more' if rest > 0 else ''}", words) + "."
