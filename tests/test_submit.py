"""What travels to a cluster elsewhere and back: the wheel, the parcel, the log's own lines."""

import base64
import csv
import hashlib
import importlib.metadata
import io
import os
import socket
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import understudy
from understudy.cluster.cli_submit import submit as command
from understudy.cluster.remote import api, client, entry, looking, markers, parcel, submitting, wheel
from understudy.protocols.errors import UsageError

NAMES = st.text("abcdef/._-", min_size=1, max_size=12)
LINES = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=40)


@given(
    files=st.dictionaries(NAMES, st.binary(max_size=30_000), max_size=3),
    shown=st.lists(LINES.filter(lambda line: not line.startswith(markers.MARK)), max_size=6),
    cuts=st.lists(st.integers(1, 50_000), max_size=8),
)
def test_log_carries_files_between_lines(files: dict[str, bytes], shown: list[str], cuts: list[int]) -> None:
    """However the log is cut into pieces, files and outcome arrive whole, and people see the other lines alone."""
    lines = list(shown)
    for name, data in files.items():
        lines += markers.file_lines(name, data)
    lines.append(markers.outcome_line({"exit": 3}))
    text = "".join(f"{line}\n" for line in lines)
    reader, seen = markers.Reader(), ""
    for cut in cuts:
        seen += reader.feed(text[:cut])
        text = text[cut:]
    seen += reader.feed(text) + reader.end()
    assert seen == "".join(f"{line}\n" for line in shown)
    assert reader.files == files
    assert reader.outcome == {"exit": 3}


@given(line=LINES)
def test_line_that_only_looks_like_ours_is_shown(line: str) -> None:
    """What a user's function prints with our mark before it breaks nothing."""
    reader = markers.Reader()
    text = f"{markers.MARK}{line}\n"
    assert reader.feed(text) + reader.end() in {text, ""}
    assert reader.feed("plain\n") == "plain\n"


def test_file_told_anew_is_the_later_one() -> None:
    """A command that is run again sends its files from the beginning; pieces of two are never mixed."""
    reader = markers.Reader()
    first = list(markers.file_lines("a", hashlib.sha512(b"1").digest() * 500))
    reader.feed(f"{first[0]}\n")
    for line in markers.file_lines("a", b"again"):
        reader.feed(f"{line}\n")
    assert reader.files == {"a": b"again"}


def test_wheel_holds_the_package_and_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file stands in RECORD with its hash; no dependency is named to pip; the list of them travels beside."""
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path))
    path = wheel.wheel()
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        notes = next(name.partition("/")[0] for name in names if ".dist-info/" in name)
        rows = list(csv.reader(io.StringIO(archive.read(f"{notes}/RECORD").decode())))
        for name, told, size in rows:
            if told:
                data = archive.read(name)
                mark = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
                assert (told, int(size)) == (f"sha256={mark}", len(data))
        metadata = archive.read(f"{notes}/METADATA").decode()
        needs = archive.read(f"{notes}/{wheel.REQUIRES}").decode()
    assert {row[0] for row in rows} == names
    root = Path(understudy.__file__).parent
    assert f"understudy/{Path(entry.__file__).relative_to(root).as_posix()}" in names
    assert {"understudy/__init__.py", "understudy/py.typed", "understudy/cluster/report/report.html"} <= names
    assert not any("__pycache__" in name or name.startswith("understudy/tests") for name in names)
    assert "Requires-Dist" not in metadata
    assert "msgspec" in needs
    assert path.name.startswith(f"understudy-{understudy.__version__}+h")


def test_wheel_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same code is the same file, byte for byte, whoever makes it."""
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path / "one"))
    first = wheel.wheel()
    before = first.stat().st_mtime_ns
    assert wheel.wheel() == first
    assert first.stat().st_mtime_ns == before
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path / "two"))
    assert wheel.wheel().read_bytes() == first.read_bytes()


def test_secrets_and_ignored_files_stay_here(tmp_path: Path) -> None:
    """A parcel leaves out what git ignores, environments, links, and what holds secrets by custom."""
    for name in ("flow.yaml", "own.py", "data/rows.bin", ".env", ".env.local", "tls/server.key", "id_rsa", "big.log"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\0x" if name.endswith("bin") else b"text\n")
    (tmp_path / ".gitignore").write_text("*.log\n")
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "a.js").write_text("1\n")
    (tmp_path / "link.txt").symlink_to("/etc/passwd")
    assert set(parcel.shipped(tmp_path)) == {".gitignore", "flow.yaml", "own.py", "data/rows.bin"}


def test_parcel_is_the_same_bytes_for_the_same_files(tmp_path: Path) -> None:
    """The cluster knows a parcel by its contents: sent again, it is not uploaded again."""
    (tmp_path / "b.txt").write_text("b\n")
    zips = []
    for order in (("a", "b"), ("b", "a")):
        one = parcel.Parcel("x")
        for name in order:
            one.add(f"{name}.txt", tmp_path / "b.txt")
        zips.append(one.write().read_bytes())
    assert zips[0] == zips[1]


