"""plugin.failure_cause: the call that caused a failure, and what it answered."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from pytest_mmapconf.contract import (
    MADV_DONTNEED,
    MAP_ANONYMOUS,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_MAYMOVE,
    O_CREAT,
    O_RDWR,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    Died,
    Process,
    Unresolved,
)
from pytest_mmapconf.differential.lockstep import LockstepBackend, LockstepSystem
from pytest_mmapconf.plugin.failure_cause import failure_cause
from pytest_mmapconf.reference import mutant
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.linux_choices import LinuxChoices
from pytest_mmapconf.reference.machine import Parameters
from pytest_mmapconf.reference.observed_choices import ObservedChoices
from pytest_mmapconf.reference.process import ReferenceProcess
from pytest_mmapconf.reference.system import ReferenceSystem
from pytest_mmapconf.testing import fails, faults
from pytest_mmapconf.trace.recorder import RecordedSystem

RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS


class DyingProcess(ReferenceProcess):
    def munmap(self, addr: int, length: int) -> None:
        raise Unresolved("the process ended by itself")


class DyingSystem(ReferenceSystem):
    process_type = DyingProcess


def refused(process: Process, base: int) -> None:
    process.mmap(base, 4096, 8, ANONYMOUS, -1, 1)


def refused_otherwise(process: Process, base: int) -> None:
    with fails("ENOSYS"):
        process.munmap(base, 0)


def succeeds(process: Process, base: int) -> None:
    with fails("EINVAL", "ENOMEM"):
        process.munmap(base, 4096)


def another_address(process: Process, base: int) -> None:
    assert process.mremap(base, 4096, 8192, MREMAP_MAYMOVE) == base + 1


def other_bytes(process: Process, base: int) -> None:
    process.store(base, b"kept")
    process.madvise(base, 4096, MADV_DONTNEED)
    assert process.load(base, 4) == b"kept"


def no_fault(process: Process, base: int) -> None:
    process.mprotect(base, 4096, PROT_READ)
    with faults("SIGSEGV", at=base):
        process.load(base, 1)


def another_fault(process: Process, base: int) -> None:
    process.mprotect(base, 4096, PROT_NONE)
    with faults("SIGBUS"):
        process.load(base, 1)


def fault(process: Process, base: int) -> None:
    process.munmap(base, 4096)
    process.store(base, b"x")


def wrong_state(process: Process, base: int) -> None:
    process.store(base, b"x")
    process.mlock(base, 4096)
    assert process.mincore(base, 4096) == [False]


def compared_errno(process: Process, base: int) -> None:
    with pytest.raises(OSError, match="Invalid argument") as caught:
        process.munmap(base, 0)
    assert caught.value.errno == errno.ENOSYS


def nothing_compared(process: Process, base: int) -> None:
    process.munmap(base, 4096)
    raise AssertionError("a later check")


def cleans_up(process: Process, base: int) -> None:
    try:
        process.munmap(base, 0)
    finally:
        process.munmap(base, 4096)


CAUSES: dict[Callable[[Process, int], None], tuple[str, str, str | None, str | None]] = {
    refused: ("mmap", "EINVAL", "success", None),
    refused_otherwise: ("munmap", "EINVAL", "ENOSYS", None),
    succeeds: ("munmap", "success", "EINVAL or ENOMEM", None),
    another_address: ("mremap", "another address", None, None),
    other_bytes: ("madvise", "wrong effect", None, "load → other bytes"),
    no_fault: ("mprotect", "wrong effect", None, "load → success"),
    another_fault: ("mprotect", "wrong effect", None, "load → SIGSEGV"),
    fault: ("munmap", "wrong effect", None, "store → SIGSEGV"),
    wrong_state: ("mlock", "wrong effect", None, "mincore → another value"),
    compared_errno: ("munmap", "EINVAL", None, None),
    nothing_compared: ("munmap", "wrong effect", None, None),
    cleans_up: ("munmap", "EINVAL", "success", None),
}


def cause_of(case: Callable[[Process, int], None], system: RecordedSystem) -> dict[str, str]:
    """Return the cause of a case that fails on a system."""
    process = system.spawn()
    base = process.mmap(0, 4096, RW, ANONYMOUS, -1, 0)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each case has its own
        case(process, base)
    return failure_cause(caught.value, system)


@pytest.mark.parametrize("symbols", [False, True], ids=["plain", "symbols"])
@pytest.mark.parametrize("case", CAUSES, ids=lambda case: case.__name__)
def test_cause(case: Callable[[Process, int], None], symbols: bool) -> None:
    cause = cause_of(case, RecordedSystem(ReferenceBackend().boot(), symbols))

    assert (cause["call"], cause["answer"], cause.get("instead of"), cause.get("shown by")) == CAUSES[case]
    assert f"p1.{cause['call']}(" in cause["step"]


def test_call_without_an_answer() -> None:
    system = RecordedSystem(DyingSystem(Parameters(), LinuxChoices()))

    cause = cause_of(succeeds, system)

    assert cause == {"call": "munmap", "answer": "no answer", "step": "p1.munmap(r1, 4096)"}


class CrashingSystem(ReferenceSystem):
    class process_type(ReferenceProcess):
        def store(self, addr: int, data: bytes) -> None:
            raise Died("the process ended by itself (127)", "a line\nAssertion failed", last_words="Assertion failed")


@pytest.mark.parametrize("is_judged_by_lockstep", [False, True])
def test_last_words(is_judged_by_lockstep: bool) -> None:
    """An access that has no answer is itself the cause, not an effect of the call before it."""
    system = CrashingSystem(Parameters(), LinuxChoices())
    pair = LockstepSystem(system, ReferenceSystem(Parameters(), ObservedChoices("linux")), "none")

    cause = cause_of(fault, RecordedSystem(pair if is_judged_by_lockstep else system))

    assert "store(" in cause.pop("step")
    assert cause == {"call": "store", "answer": "no answer", "last words": "Assertion failed"}


def test_no_call_is_known() -> None:
    assert failure_cause(AssertionError("x"), None) == {}
    assert failure_cause(AssertionError("x"), RecordedSystem(ReferenceBackend().boot())) == {}
    system = RecordedSystem(ReferenceBackend().boot())
    system.spawn().mmap(0, 4096, RW, ANONYMOUS, -1, 0)
    assert failure_cause(Unresolved("the agent is gone"), system) == {}
    assert failure_cause(AssertionError("the time limit"), system, is_judged=False) == {}


@pytest.mark.parametrize(
    ("name", "case", "expected"),
    [
        ("munmap-takes-length-0", refused_otherwise, ("munmap", "success", "EINVAL", None)),
        ("closing-drops-the-mapping", None, ("close", "wrong effect", None, "load → SIGSEGV")),
    ],
)
def test_difference_from_the_reference(
    name: str, case: Callable[[Process, int], None] | None, expected: tuple[str | None, ...]
) -> None:
    def closes(process: Process, base: int) -> None:
        fd = process.open("file-1", O_RDWR | O_CREAT)
        process.pwrite(fd, b"x" * 4096, 0)
        process.load(process.mmap(0, 4096, RW, MAP_SHARED, fd, 0), 1)
        process.close(fd)

    backend = LockstepBackend(mutant.load()[name].boot(), "linux")

    cause = cause_of(case or closes, RecordedSystem(backend.boot()))

    assert (cause["call"], cause["answer"], cause.get("instead of"), cause.get("shown by")) == expected


def test_the_close_of_a_file_that_was_read_is_not_the_cause() -> None:
    """The case compares what it has read after it has closed the file."""

    def reads(process: Process, base: int) -> None:
        fd = process.open("file-1", O_RDWR | O_CREAT)
        process.pwrite(fd, b"old", 0)
        addr = process.mmap(0, 4096, RW, MAP_SHARED, fd, 0)
        process.store(addr, b"new")
        process.munmap(addr, 4096)
        content = process.pread(fd, 3, 0)
        process.close(fd)
        assert content == b"new"

    backend = mutant.load()["munmap-loses-shared-stores"].boot()

    cause = cause_of(reads, RecordedSystem(backend.boot()))

    assert (cause["call"], cause["answer"], cause["shown by"]) == ("munmap", "wrong effect", "pread → other bytes")
