"""A workflow as a job: handed in input by input, followed page by page, both at once, neither ahead of the other."""

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import msgspec

from ...actors.mapper.blocks import pack_block
from ...actors.prices import PICO
from ...protocols.config import Config, Tenant, encode
from ...protocols.jobs import LIVE, JobSpec, Page, Verdict, Waiting
from ...protocols.workflow import Approve, Flow, Function, walk
from ...protocols.workflow import encode as encode_flow
from ...protocols.workflow.spec import FlowSpec
from ...supervisors.children import SUPERVISOR
from ...supervisors.patterns.interpreter import PATH
from ...supervisors.workflow.wide import blocks
from ..jobs.calls import Calls, Pending, first_of
from ..session import Session
from . import setting

WATCHED: Final = 32
"""Jobs of so few inputs tell of each step."""
KEPT: Final = 1_000
"""Jobs of so few inputs keep their answers, so that another reader can have them."""
_TRACE: Final = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
QUEUED_S: Final = 0.5
"""A job that waits for its turn is looked at so often."""


def flow_spec(
    flow: Flow,
    config: Config,
    *,
    inputs: int,
    width: int,
    tenant: str = "",
    interactive: bool = False,
    max_cost: int = -1,
    item_cost: int = 0,
    title: str = "",
    paths: tuple[str, ...] = (),
) -> JobSpec:
    """The specification of a job that runs `flow` on each of `inputs` inputs (-1: nobody knows how many).

    Args:
        flow: what is run.
        config: models and accounts.
        inputs: how many there are.
        width: runs at once at each Mapper.
        tenant: for whom.
        interactive: somebody waits.
        max_cost: picodollars for all runs together, -1 for no bound.
        item_cost: the most one run may cost, reserved before it begins.
        title: for people.
        paths: folders where the workflow's own functions are found.
    """
    whose = config.tenants.get(tenant, Tenant())
    bounds = [item_cost if max_cost >= 0 and item_cost else -1]
    bounds.append(-1 if flow.max_cost is None else round(flow.max_cost * PICO))
    own = min((bound for bound in bounds if bound >= 0), default=-1)
    spec = FlowSpec(encode_flow(flow), cost=own, paths=paths)
    return JobSpec(
        id=f"{flow.name}-{os.urandom(6).hex()}",
        title=title or f"run {flow.name}",
        interpreter=PATH,
        spec=msgspec.msgpack.encode(spec),
        config=encode(config),
        width=width,
        tenant=tenant,
        interactive=interactive,
        max_cost=max_cost,
        item_cost=item_cost,
        tenant_day=-1 if whose.day is None else round(whose.day * PICO),
        day=-1 if config.budgets.day is None else round(config.budgets.day * PICO),
        # Whoever answers a run that waits reads the job from its beginning.
        keep=0 <= inputs <= KEPT or asks_people(flow),
        watch=0 <= inputs <= WATCHED,
        journal="ahead" if is_dear(flow, config) else "behind",
        trace=trace_context(),
    )


def trace_context() -> str:
    """The W3C trace context this process was started in (`TRACEPARENT`), or a new one: a job's failures name it."""
    given = os.environ.get("TRACEPARENT", "")
    return given if _TRACE.fullmatch(given) else f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-01"


def is_dear(flow: Flow, config: Config) -> bool:
    """True where a run does something that must not be done twice: it pays, has effects, or asks people.

    What it finishes is then journaled before anything follows from it.
    """
    return setting.leaves_this_machine(flow, config) or any(
        isinstance(node, Function | Approve) for root in (flow.run, *flow.flows.values()) for _, node in walk(root)
    )


def asks_people(flow: Flow) -> bool:
    """True where a run may have to wait for somebody."""
    return any(isinstance(node, Approve) for root in (flow.run, *flow.flows.values()) for _, node in walk(root))


