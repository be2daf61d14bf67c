"""madvise: advice about the use of pages.

Most advice is about speed and changes nothing that a program can see.  The rest does:

* MADV_DONTNEED drops the pages, as if they had never been touched: private memory is zero again, a private copy of a
  file's page is the file's page again, and shared pages lose nothing.
* MADV_FREE allows the system to drop private memory: until the next store a page may become zero at any time.
* MADV_REMOVE punches a hole into the file of a shared mapping.
* MADV_DONTFORK and MADV_WIPEONFORK decide what a child gets of the range.
* MADV_POPULATE_READ and MADV_POPULATE_WRITE touch each page; where that would fault, the call fails instead.

Linux goes from mapping to mapping.  A hole does not stop it, the call then fails with ENOMEM at its end; a mapping
for which the advice is wrong stops it, and what was done before stays done.
"""

from __future__ import annotations

from errno import EACCES, EAGAIN, EFAULT, EINVAL, ENOMEM, EPERM
from functools import partial
from typing import Final

from ..contract import (
    MADV_COLD,
    MADV_DOFORK,
    MADV_DONTFORK,
    MADV_DONTNEED,
    MADV_DONTNEED_LOCKED,
    MADV_FREE,
    MADV_KEEPONFORK,
    MADV_NORMAL,
    MADV_PAGEOUT,
    MADV_POPULATE_READ,
    MADV_POPULATE_WRITE,
    MADV_RANDOM,
    MADV_REMOVE,
    MADV_SEQUENTIAL,
    MADV_WILLNEED,
    MADV_WIPEONFORK,
    SEAL_FUTURE_WRITE,
)
from .constants import PROT_READ, PROT_WRITE
from .mapping import Mapping
from .refusal import Refusals
from .state import State

READS: Final = (MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL)
RECLAIMS: Final = (MADV_COLD, MADV_PAGEOUT)
"""Advice that memory is not needed soon: it may leave memory, with its content kept."""
HINTS: Final = (*READS, MADV_WILLNEED, *RECLAIMS)
DROPS: Final = (MADV_DONTNEED, MADV_DONTNEED_LOCKED, MADV_FREE)
AT_FORK: Final = (MADV_DONTFORK, MADV_DOFORK, MADV_WIPEONFORK, MADV_KEEPONFORK)
KEPT: Final = (*READS, *AT_FORK)
"""Advice that a mapping records: parts with different advice are mappings of their own."""
DISCARDS: Final = (*DROPS, MADV_REMOVE, MADV_DONTFORK, MADV_WIPEONFORK)
"""Advice that takes the content of memory away, from this process or a child."""
POPULATES: Final = (MADV_POPULATE_READ, MADV_POPULATE_WRITE)
ADVICE: Final = frozenset((*HINTS, *DROPS, *AT_FORK, *POPULATES, MADV_REMOVE))
"""All advice that is known."""


