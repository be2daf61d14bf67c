"""Cases of paging: the page as the unit of protection and presence, page faults, and the page size."""

from __future__ import annotations

import pytest

from ..contract import (
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    O_RDONLY,
    PROT_NONE,
    PROT_READ,
    SC_PAGESIZE,
    Process,
    System,
    Unsupported,
)
from ..testing import clause, fails, faults, needs
from ._helpers import (
    ANONYMOUS,
    RW,
    MakeFile,
    assert_inaccessible,
    lettered_pages,
    map_memory,
    map_memory_at,
    reserve,
)

# ---------------------------------------------------------------------------------------------------------------- pages


@clause("paging.pages")
def test_consecutive_pages_form_one_range(process: Process, page: int) -> None:
    """Pages that receive their frames out of order form one range; one access crosses the boundary of two pages."""
    base = map_memory(process, 5 * page)
    for number in (3, 0, 4, 2, 1):
        process.store(base + number * page, bytes([65 + number]) * page)

    assert process.load(base, 5 * page) == lettered_pages(page, 5)

    process.store(base + page - 2, b"over")
    assert process.load(base + page - 3, 6) == b"AoverB"


@clause("paging.pages")
def test_consecutive_pages_may_show_any_file_pages(process: Process, file: MakeFile, page: int) -> None:
    """The range maps the file's pages in reverse order."""
    fd = file(lettered_pages(page, 4))
    base = reserve(process, 4)

    for number in range(4):
        process.mmap(base + number * page, page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, (3 - number) * page)

    assert process.load(base, 4 * page) == b"".join(bytes([68 - number]) * page for number in range(4))


@clause("paging.pages")
def test_two_addresses_may_show_one_file_page(process: Process, file: MakeFile, page: int) -> None:
    """A file's page that is mapped twice is one page in memory: a store at one address is loaded at the other."""
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    process.mmap(base, page, RW, MAP_SHARED | MAP_FIXED, fd, page)

    process.store(base, b"one page")

    assert process.load(base + page, 9) == b"one pageB"


# ----------------------------------------------------------------------------------------------------------------- unit


