"""Test pages with PROT_EXEC alone, on machines that cannot load them and on those that can.

Each test runs on references with protection keys and with page tables, and in lockstep with the kernel of the test
machine, whatever its processor supports.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from execute_only import Keys, Tables

from pytest_mmapconf.agent.backend import NativeBackend
from pytest_mmapconf.contract import (
    MADV_POPULATE_READ,
    MADV_POPULATE_WRITE,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_GROWSDOWN,
    MAP_LOCKED,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MCL_CURRENT,
    MCL_FUTURE,
    MLOCK_ONFAULT,
    MREMAP_DONTUNMAP,
    MREMAP_MAYMOVE,
    MS_INVALIDATE,
    O_CREAT,
    O_RDWR,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    Fault,
    Process,
)
from pytest_mmapconf.differential.lockstep import LockstepBackend
from pytest_mmapconf.differential.parameters import measure_parameters
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.constants import PROT_ALL, PROT_GROWSDOWN, PROT_SEM
from pytest_mmapconf.testing import fails

PAGE = 4096
RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS
MEANINGLESS = 0x10
MACHINES = {"keys": Keys, "tables": Tables, "usual": ReferenceBackend, "native": NativeBackend}


class MachineUnderTest:
    """A machine under test: one process, and the properties of pages with PROT_EXEC alone."""

    def __init__(self, backend: LockstepBackend) -> None:
        system = backend.boot()
        parameters = system.machine.parameters
        self.code = parameters.execute_only
        self.loads = not self.code
        self.keys = self.code == "SEGV_PKUERR"
        self.populates = self.loads or parameters.populates_execute_only
        self.system = system
        self.process: Process = system.spawn()

    def check_load(self, addr: int, loads: bool, process: Process | None = None) -> None:
        """Check that a page can be loaded, or that the load faults with the machine's code."""
        process = process or self.process
        if loads:
            process.load(addr, 1)
            return
        with pytest.raises(Fault) as refused:
            process.load(addr, 1)
        assert (refused.value.signal, refused.value.code, refused.value.address) == ("SIGSEGV", self.code, addr)

    def check_lock(self, addr: int, locks: bool, pages: int = 1) -> None:
        """Check that pages can be locked, or that mlock fails with ENOMEM."""
        check_errno("ENOMEM", not locks, lambda: self.process.mlock(addr, pages * PAGE))

    def map(self, prot: int = PROT_EXEC, flags: int = ANONYMOUS, pages: int = 1, fd: int = -1) -> int:
        return self.process.mmap(0, pages * PAGE, prot, flags, fd, 0)


def check_errno(errno: str, refused: bool, call: Callable[[], object]) -> None:
    """Check that a call fails with `errno` if it must be refused, and succeeds otherwise."""
    with fails(errno) if refused else nullcontext():
        call()


@pytest.fixture(scope="module", params=MACHINES)
def backend(request: pytest.FixtureRequest) -> Iterator[LockstepBackend]:
    """Provide a backend whose experiment with execute-only pages is made once."""
    backend = LockstepBackend(MACHINES[request.param](), "linux")
    yield backend
    backend.close()


@pytest.fixture
def machine(backend: LockstepBackend) -> Iterator[MachineUnderTest]:
    under_test = MachineUnderTest(backend)
    try:
        yield under_test
        assert under_test.system.uncompared is None
    finally:
        under_test.system.close()


def code_file(process: Process) -> int:
    fd = process.open("code", O_RDWR | O_CREAT)
    process.pwrite(fd, process.return_instruction().ljust(PAGE, b"a"), 0)
    return fd


def test_parameters_of_the_machines() -> None:
    backends = Keys(), Tables(), ReferenceBackend()
    parameters = [(backend.parameters.execute_only, backend.parameters.populates_execute_only) for backend in backends]
    assert parameters == [("SEGV_PKUERR", False), ("SEGV_ACCERR", True), ("", False)]
    assert [measure_parameters(backend) for backend in backends] == [
        replace(backend.parameters, end=backend.parameters.task_size) for backend in backends
    ]


@pytest.mark.parametrize("kind", [MAP_PRIVATE, MAP_SHARED])
@pytest.mark.parametrize("file", [False, True])
def test_a_page_can_be_executed_but_not_loaded(machine: MachineUnderTest, kind: int, file: bool) -> None:
    process = machine.process
    fd = code_file(process)
    base = machine.map(PROT_EXEC, kind if file else kind | MAP_ANONYMOUS, 1, fd if file else -1)

    machine.check_load(base, machine.loads)
    if file:
        process.execute(base)
        machine.check_load(base, machine.loads)


