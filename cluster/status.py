"""What `understudy status` shows: accounts, jobs and actors of the cluster."""

from collections.abc import Callable, Iterable, Sequence

from rich.console import Console
from rich.table import Table

from ..protocols.jobs import JobStatus, QueueStatus, Status, TenantStatus
from ..protocols.messages import ProviderSnapshot
from .digest.show import money
from .live import duration


def show(status: Status, address: str, console: Console) -> None:
    """Prints tables that fit 80 columns: accounts, what is known of their quotas, jobs, tenants, actors."""
    stops = f", stops itself after {duration(status.stops_after_s)} without work" if status.stops_after_s else ""
    idle = f"idle for {duration(status.idle_s)}" if status.idle_s else "busy"
    console.print(f"Ray at {address}, {idle}{stops}", highlight=False)
    if status.journal_paused:
        console.print(f"all work waits: {status.journal_paused}", highlight=False, markup=False)
    if status.journal:
        console.print(f"journal: {status.journal}", highlight=False, markup=False)
    if status.queue != QueueStatus():
        console.print(_queue(status.queue))
    if status.accounts:
        console.print(_accounts(status))
    quotas = [one for one in status.accounts if _says_more(one)]
    if quotas:
        console.print(_quotas(quotas))
    if status.jobs:
        console.print(_jobs(status))
    if any(one.name for one in status.tenants):
        console.print(_tenants(status.tenants))
    console.print(_actors(status))


def _queue(queue: QueueStatus) -> Table:
    """Jobs that wait, by priority; those that wait for their time; those that run; and dead letters."""
    table = _table("queue", "waiting", "longest", "delayed", "running", "dead")
    waiting = sum(queue.waiting.values())
    by = ", ".join(f"p{priority}: {count:,}" for priority, count in queue.waiting.items())
    oldest = duration(queue.oldest_s) if waiting else "-"
    table.add_row(by or "-", f"{waiting:,}", oldest, f"{queue.delayed:,}", f"{queue.running:,}", f"{queue.dead:,}")
    return table


def _accounts(status: Status) -> Table:
    table = _table("account", "breaker", "requests", "tokens", "p50", "p95", "calls", "failed", "spent")
    for one in status.accounts:
        state = one.state if not one.blocked_s else f"{one.state} {duration(one.blocked_s)}"
        table.add_row(
            one.account,
            state,
            _used(one.used_requests + one.leased_requests, one.limit_requests),
            _used(one.used_tokens + one.leased_tokens, one.limit_tokens),
            duration(one.p50_s),
            duration(one.p95_s),
            f"{one.calls:,}",
            f"{one.failures + one.refused:,}",
            money(one.cost),
        )
    return table


def _says_more(one: ProviderSnapshot) -> bool:
    """True where there is more to a quota than what was configured and is used."""
    known = (one.told_requests, one.told_tokens, one.learned_requests)
    return any(limit >= 0 for limit in known) or bool(one.others_requests or one.others_tokens or one.waiting)


def _quotas(accounts: Iterable[ProviderSnapshot]) -> Table:
    """Requests and tokens; `-` where nothing is known."""
    table = _table("quota of", "told", "learned", "used by others", "shares", "waiting")
    for one in accounts:
        table.add_row(
            one.account,
            _pair(one.told_requests, one.told_tokens),
            "-" if one.learned_requests < 0 else _short(one.learned_requests),
            _pair(one.others_requests, one.others_tokens),
            f"{one.shares:,}",
            f"{one.waiting:,}",
        )
    return table


def _pair(requests: int, tokens: int) -> str:
    parts = [f"{_short(number)} {unit}" for number, unit in ((requests, "req"), (tokens, "tok")) if number > 0]
    return ", ".join(parts) or "-"


def _tenants(tenants: Iterable[TenantStatus]) -> Table:
    table = _table("tenant", "spent today (UTC)")
    for one in tenants:
        table.add_row(one.name or "(none)", money(one.spent))
    return table


def _used(used: int, limit: int) -> str:
    return f"{_short(used)}/{_short(limit)}" if limit >= 0 else "no limit"


def _short(number: int) -> str:
    return f"{number:,}" if number < 100_000 else f"{number / 1000:,.0f}k"


def _jobs(status: Status) -> Table:
    table = _table("job", "state", "items", "failed", "spent", "age")
    for one in sorted(status.jobs, key=_family(status.jobs)):
        age = duration(one.age_s)
        # Jobs that work for an item of another stand below it; a state says how many items wait for people.
        name = f"  {one.id}" if one.parent else one.id
        state = f"{one.state} ({one.parked:,} parked)" if one.parked else one.state
        table.add_row(name, state, f"{one.done:,}/{one.total:,}", f"{one.failed:,}", money(one.cost), age)
    return table


def _family(jobs: Sequence[JobStatus]) -> Callable[[JobStatus], tuple[int, int]]:
    """A sort key that puts each job behind the one it works for, and leaves all else in its order."""
    order = {one.id: place for place, one in enumerate(jobs)}
    parents = {one.id: one.parent for one in jobs}

    def top(name: str) -> str:
        while parents[name] in parents:
            name = parents[name]
        return name

    return lambda one: (order[top(one.id)], order[one.id])


def _actors(status: Status) -> Table:
    table = _table("actor", "state", "pid", "restarts", "for")
    for child in status.children:
        table.add_row(child.name, child.state, str(child.pid or ""), str(child.restarts), duration(child.uptime_s))
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="left" if name in ("state", "breaker") else "right")
    return table
