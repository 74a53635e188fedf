"""The examples, each told as its story: what it promises, and what becomes of it when a part of it fails."""

import importlib
import re
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from example_world import EXAMPLES, FLOWS, Fault, asks, config, data, flow, world

from understudy.actors.prices import PICO, PriceBook
from understudy.cluster.flows.plan import planned
from understudy.cluster.flows.results import Result, read
from understudy.cluster.simulator.judge import peak_concurrency
from understudy.protocols.jobs import Verdict
from understudy.protocols.workflow import Call, Flow, Route, encode, walk
from understudy.supervisors.workflow.check import check, check_input

pytestmark = pytest.mark.sockets


@pytest.fixture(autouse=True)
def _beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples' own modules are found beside them, as `understudy run` finds them."""
    monkeypatch.syspath_prepend(str(EXAMPLES))


def states(result: Result[Any]) -> dict[str, str]:
    """How each step ended, by its path."""
    return {step.path: step.state for step in result.steps}


# All of them ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FLOWS)
def test_an_example_is_valid_and_takes_its_own_data(name: str) -> None:
    """Nothing is wrong with it that is looked for before a cent is spent."""
    found = flow(name)
    assert check(found, config()) == []
    assert check_input(found, data(name)) == ""
    assert Flow.model_validate_json(encode(found)) == found


@pytest.mark.parametrize("name", FLOWS)
def test_an_example_says_how_it_is_run(name: str) -> None:
    """The command in its comment names the file itself, the shared configuration and data that is there."""
    comment = re.sub(r"\\\n#\s+", "", (EXAMPLES / f"{name}.yaml").read_text().split("\nname:")[0])
    wanted = f"understudy run examples/{name}.yaml --config examples/understudy.yaml --input @examples/data/{name}.json"
    assert wanted in comment


def test_every_model_of_the_examples_is_known_with_its_price() -> None:
    """A bill of an example has no question mark; its routes are all used."""
    nodes = [node for name in FLOWS for root in _roots(name) for _, node in walk(root)]
    assert {node.model for node in nodes if isinstance(node, Call | Route)} - {None} == set(config().models)
    prices = PriceBook(config(), at=datetime(2026, 11, 1, tzinfo=UTC))
    assert all(prices.rate(one) for route in config().models.values() for one in route.candidates)


def _roots(name: str) -> list[Any]:
    found = flow(name)
    return [found.run, *found.flows.values()]


@pytest.mark.parametrize("name", [name for name in FLOWS if flow(name).max_cost is not None])
def test_an_example_s_bound_leaves_room_for_its_worst_case(name: str) -> None:
    """With every round, retry and fallback its own data cost no more than the bound that the file names."""
    found, given = flow(name), config()
    prices = PriceBook(given, at=datetime(2026, 11, 1, tzinfo=UTC))
    plan = planned(found, given, prices, [data(name)], 1, concurrency=1)
    assert found.max_cost is not None
    assert plan.dearest is not None
    assert 0 < plan.dearest <= found.max_cost * PICO


def test_the_page_lists_every_example() -> None:
    """No flow and no script stands here that README.md does not name, and none is named that is not here."""
    page = (EXAMPLES / "README.md").read_text()
    linked = set(re.findall(r"\]\(([a-z0-9_-]+\.(?:py|yaml))\)", page))
    # A script begins by itself; what flows import stands beside them.
    begun = {path.name for path in EXAMPLES.glob("*.py") if "us.run" in path.read_text()}
    assert linked == {*begun, *(path.name for path in EXAMPLES.glob("*.yaml"))}


async def test_bills_agree_with_the_providers_books() -> None:
    """What a run says it cost is what the three ledgers say, to the picodollar."""
    async with world(("Document:", "Half a page.")) as here:
        result = await here.run("document_analysis")
    assert result.cost == here.cost > 0


# Cascade --------------------------------------------------------------------------------------------------------------


async def test_cascade_is_answered_by_the_first_when_all_is_well() -> None:
    """One call of the first provider, and nothing sent to the others."""
    async with world(("Northwind", "Send the collection receipt.")) as here:
        result = await here.run("cascade")
    assert (result.output, result.attempts, result.degraded) == ("Send the collection receipt.", 1, False)
    assert [record.dialect for record in here.ledger()] == ["openai"]


