"""Cases of msync that need no crash: visibility and errors.  durability.py has those of the data on disk."""

from __future__ import annotations

import pytest

from ..contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MS_ASYNC,
    MS_INVALIDATE,
    MS_SYNC,
    O_RDONLY,
    O_RDWR,
    PROT_NONE,
    PROT_READ,
    Process,
    System,
    Unsupported,
)
from ..testing import clause, fails, faults, needs
from ._helpers import (
    ANONYMOUS,
    RW,
    MakeFile,
    NewPath,
    WriteFile,
    lettered_pages,
    map_memory,
    map_memory_at,
    reserve,
)

FLAGS = [
    pytest.param(MS_SYNC, id="sync"),
    pytest.param(MS_ASYNC, id="async"),
    pytest.param(MS_INVALIDATE, id="invalidate", marks=needs("msync-without-type")),
    pytest.param(MS_SYNC | MS_INVALIDATE, id="sync-invalidate"),
    pytest.param(MS_ASYNC | MS_INVALIDATE, id="async-invalidate"),
]
PRIVATE_MEMORY = MAP_PRIVATE | MAP_ANONYMOUS
WITH_INVALIDATE = FLAGS[2:]
ALL_FLAGS = [pytest.param(0, id="none", marks=needs("msync-without-type")), *FLAGS]


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("shared", marks=clause("msync.result")),
        pytest.param("read-only", marks=clause("msync.result")),
        pytest.param("private", marks=clause("msync.result")),
        pytest.param("anonymous", marks=[clause("msync.anonymous"), needs("anonymous-memory")]),
    ],
)
def test_any_mapping_can_be_synced(process: Process, file: MakeFile, page: int, kind: str, flags: int) -> None:
    """A mapping with nothing to write is accepted."""
    match kind:
        case "shared":
            base = process.mmap(0, page, RW, MAP_SHARED, file(b"text"), 0)
            process.store(base, b"T")
        case "read-only":
            base = process.mmap(0, page, PROT_READ, MAP_SHARED, file(b"Text", O_RDONLY), 0)
        case "private":
            base = process.mmap(0, page, RW, MAP_PRIVATE, file(b"text"), 0)
            process.store(base, b"T")
        case _:
            base = process.mmap(0, page, RW, PRIVATE_MEMORY, -1, 0)
            process.store(base, b"Text")

    process.msync(base, page, flags)

    assert process.load(base, 4) == b"Text"


@clause("msync.result")
def test_failure_reports_errno(process: Process, page: int) -> None:
    base = map_memory(process, page)
    process.munmap(base, page)

    with fails("ENOMEM"):
        process.msync(base, page, MS_SYNC)


@clause("msync.result")
def test_range_spans_several_mappings(process: Process, file: MakeFile, page: int) -> None:
    base = reserve(process, 4)
    process.mmap(base, page, RW, MAP_SHARED | MAP_FIXED, file(b"a"), 0)
    map_memory_at(process, base + page, page)
    process.mmap(base + 2 * page, page, PROT_READ, MAP_SHARED | MAP_FIXED, file(b"c"), 0)

    process.msync(base, 4 * page, MS_SYNC)


@clause("msync.usual-arguments")
def test_length_passed_to_mmap_covers_last_page(process: Process, file: MakeFile, page: int) -> None:
    """The unrounded length covers the last page, so the call fails with ENOMEM once that page is unmapped."""
    base = process.mmap(0, page + 8, RW, MAP_SHARED, file(bytes(2 * page)), 0)
    process.msync(base, page + 8, MS_SYNC)
    process.munmap(base + page, 8)

    process.msync(base, page, MS_SYNC)
    with fails("ENOMEM"):
        process.msync(base, page + 8, MS_SYNC)


