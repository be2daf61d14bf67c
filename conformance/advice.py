"""Cases of madvise: what of its advice changes memory, and what it refuses.

Whether pages have gone is seen by what they hold, never by whether they are in memory.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ..contract import (
    MADV_DOFORK,
    MADV_DONTFORK,
    MADV_DONTNEED,
    MADV_DONTNEED_LOCKED,
    MADV_FREE,
    MADV_KEEPONFORK,
    MADV_NORMAL,
    MADV_POPULATE_READ,
    MADV_POPULATE_WRITE,
    MADV_RANDOM,
    MADV_REMOVE,
    MADV_SEQUENTIAL,
    MADV_WILLNEED,
    MADV_WIPEONFORK,
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_PRIVATE,
    MAP_SHARED,
    O_RDONLY,
    O_RDWR,
    PROT_NONE,
    PROT_READ,
    Process,
    Unsupported,
)
from ..testing import clause, fails
from ._helpers import (
    ANONYMOUS,
    RW,
    MakeFile,
    NewPath,
    append_only,
    assert_inaccessible,
    assert_nothing_mapped,
    drop_page_cache,
    lettered_pages,
    setup,
    shared_and_private,
)

SHARED = MAP_SHARED | MAP_ANONYMOUS

ADVICE = {
    "normal": MADV_NORMAL,
    "random": MADV_RANDOM,
    "sequential": MADV_SEQUENTIAL,
    "willneed": MADV_WILLNEED,
    "dontneed": MADV_DONTNEED,
    "free": MADV_FREE,
    "remove": MADV_REMOVE,
    "dontfork": MADV_DONTFORK,
    "dofork": MADV_DOFORK,
    "wipeonfork": MADV_WIPEONFORK,
    "keeponfork": MADV_KEEPONFORK,
    "populate-read": MADV_POPULATE_READ,
    "populate-write": MADV_POPULATE_WRITE,
}

HINTS = ("normal", "random", "sequential", "willneed")


def filled(process: Process, page: int, pages: int, flags: int = ANONYMOUS) -> int:
    """The address of memory of no file, each of whose pages has its letter."""
    base = process.mmap(0, pages * page, RW, flags, -1, 0)
    process.store(base, lettered_pages(page, pages))
    return base


def letters(process: Process, page: int, base: int, pages: int) -> str:
    """What each page holds: a letter, "0" for a page of zeros, "?" for one that is not of one byte throughout."""
    told = ""
    for number in range(pages):
        found = set(process.load(base + number * page, page))
        told += (chr(found.pop()) if len(found) == 1 else "?").replace("\0", "0")
    return told


def locked(process: Process, page: int, base: int, pages: int) -> None:
    with setup():
        process.mlock(base, pages * page)


# ----------------------------------------------------------------------------------------------------- what lets go


@clause("madvise.dontneed.anonymous")
def test_private_memory_is_zero_again(process: Process, page: int) -> None:
    base = filled(process, page, 3)

    process.madvise(base, 3 * page, MADV_DONTNEED)

    assert letters(process, page, base, 3) == "000"
    process.store(base, b"x")
    assert process.load(base, 2) == b"x\0"


@clause("madvise.dontneed.private-file")
def test_a_private_copy_is_the_file_again(process: Process, page: int, file: MakeFile) -> None:
    """As the file is now, not as it was when the copy was made."""
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, RW, MAP_PRIVATE, fd, 0)
    process.store(base, b"x" * 2 * page)
    process.pwrite(fd, b"y" * page, 0)

    process.madvise(base, 2 * page, MADV_DONTNEED)

    assert letters(process, page, base, 2) == "yB"


@clause("madvise.dontneed.shared")
@pytest.mark.parametrize("what", ["anonymous", "file"])
def test_nothing_of_what_is_shared_is_lost(process: Process, page: int, file: MakeFile, what: str) -> None:
    """Although nothing has been written back yet."""
    fd = -1 if what == "anonymous" else file(bytes(2 * page))
    base = process.mmap(0, 2 * page, RW, SHARED if what == "anonymous" else MAP_SHARED, fd, 0)
    process.store(base, lettered_pages(page, 2))

    process.madvise(base, 2 * page, MADV_DONTNEED)

    assert letters(process, page, base, 2) == "AB"


@clause("madvise.dontneed.apart")
@pytest.mark.parametrize("who", ["parent", "child"])
def test_another_process_keeps_its_pages(process: Process, page: int, who: str) -> None:
    base = filled(process, page, 2)
    child = process.fork()
    one, other = (process, child) if who == "parent" else (child, process)

    one.madvise(base, 2 * page, MADV_DONTNEED)

    assert letters(other, page, base, 2) == "AB"
    assert letters(one, page, base, 2) == "00"


@clause("madvise.dontneed.rights")
@pytest.mark.parametrize("prot", [pytest.param(PROT_NONE, id="none"), pytest.param(PROT_READ, id="read")])
def test_rights_neither_matter_nor_change(process: Process, page: int, prot: int) -> None:
    base = filled(process, page, 1)
    process.mprotect(base, page, prot)

    process.madvise(base, page, MADV_DONTNEED)

    if prot == PROT_NONE:
        assert_inaccessible(process, base)
    process.mprotect(base, page, RW)
    assert letters(process, page, base, 1) == "0"


@clause("madvise.range")
@pytest.mark.parametrize(
    ("pages", "extra", "left"),
    [pytest.param(0, 1, "A0CDE", id="a-byte"), pytest.param(2, -1, "A00DE", id="less-a-byte"), (1, 1, "A00DE")],
    ids=["a-byte", "less-a-byte", "more-by-a-byte"],
)
def test_whole_pages_of_the_range_and_no_others(process: Process, page: int, pages: int, extra: int, left: str) -> None:
    base = filled(process, page, 5)

    process.madvise(base + page, pages * page + extra, MADV_DONTNEED)

    assert letters(process, page, base, 5) == left


@clause("madvise.length-zero")
def test_a_length_of_zero_does_nothing(process: Process, page: int) -> None:
    """Where nothing is mapped as well."""
    base = filled(process, page, 2)
    process.madvise(base, 0, MADV_DONTNEED)
    assert letters(process, page, base, 2) == "AB"

    process.munmap(base, page)
    process.madvise(base, 0, MADV_DONTNEED)


@clause("madvise.dontneed-locked")
def test_locked_memory_that_is_not_needed(process: Process, page: int) -> None:
    base = filled(process, page, 2)
    locked(process, page, base, 1)

    process.madvise(base, 2 * page, MADV_DONTNEED_LOCKED)

    assert letters(process, page, base, 2) == "00"


@clause("madvise.free")
def test_freed_memory_is_what_it_was_or_zero(process: Process, page: int) -> None:
    base = filled(process, page, 3)

    process.madvise(base, 2 * page, MADV_FREE)

    assert letters(process, page, base, 3) in ("ABC", "0BC", "A0C", "00C")


@clause("madvise.free.store")
def test_what_is_stored_after_it_was_freed_stays(process: Process, page: int) -> None:
    base = filled(process, page, 2)
    process.madvise(base, 2 * page, MADV_FREE)

    process.store(base, b"x" * page)
    process.store(base + page + 5, b"y")

    assert process.load(base, page) == b"x" * page
    assert process.load(base + page + 5, 1) == b"y"
    assert process.load(base + page, 1) in (b"B", b"\0")


# ------------------------------------------------------------------------------------------------------------- holes


@contextmanager
def where_files_have_holes() -> Iterator[None]:
    """A file system that cannot make a hole says so."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            raise Unsupported("the file system makes no holes") from error
        raise


