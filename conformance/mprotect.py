"""Cases of mprotect: the protection of each page after the call, what the call preserves, and its errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
    Facility,
    Process,
    System,
)
from ..testing import clause, fails, faults, needs
from ._helpers import (
    ANONYMOUS,
    RW,
    MakeFile,
    NewPath,
    assert_inaccessible,
    assert_nothing_mapped,
    lettered_pages,
    reserve,
)

RX: Final = PROT_READ | PROT_EXEC

kinds = pytest.mark.parametrize("kind", ["anonymous", "file-private", "file-shared", "anonymous-shared"])


def three_pages(kind: str, process: Process, file: MakeFile, page: int, prot: int = RW) -> int:
    """Return the address of a mapping of three pages, filled with A, B and C."""
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
    """Check that a load succeeds and that a store faults because the mapping is not writable."""
    process.load(addr, 1)
    with faults("SIGSEGV"):
        process.store(addr, b"x")


# --------------------------------------------------------------------------------------------------- the new protection


@clause("mprotect.none")
@kinds
@pytest.mark.parametrize("access", ["load", "store"])
def test_prot_none_allows_no_access(process: Process, file: MakeFile, page: int, access: str, kind: str) -> None:
    base = three_pages(kind, process, file, page)

    process.mprotect(base, 3 * page, PROT_NONE)

    with faults("SIGSEGV"):
        if access == "load":
            process.load(base + page, 1)
        else:
            process.store(base + page, b"x")


@clause("mprotect.read")
@kinds
def test_prot_read_allows_loads_only(process: Process, file: MakeFile, page: int, kind: str) -> None:
    base = three_pages(kind, process, file, page)

    process.mprotect(base, 3 * page, PROT_READ)

    assert process.load(base, 3 * page) == lettered_pages(page, 3)
    for number in range(3):
        assert_read_only(process, base + number * page)


@clause("mprotect.read")
@kinds
def test_prot_read_after_prot_none_allows_loads(process: Process, file: MakeFile, page: int, kind: str) -> None:
    base = three_pages(kind, process, file, page, PROT_NONE)

    process.mprotect(base, 3 * page, PROT_READ)

    assert process.load(base, 3 * page) == lettered_pages(page, 3)


@clause("mprotect.write")
@kinds
@pytest.mark.parametrize("before", [PROT_NONE, PROT_READ], ids=["none", "read"])
def test_prot_write_allows_stores(process: Process, file: MakeFile, page: int, before: int, kind: str) -> None:
    base = three_pages(kind, process, file, page, before)

    process.mprotect(base, 3 * page, RW)
    process.store(base + page, b"!")

    assert process.load(base + page, 2) == b"!B"


@clause("mprotect.exec")
@pytest.mark.parametrize("before", [RW, PROT_NONE], ids=["read-write", "none"])
def test_prot_exec_allows_execution(process: Process, page: int, before: int) -> None:
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, process.return_instruction())
    process.mprotect(base, page, before)

    process.mprotect(base, page, RX)

    process.execute(base)


@clause("mprotect.exec")
@needs("no-execute")
def test_removing_prot_exec_prevents_execution(process: Process, page: int) -> None:
    """The code has already been executed once."""
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, process.return_instruction())
    process.mprotect(base, page, RX)
    process.execute(base)

    process.mprotect(base, page, PROT_READ)

    with faults("SIGSEGV"):
        process.execute(base)


@clause("mprotect.at-once")
@pytest.mark.parametrize("touched", [True, False], ids=["touched", "untouched"])
@kinds
def test_new_protection_applies_to_next_access(
    process: Process, file: MakeFile, page: int, kind: str, touched: bool
) -> None:
    """The pages have either just been accessed with the old protection or have never been accessed."""
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


# ------------------------------------------------------------------------------------------------------------ the range


@clause("mprotect.part")
@pytest.mark.parametrize(
    ("first", "count"),
    [(0, 1), (0, 3), (2, 1), (1, 3), (4, 1), (2, 3)],
    ids=["head", "long-head", "middle", "long-middle", "tail", "long-tail"],
)
@pytest.mark.parametrize("kind", ["file", "anonymous"])
def test_only_pages_of_range_change(
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
        addr = base + number * page
        if first <= number < first + count:
            assert_read_only(process, addr)
        else:
            process.store(addr, b"!")
    assert process.load(base + first * page, count * page) == content[first * page : (first + count) * page]


@clause("mprotect.part")
def test_neighbouring_mappings_keep_protection(process: Process, file: MakeFile, page: int) -> None:
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
def test_length_is_rounded_up_to_whole_pages(
    process: Process, page: int, pages: int, bytes_: int, changed: int
) -> None:
    base = process.mmap(0, 3 * page, RW, ANONYMOUS, -1, 0)

    process.mprotect(base, pages * page + bytes_, PROT_READ)

    for number in range(changed):
        for inside in (0, page - 1):
            assert_read_only(process, base + number * page + inside)
    process.store(base + changed * page, b"x")


@clause("mprotect.several")
def test_range_spans_mappings_of_every_kind(process: Process, file: MakeFile, page: int) -> None:
    base = reserve(process, 6)
    process.mmap(base + page, page, PROT_READ, MAP_SHARED | MAP_FIXED, file(b"ab"), 0)
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
def test_range_from_middle_of_one_mapping_to_middle_of_next(process: Process, file: MakeFile, page: int) -> None:
    base = reserve(process, 4)
    process.mmap(base, 2 * page, RW, MAP_SHARED | MAP_FIXED, file(lettered_pages(page, 2)), 0)
    process.mmap(base + 2 * page, 2 * page, RW, ANONYMOUS | MAP_FIXED, -1, 0)

    process.mprotect(base + page, 2 * page, PROT_READ)

    process.store(base, b"x")
    assert_read_only(process, base + page)
    assert_read_only(process, base + 2 * page)
    process.store(base + 3 * page, b"x")


@clause("mprotect.process")
@pytest.mark.parametrize("caller", ["parent", "child"])
@kinds
def test_other_process_keeps_protection(process: Process, file: MakeFile, page: int, kind: str, caller: str) -> None:
    base = three_pages(kind, process, file, page)
    child = process.fork()
    one, other = (process, child) if caller == "parent" else (child, process)

    one.mprotect(base, 3 * page, PROT_NONE)

    assert_inaccessible(one, base)
    assert other.load(base, 3 * page) == lettered_pages(page, 3)
    other.store(base, b"x")


@clause("mprotect.mapping")
@pytest.mark.parametrize("prot", [PROT_NONE, PROT_READ], ids=["none", "read"])
def test_other_mapping_of_same_pages_keeps_protection(process: Process, file: MakeFile, page: int, prot: int) -> None:
    """Protection belongs to a mapping, not to the file's page that it shows."""
    fd = file(lettered_pages(page, 2))
    first = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    second = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    process.store(first, b"1")
    process.store(second, b"2")

    process.mprotect(first, 2 * page, prot)

    process.store(second, b"!")
    assert process.load(second, 2) == b"!A"
    with faults("SIGSEGV"):
        process.store(first, b"x")


