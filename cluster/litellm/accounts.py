"""Deployments that share a key and an address become one account."""

import dataclasses
import json
import re
from typing import Any, Final
from urllib.parse import urlsplit

from ...protocols.references import flaw_of_header, flaw_of_url, names, parse
from ..config_file import Location
from .providers import Provider, address
from .section import Notes, Section

_NO_KEY: Final = frozenset(
    {"none", "empty", "dummy", "fake", "fake-key", "anything", "no-key", "not-needed", "na", "n/a", "token-abc123"}
)
_SECRET: Final = re.compile(r"key|token|secret|auth|password|cookie", re.IGNORECASE)
_LIMITS: Final = (("rpm", "rpm"), ("tpm", "tpm"), ("concurrency", "max_parallel_requests"))


def reference(text: str) -> str:
    """`text` with LiteLLM's spelling of a reference in ours."""
    whole = parse(text)
    return f"${{{whole.name}}}" if whole else text


@dataclasses.dataclass(slots=True)
class _Account:
    settings: dict[str, Any]
    at: Location
    #: Limits by the model they were written for: a model that stands in two groups counts once.
    limits: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    totals: set[float] = dataclasses.field(default_factory=set)
    firsts: set[float] = dataclasses.field(default_factory=set)


class Accounts:
    """Collects accounts.

    Args:
        notes: where it is said what could not be kept.
        taken: variables that mean something already, so that no literal key is given one of them.
    """

    def __init__(self, notes: Notes, taken: frozenset[str]) -> None:
        self._notes = notes
        self._taken = set(taken)
        self._literals: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._accounts: dict[str, _Account] = {}

    def of(self, provider: Provider, params: Section, model: str) -> str | None:
        """The name of the account of a deployment; None, with a note, where it has no usable address."""
        url = self._url(provider, params)
        if url is None:
            return None
        settings: dict[str, Any] = {"kind": provider.kind} if provider.kind != "openai" else {}
        if provider.kind in ("openai", "azure") or url != provider.base_url:
            settings["base_url"] = url
        settings["api_key"] = self._key(provider, params, url)
        organization = params.text("organization")
        if organization:
            settings["organization"] = reference(organization)
        headers = self._headers(provider, params.section("extra_headers"))
        if headers:
            settings["headers"] = headers
        if provider.kind == "azure":
            settings |= self._version(params)
        return self._join(provider, settings, params, model)

    def _join(self, provider: Provider, settings: dict[str, Any], params: Section, model: str) -> str:
        identity = json.dumps(settings, sort_keys=True)
        name = self._names.get(identity)
        if name is None:
            same = sum(one == provider.name or one.startswith(f"{provider.name}-") for one in self._accounts)
            name = self._names[identity] = provider.name if not same else f"{provider.name}-{same + 1}"
            self._accounts[name] = _Account(settings, params.at)
        account = self._accounts[name]
        limits = account.limits.setdefault(model, {})
        for ours, theirs in _LIMITS:
            found = params.whole(theirs)
            if found is not None:
                limits[ours] = max(found, limits.get(ours, 0))
        for times, key in ((account.totals, "timeout"), (account.firsts, "stream_timeout")):
            seconds = params.number(key)
            times.update([] if seconds is None else [seconds])
        return name

    def _url(self, provider: Provider, params: Section) -> str | None:
        key = "api_base" if "api_base" in params else "base_url"
        text = params.text(key)
        if text is None and provider.base_url:
            return provider.base_url
        if text is None and provider.kind == "azure":
            return "${AZURE_API_BASE}"  # where LiteLLM looks
        if text is None:
            self._notes.add(params.at, f"provider {provider.name!r} needs an api_base: deployment left out")
            return None
        whole = reference(text)
        url = whole if parse(whole) else address(provider, whole)
        flaw = flaw_of_url(url)
        if flaw:
            params.note(key, f"{flaw.partition(':')[0]}: deployment left out")
            return None
        if parse(whole) and provider.kind in ("anthropic", "gemini"):
            params.note(key, "a reference is taken as it is: the variable must hold the address up to and with its /v1")
        return url

    def _key(self, provider: Provider, params: Section, url: str) -> str | None:
        text = params.text("api_key")
        if text is None:
            local = (urlsplit(url).hostname or "") in ("localhost", "127.0.0.1", "::1")
            return f"${{{provider.variable}}}" if provider.variable and not local else None
        if names(text):
            return reference(text)
        if text.lower() in _NO_KEY:
            params.note("api_key", "stands for no key: null")
            return None
        variable = self._variable(text, provider.variable or f"{_upper(provider.name)}_API_KEY")
        params.note("api_key", f"holds a literal, which is not copied: put the key into the variable {variable}")
        return f"${{{variable}}}"

    def _variable(self, literal: str, wanted: str) -> str:
        """The variable that stands for a literal: equal ones share it, others never do."""
        if literal not in self._literals:
            name, number = wanted, 1
            while name in self._taken:
                number += 1
                name = f"{wanted}_{number}"
            self._taken.add(name)
            self._literals[literal] = name
        return self._literals[literal]

    def _headers(self, provider: Provider, section: Section) -> dict[str, str]:
        headers = {}
        for name, value in section.entries():
            text = reference(str(value))
            if "\n" in text or "\r" in text or value is None or isinstance(value, dict | list):
                section.note(name, "must be text of one line: left out")
            elif (flaw_of_header(name, text) or _SECRET.search(name)) and not names(text):
                variable = self._variable(text, f"{_upper(provider.name)}_{_upper(name)}")
                section.note(name, f"may hold a secret, which is not copied: put it into the variable {variable}")
                headers[name] = f"${{{variable}}}"
            else:
                headers[name] = text
        return headers

    def _version(self, params: Section) -> dict[str, str]:
        version = params.text("api_version")
        if version is not None and names(version):
            params.note("api_version", "can't be a reference here: the default is used")
            return {}
        return {"api_version": version} if version else {}

    # ------------------------------------------------------------------------------------------------------------------

    def build(self, extra: dict[str, Any], *, total: float | None, first: float | None) -> dict[str, Any]:
        """The accounts as `understudy.yaml` has them; `extra` and the time-outs hold where an account says nothing."""
        return {name: self._built(name, account, extra, total, first) for name, account in self._accounts.items()}

    def _built(
        self, name: str, account: _Account, extra: dict[str, Any], total: float | None, first: float | None
    ) -> dict[str, Any]:
        limits: dict[str, int] = {}
        for own in account.limits.values():
            for key, value in own.items():
                limits[key] = limits.get(key, 0) + value
        if limits and len(account.limits) > 1:
            text = f"limits are an account's here: those of the {len(account.limits)} models of {name} are added up"
            self._notes.add(account.at, text)
        times = {
            "total_s": self._longest(account, account.totals, total),
            "first_s": self._longest(account, account.firsts, first),
        }
        timeouts = {key: seconds for key, seconds in times.items() if seconds is not None}
        parts = {"limits": limits, "timeouts": timeouts, **extra}
        return account.settings | {key: part for key, part in parts.items() if part}

    def _longest(self, account: _Account, own: set[float], default: float | None) -> float | None:
        if len(own) > 1:
            self._notes.add(account.at, "time-outs are an account's here: the longest of its models is used")
        return max(own, default=default)


def _upper(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").upper() or "SECRET"
