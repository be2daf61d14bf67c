"""The disk: the content that survives a crash.

Each file has two copies.  What programs see is in the page cache (paging.py); what the disk has is here, block by
block, a block being a page long.  Write-back carries a dirty page from there to here.  Between two write-backs the two
differ, and after a crash nothing but the disk is left.

A `OnDiskFile` is what the disk keeps of one file: its blocks, its size, and whether its directory entry is durable.
Room for a block is taken when the block is first written to in memory, so that write-back never finds the disk full;
hence the room of a file is freed only when nothing refers to the file any more.

Sizes and names are journalled: growth and a new name take effect when the file is first synced, a truncation then or
before.  Data is not journalled: the disk may write a dirty page back at any time.  After a crash each byte of it has a
value that it had since the page was last written back, and FileChoices.survives says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class DiskChoices(Protocol):
    """Choices of a disk."""

    def has_room(self, free: int, length: int) -> bool:
        """True if a disk with `free` bytes has room for `length` more."""


class Disk:
    """Room for blocks."""

    __slots__ = ("capacity", "may_crash", "used")

    def __init__(self, capacity: int, *, may_crash: bool = False) -> None:
        self.capacity = capacity
        self.may_crash = may_crash
        """True if what memory has of its files can be lost (Facility.CRASHING_FILE_SYSTEM)."""
        self.used = 0

    @property
    def free(self) -> int:
        """Bytes that are free."""
        return self.capacity - self.used


class OnDiskFile:
    """The blocks, size and name of one file on the disk."""

    __slots__ = ("blocks", "disk", "indeterminate", "name_durable", "page", "size", "truncated")

    def __init__(self, disk: Disk, page: int) -> None:
        self.disk = disk
        self.page = page
        self.blocks: dict[int, bytes] = {}
        """Block by its number; empty bytes where room was taken and nothing has been written yet."""
        self.size = 0
        self.name_durable = False
        self.truncated = False
        """True if it was truncated, or got a hole, since it was last synced: the disk may have that or not."""
        self.indeterminate: dict[int, dict[int, bytes]] = {}
        """The indeterminate bytes of blocks, by block and offset: each with the values that it may have."""

    def write(self, block: int, content: bytes, indeterminate: Mapping[int, bytes]) -> None:
        """Store the content of a block; `indeterminate`: those of its bytes that are, as in a page."""
        self.blocks[block] = content
        self.indeterminate.pop(block, None)
        if there := {at: values for at, values in indeterminate.items() if at < len(content)}:
            self.indeterminate[block] = there

    def allow(
        self, block: int, content: bytes, indeterminate: Mapping[int, bytes], replaced: Mapping[int, bytes]
    ) -> None:
        """Let a block have its content, that of its page in memory, or what was `replaced` there before a crash."""
        before, own = self.blocks.get(block, b"").ljust(len(content), b"\0"), self.indeterminate.get(block, {})
        after = content.ljust(len(before), b"\0")
        values = {
            at: bytes(
                dict.fromkeys(
                    own.get(at, before[at : at + 1]) + replaced.get(at, b"") + indeterminate.get(at, after[at : at + 1])
                )
            )
            for at in range(len(before))
            if before[at] != after[at] or at in own or at in indeterminate or at in replaced
        }
        self.write(block, before, values)

    def settle(self, block: int, content: bytes | bytearray, indeterminate: Mapping[int, bytes]) -> None:
        """Take from a block's page, unchanged since it was written back or read, what has been determined there."""
        own = self.indeterminate.get(block, {})
        if own and block in self.blocks:
            known = {at for at in own if at not in indeterminate}
            settled = bytes(content[at] if at in known else value for at, value in enumerate(self.blocks[block]))
            self.write(block, settled, {at: values for at, values in own.items() if at not in known})

    def reserve(self, block: int, choices: DiskChoices) -> bool:
        """Take room for a block; False when the disk is full."""
        if block in self.blocks:
            return True
        if not choices.has_room(self.disk.free, self.page):
            return False
        self.disk.used += self.page
        self.blocks[block] = b""
        return True

    def punch(self, first: int, stop: int) -> None:
        """Give back the room of the blocks from `first` to before `stop`."""
        gone = [block for block in self.blocks if first <= block < stop]
        for block in gone:
            del self.blocks[block]
            self.indeterminate.pop(block, None)
        self.disk.used -= self.page * len(gone)
        self.truncated = True

    def move(self, first: int, by: int) -> None:
        """Move the blocks by a number of blocks: down over those from `first` on, or from `first` on up."""
        before, stop = len(self.blocks), first - min(by, 0)
        places = {block: block if block < first else block + by for block in self.blocks if not first <= block < stop}
        self.indeterminate = {places[block]: own for block, own in self.indeterminate.items() if block in places}
        self.blocks = {place: self.blocks[block] for block, place in places.items()}
        self.disk.used -= self.page * (before - len(self.blocks))
        self.size += by * self.page

    def cut(self, size: int) -> None:
        """Truncate to `size` bytes: give back the room of the blocks past the end, and drop the bytes past it."""
        page = self.page
        past_end = [block for block in self.blocks if block * page >= size]
        for block in past_end:
            del self.blocks[block]
            self.indeterminate.pop(block, None)
        self.disk.used -= page * len(past_end)
        self.truncated = self.truncated or size < self.size
        self.size = min(self.size, size)
        last = size // page
        if self.blocks.get(last):
            self.write(last, self.blocks[last][: size % page], self.indeterminate.get(last, {}))
