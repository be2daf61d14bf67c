"""Mutants of pages: faults, residency, the page size."""

from __future__ import annotations

from ..accesses import Accesses
from ..address_space import AddressSpace
from ..mapping import Mapping
from ..mutant import Original, wrong
from ..page_calls import PageCalls
from ..page_table import PageTable
from ..paging import Page
from ..process import ReferenceProcess
from .contents import CONTENT


@wrong(Accesses.load, "paging.pages", *CONTENT)
def a_load_does_not_cross_into_the_next_page(load: Original, self: Accesses, addr: int, length: int) -> bytes:
    """A load past the end of a page continues at the start of the same page."""
    room = self.page - addr % self.page
    if length <= room or length > self.page:
        return bytes(load(self, addr, length))
    return bytes(load(self, addr, room) + load(self, addr - addr % self.page, length - room))


@wrong(Mapping.file_page, "paging.pages", *CONTENT)
def pages_of_a_file_lie_in_its_order(index: Original, self: Mapping, number: int) -> int:
    """A mapping shows the page of the file that the one before it in memory makes one expect."""
    before = self.space.find(self.start - 1)
    if before is not None and before.inode is self.inode and before.inode is not None:
        return int(before.file_page(number))
    return int(index(self, number))


@wrong(PageTable.copy, "paging.unit", *CONTENT)
def two_pages_are_copied_at_once(copy: Original, self: PageTable, number: int, page: Page) -> Page:
    """A private copy of a page also makes one of the next page, which is zero."""
    own: Page = copy(self, number, page)
    if number + 1 not in self.entries:
        beside = self.entries[number + 1] = self.memory.allocate()
        beside.refcount = 1
    return own


@wrong(AddressSpace.fault_in, "paging.unit", *CONTENT, "file.truncate")
def a_file_ends_two_pages_later(fault_in: Original, self: AddressSpace, mapping: Mapping, number: int) -> Page | None:
    """The page after the last page of a file is accessible as well."""
    frame: Page | None = fault_in(self, mapping, number)
    inode = mapping.inode
    if frame is None and inode is not None and (mapping.file_page(number) - 1) * self.table.memory.page < inode.size:
        frame = self.table.entries[number] = self.table.memory.allocate()
    return frame


@wrong(AddressSpace.fault_in, "paging.fault-loads", *CONTENT, bug="OSv 65d7e881")
def a_page_is_there_before_its_content(
    fault_in: Original, self: AddressSpace, mapping: Mapping, number: int
) -> Page | None:
    """A page that has to be read from the disk is seen as zero."""
    inode = mapping.inode
    stored = inode is not None and inode.cache.needs_disk_read(mapping.file_page(number))
    frame: Page | None = fault_in(self, mapping, number)
    if frame is not None and stored:
        frame.wipe(0)
    return frame


@wrong(AddressSpace.access, "paging.fault-loads", *CONTENT)
def a_store_as_first_access_finds_zeros(
    access: Original, self: AddressSpace, mapping: Mapping, number: int, store: bool
) -> Page | None:
    """Only a load brings the content of the file in; a store as first access finds a page of zeros."""
    is_first = number not in self.table.entries
    page: Page | None = access(self, mapping, number, store)
    if page is not None and store and is_first and mapping.inode is not None:
        page.wipe(0)
    return page


@wrong(AddressSpace.fault_in, "paging.fault-loads", *CONTENT)
def a_fault_brings_one_page_in_twice(
    fault_in: Original, self: AddressSpace, mapping: Mapping, number: int
) -> Page | None:
    """An access to one page of a pair also makes the other page resident, with the same content."""
    frame: Page | None = fault_in(self, mapping, number)
    first = mapping.start // self.table.memory.page
    other = first + ((number - first) ^ 1)
    if frame is not None and mapping.inode is not None and other < mapping.end // self.table.memory.page:
        self.table.entries.setdefault(other, frame)
    return frame


@wrong(PageCalls.mincore, "mincore.vector")
def everything_is_resident(mincore: Original, self: PageCalls, addr: int, length: int) -> list[bool]:
    """mincore reports every page as resident."""
    return [True for _page in mincore(self, addr, length)]


@wrong(PageCalls.mincore, "mincore.vector")
def nothing_is_resident(mincore: Original, self: PageCalls, addr: int, length: int) -> list[bool]:
    """mincore reports no page as resident."""
    return [False for _page in mincore(self, addr, length)]


@wrong(AddressSpace.fault_in, "paging.fault-loads")
def faults_are_not_counted(fault_in: Original, self: AddressSpace, mapping: Mapping, number: int) -> Page | None:
    """No page fault is counted."""
    minor, major = self.table.minor, self.table.major
    frame: Page | None = fault_in(self, mapping, number)
    self.table.minor, self.table.major = minor, major
    return frame


@wrong(Accesses.mapping_at, "paging.fault-outside", "munmap.range")
def outside_is_SIGBUS(mapping_at: Original, self: Accesses, access: str, addr: int) -> Mapping:
    """An access where nothing can ever be is SIGBUS."""
    if addr >= self.machine.parameters.canonical:
        self.fault(access, "SIGBUS", "BUS_ADRERR", addr)
    return mapping_at(self, access, addr)  # type: ignore[no-any-return]


@wrong(Accesses.fault, "munmap.range", "mmap.range", bug="Cygwin 8adc45fde")
def unmapped_is_SIGBUS(fault: Original, self: Accesses, access: str, signal: str, code: str, addr: int) -> None:
    """An access where nothing is mapped is SIGBUS."""
    fault(self, access, "SIGBUS" if code == "SEGV_MAPERR" else signal, code, addr)


@wrong(Accesses.fault, "fault.address", *CONTENT)
def faults_report_the_page(fault: Original, self: Accesses, access: str, signal: str, code: str, addr: int) -> None:
    """A fault reports the address of the page, not of the byte."""
    fault(self, access, signal, code, addr - addr % self.page)


@wrong(PageCalls.sysconf, "paging.size.hardware", "paging.sysconf")
def a_page_is_three(sysconf: Original, self: PageCalls, name: int) -> int:
    """The page size is said to be three times what it is, which is no power of two."""
    return 3 * int(sysconf(self, name))


@wrong(PageCalls.sysconf, "paging.sysconf", bug="Windows: granularity is not the page; WSL #7569")
def a_page_is_two(sysconf: Original, self: PageCalls, name: int) -> int:
    """The page size is said to be twice what it is."""
    return 2 * int(sysconf(self, name))


@wrong(ReferenceProcess.sysconf, "paging.size.hardware", "paging.sysconf")
def each_process_has_its_own_page_size(sysconf: Original, self: ReferenceProcess, name: int) -> int:
    """Every process but the first gets another page size."""
    return int(sysconf(self, name)) << (self.number > 1)


@wrong(PageCalls.sysconf, "paging.sysconf.invalid")
def sysconf_says_0_for_what_it_does_not_know(sysconf: Original, self: PageCalls, name: int) -> int:
    """An unknown name is 0."""
    try:
        return int(sysconf(self, name))
    except OSError:
        return 0


@wrong(ReferenceProcess.sysconf, "paging.sysconf")
def the_page_size_is_another_each_time(sysconf: Original, self: ReferenceProcess, name: int) -> int:
    """The page size is said to be twice as large each time that it is asked for."""
    asked: int = self.__dict__.get("asked", 0)
    self.__dict__["asked"] = asked + 1
    return int(sysconf(self, name)) * (1 << asked)
