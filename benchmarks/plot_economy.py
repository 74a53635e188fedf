"""Draws cost against quality, by the peers' interpreter: matplotlib is no dependency of ours.

Usage: JSON on standard input: `{"path": ..., "title": ..., "bar": ..., "series": [{"name", "marker", "line",
"side", "points": [{"label", "cost", "quality"}]}]}`, costs as shares of the best model's, qualities as shares of right
answers. `bar` is the quality to hold, `side` where the labels stand.
"""

import json
import sys
from typing import Any, Final

_SIDES: Final = {"below": (8, -14), "above": (-4, 9)}
"""Where a label stands, in points from its mark."""


def main() -> None:
    """See the module's docstring."""
    import matplotlib as mpl  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    told: dict[str, Any] = json.load(sys.stdin)
    figure, axes = plt.subplots(figsize=(8, 5), dpi=120)
    for series in told["series"]:
        points = series["points"]
        costs = [100 * point["cost"] for point in points]
        qualities = [100 * point["quality"] for point in points]
        axes.plot(costs, qualities, series["marker"], linestyle=series["line"], label=series["name"], markersize=8)
        for point, cost, quality in zip(points, costs, qualities, strict=True):
            x, y = _SIDES[series["side"]]
            axes.annotate(
                point["label"],
                (cost, quality),
                xytext=(x, y),
                textcoords="offset points",
                fontsize=8,
                horizontalalignment="right" if x < 0 else "left",
            )
    axes.axhline(100 * told["bar"], color="grey", linestyle=":", label=told["bar_label"])
    axes.set_xlim(-6, 124)
    axes.margins(y=0.1)
    axes.set_xlabel("cost, % of the best model's")
    axes.set_ylabel("right answers, %")
    axes.set_title(told["title"], fontsize=10)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="center right", fontsize=9)
    figure.tight_layout()
    figure.savefig(told["path"], metadata={"Software": None})


if __name__ == "__main__":
    main()
