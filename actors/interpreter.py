"""What a Mapper or Reducer is handed to know a job's meaning. Actors import no patterns; they load them by path."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ..protocols.errors import ConfigError
from ..protocols.jobs import JobSpec
from ..protocols.messages import ItemDone
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


def load(spec: JobSpec) -> Interpreter:
    """The job's interpreter. Raises `ConfigError` when its path leads nowhere."""
    return _imported(spec.interpreter)(spec)  # type: ignore[no-any-return]


def _imported(path: str) -> Any:
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{path!r} can't be imported: {error}; write it as module:Class") from error
