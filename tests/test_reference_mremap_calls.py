"""mremap in the reference: ranges of several mappings, seals, limits, and what a refused call has changed before.

Each test runs on the reference alone and, where the kernel is the one that the reference describes, on this kernel in
lockstep with the reference.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pytest_mmapconf.agent.backend import NativeBackend
from pytest_mmapconf.contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    O_CREAT,
    O_RDWR,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    SC_PAGESIZE,
    Backend,
    Fault,
    Process,
    Resource,
)
from pytest_mmapconf.differential.lockstep import LockstepBackend, LockstepProcess
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.testing import fails

RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS
MOVE = MREMAP_MAYMOVE | MREMAP_FIXED
KEEP = MOVE | MREMAP_DONTUNMAP
LINUX = tuple(int(number) for number in os.uname().release.split("-")[0].split(".")[:2])

on_linux = pytest.param(
    "linux", marks=pytest.mark.skipif(LINUX < (6, 17), reason="this kernel does not move several mappings in one call")
)


@pytest.fixture(params=["reference", on_linux])
def process(request: pytest.FixtureRequest) -> Iterator[Process]:
    backend: Backend = ReferenceBackend()
    if request.param == "linux":
        backend = LockstepBackend(NativeBackend(), "linux")
    system = backend.boot()
    yield system.spawn()
    system.close()
    backend.close()


@pytest.fixture
def page(process: Process) -> int:
    return process.sysconf(SC_PAGESIZE)


@pytest.fixture
def base(process: Process) -> int:
    return process.scratch_range()[0]


def map_letters(process: Process, page: int, base: int, letters: str) -> None:
    """Map a page for each letter, those with the same letter as one mapping; "." is a hole; capitals are sealed."""
    at = 0
    while at < len(letters):
        letter = letters[at].lower()
        count = next((n for n in range(at, len(letters)) if letters[n].lower() != letter), len(letters)) - at
        if letter != ".":
            kind = MAP_PRIVATE if at % 2 else MAP_SHARED
            process.mmap(base + at * page, count * page, RW, kind | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
            for number in range(at, at + count):
                process.store(base + number * page, letter.encode())
        at += count
    for number, letter in enumerate(letters):
        if letter.isupper():
            process.mseal(base + number * page, page)


def letters_in_memory(process: Process, page: int, base: int, count: int) -> str:
    """Return the first letter of each page; "." is a hole, "-" a page of zeros."""
    letters = ""
    for number in range(count):
        try:
            letters += process.load(base + number * page, 1).decode().replace("\0", "-")
        except Fault:
            letters += "."
    return letters


@pytest.mark.parametrize(
    ("before", "addr", "pages", "target", "errno", "after"),
    [
        pytest.param("aa...bB.", 0, 3, 4, "", "....aab.", id="sealed-where-the-source-has-a-hole"),
        pytest.param(".a.bB...", 1, 2, 3, "", "...ab...", id="sealed-in-the-second-page"),
        pytest.param("aabb..cC", 0, 4, 4, "EPERM", "..bbaacc", id="sealed-in-the-second-part"),
        pytest.param("aabb.ccD", 0, 4, 4, "EPERM", "..bbaacd", id="sealed-at-the-end-of-the-second-part"),
        pytest.param("aabb.Ccc", 0, 4, 4, "EPERM", "aabb.ccc", id="sealed-in-the-first-part"),
        pytest.param("aaB.....", 0, 3, 4, "EPERM", "..b.aa..", id="the-second-source-is-sealed"),
        pytest.param("aaBcc...", 1, 3, 5, "EPERM", "a.bcca..", id="between-others"),
        pytest.param("Abb.....", 0, 3, 4, "EPERM", "abb.....", id="the-first-source-is-sealed"),
        pytest.param("aaaB.ccc", 0, 2, 5, "", "..ab.aac", id="seals-outside-do-not-matter"),
    ],
)
def test_a_range_moves_mapping_by_mapping(
    process: Process,
    page: int,
    base: int,
    before: str,
    addr: int,
    pages: int,
    target: int,
    errno: str,
    after: str,
) -> None:
    map_letters(process, page, base, before)
    call = base + addr * page, pages * page, pages * page, MOVE, base + target * page
    if errno:
        with fails(errno):
            process.mremap(*call)
    else:
        process.mremap(*call)
    assert letters_in_memory(process, page, base, 8) == after


def test_a_sealed_target_is_found_before_a_duplicate_that_replaces_its_source(
    process: Process, page: int, base: int
) -> None:
    fd = process.open("f", O_RDWR | O_CREAT)
    process.pwrite(fd, b"abc", 0)
    process.mmap(base, page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)
    process.mmap(base + 2 * page, page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.mseal(base + 2 * page, page)
    with fails("EPERM"):
        process.mremap(base, 0, 3 * page, MOVE, base)
    assert letters_in_memory(process, page, base, 3) == "a.-"
    with fails("EFAULT"):
        process.mremap(base, 0, 2 * page, MOVE, base)
    assert letters_in_memory(process, page, base, 3) == "..-"


@pytest.mark.parametrize("kept", [False, True])
def test_mappings_replaced_by_a_move_do_not_count_against_the_limit(
    process: Process, page: int, base: int, kept: bool
) -> None:
    pages = 256
    process.mmap(base, pages * page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(base, b"moved")
    target = base + 2 * pages * page
    process.mmap(target, pages * page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.set_limit_headroom(Resource.ADDRESS_SPACE, 0)
    process.mremap(base, pages * page, pages * page, KEEP if kept else MOVE, target)
    assert process.load(target, 5) == b"moved"


def test_a_move_that_replaces_too_little_exceeds_the_limit(process: Process, page: int, base: int) -> None:
    pages = 512
    process.mmap(base, pages * page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(base, b"moved")
    target = base + 2 * pages * page
    process.mmap(target, pages // 2 * page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.set_limit_headroom(Resource.ADDRESS_SPACE, 0)
    with fails("ENOMEM"):
        process.mremap(base, pages * page, pages * page, KEEP, target)
    assert process.load(base, 5) == b"moved"
    assert letters_in_memory(process, page, target, 1) == "."


def test_each_mapping_that_moves_counts_when_its_part_has_been_unmapped(process: Process, page: int, base: int) -> None:
    pages = 256
    process.mmap(base, pages * page, RW, MAP_SHARED | MAP_NORESERVE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
    process.mmap(base + pages * page, pages * page, RW, ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0)
    process.store(base, b"first")
    target = base + 4 * pages * page
    process.mmap(target, pages * page, PROT_NONE, ANONYMOUS | MAP_FIXED, -1, 0)
    process.set_limit_headroom(Resource.ADDRESS_SPACE, pages // 2 * page)
    with fails("ENOMEM"):
        process.mremap(base, 2 * pages * page, 2 * pages * page, KEEP, target)
    assert process.load(target, 5) == b"first"


REFUSED = {
    "mmap": lambda process, page, base: process.mmap(base + page, 3 * page, RW, ANONYMOUS | MAP_FIXED, -1, 0),
    "munmap": lambda process, page, base: process.munmap(base + page, 3 * page),
    "mremap": lambda process, page, base: process.mremap(base + 9 * page, 3 * page, 3 * page, MOVE, base + page),
    "shrink": lambda process, page, base: process.mremap(base, 4 * page, page, 0),
}
"""Calls that are refused because the fourth page is sealed, when Linux has split the mapping after its first page."""


@pytest.mark.parametrize("call", REFUSED)
def test_a_refused_call_may_leave_a_mapping_split(process: Process, page: int, base: int, call: str) -> None:
    """Growing the mapping as a whole may fail afterwards; the judge follows the subject."""
    fd = process.open("f", O_RDWR | O_CREAT)
    process.pwrite(fd, 3 * page * b"f", 0)
    process.mmap(base, 3 * page, RW, MAP_PRIVATE | MAP_FIXED, fd, 0)
    process.mmap(base + 3 * page, page, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
    process.mseal(base + 3 * page, page)
    process.mmap(base + 9 * page, 3 * page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    with fails("EPERM"):
        REFUSED[call](process, page, base)
    assert letters_in_memory(process, page, base, 4) == "fff-"
    if isinstance(process, LockstepProcess):
        with fails("EFAULT"):
            process.mremap(base, 3 * page, 4 * page, MREMAP_MAYMOVE)
    else:
        process.mremap(base, 3 * page, 4 * page, MREMAP_MAYMOVE)
