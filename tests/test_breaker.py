"""The circuit breaker against a table of its states and a naive count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.provider.breaker import Admit, Breaker, Refuse
from understudy.protocols.config import BreakerSettings

SETTINGS = BreakerSettings(failures=3, rate=0.5, window=8, open_s=10.0, open_max_s=25.0)
PROBE_S = 30.0


class Naive:
    """The same breaker, written from its description: it keeps every outcome."""

    def __init__(self) -> None:
        self.state = "closed"
        self.outcomes: list[bool] = []
        self.well_at: float | None = None
        self.pause = SETTINGS.open_s
        self.open_at = 0.0
        self.probe_at: float | None = None

    def may(self, now: float) -> str:
        if self.state == "open" and now >= self.open_at + self.pause:
            self.state, self.probe_at = "half_open", None
        if self.state == "half_open":
            return "no" if self.probe_at is not None and now - self.probe_at < PROBE_S else "probe"
        return "yes" if self.state == "closed" else "no"

    def ended(self, *, ok: bool, probe: bool, now: float, out: int, answers_s: float) -> None:
        if self.state == "half_open" and probe:
            if ok:
                self.state, self.outcomes, self.pause = "closed", [], SETTINGS.open_s
                self.well_at = None
            else:
                self.state, self.open_at = "open", now
                self.pause = min(self.pause * 2, SETTINGS.open_max_s)
        elif self.state == "closed":
            self.outcomes.append(ok)
            self.well_at = now if ok or self.well_at is None else self.well_at
            span = max(SETTINGS.window, 2 * out)
            last = self.outcomes[-span:]
            row = next((n for n, one in enumerate(reversed(self.outcomes)) if one), len(self.outcomes))
            quiet = bool(answers_s) and now - self.well_at > 2 * answers_s
            outage = row >= SETTINGS.failures and (quiet or row / (row + out) >= SETTINGS.rate)
            share = len(last) == span and last.count(False) >= SETTINGS.rate * span
            if not ok and (outage or share):
                self.state, self.open_at, self.pause = "open", now, SETTINGS.open_s


events = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.5, 3.0, 10.0, 31.0]),
        st.sampled_from(["ok", "ok", "bad", "bad", "probe ok", "probe bad", "send", "lost", "look"]),
        st.sampled_from([0, 0, 0, 1, 4, 9]),
        st.sampled_from([0.0, 1.0]),
    ),
    max_size=80,
)


@given(events)
def test_agrees_with_the_naive_breaker(steps: list[tuple[float, str, int, float]]) -> None:
    """State and verdict are those of the naive breaker after any history."""
    breaker, naive, now = Breaker(SETTINGS, probe_timeout_s=PROBE_S), Naive(), 0.0
    for gap, what, out, answers_s in steps:
        now += gap
        verdict = breaker.check(now=now)
        may = naive.may(now)
        assert verdict == Admit() if may == "yes" else True
        assert (verdict == Admit(probe=True)) is (may == "probe")
        assert isinstance(verdict, Refuse) is (may == "no")
        if what == "send" and may == "probe":
            breaker.probe_sent(now=now)
            naive.probe_at = now
        elif what == "lost":
            breaker.probe_lost()
            naive.probe_at = None
        elif what not in {"look", "send"}:
            ok, probe = what.endswith("ok"), what.startswith("probe")
            breaker.record(ok=ok, probe=probe, now=now, out=out, answers_s=answers_s)
            naive.ended(ok=ok, probe=probe, now=now, out=out, answers_s=answers_s)
        assert breaker.state == naive.state


@given(events)
def test_a_refusal_says_a_time_that_is_worth_waiting(steps: list[tuple[float, str, int, float]]) -> None:
    """Who is refused for so many seconds and waits them is not refused by the same pause; the time is never 0."""
    breaker, now = Breaker(SETTINGS, probe_timeout_s=PROBE_S), 0.0
    for gap, what, *_ in steps:
        now += gap
        verdict = breaker.check(now=now)
        if isinstance(verdict, Refuse):
            assert 0 < verdict.seconds <= SETTINGS.open_max_s
            if breaker.state == "open":
                assert isinstance(breaker.check(now=now + verdict.seconds + 1e-9), Admit)
                return
        breaker.record(ok=what.endswith("ok"), probe=what.startswith("probe"), now=now)


@given(st.integers(1, 400), st.floats(0, 0.49))
def test_quick_failures_of_a_crowd_do_not_open_it(crowd: int, share: float) -> None:
    """Of many calls sent at once less than the share fails, and all failures come back first: it stays closed."""
    breaker = Breaker(SETTINGS)
    failing = int(crowd * share)
    for number in range(crowd):
        breaker.record(ok=number >= failing, probe=False, now=0.0, out=crowd - number - 1)
    assert breaker.state == "closed"


def test_an_outage_opens_it_whatever_is_out() -> None:
    """When half of a crowd has failed; or sooner, once nothing went well for longer than answers take."""
    crowd, known = Breaker(SETTINGS), Breaker(SETTINGS)
    states = []
    for number in range(1000):
        crowd.record(ok=False, probe=False, now=0.0, out=999 - number)
        states.append(crowd.state)
    assert states.index("open") == 499
    known.record(ok=True, probe=False, now=0.0, out=1000, answers_s=1.0)
    for now in (1.0, 1.5, 2.0):
        known.record(ok=False, probe=False, now=now, out=1000, answers_s=1.0)
        assert known.state == "closed"
    known.record(ok=False, probe=False, now=2.1, out=1000, answers_s=1.0)
    assert isinstance(known.check(now=2.2), Refuse)


def opened() -> Breaker:
    breaker = Breaker(SETTINGS, probe_timeout_s=PROBE_S)
    for _ in range(SETTINGS.failures):
        breaker.record(ok=False, probe=False, now=0.0)
    assert breaker.state == "open"
    return breaker


TABLE = [
    # from, what happens, at, to
    ("closed", "ok", 0.0, "closed"),
    ("closed", "bad", 0.0, "closed"),
    ("open", "look early", 9.9, "open"),
    ("open", "look late", 10.0, "half_open"),
    ("open", "ok", 5.0, "open"),
    ("half_open", "ok", 10.5, "half_open"),
    ("half_open", "bad", 10.5, "half_open"),
    ("half_open", "probe ok", 10.5, "closed"),
    ("half_open", "probe bad", 10.5, "open"),
    ("half_open", "down", 10.5, "down"),
    ("open", "down", 5.0, "down"),
    ("closed", "down", 0.0, "down"),
    ("down", "ok", 99.0, "down"),
    ("down", "probe ok", 99.0, "down"),
    ("down", "look late", 999.0, "down"),
    ("down", "mend", 99.0, "closed"),
]


@pytest.mark.parametrize(("start", "event", "at", "end"), TABLE)
def test_table_of_states(start: str, event: str, at: float, end: str) -> None:
    """Each row of the state table: where an event leads from a state."""
    breaker = Breaker(SETTINGS, probe_timeout_s=PROBE_S) if start in {"closed", "down"} else opened()
    if start == "down":
        breaker.mark_down()
    if start == "half_open":
        breaker.check(now=10.0)
    assert breaker.state == start
    if event == "down":
        breaker.mark_down()
    elif event == "mend":
        breaker.mend()
    elif event.startswith("look"):
        breaker.check(now=at)
    else:
        breaker.record(ok=event.endswith("ok"), probe=event.startswith("probe"), now=at)
    assert breaker.state == end


def test_one_probe_at_a_time_and_a_new_one_when_it_is_lost() -> None:
    """While the probe is out all others are refused, for a second at most; a lost or late probe makes place."""
    breaker = opened()
    assert breaker.check(now=10.0) == Admit(probe=True)
    breaker.probe_sent(now=10.0)
    assert breaker.check(now=10.1) == Refuse(1.0)
    breaker.probe_lost()
    assert breaker.check(now=10.2) == Admit(probe=True)
    breaker.probe_sent(now=10.2)
    assert isinstance(breaker.check(now=10.2 + PROBE_S - 0.1), Refuse)
    assert breaker.check(now=10.2 + PROBE_S) == Admit(probe=True)


def test_the_pause_doubles_up_to_its_bound_and_starts_anew() -> None:
    """Failed probes double the pause; a good one resets it."""
    breaker, now, pauses = opened(), 0.0, []
    for _ in range(4):
        verdict = breaker.check(now=now)
        assert isinstance(verdict, Refuse)
        pauses.append(verdict.seconds)
        now += verdict.seconds
        breaker.check(now=now)
        breaker.record(ok=False, probe=True, now=now)
    assert pauses == pytest.approx([10.0, 20.0, 25.0, 25.0])
    now += 25.0
    breaker.check(now=now)
    breaker.record(ok=True, probe=True, now=now)
    for _ in range(SETTINGS.failures):
        breaker.record(ok=False, probe=False, now=now)
    assert breaker.check(now=now) == Refuse(10.0)
