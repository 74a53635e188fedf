"""What is done in a thread while a command does something useful."""

import threading

import pytest

from understudy.cluster.local import Opening
from understudy.protocols.errors import UnderstudyError


def test_work_is_done_beside_and_its_value_comes_back() -> None:
    """It runs in a thread of its own, and waiting gives what it returned."""
    assert Opening(threading.get_ident).wait() != threading.get_ident()
    assert Opening(lambda: None).wait() is None


def test_an_error_comes_to_who_waits() -> None:
    """What went wrong in the thread is raised where it is waited for."""

    def fail() -> str:
        raise UnderstudyError("no cluster")

    opening = Opening(fail)
    with pytest.raises(UnderstudyError, match="no cluster"):
        opening.wait()
