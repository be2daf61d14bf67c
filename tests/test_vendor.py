"""vendoring.vendor: the contents of a copy, the check of a copy, upgrades."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_mmapconf import __main__, version
from pytest_mmapconf.vendoring import vendor, verdict_changes

PROJECT = Path(__file__).parents[1]

ONE = {
    "__init__.py": "",
    "plugin.py": "one",
    "old/gone.py": "gone",
    "conformance/clauses.toml": '[[clause]]\nid = "map.size"\nlevel = "posix"\ntext = "Old."\n',
    "conformance/mapping.py": "def test_size(): pass",
}
TWO = {
    "__init__.py": "",
    "plugin.py": "two",
    "new/there.py": "new",
    "conformance/clauses.toml": '[[clause]]\nid = "map.size"\nlevel = "documented"\ntext = "Old."\n',
    "conformance/mapping.py": "def test_size(): pass",
}

Suite = Callable[[str, dict[str, str]], None]


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """Return a function `suite(version, files)` that replaces the running suite by one of these files."""

    def suite(version: str, files: dict[str, str]) -> None:
        folder = tmp_path / "suites" / version
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        monkeypatch.setattr(vendor, "package_files", lambda: {path: folder / path for path in files})
        monkeypatch.setattr(vendor, "suite_version", lambda: version)
        monkeypatch.setattr(verdict_changes, "current_case_ids", lambda: [f"mapping.size[{version}]"])

    return suite


@pytest.fixture
def copy(tmp_path: Path, suite: Suite, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the relative path of a copy of version 1 in a host project; the suite has version 2 afterwards."""
    host = tmp_path / "host"
    host.mkdir()
    monkeypatch.chdir(host)
    folder = Path("third_party/mm")
    suite("1", ONE)
    vendor.vendor(folder)
    suite("2", TWO)
    return folder


def content(folder: Path) -> dict[str, str]:
    """Return the files of a copy, without the manifest."""
    there = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}
    del there[version.MANIFEST]
    return there


# ------------------------------------------------------------------------------------------------ what a copy has


def test_copy_has_the_whole_package_and_the_licence() -> None:
    files = vendor.package_files()

    assert all(path.is_file() for path in files.values())
    for path in (
        "LICENSE",
        "plugin/__init__.py",
        "agent/mmap_agent.c",
        "agent/PROTOCOL.md",
        "trace/c_source.c.in",
        "py.typed",
    ):
        assert path in files
    for room in vendor.EXTERNAL_PACKAGES:
        there = {path.relative_to(PROJECT).as_posix() for path in (PROJECT / room).rglob("*.*") if path.is_file()}
        assert {path for path in there if not path.endswith(".pyc")} == {
            path for path in files if path.startswith(f"{room}/")
        }
    assert not [path for path in files if "__pycache__" in path or path.endswith(".pyc") or path == version.MANIFEST]


def test_no_run_of_the_project_collects_a_copy() -> None:
    names = [Path(path).name for path in vendor.package_files()]

    assert not [name for name in names if re.match(r"test_.*\.py$|.*_test\.py$|conftest\.py$|test.*\.txt$", name)]


def test_every_module_imports_relatively() -> None:
    absolute = re.compile(r"^\s*(from|import) pytest_mmapconf\b", re.MULTILINE)

    assert not [
        path
        for path, file in vendor.package_files().items()
        if file.suffix == ".py" and absolute.search(file.read_text("utf-8"))
    ]


def test_new_copy_is_complete(copy: Path) -> None:
    assert content(copy) == ONE
    assert vendor.check(copy) == (True, ["third_party/mm: pytest-mmapconf 1, 5 files, complete and unmodified"])
    manifest = json.loads((copy / version.MANIFEST).read_text())
    assert (manifest["version"], manifest["package"]) == ("1", "third_party.mm")
    assert manifest["cases"] == ["mapping.size[1]"]


# --------------------------------------------------------------------------------------------------------- --check


def test_check_names_each_modified_file(copy: Path) -> None:
    (copy / "plugin.py").write_text("mine")
    (copy / "old/gone.py").unlink()
    (copy / "conformance/more.py").touch()

    assert vendor.check(copy) == (
        False,
        [
            "third_party/mm: pytest-mmapconf 1, 5 files, modified",
            "changed: plugin.py",
            "extra: conformance/more.py",
            "missing: old/gone.py",
        ],
    )


