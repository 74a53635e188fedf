"""The outbox: order, bounds, and what becomes of expired envelopes."""

from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.mailbox.outbox import BATCH_BYTES, BATCH_COUNT, Outbox
from understudy.protocols.envelope import Envelope
from understudy.protocols.messages import Done


def letter(number: int, deadline: float | None = None) -> Envelope:
    return Envelope(f"m-{number}", "me", Done(), deadline=deadline)


@given(
    st.lists(
        st.tuples(st.integers(1, 60_000) | st.just(200_000), st.none() | st.floats(0.1, 5), st.floats(0, 1)),
        max_size=60,
    ),
    st.floats(0, 4),
)
def test_batches_keep_order_and_bounds(rows: list[tuple[int, float | None, float]], later: float) -> None:
    """All that is not expired leaves once, in order, in batches within the bounds, with the time it has left."""
    box, now = Outbox(), 0.0
    expected: list[tuple[str, float | None, float]] = []
    weights: dict[str, int] = {}
    for number, (weight, deadline, gap) in enumerate(rows):
        now += gap
        assert box.offer(letter(number, deadline), weight=weight, now=now)
        weights[f"m-{number}"] = weight
        expected.append((f"m-{number}", deadline, now))
    now += later
    out: list[Envelope] = []
    while len(box):
        batch = box.cut(now=now)
        assert len(batch) <= BATCH_COUNT
        assert len(batch) <= 1 or sum(weights[one.id] for one in batch) <= BATCH_BYTES
        assert batch or not len(box)
        out += batch
    alive = [
        (ident, None if deadline is None else deadline - (now - since))
        for ident, deadline, since in expected
        if deadline is None or deadline - (now - since) > 0
    ]
    assert [(one.id, one.deadline) for one in out] == alive


def test_many_small_ones_are_cut_by_count() -> None:
    """A batch holds no more envelopes than its bound, however light."""
    box = Outbox()
    for number in range(BATCH_COUNT + 1):
        box.offer(letter(number), weight=1, now=0.0)
    assert [len(box.cut(now=0.0)) for _ in range(3)] == [BATCH_COUNT, 1, 0]


def test_a_full_box_refuses_and_takes_again() -> None:
    """One more than the bound is refused; after a batch left there is place again."""
    box = Outbox(max_count=2)
    assert [box.offer(letter(number), weight=1, now=0.0) for number in range(3)] == [True, True, False]
    box.cut(now=0.0)
    assert box.offer(letter(3), weight=1, now=0.0)
    assert [one.id for one in box.clear()] == ["m-3"]
    assert len(box) == 0
