"""The simulated provider without its sockets: one request in, one plan out, told the time.

Order of a decision: outage, key, body, model, context, forced 429, faults that refuse, quotas, other faults. So
a refused request costs no quota, and only an accepted one can meet a fault that is the provider's.
"""

import contextlib
import itertools
import random

from .answers import mismatched, withheld, write_reply
from .cache import PromptCache
from .dialect import Failure, Stamp, Target
from .faults import ANSWERLESS, REFUSALS, Dice, Draw, current_outage, edges_of, latency_s, pick_fault
from .judge import Summary, summarise
from .ledger import Ledger, Outcome, Record
from .plan import Plan, key_hash, outcome_of
from .prices import cost_of
from .quota import Limiter, Refusal, admit
from .request import BadRequestError, Reply, Request
from .routes import OPENAI
from .settings import Control, FailNext, FaultKind, ModelSettings, OutageKind, RefuseNext, Settings
from .writing import write_answer, write_block, write_failure, write_mistake, write_refusal, write_stream

_BILLED: frozenset[Outcome] = frozenset({"ok", "schema_mismatch"})


class Engine:
    """Decides every request and keeps the ledger. ``now`` is monotonic, ``wall`` since 1970, in seconds."""

    def __init__(self, settings: Settings, *, now: float) -> None:
        self.settings = settings
        self.ledger = Ledger(settings.ledger_cap)
        self.in_flight = 0
        self._started = now
        self._latency = settings.latency
        self._faults = settings.faults
        self._edges = edges_of(settings.faults)
        self._answer = settings.answer
        self._cache = None if settings.cache is None else PromptCache(settings.cache)
        self._outage: OutageKind | None = None
        self._forced = RefuseNext()
        self._forced_left = 0
        self._failing: FaultKind = FailNext().kind
        self._failing_left = 0
        self._key_limiters: dict[str, Limiter] = {}
        self._model_limiters: dict[tuple[str, str], Limiter] = {}
        self._default_model = ModelSettings()
        self._dice = self._new_dice()
        # Not the ordinals: those begin again at a reset, while old requests still hold their slots.
        self._tickets = itertools.count()

    def control(self, command: Control) -> None:
        """Change what happens from now on."""
        if command.outage is not None:
            self._outage = None if command.outage == "off" else command.outage
        if command.refuse_next is not None:
            self._forced, self._forced_left = command.refuse_next, command.refuse_next.count
        if command.fail_next is not None:
            self._failing, self._failing_left = command.fail_next.kind, command.fail_next.count
        self._latency = command.latency or self._latency
        self._faults = command.faults or self._faults
        self._edges = edges_of(self._faults)
        self._answer = command.answer or self._answer
        if command.reset_ledger:
            self.ledger.reset()
            self._dice = self._new_dice()

    def knows(self, key: str) -> bool:
        """True if the key may call."""
        keys = self.settings.keys
        return keys is None or key in keys

    def summary(self) -> Summary:
        """The judge's totals of the ledger as it stands."""
        settings = self.settings
        quotas = {name: model.quota for name, model in settings.models.items() if model.quota is not None}
        return summarise(self.ledger.records, settings.quota, quotas, lost=self.ledger.lost)

    def arrive(
        self,
        body: bytes,
        key: str,
        *,
        now: float,
        wall: float,
        port: int = 0,
        request_id: str | None = None,
        target: Target = OPENAI,
    ) -> Plan:
        """Book a request whose body has arrived whole and decide all that will happen to it."""
        draw = self._dice.throw()
        plan = self._book(key, target, now=now, wall=wall, port=port, request_id=request_id)
        outage = self._outage or current_outage(self.settings.outages, elapsed_s=now - self._started)
        if outage in ANSWERLESS:
            return self._black_out(plan, body, target, outage)
        if not self.knows(key):
            return write_mistake(plan, Failure("auth"))
        try:
            request = target.dialect.read(body, target)
        except BadRequestError as error:
            return write_mistake(plan, Failure("bad_request", str(error), error.param))
        return self._decide(plan, request, draw, outage)

    def too_large(self, key: str, *, now: float, wall: float, port: int = 0, target: Target = OPENAI) -> Plan:
        """Book a request whose body passed ``max_body_bytes``."""
        self._dice.throw()
        return write_mistake(self._book(key, target, now=now, wall=wall, port=port), Failure("too_large"))

    def finish(self, plan: Plan, *, now: float, client_left: bool = False) -> None:
        """Book the end of a request: it went as planned, or the client was gone before."""
        self.in_flight -= 1
        for limiter in plan.limiters:
            limiter.release(plan.ticket)
        record = plan.record
        record.t_end = now
        record.client_left = client_left
        record.outcome = plan.outcome
        if not client_left:
            record.status = plan.status
        elif plan.action not in ("hang", "stall"):
            record.outcome = "cancelled"
        if plan.marks:
            record.sent_tokens = plan.marks[plan.sent - 1] if plan.sent else 0
        elif record.outcome in _BILLED:
            record.sent_tokens = record.completion_tokens
        if self._billed(record):
            record.cost = plan.cost
            if plan.marks and plan.model is not None and record.sent_tokens < record.completion_tokens:
                record.cost = cost_of(plan.model, record, record.sent_tokens)

    def _new_dice(self) -> Dice:
        return Dice(random.Random(self.settings.seed))  # noqa: S311 (chance that can be replayed, not a secret)

    def _book(
        self, key: str, target: Target, *, now: float, wall: float, port: int, request_id: str | None = None
    ) -> Plan:
        dialect = target.dialect
        record = Record(
            ordinal=self.ledger.arrived,
            t=now,
            wall=wall,
            key=key_hash(key),
            client_port=port,
            request_id=request_id,
            dialect=dialect.name,
            kind=dialect.kind,
        )
        self.ledger.append(record)
        self.in_flight += 1
        return Plan(record, dialect, Stamp(record.ordinal, wall), "reply", "ok", 200)

    def _billed(self, record: Record) -> bool:
        if self.settings.bill == "answered":
            withheld = record.outcome == "filtered" and record.status == 200 and record.completion_tokens > 0
            return record.outcome in _BILLED or withheld  # what was said before the filter's word is paid for
        return record.accepted and record.status < 400

    def _black_out(self, plan: Plan, body: bytes, target: Target, outage: FaultKind) -> Plan:
        with contextlib.suppress(BadRequestError):
            _describe(plan.record, target.dialect.read(body, target))
        plan.outcome, plan.status, plan.record.fault = "outage", 0, outage
        return self._fail(plan, outage)

    def _decide(self, plan: Plan, request: Request, draw: Draw, outage: FaultKind | None) -> Plan:
        record = plan.record
        _describe(record, request)
        model = self._model(request.model)
        if model is None:
            return write_mistake(plan, Failure("not_found", model=request.model))
        room = model.context_window - request.prompt_tokens
        asked = request.max_tokens or 1
        if room < (0 if request.inputs else asked):
            tokens, window = request.prompt_tokens, model.context_window
            return write_mistake(plan, Failure("context", prompt_tokens=tokens, asked=asked, window=window))
        if self._forced_left:
            self._forced_left -= 1
            plan.limiters = self._limiters(record.key, request.model, model)
            return write_refusal(plan, Refusal("requests", self._forced.after_s), form=self._forced.form)
        fault = outage or self._fault(draw)
        if fault in REFUSALS:
            plan.outcome, record.fault = outcome_of(fault), fault
            return self._fail(plan, fault)
        cap = min(model.max_output, room, request.max_tokens or model.max_output)
        reply = self._reply(request, model, cap)
        if fault is not None:
            fault, reply = self._bend(fault, request, reply)
        return self._admit(plan, request, reply, model, draw=draw, fault=fault)

    def _model(self, name: str) -> ModelSettings | None:
        model = self.settings.models.get(name)
        return self._default_model if model is None and self.settings.any_model else model

    def _fault(self, draw: Draw) -> FaultKind | None:
        if self._failing_left:
            self._failing_left -= 1
            return self._failing
        return pick_fault(self._edges, draw)

    def _reply(self, request: Request, model: ModelSettings, cap: int) -> Reply:
        if request.inputs:
            return Reply("", 0, "stop")
        reply = write_reply(self._answer, request, cap=cap, seed=self.settings.seed, skill=model.skill)
        if model.reasoning_tokens:
            reply.reasoning_tokens = model.reasoning_tokens
            reply.tokens += model.reasoning_tokens
        return reply

    def _bend(self, fault: FaultKind, request: Request, reply: Reply) -> tuple[FaultKind | None, Reply]:
        """The fault that this request can meet, and the reply as the fault changes it."""
        bent: Reply | None = reply
        reasoning = reply.reasoning_tokens
        if fault == "schema_mismatch":
            bent = None if request.repair else mismatched(request, reply)
        elif fault == "filtered" and not request.inputs:
            bent = withheld(reply) if self._faults.filtered_as == "finish" else Reply("", 0, "filtered")
        elif fault == "filtered":
            bent = None
        if bent is None:
            return None, reply
        if bent is not reply:
            bent.reasoning_tokens = reasoning
            bent.tokens += reasoning
        return fault, bent

    def _admit(
        self, plan: Plan, request: Request, reply: Reply, model: ModelSettings, *, draw: Draw, fault: FaultKind | None
    ) -> Plan:
        record = plan.record
        record.completion_tokens = reply.tokens
        plan.limiters = self._limiters(record.key, request.model, model)
        latency = model.latency or self._latency
        plan.delay_s = latency_s(latency, draw)
        plan.pause_s = latency.per_output_token_s * reply.tokens
        hangs = fault in ("timeout", "stall")
        lasts_s = self.settings.timeout_cap_s if hangs else plan.delay_s + plan.pause_s
        plan.ticket = next(self._tickets)
        tokens = record.prompt_tokens + record.completion_tokens
        refusal = admit(plan.limiters, plan.ticket, tokens, ends_at=record.t + lasts_s, now=record.t)
        if refusal is not None:
            plan.delay_s = plan.pause_s = 0.0
            return write_refusal(plan, refusal, form=self.settings.retry_after)
        record.accepted = True
        plan.model = model
        if fault is not None:
            plan.outcome, record.fault = outcome_of(fault), fault
        if fault in ANSWERLESS or (not request.stream and fault in ("stall", "stream_error")):
            plan.cost = cost_of(model, record, reply.tokens)
            return self._fail(plan, fault)
        return self._write(plan, request, reply, fault)

    def _limiters(self, key: str, name: str, model: ModelSettings) -> list[Limiter]:
        limiter = self._key_limiters.get(key)
        if limiter is None:
            limiter = self._key_limiters[key] = Limiter(self.settings.quota)
        if model.quota is None:
            return [limiter]
        own = self._model_limiters.get((key, name))
        if own is None:
            own = self._model_limiters[key, name] = Limiter(model.quota)
        return [limiter, own]

    def _write(self, plan: Plan, request: Request, reply: Reply, fault: FaultKind | None) -> Plan:
        record = plan.record
        if self._cache is not None and not request.inputs:
            found = self._cache.use(record.key, request)
            reply.cached_tokens = record.cached_tokens = found.read
            if plan.dialect.name == "anthropic":
                reply.written_tokens = record.written_tokens = found.written
        record.reasoning_tokens = reply.reasoning_tokens
        assert plan.model is not None
        plan.cost = cost_of(plan.model, record, reply.tokens)
        if fault == "filtered" and self._faults.filtered_as == "error":
            write_block(plan, request)
        elif request.stream:
            write_stream(plan, request, reply, fault, settings=self.settings, cut_at=self._faults.cut_at)
        else:
            plan.delay_s += plan.pause_s
            write_answer(plan, request, reply, fault, cut_at=self._faults.cut_at)
        return plan

    def _fail(self, plan: Plan, kind: FaultKind) -> Plan:
        """Make a plan one of failure without any part of an answer."""
        model = self._model(plan.record.model) or self._default_model
        after_s = self._faults.refused_after_s
        write_failure(plan, kind, settings=self.settings, window=model.context_window, after_s=after_s)
        return plan


def _describe(record: Record, request: Request) -> None:
    record.model = request.model
    record.stream = request.stream
    record.content_hash = request.content_hash
    record.prompt_tokens = request.prompt_tokens
    record.continued = request.partial is not None
