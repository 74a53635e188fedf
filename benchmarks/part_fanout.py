"""Our side of the fan-out, through the public API: a call an input, or one `parallel` over a list of them.

Usage: `python -m benchmarks.part_fanout SETTINGS` with settings as JSON: `url`, `width` (calls in flight), `backoff_s`,
and perhaps `breaker`; then lines `{"calls": N, "form": "inputs" | "parallel"}`, which may say another `backoff_s`.
"""

import json
import os
import sys
import time
from typing import Any, Final

import psutil

import understudy as us
from benchmarks.payload import MAX_TOKENS, MODEL, prompt
from benchmarks.rig import Cpu, answer_lines
from understudy.cluster import api, home

STEP: Final = us.call("{{ input }}", max_tokens=MAX_TOKENS)


class FanOut:
    """A process that runs workflows on a local cluster of its own."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._width = int(settings["width"])
        self._backoff_s = float(settings["backoff_s"])
        account = {"base_url": f"{settings['url']}/v1", "limits": {"concurrency": self._width}}
        if "breaker" in settings:
            account["breaker"] = settings["breaker"]
        candidate = {"account": "sim", "model": MODEL, "price": {"input": 2.5, "output": 10.0}}
        self._config: dict[str, Any] = {
            "accounts": {"sim": account},
            "models": {"sim": {"candidates": [candidate]}},
        }

    def answer(self, words: dict[str, Any]) -> dict[str, Any]:
        """Runs so many calls in one of the forms; CPU seconds of all our processes, and of Ray's apart."""
        self._config["attempts"] = {"backoff_s": float(words.get("backoff_s", self._backoff_s))}
        prompts = [prompt(number) for number in range(int(words["calls"]))]
        ours, rays = (Cpu(found) for found in self._processes())
        began = time.perf_counter()
        answered = self._spread(prompts) if words.get("form") == "parallel" else self._run(prompts)
        wall_s = time.perf_counter() - began
        return {
            "calls": len(prompts),
            "failed": len(prompts) - answered,
            "wall_s": wall_s,
            "cpu_s": sum(ours.used().values()),
            "by_process": ours.used(),
            "ray_s": sum(rays.used().values()),
        }

    def _run(self, prompts: list[str]) -> int:
        results = us.run_many(STEP, prompts, config=self._config, concurrency=self._width)
        return sum(bool(result.output) for result in results)

    def _spread(self, prompts: list[str]) -> int:
        step = us.call("{{ item }}", max_tokens=MAX_TOKENS)
        flow = us.each("input", step, concurrency=self._width)
        return sum(map(bool, us.run(flow, prompts, config=self._config, concurrency=self._width).output or ()))

    def _processes(self) -> tuple[dict[str, int], dict[str, int]]:
        """Processes by label: ours, and Ray's own below the keeper."""
        children = {child.name: child.pid for child in api.attach().status().children if child.pid}
        local = home.load()
        assert local is not None
        ours = {"driver": os.getpid(), "keeper": local.pid, **children}
        below = psutil.Process(local.pid).children(recursive=True)
        return ours, {f"{one.name()}-{one.pid}": one.pid for one in below if one.pid not in ours.values()}


def main() -> None:
    """See the module's docstring."""
    ours = FanOut(json.loads(sys.argv[1]))
    api.attach()
    answer_lines({"ready": True}, ours.answer)
    us.close()


if __name__ == "__main__":
    main()