# ------------------------------------------------------------------------------------------------------------ preserved


@clause("mprotect.content")
@kinds
@pytest.mark.parametrize("prot", [PROT_NONE, PROT_READ, RX], ids=["none", "read", "read-exec"])
def test_content_survives_protection_changes(process: Process, file: MakeFile, page: int, prot: int, kind: str) -> None:
    """The bytes stored earlier are there once the pages are readable again, also in copied private pages."""
    base = three_pages(kind, process, file, page)
    process.store(base + page, b"stored")

    process.mprotect(base, 3 * page, prot)
    process.mprotect(base, 3 * page, RW)

    assert process.load(base, 3 * page) == lettered_pages(page, 1) + (b"stored" + b"B" * page)[:page] + b"C" * page


@clause("mprotect.content")
@pytest.mark.parametrize("prot", [PROT_NONE, PROT_READ], ids=["none", "read"])
def test_earlier_stores_are_in_file(process: Process, file: MakeFile, page: int, prot: int) -> None:
    fd = file(b"old")
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    process.store(base, b"new")

    process.mprotect(base, page, prot)

    assert process.pread(fd, 3, 0) == b"new"


@clause("mprotect.offset")
def test_split_mapping_keeps_file_offsets(process: Process, file: MakeFile, page: int) -> None:
    """The pages are first accessed after mprotect has split the mapping in three."""
    fd = file(lettered_pages(page, 6))
    base = process.mmap(0, 5 * page, PROT_READ, MAP_SHARED, fd, page)

    process.mprotect(base + 2 * page, page, RW)

    assert process.load(base, 5 * page) == lettered_pages(page, 6)[page:]
    process.store(base + 2 * page, b"!")
    assert process.pread(fd, 2, 3 * page) == b"!D"


