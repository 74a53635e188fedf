"""Puts a workflow or a digest on a cluster elsewhere: checks it here, ships it, and starts the same command there."""

import contextlib
import dataclasses
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any, Final

from ... import __version__
from ...protocols.errors import UsageError
from .. import config_file
from ..digest.models import known_tenant
from ..flows.inputs import MOST_BYTES, Lines
from ..flows.inputs import one as one_input
from ..flows.validate import validate
from .client import connect, told
from .looking import OURS, STOP_S, RemoteJob, status
from .parcel import Parcel
from .wheel import wheel

ENTRY: Final = "understudy.cluster.remote.entry"
_STOPPING: Final = {"RAY_JOB_STOP_SIGNAL": "SIGINT", "RAY_JOB_STOP_WAIT_TIME_S": f"{STOP_S:g}"}
"""A job that is stopped ends as by Ctrl-C, with its calls closed and its answers kept. SIGTERM, which Ray would send,
is taken by a handler of Ray's own in a driver, and 3 s, after which Ray would kill it, are few."""
OUT: Final = "out"
"""The folder, below the job's working folder, whose files are sent home."""


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """What is asked for; see `understudy submit --help`. `flow` or `path` is given.

    Raises:
        UsageError: something is out of range, or does not go together.
    """

    flow: Path | None = None
    path: Path | None = None
    input: str | None = None
    inputs: Path | None = None
    ask: str = ""
    config: Path | None = None
    map_model: str | None = None
    reduce_model: str | None = None
    max_cost: float | None = None
    tenant: str = ""
    concurrency: int = 64
    fresh: bool = False

    def __post_init__(self) -> None:
        if self.max_cost is not None and self.max_cost <= 0:
            raise UsageError("--max-cost must be more than 0; leave it out for no bound")
        if self.concurrency < 1:
            raise UsageError("--concurrency must be at least 1")
        if self.input is not None and self.inputs is not None:
            raise UsageError("--input and --inputs: give one of them")


@dataclasses.dataclass(slots=True)
class Shipment:
    """A job ready to be sent: its files, the command's words there, and its name for people."""

    parcel: Parcel
    words: list[str]
    title: str
    stem: str


def submit(address: str, work: Work) -> RemoteJob:
    """Sends a job to the cluster at `address`, and returns it as it stands there then.

    Raises:
        UsageError: bad input here, nobody at the address, or a token that is refused; nothing was sent.
        UnderstudyError: the cluster could not take it.
    """
    shipment = _digest(work) if work.path is not None else _flow(work)
    client = connect(address)
    zipped = shipment.parcel.write()
    try:
        with told(address), _quiet():
            job = client.submit_job(
                entrypoint=shlex.join(["python", "-m", ENTRY, *shipment.words]),
                submission_id=f"{shipment.stem}-{os.urandom(4).hex()}",
                runtime_env={
                    "working_dir": str(zipped),
                    "py_modules": [str(wheel())],
                    "env_vars": _STOPPING,
                },
                metadata={OURS: __version__, "title": shipment.title},
            )
    finally:
        shutil.rmtree(zipped.parent, ignore_errors=True)
    return status(address, str(job))


@contextlib.contextmanager
def _quiet() -> Any:
    """Ray's client tells of its uploads on standard output."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def _flow(work: Work) -> Shipment:
    assert work.flow is not None
    path = work.flow
    config = config_file.load(work.config)
    flow = validate(path, config)
    known_tenant(config, work.tenant)
    parcel = Parcel(str(path.resolve().parent))
    parcel.add_folder("flow", path.resolve().parent)
    parcel.add(f"flow/{path.name}", path)  # also where git ignores it
    words = ["run", f"flow/{path.name}", "--no-wait", *_common(work, parcel)]

    def check(value: Any) -> str:
        from ...supervisors.workflow.check import check_input  # noqa: PLC0415 - only where inputs are given

        return check_input(flow, value)

    if work.inputs is not None:
        Lines(work.inputs, check)
        parcel.add("given/inputs.jsonl", work.inputs)
        words += ["--inputs", "given/inputs.jsonl", "--out", f"{OUT}/results.jsonl"]
    elif work.input is not None:
        name, data = _input(work.input)
        one_input(f"@{work.input[1:]}" if work.input.startswith("@") else data.decode(), check)
        parcel.add(name, data)
        words += ["--input", f"@{name}"]
    elif flow.input is not None:
        raise UsageError("the workflow wants an input: give --input, or --inputs FILE.jsonl")
    return Shipment(parcel, words, f"run {path.name}", flow.name)


def _input(text: str) -> tuple[str, bytes]:
    """(where it goes in the parcel, its bytes): as a file, since a command line is seen by everybody there."""
    if text == "-":
        return "given/input.txt", sys.stdin.buffer.read(MOST_BYTES)
    if not text.startswith("@"):
        return "given/input.txt", text.encode("utf-8", "surrogateescape")
    path = Path(text[1:])
    try:
        return f"given/input{'.json' if path.suffix == '.json' else '.txt'}", path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}; check the path given to --input") from None


def _digest(work: Work) -> Shipment:
    assert work.path is not None
    known_tenant(config_file.load(work.config), work.tenant)
    path = work.path.resolve()
    # Under its own name, which is the report's title.
    name = path.name or "root"
    parcel = Parcel(str(work.path))
    if path.is_file():
        parcel.add(f"source/{name}", path)
    else:
        parcel.add_folder(f"source/{name}", path)
    words = ["digest", f"source/{name}", "--out", OUT, *_common(work, parcel)]
    for option, value in (
        ("--ask", work.ask),
        ("--map-model", work.map_model),
        ("--reduce-model", work.reduce_model),
    ):
        words += [option, value] if value else []
    return Shipment(parcel, words, f"digest {name}", "digest")


def _common(work: Work, parcel: Parcel) -> list[str]:
    words = ["--json", "--concurrency", str(work.concurrency)]
    config = work.config or Path(config_file.FILE_NAME)
    if config.exists():
        parcel.add(f"given/{config_file.FILE_NAME}", config)
        words += ["--config", f"given/{config_file.FILE_NAME}"]
    if work.max_cost is not None:
        words += ["--max-cost", repr(work.max_cost)]
    if work.tenant:
        words += ["--tenant", work.tenant]
    return words + (["--fresh"] if work.fresh else [])
