"""Cases of mincore: which pages are resident, as far as that is certain.

Any process may bring a file's page into the page cache, and the system may evict it at any time.  Only anonymous
memory is certain: accessed pages are resident, others are not.
"""

from __future__ import annotations

import pytest

from ..contract import MADV_DONTNEED, MAP_FIXED, PROT_NONE, PROT_READ, Process, Unsupported
from ..testing import clause, fails, needs
from ._helpers import ANONYMOUS, RW


def map_and_store(process: Process, page: int, pages: int, *numbers: int) -> int:
    """Map private memory, store to the pages of the given numbers and return the address."""
    base = process.mmap(0, pages * page, RW, ANONYMOUS, -1, 0)
    for number in numbers:
        process.store(base + number * page, b"x")
    return base


@clause("mincore.vector")
@pytest.mark.parametrize("number", [0, 2, 4])
def test_vector_has_one_entry_per_page_in_order(process: Process, page: int, number: int) -> None:
    base = map_and_store(process, page, 5, number)

    assert process.mincore(base, 5 * page) == [index == number for index in range(5)]
    assert process.mincore(base + number * page, page) == [True]


@clause("mincore.across-mappings")
def test_range_spans_several_mappings(process: Process, page: int) -> None:
    """The pages of each mapping are reported in order of address."""
    base = map_and_store(process, page, 6, 0, 3, 4)
    process.mprotect(base + 2 * page, 2 * page, PROT_READ)

    assert process.mincore(base + page, 5 * page) == [False, False, True, True, False]


@clause("mincore.rounding")
@pytest.mark.parametrize(
    ("pages", "extra", "expected"),
    [
        pytest.param(0, 1, [False], id="one-byte"),
        pytest.param(1, 1, [False, True], id="one-byte-more-than-a-page"),
        pytest.param(2, -1, [False, True], id="one-byte-less-than-two-pages"),
    ],
)
def test_length_is_rounded_up_to_whole_pages(
    process: Process, page: int, pages: int, extra: int, expected: list[bool]
) -> None:
    base = map_and_store(process, page, 3, 1)

    assert process.mincore(base, pages * page + extra) == expected


@clause("mincore.rights")
@pytest.mark.parametrize("prot", [pytest.param(PROT_NONE, id="none"), pytest.param(PROT_READ, id="read")])
def test_protection_has_no_effect(process: Process, page: int, prot: int) -> None:
    base = map_and_store(process, page, 2, 1)
    process.mprotect(base, 2 * page, prot)

    assert process.mincore(base, 2 * page) == [False, True]


@clause("mincore.passive")
def test_mincore_makes_no_page_resident(process: Process, page: int) -> None:
    base = map_and_store(process, page, 2)

    for _ in range(2):
        assert process.mincore(base, 2 * page) == [False, False]


@clause("mincore.gone")
@pytest.mark.parametrize("how", ["madvise-dontneed", "mmap-fixed"])
def test_discarded_page_is_not_resident(process: Process, page: int, how: str) -> None:
    base = map_and_store(process, page, 3, 0, 1, 2)
    if how == "madvise-dontneed":
        process.madvise(base + page, page, MADV_DONTNEED)
    else:
        process.mmap(base + page, page, RW, ANONYMOUS | MAP_FIXED, -1, 0)

    assert process.mincore(base, 3 * page) == [True, False, True]


@clause("mincore.length-zero")
def test_length_zero_reports_no_page(process: Process, page: int) -> None:
    """The call also succeeds at an unmapped address."""
    base = map_and_store(process, page, 1, 0)
    assert process.mincore(base, 0) == []

    process.munmap(base, page)
    assert process.mincore(base, 0) == []


@clause("mincore.errno.EINVAL")
def test_unaligned_address_with_length_zero_is_refused(process: Process, page: int) -> None:
    base = map_and_store(process, page, 1, 0)

    with fails("EINVAL"):
        process.mincore(base + 1, 0)


@needs("upper-addresses-outside")
@clause("mincore.errno.ENOMEM.outside")
@pytest.mark.parametrize("pages", [0, 1], ids=["length-zero", "one-page"])
def test_range_outside_address_space_fails(process: Process, page: int, pages: int) -> None:
    """The address is above user space, and on arm64, which ignores bits 56 to 63, no other address with a tag."""
    if process.bits != 64:
        raise Unsupported("all addresses of 32 bits may be mappable")

    with fails("ENOMEM"):
        process.mincore(3 << 55, pages * page)
