"""What one item of a job that works for a step may spend, where a budget is around the step."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

from ...actors.embedded.tokens import count
from ...protocols.workflow.step import Step
from ..patterns.chunks import rough_size
from .frame import Frame
from .merging import text_of

_ROOM: Final = 2
"""An item is given twice its dearest estimate where that is there: a request that fails may have to be paid, too."""
_DENSER: Final = 1.2
"""The item with the most characters is counted; another may have so many times more tokens."""
_SAMPLE: Final = 50_000
"""Characters of a text that are counted: 5 ms."""


def item_share(node: Step, items: Sequence[Any], names: Iterable[Any], at: Frame, left: int) -> int:
    """Picodollars that one item may spend of what is `left`; all alike where a price is not known, 0 for what is free.

    It is reserved before the item begins, so that all items together never pass what is left.

    Args:
        node: run for each item.
        items: there is one at least.
        names: values of the other names that templates know.
        at: where it is run from.
        left: picodollars.
    """
    from .plan import dearest  # noqa: PLC0415 - it plans with the patterns, which stand on this

    kit = at.run.caller.kit
    largest = max(map(tokens, (max(items, key=rough_size), *names)))
    most = dearest(node, kit.config, kit.prices, input_tokens=math.ceil(_DENSER * largest), flows=at.run.flow.flows)
    if most < 0:
        return math.ceil(left / len(items))
    return min(left, _ROOM * most)


def tokens(value: Any) -> int:
    """Tokens of a value in a prompt; of a long one, by its beginning."""
    text = text_of(value)
    return math.ceil(count(text[:_SAMPLE]) * max(1.0, len(text) / _SAMPLE))