@clause("mprotect.join")
def test_split_parts_with_equal_protection_keep_file_offsets(process: Process, file: MakeFile, page: int) -> None:
    """The mapping is split, merged and split elsewhere before any page is accessed."""
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
def test_neighbours_with_equal_protection_keep_their_files(
    process: Process, file: MakeFile, page: int, kind: str
) -> None:
    """Mappings of another file or offset do not merge when their protection becomes equal."""
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
def test_locked_pages_stay_locked(process: Process, file: MakeFile, page: int, prot: int) -> None:
    base = process.mmap(0, page, RW, MAP_SHARED, file(b"text"), 0)
    process.mlock(base, page)

    process.mprotect(base, page, prot)

    with fails("EBUSY"):
        process.msync(base, page, MS_INVALIDATE)
    process.munlock(base, page)
    process.msync(base, page, MS_INVALIDATE)


@clause("mprotect.lock.copies")
def test_locked_private_page_is_copied_when_made_writable(process: Process, file: MakeFile, page: int) -> None:
    """A locked page must not fault, so Linux copies it during mprotect, others at the first store."""
    fd = file(b"old" + bytes(2 * page - 3))
    locked = process.mmap(0, page, PROT_READ, MAP_PRIVATE, fd, 0)
    unlocked = process.mmap(0, page, PROT_READ, MAP_PRIVATE, fd, 0)
    process.mlock(locked, page)
    process.pwrite(fd, b"new", 0)
    assert process.load(locked, 3) == b"new"

    process.mprotect(locked, page, RW)
    process.mprotect(unlocked, page, RW)
    process.pwrite(fd, b"end", 0)

    assert process.load(locked, 3) == b"new"
    assert process.load(unlocked, 3) == b"end"


# ---------------------------------------------------------------------------------------- limits set by the mapped file


@clause("mprotect.private")
@pytest.mark.parametrize("before", [PROT_NONE, PROT_READ], ids=["none", "read"])
@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_private_mapping_of_read_only_descriptor_can_be_made_writable(
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
def test_stores_after_making_private_mapping_writable_stay_private(
    process: Process, file: MakeFile, page: int, mode: int
) -> None:
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
def test_shared_mapping_of_writable_descriptor_can_be_made_writable(
    process: Process, file: MakeFile, new_path: NewPath, page: int, before: int, closed: bool
) -> None:
    """A later store is in the file."""
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
@pytest.mark.parametrize("original", ["open", "closed"])
def test_other_descriptor_does_not_raise_maximum_protection(
    process: Process, file: MakeFile, new_path: NewPath, page: int, original: str
) -> None:
    """The descriptor given to mmap fixes the maximum protection of the mapping."""
    path = new_path()
    fd = file(b"kept", O_RDONLY, path)
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)
    if original == "closed":
        process.close(fd)
    writable = process.open(path, O_RDWR)
    process.mmap(0, page, RW, MAP_SHARED, writable, 0)

    with fails("EACCES"):
        process.mprotect(base, page, RW)

    assert_read_only(process, base)


@clause("mprotect.maximum")
@pytest.mark.parametrize("part", ["head", "tail"])
def test_maximum_protection_applies_to_each_part(process: Process, file: MakeFile, page: int, part: str) -> None:
    base = process.mmap(0, 2 * page, PROT_READ, MAP_SHARED, file(lettered_pages(page, 2), O_RDONLY), 0)
    process.mprotect(base, page, PROT_NONE)

    with fails("EACCES"):
        process.mprotect(base if part == "head" else base + page, page, RW)

    assert_inaccessible(process, base)
    assert_read_only(process, base + page)


