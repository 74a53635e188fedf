"""The simulator's exam: models of known skill, tasks of known truth, judges that err."""

import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.cluster.simulator.answers import write_reply
from understudy.cluster.simulator.dialect_openai import parse_chat
from understudy.cluster.simulator.engine import Engine
from understudy.cluster.simulator.exam import Task, answer, chance_right, find_task, judged, right, truth
from understudy.cluster.simulator.settings import Answer, ModelSettings, Settings

EXAM = Answer(mode="exam")
SCORED = {
    "type": "object",
    "properties": {"score": {"type": "number"}, "reason": {"type": "string"}},
    "required": ["score", "reason"],
    "additionalProperties": False,
}


def chat(text: str, *, model: str = "m", schema: Any = None, **fields: Any) -> bytes:
    """A request of one user message."""
    if schema is not None:
        fields["response_format"] = {"type": "json_schema", "json_schema": {"name": "it", "schema": schema}}
    return orjson.dumps({"model": model, "messages": [{"role": "user", "content": text}], **fields})


def task_text(number: int, difficulty: float) -> str:
    """A prompt with a task."""
    return f"Be exact.\nTask t-{number} (difficulty {difficulty}, choices A-D): what is it?"


def say(text: str, *, skill: float = 0.5, seed: int = 3, answer: Answer = EXAM, **fields: Any) -> str:
    """What the model says."""
    return write_reply(answer, parse_chat(chat(text, **fields)), cap=500, seed=seed, skill=skill).text


def test_a_task_is_found_in_a_line() -> None:
    """Id, difficulty and choices are read from the line; a text without one has no task."""
    assert find_task(task_text(7, 0.25)) == Task("t-7", 0.25, 4)
    assert find_task("Task x (difficulty 1, choices A-B): y") == Task("x", 1.0, 2)
    assert find_task("A task: Task x (difficulty, choices A-D): y") is None


@given(st.integers(0, 99), st.text(min_size=1, max_size=8), st.floats(-1, 2), st.floats(0, 1))
def test_an_answer_is_right_when_it_is_said_to_be(seed: int, task_id: str, skill: float, difficulty: float) -> None:
    """The letter is the truth exactly where `right` says so, and another one of the choices where it does not."""
    for sample in ("", "1", "2"):
        letter = answer(seed, "m", Task(task_id, difficulty, 4), skill, sample=sample)
        assert letter in "ABCD"
        assert (letter == truth(seed, task_id)) == right(seed, "m", task_id, skill, difficulty, sample=sample)


@pytest.mark.parametrize(("skill", "difficulty"), [(0.5, 0.2), (0.5, 0.5), (0.5, 0.9), (1.2, 0.9)])
def test_models_are_right_as_often_as_their_skill_makes_them(skill: float, difficulty: float) -> None:
    """Over 4,000 tasks the share of right answers is that of the curve, with samples too."""
    chance = chance_right(skill, difficulty)
    for sample in ("", "5"):
        seen = sum(right(1, "m", f"t{n}", skill, difficulty, sample=sample) for n in range(4000)) / 4000
        assert seen == pytest.approx(chance, abs=3.5 * math.sqrt(chance * (1 - chance) / 4000) + 0.002)


def test_the_curve() -> None:
    """At its skill a model knows half of the tasks and guesses the rest; it rises with skill, falls with difficulty."""
    assert chance_right(0.5, 0.5) == pytest.approx(0.25 + 0.75 / 2)
    assert chance_right(0.9, 0.1) > 0.999
    assert chance_right(0.1, 0.9) < 0.26
    assert chance_right(0.6, 0.5) > chance_right(0.5, 0.5) > chance_right(0.5, 0.6)


def test_truths_are_spread_evenly() -> None:
    """Each letter is right about as often as any other."""
    letters = [truth(0, f"t{n}") for n in range(4000)]
    assert all(900 < letters.count(letter) < 1100 for letter in "ABCD")


def test_a_prompt_is_answered_by_a_letter() -> None:
    """The first line is the answer, more words follow; the same request, the same answer."""
    text = say(task_text(1, 0.0), skill=2.0)
    assert text.splitlines()[0] == f"Answer: {truth(3, 't-1')}"
    assert len(text.splitlines()) == 2
    assert say(task_text(1, 0.0), skill=2.0, answer=Answer(mode="exam", tokens=1)) == text.splitlines()[0]
    assert say(task_text(1, 0.0), skill=2.0) == text


def test_json_is_answered_with_the_letter_in_it() -> None:
    """The field `answer` of the schema holds it; other required fields are as in every mode."""
    schema = {
        "type": "object",
        "properties": {"answer": {"enum": list("ABCD")}, "sure": {"type": "boolean"}},
        "required": ["answer", "sure"],
    }
    assert orjson.loads(say(task_text(1, 0.0), skill=2.0, schema=schema)) == {"answer": truth(3, "t-1"), "sure": False}
    free = say(task_text(1, 0.0), skill=2.0, response_format={"type": "json_object"})
    assert orjson.loads(free) == {"answer": truth(3, "t-1")}


