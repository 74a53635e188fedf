"""Nodes that put others together: the orchestration patterns."""

from typing import TYPE_CHECKING, Literal, Self

from pydantic import AliasChoices, Field, model_validator

from ..strict import Strict, mistake, unknown
from .basic import Loop
from .step import Expr, Filled, Id, Step, Template, clash

if TYPE_CHECKING:
    from .nodes import Node


class Chain(Step):
    """Steps one after the other; each knows the outputs of those before by their ids, the last one as `previous`."""

    kind: Literal["chain"] = "chain"
    steps: "tuple[Node, ...]" = Field(min_length=1, description="in order")
    output: Filled = Field(default=None, description="what comes of it; default: the last step's output")


class Parallel(Loop):
    """Branches at once, or one step for each item of a list; every success is kept, every failure is named.

    Its output: for branches a mapping by name, for a list a list in its order (None where an item failed); with `then`
    what that makes of them, who knows them as `results` and the failures as `errors`.
    """

    kind: Literal["parallel"] = "parallel"
    branches: "dict[Id, Node]" = Field(default_factory=dict, description="steps by name")
    over: Expr | None = Field(default=None, description="a list, instead of `branches`")
    each: "Node | None" = Field(default=None, description="the step for each item of `over`")
    concurrency: int | None = Field(default=None, gt=0, description="most that run at once")
    quorum: int | None = Field(default=None, gt=0, description="how many have to succeed; default: 1")
    enough: int | None = Field(default=None, gt=0, description="when so many have succeeded, the others are cancelled")
    then: "Node | None" = Field(default=None, description="what is made of the results")

    @model_validator(mode="after")
    def _either(self) -> Self:
        if bool(self.branches) == (self.over is not None):
            raise mistake("is missing: name `branches`, or a list in `over` and a step for `each`", "branches")
        if (self.over is None) != (self.each is None):
            raise mistake("`over` and `each` go together", "each" if self.each is None else "over")
        for name in ("quorum", "enough"):
            wanted = getattr(self, name)
            if self.branches and wanted is not None and wanted > len(self.branches):
                raise mistake(f"is more than the {len(self.branches)} branches there are", name)
        clash(self, "branches", self.branches, then=self.then)
        if self.quorum is not None and self.enough is not None and self.quorum > self.enough:
            raise mistake(f"is more than `enough: {self.enough}`, after which the others are cancelled", "quorum")
        return self


class RouteRule(Strict):
    """Decides for free, in no time, where it holds."""

    when: Expr = Field(description="holds")
    to: Id = Field(description="the branch")


class Feedback(Strict):
    """What a branch gave is looked at from the top, and the route is taken again."""

    until: Expr = Field(description="`it` is what the branch gave; it is enough when this holds")
    rounds: int = Field(default=3, gt=0, le=20, description="most branches that are run")


class Route(Step):
    """One of several branches: by rule, else by a classifier, else the generalist. Templates know it as `route`.

    A classifier is a step whose output names a branch, or `model`, a route that is asked by the branches' descriptions.
    One that fails, or names none, leaves it to the generalist. `history` holds what earlier rounds gave.
    """

    kind: Literal["route"] = "route"
    rules: tuple[RouteRule, ...] = Field(default=(), description="the first that holds decides")
    classifier: "Node | None" = Field(default=None, description="names the branch where no rule holds")
    model: str | None = Field(default=None, description="the model that is asked, instead of a `classifier`")
    question: Template = Field(default="{{ input }}", description="what `model` is to classify")
    descriptions: dict[Id, str] = Field(default_factory=dict, description="what each branch is for, for `model`")
    branches: "dict[Id, Node]" = Field(min_length=1, description="steps by name")
    generalist: Id | None = Field(default=None, description="the branch that takes what nobody claims")
    escalate: "Node | None" = Field(
        default=None, description="takes what a branch hands up, known as `escalation` (reason, value, branch)"
    )
    feedback: Feedback | None = Field(default=None, description="take the route again until the result is enough")

    @model_validator(mode="after")
    def _branches_are_there(self) -> Self:
        named: list[tuple[tuple[str | int, ...], str]]
        named = [(("rules", place, "to"), rule.to) for place, rule in enumerate(self.rules)]
        named += [(("generalist",), self.generalist)] if self.generalist else []
        named += [(("descriptions", name), name) for name in self.descriptions]
        for path, name in named:
            if name not in self.branches:
                raise mistake(unknown("branch", name, self.branches), *path)
        classifies = self.classifier if self.model is None else self.model
        clash(self, "branches", self.branches, classifier=classifies, escalate=self.escalate)
        if self.classifier is not None and self.model is not None:
            raise mistake("goes without `classifier`: one of them classifies", "model")
        if not self.rules and self.classifier is None and self.model is None:
            raise mistake("is missing: nothing decides; name `rules`, a `classifier` or a `model`", "classifier")
        if self.generalist is None:
            raise mistake("is missing: name the branch that takes what no rule and no classifier decides", "generalist")
        return self


