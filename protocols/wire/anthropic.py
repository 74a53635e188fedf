"""The Anthropic messages format: requests.

Source: Anthropic's API reference, *Messages*, "Create a Message". What it answers is in `anthropic_reply`, what single
models want otherwise in `rules`.

**A response format** goes as `output_config.format` where the model knows that and the schema is within what it can be
held to (`schemas`): published, stable, and the answer is plain text. Else (older models, any JSON object, a schema with
optional limits) the model is made to call one tool whose arguments are the answer: every Claude can do that, no beta
header is needed, and the arguments are always an object. The tool's name tells the decoder, which knows nothing of the
request, that its arguments are the text: see `FORMAT`.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from ..chat import ChatRequest, Image, Message, Part, ToolCall, ToolResult, render, render_message
from . import rules
from .anthropic_reply import FORMAT, AnthropicStream, classify, decode
from .codec import Codec, LimitsTold, StreamDecoder
from .limits import anthropic_limits
from .reading import arguments, schema
from .schemas import strict_for_anthropic

__all__ = ["CODEC", "PATH", "VERSION", "Anthropic", "classify", "decode", "encode"]

PATH: Final = "/messages"
VERSION: Final = "2023-06-01"
"""Not 2026-10-21, which takes temperature and top_p from every model, and which few other servers know."""
_FORBIDDEN: Final = re.compile(r"[^a-zA-Z0-9_-]")  # in the id of a tool call
_CHOICES: Final = {"auto": "auto", "none": "none", "required": "any"}


def encode(request: ChatRequest, model: str, *, stream: bool = False) -> bytes:
    """The request's body for `model`. There is no seed; of temperature (at most 1) and top_p only one may be sent."""
    rule = rules.anthropic(model)
    body: dict[str, Any] = {"model": model, "max_tokens": request.max_tokens, "messages": _messages(request.messages)}
    system = _system(request.messages)
    if system and body["messages"]:
        body["system"] = system
    elif system:
        body["messages"] = [{"role": "user", "content": system}]
    if rule.sampling and request.temperature is not None:
        body["temperature"] = min(request.temperature, 1.0)
    elif rule.sampling and request.top_p is not None:
        body["top_p"] = request.top_p
    stop = [text for text in request.stop if text.strip()]  # what is only white space is refused
    if stop:
        body["stop_sequences"] = stop
    if request.tools:
        _add_tools(body, request)
    if request.response_format is not None:
        _add_format(body, request, structured=rule.structured)
    if stream:
        body["stream"] = True
    return orjson.dumps(body)


def _system(messages: Sequence[Message]) -> str:
    return "\n\n".join(render_message(message) for message in messages if message.role == "system")


def _messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """User and assistant in turns: what one says in a row is one message, results of tools first in it."""
    turns: list[tuple[str, list[dict[str, Any]]]] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _blocks(message.parts)
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(blocks)
        elif blocks:
            turns.append((role, blocks))
    if turns and turns[-1][0] == "assistant":
        _trim(turns[-1][1])
    return [{"role": role, "content": _content(blocks)} for role, blocks in turns if blocks]


def _trim(blocks: list[dict[str, Any]]) -> None:
    """An answer that is to be continued must not end in white space."""
    if blocks[-1]["type"] == "text":
        blocks[-1]["text"] = blocks[-1]["text"].rstrip()
        if not blocks[-1]["text"]:
            blocks.pop()


def _content(blocks: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    if len(blocks) == 1 and blocks[0]["type"] == "text":
        return str(blocks[0]["text"])
    return sorted(blocks, key=lambda block: block["type"] != "tool_result")


def _blocks(parts: Sequence[Part]) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, Image):
            blocks.append({"type": "image", "source": _source(part)})
        elif isinstance(part, ToolCall):
            named = {"type": "tool_use", "id": _id(part.id), "name": part.name}
            blocks.append({**named, "input": arguments(part.arguments)})
        elif isinstance(part, ToolResult):
            result = {"type": "tool_result", "tool_use_id": _id(part.call), "content": part.text}
            blocks.append({**result, "is_error": True} if part.failed else result)
        elif text := render(part):  # an empty text is refused
            blocks.append({"type": "text", "text": text})
    return blocks


def _source(image: Image) -> dict[str, Any]:
    if image.url:
        return {"type": "url", "url": image.url}
    return {"type": "base64", "media_type": image.media_type, "data": base64.b64encode(image.data).decode()}


def _id(call: str) -> str:
    """Ids that other providers gave may hold characters that are refused here."""
    return _FORBIDDEN.sub("_", call) or "call"


def _add_tools(body: dict[str, Any], request: ChatRequest) -> None:
    tools = []
    for tool in request.tools:
        described = schema(tool.schema, f"the tool {tool.name!r}")
        entry: dict[str, Any] = {"name": tool.name, "input_schema": {"type": "object", **described}}
        if tool.description:
            entry["description"] = tool.description
        tools.append(entry)
    body["tools"] = tools
    kind = _CHOICES.get(request.tool_choice)
    if kind is None:
        body["tool_choice"] = {"type": "tool", "name": request.tool_choice}
    elif kind != "auto":
        body["tool_choice"] = {"type": kind}


def _add_format(body: dict[str, Any], request: ChatRequest, *, structured: bool) -> None:
    wanted = request.response_format
    assert wanted is not None
    described = schema(wanted.schema or '{"type":"object"}', f"the response format {wanted.name!r}")
    if structured and wanted.schema and strict_for_anthropic(described):
        body["output_config"] = {"format": {"type": "json_schema", "schema": described}}
        return
    if request.tools and request.tool_choice not in ("auto", "none"):
        return  # it has to call a tool now; its answer comes in a later turn
    name = FORMAT + _FORBIDDEN.sub("_", wanted.name)
    only = not request.tools or request.tool_choice == "none"
    body["tools"] = [
        *body.get("tools", ()),
        {"name": name, "description": "Gives the answer.", "input_schema": {"type": "object", **described}},
    ]
    body["tool_choice"] = {"type": "tool", "name": name} if only else {"type": "any"}


class Anthropic:
    """See `understudy.protocols.wire.codec.Codec`."""

    def target(self, model: str, *, stream: bool) -> str:  # noqa: ARG002 - the protocol's
        """One path for all."""
        return PATH

    def headers(self, key: str | None) -> dict[str, str]:
        """The version, and the key in a header of its own."""
        version = {"anthropic-version": VERSION}
        return {**version, "x-api-key": key} if key is not None else version

    encode = staticmethod(encode)
    decode = staticmethod(decode)
    classify = staticmethod(classify)

    def stream(self) -> StreamDecoder:
        """See `anthropic_reply`."""
        return AnthropicStream()

    def limits(self, headers: Mapping[str, str], *, wall: float) -> LimitsTold | None:
        """`anthropic-ratelimit-*`."""
        return anthropic_limits(headers, wall=wall)

    def worked_s(self, headers: Mapping[str, str]) -> float:  # noqa: ARG002 - the protocol's
        """It does not say."""
        return 0.0


CODEC: Final[Codec] = Anthropic()
