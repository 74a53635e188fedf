"""How resume_screening.yaml ranks: plain arithmetic that a candidate could be shown."""

from typing import Any

SKILLS, CULTURE, RED_FLAGS = 0.7, 0.3, 0.5
"""Weights: what the two views add, and what red flags take away."""


def shortlist(candidates: list[str], results: list[Any], errors: dict[str, str], places: int) -> dict[str, Any]:
    """The best candidates, and those who were not screened, with the cause.

    Args:
        candidates: names, in the order of `results`.
        results: of each candidate the three views by name, each with `score` from 0 to 1, or None where the view
            failed; None for a candidate whose screening failed.
        errors: by the candidate's place, as text, why the screening failed.
        places: how many are listed.
    """
    screened = [
        {"name": name, "score": score(views), "views": views, "incomplete": None in views.values()}
        for name, views in zip(candidates, results, strict=True)
        if views is not None
    ]
    screened.sort(key=lambda one: (-one["score"], one["name"]))
    lost = [{"name": candidates[int(place)], "cause": cause} for place, cause in errors.items()]
    return {"shortlist": screened[:places], "screened": len(screened), "not_screened": lost}


def score(views: dict[str, Any]) -> float:
    """0.7 skills + 0.3 culture - 0.5 red flags, 0 to 1; a view that is missing counts as half."""
    marks = {name: 0.5 if view is None else view["score"] for name, view in views.items()}
    total = SKILLS * marks["skills"] + CULTURE * marks["culture"] - RED_FLAGS * marks["red_flags"]
    return round(min(1.0, max(0.0, total)), 4)
