"""Mutants of the coherence of a file between mappings, reads and writes, and changes of its size."""

from __future__ import annotations

from typing import Any

from ...contract import Fault
from ..accesses import Accesses
from ..address_space import AddressSpace
from ..constants import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MAP_TYPE, O_ACCESS, O_RDONLY, O_TRUNC, PROT_WRITE
from ..disk import OnDiskFile
from ..files import Inode
from ..linux_choices import LinuxChoices
from ..mutant import Original, wrong
from ..page_table import PageTable
from ..paging import Page, PageCache
from ..process import ReferenceProcess
from .calls import Mmap, mappings_of


def own(table: PageTable, number: int) -> Page:
    """Replace a page table entry with a private copy of its page."""
    page = table.entries[number] = table.memory.allocate(table.entries[number].data)
    return page


# ------------------------------------------------------------------------------------------------------------ coherence


@wrong(Inode.write, "coherence.write", bug="occlum #339, gramine #1432")
def what_is_written_shows_in_no_mapping(write: Original, self: Inode, data: bytes, offset: int, choices: Any) -> int:
    """Pages that are mapped keep the old content."""
    for mapping in mappings_of(self):
        for number in range(*numbers(mapping)) if mapping.shared else ():
            if mapping.space.access(mapping, number, False) is not None:
                own(mapping.space.table, number)
    written: int = write(self, data, offset, choices)
    return written


def numbers(mapping: Any) -> tuple[int, int]:
    """Return the page numbers of a mapping: the first, and the end."""
    page = mapping.space.page
    return mapping.start // page, mapping.end // page


@wrong(AddressSpace.fault_in, "coherence.offsets", bug="emscripten #21706")
def a_window_is_a_copy(fault_in: Original, self: AddressSpace, mapping: Any, number: int) -> Page | None:
    """A shared mapping with an offset has pages of its own."""
    page: Page | None = fault_in(self, mapping, number)
    return own(self.table, number) if page is not None and mapping.inode is not None and mapping.offset else page


@wrong(AddressSpace.fault_in, "coherence.opens", bug="emscripten #5928")
def each_open_has_its_own_pages(fault_in: Original, self: AddressSpace, mapping: Any, number: int) -> Page | None:
    """A mapping by a read-only descriptor shows the file's content at the time of the first access."""
    page: Page | None = fault_in(self, mapping, number)
    if page is not None and mapping.inode is not None and mapping.description and not mapping.description.writable:
        return own(self.table, number)
    return page


@wrong(Mmap, "coherence.alias")
def a_file_over_itself_is_left_alone(self: ReferenceProcess, mmap: Mmap) -> int:
    """MAP_FIXED over a mapping of the same file changes nothing."""
    mapping, description = self.space.find(mmap.addr), self.description(mmap.fd)
    if mmap.flags & MAP_FIXED and description and mapping and mapping.inode is description.inode:
        return mmap.addr
    return mmap()


@wrong(Inode.extend, "coherence.append", "growth.accessible")
def the_last_page_does_not_grow(extend: Original, self: Inode, size: int, choices: Any) -> None:
    """A mapping that has the file's last page keeps it as it was when the file grows."""
    last = self.size // self.cache.memory.page
    for mapping in mappings_of(self):
        for number in mapping.space.table.within(*numbers(mapping)):
            if mapping.file_page(number) == last:
                own(mapping.space.table, number)
    extend(self, size, choices)


# -------------------------------------------------------------------------------------------------------- private pages