def test_a_store_is_refused_with_the_same_code(machine: MachineUnderTest) -> None:
    base = machine.map()
    with pytest.raises(Fault) as refused:
        machine.process.store(base + 3, b"x")
    assert (refused.value.code, refused.value.address) == (machine.code or "SEGV_ACCERR", base + 3)

    readable = machine.map(PROT_READ)
    with pytest.raises(Fault, match="SEGV_ACCERR"):
        machine.process.store(readable, b"x")


def test_protection_is_checked_before_the_end_of_the_file(machine: MachineUnderTest) -> None:
    base = machine.map(PROT_EXEC, MAP_SHARED, 2, code_file(machine.process))
    with pytest.raises(Fault) as refused:
        machine.process.load(base + PAGE, 1)
    assert refused.value.code == (machine.code or "BUS_ADRERR")
    with pytest.raises(Fault, match="BUS_ADRERR"):
        machine.process.execute(base + PAGE)


@pytest.mark.parametrize("prot", range(8))
@pytest.mark.parametrize("more", [0, PROT_SEM, MEANINGLESS])
def test_only_pages_with_no_other_protection_are_execute_only(machine: MachineUnderTest, prot: int, more: int) -> None:
    """Any other bit, even one without a meaning, keeps Linux from assigning a protection key."""
    alone = prot == PROT_EXEC and not (machine.keys and more)
    if prot:
        machine.check_load(machine.map(prot | more), machine.loads or not alone)
    machine.check_lock(machine.map(prot | more), prot != PROT_NONE and (machine.populates or not alone))


@pytest.mark.parametrize("before", [PROT_NONE, RW, PROT_EXEC | PROT_SEM])
@pytest.mark.parametrize("after", [PROT_READ, RW | PROT_EXEC, PROT_EXEC | PROT_SEM])
def test_mprotect_sets_and_clears_execute_only(machine: MachineUnderTest, before: int, after: int) -> None:
    process = machine.process
    base = machine.map(before)
    if before == RW:
        process.store(base, b"here")
    process.mprotect(base, PAGE, PROT_EXEC)
    machine.check_load(base, machine.loads)
    machine.check_lock(base, machine.populates)
    process.mprotect(base, PAGE, after)
    ended = machine.keys or after & PROT_ALL != PROT_EXEC
    machine.check_load(base, machine.loads or ended)
    machine.check_lock(base, machine.populates or ended)
    if machine.loads or ended:
        assert process.load(base, 4) == (b"here" if before == RW else bytes(4))


def test_a_resident_page_cannot_be_loaded_either(machine: MachineUnderTest) -> None:
    process = machine.process
    base = machine.map(RW)
    process.store(base, b"x")
    process.mprotect(base, PAGE, PROT_EXEC)

    assert process.mincore(base, PAGE) == [True]
    machine.check_load(base, machine.loads)
    machine.check_lock(base, machine.populates)
    fd = code_file(process)
    check_errno("EFAULT", not machine.loads, lambda: process.write_from(fd, base, 1, 0))


def test_a_mapping_that_grows_down(machine: MachineUnderTest) -> None:
    process = machine.process
    top = process.scratch_range()[0] + 1024 * PAGE
    process.mmap(top, PAGE, PROT_EXEC, ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0)
    machine.check_load(top - 1, machine.loads)
    process.mprotect(top, PAGE, PROT_READ | PROT_GROWSDOWN)
    machine.check_load(top - PAGE, True)
    process.mprotect(top, PAGE, PROT_EXEC | PROT_GROWSDOWN)
    machine.check_load(top - PAGE, machine.loads)


# ----------------------------------------------------------------------------------------------------------- populating


@pytest.mark.parametrize("kind", [MAP_PRIVATE, MAP_SHARED])
@pytest.mark.parametrize("flag", [MAP_LOCKED, MAP_POPULATE])
def test_mmap_populates_where_the_kernel_can(machine: MachineUnderTest, kind: int, flag: int) -> None:
    process = machine.process
    base = machine.map(PROT_EXEC, kind | MAP_ANONYMOUS | flag, 2)
    assert process.mincore(base, 2 * PAGE) == [machine.populates] * 2
    check_errno("EBUSY", flag == MAP_LOCKED, lambda: process.msync(base, PAGE, MS_INVALIDATE))


def test_mlock_stops_populating_but_locks_the_range(machine: MachineUnderTest) -> None:
    process = machine.process
    base = machine.map(RW, pages=3)
    process.mprotect(base + PAGE, PAGE, PROT_EXEC)

    machine.check_lock(base, machine.populates, 3)
    assert process.mincore(base, 3 * PAGE) == [True, machine.populates, machine.populates]
    for at in range(base, base + 3 * PAGE, PAGE):
        with fails("EBUSY"):
            process.msync(at, PAGE, MS_INVALIDATE)


