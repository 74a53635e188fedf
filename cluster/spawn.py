"""The one function that turns classes into actors. Nothing else in understudy calls `ray.remote`."""

import importlib
from typing import Any, Final

from ..supervisors.children import DIRECTOR, ChildSpec

NAMESPACE: Final = "understudy"

_CONCURRENCY: Final = 10_000
"""An async actor runs that many calls at once; ours wait for messages, so many are open and few run."""


class RaySpawner:
    """Starts actors as named, detached Ray actors. Picklable: the Director carries one.

    Ray itself restarts no child (`max_restarts=0`): the Director does, so that there is one policy and everybody hears
    of it. Only the Director is restarted by Ray.
    """

    def __init__(self, namespace: str = NAMESPACE) -> None:
        self.namespace = namespace

    def start(self, spec: ChildSpec) -> Any:
        """The living actor of that name, or a new one."""
        return self._spawn(spec.actor, spec.name, dict(spec.settings), max_restarts=0)

    def find(self, name: str) -> Any:
        """The living actor of that name, as far as Ray knows; None where there is none."""
        import ray  # noqa: PLC0415

        try:
            return ray.get_actor(name, self.namespace)
        except ValueError:
            return None

    @staticmethod
    def wake() -> bool:
        """The actor in whose constructor this is called is told to begin; True when Ray has started it again."""
        import ray  # noqa: PLC0415

        context = ray.get_runtime_context()
        # With retries: Ray calls the actor «restarting» until its constructor has returned, and a call that is sent
        # before that fails for good. Without them one of some ten restarted Directors slept until a driver called it,
        # and nobody who died meanwhile was started again.
        context.current_actor.begin.options(max_task_retries=-1).remote()
        return bool(context.was_current_actor_reconstructed)

    def start_director(self, **settings: Any) -> Any:
        """The Director: the living one, or a new one."""
        path = "understudy.supervisors.director.actor:Director"
        return self._spawn(path, DIRECTOR, {"spawner": self, **settings}, max_restarts=-1)

    def _spawn(self, path: str, name: str, settings: dict[str, Any], *, max_restarts: int) -> Any:
        import ray  # noqa: PLC0415 - 0.3 s; the command line's help never needs it

        module, _, cls = path.partition(":")
        actor = ray.remote(getattr(importlib.import_module(module), cls))
        return actor.options(
            name=name,
            namespace=self.namespace,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            max_restarts=max_restarts,
            max_task_retries=0,
            max_concurrency=_CONCURRENCY,
        ).remote(name, self.namespace, **settings)

    def kill(self, handle: Any) -> None:
        """Ends an actor at once."""
        import ray  # noqa: PLC0415

        ray.kill(handle)
