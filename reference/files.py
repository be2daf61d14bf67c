"""Files: names, inodes, open file descriptions, descriptors, and the file systems that they are on.

A *name* is an entry of a directory.  It leads to an *inode*, the file itself: kind, size, content.  Opening a name
makes an *open file description*: access mode, file offset, what flock locks belong to.  A *descriptor* is a small
number in a process by which it refers to a description; dup and fork make more descriptors of the same description.

Every object lives as long as something refers to it.  A description is referred to by descriptors and **by mappings**:
that is why a mapping outlives close, and why flock's locks and inotify's close wait for the last page to be unmapped.
An inode is referred to by names and by descriptions; when the last goes, its storage is given back.

A file system is a disk with a root directory and a few properties of its mount: nothing may be executed from it
(noexec), or it has files that cannot be mapped.

Locks are of three kinds.  flock's and OFD locks belong to a description, POSIX record locks to a process (they go when
the process closes *any* descriptor of the file).  All of these are advisory: mmap does not look at them.  A mandatory
lock is what the documented EAGAIN of mmap is about; Linux had such locks until 5.15.
"""

from __future__ import annotations

from itertools import count
from typing import Final, Protocol

from .constants import O_ACCESS, O_APPEND, O_PATH, O_RDONLY, O_RDWR, O_WRONLY
from .disk import Disk, OnDiskFile
from .paging import Memory, Page, PageCache, PageChoices

LARGEST: Final = 2**63 - 1
"""Bytes of the largest file."""

MAPPABLE: Final = {("regular", ""), ("regular", "attribute"), ("character", "zero")}
"""The kinds and devices of the files that can be mapped."""


class FileChoices(PageChoices, Protocol):
    """Choices of the content of files."""

    def resolve(self, page: Page, start: int, firm: int, done: int) -> None:
        """Determine the indeterminate bytes of a page (`Page.indeterminate`) that is loaded from `start` on.

        From `firm` on they are past the end of the file and stay indeterminate; `done` bytes were loaded before them.
        """

    def removes_lost_pages(self) -> bool:
        """True if pages that a file loses are lost to its mappings."""

    def slack_survives_growth(self) -> bool:
        """True if bytes stored past the end of a file are in the file when it grows; otherwise they become zero."""

    def evicts(self) -> bool:
        """True if pages leave memory when a process asks for it."""

    def survives(self, name: str, block: int) -> bool | None:
        """True if a page not synced after its last change keeps the new content in a crash; None: undetermined."""


class FileMapping(Protocol):
    """A mapping as its file uses it."""

    start: int
    end: int
    offset: int
    shared: bool
    max_prot: int
    locked: bool

    def note_size(self, size: int) -> None:
        """Record a new size of the file."""

    def drop_file_pages(self, first: int, stop: int, private: bool = True) -> None:
        """Remove the entries of the pages `first` to before `stop` of the file; of `private` copies only if asked."""


class FileSystem:
    """A mounted file system."""

    def __init__(
        self, name: str, memory: Memory, capacity: int = 1 << 40, *, noexec: bool = False, may_crash: bool = False
    ) -> None:
        self.name = name
        self.memory = memory
        self.noexec = noexec
        """True if nothing may be executed from it."""
        self.disk = Disk(capacity, may_crash=may_crash)
        self.numbers = count(1)
        """The numbers of its files that are not given yet."""
        self.root = self.inode("directory", name)

    def inode(self, kind: str, name: str, device: str = "") -> Inode:
        """Return a new file of a kind."""
        return Inode(self, kind, name, device)

    def crash(self, choices: FileChoices) -> None:
        """Lose everything that is not on the disk.  Every process that referred to the files must have ended."""
        restore(self.root, choices)


def restore(directory: Inode, choices: FileChoices) -> None:
    """Replace each file in a directory by what the disk knows of it."""
    for name, inode in list(directory.entries.items()):
        if inode.is_directory:
            restore(inode, choices)
            continue
        record = inode.cache.on_disk
        assert record is not None
        if not record.name_durable:
            del directory.entries[name], directory.names[name]
            inode.cut(0)
            continue
        page = inode.cache.memory.page
        undecided = []
        for index, cached in inode.cache.pages.items():
            room = record.size - index * page
            inode.cache.settle(index, cached)
            if cached.dirty and room > 0:
                content, indeterminate = bytes(cached.data[:room]), cached.indeterminate or {}
                survives = choices.survives(name, index)
                if survives:
                    record.write(index, content, indeterminate)
                elif survives is None:
                    record.allow(index, content, indeterminate, cached.replaced or {})
                    undecided.append(index)
        inode_on_disk = directory.add(inode.kind, name)
        inode_on_disk.cache.on_disk = record
        inode_on_disk.size = record.size
        for index in undecided:
            inode_on_disk.cache.page(index)


