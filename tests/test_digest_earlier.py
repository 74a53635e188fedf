"""Where a digest's driver looks for earlier answers before anything is started."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
from test_digest_recall import Model

from understudy.actors.journal.store import open_store
from understudy.cluster import home
from understudy.cluster.digest.earlier import lookup
from understudy.cluster.digest.options import Options
from understudy.cluster.digest.planning import Planning
from understudy.cluster.digest.queued import submission
from understudy.cluster.digest.run import digest
from understudy.cluster.session import Session
from understudy.protocols.jobs import JobSpec
from understudy.protocols.journal import AnswerRow, Append, JobRow
from understudy.supervisors.digest.interpreter import DigestInterpreter, pack_item
from understudy.supervisors.digest.plan import calls_to_read, files_known

WARNED: list[str] = []


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of its own, and no cluster."""
    for name in ("RAY_ADDRESS", "UNDERSTUDY_JOURNAL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    home.home()
    WARNED.clear()
    repo = tmp_path / "repo"
    repo.mkdir()
    for name in "abc":
        (repo / f"{name}.txt").write_text(f"{name}\n" * 1_200)


async def _keep(options: Options) -> None:
    """Digests all but the last file into the journal of this home."""
    planning = Planning(options)
    planning.read()
    planning.finish(None)
    interpreter = DigestInterpreter(planning.spec(1))
    answers = [await interpreter.map(pack.id, pack_item(pack), Model()) for pack in planning.plan.packs[:-1]]  # type: ignore[arg-type]
    rows = tuple(AnswerRow("j", one.item, False, one.item, msgspec.msgpack.encode(one), one.keys) for one in answers)
    store = await open_store("", {"UNDERSTUDY_HOME": str(home.home())})
    await store.append(Append(jobs=(JobRow("j", "done"),), answers=rows))
    await store.close()


def _never() -> Session:
    raise AssertionError("no cluster is waited for")


def test_nothing_is_waited_for_where_nothing_was_written_yet() -> None:
    """A first digest asks nobody and makes no file."""
    for hurried in (False, True):
        assert lookup(Options("repo"), _never, WARNED.append, hurried=hurried) is None
    assert not (home.home() / "journal.db").exists()


def test_the_store_is_read_without_any_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    """The plan knows what it will find; `--fresh`, another question and `remember: false` find nothing."""
    options = Options("repo", plan=True, json=True)
    asyncio.run(_keep(options))

    def planned(chosen: Options) -> tuple[int, int]:
        assert digest(chosen) == 0
        plan = json.loads(capsys.readouterr().out)
        return plan["files_known"], plan["map_calls"]

    assert planned(options) == (2, 1)
    assert planned(Options("repo", plan=True, json=True, fresh=True)) == (0, 3)
    assert planned(Options("repo", plan=True, json=True, question="Why?")) == (0, 3)
    Path("understudy.yaml").write_text("digest: {remember: false}\n")
    assert planned(options) == (0, 3)


def test_a_file_that_is_no_journal_is_told_and_passed_over() -> None:
    """All is asked anew, and a line says why."""
    (home.home() / "journal.db").write_text("no journal " * 1_000)
    found = lookup(Options("repo"), _never, WARNED.append, hurried=True)
    assert found is not None
    assert list(found([b"k" * 16])) == [None]
    assert len(WARNED) == 1
    assert WARNED[0].startswith("earlier answers can't be read, all is asked anew: ")


def test_a_digest_can_be_queued() -> None:
    """Its items, what is known of them, and what its report needs travel together."""
    options = Options("repo")
    asyncio.run(_keep(options))
    queued = submission(options, WARNED.append, key="k", priority=2, delay_s=3.0, attempts=4)
    assert (queued.key, queued.priority, queued.delay_s, queued.attempts) == ("k", 2, 3.0, 4)
    assert sum(count for count, _ in queued.blocks) == 2
    spec = msgspec.msgpack.decode(queued.spec, type=JobSpec)
    assert (spec.journal, spec.reduces, queued.nodes) == ("behind", True, 1)
    assert queued.meta
    assert not WARNED


def test_a_plan_says_how_much_is_known() -> None:
    """By files, and by calls that are left."""
    options = Options("repo")
    asyncio.run(_keep(options))
    planning = Planning(options)
    planning.read()
    planning.finish(lookup(options, None, WARNED.append, hurried=True))
    assert (files_known(planning.plan), calls_to_read(planning.plan)) == (2, 1)
    assert isinstance(planning.spec(2), JobSpec)
