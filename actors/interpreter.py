"""What a Mapper or Reducer is handed to know a job's meaning. Actors import no patterns; they load them by path."""

import importlib
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from ..protocols.errors import ConfigError
from ..protocols.jobs import JobSpec, Page
from ..protocols.journal import Recalled, StepRow
from ..protocols.messages import ItemDone, StepEvent
from .call.caller import Caller


class Interpreter(Protocol):
    """Turns items into model calls. One instance per job and actor, made from the job's specification.

    Failures are told in `ItemDone.error`; an exception is a fault of the interpreter and becomes the item's error.
    """

    def __init__(self, spec: JobSpec) -> None: ...

    async def map(self, number: int, item: bytes, caller: Caller) -> ItemDone:
        """The answer for item `number`."""

    def tree(self) -> Sequence[Sequence[int]]:
        """Children of each node of the reduce tree, by node; ids of children are smaller. Leaves have none."""

    def leaves(self, done: ItemDone) -> Sequence[ItemDone]:
        """The leaf answers (`item` is the node) that an item's answer holds."""

    async def reduce(self, node: int, children: Mapping[int, ItemDone], caller: Caller) -> ItemDone:
        """The answer for a node, from those of its children."""


@runtime_checkable
class Resumable(Protocol):
    """An interpreter whose items may park: `map` answers `ItemDone.parked`, and the item goes on when people have."""

    async def resume(self, number: int, item: bytes, caller: Caller, state: bytes) -> ItemDone:
        """The answer for item `number`, which was parked; it may park again.

        `state` is a `Resumed`: what the item had finished, and the verdicts on all that it asked when it parked last.
        What it had used by then is on the bill: the answer names only attempts, tokens and cost since.
        """


class StepLog(Protocol):
    """The steps that one item has finished, kept by the Journal: whoever begins the item anew runs none of them again.

    Attributes:
        era: how often the item has parked or was tried again before.
        again: the item was begun before: some of its steps may be known.
    """

    era: int
    again: bool

    def known(self, path: str, hash: bytes) -> StepRow | None:  # noqa: A002 - the row's own word
        """The step at that path, if it was finished with just that; of several eras the newest."""

    async def keep(self, path: str, hash: bytes, data: bytes) -> None:  # noqa: A002 - the row's own word
        """The step is finished. Returns when that is on disk: nothing that follows from it may be done before."""


class Memory(Protocol):
    """What earlier jobs have answered, by contents; see `ItemDone.keys`."""

    async def recall(self, keys: Sequence[bytes]) -> list[Recalled | None]:
        """For each of the keys the newest answer that has it. Never raises: what can't be read is not remembered."""


class Child(Protocol):
    """A job that works for an item: a context that opens it, and cancels it when it is left before the job is over.

    Raises `ActorDied` where the Supervisor has died, `UnderstudyError` where it refuses.
    """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def add(self, items: Sequence[bytes]) -> None:
        """More items, numbered in the order they are added.

        It waits for room: where the job lets its answers go, somebody has to read `pages` meanwhile.
        """

    async def seal(self) -> None:
        """No more items will come."""

    def pages(self) -> AsyncIterator[Page]:
        """News until the job is over, to be read once; the last page's state tells how it ended."""


class Host(Protocol):
    """Where an interpreter works: the Mapper's side of one job."""

    @property
    def name(self) -> str:
        """The Mapper's name."""

    def tell(self, event: StepEvent) -> None:
        """Something happened to a step; told to whoever watches the job, together with others."""

    def children(self, spec: JobSpec, *, nodes: int = 0, again: str = "") -> Child:
        """A job that works for an item of this one. `nodes`: of its reduce tree, where that was drawn before.

        Its `parent` is set. A job of that id that is there already, with the same specification, is gone on with: what
        was answered is told again and paid for no more. So whoever may be begun anew gives the same id each time. With
        `again` items of it that have `failed`, or whose answers stand in (`standing`), are tried again.
        """

    def steps(self, number: int) -> StepLog | None:
        """The finished steps of an item that is being worked on; None where the job is not journaled ahead."""


@runtime_checkable
class Attached(Protocol):
    """An interpreter that wants to know its host; Mappers tell it once, before its first item."""

    def attach(self, host: Host) -> None:
        """Work is done at `host` from now on."""


@runtime_checkable
class Remembering(Protocol):
    """An interpreter that looks for answers of earlier jobs; Mappers and Reducers tell it once where."""

    def remember(self, memory: Memory) -> None:
        """Earlier answers are found there."""


def load(spec: JobSpec) -> Interpreter:
    """The job's interpreter. Raises `ConfigError` when its path leads nowhere."""
    return _imported(spec.interpreter)(spec)  # type: ignore[no-any-return]


def _imported(path: str) -> Any:
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{path!r} can't be imported: {error}; write it as module:Class") from error
