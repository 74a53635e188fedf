"""What every wire format can do: one neutral request in, the provider's bytes out, and back."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from ..chat import ChatReply, ChatRequest, Usage
from ..errors import CallError


class LimitsTold(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a reply's headers say of the account's quotas; -1 where they say nothing.

    Attributes:
        requests: requests a minute.
        requests_left: how many of them are left now.
        requests_reset_s: until they are all there again.
        tokens: tokens a minute.
        tokens_left: how many of them are left now.
        tokens_reset_s: until they are all there again.
    """

    requests: int = -1
    requests_left: int = -1
    requests_reset_s: float = -1.0
    tokens: int = -1
    tokens_left: int = -1
    tokens_reset_s: float = -1.0


class StreamDecoder(Protocol):
    """Reads one streamed reply. Feed it bytes as they come; it keeps what it has understood."""

    usage: Usage
    """What the provider has counted so far; zeros until it says something."""
    text: str
    """All text so far."""

    def feed(self, data: bytes) -> str:
        """The new text that `data` completes, perhaps none.

        Raises:
            CallError: the stream says that something went wrong, or can't be understood. What came before stays in
                `text` and `usage`.
        """

    def finish(self) -> ChatReply:
        """The whole reply, when the bytes have ended.

        Raises:
            ConnectionFault: they ended before the reply did.
            ContentFiltered: the provider's filter withheld the answer.
            InvalidReply: what came is no reply.
        """


class Codec(Protocol):
    """One provider's format. Stateless; each format is a module with one instance, see `formats`."""

    def target(self, model: str, *, stream: bool) -> str:
        """Path and query below the account's base URL, beginning with `/`."""

    def headers(self, key: str | None) -> dict[str, str]:
        """Headers that each request carries, the key among them where there is one."""

    def encode(self, request: ChatRequest, model: str, *, stream: bool = False) -> bytes:
        """The body for `model`, as the provider calls it."""

    def decode(self, body: bytes) -> ChatReply:
        """The reply in a 200's body.

        Raises:
            InvalidReply: it is none.
            ContentFiltered: the provider's filter withheld the answer.
        """

    def stream(self) -> StreamDecoder:
        """A decoder for one streamed reply."""

    def classify(self, status: int, headers: Mapping[str, str], body: bytes, *, wall: float) -> CallError:
        """The error that a reply other than 200 stands for; `wall` is seconds since the epoch."""

    def limits(self, headers: Mapping[str, str], *, wall: float) -> LimitsTold | None:
        """What the headers of a reply say of the account's quotas."""

    def worked_s(self, headers: Mapping[str, str]) -> float:
        """How long the provider says it worked on the request; 0 where it does not say."""
