"""Mutants that are wrong in one state: a second mapping, a child, a large offset, after mprotect."""

from __future__ import annotations

from typing import Any

from ...contract import MAP_FIXED, SEAL_FUTURE_WRITE
from ..address_space import AddressSpace
from ..constants import PROT_WRITE
from ..files import FileChoices, Inode
from ..mapping import Mapping
from ..mutant import Original, wrong
from ..paging import Page
from ..process import ReferenceProcess
from .calls import Mmap, Move, Mremap, mappings_of

GIB = 1 << 30


@wrong(AddressSpace.access, "memfd.seal.future-write")
def a_sealed_memfd_is_stored_to(
    access: Original, self: AddressSpace, mapping: Mapping, number: int, store: bool
) -> Page | None:
    """A private mapping of a memfd that is sealed against later writes stores to the memfd."""
    inode = mapping.inode
    is_sealed = inode is not None and inode.seals & SEAL_FUTURE_WRITE and not mapping.shared
    page: Page | None = access(self, mapping, number, store and not is_sealed)
    return page


@wrong(AddressSpace.protect, "mprotect.private.copy")
def a_page_that_regains_write_is_not_copied(
    protect: Original, self: AddressSpace, start: int, end: int, prot: int
) -> None:
    """A private page of a file that was loaded, and gains PROT_WRITE, becomes a page of a shared mapping."""
    for mapping in self.over(start, end):
        is_loaded = self.table.within(mapping.start // self.page, mapping.end // self.page)
        gains = prot & PROT_WRITE and not mapping.prot & PROT_WRITE
        if gains and is_loaded and mapping.inode is not None and not mapping.has_private_pages:
            mapping.shared = True
    protect(self, start, end, prot)


@wrong(ReferenceProcess.fork, "fork.independent")
def read_only_pages_are_not_copied_at_a_fork(fork: Original, self: ReferenceProcess) -> ReferenceProcess:
    """A page that may not be stored to at the time of the fork stays one page of both processes."""
    child: ReferenceProcess = fork(self)
    for mapping in child.space.mappings.values():
        if not mapping.prot & PROT_WRITE:
            for number in child.space.table.within(mapping.start // self.page, mapping.end // self.page):
                page = child.space.table.entries[number]
                page.refcount = min(page.refcount, 1)
    return child


@wrong(Move, "mremap.move.offset")
def what_was_split_off_moves_from_its_beginning(self: AddressSpace, move: Move) -> int:
    """A part that mprotect has split off is moved with the offset of the mapping that it was split from."""
    mapping, left = self.find(move.addr), self.find(move.addr - 1)
    if mapping is not None and left is not None and left.inode is mapping.inode and mapping.inode is not None:
        mapping.offset = left.offset
    return move()


@wrong(Inode.cut, "truncation.pages")
def a_cut_is_seen_by_the_first_mapping(
    cut: Original, self: Inode, size: int, choices: FileChoices | None = None
) -> None:
    """After a cut the second and later mappings of a file have zeros in place of the pages that it lost."""
    later = mappings_of(self)[1:]
    had = [(m, n) for m in later for n in m.space.table.within(m.start // m.space.page, m.end // m.space.page)]
    cut(self, size, choices)
    for mapping, number in had:
        table = mapping.space.table
        if number not in table.entries:
            table.entries[number] = table.memory.allocate(bytearray(mapping.space.page))


@wrong(ReferenceProcess.ftruncate, "file.truncate")
def a_truncation_to_the_same_size_loses_stores(
    ftruncate: Original, self: ReferenceProcess, fd: int, length: int
) -> None:
    """ftruncate to the size that the file has discards what was stored and not written back."""
    descriptor = self.descriptors.get(fd)
    if descriptor is not None and descriptor.description.inode.size == length and length > self.page:
        ftruncate(self, fd, length - self.page)
    ftruncate(self, fd, length)


@wrong(ReferenceProcess.close, "mmap.refcount.close")
def a_child_that_closes_unmaps_in_its_parent(close: Original, self: ReferenceProcess, fd: int) -> None:
    """When a process closes a file that others have mapped too, the others lose their mappings."""
    space: Any
    descriptor = self.descriptors.get(fd)
    inode = None if descriptor is None else descriptor.description.inode
    close(self, fd)
    for mapping in mappings_of(inode) if inode is not None else ():
        space = mapping.space
        if space is not self.space:
            space.remove(mapping)


@wrong(ReferenceProcess.store, "munmap.mapping")
def a_store_ends_with_its_mapping(store: Original, self: ReferenceProcess, addr: int, data: bytes) -> None:
    """The bytes of a store beyond the end of the mapping in which it begins are lost, if another mapping follows."""
    mapping = self.space.find(addr)
    if mapping is not None and self.space.find(mapping.end) is not None:
        data = data[: mapping.end - addr]
    store(self, addr, data)


@wrong(ReferenceProcess.munmap, "mmap.flag.noreserve")
def munmap_has_32_bits_of_a_length(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """Of a length of more than 4 GiB the lower 32 bits are used."""
    munmap(self, addr, length % (4 * GIB) if 4 * GIB < length < 5 * GIB else length)


@wrong(ReferenceProcess.mprotect, "mmap.flag.noreserve")
def mprotect_has_32_bits_of_a_length(
    mprotect: Original, self: ReferenceProcess, addr: int, length: int, prot: int
) -> None:
    """Of a length of more than 4 GiB the lower 32 bits are used."""
    mprotect(self, addr, length % (4 * GIB) if 4 * GIB < length < 5 * GIB else length, prot)


@wrong(Mmap, "mmap.errno.EOVERFLOW.boundary")
def mmap_has_31_bits_of_an_offset(self: ReferenceProcess, mmap: Mmap) -> int:
    """Of an offset from 2 GiB to 8 GiB the lower 31 bits are used."""
    return mmap(offset=mmap.offset % (2 * GIB) if mmap.offset < 8 * GIB else mmap.offset)


@wrong(Mremap, "mremap.shrink.part")
def a_mapping_that_shrinks_writes_its_old_size(self: ReferenceProcess, mremap: Mremap) -> int:
    """When a shared mapping shrinks, its file becomes as long as the mapping was."""
    mapping = self.space.find(mremap.addr)
    start = mremap()
    if mapping is not None and mapping.inode is not None and mapping.shared and mremap.new_size < mremap.old_size:
        mapping.inode.extend(max(mapping.inode.size, mapping.offset + mremap.old_size), self.choices)
    return start


@wrong(ReferenceProcess.exit, "end.others")
def the_end_of_a_child_unmaps_what_it_had_mapped(exit: Original, self: ReferenceProcess, status: int = 0) -> int:
    """When a process ends, the others lose what they have mapped in the first pages of the scratch range."""
    others: list[Any] = [other for other in self.machine.processes if other is not self]
    start, _ = self.scratch_range()
    result: int = exit(self, status)
    for other in others:
        if other.space.find(start) is not None:
            other.space.clear(start, start + other.page)
    return result


@wrong(Mmap, "mmap.flag.fixed-replaces")
def what_follows_a_replaced_page_is_lost(self: ReferenceProcess, mmap: Mmap) -> int:
    """MAP_FIXED in the middle of a private mapping: the pages after it lose what was stored."""
    mapping = self.space.find(mmap.addr)
    end = mmap.addr + self.round_up(mmap.length)
    after = None if mapping is None or mapping.start == mmap.addr or mapping.shared else mapping.end
    start = mmap()
    if mmap.flags & MAP_FIXED and after is not None and after > end:
        self.space.table.zap(end // self.page, after // self.page)
    return start


@wrong(ReferenceProcess.store, "fork.private.untouched")
def a_child_stores_into_a_page_that_was_only_loaded(
    store: Original, self: ReferenceProcess, addr: int, data: bytes
) -> None:
    """A private page that a process has only loaded before it forks is one page for both."""
    number = addr // self.page
    sharing: list[Any] = [
        other
        for other in self.machine.processes
        if other is not self
        and number not in self.space.table.entries
        and (page := other.space.table.entries.get(number)) is not None
        and not page.refcount
        and (mapping := other.space.find(addr)) is not None
        and not mapping.shared
    ]
    store(self, addr, data)
    for other in sharing:
        store(other, addr, data)
