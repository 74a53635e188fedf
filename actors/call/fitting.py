"""Makes a request fit a model's window, by the policy its sender chose: pure.

First the answer gives way: `max_tokens` falls to a quarter at most, and to 64 at least. Then the prompt does. The
system's messages and the last thing the user said stay, whatever the policy: only a part of that can be cut, from its
start or its middle.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Final

import msgspec

from ...protocols.chat import (
    ChatRequest,
    Document,
    Message,
    Question,
    Text,
    ToolResult,
    render_message,
)
from ...protocols.routes import Overflow
from ..counting import Count, message_tokens, prompt_tokens
from .cutting import both_ends, first, last, marker_tokens

_LEAST_ANSWER: Final = 64
_LEAST_TEXT: Final = 16
"""Tokens that have to be left of a question, or of any text that is cut in its middle."""
_SUMMARY: Final = 512
_TURNS: Final = 6
"""How often a cut is tried again, each time by what it was too large: a joined text may count more than its parts."""

_SUMMARISE: Final = (
    "Summarise the earlier part of a conversation, for somebody who goes on with it without having read it. Keep "
    "names, numbers, decisions, open questions and the user's wishes. Answer with the summary only."
)
_PREFACE: Final = "Summary of what was said before:\n"

_Cuttable = Text | Document | Question | ToolResult
_GONE: Final = Text("")
"""Stands for a text of which nothing is left, so that those after it keep their numbers; it is told by identity."""

_Spot = tuple[int, int]
"""Numbers of a message and of a part in it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fitted:
    """A request that fits.

    Attributes:
        request: it fits as it stands.
        tokens: of its prompt, with the room that is kept for a summary.
        left_out: tokens of the prompt that are no longer in it.
        summarise: what to ask for a summary of them, or None; it may itself be larger than the window, and has nothing
            to be summarised, so `truncate_middle` fits it. The answer goes to `with_summary`; without it `request` will
            do.
        room: tokens that the summary may have.
        count: how they are counted.
    """

    request: ChatRequest
    tokens: int
    left_out: int = 0
    summarise: ChatRequest | None = None
    room: int = 0
    count: Count = len


