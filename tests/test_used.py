"""The lines of a bill, by candidate."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.used import by_candidate
from understudy.protocols.call import Attempt
from understudy.protocols.chat import Usage
from understudy.protocols.messages import ItemDone, Used


@st.composite
def attempts(draw: st.DrawFn) -> list[Attempt]:
    """Attempts at up to three candidates, one of them without a price."""
    drawn = []
    for _ in range(draw(st.integers(0, 6))):
        name = draw(st.sampled_from(["a/m", "b/m", "free/m"]))
        sent = draw(st.booleans())
        usage = Usage(*(draw(st.integers(0, 9)) for _ in range(2))) if sent else Usage()
        cost = (-1 if name == "free/m" and usage.total else draw(st.integers(0, 99))) if sent else 0
        open_cost = draw(st.integers(0, 99)) if sent else 0
        drawn.append(Attempt(name, "retry", "ok", 0.0, 1.0, sent=sent, usage=usage, cost=cost, open_cost=open_cost))
    return drawn


@given(attempts())
def test_lines_are_sums_by_candidate(made: list[Attempt]) -> None:
    """Each line is the sum of what was sent to its candidate; one line of who answered is left out."""
    naive: defaultdict[str, list[Attempt]] = defaultdict(list)
    for one in made:
        if one.sent:
            naive[one.candidate].append(one)
    lines = by_candidate(made, "a/m")
    if set(naive) <= {"a/m"}:
        assert lines == ()
        return
    assert [line.model for line in lines] == list(naive)
    for line in lines:
        own = naive[line.model]
        assert line.attempts == len(own)
        assert line.input_tokens == sum(one.usage.input_tokens for one in own)
        assert line.output_tokens == sum(one.usage.output_tokens for one in own)
        assert line.open_cost == sum(one.open_cost for one in own)
        costs = [one.cost for one in own]
        assert line.cost == (-1 if -1 in costs else sum(costs))


def test_an_unknown_price_leaves_the_others_known() -> None:
    """What counts against a budget is all that has a price, and what may have been charged besides."""
    used = (Used("a/m", 1, 10, 5, 700, 30), Used("free/m", 1, 10, 5, -1))
    done = ItemDone(0, attempts=2, cost=-1, open_cost=30, used=used)
    assert (done.known_cost, done.spent) == (700, 730)
    assert (ItemDone(0, cost=-1).spent, ItemDone(0, cost=5, open_cost=1).spent) == (0, 6)
