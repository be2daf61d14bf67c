"""Cases of mprotect: which pages have which rights afterwards, what outlives them, what is refused."""

from __future__ import annotations

from typing import Final

import pytest

from ..contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_GROWSDOWN,
    MAP_PRIVATE,
    MAP_SHARED,
    MS_INVALIDATE,
    O_RDONLY,
    O_RDWR,
    PROT_EXEC,
    PROT_GROWSDOWN,
    PROT_GROWSUP,
    PROT_NONE,
    PROT_READ,
    SEAL_WRITE,
    Backend,
    Facility,
    Process,
    System,
)
from ..testing import clause, fails, faults
from ._helpers import (
    ANONYMOUS,
    RW,
    MakeFile,
    NewPath,
    Record,
    assert_inaccessible,
    assert_not_executable,
    assert_nothing_mapped,
    lettered_pages,
    reserve,
)

RX: Final = PROT_READ | PROT_EXEC

kinds = pytest.mark.parametrize("kind", ["anonymous", "file-private", "file-shared", "anonymous-shared"])


def three_pages(kind: str, process: Process, file: MakeFile, page: int, prot: int = RW) -> int:
    """A mapping of pages of A, B and C."""
    if kind.startswith("file"):
        flags = MAP_SHARED if kind == "file-shared" else MAP_PRIVATE
        return process.mmap(0, 3 * page, prot, flags, file(lettered_pages(page, 3)), 0)
    flags = MAP_ANONYMOUS | (MAP_SHARED if kind == "anonymous-shared" else MAP_PRIVATE)
    base = process.mmap(0, 3 * page, RW, flags, -1, 0)
    process.store(base, lettered_pages(page, 3))
    if prot != RW:
        process.mprotect(base, 3 * page, prot)
    return base


def assert_read_only(process: Process, addr: int) -> None:
    """It can be loaded from, and a store faults for want of the right."""
    process.load(addr, 1)
    with faults("SIGSEGV", at=addr, code="SEGV_ACCERR"):
        process.store(addr, b"x")


# --------------------------------------------------------------------------------------------------- the rights given


@clause("mprotect.none")
@kinds
@pytest.mark.parametrize("access", ["load", "store"])
def test_none_allows_no_access(process: Process, file: MakeFile, page: int, access: str, kind: str) -> None:
    base = three_pages(kind, process, file, page)

    process.mprotect(base, 3 * page, PROT_NONE)

    with faults("SIGSEGV", at=base + page, code="SEGV_ACCERR"):
        if access == "load":
            process.load(base + page, 1)
        else:
            process.store(base + page, b"x")


@clause("mprotect.read")
@kinds
def test_read_allows_no_store(process: Process, file: MakeFile, page: int, kind: str) -> None:
    base = three_pages(kind, process, file, page)

    process.mprotect(base, 3 * page, PROT_READ)

    assert process.load(base, 3 * page) == lettered_pages(page, 3)
    for number in range(3):
        assert_read_only(process, base + number * page)


@clause("mprotect.read")
@kinds
def test_read_after_none(process: Process, file: MakeFile, page: int, kind: str) -> None:
    base = three_pages(kind, process, file, page, PROT_NONE)

    process.mprotect(base, 3 * page, PROT_READ)

    assert process.load(base, 3 * page) == lettered_pages(page, 3)


@clause("mprotect.write")
@kinds
@pytest.mark.parametrize("before", [PROT_NONE, PROT_READ], ids=["none", "read"])
def test_write_allows_stores(process: Process, file: MakeFile, page: int, before: int, kind: str) -> None:
    base = three_pages(kind, process, file, page, before)

    process.mprotect(base, 3 * page, RW)
    process.store(base + page, b"!")

    assert process.load(base + page, 2) == b"!B"


@clause("mprotect.exec")
@pytest.mark.parametrize("before", [RW, PROT_NONE], ids=["read-write", "none"])
def test_code_runs_with_the_right_to_execute(process: Process, page: int, before: int) -> None:
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, process.return_instruction())
    process.mprotect(base, page, before)

    process.mprotect(base, page, RX)

    process.execute(base)


@clause("mprotect.exec")
def test_code_no_longer_runs_without_it(backend: Backend, process: Process, page: int, record: Record) -> None:
    """Also where it has just run."""
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, process.return_instruction())
    process.mprotect(base, page, RX)
    process.execute(base)

    process.mprotect(base, page, PROT_READ)

    assert_not_executable(backend, process, base, record)


