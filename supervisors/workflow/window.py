"""How much of `parts` one merge may read, so that it never passes the window of the model that merges."""

from typing import Final

from ...actors.call.caller import Caller
from ...actors.counting import counter
from ...actors.embedded.tokens import count
from ...protocols.workflow.basic import Call
from ...protocols.workflow.fields import templated
from ...protocols.workflow.nodes import walk
from ...protocols.workflow.step import Step
from . import templates

UNKNOWN: Final = 12_000
"""Where no window is known."""
_LEAST: Final = 256
_PROBE: Final = "The quick brown fox jumps over the lazy dog; def f(x): return {'a': [1, 2.5, None]}  # ünïcödé\n" * 8


def merge_budget(node: Step, caller: Caller) -> int:
    """Tokens of parts, by our count, that the step may be given: the least that any of its calls has room for."""
    calls = [below for _, below in walk(node) if isinstance(below, Call)]
    return max(_LEAST, min((_room(call, caller) for call in calls), default=UNKNOWN))


def _room(call: Call, caller: Caller) -> int:
    kit = caller.kit
    route = call.model or next(iter(kit.config.models))
    rooms = []
    for candidate in kit.config.candidates_of([route]):
        way = kit.way(candidate)
        if not way.window:
            continue
        # Providers count with vocabularies of their own; how much more one counts is told by a sample, and a tenth is
        # left for texts that are denser than that.
        more = max(1.0, counter(way.kind, candidate.model)(_PROBE) / count(_PROBE)) * 1.1
        rooms.append(int((way.window - call.max_tokens) / more) - _instructions(call))
    return min(rooms, default=UNKNOWN)


def _instructions(call: Call) -> int:
    """Tokens of the prompt itself; what other variables put into it is guessed at as much again."""
    texts = [text for _, _, value in templated(call) for text in templates.texts_in(value)]
    return 2 * sum(count(text) for text in texts) + 64
