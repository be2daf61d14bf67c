"""Cases of mseal: the mappings of a sealed range cannot be changed until the process ends.

A case cannot undo a seal, so each case works in a free range.
"""

from __future__ import annotations

import pytest

from ..contract import (
    MADV_DONTFORK,
    MADV_DONTNEED,
    MADV_DONTNEED_LOCKED,
    MADV_FREE,
    MADV_WIPEONFORK,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    MS_SYNC,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    Process,
)
from ..testing import clause, fails, faults
from ._helpers import ANONYMOUS, RW, MakeFile, assert_nothing_mapped, free_range, lettered_pages

PAGES = 4
"""Number of mapped and filled pages at the start of a case; the same number of unmapped pages follows them."""


def map_pages(process: Process, page: int, kind: int = MAP_PRIVATE) -> int:
    """Map PAGES pages, each filled with its own letter; return the address."""
    base = free_range(process, 2 * PAGES)
    process.mmap(base, PAGES * page, RW, kind | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(base, lettered_pages(page, PAGES))
    return base


def assert_unchanged(process: Process, base: int, page: int) -> None:
    """Check that the pages have their original content and are writable."""
    assert process.load(base, PAGES * page) == lettered_pages(page, PAGES)
    for number in range(PAGES):
        process.store(base + number * page, lettered_pages(page, PAGES)[number * page : number * page + 1])


each_position_of_sealed_page = pytest.mark.parametrize(
    ("sealed", "first", "count"),
    [
        pytest.param(1, 1, 1, id="only-page"),
        pytest.param(1, 1, 2, id="first-page"),
        pytest.param(1, 0, 3, id="middle-page"),
        pytest.param(2, 0, 3, id="last-page"),
        pytest.param(3, 0, 4, id="last-page-of-mapping"),
    ],
)
"""Page `sealed` is sealed; the call is made for `count` pages from page `first` on."""


# ---------------------------------------------------------------------------------------------------------------- mseal


@clause("mseal.result")
def test_sealed_memory_remains_usable(process: Process, page: int) -> None:
    base = map_pages(process, page)
    process.mseal(base, 2 * page)

    assert_unchanged(process, base, page)
    process.store(base, b"new")
    assert process.load(base, 4) == b"newA"
    process.mlock(base, PAGES * page)
    process.munlock(base, PAGES * page)
    process.msync(base, PAGES * page, MS_SYNC)


@clause("mseal.result")
def test_sealed_pages_can_be_sealed_again(process: Process, page: int) -> None:
    base = map_pages(process, page)
    process.mseal(base + page, page)
    process.mseal(base + page, page)
    process.mseal(base, 3 * page)

    with fails("EPERM"):
        process.munmap(base, page)
    process.munmap(base + 3 * page, page)


@clause("mseal.result")
def test_sealed_code_is_executable_and_read_only(process: Process, page: int) -> None:
    base = map_pages(process, page)
    process.store(base, process.return_instruction())
    process.mprotect(base, page, PROT_READ | PROT_EXEC)
    process.mseal(base, page)

    process.execute(base)
    with faults("SIGSEGV"):
        process.store(base, b"x")


@clause("mseal.rounding")
@pytest.mark.parametrize("length", [1, -1], ids=["1", "page-1"])
def test_length_within_page_seals_whole_page(process: Process, page: int, length: int) -> None:
    base = map_pages(process, page)
    process.mseal(base + page, length % page)

    with fails("EPERM"):
        process.munmap(base + page, page)
    process.munmap(base, page)
    process.munmap(base + 2 * page, page)


@clause("mseal.rounding")
def test_page_of_last_byte_is_sealed(process: Process, page: int) -> None:
    base = map_pages(process, page)
    process.mseal(base, page + 1)

    with fails("EPERM"):
        process.munmap(base + page, page)
    process.munmap(base + 2 * page, page)


@clause("mseal.length-zero")
def test_length_zero_seals_nothing(process: Process, page: int) -> None:
    base = map_pages(process, page)
    process.mseal(base, 0)
    process.munmap(base, page)
    process.mseal(base, 0)

    process.munmap(base + page, page)


@clause("mseal.errno.EINVAL")
@pytest.mark.parametrize(
    ("start", "length", "flags"),
    [
        pytest.param(1, 1, 0, id="unaligned"),
        pytest.param(-1, 1, 0, id="unaligned-by-minus-1"),
        pytest.param(0, 1, 1, id="flag-1"),
        pytest.param(0, 1, 1 << 31, id="flag-bit-31"),
        pytest.param(0, -1, 0, id="range-wraps"),
        pytest.param(1, 0, 0, id="unaligned-length-zero"),
        pytest.param(0, 0, 1, id="flag-1-length-zero"),
    ],
)
def test_invalid_arguments_are_refused(process: Process, page: int, start: int, length: int, flags: int) -> None:
    base = map_pages(process, page)
    with fails("EINVAL"):
        process.mseal(base + page + start, length % (1 << 64), flags)

    process.munmap(base, PAGES * page)


@clause("mseal.errno.EINVAL")
def test_range_up_to_last_address_is_refused(process: Process, page: int) -> None:
    """addr + len is 2^64, which no address can represent."""
    base = map_pages(process, page)
    with fails("EINVAL"):
        process.mseal(base, (1 << 64) - base)

    process.munmap(base, PAGES * page)


@clause("mseal.errno.ENOMEM")
@pytest.mark.parametrize("hole", [0, 1, 3], ids=["first", "middle", "last"])
def test_hole_in_range_fails_and_seals_nothing(process: Process, page: int, hole: int) -> None:
    base = map_pages(process, page)
    process.munmap(base + hole * page, page)
    with fails("ENOMEM"):
        process.mseal(base, PAGES * page)

    process.munmap(base, PAGES * page)


@clause("mseal.errno.ENOMEM")
def test_unmapped_pages_fail_and_seal_nothing(process: Process, page: int) -> None:
    base = map_pages(process, page)
    with fails("ENOMEM"):
        process.mseal(base + PAGES * page, page)
    with fails("ENOMEM"):
        process.mseal(base + page, PAGES * page)

    process.munmap(base, PAGES * page)


# ------------------------------------------------------------------------------------------- calls that a seal prevents


@clause("munmap.errno.EPERM", "mseal.result")
@each_position_of_sealed_page
def test_munmap_of_sealed_page_is_refused(process: Process, page: int, sealed: int, first: int, count: int) -> None:
    base = map_pages(process, page)
    process.mseal(base + sealed * page, page)
    with fails("EPERM"):
        process.munmap(base + first * page, count * page)

    assert_unchanged(process, base, page)


@clause("mmap.errno.EPERM.sealed")
@each_position_of_sealed_page
def test_mmap_fixed_over_sealed_page_is_refused(
    process: Process, page: int, sealed: int, first: int, count: int
) -> None:
    base = map_pages(process, page)
    process.mseal(base + sealed * page, page)
    with fails("EPERM"):
        process.mmap(base + first * page, count * page, RW, ANONYMOUS | MAP_FIXED, -1, 0)

    assert_unchanged(process, base, page)


@clause("mmap.errno.EPERM.sealed")
def test_mmap_fixed_of_file_over_sealed_page_is_refused(process: Process, page: int, file: MakeFile) -> None:
    base = map_pages(process, page)
    process.mseal(base + page, page)
    with fails("EPERM"):
        process.mmap(base, PAGES * page, RW, MAP_SHARED | MAP_FIXED, file(lettered_pages(page, 1)), 0)

    assert_unchanged(process, base, page)


@clause("mmap.errno.EPERM.sealed")
def test_mmap_without_fixed_avoids_sealed_pages(process: Process, page: int) -> None:
    base = map_pages(process, page)
    process.mseal(base, PAGES * page)
    with fails("EEXIST"):
        process.mmap(base + page, page, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0)
    other = process.mmap(base + page, page, RW, ANONYMOUS, -1, 0)

    assert not base <= other < base + PAGES * page
    assert_unchanged(process, base, page)


@clause("mremap.errno.EPERM")
@pytest.mark.parametrize(
    ("start", "old", "new", "flags", "target"),
    [
        pytest.param(1, 1, 1, 0, 0, id="same-size"),
        pytest.param(1, 2, 1, 0, 0, id="shrink"),
        pytest.param(0, 2, 1, 0, 0, id="shrink-unmapping-sealed-page"),
        pytest.param(3, 1, 2, 0, 0, id="grow"),
        pytest.param(1, 1, 2, MREMAP_MAYMOVE, 0, id="move"),
        pytest.param(1, 1, 1, MREMAP_MAYMOVE | MREMAP_FIXED, 6, id="fixed"),
        pytest.param(1, 1, 1, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 6, id="dontunmap"),
    ],
)
def test_mremap_of_sealed_page_is_refused(
    process: Process, page: int, start: int, old: int, new: int, flags: int, target: int
) -> None:
    base = map_pages(process, page)
    process.mseal(base + page, page)
    process.mseal(base + 3 * page, page)
    with fails("EPERM"):
        process.mremap(base + start * page, old * page, new * page, flags, base + target * page if target else 0)

    assert_unchanged(process, base, page)
    assert_nothing_mapped(process, base + PAGES * page)
    assert_nothing_mapped(process, base + 6 * page)


@clause("mremap.errno.EPERM")
def test_duplicate_of_sealed_page_is_refused(process: Process, page: int) -> None:
    base = map_pages(process, page, MAP_SHARED)
    process.mseal(base + page, page)
    with fails("EPERM"):
        process.mremap(base + page, 0, page, MREMAP_MAYMOVE)

    assert_unchanged(process, base, page)


@clause("mremap.errno.EPERM")
@pytest.mark.parametrize("sealed", [2, 3], ids=["first", "last"])
def test_mremap_fixed_onto_sealed_page_is_refused(process: Process, page: int, sealed: int) -> None:
    base = map_pages(process, page)
    process.mseal(base + sealed * page, page)
    with fails("EPERM"):
        process.mremap(base, 2 * page, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED, base + 2 * page)

    assert_unchanged(process, base, page)


@clause("mprotect.errno.EPERM")
@pytest.mark.parametrize(
    "prot", [PROT_NONE, PROT_READ, RW, PROT_READ | PROT_EXEC], ids=["none", "read", "read-write", "read-exec"]
)
@pytest.mark.parametrize(("first", "count"), [(1, 1), (1, 3), (0, 2)], ids=["only-page", "first-page", "last-page"])
def test_mprotect_of_sealed_page_is_refused(process: Process, page: int, prot: int, first: int, count: int) -> None:
    """Pages before the sealed one may have changed."""
    base = map_pages(process, page)
    process.mseal(base + page, page)
    with fails("EPERM"):
        process.mprotect(base + first * page, count * page, prot)

    process.store(base + page, b"new")
    assert process.load(base + page, 4) == b"newB"
    process.store(base + 2 * page, b"new")


@clause("mprotect.errno.EPERM")
def test_mprotect_cannot_add_write_to_sealed_page(process: Process, page: int) -> None:
    base = map_pages(process, page)
    process.mprotect(base + page, page, PROT_READ)
    process.mseal(base + page, page)
    with fails("EPERM"):
        process.mprotect(base + page, page, PROT_READ | PROT_WRITE)

    with faults("SIGSEGV"):
        process.store(base + page, b"x")


discards = pytest.mark.parametrize(
    "advice",
    [
        pytest.param(MADV_DONTNEED, id="dontneed"),
        pytest.param(MADV_FREE, id="free"),
        pytest.param(MADV_DONTNEED_LOCKED, id="dontneed-locked"),
        pytest.param(MADV_DONTFORK, id="dontfork"),
        pytest.param(MADV_WIPEONFORK, id="wipeonfork"),
    ],
)


@clause("madvise.errno.EPERM")
@discards
def test_discarding_sealed_read_only_page_is_refused(process: Process, page: int, advice: int) -> None:
    base = map_pages(process, page)
    process.mprotect(base + page, page, PROT_READ)
    process.mseal(base + page, page)
    with fails("EPERM"):
        process.madvise(base + page, page, advice)

    assert process.load(base + page, page) == b"B" * page
    assert process.fork().load(base + page, page) == b"B" * page


@clause("mseal.discard")
def test_sealed_writable_page_can_be_discarded(process: Process, page: int) -> None:
    base = map_pages(process, page)
    process.mseal(base, PAGES * page)
    process.madvise(base + page, page, MADV_DONTNEED)

    assert process.load(base, 3 * page) == b"A" * page + bytes(page) + b"C" * page


@clause("mseal.discard")
def test_discarding_sealed_shared_pages_loses_nothing(process: Process, page: int, file: MakeFile) -> None:
    base = free_range(process, PAGES)
    process.mmap(base, 2 * page, PROT_READ, MAP_SHARED | MAP_FIXED, file(lettered_pages(page, 2)), 0)
    process.mseal(base, 2 * page)
    process.madvise(base, 2 * page, MADV_DONTNEED)

    assert process.load(base, 2 * page) == lettered_pages(page, 2)


# -------------------------------------------------------------------------------------------------------- fork and exec


@clause("mseal.fork")
def test_child_inherits_seal(process: Process, page: int) -> None:
    base = map_pages(process, page)
    process.mseal(base + page, page)
    child = process.fork()
    process.exit()
    with fails("EPERM"):
        child.munmap(base, PAGES * page)
    with fails("EPERM"):
        child.mprotect(base + page, page, PROT_READ)

    assert_unchanged(child, base, page)


@clause("mseal.exec")
def test_exec_removes_sealed_mappings(process: Process, page: int) -> None:
    base = map_pages(process, page)
    process.mseal(base, PAGES * page)
    process.exec()

    process.mmap(base, PAGES * page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    assert process.load(base, PAGES * page) == bytes(PAGES * page)
    process.munmap(base, PAGES * page)
