"""The agent in Python: faults observed by ptrace, processes of the operating system, and the suite through it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_mmapconf.agent.backend import CommandBackend
from pytest_mmapconf.agent.client import AgentProcess, AgentSystem
from pytest_mmapconf.contract import (
    MADV_DONTFORK,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    O_CLOEXEC,
    O_CREAT,
    O_RDWR,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    SC_PAGESIZE,
    Fault,
    Resource,
    Unresolved,
    Unsupported,
)
from pytest_mmapconf.testing import fails

RW = PROT_READ | PROT_WRITE
MEMORY = MAP_PRIVATE | MAP_ANONYMOUS
COMMAND = f"{sys.executable} -m pytest_mmapconf.agent.python_agent"

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or not os.confstr("CS_GNU_LIBC_VERSION"), reason="the agent needs glibc"
)


@pytest.fixture
def system(tmp_path: Path) -> Iterator[AgentSystem]:
    backend = CommandBackend(f"{COMMAND} --directory '{tmp_path}'")
    yield backend.boot()
    backend.close()
    assert os.listdir(tmp_path) == [], "nothing is left in the directory"


@pytest.fixture
def process(system: AgentSystem) -> AgentProcess:
    return system.spawn()


def fault_of(process: AgentProcess, call: str, *arguments: object) -> tuple[str, str, int | None]:
    with pytest.raises(Fault) as caught:
        getattr(process, call)(*arguments)
    return caught.value.signal, caught.value.code, caught.value.address


def test_faults_have_signal_code_and_address(process: AgentProcess) -> None:
    page = process.sysconf(SC_PAGESIZE)
    base = process.mmap(0, 4 * page, PROT_NONE, MEMORY, -1, 0)
    process.mmap(base, page, PROT_READ, MEMORY | MAP_FIXED, -1, 0)
    fd = process.open("a", O_RDWR | O_CREAT)
    past = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    process.munmap(base + 3 * page, page)  # after the last mmap with hint 0, which the kernel may place in a hole

    assert process.load(base, page) == bytes(page)
    assert fault_of(process, "store", base + 7, b"x") == ("SIGSEGV", "SEGV_ACCERR", base + 7)
    assert fault_of(process, "load", base + page - 1, 2) == ("SIGSEGV", "SEGV_ACCERR", base + page)
    assert fault_of(process, "load", base + 3 * page, 1) == ("SIGSEGV", "SEGV_MAPERR", base + 3 * page)
    assert fault_of(process, "load", past + 1, 1) == ("SIGBUS", "BUS_ADRERR", past + 1)
    assert fault_of(process, "store", past, b"x") == ("SIGBUS", "BUS_ADRERR", past)
    assert fault_of(process, "load", 0, 1) == ("SIGSEGV", "SEGV_MAPERR", 0)
    assert process.load(base, 1) == b"\0", "the process continues"


def test_the_bytes_before_a_fault_are_stored(process: AgentProcess) -> None:
    page = process.sysconf(SC_PAGESIZE)
    base = process.mmap(0, 2 * page, RW, MEMORY, -1, 0)
    process.mprotect(base + page, page, PROT_READ)

    assert fault_of(process, "store", base + page - 3, b"abcdef")[2] == base + page
    assert process.load(base + page - 3, 6) == b"abc\0\0\0"


def test_code_is_executed_where_permitted(process: AgentProcess) -> None:
    page = process.sysconf(SC_PAGESIZE)
    base = process.mmap(0, page, RW, MEMORY, -1, 0)
    process.store(base, process.return_instruction())

    assert fault_of(process, "execute", base) == ("SIGSEGV", "SEGV_ACCERR", base)
    process.mprotect(base, page, PROT_READ | PROT_EXEC)
    process.execute(base)


def test_unavailable_information_is_unsupported(process: AgentProcess) -> None:
    page = process.sysconf(SC_PAGESIZE)
    base = process.mmap(0, page, RW, MEMORY, -1, 0)

    with pytest.raises(Unsupported, match="no atomic exchange"):
        process.add(base, 1, base + 4)
    process.add(base, 3)
    assert process.load(base, 4) == (3).to_bytes(4, sys.byteorder)
    with pytest.raises(Unsupported, match="no counters"):
        process.counters()
    process.madvise(base, page, MADV_DONTFORK)
    assert process.load(base, 1) == b"\3"
    with pytest.raises(Unsupported, match="hides memory from its children"):
        process.load(0, 1)


def test_forked_processes_share_memory_and_end(system: AgentSystem, process: AgentProcess) -> None:
    page = process.sysconf(SC_PAGESIZE)
    shared = process.mmap(0, page, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
    private = process.mmap(0, page, RW, MEMORY, -1, 0)
    child = process.fork()
    grandchild = child.fork()

    grandchild.store(shared, b"x")
    grandchild.store(private, b"x")
    assert process.load(shared, 1) == b"x"
    assert process.load(private, 1) == child.load(private, 1) == b"\0"
    assert child.exit(7) == 7
    assert grandchild.load(shared, 1) == b"x", "it outlives its parent"
    grandchild.kill()
    with pytest.raises(Unresolved, match="SIGKILL"):
        grandchild.load(shared, 1)
    assert system.spawn().fork().exit(0) == 0


def test_exec_keeps_descriptors_and_drops_mappings(process: AgentProcess) -> None:
    page = process.sysconf(SC_PAGESIZE)
    kept, closed = process.open("a", O_RDWR | O_CREAT), process.open("a", O_RDWR | O_CLOEXEC)
    scratch_range, length = process.scratch_range()
    process.mmap(scratch_range, page, RW, MEMORY | MAP_FIXED, -1, 0)

    process.exec()

    assert process.pwrite(kept, b"x", 0) == 1
    with fails("EBADF"):
        process.fstat(closed)
    assert fault_of(process, "load", scratch_range, 1)[1] == "SEGV_MAPERR"
    assert process.scratch_range() == (scratch_range, length)


def test_the_interpreter_makes_no_mappings_of_its_own(process: AgentProcess) -> None:
    """The interpreter shares the address space under test: no call makes a mapping other than its own result."""
    page = process.sysconf(SC_PAGESIZE)
    base = process.mmap(0, 64 * page, RW, MEMORY, -1, 0)

    def ranges() -> list[str]:
        lines = process.maps().splitlines()
        return [line.split()[0] for line in lines if "[heap]" not in line and "[stack]" not in line]

    before = ranges()
    for _ in range(50):
        process.store(base, os.urandom(60 * page))
        assert len(process.load(base, 60 * page)) == 60 * page
        process.mincore(base, 64 * page)
        fault_of(process, "load", 0, 1)
    assert ranges() == before


def test_a_limit_is_enforced(process: AgentProcess) -> None:
    page = process.sysconf(SC_PAGESIZE)
    process.set_limit_headroom(Resource.ADDRESS_SPACE, 16 * page)

    with fails("ENOMEM"):
        process.mmap(0, 17 * page, RW, MEMORY, -1, 0)
    process.munmap(process.mmap(0, 16 * page, RW, MEMORY, -1, 0), 16 * page)


def test_the_end_of_a_process_is_reported(process: AgentProcess) -> None:
    """The process unmaps its whole address space, this code included."""
    with pytest.raises(Unresolved, match=r"ended by itself \(SIG(SEGV|BUS)\)"):
        process.munmap(0, (1 << 47) - process.sysconf(SC_PAGESIZE))


def test_the_suite_passes_through_the_agent(pytester: pytest.Pytester, tmp_path: Path) -> None:
    report = tmp_path / "report.json"

    # Random programs limit the process's memory, which leaves the interpreter without any of its own.
    run = pytester.runpytest_subprocess(
        f"--mmap-backend=agent:{COMMAND}", "-m", "not mmap_random and not mmap_tour", f"--mmap-report={report}"
    )

    assert run.ret == 0
    verdicts = {clause["id"]: clause["verdict"] for clause in json.loads(report.read_text())["clauses"]}
    assert set(verdicts.values()) == {"pass", "unsupported"}
    assert {clause for clause, verdict in verdicts.items() if verdict == "unsupported"} == {
        "overview.no-read-write",
        "mmap.errno.EAGAIN",
        "mmap.errno.ENFILE",
        "mmap.errno.EPERM",
        "msync.flush",
        "msync.no-promise",
        "msync.flag.sync",
    }
