"""Cases of munmap: its effects on stored data, locks, limits, the address range and other processes."""

from __future__ import annotations

from typing import Final

import pytest

from ..contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_PRIVATE,
    MAP_SHARED,
    MS_ASYNC,
    MS_INVALIDATE,
    O_RDONLY,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    Fault,
    Process,
    Resource,
)
from ..testing import clause, fails, needs
from ._helpers import (
    ANONYMOUS,
    RW,
    MakeFile,
    NewPath,
    assert_inaccessible,
    assert_nothing_mapped,
    lettered_pages,
    map_memory,
    reserve,
    shared_and_private,
)

parts = pytest.mark.parametrize(
    ("first", "count"), [(0, 3), (0, 1), (1, 1), (2, 1)], ids=["whole", "head", "middle", "tail"]
)
PROTECTIONS: Final = {
    "none": PROT_NONE,
    "read": PROT_READ,
    "write": PROT_WRITE,
    "read-exec": PROT_READ | PROT_EXEC,
    "all": RW | PROT_EXEC,
}


# ---------------------------------------------------------------------------------------------------------- stored data


@clause("munmap.private")
@parts
def test_private_stores_are_discarded(process: Process, file: MakeFile, page: int, first: int, count: int) -> None:
    """The stores reach neither the file nor a later mapping of it."""
    fd = file(lettered_pages(page, 3))
    base = process.mmap(0, 3 * page, RW, MAP_PRIVATE, fd, 0)
    process.store(base, b"x" * (3 * page))

    process.munmap(base + first * page, count * page)

    assert process.pread(fd, 3 * page, 0) == lettered_pages(page, 3)
    again = process.mmap(0, 3 * page, RW, MAP_PRIVATE, fd, 0)
    assert process.load(again, 3 * page) == lettered_pages(page, 3)


@clause("munmap.shared")
@parts
def test_shared_stores_are_in_file(process: Process, file: MakeFile, page: int, first: int, count: int) -> None:
    """pread and a later mapping return the stores, although no process has called msync."""
    fd = file(lettered_pages(page, 3))
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, fd, 0)
    for number in range(3):
        process.store(base + number * page, b"%d" % number)

    process.munmap(base + first * page, count * page)

    again = process.mmap(0, 3 * page, PROT_READ, MAP_SHARED, fd, 0)
    for number, letter in enumerate((b"A", b"B", b"C")):
        assert process.pread(fd, 2, number * page) == b"%d" % number + letter
        assert process.load(again + number * page, 2) == b"%d" % number + letter


@clause("munmap.shared")
def test_shared_stores_after_close_are_in_file(process: Process, file: MakeFile, new_path: NewPath, page: int) -> None:
    path = new_path()
    fd = file(b"old", path=path)
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    process.close(fd)
    process.store(base, b"new")

    process.munmap(base, page)

    assert process.pread(process.open(path, O_RDONLY), 4, 0) == b"new"


@clause("munmap.slack")
@shared_and_private
@pytest.mark.parametrize("size", [1, 0], ids=["one-page-and-a-byte", "one-byte"])
def test_store_past_end_of_file_does_not_grow_file(
    process: Process, file: MakeFile, page: int, size: int, kind: int
) -> None:
    """One store is inside the file, the other in the slack after its end."""
    length = size * page + 1
    fd = file(b"a" * length)
    base = process.mmap(0, 2 * page, RW, kind, fd, 0)
    process.store(base, b"b")
    process.store(base + length, b"slack")

    process.munmap(base, 2 * page)

    assert process.fstat(fd).size == length
    assert len(process.pread(fd, 2 * page, 0)) == length


@clause("munmap.offset")
@shared_and_private
def test_remaining_parts_keep_file_offsets(process: Process, file: MakeFile, page: int, kind: int) -> None:
    """Two holes leave three parts of a mapping that starts at the file's second page, first accessed afterwards."""
    base = process.mmap(0, 5 * page, RW, kind, file(lettered_pages(page, 6)), page)

    process.munmap(base + page, page)
    process.munmap(base + 3 * page, page)

    for number, letter in ((0, b"B"), (2, b"D"), (4, b"F")):
        assert process.load(base + number * page, page) == letter * page


@clause("munmap.rights")
@pytest.mark.parametrize(
    "protection",
    [pytest.param(name, marks=needs("write-exec")) if name == "all" else name for name in PROTECTIONS],
)
def test_remaining_parts_keep_protection(process: Process, page: int, protection: str) -> None:
    """All pages are accessed before.

    Where the hardware knows no page that can only be stored to, one can be loaded from once it is in memory.
    """
    base = process.mmap(0, 3 * page, PROTECTIONS[protection], ANONYMOUS, -1, 0)
    for number in (0, 2):
        access_results(process, base + number * page)
    before = [access_results(process, base + number * page) for number in (0, 2)]

    process.munmap(base + page, page)

    assert_nothing_mapped(process, base + page)
    assert [access_results(process, base + number * page) for number in (0, 2)] == before


def access_results(process: Process, addr: int) -> list[str]:
    """Return "works" or the fault's si_code for a load and for a store at `addr`."""
    results = []
    for access in (lambda: process.load(addr, 1), lambda: process.store(addr, b"x")):
        try:
            access()
            results.append("works")
        except Fault as fault:
            results.append(fault.code)
    return results


@clause("munmap.usual-arguments")
@pytest.mark.parametrize("inside", ["1", "page-1"])
@pytest.mark.parametrize("number", [0, 1, 2], ids=["head", "middle", "tail"])
def test_part_of_page_unmaps_whole_page(process: Process, page: int, number: int, inside: str) -> None:
    base = map_memory(process, 3 * page)
    process.store(base, lettered_pages(page, 3))

    process.munmap(base + number * page, 1 if inside == "1" else page - 1)

    assert_inaccessible(process, base + number * page)
    for other in {0, 1, 2} - {number}:
        assert process.load(base + other * page, page) == lettered_pages(page, 3)[other * page : (other + 1) * page]


