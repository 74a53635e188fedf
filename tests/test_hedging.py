"""The hedger against simulations in virtual time: how much shorter the tail gets, and at what price."""

import math
import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.call.hedging import Hedger, Tail, size_class
from understudy.actors.prices import PICO
from understudy.protocols.routes import Hedging

KEY, SIZE = "a/m", "5/5"
Draw = Callable[[], float]


class World:
    """Calls one after the other, each hedged as the hedger says; counts the requests that were sent."""

    def __init__(self, settings: Hedging, draw: Draw, *, seed: int = 1) -> None:
        self.hedger = Hedger(settings, rng=random.Random(seed))
        self.draw = draw
        self.calls = self.hedges = 0
        self.plain: list[float] = []

    def call(self, *, now: float = 0.0, began: bool = False) -> float:
        """What one call takes."""
        if not began:
            self.begin(now=now)
        took = [self.draw()]
        self.plain.append(took[0])
        starts, end = [0.0], took[0]
        delay = self.hedger.delay_s(KEY, SIZE)
        for turn in range(1, 5):
            due = turn * delay
            if due >= end or not self.hedger.allow(KEY, SIZE, cost=0, elapsed_s=due, sent=turn - 1):
                break
            self.hedges += 1
            starts.append(due)
            took.append(self.draw())
            end = min(end, due + took[-1])
        for start, seconds in zip(starts, took, strict=True):
            self.hedger.record(KEY, SIZE, min(seconds, end - start), censored=start + seconds > end)
        return end

    def begin(self, *, now: float = 0.0) -> None:
        self.calls += 1
        self.hedger.began(KEY, SIZE, now=now)

    @property
    def extra(self) -> float:
        return self.hedges / self.calls


def mixture(rng: random.Random, *, slow: float, times: float, median_s: float = 0.5, sigma: float = 0.2) -> Draw:
    """Draws from a lognormal of which the share `slow` takes so many times as long."""

    def draw() -> float:
        return median_s * math.exp(rng.gauss(0.0, sigma)) * (times if rng.random() < slow else 1.0)

    return draw


def quantile(samples: list[float], share: float) -> float:
    return sorted(samples)[math.ceil(share * len(samples)) - 1]


@pytest.mark.parametrize("seed", range(5))
def test_five_percent_slow_calls_no_longer_make_the_tail(seed: int) -> None:
    """5 % of the calls take ten times as long: p99 falls by 60 % or more, for 5 % more requests at most."""
    world = World(Hedging(share=0.05), mixture(random.Random(seed), slow=0.05, times=10), seed=seed)
    took = [world.call() for _ in range(20_000)]
    before, after = quantile(world.plain, 0.99), quantile(took, 0.99)
    assert after <= 0.4 * before
    assert world.extra <= 0.05


@pytest.mark.parametrize("seed", range(3))
def test_the_tail_at_scale(seed: int) -> None:
    """Fan-out over 100 calls of which 1 % take 1 s instead of 10 ms: p99.9 falls to a tenth, for 3 % more requests."""
    rng = random.Random(seed)
    fast = mixture(rng, slow=0.0, times=1, median_s=0.01)
    world = World(Hedging(share=0.03, most=2), lambda: 1.0 if rng.random() < 0.01 else fast(), seed=seed)

    def fan_out() -> float:
        for _ in range(100):
            world.begin()
        return max(world.call(began=True) for _ in range(100))

    for _ in range(20):
        fan_out()
    world.plain.clear()
    took = [fan_out() for _ in range(2_000)]
    plain = [max(world.plain[at : at + 100]) for at in range(0, len(world.plain), 100)]
    before, after = quantile(plain, 0.999), quantile(took, 0.999)
    assert after <= before / 10
    assert world.extra <= 0.03


def test_when_everything_is_slow_the_budget_holds() -> None:
    """From one call on all take ten times as long: hedges stay within their share, then and overall."""
    rng = random.Random(3)
    times = 1.0
    world = World(Hedging(share=0.05), lambda: times * 0.5 * math.exp(rng.gauss(0.0, 0.2)))
    for _ in range(5_000):
        world.call()
    before, times = world.hedges, 10.0
    for _ in range(5_000):
        world.call()
    assert world.extra <= 0.05
    assert world.hedges - before <= 0.05 * 5_000 + 50, "what was saved up is a thousand calls' share"


@pytest.mark.parametrize("seed", range(3))
def test_one_mode_is_not_made_worse(seed: int) -> None:
    """Where nothing is slow but by chance, p99 gets no longer and the share holds."""
    world = World(Hedging(share=0.05), mixture(random.Random(seed), slow=0.0, times=1, sigma=0.5), seed=seed)
    took = [world.call() for _ in range(20_000)]
    before, after = quantile(world.plain, 0.99), quantile(took, 0.99)
    assert after <= before
    assert world.extra <= 0.05


steps = st.lists(st.sampled_from(["call", "ask", "again", "slow", "lost"]), max_size=300)


