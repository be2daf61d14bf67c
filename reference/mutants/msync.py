"""Mutants of msync, and of the content of the disk."""

from __future__ import annotations

from errno import EBUSY, EFAULT, EINVAL, ENOMEM

from ..choices import Choices
from ..constants import MS_ASYNC, MS_INVALIDATE, MS_SYNC
from ..disk import OnDiskFile
from ..mutant import Original, never, other, refuses, wrong
from ..page_calls import PageCalls
from ..process import ReferenceProcess
from .contents import CONTENT

REFUSALS = (
    never("msync-takes-unknown-flags", "msync.errno.EINVAL", reason="flags-unknown"),
    never(
        "msync-takes-an-unaligned-address",
        "msync.errno.EINVAL.address",
        reason="addr-unaligned",
    ),
    never("msync-takes-both-flags", "msync.errno.EINVAL", reason="async-and-sync"),
    never("msync-says-0-for-a-hole", "msync.errno.ENOMEM"),
    other("msync-says-EFAULT-for-a-hole", EFAULT, "msync.errno.ENOMEM", bug="NetBSD"),
    other("msync-says-EINVAL-for-a-hole", EINVAL, "msync.result", named="msync.errno.ENOMEM"),
    never("msync-invalidates-locked-pages", "msync.flag.invalidate.busy"),
    other("msync-says-EINVAL-for-locked-pages", EINVAL, "msync.flag.invalidate.busy"),
    refuses(
        "msync-refuses-what-has-no-file",
        ReferenceProcess.msync,
        EINVAL,
        lambda self, addr, length, flags: any(m.inode is None for m in self.space.over(addr, addr + length)),
        "msync.anonymous",
        text="memory without a file is in the range",
    ),
    refuses(
        "msync-refuses-private-mappings",
        ReferenceProcess.msync,
        EINVAL,
        lambda self, addr, length, flags: any(
            m.inode is not None and not m.shared for m in self.space.over(addr, addr + length)
        ),
        "msync.result",
        "msync.errno.ENOMEM",
        "msync.errno.EINVAL",
        text="a private mapping is in the range",
    ),
    refuses(
        "msync-is-about-one-mapping",
        ReferenceProcess.msync,
        ENOMEM,
        lambda self, addr, length, flags: len(self.space.over(addr, addr + length)) > 1,
        "msync.result",
        "msync.errno.EINVAL",
        text="the range holds more than one mapping",
    ),
    refuses(
        "msync-knows-no-MS_ASYNC",
        ReferenceProcess.msync,
        EINVAL,
        lambda self, addr, length, flags: flags & MS_ASYNC,
        "msync.flag.async",
        "msync.result",
        "msync.errno.ENOMEM",
        text="flags have MS_ASYNC",
    ),
    refuses(
        "msync-is-always-busy-with-locked-pages",
        ReferenceProcess.msync,
        EBUSY,
        lambda self, addr, length, flags: any(m.locked for m in self.space.over(addr, addr + length)),
        "msync.flag.invalidate.busy",
        "msync.result",
        text="a page of the range is locked, whatever the flags",
    ),
    refuses(
        "msync-refuses-a-length-that-wraps",
        ReferenceProcess.msync,
        ENOMEM,
        lambda self, addr, length, flags: length and self.round_up(length) == 0 and addr % self.page == 0,
        "msync.length-wraps",
        "msync.errno.EINVAL",
        "msync.result",
        text="length rounds up to 0",
    ),
)


@wrong(PageCalls.msync, "msync.flag.sync", "msync.flush", bug="Cygwin b31aa3904")
def msync_does_not_flush(msync: Original, self: PageCalls, addr: int, length: int, flags: int) -> None:
    """MS_SYNC does not wait for the disk."""
    msync(self, addr, length, flags if flags & MS_ASYNC else flags & ~MS_SYNC)


@wrong(PageCalls.msync, "msync.flush", bug="OSv 4a8a2fd2, #452")
def msync_writes_from_the_files_start(msync: Original, self: PageCalls, addr: int, length: int, flags: int) -> None:
    """The requested number of bytes is written, but from the start of the file."""
    shifted = [(mapping, mapping.offset) for mapping in self.space.mappings.values() if mapping.inode is not None]
    for mapping, _offset in shifted:
        mapping.offset = 0
    try:
        msync(self, addr, length, flags)
    finally:
        for mapping, offset in shifted:
            mapping.offset = offset