def test_too_much_is_refused_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is too large is named, with how to mend it."""
    monkeypatch.setattr(parcel, "MOST_BYTES", 10)
    with pytest.raises(UsageError, match="would be sent to the cluster"):
        parcel.Parcel("folder").add("a", b"x" * 11)


def test_input_travels_as_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line on the cluster holds file names, never an input's words or a configuration's text."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flow.yaml").write_text('name: f\nrun: {kind: value, value: "{{ input }}"}\n')
    (tmp_path / "understudy.yaml").write_text(
        "accounts:\n  a: {base_url: 'http://127.0.0.1:1/v1', api_key: '${A_KEY}'}\n"
        "models:\n  m: [{account: a, model: x}]\n"
    )
    monkeypatch.setenv("A_KEY", "sk-never-sent")
    made = submitting._flow(submitting.Work(flow=Path("flow.yaml"), input="private words", max_cost=1.5))
    assert "private" not in " ".join(made.words)
    assert made.words[:2] == ["run", "flow/flow.yaml"]
    assert made.words[made.words.index("--input") + 1] == "@given/input.txt"
    assert made.words[made.words.index("--max-cost") + 1] == "1.5"
    with zipfile.ZipFile(made.parcel.write()) as archive:
        everything = b"".join(archive.read(name) for name in archive.namelist())
        assert archive.read("given/input.txt") == b"private words"
    assert b"sk-never-sent" not in everything
    assert b"${A_KEY}" in everything


def test_bad_workflow_is_told_here(tmp_path: Path) -> None:
    """A mistake in the workflow or in its input is found before anything is sent."""
    flow = tmp_path / "flow.yaml"
    flow.write_text("name: f\nrun: {kind: nothing}\n")
    with pytest.raises(UsageError, match=r"flow\.yaml:2"):
        submitting._flow(submitting.Work(flow=flow))
    flow.write_text('name: f\ninput: {type: object}\nrun: {kind: value, value: "{{ input }}"}\n')
    with pytest.raises(UsageError, match="--input"):
        submitting._flow(submitting.Work(flow=flow, input="words"))
    with pytest.raises(UsageError, match="wants an input"):
        submitting._flow(submitting.Work(flow=flow))


def test_missing_packages_are_named() -> None:
    """Of a list of requirements, those that are not there, or in another version, are told with what is there."""
    there = importlib.metadata.version("msgspec")
    needs = ["msgspec>=0.1", "msgspec>=999", "no-such-package-anywhere>=1", 'other-system; sys_platform == "none"']
    assert entry.missing_packages(needs) == [f"msgspec>=999 (has {there})", "no-such-package-anywhere>=1"]


@pytest.mark.sockets
def test_nobody_at_the_address_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address where nobody listens, and one that is none, are told at once."""
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UsageError, match="no Ray cluster's Jobs server"):
        client.connect(f"http://127.0.0.1:{port}")
    for wrong in ("ray://head:10001", "http://", "http://head:99999"):
        with pytest.raises(UsageError, match="give the cluster's Jobs server"):
            client.connect(wrong)


def test_token_of_the_local_cluster_goes_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a token of Ray's, the local cluster's own is used for this machine alone."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("UNDERSTUDY_HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")
    (tmp_path / "ray-token").write_text("local")
    client._authenticate("http://elsewhere:8265")
    assert not os.environ["RAY_AUTH_TOKEN_PATH"]
    client._authenticate("http://127.0.0.1:8265")
    assert os.environ["RAY_AUTH_TOKEN_PATH"] == str(tmp_path / "ray-token")
    assert os.environ["RAY_AUTH_MODE"] == "token"


def test_file_that_leads_out_of_the_folder_is_not_written(tmp_path: Path) -> None:
    """What comes from elsewhere can't write outside the folder that was named."""
    reader = markers.Reader()
    reader.files = {"../out.txt": b"x", "/etc/x": b"x", "a/b.txt": b"yes"}
    assert looking.save(reader, tmp_path / "out") == [tmp_path / "out" / "a" / "b.txt"]
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["b.txt"]


def test_exit_code_is_the_command_s_own(capsys: pytest.CaptureFixture[str]) -> None:
    """A run that failed in part there ends with 3 here, too; a job that was never heard of again with 1."""
    job = looking.RemoteJob("j", "failed", "run f", "exit code 3", 1.0, 3.0, 3)
    assert api.ended(job, {"exit": 3, "outcome": {"failed": 1}}, [], json=True) == 3
    assert api.ended(looking.RemoteJob("j", "cancelled"), None, [], json=False) == 1
    assert '"failed": 1' in capsys.readouterr().out


def test_command_says_what_does_not_fit() -> None:
    """Words that contradict each other are told before anything is looked at."""
    with pytest.raises(UsageError, match="submit digest PATH"):
        command("digest", address="http://head:8265")
    with pytest.raises(UsageError, match="one file"):
        command("flow.yaml", Path("other"), address="http://head:8265")
    with pytest.raises(UsageError, match="local queue"):
        command("flow.yaml", key="k", address="http://head:8265")
