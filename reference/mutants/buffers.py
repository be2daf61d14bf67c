"""Mutants of the calls that take a buffer."""

from __future__ import annotations

from contextlib import suppress
from errno import EDEADLK, EFAULT
from typing import Any

from ...contract import Fault
from ..constants import PROT_WRITE
from ..mutant import Original, never, refuses, wrong
from ..process import ReferenceProcess
from ..user_buffers import STATUS_BYTES, BufferCalls


def unmapped(self: ReferenceProcess, fd: int, addr: int, length: int, offset: int) -> bool:
    return self.space.find(addr) is None


def same_file(self: ReferenceProcess, fd: int, addr: int, length: int, offset: int) -> bool:
    mapping, description = self.space.find(addr), self.description(fd)
    return mapping is not None and description is not None and mapping.inode is description.inode


REFUSALS = (
    never("read-to-nowhere-is-0", "buffer.store"),
    never("write-from-nowhere-is-0", "buffer.load"),
    refuses(
        "read-looks-at-memory-first",
        ReferenceProcess.read_into,
        EFAULT,
        unmapped,
        "buffer.nothing-to-move",
        text="nothing is mapped at the buffer, although nothing is to be moved",
    ),
    refuses(
        "write-looks-at-memory-first",
        ReferenceProcess.write_from,
        EFAULT,
        unmapped,
        "buffer.nothing-to-move",
        text="nothing is mapped at the buffer, although nothing is to be moved",
    ),
    refuses(
        "read-into-the-files-own-mapping-deadlocks",
        ReferenceProcess.read_into,
        EDEADLK,
        same_file,
        "buffer.own-file",
        text="the buffer is a mapping of the file",
    ),
    refuses(
        "write-from-the-files-own-mapping-deadlocks",
        ReferenceProcess.write_from,
        EDEADLK,
        same_file,
        "buffer.own-file",
        text="the buffer is a mapping of the file",
    ),
)


@wrong(BufferCalls.store_up_to_a_fault, "buffer.store", "buffer.store.part")
def a_read_raises_signals(store: Original, self: ReferenceProcess, addr: int, data: bytes, indeterminate: Any) -> int:
    """Memory that cannot be stored to is a fault of the process."""
    self.store(addr, data)
    return len(data)


@wrong(BufferCalls.load_up_to_a_fault, "buffer.load", "buffer.load.part")
def a_write_raises_signals(load: Original, self: ReferenceProcess, addr: int, length: int) -> tuple[bytes, Any]:
    """Memory that cannot be loaded from is a fault of the process."""
    return self.load(addr, length), {}


@wrong(ReferenceProcess.write_from, "buffer.load")
def a_refused_write_makes_the_file_longer(
    write: Original, self: ReferenceProcess, fd: int, addr: int, length: int, offset: int
) -> int:
    """The file is extended before the buffer is checked."""
    description = self.description(fd)
    if description is not None and description.inode.kind == "regular":
        inode = description.inode
        inode.extend(max(inode.size, offset + length), self.choices)
    moved: int = write(self, fd, addr, length, offset)
    return moved