@clause("mprotect.maximum.fork")
def test_maximum_protection_applies_in_child(process: Process, file: MakeFile, page: int) -> None:
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, file(b"kept", O_RDONLY), 0)
    child = process.fork()

    with fails("EACCES"):
        child.mprotect(base, page, RW)

    assert_read_only(child, base)


@clause("mprotect.maximum.seal")
def test_mapping_of_write_sealed_file_cannot_be_made_writable(process: Process, page: int) -> None:
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
def test_mapping_of_file_on_noexec_mount_cannot_be_made_executable(
    process: Process, system: System, file: MakeFile, page: int, kind: int
) -> None:
    directory = system.facility(Facility.NOEXEC_DIRECTORY)
    base = process.mmap(0, page, PROT_READ, kind, file(b"kept", path=f"{directory}/file"), 0)

    with fails("EACCES"):
        process.mprotect(base, page, RX)

    assert process.load(base, 4) == b"kept"


# --------------------------------------------------------------------------------------------------------------- errors


@clause("mprotect.length-zero")
@pytest.mark.parametrize("where", ["mapped", "unmapped", "null"])
@pytest.mark.parametrize("prot", [PROT_NONE, RW, 1 << 20], ids=["none", "read-write", "unknown-bit"])
def test_length_zero_changes_nothing(process: Process, page: int, prot: int, where: str) -> None:
    """The range holds no page, so the call succeeds at any aligned address and with unknown bits of prot."""
    base = process.mmap(0, 2 * page, PROT_READ, ANONYMOUS, -1, 0)
    process.munmap(base + page, page)

    process.mprotect({"mapped": base, "unmapped": base + page, "null": 0}[where], 0, prot)

    assert_read_only(process, base)


@clause("mprotect.length-wraps")
@pytest.mark.parametrize("below_top", ["1", "page-1"])
def test_length_that_rounds_up_to_zero_fails(process: Process, page: int, below_top: str) -> None:
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    length = (1 << process.bits) - {"1": 1, "page-1": page - 1}[below_top]

    with fails("ENOMEM"):
        process.mprotect(base, length, PROT_NONE)

    process.store(base, b"x")


@clause("mprotect.errno.EINVAL.prot")
@pytest.mark.parametrize("bit", [6, 10, 20, 30])
@pytest.mark.parametrize("prot", [PROT_NONE, PROT_READ, RW], ids=["none", "read", "read-write"])
def test_unknown_prot_bits_are_refused(process: Process, page: int, prot: int, bit: int) -> None:
    """Bits that no machine knows: bits 4 and 5 are PROT_BTI and PROT_MTE, PROT_SAO, PROT_ADI, and PROT_SEM on some."""
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)

    with fails("EINVAL"):
        process.mprotect(base, page, prot | 1 << bit)

    process.store(base, b"x")


@clause("mprotect.errno.EINVAL.grows")
@pytest.mark.parametrize("length", [0, 1], ids=["zero", "page"])
def test_growsdown_with_growsup_is_refused(process: Process, page: int, length: int) -> None:
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)

    with fails("EINVAL"):
        process.mprotect(base, length * page, PROT_READ | PROT_GROWSDOWN | PROT_GROWSUP)

    process.store(base, b"x")


@clause("mprotect.errno.EINVAL.grows-not")
@pytest.mark.parametrize("grows", [PROT_GROWSDOWN, PROT_GROWSUP], ids=["down", "up"])
@kinds
def test_grows_flags_are_refused_for_mapping_that_does_not_grow(
    process: Process, file: MakeFile, page: int, kind: str, grows: int
) -> None:
    base = three_pages(kind, process, file, page)

    with fails("EINVAL"):
        process.mprotect(base + page, page, PROT_READ | grows)

    process.store(base, lettered_pages(page, 3))


