"""Cases of munmap: which pages are unmapped, which stay mapped, and errors."""

from __future__ import annotations

import pytest

from ..contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    PROT_READ,
    Process,
    System,
    Unsupported,
)
from ..testing import clause, fails, faults, needs
from ._helpers import (
    ANONYMOUS,
    KINDS,
    RW,
    WITHOUT_FILE,
    MakeFile,
    assert_inaccessible,
    assert_nothing_mapped,
    lettered_pages,
    map_memory,
    map_memory_at,
    reserve,
)


def map_kind(kind: str, process: Process, file: MakeFile, length: int, addr: int = 0) -> int:
    """Map readable and writable memory of one of KINDS, with MAP_FIXED if an address is given."""
    flags = (MAP_SHARED if kind.endswith("shared") else MAP_PRIVATE) | (MAP_FIXED if addr else 0)
    if kind.startswith("file"):
        return process.mmap(addr, length, RW, flags, file(bytes(length)), 0)
    return process.mmap(addr, length, RW, flags | WITHOUT_FILE, -1, 0)


# ------------------------------------------------------------------------------------------------------- unmapped pages


@clause("munmap.range")
@pytest.mark.parametrize("kind", KINDS)
def test_every_page_of_range_is_unmapped(process: Process, file: MakeFile, page: int, kind: str) -> None:
    base = map_kind(kind, process, file, 3 * page)
    process.store(base, b"x" * (3 * page))

    process.munmap(base, 3 * page)

    for number in range(3):
        assert_inaccessible(process, base + number * page)


@clause("munmap.range")
@pytest.mark.parametrize("access", ["load", "store"])
def test_access_to_unmapped_page_faults(process: Process, page: int, access: str) -> None:
    base = map_memory(process, page)
    process.munmap(base, page)

    with faults("SIGSEGV"):
        if access == "load":
            process.load(base, 1)
        else:
            process.store(base, b"x")


@clause("munmap.range")
@needs("coherent")
@pytest.mark.parametrize(
    ("first", "count"),
    [
        pytest.param(0, 2, id="start"),
        pytest.param(1, 2, id="middle"),
        pytest.param(3, 2, id="end"),
    ],
)
def test_part_of_mapping_can_be_unmapped(process: Process, file: MakeFile, page: int, first: int, count: int) -> None:
    """The remaining pages keep their content, protection and file offset."""
    content = b"".join(bytes([65 + number]) * page for number in range(5))
    fd = file(content)
    base = process.mmap(0, 5 * page, RW, MAP_SHARED, fd, 0)

    process.munmap(base + first * page, count * page)

    for number in range(5):
        addr = base + number * page
        if first <= number < first + count:
            assert_inaccessible(process, addr)
        else:
            assert process.load(addr, page) == content[number * page : (number + 1) * page]
            process.store(addr, b"!")
            assert process.pread(fd, 2, number * page) == b"!" + content[number * page + 1 : number * page + 2]


@clause("munmap.range")
def test_rest_of_private_mapping_keeps_copies(process: Process, file: MakeFile, page: int) -> None:
    base = process.mmap(0, 3 * page, RW, MAP_PRIVATE, file(b"." * (3 * page)), 0)
    process.store(base, b"first")
    process.store(base + 2 * page, b"third")

    process.munmap(base + page, page)

    assert process.load(base, 6) == b"first."
    assert_inaccessible(process, base + page)
    assert process.load(base + 2 * page, 6) == b"third."


@clause("munmap.range")
def test_neighbours_keep_content_and_protection(process: Process, file: MakeFile, page: int) -> None:
    base = reserve(process, 5)
    process.mmap(base + page, page, PROT_READ, MAP_SHARED | MAP_FIXED, file(b"before" * page), 0)
    map_memory_at(process, base + 2 * page, page)
    process.mmap(base + 3 * page, page, RW, MAP_PRIVATE | MAP_FIXED, file(b"after" * page), 0)

    process.munmap(base + 2 * page, page)

    assert_inaccessible(process, base + 2 * page)
    assert process.load(base + page, page) == (b"before" * page)[:page]
    with faults("SIGSEGV"):
        process.store(base + page, b"x")
    assert process.load(base + 3 * page, page) == (b"after" * page)[:page]
    process.store(base + 3 * page, b"x")
    for edge in (base, base + 4 * page):
        assert_inaccessible(process, edge)


