"""A driver's session: attached to a Ray cluster that runs our actors, started when there is none.

Which cluster: `RAY_ADDRESS` where it is set; else this user's warm local cluster; else one is started that stays
warm for the next command and stops itself when idle.
"""

import dataclasses
import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from ..protocols.config import Config
from ..protocols.errors import UnderstudyError, UsageError
from ..protocols.jobs import EnsureAsk, EnsureReply, Status
from ..protocols.references import names
from ..supervisors.children import DIRECTOR
from ..supervisors.proof import prove
from . import home
from .fingerprint import fingerprint
from .spawn import NAMESPACE, RaySpawner

START_S: Final = 120.0
"""How long a local cluster may take to start: 3 s on an idle machine, far more on a loaded one."""


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """How a local cluster is started: cores for Ray, mappers, and seconds without work until it stops (0: never)."""

    cores: int = dataclasses.field(default_factory=lambda: max(1, len(os.sched_getaffinity(0))))
    mappers: int = dataclasses.field(default_factory=lambda: max(1, len(os.sched_getaffinity(0))))
    idle_s: float = 900.0


class Session:
    """An attached driver. Use as a context manager; leaving it detaches and leaves the cluster warm.

    `prepare` may be called before, in a thread: it does what takes time (starting a cluster, importing Ray), so that
    the main thread can do something useful meanwhile.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.address = ""
        self.local = False
        self._director: Any = None

    # Attaching --------------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Finds the cluster, starting a local one when there is none.

        Raises:
            UnderstudyError: no cluster could be started; the text says where its log is.
        """
        address = os.environ.get("RAY_ADDRESS", "").strip()
        if not address:
            self.local = True
            _authenticate()
            address = self._local_address()
        import ray as _  # noqa: PLC0415 - 0.3 s, and only when an actor is needed

        self.address = address

    def __enter__(self) -> Self:
        """Attaches. Raises `UsageError` when there is no cluster at the address."""
        if not self.address:
            self.prepare()
        self._attach(self.address)
        self._meet()
        return self

    def __exit__(self, *_: object) -> None:
        import ray  # noqa: PLC0415

        ray.shutdown()

    def _local_address(self) -> str:
        local = home.load()
        if local is None or local.fingerprint != fingerprint():
            with home.lock():
                local = home.load()
                if local is not None and local.fingerprint != fingerprint():
                    stop(local)
                    local = None
                if local is None:
                    return start(self.settings)
        return local.address

    def _attach(self, address: str) -> None:
        import ray  # noqa: PLC0415

        try:
            ray.init(
                address=address,
                namespace=NAMESPACE,
                logging_level=logging.ERROR,
                log_to_driver=False,
                configure_logging=False,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            text = str(error).strip().split("\n", 1)[0]
            raise UsageError(
                f"no Ray cluster at {address}: {text} (unset RAY_ADDRESS to use a local one)"
            ) from None

    def _meet(self) -> None:
        """Finds the Director, or makes one on a cluster that has none."""
        import ray  # noqa: PLC0415

        try:
            self._director = ray.get_actor(DIRECTOR, NAMESPACE)
        except ValueError:
            # A local cluster's Director is made by its keeper; the name is the same, so whoever is first makes it.
            local = home.load() if self.local else None
            self._director = RaySpawner().start_director(
                fingerprint=fingerprint(),
                keeper=local.pid if local else 0,
                idle_s=self.settings.idle_s if local else 0.0,
                mappers=self.settings.mappers,
            )

    # Asking -----------------------------------------------------------------------------------------------------------

    def ensure(self, config: Config, encoded: bytes, environ: Mapping[str, str] | None = None) -> EnsureReply:
        """Makes sure that the actors for `config` are there and have its secrets.

        Raises:
            UsageError: the cluster was started without a variable that the configuration refers to, or with another
            value.
        """
        environ = os.environ if environ is None else environ
        nonce = secrets.token_bytes(16)
        proofs = {name: prove(environ[name], nonce) for name in secret_names(config) if name in environ}
        ask = EnsureAsk(encoded, self.settings.mappers, nonce, proofs)
        reply = self.get(self._director.ensure.remote(msgspec.msgpack.encode(ask)))
        found = msgspec.msgpack.decode(reply, type=EnsureReply)
        if found.stale:
            raise UsageError(
                f"the running cluster has not this shell's {', '.join(found.stale)}: "
                + ("run `understudy down`, then this command again" if self.local else "set it on the cluster's nodes")
            )
        return found

    def end_actors(self) -> None:
        """Ends all our actors on a cluster that is not ours to stop."""
        import ray  # noqa: PLC0415

        self.get(self._director.shutdown.remote())
        ray.kill(self._director, no_restart=True)

    def status(self) -> Status:
        """What the Director knows."""
        return msgspec.msgpack.decode(self.get(self._director.status.remote()), type=Status)

    def actor(self, name: str) -> Any:
        """The handle of a named actor. Raises `UnderstudyError` when it does not come up."""
        import ray  # noqa: PLC0415

        deadline = time.monotonic() + 30.0
        while True:
            try:
                return ray.get_actor(name, NAMESPACE)
            except ValueError:
                if time.monotonic() > deadline:
                    raise UnderstudyError(f"the actor {name} did not come up within 30 s") from None
                time.sleep(0.01)

    @staticmethod
    def get(reference: Any, timeout: float | None = None) -> Any:
        """The value of a Ray reference; an error that an actor raised comes as itself."""
        import ray  # noqa: PLC0415

        try:
            return ray.get(reference, timeout=timeout)
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, UnderstudyError):
                raise cause from None
            raise


def secret_names(config: Config) -> tuple[str, ...]:
    """The variables a configuration refers to."""
    found = {
        name for account in config.accounts.values() for _, text in account.texts() for name in names(text)
    }
    return tuple(sorted(found))


def _authenticate() -> None:
    """The local cluster has a token of its own, in a file that only this user can read."""
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(home.token_path())


# The local cluster ----------------------------------------------------------------------------------------------------


def start(settings: Settings) -> str:
    """Starts a local cluster and returns its address. Raises `UnderstudyError` with the place of its log.

    The caller holds `home.lock()`.
    """
    _authenticate()
    log = home.home() / "cluster.log"
    with log.open("wb") as sink:
        child = subprocess.Popen(
            [sys.executable, "-m", "understudy.cluster.keeper", json.dumps(dataclasses.asdict(settings))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=sink,
            start_new_session=True,
            cwd="/",
        )
    assert child.stdout is not None
    line = child.stdout.readline()
    child.stdout.close()
    try:
        return str(json.loads(line)["address"])
    except (ValueError, KeyError):
        raise UnderstudyError(f"the local Ray cluster did not start; {_last_words(log)}") from None


def _last_words(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"its log {log} ends: {lines[-1][:300]}" if lines else f"its log {log} is empty"


def stop(local: home.Local, timeout_s: float = 20.0) -> None:
    """Ends the local cluster: its keeper is told, and after `timeout_s` killed. No other process is touched."""
    if home.born(local.pid) != local.born:
        return
    os.kill(local.pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while home.born(local.pid) == local.born and time.monotonic() < deadline:
        time.sleep(0.02)
    if home.born(local.pid) == local.born:
        os.kill(local.pid, signal.SIGKILL)
    home.forget()
