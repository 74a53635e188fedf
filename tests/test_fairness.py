"""Fair queueing: shares by weight, interactive first, no credit for idling, nobody starves."""

import itertools
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.provider.fairness import FairQueue, Waiting
from understudy.protocols.messages import LeaseAsk

ENOUGH = 1 << 40


def waiting(
    holder: str, sizes: tuple[int, ...], *, weight: float = 1.0, interactive: bool = False, slots: int = 0
) -> Waiting:
    return Waiting(holder, LeaseAsk(1, sizes=sizes, weight=weight, interactive=interactive, slots=slots), "", 0.0)


def serve(queue: FairQueue, calls: int, *, tokens: int = ENOUGH, slots: int = ENOUGH) -> dict[str, int]:
    """Deals once; who was served asks again for what is left and more."""
    dealt = {entry.holder: count for entry, count in queue.share(calls, tokens=tokens, slots=slots)}
    for holder in dealt:
        entry = queue.waiting[holder]
        queue.drop(holder)
        queue.put(entry)
    return dealt


asks = st.lists(
    st.tuples(
        st.lists(st.integers(1, 30), max_size=20),
        st.sampled_from([0.5, 1.0, 3.0]),
        st.booleans(),
        st.integers(0, 20),
    ),
    min_size=1,
    max_size=6,
)


@given(asks, st.integers(0, 60), st.integers(0, 300), st.integers(0, 30))
def test_deals_no_more_than_there_is_and_no_less(
    rows: list[tuple[list[int], float, bool, int]], calls: int, tokens: int, slots: int
) -> None:
    """What is dealt fits; and more is dealt only if nothing that is next in a line fits any more."""
    queue = FairQueue()
    for number, (sizes, weight, interactive, new) in enumerate(rows):
        slots_new = min(new, len(sizes))
        queue.put(waiting(f"h{number}", tuple(sizes), weight=weight, interactive=interactive, slots=slots_new))
    dealt = queue.share(calls, tokens=tokens, slots=slots)
    used_slots = sum(max(0, entry.ask.slots - (len(entry.ask.sizes) - count)) for entry, count in dealt)
    used_tokens = sum(sum(entry.ask.sizes[:count]) for entry, count in dealt)
    used_calls = sum(count for _, count in dealt)
    assert used_calls <= calls
    assert used_tokens <= tokens
    assert used_slots <= slots
    counts = {entry.holder: count for entry, count in dealt}
    heads = [
        entry
        for entry in queue.waiting.values()
        for count in [counts.get(entry.holder, 0)]
        if count < len(entry.ask.sizes)
        if used_slots < slots or count < len(entry.ask.sizes) - entry.ask.slots
    ]
    if used_calls < calls and heads:
        sizes_next = [entry.ask.sizes[counts.get(entry.holder, 0)] for entry in heads]
        assert max(sizes_next) > tokens - used_tokens, "somebody could have been served"


@given(st.integers(2, 6), st.lists(st.integers(1, 40), min_size=5, max_size=40))
def test_equal_weights_get_equal_shares(holders: int, rounds: list[int]) -> None:
    """Over any sequence of rounds two busy holders of equal weight differ by a quantum or so."""
    queue, total = FairQueue(), Counter[str]()
    for number in range(holders):
        queue.put(waiting(f"h{number}", (1,) * 256))
    for calls in rounds:
        total.update(serve(queue, calls))
    quantum = max(1, max(rounds) // (8 * holders))
    counts = [total[f"h{number}"] for number in range(holders)]
    assert sum(counts) == sum(rounds)
    assert max(counts) - min(counts) <= quantum


@given(st.sampled_from([2.0, 3.0, 5.0]), st.lists(st.integers(1, 40), min_size=40, max_size=60))
def test_shares_follow_weights(weight: float, rounds: list[int]) -> None:
    """A holder of weight w gets w times as much as one of weight 1, within a quantum of each."""
    queue, total = FairQueue(), Counter[str]()
    queue.put(waiting("light", (1,) * 256))
    queue.put(waiting("heavy", (1,) * 256, weight=weight))
    for calls in rounds:
        total.update(serve(queue, calls))
    quantum = max(1, max(rounds) // 16)
    assert abs(total["heavy"] - weight * total["light"]) <= 2 * (weight + 1) * quantum


def test_interactive_goes_first() -> None:
    """Nothing is dealt to a batch holder while an interactive one waits for more."""
    queue = FairQueue()
    queue.put(waiting("batch", (1,) * 10))
    queue.put(waiting("person", (1,) * 4, interactive=True))
    assert serve(queue, 3) == {"person": 3}
    assert serve(queue, 6) == {"person": 4, "batch": 2}


def test_idling_earns_no_credit() -> None:
    """Who was idle while others worked gets an equal share from then on, not what it missed."""
    queue = FairQueue()
    queue.put(waiting("early", (1,) * 256))
    queue.put(waiting("late", (1,) * 256))
    serve(queue, 10)
    queue.drop("late")
    for _ in range(50):
        serve(queue, 10)
    queue.put(waiting("late", (1,) * 256))
    total = Counter[str]()
    for _ in range(20):
        total.update(serve(queue, 10))
    assert abs(total["late"] - total["early"]) <= 12


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_a_large_call_is_not_passed_for_ever_by_small_ones(others: list[int]) -> None:
    """Tokens that come free are kept for the large call once it is its turn, however many small ones wait."""
    queue = FairQueue()
    queue.put(waiting("large", (90,)))
    for number, size in enumerate(others):
        queue.put(waiting(f"small{number}", (size,) * 256))
    free, held = 100, list[tuple[int, int]]()  # what is used comes back after five rounds
    for turn in itertools.count():
        free += sum(tokens for since, tokens in held if since == turn - 5)
        dealt = queue.share(1000, tokens=free, slots=ENOUGH)
        if any(entry.holder == "large" for entry, _ in dealt):
            break
        for entry, count in dealt:
            tokens = sum(entry.ask.sizes[:count])
            free -= tokens
            held.append((turn, tokens))
        assert turn < 50, "the large call starves"


def test_without_a_slot_others_go_on_in_their_own() -> None:
    """Who lacks a slot holds up nobody who has one."""
    queue = FairQueue()
    queue.put(waiting("lacks", (1,) * 5, slots=5))
    queue.put(waiting("has", (1,) * 5, slots=3))
    dealt = {entry.holder: count for entry, count in queue.share(100, tokens=100, slots=1)}
    assert dealt == {"lacks": 1, "has": 2}


def test_a_replaced_ask_keeps_its_place() -> None:
    """An ask that grows does not go to the end of the line."""
    queue = FairQueue()
    queue.put(waiting("a", (1,)))
    queue.put(waiting("b", (1,)))
    queue.put(waiting("a", (1, 1)))
    assert [entry.holder for entry, _ in queue.share(1, tokens=10, slots=10)] == ["a"]
    queue.forget("a")
    queue.forget("b")
    assert (queue.waiting, queue._virtual) == ({}, {})
