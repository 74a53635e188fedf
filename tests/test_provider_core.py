"""What a Provider says to whom: refusals, revocations, the probe, and what it learns."""

import pytest

from understudy.actors.provider.core import ProviderCore, Say
from understudy.protocols.config import Account, BreakerSettings, Limits, Timeouts
from understudy.protocols.messages import LeaseAsk, LeaseGrant, Outcome, Revoke, Spent
from understudy.protocols.wire.codec import LimitsTold

SETTINGS = BreakerSettings(failures=2, open_s=10.0, open_max_s=40.0)


def core(limits: Limits | None = None, *, fresh: bool = True) -> ProviderCore:
    account = Account(limits=limits or Limits(rpm=100), breaker=SETTINGS, timeouts=Timeouts(total_s=20.0))
    return ProviderCore("a", account, epoch=7, now=0.0, fresh=fresh)


def ask(number: int, *sizes: int, spent: tuple[Spent, ...] = (), retry_after_s: float | None = None) -> LeaseAsk:
    return LeaseAsk(number, epoch=7, sizes=sizes, slots=len(sizes), spent=spent, retry_after_s=retry_after_s)


def spent(outcome: Outcome, *, probe: bool = False, cost: int = 0, stale: bool = False) -> Spent:
    return Spent(0.2, 0.1, 10, 10, outcome, cost, 5, probe, stale)


def grants(said: list[Say]) -> dict[str, LeaseGrant]:
    return {one.to: one.payload for one in said if isinstance(one.payload, LeaseGrant)}


def revokes(said: list[Say]) -> dict[str, float]:
    return {one.to: one.payload.blocked_s for one in said if isinstance(one.payload, Revoke)}


def test_a_grant_answers_its_ask() -> None:
    """A grant names the ask it answers, the epoch, how long it is good and how long the ask was held."""
    provider = core(Limits(rpm=3, concurrency=2))
    [said] = provider.ask("h", ask(1, 5, 5), cause="c1", now=1.0)
    assert (said.to, said.cause) == ("h", "c1")
    assert said.payload == LeaseGrant(epoch=7, number=1, requests=2, tokens=10, slots=2, ttl_s=3.0, free=0.0)
    assert provider.ask("i", ask(1, 5), cause="c2", now=1.5) == []
    given_back = LeaseAsk(2, epoch=7, back_slots=1, back_requests=1, back_tokens=5)
    [later] = provider.ask("h", given_back, cause="c3", now=2.5)
    assert (later.to, later.cause) == ("i", "c2")
    assert grants([later])["i"].held_s == pytest.approx(1.0)


def test_a_repeated_ask_settles_nothing_twice() -> None:
    """An ask with a number that was heard is not settled again."""
    provider = core()
    provider.ask("h", ask(1, 10, 10), cause="", now=0.0)
    settled = ask(2, spent=(spent("ok", cost=5),))
    for _ in range(3):
        provider.ask("h", settled, cause="", now=1.0)
    view = provider.snapshot(now=1.0)
    assert (view.calls, view.cost, view.used_requests, view.leased_requests) == (1, 5, 1, 1)


def test_a_repeated_ask_is_not_granted_twice() -> None:
    """An ask that is heard again after it was answered gets no second slot, which nobody would take."""
    provider = core(Limits(concurrency=2))
    assert grants(provider.ask("h", ask(1, 5), cause="", now=0.0))["h"].slots == 1
    assert provider.ask("h", ask(1, 5), cause="", now=0.1) == []
    assert provider.snapshot(now=0.1).leased_slots == 1


def test_a_successor_of_the_same_name_is_heard() -> None:
    """A holder that counts from 1 again is a new one: its predecessor's slots are free, and it is served."""
    provider = core(Limits(concurrency=1))
    provider.ask("h", ask(1, 5), cause="", now=0.0)
    provider.ask("h", ask(2, 5), cause="", now=0.1)
    assert grants(provider.ask("h", LeaseAsk(1, sizes=(5,), slots=1), cause="", now=1.0))["h"].slots == 1


