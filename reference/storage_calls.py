"""The calls on the storage of files, between two files, and on their names.

fallocate takes storage for a range (mode 0), gives it back (a hole), makes it zero, or removes or inserts a range, so
that what follows moves.  All mappings of the file show the change; private copies of pages stay what they are.
"""

from __future__ import annotations

from errno import (
    EBADF,
    EEXIST,
    EFBIG,
    EINVAL,
    EISDIR,
    ENODEV,
    ENOENT,
    ENOSPC,
    ENOTDIR,
    ENOTEMPTY,
    ENXIO,
    EOPNOTSUPP,
    EOVERFLOW,
    EPERM,
    ESPIPE,
)
from typing import Final

from ..contract import (
    FALLOC_FL_COLLAPSE_RANGE,
    FALLOC_FL_INSERT_RANGE,
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_ZERO_RANGE,
    SEAL_FUTURE_WRITE,
    SEAL_GROW,
    SEAL_WRITE,
    SEEK_DATA,
    SEEK_HOLE,
    Unresolved,
)
from .file_calls import FileCalls
from .files import LARGEST, Inode, Name, OpenFileDescription
from .machine import parts_of
from .refusal import Refusals

MODES: Final = (
    *(0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE),
    *(FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE),
    *(FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE),
)
"""The combinations of the mode's bits that are known."""

MOVES: Final = (FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE)
"""The modes that move what follows the range."""


