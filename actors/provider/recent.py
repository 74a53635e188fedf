"""What a Provider leaves behind for one that begins in another cluster: until when it may have granted permits.

A cluster that is stopped and begun again has Providers that know nothing, and the account's quota is used all the same.
"""

import msgspec

from ...protocols.config import Limits


class Granted(msgspec.Struct, frozen=True, array_like=True):
    """Permits may have been granted until that wall-clock time (seconds since 1970), in windows of `window_s`."""

    until: float
    window_s: float


def value_name(provider: str) -> str:
    """The name of the Journal's value."""
    return f"provider/{provider}"


def span_s(limits: Limits) -> float:
    """For how long one value speaks: grants within it need no other."""
    return min(5.0, limits.window_s / 4)


def encode(limits: Limits, *, wall: float) -> bytes:
    """The value for a grant at that wall-clock time, and for those that follow within `span_s`."""
    return msgspec.msgpack.encode(Granted(wall + span_s(limits), limits.window_s))


def age_s(value: bytes, limits: Limits, *, wall: float, guard_s: float) -> float | None:
    """How long ago the last permit may have been granted, at least; None where it counts in no window any more.

    Args:
        value: as `encode` made it.
        limits: of the account now.
        wall: the wall-clock time now.
        guard_s: how long a request may be under way.
    """
    granted = msgspec.msgpack.decode(value, type=Granted)
    age = max(0.0, wall - granted.until)
    return age if age < max(granted.window_s, limits.window_s) + guard_s else None
