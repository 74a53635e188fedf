"""A hint for a mistyped word."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint to put after a message: ` (did you mean 'accounts'?)`, or nothing when no known word is near.

    Near is difflib's ratio of at least 0.6, letter case left out; a known word that starts with `word`, or
    that `word` starts with, is near as well, since options are often cut short.
    """
    words = {known_word.lower(): known_word for known_word in known}
    folded = word.lower()
    matches = get_close_matches(folded, words, n=1)
    if not matches and len(folded) > 1:
        matches = sorted(other for other in words if other.startswith(folded) or folded.startswith(other))
    return f" (did you mean {words[matches[0]]!r}?)" if matches else ""
