"""System calls with a buffer in the process's own address space: read and write.

The kernel uses the same page table as the processor, with the same protection: its store to a private page makes a
copy, its store to a shared page changes the file.  But where the processor would raise a signal, the kernel only stops:
the call then transfers fewer bytes than requested or, if it has transferred none, fails with EFAULT.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from errno import EFAULT, ENAMETOOLONG, ENOSPC
from typing import Final, TypeAlias

from ..contract import Fault, Unresolved
from .accesses import Accesses
from .constants import PROT_EXEC, PROT_READ, PROT_WRITE
from .file_calls import FileCalls
from .files import Inode

PATH_MAX: Final = 4096
"""Bytes of the longest path, with its byte 0."""

ANY_BYTE: Final = bytes(range(256))
"""The values of a byte that nothing specifies."""

STATUS_BYTES: Final = 256
"""Bytes of the structure that statx stores."""


Buffers: TypeAlias = Sequence[tuple[int, int]]
"""Addresses and lengths of memory that a call stores into or loads from, in this order."""


class BufferCalls(Accesses, FileCalls):
    """pread and pwrite with memory of the process as their buffer."""

    def read_into(self, fd: int, addr: int, length: int, offset: int) -> int:
        return self.read_buffers(fd, [(addr & self.mask, length)], offset)

    def preadv(self, fd: int, addr: int, length: int, addr_2: int, length_2: int, offset: int) -> int:
        return self.read_buffers(fd, [(addr & self.mask, length), (addr_2 & self.mask, length_2)], offset)

    def read_buffers(self, fd: int, buffers: Buffers, offset: int) -> int:
        """Read into buffers in their order, up to the first that is not filled."""
        self.reads += 1
        description = self.require_description("pread", fd)
        inode = description.inode

        # ERRORS of the arguments
        with self.errors("pread") as refuse:
            self.refuse_reading(refuse, description, offset)
            if any(addr + length > self.task_size for addr, length in buffers):  # also when nothing is to be copied
                refuse(EFAULT, "buffer.store", "buffer-outside", "the buffer is outside user space")

        # EFFECT
        self.require_no_overlap(inode, buffers, offset)
        moved = wanted = 0
        for addr, length in buffers:
            if inode.device:
                data = self.read_device(inode.device, length, offset + moved)
                indeterminate: dict[int, bytes] = {}
            else:
                data = inode.read(length, offset + moved, self.choices)
                indeterminate = inode.indeterminate_bytes(offset + moved, len(data))
            wanted += len(data)
            moved += self.store_up_to_a_fault(addr, data, indeterminate)
            if moved < wanted or len(data) < length:
                break
        moved = self.choices.transferred("pread", moved, wanted)

        # ERRORS of the buffers
        with self.errors("pread") as refuse:
            if wanted and not moved:
                refuse(EFAULT, "buffer.store", "buffer-not-writable", "the buffer is not writable")

        # RESULT
        return moved

    def write_from(self, fd: int, addr: int, length: int, offset: int) -> int:
        return self.write_buffers(fd, [(addr & self.mask, length)], offset)

    def pwritev(self, fd: int, addr: int, length: int, addr_2: int, length_2: int, offset: int) -> int:
        return self.write_buffers(fd, [(addr & self.mask, length), (addr_2 & self.mask, length_2)], offset)

    def write_buffers(self, fd: int, buffers: Buffers, offset: int) -> int:
        """Write from buffers in their order, up to the first byte that cannot be loaded."""
        self.writes += 1
        description = self.require_description("pwrite", fd)
        inode = description.inode
        length = sum(length for _addr, length in buffers)

        # ERRORS of the arguments
        with self.errors("pwrite") as refuse:
            self.refuse_writing(refuse, description, length, offset)
            if any(addr + part > self.task_size for addr, part in buffers):  # also when nothing is to be copied
                refuse(EFAULT, "buffer.load", "buffer-outside", "the buffer is outside user space")
            elif refuse.count and length and self.is_unreadable(next(addr for addr, part in buffers if part)):
                # tmpfs of Linux 6.12 reads the buffer before it checks the seals: of both errors, EFAULT is right too
                refuse(EFAULT, "buffer.load", "sealed-buffer", "the file is sealed, and the buffer is not readable")

        # EFFECT
        if inode.device or not length:
            return length
        length = self.writable_length(inode, length, offset)
        self.require_no_overlap(inode, buffers, offset)
        data, indeterminate = self.load_buffers(buffers, length)
        available = self.choices.transferred("pwrite", len(data), length)
        start = inode.size if description.append else offset
        written = inode.write(data[:available], start, self.choices) if available else 0
        for at, values in indeterminate.items():
            if at < written:
                page = inode.cache.page((start + at) // self.page)
                page.allow({(start + at) % self.page: values})

        # ERRORS of the buffer
        with self.errors("pwrite") as refuse:
            if not available:
                refuse(EFAULT, "buffer.load", "buffer-not-readable", "the buffer is not readable")
            elif not written:
                refuse(ENOSPC, "file.errno", "disk-full", "the disk is full")

        # RESULT
        return written

    def load_buffers(self, buffers: Buffers, length: int) -> tuple[bytes, dict[int, bytes]]:
        """Load `length` bytes from buffers in their order, up to the first fault, as `load_up_to_a_fault`."""
        loaded = b""
        indeterminate: dict[int, bytes] = {}
        for addr, part in buffers:
            wanted = min(part, length - len(loaded))
            data, unknown = self.load_up_to_a_fault(addr, wanted)
            indeterminate |= {len(loaded) + at: values for at, values in unknown.items()}
            loaded += data
            if len(data) < wanted:
                break
        return loaded, indeterminate

    def open_path_at(self, addr: int, flags: int) -> int:
        addr &= self.mask
        path = b""
        with self.unobserved(), suppress(Fault):
            while len(path) < PATH_MAX and not path.endswith(b"\0"):
                path += self.load(addr + len(path), 1)

        # ERRORS
        with self.errors("open_path_at") as refuse:
            if not path.endswith(b"\0"):
                if len(path) == PATH_MAX:
                    refuse(ENAMETOOLONG, "file.errno", "path-too-long", "the path is longer than any")
                else:
                    refuse(EFAULT, "buffer.path", "path-not-readable", "the path is not readable")

        # RESULT
        return self.open(path[:-1].decode(errors="surrogateescape"), flags)

    def fstat_into(self, fd: int, addr: int) -> None:
        status = repr(self.fstat(fd)).encode().ljust(STATUS_BYTES, b"\0")[:STATUS_BYTES]
        moved = self.store_up_to_a_fault(addr & self.mask, status, dict.fromkeys(range(len(status)), ANY_BYTE))

        # ERRORS
        with self.errors("fstat_into") as refuse:
            if moved < len(status):
                refuse(EFAULT, "buffer.result", "result-not-writable", "the memory for the result is not writable")

    def is_unreadable(self, addr: int) -> bool:
        """True if nothing can be loaded at addr; no page is touched."""
        mapping = self.space.find(addr)
        if mapping is None or not mapping.prot & (PROT_READ | PROT_WRITE | PROT_EXEC):
            return True
        return mapping.inode is not None and mapping.bytes_to_eof(addr) <= 0

    def require_no_overlap(self, inode: Inode, buffers: Buffers, offset: int) -> None:
        """Raise Unresolved if bytes of the file are copied onto one another: nothing specifies in which order."""
        total = sum(length for _addr, length in buffers)
        for addr, length in buffers:
            for mapping in self.space.over(addr, addr + length):
                start = mapping.offset + max(addr - mapping.start, 0)
                end = mapping.offset + min(addr + length, mapping.end) - mapping.start
                if mapping.inode is inode and start < offset + total and offset < end:
                    raise Unresolved("nothing specifies the result of copying bytes of a file onto one another")

    def store_up_to_a_fault(self, addr: int, data: bytes, indeterminate: dict[int, bytes]) -> int:
        """Store data up to the first fault; return the number of bytes.

        `indeterminate`: the allowed values of bytes of the data that are indeterminate, by position.
        """
        moved = 0
        with self.unobserved(), suppress(Fault):
            while moved < len(data):
                room = self.page - (addr + moved) % self.page
                part = data[moved : moved + room]
                self.store(addr + moved, part)
                target = self.space.table.entries[(addr + moved) // self.page]
                here = {at: values for at, values in indeterminate.items() if moved <= at < moved + len(part)}
                if here:
                    target.allow({(addr + at) % self.page: values for at, values in here.items()})
                moved += len(part)
        return moved

    def load_up_to_a_fault(self, addr: int, length: int) -> tuple[bytes, dict[int, bytes]]:
        """Load data up to the first fault; return it, and the allowed values of indeterminate bytes by position."""
        parts = []
        moved = 0
        indeterminate = {}
        with self.unobserved(), suppress(Fault):
            while moved < length:
                start = (addr + moved) % self.page
                part = self.load_page(addr + moved, moved)[start : start + length - moved]
                target = self.space.table.entries[(addr + moved) // self.page]
                for at, values in (target.indeterminate or {}).items():
                    if start <= at < start + len(part):
                        indeterminate[moved + at - start] = values
                parts.append(part)
                moved += len(part)
        return b"".join(parts), indeterminate
