"""Workflows as data: a tree of nodes, the same in Python and in YAML."""

from .basic import Approve, Call, Escalate, Function, Turn, Use, Value
from .nodes import ADAPTER, KINDS, Flow, Node, children, walk
from .patterns import (
    Chain,
    Chunking,
    Consensus,
    Evaluate,
    Feedback,
    Ladder,
    MapReduce,
    Orchestrate,
    Parallel,
    Quality,
    Route,
    RouteRule,
)
from .result import Coverage, FlowResult, StepRecord, StepState
from .step import Gate, OnError, Step
from .wrappers import Budget, Retry, Timeout

__all__ = [
    "ADAPTER",
    "KINDS",
    "Approve",
    "Budget",
    "Call",
    "Chain",
    "Chunking",
    "Consensus",
    "Coverage",
    "Escalate",
    "Evaluate",
    "Feedback",
    "Flow",
    "FlowResult",
    "Function",
    "Gate",
    "Ladder",
    "MapReduce",
    "Node",
    "OnError",
    "Orchestrate",
    "Parallel",
    "Quality",
    "Retry",
    "Route",
    "RouteRule",
    "Step",
    "StepRecord",
    "StepState",
    "Timeout",
    "Turn",
    "Use",
    "Value",
    "children",
    "encode",
    "walk",
]


def encode(flow: Flow) -> bytes:
    """A workflow as it travels and as it is kept: JSON of what was said, read back by `Flow.model_validate_json`."""
    return flow.model_dump_json(exclude_unset=True, by_alias=True).encode()
