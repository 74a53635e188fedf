"""The judge on ledgers made by hand, and the engine's books."""

import random
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.cluster.simulator.engine import Engine
from understudy.cluster.simulator.judge import (
    check_windows,
    early_calls,
    peak_concurrency,
    summarise,
    summary_from_json,
    summary_to_json,
    utilisation,
)
from understudy.cluster.simulator.ledger import Ledger, Record, from_lines, to_lines
from understudy.cluster.simulator.plan import Plan
from understudy.cluster.simulator.settings import Control, Faults, ModelSettings, Quota, RefuseNext, Settings


def record(ordinal: int, t: float, **fields: Any) -> Record:
    given_fields = {"outcome": "ok", "accepted": True, "t_end": t + 0.5, "key": "k", **fields}
    return Record(ordinal=ordinal, t=t, wall=t, **given_fields)


def body(text: str = "hello", **fields: Any) -> bytes:
    message = {"role": "user", "content": text}
    return orjson.dumps({"model": "sim-small", "messages": [message], **fields})


def ask(engine: Engine, t: float, text: str = "hello", key: str = "k", **fields: Any) -> Plan:
    return engine.arrive(body(text, **fields), key, now=t, wall=1.8e9 + t)


def test_a_passed_window_is_found() -> None:
    """Three requests within 6 s against a limit of two: one is over, though no fixed minute holds three."""
    ledger = [record(i, t, prompt_tokens=10) for i, t in enumerate([5.0, 9.0, 10.9, 11.0])]
    (window,) = check_windows(ledger, Quota(rpm=2, tpm=29, window_s=6.0), {})
    assert (window.max_requests, window.max_tokens, window.over) == (3, 30, 2)
    assert check_windows(ledger, Quota(rpm=3, tpm=30, window_s=6.0), {})[0].over == 0


def test_keys_and_models_have_windows_of_their_own() -> None:
    """Each key is counted alone, and a model with a quota once more beside its key."""
    ledger = [record(0, 1.0, key="a", model="m"), record(1, 1.0, key="b"), record(2, 2.0, key="a")]
    checks = check_windows(ledger, Quota(rpm=1), {"m": Quota(rpm=1)})
    assert [(c.key, c.model, c.max_requests, c.over) for c in checks] == [
        ("a", None, 2, 1),
        ("a", "m", 1, 0),
        ("b", None, 1, 0),
    ]


arrivals = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 30)), min_size=1, max_size=40)


@given(arrivals)
def test_windows_agree_with_a_count_of_every_window(steps: list[tuple[int, int]]) -> None:
    """The sweep finds what summing each window anew finds."""
    t, ledger = 0.0, list[Record]()
    for ordinal, (gap, tokens) in enumerate(steps):
        t += gap / 4
        ledger.append(record(ordinal, t, completion_tokens=tokens))
    inside = [[r for r in ledger[: i + 1] if r.t > end.t - 3.0] for i, end in enumerate(ledger)]
    (window,) = check_windows(ledger, Quota(rpm=3, tpm=50, window_s=3.0), {})
    assert window.max_requests == max(map(len, inside))
    assert window.max_tokens == max(sum(r.completion_tokens for r in rs) for rs in inside)
    assert window.over == sum(len(rs) > 3 or sum(r.completion_tokens for r in rs) > 50 for rs in inside)


def test_utilisation_is_the_mean_of_the_window() -> None:
    """One request a second against ten in 5 s fills half; nothing is said without a full window."""
    times = [(float(t), 1) for t in range(21)]
    assert utilisation(times, 10, 5.0) == pytest.approx(0.5)
    assert utilisation(times[:5], 10, 5.0) is None
    assert utilisation(times, None, 5.0) is None


def test_open_requests_are_counted_between_arrival_and_end() -> None:
    """An end and an arrival at one time do not overlap; a request without an end stays open."""
    spans = [(0.0, 2.0), (1.0, 3.0), (2.0, 4.0), (3.5, None), (5.0, 5.0)]
    assert peak_concurrency([record(i, a, t_end=b) for i, (a, b) in enumerate(spans)]) == 2


