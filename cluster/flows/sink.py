"""Results as a file: a JSON line each, in the order they are done, each run once however often it was tried."""

from pathlib import Path

import orjson

from ...protocols.errors import UsageError
from ...protocols.messages import ItemDone
from .results import read


class Sink:
    """Writes results as they come; `number` of each is the input's, from 0.

    A run that was tried again has a later result: when the file is closed the earlier one is taken out.

    Raises:
        UsageError: the file can't be written, or is the file of the inputs.
    """

    def __init__(self, path: Path, inputs: Path) -> None:
        self._path = path
        self._seen = bytearray()
        #: For runs with more than one result: which line is the one that counts.
        self._newest: dict[int, int] = {}
        self._lines = 0
        try:
            if path.exists() and inputs.exists() and path.samefile(inputs):
                raise UsageError(f"--out {path}: that is the file of the inputs; name another (--out FILE)")
            self._file = path.open("wb")
        except OSError as error:
            raise UsageError(f"--out {path}: {error.strerror or error}") from None

    def write(self, done: ItemDone) -> None:
        """One more result."""
        if done.item >= len(self._seen):
            self._seen.extend(bytes(max(done.item + 1 - len(self._seen), len(self._seen))))
        if self._seen[done.item]:
            self._newest[done.item] = self._lines
        self._seen[done.item] = 1
        self._lines += 1
        self._file.write(orjson.dumps(read(done).plain()) + b"\n")

    def flush(self) -> None:
        """What was written can be read by others."""
        self._file.flush()

    def close(self) -> None:
        """Nothing more comes."""
        self._file.close()
        if self._newest:
            self._drop_earlier()
            self._newest.clear()

    def _drop_earlier(self) -> None:
        fresh = self._path.with_name(self._path.name + ".new")
        kept = set(self._newest.values())
        with self._path.open("rb") as old, fresh.open("wb") as new:
            for place, line in enumerate(old):
                if place in kept or orjson.loads(line)["number"] not in self._newest:
                    new.write(line)
        fresh.replace(self._path)
