"""The documented API, judged on the reference and on this kernel, from the wheel and an empty directory."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from finished import ORDINARY_USER, WITHOUT_TOUR, Run

MUST_NOT_BE_MISSED = 60
"""Least number of documented clauses: fewer mean that the catalogue was cut."""

as_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root")
with_compiler = pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")

Suite = Callable[..., Run]


def test_the_wheel_has_one_package_and_all_that_belongs_to_it(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"pytest_mmapconf"}
    for needed in ("py.typed", "agent/mmap_agent.c", "agent/PROTOCOL.md", "conformance/clauses.toml"):
        assert f"pytest_mmapconf/{needed}" in names
    sources = Path(__file__).resolve().parents[2]
    for room in ("conformance", "reference"):
        expected = {f"pytest_mmapconf/{room}/{path.name}" for path in (sources / room).glob("*.py")}
        assert expected <= set(names)


def test_the_reference_has_every_documented_clause(suite_once: Suite) -> None:
    run = suite_once("--mmap-backend=reference")

    assert f"conforms to level documented: {len(run.verdicts)} pass" in run.output
    assert set(run.verdicts.values()) == {"pass"}
    assert len(run.verdicts) >= MUST_NOT_BE_MISSED


def test_the_reference_has_every_clause_of_every_level(suite_once: Suite) -> None:
    run = suite_once("--mmap-backend=reference", "--mmap-level=linux", *WITHOUT_TOUR)

    assert set(run.verdicts.values()) == {"pass"}
    assert set(run.case_verdicts.values()) == {"pass"}


@pytest.mark.parametrize(
    ("backend", "part", "arguments"),
    [
        ("reference", "m*map.errno.*", ("-n", "2")),
        ("reference", "mremap.*", ("-n", "2", "--dist", "worksteal")),
        ("reference", "munmap.*", ("-p", "no:xdist")),
        pytest.param("native", "munmap.*", ("-n", "2"), marks=with_compiler),
    ],
    ids=["reference-n2", "reference-worksteal", "reference-no-xdist", "native-n2"],
)
def test_the_same_verdicts_however_it_is_run(suite: Suite, backend: str, part: str, arguments: tuple[str, ...]) -> None:
    """A part of the cases, as only the way to run them differs."""
    selection = f"--mmap-backend={backend}", "--mmap-level=linux", f"--mmap-clause={part}", *WITHOUT_TOUR
    alone = suite(*selection)
    other = suite(*selection, *arguments)

    assert len(other.case_verdicts) > 50
    assert other.case_verdicts == alone.case_verdicts
    assert other.verdicts == alone.verdicts


def machine_state(folder: str) -> set[str]:
    """Return everything that a run with its files in `folder` may leave on a machine."""
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    loops = [path.name for path in Path("/sys/block").glob("loop*") if (path / "loop/backing_file").exists()]
    agents = [line for line in processes.splitlines() if "mmap_agent" in line and folder in line]
    return {*agents, *Path("/proc/self/mounts").read_text().splitlines(), *loops}


def assert_same_state(folder: str, before: set[str]) -> None:
    """Require that nothing new stays; mounts and loop devices of tests that run at the same time disappear again."""
    left = machine_state(folder) - before
    deadline = time.monotonic() + 30
    while left and time.monotonic() < deadline:
        time.sleep(0.2)
        left &= machine_state(folder)
    assert not left


@with_compiler
@as_root
@pytest.mark.parametrize("place", ["/tmp", "/dev/shm"], ids=["tmp", "tmpfs"])
def test_this_kernel_as_root(suite: Suite, place: str) -> None:
    """Only what this kernel cannot have, or what was not allowed, is unsupported; nothing is left on the machine."""
    with TemporaryDirectory(dir=place) as folder:
        before = machine_state(folder)
        run = suite("--mmap-backend=native", f"--mmap-dir={folder}", *WITHOUT_TOUR)
        assert os.listdir(folder) == []
        assert_same_state(folder, before)

    assert set(run.verdicts.values()) == {"pass", "unsupported"}
    assert run.with_verdict("unsupported") <= {"mmap.errno.EAGAIN", "mmap.errno.ENFILE"}
    assert len(run.verdicts) >= MUST_NOT_BE_MISSED


@with_compiler
@as_root
def test_a_full_file_table_is_asked_only_when_allowed(suite: Suite) -> None:
    limit = Path("/proc/sys/fs/file-max")
    before = limit.read_text()

    run = suite("--mmap-backend=native", "--mmap-clause=mmap.errno.ENFILE", "--mmap-disruptive")

    assert run.verdicts == {"mmap.errno.ENFILE": "pass"}
    assert limit.read_text() == before


@with_compiler
@as_root
def test_this_kernel_as_an_ordinary_user(suite: Suite) -> None:
    run = suite("--mmap-backend=native", "--mmap-level=linux", *WITHOUT_TOUR, user=ORDINARY_USER)

    assert set(run.verdicts.values()) == {"pass", "unsupported"}
    assert "mmap.errno.ENOMEM" in run.with_verdict("pass")
    reasons = {clause["id"]: clause["reason"] for clause in run.report["clauses"]}
    assert all(reasons[clause] for clause in run.with_verdict("unsupported"))