def test_retry_after_revokes_everybody() -> None:
    """Who is told to wait makes all others wait as long; nobody is granted anything before."""
    provider = core()
    provider.ask("h", ask(1, 10), cause="", now=0.0)
    provider.ask("i", ask(1, 10), cause="", now=0.0)
    said = provider.ask("h", ask(2, spent=(spent("rate_limited"),), retry_after_s=5.0), cause="", now=1.0)
    assert revokes(said) == {"h": 5.0, "i": 5.0}
    assert grants(provider.ask("j", ask(1, 10), cause="", now=2.0))["j"].blocked_s == pytest.approx(4.0)
    assert grants(provider.ask("j", ask(2, 10), cause="", now=6.0))["j"].requests == 1


def test_the_latest_retry_after_counts() -> None:
    """A later and shorter Retry-After replaces the longer one; one of 0 s revokes nothing."""
    provider = core()
    provider.ask("h", ask(1, 10), cause="", now=0.0)
    provider.ask("h", ask(2, retry_after_s=50.0), cause="", now=1.0)
    provider.ask("h", ask(3, retry_after_s=2.0), cause="", now=2.0)
    assert provider.blocked_s(now=3.0) == pytest.approx(1.0)
    assert provider.ask("h", ask(4, retry_after_s=0.0), cause="", now=3.0) == []
    assert provider.blocked_s(now=3.0) == 0.0


@pytest.mark.parametrize(
    ("outcome", "counts"),
    [
        ("ok", 0),
        ("rate_limited", 0),
        ("timeout", 1),
        ("server", 1),
        ("connection", 1),
        ("invalid_reply", 1),
        ("context_too_long", 0),
        ("filtered", 0),
        ("not_found", 0),
        ("bad_request", 0),
        ("cancelled", 0),
    ],
)
def test_what_counts_for_the_breaker(outcome: Outcome, counts: int) -> None:
    """Two failures in a row open it; refusals and cancelled calls do not, and the holders are told."""
    provider = core()
    provider.ask("h", ask(1, 10, 10), cause="", now=0.0)
    said = provider.ask("h", ask(2, spent=(spent(outcome), spent(outcome))), cause="", now=1.0)
    assert provider.breaker.state == ("open" if counts else "closed")
    assert revokes(said) == ({"h": 10.0} if counts else {})
    assert provider.snapshot(now=1.0).failures == 2 * counts


def test_a_rejected_key_marks_the_account_down() -> None:
    """After a 401 nobody is granted anything, and all are told why."""
    provider = core()
    provider.ask("h", ask(1, 10), cause="", now=0.0)
    said = provider.ask("h", ask(2, spent=(spent("auth"),)), cause="", now=1.0)
    assert revokes(said) == {"h": 3600.0}
    refused = grants(provider.ask("h", ask(3, 10), cause="", now=9999.0))["h"]
    assert (refused.state, refused.requests, refused.blocked_s) == ("down", 0, 3600.0)


def half_open() -> ProviderCore:
    provider = core()
    provider.ask("h", ask(1, 10, 10), cause="", now=0.0)
    provider.ask("h", ask(2, spent=(spent("server"), spent("server"))), cause="", now=1.0)
    assert grants(provider.ask("h", ask(3, 10), cause="", now=5.0))["h"].blocked_s == pytest.approx(6.0)
    probing = grants(provider.ask("h", ask(4, 10, 10), cause="", now=11.0))["h"]
    assert (probing.probe, probing.requests, probing.state) == (True, 1, "half_open")
    return provider


def test_one_probe_while_half_open() -> None:
    """One permit goes out, as a probe; all others are refused for a second at a time."""
    provider = half_open()
    refused = grants(provider.ask("i", ask(1, 10), cause="", now=11.5))["i"]
    assert (refused.requests, refused.blocked_s) == (0, 1.0)


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        ("ok", "closed"),
        ("server", "open"),
        ("cancelled", "half_open"),
        ("rate_limited", "half_open"),
        ("bad_request", "closed"),
    ],
)
def test_the_probe_decides(outcome: Outcome, state: str) -> None:
    """A good answer closes, a failure opens again, and a probe that showed nothing makes place for another."""
    provider = half_open()
    provider.ask("h", ask(5, spent=(spent(outcome, probe=True),)), cause="", now=12.0)
    assert provider.breaker.state == state
    granted = grants(provider.ask("i", ask(1, 10), cause="", now=12.0))["i"]
    assert granted.requests == (0 if state == "open" else 1)
    assert granted.probe is (state == "half_open")


