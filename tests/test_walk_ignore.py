"""Ignore rules of the walk: git's own, with git as the judge."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.cluster.walk import walk
from understudy.protocols.config import DigestSettings
from understudy.protocols.digest import Skipped

SETTINGS = DigestSettings()


def plant(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def read(root: Path) -> set[str]:
    return {item.path for item in walk(root, SETTINGS) if not isinstance(item, Skipped)}


def test_nested_rules_and_negations(tmp_path: Path) -> None:
    """The innermost file with a word on a path decides, and what it said is told."""
    plant(
        tmp_path,
        {
            ".gitignore": "*.log\n/build/\n# a comment\n",
            "a.log": "x",
            "build/a.py": "x",
            "sub/.gitignore": "!keep.log\nlocal.py\n",
            "sub/keep.log": "x",
            "sub/drop.log": "x",
            "sub/local.py": "x",
            "sub/build/b.py": "x",
        },
    )
    items = {item.path: item for item in walk(tmp_path, SETTINGS)}
    ignored = {item.path: item.detail for item in items.values() if isinstance(item, Skipped)}
    assert ignored == {
        "a.log": "*.log in .gitignore",
        "build/": "/build/ in .gitignore",
        "sub/drop.log": "*.log in .gitignore",
        "sub/local.py": "local.py in sub/.gitignore",
    }
    assert {"sub/keep.log", "sub/build/b.py"} <= items.keys()


def test_rules_from_above_the_root(tmp_path: Path) -> None:
    """A subfolder of a repository keeps the repository's rules, `.git/info/exclude` included."""
    plant(
        tmp_path,
        {".git/info/exclude": "secret.txt\n", ".gitignore": "*.tmp\n/src/gen.py\n", "src/a.py": "x"}
        | dict.fromkeys(["src/b.tmp", "src/gen.py", "src/secret.txt", "src/sub/gen.py"], "x"),
    )
    assert read(tmp_path / "src") == {"a.py", "sub/gen.py"}
    assert read(tmp_path) == {".gitignore", "src/a.py", "src/sub/gen.py"}


def test_an_ignored_root_is_read(tmp_path: Path) -> None:
    """Who names an ignored folder wants it: the rules above it don't count, its own do."""
    plant(tmp_path, {".git/HEAD": "x", ".gitignore": "out/\n*.py\n", "out/sub/a.py": "x"})
    plant(tmp_path, {"out/sub/.gitignore": "b.*\n", "out/sub/b.txt": "x"})
    assert read(tmp_path / "out" / "sub") == {".gitignore", "a.py"}


def test_rules_git_would_pass_over(tmp_path: Path) -> None:
    """Patterns that don't compile, odd bytes and a folder named .gitignore do no harm."""
    plant(tmp_path, {"a.py": "x", "b.py": "x", "sub/.gitignore/c.py": "x"})
    (tmp_path / ".gitignore").write_bytes(b"\xef\xbb\xbfb.py\r\n!\n/\n\xff\xfe\n[z-a]\n\\\n")
    assert read(tmp_path) == {"a.py", "sub/.gitignore/c.py"}


_PARTS = st.sampled_from(["a", "b", "c", "ab", "x.py", "y.py"])
_GLOBS = st.sampled_from(["a", "b", "c", "*", "**", "*.py", "x.*", "?", "a*", "[ab]", "x.py", "!a", "[!a]"])
_PATTERN = st.builds(
    lambda bang, slash, parts, tail: bang + slash + "/".join(parts) + tail,
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "", "/"]),
    st.lists(_GLOBS, min_size=1, max_size=3),
    st.sampled_from(["", "", "/"]),
)
_RULES = st.lists(_PATTERN, max_size=5).map("\n".join)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is the judge")
@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(_PARTS, min_size=1, max_size=4), min_size=1, max_size=15),
    st.dictionaries(st.sampled_from(["", "a/", "b/", "a/b/"]), _RULES, max_size=3),
)
def test_the_same_files_as_git(paths: list[list[str]], rules: dict[str, str]) -> None:
    """The walk reads what `git ls-files --others --exclude-standard` lists."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for parts in paths:
            path = root.joinpath(*parts)
            if not path.exists() and not any(parent.is_file() for parent in path.parents):
                plant(root, {"/".join(parts): "text\n"})
        for folder, text in rules.items():
            if (root / folder).is_dir():
                plant(root, {f"{folder}.gitignore": text or "# none"})
        assert read(root) == listed_by_git(root)


def listed_by_git(root: Path) -> set[str]:
    quiet = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", "init", "-q", str(root)], check=True, env=quiet)
    listing = ["git", "-C", str(root), "ls-files", "--others", "--exclude-standard", "-z"]
    out = subprocess.run(listing, check=True, capture_output=True, env=quiet).stdout
    return set(out.decode().split("\0")) - {""}
