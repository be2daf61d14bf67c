"""Mutants of madvise."""

from __future__ import annotations

from collections.abc import Iterator
from errno import EACCES, EINVAL, ENOMEM
from typing import Any

from ...contract import (
    MADV_COLD,
    MADV_DOFORK,
    MADV_DONTFORK,
    MADV_DONTNEED,
    MADV_DONTNEED_LOCKED,
    MADV_KEEPONFORK,
    MADV_NORMAL,
    MADV_PAGEOUT,
    MADV_POPULATE_READ,
    MADV_POPULATE_WRITE,
    MADV_REMOVE,
    MADV_WIPEONFORK,
)
from ..address_space import AddressSpace
from ..constants import PROT_READ, PROT_WRITE
from ..files import Inode
from ..madvise import HINTS, RECLAIMS, Advice
from ..mapping import Mapping
from ..mutant import Mutant, Original, never, other, refuses, wrong
from ..page_table import PageTable
from ..process import ReferenceProcess
from .calls import mappings_of

REFUSALS = (
    never("madvise-takes-unknown-advice", "madvise.errno.EINVAL.advice"),
    never("madvise-knows-no-limit-of-mappings", "madvise.errno.EAGAIN"),
    other("madvise-says-ENOMEM-at-the-limit-of-mappings", ENOMEM, "madvise.errno.EAGAIN"),
    never("madvise-takes-an-unaligned-address", "madvise.errno.EINVAL.address"),
    never("madvise-takes-a-range-that-wraps", "madvise.errno.EINVAL.range"),
    never("madvise-drops-locked-memory", "madvise.errno.EINVAL.locked"),
    never("madvise-frees-shared-memory", "madvise.errno.EINVAL.free"),
    never("madvise-wipes-shared-memory", "madvise.errno.EINVAL.wipe"),
    never("madvise-makes-holes-in-what-only-grows", "madvise.remove.append-only"),
    never("madvise-keeps-droppable-memory", "madvise.errno.EINVAL.droppable"),
    other("madvise-hole-in-no-file-is-EACCES", EACCES, "madvise.errno.EINVAL.remove"),
    never("madvise-populates-without-the-right", "madvise.errno.EINVAL.populate"),
    never("madvise-makes-holes-through-any-mapping", "madvise.errno.EACCES"),
    never("madvise-populates-past-the-end", "madvise.errno.EFAULT"),
    other("madvise-populates-past-the-end-with-ENOMEM", ENOMEM, "madvise.errno.EFAULT"),
    never("madvise-ignores-holes", "madvise.errno.ENOMEM"),
    other("madvise-hole-is-EINVAL", EINVAL, "madvise.errno.ENOMEM"),
    refuses(
        "madvise-knows-no-dontneed-locked",
        ReferenceProcess.madvise,
        EINVAL,
        lambda self, addr, length, advice: advice == MADV_DONTNEED_LOCKED,
        "madvise.dontneed-locked",
        text="MADV_DONTNEED_LOCKED is not known",
    ),
    refuses(
        "madvise-of-no-length-is-refused",
        ReferenceProcess.madvise,
        EINVAL,
        lambda self, addr, length, advice: length == 0,
        "madvise.length-zero",
        text="the length is 0",
    ),
)


@wrong(ReferenceProcess.madvise, "madvise.errno.EINVAL.advice", "madvise.errno.EINVAL.address")
def madvise_of_no_length_looks_at_nothing(
    madvise: Original, self: ReferenceProcess, addr: int, length: int, advice: int
) -> None:
    """With a length of 0 nothing is checked."""
    if length:
        madvise(self, addr, length, advice)


@wrong(ReferenceProcess.madvise, "madvise.dontneed.anonymous", bug="Asterinas 033c240d8")
def dontneed_does_nothing(madvise: Original, self: ReferenceProcess, addr: int, length: int, advice: int) -> None:
    """MADV_DONTNEED has no effect."""
    madvise(self, addr, length, MADV_NORMAL if advice == MADV_DONTNEED else advice)


def dropped_parts(self: ReferenceProcess, addr: int, length: int, advice: int) -> Iterator[tuple[Mapping, int, int]]:
    """Yield the parts of mappings that MADV_DONTNEED applies to, each with its first page number and its end."""
    if advice == MADV_DONTNEED:
        end = addr + self.round_up(length)
        for mapping in self.space.over(addr, end):
            yield mapping, max(addr, mapping.start) // self.page, min(end, mapping.end) // self.page


