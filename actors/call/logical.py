"""One logical call: the shell around `CallPolicy` that carries out what it says, hedges and falls back."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from ...protocols.call import RESET, CallOptions, Reset
from ...protocols.call import Role as AttemptRole
from ...protocols.chat import ChatReply, ChatRequest
from ...protocols.config import AUTO, OnCut
from ...protocols.errors import BudgetSpent, CallError, ContextTooLong, PrivacyRefused
from ..channel.channel import Blocked
from . import aside, preparing, rungs
from .attempt import Out
from .hedging import Hedger, size_class
from .lateness import Lateness
from .outcome import CallOutcome
from .policy import CallPolicy, GiveUp, Try
from .stitching import Stitcher

if TYPE_CHECKING:
    from .caller import Caller

OnStream = Callable[[str | Reset], Awaitable[None]]
"""Takes what a stream says: text, or `RESET`."""

_CHOICE_S: Final = 20.0
"""A classifier that takes longer than this is not waited for: the generalist takes the request."""


class LogicalCall:
    """The state of one logical call; see `Caller.call`.

    Attributes:
        request: what is asked, with the route that was chosen.
        outcome: what came so far.
        began: when it began, monotonic seconds.
        due: when it has to be over.
        gate: why it must not leave for an account that is not private, or None where anything may.
        winner: the attempt that has begun to answer a stream, or has answered.
        used: attempts that are used up before the first, or, when it has ended, in all.
        summary: what was asked to be summarised, and the summary; empty where there was none.
    """

    __slots__ = (
        "_excluded",
        "_flaws",
        "_hedger",
        "_last",
        "_late",
        "_money",
        "_pieces",
        "_poor",
        "_size",
        "_stop",
        "began",
        "caller",
        "due",
        "flying",
        "gate",
        "kit",
        "on_text",
        "options",
        "outcome",
        "policy",
        "request",
        "summary",
        "tokens",
        "used",
        "ways",
        "winner",
    )

    def __init__(
        self,
        caller: "Caller",
        request: ChatRequest,
        tokens: int,
        options: CallOptions,
        on_text: OnStream | None,
        *,
        used: int = 0,
    ) -> None:
        self.caller = caller
        self.kit = caller.kit
        self.request = request
        self.tokens = tokens
        self.options = options
        self.on_text = on_text
        self.outcome = CallOutcome()
        self.used = used
        self.summary: tuple[ChatRequest, str] | None = None
        self.began = time.monotonic()
        budget, deadline_s = self.kit.config.attempts, options.deadline_s
        self.due = self.began + (budget.deadline_s if deadline_s is None else deadline_s)
        self._money = preparing.budget(self.kit.config, options)
        self.gate = preparing.gate(self.kit.config, options)
        self.winner: Out | None = None
        #: Candidates that break a bound of cost or latency, by the choice of the route.
        self._excluded: tuple[str, ...] = ()
        self._last = -1
        self._stop = ""
        self._poor = False
        #: What a stream's reader has been given and may keep.
        self._pieces: list[str] = []
        #: For each candidate the text and the flaw of its last unusable reply.
        self._flaws: dict[int, tuple[str, str]] = {}
        #: The attempts that are out, the first one first, while there may be hedges.
        self.flying: list[Out] = []
        self._late: Lateness | None = None

    # The whole --------------------------------------------------------------------------------------------------------

    async def run(self) -> CallOutcome:
        """See `Caller.call`."""
        outcome = self.outcome
        try:
            if self.request.model == AUTO:
                await self._choose()
            if not (self.options.cache and rungs.from_cache(self, stale=False)):
                await self._ask()
        except (PrivacyRefused, BudgetSpent) as error:  # nobody may be called: what is left are the last rungs
            outcome.error = str(error)
        if outcome.reply is None and not self._pieces:
            rungs.fall_back(self)
        if self.on_text is not None and not self._pieces and outcome.reply is not None and outcome.reply.text:
            await self.say(outcome.reply.text)  # no model has streamed it: it is an older answer, or a declared one
        # Both refer to this call. Without such circles it is freed at once, and not by a search among 20,000 objects,
        # which was a seventh of what a call costs.
        self.winner = self._late = None
        outcome.took_s = time.monotonic() - self.began
        return outcome

    async def _ask(self) -> None:
        kit, request, options = self.kit, self.request, self.options
        route = kit.route(request.model)
        private = self.gate is not None and bool(self.gate(request))
        view = kit.viewer(self.caller.channel, request, self.tokens)
        size = self.tokens + request.max_tokens
        candidates = kit.router.candidates(request.model, view, tokens=size, private=private, excluded=self._excluded)
        if not candidates:
            raise BudgetSpent(f"{request.model}: no candidate keeps the bounds of cost and latency")
        self.ways = [kit.way(one) for one in candidates]
        self._hedger = kit.hedger(request.model, route.hedge) if route.hedge and options.hedge else None
        self.policy = CallPolicy(
            len(self.ways),
            kit.config.attempts,
            now=self.began,
            rng=kit.rng,
            windows=[way.window for way in self.ways],
            overflow=options.overflow or route.overflow,
            filtered=options.filtered or route.filtered,
            deadline_s=options.deadline_s,
        )
        self.policy.attempts = self.used
        if self._hedger is not None:
            self._size = size_class(self.tokens, request.max_tokens, stream=self.on_text is not None)
            self._hedger.began(self.ways[0].name, self._size, now=self.began)
        await self._until_answered()
        self.used = self.policy.attempts

    async def _until_answered(self) -> None:
        policy, outcome = self.policy, self.outcome
        latencies = [way.latency_s for way in self.ways] if len(self.ways) > 1 else ()
        while not self._stop:
            verdict = policy.next(now=time.monotonic(), latencies=latencies)
            if isinstance(verdict, Try):
                if await self._attempt(verdict):
                    return
            elif isinstance(verdict, GiveUp):
                spent = verdict.spent or ("the money for one call" if self._poor and not outcome.attempts else "")
                if spent:
                    outcome.error = f"gave up after {spent}: {outcome.error or 'nobody could be called'}"
                return
            else:
                await asyncio.sleep(verdict.seconds)
        outcome.error = self._stop

    # Choosing ---------------------------------------------------------------------------------------------------------

    async def _choose(self) -> None:
        """Finds the route of a request that names none; a classifier that fails costs nothing but its time."""
        view = self.kit.viewer(self.caller.channel, self.request, self.tokens)
        chooser = self.kit.chooser
        decision = chooser.decide(self.request, self.options, tokens=self.tokens, view=view)
        if decision.question is not None:
            said = await aside.ask(
                self, decision.question, self.tokens, used=self.used, private=decision.private, most_s=_CHOICE_S
            )
            self.used += said.attempts
            decision = chooser.answered(decision, said.text) if said.text else chooser.failed(decision)
        self.request = preparing.with_model(self.request, decision.route)
        self._excluded = decision.excluded
        if not decision.private and isinstance(self.gate, preparing.Looked):
            self.gate.found_nothing(self.request)

    # One attempt, and its hedges --------------------------------------------------------------------------------------

    async def _attempt(self, verdict: Try) -> bool:
        place = verdict.candidate
        ready = self._ready(place, verdict)
        if ready is not None and ready.fitted is not None and ready.summarise is not None:
            ready = await preparing.summarised(self, self.ways[place], ready)
        if ready is None or not self.affordable(place, ready):
            return False
        role: AttemptRole = "first" if self._last < 0 else "retry" if place == self._last else "fallback"
        out = Out(self, place, self.ways[place], role, ready)
        if self._pieces:
            out.stitcher = Stitcher(self.emitted)
        self._last = place
        if self._hedger is None or self._pieces:
            return await self.send(out)
        return await self._hedged(out, self._hedger)

    def _ready(self, place: int, verdict: Try) -> preparing.Ready | None:
        """The request as the verdict wants it; None when the candidate can't take it at all."""
        try:
            return preparing.prepare(self, self.ways[place], verdict.change, self._flaws.get(place))
        except ContextTooLong as error:
            self.outcome.error = f"{self.ways[place].name}: {error}"
            self.policy.failed(place, "context_too_long", retry_after=None, now=time.monotonic())
            return None

    def affordable(self, place: int, ready: preparing.Ready) -> bool:
        """Whether the attempt keeps the call's budget at its dearest; else its candidate is out."""
        if self._money < 0:
            return True
        way = self.ways[place]
        if max(0, way.estimate(ready.tokens, ready.request.max_tokens)) <= self.money_left():
            return True
        self._poor = True
        self.outcome.error = f"{way.name}: a call may cost more than is left for this one"
        self.policy.exclude(place)
        return False

    def money_left(self) -> int:
        """Picodollars that are left when all that is out turns out as dear as it may; -1 for no bound."""
        if self._money < 0:
            return -1
        if not self.outcome.log and not self.flying:
            return self._money
        # Not the bill's sum: that is unknown as soon as one attempt has no price.
        spent = sum(max(one.cost, 0) + one.open_cost for one in self.outcome.log)
        return max(0, self._money - spent - sum(out.may_cost for out in self.flying))

    async def _hedged(self, out: Out, hedger: Hedger) -> bool:
        """Runs the attempt here, and beside it what is sent when it is late."""
        late = self._late = Lateness(self, hedger, self._size, out)
        out.trace.on_sent = late.arm
        self.flying.append(out)
        answered = False
        try:
            answered = await self.send(out)
            self.flying.remove(out)
            late.disarm()
            while not answered and late.tasks:
                done, _ = await asyncio.wait(late.tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    self.flying.remove(late.tasks.pop(task))
                    answered |= task.result()
        finally:
            self.flying.clear()
            late.disarm()
            if late.tasks:
                await late.end()
        return answered

    def claim(self, out: Out) -> bool:
        """The attempt has begun to answer; False when another one was before it. All others are ended."""
        if self.winner is None:
            self.winner = out
            if self._late is not None:
                self._late.disarm()
                for other in self.flying:
                    if other is not out:
                        other.guard.end("second")
        return self.winner is out

    def second(self, out: Out, elapsed_s: float) -> None:
        """The attempt was cancelled after so long: another one was faster, or the call itself is."""
        self.policy.cancelled()
        if self._hedger is not None and self.winner is not None:
            self._hedger.record(out.way.name, self._size, elapsed_s, censored=True)

    async def send(self, out: Out) -> bool:
        """Sends an attempt; True when it has answered the call."""
        try:
            reply = await out.send()
        except CallError as error:
            await self._failed(out, error)
            return False
        if reply is None:
            return False
        if self._hedger is not None:
            self._hedger.record(out.way.name, self._size, out.answered_s)
        self._answered(out, reply)
        return True

    def _answered(self, out: Out, reply: ChatReply) -> None:
        if self._pieces and (text := "".join(self._pieces)) != reply.text:
            reply = preparing.with_text(reply, text)  # an earlier attempt's stream was gone on with
        outcome = self.outcome
        outcome.reply, outcome.error, outcome.rung, outcome.model = reply, "", "model", out.way.name
        self.kit.mended(out.way.candidate.account)
        if self.options.cache:
            rungs.keep(self, reply)

    async def _failed(self, out: Out, error: CallError) -> None:
        outcome, now = self.outcome, time.monotonic()
        outcome.error = f"{out.way.name}: {error}"
        self.kit.refused(out.way.candidate.account, error.retry_after or 0.0, down=error.kind == "auth")
        if out.flaw:
            self._flaws[out.place] = (out.flawed, out.flaw)
        self.policy.failed(out.place, error.kind, retry_after=error.retry_after, now=now)
        if self.winner is out:
            self.winner = None
            await self._cut(out)

    # Streams ----------------------------------------------------------------------------------------------------------

    @property
    def on_cut(self) -> OnCut:
        """What is done when a stream breaks after its first words."""
        return self.options.cut or self.kit.config.models[self.request.model].cut

    async def _cut(self, out: Out) -> None:
        """A stream broke after its first words, or its text is not what was asked for."""
        if not self._pieces:
            return
        if self.on_cut == "fail":
            self._stop = f"{self.outcome.error} (after {sum(map(len, self._pieces))} characters of the answer)"
        # A format is kept from the first character on: what continues it would be another document.
        elif self.on_cut == "restart" or out.flaw or self.request.response_format is not None:
            await self.revise("")

    async def say(self, text: str) -> None:
        """Gives the stream's reader some text."""
        self._pieces.append(text)
        assert self.on_text is not None
        await self.on_text(text)

    async def revise(self, text: str) -> None:
        """Gives the stream's reader this text in place of what came so far."""
        self._pieces.clear()
        assert self.on_text is not None
        await self.on_text(RESET)
        if text:
            await self.say(text)

    @property
    def emitted(self) -> str:
        """What the stream's reader has been given and may keep."""
        return "".join(self._pieces)

    def blocked(self, out: Out, blocked: Blocked) -> None:
        """Nobody may call the attempt's account now."""
        down = blocked.state == "down"
        self.kit.refused(out.way.candidate.account, blocked.seconds, down=down)
        down |= blocked.state == "ended"  # to this share, not to others (a breaker that is "closed" lets calls out)
        self.policy.blocked(out.place, blocked.seconds, down=down, now=time.monotonic())
        self.outcome.error = self.outcome.error or str(blocked)
