"""Our side, for calls of any kind: a driver attached to a local cluster of its own, and all that came of each call.

Usage: `python -m benchmarks.part_calls '{"mappers": 1, "cores": 2}'`, then lines of `CallsLine`'s fields.
"""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec
import psutil

from benchmarks.payload import prompt
from benchmarks.rig import Cpu, answer_lines
from understudy.actors.requests import Ask, Batch, batch_item
from understudy.cluster.drill.sending import Sending, evenly
from understudy.cluster.local import Settings
from understudy.cluster.session import Session
from understudy.cluster.simulator.request import TOKENS_PER_MESSAGE, count_tokens
from understudy.protocols.call import Attempt, CallOptions, CallResult
from understudy.protocols.chat import ChatRequest, Message, Text
from understudy.protocols.config import Config, encode


class CallsLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked for in one line.

    Attributes:
        config: a configuration as JSON; the calls take its first route.
        items: how many items.
        fan: calls of each item, which go out at once.
        streams: every so many-th item is streamed; 0 for none.
        width: items in flight at once.
        seconds: items are handed in evenly over so long; 0: all at once.
        characters: of a prompt.
        max_tokens: of an answer.
        cancel_at: the job is cancelled when so many items are done; 0: never.
        deadline_s: of each call, or None for the configuration's.
        number: of the first prompt; no two prompts of a number are alike.
        shared: characters that all prompts begin with.
    """

    config: dict[str, Any]
    items: int
    fan: int = 1
    streams: int = 0
    width: int = 32
    seconds: float = 0.0
    characters: int = 400
    max_tokens: int = 64
    cancel_at: int = 0
    deadline_s: float | None = None
    number: int = 0
    shared: int = 0


class Answers(msgspec.Struct, frozen=True):
    """What came of a line; money is picodollars by account.

    Attributes:
        took_s: seconds of each answered call, rising; `items_s` of each item.
        most_attempts: of one call, those that were sent.
        longest_s: of all calls, answered or not.
        billed, open_cost, open_attempts: sums over attempts; by their Providers' own books: `settled`.
        machine: share of the machine's CPU that was in use meanwhile.
    """

    calls: int
    answered: int
    unanswered: dict[str, int]
    state: Literal["done", "cancelled"]
    wall_s: float
    took_s: list[float]
    items_s: list[float]
    most_attempts: int
    longest_s: float
    hedges: int
    rungs: dict[str, int]
    outcomes: dict[str, int]
    roles: dict[str, int]
    answered_by: dict[str, int]
    billed: dict[str, int]
    open_cost: dict[str, int]
    open_attempts: dict[str, int]
    settled: dict[str, int]
    cached_tokens: int
    reasoning_tokens: int
    machine: float
    by_process: dict[str, float]


class Calls:
    """An attached driver."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._session = Session(Settings(cores=settings["cores"], mappers=settings["mappers"], idle_s=600.0))
        self._session.__enter__()
        self._mappers = int(settings["mappers"])
        empty = Config()
        self._session.ensure(empty, encode(empty))

    def answer(self, words: dict[str, Any]) -> Mapping[str, Any]:
        """Sends the calls of one line, and tells what came of them."""
        line = msgspec.convert(words, CallsLine)
        config = Config.model_validate_json(json.dumps(line.config))
        actors = self._session.ensure(config, encode(config))
        sending = Sending(self._session, actors, config, width=max(1, line.width // self._mappers), title="benchmark")
        before, cpu, began = self._settled(), Cpu(self._processes()), time.perf_counter()
        psutil.cpu_percent(None)
        sending.run(
            [batch_item(_asks(line, place, next(iter(config.models)))) for place in range(line.items)],
            at=evenly(line.items, line.seconds) if line.seconds else (),
            seen=(lambda _, done: done >= line.cancel_at) if line.cancel_at else None,
        )
        wall_s, machine, by_process = time.perf_counter() - began, psutil.cpu_percent(None) / 100, cpu.used()
        time.sleep(0.5)  # what was settled is told within this time
        settled = {name: cost - before.get(name, 0) for name, cost in self._settled().items()}
        found = _summary(line, sending, wall_s=wall_s, machine=machine, by_process=by_process, settled=settled)
        return msgspec.to_builtins(found)  # type: ignore[no-any-return]

    def _settled(self) -> dict[str, int]:
        """What Providers have been told that each account has cost, picodollars."""
        sums: Counter[str] = Counter()
        for one in self._session.status().accounts:
            sums[one.account] += max(one.cost, 0)
        return dict(sums)

    def _processes(self) -> dict[str, int]:
        return {"driver": os.getpid()} | {
            child.name: child.pid for child in self._session.status().children if child.pid
        }

    def close(self) -> None:
        """Detaches; the cluster stays for whoever started this to stop."""
        self._session.__exit__(None, None, None)


def _asks(line: CallsLine, place: int, route: str) -> list[Ask]:
    stream = bool(line.streams) and place % line.streams == 0
    options = CallOptions(deadline_s=line.deadline_s)
    first = line.number + place * line.fan
    common = prompt(0, line.shared) if line.shared else ""
    texts = [common + prompt(first + number, line.characters) for number in range(line.fan)]
    return [
        Ask(
            count_tokens(text) + TOKENS_PER_MESSAGE,
            ChatRequest(route, (Message("user", (Text(text),)),), max_tokens=line.max_tokens),
            options,
            stream,
        )
        for text in texts
    ]


def _summary(
    line: CallsLine,
    sending: Sending,
    *,
    wall_s: float,
    machine: float,
    by_process: dict[str, float],
    settled: dict[str, int],
) -> Answers:
    batches: Sequence[Batch] = list(sending.results.values())
    results: list[CallResult] = [one for batch in batches for one in batch.results]
    attempts = [one for result in results for one in result.attempts]
    answered = [one for one in results if one.reply is not None]
    errors = [one.error for one in results if one.reply is None] + list(sending.errors.values())
    expected = line.items * line.fan
    missing = expected - len(results) - len(sending.errors) * line.fan
    return Answers(
        calls=expected - (missing if line.cancel_at else 0),
        answered=len(answered),
        unanswered=dict(Counter(text[:120] for text in errors).most_common(20)),
        state="cancelled" if missing else "done",
        wall_s=wall_s,
        took_s=sorted(one.took_s for one in answered),
        items_s=sorted(batch.took_s for batch in batches),
        most_attempts=max((sum(try_.sent for try_ in one.attempts) for one in results), default=0),
        longest_s=max((one.took_s for one in results), default=0.0),
        hedges=sum(try_.sent and try_.role == "hedge" for try_ in attempts),
        rungs=dict(Counter(one.rung for one in answered)),
        outcomes=dict(Counter(try_.outcome for try_ in attempts)),
        roles=dict(Counter(try_.role for try_ in attempts if try_.sent)),
        answered_by=dict(Counter(_account(one.model) for one in answered)),
        billed=_sums(attempts, "cost"),
        open_cost=_sums(attempts, "open_cost"),
        open_attempts=dict(Counter(_account(try_.candidate) for try_ in attempts if try_.open_cost)),
        settled=settled,
        cached_tokens=sum(try_.usage.cached_tokens for try_ in attempts),
        reasoning_tokens=sum(try_.usage.reasoning_tokens for try_ in attempts),
        machine=machine,
        by_process=by_process,
    )


def _account(candidate: str) -> str:
    return candidate.partition("/")[0]


def _sums(attempts: Iterable[Attempt], field: str) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for one in attempts:
        sums[_account(one.candidate)] += getattr(one, field)
    return dict(sums)


def main() -> None:
    """See the module's docstring."""
    calls = Calls(json.loads(sys.argv[1]))
    answer_lines({"ready": True}, calls.answer)
    calls.close()


if __name__ == "__main__":
    main()
