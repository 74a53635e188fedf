"""A configuration whose providers are simulators: what each is told, and the configuration that calls them."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

from ...actors.prices import PriceBook, Rate
from ...protocols.accounts import Account, BreakerSettings, Limits, Timeouts
from ...protocols.config import Attempts, Candidate, Config, Price, Route
from ...protocols.errors import UsageError
from ...protocols.suggest import did_you_mean
from ..simulator.settings import Answer, ModelSettings, Quota, Settings
from .scenarios import CALM_LATENCY, faster

_PATHS: Final = {"openai": "/v1", "anthropic": "/v1", "gemini": "/v1beta", "azure": ""}
_WINDOW: Final = 128_000
_ANSWER: Final = (20, 120)
"""Tokens of an answer, least and most."""


class Staging:
    """One route of a configuration, with a simulator for each of its accounts.

    Seconds of accounts and budgets are divided by `speed`; quotas keep their numbers and have a shorter window.
    Keys and headers are dropped: nothing secret is needed, and nothing leaves this machine.

    Args:
        config: as it was read.
        route: its name, or None for the first.
        speed: how much faster than real time is played.
        seed: of the simulators.
        at: the day of the prices.

    Raises:
        UsageError: there is no such route, or none of its accounts has a provider that could fail.
    """

    def __init__(self, config: Config, route: str | None, *, speed: float, seed: int, at: datetime) -> None:
        name = route or next(iter(config.models))
        if name not in config.models:
            hint = did_you_mean(name, config.models)
            raise UsageError(f"--route {name!r}: there is none{hint}; defined: {', '.join(config.models)}")
        self.route = name
        self.accounts = tuple(one for one in config.accounts_of([name]) if config.accounts[one].kind != "embedded")
        if not self.accounts:
            raise UsageError(
                f"nothing to drill: the route {name!r} calls only the embedded account, which can't be down"
            )
        self._config = config
        self._speed = speed
        self._seed = seed
        book = PriceBook(config, at=at)
        #: The price of each candidate, and its window, by account and model.
        self._rates = {(one.account, one.model): book.rate(one) for one in config.models[name].candidates}
        self._windows = {(one.account, one.model): book.window(one) for one in config.models[name].candidates}
        self.unpriced = book.unpriced

    # The simulators ---------------------------------------------------------------------------------------------------

    def settings(self, account: str) -> Settings:
        """What the simulator of an account is told at its start."""
        limits = self._config.accounts[account].limits
        candidates = [one for one in self._config.models[self.route].candidates if one.account == account]
        return Settings(
            seed=self._seed + self.accounts.index(account),
            models={one.model: self._model(one) for one in candidates},
            quota=Quota(
                rpm=limits.rpm,
                tpm=limits.tpm,
                concurrency=limits.concurrency,
                window_s=limits.window_s / self._speed,
            ),
            retry_after="ms",
            latency=faster(CALM_LATENCY, self._speed),
            answer=Answer(tokens=_ANSWER, by="content"),
            bill="accepted",
        )

    def _model(self, candidate: Candidate) -> ModelSettings:
        key = (candidate.account, candidate.model)
        rate = self._rates[key] or Rate(0, 0, 0)
        settings = ModelSettings(
            input_price=_dollars(rate.input),
            output_price=_dollars(rate.output),
            context_window=self._windows[key] or _WINDOW,
        )
        return (
            settings
            if candidate.max_output is None
            else settings.model_copy(update={"max_output": candidate.max_output})
        )

    # The configuration ------------------------------------------------------------------------------------------------

    def config(self, urls: Mapping[str, str]) -> Config:
        """The configuration that calls the simulators at `urls`, by account."""
        config = self._config
        accounts = {name: self._account(config.accounts[name], url) for name, url in urls.items()}
        attempts, speed = config.attempts, self._speed
        return Config(
            accounts=accounts,
            models={self.route: self._route(config.models[self.route])},
            tenants=config.tenants,
            budgets=config.budgets,
            attempts=Attempts(
                max_attempts=attempts.max_attempts,
                per_candidate=attempts.per_candidate,
                deadline_s=attempts.deadline_s / speed,
                backoff_s=attempts.backoff_s / speed,
                backoff_max_s=attempts.backoff_max_s / speed,
            ),
        )

    def _account(self, account: Account, url: str) -> Account:
        return account.model_copy(
            update={
                "base_url": url + _PATHS[account.kind],
                "api_key": None,
                "organization": None,
                "headers": {},
                "private": account.is_private,
                "limits": _faster_limits(account.limits, self._speed),
                "breaker": _faster_breaker(account.breaker, self._speed),
                "timeouts": _faster_timeouts(account.timeouts, self._speed),
            }
        )

    def _route(self, route: Route) -> Route:
        candidates = tuple(self._candidate(one) for one in route.candidates)
        hedge = route.hedge
        if hedge is not None:
            hedge = hedge.model_copy(update={"initial_s": hedge.initial_s / self._speed})
        return route.model_copy(update={"candidates": candidates, "hedge": hedge})

    def _candidate(self, candidate: Candidate) -> Candidate:
        key = (candidate.account, candidate.model)
        rate, window = self._rates[key], self._windows[key]
        latency_s = candidate.latency_s
        return candidate.model_copy(
            update={
                "price": None if rate is None else _price(rate),
                "window": window or _WINDOW,
                "latency_s": None if latency_s is None else latency_s / self._speed,
            }
        )


def _price(rate: Rate) -> Price:
    """A price of input and output alone: the stand-ins have no cache and no tiers."""
    return Price(input=float(_dollars(rate.input)), output=float(_dollars(rate.output)))


def _dollars(picodollars_a_token: int) -> Decimal:
    """Dollars for a million tokens."""
    return Decimal(picodollars_a_token).scaleb(-6)


def _faster_limits(limits: Limits, speed: float) -> Limits:
    guard_s = max(limits.window_s / 40, 0.5) if limits.guard_s is None else limits.guard_s
    return limits.model_copy(update={"window_s": limits.window_s / speed, "guard_s": guard_s / speed})


def _faster_breaker(breaker: BreakerSettings, speed: float) -> BreakerSettings:
    pauses = {"open_s": breaker.open_s / speed, "open_max_s": breaker.open_max_s / speed}
    return breaker.model_copy(update=pauses)


def _faster_timeouts(timeouts: Timeouts, speed: float) -> Timeouts:
    first_s = timeouts.first_s
    return timeouts.model_copy(
        update={
            # A connection stands at once on this machine, however fast all else is played.
            "total_s": timeouts.total_s / speed,
            "first_s": None if first_s is None else first_s / speed,
            "gap_s": timeouts.gap_s / speed,
        }
    )