@clause("munmap.range")
def test_range_spans_several_mappings_and_holes(process: Process, file: MakeFile, page: int) -> None:
    """The range starts inside one mapping, contains a hole, a whole mapping and a hole, and ends inside a third."""
    base = reserve(process, 9)
    process.mmap(base, 2 * page, RW, MAP_SHARED | MAP_FIXED, file(b"a" * (2 * page)), 0)
    process.munmap(base + 2 * page, page)
    map_memory_at(process, base + 3 * page, 2 * page)
    process.munmap(base + 5 * page, page)
    process.mmap(base + 6 * page, 2 * page, PROT_READ, MAP_PRIVATE | MAP_FIXED, file(b"c" * (2 * page)), 0)

    process.munmap(base + page, 6 * page)

    assert process.load(base, page) == b"a" * page
    for number in range(1, 7):
        assert_inaccessible(process, base + number * page)
    assert process.load(base + 7 * page, page) == b"c" * page
    assert_inaccessible(process, base + 8 * page)


@clause("munmap.range")
def test_inaccessible_page_is_unmapped(process: Process, page: int) -> None:
    """The si_code of the fault distinguishes an inaccessible page from an unmapped one."""
    base = reserve(process, 1)
    assert_inaccessible(process, base)

    process.munmap(base, page)

    assert_inaccessible(process, base)


@clause("munmap.range")
def test_other_mapping_of_same_pages_stays(process: Process, file: MakeFile, page: int) -> None:
    fd = file(b"shared")
    first = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    second = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    process.store(first, b"S")

    process.munmap(first, page)

    assert_inaccessible(process, first)
    assert process.load(second, 6) == b"Shared"


@clause("munmap.range")
@pytest.mark.parametrize("caller", ["parent", "child"])
def test_other_process_keeps_mapping(process: Process, file: MakeFile, page: int, caller: str) -> None:
    base = process.mmap(0, page, RW, MAP_SHARED, file(b"kept"), 0)
    child = process.fork()
    one, other = (process, child) if caller == "parent" else (child, process)

    one.munmap(base, page)

    assert_inaccessible(one, base)
    assert other.load(base, 4) == b"kept"


@clause("munmap.range")
def test_file_keeps_shared_stores(process: Process, file: MakeFile, page: int) -> None:
    fd = file(b"old" + bytes(page))
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    process.store(base, b"new")

    process.munmap(base, 2 * page)

    assert process.pread(fd, 4, 0) == b"new\0"


@clause("munmap.range")
def test_range_mapped_again_is_zero(process: Process, page: int) -> None:
    base = reserve(process, 3)
    map_memory_at(process, base + page, page)
    process.store(base + page, b"old")
    process.munmap(base + page, page)

    map_memory_at(process, base + page, page)

    assert process.load(base + page, page) == bytes(page)


@clause("munmap.usual-arguments")
@pytest.mark.parametrize("kind", KINDS)
def test_length_passed_to_mmap_unmaps_last_page(process: Process, file: MakeFile, page: int, kind: str) -> None:
    """munmap with mmap's result and its unrounded length also unmaps the last page."""
    length = page + 8
    base = reserve(process, 3)
    map_kind(kind, process, file, length, base)
    process.load(base + page, 1)

    process.munmap(base, length)

    assert_inaccessible(process, base)
    assert_inaccessible(process, base + page)
    assert_inaccessible(process, base + 2 * page)


@clause("munmap.hole")
def test_unmapped_range_is_accepted(process: Process, page: int) -> None:
    base = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)
    process.munmap(base, 2 * page)

    process.munmap(base, 2 * page)

    assert_nothing_mapped(process, base)


# --------------------------------------------------------------------------------------------------------------- result


@clause("munmap.result")
def test_success_reports_no_error(process: Process, page: int) -> None:
    base = map_memory(process, page)

    process.munmap(base, page)

    assert_inaccessible(process, base)