class Chunking(Strict):
    """How texts are cut for a map."""

    tokens: int = Field(default=3000, ge=32, description="most tokens of a chunk")
    overlap: int = Field(default=0, ge=0, description="tokens of the chunk before that stand in front of the next")
    pack: bool = Field(default=True, description="small texts share a chunk, so that each does not cost a call")

    @model_validator(mode="after")
    def _overlap_is_less(self) -> Self:
        if self.overlap * 2 > self.tokens:
            raise mistake("must be at most half of `tokens`", "overlap")
        return self


Variant = Literal["reduce", "rerank", "refine", "collapse", "tree"]


class MapReduce(Loop):
    """Many texts or values: a step for each, and one answer of all.

    | variant | what is done |
    |---|---|
    | `reduce` | map all at once, then `reduce` once; in groups first where that would not fit its window |
    | `collapse` | the same, with `collapse` for the groups |
    | `tree` | merged along the folders of the items' names, leaves first |
    | `rerank` | the best by `score`, after the best were compared again by `judge`; cites what it is from |
    | `refine` | one after the other: `reduce` improves the `draft` with each further chunk |

    `map` knows the item (`as`, by default `chunk`); `reduce` knows `parts`, a list of {name, value}, and is run again
    over its own answers. The output is that of the last one; what it covers, and what failed, stands in the result.
    """

    kind: Literal["map_reduce"] = "map_reduce"
    variant: Variant = Field(default="reduce", description="how the answers become one")
    over: Expr = Field(
        default="input", description="a text, a list of texts, of mappings with name and text, or values"
    )
    chunk: Chunking | None = Field(default=None, description="cut texts; without it every item is a map of its own")
    as_: Id = Field(
        default="chunk",
        validation_alias=AliasChoices("as", "as_"),
        serialization_alias="as",
        description="the item's name",
    )
    map: "Node" = Field(description="the step for each chunk")
    reduce: "Node | None" = Field(default=None, description="the step that merges `parts`, or refines `draft`")
    collapse: "Node | None" = Field(default=None, description="merges groups; default: as `reduce`")
    budget: int | None = Field(
        default=None,
        ge=256,
        description="most tokens of `parts` one merge reads; default: what its model's window leaves",
    )
    score: Expr = Field(default="it.score", description="rerank: the score of a map's output, known as `it`")
    top: int = Field(default=1, gt=0, description="rerank: how many of the best are kept")
    judge: "Node | None" = Field(
        default=None, description="rerank: scores (`score`) candidates that are tied at the top again, side by side"
    )
    tie: float = Field(default=0.05, ge=0, description="rerank: scores that differ by less than this are tied")
    concurrency: int | None = Field(default=None, gt=0, description="most maps at once")
    tolerate: float = Field(default=1.0, ge=0, le=1, description="share of the chunks that may fail; all may never")

    @model_validator(mode="after")
    def _has_a_reduce(self) -> Self:
        needs = self.variant != "rerank"
        if needs and self.reduce is None:
            raise mistake(f"is missing: `variant: {self.variant}` needs it", "reduce")
        if not needs and self.reduce is not None:
            raise mistake("is never used: `variant: rerank` picks the best and merges nothing", "reduce")
        if self.collapse is not None and self.variant != "collapse":
            raise mistake("goes with `variant: collapse`", "collapse")
        if self.judge is not None and self.variant != "rerank":
            raise mistake("goes with `variant: rerank`", "judge")
        return self


