"""Putting chunks into packs: one pack, one map call.

Packing small files is bin packing with a wish to keep neighbours together. Within a folder the best-fit rule
is used (Johnson et al., 1974, "Worst-case performance bounds for simple one-dimensional packing algorithms");
packs left with room then rise to the parent folder, where those of sibling folders meet. Where plain next-fit
in tree order needs fewer packs, it is taken.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

import msgspec

from ...protocols.digest import Chunk, Pack
from .tokens import count

MOST_FILES: Final = 40  # a model has to answer for each file of its pack by name
_ROOMY: Final = 0.75  # a pack filled less may share with a sibling folder's; fuller ones stay as they are


class _Bin(msgspec.Struct):
    """Places of chunks (in tree order) and their cost so far."""

    places: list[int]
    cost: int


def header(path: str) -> int:
    """Tokens of the line that introduces a document and of the blank line after it, on the safe side."""
    return count(f"=== {path} (lines 1000000-1000000)\n") + 1


def pack(chunks: Sequence[Chunk], budget: int) -> list[Pack]:
    """Packs in tree order, each of at most `budget` tokens (headers included) and `MOST_FILES` files.

    A chunk of a split file is alone in its pack. So is a chunk that passes the budget by itself, with its
    header: the only kind of pack that may.
    """
    costs = [chunk.tokens + header(chunk.path) for chunk in chunks]
    alone = [_Bin([place], costs[place]) for place, chunk in enumerate(chunks) if chunk.of > 1]
    whole = [place for place, chunk in enumerate(chunks) if chunk.of == 1]
    near = _by_folder(whole, [chunk.path for chunk in chunks], costs, budget)
    plain = _next_fit(whole, costs, budget)
    bins = alone + (near if len(near) <= len(plain) else plain)
    for held in bins:
        held.places.sort()
    bins.sort(key=lambda held: held.places[0])
    return [Pack(number, tuple(chunks[place] for place in held.places), held.cost) for number, held in enumerate(bins)]


def _next_fit(whole: Iterable[int], costs: Sequence[int], budget: int) -> list[_Bin]:
    bins: list[_Bin] = []
    for place in whole:
        if bins and _shares(bins[-1], _Bin([place], costs[place]), budget):
            bins[-1].places.append(place)
            bins[-1].cost += costs[place]
        else:
            bins.append(_Bin([place], costs[place]))
    return bins


def _by_folder(whole: Sequence[int], paths: Sequence[str], costs: Sequence[int], budget: int) -> list[_Bin]:
    closed: list[_Bin] = []
    waiting: dict[tuple[str, ...], list[_Bin]] = {}
    parts = {place: tuple(paths[place].split("/")[:-1]) for place in whole}
    for folder, places in groupby(sorted(whole, key=lambda place: (parts[place], place)), key=parts.__getitem__):
        waiting[folder] = [_Bin([place], costs[place]) for place in places]
    for depth in range(max(map(len, waiting), default=0), -1, -1):
        for folder in sorted(folder for folder in waiting if len(folder) == depth):
            for held in _best_fit(waiting.pop(folder), budget):
                if folder and held.cost < budget * _ROOMY and len(held.places) < MOST_FILES:
                    waiting.setdefault(folder[:-1], []).append(held)
                else:
                    closed.append(held)
    return closed


def _best_fit(items: Iterable[_Bin], budget: int) -> list[_Bin]:
    """Each item, in order, into the fullest open pack that has room for it."""
    bins: list[_Bin] = []
    rooms: list[tuple[int, int]] = []  # (room left, bin), sorted: the first with room enough is the fullest
    for item in items:
        for spot in range(bisect_left(rooms, (item.cost, -1)), len(rooms)):
            number = rooms[spot][1]
            if _shares(bins[number], item, budget):
                del rooms[spot]
                bins[number].places += item.places
                bins[number].cost += item.cost
                break
        else:
            number = len(bins)
            bins.append(_Bin(list(item.places), item.cost))
        if len(bins[number].places) < MOST_FILES:
            insort(rooms, (budget - bins[number].cost, number))
    return bins


def _shares(held: _Bin, item: _Bin, budget: int) -> bool:
    return held.cost + item.cost <= budget and len(held.places) + len(item.places) <= MOST_FILES
