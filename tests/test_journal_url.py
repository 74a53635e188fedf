"""The journal's URL as a person gives it, and the cluster that has another."""

import os
from pathlib import Path

import pytest

from understudy.cluster import home, local
from understudy.cluster.journal_url import checked
from understudy.cluster.local import Settings
from understudy.protocols.errors import UsageError


def test_a_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Actors run in other folders; an absolute one, one with a reference, and a server stay as they are."""
    monkeypatch.chdir(tmp_path)
    assert checked("sqlite:some/journal.db") == f"sqlite:{tmp_path}/some/journal.db"
    for url in ("", "sqlite:/var/j.db", "sqlite:${FOLDER}/j.db", "${JOURNAL}", "postgresql://u:${PW}@h:1/d"):
        assert checked(url) == url
    assert checked("postgresql://u:${env:PW}@h/d") == "postgresql://u:${PW}@h/d"


@pytest.mark.parametrize("url", ["mysql://h/d", "sqlite:", "journal.db", "postgresql:x"])
def test_another_store_is_refused(url: str) -> None:
    """The text says what can be given."""
    with pytest.raises(UsageError, match="give sqlite:PATH or postgresql:"):
        checked(url)


def test_a_password_as_it_is_is_refused_without_being_said() -> None:
    """It would stand in messages, in the status and in the list of processes."""
    with pytest.raises(UsageError, match="refer to that") as refused:
        checked("postgresql://u:hunter2@h/d")
    assert "hunter2" not in str(refused.value)


def test_the_environment_says_where_the_journal_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """`UNDERSTUDY_JOURNAL` is the default of all commands; a wrong one is told before anything is started."""
    monkeypatch.setenv("UNDERSTUDY_JOURNAL", "sqlite:/var/j.db")
    assert Settings().journal == "sqlite:/var/j.db"
    assert Settings(journal="sqlite:/var/k.db").journal == "sqlite:/var/k.db"
    monkeypatch.setenv("UNDERSTUDY_JOURNAL", "nonsense")
    with pytest.raises(UsageError, match="journal"):
        Settings()


def test_a_running_cluster_with_another_journal_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text names both, references unresolved, and says how to mend it; who wishes for none takes what there is."""
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(local, "fingerprint", lambda: "same")
    mine = os.getpid()
    home.save(home.Local("127.0.0.1:1", mine, home.born(mine), "same", "postgresql://u:${PW}@h/d"))
    assert local.address(Settings(journal="")) == "127.0.0.1:1"
    assert local.address(Settings(journal="postgresql://u:${PW}@h/d")) == "127.0.0.1:1"
    with pytest.raises(UsageError, match=r"in postgresql://u:\$\{PW\}@h/d, not in sqlite:/j.db: run `understudy down`"):
        local.address(Settings(journal="sqlite:/j.db"))
