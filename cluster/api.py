"""Workflows from Python: run one, run many, see the words as they come; sync and async.

A process attaches to its cluster with the first run, and stays attached until `close`, or its end.
"""

import asyncio
import atexit
import contextlib
import dataclasses
import functools
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, overload

import msgspec
from pydantic import BaseModel, ValidationError
from pydantic_core import to_jsonable_python

from ..protocols.config import Config
from ..protocols.errors import ConfigError, StepFailed, UsageError
from ..protocols.jobs import JobSpec
from ..protocols.workflow import Flow
from ..protocols.workflow.build import Like, node
from ..supervisors.workflow.check import check_input
from .digest.models import known_tenant
from .flows import setting
from .flows.job import FlowJob, flow_spec
from .flows.plan import planned
from .flows.reader import Asked, Results
from .flows.results import Result as Result  # noqa: PLC0414 - part of what is offered
from .jobs.meta import Meta, encode
from .local import Settings
from .session import Session

M = TypeVar("M", bound=BaseModel)

Given = Config | Mapping[str, Any] | Path | str | None
"""A configuration: itself, as a mapping, a file's path; None for understudy.yaml here, else the embedded provider."""

_lock = threading.Lock()
_attached: list[Session] = []
_loaded: dict[str, None] = {}
"""Folders of files that were loaded: their workflows' functions are found there."""


def load(path: Path | str) -> Flow:
    """The workflow in a YAML file; functions that it names are found beside it.

    Raises:
        ConfigError: it can't be read, or its form is wrong: the text names line and column of the mistake.
    """
    from .flow_file import load as load_file  # noqa: PLC0415 - YAML is read by those who write it

    flow = load_file(Path(path))[0]
    _loaded[str(Path(path).resolve().parent)] = None
    return flow


@overload
def run(flow: Flow | Like, input: Any = "", *, output: type[M], **how: Any) -> Result[M]: ...
@overload
def run(flow: Flow | Like, input: Any = "", *, output: None = None, **how: Any) -> Result[Any]: ...
def run(flow: Flow | Like, input: Any = "", *, output: type[M] | None = None, **how: Any) -> Result[Any]:  # noqa: A002 - the workflow's own word
    """Runs a workflow on one input, and waits for it.

    Args:
        flow: a workflow, a step, or what one call of a model says.
        input: what templates know as `input`, JSON-like.
        output: a pydantic model that the result's `output` is made to.
        how: `config` (a path, a `Config` or a mapping; default: understudy.yaml here, else the embedded provider),
            `max_cost` (dollars), `tenant`, `on_approval` (answers what the run asks of people; without it the run waits
            until somebody says `understudy approve`), `on_text` (is given the words of calls with `stream`, and None
            when what came so far is void).

    Raises:
        ConfigError: the workflow or the configuration is wrong; nothing was spent.
        StepFailed: the run has failed; the text says why.
    """
    [result] = run_many(flow, [input], **how)
    result.check()
    return result if output is None else _typed(result, output)


@overload
async def arun(flow: Flow | Like, input: Any = "", *, output: type[M], **how: Any) -> Result[M]: ...
@overload
async def arun(flow: Flow | Like, input: Any = "", *, output: None = None, **how: Any) -> Result[Any]: ...
async def arun(flow: Flow | Like, input: Any = "", *, output: type[M] | None = None, **how: Any) -> Result[Any]:  # noqa: A002 - as above
    """As `run`, beside whatever else the loop does. Cancelling it cancels the job."""
    [result] = [one async for one in arun_many(flow, [input], **how)]
    result.check()
    return result if output is None else _typed(result, output)


def run_many(
    flow: Flow | Like,
    inputs: Iterable[Any],
    *,
    config: Given = None,
    concurrency: int = 64,
    max_cost: float | None = None,
    tenant: str = "",
    on_approval: Asked | None = None,
    on_text: Callable[[str | None], None] | None = None,
) -> Results:
    """Runs a workflow on many inputs; gives each result as it comes, failed ones too (`Result.number` is the input's).

    Inputs are taken as there is room for them. Leaving the loop early cancels the job. See `run` for the arguments and
    the errors.
    """
    ready = prepared(flow, inputs, config=config, concurrency=concurrency, max_cost=max_cost, tenant=tenant)
    spec = ready.spec if on_text is None else msgspec.structs.replace(ready.spec, watch=True)
    job = FlowJob(attach(), spec, ready.config, encode(Meta("call")))
    return Results(job, checked(ready.flow, inputs), on_approval, on_text)


@dataclasses.dataclass(frozen=True, slots=True)
class Prepared:
    """A workflow that can be handed in: all that can be known to be wrong with it is known not to be."""

    flow: Flow
    config: Config
    spec: JobSpec


