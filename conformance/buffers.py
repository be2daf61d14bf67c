"""Cases of calls with a user buffer: loads and stores that the kernel performs in the memory of the calling process.

`read_into` is pread into mapped memory of the process, `write_from` is pwrite from it.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ..contract import (
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MS_SYNC,
    O_DIRECTORY,
    O_RDONLY,
    O_RDWR,
    PROT_NONE,
    PROT_READ,
    Facility,
    Process,
    System,
    errno_name,
)
from ..testing import clause, fails
from ._helpers import ANONYMOUS, RW, MakeFile, NewPath, assert_nothing_mapped, drop_page_cache, lettered_pages, reserve

# ------------------------------------------------------------------------------------------------- inaccessible buffers


def map_before_inaccessible_page(process: Process, page: int, file: MakeFile, reason: str) -> int:
    """Return the address of an accessible page of A, followed by a page that is inaccessible for this reason."""
    base = reserve(process, 3)
    if reason == "past-end-of-file":
        process.mmap(base, 2 * page, RW, MAP_SHARED | MAP_FIXED, file(bytes(page)), 0)
    else:
        process.mmap(base, page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(base, b"A" * page)
    if reason == "not-mapped":
        process.munmap(base + page, page)
    elif reason == "read-only":
        process.mprotect(base + page, page, PROT_READ)
    elif reason == "inaccessible":
        process.mprotect(base + page, page, PROT_NONE)
    return base


NOT_WRITABLE = pytest.mark.parametrize("reason", ["not-mapped", "read-only", "inaccessible", "past-end-of-file"])
NOT_READABLE = pytest.mark.parametrize("reason", ["not-mapped", "inaccessible", "past-end-of-file"])


@clause("buffer.store")
@NOT_WRITABLE
def test_read_into_unwritable_buffer_fails(process: Process, page: int, file: MakeFile, reason: str) -> None:
    base = map_before_inaccessible_page(process, page, file, reason)
    fd = file(b"0123456789")

    with fails("EFAULT"):
        process.read_into(fd, base + page, 10, 0)

    assert process.load(base, page) == b"A" * page


@clause("buffer.store")
def test_device_read_into_unmapped_buffer_fails(process: Process, system: System, page: int, file: MakeFile) -> None:
    base = map_before_inaccessible_page(process, page, file, "not-mapped")
    zero = process.open(system.facility(Facility.DEV_ZERO), O_RDWR)

    with fails("EFAULT"):
        process.read_into(zero, base + page, 10, 0)

    assert_nothing_mapped(process, base + page)


@clause("buffer.store.part")
@NOT_WRITABLE
def test_read_stops_at_unwritable_page(process: Process, page: int, file: MakeFile, reason: str) -> None:
    base = map_before_inaccessible_page(process, page, file, reason)
    fd = file(b"0123456789")

    assert process.read_into(fd, base + page - 4, 10, 0) == 4

    assert process.load(base + page - 6, 6) == b"AA0123"


@clause("buffer.load")
@NOT_READABLE
def test_write_from_unreadable_buffer_fails(process: Process, page: int, file: MakeFile, reason: str) -> None:
    base = map_before_inaccessible_page(process, page, file, reason)
    fd = file(b"0123")

    with fails("EFAULT"):
        process.write_from(fd, base + page, 10, 2)

    assert process.pread(fd, 20, 0) == b"0123"
    assert process.fstat(fd).size == 4


@clause("buffer.load.part")
@NOT_READABLE
def test_write_stops_at_unreadable_page(process: Process, page: int, file: MakeFile, reason: str) -> None:
    """A file system may refuse the whole call instead (btrfs does); the file then has not changed."""
    base = map_before_inaccessible_page(process, page, file, reason)
    fd = file(b"0123")

    try:
        written = process.write_from(fd, base + page - 4, 10, 2)
    except OSError as error:
        if errno_name(error) != "EFAULT":
            raise
        content = b"0123"
    else:
        assert written == 4
        content = b"01AAAA"

    assert process.pread(fd, 20, 0) == content


@clause("buffer.nothing-to-move")
@pytest.mark.parametrize("call", ["read-zero-bytes", "read-at-end-of-file", "write-zero-bytes"])
def test_unmapped_buffer_is_ignored_if_nothing_is_transferred(
    process: Process, page: int, file: MakeFile, call: str
) -> None:
    base = map_before_inaccessible_page(process, page, file, "not-mapped") + page
    fd = file(b"0123")
    calls: dict[str, Callable[[], int]] = {
        "read-zero-bytes": lambda: process.read_into(fd, base, 0, 0),
        "read-at-end-of-file": lambda: process.read_into(fd, base, 10, 4),
        "write-zero-bytes": lambda: process.write_from(fd, base, 0, 0),
    }

    assert calls[call]() == 0


# ----------------------------------------------------------------------------------------------------------- visibility


@clause("buffer.private")
def test_read_into_private_mapping_copies_page(process: Process, page: int, file: MakeFile) -> None:
    """The page is copied as by a store: the file does not change, and later writes are not visible in the page."""
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, RW, MAP_PRIVATE, fd, 0)
    other = process.mmap(0, 2 * page, PROT_READ, MAP_SHARED, fd, 0)

    assert process.read_into(file(b"0123456789"), base + 4, 10, 0) == 10
    process.pwrite(fd, b"x" * page, 0)

    assert process.load(base, page) == b"A" * 4 + b"0123456789" + b"A" * (page - 14)
    assert process.load(other, page) == process.pread(fd, page, 0) == b"x" * page


@clause("buffer.private")
@pytest.mark.parametrize("caller", ["parent", "child"])
def test_read_after_fork_changes_only_caller(process: Process, page: int, file: MakeFile, caller: str) -> None:
    fd = file(b"0123456789")
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, b"A" * page)
    child = process.fork()
    one, other = (process, child) if caller == "parent" else (child, process)

    assert one.read_into(fd, base, 10, 0) == 10

    assert one.load(base, 11) == b"0123456789A"
    assert other.load(base, 11) == b"A" * 11


@clause("buffer.shared")
def test_read_into_shared_mapping_changes_file(process: Process, page: int, file: MakeFile) -> None:
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    other = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, page)
    child = process.fork()

    assert process.read_into(file(b"0123456789"), base + page - 5, 10, 0) == 10

    assert process.pread(fd, 14, page - 7) == b"AA0123456789BB"
    assert process.load(other, 7) == child.load(base + page, 7) == b"56789BB"


@clause("buffer.own-file")
def test_read_into_mapping_of_same_file_copies_pages(process: Process, page: int, file: MakeFile) -> None:
    fd = file(lettered_pages(page, 4))
    base = process.mmap(0, 4 * page, RW, MAP_SHARED, fd, 0)

    assert process.read_into(fd, base + 2 * page, 2 * page, 0) == 2 * page

    assert process.load(base, 4 * page) == process.pread(fd, 4 * page, 0) == lettered_pages(page, 2) * 2


@clause("buffer.own-file")
def test_write_from_mapping_of_same_file_extends_file(process: Process, page: int, file: MakeFile) -> None:
    """Existing content is overwritten, and the file grows past its end."""
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, fd, 0)
    process.store(base, b"x" * page)

    assert process.write_from(fd, base, page, page + 8) == page

    expected = b"x" * page + b"B" * 8 + b"x" * page
    assert process.pread(fd, 4 * page, 0) == expected
    assert process.load(base, 3 * page) == expected + bytes(page - 8)


# ------------------------------------------------------------------------------------------ two buffers, paths, results


@clause("buffer.two")
def test_two_buffers_are_filled_in_order(process: Process, page: int, file: MakeFile) -> None:
    """Of a shared and a private mapping; the buffers cross page boundaries."""
    fd, target = file(b"0123456789" * page), file(bytes(2 * page))
    shared = process.mmap(0, 2 * page, RW, MAP_SHARED, target, 0)
    private = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)

    assert process.preadv(fd, shared + page - 3, 6, private + page - 1, page, 5) == page + 6

    assert process.load(shared + page - 4, 8) == b"\0" + b"567890" + b"\0"
    assert process.load(private + page - 2, page + 2) == b"\0" + (b"0123456789" * page)[11 : page + 11] + b"\0"
    assert process.pread(target, 6, page - 3) == b"567890"

    assert process.pwritev(fd, private + page - 1, 3, shared + page - 3, 3, 1) == 6
    assert process.pread(fd, 8, 0) == b"01235677"


@clause("buffer.two", "buffer.store")
@NOT_WRITABLE
@pytest.mark.parametrize("which", ["first", "second"])
def test_one_of_two_buffers_is_not_writable(
    process: Process, page: int, file: MakeFile, reason: str, which: str
) -> None:
    base = map_before_inaccessible_page(process, page, file, reason)
    fd = file(b"0123456789")

    if which == "first":
        with fails("EFAULT"):
            process.preadv(fd, base + page, 4, base + 8, 4, 0)
        assert process.load(base, page) == b"A" * page
    else:
        assert process.preadv(fd, base + 8, 4, base + page, 4, 0) == 4
        assert process.load(base, page) == b"A" * 8 + b"0123" + b"A" * (page - 12)


@clause("buffer.two", "buffer.load")
@NOT_READABLE
def test_first_of_two_buffers_is_not_readable(process: Process, page: int, file: MakeFile, reason: str) -> None:
    base = map_before_inaccessible_page(process, page, file, reason)
    fd = file(b"0123456789")

    with fails("EFAULT"):
        process.pwritev(fd, base + page, 4, base + 8, 4, 0)

    assert process.pread(fd, 20, 0) == b"0123456789"


@clause("buffer.two")
def test_buffer_without_a_byte_is_passed_over(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"0123456789")
    base = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)
    process.store(base, b"A" * 2 * page)

    assert process.preadv(fd, base, 0, base + page, 4, 2) == 4
    assert process.load(base + page - 1, 6) == b"A2345A"
    assert process.pwritev(fd, base, 0, base + page, 5, 1) == 5
    assert process.pread(fd, 11, 0) == b"02345A6789"


@clause("buffer.two")
def test_read_into_two_buffers_ends_with_the_file(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"0123456789")
    base = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)
    process.store(base, b"A" * 2 * page)

    assert process.preadv(fd, base, 40, base + page, 40, 3) == 7
    assert process.preadv(fd, base + 100, 4, base + 200, 40, 3) == 7

    assert process.load(base, 2 * page) == (
        b"3456789" + b"A" * 93 + b"3456" + b"A" * 96 + b"789" + b"A" * (2 * page - 203)
    )


@clause("buffer.two")
def test_second_buffer_of_several_pages_is_written(process: Process, page: int, file: MakeFile) -> None:
    """It begins with a private copy of a page."""
    fd, other = file(b"0123"), file(lettered_pages(page, 3))
    first = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(first, b"first")
    base = process.mmap(0, 3 * page, RW, MAP_PRIVATE, other, 0)
    process.store(base, b"private")

    assert process.pwritev(fd, first, 5, base + 1, 3 * page - 1, 0) == 3 * page + 4
    assert process.pread(fd, 4 * page, 0) == b"firstrivate" + lettered_pages(page, 3)[7:]


@clause("buffer.two", "buffer.load")
@NOT_READABLE
def test_second_of_two_buffers_is_not_readable(process: Process, page: int, file: MakeFile, reason: str) -> None:
    """What cannot be loaded makes the file no longer, whether the first buffer is written or not."""
    base = map_before_inaccessible_page(process, page, file, reason)
    fd = file(b"0123")

    try:
        written = process.pwritev(fd, base, 4, base + page, 4, 2)
    except OSError as error:
        if errno_name(error) != "EFAULT":
            raise
        assert process.pread(fd, 20, 0) == b"0123"
    else:
        assert written == 4
        assert process.pread(fd, 20, 0) == b"01AAAA"


@clause("buffer.path")
@NOT_READABLE
def test_path_that_is_not_readable(process: Process, page: int, file: MakeFile, new_path: NewPath, reason: str) -> None:
    path = new_path().encode()
    file(b"content", path=path.decode())
    base = map_before_inaccessible_page(process, page, file, reason)
    end = base + page
    with fails("EFAULT"):
        process.open_path_at(end, O_RDWR)

    process.store(end - len(path), path)
    with fails("EFAULT"):
        process.open_path_at(end - len(path), O_RDWR)

    process.store(end - len(path) - 1, path + b"\0")
    process.mprotect(base, page, PROT_READ)
    fd = process.open_path_at(end - len(path) - 1, O_RDWR)
    assert process.pread(fd, 8, 0) == b"content"


@clause("buffer.path")
def test_path_across_pages(process: Process, page: int, file: MakeFile, new_path: NewPath) -> None:
    """In two mappings of different kinds: a file, of which the page was not accessed yet, and private memory."""
    path = new_path().encode()
    file(b"content", path=path.decode())
    base = reserve(process, 2)
    half = len(path) // 2
    text = file(bytes(page - half) + path[:half])
    process.mmap(base, page, PROT_READ, MAP_SHARED | MAP_FIXED, text, 0)
    process.mmap(base + page, page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(base + page, path[half:] + b"\0")

    fd = process.open_path_at(base + page - half, O_RDWR)

    assert process.pread(fd, 8, 0) == b"content"


@clause("buffer.path")
def test_longest_path_is_read(process: Process, page: int) -> None:
    """PATH_MAX is 4096 on Linux, with the byte 0."""
    base = process.mmap(0, 16 * page, RW, ANONYMOUS, -1, 0)
    process.store(base, b"./" * 2047 + b".\0")
    process.close(process.open_path_at(base, O_RDONLY | O_DIRECTORY))

    process.store(base, b"./" * 2048 + b"\0")
    with fails("ENAMETOOLONG"):
        process.open_path_at(base, O_RDONLY | O_DIRECTORY)


@clause("file.errno")
def test_path_without_an_end_is_too_long(process: Process, page: int) -> None:
    """PATH_MAX is 4096 on Linux."""
    base = process.mmap(0, 16 * page, RW, ANONYMOUS, -1, 0)
    process.store(base, b"x" * 8192)

    with fails("ENAMETOOLONG"):
        process.open_path_at(base, O_RDWR)


@clause("buffer.result")
@NOT_WRITABLE
def test_result_that_cannot_be_stored(process: Process, page: int, file: MakeFile, reason: str) -> None:
    base = map_before_inaccessible_page(process, page, file, reason)
    fd = file(b"x")

    for addr in (base + page, base + page - 8):
        with fails("EFAULT"):
            process.fstat_into(fd, addr)

    assert process.load(base, page - 8) == b"A" * (page - 8)


@clause("buffer.result")
@pytest.mark.parametrize("type", [pytest.param(MAP_SHARED, id="shared"), pytest.param(MAP_PRIVATE, id="private")])
def test_result_is_stored_like_any_bytes(process: Process, page: int, file: MakeFile, type: int) -> None:
    """The page was loaded before the fork."""
    before = b"A" * 2 * page
    fd = file(before)
    base = process.mmap(0, 2 * page, RW, type, fd, 0)
    assert process.load(base, 2 * page) == before
    child = process.fork()

    process.fstat_into(fd, base + page - 16)

    after = process.load(base, 2 * page)
    assert after[: page - 16] == before[: page - 16]
    assert after[page - 16 :] != before[page - 16 :]
    assert after[page + 1024 :] == before[page + 1024 :]
    in_file = after if type == MAP_SHARED else before
    assert child.load(base, 2 * page) == in_file
    assert process.pread(fd, 2 * page, 0) == in_file


@pytest.mark.parametrize(
    "call",
    [
        pytest.param("preadv", marks=clause("buffer.two"), id="preadv"),
        pytest.param("fstat_into", marks=clause("buffer.result"), id="fstat_into"),
    ],
)
def test_page_that_the_kernel_has_stored_to_is_written_back(
    process: Process, page: int, file: MakeFile, call: str
) -> None:
    """The page was loaded, not stored to, before; afterwards it leaves memory."""
    fd = file(lettered_pages(page, 2))
    process.fsync(fd)
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    assert process.load(base, 2 * page) == lettered_pages(page, 2)

    if call == "preadv":
        process.preadv(file(b"0123456789"), base, 5, base + page, 5, 0)
    else:
        process.fstat_into(fd, base + page - 16)
    expected = process.load(base, 2 * page)
    process.msync(base, 2 * page, MS_SYNC)
    drop_page_cache(process, fd)

    assert expected != lettered_pages(page, 2)
    assert process.load(base, 2 * page) == process.pread(fd, 2 * page, 0) == expected
