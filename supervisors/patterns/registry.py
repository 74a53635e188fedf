"""Who runs each kind of node."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ..workflow.frame import Pattern
from . import (
    basic,
    call,
    chain,
    consensus,
    evaluate,
    ladder,
    map_reduce,
    orchestrate,
    parallel,
    route,
    wrappers,
)

PATTERNS: Final[Mapping[str, Pattern]] = MappingProxyType(
    {
        "call": call.run,
        "function": basic.function,
        "value": basic.value,
        "approve": basic.approve,
        "escalate": basic.escalate,
        "use": basic.use,
        "chain": chain.run,
        "parallel": parallel.run,
        "route": route.run,
        "map_reduce": map_reduce.run,
        "ladder": ladder.run,
        "consensus": consensus.run,
        "evaluate": evaluate.run,
        "orchestrate": orchestrate.run,
        "retry": wrappers.retry,
        "timeout": wrappers.timeout,
        "budget": wrappers.budget,
    }
)
