"""The OpenAI chat-completions format.

Source: OpenAI's API reference, *Chat completions*, "Create chat completion"; spoken by vLLM, Ollama, Groq and many
others. What they answer is in `openai_reply`, what single models want otherwise in `rules`.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from ..chat import ChatRequest, Image, Message, Part, Text, Tool, ToolCall, ToolResult, render
from . import rules
from .codec import Codec, LimitsTold, StreamDecoder
from .limits import openai_limits
from .openai_reply import OpenAIStream, classify, decode
from .reading import MAX_REPLY, schema
from .schemas import strict_for_openai

__all__ = ["CODEC", "MAX_REPLY", "PATH", "OpenAI", "classify", "decode", "encode", "worked_s"]

PATH: Final = "/chat/completions"
_SPECIAL: Final = frozenset((Image, ToolCall, ToolResult))
_HINT: Final = "Answer with a JSON object."


def encode(request: ChatRequest, model: str, *, stream: bool = False) -> bytes:
    """The request's body for `model`, as the provider calls it."""
    rule = rules.openai(model)
    body: dict[str, Any] = {"model": model, "messages": _messages(request.messages), rule.limit: request.max_tokens}
    if request.temperature is not None and rule.sampling:
        body["temperature"] = request.temperature
    if request.top_p is not None and rule.sampling:
        body["top_p"] = request.top_p
    if request.seed is not None:
        body["seed"] = request.seed
    if request.stop:
        body["stop"] = list(request.stop)
    if request.tools:
        _add_tools(body, request)
    if request.response_format is not None:
        _add_format(body, request)
    if stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return orjson.dumps(body)


def _messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    spoken: list[dict[str, Any]] = []
    for message in messages:
        parts = message.parts
        if len(parts) == 1 and type(parts[0]) is Text:
            spoken.append({"role": message.role, "content": parts[0].text})
            continue
        for part in parts:  # not any(…): a generator costs 0.4 us a message
            if type(part) in _SPECIAL:
                spoken.extend(_special(message))
                break
        else:
            spoken.append({"role": message.role, "content": "\n\n".join([render(part) for part in parts])})
    return spoken


def _special(message: Message) -> list[dict[str, Any]]:
    """A message with pictures or tools: each tool's result is a message of its own, before what else is said."""
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    calls = [part for part in message.parts if isinstance(part, ToolCall)]
    rest = [part for part in message.parts if not isinstance(part, ToolCall | ToolResult)]
    spoken: list[dict[str, Any]] = [
        {"role": "tool", "tool_call_id": result.call, "content": result.text} for result in results
    ]
    if not rest and not calls:
        return spoken
    said: dict[str, Any] = {
        "role": "user" if message.role == "tool" else message.role,
        "content": _content(rest) if rest else None,
    }
    if calls:
        said["tool_calls"] = [_call(call) for call in calls]
    return [*spoken, said]


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _content(parts: Sequence[Part]) -> str | list[dict[str, Any]]:
    """Text alone as a string, since not every server knows parts; with pictures, the texts between them as parts."""
    if not any(isinstance(part, Image) for part in parts):
        return "\n\n".join(render(part) for part in parts)
    content: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, Image):
            content.append({"type": "image_url", "image_url": {"url": part.url or data_url(part)}})
        elif content and content[-1]["type"] == "text":
            content[-1]["text"] += "\n\n" + render(part)
        else:
            content.append({"type": "text", "text": render(part)})
    return content


def data_url(image: Image) -> str:
    """RFC 2397."""
    return f"data:{image.media_type};base64,{base64.b64encode(image.data).decode()}"


def _add_tools(body: dict[str, Any], request: ChatRequest) -> None:
    body["tools"] = [_tool(tool) for tool in request.tools]
    choice = request.tool_choice
    if choice in ("none", "required"):
        body["tool_choice"] = choice
    elif choice != "auto":
        body["tool_choice"] = {"type": "function", "function": {"name": choice}}


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "parameters": schema(tool.schema, f"the tool {tool.name!r}")}
    if tool.description:
        function["description"] = tool.description
    return {"type": "function", "function": function}


def _add_format(body: dict[str, Any], request: ChatRequest) -> None:
    wanted = request.response_format
    assert wanted is not None
    if wanted.schema:
        described = schema(wanted.schema, f"the response format {wanted.name!r}")
        strict = strict_for_openai(described)
        named = {"name": wanted.name, "schema": described, "strict": strict}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
        return
    body["response_format"] = {"type": "json_object"}
    if not any("json" in orjson.dumps(message["content"]).decode().lower() for message in body["messages"]):
        _hint(body["messages"])


def _hint(messages: list[dict[str, Any]]) -> None:
    """OpenAI refuses `json_object` when no message speaks of JSON: the first system message does then."""
    if messages and messages[0]["role"] == "system" and isinstance(messages[0]["content"], str):
        messages[0]["content"] += "\n\n" + _HINT
    else:
        messages.insert(0, {"role": "system", "content": _HINT})


def worked_s(headers: Mapping[str, str]) -> float:
    """How long the provider says it worked on the request (`openai-processing-ms`), 0 where it does not say."""
    told = headers.get("openai-processing-ms")
    return int(told) / 1000 if told is not None and told.isdecimal() and len(told) < 9 else 0.0


class OpenAI:
    """See `understudy.protocols.wire.codec.Codec`."""

    def target(self, model: str, *, stream: bool) -> str:  # noqa: ARG002 - the protocol's
        """One path for all."""
        return PATH

    def headers(self, key: str | None) -> dict[str, str]:
        """A bearer token."""
        return {"Authorization": f"Bearer {key}"} if key is not None else {}

    encode = staticmethod(encode)
    decode = staticmethod(decode)
    classify = staticmethod(classify)
    worked_s = staticmethod(worked_s)

    def stream(self) -> StreamDecoder:
        """See `openai_reply`."""
        return OpenAIStream()

    def limits(self, headers: Mapping[str, str], *, wall: float) -> LimitsTold | None:  # noqa: ARG002 - the protocol's
        """`x-ratelimit-*`."""
        return openai_limits(headers)


CODEC: Final[Codec] = OpenAI()