class FlowJob:
    """A job of a workflow: handed in, or taken over from a driver that is gone. Use it from one thread.

    It goes on when the Supervisor dies: its successor is asked for what comes after the same cursor.

    Args:
        session: attached to the cluster.
        spec: what to do.
        config: the job's, to have its actors started.
        meta: what another driver needs to finish this one's work; see `understudy.cluster.jobs.meta`.
    """

    def __init__(self, session: Session, spec: JobSpec, config: Config, meta: bytes = b"") -> None:
        self.session = session
        self.spec = spec
        self._config = config
        self._meta = meta
        self._calls: Calls | None = None
        self._cursor = 0

    def pages(self, inputs: Iterable[Any]) -> Iterator[Page]:
        """Hands in the inputs (JSON-like values), and gives each page of news, until the job is over.

        Inputs are taken as the job has room for them, so that a million of them never stand in memory.
        """
        reply = self.session.ensure(self._config, self.spec.config)
        calls = self._calls = Calls(self.session, reply.supervisor)
        providers = list(reply.providers.values())
        encoded = msgspec.msgpack.encode(self.spec)
        calls.call("open", encoded, reply.reducers[0], list(reply.mappers), providers, 0, meta=self._meta)
        yield from self._follow(calls, self._feed(calls, inputs, 0, 0))

    def again(self, rest: Iterable[Any] | None = None, *, items: int = 0, blocks: int = 0) -> Iterator[Page]:
        """The pages of a job that was handed in before, from its first answer on.

        Args:
            rest: inputs that are still to be handed in; None where all are.
            items: inputs that were handed in.
            blocks: how many blocks these are.
        """
        calls = self._calls = Calls(self.session, SUPERVISOR)
        yield from self._follow(calls, iter(()) if rest is None else self._feed(calls, rest, items, blocks))

    def _follow(self, calls: Calls, feeding: Iterator[Pending]) -> Iterator[Page]:
        watches = self.spec.watch
        handing = next(feeding, None)
        following = self._ask(calls, 0 if watches else -1)
        while True:
            ready = first_of([following] if handing is None else [handing, following])
            if handing is not None and handing in ready:
                handing.value()
                handing = next(feeding, None)
            if following in ready:
                page = self._page(following)
                self._cursor = page.cursor
                yield page
                if page.state == "queued":
                    time.sleep(QUEUED_S)  # nothing comes of it before its turn
                elif page.state not in LIVE:
                    return
                following = self._ask(calls, page.heard if watches else -1)

    def _ask(self, calls: Calls, heard: int) -> Pending:
        """A successor has heard of no step yet: it is asked for all that it hears of."""
        return calls.start(
            "follow", self.spec.id, self._cursor, heard, again=(self.spec.id, self._cursor, min(heard, 0))
        )

    def _feed(self, calls: Calls, inputs: Iterable[Any], first: int, number: int) -> Iterator[Pending]:
        """A call into the Supervisor after the other: each is made when the one before has been answered.

        `number` is the first block's: a block that is told to two Supervisors, or by two drivers, counts once.
        """
        for place, block in enumerate(blocks(inputs), number):
            yield calls.start("add_block", self.spec.id, len(block), pack_block(first, block), place)
            first += len(block)
        yield calls.start("seal", self.spec.id)

    @staticmethod
    def _page(pending: Pending) -> Page:
        return msgspec.msgpack.decode(pending.value(), type=Page)

    def answer(self, item: int, path: str, verdict: Verdict) -> None:
        """A person's answer to what one of its runs asks."""
        assert self._calls is not None
        data = msgspec.msgpack.encode(verdict)
        # Asked once: a verdict that was taken before its Supervisor died would be refused by the successor.
        self.session.get(self._calls.handle().answer.remote(self.spec.id, item, path, data))

    def cancel(self) -> None:
        """Stops the job; what was answered stays."""
        if self._calls is not None:
            self._calls.start("cancel", self.spec.id).value(timeout=10.0)

    def rest(self) -> Iterator[Page]:
        """What was answered before the job was cancelled, and stands on no page that was given out."""
        state = "open" if self._calls is not None else "cancelled"
        while state in LIVE:
            assert self._calls is not None
            page = self._page(self._ask(self._calls, -1))
            state, self._cursor = page.state, page.cursor
            yield page


def follow(session: Session, job: str, seen: Callable[[Page], None]) -> Page:
    """Reads a job that somebody else handed in, until it is over or waits for people again; returns the last page."""
    calls = Calls(session, SUPERVISOR)
    cursor, heard = 0, 0
    while True:
        data = calls.start("follow", job, cursor, heard, again=(job, cursor, 0)).value()
        page = msgspec.msgpack.decode(data, type=Page)
        cursor, heard = page.cursor, page.heard
        seen(page)
        if page.state not in LIVE or page.state == "waiting":
            return page


def approvals(session: Session, job: str = "") -> list[Waiting]:
    """What waits for people, of one job or of all, the one that waits longest first."""
    data = session.call("approvals")
    return [one for one in msgspec.msgpack.decode(data, type=list[Waiting]) if not job or one.job == job]
