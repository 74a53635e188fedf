"""Digests a folder with the packing of `understudy digest`, or with one map call for each file.

Usage: `python -m benchmarks.part_packing URL`. Then lines `{"folder", "budget", "each"}`: with `each` every chunk has a
call of its own, which is one call a file unless the file is larger than the budget.
"""

import sys
from pathlib import Path
from typing import Any, Final

from benchmarks.rig import answer_lines
from understudy.cluster.digest.gather import Gathered
from understudy.cluster.digest.models import Models
from understudy.cluster.digest.submit import Submission, job_spec
from understudy.cluster.local import Settings
from understudy.cluster.session import Session
from understudy.cluster.walk import walk
from understudy.protocols.config import Account, Candidate, Config, DigestSettings, Limits, Price, Route
from understudy.protocols.digest import DigestPlan, Pack
from understudy.supervisors.digest.pack import header
from understudy.supervisors.digest.plan import Planner
from understudy.supervisors.digest.tree import build

MAPPERS: Final = 2
WIDTH: Final = 16
MAP, REDUCE = "map", "reduce"


def configuration(url: str, budget: int) -> Config:
    """Two routes to the simulator, so that its ledger tells maps from reduces."""

    def route(name: str) -> Route:
        return Route(candidates=(Candidate(account="sim", model=name, price=Price(input=2.5, output=10.0)),))

    return Config(
        accounts={"sim": Account(base_url=f"{url}/v1", limits=Limits(rpm=10_000_000, tpm=10_000_000_000))},
        models={name: route(name) for name in (MAP, REDUCE)},
        digest=DigestSettings(map_model=MAP, reduce_model=REDUCE, map_budget=budget),
    )


def planned(folder: str, settings: DigestSettings) -> DigestPlan:
    """The plan as the command line makes it."""
    planner = Planner(folder, settings)
    for one in walk(folder, settings):
        planner.add(one)
    return planner.finish()


def one_each(plan: DigestPlan) -> DigestPlan:
    """The same files and chunks, each chunk in a call of its own."""
    several = [chunk for pack in plan.packs for chunk in pack.chunks]
    several.sort(key=lambda chunk: (chunk.path, chunk.number))
    packs = tuple(Pack(place, (chunk,), chunk.tokens + header(chunk.path)) for place, chunk in enumerate(several))
    return DigestPlan(plan.root, plan.files, plan.skipped, packs, build(packs))


def needless(plan: DigestPlan, budget: int) -> int:
    """Files in several chunks though they would fit one call."""
    cut = {chunk.path for pack in plan.packs for chunk in pack.chunks if chunk.of > 1}
    return sum(file.path in cut and file.tokens + header(file.path) <= budget for file in plan.files)


class Packing:
    """An attached driver."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = Session(Settings(cores=2, mappers=MAPPERS, idle_s=600.0))
        self._session.__enter__()

    def answer(self, words: dict[str, Any]) -> dict[str, Any]:
        """Digests once."""
        config = configuration(self._url, int(words["budget"]))
        plan = planned(words["folder"], config.digest)
        cut = needless(plan, config.digest.map_budget)
        if words["each"]:
            plan = one_each(plan)
        models = Models(config, MAP, REDUCE)
        spec = job_spec(plan, models, question="", width=WIDTH, fresh=True)
        gathered = Gathered(plan, spec)
        job = Submission(self._session, spec)
        job.start(plan, models)
        last = job.follow(gathered.take)
        leaves = [gathered.summaries.get(node.id) for node in plan.nodes if node.kind == "chunk"]
        return {
            "state": last.state,
            "files": len(plan.files),
            "tokens": sum(file.tokens for file in plan.files),
            "packs": len(plan.packs),
            "needless": cut,
            "silent": sum(one is None or bool(one.error) or not one.text for one in leaves),
            "dollars": last.bill.cost / 1e12,
        }

    def close(self) -> None:
        """Detaches; the cluster stays for whoever started this to stop."""
        self._session.__exit__(None, None, None)


def main() -> None:
    """See the module's docstring."""
    ours = Packing(sys.argv[1])
    answer_lines({"folder": str(Path.cwd())}, ours.answer)
    ours.close()


if __name__ == "__main__":
    main()
