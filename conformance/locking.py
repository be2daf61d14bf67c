"""Cases of memory that is kept in memory: mlock, mlock2, mlockall and their opposites.

A lock cannot be seen; what follows from it can.  MS_INVALIDATE over locked memory is EBUSY (`is_locked`), locked pages
are resident, and the limit of locked memory is used up by them.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ..contract import (
    MAP_ANONYMOUS,
    MAP_PRIVATE,
    MAP_SHARED,
    MCL_CURRENT,
    MCL_FUTURE,
    MCL_ONFAULT,
    MLOCK_ONFAULT,
    MS_INVALIDATE,
    PROT_NONE,
    PROT_READ,
    Process,
    Resource,
    Unsupported,
)
from ..testing import clause, fails, faults
from ._helpers import ANONYMOUS, RW, MakeFile, drop_page_cache, lettered_pages, setup, shared_and_private


def is_locked(process: Process, page: int, addr: int) -> bool:
    """Whether the page at `addr` is locked."""
    try:
        process.msync(addr, page, MS_INVALIDATE)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return True
    return False


def locks(process: Process, page: int, base: int, pages: int) -> str:
    """Which pages are locked, as "x.." for the first of three."""
    return "".join("x" if is_locked(process, page, base + number * page) else "." for number in range(pages))


def memory(process: Process, page: int, pages: int) -> int:
    """The address of private memory that nobody has touched."""
    return process.mmap(0, pages * page, RW, ANONYMOUS, -1, 0)


def with_room_for(process: Process, page: int, pages: int) -> None:
    """Give up the privilege to lock any amount."""
    with setup():
        process.drop_capability("CAP_IPC_LOCK")
        process.set_limit_headroom(Resource.LOCKED_MEMORY, pages * page)


@contextmanager
def allowed_to_lock_everything() -> Iterator[None]:
    """A process without the privilege may have more mapped, of the system's own too, than it may lock."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise Unsupported("the process has more mapped than it may lock") from error
        raise


# ---------------------------------------------------------------------------------------------------- what mlock does


@clause("mlock.resident")
@pytest.mark.parametrize("prot", [pytest.param(PROT_READ, id="read"), pytest.param(RW, id="read-write")])
@pytest.mark.parametrize("what", ["anonymous", "file"])
@shared_and_private
def test_locked_pages_are_in_memory(
    process: Process, page: int, file: MakeFile, kind: int, what: str, prot: int
) -> None:
    """Before anybody has touched them, and with the right content."""
    content = lettered_pages(page, 2) if what == "file" else bytes(2 * page)
    fd, flags = (file(content), kind) if what == "file" else (-1, kind | MAP_ANONYMOUS)
    if what == "file":
        drop_page_cache(process, fd)
    base = process.mmap(0, 2 * page, prot, flags, fd, 0)

    process.mlock(base, 2 * page)

    assert process.mincore(base, 2 * page) == [True, True]
    assert process.load(base, 2 * page) == content


@clause("mlock.rounding")
@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [
        pytest.param((1, 1), (0, 1), ".x..", id="a-byte"),
        pytest.param((1, 0), (1, -1), ".x..", id="less-than-a-page"),
        pytest.param((2, -1), (0, 2), ".xx.", id="two-bytes-across-a-border"),
        pytest.param((1, 1), (1, 0), ".xx.", id="a-page-from-inside"),
    ],
)
def test_whole_pages_that_have_a_byte_of_the_range(
    process: Process, page: int, start: tuple[int, int], length: tuple[int, int], expected: str
) -> None:
    """Start and length are (pages, bytes)."""
    base = memory(process, page, 4)

    process.mlock(base + start[0] * page + start[1], length[0] * page + length[1])

    assert locks(process, page, base, 4) == expected
    assert process.mincore(base, 4 * page) == [letter == "x" for letter in expected]


@clause("mlock.length-zero")
def test_nothing_is_locked_by_a_length_of_zero(process: Process, page: int) -> None:
    """Where nothing is mapped it is no error either."""
    base = memory(process, page, 2)
    process.mlock(base, 0)
    assert locks(process, page, base, 2) == ".."

    process.munmap(base, page)
    process.mlock(base, 0)
    process.munlock(base, 0)


