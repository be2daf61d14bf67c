"""Cases of rounding: lengths, offsets and addresses at, just before and just after page boundaries.

Hypothesis draws some of them: numbers of pages and distances from page boundaries, never addresses, so that a draw has
the same meaning wherever an implementation places its mappings and whatever its page size is.  All examples of a case
run in one process, each in a reservation of its own that it removes again, so that no example depends on earlier ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENXIO
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ..contract import MAP_FIXED, MAP_PRIVATE, MAP_SHARED, MREMAP_MAYMOVE, MS_ASYNC, PROT_READ, Process
from ..testing import clause, fails, faults, needs
from ._helpers import (
    RW,
    MakeFile,
    assert_inaccessible,
    lettered_pages,
    map_memory_at,
    reserve,
)

drawn = settings(
    max_examples=min(settings().max_examples, 25),
    deadline=None,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
"""The user's own settings with fewer examples, because each example makes several calls in another process.

Without the database of failing examples, the seed alone determines the examples.  One failure is reported, so that the
calls end with it.
"""


class Near(NamedTuple):
    """A number of bytes that is, or is close to, a multiple of the page size."""

    pages: int
    delta: str

    def bytes(self, page: int) -> int:
        return self.pages * page + {"-1": -1, "0": 0, "+1": 1, "odd": page // 2 + 3}[self.delta]


def near(first: int, last: int) -> st.SearchStrategy[Near]:
    """Return a strategy for sizes from `first` pages to half a page more than `last` pages, never below 0 bytes."""
    deltas = st.sampled_from(["0", "-1", "+1", "odd"])
    return st.builds(Near, st.integers(first, last), deltas).filter(lambda near: near != (0, "-1"))


NEAR_AND_POSITIVE = near(0, 4).filter(lambda near: near != (0, "0"))
"""At least one byte."""


def page_count(length: int, page: int) -> int:
    """Return the number of pages that `length` bytes need."""
    return -(-length // page)


@contextmanager
def reservation(process: Process, page: int, pages: int) -> Iterator[int]:
    """Reserve inaccessible memory for one example; at the end unmap it with everything mapped in it."""
    base = reserve(process, pages)
    try:
        yield base
    finally:
        process.munmap(base, pages * page)


# ----------------------------------------------------------------------------------------------------------------- mmap


@pytest.mark.mmap_random
@clause("mmap.range", "overview.page-multiple", "overview.slack")
@given(size=near(0, 4), length=NEAR_AND_POSITIVE, first=st.integers(0, 4), shared=st.booleans())
@drawn
def test_any_part_of_any_file_is_mapped(
    process: Process, file: MakeFile, page: int, size: Near, length: Near, first: int, shared: bool
) -> None:
    """A mapping shows the file's bytes and zeros to the end of the file's last page; pages after that raise SIGBUS."""
    content = (lettered_pages(page, 5) + b"F" * page)[: size.bytes(page)]
    fd = file(content)
    mapped = page_count(length.bytes(page), page)
    expected = content[first * page :][: mapped * page]
    accessible = page_count(len(expected), page)
    try:
        with reservation(process, page, mapped + 1) as base:
            type = MAP_SHARED if shared else MAP_PRIVATE
            try:
                process.mmap(base, length.bytes(page), PROT_READ, type | MAP_FIXED, fd, first * page)
            except OSError as error:
                if error.errno != ENXIO or first * page < len(content):
                    raise
                return  # POSIX: the offset is not valid for the object

            assert process.load(base, accessible * page) == expected.ljust(accessible * page, b"\0")
            if accessible < mapped:
                with faults("SIGBUS"):
                    process.load(base + accessible * page, 1)
            assert_inaccessible(process, base + mapped * page)
    finally:
        process.close(fd)


@pytest.mark.mmap_random
@needs("aligned-ranges")
@clause("mmap.range", "mmap.errno.EINVAL")
@given(offset=near(0, 4))
@drawn
def test_aligned_offsets_are_mapped_and_others_refused(
    process: Process, file: MakeFile, page: int, offset: Near
) -> None:
    """An offset that is not a multiple of the page size is refused, and nothing is mapped."""
    fd = file(lettered_pages(page, 5))
    start = offset.bytes(page)
    try:
        with reservation(process, page, 1) as base:
            if start % page:
                with fails("EINVAL"):
                    process.mmap(base, page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, start)
                assert_inaccessible(process, base)
            else:
                process.mmap(base, page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, start)
                assert process.load(base, page) == process.pread(fd, page, start)
    finally:
        process.close(fd)


# --------------------------------------------------------------------------------------------------------------- munmap


@pytest.mark.mmap_random
@needs("aligned-ranges")
@clause("munmap.range", "munmap.errno.EINVAL")
@given(start=near(0, 4), length=near(0, 4))
@drawn
def test_any_range_is_unmapped_in_whole_pages(process: Process, page: int, start: Near, length: Near) -> None:
    """The end of the range is rounded up; an unaligned start and a length of 0 are refused."""
    pages = 10
    with reservation(process, page, pages) as base:
        map_memory_at(process, base, (pages - 1) * page)
        content = lettered_pages(page, pages - 1)
        process.store(base, content)
        begin, end = start.bytes(page), start.bytes(page) + length.bytes(page)

        if begin % page or begin == end:
            with fails("EINVAL"):
                process.munmap(base + begin, end - begin)
            begin = end = 0
        else:
            process.munmap(base + begin, end - begin)
            end = page_count(end, page) * page

        assert process.load(base, begin) == content[:begin]
        for offset in range(begin, end, page):
            assert_inaccessible(process, base + offset)
        assert process.load(base + end, len(content) - end) == content[end:]
        assert_inaccessible(process, base + len(content))


@clause("munmap.usual-arguments")
@pytest.mark.parametrize("length", ["1", "page-1", "page", "page+1", "2-pages-1", "2-pages"])
def test_length_passed_to_mmap_unmaps_whole_mapping(process: Process, file: MakeFile, page: int, length: str) -> None:
    size = {"1": 1, "page-1": page - 1, "page": page, "page+1": page + 1, "2-pages-1": 2 * page - 1}.get(
        length, 2 * page
    )
    pages = page_count(size, page)
    base = reserve(process, 3)
    process.mmap(base, size, RW, MAP_SHARED | MAP_FIXED, file(b"x" * size), 0)

    process.munmap(base, size)

    for number in range(pages):
        assert_inaccessible(process, base + number * page)
    assert_inaccessible(process, base + pages * page)


# --------------------------------------------------------------------------------------------------------------- mremap


@pytest.mark.mmap_random
@clause("mremap.resize", "mremap.flags.zero", "mremap.flags.maymove", "mremap.errno.ENOMEM", "mremap.errno.EINVAL")
@given(old=NEAR_AND_POSITIVE, new=near(0, 7), free=st.integers(0, 2), maymove=st.booleans())
@drawn
def test_mapping_is_resized_in_whole_pages(
    process: Process, page: int, old: Near, new: Near, free: int, maymove: bool
) -> None:
    """Sizes are rounded up to whole pages; two sizes of the same number of pages change nothing."""
    mapped, wanted = page_count(old.bytes(page), page), page_count(new.bytes(page), page)
    content = lettered_pages(page, mapped)
    flags = MREMAP_MAYMOVE if maymove else 0
    with reservation(process, page, mapped + free + 1) as base:
        map_memory_at(process, base, old.bytes(page))
        process.store(base, content)
        if free:
            process.munmap(base + mapped * page, free * page)

        addr, pages = base, wanted
        if wanted == 0:
            with fails("EINVAL"):
                process.mremap(base, old.bytes(page), new.bytes(page), flags)
            pages = mapped
        elif wanted > mapped + free and not maymove:
            with fails("ENOMEM"):
                process.mremap(base, old.bytes(page), new.bytes(page), flags)
            pages = mapped
        else:
            addr = process.mremap(base, old.bytes(page), new.bytes(page), flags)
        try:
            assert (addr != base) == (pages > mapped + free)
            assert process.load(addr, pages * page) == content[: pages * page].ljust(pages * page, b"\0")
            for number in range(0 if addr != base else pages, mapped + free):
                assert_inaccessible(process, base + number * page)
            assert_inaccessible(process, base + (mapped + free) * page)
        finally:
            if addr != base:
                process.munmap(addr, pages * page)


@clause("mremap.resize")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("1", "page", id="1-to-page"),
        pytest.param("page", "1", id="page-to-1"),
        pytest.param("page-1", "1", id="page-1-to-1"),
    ],
)
def test_resizing_within_page_changes_nothing(process: Process, page: int, old: str, new: str) -> None:
    sizes = {"1": 1, "page-1": page - 1, "page": page}
    base = reserve(process, 2)
    map_memory_at(process, base, page)
    process.store(base, b"x" * page)

    assert process.mremap(base, sizes[old], sizes[new], 0) == base

    assert process.load(base, page) == b"x" * page
    assert_inaccessible(process, base + page)


# ---------------------------------------------------------------------------------------------------------------- msync


@pytest.mark.mmap_random
@needs("aligned-ranges")
@clause("msync.usual-arguments", "msync.errno.ENOMEM", "msync.errno.EINVAL")
@given(start=near(0, 3), length=NEAR_AND_POSITIVE, hole=st.integers(0, 7))
@drawn
def test_any_range_without_hole_is_synced(
    process: Process, file: MakeFile, page: int, start: Near, length: Near, hole: int
) -> None:
    """The range covers each page with a byte of it: one byte in a hole is enough for ENOMEM."""
    pages = 8
    fd = file(lettered_pages(page, pages))
    begin, end = start.bytes(page), start.bytes(page) + length.bytes(page)
    try:
        with reservation(process, page, pages + 1) as base:
            process.mmap(base, pages * page, RW, MAP_SHARED | MAP_FIXED, fd, 0)
            process.munmap(base + hole * page, page)

            if begin % page:
                expected_errno = "EINVAL"
            elif begin < (hole + 1) * page and end > hole * page:
                expected_errno = "ENOMEM"
            else:
                expected_errno = ""
            if expected_errno:
                with fails(expected_errno):
                    process.msync(base + begin, end - begin, MS_ASYNC)
            else:
                process.msync(base + begin, end - begin, MS_ASYNC)
    finally:
        process.close(fd)


@clause("msync.usual-arguments")
@pytest.mark.parametrize("length", ["1", "page-1", "page"])
def test_syncing_part_of_page_checks_whole_page(process: Process, file: MakeFile, page: int, length: str) -> None:
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, file(bytes(2 * page)), 0)
    process.munmap(base + page, page)
    size = {"1": 1, "page-1": page - 1, "page": page}[length]

    process.msync(base, size, MS_ASYNC)
    with fails("ENOMEM"):
        process.msync(base + page, size, MS_ASYNC)


# ---------------------------------------------------------------------------------------------------------------- slack


@pytest.mark.mmap_random
@clause("overview.slack")
@given(size=near(0, 2).filter(lambda near: near.delta != "0"), shared=st.booleans())
@example(size=Near(0, "+1"), shared=True)
@drawn
def test_slack_of_any_length_is_zero_and_writable(
    process: Process, file: MakeFile, page: int, size: Near, shared: bool
) -> None:
    """Slack reads as zero, can be stored to up to its last byte, and is not part of the file."""
    length = size.bytes(page)
    content = b"x" * length
    fd = file(content)
    end = page_count(length, page) * page
    try:
        base = process.mmap(0, length, RW, MAP_SHARED if shared else MAP_PRIVATE, fd, 0)
        try:
            assert process.load(base, end) == content + bytes(end - length)
            process.store(base + length, b"!" * (end - length))

            assert process.load(base, length) == content
            assert process.fstat(fd).size == length
            assert process.pread(fd, end, 0) == content
        finally:
            process.munmap(base, length)
    finally:
        process.close(fd)
