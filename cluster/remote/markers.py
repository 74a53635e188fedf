"""What a job on a cluster sends home between the lines of its log: its outcome, and its files. Pure.

A job's log is all that a cluster's Jobs server gives back. A line that begins with `MARK` is for the program at the
other end; people are shown the others. Lines are short, since Ray hands a log on in pieces of 20,000 characters.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

MARK: Final = "::understudy "
_PIECE: Final = 6_000  # bytes of a file a line; 8,000 characters


def outcome_line(outcome: dict[str, Any]) -> str:
    """The line that tells how the command ended."""
    return f"{MARK}outcome {json.dumps(outcome)}"


def file_lines(name: str, data: bytes) -> Iterator[str]:
    """The lines that carry a file; `name` is a relative path."""
    packed = zlib.compress(data)
    pieces = [packed[at : at + _PIECE] for at in range(0, len(packed), _PIECE)] or [b""]
    for number, piece in enumerate(pieces):
        text = base64.b64encode(piece).decode()
        yield f"{MARK}file {json.dumps([name, number, len(pieces), text])}"


class Reader:
    """Takes a log in pieces as they come; see `feed`.

    Attributes:
        outcome: how the command ended; None until it was told.
        files: whole files so far.
    """

    def __init__(self) -> None:
        self._rest = ""
        self._pieces: dict[str, list[bytes]] = {}
        self.outcome: dict[str, Any] | None = None
        self.files: dict[str, bytes] = {}

    def feed(self, text: str) -> str:
        """Takes a piece of the log; returns the whole lines in it that are for people."""
        *lines, self._rest = (self._rest + text).split("\n")
        return "".join(f"{line}\n" for line in self._shown(lines))

    def end(self) -> str:
        """What stands behind the last line's end."""
        rest, self._rest = self._rest, ""
        return "".join(self._shown([rest] if rest else []))

    def _shown(self, lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            if not line.startswith(MARK) or not self._take(line.removeprefix(MARK)):
                yield line

    def _take(self, line: str) -> bool:
        """False for what only looks like one of ours: it is shown."""
        kind, _, text = line.partition(" ")
        try:
            told = json.loads(text)
            if kind == "outcome":
                self.outcome = dict(told)
                return True
            if kind == "file":
                name, number, of, piece = told
                return self._file(str(name), int(number), int(of), base64.b64decode(piece))
        except (ValueError, TypeError, binascii.Error, zlib.error):
            return False
        return False

    def _file(self, name: str, number: int, of: int, piece: bytes) -> bool:
        pieces = self._pieces.setdefault(name, [])
        if number == 0:
            pieces.clear()  # told anew: somebody runs the command again
        if number != len(pieces):
            return False
        pieces.append(piece)
        if len(pieces) == of:
            self.files[name] = zlib.decompress(b"".join(pieces))
            del self._pieces[name]
        return True
