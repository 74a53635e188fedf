"""The calls of a drill: no two alike, of lengths as they come, the same for the same seed."""

import random
from typing import Final

from ...actors.requests import Ask
from ...protocols.call import CallOptions
from ...protocols.chat import ChatRequest, Message, Text
from ..simulator.request import TOKENS_PER_MESSAGE, count_tokens

MAX_TOKENS: Final = 256
_CHARACTERS: Final = (200, 2400)
_TEXT: Final = (
    "summarise the order that the customer sent back on monday and say why it was late in plain words so that "
    "nobody has to ask again what became of it while the invoice is still open and the parcel is on its way"
)


def bodies(route: str, count: int, *, seed: int, stream: bool, options: CallOptions | None = None) -> list[Ask]:
    """So many calls of the route."""
    rng = random.Random(seed)  # noqa: S311 - chance that can be replayed, not a secret
    return [_ask(route, number, rng, stream=stream, options=options or CallOptions()) for number in range(count)]


def _ask(route: str, number: int, rng: random.Random, *, stream: bool, options: CallOptions) -> Ask:
    text = f"Call {number}: " + _prose(rng, rng.randint(*_CHARACTERS))
    request = ChatRequest(route, (Message("user", (Text(text),)),), max_tokens=MAX_TOKENS)
    return Ask(count_tokens(text) + TOKENS_PER_MESSAGE, request, options, stream)


def _prose(rng: random.Random, characters: int) -> str:
    words = rng.choices(_TEXT.split(), k=characters // 4)
    return " ".join(words)[:characters]