@clause("msync.then-munmap")
def test_two_processes_sync_and_unmap_without_loss(
    process: Process, system: System, new_path: NewPath, write_file: WriteFile, page: int
) -> None:
    """Each process stores, syncs and unmaps; the stores of both are in the file."""
    path = new_path()
    write_file(path, b"." * (2 * page))
    processes = [process, system.spawn()]
    bases = []
    for one in processes:
        fd = one.open(path, O_RDWR)
        bases.append(one.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0))
        one.close(fd)

    for number, (one, base) in enumerate(zip(processes, bases, strict=True)):
        one.store(base + number * page, b"process %d" % number)
        one.store(base + number * 16 + 32, b"beside %d" % number)
    for one, base in zip(processes, bases, strict=True):
        one.msync(base, 2 * page, MS_SYNC)
        one.munmap(base, 2 * page)

    fd = process.open(path, O_RDONLY)
    assert process.pread(fd, 9, 0) == b"process 0"
    assert process.pread(fd, 9, page) == b"process 1"
    assert process.pread(fd, 24, 32) == b"beside 0........beside 1"


@clause("msync.flag.async")
def test_store_synced_async_is_visible_to_others(
    process: Process, system: System, file: MakeFile, new_path: NewPath, page: int
) -> None:
    """MS_ASYNC promises nothing about the disk; processes that share the file load the store."""
    path = new_path()
    fd = file(b"old", path=path)
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    other = system.spawn()
    other_base = other.mmap(0, page, PROT_READ, MAP_SHARED, other.open(path, O_RDONLY), 0)

    process.store(base, b"new")
    process.msync(base, page, MS_ASYNC)

    assert other.load(other_base, 3) == b"new"
    assert process.pread(fd, 3, 0) == b"new"


@clause("msync.flag.invalidate")
@pytest.mark.parametrize("flags", WITH_INVALIDATE)
@pytest.mark.parametrize("writer", ["write", "another-process"])
def test_invalidate_shows_current_file_content(
    process: Process, system: System, file: MakeFile, new_path: NewPath, page: int, writer: str, flags: int
) -> None:
    path = new_path()
    fd = file(b"old", path=path)
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)
    assert process.load(base, 3) == b"old"
    if writer == "write":
        process.pwrite(fd, b"new", 0)
    else:
        other = system.spawn()
        other_base = other.mmap(0, page, RW, MAP_SHARED, other.open(path, O_RDWR), 0)
        other.store(other_base, b"new")
        other.msync(other_base, page, MS_SYNC)

    process.msync(base, page, flags)

    assert process.load(base, 3) == b"new"


@clause("msync.flag.invalidate")
def test_invalidate_keeps_stores_of_mapping(process: Process, file: MakeFile, page: int) -> None:
    """The mapping's own stores belong to the file's current content."""
    fd = file(b"old")
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    process.store(base, b"new")

    process.msync(base, page, MS_SYNC | MS_INVALIDATE)

    assert process.load(base, 3) == b"new"
    assert process.pread(fd, 3, 0) == b"new"


@clause("msync.flag.invalidate.busy")
@pytest.mark.parametrize("flags", WITH_INVALIDATE)
@pytest.mark.parametrize("locked", [0, 1, 2], ids=["first", "middle", "last"])
def test_invalidate_of_locked_page_fails(process: Process, file: MakeFile, page: int, locked: int, flags: int) -> None:
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, file(b"x" * (3 * page)), 0)
    process.mlock(base + locked * page, page)

    with fails("EBUSY"):
        process.msync(base, 3 * page, flags)

    process.munlock(base + locked * page, page)
    process.msync(base, 3 * page, flags)


@clause("msync.flag.invalidate.busy")
def test_locked_page_does_not_affect_other_calls(process: Process, file: MakeFile, page: int) -> None:
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, file(b"x" * (2 * page)), 0)
    process.mlock(base, page)

    process.msync(base, 2 * page, MS_SYNC)
    process.msync(base + page, page, MS_SYNC | MS_INVALIDATE)


# --------------------------------------------------------------------------------------------------------------- errors


