"""plugin.set_up_calls: an error of a call that no clause judges makes a case unresolved, and fails no clause."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest
from test_item_hooks import properties

from pytest_mmapconf.catalogue.clauses import load
from pytest_mmapconf.contract import Call, Fault, Process, System
from pytest_mmapconf.plugin.set_up_calls import ABOUT_FILES, JUDGED, SET_UP, failed_set_up
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.trace.recorder import RecordedBackend


class Full(Process):
    """A process on a full disk."""

    def ftruncate(self, fd: int, length: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    def mmap(self, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
        self.ftruncate(fd, length)
        return 0


def error_of(call: Callable[[], object]) -> Exception:
    with pytest.raises((OSError, Fault)) as caught:
        call()
    return caught.value


def test_error_of_a_call_that_no_clause_judges() -> None:
    assert failed_set_up(error_of(lambda: Full().ftruncate(3, 1)), ["munmap.range"]) == "ftruncate: ENOSPC"
    assert failed_set_up(error_of(Call(Full(), "ftruncate", (3, 1)).make), ["munmap.range"]) == "ftruncate: ENOSPC"


def test_error_of_a_call_that_clauses_judge() -> None:
    process = ReferenceBackend().boot().spawn()

    assert failed_set_up(error_of(lambda: process.munmap(1, 1)), ["munmap.range"]) is None
    assert failed_set_up(error_of(lambda: process.load(0, 1)), ["munmap.range"]) is None
    assert failed_set_up(error_of(lambda: Full().mmap(0, 1, 0, 0, 3, 0)), ["mmap.range"]) is None
    assert failed_set_up(OSError(errno.ENOSPC, "not from a call"), ["mmap.range"]) is None


def test_error_through_a_wrapper() -> None:
    process = RecordedBackend(ReferenceBackend()).boot().spawn()

    assert failed_set_up(error_of(lambda: process.ftruncate(99, 1)), ["munmap.range"]) == "ftruncate: EBADF"
    assert failed_set_up(error_of(lambda: process.munmap(1, 1)), ["munmap.range"]) is None


def test_clauses_about_files_judge_these_calls() -> None:
    assert set(load()) >= ABOUT_FILES
    for id in ABOUT_FILES:
        assert failed_set_up(error_of(lambda: Full().ftruncate(3, 1)), [id]) is None


def test_each_call_is_judged_or_of_the_set_up() -> None:
    assert all(hasattr(Process, name) for name in JUDGED)
    assert all(hasattr(Process, name) or hasattr(System, name) for name in SET_UP)


def test_case_with_a_failed_set_up_is_unresolved(
    judge: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(
        full="""
        import errno
        from subjects import *
        class Full(Good):
            def pread(self, fd, length, offset):
                raise OSError(errno.EIO, "worn out")
        """
    )

    judge("", "--mmap-backend=python:full:Full", "--junitxml=junit.xml", "-k", "content").stdout.fnmatch_lines(
        ["*file.content*set-up failed: pread: EIO*"]
    )

    verdicts = {id: verdict for id, (verdict, _clauses) in properties(pytester.path / "junit.xml").items()}
    assert verdicts == {"files.content": "unresolved", "files.content_written": "unresolved"}
