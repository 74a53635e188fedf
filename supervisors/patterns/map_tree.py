"""The variant `tree`: merged along the folders of the chunks' names, leaves first, while maps still run."""

import asyncio
import dataclasses
import os.path
from collections.abc import Sequence
from typing import Any

import msgspec

from ...actors.embedded.tokens import count
from ...protocols.errors import StepFailed
from ...protocols.workflow.patterns import MapReduce
from ...protocols.workflow.result import FlowResult
from ..digest.collapse import groups
from ..workflow.busy import Busy
from ..workflow.frame import Frame
from ..workflow.mapping import answers
from ..workflow.merging import HEADER, Missing, cut, text_of
from ..workflow.signals import Parked
from ..workflow.step import branch
from ..workflow.window import merge_budget
from .chunks import Chunk
from .reduced import Reduced


@dataclasses.dataclass(slots=True)
class Folder:
    """A folder, or a text of several chunks: what stands right in it."""

    path: str
    chunks: list[int] = dataclasses.field(default_factory=list)
    folders: "dict[str, Folder]" = dataclasses.field(default_factory=dict)

    @property
    def places(self) -> list[int]:
        """All chunks in it and below."""
        return [*self.chunks, *(place for folder in self.folders.values() for place in folder.places)]


def folders(chunks: Sequence[Chunk]) -> Folder:
    """The folder tree over the chunks' names; its shape depends on names alone."""
    root = Folder("./")
    for number, chunk in enumerate(chunks):
        here = root
        for part in _folder_of(chunk):
            path = f"{here.path.removeprefix('./')}{part}/"
            here = here.folders.setdefault(part, Folder(path))
        here.chunks.append(number)
    return root


def _folder_of(chunk: Chunk) -> list[str]:
    """Where a chunk stands: a text that was cut is a folder of its pieces, texts that share a chunk meet higher up."""
    value = chunk.value
    names = value.get("names") or [chunk.name] if isinstance(value, dict) else [chunk.name]
    if len(names) == 1 and isinstance(value, dict) and value.get("of", 1) > 1:
        return [part for part in str(names[0]).split("/") if part not in ("", ".")]
    common = os.path.commonpath([os.path.dirname(f"/{name}") for name in names])  # noqa: PTH120 - names are no paths here
    return [part for part in common.split("/") if part]


async def run(node: MapReduce, chunks: Sequence[Chunk], at: Frame) -> Reduced:
    """See `MapReduce`."""
    growth = _Growth(node, chunks, at)
    top = asyncio.ensure_future(growth.folder(folders(chunks), whole=True))
    try:
        values = [chunk.value for chunk in chunks]
        async for done in answers(node.map, values, at, bind=node.as_, concurrency=node.concurrency):
            growth.answered(done.item, done.error, done.data)
        value, depth = await top
    except Parked:
        await growth.busy.idle()  # merges that have begun are kept: they are not paid for twice
        raise
    finally:
        top.cancel()
        await asyncio.gather(top, return_exceptions=True)
    return Reduced(value, growth.missing, depth, growth.merges)


class _Growth:
    """Answers as they come, and the folders that wait for theirs."""

    def __init__(self, node: MapReduce, chunks: Sequence[Chunk], at: Frame) -> None:
        assert node.reduce is not None
        self._reduce = node.reduce
        self._budget = node.budget or merge_budget(node.reduce, at.run.caller)
        self._chunks = chunks
        self._at = at
        loop = asyncio.get_running_loop()
        self._answers: list[asyncio.Future[Any]] = [loop.create_future() for _ in chunks]
        self.missing: list[Missing] = []
        self.merges = 0
        self.busy = Busy()

    def answered(self, number: int, error: str, data: bytes) -> None:
        """A map has its answer, or has failed."""
        if error:
            self.missing.append((number, number + 1, error))
        if not self._answers[number].done():
            self._answers[number].set_result(None if error else msgspec.msgpack.decode(data, type=FlowResult).value)

    async def folder(self, folder: Folder, *, whole: bool = False) -> tuple[Any, int]:
        """(the folder's answer, the levels of merges in it); (None, 0) where nothing in it has one.

        A folder with one thing in it hands that through; the whole is always merged.
        """
        below = await self._below(folder)
        parts = []
        for number in folder.chunks:
            value = await self._answers[number]
            if value is not None:
                parts.append({"name": self._chunks[number].name, "value": value})
        for one, (value, _) in zip(folder.folders.values(), below, strict=True):
            if value is not None:
                parts.append({"name": one.path, "value": value})
        depth = max((deep for _, deep in below), default=0)
        if not parts:
            return None, 0
        if len(parts) == 1 and not whole:
            return parts[0]["value"], depth
        try:
            return await self._merged(folder, parts, depth)
        except StepFailed as error:
            lost = [number for number in folder.places if not self._is_missing(number)]
            self.missing += [(number, number + 1, f"merging {folder.path}: {error}") for number in lost]
            return None, 0

    async def _below(self, folder: Folder) -> list[tuple[Any, int]]:
        """What the folders in it have; all are at their end before one of them hands something up."""
        works = (self.folder(one) for one in folder.folders.values())
        ended = await asyncio.gather(*works, return_exceptions=True)
        for one in ended:
            if isinstance(one, BaseException):
                raise one
        return [one for one in ended if not isinstance(one, BaseException)]

    def _is_missing(self, number: int) -> bool:
        return any(first <= number < stop for first, stop, _ in self.missing)

    async def _merged(self, folder: Folder, parts: list[dict[str, Any]], depth: int) -> tuple[Any, int]:
        """In as many rounds as the budget needs."""
        number = 0
        while True:
            sizes = [count(text_of(part["value"])) + HEADER for part in parts]
            batches = groups(sizes, self._budget)
            values = []
            for batch in batches:
                number += 1
                values.append(await self._merge(folder, [parts[place] for place in batch], number))
            depth += 1
            if len(values) == 1:
                return values[0], depth
            parts = [{"name": folder.path, "value": value} for value in values]

    async def _merge(self, folder: Folder, parts: list[dict[str, Any]], number: int) -> Any:
        self.merges += 1
        share = self._budget // len(parts)
        if sum(count(text_of(part["value"])) + HEADER for part in parts) > self._budget:
            parts = [{**part, "value": cut(part["value"], share)} for part in parts]
        # No folder's path has two slashes in a row: the merges of `a/` and of `a/1/` have paths of their own.
        inner = self._at.below("reduce").below(
            f"{folder.path}/{number}", parts=parts, previous=parts, folder=folder.path
        )
        with self.busy:
            value = await branch(self._reduce, inner)
        if value is None:
            raise StepFailed("the merge was skipped: it has no output")
        return value
