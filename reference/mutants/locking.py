"""Mutants of mlock, mlock2, mlockall, munlock and munlockall."""

from __future__ import annotations

from errno import EINVAL, ENOMEM
from typing import Any

from ...contract import MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT, MLOCK_ONFAULT
from ..address_space import AddressSpace
from ..files import Inode
from ..linux_choices import LinuxChoices
from ..mutant import Original, never, refuses, wrong
from ..page_calls import PageCalls
from ..process import ReferenceProcess
from ..refusal import Refusals
from .calls import mappings_of

REFUSALS = (
    never("mlock2-takes-unknown-flags", "mlock2.errno.EINVAL"),
    never("mlock-needs-no-privilege", "mlock.errno.EPERM"),
    never("mlockall-takes-any-flags", "mlock.errno.EINVAL", "mlockall.errno.EINVAL.onfault", reason="mlockall-flags"),
    never(
        "mlock-ignores-holes",
        "mlock.errno.ENOMEM",
        reason="range-unmapped",
        bug="StarryOS #918 (the same of mprotect)",
    ),
    never("mlock-knows-no-limit", "mlock.errno.ENOMEM", reason="locked-limit"),
    never("mlock-knows-no-limit-of-mappings", "mlock.errno.ENOMEM.count", call="mlock"),
    never("mlock2-knows-no-limit-of-mappings", "mlock.errno.ENOMEM.count", call="mlock2"),
    never("munlock-knows-no-limit-of-mappings", "mlock.errno.ENOMEM.count", call="munlock"),
    never("munlock-ignores-holes", "munlock.errno.ENOMEM"),
    never("munlock-takes-a-range-that-wraps", "munlock.errno.EINVAL"),
    never("mlock-needs-no-pages", "mlock.errno.ENOMEM.fault", named="mlock.errno.ENOMEM", reason="page-not-available"),
    refuses(
        "mlock-refuses-an-unaligned-address",
        ReferenceProcess.mlock,
        EINVAL,
        lambda self, addr, length: addr % self.page != 0,
        "mlock.rounding",
        text="the address is not a multiple of the page (which POSIX allows)",
    ),
    refuses(
        "mlock-of-no-length-is-refused",
        ReferenceProcess.mlock,
        EINVAL,
        lambda self, addr, length: length == 0,
        "mlock.length-zero",
        text="the length is 0",
    ),
    refuses(
        "munlock-of-what-is-not-locked-is-refused",
        ReferenceProcess.munlock,
        EINVAL,
        lambda self, addr, length: not any(m.locked for m in self.space.over(addr, addr + length)),
        "mlock.nesting",
        text="nothing of the range is locked",
    ),
)


# --------------------------------------------------------------------------------------------------------------- mlock


@wrong(AddressSpace.populate, "mlock.resident")
def locking_brings_nothing_in(populate: Original, self: AddressSpace, start: int, end: int) -> bool:
    """Locked pages become resident on the first access only."""
    return True


@wrong(PageCalls.pages_of, "mlock.rounding", "munlock.range")
def a_lock_is_of_full_pages(pages_of: Original, self: ReferenceProcess, addr: int, length: int) -> tuple[int, int]:
    """Pages that the range has only a part of are left out."""
    start, end = pages_of(self, addr, length)
    if addr % self.page:
        start += self.page
    if (addr + length) % self.page:
        end -= self.page
    return start, max(start, end)


@wrong(AddressSpace.lock, "mlock.nesting")
def locks_nest(lock: Original, self: AddressSpace, start: int, end: int, locked: bool, on_fault: bool = False) -> None:
    """A page stays locked until it has been unlocked as often as it was locked."""
    counts: dict[int, int] = self.__dict__.setdefault("counts", {})
    if end - start > 64 * self.page:
        lock(self, start, end, locked, on_fault)
        return
    for at in range(start, end, self.page):
        counts[at] = counts.get(at, 0) + (1 if locked else -1)
        if locked or counts[at] <= 0:
            lock(self, at, at + self.page, locked, on_fault)


