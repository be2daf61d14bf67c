"""Cases of madvise: the effect of each advice on memory, and the errors.

Pages are judged to be dropped by their content, never by their residency.
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
    prot_id,
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


def map_filled(process: Process, page: int, pages: int, flags: int = ANONYMOUS) -> int:
    """Return the address of an anonymous mapping in which each page is filled with its own letter."""
    base = process.mmap(0, pages * page, RW, flags, -1, 0)
    process.store(base, lettered_pages(page, pages))
    return base


def page_letters(process: Process, page: int, base: int, pages: int) -> str:
    """Return one character per page: the letter that fills it, "0" for a page of zeros, "?" for mixed content."""
    result = ""
    for number in range(pages):
        values = set(process.load(base + number * page, page))
        result += (chr(values.pop()) if len(values) == 1 else "?").replace("\0", "0")
    return result


def lock_pages(process: Process, page: int, base: int, pages: int) -> None:
    """Lock `pages` pages at `base`; the case is unresolved if that fails."""
    with setup():
        process.mlock(base, pages * page)


# ------------------------------------------------------------------------------------------------------- dropping pages


@clause("madvise.dontneed.anonymous")
def test_dontneed_zeroes_private_anonymous_memory(process: Process, page: int) -> None:
    base = map_filled(process, page, 3)

    process.madvise(base, 3 * page, MADV_DONTNEED)

    assert page_letters(process, page, base, 3) == "000"
    process.store(base, b"x")
    assert process.load(base, 2) == b"x\0"


@clause("madvise.dontneed.private-file")
def test_dontneed_discards_private_copies_of_file_pages(process: Process, page: int, file: MakeFile) -> None:
    """The page then shows the file's present content, not the content at the time of the copy."""
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, RW, MAP_PRIVATE, fd, 0)
    process.store(base, b"x" * 2 * page)
    process.pwrite(fd, b"y" * page, 0)

    process.madvise(base, 2 * page, MADV_DONTNEED)

    assert page_letters(process, page, base, 2) == "yB"


@clause("madvise.dontneed.shared")
@pytest.mark.parametrize("memory", ["anonymous", "file"])
def test_dontneed_keeps_stores_to_shared_memory(process: Process, page: int, file: MakeFile, memory: str) -> None:
    """Even stores that have not been written back are kept."""
    fd = -1 if memory == "anonymous" else file(bytes(2 * page))
    base = process.mmap(0, 2 * page, RW, SHARED if memory == "anonymous" else MAP_SHARED, fd, 0)
    process.store(base, lettered_pages(page, 2))

    process.madvise(base, 2 * page, MADV_DONTNEED)

    assert page_letters(process, page, base, 2) == "AB"


@clause("madvise.dontneed.apart")
@pytest.mark.parametrize("caller", ["parent", "child"])
def test_dontneed_leaves_pages_of_other_process(process: Process, page: int, caller: str) -> None:
    base = map_filled(process, page, 2)
    child = process.fork()
    one, other = (process, child) if caller == "parent" else (child, process)

    one.madvise(base, 2 * page, MADV_DONTNEED)

    assert page_letters(other, page, base, 2) == "AB"
    assert page_letters(one, page, base, 2) == "00"


@clause("madvise.dontneed.rights")
@pytest.mark.parametrize("prot", [PROT_NONE, PROT_READ], ids=prot_id)
def test_dontneed_ignores_and_keeps_protection(process: Process, page: int, prot: int) -> None:
    base = map_filled(process, page, 1)
    process.mprotect(base, page, prot)

    process.madvise(base, page, MADV_DONTNEED)

    if prot == PROT_NONE:
        assert_inaccessible(process, base)
    process.mprotect(base, page, RW)
    assert page_letters(process, page, base, 1) == "0"


@clause("madvise.range")
@pytest.mark.parametrize(
    ("pages", "extra", "expected"),
    [(0, 1, "A0CDE"), (2, -1, "A00DE"), (1, 1, "A00DE")],
    ids=["one-byte", "two-pages-minus-one-byte", "one-page-plus-one-byte"],
)
def test_length_is_rounded_up_to_whole_pages(
    process: Process, page: int, pages: int, extra: int, expected: str
) -> None:
    base = map_filled(process, page, 5)

    process.madvise(base + page, pages * page + extra, MADV_DONTNEED)

    assert page_letters(process, page, base, 5) == expected