@clause("mprotect.at-once")
@pytest.mark.parametrize("touched", [True, False], ids=["touched", "untouched"])
@kinds
def test_rights_hold_at_once(process: Process, file: MakeFile, page: int, kind: str, touched: bool) -> None:
    """Whether the processor has just used the pages with the old rights, or never."""
    base = three_pages(kind, process, file, page)
    if touched:
        process.load(base, 3 * page)
        process.store(base, lettered_pages(page, 3))

    process.mprotect(base, 3 * page, PROT_READ)
    assert_read_only(process, base + page)
    process.mprotect(base, 3 * page, PROT_NONE)
    assert_inaccessible(process, base + page)
    process.mprotect(base, 3 * page, RW)

    process.store(base + page, b"!")


# ---------------------------------------------------------------------------------------------------- what is changed


@clause("mprotect.part")
@pytest.mark.parametrize(
    ("first", "count"),
    [(0, 1), (0, 3), (2, 1), (1, 3), (4, 1), (2, 3)],
    ids=["head", "long-head", "middle", "long-middle", "tail", "long-tail"],
)
@pytest.mark.parametrize("kind", ["file", "anonymous"])
def test_only_the_pages_of_the_range(
    process: Process, file: MakeFile, page: int, kind: str, first: int, count: int
) -> None:
    content = lettered_pages(page, 5)
    if kind == "file":
        base = process.mmap(0, 5 * page, RW, MAP_SHARED, file(content), 0)
    else:
        base = process.mmap(0, 5 * page, RW, ANONYMOUS, -1, 0)
        process.store(base, content)

    process.mprotect(base + first * page, count * page, PROT_READ)

    for number in range(5):
        place = base + number * page
        if first <= number < first + count:
            assert_read_only(process, place)
        else:
            process.store(place, b"!")
    assert process.load(base + first * page, count * page) == content[first * page : (first + count) * page]


@clause("mprotect.part")
def test_mappings_beside_keep_their_rights(process: Process, file: MakeFile, page: int) -> None:
    base = reserve(process, 4)
    process.mmap(base + page, page, PROT_READ, MAP_SHARED | MAP_FIXED, file(b"a"), 0)
    process.mmap(base + 2 * page, page, PROT_READ, ANONYMOUS | MAP_FIXED, -1, 0)

    process.mprotect(base + 2 * page, page, RW)

    process.store(base + 2 * page, b"x")
    assert_read_only(process, base + page)
    assert_inaccessible(process, base + 3 * page)


@clause("mprotect.round-up")
@pytest.mark.parametrize(
    ("pages", "bytes_", "changed"), [(0, 1, 1), (1, -1, 1), (1, 0, 1), (1, 1, 2), (2, -1, 2)], ids=str
)
def test_a_length_counts_in_whole_pages(process: Process, page: int, pages: int, bytes_: int, changed: int) -> None:
    base = process.mmap(0, 3 * page, RW, ANONYMOUS, -1, 0)

    process.mprotect(base, pages * page + bytes_, PROT_READ)

    for number in range(changed):
        for inside in (0, page - 1):
            assert_read_only(process, base + number * page + inside)
    process.store(base + changed * page, b"x")


