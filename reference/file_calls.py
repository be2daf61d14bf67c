"""The calls that work on files and descriptors, as far as mappings need them."""

from __future__ import annotations

from errno import (
    EAGAIN,
    EBADF,
    EBUSY,
    EEXIST,
    EFBIG,
    EINVAL,
    EISDIR,
    EMFILE,
    ENFILE,
    ENOENT,
    ENOSPC,
    ENOTDIR,
    EPERM,
    ESPIPE,
)
from hashlib import sha256
from typing import Final

from ..contract import (
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
    Stat,
    Unresolved,
)
from .constants import (
    O_ACCESS,
    O_APPEND,
    O_CLOEXEC,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_PATH,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
    O_WRONLY,
    PROT_WRITE,
)
from .files import LARGEST, Inode, InotifyWatch, OpenFileDescription
from .refusal import Refusals
from .state import State

ATTRIBUTE: Final = b"1\n"
"""The content of the attribute in /sys."""

NOT_POSITIONED: Final = ("fifo", "socket", "other")
"""Kinds of files without positioned reads and writes; "other" is a watch."""


class FileCalls(State):
    """The calls on files and descriptors."""

    # ----------------------------------------------------------------------------------------------------------- names

    def open(self, path: str, flags: int, mode: int = 0o600) -> int:
        flags = int(flags)
        if flags & O_PATH:
            flags &= O_PATH | O_DIRECTORY | O_CLOEXEC  # the others are ignored (open(2))
        name, directory, inode = self.look_up(path)
        writes = flags & O_ACCESS != O_RDONLY

        # ERRORS
        with self.errors("open") as refuse:
            self.refuse_descriptors(refuse, 1)
            if inode is None:
                if directory is None:
                    refuse(ENOENT, "file.errno", "directory-missing", "a directory of the path does not exist")
                elif not directory.is_directory:
                    refuse(ENOTDIR, "file.errno", "path-not-directory", "a part of the path is not a directory")
                elif not flags & O_CREAT or not path:
                    refuse(ENOENT, "file.errno", "file-missing", "the file does not exist")
            else:
                if flags & O_CREAT and flags & O_EXCL:
                    refuse(EEXIST, "file.errno", "file-exists", "the file exists")
                if inode.is_directory and (writes or flags & O_CREAT):
                    refuse(EISDIR, "file.errno", "is-directory", "the file is a directory")
                if not inode.is_directory and flags & O_DIRECTORY:
                    refuse(ENOTDIR, "file.errno", "not-directory", "the file is not a directory")
                if inode.append_only and ((writes and not flags & O_APPEND) or flags & O_TRUNC):
                    refuse(EPERM, "file.errno", "append-only", "the file is append-only")

        # EFFECT
        if inode is None:
            assert directory is not None
            inode = directory.add("regular", name)
        by = None if directory is None else directory.names.get(name)
        description = OpenFileDescription(self.machine.file_table, inode, flags, by)
        if flags & O_TRUNC and writes and inode.is_regular:
            inode.perhaps_modified = True  # Linux marks an empty file, too
            if inode.size:
                inode.cut(0, self.choices)

        # RESULT
        return self.install(description, bool(flags & O_CLOEXEC))

    def look_up(self, path: str) -> tuple[str, Inode | None, Inode | None]:
        """Return a path's last part, its directory and its file; None for a directory or file that does not exist."""
        if path.startswith("/dev/fd/"):
            descriptor = self.descriptors.get(int(path[8:])) if path[8:].isdecimal() else None
            inode = None if descriptor is None else descriptor.description.inode
            return path, None, inode
        return self.machine.look_up(path)

    def refuse_descriptors(self, refuse: Refusals, count: int) -> None:
        """Refuse to make `count` descriptors if there are too many."""
        if len(self.descriptors) + count > self.machine.parameters.descriptors:
            refuse(EMFILE, "file.errno", "descriptor-limit", "the process has as many descriptors as it may have")
        if self.machine.file_table.full and "CAP_SYS_ADMIN" not in self.capabilities:
            refuse(ENFILE, "file.errno", "file-table-full", "the table of open files is full")

    def unlink(self, path: str) -> None:
        name, directory, inode = self.machine.look_up(path)

        # ERRORS
        with self.errors("unlink") as refuse:
            if inode is None:
                refuse(ENOENT, "file.errno", "file-missing", "the file does not exist")
            elif inode.is_directory:
                refuse(EISDIR, "file.errno", "is-directory", "the file is a directory")
            elif inode.append_only:
                refuse(EPERM, "file.errno", "append-only", "the file is append-only")

        # EFFECT
        assert inode is not None
        assert directory is not None
        del directory.entries[name]
        inode.lose(directory.names.pop(name))

    def mkdir(self, path: str) -> None:
        name, directory, inode = self.machine.look_up(path)

        # ERRORS
        with self.errors("mkdir") as refuse:
            if inode is not None:
                refuse(EEXIST, "file.errno", "file-exists", "the file exists")
            elif directory is None:
                refuse(ENOENT, "file.errno", "directory-missing", "a directory of the path does not exist")
            elif not directory.is_directory:
                refuse(ENOTDIR, "file.errno", "path-not-directory", "a part of the path is not a directory")

        # EFFECT
        assert directory is not None
        directory.add("directory", name)

    def free_space(self, path: str) -> int:
        _name, _directory, inode = self.machine.look_up(path)

        # ERRORS
        with self.errors("statvfs") as refuse:
            if inode is None:
                refuse(ENOENT, "file.errno", "file-missing", "the file does not exist")

        # RESULT
        assert inode is not None
        assert inode.file_system is not None
        return inode.file_system.disk.free

    # ----------------------------------------------------------------------------------------------------- descriptors

    def close(self, fd: int) -> None:
        # ERRORS
        with self.errors("close") as refuse:
            if fd not in self.descriptors:
                refuse(EBADF, "file.errno", "fd-not-open", "fd is not an open descriptor")

        # EFFECT
        description = self.descriptors.pop(fd).description
        if description.inode.record_lock is self and not description.path_only:
            description.inode.record_lock = None
        description.release()

    def dup(self, fd: int) -> int:
        # ERRORS
        with self.errors("dup") as refuse:
            if fd not in self.descriptors:
                refuse(EBADF, "file.errno", "fd-not-open", "fd is not an open descriptor")
            if len(self.descriptors) >= self.machine.parameters.descriptors:
                refuse(EMFILE, "file.errno", "descriptor-limit", "the process has as many descriptors as it may have")

        # RESULT
        return self.install(self.descriptors[fd].description)

    def require_description(self, call: str, fd: int) -> OpenFileDescription:
        """Return the open file description of a descriptor; refuse a descriptor that is not open."""
        description = self.description(fd)
        if description is None:
            with self.errors(call) as refuse:
                refuse(EBADF, "file.errno", "fd-not-open", "fd is not an open descriptor")
        assert description is not None
        return description

    def fstat(self, fd: int) -> Stat:
        # ERRORS
        with self.errors("fstat") as refuse:
            if fd not in self.descriptors:
                refuse(EBADF, "file.errno", "fd-not-open", "fd is not an open descriptor")

        # RESULT
        inode = self.descriptors[fd].description.inode
        return Stat(inode.kind, inode.size if inode.is_regular else self.choices.special_size())

    # --------------------------------------------------------------------------------------------------------- content

    def ftruncate(self, fd: int, length: int) -> None:
        description = self.require_description("ftruncate", fd)
        inode = description.inode

        # ERRORS
        with self.errors("ftruncate") as refuse:
            if length < 0:
                refuse(EINVAL, "file.errno", "length-negative", "length is negative")
            if not inode.is_regular or not description.writable:
                refuse(EINVAL, "file.errno", "fd-not-writable-file", "fd is not a regular file open for writing")
            if inode.append_only:
                refuse(EPERM, "file.errno", "append-only", "the file is append-only")
            if length > LARGEST - self.page and self.choices.limits_files():
                refuse(EFBIG, "file.errno", "file-too-large", "length is larger than any file")
            if (length < inode.size and inode.seals & SEAL_SHRINK) or (length > inode.size and inode.seals & SEAL_GROW):
                refuse(EPERM, "file.errno", "size-sealed", "the file's size is sealed")

        # EFFECT
        if length < inode.size:
            inode.cut(length, self.choices)
        else:
            inode.extend(length, self.choices)

    def lseek(self, fd: int, offset: int, whence: int) -> int:
        description = self.require_description("lseek", fd)
        inode = description.inode
        start = {SEEK_SET: 0, SEEK_CUR: description.offset, SEEK_END: inode.size}.get(whence)

        # ERRORS
        with self.errors("lseek") as refuse:
            if inode.kind in ("fifo", "socket"):
                refuse(ESPIPE, "file.errno", "no-file-offset", "this kind of file has no offset")
            if start is None or start + offset < 0:
                refuse(
                    EINVAL, "file.errno", "whence-invalid", "whence is not valid, or the file offset would be negative"
                )

        # EFFECT
        assert start is not None
        description.offset = start + offset

        # RESULT
        return description.offset

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        self.reads += 1
        description = self.require_description("pread", fd)
        inode = description.inode

        # ERRORS
        with self.errors("pread") as refuse:
            self.refuse_reading(refuse, description, offset)

        # EFFECT
        if inode.device:
            content = self.read_device(inode.device, length, offset)
            return content if inode.device in ("zero", "null") else self.choices.device_content(content)

        # RESULT
        return inode.read(length, offset, self.choices)

    def read_device(self, device: str, length: int, offset: int) -> bytes:
        """Return the bytes that a device or an unusual file has at `offset`, at most `length`."""
        if device == "zero":
            return bytes(length)
        if device == "random":
            blocks = range(offset // 32, (offset + length) // 32 + 1)
            return b"".join(sha256(b"%d" % block).digest() for block in blocks)[offset % 32 :][:length]
        content = {"attribute": ATTRIBUTE, "maps": self.proc_maps()}.get(device, b"")
        return content[offset : offset + length]

    def refuse_reading(self, refuse: Refusals, description: OpenFileDescription, offset: int) -> None:
        """Refuse to read, whatever the buffer is."""
        kind = description.inode.kind
        if offset < 0:
            refuse(EINVAL, "file.errno", "offset-negative", "offset is negative")
        if kind in NOT_POSITIONED:
            refuse(ESPIPE, "file.errno", "no-file-offset", "this kind of file has no offset")
        if not description.readable:
            refuse(EBADF, "file.errno", "fd-not-readable", "fd is not open for reading")
        if description.inode.is_directory:
            refuse(EISDIR, "file.errno", "is-directory", "the file is a directory")

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        self.writes += 1
        description = self.require_description("pwrite", fd)
        inode = description.inode

        # ERRORS of the arguments
        with self.errors("pwrite") as refuse:
            self.refuse_writing(refuse, description, len(data), offset)

        # EFFECT
        if inode.device or not data:
            return len(data)
        data = data[: self.writable_length(inode, len(data), offset)]
        written = inode.write(data, inode.size if description.append else offset, self.choices)

        # ERRORS of the disk
        with self.errors("pwrite") as refuse:
            if not written:
                refuse(ENOSPC, "file.errno", "disk-full", "the disk is full")

        # RESULT
        return written

    def refuse_writing(self, refuse: Refusals, description: OpenFileDescription, length: int, offset: int) -> None:
        """Refuse to write, whatever the buffer is."""
        inode = description.inode
        seals = SEAL_WRITE | SEAL_FUTURE_WRITE
        if length and not self.writable_length(inode, length, offset):
            seals |= SEAL_GROW
        if offset < 0:
            refuse(EINVAL, "file.errno", "offset-negative", "offset is negative")
        if inode.kind in NOT_POSITIONED:
            refuse(ESPIPE, "file.errno", "no-file-offset", "this kind of file has no offset")
        if not description.writable:
            refuse(EBADF, "file.errno", "fd-not-writable", "fd is not open for writing")
        if offset > LARGEST - self.page and self.choices.limits_files():
            refuse(EFBIG, "file.errno", "offset-too-large", "offset is larger than any file")
        if inode.seals & seals:
            refuse(EPERM, "file.errno", "write-sealed", "the file is sealed")
            inode.perhaps_modified = True  # Linux marks it before it finds the seal

    def writable_length(self, inode: Inode, length: int, offset: int) -> int:
        """Return how many bytes may be written; if growth is sealed, up to the last page that is wholly in the file."""
        if not inode.seals & SEAL_GROW or offset + length <= inode.size:
            return length
        return max(inode.size // self.page * self.page - offset, 0)

    def set_old_mtime(self, fd: int) -> None:
        description = self.description(fd)

        # ERRORS
        with self.errors("set_old_mtime") as refuse:
            if description is None:
                refuse(EBADF, "file.errno", "fd-not-open", "fd is not an open descriptor")
            elif description.inode.append_only:
                refuse(EPERM, "file.errno", "append-only", "the file is append-only")

        # EFFECT
        assert description is not None
        description.inode.backdated = True
        description.inode.perhaps_modified = False

    def has_old_mtime(self, fd: int) -> bool:
        # ERRORS
        with self.errors("fstat") as refuse:
            if fd not in self.descriptors:
                refuse(EBADF, "file.errno", "fd-not-open", "fd is not an open descriptor")

        # RESULT
        inode = self.descriptors[fd].description.inode
        return inode.backdated and not (inode.perhaps_modified and self.choices.mtime_updated())

    def fsync(self, fd: int) -> None:
        description = self.require_description("fsync", fd)

        # ERRORS
        with self.errors("fsync") as refuse:
            if description.inode.kind not in ("regular", "directory"):
                refuse(EINVAL, "file.errno", "no-storage", "the file has no storage")

        # EFFECT
        description.inode.sync(self.choices)

    def drop_cache(self, fd: int) -> None:
        description = self.require_description("drop_cache", fd)

        # ERRORS
        with self.errors("drop_cache") as refuse:
            if description.inode.kind not in ("regular", "directory"):
                refuse(EINVAL, "file.errno", "no-storage", "the file has no storage")

        # EFFECT
        if description.inode.is_regular:
            description.inode.drop_cache(self.choices)

    # ----------------------------------------------------------------------------------------------------- other files

    def pipe(self) -> tuple[int, int]:
        return self.pair("pipe", "fifo", O_RDONLY, O_WRONLY)

    def socketpair(self) -> tuple[int, int]:
        return self.pair("socketpair", "socket", O_RDWR, O_RDWR)

    def pair(self, call: str, kind: str, first: int, second: int) -> tuple[int, int]:
        """Return two descriptors of the two ends of a pipe or socket pair."""
        # ERRORS
        with self.errors(call) as refuse:
            self.refuse_descriptors(refuse, 2)

        # EFFECT
        table = self.machine.file_table
        inode = Inode(None, kind, kind)
        other = inode if kind == "fifo" else Inode(None, kind, kind)

        # RESULT
        return self.install(OpenFileDescription(table, inode, first)), self.install(
            OpenFileDescription(table, other, second)
        )

    def memfd(self) -> int:
        # ERRORS
        with self.errors("memfd_create") as refuse:
            self.refuse_descriptors(refuse, 1)

        # EFFECT
        inode = self.machine.memory_files.inode("regular", "memfd")
        inode.sealable = True

        # RESULT
        return self.install(OpenFileDescription(self.machine.file_table, inode, O_RDWR))

    def seal(self, fd: int, seals: int) -> None:
        description = self.require_description("seal", fd)
        inode = description.inode

        # ERRORS
        with self.errors("seal") as refuse:
            if not inode.sealable:
                refuse(EINVAL, "file.errno", "not-sealable", "the file cannot be sealed")
                refuse(
                    EPERM,
                    "file.errno",
                    "seals-sealed-by-tmpfs",
                    "the file is sealed against being sealed (as Linux's tmpfs has it)",
                )
            if not description.writable:
                refuse(EPERM, "file.errno", "fd-not-writable", "fd is not open for writing")
            if seals & SEAL_WRITE and any(m.shared and m.max_prot & PROT_WRITE for m in inode.mappings):
                refuse(EBUSY, "memfd.seal.write.busy", "mapped-writable", "the file is mapped shared and writable")
            if inode.seals & SEAL_SEAL:
                refuse(EPERM, "memfd.seal.seal", "seals-sealed", "the file is sealed against being sealed")

        # EFFECT
        inode.seals |= seals

    def set_append_only(self, fd: int, on: bool) -> None:
        description = self.require_description("set_append_only", fd)

        # ERRORS
        with self.errors("set_append_only") as refuse:
            if on != description.inode.append_only and "CAP_LINUX_IMMUTABLE" not in self.capabilities:
                refuse(EPERM, "file.errno", "attribute-not-permitted", "the process may not change the attribute")

        # EFFECT
        description.inode.append_only = on

    # ----------------------------------------------------------------------------------------------- locks and watches

    def flock(self, fd: int, operation: int) -> None:
        description = self.require_description("flock", fd)
        holders = description.inode.flocks
        if holders is None:
            holders = description.inode.flocks = {}
        wanted = operation & ~LOCK_NB
        others = [held for holder, held in holders.items() if holder is not description]
        held = LOCK_EX in others if wanted == LOCK_SH else wanted == LOCK_EX and bool(others)
        if held:
            # EFFECT before the errors: a lock is given up before it is converted (flock(2))
            holders.pop(description, None)

        # ERRORS
        with self.errors("flock") as refuse:
            if wanted not in (LOCK_SH, LOCK_EX, LOCK_UN):
                refuse(EINVAL, "file.errno", "operation-unknown", "the operation is unknown")
            if held and operation & LOCK_NB:
                refuse(EAGAIN, "file.errno", "flock-held", "another open file description holds the lock")

        # EFFECT
        if held:
            raise Unresolved("flock would wait for a lock that no process releases")

        if wanted == LOCK_UN:
            holders.pop(description, None)
        else:
            holders[description] = wanted

    def record_lock(self, fd: int, *, ofd: bool) -> None:
        description = self.require_description("record_lock", fd)
        owner = description if ofd else self

        # ERRORS
        with self.errors("record_lock") as refuse:
            if not description.writable:
                refuse(EBADF, "file.errno", "fd-not-writable", "fd is not open for writing")
            if description.inode.busy(owner):
                refuse(EAGAIN, "file.errno", "record-lock-held", "another owner holds the record lock")

        # EFFECT
        description.inode.record_lock = owner

    def watch(self, path: str) -> int:
        _name, _directory, inode = self.look_up(path)

        # ERRORS
        with self.errors("watch") as refuse:
            self.refuse_descriptors(refuse, 1)
            if inode is None:
                refuse(ENOENT, "file.errno", "file-missing", "the file does not exist")

        # EFFECT
        assert inode is not None
        description = OpenFileDescription(self.machine.file_table, Inode(None, "other", "watch"))
        description.watch = InotifyWatch()
        inode.watches = [*(inode.watches or ()), description.watch]

        # RESULT
        return self.install(description)

    def close_events(self, watch: int) -> int:
        noted = self.require_description("close_events", watch).watch

        # ERRORS
        with self.errors("close_events") as refuse:
            if noted is None:
                refuse(EINVAL, "file.errno", "not-watch", "the descriptor is not from watch")

        # RESULT
        assert noted is not None
        return self.choices.coalesced_closes(*noted.take())
