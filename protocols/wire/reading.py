"""What all formats share when they read what a provider wrote: bounds, and words fit for an error."""

from typing import Annotated, Any, Final, TypeVar

import msgspec
import orjson

from ..errors import BadRequest, InvalidReply

MAX_REPLY: Final = 16 * 1024 * 1024
"""A larger reply, whole or streamed, is refused: no chat answer comes near it."""
MAX_TOOL_CALLS: Final = 128
"""A reply that asks for more tools is refused; OpenAI allows as many tools in a request."""
MAX_WORDS: Final = 300
"""Characters of a provider's own words that an error repeats."""
_MAX_ERROR: Final = 65_536

Count = Annotated[int, msgspec.Meta(le=1 << 40)]
"""A number of tokens; what is larger is no count, and no message could carry it."""

NOTHING: Final = msgspec.Raw(b"null")
"""Default of a field that is kept as it came."""

T = TypeVar("T")


def read(decoder: msgspec.json.Decoder[T], body: bytes, what: str) -> T:
    """`body` as the decoder's type. Raises `InvalidReply` when it is none: "… is not {what}"."""
    if len(body) > MAX_REPLY:
        raise InvalidReply(f"the reply has {len(body)} bytes; more than {MAX_REPLY} are refused", status=200)
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidReply(f"the reply is not {what}: {words(str(error))}", status=200) from None


def words(text: str, default: str = "no message") -> str:
    """A provider's words in one line of at most `MAX_WORDS` characters."""
    return " ".join(text[:65_536].split())[:MAX_WORDS] or default


def bounded(calls: int) -> None:
    """Raises `InvalidReply` when a reply asks for so many tools that it is refused."""
    if calls > MAX_TOOL_CALLS:
        raise InvalidReply(f"the reply asks for more than {MAX_TOOL_CALLS} tools, which are refused", status=200)


def count(number: int | None) -> int:
    """A count that may be missing, or wrong: never negative."""
    return number if number is not None and number > 0 else 0


def compact(text: str | bytes) -> str:
    """JSON without needless white space, numbers and order of keys unchanged; what is no JSON stays as it is."""
    try:
        formatted = msgspec.json.format(text, indent=-1)
        return formatted.decode() if isinstance(formatted, bytes) else formatted
    except (msgspec.DecodeError, ValueError, RecursionError):
        return text if isinstance(text, str) else text.decode("utf-8", "replace")


def json_object(text: str) -> dict[str, Any] | None:
    """The JSON object that `text` is, or None."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def arguments(text: str) -> dict[str, Any]:
    """A tool call's arguments for providers that want an object: what a model wrote wrongly goes as one string."""
    value = json_object(text) if text.strip() else {}
    return {"arguments": text} if value is None else value


def schema(text: str, of: str) -> dict[str, Any]:
    """A JSON Schema that is sent along. Raises `BadRequest`, before anything is sent, when it is no JSON object."""
    value = json_object(text)
    if value is None:
        said = words(text, "it is empty")[:80]
        raise BadRequest(f"the schema of {of} is no JSON object; mend it: {said}", sent=False)
    return value


def loaded(body: bytes) -> Any:
    """An error's body as JSON; None where it is none."""
    try:
        return orjson.loads(body[:_MAX_ERROR])
    except orjson.JSONDecodeError:
        return None


def raw_words(body: bytes) -> str:
    """The words of a body that is no JSON."""
    return words(body[: 4 * MAX_WORDS].decode("utf-8", "replace"))


def plain(value: object) -> str:
    """A string or a number as text; empty for all else, which an error's text has no place for."""
    return value if isinstance(value, str) else str(value) if isinstance(value, int | float) else ""