@clause("mprotect.several")
def test_mappings_of_every_kind_in_one_call(process: Process, file: MakeFile, page: int) -> None:
    base = reserve(process, 6)
    process.mmap(base + page, page, PROT_READ, MAP_SHARED | MAP_FIXED, file(b"a"), 0)
    process.mmap(base + 2 * page, page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.mmap(base + 3 * page, page, PROT_NONE, MAP_PRIVATE | MAP_FIXED, file(b"b"), 0)
    process.mmap(base + 4 * page, page, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0)

    process.mprotect(base + page, 4 * page, RW)

    for number in range(1, 5):
        process.store(base + number * page, b"xy")
        assert process.load(base + number * page, 2) == b"xy"
    for edge in (base, base + 5 * page):
        assert_inaccessible(process, edge)


@clause("mprotect.several")
def test_from_the_middle_of_one_to_the_middle_of_another(process: Process, file: MakeFile, page: int) -> None:
    base = reserve(process, 4)
    process.mmap(base, 2 * page, RW, MAP_SHARED | MAP_FIXED, file(lettered_pages(page, 2)), 0)
    process.mmap(base + 2 * page, 2 * page, RW, ANONYMOUS | MAP_FIXED, -1, 0)

    process.mprotect(base + page, 2 * page, PROT_READ)

    process.store(base, b"x")
    assert_read_only(process, base + page)
    assert_read_only(process, base + 2 * page)
    process.store(base + 3 * page, b"x")


@clause("mprotect.process")
@pytest.mark.parametrize("who", ["parent", "child"])
@kinds
def test_the_other_process_keeps_its_rights(process: Process, file: MakeFile, page: int, kind: str, who: str) -> None:
    base = three_pages(kind, process, file, page)
    child = process.fork()
    one, other = (process, child) if who == "parent" else (child, process)

    one.mprotect(base, 3 * page, PROT_NONE)

    assert_inaccessible(one, base)
    assert other.load(base, 3 * page) == lettered_pages(page, 3)
    other.store(base, b"x")


@clause("mprotect.mapping")
@pytest.mark.parametrize("prot", [PROT_NONE, PROT_READ], ids=["none", "read"])
def test_another_mapping_of_the_same_pages_keeps_its_rights(
    process: Process, file: MakeFile, page: int, prot: int
) -> None:
    """Rights belong to a mapping, not to the page of the file that it shows."""
    fd = file(lettered_pages(page, 2))
    first = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    second = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    process.store(first, b"1")
    process.store(second, b"2")

    process.mprotect(first, 2 * page, prot)

    process.store(second, b"!")
    assert process.load(second, 2) == b"!A"
    with faults("SIGSEGV", at=first, code="SEGV_ACCERR"):
        process.store(first, b"x")


# --------------------------------------------------------------------------------------------------------- what stays


@clause("mprotect.content")
@kinds
@pytest.mark.parametrize("prot", [PROT_NONE, PROT_READ, RX], ids=["none", "read", "read-exec"])
def test_content_outlives_the_rights(process: Process, file: MakeFile, page: int, prot: int, kind: str) -> None:
    """What was stored before is there when the right to load comes back, a private page's own content too."""
    base = three_pages(kind, process, file, page)
    process.store(base + page, b"stored")

    process.mprotect(base, 3 * page, prot)
    process.mprotect(base, 3 * page, RW)

    assert process.load(base, 3 * page) == lettered_pages(page, 1) + (b"stored" + b"B" * page)[:page] + b"C" * page


@clause("mprotect.content")
@pytest.mark.parametrize("prot", [PROT_NONE, PROT_READ], ids=["none", "read"])
def test_the_file_has_what_was_stored_before(process: Process, file: MakeFile, page: int, prot: int) -> None:
    fd = file(b"old")
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    process.store(base, b"new")

    process.mprotect(base, page, prot)

    assert process.pread(fd, 3, 0) == b"new"


@clause("mprotect.offset")
def test_the_parts_keep_their_place_in_the_file(process: Process, file: MakeFile, page: int) -> None:
    """The pages are first touched after the mapping has become three."""
    fd = file(lettered_pages(page, 6))
    base = process.mmap(0, 5 * page, PROT_READ, MAP_SHARED, fd, page)

    process.mprotect(base + 2 * page, page, RW)

    assert process.load(base, 5 * page) == lettered_pages(page, 6)[page:]
    process.store(base + 2 * page, b"!")
    assert process.pread(fd, 2, 3 * page) == b"!D"


@clause("mprotect.join")
def test_parts_that_are_alike_again(process: Process, file: MakeFile, page: int) -> None:
    """Cut up and joined, and cut up elsewhere: each page is first touched afterwards."""
    base = process.mmap(0, 5 * page, PROT_READ, MAP_SHARED, file(lettered_pages(page, 6)), page)
    for number in (1, 3):
        process.mprotect(base + number * page, page, PROT_NONE)
    for number in (3, 1):
        process.mprotect(base + number * page, page, PROT_READ)

    process.mprotect(base + 2 * page, 2 * page, RW)

    assert process.load(base, 5 * page) == lettered_pages(page, 6)[page:]
    for number in (0, 1, 4):
        assert_read_only(process, base + number * page)
    for number in (2, 3):
        process.store(base + number * page, b"x")


@clause("mprotect.join")
@pytest.mark.parametrize("kind", ["another-offset", "another-file"])
def test_neighbours_that_only_their_rights_told_apart(process: Process, file: MakeFile, page: int, kind: str) -> None:
    """They have the same rights now, and are still two."""
    base = reserve(process, 4)
    fd = file(lettered_pages(page, 4))
    other, offset = (fd, page) if kind == "another-offset" else (file(b"x" * (4 * page)), 2 * page)
    process.mmap(base, 2 * page, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0)
    process.mmap(base + 2 * page, 2 * page, PROT_NONE, MAP_PRIVATE | MAP_FIXED, other, offset)

    process.mprotect(base + 2 * page, 2 * page, PROT_READ)

    second = lettered_pages(page, 3)[page:] if kind == "another-offset" else b"x" * (2 * page)
    assert process.load(base, 4 * page) == lettered_pages(page, 2) + second


@clause("mprotect.lock")
@pytest.mark.parametrize("prot", [PROT_NONE, PROT_READ, RX], ids=["none", "read", "read-exec"])
def test_what_is_locked_stays_locked(process: Process, file: MakeFile, page: int, prot: int) -> None:
    base = process.mmap(0, page, RW, MAP_SHARED, file(b"text"), 0)
    process.mlock(base, page)

    process.mprotect(base, page, prot)

    with fails("EBUSY"):
        process.msync(base, page, MS_INVALIDATE)
    process.munlock(base, page)
    process.msync(base, page, MS_INVALIDATE)


@clause("mprotect.lock.copies")
def test_a_locked_page_is_copied_when_it_becomes_writable(process: Process, file: MakeFile, page: int) -> None:
    """A locked page must not fault, so Linux makes the private copies at once; unlocked, at the first store."""
    fd = file(b"old" + bytes(2 * page - 3))
    locked = process.mmap(0, page, PROT_READ, MAP_PRIVATE, fd, 0)
    free = process.mmap(0, page, PROT_READ, MAP_PRIVATE, fd, 0)
    process.mlock(locked, page)
    process.pwrite(fd, b"new", 0)
    assert process.load(locked, 3) == b"new"

    process.mprotect(locked, page, RW)
    process.mprotect(free, page, RW)
    process.pwrite(fd, b"end", 0)

    assert process.load(locked, 3) == b"new"
    assert process.load(free, 3) == b"end"


# ------------------------------------------------------------------------------------- what the mapped file has to say


@clause("mprotect.private")
@pytest.mark.parametrize("before", [PROT_NONE, PROT_READ], ids=["none", "read"])
@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_private_pages_of_a_read_only_file_can_be_made_writable(
    process: Process, file: MakeFile, page: int, before: int, closed: bool
) -> None:
    fd = file(b"old", O_RDONLY)
    base = process.mmap(0, page, before, MAP_PRIVATE, fd, 0)
    if closed:
        process.close(fd)

    process.mprotect(base, page, RW)
    process.store(base, b"N")

    assert process.load(base, 3) == b"Nld"


@clause("mprotect.private.copy")
@pytest.mark.parametrize("mode", [O_RDONLY, O_RDWR], ids=["read-only", "read-write"])
def test_stores_after_it_stay_private(process: Process, file: MakeFile, page: int, mode: int) -> None:
    fd = file(b"old", mode)
    base = process.mmap(0, page, PROT_READ, MAP_PRIVATE, fd, 0)
    shared = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)
    process.load(base, 1)

    process.mprotect(base, page, RW)
    process.store(base, b"new")

    assert process.pread(fd, 3, 0) == b"old"
    assert process.load(shared, 3) == b"old"


