"""References to the environment, which stand in a configuration in place of secrets.

Three spellings are understood, since users bring them from other tools: `${NAME}`, which may stand inside a
longer text, and `env.NAME` and `os.environ/NAME`, which are the whole text. A configuration keeps the
references; the secret is looked up by `resolve` where it is used and nowhere else.
"""

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from .errors import ConfigError

if TYPE_CHECKING:
    from .config import Config

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_WHOLE = re.compile(rf"(?:\$\{{({_NAME})\}}|env\.({_NAME})|os\.environ/({_NAME}))")
_INSIDE = re.compile(rf"\$\{{({_NAME})\}}")
_SECRET_HEADER = re.compile(
    r"(?:^|[-_])(?:\w*auth|authorization|\w*key|token|secret|cookie|password|credentials?)(?:$|[-_])", re.IGNORECASE
)
"""Names of headers that carry secrets: Authorization, x-api-key, cf-aig-authorization, X-Auth-Token, …"""
_SECRET_VALUE = re.compile(r"\s*(?:bearer|basic)\s+\S|\s*sk-\w", re.IGNORECASE)


class Reference(msgspec.Struct, frozen=True):
    """A text that is one reference: the variable's name, and the reference as it was written."""

    name: str
    text: str


class Missing(msgspec.Struct, frozen=True):
    """A reference whose variable can't be used: where it stands (`accounts.openai.api_key`), its name, and why not."""

    where: str
    name: str
    flaw: str

    def __str__(self) -> str:
        return f"{self.where}: {self.flaw}"


def parse(text: str) -> Reference | None:
    """The reference that `text` is as a whole, or None where it is anything else."""
    match = _WHOLE.fullmatch(text.strip())
    if match is None:
        return None
    return Reference(name=next(name for name in match.groups() if name), text=text)


def names(text: str) -> tuple[str, ...]:
    """The variables that `text` refers to, in order."""
    whole = parse(text)
    return (whole.name,) if whole else tuple(_INSIDE.findall(text))


def resolve(text: str, environ: Mapping[str, str]) -> str:
    """`text` with each reference replaced by its variable; text without references comes back unchanged.

    Raises:
        ConfigError: a variable is not set, is empty, or holds what neither a header nor an address may. The message
            names the variable, never a value.
    """
    whole = parse(text)
    if whole is not None:
        return _look_up(whole.name, environ)
    return _INSIDE.sub(lambda match: _look_up(match[1], environ), text)


def missing(config: "Config", environ: Mapping[str, str], routes: Iterable[str] | None = None) -> list[Missing]:
    """The references in `config` whose variable `resolve` would refuse, in the order of the file.

    Args:
        config: the configuration, with its references unresolved.
        environ: the environment, usually `os.environ`.
        routes: only the accounts that these routes can reach; None for all accounts.
    """
    wanted = set(config.accounts) if routes is None else set(config.accounts_of(routes))
    return [
        Missing(where=f"accounts.{account}.{key}", name=name, flaw=flaw)
        for account, settings in config.accounts.items()
        if account in wanted
        for key, text in settings.texts()
        for name in names(text)
        if (flaw := _flaw(name, environ.get(name)))
    ]


def flaw_of_key(text: str) -> str:
    """What is wrong with `text` as an `api_key`, without repeating it; empty when it holds a reference."""
    if names(text):
        return ""
    if "$" in text or text.startswith(("env.", "os.environ")):
        return "is not a reference that can be read: write ${NAME}, env.NAME or os.environ/NAME"
    return (
        "holds a literal; keys don't belong in a file: put the key into an environment variable and write "
        "${NAME} here, or null for a server without keys"
    )


def flaw_of_header(name: str, text: str) -> str:
    """What is wrong with a header's value, without repeating it; only secrets need a reference."""
    if (_SECRET_HEADER.search(name) or _SECRET_VALUE.match(text)) and not names(text):
        return "holds a literal; secrets don't belong in a file: write ${NAME} and set that environment variable"
    return "must be one line" if "\n" in text or "\r" in text else ""


def flaw_of_url(text: str) -> str:
    """What is wrong with `text` as a `base_url`; empty for http(s) URLs and for references."""
    if parse(text) or text.startswith("${"):
        return ""
    try:
        parts = urlsplit(text)
        port_is_a_number = parts.port is None or parts.port >= 0
    except ValueError:
        return "is not a URL: write for example https://api.openai.com/v1 or http://127.0.0.1:8000/v1"
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_a_number:
        return "is not an http(s) URL: write for example https://api.openai.com/v1 or http://127.0.0.1:8000/v1"
    if parts.username is not None or parts.password is not None:
        return "holds credentials; write them as a reference in api_key or headers"
    if parts.query or parts.fragment or text.endswith(("?", "#")):
        return "holds more than an address: leave out what begins with ? or #; a key belongs into api_key or headers"
    return ""


def _look_up(name: str, environ: Mapping[str, str]) -> str:
    value = environ.get(name)
    flaw = _flaw(name, value)
    if flaw:
        raise ConfigError(flaw)
    assert value is not None
    return value


def _flaw(name: str, value: str | None) -> str:
    """HTTP libraries repeat a header that they can't send in their errors: it is refused here, by its name."""
    if not value:
        return f"environment variable {name} is not set: set it first, for example with  export {name}=…"
    if not value.isascii() or not value.isprintable() or value != value.strip():
        return (
            f"environment variable {name} holds a line break, a blank at an end, or a character that is not ASCII: "
            "neither a header nor an address may; set it again"
        )
    return ""
