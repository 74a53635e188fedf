"""What every step of a workflow has: a name for its output, a condition, what follows its failure, how it is undone."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)

from ..strict import Strict, mistake

if TYPE_CHECKING:
    from .nodes import Node

RESERVED = frozenset(
    {"input", "previous", "steps", "true", "false", "none", "not", "and", "or", "in", "is", "if", "else"}
)
"""Names that a step, a branch or a loop's variable can't have: templates know them as something else."""


def _identifier(value: str) -> str:
    if not value.isidentifier() or value.startswith("_"):
        raise mistake("must be letters, digits and '_', with a letter first: templates use it as a variable")
    if value.casefold() in RESERVED:
        raise mistake(f"can't be {value!r}: templates know that name as something else; choose another")
    return value


def clash(node: "Step", field: str, names: Iterable[str], **inside: object) -> None:
    """A name that users choose must not be that of a step which stands right beside it: their paths would be one.

    Args:
        node: whose names they are.
        field: where they stand.
        names: chosen by users.
        inside: the node's own steps by the part of their path, None for one that is not there.
    """
    own = {name for name, step in inside.items() if step is not None}
    if node.on_error is not None and node.on_error.alternative is not None:
        own.add("alternative")
    for name in names:
        if name in own:
            raise mistake(f"can't be {name!r}: the step's own `{name}` is called so; choose another", field, name)


Id = Annotated[str, Field(max_length=64), AfterValidator(_identifier)]
"""A name that templates can use as a variable."""

TEMPLATE: Final = "template"
EXPR: Final = "expression"
FILLED: Final = "filled"
"""Marks on fields: what is in them is filled in when the step runs."""

Template = Annotated[str, TEMPLATE]
"""Text with Jinja2 in it (`{{ draft }}`), rendered in a sandbox; a variable that is not defined is an error."""

Expr = Annotated[str, EXPR]
"""A Jinja2 expression without braces: `classify.label == "bug"`."""

Filled = Annotated[Any, FILLED]
"""A value with templates in its texts; a text that is one `{{ … }}` and no more keeps the value's own type."""


def _as_schema(value: Any) -> Any:
    """A pydantic model class, as Python callers give it, as its import path; its JSON Schema where it has none."""
    if not isinstance(value, type):
        return value
    if not hasattr(value, "model_json_schema"):
        raise mistake("must be a JSON Schema, an import path module:Model, or a pydantic model")
    if value.__module__ == "__main__" or "<" in value.__qualname__:  # other processes can't import it
        return value.model_json_schema()
    return f"{value.__module__}:{value.__qualname__}"


Schema = Annotated[dict[str, Any] | str, BeforeValidator(_as_schema)]
"""JSON Schema, or the import path `module:Model` of a pydantic model."""

Then = Literal["fail", "skip", "default", "alternative", "compensate"]


class OnError(Strict):
    """What follows when a step has failed, after all that the model layer could do.

    A word alone (`on_error: skip`) stands for `then`.
    """

    retries: int = Field(default=0, ge=0, le=100, description="how often the step is run again before `then`")
    backoff_s: float = Field(default=0.5, ge=0, description="first pause before a retry, s; doubles, with full jitter")
    then: Then = Field(
        default="fail",
        description="fail: what is around it fails; skip: go on without; default: `default` stands in; alternative: "
        "`alternative` is run instead; compensate: undo the finished steps in reverse order, then fail",
    )
    default: Filled = Field(default=None, description="the value that stands in; templates are filled in")
    alternative: "Node | None" = Field(default=None, description="the step that is run instead")

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        for word in ("default", "alternative"):
            given = word in self.model_fields_set
            if (self.then == word) != given:
                wrong = f"`then: {word}` goes with `{word}:`"
                raise mistake(f"is missing: {wrong}" if not given else f"is never used: {wrong}", word)
        return self


def _worded(value: Any) -> str:
    return "word" if isinstance(value, str) else "mapping"


if TYPE_CHECKING:
    Policy = OnError
else:
    # A validator that turned words into mappings before would hand all that is below it on as Python's values, where a
    # strict reader of JSON no longer takes a list for a tuple; a discriminator only looks.
    Policy = Annotated[
        Annotated[OnError, Tag("mapping")]
        | Annotated[Then, AfterValidator(lambda word: OnError(then=word)), Tag("word")],
        Discriminator(_worded),
    ]


class Gate(Strict):
    """Ends the chain around a step early."""

    stop: Expr = Field(description="after the step: ends the chain when this holds; `it` is the step's output")
    reason: Template = Field(default="", description="why, for people and for what comes after")
    output: Filled = Field(default=None, description="the chain's output then; default: the step's own")


class Step(Strict):
    """Base of all nodes."""

    id: Id | None = Field(default=None, description="the name by which later templates know its output")
    when: Expr | None = Field(default=None, description="the step is skipped unless this holds")
    on_error: Policy | None = Field(default=None, description="what follows its failure; default: fail")
    undo: "Node | None" = Field(
        default=None,
        description="what undoes it, when a later step fails with `compensate`; knows its output by its id",
    )
    gate: Gate | None = Field(default=None, description="in a chain: ends it early")

    @model_serializer(mode="wrap")
    def _with_its_kind(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The kind is written first, and also where only what was set is written."""
        data: dict[str, Any] = handler(self)
        kind = getattr(self, "kind", None)
        return data if kind is None else {"kind": kind, **data}
