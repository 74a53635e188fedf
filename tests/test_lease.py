"""The holder's side of a lease, alone: what it spends, what it says, and when."""

import pytest

from understudy.actors.channel.lease import ASK_AGAIN_S, ASK_MOST, SETTLE_COUNT, SETTLE_S, Lease, Permit
from understudy.actors.channel.news import TELL_S
from understudy.actors.provider.fairness import FULL_ASK
from understudy.protocols.messages import LeaseAsk, LeaseGrant, Revoke
from understudy.protocols.wire.codec import LimitsTold


def said(lease: Lease, sizes: list[int], now: float) -> LeaseAsk:
    ask = lease.ask(sizes, len(sizes), now=now)
    assert ask is not None
    return ask


def leased(requests: int = 5, tokens: int = 50, *, slots: int = -1, probe: bool = False, ttl_s: float = 3.0) -> Lease:
    """A lease that asked at 0 and was granted at 0.1."""
    lease = Lease()
    ask = said(lease, [10] * 5, 0.0)
    grant = LeaseGrant(1, ask.number, requests=requests, tokens=tokens, slots=slots, ttl_s=ttl_s, probe=probe)
    lease.granted(grant, now=0.1)
    return lease


def taken(lease: Lease, size: int = 10, *, now: float = 0.2) -> Permit:
    permit = lease.take(size, now=now)
    assert permit is not None
    return permit


def end(lease: Lease, permit: Permit, *, now: float) -> None:
    lease.end(permit, tokens=7, outcome="ok", cost=3, output=2, now=now)


def test_spends_no_more_than_it_has() -> None:
    """Requests, tokens and slots each bound what is taken."""
    assert sum(leased(3).take(10, now=0.2) is not None for _ in range(1)) == 1
    by_requests, by_tokens, by_slots = leased(3, 100), leased(5, 25), leased(5, 50, slots=2)
    for lease, most in ((by_requests, 3), (by_tokens, 2), (by_slots, 2)):
        assert sum(lease.take(10, now=0.2) is not None for _ in range(9)) == most


def test_a_lease_ends_as_long_after_the_ask_as_was_granted() -> None:
    """Nothing is spent `ttl_s + held_s` after the ask was sent; what is left goes back."""
    lease = Lease()
    ask = said(lease, [10, 10], 0.0)
    lease.granted(LeaseGrant(1, ask.number, requests=2, tokens=20, ttl_s=3.0, held_s=1.0), now=1.5)
    assert lease.take(10, now=3.999) is not None
    assert lease.take(10, now=4.0) is None
    back = said(lease, [], 4.0)
    assert (back.back_requests, back.back_tokens) == (1, 10)


def test_an_expired_permit_does_not_revive_by_a_new_grant() -> None:
    """What ended before a new grant came goes back, though nobody looked in between."""
    lease = leased(5, 50)
    first = said(lease, [60], 2.9)
    lease.granted(LeaseGrant(1, first.number, requests=1, tokens=10, ttl_s=3.0), now=3.3)
    assert (lease.requests, lease.tokens) == (1, 10)


def test_settles_in_company() -> None:
    """What was spent is told after so many calls or so long, with its age and its length; and only once."""
    lease = leased()
    permit = taken(lease)
    end(lease, permit, now=0.7)
    assert lease.ask([], 0, now=0.71) is None
    assert lease.next_wake(now=0.71) == pytest.approx(0.7 + SETTLE_S)
    ask = said(lease, [], 0.7 + SETTLE_S)
    [spent] = ask.spent
    assert [spent.age_s, spent.took_s] == pytest.approx([0.5 + SETTLE_S, 0.5])
    assert (spent.reserved, spent.tokens, spent.cost, spent.output, spent.outcome) == (10, 7, 3, 2, "ok")
    assert lease.ask([], 0, now=1.0) is None
    many = leased(SETTLE_COUNT, 10 * SETTLE_COUNT)
    for _ in range(SETTLE_COUNT):
        end(many, taken(many), now=0.3)
    assert len(said(many, [], 0.3).spent) == SETTLE_COUNT


