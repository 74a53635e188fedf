"""The union of all nodes, and the workflow that holds one."""

from collections.abc import Iterator
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, TypeAdapter

from ..strict import Name, Strict
from .basic import Approve, Call, Escalate, Function, Use, Value
from .patterns import (
    Chain,
    Consensus,
    Evaluate,
    Ladder,
    MapReduce,
    Orchestrate,
    Parallel,
    Quality,
    Route,
)
from .step import OnError, Schema, Step
from .wrappers import Budget, Retry, Timeout

Node = Annotated[
    Call
    | Function
    | Value
    | Approve
    | Escalate
    | Use
    | Chain
    | Parallel
    | Route
    | MapReduce
    | Ladder
    | Consensus
    | Evaluate
    | Orchestrate
    | Retry
    | Timeout
    | Budget,
    Field(discriminator="kind"),
]
"""A step of a workflow; `kind` says which."""

MODELS: Final[tuple[type[Step], ...]] = (
    Call,
    Function,
    Value,
    Approve,
    Escalate,
    Use,
    Chain,
    Parallel,
    Route,
    MapReduce,
    Ladder,
    Consensus,
    Evaluate,
    Orchestrate,
    Retry,
    Timeout,
    Budget,
)
KINDS: Final[dict[str, type[Step]]] = {str(model.model_fields["kind"].default): model for model in MODELS}
"""The model of each kind."""

_RECURSIVE: tuple[type[BaseModel], ...] = (OnError, Step, Quality, *MODELS)
for _model in _RECURSIVE:
    _model.model_rebuild(_types_namespace={"Node": Node})

ADAPTER: Final[TypeAdapter[Node]] = TypeAdapter(Node)


class Flow(Strict):
    """A workflow: what it is given, what it does, and what it may cost. The same in Python and in YAML."""

    name: Name = Field(default="flow", description="for people")
    description: str = Field(default="", description="for people")
    input: Schema | None = Field(default=None, description="what an input has to be: JSON Schema, or module:Model")
    flows: dict[Name, Node] = Field(default_factory=dict, description="sub-workflows by name, run by `use`")
    run: Node = Field(description="what is done")
    max_cost: float | None = Field(default=None, gt=0, description="dollars that one run may cost")
    deadline_s: float | None = Field(default=None, gt=0, description="seconds that one run may take")


def encode_node(node: Step) -> bytes:
    """A node as it travels: JSON of what was said."""
    return node.model_dump_json(exclude_unset=True, by_alias=True).encode()


def decode_node(data: bytes) -> Node:
    """The node back."""
    return ADAPTER.validate_json(data)


def children(node: Step) -> Iterator[tuple[tuple[str | int, ...], Step]]:
    """The nodes right below a node, each with its path from it, in the order they are written."""
    for name, field in type(node).model_fields.items():
        yield from _nodes_in(getattr(node, name), (field.serialization_alias or name,))


def _nodes_in(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Step]]:
    if isinstance(value, Step):
        yield path, value
    elif isinstance(value, tuple):
        for place, one in enumerate(value):
            yield from _nodes_in(one, (*path, place))
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _nodes_in(one, (*path, key))
    elif isinstance(value, OnError | Quality):
        for name in type(value).model_fields:
            yield from _nodes_in(getattr(value, name), (*path, name))


def walk(node: Step, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Step]]:
    """The node and all below it, parents first."""
    yield path, node
    for below, child in children(node):
        yield from walk(child, path + below)
