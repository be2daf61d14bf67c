"""Cases of mseal: what is mapped in a range stays as it is, to the end of the process.

Some of what a case seals it can never undo, so everything happens in a free range.
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
"""How many pages a case begins with, mapped and filled; there are as many free ones behind them."""


def pages(process: Process, page: int, kind: int = MAP_PRIVATE) -> int:
    """Four pages of memory, in which each has its own letter."""
    base = free_range(process, 2 * PAGES)
    process.mmap(base, PAGES * page, RW, kind | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(base, lettered_pages(page, PAGES))
    return base


def assert_untouched(process: Process, base: int, page: int) -> None:
    """The four pages show what they did, and may be stored to."""
    assert process.load(base, PAGES * page) == lettered_pages(page, PAGES)
    for number in range(PAGES):
        process.store(base + number * page, lettered_pages(page, PAGES)[number * page : number * page + 1])


one_is_sealed = pytest.mark.parametrize(
    ("sealed", "first", "count"),
    [
        pytest.param(1, 1, 1, id="alone"),
        pytest.param(1, 1, 2, id="first"),
        pytest.param(1, 0, 3, id="middle"),
        pytest.param(2, 0, 3, id="last"),
        pytest.param(3, 0, 4, id="last-of-all"),
    ],
)
"""Of the pages from `first` on, `count` of them, the page `sealed` is."""


# --------------------------------------------------------------------------------------------------------------- mseal


@clause("mseal.result")
def test_sealed_memory_is_used_as_before(process: Process, page: int) -> None:
    base = pages(process, page)
    process.mseal(base, 2 * page)

    assert_untouched(process, base, page)
    process.store(base, b"new")
    assert process.load(base, 4) == b"newA"
    process.mlock(base, PAGES * page)
    process.munlock(base, PAGES * page)
    process.msync(base, PAGES * page, MS_SYNC)


@clause("mseal.result")
def test_what_is_sealed_may_be_sealed_again(process: Process, page: int) -> None:
    base = pages(process, page)
    process.mseal(base + page, page)
    process.mseal(base + page, page)
    process.mseal(base, 3 * page)

    with fails("EPERM"):
        process.munmap(base, page)
    process.munmap(base + 3 * page, page)


@clause("mseal.result")
def test_code_that_is_sealed_runs_and_nothing_is_stored_to_it(process: Process, page: int) -> None:
    base = pages(process, page)
    process.store(base, process.return_instruction())
    process.mprotect(base, page, PROT_READ | PROT_EXEC)
    process.mseal(base, page)

    process.execute(base)
    with faults("SIGSEGV", at=base, code="SEGV_ACCERR"):
        process.store(base, b"x")


@clause("mseal.rounding")
@pytest.mark.parametrize("length", [1, -1], ids=["a-byte", "all-but-one"])
def test_whole_pages_are_sealed(process: Process, page: int, length: int) -> None:
    base = pages(process, page)
    process.mseal(base + page, length % page)

    with fails("EPERM"):
        process.munmap(base + page, page)
    process.munmap(base, page)
    process.munmap(base + 2 * page, page)


@clause("mseal.rounding")
def test_the_page_of_the_last_byte_is_sealed(process: Process, page: int) -> None:
    base = pages(process, page)
    process.mseal(base, page + 1)

    with fails("EPERM"):
        process.munmap(base + page, page)
    process.munmap(base + 2 * page, page)


@clause("mseal.length-zero")
def test_a_length_of_0_seals_nothing(process: Process, page: int) -> None:
    base = pages(process, page)
    process.mseal(base, 0)
    process.munmap(base, page)
    process.mseal(base, 0)

    process.munmap(base + page, page)


@clause("mseal.errno.EINVAL")
@pytest.mark.parametrize(
    ("start", "length", "flags"),
    [
        pytest.param(1, 1, 0, id="in-the-middle"),
        pytest.param(-1, 1, 0, id="one-before"),
        pytest.param(0, 1, 1, id="a-flag"),
        pytest.param(0, 1, 1 << 31, id="a-high-flag"),
        pytest.param(0, -1, 0, id="wraps-around"),
        pytest.param(1, 0, 0, id="in-the-middle-length-0"),
        pytest.param(0, 0, 1, id="a-flag-length-0"),
    ],
)
def test_what_is_not_valid(process: Process, page: int, start: int, length: int, flags: int) -> None:
    base = pages(process, page)
    with fails("EINVAL"):
        process.mseal(base + page + start, length % (1 << 64), flags)

    process.munmap(base, PAGES * page)


@clause("mseal.errno.EINVAL")
def test_up_to_the_very_last_byte(process: Process, page: int) -> None:
    """The range ends where addresses do: behind its last byte there is no address."""
    base = pages(process, page)
    with fails("EINVAL"):
        process.mseal(base, (1 << 64) - base)

    process.munmap(base, PAGES * page)


@clause("mseal.errno.ENOMEM")
@pytest.mark.parametrize("hole", [0, 1, 3], ids=["first", "middle", "last"])
def test_a_hole(process: Process, page: int, hole: int) -> None:
    base = pages(process, page)
    process.munmap(base + hole * page, page)
    with fails("ENOMEM"):
        process.mseal(base, PAGES * page)

    process.munmap(base, PAGES * page)


@clause("mseal.errno.ENOMEM")
def test_nothing_there(process: Process, page: int) -> None:
    base = pages(process, page)
    with fails("ENOMEM"):
        process.mseal(base + PAGES * page, page)
    with fails("ENOMEM"):
        process.mseal(base + page, PAGES * page)

    process.munmap(base, PAGES * page)


# ------------------------------------------------------------------------------------------------- what it keeps off


@clause("munmap.errno.EPERM", "mseal.result")
@one_is_sealed
def test_munmap(process: Process, page: int, sealed: int, first: int, count: int) -> None:
    base = pages(process, page)
    process.mseal(base + sealed * page, page)
    with fails("EPERM"):
        process.munmap(base + first * page, count * page)

    assert_untouched(process, base, page)


@clause("mmap.errno.EPERM.sealed")
@one_is_sealed
def test_fixed(process: Process, page: int, sealed: int, first: int, count: int) -> None:
    base = pages(process, page)
    process.mseal(base + sealed * page, page)
    with fails("EPERM"):
        process.mmap(base + first * page, count * page, RW, ANONYMOUS | MAP_FIXED, -1, 0)

    assert_untouched(process, base, page)


@clause("mmap.errno.EPERM.sealed")
def test_fixed_of_a_file(process: Process, page: int, file: MakeFile) -> None:
    base = pages(process, page)
    process.mseal(base + page, page)
    with fails("EPERM"):
        process.mmap(base, PAGES * page, RW, MAP_SHARED | MAP_FIXED, file(lettered_pages(page, 1)), 0)

    assert_untouched(process, base, page)


@clause("mmap.errno.EPERM.sealed")
def test_without_fixed_a_seal_is_in_nobodys_way(process: Process, page: int) -> None:
    base = pages(process, page)
    process.mseal(base, PAGES * page)
    with fails("EEXIST"):
        process.mmap(base + page, page, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0)
    other = process.mmap(base + page, page, RW, ANONYMOUS, -1, 0)

    assert not base <= other < base + PAGES * page
    assert_untouched(process, base, page)


@clause("mremap.errno.EPERM")
@pytest.mark.parametrize(
    ("start", "old", "new", "flags", "target"),
    [
        pytest.param(1, 1, 1, 0, 0, id="the-same"),
        pytest.param(1, 2, 1, 0, 0, id="shrink"),
        pytest.param(0, 2, 1, 0, 0, id="shrink-by-it"),
        pytest.param(3, 1, 2, 0, 0, id="grow"),
        pytest.param(1, 1, 2, MREMAP_MAYMOVE, 0, id="move"),
        pytest.param(1, 1, 1, MREMAP_MAYMOVE | MREMAP_FIXED, 6, id="there"),
        pytest.param(1, 1, 1, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 6, id="keep"),
    ],
)
def test_mremap(process: Process, page: int, start: int, old: int, new: int, flags: int, target: int) -> None:
    base = pages(process, page)
    process.mseal(base + page, page)
    process.mseal(base + 3 * page, page)
    with fails("EPERM"):
        process.mremap(base + start * page, old * page, new * page, flags, base + target * page if target else 0)

    assert_untouched(process, base, page)
    assert_nothing_mapped(process, base + PAGES * page)
    assert_nothing_mapped(process, base + 6 * page)


@clause("mremap.errno.EPERM")
def test_a_duplicate(process: Process, page: int) -> None:
    base = pages(process, page, MAP_SHARED)
    process.mseal(base + page, page)
    with fails("EPERM"):
        process.mremap(base + page, 0, page, MREMAP_MAYMOVE)

    assert_untouched(process, base, page)


@clause("mremap.errno.EPERM")
@pytest.mark.parametrize("sealed", [2, 3], ids=["first", "last"])
def test_onto_what_is_sealed(process: Process, page: int, sealed: int) -> None:
    base = pages(process, page)
    process.mseal(base + sealed * page, page)
    with fails("EPERM"):
        process.mremap(base, 2 * page, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED, base + 2 * page)

    assert_untouched(process, base, page)


@clause("mprotect.errno.EPERM")
@pytest.mark.parametrize(
    "prot", [PROT_NONE, PROT_READ, RW, PROT_READ | PROT_EXEC], ids=["none", "less", "same", "other"]
)
@pytest.mark.parametrize(("first", "count"), [(1, 1), (1, 3), (0, 2)], ids=["alone", "first", "last"])
def test_mprotect(process: Process, page: int, prot: int, first: int, count: int) -> None:
    """What lies before it may have changed."""
    base = pages(process, page)
    process.mseal(base + page, page)
    with fails("EPERM"):
        process.mprotect(base + first * page, count * page, prot)

    process.store(base + page, b"new")
    assert process.load(base + page, 4) == b"newB"
    process.store(base + 2 * page, b"new")


@clause("mprotect.errno.EPERM")
def test_mprotect_to_more(process: Process, page: int) -> None:
    base = pages(process, page)
    process.mprotect(base + page, page, PROT_READ)
    process.mseal(base + page, page)
    with fails("EPERM"):
        process.mprotect(base + page, page, PROT_READ | PROT_WRITE)

    with faults("SIGSEGV", at=base + page, code="SEGV_ACCERR"):
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
def test_advice_to_discard_what_cannot_be_stored_to(process: Process, page: int, advice: int) -> None:
    base = pages(process, page)
    process.mprotect(base + page, page, PROT_READ)
    process.mseal(base + page, page)
    with fails("EPERM"):
        process.madvise(base + page, page, advice)

    assert process.load(base + page, page) == b"B" * page
    assert process.fork().load(base + page, page) == b"B" * page


@clause("mseal.discard")
def test_what_may_be_stored_to_may_be_discarded(process: Process, page: int) -> None:
    base = pages(process, page)
    process.mseal(base, PAGES * page)
    process.madvise(base + page, page, MADV_DONTNEED)

    assert process.load(base, 3 * page) == b"A" * page + bytes(page) + b"C" * page


@clause("mseal.discard")
def test_of_what_is_shared_nothing_is_lost(process: Process, page: int, file: MakeFile) -> None:
    base = free_range(process, PAGES)
    process.mmap(base, 2 * page, PROT_READ, MAP_SHARED | MAP_FIXED, file(lettered_pages(page, 2)), 0)
    process.mseal(base, 2 * page)
    process.madvise(base, 2 * page, MADV_DONTNEED)

    assert process.load(base, 2 * page) == lettered_pages(page, 2)


# ------------------------------------------------------------------------------------------------------ fork and exec


@clause("mseal.fork")
def test_a_child_has_it_sealed(process: Process, page: int) -> None:
    base = pages(process, page)
    process.mseal(base + page, page)
    child = process.fork()
    process.exit()
    with fails("EPERM"):
        child.munmap(base, PAGES * page)
    with fails("EPERM"):
        child.mprotect(base + page, page, PROT_READ)

    assert_untouched(child, base, page)


@clause("mseal.exec")
def test_another_program_has_none_of_it(process: Process, page: int) -> None:
    base = pages(process, page)
    process.mseal(base, PAGES * page)
    process.exec()

    process.mmap(base, PAGES * page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    assert process.load(base, PAGES * page) == bytes(PAGES * page)
    process.munmap(base, PAGES * page)
