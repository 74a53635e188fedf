"""Fixtures and settings for all tests.

A unit test touches neither Ray nor the network: `ray.init` and `socket.connect` raise in it. A test marked `sockets`
may use the loopback interface; a test marked `cluster` may use Ray, and the sockets Ray needs.
"""

import os
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cluster_tools import CANARIES, Cluster, start_cluster
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


class _NoRay:
    """A finder of modules that finds none, and refuses Ray: its import alone takes 0.4 s."""

    @staticmethod
    def find_spec(name: str, *_: Any) -> None:
        """See `importlib.abc.MetaPathFinder`."""
        if name == "ray":
            _no_ray()


@pytest.fixture(autouse=True)
def guards(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps unit tests away from the network and from Ray."""
    if request.node.get_closest_marker("cluster") is not None:
        return
    loopback = request.node.get_closest_marker("sockets") is not None
    # An event loop's own pair of sockets is made by `socketpair`, which connects nothing by these methods.
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name), loopback=loopback))
    ray = sys.modules.get("ray")
    if ray is not None:  # a cluster test ran before in this process
        monkeypatch.setattr(ray, "init", _no_ray)
    else:
        monkeypatch.setattr(sys, "meta_path", [_NoRay, *sys.meta_path])


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One local Ray cluster for the whole session, with a home of its own; stopped by its keeper's process id."""
    running = start_cluster(tmp_path_factory.mktemp("home"))
    yield running
    running.run("down")


@pytest.fixture(scope="session")
def wide_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Another one with four mappers, whose environment holds a planted key for each kind of provider."""
    running = start_cluster(tmp_path_factory.mktemp("wide"), mappers=4, **CANARIES)
    yield running
    running.run("down")
