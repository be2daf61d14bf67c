"""Mutants of a mapping's content: sharing, copying, zeroing, the end of the file."""

from __future__ import annotations

from typing import Any

from ..accesses import Accesses
from ..address_space import AddressSpace
from ..choices import Choices
from ..files import Inode, OpenFileDescription, shared_memory
from ..mapping import Mapping
from ..mutant import Original, wrong
from ..page_table import PageTable
from ..paging import Page, PageCache
from ..process import ReferenceProcess
from .calls import Mmap, mappings_of

CONTENT = ("mmap.range", "mmap.flag.shared", "mmap.flag.private", "overview.one-to-one")
"""Clauses that random programs cite for wrong content, whatever its cause."""


# ------------------------------------------------------------------------------------------------------ private, shared


@wrong(Accesses.store, "mmap.flag.private", *CONTENT, bug="wasix shim")
def private_stores_reach_the_file(store: Original, self: Accesses, addr: int, data: bytes) -> None:
    """Stores through a private mapping of a file are written to the file."""
    store(self, addr, data)
    mapping = self.space.find(addr)
    if mapping is not None and not mapping.shared and mapping.inode is not None:
        part = data[: max(mapping.bytes_to_eof(addr) - addr % self.page, 0)][: self.page - addr % self.page]
        page = mapping.inode.cache.page(mapping.file_page(addr // self.page))
        page.data[addr % self.page : addr % self.page + len(part)] = part


@wrong(PageTable.copy, "mmap.flag.private", *CONTENT, bug="Asterinas 57d3d9ded")
def nothing_is_copied_on_write(copy: Original, self: PageTable, number: int, page: Page) -> Page:
    """A store through a private mapping of a file goes to the file's page."""
    if page.refcount or page is self.memory.zero:
        return copy(self, number, page)  # type: ignore[no-any-return]
    return page


@wrong(PageTable.fork, "mmap.flag.private", *CONTENT, bug="Asterinas #959, SerenityOS #15952")
def private_pages_are_shared_after_a_fork(fork: Original, self: PageTable) -> PageTable:
    """Parent and child store into the same private pages."""
    child: PageTable = fork(self)
    for page in child.entries.values():
        page.refcount -= 1
    return child


@wrong(PageTable.fork, "mmap.flag.private", "mmap.flag.anonymous", *CONTENT)
def a_child_has_no_private_copies(fork: Original, self: PageTable) -> PageTable:
    """A child does not inherit what was stored in private pages."""
    child: PageTable = fork(self)
    child.zap(0, 1 << 60)
    return child


@wrong(ReferenceProcess.fork, "mmap.flag.anonymous", *CONTENT, "overview.shared-by-processes", bug="Asterinas #504")
def shared_memory_is_copied_at_fork(fork: Original, self: ReferenceProcess) -> ReferenceProcess:
    """Shared anonymous memory is a child's own from the fork on."""
    child: ReferenceProcess = fork(self)
    for mapping in child.space.mappings.values():
        if mapping.inode is not None and mapping.inode.name == "anonymous":
            own = shared_memory(self.machine.memory, mapping.inode.size)
            for index, page in mapping.inode.cache.pages.items():
                own.cache.page(index).data[:] = page.data
            mapping.release()
            mapping.inode, mapping.description = own, OpenFileDescription(self.machine.file_table, own)
            mapping.acquire()
            child.space.table.zap(mapping.start // self.page, mapping.end // self.page)
    return child


@wrong(AddressSpace.fork, "overview.shared-by-processes", *CONTENT)
def a_child_gets_private_mappings(fork: Original, self: AddressSpace) -> AddressSpace:
    """In a child every mapping of a file is private."""
    child: AddressSpace = fork(self)
    for mapping in child.mappings.values():
        mapping.shared = mapping.shared and (mapping.inode is None or mapping.inode.name == "anonymous")
    return child


@wrong(Mmap, "overview.shared-by-processes", *CONTENT, bug="emscripten #5928")
def a_file_is_shared_by_relatives_only(self: ReferenceProcess, mmap: Mmap) -> int:
    """A process that maps a file which another process has mapped gets pages of its own."""
    place = mmap()
    mapping = self.space.find(place)
    if mapping is not None and mapping.inode is not None:
        mapping.shared = mapping.shared and all(other.space is self.space for other in mappings_of(mapping.inode))
    return place


@wrong(PageTable.zap, "mmap.flag.anonymous", *CONTENT, bug="unikraft #394, phoenix-rtos #1742, Cygwin 677e31509")
def recycled_pages_are_not_zeroed(drop: Original, self: PageTable, first: int, stop: int, private: bool = True) -> None:
    """Fresh memory holds what was in a page that was given back."""
    for number in self.within(first, stop):
        if self.entries[number].refcount == 1:
            self.memory.zero = self.entries[number]
    drop(self, first, stop, private)


@wrong(ReferenceProcess.munmap, "mmap.flag.shared", *CONTENT, bug="elfuse #330, qiling #404")
def unmapping_throws_stores_away(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """Stores that are not synchronised are lost with the mapping."""
    parts = [(m, max(m.start, addr), min(m.end, addr + length)) for m in self.space.over(addr, addr + length)]
    stale = [
        (m.inode, m.file_page(number))
        for m, start, end in parts
        if m.shared and m.inode is not None and m.inode.name != "anonymous"
        for number in self.space.table.within(start // self.page, -(-end // self.page))
    ]
    munmap(self, addr, length)
    for inode, index in stale:
        page = inode.cache.pages.get(index)
        if page is not None and page.dirty and inode.cache.on_disk is not None:
            page.wipe(0)
            old = inode.cache.on_disk.blocks.get(index, b"")
            page.data[: len(old)] = old


@wrong(ReferenceProcess.exit, "mmap.flag.shared", *CONTENT, "mmap.refcount.exit")
def exit_throws_stores_away(exit: Original, self: ReferenceProcess, status: int = 0) -> int:
    """Stores to memory that is still mapped at the end of the process are lost."""
    pages = [
        page
        for m in self.space.mappings.values()
        if m.shared and m.inode is not None and m.inode.name != "anonymous"
        for number in self.space.table.within(m.start // self.page, m.end // self.page)
        if (page := self.space.table.entries[number]).dirty
    ]
    status = int(exit(self, status))
    for page in pages:
        page.wipe(0)
    return status


@wrong(Inode.write, "msync.flag.invalidate", *CONTENT, bug="occlum #339, gramine #1432")
def writes_do_not_show_in_mappings(write: Original, self: Inode, data: bytes, offset: int, choices: Choices) -> int:
    """Writes by a descriptor are not visible in pages that a mapping has accessed."""
    cache, size = self.cache, self.cache.memory.page
    for index in cache.within(offset // size, (offset + len(data)) // size + 1):
        old = cache.pages[index]
        cache.pages[index] = cache.memory.allocate(old.data)
        cache.pages[index].dirty = old.dirty
    return int(write(self, data, offset, choices))


@wrong(AddressSpace.fault_in, "mmap.flag.shared", *CONTENT, bug="emscripten #5928")
def mappings_do_not_show_in_the_file(
    fault_in: Original, self: AddressSpace, mapping: Mapping, number: int
) -> Page | None:
    """A mapping's pages are copies of the file's, made at the first touch."""
    page: Page | None = fault_in(self, mapping, number)
    if page is not None and mapping.shared and mapping.inode is not None and mapping.inode.name != "anonymous":
        own = self.table.memory.allocate(page.data)
        own.dirty = True
        self.table.entries[number] = own
        return own
    return page


# ---------------------------------------------------------------------------------------------- the end of the file


@wrong(PageCache.page, "overview.slack", *CONTENT, bug="StarryOS #1164, wasi-libc")
def slack_is_rubbish(page: Original, self: PageCache, index: int) -> Page:
    """The rest of a page past the end of the file is not cleared when the page is read."""
    fresh = index not in self.pages
    frame: Page = page(self, index)
    if fresh:
        frame.data[:] = b"\xaa" * len(frame.data)
    return frame


@wrong(Accesses.store, "overview.slack", *CONTENT, "file.truncate", bug="wasix shim, ruxos #187")
def a_store_into_slack_makes_the_file_longer(store: Original, self: Accesses, addr: int, data: bytes) -> None:
    """A store past the end of a file, in its last page, makes the file longer."""
    store(self, addr, data)
    mapping = self.space.find(addr)
    if mapping is not None and mapping.shared and mapping.inode is not None and mapping.inode.name != "anonymous":
        room = min(len(data), self.page - addr % self.page)
        mapping.inode.size = max(mapping.inode.size, mapping.offset + addr - mapping.start + room)


@wrong(Inode.cut, "truncation.pages", *CONTENT, "mmap.result.success")
def cut_off_pages_stay(cut: Original, self: Inode, size: int, choices: Any = None) -> None:
    """Pages that a mapping has accessed are kept by a truncation."""
    mappings, self.mappings = self.mappings, {}
    cut(self, size, choices)
    self.mappings = mappings


@wrong(Inode.cut, "file.truncate")
def a_truncation_takes_the_page_after_the_mapping(cut: Original, self: Inode, size: int, choices: Any = None) -> None:
    """A truncation removes the page after each mapping of the file as well."""
    cut(self, size, choices)
    for mapping in mappings_of(self):
        stop = mapping.end // mapping.space.page
        mapping.space.table.zap(stop, stop + 1)


@wrong(PageCache.clear_slack, "file.truncate", "overview.slack", *CONTENT)
def a_truncated_page_is_not_zeroed(clear_slack: Original, self: PageCache, size: int) -> None:
    """Truncated bytes of the file's last page stay there."""


@wrong(AddressSpace.fault_in, "file.truncate", *CONTENT, bug="StarryOS #1534")
def past_the_end_is_zero(fault_in: Original, self: AddressSpace, mapping: Mapping, number: int) -> Page | None:
    """A page wholly past the end of the file reads as zero."""
    frame: Page | None = fault_in(self, mapping, number)
    if frame is None:
        frame = self.table.entries[number] = self.table.memory.allocate()
    return frame


@wrong(Accesses.fault, "file.truncate", *CONTENT, bug="Cygwin 8adc45fde")
def past_the_end_is_SIGSEGV(fault: Original, self: Accesses, access: str, signal: str, code: str, addr: int) -> None:
    """A page past the end of the file raises SIGSEGV."""
    fault(self, access, "SIGSEGV", "SEGV_MAPERR" if signal == "SIGBUS" else code, addr)


@wrong(AddressSpace.fault_in, "file.truncate", *CONTENT, bug="Asterinas #2201")
def a_mapping_longer_than_its_file_cannot_be_touched(
    fault_in: Original, self: AddressSpace, mapping: Mapping, number: int
) -> Page | None:
    """If a mapping is longer than its file, its other pages are inaccessible as well."""
    if mapping.inode is not None and mapping.inode.name != "anonymous":
        size = self.table.memory.page
        if mapping.offset + mapping.end - mapping.start > -(-mapping.inode.size // size) * size:
            return None
    frame: Page | None = fault_in(self, mapping, number)
    return frame