async def test_cascade_makes_an_outage_invisible() -> None:
    """With the first provider down the second answers, and the ledgers show both."""
    async with world(("Northwind", "Send the collection receipt.")) as here:
        here.control("openai", outage="error_503")
        result = await here.run("cascade")
    assert (result.output, result.degraded) == ("Send the collection receipt.", False)
    assert {record.outcome for record in here.ledger("openai")} == {"outage"}
    assert [record.outcome for record in here.ledger("anthropic")] == ["ok"]
    assert here.ledger("gemini") == []


async def test_cascade_reaches_the_third() -> None:
    """With two providers down the third answers."""
    async with world(("Northwind", "Send the collection receipt.")) as here:
        here.control("openai", outage="error_503")
        here.control("anthropic", outage="auth")
        result = await here.run("cascade")
    assert (result.output, result.degraded) == ("Send the collection receipt.", False)
    assert [record.outcome for record in here.ledger("gemini")] == ["ok"]


async def test_cascade_declares_an_answer_when_all_are_down() -> None:
    """Customers are told something, and the result says that it stands in."""
    async with world() as here:
        for name in here.providers:
            here.control(name, outage="error_500")
        result = await here.run("cascade")
    assert str(result.output).startswith("We can not answer just now.")
    assert result.degraded
    assert result.steps[-1].note.startswith("the route's declared answer stands in")


# Document analysis ----------------------------------------------------------------------------------------------------


async def test_analyses_run_at_once() -> None:
    """Three calls are open at one time, so that the page takes as long as the slowest of them."""
    async with world(("Document:", "Half a page.")) as here:
        here.control("openai", latency={"median_s": 0.2})
        result = await here.run("document_analysis")
    assert peak_concurrency(here.ledger("openai")) == 3
    assert result.output is not None
    assert set(result.output) == {"page", "structure", "tone", "ideas", "missing"}
    assert (result.output["page"], result.output["missing"]) == ("Half a page.", {})


async def test_a_page_is_made_of_two_analyses() -> None:
    """One that fails is named, to the reader and to the model that writes the page."""
    async with world(("What is the tone", Fault()), ("Document:", "Half a page.")) as here:
        result = await here.run("document_analysis")
    assert result.output is not None
    assert (result.output["tone"], list(result.output["missing"])) == (None, ["tone"])
    assert result.degraded
    [prompt] = here.script.asked("Document:")
    assert "There are no notes on: tone." in prompt


async def test_one_analysis_is_not_enough() -> None:
    """Below its quorum the run fails and says why, and no page is paid for."""
    async with world(("What is the tone|How is the document", Fault()), ("Document:", "Half a page.")) as here:
        result = await here.run("document_analysis")
    assert result.error.startswith("1 of 3 succeeded, 2 have to:")
    assert here.script.asked("Document:") == []


# Issue triage ---------------------------------------------------------------------------------------------------------


async def test_a_bug_is_answered_from_the_docs() -> None:
    """The retrieval hook is called, and what it finds is read by the technical model."""
    async with world(("You choose which model", "bug")) as here:
        result = await here.run("issue_triage")
    assert result.output is not None
    assert (result.output["kind"], result.output["sources"][0]) == ("bug", "export.md")
    assert states(result)["run/bug/0"] == "done"
    [prompt] = here.script.asked("You are on call")
    assert "Exports over 50,000 rows are written in parts." in prompt


async def test_a_feature_request_needs_no_docs() -> None:
    """The hook is not called; the product model sees the issue alone."""
    async with world(("You choose which model", "feature")) as here:
        result = await here.run("issue_triage")
    assert result.output is not None
    assert (result.output["kind"], result.output["sources"]) == ("feature", [])
    assert not any(step.kind == "function" for step in result.steps)
    assert "written in parts" not in "".join(here.script.heard)


async def test_a_label_decides_for_free() -> None:
    """A rule that holds needs no classifier: one call less."""
    async with world() as here:
        result = await here.run("issue_triage", data("issue_triage") | {"labels": ["bug"]})
    assert result.output is not None
    assert (result.output["kind"], result.calls) == ("bug", 1)
    assert here.script.asked("You choose which model") == []


async def test_a_failed_classifier_leaves_it_to_the_generalist() -> None:
    """The issue is answered as a question, and the result says that this stands in."""
    async with world(("You choose which model", Fault())) as here:
        result = await here.run("issue_triage")
    assert result.output is not None
    assert (result.output["kind"], result.degraded) == ("question", True)


