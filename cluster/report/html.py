"""The report as one self-contained HTML file: our own style and script inside, the report as JSON data."""

import base64
import hashlib
import html
import re
from functools import cache
from importlib.resources import files

import msgspec

from ...protocols.report import Report

_PLACE = re.compile(r"\{\{([a-z-]+)\}\}")
# written as JSON escapes, these can't end or open anything inside a script element
_ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def render(report: Report) -> str:
    """The whole page.

    A content security policy with the hashes of our style and script lets nothing else run and loads nothing:
    a summary that holds markup is shown as text, and could do nothing if it weren't.
    """
    style, script = _template("report.css"), _template("report.js") + _template("report-page.js")
    values = {
        "title": html.escape(f"{report.title} · digest"),
        "style": style,
        "style-hash": _hash(style),
        "script": script,
        "script-hash": _hash(script),
        "data": msgspec.json.encode(report).decode().translate(_ESCAPES),
    }
    # one pass: what a value holds is never taken for a place
    return _PLACE.sub(lambda place: values[place[1]], _template("report.html"))


@cache
def _template(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
