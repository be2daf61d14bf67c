"""Cases of mprotect, mlock and mincore, neighbours of the documented calls: the suite's own tools for pages."""

from __future__ import annotations

import pytest

from ..contract import (
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MCL_CURRENT,
    O_RDONLY,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    Process,
    Resource,
    Unsupported,
)
from ..testing import clause, fails, faults
from ._helpers import ANONYMOUS, RW, MakeFile, assert_inaccessible, assert_nothing_mapped, reserve

# ------------------------------------------------------------------------------------------------------------- rights


@clause("mprotect.rights")
def test_rights_can_be_taken_away_and_given_back(process: Process, page: int) -> None:
    """They hold at once, also in a page that has just been used; the content outlives them."""
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, b"kept")

    process.mprotect(base, page, PROT_READ)
    assert process.load(base, 4) == b"kept"
    with faults("SIGSEGV", at=base, code="SEGV_ACCERR"):
        process.store(base, b"x")

    process.mprotect(base, page, PROT_NONE)
    assert_inaccessible(process, base)

    process.mprotect(base, page, RW)
    assert process.load(base, 4) == b"kept"
    process.store(base, b"KEPT")
    assert process.load(base, 4) == b"KEPT"


@clause("mprotect.rights")
def test_only_the_pages_of_the_range(process: Process, page: int) -> None:
    """One byte is a page; a range of two bytes across a border is two."""
    base = process.mmap(0, 5 * page, RW, ANONYMOUS, -1, 0)

    process.mprotect(base + page, 1, PROT_NONE)
    process.mprotect(base + 3 * page, page + 1, PROT_READ)

    process.store(base, b"x" * page)
    assert_inaccessible(process, base + page)
    process.store(base + 2 * page, b"x" * page)
    for number in (3, 4):
        with faults("SIGSEGV", at=base + number * page, code="SEGV_ACCERR"):
            process.store(base + number * page, b"x")


@clause("mprotect.rights")
def test_across_unlike_mappings(process: Process, file: MakeFile, page: int) -> None:
    base = reserve(process, 4)
    process.mmap(base + page, page, PROT_READ, MAP_SHARED | MAP_FIXED, file(b"a"), 0)
    process.mmap(base + 2 * page, page, PROT_READ, ANONYMOUS | MAP_FIXED, -1, 0)

    process.mprotect(base + page, 2 * page, RW)

    process.store(base + page, b"xy")
    process.store(base + 2 * page, b"xy")
    assert_inaccessible(process, base)
    assert_inaccessible(process, base + 3 * page)


@clause("mprotect.rights")
def test_only_this_process(process: Process, page: int) -> None:
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    child = process.fork()

    child.mprotect(base, page, PROT_NONE)

    assert_inaccessible(child, base)
    process.store(base, b"x")


@clause("mprotect.rights")
def test_code_in_memory_can_be_made_executable(process: Process, page: int) -> None:
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, process.return_instruction())

    process.mprotect(base, page, PROT_READ | PROT_EXEC)

    process.execute(base)


@clause("mprotect.rights")
def test_a_private_mapping_of_a_read_only_file_can_be_made_writable(
    process: Process, file: MakeFile, page: int
) -> None:
    fd = file(b"old", O_RDONLY)
    base = process.mmap(0, page, PROT_READ, MAP_PRIVATE, fd, 0)

    process.mprotect(base, page, RW)
    process.store(base, b"new")

    assert process.load(base, 3) == b"new"
    assert process.pread(fd, 3, 0) == b"old"


# -------------------------------------------------------------------------------------------------- errors of mprotect


@clause("mprotect.errno.EINVAL")
@pytest.mark.parametrize("inside", ["1", "half", "last"])
def test_mprotect_of_an_unaligned_address(process: Process, page: int, inside: str) -> None:
    base = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)

    with fails("EINVAL"):
        process.mprotect(base + {"1": 1, "half": page // 2, "last": page - 1}[inside], page, PROT_NONE)

    process.store(base, b"x" * (2 * page))


@clause("mprotect.errno.ENOMEM")
@pytest.mark.parametrize("hole", [0, 1, 2], ids=["start", "middle", "end"])
def test_mprotect_over_a_hole(process: Process, page: int, hole: int) -> None:
    """Of the pages before the hole nothing is said, and the hole is not filled."""
    base = process.mmap(0, 3 * page, RW, ANONYMOUS, -1, 0)
    process.munmap(base + hole * page, page)

    with fails("ENOMEM"):
        process.mprotect(base, 3 * page, PROT_READ)

    assert_nothing_mapped(process, base + hole * page)


@clause("mprotect.errno.ENOMEM")
@pytest.mark.parametrize("length", ["to-the-top", "wraps"])
def test_mprotect_over_the_end_of_the_address_space(process: Process, page: int, length: str) -> None:
    base = reserve(process, 3)
    process.munmap(base + 2 * page, page)
    span = 1 << process.bits

    with fails("ENOMEM"):
        process.mprotect(base, {"to-the-top": span - page - base, "wraps": span - page}[length], PROT_NONE)

    assert_nothing_mapped(process, base + 2 * page)


@clause("mprotect.errno.EACCES")
def test_mprotect_cannot_exceed_the_descriptor(process: Process, file: MakeFile, page: int) -> None:
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, file(b"kept", O_RDONLY), 0)

    with fails("EACCES"):
        process.mprotect(base, page, RW)

    with faults("SIGSEGV", at=base, code="SEGV_ACCERR"):
        process.store(base, b"x")
    assert process.load(base, 4) == b"kept"


@clause("mprotect.errno.EACCES")
def test_mprotect_cannot_exceed_the_descriptor_after_close(process: Process, file: MakeFile, page: int) -> None:
    """What counts is how the file was open when it was mapped."""
    fd = file(b"kept", O_RDONLY)
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)
    process.close(fd)

    with fails("EACCES"):
        process.mprotect(base, page, PROT_WRITE)

    assert process.load(base, 4) == b"kept"