@clause("madvise.length-zero")
def test_zero_length_has_no_effect(process: Process, page: int) -> None:
    """The call also succeeds on unmapped addresses."""
    base = map_filled(process, page, 2)
    process.madvise(base, 0, MADV_DONTNEED)
    assert page_letters(process, page, base, 2) == "AB"

    process.munmap(base, page)
    process.madvise(base, 0, MADV_DONTNEED)


@clause("madvise.dontneed-locked")
def test_dontneed_locked_drops_locked_and_unlocked_pages(process: Process, page: int) -> None:
    base = map_filled(process, page, 2)
    lock_pages(process, page, base, 1)

    process.madvise(base, 2 * page, MADV_DONTNEED_LOCKED)

    assert page_letters(process, page, base, 2) == "00"


@clause("madvise.free")
def test_freed_page_keeps_content_or_is_zero(process: Process, page: int) -> None:
    base = map_filled(process, page, 3)

    process.madvise(base, 2 * page, MADV_FREE)

    assert page_letters(process, page, base, 3) in ("ABC", "0BC", "A0C", "00C")


@clause("madvise.free.store")
def test_store_after_free_is_kept(process: Process, page: int) -> None:
    base = map_filled(process, page, 2)
    process.madvise(base, 2 * page, MADV_FREE)

    process.store(base, b"x" * page)
    process.store(base + page + 5, b"y")

    assert process.load(base, page) == b"x" * page
    assert process.load(base + page + 5, 1) == b"y"
    assert process.load(base + page, 1) in (b"B", b"\0")


# ------------------------------------------------------------------------------------------------------------- holes


