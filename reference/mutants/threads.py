"""Mutants of threads: translations that a call does not drop, page faults that are lost, copies that are made twice.

The reference gives each thread a translation cache (`translations`), as a processor has one.  A call that takes a page
or a right away drops the translations of all threads; most mutants here leave some of them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from errno import ENOMEM
from typing import Any

from ...contract import Resource
from ..accesses import Accesses
from ..address_space import AddressSpace
from ..constants import PROT_WRITE
from ..file_calls import FileCalls
from ..madvise import Advice
from ..mapping_calls import MappingCalls
from ..mutant import NO_KNOWN_BUG, Mutant, Original, wrong
from ..page_calls import PageCalls
from ..page_table import PageTable
from ..process import ReferenceProcess
from ..translations import Translations

SHOOTDOWN = "xv6 #170 and others: no TLB shootdown after munmap"


def stale(
    id: str,
    method: Original,
    clauses: tuple[str, ...],
    text: str,
    *,
    which: Callable[[Any, list[Any]], list[Any]] = lambda self, others: others,
    keys: Callable[[int, str], bool] = lambda number, access: True,
    everywhere: bool = False,
    bug: str = NO_KNOWN_BUG,
) -> Mutant:
    """Make a mutant in which a call leaves translations of other threads.

    `which` of the other threads' caches, given the caller and all of them; `keys`: which translations, by page number
    and access; `everywhere`: also those of other processes.
    """

    def change(original: Original, self: Any, *arguments: Any, **keywords: Any) -> Any:
        tables = [process.space.table for process in self.machine.processes] if everywhere else [self.space.table]
        others = [cache for table in tables for cache in table.caches if cache is not self.translations]
        left = which(self, others)
        kept = [{key: entry for key, entry in cache.entries.items() if keys(*key)} for cache in left]
        result = original(self, *arguments, **keywords)
        for cache, entries in zip(left, kept, strict=True):
            cache.entries.update(entries)
        return result

    return Mutant(id, clauses, bug, text, method, change)


def last_only(self: Any, others: list[Any]) -> list[Any]:
    """Return the last of several other threads: the one that is forgotten."""
    return others[1:]


def of_other_processes(self: Any, others: list[Any]) -> list[Any]:
    """Return the caches that are not of the caller's address space."""
    return [cache for cache in others if cache not in self.space.table.caches]


def of_this_process(self: Any, others: list[Any]) -> list[Any]:
    """Return the caches of the caller's address space."""
    return [cache for cache in others if cache in self.space.table.caches]


UNMAPPED = ("threads.munmap", "threads.munmap.neighbours", "threads.disjoint", "threads.race.munmap", "threads.execute")
MAPPED_OVER = ("threads.fixed", "threads.race.fixed")
PROTECTED = (
    *("threads.mprotect.remove", "threads.execute", "threads.race.mprotect", "threads.disjoint"),
    "threads.shared.memory",
)