def test_one_open_ask_unless_many_more_wait() -> None:
    """It asks again when twice as many calls wait, when it is answered, and when the answer is overdue."""
    lease = Lease()
    assert said(lease, [10] * 4, 0.0).sizes == (10,) * 4
    assert lease.ask([10] * 7, 7, now=0.01) is None
    assert len(said(lease, [10] * 8, 0.02).sizes) == 8
    assert lease.ask([10] * 9, 9, now=ASK_AGAIN_S) is None
    again = said(lease, [10] * 9, 0.02 + ASK_AGAIN_S)
    lease.granted(LeaseGrant(1, again.number, requests=1, tokens=10, ttl_s=3.0), now=6.0)
    assert len(said(lease, [10] * 500, 6.1).sizes) == ASK_MOST


def test_an_overdue_ask_of_nobody_wakes_once() -> None:
    """When nobody waits any more, an ask without an answer is forgotten and needs no more waking."""
    lease = Lease()
    said(lease, [10], 0.0)
    wake = lease.next_wake(now=0.1)
    assert wake == pytest.approx(ASK_AGAIN_S)
    assert lease.ask([], 0, now=ASK_AGAIN_S) is None
    assert lease.next_wake(now=ASK_AGAIN_S) is None


def test_a_grant_that_comes_twice_counts_once() -> None:
    """Permits of a grant for an ask that is answered, or was never sent, are not taken."""
    lease = Lease()
    ask = said(lease, [10], 0.0)
    grant = LeaseGrant(1, ask.number, requests=1, tokens=10, slots=1, ttl_s=3.0)
    for _ in range(3):
        lease.granted(grant, now=0.1)
    assert (lease.requests, lease.tokens, lease.slots) == (1, 10, 1)
    lease.granted(LeaseGrant(1, 99, requests=9, tokens=90, slots=9, ttl_s=3.0), now=0.1)
    assert (lease.requests, lease.slots) == (1, 1)


def test_a_superseded_ask_that_is_answered_late_still_counts() -> None:
    """An older ask's grant is taken with its own age, and leaves the newer ask open."""
    lease = Lease()
    old, new = said(lease, [10], 0.0), said(lease, [10] * 2, 1.0)
    lease.granted(LeaseGrant(1, old.number, requests=1, tokens=10, ttl_s=3.0), now=1.5)
    assert lease.requests == 1
    assert lease.ask([10] * 2, 2, now=1.5) is None, "the newer ask is open"
    lease.granted(LeaseGrant(1, new.number, requests=1, tokens=10, ttl_s=3.0), now=1.6)
    assert lease.take(10, now=3.9) is not None, "it ends with the later grant"


def test_nothing_is_taken_while_blocked() -> None:
    """Retry-After holds against a grant that was under way and against a shorter word from the Provider."""
    lease = leased()
    lease.told_to_wait(5.0, now=0.5)
    told = said(lease, [], 0.5)
    assert (told.retry_after_s, told.back_requests) == (5.0, 5)
    assert lease.ask([10], 1, now=0.6) is None
    lease.revoked(Revoke(1, 0.1), now=0.6)
    assert lease.take(10, now=5.4) is None
    asked = said(lease, [10], 5.6)
    lease.granted(LeaseGrant(1, asked.number, requests=1, tokens=10, ttl_s=3.0), now=5.7)
    assert lease.take(10, now=5.8) is not None


def test_a_grant_that_was_under_way_goes_back() -> None:
    """Permits that come in while nobody may call are given back at once."""
    lease = Lease()
    ask = said(lease, [10], 0.0)
    lease.revoked(Revoke(0, 5.0), now=0.05)
    lease.granted(LeaseGrant(1, ask.number, requests=1, tokens=10, slots=1, ttl_s=3.0), now=0.1)
    back = said(lease, [], 0.1)
    assert (back.back_requests, back.back_tokens, back.back_slots) == (1, 10, 1)