@clause("msync.errno.EINVAL.address")
@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("inside", ["1", "half", "last"])
@pytest.mark.parametrize("length", ["page", "zero"])
def test_unaligned_address_is_refused(process: Process, page: int, length: str, inside: str, flags: int) -> None:
    base = map_memory(process, 2 * page)

    with fails("EINVAL"):
        process.msync(
            base + {"1": 1, "half": page // 2, "last": page - 1}[inside], page if length == "page" else 0, flags
        )


@clause("msync.errno.EINVAL")
@pytest.mark.parametrize(
    "flags",
    [
        pytest.param(MS_SYNC | MS_ASYNC, id="sync-and-async"),
        pytest.param(MS_SYNC | MS_ASYNC | MS_INVALIDATE, id="all-three"),
        pytest.param(8, id="unknown-8"),
        pytest.param(MS_SYNC | 8, id="sync-and-unknown-8"),
        pytest.param(MS_ASYNC | 1 << 30, id="async-and-unknown-bit-30"),
    ],
)
def test_invalid_flags_are_refused(process: Process, file: MakeFile, page: int, flags: int) -> None:
    base = process.mmap(0, page, RW, MAP_SHARED, file(b"text"), 0)

    with fails("EINVAL"):
        process.msync(base, page, flags)


@clause("msync.errno.ENOMEM")
@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize(
    ("first", "count"),
    [
        pytest.param(0, 1, id="start"),
        pytest.param(1, 1, id="middle"),
        pytest.param(2, 1, id="end"),
        pytest.param(0, 3, id="all"),
    ],
)
def test_hole_in_range_fails(process: Process, file: MakeFile, page: int, first: int, count: int, flags: int) -> None:
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, file(b"x" * (3 * page)), 0)
    process.munmap(base + first * page, count * page)

    with fails("ENOMEM"):
        process.msync(base, 3 * page, flags)

    for number in range(3):
        if not first <= number < first + count:
            assert process.load(base + number * page, page) == b"x" * page


@clause("msync.errno.ENOMEM")
@pytest.mark.parametrize("flags", FLAGS)
def test_unmapped_null_address_fails(process: Process, page: int, flags: int) -> None:
    with fails("ENOMEM"):
        process.msync(0, page, flags)


@clause("msync.errno.ENOMEM")
def test_ranges_next_to_hole_succeed(process: Process, file: MakeFile, page: int) -> None:
    """A range without a hole is accepted, whatever is unmapped next to it."""
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, file(b"x" * (3 * page)), 0)
    process.munmap(base + page, page)

    process.msync(base, page, MS_SYNC)
    process.msync(base + 2 * page, page, MS_SYNC)


@clause("msync.length-wraps")
@pytest.mark.parametrize("flags", FLAGS)
def test_length_that_rounds_up_to_zero_succeeds(process: Process, page: int, flags: int) -> None:
    """Linux rounds the length up first: the largest lengths, by less than a page, become 0 and the range is empty."""
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    span = 1 << process.bits

    process.msync(base, span - 1, flags)
    process.msync(base, span - page + 1, flags)
    with fails("ENOMEM"):
        process.msync(base, span - page, flags)


# ------------------------------------------------------------------------------------------------------ pages and flags


@clause("msync.private")
@pytest.mark.parametrize("flags", FLAGS)
def test_private_stores_do_not_reach_file(process: Process, file: MakeFile, page: int, flags: int) -> None:
    fd = file(b"text")
    shared = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)
    base = process.mmap(0, page, RW, MAP_PRIVATE, fd, 0)
    process.store(base, b"T")

    process.msync(base, page, flags)

    assert process.pread(fd, 4, 0) == b"text"
    assert process.load(shared, 4) == b"text"


@clause("msync.flag.invalidate.private")
@pytest.mark.parametrize("flags", WITH_INVALIDATE)
@pytest.mark.parametrize("kind", ["file", "anonymous"])
def test_private_stores_are_not_invalidated(process: Process, file: MakeFile, page: int, kind: str, flags: int) -> None:
    """The stores stay although the file has changed meanwhile."""
    fd = file(b"text" + bytes(page - 4))
    if kind == "file":
        base = process.mmap(0, page, RW, MAP_PRIVATE, fd, 0)
    else:
        base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, b"stored")
    process.pwrite(fd, b"FILE", 0)

    process.msync(base, page, flags)

    assert process.load(base, 8) == b"stored\0\0"


