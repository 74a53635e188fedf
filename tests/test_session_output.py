"""What Ray says by itself stays off the standard output."""

import pytest
from ray._private import worker

from understudy.cluster.session import _quiet_stdout


def test_rays_warnings_go_to_standard_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A warning of the raylet is no part of what `--json` prints; telling it twice changes nothing more."""
    monkeypatch.setattr(worker, "print_to_stdstream", worker.print_to_stdstream)
    _quiet_stdout()
    _quiet_stdout()
    worker.print_to_stdstream(
        {"lines": ["eight worker processes"], "pid": "raylet", "is_err": False}, ignore_prefix=False
    )
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("eight worker processes") == 1
