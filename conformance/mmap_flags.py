"""Cases of the flags of mmap, one by one."""

from __future__ import annotations

import pytest

from ..contract import (
    MAP_32BIT,
    MAP_ANONYMOUS,
    MAP_DENYWRITE,
    MAP_DROPPABLE,
    MAP_EXECUTABLE,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_HUGETLB,
    MAP_LOCKED,
    MAP_NONBLOCK,
    MAP_NORESERVE,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MAP_STACK,
    MAP_SYNC,
    MAP_UNINITIALIZED,
    MS_ASYNC,
    MS_INVALIDATE,
    O_RDWR,
    PROT_NONE,
    PROT_READ,
    Backend,
    Process,
    Resource,
    errno_name,
)
from ..testing import clause, fails, faults, needs
from ._helpers import (
    ANONYMOUS,
    RW,
    MakeFile,
    NewPath,
    Record,
    assert_nothing_mapped,
    free_range,
    prot_id,
    setup,
    shared_and_private,
)

# ---------------------------------------------------------------------------------------------------------- anonymous


@clause("mmap.flag.anonymous.offset")
@shared_and_private
@pytest.mark.parametrize("offset", ["one-page", "2**62", "2**63", "minus-one-page"])
def test_anonymous_mapping_ignores_offset(process: Process, page: int, kind: int, offset: str) -> None:
    """Without a file the offset has no meaning and no limit."""
    offsets = {"one-page": page, "2**62": 1 << 62, "2**63": -(1 << 63), "minus-one-page": -page}
    base = process.mmap(0, 2 * page, RW, kind | MAP_ANONYMOUS, -1, offsets[offset])
    process.store(base + page, b"x")

    assert process.load(base, page + 2) == bytes(page) + b"x\0"


@clause("mmap.flag.anonymous.recycled")
@shared_and_private
@pytest.mark.parametrize("end", ["unmapped", "replaced", "exited"])
def test_reused_memory_is_zero(process: Process, page: int, kind: int, end: str) -> None:
    length = 4 * page
    owner = process.fork() if end == "exited" else process
    base = owner.mmap(0, length, RW, kind | MAP_ANONYMOUS, -1, 0)
    owner.store(base, b"x" * length)
    if end == "exited":
        owner.exit()
    elif end == "unmapped":
        process.munmap(base, length)
    fixed = MAP_FIXED if end == "replaced" else 0
    base = process.mmap(base if fixed else 0, length, RW, kind | MAP_ANONYMOUS | fixed, -1, 0)

    assert process.load(base, length) == bytes(length)


@clause("mmap.flag.anonymous.apart")
def test_shared_anonymous_mappings_are_separate_objects(process: Process, page: int) -> None:
    one, other = (process.mmap(0, page, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0) for _ in range(2))
    process.store(one, b"x")
    child = process.fork()
    child.store(one + 1, b"y")

    assert process.load(one, 2) == b"xy"
    assert process.load(other, 2) == child.load(other, 2) == b"\0\0"


@clause("mmap.flag.uninitialized")
@shared_and_private
def test_uninitialized_memory_is_zero(process: Process, page: int, kind: int) -> None:
    base = process.mmap(0, 4 * page, RW, kind | MAP_ANONYMOUS, -1, 0)
    process.store(base, b"x" * (4 * page))
    process.munmap(base, 4 * page)
    base = process.mmap(0, 4 * page, PROT_READ, kind | MAP_ANONYMOUS | MAP_UNINITIALIZED, -1, 0)

    assert process.load(base, 4 * page) == bytes(4 * page)


# --------------------------------------------------------------------------------------------- flags with little effect


@clause("mmap.flag.ignored")
@shared_and_private
@pytest.mark.parametrize(
    "flag", [pytest.param(MAP_DENYWRITE, id="denywrite"), pytest.param(MAP_EXECUTABLE, id="executable")]
)
def test_obsolete_flag_is_ignored(
    process: Process, page: int, file: MakeFile, new_path: NewPath, kind: int, flag: int
) -> None:
    """The file can be mapped while it is open for writing, and opened for writing while it is mapped."""
    path = new_path()
    fd = file(b"abc", O_RDWR, path)
    base = process.mmap(0, page, PROT_READ, kind | flag, fd, 0)
    writer = process.open(path, O_RDWR)
    process.pwrite(writer, b"x", 3)

    assert process.load(base, 3) == b"abc"
    assert process.pread(fd, 5, 0) == b"abcx"