async def test_a_bug_is_answered_without_docs_when_the_search_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hook's failure is told and costs the answer nothing but its sources."""
    monkeypatch.setattr(importlib.import_module("issue_triage_functions"), "DOCS", None)
    async with world(("You choose which model", "bug")) as here:
        result = await here.run("issue_triage")
    assert result.output is not None
    assert (result.output["kind"], result.output["sources"], result.degraded) == ("bug", [], True)


# Repository -----------------------------------------------------------------------------------------------------------


async def test_a_repository_is_read_whole() -> None:
    """Every file stands in a prompt of the small model; only merges are the large one's."""
    async with world() as here:
        result = await here.run("repository_map")
    [coverage] = result.coverage
    assert (coverage.covered, coverage.missing) == (((0, coverage.total),), ())
    maps = here.script.asked("what it is for, what it offers")
    assert all(any(file["name"] in prompt for prompt in maps) for file in data("repository_map"))
    assert len(maps) == coverage.total == len(here.ledger("openai"))
    assert len(here.script.asked("You explain architectures")) == coverage.merges == len(here.ledger("anthropic"))


async def test_a_repository_s_small_files_share_calls() -> None:
    """Eight files, seven of them small, cost three maps."""
    async with world() as here:
        result = await here.run("repository_map")
    assert (len(data("repository_map")), result.coverage[0].total) == (8, 3)


async def test_a_file_that_can_not_be_read_is_named() -> None:
    """One of a dozen is tolerated and told; one of three is too many."""
    broken = ("BROKEN", Fault())
    large = [{"name": f"src/part{n}/file.py", "text": f"value_{n} = {n}\n" * 1000} for n in range(12)]
    large[5]["text"] += "BROKEN = True\n"
    async with world(broken) as here:
        result = await here.run("repository_map", large)
        assert result.degraded
        assert {name.partition(" ")[0] for _, name, _ in result.coverage[0].missing} == {"src/part5/file.py"}
        few = await here.run("repository_map", large[4:6])
    assert "chunks failed" in few.error


# Healthcare -----------------------------------------------------------------------------------------------------------

SAFE = {"recommendation": "Doxycycline; admit for observation.", "drugs": ["doxycycline"], "confidence": 0.9}
ALLERGIC = SAFE | {"recommendation": "Amoxicillin.", "drugs": ["amoxicillin"]}
ADVICE = "You are a specialist in"


async def test_a_case_goes_to_its_specialist() -> None:
    """Three views at once, a recommendation that passes the rules, and nobody is disturbed."""
    async with world((ADVICE, SAFE)) as here:
        here.control("openai", latency={"median_s": 0.1})
        result = await here.run("healthcare")
    assert result.output == {
        "status": "answered",
        "field": "pulmonology",
        "recommendation": SAFE["recommendation"],
        "confidence": 0.9,
        "by": "rules and model",
    }
    assert peak_concurrency(here.ledger("openai")) == 3
    assert len(here.script.asked("prepare cases for a specialist in pulmonology")) == 3


@pytest.mark.parametrize(
    ("code", "field"), [("I50", "cardiology"), ("E11", "endocrinology"), ("K35", "internal medicine")]
)
async def test_the_condition_code_chooses_the_specialist(code: str, field: str) -> None:
    """Rules on the code alone; what no rule knows is internal medicine's."""
    async with world((ADVICE, SAFE)) as here:
        result = await here.run("healthcare", data("healthcare") | {"code": code})
    assert result.output is not None
    assert result.output["field"] == field


async def test_a_contraindication_is_escalated_to_a_clinician() -> None:
    """The run waits with the reason and the proposal; what a person decides goes on, and nothing is asked twice."""
    async with world((ADVICE, ALLERGIC)) as here:
        parked = await here.perform("healthcare")
        [ask] = asks(parked)
        calls = len(here.ledger())
        decided = {"status": "decided", "field": "pulmonology", "recommendation": "Doxycycline.", "by": "Dr Osei"}
        verdict = Verdict(approved=True, value=msgspec.json.encode(decided), by="Dr Osei")
        result = read(await here.answer("healthcare", parked, verdict))
    assert ask.title == "pulmonology: allergic to penicillin: amoxicillin"
    assert "Proposed: Amoxicillin." in ask.show
    assert result.output == decided
    assert len(here.ledger()) == calls == 4


async def test_a_clinician_may_reject() -> None:
    """A rejection ends the run as failed, with the note."""
    async with world((ADVICE, SAFE | {"confidence": 0.4})) as here:
        parked = await here.perform("healthcare")
        [ask] = asks(parked)
        result = read(await here.answer("healthcare", parked, Verdict(approved=False, note="see the patient first")))
    assert ask.title == "pulmonology: confidence 0.4 is below 0.7"
    assert "see the patient first" in result.error


