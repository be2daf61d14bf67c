"""A mapping: a range of whole pages of an address space, with a protection and a source of its content.

The source is a window of a file, or private anonymous memory.  What a mapping has besides its range are its
*properties*; neighbours with the same properties can be merged.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Final, Protocol

from ..contract import MADV_NORMAL
from .constants import PROT_ALL, PROT_WRITE
from .files import Inode, OpenFileDescription
from .page_table import PageTable
from .paging import Page

MERGE_FIELDS: Final = (
    "prot",
    "execute_only",
    "max_prot",
    "shared",
    "inode",
    "description",
    "locked",
    "lock_on_fault",
    "dont_fork",
    "wipe_on_fork",
    "grows_down",
    "droppable",
    "read_ahead",
    "sealed",
)
"""The properties that neighbours have in common when they can be merged."""

properties: Final = attrgetter(*MERGE_FIELDS)
"""Return the values of a mapping's MERGE_FIELDS."""


class Space(Protocol):
    """The address space of a mapping, as far as a mapping and its file use it."""

    page: int
    task_size: int
    table: PageTable

    def find(self, addr: int) -> Mapping | None: ...

    def access(self, mapping: Mapping, number: int, store: bool) -> Page | None: ...


class Mapping:
    """A range of pages with one meaning."""

    __slots__ = (
        "description",
        "dont_fork",
        "droppable",
        "end",
        "execute_only",
        "file_version",
        "forked",
        "grows_down",
        "has_private_pages",
        "inode",
        "largest_size",
        "least_size",
        "lock_on_fault",
        "locked",
        "max_prot",
        "merged",
        "offset",
        "prot",
        "read_ahead",
        "sealed",
        "shared",
        "space",
        "start",
        "wipe_on_fork",
    )

    def __init__(
        self,
        space: Space,
        start: int,
        end: int,
        prot: int,
        shared: bool,
        inode: Inode | None = None,
        description: OpenFileDescription | None = None,
        offset: int = 0,
        locked: bool = False,
    ) -> None:
        self.space = space
        self.start = start
        self.end = end
        self.prot = prot
        """The protection of its pages."""
        self.max_prot = PROT_ALL
        """The protection that mprotect may give them; fixed by the descriptor when it is mapped."""
        self.shared = shared
        self.inode = inode
        """The mapped file; None for private memory without a file."""
        self.description = description
        """The open file description that it holds, so that the file stays open."""
        self.offset = offset
        """Its start in the file, in bytes; without a file, the address that it was mapped at."""
        self.locked = locked
        self.execute_only = False
        """True if the hardware refuses loads, because PROT_EXEC was all that was requested."""
        self.lock_on_fault = False
        """True if each page is locked when it is first accessed."""
        self.dont_fork = False
        """True if a child does not inherit it (MADV_DONTFORK)."""
        self.wipe_on_fork = False
        """True if a child inherits it filled with zeros (MADV_WIPEONFORK)."""
        self.grows_down = False
        """True if it grows downwards when an address below it is accessed."""
        self.droppable = False
        """True if its pages may become zero at any time."""
        self.read_ahead = MADV_NORMAL
        """The expected order of accesses: MADV_NORMAL, MADV_RANDOM or MADV_SEQUENTIAL."""
        self.sealed = False
        """True if it cannot be changed until the process ends (mseal)."""
        self.file_version = 0
        """The file's content_version when it was mapped."""
        self.least_size = self.largest_size = 0 if inode is None else inode.size
        """The least and the largest size of the file since it was mapped; without a file 0."""
        self.forked = False
        """True if a fork created it: pages that the parent has only loaded from may be resident, or not."""
        self.merged = False
        """True if it was merged of several mappings; a system may still keep them apart."""
        self.has_private_pages = False
        """True if it has ever had a private page; Linux then keeps an anon_vma with its original addresses."""

    def file_page(self, number: int) -> int:
        """Return the page of the file that page number `number` of the address space shows."""
        page = self.space.page
        return (self.offset - self.start) // page + number

    def bytes_to_eof(self, addr: int) -> int:
        """Return the bytes from the page at `addr` to the end of the file; negative past the end."""
        assert self.inode is not None
        return self.inode.size - self.file_page(addr // self.space.page) * self.space.page

    def note_size(self, size: int) -> None:
        """Record a new size of the file."""
        self.least_size = min(self.least_size, size)
        self.largest_size = max(self.largest_size, size)

    def was_resized_at(self, number: int) -> bool:
        """True if the file has lost or gained the page at page number `number` since it was mapped."""
        return self.least_size <= self.file_page(number) * self.space.page < self.largest_size

    def part(self, start: int, end: int, space: Space) -> Mapping:
        """Return the part of it from `start` to `end` as a mapping of its own, in an address space."""
        part = Mapping.__new__(Mapping)
        for name in Mapping.__slots__:  # copy.copy takes five times as long
            setattr(part, name, getattr(self, name))
        part.space = space
        part.start = start
        part.end = end
        part.offset = self.offset + start - self.start
        return part

    def drop_file_pages(self, first: int, stop: int, private: bool = True) -> None:
        """Remove the entries of the pages `first` to before `stop` of the file; of `private` copies only if asked."""
        page = self.space.page
        shift = (self.start - self.offset) // page
        self.space.table.zap(max(self.start // page, first + shift), min(self.end // page, stop + shift), private)

    def is_contiguous_with(self, left: Mapping) -> bool:
        """True if `left` ends where this mapping begins, has the same properties, and shows what comes before."""
        return self.is_like(left) and left.offset + left.end - left.start == self.offset

    def is_like(self, left: Mapping) -> bool:
        """True if `left` ends where this mapping begins and has the same properties (MERGE_FIELDS)."""
        return left.end == self.start and properties(left) == properties(self)

    @property
    def is_untouched(self) -> bool:
        """True if it is private memory of no file that has never been stored to."""
        return self.inode is None and not self.shared and not self.has_private_pages

    @property
    def may_merge_with_untouched(self) -> bool:
        """True if Linux may merge it with untouched memory that is like it.

        Memory that was made read-only after a store still counts as data, and so as unlike.
        """
        return self.is_untouched or self.prot & PROT_WRITE != 0

    @property
    def requested_shared(self) -> bool:
        """True if it was requested as shared, also if of zeros that cannot be written: Linux makes that private."""
        zeros = self.inode is None and self.description is not None
        return self.shared or (zeros and not self.max_prot & PROT_WRITE)

    @property
    def is_data(self) -> bool:
        """True if it counts as data of the process (RLIMIT_DATA)."""
        return not self.shared and not self.grows_down and self.prot & PROT_WRITE != 0

    def acquire(self) -> None:
        """Take a reference to its file and its open file description."""
        if self.description is not None:
            self.description.references += 1
        if self.inode is not None:
            self.inode.mappings[self] = None

    def release(self) -> None:
        """Drop its references; the last reference releases the file."""
        if self.inode is not None:
            del self.inode.mappings[self]
        if self.description is not None:
            self.description.release()