@wrong(PageCalls.refuse_locking, "mlock.limit.once")
def what_is_locked_is_counted_again(
    refuse_locking: Original, self: ReferenceProcess, refuse: Refusals, start: int, end: int
) -> None:
    """Locked pages in the range are counted as if they were not."""
    if self.exceeds_memlock(end - start):
        refuse(ENOMEM, "mlock.errno.ENOMEM", "locked-limit", "too much memory would be locked")
    refuse_locking(self, refuse, start, end)


@wrong(LinuxChoices.copies_when_populated, "mlock.private.copies")
def locking_copies_nothing(copies_when_populated: Original, self: LinuxChoices) -> bool:
    """A locked private page still follows the file."""
    return False


@wrong(AddressSpace.fork, "mlock.fork")
def a_child_inherits_locks(fork: Original, self: AddressSpace) -> AddressSpace:
    """The child's memory is locked where the parent's is."""
    child: AddressSpace = fork(self)
    for mapping in self.mappings.values():
        if mapping.locked and mapping.start in child.mappings:
            child.mappings[mapping.start].locked = True
            child.locked += mapping.end - mapping.start
    return child


@wrong(AddressSpace.fork, "mlock.fork")
def a_fork_takes_the_parents_locks(fork: Original, self: AddressSpace) -> AddressSpace:
    """After a fork nothing of the parent's is locked."""
    child: AddressSpace = fork(self)
    for mapping in self.mappings.values():
        mapping.locked = False
    self.locked = 0
    return child


@wrong(ReferenceProcess.exec, "mlock.exec")
def what_was_locked_before_exec_is_counted(exec: Original, self: ReferenceProcess) -> None:
    """After exec, the amount of locked memory is that of the old program."""
    locked = self.space.locked
    exec(self)
    self.space.locked += locked


@wrong(Inode.drop_cache, "mlock.stays")
def locked_pages_leave_memory(evict: Original, self: Inode, choices: object) -> None:
    """The file's pages go, locked or not."""
    locked = [mapping for mapping in mappings_of(self) if mapping.locked]
    for mapping in locked:
        mapping.locked = False
    evict(self, choices)
    for mapping in locked:
        mapping.locked = True


@wrong(Inode.cut, "mlock.truncate")
def a_lock_keeps_what_the_file_has_lost(cut: Original, self: Inode, size: int, choices: Any = None) -> None:
    """Locked pages stay in the page table."""
    kept = [
        (mapping.space.table, number, mapping.space.table.entries[number])
        for mapping in mappings_of(self)
        if mapping.locked
        for number in mapping.space.table.within(
            mapping.start // self.cache.memory.page, mapping.end // self.cache.memory.page
        )
    ]
    cut(self, size, choices)
    for table, number, page in kept:
        table.entries[number] = page


@wrong(PageCalls.lock_range, "mlock.errno.ENOMEM.prefix")
def over_a_hole_nothing_is_locked(
    lock: Original, self: ReferenceProcess, refuse: Refusals, start: int, end: int, on_fault: bool
) -> None:
    """A range with a hole is refused before anything is done."""
    if self.space.hole(start, end) is not None:
        refuse(ENOMEM, "mlock.errno.ENOMEM", "range-unmapped", "some of the range is not mapped")
    else:
        lock(self, refuse, start, end, on_fault=on_fault)


@wrong(PageCalls.lock_range, "mlock.errno.ENOMEM.prefix")
def mlock_goes_on_after_a_hole(
    lock: Original, self: ReferenceProcess, refuse: Refusals, start: int, end: int, on_fault: bool
) -> None:
    """The mappings after a hole are locked as well."""
    lock(self, refuse, start, end, on_fault=on_fault)
    self.space.lock(start, end, True, on_fault)


