"""Cases of memory locking: mlock, mlock2, mlockall, munlock and munlockall.

No call reports a lock, so its effects are judged: MS_INVALIDATE fails with EBUSY on a locked page (`is_locked`), locked
pages are resident, and they count against RLIMIT_MEMLOCK.
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
    MS_ASYNC,
    MS_INVALIDATE,
    PROT_NONE,
    PROT_READ,
    Process,
    Resource,
    Unsupported,
)
from ..testing import clause, fails, faults, needs
from ._helpers import (
    ANONYMOUS,
    RW,
    MakeFile,
    drop_page_cache,
    lettered_pages,
    prot_id,
    setup,
    shared_and_private,
)


@needs("invalidate-busy")
def is_locked(process: Process, page: int, addr: int) -> bool:
    """True if the page at `addr` is locked."""
    try:
        process.msync(addr, page, MS_ASYNC | MS_INVALIDATE)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return True
    return False


def lock_map(process: Process, page: int, base: int, pages: int) -> str:
    """Return one character per page: "x" for a locked page, "." for another."""
    return "".join("x" if is_locked(process, page, base + number * page) else "." for number in range(pages))


def map_untouched(process: Process, page: int, pages: int) -> int:
    """Return the address of private anonymous memory that has never been accessed."""
    return process.mmap(0, pages * page, RW, ANONYMOUS, -1, 0)


def limit_locked_memory(process: Process, page: int, pages: int) -> None:
    """Drop CAP_IPC_LOCK and leave room for this number of locked pages in RLIMIT_MEMLOCK."""
    with setup():
        process.drop_capability("CAP_IPC_LOCK")
        process.set_limit_headroom(Resource.LOCKED_MEMORY, pages * page)


@contextmanager
def requires_limit_for_all_mappings() -> Iterator[None]:
    """Run mlockall(MCL_CURRENT): ENOMEM means that RLIMIT_MEMLOCK is too small, and the case is unsupported."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise Unsupported("the process has more memory mapped than it may lock") from error
        raise


# ---------------------------------------------------------------------------------------------------------------- mlock


@clause("mlock.resident")
@needs("residency")
@pytest.mark.parametrize("prot", [PROT_READ, RW], ids=prot_id)
@pytest.mark.parametrize("memory", ["anonymous", "file"])
@shared_and_private
def test_locked_pages_are_resident(
    process: Process, page: int, file: MakeFile, kind: int, memory: str, prot: int
) -> None:
    """The pages have not been accessed before, and they have the right content."""
    content = lettered_pages(page, 2) if memory == "file" else bytes(2 * page)
    fd, flags = (file(content), kind) if memory == "file" else (-1, kind | MAP_ANONYMOUS)
    if memory == "file":
        drop_page_cache(process, fd)
    base = process.mmap(0, 2 * page, prot, flags, fd, 0)

    process.mlock(base, 2 * page)

    assert process.mincore(base, 2 * page) == [True, True]
    assert process.load(base, 2 * page) == content


@clause("mlock.rounding")
@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [
        pytest.param((1, 1), (0, 1), ".x..", id="one-byte"),
        pytest.param((1, 0), (1, -1), ".x..", id="one-page-minus-one-byte"),
        pytest.param((2, -1), (0, 2), ".xx.", id="two-bytes-across-page-boundary"),
        pytest.param((1, 1), (1, 0), ".xx.", id="one-page-from-unaligned-start"),
    ],
)
def test_mlock_locks_whole_pages(
    process: Process, page: int, start: tuple[int, int], length: tuple[int, int], expected: str
) -> None:
    """`start` and `length` are (pages, bytes)."""
    base = map_untouched(process, page, 4)

    process.mlock(base + start[0] * page + start[1], length[0] * page + length[1])

    assert lock_map(process, page, base, 4) == expected
    assert process.mincore(base, 4 * page) == [letter == "x" for letter in expected]


@clause("mlock.length-zero")
def test_zero_length_locks_nothing(process: Process, page: int) -> None:
    """The call also succeeds on unmapped addresses."""
    base = map_untouched(process, page, 2)
    process.mlock(base, 0)
    assert lock_map(process, page, base, 2) == ".."

    process.munmap(base, page)
    process.mlock(base, 0)
    process.munlock(base, 0)


@clause("mlock.nesting")
def test_locks_do_not_nest(process: Process, page: int) -> None:
    """One munlock undoes two mlock calls, and munlock of an unlocked page succeeds."""
    base = map_untouched(process, page, 2)
    process.mlock(base, 2 * page)
    process.mlock(base, page)
    process.munlock(base, page)

    assert lock_map(process, page, base, 2) == ".x"
    process.munlock(base, page)
    assert lock_map(process, page, base, 2) == ".x"