@clause("mprotect.shared")
@pytest.mark.parametrize("before", [PROT_NONE, PROT_READ], ids=["none", "read"])
@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_shared_pages_of_a_writable_file_can_be_made_writable(
    process: Process, file: MakeFile, new_path: NewPath, page: int, before: int, closed: bool
) -> None:
    """What is stored then is the file's."""
    path = new_path()
    fd = file(b"old", path=path)
    base = process.mmap(0, page, before, MAP_SHARED, fd, 0)
    if closed:
        process.close(fd)
        fd = process.open(path, O_RDONLY)

    process.mprotect(base, page, RW)
    process.store(base, b"new")

    assert process.pread(fd, 3, 0) == b"new"


@clause("mprotect.maximum")
@pytest.mark.parametrize("reopened", ["kept", "closed"])
def test_another_descriptor_gives_no_more_rights(
    process: Process, file: MakeFile, new_path: NewPath, page: int, reopened: str
) -> None:
    """What a mapping may ever allow is settled by the descriptor that it was made from."""
    path = new_path()
    fd = file(b"kept", O_RDONLY, path)
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)
    if reopened == "closed":
        process.close(fd)
    writable = process.open(path, O_RDWR)
    process.mmap(0, page, RW, MAP_SHARED, writable, 0)

    with fails("EACCES"):
        process.mprotect(base, page, RW)

    assert_read_only(process, base)


