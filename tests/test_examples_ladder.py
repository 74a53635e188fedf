"""The ladder's story: $47,000 a month become $12,000 at the same quality, on paper and by the providers' own books."""

import asyncio
import dataclasses
import importlib
from decimal import Decimal
from typing import Any, Final

import pytest
from example_world import EXAMPLES, World, flow, world

from understudy.cluster.flows.results import Result
from understudy.cluster.simulator import Answer
from understudy.cluster.simulator.exam import truth
from understudy.protocols.workflow import Flow, Route

SKILLS: Final = {"gpt-3.5-turbo": 0.55, "claude-3-sonnet": 0.85, "gpt-4-turbo": 0.9, "gemini-pro": 0.8}
"""What the exam's models know: the cheap one most lookups, the others nearly all that is asked."""
QUESTIONS: Final = 1_000
SEED: Final = 7
"""Of the simulators in `example_world`: by it the exam's truth is known."""


@pytest.fixture(autouse=True)
def _beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))


def arithmetic() -> Any:
    return importlib.import_module("ladder_arithmetic")


def asked(count: int) -> list[dict[str, str]]:
    found: list[dict[str, str]] = importlib.import_module("ladder_workload").questions(count)
    return found


# On paper -------------------------------------------------------------------------------------------------------------


def test_the_first_bill_is_the_story_s() -> None:
    """1,566,667 questions of a thousand tokens at $0.03 a thousand come to $47,000."""
    paper = arithmetic()
    assert round(paper.requests_a_month()) == 1_566_667
    assert paper.total(paper.before()) == pytest.approx(47_000)


def test_the_second_bill_is_the_story_s() -> None:
    """Three of four bills are saved: what is left comes to $12,000 within half a per cent."""
    paper = arithmetic()
    assert paper.total(paper.after()) == pytest.approx(12_000, rel=0.005)
    assert [round(line.dollars) for line in paper.after()] == [2444, 336, 2383, 3525, 3290]


def test_no_question_is_lost_between_the_bills() -> None:
    """Those that are answered at first are as many as before; judgements and second answers come on top."""
    paper = arithmetic()
    first = [line for line in paper.after() if line.what in ("lookups, first rung", "reasoning", "creative")]
    assert sum(line.requests for line in first) == pytest.approx(paper.requests_a_month())


def test_the_table_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """The script prints both bills and what is saved, in 80 columns."""
    arithmetic().main()
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "saved: 35,022 dollars a month, 74.5% of the bill" in out


def test_the_workload_has_the_shares_of_the_bill() -> None:
    """Of a thousand questions 780 are lookups, 150 ask for reasoning and 70 for writing; the same each time."""
    questions = asked(QUESTIONS)
    kinds = [one["id"].partition("-")[0] for one in questions]
    assert [kinds.count(kind) for kind in ("lookup", "reasoning", "creative")] == [780, 150, 70]
    assert questions == asked(QUESTIONS)


# By the providers' books ----------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Month:
    """Runs of a month's questions, and what they cost by the ledgers."""

    questions: list[dict[str, str]]
    results: list[Result[Any]]
    cost: Decimal

    @property
    def right(self) -> float:
        """Share of the answers that are right, by the exam's truth."""
        pairs = zip(self.questions, self.results, strict=True)
        return sum(str(one.output).startswith(f"Answer: {truth(SEED, ask['id'])}") for ask, one in pairs) / len(
            self.questions
        )


async def played(here: World, played_flow: Flow) -> Month:
    """All questions, 32 at once."""
    before, gate = here.cost, asyncio.Semaphore(32)

    async def one(value: dict[str, str]) -> Result[Any]:
        async with gate:
            return await here.run_flow(played_flow, value)

    questions = asked(QUESTIONS)
    results = await asyncio.gather(*map(one, questions))
    return Month(questions, list(results), here.cost - before)


def alone(name: str) -> Flow:
    """The same question to one model, and nothing else."""
    route = flow(name).run
    assert isinstance(route, Route)
    return Flow(run=route.branches["creative"].model_copy(update={"model": "best"}))


@pytest.mark.sockets
async def test_the_ladder_saves_what_the_arithmetic_says_at_the_same_quality() -> None:
    """Scaled to the month by the best model's own bill, the ledgers' cost of the flow is $12,000 within 5 %."""
    paper = arithmetic()
    async with world(configured="understudy-2024", skills=SKILLS, answer=Answer(mode="exam", tokens=60)) as here:
        best = await played(here, alone("cost_quality_ladder"))
        ladder = await played(here, flow("cost_quality_ladder"))
    assert not any(one.error for one in [*best.results, *ladder.results])
    month = float(ladder.cost / best.cost) * paper.BEFORE
    assert month == pytest.approx(12_000, rel=0.05)
    assert ladder.right >= 0.99 * best.right
    lookups = [one for ask, one in zip(ladder.questions, ladder.results, strict=True) if "lookup" in ask["id"]]
    climbed = sum(any(step.path == "run/lookup/1" for step in one.steps) for one in lookups) / len(lookups)
    assert climbed == pytest.approx(paper.ESCALATED, abs=0.015)
    assert month == pytest.approx(paper.total(paper.after(escalated=climbed)), rel=0.05)


@pytest.mark.sockets
async def test_each_trade_has_its_model() -> None:
    """Words decide, for free: writing goes to the best, reasoning to the careful, all else to the cheap one."""
    asks = {
        "Write two lines to a customer.": "gpt-4-turbo",
        "Why does the import stop?": "claude-3-sonnet",
        "Where is the serial number printed?": "gpt-3.5-turbo",
    }
    async with world(("You grade answers", {"score": 0.9}), configured="understudy-2024") as here:
        for question, model in asks.items():
            result = await here.run("cost_quality_ladder", {"id": "1", "question": question})
            assert result.steps[0].model.endswith(model)
    assert len(here.ledger()) == len(asks) + 1


@pytest.mark.sockets
@pytest.mark.parametrize(("score", "models"), [(0.69, ["gpt-3.5-turbo", "gpt-4-turbo"]), (0.7, ["gpt-3.5-turbo"])])
async def test_an_answer_below_the_threshold_climbs(score: float, models: list[str]) -> None:
    """At 0.7 the cheap answer is taken, below it the best model is asked."""
    async with world(("You grade answers", {"score": score}), configured="understudy-2024") as here:
        await here.run("cost_quality_ladder")
    assert [record.model for record in here.ledger("openai")] == models