def fit(
    request: ChatRequest,
    *,
    tokens: int,
    window: int,
    overflow: Overflow,
    count: Count,
    keep_output: bool = False,
) -> Fitted | None:
    """The request, cut by the policy `overflow` until prompt and answer fit `window`; None when that can't be done.

    Args:
        request: what is to be sent.
        tokens: of its prompt, as the caller counted them. Where that is more than `count` finds, all counts are scaled
            by it: the caller knows more, perhaps from a provider that refused.
        window: tokens that the model can read and write together.
        overflow: `fail` and `larger` cut nothing of the prompt, and `fail` nothing of the answer either.
        count: number of tokens of a text.
        keep_output: leave `max_tokens` as it is: the window is a guess, and only a shorter prompt will help.
    """
    if tokens + request.max_tokens <= window:
        return Fitted(request, tokens)
    if overflow == "fail":
        return None
    own = prompt_tokens(request, count)
    scale = max(1.0, tokens / own)
    least = request.max_tokens if keep_output else min(request.max_tokens, max(_LEAST_ANSWER, request.max_tokens // 4))
    room = math.floor((window - least) / scale)
    if own <= room:
        return _sized(Fitted(request, own), window, scale)
    if overflow == "larger" or room <= 0:
        return None
    if overflow == "truncate_middle":
        cut = _middle(request, room, own, count)
    elif overflow == "summarise":
        cut = _summarised(request, room, own, count)
    else:
        cut = _oldest(request, room, own, count)[0]
    return None if cut is None else _sized(cut, window, scale)


def with_summary(fitted: Fitted, text: str) -> ChatRequest:
    """The request with a summary of what was left out, cut to the room that was kept for it."""
    text = _PREFACE + first(text.strip(), fitted.room, fitted.count)
    messages = list(fitted.request.messages)
    at = next((at for at, one in enumerate(messages) if one.role != "system"), len(messages))
    if at < len(messages) and messages[at].role == "user":
        messages[at] = Message("user", (Text(text), *messages[at].parts))
    else:
        messages.insert(at, Message("user", (Text(text),)))
    return msgspec.structs.replace(fitted.request, messages=tuple(messages))


def _sized(fitted: Fitted, window: int, scale: float) -> Fitted:
    """The same in the caller's tokens; what whole turns have freed goes to the answer."""
    tokens = math.ceil(fitted.tokens * scale - 1e-9)
    most = min(fitted.request.max_tokens, window - tokens)
    request = msgspec.structs.replace(fitted.request, max_tokens=most)
    return dataclasses.replace(fitted, request=request, tokens=tokens, left_out=math.ceil(fitted.left_out * scale))


# The oldest goes ------------------------------------------------------------------------------------------------------


def _oldest(request: ChatRequest, room: int, own: int, count: Count) -> tuple[Fitted | None, list[str]]:
    """(without its oldest turns, and then the start of its oldest texts; what they said)."""
    messages, gone, freed = _without_oldest(request.messages, own - room, count)
    excess = own - room - freed
    guarded = _guarded(messages)
    least = _LEAST_TEXT + marker_tokens(count)
    for spot in sorted(_cuttable(messages), key=lambda spot: (spot in guarded, spot)):
        if excess <= 0:
            break
        at, before = spot[0], messages[spot[0]]
        gone += _shorten(messages, spot, excess, least=least if spot in guarded else 0, count=count)
        excess -= message_tokens(before, count) - message_tokens(messages[at], count)
    made = _made(request, messages, own, count)
    return made if made.tokens <= room else None, gone


def _without_oldest(messages: tuple[Message, ...], excess: int, count: Count) -> tuple[list[Message], list[str], int]:
    """(the messages without the oldest units that hold `excess` tokens, what those said, how many tokens they had).

    What remains begins with the user, as far as there is a choice: some formats want that.
    """
    units, asked = _units(messages), _asked(messages)
    kept: list[Message] = []
    gone: list[str] = []
    freed, enough = 0, excess <= 0
    for unit in units:
        turn = [messages[at] for at in unit]
        enough = enough or (freed >= excess and (turn[0].role == "user" or unit.start > asked))
        if enough or unit is units[-1] or asked in unit or turn[0].role == "system":
            kept += turn
        else:
            freed += sum(message_tokens(one, count) for one in turn)
            gone += [f"{one.role}: {render_message(one)}" for one in turn]
    return kept, gone, freed


def _asked(messages: Sequence[Message]) -> int:
    """Where the user spoke last, or -1."""
    return max((at for at, one in enumerate(messages) if one.role == "user"), default=-1)


def _units(messages: tuple[Message, ...]) -> list[range]:
    """Runs of messages that stay together: a turn, with the results of the tools that it asks for."""
    starts = [at for at, one in enumerate(messages) if at == 0 or one.role != "tool"]
    return [range(start, end) for start, end in zip(starts, [*starts[1:], len(messages)], strict=True)]


def _shorten(messages: list[Message], spot: _Spot, excess: int, *, least: int, count: Count) -> list[str]:
    """Cuts one text from its start, in place, until its message has `excess` tokens less, or `least` are left of it.

    Returns what was cut away.
    """
    before, part = messages[spot[0]], _text_at(messages, spot)
    most = message_tokens(before, count) - excess
    keep, start = count(part.text) - excess, 0
    for _ in range(_TURNS):
        text, start = last(part.text, max(keep, least), count)
        if least and not text:
            return []
        messages[spot[0]] = _with(before, spot[1], _cut_document(part, start) if text else part, text)
        over = message_tokens(messages[spot[0]], count) - most
        if over <= 0 or keep <= least:
            break
        keep -= over
    return [part.text[:start]] if start else []


def _cut_document(part: _Cuttable, start: int) -> _Cuttable:
    """Lines keep their numbers; a marker on a line of its own has the number of the last that is left out."""
    if not isinstance(part, Document):
        return part
    lines = part.text.count("\n", 0, start)
    own_line = part.text[start - 1 : start] == "\n"
    return msgspec.structs.replace(part, first_line=part.first_line + lines - own_line)


# The middle goes ------------------------------------------------------------------------------------------------------


def _middle(request: ChatRequest, room: int, own: int, count: Count) -> Fitted | None:
    """Without the middle of its longest texts: each is cut to one level, those that are shorter stay.

    Questions are cut only where that alone would help.
    """
    spots = _cuttable(request.messages)
    plain = [spot for spot in spots if not isinstance(_text_at(request.messages, spot), Question)]
    found = _levelled(request, plain, room, own, count)
    return found if found is not None or plain == spots else _levelled(request, spots, room, own, count)


def _levelled(request: ChatRequest, spots: list[_Spot], room: int, own: int, count: Count) -> Fitted | None:
    sizes = {spot: count(_text_at(request.messages, spot).text) for spot in spots}
    level = _level(sorted(sizes.values()), own - room)
    least = _LEAST_TEXT + marker_tokens(count)
    for _ in range(_TURNS):
        if level < least:
            return None
        messages, large = list(request.messages), [spot for spot in spots if sizes[spot] > level]
        for at, number in large:
            part = _text_at(messages, (at, number))
            messages[at] = _with(messages[at], number, part, both_ends(part.text, level, count) or "…")
        made = _made(request, messages, own, count)
        if made.tokens <= room:
            return made
        level -= math.ceil((made.tokens - room) / max(1, len(large)))
    return None


def _level(sizes: list[int], excess: int) -> int:
    """The size to which all larger `sizes` (rising) are cut so that `excess` goes; negative when that is too much."""
    for at, size in enumerate(sizes):
        level = (sum(sizes[at:]) - excess) // (len(sizes) - at)
        if level <= size:
            return level
    return -1


# A summary comes ------------------------------------------------------------------------------------------------------


def _summarised(request: ChatRequest, room: int, own: int, count: Count) -> Fitted | None:
    """As `_oldest`, with room for a summary of what went, and the question for it; as `_oldest` where room is short."""
    answer = min(_SUMMARY, room // 4)
    overhead = message_tokens(Message("user", (Text(_PREFACE),)), count) + 2
    cut, gone = _oldest(request, room - answer - overhead, own, count)
    if cut is None or answer < _LEAST_TEXT:
        return _oldest(request, room, own, count)[0]
    ask = ChatRequest(
        model=request.model,
        messages=(Message("system", (Text(_SUMMARISE),)), Message("user", (Text("\n\n".join(gone)),))),
        max_tokens=answer,
    )
    tokens = cut.tokens + answer + overhead
    return dataclasses.replace(cut, tokens=tokens, summarise=ask, room=answer, count=count)


# Parts ----------------------------------------------------------------------------------------------------------------


def _cuttable(messages: Sequence[Message]) -> list[_Spot]:
    """Each text that may be cut; nothing of the system's."""
    return [
        (at, number)
        for at, message in enumerate(messages)
        if message.role != "system"
        for number, part in enumerate(message.parts)
        if isinstance(part, _Cuttable) and part.text
    ]


def _guarded(messages: Sequence[Message]) -> set[_Spot]:
    """Which texts are cut last, and never away: questions, and the last text of the user's last message."""
    asked, spots = _asked(messages), _cuttable(messages)
    final = [spot for spot in spots if spot[0] == asked][-1:]
    return {*final, *(spot for spot in spots if isinstance(_text_at(messages, spot), Question))}


def _text_at(messages: Sequence[Message], spot: _Spot) -> _Cuttable:
    part = messages[spot[0]].parts[spot[1]]
    assert isinstance(part, _Cuttable)
    return part


def _with(message: Message, number: int, part: _Cuttable, text: str) -> Message:
    """The message with that text in its part; the others keep their numbers."""
    parts = list(message.parts)
    # A tool's result stays, even empty: its call waits for it.
    gone = not text and not isinstance(part, ToolResult)
    parts[number] = _GONE if gone else msgspec.structs.replace(part, text=text)
    return Message(message.role, tuple(parts))


def _made(request: ChatRequest, messages: list[Message], own: int, count: Count) -> Fitted:
    """The request with these messages, without texts of which nothing is left, and turns that had no other."""
    left = [Message(one.role, tuple(part for part in one.parts if part is not _GONE)) for one in messages]
    kept = (one for one, before in zip(left, messages, strict=True) if one.parts or not before.parts)
    made = msgspec.structs.replace(request, messages=tuple(kept))
    tokens = prompt_tokens(made, count)
    return Fitted(made, tokens, own - tokens)
