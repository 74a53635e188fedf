"""Templates: values keep their kind, nothing undefined passes, and the sandbox holds."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.protocols.errors import ConfigError, StepFailed
from understudy.supervisors.workflow import templates

json = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-9, 9), st.text(st.characters(exclude_characters="{}"), max_size=5)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text("ab", max_size=2), inner, max_size=3)),
    max_leaves=6,
)


@given(json)
def test_a_value_without_templates_is_itself(value: Any) -> None:
    """Filling in changes nothing where there is nothing to fill in."""
    assert templates.fill(value, {}) == value


@given(json)
def test_a_text_that_is_one_template_keeps_the_value(value: Any) -> None:
    """Its kind and all, wherever it stands."""
    assert templates.fill({"k": ["{{ it }}", " {{it}}\n"]}, {"it": value}) == {"k": [value, value]}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ n }} and {{ m }}", "1 and 2"),
        ("{{ it }}", '{"a":[1,true]}'),
        ("<{{ nothing }}>", "<>"),
        ("{{ yes }}", "true"),
        ("{{ it | tojson }}", '{"a":[1,true]}'),
        ("no template {", "no template {"),
    ],
)
def test_values_in_a_text(template: str, text: str) -> None:
    """Mappings and lists stand as JSON, nothing as nothing."""
    scope = {"n": 1, "m": 2, "it": {"a": [1, True]}, "nothing": None, "yes": True}
    assert templates.render(template, scope) == text


@pytest.mark.parametrize(
    "template", ["{{ who }}", "{{ it.who }}!", "{{ it['who'] }}!", "{% for x in who %}{% endfor %}"]
)
def test_what_is_not_defined_is_a_failure(template: str) -> None:
    """And never an empty text."""
    with pytest.raises(StepFailed, match="who"):
        templates.render(template, {"it": {}})
    with pytest.raises(StepFailed, match="who"):
        templates.fill([template], {"it": {}})


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ it.append(1) }}",
        "{{ it.clear() }}",
        "{{ (1).__class__ }}",
        "{{ range(10000000) | list }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ it / 0 }}",
        "{{ it | int + 'a' }}",
    ],
)
def test_a_template_does_nothing_but_say(template: str) -> None:
    """It reaches nothing of the process, changes no value, and what it can't do is a failure in one line."""
    given_ = [1]
    with pytest.raises(StepFailed) as caught:
        templates.render(template, {"it": given_})
    assert "\n" not in str(caught.value)
    assert given_ == [1]


def test_a_template_makes_no_endless_text() -> None:
    """What would fill the memory is a failure."""
    with pytest.raises(StepFailed, match="more than 50,000,000"):
        templates.render("{{ 'x' * 30000000 }}{{ 'x' * 30000000 }}", {})


@pytest.mark.parametrize(
    ("expression", "value"),
    [("it.score > 0.5", True), ("it['label'] == 'bug'", True), ("it.tags | length", 2), ("not it.tags", False)],
)
def test_expressions(expression: str, value: object) -> None:
    """Their value, and whether they hold."""
    scope = {"it": {"score": 0.7, "label": "bug", "tags": ["a", "b"]}}
    assert templates.evaluate(expression, scope) == value
    assert templates.holds(expression, scope) == bool(value)
    assert templates.names_in_expression(expression) == {"it"}


def test_what_a_template_needs_is_known_before() -> None:
    """Its variables and their first attributes; not those that it sets itself."""
    template = "{% for part in parts %}{{ part.name }}: {{ draft.text }}{{ case['label'] }}{% endfor %}"
    assert templates.names_in(template) == {"parts", "draft", "case"}
    assert {("draft", "text"), ("case", "label"), ("part", "name")} == templates.attributes_in(template)
    assert templates.names_in_value({"a": ["{{ x }}", {"b": "{{ y }}"}], "c": 1}) == {"x", "y"}


@pytest.mark.parametrize("broken", ["{{ x", "{% if %}", "{{ x | nofilter }}", "a\nb {% endfor %}"])
def test_what_is_no_template_is_told_before_anything_runs(broken: str) -> None:
    """As a mistake of whoever wrote it."""
    with pytest.raises(ConfigError, match="is no template"):
        templates.names_in(broken)
