"""Our side: a driver attached to a local cluster that runs jobs of `Echo` items through Mappers, leases and a Provider.

Usage: `python -m benchmarks.part_ours SETTINGS` with settings as JSON: `mappers`, `cores`, and `accounts`, each with
`url`, `limits`, and perhaps `key`, the name of the variable that holds its key; `full` turns on all that the model
layer can do. Then lines `{"jobs": [{"account", "calls", "width", "characters", "journal"}]}`: all jobs of a line run at
once; the account `auto` is a choice by rules; `journal` is that of `JobSpec`, `off` where it is left out.
"""

import json
import os
import sys
import threading
import time
from typing import Any, Final

import msgspec
import psutil

from benchmarks.payload import MAX_TOKENS, MODEL, prompt
from benchmarks.rig import Cpu, answer_lines
from understudy.actors.echo import EchoSpec, prompt_item
from understudy.actors.embedded.tokens import count
from understudy.actors.mapper.blocks import pack_block
from understudy.cluster import home
from understudy.cluster.local import Settings
from understudy.cluster.session import Session
from understudy.protocols.config import (
    Account,
    Budgets,
    Candidate,
    Config,
    Hedging,
    Limits,
    Price,
    Route,
    Routing,
    Rule,
    encode,
)
from understudy.protocols.jobs import LIVE, EnsureReply, JobSpec, Page
from understudy.supervisors.children import DIRECTOR

BLOCK = 2000
"""Items a block: about 1 MB of prompts."""


RULES: Final = 20


def configuration(accounts: dict[str, dict[str, Any]], *, full: bool = False) -> Config:
    """A configuration with one route for each account, of the same name.

    With `full` all that the model layer can do is on: a hedge timer and a budget for each call, and a choice of the
    route by rules, the last of twenty of which decides, with the request looked through for personal data.
    """
    first = next(iter(accounts))
    rules = [Rule(route=first, contains=(f"topic {place}", f"subject {place}")) for place in range(RULES - 1)]
    more: dict[str, Any] = {}
    if full:
        more["routing"] = Routing(rules=(*rules, Rule(route=first, max_tokens=1_000_000)), pii="private_only")
        more["budgets"] = Budgets(call=1.0)
    # Each call is watched, and none is worth a second request: else more calls would be sent than are asked for.
    hedge = Hedging(worth=1e-9) if full else None
    return Config(
        accounts={
            name: Account(
                base_url=f"{one['url']}/v1",
                api_key=f"${{{one['key']}}}" if "key" in one else None,
                limits=Limits(**one["limits"]),
            )
            for name, one in accounts.items()
        },
        models={
            name: Route(
                candidates=(Candidate(account=name, model=MODEL, price=Price(input=2.5, output=10.0)),), hedge=hedge
            )
            for name in accounts
        },
        **more,
    )


class Ours:
    """An attached driver and the processes that work for it."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._config = configuration(settings["accounts"], full=settings.get("full", False))
        self._encoded = encode(self._config)
        self._session = Session(Settings(cores=settings["cores"], mappers=settings["mappers"], idle_s=600.0))
        self._session.__enter__()
        self._reply: EnsureReply = self._session.ensure(self._config, self._encoded)
        self._supervisor = self._session.actor(self._reply.supervisor)
        self._numbers = 0
        self.processes = self._find()

    def _find(self) -> dict[str, int]:
        """All our processes by label, when every actor is up."""
        while any(not child.pid for child in self._session.status().children):
            time.sleep(0.05)
        director = self._session.get(self._session.actor(DIRECTOR).pid.remote())
        local = home.load()
        found = {"driver": os.getpid(), "director": int(director), "keeper": local.pid if local else 0}
        return found | {child.name: child.pid for child in self._session.status().children}

    def daemons(self) -> dict[str, int]:
        """Ray's own processes: below the keeper, and not ours."""
        below = psutil.Process(self.processes["keeper"]).children(recursive=True)
        ours = set(self.processes.values())
        return {f"{one.name()}-{one.pid}": one.pid for one in below if one.pid not in ours}

    def answer(self, words: dict[str, Any]) -> dict[str, Any]:
        """Runs the jobs of one line at once."""
        jobs = [self._job(one) for one in words["jobs"]]
        ours, rays = Cpu(self.processes), Cpu(self.daemons())
        began = time.perf_counter()
        pages = [self._run(*jobs[0])] if len(jobs) == 1 else self._run_all(jobs)
        wall_s = time.perf_counter() - began
        by_process = ours.used()
        return {
            "calls": sum(page.bill.calls for page in pages),
            "attempts": sum(page.bill.attempts for page in pages),
            "failed": sum(page.failed for page in pages),
            "wall_s": wall_s,
            "cpu_s": sum(by_process.values()),
            "by_process": by_process,
            "ray_s": sum(rays.used().values()),
        }

    def _job(self, one: dict[str, Any]) -> tuple[JobSpec, list[bytes]]:
        """A job and its items; tokens are counted here, as a plan does before a job is handed in."""
        calls, characters = int(one["calls"]), int(one.get("characters", 400))
        tokens = count(prompt(self._numbers, characters)) + 4
        items = [prompt_item(prompt(self._numbers + place, characters), tokens) for place in range(calls)]
        self._numbers += calls
        spec = JobSpec(
            id=f"bench-{os.urandom(4).hex()}",
            title="bench",
            interpreter="understudy.actors.echo:Echo",
            spec=msgspec.msgpack.encode(EchoSpec(one["account"], MAX_TOKENS)),
            config=self._encoded,
            width=int(one["width"]),
            journal=one.get("journal", "off"),
        )
        return spec, items

    def _run_all(self, jobs: list[tuple[JobSpec, list[bytes]]]) -> list[Page]:
        pages: list[Page] = []
        threads = [threading.Thread(target=lambda job=job: pages.append(self._run(*job))) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if len(pages) < len(jobs):
            raise RuntimeError("a job broke; its trace is above")
        return pages

    def _run(self, spec: JobSpec, items: list[bytes]) -> Page:
        reply, supervisor = self._reply, self._supervisor
        encoded = msgspec.msgpack.encode(spec)
        providers = list(reply.providers.values())
        self._session.get(supervisor.open.remote(encoded, reply.reducers[0], list(reply.mappers), providers, 0))
        for first in range(0, len(items), BLOCK):
            block = items[first : first + BLOCK]
            self._session.get(supervisor.add_block.remote(spec.id, len(block), pack_block(first, block)))
        self._session.get(supervisor.seal.remote(spec.id))
        cursor = 0
        while True:
            page = msgspec.msgpack.decode(self._session.get(supervisor.follow.remote(spec.id, cursor)), type=Page)
            cursor = page.cursor
            for done in page.items:
                if done.error:
                    sys.stderr.write(f"item {done.item}: {done.error}\n")
            if page.state not in LIVE:
                return page

    def close(self) -> None:
        """Detaches; the cluster stays for whoever started this to stop."""
        self._session.__exit__(None, None, None)


def main() -> None:
    """See the module's docstring."""
    ours = Ours(json.loads(sys.argv[1]))
    answer_lines({"processes": ours.processes}, ours.answer)
    ours.close()


if __name__ == "__main__":
    main()
