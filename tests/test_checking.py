"""What a reply has to be, and what is mended before it is judged."""

import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.call.checking import flaw, repair_turn, settle
from understudy.actors.call.repairing import repaired
from understudy.protocols.chat import (
    ChatReply,
    ChatRequest,
    Finish,
    Message,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    Usage,
)
from understudy.protocols.errors import ConfigError

PERSON = """{"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
             "required": ["name", "age"], "additionalProperties": false}"""
ASK = (Message("user", (Text("who?"),)),)
JSON = ChatRequest("m", ASK, response_format=ResponseFormat())
SCHEMA = ChatRequest("m", ASK, response_format=ResponseFormat(PERSON, "person"))
TOOLS = ChatRequest("m", ASK, tools=(Tool("save", "", PERSON), Tool("look")))
PLAIN = ChatRequest("m", ASK)


def said(text: str, *calls: ToolCall, finish: Finish = "stop") -> ChatReply:
    return ChatReply(text, "m", Usage(), finish, tool_calls=calls)


@pytest.mark.parametrize(
    ("request_", "reply", "found"),
    [
        (PLAIN, said("anything {"), ""),
        (JSON, said('{"a": 1}'), ""),
        (JSON, said("[1]"), "it is no JSON object"),
        (JSON, said(""), "it can't be read as JSON: "),
        (JSON, said('{"a": NaN}'), "it can't be read as JSON: "),
        (SCHEMA, said('{"name": "x", "age": 3}'), ""),
        (
            SCHEMA,
            said('{"name": "x", "age": -3}'),
            "it doesn't fit the schema: at /age: -3 is less than the minimum of 0",
        ),
        (SCHEMA, said('{"name": "x"}'), 'it doesn\'t fit the schema: at the top: "age" is a required property'),
        (SCHEMA, said('{"name": "x', finish="length"), "it was cut off after 1024 tokens, before its JSON ended"),
        (TOOLS, said("no tool is needed"), ""),
        (TOOLS, said("", ToolCall("1", "save", '{"name": "x", "age": 3}')), ""),
        (
            TOOLS,
            said("", ToolCall("1", "drop")),
            "it asks for the tool 'drop', which there isn't (there are: look, save)",
        ),
        (TOOLS, said("", ToolCall("1", "save", "{}")), "the input of the tool 'save' doesn't fit the schema"),
        (TOOLS, said("", ToolCall("1", "look", "[]")), "the input of the tool 'look' doesn't fit the schema"),
        (TOOLS, said("", ToolCall("1", "look", "{")), "the input of the tool 'look' can't be read as JSON"),
        (PLAIN, said("", ToolCall("1", "look")), "it asks for the tool 'look', which there isn't (there are: none)"),
    ],
)
def test_flaws_are_named(request_: ChatRequest, reply: ChatReply, found: str) -> None:
    """Each flaw is one line that a model can act on; a good reply has none."""
    told = flaw(reply, request_)
    assert told.startswith(found)
    assert bool(told) == bool(found)
    assert "\n" not in told


@pytest.mark.parametrize(("choice", "asks"), [("required", False), ("save", False), ("auto", True), ("none", True)])
def test_a_tool_that_has_to_be_called(choice: str, asks: bool) -> None:
    """Words alone will not do where a tool is required, any or that one."""
    request = ChatRequest("m", ASK, tools=TOOLS.tools, tool_choice=choice)
    assert (flaw(said("words"), request) == "") == asks


@pytest.mark.parametrize(
    "schema",
    ['{"type": "objekt"}', "nonsense", "[]", '{"$ref": "http://127.0.0.1:9/x"}', '{"$ref": "file:///etc/hosts"}'],
)
def test_a_schema_that_is_none_is_the_fault_of_its_author(schema: str) -> None:
    """It is named once and for all, not blamed on the model; and nothing is fetched for it."""
    request = ChatRequest("m", ASK, response_format=ResponseFormat(schema, "person"))
    for text in ("{}", "no JSON"):
        with pytest.raises(ConfigError, match=r"the schema of the response format 'person' is no JSON Schema"):
            flaw(said(text), request)
    with pytest.raises(ConfigError, match="the schema of the tool 'save'"):
        flaw(said("", ToolCall("1", "save")), ChatRequest("m", ASK, tools=(Tool("save", "", schema),)))


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "x", "age": 3}',
        ' \n{"name": "x", "age": 3}\n',
        '\ufeff{"name": "x", "age": 3}',
        '```json\n{"name": "x", "age": 3}\n```',
        'Here it is:\n```\n{"name": "x", "age": 3}\n```\nI hope this helps {really}.',
        'Sure! {"name": "x", "age": 3} Anything else?',
        '{"name": "x", "age": 3,}',
        '{"name": "x", "age": 3, // a comment\n}',
        "{'name': 'x', 'age': 3}",
        '{name: "x", age: 3}',
        '{"name": "x" "age": 3}',
        '{"name": "x", "age": 3',
    ],
)
def test_what_is_trivially_broken_is_mended(text: str) -> None:
    """Fences, words around, commas, quotes, a bracket that lacks: the reply is what was meant, and clean."""
    reply, found = settle(said(text), SCHEMA)
    assert found == ""
    assert orjson.loads(reply.text) == {"name": "x", "age": 3}
    reply, found = settle(said("", ToolCall("1", "save", text)), TOOLS)
    assert found == ""
    assert orjson.loads(reply.tool_calls[0].arguments) == {"name": "x", "age": 3}


