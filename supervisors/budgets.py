"""Budgets of a day: reserve before something is sent, settle when its cost is known. Picodollars; a day is a number."""

import dataclasses
from typing import Final

NO_LIMIT: Final = 1 << 62


@dataclasses.dataclass(slots=True)
class _Row:
    """What a tenant, or everybody, has `counted` as spent in a day, and what is `reserved` and will be settled."""

    counted: int = 0
    reserved: int = 0


class Spending:
    """What was spent and reserved, by day and tenant; shared by all purses of a process. Yesterday is kept, no more."""

    def __init__(self) -> None:
        self._days: dict[int, dict[str | None, _Row]] = {}

    def rows(self, tenant: str, day: int) -> tuple[_Row, _Row]:
        """The tenant's row and everybody's."""
        rows = self._days.get(day)
        if rows is None:
            newest = max([*self._days, day])
            if day < newest - 1:  # an answer that comes days after its call: nobody's budget depends on it any more
                return _Row(), _Row()
            self._days = {one: kept for one, kept in self._days.items() if one >= newest - 1}
            rows = self._days[day] = {None: _Row()}
        own = rows.get(tenant)
        if own is None:
            own = rows[tenant] = _Row()
        return own, rows[None]

    def load(self, tenant: str, amount: int, *, day: int) -> None:
        """Counts what was spent before this process began."""
        for row in self.rows(tenant, day):
            row.counted += amount

    def tenants(self, *, day: int) -> dict[str, int]:
        """What each tenant has counted as spent."""
        return {name: row.counted for name, row in self._days.get(day, {}).items() if name is not None}

    def spent(self, tenant: str | None, *, day: int) -> int:
        """What a tenant (None: everybody) has counted as spent."""
        row = self._days.get(day, {}).get(tenant)
        return row.counted if row else 0


class Purse:
    """What one job may take from the day.

    What is counted and reserved never passes the limits by a reservation; only a settlement that is dearer than what
    was reserved for it can, and then nothing more is given.

    Args:
        spending: what all jobs have spent.
        tenant: whose job it is; empty for nobody in particular.
        own: the most that the tenant may spend in a day; -1 for no bound.
        everybody: the most that all tenants together may spend in a day; -1 for no bound.
    """

    def __init__(self, spending: Spending, tenant: str = "", *, own: int = -1, everybody: int = -1) -> None:
        self._spending = spending
        self.tenant = tenant
        self._limits = tuple(NO_LIMIT if limit < 0 else limit for limit in (own, everybody))
        #: What this job has counted as spent, by day; yesterday is kept, no more.
        self.counted: dict[int, int] = {}

    def left(self, *, day: int) -> int:
        """What could be reserved now; `NO_LIMIT` or near it where nothing bounds it."""
        rows = self._spending.rows(self.tenant, day)
        lefts = [limit - row.counted - row.reserved for limit, row in zip(self._limits, rows, strict=True)]
        return max(min(lefts), 0)

    def reserve(self, amount: int, *, day: int, anyway: bool = False) -> bool:
        """Takes `amount` out, if it is there; what costs nothing is always allowed.

        With `anyway` it is taken whatever is left: what it is for has been sent already.
        """
        if amount and not anyway and amount > self.left(day=day):
            return False
        for row in self._spending.rows(self.tenant, day):
            row.reserved += amount
        return True

    def settle(self, reserved: int, spent: int, *, day: int) -> None:
        """A reservation made on `day` turned out to cost `spent`; a negative `spent` takes back what was counted."""
        for row in self._spending.rows(self.tenant, day):
            row.reserved -= reserved
            row.counted += spent
        if spent:
            if day not in self.counted:
                self.counted = {one: amount for one, amount in self.counted.items() if one >= day - 1}
            self.counted[day] = self.counted.get(day, 0) + spent

    def lack(self, amount: int, *, day: int) -> str:
        """Which budget `amount` would pass even if all reservations came back unspent; empty where it might yet fit."""
        own, everybody = self._spending.rows(self.tenant, day)
        if own.counted + amount > self._limits[0]:
            return f"the day's budget of ${self._limits[0] / 1e12:.4f} of tenant {self.tenant!r} is used up"
        if everybody.counted + amount > self._limits[1]:
            return f"the day's budget of ${self._limits[1] / 1e12:.4f} is used up"
        return ""