@clause("madvise.remove")
@pytest.mark.parametrize("what", ["anonymous", "memfd"])
def test_a_hole_in_shared_memory(process: Process, page: int, what: str) -> None:
    """In whoever shares it."""
    fd, flags = -1, SHARED
    if what == "memfd":
        with setup():
            fd, flags = process.memfd(), MAP_SHARED
            process.ftruncate(fd, 3 * page)
    base = process.mmap(0, 3 * page, RW, flags, fd, 0)
    process.store(base, lettered_pages(page, 3))
    child = process.fork()

    process.madvise(base + page, page, MADV_REMOVE)

    for each in (process, child):
        assert letters(each, page, base, 3) == "A0C"


@clause("madvise.remove.file")
def test_a_hole_in_a_file(process: Process, page: int, file: MakeFile) -> None:
    """Its length stays; so does what a private mapping has copied."""
    fd = file(lettered_pages(page, 4))
    shared = process.mmap(0, 3 * page, RW, MAP_SHARED, fd, page)
    private = process.mmap(0, 4 * page, RW, MAP_PRIVATE, fd, 0)
    process.store(private + page, b"x" * page)

    with where_files_have_holes():
        process.madvise(shared, 2 * page, MADV_REMOVE)

    assert process.pread(fd, 4 * page, 0) == b"A" * page + bytes(2 * page) + b"D" * page
    assert letters(process, page, shared, 3) == "00D"
    assert letters(process, page, private, 4) == "Ax0D"


