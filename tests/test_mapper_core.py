"""A Mapper's queues: everything taken is started once, jobs keep their width, cancelled ones start nothing."""

from collections import Counter, deque

from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.mapper.core import Item, MapperCore
from understudy.protocols.messages import Slice

steps = st.lists(
    st.tuples(
        st.sampled_from(["take", "take", "start", "start", "start", "end", "cancel"]),
        st.sampled_from("ab"),
        st.integers(0, 6),
    ),
    max_size=80,
)


@given(steps, st.integers(1, 4))
def test_agrees_with_plain_queues(script: list[tuple[str, str, int]], width: int) -> None:
    """Items start in the order they came, at most `width` at once in each job, and none twice."""
    core, queues, running, place = MapperCore(), {"a": deque[Item](), "b": deque[Item]()}, Counter[str](), 0
    for what, job, number in script:
        if what == "take":
            core.take(Slice(job, 3, place, place + number))
            queues[job].extend(Item(job, 3, at) for at in range(place, place + number))
            place += number
        elif what == "start":
            wanted = queues[job].popleft() if queues[job] and running[job] < width else None
            running[job] += wanted is not None
            assert core.start(job, width) == wanted
        elif what == "end" and running[job]:
            core.ended(job)
            running[job] -= 1
        elif what == "cancel":
            core.cancel(job)
            queues[job].clear()
            running[job] = 0
        assert core.held(job) == len(queues[job]) + running[job]


def test_an_end_after_the_cancelling_is_harmless() -> None:
    """Items that were running when their job was cancelled end without a trace."""
    core = MapperCore()
    core.take(Slice("j", 0, 0, 2))
    core.start("j", 1)
    core.cancel("j")
    core.ended("j")
    assert (core.held("j"), core.start("j", 1)) == (0, None)
