"""The steps that open, change and close files."""

from __future__ import annotations

from typing import Final

from ..contract import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_ZERO_RANGE,
    LOCK_EX,
    LOCK_NB,
    LOCK_SH,
    LOCK_UN,
    SEAL_FUTURE_WRITE,
    SEAL_GROW,
    SEAL_SEAL,
    SEAL_SHRINK,
    SEAL_WRITE,
    SEEK_CUR,
    SEEK_END,
    SEEK_SET,
    Facility,
)
from ..reference.constants import (
    MAP_ANONYMOUS,
    MAP_PRIVATE,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    O_APPEND,
    O_CLOEXEC,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
    O_WRONLY,
    PROT_READ,
    PROT_WRITE,
)
from ..reference.files import Inode
from ..reference.mapping import Mapping
from ..reference.storage_calls import MOVES
from .draws import Draws
from .model_view import MAX_PAGES, Actor, ProgramState

ACCESS_MODES: Final = (O_RDWR, O_RDWR, O_RDONLY, O_RDONLY, O_WRONLY)

SEALS: Final = (SEAL_WRITE, SEAL_GROW, SEAL_SHRINK, SEAL_FUTURE_WRITE, SEAL_SEAL, SEAL_WRITE | SEAL_SHRINK, SEAL_SEAL)


PUNCH: Final = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
ALLOCATION_MODES: Final = (
    *(0, 0, FALLOC_FL_KEEP_SIZE, PUNCH, PUNCH, PUNCH, PUNCH, FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE),
    *(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, *MOVES, *MOVES, FALLOC_FL_PUNCH_HOLE),
)


