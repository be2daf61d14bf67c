"""Mutants of the calls that change the storage of a file, copy between files, and rename them."""

from __future__ import annotations

from errno import EACCES, EINVAL, EIO, ENOENT
from typing import Any

from ...contract import FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE
from ..file_calls import FileCalls
from ..files import LARGEST, FileChoices, Inode
from ..mutant import Original, never, other, wrong
from ..paging import PageCache
from ..storage_calls import StorageCalls

SEEN = ("overview.one-to-one", "mmap.flag.shared", "mmap.range")
"""Clauses that random programs cite where a mapping or pread shows other bytes."""

REFUSALS = (
    never("fallocate-needs-no-write-access", "fallocate.errno.EBADF", reason="fd-not-writable"),
    other("fallocate-without-write-access-is-EACCES", EACCES, "fallocate.errno.EBADF", reason="fd-not-writable"),
    other("fallocate-of-no-length-is-ENOENT", ENOENT, "fallocate.errno.EINVAL", reason="range-invalid"),
    never("fallocate-moves-the-end-of-a-file", "fallocate.errno.EINVAL", reason="reaches-the-end"),
    never("fallocate-moves-parts-of-blocks", "fallocate.errno.EINVAL", reason="not-whole-blocks"),
    other("fallocate-of-a-device-is-EINVAL", EINVAL, "fallocate.errno.ENODEV", reason="not-regular"),
    other("fallocate-of-a-pipe-is-EINVAL", EINVAL, "fallocate.errno.ESPIPE", reason="pipe"),
    never("fallocate-of-the-largest-file-succeeds", "fallocate.errno.EFBIG", reason="range-too-large"),
    other("fallocate-of-more-than-is-free-is-EIO", EIO, "fallocate.errno.ENOSPC", reason="disk-full"),
    other("fallocate-of-an-unknown-mode-is-EINVAL", EINVAL, "fallocate.errno.EOPNOTSUPP", reason="mode-unknown"),
    never("a-sealed-file-gets-holes", "fallocate.errno.EPERM", reason="write-sealed"),
    never("fallocate-makes-a-sealed-file-longer", "fallocate.errno.EPERM", reason="growth-sealed"),
    never("an-append-only-file-gets-holes", "fallocate.errno.EPERM", reason="append-only", call="fallocate"),
    never("a-copy-onto-itself-is-made", "copy.errno", reason="copy-onto-itself"),
    never("a-copy-needs-no-access-modes", "copy.errno", reason="wrong-access-mode"),
    never("a-sealed-file-is-copied-to", "copy.errno", reason="write-sealed", call="copy_file_range"),
    other("a-copy-from-a-negative-offset-is-EIO", EIO, "copy.errno", reason="copy-offset-negative"),
    other("a-copy-to-a-full-disk-is-EIO", EIO, "copy.errno", reason="disk-full", call="copy_file_range"),
    other("a-copy-of-a-pipe-is-EIO", EIO, "copy.errno", reason="copy-not-regular"),
    other("a-copy-of-a-directory-is-EINVAL", EINVAL, "copy.errno", reason="copy-of-directory"),
)


# ------------------------------------------------------------------------------------------------------------ fallocate


@wrong(StorageCalls.fallocate, "fallocate.size")
def allocation_leaves_the_size(
    fallocate: Original, self: StorageCalls, fd: int, mode: int, offset: int, length: int
) -> None:
    """fallocate with mode 0 makes no file longer."""
    fallocate(self, fd, mode or FALLOC_FL_KEEP_SIZE, offset, length)


@wrong(StorageCalls.fallocate, "fallocate.size", "fallocate.zero.size")
def allocation_does_not_keep_the_size(
    fallocate: Original, self: StorageCalls, fd: int, mode: int, offset: int, length: int
) -> None:
    """FALLOC_FL_KEEP_SIZE is ignored."""
    fallocate(self, fd, mode, offset, length)
    inode = self.descriptors[fd].description.inode
    if mode & FALLOC_FL_KEEP_SIZE and offset + length > inode.size:
        inode.extend(offset + length, self.choices)


@wrong(Inode.reserve, "fallocate.content", *SEEN)
def allocation_clears_the_range(reserve: Original, self: Inode, offset: int, end: int, choices: FileChoices) -> bool:
    """The storage that fallocate takes for pages replaces what they have."""
    self.clear(offset, end, choices)
    return bool(reserve(self, offset, end, choices))


