"""An address space: the mapping of each address.

An address space is a set of *mappings*, ranges of whole pages that do not overlap, each with its protection and
its content: a window of a file, or private memory of no file.  They are kept sorted by where they begin, so the one
that holds an address is found in O(log n).

Every call works on a range that need not begin or end where a mapping does.  There are two elementary steps:
**split** cuts a mapping at a page boundary, so that a range is made of whole mappings; **merge_adjacent** makes one
mapping of neighbours that are alike (same protection, same sharing, same file by the same description, contiguous
windows).  Between the two steps a call changes whole mappings only, and afterwards the list is as short as it can be.
Neither step touches the page table, which goes by page numbers alone.

What is not mapped is kept as well, as gaps (gaps.py), so that a place is found without a search.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Final, Protocol

from .constants import PROT_WRITE
from .gaps import Gaps
from .mapping import Mapping
from .page_table import PageTable
from .paging import Memory, Page, PageChoices
from .sorted_map import SortedMap

COPIED_PAGES: Final = 64
"""Pages that are copied when a private mapping is made, if the choices are so; the others are copied later."""


class PlacementChoices(PageChoices, Protocol):
    """Choices of an address space: where memory is placed, which mappings merge, when a page is copied."""

    def place(self, space: AddressSpace, length: int, hint: int, below: int = 0) -> int | None:
        """Return an address for `length` bytes, no higher than `below` if that is not 0; None if there is no room."""

    def merges(self, left: Mapping, right: Mapping) -> bool:
        """True if neighbours that are alike become one mapping."""

    def may_merge_moved(self, left: Mapping, right: Mapping) -> bool:
        """True if neighbours of private memory are one mapping although one of them was mapped elsewhere."""

    def is_single_vma(self, mapping: Mapping) -> bool:
        """True if a mapping that was merged of several can grow or move as one."""

    def shows_changes(self) -> bool:
        """True if a private page that has not been copied yet shows how the file has changed since it was mapped."""

    def note_store(self, addr: int) -> None:
        """Record that the page at `addr` is about to become dirty: room on the disk is needed for it."""

    def copies_when_mapped(self) -> bool:
        """True if a private mapping shows the file as it was when it was mapped, as if all was copied then."""

    def shows_added_pages(self) -> bool:
        """True if a mapping shows pages by which its file has grown since it was mapped."""

    def copies_when_loaded(self) -> bool:
        """True if a private page is copied when it is first loaded from; otherwise later changes of the file show."""

    def copies_when_populated(self) -> bool:
        """True if locking or populating a private writable page makes the private copy immediately."""


class AddressSpace:
    """The mappings of one process, its page table, and how much of its limits it uses."""

    def __init__(
        self,
        memory: Memory,
        mmap_min_addr: int,
        task_size: int,
        choices: PlacementChoices,
        populates_execute_only: bool = False,
    ) -> None:
        self.page = memory.page
        self.mmap_min_addr = mmap_min_addr
        """The lowest address of a mapping without a fixed address."""
        self.task_size = task_size
        """The first address past the end of user space."""
        self.choices = choices
        self.populates_execute_only = populates_execute_only
        """True if the kernel populates execute-only pages on request."""
        self.mappings: SortedMap[Mapping] = SortedMap()
        self.gaps = Gaps(0, task_size, memory.page)
        self.table = PageTable(memory)
        self.size = 0
        """Bytes mapped."""
        self.locked = 0
        """Bytes in locked mappings."""

    # ---- looking

    def find(self, addr: int) -> Mapping | None:
        """Return the mapping that contains an address; None if there is none."""
        mappings = self.mappings
        at = bisect_right(mappings.starts, addr)
        if not at:
            return None
        mapping = mappings[mappings.starts[at - 1]]
        return mapping if addr < mapping.end else None

    def over(self, start: int, end: int) -> list[Mapping]:
        """Return the mappings that have a page in [start, end), by rising address."""
        if start >= end:
            return []
        mappings = self.mappings
        starts = mappings.starts
        first = bisect_right(starts, start)
        if first and mappings[starts[first - 1]].end > start:
            first -= 1
        return [mappings[at] for at in starts[first : bisect_left(starts, end)]]

    def is_free(self, start: int, end: int) -> bool:
        """True if nothing is mapped in [start, end)."""
        low, high = self.gaps.before(start)
        return low <= start and end <= high

    def mapped(self, start: int, end: int) -> int:
        """Return the number of mapped bytes in [start, end)."""
        return sum(min(end, m.end) - max(start, m.start) for m in self.over(start, end))

    def first_mapped(self, start: int, end: int) -> int | None:
        """Return the first address in [start, end) at which something is mapped; None if there is none."""
        within = self.over(start, end)
        return max(start, within[0].start) if within else None

    def hole(self, start: int, end: int) -> int | None:
        """Return the first unmapped address in [start, end); None if there is none."""
        for mapping in self.over(start, end):
            if mapping.start > start:
                break
            start = mapping.end
        return start if start < end else None

    def growing(self, addr: int) -> tuple[Mapping, int | None] | None:
        """Return the mapping above `addr`, which is unmapped, if it grows downwards.

        And how many bytes would be left between it and what may be accessed below, if it began with the page of `addr`;
        None where nothing is in its way.
        """
        starts = self.mappings.starts
        at = bisect_right(starts, addr)
        if at == len(starts):
            return None
        above = self.mappings[starts[at]]
        if not above.grows_down:
            return None
        below = self.mappings[starts[at - 1]] if at else None
        if below is None or below.grows_down or not below.prot:
            return above, None
        return above, addr - addr % self.page - below.end

    def was_resized(self, start: int, end: int) -> bool:
        """True if a file has lost or gained a page in [start, end) since it was mapped there."""
        page = self.page
        return any(
            mapping.was_resized_at(number)
            for mapping in self.over(start, end)
            if mapping.least_size != mapping.largest_size
            for number in range(max(start, mapping.start) // page, min(end, mapping.end) // page)
        )

    def is_sealed(self, start: int, end: int) -> bool:
        """True if a mapping in [start, end) is sealed."""
        return any(mapping.sealed for mapping in self.over(start, end))

    def splits(self, start: int, end: int) -> bool:
        """True if unmapping [start, end) splits a mapping in two."""
        mapping = self.find(start)
        return mapping is not None and mapping.start < start and end < mapping.end

    def is_sound(self) -> bool:
        """True if all mappings are of whole pages within user space, and none overlaps another."""
        end = 0
        for mapping in self.mappings.values():
            if mapping.start % self.page or mapping.end % self.page or not end <= mapping.start < mapping.end:
                return False
            end = mapping.end
        return end <= self.task_size

    # ---- changing

    def insert(self, mapping: Mapping) -> None:
        """Add a mapping where nothing is mapped."""
        self.gaps.take(mapping.start, mapping.end)
        self.mappings[mapping.start] = mapping
        length = mapping.end - mapping.start
        self.size += length
        if mapping.locked:
            self.locked += length
        mapping.acquire()

    def split(self, addr: int) -> None:
        """Cut the mapping that holds `addr` in two there."""
        mapping = self.find(addr)
        if mapping is not None and mapping.start < addr:
            right = mapping.part(addr, mapping.end, self)
            mapping.end = addr
            self.mappings[addr] = right
            right.acquire()

    def cut_out(self, start: int, end: int) -> list[Mapping]:
        """Return the mappings of [start, end), after splitting those that extend past its ends."""
        if start >= end:
            return []
        self.split(start)
        self.split(end)
        return self.over(start, end)

    def merge_adjacent(self, start: int, end: int) -> None:
        """Merge neighbours that are alike, at every boundary from `start` to `end`, both included."""
        for mapping in self.mappings.between(start, end + 1):
            at = mapping.start
            left = self.find(at - 1)
            if left is not None and mapping.is_contiguous_with(left) and self.choices.merges(left, mapping):
                self.absorb(left, mapping)

    def may_be_split(self, start: int, end: int) -> None:
        """Let a system keep apart what is mapped on both sides of `start` and of `end`.

        A call that is refused when it has begun to unmap a range has split the mappings there: Linux does not merge
        them again.
        """
        if start % self.page == 0:
            self.cut_out(start, end)
            self.merge_adjacent(start, end)

    def mergeable(self, left: Mapping, end: int) -> list[Mapping]:
        """Return the mappings after `left`, up to `end`, that are like it and that Linux may have merged with it."""
        mergeable: list[Mapping] = []
        last = left
        while last.end < end and left.inode is None:
            right = self.mappings.get(last.end)
            if right is None or not right.is_like(last) or not self.choices.may_merge_moved(last, right):
                break
            mergeable.append(right)
            last = right
        return mergeable

    def merge_across_moves(self, left: Mapping, end: int) -> None:
        """Merge the mappings after `left` into it up to `end`, even if one was mapped elsewhere and moved here."""
        for right in self.mergeable(left, end):
            self.absorb(left, right)

    def absorb(self, left: Mapping, right: Mapping) -> None:
        """Merge `right` into `left`, which ends where it begins."""
        del self.mappings[right.start]
        left.end = right.end
        left.file_version = min(left.file_version, right.file_version)
        left.note_size(right.least_size)
        left.note_size(right.largest_size)
        left.merged = True
        left.has_private_pages = left.has_private_pages or right.has_private_pages
        right.release()

    def clear(self, start: int, end: int) -> None:
        """Unmap [start, end)."""
        for mapping in self.cut_out(start, end):
            self.remove(mapping)

    def remove(self, mapping: Mapping) -> None:
        """Remove a whole mapping and its pages."""
        start, end = mapping.start, mapping.end
        del self.mappings[start]
        self.gaps.give(start, end)
        self.size -= end - start
        if mapping.locked:
            self.locked -= end - start
        self.table.zap(start // self.page, end // self.page)
        mapping.release()

    def grow(self, mapping: Mapping, length: int) -> None:
        """Extend a mapping by `length` bytes, into the gap after it."""
        self.gaps.take(mapping.end, mapping.end + length)
        mapping.end += length
        self.size += length
        if mapping.locked:
            self.locked += length

    def grow_down(self, mapping: Mapping, start: int) -> None:
        """Make a mapping begin at `start`, in the gap below it."""
        more = mapping.start - start
        self.gaps.take(start, mapping.start)
        del self.mappings[mapping.start]
        mapping.start = start
        mapping.offset -= more
        self.mappings[start] = mapping
        self.size += more
        if mapping.locked:
            self.locked += more

    # ---- calls

    def set_execute_only(self, start: int, end: int, execute_only: bool) -> None:
        """Set whether the pages of [start, end) cannot be loaded from.  `protect` follows, and merges what is alike."""
        self.table.drop_translations(start // self.page, end // self.page)
        for mapping in self.cut_out(start, end):
            mapping.execute_only = execute_only

    def protect(self, start: int, end: int, prot: int) -> None:
        """Give the mapped pages of [start, end) the protection `prot`."""
        self.table.drop_translations(start // self.page, end // self.page)
        for mapping in self.cut_out(start, end):
            gains_store = prot & PROT_WRITE and not mapping.prot & PROT_WRITE
            mapping.prot = prot
            if gains_store and mapping.locked and not mapping.shared:
                self.populate(mapping.start, mapping.end)
        self.merge_adjacent(start, end)

    def lock(self, start: int, end: int, locked: bool, on_fault: bool = False) -> None:
        """Make the mappings of [start, end) locked, or not; `on_fault`: each page when it is first touched."""
        for mapping in self.cut_out(start, end):
            if mapping.droppable and locked:  # it stays droppable, and the call succeeds
                continue
            mapping.lock_on_fault = on_fault
            if mapping.locked != locked:
                mapping.locked = locked
                self.locked += (mapping.end - mapping.start) * (1 if locked else -1)
        self.merge_adjacent(start, end)

    def populate(self, start: int, end: int) -> bool:
        """Fault in the pages of [start, end), except lock_on_fault ones; False if one is not available."""
        page = self.page
        for mapping in self.over(start, end):
            if mapping.lock_on_fault:
                continue
            if not mapping.prot:  # any right will do
                return False
            if mapping.execute_only and not self.populates_execute_only:
                return False
            copies = not mapping.shared and mapping.prot & PROT_WRITE != 0 and self.choices.copies_when_populated()
            first = max(start, mapping.start) // page
            for number in range(first, min(end, mapping.end) // page):
                if self.access(mapping, number, copies) is None:
                    return False
        return True

    def clear_target(self, addr: int, old: int, place: int, new: int) -> None:
        """Unmap the target of a move, except where the source has a hole."""
        for source in self.over(addr, addr + max(old, 1)):
            start = max(source.start, addr) - addr
            end = min(source.end - addr, old) if old == new else new
            self.clear(place + start, place + end)

    def move(self, addr: int, old: int, place: int, new: int, keep: bool) -> None:
        """Move what is mapped in the `old` bytes from `addr` on, becoming `new` bytes, to `place`.

        `keep`: the mappings stay where they were as well, without their pages.  0 bytes are a duplicate.
        """
        page = self.page
        staying = [(m.start, m.end, m.locked) for m in self.over(addr, addr + old)] if keep else []
        for source in self.cut_out(addr, addr + old) if old else self.over(addr, addr + 1):
            start = max(source.start, addr)
            length = source.end - start if old == new else new
            moved = source.part(start, start + length, self)
            moved.start = place + start - addr
            moved.end = moved.start + length
            if moved.is_untouched:
                moved.offset = moved.start
            self.insert(moved)
            if old:
                self.table.move(start // page, source.end // page, moved.start // page)
                if not keep:
                    self.remove(source)
        for start, end, locked in staying:
            if locked:
                self.forget_lock(start, end)
            if addr <= start and end <= addr + old:
                self.over(start, end)[0].has_private_pages = False
        self.merge_adjacent(place, place + new)
        self.merge_adjacent(addr, addr + old)

    def forget_lock(self, start: int, end: int) -> None:
        """Take the lock of the mapping that MREMAP_DONTUNMAP leaves, also where only a part of it was moved.

        On Linux it still counts as locked; and untouched memory merges with an adjacent copy, so that both lose the
        lock.
        """
        if self.mappings[start].is_untouched:
            while (
                (left := self.find(start - 1))
                and left.may_merge_with_untouched
                and self.mappings[start].is_contiguous_with(left)
            ):
                start = left.start
            while (
                (right := self.find(end))
                and right.may_merge_with_untouched
                and right.is_contiguous_with(self.over(start, end)[-1])
            ):
                end = right.end
        for mapping in self.over(start, end):
            mapping.locked = mapping.lock_on_fault = False

    # ---- faults

    def access(self, mapping: Mapping, number: int, store: bool) -> Page | None:
        """Return the page at page number `number` of `mapping`, faulted in and copied as a load or store needs.

        None if no page is available: past the end of the file, or the disk is full (SIGBUS).
        """
        page = self.table.entries.get(number)
        is_first = page is None
        if page is None:
            page = self.fault_in(mapping, number)
            if page is None:
                return None
        if not mapping.shared:
            inode, choices = mapping.inode, self.choices
            changed = inode is not None and not page.refcount and inode.content_version != mapping.file_version
            is_open = changed and not choices.shows_changes()
            if page.refcount != 1 and (store or is_open or (is_first and choices.copies_when_loaded())):
                self.table.minor += not is_first
                page = self.table.copy(number, page)
                mapping.has_private_pages = True
            if is_open:
                page.indeterminate = dict.fromkeys(range(len(page.data)), b"")
        elif store and not page.dirty and mapping.inode is not None:
            self.choices.note_store(number * self.page)
            has_room = mapping.inode.cache.mark_dirty(mapping.file_page(number), page, self.choices)
            return page if has_room else None
        return page

    def copy_at_once(self, mapping: Mapping) -> None:
        """Copy what a new private mapping shows of its file, up to COPIED_PAGES pages, if the choices are so."""
        if mapping.shared or mapping.inode is None or not self.choices.copies_when_mapped():
            return
        first = mapping.start // self.page
        for number in range(first, min(mapping.end // self.page, first + COPIED_PAGES)):
            self.access(mapping, number, True)

    def fault_in(self, mapping: Mapping, number: int) -> Page | None:
        """Handle a fault: make an entry for page number `number`, which has none."""
        inode = mapping.inode
        if inode is None:
            self.table.minor += 1
            page = self.table.memory.zero_page()
        else:
            index = mapping.file_page(number)
            if index * self.page >= inode.size:
                return None
            if mapping.was_resized_at(number) and not self.choices.shows_added_pages():
                return None
            if inode.cache.needs_disk_read(index):
                self.table.major += 1
            else:
                self.table.minor += 1
            page = inode.cache.page(index)
        self.table.entries[number] = page
        return page

    # ---- processes

    def data(self) -> int:
        """Bytes of private memory that may be written (but what grows downwards is a stack)."""
        return sum(m.end - m.start for m in self.mappings.values() if m.is_data)

    def fork(self) -> AddressSpace:
        """Return a child's address space: the same mappings at the same addresses, none of them locked.

        Of those that a child is not to have, or not to see, it gets nothing, or no pages.
        """
        child = AddressSpace(
            self.table.memory, self.mmap_min_addr, self.task_size, self.choices, self.populates_execute_only
        )
        child.table = self.table.fork()
        for mapping in self.mappings.values():
            if mapping.dont_fork or mapping.wipe_on_fork:
                child.table.zap(mapping.start // self.page, mapping.end // self.page)
            if not mapping.dont_fork:
                inherited = mapping.part(mapping.start, mapping.end, child)
                inherited.locked = inherited.lock_on_fault = False
                inherited.forked = True
                child.insert(inherited)
        return child

    def end(self) -> None:
        """Release files and pages.  The object is not used afterwards, so its gaps are not updated."""
        self.table.zap(0, self.task_size // self.page)
        for mapping in self.mappings.values():
            mapping.release()
        self.mappings.clear()
