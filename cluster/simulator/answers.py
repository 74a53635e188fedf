"""Reading a chat request, counting its tokens, and writing the answer: the same request, the same answer.

The simulator defines its own tokenizer, so that any party can count: a text is ceil(characters / 4) tokens, a
prompt is ceil(characters of all contents / 4) + 4 a message.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from .settings import Answer

TOKENIZER = "ceil(characters / 4), prompts + 4 per message"
CHARS_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4

_MARKER = re.compile(r"^=== (\S+)", re.MULTILINE)
_WORDS = "the quick answer of a model that was never trained, told again until its tokens are spent; "


class BadRequestError(Exception):
    """Raised when a request body is not a chat request; ``param`` names the field."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


@dataclass(slots=True)
class ChatRequest:
    """What the simulator reads of ``POST /v1/chat/completions``.

    ``content_hash``: 16 hex digits over the user's messages. ``answer_hash``: an integer over model and all
    messages.
    """

    model: str
    prompt_tokens: int
    max_tokens: int | None
    stream: bool
    include_usage: bool
    content_hash: str
    answer_hash: int
    user_texts: list[str]


@dataclass(frozen=True, slots=True)
class Reply:
    """The text of an answer and how it counts."""

    text: str
    tokens: int
    finish_reason: Literal["stop", "length"]


def parse_chat(body: bytes) -> ChatRequest:
    """The request in a body. Raises BadRequestError in the words a provider would use."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequestError(f"We could not parse the JSON body of your request: {error}") from None
    if not isinstance(data, dict):
        raise BadRequestError("The body must be a JSON object.")
    model = data.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequestError("You must provide a model parameter.", "model")
    if data.get("n", 1) not in (1, None):
        raise BadRequestError("This provider gives one choice a request: leave n out.", "n")
    return _read_messages(data, model)


def _read_messages(data: dict[str, Any], model: str) -> ChatRequest:
    messages = data.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequestError("messages must be a list with at least one message.", "messages")
    user_hash = hashlib.sha256()
    rest_hash = hashlib.sha256(model.encode())
    user_texts: list[str] = []
    chars = 0
    for index, message in enumerate(messages):
        role, text = _read_message(message, index)
        chars += len(text)
        if role == "user":
            user_texts.append(text)
            user_hash.update(text.encode())
        else:
            rest_hash.update(text.encode())
    content = user_hash.digest()
    rest_hash.update(content)
    options = data.get("stream_options")
    return ChatRequest(
        model=model,
        prompt_tokens=-(-chars // CHARS_PER_TOKEN) + TOKENS_PER_MESSAGE * len(messages),
        max_tokens=_read_max_tokens(data),
        stream=data.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        content_hash=content[:8].hex(),
        answer_hash=int.from_bytes(rest_hash.digest()[:8], "big"),
        user_texts=user_texts,
    )


def _read_message(message: object, index: int) -> tuple[str, str]:
    if not isinstance(message, dict) or not isinstance(role := message.get("role"), str):
        raise BadRequestError("A message is an object with a role and a content.", f"messages[{index}]")
    content = message.get("content")
    if isinstance(content, str):
        return role, content
    if content is None and role == "assistant":
        return role, ""
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        texts = [part.get("text", "") for part in content]
        if all(isinstance(text, str) for text in texts):
            return role, "".join(texts)
    raise BadRequestError("content must be a string or a list of parts.", f"messages[{index}].content")


def _read_max_tokens(data: dict[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        value = data.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise BadRequestError(f"{name} must be an integer of at least 1.", name)
        return value
    return None


def count_tokens(text: str) -> int:
    """Tokens of a text by the simulator's own definition."""
    return -(-len(text) // CHARS_PER_TOKEN)


def write_reply(answer: Answer, request: ChatRequest, *, cap: int) -> Reply:
    """The answer to a request, cut to ``cap`` tokens (finish_reason "length" where that bites)."""
    if answer.mode == "fixed":
        return _cut(answer.text, cap)
    if answer.mode == "digest" and (paths := _marked_paths(request.user_texts)):
        return _cut(_digest(paths), cap)
    low, high = answer.token_range
    wanted = low + request.answer_hash % (high - low + 1)
    return _echo(request.answer_hash, wanted, cap)


def _marked_paths(texts: list[str]) -> list[str]:
    return [path for text in texts for path in _MARKER.findall(text)]


def _digest(paths: list[str]) -> str:
    return "\n".join(f"## {path}\nThe file {path} was read by the simulated model." for path in paths)


def _echo(seed: int, wanted: int, cap: int) -> Reply:
    tokens = min(wanted, cap)
    chars = tokens * CHARS_PER_TOKEN
    text = f"{seed:016x} " + _WORDS * (chars // len(_WORDS) + 1)
    return Reply(text[:chars], tokens, "length" if wanted > cap else "stop")


def _cut(text: str, cap: int) -> Reply:
    tokens = count_tokens(text)
    if tokens <= cap:
        return Reply(text, tokens, "stop")
    return Reply(text[: cap * CHARS_PER_TOKEN], cap, "length")
