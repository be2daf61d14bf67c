"""Cases of mprotect, mlock and mincore: calls beyond the chapter that the suite itself uses to prepare pages."""

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
from ..testing import clause, fails, faults, needs
from ._helpers import ANONYMOUS, RW, MakeFile, assert_inaccessible, assert_nothing_mapped, reserve

# ------------------------------------------------------------------------------------------------------------- mprotect


@clause("mprotect.rights")
def test_protection_can_be_removed_and_restored(process: Process, page: int) -> None:
    """A change applies to the next access, also of a page that was just accessed; the content is kept."""
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, b"kept")

    process.mprotect(base, page, PROT_READ)
    assert process.load(base, 4) == b"kept"
    with faults("SIGSEGV"):
        process.store(base, b"x")

    process.mprotect(base, page, PROT_NONE)
    assert_inaccessible(process, base)

    process.mprotect(base, page, RW)
    assert process.load(base, 4) == b"kept"
    process.store(base, b"KEPT")
    assert process.load(base, 4) == b"KEPT"


@clause("mprotect.rights")
def test_only_pages_of_range_change(process: Process, page: int) -> None:
    """A range of one byte changes one page; a range with a byte of the next page changes both."""
    base = process.mmap(0, 5 * page, RW, ANONYMOUS, -1, 0)

    process.mprotect(base + page, 1, PROT_NONE)
    process.mprotect(base + 3 * page, page + 1, PROT_READ)

    process.store(base, b"x" * page)
    assert_inaccessible(process, base + page)
    process.store(base + 2 * page, b"x" * page)
    for number in (3, 4):
        with faults("SIGSEGV"):
            process.store(base + number * page, b"x")


@clause("mprotect.rights")
def test_range_spans_different_mappings(process: Process, file: MakeFile, page: int) -> None:
    base = reserve(process, 4)
    process.mmap(base + page, page, PROT_READ, MAP_SHARED | MAP_FIXED, file(b"a"), 0)
    process.mmap(base + 2 * page, page, PROT_READ, ANONYMOUS | MAP_FIXED, -1, 0)

    process.mprotect(base + page, 2 * page, RW)

    process.store(base + page, b"xy")
    process.store(base + 2 * page, b"xy")
    assert_inaccessible(process, base)
    assert_inaccessible(process, base + 3 * page)


@clause("mprotect.rights")
def test_only_calling_process_changes(process: Process, page: int) -> None:
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    child = process.fork()

    child.mprotect(base, page, PROT_NONE)

    assert_inaccessible(child, base)
    process.store(base, b"x")


@clause("mprotect.rights")
def test_stored_code_can_be_made_executable(process: Process, page: int) -> None:
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, process.return_instruction())

    process.mprotect(base, page, PROT_READ | PROT_EXEC)

    process.execute(base)


@clause("mprotect.rights")
def test_private_mapping_of_read_only_descriptor_can_be_made_writable(
    process: Process, file: MakeFile, page: int
) -> None:
    fd = file(b"old", O_RDONLY)
    base = process.mmap(0, page, PROT_READ, MAP_PRIVATE, fd, 0)

    process.mprotect(base, page, RW)
    process.store(base, b"new")

    assert process.load(base, 3) == b"new"
    assert process.pread(fd, 3, 0) == b"old"


# --------------------------------------------------------------------------------------------------- errors of mprotect


@clause("mprotect.errno.EINVAL")
@pytest.mark.parametrize("inside", ["1", "half", "last"])
def test_mprotect_of_unaligned_address_is_refused(process: Process, page: int, inside: str) -> None:
    base = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)

    with fails("EINVAL"):
        process.mprotect(base + {"1": 1, "half": page // 2, "last": page - 1}[inside], page, PROT_NONE)

    process.store(base, b"x" * (2 * page))


@clause("mprotect.errno.ENOMEM")
@pytest.mark.parametrize("hole", [0, 1, 2], ids=["start", "middle", "end"])
def test_mprotect_over_hole_fails(process: Process, page: int, hole: int) -> None:
    """Nothing is required of the pages before the hole; the hole stays unmapped."""
    base = process.mmap(0, 3 * page, RW, ANONYMOUS, -1, 0)
    process.munmap(base + hole * page, page)

    with fails("ENOMEM"):
        process.mprotect(base, 3 * page, PROT_READ)

    assert_nothing_mapped(process, base + hole * page)


@clause("mprotect.errno.ENOMEM")
@pytest.mark.parametrize("length", ["to-last-page", "wraps"])
def test_mprotect_past_address_space_fails(process: Process, page: int, length: str) -> None:
    base = reserve(process, 3)
    process.munmap(base + 2 * page, page)
    span = 1 << process.bits

    with fails("ENOMEM"):
        process.mprotect(base, {"to-last-page": span - page - base, "wraps": span - page}[length], PROT_NONE)

    assert_nothing_mapped(process, base + 2 * page)


@clause("mprotect.errno.EACCES")
def test_mprotect_cannot_exceed_mode_of_descriptor(process: Process, file: MakeFile, page: int) -> None:
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, file(b"kept", O_RDONLY), 0)

    with fails("EACCES"):
        process.mprotect(base, page, RW)

    with faults("SIGSEGV"):
        process.store(base, b"x")
    assert process.load(base, 4) == b"kept"


@clause("mprotect.errno.EACCES")
def test_mprotect_cannot_exceed_mode_of_closed_descriptor(process: Process, file: MakeFile, page: int) -> None:
    """The mode of the descriptor at the time of mmap is decisive."""
    fd = file(b"kept", O_RDONLY)
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)
    process.close(fd)

    with fails("EACCES"):
        process.mprotect(base, page, PROT_WRITE)

    assert process.load(base, 4) == b"kept"