def test_slots_without_a_permit_go_back_when_others_may_need_them() -> None:
    """Freed slots are given back while an ask waits, and when the holder is idle; permits keep theirs."""
    lease = leased(2, 20, slots=2)
    permits = [taken(lease), taken(lease)]
    assert said(lease, [10], 0.3).slots == 1
    end(lease, permits[0], now=0.4)
    assert lease.ask([10], 1, now=0.401) is None
    wake = lease.next_wake(now=0.401)
    assert wake is not None
    assert wake == pytest.approx(0.402)
    freed = said(lease, [10], wake)
    assert (freed.back_slots, freed.sizes) == (1, ())
    end(lease, permits[1], now=0.5)
    assert said(lease, [], 0.6).back_slots == 1


def test_a_new_epoch_voids_what_the_old_one_gave() -> None:
    """Permits, slots and debts of a Provider that died are void; calls that are out are told as stale."""
    lease = leased(3, 30, slots=3)
    permit = taken(lease)
    lease.provider_down()
    ask = said(lease, [10], 0.5)
    lease.granted(LeaseGrant(2, ask.number, requests=1, tokens=10, slots=1, ttl_s=3.0), now=0.6)
    assert (lease.requests, lease.slots) == (1, 1)
    end(lease, permit, now=0.7)
    assert lease.slots == 1, "the old slot is unknown to the new Provider"
    [spent] = said(lease, [], 0.9).spent
    assert spent.stale
    lease.granted(LeaseGrant(1, 1, requests=9, tokens=90, ttl_s=3.0), now=1.0)
    assert (lease.epoch, lease.requests) == (2, 1), "a late word of the old one is not heard"


def test_a_probe_is_told_at_once_and_given_back_by_name() -> None:
    """The first permit after a probe's grant is the probe; its end is urgent, and so is its return."""
    lease = leased(1, 10, probe=True)
    permit = taken(lease)
    assert permit.probe
    end(lease, permit, now=0.3)
    assert [spent.probe for spent in said(lease, [], 0.3).spent] == [True]
    unspent = leased(1, 10, probe=True)
    assert said(unspent, [], 3.1).back_probe
    unused = leased(1, 10, probe=True)
    unused.unused(taken(unused), now=0.3)
    back = said(unused, [], 0.3)
    assert (back.back_probe, back.back_requests, back.back_tokens) == (True, 1, 10)


def test_asks_ahead_when_it_spends_fast() -> None:
    """Above a hundred calls a second permits are asked for before they are needed; a slow holder never does."""
    lease = leased(1000, 100_000)
    now = 0.2
    for _ in range(100):
        now += 0.002
        end(lease, taken(lease, 1, now=now), now=now)
        lease.ask([], 0, now=now)
    lease.requests = 0
    ask = said(lease, [10], now + 0.001)
    assert ask.ahead > 10
    assert ask.ahead_size >= 1
    assert said(Lease(), [10], 0.0).ahead == 0


def test_every_ask_says_whose_it_is() -> None:
    """Share, tenant, their weights and urgency go with each ask."""
    lease = Lease(share="job", tenant="team", tenant_weight=2.0, weight=3.0, interactive=True)
    for now in (0.0, ASK_AGAIN_S):
        ask = said(lease, [10], now)
        assert (ask.share, ask.tenant, ask.tenant_weight, ask.weight, ask.interactive) == (
            "job",
            "team",
            2.0,
            3.0,
            True,
        )


def test_a_full_ask_is_the_longest_there_is() -> None:
    """The Provider takes an ask of that length for one that had to leave calls out."""
    assert FULL_ASK == ASK_MOST