# ----------------------------------------------------------------------------------------- other mappings and processes


@clause("munmap.mapping")
@shared_and_private
@pytest.mark.parametrize("descriptor", ["same", "dup"])
def test_other_mapping_of_same_pages_stays(
    process: Process, file: MakeFile, page: int, descriptor: str, kind: int
) -> None:
    fd = file(lettered_pages(page, 2))
    first = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    second = process.mmap(0, 2 * page, RW, kind, fd if descriptor == "same" else process.dup(fd), 0)
    process.store(second, b"!")

    process.munmap(first, 2 * page)

    assert process.load(second, 2 * page) == b"!" + lettered_pages(page, 2)[1:]
    process.store(second + page, b"x")


@clause("munmap.process")
@pytest.mark.parametrize("caller", ["parent", "child"])
@pytest.mark.parametrize("kind", ["file-shared", "file-private", "anonymous-shared", "anonymous-private"])
def test_other_process_keeps_pages(process: Process, file: MakeFile, page: int, kind: str, caller: str) -> None:
    """The pages stay also where neither process has accessed them since the fork."""
    flags = MAP_SHARED if kind.endswith("shared") else MAP_PRIVATE
    if kind.startswith("file"):
        base = process.mmap(0, 2 * page, RW, flags, file(lettered_pages(page, 2)), 0)
    else:
        base = process.mmap(0, 2 * page, RW, flags | MAP_ANONYMOUS, -1, 0)
        process.store(base, lettered_pages(page, 2))
    child = process.fork()
    one, other = (process, child) if caller == "parent" else (child, process)

    one.munmap(base, 2 * page)

    assert other.load(base, 2 * page) == lettered_pages(page, 2)
    other.store(base, b"!")
    assert other.load(base, 2) == b"!A"


# -------------------------------------------------------------------------------------- address range, locks and limits


@clause("munmap.free")
@parts
def test_exactly_the_range_is_free(process: Process, page: int, first: int, count: int) -> None:
    """MAP_FIXED_NOREPLACE can map the range, and fails if it includes one page more on either side."""
    base = reserve(process, 5) + page
    process.munmap(base + first * page, count * page)

    for start, pages in ((first - 1, 2), (first + count - 1, 2)):
        with fails("EEXIST"):
            process.mmap(base + start * page, pages * page, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0)
    addr = process.mmap(base + first * page, count * page, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0)

    assert addr == base + first * page


@clause("munmap.reuse")
@pytest.mark.parametrize("kind", ["file-shared", "file-private", "anonymous-shared", "anonymous-private"])
@parts
def test_range_mapped_again_has_new_content(
    process: Process, file: MakeFile, page: int, first: int, count: int, kind: str
) -> None:
    flags = (MAP_SHARED if kind.endswith("shared") else MAP_PRIVATE) | MAP_FIXED
    base = process.mmap(0, 3 * page, RW, ANONYMOUS, -1, 0)
    process.store(base, lettered_pages(page, 3))

    process.munmap(base + first * page, count * page)
    if kind.startswith("file"):
        process.mmap(base + first * page, count * page, RW, flags, file(b"f" * (count * page)), 0)
    else:
        process.mmap(base + first * page, count * page, RW, flags | MAP_ANONYMOUS, -1, 0)

    new = (b"f" if kind.startswith("file") else b"\0") * (count * page)
    content = lettered_pages(page, 3)
    assert process.load(base, 3 * page) == content[: first * page] + new + content[(first + count) * page :]


@clause("munmap.lock")
@needs("invalidate-busy")
def test_lock_is_removed_with_pages(process: Process, file: MakeFile, page: int) -> None:
    fd = file(lettered_pages(page, 3))
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, fd, 0)
    process.mlock(base, 3 * page)

    process.munmap(base + page, page)
    process.mmap(base + page, page, RW, MAP_SHARED | MAP_FIXED, fd, page)

    process.msync(base + page, page, MS_ASYNC | MS_INVALIDATE)
    for number in (0, 2):
        with fails("EBUSY"):
            process.msync(base + number * page, page, MS_ASYNC | MS_INVALIDATE)


@clause("munmap.lock.account")
@parts
def test_unmapped_pages_no_longer_count_as_locked(process: Process, page: int, first: int, count: int) -> None:
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 3 * page)
    base = process.mmap(0, 3 * page, RW, ANONYMOUS, -1, 0)
    other = process.mmap(0, 4 * page, RW, ANONYMOUS, -1, 0)
    process.mlock(base, 3 * page)
    with fails("ENOMEM"):
        process.mlock(other, page)

    process.munmap(base + first * page, count * page)

    process.mlock(other, count * page)
    with fails("ENOMEM"):
        process.mlock(other, (count + 1) * page)


@clause("munmap.limit")
def test_unmapped_pages_no_longer_count_against_address_space_limit(process: Process, page: int) -> None:
    """Under RLIMIT_AS the same number of pages can be mapped again."""
    base = process.mmap(0, 96 * page, RW, ANONYMOUS, -1, 0)
    process.set_limit_headroom(Resource.ADDRESS_SPACE, 32 * page)
    with fails("ENOMEM"):
        process.mmap(0, 64 * page, RW, ANONYMOUS, -1, 0)

    process.munmap(base + 32 * page, 64 * page)

    process.mmap(0, 64 * page, RW, ANONYMOUS, -1, 0)
