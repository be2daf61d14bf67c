"""Mutants of the mapping of files in general, and of the calls in the chapter's example."""

from __future__ import annotations

from collections.abc import Iterator
from errno import EBUSY, EINVAL

from ..accesses import Accesses
from ..constants import MAP_ANONYMOUS, MAP_FIXED, O_CREAT
from ..file_calls import FileCalls
from ..files import Inode
from ..mutant import Original, never, refuses, wrong
from ..process import ReferenceProcess
from .calls import Mmap, mappings_of
from .contents import CONTENT

REFUSALS = (
    refuses(
        "a-mapped-file-cannot-be-cut",
        ReferenceProcess.ftruncate,
        EBUSY,
        lambda self, fd, length: (description := self.description(fd)) is not None and description.inode.mappings,
        "truncation.pages",
        "file.errno",
        text="the file is mapped",
        bug="WSL #902",
    ),
    refuses(
        "fstat-of-a-directory-fails",
        ReferenceProcess.fstat,
        EINVAL,
        lambda self, fd: (description := self.description(fd)) is not None and description.inode.kind == "directory",
        "example.regular",
        "file.errno",
        text="the file is a directory",
    ),
    refuses(
        "munmap-fails-where-the-descriptor-is-closed",
        ReferenceProcess.munmap,
        EINVAL,
        lambda self, addr, length: (
            (mapping := self.space.find(addr)) is not None
            and mapping.inode is not None
            and mapping.description not in {descriptor.description for descriptor in self.descriptors.values()}
        ),
        "example.print",
        "munmap.result",
        "munmap.range",
        text="the file has been closed",
    ),
    never("a-mapped-file-is-sealed", "memfd.seal.write.busy", "file.errno"),
)


@wrong(FileCalls.open, "example.open", "file.errno")
def open_makes_what_is_not_there(open: Original, self: FileCalls, path: str, flags: int, mode: int = 0o600) -> int:
    """Opening a name that does not exist makes the file."""
    return int(open(self, path, int(flags) | O_CREAT if "/" not in path and path != "." else flags, mode))


@wrong(FileCalls.fstat, "example.regular", "file.errno")
def everything_is_a_regular_file(fstat: Original, self: FileCalls, fd: int) -> object:
    """fstat reports every file as a regular file."""
    return fstat(self, fd)._replace(kind="regular")


@wrong(FileCalls.fstat, "example.print", "file.errno")
def nothing_is_a_regular_file(fstat: Original, self: FileCalls, fd: int) -> object:
    """fstat reports every file as a device."""
    return fstat(self, fd)._replace(kind="character")


