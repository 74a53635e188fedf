"""Whether anybody listens at a Ray cluster's address: Ray itself would try for more than a minute before it says so."""

import socket
import time
from typing import Final

from ..protocols.errors import UsageError

PATIENCE_S: Final = 10.0
_ONE_TRY_S: Final = 3.0
_PAUSE_S: Final = 0.25
_LAST_PORT: Final = 65_535


def dial(address: str, patience_s: float = PATIENCE_S) -> None:
    """Returns when something listens at `host:port`; at once for what is no such address (`auto`, `ray://…`).

    Raises:
        UsageError: nobody does within `patience_s`; a refusal is taken for an answer after a second, since a cluster
            that is just being started refuses for a moment.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        return
    if int(port) > _LAST_PORT:
        raise UsageError(f"no Ray cluster at {address}: {port} is no port (RAY_ADDRESS names it)")
    began = time.monotonic()
    while True:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=min(_ONE_TRY_S, patience_s)):
                return
        except ConnectionRefusedError as error:
            refused, cause = True, error.strerror
        except OSError as error:
            refused, cause = isinstance(error, socket.gaierror), error.strerror or "nobody answers"
        if time.monotonic() - began > (min(1.0, patience_s) if refused else patience_s):
            raise UsageError(
                f"no Ray cluster at {address}: {cause} (RAY_ADDRESS names it; unset it to use a local one)"
            )
        time.sleep(min(_PAUSE_S, patience_s))
