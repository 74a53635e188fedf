"""Where a Journal keeps its rows, as it is written: nothing, `sqlite:PATH`, or `postgresql://…`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from ...protocols.errors import ConfigError
from ...protocols.references import resolve


class Place(msgspec.Struct, frozen=True):
    """A store: its kind, where it is (with the password, so never shown), and its name for people."""

    kind: Literal["sqlite", "postgresql"]
    target: str
    label: str


def located(url: str, environ: Mapping[str, str]) -> Place:
    """The store that `url` means on this machine; nothing means `journal.db` in the user's own folder.

    Args:
        url: references to the environment are resolved here.
        environ: the environment.

    Raises:
        ConfigError: it is no such URL, or refers to a variable that is not set. The text never shows what was resolved.
    """
    if not url:
        path = _folder(environ) / "journal.db"
        return Place("sqlite", str(path), str(path))
    text = resolve(url.replace("${env:", "${"), environ)
    if text.startswith(("postgresql://", "postgres://")):
        return Place("postgresql", text, _shown(text))
    if text.startswith("sqlite:") and len(text) > len("sqlite:"):
        path = Path(text.removeprefix("sqlite:").removeprefix("//")).expanduser().absolute()
        return Place("sqlite", str(path), str(path))
    raise ConfigError("journal: write sqlite:PATH, or postgresql://USER:${PASSWORD}@HOST:PORT/DATABASE")


def _folder(environ: Mapping[str, str]) -> Path:
    named = environ.get("UNDERSTUDY_HOME")
    return Path(named) if named else Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "understudy"


def _shown(text: str) -> str:
    """Without user, password and options."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "localhost", parts.port
    except ValueError:
        raise ConfigError("journal: the PostgreSQL URL can't be read; a password must be percent-encoded") from None
    return f"postgresql://{host}{f':{port}' if port else ''}{parts.path}"
