"""What hedgers have earned, as it outlives their process: which credits are to be written, and which are given back."""

import hashlib
from collections.abc import Mapping

import msgspec

from ...protocols.journal import ValueRow
from .hedging import Hedger


class Saved(msgspec.Struct, frozen=True, array_like=True):
    """A hedger's credit as it was written: the cluster it was earned in, and how much."""

    cluster: str
    credit: int


def prefix(actor: str) -> str:
    """What the names of an actor's values begin with."""
    return f"hedge/{actor}/"


def value_name(actor: str, config: bytes, route: str) -> str:
    """The name of a hedger's value. Routes of one name in two configurations are told apart."""
    return f"{prefix(actor)}{route}/{hashlib.blake2b(config, digest_size=4).hexdigest()}"


class Savings:
    """Credits by name: what a predecessor of this process has written, and what was written last.

    A restart so neither gives credit that was not earned, nor loses more than what was earned since the last writing.

    Args:
        cluster: this cluster; what was earned in another one is not given back: its calls are long over.
        found: the values that are there.
    """

    def __init__(self, cluster: str, found: Mapping[str, bytes]) -> None:
        self._cluster = cluster
        read = {name: msgspec.msgpack.decode(value, type=Saved) for name, value in found.items()}
        self._owed = {name: saved.credit for name, saved in read.items() if saved.cluster == cluster}
        self._written = dict(self._owed)

    def settle(self, hedgers: Mapping[str, Hedger]) -> tuple[ValueRow, ...]:
        """Gives each hedger what is owed to it, once, and returns what has changed since it was written."""
        rows = []
        for name, hedger in hedgers.items():
            owed = self._owed.pop(name, 0)
            if owed:
                hedger.restore(owed)
            if hedger.credit != self._written.get(name, 0):
                self._written[name] = hedger.credit
                rows.append(ValueRow(name, msgspec.msgpack.encode(Saved(self._cluster, hedger.credit))))
        return tuple(rows)
