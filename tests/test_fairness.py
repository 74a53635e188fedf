"""Fair queueing: tenants and shares by weight, interactive first, no credit for idling, nobody starves."""

import itertools
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.actors.provider.fairness import AWAY_S, BATCH_SHARE, FULL_ASK, FairQueue, Price, Waiting
from understudy.protocols.messages import LeaseAsk

ENOUGH = 1 << 40


def waiting(
    holder: str,
    sizes: tuple[int, ...],
    *,
    weight: float = 1.0,
    interactive: bool = False,
    slots: int = 0,
    share: str | None = None,
    tenant: str = "",
    tenant_weight: float = 1.0,
    since: float = 0.0,
) -> Waiting:
    """An ask of a holder that is a share of its own unless told otherwise."""
    ask = LeaseAsk(
        1,
        sizes=sizes,
        weight=weight,
        interactive=interactive,
        slots=slots,
        share=holder if share is None else share,
        tenant=tenant,
        tenant_weight=tenant_weight,
    )
    return Waiting(holder, ask, "", since)


def serve(queue: FairQueue, calls: int, *, tokens: int = ENOUGH, slots: int = ENOUGH) -> dict[str, int]:
    """Deals once; who was served asks again for what is left and more."""
    dealt = {entry.holder: count for entry, count in queue.share(calls, tokens=tokens, slots=slots)}
    for holder in dealt:
        entry = queue.waiting[holder]
        queue.drop(holder, now=0.0)
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
    quantum = max(rounds) // (8 * holders) + 1
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
    quantum = max(rounds) // 16 + 1
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
    queue.drop("late", now=0.0)
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
    queue.forget("a", now=0.0)
    queue.forget("b", now=0.0)
    assert (queue.waiting, queue._flows, queue._paths) == ({}, {}, {})


class Naive:
    """Fair shares counted call by call: at each call goes the tenant, its share, its holder that had least so far."""

    def __init__(self, rows: Mapping[str, tuple[str, float, str, float]]) -> None:
        self.rows = rows
        self.got = Counter[tuple[str, ...]]()

    def deal(self, calls: int) -> None:
        for _ in range(calls):
            tenants = {row[0]: row[1] for row in self.rows.values()}
            tenant = min(tenants, key=lambda name: (self.got[name,] / tenants[name], name))
            shares = {row[2]: row[3] for row in self.rows.values() if row[0] == tenant}
            share = min(shares, key=lambda name: (self.got[tenant, name] / shares[name], name))
            holders = [name for name, row in self.rows.items() if (row[0], row[2]) == (tenant, share)]
            holder = min(holders, key=lambda name: (self.got[tenant, share, name], name))
            for path in ((tenant,), (tenant, share), (tenant, share, holder)):
                self.got[path] += 1


jobs = st.dictionaries(
    st.tuples(st.sampled_from("TU"), st.sampled_from("xyz")),
    st.tuples(st.integers(1, 4), st.sampled_from([1.0, 2.0, 5.0])),
    min_size=1,
    max_size=5,
)


@settings(max_examples=60)
@given(jobs, st.sampled_from([1.0, 3.0]), st.lists(st.integers(1, 60), min_size=60, max_size=90))
def test_tenants_then_shares_then_holders_get_what_a_naive_count_gives(
    table: dict[tuple[str, str], tuple[int, float]], heavy: float, rounds: list[int]
) -> None:
    """With backlog everywhere each level divides by weight as the call-by-call reference does, within 10 %."""
    queue, total = FairQueue(), Counter[str]()
    rows = {
        f"{tenant}{share}{number}": (tenant, heavy if tenant == "T" else 1.0, share, weight)
        for (tenant, share), (holders, weight) in table.items()
        for number in range(holders)
    }
    for holder, (tenant, tenant_weight, share, weight) in rows.items():
        queue.put(waiting(holder, (1,) * 256, tenant=tenant, tenant_weight=tenant_weight, share=share, weight=weight))
    for calls in rounds:
        total.update(serve(queue, calls))
    naive = Naive(rows)
    naive.deal(sum(rounds))
    for (tenant, share), (holders, _) in table.items():
        got = sum(total[f"{tenant}{share}{number}"] for number in range(holders))
        assert got == pytest.approx(naive.got[tenant, share], rel=0.1, abs=8)


def test_a_share_gets_the_same_however_many_holders_it_has() -> None:
    """A job on four mappers gets as much as one of equal weight on one, and its mappers get equal parts."""
    queue, total = FairQueue(), Counter[str]()
    for name in ("m1", "m2", "m3", "m4"):
        queue.put(waiting(name, (1,) * 256, share="wide"))
    queue.put(waiting("m5", (1,) * 256, share="narrow"))
    for _ in range(100):
        total.update(serve(queue, 16))
    assert total["m5"] == pytest.approx(800, rel=0.02)
    assert [total[name] for name in ("m1", "m2", "m3", "m4")] == pytest.approx([200] * 4, rel=0.05)


@given(st.integers(2, 30), st.integers(20, 120))
def test_tokens_count_where_they_are_what_is_short(size: int, rounds: int) -> None:
    """A job of large calls and one of small ones share the tokens alike, not the calls."""
    queue, tokens = FairQueue(), Counter[str]()
    unit = Price(0.0, 1.0)
    queue.put(waiting("large", (size,) * 255))
    queue.put(waiting("small", (1,) * 255))
    for _ in range(rounds):
        for entry, count in queue.share(1000, tokens=4 * size, slots=ENOUGH, price=unit):
            tokens[entry.holder] += sum(entry.ask.sizes[:count])
            queue.drop(entry.holder, now=0.0)
            queue.put(entry)
    assert tokens["large"] == pytest.approx(tokens["small"], rel=0.1, abs=4 * size)


