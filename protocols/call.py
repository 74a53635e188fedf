"""What a caller may ask for besides the request itself, and what a logical call came to."""

from typing import Literal

import msgspec

from .chat import ChatReply, Usage
from .messages import Outcome
from .routes import OnCut, OnFilter, Overflow

Role = Literal["first", "retry", "fallback", "hedge"]
"""Why an attempt was made."""

Rung = Literal["", "model", "cache", "stale", "degraded"]
"""Who answered in the end: a model; the cache, before any model was asked; the cache with an older answer, since every
model failed; the declared answer, since there was not even that. Empty where nobody did."""


class Reset(msgspec.Struct, frozen=True):
    """Said to who reads a stream: what came so far is void, the answer begins anew."""


RESET = Reset()


class CallOptions(msgspec.Struct, frozen=True):
    """How one logical call is to be made. None stands for what the route says.

    Attributes:
        tenant: who it is for.
        job: the job it belongs to; with the tenant it names the share of the quota it is paid from.
        weight: the job's share against other jobs of its tenant.
        interactive: somebody waits: it goes before all that are not.
        deadline_s: seconds for the whole call; None for that of the configuration.
        max_cost: picodollars for all attempts together; -1 for the configuration's.
        cache: an earlier answer to the same request will do, and this one may be kept.
        private: what it says must not leave: only private accounts may be called.
        overflow: what is done with a request that is larger than the window.
        filtered: what is done when a provider's filter refuses.
        cut: what is done when a stream breaks after its first words.
        hedge: False forbids hedges for this call.
    """

    tenant: str = ""
    job: str = ""
    weight: float = 1.0
    interactive: bool = False
    deadline_s: float | None = None
    max_cost: int = -1
    cache: bool = False
    private: bool = False
    overflow: Overflow | None = None
    filtered: OnFilter | None = None
    cut: OnCut | None = None
    hedge: bool = True


class Attempt(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One request that was sent, or that could not be.

    Attributes:
        candidate: `account/model`.
        role: why it was made.
        outcome: how it ended; `cancelled` for a hedge, or what it was hedged against, that came second.
        began_s: seconds after the call began.
        took_s: seconds from then to its end.
        wait_s: the part of it that it waited for a permit.
        sent: False where the request certainly never reached the provider.
        usage: tokens the provider counted, as far as it told.
        cost: picodollars; -1 where no price is known.
        open_cost: picodollars that the provider may have charged besides, because the reply was never seen to its end.
        first_s: seconds until a stream's first words; -1 where there was no stream, or no word.
        error: one line, empty for `ok`.
        state: the breaker of its account, as last heard of.
        status: of the reply, where there was one and it was no success.
    """

    candidate: str
    role: Role
    outcome: Outcome
    began_s: float
    took_s: float
    wait_s: float = 0.0
    sent: bool = True
    usage: Usage = Usage()
    cost: int = 0
    open_cost: int = 0
    first_s: float = -1.0
    error: str = ""
    state: str = "closed"
    status: int = 0


class CallResult(msgspec.Struct, frozen=True):
    """What a logical call came to, as it travels.

    Attributes:
        reply: None exactly when `error` says why.
        rung: who answered.
        model: `account/model` that answered, or that failed last.
        attempts: all of them, in the order they ended.
        took_s: from the call to its answer.
        queued: True where the answer is a declared one and the request should be tried again later.
    """

    reply: ChatReply | None
    error: str = ""
    rung: Rung = ""
    model: str = ""
    attempts: tuple[Attempt, ...] = ()
    took_s: float = 0.0
    queued: bool = False