def test_a_dead_prober_makes_place() -> None:
    """When the holder of the probe dies another one probes."""
    provider = half_open()
    provider.holder_down("h", now=12.0)
    assert grants(provider.ask("i", ask(1, 10), cause="", now=12.1))["i"].probe


def test_a_probe_may_take_as_long_as_a_call_and_its_lease() -> None:
    """The second probe is sent only when the first can't be out any more."""
    provider = half_open()
    assert grants(provider.ask("i", ask(1, 10), cause="", now=11.0 + 3.0 + 20.0))["i"].requests == 0
    assert grants(provider.ask("i", ask(2, 10), cause="", now=11.0 + 3.0 + 20.0 + 1.0))["i"].probe


def test_permits_of_another_epoch_are_not_settled_but_learned_from() -> None:
    """What was spent under a predecessor counts for the bill and the breaker, not against this one's leases."""
    provider = core()
    provider.ask("h", ask(1, 10, 10), cause="", now=0.0)
    provider.ask("h", ask(2, spent=(spent("ok", cost=3, stale=True),)), cause="", now=1.0)
    provider.ask("h", LeaseAsk(3, epoch=6, spent=(spent("ok", cost=4),), back_requests=2), cause="", now=1.0)
    view = provider.snapshot(now=1.0)
    assert (view.calls, view.cost, view.leased_requests, view.used_requests) == (2, 7, 2, 0)


def test_slots_of_a_predecessor_are_not_counted_on() -> None:
    """A holder that thinks it has slots from an earlier epoch is given new ones."""
    provider = core(Limits(concurrency=3))
    [said] = provider.ask("h", LeaseAsk(1, epoch=6, sizes=(1, 1), slots=0), cause="", now=0.0)
    assert grants([said])["h"].slots == 2


def test_a_restarted_provider_grants_nothing_for_a_window() -> None:
    """The whole quota counts as used until nothing that was spent before can matter."""
    provider = core(Limits(rpm=100, tpm=1000), fresh=False)
    assert provider.ask("h", ask(1, 1), cause="", now=0.1) == []
    at = provider.next_wake()
    assert at is not None
    assert at == pytest.approx(60.0 + 3.0 + 1.5, abs=0.1)
    assert grants(provider.serve(now=at + 0.001))["h"].requests == 1


def test_an_impossible_call_is_refused_at_once() -> None:
    """A call larger than the whole quota is told the quota."""
    provider = core(Limits(tpm=100))
    assert grants(provider.ask("h", ask(1, 101, 1), cause="", now=0.0))["h"].too_large == 100


def test_permits_are_given_ahead_only_while_there_is_plenty() -> None:
    """Calls to come get permits while more than half of the quota is free, and never before calls that wait."""
    provider = core(Limits(rpm=100))
    granted = grants(
        provider.ask("h", LeaseAsk(1, epoch=7, sizes=(5,), slots=1, ahead=10, ahead_size=5), cause="", now=0.0)
    )
    assert (granted["h"].requests, granted["h"].slots) == (11, -1)
    provider.ask("i", ask(1, *(1,) * 60), cause="", now=0.0)
    granted = grants(provider.ask("h", LeaseAsk(2, epoch=7, ahead=10, ahead_size=5), cause="", now=0.0))
    assert (granted["h"].requests, granted["h"].slots) == (0, -1), "an ask is answered also by nothing"


def test_the_snapshot_shows_what_is_known() -> None:
    """Limits, what is used and leased, latencies and spend are told for people."""
    provider = core(Limits(rpm=100, tpm=1000))
    provider.ask("h", ask(1, 10, 10, 10), cause="", now=0.0)
    provider.ask("h", ask(2, spent=(spent("ok", cost=9),)), cause="", now=1.0)
    view = provider.snapshot(now=1.0)
    assert (view.account, view.state, view.limit_requests, view.limit_tokens, view.limit_slots) == (
        "a",
        "closed",
        100,
        1000,
        -1,
    )
    assert (view.used_requests, view.used_tokens, view.leased_requests, view.leased_tokens) == (1, 10, 2, 20)
    assert (view.holders, view.waiting, view.messages, view.blocked_s) == (1, 0, 2, 0.0)
    assert view.p50_s == pytest.approx(0.1, rel=0.03)