@clause("madvise.remove.append-only")
def test_no_hole_in_what_can_be_appended_to_only(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"A" * page)
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)

    with append_only(process, fd), fails("EPERM"):
        process.madvise(base, page, MADV_REMOVE)

    assert process.pread(fd, page, 0) == b"A" * page


@clause("madvise.errno.EACCES")
@pytest.mark.parametrize("how", ["private", "read-only"])
def test_a_hole_where_one_may_not_store(
    process: Process, page: int, file: MakeFile, new_path: NewPath, how: str
) -> None:
    path = new_path()
    fd = file(b"A" * page, O_RDWR, path)
    with setup():
        other = process.open(path, O_RDONLY)
    base = process.mmap(0, page, PROT_READ, *((MAP_PRIVATE, fd) if how == "private" else (MAP_SHARED, other)), 0)

    with fails("EACCES"):
        process.madvise(base, page, MADV_REMOVE)

    assert process.pread(fd, page, 0) == b"A" * page


@clause("madvise.errno.EINVAL.remove")
def test_a_hole_without_a_file(process: Process, page: int) -> None:
    base = filled(process, page, 1)

    with fails("EINVAL"):
        process.madvise(base, page, MADV_REMOVE)

    assert letters(process, page, base, 1) == "A"


# ----------------------------------------------------------------------------------------------- what a child is given


@clause("madvise.dontfork")
@shared_and_private
def test_a_child_without_the_range(process: Process, page: int, kind: int) -> None:
    """The parent keeps it."""
    base = filled(process, page, 3, kind | MAP_ANONYMOUS)
    process.madvise(base + page, page, MADV_DONTFORK)
    child = process.fork()

    assert_nothing_mapped(child, base + page)
    assert letters(child, page, base, 1) + letters(child, page, base + 2 * page, 1) == "AC"
    assert letters(process, page, base, 3) == "ABC"


@clause("madvise.dofork")
def test_a_child_with_the_range_after_all(process: Process, page: int) -> None:
    base = filled(process, page, 3)
    process.madvise(base, 3 * page, MADV_DONTFORK)
    process.madvise(base + page, 2 * page, MADV_DOFORK)
    child = process.fork()

    assert_nothing_mapped(child, base)
    assert letters(child, page, base + page, 2) == "BC"


@clause("madvise.wipeonfork")
def test_a_child_finds_zeros(process: Process, page: int) -> None:
    """The parent does not, nor does either see what the other stores then."""
    base = filled(process, page, 3)
    process.madvise(base + page, page, MADV_WIPEONFORK)
    child = process.fork()

    assert letters(child, page, base, 3) == "A0C"
    child.store(base + page, b"x" * page)
    assert letters(process, page, base, 3) == "ABC"


@clause("madvise.wipeonfork.inherited")
def test_a_childs_child_finds_zeros(process: Process, page: int) -> None:
    base = filled(process, page, 2)
    process.madvise(base, page, MADV_WIPEONFORK)
    child = process.fork()
    child.store(base, b"x" * page)

    assert letters(child.fork(), page, base, 2) == "0B"


@clause("madvise.keeponfork")
def test_a_child_finds_the_content_after_all(process: Process, page: int) -> None:
    base = filled(process, page, 3)
    process.madvise(base, 3 * page, MADV_WIPEONFORK)
    process.madvise(base + page, 2 * page, MADV_KEEPONFORK)

    assert letters(process.fork(), page, base, 3) == "0BC"


OTHERS_MEMORY = pytest.mark.parametrize("what", ["shared-anonymous", "shared-file", "private-file"])


def others_memory(process: Process, page: int, file: MakeFile, what: str) -> int:
    """A page that is not both private and without a file."""
    if what == "shared-anonymous":
        return filled(process, page, 1, SHARED)
    base = process.mmap(0, page, RW, MAP_SHARED if what == "shared-file" else MAP_PRIVATE, file(bytes(page)), 0)
    process.store(base, b"A" * page)
    return base


