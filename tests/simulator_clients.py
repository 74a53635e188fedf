"""Small clients of the simulator, one a dialect, written from the providers' documents and not from the project."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from understudy.cluster.simulator import Running

DIALECTS = ("openai", "azure", "anthropic", "gemini")


@dataclass
class Answer:
    """What a client understood: text, finish in the dialect's own word, usage in the dialect's own form."""

    status: int
    text: str = ""
    finish: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    arguments: str = ""
    error: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    whole: bool = False  # a stream: its last event came


def target(dialect: str, *, stream: bool, model: str = "sim-small") -> str:
    """Path and query."""
    if dialect == "azure":
        return f"/openai/deployments/{model}/chat/completions?api-version=2024-10-21"
    if dialect == "gemini":
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/v1beta/models/{model}:{method}"
    return "/v1/messages" if dialect == "anthropic" else "/v1/chat/completions"


def headers(dialect: str, key: str = "k") -> dict[str, str]:
    """The key, where the dialect has it."""
    return {
        "openai": {"Authorization": f"Bearer {key}"},
        "azure": {"api-key": key},
        "anthropic": {"x-api-key": key, "anthropic-version": "2023-06-01"},
        "gemini": {"x-goog-api-key": key},
    }[dialect]


def body(dialect: str, *turns: str, stream: bool = False, model: str = "sim-small", **more: Any) -> dict[str, Any]:
    """A request of turns that alternate between user and assistant, under a system prompt."""
    turns = turns or ("hi",)
    roles = ["user", "assistant"] * len(turns)
    said = list(zip(roles, turns, strict=False))
    if dialect == "gemini":
        names = {"user": "user", "assistant": "model"}
        contents = [{"role": names[role], "parts": [{"text": text}]} for role, text in said]
        return {"systemInstruction": {"parts": [{"text": "be brief"}]}, "contents": contents, **more}
    messages = [{"role": role, "content": text} for role, text in said]
    streaming = {"stream": True} if stream else {}
    if dialect == "anthropic":
        return {"model": model, "system": "be brief", "messages": messages, "max_tokens": 500, **streaming, **more}
    if stream:
        streaming["stream_options"] = {"include_usage": True}  # type: ignore[assignment]
    return {"model": model, "messages": [{"role": "system", "content": "be brief"}, *messages], **streaming, **more}


async def ask(
    client: aiohttp.ClientSession,
    running: Running,
    dialect: str,
    *turns: str,
    stream: bool = False,
    key: str = "k",
    model: str = "sim-small",
    **more: Any,
) -> Answer:
    """One call, understood. Raises what aiohttp raises for a broken connection, JSONDecodeError for broken JSON."""
    url = running.url + target(dialect, stream=stream, model=model)
    data = body(dialect, *turns, stream=stream, model=model, **more)
    async with client.post(url, json=data, headers=headers(dialect, key)) as reply:
        answer = Answer(reply.status, headers={name.lower(): value for name, value in reply.headers.items()})
        raw = await reply.read()
    if reply.content_type == "text/event-stream":
        _read_stream(dialect, raw, answer)
    else:
        answer.body = orjson.loads(raw)
        answer.error = answer.body.get("error")
        if answer.error is None:
            _UNARY[dialect](answer.body, answer)
    return answer


def events(raw: bytes) -> list[Any]:
    """The data of server-sent events, decoded; `[DONE]` as None."""
    found = []
    for block in raw.decode().replace("\r\n", "\n").split("\n\n"):
        for line in block.splitlines():
            if line.startswith("data: "):
                data = line.removeprefix("data: ")
                found.append(None if data == "[DONE]" else orjson.loads(data))
    return found


def _read_stream(dialect: str, raw: bytes, answer: Answer) -> None:
    for event in events(raw):
        if event is None or event.get("type") == "message_stop":
            answer.whole = True
        elif "error" in event:
            answer.error = event["error"]
        else:
            _STREAM[dialect](event, answer)


def _openai(data: dict[str, Any], answer: Answer) -> None:
    (choice,) = data["choices"]
    answer.text = choice["message"]["content"] or ""
    answer.finish, answer.usage = choice["finish_reason"], data["usage"]
    for call in choice["message"].get("tool_calls", ()):
        answer.arguments = call["function"]["arguments"]


def _openai_event(event: dict[str, Any], answer: Answer) -> None:
    answer.usage = event.get("usage") or answer.usage
    for choice in event["choices"]:
        answer.text += choice["delta"].get("content") or ""
        answer.finish = choice["finish_reason"] or answer.finish
        for call in choice["delta"].get("tool_calls", ()):
            answer.arguments += call["function"]["arguments"]


def _anthropic(data: dict[str, Any], answer: Answer) -> None:
    answer.finish, answer.usage = data["stop_reason"], data["usage"]
    for block in data["content"]:
        if block["type"] == "text":
            answer.text += block["text"]
        else:
            answer.arguments = orjson.dumps(block["input"]).decode()


def _anthropic_event(event: dict[str, Any], answer: Answer) -> None:
    if event["type"] == "message_start":
        answer.usage = event["message"]["usage"]
    elif event["type"] == "content_block_delta":
        answer.text += event["delta"].get("text", "")
        answer.arguments += event["delta"].get("partial_json", "")
    elif event["type"] == "message_delta":
        answer.finish = event["delta"]["stop_reason"]
        answer.usage = {**answer.usage, **event["usage"]}


def _gemini(data: dict[str, Any], answer: Answer) -> None:
    answer.usage = data["usageMetadata"]
    answer.finish = data.get("promptFeedback", {}).get("blockReason")
    for candidate in data.get("candidates", ()):
        answer.finish = candidate.get("finishReason")
        answer.whole = answer.finish is not None
        for part in candidate["content"]["parts"]:
            answer.text += part.get("text", "")
            if "functionCall" in part:
                answer.arguments = orjson.dumps(part["functionCall"]["args"]).decode()


_UNARY: dict[str, Callable[[dict[str, Any], Answer], None]] = {
    "openai": _openai,
    "azure": _openai,
    "anthropic": _anthropic,
    "gemini": _gemini,
}
_STREAM: dict[str, Callable[[dict[str, Any], Answer], None]] = {
    "openai": _openai_event,
    "azure": _openai_event,
    "anthropic": _anthropic_event,
    "gemini": _gemini,
}


def counts(dialect: str, usage: dict[str, Any]) -> tuple[int, int, int, int]:
    """(prompt with all that is cached, output with reasoning, read from the cache, written to it)."""
    if dialect == "anthropic":
        read, written = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
        return usage["input_tokens"] + read + written, usage["output_tokens"], read, written
    if dialect == "gemini":
        output = usage["candidatesTokenCount"] + usage.get("thoughtsTokenCount", 0)
        return usage["promptTokenCount"], output, usage.get("cachedContentTokenCount", 0), 0
    cached = usage.get("prompt_tokens_details", {}).get("cached_tokens", 0)
    return usage["prompt_tokens"], usage["completion_tokens"], cached, 0


async def control(client: aiohttp.ClientSession, running: Running, **changes: Any) -> None:
    """Change what happens from now on."""
    async with client.post(f"{running.url}/control", json=changes) as reply:
        assert reply.status == 200, await reply.text()


async def until(condition: Callable[[], bool], limit_s: float = 5.0) -> None:
    """Give the loop turns until a condition holds."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 (the server has no event to wait for)
            await asyncio.sleep(0.001)
