"""Steps as a file has them, in few words."""

from typing import Any

from understudy.protocols.workflow import Flow


def flow(node: dict[str, Any], **rest: Any) -> Flow:
    """A workflow that runs `node`."""
    return Flow.model_validate({"run": node, **rest})


def value(what: Any = 1, **rest: Any) -> dict[str, Any]:
    """A value."""
    return {"kind": "value", "value": what, **rest}


def call(prompt: str, **rest: Any) -> dict[str, Any]:
    """A call."""
    return {"kind": "call", "prompt": prompt, **rest}


def chain(*steps: dict[str, Any], **rest: Any) -> dict[str, Any]:
    """A chain."""
    return {"kind": "chain", "steps": list(steps), **rest}


def each(node: dict[str, Any], **rest: Any) -> dict[str, Any]:
    """A step for each item."""
    return {"kind": "parallel", "over": "input", "each": node, **rest}


def many(variant: str = "reduce", **rest: Any) -> dict[str, Any]:
    """A map-reduce."""
    given = {"kind": "map_reduce", "variant": variant, "map": call("{{ chunk }}"), "reduce": call("{{ parts }}")}
    return {**given, **rest}


def route(**rest: Any) -> dict[str, Any]:
    """A route."""
    return {"kind": "route", "model": "fast", "branches": {"a": value()}, "generalist": "a", **rest}


def evaluate(**rest: Any) -> dict[str, Any]:
    """An evaluator-optimizer."""
    judge = call("{{ draft }}", output={"type": "object", "properties": {"accept": {"type": "boolean"}}})
    return {"kind": "evaluate", "generate": call("{{ verdict }} {{ round }}"), "evaluate": judge, **rest}
