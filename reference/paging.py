"""Paging: from pages of an address space to page frames, and from there to a disk.

Memory is handed out in *frames* of one page each.  No program can depend on which frame holds a page:
frames are scattered over the whole of memory, and only the page table knows them.  A `Page` here is a frame with its
content.

There are two sorts of pages.

* Pages of a file are in the file's **page cache**, once for the whole machine: any process that maps the file,
  or reads and writes it by descriptor, uses the same frame.  Sharing is nothing else.  A page that has been stored to
  is *dirty* until write-back has carried it to the disk.
* **Private pages** belong to page tables: memory without a file, and what a process has stored into through a private
  mapping.  `Page.refcount` counts the page tables that hold one; it is 0 for pages of a page cache.  A fork lets parent
  and child hold the same private page; the first to store gets its own copy, and the other keeps the page.

A page table holds an entry for each page that has been touched.  Touching a page without one is a *fault*: the page is
looked for in the cache (a *minor* fault), or read from the disk first (a *major* one), or it is fresh and zero.
Storing into a private mapping's page that is not the mapping's own is a fault too: there the copy is made (on a first
touch, by the same fault).  A page wholly past the end of its file is not available: SIGBUS.

A private mapping's page that has not been copied yet is the file's page in the cache, so later changes of the file
show in it.  Truncation removes its pages from cache and page tables, private copies included, but in the page
where the file now ends only the cache's tail becomes zero; a private copy of that page stays as it is.

Work on a range looks at each page number of the range or at each page that there is, whichever are fewer (`between`):
so a long range costs no more than what has been touched.
"""

from __future__ import annotations

from typing import Final, Protocol

from .disk import DiskChoices, OnDiskFile

FRAMES: Final = 1 << 24
"""Frames that memory has; they are handed out in an order that scatters them."""
FRAGMENT: Final = 0x9E3779B1
"""Any odd number visits every frame once."""


VALUE_OR_ZERO: Final = [bytes((value, 0)) for value in range(256)]
"""By the value of a byte, the values of a byte that keeps it or becomes zero."""


class PageChoices(DiskChoices, Protocol):
    """Choices of the pages of a file."""

    def slack_survives_write_back(self) -> bool:
        """True if bytes stored past the end of a file outlive the page's write-back; otherwise they become zero."""


class Page:
    """A page frame and its content."""

    __slots__ = ("data", "dirty", "frame", "indeterminate", "lazy_free", "refcount", "replaced")

    def __init__(self, frame: int, data: bytearray) -> None:
        self.frame = frame
        self.data = data
        self.dirty = False
        self.refcount = 0
        self.lazy_free = False
        """True if it may become zero at any time, until the next store (MADV_FREE)."""
        self.indeterminate: dict[int, bytes] | None = None
        """The indeterminate bytes, by offset in the page: each with the values that it may have.

        They were stored past the end of a file, or freed: that value, or zero; or not synced before a crash: the old
        value or the new one.  No values at all: any, at any time.  `data` has one of them.
        """
        self.replaced: dict[int, bytes] | None = None
        """The values that the bytes had since the page became dirty, by offset in the page: the disk may have them.

        None if the page is clean, or its disk is never lost.
        """

    def store(self, start: int, content: bytes) -> None:
        """Change the bytes from `start` on; they are determined afterwards."""
        stop = start + len(content)
        if self.replaced is not None:
            own = self.indeterminate or {}
            for at in range(start, stop):
                self.replaced[at] = self.replaced.get(at, b"") + own.get(at, self.data[at : at + 1])
        self.data[start:stop] = content
        self.resolve(start, stop)

    def allow(self, values: dict[int, bytes]) -> None:
        """Make bytes indeterminate: each, by offset in the page, has one of its `values`."""
        self.indeterminate = (self.indeterminate or {}) | values

    def mark_indeterminate(self, start: int, stop: int) -> None:
        """Mark [start, stop), stored past the end of the file: each byte keeps its value or becomes zero."""
        if self.indeterminate is None:
            self.indeterminate = {}
        self.indeterminate.update(
            (at, VALUE_OR_ZERO[value]) for at, value in enumerate(self.data[start:stop], start) if value
        )

    def resolve(self, start: int, stop: int) -> None:
        """Make the bytes of [start, stop) determined: they have their values in `data`."""
        if self.indeterminate:
            for at in [at for at in self.indeterminate if start <= at < stop]:
                del self.indeterminate[at]

    def mark_lazy_free(self) -> None:
        """Mark the page: it may become zero."""
        self.lazy_free = True
        self.indeterminate = {at: VALUE_OR_ZERO[value] for at, value in enumerate(self.data) if value}

    def wipe(self, start: int) -> None:
        """Fill the page with zeros from `start` on."""
        self.data[start:] = bytes(len(self.data) - start)
        self.resolve(start, len(self.data))


class Memory:
    """The machine's frames."""

    __slots__ = ("handed_out", "page", "zero")

    def __init__(self, page: int) -> None:
        self.page = page
        self.handed_out = 0
        self.zero: Page | None = None

    def allocate(self, content: bytes | bytearray = b"") -> Page:
        """Return a new frame that holds `content`, then zeros."""
        self.handed_out += 1
        data = bytearray(content)
        data.extend(bytes(self.page - len(data)))
        return Page(self.handed_out * FRAGMENT % FRAMES, data)

    def zero_page(self) -> Page:
        """Return the shared page of zeros, for private memory that has been loaded from but not stored to."""
        if self.zero is None:
            self.zero = self.allocate()
        return self.zero


