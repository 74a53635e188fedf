"""A provider's prompt cache: which leading tokens of a prompt were seen before.

A prompt is cut into whole blocks; a block is known by its text and all text before it, so that only a common
prefix counts, as at the providers (OpenAI's in steps of 128 tokens).
"""

import zlib
from collections import OrderedDict
from typing import NamedTuple

from .request import CHARS_PER_TOKEN, Request
from .settings import Cache

_KNOWN_BLOCKS = 1_000_000


class Cached(NamedTuple):
    """Prompt tokens that were read from the cache, and those that were written to it."""

    read: int
    written: int


class PromptCache:
    """What has been said to each key and model, as hashes of blocks; the oldest are forgotten."""

    def __init__(self, settings: Cache) -> None:
        self._settings = settings
        self._known: OrderedDict[int, None] = OrderedDict()

    def use(self, key: str, request: Request) -> Cached:
        """Look a prompt up, and remember it."""
        settings = self._settings
        if request.prompt_tokens < settings.min_tokens:
            return Cached(0, 0)
        if settings.rate:
            chosen = request.answer_hash % 1_000_000 < settings.rate * 1_000_000
            return Cached(request.prompt_tokens // 2 if chosen else 0, 0)
        if not settings.prefix:
            return Cached(0, 0)
        blocks = self._blocks(key, request)
        known = next((index for index, block in enumerate(blocks) if block not in self._known), len(blocks))
        self._remember(blocks)
        read, whole = known * settings.block_tokens, len(blocks) * settings.block_tokens
        read = read if read >= settings.min_tokens else 0
        return Cached(read, whole - read if whole >= settings.min_tokens else 0)

    def _blocks(self, key: str, request: Request) -> list[int]:
        chars = self._settings.block_tokens * CHARS_PER_TOKEN
        content = request.content
        # Two checksums of 32 bits, chained: one alone would meet its like among 100,000 blocks.
        first, second = zlib.crc32(f"{key} {request.model}".encode()), 1
        hashes: list[int] = []
        for at in range(0, len(content) - chars + 1, chars):
            block = content[at : at + chars].encode()
            first, second = zlib.crc32(block, first), zlib.adler32(block, second ^ first)
            hashes.append(first << 32 | second)
        return hashes

    def _remember(self, blocks: list[int]) -> None:
        for block in blocks:
            self._known[block] = None
            self._known.move_to_end(block)
        while len(self._known) > _KNOWN_BLOCKS:
            self._known.popitem(last=False)
