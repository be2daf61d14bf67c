"""Cases of ranges at the edges: over the end of user space, over the end of all addresses, wrapped around to nothing.

Where a range ends is a sum, and whether that is too far a comparison: both are easily wrong by one, by a page, or where
the sum does not fit.  So each call that takes a range is given the same ones, from a mapped page on, and those that
begin where user space ends.
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
    Backend,
    Process,
    Unsupported,
)
from ..testing import clause, fails
from ._helpers import ANONYMOUS, RW, end_of_user_space, free_range, lettered_pages

Call = Callable[[Process, int, int], object]

LENGTHS: Final[dict[str, Callable[[int, int, int, int], int]]] = {
    "over-the-end": lambda addr, end, span, page: end - addr + 1,
    "over-the-end-by-a-page": lambda addr, end, span, page: end - addr + page,
    "half": lambda addr, end, span, page: span // 2,
    "to-the-last-page": lambda addr, end, span, page: span - addr - page,
    "into-the-last-page": lambda addr, end, span, page: span - addr - page + 1,
    "around": lambda addr, end, span, page: span - addr,
    "around-and-on": lambda addr, end, span, page: span - addr + page,
    "less-than-nothing": lambda addr, end, span, page: span - page,
    "rounds-up-to-nothing": lambda addr, end, span, page: span - page + 1,
    "largest": lambda addr, end, span, page: span - 1,
    "all-of-user-space": lambda addr, end, span, page: end,
    "more-than-user-space": lambda addr, end, span, page: end + 1,
}
"""Lengths that reach too far: of an address, the end of user space, how many addresses there are, and the page."""

OUTSIDE: Final = ("over-the-end", "over-the-end-by-a-page", "half", "to-the-last-page")
WRAPS: Final = ("into-the-last-page", "around", "around-and-on", "less-than-nothing")
NOTHING: Final = ("rounds-up-to-nothing", "largest")
"""In whole pages these are 0."""


def advise(advice: int) -> Call:
    return lambda process, addr, length: process.madvise(addr, length, advice)


def map_there(fixed: int) -> Call:
    return lambda process, addr, length: process.mmap(addr, length, RW, ANONYMOUS | fixed, -1, 0)


CALLS: Final[dict[str, Call]] = {
    "munmap": lambda process, addr, length: process.munmap(addr, length),
    "msync": lambda process, addr, length: process.msync(addr, length, MS_SYNC),
    "mprotect": lambda process, addr, length: process.mprotect(addr, length, RW),
    "mlock": lambda process, addr, length: process.mlock(addr, length),
    "munlock": lambda process, addr, length: process.munlock(addr, length),
    "mincore": lambda process, addr, length: process.mincore(addr, length),
    "madvise": advise(MADV_NORMAL),
    "madvise-populate": advise(MADV_POPULATE_READ),
    "mmap": lambda process, addr, length: process.mmap(0, length, PROT_READ, ANONYMOUS, -1, 0),
    "mmap-fixed": map_there(MAP_FIXED),
    "mmap-noreplace": map_there(MAP_FIXED_NOREPLACE),
    "mremap-from": lambda process, addr, length: process.mremap(addr, length, 1, 0),
    "mremap-into": lambda process, addr, length: process.mremap(addr, 1, length, MREMAP_MAYMOVE),
}

TOO_FAR: Final[list[tuple[str, str, str, tuple[str, ...]]]] = [
    ("munmap", "munmap.errno.EINVAL", "EINVAL", (*OUTSIDE, *WRAPS, *NOTHING)),
    ("msync", "msync.errno.ENOMEM.outside", "ENOMEM", (*OUTSIDE, *WRAPS)),
    ("mprotect", "mprotect.errno.ENOMEM", "ENOMEM", (*OUTSIDE, *WRAPS)),
    ("mprotect", "mprotect.length-wraps", "ENOMEM", NOTHING),
    ("mlock", "mlock.errno.ENOMEM", "ENOMEM", OUTSIDE),
    ("munlock", "munlock.errno.ENOMEM", "ENOMEM", OUTSIDE),
    ("munlock", "munlock.errno.EINVAL", "EINVAL", WRAPS),
    ("mincore", "mincore.errno.ENOMEM", "ENOMEM", (*OUTSIDE, *WRAPS, *NOTHING)),
    ("madvise", "madvise.errno.ENOMEM", "ENOMEM", OUTSIDE),
    ("madvise", "madvise.errno.EINVAL.range", "EINVAL", (*WRAPS, *NOTHING)),
    ("madvise-populate", "madvise.errno.ENOMEM", "ENOMEM", OUTSIDE),
    ("madvise-populate", "madvise.errno.EINVAL.range", "EINVAL", (*WRAPS, *NOTHING)),
    ("mmap", "mmap.errno.ENOMEM", "ENOMEM", ("all-of-user-space", "more-than-user-space", "half")),
    ("mmap", "mmap.errno.ENOMEM.length-wraps", "ENOMEM", NOTHING),
    ("mmap-fixed", "mmap.errno.ENOMEM.range", "ENOMEM", (*OUTSIDE, *WRAPS)),
    ("mmap-noreplace", "mmap.errno.ENOMEM.noreplace", "ENOMEM", (*OUTSIDE, *WRAPS)),
    ("mremap-from", "mremap.errno.EINVAL", "EINVAL", (*OUTSIDE, *WRAPS)),
    ("mremap-into", "mremap.errno.EINVAL", "EINVAL", ("more-than-user-space",)),
    ("mremap-into", "mremap.errno.ENOMEM", "ENOMEM", ("over-the-end", "all-of-user-space")),
]
"""Calls, the clause and the errno that they are refused with, and the lengths of which that is so."""

BEYOND: Final = {
    "munmap": ("munmap.errno.EINVAL", "EINVAL"),
    "msync": ("msync.errno.ENOMEM.outside", "ENOMEM"),
    "mprotect": ("mprotect.errno.ENOMEM", "ENOMEM"),
    "mlock": ("mlock.errno.ENOMEM", "ENOMEM"),
    "munlock": ("munlock.errno.ENOMEM", "ENOMEM"),
    "mincore": ("mincore.errno.ENOMEM.outside", "ENOMEM"),
    "madvise": ("madvise.errno.ENOMEM", "ENOMEM"),
    "mmap-fixed": ("mmap.errno.ENOMEM.range", "ENOMEM"),
    "mremap-from": ("mremap.errno.EFAULT", "EFAULT"),
}
"""The same of a range that begins where user space ends."""


def edge(backend: Backend, process: Process, page: int) -> tuple[int, int]:
    """The address of two pages, with nothing beside them, and the end of user space."""
    if process.bits != 64:
        raise Unsupported("where addresses have 32 bits, all of them may be mapped")
    base = process.mmap(free_range(process, 2), 2 * page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(base, lettered_pages(page, 2))
    return base, end_of_user_space(backend, process, page)


@pytest.mark.parametrize(
    ("call", "length", "errno"),
    [
        pytest.param(call, length, errno, id=f"{call}-{length}", marks=clause(told))
        for call, told, errno, lengths in TOO_FAR
        for length in lengths
    ],
)
def test_a_range_that_reaches_too_far(
    backend: Backend, process: Process, page: int, call: str, length: str, errno: str
) -> None:
    base, end = edge(backend, process, page)

    with fails(errno):
        CALLS[call](process, base, LENGTHS[length](base, end, 1 << process.bits, page))

    assert process.load(base, 2 * page) == lettered_pages(page, 2)


@pytest.mark.parametrize("length", ["a-byte", "a-page"])
@pytest.mark.parametrize(
    ("call", "errno"),
    [pytest.param(call, errno, id=call, marks=clause(told)) for call, (told, errno) in BEYOND.items()],
)
def test_the_first_page_beyond_user_space(
    backend: Backend, process: Process, page: int, call: str, errno: str, length: str
) -> None:
    _base, end = edge(backend, process, page)

    with fails(errno):
        CALLS[call](process, end, 1 if length == "a-byte" else page)


@pytest.mark.parametrize("length", ["a-byte", "a-page"])
@pytest.mark.parametrize(
    ("call", "errno"),
    [
        pytest.param("msync", "EINVAL", id="msync", marks=clause("msync.errno.EINVAL")),
        pytest.param("mprotect", "EINVAL", id="mprotect", marks=clause("mprotect.errno.EINVAL")),
        pytest.param("mincore", "EINVAL", id="mincore", marks=clause("mincore.errno.EINVAL")),
        pytest.param("mremap-from", "EINVAL", id="mremap-from", marks=clause("mremap.errno.EINVAL")),
    ],
)
def test_the_largest_address(process: Process, page: int, call: str, errno: str, length: str) -> None:
    """It is not taken for another one, such as 0."""
    with fails(errno):
        CALLS[call](process, (1 << process.bits) - 1, 1 if length == "a-byte" else page)


@clause("mincore.length-zero")
def test_no_length_where_user_space_ends(backend: Backend, process: Process, page: int) -> None:
    """No byte of the range is outside."""
    _base, end = edge(backend, process, page)

    assert process.mincore(end, 0) == []


@clause("mincore.errno.ENOMEM.outside")
def test_no_length_beyond_user_space(backend: Backend, process: Process, page: int) -> None:
    _base, end = edge(backend, process, page)

    with fails("ENOMEM"):
        process.mincore(end + page, 0)


@clause("mremap.errno.EINVAL.new-address")
@pytest.mark.parametrize("where", ["over-the-end", "beyond", "far-beyond", "last-page"])
def test_a_new_address_that_is_too_high(backend: Backend, process: Process, page: int, where: str) -> None:
    base, end = edge(backend, process, page)
    span = 1 << process.bits
    to = {"over-the-end": end - page, "beyond": end, "far-beyond": span // 2, "last-page": span - page}[where]

    with fails("EINVAL"):
        process.mremap(base, 2 * page, 2 * page, MREMAP_FIXED | MREMAP_MAYMOVE, to)

    assert process.load(base, 2 * page) == lettered_pages(page, 2)


@clause("mremap.errno.EINVAL")
def test_a_new_size_of_nothing_at_a_new_address(backend: Backend, process: Process, page: int) -> None:
    base, _end = edge(backend, process, page)

    with fails("EINVAL"):
        process.mremap(base, page, 0, MREMAP_FIXED | MREMAP_MAYMOVE, base + 4 * page)

    assert process.load(base, 2 * page) == lettered_pages(page, 2)
