"""The simulated provider without its sockets: one request in, one plan out, told the time.

Order of a decision: outage, key, body, model, context, forced 429, quotas, fault. So a refused request costs
no quota, and only an accepted one can meet a fault.
"""

import contextlib
import itertools
import math
import random

from . import wire
from .answers import CHARS_PER_TOKEN, BadRequestError, ChatRequest, Reply, parse_chat, write_reply
from .faults import Dice, Draw, current_outage, latency_s, pick_fault
from .judge import Summary, summarise
from .ledger import Ledger, Outcome, Record
from .plan import FAULT_OUTCOMES, Plan, cost_of, key_hash
from .quota import Limiter, Refusal, admit
from .settings import Control, FaultKind, ModelSettings, OutageKind, RefuseNext, RetryAfterForm, Settings

_REFUSED: dict[int, Outcome] = {
    400: "refused_400",
    401: "refused_401",
    404: "refused_404",
    413: "refused_413",
}


class Engine:
    """Decides every request and keeps the ledger. ``now`` is monotonic, ``wall`` since 1970, in seconds."""

    def __init__(self, settings: Settings, *, now: float) -> None:
        self.settings = settings
        self.ledger = Ledger(settings.ledger_cap)
        self.in_flight = 0
        self._started = now
        self._latency = settings.latency
        self._faults = settings.faults
        self._outage: OutageKind | None = None
        self._forced = RefuseNext()
        self._forced_left = 0
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
        self._latency = command.latency or self._latency
        self._faults = command.faults or self._faults
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
        self, body: bytes, key: str, *, now: float, wall: float, port: int = 0, request_id: str | None = None
    ) -> Plan:
        """Book a request whose body has arrived whole and decide all that will happen to it."""
        draw = self._dice.throw()
        record = self._book(key, now, wall, port, request_id)
        elapsed_s = now - self._started
        outage = self._outage or current_outage(self.settings.outages, elapsed_s=elapsed_s)
        if outage is not None:
            with contextlib.suppress(BadRequestError):
                _describe(record, parse_chat(body))
            return self._fail(Plan(record, "reply", "outage", 0), outage)
        if not self.knows(key):
            return _refuse(record, 401, "Incorrect API key provided.", "invalid_api_key")
        try:
            request = parse_chat(body)
        except BadRequestError as error:
            return _refuse(record, 400, str(error), None, error.param)
        return self._decide(record, request, draw)

    def too_large(self, key: str, *, now: float, wall: float, port: int = 0) -> Plan:
        """Book a request whose body passed ``max_body_bytes``."""
        self._dice.throw()
        record = self._book(key, now, wall, port, None)
        return _refuse(record, 413, "The request body is too large.", "request_too_large")

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
        elif plan.action != "hang":
            record.outcome = "cancelled"
        if self._billed(record):
            record.cost = plan.cost

    def _new_dice(self) -> Dice:
        return Dice(random.Random(self.settings.seed))  # noqa: S311 (chance that can be replayed, not a secret)

    def _book(self, key: str, now: float, wall: float, port: int, request_id: str | None) -> Record:
        record = Record(
            ordinal=self.ledger.arrived,
            t=now,
            wall=wall,
            key=key_hash(key),
            client_port=port,
            request_id=request_id,
        )
        self.ledger.append(record)
        self.in_flight += 1
        return record

    def _billed(self, record: Record) -> bool:
        if self.settings.bill == "answered":
            return record.outcome == "ok"
        return record.accepted and record.outcome not in ("error_500", "error_503")

    def _decide(self, record: Record, request: ChatRequest, draw: Draw) -> Plan:
        _describe(record, request)
        model = self._model(request.model)
        if model is None:
            message = f"The model '{request.model}' does not exist or you do not have access to it."
            return _refuse(record, 404, message, "model_not_found", "model")
        room = model.context_window - request.prompt_tokens
        if room < (request.max_tokens or 1):
            message = (
                f"This model's maximum context length is {model.context_window} tokens. However, your "
                f"messages have {request.prompt_tokens} tokens and ask for {request.max_tokens or 1} more."
            )
            return _refuse(record, 400, message, "context_length_exceeded", "messages")
        cap = min(model.max_output, room, request.max_tokens or model.max_output)
        reply = write_reply(self.settings.answer, request, cap=cap)
        record.completion_tokens = reply.tokens
        return self._admit(record, request, reply, model, draw)

    def _model(self, name: str) -> ModelSettings | None:
        model = self.settings.models.get(name)
        return self._default_model if model is None and self.settings.any_model else model

    def _admit(self, record: Record, request: ChatRequest, reply: Reply, model: ModelSettings, draw: Draw) -> Plan:
        limiters = self._limiters(record.key, request.model, model)
        if self._forced_left:
            self._forced_left -= 1
            return _too_many(record, Refusal("requests", self._forced.after_s), limiters, form=self._forced.form)
        latency = model.latency or self._latency
        fault = pick_fault(self._faults, draw.fault)
        plan = Plan(record, "reply", "ok", 200, ticket=next(self._tickets), limiters=limiters)
        plan.delay_s = latency_s(latency, draw)
        generation_s = latency.per_output_token_s * reply.tokens
        lasts_s = self.settings.timeout_cap_s if fault == "timeout" else plan.delay_s + generation_s
        tokens = record.prompt_tokens + record.completion_tokens
        refusal = admit(limiters, plan.ticket, tokens, ends_at=record.t + lasts_s, now=record.t)
        if refusal is not None:
            return _too_many(record, refusal, limiters, form=self.settings.retry_after)
        record.accepted = True
        plan.cost = cost_of(model.input_price, model.output_price, record.prompt_tokens, record.completion_tokens)
        if fault is not None:
            plan.outcome = FAULT_OUTCOMES[fault]
        if fault is None or fault in ("malformed", "cut"):
            return self._write(plan, request, reply, fault, generation_s)
        return self._fail(plan, fault)

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

    def _write(
        self, plan: Plan, request: ChatRequest, reply: Reply, fault: FaultKind | None, generation_s: float
    ) -> Plan:
        if request.stream:
            return self._write_stream(plan, request, reply, fault, generation_s)
        record = plan.record
        body = wire.completion_body(request, reply, wire.Stamp(record.ordinal, record.wall))
        if fault == "malformed":
            body = body[: len(body) // 2]
        plan.delay_s += generation_s
        # What it was worked on at least: the reply leaves when that is over, or a little later.
        worked = wire.processing_header(plan.delay_s)
        head = wire.head(200, len(body), worked + _standing(plan.limiters, record.t), record.ordinal)
        if fault == "cut":
            plan.action = "cut"
            body = body[: len(body) // 2]
        plan.parts = [head + body]
        return plan

    def _write_stream(
        self, plan: Plan, request: ChatRequest, reply: Reply, fault: FaultKind | None, generation_s: float
    ) -> Plan:
        record = plan.record
        chunk_chars = self.settings.stream_chunk_tokens * CHARS_PER_TOKEN
        events = wire.stream_events(request, reply, wire.Stamp(record.ordinal, record.wall), chunk_chars)
        middle = len(events) // 2
        if fault == "malformed":
            events[middle] = events[middle][: len(events[middle]) // 2] + b"\n\n"
        head = wire.head(200, None, _standing(plan.limiters, record.t), record.ordinal)
        chunks = [wire.chunked(event) for event in events]
        plan.pause_s = generation_s / len(chunks)
        if fault == "cut":
            plan.action = "cut"
            plan.parts = [head, *chunks[:middle]]
        else:
            plan.action = "stream"
            plan.parts = [head, *chunks, wire.LAST_CHUNK]
        return plan

    def _fail(self, plan: Plan, kind: FaultKind) -> Plan:
        """Make a plan one of failure without any part of an answer."""
        if kind == "timeout":
            plan.action, plan.status, plan.delay_s = "hang", 0, self.settings.timeout_cap_s
        elif kind == "drop":
            plan.action, plan.status = "drop", 0
        else:
            plan.status = 503 if kind == "error_503" else 500
            message = "The engine is overloaded." if kind == "error_503" else "The server had an error."
            body = wire.error_body(message, "server_error", None)
            _say(plan, body, _standing(plan.limiters, plan.record.t))
        return plan


def _describe(record: Record, request: ChatRequest) -> None:
    record.model = request.model
    record.stream = request.stream
    record.content_hash = request.content_hash
    record.prompt_tokens = request.prompt_tokens


def _refuse(record: Record, status: int, message: str, code: str | None, param: str | None = None) -> Plan:
    body = wire.error_body(message, "invalid_request_error", code, param)
    return _say(Plan(record, "reply", _REFUSED[status], status), body, "")


def _too_many(record: Record, refusal: Refusal, limiters: list[Limiter], *, form: RetryAfterForm) -> Plan:
    headers = _standing(limiters, record.t)
    if math.isfinite(refusal.wait_s):
        line, record.retry_after_s = wire.retry_after(form, refusal.wait_s, wall=record.wall)
        headers += line
        advice = f"Please try again in {wire.duration(refusal.wait_s)}."
    else:
        advice = "The request is larger than the whole limit: it can never pass."
    message = f"Rate limit reached for {record.model} on {refusal.limit}. {advice}"
    body = wire.error_body(message, refusal.limit, "rate_limit_exceeded")
    return _say(Plan(record, "reply", "refused_429", 429), body, headers)


def _say(plan: Plan, body: bytes, headers: str) -> Plan:
    plan.parts = [wire.head(plan.status, len(body), headers, plan.record.ordinal) + body]
    return plan


def _standing(limiters: list[Limiter], now: float) -> str:
    """The headers of the limiter with the least left: the one a client has to heed. Empty without limits."""
    told = [limiter.standing(now=now) for limiter in limiters if limiter.told]
    return wire.ratelimit_headers(min(told, key=lambda standing: standing.headroom)) if told else ""