def test_too_many_open_requests_are_a_violation() -> None:
    """Three overlapping requests pass a concurrency of two, and stay within one of three."""
    ledger = [record(i, i / 10) for i in range(3)]
    assert summarise(ledger, Quota(concurrency=2)).violations == 1
    assert summarise(ledger, Quota(concurrency=3)).violations == 0


def test_calls_before_a_told_retry_after_are_found() -> None:
    """Between the refusal and the told time, less the slack, no request of that key is let go."""
    told = record(0, 10.0, outcome="refused_429", accepted=False, t_end=10.0, retry_after_s=2.0)
    others = [
        record(1, 10.02),
        record(2, 10.5),
        record(3, 11.0, key="other"),
        record(4, 11.96),
        record(5, 12.0),
    ]
    assert [r.ordinal for r in early_calls([told, *others], slack_s=0.05)] == [2]


def test_the_summary_adds_up_and_travels() -> None:
    """Totals of a small ledger by hand; records and summary survive their JSON unchanged."""
    ledger = [
        record(0, 0.0, prompt_tokens=5, completion_tokens=7, cost="0.1", content_hash="aa"),
        record(1, 0.1, prompt_tokens=5, completion_tokens=7, cost="0.2", content_hash="aa"),
        record(2, 0.2, outcome="error_500", prompt_tokens=1, status=500, content_hash="aa"),
        record(3, 0.3, outcome="refused_429", accepted=False, retry_after_s=1.0),
        record(4, 0.4, outcome="ok", cost="0.0000001", content_hash="bb", request_id="id"),
    ]
    summary = summarise(ledger, Quota(rpm=3), lost=2)
    assert summary.outcomes == {"error_500": 1, "ok": 3, "refused_429": 1}
    assert (summary.requests, summary.accepted, summary.refused_429, summary.lost) == (5, 4, 1, 2)
    assert (summary.prompt_tokens, summary.completion_tokens, summary.accepted_tokens) == (10, 14, 25)
    assert summary.cost == "0.3000001"
    assert (summary.violations, summary.peak_concurrency) == (1, 4)
    assert (summary.duplicate_calls, summary.duplicates) == (1, {"aa": 2})
    assert summary_from_json(summary_to_json(summary)) == summary
    assert from_lines(to_lines(ledger)) == ledger


def test_the_ledger_keeps_no_more_than_its_cap() -> None:
    """Requests past the cap are counted as lost."""
    ledger = Ledger(2)
    for ordinal in range(5):
        ledger.append(record(ordinal, float(ordinal)))
    assert (len(ledger.records), ledger.lost) == (2, 3)
    assert [r.ordinal for r in ledger.page(1, 10)] == [1]


def test_the_engine_never_passes_its_own_quota() -> None:
    """Under a random load the judge, which does not know the limiter, finds a full window, none over."""
    quota = Quota(rpm=20, tpm=1500, concurrency=4, window_s=5.0)
    engine, rng, t = Engine(Settings(quota=quota), now=0.0), random.Random(5), 0.0
    open_plans: list[tuple[float, Plan]] = []
    for number in range(3000):
        t += rng.expovariate(10.0)
        for end, plan in [pair for pair in open_plans if pair[0] <= t]:
            engine.finish(plan, now=end)
            open_plans.remove((end, plan))
        open_plans.append((t + rng.random(), ask(engine, t, "x" * rng.randrange(400) + str(number))))
    for end, plan in open_plans:
        engine.finish(plan, now=end)
    summary = engine.summary()
    assert summary.violations == 0
    assert summary.windows[0].max_requests == 20
    assert summary.windows[0].max_concurrency == 4
    assert engine.in_flight == 0
    assert summary.refused_429 + summary.accepted == 3000


