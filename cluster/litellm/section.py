"""Reads mappings of a foreign file so that no key is passed over in silence."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from ..config_file import Document, Location, Place, dotted


@dataclasses.dataclass(frozen=True, slots=True)
class Note:
    """What became of one setting: its place, its key, and what happens instead. Holds no value of the file."""

    place: Place
    key: str
    text: str


class Notes:
    """Collects notes on a document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._found: list[Note] = []

    def add(self, at: Location, text: str) -> None:
        """A note on the key or item at `at`."""
        self._found.append(Note(self._document.place(at), dotted(at), text))

    @property
    def found(self) -> list[Note]:
        """All notes, each once, in the order of the file."""
        return sorted(dict.fromkeys(self._found), key=lambda note: (note.place, note.key, note.text))


class Section:
    """A mapping of the file. What was not taken when `rest` is called gets a note.

    A value of another type than is asked for gets a note as well, and counts as absent.
    """

    def __init__(self, value: object, at: Location, notes: Notes) -> None:
        self.at = at
        self.notes = notes
        self._values: dict[str, Any] = value if isinstance(value, dict) else {}
        self._taken: set[str] = set()
        if value is not None and not isinstance(value, dict):
            notes.add(at, "must be a mapping: left out")

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def take(self, key: str) -> Any:
        """The value of a key as it is; None where there is none."""
        self._taken.add(key)
        return self._values.get(key)

    def note(self, key: str, text: str) -> None:
        """A note on a key."""
        self.notes.add((*self.at, key), text)

    def text(self, key: str) -> str | None:
        """A text that is not empty."""
        value = self.take(key)
        if value is None or value == "":
            return None
        if isinstance(value, str):
            return value.strip()
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        self.note(key, "must be text: left out")
        return None

    def number(self, key: str, *, zero: bool = False) -> float | None:
        """A number greater than 0 (with `zero`: or 0), also one written as text."""
        value = self.take(key)
        if value is None:
            return None
        try:
            found = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            found = math.nan
        if math.isfinite(found) and (found > 0 or (zero and found == 0)):
            return found
        reference = isinstance(value, str) and value.startswith("os.environ/")
        why = "a number can't be a reference here" if reference else "is no number that can be used"
        self.note(key, f"{why}: left out")
        return None

    def whole(self, key: str, *, zero: bool = False) -> int | None:
        """A whole number, rounded down, greater than 0 (with `zero`: or 0)."""
        found = self.number(key, zero=zero)
        if found is not None and not zero and found < 1:
            self.note(key, "is less than 1: left out")
            return None
        return None if found is None else int(found)

    def section(self, key: str) -> "Section":
        """The mapping below a key; an empty one where there is none."""
        return Section(self.take(key), (*self.at, key), self.notes)

    def items(self, key: str) -> list[tuple[Location, Any]]:
        """The items of a list, each with its place."""
        value = self.take(key)
        if value is not None and not isinstance(value, list):
            self.note(key, "must be a list: left out")
        return [((*self.at, key, place), one) for place, one in enumerate(value if isinstance(value, list) else ())]

    def entries(self) -> list[tuple[str, Any]]:
        """All keys with their values, for a mapping whose keys are names."""
        self._taken.update(self._values)
        return list(self._values.items())

    def rest(self, reasons: Mapping[str, str], otherwise: str) -> None:
        """Notes on what was not taken: by its reason, else `otherwise`. An empty reason needs no note."""
        for key in self._values:
            if key not in self._taken:
                text = reasons.get(key, otherwise)
                if text:
                    self.note(key, text)
