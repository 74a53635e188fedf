"""The provider's own books: one record a request, as the provider saw it."""

from collections.abc import Sequence
from typing import Literal

import msgspec

Outcome = Literal[
    "in_flight",
    "ok",
    "refused_400",
    "refused_401",
    "refused_404",
    "refused_413",
    "refused_429",
    "error_500",
    "error_503",
    "dropped",
    "malformed",
    "cut",
    "timeout",
    "cancelled",
    "outage",
    "overloaded",
    "stall",
    "stream_error",
    "filtered",
    "schema_mismatch",
    "context",
    "auth",
    "not_found",
    "bad_request",
    "insufficient_quota",
]


# gc=False: a record holds no containers, so it cannot be part of a cycle, and millions of them then cost the
# collector nothing.
class Record(msgspec.Struct, kw_only=True, gc=False):
    """One request.

    ``t`` and ``t_end`` are monotonic seconds of the simulator's machine: when the whole request had arrived,
    and when its reply was handed to the socket, or the client was seen to be gone. ``accepted``: it passed
    the quotas and counts in their windows, with ``prompt_tokens + completion_tokens``, both decided at
    arrival. ``cost``: dollars, an exact decimal. ``status``: of the reply, 0 if none was sent.
    ``client_left``: the client closed before the reply was complete; ``t_end - t`` is then how long it stayed.
    ``retry_after_s``: what the reply told a refused client to wait, seconds from ``t``.

    ``prompt_tokens`` include ``cached_tokens`` and ``written_tokens`` (read from the prompt cache, written to
    it), ``completion_tokens`` include ``reasoning_tokens``; ``sent_tokens`` are those of them that were handed
    to the socket. ``fault``: what made the request fail, also in an outage. ``continued``: it asked for the rest
    of an answer. ``kind``: chat or embeddings.
    """

    ordinal: int
    t: float
    wall: float
    key: str
    model: str = ""
    client_port: int = 0
    request_id: str | None = None
    content_hash: str = ""
    stream: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0
    accepted: bool = False
    cost: str = "0"
    status: int = 0
    outcome: Outcome = "in_flight"
    client_left: bool = False
    retry_after_s: float | None = None
    t_end: float | None = None
    dialect: str = "openai"
    kind: str = "chat"
    cached_tokens: int = 0
    written_tokens: int = 0
    reasoning_tokens: int = 0
    sent_tokens: int = 0
    fault: str = ""
    continued: bool = False


class Ledger:
    """The records in order of arrival, at most ``cap`` of them; what came after is counted, not kept.

    Invariant: ``records[i].ordinal == i``.
    """

    def __init__(self, cap: int) -> None:
        self.records: list[Record] = []
        self.cap = cap
        self.arrived = 0

    def append(self, record: Record) -> None:
        """Enter a request at its arrival; its end is written into the same record."""
        self.arrived += 1
        if len(self.records) < self.cap:
            self.records.append(record)

    @property
    def lost(self) -> int:
        """Requests past the cap, of which nothing is known."""
        return self.arrived - len(self.records)

    def page(self, since: int = 0, limit: int = 100_000) -> list[Record]:
        """At most ``limit`` records from the ordinal ``since`` on."""
        return self.records[since : since + limit]

    def reset(self) -> None:
        """Forget all records; requests in flight end unrecorded."""
        self.records = []
        self.arrived = 0


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


def to_lines(records: Sequence[Record]) -> bytes:
    """JSON, one record a line."""
    return _encoder.encode_lines(records)


def from_lines(data: bytes) -> list[Record]:
    """The records of such lines. Raises msgspec.ValidationError for anything else."""
    return _decoder.decode_lines(data)
