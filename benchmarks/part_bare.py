"""Bare Ray: what anybody pays. Usage: `python -m benchmarks.part_bare cold CORES` or `… warm ADDRESS`.

Cold: a cluster, one actor, one call; it then stays until its input is closed. Warm: attach, find the living actor by
name, one call.
"""

import sys
from typing import Any

import ray as _ray

from benchmarks.rig import say_line

NAMESPACE = "bench"
ray: Any = _ray
"""Untyped on purpose: handles have methods that no checker sees."""


class Bare:
    """An actor that answers."""

    def answer(self) -> int:
        """Something."""
        return 1


def _cold(cores: int) -> None:
    ray.init(num_cpus=cores, include_dashboard=False, namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR")
    actor = ray.remote(Bare).options(name="bare", num_cpus=0).remote()
    ray.get(actor.answer.remote())
    say_line({"address": ray.get_runtime_context().gcs_address})
    sys.stdin.read()


def _warm(address: str) -> None:
    ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR")
    ray.get(ray.get_actor("bare").answer.remote())
    say_line({"address": address})


def main() -> None:
    """See the module's docstring."""
    kind, what = sys.argv[1:]
    if kind == "cold":
        _cold(int(what))
    else:
        _warm(what)


if __name__ == "__main__":
    main()
