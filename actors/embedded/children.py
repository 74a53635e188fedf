"""The children of a folder, as their summaries tell them: each by one sentence, in the order of their importance."""

import math
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ...protocols.chat import Document
from .compose import Sketch, defined, parse
from .files import is_test
from .languages import detect
from .sentences import clip, finish, split
from .terms import terms

BULLET_WORDS = 24

_BULLET = re.compile(r"^- \*\*(.+?)\*\*: (.+)$")
_MORE = re.compile(r"^- and (\d+) more: (.*)$")
# Sentences that this package makes up where a file says nothing of itself: true, but no purpose.
_SYNTHETIC = re.compile(
    r"^(?:Defines|Script that|Tests (?:in|of) `|Has (?:sections|keys|columns|tables|settings|elements|scripts) `|"
    r"Lists (?:packages|patterns) `|Depends on `|Re-exports|One line of)"
)
_MEASURE = re.compile(
    r"^(?:A |An )?(?:JSON|YAML|TOML|Configuration|table|lock file|XML|SVG|Lists \d|Empty file"
    r"|HTML page\.|Text of|Licence|"
    r"[\w+#]+ (?:file|script) of|Test support|Test file of|no summary|Holds \d)"
)
_DATA = frozenset(
    {"css", "csv", "gomod", "ini", "json", "lock", "patch", "patterns", "requirements", "text", "toml", "xml", "yaml"}
)


class Child(NamedTuple):
    """One child of a folder.

    Attributes:
        name: below the folder; a folder's ends in `/`.
        path: from the root.
        sentence: what it is known by.
        richness: how much its summary has to say; 0 where only the name is known.
        uses: the last parts of the names it imports.
    """

    name: str
    path: str
    sentence: str
    richness: int
    uses: frozenset[str] = frozenset()

    @property
    def is_folder(self) -> bool:
        """True of a folder."""
        return self.name.endswith("/")

    @property
    def tells(self) -> bool:
        """True when the sentence is a purpose: neither a measure nor made up from names."""
        return bool(self.sentence) and not _MEASURE.match(self.sentence) and not _SYNTHETIC.match(self.sentence)


def children_of(path: str, documents: Sequence[Document]) -> list[Child]:
    """The children, in order of importance; of partial summaries of the folder itself, the children they list."""
    found: dict[str, Child] = {}
    for document in documents:
        if document.name == path:
            for child in _listed(path, document.text):
                found.setdefault(child.name, child)
        else:
            child = _child(path, document)
            found[child.name] = child
    return _ranked(list(found.values()))


def _listed(path: str, text: str) -> Iterator[Child]:
    prefix = "" if path == "./" else path
    for line in text.splitlines():
        bullet, more = _BULLET.match(line), _MORE.match(line)
        if bullet is not None:
            yield Child(bullet[1], prefix + bullet[1], bullet[2], len(bullet[2]) // 8)
        elif more is not None:
            for name in more[2].split(", "):
                if name not in {"", "…"}:
                    yield Child(name, prefix + name, "", 0)


def _child(path: str, document: Document) -> Child:
    found = parse(document.text)
    names = sum(len(listing.items) + listing.more for listing in found.listings)
    bullets = document.text.count("\n- **") + document.text.startswith("- **")
    used = frozenset(
        part
        for listing in found.listings
        if listing.heading == "Imports"
        for item in listing.items
        for part in re.split(r"[./\\:]+", item.name)
    )
    name = document.name.removeprefix(path)
    richness = names + len(document.text) // 40 + 8 * bullets
    return Child(" ".join(name.split()) or name, document.name, sentence_of(found, document.text), richness, used)


def sentence_of(found: Sketch, text: str) -> str:
    """The one sentence that a summary is known by in the summary above it."""
    telling = [sentence for sentence in found.lead if not _MEASURE.match(sentence)]
    if found.listings and (not telling or len(telling[0].split()) < 3):
        told = defined(found)
        if told:
            return told
    lead = telling or list(found.lead) or split(text.strip().partition("\n")[0].lstrip("#-* "))
    return finish(clip(lead[0], BULLET_WORDS)) if lead else ""


def _ranked(children: Sequence[Child]) -> list[Child]:
    """Those first that a reader of the folder wants to know; tests, data, repeats and the untold last."""
    # How often a child is imported by its neighbours is its in-degree: the simplest measure of centrality.
    users = Counter(name for child in children for name in child.uses)

    def rank(child: Child) -> tuple[int, float, str]:
        stem = posixpath.basename(child.path.rstrip("/")).split(".")[0]
        return _last(child), -(math.log1p(child.richness) + math.log1p(users[stem])), child.name

    return _varied(sorted(children, key=rank))


def _last(child: Child) -> int:
    if not child.sentence or (_MEASURE.match(child.sentence) and not child.is_folder):
        return 3
    if is_test(child.path) or is_test(f"{child.path}x"):
        return 2
    return 1 if not child.is_folder and detect(child.path) in _DATA else 0


def _varied(ranked: Sequence[Child]) -> list[Child]:
    """The ranking with children that say nearly what two before them say moved to the end.

    Without it the codecs of a package, alike but for a number, would take all the room.
    """
    kept: list[Child] = []
    repeats: list[Child] = []
    seen: list[frozenset[str]] = []
    for child in ranked:
        bag = frozenset(terms(child.sentence))
        alike = sum(1 for other in seen[:60] if len(bag & other) * 10 >= 6 * max(len(bag), len(other), 1))
        if alike >= 2 and len(bag) >= 2 and not is_test(child.path):
            repeats.append(child)
        else:
            kept.append(child)
            seen.append(bag)
    return kept + repeats