@wrong(Mmap, "private.follows", "private.loaded", "private.page-wise")
def a_private_mapping_is_a_copy(self: ReferenceProcess, mmap: Mmap) -> int:
    """The whole content is copied by the call, as in the chapter's description."""
    base = mmap()
    mapping = self.space.find(base)
    if mmap.flags & MAP_TYPE == MAP_PRIVATE and not mmap.flags & MAP_ANONYMOUS and mapping is not None:
        for number in range(base // self.page, min(mapping.end // self.page, base // self.page + 64)):
            self.space.access(mapping, number, True)
    return base


@wrong(LinuxChoices.copies_when_loaded, "private.loaded")
def a_load_makes_a_copy(copies_when_loaded: Original, self: LinuxChoices) -> bool:
    """A private page does not follow the file once it has been loaded from."""
    return True


@wrong(Accesses.store, "private.page-wise")
def a_store_copies_the_whole_mapping(store: Original, self: ReferenceProcess, addr: int, data: bytes) -> None:
    """The first store makes copies of all pages."""
    store(self, addr, data)
    mapping = self.space.find(addr)
    if mapping is not None and not mapping.shared and mapping.inode is not None:
        for number in range(*numbers(mapping)):
            self.space.access(mapping, number, True)


@wrong(Accesses.store, "private.same-value")
def a_store_of_what_is_there_is_left_out(store: Original, self: ReferenceProcess, addr: int, data: bytes) -> None:
    """Nothing is copied where nothing would change."""
    mapping = self.space.find(addr)
    if mapping is not None and not mapping.shared and mapping.prot & PROT_WRITE:
        try:
            if self.load(addr, len(data)) == data:
                return
        except Fault:
            pass
    store(self, addr, data)


# ------------------------------------------------------------------------------------------------------ the file's end


@wrong(AddressSpace.fault_in, "growth.accessible", bug="Asterinas #2201")
def the_first_fault_settles_the_end(fault_in: Original, self: AddressSpace, mapping: Any, number: int) -> Page | None:
    """Pages past the end that the file had at the first access stay inaccessible."""
    if mapping.inode is not None:
        ends: dict[Any, int] = mapping.inode.__dict__.setdefault("ends", {})
        if mapping.file_page(number) * self.table.memory.page >= ends.setdefault(mapping, mapping.inode.size):
            return None
    page: Page | None = fault_in(self, mapping, number)
    return page


@wrong(Inode.cut, "growth.zero", bug="unikraft #394 (the same of memory)")
def a_cut_leaves_old_pages_in_the_cache(cut: Original, self: Inode, size: int, choices: Any = None) -> None:
    """Truncated content reappears when the file grows."""
    pages = dict(self.cache.pages)
    kept = {index: bytes(page.data) for index, page in pages.items()}
    cut(self, size, choices)
    for index, data in kept.items():
        pages[index].data[:] = data
        self.cache.pages[index] = pages[index]


@wrong(Inode.cut, "truncation.window", bug="emscripten #10095 (the same of write-back)")
def a_window_loses_nothing(cut: Original, self: Inode, size: int, choices: Any = None) -> None:
    """A mapping that does not begin where the file does keeps the pages that it has."""
    kept = [
        (mapping.space.table, number, mapping.space.table.entries[number])
        for mapping in mappings_of(self)
        if mapping.offset
        for number in mapping.space.table.within(*numbers(mapping))
    ]
    cut(self, size, choices)
    for table, number, page in kept:
        table.entries[number] = page


@wrong(ReferenceProcess.open, "truncation.open", bug="WSL #902 (refused)")
def o_trunc_leaves_mappings_alone(
    open: Original, self: ReferenceProcess, path: str, flags: int, mode: int = 0o600
) -> int:
    """The file is empty, but who has mapped it keeps the pages."""
    fd: int = open(self, path, int(flags) & ~O_TRUNC, mode)
    inode = self.descriptors[fd].description.inode
    if flags & O_TRUNC and flags & O_ACCESS != O_RDONLY and inode.kind == "regular":
        inode.size = 0
    return fd


@wrong(Inode.cut, "truncation.private.page")
def private_copies_outlive_their_page(cut: Original, self: Inode, size: int, choices: Any = None) -> None:
    """Private copies past the end of the file are kept by a truncation."""
    kept = [
        (mapping.space.table, number, mapping.space.table.entries[number])
        for mapping in mappings_of(self)
        for number in mapping.space.table.within(*numbers(mapping))
        if mapping.space.table.entries[number].refcount
    ]
    cut(self, size, choices)
    for table, number, page in kept:
        if number not in table.entries:
            table.entries[number] = page
            page.refcount += 1


@wrong(Inode.cut, "truncation.private.tail")
def a_cut_wipes_private_copies(cut: Original, self: Inode, size: int, choices: Any = None) -> None:
    """Private copies past the new end of the file become zero as well."""
    cut(self, size, choices)
    index, used = divmod(size, self.cache.memory.page)
    for mapping in mappings_of(self):
        for number in mapping.space.table.within(*numbers(mapping)):
            if mapping.file_page(number) == index and used:
                mapping.space.table.entries[number].wipe(used)


# ---------------------------------------------------------------------------------------------------------------- holes


@wrong(PageCache.page, "hole.zero", bug="StarryOS #1164")
def holes_hold_rubbish(page: Original, self: PageCache, index: int) -> Page:
    """A page that is not on the disk is not made zero."""
    is_hole = index not in self.pages and self.on_disk is not None and index not in self.on_disk.blocks
    frame: Page = page(self, index)
    if is_hole:
        frame.data[:] = b"\xdb" * len(frame.data)
    return frame


@wrong(AddressSpace.access, "hole.store")
def a_store_in_a_hole_is_the_mappings_own(
    access: Original, self: AddressSpace, mapping: Any, number: int, store: bool
) -> Page | None:
    """Stores to a hole of the file do not reach the file."""
    record = mapping.inode.cache.on_disk if mapping.shared and mapping.inode is not None else None
    is_hole = record is not None and mapping.file_page(number) not in record.blocks
    page: Page | None = access(self, mapping, number, store)
    return own(self.table, number) if store and is_hole and page is not None else page


@wrong(OnDiskFile.reserve, "hole.storage")
def a_store_takes_no_room(reserve: Original, self: OnDiskFile, block: int, choices: Any) -> bool:
    """Only what was written back takes room."""
    self.blocks.setdefault(block, b"")
    return True


@wrong(OnDiskFile.punch, "hole.storage", bug="gVisor d11ef20a9")
def a_hole_gives_no_room_back(punch: Original, self: OnDiskFile, first: int, stop: int) -> None:
    """The storage of a hole is lost."""
    used = self.disk.used
    punch(self, first, stop)
    self.disk.used = used


@wrong(AddressSpace.access, "hole.full")
def a_store_without_room_is_kept_in_memory(
    access: Original, self: AddressSpace, mapping: Any, number: int, store: bool
) -> Page | None:
    """No call reports that the file system is full."""
    page: Page | None = access(self, mapping, number, store)
    if page is None and store and mapping.bytes_to_eof(number * self.table.memory.page) > 0:
        return self.table.entries.get(number)
    return page


@wrong(Mmap, "mmap.refcount.no-descriptor", bug="emscripten #21360")
def a_mapping_takes_a_descriptor(self: ReferenceProcess, mmap: Mmap) -> int:
    """A descriptor of the mapping's own keeps its file open."""
    base = mmap()
    if not mmap.flags & MAP_ANONYMOUS:
        self.dup(mmap.fd)
    return base
