"""The decision table of one logical model call, as data.

A row says what follows a failure of a kind. `understudy.actors.call.policy` reads it; nothing else decides.
"""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from .errors import FailureKind


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """What follows one kind of failure.

    Attributes:
        retries: how often the same candidate is tried again before the next one steps in.
        backoff: wait with full jitter before trying the same candidate again.
        next_candidate: another candidate may be tried.
        counts: the breaker counts it as a failure of the provider.
        charged: it uses up one of the logical call's attempts.
        account_down: the account is left alone until its configuration is mended.
    """

    retries: int
    backoff: bool
    next_candidate: bool
    counts: bool
    charged: bool = True
    account_down: bool = False


TABLE: Final[Mapping[FailureKind, Row]] = MappingProxyType(
    {
        # The account waits (Retry-After); whether to wait or to fall over is decided by who is free sooner.
        "rate_limited": Row(retries=0, backoff=False, next_candidate=True, counts=False, charged=False),
        "timeout": Row(retries=0, backoff=False, next_candidate=True, counts=True),
        "server": Row(retries=2, backoff=True, next_candidate=True, counts=True),
        "connection": Row(retries=2, backoff=True, next_candidate=True, counts=True),
        "invalid_reply": Row(retries=1, backoff=False, next_candidate=True, counts=True),
        "context_too_long": Row(retries=0, backoff=False, next_candidate=True, counts=False),
        "filtered": Row(retries=0, backoff=False, next_candidate=True, counts=False),
        "auth": Row(retries=0, backoff=False, next_candidate=True, counts=False, account_down=True),
        "not_found": Row(retries=0, backoff=False, next_candidate=True, counts=False),
        "bad_request": Row(retries=0, backoff=False, next_candidate=False, counts=False),
        "quota_impossible": Row(retries=0, backoff=False, next_candidate=True, counts=False),
        "private": Row(retries=0, backoff=False, next_candidate=True, counts=False, charged=False),
    }
)
