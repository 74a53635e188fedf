"""One neutral chat request and reply, the same for every provider.

Codecs turn a `ChatRequest` into a provider's wire format and a wire reply into a `ChatReply`. The structs are frozen
msgspec structs: 0.2 µs to build, 1.2 µs to pickle, against 1.7 and 3.2 µs for a pydantic model of the same fields.
"""

from typing import Literal

import msgspec

Role = Literal["system", "user", "assistant", "tool"]
Finish = Literal["stop", "length", "filtered", "tool_calls"]


class Text(msgspec.Struct, frozen=True, tag="text"):
    """A part that is plain text."""

    text: str


class Document(msgspec.Struct, frozen=True, tag="document"):
    """A named passage the request is about: a piece of a source file, or a summary of something below.

    Attributes:
        name: path relative to the root, `/`-separated; a folder ends in `/`, the root is `./`.
        text: the passage itself, unchanged.
        first_line: line number of the passage's first line in its file, from 1.
        kind: `source` for original text, `summary` for an answer that a model gave about `name`.
    """

    name: str
    text: str
    first_line: int = 1
    kind: Literal["source", "summary"] = "source"


class Question(msgspec.Struct, frozen=True, tag="question"):
    """What the user wants answered about the documents of the same message."""

    text: str


class Image(msgspec.Struct, frozen=True, tag="image"):
    """A picture: its bytes with their media type (`image/png`, …), or the URL where the provider finds it."""

    data: bytes = b""
    media_type: str = "image/png"
    url: str = ""


class ToolCall(msgspec.Struct, frozen=True, tag="tool_call"):
    """A model asks for a tool: part of an assistant's message.

    Attributes:
        id: what the result refers to; made by us for providers that give none.
        name: of the tool.
        arguments: a JSON object, as the model wrote it.
        signature: opaque words that some providers want back unchanged with the call (Gemini's thought signature).
    """

    id: str
    name: str
    arguments: str = "{}"
    signature: str = ""


class ToolResult(msgspec.Struct, frozen=True, tag="tool_result"):
    """What a tool gave: part of a message of the role `tool`. `call` is the id of its `ToolCall`, `name` its tool."""

    call: str
    name: str
    text: str
    failed: bool = False


Part = Text | Document | Question | Image | ToolCall | ToolResult


class Tool(msgspec.Struct, frozen=True):
    """A tool that a model may ask for; `schema` is the JSON Schema of its arguments, as JSON text."""

    name: str
    description: str = ""
    schema: str = '{"type":"object","properties":{}}'


class ResponseFormat(msgspec.Struct, frozen=True):
    """What the answer has to be: any JSON object, or one that `schema` (JSON Schema, as JSON text) describes."""

    schema: str = ""
    name: str = "answer"


class Message(msgspec.Struct, frozen=True):
    """One turn of a conversation: who speaks, and the parts in order."""

    role: Role
    parts: tuple[Part, ...]


class ChatRequest(msgspec.Struct, frozen=True):
    """What is asked of a model.

    Attributes:
        model: the name of a route in the configuration (an alias), or `provider/model`.
        messages: the conversation, oldest first.
        max_tokens: the most the answer may hold, in the model's own tokens; it is also what is reserved of a quota.
        temperature: sampling temperature, or None for the provider's default.
        seed: asked of providers that can sample reproducibly.
        stop: texts that end the answer.
        top_p: nucleus sampling, or None for the provider's default.
        tools: what the model may ask for.
        tool_choice: `auto`, `none`, `required`, or the name of the one tool that has to be called.
        response_format: None for free text.
    """

    model: str
    messages: tuple[Message, ...]
    max_tokens: int = 1024
    temperature: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    top_p: float | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    response_format: ResponseFormat | None = None


class Usage(msgspec.Struct, frozen=True):
    """Tokens as the provider counted them.

    `input_tokens` includes those read from a cache (`cached_tokens`) and those written to one (`written_tokens`), which
    have prices of their own; `output_tokens` includes the reasoning.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    written_tokens: int = 0

    @property
    def total(self) -> int:
        """Input and output together: what a token quota counts."""
        return self.input_tokens + self.output_tokens


class ChatReply(msgspec.Struct, frozen=True):
    """What came back: the text, why it ended, which model gave it, what it used, and the tools it asks for."""

    text: str
    model: str
    usage: Usage
    finish: Finish = "stop"
    id: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


def render(part: Part) -> str:
    """The text a language model sees for a part; documents are introduced by a line `=== name (lines a-b)`.

    What is no text (an image, a tool call) is nothing here: codecs write it in the provider's own way.
    """
    if isinstance(part, Text | ToolResult):
        return part.text
    if isinstance(part, Question):
        return f"Question: {part.text}"
    if isinstance(part, Image | ToolCall):
        return ""
    if part.kind == "summary":
        return f"=== {part.name} (summary)\n{part.text}"
    last = part.first_line + part.text.count("\n") - (1 if part.text.endswith("\n") else 0)
    return f"=== {part.name} (lines {part.first_line}-{max(last, part.first_line)})\n{part.text}"


def render_message(message: Message) -> str:
    """All parts of a message as one text, a blank line between them."""
    if len(message.parts) == 1:
        return render(message.parts[0])
    return "\n\n".join(render(part) for part in message.parts)
