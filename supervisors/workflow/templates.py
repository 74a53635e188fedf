"""Templates and expressions: Jinja2 in its immutable sandbox, where a variable that is not defined is an error.

Values are JSON. In a text a mapping or a list stands as JSON, None as nothing; a text that is one `{{ … }}` and nothing
else is a value of its own kind.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

import orjson
from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ...protocols.errors import ConfigError, StepFailed

Scope = Mapping[str, Any]
"""The variables that templates know."""

_ALONE: Final = re.compile(r"\s*\{\{((?:(?!\{\{|\}\}).)*)\}\}\s*", re.DOTALL)
_MOST: Final = 50_000_000
"""Characters that a template may make: more is a mistake, and would fill the memory of whoever runs it."""


def _plain(value: Any) -> Any:
    if value is None:
        return ""
    return _json(value) if isinstance(value, Mapping | list | tuple | bool) else value


def _json(value: Any) -> str:
    return orjson.dumps(value, default=_of_mapping, option=orjson.OPT_NON_STR_KEYS).decode()


def _of_mapping(value: Any) -> Any:
    """`steps` is a mapping but no dict."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError


class _Environment(ImmutableSandboxedEnvironment):
    """A sandbox in which `job.values` is what stands under that key, where there is one, and no method of a dict."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        """What is under a key of a mapping, else as Jinja2 finds it."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


def _environment() -> ImmutableSandboxedEnvironment:
    env = _Environment(
        undefined=StrictUndefined,
        autoescape=False,  # prompts are no HTML: a model has to read what was written
        keep_trailing_newline=True,
        finalize=_plain,
    )
    env.filters["tojson"] = _json
    return env


_ENV: Final = _environment()


def render(template: str, scope: Scope) -> str:
    """The text. Raises `StepFailed` when a variable is not defined, or the template does what it must not."""
    if "{" not in template:
        return template
    try:
        text: str = _template(template).render(scope)
    except _REFUSED as error:
        raise StepFailed(f"its template can't be filled in: {_said(error)}") from None
    if len(text) > _MOST:
        raise StepFailed(f"its template makes {len(text):,} characters, more than {_MOST:,}")
    return text


def evaluate(expression: str, scope: Scope) -> Any:
    """The value of an expression. Raises `StepFailed` as `render` does."""
    try:
        value = _expression(expression)(scope)
    except _REFUSED as error:
        raise StepFailed(f"{expression!r} can't be evaluated: {_said(error)}") from None
    if isinstance(value, StrictUndefined):
        raise StepFailed(f"{expression!r} is not defined")
    return value if isinstance(value, _JSON) else _listed(value, expression)


def _listed(value: Any, expression: str) -> Any:
    """What filters and views give, `x|map('upper')` or `x.values()`, as a list: it is read more than once, and sent."""
    if isinstance(value, Iterable):
        try:
            return dict(value) if isinstance(value, Mapping) else list(value)
        except _REFUSED as error:
            raise StepFailed(f"{expression!r} can't be evaluated: {_said(error)}") from None
    raise StepFailed(f"{expression!r} is no value but a {type(value).__name__}")


def holds(expression: str, scope: Scope) -> bool:
    """True where the expression's value is true. Raises `StepFailed` as `evaluate` does."""
    return bool(evaluate(expression, scope))


def fill(value: Any, scope: Scope) -> Any:
    """A value with the templates in all its texts filled in. Raises `StepFailed` as `render` does."""
    if isinstance(value, str):
        alone = _ALONE.fullmatch(value)
        return evaluate(alone[1], scope) if alone else render(value, scope)
    if isinstance(value, dict):
        return {key: fill(one, scope) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [fill(one, scope) for one in value]
    return value


_JSON: Final = (str, int, float, dict, list, tuple, type(None))
_REFUSED: Final = (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)


def _said(error: Exception) -> str:
    return str(error).split("\n", 1)[0] or type(error).__name__


@lru_cache(maxsize=1024)
def _template(source: str) -> Any:
    return _ENV.from_string(source)


@lru_cache(maxsize=1024)
def _expression(source: str) -> Callable[[Scope], Any]:
    compiled = _ENV.compile_expression(source.strip(), undefined_to_none=False)
    return lambda scope: compiled(**scope)


# Before anything runs -------------------------------------------------------------------------------------------------


def names_in(template: str) -> frozenset[str]:
    """The variables a template needs. Raises `ConfigError` when it is no template; the text says where in it."""
    return frozenset(meta.find_undeclared_variables(_parsed(template)))


def names_in_expression(expression: str) -> frozenset[str]:
    """The variables an expression needs. Raises `ConfigError` when it is none."""
    try:
        _expression(expression)
    except TemplateSyntaxError as error:
        raise ConfigError(f"{expression!r} is no expression: {error.message}") from None
    return names_in(f"{{{{ ({expression}) }}}}")


def attributes_in(template: str) -> frozenset[tuple[str, str]]:
    """(variable, attribute) of each first attribute a template asks of a variable, `{{ case.label }}`."""
    found = set()
    parsed = _parsed(template)
    for attribute in parsed.find_all(nodes.Getattr):
        if isinstance(attribute.node, nodes.Name):
            found.add((attribute.node.name, attribute.attr))
    for item in parsed.find_all(nodes.Getitem):
        if isinstance(item.node, nodes.Name) and isinstance(item.arg, nodes.Const):
            found.add((item.node.name, str(item.arg.value)))
    return frozenset(found)


def names_in_value(value: Any) -> frozenset[str]:
    """The variables that the templates in a value need. Raises `ConfigError` as `names_in` does."""
    return frozenset().union(*(names_in(text) for text in texts_in(value)))


def texts_in(value: Any) -> list[str]:
    """All texts in a value."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [text for one in value for text in texts_in(one)] if isinstance(value, list | tuple) else []


@lru_cache(maxsize=1024)
def _parsed(template: str) -> nodes.Template:
    try:
        parsed = _ENV.parse(template)
        _template(template)  # filters and tests that there are not are found when it is compiled
    except TemplateSyntaxError as error:
        where = f" (line {error.lineno} of it)" if template.count("\n") else ""
        raise ConfigError(f"is no template: {error.message}{where}") from None
    except TemplateError as error:
        raise ConfigError(f"is no template: {_said(error)}") from None
    return parsed
