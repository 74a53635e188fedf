"""Workflows that are handed to the queue: worked on when it is their turn, by nobody's side."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from ...actors.mapper.blocks import pack_block
from ...protocols.config import Config
from ...protocols.errors import UnderstudyError, UsageError
from ...protocols.jobs import JobSpec
from ...protocols.queue import Submission, Submitted
from ...protocols.workflow import Flow
from ...supervisors.workflow.check import check_input
from ...supervisors.workflow.wide import blocks
from ..config_file import load
from ..digest.models import known_tenant
from ..digest.options import Options as Digest
from ..flows import inputs, setting
from ..flows.job import flow_spec
from ..flows.notes import notes
from ..flows.options import Options
from ..flows.plan import planned
from ..flows.validate import validate
from ..local import Settings
from ..session import Session

MOST_BYTES: Final = 100_000_000
"""Of all inputs of one submission, which travels whole; `understudy run` hands more in bit by bit."""
PRIORITIES: Final = range(10)


@dataclasses.dataclass(frozen=True, slots=True)
class When:
    """How a job waits for its turn.

    Attributes:
        key: whoever submits under the same key again, for the same tenant, gets the job that is there.
        priority: 0 goes first, 9 last.
        delay_s: it is not begun before.
        attempts: it is begun so often at most; then it is a dead letter.

    Raises:
        UsageError: something is out of range.
    """

    key: str = ""
    priority: int = 5
    delay_s: float = 0.0
    attempts: int = 3

    def __post_init__(self) -> None:
        if self.priority not in PRIORITIES:
            raise UsageError(f"priority {self.priority}: must be 0 (first) to 9 (last)")
        if not 0 <= self.delay_s < float("inf"):
            raise UsageError(f"delay {self.delay_s:g}: must be 0 or more seconds")
        if self.attempts < 1:
            raise UsageError(f"attempts {self.attempts}: must be at least 1")


def submit_flow(options: Options, when: When, session: Session | None = None) -> Submitted:
    """Hands a workflow's file and its inputs to the queue of the running cluster; one is started where none runs.

    Args:
        options: as for `understudy run`; those about its outcome are for who reads it later.
        when: how it waits.
        session: attached already; None to attach for this alone.

    Raises:
        UsageError: bad input; nothing was queued.
    """
    with setting.importable(str(options.flow.resolve().parent)):
        config = load(options.config)
        flow = validate(options.flow, config)
        known_tenant(config, options.tenant)
        setting.check_references(flow, config)
        given, total = _inputs(options, flow)
        spec = _spec(options, flow, config, given, total)
    submission = made(spec, given, when, notes(options, given, total))
    if session is not None:
        return hand_in(session, config, [submission])[0]
    with Session(Settings()) as attached:
        return hand_in(attached, config, [submission])[0]


def submit_digest(options: Digest, when: When, warn: Callable[[str], None]) -> Submitted:
    """Reads and plans a digest, and hands it to the queue; its report is written by `understudy resume`.

    Args:
        options: as for `understudy digest`.
        when: how it waits.
        warn: told in one line what a person should know.

    Raises:
        UsageError: bad input, or it costs more than is allowed; nothing was queued.
    """
    from ..digest.queued import submission  # noqa: PLC0415 - only for digests

    told = submission(options, warn, key=when.key, priority=when.priority, delay_s=when.delay_s, attempts=when.attempts)
    job = msgspec.msgpack.decode(told.spec, type=JobSpec)
    with Session(options.settings()) as attached:
        return hand_in(attached, Config.model_validate_json(job.config), [told])[0]


def _inputs(options: Options, flow: Flow) -> tuple[Iterable[Any], int]:
    def check(value: Any) -> str:
        return check_input(flow, value)

    if options.inputs is not None:
        lines = inputs.Lines(options.inputs, check)
        return lines, lines.count
    if options.input is None:
        if flow.input is not None:
            raise UsageError("the workflow wants an input: give --input, or --inputs FILE.jsonl")
        return [""], 1
    return [inputs.one(options.input, check)], 1


def _spec(options: Options, flow: Flow, config: Config, given: Iterable[Any], total: int) -> JobSpec:
    most = setting.max_cost(options.max_cost, config)
    dearest = None
    if most >= 0:
        prices = setting.price_book(flow, config)
        dearest = planned(flow, config, prices, given, total, concurrency=options.concurrency).dearest
    return flow_spec(
        flow,
        config,
        inputs=total,
        width=max(1, -(-options.concurrency // Settings().mappers)),
        tenant=options.tenant,
        max_cost=most,
        item_cost=setting.item_cost(most, total, dearest),
        title=f"run {options.flow.name}",
        paths=(str(options.flow.resolve().parent),),
    )


def made(spec: JobSpec, values: Iterable[Any], when: When, meta: bytes) -> Submission:
    """A job with all its items. Raises `UsageError` where they are more than one submission may hold."""
    packed, first, size = [], 0, 0
    for block in blocks(values):
        data = pack_block(first, block)
        packed.append((len(block), data))
        first, size = first + len(block), size + len(data)
        if size > MOST_BYTES:
            raise UsageError(f"the inputs are more than {MOST_BYTES:,} bytes; hand them in by: understudy run --inputs")
    # Nobody looks on: steps are not told, and answers are read from the Journal.
    spec = msgspec.structs.replace(spec, watch=False, keep=False, journal="ahead")
    encoded = msgspec.msgpack.encode(spec)
    return Submission(encoded, tuple(packed), 0, when.key, when.priority, when.delay_s, when.attempts, meta)


def hand_in(session: Session, config: Config, submissions: list[Submission]) -> list[Submitted]:
    """Queues jobs of one configuration; they are on disk when this returns. A known key gets the job that is there."""
    first = msgspec.msgpack.decode(submissions[0].spec, type=JobSpec)
    session.ensure(config, first.config)
    data = session.direct("submit", msgspec.msgpack.encode(submissions))
    found = msgspec.msgpack.decode(data, type=list[Submitted])
    if len(found) != len(submissions):
        raise UnderstudyError(f"{len(submissions)} jobs were handed in, {len(found)} were queued; see: understudy jobs")
    return found
