"""The process that keeps this user's local Ray cluster: started by a command, outlives it, ends by SIGTERM.

It starts Ray as `ray.init()` does, and the actors that every job needs, while the command that started it still walks
and plans. Run as `python -m understudy.cluster.keeper SETTINGS`, settings as JSON.
"""

import contextlib
import json
import logging
import os
import signal
import sys
import threading
from typing import Any, Final

from ..supervisors.children import DIRECTOR
from . import home
from .fingerprint import fingerprint
from .spawn import NAMESPACE, RaySpawner

LOOK_S: Final = 60.0


def main() -> None:
    """Starts the cluster, says where it is in one line on standard output, and waits to be told to stop."""
    settings = json.loads(sys.argv[1])
    # Ray's start is mostly waiting for its daemons: our own modules are imported meanwhile.
    importing = threading.Thread(target=_import_actors)
    importing.start()
    import ray  # noqa: PLC0415 - after the import thread was started

    ray.init(
        address="local",  # not whatever cluster somebody has started on this machine with `ray start`
        namespace=NAMESPACE,
        num_cpus=int(settings["cores"]),
        include_dashboard=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
    )
    address = str(ray.get_runtime_context().gcs_address)
    pid = os.getpid()
    home.save(home.Local(address, pid, home.born(pid), fingerprint(), str(settings["journal"])))
    with contextlib.suppress(OSError):  # who started this may be gone: the next command finds it all the same
        sys.stdout.write(json.dumps({"address": address}) + "\n")
        sys.stdout.flush()
    importing.join()
    _spawn(settings)
    _wait_for_signal(float(settings["idle_s"]))
    home.forget()
    ray.shutdown()


def _wait_for_signal(idle_s: float) -> None:
    """Returns on SIGTERM or SIGINT. `ray.init` installs handlers of its own, so ours come after it.

    Also where there has been no Director for `idle_s`: nobody else would say that the cluster is idle.
    """
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    alone_s = 0.0
    while not told.wait(LOOK_S):
        alone_s = 0.0 if _has_director() else alone_s + LOOK_S
        if 0 < idle_s <= alone_s:
            return


def _has_director() -> bool:
    import ray  # noqa: PLC0415

    try:
        ray.get_actor(DIRECTOR, NAMESPACE)
    except ValueError:
        return False
    return True


def _spawn(settings: dict[str, Any]) -> None:
    """The Supervisor and a Mapper first: they are what the first mapped chunk waits for. The Director adopts them."""
    import ray  # noqa: PLC0415

    from ..supervisors.children import core_children  # noqa: PLC0415

    spawner = RaySpawner()
    children = core_children(int(settings["mappers"]), preload=("understudy.supervisors.digest.warm:warm",))
    first = [spawner.start(spec) for spec in children[:2]]
    # On two cores a third process beside them would delay the first chunk, and nothing needs the Director before it.
    ray.wait([actor.pid.remote() for actor in first], num_returns=len(first), timeout=30.0)
    director = spawner.start_director(
        fingerprint=fingerprint(),
        keeper=os.getpid(),
        idle_s=float(settings["idle_s"]),
        mappers=int(settings["mappers"]),
        journal=str(settings["journal"]),
        queue=settings["queue"],
    )
    director.begin.remote()


def _import_actors() -> None:
    pass


if __name__ == "__main__":
    main()
