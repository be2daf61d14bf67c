"""Cases of mincore: which pages are in memory, as far as that is certain.

A page of a file may be in memory because of anybody, and may leave at any time, so only memory without a file tells:
what was touched is there, what was not is not.
"""

from __future__ import annotations

import pytest

from ..contract import MADV_DONTNEED, MAP_FIXED, PROT_NONE, PROT_READ, Process, Unsupported
from ..testing import clause, fails
from ._helpers import ANONYMOUS, RW


def touched(process: Process, page: int, pages: int, *numbers: int) -> int:
    """The address of private memory of which these pages have been stored to."""
    base = process.mmap(0, pages * page, RW, ANONYMOUS, -1, 0)
    for number in numbers:
        process.store(base + number * page, b"x")
    return base


@clause("mincore.vector")
@pytest.mark.parametrize("number", [0, 2, 4])
def test_each_page_in_its_place(process: Process, page: int, number: int) -> None:
    base = touched(process, page, 5, number)

    assert process.mincore(base, 5 * page) == [place == number for place in range(5)]
    assert process.mincore(base + number * page, page) == [True]


@clause("mincore.across-mappings")
def test_across_mappings(process: Process, page: int) -> None:
    """Each has its pages told, in order."""
    base = touched(process, page, 6, 0, 3, 4)
    process.mprotect(base + 2 * page, 2 * page, PROT_READ)

    assert process.mincore(base + page, 5 * page) == [False, False, True, True, False]


@clause("mincore.rounding")
@pytest.mark.parametrize(
    ("pages", "extra", "expected"),
    [
        pytest.param(0, 1, [False], id="a-byte"),
        pytest.param(1, 1, [False, True], id="more-by-a-byte"),
        pytest.param(2, -1, [False, True], id="less-a-byte"),
    ],
)
def test_the_length_in_whole_pages(process: Process, page: int, pages: int, extra: int, expected: list[bool]) -> None:
    base = touched(process, page, 3, 1)

    assert process.mincore(base, pages * page + extra) == expected


@clause("mincore.rights")
@pytest.mark.parametrize("prot", [pytest.param(PROT_NONE, id="none"), pytest.param(PROT_READ, id="read")])
def test_rights_do_not_matter(process: Process, page: int, prot: int) -> None:
    base = touched(process, page, 2, 1)
    process.mprotect(base, 2 * page, prot)

    assert process.mincore(base, 2 * page) == [False, True]


@clause("mincore.passive")
def test_asking_brings_nothing_in(process: Process, page: int) -> None:
    base = touched(process, page, 2)

    for _ in range(2):
        assert process.mincore(base, 2 * page) == [False, False]


@clause("mincore.gone")
@pytest.mark.parametrize("how", ["madvise", "mmap-again"])
def test_pages_that_have_gone(process: Process, page: int, how: str) -> None:
    base = touched(process, page, 3, 0, 1, 2)
    if how == "madvise":
        process.madvise(base + page, page, MADV_DONTNEED)
    else:
        process.mmap(base + page, page, RW, ANONYMOUS | MAP_FIXED, -1, 0)

    assert process.mincore(base, 3 * page) == [True, False, True]


@clause("mincore.length-zero")
def test_a_length_of_zero_tells_nothing(process: Process, page: int) -> None:
    """Where nothing is mapped it is no error."""
    base = touched(process, page, 1, 0)
    assert process.mincore(base, 0) == []

    process.munmap(base, page)
    assert process.mincore(base, 0) == []


@clause("mincore.errno.EINVAL")
def test_inside_a_page_without_a_length(process: Process, page: int) -> None:
    base = touched(process, page, 1, 0)

    with fails("EINVAL"):
        process.mincore(base + 1, 0)


@clause("mincore.errno.ENOMEM.outside")
@pytest.mark.parametrize("pages", [0, 1], ids=["no-length", "a-page"])
def test_outside_the_address_space(process: Process, page: int, pages: int) -> None:
    if process.bits != 64:
        raise Unsupported("where addresses have 32 bits, all of them may be mapped")

    with fails("ENOMEM"):
        process.mincore(1 << 62, pages * page)
