"""What a Mapper or Reducer is handed to know a job's meaning. Actors import no patterns; they load them by path."""

import importlib
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from ..protocols.errors import ConfigError
from ..protocols.jobs import JobSpec, Page
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

    def children(self, spec: JobSpec, *, nodes: int = 0) -> Child:
        """A job that works for an item of this one. `nodes`: of its reduce tree, where that was drawn before.

        Its `parent` is set; its id has to be one that no other job has.
        """


@runtime_checkable
class Attached(Protocol):
    """An interpreter that wants to know its host; Mappers tell it once, before its first item."""

    def attach(self, host: Host) -> None:
        """Work is done at `host` from now on."""


def load(spec: JobSpec) -> Interpreter:
    """The job's interpreter. Raises `ConfigError` when its path leads nowhere."""
    return _imported(spec.interpreter)(spec)  # type: ignore[no-any-return]


def _imported(path: str) -> Any:
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{path!r} can't be imported: {error}; write it as module:Class") from error