@wrong(Inode.reserve, "fallocate.content", *SEEN)
def allocation_forgets_what_was_not_written_back(
    reserve: Original, self: Inode, offset: int, end: int, choices: FileChoices
) -> bool:
    """Pages of the range that were stored to are read from the disk again."""
    page = self.cache.memory.page
    for index in self.cache.within(offset // page, -(-end // page)):
        if self.cache.pages[index].dirty:
            del self.cache.pages[index]
            for mapping in self.mappings:
                mapping.drop_file_pages(index, index + 1, private=False)
    return bool(reserve(self, offset, end, choices))


@wrong(Inode.reserve, "fallocate.storage", "fallocate.errno.ENOSPC")
def allocation_takes_no_storage(reserve: Original, self: Inode, offset: int, end: int, choices: FileChoices) -> bool:
    """fallocate takes no storage for the range."""
    return True


# ------------------------------------------------------------------------------------------------ holes and zero ranges


@wrong(Inode.clear, "fallocate.zero", *SEEN)
def stored_pages_stay_in_a_hole(clear: Original, self: Inode, offset: int, end: int, choices: FileChoices) -> None:
    """Pages that were stored to and not written back stay."""
    page = self.cache.memory.page
    kept = {index: self.cache.pages[index] for index in self.cache.within(-(-offset // page), end // page)}
    clear(self, offset, end, choices)
    self.cache.pages.update({index: stored for index, stored in kept.items() if stored.dirty})


@wrong(Inode.clear, "fallocate.zero", "fallocate.zero.store", *SEEN)
def a_hole_leaves_the_pages_of_mappings(
    clear: Original, self: Inode, offset: int, end: int, choices: FileChoices
) -> None:
    """Mappings that have accessed a page go on to access it, although the file has another one."""
    mappings, self.mappings = self.mappings, {}
    try:
        clear(self, offset, end, choices)
    finally:
        self.mappings = mappings


@wrong(Inode.clear, "fallocate.zero.store", "fallocate.zero", *SEEN)
def a_hole_leaves_all_mappings_but_the_first(
    clear: Original, self: Inode, offset: int, end: int, choices: FileChoices
) -> None:
    """Only the first mapping of the file loses the pages."""
    mappings, self.mappings = self.mappings, dict(list(self.mappings.items())[:1])
    try:
        clear(self, offset, end, choices)
    finally:
        self.mappings = mappings


@wrong(PageCache.zero, "fallocate.zero", *SEEN)
def parts_of_pages_do_not_become_zero(
    zero: Original, self: PageCache, start: int, end: int, choices: FileChoices
) -> None:
    """Only whole pages of the range become zero."""


@wrong(Inode.clear, "fallocate.zero.outside", *SEEN)
def a_hole_is_of_whole_pages(clear: Original, self: Inode, offset: int, end: int, choices: FileChoices) -> None:
    """The whole pages of the range's first and last byte become zero."""
    page = self.cache.memory.page
    clear(self, offset // page * page, -(-end // page) * page, choices)


@wrong(Inode.clear, "fallocate.zero.outside", *SEEN)
def a_hole_has_a_byte_too_many(clear: Original, self: Inode, offset: int, end: int, choices: FileChoices) -> None:
    """The byte after the range becomes zero as well."""
    clear(self, offset, end + 1, choices)


@wrong(Inode.clear, "fallocate.zero.private", "mmap.flag.private", *SEEN)
def a_hole_drops_private_copies(clear: Original, self: Inode, offset: int, end: int, choices: FileChoices) -> None:
    """Private mappings lose their copies of the pages."""
    clear(self, offset, end, choices)
    page = self.cache.memory.page
    for mapping in self.mappings:
        mapping.drop_file_pages(offset // page, -(-end // page))


@wrong(StorageCalls.fallocate, "fallocate.zero.size", "fallocate.size")
def zeroing_leaves_the_size(
    fallocate: Original, self: StorageCalls, fd: int, mode: int, offset: int, length: int
) -> None:
    """FALLOC_FL_ZERO_RANGE makes no file longer."""
    keeps = 0 if mode in (0, FALLOC_FL_COLLAPSE_RANGE) or mode & FALLOC_FL_PUNCH_HOLE else FALLOC_FL_KEEP_SIZE
    before = self.descriptors[fd].description.inode.size if fd in self.descriptors else 0
    fallocate(self, fd, mode, offset, length)
    inode = self.descriptors[fd].description.inode
    if keeps and before < inode.size == offset + length:
        inode.cut(before)


@wrong(StorageCalls.fallocate, "fallocate.zero.size", "fallocate.size")
def a_hole_makes_the_file_longer(
    fallocate: Original, self: StorageCalls, fd: int, mode: int, offset: int, length: int
) -> None:
    """A file that is shorter than the hole becomes as long."""
    fallocate(self, fd, mode, offset, length)
    inode = self.descriptors[fd].description.inode
    if mode & FALLOC_FL_PUNCH_HOLE and offset + length > inode.size:
        inode.extend(offset + length, self.choices)


@wrong(Inode.clear, "fallocate.punch.storage")
def a_hole_keeps_its_storage(clear: Original, self: Inode, offset: int, end: int, choices: FileChoices) -> None:
    """The storage of the range is not given back."""
    before = list(self.cache.on_disk.blocks) if self.cache.on_disk is not None else []
    clear(self, offset, end, choices)
    if self.cache.on_disk is not None:
        for block in before:
            self.cache.on_disk.reserve(block, choices)


# ----------------------------------------------------------------------------------------------------- ranges that move


@wrong(Inode.move, "fallocate.collapse", "fallocate.insert", "fallocate.zero", *SEEN)
def moved_pages_stay_in_mappings(move: Original, self: Inode, offset: int, by: int, choices: FileChoices) -> None:
    """Mappings go on to access the pages that they have accessed, which are at other places of the file now."""
    entries = dict(self.mappings)
    self.mappings = {}
    try:
        move(self, offset, by, choices)
    finally:
        self.mappings = entries
    for mapping in self.mappings:
        mapping.note_size(self.size)


@wrong(Inode.move, "fallocate.collapse", "fallocate.insert", "fallocate.zero", *SEEN)
def what_was_not_written_back_does_not_move(
    move: Original, self: Inode, offset: int, by: int, choices: FileChoices
) -> None:
    """Bytes that were stored and not written back are lost when their page moves."""
    page = self.cache.memory.page
    for index in self.cache.within(offset // page, LARGEST):
        if self.cache.pages[index].dirty:
            del self.cache.pages[index]
    move(self, offset, by, choices)


@wrong(Inode.move, "fallocate.collapse", "fallocate.zero", "file.truncate", *SEEN)
def collapsing_leaves_the_size(move: Original, self: Inode, offset: int, by: int, choices: FileChoices) -> None:
    """A file is as long after FALLOC_FL_COLLAPSE_RANGE as before."""
    size = self.size
    move(self, offset, by, choices)
    if by < 0:
        self.extend(size, choices)


@wrong(Inode.move, "fallocate.insert", "fallocate.zero", *SEEN)
def an_inserted_range_has_the_old_bytes(
    move: Original, self: Inode, offset: int, by: int, choices: FileChoices
) -> None:
    """What was in the range is there as well as after it."""
    old = self.read(max(by, 0), offset, choices)
    move(self, offset, by, choices)
    if old:
        self.write(old, offset, choices)


# ------------------------------------------------------------------------------------------------- holes, copies, names


@wrong(Inode.has_storage, "file.holes.stores")
def stores_are_holes_until_they_are_written_back(has_storage: Original, self: Inode, index: int) -> bool:
    """SEEK_DATA finds what is on the disk only."""
    record = self.cache.on_disk
    return record is not None and bool(record.blocks.get(index))


@wrong(StorageCalls.copy_file_range, "copy.stores", *SEEN)
def a_copy_has_what_is_on_the_disk(
    copy: Original, self: StorageCalls, fd: int, offset: int, to_fd: int, to_offset: int, length: int
) -> int:
    """copy_file_range reads the source's disk, not its pages in memory."""
    description = self.description(fd)
    if description is None or not description.inode.is_regular or description.inode.cache.on_disk is None:
        return int(copy(self, fd, offset, to_fd, to_offset, length))
    cache = description.inode.cache
    pages, cache.pages = cache.pages, {}
    try:
        return int(copy(self, fd, offset, to_fd, to_offset, length))
    finally:
        if self.description(to_fd) is None or cache is not self.descriptors[to_fd].description.inode.cache:
            cache.pages = pages


@wrong(StorageCalls.copy_file_range, "copy.shared", *SEEN)
def mappings_do_not_show_a_copy(
    copy: Original, self: StorageCalls, fd: int, offset: int, to_fd: int, to_offset: int, length: int
) -> int:
    """The copy is in pages of its own, and mappings of the target keep the old ones."""
    description = self.description(to_fd)
    if description is not None and description.inode.is_regular and description.writable:
        cache = description.inode.cache
        for index in list(cache.pages):
            old = cache.pages[index]
            cache.pages[index] = cache.memory.allocate(bytes(old.data))
            cache.pages[index].dirty = old.dirty
    return int(copy(self, fd, offset, to_fd, to_offset, length))


@wrong(StorageCalls.copy_file_range, "copy.shared", *SEEN)
def a_copy_shares_its_pages_with_the_source(
    copy: Original, self: StorageCalls, fd: int, offset: int, to_fd: int, to_offset: int, length: int
) -> int:
    """Whole pages of the copy are the source's: a store to one file is in both."""
    copied = int(copy(self, fd, offset, to_fd, to_offset, length))
    source, target = self.descriptors[fd].description.inode, self.descriptors[to_fd].description.inode
    if source is not target and not offset % self.page and not to_offset % self.page:
        for number in range(copied // self.page):
            target.cache.pages[to_offset // self.page + number] = source.cache.page(offset // self.page + number)
    return copied


@wrong(StorageCalls.rename, "rename.mapping", "file.errno", *SEEN)
def a_renamed_file_is_a_copy(rename: Original, self: StorageCalls, path: str, new_path: str) -> None:
    """rename makes a new file with the content of the old one."""
    rename(self, path, new_path)
    name, directory, inode = self.machine.look_up(new_path)
    if path != new_path and inode is not None and directory is not None and inode.is_regular:
        other = directory.add("regular", name)
        other.write(inode.read(inode.size, 0, self.choices), 0, self.choices)
        inode.links -= 1


@wrong(StorageCalls.rename, "rename.replaced", *SEEN)
def a_replaced_file_is_emptied(rename: Original, self: StorageCalls, path: str, new_path: str) -> None:
    """The storage of the file that loses its name is given back, although it is mapped."""
    replaced = self.machine.look_up(new_path)[2]
    rename(self, path, new_path)
    if replaced is not None and replaced.is_regular and not replaced.links:
        replaced.cut(0)


@wrong(StorageCalls.rename, "rename.replaced", *SEEN)
def a_mapping_follows_the_name(rename: Original, self: StorageCalls, path: str, new_path: str) -> None:
    """Mappings of a file that is replaced are of the file that has its name now."""
    replaced = self.machine.look_up(new_path)[2]
    rename(self, path, new_path)
    inode = self.machine.look_up(new_path)[2]
    if replaced is None or inode is None or replaced is inode or not replaced.is_regular or not inode.is_regular:
        return
    for mapping in list(replaced.mappings):
        moved: Any = mapping
        moved.drop_file_pages(0, LARGEST)
        moved.inode, inode.mappings[mapping] = inode, None
        moved.note_size(inode.size)
    replaced.mappings.clear()


@wrong(StorageCalls.rename, "link.same", "file.errno", *SEEN)
def renaming_to_another_name_of_the_file_removes_one(
    rename: Original, self: StorageCalls, path: str, new_path: str
) -> None:
    """rename from one name of a file to another one removes the first."""
    is_same = self.machine.look_up(path)[2] is self.machine.look_up(new_path)[2]
    rename(self, path, new_path)
    if is_same and path != new_path:
        self.unlink(path)


@wrong(FileCalls.pread, "coherence.write", *SEEN, bug="ext4 of Linux 6.18 with inline_data")
def a_read_past_the_end_empties_the_last_page(
    pread: Original, self: FileCalls, fd: int, length: int, offset: int
) -> bytes:
    """A read of more than the file makes its last page zero, if that was not written back."""
    description = self.description(fd)
    inode = None if description is None else description.inode
    if inode is not None and inode.is_regular and offset + length > inode.size and inode.size > self.page:
        page = inode.cache.page(inode.size // self.page)
        if page.dirty:
            page.wipe(0)
    return bytes(pread(self, fd, length, offset))


@wrong(StorageCalls.link, "link.same", *SEEN)
def a_second_name_is_of_a_copy(link: Original, self: StorageCalls, path: str, new_path: str) -> None:
    """link makes a new file with the content of the old one."""
    link(self, path, new_path)
    name, directory, inode = self.machine.look_up(new_path)
    if inode is not None and directory is not None:
        other = directory.add("regular", name)
        other.write(inode.read(inode.size, 0, self.choices), 0, self.choices)
        inode.links -= 1


@wrong(FileCalls.unlink, "link.same", *SEEN)
def the_first_name_removes_the_file(unlink: Original, self: FileCalls, path: str) -> None:
    """A file is emptied when it loses one of two names."""
    inode = self.machine.look_up(path)[2]
    unlink(self, path)
    if inode is not None and inode.is_regular and inode.links:
        inode.cut(0)