@clause("mlock.nesting")
def test_locks_do_not_nest(process: Process, page: int) -> None:
    """One munlock undoes two mlocks, and it is no error that there is nothing left to undo."""
    base = memory(process, page, 2)
    process.mlock(base, 2 * page)
    process.mlock(base, page)
    process.munlock(base, page)

    assert locks(process, page, base, 2) == ".x"
    process.munlock(base, page)
    assert locks(process, page, base, 2) == ".x"


@clause("mlock.limit.once")
def test_what_is_locked_already_is_not_counted_again(process: Process, page: int) -> None:
    with_room_for(process, page, 3)
    base = memory(process, page, 4)
    process.mlock(base, 2 * page)

    process.mlock(base, 3 * page)

    assert locks(process, page, base, 4) == "xxx."
    with fails("ENOMEM"):
        process.mlock(base, 4 * page)


@clause("mlock.private.copies")
def test_locking_copies_a_private_page(process: Process, page: int, file: MakeFile) -> None:
    """Where it can be stored to; one that can only be loaded from still shows the file."""
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, RW, MAP_PRIVATE, fd, 0)
    process.mprotect(base + page, page, PROT_READ)
    process.mlock(base, 2 * page)

    process.pwrite(fd, b"x" * 2 * page, 0)

    assert process.load(base, 2 * page) == b"A" * page + b"x" * page


@clause("mlock.fork")
def test_a_child_inherits_no_locks(process: Process, page: int) -> None:
    """The parent keeps its own."""
    base = memory(process, page, 2)
    process.mlock(base, 2 * page)
    child = process.fork()

    assert locks(child, page, base, 2) == ".."
    assert locks(process, page, base, 2) == "xx"


@clause("mlock.fork")
def test_what_a_child_locks_is_its_own_affair(process: Process, page: int) -> None:
    with_room_for(process, page, 2)
    base = memory(process, page, 2)
    process.mlock(base, 2 * page)
    child = process.fork()

    child.mlock(base, 2 * page)
    process.munlock(base, 2 * page)

    assert locks(child, page, base, 2) == "xx"
    assert locks(process, page, base, 2) == ".."


@clause("mlock.exec")
def test_what_was_locked_before_exec_counts_no_more(process: Process, page: int) -> None:
    with_room_for(process, page, 2)
    process.mlock(memory(process, page, 2), 2 * page)

    process.exec()

    base = memory(process, page, 2)
    assert locks(process, page, base, 2) == ".."
    process.mlock(base, 2 * page)


@clause("mlock.stays")
def test_locked_pages_stay_in_memory(process: Process, page: int, file: MakeFile) -> None:
    """Also when the system is asked to take the file's pages out of it."""
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, PROT_READ, MAP_SHARED, fd, 0)
    process.mlock(base, 2 * page)

    process.drop_cache(fd)

    assert process.mincore(base, 2 * page) == [True, True]


@clause("mlock.truncate")
@shared_and_private
def test_locked_pages_go_with_the_end_of_their_file(process: Process, page: int, file: MakeFile, kind: int) -> None:
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, RW, kind, fd, 0)
    process.mlock(base, 2 * page)

    process.ftruncate(fd, page)

    with faults("SIGBUS", at=base + page):
        process.load(base + page, 1)
    assert process.load(base, page) == b"A" * page


# ------------------------------------------------------------------------------------ what mlock has done when it fails


@clause("mlock.errno.ENOMEM.prefix")
def test_what_lies_before_a_hole_is_locked(process: Process, page: int) -> None:
    """What lies behind it is not, and nothing was brought in."""
    base = memory(process, page, 4)
    process.munmap(base + 2 * page, page)

    with fails("ENOMEM"):
        process.mlock(base, 4 * page)

    assert locks(process, page, base, 2) == "xx"
    assert not is_locked(process, page, base + 3 * page)
    assert process.mincore(base, 2 * page) == [False, False]


@clause("mlock.errno.ENOMEM.fault", "mlock.errno.ENOMEM")
@pytest.mark.parametrize("why", ["inaccessible", "past-the-end"])
def test_pages_that_cannot_be_had_are_refused_and_locked(process: Process, page: int, file: MakeFile, why: str) -> None:
    if why == "inaccessible":
        base = process.mmap(0, page, PROT_NONE, ANONYMOUS, -1, 0)
    else:
        base = process.mmap(0, page, RW, MAP_SHARED, file(), 0)

    with fails("ENOMEM"):
        process.mlock(base, page)

    assert is_locked(process, page, base)


# ------------------------------------------------------------------------------------------------------------- munlock


