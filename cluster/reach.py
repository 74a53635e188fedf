"""Asks each account, before anything is spent, whether it is there, takes the key and has the models."""

import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ..protocols.config import Account, Candidate, Config
from ..protocols.errors import AuthRejected, UsageError
from ..protocols.references import resolve
from ..protocols.suggest import did_you_mean
from ..protocols.wire.codec import Codec

_ALL: Final = {"openai": "", "anthropic": "?limit=1000", "gemini": "?pageSize=1000"}
"""What a list of models is asked by, so that it comes on one page."""


def reach(config: Config, routes: Iterable[str]) -> list[str]:
    """Asks each account whether it is there, takes the key and has the models; returns warnings.

    A route is refused when none of its candidates can answer. One request an account, which costs nothing.

    Raises:
        UsageError: nobody could answer; the text says why and what to mend.
    """
    named = tuple(dict.fromkeys(routes))
    flaws: dict[tuple[str, str], str] = {}
    listed: dict[str, Any] = {}
    for candidate in config.candidates_of(named):
        account = config.accounts[candidate.account]
        if account.kind != "embedded":
            if candidate.account not in listed:
                listed[candidate.account] = _ask(candidate.account, account)
            flaws[candidate.account, candidate.model] = _flaw(candidate, listed[candidate.account])
    for route in named:
        own = [flaws.get((one.account, one.model), "") for one in config.candidates_of([route])]
        if own and all(own):
            raise UsageError(own[0])
    return [flaw for flaw in flaws.values() if flaw]


def _flaw(candidate: Candidate, listed: "str | frozenset[str] | None") -> str:
    if isinstance(listed, str):
        return listed
    if listed is None or _has(listed, candidate.model):
        return ""
    hint = did_you_mean(candidate.model, sorted(listed)) or f" (it has {', '.join(sorted(listed)[:5])})"
    return f"accounts.{candidate.account} has no model {candidate.model!r}{hint}"


def _has(listed: frozenset[str], model: str) -> bool:
    """True when the model is listed, by its own name or an alias: `claude-x-latest` stands for `claude-x-20260101`."""
    stem = model.removesuffix("-latest").removesuffix("-0")
    return model in listed or any(re.fullmatch(re.escape(stem) + r"-\d{8}", one) for one in listed)


def _ask(name: str, account: Account) -> "str | frozenset[str] | None":
    """The account's models; None where it does not list them; a text that says what is wrong.

    The text shows the address as it is configured: what its references stand for may be secret.
    """
    import httpx  # noqa: PLC0415 - 0.1 s, and only where there is somebody to ask

    from ..protocols.wire.formats import codec  # noqa: PLC0415 - as above

    if account.kind == "azure":  # lists models, not deployments, which are what a candidate names
        return None
    wire = codec(account)
    url = resolve(account.base_url, os.environ).rstrip("/")
    try:
        reply = httpx.get(
            f"{url}/models{_ALL[account.kind]}", headers=_headers(account, wire, os.environ), timeout=10.0
        )
    except httpx.InvalidURL:
        return f"accounts.{name}.base_url is not a URL once its references are resolved: {account.base_url}"
    except httpx.TransportError as error:
        text = str(error) or type(error).__name__
        return f"accounts.{name}: nobody answers at {account.base_url}: {text}; is the server up, and base_url right?"
    if reply.status_code == 200:
        return _listed(reply.content)
    # Gemini refuses a key by 400.
    if isinstance(wire.classify(reply.status_code, reply.headers, reply.content, wall=time.time()), AuthRejected):
        told = f"{account.base_url} refuses the key (HTTP {reply.status_code})"
        return f"accounts.{name}: {told}; check the variable behind api_key"
    return None


def _listed(body: bytes) -> frozenset[str] | None:
    """The names in a list of models, where all are on one page: `data` of OpenAI and Anthropic, `models` of Gemini."""
    try:
        page = json.loads(body)
        if page.get("has_more") or page.get("nextPageToken"):
            return None
        if "data" in page:
            return frozenset(str(model["id"]) for model in page["data"])
        return frozenset(str(model["name"]).removeprefix("models/") for model in page["models"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _headers(account: Account, wire: Codec, environ: Mapping[str, str]) -> dict[str, str]:
    headers = {key: resolve(value, environ) for key, value in account.headers.items()}
    headers |= wire.headers(None if account.api_key is None else resolve(account.api_key, environ))
    if account.organization is not None:
        headers["OpenAI-Organization"] = resolve(account.organization, environ)
    return headers