# Shares ---------------------------------------------------------------------------------------------------------------


def shared(number: int, share: str, *sizes: int, back_slots: int = 0) -> LeaseAsk:
    return LeaseAsk(number, epoch=7, sizes=sizes, slots=len(sizes), share=share, back_slots=back_slots)


def test_shares_of_one_sender_are_leases_apart() -> None:
    """Each share counts its own asks; its grant names it and goes to the sender."""
    provider = core(Limits(rpm=100, concurrency=10))
    for share in ("x", "y", ""):
        [said] = provider.ask("h", shared(1, share, 5, 5), cause=share, now=0.0)
        assert isinstance(said.payload, LeaseGrant)
        assert (said.to, said.cause, said.payload.share, said.payload.slots) == ("h", share, share, 2)
    view = provider.snapshot(now=0.0)
    assert (view.holders, view.shares, view.leased_slots) == (1, 3, 6)
    provider.ask("h", shared(2, "x", back_slots=9), cause="", now=0.1)
    assert provider.snapshot(now=0.1).leased_slots == 4, "no share gives back what another has"


def test_a_dead_sender_takes_all_its_shares_with_it() -> None:
    """All its leases end; those of others, and of one whose name begins alike, do not."""
    provider = core(Limits(rpm=100, concurrency=10))
    for sender, share in (("h", "x"), ("h", "y"), ("h2", "x")):
        provider.ask(sender, shared(1, share, 5), cause="", now=0.0)
    provider.holder_down("h", now=1.0)
    assert list(provider.limiter.holdings) == ["h2\x1fx"]
    assert provider.snapshot(now=1.0).leased_slots == 1


def test_a_sender_is_told_once_of_a_revocation() -> None:
    """However many shares it works for: the word is for all of them."""
    provider = core()
    for share in ("x", "y", "z"):
        provider.ask("h", shared(1, share, 5), cause="", now=0.0)
    said = provider.ask("i", ask(1, retry_after_s=5.0), cause="", now=1.0)
    assert sorted(one.to for one in said if isinstance(one.payload, Revoke)) == ["h", "i"]


def test_refusals_name_their_share() -> None:
    """Who waits for several shares is told which one a refusal is for."""
    provider = core(Limits(tpm=100))
    [large] = provider.ask("h", shared(1, "x", 101), cause="", now=0.0)
    provider.ask("i", ask(1, retry_after_s=5.0), cause="", now=1.0)
    [blocked] = provider.ask("h", shared(2, "y", 5), cause="", now=1.0)
    assert isinstance(large.payload, LeaseGrant)
    assert isinstance(blocked.payload, LeaseGrant)
    assert (large.payload.share, large.payload.too_large) == ("x", 100)
    assert (blocked.payload.share, blocked.payload.blocked_s) == ("y", 5.0)


def test_holders_that_have_ended_are_forgotten() -> None:
    """Jobs come and go: what a Provider remembers is bounded by those of the last minutes."""
    provider = core(Limits(rpm=100_000, concurrency=9))
    for number in range(3000):
        now = number * 1.0
        provider.ask("h", shared(1, f"job{number}", 5), cause="", now=now)
        provider.ask("h", shared(2, f"job{number}", back_slots=1), cause="", now=now + 0.5)
    assert len(provider.holders) < 700
    assert len(provider.limiter.holdings) < 700
    assert len(provider.queue._flows) < 1500


def test_a_grant_tells_what_is_free() -> None:
    """The part of the scarcest quota that is free, for who balances load; -1 where nothing is limited."""
    provider = core(Limits(rpm=100, tpm=100, concurrency=10))
    assert grants(provider.ask("h", ask(1, 10, 10), cause="", now=0.0))["h"].free == pytest.approx(0.8)
    assert grants(provider.ask("i", ask(1, 1, 1, 1, 1), cause="", now=0.0))["i"].free == pytest.approx(0.4)
    assert grants(core(Limits()).ask("h", ask(1, 10), cause="", now=0.0))["h"].free == -1.0


