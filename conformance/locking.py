"""Cases of memory that is kept in memory: mlock, mlock2, mlockall and their opposites.

A lock cannot be seen; what follows from it can.  MS_INVALIDATE over locked memory is EBUSY (`is_locked`), locked pages
are resident, and the limit of locked memory is used up by them.
"""

from __future__ import annotations

import errno

import pytest

from ..contract import MLOCK_ONFAULT, MS_INVALIDATE, Process, Resource
from ..words import clause, fails
from ._helpers import ANONYMOUS, RW


def is_locked(process: Process, page: int, addr: int) -> bool:
    """Whether the page at `addr` is locked."""
    try:
        process.msync(addr, page, MS_INVALIDATE)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return True
    return False


@clause("mlock2.errno.EINVAL")
@pytest.mark.parametrize("flags", [2, MLOCK_ONFAULT | 4, -1])
def test_mlock2_with_unknown_flags(process: Process, page: int, flags: int) -> None:
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)

    with fails("EINVAL"):
        process.mlock2(base, page, flags)

    assert not is_locked(process, page, base)


@clause("mlock.errno.ENOMEM")
def test_mlock2_over_a_hole(process: Process, page: int) -> None:
    base = process.mmap(0, 3 * page, RW, ANONYMOUS, -1, 0)
    process.munmap(base + page, page)

    with fails("ENOMEM"):
        process.mlock2(base, 3 * page, MLOCK_ONFAULT)


@clause("mlock.errno.EPERM")
def test_mlock2_with_a_limit_of_nothing(process: Process, page: int) -> None:
    process.drop("CAP_IPC_LOCK")
    process.limit(Resource.LOCKED_MEMORY, 0)
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)

    with fails("EPERM"):
        process.mlock2(base, page, MLOCK_ONFAULT)


@clause("mlock.errno.EINVAL")
def test_mlock2_of_a_range_that_wraps(process: Process, page: int) -> None:
    """It is past any limit of locked memory as well."""
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)

    with fails("EINVAL", "ENOMEM"):
        process.mlock2(base, (1 << process.bits) - page, 0)
