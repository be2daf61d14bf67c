"""Translation caches: what a processor keeps of the page tables while it runs a thread.

A processor that has translated an address keeps the translation, and uses it for later accesses without a look at the
page table.  So a call that takes a page or a right away has to drop the translations of every thread of the address
space before it returns (on many processors: by interrupting the others, a "shootdown").  A system that forgets one of
them lets a thread load and store in memory that it no longer has.

A process of one thread needs no cache here: it is given one when it makes its first thread.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from .paging import Page


class KeptMapping(Protocol):
    """A mapping as a translation refers to it."""

    shared: bool

    @property
    def inode(self) -> object:
        """The file; None for memory that has none."""


Mapping = TypeVar("Mapping", bound=KeptMapping)


class Translations(Generic[Mapping]):
    """The translations that one thread's processor has kept."""

    __slots__ = ("entries",)

    def __init__(self) -> None:
        self.entries: dict[tuple[int, str], tuple[Mapping, Page]] = {}
        """By page number and access ("load", "store", "execute"): the mapping and the page, as they were then."""

    def find(self, number: int, access: str) -> tuple[Mapping, Page] | None:
        """Return what an access to a page uses without a look at the page table; None if it has to look."""
        entry = self.entries.get((number, access))
        if entry is None or access != "store":
            return entry
        mapping, page = entry
        # The first store after write-back has to be noticed, so write-back takes the right to store away.
        return None if mapping.inode is not None and mapping.shared and not page.dirty else entry

    def keep(self, number: int, access: str, mapping: Mapping, page: Page) -> None:
        """Keep the translation that an access has needed."""
        self.entries[number, access] = mapping, page

    def drop(self, first: int, stop: int) -> None:
        """Drop the translations of the pages from `first` to before `stop`."""
        for key in [key for key in self.entries if first <= key[0] < stop]:
            del self.entries[key]
