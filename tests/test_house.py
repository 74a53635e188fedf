"""Rules of the house that no linter knows."""

import ast
import importlib
import socket
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("protocols", "actors", "supervisors", "cluster")
CORES = {
    "agreement.py",
    "failing.py",
    "memo.py",
    "money.py",
    "names.py",
    "templates.py",
    "core.py",
    "keys.py",
    "known.py",
    "log.py",
    "nodes.py",
    "parking.py",
    "unmerged.py",
    "untaken.py",
    "savings.py",
    "recent.py",
    "limiter.py",
    "window.py",
    "breaker.py",
    "latency.py",
    "fairness.py",
    "lease.py",
    "policy.py",
    "outbox.py",
    "hedging.py",
    "fitting.py",
    "cutting.py",
    "answers.py",
    "check.py",
    "check_ignored.py",
    "check_names.py",
    "check_shape.py",
    "check_uses.py",
    "checking.py",
    "flaw.py",
    "repairing.py",
    "stitching.py",
    "shaping.py",
    "restart.py",
    "queue.py",
    "rows.py",
    "paired.py",
    "binomial.py",
    "forecast.py",
    "plan.py",
    "plan_calls.py",
    "plan_guess.py",
    "plan_laws.py",
    "plan_load.py",
    "plan_many.py",
    "plan_maps.py",
    "plan_scope.py",
    "plan_step.py",
    "probe.py",
    "learning.py",
    "growing.py",
    "holders.py",
    "news.py",
    "calibration.py",
    "budgets.py",
    "book.py",
    "paper.py",
    "recalling.py",
    "restoring.py",
    "asking.py",
    "balance.py",
    "chooser.py",
    "classify.py",
    "explain.py",
    "lexicon.py",
    "literal.py",
    "pii.py",
    "reading.py",
    "rules.py",
    "selection.py",
    "semantic.py",
    "used.py",
    "view.py",
}
RUNTIME = {"ray", "asyncio", "time", "threading", "socket", "aiohttp", "httpx", "structlog", "secrets"}


def cores() -> list[Path]:
    folders = [ROOT / name for name in PACKAGES]
    files = [path for folder in folders for path in folder.rglob("*.py") if path.name in CORES]
    return sorted({*files, *(ROOT / "protocols").rglob("*.py")})


def imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(module, name) of each absolute import; the name is empty for `import module`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((node.module or "", alias.name) for alias in node.names)


def test_every_test_says_what_it_shows() -> None:
    """Each test function has a docstring: the sentence that is false when it fails."""
    silent = [
        f"{path.name}:{node.lineno} {node.name}"
        for path in sorted((ROOT / "tests").glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if node.name.startswith("test_") and not ast.get_docstring(node)
    ]
    assert silent == []


def test_every_package_is_listed() -> None:
    """A subpackage missing from pyproject.toml works in an editable install and is missing in the wheel."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = [path.parent.relative_to(ROOT) for top in PACKAGES for path in (ROOT / top).rglob("__init__.py")]
    assert sorted(listed) == sorted(["understudy", *(".".join(["understudy", *path.parts]) for path in found)])


def test_every_folder_with_code_is_a_package() -> None:
    """A folder without `__init__.py` would become a namespace package that no list and no checker sees."""
    folders = {path.parent for top in PACKAGES for path in (ROOT / top).rglob("*.py")}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize("path", cores(), ids=lambda path: str(path.relative_to(ROOT)))
def test_cores_have_no_runtime(path: Path) -> None:
    """A core is told the time and its randomness; it imports no loop, no clock, no actor runtime and no client."""
    names = list(imported(ast.parse(path.read_text())))
    assert [module for module, _ in names if module.partition(".")[0] in RUNTIME] == []
    assert [name for module, name in names if module == "random" and name not in {"", "Random"}] == []


@pytest.mark.parametrize("path", cores(), ids=lambda path: str(path.relative_to(ROOT)))
def test_cores_use_of_random_only_the_injected_kind(path: Path) -> None:
    """Of the module `random` a core names the type `Random` and nothing else."""
    used = {
        node.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "random"
    }
    assert used <= {"Random"}


def test_a_unit_test_can_not_connect() -> None:
    """The guard of the network stands, also for the loopback interface."""
    with socket.socket() as sock, pytest.raises(AssertionError, match="connects to 127"):
        sock.connect(("127.0.0.1", 9))


def test_a_unit_test_can_not_start_ray() -> None:
    """The guard of Ray stands, whether or not Ray is imported already."""
    ray = sys.modules.get("ray")
    with pytest.raises(AssertionError, match="Ray"):
        importlib.import_module("ray") if ray is None else ray.init()