@pytest.mark.parametrize(
    "text", ["hello", "", "see [1] and (a)", "{", "null", '"x"', "{}{}", '{"name": "x", "age": "3"}']
)
def test_what_is_no_answer_stays_as_it_was(text: str) -> None:
    """Where mending doesn't help, the text is not touched, and its flaw is told."""
    reply, found = settle(said(text), SCHEMA)
    assert reply.text == text
    assert found


def test_what_was_cut_off_is_not_closed() -> None:
    """JSON that ended at `max_tokens` could be closed, and would then say what the model never said."""
    reply, found = settle(said('{"name": "x", "age": 3', finish="length"), SCHEMA)
    assert reply.text == '{"name": "x", "age": 3'
    assert "cut off" in found


def test_free_text_is_not_taken_for_json() -> None:
    """Without a response format nothing is mended; a tool asked for with no arguments at all has none."""
    assert settle(said("```json\n{}\n```"), PLAIN) == (said("```json\n{}\n```"), "")
    assert settle(said("", ToolCall("1", "look", "")), TOOLS)[0].tool_calls[0].arguments == "{}"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(max_size=8), json_values, max_size=4),
    st.sampled_from(["{}", "```json\n{}\n```", "So:\n{}"]),
)
def test_json_is_never_changed_by_mending(value: dict[str, Any], frame: str) -> None:
    """Whatever stands in a JSON object, in a fence or after words: it comes out as it was."""
    text = orjson.dumps(value).decode()
    if "```" in text and "```" in frame:
        return
    assert orjson.loads(repaired(frame.replace("{}", text, 1))) == value


@given(st.text(alphabet="{}[]\",:ab1 \\\n`'", max_size=60))
def test_any_text_is_judged(text: str) -> None:
    """No text makes the judge fail, and what passes is what was asked for."""
    reply, found = settle(said(text), JSON)
    assert found or isinstance(orjson.loads(reply.text), dict)


@pytest.mark.parametrize("unit", ["{", "[", '"', '\\"', "```\n", ",}", ", ", '{"a":', '{"a" ', "{[1", "```json "])
def test_a_million_characters_of_nonsense_take_no_second(unit: str) -> None:
    """Mending is bounded: what no model writes is given up at once."""
    began = time.process_time()
    repaired('{"a":"' + unit * (1_000_000 // len(unit)))
    repaired(unit * (1_000_000 // len(unit)))
    repaired((unit * 2_000)[:1_900])
    assert time.process_time() - began < 1.5


def test_deep_nesting_and_slow_patterns_are_bounded() -> None:
    """A thousand levels are read, more are not JSON; a pattern that would backtrack for ever doesn't."""
    deep = ChatRequest("m", ASK, response_format=ResponseFormat('{"items": {"$ref": "#"}, "pattern": "^(a+)+$"}'))
    assert flaw(said("[" * 1_000 + "]" * 1_000), deep) == ""
    assert "can't be read" in flaw(said("[" * 5_000 + "]" * 5_000), deep)
    assert "at the top" in flaw(said('"' + "a" * 100 + '!"'), deep)


def test_the_model_is_shown_what_is_wrong() -> None:
    """Its answer and the flaw are the last two turns; an empty answer adds no turn of its own."""
    turn = repair_turn(SCHEMA, '{"name": 1}', "it lacks an age")
    assert turn.messages[:1] == SCHEMA.messages
    assert [one.role for one in turn.messages] == ["user", "assistant", "user"]
    assert turn.messages[1].parts == (Text('{"name": 1}'),)
    told = turn.messages[2].parts[0]
    assert isinstance(told, Text)
    assert told.text == (
        "Your answer can't be used: it lacks an age. Answer again, with the corrected JSON and nothing else."
    )
    silent = repair_turn(SCHEMA, " ", "it is empty")
    assert [one.role for one in silent.messages] == ["user"]
    assert len(silent.messages[0].parts) == 2
    assert len(repair_turn(SCHEMA, "x" * 10**6, "no").messages[1].parts[0].text) == 20_000  # type: ignore[union-attr]
