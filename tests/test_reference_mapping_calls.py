"""Test mmap and its family in the reference: details that no case requires of every backend, and former bugs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_mmapconf.contract import (
    MADV_DONTNEED,
    MADV_FREE,
    MADV_POPULATE_WRITE,
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_HUGETLB,
    MAP_LOCKED,
    MAP_NORESERVE,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MAP_STACK,
    MAP_SYNC,
    MAP_UNINITIALIZED,
    MLOCK_ONFAULT,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    MS_INVALIDATE,
    MS_SYNC,
    O_CREAT,
    O_RDONLY,
    O_RDWR,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    SEAL_FUTURE_WRITE,
    SEAL_GROW,
    SEAL_SHRINK,
    SEAL_WRITE,
    Facility,
    Resource,
    Unsupported,
)
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.process import ReferenceProcess
from pytest_mmapconf.reference.refusal import Refused
from pytest_mmapconf.testing import fails, faults

PAGE = 4096
RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS
MOVE = MREMAP_MAYMOVE | MREMAP_FIXED


@pytest.fixture
def process() -> ReferenceProcess:
    return ReferenceBackend().boot().spawn()


def map_letters(process: ReferenceProcess, letters: str) -> int:
    """Map a page for each letter at the scratch range, alternately shared and private; "." is a hole."""
    base = process.scratch_range()[0]
    for at, letter in enumerate(letters):
        if letter != ".":
            kind = MAP_PRIVATE if at % 2 else MAP_SHARED
            process.mmap(base + at * PAGE, PAGE, RW, kind | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
            process.store(base + at * PAGE, letter.encode())
    return base


def letters_in_memory(process: ReferenceProcess, count: int = 16) -> str:
    """Return the first letter of each page of the scratch range; "-" is zero, "." is a hole."""
    base = process.scratch_range()[0]
    letters = ""
    for at in range(base, base + count * PAGE, PAGE):
        mapped = process.space.find(at) is not None
        letters += process.load(at, 1).decode().replace("\0", "-") if mapped else "."
    return letters.rstrip(".")


# ----------------------------------------------------------------------------------------------------------------- mmap


@pytest.mark.parametrize("writable", [False, True])
def test_the_maximum_protection_is_fixed_by_mmap(process: ReferenceProcess, writable: bool) -> None:
    process.open("f", O_RDWR | O_CREAT)
    fd = process.open("f", O_RDWR if writable else O_RDONLY)
    shared = process.mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 0)
    private = process.mmap(0, PAGE, PROT_READ, MAP_PRIVATE, fd, 0)
    process.close(fd)
    process.mprotect(private, PAGE, RW)
    if writable:
        process.mprotect(shared, PAGE, RW)
    else:
        with fails("EACCES"):
            process.mprotect(shared, PAGE, RW)


def test_hint_addresses(process: ReferenceProcess) -> None:
    base = process.scratch_range()[0]
    assert process.mmap(base + 5, PAGE, RW, ANONYMOUS, -1, 0) == base
    taken = process.mmap(base, PAGE, RW, ANONYMOUS, -1, 0)
    assert taken != base
    assert process.mmap(1, PAGE, RW, ANONYMOUS, -1, 0) == 65536
    assert process.mmap(2**64 - PAGE, PAGE, RW, ANONYMOUS, -1, 0) < process.task_size


def test_map_fixed_noreplace(process: ReferenceProcess) -> None:
    base = map_letters(process, "a.b")
    for first, pages in ((0, 1), (0, 3), (1, 2)):
        with fails("EEXIST"):
            process.mmap(base + first * PAGE, pages * PAGE, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0)
    assert process.mmap(base + PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == base + PAGE


def test_mmap_without_a_large_enough_gap() -> None:
    process = ReferenceBackend(user_bits=32).boot().spawn()
    process.mmap(1 << 31, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    with fails("ENOMEM"):
        process.mmap(0, 3 << 30, RW, ANONYMOUS, -1, 0)
    assert process.mmap(0, 1 << 30, RW, ANONYMOUS, -1, 0) > 1 << 31


def test_map_hugetlb_and_map_growsdown_refusals(process: ReferenceProcess) -> None:
    fd = process.open("f", O_RDWR | O_CREAT)
    with fails("EINVAL"):
        process.mmap(0, PAGE, RW, MAP_SHARED | MAP_HUGETLB, fd, 0)
    with fails("ENOMEM"):
        process.mmap(0, PAGE, RW, ANONYMOUS | MAP_HUGETLB, -1, 0)
    for flags, fd_ in ((MAP_SHARED | MAP_ANONYMOUS, -1), (MAP_PRIVATE, fd)):
        with fails("EINVAL"):
            process.mmap(0, PAGE, RW, flags | MAP_GROWSDOWN, fd_, 0)


def test_a_replaced_range_does_not_count_for_rlimit_as(process: ReferenceProcess) -> None:
    base = map_letters(process, "ab")
    process.address_space_limit = 2 * PAGE
    process.mmap(base, 2 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    with fails("ENOMEM"):
        process.mmap(base, 3 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    assert process.space.size == 2 * PAGE


# --------------------------------------------------------------------------------------------------------------- mremap


@pytest.mark.parametrize(
    ("before", "old", "new", "flags", "to", "after"),
    [
        pytest.param("a", 1, 1, 0, 0, "a", id="same"),
        pytest.param("abc", 3, 1, 0, 0, "a", id="shrink-over-several"),
        pytest.param("a.c", 3, 1, 0, 0, "a", id="shrink-over-a-hole"),
        pytest.param(".", 0, 0, 0, 0, "EINVAL", id="to-nothing"),
        pytest.param("a", 1, 2, MOVE, 4, "....a", id="grow-elsewhere"),
        pytest.param("ab", 1, 1, MOVE, 1, ".a", id="over-a-neighbour"),
        pytest.param("abc", 3, 3, MOVE, 5, ".....abc", id="several-at-once"),
        pytest.param("a.cd.....wxyz", 4, 4, MOVE, 9, ".........axcd", id="a-hole-in-the-source-keeps-the-target"),
        pytest.param("a.cd.....wxyz", 3, 3, MOVE, 9, "...d.....axcz", id="part-of-several"),
        pytest.param("abc", 3, 1, MOVE, 5, ".....a", id="shrink-and-move"),
        pytest.param("abc", 3, 2, MOVE, 5, "EFAULT", id="shrink-and-move-several"),
        pytest.param("abc", 2, 3, MOVE, 5, "EFAULT", id="grow-and-move-several"),
        pytest.param("abc", 1, 1, MOVE | MREMAP_DONTUNMAP, 5, "abc..a", id="stays-shared"),
        pytest.param("a", 0, 1, MOVE, 4, "a...a", id="duplicate"),
        pytest.param("a", 0, 1, 0, 4, "ENOMEM", id="duplicate-in-place"),
        pytest.param("a", 1, 2**64 - PAGE, MREMAP_MAYMOVE, 0, "EINVAL", id="too-large"),
        pytest.param("a", 2**63, 1, 0, 0, "EINVAL", id="cut-outside"),
    ],
)
def test_mremap(process: ReferenceProcess, before: str, old: int, new: int, flags: int, to: int, after: str) -> None:
    base = map_letters(process, before)
    old, new = (old if old > 1 << 40 else old * PAGE), (new if new > 1 << 40 else new * PAGE)
    if after.isupper():
        with fails(after):
            process.mremap(base, old, new, flags, base + to * PAGE)
        assert letters_in_memory(process) == before.rstrip(".")
        return
    place = process.mremap(base, old, new, flags, base + to * PAGE)
    assert place == base + to * PAGE
    if new > old > 0:
        with faults("SIGBUS", at=place + old):
            process.load(place + old, 1)
        process.munmap(place + old, new - old)
    assert letters_in_memory(process) == after
    assert process.space.size == sum(letter != "." for letter in after) * PAGE


def test_mremap_dontunmap_leaves_zeros_of_a_private_page(process: ReferenceProcess) -> None:
    base = map_letters(process, ".b")
    process.mremap(base + PAGE, PAGE, PAGE, MOVE | MREMAP_DONTUNMAP, base + 3 * PAGE)
    assert letters_in_memory(process) == ".-.b"


def test_a_private_page_cannot_be_duplicated(process: ReferenceProcess) -> None:
    base = map_letters(process, ".b")
    with fails("EINVAL"):
        process.mremap(base + PAGE, 0, PAGE, MREMAP_MAYMOVE)


def test_a_refused_duplicate_over_its_source_unmaps_it(process: ReferenceProcess) -> None:
    base = map_letters(process, "a")
    with fails("EFAULT"):
        process.mremap(base, 0, PAGE, MOVE, base)
    assert letters_in_memory(process) == ""


def test_moving_part_of_a_mapping_leaves_the_rest(process: ReferenceProcess) -> None:
    fd = process.open("f", O_RDWR | O_CREAT)
    process.pwrite(fd, b"".join(letter * PAGE for letter in (b"a", b"b", b"c")), 0)
    base = process.scratch_range()[0]
    process.mmap(base, 3 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0)
    process.mremap(base + PAGE, PAGE, PAGE, MOVE, base + 5 * PAGE)
    assert letters_in_memory(process) == "a.c..b"
    assert process.descriptors[fd].description.references == 4


def test_growing_a_locked_mapping_populates_the_new_part(process: ReferenceProcess) -> None:
    base = process.scratch_range()[0]
    process.mmap(base, PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_LOCKED, -1, 0)
    process.mremap(base, PAGE, 3 * PAGE, 0)
    assert process.mincore(base, 3 * PAGE) == [True] * 3
    assert process.space.locked == 3 * PAGE
    place = process.mremap(base, 3 * PAGE, PAGE, 0)
    assert process.space.locked == PAGE
    process.munmap(place, PAGE)
    assert process.space.locked == 0


# ----------------------------------------------------------------------------------------------- msync, mprotect, mlock


def test_msync_writes_all_mapped_pages_before_it_fails(process: ReferenceProcess) -> None:
    fd = process.open("f", O_RDWR | O_CREAT)
    process.ftruncate(fd, 2 * PAGE)
    base = process.scratch_range()[0]
    for at in (0, 2):
        process.mmap(base + at * PAGE, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, at // 2 * PAGE)
        process.store(base + at * PAGE, b"x")
    with fails("ENOMEM"):
        process.msync(base, 3 * PAGE, MS_SYNC)
    cache = process.descriptors[fd].description.inode.cache
    assert [page.dirty for page in cache.pages.values()] == [False, False]
    with fails("ENOMEM"):
        process.msync(base, 2**64 - PAGE, MS_SYNC)
    process.msync(base, 2**64 - 1, MS_SYNC)


def test_msync_stops_at_a_locked_page(process: ReferenceProcess) -> None:
    base = map_letters(process, "aba")
    process.mlock(base + PAGE, 1)
    process.msync(base, PAGE, MS_INVALIDATE)
    with fails("EBUSY"):
        process.msync(base, 3 * PAGE, MS_SYNC | MS_INVALIDATE)


def test_mprotect_changes_the_pages_before_the_failure(process: ReferenceProcess) -> None:
    base = map_letters(process, "ab.c")
    with fails("ENOMEM"):
        process.mprotect(base, 4 * PAGE, PROT_READ)
    assert [m.prot for m in process.space.mappings.values()] == [PROT_READ, PROT_READ, RW]
    with fails("ENOMEM"):
        process.mprotect(base + 3 * PAGE, 2**47, PROT_READ)
    assert process.space.mappings[base + 3 * PAGE].prot == PROT_READ


def test_mprotect_copies_a_locked_private_page(process: ReferenceProcess) -> None:
    fd = process.open("f", O_RDWR | O_CREAT)
    process.pwrite(fd, b"a", 0)
    base = process.mmap(0, PAGE, PROT_READ, MAP_PRIVATE | MAP_LOCKED, fd, 0)
    process.pwrite(fd, b"b", 0)
    assert process.load(base, 1) == b"b"
    process.mprotect(base, PAGE, RW)
    process.pwrite(fd, b"c", 0)
    assert process.load(base, 1) == b"b"


def test_mlock_locks_the_range_although_it_fails(process: ReferenceProcess) -> None:
    base = map_letters(process, "a.b")
    with fails("ENOMEM"):
        process.mlock(base, 3 * PAGE)
    assert [m.locked for m in process.space.mappings.values()] == [True, False]
    process.mprotect(base + 2 * PAGE, PAGE, PROT_NONE)
    with fails("ENOMEM"):
        process.mlock(base + 2 * PAGE + 5, 1)
    assert process.space.locked == 2 * PAGE
    process.mlock(base + 2 * PAGE, 2**64 - 1)
    with fails("ENOMEM"):
        process.munlock(base, 3 * PAGE)
    process.munlock(base + 2 * PAGE, 1)
    assert process.space.locked == 0
    for call in (process.mlock, process.munlock):
        with fails("EINVAL"):
            call(base, 2**64 - base)


def test_sysconf_supports_the_page_size_only(process: ReferenceProcess) -> None:
    with fails("EINVAL"):
        process.sysconf(-1)
    with pytest.raises(Unsupported):
        process.sysconf(4)


def test_mincore_refuses_holes_and_unaligned_addresses(process: ReferenceProcess) -> None:
    base = map_letters(process, "a.b")
    with fails("ENOMEM"):
        process.mincore(base, 3 * PAGE)
    with fails("EINVAL"):
        process.mincore(base + 1, PAGE)
    assert process.mincore(base, 0) == []


def test_a_read_only_shared_mapping_of_dev_zero_is_private() -> None:
    """Such a mapping needs no file of its own and never becomes writable."""
    system = ReferenceBackend().boot()
    process = system.spawn()
    fd = process.open(system.facility(Facility.DEV_ZERO), O_RDONLY)
    process.drop_capability("CAP_SYS_ADMIN")
    with system.full_file_table():
        base = process.mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 0)

    assert process.load(base, 1) == b"\0"
    with fails("EACCES"):
        process.mprotect(base, PAGE, RW)


def test_mremap_dontunmap_unlocks_the_whole_source(process: ReferenceProcess) -> None:
    base = process.mmap(0, 3 * PAGE, RW, ANONYMOUS | MAP_LOCKED, -1, 0)

    moved = process.mremap(base + PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP)

    for addr in (base, base + PAGE, base + 2 * PAGE):
        process.msync(addr, PAGE, MS_INVALIDATE)
    with fails("EBUSY"):
        process.msync(moved, PAGE, MS_INVALIDATE)
    assert process.space.locked == 4 * PAGE  # Linux counts so too


@pytest.mark.parametrize("beside", [-1, 2], ids=["before", "after"])
@pytest.mark.parametrize("stored", [False, True])
def test_mremap_dontunmap_unlocks_an_untouched_neighbour(process: ReferenceProcess, beside: int, stored: bool) -> None:
    """The two merge then, and a third with the same attributes merges with them."""
    base = process.scratch_range()[0] + 8 * PAGE
    process.mmap(base, 2 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    if stored:
        process.store(base + PAGE, b"x")
    process.mprotect(base, 2 * PAGE, PROT_READ)
    process.mlock(base, 2 * PAGE)
    target = base + beside * PAGE
    third = target + (-1 if beside < 0 else 1) * PAGE
    process.mmap(third, PAGE, PROT_READ, ANONYMOUS | MAP_FIXED | MAP_LOCKED, -1, 0)

    process.mremap(base, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP | MREMAP_FIXED, target)

    process.msync(base, 2 * PAGE, MS_INVALIDATE)
    for addr in (target, third):
        if stored:
            with fails("EBUSY"):
                process.msync(addr, PAGE, MS_INVALIDATE)
        else:
            process.msync(addr, PAGE, MS_INVALIDATE)


@pytest.mark.parametrize("beside", [-1, 1], ids=["before", "after"])
@pytest.mark.parametrize("prot", [PROT_READ, RW], ids=["read", "write"])
def test_mremap_dontunmap_unlocks_a_written_neighbour_if_writable(
    process: ReferenceProcess, prot: int, beside: int
) -> None:
    """Linux 6.18 does so."""
    base = process.scratch_range()[0] + 8 * PAGE
    target, third = base + beside * PAGE, base + 2 * beside * PAGE
    for addr in (base, third):
        process.mmap(addr, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(third, b"x")
    for addr in (base, third):
        process.mprotect(addr, PAGE, prot)
        process.mlock2(addr, PAGE, MLOCK_ONFAULT)

    process.mremap(base, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP | MREMAP_FIXED, target)

    process.msync(base, PAGE, MS_INVALIDATE)
    process.msync(target, PAGE, MS_INVALIDATE)
    if prot == PROT_READ:
        with fails("EBUSY"):
            process.msync(third, PAGE, MS_INVALIDATE)
    else:
        process.msync(third, PAGE, MS_INVALIDATE)


def test_a_refused_mprotect_does_not_split_a_mapping(process: ReferenceProcess) -> None:
    process.open("f", O_RDWR | O_CREAT)
    base = process.mmap(0, 2 * PAGE, PROT_READ, MAP_SHARED, process.open("f", O_RDONLY), 0)
    with fails("EACCES"):
        process.mprotect(base + PAGE, PAGE, RW)
    assert [mapping.merged for mapping in process.space.mappings.values()] == [False]


def test_a_source_left_by_mremap_dontunmap_is_untouched_only_if_moved_as_a_whole(process: ReferenceProcess) -> None:
    """MREMAP_DONTUNMAP resets a source to untouched only if the whole mapping was moved."""
    for first, count in ((0, 1), (1, 1), (2, 1), (0, 3)):
        base = process.mmap(process.scratch_range()[0], 3 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
        process.store(base, b"x" * (3 * PAGE))
        process.mremap(base + first * PAGE, count * PAGE, count * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP)
        stored = {mapping.has_private_pages for mapping in process.space.over(base, base + 3 * PAGE)}
        assert stored == {count != 3}, (first, count)
        process.munmap(base, 3 * PAGE)


@pytest.mark.parametrize(("first", "count"), [(0, 1), (1, 1), (1, 2), (0, 3)])
def test_a_source_left_by_a_move_merges_with_its_neighbours(process: ReferenceProcess, first: int, count: int) -> None:
    base = process.mmap(process.scratch_range()[0] + 7 * PAGE, 3 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    flags = MREMAP_MAYMOVE | MREMAP_DONTUNMAP | MREMAP_FIXED
    process.mremap(base + first * PAGE, count * PAGE, count * PAGE, flags, base + 20 * PAGE)
    there = [(m.start - base) // PAGE for m in process.space.mappings.values()]
    assert there == [0, 20]


def test_the_last_page_of_user_space(process: ReferenceProcess) -> None:
    """The last page can be mapped like any other; one byte more is refused."""
    last = process.task_size - PAGE
    process.mmap(last, PAGE, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0)
    process.store(last, b"x" * PAGE)
    fd = process.open("f", O_RDWR | O_CREAT)
    assert process.write_from(fd, last, PAGE, 0) == PAGE
    assert process.read_into(fd, last, PAGE, 0) == PAGE
    process.mlock(last, PAGE)
    process.munlock(last, PAGE)
    process.mprotect(last, PAGE, PROT_READ)
    process.msync(last, PAGE, MS_SYNC)
    assert process.mincore(last, PAGE) == [True]
    assert process.load(last, PAGE) == b"x" * PAGE
    for errno, call in (("EINVAL", process.munmap), ("ENOMEM", process.mincore)):
        with fails(errno):
            call(last, PAGE + 1)
    process.munmap(last, PAGE)
    base = process.mmap(process.scratch_range()[0], 2 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    with fails("EINVAL"):
        process.mremap(base, 2 * PAGE, 2 * PAGE, MOVE, last)
    assert process.mremap(base, PAGE, PAGE, MOVE, last) == last
    with fails("ENOMEM"):
        process.mremap(last, PAGE, 2 * PAGE, 0)


@pytest.mark.parametrize(("old", "new"), [(1, 2), (2, 3), (3, 5), (5, 6)])
def test_growing_counts_only_the_new_pages(process: ReferenceProcess, old: int, new: int) -> None:
    base = process.mmap(process.scratch_range()[0], old * PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_LOCKED, -1, 0)
    process.drop_capability("CAP_IPC_LOCK")
    for resource in (Resource.ADDRESS_SPACE, Resource.LOCKED_MEMORY):
        process.set_limit_headroom(resource, (new - old) * PAGE)
    for flags in (0, MREMAP_MAYMOVE):
        with fails("EAGAIN"):
            process.mremap(base, old * PAGE, (new + 1) * PAGE, flags)
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 64 * PAGE)
    with fails("ENOMEM"):
        process.mremap(base, old * PAGE, (new + 1) * PAGE, 0)
    process.set_limit_headroom(Resource.LOCKED_MEMORY, (new - old) * PAGE)
    assert process.mremap(base, old * PAGE, new * PAGE, 0) == base


def test_flags_of_droppable_memory(process: ReferenceProcess) -> None:
    for flag in (MAP_NORESERVE, MAP_POPULATE, MAP_STACK, MAP_FIXED_NOREPLACE):
        process.mmap(process.scratch_range()[0] + flag, PAGE, RW, MAP_DROPPABLE | MAP_ANONYMOUS | flag, -1, 0)
    for flag in (MAP_LOCKED, MAP_HUGETLB, MAP_GROWSDOWN):
        with pytest.raises(Refused) as refused:
            process.mmap(0, PAGE, RW, MAP_DROPPABLE | MAP_ANONYMOUS | flag, -1, 0)
        assert "mmap.errno.EINVAL.droppable" in refused.value.clauses


def window(process: ReferenceProcess, flags: int = MAP_SHARED) -> tuple[int, int]:
    """Map pages 4 to 12 of a file of 16 at an odd page; return the address and the descriptor."""
    fd = process.open("f", O_RDWR | O_CREAT)
    process.pwrite(fd, b"a" * (16 * PAGE), 0)
    return process.mmap(process.scratch_range()[0] + 7 * PAGE, 9 * PAGE, RW, flags | MAP_FIXED, fd, 3 * PAGE), fd


@pytest.mark.parametrize(("first", "count"), [(0, 9), (0, 1), (2, 3), (5, 4), (8, 1), (3, 0)])
def test_msync_writes_the_pages_of_its_range(process: ReferenceProcess, first: int, count: int) -> None:
    base, fd = window(process)
    cache = process.descriptors[fd].description.inode.cache
    process.msync(base + first * PAGE, max(count * PAGE - 5, 0), MS_SYNC)
    assert [index for index in range(16) if not cache.pages[index].dirty] == list(range(3 + first, 3 + first + count))
    assert cache.on_disk is not None
    assert cache.on_disk.size == (
        (3 + first + count) * PAGE if count else 0
    )  # the pages after it are not on the disk yet


@pytest.mark.parametrize("size", [0, 3, 8, 13])
def test_msync_of_a_file_that_ends_within_the_mapping(process: ReferenceProcess, size: int) -> None:
    """msync writes no byte past the end of the file."""
    base, fd = window(process)
    process.ftruncate(fd, size * PAGE + 100)
    process.msync(base, 9 * PAGE, MS_SYNC)
    record = process.descriptors[fd].description.inode.cache.on_disk
    assert record is not None
    written = {block: len(content) for block, content in record.blocks.items() if content}
    assert written == {index: min(PAGE, (size - index) * PAGE + 100) for index in range(3, min(size + 1, 12))}


@pytest.mark.parametrize(("start", "length"), [(0, 9), (1, 3), (5, 4), (8, 1)])
def test_mincore_reports_the_pages_of_its_range(process: ReferenceProcess, start: int, length: int) -> None:
    base, fd = window(process)
    process.drop_cache(fd)
    process.load(base + 2 * PAGE, 1)
    process.pread(fd, 1, 9 * PAGE)
    process.pread(fd, 1, 14 * PAGE)
    expected = [number in (2, 6) for number in range(start, start + length)]
    assert process.mincore(base + start * PAGE, length * PAGE - 1) == expected


@pytest.mark.parametrize(("first", "count"), [(0, 9), (1, 3), (4, 5), (8, 1)])
def test_locking_and_populating_fault_in_the_pages_of_their_range(
    process: ReferenceProcess, first: int, count: int
) -> None:
    for call in ("mlock", "madvise"):
        base, _fd = window(process, MAP_PRIVATE)
        if call == "mlock":
            process.mlock(base + first * PAGE + 5, count * PAGE - 9)
        else:
            process.madvise(base + first * PAGE, count * PAGE, MADV_POPULATE_WRITE)
        entries = process.space.table.entries
        assert sorted(entries) == list(range(base // PAGE + first, base // PAGE + first + count))
        process.munmap(base, 9 * PAGE)


@pytest.mark.parametrize(("first", "count"), [(1, 3), (4, 5), (0, 2)])
def test_dropped_pages_are_those_of_the_range(process: ReferenceProcess, first: int, count: int) -> None:
    base, _fd = window(process, MAP_PRIVATE)
    process.store(base, b"x" * (9 * PAGE))
    process.madvise(base + first * PAGE, count * PAGE, MADV_DONTNEED)
    letters_in_memory = [process.load(base + number * PAGE, 1) for number in range(9)]
    assert letters_in_memory == [b"a" if first <= number < first + count else b"x" for number in range(9)]


@pytest.mark.parametrize(("first", "count", "more"), [(0, 9, 4), (1, 3, 1), (4, 5, 2), (2, 5, 0), (3, 2, 0), (7, 2, 2)])
def test_pages_already_locked_do_not_count_again(process: ReferenceProcess, first: int, count: int, more: int) -> None:
    """Pages 3 to 7 of nine are locked."""
    base, _fd = window(process)
    process.mlock(base + 2 * PAGE, 5 * PAGE)
    process.drop_capability("CAP_IPC_LOCK")
    if more:
        process.set_limit_headroom(Resource.LOCKED_MEMORY, more * PAGE - 1)
        with fails("ENOMEM"):
            process.mlock(base + first * PAGE, count * PAGE)
    process.set_limit_headroom(Resource.LOCKED_MEMORY, more * PAGE)
    process.mlock(base + first * PAGE, count * PAGE)
    assert process.space.locked == (5 + more) * PAGE


@pytest.mark.parametrize("too_many", [False, True])
@pytest.mark.parametrize(("call", "more"), [("move-to", 6), ("move", 4), ("split", 1), ("map", 0)])
def test_mappings_that_a_call_may_add(call: str, more: int, too_many: bool) -> None:
    process = ReferenceBackend(mappings=20).boot().spawn()
    base = process.scratch_range()[0]
    process.mmap(base + 3 * PAGE, PAGE, PROT_NONE, ANONYMOUS | MAP_FIXED, -1, 0)
    for number in range(19 - more + too_many):
        process.mmap(base + 10 * number * PAGE, 3 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    assert len(process.space.mappings) == 20 - more + too_many
    calls: dict[str, Callable[[], object]] = {
        "move-to": lambda: process.mremap(base, PAGE, PAGE, MOVE, base + 500 * PAGE),
        "move": lambda: process.mremap(base, 3 * PAGE, 4 * PAGE, MREMAP_MAYMOVE),
        "split": lambda: process.munmap(base + PAGE, PAGE),
        "map": lambda: process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0),
    }
    if too_many:
        with fails("ENOMEM"):
            calls[call]()
    else:
        calls[call]()


# ---------------------------------------------------------------------------------------------------------------- mseal


def test_mprotect_changes_the_pages_before_sealed_memory(process: ReferenceProcess) -> None:
    base = process.mmap(0, 4 * PAGE, RW, ANONYMOUS, -1, 0)
    process.mseal(base + 2 * PAGE, PAGE)

    with fails("EPERM"):
        process.mprotect(base + PAGE, 3 * PAGE, PROT_READ)

    rights = [process.space.mappings[at].prot for at in process.space.mappings]
    assert rights == [RW, PROT_READ, RW, RW]


@pytest.mark.parametrize(
    ("hole", "sealed", "errors"), [(2, 1, {"EPERM", "ENOMEM"}), (1, 2, {"ENOMEM", "EPERM"}), (9, 1, {"EPERM"})]
)
def test_mprotect_stops_at_the_first_hole_or_sealed_mapping(
    process: ReferenceProcess, hole: int, sealed: int, errors: set[str]
) -> None:
    base = process.mmap(0, 3 * PAGE, RW, ANONYMOUS, -1, 0)
    process.mseal(base + sealed * PAGE, PAGE)
    if hole < 3:
        process.munmap(base + hole * PAGE, PAGE)

    with pytest.raises(Refused) as refused:
        process.mprotect(base, 3 * PAGE, PROT_READ)

    assert {refusal.name for refusal in refused.value.refusals} == errors
    assert refused.value.refusals[0].name == ("ENOMEM" if hole < sealed else "EPERM")


def test_sealed_and_unsealed_neighbours_do_not_merge(process: ReferenceProcess) -> None:
    base = process.mmap(0, 3 * PAGE, RW, ANONYMOUS, -1, 0)
    process.mseal(base + PAGE, PAGE)
    assert len(process.space.mappings) == 3
    process.mseal(base, 2 * PAGE)
    assert len(process.space.mappings) == 2
    process.mseal(base, 3 * PAGE)
    assert len(process.space.mappings) == 1


def test_mseal_is_for_64_bits() -> None:
    process = ReferenceBackend(bits=32).boot().spawn()
    with pytest.raises(Unsupported):
        process.mseal(process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0), PAGE)


# ------------------------------------------------------------------------------- refusals: all that apply, and no other


def reasons(call: Callable[..., object], *arguments: object) -> list[str]:
    """Return the reasons for which a call is refused, with "late: " before each that Linux finds late."""
    try:
        call(*arguments)
    except Refused as refused:
        return [f"{'late: ' * refusal.late}{refusal.reason}" for refusal in refused.refusals]
    return []


OUTSIDE = "fixed-range-outside"
NO_LOCKS = ["lock-not-permitted", "locked-limit"]
TOO_LARGE = "length-too-large"
NO_SYNC = "late: sync-unsupported"


@pytest.mark.parametrize(
    ("at", "length", "flags", "found"),
    [
        pytest.param(0, 0, ANONYMOUS | MAP_FIXED, ["length-zero"], id="nothing"),
        pytest.param(0, 0, ANONYMOUS | MAP_FIXED_NOREPLACE, ["length-zero"], id="nothing-in-a-taken-range"),
        pytest.param(0, 1 << 47, ANONYMOUS | MAP_FIXED, [TOO_LARGE], id="more-than-user-space"),
        pytest.param(0, 1 << 46, ANONYMOUS | MAP_FIXED, [], id="half-of-user-space"),
        pytest.param(1 << 46, 1 << 46, ANONYMOUS | MAP_FIXED, [OUTSIDE], id="end"),
        pytest.param(0, PAGE, ANONYMOUS | MAP_POPULATE | MAP_NORESERVE, [], id="flags-beside-MAP_LOCKED"),
        pytest.param(
            0,
            PAGE,
            ANONYMOUS | MAP_LOCKED | MAP_STACK,
            NO_LOCKS,
            id="locked",
        ),
    ],
)
def test_refusals_of_mmap(process: ReferenceProcess, at: int, length: int, flags: int, found: list[str]) -> None:
    base = map_letters(process, "abc")
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 0)

    assert reasons(process.mmap, base + at + PAGE, length, RW, flags, -1, 0) == found


def test_all_of_user_space_can_be_mapped(process: ReferenceProcess) -> None:
    flags = ANONYMOUS | MAP_FIXED | MAP_NORESERVE

    assert reasons(process.mmap, 0, process.task_size + PAGE, PROT_NONE, flags, -1, 0) == [TOO_LARGE]
    assert process.mmap(0, process.task_size, PROT_NONE, flags, -1, 0) == 0


@pytest.mark.parametrize("flag", [0, MAP_UNINITIALIZED, MAP_NORESERVE | MAP_STACK])
def test_sealed_memory_is_not_replaced_with_any_flag(process: ReferenceProcess, flag: int) -> None:
    base = map_letters(process, "abc")
    process.mseal(base + PAGE, PAGE)

    assert reasons(process.mmap, base, PAGE, RW, ANONYMOUS | MAP_FIXED | flag, -1, 0) == []
    assert reasons(process.mmap, base, 2 * PAGE, RW, ANONYMOUS | MAP_FIXED | flag, -1, 0) == ["fixed-range-sealed"]


@pytest.mark.parametrize(
    ("flags", "how_many"), [(MAP_FIXED, 1), (MAP_FIXED_NOREPLACE, 2), (MAP_FIXED_NOREPLACE | MAP_STACK, 2)]
)
def test_a_c_library_may_report_enomem_at_address_0(process: ReferenceProcess, flags: int, how_many: int) -> None:
    process.drop_capability("CAP_SYS_RAWIO")

    found = reasons(process.mmap, 0, PAGE, RW, ANONYMOUS | flags, -1, 0)
    assert found[0] == "fixed-addr-low"
    assert len(found) == how_many


@pytest.mark.parametrize(
    ("flags", "counts"),
    [(0, True), (MAP_NORESERVE, True), (MAP_GROWSDOWN, False), (MAP_GROWSDOWN | MAP_NORESERVE, False)],
)
def test_mappings_that_count_for_rlimit_data(process: ReferenceProcess, flags: int, counts: bool) -> None:
    process.set_limit_headroom(Resource.DATA, PAGE)

    assert bool(reasons(process.mmap, 0, 2 * PAGE, RW, ANONYMOUS | flags, -1, 0)) is counts
    assert reasons(process.mmap, 0, PAGE, RW, ANONYMOUS | flags, -1, 0) == []


@pytest.mark.parametrize(("room", "fits"), [(2, True), (1, False)])
def test_a_replaced_range_does_not_count_for_rlimit_data(process: ReferenceProcess, room: int, fits: bool) -> None:
    base = process.scratch_range()[0]
    process.mmap(base, 3 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.set_limit_headroom(Resource.DATA, room * PAGE)

    assert (reasons(process.mmap, base, 5 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0) == []) is fits


def test_a_private_mapping_of_read_only_dev_zero_is_writable() -> None:
    system = ReferenceBackend().boot()
    process = system.spawn()
    fd = process.open(system.facility(Facility.DEV_ZERO), O_RDONLY)
    private = process.mmap(0, PAGE, PROT_READ, MAP_PRIVATE | MAP_NORESERVE, fd, 0)
    shared = process.mmap(0, PAGE, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0)

    process.mprotect(private, PAGE, RW)
    with fails("EACCES"):
        process.mprotect(shared, PAGE, RW)


@pytest.mark.parametrize(
    ("mode", "type_", "can"),
    [
        (O_RDONLY, MAP_SHARED, True),
        (O_RDONLY, MAP_PRIVATE, False),
        (O_RDWR, MAP_SHARED, True),
        (O_RDWR, MAP_PRIVATE, False),
    ],
)
def test_dev_zero_can_be_duplicated_if_requested_shared(mode: int, type_: int, can: bool) -> None:
    """On Linux 6.18 a mapping of a read-only /dev/zero is private, but mremap treats it as requested: shared."""
    system = ReferenceBackend().boot()
    process = system.spawn()
    fd = process.open(system.facility(Facility.DEV_ZERO), mode)
    addr = process.mmap(0, PAGE, PROT_READ, type_, fd, 0)

    found = reasons(process.mremap, addr, 0, PAGE, MREMAP_MAYMOVE)
    assert found == ([] if can else ["duplicate-private"])
    assert process.space.size == (1 + can) * PAGE


@pytest.mark.parametrize("type_", [MAP_SHARED_VALIDATE, MAP_SHARED, MAP_PRIVATE])
def test_unsupported_map_sync_is_a_late_refusal(process: ReferenceProcess, type_: int) -> None:
    fd = process.open("f", O_RDWR | O_CREAT)

    assert reasons(process.mmap, 0, PAGE, RW, type_ | MAP_SYNC, fd, 0) == [NO_SYNC]


@pytest.mark.parametrize(
    "seals", [SEAL_WRITE, SEAL_FUTURE_WRITE, SEAL_WRITE | SEAL_FUTURE_WRITE, SEAL_GROW | SEAL_SHRINK]
)
@pytest.mark.parametrize("prot", [PROT_READ, PROT_EXEC, PROT_READ | PROT_EXEC, PROT_WRITE, RW | PROT_EXEC])
def test_a_sealed_file_cannot_be_mapped_shared_writable(process: ReferenceProcess, seals: int, prot: int) -> None:
    fd = process.memfd()
    process.seal(fd, seals)
    refused = prot & PROT_WRITE and seals & (SEAL_WRITE | SEAL_FUTURE_WRITE)

    assert bool(reasons(process.mmap, 0, PAGE, prot, MAP_SHARED, fd, 0)) is bool(refused)
    assert reasons(process.mmap, 0, PAGE, prot, MAP_PRIVATE, fd, 0) == []


ODD = "libc-new-size"
HUGE = "new-size-too-large"
UNKNOWN = "flags-unknown"
NO_DUPLICATE = "duplicate-in-place"
NO_ROOM = "cannot-grow-in-place"
CUT_OUTSIDE = "late: cut-range-outside"
CUT_SEALED = "late: cut-range-sealed"


@pytest.mark.parametrize(
    ("old", "new", "flags", "found"),
    [
        pytest.param(1, (1 << 63) - PAGE, MREMAP_MAYMOVE, [HUGE, ODD], id="as-large-as-an-object"),
        pytest.param(1, 1 << 63, MREMAP_MAYMOVE, [HUGE, ODD], id="larger-than-any-object"),
        pytest.param(0, PAGE, 0, [NO_DUPLICATE], id="a-duplicate-in-place"),
        pytest.param(
            0,
            PAGE,
            8,
            [UNKNOWN, NO_DUPLICATE],
            id="with-an-unknown-bit",
        ),
        pytest.param(1, 2 * PAGE, 0, [NO_ROOM], id="no-room"),
        pytest.param(
            1,
            2 * PAGE,
            8,
            [UNKNOWN, NO_ROOM],
            id="no-room-and-a-bit",
        ),
        pytest.param(1 << 47, PAGE, 0, [CUT_OUTSIDE, CUT_SEALED], id="cut-off-outside"),
        pytest.param(3 * PAGE, 2 * PAGE, 0, [CUT_SEALED], id="cut-off-sealed"),
        pytest.param(3 * PAGE, PAGE, 0, [CUT_SEALED], id="cut-off-sealed-more"),
    ],
)
def test_refusals_of_mremap(process: ReferenceProcess, old: int, new: int, flags: int, found: list[str]) -> None:
    base = map_letters(process, "abcd")
    process.mseal(base + 2 * PAGE, PAGE)

    assert reasons(process.mremap, base, old, new, flags) == found


@pytest.mark.parametrize("first", [1, 2, 3])
def test_a_sealed_part_that_shrinking_keeps_is_allowed(process: ReferenceProcess, first: int) -> None:
    base = map_letters(process, "......"[:first] + "abc")
    addr = base + first * PAGE
    process.mseal(addr + PAGE, PAGE)

    assert process.mremap(addr, 3 * PAGE, 2 * PAGE, 0) == addr
    assert letters_in_memory(process) == "."[:1] * first + "ab"


@pytest.mark.parametrize("pages", [1, 2])
def test_a_late_refusal_unmaps_the_new_range(process: ReferenceProcess, pages: int) -> None:
    base = map_letters(process, "abcd")
    process.mmap(base + 5 * PAGE, 2 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)

    with fails("EINVAL"):
        process.mremap(base + 5 * PAGE, 1 << 47, pages * PAGE, MOVE, base + PAGE)
    assert letters_in_memory(process) == "a" + pages * "." + "bcd"[pages:] + ".--"


def test_mremap_to_the_same_size_changes_no_neighbour(process: ReferenceProcess) -> None:
    base = map_letters(process, ".abc")

    process.mremap(base + 2 * PAGE, PAGE, PAGE, 0)
    assert not any(process.space.is_free(base + at * PAGE, base + (at + 1) * PAGE) for at in (1, 2, 3))
    process.mmap(base, PAGE, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0)
    assert letters_in_memory(process) == "-abc"


def test_growing_populates_nothing_after_the_new_range(process: ReferenceProcess) -> None:
    base = process.scratch_range()[0]
    process.mmap(base, PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_LOCKED, -1, 0)
    after = process.mmap(base + 3 * PAGE, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0)

    process.mremap(base, PAGE, 2 * PAGE, 0)
    assert process.mincore(base, 2 * PAGE) == [True, True]
    assert process.mincore(after, PAGE) == [False]


def test_a_moved_mapping_merges_with_its_new_neighbours(process: ReferenceProcess) -> None:
    base = process.scratch_range()[0]
    fd = process.open("f", O_RDWR | O_CREAT)
    for place, index in ((1, 0), (7, 1), (3, 2)):
        process.mmap(base + place * PAGE, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, index * PAGE)

    process.mremap(base + 7 * PAGE, PAGE, PAGE, MOVE, base + 2 * PAGE)
    assert [(m.start - base, m.end - base) for m in process.space.mappings.values()] == [(PAGE, 4 * PAGE)]


def test_madvise_stops_at_the_first_mapping_that_refuses(process: ReferenceProcess) -> None:
    base = map_letters(process, "abc")

    assert reasons(process.madvise, base, 3 * PAGE, MADV_FREE) == ["free-not-private"]
    process.mlock(base, 3 * PAGE)
    assert reasons(process.madvise, base + PAGE, 2 * PAGE, MADV_DONTNEED) == ["memory-locked"]


@pytest.mark.parametrize(("pages", "low"), [(-1, True), (0, False), (1, False), (7, False)])
def test_only_addresses_below_mmap_min_addr_need_a_capability(process: ReferenceProcess, pages: int, low: bool) -> None:
    addr = process.space.mmap_min_addr + pages * PAGE
    process.drop_capability("CAP_SYS_RAWIO")

    found = ["fixed-addr-low"] if low else []
    assert reasons(process.mmap, addr, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0) == found
    source = process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)
    assert reasons(process.mremap, source, PAGE, PAGE, MOVE, addr) == found
