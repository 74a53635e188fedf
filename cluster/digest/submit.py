"""A digest as a job: made from a plan, handed to a Supervisor, followed to its end."""

import os
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from ...actors.mapper.blocks import pack_block
from ...actors.prices import PICO
from ...protocols.config import Tenant, encode
from ...protocols.digest import DigestPlan
from ...protocols.jobs import LIVE, EnsureReply, JobSpec, Page
from ...supervisors.children import standard_reply
from ...supervisors.digest.interpreter import DigestSpec, pack_item
from ..session import Session
from .models import Models

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
) -> JobSpec:
    """The specification of a digest; see `JobSpec` for units."""
    settings = models.config.digest
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
    )
    return JobSpec(
        id=f"digest-{os.urandom(4).hex()}",
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
    )


def _pico(dollars: float | None) -> int:
    return -1 if dollars is None else round(dollars * PICO)


def blocks(plan: DigestPlan) -> Iterator[tuple[int, bytes]]:
    """The packs as blocks of about `BLOCK_BYTES`: (how many items, the block's bytes).

    The first block is small, so that the first calls go out while the others are still on their way.
    """
    first = size = 0
    items: list[bytes] = []
    limit = BLOCK_BYTES // 16
    for pack in plan.packs:
        item = pack_item(pack)
        if items and size + len(item) > limit:
            yield len(items), pack_block(first, items)
            first, size, items, limit = first + len(items), 0, [], BLOCK_BYTES
        items.append(item)
        size += len(item)
    if items:
        yield len(items), pack_block(first, items)


class Submission:
    """A job that was handed in: follow it, or cancel it.

    Args:
        session: attached to the cluster.
        spec: what to do.
    """

    def __init__(self, session: Session, spec: JobSpec) -> None:
        self._session = session
        self.spec = spec
        self._supervisor: Any = None

    def start(self, plan: DigestPlan, models: Models) -> None:
        """Hands in the job with all its items."""
        self._models = models
        # Extraction needs only what every cluster has from its start: nobody is asked first, which saves a cold start
        # the wait for a third process. They are asked for after the first answer, in case one was given up.
        reply = standard_reply(self._session.settings.mappers) if models.embedded else self._ensure()
        self._supervisor = self._session.actor(reply.supervisor)
        nodes = sum(node.kind != "chunk" for node in plan.nodes)
        providers = list(reply.providers.values())
        spec = msgspec.msgpack.encode(self.spec)
        several = blocks(plan)
        opened = self._supervisor.open.remote(
            spec, reply.reducers[0], list(reply.mappers), providers, nodes, first=next(several)
        )
        self._session.get(opened)
        for count, data in several:
            # Awaited one by one: an async actor carries out calls as their arguments arrive, and a block of over 100 KB
            # comes by the object store, so that later calls overtake it. Items are numbered by the order of blocks.
            self._session.get(self._supervisor.add_block.remote(self.spec.id, count, data))
        self._supervisor.seal.remote(self.spec.id)  # `follow` tells when it has come

    def _ensure(self) -> EnsureReply:
        return self._session.ensure(self._models.config, self.spec.config)

    def follow(self, seen: Callable[[Page], None]) -> Page:
        """Calls `seen` with each page of news until the job is over; returns the last."""
        cursor = 0
        ensured = not self._models.embedded
        while True:
            data = self._session.get(self._supervisor.follow.remote(self.spec.id, cursor))
            page = msgspec.msgpack.decode(data, type=Page)
            cursor = page.cursor
            seen(page)
            if page.done and not ensured:
                ensured = True
                self._ensure()
            if page.state not in LIVE:
                return page

    def cancel(self) -> None:
        """Stops the job; what was answered stays."""
        if self._supervisor is not None:
            self._session.get(self._supervisor.cancel.remote(self.spec.id), timeout=10.0)
