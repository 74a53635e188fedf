"""A digest as a job: made from a plan, handed to a Supervisor, followed to its end."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from ...actors.mapper.blocks import pack_block
from ...actors.prices import PICO
from ...protocols.config import Tenant, encode
from ...protocols.digest import DigestPlan, Node, Pack
from ...protocols.jobs import LIVE, EnsureReply, JobSpec, Page
from ...supervisors.children import SUPERVISOR, standard_reply
from ...supervisors.digest.interpreter import DigestSpec, pack_item
from ...supervisors.digest.keys import Asked, Bases, bases
from ..jobs.calls import Calls, Pending
from ..session import Session
from .models import Models

QUEUED_S: Final = 0.5
"""A job that waits for its turn is looked at so often."""
INTERPRETER: Final = "understudy.supervisors.digest.interpreter:DigestInterpreter"
BLOCK_BYTES: Final = 1_000_000
"""A block is fetched whole by each Mapper that works on it; a megabyte is some sixty calls' worth of source."""


def job_spec(
    plan: DigestPlan,
    models: Models,
    *,
    question: str,
    width: int,
    max_cost: int = -1,
    item_cost: int = 0,
    held_back: int = 0,
    tenant: str = "",
    fresh: bool = False,
) -> JobSpec:
    """The specification of a digest; see `JobSpec` for units. `fresh`: nothing an earlier one has answered will do."""
    settings = models.config.digest
    known = any(pack.known for pack in plan.packs)
    whose = models.config.tenants.get(tenant, Tenant())
    digest = DigestSpec(
        map_model=models.map,
        reduce_model=models.reduce,
        map_answer=settings.map_answer,
        reduce_answer=settings.reduce_answer,
        reduce_budget=settings.reduce_budget,
        question=question,
        nodes=plan.nodes,
        cache=settings.cache,
        bases=common(models, question=question, tenant=tenant),
        # Extraction is as fast as asking for it, and a cluster that is only being started has nobody to ask.
        looks=known or not models.embedded,
    )
    return JobSpec(
        id=f"digest-{os.urandom(6).hex()}",
        title=f"digest {plan.root}",
        interpreter=INTERPRETER,
        spec=msgspec.msgpack.encode(digest),
        config=encode(models.config),
        reduces=True,
        width=width,
        max_cost=max_cost,
        item_cost=item_cost,
        held_back=held_back,
        tenant=tenant,
        tenant_day=_pico(whose.day),
        day=_pico(models.config.budgets.day),
        journal="behind" if models.embedded else "ahead",
        fresh=fresh,
    )


def common(models: Models, *, question: str, tenant: str) -> Bases:
    """What the keys of a digest's answers have in common; empty where the configuration wants nothing remembered."""
    settings = models.config.digest
    if not settings.remember:
        return Bases()
    asked = Asked(
        map_model=models.map,
        reduce_model=models.reduce,
        map_answer=settings.map_answer,
        reduce_answer=settings.reduce_answer,
        reduce_budget=settings.reduce_budget,
        question=question,
        tenant=tenant,
    )
    return bases(models.config, asked)


def _pico(dollars: float | None) -> int:
    return -1 if dollars is None else round(dollars * PICO)


def blocks(packs: Iterable[Pack], *, later: bool = False) -> Iterator[tuple[int, bytes]]:
    """Packs as blocks of about `BLOCK_BYTES`: (how many items, the block's bytes).

    The first block is small, so that the first calls go out while the others are still on their way; but not where
    these packs come `later`, after others.
    """
    first = size = 0
    items: list[bytes] = []
    limit = BLOCK_BYTES if later else BLOCK_BYTES // 16
    for pack in packs:
        item = pack_item(pack)
        if items and size + len(item) > limit:
            yield len(items), pack_block(first, items)
            size, items, limit = 0, [], BLOCK_BYTES
        if not items:
            first = pack.id
        items.append(item)
        size += len(item)
    if items:
        yield len(items), pack_block(first, items)


class Submission:
    """A job that was handed in: follow it, or cancel it. It outlives the Supervisor: its successor is asked again.

    Args:
        session: attached to the cluster.
        spec: what to do.
    """

    def __init__(self, session: Session, spec: JobSpec) -> None:
        self._session = session
        self.spec = spec
        self._calls: Calls | None = None
        self._sealing: Pending | None = None
        self._late: Callable[[], object] | None = None

    def start(self, plan: DigestPlan, models: Models, meta: bytes = b"") -> None:
        """Hands in the job with all its items; `meta` is what another driver needs to finish this one's work."""

        def ensure() -> EnsureReply:
            return self._session.ensure(models.config, self.spec.config)

        # Extraction needs only what every cluster has from its start: nobody is asked first, which saves a cold start
        # the wait for a third process. They are asked for after the first answer, in case one was given up.
        reply = standard_reply(self._session.settings.mappers) if models.embedded else ensure()
        self._late = ensure if models.embedded else None
        calls = self._calls = Calls(self._session, reply.supervisor)
        providers = list(reply.providers.values())
        spec = msgspec.msgpack.encode(self.spec)
        several = blocks(plan.packs)
        first = next(several)
        names = (reply.reducers[0], list(reply.mappers), providers, merged_nodes(plan.nodes))
        calls.call("open", spec, *names, first=first, meta=meta)
        self._hand_in(calls, several, 1)

    def go_on(self, missing: Iterable[tuple[int, bytes]] | None, number: int) -> None:
        """Goes on with a job that another driver handed in; `missing` blocks from `number` on, None where all came."""
        self._calls = Calls(self._session, SUPERVISOR)
        if missing is not None:
            self._hand_in(self._calls, missing, number)

    def _hand_in(self, calls: Calls, several: Iterable[tuple[int, bytes]], number: int) -> None:
        for place, (count, data) in enumerate(several, number):
            # Awaited one by one: an async actor carries out calls as their arguments arrive, and a block of over 100 KB
            # comes by the object store, so that later calls overtake it. Items are numbered by the order of blocks.
            calls.call("add_block", self.spec.id, count, data, place)
        self._sealing = calls.start("seal", self.spec.id)  # `follow` sees to it that it has come

    def follow(self, seen: Callable[[Page], None]) -> Page:
        """Calls `seen` with each page of news until the job is over; returns the last."""
        assert self._calls is not None
        cursor = 0
        while True:
            page = msgspec.msgpack.decode(self._calls.call("follow", self.spec.id, cursor), type=Page)
            cursor = page.cursor
            seen(page)
            if self._sealing is not None:
                self._sealing.value()
                self._sealing = None
            if page.done and self._late is not None:
                self._late()
                self._late = None
            if page.state == "queued":
                time.sleep(QUEUED_S)  # nothing comes of it before its turn
            elif page.state not in LIVE:
                return page

    def cancel(self) -> None:
        """Stops the job; what was answered stays."""
        if self._calls is not None:
            self._calls.start("cancel", self.spec.id).value(timeout=10.0)


def merged_nodes(nodes: Sequence[Node]) -> int:
    """Nodes that are to be merged: all but the chunks."""
    return sum(node.kind != "chunk" for node in nodes)