@clause("mprotect.maximum")
@pytest.mark.parametrize("part", ["head", "tail"])
def test_a_part_may_have_no_more_rights(process: Process, file: MakeFile, page: int, part: str) -> None:
    base = process.mmap(0, 2 * page, PROT_READ, MAP_SHARED, file(lettered_pages(page, 2), O_RDONLY), 0)
    process.mprotect(base, page, PROT_NONE)

    with fails("EACCES"):
        process.mprotect(base if part == "head" else base + page, page, RW)

    assert_inaccessible(process, base)
    assert_read_only(process, base + page)


@clause("mprotect.maximum.fork")
def test_a_child_may_have_no_more_rights(process: Process, file: MakeFile, page: int) -> None:
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, file(b"kept", O_RDONLY), 0)
    child = process.fork()

    with fails("EACCES"):
        child.mprotect(base, page, RW)

    assert_read_only(child, base)


@clause("mprotect.maximum.seal")
def test_a_sealed_file_is_never_made_writable(process: Process, page: int) -> None:
    fd = process.memfd()
    process.pwrite(fd, b"kept", 0)
    process.seal(fd, SEAL_WRITE)
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)

    with fails("EACCES"):
        process.mprotect(base, page, RW)

    assert_read_only(process, base)
    assert process.load(base, 4) == b"kept"


@clause("mprotect.maximum.noexec")
@pytest.mark.parametrize("kind", [MAP_SHARED, MAP_PRIVATE], ids=["shared", "private"])
def test_a_file_of_a_noexec_file_system_is_never_made_executable(
    process: Process, system: System, file: MakeFile, page: int, kind: int
) -> None:
    folder = system.facility(Facility.NOEXEC_DIRECTORY)
    base = process.mmap(0, page, PROT_READ, kind, file(b"kept", path=f"{folder}/file"), 0)

    with fails("EACCES"):
        process.mprotect(base, page, RX)

    assert process.load(base, 4) == b"kept"


# ------------------------------------------------------------------------------------------------------------- errors


@clause("mprotect.length-zero")
@pytest.mark.parametrize("where", ["mapped", "unmapped", "null"])
@pytest.mark.parametrize("prot", [PROT_NONE, RW, 1 << 20], ids=["none", "read-write", "unknown-bit"])
def test_a_length_of_zero_changes_nothing(process: Process, page: int, prot: int, where: str) -> None:
    """No page is asked about, so nothing can be the matter with it; the rights are not even looked at."""
    base = process.mmap(0, 2 * page, PROT_READ, ANONYMOUS, -1, 0)
    process.munmap(base + page, page)

    process.mprotect({"mapped": base, "unmapped": base + page, "null": 0}[where], 0, prot)

    assert_read_only(process, base)


@clause("mprotect.length-wraps")
@pytest.mark.parametrize("short", [1, 2], ids=["by-one", "by-almost-a-page"])
def test_a_length_that_rounds_up_to_nothing(process: Process, page: int, short: int) -> None:
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    length = (1 << process.bits) - (1 if short == 1 else page - 1)

    with fails("ENOMEM"):
        process.mprotect(base, length, PROT_NONE)

    process.store(base, b"x")


@clause("mprotect.errno.EINVAL.prot")
@pytest.mark.parametrize("bit", [4, 10, 20, 30])
@pytest.mark.parametrize("prot", [PROT_NONE, PROT_READ, RW], ids=["none", "read", "read-write"])
def test_unknown_bits_of_prot(process: Process, page: int, prot: int, bit: int) -> None:
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)

    with fails("EINVAL"):
        process.mprotect(base, page, prot | 1 << bit)

    process.store(base, b"x")


@clause("mprotect.errno.EINVAL.grows")
@pytest.mark.parametrize("length", [0, 1], ids=["zero", "page"])
def test_growing_both_ways(process: Process, page: int, length: int) -> None:
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)

    with fails("EINVAL"):
        process.mprotect(base, length * page, PROT_READ | PROT_GROWSDOWN | PROT_GROWSUP)

    process.store(base, b"x")


