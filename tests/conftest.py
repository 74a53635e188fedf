"""Fixtures and settings for all tests.

A unit test touches neither Ray nor the network: `ray.init` and `socket.connect` raise in it. A test marked `sockets` may
use the loopback interface; a test marked `cluster` may use Ray, and the sockets Ray needs.
"""

import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

_LOOPBACK = ("127.", "::1", "localhost")


class ForbiddenInUnitTestError(AssertionError):
    """Raised when a unit test reaches for the network or for Ray."""


def _guarded(connect: Callable[..., Any], *, loopback: bool) -> Callable[..., Any]:
    """`socket.connect` for tests: Unix sockets pass, the loopback only where it is allowed, all else never."""

    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family == socket.AF_UNIX:
            return connect(self, address)
        if loopback and str(address[0]).startswith(_LOOPBACK):
            return connect(self, address)
        mark = "" if loopback else "; mark it `sockets` if it talks to a server on the loopback interface"
        raise ForbiddenInUnitTestError(f"a test connects to {address[0]}{mark}")

    return guarded


def _no_ray(*_: Any, **__: Any) -> None:
    raise ForbiddenInUnitTestError("a unit test starts Ray; mark it `cluster` and use the fixture of that name")


@pytest.fixture(autouse=True)
def guards(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps unit tests away from the network and from Ray."""
    if request.node.get_closest_marker("cluster") is not None:
        return
    loopback = request.node.get_closest_marker("sockets") is not None
    # An event loop's own pair of sockets is made by `socketpair`, which connects nothing by this method.
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name), loopback=loopback))
    ray = sys.modules.get("ray")  # importing it here would cost every run 0.4 s
    if ray is not None:
        monkeypatch.setattr(ray, "init", _no_ray)


class _LateRay:
    """Finds nothing; when a unit test imports Ray for the first time, its `init` is forbidden until the test ends."""

    # `ray` in sys.modules is patched by `guards` already; a first import in a unit test is refused at `import ray` time
    # only by this finder, which raises unless a `cluster` test runs.
    allowed = True

    def find_spec(self, name: str, *_: Any) -> None:
        if name == "ray" and not self.allowed:
            raise ForbiddenInUnitTestError("a unit test imports Ray; mark it `cluster`")


_LATE_RAY = _LateRay()


@pytest.fixture(autouse=True)
def no_first_import_of_ray(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit test that would be the first to import Ray fails, instead of taking 0.4 s and a warning or two."""
    if request.node.get_closest_marker("cluster") is None:
        monkeypatch.setattr(_LATE_RAY, "allowed", False)
        monkeypatch.setattr(sys, "meta_path", [_LATE_RAY, *sys.meta_path])