def judge(number: int, candidate: str, *, difficulty: float = 0.2, skill: float = 1.0, schema: Any = SCORED) -> Any:
    """What a judge says of a candidate."""
    text = task_text(number, difficulty) + f"\nCandidate answer: {candidate}"
    return orjson.loads(say(text, skill=skill, schema=schema))


def test_a_judge_knows_right_from_wrong_by_its_skill() -> None:
    """A skilled judge scores right answers at 0.7 and more and wrong ones at 0.3 and less; one without skill can't."""
    for number in range(50):
        best = truth(3, f"t-{number}")
        wrong = "A" if best != "A" else "B"
        assert judge(number, best)["score"] >= 0.7
        assert judge(number, f"Answer: {wrong}")["score"] <= 0.3
    blind = [judge(number, "A", skill=-1.0)["score"] for number in range(200)]
    assert all(0.3 <= score <= 0.9 for score in blind)
    own = [score for number, score in enumerate(blind) if truth(3, f"t-{number}") == "A"]
    assert abs(sum(own) / len(own) - sum(blind) / len(blind)) < 0.08


def test_a_score_keeps_to_its_field() -> None:
    """Between the bounds of the schema, whole where it says so, and alone where there is no field for a reason."""
    field = {"type": "integer", "minimum": 1, "maximum": 10}
    said = judge(1, truth(3, "t-1"), schema={"type": "object", "properties": {"score": field}, "required": ["score"]})
    assert list(said) == ["score"]
    assert said["score"] in range(7, 11)
    plain = say(task_text(1, 0.2) + f"\nCandidate answer: {truth(3, 't-1')}", skill=1.0)
    assert plain.startswith("Score: ")


@given(st.integers(0, 50), st.floats(0, 1), st.floats(-1, 2), st.sampled_from("ABCD"))
def test_scores_lie_between_0_and_1(number: int, difficulty: float, skill: float, candidate: str) -> None:
    """Whatever is judged by whomever."""
    assert 0.0 <= judged(1, "m", Task(f"t{number}", difficulty, 4), skill, candidate) <= 1.0


def test_samples_differ_where_it_is_hard() -> None:
    """Five samples of an easy task say one letter and of a hard one several; cold ones are all the same."""

    def sampled(number: int, difficulty: float, temperature: float) -> int:
        requests = [parse_chat(chat(task_text(number, difficulty), seed=n, temperature=temperature)) for n in range(5)]
        return len({write_reply(EXAM, one, cap=500, seed=3, skill=0.5).text[8] for one in requests})

    easy = [sampled(number, 0.0, 0.7) for number in range(100)]
    hard = [sampled(number, 0.9, 0.7) for number in range(100)]
    assert sum(easy) <= 110
    assert sum(hard) >= 180
    assert {sampled(number, 0.9, 0.0) for number in range(20)} == {1}


def test_a_tool_that_is_forced_is_called_with_the_answer() -> None:
    """Anthropic's format has no other way to ask for JSON."""
    schema = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
    tool = {"type": "function", "function": {"name": "answer", "parameters": schema}}
    forced = {"type": "function", "function": {"name": "answer"}}
    request = parse_chat(chat(task_text(7, 0.0), tools=[tool], tool_choice=forced))
    reply = write_reply(EXAM, request, cap=500, seed=3, skill=5.0)
    assert reply.tool is not None
    assert orjson.loads(reply.tool.arguments) == {"answer": truth(3, "t-7")}


def test_other_prompts_are_echoed() -> None:
    """Without a task the exam is an echo."""
    assert say("hello") == say("hello", answer=Answer())


def test_the_engine_knows_each_models_skill() -> None:
    """Through the engine a skilled model is right and an unskilled one guesses; the ledger bills both alike."""
    models = {"good": ModelSettings(skill=2.0), "bad": ModelSettings(skill=-2.0)}
    engine = Engine(Settings(seed=3, models=models, answer=EXAM), now=0.0)
    right_of = {"good": 0, "bad": 0}
    for model in models:
        for number in range(100):
            plan = engine.arrive(chat(task_text(number, 0.5), model=model), "k", now=1.0, wall=0.0)
            reply = orjson.loads(plan.parts[0].partition(b"\r\n\r\n")[2])
            right_of[model] += reply["choices"][0]["message"]["content"][8] == truth(3, f"t-{number}")
            engine.finish(plan, now=1.0)
    assert right_of["good"] == 100
    assert 10 <= right_of["bad"] <= 42
    assert {record.cost for record in engine.ledger.records} == {engine.ledger.records[0].cost}