@clause("mlock.limit.once")
def test_locked_pages_count_once_against_limit(process: Process, page: int) -> None:
    limit_locked_memory(process, page, 3)
    base = map_untouched(process, page, 4)
    process.mlock(base, 2 * page)

    process.mlock(base, 3 * page)

    assert lock_map(process, page, base, 4) == "xxx."
    with fails("ENOMEM"):
        process.mlock(base, 4 * page)


@clause("mlock.private.copies")
def test_mlock_copies_writable_private_page(process: Process, page: int, file: MakeFile) -> None:
    """A read-only private page is not copied: it still shows the file."""
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, RW, MAP_PRIVATE, fd, 0)
    process.mprotect(base + page, page, PROT_READ)
    process.mlock(base, 2 * page)

    process.pwrite(fd, b"x" * 2 * page, 0)

    assert process.load(base, 2 * page) == b"A" * page + b"x" * page


@clause("mlock.fork")
def test_child_inherits_no_locks(process: Process, page: int) -> None:
    """The parent keeps its locks."""
    base = map_untouched(process, page, 2)
    process.mlock(base, 2 * page)
    child = process.fork()

    assert lock_map(child, page, base, 2) == ".."
    assert lock_map(process, page, base, 2) == "xx"


@clause("mlock.fork")
def test_locks_of_child_and_parent_are_independent(process: Process, page: int) -> None:
    limit_locked_memory(process, page, 2)
    base = map_untouched(process, page, 2)
    process.mlock(base, 2 * page)
    child = process.fork()

    child.mlock(base, 2 * page)
    process.munlock(base, 2 * page)

    assert lock_map(child, page, base, 2) == "xx"
    assert lock_map(process, page, base, 2) == ".."


@clause("mlock.exec")
def test_exec_releases_locks(process: Process, page: int) -> None:
    limit_locked_memory(process, page, 2)
    process.mlock(map_untouched(process, page, 2), 2 * page)

    process.exec()

    base = map_untouched(process, page, 2)
    assert lock_map(process, page, base, 2) == ".."
    process.mlock(base, 2 * page)


@clause("mlock.stays")
@needs("residency")
def test_locked_pages_stay_resident(process: Process, page: int, file: MakeFile) -> None:
    """They stay even if the file's pages are to be dropped from the page cache."""
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, PROT_READ, MAP_SHARED, fd, 0)
    process.mlock(base, 2 * page)

    process.drop_cache(fd)

    assert process.mincore(base, 2 * page) == [True, True]


@clause("mlock.truncate")
@needs("size-changes-seen")
@shared_and_private
def test_truncation_discards_locked_pages(process: Process, page: int, file: MakeFile, kind: int) -> None:
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, RW, kind, fd, 0)
    process.mlock(base, 2 * page)

    process.ftruncate(fd, page)

    with faults("SIGBUS"):
        process.load(base + page, 1)
    assert process.load(base, page) == b"A" * page


# ---------------------------------------------------------------------------------------------- partial effect of mlock


@clause("mlock.errno.ENOMEM.prefix")
def test_failed_mlock_locks_pages_before_hole(process: Process, page: int) -> None:
    """The pages after the hole are not locked, and no page is made resident."""
    base = map_untouched(process, page, 4)
    process.munmap(base + 2 * page, page)

    with fails("ENOMEM"):
        process.mlock(base, 4 * page)

    assert lock_map(process, page, base, 2) == "xx"
    assert not is_locked(process, page, base + 3 * page)
    assert process.mincore(base, 2 * page) == [False, False]


@clause("mlock.errno.ENOMEM.fault")
@pytest.mark.parametrize("cause", ["inaccessible", "past-end-of-file"])
def test_mlock_of_inaccessible_page_fails_but_locks_it(process: Process, page: int, file: MakeFile, cause: str) -> None:
    if cause == "inaccessible":
        base = process.mmap(0, page, PROT_NONE, ANONYMOUS, -1, 0)
    else:
        base = process.mmap(0, page, RW, MAP_SHARED, file(), 0)

    with fails("ENOMEM"):
        process.mlock(base, page)

    assert is_locked(process, page, base)


# -------------------------------------------------------------------------------------------------------------- munlock


