"""Cases of advice that memory is not needed soon: its pages may leave memory."""

from __future__ import annotations

import pytest

from ..contract import MADV_COLD, MADV_PAGEOUT, MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, Process
from ..testing import clause, fails
from ._helpers import ANONYMOUS, RW, MakeFile, lettered_pages, setup


@clause("madvise.reclaim")
@pytest.mark.parametrize("advice", [MADV_COLD, MADV_PAGEOUT], ids=["cold", "pageout"])
@pytest.mark.parametrize("kind", ["file-shared", "file-private", "anonymous-shared", "anonymous-private"])
def test_pages_that_may_leave_memory_keep_their_content(
    process: Process, page: int, file: MakeFile, kind: str, advice: int
) -> None:
    """In 32 pages, of which every second was stored to; the child has copies of its own of some."""
    pages = 32
    before = b"".join(b"%c" % (65 + number % 26) * page for number in range(pages))
    is_file, is_shared = kind.startswith("file"), kind.endswith("shared")
    fd = file(before if is_file else b"")
    type = MAP_SHARED if is_shared else MAP_PRIVATE
    base = process.mmap(0, pages * page, RW, type if is_file else type | MAP_ANONYMOUS, fd if is_file else -1, 0)
    if not is_file:
        process.store(base, before)
    for number in range(0, pages, 2):
        process.store(base + number * page + 5, b"stored")
    child = process.fork()
    child.store(base + 6 * page, b"child")
    expected = bytearray(before)
    for number in range(0, pages, 2):
        expected[number * page + 5 : number * page + 11] = b"stored"
    in_child = bytearray(expected)
    in_child[6 * page : 6 * page + 5] = b"child"
    if is_shared:
        expected = in_child

    for each in (process, child):
        each.madvise(base, pages * page, advice)

    assert process.load(base, pages * page) == expected
    assert child.load(base, pages * page) == in_child
    process.store(base + page, b"again")
    process.madvise(base, pages * page, advice)
    assert process.load(base, page + 6) == expected[:page] + b"againB"
    assert child.load(base + page, 6) == (b"againB" if is_shared else b"B" * 6)
    if is_file:
        assert process.pread(fd, page + 6, 0) == (expected[:page] + b"againB" if is_shared else before[: page + 6])


@clause("madvise.errno.EINVAL.locked", "madvise.reclaim")
@pytest.mark.parametrize("advice", [MADV_COLD, MADV_PAGEOUT], ids=["cold", "pageout"])
def test_locked_memory_does_not_leave_memory(process: Process, page: int, advice: int) -> None:
    base = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)
    process.store(base, lettered_pages(page, 2))
    with setup():
        process.mlock(base + page, page)

    with fails("EINVAL"):
        process.madvise(base + page, page, advice)

    assert process.load(base, 2 * page) == lettered_pages(page, 2)


@clause("madvise.errno.ENOMEM", "madvise.reclaim")
@pytest.mark.parametrize("advice", [MADV_COLD, MADV_PAGEOUT], ids=["cold", "pageout"])
def test_range_with_a_hole_fails(process: Process, page: int, advice: int) -> None:
    base = process.mmap(0, 3 * page, RW, ANONYMOUS, -1, 0)
    process.store(base, lettered_pages(page, 3))
    process.munmap(base + page, page)

    with fails("ENOMEM"):
        process.madvise(base, 3 * page, advice)

    for number, letter in ((0, b"A"), (2, b"C")):
        assert process.load(base + number * page, page) == letter * page
