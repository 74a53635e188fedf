"""The W3C trace context, and how the ids of a job's spans follow from each other.

Ids are not drawn but made of what a span is of: who begins a piece of work again, in another process or after a crash,
gives it the same id, and who knows a job knows its trace without having been told. A job's trace is made of its id
unless whoever handed it in brought a context of his own.

Format: W3C Trace Context, level 1 (`version-trace-parent-flags`).
"""

import re
from hashlib import blake2b
from typing import Final, Literal, NamedTuple

_FORM: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MASK: Final = (1 << 64) - 1
SAMPLED: Final = 1


class TraceContext(NamedTuple):
    """A trace, a span of it, and whether the trace is recorded.

    Attributes:
        trace: 128 bits.
        span: 64 bits; 0 where there is no span around: then what begins here is the root.
        sampled: False where whoever began the trace does not record it.
    """

    trace: int
    span: int = 0
    sampled: bool = True

    @property
    def traceparent(self) -> str:
        """As it travels. Without a span it is no context that others could read, and empty."""
        return f"00-{self.trace:032x}-{self.span:016x}-{int(self.sampled):02x}" if self.span else ""

    def at(self, span: int) -> "TraceContext":
        """The same trace at another span."""
        return TraceContext(self.trace, span, self.sampled)


def parse(traceparent: str) -> TraceContext | None:
    """The context of a `traceparent` header; None where it says nothing, or nothing that the format allows."""
    found = _FORM.fullmatch(traceparent.strip())
    if found is None:
        return None
    version, trace, span, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not int(trace, 16) or not int(span, 16):
        return None
    return TraceContext(int(trace, 16), int(span, 16), bool(int(flags, 16) & SAMPLED))


def around(job: str, traceparent: str = "") -> TraceContext:
    """The context that a job begins in: what it was handed in with, else a trace of its own, without a span around."""
    return parse(traceparent) or TraceContext(_digest(16, "trace", job))


def job_context(job: str, traceparent: str = "", run: int = 0) -> TraceContext:
    """The context of what is done for a job: the span is the job's own.

    Args:
        job: its id.
        traceparent: what it was handed in with (`JobSpec.trace`).
        run: how often it was begun again; each time is a span of its own.
    """
    outer = around(job, traceparent)
    return outer.at(_digest(8, "job", f"{outer.trace:x}", f"{outer.span:x}", job, str(run)))


def part_span(job: TraceContext, kind: Literal["item", "node"], number: int, era: int = 0) -> int:
    """The span of an item of a job, or of a node of its tree; `era` counts how often an item was begun again."""
    return _digest(8, kind, f"{job.span:x}", str(number), str(era))


def step_span(part: int, path: str) -> int:
    """The span of the step at that path of an item's workflow."""
    return _digest(8, "step", f"{part:x}", path)


def nth(part: int, number: int) -> int:
    """The `number`th span (from 1) below an item or node, besides its steps: calls, attempts, waits."""
    return ((part + number) & _MASK) or 1


def _digest(size: Literal[8, 16], *parts: str) -> int:
    number = int.from_bytes(blake2b("\0".join(parts).encode(), digest_size=size).digest())
    return number or 1  # all zeros is no id