@clause("paging.unit")
@pytest.mark.parametrize(
    ("prot", "readable"), [pytest.param(PROT_READ, True, id="read"), pytest.param(PROT_NONE, False, id="none")]
)
def test_protection_changes_at_page_boundaries_only(
    process: Process, file: MakeFile, page: int, prot: int, readable: bool
) -> None:
    fd = file(lettered_pages(page, 3))
    base = process.mmap(0, 3 * page, RW, MAP_PRIVATE, fd, 0)

    process.mmap(base + page, page, prot, MAP_PRIVATE | MAP_FIXED, fd, page)

    for offset in (0, page - 1, 2 * page, 3 * page - 1):
        process.store(base + offset, b"!")
    for offset in (page, page + page // 2, 2 * page - 1):
        with faults("SIGSEGV"):
            process.store(base + offset, b"!")
        if readable:
            assert process.load(base + offset, 1) == b"B"
        else:
            with faults("SIGSEGV"):
                process.load(base + offset, 1)


@clause("paging.unit")
def test_presence_changes_at_page_boundaries_only(process: Process, page: int) -> None:
    base = map_memory(process, 3 * page)
    process.store(base, lettered_pages(page, 3))

    process.munmap(base + page, 1)

    assert process.load(base, page) == b"A" * page
    for offset in (page, page + page // 2, 2 * page - 1):
        with faults("SIGSEGV"):
            process.load(base + offset, 1)
    assert process.load(base + 2 * page, page) == b"C" * page


@clause("paging.unit")
@pytest.mark.parametrize("access", ["load", "store"])
def test_mapped_file_ends_at_page_boundary(process: Process, file: MakeFile, page: int, access: str) -> None:
    """Of a file of one page and one byte, the whole second page is accessible; the third faults at its first byte."""
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, file(b"x" * (page + 1)), 0)

    process.load(base + 2 * page - 1, 1)
    process.store(base + 2 * page - 1, b"!")
    with faults("SIGBUS"):
        if access == "load":
            process.load(base + 2 * page, 1)
        else:
            process.store(base + 2 * page, b"!")


@clause("paging.unit")
def test_private_copy_is_one_page(process: Process, file: MakeFile, page: int) -> None:
    """A store copies only the page that it accesses; the other pages and the file are unchanged."""
    fd = file(lettered_pages(page, 3))
    base = process.mmap(0, 3 * page, RW, MAP_PRIVATE, fd, 0)

    process.store(base + page, b"!")

    assert process.load(base, 3 * page) == b"A" * page + b"!" + b"B" * (page - 1) + b"C" * page
    assert process.pread(fd, 3 * page, 0) == lettered_pages(page, 3)


# ---------------------------------------------------------------------------------------------------------- fault loads


@clause("paging.fault-loads")
@pytest.mark.parametrize("order", ["forwards", "backwards"])
def test_first_access_loads_file_content(process: Process, file: MakeFile, page: int, order: str) -> None:
    base = process.mmap(0, 4 * page, PROT_READ, MAP_SHARED, file(lettered_pages(page, 4)), 0)

    for number in range(4) if order == "forwards" else reversed(range(4)):
        assert process.load(base + number * page + number, 1) == bytes([65 + number])


@clause("mincore.vector")
def test_memory_becomes_resident_page_by_page(process: Process, page: int) -> None:
    base = process.mmap(0, 4 * page, RW, ANONYMOUS, -1, 0)
    assert process.mincore(base, 4 * page) == [False, False, False, False]

    process.store(base + 2 * page, b"x")

    assert process.mincore(base, 4 * page) == [False, False, True, False]


@clause("paging.fault-loads")
@needs("residency")
@pytest.mark.parametrize("access", ["load", "store"])
def test_first_access_to_page_is_a_fault(process: Process, page: int, access: str) -> None:
    """One fault may bring in several pages: only an access to a page that is not resident yet must be one."""
    base = process.mmap(0, 8 * page, RW, ANONYMOUS, -1, 0)
    before = process.counters().faults

    absent = 0
    for number in range(8):
        absent += not process.mincore(base + number * page, page)[0]
        if access == "load":
            process.load(base + number * page, 1)
        else:
            process.store(base + number * page, b"x")

    assert process.counters().faults - before >= absent


@needs("residency")
def map_evicted(process: Process, file: MakeFile, page: int, pages: int) -> int:
    """Map a file of pages A, B … that is not in the page cache; raise Unsupported if it cannot be evicted."""
    fd = file(lettered_pages(page, pages))
    process.drop_cache(fd)
    base = process.mmap(0, pages * page, PROT_READ, MAP_SHARED, fd, 0)
    if any(process.mincore(base, pages * page)):
        raise Unsupported("the file's pages stay in memory (a file system without a disk, or one that keeps them)")
    return base


@clause("paging.fault-loads")
def test_access_loads_page_from_disk(process: Process, file: MakeFile, page: int) -> None:
    """Nothing is required of the neighbouring pages, because a system may read ahead.

    A page may leave memory again at any time, so one of several attempts must find it there.
    """
    base = map_evicted(process, file, page, 4)

    found: list[bool] = []
    while True not in found and len(found) < 5:
        assert process.load(base + 2 * page, 2) == b"CC"
        found += process.mincore(base + 2 * page, page)

    assert True in found


@clause("paging.fault-loads")
def test_loading_page_from_disk_is_a_fault(process: Process, file: MakeFile, page: int) -> None:
    base = map_evicted(process, file, page, 2)
    before = process.counters().faults

    assert process.load(base, 1) == b"A"

    assert process.counters().faults - before >= 1


# ------------------------------------------------------------------------------------------------------------ page size


@clause("paging.size.hardware")
def test_page_size_is_power_of_two(page: int) -> None:
    assert page > 0
    assert page & (page - 1) == 0


@clause("paging.size.hardware")
@pytest.mark.parametrize("related", ["child", "unrelated"])
def test_page_size_is_same_in_every_process(process: Process, system: System, page: int, related: str) -> None:
    other = process.fork() if related == "child" else system.spawn()

    assert other.sysconf(SC_PAGESIZE) == page


@clause("paging.sysconf")
def test_mmap_maps_whole_pages(process: Process, page: int) -> None:
    """A mapping of one byte is exactly one page."""
    base = reserve(process, 3)

    map_memory_at(process, base + page, 1)

    process.store(base + page, b"x" * page)
    for beside in (base, base + 2 * page):
        assert_inaccessible(process, beside)


@clause("mmap.errno.EINVAL.offset")
def test_offsets_are_multiples_of_page_size(process: Process, file: MakeFile, page: int) -> None:
    fd = file(lettered_pages(page, 2), O_RDONLY)

    base = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, page)
    with fails("EINVAL"):
        process.mmap(0, page, PROT_READ, MAP_SHARED, fd, page // 2)

    assert process.load(base, 1) == b"B"


@clause("munmap.errno.EINVAL.address")
def test_munmap_unmaps_whole_pages(process: Process, page: int) -> None:
    base = map_memory(process, 2 * page)

    with fails("EINVAL"):
        process.munmap(base + page // 2, page // 2)
    process.munmap(base + page, page)

    process.store(base, b"x" * page)
    assert_inaccessible(process, base + page)


@clause("paging.sysconf")
def test_page_size_does_not_change(process: Process, page: int) -> None:
    assert process.sysconf(SC_PAGESIZE) == page


@clause("paging.sysconf.invalid")
@pytest.mark.parametrize("name", [-1, 9999, (1 << 31) - 1], ids=["minus-1", "9999", "largest"])
def test_invalid_sysconf_name_is_refused(process: Process, name: int) -> None:
    with fails("EINVAL"):
        process.sysconf(name)
