"""Mutants of fork, of exec, and of the end of a process."""

from __future__ import annotations

from typing import cast

from ...contract import MAP_ANONYMOUS, MAP_FIXED
from ..address_space import AddressSpace
from ..constants import MAP_PRIVATE, MAP_SHARED, MAP_TYPE, PROT_READ, PROT_WRITE
from ..files import FileChoices
from ..mutant import Original, wrong
from ..page_table import PageTable
from ..process import ReferenceProcess
from .calls import Mmap, mappings_of

FEW = 64
"""Largest number of pages of a mapping that are processed one by one."""


# ---------------------------------------------------------------------------------------------------------------- fork


@wrong(AddressSpace.fork, "fork.mappings", bug="Cygwin 67a657cb1")
def a_child_has_no_read_only_mappings(fork: Original, self: AddressSpace) -> AddressSpace:
    """A child does not inherit read-only mappings."""
    child: AddressSpace = fork(self)
    for mapping in list(child.mappings.values()):
        if mapping.prot == PROT_READ:
            child.remove(mapping)
    return child


@wrong(AddressSpace.fork, "fork.rights")
def a_child_may_store_anywhere(fork: Original, self: AddressSpace) -> AddressSpace:
    """A child's mappings can be loaded from and stored to, whatever the parent's can be."""
    child: AddressSpace = fork(self)
    for mapping in child.mappings.values():
        mapping.prot |= PROT_READ | PROT_WRITE
    return child


