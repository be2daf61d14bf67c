"""The tour: every call in every kind of state, each a short program that runs beside the reference.

A case is a row: its id is the call, and then a value for each thing that a call can depend on (`python -m
pytest_mmapconf tour` lists them).  There is no list of expected results: the reference executes the same program.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from ..testing import Tour, clause
from ..tour import array, axes

Case = Callable[..., None]


CLAUSES: Final = """
buffer.load buffer.store coherence.write exec.mappings file.truncate hole.storage madvise.dontfork
madvise.errno.EINVAL.advice madvise.free madvise.hints madvise.populate-read madvise.populate-write madvise.range
madvise.remove madvise.wipeonfork memfd.seal.future-write memfd.shared mincore.vector mlock.resident mlock2.onfault
mmap.errno.EBADF mmap.errno.EINVAL mmap.errno.EOVERFLOW.boundary mmap.fd.append mmap.flag.anonymous mmap.flag.fixed
mmap.flag.fixed-noreplace mmap.flag.locked mmap.flag.noreserve mmap.flag.populate mmap.prot.fd-mode.private
mmap.prot.read mmap.prot.write mmap.range mmap.refcount.close mmap.refcount.exit mmap.refcount.increment
mmap.result.failure mmap.result.failure.fixed mprotect.errno.EINVAL mprotect.errno.EINVAL.prot
mprotect.errno.ENOMEM.prefix mprotect.exec mprotect.part mprotect.rights mprotect.write mremap.errno.EINVAL
mremap.errno.EINVAL.fixed mremap.errno.EINVAL.overlap mremap.fixed.resize mremap.flags.dontunmap mremap.flags.fixed
mremap.old-size-zero mremap.resize mremap.shrink.part mseal.result msync.errno.EINVAL msync.errno.EINVAL.address
msync.flag.async msync.flag.invalidate msync.flag.sync msync.flags.zero munlock.range munmap.errno.EINVAL
munmap.errno.EINVAL.address munmap.hole munmap.range overview.one-to-one overview.shared-by-processes times.store
"""
"""The clauses that rows judge: a run that asks for none of them does not import this module."""


def rows(*calls: str) -> Callable[[Case], Case]:
    """Parametrize a case with the rows of some calls; each row judges the clauses of its values too."""
    return pytest.mark.parametrize("row", [entry(id) for id in array.ids() if array.call_of(id) in calls])


def entry(id: str) -> Any:
    """Return a row as a parameter."""
    return pytest.param(id, id=id, marks=clause(*axes.row_clauses(array.row(id))))


@pytest.mark.mmap_tour
@rows("mmap")
def test_mmap(tour: Tour, row: str) -> None:
    tour(row)


@pytest.mark.mmap_tour
@rows("munmap")
def test_munmap(tour: Tour, row: str) -> None:
    tour(row)


@pytest.mark.mmap_tour
@rows("mremap")
def test_mremap(tour: Tour, row: str) -> None:
    tour(row)


@pytest.mark.mmap_tour
@rows("msync")
def test_msync(tour: Tour, row: str) -> None:
    tour(row)


@pytest.mark.mmap_tour
@rows("mprotect")
def test_mprotect(tour: Tour, row: str) -> None:
    tour(row)


@pytest.mark.mmap_tour
@rows("madvise")
def test_madvise(tour: Tour, row: str) -> None:
    tour(row)


@pytest.mark.mmap_tour
@rows("mlock", "munlock", "mlock2", "mincore", "mseal")
def test_lock(tour: Tour, row: str) -> None:
    tour(row)


@pytest.mark.mmap_tour
@rows("load", "store", "read_into", "write_from")
def test_access(tour: Tour, row: str) -> None:
    tour(row)


@pytest.mark.mmap_tour
@rows("pwrite", "pread", "close", "ftruncate", "drop_cache")
def test_file(tour: Tour, row: str) -> None:
    tour(row)


@pytest.mark.mmap_tour
@rows("fork", "exit", "kill", "exec")
def test_process(tour: Tour, row: str) -> None:
    tour(row)
