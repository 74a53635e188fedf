"""Limits that nobody wrote down: told by headers, or found by trial."""

import random
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lease_world import GUARD_S, WINDOW_S, Answer, World, account

from understudy.actors.provider.core import ProviderCore
from understudy.actors.provider.learning import (
    BURST,
    BURST_SHARE,
    CUT,
    FORGET,
    RECENT,
    Learner,
    ToldQuota,
    Trial,
    others,
)
from understudy.actors.provider.limiter import UNLIMITED, Limiter, Others, Quota
from understudy.actors.provider.testing import worst_window
from understudy.protocols.config import Limits
from understudy.protocols.messages import LeaseAsk, Outcome, Spent
from understudy.protocols.wire.codec import LimitsTold


def spent(outcome: Outcome, age_s: float = 0.1) -> Spent:
    return Spent(age_s, age_s, 10, 10, outcome)


def core(limits: Limits) -> ProviderCore:
    return ProviderCore("a", account(limits), epoch=1, now=0.0)


def told(core: ProviderCore, number: int, told: LimitsTold, now: float) -> None:
    core.ask("h", LeaseAsk(number, 1, told=told), cause="", now=now)


# Told by headers ------------------------------------------------------------------------------------------------------

numbers = st.integers(-1, 300)
words = st.builds(LimitsTold, numbers, numbers, st.floats(-1, 90), numbers, numbers, st.floats(-1, 90))


@settings(max_examples=200)
@given(
    st.builds(Limits, rpm=st.none() | st.integers(1, 200), tpm=st.none() | st.integers(1, 200), learn=st.booleans()),
    st.lists(st.tuples(st.floats(0, 5), words), max_size=12),
)
def test_told_limits_are_never_above_what_is_configured(limits: Limits, steps: list[tuple[float, LimitsTold]]) -> None:
    """The quota is the smaller of the two, never 0; without leave to learn it is what is configured."""
    provider, now = core(limits), 0.0
    for number, (gap, word) in enumerate(steps, 1):
        now += gap
        told(provider, number, word, now)
        quota, own = provider.limiter.quota, Quota.of(limits)
        provider.limiter.validate()
        assert 1 <= quota.requests <= own.requests
        assert 1 <= quota.tokens <= own.tokens
        if not limits.learn:
            assert quota == own
            assert provider.limiter.other_requests == provider.limiter.other_tokens == Others()
    now += 90.0
    provider.limiter.expire(now=now)  # nothing is lost for good
    room = provider.limiter.room(now=now)
    assert (room.requests, room.tokens) == (provider.limiter.quota.requests, provider.limiter.quota.tokens)


def test_the_smallest_of_several_told_limits_counts_while_it_is_told() -> None:
    """Two models of one key tell quotas of their own; one that is told no more is forgotten after two windows."""
    quota = ToldQuota(60.0)
    quota.hear(500, now=0.0)
    quota.hear(100, now=1.0)
    quota.hear(500, now=2.0)
    assert quota.value == 100
    quota.hear(500, now=122.0)
    assert quota.value == 500
    quota.hear(0, now=123.0)
    quota.hear(-1, now=999.0)
    assert quota.value == 500


def test_what_is_left_shrinks_the_room_until_the_reset() -> None:
    """Somebody else uses the key: what the provider says is gone and we did not use counts until the quota's reset."""
    provider = core(Limits(rpm=100))
    told(provider, 1, LimitsTold(requests=100, requests_left=30, requests_reset_s=4.0), now=1.0)
    assert provider.limiter.room(now=2.0).requests == 30
    assert provider.snapshot(now=2.0).others_requests == 70
    assert provider.limiter.next_change() == pytest.approx(5.0)
    assert provider.limiter.room(now=5.0).requests == 100


def test_a_later_word_replaces_what_was_presumed() -> None:
    """What others use is what the last reply showed, more or less than before."""
    provider = core(Limits(rpm=100))
    for number, left in enumerate((30, 10, 60, 100), 1):
        told(provider, number, LimitsTold(requests_left=left), now=1.0)
        assert provider.limiter.room(now=1.0).requests == left


@given(st.integers(0, 1000), st.integers(-1, 1000), st.integers(1, 1000), st.floats(-1, 500))
def test_what_others_use_is_presumed_for_a_window_at_most(free: int, left: int, limit: int, reset_s: float) -> None:
    """It is no more than what is missing, nothing for small differences, and ends by the reset."""
    found = others(free=free, left=left, limit=limit, reset_s=reset_s, window_s=60.0, now=7.0)
    if found.amount:
        assert found.amount == free - left > 1
        assert found.until == 7.0 + (60.0 if reset_s < 0 else min(reset_s, 60.0))
    else:
        assert left < 0 or free - left <= 0.02 * limit + 1


