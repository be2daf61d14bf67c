"""Cases of the placement of mappings, of the mappings they replace, and of exhausted address space and limits."""

from __future__ import annotations

import pytest

from ..contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MAP_SYNC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    Facility,
    Process,
    Resource,
    System,
    Unsupported,
)
from ..testing import clause, fails, needs
from ._helpers import (
    ANONYMOUS,
    RW,
    MakeFile,
    Record,
    assert_inaccessible,
    assert_nothing_mapped,
    can_load,
    free_range,
    lettered_pages,
    pages_of,
    reserve,
    setup,
    shared_and_private,
)

# -------------------------------------------------------------------------------------------- placement and replacement


@clause("mmap.addr.never-replaces")
@shared_and_private
def test_reservation_is_not_used_for_other_mappings(process: Process, page: int, file: MakeFile, kind: int) -> None:
    """A PROT_NONE mapping occupies its addresses like any other mapping."""
    base = reserve(process, 8)
    process.munmap(base, page)
    fd = file(b"abc")
    addresses = [process.mmap(0, page, PROT_READ, kind, fd, 0) for _ in range(8)]
    addresses += [process.mmap(base + number * page, page, PROT_READ, kind, fd, 0) for number in range(1, 8)]

    assert not any(base + page <= place < base + 8 * page for place in addresses)
    assert len(set(addresses)) == 15
    for number in range(1, 8):
        assert_inaccessible(process, base + number * page)


@clause("mmap.range.windows")
@shared_and_private
def test_adjacent_mappings_keep_their_offsets(process: Process, page: int, file: MakeFile, kind: int) -> None:
    """Neighbours map the same file page, an earlier one or a later one."""
    fd = file(lettered_pages(page, 4))
    order = (1, 1, 2, 0, 3)
    base = free_range(process, len(order))
    for place, number in enumerate(order):
        process.mmap(base + place * page, page, RW, kind | MAP_FIXED, fd, number * page)

    assert process.load(base, 5 * page) == pages_of(page, *("ABCD"[number] for number in order))
    process.store(base, b"!")
    assert process.load(base + page, 1) == (b"!" if kind == MAP_SHARED else b"B")