def test_mlock_onfault_does_not_populate(machine: MachineUnderTest) -> None:
    base = machine.map()
    machine.process.mlock2(base, PAGE, MLOCK_ONFAULT)
    assert machine.process.mincore(base, PAGE) == [False]


def test_mlockall_populates_the_mappings_after_it(machine: MachineUnderTest) -> None:
    process = machine.process
    low = process.scratch_range()[0]
    for number, prot in enumerate((PROT_READ, PROT_EXEC, RW)):
        process.mmap(low + number * PAGE, PAGE, prot, ANONYMOUS | MAP_FIXED, -1, 0)
    process.mlockall(MCL_CURRENT)
    assert process.mincore(low, 3 * PAGE) == [True, machine.populates, True]
    process.mlockall(MCL_FUTURE)
    assert process.mincore(machine.map(), PAGE) == [machine.populates]


def test_growing_a_locked_mapping_populates_where_the_kernel_can(machine: MachineUnderTest) -> None:
    process = machine.process
    base = process.mremap(machine.map(PROT_EXEC, ANONYMOUS | MAP_LOCKED), PAGE, 2 * PAGE, MREMAP_MAYMOVE)
    assert process.mincore(base, 2 * PAGE) == [machine.populates] * 2
    machine.check_load(base + PAGE, machine.loads)


@pytest.mark.parametrize("advice", [MADV_POPULATE_READ, MADV_POPULATE_WRITE])
def test_madvise_does_not_populate_unreadable_pages(machine: MachineUnderTest, advice: int) -> None:
    """This does not depend on whether the processor can load the page."""
    check_errno("EINVAL", True, lambda: machine.process.madvise(machine.map(), PAGE, advice))


# -------------------------------------------------------------------------------------------------------------- buffers


def test_a_buffer_cannot_be_read_from_execute_only_pages(machine: MachineUnderTest) -> None:
    process = machine.process
    fd = code_file(process)
    base = machine.map(RW, pages=2)
    process.mprotect(base + PAGE, PAGE, PROT_EXEC)

    check_errno("EFAULT", not machine.loads, lambda: process.write_from(fd, base + PAGE, 10, 0))
    assert process.write_from(fd, base, 2 * PAGE, 0) == (2 * PAGE if machine.loads else PAGE)
    check_errno("EFAULT", True, lambda: process.read_into(fd, base + PAGE, 10, 0))


# --------------------------------------------------------------------------------------------------- moving and forking


def test_a_moved_page_stays_execute_only(machine: MachineUnderTest) -> None:
    process = machine.process
    base = machine.map()
    moved = process.mremap(base, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP)
    machine.check_load(base, machine.loads)
    machine.check_load(moved, machine.loads)

    shared = machine.map(PROT_EXEC, MAP_SHARED, 1, code_file(process))
    machine.check_load(process.mremap(shared, 0, PAGE, MREMAP_MAYMOVE), machine.loads)


@pytest.mark.parametrize("more", [0, PROT_SEM])
def test_only_mappings_that_are_both_execute_only_merge(machine: MachineUnderTest, more: int) -> None:
    process = machine.process
    low = process.scratch_range()[0]
    for at, prot in ((low, PROT_EXEC), (low + PAGE, PROT_EXEC | more)):
        process.mmap(at, PAGE, prot, ANONYMOUS | MAP_FIXED, -1, 0)
    check_errno("EFAULT", machine.keys and more != 0, lambda: process.mremap(low, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE))


def test_a_split_mapping_stays_execute_only(machine: MachineUnderTest) -> None:
    base = machine.map(pages=3)
    machine.process.munmap(base + PAGE, PAGE)
    machine.check_load(base, machine.loads)
    machine.check_load(base + 2 * PAGE, machine.loads)


def test_a_child_inherits_execute_only(machine: MachineUnderTest) -> None:
    base = machine.map()
    child = machine.process.fork()
    machine.check_load(base, machine.loads, child)
    child.mprotect(base, PAGE, PROT_READ)
    machine.check_load(base, True, child)
    machine.check_load(base, machine.loads)


# ------------------------------------------------------------------------------------------------------------ the suite


@pytest.mark.parametrize("kind", ["Keys", "Tables"])
def test_all_cases_pass_on_such_a_machine(pytester: pytest.Pytester, kind: str) -> None:
    pytester.makeconftest(f"import sys; sys.path.insert(0, {os.fspath(Path(__file__).parent)!r})")
    backend = f"--mmap-backend=python:execute_only:{kind}"
    options = "-q", "-p", "no:cacheprovider", "-m", "not mmap_tour", "--mmap-level=linux"
    run = pytester.run(sys.executable, "-m", "pytest", backend, *options)
    run.stdout.re_match_lines([r"partial run: .*: \d+ pass$"])
    assert run.ret == 0
