"""Cases of msync that need no crash: what others see, what is refused.  What is on disk: durability.py."""

from __future__ import annotations

import pytest

from ..contract import (
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MS_ASYNC,
    MS_INVALIDATE,
    MS_SYNC,
    O_RDONLY,
    O_RDWR,
    PROT_READ,
    Process,
    System,
)
from ..words import clause, fails
from ._helpers import (
    ANONYMOUS,
    RW,
    MakeFile,
    NewPath,
    WriteFile,
    reserve,
)

FLAGS = [
    pytest.param(MS_SYNC, id="sync"),
    pytest.param(MS_ASYNC, id="async"),
    pytest.param(MS_INVALIDATE, id="invalidate"),
    pytest.param(MS_SYNC | MS_INVALIDATE, id="sync-invalidate"),
    pytest.param(MS_ASYNC | MS_INVALIDATE, id="async-invalidate"),
]
WITH_INVALIDATE = FLAGS[2:]


@clause("msync.result")
@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("kind", ["shared", "read-only", "private", "anonymous"])
def test_success_on_any_mapping(process: Process, file: MakeFile, page: int, kind: str, flags: int) -> None:
    """Nothing to write is no error."""
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
            base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
            process.store(base, b"Text")

    process.msync(base, page, flags)

    assert process.load(base, 4) == b"Text"


@clause("msync.result")
def test_result_of_failure(process: Process, page: int) -> None:
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.munmap(base, page)

    with fails("ENOMEM"):
        process.msync(base, page, MS_SYNC)


@clause("msync.result")
def test_several_mappings_in_one_call(process: Process, file: MakeFile, page: int) -> None:
    base = reserve(process, 4)
    process.mmap(base, page, RW, MAP_SHARED | MAP_FIXED, file(b"a"), 0)
    process.mmap(base + page, page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.mmap(base + 2 * page, page, PROT_READ, MAP_SHARED | MAP_FIXED, file(b"c"), 0)

    process.msync(base, 4 * page, MS_SYNC)


@clause("msync.usual-arguments")
def test_the_length_that_mmap_was_given(process: Process, file: MakeFile, page: int) -> None:
    """The unrounded length covers the last page: where that is not mapped, the call says so."""
    base = process.mmap(0, page + 8, RW, MAP_SHARED, file(bytes(2 * page)), 0)
    process.msync(base, page + 8, MS_SYNC)
    process.munmap(base + page, 8)

    process.msync(base, page, MS_SYNC)
    with fails("ENOMEM"):
        process.msync(base, page + 8, MS_SYNC)


@clause("msync.then-munmap")
def test_two_processes_sync_and_unmap(
    process: Process, system: System, new_path: NewPath, write_file: WriteFile, page: int
) -> None:
    """Each stores, syncs and unmaps: nothing of either is lost."""
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
def test_async_store_is_seen_by_others(
    process: Process, system: System, file: MakeFile, new_path: NewPath, page: int
) -> None:
    """The call returns at once; nothing is promised of the disk; whoever shares the file sees the store."""
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
@pytest.mark.parametrize("by", ["write", "another-process"])
def test_invalidate_shows_the_current_content(
    process: Process, system: System, file: MakeFile, new_path: NewPath, page: int, by: str, flags: int
) -> None:
    path = new_path()
    fd = file(b"old", path=path)
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)
    assert process.load(base, 3) == b"old"
    if by == "write":
        process.pwrite(fd, b"new", 0)
    else:
        other = system.spawn()
        other_base = other.mmap(0, page, RW, MAP_SHARED, other.open(path, O_RDWR), 0)
        other.store(other_base, b"new")
        other.msync(other_base, page, MS_SYNC)

    process.msync(base, page, flags)

    assert process.load(base, 3) == b"new"


@clause("msync.flag.invalidate")
def test_invalidate_loses_no_store(process: Process, file: MakeFile, page: int) -> None:
    """What the mapping itself changed is the file's current content too."""
    fd = file(b"old")
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    process.store(base, b"new")

    process.msync(base, page, MS_SYNC | MS_INVALIDATE)

    assert process.load(base, 3) == b"new"
    assert process.pread(fd, 3, 0) == b"new"


@clause("msync.flag.invalidate.busy")
@pytest.mark.parametrize("flags", WITH_INVALIDATE)
@pytest.mark.parametrize("locked", [0, 1, 2], ids=["first", "middle", "last"])
def test_invalidate_of_a_locked_page(process: Process, file: MakeFile, page: int, locked: int, flags: int) -> None:
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, file(b"x" * (3 * page)), 0)
    process.mlock(base + locked * page, page)

    with fails("EBUSY"):
        process.msync(base, 3 * page, flags)

    process.munlock(base + locked * page, page)
    process.msync(base, 3 * page, flags)


@clause("msync.flag.invalidate.busy")
def test_a_locked_page_hinders_no_other_call(process: Process, file: MakeFile, page: int) -> None:
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, file(b"x" * (2 * page)), 0)
    process.mlock(base, page)

    process.msync(base, 2 * page, MS_SYNC)
    process.msync(base + page, page, MS_SYNC | MS_INVALIDATE)


# ------------------------------------------------------------------------------------------------------------- errors


@clause("msync.errno.EINVAL")
@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("inside", ["1", "half", "last"])
@pytest.mark.parametrize("length", ["page", "zero"])
def test_unaligned_address(process: Process, page: int, length: str, inside: str, flags: int) -> None:
    base = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)

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
def test_flags_that_are_not_valid(process: Process, file: MakeFile, page: int, flags: int) -> None:
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
def test_a_hole_in_the_range(process: Process, file: MakeFile, page: int, first: int, count: int, flags: int) -> None:
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, file(b"x" * (3 * page)), 0)
    process.munmap(base + first * page, count * page)

    with fails("ENOMEM"):
        process.msync(base, 3 * page, flags)

    for number in range(3):
        if not first <= number < first + count:
            assert process.load(base + number * page, page) == b"x" * page


@clause("msync.errno.ENOMEM")
def test_the_range_beside_the_hole(process: Process, file: MakeFile, page: int) -> None:
    """What is mapped throughout is no error, whatever is missing beside it."""
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, file(b"x" * (3 * page)), 0)
    process.munmap(base + page, page)

    process.msync(base, page, MS_SYNC)
    process.msync(base + 2 * page, page, MS_SYNC)


@clause("msync.length-wraps")
@pytest.mark.parametrize("flags", FLAGS)
def test_a_length_that_rounds_up_to_nothing(process: Process, page: int, flags: int) -> None:
    """Linux rounds the length up first: lengths within a page of the greatest become 0, and nothing is asked for."""
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    span = 1 << process.bits

    process.msync(base, span - 1, flags)
    process.msync(base, span - page + 1, flags)
    with fails("ENOMEM"):
        process.msync(base, span - page, flags)