@clause("munlock.range")
@pytest.mark.parametrize(
    ("start", "length", "left"),
    [
        pytest.param((1, 1), (0, 1), "x.xx", id="a-byte"),
        pytest.param((2, -1), (0, 2), "x..x", id="two-bytes-across-a-border"),
        pytest.param((1, 0), (2, 0), "x..x", id="two-pages"),
    ],
)
def test_only_the_pages_of_the_range_are_unlocked(
    process: Process, page: int, start: tuple[int, int], length: tuple[int, int], left: str
) -> None:
    """Start and length are (pages, bytes)."""
    base = memory(process, page, 4)
    process.mlock(base, 4 * page)

    process.munlock(base + start[0] * page + start[1], length[0] * page + length[1])

    assert locks(process, page, base, 4) == left


@clause("munlock.limit")
def test_what_is_unlocked_counts_no_more(process: Process, page: int) -> None:
    with_room_for(process, page, 2)
    base = memory(process, page, 4)
    process.mlock(base, 2 * page)
    process.munlock(base, page)

    process.mlock(base + 2 * page, page)

    with fails("ENOMEM"):
        process.mlock(base + 3 * page, page)


@clause("munlock.content")
def test_unlocked_memory_keeps_its_content(process: Process, page: int) -> None:
    base = memory(process, page, 2)
    process.mlock(base, 2 * page)
    process.store(base, lettered_pages(page, 2))

    process.munlock(base, 2 * page)

    assert process.load(base, 2 * page) == lettered_pages(page, 2)
    process.store(base, b"x")


@clause("munlock.errno.ENOMEM.prefix")
def test_what_lies_before_a_hole_is_unlocked(process: Process, page: int) -> None:
    base = memory(process, page, 4)
    process.mlock(base, 4 * page)
    process.munmap(base + 2 * page, page)

    with fails("ENOMEM"):
        process.munlock(base + page, 3 * page)

    assert locks(process, page, base, 2) == "x."
    assert is_locked(process, page, base + 3 * page)


# ------------------------------------------------------------------------------------------------------------ mlockall


@clause("mlockall.current")
def test_all_that_is_mapped_is_locked(process: Process, page: int, file: MakeFile) -> None:
    """And brought in; what is mapped later is not."""
    base = memory(process, page, 2)
    other = process.mmap(0, page, PROT_READ, MAP_SHARED, file(b"A"), 0)

    with allowed_to_lock_everything():
        process.mlockall(MCL_CURRENT)

    assert locks(process, page, base, 2) + locks(process, page, other, 1) == "xxx"
    assert process.mincore(base, 2 * page) + process.mincore(other, page) == [True] * 3
    assert not is_locked(process, page, memory(process, page, 1))


@clause("mlockall.future")
def test_all_that_will_be_mapped_is_locked(process: Process, page: int, file: MakeFile) -> None:
    """And brought in; what was mapped before is not."""
    before = memory(process, page, 1)

    process.mlockall(MCL_FUTURE)

    base = memory(process, page, 2)
    other = process.mmap(0, page, PROT_READ, MAP_SHARED, file(b"A"), 0)
    assert locks(process, page, base, 2) + locks(process, page, other, 1) == "xxx"
    assert process.mincore(base, 2 * page) + process.mincore(other, page) == [True] * 3
    assert not is_locked(process, page, before)
    assert process.mincore(before, page) == [False]


@clause("mlockall.future")
def test_what_is_mapped_does_not_count_for_what_will_be(process: Process, page: int) -> None:
    """There may be more of it than the limit of locked memory."""
    memory(process, page, 2)
    with_room_for(process, page, 1)

    process.mlockall(MCL_FUTURE)

    assert is_locked(process, page, memory(process, page, 1))


@clause("mlockall.future.replaced")
def test_the_latest_mlockall_says_what_comes(process: Process, page: int) -> None:
    """Without MCL_FUTURE it takes an earlier one back."""
    process.mlockall(MCL_FUTURE)
    with allowed_to_lock_everything():
        process.mlockall(MCL_CURRENT)

    assert not is_locked(process, page, memory(process, page, 1))


@clause("mlockall.future.fork")
def test_a_child_does_not_inherit_what_is_to_come(process: Process, page: int) -> None:
    process.mlockall(MCL_FUTURE)
    child = process.fork()

    assert not is_locked(child, page, memory(child, page, 1))
    assert is_locked(process, page, memory(process, page, 1))


