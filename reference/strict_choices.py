"""The choices of a system that is right by POSIX.1-2024 and differs from Linux wherever POSIX permits it.

A program, or a case, that depends on a habit of Linux fails here.  Each method states what permits its answer; XSH and
XBD are the volumes of POSIX.1-2024 (System Interfaces, Base Definitions).
"""

from __future__ import annotations

from collections.abc import Sequence
from errno import EAGAIN, EBADF, EINVAL, EMFILE, ENOTSUP
from typing import Final

from .address_space import AddressSpace
from .constants import PROT_EXEC, PROT_READ, PROT_WRITE
from .linux_choices import LinuxChoices
from .mapping import Mapping
from .refusal import Refusal, TargetSpace

KEEPS_RANGE: Final = (EBADF, EINVAL, ENOTSUP)
"""The errors by which a refused MAP_FIXED has unmapped nothing (XSH mmap(), RETURN VALUE)."""


class StrictChoices(LinuxChoices):
    """The choices that POSIX permits and Linux does not make."""

    __slots__ = ()

    # ---- errors

    def refusal(self, call: str, refusals: Sequence[Refusal]) -> Refusal:
        """The last: of several errors any one may be returned (XSH 2.3)."""
        return refusals[-1]

    def cleared_when_refused(self, refusal: Refusal, space: TargetSpace, start: int, end: int) -> bool:
        """Whatever the error, but for three, mappings of the range may have been unmapped (XSH mmap())."""
        return refusal.errno not in KEEPS_RANGE

    def finds_arguments_first(self) -> bool:
        return False

    def applies_prefix(self, call: str) -> bool:
        """A refused mprotect may have changed a part of the range; mlock must not have locked one (XSH mlock())."""
        return False

    def errno(self, reason: str, errno: int) -> int:
        """XSH mmap(): EMFILE where the number of mapped regions would exceed a limit."""
        return EMFILE if reason in ("mapping-limit", "split-mapping-limit") else errno

    def outside_errno(self) -> int:
        """XSH mmap(): EINVAL where the implementation considers addr invalid."""
        return EINVAL

    def locked_limit_errno(self) -> int:
        """XSH mlock(): EAGAIN where some of the memory could not be locked."""
        return EAGAIN

    def accepts_unaligned_offset(self, inside: int) -> bool:
        """XSH mmap(): EINVAL is an error that may be returned, and need not."""
        return True

    def requires_no_descriptor(self) -> bool:
        """XSH mmap(): with MAP_ANONYMOUS the arguments should be -1 and 0."""
        return True

    def is_invalid_offset(self, offset: int, size: int) -> bool:
        """XSH mmap(): ENXIO where addresses are invalid for the object."""
        return offset > 0

    def supports_protection(self, prot: int) -> bool:
        """XSH mmap(): only combinations of PROT_READ and PROT_WRITE must be supported; others may be ENOTSUP."""
        return not (prot & PROT_EXEC and prot & PROT_WRITE)

    def requires_aligned_address(self, call: str) -> bool:
        """XSH mlock(), mprotect(), msync(), munmap(): the implementation may require it."""
        return not super().requires_aligned_address(call)

    def requires_sync_or_async(self) -> bool:
        """XSH msync(): one of them shall be specified."""
        return True

    # ---- addresses

    def place(self, space: AddressSpace, length: int, hint: int, below: int = 0) -> int | None:
        """In the lowest gap; how the hint is used is the implementation's own (XSH mmap())."""
        return space.gaps.lowest(length, space.mmap_min_addr, below or space.task_size)

    def merges(self, left: Mapping, right: Mapping) -> bool:
        return False

    # ---- protection

    def may_load(self, prot: int, addr: int) -> bool:
        """PROT_WRITE alone allows no loads."""
        return prot & PROT_READ != 0

    def may_execute(self, prot: int) -> bool:
        """Other accesses than those that were asked for may be permitted (XSH mmap())."""
        return prot & (PROT_READ | PROT_EXEC) != 0

    def eof_before_protection(self) -> bool:
        return False

    def bus_code(self) -> str:
        """XBD <signal.h>: BUS_OBJERR is an error of the object."""
        return "BUS_OBJERR"

    def fault_address(self, addr: int, page: int) -> int:
        """The start of the page: si_addr may be inaccurate (XBD <signal.h>)."""
        return addr - addr % page

    # ---- contents

    def copies_when_mapped(self) -> bool:
        """It is unspecified whether later changes of the file are seen (XSH mmap(), MAP_PRIVATE)."""
        return True

    def shows_changes(self) -> bool:
        return False

    def copies_when_populated(self) -> bool:
        return False

    def shows_added_pages(self) -> bool:
        """References to added portions of a file are unspecified (XSH mmap())."""
        return False

    def removes_lost_pages(self) -> bool:
        """References to removed portions of a file are unspecified (XSH mmap())."""
        return False

    def slack_survives_write_back(self) -> bool:
        return True

    def limits_files(self) -> bool:
        return False

    def mtime_updated(self) -> bool:
        return False

    def marks_first_store(self) -> bool:
        """The times are marked at some point up to the next msync (XSH mmap())."""
        return False

    def marks_at_msync(self) -> bool:
        return True

    def writes_when_asynchronous(self) -> bool:
        """Nothing forbids to write immediately."""
        return True

    def survives(self, name: str, block: int) -> bool | None:
        """Nothing forbids that unsynced pages have been written back before a crash: here every other one."""
        return block % 2 == 0

    def evicts(self) -> bool:
        return False

    def copied(self, length: int) -> int:
        """As few as allowed."""
        return (length + 1) // 2

    def transferred(self, call: str, possible: int, wanted: int) -> int:
        """All or nothing: what a call moves from or to a buffer of which a part is inaccessible is undefined."""
        return possible if possible == wanted else 0
