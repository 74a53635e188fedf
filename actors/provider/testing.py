"""What tests judge quotas by: counted anew from what arrived, without anything of the limiter."""

from collections.abc import Sequence


def worst_window(arrivals: Sequence[tuple[float, int]], window_s: float) -> int:
    """The greatest sum of amounts that arrived within any window of `window_s` seconds, open at its end.

    Args:
        arrivals: (time in seconds, amount), in any order.
        window_s: length of the window, seconds.
    """
    ordered = sorted(arrivals)
    worst = total = start = 0
    for at, amount in ordered:
        total += amount
        while ordered[start][0] <= at - window_s:
            total -= ordered[start][1]
            start += 1
        worst = max(worst, total)
    return worst


def most_at_once(spans: Sequence[tuple[float, float]]) -> int:
    """The greatest number of spans (start, end), in seconds, that overlap; one that ends at a start does not."""
    edges = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    now = most = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    return most
