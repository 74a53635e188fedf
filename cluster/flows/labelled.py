"""Labelled examples, and when an answer is right."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson

from ...protocols.errors import ConfigError, StepFailed, UsageError
from ...supervisors.patterns.agreement import similarity
from ...supervisors.workflow import templates

_ALIKE: Final = 1.0 - 1e-9
_KNOWN: Final = frozenset({"it", "label", "input"})


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """One line of the file, and its number."""

    input: Any
    label: Any
    line: int


def read(path: Path, check: Callable[[Any], str]) -> list[Example]:
    """The examples of a file: `{"input": …, "label": …}` a line; `check` says what is wrong with an input.

    Raises:
        UsageError: it can't be read, or a line is no example; the text names the line.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}; check the path given to --labelled") from None
    examples = [_example(path, number, line, check) for number, line in enumerate(lines, 1) if line.strip()]
    if not examples:
        raise UsageError(f'{path}: holds no examples; write {{"input": …, "label": …}} a line')
    return examples


def _example(path: Path, number: int, line: bytes, check: Callable[[Any], str]) -> Example:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{path}:{number}:{error.colno}: not JSON: {error.msg}; one example a line") from None
    if not isinstance(value, dict) or not {"input", "label"} <= value.keys():
        raise UsageError(f'{path}:{number}: must be a mapping with "input" and "label"')
    flaw = check(value["input"])
    if flaw:
        raise UsageError(f"{path}:{number}: {flaw}")
    return Example(value["input"], value["label"], number)


class Correctness:
    """When an answer is right.

    By default it says the same as the label, case, spacing and punctuation put aside, JSON field by field.

    Args:
        answer: expression over `it` (the output): what is compared with the label.
        correct: expression over `it` and `label`, instead: the answer is right where it holds.

    Raises:
        UsageError: both are given, or one is no expression over those names.
    """

    def __init__(self, answer: str = "", correct: str = "") -> None:
        if answer and correct:
            raise UsageError("--answer and --correct: give one of them")
        for option, expression in (("--answer", answer), ("--correct", correct)):
            if expression:
                _check(option, expression)
        self._answer, self._correct = answer, correct
        #: The last expression that could not be evaluated, and how many.
        self.failure = ""
        self.failed = self.judged = 0

    def __call__(self, output: Any, example: Example) -> bool:
        """Whether an output is right; one that an expression can't be evaluated on is not."""
        self.judged += 1
        scope = {"it": output, "label": example.label, "input": example.input}
        try:
            if self._correct:
                return templates.holds(self._correct, scope)
            said = templates.evaluate(self._answer, scope) if self._answer else output
        except StepFailed as error:
            self.failed += 1
            self.failure = str(error)
            return False
        return similarity(said, example.label) >= _ALIKE


def _check(option: str, expression: str) -> None:
    try:
        names = templates.names_in_expression(expression)
    except ConfigError as error:
        raise UsageError(f"{option}: {error}") from None
    unknown = sorted(names - _KNOWN)
    if unknown:
        raise UsageError(f"{option}: {unknown[0]!r} is not known; it may use `it`, `label` and `input`")
