"""Tests of drawing workflows: as a tree for the terminal, and as a Mermaid flowchart."""

import io
import json
import re
from pathlib import Path

import pytest
from flow_trees import flows
from hypothesis import HealthCheck, given, settings
from rich.console import Console

from understudy.cluster.flow_file import parse
from understudy.cluster.flows.graph import drawn, run
from understudy.protocols.workflow import Flow
from understudy.protocols.workflow.nodes import walk
from understudy.supervisors.workflow.graph import Branch, escaped, mermaid, tree

TRIAGE = """\
name: triage
run:
  kind: chain
  steps:
    - kind: route
      id: kind
      classifier: {kind: call, prompt: "{{ input }}", model: fast}
      generalist: other
      branches:
        bug: {kind: use, flow: fix}
        other: {kind: escalate, reason: "too hard"}
      escalate: {kind: approve, title: 'take "it"?'}
    - kind: parallel
      branches:
        a: {kind: value, value: 1, undo: {kind: value, value: 0}}
        b: {kind: function, call: "module:function"}
      then: {kind: call, prompt: "{{ results }}"}
      gate: {stop: it > 3}
    - {kind: value, value: 2, when: kind, on_error: {then: alternative, alternative: {kind: value, value: 3}}}
flows:
  fix: {kind: retry, node: {kind: call, prompt: "{{ input }}"}}
"""

TREE = """\
triage: flow
├── chain
│   ├── 1 kind: route, else other
│   │   ├── classifier: call, fast
│   │   ├── bug: use, fix
│   │   ├── other: escalate, too hard
│   │   └── escalate: approve, take "it"?
│   ├── 2 parallel, ends if it > 3
│   │   ├── a: value
│   │   │   └── undo: value
│   │   ├── b: function, module:function
│   │   └── then: call
│   └── 3 value, when kind
│       └── on error: value
└── flow fix: retry, 3 runs
    └── call
"""

CHART = """\
flowchart TD
  subgraph s1["chain"]
    subgraph s2["kind: route, else other"]
      n3["call, fast"]
      n4[["bug: use, fix"]]
      n5(["other: escalate, too hard"])
      n6{{"approve, take #quot;it#quot;?"}}
    end
    subgraph s7["parallel, ends if it #gt; 3"]
      n8("a: value")
      n9("value")
      n10[/"b: function, module:function"/]
      n11["call"]
    end
    n12("value, when kind")
    n13("value")
  end
  subgraph f14["flow fix"]
    subgraph s15["retry, 3 runs"]
      n16["call"]
    end
  end
  n3 -->|"bug"| n4
  n3 -->|"other"| n5
  n4 -.->|"escalates"| n6
  n5 -.->|"escalates"| n6
  n8 -.->|"undo"| n9
  n8 --> n11
  n10 --> n11
  n12 -.->|"on error"| n13
  s2 --> s7
  s7 -->|"unless it #gt; 3"| n12
  n4 -.-> f14
"""

_FRAME = r'subgraph (?P<frame>[sf]\d+)\["[^"]*"\]'
_SHAPES = r'\["[^"]*"\]|\[\["[^"]*"\]\]|\[/"[^"]*"/\]|\("[^"]*"\)|\(\["[^"]*"\]\)|\{\{"[^"]*"\}\}'
BOX = re.compile(rf' *(?:{_FRAME}|(?P<box>n\d+)(?:{_SHAPES})|(?P<choice>d\d+)\{{"which\?"\}})')
ARROW = re.compile(r'  ([nsfd]\d+) (?:-->|-\.->)(?:\|"[^"]*"\|)? ([nsfd]\d+)')


def text(flow: Flow, width: int = 80) -> str:
    """The tree as it is printed."""
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(drawn(tree(flow)))
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def steps(flow: Flow) -> int:
    """How many there are."""
    return sum(1 for root in (flow.run, *flow.flows.values()) for _ in walk(root))


def count(branch: Branch) -> int:
    """Branches, itself among them."""
    return 1 + sum(map(count, branch.branches))


def test_tree_of_a_small_flow() -> None:
    """Each step is a line with its part in what is around it, its id, its kind and what else is worth knowing."""
    assert text(parse(TRIAGE)[0]) == TREE


def test_chart_of_a_small_flow() -> None:
    """Steps are boxes, those with steps inside are frames, and arrows say what follows what, and when."""
    assert mermaid(parse(TRIAGE)[0]) == CHART


def test_route_by_rules_has_a_place_where_it_decides() -> None:
    """Where no step classifies, a diamond stands for the decision."""
    flow, _ = parse("run: {kind: route, model: m, branches: {a: {kind: value, value: 1}}, generalist: a}")
    assert mermaid(flow).splitlines()[1:] == [
        '  subgraph s1["route, asks m, else a"]',
        '    n2("a: value")',
        '    d3{"which?"}',
        "  end",
        '  d3 -->|"a"| n2',
    ]


def test_a_flow_that_uses_itself_is_drawn() -> None:
    """Also a circle can be looked at; no arrow leads from a box to the frame around it, which Mermaid refuses."""
    flow, _ = parse("run: {kind: use, flow: a}\nflows: {a: {kind: use, flow: a}}")
    assert mermaid(flow).splitlines()[-1] == "  n1 -.-> f2"


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(flows())
def test_every_step_is_drawn_once(flow: Flow) -> None:
    """Of whatever workflow: each step stands once in the tree and once in the chart, whose lines are all Mermaid's."""
    assert count(tree(flow)) == steps(flow) + 1
    head, *lines = mermaid(flow).splitlines()
    assert head == "flowchart TD"
    boxes = [found for line in lines if (found := BOX.fullmatch(line))]
    arrows = [found for line in lines if (found := ARROW.fullmatch(line))]
    ends = [line for line in lines if line.strip() == "end"]
    names = [str(found.group(found.lastgroup or "")) for found in boxes]
    assert len(boxes) + len(arrows) + len(ends) == len(lines)
    assert len(names) == len(set(names))
    assert {name for found in arrows for name in found.groups()} <= set(names)
    assert sum(name[0] in "sn" for name in names) == steps(flow)
    assert sum(name[0] in "sf" for name in names) == len(ends)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(flows())
def test_each_step_is_a_line_of_the_terminal(flow: Flow) -> None:
    """The tree is as many lines as there are steps, none wider than the terminal."""
    lines = text(flow, width=60).rstrip("\n").split("\n")
    assert len(lines) == steps(flow) + 1
    assert all(len(line) <= 60 for line in lines)


def test_labels_are_escaped() -> None:
    """What means something to Mermaid stands as an entity, and a label is one line."""
    assert escaped('a "b"\n<c> `d` #1 & \\e') == "a #quot;b#quot; #lt;c#gt; #96;d#96; #35;1 #amp; #92;e"


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints the tree, the chart, or the tree as JSON; piped it is plain and at most 80 columns wide."""
    path = tmp_path / "flow.yaml"
    path.write_text(TRIAGE, encoding="utf-8")
    assert run(path) == 0
    plain = capsys.readouterr().out
    assert [line.rstrip() for line in plain.splitlines()] == TREE.splitlines()
    assert run(path, mermaid=True) == 0
    assert capsys.readouterr().out == CHART
    assert run(path, json=True) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["kind"], shown["name"]) == ("flow", "triage")
    assert shown["branches"][0]["branches"][0]["place"] == ["steps", 0]