class StorageCalls(FileCalls):
    """fallocate, lseek to data and holes, copy_file_range, rename and link."""

    def fallocate(self, fd: int, mode: int, offset: int, length: int) -> None:
        mode = int(mode)
        description = self.require_description("fallocate", fd)
        inode = description.inode

        # ERRORS
        with self.errors("fallocate") as refuse:
            self.refuse_allocation(refuse, description, mode, offset, length)

        # EFFECT
        if mode in MOVES:
            self.move(inode, mode, offset, length)
            return
        end = offset + length
        if mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE):
            inode.clear(offset, end, self.choices)
        if mode & FALLOC_FL_PUNCH_HOLE:
            return
        inode.perhaps_modified = True
        is_complete = inode.reserve(offset, end, self.choices)

        # ERRORS of the disk
        with self.errors("fallocate") as refuse:
            if not is_complete:
                refuse(ENOSPC, "fallocate.errno.ENOSPC", "disk-full", "the disk is full")

        # EFFECT on the size
        if not mode & FALLOC_FL_KEEP_SIZE and end > inode.size:
            inode.extend(end, self.choices)

    def refuse_allocation(
        self, refuse: Refusals, description: OpenFileDescription, mode: int, offset: int, length: int
    ) -> None:
        """Refuse a call with these arguments."""
        inode = description.inode
        if offset < 0 or length <= 0:
            refuse(EINVAL, "fallocate.errno.EINVAL", "range-invalid", "offset is negative, or length is not positive")
        if mode not in MODES:
            refuse(EOPNOTSUPP, "fallocate.errno.EOPNOTSUPP", "mode-unknown", "the mode is unknown")
        if not description.writable:
            refuse(EBADF, "fallocate.errno.EBADF", "fd-not-writable", "fd is not open for writing")
        if inode.append_only and mode & ~FALLOC_FL_KEEP_SIZE:
            refuse(EPERM, "fallocate.errno.EPERM", "append-only", "the file is append-only")
        if inode.kind == "fifo":
            refuse(ESPIPE, "fallocate.errno.ESPIPE", "pipe", "the file is a pipe")
        elif not inode.is_regular:
            refuse(ENODEV, "fallocate.errno.ENODEV", "not-regular", "the file is not a regular file")
        if offset + length > LARGEST - self.page and self.choices.limits_files():
            refuse(EFBIG, "fallocate.errno.EFBIG", "range-too-large", "the range ends past the largest file")
        if inode.seals & (SEAL_WRITE | SEAL_FUTURE_WRITE) and mode & FALLOC_FL_PUNCH_HOLE:
            refuse(EPERM, "fallocate.errno.EPERM", "write-sealed", "the file is sealed")
        if inode.seals & SEAL_GROW and not mode & FALLOC_FL_PUNCH_HOLE and offset + length > inode.size:
            refuse(EPERM, "fallocate.errno.EPERM", "growth-sealed", "the growth of the file is sealed")
        if mode in MOVES:
            if offset % self.page or length % self.page:
                refuse(EINVAL, "fallocate.errno.EINVAL", "not-whole-blocks", "the range is not whole blocks")
            elif (offset + length if mode == FALLOC_FL_COLLAPSE_RANGE else offset) >= inode.size:
                refuse(EINVAL, "fallocate.errno.EINVAL", "reaches-the-end", "the range reaches the end of the file")

    def move(self, inode: Inode, mode: int, offset: int, length: int) -> None:
        """Remove or insert a range of whole pages."""
        if any(not mapping.shared for mapping in inode.mappings):
            raise Unresolved(
                "nothing specifies what becomes of private copies of pages whose place in the file changes"
            )
        if inode.file_system is not None and inode.file_system.disk.may_crash:
            raise Unresolved("nothing specifies what a crash leaves of a file whose pages were moved")
        inode.move(offset, -length if mode == FALLOC_FL_COLLAPSE_RANGE else length, self.choices)

    def lseek(self, fd: int, offset: int, whence: int) -> int:
        description = self.description(fd)
        if whence in (SEEK_DATA, SEEK_HOLE) and description is not None and description.inode.is_regular:
            return self.seek_data(description, offset, whence)
        return super().lseek(fd, offset, whence)

    def seek_data(self, description: OpenFileDescription, offset: int, whence: int) -> int:
        """Move the file offset to the next page with storage or stored bytes, or to the next one without."""
        inode = description.inode

        # ERRORS
        with self.errors("lseek") as refuse:
            if not 0 <= offset < inode.size:
                refuse(ENXIO, "file.holes.stores", "seek-past-end", "the offset is not in the file")

        # RESULT
        index = offset // self.page
        while index * self.page < inode.size and inode.has_storage(index) != (whence == SEEK_DATA):
            index += 1
        offset = min(max(offset, index * self.page), inode.size)

        # ERRORS of the content
        with self.errors("lseek") as refuse:
            if whence == SEEK_DATA and offset == inode.size:
                refuse(ENXIO, "file.holes.stores", "no-data", "there is no data from the offset on")

        # EFFECT
        description.offset = offset
        return offset

    def copy_file_range(self, fd: int, offset: int, to_fd: int, to_offset: int, length: int) -> int:
        source, target = (
            self.require_description("copy_file_range", fd),
            self.require_description("copy_file_range", to_fd),
        )

        # ERRORS
        with self.errors("copy_file_range") as refuse:
            self.refuse_copy(refuse, source, target)
            if min(offset, to_offset) < 0:
                refuse(EINVAL, "copy.errno", "copy-offset-negative", "an offset is negative")
                if min(offset, to_offset) + length >= 0:
                    refuse(EOVERFLOW, "copy.errno", "copy-wraps", "a range wraps around")
            length = max(min(length, source.inode.size - offset), 0)
            if source.inode is target.inode and abs(offset - to_offset) < length:
                refuse(EINVAL, "copy.errno", "copy-onto-itself", "the ranges overlap")
            is_stuck = length and not self.writable_length(target.inode, length, to_offset)
            if is_stuck or (length and target.inode.seals & (SEAL_WRITE | SEAL_FUTURE_WRITE)):
                refuse(EPERM, "copy.errno", "write-sealed", "the file is sealed")

        # EFFECT
        if source.inode.indeterminate_bytes(offset, length):
            raise Unresolved("nothing specifies some of the bytes that are to be copied")
        data = source.inode.read(length, offset, self.choices)
        data = data[: self.writable_length(target.inode, len(data), to_offset)]
        if not data:
            return 0
        written = target.inode.write(data[: self.choices.copied(len(data))], to_offset, self.choices)

        # ERRORS of the disk
        with self.errors("copy_file_range") as refuse:
            if not written:
                refuse(ENOSPC, "copy.errno", "disk-full", "the disk is full")

        # RESULT
        return written

    def refuse_copy(self, refuse: Refusals, source: OpenFileDescription, target: OpenFileDescription) -> None:
        """Refuse a copy from or to files of other kinds, or without the rights."""
        for inode in (source.inode, target.inode):
            if inode.is_directory:
                refuse(EISDIR, "copy.errno", "copy-of-directory", "a file is a directory")
            elif not inode.is_regular:
                refuse(EINVAL, "copy.errno", "copy-not-regular", "a file is not a regular file")
        if not source.readable or not target.writable or target.append:
            refuse(EBADF, "copy.errno", "wrong-access-mode", "a file is not open for reading, or for writing")

    # ---- names

    def rename(self, path: str, new_path: str) -> None:
        name, directory, inode = self.machine.look_up(path)
        new_name, new_directory, other = self.machine.look_up(new_path)

        # ERRORS
        with self.errors("rename") as refuse:
            self.refuse_second_name(refuse, inode, new_directory)
            if inode is not None and inode.append_only and other is not inode:
                refuse(EPERM, "file.errno", "append-only", "the file is append-only")
            if inode is not None and other is not None and other is not inode:
                if other.append_only:
                    refuse(
                        EPERM, "file.errno", "replaced-append-only", "the file that would be replaced is append-only"
                    )
                if other.is_directory and not inode.is_directory:
                    refuse(EISDIR, "file.errno", "replaced-directory", "the new name is a directory's")
                elif inode.is_directory and not other.is_directory:
                    refuse(ENOTDIR, "file.errno", "replaced-file", "a directory cannot replace a file")
                elif other.entries:
                    refuse(ENOTEMPTY, "file.errno", "replaced-not-empty", "the directory to be replaced is not empty")
            names = parts_of(path)
            if inode is not None and inode.is_directory and parts_of(new_path)[:-1][: len(names)] == names:
                refuse(EINVAL, "file.errno", "into-itself", "a directory cannot be moved into itself")

        # EFFECT
        if other is inode:
            return
        assert inode is not None
        assert directory is not None
        assert new_directory is not None
        replaced = new_directory.names.get(new_name)
        del directory.entries[name]
        moved = directory.names.pop(name)
        new_directory.entries[new_name], new_directory.names[new_name] = inode, moved
        inode.name = moved.text = new_name
        if other is not None and replaced is not None:
            other.lose(replaced)

    def link(self, path: str, new_path: str) -> None:
        _name, _directory, inode = self.machine.look_up(path)
        new_name, new_directory, other = self.machine.look_up(new_path)

        # ERRORS
        with self.errors("link") as refuse:
            self.refuse_second_name(refuse, inode, new_directory)
            if other is not None:
                refuse(EEXIST, "file.errno", "file-exists", "the file exists")
            if inode is not None and (inode.is_directory or inode.append_only):
                refuse(EPERM, "file.errno", "not-linkable", "the file is a directory or append-only")

        # EFFECT
        assert inode is not None
        assert new_directory is not None
        new_directory.entries[new_name], new_directory.names[new_name] = inode, Name(new_name)
        inode.links += 1

    def refuse_second_name(self, refuse: Refusals, inode: Inode | None, directory: Inode | None) -> None:
        """Refuse to give a file another name in a directory, if one of them does not exist."""
        if inode is None or directory is None:
            refuse(ENOENT, "file.errno", "name-missing", "the file, or the directory of its new name, does not exist")
        elif not directory.is_directory:
            refuse(ENOTDIR, "file.errno", "path-not-directory", "a part of the path is not a directory")
