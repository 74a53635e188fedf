"""What is said about jobs that wait: handed in now, worked on when it is their turn."""

import msgspec

from .jobs import JobState
from .jobs import QueueStatus as QueueStatus  # noqa: PLC0414 - it is part of what is said about jobs that wait


class Submission(msgspec.Struct, frozen=True, array_like=True):
    """A job to be queued, with all its items.

    Attributes:
        spec: a `JobSpec`.
        blocks: (how many items, their bytes as `pack_block` made them).
        nodes: of its reduce tree, where that was drawn before.
        key: who hands in under the same key again, for the same tenant, gets the job that is there.
        priority: 0 goes first, 9 last; who waits rises.
        delay_s: it is not begun before.
        attempts: it is begun so often at most; then it is a dead letter.
        meta: what whoever reads it later needs; opaque.
    """

    spec: bytes
    blocks: tuple[tuple[int, bytes], ...]
    nodes: int = 0
    key: str = ""
    priority: int = 5
    delay_s: float = 0.0
    attempts: int = 3
    meta: bytes = b""


class Submitted(msgspec.Struct, frozen=True, array_like=True):
    """What became of a submission: the job's id and state; `new` is False where its key was known."""

    id: str
    state: JobState
    new: bool = True
