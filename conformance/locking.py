"""Cases of memory that is kept in memory: mlock, mlock2, mlockall and their opposites.

A lock cannot be seen; what follows from it can.  MS_INVALIDATE over locked memory is EBUSY (`is_locked`), locked pages
are resident, and the limit of locked memory is used up by them.
"""

from __future__ import annotations

import errno

import pytest

from ..contract import MLOCK_ONFAULT, MS_INVALIDATE, Process
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