STALE = (
    stale(
        "munmap-drops-own-translations-only",
        ReferenceProcess.munmap,
        UNMAPPED,
        "munmap drops the translations of the thread that calls it, not those of others",
        bug=SHOOTDOWN,
    ),
    stale(
        "munmap-forgets-the-last-thread",
        ReferenceProcess.munmap,
        UNMAPPED,
        "munmap drops the translations of one other thread, not of a second one",
        which=last_only,
    ),
    stale(
        "munmap-drops-translations-for-loads-only",
        ReferenceProcess.munmap,
        UNMAPPED,
        "munmap leaves to other threads the translations for stores",
        keys=lambda number, access: access == "store",
    ),
    stale(
        "munmap-leaves-translations-of-code",
        ReferenceProcess.munmap,
        ("threads.execute", "threads.munmap"),
        "munmap leaves to other threads the translations for execution",
        keys=lambda number, access: access == "execute",
    ),
    stale(
        "mprotect-drops-own-translations-only",
        ReferenceProcess.mprotect,
        PROTECTED,
        "mprotect drops the translations of the thread that calls it, not those of others",
        bug=SHOOTDOWN,
    ),
    stale(
        "mprotect-leaves-translations-for-stores",
        ReferenceProcess.mprotect,
        PROTECTED,
        "mprotect leaves to other threads the translations for stores",
        keys=lambda number, access: access == "store",
    ),
    stale(
        "mprotect-leaves-translations-of-code",
        ReferenceProcess.mprotect,
        ("threads.execute", "threads.mprotect.remove"),
        "mprotect leaves to other threads the translations for execution",
        keys=lambda number, access: access == "execute",
    ),
    stale(
        "mmap-drops-own-translations-only",
        MappingCalls.mmap,
        MAPPED_OVER,
        "mmap with MAP_FIXED drops the translations of the thread that calls it, not those of others",
    ),
    stale(
        "mmap-leaves-translations-for-stores",
        MappingCalls.mmap,
        MAPPED_OVER,
        "mmap with MAP_FIXED leaves to other threads the translations for stores",
        keys=lambda number, access: access == "store",
    ),
    stale(
        "mremap-drops-own-translations-only",
        ReferenceProcess.mremap,
        ("threads.mremap",),
        "mremap drops the translations of the thread that calls it, not those of others",
    ),
    stale(
        "madvise-drops-own-translations-only",
        Advice.madvise,
        ("threads.madvise", "threads.race.madvise"),
        "madvise drops the translations of the thread that calls it, not those of others",
    ),
    stale(
        "ftruncate-drops-own-translations-only",
        ReferenceProcess.ftruncate,
        ("threads.truncate", "threads.race.truncate"),
        "ftruncate drops the translations of the thread that calls it, not those of others of the process",
        which=of_this_process,
    ),
    stale(
        "ftruncate-forgets-other-address-spaces",
        ReferenceProcess.ftruncate,
        ("threads.truncate",),
        "ftruncate drops the translations of its own process only",
        which=of_other_processes,
        everywhere=True,
    ),
    stale(
        "munmap-leaves-translations-for-loads",
        ReferenceProcess.munmap,
        ("threads.race.munmap", *UNMAPPED),
        "munmap leaves to other threads the translations for loads",
        keys=lambda number, access: access == "load",
    ),
    stale(
        "mprotect-leaves-translations-of-one-thread",
        ReferenceProcess.mprotect,
        ("threads.race.mprotect", *PROTECTED),
        "mprotect leaves the translations of one other thread",
        which=lambda self, others: others[:1],
    ),
    stale(
        "mmap-leaves-translations-for-loads",
        MappingCalls.mmap,
        ("threads.race.fixed", *MAPPED_OVER),
        "mmap with MAP_FIXED leaves to other threads the translations for loads",
        keys=lambda number, access: access == "load",
    ),
    stale(
        "ftruncate-leaves-translations-for-loads",
        ReferenceProcess.ftruncate,
        ("threads.race.truncate", "threads.truncate"),
        "ftruncate leaves to other threads the translations for loads",
        which=of_this_process,
        keys=lambda number, access: access == "load",
    ),
    stale(
        "fork-leaves-translations-for-stores",
        ReferenceProcess.fork,
        ("threads.fork.private",),
        "fork leaves to other threads the right to store without a fault, into pages that the child has too",
        bug="Linux before 2.6.8: fork did not flush the translations of other threads",
    ),
)


@wrong(Translations.drop, *UNMAPPED, *PROTECTED)
def translations_of_one_page_are_dropped(drop: Original, self: Translations[Any], first: int, stop: int) -> None:
    """Of a range of several pages, only the translations of the first page are dropped."""
    drop(self, first, min(stop, first + 1))


@wrong(Translations.drop, *UNMAPPED, *PROTECTED)
def translations_of_many_pages_stay(drop: Original, self: Translations[Any], first: int, stop: int) -> None:
    """Of a range of more than 32 pages, the translations of the others are not dropped."""
    drop(self, first, min(stop, first + 32))


@wrong(AddressSpace.protect, "threads.mprotect.add")
def refused_access_is_kept(protect: Original, self: AddressSpace, start: int, end: int, prot: int) -> None:
    """A right that mprotect gives back is not noticed where there are several threads."""
    before = self.find(start)
    if before is not None and self.table.caches and not before.prot & PROT_WRITE and prot & PROT_WRITE:
        prot = before.prot
    protect(self, start, end, prot)


