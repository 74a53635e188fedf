"""What a workflow needs of its surroundings, checked before anything is spent: its models, their keys, its budget."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from ...actors.prices import PICO, PriceBook
from ...protocols.config import Config
from ...protocols.errors import ConfigError
from ...protocols.references import missing
from ...protocols.workflow import Call, Flow, Route, walk
from ...supervisors.workflow import modules
from ...supervisors.workflow.check import check
from ...supervisors.workflow.flaw import text_path


def routes_of(flow: Flow, config: Config) -> tuple[str, ...]:
    """The routes that the workflow's calls name, each once; the first of the configuration where a call names none."""
    first = next(iter(config.models))
    found: dict[str, None] = {}
    for root in (flow.run, *flow.flows.values()):
        for _, node in walk(root):
            if isinstance(node, Call):
                found[node.model or first] = None
            elif isinstance(node, Route) and node.model is not None:
                found[node.model] = None
    return tuple(found)


def check_references(flow: Flow, config: Config) -> None:
    """Raises `ConfigError` when a variable that one of its models needs is not set."""
    absent = missing(config, os.environ, routes=routes_of(flow, config))
    if absent:
        raise ConfigError(str(absent[0]) + (f" (and {len(absent) - 1} more)" if len(absent) > 1 else ""))


def check_flow(flow: Flow, config: Config) -> None:
    """Raises `ConfigError` for a workflow that can't be run: the first mistake, and how many there are besides."""
    flaws = check(flow, config)
    if flaws:
        more = f" (and {len(flaws) - 1} more)" if len(flaws) > 1 else ""
        raise ConfigError(f"{text_path(flaws[0].path)}: {flaws[0].text}{more}")


def price_book(flow: Flow, config: Config) -> PriceBook:
    """Prices as of today; those of all its candidates were looked up, so that `unpriced` is complete."""
    prices = PriceBook(config, at=datetime.now(tz=UTC), environ=os.environ)
    for candidate in config.candidates_of(routes_of(flow, config)):
        prices.rate(candidate)
    return prices


def leaves_this_machine(flow: Flow, config: Config) -> bool:
    """False when every candidate is the embedded provider."""
    candidates = config.candidates_of(routes_of(flow, config))
    return any(config.accounts[one.account].kind != "embedded" for one in candidates)


def max_cost(dollars: float | None, config: Config) -> int:
    """Picodollars all runs together may cost; -1 for no bound."""
    most = dollars if dollars is not None else config.max_cost
    return -1 if most is None else round(most * PICO)


def item_cost(most: int, inputs: int, dearest: int | None) -> int:
    """The most that one run may cost, picodollars, where all of them may cost `most`; 0 for no bound.

    A single run may take it all. Of many each takes what it costs at most, `dearest`, where that is known.
    """
    if most < 0:
        return 0
    return most if inputs == 1 else min(dearest or 0, most)


@contextmanager
def importable(*folders: str) -> Iterator[None]:
    """Modules in these folders can be imported, as they are where the workflow runs; they hide nothing."""
    added = [folder for folder in dict.fromkeys(folders) if folder not in sys.path]
    modules.OWN.look_again(folders)
    token = modules.FOLDERS.set(folders)
    sys.path.extend(added)
    try:
        yield
    finally:
        modules.FOLDERS.reset(token)
        for folder in added:
            sys.path.remove(folder)