def prepared(
    flow: Flow | Like,
    inputs: Iterable[Any],
    *,
    config: Given,
    concurrency: int,
    max_cost: float | None,
    tenant: str,
) -> Prepared:
    """The job that runs `flow` on each of `inputs`. Raises as `run` does."""
    whole = flow if isinstance(flow, Flow) else Flow(run=node(flow))
    found = configuration(config)
    _check(whole, found, concurrency=concurrency, max_cost=max_cost, tenant=tenant)
    known = len(inputs) if isinstance(inputs, list | tuple) else -1
    most = setting.max_cost(max_cost, found)
    spec = flow_spec(
        whole,
        found,
        inputs=known,
        width=max(1, -(-concurrency // Settings().mappers)),
        tenant=tenant,
        interactive=known == 1,
        max_cost=most,
        item_cost=_item_cost(whole, found, inputs, known, most),
        paths=_folders(),
    )
    return Prepared(whole, found, spec)


async def arun_many(flow: Flow | Like, inputs: Iterable[Any], **how: Any) -> AsyncIterator[Result[Any]]:
    """As `run_many`, beside whatever else the loop does; `on_text` and `on_approval` are called in another thread."""
    # Threads of its own: the loop's pool has few, and runs that wait in all of them would keep others from starting.
    threads, loop = ThreadPoolExecutor(2, "understudy"), asyncio.get_running_loop()
    try:
        results = await loop.run_in_executor(threads, functools.partial(run_many, flow, inputs, **how))
        try:
            while (result := await loop.run_in_executor(threads, next, results, None)) is not None:
                yield result
        finally:
            await asyncio.shield(loop.run_in_executor(threads, results.close))
    finally:
        threads.shutdown(wait=False)


def _check(flow: Flow, config: Config, *, concurrency: int, max_cost: float | None, tenant: str) -> None:
    if concurrency < 1:
        raise UsageError("concurrency must be at least 1")
    if max_cost is not None and not max_cost > 0:
        raise UsageError("max_cost must be more than 0; leave it out for no bound")
    known_tenant(config, tenant)
    with setting.importable(*_folders()):
        setting.check_flow(flow, config)
    setting.check_references(flow, config)


def _item_cost(flow: Flow, config: Config, inputs: Iterable[Any], known: int, most: int) -> int:
    """See `setting.item_cost`; what a run costs at most is planned only where it matters."""
    if most < 0 or known == 1:
        return setting.item_cost(most, known, None)
    prices = setting.price_book(flow, config)
    return setting.item_cost(most, known, planned(flow, config, prices, inputs, known, concurrency=1).dearest)


def checked(flow: Flow, inputs: Iterable[Any]) -> Iterator[Any]:
    """Each input as JSON has it. Raises `UsageError` for the first that the workflow does not take."""
    own = _folders() if isinstance(flow.input, str) else ()  # a model, which has to be found
    for number, value in enumerate(inputs):
        plain = value if isinstance(value, str) else _plain(value, number)
        with setting.importable(*own):
            flaw = check_input(flow, plain)
        if flaw:
            raise UsageError(f"input {number}: {flaw}")
        yield plain


def _plain(value: Any, number: int) -> Any:
    """An input as JSON has it: of models, dates and the like what stands for them there."""
    try:
        return to_jsonable_python(value)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"input {number}: can't be written as JSON: {error}") from None


def _typed(result: Result[Any], model: type[M]) -> Result[M]:
    try:
        return dataclasses.replace(result, output=model.model_validate(result.output))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = "/".join(map(str, first["loc"])) or "the top"
        raise StepFailed(f"the output is no {model.__name__}: at {where}: {first['msg']}") from None


def configuration(given: Given) -> Config:
    """The configuration that is meant. Raises `ConfigError` when it is wrong."""
    if isinstance(given, Config):
        return given
    if isinstance(given, Mapping):
        try:
            return Config.model_validate(dict(given))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise ConfigError(f"config: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    from .config_file import load as load_config  # noqa: PLC0415 - as above

    return load_config(None if given is None else Path(given))


def _folders() -> tuple[str, ...]:
    """Where functions are found: the script's folder, the working directory, and where workflows were loaded from."""
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    own = [Path(main).resolve().parent] if main else []
    return tuple(dict.fromkeys([*map(str, [*own, Path.cwd()]), *_loaded]))


# Attaching ------------------------------------------------------------------------------------------------------------


def attach() -> Session:
    """This process's session; attached with the first call."""
    with _lock:
        if not _attached:
            _attached.append(Session(Settings()).__enter__())
            atexit.register(close)
        return _attached[0]


def close() -> None:
    """Detaches; the cluster stays warm."""
    with _lock, contextlib.suppress(IndexError):
        _attached.pop().__exit__(None, None, None)
