"""The retrieval hook of issue_triage.yaml: pages of the documentation that share words with an issue.

It stands for a search of yours. What a flow needs of it: plain arguments in, JSON out, an exception when it fails.
"""

import re

DOCS = {
    "sync.md": "Sync stops once a token has expired. Run `app login` again; a sync that hangs at 0 % has an old one.",
    "export.md": "Exports over 50,000 rows are written in parts. An export that ends at row 50,000 needs `--parts`.",
    "webhooks.md": "A webhook is tried five times. A receiver that does not answer within 10 s counts as failed.",
    "themes.md": "Dark mode follows the system unless a theme is chosen in the settings.",
}
"""The documentation: a page a name."""


def retrieve(query: str, most: int = 3) -> list[dict[str, str]]:
    """The pages that share the most words with a query, best first, as documents with `name` and `text`."""
    wanted = _words(query)
    scored = sorted(((len(wanted & _words(f"{name} {text}")), name) for name, text in DOCS.items()), reverse=True)
    return [{"name": name, "text": DOCS[name]} for score, name in scored[:most] if score > 1]


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"[a-z0-9,]+", text.lower()) if len(word) > 3}