@clause("munlock.range")
@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [
        pytest.param((1, 1), (0, 1), "x.xx", id="one-byte", marks=needs("unaligned-locks")),
        pytest.param((2, -1), (0, 2), "x..x", id="two-bytes-across-page-boundary", marks=needs("unaligned-locks")),
        pytest.param((1, 0), (2, 0), "x..x", id="two-pages"),
    ],
)
def test_munlock_unlocks_only_pages_of_range(
    process: Process, page: int, start: tuple[int, int], length: tuple[int, int], expected: str
) -> None:
    """`start` and `length` are (pages, bytes)."""
    base = map_untouched(process, page, 4)
    process.mlock(base, 4 * page)

    process.munlock(base + start[0] * page + start[1], length[0] * page + length[1])

    assert lock_map(process, page, base, 4) == expected


@clause("munlock.limit")
def test_munlock_frees_limit(process: Process, page: int) -> None:
    limit_locked_memory(process, page, 2)
    base = map_untouched(process, page, 4)
    process.mlock(base, 2 * page)
    process.munlock(base, page)

    process.mlock(base + 2 * page, page)

    with fails("ENOMEM"):
        process.mlock(base + 3 * page, page)


@clause("munlock.content")
def test_munlock_keeps_content(process: Process, page: int) -> None:
    base = map_untouched(process, page, 2)
    process.mlock(base, 2 * page)
    process.store(base, lettered_pages(page, 2))

    process.munlock(base, 2 * page)

    assert process.load(base, 2 * page) == lettered_pages(page, 2)
    process.store(base, b"x")


@clause("munlock.errno.ENOMEM.prefix")
def test_failed_munlock_unlocks_pages_before_hole(process: Process, page: int) -> None:
    base = map_untouched(process, page, 4)
    process.mlock(base, 4 * page)
    process.munmap(base + 2 * page, page)

    with fails("ENOMEM"):
        process.munlock(base + page, 3 * page)

    assert lock_map(process, page, base, 2) == "x."
    assert is_locked(process, page, base + 3 * page)


# ------------------------------------------------------------------------------------------------------------- mlockall


@clause("mlockall.current")
@needs("residency")
def test_mcl_current_locks_existing_mappings(process: Process, page: int, file: MakeFile) -> None:
    """They also become resident; later mappings are not locked."""
    base = map_untouched(process, page, 2)
    other = process.mmap(0, page, PROT_READ, MAP_SHARED, file(b"A"), 0)

    with requires_limit_for_all_mappings():
        process.mlockall(MCL_CURRENT)

    assert lock_map(process, page, base, 2) + lock_map(process, page, other, 1) == "xxx"
    assert process.mincore(base, 2 * page) + process.mincore(other, page) == [True] * 3
    assert not is_locked(process, page, map_untouched(process, page, 1))


@clause("mlockall.future")
@needs("residency")
def test_mcl_future_locks_later_mappings(process: Process, page: int, file: MakeFile) -> None:
    """They also become resident; existing mappings are not locked."""
    before = map_untouched(process, page, 1)

    process.mlockall(MCL_FUTURE)

    base = map_untouched(process, page, 2)
    other = process.mmap(0, page, PROT_READ, MAP_SHARED, file(b"A"), 0)
    assert lock_map(process, page, base, 2) + lock_map(process, page, other, 1) == "xxx"
    assert process.mincore(base, 2 * page) + process.mincore(other, page) == [True] * 3
    assert not is_locked(process, page, before)
    assert process.mincore(before, page) == [False]


@clause("mlockall.future")
def test_mcl_future_ignores_size_of_existing_mappings(process: Process, page: int) -> None:
    """mlockall(MCL_FUTURE) succeeds although they are larger than RLIMIT_MEMLOCK."""
    map_untouched(process, page, 2)
    limit_locked_memory(process, page, 1)

    process.mlockall(MCL_FUTURE)

    assert is_locked(process, page, map_untouched(process, page, 1))


@clause("mlockall.future.replaced")
def test_mlockall_without_mcl_future_clears_it(process: Process, page: int) -> None:
    """MCL_CURRENT alone cancels an earlier MCL_FUTURE."""
    process.mlockall(MCL_FUTURE)
    with requires_limit_for_all_mappings():
        process.mlockall(MCL_CURRENT)

    assert not is_locked(process, page, map_untouched(process, page, 1))


@clause("mlockall.future.fork")
def test_child_does_not_inherit_mcl_future(process: Process, page: int) -> None:
    process.mlockall(MCL_FUTURE)
    child = process.fork()

    assert not is_locked(child, page, map_untouched(child, page, 1))
    assert is_locked(process, page, map_untouched(process, page, 1))


@clause("mlockall.future.exec")
def test_exec_clears_mcl_future(process: Process, page: int) -> None:
    process.mlockall(MCL_FUTURE)

    process.exec()

    assert not is_locked(process, page, map_untouched(process, page, 1))


