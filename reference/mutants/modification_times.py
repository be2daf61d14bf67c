"""Mutants of the time of a file's last modification."""

from __future__ import annotations

from ..accesses import Accesses
from ..file_calls import FileCalls
from ..files import Inode
from ..mutant import Original, wrong


@wrong(Inode.changed_by_store, "times.store", "times.at-once", "times.again")
def stores_leave_the_time(changed_by_store: Original, self: Inode, is_first: bool) -> None:
    """Only calls that write mark a file as modified."""
    self.content_version += 1


@wrong(Inode.changed_by_store, "times.again", bug="Linux tmpfs")
def only_the_first_store_is_seen(changed_by_store: Original, self: Inode, is_first: bool) -> None:
    """A page that can be stored to is never protected again."""
    perhaps = self.perhaps_modified
    changed_by_store(self, is_first)
    self.perhaps_modified = perhaps


@wrong(FileCalls.has_old_mtime, "times.at-once")
def write_back_marks_the_file(has_old_mtime: Original, self: FileCalls, fd: int) -> bool:
    """A file that has dirty pages has not been modified yet."""
    inode = self.descriptors[fd].description.inode
    return has_old_mtime(self, fd) or (
        inode.kind == "regular" and any(page.dirty for page in inode.cache.pages.values())
    )


@wrong(Accesses.store, "times.private")
def a_private_store_marks_the_file(store: Original, self: Accesses, addr: int, data: bytes) -> None:
    """The file of the mapping is marked as modified, even if the stores do not reach it."""
    store(self, addr, data)
    mapping = self.space.find(addr)
    if mapping is not None and mapping.inode is not None:
        mapping.inode.backdated = False


@wrong(Accesses.load, "times.load")
def a_load_marks_the_file(load: Original, self: Accesses, addr: int, length: int) -> bytes:
    """A load through a shared mapping marks the file as modified."""
    mapping = self.space.find(addr)
    if mapping is not None and mapping.shared and mapping.inode is not None:
        mapping.inode.backdated = False
    loaded: bytes = load(self, addr, length)
    return loaded
