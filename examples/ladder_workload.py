"""A help desk's month in small: questions whose difficulty is known, for cost_quality_ladder.yaml.

    python examples/ladder_workload.py 500 > month.jsonl

Each question is a task of the simulator's exam (`Answer.mode: exam`), so that a run against simulators can be marked:
78 % are lookups and easy, 15 % ask for reasoning, 7 % for something to be written.
"""

import json
import random
import sys

from ladder_arithmetic import CREATIVE, LOOKUP, REASONING

# The questions say which kind they are by their words, as people's do: the flow's router reads nothing else.
_ASKED = {
    "lookup": (
        "Which page shows when an invoice was paid?",
        "What is the deadline for a return?",
        "When does the warehouse answer the phone?",
        "Where is the serial number printed?",
        "Which plan has more than five seats?",
    ),
    "reasoning": (
        "Why does the import stop when two rows have the same key?",
        "Compare both plans for a team that doubles every year: which one costs less?",
        "Diagnose this: the app starts, the list is empty, and the log names no error.",
    ),
    "creative": (
        "Write two lines that tell a customer kindly that the parcel is lost.",
        "Draft a title for the page about late deliveries.",
    ),
}
_SHARES = {"lookup": LOOKUP, "reasoning": REASONING, "creative": CREATIVE}
_DIFFICULTY = {"lookup": (0.05, 0.45), "reasoning": (0.3, 0.5), "creative": (0.2, 0.45)}
"""From the easiest to the hardest of each kind, 0 to 1."""


def questions(count: int, *, seed: int = 1) -> list[dict[str, str]]:
    """Inputs of the flow: `id` and `question`, shuffled, the kinds in their shares to the nearest whole question."""
    rng = random.Random(seed)  # noqa: S311 - a workload that can be made again, no secret
    kinds = [kind for kind, share in _SHARES.items() for _ in range(round(share * count))][:count]
    kinds += ["lookup"] * (count - len(kinds))
    rng.shuffle(kinds)
    return [_question(number, kind, rng) for number, kind in enumerate(kinds, 1)]


def _question(number: int, kind: str, rng: random.Random) -> dict[str, str]:
    difficulty = rng.uniform(*_DIFFICULTY[kind])
    name = f"{kind}-{number}"
    asked = rng.choice(_ASKED[kind])
    return {"id": name, "question": f"Task {name} (difficulty {difficulty:.2f}, choices A-D): {asked}"}


def main() -> None:
    """Prints questions, one JSON object a line; how many is the first argument, 500 without one."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    sys.stdout.writelines(json.dumps(one) + "\n" for one in questions(count))


if __name__ == "__main__":
    main()
