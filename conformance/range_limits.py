"""Cases of ranges at the limits: past the end of user space, past the largest address, and lengths that wrap.

The end of a range is a sum, which the kernel compares with a limit: both are easily wrong by one byte, by a page, or
when the sum overflows.  Each call that takes a range is therefore made with the same lengths, from a mapped page on,
and with ranges that start at the end of user space.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from ..contract import (
    MADV_NORMAL,
    MADV_POPULATE_READ,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    MS_SYNC,
    PROT_READ,
    Process,
    Unsupported,
)
from ..testing import clause, fails, needs
from ._helpers import ANONYMOUS, RW, free_range, lettered_pages

RangeCall = Callable[[Process, int, int], object]

TOO_LONG: Final[dict[str, Callable[[int, int, int, int], int]]] = {
    "one-byte-past-user-space": lambda addr, end, span, page: end - addr + 1,
    "one-page-past-user-space": lambda addr, end, span, page: end - addr + page,
    "half-of-addresses": lambda addr, end, span, page: span // 2,
    "up-to-last-page": lambda addr, end, span, page: span - addr - page,
    "one-byte-into-last-page": lambda addr, end, span, page: span - addr - page + 1,
    "ends-at-zero": lambda addr, end, span, page: span - addr,
    "ends-at-second-page": lambda addr, end, span, page: span - addr + page,
    "minus-one-page": lambda addr, end, span, page: span - page,
    "smallest-that-rounds-to-zero": lambda addr, end, span, page: span - page + 1,
    "largest-length": lambda addr, end, span, page: span - 1,
    "size-of-user-space": lambda addr, end, span, page: end,
    "one-byte-more-than-user-space": lambda addr, end, span, page: end + 1,
}
"""Lengths by name, from the start address, the end of user space, the number of addresses and the page size."""

OUTSIDE: Final = (
    "one-byte-past-user-space",
    "one-page-past-user-space",
    "half-of-addresses",
    "up-to-last-page",
)
WRAPS: Final = ("one-byte-into-last-page", "ends-at-zero", "ends-at-second-page", "minus-one-page")
ROUNDS_TO_ZERO: Final = ("smallest-that-rounds-to-zero", "largest-length")
"""Lengths that are 0 after rounding up to whole pages."""


def madvise_with(advice: int) -> RangeCall:
    return lambda process, addr, length: process.madvise(addr, length, advice)


def mmap_with(fixed: int) -> RangeCall:
    return lambda process, addr, length: process.mmap(addr, length, RW, ANONYMOUS | fixed, -1, 0)


CALLS: Final[dict[str, RangeCall]] = {
    "munmap": lambda process, addr, length: process.munmap(addr, length),
    "msync": lambda process, addr, length: process.msync(addr, length, MS_SYNC),
    "mprotect": lambda process, addr, length: process.mprotect(addr, length, RW),
    "mlock": lambda process, addr, length: process.mlock(addr, length),
    "munlock": lambda process, addr, length: process.munlock(addr, length),
    "mincore": lambda process, addr, length: process.mincore(addr, length),
    "madvise": madvise_with(MADV_NORMAL),
    "madvise-populate": madvise_with(MADV_POPULATE_READ),
    "mmap": lambda process, addr, length: process.mmap(0, length, PROT_READ, ANONYMOUS, -1, 0),
    "mmap-fixed": mmap_with(MAP_FIXED),
    "mmap-noreplace": mmap_with(MAP_FIXED_NOREPLACE),
    "mremap-old-range": lambda process, addr, length: process.mremap(addr, length, 1, 0),
    "mremap-new-size": lambda process, addr, length: process.mremap(addr, 1, length, MREMAP_MAYMOVE),
}

REFUSED_LENGTHS: Final[list[tuple[str, str, str, tuple[str, ...]]]] = [
    ("munmap", "munmap.errno.EINVAL", "EINVAL", (*OUTSIDE, *WRAPS, *ROUNDS_TO_ZERO)),
    ("msync", "msync.errno.ENOMEM.outside", "ENOMEM", (*OUTSIDE, *WRAPS)),
    ("mprotect", "mprotect.errno.ENOMEM", "ENOMEM", (*OUTSIDE, *WRAPS)),
    ("mprotect", "mprotect.length-wraps", "ENOMEM", ROUNDS_TO_ZERO),
    ("mlock", "mlock.errno.ENOMEM", "ENOMEM", OUTSIDE),
    ("munlock", "munlock.errno.ENOMEM", "ENOMEM", OUTSIDE),
    ("munlock", "munlock.errno.EINVAL", "EINVAL", WRAPS),
    ("mincore", "mincore.errno.ENOMEM", "ENOMEM", (*OUTSIDE, *WRAPS, *ROUNDS_TO_ZERO)),
    ("madvise", "madvise.errno.ENOMEM", "ENOMEM", OUTSIDE),
    ("madvise", "madvise.errno.EINVAL.range", "EINVAL", (*WRAPS, *ROUNDS_TO_ZERO)),
    ("madvise-populate", "madvise.errno.ENOMEM", "ENOMEM", OUTSIDE),
    ("madvise-populate", "madvise.errno.EINVAL.range", "EINVAL", (*WRAPS, *ROUNDS_TO_ZERO)),
    (
        "mmap",
        "mmap.errno.ENOMEM",
        "ENOMEM",
        ("size-of-user-space", "one-byte-more-than-user-space", "half-of-addresses"),
    ),
    ("mmap", "mmap.errno.ENOMEM.length-wraps", "ENOMEM", ROUNDS_TO_ZERO),
    ("mmap-fixed", "mmap.errno.ENOMEM.range", "ENOMEM EINVAL", (*OUTSIDE, *WRAPS)),
    ("mmap-noreplace", "mmap.errno.ENOMEM.noreplace", "ENOMEM", (*OUTSIDE, *WRAPS)),
    ("mremap-old-range", "mremap.errno.EINVAL", "EINVAL", (*OUTSIDE, *WRAPS)),
    ("mremap-new-size", "mremap.errno.EINVAL.new-size", "EINVAL", ("one-byte-more-than-user-space",)),
    ("mremap-new-size", "mremap.errno.ENOMEM", "ENOMEM", ("one-byte-past-user-space", "size-of-user-space")),
]
"""Calls, each with a clause, the errnos that it allows, separated by spaces, and the lengths for which it does.