def test_own_use_is_not_taken_for_somebody_elses() -> None:
    """A provider whose quota only we use never makes the room smaller than our own count does."""
    window, sent = WINDOW_S, deque[float]()

    def serve(now: float) -> Answer:
        sent.append(now)
        while sent[0] <= now - window:
            sent.popleft()
        return Answer(0.05, told=LimitsTold(requests=120, requests_left=120 - len(sent), requests_reset_s=window))

    world = World(account(Limits()), "ab", serve, 1)
    for holder in world.holders.values():
        holder.want([10] * 60)
    world.run(WINDOW_S)
    before = len(world.arrived)
    for holder in world.holders.values():
        holder.want([10] * 2000)
    world.run(WINDOW_S * 10)
    assert world.core.limiter.quota.requests == 120
    assert len(world.arrived) - before >= 0.9 * 120 * 9
    assert worst_window([(at, 1) for at, _ in world.arrived], WINDOW_S) <= 240, "the first burst came before the word"
    late = [(at, 1) for at, _ in world.arrived if at > 1000.0 + 2 * WINDOW_S]
    assert worst_window(late, WINDOW_S) <= 120


def test_a_limit_that_becomes_known_counts_what_is_out() -> None:
    """From unlimited to a told limit: what was used and is leased by then is part of it."""
    provider = core(Limits())
    provider.ask("h", LeaseAsk(1, 1, sizes=(10,) * 50, slots=50), cause="", now=0.0)
    provider.ask("h", LeaseAsk(2, 1, spent=tuple(spent("ok") for _ in range(20))), cause="", now=0.2)
    told(provider, 3, LimitsTold(requests=60), now=0.2)
    assert provider.limiter.room(now=0.2).requests == 10
    told(provider, 4, LimitsTold(requests=40), now=0.2)
    assert provider.limiter.room(now=0.2).requests == 0
    provider.limiter.validate()


# By trial -------------------------------------------------------------------------------------------------------------


def burst(trial: Trial, now: float, count: int = RECENT) -> None:
    for _ in range(count):
        trial.ended(spent("rate_limited"), now=now)


