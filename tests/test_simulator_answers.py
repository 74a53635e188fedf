"""What the simulator reads, counts and says; how its chance replays."""

import random
from collections import Counter
from typing import Any, get_args

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.cluster.simulator.answers import write_reply
from understudy.cluster.simulator.dialect_openai import parse_chat
from understudy.cluster.simulator.faults import Dice, current_outage, edges_of, latency_s, pick_fault
from understudy.cluster.simulator.request import BadRequestError, count_tokens
from understudy.cluster.simulator.settings import Answer, FaultKind, Faults, Latency, Outage


def chat(*contents: Any, **fields: Any) -> bytes:
    """A request with a system message and one user message a content."""
    messages = [{"role": "system", "content": "be brief"}]
    messages += [{"role": "user", "content": content} for content in contents]
    return orjson.dumps({"model": "m", "messages": messages, **fields})


def test_prompt_tokens_follow_the_published_rule() -> None:
    """A quarter of all characters, rounded up, and four a message."""
    assert parse_chat(chat("a" * 9)).prompt_tokens == -(-(8 + 9) // 4) + 2 * 4
    parts = [{"type": "text", "text": "a" * 9}]
    assert parse_chat(chat(parts)).prompt_tokens == parse_chat(chat("a" * 9)).prompt_tokens


@given(
    st.text(max_size=300),
    st.integers(1, 80),
    st.integers(1, 80),
    st.sampled_from(["echo", "fixed", "digest", "summary"]),
)
def test_no_answer_passes_its_cap(text: str, cap: int, wanted: int, mode: Any) -> None:
    """In every mode the text has the tokens it is booked with, at most the cap; a cut one says so."""
    request = parse_chat(chat("=== a/b.py\n" + text))
    reply = write_reply(Answer(mode=mode, tokens=wanted, text=text), request, cap=cap)
    assert reply.tokens == count_tokens(reply.text) <= cap
    if mode == "echo":
        assert reply.tokens == min(wanted, cap)
        assert reply.finish_reason == ("length" if wanted > cap else "stop")


def test_an_echo_depends_on_the_messages_and_the_model_alone() -> None:
    """Same messages, same answer, whatever else the request says; another message, another answer."""

    def say(body: bytes) -> str:
        return write_reply(Answer(tokens=(10, 90)), parse_chat(body), cap=500).text

    assert say(chat("x")) == say(chat("x", temperature=0.5, stream=True))
    assert say(chat("x")) != say(chat("y"))
    assert say(chat("x")) != say(chat("x", model="other"))


def test_a_digest_names_every_marked_path() -> None:
    """Each ``=== path`` line of the user's messages becomes one heading and one sentence."""
    request = parse_chat(chat("=== a/b.py\ncode\n=== c.md ===\ntext == =\n", "=== d"))
    lines = write_reply(Answer(mode="digest"), request, cap=1000).text.splitlines()
    assert lines[::2] == ["## a/b.py", "## c.md", "## d"]
    assert all(path in line for path, line in zip(["a/b.py", "c.md", "d"], lines[1::2], strict=True))


def test_a_summary_tells_one_text_from_another() -> None:
    """Another text below a path changes that path's sentence and no other."""

    def lines(text: str) -> list[str]:
        request = parse_chat(chat(f"=== a/b.py (lines 1-1)\n{text}\n\n=== c.md\nthe same"))
        return write_reply(Answer(mode="summary"), request, cap=1000).text.splitlines()

    one, two = lines("code"), lines("other code")
    assert one[::2] == two[::2] == ["## a/b.py", "## c.md"]
    assert one[1] != two[1]
    assert one[3] == two[3]
    assert one == lines("code")


def test_the_content_hash_sees_the_users_messages_only() -> None:
    """Two requests for the same work share it, whatever the model or the system message says."""
    other = orjson.dumps({"model": "z", "messages": [{"role": "user", "content": "x"}]})
    assert parse_chat(chat("x")).content_hash == parse_chat(other).content_hash
    assert parse_chat(chat("x")).content_hash != parse_chat(chat("y")).content_hash


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[]", None),
        (orjson.dumps({"messages": [{"role": "user", "content": ""}]}), "model"),
        (orjson.dumps({"model": "m", "messages": []}), "messages"),
        (orjson.dumps({"model": "m", "messages": [{"role": "user"}]}), "messages[0].content"),
        (orjson.dumps({"model": "m", "messages": ["hi"]}), "messages[0]"),
        (chat("x", max_tokens=0), "max_tokens"),
        (chat("x", max_completion_tokens="9"), "max_completion_tokens"),
        (chat("x", n=2), "n"),
    ],
)
def test_a_malformed_request_is_named_by_its_field(body: bytes, param: str | None) -> None:
    """What cannot be read is refused with the field at fault."""
    with pytest.raises(BadRequestError) as caught:
        parse_chat(body)
    assert caught.value.param == param


def test_the_same_seed_throws_the_same_dice() -> None:
    """The n-th request meets the same fault and latency in every run of a seed, and not in another's."""
    faults, latency = (
        Faults(error_500=0.1, drop=0.1, cut=0.1),
        Latency(median_s=0.2, sigma=0.5, tail_rate=0.1),
    )

    def play(seed: int) -> list[tuple[str | None, float]]:
        dice = Dice(random.Random(seed))
        throws = [dice.throw() for _ in range(200)]
        return [(pick_fault(edges_of(faults), draw), latency_s(latency, draw)) for draw in throws]

    assert play(1) == play(1) != play(2)


def test_faults_and_latency_come_at_their_rates() -> None:
    """Over 20,000 throws of one seed the shares, the median and the tail are those of the settings."""
    dice = Dice(random.Random(3))
    throws = [dice.throw() for _ in range(20_000)]
    faults = Faults(error_500=0.02, error_503=0.03, drop=0.05, malformed=0.1, cut=0.1, timeout=0.2)
    counts = Counter(pick_fault(edges_of(faults), draw) for draw in throws)
    shares = {str(kind): count for kind, count in counts.items()}
    for kind in get_args(FaultKind):
        rate = getattr(faults, kind)
        assert shares.get(kind, 0) / len(throws) == pytest.approx(rate, abs=0.01)
    latency = Latency(median_s=0.5, sigma=0.3, tail_rate=0.05, tail_factor=100.0)
    times = sorted(latency_s(latency, draw) for draw in throws)
    assert times[len(times) // 2] == pytest.approx(0.5, rel=0.05)
    assert sum(time > 10 for time in times) / len(times) == pytest.approx(0.05, abs=0.01)


def test_an_outage_holds_from_its_start_to_before_its_end() -> None:
    """Windows are half-open; outside of them nothing is out."""
    outages = [Outage(start_s=1, end_s=2, kind="drop"), Outage(start_s=5, end_s=6)]
    kinds = [current_outage(outages, elapsed_s=t) for t in (0.9, 1.0, 1.99, 2.0, 5.5)]
    assert kinds == [None, "drop", "drop", None, "error_503"]
