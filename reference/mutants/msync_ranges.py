"""Mutants of msync: the pages that it checks, the pages that it writes and their position, errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from errno import EACCES, EBADF, EBUSY, EFAULT, EINVAL, EIO, ENOMEM

from ..address_space import AddressSpace
from ..constants import MS_ASYNC, MS_INVALIDATE, MS_SYNC, PROT_WRITE
from ..linux_choices import LinuxChoices
from ..mapping import Mapping
from ..mutant import Original, refuses, wrong
from ..paging import Page
from ..process import ReferenceProcess
from ..refusal import Refusal
from ..state import State
from .calls import Move


def over(self: State, addr: int, length: int) -> list[Mapping]:
    """The mappings in a range."""
    return self.space.over(addr, addr + self.round_up(length))


@contextmanager
def as_if_clean(self: State, addr: int, length: int, hidden: Callable[[Mapping, int], bool]) -> Iterator[None]:
    """Some of the range's pages, by mapping and page number, seem not to have been changed."""
    pages: list[Page] = []
    for mapping in over(self, addr, length):
        if mapping.inode is not None and mapping.shared:
            shift = mapping.file_page(mapping.start // self.page) - mapping.start // self.page
            for index in mapping.inode.cache.within(
                mapping.file_page(mapping.start // self.page), mapping.file_page(mapping.end // self.page)
            ):
                page = mapping.inode.cache.pages[index]
                if page.dirty and hidden(mapping, index - shift):
                    pages.append(page)
    for page in pages:
        page.dirty = False
    try:
        yield
    finally:
        for page in pages:
            page.dirty = True


REFUSALS = (
    refuses(
        "msync-refuses-memory-without-a-file",
        ReferenceProcess.msync,
        EINVAL,
        lambda self, addr, length, flags: any(m.inode is None for m in over(self, addr, length)),
        "msync.anonymous",
        "msync.result",
        text="private memory is in the range",
        bug="OSv c724ce8c",
    ),
    refuses(
        "msync-refuses-shared-memory",
        ReferenceProcess.msync,
        EINVAL,
        lambda self, addr, length, flags: any(
            m.inode is not None and m.inode.name == "anonymous" for m in over(self, addr, length)
        ),
        "msync.anonymous",
        "msync.result",
        text="shared memory is in the range",
    ),
    refuses(
        "msync-refuses-pages-without-the-right-to-write",
        ReferenceProcess.msync,
        EACCES,
        lambda self, addr, length, flags: any(not m.prot & PROT_WRITE for m in over(self, addr, length)),
        "msync.rights",
        "msync.result",
        text="a page of the range is not writable",
    ),
    refuses(
        "msync-refuses-pages-without-rights",
        ReferenceProcess.msync,
        ENOMEM,
        lambda self, addr, length, flags: any(not m.prot for m in over(self, addr, length)),
        "msync.rights",
        "msync.result",
        text="a page of the range has no rights",
    ),
    refuses(
        "msync-refuses-several-mappings",
        ReferenceProcess.msync,
        ENOMEM,
        lambda self, addr, length, flags: len(over(self, addr, length)) > 1,
        "msync.several",
        "msync.result",
        text="the range is not all one mapping",
    ),
    refuses(
        "msync-refuses-locked-pages",
        ReferenceProcess.msync,
        EBUSY,
        lambda self, addr, length, flags: any(m.locked for m in over(self, addr, length)),
        "msync.lock",
        "msync.result",
        text="a page of the range is locked, whatever the flags",
    ),
    refuses(
        "msync-of-changed-pages-fails",
        ReferenceProcess.msync,
        EIO,
        lambda self, addr, length, flags: any(
            m.inode is not None
            and any(
                self.space.table.entries[n].dirty
                for n in self.space.table.within(m.start // self.page, m.end // self.page)
            )
            for m in over(self, addr, length)
        ),
        "msync.result",
        "msync.flush",
        text="there is something to write",
    ),
    refuses(
        "msync-wants-more-than-the-range",
        ReferenceProcess.msync,
        ENOMEM,
        lambda self, addr, length, flags: (
            addr % self.page == 0
            and bool(over(self, addr, length))
            and self.space.find(addr + self.round_up(length)) is None
        ),
        "msync.errno.ENOMEM",
        "msync.result",
        text="nothing is mapped after the range",
    ),
    refuses(
        "msync-wants-a-flag",
        ReferenceProcess.msync,
        EINVAL,
        lambda self, addr, length, flags: not flags,
        "msync.flags.zero",
        "msync.result",
        text="flags are 0",
    ),
    refuses(
        "msync-refuses-length-0",
        ReferenceProcess.msync,
        EINVAL,
        lambda self, addr, length, flags: length == 0,
        "msync.length-zero",
        "msync.result",
        text="the length is 0",
    ),
    refuses(
        "msync-of-nothing-must-be-mapped",
        ReferenceProcess.msync,
        ENOMEM,
        lambda self, addr, length, flags: length == 0 and self.space.find(addr) is None,
        "msync.length-zero",
        "msync.result",
        text="the length is 0 and nothing is mapped at addr",
    ),
    refuses(
        "msync-wants-a-descriptor",
        ReferenceProcess.msync,
        EBADF,
        lambda self, addr, length, flags: any(
            m.description is not None
            and m.inode is not None
            and m.inode.name != "anonymous"
            and all(d.description is not m.description for d in self.descriptors.values())
            for m in over(self, addr, length)
        ),
        "msync.closed",
        "msync.result",
        text="the descriptor has been closed",
    ),
    refuses(
        "msync-refuses-pages-past-the-end",
        ReferenceProcess.msync,
        EFAULT,
        lambda self, addr, length, flags: any(
            m.inode is not None and m.bytes_to_eof(m.end - self.page) <= 0 and m.inode.name != "anonymous"
            for m in over(self, addr, length)
        ),
        "msync.past-end",
        "msync.result",
        text="the range reaches past the end of the file",
    ),
    refuses(
        "msync-of-a-range-outside-is-EINVAL",
        ReferenceProcess.msync,
        EINVAL,
        lambda self, addr, length, flags: addr % self.page == 0 and addr + self.round_up(length) > self.task_size,
        "msync.errno.ENOMEM.outside",
        "msync.errno.ENOMEM",
        text="the range reaches over the end of the address space",
        bug="OSv (reading)",
    ),
    refuses(
        "msync-looks-at-flags-last",
        ReferenceProcess.msync,
        EBUSY,
        lambda self, addr, length, flags: flags & MS_INVALIDATE and any(m.locked for m in over(self, addr, length)),
        "msync.errno.order",
        "msync.flag.invalidate.busy",
        text="a page of the range is locked, whatever other errors apply",
    ),
    refuses(
        "msync-looks-for-holes-before-flags",
        ReferenceProcess.msync,
        ENOMEM,
        lambda self, addr, length, flags: (
            addr % self.page == 0 and flags > 7 and self.space.hole(addr, addr + self.round_up(length)) is not None
        ),
        "msync.errno.order",
        "msync.errno.EINVAL",
        text="some of the range is not mapped, whatever the flags",
    ),
    refuses(
        "msync-looks-for-holes-first",
        ReferenceProcess.msync,
        ENOMEM,
        lambda self, addr, length, flags: (
            addr % self.page == 0
            and flags in (MS_INVALIDATE, MS_INVALIDATE | MS_ASYNC, MS_INVALIDATE | MS_SYNC)
            and self.space.hole(addr, addr + self.round_up(length)) is not None
        ),
        "msync.errno.order",
        "msync.flag.invalidate.busy",
        text="some of the range is not mapped, whatever is locked",
    ),
)


@wrong(LinuxChoices.refusal, "msync.errno.order", "msync.errno.EINVAL")
def msync_of_an_unaligned_address_is_ENOMEM(
    refusal: Original, self: LinuxChoices, call: str, refusals: Sequence[Refusal]
) -> Refusal:
    """An unaligned address fails with ENOMEM, as if nothing were mapped there."""
    chosen: Refusal = refusal(self, call, refusals)
    if call == "msync" and chosen.reason == "addr-unaligned":
        return chosen._replace(errno=ENOMEM)
    return chosen


@wrong(
    ReferenceProcess.msync, "msync.private", "msync.flush", "mmap.flag.private", "mmap.flag.shared", bug="wasix shim"
)
def msync_writes_private_pages(msync: Original, self: ReferenceProcess, addr: int, length: int, flags: int) -> None:
    """Stores to a private mapping are written to its file."""
    msync(self, addr, length, flags)
    entries = self.space.table.entries
    for mapping in over(self, addr, length):
        if mapping.inode is not None and not mapping.shared:
            for number in self.space.table.within(mapping.start // self.page, mapping.end // self.page):
                if entries[number].refcount:
                    mapping.inode.cache.page(mapping.file_page(number)).data[:] = entries[number].data


@wrong(ReferenceProcess.msync, "msync.private", "msync.flush")
def msync_puts_private_pages_on_the_disk(
    msync: Original, self: ReferenceProcess, addr: int, length: int, flags: int
) -> None:
    """Stores to a private mapping are written to the disk, but not to the page cache."""
    msync(self, addr, length, flags)
    entries = self.space.table.entries
    for mapping in over(self, addr, length):
        inode = mapping.inode
        if inode is not None and not mapping.shared and inode.cache.on_disk is not None:
            for number in self.space.table.within(mapping.start // self.page, mapping.end // self.page):
                if entries[number].refcount:
                    inode.cache.on_disk.blocks[mapping.file_page(number)] = bytes(entries[number].data)


@wrong(
    ReferenceProcess.msync, "msync.flag.invalidate.private", "msync.flag.invalidate", "msync.flush", "mmap.flag.private"
)
def invalidate_throws_private_pages_away(
    msync: Original, self: ReferenceProcess, addr: int, length: int, flags: int
) -> None:
    """MS_INVALIDATE throws private copies away."""
    msync(self, addr, length, flags)
    if flags & MS_INVALIDATE:
        for mapping in over(self, addr, length):
            if not mapping.shared:
                self.space.table.zap(mapping.start // self.page, mapping.end // self.page)


@wrong(ReferenceProcess.msync, "msync.flag.invalidate", "msync.result", "msync.flush", "mmap.flag.shared", "mmap.range")
def invalidate_empties_the_pages(msync: Original, self: ReferenceProcess, addr: int, length: int, flags: int) -> None:
    """After MS_INVALIDATE shared pages are zero."""
    msync(self, addr, length, flags)
    if flags & MS_INVALIDATE:
        for mapping in over(self, addr, length):
            if mapping.inode is not None and mapping.shared:
                for number in self.space.table.within(mapping.start // self.page, mapping.end // self.page):
                    self.space.table.entries[number].wipe(0)


@wrong(
    ReferenceProcess.msync,
    "msync.then-munmap",
    "msync.result",
    "msync.flush",
    "overview.one-to-one",
    "mmap.flag.shared",
)
def msync_throws_the_pages_away(msync: Original, self: ReferenceProcess, addr: int, length: int, flags: int) -> None:
    """Pages that are synced leave memory before they have been written."""
    for mapping in over(self, addr, length):
        if mapping.inode is not None and mapping.shared:
            for number in self.space.table.within(mapping.start // self.page, mapping.end // self.page):
                mapping.inode.cache.pages.pop(mapping.file_page(number), None)
    msync(self, addr, length, flags)


@wrong(ReferenceProcess.msync, "msync.usual-arguments", "msync.errno.ENOMEM")
def msync_always_adds_a_page(msync: Original, self: ReferenceProcess, addr: int, length: int, flags: int) -> None:
    """A length that is a multiple of the page size is rounded up to the next one."""
    msync(self, addr, length + (self.page if length and length % self.page == 0 else 0), flags)


@wrong(ReferenceProcess.msync, "msync.several", "msync.flush")
def msync_writes_the_first_mapping(msync: Original, self: ReferenceProcess, addr: int, length: int, flags: int) -> None:
    """Of several mappings only the first one is written."""
    first = self.space.find(addr)
    with as_if_clean(self, addr, length, lambda mapping, number: mapping is not first):
        msync(self, addr, length, flags)


@wrong(ReferenceProcess.msync, "msync.part", "msync.flush", bug="OSv 4a8a2fd2, emscripten #10094")
def msync_writes_from_the_start_of_the_mapping(
    msync: Original, self: ReferenceProcess, addr: int, length: int, flags: int
) -> None:
    """The requested number of pages is written, but from the first page of the mapping."""
    size = self.round_up(length)
    with as_if_clean(self, addr, length, lambda mapping, number: number * self.page >= mapping.start + size):
        msync(self, addr, length, flags)


@wrong(ReferenceProcess.msync, "msync.part", "msync.flush", bug="emscripten #10095")
def msync_knows_no_offset(msync: Original, self: ReferenceProcess, addr: int, length: int, flags: int) -> None:
    """The pages of the file are written as if the mapping began at offset 0."""
    offsets = [(mapping, mapping.offset) for mapping in over(self, addr, length) if mapping.inode is not None]
    for mapping, _offset in offsets:
        mapping.offset = 0
    try:
        msync(self, addr, length, flags)
    finally:
        for mapping, offset in offsets:
            mapping.offset = offset


@wrong(ReferenceProcess.msync, "msync.others", "msync.flush")
def msync_writes_what_the_process_has_touched(
    msync: Original, self: ReferenceProcess, addr: int, length: int, flags: int
) -> None:
    """Only pages that the process itself has used at these addresses are written."""
    with as_if_clean(self, addr, length, lambda mapping, number: number not in self.space.table.entries):
        msync(self, addr, length, flags)


@wrong(ReferenceProcess.msync, "msync.slack", "msync.result", "overview.slack", "msync.flush", bug="qiling (reading)")
def msync_makes_the_file_longer(msync: Original, self: ReferenceProcess, addr: int, length: int, flags: int) -> None:
    """A file that is synced has whole pages from then on."""
    for mapping in over(self, addr, length):
        if mapping.inode is not None and mapping.shared and mapping.prot & PROT_WRITE:
            mapping.inode.size = self.round_up(mapping.inode.size)
    msync(self, addr, length, flags)


@wrong(ReferenceProcess.msync, "msync.rights-taken", "msync.flush")
def msync_writes_writable_mappings_only(
    msync: Original, self: ReferenceProcess, addr: int, length: int, flags: int
) -> None:
    """Mappings whose PROT_WRITE has been removed are not written."""
    with as_if_clean(self, addr, length, lambda mapping, number: not mapping.prot & PROT_WRITE):
        msync(self, addr, length, flags)


@wrong(Move, "msync.moved", "msync.flush", "mmap.range")
def a_moved_page_is_not_written(self: AddressSpace, move: Move) -> None:
    """A mapping that moves forgets which of its pages have been stored to."""
    move()
    for number in self.table.within(move.place // self.page, (move.place + move.new) // self.page):
        self.table.entries[number].dirty = False


@wrong(ReferenceProcess.msync, "msync.flag.invalidate.busy.rest", "msync.flush")
def msync_of_locked_pages_writes_nothing(
    msync: Original, self: ReferenceProcess, addr: int, length: int, flags: int
) -> None:
    """A locked page is detected before any page is written."""
    if flags & MS_INVALIDATE and any(mapping.locked for mapping in over(self, addr, length)):
        with as_if_clean(self, addr, length, lambda mapping, number: True):
            msync(self, addr, length, flags)
    else:
        msync(self, addr, length, flags)
