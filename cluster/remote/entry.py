"""What runs on the cluster: `python -m understudy.cluster.remote.entry run|digest ...`, in the job's working folder.

It uses the standard library alone until it knows that the rest is there.
"""

import contextlib
import importlib.metadata
import io
import itertools
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

_NEEDS: Final = "needs.txt"
_SENT_HOME: Final = 50_000_000
"""Bytes of files that are sent home through the log; larger ones stay where they are, and are named."""


def main(words: Sequence[str]) -> int:
    """Runs the command and sends home what came of it; its exit code."""
    lacking = missing_packages(_needs())
    if lacking:
        _say(
            f"understudy: the cluster's Python ({sys.executable}) lacks {', '.join(lacking)}: the dependencies of "
            "understudy are expected on its nodes; install them there (pip install understudy, or a container image)"
        )
        return 2
    Path("out").mkdir(exist_ok=True)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = _command(words)
    if code == 2:
        _tell_variables(words)
    _send_home(printed.getvalue(), code)
    return code


def _command(words: Sequence[str]) -> int:
    from ..cli import main as command  # noqa: PLC0415 - once its dependencies are known to be there

    sys.argv = ["understudy", *words]
    try:
        command()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


def _needs() -> list[str]:
    try:
        text = importlib.metadata.distribution("understudy").read_text(_NEEDS) or ""
    except importlib.metadata.PackageNotFoundError:
        return []
    return [line for line in text.splitlines() if line.strip()]


def missing_packages(needs: Sequence[str]) -> list[str]:
    """Those of the requirements (PEP 508) that are not installed here, or in another version."""
    from packaging.requirements import Requirement  # noqa: PLC0415 - Ray's own dependency

    lacking = []
    for line in needs:
        need = Requirement(line)
        if need.marker is not None and not need.marker.evaluate():
            continue
        try:
            there = importlib.metadata.version(need.name)
        except importlib.metadata.PackageNotFoundError:
            lacking.append(str(need))
            continue
        if not need.specifier.contains(there, prereleases=True):
            lacking.append(f"{need} (has {there})")
    return lacking


def _tell_variables(words: Sequence[str]) -> None:
    """Names the variables that the configuration refers to and that this node has not."""
    from ...protocols.errors import UnderstudyError  # noqa: PLC0415
    from ...protocols.references import missing  # noqa: PLC0415
    from ..config_file import load  # noqa: PLC0415

    named = [Path(after) for word, after in itertools.pairwise(words) if word == "--config"]
    with contextlib.suppress(UnderstudyError):
        names = sorted({one.name for one in missing(load(*named), os.environ)})
        if names:
            _say(
                f"understudy: not set on the cluster's nodes: {', '.join(names)}; secrets are never sent with a job: "
                "set these variables there before Ray is started"
            )


def _send_home(printed: str, code: int) -> None:
    from . import markers  # noqa: PLC0415

    files = [path for path in sorted(Path("out").rglob("*")) if path.is_file()]
    sizes = sum(path.stat().st_size for path in files)
    kept = sizes > _SENT_HOME
    for path in () if kept else files:
        for line in markers.file_lines(path.relative_to("out").as_posix(), path.read_bytes()):
            _say(line)
    outcome: dict[str, Any] = {"exit": code}
    with contextlib.suppress(ValueError):
        outcome["outcome"] = json.loads(printed)
    if "outcome" not in outcome and printed.strip():
        _say(printed.rstrip())
    if kept:
        outcome["kept"] = str(Path("out").resolve())
        _say(f"understudy: the results are {sizes:,} bytes, too many for the log; they are in {outcome['kept']} there")
    _say(markers.outcome_line(outcome))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