class FileSteps(ProgramState):
    """Steps with calls about files and descriptors."""

    def open(self, actor: Actor, draws: Draws) -> None:
        name = draws.choice("ab")
        mode = draws.choice(ACCESS_MODES)
        more = draws.choice((0, 0, 0, 0, 0, O_APPEND, O_CREAT | O_EXCL, O_TRUNC, O_CLOEXEC, O_CLOEXEC))
        if mode == O_RDONLY and more == O_TRUNC:  # the combination is undefined
            mode = O_RDWR
        self.open_file(actor, name, mode | more)

    def close(self, actor: Actor, draws: Draws) -> None:
        descriptors = [fd for fd in actor.model.descriptors if fd > 2]
        if descriptors:
            fd = draws.choice(descriptors)
            self.call(actor, "close", 77 if draws.one_in(16) else fd)

    def dup(self, actor: Actor, draws: Draws) -> None:
        descriptors = self.usable_descriptors(actor, False, False)
        if descriptors and len(descriptors) < 6:
            self.call(actor, "dup", draws.choice(descriptors)[0])

    def unlink(self, actor: Actor, draws: Draws) -> None:
        self.call(actor, "unlink", self.folder + draws.choice("ab"))

    def ftruncate(self, actor: Actor, draws: Draws) -> None:
        length = draws.below(MAX_PAGES + 1) * self.page + draws.choice((0, 0, 1, 100))
        fd = self.descriptor(actor, draws, False, not draws.one_in(16))
        self.call(actor, "ftruncate", fd, -1 if fd >= 0 and draws.one_in(32) else length)

    def pread(self, actor: Actor, draws: Draws) -> None:
        offset, length = self.file_range(draws)
        fd = self.descriptor(actor, draws, not draws.one_in(16), False)
        self.call(actor, "pread", fd, length, offset)

    def pwrite(self, actor: Actor, draws: Draws) -> None:
        offset, length = self.file_range(draws)
        data = draws.choice("pqr").encode() * length
        fd = self.descriptor(actor, draws, False, not draws.one_in(16))
        self.call(actor, "pwrite", fd, data, offset)

    def file_range(self, draws: Draws) -> tuple[int, int]:
        """Draw an (offset, bytes) range of a file."""
        offset = draws.below(MAX_PAGES) * self.page + draws.choice((0, 0, 0, self.page - 1, 100))
        return offset, draws.choice((1, 8, self.page, self.page + 1))

    def read_into(self, actor: Actor, draws: Draws) -> None:
        self.copy(actor, draws, "read_into", PROT_WRITE)

    def write_from(self, actor: Actor, draws: Draws) -> None:
        self.copy(actor, draws, "write_from", PROT_READ)

    def copy(self, actor: Actor, draws: Draws, call: str, right: int) -> None:
        """Make a pread or pwrite with a buffer in the actor's memory that shares no page with the range of the file.

        The result of a copy of pages onto themselves is not specified.  Nor is the size of a file after a write past
        its end has failed: ext4 has extended the file up to there.
        """
        addr, room = self.draw_place(actor, draws, right)
        offset, length = self.file_range(draws)
        fd = self.descriptor(actor, draws, call == "read_into", call == "write_from")
        descriptor = actor.model.descriptors.get(fd)
        if not room or descriptor is None:
            return
        inode = descriptor.description.inode
        length = min(length, room)
        offset = min(offset, inode.size)
        if all(
            self.shares_no_page(mapping, inode, addr, length, offset)
            for mapping in actor.model.space.over(addr, addr + length)
        ):
            if draws.one_in(3):
                first = draws.choice((0, 1, length // 2, length))
                call = "preadv" if call == "read_into" else "pwritev"
                self.call(actor, call, fd, addr, first, addr + first, length - first, offset)
            else:
                self.call(actor, call, fd, addr, length, offset)

    def shares_no_page(self, mapping: Mapping, inode: Inode, addr: int, length: int, offset: int) -> bool:
        """Return True if a range of a mapping shares no page with the file range, and both are within the file."""
        start = mapping.offset + max(addr, mapping.start) - mapping.start
        end = mapping.offset + min(addr + length, mapping.end) - mapping.start
        page = self.page
        is_before = (end - 1) // page < offset // page or (offset + length - 1) // page < start // page
        return mapping.inode is not inode or (is_before and max(end, offset + length) <= inode.size)

    def fallocate(self, actor: Actor, draws: Draws) -> None:
        """Allocate or zero a range, of whole pages or not, or move what follows it.

        Nothing specifies what becomes of private copies of pages that move, or what a crash leaves of them.
        """
        mode = draws.choice(ALLOCATION_MODES)
        offset, length = self.file_range(draws)
        fd = self.descriptor(actor, draws, False, not draws.one_in(16))
        descriptor = actor.model.descriptors.get(fd)
        if mode in MOVES:
            offset, length = offset // self.page * self.page, self.page
            if descriptor is None or self.files_in == Facility.CRASHING_FILE_SYSTEM:
                return
            if any(not mapping.shared for mapping in descriptor.description.inode.mappings):
                return
        if draws.one_in(16):
            offset, length = draws.choice(((-1, self.page), (0, 0), (offset, -1)))
        self.call(actor, "fallocate", fd, mode, offset, length)

    def copy_file_range(self, actor: Actor, draws: Draws) -> None:
        """Copy between files of one file system: between others, it depends on the kernel which can do so."""
        fd = self.descriptor(actor, draws, not draws.one_in(16), False)
        to_fd = self.descriptor(actor, draws, False, not draws.one_in(16))
        (offset, length), (to_offset, _length) = self.file_range(draws), self.file_range(draws)
        source, target = actor.model.descriptors.get(fd), actor.model.descriptors.get(to_fd)
        if source is None or target is None:
            return
        inode = source.description.inode
        if inode.file_system is not target.description.inode.file_system:
            return
        if not inode.indeterminate_bytes(offset, length):
            self.call(actor, "copy_file_range", fd, offset, to_fd, to_offset, length)

    def rename(self, actor: Actor, draws: Draws) -> None:
        self.rename_or_link(actor, draws, "rename")

    def link(self, actor: Actor, draws: Draws) -> None:
        self.rename_or_link(actor, draws, "link")

    def rename_or_link(self, actor: Actor, draws: Draws, call: str) -> None:
        """Give a file a name that may be another file's, where no crash can show which names the disk has."""
        if self.files_in != Facility.CRASHING_FILE_SYSTEM:
            path, new_path = draws.choice((("a", "b"), ("b", "a"), ("a", "a"), ("a", "c"), ("c", "b")))
            self.call(actor, call, self.folder + path, self.folder + new_path)

    def fsync(self, actor: Actor, draws: Draws) -> None:
        self.call(actor, "fsync", self.descriptor(actor, draws))

    # ---- rare steps

    def memfd(self, actor: Actor, draws: Draws) -> None:
        """Seal a memfd; if there is none, create one of up to two pages."""
        usable = self.usable_descriptors(actor, False, False)
        sealable = [fd for fd, description in usable if description.inode.sealable]
        if sealable or draws.one_in(16):
            fd = draws.choice(sealable) if sealable else self.descriptor(actor, draws)
            self.call(actor, "seal", fd, draws.choice(SEALS))
            return
        made = self.call(actor, "memfd")
        if made is not None and (size := draws.choice((self.page, 2 * self.page, 100, 0))):
            self.call(actor, "ftruncate", made, size)

    def flock(self, actor: Actor, draws: Draws) -> None:
        operation = draws.choice((LOCK_EX, LOCK_SH, LOCK_UN))
        self.call(actor, "flock", self.descriptor(actor, draws), operation | LOCK_NB)

    def record_lock(self, actor: Actor, draws: Draws) -> None:
        ofd = draws.below(2) == 0
        self.call(actor, "record_lock", self.descriptor(actor, draws, False, True), ofd=ofd)

    def watch(self, actor: Actor, draws: Draws) -> None:
        """Read the close events of a watched file; if there is none, watch one."""
        watches = [fd for fd, entry in actor.model.descriptors.items() if entry.description.watch is not None]
        if watches:
            self.call(actor, "close_events", draws.choice(watches))
            return
        name = draws.choice("ab")
        if self.file_exists(name):
            self.call(actor, "watch", self.folder + name)

    def unusual_file_call(self, actor: Actor, draws: Draws) -> None:
        """Make a call on a file of the wrong kind, or with an invalid argument."""
        kind = draws.below(12)
        is_odd = draws.below(2) == 1
        fd = self.special_file(actor, draws) if is_odd else self.descriptor(actor, draws)
        offset = 0 if is_odd else draws.choice((0, -1))  # the order of the two errors is not known here
        descriptor = actor.model.descriptors.get(fd)
        if descriptor is None or descriptor.description.inode.device in ("maps", "attribute"):
            return  # the result of a write depends on their drivers
        if descriptor.description.watch is not None:
            return
        if kind == 0:
            path = draws.choice(("none", "none/a", "a/none", ".", "a", ""))
            flags = draws.choice((O_RDWR, O_RDONLY, O_RDONLY | O_DIRECTORY, O_RDWR | O_CREAT | O_EXCL))
            self.open_file(actor, "a", O_RDWR)
            self.call(actor, "open", self.folder + path if path else path, flags & ~O_CREAT if "n" in path else flags)
        elif kind in (1, 2):
            self.call(actor, "pread", fd, 4, offset)
        elif kind in (3, 4):
            self.call(actor, "pwrite", fd, b"odd", offset)
        elif kind in (5, 6):
            self.call(actor, "ftruncate", fd, offset)
        elif kind in (7, 8):
            self.call(actor, "lseek", fd, offset, draws.choice((SEEK_SET, SEEK_CUR, 99)))
        elif kind == 9:
            self.call(actor, "fsync", fd)
        elif kind == 10:
            fd = self.descriptor(actor, draws)
            if fd >= 0:  # else the order of the two errors depends on the version
                self.call(actor, "flock", fd, 16 | LOCK_NB)
        else:
            self.call(actor, "seal", fd, SEAL_GROW)

    def toggle_append_only(self, actor: Actor, draws: Draws) -> None:
        """Set or clear the append-only attribute of a file."""
        if draws.below(2):
            self.append_only_descriptor(actor, draws)
        else:
            self.call(actor, "set_append_only", self.descriptor(actor, draws, True, True), False)

    def lseek(self, actor: Actor, draws: Draws) -> None:
        fd = self.descriptor(actor, draws)
        self.call(actor, "lseek", fd, *draws.choice(((0, SEEK_CUR), (self.page, SEEK_SET), (0, SEEK_END))))

    def fstat(self, actor: Actor, draws: Draws) -> None:
        self.call(actor, "fstat", self.special_file(actor, draws) if draws.one_in(3) else self.descriptor(actor, draws))

    def set_old_mtime(self, actor: Actor, draws: Draws) -> None:
        self.call(actor, "set_old_mtime", self.descriptor(actor, draws))

    def has_old_mtime(self, actor: Actor, draws: Draws) -> None:
        self.call(actor, "has_old_mtime", self.descriptor(actor, draws))

    def drop_cache(self, actor: Actor, draws: Draws) -> None:
        """Drop a file's pages from the page cache, and query which are still resident."""
        fd = self.descriptor(actor, draws)
        descriptor = actor.model.descriptors.get(fd)
        if self.call(actor, "drop_cache", fd) is None or descriptor is None:
            return
        for mapping in [m for m in actor.model.space.mappings.values() if m.inode is descriptor.description.inode]:
            addr, room = self.symbolic(actor, mapping.start)
            self.call(actor, "mincore", addr, min(room, mapping.end - mapping.start))

    def unmap_and_close(self, actor: Actor, draws: Draws) -> None:
        """Unmap all mappings of a file, close it, and read the close events: is it still open?"""
        usable = self.usable_descriptors(actor, False, False)
        if not usable:
            return
        inode = draws.choice(usable)[1].inode
        replaces = draws.one_in(3)
        for mapping in [m for m in actor.model.space.mappings.values() if m.inode is inode]:
            addr, room = self.symbolic(actor, mapping.start)
            size = min(room, mapping.end - mapping.start)
            other = replaces and self.call(actor, "mmap", 0, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
            if other:
                self.call(actor, "mremap", other, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, addr)
            else:
                self.call(actor, "munmap", addr, size)
        for fd, description in usable:
            if description.inode is inode:
                self.call(actor, "close", fd)
        for fd in [fd for fd, made in actor.model.descriptors.items() if made.description.watch is not None]:
            self.call(actor, "close_events", fd)