def between(pages: dict[int, Page], first: int, stop: int) -> list[int]:
    """Return the numbers from `first` to before `stop` that `pages` has, in order."""
    if stop - first < len(pages):
        return [number for number in range(first, stop) if number in pages]
    return sorted(number for number in pages if first <= number < stop)


class PageCache:
    """The pages of one file that are in memory."""

    __slots__ = ("memory", "on_disk", "pages")

    def __init__(self, memory: Memory, record: OnDiskFile | None) -> None:
        self.memory = memory
        self.on_disk = record
        """The file on the disk; None for memory that has no file."""
        self.pages: dict[int, Page] = {}

    def page(self, index: int) -> Page:
        """Return the page at `index`, read from the disk if necessary."""
        page = self.pages.get(index)
        if page is None:
            page = self.memory.allocate(self.on_disk.blocks.get(index, b"") if self.on_disk else b"")
            self.pages[index] = page
            if self.on_disk and index in self.on_disk.indeterminate:
                page.allow(self.on_disk.indeterminate[index])
        return page

    def needs_disk_read(self, index: int) -> bool:
        """True if the page must be read from the disk."""
        return index not in self.pages and self.on_disk is not None and bool(self.on_disk.blocks.get(index))

    def mark_dirty(self, index: int, page: Page, choices: PageChoices) -> bool:
        """Mark a page dirty before it is changed; False if the disk has no room for it."""
        if self.on_disk is not None:
            if not self.on_disk.reserve(index, choices):
                return False
            self.settle(index, page)
            if self.on_disk.disk.may_crash and page.replaced is None:
                page.replaced = {}
        page.dirty = True
        return True

    def settle(self, index: int, page: Page) -> None:
        """Let the disk know which of a page's indeterminate bytes have been determined in memory."""
        if self.on_disk is not None and not page.dirty:
            self.on_disk.settle(index, page.data, page.indeterminate or {})

    def within(self, first: int, stop: int) -> list[int]:
        """Return the indices from `first` to before `stop` whose pages are in memory."""
        return between(self.pages, first, stop)

    def write_back(self, first: int, stop: int, size: int, choices: PageChoices) -> None:
        """Carry the dirty pages from `first` to before `stop` to the disk; the file is `size` bytes long."""
        if self.on_disk is None:
            return
        length = self.memory.page
        end = 0
        for index in self.within(first, stop):
            page = self.pages[index]
            if page.dirty:
                room = size - index * length
                if room < length and not choices.slack_survives_write_back():
                    page.wipe(room)
                self.on_disk.write(index, bytes(page.data[:room]), page.indeterminate or {})
                page.dirty = False
                page.replaced = None
                end = min(index * length + length, size)
        # Where the file has grown by more than was written, how long it is on the disk is not settled yet.
        unwritten = any(page.dirty for index, page in self.pages.items() if index * length + length > self.on_disk.size)
        self.on_disk.size = max(min(self.on_disk.size, size), end) if unwritten else size
        self.on_disk.name_durable = True
        self.on_disk.truncated = False

    def cut(self, size: int) -> None:
        """Truncate to `size` bytes: drop the pages past the end, and zero the rest of the last page."""
        length = self.memory.page
        for index in [index for index in self.pages if index * length >= size]:
            del self.pages[index]
        self.clear_slack(size)
        if self.on_disk is not None:
            self.on_disk.cut(size)

    def punch(self, first: int, stop: int) -> None:
        """Make a hole from page `first` to before page `stop`."""
        for index in self.within(first, stop):
            del self.pages[index]
        if self.on_disk is not None:
            self.on_disk.punch(first, stop)

    def zero(self, start: int, end: int, choices: PageChoices) -> None:
        """Make the bytes from `start` to `end`, of one page, zero; a hole stays one."""
        index, at = divmod(start, self.memory.page)
        has_block = self.on_disk is not None and index in self.on_disk.blocks
        if end <= start or (index not in self.pages and not has_block):
            return
        page = self.page(index)
        if has_block or page.dirty or any(page.data) or page.indeterminate:
            self.mark_dirty(index, page, choices)
            page.store(at, bytes(end - start))

    def move(self, first: int, by: int) -> None:
        """Move the pages by a number of pages: down over those from `first` on, or from `first` on up."""
        stays, stop = first, first - min(by, 0)
        self.pages = {
            index if index < stays else index + by: page
            for index, page in self.pages.items()
            if index < stays or index >= stop
        }
        if self.on_disk is not None:
            self.on_disk.move(first, by)

    def clear_slack_perhaps(self, size: int, start: int, end: int) -> None:
        """Let each byte from `start` to `end` that is past the end of the file, in its page, stay or become zero."""
        index, used = divmod(size, self.memory.page)
        first, stop = start - index * self.memory.page, end - index * self.memory.page
        if used and index in self.pages and stop > used and first < self.memory.page:
            self.pages[index].mark_indeterminate(max(first, used), min(stop, self.memory.page))

    def clear_slack(self, size: int) -> None:
        """Zero the bytes past the end of a file of `size` bytes, in its last page."""
        index, used = divmod(size, self.memory.page)
        if used and index in self.pages:
            self.pages[index].wipe(used)