@clause("mmap.flag.fixed-replaces.file")
def test_store_before_replacement_is_in_file(process: Process, page: int, file: MakeFile) -> None:
    fd = file(pages_of(page, "a", "b"))
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    process.store(base + page - 1, b"xy")
    process.mmap(base, 2 * page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(base + page - 1, b"zz")

    assert process.pread(fd, 4, page - 2) == b"axyb"


@clause("mmap.flag.fixed-replaces.elsewhere")
def test_replacement_does_not_affect_other_process(process: Process, page: int, file: MakeFile) -> None:
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, file(pages_of(page, "a", "b")), 0)
    child = process.fork()
    child.mmap(base, page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    child.store(base, b"x")

    assert process.load(base, 2 * page) == pages_of(page, "a", "b")
    assert child.load(base, page + 1) == b"x" + bytes(page - 1) + b"b"


@pytest.mark.parametrize(
    "cause",
    [
        pytest.param("sync", marks=clause("mmap.errno.EOPNOTSUPP.sync")),
        pytest.param("sys-file", marks=clause("mmap.result.failure.fixed.outside")),
    ],
)
def test_late_failure_with_fixed_keeps_or_unmaps_range(
    system: System, process: Process, page: int, file: MakeFile, record: Record, cause: str
) -> None:
    """The page of the range is unchanged or unmapped; its neighbours are unchanged."""
    if cause == "sync":
        fd, flags = file(b"abc"), MAP_SHARED_VALIDATE | MAP_SYNC
    else:
        path = system.facility(Facility(cause))
        with setup():
            fd, flags = process.open(path, 0), MAP_SHARED
    base = process.mmap(0, 3 * page, PROT_READ, MAP_SHARED, file(lettered_pages(page, 3)), 0)
    try:
        process.mmap(base + page, page, PROT_READ, flags | MAP_FIXED, fd, 0)
    except OSError:
        pass  # which errno it is belongs to other clauses
    else:
        raise Unsupported("the call succeeds, and no other is known that fails late")

    assert process.load(base, page) == b"A" * page
    assert process.load(base + 2 * page, page) == b"C" * page
    kept = can_load(process, base + page)
    record("the range of a MAP_FIXED call that failed late", "kept" if kept else "unmapped")
    if kept:
        assert process.load(base + page, page) == b"B" * page
    else:
        assert_nothing_mapped(process, base + page)


# -------------------------------------------------------------------------------------------------- MAP_FIXED_NOREPLACE


@clause("mmap.flag.fixed-noreplace.with-fixed")
def test_noreplace_takes_precedence_over_fixed(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"new")
    existing = process.mmap(0, page, PROT_READ, MAP_SHARED, file(b"taken"), 0)
    with fails("EEXIST"):
        process.mmap(existing, page, PROT_READ, MAP_SHARED | MAP_FIXED | MAP_FIXED_NOREPLACE, fd, 0)

    assert process.load(existing, 5) == b"taken"


@clause("mmap.errno.EEXIST.inaccessible")
def test_noreplace_over_inaccessible_memory_fails(process: Process, page: int, file: MakeFile) -> None:
    existing = reserve(process, 1)
    fd = file(b"new")
    with fails("EEXIST"):
        process.mmap(existing, page, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0)

    assert_inaccessible(process, existing)


@clause("mmap.errno.EINVAL.noreplace")
@shared_and_private
@pytest.mark.parametrize("distance", ["one-byte", "one-page-minus-one-byte"])
def test_unaligned_noreplace_fails(process: Process, page: int, file: MakeFile, kind: int, distance: str) -> None:
    addr = free_range(process, 2)
    fd = file(b"abc")
    with fails("EINVAL"):
        process.mmap(
            addr + (1 if distance == "one-byte" else page - 1), page, PROT_READ, kind | MAP_FIXED_NOREPLACE, fd, 0
        )

    assert_nothing_mapped(process, addr)
    assert_nothing_mapped(process, addr + page)


@clause("mmap.errno.ENOMEM.noreplace")
@pytest.mark.parametrize(
    "place", ["last-page", pytest.param("free-address-past-end", marks=needs("upper-addresses-outside"))]
)
def test_noreplace_outside_address_space_fails(process: Process, page: int, place: str) -> None:
    addr = free_range(process, 1)
    length = page
    if place == "last-page":
        at = (1 << process.bits) - page
    else:
        at, length = addr, 1 << 62 if process.bits == 64 else (1 << process.bits) - page
    with fails("ENOMEM"):
        process.mmap(at, length, PROT_NONE, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0)

    assert_nothing_mapped(process, addr)


@clause("mmap.errno.EPERM.noreplace")
def test_noreplace_of_file_at_address_zero_fails(process: Process, page: int, file: MakeFile) -> None:
    """For anonymous memory a C library may fail with ENOMEM instead (musl does)."""
    fd = file(b"abc")
    process.drop_capability("CAP_SYS_RAWIO")
    with fails("EPERM"):
        process.mmap(0, page, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0)

    assert_nothing_mapped(process, 0)


@clause("mmap.errno.EPERM.noreplace")
def test_noreplace_of_anonymous_memory_at_address_zero_fails(process: Process, page: int) -> None:
    """A C library may report EPERM for anonymous memory as ENOMEM (musl does)."""
    process.drop_capability("CAP_SYS_RAWIO")
    with fails("EPERM", "ENOMEM"):
        process.mmap(0, page, PROT_READ, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0)

    assert_nothing_mapped(process, 0)


# ----------------------------------------------------------------------------------- exhausted address space and limits


@clause("mmap.errno.ENOMEM.length-wraps")
@shared_and_private
@pytest.mark.parametrize("distance", ["one-byte", "one-page-minus-one-byte"])
@pytest.mark.parametrize("memory", ["anonymous", "file"])
def test_length_that_rounds_up_to_zero_fails(
    process: Process, page: int, file: MakeFile, kind: int, distance: str, memory: str
) -> None:
    """The errno is ENOMEM, not the EINVAL of a zero length."""
    fd, anonymous = (-1, MAP_ANONYMOUS) if memory == "anonymous" else (file(b"abc"), 0)
    length = (1 << process.bits) - (1 if distance == "one-byte" else page - 1)
    addr = free_range(process, 1)
    with fails("ENOMEM"):
        process.mmap(addr, length, PROT_READ, kind | anonymous, fd, 0)

    assert_nothing_mapped(process, addr)


@needs("upper-addresses-outside")
@clause("mmap.errno.ENOMEM.no-room")
def test_mmap_fails_once_address_space_is_exhausted(process: Process, page: int) -> None:
    """Each mapping alone fits, but not all of them: the first without a gap fails, and the others remain."""
    length = 1 << (process.bits - 19 if process.bits == 64 else 30)
    addresses: list[int] = []
    with fails("ENOMEM"):
        for _ in range(1 << 12):
            addresses.append(process.mmap(0, length, PROT_NONE, ANONYMOUS, -1, 0))

    for low, high in zip(sorted(addresses), sorted(addresses)[1:], strict=False):
        assert low + length <= high
    for place in addresses[:2]:
        assert_inaccessible(process, place)


HEADROOM = 32
"""Pages that a limit leaves; the process's own memory varies by fewer."""


@pytest.mark.parametrize(
    ("prot", "kind", "fixed"),
    [
        pytest.param(PROT_NONE, MAP_PRIVATE, False, id="inaccessible", marks=clause("mmap.errno.ENOMEM.address-space")),
        pytest.param(RW, MAP_PRIVATE, False, id="private", marks=clause("mmap.errno.ENOMEM.address-space")),
        pytest.param(RW, MAP_SHARED, False, id="shared", marks=clause("mmap.errno.ENOMEM.address-space")),
        pytest.param(
            PROT_NONE, MAP_PRIVATE | MAP_NORESERVE, False, id="noreserve", marks=clause("mmap.flag.noreserve")
        ),
        pytest.param(RW, MAP_PRIVATE, True, id="fixed", marks=clause("mmap.errno.ENOMEM.address-space")),
    ],
)
def test_every_mapping_counts_against_address_space_limit(
    process: Process, page: int, prot: int, kind: int, fixed: bool
) -> None:
    addr = free_range(process, 4 * HEADROOM)
    process.set_limit_headroom(Resource.ADDRESS_SPACE, HEADROOM * page)
    flags = kind | MAP_ANONYMOUS | (MAP_FIXED if fixed else 0)
    with fails("ENOMEM"):
        process.mmap(addr, 4 * HEADROOM * page, prot, flags, -1, 0)

    assert_nothing_mapped(process, addr)
    process.mmap(addr, page, prot, flags, -1, 0)


@clause("mmap.errno.ENOMEM.replaced")
def test_replaced_mapping_does_not_count_against_limit(process: Process, page: int) -> None:
    """The replacement is larger than the headroom; a further mapping of that size fails."""
    base = process.mmap(0, 4 * HEADROOM * page, PROT_NONE, ANONYMOUS, -1, 0)
    process.set_limit_headroom(Resource.ADDRESS_SPACE, HEADROOM * page)
    process.mmap(base, 4 * HEADROOM * page, PROT_READ, ANONYMOUS | MAP_FIXED, -1, 0)

    assert process.load(base, 1) == b"\0"
    with fails("ENOMEM"):
        process.mmap(0, 4 * HEADROOM * page, PROT_READ, ANONYMOUS, -1, 0)


@clause("mmap.errno.ENOMEM.data")
@pytest.mark.parametrize("memory", ["anonymous", "file", "write-only"])
def test_private_writable_memory_past_data_limit_fails(
    process: Process, page: int, file: MakeFile, memory: str
) -> None:
    fd, anonymous = (file(b"abc"), 0) if memory == "file" else (-1, MAP_ANONYMOUS)
    prot = PROT_WRITE if memory == "write-only" else RW
    addr = free_range(process, 4 * HEADROOM)
    process.set_limit_headroom(Resource.DATA, HEADROOM * page)
    with fails("ENOMEM"):
        process.mmap(addr, 4 * HEADROOM * page, prot, MAP_PRIVATE | anonymous, fd, 0)

    assert_nothing_mapped(process, addr)
    process.mmap(addr, page, prot, MAP_PRIVATE | anonymous, fd, 0)


@clause("mmap.errno.ENOMEM.data.others")
@pytest.mark.parametrize(
    ("prot", "flags"),
    [
        pytest.param(RW, MAP_SHARED, id="shared"),
        pytest.param(PROT_READ, MAP_PRIVATE, id="read-only"),
        pytest.param(PROT_NONE, MAP_PRIVATE, id="inaccessible"),
        pytest.param(RW, MAP_PRIVATE | MAP_GROWSDOWN, id="growsdown"),
    ],
)
def test_other_memory_does_not_count_against_data_limit(process: Process, page: int, prot: int, flags: int) -> None:
    """The mapping succeeds although it is larger than RLIMIT_DATA allows."""
    process.set_limit_headroom(Resource.DATA, HEADROOM * page)
    base = process.mmap(0, 4 * HEADROOM * page, prot, flags | MAP_ANONYMOUS, -1, 0)

    if prot:
        assert process.load(base, 1) == b"\0"
    else:
        assert_inaccessible(process, base)


OFFSET_LIMIT = 1 << 63


@clause("mmap.errno.EOVERFLOW.boundary")
@shared_and_private
@pytest.mark.parametrize("length", ["one-page", "two-pages", "one-byte"])
def test_range_may_end_one_page_before_largest_offset(
    process: Process, page: int, file: MakeFile, kind: int, length: str
) -> None:
    """A mapping may end one page before 2^63, but not one byte later."""
    size = {"one-page": page, "two-pages": 2 * page, "one-byte": 1}[length]
    pages = -(-size // page)
    fd = file(b"abc")
    last = OFFSET_LIMIT - (pages + 1) * page
    base = process.mmap(0, size, PROT_READ, kind, fd, last)
    assert base % page == 0

    with fails("EOVERFLOW"):
        process.mmap(0, pages * page + 1, PROT_READ, kind, fd, last)
    with fails("EOVERFLOW"):
        process.mmap(0, size, PROT_READ, kind, fd, last + page)
