"""What choosing a model costs and how well it chooses, on labelled requests; no model and no network.

Usage: `python -m benchmarks.routing`. The first table is the time of a whole decision for a request of 500 tokens, by
who decides: microseconds of CPU. The second holds the confusion matrices of the heuristics over
`benchmarks/labelled.py`; the third what the chosen tiers cost against sending every request to the best model.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from benchmarks.labelled import DOMAINS, LABELLED, Labelled
from benchmarks.rig import finish, median, table
from understudy.actors.embedded.tokens import count
from understudy.actors.prices import PICO, PriceBook
from understudy.actors.router.chooser import Chooser
from understudy.actors.router.classify import Heuristics
from understudy.actors.router.pii import holds
from understudy.actors.router.reading import Reading, vocabulary
from understudy.protocols.call import CallOptions
from understudy.protocols.chat import ChatRequest, Message, Text
from understudy.protocols.config import Config

TOKENS: Final = 500
BAR_US: Final = 20.0
ROUNDS: Final = 15
CALLS: Final = 400
TIERS: Final = ("fast", "standard", "premium")

_MODELS: Final[dict[str, Any]] = {
    "fast": {
        "tier": "fast",
        "candidates": [{"account": "out", "model": "gpt-4o-mini", "price": {"input": 0.15, "output": 0.6}}],
    },
    "middle": {
        "tier": "standard",
        "candidates": [{"account": "out", "model": "gpt-4o", "price": {"input": 2.5, "output": 10}}],
    },
    "best": {
        "tier": "premium",
        "candidates": [{"account": "out", "model": "o1", "price": {"input": 15, "output": 60}}],
    },
    "house": {"tier": "private", "candidates": [{"account": "embedded", "model": "extractive"}]},
}
_TOPICS: Final = (
    *("refund", "money back", "invoice", "delivery", "opening hours", "password", "parcel", "voucher", "warranty"),
    *("newsletter", "complaint", "gift card", "upgrade", "downgrade", "cancellation", "outage"),
)
_PROSE: Final = (
    "Thank you for getting back to us about the situation we described last week.",
    "The second floor team has been waiting since Thursday, and nobody could tell them when it will be ready.",
    "We tried to follow what the manual says on page 42, but the pictures show an older version of the device.",
    "My colleague, who looks after the warehouse, noticed that two of the boxes were open (see below).",
    "It worked in 2023 and in 2024; since the beginning of November it has been slower than before.",
    "Could someone from your side have a look and tell us what information is still missing?",
    "In the meantime we keep working with the old one, although that takes more of everybody's day.",
    "Please note that the office in Lyon will be closed between the holidays.",
    "If there is anything unclear, write to the same address or leave a note at the front desk.",
)


def _config(rules: Sequence[dict[str, Any]], **routing: Any) -> Config:
    accounts = {"out": {"api_key": "${K}"}}
    return Config.model_validate(
        {"accounts": accounts, "models": _MODELS, "routing": {"rules": list(rules), **routing}}
    )


def _plain_rules() -> list[dict[str, Any]]:
    """Twenty rules as people write them: words and phrases, two patterns, a tenant, a size."""
    topics = [{"route": "fast", "contains": [topic, f"{topic}s"]} for topic in _TOPICS]
    others: list[dict[str, Any]] = [
        {"route": "fast", "matches": r"\bticket #?\d{4,}\b"},
        {"route": "fast", "matches": r"^subject: re:"},
        {"route": "middle", "tenant": ["acme"]},
        {"route": "best", "min_tokens": 400},
    ]
    return [*topics, *others]


def _classified_rules() -> list[dict[str, Any]]:
    """The same, but six of them ask what kind of request it is; the last of those decides."""
    asking: list[dict[str, Any]] = [
        {"route": "best", "domain": ["legal", "medical"]},
        {"route": "best", "domain": ["code"], "complexity": ["high"]},
        {"route": "fast", "urgency": ["realtime"]},
        {"route": "middle", "domain": ["translation"]},
        {"route": "middle", "domain": ["math", "data"]},
        {"route": "fast", "complexity": ["low", "medium"]},
    ]
    return [*_plain_rules()[:14], *asking]


def _requests(several: int) -> list[ChatRequest]:
    """Requests of 500 tokens that no two share, so that nothing is cached between calls."""
    made = []
    for number in range(several):
        text = f"Mail {number}."
        step = 0
        while count(f"{text} {_PROSE[(number + step) % len(_PROSE)]}") <= TOKENS:
            text = f"{text} {_PROSE[(number + step) % len(_PROSE)]}"
            step += 1
        made.append(ChatRequest("auto", (Message("user", (Text(text),)),)))
    return made


def _micros(call: Callable[[ChatRequest], Any], requests: Sequence[ChatRequest]) -> list[float]:
    """Microseconds of CPU a call, by round."""
    for request in requests:
        call(request)
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for request in requests:
            call(request)
        rounds.append((time.process_time() - began) / len(requests) * 1e6)
    return rounds


def _decider(config: Config, stage: str, requests: Sequence[ChatRequest]) -> Callable[[ChatRequest], Any]:
    chooser = Chooser(config, PriceBook(config, at=datetime(2026, 11, 1, tzinfo=UTC)))
    options = CallOptions(tenant="other")
    stages = {chooser.decide(request, options, tokens=TOKENS).stage for request in requests}
    assert stages == {stage}, f"decided by {stages}, not by {stage}"
    return lambda request: chooser.decide(request, options, tokens=TOKENS)


def _speed() -> dict[str, list[float]]:
    requests = _requests(CALLS)
    texts = {
        id(request): part.text for request in requests for part in request.messages[0].parts if isinstance(part, Text)
    }
    known, heuristics = vocabulary(Heuristics.words), Heuristics()
    examples = {name: [item.text for item in LABELLED if item.tier == tier][:10] for name, tier in _BY_TIER}
    by = {
        "20 rules: words, patterns, sizes": _decider(_config(_plain_rules()), "rule", requests),
        "20 rules, 6 ask for domain, complexity": _decider(_config(_classified_rules()), "rule", requests),
        "20 rules, personal data kept in": _decider(_config(_plain_rules(), pii="private_only"), "rule", requests),
        "no rule holds: best score": _decider(_config(_plain_rules()[:16]), "score", requests),
        "no rule holds: 30 examples": _decider(
            _config(_plain_rules()[:16], examples=examples, similarity=0.001), "example", requests
        ),
        "part: the words of the text": lambda request: Reading(texts[id(request)], known).hits,
        "part: words and classification": lambda request: heuristics.classify(
            Reading(texts[id(request)], known), tokens=TOKENS
        ),
        "part: personal data": lambda request: holds(texts[id(request)]),
    }
    return {label: _micros(call, requests) for label, call in by.items()}


_BY_TIER: Final = (("fast", "fast"), ("middle", "standard"), ("best", "premium"))


class Quality:
    """How the heuristics judge the labelled requests."""

    def __init__(self, items: Sequence[Labelled]) -> None:
        known, heuristics = vocabulary(Heuristics.words), Heuristics()
        config = _config(())
        prices = PriceBook(config, at=datetime(2026, 11, 1, tzinfo=UTC))
        chooser = Chooser(config, prices)
        self.items = items
        self.found = [heuristics.classify(Reading(it.text, known), tokens=count(it.text)) for it in items]
        self.routes = []
        self.costs = []
        self.always = 0
        for item in items:
            request = ChatRequest("auto", (Message("user", (Text(item.text),)),), max_tokens=item.answer)
            decision = chooser.decide(request, CallOptions(), tokens=count(item.text))
            rows = {row.route: row.cost for row in decision.rows}
            self.routes.append(decision.route)
            self.costs.append(rows[decision.route])
            self.always += rows["best"]

    @property
    def domain_accuracy(self) -> float:
        """Share whose domain is the labelled one."""
        return _share([found.domain == item.domain for found, item in zip(self.found, self.items, strict=True)])

    @property
    def tier_accuracy(self) -> float:
        """Share whose tier is the labelled one."""
        return _share([found.tier == item.tier for found, item in zip(self.found, self.items, strict=True)])

    @property
    def enough(self) -> float:
        """Share that went to the labelled tier or a better one."""
        pairs = zip(self.found, self.items, strict=True)
        return _share([TIERS.index(found.tier) >= TIERS.index(item.tier) for found, item in pairs])

    @property
    def saved(self) -> float:
        """Share of the money that always asking the best would cost."""
        return 1 - sum(self.costs) / self.always

    def show(self) -> None:
        """Prints the confusion matrices and the money."""
        pairs = Counter((item.domain, found.domain) for item, found in zip(self.items, self.found, strict=True))
        head = ["is \\ found", *(name[:5] for name in (*DOMAINS, "general"))]
        names = (*DOMAINS, "general")
        rows = [[was, *(str(pairs[was, now] or ".") for now in names)] for was in names]
        table(f"domain: {self.domain_accuracy:.0%} of {len(self.items)} right", head, rows)
        tiers = Counter((item.tier, found.tier) for item, found in zip(self.items, self.found, strict=True))
        rows = [[was, *(str(tiers[was, now] or ".") for now in TIERS)] for was in TIERS]
        title = f"tier: {self.tier_accuracy:.0%} right, {self.enough:.0%} at the labelled tier or better"
        table(title, ["labelled \\ found", *TIERS], rows)
        money = [[route, str(self.routes.count(route))] for route in _MODELS]
        always, ours = self.always / PICO, sum(self.costs) / PICO
        table(
            f"${ours:.3f} instead of ${always:.3f} for always the best: {self.saved:.0%} saved",
            ["route", "requests"],
            money,
        )
        for item, found in zip(self.items, self.found, strict=True):
            if found.tier != item.tier and TIERS.index(found.tier) < TIERS.index(item.tier):
                print(f"  too low a tier ({found.tier}, labelled {item.tier}): {item.text[:48]}")


def _share(right: Sequence[bool]) -> float:
    return sum(right) / len(right)


def main() -> None:
    """Runs it all: ten seconds."""
    speed = _speed()
    rows = [[label, f"{median(times):.1f}", f"{min(times):.1f}-{max(times):.1f}"] for label, times in speed.items()]
    table(
        f"microseconds a decision, {TOKENS} tokens, {ROUNDS} rounds of {CALLS}",
        ["decided by", "median", "rounds"],
        rows,
    )
    quality = Quality(LABELLED)
    quality.show()
    by_rule = median(speed["20 rules: words, patterns, sizes"])
    figures = {
        **{f"{label}, us": round(median(times), 2) for label, times in speed.items()},
        "labelled": len(LABELLED),
        "domain_accuracy": round(quality.domain_accuracy, 3),
        "tier_accuracy": round(quality.tier_accuracy, 3),
        "tier_enough": round(quality.enough, 3),
        "saved": round(quality.saved, 3),
    }
    bars = {
        "a rule decides in <= 20 us": by_rule <= BAR_US,
        "domain right for >= 80 %": quality.domain_accuracy >= 0.8,
        "saves >= 40 % against always the best": quality.saved >= 0.4,
    }
    finish("routing", figures, bars)


if __name__ == "__main__":
    main()
