"""Where mappings go, what they replace, and when there is no room for more."""

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
)
from ..testing import clause, fails
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

# -------------------------------------------------------------------------------------------------------- own place


@clause("mmap.addr.never-replaces")
@shared_and_private
def test_nothing_is_put_into_a_reservation(process: Process, page: int, file: MakeFile, kind: int) -> None:
    """Inaccessible memory is mapped as any other is."""
    base = reserve(process, 8)
    process.munmap(base, page)
    fd = file(b"abc")
    places = [process.mmap(0, page, PROT_READ, kind, fd, 0) for _ in range(8)]
    places += [process.mmap(base + number * page, page, PROT_READ, kind, fd, 0) for number in range(1, 8)]

    assert not any(base + page <= place < base + 8 * page for place in places)
    assert len(set(places)) == 15
    for number in range(1, 8):
        assert_inaccessible(process, base + number * page)


@clause("mmap.range.windows")
@shared_and_private
def test_windows_side_by_side(process: Process, page: int, file: MakeFile, kind: int) -> None:
    """Each keeps its own place in the file, also where it shows the same page as its neighbour, or an earlier one."""
    fd = file(lettered_pages(page, 4))
    order = (1, 1, 2, 0, 3)
    base = free_range(process, len(order))
    for place, number in enumerate(order):
        process.mmap(base + place * page, page, RW, kind | MAP_FIXED, fd, number * page)

    assert process.load(base, 5 * page) == pages_of(page, *("ABCD"[number] for number in order))
    process.store(base, b"!")
    assert process.load(base + page, 1) == (b"!" if kind == MAP_SHARED else b"B")


