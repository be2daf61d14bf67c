"""The tour: every call in every kind of state, each a short program that runs in lockstep with the reference.

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

pytestmark = pytest.mark.mmap_tour

CLAUSES: Final = """
buffer.load buffer.store coherence.write copy.shared copy.stores exec.mappings fallocate.size fallocate.zero
fallocate.zero.outside fault.address file.truncate hole.storage madvise.dofork
madvise.dontfork madvise.dontneed-locked madvise.errno.EINVAL.address madvise.errno.EINVAL.advice
madvise.errno.EINVAL.locked madvise.errno.EINVAL.range madvise.errno.ENOMEM.rest madvise.errno.EPERM madvise.free
madvise.hints madvise.keeponfork madvise.length-zero madvise.populate-read madvise.populate-write madvise.range
madvise.reclaim madvise.remove madvise.wipeonfork memfd.seal.future-write memfd.seal.write.read-only memfd.shared
mincore.errno.EINVAL mincore.errno.ENOMEM mincore.length-zero mincore.vector mlock.errno.ENOMEM.prefix
mlock.length-zero mlock.limit.once mlock.resident mlock2.errno.EINVAL mlock2.onfault mlockall.errno.EINVAL.onfault
mmap.errno.EBADF mmap.errno.EBADF.path mmap.errno.EEXIST mmap.errno.EINVAL mmap.errno.EINVAL.droppable
mmap.errno.EINVAL.flags mmap.errno.EINVAL.huge-size mmap.errno.EINVAL.noreplace mmap.errno.EINVAL.unknown-type
mmap.errno.ENODEV.device mmap.errno.ENODEV.directory mmap.errno.ENODEV.pipe mmap.errno.ENODEV.proc
mmap.errno.ENODEV.socket mmap.errno.ENOMEM.replaced mmap.errno.EOPNOTSUPP mmap.errno.EOPNOTSUPP.sync
mmap.errno.EOVERFLOW.boundary mmap.errno.EOVERFLOW.negative mmap.errno.EPERM.seal mmap.errno.EPERM.sealed
mmap.fd.append mmap.flag.32bit mmap.flag.anonymous mmap.flag.anonymous.offset mmap.flag.droppable mmap.flag.fixed
mmap.flag.fixed-noreplace mmap.flag.fixed-replaces.lock mmap.flag.growsdown mmap.flag.locked
mmap.flag.locked.resident mmap.flag.nonblock mmap.flag.noreserve mmap.flag.populate mmap.flag.shared-validate
mmap.flag.stack mmap.flag.unknown-bits mmap.order.address.unaligned mmap.prot.fd-mode.private mmap.prot.read
mmap.prot.unknown-bits mmap.prot.write mmap.range mmap.refcount.close mmap.refcount.exit mmap.refcount.increment
mmap.result.failure mmap.result.failure.fixed mmap.zero.mode mmap.zero.private mmap.zero.shared
mprotect.errno.EINVAL mprotect.errno.EINVAL.grows mprotect.errno.EINVAL.grows-not mprotect.errno.EINVAL.prot
mprotect.errno.ENOMEM.prefix mprotect.errno.EPERM mprotect.exec mprotect.length-wraps mprotect.length-zero
mprotect.lock mprotect.part mprotect.rights mprotect.write mremap.dontunmap.fixed mremap.dontunmap.hint
mremap.dontunmap.limit mremap.dontunmap.lock mremap.errno.EINVAL mremap.errno.EINVAL.dontunmap
mremap.errno.EINVAL.dontunmap-size mremap.errno.EINVAL.fixed mremap.errno.EINVAL.new-address
mremap.errno.EINVAL.new-size mremap.errno.EINVAL.overlap mremap.errno.ENOMEM.old-size-zero mremap.errno.EPERM
mremap.fixed.resize mremap.flags.dontunmap mremap.flags.fixed mremap.limit.account mremap.lock.grown
mremap.move.lock mremap.old-size-zero mremap.old-size-zero.length mremap.resize mremap.shrink.part
mseal.errno.EINVAL mseal.length-zero mseal.result msync.errno.EINVAL msync.errno.EINVAL.address
msync.errno.ENOMEM.outside msync.flag.async msync.flag.invalidate msync.flag.sync msync.flags.zero
msync.length-wraps msync.length-zero msync.lock munlock.errno.ENOMEM.prefix munlock.range munmap.errno.EINVAL
munmap.errno.EINVAL.address munmap.errno.EPERM munmap.hole munmap.range overview.one-to-one
overview.shared-by-processes times.store
"""
"""The clauses that rows judge: a run that asks for none of them does not import this module."""


def rows(*calls: str) -> Callable[[Case], Case]:
    """Parametrize a case with the rows of some calls; each row judges the clauses of its values too."""
    return pytest.mark.parametrize("row", [entry(id) for id in array.ids() if array.call_of(id) in calls])


def entry(id: str) -> Any:
    """Return a row as a parameter."""
    return pytest.param(id, id=id, marks=clause(*axes.row_clauses(array.row(id))))


@rows("mmap")
def test_mmap(tour: Tour, row: str) -> None:
    tour(row)


@rows("munmap")
def test_munmap(tour: Tour, row: str) -> None:
    tour(row)


@rows("mremap")
def test_mremap(tour: Tour, row: str) -> None:
    tour(row)


@rows("msync")
def test_msync(tour: Tour, row: str) -> None:
    tour(row)


@rows("mprotect")
def test_mprotect(tour: Tour, row: str) -> None:
    tour(row)


@rows("madvise")
def test_madvise(tour: Tour, row: str) -> None:
    tour(row)


@rows("mlock", "munlock", "mlock2", "mlockall", "munlockall", "mincore", "mseal")
def test_lock(tour: Tour, row: str) -> None:
    tour(row)


@rows("load", "store", "execute", "read_into", "write_from")
def test_access(tour: Tour, row: str) -> None:
    tour(row)


@rows("pwrite", "pread", "close", "dup", "lseek", "unlink", "ftruncate", "drop_cache")
def test_file(tour: Tour, row: str) -> None:
    tour(row)


@rows("fork", "exit", "kill", "exec")
def test_process(tour: Tour, row: str) -> None:
    tour(row)
