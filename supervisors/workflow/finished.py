"""What is kept of a leaf step that is finished, so that a run that is begun anew does not do it again.

Leaf steps are the calls of a `call` (its one turn to mend an answer is a step of its own) and the run of a `function`:
nothing else in a workflow does anything outside. All between them follows from what they gave. Pure.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ...protocols.call import Rung
from ...protocols.chat import ChatRequest

if TYPE_CHECKING:
    from ...protocols.call import Attempt

_PACK: Final = msgspec.msgpack.Encoder()
_STAND_INS: Final = ("stale", "degraded")


class Tried(msgspec.Struct, frozen=True, array_like=True):
    """One attempt of a call, as far as a bill needs it; fields as in `Attempt`."""

    candidate: str
    sent: bool = True
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
    open_cost: int = 0
    hedge: bool = False


class Finished(msgspec.Struct, frozen=True, array_like=True):
    """What a leaf step came to.

    Attributes:
        value: the reply's text, or what the function returned as JSON; None where there is none.
        error: why it failed, or why something else stands in.
        model: who answered, or failed last.
        rung: who answered; empty for a function.
        tried: attempts that cost something or were sent.
        tokens: what budgets count.
    """

    value: str | None = None
    error: str = ""
    model: str = ""
    rung: Rung = ""
    tried: tuple[Tried, ...] = ()
    tokens: int = 0

    @property
    def good(self) -> bool:
        """True for what need not be tried again: neither a failure nor an answer that stands in for one."""
        return self.value is not None and self.rung not in _STAND_INS


encode: Final = _PACK.encode
"""As `StepRow.data` holds it."""
decode: Final = msgspec.msgpack.Decoder(Finished).decode
"""The reverse of `encode`."""


def tried(log: "Sequence[Attempt]") -> tuple[Tried, ...]:
    """Those attempts of a call that a bill knows."""
    return tuple(
        Tried(
            one.candidate,
            one.sent,
            one.usage.input_tokens,
            one.usage.output_tokens,
            one.cost,
            one.open_cost,
            one.role == "hedge",
        )
        for one in log
        if one.sent or one.cost or one.open_cost
    )


def call_hash(request: ChatRequest, *more: object) -> bytes:
    """What a call is given: its request, and whatever else changes its answer. About 3 µs."""
    return blake2b(_PACK.encode((request, more)), digest_size=16).digest()


def function_hash(path: str, arguments: Mapping[str, Any]) -> bytes:
    """What a function is given: which one it is, and its arguments.

    By what Python writes of them, since templates make what no encoder of JSON takes: numbers of any size, keys that
    are no texts. Values that went through JSON are written alike.
    """
    return blake2b(f"{path} {arguments!r}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def named(*parts: bytes | str) -> bytes:
    """16 bytes that stand for these parts in this order."""
    digest = blake2b(digest_size=16)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.digest()