@wrong(PageTable.copy, "threads.copy", "threads.first-stores", "threads.load-store")
def copy_leaves_translations_to_old_page(copy: Original, self: PageTable, number: int, page: Any) -> Any:
    """After a copy on write, other threads go on loading from the page that was copied."""
    kept = [dict(cache.entries) for cache in self.caches]
    own = copy(self, number, page)
    for cache, entries in zip(self.caches, kept, strict=True):
        cache.entries.update(entries)
    return own


FIRST = ("threads.first-stores", "threads.additions", "threads.load-store")


@wrong(Accesses.store_in_steps, *FIRST)
def second_fault_replaces_the_page(store_in_steps: Original, self: Accesses, addr: int, data: bytes) -> Iterator[None]:
    """Of two faults on an untouched page at the same time, the second one puts in a fresh page."""
    number = addr // self.page
    mapping = self.space.find(addr)
    fresh = mapping is not None and number not in self.space.table.entries
    yield
    if fresh and mapping is not None and number in self.space.table.entries:
        content = bytes(self.page)
        if mapping.inode is not None:
            content = b"f" * self.page
        page = self.space.table.entries[number] = self.machine.memory.allocate(content)
        page.refcount = int(not mapping.shared)
        self.space.table.drop_translations(number, number + 1)
        if mapping.shared and mapping.inode is not None:
            mapping.inode.cache.pages[mapping.file_page(number)] = page
    self.store(addr, data)


@wrong(Accesses.store_in_steps, "threads.copy")
def two_copies_are_made_at_once(store_in_steps: Original, self: Accesses, addr: int, data: bytes) -> Iterator[None]:
    """Two threads that store to a page that is to be copied make two copies; one store is lost."""
    table, number = self.space.table, addr // self.page
    before = table.entries.get(number)
    content = None if before is None or before.refcount else bytes(before.data)
    yield
    mapping = self.space.find(addr)
    after = table.entries.get(number)
    if content is not None and mapping is not None and not mapping.shared and after is not None and after.refcount:
        after.data[:] = content
    self.store(addr, data)


@wrong(FileCalls.pwrite, "threads.write")
def write_is_of_whole_words(pwrite: Original, self: FileCalls, fd: int, data: bytes, offset: int) -> int:
    """pwrite in a process of several threads writes whole words of 4 bytes, with zeros beside what it was given."""
    if self.space.table.caches and len(data) == 2:
        pwrite(self, fd, data + bytes(2), offset)
        return 2
    return int(pwrite(self, fd, data, offset))


@wrong(FileCalls.pread, "threads.write", "threads.msync")
def read_finds_what_was_read_before(pread: Original, self: FileCalls, fd: int, length: int, offset: int) -> bytes:
    """pread in a process of several threads finds what an earlier one has found there."""
    data = bytes(pread(self, fd, length, offset))
    if not self.space.table.caches:
        return data
    before: dict[object, bytes] = self.__dict__.setdefault("read_before", {})
    return before.setdefault((fd, length, offset), data)