def test_a_call_is_priced_by_what_is_scarcer() -> None:
    """With both quotas limited a call counts as itself or as its tokens, whichever takes more of its quota."""
    both = Price(1.0, 10 / 1000)
    assert (both.of(50), both.of(300)) == (1.0, 3.0)
    assert Price().of(10**6) == 1.0


@given(st.lists(st.integers(1, 30), min_size=50, max_size=120), st.integers(1, 20))
def test_batch_does_not_starve_beside_endless_interactive_demand(rounds: list[int], batch_holders: int) -> None:
    """Batch gets its part of what is dealt, and no more, while people ask for all there is."""
    queue, total = FairQueue(), Counter[str]()
    queue.put(waiting("person", (1,) * 255, interactive=True))
    for number in range(batch_holders):
        queue.put(waiting(f"batch{number}", (1,) * 255))
    for calls in rounds:
        total.update(serve(queue, calls))
    batch = sum(total.values()) - total["person"]
    assert batch == pytest.approx(BATCH_SHARE * sum(rounds), abs=1 + 2 * BATCH_SHARE * max(rounds))


def test_batch_earns_nothing_while_it_does_not_wait() -> None:
    """After a long time of people alone, batch that comes gets its part from then on."""
    queue = FairQueue()
    queue.put(waiting("person", (1,) * 255, interactive=True))
    for _ in range(100):
        serve(queue, 100)
    queue.put(waiting("batch", (1,) * 255))
    assert serve(queue, 18) == {"person": 18}


def test_the_share_of_who_is_on_the_way_back_is_kept() -> None:
    """Who was served in part has its next share kept until it asks again, or for a message's time."""
    queue = FairQueue()
    queue.put(waiting("a", (1,) * 10))
    queue.put(waiting("b", (1,) * 10))
    for entry, _ in queue.share(2, tokens=ENOUGH, slots=ENOUGH):
        queue.served(entry, now=0.0)
    assert queue.waiting == {}
    queue.put(waiting("b", (1,) * 9, since=0.01))
    [(entry, count)] = queue.share(4, tokens=ENOUGH, slots=ENOUGH, now=0.01)
    assert (entry.holder, count) == ("b", 2), "two are kept for a"
    assert queue.next_change() == pytest.approx(AWAY_S)
    queue.served(entry, now=0.01)
    queue.put(waiting("a", (1,) * 9, since=0.02))
    queue.put(waiting("b", (1,) * 7, since=0.03))
    dealt = {entry.holder: count for entry, count in queue.share(4, tokens=ENOUGH, slots=ENOUGH, now=0.03)}
    assert dealt == {"a": 3, "b": 1}, "a had what was kept, and then both alike"


def test_who_does_not_come_back_holds_up_nobody() -> None:
    """What was kept for a holder that never asks again is dealt to the others after a moment."""
    queue = FairQueue()
    queue.put(waiting("gone", (1,) * 10))
    [(entry, _)] = queue.share(2, tokens=ENOUGH, slots=ENOUGH)
    queue.served(entry, now=0.0)
    queue.put(waiting("b", (1,) * 10, since=0.1))
    assert [count for _, count in queue.share(4, tokens=ENOUGH, slots=ENOUGH, now=0.1)] == [3]
    assert [count for _, count in queue.share(4, tokens=ENOUGH, slots=ENOUGH, now=AWAY_S)] == [4]
    assert queue.next_change() is None


def test_a_full_ask_that_was_served_is_expected_again() -> None:
    """Who got all of the longest ask there is has more to ask for; who got all of a shorter one has not."""
    queue = FairQueue()
    queue.put(waiting("long", (1,) * FULL_ASK))
    queue.put(waiting("short", (1,) * 10))
    for entry, _ in queue.share(1000, tokens=ENOUGH, slots=ENOUGH):
        queue.served(entry, now=0.0)
    assert list(queue._away) == ["long"]


def test_a_thousand_holders_cost_some_thousand_steps() -> None:
    """Dealing 100,000 calls to a thousand holders takes steps by holder, not by call."""
    queue = FairQueue()
    for number in range(1000):
        queue.put(waiting(f"h{number}", (1,) * 255, share=f"job{number % 10}"))
    steps = itertools.count()
    give = type(queue)._deal

    def counted(self: FairQueue, group: list[Waiting], left: object) -> None:
        give(self, group, Counting(left, steps))  # type: ignore[arg-type]

    queue._deal = counted.__get__(queue)  # type: ignore[method-assign]
    queue.share(100_000, tokens=ENOUGH, slots=ENOUGH)
    assert next(steps) < 10 * 1000


class Counting:
    """A room that counts how often something is given from it."""

    def __init__(self, room: object, steps: "itertools.count[int]") -> None:
        object.__setattr__(self, "room", room)
        object.__setattr__(self, "steps", steps)

    def __getattr__(self, name: str) -> object:
        if name == "give":
            next(object.__getattribute__(self, "steps"))
        return getattr(object.__getattribute__(self, "room"), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(object.__getattribute__(self, "room"), name, value)
