"""A Mapper's queues: everything taken is started once, jobs keep their width, cancelled ones start nothing."""

from collections import Counter, deque

from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.mapper.core import Item, MapperCore
from understudy.protocols.messages import Slice

steps = st.lists(
    st.tuples(
        st.sampled_from(["take", "take", "start", "start", "start", "end", "cancel", "hold"]),
        st.sampled_from("ab"),
        st.integers(0, 6),
    ),
    max_size=80,
)


@given(steps, st.integers(1, 4))
def test_agrees_with_plain_queues(script: list[tuple[str, str, int]], width: int) -> None:
    """Items start in the order they came, at most `width` at once, none twice; of unknown blocks all are given up."""
    core, queues, place = MapperCore(), {"a": deque[Item](), "b": deque[Item]()}, 0
    running: dict[str, list[Item]] = {"a": [], "b": []}
    for what, job, number in script:
        if what == "take":
            core.take(Slice(job, number % 3, place, place + number))
            queues[job].extend(Item(job, number % 3, at) for at in range(place, place + number))
            place += number
        elif what == "start":
            wanted = queues[job].popleft() if queues[job] and len(running[job]) < width else None
            started = core.start(job, width)
            assert started == wanted
            if started is not None:
                running[job].append(started)
        elif what == "end" and running[job]:
            core.ended(running[job].pop(number % len(running[job])))
        elif what == "cancel":
            assert core.cancel(job) == list(queues[job])
            queues[job].clear()
            running[job] = []
        elif what == "hold":
            known = {0: 1000, number % 3: 2000}
            queues[job] = deque(item for item in queues[job] if item.block in known)
            given_up = [item for item in running[job] if item.block not in known]
            running[job] = [item for item in running[job] if item.block in known]
            held = core.hold(job, known.get)
            assert Counter(held) == Counter(known[item.block] + item.place for item in (*running[job], *queues[job]))
            assert not any(core.runs(item) for item in given_up)
        assert all(core.runs(item) for item in running[job])
        assert core.held(job) == len(queues[job]) + len(running[job])


def test_an_end_after_the_cancelling_is_harmless() -> None:
    """Items that were running when their job was cancelled end without a trace, also when it is begun anew."""
    core = MapperCore()
    core.take(Slice("j", 0, 0, 2))
    old = core.start("j", 1)
    assert old is not None
    core.cancel("j")
    core.ended(old)
    assert (core.held("j"), core.start("j", 1)) == (0, None)
    core.take(Slice("j", 0, 0, 2))
    new = core.start("j", 1)
    assert new == old
    core.ended(old)
    assert (core.held("j"), core.start("j", 1)) == (2, None)


def test_items_that_were_begun_before_are_known() -> None:
    """Their eras come with the slice; so many of those that wait are named, in order."""
    core = MapperCore()
    core.take(Slice("j", 2, 0, 6, states={1: b"s"}, eras={1: 3, 4: 0, 5: 1}))
    assert core.begun_before("j", 2) == [Item("j", 2, 1, b"s", 3), Item("j", 2, 4, b"", 0)]
    assert [core.start("j", 9) for _ in range(2)] == [Item("j", 2, 0), Item("j", 2, 1, b"s", 3)]
    assert core.begun_before("j", 9) == [Item("j", 2, 4, b"", 0), Item("j", 2, 5, b"", 1)]
    assert core.begun_before("other", 9) == []
