"""The choices of other Unix systems, as their manual pages and sources describe them.

They are for systems that conform to POSIX: where a source describes a behaviour that POSIX does not permit, the
choices have the permitted one (docs/variants.md lists these).  No such system has run here.
"""

from __future__ import annotations

from errno import EAGAIN, EINVAL, ENOMEM

from .address_space import AddressSpace
from .constants import PROT_EXEC, PROT_READ, PROT_WRITE
from .files import LARGEST
from .linux_choices import LinuxChoices
from .refusal import Refusal, TargetSpace


class UnixChoices(LinuxChoices):
    """The choices that the systems of this module have in common, unlike Linux."""

    __slots__ = ()

    def applies_prefix(self, call: str) -> bool:
        """XSH mlock(): a call that fails changes no lock."""
        return not call.startswith(("mlock", "munlock"))

    def refuses_sync(self) -> bool:
        return False

    def marks_first_store(self) -> bool:
        """The times change when a page is written back, at the latest by msync."""
        return False

    def marks_at_msync(self) -> bool:
        return True

    def mtime_updated(self) -> bool:
        return False


class BSDChoices(UnixChoices):
    """The choices that FreeBSD and NetBSD have in common: FreeBSD's sys/vm/vm_mmap.c, NetBSD's sys/uvm/uvm_mmap.c."""

    __slots__ = ()

    def requires_aligned_address(self, call: str) -> bool:
        """Every call rounds the address down."""
        return False

    def accepts_unaligned_offset(self, inside: int) -> bool:
        """FreeBSD's mmap(2) does not restrict the alignment; NetBSD returns an address as many bytes in a page."""
        return True

    def requires_no_descriptor(self) -> bool:
        """mmap(2), EINVAL: MAP_ANON was specified, and fd was not -1 (FreeBSD: or offset was not 0)."""
        return True


class FreeBSDChoices(BSDChoices):
    """FreeBSD: mmap(2), sys/vm/vm_mmap.c, sys/vm/vm_fault.c."""

    __slots__ = ()

    def errno(self, reason: str, errno: int) -> int:
        """mmap(2), EINVAL: part of the range is outside the address space."""
        return EINVAL if reason == "fixed-range-outside" else errno

    def bus_code(self) -> str:
        """vm_fault.c: KERN_OUT_OF_BOUNDS is SIGBUS with BUS_OBJERR."""
        return "BUS_OBJERR"


class NetBSDChoices(BSDChoices):
    """NetBSD: mmap(2), sys/uvm/uvm_mmap.c."""

    __slots__ = ()

    def errno(self, reason: str, errno: int) -> int:
        """mmap(2), EINVAL: addr outside of the valid range of a process; sys_mlock: EAGAIN beyond RLIMIT_MEMLOCK."""
        return {"fixed-range-outside": EINVAL, "locked-limit": EAGAIN}.get(reason, errno)

    def place(self, space: AddressSpace, length: int, hint: int, below: int = 0) -> int | None:
        """Near the highest gap: without MAP_TRYFIXED the hint is where the search begins at most."""
        return super().place(space, length, 0, below)

    def may_execute(self, prot: int) -> bool:
        """mmap(2): on some platforms PROT_READ may imply PROT_EXEC."""
        return prot & (PROT_READ | PROT_EXEC) != 0

    def eof_before_protection(self) -> bool:
        return False


class MacOSChoices(UnixChoices):
    """macOS: mmap(2), XNU's bsd/kern/kern_mman.c and osfmk/vm/bsd_vm.c."""

    __slots__ = ()

    def copies_when_mapped(self) -> bool:
        """bsd_vm.c: the copy strategy of a file's pager is MEMORY_OBJECT_COPY_DELAY: as if mmap made a copy."""
        return True

    def shows_changes(self) -> bool:
        return False


class IllumosChoices(UnixChoices):
    """illumos: mmap(2), mlock(3C), msync(3C), usr/src/uts/common/os/grow.c, usr/src/uts/i86pc/os/trap.c."""

    __slots__ = ()

    def cleared_when_refused(self, refusal: Refusal, space: TargetSpace, start: int, end: int) -> bool:
        """choose_addr unmaps the range before the mapping is made, which may find no memory."""
        return refusal.errno in (EAGAIN, ENOMEM) and refusal.reason != "fixed-range-outside"

    def requires_aligned_address(self, call: str) -> bool:
        """mlock(3C), msync(3C), munmap(2): EINVAL where addr is not a multiple of the page size."""
        return True

    def requires_no_descriptor(self) -> bool:
        """mmap(2), EINVAL: MAP_ANON was specified, but the descriptor was not -1."""
        return True

    def is_invalid_offset(self, offset: int, size: int) -> bool:
        """smmap_common: ENXIO where the offset is negative."""
        return offset > LARGEST

    def errno(self, reason: str, errno: int) -> int:
        """mlock(3C), EAGAIN: because of a limit on locked memory."""
        return EAGAIN if reason == "locked-limit" else errno

    def may_load(self, prot: int, addr: int) -> bool:
        """mmap(2): on some platforms PROT_WRITE is PROT_READ|PROT_WRITE, and PROT_EXEC is PROT_READ|PROT_EXEC."""
        return prot & (PROT_READ | PROT_WRITE | PROT_EXEC) != 0

    def bus_code(self) -> str:
        """trap.c: FC_OBJERR is SIGBUS with BUS_OBJERR."""
        return "BUS_OBJERR"
