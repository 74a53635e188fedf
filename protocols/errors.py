"""The one error tree.

    UnderstudyError
    ├── UsageError                  bad input from a person: where, and how to mend it (exit code 2)
    │   ├── ConfigError
    │   └── SourceError
    ├── CallError                   a model call went wrong; `kind` picks the row of the decision table
    │   ├── RateLimited             429
    │   ├── CallTimeout
    │   ├── ServerFault             5xx
    │   ├── ConnectionFault
    │   ├── InvalidReply            not JSON, or not the schema
    │   ├── ContextTooLong
    │   ├── ContentFiltered
    │   ├── AuthRejected            401, 403
    │   ├── ModelNotFound           404
    │   ├── BadRequest              any other 4xx
    │   ├── QuotaImpossible         the call is larger than the whole quota
    │   └── PrivacyRefused          what must not leave was stopped at the last gate
    ├── BudgetSpent                 attempts, time or money of a logical call or job are used up
    ├── StepFailed                  a step of a workflow has failed; its policy decides what follows
    ├── Cancelled                   somebody asked for the work to stop
    ├── JournalError                the journal can't be used at all: another program's file, a newer version
    │   └── JournalPaused           it can't be written just now: disk full, file locked, connection lost
    └── ActorError
        ├── ActorDied               the actor died before it answered
        └── MailboxFull             the bounded mailbox had no place in time

What a call error leads to is data: see `understudy.protocols.decisions`. Errors cross processes, so each pickles by its
constructor's arguments and holds no secret.
"""

from typing import Literal

FailureKind = Literal[
    "rate_limited",
    "timeout",
    "server",
    "connection",
    "invalid_reply",
    "context_too_long",
    "filtered",
    "auth",
    "not_found",
    "bad_request",
    "quota_impossible",
    "private",
]


class UnderstudyError(Exception):
    """Base of all errors understudy raises. `str()` is one line that says what, where, and how to mend it."""


class UsageError(UnderstudyError):
    """Raised when a person's input can't be used; nothing was spent. Don't retry: mend the input as the text says."""


class ConfigError(UsageError):
    """Raised when a configuration is wrong; the text names file, line and key. Don't retry: mend the file."""


class SourceError(UsageError):
    """Raised when what is to be digested can't be read. Don't retry: mend the path or its permissions."""


class CallError(UnderstudyError):
    """Raised when one attempt of a model call failed; whether it is retried is decided by the decision table.

    Args:
        message: one line, without any secret.
        retry_after: seconds the provider asked to wait, where it did.
        status: HTTP status, 0 where no reply came.
        sent: False only when the request certainly never reached the provider, so that it can't have been billed.
    """

    kind: FailureKind = "server"

    def __init__(self, message: str, *, retry_after: float | None = None, status: int = 0, sent: bool = True) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.status = status
        self.sent = sent

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), str(self), self.retry_after, self.status, self.sent))


def _rebuild(cls: type[CallError], message: str, retry_after: float | None, status: int, sent: bool) -> CallError:
    return cls(message, retry_after=retry_after, status=status, sent=sent)


class RateLimited(CallError):
    """Raised on 429: the account has to wait; not a failure of the provider. Retried after `retry_after`."""

    kind = "rate_limited"


class CallTimeout(CallError):
    """Raised when no answer came in time. The next candidate is tried at once."""

    kind = "timeout"


class ServerFault(CallError):
    """Raised on 5xx. Retried with back-off, then the next candidate; counts for the breaker."""

    kind = "server"


class ConnectionFault(CallError):
    """Raised when the connection failed or broke. Retried with back-off, then the next candidate."""

    kind = "connection"


class InvalidReply(CallError):
    """Raised when a reply is not what the protocol or the schema says. Retried once, then the next candidate."""

    kind = "invalid_reply"


class ContextTooLong(CallError):
    """Raised when the request is larger than the model's window. A candidate with a larger window is tried."""

    kind = "context_too_long"


class ContentFiltered(CallError):
    """Raised when the provider's filter refused. Another provider is tried; never passed silently."""

    kind = "filtered"


class AuthRejected(CallError):
    """Raised on 401 and 403. Not retried: the account is marked down and others are tried. Mend the key."""

    kind = "auth"


class ModelNotFound(CallError):
    """Raised when the provider has no such model. Not retried: the next candidate is tried. Mend the model's name."""

    kind = "not_found"


class BadRequest(CallError):
    """Raised on any other 4xx. Not retried: the same request would fail again."""

    kind = "bad_request"


class QuotaImpossible(CallError):
    """Raised when one call needs more than the account's whole quota. Not retried: raise the quota or send less."""

    kind = "quota_impossible"


class PrivacyRefused(CallError):
    """Raised at the last gate before the socket: the request must not leave, and this account is not private.

    Nothing was sent. Another candidate is tried; mend it by a private account (`private: true`) among the candidates.
    """

    kind = "private"


class BudgetSpent(UnderstudyError):
    """Raised when a logical call or a job has used up its attempts, its time or its money. The text says which."""


class StepFailed(UnderstudyError):
    """Raised when a step of a workflow has failed; the step's policy decides what follows. The text is the cause."""


class Cancelled(UnderstudyError):
    """Raised in work that somebody asked to stop. Don't retry."""


class JournalError(UnderstudyError):
    """Raised when the journal can't be used at all. Don't retry: mend what the text says."""


class JournalPaused(JournalError):
    """Raised when the journal can't be written for now; nothing was written. Retried until it can: jobs pause."""


class ActorError(UnderstudyError):
    """Base of what can go wrong between actors."""


class ActorDied(ActorError):
    """Raised to whoever waits for an answer of an actor that died. Retry: the actor is restarted under its name."""


class MailboxFull(ActorError):
    """Raised when a bounded mailbox had no place before the deadline. Retry later, or send less at once."""