@wrong(BufferCalls.store_up_to_a_fault, "buffer.store")
def kernel_stores_need_no_right(
    store: Original, self: ReferenceProcess, addr: int, data: bytes, indeterminate: Any
) -> int:
    """A call stores into memory that is mapped without PROT_WRITE."""
    mapping = self.space.find(addr)
    if mapping is None or mapping.prot & PROT_WRITE:
        moved: int = store(self, addr, data, indeterminate)
        return moved
    page = self.space.access(mapping, addr // self.page, True)
    if page is not None:
        page.data[addr % self.page : addr % self.page + len(data)] = data
    return len(data)


@wrong(BufferCalls.store_up_to_a_fault, "buffer.store.part")
def a_read_is_all_or_nothing(
    store: Original, self: ReferenceProcess, addr: int, data: bytes, indeterminate: Any
) -> int:
    """If the buffer ends too early, the call fails although it has stored a part."""
    moved: int = store(self, addr, data, indeterminate)
    return moved if moved == len(data) else 0


@wrong(BufferCalls.store_up_to_a_fault, "buffer.store.part", "buffer.store")
def a_read_returns_the_requested_size(
    store: Original, self: ReferenceProcess, addr: int, data: bytes, indeterminate: Any
) -> int:
    """The result is what was there to be read, not what was stored."""
    store(self, addr, data, indeterminate)
    return len(data)


@wrong(BufferCalls.load_up_to_a_fault, "buffer.load.part", "buffer.load")
def a_write_fills_up_with_zeros(load: Original, self: ReferenceProcess, addr: int, length: int) -> tuple[bytes, Any]:
    """Inaccessible bytes of the buffer are written as zeros."""
    data, indeterminate = load(self, addr, length)
    return data + bytes(length - len(data)), indeterminate


@wrong(BufferCalls.store_up_to_a_fault, "buffer.private", bug="Asterinas 57d3d9ded")
def a_kernels_store_makes_no_copy(
    store: Original, self: ReferenceProcess, addr: int, data: bytes, indeterminate: Any
) -> int:
    """A call's store into a private page is visible to every process that shares the page."""
    moved = 0
    while moved < len(data):
        at = addr + moved
        mapping = self.space.find(at)
        page = None
        if mapping is not None and mapping.prot & PROT_WRITE:
            page = self.space.table.entries.get(at // self.page)
            if page is None or not page.refcount:
                page = self.space.access(mapping, at // self.page, mapping.shared or mapping.inode is None)
        if page is None:
            break
        part = data[moved : moved + self.page - at % self.page]
        page.data[at % self.page : at % self.page + len(part)] = part
        moved += len(part)
    return moved


@wrong(BufferCalls.store_up_to_a_fault, "buffer.shared")
def a_kernels_store_is_the_callers_own(
    store: Original, self: ReferenceProcess, addr: int, data: bytes, indeterminate: Any
) -> int:
    """A call's store into a shared page is visible to no other process."""
    table = self.space.table
    for number in range(addr // self.page, (addr + len(data) - 1) // self.page + 1):
        mapping = self.space.find(number * self.page)
        if mapping is not None and mapping.shared and self.space.access(mapping, number, False) is not None:
            table.copy(number, table.entries[number])
    moved: int = store(self, addr, data, indeterminate)
    return moved


# ------------------------------------------------------------------------------------------ two buffers, paths, results


@wrong(BufferCalls.preadv, "buffer.two")
def the_second_buffer_is_not_filled(
    preadv: Original, self: BufferCalls, fd: int, addr: int, length: int, addr_2: int, length_2: int, offset: int
) -> int:
    """preadv reads into the first buffer only."""
    return int(preadv(self, fd, addr, length, addr_2, 0, offset))


@wrong(BufferCalls.pwritev, "buffer.two")
def the_second_buffer_is_written_first(
    pwritev: Original, self: BufferCalls, fd: int, addr: int, length: int, addr_2: int, length_2: int, offset: int
) -> int:
    """pwritev uses its buffers in the opposite order."""
    return int(pwritev(self, fd, addr_2, length_2, addr, length, offset))


@wrong(BufferCalls.preadv, "buffer.two")
def each_buffer_is_of_the_same_bytes(
    preadv: Original, self: BufferCalls, fd: int, addr: int, length: int, addr_2: int, length_2: int, offset: int
) -> int:
    """preadv reads from the same place of the file into both buffers."""
    moved = int(preadv(self, fd, addr, length, addr_2, 0, offset))
    return moved + int(preadv(self, fd, addr_2, length_2, addr, 0, offset))


@wrong(BufferCalls.preadv, "buffer.two", "buffer.store")
def one_bad_buffer_is_an_error(
    preadv: Original, self: BufferCalls, fd: int, addr: int, length: int, addr_2: int, length_2: int, offset: int
) -> int:
    """preadv fails after the first buffer was filled, if the second cannot be accessed."""
    moved = int(preadv(self, fd, addr, length, addr_2, length_2, offset))
    if moved <= length and length_2 and self.space.find(addr_2) is None:
        raise OSError(EFAULT, "the mutant looks at both")
    return moved


@wrong(BufferCalls.open_path_at, "buffer.path")
def a_path_ends_with_its_memory(open_path_at: Original, self: BufferCalls, addr: int, flags: int) -> int:
    """A path that goes on into memory that cannot be loaded from ends there."""
    path = b""
    with self.unobserved(), suppress(Fault):
        while not path.endswith(b"\0"):
            path += self.load(addr + len(path), 1)
    return self.open(path.rstrip(b"\0").decode(), flags)


@wrong(BufferCalls.open_path_at, "buffer.path")
def a_path_is_read_by_whole_words(open_path_at: Original, self: BufferCalls, addr: int, flags: int) -> int:
    """Eight bytes after the end of the path have to be readable, too."""
    length = 0
    with self.unobserved(), suppress(Fault):
        while self.load(addr + length, 1) != b"\0":
            length += 1
        self.load(addr + length, 8)
        return int(open_path_at(self, addr, flags))
    raise OSError(EFAULT, "the mutant reads whole words")


@wrong(BufferCalls.open_path_at, "buffer.path")
def a_path_is_of_one_page(open_path_at: Original, self: BufferCalls, addr: int, flags: int) -> int:
    """A path that goes on in the next page is not read."""
    with self.unobserved(), suppress(Fault):
        if b"\0" in self.load(addr, self.page - addr % self.page):
            return int(open_path_at(self, addr, flags))
    raise OSError(EFAULT, "the mutant reads one page")


@wrong(BufferCalls.fstat_into, "buffer.result")
def a_result_is_stored_in_spite_of_the_protection(fstat_into: Original, self: BufferCalls, fd: int, addr: int) -> None:
    """What cannot be stored of the result is left out, and the call succeeds."""
    with suppress(OSError):
        fstat_into(self, fd, addr)


@wrong(BufferCalls.fstat_into, "buffer.result")
def a_result_is_stored_into_the_file(fstat_into: Original, self: BufferCalls, fd: int, addr: int) -> None:
    """The result is stored into the page that the file and a child have as well."""
    fstat_into(self, fd, addr)
    mapping = self.space.find(addr)
    if mapping is not None and mapping.inode is not None and not mapping.shared:
        data = self.load(addr, STATUS_BYTES)
        mapping.inode.write(data, mapping.offset + addr - mapping.start, self.choices)