@wrong(FileCalls.fstat, "example.print", "file.errno")
def fstat_reports_whole_pages(fstat: Original, self: FileCalls, fd: int) -> object:
    """fstat rounds the size of a file up to whole pages."""
    result = fstat(self, fd)
    return result._replace(size=-(-result.size // self.page) * self.page)


@wrong(Mmap, "overview.one-to-one", *CONTENT)
def a_mapping_begins_in_the_middle(self: ReferenceProcess, mmap: Mmap) -> int:
    """A mapping from a page other than the first begins a page too late."""
    shift = (
        self.page
        if not mmap.flags & MAP_ANONYMOUS and 0 < mmap.offset < 1 << 40 and mmap.offset % self.page == 0
        else 0
    )
    return mmap(offset=mmap.offset + shift)


@wrong(Accesses.store, "overview.one-to-one", *CONTENT)
def a_store_changes_a_word(store: Original, self: Accesses, addr: int, data: bytes) -> None:
    """A store of one byte makes the byte after it, in the same page, zero."""
    store(self, addr, data)
    if len(data) == 1 and (addr + 1) % self.page:
        store(self, addr + 1, b"\0")


@wrong(Accesses.load, "overview.no-read-write")
def every_load_is_a_read(load: Original, self: Accesses, addr: int, length: int) -> bytes:
    """A load is made by read calls, one for each 64 bytes."""
    self.reads += -(-length // 64)
    return bytes(load(self, addr, length))


@wrong(Accesses.store, "overview.no-read-write")
def every_store_is_a_write(store: Original, self: Accesses, addr: int, data: bytes) -> None:
    """A store is made by write calls, one for each 64 bytes."""
    self.writes += -(-len(data) // 64)
    store(self, addr, data)


@wrong(ReferenceProcess.exit, "example.usage", "file.errno")
def a_parent_gets_the_whole_status(exit: Original, self: ReferenceProcess, status: int = 0) -> int:
    """The parent gets the whole exit status, not its lowest eight bits."""
    exit(self, status)
    return status


@wrong(ReferenceProcess.exit, "example.errors", "file.errno")
def a_status_has_seven_bits(exit: Original, self: ReferenceProcess, status: int = 0) -> int:
    """The eighth bit of a status is lost."""
    return int(exit(self, status)) & 0x7F


@wrong(Accesses.add, "overview.no-read-write")
def every_addition_is_a_read_and_a_write(add: Original, self: Accesses, addr: int, times: int, lock: int = 0) -> None:
    """An addition is made by a read call and a write call."""
    self.reads += times
    self.writes += times
    add(self, addr, times, lock)


@wrong(Mmap, "overview.pointer-navigation", "file.errno", bug="qiling (reading)")
def mmap_moves_the_file_offset(self: ReferenceProcess, mmap: Mmap) -> int:
    """Mapping a file moves the descriptor's file offset to where the mapping begins."""
    place = mmap()
    description = self.description(mmap.fd)
    if description is not None and not mmap.flags & MAP_ANONYMOUS:
        description.offset = mmap.offset
    return place


@wrong(Accesses.add_slices, "overview.critical-section")
def a_lock_excludes_no_process(
    add_slices: Original, self: Accesses, addr: int, times: int, lock: int = 0
) -> Iterator[None]:
    """A lock word is ignored by other processes."""
    return add_slices(self, addr, times, 0)  # type: ignore[no-any-return]


@wrong(Accesses.add_slices, "overview.critical-section")
def an_addition_without_a_lock_is_made_twice(
    add_slices: Original, self: Accesses, addr: int, times: int, lock: int = 0
) -> Iterator[None]:
    """One addition more is made without a lock, as if another process had interfered with the first attempt."""
    return add_slices(self, addr, times if lock else times + 1, lock)  # type: ignore[no-any-return]


@wrong(Mmap, "overview.page-multiple", "mmap.flag.fixed", *CONTENT, "munmap.range", bug="emscripten #11565")
def the_last_part_of_a_page_is_not_mapped(self: ReferenceProcess, mmap: Mmap) -> int:
    """A length that is not a multiple of the page is rounded down, unless that is nothing."""
    shorter = mmap.length - mmap.length % self.page if self.page < mmap.length < self.task_size else mmap.length
    return mmap(length=shorter)


@wrong(Mmap, "overview.page-multiple", "mmap.flag.fixed", *CONTENT, "munmap.range", "paging.unit", bug="WSL #7569")
def a_mapping_is_a_multiple_of_two_pages(self: ReferenceProcess, mmap: Mmap) -> int:
    """With MAP_FIXED a mapping of an odd number of pages takes one more."""
    odd = mmap.flags & MAP_FIXED and 0 < mmap.length < self.task_size and self.round_up(mmap.length) // self.page % 2
    return mmap(length=self.round_up(mmap.length) + self.page if odd else mmap.length)


@wrong(Inode.extend, "growth.accessible", *CONTENT, "overview.slack")
def a_file_that_grows_is_not_seen_to(extend: Original, self: Inode, size: int, choices: object) -> None:
    """A mapping made before the file grew does not show what is new."""
    before = self.size
    extend(self, size, choices)
    page = self.cache.memory.page
    for mapping in mappings_of(self):
        first = mapping.start + max(-(-before // page) * page - mapping.offset, 0)
        for number in range(first // page, min(mapping.end // page, first // page + 64)):
            mapping.space.table.entries.setdefault(number, self.cache.memory.allocate())
