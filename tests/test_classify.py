"""The heuristics of classification, the words they see, and required literals of patterns."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.router.classify import Classification, Heuristics, tier_of, with_pii
from understudy.actors.router.lexicon import DOMAINS
from understudy.actors.router.literal import required
from understudy.actors.router.reading import HEAD, TAIL, Reading, asked, bounded, fold, is_spaced, vocabulary
from understudy.protocols.chat import ChatRequest, Message, Text
from understudy.protocols.routing import Complexity, Tolerance, Urgency

KNOWN = vocabulary(Heuristics.words)


def classified(text: str, *, tokens: int = 50, urgency: Urgency | None = None) -> Classification:
    return Heuristics().classify(Reading(text, KNOWN), tokens=tokens, urgency=urgency)


@pytest.mark.parametrize(
    ("text", "complexity"),
    [
        ("What is the capital of France?", "low"),
        ("how many people live in Rome?", "low"),
        ("How do I reset my password?", "low"),
        ("Show me the list", "low"),
        ("Why is the sky blue?", "medium"),
        ("Write a haiku", "medium"),
        ("Explain step by step why it fails", "high"),
        ("First compare both, then evaluate the result", "high"),
        ("Analyze the report and summarize it: why did sales fall?", "high"),
        ("Design a distributed architecture", "high"),
        ("What are the root cause and the edge cases?", "high"),
    ],
)
def test_complexity(text: str, complexity: str) -> None:
    """Whole words decide (no `how` in `show`), and several steps with reasoning are high."""
    found = classified(text)
    assert found.complexity == complexity
    assert ("complexity" in found.evidence) == (complexity != "low")


@pytest.mark.parametrize(
    ("text", "domain", "word"),
    [
        ("Fix this python function", "code", "python"),
        ("```\nx\n```", "code", "```"),
        ("Solve the equation x + 2 = 5", "math", "equation"),
        ("Is this clause of the contract enforceable?", "legal", "clause"),
        ("Translate the contract clause to German", "translation", "translate"),
        ("My patient has a fever", "medical", "patient"),
        ("Write a limerick", "creative", "limerick"),
        ("I want a refund", "support", "refund"),
        ("Extract all dates", "extraction", "extract"),
        ("Join two SQL tables", "data", "sql"),
    ],
)
def test_domain(text: str, domain: str, word: str) -> None:
    """The most votes decide, and the words that voted are told."""
    found = classified(text)
    assert found.domain == domain
    assert word in found.evidence["domain"]


def test_general_is_the_rest() -> None:
    """One word that is also common elsewhere makes no domain, and no evidence."""
    found = classified("Please help me")
    assert (found.domain, found.evidence) == ("general", {})


def test_what_the_caller_says_goes_before_the_words() -> None:
    """Urgency is told by the words only where the caller says nothing."""
    assert classified("urgent: where is it").urgency == "realtime"
    assert classified("urgent: where is it", urgency="batch").urgency == "batch"
    assert classified("keep it cheap").tolerance == "low"
    assert classified("in the highest quality").tolerance == "high"


@pytest.mark.parametrize(
    ("complexity", "urgency", "tolerance", "tier"),
    [
        ("high", "normal", "medium", "premium"),
        ("high", "realtime", "medium", "premium"),
        ("high", "normal", "low", "standard"),
        ("medium", "realtime", "medium", "fast"),
        ("medium", "normal", "medium", "standard"),
        ("medium", "normal", "high", "premium"),
        ("low", "normal", "medium", "fast"),
        ("low", "batch", "high", "standard"),
    ],
)
def test_tier(complexity: Complexity, urgency: Urgency, tolerance: Tolerance, tier: str) -> None:
    """The tier follows from the table."""
    assert tier_of(complexity, urgency, tolerance) == tier


def test_personal_data_makes_it_private() -> None:
    """Whatever else it is, a request with personal data is of the private tier."""
    found = with_pii(classified("Prove it step by step, explain why"), {"phone", "email"})
    assert (found.tier, found.pii, found.complexity) == ("private", ("email", "phone"), "high")
    assert with_pii(classified("x"), ()) == classified("x")


def test_a_long_prompt_is_no_lookup() -> None:
    """4,000 tokens are at least of medium complexity."""
    assert classified("What is this?", tokens=4000).complexity == "medium"


@given(st.text(max_size=400), st.integers(0, 10_000))
def test_any_text_is_classified(text: str, tokens: int) -> None:
    """Whatever the text, each field is one of its values, and the evidence stands in the text."""
    found = classified(text, tokens=tokens)
    assert found.domain in DOMAINS
    words = set(fold(text).split())
    assert set(found.evidence.get("domain", ())) <= words | {"```"}


@given(st.text(max_size=200) | st.text(alphabet="aB-_.é„\n 中", max_size=60))
def test_folding_is_splitting_at_what_is_no_letter(text: str) -> None:
    """For ASCII texts the words are those of a naive regular expression; for all texts nothing is in upper case."""
    words = fold(text).split()
    if text.isascii():
        assert words == re.sub(r"[^a-z0-9_\x00-\x1f\x7f]", " ", text.lower()).split()
    assert not any("A" <= char <= "Z" for word in words for char in word)


@given(st.text(alphabet="abc, ", max_size=60), st.sets(st.text(alphabet="abc", min_size=1, max_size=3)))
def test_hits_are_the_known_words_that_occur(text: str, known: set[str]) -> None:
    """One pass finds what looking for each word would find."""
    assert Reading(text, vocabulary(known)).hits == {word for word in known if word in fold(text).split()}


def test_phrases_cross_line_ends() -> None:
    """A phrase is found over a line's end and after punctuation, not over the middle of words."""
    assert Reading("Do it step\n  by step!", KNOWN).says("step by step")
    assert not Reading("footstep by step", KNOWN).says("step by step")