@clause("mprotect.errno.EINVAL.grows-not")
@pytest.mark.parametrize("grows", [PROT_GROWSDOWN, PROT_GROWSUP], ids=["down", "up"])
@kinds
def test_a_mapping_that_does_not_grow(process: Process, file: MakeFile, page: int, kind: str, grows: int) -> None:
    base = three_pages(kind, process, file, page)

    with fails("EINVAL"):
        process.mprotect(base + page, page, PROT_READ | grows)

    process.store(base, lettered_pages(page, 3))


@clause("mprotect.growsdown")
@pytest.mark.parametrize("first", [0, 1, 2])
def test_what_grows_downwards_has_the_rights_from_its_beginning(process: Process, page: int, first: int) -> None:
    """The range names only where it ends."""
    base = process.mmap(0, 4 * page, RW, ANONYMOUS | MAP_GROWSDOWN, -1, 0)
    process.store(base, lettered_pages(page, 4))

    process.mprotect(base + first * page, page, PROT_READ | PROT_GROWSDOWN)

    for number in range(first + 1):
        assert_read_only(process, base + number * page)
    process.store(base + (first + 1) * page, b"x")


@clause("mprotect.errno.ENOMEM.prefix")
@pytest.mark.parametrize("hole", [0, 1, 2], ids=["start", "middle", "end"])
def test_what_lies_before_a_hole_is_changed(process: Process, page: int, hole: int) -> None:
    base = process.mmap(0, 3 * page, RW, ANONYMOUS, -1, 0)
    process.munmap(base + hole * page, page)

    with fails("ENOMEM"):
        process.mprotect(base, 3 * page, PROT_READ)

    for number in range(3):
        if number < hole:
            assert_read_only(process, base + number * page)
        elif number > hole:
            process.store(base + number * page, b"x")
    assert_nothing_mapped(process, base + hole * page)


@clause("mprotect.errno.EACCES.prefix")
@pytest.mark.parametrize("denied", [0, 1, 2], ids=["start", "middle", "end"])
def test_what_lies_before_a_refused_mapping_is_changed(
    process: Process, file: MakeFile, page: int, denied: int
) -> None:
    base = process.mmap(0, 3 * page, PROT_READ, ANONYMOUS, -1, 0)
    fd = file(b"kept", O_RDONLY)
    process.mmap(base + denied * page, page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)

    with fails("EACCES"):
        process.mprotect(base, 3 * page, RW)

    for number in range(3):
        if number < denied:
            process.store(base + number * page, b"x")
        else:
            assert_read_only(process, base + number * page)


@clause("mprotect.errno.order")
@pytest.mark.parametrize(
    ("wrong", "errno"),
    [
        pytest.param(("unaligned", "hole"), "EINVAL", id="unaligned-over-a-hole"),
        pytest.param(("unaligned", "zero"), "EINVAL", id="unaligned-of-length-zero"),
        pytest.param(("unaligned", "wraps"), "EINVAL", id="unaligned-that-wraps"),
        pytest.param(("wraps", "prot"), "ENOMEM", id="wraps-with-an-unknown-bit"),
        pytest.param(("hole", "prot"), "EINVAL", id="unknown-bit-over-a-hole"),
        pytest.param(("hole", "denied"), "ENOMEM", id="hole-before-a-refused-mapping"),
        pytest.param(("denied", "hole-behind"), "EACCES", id="refused-mapping-before-a-hole"),
        pytest.param(("denied", "prot"), "EINVAL", id="unknown-bit-of-a-refused-mapping"),
    ],
)
def test_which_of_two_mistakes_is_told(
    process: Process, file: MakeFile, page: int, wrong: tuple[str, ...], errno: str
) -> None:
    """The arguments are looked at first, in this order; then the range, from low addresses to high ones."""
    base = process.mmap(0, 4 * page, PROT_READ, ANONYMOUS, -1, 0)
    denied = process.mmap(base + 2 * page, page, PROT_READ, MAP_SHARED | MAP_FIXED, file(b"kept", O_RDONLY), 0)
    process.munmap(base + page, page)
    process.munmap(base + 3 * page, page)
    addr, length, prot = base, page, RW
    for mistake in wrong:
        match mistake:
            case "unaligned":
                addr += 1
            case "hole":
                length = 3 * page
            case "zero":
                length = 0
            case "wraps":
                length = (1 << process.bits) - page
            case "prot":
                prot |= 1 << 20
            case "denied":
                addr = base if "hole" in wrong else denied
            case "hole-behind":
                length = 2 * page

    with fails(errno):
        process.mprotect(addr, length, prot)

    assert_read_only(process, denied)
