"""A LiteLLM configuration as one of ours: pure, from a parsed file to a parsed file and notes.

Source: LiteLLM's documentation of its proxy's `config.yaml` and of its router.
"""

import dataclasses
import json
import re
from decimal import Decimal
from typing import Any, Final

from ...protocols.config import AUTO
from ...protocols.suggest import did_you_mean
from ..config_file import Document
from . import reasons
from .accounts import Accounts
from .providers import PROVIDERS, Provider, name_there, split
from .section import Note, Notes, Section
from .settings import Settings, settings

_PRICES: Final = (
    ("input", "input_cost_per_token"),
    ("output", "output_cost_per_token"),
    ("cached", "cache_read_input_token_cost"),
    ("written", "cache_creation_input_token_cost"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What a file became: the configuration as plain values, and what was not kept as it was."""

    config: dict[str, Any]
    notes: list[Note]


@dataclasses.dataclass(frozen=True, slots=True)
class _Deployment:
    order: float
    candidate: dict[str, Any]


def convert(document: Document) -> Outcome:
    """Converts a file; `models` is empty when none of its deployments can be used."""
    return _Converter(document).run()


class _Converter:
    def __init__(self, document: Document) -> None:
        self._notes = Notes(document)
        self._root = Section(document.plain, (), self._notes)
        self._accounts = Accounts(self._notes, _variables(document.plain))
        #: Deployments by the name that clients call.
        self._groups: dict[str, list[_Deployment]] = {}

    def run(self) -> Outcome:
        """See `convert`."""
        for at, item in self._root.items("model_list"):
            self._deployment(Section(item, at, self._notes))
        chosen = settings(self._root)
        self._root.rest({}, "is not known here: left out with all that is in it")
        models = self._models(chosen)
        config: dict[str, Any] = {
            "accounts": self._accounts.build(chosen.account, total=chosen.total_s, first=chosen.first_s),
            "models": models,
        }
        attempts = chosen.attempts | self._retries(chosen, models)
        config |= {key: value for key, value in (("attempts", attempts), ("budgets", chosen.budgets)) if value}
        return Outcome(config, self._notes.found)

    # Deployments ------------------------------------------------------------------------------------------------------

    def _deployment(self, item: Section) -> None:
        group = item.text("model_name")
        params, info = item.section("litellm_params"), item.section("model_info")
        item.rest({}, reasons.UNKNOWN)
        model = params.text("model")
        if not group or not model:
            self._notes.add(item.at, f"has no {'litellm_params.model' if group else 'model_name'}: deployment left out")
            return
        if "*" in group or "*" in model:
            self._notes.add(item.at, "names no model (`*`): deployment left out; write a candidate for each model")
            return
        mode = info.text("mode")
        if mode in reasons.OTHER_MODES:
            info.note("mode", "is not chat: deployment left out")
            return
        found = self._provider(params, model)
        account = found and self._accounts.of(found[0], params, found[1])
        if not found or not account:
            return
        candidate = {"account": account, "model": found[1], **_facts(params, info)}
        order = params.number("order", zero=True)
        several = self._groups.setdefault(group, [])
        if any((one.candidate["account"], one.candidate["model"]) == (account, found[1]) for one in several):
            self._notes.add(item.at, "has the key, address and model of an earlier one: counted once")
        several.append(_Deployment(float("inf") if order is None else order, candidate))
        params.rest(reasons.PARAMS, reasons.UNKNOWN)
        info.rest(reasons.INFO, reasons.UNKNOWN)

    def _provider(self, params: Section, model: str) -> tuple[Provider, str] | None:
        prefix, name = split(model, params.text("custom_llm_provider"))
        provider = PROVIDERS.get(prefix)
        if provider is not None:
            return provider, name_there(provider, name)
        if "api_base" in params or "base_url" in params:
            params.note("model", "its provider is not known here: taken for a server that speaks OpenAI's protocol")
            clean = re.sub(r"[^A-Za-z0-9._-]+", "-", prefix).strip("-._")[:40]
            return Provider(clean or "server"), name
        who = f"provider {prefix!r} is not spoken here" if prefix else "no provider can be told from this name"
        params.note("model", f"{who}: deployment left out")
        return None

    # Routes -----------------------------------------------------------------------------------------------------------

    def _models(self, chosen: Settings) -> dict[str, Any]:
        wanted = dict.fromkeys([*self._groups, *(name for name, _, _ in chosen.fallbacks if name != "*")])
        known = [*self._groups, *chosen.aliases]
        for group, other, at in chosen.fallbacks:
            if group not in known and group != "*":
                text = f"no usable model is called {group!r}{did_you_mean(group, known)}: its fallbacks stand for it"
                self._notes.add(at[:-1], text)
            if other not in known:
                self._notes.add(at, f"no usable model is called {other!r}{did_you_mean(other, known)}: left out")
        models: dict[str, Any] = {}
        for name in wanted:
            route = self._route(name, chosen)
            if route is not None:
                models[self._named(name)] = route
        for alias, (target, at) in chosen.aliases.items():
            route = models.get(self._named(target))
            if route is None:
                self._notes.add(at, f"no usable model is called {target!r}{did_you_mean(target, models)}: left out")
            else:
                models.setdefault(self._named(alias), route)
        return models

    def _named(self, name: str) -> str:
        if name != AUTO:
            return name
        self._notes.add(("model_list",), f"the name {AUTO!r} is taken: the model is called '{AUTO}-1'")
        return f"{AUTO}-1"

    def _route(self, name: str, chosen: Settings) -> Any:
        ranks = self._ranks(name)
        own = [other for group, other, _ in chosen.fallbacks if group == name]
        for other in own or [other for group, other, _ in chosen.fallbacks if group == "*" and other != name]:
            ranks += self._ranks(chosen.aliases.get(other, (other, ()))[0])
        seen: set[tuple[str, str]] = set()
        kept = [(rank, one) for rank, several in enumerate(ranks) for one in several if _new(one, seen)]
        if not kept:
            return None
        places = sorted({rank for rank, _ in kept})
        equals = len(places) < len(kept)
        candidates = [({**one, "rank": places.index(rank)} if equals else one) for rank, one in kept]
        policies: dict[str, Any] = {"balance": chosen.balance} if equals else {}
        if chosen.cache is not None:
            policies["cache"] = chosen.cache
        return {**policies, "candidates": candidates} if policies else candidates

    def _ranks(self, group: str) -> list[list[dict[str, Any]]]:
        several = self._groups.get(group, [])
        return [
            [one.candidate for one in several if one.order == order] for order in sorted({one.order for one in several})
        ]

    @staticmethod
    def _retries(chosen: Settings, models: dict[str, Any]) -> dict[str, int]:
        """LiteLLM retries within each group of equals; the budget here is one for the whole call."""
        if chosen.retries is None:
            return {}
        most = 1
        for route in models.values():
            candidates = route["candidates"] if isinstance(route, dict) else route
            most = max(most, len({one.get("rank", place) for place, one in enumerate(candidates)}))
        return {"max_attempts": (chosen.retries + 1) * most, "per_candidate": chosen.retries + 1}


def _new(candidate: dict[str, Any], seen: set[tuple[str, str]]) -> bool:
    key = (candidate["account"], candidate["model"])
    return not (key in seen or seen.add(key))  # type: ignore[func-returns-value]


def _facts(params: Section, info: Section) -> dict[str, Any]:
    """Window, longest answer, weight and price of a deployment, from its parameters or what is said about it."""
    facts: dict[str, Any] = {}
    window, longest = info.whole("max_input_tokens"), [info.whole("max_output_tokens"), info.whole("max_tokens")]
    asked = params.whole("max_tokens")
    if window:
        facts["window"] = window
    if asked:
        params.note("max_tokens", "becomes the bound of every answer (max_output)")
    if bounds := [one for one in (asked, *longest) if one]:
        facts["max_output"] = bounds[0]
    weight = params.number("weight")
    if weight is not None and weight != 1:
        facts["weight"] = weight
    price = {}
    for ours, theirs in _PRICES:
        found = [one for one in (params.number(theirs, zero=True), info.number(theirs, zero=True)) if one is not None]
        if found:
            price[ours] = float(Decimal(str(found[0])) * 10**6)
    if price:
        facts["price"] = {"input": 0.0, "output": 0.0} | price
    return facts


def _variables(plain: dict[str, Any]) -> frozenset[str]:
    """The variables that mean something in the file: those it names, and those LiteLLM looks at where none is named."""
    named = set(re.findall(r"(?:os\.environ/|\$\{)([A-Za-z_][A-Za-z0-9_]*)", json.dumps(plain)))
    listed = plain.get("model_list")
    for item in listed if isinstance(listed, list) else ():
        params = item.get("litellm_params") if isinstance(item, dict) else None
        info = item.get("model_info") if isinstance(item, dict) else None
        chat = not isinstance(info, dict) or info.get("mode") in (None, "chat")
        if chat and isinstance(params, dict) and not params.get("api_key"):
            provider = PROVIDERS.get(split(str(params.get("model")), params.get("custom_llm_provider"))[0])
            named.update([provider.variable] if provider else [])
    return frozenset(named)
