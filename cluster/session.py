"""A driver's session: attached to a Ray cluster that runs our actors, started when there is none.

Which cluster: `RAY_ADDRESS` where it is set; else this user's warm local cluster; else one is started that stays
warm for the next command and stops itself when idle.
"""

import logging
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Self

import msgspec

from ..protocols.config import Config
from ..protocols.errors import UnderstudyError, UsageError
from ..protocols.jobs import EnsureAsk, EnsureReply, Status
from ..protocols.references import names
from ..supervisors.children import DIRECTOR, SUPERVISOR
from ..supervisors.proof import prove
from . import home, local
from .dial import dial
from .fingerprint import fingerprint
from .local import Settings
from .spawn import NAMESPACE, RaySpawner

PATIENCE_S: Final = 60.0
"""A successor is there after 0.5 s as a rule; when a whole node is lost it takes until another has room."""
PAUSE_S: Final = 0.1


class Session:
    """An attached driver. Use as a context manager; leaving it detaches and leaves the cluster warm.

    `prepare` may be called before, in a thread: it does what takes time (starting a cluster, importing Ray), so that
    the main thread can do something useful meanwhile.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.address = ""
        self.local = False
        self._met: Any = None

    # Attaching --------------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Finds the cluster, starting a local one when there is none.

        Raises:
            UnderstudyError: no cluster could be started; the text says where its log is.
        """
        address = os.environ.get("RAY_ADDRESS", "").strip()
        if not address:
            self.local = True
            if "ray" in sys.modules and os.environ.get("RAY_AUTH_MODE") != "token":
                raise UnderstudyError("Ray was imported before the session: it keeps the authentication it found then")
            address = local.opening(self.settings).wait()
        else:
            dial(address)
        import ray as _  # noqa: F401, PLC0415 - 0.3 s, and only when an actor is needed

        self.address = address

    def __enter__(self) -> Self:
        """Attaches. Raises `UsageError` when there is no cluster at the address."""
        if not self.address:
            self.prepare()
        self._attach(self.address)
        return self

    def __exit__(self, *_: object) -> None:
        import ray  # noqa: PLC0415

        ray.shutdown()

    def _attach(self, address: str) -> None:
        import ray  # noqa: PLC0415

        _quiet_stdout()

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
            raise UsageError(f"no Ray cluster at {address}: {text} (unset RAY_ADDRESS to use a local one)") from None

    @property
    def _director(self) -> Any:
        """The Director, found when it is first needed; made on a cluster that has none."""
        if self._met is None:
            self._met = self._meet()
        return self._met

    def _meet(self) -> Any:
        import ray  # noqa: PLC0415

        try:
            return ray.get_actor(DIRECTOR, NAMESPACE)
        except ValueError:
            # A local cluster's Director is made by its keeper; the name is the same, so whoever is first makes it.
            found = home.load() if self.local else None
            return RaySpawner().start_director(
                fingerprint=fingerprint(),
                keeper=found.pid if found else 0,
                idle_s=self.settings.idle_s if found else 0.0,
                mappers=self.settings.mappers,
                journal=self.settings.journal or (found.journal if found else ""),
                queue=self.settings.queue,
            )

    # Asking -----------------------------------------------------------------------------------------------------------

    def ensure(self, config: Config, encoded: bytes, environ: Mapping[str, str] | None = None) -> EnsureReply:
        """Makes sure that the actors for `config` are there and have its secrets.

        Raises:
            UsageError: the cluster was started without a variable that the configuration refers to, or with another
            value; or it keeps another journal than is wished for.
        """
        environ = os.environ if environ is None else environ
        nonce = secrets.token_bytes(16)
        proofs = {name: prove(environ[name], nonce) for name in secret_names(config) if name in environ}
        ask = EnsureAsk(encoded, self.settings.mappers, nonce, proofs, self.settings.journal)
        reply = self.direct("ensure", msgspec.msgpack.encode(ask))
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
        return msgspec.msgpack.decode(self.direct("status"), type=Status)

    def call(self, method: str, *args: Any, timeout: float = PATIENCE_S) -> Any:
        """The Supervisor's answer; who dies before it has answered is asked again in the form of its successor.

        Only for methods that may be asked twice: all but `answer`.

        Raises:
            UnderstudyError: what the Supervisor itself has raised; or nobody took its place within `timeout` seconds.
        """
        return self._repeat(SUPERVISOR, self.actor, method, args, timeout)

    def direct(self, method: str, *args: Any, timeout: float = PATIENCE_S) -> Any:
        """The Director's answer, as `call`."""
        return self._repeat(DIRECTOR, lambda _: self._director, method, args, timeout)

    def _repeat(self, name: str, find: Callable[[str], Any], method: str, args: Sequence[Any], timeout: float) -> Any:
        import ray  # noqa: PLC0415

        deadline: float | None = None
        while True:
            try:
                return ray.get(getattr(find(name), method).remote(*args))
            except ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, UnderstudyError):
                    raise error.cause from None
                raise
            except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError) as error:
                self._met = None
                # The time is that without anybody to ask: a call that waits, a page's or the disk's, may take longer.
                now = time.monotonic()
                deadline = deadline or now + timeout
                if now > deadline:
                    text = str(error).strip().split("\n", 1)[0]
                    raise UnderstudyError(f"{name} died, and nobody took its place ({text})") from None
                time.sleep(PAUSE_S)

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
        except ray.exceptions.RayActorError as error:
            text = str(error).strip().split("\n", 1)[0]
            raise UnderstudyError(f"an actor died before it answered ({text}); run the command again") from None


def _quiet_stdout() -> None:
    """Has Ray's own warnings ("8 PYTHON worker processes have been started") go to standard error.

    Ray prints them to the driver's standard output, `log_to_driver=False` or not, in the middle of what `--json`
    prints. There is no setting for it; where Ray is otherwise inside, nothing is changed.
    """
    from ray._private import worker  # noqa: PLC0415

    print_it = getattr(worker, "print_to_stdstream", None)
    if print_it is not None and not hasattr(print_it, "quiet"):

        def to_stderr(data: Any, ignore_prefix: bool) -> None:
            print_it({**data, "is_err": True}, ignore_prefix)

        to_stderr.quiet = True  # type: ignore[attr-defined]
        worker.print_to_stdstream = to_stderr


def secret_names(config: Config) -> tuple[str, ...]:
    """The variables a configuration refers to."""
    found = {name for account in config.accounts.values() for _, text in account.texts() for name in names(text)}
    return tuple(sorted(found))
