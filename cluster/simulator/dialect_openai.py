"""The OpenAI chat protocol as a provider writes it.

Source: platform.openai.com/docs: api-reference/chat, api-reference/chat-streaming, guides/error-codes,
guides/rate-limits (headers in a reply), guides/prompt-caching (usage).
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import orjson

from .dialect import Dialect, DialectName, Event, Failure, Spoken, Stamp, Target, pieces
from .quota import Standing
from .request import (
    TOKENIZER,
    TOKENS_PER_MESSAGE,
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
    read_sample,
)
from .settings import ModelSettings
from .wire import duration, sse

_FINISH: dict[Finish, str] = {
    "stop": "stop",
    "length": "length",
    "filtered": "content_filter",
    "tool_calls": "tool_calls",
}
_FILTERED = "The request was rejected by our safety system. Your prompt may contain text that is not allowed."
_SPENT = "You exceeded your current quota, please check your plan and billing details."
_DONE = b"data: [DONE]\n\n"

# kind: (status, message, type, code)
_ERRORS: dict[str, tuple[int, str, str, str | None]] = {
    "auth": (401, "Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
    "revoked": (401, "The API key has been revoked.", "invalid_request_error", "invalid_api_key"),
    "bad_request": (400, "The request is not valid.", "invalid_request_error", None),
    "too_large": (413, "The request body is too large.", "invalid_request_error", "request_too_large"),
    "filtered": (400, _FILTERED, "invalid_request_error", "content_filter"),
    "insufficient_quota": (429, _SPENT, "insufficient_quota", "insufficient_quota"),
    "error_500": (500, "The server had an error.", "server_error", None),
    "error_503": (503, "The engine is overloaded.", "server_error", None),
    "overloaded": (503, "That model is currently overloaded with other requests.", "server_error", "overloaded"),
}


class OpenAI(Dialect):
    """``POST /v1/chat/completions``."""

    name: ClassVar[DialectName] = "openai"

    def read(self, body: bytes, target: Target) -> Request:
        """See `Dialect`."""
        return parse_chat(body, target.model)

    def answer(self, request: Request, reply: Reply, stamp: Stamp) -> bytes:
        """A whole chat.completion."""
        message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": None}
        if reply.tool is not None:
            message["content"] = None
            message["tool_calls"] = [_tool_call(stamp, reply.tool.name, reply.tool.arguments)]
        finish = _FINISH[reply.finish_reason]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        return orjson.dumps(
            {
                "id": f"chatcmpl-sim-{stamp.ordinal}",
                "object": "chat.completion",
                "created": int(stamp.wall),
                "model": request.model,
                "choices": [choice],
                "usage": usage(request, reply),
                "system_fingerprint": "fp_simulator",
            }
        )

    def events(self, request: Request, reply: Reply, stamp: Stamp, chunk_chars: int) -> list[Event]:
        """The events of a streamed completion, ``[DONE]`` last."""
        first: dict[str, Any] = {"role": "assistant", "content": ""}
        deltas: list[tuple[dict[str, Any], int]] = []
        reasoning = reply.reasoning_tokens
        if reply.tool is None:
            events = [Event(_event(request, stamp, first, None), reasoning)]
            deltas = [({"content": text}, count_tokens(text)) for text in pieces(reply.text, chunk_chars)]
        else:
            name, arguments = reply.tool
            first = {"role": "assistant", "content": None, "tool_calls": [{"index": 0, **_tool_call(stamp, name, "")}]}
            events = [Event(_event(request, stamp, first, None), reasoning + count_tokens(name))]
            deltas = [
                ({"tool_calls": [{"index": 0, "function": {"arguments": text}}]}, count_tokens(text))
                for text in pieces(arguments, chunk_chars)
            ]
        events += [Event(_event(request, stamp, delta, None), tokens) for delta, tokens in deltas]
        events.append(Event(_event(request, stamp, {}, _FINISH[reply.finish_reason])))
        if request.include_usage:
            events.append(Event(sse({**_chunk(request, stamp), "choices": [], "usage": usage(request, reply)})))
        events.append(Event(_DONE))
        return events

    def blocked(self, request: Request, stamp: Stamp) -> Spoken:
        """A 400 with the code ``content_filter``."""
        return self.error(Failure("filtered", model=request.model), stamp)

    def error(self, failure: Failure, stamp: Stamp) -> Spoken:  # noqa: ARG002 (OpenAI's errors carry no id)
        """OpenAI's error object."""
        if failure.kind == "refused_429":
            return Spoken(429, error_body(too_many(failure), failure.limit, "rate_limit_exceeded"))
        if failure.kind == "not_found":
            message = f"The model '{failure.model}' does not exist or you do not have access to it."
            return Spoken(404, error_body(message, "invalid_request_error", "model_not_found", "model"))
        if failure.kind == "context":
            body = error_body(too_long(failure), "invalid_request_error", "context_length_exceeded", "messages")
            return Spoken(400, body)
        status, message, kind, code = _ERRORS[failure.kind]
        return Spoken(status, error_body(failure.message or message, kind, code, failure.param))

    def error_event(self, stamp: Stamp) -> bytes:  # noqa: ARG002
        """An event whose data is an error object."""
        return b"data: " + error_body("The server had an error.", "server_error", None) + b"\n\n"

    def headers(self, standing: Standing | None, stamp: Stamp) -> str:
        """``x-request-id`` and ``x-ratelimit-*``."""
        line = f"x-request-id: sim-{stamp.ordinal}\r\n"
        return line if standing is None else line + ratelimit_headers(standing)

    def worked(self, seconds: float) -> str:
        """Whole milliseconds, never more than it was."""
        return f"openai-processing-ms: {int(seconds * 1000)}\r\n"

    def models(self, models: Mapping[str, ModelSettings], created: float) -> bytes:
        """``GET /v1/models``, with the fields a client of the simulator needs to count and to price."""
        data = [
            {
                "id": name,
                "object": "model",
                "created": int(created),
                "owned_by": "simulator",
                "context_window": model.context_window,
                "max_output_tokens": model.max_output,
                "input_price_per_million": format(model.input_price, "f"),
                "output_price_per_million": format(model.output_price, "f"),
                "tokenizer": TOKENIZER,
                "tokens_per_message": TOKENS_PER_MESSAGE,
            }
            for name, model in models.items()
        ]
        return orjson.dumps({"object": "list", "data": data})


