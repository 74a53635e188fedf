"""What `understudy approve` comes to when the job it follows does not come to its end."""

import pytest
from rich.console import Console

from understudy.cluster.flows.approvals import _told
from understudy.protocols.errors import UnderstudyError
from understudy.protocols.jobs import Bill, JobState, Page


@pytest.mark.parametrize("state", ["cancelled", "failed"])
def test_a_job_that_was_stopped_is_no_success(state: JobState) -> None:
    """Its exit code is not 0: nothing came of what was approved."""
    page = Page(state, 0, 1, sealed=True, done=0, failed=0, running=0, nodes_done=0, bill=Bill(), error="why")
    with pytest.raises(UnderstudyError, match=f"{state}: why"):
        _told(page, [], [], Console(quiet=True), json=True, seconds=0.0)
