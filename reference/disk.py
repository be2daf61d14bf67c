"""The disk: the content that survives a crash.

A file lives twice.  What programs see is in the page cache (paging.py); what the disk has is here, block by block, a
block being a page long.  Write-back carries a dirty page from there to here.  Between two write-backs the two differ,
and after a crash nothing but the disk is left.

A `OnDiskFile` is what the disk keeps of one file: its blocks, its size, and whether its name has got there.  Room for a
block is taken when the block is first written to in memory, so that write-back never finds the disk full; hence the
room of a file is given back only when nothing refers to the file any more.

Sizes and names are journalled: growth and a new name take effect when the file is first synced, a cut then or before.
Data is not journalled: a page that has changed since it was last written back holds either content after a crash, and
FileChoices.survives says which.
"""

from __future__ import annotations

from typing import Protocol


class DiskChoices(Protocol):
    """Choices of a disk."""

    def has_room(self, free: int, length: int) -> bool:
        """True if a disk with `free` bytes has room for `length` more."""


class Disk:
    """Room for blocks."""

    __slots__ = ("capacity", "used")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
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
        """True if it was truncated since it was last synced: the disk may or may not have the new size."""
        self.indeterminate: set[int] = set()
        """Blocks with indeterminate content since the last crash; the first read determines it."""

    def resolve(self, block: int, content: bytes | bytearray) -> None:
        """Store the content of an indeterminate block, which its page in memory has determined."""
        if block in self.indeterminate:
            self.indeterminate.remove(block)
            if block in self.blocks:
                self.blocks[block] = bytes(content)

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
        self.disk.used -= self.page * len(gone)

    def cut(self, size: int) -> None:
        """Truncate to `size` bytes: give back the room of the blocks past the end, and drop the bytes past it."""
        page = self.page
        past_end = [block for block in self.blocks if block * page >= size]
        for block in past_end:
            del self.blocks[block]
        self.disk.used -= page * len(past_end)
        self.truncated = self.truncated or size < self.size
        self.size = min(self.size, size)
        last = size // page
        if self.blocks.get(last):
            self.blocks[last] = self.blocks[last][: size % page]