# Another configuration ------------------------------------------------------------------------------------------------


def account(limits: Limits, breaker: BreakerSettings = SETTINGS) -> Account:
    return Account(limits=limits, breaker=breaker, timeouts=Timeouts(total_s=20.0))


def test_the_newest_limits_apply() -> None:
    """Raised limits serve who waits; lowered ones take nothing away and grant nothing before there is room."""
    provider = core(Limits(rpm=2))
    provider.ask("h", ask(1, 1, 1), cause="", now=0.0)
    assert provider.ask("i", ask(1, 1), cause="", now=0.0) == []
    raised = grants(provider.configure(account(Limits(rpm=5)), now=1.0))
    assert raised["i"].requests == 1
    assert provider.configure(account(Limits(rpm=1)), now=1.5) == []
    assert provider.snapshot(now=1.5).leased_requests == 3
    assert provider.ask("j", ask(1, 1), cause="", now=2.0) == []


def test_a_down_account_is_mended_by_a_configuration() -> None:
    """A key that was rejected may be another one now: calls go out again."""
    provider = core()
    provider.ask("h", ask(1, 10, spent=(spent("auth"),)), cause="", now=0.0)
    assert provider.breaker.state == "down"
    provider.configure(account(Limits(rpm=100)), now=5.0)
    assert grants(provider.ask("h", ask(2, 10), cause="", now=5.0))["h"].requests == 1


def test_the_newest_breaker_settings_apply() -> None:
    """An open breaker stays open; the next failures are counted by the new settings."""
    provider = core()
    provider.configure(account(Limits(rpm=100), BreakerSettings(failures=3, open_s=1.0)), now=0.0)
    provider.ask("h", ask(1, spent=(spent("server"), spent("server"))), cause="", now=1.0)
    assert provider.breaker.state == "closed"
    provider.ask("h", ask(2, spent=(spent("server"),)), cause="", now=1.0)
    assert (provider.breaker.state, provider.blocked_s(now=1.0)) == ("open", 1.0)
    provider.configure(account(Limits(rpm=100)), now=1.5)
    assert provider.blocked_s(now=1.5) == 0.5


def test_another_window_begins_as_after_a_restart() -> None:
    """Nothing counted in the old window fits the new one: a new epoch begins with a full quota."""
    provider = core(Limits(rpm=5))
    provider.ask("h", ask(1, 1, 1), cause="", now=0.0)
    provider.configure(account(Limits(rpm=5, window_s=6.0)), now=10.0)
    assert provider.epoch == 8
    assert provider.ask("i", ask(1, 1), cause="", now=10.0) == []
    at = provider.next_wake()
    assert at is not None
    assert at == pytest.approx(10.0 + 3.0 + 1.5 + 6.0, abs=0.1), "the old lease, the old guard, the new window"


def test_what_a_predecessor_was_told_is_no_late_word() -> None:
    """After a restart the longest Retry-After that holders remember counts, in whatever order they tell it."""
    provider = core()
    for number, seconds in enumerate((9.0, 2.0), 1):
        provider.ask(f"h{number}", LeaseAsk(3, epoch=6, retry_after_s=seconds), cause="", now=0.0)
    assert provider.blocked_s(now=0.0) == 9.0


def test_the_snapshot_shows_what_was_told_and_learned() -> None:
    """What applies, and why: told by headers, learned by refusals, used by others."""
    provider = core(Limits())
    provider.ask("h", ask(1, spent=(spent("ok"),) * 2 + (spent("rate_limited"),) * 3), cause="", now=0.0)
    view = provider.snapshot(now=0.0)
    assert (view.limit_requests, view.learned_requests, view.told_requests) == (2, 2, -1)
    word = LimitsTold(requests=50, requests_left=10, tokens=900)
    provider.ask("h", LeaseAsk(2, epoch=7, told=word), cause="", now=1.0)
    view = provider.snapshot(now=1.0)
    assert (view.limit_requests, view.limit_tokens, view.learned_requests) == (50, 900, -1)
    assert (view.told_requests, view.told_tokens, view.others_requests) == (50, 900, 35)
