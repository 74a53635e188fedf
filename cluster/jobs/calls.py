"""Calls to a named actor that outlive it, several at a time: a successor is asked what the dead one was.

As `Session.call`, which waits for one. Only for methods that may be asked twice.
"""

import time
from collections.abc import Sequence
from typing import Any

from ...protocols.errors import UnderstudyError
from ..session import PATIENCE_S, PAUSE_S, Session


class Calls:
    """Calls to the actor that has a name now, whoever that is.

    Args:
        session: attached to the cluster.
        name: of the actor.
    """

    def __init__(self, session: Session, name: str) -> None:
        self.session = session
        self.name = name
        self._handle: Any = None

    def start(self, method: str, *args: Any, again: Sequence[Any] | None = None, **named: Any) -> "Pending":
        """Begins a call. A successor is told `again` instead of `args`, where that is given."""
        return Pending(self, method, args, args if again is None else again, named)

    def call(self, method: str, *args: Any, **named: Any) -> Any:
        """The answer to a call. Raises as `Pending.value` does."""
        return self.start(method, *args, **named).value()

    def handle(self, dead: Any = None) -> Any:
        """The living actor, as far as is known; `dead` is the handle of one that is not."""
        if self._handle is None or self._handle is dead:
            self._handle = self.session.actor(self.name)
        return self._handle


class Pending:
    """A call that is under way; `reference` is what Ray can wait for."""

    def __init__(
        self, calls: Calls, method: str, args: Sequence[Any], again: Sequence[Any], named: dict[str, Any]
    ) -> None:
        self._calls, self._method, self._again, self._named = calls, method, again, named
        self._to = calls.handle()
        self.reference = getattr(self._to, method).remote(*args, **named)

    def value(self, timeout: float | None = None) -> Any:
        """The answer.

        Raises:
            UnderstudyError: what the actor itself has raised; or nobody took its place in time, or `timeout` seconds
            have passed.
        """
        import ray  # noqa: PLC0415 - 0.3 s, and only when an actor is needed

        deadline: float | None = None
        while True:
            try:
                return ray.get(self.reference, timeout=timeout)
            except ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, UnderstudyError):
                    raise error.cause from None
                raise
            except ray.exceptions.GetTimeoutError:
                raise UnderstudyError(f"{self._calls.name} did not answer within {timeout:g} s") from None
            except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError) as error:
                now = time.monotonic()
                deadline = deadline or now + PATIENCE_S
                if now > deadline:
                    text = str(error).strip().split("\n", 1)[0]
                    raise UnderstudyError(f"{self._calls.name} died, and nobody took its place ({text})") from None
                time.sleep(PAUSE_S)
                self._repeat()

    def _repeat(self) -> None:
        self._to = self._calls.handle(self._to)
        self.reference = getattr(self._to, self._method).remote(*self._again, **self._named)


def first_of(pending: Sequence[Pending]) -> list[Pending]:
    """Those calls that have an answer, or have lost their actor; waits for one at least."""
    import ray  # noqa: PLC0415 - as above

    ready, _ = ray.wait([one.reference for one in pending], num_returns=1)
    return [one for one in pending if one.reference in ready]
