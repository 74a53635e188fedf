"""An interpreter for any calls: an item is a request as it is, its answer all that came of it."""

import asyncio
import time
from collections.abc import Mapping, Sequence

import msgspec

from ..protocols.call import CallOptions, CallResult, Reset
from ..protocols.chat import ChatRequest
from ..protocols.jobs import JobSpec
from ..protocols.messages import ItemDone
from .call.caller import Caller
from .call.outcome import CallOutcome
from .used import by_candidate


class Ask(msgspec.Struct, frozen=True, array_like=True):
    """One logical call: the tokens of its prompt, what is asked and how, and whether the answer is streamed."""

    tokens: int
    request: ChatRequest
    options: CallOptions = CallOptions()
    stream: bool = False


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """What came of an item: of each call, in their order, and the seconds until the last of them was there."""

    took_s: float
    results: list[CallResult]


def request_item(
    request: ChatRequest, tokens: int, options: CallOptions | None = None, *, stream: bool = False
) -> bytes:
    """A call whose prompt was counted as `tokens` tokens, as an item of a job."""
    return batch_item([Ask(tokens, request, options or CallOptions(), stream)])


def batch_item(asks: Sequence[Ask]) -> bytes:
    """Calls that go out at once, as one item: it is done when the last of them is."""
    return msgspec.msgpack.encode(asks)


def read(done: ItemDone) -> CallResult:
    """What came of an item of one call; of one that was never made, its error alone."""
    results = read_all(done).results
    return results[0] if results else CallResult(None, error=done.error or "nothing is known of it")


def read_all(done: ItemDone) -> Batch:
    """What came of all calls of an item; nothing where none was made."""
    return msgspec.msgpack.decode(done.data, type=Batch) if done.data else Batch(0.0, [])


class Requests:
    """See `understudy.actors.interpreter.Interpreter`. Nothing is reduced."""

    def __init__(self, spec: JobSpec) -> None:
        self._spec = spec

    async def map(self, number: int, item: bytes, caller: Caller) -> ItemDone:
        """Makes the item's calls at once; it has failed when one of them has no answer."""
        began = time.monotonic()
        asks = msgspec.msgpack.decode(item, type=list[Ask])
        outcomes = await asyncio.gather(*(self._call(ask, caller) for ask in asks))
        return _done(number, outcomes, time.monotonic() - began)

    async def _call(self, ask: Ask, caller: Caller) -> CallOutcome:
        if not ask.stream:
            return await caller.call(ask.request, tokens=ask.tokens, options=self._options(ask))
        heard = _Heard()
        outcome = await caller.call(ask.request, tokens=ask.tokens, options=self._options(ask), on_text=heard.take)
        if outcome.reply is not None and outcome.rung == "model" and heard.text != outcome.reply.text:
            outcome.error = f"the stream said {len(heard.text)} characters that are not those of the reply"
            outcome.reply = None
        return outcome

    def _options(self, ask: Ask) -> CallOptions:
        """The call's options, with what the job says of itself where the call says nothing."""
        spec, options = self._spec, ask.options
        return msgspec.structs.replace(
            options,
            job=options.job or spec.id,
            tenant=options.tenant or spec.tenant,
            interactive=options.interactive or spec.interactive,
        )

    def tree(self) -> Sequence[Sequence[int]]:
        """Nothing is reduced."""
        return ()

    def leaves(self, done: ItemDone) -> Sequence[ItemDone]:  # noqa: ARG002 - the protocol's
        """Nothing is reduced."""
        return ()

    async def reduce(self, node: int, children: Mapping[int, ItemDone], caller: Caller) -> ItemDone:
        """Nothing is reduced: raises `NotImplementedError`."""
        raise NotImplementedError


class _Heard:
    """A reader of a stream, who has to end up with the very text of the reply."""

    def __init__(self) -> None:
        self._pieces: list[str] = []

    async def take(self, said: str | Reset) -> None:
        if isinstance(said, Reset):
            self._pieces.clear()
        else:
            self._pieces.append(said)

    @property
    def text(self) -> str:
        return "".join(self._pieces)


def _done(number: int, outcomes: Sequence[CallOutcome], took_s: float) -> ItemDone:
    failed = next((one for one in outcomes if one.reply is None), None)
    last = failed or outcomes[-1]
    return ItemDone(
        number,
        msgspec.msgpack.encode(Batch(took_s, [one.result() for one in outcomes])),
        error="" if failed is None else failed.error or "no answer",
        model=last.model,
        attempts=sum(one.attempts for one in outcomes),
        input_tokens=sum(one.input_tokens for one in outcomes),
        output_tokens=sum(one.output_tokens for one in outcomes),
        cost=-1 if any(one.cost < 0 for one in outcomes) else sum(one.cost for one in outcomes),
        degraded=any(one.rung in ("stale", "degraded") for one in outcomes),
        hedges=sum(one.hedges for one in outcomes),
        open_cost=sum(one.open_cost for one in outcomes),
        used=by_candidate([attempt for one in outcomes for attempt in one.log], last.model),
    )
