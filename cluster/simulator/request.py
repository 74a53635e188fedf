"""One neutral request and reply: what every dialect reads into, and what it writes from.

The simulator defines its own tokenizer, so that any party can count: a text is ceil(characters / 4) tokens, a
prompt is ceil(characters of all contents / 4) + 4 a message. A system prompt is a message in every dialect, tool
calls and their results count with their JSON, pictures count nothing.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import msgspec
import orjson

TOKENIZER = "ceil(characters / 4), prompts + 4 per message"
CHARS_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
CONTINUE = "Continue exactly"

Finish = Literal["stop", "length", "filtered", "tool_calls"]
Turn = tuple[str, str]  # role (system, user, assistant, tool), text


class BadRequestError(Exception):
    """Raised when a body is not a request of its dialect; ``param`` names the field."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class ToolSpec(NamedTuple):
    """A tool that the model may call, and the JSON Schema of its arguments."""

    name: str
    schema: dict[str, Any]


class ToolCall(NamedTuple):
    """A call of a tool; ``arguments`` is JSON text of an object."""

    name: str
    arguments: str


# Structs instead of data classes, here and in plan.py, and untracked by the collector (they are part of no cycle):
# 0.5 us of the engine's 15 a call.
class Request(msgspec.Struct, gc=False):
    """What the simulator reads of a request.

    ``content_hash``: 16 hex digits over the user's messages. ``answer_hash``: an integer over model and all
    messages. Both leave out a continuation: an assistant's partial text at the end, or that text and a user
    message that begins with "Continue exactly"; ``partial`` is then the text to be continued. ``repair``: the
    user has spoken again after an assistant. ``tool_choice``: auto, none, required, or named, which is
    ``forced_tool``. ``schema``: the JSON Schema that the answer has to satisfy; ``json``: any object will do.
    ``inputs``: the texts of an embedding request. ``sample``: the request's seed, where its temperature is above 0,
    else empty; an exam's answers differ by it, and nothing else.
    """

    model: str
    prompt_tokens: int
    max_tokens: int | None
    stream: bool
    include_usage: bool
    content_hash: str
    answer_hash: int
    user_texts: list[str]
    turns: list[Turn]
    partial: str | None = None
    tools: Sequence[ToolSpec] = ()
    tool_choice: str = "auto"
    forced_tool: str = ""
    schema: dict[str, Any] | None = None
    json: bool = False
    inputs: Sequence[str] = ()
    dimensions: int | None = None
    base64: bool = False
    sample: str = ""

    @property
    def repair(self) -> bool:
        """True if an assistant's turn is followed by a user's."""
        roles = [role for role, _ in self.turns]
        return "assistant" in roles and "user" in roles[roles.index("assistant") :]

    @property
    def content(self) -> str:
        """All texts of the prompt, in order."""
        return "".join([text for _, text in self.turns])


class Reply(msgspec.Struct, gc=False):
    """An answer and how it counts.

    ``tokens`` includes ``reasoning_tokens``, which have no text. ``cached_tokens`` and ``written_tokens`` are
    parts of the request's prompt tokens: read from the prompt cache, and written to it.
    """

    text: str
    tokens: int
    finish_reason: Finish
    tool: ToolCall | None = None
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    written_tokens: int = 0


def count_tokens(text: str) -> int:
    """Tokens of a text by the simulator's own definition."""
    return -(-len(text) // CHARS_PER_TOKEN)


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body. Raises BadRequestError."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequestError(f"We could not parse the JSON body of your request: {error}") from None
    if not isinstance(data, dict):
        raise BadRequestError("The body must be a JSON object.")
    return data


def assemble(
    model: str, turns: list[Turn], *, max_tokens: int | None, stream: bool, include_usage: bool = True
) -> Request:
    """A request of these turns, counted and hashed."""
    answered, partial = _without_continuation(turns)
    user_texts = [text for role, text in answered if role == "user"]
    rest = "".join([text for role, text in answered if role != "user"])
    content = hashlib.sha256("".join(user_texts).encode()).digest()
    rest_hash = hashlib.sha256((model + rest).encode())
    rest_hash.update(content)
    chars = 0
    for _, text in turns:
        chars += len(text)
    return Request(
        model=model,
        prompt_tokens=-(-chars // CHARS_PER_TOKEN) + TOKENS_PER_MESSAGE * len(turns),
        max_tokens=max_tokens,
        stream=stream,
        include_usage=include_usage,
        content_hash=content[:8].hex(),
        answer_hash=int.from_bytes(rest_hash.digest()[:8], "big"),
        user_texts=user_texts,
        turns=turns,
        partial=partial,
    )


def _without_continuation(turns: list[Turn]) -> tuple[list[Turn], str | None]:
    role, text = turns[-1]
    if role == "assistant" and len(turns) > 1:
        return turns[:-1], text
    if role == "user" and len(turns) > 2 and text.startswith(CONTINUE) and turns[-2][0] == "assistant":
        return turns[:-2], turns[-2][1]
    return turns, None


def positive(data: dict[str, Any], name: str) -> int | None:
    """A field that is a whole number of at least 1, or absent. Raises BadRequestError."""
    value = data.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise BadRequestError(f"{name} must be an integer of at least 1.", name)
    return value


def read_sample(data: dict[str, Any]) -> str:
    """What tells one sample from another: the seed, if one is given beside a temperature above 0."""
    seed, temperature = data.get("seed"), data.get("temperature")
    warm = isinstance(temperature, int | float) and temperature > 0
    return str(seed) if warm and isinstance(seed, int) else ""


def objects(value: object, name: str) -> list[dict[str, Any]]:
    """A list of objects. Raises BadRequestError that names the field."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise BadRequestError(f"{name} must be a list of objects.", name)
    return value


def an_object(value: object, name: str) -> dict[str, Any]:
    """An object. Raises BadRequestError that names the field."""
    if not isinstance(value, dict):
        raise BadRequestError(f"{name} must be an object.", name)
    return value