@clause("mmap.flag.fixed-replaces.file")
def test_what_was_stored_before_it_was_replaced_is_in_the_file(process: Process, page: int, file: MakeFile) -> None:
    fd = file(pages_of(page, "a", "b"))
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    process.store(base + page - 1, b"xy")
    process.mmap(base, 2 * page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(base + page - 1, b"zz")

    assert process.pread(fd, 4, page - 2) == b"axyb"


@clause("mmap.flag.fixed-replaces.elsewhere")
def test_what_is_replaced_stays_in_another_process(process: Process, page: int, file: MakeFile) -> None:
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, file(pages_of(page, "a", "b")), 0)
    child = process.fork()
    child.mmap(base, page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    child.store(base, b"x")

    assert process.load(base, 2 * page) == pages_of(page, "a", "b")
    assert child.load(base, page + 1) == b"x" + bytes(page - 1) + b"b"


@clause("mmap.result.failure.fixed.outside")
@pytest.mark.parametrize("why", ["sync", "sys-file"])
def test_refused_late_over_mappings(
    system: System, process: Process, page: int, file: MakeFile, record: Record, why: str
) -> None:
    """The page of the range is as it was, or gone; those beside it are as they were."""
    if why == "sync":
        fd, flags, errno = file(b"abc"), MAP_SHARED_VALIDATE | MAP_SYNC, "EOPNOTSUPP"
    else:
        path = system.facility(Facility(why))
        with setup():
            fd, flags, errno = process.open(path, 0), MAP_SHARED, "ENODEV"
    base = process.mmap(0, 3 * page, PROT_READ, MAP_SHARED, file(lettered_pages(page, 3)), 0)
    with fails(errno):
        process.mmap(base + page, page, PROT_READ, flags | MAP_FIXED, fd, 0)

    assert process.load(base, page) == b"A" * page
    assert process.load(base + 2 * page, page) == b"C" * page
    kept = can_load(process, base + page)
    record("a range that MAP_FIXED was refused for late", "kept" if kept else "gone")
    if kept:
        assert process.load(base + page, page) == b"B" * page
    else:
        assert_nothing_mapped(process, base + page)


# -------------------------------------------------------------------------------------------------- without replacing


@clause("mmap.flag.fixed-noreplace.with-fixed")
def test_noreplace_replaces_nothing_even_with_fixed(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"new")
    taken = process.mmap(0, page, PROT_READ, MAP_SHARED, file(b"taken"), 0)
    with fails("EEXIST"):
        process.mmap(taken, page, PROT_READ, MAP_SHARED | MAP_FIXED | MAP_FIXED_NOREPLACE, fd, 0)

    assert process.load(taken, 5) == b"taken"


@clause("mmap.errno.EEXIST.inaccessible")
def test_noreplace_over_inaccessible_memory(process: Process, page: int, file: MakeFile) -> None:
    taken = reserve(process, 1)
    fd = file(b"new")
    with fails("EEXIST"):
        process.mmap(taken, page, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0)

    assert_inaccessible(process, taken)


@clause("mmap.errno.EINVAL.noreplace")
@shared_and_private
@pytest.mark.parametrize("distance", ["one", "a-page-less-one"])
def test_noreplace_within_a_page(process: Process, page: int, file: MakeFile, kind: int, distance: str) -> None:
    addr = free_range(process, 2)
    fd = file(b"abc")
    with fails("EINVAL"):
        process.mmap(addr + (1 if distance == "one" else page - 1), page, PROT_READ, kind | MAP_FIXED_NOREPLACE, fd, 0)

    assert_nothing_mapped(process, addr)
    assert_nothing_mapped(process, addr + page)


@clause("mmap.errno.ENOMEM.noreplace")
@pytest.mark.parametrize("place", ["the-last-page", "from-here-to-the-end"])
def test_noreplace_outside_the_address_space(process: Process, page: int, place: str) -> None:
    addr = free_range(process, 1)
    length = page
    if place == "the-last-page":
        at = (1 << process.bits) - page
    else:
        at, length = addr, 1 << 62 if process.bits == 64 else (1 << process.bits) - page
    with fails("ENOMEM"):
        process.mmap(at, length, PROT_NONE, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0)

    assert_nothing_mapped(process, addr)


@clause("mmap.errno.EPERM.noreplace")
def test_noreplace_at_address_zero(process: Process, page: int, file: MakeFile) -> None:
    """Of a file: for anonymous memory a C library may say ENOMEM instead (musl does)."""
    fd = file(b"abc")
    process.drop_capability("CAP_SYS_RAWIO")
    with fails("EPERM"):
        process.mmap(0, page, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0)

    assert_nothing_mapped(process, 0)


@clause("mmap.errno.EPERM.noreplace")
def test_noreplace_of_memory_at_address_zero(process: Process, page: int) -> None:
    """A C library may take it for memory that is not there (musl does)."""
    process.drop_capability("CAP_SYS_RAWIO")
    with fails("EPERM", "ENOMEM"):
        process.mmap(0, page, PROT_READ, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0)

    assert_nothing_mapped(process, 0)


# ---------------------------------------------------------------------------------------------------- too much of it


@clause("mmap.errno.ENOMEM.length-wraps")
@shared_and_private
@pytest.mark.parametrize("below", ["one", "a-page-less-one"])
@pytest.mark.parametrize("of", ["memory", "a-file"])
def test_length_that_rounds_up_to_nothing(
    process: Process, page: int, file: MakeFile, kind: int, below: str, of: str
) -> None:
    """It is too long, not 0: no EINVAL, and nothing is mapped."""
    fd, anonymous = (-1, MAP_ANONYMOUS) if of == "memory" else (file(b"abc"), 0)
    length = (1 << process.bits) - (1 if below == "one" else page - 1)
    addr = free_range(process, 1)
    with fails("ENOMEM"):
        process.mmap(addr, length, PROT_READ, kind | anonymous, fd, 0)

    assert_nothing_mapped(process, addr)


@clause("mmap.errno.ENOMEM.no-room")
def test_more_than_the_largest_gap(process: Process, page: int) -> None:
    """Each of them would fit, all together do not: the one that finds no room is refused, the others stay."""
    length = 1 << (process.bits - 19 if process.bits == 64 else 30)
    places: list[int] = []
    with fails("ENOMEM"):
        for _ in range(1 << 12):
            places.append(process.mmap(0, length, PROT_NONE, ANONYMOUS | MAP_NORESERVE, -1, 0))

    for low, high in zip(sorted(places), sorted(places)[1:], strict=False):
        assert low + length <= high
    for place in places[:2]:
        assert_inaccessible(process, place)


ROOM = 64
"""Pages that a limit leaves: the process's own memory comes and goes by fewer."""


@clause("mmap.errno.ENOMEM.address-space")
@pytest.mark.parametrize(
    ("prot", "kind", "placed"),
    [
        pytest.param(PROT_NONE, MAP_PRIVATE, False, id="inaccessible"),
        pytest.param(RW, MAP_PRIVATE, False, id="private"),
        pytest.param(RW, MAP_SHARED, False, id="shared"),
        pytest.param(PROT_NONE, MAP_PRIVATE | MAP_NORESERVE, False, id="without-reservation"),
        pytest.param(RW, MAP_PRIVATE, True, id="fixed"),
    ],
)
def test_memory_of_every_kind_counts(process: Process, page: int, prot: int, kind: int, placed: bool) -> None:
    addr = free_range(process, 4 * ROOM)
    process.set_limit_headroom(Resource.ADDRESS_SPACE, ROOM * page)
    flags = kind | MAP_ANONYMOUS | (MAP_FIXED if placed else 0)
    with fails("ENOMEM"):
        process.mmap(addr, 4 * ROOM * page, prot, flags, -1, 0)

    assert_nothing_mapped(process, addr)
    process.mmap(addr, page, prot, flags, -1, 0)


@clause("mmap.errno.ENOMEM.replaced")
def test_what_is_replaced_does_not_count(process: Process, page: int) -> None:
    """More is replaced than there is room for; a page more than that and the room is not to be had."""
    base = process.mmap(0, 4 * ROOM * page, PROT_NONE, ANONYMOUS, -1, 0)
    process.set_limit_headroom(Resource.ADDRESS_SPACE, ROOM * page)
    process.mmap(base, 4 * ROOM * page, PROT_READ, ANONYMOUS | MAP_FIXED, -1, 0)

    assert process.load(base, 1) == b"\0"
    with fails("ENOMEM"):
        process.mmap(0, 4 * ROOM * page, PROT_READ, ANONYMOUS, -1, 0)


@clause("mmap.errno.ENOMEM.data")
@pytest.mark.parametrize("of", ["memory", "a-file", "write-alone"])
def test_private_memory_past_the_limit_of_data(process: Process, page: int, file: MakeFile, of: str) -> None:
    fd, anonymous = (file(b"abc"), 0) if of == "a-file" else (-1, MAP_ANONYMOUS)
    prot = PROT_WRITE if of == "write-alone" else RW
    addr = free_range(process, 4 * ROOM)
    process.set_limit_headroom(Resource.DATA, ROOM * page)
    with fails("ENOMEM"):
        process.mmap(addr, 4 * ROOM * page, prot, MAP_PRIVATE | anonymous, fd, 0)

    assert_nothing_mapped(process, addr)
    process.mmap(addr, page, prot, MAP_PRIVATE | anonymous, fd, 0)


@clause("mmap.errno.ENOMEM.data.others")
@pytest.mark.parametrize(
    ("prot", "flags"),
    [
        pytest.param(RW, MAP_SHARED, id="shared"),
        pytest.param(PROT_READ, MAP_PRIVATE, id="read-only"),
        pytest.param(PROT_NONE, MAP_PRIVATE, id="inaccessible"),
        pytest.param(RW, MAP_PRIVATE | MAP_GROWSDOWN, id="growing-down"),
    ],
)
def test_memory_that_is_no_data(process: Process, page: int, prot: int, flags: int) -> None:
    """It is mapped whatever the limit of data."""
    process.set_limit_headroom(Resource.DATA, ROOM * page)
    base = process.mmap(0, 4 * ROOM * page, prot, flags | MAP_ANONYMOUS, -1, 0)

    if prot:
        assert process.load(base, 1) == b"\0"
    else:
        assert_inaccessible(process, base)


LARGEST_OFFSET = 1 << 63


@clause("mmap.errno.EOVERFLOW.boundary")
@shared_and_private
@pytest.mark.parametrize("length", ["a-page", "two-pages", "a-byte"])
def test_the_last_offsets_there_are(process: Process, page: int, file: MakeFile, kind: int, length: str) -> None:
    """A mapping may end a page before 2^63; there is not one byte more."""
    size = {"a-page": page, "two-pages": 2 * page, "a-byte": 1}[length]
    pages = -(-size // page)
    fd = file(b"abc")
    last = LARGEST_OFFSET - (pages + 1) * page
    base = process.mmap(0, size, PROT_READ, kind, fd, last)
    assert base % page == 0

    with fails("EOVERFLOW"):
        process.mmap(0, pages * page + 1, PROT_READ, kind, fd, last)
    with fails("EOVERFLOW"):
        process.mmap(0, size, PROT_READ, kind, fd, last + page)
