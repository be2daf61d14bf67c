"""The page table: which page each touched page number of an address space shows, and how often it faulted.

It goes by page numbers alone and knows no mapping: what a fault does is in `address_space`.
"""

from __future__ import annotations

from typing import Any

from .paging import Memory, Page, between
from .translations import Translations


class PageTable:
    """One address space's entries: which page each touched page number shows, and how often it faulted."""

    __slots__ = ("caches", "entries", "major", "memory", "minor")

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.entries: dict[int, Page] = {}
        self.minor = 0
        self.major = 0
        self.caches: list[Translations[Any]] = []
        """The translation caches of the threads; none in a process of one thread."""

    def new_cache(self) -> Translations[Any]:
        """Return the translation cache of another thread."""
        self.caches.append(Translations())
        return self.caches[-1]

    def drop_translations(self, first: int, stop: int) -> None:
        """Make every thread look at the table again before it accesses the pages from `first` to before `stop`."""
        for cache in self.caches:
            cache.drop(first, stop)

    def copy(self, number: int, page: Page) -> Page:
        """Give the page table a private copy of a page that it shares."""
        if page.refcount:
            page.refcount -= 1
        own = self.memory.allocate(page.data)
        own.indeterminate = dict(page.indeterminate) if page.indeterminate else None
        own.refcount = 1
        self.entries[number] = own
        self.drop_translations(number, number + 1)
        return own

    def within(self, first: int, stop: int) -> list[int]:
        """The page numbers from `first` to before `stop` that have an entry."""
        return between(self.entries, first, stop)

    def zap(self, first: int, stop: int, private: bool = True) -> None:
        """Remove the entries from `first` to before `stop`; those of private pages only if `private`."""
        self.drop_translations(first, stop)
        if not self.entries:
            return
        for number in self.within(first, stop):
            page = self.entries[number]
            if page.refcount:
                if not private:
                    continue
                page.refcount -= 1
            del self.entries[number]

    def mark_lazy_free(self, first: int, stop: int) -> None:
        """The private pages from `first` to before `stop` may become zero, for this process alone."""
        self.drop_translations(first, stop)
        for number in self.within(first, stop):
            page = self.entries[number]
            if page.refcount:
                (page if page.refcount == 1 else self.copy(number, page)).mark_lazy_free()

    def move(self, first: int, stop: int, to: int) -> None:
        """Move the entries from `first` to before `stop` to the page numbers from `to` on."""
        self.drop_translations(first, stop)
        for number in self.within(first, stop):
            self.entries[number - first + to] = self.entries.pop(number)

    def fork(self) -> PageTable:
        """A child's table: it holds the same private pages; those of files it will find by itself."""
        child = PageTable(self.memory)
        for cache in self.caches:
            cache.entries.clear()
        private = {number: page for number, page in self.entries.items() if page.refcount}
        for page in private.values():
            page.refcount += 1
        child.entries.update(private)
        return child