@wrong(ReferenceProcess.munmap, "fork.independent")
def unmapping_is_for_the_family(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """Every other process loses what it has there."""
    munmap(self, addr, length)
    for process in self.machine.processes:
        process.space.clear(addr, addr + self.round_up(length))


@wrong(ReferenceProcess.mprotect, "fork.independent")
def rights_are_for_the_family(mprotect: Original, self: ReferenceProcess, addr: int, length: int, prot: int) -> None:
    """Every other process gets the same protection in the range."""
    mprotect(self, addr, length, prot)
    for process in self.machine.processes:
        process.space.protect(addr, addr + self.round_up(length), int(prot))


def half_shared(one: PageTable, other: PageTable) -> None:
    """Make stores of `one` to shared private pages visible in `other`, until `other` stores itself."""
    for number, page in one.entries.items():
        if page.refcount and number in other.entries:
            twin = other.entries[number] = type(page)(page.frame, page.data)
            page.refcount, twin.refcount = 1, 2


@wrong(PageTable.fork, "fork.private.parent", bug="Asterinas 57d3d9ded")
def a_parent_stores_without_copying(fork: Original, self: PageTable) -> PageTable:
    """A child sees what its parent stores, up to its own first store."""
    child: PageTable = fork(self)
    half_shared(self, child)
    return child


@wrong(PageTable.fork, "fork.private.child", bug="Asterinas #959")
def a_child_stores_without_copying(fork: Original, self: PageTable) -> PageTable:
    """A parent sees what its child stores, up to its own next store."""
    child: PageTable = fork(self)
    half_shared(child, self)
    return child


@wrong(ReferenceProcess.fork, "fork.private.siblings")
def every_child_gets_what_the_first_got(fork: Original, self: ReferenceProcess) -> ReferenceProcess:
    """Private memory is as it was at the first fork."""
    child: ReferenceProcess = fork(self)
    table = child.space.table
    private = {number: bytes(page.data) for number, page in table.entries.items() if page.refcount}
    for number, data in self.__dict__.setdefault("first", private).items():
        if number in table.entries:
            table.copy(number, table.entries[number]).data[:] = data
    return child


@wrong(PageTable.fork, "fork.private.generations", "fork.private.end", bug="SerenityOS #15952")
def a_page_is_held_by_two_at_most(fork: Original, self: PageTable) -> PageTable:
    """A third process that has a private page is not counted."""
    child: PageTable = fork(self)
    for page in child.entries.values():
        page.refcount = min(page.refcount, 2)
    return child


@wrong(AddressSpace.fork, "fork.private.untouched")
def untouched_private_memory_is_shared(fork: Original, self: AddressSpace) -> AddressSpace:
    """Parent and child share private pages that were not accessed before the fork."""
    child: AddressSpace = fork(self)
    for mapping in self.mappings.values():
        first = mapping.start // self.page
        for number in range(first, min(mapping.end // self.page, first + FEW)) if mapping.inode is None else ():
            if number not in self.table.entries and mapping.start in child.mappings:
                page = self.table.entries[number] = child.table.entries[number] = self.table.memory.allocate()
                page.refcount = 1
    return child


@wrong(PageTable.zap, "fork.private.end", "end.others")
def a_released_page_is_wiped(drop: Original, self: PageTable, first: int, stop: int, private: bool = True) -> None:
    """A private page that one process releases becomes zero in the processes that share it."""
    for number in self.within(first, stop) if private else ():
        if self.entries[number].refcount:
            self.entries[number].wipe(0)
    drop(self, first, stop, private)


@wrong(AddressSpace.fork, "fork.shared.anonymous")
def touched_shared_memory_is_copied(fork: Original, self: AddressSpace) -> AddressSpace:
    """Pages of shared memory that were accessed before a fork become private to each process."""
    child: AddressSpace = fork(self)
    for mapping in self.mappings.values():
        if mapping.shared and mapping.inode is not None and mapping.inode.file_system is None:
            for number in self.table.within(mapping.start // self.page, mapping.end // self.page):
                child.table.entries[number] = self.table.memory.allocate(self.table.entries[number].data)
    return child


@wrong(AddressSpace.fork, "fork.shared.untouched", bug="Asterinas #504")
def untouched_shared_memory_is_apart(fork: Original, self: AddressSpace) -> AddressSpace:
    """Pages of shared memory that are first accessed after a fork are private to each process."""
    child: AddressSpace = fork(self)
    for mapping in self.mappings.values():
        if mapping.shared and mapping.inode is not None and mapping.inode.file_system is None:
            first = mapping.start // self.page
            for number in range(first, min(mapping.end // self.page, first + FEW)):
                if number not in self.table.entries:
                    child.table.entries[number] = self.table.memory.allocate()
    return child


@wrong(AddressSpace.end, "fork.shared.generations", bug="gVisor d11ef20a9 (the other way round)")
def shared_memory_ends_with_any_process(end: Original, self: AddressSpace) -> None:
    """The end of one that has it gives shared memory of no file back."""
    for mapping in self.mappings.values():
        if mapping.inode is not None and mapping.inode.file_system is None:
            for page in mapping.inode.cache.pages.values():
                page.wipe(0)
    end(self)


@wrong(Mmap, "fork.shared.later")
def children_map_files_for_themselves(self: ReferenceProcess, mmap: Mmap) -> int:
    """A child's later mappings of files are private."""
    if self.number > 1 and mmap.flags & MAP_TYPE == MAP_SHARED and not mmap.flags & MAP_ANONYMOUS:
        mmap.flags = mmap.flags & ~MAP_TYPE | MAP_PRIVATE
    return mmap()


# ---------------------------------------------------------------------------------------------------------------- exec


@wrong(ReferenceProcess.exec, "exec.mappings")
def private_memory_outlives_exec(exec: Original, self: ReferenceProcess) -> None:
    """Memory of no file is still mapped in the new program."""
    kept = [(m.start, m.end - m.start, m.prot) for m in self.space.mappings.values() if m.inode is None]
    exec(self)
    for start, length, prot in kept:
        self.mmap(start, length, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)


@wrong(ReferenceProcess.exec, "exec.memory", bug="OSv bc6cd07a (the same of munmap)")
def old_pages_outlive_exec(exec: Original, self: ReferenceProcess) -> None:
    """The page table is not emptied."""
    entries = dict(self.space.table.entries)
    exec(self)
    self.space.table.entries.update(entries)


@wrong(ReferenceProcess.exec, "exec.descriptors")
def all_descriptors_outlive_exec(exec: Original, self: ReferenceProcess) -> None:
    """O_CLOEXEC does nothing."""
    for descriptor in self.descriptors.values():
        descriptor.close_on_exec = False
    exec(self)


@wrong(ReferenceProcess.exec, "exec.descriptors")
def no_descriptor_outlives_exec(exec: Original, self: ReferenceProcess) -> None:
    """Every descriptor is closed."""
    for descriptor in self.descriptors.values():
        descriptor.close_on_exec = True
    exec(self)


# ------------------------------------------------------------------------------------------------------------- the end


@wrong(AddressSpace.end, "end.shared", bug="elfuse #330")
def the_end_loses_what_was_stored(end: Original, self: AddressSpace) -> None:
    """Without munmap or msync nothing of it is in the file."""
    for mapping in self.mappings.values():
        if mapping.shared and mapping.inode is not None:
            for page in mapping.inode.cache.pages.values():
                page.wipe(0)
    end(self)


@wrong(AddressSpace.end, "end.private", bug="wasix shim")
def the_end_writes_private_memory_back(end: Original, self: AddressSpace) -> None:
    """Stores through a private mapping reach the file when the process ends."""
    for mapping in self.mappings.values():
        inode = mapping.inode
        if inode is not None and not mapping.shared:
            for number in self.table.within(mapping.start // self.page, mapping.end // self.page):
                room = max(mapping.bytes_to_eof(number * self.page), 0)
                content = bytes(self.table.entries[number].data[:room])
                inode.write(content, mapping.file_page(number) * self.page, cast(FileChoices, self.choices))
    end(self)


@wrong(AddressSpace.end, "end.others")
def the_end_takes_shared_memory_away(end: Original, self: AddressSpace) -> None:
    """Other processes with a mapping of the same file lose its pages."""
    others = [other for mapping in self.mappings.values() if mapping.inode for other in mappings_of(mapping.inode)]
    end(self)
    for other in others:
        if other.space is not self:
            other.prot = 0