class Quality(Strict):
    """How good an answer is, 0 to 1: exactly one of these."""

    judge: "Node | None" = Field(
        default=None, description="a step that knows `answer` and gives a number, or a mapping with `score`"
    )
    rule: Expr | None = Field(default=None, description="a number, or true or false, from `answer`")
    samples: int | None = Field(
        default=None, ge=2, le=16, description="the rung is asked so often; how far its answers agree is the score"
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(it is not None for it in (self.judge, self.rule, self.samples)) != 1:
            raise mistake("must be one of `judge`, `rule` and `samples`")
        return self


class Ladder(Step):
    """Cheap first; the next rung is asked where the answer is not good enough. The last rung's is taken as it is."""

    kind: Literal["ladder"] = "ladder"
    rungs: "tuple[Node, ...]" = Field(min_length=2, description="from the cheapest to the dearest")
    quality: Quality = Field(description="how good an answer is")
    threshold: float = Field(
        default=0.7, ge=0, le=1, description="an answer of this quality is taken; `understudy calibrate` finds it"
    )


class Consensus(Step):
    """Several models, one question.

    The output: `answer`, `agreement` (0 to 1), `review` (true where they differ), `votes`.
    """

    kind: Literal["consensus"] = "consensus"
    voters: "dict[Id, Node]" = Field(min_length=2, description="steps by name")
    quorum: int | None = Field(default=None, gt=0, description="how many have to answer; default: 2")
    threshold: float = Field(default=0.8, ge=0, le=1, description="below this agreement a person should look at it")
    pick: Literal["most_detailed", "majority"] = Field(
        default="most_detailed", description="which answer of those that agree is given"
    )
    ensemble: "Node | None" = Field(
        default=None, description="makes one answer of `votes` where they differ; default: the largest group's"
    )

    @model_validator(mode="after")
    def _quorum_is_there(self) -> Self:
        if self.quorum is not None and self.quorum > len(self.voters):
            raise mistake(f"is more than the {len(self.voters)} voters there are", "quorum")
        clash(self, "voters", self.voters, ensemble=self.ensemble)
        return self


class Evaluate(Step):
    """Evaluator-optimizer: one step makes a draft, another judges it, until it is accepted or the rounds are over."""

    kind: Literal["evaluate"] = "evaluate"
    generate: "Node" = Field(description="makes a draft; knows the last `draft` and its `verdict` (none at first)")
    evaluate: "Node" = Field(description="judges `draft`; its output is `verdict`")
    accept: Expr = Field(default="verdict.accept", description="holds when the draft is good enough")
    rounds: int = Field(default=3, gt=0, le=20, description="most drafts")
    unaccepted: Literal["last", "fail"] = Field(
        default="last", description="when none was accepted: the last draft, marked as degraded, or a failure"
    )


class Orchestrate(Step):
    """Orchestrator-workers: a step plans tasks as it sees fit, workers do them, a last step puts them together."""

    kind: Literal["orchestrate"] = "orchestrate"
    plan: "Node" = Field(description="gives a list of tasks, or a mapping with `tasks`")
    workers: "dict[Id, Node]" = Field(
        min_length=1, description="who does a `task`: the one that `task.worker` names, else the first"
    )
    most: int = Field(
        default=16, gt=0, le=1000, description="most tasks; what the plan has beyond is left out, and told"
    )
    concurrency: int | None = Field(default=None, gt=0, description="most workers at once")
    then: "Node | None" = Field(default=None, description="puts `results` together; knows `tasks` and `errors`")

    @model_validator(mode="after")
    def _paths_differ(self) -> Self:
        clash(self, "workers", self.workers, plan=self.plan, then=self.then)
        return self
