"""What a classifier's output names, and what follows where it names nothing."""

from typing import Any

import pytest
from flow_strategies import NOBODY, Node, interpreter, value
from hypothesis import given
from hypothesis import strategies as st

from understudy.protocols.messages import ItemDone
from understudy.protocols.workflow.spec import item
from understudy.supervisors.patterns.route import named

BRANCHES = ["billing", "bug", "feature_request"]


@given(st.sampled_from(BRANCHES), st.sampled_from(["route", "branch", "label", "category", "anything"]))
def test_a_branch_is_named_in_any_usual_form(branch: str, key: str) -> None:
    """As a text, with signs around it, in other case, or as the value of a mapping."""
    for said in (branch, f" {branch}.\n", branch.upper(), f"**{branch}**", {key: branch}, {key: branch.title()}):
        assert named(said, BRANCHES) == branch


@pytest.mark.parametrize(
    "said", ["", "billing or bug", "none of them", None, 5, [], ["bug"], {}, {"a": "bug", "b": "bug"}]
)
def test_what_names_no_branch_names_none(said: Any) -> None:
    """Or several: nobody guesses."""
    assert named(said, BRANCHES) == ""


@given(st.one_of(st.none(), st.text(), st.integers(), st.dictionaries(st.text(), st.text(), max_size=2)))
def test_whatever_is_said_a_branch_is_one_of_them(said: Any) -> None:
    """A name that is found is one of the branches."""
    assert named(said, BRANCHES) in ("", *BRANCHES)


async def taken(**fields: Any) -> tuple[ItemDone, str]:
    """Which branch a route takes; each says its own name, of which the first and last are free."""
    branches: Node = {name: value("{{ route }}") for name in BRANCHES}
    node = {"kind": "route", "branches": branches, "generalist": "bug", **fields}
    done = await interpreter(node).map(0, item({"label": "billing", "n": 2}), NOBODY)
    return done, done.error


@pytest.mark.parametrize(
    ("fields", "branch", "degraded"),
    [
        ({"rules": [{"when": "input.n > 5", "to": "bug"}, {"when": "input.n > 1", "to": "billing"}]}, "billing", False),
        ({"rules": [{"when": "false", "to": "billing"}]}, "bug", False),
        ({"classifier": value("{{ input.label }}")}, "billing", False),
        ({"classifier": value("who knows")}, "bug", False),
        ({"classifier": value("{{ nothing }}")}, "bug", True),
        (
            {"classifier": value("billing"), "rules": [{"when": "true", "to": "feature_request"}]},
            "feature_request",
            False,
        ),
    ],
)
async def test_who_decides(fields: dict[str, Any], branch: str, degraded: bool) -> None:
    """The first rule that holds, else the classifier, else the generalist; a classifier that failed is told."""
    done, error = await taken(**fields)
    assert error == ""
    assert f'"{branch}"'.encode() in done.data
    assert done.degraded == degraded