POSIX has ENOMEM for a MAP_FIXED range outside the address space, and EINVAL for an address that is not valid.
"""

REFUSED_PAST_USER_SPACE: Final = {
    "munmap": ("munmap.errno.EINVAL", "EINVAL"),
    "msync": ("msync.errno.ENOMEM.outside", "ENOMEM"),
    "mprotect": ("mprotect.errno.ENOMEM", "ENOMEM"),
    "mlock": ("mlock.errno.ENOMEM", "ENOMEM"),
    "munlock": ("munlock.errno.ENOMEM", "ENOMEM"),
    "mincore": ("mincore.errno.ENOMEM.outside", "ENOMEM"),
    "madvise": ("madvise.errno.ENOMEM", "ENOMEM"),
    "mmap-fixed": ("mmap.errno.ENOMEM.range", "ENOMEM EINVAL"),
    "mremap-old-range": ("mremap.errno.EFAULT", "EFAULT"),
}
"""For each call, the clause and the errno for a range that starts at the end of user space."""


def map_below_limit(user_space_end: int, process: Process, page: int) -> tuple[int, int]:
    """Map two pages between unmapped ones; return their address and the end of user space."""
    if process.bits != 64:
        raise Unsupported("all addresses of 32 bits may be mappable")
    base = process.mmap(free_range(process, 2), 2 * page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(base, lettered_pages(page, 2))
    return base, user_space_end


@pytest.mark.parametrize(
    ("call", "length", "errno"),
    [
        pytest.param(
            call,
            length,
            errno,
            id=f"{call}-{length}",
            marks=[clause(id), *([needs("upper-addresses-outside")] if length in OUTSIDE else [])],
        )
        for call, id, errno, lengths in REFUSED_LENGTHS
        for length in lengths
    ],
)
def test_too_long_range_is_refused(
    user_space_end: int, process: Process, page: int, call: str, length: str, errno: str
) -> None:
    base, end = map_below_limit(user_space_end, process, page)
    size = TOO_LONG[length](base, end, 1 << process.bits, page)
    if call == "mremap-new-size" and size < end // 2:
        raise Unsupported("the mapping is so near the end of user space that it can be moved to have that size")

    with fails(*errno.split()):
        CALLS[call](process, base, size)

    assert process.load(base, 2 * page) == lettered_pages(page, 2)


@needs("upper-addresses-outside")
@pytest.mark.parametrize("length", ["one-byte", "one-page"])
@pytest.mark.parametrize(
    ("call", "errno"),
    [pytest.param(call, errno, id=call, marks=clause(id)) for call, (id, errno) in REFUSED_PAST_USER_SPACE.items()],
)
def test_first_page_past_user_space_is_refused(
    user_space_end: int, process: Process, page: int, call: str, errno: str, length: str
) -> None:
    _base, end = map_below_limit(user_space_end, process, page)

    with fails(*errno.split()):
        CALLS[call](process, end, 1 if length == "one-byte" else page)


@pytest.mark.parametrize("length", ["one-byte", "one-page"])
@pytest.mark.parametrize(
    ("call", "errno"),
    [
        pytest.param("msync", "EINVAL", id="msync", marks=clause("msync.errno.EINVAL.address")),
        pytest.param("mprotect", "EINVAL", id="mprotect", marks=clause("mprotect.errno.EINVAL")),
        pytest.param("mincore", "EINVAL", id="mincore", marks=clause("mincore.errno.EINVAL")),
        pytest.param("mremap-old-range", "EINVAL", id="mremap-old-range", marks=clause("mremap.errno.order")),
    ],
)
def test_largest_address_is_refused(process: Process, page: int, call: str, errno: str, length: str) -> None:
    """The address is unaligned and must not be rounded up to 0."""
    with fails(*errno.split()):
        CALLS[call](process, (1 << process.bits) - 1, 1 if length == "one-byte" else page)


@clause("mincore.length-zero")
def test_mincore_of_length_zero_at_end_of_user_space_succeeds(user_space_end: int, process: Process, page: int) -> None:
    """The empty range has no byte outside user space."""
    _base, end = map_below_limit(user_space_end, process, page)

    assert process.mincore(end, 0) == []


@needs("upper-addresses-outside")
@clause("mincore.errno.ENOMEM.outside")
def test_mincore_of_length_zero_past_user_space_fails(user_space_end: int, process: Process, page: int) -> None:
    _base, end = map_below_limit(user_space_end, process, page)

    with fails("ENOMEM"):
        process.mincore(end + page, 0)


@clause("mremap.errno.EINVAL.new-address")
@pytest.mark.parametrize(
    "where",
    [
        "one-page-before-end",
        "at-end",
        pytest.param("half-of-addresses", marks=needs("upper-addresses-outside")),
        "last-page",
    ],
)
def test_new_address_past_user_space_is_refused(user_space_end: int, process: Process, page: int, where: str) -> None:
    base, end = map_below_limit(user_space_end, process, page)
    span = 1 << process.bits
    new_address = {
        "one-page-before-end": end - page,
        "at-end": end,
        "half-of-addresses": span // 2,
        "last-page": span - page,
    }[where]

    with fails("EINVAL"):
        process.mremap(base, 2 * page, 2 * page, MREMAP_FIXED | MREMAP_MAYMOVE, new_address)

    assert process.load(base, 2 * page) == lettered_pages(page, 2)


@needs("new-size-zero")
@clause("mremap.fixed.resize")
def test_new_size_zero_with_fixed_is_refused(user_space_end: int, process: Process, page: int) -> None:
    base, _end = map_below_limit(user_space_end, process, page)

    with fails("EINVAL"):
        process.mremap(base, page, 0, MREMAP_FIXED | MREMAP_MAYMOVE, base + 4 * page)

    assert process.load(base, 2 * page) == lettered_pages(page, 2)