def test_files_of_python_and_editors_are_no_modification(copy: Path) -> None:
    for name in ("__pycache__/plugin.cpython-313.pyc", "old.pyc", "old/plugin.py~", ".plugin.py.swp", ".cache/x"):
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).touch()

    assert vendor.check(copy)[0]


def test_the_exit_status_of_check(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["vendor", "--check", str(copy)]

    assert __main__.main(command) == 0
    assert "complete and unmodified" in capsys.readouterr().out
    (copy / "plugin.py").write_text("mine")
    assert __main__.main(command) == 1
    assert "changed: plugin.py" in capsys.readouterr().out
    (copy / version.MANIFEST).unlink()
    assert __main__.main(command) == 2
    assert "third_party/mm: not a copy of the suite (there is no vendored.json)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "manifest",
    [
        "{",
        "[]",
        '{"version": "1"}',
        '{"version": "1", "files": ["plugin.py"], "cases": []}',
        '{"version": "1", "files": {"plugin.py": 3}, "cases": []}',
        '{"version": "1", "files": {"../plugin.py": "0"}, "cases": []}',
        '{"version": "1", "files": {"/plugin.py": "0"}, "cases": []}',
        '{"version": "1", "files": {"": "0"}, "cases": []}',
    ],
)
def test_invalid_manifest(copy: Path, manifest: str) -> None:
    (copy / version.MANIFEST).write_text(manifest)

    for use in (vendor.check, vendor.vendor):
        with pytest.raises(
            vendor.VendorError, match=r"vendored\.json is not a valid manifest.*: restore it, or remove"
        ):
            use(copy)


# --------------------------------------------------------------------------------------------------------- upgrade


def test_an_upgrade(copy: Path) -> None:
    (copy / "old/__pycache__").mkdir()
    (copy / "notes.txt").write_text("the host's own")

    lines = vendor.vendor(copy)

    assert content(copy) == {**TWO, "notes.txt": "the host's own"}
    assert not (copy / "old").exists()
    assert lines[0] == "third_party/mm: pytest-mmapconf 1 -> 2: 1 files new, 2 changed, 1 removed"
    assert lines[1:10] == [
        "",
        "Changes that may affect verdicts:",
        "clauses, changed: 1",
        "  map.size",
        "      level: documented",
        "        was: posix",
        "cases, new: 1",
        "  mapping.size[2]",
        "cases, removed: 1",
    ]
    assert vendor.check(copy)[1][1:] == ["extra: notes.txt"]


def test_the_same_version_again_changes_nothing(copy: Path) -> None:
    vendor.vendor(copy)
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*") if path.name != version.MANIFEST}

    lines = vendor.vendor(copy)

    assert lines[:4] == [
        "third_party/mm: pytest-mmapconf 2: no change",
        "",
        "Changes that may affect verdicts:",
        "  nothing",
    ]
    assert {path: path.stat().st_mtime_ns for path in before} == before


def modify(copy: Path) -> list[str]:
    """Modify a copy in each way that an upgrade would undo; return the lines that report it."""
    (copy / "plugin.py").write_text("mine")
    (copy / "__init__.py").unlink()
    (copy / "old/gone.py").write_text("still needed")
    (copy / "new").mkdir()
    (copy / "new/there.py").write_text("mine as well")
    return ["  missing: __init__.py", "  extra: new/there.py", "  changed: old/gone.py", "  changed: plugin.py"]


def test_local_modifications_are_not_lost(copy: Path) -> None:
    modifications = modify(copy)
    before = content(copy)

    with pytest.raises(vendor.VendorError) as caught:
        vendor.vendor(copy)

    assert str(caught.value).splitlines()[:-1] == [
        "third_party/mm: has local modifications, which would be lost:",
        *modifications,
    ]
    assert "--force" in str(caught.value).splitlines()[-1]
    assert content(copy) == before
    assert json.loads((copy / version.MANIFEST).read_text())["version"] == "1"