@clause("mmap.flag.shared-validate.known")
@pytest.mark.parametrize(
    "flag",
    [
        pytest.param(MAP_NORESERVE, id="noreserve"),
        pytest.param(MAP_POPULATE, id="populate"),
        pytest.param(MAP_NONBLOCK, id="nonblock"),
        pytest.param(MAP_STACK, id="stack"),
        pytest.param(MAP_DENYWRITE, id="denywrite"),
        pytest.param(MAP_EXECUTABLE, id="executable"),
        pytest.param(MAP_FIXED, id="fixed"),
    ],
)
def test_shared_validate_accepts_known_flag(process: Process, page: int, file: MakeFile, flag: int) -> None:
    addr = free_range(process, 1) if flag == MAP_FIXED else 0
    fd = file(b"abc")
    base = process.mmap(addr, page, RW, MAP_SHARED_VALIDATE | flag, fd, 0)
    process.store(base, b"x")

    assert process.pread(fd, 3, 0) == b"xbc"


@clause("mmap.flag.stack")
@shared_and_private
def test_map_stack_does_not_grow(process: Process, page: int, kind: int) -> None:
    base = free_range(process, 2) + page
    process.mmap(base, page, RW, kind | MAP_ANONYMOUS | MAP_FIXED | MAP_STACK, -1, 0)
    process.store(base, b"x")

    assert process.load(base, 2) == b"x\0"
    assert_nothing_mapped(process, base - 1)


@clause("mmap.flag.noreserve")
@shared_and_private
@pytest.mark.parametrize("memory", ["anonymous", "file"])
def test_noreserve_memory_is_usable(process: Process, page: int, file: MakeFile, kind: int, memory: str) -> None:
    fd, anonymous, content = (-1, MAP_ANONYMOUS, bytes(3)) if memory == "anonymous" else (file(b"abc"), 0, b"abc")
    base = process.mmap(0, 2 * page, RW, kind | anonymous | MAP_NORESERVE, fd, 0)
    process.store(base + 1, b"x")

    assert process.load(base, 3) == content[:1] + b"x" + content[2:]