@wrong(PageCalls.lock_range, "mlock.errno.ENOMEM.fault")
def what_cannot_be_had_is_not_locked(
    lock: Original, self: ReferenceProcess, refuse: Refusals, start: int, end: int, on_fault: bool
) -> None:
    """A refusal takes the locks back."""
    lock(self, refuse, start, end, on_fault=on_fault)
    if refuse.gathered and self.space.hole(start, end) is None:
        self.space.lock(start, end, False)


@wrong(ReferenceProcess.munlock, "mlock.fork")
def locks_are_the_familys(munlock: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """An unlock by one process unlocks the range in every other process."""
    munlock(self, addr, length)
    for process in self.machine.processes:
        process.space.lock(*self.pages_of(addr, length), False)


@wrong(PageCalls.pages_of, "mlock.errno.EINVAL", "munlock.errno.EINVAL", bug="phoenix-rtos #1759 (the same of munmap)")
def a_range_that_wraps_is_empty(pages_of: Original, self: ReferenceProcess, addr: int, length: int) -> tuple[int, int]:
    """The end of the range wraps around, and the call then succeeds without an effect."""
    start, end = pages_of(self, addr, length)
    return start, end & self.mask


# ------------------------------------------------------------------------------------------------------------- munlock


@wrong(ReferenceProcess.munlock, "munlock.range", bug="SerenityOS #965 (the same of mprotect)")
def the_whole_mapping_is_unlocked(munlock: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """The neighbours in the same mapping lose their locks as well."""
    munlock(self, addr, length)
    for mapping in self.space.over(addr - self.page, addr + length + self.page):
        self.space.lock(mapping.start, mapping.end, False)


@wrong(AddressSpace.lock, "munlock.limit")
def what_is_unlocked_is_counted(
    lock: Original, self: AddressSpace, start: int, end: int, locked: bool, on_fault: bool = False
) -> None:
    """Unlocking gives nothing back to the limit."""
    before = self.locked
    lock(self, start, end, locked, on_fault)
    if not locked:
        self.locked = before


@wrong(ReferenceProcess.munlock, "munlock.content")
def unlocked_pages_are_dropped(munlock: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """Unlocked pages lose their content."""
    munlock(self, addr, length)
    start, end = self.pages_of(addr, length)
    self.space.table.zap(start // self.page, end // self.page)


@wrong(ReferenceProcess.munlock, "munlock.errno.ENOMEM.prefix")
def over_a_hole_nothing_is_unlocked(munlock: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """A range with a hole is refused before anything is done."""
    start, end = self.pages_of(addr, length)
    if end <= self.mask and self.space.hole(start, end) is not None:
        raise OSError(ENOMEM, "the mutant does nothing")
    munlock(self, addr, length)


@wrong(ReferenceProcess.munlock, "munlock.errno.ENOMEM.prefix")
def munlock_goes_on_after_a_hole(munlock: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """The mappings after a hole are unlocked as well."""
    start, end = self.pages_of(addr, length)
    self.space.lock(start, min(end, self.task_size), False)
    munlock(self, addr, length)


# ------------------------------------------------------------------------------------------------------------ mlockall


@wrong(ReferenceProcess.mlockall, "mlockall.current")
def what_is_mapped_is_not_locked(mlockall: Original, self: ReferenceProcess, flags: int) -> None:
    """MCL_CURRENT does nothing."""
    mlockall(self, flags)
    if flags & MCL_CURRENT:
        self.space.lock(0, self.task_size, False)


@wrong(ReferenceProcess.mlockall, "mlockall.current")
def later_mappings_are_locked_as_well(mlockall: Original, self: ReferenceProcess, flags: int) -> None:
    """MCL_CURRENT applies to later mappings as well."""
    mlockall(self, flags)
    self.locks_future = True


@wrong(ReferenceProcess.mlockall, "mlockall.future")
def later_mappings_are_not_locked(mlockall: Original, self: ReferenceProcess, flags: int) -> None:
    """MCL_FUTURE has no effect."""
    mlockall(self, flags)
    self.locks_future = False


@wrong(ReferenceProcess.mlockall, "mlockall.future")
def what_is_there_is_locked_as_well(mlockall: Original, self: ReferenceProcess, flags: int) -> None:
    """MCL_FUTURE is for what is mapped, too."""
    mlockall(self, flags | MCL_CURRENT if flags & MCL_FUTURE else flags)


@wrong(ReferenceProcess.mlockall, "mlockall.future.replaced")
def the_lock_of_later_mappings_is_permanent(mlockall: Original, self: ReferenceProcess, flags: int) -> None:
    """A later mlockall without MCL_FUTURE does not revoke it."""
    before = self.locks_future
    mlockall(self, flags)
    self.locks_future = self.locks_future or before


@wrong(ReferenceProcess.fork, "mlockall.future.fork")
def a_child_inherits_the_lock_of_later_mappings(fork: Original, self: ReferenceProcess) -> ReferenceProcess:
    """A child's new mappings are locked."""
    child: ReferenceProcess = fork(self)
    child.locks_future = self.locks_future
    return child


@wrong(ReferenceProcess.exec, "mlockall.future.exec")
def exec_keeps_the_lock_of_later_mappings(exec: Original, self: ReferenceProcess) -> None:
    """New mappings are locked after exec."""
    before = self.locks_future
    exec(self)
    self.locks_future = before


@wrong(ReferenceProcess.munlockall, "munlockall.current")
def munlockall_affects_later_mappings_only(munlockall: Original, self: ReferenceProcess) -> None:
    """Locked pages stay locked."""
    self.locks_future = self.locks_on_fault = False


@wrong(ReferenceProcess.munlockall, "mlock2.onfault")
def munlockall_keeps_locks_on_fault(munlockall: Original, self: ReferenceProcess) -> None:
    """Pages that are locked on the first access stay locked."""
    waiting = [(m.start, m.end) for m in self.space.mappings.values() if m.locked and m.lock_on_fault]
    munlockall(self)
    for start, end in waiting:
        self.space.lock(start, end, True, True)


@wrong(ReferenceProcess.munlockall, "munlockall.future")
def munlockall_affects_current_mappings_only(munlockall: Original, self: ReferenceProcess) -> None:
    """Later mappings are still locked."""
    before = self.locks_future, self.locks_on_fault
    munlockall(self)
    self.locks_future, self.locks_on_fault = before


# --------------------------------------------------------------------------------------------- when it is first touched


@wrong(ReferenceProcess.mlock2, "mlock2.onfault")
def on_first_touch_is_at_once(mlock2: Original, self: ReferenceProcess, addr: int, length: int, flags: int) -> None:
    """MLOCK_ONFAULT does nothing."""
    mlock2(self, addr, length, flags & ~MLOCK_ONFAULT)


@wrong(ReferenceProcess.mlock2, "mlock2.onfault")
def on_first_touch_is_never(mlock2: Original, self: ReferenceProcess, addr: int, length: int, flags: int) -> None:
    """With MLOCK_ONFAULT nothing is locked."""
    if not flags & MLOCK_ONFAULT:
        mlock2(self, addr, length, flags)


@wrong(ReferenceProcess.mlock2, "mlock2.no-flags")
def mlock2_always_waits(mlock2: Original, self: ReferenceProcess, addr: int, length: int, flags: int) -> None:
    """mlock2 is always MLOCK_ONFAULT."""
    mlock2(self, addr, length, flags | MLOCK_ONFAULT)


@wrong(ReferenceProcess.mlockall, "mlockall.onfault")
def everything_on_first_touch_is_at_once(mlockall: Original, self: ReferenceProcess, flags: int) -> None:
    """MCL_ONFAULT does nothing."""
    mlockall(self, flags & ~MCL_ONFAULT if flags != MCL_ONFAULT else flags)


@wrong(ReferenceProcess.mlockall, "mlockall.errno.EINVAL.onfault")
def mlockall_may_say_only_when(mlockall: Original, self: ReferenceProcess, flags: int) -> None:
    """MCL_ONFAULT alone is no error."""
    if flags != MCL_ONFAULT:
        mlockall(self, flags)
