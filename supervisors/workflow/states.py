"""`steps`, as templates know it: how each step with an id ended."""

from collections.abc import Iterator, Mapping
from typing import Any


class States(Mapping[str, Any]):
    """Those of the whole run, with those of the chains around in their place.

    What runs at once for many items has steps of the same id: each item knows its own.

    Attributes:
        own: of the chains around.

    Args:
        run: of the run, by id, the last that ended; it goes on changing.
        own: see above.
    """

    __slots__ = ("_run", "own")

    def __init__(self, run: Mapping[str, Any], own: Mapping[str, Any]) -> None:
        self._run = run
        self.own = own

    def __getitem__(self, name: str) -> Any:
        return self.own[name] if name in self.own else self._run[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._run, **self.own})

    def __len__(self) -> int:
        return len({**self._run, **self.own})
