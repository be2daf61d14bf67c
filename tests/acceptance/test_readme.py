"""The files of docs/write-a-backend.md work, and docs/options.md lists every option."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from finished import WITHOUT_TOUR, Run

PROJECT = Path(__file__).resolve().parents[2]
OPTIONS = PROJECT / "docs/options.md"
PAGE = PROJECT / "docs/write-a-backend.md"
Suite = Callable[..., Run]


def file_of_the_page(name: str) -> str:
    found = re.search(rf"<!-- file: {re.escape(name)} -->\n```python\n(.*?)```\n", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found.group(1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a directory that contains the page's backend."""
    (tmp_path / "mine.py").write_text(file_of_the_page("mine.py"))
    return tmp_path


def test_the_small_backend_is_small() -> None:
    body = file_of_the_page("mine.py").partition("class Mine")[2]
    statements = [line for line in body.splitlines()[1:] if line.strip() and not line.strip().startswith("def ")]

    assert len(statements) <= 15


def test_missing_calls_of_the_small_backend_are_unsupported(suite: Suite, folder: Path) -> None:
    run = suite("--mmap-backend=python:mine:Mine", *WITHOUT_TOUR, folder=folder)

    assert set(run.verdicts.values()) == {"pass", "unsupported"}
    assert {"munmap.range", "munmap.errno.EINVAL", "paging.sysconf"} <= run.with_verdict("pass")
    assert "the backend has no open" in run.output


@pytest.mark.parametrize(
    ("right", "wrong", "clauses"),
    [
        (
            "self.memory.pop(at, None)",
            "pass",
            {
                *("munmap.range", "munmap.usual-arguments", "munmap.result", "munmap.errno.EINVAL.address"),
                *("paging.unit", "fault.unmapped"),
            },
        ),
        ("if addr % 4096 or not", "if not", {"munmap.errno.EINVAL.address"}),
        ("addr + length + -length % 4096)", "addr + length)", {"paging.unit"}),
        ("if name == SC_PAGESIZE else self.refuse", "if name else self.refuse", {"paging.sysconf.invalid"}),
    ],
    ids=["unmaps nothing", "unaligned address", "length not rounded", "any name"],
)
def test_a_planted_bug_fails_the_right_clauses(
    suite: Suite, folder: Path, right: str, wrong: str, clauses: set[str]
) -> None:
    source = (folder / "mine.py").read_text()
    assert right in source
    (folder / "mine.py").write_text(source.replace(right, wrong))

    run = suite("--mmap-backend=python:mine:Mine", "--mmap-level=linux", *WITHOUT_TOUR, folder=folder, check=False)

    assert run.status == 1
    assert run.with_verdict("fail") == clauses


def test_a_case_of_ones_own(suite: Suite, folder: Path) -> None:
    (folder / "test_mine.py").write_text(file_of_the_page("test_mine.py"))

    run = suite("--mmap-backend=reference", "test_mine.py", folder=folder)

    assert run.verdicts == {"mmap.refcount.close": "pass"}


def test_every_option_is_named_and_there_is_no_other(suite: Suite) -> None:
    named = set(re.findall(r"--mmap-[a-z-]+", OPTIONS.read_text()))
    known = set(re.findall(r"--mmap-[a-z-]+", suite("--mmap-backend=reference", "--help", check=False).output))

    assert named == known
