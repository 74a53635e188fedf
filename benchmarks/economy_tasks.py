"""What the economy benchmark asks: a support desk's requests, the models that answer, and the workflows in between.

The mix is that of a desk that sends everything to the best model: seven of ten requests are lookups, two are technical,
one of ten needs thought. One request of twenty is as hard as it happens to be, whatever its words say, so that rules by
words err. How hard a request is, and what is right, only the simulator's exam knows.
"""

from random import Random
from typing import Any, Final, NamedTuple

from understudy.supervisors.workflow.templates import holds

PRICES: Final = {"small": (0.15, 0.6), "mid": (2.5, 10.0), "best": (10.0, 30.0)}
"""Dollars per million tokens, input and output: as gpt-4o-mini, gpt-4o and gpt-4-turbo were listed."""
SKILLS: Final = {"small": 0.6, "mid": 0.85, "best": 1.0}
"""The difficulty at which each knows half of the tasks."""
ANSWER_TOKENS: Final = (200, 300)
MIX: Final = {"simple": (0.7, 0.0, 0.3), "technical": (0.2, 0.3, 0.6), "complex": (0.1, 0.6, 1.0)}
"""Share of the requests, and from where to where their difficulty lies."""
SURPRISING: Final = 0.05

_OPENINGS: Final = {
    "simple": (
        "Where do I find the invoice of last month?",
        "What are your opening hours between the holidays?",
        "How do I change the address on my account?",
        "When does the voucher from the newsletter end?",
        "Can two people share one subscription?",
        "Is the larger model in stock again?",
    ),
    "technical": (
        "The import ends with an error that I can not make sense of.",
        "Our shop gets a timeout whenever it asks for the stock.",
        "How do we configure the webhook so that it is sent twice at most?",
        "Since the update the printer driver crashes at each second page.",
    ),
    "complex": (
        "We need the root cause of the double bookings, and what it means for the accounts.",
        "Please compare the three contracts and say which one fits our plans for two years.",
        "How should we migrate eleven branches without closing any of them?",
    ),
}
WORDS: Final = {
    "complex": ("root cause", "compare", "migrate"),
    "technical": ("error", "timeout", "configure", "crashes"),
}
"""What a rule looks for; a request with none of these words is taken for a simple one."""

_PROSE: Final = (
    "Thank you for getting back to us about what we wrote last week.",
    "The second floor has been waiting since Thursday, and nobody could say when it will be ready.",
    "We tried to follow page 42 of the manual, but its pictures show an older device.",
    "My colleague, who looks after the warehouse, noticed that two of the boxes were open.",
    "It worked last year and the year before; since the beginning of the month it is slower.",
    "Could someone from your side have a look and tell us what is still missing?",
    "In the meantime we keep working with the old one, although that takes more of the day.",
    "Please note that the office in Lyon is closed on Friday afternoons.",
)
_PROSE_CHARS: Final = 700

SCORE: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"score": {"type": "number"}, "reason": {"type": "string"}},
    "required": ["score", "reason"],
    "additionalProperties": False,
}


class Request(NamedTuple):
    """One request: its id in the exam, and what is written."""

    id: str
    difficulty: float
    text: str


def requests(count: int, *, seed: int, name: str) -> list[Request]:
    """So many requests, the same for the same seed and name."""
    rng = Random(f"{seed} {name}")
    return [_request(f"{name}-{number}", rng) for number in range(count)]


def _request(task: str, rng: Random) -> Request:
    [kind] = rng.choices(list(MIX), [share for share, _, _ in MIX.values()])
    _, least, most = MIX[kind]
    if rng.random() < SURPRISING:
        least, most = 0.0, 1.0
    difficulty = round(rng.uniform(least, most), 3)
    lines = [rng.choice(_OPENINGS[kind])]
    while sum(map(len, lines)) < _PROSE_CHARS:
        lines.append(rng.choice(_PROSE))
    question = f"Task {task} (difficulty {difficulty}, choices A-D): which of our four standard answers is right?"
    return Request(task, difficulty, " ".join(lines) + "\n" + question)


def configuration(url: str) -> dict[str, Any]:
    """One account, and a route a model."""
    return {
        "accounts": {"desk": {"kind": "openai", "base_url": url + "/v1"}},
        "models": {
            name: [{"account": "desk", "model": name, "price": {"input": dollars_in, "output": dollars_out}}]
            for name, (dollars_in, dollars_out) in PRICES.items()
        },
    }


def alone(model: str) -> dict[str, Any]:
    """Everything to one model."""
    return {"kind": "call", "model": model, "prompt": "{{ input.text }}", "max_tokens": 400}


def judge(model: str) -> dict[str, Any]:
    """A model reads a request and its `answer`, and says how sure it is of it."""
    prompt = "{{ input.text }}\nHow sure are you, 0 to 1, that this is right?\nCandidate answer: {{ answer }}"
    return {"kind": "call", "model": model, "prompt": prompt, "max_tokens": 100, "output": SCORE}


def ladder(*models: str, judged_by: str, threshold: float) -> dict[str, Any]:
    """The models in turn, until the judge is sure enough."""
    return {
        "kind": "ladder",
        "rungs": [alone(model) for model in models],
        "quality": {"judge": judge(judged_by)},
        "threshold": threshold,
    }


RUNGS: Final = {"simple": "small", "technical": "mid"}
"""Which model begins with what kind of request, and judges itself; what is complex goes to the best at once."""


RULES: Final = tuple(
    {"when": " or ".join(f"'{word}' in input.text" for word in words), "to": kind} for kind, words in WORDS.items()
)


def routed(threshold: float) -> dict[str, Any]:
    """Rules by words before ladders: who begins depends on what is asked."""
    branches = {kind: ladder(model, "best", judged_by=model, threshold=threshold) for kind, model in RUNGS.items()}
    return {
        "kind": "route",
        "rules": RULES,
        "branches": {**branches, "complex": alone("best")},
        "generalist": "simple",
    }


def labelling() -> dict[str, Any]:
    """Every rung's answer to a request, and its judge's score."""
    judged = {
        model: {
            "kind": "chain",
            "steps": [{**alone(model), "id": "answer"}, {**judge(model), "id": "verdict"}],
            "output": {"answer": "{{ answer }}", "score": "{{ verdict.score }}"},
        }
        for model in RUNGS.values()
    }
    return {"kind": "parallel", "branches": {**judged, "best": alone("best")}}


def kind_of(text: str) -> str:
    """Where the rules of `routed` send a request."""
    return next((rule["to"] for rule in RULES if holds(rule["when"], {"input": {"text": text}})), "simple")
