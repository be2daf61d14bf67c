"""Cases of errno after a call that succeeds: no function sets it to 0.

Before each call errno is another value.  These cases are of the calls whose results the other cases check.
"""

from __future__ import annotations

from ..contract import MAP_PRIVATE, MREMAP_MAYMOVE, MS_SYNC, PROT_READ, SC_PAGESIZE, Process
from ..testing import clause
from ._helpers import MakeFile, lettered_pages


def map_file(process: Process, file: MakeFile, page: int) -> int:
    """Return the address of a mapping of two pages of a file."""
    return process.mmap(0, 2 * page, PROT_READ, MAP_PRIVATE, file(lettered_pages(page, 2)), 0)


@clause("errno.kept")
def test_sysconf_keeps_errno(process: Process) -> None:
    process.sysconf(SC_PAGESIZE)

    assert not process.errno_cleared()


@clause("errno.kept")
def test_mmap_keeps_errno(process: Process, file: MakeFile, page: int) -> None:
    map_file(process, file, page)

    assert not process.errno_cleared()


@clause("errno.kept")
def test_munmap_keeps_errno(process: Process, file: MakeFile, page: int) -> None:
    base = map_file(process, file, page)
    process.munmap(base, page)

    assert not process.errno_cleared()


@clause("errno.kept")
def test_mremap_keeps_errno(process: Process, file: MakeFile, page: int) -> None:
    base = map_file(process, file, page)
    process.mremap(base, 2 * page, page, MREMAP_MAYMOVE)

    assert not process.errno_cleared()


@clause("errno.kept")
def test_msync_keeps_errno(process: Process, file: MakeFile, page: int) -> None:
    base = map_file(process, file, page)
    process.msync(base, 2 * page, MS_SYNC)

    assert not process.errno_cleared()


@clause("errno.kept")
def test_mprotect_keeps_errno(process: Process, file: MakeFile, page: int) -> None:
    base = map_file(process, file, page)
    process.mprotect(base, page, PROT_READ)

    assert not process.errno_cleared()


@clause("errno.kept")
def test_mlock_keeps_errno(process: Process, file: MakeFile, page: int) -> None:
    base = map_file(process, file, page)
    process.mlock(base, page)

    assert not process.errno_cleared()


@clause("errno.kept")
def test_munlock_keeps_errno(process: Process, file: MakeFile, page: int) -> None:
    base = map_file(process, file, page)
    process.munlock(base, page)

    assert not process.errno_cleared()
