"""Inputs of a workflow, from the command line and from files; each is checked before anything is spent."""

import codecs
import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from ...protocols.errors import UsageError

MOST_BYTES: Final = 200_000_000
"""Of one input; larger ones are split into files and given as many."""

Check = Callable[[Any], str]
"""What is wrong with an input; empty when nothing is."""


def one(text: str, check: Check) -> Any:
    """The input that `--input` names: words, JSON that begins with { or [, `@FILE`, or `-` for standard input.

    Raises:
        UsageError: there is no such file, it can't be read, or the workflow doesn't take it.
    """
    name = "--input"
    if text == "-":
        name = "standard input"
        value = _value(_text(sys.stdin.buffer.read(), name), name)
    elif text.startswith("@"):
        name = text[1:]
        value = _value(_read(Path(name)), name, json=name.endswith(".json"))
    else:
        if not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text):
            raise UsageError(f"{name}: not UTF-8 text; put it into a file saved as UTF-8 and give @FILE")
        value = _value(text, name)
    flaw = check(value)
    if flaw:
        raise UsageError(f"{name}: {flaw}")
    return value


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(f"{path}: larger than {MOST_BYTES:,} bytes; give it in parts")
        return _text(path.read_bytes(), str(path))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}; check the path given to --input") from None


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None


def _value(text: str, name: str, *, json: bool = False) -> Any:
    if not json and not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if json:
            raise UsageError(f"{name}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from None
        return text


class Lines:
    """A file of inputs, a JSON value a line; read again each time it is gone through, never held in memory.

    Raises:
        UsageError: it can't be read, a line is no JSON, or the workflow doesn't take it; the text names the line.
    """

    def __init__(self, path: Path, check: Check) -> None:
        self._path = path
        self.count = 0
        summed = hashlib.blake2b(digest_size=16)
        if path.exists() and not path.is_file() and not path.is_dir():
            raise UsageError(f"{path}: can't be read twice; save the inputs as a file, and give that")
        for number, line in self._numbered():
            try:
                value = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise UsageError(f"{path}:{number}:{error.colno}: not JSON: {error.msg}; one value a line") from None
            flaw = check(value)
            if flaw:
                raise UsageError(f"{path}:{number}: {flaw}")
            self.count += 1
            summed.update(line)
        #: Of all lines: who goes on with a job sees whether the file is still the same.
        self.digest = summed.digest()
        if not self.count:
            raise UsageError(f"{path}: holds no inputs; write one JSON value a line")

    def __iter__(self) -> Iterator[Any]:
        return (orjson.loads(line) for _, line in self._numbered())

    def _numbered(self) -> Iterator[tuple[int, bytes]]:
        try:
            with self._path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    told = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
                    if told.strip():
                        yield number, told
        except OSError as error:
            raise UsageError(f"{self._path}: {error.strerror or error}; check the path given to --inputs") from None
