"""Gemini's generateContent protocol as a provider writes it.

Source: ai.google.dev/api/generate-content, /api/models, /gemini-api/docs/troubleshooting, /docs/rate-limits;
google.rpc.Status with its details (github.com/googleapis/googleapis, google/rpc/error_details.proto).
"""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import orjson

from .dialect import Dialect, DialectName, Event, Failure, Spoken, Stamp, Target, Told, pieces
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
    read_sample,
)
from .settings import ModelSettings, RetryAfterForm
from .wire import sse

_FINISH: dict[Finish, str] = {"stop": "STOP", "length": "MAX_TOKENS", "filtered": "SAFETY", "tool_calls": "STOP"}
_ROLES = {"user": "user", "model": "assistant", "function": "tool", None: "user"}
_RPC = "type.googleapis.com/google.rpc."
_SPENT = "Your prepayment credits are depleted. Please go to AI Studio to manage your project and billing."
_OVERLOADED = "The model is overloaded. Please try again later."

# kind: (code, status, message)
_ERRORS: dict[str, tuple[int, str, str]] = {
    "auth": (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
    "revoked": (403, "PERMISSION_DENIED", "Your API key was reported as leaked. Please use another API key."),
    "bad_request": (400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
    "too_large": (413, "INVALID_ARGUMENT", "Request payload size exceeds the limit."),
    "filtered": (400, "INVALID_ARGUMENT", "The prompt was blocked."),
    "insufficient_quota": (429, "RESOURCE_EXHAUSTED", _SPENT),
    "error_500": (500, "INTERNAL", "An internal error has occurred. Please retry."),
    "error_503": (503, "UNAVAILABLE", "The service is currently unavailable."),
    "overloaded": (503, "UNAVAILABLE", _OVERLOADED),
}


class Gemini(Dialect):
    """``POST /v1beta/models/{model}:generateContent`` and ``:streamGenerateContent?alt=sse``."""

    name: ClassVar[DialectName] = "gemini"

    def read(self, body: bytes, target: Target) -> Request:
        """See `Dialect`."""
        if target.complaint:
            raise BadRequestError(target.complaint)
        data = read_object(body)
        turns = _read_system(_either(data, "systemInstruction", "system_instruction"))
        turns += _read_contents(data.get("contents"))
        config = an_object(_either(data, "generationConfig", "generation_config") or {}, "generationConfig")
        if config.get("candidateCount", 1) != 1:
            raise BadRequestError("Multiple candidates is not enabled for this model", "candidateCount")
        max_tokens = positive(config, "maxOutputTokens")
        request = assemble(target.model or "", turns, max_tokens=max_tokens, stream=target.stream)
        if data.get("tools") is not None:
            _read_tools(data, request)
        schema = _either(config, "responseSchema", "responseJsonSchema")
        if schema is not None:
            request.schema = an_object(schema, "generationConfig.responseSchema")
        request.sample = read_sample(config)
        request.json = config.get("responseMimeType") == "application/json"
        return request

    def answer(self, request: Request, reply: Reply, stamp: Stamp) -> bytes:
        """A whole GenerateContentResponse."""
        parts = _parts(reply)
        return orjson.dumps(_response(request, reply, stamp, parts, reply.tokens, last=True))

    def events(self, request: Request, reply: Reply, stamp: Stamp, chunk_chars: int) -> list[Event]:
        """One response a chunk, the usage so far in each; a tool's call comes in one piece."""
        if reply.tool is not None:
            body = _response(request, reply, stamp, _parts(reply), reply.tokens, last=True)
            return [Event(_event(body), reply.tokens)]
        texts = pieces(reply.text, chunk_chars) or [""]
        events: list[Event] = []
        sent = 0
        for index, text in enumerate(texts):
            tokens = count_tokens(text) + (0 if index else reply.reasoning_tokens)
            sent += tokens
            last = index == len(texts) - 1
            body = _response(request, reply, stamp, [{"text": text}], sent, last=last)
            events.append(Event(_event(body), tokens))
        return events

    def blocked(self, request: Request, stamp: Stamp) -> Spoken:
        """A 200 without candidates and with a blockReason."""
        usage = {"promptTokenCount": request.prompt_tokens, "totalTokenCount": request.prompt_tokens}
        body = {"promptFeedback": {"blockReason": "SAFETY", "safetyRatings": _ratings()}, "usageMetadata": usage}
        return Spoken(200, orjson.dumps({**body, **_names(request, stamp)}))

    def error(self, failure: Failure, stamp: Stamp) -> Spoken:  # noqa: ARG002 (Gemini's errors carry no id)
        """A google.rpc.Status."""
        if failure.kind == "refused_429":
            return _too_many(failure)
        if failure.kind == "not_found":
            message = f"models/{failure.model} is not found for API version v1beta, or is not supported."
            return _error(404, "NOT_FOUND", message)
        if failure.kind == "context":
            count = failure.prompt_tokens if failure.prompt_tokens >= failure.window else failure.prompt_tokens + 1
            message = (
                f"The input token count ({count}) exceeds the maximum number of tokens allowed ({failure.window})."
            )
            return _error(400, "INVALID_ARGUMENT", message)
        code, status, message = _ERRORS[failure.kind]
        details = [_error_info("API_KEY_INVALID")] if failure.kind == "auth" else []
        return _error(code, status, failure.message or message, details)

    def error_event(self, stamp: Stamp) -> bytes:  # noqa: ARG002
        """An event whose data is an error object."""
        return _event(orjson.loads(_error(503, "UNAVAILABLE", _OVERLOADED).body))

    def headers(self, standing: Standing | None, stamp: Stamp) -> str:  # noqa: ARG002
        """Gemini tells neither a request id nor what is left of a quota."""
        return ""

    def come_back(self, form: RetryAfterForm, wait_s: float, *, wall: float) -> Told:  # noqa: ARG002
        """Told in the body only, as RetryInfo, in milliseconds."""
        return Told("", math.ceil(wait_s * 1000) / 1000)

    def models(self, models: Mapping[str, ModelSettings], created: float) -> bytes:  # noqa: ARG002
        """``GET /v1beta/models``."""
        listed = [
            {
                "name": f"models/{name}",
                "version": "001",
                "displayName": name,
                "inputTokenLimit": model.context_window,
                "outputTokenLimit": model.max_output,
                "supportedGenerationMethods": ["generateContent", "streamGenerateContent"],
            }
            for name, model in models.items()
        ]
        return orjson.dumps({"models": listed})


def _event(body: dict[str, Any]) -> bytes:
    return sse(body, end=b"\r\n\r\n")


def _names(request: Request, stamp: Stamp) -> dict[str, str]:
    return {"modelVersion": request.model, "responseId": f"sim-{stamp.ordinal}"}


def _parts(reply: Reply) -> list[dict[str, Any]]:
    if reply.tool is not None:
        call = {"name": reply.tool.name, "args": orjson.loads(reply.tool.arguments)}
        return [{"functionCall": call, "thoughtSignature": "c2ltdWxhdG9y"}]
    return [{"text": reply.text}] if reply.text else []


def _response(
    request: Request, reply: Reply, stamp: Stamp, parts: list[dict[str, Any]], sent: int, *, last: bool
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if last:
        candidate["finishReason"] = _FINISH[reply.finish_reason]
    if last and reply.finish_reason == "filtered":
        candidate["safetyRatings"] = _ratings()
    return {"candidates": [candidate], "usageMetadata": _usage(request, reply, sent), **_names(request, stamp)}


def _usage(request: Request, reply: Reply, sent: int) -> dict[str, Any]:
    """The cached tokens are part of the prompt's; thoughts stand beside the candidates' tokens."""
    told: dict[str, Any] = {
        "promptTokenCount": request.prompt_tokens,
        "candidatesTokenCount": sent - reply.reasoning_tokens,
        "totalTokenCount": request.prompt_tokens + sent,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": request.prompt_tokens}],
    }
    if reply.cached_tokens:
        told["cachedContentTokenCount"] = reply.cached_tokens
    if reply.reasoning_tokens:
        told["thoughtsTokenCount"] = reply.reasoning_tokens
    return told


def _ratings() -> list[dict[str, Any]]:
    return [{"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": True}]


def _too_many(failure: Failure) -> Spoken:
    message = "You exceeded your current quota, please check your plan and billing details."
    details: list[dict[str, Any]] = [
        {
            "@type": f"{_RPC}QuotaFailure",
            "violations": [{"quotaMetric": f"generate_content_{failure.limit}", "quotaId": "PerMinutePerProject"}],
        }
    ]
    if failure.wait_s is not None:
        message += f" Please retry in {failure.wait_s:g}s."
        details.append({"@type": f"{_RPC}RetryInfo", "retryDelay": f"{failure.wait_s:.3f}s"})
    return _error(429, "RESOURCE_EXHAUSTED", message, details)


def _error_info(reason: str) -> dict[str, Any]:
    return {"@type": f"{_RPC}ErrorInfo", "reason": reason, "domain": "googleapis.com"}


def _error(code: int, status: str, message: str, details: list[dict[str, Any]] | None = None) -> Spoken:
    error: dict[str, Any] = {"code": code, "message": message, "status": status}
    if details:
        error["details"] = details
    return Spoken(code, orjson.dumps({"error": error}))


def _either(data: dict[str, Any], name: str, other: str) -> Any:
    """A field by either of its names: protobuf's JSON accepts both of camelCase and snake_case."""
    value = data.get(name)
    return data.get(other) if value is None else value


def _read_system(system: Any) -> list[Turn]:
    if system is None:
        return []
    content = {"parts": [{"text": system}]} if isinstance(system, str) else an_object(system, "systemInstruction")
    return [("system", "".join(_part_text(part) for part in objects(content.get("parts"), "systemInstruction.parts")))]


def _read_contents(contents: object) -> list[Turn]:
    if not isinstance(contents, list) or not contents:
        raise BadRequestError("contents is not specified", "contents")
    turns: list[Turn] = []
    for index, content in enumerate(objects(contents, "contents")):
        role = _ROLES.get(content.get("role"))
        if role is None:
            raise BadRequestError("Please use a valid role: user, model.", f"contents[{index}].role")
        parts = objects(content.get("parts"), f"contents[{index}].parts")
        if any("functionResponse" in part for part in parts):
            role = "tool"
        turns.append((role, "".join(_part_text(part) for part in parts)))
    return turns


def _part_text(part: dict[str, Any]) -> str:
    if "functionCall" in part:
        call = an_object(part["functionCall"], "functionCall")
        return str(call.get("name", "")) + orjson.dumps(call.get("args")).decode()
    if "functionResponse" in part:
        return orjson.dumps(an_object(part["functionResponse"], "functionResponse").get("response")).decode()
    return str(part.get("text", ""))


def _read_tools(data: dict[str, Any], request: Request) -> None:
    declared = [
        function
        for tool in objects(data["tools"], "tools")
        for function in objects(
            _either(tool, "functionDeclarations", "function_declarations") or [], "functionDeclarations"
        )
    ]
    request.tools = [
        ToolSpec(str(one.get("name")), _either(one, "parameters", "parametersJsonSchema") or {}) for one in declared
    ]
    config = an_object(_either(data, "toolConfig", "tool_config") or {}, "toolConfig")
    calling = _either(config, "functionCallingConfig", "function_calling_config") or {}
    mode = str(calling.get("mode") or "AUTO").upper()
    request.tool_choice = {"ANY": "required", "NONE": "none"}.get(mode, "auto")
    allowed = calling.get("allowedFunctionNames") or calling.get("allowed_function_names")
    if mode == "ANY" and allowed:
        request.tool_choice, request.forced_tool = "named", str(allowed[0])
