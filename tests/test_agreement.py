"""How far answers agree, and which says most."""

import itertools
import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.supervisors.patterns.agreement import SHORT, agreement, most_detailed, similarity

WORDS = ("the", "bill", "was", "paid", "late", "and", "nobody", "told", "Ann")
PROSE = st.lists(st.sampled_from(WORDS), min_size=1, max_size=30).map(" ".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-2, 2) | st.text(max_size=6) | PROSE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(JSON, JSON)
def test_similarity_is_symmetric_and_bounded(one: Any, other: Any) -> None:
    """Both directions say the same, between 0 and 1; an answer and itself are alike."""
    assert similarity(one, other) == similarity(other, one)
    assert 0.0 <= similarity(one, other) <= 1.0
    assert similarity(one, one) == pytest.approx(1.0)


@given(st.lists(JSON, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_the_answers_is_nothing(values: list[Any], rng: Random) -> None:
    """Shuffled answers have the same score and the same groups."""
    places = rng.sample(range(len(values)), len(values))
    found = agreement(values)
    shuffled = agreement([values[place] for place in places])
    assert shuffled.score == found.score
    renamed = {tuple(sorted(places[position] for position in group)) for group in shuffled.groups}
    assert renamed == set(found.groups)
    assert shuffled.majority == found.majority


@given(st.lists(JSON, min_size=2, max_size=6))
def test_the_score_is_the_mean_of_all_pairs(values: list[Any]) -> None:
    """The score is that of the textbook; the groups hold each answer once, the largest first."""
    found = agreement(values)
    pairs = [similarity(one, other) for one, other in itertools.combinations(values, 2)]
    assert found.score == pytest.approx(sum(pairs) / len(pairs), abs=1e-9)
    assert sorted(itertools.chain(*found.groups)) == list(range(len(values)))
    assert [len(group) for group in found.groups] == sorted(map(len, found.groups), reverse=True)


@given(JSON, st.integers(1, 9))
def test_identical_answers_agree(value: Any, count: int) -> None:
    """One answer, or the same one many times, is one group with a score of 1."""
    found = agreement([value] * count)
    assert found.score == 1.0
    assert found.groups == (tuple(range(count)),)
    assert found.majority == 1.0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Paris", "  paris. "),
        ("**Yes**", "yes!"),
        ("- not spam", "Not  Spam"),
        ("42", 42),
        ("42.0", 42),
        ("1,000", "1000"),
        ("\uff46\uff55\uff4c\uff4c", "full"),
        ({"a": 1, "b": "X."}, '{"b": "x", "a": 1.0}'),
        ([1, 2], '```json\n["1", 2]\n```'),
        ("東京", "東京。"),
    ],
)
def test_the_same_said_otherwise(one: object, other: object) -> None:
    """Case, spacing, punctuation, marks, notation and the order of fields make no difference."""
    assert similarity(one, other) == 1.0


@pytest.mark.parametrize(
    ("one", "other"),
    [("A+", "A"), ("C#", "C"), ("-5", "5"), ("spam", "not spam"), (True, 1), (None, "null"), ("", "x"), ("<", ">")],
)
def test_what_only_looks_alike(one: object, other: object) -> None:
    """Signs that mean something, a negation, and a truth value beside a number are differences."""
    assert similarity(one, other) == 0.0


def test_labels_are_counted() -> None:
    """Two of three votes: one pair of three agrees, and the majority is two thirds."""
    found = agreement(["spam", "ham", "Spam."])
    assert found.score == pytest.approx(1 / 3)
    assert found.groups == ((0, 2), (1,))
    assert found.majority == pytest.approx(2 / 3)


def test_prose_agrees_by_degrees() -> None:
    """Dice over word bigrams, counted by hand: 8 of 9 and 9 in common make 16 / 19 with one word changed at the end."""
    one = "the invoice was paid late because the address was wrong"
    other = "the invoice was paid late because the address was missing today"
    assert similarity(one, other) == pytest.approx(2 * 8 / (9 + 10))
    assert similarity(one, "nobody here can say anything about what happened in the end") == 0.0
    assert agreement([one, other, "nobody here can say anything about what happened in the end"]).groups == (
        (0, 1),
        (2,),
    )


def test_a_label_is_not_made_up_for_by_a_reason() -> None:
    """Answers with different labels share a score by field but no group; with different reasons they may share one."""
    reason = "the sender is unknown and asks for money by wire at once"
    spam, ham = {"label": "spam", "why": reason}, {"label": "ham", "why": reason}
    found = agreement([spam, ham, json.dumps({"label": "SPAM", "why": reason + " please"})])
    assert found.groups == ((0, 2), (1,))
    assert similarity(spam, ham) == 0.5


def test_groups_are_linked_in_chains() -> None:
    """Single linkage: what is alike by way of a third stands in one group."""
    words = [f"w{number}" for number in range(40)]
    chain = [" ".join(words[start : start + 20]) for start in (0, 8, 16)]
    assert similarity(chain[0], chain[2]) < 0.5 <= similarity(chain[0], chain[1])
    assert agreement(chain).groups == ((0, 1, 2),)
    assert len(agreement(chain, like=0.9).groups) == 3


def test_long_texts_are_read_in_part() -> None:
    """A text of megabytes is compared by its beginning; brackets without end are no JSON."""
    long = "a long story begins here and goes on " * 200_000
    assert similarity(long, long + "but ends otherwise") == pytest.approx(1.0)
    assert similarity("[" * 100_000, "[" * 100_000) == 1.0


@given(st.lists(JSON, min_size=1, max_size=6))
def test_the_most_detailed_says_most(values: list[Any]) -> None:
    """It is one of the answers, the same each time, and saying an answer twice doesn't make it more detailed."""
    place = most_detailed(values)
    assert place in range(len(values))
    assert most_detailed([*values, values[place]]) == place


def test_detail_is_counted_by_different_words() -> None:
    """Repeats and small words count nothing; of equals the longer, then the earlier."""
    thin = "it is so and it is so and it is so and it is so"
    assert most_detailed([thin, "invoice 4711 was paid late"]) == 1
    assert most_detailed(["paid late", "paid, late"]) == 1
    assert most_detailed(["same", "same"]) == 0
    assert most_detailed([{"a": "paid"}, {"a": "paid late today"}]) == 1


def test_no_answers_are_refused() -> None:
    """There is nothing to compare."""
    with pytest.raises(ValueError, match="no answers"):
        agreement([])
    with pytest.raises(ValueError, match="no answers"):
        most_detailed([])


def test_short_and_long_texts_are_told_apart() -> None:
    """A label and a paragraph are compared as what they are: not alike."""
    assert similarity("yes", "yes " * (SHORT + 1)) == 0.0
