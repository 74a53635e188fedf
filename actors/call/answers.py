"""Answers kept by content: pure, told the time.

An answer is fresh for a while, and after that it may still stand in for a while when every model fails. Only whole
answers are kept: one that was cut at its length or withheld by a filter is no answer to give again.
"""

import hashlib
from collections import OrderedDict
from typing import Final, NamedTuple

import msgspec

from ...protocols.chat import ChatReply, ChatRequest

_ENTRY: Final = 300
"""Bytes that an entry takes beside its reply's text, about."""
_WHOLE: Final = frozenset({"stop", "tool_calls"})

_encode: Final = msgspec.msgpack.Encoder().encode


def key(request: ChatRequest, model_route: str, tenant: str = "", overflow: str = "") -> bytes:
    """What an answer to `request` by `model_route` is kept by: 16 bytes, the same in every process.

    All that is asked counts, to the last parameter; the request's own name of the model doesn't, `model_route` does.
    So does the tenant: what one was answered is not given to another, and nobody can find out what others asked;
    and `overflow`, where the call has its own: an answer to a prompt that was cut is none to the whole.
    """
    named = msgspec.structs.replace(request, model=model_route)
    return hashlib.blake2b(_encode((named, tenant, overflow) if tenant or overflow else named), digest_size=16).digest()


class _Kept(NamedTuple):
    """A reply, until when it is fresh, until when it may stand in, and its bytes."""

    reply: ChatReply
    fresh: float
    stale: float
    size: int


class AnswerCache:
    """Keeps replies up to `max_bytes`; what was not asked for longest goes first."""

    __slots__ = ("_bytes", "_kept", "_max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        #: The one that was asked for last stands last.
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size(self) -> int:
        """Bytes of all that is kept, about; never more than `max_bytes`."""
        return self._bytes

    def get(self, key: bytes, *, now: float, stale: bool = False) -> ChatReply | None:
        """The reply kept under `key` if it is fresh or, with `stale`, if it may still stand in; else None."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if now >= kept.stale:
            self._drop(key)
            return None
        if now >= kept.fresh and not stale:
            return None
        self._kept.move_to_end(key)
        return kept.reply

    def put(self, key: bytes, reply: ChatReply, *, ttl_s: float, stale_s: float, now: float) -> None:
        """Keeps a whole reply: fresh for `ttl_s`, able to stand in for `stale_s` more. Others are not kept."""
        if reply.finish not in _WHOLE:
            return
        self._drop(key)
        size = len(_encode(reply)) + _ENTRY
        if size > self._max_bytes:
            return
        self._kept[key] = _Kept(reply, now + ttl_s, now + ttl_s + stale_s, size)
        self._bytes += size
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: bytes) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= kept.size