@clause("madvise.errno.EINVAL.wipe")
@OTHERS_MEMORY
def test_only_private_memory_is_wiped(process: Process, page: int, file: MakeFile, what: str) -> None:
    base = others_memory(process, page, file, what)

    with fails("EINVAL"):
        process.madvise(base, page, MADV_WIPEONFORK)

    assert letters(process.fork(), page, base, 1) == "A"


@clause("madvise.errno.EINVAL.droppable")
def test_droppable_memory_cannot_be_kept_for_a_child(process: Process, page: int) -> None:
    base = process.mmap(0, page, RW, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0)
    process.store(base, b"A")

    with fails("EINVAL"):
        process.madvise(base, page, MADV_KEEPONFORK)

    assert process.fork().load(base, 1) == b"\0"


@clause("madvise.errno.EINVAL.free")
@OTHERS_MEMORY
def test_only_private_memory_is_freed(process: Process, page: int, file: MakeFile, what: str) -> None:
    base = others_memory(process, page, file, what)

    with fails("EINVAL"):
        process.madvise(base, page, MADV_FREE)

    assert letters(process, page, base, 1) == "A"


# ----------------------------------------------------------------------------------------------------- what brings in


@clause("madvise.populate-read")
@shared_and_private
def test_pages_brought_in_for_loading(process: Process, page: int, file: MakeFile, kind: int) -> None:
    """They are in memory; a private one has not been copied, so the file still shows."""
    fd = file(lettered_pages(page, 2))
    drop_page_cache(process, fd)
    base = process.mmap(0, 2 * page, RW, kind, fd, 0)

    process.madvise(base, 2 * page, MADV_POPULATE_READ)

    assert process.mincore(base, 2 * page) == [True, True]
    process.pwrite(fd, b"x" * page, 0)
    assert letters(process, page, base, 2) == "xB"


@clause("madvise.populate-read")
def test_fresh_pages_brought_in_for_loading(process: Process, page: int) -> None:
    base = process.mmap(0, 3 * page, PROT_READ, ANONYMOUS, -1, 0)

    process.madvise(base, 2 * page, MADV_POPULATE_READ)

    assert process.mincore(base, 3 * page) == [True, True, False]
    assert letters(process, page, base, 3) == "000"


@clause("madvise.populate-write")
def test_pages_brought_in_for_storing(process: Process, page: int, file: MakeFile) -> None:
    """A private page is copied, as by a store, but nothing is stored."""
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, RW, MAP_PRIVATE, fd, 0)

    process.madvise(base, page, MADV_POPULATE_WRITE)

    process.pwrite(fd, b"x" * 2 * page, 0)
    assert letters(process, page, base, 2) == "Ax"


@clause("madvise.populate-write")
def test_fresh_pages_brought_in_for_storing(process: Process, page: int) -> None:
    base = process.mmap(0, 3 * page, RW, ANONYMOUS, -1, 0)

    process.madvise(base, 2 * page, MADV_POPULATE_WRITE)

    assert process.mincore(base, 3 * page) == [True, True, False]
    assert letters(process, page, base, 3) == "000"


@clause("madvise.errno.EFAULT")
@shared_and_private
@pytest.mark.parametrize("advice", ["populate-read", "populate-write"])
def test_pages_past_the_end_cannot_be_brought_in(
    process: Process, page: int, file: MakeFile, advice: str, kind: int
) -> None:
    base = process.mmap(0, 2 * page, RW, kind, file(b"A"), 0)

    with fails("EFAULT"):
        process.madvise(base, 2 * page, ADVICE[advice])

    process.madvise(base, page, ADVICE[advice])


@clause("madvise.errno.EINVAL.populate")
@pytest.mark.parametrize(
    ("advice", "prot"),
    [
        pytest.param(MADV_POPULATE_READ, PROT_NONE, id="read-without-a-right"),
        pytest.param(MADV_POPULATE_WRITE, PROT_NONE, id="write-without-a-right"),
        pytest.param(MADV_POPULATE_WRITE, PROT_READ, id="write-read-only"),
    ],
)
def test_pages_without_the_right(process: Process, page: int, advice: int, prot: int) -> None:
    base = process.mmap(0, page, prot, ANONYMOUS, -1, 0)

    with fails("EINVAL"):
        process.madvise(base, page, advice)

    assert process.mincore(base, page) == [False]