@clause("mmap.prot.none.reservation")
def test_huge_prot_none_reservation_is_usable(backend: Backend, process: Process, page: int) -> None:
    """A tebibyte, or a quarter of user space if that is less."""
    length = min(1 << 40, int(backend.facts().details.get("end", "0")) // 4 // page * page or 1 << 40)
    base = process.mmap(0, length, PROT_NONE, ANONYMOUS, -1, 0)
    last = base + length - page
    with faults("SIGSEGV"):
        process.load(last, 1)
    process.mmap(last, page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(last, b"x")

    assert process.load(last, 1) == b"x"


# ------------------------------------------------------------------------------------------------------------- populate


@clause("mmap.flag.populate")
@shared_and_private
@pytest.mark.parametrize("prot", [PROT_READ, RW], ids=prot_id)
def test_populated_memory_is_resident(process: Process, page: int, kind: int, prot: int) -> None:
    base = process.mmap(0, 4 * page, prot, kind | MAP_ANONYMOUS | MAP_POPULATE, -1, 0)

    assert process.mincore(base, 4 * page) == [True] * 4


@clause("mmap.flag.populate")
@pytest.mark.parametrize(
    "flag",
    [
        pytest.param(MAP_FIXED, id="fixed"),
        pytest.param(MAP_FIXED_NOREPLACE, id="noreplace"),
        pytest.param(MAP_NORESERVE, id="noreserve"),
        pytest.param(MAP_STACK, id="stack"),
    ],
)
def test_populate_works_with_other_flags(process: Process, page: int, flag: int) -> None:
    addr = free_range(process, 3)
    base = process.mmap(addr, 3 * page, RW, ANONYMOUS | MAP_POPULATE | flag, -1, 0)

    assert process.mincore(base, 3 * page) == [True] * 3


@needs("populate")
@clause("mmap.flag.populate.copies")
@pytest.mark.parametrize("prot", [pytest.param(RW, id="writable"), pytest.param(PROT_READ, id="read-only")])
def test_populate_copies_writable_private_pages(process: Process, page: int, file: MakeFile, prot: int) -> None:
    """Writable pages are copied immediately; read-only pages still show later changes of the file."""
    fd = file(b"abc")
    base = process.mmap(0, page, prot, MAP_PRIVATE | MAP_POPULATE, fd, 0)
    with setup():
        process.pwrite(fd, b"xyz", 0)

    assert process.load(base, 3) == (b"abc" if prot == RW else b"xyz")


@clause("mmap.flag.populate.best-effort")
@shared_and_private
def test_populate_past_end_of_file_succeeds(process: Process, page: int, file: MakeFile, kind: int) -> None:
    base = process.mmap(0, 3 * page, RW, kind | MAP_POPULATE, file(b"abc"), 0)

    assert process.load(base, 3) == b"abc"
    with faults("SIGBUS"):
        process.load(base + page, 1)


@clause("mmap.flag.populate.best-effort")
@shared_and_private
def test_populate_of_prot_none_succeeds(process: Process, page: int, kind: int) -> None:
    base = process.mmap(0, page, PROT_NONE, kind | MAP_ANONYMOUS | MAP_POPULATE, -1, 0)

    with faults("SIGSEGV"):
        process.load(base, 1)


@needs("populate")
@clause("mmap.flag.nonblock")
def test_populate_with_nonblock_has_no_effect(process: Process, page: int) -> None:
    base = process.mmap(0, 4 * page, RW, ANONYMOUS | MAP_POPULATE | MAP_NONBLOCK, -1, 0)

    assert process.mincore(base, 4 * page) == [False] * 4
    assert process.load(base, 1) == b"\0"


# ------------------------------------------------------------------------------------------------------------- locked


def raise_locked_memory_limit(process: Process, page: int) -> None:
    """Leave room for eight locked pages in RLIMIT_MEMLOCK, if the limit can be raised."""
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 8 * page)


@clause("mmap.flag.locked")
@shared_and_private
@pytest.mark.parametrize("prot", [RW, PROT_NONE], ids=prot_id)
def test_map_locked_memory_is_locked(process: Process, page: int, kind: int, prot: int) -> None:
    """msync with MS_INVALIDATE fails with EBUSY on locked pages."""
    raise_locked_memory_limit(process, page)
    base = process.mmap(0, 2 * page, prot, kind | MAP_ANONYMOUS | MAP_LOCKED, -1, 0)

    with fails("EBUSY"):
        process.msync(base + page, page, MS_ASYNC | MS_INVALIDATE)


@clause("mmap.flag.locked.resident")
@shared_and_private
@pytest.mark.parametrize("more", [pytest.param(0, id="alone"), pytest.param(MAP_NONBLOCK, id="nonblock")])
def test_map_locked_memory_is_resident(process: Process, page: int, kind: int, more: int) -> None:
    raise_locked_memory_limit(process, page)
    base = process.mmap(0, 4 * page, RW, kind | MAP_ANONYMOUS | MAP_LOCKED | more, -1, 0)

    assert process.mincore(base, 4 * page) == [True] * 4


@clause("mmap.flag.locked.best-effort")
@shared_and_private
def test_map_locked_past_end_of_file_succeeds(process: Process, page: int, file: MakeFile, kind: int) -> None:
    """Unlike mlock, mmap does not fail with ENOMEM; the accessible page is locked."""
    raise_locked_memory_limit(process, page)
    base = process.mmap(0, 3 * page, RW, kind | MAP_LOCKED, file(b"abc"), 0)

    assert process.load(base, 3) == b"abc"
    with fails("EBUSY"):
        process.msync(base, page, MS_ASYNC | MS_INVALIDATE)


@clause("mmap.flag.locked.privileged")
def test_privileged_process_ignores_locked_memory_limit(process: Process, page: int) -> None:
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 0)
    base = process.mmap(0, 2 * page, RW, ANONYMOUS | MAP_LOCKED, -1, 0)

    assert process.mincore(base, 2 * page) == [True, True]


