"""Nodes that do something themselves: ask a model, call a function, make a value, wait for a person, hand upwards."""

from typing import Literal, Self

from pydantic import AliasChoices, Field, field_validator, model_validator

from ..strict import Name, Strict, mistake
from .step import Expr, Filled, Id, Schema, Step, Template

IMPORT_PATH = r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*$"


class Turn(Strict):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"] = Field(description="who speaks")
    content: Template = Field(description="what is said")


class Call(Step):
    """One logical call of a model: routed, retried, hedged, priced and limited as its route says.

    Its output is the reply's text; with `output` the JSON that the schema describes.
    """

    kind: Literal["call"] = "call"
    prompt: Template | None = Field(default=None, description="what the user says")
    system: Template | None = Field(default=None, description="what the system says before")
    messages: tuple[Turn, ...] = Field(default=(), description="a whole conversation, instead of `prompt`")
    documents: Expr | None = Field(
        default=None, description="texts it is about: a text, a list of texts, or of mappings with `name` and `text`"
    )
    model: str = Field(default="", description="a route under models, or auto; default: the first route")
    output: Schema | None = Field(
        default=None, description="what the answer has to be: JSON Schema, or module:Model; one self-repair turn"
    )
    max_tokens: int = Field(default=1024, gt=0, description="most tokens of the answer")
    temperature: float | None = Field(default=None, ge=0, description="sampling temperature")
    seed: int | None = Field(default=None, description="for providers that can sample reproducibly")
    cache: bool = Field(default=False, description="an earlier answer to the same request will do")
    stream: bool = Field(default=False, description="who watches the run is told its words as they come")
    overflow: Literal["fail", "larger", "truncate_oldest", "truncate_middle", "summarise"] | None = Field(
        default=None, description="what is done when it is larger than the window; default: as the route says"
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if (self.prompt is None) == (not self.messages):
            raise mistake("is missing: a call has a `prompt`, or `messages`", "prompt")
        if self.messages and self.system is not None:
            raise mistake("goes with `prompt`; put a turn of the role system into `messages`", "system")
        return self


class Function(Step):
    """A Python function, sync (run in a thread) or async. Its output is what it returns, as JSON."""

    kind: Literal["function"] = "function"
    call: str = Field(pattern=IMPORT_PATH, description="import path, module:function")
    args: dict[str, Filled] = Field(default_factory=dict, description="keyword arguments; templates are filled in")


class Value(Step):
    """A value made of others."""

    kind: Literal["value"] = "value"
    value: Filled = Field(description="templates are filled in; a text that is one `{{ … }}` keeps the value's type")


class Approve(Step):
    """Waits for a person. The job pauses, costs nothing while it waits, and goes on without repeating anything.

    Its output is `value`, or what the person made of it. A rejection is a failure of the step, with the person's note.
    """

    kind: Literal["approve"] = "approve"
    title: Template = Field(default="approve", description="what is asked, in a line")
    show: Template = Field(default="", description="what the person has to see")
    value: Filled = Field(default="{{ previous }}", description="what goes on, and may be edited")
    edit: bool = Field(default=True, description="the person may change the value")


class Escalate(Step):
    """Hands the case up to the nearest route around it that has `escalate`."""

    kind: Literal["escalate"] = "escalate"
    reason: Template = Field(description="why")
    value: Filled = Field(default=None, description="what is handed up; templates are filled in")


class Use(Step):
    """Runs a named sub-workflow (`flows`). It sees `input`, which is `with`, and nothing else of who uses it."""

    kind: Literal["use"] = "use"
    flow: Name = Field(description="a name under flows")
    with_: Filled = Field(
        default="{{ input }}",
        validation_alias=AliasChoices("with", "with_"),
        serialization_alias="with",
        description="its input; templates are filled in",
    )

    @model_validator(mode="after")
    def _path_is_its_own(self) -> Self:
        # The sub-workflow stands at its name, and so does an alternative.
        if self.flow == "alternative" and self.on_error is not None and self.on_error.alternative is not None:
            raise mistake("can't be 'alternative' beside `on_error: alternative`; give it another name", "flow")
        return self


class Loop(Step):
    """Base of nodes that run a step for each of many items."""

    as_: Id = Field(
        default="item",
        validation_alias=AliasChoices("as", "as_"),
        serialization_alias="as",
        description="the name by which templates know the item; `index` is its number, from 0",
    )

    @field_validator("as_")
    @classmethod
    def _not_index(cls, value: str) -> str:
        if value == "index":
            raise mistake("can't be 'index': that is the item's number")
        return value
