"""A text that every match of a regular expression has to hold, to look for before the expression is tried.

A search by `re` without regard to case reads 2.2 kB in 29 µs, `in` in less than one. The same idea stands behind the
literal optimisations of ripgrep and RE2's `FilteredRE2`.
"""

import importlib
import re
from collections.abc import Iterable
from typing import Any


def required(pattern: str) -> str:
    """The longest run of literal characters outside any choice, in lower case; empty when there is none to rely on.

    It holds for ASCII texts only: without regard to case, `k` and `s` have relatives beyond ASCII.
    """
    try:
        parsed: Any = importlib.import_module("re._parser").parse(pattern, re.IGNORECASE)
    except (ImportError, AttributeError, re.error):  # a later Python may move it; the search is then only slower
        return ""
    if parsed.state.flags & re.VERBOSE:
        return ""
    return max(_runs(parsed), key=len, default="")


def _runs(items: Iterable[tuple[Any, Any]]) -> list[str]:
    runs = [""]
    for kind, value in items:
        name = str(kind)
        if name == "LITERAL" and value < 128:
            runs[-1] += chr(value).lower()
        elif name == "AT":  # a position between characters ends no run
            continue
        else:
            runs.append("")
            if name == "SUBPATTERN":
                runs.extend((*_runs(value[3]), ""))
            elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT") and value[0] > 0:
                runs.extend((*_runs(value[2]), ""))
    return runs
