"""Whether anybody listens at RAY_ADDRESS."""

import socket

import pytest

from understudy.cluster.dial import dial
from understudy.protocols.errors import UsageError


@pytest.mark.sockets
def test_somebody_listens() -> None:
    """A listening port is enough: what it speaks is Ray's business."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        dial(f"127.0.0.1:{server.getsockname()[1]}", 1.0)


@pytest.mark.sockets
def test_nobody_listens() -> None:
    """A refusal is told in one line that names the address and the way out."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(UsageError, match=f"no Ray cluster at 127.0.0.1:{port}: .*RAY_ADDRESS"):
        dial(f"127.0.0.1:{port}", 0.05)


@pytest.mark.parametrize("address", ["auto", "ray://head:10001", "local", ""])
def test_what_is_no_host_and_port_is_left_to_ray(address: str) -> None:
    """Ray knows more forms of addresses than this."""
    dial(address)


@pytest.mark.sockets
def test_a_port_that_can_not_be() -> None:
    """Told as bad input, not as a fault of ours."""
    with pytest.raises(UsageError, match="no port"):
        dial("127.0.0.1:99999", 0.05)
