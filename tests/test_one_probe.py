"""One probe in the whole cluster, however many wait."""

from lease_world import Answer, World, account

from understudy.actors.provider.core import ProviderCore, Say
from understudy.protocols.config import Limits
from understudy.protocols.messages import LeaseAsk, LeaseGrant, Spent

HOLDERS = [f"m{number % 4}/job{number}" for number in range(64)]
"""64 callers in four processes, each with a lease of its own."""


def opened() -> ProviderCore:
    """A Provider whose breaker has opened at 0 for a second."""
    core = ProviderCore("a", account(Limits(rpm=10_000), failures=1), epoch=1, now=0.0)
    core.breaker.record(ok=False, probe=False, now=0.0)
    assert core.breaker.state == "open"
    return core


def ask(core: ProviderCore, holder: str, number: int, now: float, *, spent: tuple[Spent, ...] = ()) -> list[Say]:
    sender, _, share = holder.partition("/")
    sizes = () if spent else (5,)
    return core.ask(
        sender, LeaseAsk(number, 1, spent=spent, sizes=sizes, slots=len(sizes), share=share), cause="", now=now
    )


def granted(said: list[Say]) -> dict[str, LeaseGrant]:
    """Grants by holder."""
    return {f"{it.to}/{it.payload.share}": it.payload for it in said if isinstance(it.payload, LeaseGrant)}


def ask_all(core: ProviderCore, number: int, now: float) -> dict[str, LeaseGrant]:
    said: list[Say] = []
    for holder in HOLDERS:
        said += ask(core, holder, number, now)
    return granted(said)


def test_exactly_one_of_64_probes_after_the_pause() -> None:
    """While open all are refused for the rest of the pause; then one permit goes out, and all others wait on."""
    core = opened()
    refused = ask_all(core, 1, 0.4)
    assert len(refused) == 64
    assert {(it.requests, round(it.blocked_s, 6), it.state) for it in refused.values()} == {(0, 0.6, "open")}
    tried = ask_all(core, 2, 1.1)
    probes = [holder for holder, it in tried.items() if it.requests]
    assert probes == ["m0/job0"]
    assert (tried["m0/job0"].requests, tried["m0/job0"].probe) == (1, True)
    others = [it for holder, it in tried.items() if holder != "m0/job0"]
    assert {(it.requests, it.probe, it.blocked_s > 0) for it in others} == {(0, False, True)}


def test_another_probe_goes_when_its_holder_dies() -> None:
    """The death of the process that probes, and no other's, lets exactly one other probe go."""
    core = opened()
    ask_all(core, 1, 1.1)
    core.holder_down("m1", now=1.2)
    assert all(not it.requests for it in granted(ask(core, "m2/job2", 2, 1.3)).values())
    core.holder_down("m0", now=1.4)
    second = [holder for holder, it in ask_all(core, 3, 1.5).items() if it.probe]
    assert len(second) == 1


def test_a_good_probe_opens_the_way_for_all() -> None:
    """When the probe is told to have gone well everybody is granted what it asks for."""
    core = opened()
    ask_all(core, 1, 1.1)
    ask(core, "m0/job0", 2, 1.6, spent=(Spent(0.5, 0.4, 5, 5, "ok", probe=True),))
    assert core.breaker.state == "closed"
    after = ask_all(core, 3, 2.2)
    assert {holder: it.requests for holder, it in after.items()} == dict.fromkeys(HOLDERS, 1)


def test_a_failed_probe_keeps_all_away_for_longer() -> None:
    """When the probe fails the pause begins anew, twice as long, for all."""
    core = opened()
    ask_all(core, 1, 1.1)
    ask(core, "m0/job0", 2, 1.6, spent=(Spent(0.5, 0.4, 5, 5, "server", probe=True),))
    after = ask_all(core, 3, 1.7)
    assert {(it.requests, round(it.blocked_s, 6)) for it in after.values()} == {(0, 1.9)}


def test_leases_send_one_probe_at_a_time() -> None:
    """64 leases on a wire with delays: until the outage ends one call at a time goes out; then all are served."""
    world = World(
        account(Limits(rpm=10_000), failures=3), HOLDERS, lambda at: Answer(0.4, "server" if at < 1006.0 else "ok"), 1
    )
    for holder in world.holders.values():
        holder.want([1] * 4)
    world.run(1.5)
    opened_at = world.now
    world.run(30.0)
    tries = [(start, probe) for start, _, probe in world.out if opened_at < start < 1006.0]
    assert tries
    assert all(probe for _, probe in tries)
    assert sum(holder.served for holder in world.holders.values()) == 64 * 4
    world.check_law()


def test_a_probe_that_waits_for_quota_wakes_nobody_in_vain() -> None:
    """While no permit is free for the probe the next look is when one may be, not at once and again."""
    core = ProviderCore("a", account(Limits(rpm=4), failures=1), epoch=1, now=0.0)
    core.ask("h", LeaseAsk(1, 1, sizes=(5,) * 6, slots=6), cause="", now=0.0)  # served in part, and away
    core.ask("i", LeaseAsk(1, 1, sizes=(5,), slots=1), cause="", now=0.05)
    core.breaker.record(ok=False, probe=False, now=0.05)
    assert granted(core.serve(now=0.1))["i/"].blocked_s > 0
    core.ask("i", LeaseAsk(2, 1, sizes=(5,), slots=1), cause="", now=1.2)
    assert core.breaker.state == "half_open"
    wakes = [core.next_wake()]
    while not any(it.probe for it in granted(core.serve(now=wakes[-1] or 0.0)).values()):
        wakes.append((core.next_wake() or 0.0) + 0.001)
        assert len(wakes) < 10