@wrong(ReferenceProcess.madvise, "madvise.dontneed.private-file")
def dontneed_keeps_private_copies(
    madvise: Original, self: ReferenceProcess, addr: int, length: int, advice: int
) -> None:
    """Private copies of a file's pages are kept, the other pages are dropped."""
    entries = self.space.table.entries
    copies = {
        number: entries[number]
        for mapping, first, stop in dropped_parts(self, addr, length, advice)
        for number in self.space.table.within(first, stop)
        if mapping.inode is not None and entries[number].refcount
    }
    madvise(self, addr, length, advice)
    for number, page in copies.items():
        entries[number] = page
        page.refcount += 1


@wrong(ReferenceProcess.madvise, "madvise.dontneed.shared", bug="qiling (reading)")
def dontneed_zeroes_shared_memory(
    madvise: Original, self: ReferenceProcess, addr: int, length: int, advice: int
) -> None:
    """Shared memory becomes zero as well."""
    for mapping, first, stop in dropped_parts(self, addr, length, advice):
        for number in self.space.table.within(first, stop) if mapping.shared else ():
            self.space.table.entries[number].wipe(0)
    madvise(self, addr, length, advice)


@wrong(ReferenceProcess.madvise, "madvise.dontneed.apart")
def dontneed_is_for_every_process(
    madvise: Original, self: ReferenceProcess, addr: int, length: int, advice: int
) -> None:
    """The pages are dropped in every process that has a mapping there."""
    madvise(self, addr, length, advice)
    for process in self.machine.processes:
        for _, first, stop in dropped_parts(self, addr, length, advice):
            process.space.table.zap(first, stop)


@wrong(ReferenceProcess.madvise, "madvise.dontneed.rights")
def dontneed_needs_the_right_to_store(
    madvise: Original, self: ReferenceProcess, addr: int, length: int, advice: int
) -> None:
    """Pages of mappings without PROT_WRITE are kept."""
    if all(mapping.prot & PROT_WRITE for mapping, *_ in dropped_parts(self, addr, length, advice)):
        madvise(self, addr, length, advice)


@wrong(ReferenceProcess.madvise, "madvise.dontneed.rights")
def dontneed_gives_rights(madvise: Original, self: ReferenceProcess, addr: int, length: int, advice: int) -> None:
    """Dropped memory becomes readable and writable, whatever its protection was."""
    madvise(self, addr, length, advice)
    for mapping, *_ in dropped_parts(self, addr, length, advice):
        mapping.prot |= PROT_READ | PROT_WRITE


@wrong(ReferenceProcess.madvise, "madvise.range")
def advice_is_for_full_pages(madvise: Original, self: ReferenceProcess, addr: int, length: int, advice: int) -> None:
    """A length that is not a multiple of the page size is rounded down."""
    madvise(self, addr, length - length % self.page if length < self.task_size else length, advice)


@wrong(ReferenceProcess.madvise, "madvise.range")
def advice_is_for_the_next_page_too(
    madvise: Original, self: ReferenceProcess, addr: int, length: int, advice: int
) -> None:
    """The page after the range is dropped as well."""
    madvise(self, addr, length, advice)
    for _, _, stop in dropped_parts(self, addr, length, advice):
        self.space.table.zap(stop, stop + 1)


@wrong(ReferenceProcess.madvise, "madvise.length-zero")
def advice_of_no_length_is_for_a_page(
    madvise: Original, self: ReferenceProcess, addr: int, length: int, advice: int
) -> None:
    """A length of 0 is one of 1."""
    madvise(self, addr, length or 1, advice)


@wrong(ReferenceProcess.madvise, "madvise.dontneed-locked")
def dontneed_locked_spares_what_is_locked(
    madvise: Original, self: ReferenceProcess, addr: int, length: int, advice: int
) -> None:
    """Locked pages stay."""
    if advice != MADV_DONTNEED_LOCKED or not any(m.locked for m in self.space.over(addr, addr + length)):
        madvise(self, addr, length, advice)


@wrong(PageTable.mark_lazy_free, "madvise.free")
def free_leaves_rubbish(free: Original, self: PageTable, first: int, stop: int) -> None:
    """Freed pages have other content immediately."""
    for number in self.within(first, stop):
        self.entries[number].data[:] = b"?" * self.memory.page


@wrong(PageTable.mark_lazy_free, "madvise.free")
def free_takes_the_next_page(free: Original, self: PageTable, first: int, stop: int) -> None:
    """The page after the range is freed as well."""
    self.zap(first, stop + 1)


class Lost(bytearray):
    """Memory that keeps nothing."""

    def __setitem__(self, *_: Any) -> None:
        pass


@wrong(PageTable.mark_lazy_free, "madvise.free.store")
def free_loses_later_stores(free: Original, self: PageTable, first: int, stop: int) -> None:
    """A freed page stays zero, whatever is stored into it."""
    for number in self.within(first, stop):
        self.entries[number].data = Lost(self.memory.page)


