"""Mutants of munmap's effects: stores, locks, limits, the address range, pages of other processes."""

from __future__ import annotations

from errno import EINVAL

from ..address_space import AddressSpace
from ..constants import PROT_NONE, PROT_READ, PROT_WRITE
from ..mapping import Mapping
from ..mutant import Original, refuses, wrong
from ..process import ReferenceProcess
from .calls import mappings_of


@wrong(ReferenceProcess.munmap, "munmap.private", "munmap.range", "mmap.flag.private", bug="wasix shim")
def munmap_writes_private_pages_to_the_file(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """Stores to a private mapping are written to its file when it is unmapped."""
    table = self.space.table
    for mapping in self.space.over(addr, addr + self.round_up(length)):
        if mapping.inode is not None and not mapping.shared:
            for number in table.within(mapping.start // self.page, mapping.end // self.page):
                if table.entries[number].refcount:
                    mapping.inode.cache.page(mapping.file_page(number)).data[:] = table.entries[number].data
    munmap(self, addr, length)


@wrong(ReferenceProcess.munmap, "munmap.shared", "munmap.range", "mmap.flag.shared", bug="elfuse #330, qiling #404")
def munmap_loses_shared_stores(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """Pages of a file that were stored to and not synced are thrown away when they are unmapped."""
    for mapping in self.space.over(addr, addr + self.round_up(length)):
        if mapping.inode is not None and mapping.shared:
            for number in self.space.table.within(mapping.start // self.page, mapping.end // self.page):
                if self.space.table.entries[number].dirty:
                    mapping.inode.cache.pages.pop(mapping.file_page(number), None)
    munmap(self, addr, length)


@wrong(ReferenceProcess.munmap, "munmap.slack", "munmap.range", "overview.slack", bug="ruxos #187")
def munmap_makes_the_file_longer(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """A file has whole pages when it is unmapped."""
    for mapping in self.space.over(addr, addr + self.round_up(length)):
        if mapping.inode is not None:
            mapping.inode.size = self.round_up(mapping.inode.size)
    munmap(self, addr, length)


@wrong(ReferenceProcess.munmap, "munmap.offset", "munmap.range", "mmap.range", bug="usercorn #287")
def munmap_starts_the_second_part_anew(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """When a mapping is split, the part after the range has the file offset of the part before it."""
    end = addr + self.round_up(length)
    before = self.space.find(end)
    offset = before.offset if before is not None and before.start < addr else None
    munmap(self, addr, length)
    stop = self.space.find(end)
    if offset is not None and stop is not None:
        stop.offset = offset


@wrong(ReferenceProcess.munmap, "munmap.rights", "munmap.range")
def munmap_leaves_parts_with_all_rights(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """The remaining parts of a mapping become readable and writable."""
    end = addr + self.round_up(length)
    munmap(self, addr, length)
    for mapping in (self.space.find(addr - 1) if addr else None, self.space.find(end)):
        if mapping is not None:
            mapping.prot = PROT_READ | PROT_WRITE


@wrong(ReferenceProcess.munmap, "munmap.rights", "munmap.range")
def munmap_leaves_parts_read_only(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """The remaining parts of a mapping become read-only."""
    end = addr + self.round_up(length)
    munmap(self, addr, length)
    for mapping in (self.space.find(addr - 1) if addr else None, self.space.find(end)):
        if mapping is not None:
            mapping.prot = PROT_READ


@wrong(AddressSpace.clear, "munmap.rights", "munmap.range")
def unmapping_spares_pages_without_rights(clear: Original, self: AddressSpace, start: int, end: int) -> None:
    """Pages that allow no access stay where they are."""
    for mapping in self.cut_out(start, end):
        if mapping.prot:
            self.remove(mapping)


@wrong(ReferenceProcess.munmap, "munmap.mapping", "munmap.range")
def munmap_takes_every_mapping_of_the_file(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """The process's other mappings of the same file go as well."""
    inodes = {mapping.inode for mapping in self.space.over(addr, addr + self.round_up(length))}
    munmap(self, addr, length)
    for inode in inodes:
        for mapping in mappings_of(inode) if inode is not None else ():
            if mapping.space is self.space:
                self.space.clear(mapping.start, mapping.end)


@wrong(ReferenceProcess.munmap, "munmap.process", "munmap.range", bug="SerenityOS #15952 (reading)")
def munmap_reaches_other_processes(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """The range is unmapped in every process."""
    munmap(self, addr, length)
    for other in self.machine.processes:
        other.space.clear(addr, addr + self.round_up(length))


@wrong(ReferenceProcess.munmap, "munmap.free", "munmap.range", bug="Windows' placeholders")
def munmap_keeps_the_place(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """The range stays mapped as inaccessible memory, which only MAP_FIXED_NOREPLACE detects."""
    munmap(self, addr, length)
    end = addr + self.round_up(length)
    if self.space.is_free(addr, end):
        self.space.insert(Mapping(self.space, addr, end, PROT_NONE, False, offset=addr))


@wrong(
    AddressSpace.clear,
    "munmap.reuse",
    "munmap.range",
    "mmap.range",
    "mmap.flag.private",
    bug="unikraft #394, phoenix #1742",
)
def unmapping_leaves_the_pages(clear: Original, self: AddressSpace, start: int, end: int) -> None:
    """The page table keeps its entries: what is mapped there next shows the old content."""
    first, stop = start // self.page, end // self.page
    kept = {number: self.table.entries[number] for number in self.table.within(first, stop)}
    clear(self, start, end)
    for number, page in kept.items():
        page.refcount += page.refcount > 0 or page is not self.table.memory.zero
        self.table.entries[number] = page


@wrong(ReferenceProcess.munmap, "munmap.usual-arguments", "munmap.range")
def munmap_of_less_than_a_page_does_nothing(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """A length of less than a page has no effect."""
    if not 0 < length < self.page or addr % self.page:
        munmap(self, addr, length)


@wrong(ReferenceProcess.munmap, "munmap.result", "munmap.errno.EINVAL", "munmap.range")
def munmap_unmaps_and_refuses(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """A call that fails still unmaps the range, at least one page."""
    try:
        munmap(self, addr, length)
    except OSError:
        start = addr - addr % self.page
        self.space.clear(start, start + (self.round_up(length) or self.page))
        raise


@wrong(ReferenceProcess.munmap, "munmap.lock", "mmap.result.success")
def munmap_leaves_a_lock_at_the_place(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """After locked pages were unmapped, every new mapping is locked."""
    locked = any(mapping.locked for mapping in self.space.over(addr, addr + self.round_up(length)))
    munmap(self, addr, length)
    self.locks_future = self.locks_future or locked


@wrong(ReferenceProcess.munmap, "munmap.lock.account", "mlock.errno.ENOMEM", "mmap.errno.EAGAIN.memory")
def munmap_counts_locked_pages_for_ever(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """Locked pages that are unmapped still count as locked."""
    locked = self.space.locked
    munmap(self, addr, length)
    self.space.locked = locked


@wrong(ReferenceProcess.munmap, "munmap.limit", "mmap.errno.ENOMEM")
def munmap_counts_pages_for_ever(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """Pages that are unmapped still count against the limit of address space."""
    size = self.space.size
    munmap(self, addr, length)
    self.space.size = size


MAPPED_TWICE = (
    refuses(
        "munmap-refuses-a-file-that-is-mapped-twice",
        ReferenceProcess.munmap,
        EINVAL,
        lambda self, addr, length: any(
            mapping.inode is not None and len(mapping.inode.mappings) > 1
            for mapping in self.space.over(addr, addr + self.round_up(length))
        ),
        "munmap.mapping",
        "munmap.range",
        "munmap.result",
        text="something else of the file is mapped",
    ),
)
