"""msync, mprotect, mlock, mincore and sysconf: calls that neither create nor remove mappings.

They work on the pages of a range: they write them to the disk, change their protection, keep them in memory, or report
on them.  Each has the order of `mapping_calls`: ERRORS, EFFECT, RESULT.

Linux finds some errors only as it works through a range, and what it has done before the first one stays done.  So
"ERRORS of the range" have a `prefix`: the effect on the pages before the first error, which is applied before the call
fails, if the Choices say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from errno import EACCES, EBUSY, EINVAL, ENOMEM, ENOTSUP, EPERM
from functools import partial

from ..contract import MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT, MLOCK_ONFAULT, SC_PAGESIZE, Unsupported
from .constants import MS_ASYNC, MS_INVALIDATE, MS_SYNC, PROT_ALL, PROT_GROWS, PROT_GROWSDOWN, PROT_SEM, PROT_WRITE
from .mapping import Mapping
from .refusal import Refusals
from .state import State

SYSCONF_NAMES = range(251)
"""The names that any sysconf knows: those of glibc 2.36, of which others know fewer."""


class PageCalls(State):
    """The calls that work on pages."""

    # ----------------------------------------------------------------------------------------------------------- msync

    def msync(self, addr: int, length: int, flags: int) -> None:
        addr, end = self.addressed("msync", addr, length)
        flags = int(flags)
        wraps = end > self.mask
        mappings = [] if wraps else self.space.over(addr, end)
        hole = wraps or self.space.hole(addr, end) is not None
        busy = next((n for n, mapping in enumerate(mappings) if flags & MS_INVALIDATE and mapping.locked), None)
        writes = flags & MS_SYNC or (flags & MS_ASYNC and self.choices.writes_when_asynchronous())

        # ERRORS of the arguments
        with self.errors("msync", is_continued=True) as refuse:
            if flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC):
                refuse(EINVAL, "msync.errno.EINVAL", "flags-unknown", "flags contain an unknown bit")
            if addr % self.page:
                refuse(
                    EINVAL, "msync.errno.EINVAL.address", "addr-unaligned", "addr is not a multiple of the page size"
                )
            if flags & MS_ASYNC and flags & MS_SYNC:
                refuse(EINVAL, "msync.errno.EINVAL", "async-and-sync", "MS_ASYNC and MS_SYNC exclude each other")
            if not flags & (MS_ASYNC | MS_SYNC) and self.choices.requires_sync_or_async():
                refuse(EINVAL, "msync.errno.EINVAL", "neither-async-nor-sync", "neither MS_ASYNC nor MS_SYNC is given")

        # ERRORS of the range: a locked page ends the work, a hole does not
        with self.errors("msync", refuse) as refuse:
            if busy is not None:
                refuse(EBUSY, "msync.flag.invalidate.busy", "page-locked", "a page of the range is locked")
            if hole:
                refuse(ENOMEM, "msync.errno.ENOMEM", "range-unmapped", "some of the range is not mapped")
            if writes:
                refuse.prefix = partial(self.write_back, mappings[:busy], addr, end)

        # EFFECT
        if writes:
            self.write_back(mappings, addr, end)
        if self.choices.marks_at_msync():
            for mapping in mappings:
                if mapping.inode is not None and mapping.inode.backdated and mapping.inode.perhaps_modified:
                    mapping.inode.backdated = False

    def write_back(self, mappings: Sequence[Mapping], addr: int, end: int) -> None:
        """Write the pages of [addr, end) in these mappings to the disk, for those that are shared and of a file."""
        for mapping in mappings:
            if mapping.shared and mapping.inode is not None:
                first = (mapping.offset + max(addr - mapping.start, 0)) // self.page
                stop = (mapping.offset + min(end, mapping.end) - mapping.start) // self.page
                mapping.inode.cache.write_back(first, stop, mapping.inode.size, self.choices)

    # --------------------------------------------------------------------------------------------------------- sysconf

    def sysconf(self, name: int) -> int:
        # ERRORS
        with self.errors("sysconf") as refuse:
            if name not in SYSCONF_NAMES:
                refuse(EINVAL, "paging.sysconf.invalid", "name-unknown", "the name is unknown")

        if name != SC_PAGESIZE:
            raise Unsupported("of sysconf's names the reference knows the page size only")

        # RESULT
        return self.page

    # -------------------------------------------------------------------------------------------------------- mprotect

    def mprotect(self, addr: int, length: int, prot: int) -> None:
        space = self.space
        addr, end = self.addressed("mprotect", addr, length)
        grows, prot = int(prot) & PROT_GROWS, int(prot) & ~PROT_GROWS

        # ERRORS of the arguments
        with self.errors("mprotect", is_continued=length != 0) as refuse:
            if grows == PROT_GROWS:
                refuse(
                    EINVAL,
                    "mprotect.errno.EINVAL.grows",
                    "grows-both-ways",
                    "PROT_GROWSDOWN and PROT_GROWSUP exclude each other",
                )
            if addr % self.page:
                refuse(EINVAL, "mprotect.errno.EINVAL", "addr-unaligned", "addr is not a multiple of the page size")
            if length:
                if end == addr:
                    refuse(ENOMEM, "mprotect.length-wraps", "length-rounds-to-zero", "the length rounds up to 0")
                elif end > self.mask:
                    refuse(ENOMEM, "mprotect.errno.ENOMEM", "range-wraps", "the range wraps around")
                if prot & ~(PROT_ALL | PROT_SEM):
                    refuse(
                        EINVAL,
                        "mprotect.errno.EINVAL.prot",
                        "prot-unknown",
                        "prot contains an unknown bit",
                    )
                if not self.choices.supports_protection(prot & PROT_ALL):
                    refuse(ENOTSUP, "mprotect.exec", "prot-unsupported", "pages cannot have this combination of rights")
        if not length:
            return

        # ERRORS of PROT_GROWSDOWN and PROT_GROWSUP, which extend the range to the end of the mapping
        first = next(iter(space.over(addr, end)), None)
        with self.errors("mprotect", refuse, is_continued=True) as refuse:
            if grows and first is not None:
                if grows == PROT_GROWSDOWN and not first.grows_down:
                    refuse(
                        EINVAL,
                        "mprotect.errno.EINVAL.grows-not",
                        "not-growsdown",
                        "the mapping does not grow downwards",
                    )
                elif grows != PROT_GROWSDOWN and first.start <= addr:
                    refuse(EINVAL, "mprotect.errno.EINVAL.grows-not", "not-growsup", "no mapping grows upwards")
        if grows == PROT_GROWSDOWN and first is not None:
            addr = first.start

        # ERRORS of the range
        with self.errors("mprotect", refuse) as refuse:
            self.refuse_protection(refuse, addr, end, prot)

        # EFFECT
        self.change_protection(addr, end, prot)

    def refuse_protection(self, refuse: Refusals, addr: int, end: int, prot: int) -> None:
        """Refuse a hole, a mapping that cannot have the protection, or a sealed one: the one at the lowest address.

        The pages before it are the prefix.
        """
        protection = prot & PROT_ALL
        mappings = self.space.over(addr, end)
        hole = self.space.hole(addr, end)
        denied = next((m for m in mappings if protection & ~m.max_prot), None)
        sealed = next((m for m in mappings if m.sealed), None)
        excess = self.first_past_data_limit(addr, end, protection)
        cut = self.first_too_many(addr, end, lambda mapping: mapping.prot != protection)
        stops = {mapping.start for mapping in (denied, sealed, excess, cut) if mapping is not None}

        for at in sorted(stops if hole is None else stops | {hole}):
            if at == hole:
                refuse(ENOMEM, "mprotect.errno.ENOMEM", "range-unmapped", "some of the range is not mapped")
            if denied is not None and at == denied.start:
                refuse(
                    EACCES,
                    "mprotect.errno.EACCES",
                    "max-protection",
                    "prot exceeds the maximum protection of a mapping",
                )
            if excess is not None and at == excess.start:
                refuse(ENOMEM, "mprotect.errno.ENOMEM.data", "data-limit", "the data limit (RLIMIT_DATA) is reached")
            if cut is not None and at == cut.start:
                refuse(
                    ENOMEM,
                    "mprotect.errno.ENOMEM",
                    "cut-mapping-limit",
                    "a change of a part would make too many mappings",
                )
            if sealed is not None and at == sealed.start:
                refuse(EPERM, "mprotect.errno.EPERM", "range-sealed", "something in the range is sealed")
        stop = min([end, *(max(at, addr) for at in stops), *([] if hole is None else [hole])])
        if stop > addr:
            refuse.prefix = partial(self.change_protection, addr, stop, prot)

    def first_past_data_limit(self, addr: int, end: int, protection: int) -> Mapping | None:
        """Return the first mapping that would become data, which may be written, beyond the limit of data."""
        more = 0
        for mapping in self.space.over(addr, end) if protection & PROT_WRITE else ():
            if not mapping.is_data and not mapping.shared and not mapping.grows_down:
                more += min(end, mapping.end) - max(addr, mapping.start)
                if self.exceeds_rlimit_data(more):
                    return mapping
        return None

    def change_protection(self, start: int, end: int, prot: int) -> None:
        """Give the mapped pages of [start, end) the protection `prot`, which may have PROT_SEM."""
        if self.machine.parameters.execute_only:
            self.space.set_execute_only(start, end, self.is_execute_only(prot))
        self.space.protect(start, end, prot & PROT_ALL)

    # ----------------------------------------------------------------------------------------------------------- mseal

    def mseal(self, addr: int, length: int, flags: int = 0) -> None:
        if self.bits != 64:
            raise Unsupported("mseal is for 64-bit systems")
        space = self.space
        addr &= self.mask
        size = self.round_up(length)
        end = addr + size

        # ERRORS
        with self.errors("mseal") as refuse:
            if flags:
                refuse(EINVAL, "mseal.errno.EINVAL", "flags-not-zero", "flags is not 0")
            if addr % self.page:
                refuse(EINVAL, "mseal.errno.EINVAL", "addr-unaligned", "addr is not a multiple of the page size")
            if end > self.mask or (length & self.mask and not size):
                refuse(EINVAL, "mseal.errno.EINVAL", "range-wraps", "the range wraps around")
            if space.hole(addr, end) is not None:
                refuse(ENOMEM, "mseal.errno.ENOMEM", "range-unmapped", "some of the range is not mapped")
            if self.first_too_many(addr, end, lambda mapping: not mapping.sealed) is not None:
                refuse(
                    ENOMEM, "mseal.errno.ENOMEM", "seal-mapping-limit", "sealing a part would make too many mappings"
                )

        # EFFECT
        for mapping in space.cut_out(addr, end):
            mapping.sealed = True
        space.merge_adjacent(addr, end)

    # ----------------------------------------------------------------------------------------------------------- mlock

    def mlock(self, addr: int, length: int) -> None:
        start, end = self.addressed("mlock", addr, length)

        # ERRORS of the arguments
        with self.errors("mlock", is_continued=True) as refuse:
            self.refuse_locking(refuse, start, end)

        # EFFECT, and ERRORS of the range
        with self.errors("mlock", refuse) as refuse:
            self.lock_range(refuse, start, end, on_fault=False)

    def mlock2(self, addr: int, length: int, flags: int) -> None:
        start, end = self.addressed("mlock", addr, length)

        # ERRORS of the arguments
        with self.errors("mlock2", is_continued=True) as refuse:
            if flags & ~MLOCK_ONFAULT:
                refuse(EINVAL, "mlock2.errno.EINVAL", "flags-unknown", "flags contain an unknown bit")
            self.refuse_locking(refuse, start, end)

        # EFFECT, and ERRORS of the range
        with self.errors("mlock2", refuse) as refuse:
            self.lock_range(refuse, start, end, on_fault=bool(flags))

    def refuse_locking(self, refuse: Refusals, start: int, end: int) -> None:
        """Refuse to lock a range, whatever is mapped there."""
        already = sum(min(end, m.end) - max(start, m.start) for m in self.space.over(start, end) if m.locked)

        if self.memlock_is_zero():
            refuse(EPERM, "mlock.errno.EPERM", "lock-not-permitted", "the process may lock no memory")
        if self.exceeds_memlock(end - start - already):
            refuse(
                ENOMEM,
                "mlock.errno.ENOMEM",
                "locked-limit",
                "too much memory would be locked",
            )
        if end > self.mask and self.choices.wraps_around():
            refuse(EINVAL, "mlock.errno.EINVAL", "range-wraps", "the range wraps around")
        if start % self.page:
            refuse(
                EINVAL,
                "mlock.errno.EINVAL",
                "locked-addr-unaligned",
                "the system requires that addr is a multiple of the page size",
            )

    def lock_range(self, refuse: Refusals, start: int, end: int, on_fault: bool) -> None:
        """Lock a range and populate it; refuse a hole, or a page that is not available (it is locked nevertheless)."""
        hole = self.space.hole(start, end)
        if self.cannot_lock_part(refuse, start, end, True, on_fault):
            return
        if hole is not None:
            refuse(ENOMEM, "mlock.errno.ENOMEM", "range-unmapped", "some of the range is not mapped")
            if hole > start:
                refuse.prefix = partial(self.space.lock, start, hole, True, on_fault)
        if refuse.count:
            return
        self.space.lock(start, end, True, on_fault)
        is_available = self.space.populate(start, end)
        if not self.choices.can_lock(is_available, self.space.was_resized(start, end)):
            refuse(ENOMEM, "mlock.errno.ENOMEM", "page-not-available", "a page of the range is not available")

    def cannot_lock_part(self, refuse: Refusals, start: int, end: int, locked: bool, on_fault: bool = False) -> bool:
        """Refuse to lock or unlock a part of a mapping where that would make too many mappings; return True then."""
        cut = self.first_too_many(start, end, lambda mapping: mapping.locked != locked)
        if cut is None:
            return False
        refuse(
            ENOMEM, "mlock.errno.ENOMEM.count", "cut-mapping-limit", "a change of a part would make too many mappings"
        )
        if cut.start > start:
            refuse.prefix = partial(self.space.lock, start, cut.start, locked, on_fault)
        return True

    def munlock(self, addr: int, length: int) -> None:
        start, end = self.addressed("munlock", addr, length)
        hole = self.space.hole(start, end)

        # ERRORS of the arguments
        with self.errors("munlock", is_continued=True) as refuse:
            if end > self.mask and self.choices.wraps_around():
                refuse(EINVAL, "munlock.errno.EINVAL", "range-wraps", "the range wraps around")
            if start % self.page:
                refuse(
                    EINVAL,
                    "munlock.errno.EINVAL",
                    "locked-addr-unaligned",
                    "the system requires that addr is a multiple of the page size",
                )

        # ERRORS of the range
        with self.errors("munlock", refuse) as refuse:
            if not self.cannot_lock_part(refuse, start, end, False) and hole is not None:
                refuse(ENOMEM, "munlock.errno.ENOMEM", "range-unmapped", "some of the range is not mapped")
                if hole > start:
                    refuse.prefix = partial(self.space.lock, start, hole, False)

        # EFFECT
        self.space.lock(start, end, False)

    def mlockall(self, flags: int) -> None:
        # ERRORS
        with self.errors("mlockall") as refuse:
            if not flags & (MCL_CURRENT | MCL_FUTURE) or flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT):
                refuse(EINVAL, "mlock.errno.EINVAL", "mlockall-flags", "flags are not MCL_CURRENT, MCL_FUTURE or both")
            if self.memlock_is_zero():
                refuse(EPERM, "mlock.errno.EPERM", "lock-not-permitted", "the process may lock no memory")
            if flags & MCL_CURRENT and self.exceeds_memlock(self.space.size - self.space.locked):
                refuse(
                    ENOMEM,
                    "mlock.errno.ENOMEM",
                    "locked-limit",
                    "too much memory would be locked",
                )

        # EFFECT
        on_fault = flags & MCL_ONFAULT != 0
        self.locks_future = flags & MCL_FUTURE != 0
        self.locks_on_fault = self.locks_future and on_fault
        if flags & MCL_CURRENT:
            self.space.lock(0, self.task_size, True, on_fault)
            # Linux goes on with the next mapping where a page is not available.
            for mapping in self.space.mappings.values():
                self.space.populate(mapping.start, mapping.end)

    def munlockall(self) -> None:
        # EFFECT
        self.locks_future = self.locks_on_fault = False
        self.space.lock(0, self.task_size, False)

    # --------------------------------------------------------------------------------------------------------- mincore

    def mincore(self, addr: int, length: int) -> list[bool]:
        space = self.space
        page = self.page
        addr &= self.mask
        end = addr + self.round_up(length)

        # ERRORS
        with self.errors("mincore") as refuse:
            if addr % page:
                refuse(EINVAL, "mincore.errno.EINVAL", "addr-unaligned", "addr is not a multiple of the page size")
            if (length & self.mask) > self.task_size - addr or space.hole(addr, end) is not None:
                refuse(ENOMEM, "mincore.errno.ENOMEM", "range-unmapped", "some of the range is not mapped")

        # RESULT
        resident: list[bool] = []
        for mapping in space.over(addr, end):
            cached = None if mapping.inode is None else mapping.inode.cache.pages
            shift = (mapping.offset - mapping.start) // page
            for number in range(max(addr, mapping.start) // page, min(end, mapping.end) // page):
                touched = number in space.table.entries
                # Of files nothing is promised; private memory is there when it has been touched, and stays if locked.
                sure = cached is None and (mapping.locked if touched else not mapping.forked)
                there = touched or (cached is not None and number + shift in cached)
                resident.append(there if sure else self.choices.is_resident(len(resident), there))
        return resident
