"""Call: one logical call of a model, with structured output and its one self-repair turn."""

import asyncio
import functools
from typing import Any, Final

import msgspec
import orjson
from pydantic import BaseModel, ValidationError

from ...actors.call.checking import check_schemas, repair_turn
from ...actors.call.logical import LogicalCall
from ...actors.call.outcome import CallOutcome
from ...actors.counting import counter, prompt_tokens
from ...protocols.call import Attempt, CallOptions, Reset, Role
from ...protocols.chat import ChatReply, ChatRequest, Document, Message, Part, ResponseFormat, Text, Usage
from ...protocols.config import Config
from ...protocols.errors import ConfigError, StepFailed
from ...protocols.workflow.basic import Call
from ..workflow import modules, templates
from ..workflow.finished import Finished, call_hash, tried
from ..workflow.frame import Frame
from ..workflow.once import Recalled
from ..workflow.spending import charge, spending, tokens_of

SAMPLING: Final = 0.7
"""Temperature of further samples of a call that has none of its own: at 0 all of them would say the same."""
_FLUSH: Final = 64
"""Characters of a stream that are told at once."""
_LATER_S: Final = 0.25
"""A call gives up a little after the time around it is over, so that it is always the latter that ends the step."""


async def run(node: Call, at: Frame) -> Any:
    """The reply's text, or the JSON that was asked for."""
    request = build(node, at)
    outcome = await _ask(node, request, at)
    text = _text(outcome, at)
    if node.output is None:
        return text
    model = model_of(node.output)
    flaw = _flaw(text, model)
    if flaw and outcome.rung == "model":
        # What JSON Schema can't say, a validator of the model's own does: the same one turn to mend it.
        again = repair_turn(request, text, flaw)
        text = _text(await _ask(node, again, at, "/repair"), at)
        flaw = _flaw(text, model)
    if flaw:
        raise StepFailed(f"its answer is not what was asked for: {flaw}")
    return _value(text, model)


def build(node: Call, at: Frame) -> ChatRequest:
    """The request, with its templates filled in."""
    scope, messages = at.scope, []
    if node.messages:
        messages = [Message(turn.role, (Text(templates.render(turn.content, scope)),)) for turn in node.messages]
    else:
        assert node.prompt is not None
        if node.system is not None:
            messages.append(Message("system", (Text(templates.render(node.system, scope)),)))
        messages.append(Message("user", (Text(templates.render(node.prompt, scope)),)))
    if node.documents is not None:
        parts = documents(templates.evaluate(node.documents, scope))
        last = messages[-1]
        messages[-1] = Message(last.role, (*last.parts, *parts))
    config = at.run.caller.kit.config
    return ChatRequest(
        model=node.model or next(iter(config.models)),
        messages=tuple(messages),
        max_tokens=node.max_tokens,
        temperature=SAMPLING if at.sample and not node.temperature else node.temperature,
        seed=(node.seed or 0) + at.sample if at.sample else node.seed,
        response_format=None if node.output is None else response_format(node),
    )


def documents(value: Any) -> tuple[Part, ...]:
    """Texts as documents: of a text, a list of texts, or of mappings with `name` and `text`."""
    several = value if isinstance(value, list | tuple) else [value]
    parts = []
    for number, one in enumerate(several, 1):
        if isinstance(one, dict):
            parts.append(Document(str(one.get("name", f"document {number}")), str(one.get("text", ""))))
        else:
            parts.append(Document(f"document {number}", str(one)))
    return tuple(parts)


def response_format(node: Call) -> ResponseFormat:
    """What the answer has to be. Raises `ConfigError` when its model can't be imported."""
    assert node.output is not None
    name = node.id or "answer"
    return ResponseFormat(orjson.dumps(schema_of(node.output)).decode(), name=name)


def schema_of(output: dict[str, Any] | str) -> dict[str, Any]:
    """The JSON Schema. Raises `ConfigError` when its model can't be imported."""
    model = model_of(output)
    if model is None:
        assert isinstance(output, dict)
        return output
    return _schema(model)


@functools.lru_cache(maxsize=256)
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def model_of(output: dict[str, Any] | str) -> type[BaseModel] | None:
    """The pydantic model that an import path names; None for a schema. Raises `ConfigError` when there is none."""
    return _imported(output) if isinstance(output, str) else None


