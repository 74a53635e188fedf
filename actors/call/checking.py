"""Is a reply what was asked for? JSON of the wanted form, and tools that exist with arguments that fit: pure.

A schema is JSON Schema of any draft (its `$schema` says which, else 2020-12); references lead nowhere but inside it:
nothing is fetched.
"""

from functools import lru_cache
from typing import Final

import jsonschema_rs
import msgspec
import orjson

from ...protocols.chat import ChatReply, ChatRequest, Message, ResponseFormat, Text, Tool, ToolCall
from ...protocols.errors import ConfigError
from .repairing import is_json, repaired

_LONGEST_FLAW: Final = 500
_LONGEST_SHOWN: Final = 20_000
"""Characters of its own answer that a model is shown again."""


def check_schemas(request: ChatRequest) -> None:
    """Before anything is paid for: a reply can be checked.

    Raises:
        ConfigError: a schema of the request is none.
    """
    wanted = request.response_format
    if wanted is not None and wanted.schema:
        _validator(wanted.schema, _the_format(wanted))
    for tool in request.tools:
        if tool.schema:
            _validator(tool.schema, _the_tool(tool))


def flaw(reply: ChatReply, request: ChatRequest) -> str:
    """What is wrong with the reply, in one line; empty when it is what `request` asks for.

    Raises:
        ConfigError: a schema of the request is none.
    """
    return _flaw_of_calls(reply, request) or _flaw_of_text(reply, request)


def settle(reply: ChatReply, request: ChatRequest) -> tuple[ChatReply, str]:
    """(the reply with its JSON cleaned, ""), or (the reply as it was, its flaw) where cleaning doesn't help.

    Raises:
        ConfigError: a schema of the request is none.
    """
    if reply.finish == "length":
        return reply, flaw(reply, request)  # closing what was cut off would make something up
    calls = tuple(_repaired_call(call) for call in reply.tool_calls)
    text = reply.text if request.response_format is None or calls else repaired(reply.text)
    cleaned = msgspec.structs.replace(reply, text=text, tool_calls=calls)
    found = flaw(cleaned, request)
    return (reply, found) if found else (cleaned, "")


def repair_turn(request: ChatRequest, reply_text: str, flaw: str) -> ChatRequest:
    """The conversation with the model's answer and a turn that tells it what is wrong with that."""
    wanted = "the corrected JSON and nothing else" if request.response_format is not None else "a corrected answer"
    told = Text(f"Your answer can't be used: {flaw}. Answer again, with {wanted}.")
    if not reply_text.strip():
        return msgspec.structs.replace(request, messages=_joined(request.messages, told))
    shown = Message("assistant", (Text(reply_text.strip()[:_LONGEST_SHOWN]),))
    return msgspec.structs.replace(request, messages=(*request.messages, shown, Message("user", (told,))))


def _joined(messages: tuple[Message, ...], told: Text) -> tuple[Message, ...]:
    """With the user's words at the end of their last turn, if that is the last one: turns alternate."""
    if messages and messages[-1].role == "user":
        return *messages[:-1], Message("user", (*messages[-1].parts, told))
    return *messages, Message("user", (told,))


def _flaw_of_calls(reply: ChatReply, request: ChatRequest) -> str:
    tools = {tool.name: tool for tool in request.tools}
    for call in reply.tool_calls:
        tool = tools.get(call.name)
        if tool is None:
            known = ", ".join(sorted(tools)) or "none"
            return f"it asks for the tool {call.name[:80]!r}, which there isn't (there are: {known})"
        found = _flaw_of_json(call.arguments, tool.schema, _the_tool(tool))
        if found:
            return f"the input of the tool {tool.name!r} {found}"
    if not reply.tool_calls and request.tools:
        wanted = request.tool_choice
        if wanted == "required":
            return "it asks for no tool, and has to"
        if wanted in tools:
            return f"it doesn't ask for the tool {wanted!r}, and has to"
    return ""


def _flaw_of_text(reply: ChatReply, request: ChatRequest) -> str:
    wanted = request.response_format
    if wanted is None or reply.tool_calls:
        return ""
    if reply.finish == "length" and not is_json(reply.text):
        return f"it was cut off after {request.max_tokens} tokens, before its JSON ended: raise max_tokens"
    found = _flaw_of_json(reply.text, wanted.schema, _the_format(wanted))
    return f"it {found}" if found else ""


def _the_tool(tool: Tool) -> str:
    return f"the tool {tool.name!r}"


def _the_format(wanted: ResponseFormat) -> str:
    return f"the response format {wanted.name!r}"


def _flaw_of_json(text: str, schema: str, owner: str) -> str:
    """What is wrong with a JSON text, as a verb's phrase."""
    validator = _validator(schema, owner) if schema else None
    try:
        value = orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError) as error:
        return f"can't be read as JSON: {error}"[:_LONGEST_FLAW]
    if validator is None:
        return "" if isinstance(value, dict) else "is no JSON object"
    try:
        validator.validate(value)
    except jsonschema_rs.ValidationError as error:
        where = "".join(f"/{step}" for step in error.instance_path) or "the top"
        return f"doesn't fit the schema: at {where}: {_one_line(error.message)}"
    except ValueError as error:  # nested deeper than the validator goes
        return f"can't be checked: {_one_line(str(error))}"
    return ""


@lru_cache(maxsize=256)
def _validator(schema: str, owner: str) -> jsonschema_rs.Validator:
    try:
        return jsonschema_rs.validator_for(schema, offline=True)
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        said = _one_line(getattr(error, "message", str(error)))
        raise ConfigError(f"the schema of {owner} is no JSON Schema that can be used: {said}") from None


def _one_line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_FLAW else f"{text[:_LONGEST_FLAW]}…"


def _repaired_call(call: ToolCall) -> ToolCall:
    # Some models ask for a tool without arguments by no text at all.
    return msgspec.structs.replace(call, arguments=repaired(call.arguments) or "{}")