@contextmanager
def requires_hole_punching() -> Iterator[None]:
    """Punch a hole: EOPNOTSUPP means that the file system cannot do so, and the case is unsupported."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            raise Unsupported("the file system cannot punch holes") from error
        raise


@clause("madvise.remove")
@pytest.mark.parametrize("memory", ["anonymous", "memfd"])
def test_remove_punches_hole_in_shared_memory(process: Process, page: int, memory: str) -> None:
    """Every process that shares the memory reads zeros."""
    fd, flags = -1, SHARED
    if memory == "memfd":
        with setup():
            fd, flags = process.memfd(), MAP_SHARED
            process.ftruncate(fd, 3 * page)
    base = process.mmap(0, 3 * page, RW, flags, fd, 0)
    process.store(base, lettered_pages(page, 3))
    child = process.fork()

    process.madvise(base + page, page, MADV_REMOVE)

    for each in (process, child):
        assert page_letters(each, page, base, 3) == "A0C"


@clause("madvise.remove.file")
def test_remove_punches_hole_in_file(process: Process, page: int, file: MakeFile) -> None:
    """The file keeps its size, and a private mapping keeps the pages it has copied."""
    fd = file(lettered_pages(page, 4))
    shared = process.mmap(0, 3 * page, RW, MAP_SHARED, fd, page)
    private = process.mmap(0, 4 * page, RW, MAP_PRIVATE, fd, 0)
    process.store(private + page, b"x" * page)

    with requires_hole_punching():
        process.madvise(shared, 2 * page, MADV_REMOVE)

    assert process.pread(fd, 4 * page, 0) == b"A" * page + bytes(2 * page) + b"D" * page
    assert page_letters(process, page, shared, 3) == "00D"
    assert page_letters(process, page, private, 4) == "Ax0D"


@clause("madvise.remove.append-only")
def test_remove_on_append_only_file_fails(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"A" * page)
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)

    with append_only(process, fd), fails("EPERM"):
        process.madvise(base, page, MADV_REMOVE)

    assert process.pread(fd, page, 0) == b"A" * page


@clause("madvise.errno.EACCES")
@pytest.mark.parametrize("mapping", ["private", "read-only-descriptor"])
def test_remove_on_private_or_read_only_mapping_fails(
    process: Process, page: int, file: MakeFile, new_path: NewPath, mapping: str
) -> None:
    path = new_path()
    fd = file(b"A" * page, O_RDWR, path)
    with setup():
        other = process.open(path, O_RDONLY)
    base = process.mmap(0, page, PROT_READ, *((MAP_PRIVATE, fd) if mapping == "private" else (MAP_SHARED, other)), 0)

    with fails("EACCES"):
        process.madvise(base, page, MADV_REMOVE)

    assert process.pread(fd, page, 0) == b"A" * page


@clause("madvise.errno.EINVAL.remove")
def test_remove_on_private_anonymous_memory_fails(process: Process, page: int) -> None:
    base = map_filled(process, page, 1)

    with fails("EINVAL"):
        process.madvise(base, page, MADV_REMOVE)

    assert page_letters(process, page, base, 1) == "A"


# ----------------------------------------------------------------------------------------------------------------- fork


@clause("madvise.dontfork")
@shared_and_private
def test_dontfork_range_is_unmapped_in_child(process: Process, page: int, kind: int) -> None:
    """The parent keeps the range."""
    base = map_filled(process, page, 3, kind | MAP_ANONYMOUS)
    process.madvise(base + page, page, MADV_DONTFORK)
    child = process.fork()

    assert_nothing_mapped(child, base + page)
    assert page_letters(child, page, base, 1) + page_letters(child, page, base + 2 * page, 1) == "AC"
    assert page_letters(process, page, base, 3) == "ABC"


@clause("madvise.dofork")
def test_dofork_undoes_dontfork(process: Process, page: int) -> None:
    base = map_filled(process, page, 3)
    process.madvise(base, 3 * page, MADV_DONTFORK)
    process.madvise(base + page, 2 * page, MADV_DOFORK)
    child = process.fork()

    assert_nothing_mapped(child, base)
    assert page_letters(child, page, base + page, 2) == "BC"


@clause("madvise.wipeonfork")
def test_wipeonfork_range_is_zero_in_child(process: Process, page: int) -> None:
    """The parent keeps its content, and a later store of the child is not visible in the parent."""
    base = map_filled(process, page, 3)
    process.madvise(base + page, page, MADV_WIPEONFORK)
    child = process.fork()

    assert page_letters(child, page, base, 3) == "A0C"
    child.store(base + page, b"x" * page)
    assert page_letters(process, page, base, 3) == "ABC"


@clause("madvise.wipeonfork.inherited")
def test_grandchild_inherits_wipeonfork(process: Process, page: int) -> None:
    base = map_filled(process, page, 2)
    process.madvise(base, page, MADV_WIPEONFORK)
    child = process.fork()
    child.store(base, b"x" * page)

    assert page_letters(child.fork(), page, base, 2) == "0B"


@clause("madvise.keeponfork")
def test_keeponfork_undoes_wipeonfork(process: Process, page: int) -> None:
    base = map_filled(process, page, 3)
    process.madvise(base, 3 * page, MADV_WIPEONFORK)
    process.madvise(base + page, 2 * page, MADV_KEEPONFORK)

    assert page_letters(process.fork(), page, base, 3) == "0BC"


NOT_PRIVATE_ANONYMOUS = pytest.mark.parametrize("memory", ["shared-anonymous", "shared-file", "private-file"])


def map_not_private_anonymous(process: Process, page: int, file: MakeFile, memory: str) -> int:
    """Return the address of a page of A that is shared, of a file, or both."""
    if memory == "shared-anonymous":
        return map_filled(process, page, 1, SHARED)
    base = process.mmap(0, page, RW, MAP_SHARED if memory == "shared-file" else MAP_PRIVATE, file(bytes(page)), 0)
    process.store(base, b"A" * page)
    return base


@clause("madvise.errno.EINVAL.wipe")
@NOT_PRIVATE_ANONYMOUS
def test_wipeonfork_requires_private_anonymous_memory(process: Process, page: int, file: MakeFile, memory: str) -> None:
    base = map_not_private_anonymous(process, page, file, memory)

    with fails("EINVAL"):
        process.madvise(base, page, MADV_WIPEONFORK)

    assert page_letters(process.fork(), page, base, 1) == "A"


@clause("madvise.errno.EINVAL.droppable")
def test_keeponfork_on_droppable_memory_fails(process: Process, page: int) -> None:
    base = process.mmap(0, page, RW, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0)
    process.store(base, b"A")

    with fails("EINVAL"):
        process.madvise(base, page, MADV_KEEPONFORK)

    assert process.fork().load(base, 1) == b"\0"


@clause("madvise.errno.EINVAL.free")
@NOT_PRIVATE_ANONYMOUS
def test_free_requires_private_anonymous_memory(process: Process, page: int, file: MakeFile, memory: str) -> None:
    base = map_not_private_anonymous(process, page, file, memory)

    with fails("EINVAL"):
        process.madvise(base, page, MADV_FREE)

    assert page_letters(process, page, base, 1) == "A"


# ----------------------------------------------------------------------------------------------------------- populating


@clause("madvise.populate-read")
@shared_and_private
def test_populate_read_makes_file_pages_resident(process: Process, page: int, file: MakeFile, kind: int) -> None:
    """A private page is not copied: it still shows later changes of the file."""
    fd = file(lettered_pages(page, 2))
    drop_page_cache(process, fd)
    base = process.mmap(0, 2 * page, RW, kind, fd, 0)

    process.madvise(base, 2 * page, MADV_POPULATE_READ)

    assert process.mincore(base, 2 * page) == [True, True]
    process.pwrite(fd, b"x" * page, 0)
    assert page_letters(process, page, base, 2) == "xB"


@clause("madvise.populate-read")
def test_populate_read_makes_anonymous_pages_resident(process: Process, page: int) -> None:
    base = process.mmap(0, 3 * page, PROT_READ, ANONYMOUS, -1, 0)

    process.madvise(base, 2 * page, MADV_POPULATE_READ)

    assert process.mincore(base, 3 * page) == [True, True, False]
    assert page_letters(process, page, base, 3) == "000"


@clause("madvise.populate-write")
def test_populate_write_copies_private_file_page(process: Process, page: int, file: MakeFile) -> None:
    """The page is copied as by a store, but its content does not change."""
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, RW, MAP_PRIVATE, fd, 0)

    process.madvise(base, page, MADV_POPULATE_WRITE)

    process.pwrite(fd, b"x" * 2 * page, 0)
    assert page_letters(process, page, base, 2) == "Ax"


@clause("madvise.populate-write")
def test_populate_write_makes_anonymous_pages_resident(process: Process, page: int) -> None:
    base = process.mmap(0, 3 * page, RW, ANONYMOUS, -1, 0)

    process.madvise(base, 2 * page, MADV_POPULATE_WRITE)

    assert process.mincore(base, 3 * page) == [True, True, False]
    assert page_letters(process, page, base, 3) == "000"


@clause("madvise.errno.EFAULT")
@shared_and_private
@pytest.mark.parametrize("advice", ["populate-read", "populate-write"])
def test_populate_past_end_of_file_fails(process: Process, page: int, file: MakeFile, advice: str, kind: int) -> None:
    base = process.mmap(0, 2 * page, RW, kind, file(b"A"), 0)

    with fails("EFAULT"):
        process.madvise(base, 2 * page, ADVICE[advice])

    process.madvise(base, page, ADVICE[advice])


@clause("madvise.errno.EINVAL.populate")
@pytest.mark.parametrize(
    ("advice", "prot"),
    [
        pytest.param(MADV_POPULATE_READ, PROT_NONE, id="read-prot-none"),
        pytest.param(MADV_POPULATE_WRITE, PROT_NONE, id="write-prot-none"),
        pytest.param(MADV_POPULATE_WRITE, PROT_READ, id="write-prot-read"),
    ],
)
def test_populate_without_permission_fails(process: Process, page: int, advice: int, prot: int) -> None:
    base = process.mmap(0, page, prot, ANONYMOUS, -1, 0)

    with fails("EINVAL"):
        process.madvise(base, page, advice)

    assert process.mincore(base, page) == [False]


# ---------------------------------------------------------------------------------------------------------------- hints


@clause("madvise.hints")
@pytest.mark.parametrize("advice", HINTS)
def test_hint_leaves_content_unchanged(process: Process, page: int, file: MakeFile, advice: str) -> None:
    fd = file(lettered_pages(page, 2))
    shared = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    private = process.mmap(0, 2 * page, RW, MAP_PRIVATE, fd, 0)
    process.store(shared, b"s" * page)
    process.store(private, b"p" * page)

    for base in (shared, private):
        process.madvise(base, 2 * page, ADVICE[advice])

    assert page_letters(process, page, shared, 2) == "sB"
    assert page_letters(process, page, private, 2) == "pB"
    assert process.pread(fd, 2 * page, 0) == b"s" * page + b"B" * page


# -------------------------------------------------------------------------------------------------------------- errors


@clause("madvise.errno.EINVAL.advice")
@pytest.mark.parametrize("pages", [0, 1], ids=["zero-length", "one-page"])
@pytest.mark.parametrize("advice", [5, 99, -1])
def test_unknown_advice_fails(process: Process, page: int, advice: int, pages: int) -> None:
    base = map_filled(process, page, 1)

    with fails("EINVAL"):
        process.madvise(base, pages * page, advice)

    assert page_letters(process, page, base, 1) == "A"


@clause("madvise.errno.EINVAL.address")
@pytest.mark.parametrize("length", ["zero-length", "one-page"])
@pytest.mark.parametrize("offset", ["one-byte", "half-a-page"])
def test_unaligned_address_fails(process: Process, page: int, offset: str, length: str) -> None:
    base = map_filled(process, page, 2)

    with fails("EINVAL"):
        process.madvise(
            base + (1 if offset == "one-byte" else page // 2), page if length == "one-page" else 0, MADV_DONTNEED
        )

    assert page_letters(process, page, base, 2) == "AB"


@clause("madvise.errno.EINVAL.range")
@pytest.mark.parametrize("distance", ["minus-one-byte", "minus-one-page"])
def test_length_past_end_of_address_space_fails(process: Process, page: int, distance: str) -> None:
    base = map_filled(process, page, 1)

    with fails("EINVAL"):
        process.madvise(base, (1 << process.bits) - (1 if distance == "minus-one-byte" else page), MADV_DONTNEED)

    assert page_letters(process, page, base, 1) == "A"


@clause("madvise.errno.EINVAL.locked")
@pytest.mark.parametrize("advice", ["dontneed", "free"])
def test_dontneed_and_free_on_locked_memory_fail(process: Process, page: int, advice: str) -> None:
    """The pages keep their content."""
    base = map_filled(process, page, 2)
    lock_pages(process, page, base, 2)

    with fails("EINVAL"):
        process.madvise(base, 2 * page, ADVICE[advice])

    assert page_letters(process, page, base, 2) == "AB"


@clause("madvise.errno.EINVAL.locked")
def test_remove_on_locked_memory_fails(process: Process, page: int) -> None:
    base = map_filled(process, page, 2, SHARED)
    lock_pages(process, page, base + page, 1)

    with fails("EINVAL"):
        process.madvise(base + page, page, MADV_REMOVE)

    assert page_letters(process, page, base, 2) == "AB"


@clause("madvise.errno.ENOMEM")
@pytest.mark.parametrize("advice", [name for name in ADVICE if name != "remove"])
@pytest.mark.parametrize("hole", [0, 1, 2], ids=["start", "middle", "end"])
def test_range_with_unmapped_page_fails(process: Process, page: int, hole: int, advice: str) -> None:
    base = map_filled(process, page, 3)
    process.munmap(base + hole * page, page)

    with fails("ENOMEM"):
        process.madvise(base, 3 * page, ADVICE[advice])

    assert_nothing_mapped(process, base + hole * page)


@clause("madvise.errno.ENOMEM.rest")
def test_dontneed_drops_pages_on_both_sides_of_hole(process: Process, page: int) -> None:
    base = map_filled(process, page, 4)
    process.munmap(base + page, page)

    with fails("ENOMEM"):
        process.madvise(base, 3 * page, MADV_DONTNEED)

    assert page_letters(process, page, base, 1) + page_letters(process, page, base + 2 * page, 2) == "00D"
