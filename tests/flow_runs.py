"""What tests of `understudy run` on a real cluster share: workflows and their functions as files, and the ledger."""

import itertools
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from understudy.cluster.simulator import Record, SimulatorProcess

_NUMBERS = itertools.count()

FUNCTIONS = '''"""Functions of a workflow, found beside its file."""


def note(book: str, what: object = "noted") -> object:
    """Writes a line, so that a test can count how often it was called."""
    with open(book, "a", encoding="utf-8") as file:
        file.write("called\\n")
    return what


def odd(number: int) -> int:
    """Fails for even numbers."""
    if number % 2 == 0:
        raise ValueError(f"{number} is even")
    return number


def fail() -> None:
    """Fails."""
    raise RuntimeError("out of paper")
'''


def functions(folder: Path) -> str:
    """Writes a module with `note`, `odd` and `fail` beside a workflow; its name, which no other test uses."""
    name = f"flow_own_{folder.parent.name.replace('-', '_')}_{next(_NUMBERS)}"
    (folder / f"{name}.py").write_text(FUNCTIONS, encoding="utf-8")
    return name


def flow_file(folder: Path, text: str, name: str = "flow.yaml") -> str:
    """A workflow's file."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def lines_file(folder: Path, values: list[Any]) -> str:
    """A file of inputs."""
    path = folder / "inputs.jsonl"
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return str(path)


def results_of(path: Path) -> list[dict[str, Any]]:
    """The results that a run of many inputs has written."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def good(records: list[Record]) -> list[Record]:
    """The requests that were answered."""
    return [record for record in records if record.outcome == "ok"]


def charged(simulator: SimulatorProcess) -> Decimal:
    """Dollars that the provider charged, by its own books."""
    return sum((Decimal(record.cost) for record in simulator.ledger()), Decimal(0))


def screen(told: str) -> list[str]:
    """What is to be seen on a terminal in the end: the lines, of what was written to it (moves up, erasures, text)."""
    rows: list[str] = [""]
    row = column = place = 0
    while place < len(told):
        sign = told[place]
        place += 1
        if sign == "\r":
            column = 0
        elif sign == "\n":
            row += 1
            rows.extend([""] * (row + 1 - len(rows)))
        elif sign == "\x1b" and told[place : place + 1] == "[":
            end = next(at for at in range(place + 1, len(told)) if told[at].isalpha())
            order, given = told[end], told[place + 1 : end]
            place = end + 1
            if order == "A":
                row = max(0, row - int(given or 1))
            elif order == "K":
                rows[row] = "" if given == "2" else rows[row][:column]
        else:
            rows[row] = rows[row][:column].ljust(column) + sign + rows[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in rows]