@clause("mlockall.future.exec")
def test_another_program_does_not_inherit_what_is_to_come(process: Process, page: int) -> None:
    process.mlockall(MCL_FUTURE)

    process.exec()

    assert not is_locked(process, page, memory(process, page, 1))


@clause("munlockall.current")
def test_all_that_is_mapped_is_unlocked(process: Process, page: int) -> None:
    """However it was locked."""
    base = memory(process, page, 3)
    process.mlock(base, page)
    process.mlock2(base + page, page, MLOCK_ONFAULT)
    process.mlockall(MCL_FUTURE)
    other = memory(process, page, 1)

    process.munlockall()

    assert locks(process, page, base, 3) + locks(process, page, other, 1) == "...."


@clause("munlockall.future")
def test_nothing_more_is_locked_that_comes(process: Process, page: int) -> None:
    process.mlockall(MCL_FUTURE)
    process.munlockall()

    base = memory(process, page, 1)

    assert not is_locked(process, page, base)
    assert process.mincore(base, page) == [False]


# --------------------------------------------------------------------------------------------- when it is first touched


@clause("mlock2.onfault")
def test_locked_page_by_page_when_touched(process: Process, page: int) -> None:
    """Nothing is brought in, so pages that cannot be had are no error; mlock brings in the rest."""
    base = memory(process, page, 3)
    process.mprotect(base + 2 * page, page, PROT_NONE)

    process.mlock2(base, 3 * page, MLOCK_ONFAULT)

    assert process.mincore(base, 3 * page) == [False, False, False]
    assert locks(process, page, base, 3) == "xxx"
    process.store(base, b"x")
    assert process.mincore(base, 3 * page) == [True, False, False]
    process.mlock(base, 2 * page)
    assert process.mincore(base, 3 * page) == [True, True, False]


@clause("mlock2.no-flags")
def test_mlock2_without_flags_is_mlock(process: Process, page: int) -> None:
    base = memory(process, page, 3)

    process.mlock2(base, page + 1, 0)

    assert locks(process, page, base, 3) == "xx."
    assert process.mincore(base, 3 * page) == [True, True, False]


@clause("mlockall.onfault")
@pytest.mark.parametrize("when", ["current", "future"])
def test_everything_page_by_page_when_touched(process: Process, page: int, when: str) -> None:
    if when == "current":
        base = memory(process, page, 2)
        with allowed_to_lock_everything():
            process.mlockall(MCL_CURRENT | MCL_ONFAULT)
    else:
        process.mlockall(MCL_FUTURE | MCL_ONFAULT)
        base = memory(process, page, 2)

    assert locks(process, page, base, 2) == "xx"
    process.store(base + page, b"x")
    assert process.mincore(base, 2 * page) == [False, True]


# -------------------------------------------------------------------------------------------------------------- errors


@clause("mlockall.errno.EINVAL.onfault")
def test_mlockall_that_says_only_when(process: Process, page: int) -> None:
    """It names neither what is mapped nor what comes."""
    base = memory(process, page, 1)

    with fails("EINVAL"):
        process.mlockall(MCL_ONFAULT)

    assert not is_locked(process, page, base)


@clause("mlock2.errno.EINVAL")
@pytest.mark.parametrize("flags", [2, MLOCK_ONFAULT | 4, -1])
def test_mlock2_with_unknown_flags(process: Process, page: int, flags: int) -> None:
    base = memory(process, page, 1)

    with fails("EINVAL"):
        process.mlock2(base, page, flags)

    assert not is_locked(process, page, base)


@clause("mlock.errno.ENOMEM")
def test_mlock2_over_a_hole(process: Process, page: int) -> None:
    base = memory(process, page, 3)
    process.munmap(base + page, page)

    with fails("ENOMEM"):
        process.mlock2(base, 3 * page, MLOCK_ONFAULT)


@clause("mlock.errno.EPERM")
def test_mlock2_with_a_limit_of_nothing(process: Process, page: int) -> None:
    with_room_for(process, page, 0)
    base = memory(process, page, 1)

    with fails("EPERM"):
        process.mlock2(base, page, MLOCK_ONFAULT)


@clause("mlock.errno.EINVAL")
def test_mlock2_of_a_range_that_wraps(process: Process, page: int) -> None:
    """It is past any limit of locked memory as well."""
    base = memory(process, page, 1)

    with fails("EINVAL", "ENOMEM"):
        process.mlock2(base, (1 << process.bits) - page, 0)