def test_unlimited_until_the_first_burst() -> None:
    """Before it there is no quota; then it is what was accepted, also what turns out later to have been."""
    trial = Trial(60.0)
    for _ in range(30):
        trial.ended(spent("ok"), now=1.0)
    assert trial.value == UNLIMITED
    for refused in range(1, 1 + 30 // 3):
        assert trial.value == UNLIMITED, "a few refusals are no burst"
        trial.ended(spent("rate_limited"), now=2.0)
        if refused >= RECENT * BURST_SHARE:
            break
    assert trial.value == 30
    for _ in range(12):  # they were sent before the refusal came
        trial.ended(spent("ok", 2.0), now=3.0)
    assert trial.value == 42


def test_a_burst_of_refusals_cuts_once() -> None:
    """Refusals of one burst count once; one in a later window cuts again; it never falls to nothing."""
    trial, now = Trial(60.0), 1.0
    for _ in range(100):
        trial.ended(spent("ok"), now=now)
    burst(trial, now, 200)
    assert trial.value == 100
    for number in range(1, 30):
        now += 61.0
        trial.ended(spent("ok"), now=now)
        burst(trial, now)
        if number == 1:
            assert trial.value == int(100 * CUT)
    assert trial.value == 1


def test_refusals_at_random_are_no_quota() -> None:
    """An account that refuses some calls whatever the load is not slowed down for it."""
    trial, rng = Trial(60.0), random.Random(1)
    for number in range(20_000):
        trial.ended(spent("rate_limited" if rng.random() < 0.03 else "ok"), now=number * 0.02)
    assert trial.value == UNLIMITED


def test_an_outage_of_refusals_is_no_quota() -> None:
    """While nothing at all is accepted, however long, nothing is cut; where nothing ever was, nothing is learned."""
    trial, now = Trial(60.0), 1.0
    burst(trial, now)
    assert trial.value == UNLIMITED
    for _ in range(100):
        trial.ended(spent("ok"), now=now)
    burst(trial, now)
    assert trial.value == 100
    for _ in range(20):
        now += 61.0
        burst(trial, now)
    assert trial.value == 100


def test_grows_only_while_it_is_used_and_not_refused() -> None:
    """Each window that used it without a refusal adds: much before the first cut, then a step; an hour forgets it."""
    trial = Trial(60.0)
    for _ in range(100):
        trial.ended(spent("ok"), now=1.0)
    burst(trial, 1.0)
    trial.look(now=70.0)
    assert trial.value == 100, "what was accepted has left the window: it was not used"
    for _ in range(90):
        trial.ended(spent("ok"), now=100.0)
    trial.look(now=129.9)
    assert trial.value == 100, "no window has passed"
    trial.look(now=130.0)
    assert trial.value == 150
    burst(trial, 150.0)
    assert trial.value == 105
    for _ in range(90):
        trial.ended(spent("ok"), now=200.0)
    trial.look(now=210.5)
    assert trial.value == 105 + 5
    trial.look(now=151.0 + FORGET * 60.0)
    assert trial.value == UNLIMITED


def test_nothing_is_tried_where_something_is_known() -> None:
    """A configured or told quota is not cut by refusals, and neither is any without leave to learn."""
    for limits in (Limits(rpm=50), Limits(tpm=50), Limits(learn=False)):
        learner = Learner(limits)
        learner.ended(spent("ok"), now=1.0)
        for _ in range(9):
            learner.ended(spent("rate_limited"), now=1.0)
        assert learner.quota == Quota.of(limits)
    learner = Learner(Limits(concurrency=3))
    learner.ended(spent("ok"), now=1.0)
    for _ in range(BURST):
        learner.ended(spent("rate_limited"), now=1.0)
    assert learner.quota == Quota(requests=1, slots=3)
    learner.told(LimitsTold(requests=70), Limiter(Limits(), ttl_s=1.0), now=2.0)
    assert learner.quota == Quota(requests=70, slots=3)


@settings(max_examples=15)
@given(st.integers(20, 200), st.integers(0, 1 << 20))
def test_a_hidden_quota_is_found(hidden: int, seed: int) -> None:
    """Against an account that hides its quota most of it is used, and few calls are refused, after the first minute."""
    rng, accepted = random.Random(seed), deque[float]()
    refused: list[float] = []

    def serve(now: float) -> Answer:
        while accepted and accepted[0] <= now - WINDOW_S:
            accepted.popleft()
        if len(accepted) >= hidden:
            refused.append(now)
            return Answer(0.02, "rate_limited")
        accepted.append(now)
        return Answer(rng.uniform(0.05, 0.3))

    world = World(account(Limits()), "abc", serve, seed)
    for holder in world.holders.values():
        holder.want([10] * 60 * hidden)
    start = 1000.0 + 2 * WINDOW_S
    world.run(2 * WINDOW_S)
    before = sum(holder.served for holder in world.holders.values())
    world.run(20 * WINDOW_S)
    served = sum(holder.served for holder in world.holders.values()) - before
    late = [at for at in refused if at > start]
    assert served >= 0.65 * 20 * hidden
    assert len(late) <= 0.1 * served
    world.core.limiter.validate()


# Changed limits -------------------------------------------------------------------------------------------------------

changes = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.1, 0.6, 3.0]),
        st.sampled_from(["retune", "grant", "grant", "grant", "settle", "back", "others"]),
        st.sampled_from([1, 3, 10, UNLIMITED]),
        st.sampled_from([20, 100, UNLIMITED]),
        st.sampled_from([1, 4, UNLIMITED]),
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(changes)
def test_a_limiter_grants_within_the_quota_of_the_moment(steps: list[tuple[float, str, int, int, int]]) -> None:
    """After any changes a grant fits what the quota leaves beside all that is used and out; nothing is taken away."""
    limiter, now = Limiter(Limits(window_s=WINDOW_S, guard_s=GUARD_S), ttl_s=0.5, call_s=2.0), 0.0
    for gap, what, requests, tokens, slots in steps:
        now += gap
        out = (limiter.leased_requests, limiter.leased_tokens)
        if what == "retune":
            limiter.retune(Quota(requests, tokens, slots), now=now)
            assert (limiter.leased_requests, limiter.leased_tokens) == out, "what is leased stays leased"
        elif what == "grant":
            block = limiter.grant("h", (7,) * 5, now=now)
            if block.requests:
                assert limiter.requests.used + limiter.leased_requests <= limiter.quota.requests
                assert limiter.tokens.used + limiter.leased_tokens <= limiter.quota.tokens
                assert limiter.leased_slots <= limiter.quota.slots
        elif what == "settle":
            limiter.settle("h", Spent(0.1, 0.1, 7, 7, "ok"), now=now)
        elif what == "back":
            limiter.give_back("h", requests=1, tokens=7, slots=1)
        else:
            limiter.presume(requests=Others(requests % 100, now + 1.0), tokens=Others(tokens % 100, now + 2.0))
        limiter.validate()
        assert -1.0 <= limiter.free <= 1.0
    now += 20.0
    limiter.expire(now=now)
    assert limiter.room(now=now).requests == limiter.quota.requests


def test_a_limit_of_concurrency_waits_for_calls_that_were_let_go_without() -> None:
    """From unlimited to limited slots: calls whose slots nobody counted may be out for as long as a call may take."""
    limiter = Limiter(Limits(window_s=WINDOW_S, guard_s=GUARD_S), ttl_s=0.5, call_s=5.0)
    limiter.grant("h", (1,), now=1.0)
    limiter.retune(Quota(slots=3), now=2.0)
    assert limiter.grant("h", (1,), now=6.4).requests == 0
    assert limiter.next_change() is not None
    assert limiter.grant("h", (1,) * 5, now=6.6).slots == 3
    idle = Limiter(Limits(), ttl_s=0.5, call_s=5.0)
    idle.retune(Quota(slots=3), now=2.0)
    assert idle.grant("h", (1,) * 5, now=2.0).slots == 3


def test_what_a_predecessor_may_have_used_grows_with_the_quota() -> None:
    """A quota that is raised just after a restart is presumed used, too: the predecessor may have had it."""
    limiter = Limiter(Limits(rpm=10, window_s=WINDOW_S, guard_s=GUARD_S), ttl_s=0.5)
    limiter.fill(now=0.0)
    limiter.retune(Quota(requests=25), now=1.0)
    assert limiter.room(now=6.6).requests == 0
    assert limiter.room(now=6.7).requests == 25