def test_force_overwrites_local_modifications(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    modify(copy)

    assert __main__.main(["vendor", str(copy)]) == 2
    assert __main__.main(["vendor", str(copy), "--force"]) == 0

    assert content(copy) == TWO
    assert vendor.check(copy)[0]


@pytest.mark.parametrize("done", range(4))
def test_an_upgrade_that_was_interrupted_goes_on(copy: Path, monkeypatch: pytest.MonkeyPatch, done: int) -> None:
    write = vendor._write
    wrote: list[Path] = []

    def stopping(path: Path, content: bytes) -> None:
        if len(wrote) == done:
            raise OSError("no space left")
        wrote.append(path)
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(vendor, "_write", stopping)
        with pytest.raises(OSError, match="no space left"):
            vendor.vendor(copy)
    assert len(wrote) == done

    vendor.vendor(copy)

    assert content(copy) == TWO


# --------------------------------------------------------------------------------------------------- what it refuses


def test_directory_of_the_project_is_not_touched(suite: Suite, tmp_path: Path) -> None:
    suite("1", ONE)
    (tmp_path / "code").mkdir()
    (tmp_path / "code/plugin.py").write_text("mine")

    with pytest.raises(vendor.VendorError, match="is neither empty nor a copy of the suite"):
        vendor.vendor(tmp_path / "code", force=True)

    assert (tmp_path / "code/plugin.py").read_text() == "mine"


def test_empty_directory_is_accepted(suite: Suite, tmp_path: Path) -> None:
    suite("1", ONE)
    (tmp_path / "mm").mkdir()

    vendor.vendor(tmp_path / "mm")

    assert vendor.check(tmp_path / "mm")[0]


@pytest.mark.parametrize("inside", ["", "deeper/down", ".."], ids=["itself", "inside", "around"])
def test_a_copy_does_not_write_over_itself(copy: Path, monkeypatch: pytest.MonkeyPatch, inside: str) -> None:
    """Otherwise the manifest would record a modified file as original."""
    monkeypatch.setattr(vendor, "HERE", copy.absolute())

    with pytest.raises(vendor.VendorError, match="upgrade a copy from the installed suite"):
        vendor.vendor(Path(os.path.normpath(copy / inside)))


def test_a_modified_copy_is_not_copied_further(copy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(vendor, "HERE", copy.absolute())
    (copy / "plugin.py").write_text("mine")

    with pytest.raises(vendor.VendorError, match=r"is itself a copy, and modified:\nchanged: plugin\.py"):
        vendor.vendor(tmp_path / "further")


def test_impossible_destination(suite: Suite, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite("1", ONE)
    (tmp_path / "file").touch()

    for place in ("file", "file/mm"):
        assert __main__.main(["vendor", str(tmp_path / place)]) == 2
        assert "Not a directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("folder", "name", "package"),
    [
        ("mm", None, "mm"),
        ("third_party/mm", None, "third_party.mm"),
        ("third party/libs/mm", None, "libs.mm"),
        ("src/host/mm", "host.mm", "host.mm"),
        ("../mm", None, "mm"),
    ],
)
def test_import_name_of_a_copy(folder: str, name: str | None, package: str) -> None:
    assert vendor.name_of(Path(folder), name) == package


@pytest.mark.parametrize(
    ("folder", "name", "message"),
    [
        (
            "third-party/mm-conf",
            None,
            "a package cannot be called 'mm-conf'; give the directory a name such as mmapconf",
        ),
        ("import", None, "a package cannot be called 'import'"),
        ("mm", "host-mm", "--name=host-mm: must be names with dots between"),
        ("src/mm", "host.mm", "--name=host.mm: must be the end of the directory's path, src/mm"),
    ],
)
def test_invalid_import_names(folder: str, name: str | None, message: str) -> None:
    with pytest.raises(vendor.VendorError, match=re.escape(message)):
        vendor.name_of(Path(folder), name)


@pytest.mark.parametrize(
    ("folder", "name", "command"),
    [
        ("tools/mm", None, "  python -m pytest -p tools.mm.plugin --mmap-backend=reference"),
        ("my libs/mm", None, "  PYTHONPATH='my libs' python -m pytest -p mm.plugin --mmap-backend=reference"),
        ("src/host/mm", "host.mm", "  PYTHONPATH=src python -m pytest -p host.mm.plugin --mmap-backend=reference"),
    ],
)
def test_usage_is_described(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, name: str | None, command: str
) -> None:
    suite("1", ONE)
    monkeypatch.chdir(tmp_path)

    assert vendor.vendor(Path(folder), name)[-2:] == ["To judge with it:", command]
