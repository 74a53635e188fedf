"""What holds for all of LiteLLM's deployments: its router's, its library's and its server's settings."""

import dataclasses
import re
from typing import Any, Final

from ..config_file import Location
from . import reasons
from .section import Section

_STRATEGIES: Final = {
    "simple-shuffle": "weighted",
    "least-busy": "least_busy",
    "latency-based-routing": "latency",
    "usage-based-routing": "weighted",
    "usage-based-routing-v2": "weighted",
    "cost-based-routing": "cheapest",
}

Fallback = tuple[str, str, Location]
"""A group, or `*` for those without their own; who steps in; where that is written."""


@dataclasses.dataclass(slots=True)
class Settings:
    """What is said once for all.

    Attributes:
        balance: how equals share the load.
        retries: how often a failed request is tried again; None where nothing is said.
        attempts: further settings of `attempts`.
        account: settings of every account (`breaker`).
        total_s: longest answer, seconds.
        first_s: until a stream's first words, seconds.
        cache: settings of every route's cache; None for none.
    """

    balance: str = "weighted"
    retries: int | None = None
    attempts: dict[str, Any] = dataclasses.field(default_factory=dict)
    account: dict[str, Any] = dataclasses.field(default_factory=dict)
    total_s: float | None = None
    first_s: float | None = None
    cache: dict[str, Any] | None = None
    budgets: dict[str, float] = dataclasses.field(default_factory=dict)
    fallbacks: list[Fallback] = dataclasses.field(default_factory=list)
    aliases: dict[str, tuple[str, Location]] = dataclasses.field(default_factory=dict)


def settings(root: Section) -> Settings:
    """Reads all sections but `model_list`, with a note on each setting that has no counterpart."""
    router, library = root.section("router_settings"), root.section("litellm_settings")
    found = Settings()
    _strategy(found, router)
    _failures(found, router, library)
    _fallbacks(found, router, library)
    _aliases(found, router)
    _cache(found, library)
    _budget(found, library)
    router.rest(reasons.ROUTER, reasons.UNKNOWN)
    library.rest(reasons.LIBRARY, reasons.UNKNOWN)
    root.section("general_settings").rest({}, reasons.SERVER)
    root.section("environment_variables").rest({}, "not copied: set it in the environment of the shell and the cluster")
    return found


def _strategy(found: Settings, router: Section) -> None:
    named = router.text("routing_strategy")
    if named is not None and named not in _STRATEGIES:
        router.note("routing_strategy", "has no counterpart: equals share the load by capacity (weighted)")
    found.balance = _STRATEGIES.get(named or "", "weighted")


def _failures(found: Settings, router: Section, library: Section) -> None:
    """Retries, time-outs, and when a deployment is left alone; the router's own word goes first."""
    retries = [one.whole("num_retries", zero=True) for one in (router, library)]
    found.retries = next((one for one in retries if one is not None), None)
    waited = router.number("retry_after", zero=True)
    if waited:
        found.attempts["backoff_s"] = waited
    times = [router.number("timeout"), library.number("request_timeout")]
    found.total_s = next((one for one in times if one is not None), None)
    found.first_s = router.number("stream_timeout")
    breaker: dict[str, Any] = {}
    fails = [one.whole("allowed_fails", zero=True) for one in (router, library)]
    for allowed in [one for one in fails if one is not None][:1]:
        breaker["failures"] = allowed + 1
    cooldown = router.number("cooldown_time")
    if cooldown is not None:
        breaker |= {"open_s": cooldown, "open_max_s": max(cooldown, 120.0)}
    if breaker:
        found.account["breaker"] = breaker


def _fallbacks(found: Settings, router: Section, library: Section) -> None:
    for section in (router, library):
        for key in ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks"):
            several = [one for at, item in section.items(key) for one in _of_item(section, at, item)]
            if several and key != "fallbacks":
                section.note(key, "become later candidates, which step in after any other failure as well")
            found.fallbacks += several
        for at, name in section.items("default_fallbacks"):
            if isinstance(name, str):
                found.fallbacks.append(("*", name, at))
            else:
                section.notes.add(at, "must be a model's name: left out")


def _of_item(section: Section, at: Location, item: object) -> list[Fallback]:
    if not isinstance(item, dict):
        section.notes.add(at, "must be a mapping of a model to a list of models: left out")
        return []
    several: list[Fallback] = []
    for group, others in item.items():
        for place, other in enumerate(others if isinstance(others, list) else [others]):
            if isinstance(other, str):
                several.append((str(group), other, (*at, group, place)))
            else:
                section.notes.add((*at, group, place), "a fallback with parameters of its own: left out; name a model")
    return several


def _aliases(found: Settings, router: Section) -> None:
    section = router.section("model_group_alias")
    for alias, target in section.entries():
        name = target.get("model") if isinstance(target, dict) else target
        if isinstance(name, str):
            found.aliases[alias] = (name, (*section.at, alias))
            if isinstance(target, dict) and target.get("hidden"):
                section.note(alias, "can't be hidden: it is listed as any other")
        else:
            section.note(alias, "names no model: left out")


def _cache(found: Settings, library: Section) -> None:
    on = library.take("cache")
    params = library.section("cache_params")
    ttl = params.number("ttl")
    kind = params.text("type")
    if on not in (None, False, True):
        library.note("cache", "must be true or false: off")
    if on is True:
        found.cache = {} if ttl is None else {"ttl_s": ttl}
        library.note("cache", "answers are kept for those calls that allow it, not for all")
        if kind not in (None, "local"):
            params.note("type", "answers are kept in the memory of each process")
    params.rest(reasons.CACHE, reasons.UNKNOWN)


def _budget(found: Settings, library: Section) -> None:
    most = library.number("max_budget", zero=True)
    duration = library.text("budget_duration")
    if most is None and duration is not None:
        library.note("budget_duration", "says nothing without max_budget: left out")
    if most and duration and re.fullmatch(r"1d|24h|86400s?", duration):
        found.budgets["day"] = most
    elif most is not None:
        library.note("max_budget", "only a day's budget has a counterpart (budgets.day): left out")
