"""The rungs of a logical call beside its models: an answer that was kept, and the declared one."""

import time
from typing import TYPE_CHECKING

from ...protocols.chat import ChatReply
from . import answers, preparing

if TYPE_CHECKING:
    from .logical import LogicalCall


def from_cache(call: "LogicalCall", *, stale: bool) -> bool:
    """Answers the call with what was kept for it, if there is that."""
    request, kit = call.request, call.kit
    kept = kit.answers(request.model) if request.model in kit.config.models else None
    if kept is None:
        return False
    reply = kept.get(_key(call), now=time.monotonic(), stale=stale)
    if reply is None:
        return False
    call.outcome.reply, call.outcome.rung = reply, "stale" if stale else "cache"
    return True


def keep(call: "LogicalCall", reply: ChatReply) -> None:
    """Keeps a model's reply for calls like this one, if its route keeps any."""
    kept = call.kit.answers(call.request.model)
    if kept is not None:
        settings = call.kit.config.models[call.request.model].cache
        assert settings is not None
        kept.put(_key(call), reply, ttl_s=settings.ttl_s, stale_s=settings.stale_s, now=time.monotonic())


def fall_back(call: "LogicalCall") -> None:
    """The last rungs: an older answer, then the declared one. The error stays, to tell why."""
    if call.options.cache and from_cache(call, stale=True):
        return
    route = call.kit.config.models.get(call.request.model)  # none where no route could be chosen
    if route is not None and route.degraded is not None:
        call.outcome.reply = ChatReply(route.degraded, "degraded", preparing.NOTHING)
        call.outcome.rung = "degraded"


def _key(call: "LogicalCall") -> bytes:
    options = call.options
    return answers.key(call.request, call.request.model, options.tenant, options.overflow or "")
