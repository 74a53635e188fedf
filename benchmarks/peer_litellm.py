"""LiteLLM's Router as a user would set it up: one deployment, no retries. Runs in `.venv-bench`, by file.

Usage: `python benchmarks/peer_litellm.py URL WORKERS`, then lines `{"calls": N}`.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it fetches its price list from the network otherwise

import litellm  # type: ignore[import-not-found,unused-ignore]
from litellm import Router  # type: ignore[import-not-found,unused-ignore]

from benchmarks.payload import MAX_TOKENS, MODEL, prompt
from benchmarks.peer_loop import serve


def main() -> None:
    """See the module's docstring."""
    litellm.telemetry = False
    parameters = {"model": f"openai/{MODEL}", "api_base": f"{sys.argv[1]}/v1", "api_key": "none"}
    router = Router([{"model_name": MODEL, "litellm_params": parameters}], num_retries=0)

    async def call(number: int) -> None:
        messages = [{"role": "user", "content": prompt(number)}]
        reply = await router.acompletion(MODEL, messages=messages, max_tokens=MAX_TOKENS)
        assert reply.choices[0].message.content

    serve(call, int(sys.argv[2]))


if __name__ == "__main__":
    main()
