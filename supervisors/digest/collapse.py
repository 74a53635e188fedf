"""Grouping summaries so that no merge reads more than its budget."""

from collections.abc import Sequence


def groups(sizes: Sequence[int], budget: int) -> list[range]:
    """Consecutive groups of places whose sizes fit `budget`; one group when all fit.

    Each group has at least two members while there are two left, so that merging always makes progress; a single size
    above the budget stays in its group and is cut by the caller.
    """
    if sum(sizes) <= budget:
        return [range(len(sizes))]
    result: list[range] = []
    start = total = 0
    for place, size in enumerate(sizes):
        if total + size > budget and place - start >= 2:
            result.append(range(start, place))
            start, total = place, 0
        total += size
    result.append(range(start, len(sizes)))
    return result
