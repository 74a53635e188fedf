"""Plain asyncio and httpx: a semaphore, a loop of retries with back-off, `gather`. Runs in `.venv-bench`, by file.

Usage: `python benchmarks/peer_fanout_httpx.py URL WIDTH BACKOFF_S`, then lines `{"calls": N}`.
"""

import asyncio
import random
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import httpx

from benchmarks.payload import MAX_TOKENS, MODEL, prompt
from benchmarks.peer_fanout_loop import ATTEMPTS, serve


async def _ask(client: httpx.AsyncClient, url: str, number: int, backoff_s: float) -> bool:
    body: dict[str, Any] = {"model": MODEL, "max_tokens": MAX_TOKENS}
    body["messages"] = [{"role": "user", "content": prompt(number)}]
    for attempt in range(ATTEMPTS):
        try:
            reply = await client.post(url, json=body)
            if reply.status_code == 200:
                return bool(reply.json()["choices"][0]["message"]["content"])
        except httpx.TransportError:
            pass  # the back-off below is for it too
        await asyncio.sleep(random.random() * backoff_s * 2**attempt)
    return False


def main() -> None:
    """See the module's docstring."""
    url, width = f"{sys.argv[1]}/v1/chat/completions", int(sys.argv[2])
    backoff_s = float(sys.argv[3])
    limits = httpx.Limits(max_connections=width, max_keepalive_connections=width)
    client = httpx.AsyncClient(limits=limits, timeout=60.0)

    async def run(calls: int) -> int:
        turn = asyncio.Semaphore(width)

        async def one(number: int) -> bool:
            async with turn:
                return await _ask(client, url, number, backoff_s)

        return sum(await asyncio.gather(*(one(number) for number in range(calls))))

    serve(run)


if __name__ == "__main__":
    main()
