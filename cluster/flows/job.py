"""A workflow as a job: handed in input by input, followed page by page, both at once, neither ahead of the other."""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import msgspec

from ...actors.mapper.blocks import pack_block
from ...actors.prices import PICO
from ...protocols.config import Config, Tenant, encode
from ...protocols.jobs import LIVE, JobSpec, Page, Verdict, Waiting
from ...protocols.workflow import Approve, Flow, walk
from ...protocols.workflow import encode as encode_flow
from ...protocols.workflow.spec import FlowSpec
from ...supervisors.children import SUPERVISOR
from ...supervisors.patterns.interpreter import PATH
from ...supervisors.workflow.wide import blocks
from ..session import Session

WATCHED: Final = 32
"""Jobs of so few inputs tell of each step."""
KEPT: Final = 1_000
"""Jobs of so few inputs keep their answers, so that another reader can have them."""


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
        id=f"{flow.name}-{os.urandom(4).hex()}",
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
    )


def asks_people(flow: Flow) -> bool:
    """True where a run may have to wait for somebody."""
    return any(isinstance(node, Approve) for root in (flow.run, *flow.flows.values()) for _, node in walk(root))


class FlowJob:
    """A job that was handed in. Use it from one thread.

    Args:
        session: attached to the cluster.
        spec: what to do.
        config: the job's, to have its actors started.
    """

    def __init__(self, session: Session, spec: JobSpec, config: Config) -> None:
        self.session = session
        self.spec = spec
        self._config = config
        self._supervisor: Any = None
        self._cursor = 0

    def pages(self, inputs: Iterable[Any]) -> Iterator[Page]:
        """Hands in the inputs (JSON-like values), and gives each page of news, until the job is over.

        Inputs are taken as the job has room for them, so that a million of them never stand in memory.
        """
        import ray  # noqa: PLC0415 - 0.3 s, and only when an actor is needed

        self._open()
        feeding = self._feed(inputs)
        handing = next(feeding, None)
        heard = 0 if self.spec.watch else -1
        following = self._supervisor.follow.remote(self.spec.id, self._cursor, heard)
        while True:
            pending = [following] if handing is None else [handing, following]
            ready, _ = ray.wait(pending, num_returns=1)
            if handing in ready:
                self.session.get(handing)
                handing = next(feeding, None)
            if following in ready:
                page = self._page(following)
                self._cursor, heard = page.cursor, page.heard if self.spec.watch else -1
                yield page
                if page.state not in LIVE:
                    return
                following = self._supervisor.follow.remote(self.spec.id, self._cursor, heard)

    def _open(self) -> None:
        reply = self.session.ensure(self._config, self.spec.config)
        self._supervisor = self.session.actor(reply.supervisor)
        providers = list(reply.providers.values())
        encoded = msgspec.msgpack.encode(self.spec)
        opened = self._supervisor.open.remote(encoded, reply.reducers[0], list(reply.mappers), providers, 0)
        self.session.get(opened)

    def _feed(self, inputs: Iterable[Any]) -> Iterator[Any]:
        """A call into the Supervisor after the other: each is made when the one before has been answered."""
        first = 0
        for block in blocks(inputs):
            yield self._supervisor.add_block.remote(self.spec.id, len(block), pack_block(first, block))
            first += len(block)
        yield self._supervisor.seal.remote(self.spec.id)

    def _page(self, reference: Any) -> Page:
        return msgspec.msgpack.decode(self.session.get(reference), type=Page)

    def answer(self, item: int, path: str, verdict: Verdict) -> None:
        """A person's answer to what one of its runs asks."""
        data = msgspec.msgpack.encode(verdict)
        self.session.get(self._supervisor.answer.remote(self.spec.id, item, path, data))

    def cancel(self) -> None:
        """Stops the job; what was answered stays."""
        if self._supervisor is not None:
            self.session.get(self._supervisor.cancel.remote(self.spec.id), timeout=10.0)

    def rest(self) -> Iterator[Page]:
        """What was answered before the job was cancelled, and stands on no page that was given out."""
        state = "open" if self._supervisor is not None else "cancelled"
        while state in LIVE:
            page = self._page(self._supervisor.follow.remote(self.spec.id, self._cursor, -1))
            state, self._cursor = page.state, page.cursor
            yield page


def follow(session: Session, supervisor: Any, job: str, seen: Callable[[Page], None]) -> Page:
    """Reads a job that somebody else handed in, until it is over or waits for people again; returns the last page."""
    cursor, heard = 0, 0
    while True:
        page = msgspec.msgpack.decode(session.get(supervisor.follow.remote(job, cursor, heard)), type=Page)
        cursor, heard = page.cursor, page.heard
        seen(page)
        if page.state not in LIVE or page.state == "waiting":
            return page


def approvals(session: Session, job: str = "") -> list[Waiting]:
    """What waits for people, of one job or of all, the one that waits longest first."""
    data = session.get(session.actor(SUPERVISOR).approvals.remote())
    return [one for one in msgspec.msgpack.decode(data, type=list[Waiting]) if not job or one.job == job]
