"""What is asked of Ray when actors are started, by a Ray that only remembers."""

import sys
import types
from typing import Any

import pytest

from understudy.cluster.spawn import RaySpawner


class _Begin:
    """A method of an actor that Ray still calls restarting: a call reaches it only where it may be tried again."""

    def __init__(self) -> None:
        self.reached = 0
        self._retries = 0

    def options(self, *, max_task_retries: int) -> "_Begin":
        self._retries = max_task_retries
        return self

    def remote(self) -> None:
        self.reached += self._retries != 0


@pytest.mark.parametrize("again", [False, True])
def test_a_director_wakes_though_ray_calls_it_restarting(monkeypatch: pytest.MonkeyPatch, again: bool) -> None:
    """The call that has a successor begin is not lost when it is sent before Ray has noticed that it is up."""
    begin = _Begin()
    context: Any = types.SimpleNamespace(
        current_actor=types.SimpleNamespace(begin=begin), was_current_actor_reconstructed=again
    )
    ray: Any = types.ModuleType("ray")
    ray.get_runtime_context = lambda: context
    monkeypatch.setitem(sys.modules, "ray", ray)
    assert RaySpawner.wake() is again
    assert begin.reached == 1
