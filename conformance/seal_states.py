"""Cases of seals of a memory file (memfd) that is mapped: twice, in parts, side by side, or loaded from before."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ..contract import (
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    PROT_NONE,
    PROT_READ,
    SEAL_FUTURE_WRITE,
    SEAL_GROW,
    SEAL_SEAL,
    SEAL_SHRINK,
    SEAL_WRITE,
    Process,
)
from ..testing import clause, fails, faults
from ._helpers import RW, free_range, lettered_pages
from .memfd import lettered_memfd

PAGES = 3
"""Pages of the file, and of each of its mappings."""

states = pytest.mark.parametrize("state", ["twice", "split", "side-by-side", "loaded"])
"""Run a case once with the file mapped in each way."""


def mapped(process: Process, page: int, state: str, prot: int, kind: int) -> tuple[int, Sequence[int]]:
    """Return a descriptor of a memfd, and the addresses of its mappings; "split" makes the second page inaccessible."""
    fd = lettered_memfd(process, page, PAGES)
    return fd, map_in_state(process, page, fd, state, prot, kind)


def map_in_state(process: Process, page: int, fd: int, state: str, prot: int, kind: int) -> Sequence[int]:
    """Map a file of PAGES pages, and return the addresses of its mappings."""
    base = free_range(process, 2 * PAGES + 1)
    places = {"twice": (0, PAGES + 1), "side-by-side": (0, PAGES)}.get(state, (0,))
    bases = [process.mmap(base + at * page, PAGES * page, prot, kind | MAP_FIXED, fd, 0) for at in places]
    if state == "split":
        process.mprotect(base + page, page, PROT_NONE)
    elif state == "loaded":
        process.load(base, PAGES * page)
    return bases


@clause("memfd.seal.future-write")
@states
def test_mappings_from_before_seal_remain_writable(process: Process, page: int, state: str) -> None:
    fd, bases = mapped(process, page, state, RW, MAP_SHARED)
    process.seal(fd, SEAL_FUTURE_WRITE)

    for number, base in enumerate(bases):
        process.store(base + 2 * page + number, b"x")
    assert process.pread(fd, len(bases) + 1, 2 * page) == b"x" * len(bases) + b"C"
    with fails("EPERM"):
        process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    with fails("EPERM"):
        process.pwrite(fd, b"y", 0)


@clause("memfd.seal.future-write")
@states
def test_mappings_after_seal_cannot_become_writable(process: Process, page: int, state: str) -> None:
    fd = lettered_memfd(process, page, PAGES)
    process.seal(fd, SEAL_FUTURE_WRITE)

    for base in map_in_state(process, page, fd, state, PROT_READ, MAP_SHARED):
        with fails("EACCES"):
            process.mprotect(base + 2 * page, page, RW)
        with faults("SIGSEGV"):
            process.store(base + 2 * page, b"x")
        assert process.load(base + 2 * page, 1) == b"C"


@clause("memfd.seal.write.busy")
@states
def test_private_mappings_do_not_prevent_seal(process: Process, page: int, state: str) -> None:
    """Another seal was added before; the second one is that against writing."""
    fd, bases = mapped(process, page, state, RW, MAP_PRIVATE)
    process.seal(fd, SEAL_SHRINK)
    process.store(bases[0], b"own")

    process.seal(fd, SEAL_WRITE)

    with fails("EPERM"):
        process.pwrite(fd, b"x", 0)
    for base in bases:
        process.store(base + 2 * page, b"y")
    assert process.pread(fd, 3 * page, 0) == lettered_pages(page, PAGES)


@clause("memfd.seal.write.busy")
@states
def test_last_of_writable_mappings_prevents_seal(process: Process, page: int, state: str) -> None:
    fd, bases = mapped(process, page, state, RW, MAP_SHARED)
    for base in bases:
        with fails("EBUSY"):
            process.seal(fd, SEAL_WRITE)
        process.munmap(base, PAGES * page)

    process.seal(fd, SEAL_WRITE)

    with fails("EPERM"):
        process.pwrite(fd, b"x", 0)


@clause("memfd.seal.seal")
@states
def test_seal_against_seals_leaves_size_and_content_alone(process: Process, page: int, state: str) -> None:
    fd, bases = mapped(process, page, state, RW, MAP_SHARED)
    process.seal(fd, SEAL_SEAL)

    with fails("EPERM"):
        process.seal(fd, SEAL_GROW)
    process.store(bases[-1], b"x")
    process.ftruncate(fd, (PAGES + 1) * page)
    process.ftruncate(fd, page)
    assert process.pread(fd, page + 1, 0) == b"x" + b"A" * (page - 1)
    with faults("SIGBUS"):
        process.load(bases[0] + 2 * page, 1)


@clause("memfd.seal.shrink")
@states
def test_file_sealed_against_shrinking_grows(process: Process, page: int, state: str) -> None:
    fd, bases = mapped(process, page, state, RW, MAP_SHARED)
    process.seal(fd, SEAL_SHRINK)

    with fails("EPERM"):
        process.ftruncate(fd, page)
    process.ftruncate(fd, (PAGES + 1) * page)
    assert process.fstat(fd).size == (PAGES + 1) * page
    assert process.load(bases[0] + 2 * page, 1) == b"C"


@clause("memfd.seal.grow")
@states
def test_file_sealed_against_growing_shrinks(process: Process, page: int, state: str) -> None:
    fd, bases = mapped(process, page, state, RW, MAP_SHARED)
    process.seal(fd, SEAL_GROW)

    with fails("EPERM"):
        process.ftruncate(fd, (PAGES + 1) * page)
    with fails("EPERM"):
        process.pwrite(fd, b"x", PAGES * page)
    process.ftruncate(fd, page)
    for base in bases:
        with faults("SIGBUS"):
            process.load(base + 2 * page, 1)