def _imported(path: str) -> type[BaseModel]:
    try:
        found: Any = modules.imported(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{path!r} can't be imported: {error}; write it as module:Model") from None
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise ConfigError(f"{path!r} is no pydantic model")
    return found


# Asking ---------------------------------------------------------------------------------------------------------------


async def _ask(node: Call, request: ChatRequest, at: Frame, part: str = "") -> CallOutcome:
    """The call, or what came of it when it was made before."""
    check_schemas(request)
    once = at.run.once
    if once is None:
        return (await _made(node, request, at))[0]
    path, given = at.path + part, call_hash(request, node.cache, node.overflow)
    known = await once.find(path, given)
    if known is not None:
        return await _recalled(node, known, at)
    outcome, tokens = await _made(node, request, at)
    text = None if outcome.reply is None else outcome.reply.text
    said = Finished(text, outcome.error, outcome.model, outcome.rung, tried(outcome.log), tokens)
    await once.keep(path, given, said)
    return outcome


async def _recalled(node: Call, known: Recalled, at: Frame) -> CallOutcome:
    """What a call came to that was made before; who watches is told its words at once."""
    finished = known.finished
    outcome = CallOutcome()
    for one in finished.tried:
        usage = Usage(one.input_tokens, one.output_tokens)
        role: Role = "hedge" if one.hedge else "first"
        outcome.add(Attempt(one.candidate, role, "ok", 0, 0, 0, one.sent, usage, one.cost, one.open_cost))
    outcome.error, outcome.model, outcome.rung = finished.error, finished.model, finished.rung
    words = _words(node, at)
    if finished.value is not None:
        outcome.reply = ChatReply(finished.value, finished.model, Usage())
        if words is not None:
            await words.take(finished.value)
            words.flush()
    charge(at, outcome, finished.tokens)
    _count(outcome, at, billed=known.billed)
    return outcome


async def _made(node: Call, request: ChatRequest, at: Frame) -> tuple[CallOutcome, int]:
    """The call, and the tokens that budgets count for it."""
    run = at.run
    tokens = prompt_tokens(request, _counter(run.caller.kit.config, request.model))
    options = _options(node, run.caller.defaults, at)
    words = _words(node, at)
    async with spending(at, request, tokens) as grant:
        options = msgspec.structs.replace(options, max_cost=grant.bound(options.max_cost))
        one = LogicalCall(run.caller, request, tokens, options, None if words is None else words.take)
        grant.outcome = one.outcome
        try:
            outcome = await one.run()
        finally:  # a call that was cancelled stands on the bill with what it has cost, or may have
            _count(one.outcome, at)
    if words is not None:
        words.flush()
    return outcome, tokens_of(outcome.log, tokens + request.max_tokens)


def _words(node: Call, at: Frame) -> "_Words | None":
    return _Words(node, at) if node.stream and at.run.host is not None and at.run.spec.watch else None


def _count(outcome: CallOutcome, at: Frame, *, billed: bool = False) -> None:
    own = at.own
    own.calls += 1
    own.attempts += outcome.attempts
    own.cost = -1 if own.cost < 0 or outcome.cost < 0 else own.cost + outcome.cost
    own.model = outcome.model
    at.run.tally.call(outcome, billed=billed)


def _counter(config: Config, route: str) -> Any:
    [first, *_] = config.candidates_of([route]) or config.candidates_of([next(iter(config.models))])
    return counter(config.accounts[first.account].kind, first.model)


def _options(node: Call, defaults: CallOptions, at: Frame) -> CallOptions:
    left = at.left_s
    if left is not None and left <= 0:
        raise StepFailed("its time is over")
    deadline = at.run.caller.kit.config.attempts.deadline_s if defaults.deadline_s is None else defaults.deadline_s
    return msgspec.structs.replace(
        defaults,
        cache=node.cache or defaults.cache,
        overflow=node.overflow or defaults.overflow,
        deadline_s=deadline if left is None else min(deadline, left + _LATER_S),
    )


def _text(outcome: CallOutcome, at: Frame) -> str:
    if outcome.reply is None:
        raise StepFailed(outcome.error or "no answer")
    if outcome.degraded:
        at.own.degraded = True
        stand_in = "an older answer" if outcome.rung == "stale" else "the route's declared answer"
        at.own.note = f"{stand_in} stands in: {outcome.error}"
    return outcome.reply.text


def _flaw(text: str, model: type[BaseModel] | None) -> str:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return f"it can't be read as JSON: {error}"
    if model is not None:
        try:
            model.model_validate(value)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = "/".join(map(str, first["loc"])) or "the top"
            return f"at {where}: {first['msg']}"
    return ""


def _value(text: str, model: type[BaseModel] | None) -> Any:
    value = orjson.loads(text)
    return value if model is None else model.model_validate(value).model_dump(mode="json")


class _Words:
    """Tells who watches the words of a stream, some at a time."""

    def __init__(self, node: Call, at: Frame) -> None:
        self._node, self._at = node, at
        self._held = ""

    async def take(self, said: str | Reset) -> None:
        """See `OnStream`."""
        if isinstance(said, Reset):
            self._held = ""
            at = self._at
            at.own.note = "\x00"  # what came so far is void
            at.run.tell(at.path, self._node, "text", at.own)
            at.own.note = ""
            return
        self._held += said
        if len(self._held) >= _FLUSH:
            self.flush()
        await asyncio.sleep(0)

    def flush(self) -> None:
        """Tells what is held back."""
        if self._held:
            at = self._at
            note, at.own.note = at.own.note, self._held
            at.run.tell(at.path, self._node, "text", at.own)
            at.own.note, self._held = note, ""
