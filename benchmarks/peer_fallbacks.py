"""LiteLLM's Router with its own fallbacks, as its documentation sets it up. Runs in `.venv-bench`, by file.

Usage: `python benchmarks/peer_fallbacks.py`, then one line of `Line`'s words as JSON: `urls` of an OpenAI, an Anthropic
and a Gemini server, `models` there, `calls` over `seconds`, `timeout_s` of a request and `deadline_s` of a call,
`retries`, and `cooldown_s`.
"""

import asyncio
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it fetches its price list from the network otherwise

import litellm  # type: ignore[import-not-found,unused-ignore]
from litellm import Router  # type: ignore[import-not-found,unused-ignore]

from benchmarks.payload import MAX_TOKENS, prompt
from benchmarks.rig import answer_lines

GROUPS = ("first", "second", "third")


def _router(words: dict[str, Any]) -> Any:
    first, second, third = words["urls"]
    openai, anthropic, gemini = words["models"]
    deployments = [
        {"model": f"openai/{openai}", "api_base": f"{first}/v1"},
        {"model": f"anthropic/{anthropic}", "api_base": second},
        {"model": f"gemini/{gemini}", "api_base": f"{third}/v1beta"},
    ]
    return Router(
        [
            {"model_name": name, "litellm_params": {**one, "api_key": "none", "timeout": words["timeout_s"]}}
            for name, one in zip(GROUPS, deployments, strict=True)
        ],
        fallbacks=[{GROUPS[0]: list(GROUPS[1:])}],
        num_retries=words["retries"],
        cooldown_time=words["cooldown_s"],
    )


class _Tally:
    def __init__(self) -> None:
        self.took_s: list[float] = []
        self.longest_s = 0.0
        self.errors: Counter[str] = Counter()

    async def call(self, router: Any, number: int, deadline_s: float) -> None:
        """One call, by a user who waits for so long."""
        began = time.perf_counter()
        messages = [{"role": "user", "content": prompt(number)}]
        try:
            async with asyncio.timeout(deadline_s):
                reply = await router.acompletion(GROUPS[0], messages=messages, max_tokens=MAX_TOKENS)
            assert reply.choices[0].message.content
            self.took_s.append(time.perf_counter() - began)
        except Exception as error:  # noqa: BLE001 - whatever a peer raises is a call that failed
            self.errors[type(error).__name__] += 1
        self.longest_s = max(self.longest_s, time.perf_counter() - began)


async def _run(words: dict[str, Any]) -> dict[str, Any]:
    router, tally, tasks = _router(words), _Tally(), []
    calls, began = int(words["calls"]), time.perf_counter()
    cpu = time.process_time()
    for number in range(calls):
        late = began + number * words["seconds"] / calls - time.perf_counter()
        if late > 0:
            await asyncio.sleep(late)
        tasks.append(asyncio.create_task(tally.call(router, number, words["deadline_s"])))
    await asyncio.gather(*tasks)
    return {
        "calls": calls,
        "answered": len(tally.took_s),
        "unanswered": dict(tally.errors),
        "took_s": sorted(tally.took_s),
        "longest_s": tally.longest_s,
        "wall_s": time.perf_counter() - began,
        "cpu_s": time.process_time() - cpu,
    }


def main() -> None:
    """See the module's docstring."""
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    answer_lines({"ready": True}, lambda words: asyncio.run(_run(words)))


if __name__ == "__main__":
    main()
