"""Runs `understudy validate`: a workflow's mistakes with line and column; nothing is called and nothing is started."""

import sys
from collections import Counter
from pathlib import Path

import orjson

from ...protocols.config import Config
from ...protocols.errors import ConfigError
from ...protocols.workflow import Flow, walk
from ...supervisors.workflow.check import check
from .. import config_file
from ..flow_file import FLOW, flow_of
from ..yaml_file import Mistake, first_of, read, read_yaml
from .setting import importable, routes_of

OK, USAGE = 0, 2


def validate(path: Path, config: Config | None) -> Flow:
    """The workflow in a file, which can be run as it is.

    Raises:
        ConfigError: the file can't be read or something in it is wrong: the first mistake by line, as one line, and how
            many there are besides.
    """
    flow, mistakes = checked(path, config)
    if flow is None or mistakes:
        raise first_of(str(path), mistakes)
    return flow


def checked(path: Path, config: Config | None) -> tuple[Flow | None, list[Mistake]]:
    """(the workflow, all that is wrong with it); None where its form is wrong.

    Raises:
        ConfigError: it can't be read, or is no YAML.
    """
    document = read_yaml(read(path, FLOW), str(path), FLOW)
    flow = flow_of(document)
    if not isinstance(flow, Flow):
        return None, flow
    with importable(str(path.resolve().parent)):
        flaws = check(flow, config)
    return flow, sorted(document.mistake(flaw.path, flaw.text) for flaw in flaws)


def run(path: Path, config: Path | None = None, *, json: bool = False) -> int:
    """Prints what is wrong, a line for each mistake, or that nothing is. Returns the exit code: 0 or 2.

    Raises:
        ConfigError: the configuration is wrong, or the file is no YAML; with `json` the latter is printed, too.
    """
    settings = config_file.load(config)
    try:
        flow, mistakes = checked(path, settings)
    except ConfigError as error:
        if not json:
            raise
        flow, mistakes = None, [Mistake(1, 1, "", str(error))]
    if json:
        told = [mistake._asdict() for mistake in mistakes]
        sys.stdout.write(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode() + "\n")
    elif mistakes:
        sys.stderr.write("".join(f"{mistake.told(str(path))}\n" for mistake in mistakes))
    elif flow is not None:
        sys.stdout.write(f"{path}: fine: {summary(flow, settings)}\n")
    return USAGE if mistakes else OK


def summary(flow: Flow, config: Config) -> str:
    """What there is in a workflow: `7 steps, 3 calls, 2 models (fast, strong)`."""
    roots = (flow.run, *flow.flows.values())
    kinds = Counter(str(getattr(node, "kind", "")) for root in roots for _, node in walk(root))
    routes = routes_of(flow, config)
    counts = [
        (kinds.total(), "step"),
        (kinds["call"], "call"),
        (kinds["approve"], "approval"),
        (len(flow.flows), "flow"),
    ]
    told = [f"{count} {what}{'' if count == 1 else 's'}" for count, what in counts if count]
    models = f"{len(routes)} model{'' if len(routes) == 1 else 's'} ({', '.join(routes)})"
    return ", ".join([*told, models] if routes else told)
