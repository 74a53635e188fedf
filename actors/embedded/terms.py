"""Words and identifiers as comparable terms."""

import re

_TOKEN = re.compile(r"[^\W\d_][\w]*|_+\w+")
_PIECE = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+")
_DOUBLED = re.compile(r"([bdgmnprt])\1$")

_STOPWORDS_LIST = (
    "a about above after again all also am an and any are as at be because been before being below "
    "between both but by can could did do does doing done down during each else every few for from "
    "further get gets had has have having he her here how however i if in into is it its itself just let "
    "like many may me might more most much must my no nor not now of off on once one only or other our "
    "out over own per same see shall she should so some such than that the their them then there these "
    "they this those through thus to too two under until up upon us use used uses using very via was we "
    "were what when where which while who whose why will with within without would yes yet you your "
)
STOPWORDS = frozenset(_STOPWORDS_LIST.split())
# Words so common in source that they tell little about which passage answers a question.
_COMMON_LIST = (
    "add call class code data def default error exception file function import init int key line list "
    "main method module name new none null number object open option param path print program project "
    "python read return run self set start str string system test time true type value var work write "
    "happen implement handle define make find show tell explain "
)
COMMON = frozenset(_COMMON_LIST.split())


def pieces(token: str) -> list[str]:
    """The lower-case words an identifier is made of, by underscores and by capitals."""
    return [piece.lower() for piece in _PIECE.findall(token)] or [token.lower()]


_CHANGED = (("ies", "y"), ("ied", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"))
_ENDINGS = ("ations", "ation", "ings", "ing", "ers", "er", "ed", "ors", "or", "ions", "ion", "ly", "e")


def stem(word: str) -> str:
    """A light stem: plural, -ing, -ed, -er, -ly and -ion endings off, so that retry, retries and retried meet.

    A cut-down form of the suffix rules of Porter, "An algorithm for suffix stripping" (1980).
    """
    if len(word) < 4 or not word.isascii():
        return word
    for ending, instead in _CHANGED:
        if word.endswith(ending) and len(word) - len(ending) >= 2:
            return word[: -len(ending)] + instead
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return _DOUBLED.sub(r"\1", word[: -len(ending)])
    return word


def terms(text: str) -> list[str]:
    """Stems of the telling words of a text, identifiers split, in order, with repeats."""
    found: list[str] = []
    for token in _TOKEN.findall(text):
        found.extend(stem(word) for word in pieces(token) if len(word) > 1 and word not in STOPWORDS)
    return found