@clause("mmap.flag.fixed-replaces.lock")
def test_replaced_mapping_is_no_longer_locked(process: Process, page: int) -> None:
    """Its pages no longer count against RLIMIT_MEMLOCK."""
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 2 * page)
    base = process.mmap(0, 2 * page, RW, ANONYMOUS | MAP_LOCKED, -1, 0)
    with fails("EAGAIN"):
        process.mmap(0, page, RW, ANONYMOUS | MAP_LOCKED, -1, 0)
    process.mmap(base, page, RW, ANONYMOUS | MAP_FIXED, -1, 0)

    process.msync(base, page, MS_ASYNC | MS_INVALIDATE)
    process.mmap(0, page, RW, ANONYMOUS | MAP_LOCKED, -1, 0)


# ---------------------------------------------------------------------------------------------------------- below 2 GiB

LOW_ADDRESS_LIMIT = 1 << 31


@clause("mmap.flag.32bit")
@shared_and_private
@pytest.mark.parametrize("hint", ["none", "above-2-gib"])
def test_32bit_mapping_is_below_2_gib(process: Process, page: int, file: MakeFile, kind: int, hint: str) -> None:
    addr = free_range(process, 4) if hint == "above-2-gib" else 0
    base = process.mmap(addr, 4 * page, RW, kind | MAP_ANONYMOUS | MAP_32BIT, -1, 0)
    file_base = process.mmap(addr, page, PROT_READ, kind | MAP_32BIT, file(b"abc"), 0)

    assert 0 < base <= LOW_ADDRESS_LIMIT - 4 * page
    assert 0 < file_base <= LOW_ADDRESS_LIMIT - page
    assert process.load(base, 1) == b"\0"
    assert process.load(file_base, 3) == b"abc"


@clause("mmap.flag.32bit.fixed")
def test_fixed_overrides_32bit(process: Process, page: int) -> None:
    addr = free_range(process, 1)

    assert process.mmap(addr, page, RW, ANONYMOUS | MAP_FIXED | MAP_32BIT, -1, 0) == addr > LOW_ADDRESS_LIMIT
    assert process.load(addr, 1) == b"\0"


# ---------------------------------------------------------------------------------------------------------- droppable


@clause("mmap.flag.droppable")
def test_droppable_page_keeps_content_or_is_zero(process: Process, page: int) -> None:
    """A page may become zero at any time, but never holds other content."""
    base = process.mmap(0, 2 * page, RW, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0)
    assert process.load(base, 2 * page) == bytes(2 * page)
    process.store(base + page, b"abc")

    assert process.load(base + page, 4) in (b"abc\0", bytes(4))
    assert process.load(base, page) == bytes(page)


@clause("mmap.flag.droppable.fork")
def test_child_inherits_droppable_memory_as_zero(process: Process, page: int) -> None:
    """The child has the pages, filled with zeros, and its stores are not visible in the parent."""
    base = process.mmap(0, page, RW, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0)
    process.store(base, b"abc")
    child = process.fork()
    assert child.load(base, page) == bytes(page)
    child.store(base, b"xyz")

    assert process.load(base, 3) in (b"abc", bytes(3))


@clause("mmap.errno.EINVAL.droppable")
@pytest.mark.parametrize(
    "flag",
    [
        pytest.param(MAP_LOCKED, id="locked"),
        pytest.param(MAP_GROWSDOWN, id="growsdown"),
        pytest.param(0, id="file"),
    ],
)
def test_invalid_droppable_mapping_fails(process: Process, page: int, file: MakeFile, flag: int) -> None:
    raise_locked_memory_limit(process, page)
    fd, anonymous = (-1, MAP_ANONYMOUS) if flag else (file(b"abc"), 0)
    addr = free_range(process, 1)
    with fails("EINVAL"):
        process.mmap(addr, page, PROT_READ, MAP_DROPPABLE | anonymous | flag, fd, 0)

    assert_nothing_mapped(process, addr)


# --------------------------------------------------------------------------------------------------- huge pages, sync

HUGE_SHIFT = 26
"""Number of the first flag bit that encodes the huge page size, as a binary logarithm."""


@clause("mmap.errno.ENOMEM.huge-pages")
@shared_and_private
def test_huge_pages_beyond_pool_fail(process: Process, kind: int) -> None:
    """The mapping needs a tebibyte of huge pages, more than any machine's pool has."""
    addr = free_range(process, 1)
    with fails("ENOMEM"):
        process.mmap(addr, 1 << 40, RW, kind | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0)

    assert_nothing_mapped(process, addr)


