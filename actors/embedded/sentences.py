"""Plain text out of marked-up text, and sentences out of plain text."""

import re

_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|vs|cf|al|approx|Mr|Mrs|Dr|St|No|Fig|Eq|Inc|Ltd|resp|incl|ex|Jr|Sr|Vol|pp|ca"
    r"|[A-Z])|\.\.)\.$",
    re.IGNORECASE,
)
_BOUNDARY = re.compile(r"(?<=[.!?])[\"')\]*`]*\s+(?=[\"'(\[`*]*[A-Z0-9À-ÞĀ-ɏА-Я])|(?<=[。\uff01\uff1f])\s*")
_BLANKS = re.compile(r"\s+")

_INLINE = (
    (re.compile(r"!\[[^\]]{0,200}\]\([^)]{0,500}\)|!\[[^\]]{0,200}\]\[[^\]]{0,100}\]"), " "),  # images
    (re.compile(r"\[([^\[\]]{1,200})\]\([^()]{0,500}\)"), r"\1"),  # [text](url)
    (re.compile(r"\[([^\[\]]{1,200})\]\[[^\[\]]{0,100}\]"), r"\1"),  # [text][ref]
    (re.compile(r"`([^`<>]{1,200}?)\s*<[^`<>]{1,500}>`_{1,2}"), r"\1"),  # `text <url>`_
    (re.compile(r":[a-z:+-]{1,30}:`[~!]?(?:[^`<>]{0,100}<)?([^`<>]{1,100})>?`"), r"`\1`"),  # :role:`target`
    (re.compile(r"\{@\w+\s+([^{}]{1,200})\}"), r"`\1`"),  # {@link Target}
    (re.compile(r"[\\@](?:brief|short|summary)\s+"), ""),
    (re.compile(r"``([^`]{1,200})``"), r"`\1`"),
    (re.compile(r"</?[a-zA-Z][^<>]{0,300}>"), " "),
    (re.compile(r"<(https?://[^<>\s]{1,300})>"), r"\1"),
    (re.compile(r"(?<!\w)(\*\*|__)(?=\S)(.{1,300}?)(?<=\S)\1(?!\w)"), r"\2"),
    (re.compile(r"(?<![\w*])\*(?=[^\s*])([^*\n]{1,200}?)(?<=[^\s*])\*(?![\w*])"), r"\1"),
    (re.compile(r"(?<!\w)_(?=[^\s_])([^_\n]{1,200})(?<=\S)_(?!\w)"), r"\1"),
    (re.compile(r"`([^`]{1,200})`_\b"), r"\1"),
    (re.compile(r"&nbsp;|&#160;"), " "),
    (re.compile(r"&lt;"), "<"),
    (re.compile(r"&gt;"), ">"),
    (re.compile(r"&amp;"), "&"),
    (re.compile(r"\|([\w.-]{1,60})\|"), r"\1"),  # |substitution|
)


def plain(text: str) -> str:
    """One line of text with the inline markup of Markdown, reStructuredText, Javadoc and HTML taken off."""
    if any(mark in text for mark in "`*_[<{\\@&|"):
        for pattern, replacement in _INLINE:
            text = pattern.sub(replacement, text)
    return _BLANKS.sub(" ", text).strip()


def split(text: str) -> list[str]:
    """Sentences of a paragraph; abbreviations and initials do not end one."""
    pieces: list[str] = []
    start = 0
    for found in _BOUNDARY.finditer(text):
        end = found.start()
        closing = len(found[0]) - len(found[0].lstrip("\"')]*`"))
        if _ABBREVIATION.search(text[max(start, end - 12) : end]):
            continue
        pieces.append(text[start : end + closing].strip())
        start = found.end()
    pieces.append(text[start:].strip())
    return [piece for piece in pieces if piece]


def clip(text: str, words: int) -> str:
    """At most that many words; a longer text is cut at a late clause end, else marked by an ellipsis."""
    parts = text.split()
    if len(parts) <= words:
        return " ".join(parts)
    kept = " ".join(parts[:words])
    for mark in (". ", "; ", ": ", " -- ", " \u2013 ", " — ", ", "):
        at = kept.rfind(mark, len(kept) * 3 // 5)
        if at > 0 and kept[:at].count("(") == kept[:at].count(")") and kept[:at].count("`") % 2 == 0:
            return kept[:at].rstrip(" ,;:\u2013—-")
    kept = kept.rstrip(" ,;:\u2013—-.")
    return kept + ("`…" if kept.count("`") % 2 else "…")


def finish(text: str) -> str:
    """The text with a capital at its start and a full stop at its end, as a sentence stands."""
    text = text.rstrip(" ,;:-\u2013—")
    if not text:
        return ""
    first = text.split(" ", 1)[0]
    if text[0].islower() and first.rstrip(".,;:").isalpha():
        text = text[0].upper() + text[1:]
    return (
        text
        if text.endswith((".", "!", "?", "…", "。", "\uff01", "\uff1f")) or text[-2:] in {".)", '."'}
        else text + "."
    )
