"""Anthropic's messages protocol as a provider writes it.

Source: docs.anthropic.com/en/api: messages, streaming, errors, rate-limits; build-with-claude/prompt-caching.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from math import ceil
from typing import Any, ClassVar

import orjson

from .dialect import Dialect, DialectName, Event, Failure, Spoken, Stamp, Target, pieces
from .dialect_openai import read_model
from .quota import Standing
from .request import (
    BadRequestError,
    Finish,
    Reply,
    Request,
    ToolSpec,
    Turn,
    an_object,
    assemble,
    count_tokens,
    objects,
    positive,
    read_object,
)
from .settings import ModelSettings
from .wire import sse

_STOP: dict[Finish, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "filtered": "refusal",
    "tool_calls": "tool_use",
}
_LOW = "Your credit balance is too low to access the API. Please go to Plans & Billing to upgrade or purchase credits."

# kind: (status, type, message)
_ERRORS: dict[str, tuple[int, str, str]] = {
    "auth": (401, "authentication_error", "invalid x-api-key"),
    "revoked": (401, "authentication_error", "This API key has been revoked."),
    "bad_request": (400, "invalid_request_error", "The request is not valid."),
    "too_large": (413, "request_too_large", "Request exceeds the maximum size"),
    "filtered": (400, "invalid_request_error", "Output blocked by content filtering policy"),
    "insufficient_quota": (402, "billing_error", _LOW),
    "error_500": (500, "api_error", "Internal server error"),
    "error_503": (503, "api_error", "Service unavailable"),
    "overloaded": (529, "overloaded_error", "Overloaded"),
}


class Anthropic(Dialect):
    """``POST /v1/messages``."""

    name: ClassVar[DialectName] = "anthropic"

    def read(self, body: bytes, target: Target) -> Request:
        """See `Dialect`."""
        if target.complaint:
            raise BadRequestError(target.complaint)
        data = read_object(body)
        model = read_model(data)
        if data.get("max_tokens") is None:
            raise BadRequestError("max_tokens: Field required", "max_tokens")
        turns = _read_system(data.get("system")) + _read_messages(data.get("messages"))
        request = assemble(model, turns, max_tokens=positive(data, "max_tokens"), stream=data.get("stream") is True)
        if data.get("tools") is not None:
            _read_tools(data, request)
        config = data.get("output_config")
        form = config.get("format") if isinstance(config, dict) else data.get("output_format")
        if form is not None:
            request.schema = an_object(an_object(form, "output_config.format").get("schema"), "output_config.format")
        return request

    def answer(self, request: Request, reply: Reply, stamp: Stamp) -> bytes:
        """A whole message."""
        content: list[dict[str, Any]] = [{"type": "text", "text": reply.text}] if reply.text else []
        if reply.tool is not None:
            content = [_tool_use(stamp, reply.tool.name, orjson.loads(reply.tool.arguments))]
        body = {**_message(request, stamp), "content": content}
        return orjson.dumps(
            {**body, "stop_reason": _STOP[reply.finish_reason], "usage": _usage(request, reply, reply.tokens)}
        )

    def events(self, request: Request, reply: Reply, stamp: Stamp, chunk_chars: int) -> list[Event]:
        """message_start, one block of content, message_delta, message_stop; a ping after the block begins."""
        start = {**_message(request, stamp), "content": [], "stop_reason": None}
        start["usage"] = _usage(request, reply, reply.reasoning_tokens)
        events = [Event(_event("message_start", message=start), reply.reasoning_tokens)]
        events += _block(reply, stamp, chunk_chars)
        delta = {"stop_reason": _STOP[reply.finish_reason], "stop_sequence": None}
        events.append(Event(_event("message_delta", delta=delta, usage={"output_tokens": reply.tokens})))
        events.append(Event(_event("message_stop")))
        return events

    def blocked(self, request: Request, stamp: Stamp) -> Spoken:
        """A 400 that speaks of the content filter."""
        return self.error(Failure("filtered", model=request.model), stamp)

    def error(self, failure: Failure, stamp: Stamp) -> Spoken:
        """Anthropic's error object."""
        if failure.kind == "refused_429":
            limit = "requests" if failure.limit == "concurrency" else failure.limit
            message = f"This request would exceed your organization's rate limit of {limit} per minute."
            return Spoken(429, _error("rate_limit_error", message, stamp))
        if failure.kind == "not_found":
            return Spoken(404, _error("not_found_error", f"model: {failure.model}", stamp))
        if failure.kind == "context":
            return Spoken(400, _error("invalid_request_error", _too_long(failure), stamp))
        status, kind, message = _ERRORS[failure.kind]
        return Spoken(status, _error(kind, failure.message or message, stamp))

    def error_event(self, stamp: Stamp) -> bytes:  # noqa: ARG002 (the event carries no id)
        """``event: error`` with an overloaded_error."""
        return _event("error", error={"type": "overloaded_error", "message": "Overloaded"})

    def headers(self, standing: Standing | None, stamp: Stamp) -> str:
        """``request-id`` and ``anthropic-ratelimit-*``; resets are RFC 3339 times, rounded up to seconds."""
        lines = f"request-id: req_sim_{stamp.ordinal}\r\n"
        if standing is None:
            return lines
        reset = datetime.fromtimestamp(ceil(stamp.wall + standing.reset_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        told = (
            ("requests", standing.limit_requests, standing.remaining_requests),
            ("tokens", standing.limit_tokens, standing.remaining_tokens),
        )
        for name, limit, remaining in told:
            if limit is not None:
                lead = f"anthropic-ratelimit-{name}"
                lines += f"{lead}-limit: {limit}\r\n{lead}-remaining: {remaining}\r\n{lead}-reset: {reset}\r\n"
        return lines

    def models(self, models: Mapping[str, ModelSettings], created: float) -> bytes:
        """``GET /v1/models`` for a client that sends Anthropic's headers."""
        at = datetime.fromtimestamp(int(created), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        data = [
            {
                "type": "model",
                "id": name,
                "display_name": name,
                "created_at": at,
                "max_input_tokens": model.context_window,
                "max_tokens": model.max_output,
            }
            for name, model in models.items()
        ]
        ids = list(models)
        ends = {"first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None}
        return orjson.dumps({"data": data, "has_more": False, **ends})


def _block(reply: Reply, stamp: Stamp, chunk_chars: int) -> list[Event]:
    ping = Event(_event("ping"))
    if reply.tool is not None:
        begin, kind, field = _tool_use(stamp, reply.tool.name, {}), "input_json_delta", "partial_json"
        text, tokens = reply.tool.arguments, count_tokens(reply.tool.name)
    elif reply.text:
        begin, kind, field = {"type": "text", "text": ""}, "text_delta", "text"
        text, tokens = reply.text, 0
    else:
        return [ping]
    deltas = [
        Event(_event("content_block_delta", index=0, delta={"type": kind, field: piece}), count_tokens(piece))
        for piece in pieces(text, chunk_chars)
    ]
    start = Event(_event("content_block_start", index=0, content_block=begin), tokens)
    return [start, ping, *deltas, Event(_event("content_block_stop", index=0))]


def _event(kind: str, **fields: Any) -> bytes:
    return sse({"type": kind, **fields}, kind)


def _message(request: Request, stamp: Stamp) -> dict[str, Any]:
    return {
        "id": f"msg_sim_{stamp.ordinal}",
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "stop_sequence": None,
    }


def _tool_use(stamp: Stamp, name: str, arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_sim_{stamp.ordinal}", "name": name, "input": arguments}


def _usage(request: Request, reply: Reply, output_tokens: int) -> dict[str, Any]:
    """Cached and written tokens stand beside the input tokens, not in them; the output includes thinking."""
    return {
        "input_tokens": request.prompt_tokens - reply.cached_tokens - reply.written_tokens,
        "cache_creation_input_tokens": reply.written_tokens,
        "cache_read_input_tokens": reply.cached_tokens,
        "output_tokens": output_tokens,
        "service_tier": "standard",
    }


def _error(kind: str, message: str, stamp: Stamp) -> bytes:
    error = {"type": kind, "message": message}
    return orjson.dumps({"type": "error", "error": error, "request_id": f"req_sim_{stamp.ordinal}"})


def _too_long(failure: Failure) -> str:
    if failure.prompt_tokens >= failure.window:
        return f"prompt is too long: {failure.prompt_tokens} tokens > {failure.window} maximum"
    return (
        f"input length and `max_tokens` exceed context limit: {failure.prompt_tokens} + {failure.asked} > "
        f"{failure.window}, decrease input length or `max_tokens` and try again"
    )


def _read_system(system: object) -> list[Turn]:
    if system is None:
        return []
    return [("system", "".join(_block_text(block) for block in _blocks(system, "system")))]


def _read_messages(messages: object) -> list[Turn]:
    if not isinstance(messages, list) or not messages:
        raise BadRequestError("messages: at least one message is required", "messages")
    turns: list[Turn] = []
    for index, message in enumerate(objects(messages, "messages")):
        role = message.get("role")
        if role not in ("user", "assistant"):
            raise BadRequestError(f"messages.{index}.role: Input should be 'user' or 'assistant'", "messages")
        blocks = _blocks(message.get("content"), f"messages.{index}.content")
        texts = [_block_text(block) for block in blocks]
        if role == "assistant" and index == len(messages) - 1 and texts and texts[-1] != texts[-1].rstrip():
            raise BadRequestError("messages: final assistant content cannot end with trailing whitespace", "messages")
        results = any(block.get("type") == "tool_result" for block in blocks)
        turns.append(("tool" if results else role, "".join(texts)))
    return turns


def _blocks(content: object, name: str) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list) or not content:
        raise BadRequestError(f"{name}: Input should be a text or a list of blocks", name)
    return objects(content, name)


def _block_text(block: dict[str, Any]) -> str:
    kind = block.get("type")
    if kind == "text":
        return str(block.get("text", ""))
    if kind == "tool_use":
        return str(block.get("name", "")) + orjson.dumps(block.get("input")).decode()
    if kind == "tool_result" and block.get("content"):
        return "".join(_block_text(inner) for inner in _blocks(block["content"], "tool_result.content"))
    return ""


def _read_tools(data: dict[str, Any], request: Request) -> None:
    tools = objects(data["tools"], "tools")
    request.tools = [ToolSpec(str(tool.get("name")), tool.get("input_schema") or {}) for tool in tools]
    choice = an_object(data.get("tool_choice") or {"type": "auto"}, "tool_choice")
    kind = str(choice.get("type"))
    request.tool_choice = {"any": "required", "tool": "named"}.get(kind, kind)
    if kind == "tool":
        request.forced_tool = str(choice.get("name"))
        if all(tool.name != request.forced_tool for tool in request.tools):
            raise BadRequestError(f"Tool '{request.forced_tool}' not found in provided tools", "tool_choice")