# ------------------------------------------------------------------------------------------------------------- holes


@wrong(Inode.punch, "madvise.remove")
def no_holes_in_memory_without_a_file(punch: Original, self: Inode, offset: int, length: int, choices: Any) -> None:
    """MADV_REMOVE has no effect on memory without storage on a disk."""
    if self.cache.on_disk is not None:
        punch(self, offset, length, choices)


@wrong(ReferenceProcess.madvise, "madvise.remove", "madvise.remove.file")
def holes_are_the_callers_own(madvise: Original, self: ReferenceProcess, addr: int, length: int, advice: int) -> None:
    """The hole is visible to the caller only."""
    if advice != MADV_REMOVE:
        madvise(self, addr, length, advice)
        return
    table = self.space.table
    for number in table.within(addr // self.page, (addr + length) // self.page):
        table.copy(number, table.entries[number]).wipe(0)


@wrong(Inode.punch, "madvise.remove.file", bug="emscripten #10094 (the same of write-back)")
def holes_are_made_at_the_files_beginning(punch: Original, self: Inode, offset: int, length: int, choices: Any) -> None:
    """The mapping's file offset is ignored."""
    punch(self, 0, length, choices)


@wrong(Inode.punch, "madvise.remove.file")
def a_hole_ends_the_file(punch: Original, self: Inode, offset: int, length: int, choices: Any) -> None:
    """The file is cut where the hole begins."""
    self.cut(min(offset, self.size))


@wrong(Inode.punch, "madvise.remove.file")
def a_hole_takes_private_copies(punch: Original, self: Inode, offset: int, length: int, choices: Any) -> None:
    """Private copies are dropped as well."""
    punch(self, offset, length, choices)
    for mapping in mappings_of(self):
        mapping.space.table.zap(mapping.start // self.cache.memory.page, mapping.end // self.cache.memory.page)


# ----------------------------------------------------------------------------------------------- what a child is given


def forgotten(advice: int) -> Any:
    """An `Advice.record` that does not hear one advice."""

    def record(original: Original, self: ReferenceProcess, mapping: Mapping, said: int) -> None:
        if said != advice:
            original(self, mapping, said)

    return record


def is_forgotten(name: str, advice: int, clause: str) -> Any:
    """A mutant that does not hear one advice."""
    function = forgotten(advice)
    function.__name__, function.__doc__ = f"{name}_is_forgotten", f"MADV_{name.upper()} does nothing."
    return wrong(Advice.record, clause)(function)


FORGOTTEN = (
    is_forgotten("dontfork", MADV_DONTFORK, "madvise.dontfork"),
    is_forgotten("dofork", MADV_DOFORK, "madvise.dofork"),
    is_forgotten("wipeonfork", MADV_WIPEONFORK, "madvise.wipeonfork"),
    is_forgotten("keeponfork", MADV_KEEPONFORK, "madvise.keeponfork"),
)


@wrong(AddressSpace.fork, "madvise.wipeonfork")
def wipeonfork_wipes_the_parent(fork: Original, self: AddressSpace) -> AddressSpace:
    """The parent finds zeros as well."""
    child: AddressSpace = fork(self)
    for mapping in self.mappings.values():
        if mapping.wipe_on_fork:
            self.table.zap(mapping.start // self.page, mapping.end // self.page)
    return child


@wrong(AddressSpace.fork, "madvise.wipeonfork.inherited")
def wipeonfork_is_for_one_generation(fork: Original, self: AddressSpace) -> AddressSpace:
    """A child does not inherit the advice."""
    child: AddressSpace = fork(self)
    for mapping in child.mappings.values():
        mapping.wipe_on_fork = False
    return child


@wrong(AddressSpace.fork, "madvise.dontfork")
def dontfork_leaves_memory_without_rights(fork: Original, self: AddressSpace) -> AddressSpace:
    """The child has the range, but may not access it."""
    hidden = [mapping for mapping in self.mappings.values() if mapping.dont_fork]
    for mapping in hidden:
        mapping.dont_fork = False
    child: AddressSpace = fork(self)
    for mapping in hidden:
        mapping.dont_fork = True
        child.mappings[mapping.start].prot = 0
    return child


# ----------------------------------------------------------------------------------------------------------- the rest


@wrong(ReferenceProcess.madvise, "madvise.populate-read")
def populate_read_does_nothing(madvise: Original, self: ReferenceProcess, addr: int, length: int, advice: int) -> None:
    """MADV_POPULATE_READ has no effect."""
    madvise(self, addr, length, MADV_NORMAL if advice == MADV_POPULATE_READ else advice)


@wrong(ReferenceProcess.madvise, "madvise.populate-read")
def populate_read_copies(madvise: Original, self: ReferenceProcess, addr: int, length: int, advice: int) -> None:
    """MADV_POPULATE_READ makes private copies."""
    madvise(self, addr, length, MADV_POPULATE_WRITE if advice == MADV_POPULATE_READ else advice)


@wrong(ReferenceProcess.madvise, "madvise.populate-write")
def populate_write_copies_nothing(
    madvise: Original, self: ReferenceProcess, addr: int, length: int, advice: int
) -> None:
    """MADV_POPULATE_WRITE only loads."""
    madvise(self, addr, length, MADV_POPULATE_READ if advice == MADV_POPULATE_WRITE else advice)


@wrong(ReferenceProcess.madvise, "madvise.populate-write")
def populate_write_does_nothing(madvise: Original, self: ReferenceProcess, addr: int, length: int, advice: int) -> None:
    """MADV_POPULATE_WRITE has no effect."""
    madvise(self, addr, length, MADV_NORMAL if advice == MADV_POPULATE_WRITE else advice)


@wrong(ReferenceProcess.madvise, "madvise.hints")
def a_hint_drops_pages(madvise: Original, self: ReferenceProcess, addr: int, length: int, advice: int) -> None:
    """Advice about performance drops pages that have been read."""
    madvise(self, addr, length, MADV_DONTNEED if advice in HINTS and advice not in RECLAIMS else advice)


@wrong(ReferenceProcess.madvise, "madvise.reclaim")
def pages_that_leave_memory_are_lost(
    madvise: Original, self: ReferenceProcess, addr: int, length: int, advice: int
) -> None:
    """Private pages that MADV_PAGEOUT takes out of memory are as if they had never been stored to."""
    madvise(self, addr, length, MADV_DONTNEED if advice == MADV_PAGEOUT else advice)


@wrong(ReferenceProcess.madvise, "madvise.reclaim")
def cold_pages_are_lost(madvise: Original, self: ReferenceProcess, addr: int, length: int, advice: int) -> None:
    """Private pages that are cold are as if they had never been stored to."""
    madvise(self, addr, length, MADV_DONTNEED if advice == MADV_COLD else advice)


def forgetting(id: str, advice: int, text: str) -> Mutant:
    """Make a mutant in which shared pages that leave memory by an advice are not written back first."""

    def change(advise: Original, self: ReferenceProcess, addr: int, end: int, given: int) -> None:
        advise(self, addr, end, given)
        for mapping in self.space.over(addr, end) if given == advice else ():
            inode = mapping.inode
            if inode is None or not mapping.shared:
                continue
            first = (mapping.offset + max(addr - mapping.start, 0)) // self.page
            stop = (mapping.offset + min(end, mapping.end) - mapping.start) // self.page
            for index in inode.cache.within(first, stop):
                del inode.cache.pages[index]
                for each in inode.mappings:
                    each.drop_file_pages(index, index + 1, private=False)

    change.__name__, change.__doc__ = id, text
    return wrong(Advice.advise, "madvise.reclaim", "mmap.flag.shared", "overview.one-to-one")(change)


PAGEOUT_FORGETS = forgetting(
    "pages_leave_memory_without_being_written", MADV_PAGEOUT, "MADV_PAGEOUT drops shared pages that were stored to."
)
COLD_FORGETS = forgetting("cold_pages_are_not_written", MADV_COLD, "MADV_COLD drops shared pages that were stored to.")


@wrong(Advice.advise, "madvise.errno.ENOMEM.rest")
def advice_ends_at_a_hole(advise: Original, self: ReferenceProcess, addr: int, end: int, advice: int) -> None:
    """The mappings after a hole are not affected."""
    hole = self.space.hole(addr, end)
    advise(self, addr, end if hole is None else hole, advice)


@wrong(ReferenceProcess.madvise, "madvise.errno.ENOMEM.rest")
def advice_is_for_all_or_nothing(
    madvise: Original, self: ReferenceProcess, addr: int, length: int, advice: int
) -> None:
    """Over a hole nothing is done at all."""
    if addr % self.page == 0 and self.space.hole(addr, addr + self.round_up(length)) is not None:
        raise OSError(ENOMEM, "the mutant does nothing")
    madvise(self, addr, length, advice)


@wrong(PageTable.mark_lazy_free, "madvise.free", "madvise.range")
def free_rounds_to_the_mapping(free: Original, self: PageTable, first: int, stop: int) -> None:
    """Every page that the process has is zero."""
    for page in self.entries.values():
        page.wipe(0)