@given(steps, st.floats(0.01, 1.0), st.integers(1, 4), st.randoms(use_true_random=False))
def test_hedges_are_never_more_than_their_share(
    history: list[str], share: float, most: int, rng: random.Random
) -> None:
    """After any history the hedges are at most `share` of the calls, and of one call at most `most`."""
    hedger = Hedger(Hedging(share=share, most=most), rng=rng)
    calls = hedges = 0
    for step in history:
        if step == "call":
            calls += 1
            hedger.began(KEY, SIZE, now=float(calls))
        elif step in ("ask", "again"):
            sent = 0 if step == "ask" else rng.randrange(5)
            allowed = hedger.allow(KEY, SIZE, cost=1, elapsed_s=1.0, sent=sent)
            hedges += allowed
            assert not allowed or sent < most
        else:
            hedger.record(KEY, SIZE, rng.expovariate(1.0), censored=step == "lost")
        assert hedges <= share * calls + 1e-9


def test_idle_time_and_quiet_runs_save_up_no_more_than_a_thousand_calls_share() -> None:
    """After 100,000 calls without a hedge, 50 may go out at once where the share is 5 %, and no more."""
    hedger = Hedger(Hedging(share=0.05), rng=random.Random(0))
    for at in range(100_000):
        hedger.began(KEY, SIZE, now=float(at))
    sent = [hedger.allow(KEY, SIZE, cost=0, elapsed_s=9.0, sent=0) for _ in range(200)]
    assert sum(sent) == 50


def test_until_enough_was_observed_the_configured_delay_holds() -> None:
    """The delay is `initial_s` for 29 samples, for each model and size class apart, and follows them then."""
    hedger = Hedger(Hedging(initial_s=7.0), rng=random.Random(0))
    for _ in range(29):
        hedger.record(KEY, SIZE, 0.5)
        assert hedger.delay_s(KEY, SIZE) == 7.0
    hedger.record(KEY, SIZE, 0.5)
    assert hedger.delay_s(KEY, SIZE) == pytest.approx(0.5, rel=0.06)
    assert hedger.delay_s(KEY, "9/9") == hedger.delay_s("a/other", SIZE) == 7.0


def test_the_delay_stands_between_the_modes() -> None:
    """Of calls that take 1 s, and 10 s in 8 % of the cases, p95 is 10 s: the delay is a little more than 1 s."""
    hedger = Hedger(Hedging(share=0.05, quantile=0.95), rng=random.Random(0))
    rng = random.Random(1)
    for _ in range(2_000):
        hedger.record(KEY, SIZE, 10.0 if rng.random() < 0.08 else 1.0)
    assert hedger.delay_s(KEY, SIZE) == pytest.approx(1.0, rel=0.06)


def test_where_hedging_gains_nothing_the_configured_quantile_is_used() -> None:
    """Calls that all take the same are late after the configured quantile of them."""
    hedger = Hedger(Hedging(quantile=0.9), rng=random.Random(0))
    for _ in range(500):
        hedger.record(KEY, SIZE, 2.0)
    assert hedger.delay_s(KEY, SIZE) == pytest.approx(2.0, rel=0.06)


def saving(worth: float | None, *, cost: int, samples: int = 500) -> bool:
    """Whether a call that has taken 2 s is hedged: 10 % of the calls take 10 s, all others 1 s."""
    hedger = Hedger(Hedging(share=1.0, worth=worth), rng=random.Random(0))
    hedger.began(KEY, SIZE, now=0.0)
    for at in range(samples):
        hedger.record(KEY, SIZE, 10.0 if at % 10 == 0 else 1.0)
    return hedger.allow(KEY, SIZE, cost=cost, elapsed_s=2.0, sent=0)


def test_a_hedge_is_sent_only_where_it_is_worth_its_price() -> None:
    """8 s are left, a new request takes 1.9 s in the mean: at 1 cent a second up to 6 cents may be spent."""
    cent = PICO // 100
    assert saving(0.01, cost=int(5.5 * cent))
    assert not saving(0.01, cost=int(6.5 * cent))
    assert not saving(0.01, cost=-1), "nobody knows what it costs"
    assert saving(None, cost=-1), "price is no matter"
    assert saving(0.01, cost=int(1.9 * cent), samples=0), "unknown: it will take as long again"
    assert not saving(0.01, cost=int(2.1 * cent), samples=0)