def error_body(message: str, kind: str, code: str | None, param: str | None = None) -> bytes:
    """OpenAI's error object."""
    return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})


def too_many(failure: Failure) -> str:
    """OpenAI's sentence for a 429."""
    advice = "The request is larger than the whole limit: it can never pass."
    if failure.wait_s is not None:
        advice = f"Please try again in {duration(failure.wait_s)}."
    return f"Rate limit reached for {failure.model} on {failure.limit}. {advice}"


def too_long(failure: Failure) -> str:
    """OpenAI's sentence for a prompt that does not fit."""
    return (
        f"This model's maximum context length is {failure.window} tokens. However, your "
        f"messages have {failure.prompt_tokens} tokens and ask for {failure.asked} more."
    )


def usage(request: Request, reply: Reply) -> dict[str, Any]:
    """OpenAI's usage object; cached tokens are part of the prompt's, reasoning is part of the completion's."""
    told: dict[str, Any] = {
        "prompt_tokens": request.prompt_tokens,
        "completion_tokens": reply.tokens,
        "total_tokens": request.prompt_tokens + reply.tokens,
    }
    if reply.cached_tokens:
        told["prompt_tokens_details"] = {"cached_tokens": reply.cached_tokens, "audio_tokens": 0}
    if reply.reasoning_tokens:
        told["completion_tokens_details"] = {"reasoning_tokens": reply.reasoning_tokens, "audio_tokens": 0}
    return told


def ratelimit_headers(standing: Standing) -> str:
    """The ``x-ratelimit-*`` lines of the limits that exist."""
    reset = duration(standing.reset_s)
    lines = ""
    if standing.limit_requests is not None:
        lines = (
            f"x-ratelimit-limit-requests: {standing.limit_requests}\r\n"
            f"x-ratelimit-remaining-requests: {standing.remaining_requests}\r\n"
            f"x-ratelimit-reset-requests: {reset}\r\n"
        )
    if standing.limit_tokens is not None:
        lines += (
            f"x-ratelimit-limit-tokens: {standing.limit_tokens}\r\n"
            f"x-ratelimit-remaining-tokens: {standing.remaining_tokens}\r\n"
            f"x-ratelimit-reset-tokens: {reset}\r\n"
        )
    return lines


