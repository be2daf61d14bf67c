"""Cases of what the threads of a process have in common: its address space, its table of descriptors, its limits."""

from __future__ import annotations

import pytest

from ..contract import MAP_PRIVATE, O_RDWR, PROT_READ, Process, Resource
from ..testing import clause, fails, faults
from ._helpers import ANONYMOUS, KINDS, RW, MakeFile, NewPath
from ._rounds import Memory

kinds = pytest.mark.parametrize("kind", KINDS)
"""Run a case once with each kind of mapping."""


@clause("threads.shared.memory")
@kinds
@pytest.mark.parametrize("caller", ["process", "thread"])
def test_mappings_are_those_of_all_threads(process: Process, file: MakeFile, page: int, kind: str, caller: str) -> None:
    thread = process.thread()
    one, other = (process, thread) if caller == "process" else (thread, process)
    memory = Memory(kind, process, file, 2)
    memory.mapped(one)[0].make()

    other.store(memory.base, b"stored by the other")
    assert one.load(memory.base, 19) == b"stored by the other"
    one.mprotect(memory.base, page, PROT_READ)
    with faults("SIGSEGV"):
        other.store(memory.base, b"x")
    one.munmap(memory.base, page)
    with faults("SIGSEGV"):
        other.load(memory.base, 1)
    other.munmap(memory.base, 2 * page)
    with faults("SIGSEGV"):
        one.load(memory.base + page, 1)


@clause("threads.shared.descriptors")
def test_descriptors_are_those_of_all_threads(process: Process, file: MakeFile, new_path: NewPath, page: int) -> None:
    path = new_path()
    file(b"f" * page, path=path)
    thread = process.thread()

    fd = thread.open(path, O_RDWR)

    base = process.mmap(0, page, PROT_READ, MAP_PRIVATE, fd, 0)
    assert thread.load(base, 1) == b"f"
    assert process.pread(fd, 1, 0) == b"f"
    process.close(fd)
    with fails("EBADF"):
        thread.mmap(0, page, PROT_READ, MAP_PRIVATE, fd, 0)
    assert thread.load(base, page) == b"f" * page


@clause("threads.shared.limits")
@pytest.mark.parametrize("caller", ["process", "thread"])
def test_limit_of_address_space_is_that_of_all_threads(process: Process, page: int, caller: str) -> None:
    """A limit on mappings counts those of all threads of the process."""
    thread = process.thread()
    one, other = (process, thread) if caller == "process" else (thread, process)
    process.set_limit_headroom(Resource.ADDRESS_SPACE, 64 * page)

    base = one.mmap(0, 60 * page, RW, ANONYMOUS, -1, 0)

    with fails("ENOMEM"):
        other.mmap(0, 60 * page, RW, ANONYMOUS, -1, 0)
    other.munmap(base, 60 * page)
    assert one.mmap(0, 60 * page, RW, ANONYMOUS, -1, 0)