@wrong(PageCalls.msync, "msync.flush")
def msync_needs_a_descriptor(msync: Original, self: PageCalls, addr: int, length: int, flags: int) -> None:
    """A file of which the process has no descriptor is not written."""
    mapping = self.space.find(addr)
    held = {descriptor.description for descriptor in self.descriptors.values()}
    closed = mapping is not None and mapping.description not in held
    msync(self, addr, length, flags & ~MS_SYNC if closed and not flags & MS_ASYNC else flags)


@wrong(PageCalls.msync, "msync.usual-arguments", "msync.errno.ENOMEM")
def msync_rounds_the_length_down(msync: Original, self: PageCalls, addr: int, length: int, flags: int) -> None:
    """The last page is left out where length is not a multiple of the page."""
    msync(self, addr, length - length % self.page, flags)


@wrong(ReferenceProcess.munmap, "msync.then-munmap")
def unmapping_takes_back_what_was_synced(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """The end of a mapping takes its blocks off the disk again."""
    synced = [m for m in self.space.over(addr, addr + length) if m.shared and m.inode is not None]
    munmap(self, addr, length)
    for mapping in synced:
        assert mapping.inode is not None
        record = mapping.inode.cache.on_disk
        if record is not None:
            record.blocks.update(dict.fromkeys(record.blocks, b""))


@wrong(OnDiskFile.reserve, "msync.no-promise")
def a_store_gives_up_what_is_on_the_disk(reserve: Original, self: OnDiskFile, block: int, choices: Choices) -> bool:
    """From the first store into a page until it is written the disk has zeros there."""
    has_room = bool(reserve(self, block, choices))
    if has_room:
        self.blocks[block] = b""
    return has_room


@wrong(PageCalls.msync, "msync.flag.invalidate", *CONTENT)
def invalidating_throws_stores_away(msync: Original, self: PageCalls, addr: int, length: int, flags: int) -> None:
    """MS_INVALIDATE drops what has been stored and is not on the disk yet."""
    msync(self, addr, length, flags & ~MS_SYNC if flags & MS_INVALIDATE and not flags & MS_ASYNC else flags)
    for mapping in self.space.over(addr, addr + length) if flags & MS_INVALIDATE else ():
        if mapping.shared and mapping.inode is not None and mapping.inode.cache.on_disk is not None:
            cache, blocks = mapping.inode.cache, mapping.inode.cache.on_disk.blocks
            for index in cache.within(
                mapping.file_page(mapping.start // self.page), mapping.file_page(mapping.end // self.page)
            ):
                if cache.pages[index].dirty:
                    cache.pages[index].wipe(0)
                    cache.pages[index].data[: len(blocks.get(index, b""))] = blocks.get(index, b"")


@wrong(PageCalls.msync, "msync.flag.async", *CONTENT)
def asynchronous_stores_are_lost(msync: Original, self: PageCalls, addr: int, length: int, flags: int) -> None:
    """MS_ASYNC drops what has been stored."""
    msync(self, addr, length, flags)
    for mapping in self.space.over(addr, addr + length) if flags & MS_ASYNC else ():
        if mapping.shared and mapping.inode is not None:
            for number in self.space.table.within(mapping.start // self.page, mapping.end // self.page):
                self.space.table.entries[number].wipe(0)


@wrong(PageCalls.msync, "msync.errno.ENOMEM.rest")
def msync_stops_at_a_hole(msync: Original, self: PageCalls, addr: int, length: int, flags: int) -> None:
    """The mappings after a hole are not written."""
    hole = (
        self.space.hole(addr, addr + self.round_up(length))
        if addr % self.page == 0 and length < self.task_size
        else None
    )
    if hole is not None and flags & MS_SYNC and not flags & MS_ASYNC:
        msync(self, addr, hole - addr, flags)
        msync(self, hole, self.page, flags)
    msync(self, addr, length, flags)


@wrong(PageCalls.msync, "msync.length-wraps", "msync.errno.ENOMEM")
def msync_of_a_huge_length_is_nothing(msync: Original, self: PageCalls, addr: int, length: int, flags: int) -> None:
    """Any length in the upper half of all numbers is 0."""
    msync(self, addr, 0 if (length & self.mask) > self.mask // 2 else length, flags)