@clause("munlockall.current")
def test_munlockall_unlocks_all_mappings(process: Process, page: int) -> None:
    """It undoes mlock and MCL_FUTURE alike."""
    base = map_untouched(process, page, 3)
    process.mlock(base, page)
    process.mlockall(MCL_FUTURE)
    other = map_untouched(process, page, 1)

    process.munlockall()

    assert lock_map(process, page, base, 3) + lock_map(process, page, other, 1) == "...."


@clause("munlockall.future")
@needs("residency")
def test_munlockall_clears_mcl_future(process: Process, page: int) -> None:
    process.mlockall(MCL_FUTURE)
    process.munlockall()

    base = map_untouched(process, page, 1)

    assert not is_locked(process, page, base)
    assert process.mincore(base, page) == [False]


# ----------------------------------------------------------------------------------------------------- locking on fault


@clause("mlock2.onfault")
def test_mlock_onfault_makes_pages_resident_on_access(process: Process, page: int) -> None:
    """The call makes no page resident, so inaccessible pages are no error; a later mlock makes the rest resident."""
    base = map_untouched(process, page, 3)
    process.mprotect(base + 2 * page, page, PROT_NONE)

    process.mlock2(base, 3 * page, MLOCK_ONFAULT)

    assert process.mincore(base, 3 * page) == [False, False, False]
    assert lock_map(process, page, base, 3) == "xxx"
    process.store(base, b"x")
    assert process.mincore(base, 3 * page) == [True, False, False]
    process.mlock(base, 2 * page)
    assert process.mincore(base, 3 * page) == [True, True, False]


@clause("mlock2.onfault")
def test_munlockall_unlocks_pages_to_be_locked_on_access(process: Process, page: int) -> None:
    base = map_untouched(process, page, 2)
    process.store(base, b"x")
    process.mlock2(base, 2 * page, MLOCK_ONFAULT)

    process.munlockall()

    assert lock_map(process, page, base, 2) == ".."


@clause("mlock2.no-flags")
def test_mlock2_without_flags_equals_mlock(process: Process, page: int) -> None:
    base = map_untouched(process, page, 3)

    process.mlock2(base, page + 1, 0)

    assert lock_map(process, page, base, 3) == "xx."
    assert process.mincore(base, 3 * page) == [True, True, False]


@clause("mlockall.onfault")
@pytest.mark.parametrize("when", ["current", "future"])
def test_mcl_onfault_makes_pages_resident_on_access(process: Process, page: int, when: str) -> None:
    if when == "current":
        base = map_untouched(process, page, 2)
        with requires_limit_for_all_mappings():
            process.mlockall(MCL_CURRENT | MCL_ONFAULT)
    else:
        process.mlockall(MCL_FUTURE | MCL_ONFAULT)
        base = map_untouched(process, page, 2)

    assert lock_map(process, page, base, 2) == "xx"
    process.store(base + page, b"x")
    assert process.mincore(base, 2 * page) == [False, True]


# -------------------------------------------------------------------------------------------------------------- errors


@clause("mlockall.errno.EINVAL.onfault")
def test_mcl_onfault_alone_fails(process: Process, page: int) -> None:
    """MCL_ONFAULT needs MCL_CURRENT or MCL_FUTURE."""
    base = map_untouched(process, page, 1)

    with fails("EINVAL"):
        process.mlockall(MCL_ONFAULT)

    assert not is_locked(process, page, base)


@clause("mlock2.errno.EINVAL")
@pytest.mark.parametrize("flags", [2, MLOCK_ONFAULT | 4, -1])
def test_mlock2_with_unknown_flags_fails(process: Process, page: int, flags: int) -> None:
    base = map_untouched(process, page, 1)

    with fails("EINVAL"):
        process.mlock2(base, page, flags)

    assert not is_locked(process, page, base)


@clause("mlock.errno.ENOMEM.prefix")
def test_mlock2_across_hole_fails(process: Process, page: int) -> None:
    base = map_untouched(process, page, 3)
    process.munmap(base + page, page)

    with fails("ENOMEM"):
        process.mlock2(base, 3 * page, MLOCK_ONFAULT)


@clause("mlock.errno.EPERM")
def test_mlock2_with_zero_limit_fails(process: Process, page: int) -> None:
    limit_locked_memory(process, page, 0)
    base = map_untouched(process, page, 1)

    with fails("EPERM"):
        process.mlock2(base, page, MLOCK_ONFAULT)


@clause("mlock.errno.EINVAL")
def test_mlock2_of_wrapping_range_fails(process: Process, page: int) -> None:
    """The length also exceeds any limit of locked memory, so ENOMEM is allowed too."""
    base = map_untouched(process, page, 1)

    with fails("EINVAL", "ENOMEM"):
        process.mlock2(base, (1 << process.bits) - page, 0)