async def test_a_case_that_can_not_be_read_as_a_whole_is_escalated() -> None:
    """Without the labs there is no recommendation: a person gets the case, and the large model is not asked."""
    async with world(("Which of these values are out of range", Fault()), (ADVICE, SAFE)) as here:
        [ask] = asks(await here.perform("healthcare"))
    assert ask.title.startswith("pulmonology: the case could not be read as a whole: 2 of 3 succeeded, 3 have to")
    assert here.script.asked(ADVICE) == []


async def test_a_routine_case_is_queued() -> None:
    """One call of the small model."""
    async with world(("You prepare cases for tomorrow", {"urgent": False, "note": "Stable."})) as here:
        result = await here.run("healthcare", data("healthcare") | {"urgency": "week"})
    assert result.output is not None
    assert (result.output["status"], result.output["recommendation"], result.calls) == ("queued", "Stable.", 1)


async def test_what_the_queue_finds_informs_the_top() -> None:
    """A routine case that turns out to be urgent is sent down again, on the other path."""
    urgent = ("You prepare cases for tomorrow", {"urgent": True, "note": "Saturation is falling."})
    async with world(urgent, (ADVICE, SAFE)) as here:
        result = await here.run("healthcare", data("healthcare") | {"urgency": "week"})
    assert result.output is not None
    assert (result.output["status"], result.output["field"]) == ("answered", "pulmonology")
    [top] = [step for step in result.steps if step.id == "top"]
    assert top.note == "batch: rule 3 → real_time: rule 1"


# Résumés --------------------------------------------------------------------------------------------------------------


def marks(score: float) -> dict[str, Any]:
    return {"score": score, "quotes": []}


async def test_candidates_are_ranked_by_arithmetic() -> None:
    """0.7 skills + 0.3 culture - 0.5 red flags."""
    lines = [
        ("How much of what is needed.*Kestrel", marks(0.9)),
        ("How much of it do the person.*Kestrel", marks(0.8)),
        ("can't be true.*Ten years", marks(1.0)),
        ("How much of what is needed.*Ten years", marks(1.0)),
    ]
    async with world(*lines) as here:
        result = await here.run("resume_screening")
    assert result.output is not None
    ranked = [(one["name"], one["score"]) for one in result.output["shortlist"]]
    assert ranked == [("candidate-01", 0.87), ("candidate-04", 0.2), ("candidate-02", 0.0)]
    assert (result.output["screened"], result.output["not_screened"]) == (4, [])
    assert result.calls == 12


async def test_one_candidate_that_fails_does_not_lose_the_others() -> None:
    """Three are screened, and the fourth is named with its cause."""
    async with world(("Order picker", Fault())) as here:
        result = await here.run("resume_screening")
    assert result.output is not None
    assert result.output["screened"] == 3
    [lost] = result.output["not_screened"]
    assert lost["name"] == "candidate-02"
    assert "0 of 3 succeeded, 2 have to" in lost["cause"]
    assert (result.error, result.degraded) == ("", True)


async def test_a_view_that_is_missing_is_told() -> None:
    """Two of three views make a picture; it counts as half, and the candidate as incomplete."""
    async with world(("How much of it do the person.*Kestrel", Fault()), ("Kestrel", marks(1.0))) as here:
        result = await here.run("resume_screening")
    assert result.output is not None
    [one] = [one for one in result.output["shortlist"] if one["name"] == "candidate-01"]
    assert (one["incomplete"], one["score"]) == (True, 0.35)


# Moderation -----------------------------------------------------------------------------------------------------------

ALLOW = ("You moderate messages", {"verdict": "allow", "reason": "a complaint"})
REPLY = ("You answer customers of a parcel", "It left Utrecht this morning.")
GOOD = ("You check replies", {"ok": True, "problem": ""})


@pytest.fixture
def book() -> list[str]:
    """What was written down outside; empty at first."""
    found: list[str] = importlib.import_module("moderated_reply_functions").BOOK
    found.clear()
    return found


def done(book: list[str]) -> list[str]:
    """What was done, without to whom."""
    return [line.partition(" ")[0] for line in book]


async def test_a_reply_is_charged_and_posted(book: list[str]) -> None:
    """All steps in order, nothing undone."""
    async with world(ALLOW, REPLY, GOOD) as here:
        result = await here.run("moderated_reply")
    assert result.output is not None
    assert (result.output["status"], result.output["reply"]) == ("posted", REPLY[1])
    assert done(book) == ["charge", "post"]


