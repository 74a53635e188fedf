"""A workflow's own modules: its own though others have the same names, and new when they were edited."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.supervisors.workflow.modules import FOLDERS, Modules, imported

NAME = "own_module_of_a_test"


@pytest.fixture
def modules() -> Iterator[Modules]:
    """A process's modules, with nothing left behind."""
    path, before = list(sys.path), set(sys.modules)
    yield Modules()
    sys.path[:] = path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def folder(root: Path, says: object, name: str = NAME) -> tuple[str, ...]:
    """A folder with a module whose function gives back what is said."""
    root.mkdir(exist_ok=True, parents=True)
    (root / f"{name}.py").write_text(f"def work():\n    return {says!r}\n")
    return (str(root),)


def ask(modules: Modules, folders: tuple[str, ...], name: str = NAME) -> object:
    """What the workflow's function gives back now."""
    return modules.imported(f"{name}:work", folders)()


def test_two_workflows_have_each_their_own(modules: Modules, tmp_path: Path) -> None:
    """Modules of one name in two folders, used in turn."""
    one, two = folder(tmp_path / "one", 1), folder(tmp_path / "two", 2)
    assert [ask(modules, where) for where in (one, two, one, two)] == [1, 2, 1, 2]


def test_an_edited_module_is_new_to_the_next_job_only(modules: Modules, tmp_path: Path) -> None:
    """A job that runs keeps what it began with; the next one has what the file says then, also by way of others."""
    where = folder(tmp_path, "old")
    (tmp_path / "user_of_the_module.py").write_text(f"from {NAME} import work\n")
    assert ask(modules, where, "user_of_the_module") == "old"
    folder(tmp_path, "newer")
    assert ask(modules, where, "user_of_the_module") == "old"
    modules.look_again(where)
    assert ask(modules, where, "user_of_the_module") == ask(modules, where) == "newer"


def test_what_has_not_changed_is_not_imported_again(modules: Modules, tmp_path: Path) -> None:
    """A module's state lives as long as its file is as it was."""
    where = folder(tmp_path, 1)
    first = modules.imported(f"{NAME}:work", where)
    modules.look_again(where)
    assert modules.imported(f"{NAME}:work", where) is first


def test_a_module_that_was_mended_is_found(modules: Modules, tmp_path: Path) -> None:
    """One that could not be imported is tried again, by the same job, too."""
    (tmp_path / f"{NAME}.py").write_text("import no_such_module_at_all\n")
    with pytest.raises(ImportError):
        ask(modules, (str(tmp_path),))
    assert ask(modules, folder(tmp_path, 3)) == 3


def test_what_is_installed_is_never_imported_twice(modules: Modules, tmp_path: Path) -> None:
    """A package below the folder that was found by another way stays the same one to all."""
    site = tmp_path / "lib"
    folder(site, 1, "installed_below")
    sys.path.append(str(site))
    where = folder(tmp_path, 2)
    assert ask(modules, where, "installed_below") == 1
    installed = sys.modules["installed_below"]
    folder(tmp_path, "other")
    modules.look_again(where)
    assert ask(modules, where) == "other"
    assert ask(modules, (), "installed_below") == 1
    assert sys.modules["installed_below"] is installed


def test_a_package_is_a_workflows_own_as_a_whole(modules: Modules, tmp_path: Path) -> None:
    """Its parts go with it, also where the folder of the package has no `__init__`."""
    package = tmp_path / "own_package_of_a_test"
    where = (str(tmp_path),)
    folder(package, 1, "part")
    assert ask(modules, where, "own_package_of_a_test.part") == 1
    folder(package, "two", "part")
    modules.look_again(where)
    assert ask(modules, where, "own_package_of_a_test.part") == "two"


def test_the_folders_are_those_of_the_run(modules: Modules, tmp_path: Path) -> None:
    """Without a run the process's own modules are meant."""
    assert modules is not None
    where = folder(tmp_path, 7)
    token = FOLDERS.set(where)
    try:
        assert imported(f"{NAME}:work")() == 7
    finally:
        FOLDERS.reset(token)
    with pytest.raises(ImportError):
        imported(f"{NAME}:work")
    assert str(tmp_path) not in sys.path


@settings(max_examples=30)
@given(orders=st.lists(st.tuples(st.sampled_from(["edit", "job", "ask"]), st.integers(0, 2)), max_size=12))
def test_against_a_naive_reference(tmp_path_factory: pytest.TempPathFactory, orders: list[tuple[str, int]]) -> None:
    """Three workflows, edited, begun and asked in any order: each answers what its file said when its job began."""
    root, path = tmp_path_factory.mktemp("own"), list(sys.path)
    modules = Modules()
    wheres = [folder(root / str(number), f"{number}.") for number in range(3)]
    said = [f"{number}." for number in range(3)]
    meant: dict[int, str] = {}
    try:
        for order, number in orders:
            if order == "edit":
                said[number] += "x"  # another size: times of two writes may be the same
                folder(root / str(number), said[number])
            elif order == "job":
                modules.look_again(wheres[number])
                if meant.get(number) not in (None, said[number]):
                    del meant[number]
            else:
                assert ask(modules, wheres[number]) == meant.setdefault(number, said[number])
    finally:
        modules._use(())
        assert sys.path == path
        assert NAME not in sys.modules