# --------------------------------------------------------------------------------------------------------- about speed


@clause("madvise.hints")
@pytest.mark.parametrize("advice", HINTS)
def test_advice_about_speed_changes_nothing(process: Process, page: int, file: MakeFile, advice: str) -> None:
    fd = file(lettered_pages(page, 2))
    shared = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    private = process.mmap(0, 2 * page, RW, MAP_PRIVATE, fd, 0)
    process.store(shared, b"s" * page)
    process.store(private, b"p" * page)

    for base in (shared, private):
        process.madvise(base, 2 * page, ADVICE[advice])

    assert letters(process, page, shared, 2) == "sB"
    assert letters(process, page, private, 2) == "pB"
    assert process.pread(fd, 2 * page, 0) == b"s" * page + b"B" * page


# -------------------------------------------------------------------------------------------------------------- errors


@clause("madvise.errno.EINVAL.advice")
@pytest.mark.parametrize("pages", [0, 1], ids=["no-length", "a-page"])
@pytest.mark.parametrize("advice", [5, 99, -1])
def test_unknown_advice(process: Process, page: int, advice: int, pages: int) -> None:
    base = filled(process, page, 1)

    with fails("EINVAL"):
        process.madvise(base, pages * page, advice)

    assert letters(process, page, base, 1) == "A"


@clause("madvise.errno.EINVAL.address")
@pytest.mark.parametrize("length", ["nothing", "a-page"])
@pytest.mark.parametrize("inside", ["1", "half"])
def test_an_unaligned_address(process: Process, page: int, inside: str, length: str) -> None:
    base = filled(process, page, 2)

    with fails("EINVAL"):
        process.madvise(base + (1 if inside == "1" else page // 2), page if length == "a-page" else 0, MADV_DONTNEED)

    assert letters(process, page, base, 2) == "AB"


@clause("madvise.errno.EINVAL.range")
@pytest.mark.parametrize("less", ["a-byte", "a-page"])
def test_a_negative_length(process: Process, page: int, less: str) -> None:
    base = filled(process, page, 1)

    with fails("EINVAL"):
        process.madvise(base, (1 << process.bits) - (1 if less == "a-byte" else page), MADV_DONTNEED)

    assert letters(process, page, base, 1) == "A"


@clause("madvise.errno.EINVAL.locked")
@pytest.mark.parametrize("advice", ["dontneed", "free"])
def test_locked_memory_is_needed(process: Process, page: int, advice: str) -> None:
    """What comes before it has gone."""
    base = filled(process, page, 2)
    locked(process, page, base, 2)

    with fails("EINVAL"):
        process.madvise(base, 2 * page, ADVICE[advice])

    assert letters(process, page, base, 2) == "AB"


@clause("madvise.errno.EINVAL.locked")
def test_a_hole_in_locked_memory(process: Process, page: int) -> None:
    base = filled(process, page, 2, SHARED)
    locked(process, page, base + page, 1)

    with fails("EINVAL"):
        process.madvise(base + page, page, MADV_REMOVE)

    assert letters(process, page, base, 2) == "AB"


@clause("madvise.errno.ENOMEM")
@pytest.mark.parametrize("advice", [name for name in ADVICE if name != "remove"])
@pytest.mark.parametrize("hole", [0, 1, 2], ids=["start", "middle", "end"])
def test_a_hole_in_the_range(process: Process, page: int, hole: int, advice: str) -> None:
    base = filled(process, page, 3)
    process.munmap(base + hole * page, page)

    with fails("ENOMEM"):
        process.madvise(base, 3 * page, ADVICE[advice])

    assert_nothing_mapped(process, base + hole * page)


@clause("madvise.errno.ENOMEM.rest")
def test_what_is_mapped_on_both_sides_of_a_hole_is_let_go(process: Process, page: int) -> None:
    base = filled(process, page, 4)
    process.munmap(base + page, page)

    with fails("ENOMEM"):
        process.madvise(base, 3 * page, MADV_DONTNEED)

    assert letters(process, page, base, 1) + letters(process, page, base + 2 * page, 2) == "00D"