@clause("mprotect.growsdown")
@pytest.mark.parametrize("first", [0, 1, 2])
def test_growsdown_changes_mapping_from_its_start(process: Process, page: int, first: int) -> None:
    """PROT_GROWSDOWN extends the range to the start of the mapping; addr + len is still its end."""
    base = process.mmap(0, 4 * page, RW, ANONYMOUS | MAP_GROWSDOWN, -1, 0)
    process.store(base, lettered_pages(page, 4))

    process.mprotect(base + first * page, page, PROT_READ | PROT_GROWSDOWN)

    for number in range(first + 1):
        assert_read_only(process, base + number * page)
    process.store(base + (first + 1) * page, b"x")


@clause("mprotect.errno.ENOMEM.prefix")
@pytest.mark.parametrize("hole", [0, 1, 2], ids=["start", "middle", "end"])
def test_pages_before_hole_change(process: Process, page: int, hole: int) -> None:
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
def test_pages_before_refused_mapping_change(process: Process, file: MakeFile, page: int, denied: int) -> None:
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


@dataclass
class Call:
    """Arguments of an mprotect call that succeeds until one of the functions below makes it wrong.

    Of four pages from `base` on, the second and the fourth are unmapped.  The third, at `refused`, is a shared mapping
    of a read-only descriptor, which cannot be made writable.
    """

    process: Process
    page: int
    base: int
    refused: int
    addr: int
    length: int
    prot: int = RW


def unaligned_address(call: Call) -> None:
    call.addr += 1


def length_zero(call: Call) -> None:
    call.length = 0


def wrapping_length(call: Call) -> None:
    call.length = (1 << call.process.bits) - call.page


def unknown_bit(call: Call) -> None:
    call.prot |= 1 << 20


def hole_and_refused_mapping(call: Call) -> None:
    """Extend the range over the hole and the mapping that cannot be made writable."""
    call.length = 3 * call.page


def refused_mapping(call: Call) -> None:
    """Start at the mapping that cannot be made writable."""
    call.addr = call.refused


def refused_mapping_and_hole(call: Call) -> None:
    """Start at the mapping that cannot be made writable, and extend the range over the hole after it."""
    call.addr = call.refused
    call.length = 2 * call.page


@clause("mprotect.errno.order")
@pytest.mark.parametrize(
    ("mistakes", "errno"),
    [
        pytest.param((unaligned_address, hole_and_refused_mapping), "EINVAL", id="unaligned-over-hole"),
        pytest.param((unaligned_address, length_zero), "EINVAL", id="unaligned-with-length-zero"),
        pytest.param((unaligned_address, wrapping_length), "EINVAL", id="unaligned-with-wrapping-length"),
        pytest.param(
            (wrapping_length, unknown_bit),
            "ENOMEM",
            id="wrapping-length-with-unknown-bit",
            marks=needs("native-width"),
        ),
        pytest.param((hole_and_refused_mapping, unknown_bit), "EINVAL", id="unknown-bit-over-hole"),
        pytest.param((hole_and_refused_mapping,), "ENOMEM", id="hole-before-refused-mapping"),
        pytest.param((refused_mapping_and_hole,), "EACCES", id="refused-mapping-before-hole"),
        pytest.param((refused_mapping, unknown_bit), "EINVAL", id="unknown-bit-for-refused-mapping"),
    ],
)
def test_first_of_two_errors_is_returned(
    process: Process, file: MakeFile, page: int, mistakes: tuple[Callable[[Call], None], ...], errno: str
) -> None:
    """Linux checks the arguments first, in this order; then the range, from low addresses to high ones."""
    base = process.mmap(0, 4 * page, PROT_READ, ANONYMOUS, -1, 0)
    refused = process.mmap(base + 2 * page, page, PROT_READ, MAP_SHARED | MAP_FIXED, file(b"kept", O_RDONLY), 0)
    process.munmap(base + page, page)
    process.munmap(base + 3 * page, page)
    call = Call(process, page, base, refused, addr=base, length=page)
    for mistake in mistakes:
        mistake(call)

    with fails(errno):
        process.mprotect(call.addr, call.length, call.prot)

    assert_read_only(process, refused)