def test_what_is_remembered_is_bounded() -> None:
    """Of a thousand classes of calls the 512 that were called last are known."""
    hedger = Hedger(Hedging(), rng=random.Random(0))
    for at in range(1_000):
        hedger.began(f"a/{at}", SIZE, now=float(at))
    assert [key for key, _ in hedger._classes] == [f"a/{at}" for at in range(488, 1_000)]


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_size_classes_grow_by_fours(tokens: int, max_tokens: int) -> None:
    """Sizes of one class differ by a factor of four at most, up to the largest class; more is never a lower class."""
    prompt, answer = (int(part) for part in size_class(tokens, max_tokens).split("/"))
    assert prompt == 12 or tokens < 4 * max(1, 4**prompt // 2)
    assert (prompt, answer) <= tuple(int(part) for part in size_class(4 * tokens, max_tokens).split("/"))


def naive_survival(samples: list[tuple[float, bool]], at: float) -> float:
    """The product-limit estimate, sample by sample."""
    share, exposed = 1.0, len(samples)
    for seconds, censored in sorted(samples):
        if seconds > at:
            break
        if not censored:
            share *= 1 - 1 / exposed
        exposed -= 1
    return share


@given(st.lists(st.tuples(st.floats(1e-3, 100.0), st.booleans()), min_size=1, max_size=80))
def test_the_tail_is_the_product_limit(samples: list[tuple[float, bool]]) -> None:
    """At the end of each bucket the share that takes longer is what Kaplan and Meier give, by a naive reference."""
    tail = Tail()
    for seconds, censored in samples:
        tail.add(seconds, censored=censored)
    tail.fit()
    ends = [1e-4 * 1.05**at for at in range(361)]
    # In one bucket answered calls are counted before the cancelled ones.
    rounded = [(min(end for end in ends if end >= seconds * 0.999999), cut) for seconds, cut in samples]
    longest = max(seconds for seconds, _ in rounded)
    found = [tail.longer(end * 1.01) for end in ends]
    assert all(one >= other for one, other in pairwise(found))
    for end, share in zip(ends, found, strict=True):
        if end < longest:
            assert share == pytest.approx(naive_survival(rounded, end), abs=1e-9)
    assert tail.longer(longest * 1.06) == 0.0


def test_cancelled_calls_do_not_hide_that_some_are_slow() -> None:
    """5 % of the calls are slow; nine in ten of them are cancelled early, and still 5 % are known to be."""
    tail, rng = Tail(), random.Random(5)
    for _ in range(20_000):
        if rng.random() < 0.05:
            lost = rng.random() < 0.9
            tail.add(2.0 if lost else 10.0, censored=lost)
        else:
            tail.add(1.0)
    tail.fit()
    assert tail.longer(3.0) == pytest.approx(0.05, abs=0.015)
    assert tail.quantile(0.99) == pytest.approx(10.0, rel=0.06)
    assert tail.rest_s(3.0) == pytest.approx(7.0, rel=0.1)


@given(st.lists(st.tuples(st.floats(0.0, 1e9), st.booleans()), min_size=1, max_size=60), st.floats(0.0, 1e9))
def test_any_time_can_be_recorded_and_asked_for(samples: list[tuple[float, bool]], at: float) -> None:
    """From nothing to forever: every answer is finite and none is negative."""
    tail = Tail()
    for seconds, censored in samples:
        tail.add(seconds, censored=censored)
    tail.fit()
    assert 0.0 <= tail.longer(at) <= 1.0
    assert 0.0 <= tail.rest_s(at) < 5_000
    delay, chance = tail.best(0.05)
    assert 0.0 <= delay < 5_000
    assert 0.0 <= chance <= 1.0


def test_follows_a_provider_that_becomes_fast_again() -> None:
    """After some thousand calls nothing is left of a slow past, in flat memory."""
    tail = Tail()
    for seconds in [30.0] * 5_000 + [0.2] * 20_000:
        tail.add(seconds)
    tail.fit()
    assert tail.quantile(0.999) == pytest.approx(0.2, rel=0.06)
    assert len(tail._answered) == 361


@given(
    st.lists(st.floats(0.05, 0.09), min_size=100, max_size=150),
    st.lists(st.floats(2.0, 4.0), max_size=8),
)
def test_the_knee_is_the_end_of_the_fast_ones(fast: list[float], slow: list[float]) -> None:
    """Between stragglers and the rest the knee is where the rest ends; without stragglers there is none."""
    tail = Tail()
    for seconds in fast + slow:
        tail.add(seconds)
    tail.fit()
    knee = tail.knee(0.001)
    if len(slow) >= 0.01 * (len(fast) + len(slow)):
        late = [seconds for seconds in fast + slow if seconds > knee]
        assert 0.0 < knee <= max(fast) * 1.06
        assert len(slow) >= 0.7 * len(late), "most of those that are late then are stragglers"
    assert tail.knee(5.0) == 0.0


def test_a_crowd_that_is_late_together_is_waited_for() -> None:
    """When a quarter of all that is out is late at once nothing is hedged, until a call has taken four delays."""
    hedger = Hedger(Hedging(), rng=random.Random(1))
    hedger.out, hedger.late = 100, 26
    assert hedger.crowded(0.1, 0.1)
    assert not hedger.crowded(0.41, 0.1)
    hedger.late = 25
    assert not hedger.crowded(0.1, 0.1)
    hedger.out, hedger.late = 9, 8
    assert not hedger.crowded(0.1, 0.1), "eight are no crowd, however few are out"