class Advice(State):
    """The call that gives advice about pages."""

    def madvise(self, addr: int, length: int, advice: int) -> None:
        addr &= self.mask
        size = self.round_up(length)
        end = addr + size

        # ERRORS of the arguments
        with self.errors("madvise") as refuse:
            if advice not in ADVICE:
                refuse(EINVAL, "madvise.errno.EINVAL.advice", "advice-unknown", "the advice is unknown")
            if addr % self.page:
                refuse(
                    EINVAL, "madvise.errno.EINVAL.address", "addr-unaligned", "addr is not a multiple of the page size"
                )
            wraps = end > self.mask or (length & self.mask and not size)
            if wraps and self.choices.wraps_around():
                refuse(EINVAL, "madvise.errno.EINVAL.range", "range-wraps", "the range wraps around")

        # EFFECT of populating, which finds the errors of the range as it goes
        if advice in POPULATES:
            with self.errors("madvise") as refuse:
                self.populate_range(refuse, addr, end, advice)
            return

        # ERRORS of the range: a mapping that cannot have the advice ends the work, a hole does not
        with self.errors("madvise") as refuse:
            stop = self.refuse_range(refuse, addr, end, advice)
            refuse.prefix = partial(self.advise, addr, stop, advice)

        # EFFECT
        self.advise(addr, end, advice)

    def refuse_range(self, refuse: Refusals, addr: int, end: int, advice: int) -> int:
        """Refuse the first mapping of a range that cannot have the advice, or a hole; return where Linux stops."""
        for mapping in self.space.over(addr, end):
            self.refuse_advice(refuse, mapping, advice)
            if refuse.gathered:
                return max(addr, mapping.start)
        cut = self.first_too_many(addr, end, lambda mapping: self.records(mapping, advice)) if advice in KEPT else None
        if cut is not None:
            refuse(
                EAGAIN, "madvise.errno.EAGAIN", "cut-mapping-limit", "a change of a part would make too many mappings"
            )
            return max(addr, cut.start)
        if self.space.hole(addr, end) is not None:
            refuse(ENOMEM, "madvise.errno.ENOMEM", "range-unmapped", "some of the range is not mapped")
        return end

    def advise(self, addr: int, end: int, advice: int) -> None:
        """Apply advice to what is mapped in [addr, end)."""
        for mapping in self.space.over(addr, end):
            start, stop = max(addr, mapping.start), min(end, mapping.end)
            if advice in KEPT:
                self.space.split(start)
                self.space.split(stop)
                self.record(self.space.mappings[start], advice)
            elif advice == MADV_REMOVE:
                assert mapping.inode is not None
                mapping.inode.punch(mapping.offset + start - mapping.start, stop - start, self.choices)
            elif advice == MADV_FREE:
                self.space.table.mark_lazy_free(start // self.page, stop // self.page)
            elif advice in DROPS:
                self.space.table.zap(start // self.page, stop // self.page)
        if advice in KEPT:
            self.space.merge_adjacent(addr, end)

    def refuse_advice(self, refuse: Refusals, mapping: Mapping, advice: int) -> None:
        """Refuse advice that a mapping cannot have."""
        if mapping.sealed and mapping.inode is None and not mapping.prot & PROT_WRITE and advice in DISCARDS:
            refuse(EPERM, "madvise.errno.EPERM", "memory-sealed", "the memory is sealed and not writable")
        if mapping.locked and advice in (MADV_DONTNEED, MADV_FREE, MADV_REMOVE, *RECLAIMS):
            refuse(EINVAL, "madvise.errno.EINVAL.locked", "memory-locked", "the memory is locked")
        if advice == MADV_FREE and (mapping.inode is not None or mapping.shared):
            refuse(
                EINVAL, "madvise.errno.EINVAL.free", "free-not-private", "only private anonymous memory can be freed"
            )
        if advice == MADV_WIPEONFORK and (mapping.description is not None or mapping.shared):
            refuse(
                EINVAL, "madvise.errno.EINVAL.wipe", "wipe-not-private", "only private anonymous memory can be wiped"
            )
        if advice == MADV_KEEPONFORK and mapping.droppable:
            refuse(
                EINVAL, "madvise.errno.EINVAL.droppable", "droppable-kept", "droppable memory is always wiped on fork"
            )
        if advice == MADV_REMOVE:
            if mapping.description is None:
                refuse(
                    EINVAL,
                    "madvise.errno.EINVAL.remove",
                    "no-file-to-punch",
                    "no file is mapped in which to punch a hole",
                )
            elif not mapping.shared or not mapping.max_prot & PROT_WRITE:
                refuse(
                    EACCES,
                    "madvise.errno.EACCES",
                    "punch-not-writable",
                    "the mapping is not a shared mapping that may be writable",
                )
            elif mapping.inode is not None and mapping.inode.append_only:
                refuse(EPERM, "madvise.remove.append-only", "append-only", "the file is append-only")
            elif mapping.inode is not None and mapping.inode.seals & SEAL_FUTURE_WRITE:
                refuse(EPERM, "memfd.seal.future-write", "punch-sealed", "the file is sealed against writing")

    def records(self, mapping: Mapping, advice: int) -> bool:
        """True if the advice is new to a mapping."""
        if advice in READS:
            return mapping.read_ahead != advice
        if advice in (MADV_DONTFORK, MADV_DOFORK):
            return mapping.dont_fork != (advice == MADV_DONTFORK)
        return mapping.wipe_on_fork != (advice == MADV_WIPEONFORK)

    def record(self, mapping: Mapping, advice: int) -> None:
        """Record how a mapping will be read, or what a child gets of it."""
        if advice in READS:
            mapping.read_ahead = advice
        elif advice in (MADV_DONTFORK, MADV_DOFORK):
            mapping.dont_fork = advice == MADV_DONTFORK
        else:
            mapping.wipe_on_fork = advice == MADV_WIPEONFORK

    def populate_range(self, refuse: Refusals, addr: int, end: int, advice: int) -> None:
        """Fault in the pages of a range, up to the first that is not available, which is refused."""
        stores = advice == MADV_POPULATE_WRITE
        right = PROT_WRITE if stores else PROT_READ
        at = addr
        for mapping in self.space.over(addr, end):
            if mapping.start > at:
                break
            if not mapping.prot & right:
                refuse(
                    EINVAL,
                    "madvise.errno.EINVAL.populate",
                    "populate-protection",
                    "the protection of a page does not allow the access",
                )
                return
            for number in range(at // self.page, min(end, mapping.end) // self.page):
                if self.space.access(mapping, number, stores) is None:
                    refuse(EFAULT, "madvise.errno.EFAULT", "populate-failed", "a page of the range cannot be populated")
                    return
            at = min(end, mapping.end)
        if at < end:
            refuse(ENOMEM, "madvise.errno.ENOMEM", "range-unmapped", "some of the range is not mapped")
