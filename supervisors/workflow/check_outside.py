"""What a workflow needs from outside: configured models, functions and classes to import, schemas that can be met."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Final

import jsonschema_rs
import orjson
from pydantic import BaseModel, ValidationError

from ...protocols.config import AUTO, Config
from ...protocols.errors import ConfigError
from ...protocols.strict import unknown
from ...protocols.suggest import did_you_mean
from ...protocols.workflow import satisfiable
from ...protocols.workflow.basic import Call, Function
from ...protocols.workflow.nodes import Flow, walk
from ...protocols.workflow.patterns import Route
from ...protocols.workflow.step import Schema
from ..patterns.basic import imported
from ..patterns.call import model_of
from .flaw import Flaw, Place, roots

_LONGEST: Final = 200


def check_outside(flow: Flow, config: Config | None, *, importing: bool) -> Iterator[Flaw]:
    """Models that are not configured, what can't be imported or called so, and schemas that no answer can meet."""
    yield from _of_schema(flow.input, ("input",), importing=importing)
    for at, root in roots(flow).items():
        for path, node in walk(root, at):
            if isinstance(node, Call | Route) and node.model and config is not None:
                yield from _of_model(node.model, (*path, "model"), config)
            if isinstance(node, Call):
                yield from _of_schema(node.output, (*path, "output"), importing=importing)
            if isinstance(node, Function) and importing:
                yield from _of_function(node, path)


def _of_model(name: str, path: Place, config: Config) -> Iterator[Flaw]:
    if name != AUTO and name not in config.models:
        yield Flaw(path, unknown("route", name, [*config.models, AUTO]))


# Functions ------------------------------------------------------------------------------------------------------------


def _of_function(node: Function, path: Place) -> Iterator[Flaw]:
    work, flaw = _loaded(imported, node.call)
    if work is None:
        yield Flaw((*path, "call"), flaw)
        return
    try:
        parameters = inspect.signature(work).parameters.values()
    except (ValueError, TypeError):  # some that are written in C don't say
        return
    by_name = [it.name for it in parameters if it.kind in (it.POSITIONAL_OR_KEYWORD, it.KEYWORD_ONLY)]
    takes_any = any(it.kind is it.VAR_KEYWORD for it in parameters)
    for name in node.args:
        if name not in by_name and not takes_any:
            known = did_you_mean(name, by_name) or f"; it has: {', '.join(by_name) or 'none'}"
            yield Flaw((*path, "args", name), f"{node.call} has no such argument{known}")
    for it in parameters:
        if it.default is not it.empty or it.kind in (it.VAR_KEYWORD, it.VAR_POSITIONAL):
            continue
        if it.kind is it.POSITIONAL_ONLY:
            yield Flaw((*path, "call"), f"its argument {it.name!r} can't be given by name; wrap it in a function")
        elif it.name not in node.args:
            yield Flaw((*path, "args"), f"{node.call} needs the argument {it.name!r}; give it")


def _loaded(how: Callable[[str], Any], path: str) -> tuple[Any, str]:
    """(what the path names, ""), or (None, why it can't be had)."""
    try:
        return how(path), ""
    except ConfigError as error:
        return None, str(error)
    except Exception as error:  # noqa: BLE001 - code of others runs here, and may raise anything
        return None, f"{path!r} can't be imported: {type(error).__name__}: {error}"[:_LONGEST]


# Schemas --------------------------------------------------------------------------------------------------------------


def _of_schema(schema: Schema | None, path: Place, *, importing: bool) -> Iterator[Flaw]:
    if isinstance(schema, str):
        if importing:
            model, flaw = _loaded(model_of, schema)
            if model is None:
                yield Flaw(path, flaw)
        return
    if schema is None:
        return
    try:
        validator_of(schema)
    except ConfigError as error:
        yield Flaw(path, str(error))
        return
    pointer, reason = satisfiable.flaw(schema)
    if reason:
        yield Flaw((*path, *_within(schema, pointer)), f"no answer can ever fit it: {reason}")


def validator_of(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    """Raises `ConfigError` when it is no JSON Schema. Nothing is fetched: references lead nowhere but inside it."""
    try:
        return jsonschema_rs.validator_for(schema, offline=True)
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        where = "/".join(map(str, getattr(error, "instance_path", ())))
        said = " ".join(str(getattr(error, "message", error)).split())[:_LONGEST]
        raise ConfigError(f"is no JSON Schema{f' (at {where})' if where else ''}: {said}") from None


def _within(schema: Any, pointer: str) -> Place:
    """A JSON pointer as a path in the file."""
    path: list[str | int] = []
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        path.append(int(key) if isinstance(schema, list) else key)
        schema = schema[int(key)] if isinstance(schema, list) else schema.get(key) if isinstance(schema, dict) else None
    return tuple(path)


def misfit(schema: Schema, value: Any) -> str:
    """Why a value does not fit; empty where it does. Raises `ConfigError` for what is no schema."""
    if isinstance(schema, str):
        model = model_of(schema)
        assert model is not None
        return _misfit_of_model(model, value)
    error = next(iter(validator_of(schema).iter_errors(value)), None)
    if error is None:
        return ""
    return _at("".join(f".{part}" for part in error.instance_path), " ".join(error.message.split())[:_LONGEST])


def _misfit_of_model(model: type[BaseModel], value: Any) -> str:
    try:
        model.model_validate_json(orjson.dumps(value))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        return _at("".join(f".{part}" for part in first["loc"]), first["msg"])
    return ""


def _at(where: str, text: str) -> str:
    return f"input{where}: {text}"
