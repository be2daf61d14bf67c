"""Pages with PROT_EXEC alone: what a machine keeps from them that cannot load them, and what it does not.

Each is asked of references by protection keys and by page tables, and in lockstep of the kernel that the tests run on,
whatever its processor can do.
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


class Asked:
    """A machine to be asked: a process of it, and what it makes of pages with PROT_EXEC alone."""

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
        """Whether a page can be loaded, and by what it is refused."""
        process = process or self.process
        if loads:
            process.load(addr, 1)
            return
        with pytest.raises(Fault) as refused:
            process.load(addr, 1)
        assert (refused.value.signal, refused.value.code, refused.value.address) == ("SIGSEGV", self.code, addr)

    def check_lock(self, addr: int, locks: bool, pages: int = 1) -> None:
        """Whether pages can be locked."""
        check_errno("ENOMEM", not locks, lambda: self.process.mlock(addr, pages * PAGE))

    def fresh(self, prot: int = PROT_EXEC, flags: int = ANONYMOUS, pages: int = 1, fd: int = -1) -> int:
        return self.process.mmap(0, pages * PAGE, prot, flags, fd, 0)


def check_errno(errno: str, refused: bool, call: Callable[[], object]) -> None:
    """Whether a call fails, and with what."""
    with fails(errno) if refused else nullcontext():
        call()


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> Iterator[Asked]:
    backend = LockstepBackend(MACHINES[request.param](), "linux")
    try:
        asked = Asked(backend)
        yield asked
        assert asked.system.uncompared is None
        asked.system.close()
    finally:
        backend.close()


def code_file(process: Process) -> int:
    fd = process.open("code", O_RDWR | O_CREAT)
    process.pwrite(fd, process.return_instruction().ljust(PAGE, b"a"), 0)
    return fd


def test_what_the_machines_are() -> None:
    backends = Keys(), Tables(), ReferenceBackend()
    told = [(backend.parameters.execute_only, backend.parameters.populates_execute_only) for backend in backends]
    assert told == [("SEGV_PKUERR", False), ("SEGV_ACCERR", True), ("", False)]
    assert [measure_parameters(backend) for backend in backends] == [
        replace(backend.parameters, end=backend.parameters.top) for backend in backends
    ]


@pytest.mark.parametrize("kind", [MAP_PRIVATE, MAP_SHARED])
@pytest.mark.parametrize("file", [False, True])
def test_it_can_be_executed_but_not_loaded(machine: Asked, kind: int, file: bool) -> None:
    process = machine.process
    fd = code_file(process)
    base = machine.fresh(PROT_EXEC, kind if file else kind | MAP_ANONYMOUS, 1, fd if file else -1)

    machine.check_load(base, machine.loads)
    if file:
        process.execute(base)
        machine.check_load(base, machine.loads)


def test_a_store_is_refused_with_the_same_code(machine: Asked) -> None:
    base = machine.fresh()
    with pytest.raises(Fault) as refused:
        machine.process.store(base + 3, b"x")
    assert (refused.value.code, refused.value.address) == (machine.code or "SEGV_ACCERR", base + 3)

    readable = machine.fresh(PROT_READ)
    with pytest.raises(Fault, match="SEGV_ACCERR"):
        machine.process.store(readable, b"x")


def test_rights_are_looked_at_before_the_end_of_the_file(machine: Asked) -> None:
    base = machine.fresh(PROT_EXEC, MAP_SHARED, 2, code_file(machine.process))
    with pytest.raises(Fault) as refused:
        machine.process.load(base + PAGE, 1)
    assert refused.value.code == (machine.code or "BUS_ADRERR")
    with pytest.raises(Fault, match="BUS_ADRERR"):
        machine.process.execute(base + PAGE)


@pytest.mark.parametrize("prot", range(8))
@pytest.mark.parametrize("more", [0, PROT_SEM, MEANINGLESS])
def test_only_of_pages_with_that_right_alone(machine: Asked, prot: int, more: int) -> None:
    """A bit beside it, also one that means nothing, keeps Linux from giving the page a key."""
    alone = prot == PROT_EXEC and not (machine.keys and more)
    if prot:
        machine.check_load(machine.fresh(prot | more), machine.loads or not alone)
    machine.check_lock(machine.fresh(prot | more), prot != PROT_NONE and (machine.populates or not alone))


@pytest.mark.parametrize("before", [PROT_NONE, RW, PROT_EXEC | PROT_SEM])
@pytest.mark.parametrize("after", [PROT_READ, RW | PROT_EXEC, PROT_EXEC | PROT_SEM])
def test_mprotect_makes_it_so_and_ends_it(machine: Asked, before: int, after: int) -> None:
    process = machine.process
    base = machine.fresh(before)
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


def test_what_is_in_memory_already_is_kept_from_loads_too(machine: Asked) -> None:
    process = machine.process
    base = machine.fresh(RW)
    process.store(base, b"x")
    process.mprotect(base, PAGE, PROT_EXEC)

    assert process.mincore(base, PAGE) == [True]
    machine.check_load(base, machine.loads)
    machine.check_lock(base, machine.populates)
    fd = code_file(process)
    check_errno("EFAULT", not machine.loads, lambda: process.write_from(fd, base, 1, 0))


def test_down_to_where_a_mapping_has_grown(machine: Asked) -> None:
    process = machine.process
    top = process.scratch_range()[0] + 1024 * PAGE
    process.mmap(top, PAGE, PROT_EXEC, ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0)
    machine.check_load(top - 1, machine.loads)
    process.mprotect(top, PAGE, PROT_READ | PROT_GROWSDOWN)
    machine.check_load(top - PAGE, True)
    process.mprotect(top, PAGE, PROT_EXEC | PROT_GROWSDOWN)
    machine.check_load(top - PAGE, machine.loads)


# ---------------------------------------------------------------------------------------------------- being brought in


@pytest.mark.parametrize("kind", [MAP_PRIVATE, MAP_SHARED])
@pytest.mark.parametrize("flag", [MAP_LOCKED, MAP_POPULATE])
def test_mmap_brings_it_in_where_the_kernel_can(machine: Asked, kind: int, flag: int) -> None:
    process = machine.process
    base = machine.fresh(PROT_EXEC, kind | MAP_ANONYMOUS | flag, 2)
    assert process.mincore(base, 2 * PAGE) == [machine.populates] * 2
    check_errno("EBUSY", flag == MAP_LOCKED, lambda: process.msync(base, PAGE, MS_INVALIDATE))


def test_mlock_stops_there_and_all_is_locked(machine: Asked) -> None:
    process = machine.process
    base = machine.fresh(RW, pages=3)
    process.mprotect(base + PAGE, PAGE, PROT_EXEC)

    machine.check_lock(base, machine.populates, 3)
    assert process.mincore(base, 3 * PAGE) == [True, machine.populates, machine.populates]
    for at in range(base, base + 3 * PAGE, PAGE):
        with fails("EBUSY"):
            process.msync(at, PAGE, MS_INVALIDATE)


def test_what_is_locked_when_it_is_touched_is_not_brought_in(machine: Asked) -> None:
    base = machine.fresh()
    machine.process.mlock2(base, PAGE, MLOCK_ONFAULT)
    assert machine.process.mincore(base, PAGE) == [False]


def test_mlockall_goes_on_behind_it(machine: Asked) -> None:
    process = machine.process
    low = process.scratch_range()[0]
    for number, prot in enumerate((PROT_READ, PROT_EXEC, RW)):
        process.mmap(low + number * PAGE, PAGE, prot, ANONYMOUS | MAP_FIXED, -1, 0)
    process.mlockall(MCL_CURRENT)
    assert process.mincore(low, 3 * PAGE) == [True, machine.populates, True]
    process.mlockall(MCL_FUTURE)
    assert process.mincore(machine.fresh(), PAGE) == [machine.populates]


def test_a_locked_one_grows_by_what_can_be_brought_in(machine: Asked) -> None:
    process = machine.process
    base = process.mremap(machine.fresh(PROT_EXEC, ANONYMOUS | MAP_LOCKED), PAGE, 2 * PAGE, MREMAP_MAYMOVE)
    assert process.mincore(base, 2 * PAGE) == [machine.populates] * 2
    machine.check_load(base + PAGE, machine.loads)


@pytest.mark.parametrize("advice", [MADV_POPULATE_READ, MADV_POPULATE_WRITE])
def test_madvise_does_not_touch_what_it_may_not_read(machine: Asked, advice: int) -> None:
    """So it is whether or not the processor can load the page."""
    check_errno("EINVAL", True, lambda: machine.process.madvise(machine.fresh(), PAGE, advice))


# ------------------------------------------------------------------------------------------------------------- buffers


def test_as_a_buffer_it_is_as_for_the_processor(machine: Asked) -> None:
    process = machine.process
    fd = code_file(process)
    base = machine.fresh(RW, pages=2)
    process.mprotect(base + PAGE, PAGE, PROT_EXEC)

    check_errno("EFAULT", not machine.loads, lambda: process.write_from(fd, base + PAGE, 10, 0))
    assert process.write_from(fd, base, 2 * PAGE, 0) == (2 * PAGE if machine.loads else PAGE)
    check_errno("EFAULT", True, lambda: process.read_into(fd, base + PAGE, 10, 0))


# ----------------------------------------------------------------------------------------------------- moves and lives


def test_it_stays_so_where_it_is_moved(machine: Asked) -> None:
    process = machine.process
    base = machine.fresh()
    moved = process.mremap(base, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP)
    machine.check_load(base, machine.loads)
    machine.check_load(moved, machine.loads)

    shared = machine.fresh(PROT_EXEC, MAP_SHARED, 1, code_file(process))
    machine.check_load(process.mremap(shared, 0, PAGE, MREMAP_MAYMOVE), machine.loads)


@pytest.mark.parametrize("more", [0, PROT_SEM])
def test_it_is_one_mapping_only_with_what_is_so_too(machine: Asked, more: int) -> None:
    process = machine.process
    low = process.scratch_range()[0]
    for at, prot in ((low, PROT_EXEC), (low + PAGE, PROT_EXEC | more)):
        process.mmap(at, PAGE, prot, ANONYMOUS | MAP_FIXED, -1, 0)
    check_errno("EFAULT", machine.keys and more != 0, lambda: process.mremap(low, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE))


def test_a_part_that_is_cut_off_stays_so(machine: Asked) -> None:
    base = machine.fresh(pages=3)
    machine.process.munmap(base + PAGE, PAGE)
    machine.check_load(base, machine.loads)
    machine.check_load(base + 2 * PAGE, machine.loads)


def test_a_child_has_it_as_its_parent(machine: Asked) -> None:
    base = machine.fresh()
    child = machine.process.fork()
    machine.check_load(base, machine.loads, child)
    child.mprotect(base, PAGE, PROT_READ)
    machine.check_load(base, True, child)
    machine.check_load(base, machine.loads)


# ----------------------------------------------------------------------------------------------------------- the suite


@pytest.mark.parametrize("kind", ["Keys", "Tables"])
def test_all_cases_pass_on_such_a_machine(pytester: pytest.Pytester, kind: str) -> None:
    pytester.makeconftest(f"import sys; sys.path.insert(0, {os.fspath(Path(__file__).parent)!r})")
    backend = f"--mmap-backend=python:execute_only:{kind}"
    run = pytester.run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", backend, "--mmap-level=linux")
    run.stdout.fnmatch_lines(["conforms to level linux: *"])
    assert run.ret == 0