# ---------------------------------------------------------------------------------------------------------------- mlock


@clause("mlock.errno.ENOMEM")
@pytest.mark.parametrize("hole", [0, 1, 2], ids=["start", "middle", "end"])
def test_mlock_over_hole_fails(process: Process, page: int, hole: int) -> None:
    base = process.mmap(0, 3 * page, RW, ANONYMOUS, -1, 0)
    process.munmap(base + hole * page, page)

    with fails("ENOMEM"):
        process.mlock(base, 3 * page)

    assert_nothing_mapped(process, base + hole * page)


@clause("mlock.errno.ENOMEM")
def test_mlock_past_limit_fails(process: Process, page: int) -> None:
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 2 * page)
    base = process.mmap(0, 3 * page, RW, ANONYMOUS, -1, 0)

    with fails("ENOMEM", "EAGAIN"):  # POSIX: EAGAIN where some of the memory could not be locked
        process.mlock(base, 3 * page)

    process.mlock(base, 2 * page)


@clause("mlock.errno.EPERM")
def test_mlock_with_limit_zero_is_refused(process: Process, page: int) -> None:
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 0)
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)

    with fails("EPERM"):
        process.mlock(base, page)


@clause("mlock.errno.EINVAL", "munlock.errno.EINVAL")
def test_munlock_of_wrapping_range_is_refused(process: Process, page: int) -> None:
    """munlock checks the range independently of any limit."""
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)

    with fails("EINVAL"):
        process.munlock(base, (1 << process.bits) - page)


@clause("mlock.errno.EINVAL")
@needs("native-width")
def test_mlock_of_wrapping_range_is_refused(process: Process, page: int) -> None:
    """The range also exceeds any limit of locked memory, so ENOMEM is accepted."""
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
def test_mlockall_past_limit_fails(process: Process, page: int) -> None:
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, page)
    process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)

    with fails("ENOMEM", "EAGAIN"):
        process.mlockall(MCL_CURRENT)


@clause("mlock.errno.EPERM")
def test_mlockall_with_limit_zero_is_refused(process: Process) -> None:
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 0)

    with fails("EPERM"):
        process.mlockall(MCL_CURRENT)


# -------------------------------------------------------------------------------------------------------------- mincore


@clause("mincore.errno.EINVAL")
def test_mincore_of_unaligned_address_is_refused(process: Process, page: int) -> None:
    base = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)

    with fails("EINVAL"):
        process.mincore(base + 1, page)


@clause("mincore.errno.ENOMEM")
@pytest.mark.parametrize("hole", [0, 1, 2], ids=["start", "middle", "end"])
def test_mincore_over_hole_fails(process: Process, page: int, hole: int) -> None:
    base = process.mmap(0, 3 * page, RW, ANONYMOUS, -1, 0)
    process.munmap(base + hole * page, page)

    with fails("ENOMEM"):
        process.mincore(base, 3 * page)


# -------------------------------------------------------------------------------------------- outside the address space


@needs("upper-addresses-outside")
@clause("paging.fault-outside")
@pytest.mark.parametrize("access", ["load", "store", "execute"])
def test_access_outside_address_space_faults(process: Process, access: str) -> None:
    if process.bits != 64:
        raise Unsupported("all addresses of 32 bits may be mappable")
    addr = 1 << 62

    with faults("SIGSEGV"):
        if access == "load":
            process.load(addr, 1)
        elif access == "store":
            process.store(addr, b"x")
        else:
            process.execute(addr)