@clause("msync.anonymous")
@pytest.mark.parametrize("flags", ALL_FLAGS)
@pytest.mark.parametrize("kind", [MAP_PRIVATE, MAP_SHARED], ids=["private", "shared"])
def test_anonymous_memory_can_be_synced(process: Process, page: int, kind: int, flags: int) -> None:
    """The first page has been stored to; the second has never been accessed."""
    base = process.mmap(0, 2 * page, RW, kind | MAP_ANONYMOUS, -1, 0)
    process.store(base, b"kept")

    process.msync(base, 2 * page, flags)

    assert process.load(base, 2 * page) == b"kept" + bytes(2 * page - 4)


@clause("msync.rights")
@pytest.mark.parametrize("flags", ALL_FLAGS)
@pytest.mark.parametrize("prot", [PROT_NONE, PROT_READ], ids=["none", "read"])
@pytest.mark.parametrize("mode", [O_RDONLY, O_RDWR], ids=["read-only-descriptor", "writable-descriptor"])
def test_any_protection_can_be_synced(
    process: Process, file: MakeFile, page: int, mode: int, prot: int, flags: int
) -> None:
    """The page after it is unmapped, so that a range of two pages fails."""
    base = process.mmap(0, 2 * page, prot, MAP_SHARED, file(b"text" * page, mode), 0)
    process.munmap(base + page, page)

    process.msync(base, page, flags)

    with fails("ENOMEM"):
        process.msync(base, 2 * page, flags)


@clause("msync.several")
@pytest.mark.parametrize("flags", ALL_FLAGS)
def test_range_spans_mappings_of_every_kind(process: Process, file: MakeFile, page: int, flags: int) -> None:
    base = reserve(process, 6)
    process.mmap(base + page, page, RW, MAP_SHARED | MAP_FIXED, file(b"a"), 0)
    process.mmap(base + 2 * page, page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.mmap(base + 3 * page, page, PROT_READ, MAP_SHARED | MAP_FIXED, file(b"c", O_RDONLY), 0)
    process.mmap(base + 4 * page, page, RW, MAP_PRIVATE | MAP_FIXED, file(b"d"), 0)
    for number, letter in ((1, b"A"), (2, b"B"), (4, b"D")):
        process.store(base + number * page, letter)

    process.msync(base, 6 * page, flags)

    assert b"".join(process.load(base + number * page, 1) for number in (1, 2, 3, 4)) == b"ABcD"


@clause("msync.lock")
@pytest.mark.parametrize("flags", [0, MS_SYNC, MS_ASYNC], ids=["none", "sync", "async"])
def test_locked_pages_affect_only_invalidate(process: Process, file: MakeFile, page: int, flags: int) -> None:
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, file(lettered_pages(page, 2)), 0)
    process.mlock(base, page)

    process.msync(base, 2 * page, flags)

    process.msync(base + page, page, flags | MS_INVALIDATE)
    with fails("EBUSY"):
        process.msync(base, 2 * page, flags | MS_INVALIDATE)


@clause("msync.flags.zero")
@pytest.mark.parametrize("mapped", [True, False], ids=["mapped", "hole"])
def test_flags_zero_is_accepted(process: Process, file: MakeFile, page: int, mapped: bool) -> None:
    fd = file(b"old" + bytes(2 * page - 3))
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    process.store(base, b"new")
    if mapped:
        process.msync(base, 2 * page, 0)
    else:
        process.munmap(base + page, page)
        with fails("ENOMEM"):
            process.msync(base, 2 * page, 0)

    assert process.load(base, 3) == b"new"
    assert process.pread(fd, 3, 0) == b"new"


