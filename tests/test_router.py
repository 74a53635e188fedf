"""The order of candidates against a naive sort."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.router.core import Health, Router
from understudy.protocols.config import Candidate
from understudy.protocols.errors import ConfigError

NAMES = "abcde"
candidates = st.lists(
    st.tuples(st.sampled_from(NAMES), st.none() | st.integers(100, 900)),
    min_size=1,
    max_size=6,
    unique_by=lambda row: row[0],
).map(lambda rows: [Candidate(account=name, model="m", window=window) for name, window in rows])
healths = st.dictionaries(
    st.sampled_from(NAMES),
    st.builds(Health, blocked_until=st.sampled_from([0.0, 100.5, 101.5, 130.0]), down=st.booleans()),
)


@given(candidates, healths, st.integers(0, 1000))
def test_healthy_first_then_by_when_they_are_free(
    route: list[Candidate], health: dict[str, Health], tokens: int
) -> None:
    """Free ones as configured, then the blocked by when they are free, then those that are down; none too small."""
    found = Router({"r": route}).candidates("r", health, now=100.0, tokens=tokens)
    fitting = [one for one in route if (one.window or 10**9) >= tokens] or route
    down = [one for one in fitting if health.get(one.account, Health()).down]
    blocked = [one for one in fitting if one not in down and health.get(one.account, Health()).blocked_until > 101.0]
    free = [one for one in fitting if one not in down and one not in blocked]
    blocked.sort(key=lambda one: health[one.account].blocked_until)
    if len(route) == 1:
        assert list(found) == route, "there is no choice"
    else:
        assert list(found) == free + blocked + down


def test_an_unknown_route_names_the_known_ones() -> None:
    """The error says which routes there are."""
    with pytest.raises(ConfigError, match=r"there is no model 'x'.*defined: a, b"):
        Router({"b": (), "a": ()}).candidates("x", {}, now=0.0)