def test_which_phrases_are_words() -> None:
    """Words of alphabets are looked for whole; what has punctuation, or no blanks in its script, as it is."""
    assert is_spaced("Stack Trace")
    assert is_spaced("über")
    assert not is_spaced("c++")
    assert not is_spaced("発注")


def test_a_long_request_is_read_at_both_ends() -> None:
    """The beginning and the end are looked at, whatever the length; of a conversation the newest."""
    text = "A" * HEAD + "x" * 10**6 + "B" * TAIL
    assert bounded(text) == "A" * HEAD + "\n" + "B" * TAIL
    said = (Message("system", (Text("sys"),)), Message("user", (Text("one"),)), Message("user", (Text("two"),)))
    assert asked(ChatRequest("m", said)) == "one\ntwo"
    assert asked(ChatRequest("m", said[:1])) == "sys"


@pytest.mark.parametrize(
    ("pattern", "literal"),
    [
        (r"\bticket #?\d{4,}\b", "ticket "),
        (r"a?bcd(ef)+", "bcd"),
        (r"ab|cd", ""),
        (r"(?x) a b", ""),
        (r"(?!no)yes", "yes"),
        ("(unclosed", ""),
    ],
)
def test_required_literal(pattern: str, literal: str) -> None:
    """The longest run outside any choice; nothing where there is none."""
    assert required(pattern) == literal


atoms = st.sampled_from(
    ["a", "B", "cd", ".", "[ab]", r"\w", "a?", "b*", "c+", "(ab|c)", "(?:de)", "(f)?", "^", r"\b", "x{2}"]
)


@given(st.lists(atoms, min_size=1, max_size=5).map("".join), st.text(alphabet="aAbBcdefx ", max_size=12))
def test_every_match_holds_the_required_literal(pattern: str, text: str) -> None:
    """No pattern that matches is ruled out by its literal."""
    if re.search(pattern, text, re.IGNORECASE):
        assert required(pattern) in text.lower()