def test_the_bill_is_exact_and_only_for_answers() -> None:
    """Price by tokens to the last digit; a client that left pays only where all accepted are billed."""
    model = ModelSettings(input_price=Decimal("0.15"), output_price=Decimal("0.60"))
    models = {"sim-small": model}
    only_answers, all_accepted = Settings(models=models), Settings(models=models, bill="accepted")
    for settings, paid in ((only_answers, ["0.0000207", "0"]), (all_accepted, ["0.0000207"] * 2)):
        engine = Engine(settings, now=0.0)
        for left in (False, True):
            plan = ask(engine, 1.0, "a" * 24)
            engine.finish(plan, now=2.0, client_left=left)
        assert [r.cost for r in engine.ledger.records] == paid
        assert [r.outcome for r in engine.ledger.records] == ["ok", "cancelled"]


def test_faults_fall_on_the_same_ordinals_in_every_run() -> None:
    """A run replays by its seed, and again from the start after a reset of the ledger."""
    faults = Faults(error_500=0.2, drop=0.2, malformed=0.2, cut=0.1, timeout=0.1)
    engine = Engine(Settings(seed=4, faults=faults), now=0.0)

    def play() -> list[str]:
        return [ask(engine, float(t)).outcome for t in range(50)]

    first = play()
    engine.control(Control(reset_ledger=True))
    assert play() == first
    assert len(set(first)) == 6
    assert engine.ledger.records[0].ordinal == 0


def test_a_forced_429_is_told_as_asked_and_passes() -> None:
    """The next n requests are refused in the form asked for; then all is as before."""
    engine = Engine(Settings(), now=0.0)
    engine.control(Control(refuse_next=RefuseNext(count=2, after_s=1.5, form="ms")))
    plans = [ask(engine, 1.0) for _ in range(3)]
    assert [plan.status for plan in plans] == [429, 429, 200]
    assert b"\r\nretry-after-ms: 1500\r\n" in plans[0].parts[0]
    assert plans[0].record.retry_after_s == 1.5


def test_refusals_have_their_reasons() -> None:
    """Key, model, context and body are each refused with the provider's code, and none costs quota."""
    settings = Settings(keys=("k",), quota=Quota(rpm=1), models={"sim-small": ModelSettings(context_window=50)})
    engine = Engine(settings, now=0.0)
    plans = [
        ask(engine, 1.0, key="wrong"),
        ask(engine, 1.0, model="none"),
        ask(engine, 1.0, "x" * 400),
        ask(engine, 1.0, max_tokens=47),
        engine.arrive(b"?", "k", now=1.0, wall=0.0),
    ]
    assert [plan.status for plan in plans] == [401, 404, 400, 400, 400]
    codes = [orjson.loads(plan.parts[0].partition(b"\r\n\r\n")[2])["error"]["code"] for plan in plans]
    assert codes[:4] == ["invalid_api_key", "model_not_found", *["context_length_exceeded"] * 2]
    assert ask(engine, 1.0).status == 200
    assert ask(engine, 1.0).status == 429


def test_any_model_is_accepted_where_settings_say_so() -> None:
    """Unknown names then serve with the default prices and limits."""
    assert ask(Engine(Settings(any_model=True), now=0.0), 1.0, model="whatever").status == 200


def test_a_model_quota_holds_beside_the_keys() -> None:
    """The tighter of the two refuses and is the one whose headers are told."""
    models = {"sim-small": ModelSettings(quota=Quota(rpm=1)), "sim-large": ModelSettings()}
    engine = Engine(Settings(quota=Quota(rpm=3), models=models), now=0.0)
    plans = [ask(engine, 1.0), ask(engine, 1.0), ask(engine, 1.0, model="sim-large")]
    assert [plan.status for plan in plans] == [200, 429, 200]
    assert b"x-ratelimit-limit-requests: 1\r\n" in plans[1].parts[0]
    assert b"x-ratelimit-remaining-requests: 1\r\n" in plans[2].parts[0]