@clause("mmap.errno.EINVAL.huge-size")
@shared_and_private
def test_invalid_huge_page_size_fails(process: Process, page: int, kind: int) -> None:
    """No machine has pages of 2^63 bytes."""
    addr = free_range(process, 1)
    with fails("EINVAL"):
        process.mmap(addr, page, RW, kind | MAP_ANONYMOUS | MAP_HUGETLB | 63 << HUGE_SHIFT, -1, 0)

    assert_nothing_mapped(process, addr)


@clause("mmap.errno.EOPNOTSUPP.sync")
def test_sync_without_persistent_memory_fails_or_is_ignored(
    process: Process, page: int, file: MakeFile, record: Record
) -> None:
    """MAP_SHARED_VALIDATE makes it fail; with MAP_SHARED it fails or is ignored, depending on the file system."""
    fd = file(b"abc")
    with fails("EOPNOTSUPP"):
        process.mmap(0, page, RW, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0)
    error_name = ""
    try:
        base = process.mmap(0, page, RW, MAP_SHARED | MAP_SYNC, fd, 0)
    except OSError as error:
        error_name = errno_name(error)
    else:
        assert process.load(base, 3) == b"abc"
    assert error_name in ("", "EOPNOTSUPP")
    record("MAP_SYNC with MAP_SHARED", "fails" if error_name else "ignored")


# -------------------------------------------------------------------------------------------------------- MAP_GROWSDOWN


def map_growsdown(process: Process, page: int, below: int, prot: int = RW) -> int:
    """Return the address of a MAP_GROWSDOWN page with `below` unmapped pages below it."""
    base = free_range(process, below + 1) + below * page
    return process.mmap(base, page, prot, ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0)


def access_byte(process: Process, addr: int, access: str) -> None:
    """Load one byte, or store a zero byte."""
    if access == "load":
        process.load(addr, 1)
    else:
        process.store(addr, b"\0")


load_and_store = pytest.mark.parametrize("access", ["load", "store"])


@clause("mmap.flag.growsdown")
@load_and_store
@pytest.mark.parametrize("pages", [1, 3])
def test_growsdown_mapping_extends_to_accessed_page(process: Process, page: int, access: str, pages: int) -> None:
    """All pages in between become mapped and are zero; the accessed page is the lowest."""
    base = map_growsdown(process, page, 4)
    process.store(base, b"x")
    assert_unmapped_without_access(process, base - page, page)
    access_byte(process, base - pages * page, access)

    assert process.load(base - pages * page, pages * page + 1) == bytes(pages * page) + b"x"
    assert_unmapped_without_access(process, base - (pages + 1) * page, page)


def assert_unmapped_without_access(process: Process, addr: int, length: int) -> None:
    """Check by msync, so without an access that would extend the mapping, that the range is unmapped."""
    with fails("ENOMEM"):
        process.msync(addr, length, MS_ASYNC)


@clause("mmap.flag.growsdown.rights")
def test_growsdown_extension_keeps_protection(process: Process, page: int) -> None:
    base = map_growsdown(process, page, 2, PROT_READ)
    with faults("SIGSEGV"):
        process.store(base - page, b"x")

    assert process.load(base - page, 1) == b"\0"


@clause("mmap.flag.growsdown.gap")
@load_and_store
def test_growsdown_keeps_gap_to_lower_mapping(process: Process, page: int, access: str) -> None:
    base = map_growsdown(process, page, 3)
    below = process.mmap(base - 2 * page, page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(below, b"x" * page)
    with faults("SIGSEGV"):
        access_byte(process, base - page, access)

    assert process.load(below, page) == b"x" * page


@clause("mmap.flag.growsdown.limit")
@load_and_store
def test_growsdown_stops_at_stack_limit(process: Process, page: int, access: str) -> None:
    """The limit counts the whole mapping, including its initial page."""
    base = map_growsdown(process, page, 16)
    process.set_limit_headroom(Resource.STACK, 8 * page)
    access_byte(process, base - 7 * page, access)
    with faults("SIGSEGV"):
        access_byte(process, base - 8 * page, access)