def parse_chat(body: bytes, model: str | None = None) -> Request:
    """The request in a body; ``model`` from the path goes before the body's. Raises BadRequestError."""
    data = read_object(body)
    model = model or read_model(data)
    if data.get("n", 1) not in (1, None):
        raise BadRequestError("This provider gives one choice a request: leave n out.", "n")
    messages = data.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequestError("messages must be a list with at least one message.", "messages")
    turns = [_read_message(message, index) for index, message in enumerate(messages)]
    options = data.get("stream_options")
    limit = "max_completion_tokens" if data.get("max_completion_tokens") is not None else "max_tokens"
    request = assemble(
        model,
        turns,
        max_tokens=positive(data, limit),
        stream=data.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
    )
    request.sample = read_sample(data)
    if data.get("tools") is not None:
        _read_tools(data, request)
    if data.get("response_format") is not None:
        _read_format(an_object(data["response_format"], "response_format"), request)
    return request


def read_model(data: dict[str, Any]) -> str:
    """The model of a body. Raises BadRequestError."""
    model = data.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequestError("You must provide a model parameter.", "model")
    return model


def _read_message(message: object, index: int) -> Turn:
    if not isinstance(message, dict) or not isinstance(role := message.get("role"), str):
        raise BadRequestError("A message is an object with a role and a content.", f"messages[{index}]")
    content = message.get("content")
    if isinstance(content, str) and "tool_calls" not in message:
        return role, content
    if role == "assistant":
        calls = objects(message.get("tool_calls") or [], f"messages[{index}].tool_calls")
        functions = [an_object(call.get("function"), f"messages[{index}].tool_calls") for call in calls]
        called = "".join(f"{function.get('name', '')}{function.get('arguments', '')}" for function in functions)
        return role, _read_content(content or "", index) + called
    return role, _read_content(content, index)


def _read_content(content: object, index: int) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        texts = [part.get("text", "") for part in content]
        if all(isinstance(text, str) for text in texts):
            return "".join(texts)
    raise BadRequestError("content must be a string or a list of parts.", f"messages[{index}].content")


def _read_tools(data: dict[str, Any], request: Request) -> None:
    functions = [an_object(tool.get("function"), "tools[].function") for tool in objects(data["tools"], "tools")]
    request.tools = [ToolSpec(str(one.get("name")), one.get("parameters") or {}) for one in functions]
    choice = data.get("tool_choice")
    if isinstance(choice, dict):
        request.tool_choice = "named"
        request.forced_tool = str(an_object(choice.get("function"), "tool_choice.function").get("name"))
        if all(tool.name != request.forced_tool for tool in request.tools):
            raise BadRequestError(f"Tool choice '{request.forced_tool}' not found in 'tools'.", "tool_choice")
    elif choice is not None:
        request.tool_choice = str(choice)


def _read_format(form: dict[str, Any], request: Request) -> None:
    if form.get("type") == "json_object":
        request.json = True
    elif form.get("type") == "json_schema":
        named = an_object(form.get("json_schema"), "response_format.json_schema")
        request.schema = an_object(named.get("schema"), "response_format.json_schema.schema")
    elif form.get("type") != "text":
        raise BadRequestError("response_format.type is text, json_object or json_schema.", "response_format.type")


def _tool_call(stamp: Stamp, name: str, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": f"call_sim_{stamp.ordinal}", "type": "function", "function": function}


def _event(request: Request, stamp: Stamp, delta: dict[str, Any], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk = {**_chunk(request, stamp), "choices": [choice]}
    if request.include_usage:
        chunk["usage"] = None
    return sse(chunk)


def _chunk(request: Request, stamp: Stamp) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-sim-{stamp.ordinal}",
        "object": "chat.completion.chunk",
        "created": int(stamp.wall),
        "model": request.model,
        "system_fingerprint": "fp_simulator",
    }
