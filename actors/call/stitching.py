"""Goes on with an answer whose stream broke, so that no text comes twice: pure."""

from typing import Final

import msgspec

from ...protocols.chat import ChatRequest, Message, Text

_LOOK_BEHIND: Final = 2048
_LEAST: Final = 8
"""Characters that have to be the same before they count as a repetition: shorter ones are chance (`the `)."""

_CONTINUE: Final = (
    "Continue exactly where your last message ends, in the middle of a word if it ends there. Repeat nothing of it, "
    "and write nothing before the continuation."
)


def continuation(request: ChatRequest, partial: str, *, prefill: bool) -> ChatRequest:
    """The request for what comes after `partial`, the part of the answer that is known.

    Args:
        request: what was asked.
        partial: all text that came.
        prefill: the format goes on with an assistant's message that comes last (Anthropic's does). It may not end in
            blanks; those that are cut here, `Stitcher` drops when they come again. Elsewhere the user asks for it.
    """
    if not partial.strip():
        return request
    if prefill:
        messages = (*request.messages, Message("assistant", (Text(partial.rstrip()),)))
    else:
        said = Message("assistant", (Text(partial),))
        messages = (*request.messages, said, Message("user", (Text(_CONTINUE),)))
    return msgspec.structs.replace(request, messages=messages)


class Stitcher:
    """Drops from the beginning of a continuation what repeats the end of what was emitted before.

    Models that are asked to continue often begin with their last words, or sentence, again. The longest end of the
    emitted text (of its last 2,048 characters) that the continuation begins with is dropped if it has 8 characters or
    more, or consists of blanks. While the text may still become such a repetition it is held back; it never is longer
    than what it would repeat. A text that really says the same 8 characters twice in a row loses one of them.

    Args:
        emitted: all text that was emitted before.
    """

    __slots__ = ("_behind", "_blanks", "_done", "_held")

    def __init__(self, emitted: str) -> None:
        self._behind = emitted[-_LOOK_BEHIND:]
        self._blanks = self._behind[len(self._behind.rstrip()) :]
        self._held = ""
        self._done = not emitted

    def feed(self, text: str) -> str:
        """The part of the continuation that is new, perhaps none yet."""
        if self._done:
            return text
        self._held += text
        return "" if not self._held or self._may_grow() else self.finish()

    def finish(self) -> str:
        """What was held back and is new, when the continuation has ended."""
        text, self._held, self._done = self._held[self._repeated() :], "", True
        return text

    def _may_grow(self) -> bool:
        """True while what is held begins a repetition that is longer."""
        for ending in (self._behind, self._blanks):
            begins = ending.find(self._held)
            if begins >= 0 and len(ending) - begins > len(self._held) and _counts(ending[begins:]):
                return True
        return False

    def _repeated(self) -> int:
        """Length of the longest repetition that what is held begins with."""
        held, behind = self._held, self._behind
        for size in range(min(len(held), len(behind)), 0, -1):
            if behind[-size] == held[0] and held.startswith(behind[-size:]) and _counts(behind[-size:]):
                return size
        return 0


def _counts(repetition: str) -> bool:
    return len(repetition) >= _LEAST or repetition.isspace()
