"""The cluster's Jobs server: reached with Ray's own client, by Ray's own token; what goes wrong is one line."""

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ...protocols.errors import UnderstudyError, UsageError
from .. import home

_REACH_S: Final = 10.0
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_OVERRIDING: Final = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")
"""Ray's client would take these before the address that was given to it."""


_TALKATIVE: Final = ("ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk")
"""They set their own level, and tell of each upload and of each closed connection."""


def connect(address: str) -> Any:
    """A `JobSubmissionClient` of the server at `address`, for instance `http://head:8265`.

    Raises:
        UsageError: nobody answers there, or he who does refuses our token; one line says how to mend it.
    """
    url = _url(address)
    _authenticate(url)
    _probe(url)
    with _without(_OVERRIDING):
        from ray.job_submission import JobSubmissionClient  # noqa: PLC0415 - 0.5 s, and only when it is needed

        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.ERROR)
        with told(url):
            return JobSubmissionClient(url)


def _url(address: str) -> str:
    url = address if "://" in address else f"http://{address}"
    parts = urlsplit(url)
    try:
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    if not right:
        raise UsageError(f"--address {address}: give the cluster's Jobs server, for example http://head:8265")
    return url.rstrip("/")


def _authenticate(url: str) -> None:
    """Has Ray send its token where there is one. What the user has set himself is left as it is."""
    if os.environ.get("RAY_AUTH_MODE"):
        return
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH") or _default_token().is_file():
        os.environ["RAY_AUTH_MODE"] = "token"
    elif urlsplit(url).hostname in _LOOPBACK and (home.home() / "ray-token").is_file():
        # The local cluster's own token goes to this machine only.
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN_PATH"] = str(home.token_path())


def _default_token() -> Path:
    return Path.home() / ".ray" / "auth_token"


def _probe(url: str) -> None:
    """Ray's client waits for minutes for a host that says nothing."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), _REACH_S).close()
    except OSError as error:
        raise UsageError(
            f"no Ray cluster's Jobs server at {url} ({error.strerror or error}); "
            "is its head up, with the dashboard (ray[default]), and the port open?"
        ) from None


@contextlib.contextmanager
def told(url: str) -> Iterator[None]:
    """Turns what Ray's client raises into one line."""
    import ray.exceptions  # noqa: PLC0415
    import requests  # noqa: PLC0415

    try:
        yield
    except ray.exceptions.AuthenticationError as error:
        raise UsageError(_refused(url, str(error))) from None
    except (ConnectionError, requests.RequestException) as error:
        raise UnderstudyError(f"the Jobs server at {url} is not to be reached: {_first(error)}") from None
    except RuntimeError as error:
        raise UnderstudyError(f"the Jobs server at {url}: {_first(error)}") from None


def _refused(url: str, text: str) -> str:
    """The server wants another token, or one at all."""
    if "Forbidden" in text or "Authentication failed" in text:
        why = "it does not take this token"
    else:
        why = "it asks for a token"
    return (
        f"the cluster at {url} refuses: {why}; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to the file of the "
        "token that it was started with"
    )


def _first(error: BaseException) -> str:
    text = str(error).strip().split("\n", 1)[0]
    return text[:300] or type(error).__name__


@contextlib.contextmanager
def _without(names: tuple[str, ...]) -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)