# ------------------------------------------------------------------------------------------------------------- mlock


@clause("mlock.errno.ENOMEM")
@pytest.mark.parametrize("hole", [0, 1, 2], ids=["start", "middle", "end"])
def test_mlock_over_a_hole(process: Process, page: int, hole: int) -> None:
    base = process.mmap(0, 3 * page, RW, ANONYMOUS, -1, 0)
    process.munmap(base + hole * page, page)

    with fails("ENOMEM"):
        process.mlock(base, 3 * page)

    assert_nothing_mapped(process, base + hole * page)


@clause("mlock.errno.ENOMEM")
def test_mlock_past_the_limit(process: Process, page: int) -> None:
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 2 * page)
    base = process.mmap(0, 3 * page, RW, ANONYMOUS, -1, 0)

    with fails("ENOMEM"):
        process.mlock(base, 3 * page)

    process.mlock(base, 2 * page)


@clause("mlock.errno.EPERM")
def test_mlock_with_a_limit_of_nothing(process: Process, page: int) -> None:
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 0)
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)

    with fails("EPERM"):
        process.mlock(base, page)


@clause("mlock.errno.EINVAL", "munlock.errno.EINVAL")
def test_munlock_of_a_range_that_wraps(process: Process, page: int) -> None:
    """Asked of munlock, which no limit keeps from looking at the range."""
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)

    with fails("EINVAL"):
        process.munlock(base, (1 << process.bits) - page)


@clause("mlock.errno.EINVAL")
def test_mlock_of_a_range_that_wraps(process: Process, page: int) -> None:
    """It is past any limit of locked memory as well."""
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)

    with fails("EINVAL", "ENOMEM"):
        process.mlock(base, (1 << process.bits) - page)


@clause("mlock.errno.ENOMEM", "munlock.errno.ENOMEM")
def test_munlock_over_a_hole(process: Process, page: int) -> None:
    base = process.mmap(0, 3 * page, RW, ANONYMOUS, -1, 0)
    process.munmap(base + page, page)

    with fails("ENOMEM"):
        process.munlock(base, 3 * page)


@clause("mlock.errno.EINVAL")
@pytest.mark.parametrize("flags", [pytest.param(0, id="none"), pytest.param(MCL_CURRENT | 64, id="unknown")])
def test_mlockall_with_wrong_flags(process: Process, flags: int) -> None:
    with fails("EINVAL"):
        process.mlockall(flags)


@clause("mlock.errno.ENOMEM")
def test_mlockall_past_the_limit(process: Process, page: int) -> None:
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, page)
    process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)

    with fails("ENOMEM"):
        process.mlockall(MCL_CURRENT)


@clause("mlock.errno.EPERM")
def test_mlockall_with_a_limit_of_nothing(process: Process) -> None:
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 0)

    with fails("EPERM"):
        process.mlockall(MCL_CURRENT)


# ------------------------------------------------------------------------------------------------------------ mincore


@clause("mincore.errno.EINVAL")
def test_mincore_from_inside_a_page(process: Process, page: int) -> None:
    base = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)

    with fails("EINVAL"):
        process.mincore(base + 1, page)


@clause("mincore.errno.ENOMEM")
@pytest.mark.parametrize("hole", [0, 1, 2], ids=["start", "middle", "end"])
def test_mincore_over_a_hole(process: Process, page: int, hole: int) -> None:
    base = process.mmap(0, 3 * page, RW, ANONYMOUS, -1, 0)
    process.munmap(base + hole * page, page)

    with fails("ENOMEM"):
        process.mincore(base, 3 * page)


# --------------------------------------------------------------------------------------------- outside all addresses


@clause("paging.fault-outside")
@pytest.mark.parametrize("access", ["load", "store", "execute"])
def test_access_outside_the_address_space(process: Process, access: str) -> None:
    if process.bits != 64:
        raise Unsupported("where addresses have 32 bits, all of them may be mapped")
    outside = 1 << 62

    with faults("SIGSEGV"):
        if access == "load":
            process.load(outside, 1)
        elif access == "store":
            process.store(outside, b"x")
        else:
            process.execute(outside)