@clause("msync.length-zero")
@pytest.mark.parametrize("flags", ALL_FLAGS)
@pytest.mark.parametrize("where", ["mapped", "locked", "unmapped", "null"])
def test_length_zero_succeeds(process: Process, page: int, where: str, flags: int) -> None:
    base = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)
    process.munmap(base + page, page)
    if where == "locked":
        process.mlock(base, page)

    process.msync({"unmapped": base + page, "null": 0}.get(where, base), 0, flags)

    with fails("ENOMEM"):
        process.msync(base + page, 1, MS_ASYNC)


@clause("msync.closed")
@pytest.mark.parametrize("flags", ALL_FLAGS)
def test_sync_after_close_and_unlink_succeeds(
    process: Process, file: MakeFile, new_path: NewPath, page: int, flags: int
) -> None:
    path = new_path()
    fd = file(b"old", path=path)
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    other = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)
    process.close(fd)
    process.unlink(path)
    process.store(base, b"new")

    process.msync(base, page, flags)

    assert process.load(base, 3) == process.load(other, 3) == b"new"


@clause("msync.past-end")
@pytest.mark.parametrize("flags", ALL_FLAGS)
@pytest.mark.parametrize("size", [1, 0], ids=["one-page", "empty"])
def test_pages_past_end_of_file_can_be_synced(
    process: Process, file: MakeFile, page: int, size: int, flags: int
) -> None:
    fd = file(b"x" * (size * page))
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, fd, 0)
    with faults("SIGBUS"):
        process.load(base + page, 1)

    process.msync(base, 3 * page, flags)

    assert process.fstat(fd).size == size * page
    with faults("SIGBUS"):
        process.load(base + page, 1)


@clause("msync.slack")
@pytest.mark.parametrize("flags", ALL_FLAGS)
def test_store_past_end_of_file_does_not_grow_file(process: Process, file: MakeFile, page: int, flags: int) -> None:
    fd = file(b"text")
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    process.store(base, b"T")
    process.store(base + 4, b"slack")

    process.msync(base, page, flags)

    assert process.fstat(fd).size == 4
    assert process.pread(fd, page, 0) == b"Text"


@clause("msync.errno.ENOMEM.outside")
@pytest.mark.parametrize("flags", ALL_FLAGS)
@pytest.mark.parametrize("length", ["half", "to-last-page"])
def test_range_past_address_space_fails(process: Process, page: int, length: str, flags: int) -> None:
    """The range starts at a mapping; lengths that round up to 0 belong to another clause."""
    if process.bits < 64:
        raise Unsupported("a small address space may be mapped to its end")
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    span = 1 << process.bits

    with fails("ENOMEM"):
        process.msync(base, span // 2 if length == "half" else span - base - page, flags)


@clause("msync.errno.order")
@pytest.mark.parametrize(
    ("pages", "mistake", "errno"),
    [
        pytest.param("locked hole", "", "EBUSY", id="locked-before-hole"),
        pytest.param("hole locked", "", "EBUSY", id="locked-after-hole"),
        pytest.param("hole plain locked", "", "EBUSY", id="locked-two-pages-after-hole"),
        pytest.param("hole plain", "unaligned", "EINVAL", id="unaligned-over-hole"),
        pytest.param("locked", "unaligned", "EINVAL", id="unaligned-over-locked-page"),
        pytest.param("hole plain", "flag", "EINVAL", id="unknown-flag-over-hole"),
        pytest.param("locked", "both", "EINVAL", id="sync-and-async-over-locked-page"),
    ],
)
def test_first_of_two_errors_is_returned(process: Process, page: int, pages: str, mistake: str, errno: str) -> None:
    kinds = pages.split()
    base = process.mmap(0, len(kinds) * page, RW, ANONYMOUS, -1, 0)
    for number, kind in enumerate(kinds):
        if kind == "locked":
            process.mlock(base + number * page, page)
        elif kind == "hole":
            process.munmap(base + number * page, page)
    flags = MS_INVALIDATE | {"flag": 8, "both": MS_SYNC | MS_ASYNC}.get(mistake, MS_SYNC)

    with fails(errno):
        process.msync(base + (mistake == "unaligned"), len(kinds) * page, flags)
