"""What the simulated model says: the same request, the same answer."""

import re
from zlib import crc32

import orjson
from msgspec.structs import replace

from .exam import sit
from .request import CHARS_PER_TOKEN, Reply, Request, ToolCall, ToolSpec, count_tokens
from .schema import breaking, example
from .settings import Answer

_MARKER = re.compile(r"^=== (\S+)", re.MULTILINE)
# No part of it comes twice: who goes on with a broken answer has to see where it broke.
_WORDS = "".join(f"{number}: the quick answer of a model that was never trained; " for number in range(8000))
_PROSE = "This answer is plain prose, whatever form was asked for."


def write_reply(answer: Answer, request: Request, *, cap: int, seed: int = 0, skill: float = 0.5) -> Reply:
    """The answer to a request, cut to ``cap`` tokens (finish_reason "length" where that bites).

    ``seed`` and the model's ``skill`` decide what an exam is answered.
    """
    tool = _tool_to_call(answer, request)
    said = None
    if answer.mode == "exam":  # a schema may come as a tool that the request forces: Anthropic's format has no other
        asked = request if tool is None else replace(request, schema=tool.schema)
        said = sit(asked, seed=seed, skill=skill, tokens=_length(answer, request))
    if tool is not None:
        return _call(tool, said or orjson.dumps(example(tool.schema) or {}).decode())
    if request.partial is None:
        return _whole(answer, request, cap, said)
    return _rest(answer, request, request.partial, cap, said)


def mismatched(request: Request, reply: Reply) -> Reply | None:
    """The reply with JSON that breaks the schema asked for, or prose; None if no form was asked for."""
    if reply.tool is not None:
        tool = _named(request, reply.tool.name)
        return _call(tool, orjson.dumps(breaking(tool.schema) or []).decode())
    if request.schema is None and not request.json:
        return None
    wrong = breaking(request.schema) if request.schema is not None else None
    text = _PROSE if wrong is None else orjson.dumps(wrong).decode()
    return replace(reply, text=text, tokens=count_tokens(text), finish_reason="stop")


def withheld(reply: Reply) -> Reply:
    """The first half of a text, then the provider's filter."""
    half = reply.text[: count_tokens(reply.text) // 2 * CHARS_PER_TOKEN]
    return replace(reply, text=half, tokens=count_tokens(half), finish_reason="filtered", tool=None)


def _tool_to_call(answer: Answer, request: Request) -> ToolSpec | None:
    if not request.tools or request.tool_choice == "none":
        return None
    if request.tool_choice == "named":
        return _named(request, request.forced_tool)
    wanted = answer.tools == "first" or request.tool_choice == "required"
    return request.tools[0] if wanted and request.turns[-1][0] != "tool" else None


def _named(request: Request, name: str) -> ToolSpec:
    return next((tool for tool in request.tools if tool.name == name), request.tools[0])


def _call(tool: ToolSpec, arguments: str) -> Reply:
    tokens = count_tokens(tool.name) + count_tokens(arguments)
    return Reply("", tokens, "tool_calls", ToolCall(tool.name, arguments))


def _rest(answer: Answer, request: Request, partial: str, cap: int, said: str | None) -> Reply:
    whole = _whole(answer, request, cap + count_tokens(partial) + 1, said)
    if not whole.text.startswith(partial):
        return _whole(answer, request, cap, said)
    rest = _cut(whole.text[len(partial) :], cap)
    return replace(rest, finish_reason=whole.finish_reason) if rest.finish_reason == "stop" else rest


def _whole(answer: Answer, request: Request, cap: int, said: str | None) -> Reply:
    if said is not None:
        return _cut(said, cap)
    if request.schema is not None:
        return _cut(orjson.dumps(example(request.schema)).decode(), cap)
    if request.json:
        return _cut(orjson.dumps({"answer": _free(answer, request, cap).text}).decode(), cap)
    return _free(answer, request, cap)


def _free(answer: Answer, request: Request, cap: int) -> Reply:
    if answer.mode == "fixed":
        return _cut(answer.text, cap)
    if answer.mode == "digest" and (paths := _marked_paths(request.user_texts)):
        return _cut(_digest(paths), cap)
    if answer.mode == "summary" and (parts := [part for text in request.user_texts for part in _marked_parts(text)]):
        return _cut("\n".join(f"## {path}\nIts checksum is {crc32(part.encode()):08x}." for path, part in parts), cap)
    return _echo(_seed(answer, request), _length(answer, request), cap)


def _seed(answer: Answer, request: Request) -> int:
    return request.answer_hash if answer.by == "request" else int(request.content_hash, 16)


def _length(answer: Answer, request: Request) -> int:
    """How many tokens an answer is to have."""
    low, high = answer.token_range
    return low + _seed(answer, request) % (high - low + 1)


def _marked_paths(texts: list[str]) -> list[str]:
    return [path for text in texts for path in _MARKER.findall(text)]


def _marked_parts(text: str) -> list[tuple[str, str]]:
    """Each marked path, and what stands from its mark to the next."""
    marks = list(_MARKER.finditer(text))
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    return [(mark[1], text[mark.end() : end].strip()) for mark, end in zip(marks, ends, strict=True)]


def _digest(paths: list[str]) -> str:
    return "\n".join(f"## {path}\nThe file {path} was read by the simulated model." for path in paths)


def _echo(seed: int, wanted: int, cap: int) -> Reply:
    tokens = min(wanted, cap)
    chars = tokens * CHARS_PER_TOKEN
    text = f"{seed:016x} {_WORDS[:chars]}"
    if len(text) < chars:
        text += _WORDS * (chars // len(_WORDS))
    return Reply(text[:chars], tokens, "length" if wanted > cap else "stop")


def _cut(text: str, cap: int) -> Reply:
    tokens = count_tokens(text)
    if tokens <= cap:
        return Reply(text, tokens, "stop")
    return Reply(text[: cap * CHARS_PER_TOKEN], cap, "length")
