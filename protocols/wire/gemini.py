"""The Gemini generateContent format: requests.

Source: Google's Gemini API reference, *Generating content*, "models.generateContent" and
"models.streamGenerateContent"; *Function calling*; *Structured outputs* (`responseJsonSchema`); *Thought signatures*.
What it answers is in `gemini_reply`, what single models want otherwise in `rules`.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import orjson

from ..chat import ChatRequest, Image, Message, Part, ToolCall, ToolResult, render, render_message
from . import rules
from .codec import Codec, LimitsTold, StreamDecoder
from .gemini_reply import GeminiStream, classify, decode
from .reading import arguments, schema

__all__ = ["CODEC", "STAND_IN", "Gemini", "classify", "decode", "encode"]

STAND_IN: Final = "skip_thought_signature_validator"
"""Signature of a call that this model did not make itself, for models that want one (*Thought signatures*, FAQ)."""
_MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


def encode(request: ChatRequest, model: str, *, stream: bool = False) -> bytes:  # noqa: ARG001 - the target says it
    """The request's body for `model`; it is the same for a stream, whose target differs."""
    contents = _contents(request.messages, signed=rules.gemini(model).signed)
    body: dict[str, Any] = {"contents": contents}
    system = "\n\n".join(render_message(message) for message in request.messages if message.role == "system")
    if system and contents:
        body["systemInstruction"] = {"parts": [{"text": system}]}
    elif system:
        body["contents"] = [{"role": "user", "parts": [{"text": system}]}]
    if request.tools:
        _add_tools(body, request)
    body["generationConfig"] = _config(request)
    return orjson.dumps(body)


def _config(request: ChatRequest) -> dict[str, Any]:
    config: dict[str, Any] = {"maxOutputTokens": request.max_tokens}
    if request.temperature is not None:
        config["temperature"] = request.temperature
    if request.top_p is not None:
        config["topP"] = request.top_p
    if request.seed is not None:
        config["seed"] = request.seed
    if request.stop:
        config["stopSequences"] = list(request.stop)
    wanted = request.response_format
    if wanted is not None:
        config["responseMimeType"] = "application/json"
        if wanted.schema:
            config["responseJsonSchema"] = schema(wanted.schema, f"the response format {wanted.name!r}")
    return config


def _contents(messages: Sequence[Message], *, signed: bool) -> list[dict[str, Any]]:
    """User and model in turns: what one says in a row is one content."""
    turns: list[tuple[str, list[dict[str, Any]]]] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "model" if message.role == "assistant" else "user"
        parts = _parts(message.parts)
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(parts)
        elif parts:
            turns.append((role, parts))
    if signed:
        for role, parts in turns:
            if role == "model":
                _sign(parts)
    return [{"role": role, "parts": parts} for role, parts in turns]


def _sign(parts: list[dict[str, Any]]) -> None:
    """Of calls that are made at once only the first one carries a signature."""
    first = next((part for part in parts if "functionCall" in part), None)
    if first is not None:
        first.setdefault("thoughtSignature", STAND_IN)


def _parts(parts: Sequence[Part]) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, Image):
            written.append(_image(part))
        elif isinstance(part, ToolCall):
            call: dict[str, Any] = {"id": part.id, "name": part.name, "args": arguments(part.arguments)}
            signature = {"thoughtSignature": part.signature} if part.signature else {}
            written.append({"functionCall": call, **signature})
        elif isinstance(part, ToolResult):
            said = {"error" if part.failed else "output": part.text}
            written.append({"functionResponse": {"id": part.call, "name": part.name, "response": said}})
        elif text := render(part):
            written.append({"text": text})
    return written


def _image(image: Image) -> dict[str, Any]:
    if image.url:
        return {"fileData": {"mimeType": image.media_type, "fileUri": image.url}}
    return {"inlineData": {"mimeType": image.media_type, "data": base64.b64encode(image.data).decode()}}


def _add_tools(body: dict[str, Any], request: ChatRequest) -> None:
    declared = []
    for tool in request.tools:
        described = schema(tool.schema, f"the tool {tool.name!r}")
        entry: dict[str, Any] = {"name": tool.name, "description": tool.description or tool.name}
        if described.get("properties"):  # no arguments are told by no schema
            entry["parametersJsonSchema"] = described
        declared.append(entry)
    body["tools"] = [{"functionDeclarations": declared}]
    mode = _MODES.get(request.tool_choice)
    if mode is None:
        calling = {"mode": "ANY", "allowedFunctionNames": [request.tool_choice]}
        body["toolConfig"] = {"functionCallingConfig": calling}
    elif mode != "AUTO":
        body["toolConfig"] = {"functionCallingConfig": {"mode": mode}}


class Gemini:
    """See `understudy.protocols.wire.codec.Codec`."""

    def target(self, model: str, *, stream: bool) -> str:
        """The model and the method in the path; `models/` and `tunedModels/` may be written before the name."""
        folder, _, name = model.rpartition("/")
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/{quote(folder or 'models')}/{quote(name, safe='')}:{method}"

    def headers(self, key: str | None) -> dict[str, str]:
        """The key in a header: in the query it would stand in logs."""
        return {"x-goog-api-key": key} if key is not None else {}

    encode = staticmethod(encode)
    decode = staticmethod(decode)
    classify = staticmethod(classify)

    def stream(self) -> StreamDecoder:
        """See `gemini_reply`."""
        return GeminiStream()

    def limits(self, headers: Mapping[str, str], *, wall: float) -> LimitsTold | None:  # noqa: ARG002 - the protocol's
        """It does not say."""
        return None

    def worked_s(self, headers: Mapping[str, str]) -> float:  # noqa: ARG002 - the protocol's
        """It does not say."""
        return 0.0


CODEC: Final[Codec] = Gemini()