class Name:
    """A name of a file: what /proc/PID/maps has for the files that were opened by it."""

    __slots__ = ("descriptions", "gone", "text")

    def __init__(self, text: str) -> None:
        self.descriptions = 0
        """Open file descriptions that were opened by it."""
        self.text = text
        """The last part of the path; another one after rename."""
        self.gone = False
        """True if the name was removed, or given to another file."""


class Inode:
    """A file."""

    # What few files have is here once for all that do not have it.
    entries: dict[str, Inode] = {}  # noqa: RUF012 - replaced, never changed, where a file is a directory
    names: dict[str, Name] = {}  # noqa: RUF012 - as above
    sealable = False
    seals = 0
    append_only = False
    mandatory_lock = False
    """True if another process holds a mandatory lock on it."""
    mapping_error = False
    """True if its driver refuses to map it."""
    flocks: dict[OpenFileDescription, int] | None = None
    """Holders of flock locks, with LOCK_SH or LOCK_EX."""
    record_lock: object | None = None
    """The holder of the record lock on the whole file: an open file description or a process."""
    watches: list[InotifyWatch] | None = None
    backdated = False
    """True if st_mtime was set to an old time, and nothing is known to have changed it since."""
    perhaps_modified: bool
    """True if st_mtime may have changed since it was set to an old time."""

    def __init__(self, file_system: FileSystem | None, kind: str, name: str, device: str = "") -> None:
        self.file_system = file_system
        self.kind = kind
        """The type that fstat reports."""
        self.is_regular = kind == "regular"
        self.is_directory = kind == "directory"
        self.name = name
        """The name that it was created with, or was last renamed to."""
        self.number = 0 if file_system is None else next(file_system.numbers)
        """The number that /proc/PID/maps has for it."""
        self.device = device
        """The behaviour of a character device or an unusual file: "zero", "null", "random", "maps", "attribute"."""
        self.size = 0
        self.content_version = 0
        """The number of times that its content has changed."""
        self.links = 0
        """The number of its names."""
        self.descriptions = 0
        """The number of its open file descriptions."""
        self.mappings: dict[FileMapping, None] = {}
        """The mappings of it, in the order in which they were made."""
        if self.is_regular and file_system is not None:
            memory = file_system.memory
            self.cache = PageCache(memory, OnDiskFile(file_system.disk, memory.page))
        elif self.is_directory:
            self.entries = {}
            self.names = {}

    def add(self, kind: str, name: str, device: str = "") -> Inode:
        """Add a new file to this directory."""
        assert self.file_system is not None
        inode = self.entries[name] = self.file_system.inode(kind, name, device)
        self.names[name] = Name(name)
        inode.links = 1
        return inode

    @property
    def references(self) -> int:
        """The number of its names and open file descriptions; at 0 its storage is given back."""
        return self.links + self.descriptions

    @property
    def noexec(self) -> bool:
        """True if it is on a file system from which nothing may be executed (pipes and sockets are on none)."""
        return self.file_system is None or self.file_system.noexec

    @property
    def mappable(self) -> bool:
        """True if files of its kind can be mapped."""
        return (self.kind, self.device) in MAPPABLE

    @property
    def is_durable(self) -> bool:
        """True if the disk has its name and its size."""
        if not self.is_regular:
            return False
        record = self.cache.on_disk
        assert record is not None
        return record.name_durable and not record.truncated and record.size == self.size

    # ---- size and content

    def changed(self) -> None:
        """Record that a call changed the content."""
        self.content_version += 1
        self.backdated = False

    def changed_by_store(self, is_first: bool) -> None:
        """Record a store through a mapping; `is_first`: no access has used the mapping yet.

        A system sees a store only where it has to bring in the page for it, or has write-protected it.
        """
        self.content_version += 1
        if is_first:
            self.backdated = False
        self.perhaps_modified = True

    def cut(self, size: int, choices: FileChoices | None = None) -> None:
        """Truncate it: drop the pages past the end from the cache and, unless the choices are others, from mappings."""
        self.size = size
        self.changed()
        self.cache.cut(size)
        first = -(-size // self.cache.memory.page)
        for mapping in self.mappings:
            mapping.note_size(size)
            if choices is None or choices.removes_lost_pages():
                mapping.drop_file_pages(first, LARGEST)

    def extend(self, size: int, choices: FileChoices) -> None:
        """Extend it.  Bytes stored past its old end may be in the file, or not."""
        if not choices.slack_survives_growth():
            self.cache.clear_slack(self.size)
        self.size = size
        self.changed()
        for mapping in self.mappings:
            mapping.note_size(size)

    def read(self, length: int, offset: int, choices: FileChoices) -> bytes:
        """Up to `length` bytes from `offset`, no further than the end."""
        length = min(length, self.size - offset)
        page = self.cache.memory.page
        parts = []
        done = 0
        while done < length:
            index, start = divmod(offset + done, page)
            cached = self.cache.page(index)
            if cached.indeterminate:
                choices.resolve(cached, start, page, done)
            part = cached.data[start : start + length - done]
            parts.append(part)
            done += len(part)
        return b"".join(parts)

    def write(self, data: bytes, offset: int, choices: FileChoices) -> int:
        """Write at `offset`; how many bytes the disk had room for."""
        page = self.cache.memory.page
        end = offset + len(data)
        before = self.size
        if end > before:
            self.extend(end, choices)
        done = 0
        self.changed()
        while done < len(data):
            index, start = divmod(offset + done, page)
            cached = self.cache.page(index)
            if not self.cache.mark_dirty(index, cached, choices):
                self.size = max(before, offset + done) if done else before
                break
            part = data[done : done + page - start]
            cached.store(start, part)
            done += len(part)
        return done

    def indeterminate_bytes(self, offset: int, length: int) -> dict[int, bytes]:
        """Return the indeterminate bytes among `length` from `offset`: values by distance from `offset`."""
        page = self.cache.memory.page
        indeterminate = {}
        for index in self.cache.within(offset // page, -(-(offset + length) // page)) if length > 0 else ():
            for at, values in (self.cache.pages[index].indeterminate or {}).items():
                if 0 <= index * page + at - offset < length:
                    indeterminate[index * page + at - offset] = values
        return indeterminate

    def punch(self, offset: int, length: int, choices: FileChoices) -> None:
        """Make a hole of whole pages: it reads as zero, and its storage is given back.  Private copies stay."""
        page = self.cache.memory.page
        first, stop = offset // page, (offset + length) // page
        self.content_version += 1
        self.perhaps_modified = True  # ext4 says so, tmpfs does not
        self.cache.punch(first, stop)
        for mapping in self.mappings:
            mapping.drop_file_pages(first, stop, private=False)

    def clear(self, offset: int, end: int, choices: FileChoices) -> None:
        """Make the bytes from `offset` to `end` zero: the pages that are wholly in the range become a hole.

        Bytes past the end of the file, in its last page, become zero or not.
        """
        page = self.cache.memory.page
        self.cache.clear_slack_perhaps(self.size, offset, end)
        end = min(end, self.size if end % page else end)
        if end <= offset:
            self.perhaps_modified = True
            return
        first, stop = -(-offset // page), end // page
        edges = (
            [(offset, min(end, first * page)), (max(offset, stop * page), end)] if first <= stop else [(offset, end)]
        )
        for start, past in edges:
            self.cache.zero(start, min(past, self.size), choices)
        if first < stop:
            self.punch(first * page, (stop - first) * page, choices)
        self.content_version += 1
        self.perhaps_modified = True

    def has_storage(self, index: int) -> bool:
        """True if a page has storage, or was stored to: it is not in a hole."""
        record = self.cache.on_disk
        page = self.cache.pages.get(index)
        return (page is not None and page.dirty) or (record is not None and index in record.blocks)

    def reserve(self, offset: int, end: int, choices: FileChoices) -> bool:
        """Take storage for the pages of a range; return False when the disk is full."""
        record, page = self.cache.on_disk, self.cache.memory.page
        return record is None or all(record.reserve(block, choices) for block in range(offset // page, -(-end // page)))

    def move(self, offset: int, by: int, choices: FileChoices) -> None:
        """Move what follows a place by a number of bytes, down over the bytes there, or up; all are whole pages."""
        page = self.cache.memory.page
        self.cache.write_back(0, LARGEST, self.size, choices)
        self.cache.move(offset // page, by // page)
        self.size += by
        self.changed()
        for mapping in self.mappings:
            mapping.note_size(self.size)
            mapping.drop_file_pages(offset // page, LARGEST)

    def sync(self, choices: FileChoices) -> None:
        """Carry everything to the disk."""
        if self.is_regular:
            self.cache.write_back(0, LARGEST, self.size, choices)

    def drop_cache(self, choices: FileChoices) -> None:
        """Take its pages out of memory, but for locked ones.  Private copies are not its own."""
        self.sync(choices)
        if not choices.evicts():
            return
        page = self.cache.memory.page
        kept = set()
        for mapping in self.mappings:
            if mapping.locked:
                first = mapping.offset // page
                kept |= set(self.cache.within(first, first + (mapping.end - mapping.start) // page))
        for index in [index for index in self.cache.pages if index not in kept]:
            for mapping in self.mappings:
                mapping.drop_file_pages(index, index + 1, private=False)
            self.cache.settle(index, self.cache.pages[index])
            del self.cache.pages[index]

    # ---- lifetime

    def lose(self, name: Name) -> None:
        """Remove a name.

        Linux ends the watches of a file with the last name, unless the file is open by that name (measured, 6.18).
        """
        name.gone = True
        self.links -= 1
        if not self.links and not name.descriptions:
            self.watches = None
        self.put()

    def put(self) -> None:
        """Give its storage back if nothing refers to it any more."""
        if self.is_regular and not self.references:
            self.cut(0)

    def busy(self, owner: object) -> bool:
        """True if another holder than `owner` has the record lock."""
        return self.record_lock is not None and self.record_lock is not owner


def shared_memory(memory: Memory, size: int) -> Inode:
    """Return the unnamed file, on no disk, of a shared anonymous mapping."""
    inode = Inode(None, "regular", "anonymous")
    inode.cache = PageCache(memory, None)
    inode.size = size
    return inode


class InotifyWatch:
    """The closes that an inotify descriptor has recorded since it was last read."""

    __slots__ = ("all", "closes", "last")

    def __init__(self) -> None:
        self.closes = 0
        self.all = 0
        """The number of all closes, coalesced or not."""
        self.last: bool | None = None
        """True if the last unread close was of a file open for writing; None if there is none."""

    def note(self, writable: bool) -> None:
        """Record a close; one equal to the last adds no event (inotify(7): identical events are coalesced)."""
        self.all += 1
        self.closes += writable != self.last
        self.last = writable

    def take(self) -> tuple[int, int]:
        """Return the number of events since the last read, and of closes."""
        taken = self.closes, self.all
        self.closes, self.all, self.last = 0, 0, None
        return taken


class FileTable:
    """The machine's table of open files: how many open file descriptions there are, and how many there may be."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    @property
    def full(self) -> bool:
        return self.used >= self.limit


class OpenFileDescription:
    """An open file description."""

    __slots__ = (
        "append",
        "inode",
        "is_below",
        "mapped",
        "name",
        "offset",
        "path_only",
        "readable",
        "references",
        "table",
        "watch",
        "writable",
    )

    def __init__(self, table: FileTable, inode: Inode, flags: int = O_RDONLY, name: Name | None = None) -> None:
        self.table = table
        self.inode = inode
        self.name = name
        """The name by which it was opened; None for what has no name."""
        mode = flags & O_ACCESS
        self.path_only = bool(flags & O_PATH)
        self.readable = mode in (O_RDONLY, O_RDWR) and not self.path_only
        self.writable = mode in (O_WRONLY, O_RDWR) and not self.path_only
        self.append = bool(flags & O_APPEND)
        self.offset = 0
        """The file offset, used by calls without an offset argument."""
        self.watch: InotifyWatch | None = None
        self.mapped: OpenFileDescription | None = None
        """The one of a layer below that mappings hold in place of this one, if there is any."""
        self.is_below = False
        """True if this is such a one, of whose end no watch hears."""
        self.references = 0
        """Descriptors and mappings that refer to it."""
        table.used += 1
        inode.descriptions += 1
        if name is not None:
            name.descriptions += 1

    def below(self) -> OpenFileDescription:
        """Return the open file description of a layer below, which this one holds until it is closed."""
        if self.mapped is None:
            self.mapped = OpenFileDescription(self.table, self.inode, name=self.name)
            self.mapped.readable, self.mapped.writable = self.readable, self.writable
            self.mapped.is_below = True
            self.mapped.references = 1
        return self.mapped

    def release(self) -> None:
        """Drop one reference."""
        self.references -= 1
        if self.references == 0:
            self.put()

    def put(self) -> None:
        """Close it for the last time: release its locks, record the close in each watch, put the inode."""
        inode = self.inode
        if self.mapped is not None:
            self.mapped.release()
        self.table.used -= 1
        inode.descriptions -= 1
        if self.name is not None:
            self.name.descriptions -= 1
        if inode.flocks is not None:
            inode.flocks.pop(self, None)
        if inode.record_lock is self:
            inode.record_lock = None
        if inode.watches is not None and not self.path_only and not self.is_below:
            for watch in inode.watches:
                watch.note(self.writable)
        inode.put()


class Descriptor:
    """An entry of a process's descriptor table."""

    __slots__ = ("close_on_exec", "description")

    def __init__(self, description: OpenFileDescription, close_on_exec: bool) -> None:
        self.description = description
        self.close_on_exec = close_on_exec
        description.references += 1
