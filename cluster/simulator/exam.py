"""An exam: tasks whose right answer is known, sat by models of known skill, and judges that can be wrong.

A prompt sits the exam when a line of a user's message says

    Task <id> (difficulty <0 to 1>, choices A-D): ...

and it is a judge's when a line says `Candidate answer: <letter>` besides. Everything is a function of hashes of the
simulator's seed, the model and the task, so that who measures quality can know the truth without asking anybody.
"""

import hashlib
import math
import re
from typing import Any, Final, NamedTuple

import orjson

from .request import CHARS_PER_TOKEN, Request
from .schema import example

STEEPNESS: Final = 10.0
"""How sharply the chance of a right answer falls where the difficulty passes the skill."""
EASE: Final = 0.15
"""By so much a task is easier to judge than to solve."""
KEPT: Final = 0.5
"""Share of the samples (seed and temperature) that say what is said without: they agree where it is easy."""

_TASK: Final = re.compile(r"^\s*Task (\S+) \(difficulty (\d?\.?\d+), choices A-([B-Z])\):", re.MULTILINE)
_CANDIDATE: Final = re.compile(r"^\s*Candidate answer:\s*(?:Answer:\s*)?([A-Z])\b", re.MULTILINE)
_WORDS: Final = (
    "It follows from what the task says, when its parts are taken one after the other and set side by side. "
)


class Task(NamedTuple):
    """One task: its id, its difficulty from 0 to 1, and how many letters there are to choose from."""

    id: str
    difficulty: float
    choices: int


def find_task(text: str) -> Task | None:
    """The first task of a text."""
    found = _TASK.search(text)
    if found is None:
        return None
    return Task(found[1], float(found[2]), ord(found[3]) - ord("A") + 1)


def truth(seed: int, task_id: str, choices: int = 4) -> str:
    """The right letter."""
    return _letter(int(_draw(seed, "truth", task_id) * choices))


def chance_right(skill: float, difficulty: float, choices: int = 4) -> float:
    """The probability that a model answers right: between guessing and 1, by a logistic curve of skill - difficulty."""
    guess = 1.0 / choices
    return guess + (1.0 - guess) * _logistic(skill - difficulty)


def right(
    seed: int,
    model: str,
    task_id: str,
    skill: float,
    difficulty: float,
    *,
    choices: int = 4,
    sample: str = "",
) -> bool:
    """True if the model answers this task right; ``sample`` names one of several answers to the same request."""
    draw = _draw(seed, "right", model, task_id, _of(seed, model, task_id, sample))
    return draw < chance_right(skill, difficulty, choices)


def answer(seed: int, model: str, task: Task, skill: float, *, sample: str = "") -> str:
    """The letter that the model says."""
    best = truth(seed, task.id, task.choices)
    if right(seed, model, task.id, skill, task.difficulty, choices=task.choices, sample=sample):
        return best
    draw = _draw(seed, "wrong", model, task.id, _of(seed, model, task.id, sample))
    others = [letter for letter in map(_letter, range(task.choices)) if letter != best]
    return others[int(draw * len(others))]


def judged(seed: int, model: str, task: Task, skill: float, candidate: str) -> float:
    """A judge's score of a candidate, 0 to 1, two decimals.

    A judge that sees through the task scores right answers from 0.7 to 1 and wrong ones from 0 to 0.3; one that does
    not, and that is more probable the less skilled it is, scores anything from 0.3 to 0.9 whatever is right.
    """
    sees = _draw(seed, "judge", model, task.id, candidate) < _logistic(skill + EASE - task.difficulty)
    spread = _draw(seed, "score", model, task.id, candidate)
    if not sees:
        return round(0.3 + 0.6 * spread, 2)
    return round((0.7 if candidate == truth(seed, task.id, task.choices) else 0.0) + 0.3 * spread, 2)


def sit(request: Request, *, seed: int, skill: float, tokens: int) -> str | None:
    """What the model says to a request; None if it is no exam's. An answer in prose is ``tokens`` long, or a word."""
    text = "\n".join(request.user_texts)
    task = find_task(text)
    if task is None:
        return None
    candidate = _CANDIDATE.search(text)
    if candidate is not None:
        return _score(request, judged(seed, request.model, task, skill, candidate[1]))
    letter = answer(seed, request.model, task, skill, sample=request.sample)
    if request.schema is not None or request.json:
        return _filled(request, {"answer": letter})
    said = f"Answer: {letter}\n"
    chars = max(len(said), tokens * CHARS_PER_TOKEN)
    return (said + _WORDS * (chars // len(_WORDS) + 1))[:chars].rstrip()


def _score(request: Request, score: float) -> str:
    if request.schema is None and not request.json:
        return f"Score: {score}"
    field = (request.schema or {}).get("properties", {}).get("score", {})
    scaled = _scaled(field, score) if isinstance(field, dict) else score
    return _filled(request, {"score": scaled, "reason": "That is how sure the judge is of the candidate."})


def _scaled(field: dict[str, Any], score: float) -> float:
    """The score between the bounds of its field: 0 to 1 where it has none."""
    low, high = field.get("minimum", 0), field.get("maximum", 1)
    value: float = low + score * (high - low)
    return round(value) if str(field.get("type")).lower() == "integer" else round(value, 4)


def _filled(request: Request, said: dict[str, Any]) -> str:
    """JSON of what is said, in the fields that the schema has; its other required fields hold the least they may."""
    if request.schema is None:
        return orjson.dumps(said).decode()
    least = example(request.schema)
    if not isinstance(least, dict):
        return orjson.dumps(least).decode()
    known = request.schema.get("properties", {})
    return orjson.dumps({**least, **{name: value for name, value in said.items() if name in known}}).decode()


def _of(seed: int, model: str, task_id: str, sample: str) -> str:
    """Which draw a sample uses: its own, or that of the model without samples."""
    return "" if not sample or _draw(seed, "kept", model, task_id, sample) < KEPT else sample


def _logistic(margin: float) -> float:
    return 1.0 / (1.0 + math.exp(-margin * STEEPNESS))


def _letter(place: int) -> str:
    return chr(ord("A") + place)


def _draw(seed: int, *names: str) -> float:
    """A number in [0, 1) that is the same for the same names."""
    digest = hashlib.sha256("\x1f".join([str(seed), *names]).encode()).digest()
    return int.from_bytes(digest[:6], "big") / (1 << 48)
