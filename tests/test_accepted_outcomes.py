"""differential.accepted_outcomes: what the judge accepts of a step, found by asking it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from pytest_mmapconf.contract import (
    MADV_DONTNEED,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_MAYMOVE,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    Fault,
    Process,
)
from pytest_mmapconf.differential.accepted_outcomes import accepted_outcomes
from pytest_mmapconf.differential.reproducers import Judge
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.trace.program import Allowed, Fails, Faults, Program, Returns, Sum
from pytest_mmapconf.trace.recorder import RecordedSystem
from pytest_mmapconf.trace.replay import replay

RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS


def two_errors(process: Process, base: int) -> None:
    process.mmap(base + 1, 4096, PROT_READ, MAP_SHARED | MAP_FIXED, -1, 0)


def same_size(process: Process, base: int) -> None:
    process.mremap(base, 8192, 8192, MREMAP_MAYMOVE)


def growth(process: Process, base: int) -> None:
    process.mremap(base, 8192, 16384, MREMAP_MAYMOVE)


def inaccessible(process: Process, base: int) -> None:
    process.mprotect(base, 4096, PROT_NONE)
    process.load(base, 1)


def advice(process: Process, base: int) -> None:
    process.madvise(base, 4096, MADV_DONTNEED)


def hole(process: Process, base: int) -> None:
    process.mincore(base + (1 << 30), 4096)


def program_of(case: Callable[[Process, int], None]) -> Program:
    """Return the program that a case makes, on the reference."""
    system = RecordedSystem(ReferenceBackend().boot())
    process = system.spawn()
    base = process.mmap(0, 8192, RW, ANONYMOUS, -1, 0)
    with suppress(OSError, Fault):
        case(process, base)
    return system.program()[0]


def accepted(case: Callable[[Process, int], None], level: str) -> Allowed:
    program = program_of(case)
    answer = replay(program, ReferenceBackend().boot())[-1]
    return accepted_outcomes(program, answer, Judge(ReferenceBackend(), level).boot_references)


def test_the_order_of_errors_is_judged_at_level_linux() -> None:
    assert accepted(two_errors, "linux") == {Fails("EBADF")}
    assert {Fails("EBADF"), Fails("EINVAL")} <= set(accepted(two_errors, "posix"))


@pytest.mark.parametrize("level", ["documented", "linux"])
def test_an_address_that_the_judge_demands(level: str) -> None:
    assert accepted(same_size, level) == {Returns(Sum("r1"))}


def test_an_address_of_the_system_s_choice() -> None:
    assert accepted(growth, "linux") == {Returns(Sum("r2"))}


def test_parts_of_a_fault() -> None:
    assert accepted(inaccessible, "linux") == {Faults("SIGSEGV", "SEGV_ACCERR", Sum("r1"))}
    (fault,) = accepted(inaccessible, "documented")
    assert isinstance(fault, Faults)
    assert (fault.signal, fault.code) == ("SIGSEGV", None)


def test_errors_of_the_environment() -> None:
    outcomes = accepted(advice, "linux")

    assert Returns(None) in outcomes
    assert Fails("ENOSYS") in outcomes
    assert Fails("EINVAL") not in outcomes


def test_states_that_are_not_judged_may_still_be_refused() -> None:
    assert accepted(hole, "linux") == {Fails("ENOMEM")}
