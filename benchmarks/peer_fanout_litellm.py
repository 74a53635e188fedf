"""LiteLLM's Router and its batch of one model, with its own retries and bound. Runs in `.venv-bench`, by file.

Usage: `python benchmarks/peer_fanout_litellm.py URL WIDTH BACKOFF_S`, then lines `{"calls": N}`.
"""

import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it fetches its price list from the network otherwise
os.environ["INITIAL_RETRY_DELAY"] = sys.argv[3]
os.environ["AIOHTTP_CONNECTOR_LIMIT_PER_HOST"] = sys.argv[2]  # 500 otherwise, which bounds the concurrency

import litellm  # type: ignore[import-not-found,unused-ignore]
from litellm import Router  # type: ignore[import-not-found,unused-ignore]

from benchmarks.payload import MAX_TOKENS, MODEL, prompt
from benchmarks.peer_fanout_loop import ATTEMPTS, serve


def main() -> None:
    """See the module's docstring."""
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    parameters: dict[str, Any] = {"model": f"openai/{MODEL}", "api_base": f"{sys.argv[1]}/v1", "api_key": "none"}
    parameters["max_parallel_requests"] = int(sys.argv[2])
    router = Router([{"model_name": MODEL, "litellm_params": parameters}], num_retries=ATTEMPTS - 1)

    async def run(calls: int) -> int:
        messages = [[{"role": "user", "content": prompt(number)}] for number in range(calls)]
        replies = await router.abatch_completion_one_model_multiple_requests(
            model=MODEL, messages=messages, max_tokens=MAX_TOKENS
        )
        return sum(not isinstance(reply, BaseException) and bool(reply.choices[0].message.content) for reply in replies)

    serve(run)


if __name__ == "__main__":
    main()
