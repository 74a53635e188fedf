"""The URL of the journal as a person gives it: checked, and made independent of the folder it was given in."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from ..protocols.errors import UsageError
from ..protocols.references import names, parse


def checked(url: str) -> str:
    """The URL as it travels, references unresolved; a path is made absolute, since actors run in other folders.

    The whole URL may be one reference, too.

    Raises:
        UsageError: it names no store that is known, or holds a password as it is. The URL stands in messages, in the
            status and in a process's arguments, which must show no secret.
    """
    url = url.replace("${env:", "${")
    if not url or parse(url):
        return url
    kind, _, rest = url.partition(":")
    if kind == "sqlite" and rest:
        path = rest.removeprefix("//") if rest.startswith("///") else rest
        return f"sqlite:{path if '${' in path else os.path.abspath(Path(path).expanduser())}"  # noqa: PTH100 - no I/O
    if kind in ("postgresql", "postgres") and rest.startswith("//"):
        if _bare_password(url):
            raise UsageError(
                "journal: the URL holds a password as it is; put it into a variable and refer to that: "
                "postgresql://USER:${NAME}@HOST/DATABASE"
            )
        return url
    raise UsageError("journal: give sqlite:PATH or postgresql://USER:${NAME}@HOST:PORT/DATABASE")


def _bare_password(url: str) -> bool:
    login, at, _ = urlsplit(url).netloc.rpartition("@")
    password = login.partition(":")[2]
    return bool(at and password and not names(password))