@wrong(PageCalls.msync, "threads.msync")
def msync_undoes_later_stores(msync: Original, self: PageCalls, addr: int, length: int, flags: int) -> None:
    """msync in a process of several threads puts the pages back as they were at the one before."""
    msync(self, addr, length, flags)
    page = self.space.table.entries.get(addr // self.page)
    if self.space.table.caches and page is not None:
        data = bytes(page.data)
        page.data[:] = self.__dict__.get("synced", data)
        self.__dict__["synced"] = data


MEANWHILE = 8
"""Turns for calls of other threads while a page is copied."""


@wrong(ReferenceProcess.load_in_child_in_steps, "threads.fork.moment")
def parts_of_a_page_are_copied_at_several_moments(
    load_in_child_in_steps: Original, self: ReferenceProcess, addr: int, length: int
) -> Generator[None, None, bytes]:
    """A child gets the halves of a page one after the other, while other threads go on to store."""
    half = length // 2
    first = yield from load_in_child_in_steps(self, addr, half)
    yield from (None for _ in range(MEANWHILE))
    second = yield from load_in_child_in_steps(self, addr + half, length - half)
    return bytes(first + second)


@wrong(ReferenceProcess.load_in_child_in_steps, "threads.fork.moment")
def child_goes_on_to_get_stores(
    load_in_child_in_steps: Original, self: ReferenceProcess, addr: int, length: int
) -> Generator[None, None, bytes]:
    """A child that was forked beside other threads gets the stores that they make afterwards, except for the first."""
    before = yield from load_in_child_in_steps(self, addr, length)
    yield from (None for _ in range(MEANWHILE))
    after = yield from load_in_child_in_steps(self, addr, length)
    return bytes(before[:1] + after[1:])


@wrong(ReferenceProcess.thread, "threads.shared.memory", "threads.shared.descriptors", "threads.shared.limits")
def thread_has_a_copy_of_the_memory(thread: Original, self: ReferenceProcess) -> Any:
    """A thread gets a copy of the address space and of the descriptors, as a child does."""
    return self.fork()


@wrong(ReferenceProcess.thread, "threads.shared.descriptors", "threads.race.close")
def thread_has_its_own_descriptors(thread: Original, self: ReferenceProcess) -> Any:
    """A thread gets a copy of the table of descriptors."""
    other = thread(self)
    other.__dict__ = dict(self.__dict__)
    other.descriptors = dict(self.descriptors)
    return other


@wrong(ReferenceProcess.set_limit_headroom, "threads.shared.limits")
def limit_is_for_one_thread(
    set_limit_headroom: Original, self: ReferenceProcess, resource: Resource, headroom: int
) -> None:
    """In a process of several threads a limit of the address space counts twice as much."""
    set_limit_headroom(self, resource, headroom * (2 if self.space.table.caches else 1))


@wrong(ReferenceProcess.munmap, "threads.munmap.neighbours", "threads.disjoint")
def munmap_beside_threads_takes_the_next_page(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """munmap in a process of several threads removes the page after the range as well."""
    munmap(self, addr, length + (self.page if self.space.table.caches else 0))


@wrong(ReferenceProcess.munmap, "threads.disjoint")
def second_munmap_of_a_range_fails(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """munmap in a process of several threads fails where nothing is mapped."""
    if self.space.table.caches and self.space.is_free(addr, addr + length):
        raise OSError(ENOMEM, "nothing is mapped there")
    munmap(self, addr, length)


@wrong(ReferenceProcess.fork, "threads.fork.shared")
def fork_beside_threads_copies_shared_pages(fork: Original, self: ReferenceProcess) -> ReferenceProcess:
    """The child of a process of several threads has copies of the shared pages that were accessed."""
    child: ReferenceProcess = fork(self)
    for number, page in self.space.table.entries.items() if self.space.table.caches else ():
        if not page.refcount:
            child.space.table.entries[number] = self.machine.memory.allocate(page.data)
    return child


@wrong(Accesses.store_in_steps, "threads.load-store", "threads.first-stores")
def half_made_store_is_seen(store_in_steps: Original, self: Accesses, addr: int, data: bytes) -> Iterator[None]:
    """A store at the same time as others stores another value first."""
    yield
    self.store(addr, bytes(255 - byte for byte in data))
    yield
    self.store(addr, data)


@wrong(Accesses.add, "threads.additions")
def addition_of_a_thread_is_lost(add: Original, self: Accesses, addr: int, times: int, lock: int = 0) -> None:
    """One of many additions under a lock is lost in a process of several threads."""
    add(self, addr, times - (times > 1 and self.translations is not None), lock)


@wrong(Advice.madvise, "threads.race.madvise")
def advice_beside_threads_takes_the_next_page(
    madvise: Original, self: Advice, addr: int, length: int, advice: int
) -> None:
    """madvise in a process of several threads discards the page after the range as well."""
    madvise(self, addr, length, advice)
    if self.space.table.caches:
        self.space.table.zap((addr + length) // self.page, (addr + length) // self.page + 1)


@wrong(ReferenceProcess.close, "threads.race.close")
def close_by_a_thread_unmaps(close: Original, self: ReferenceProcess, fd: int) -> None:
    """close in a process of several threads removes the mappings of the file."""
    descriptor = self.descriptors.get(fd)
    close(self, fd)
    if descriptor is not None and self.space.table.caches:
        for mapping in list(self.space.mappings.values()):
            if mapping.inode is descriptor.description.inode:
                self.space.clear(mapping.start, mapping.end)
