"""What is said to a store to write rows: statements, one after the other, of which some need the answers to others.

It is a generator, so that a store that waits in a thread and one that waits in an event loop run the same code.
"""

from collections.abc import Generator, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

import msgspec

from ...protocols.journal import AnswerRow, Append, JobRow
from .schema import packed

Row = tuple[Any, ...]
Statement = tuple[str, Sequence[Row]]
"""SQL and the rows it is run for, each with its values for $1, $2, …"""
Talk = Generator[Statement, list[Row], None]

NUMBERS_KEPT: Final = 100_000

_NAME = "INSERT INTO name (id) VALUES ($1) ON CONFLICT DO NOTHING"
_NUMBER = "SELECT id, number FROM name WHERE id = $1"
_JOB = (
    "INSERT INTO job VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (number) DO UPDATE SET"
    " state = excluded.state, owner = excluded.owner, tenant = excluded.tenant, parent = excluded.parent,"
    " key = excluded.key, created = excluded.created, updated = excluded.updated, data = excluded.data"
)
_SPEC = "INSERT INTO spec VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
_BLOCK = "INSERT INTO block VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
_ANSWER = "INSERT INTO answer VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
_CONTENT = (
    "INSERT INTO content VALUES ($1, $2, $3)"
    " ON CONFLICT (key) DO UPDATE SET answer = excluded.answer, part = excluded.part"
)
_NOTE = "INSERT INTO note VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
_STEP = "INSERT INTO step (id, era, path, hash, data) VALUES ($1, $2, $3, $4, $5)"
_SPENT = (
    "INSERT INTO spent VALUES ($1, $2, $3, $4) ON CONFLICT (day, tenant, job) DO UPDATE SET amount = excluded.amount"
)
_VALUE = "INSERT INTO value VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
_NO_VALUE = "DELETE FROM value WHERE name = $1"


class Numbers:
    """The numbers of jobs that were written lately. What is learned counts only once it is on disk: see `keep`."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._fresh: dict[str, int] = {}

    def get(self, job: str) -> int:
        """The job's number. Raises `KeyError` where it was not learned."""
        number = self._known.get(job)
        return self._fresh[job] if number is None else number

    def unknown(self, jobs: Iterable[str]) -> list[str]:
        """Those that have to be looked up, each once."""
        return [job for job in dict.fromkeys(jobs) if job not in self._known]

    def learn(self, found: Iterable[tuple[str, int]]) -> None:
        """What the store has answered within a transaction."""
        self._fresh.update(found)

    def keep(self) -> None:
        """The transaction is on disk."""
        self._known.update(self._fresh)
        self._fresh.clear()
        while len(self._known) > NUMBERS_KEPT:
            del self._known[next(iter(self._known))]

    def drop(self) -> None:
        """The transaction has failed."""
        self._fresh.clear()

    def forget(self, jobs: Iterable[str]) -> None:
        """These are gone."""
        for job in jobs:
            self._known.pop(job, None)


def writing(batch: Sequence[Append], numbers: Numbers) -> Talk:
    """All that is said for these appends; where one sets what another has set, the later counts."""
    unknown = numbers.unknown(_jobs(batch))
    if unknown:
        yield _NAME, [(job,) for job in unknown]
        numbers.learn((row[0], row[1]) for row in (yield _NUMBER, [(job,) for job in unknown]))
    number = numbers.get
    for sql, rows in _plain(batch, number):
        if rows:
            yield sql, rows
    yield from _answers([row for one in batch for row in one.answers], numbers)


def _jobs(batch: Sequence[Append]) -> Iterable[str]:
    for one in batch:
        yield from (row.id for row in one.jobs)
        for rows in (one.specs, one.blocks, one.answers, one.notes, one.steps):
            yield from (row.job for row in rows)


def _plain(batch: Sequence[Append], number: Any) -> Iterable[Statement]:
    jobs = {row.id: row for one in batch for row in one.jobs}
    spent = {(row.day, row.tenant, row.job): row.amount for one in batch for row in one.spent}
    values = {row.name: row.value for one in batch for row in one.values}
    yield _JOB, [_job(number(row.id), row) for row in jobs.values()]
    yield _SPEC, [(number(row.job), row.spec, row.nodes, row.meta) for one in batch for row in one.specs]
    yield _BLOCK, [(packed(number(row.job), row.number), row.count, row.data) for one in batch for row in one.blocks]
    yield (
        _NOTE,
        [(packed(number(row.job), row.place), row.after, row.kind, row.data) for one in batch for row in one.notes],
    )
    yield (
        _STEP,
        [
            (packed(number(row.job), row.item), row.era, row.path, row.hash, row.data)
            for one in batch
            for row in one.steps
        ],
    )
    yield _SPENT, [(*key, amount) for key, amount in spent.items()]
    yield _VALUE, [(name, value) for name, value in values.items() if value]
    yield _NO_VALUE, [(name,) for name, value in values.items() if not value]


def _job(number: int, row: JobRow) -> Row:
    data = msgspec.msgpack.encode(row)
    return (
        number,
        row.id,
        row.state,
        row.owner,
        row.tenant,
        row.parent,
        row.key,
        row.created,
        row.updated,
        data,
    )


def _answers(answers: Sequence[AnswerRow], numbers: Numbers) -> Talk:
    """Contents are noted only of answers that were not there: told again, an old answer must not hide a newer one."""
    rows: dict[int, AnswerRow] = {}
    for answer in answers:
        rows.setdefault(packed(numbers.get(answer.job), answer.place), answer)
    bare = [_answer(at, row) for at, row in rows.items() if not any(row.keys)]
    known = {at: row for at, row in rows.items() if any(row.keys)}
    if bare:
        yield _ANSWER, bare
    if known:
        fresh = yield f"{_ANSWER} RETURNING id", [_answer(at, row) for at, row in known.items()]
        contents = _contents(known, {at for (at,) in fresh})
        if contents:
            yield _CONTENT, contents


def _answer(at: int, row: AnswerRow) -> Row:
    # The sign of an item tells nodes from items: one column less.
    return at, ~row.item if row.node else row.item, row.data, b"".join(map(_framed, row.keys)) or None


def _framed(key: bytes) -> bytes:
    return bytes((len(key),)) + key


def _contents(known: Mapping[int, AnswerRow], fresh: AbstractSet[int]) -> list[Row]:
    """Sorted, so that neighbours in the index are written together; of two answers with a key the later counts."""
    contents = {key: (at, part) for at, row in known.items() if at in fresh for part, key in enumerate(row.keys) if key}
    return [(key, at, part) for key, (at, part) in sorted(contents.items())]


def keys_of(data: bytes | None) -> tuple[bytes, ...]:
    """The keys of an answer, as `writing` put them together."""
    keys, at = [], 0
    while data and at < len(data):
        keys.append(bytes(data[at + 1 : at + 1 + data[at]]))
        at += 1 + data[at]
    return tuple(keys)