def test_what_headers_say_goes_with_the_next_ask() -> None:
    """The newest word is told once, with what is said anyway: no message a call."""
    lease = leased(5, 50)
    for left in (9, 8, 7):
        permit = taken(lease)
        lease.tell(LimitsTold(requests=10, requests_left=left), now=0.3)
        end(lease, permit, now=0.3)
    assert lease.ask([], 0, now=0.35) is None
    assert said(lease, [], 0.3 + SETTLE_S).told == LimitsTold(requests=10, requests_left=7)
    assert said(lease, [10] * 9, 0.5).told is None


def test_news_of_limits_waits_for_a_second_at_most() -> None:
    """Where nothing else is to be said, news is told after a second; what was told already is not."""
    lease = Lease()
    word = LimitsTold(requests=10, requests_left=7)
    lease.tell(word, now=0.0)
    lease.tell(word, now=0.5)
    assert lease.ask([], 0, now=0.9) is None
    assert lease.next_wake(now=0.9) == pytest.approx(TELL_S)
    assert said(lease, [], TELL_S).told == word
    lease.tell(word, now=2.0)
    assert lease.next_wake(now=2.0) is None
    assert lease.ask([], 0, now=9.0) is None
    assert said(lease, [10], 9.0).told == word


def test_a_successor_of_the_provider_is_told_again() -> None:
    """It hears how long the account wants to be left alone, and the quotas, without what was left of them then."""
    lease = leased()
    lease.tell(LimitsTold(requests=10, requests_left=7, tokens=90), now=0.2)
    lease.told_to_wait(5.0, now=0.2)
    said(lease, [], 0.3)
    assert lease.ask([], 0, now=0.5) is None
    lease.provider_down()
    again = said(lease, [], 1.2)
    assert (again.retry_after_s, again.told) == (4.0, LimitsTold(requests=10, tokens=90))
    assert lease.ask([], 0, now=1.3) is None
    lease.provider_down()
    late = said(lease, [10], 6.0)
    assert late.retry_after_s is None, "there is nothing left of it"


def test_a_slot_that_was_never_taken_does_not_come_back() -> None:
    """A call that left while concurrency had no limit returns no slot when there is one; nor the other way round."""
    lease = leased(2, 20)
    early = taken(lease)
    ask = said(lease, [10], 0.3)
    lease.granted(LeaseGrant(1, ask.number, requests=1, tokens=10, slots=1, ttl_s=3.0), now=0.4)
    late = taken(lease, now=0.5)
    end(lease, early, now=0.6)
    assert lease.slots == 0
    end(lease, late, now=0.6)
    assert lease.slots == 1
    ask = said(lease, [10] * 3, 0.7)
    lease.granted(LeaseGrant(1, ask.number, requests=3, tokens=30, slots=-1, ttl_s=3.0), now=0.8)
    assert lease.slots is None, "the limit was lifted"


def test_the_part_that_is_free_is_kept() -> None:
    """A grant tells it; a refusal, which knows nothing of it, changes nothing."""
    lease = Lease()
    assert lease.free == -1.0
    ask = said(lease, [10], 0.0)
    lease.granted(LeaseGrant(1, ask.number, requests=1, tokens=10, ttl_s=3.0, p95_s=0.5, free=0.25), now=0.1)
    lease.granted(LeaseGrant(1, 99, blocked_s=1.0), now=0.2)
    assert (lease.free, lease.p95_s) == (0.25, 0.5)


def test_a_closed_lease_says_its_last_word_once_when_no_call_is_out() -> None:
    """While a call is out it is not the last; one that never asked has nothing to say."""
    lease = leased(2, 20)
    permit = taken(lease)
    lease.close()
    first = said(lease, [], 0.3)
    assert (first.last, first.back_requests) == (False, 1)
    end(lease, permit, now=0.5)
    assert said(lease, [], 0.5).last
    assert lease.ask([], 0, now=9.0) is None
    never = Lease()
    never.close()
    assert not said(never, [], 0.0).last
