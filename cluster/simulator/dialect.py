"""What a provider's protocol is to the engine: reads a body, writes an answer, a stream or an error."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

from .quota import Standing
from .request import Reply, Request
from .settings import ModelSettings, RetryAfterForm
from .wire import retry_after

FailureKind = Literal[
    "auth",
    "revoked",
    "not_found",
    "bad_request",
    "too_large",
    "context",
    "filtered",
    "refused_429",
    "insufficient_quota",
    "error_500",
    "error_503",
    "overloaded",
]
DialectName = Literal["openai", "azure", "anthropic", "gemini"]
PathKind = Literal["chat", "embeddings"]


class Stamp(NamedTuple):
    """What names a reply: the request's ordinal and the wall time in seconds."""

    ordinal: int
    wall: float


class Event(NamedTuple):
    """One server-sent event, and how many completion tokens reach the client with it."""

    data: bytes
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """An error before it is put in a dialect's words.

    ``message`` and ``param``: of a bad request. ``model``, ``prompt_tokens``, ``asked`` (of output) and
    ``window`` are told where the words need them. ``limit``: which quota refused; ``wait_s``: seconds the
    reply tells the client to wait, None if that is never.
    """

    kind: FailureKind
    message: str = ""
    param: str | None = None
    model: str = ""
    prompt_tokens: int = 0
    asked: int = 1
    window: int = 0
    limit: str = "requests"
    wait_s: float | None = None


class Spoken(NamedTuple):
    """An error in a dialect's words: HTTP status and body."""

    status: int
    body: bytes


class Told(NamedTuple):
    """A header line (or none) about when to come back, and the seconds the client is told to wait."""

    line: str
    wait_s: float


class Dialect(ABC):
    """One protocol. Stateless."""

    name: ClassVar[DialectName]
    kind: ClassVar[PathKind] = "chat"

    @abstractmethod
    def read(self, body: bytes, target: "Target") -> Request:
        """The request in a body. Raises BadRequestError in the words a provider would use."""

    @abstractmethod
    def answer(self, request: Request, reply: Reply, stamp: Stamp) -> bytes:
        """A whole reply."""

    @abstractmethod
    def events(self, request: Request, reply: Reply, stamp: Stamp, chunk_chars: int) -> list[Event]:
        """A streamed reply; text is cut at ``chunk_chars``, a multiple of 4."""

    @abstractmethod
    def blocked(self, request: Request, stamp: Stamp) -> Spoken:
        """The refusal of a prompt that the provider's filter rejects."""

    @abstractmethod
    def error(self, failure: Failure, stamp: Stamp) -> Spoken:
        """An error reply."""

    @abstractmethod
    def error_event(self, stamp: Stamp) -> bytes:
        """The error event of a stream that fails in its middle."""

    @abstractmethod
    def headers(self, standing: Standing | None, stamp: Stamp) -> str:
        """Header lines of every reply: its id, and what is left of the quotas."""

    @abstractmethod
    def models(self, models: Mapping[str, ModelSettings], created: float) -> bytes:
        """The list of models."""

    def worked(self, seconds: float) -> str:  # noqa: ARG002 (some dialects tell it)
        """The header line that says how long a request was worked on, or nothing."""
        return ""

    def come_back(self, form: RetryAfterForm, wait_s: float, *, wall: float) -> Told:
        """How a refused client is told to wait at least ``wait_s``."""
        return Told(*retry_after(form, wait_s, wall=wall))


@dataclass(frozen=True, slots=True)
class Target:
    """What a request's path says: the dialect, and in some dialects the model and whether it streams.

    ``complaint``: what is wrong with the request before its body is read.
    """

    dialect: Dialect
    model: str | None = None
    stream: bool = False
    complaint: str = ""


def pieces(text: str, chunk_chars: int) -> list[str]:
    """A text in chunks of so many characters, the last one shorter."""
    return [text[at : at + chunk_chars] for at in range(0, len(text), chunk_chars)]
