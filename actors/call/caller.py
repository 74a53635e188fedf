"""Carries out one logical call: the shell around `CallPolicy`, over a holder's channels."""

import asyncio
import random
import time
from collections.abc import Mapping

from ...protocols.chat import ChatReply, ChatRequest
from ...protocols.config import Attempts, Candidate
from ...protocols.errors import CallError
from ..channel.channel import Blocked, Channel, Cost
from ..prices import PriceBook
from ..prices import cost as cost_of
from ..router.core import Health, Router
from .outcome import CallOutcome
from .policy import CallPolicy, GiveUp, Try


class Caller:
    """Makes logical calls. One per actor that calls models.

    Args:
        router: orders candidates.
        channels: one per account.
        prices: what replies cost.
        attempts: the budget of each call.
        rng: for the jitter.
    """

    def __init__(
        self,
        router: Router,
        channels: Mapping[str, Channel],
        prices: PriceBook,
        attempts: Attempts,
        *,
        rng: random.Random,
    ) -> None:
        self._router = router
        self._channels = channels
        self._prices = prices
        self._attempts = attempts
        self._rng = rng
        #: What the last refusal of each account said.
        self._health: dict[str, Health] = {}
        self._costs: dict[tuple[str, str], Cost] = {}

    async def call(self, request: ChatRequest, *, tokens: int) -> CallOutcome:
        """Answers `request`, whose prompt has about `tokens` tokens, or says why not; raises only `ConfigError`."""
        now = time.monotonic()
        outcome = CallOutcome()
        candidates = self._router.candidates(request.model, self._health, now=now, tokens=tokens + request.max_tokens)
        policy = CallPolicy(len(candidates), self._attempts, now=now, rng=self._rng)
        while True:
            verdict = policy.next(now=time.monotonic())
            if isinstance(verdict, Try):
                candidate = candidates[verdict.candidate]
                if await self._attempt(request, candidate, verdict.candidate, policy, outcome=outcome, tokens=tokens):
                    return outcome
            elif isinstance(verdict, GiveUp):
                if verdict.spent:
                    outcome.error = f"gave up after {verdict.spent}: {outcome.error or 'nobody could be called'}"
                return outcome
            else:
                await asyncio.sleep(verdict.seconds)

    async def _attempt(
        self,
        request: ChatRequest,
        candidate: Candidate,
        place: int,
        policy: CallPolicy,
        *,
        outcome: CallOutcome,
        tokens: int,
    ) -> bool:
        price = self._costs.get((candidate.account, candidate.model)) or self._price(candidate)
        try:
            # Waiting for a permit and the request itself end at the deadline; `next` then says which budget is spent.
            async with asyncio.timeout(policy.left(now=time.monotonic())):
                reply = await self._channels[candidate.account].call(
                    request, candidate.model, tokens=tokens, cost=price
                )
        except TimeoutError:
            return False
        except Blocked as blocked:
            self._note(candidate, blocked.seconds, down=blocked.state == "down")
            policy.blocked(place, blocked.seconds, down=blocked.state == "down", now=time.monotonic())
            outcome.error = outcome.error or str(blocked)
            return False
        except CallError as error:
            outcome.attempts += error.sent
            outcome.model = f"{candidate.account}/{candidate.model}"
            outcome.error = f"{outcome.model}: {error}"
            self._note(candidate, error.retry_after or 0.0, down=error.kind == "auth")
            policy.failed(place, error.kind, retry_after=error.retry_after, now=time.monotonic())
            return False
        self._count(outcome, reply, price(reply))
        outcome.reply, outcome.error = reply, ""
        outcome.model = f"{candidate.account}/{candidate.model}"
        return True

    def _price(self, candidate: Candidate) -> Cost:
        rate = self._prices.rate(candidate)

        def price(reply: ChatReply) -> int:
            return -1 if rate is None else cost_of(rate, reply.usage)

        self._costs[candidate.account, candidate.model] = price
        return price

    def _note(self, candidate: Candidate, seconds: float, *, down: bool) -> None:
        if seconds or down:
            self._health[candidate.account] = Health(time.monotonic() + seconds, down)

    @staticmethod
    def _count(outcome: CallOutcome, reply: ChatReply, cost: int) -> None:
        outcome.attempts += 1
        outcome.input_tokens += reply.usage.input_tokens
        outcome.output_tokens += reply.usage.output_tokens
        outcome.cost = -1 if cost < 0 or outcome.cost < 0 else outcome.cost + cost