async def test_nothing_is_paid_for_a_blocked_message(book: list[str]) -> None:
    """The gate ends the chain with its reason: one call, no charge, no reply."""
    async with world(("You moderate messages", {"verdict": "block", "reason": "a threat"})) as here:
        result = await here.run("moderated_reply")
    assert result.output == {"status": "blocked", "reason": "a threat"}
    assert (result.stopped, result.calls, book) == ("blocked: a threat", 1, [])
    assert here.script.asked("You answer customers") == []


async def test_a_reply_that_fails_its_check_is_taken_back(book: list[str]) -> None:
    """What was posted is withdrawn, then what was charged is refunded, each once, and the customer is told."""
    bad = ("You check replies", {"ok": False, "problem": "it promises a day"})
    async with world(ALLOW, REPLY, bad) as here:
        result = await here.run("moderated_reply")
    assert done(book) == ["charge", "post", "withdraw", "refund"]
    assert book[-1].split()[1] == "r" + str(int(book[-2].split()[1][1:]) - 1)
    assert result.output is not None
    assert result.output["status"] == "taken back"
    assert "it promises a day" in result.output["reason"]
    assert result.degraded
    assert [step.path for step in result.steps if step.state == "undone"] == ["run/3/undo", "run/1/undo"]


async def test_a_reply_that_can_not_be_written_is_refunded(book: list[str]) -> None:
    """Only what was done is undone."""
    async with world(ALLOW, (REPLY[0], Fault())) as here:
        result = await here.run("moderated_reply")
    assert done(book) == ["charge", "refund"]
    assert result.output is not None
    assert result.output["status"] == "taken back"


async def test_nothing_is_sent_without_moderation(book: list[str]) -> None:
    """A moderation that fails is no consent."""
    async with world(("You moderate messages", Fault()), REPLY, GOOD) as here:
        result = await here.run("moderated_reply")
    assert result.output is not None
    assert (result.output["status"], book) == ("taken back", [])
    assert here.script.asked("You answer customers") == []


# Translation ----------------------------------------------------------------------------------------------------------

FLAWED = {"score": 0.6, "problems": [{"quote": "toestemming", "problem": "the glossary says vergunning"}]}
FLAWLESS = {"score": 0.96, "problems": []}
DRAFTS = ("You translate into Dutch", ("Geen toestemming verbruikt.", "Geen vergunning verbruikt."))


async def test_a_translation_is_corrected_until_it_is_accepted() -> None:
    """The second draft is asked for with what the judge quoted, and accepted."""
    async with world(DRAFTS, ("You check translations", (FLAWED, FLAWLESS))) as here:
        result = await here.run("translation")
    assert result.output == {
        "language": "Dutch",
        "translation": "Geen vergunning verbruikt.",
        "accepted": True,
        "note": "accepted in round 2",
    }
    first, second = here.script.asked("You translate into Dutch")
    assert "Correct this" not in first
    assert '- "toestemming": the glossary says vergunning' in second
    assert "Geen toestemming verbruikt." in second
    assert not result.degraded


async def test_a_translation_that_is_never_accepted_is_told() -> None:
    """After three rounds the last draft stands in, and the result says so."""
    async with world(DRAFTS, ("You check translations", FLAWED)) as here:
        result = await here.run("translation")
    assert result.output is not None
    assert (result.output["translation"], result.output["accepted"]) == ("Geen vergunning verbruikt.", False)
    assert result.degraded
    assert len(here.script.asked("You translate into Dutch")) == 3


async def test_the_judge_is_not_the_translator() -> None:
    """Drafts and verdicts come from different providers."""
    async with world(DRAFTS, ("You check translations", FLAWLESS)) as here:
        await here.run("translation")
    assert [record.dialect for record in here.ledger()] == ["anthropic", "openai"]


# Mappings -------------------------------------------------------------------------------------------------------------


def test_a_key_goes_before_a_method() -> None:
    """`job.values` is what stands under the key, as the résumés' criteria do, and not the method of a mapping."""
    from understudy.supervisors.workflow import templates  # noqa: PLC0415 - beside what it is about

    scope = {"job": {"values": ["care"], "items": 2}}
    assert templates.render("{{ job.values | join }} {{ job.items }}", scope) == "care 2"
    assert templates.render("{% for key, one in job.items() %}{{ key }}{% endfor %}", {"job": {"a": 1}}) == "a"