@clause("munmap.result")
def test_failure_reports_errno_and_unmaps_nothing(process: Process, page: int) -> None:
    base = map_memory(process, page)
    process.store(base, b"kept")

    with fails("EINVAL"):
        process.munmap(base, 0)

    assert process.load(base, 4) == b"kept"


# --------------------------------------------------------------------------------------------------------------- errors


@clause("munmap.errno.EINVAL.address")
@pytest.mark.parametrize("length", ["page", "zero", "one"])
@pytest.mark.parametrize("inside", ["1", "half", "last"])
def test_unaligned_address_is_refused(process: Process, page: int, inside: str, length: str) -> None:
    base = map_memory(process, 2 * page)
    process.store(base, b"x" * (2 * page))

    with fails("EINVAL"):
        process.munmap(
            base + {"1": 1, "half": page // 2, "last": page - 1}[inside], {"page": page, "zero": 0, "one": 1}[length]
        )

    assert process.load(base, 2 * page) == b"x" * (2 * page)


@clause("munmap.errno.EINVAL")
@pytest.mark.parametrize("where", ["mapped", "unmapped", "null"])
def test_length_zero_is_refused(process: Process, page: int, where: str) -> None:
    base = map_memory(process, 2 * page)
    process.munmap(base + page, page)
    process.store(base, b"kept")

    with fails("EINVAL"):
        process.munmap({"mapped": base, "unmapped": base + page, "null": 0}[where], 0)

    assert process.load(base, 4) == b"kept"


@clause("munmap.errno.EINVAL")
@pytest.mark.parametrize(
    "end",
    [
        pytest.param("past-middle-of-addresses", marks=needs("upper-addresses-outside")),
        "rounds-up-to-zero",
        "wraps-to-zero",
        "wraps-past-zero",
    ],
)
def test_range_past_user_space_or_wrapping_is_refused(process: Process, page: int, end: str) -> None:
    """The range starts at a mapping, so that an overflow in the kernel's arithmetic would unmap it."""
    span = 1 << process.bits
    if end == "past-middle-of-addresses" and process.bits < 64:
        raise Unsupported("the upper half of a small address space may be user space")
    base = map_memory(process, 2 * page)
    process.store(base, b"kept")
    process.store(base + page, b"kept")

    with fails("EINVAL"):
        process.munmap(
            base,
            {
                "past-middle-of-addresses": span // 2 - base,
                "rounds-up-to-zero": span - 1,
                "wraps-to-zero": span - base,
                "wraps-past-zero": span - base + page,
            }[end],
        )

    assert process.load(base, 4) == b"kept"
    assert process.load(base + page, 4) == b"kept"


@clause("munmap.errno.EINVAL")
@pytest.mark.parametrize("pages", [1, 2], ids=["one", "two"])
def test_last_page_of_addresses_is_refused(process: Process, page: int, pages: int) -> None:
    """The last page of all addresses is not in user space; a range of two pages from it on also wraps."""
    with fails("EINVAL"):
        process.munmap((1 << process.bits) - page, pages * page)


@clause("munmap.errno.EINVAL")
def test_range_past_end_of_user_space_is_refused(user_space_end: int, process: Process, page: int) -> None:
    base = map_memory(process, page)
    process.store(base, b"kept")

    with fails("EINVAL"):
        process.munmap(user_space_end, page)
    with fails("EINVAL"):
        process.munmap(base, user_space_end - base + 1)

    assert process.load(base, 4) == b"kept"


@clause("munmap.errno.ENOMEM")
def test_split_at_mapping_count_limit_fails(process: Process, system: System, page: int) -> None:
    """At the limit of the number of mappings the middle of a mapping cannot be unmapped, because two would remain."""
    limit = system.mapping_limit()
    if limit > 262_144:
        raise Unsupported(f"{limit} mappings would have to be made")
    base = process.mmap(0, 3 * page, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
    process.store(base, lettered_pages(page, 3))
    many = reserve(process, limit + 4)
    assert process.fragment(many, limit + 4) == "ENOMEM"

    with fails("ENOMEM"):
        process.munmap(base + page, page)

    assert process.load(base, 3 * page) == lettered_pages(page, 3)
    process.munmap(base + 2 * page, page)
    assert_nothing_mapped(process, base + 2 * page)
