"""A finished solution of the classic mmap lab, and labs with one mistake each; test data for scopes and grades.

The kernel is a model of a small teaching kernel.  It maps files only, each mapping has pages of its own, which are read
at the first access and written back by munmap and exit (not earlier: the views of a file are not coherent), and munmap
takes ranges of one mapping.  Failures are reported without a reason where `reports_errno` is False.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NoReturn

from pytest_mmapconf.contract import (
    MAP_PRIVATE,
    MAP_SHARED,
    O_CREAT,
    O_EXCL,
    O_RDONLY,
    O_TRUNC,
    O_WRONLY,
    PROT_READ,
    PROT_WRITE,
    SC_PAGESIZE,
    Backend,
    Died,
    Facts,
    Fault,
    NoErrno,
    Process,
    Stat,
    System,
)

PAGE = 4096
TOP = 0x3F_FFFF_E000
"""The end of user space: mappings are placed below, the first one highest."""
DESCRIPTORS = 16


@dataclass
class Inode:
    """A file."""

    content: bytearray = field(default_factory=bytearray)


@dataclass
class OpenFile:
    """An open file description."""

    inode: Inode
    flags: int

    @property
    def may_read(self) -> bool:
        return self.flags & 3 != O_WRONLY

    @property
    def may_write(self) -> bool:
        return self.flags & 3 != O_RDONLY


@dataclass
class Mapping:
    """A mapping: pages of a file that were read at their first access."""

    addr: int
    end: int
    prot: int
    flags: int
    file: OpenFile
    offset: int
    pages: dict[int, bytearray] = field(default_factory=dict)
    """By address, the pages that have been accessed."""
    dirty: set[int] = field(default_factory=set)


class LabSystem(System):
    """A booted kernel: its files."""

    def __init__(self, kind: type[LabProcess]) -> None:
        self.kind = kind
        self.names: dict[str, Inode] = {}
        self.panic = ""
        """What the kernel wrote when it went down; empty while it runs."""

    def spawn(self) -> LabProcess:
        return self.kind(self)


class LabProcess(Process):
    """A process of a right solution; a student's solution overrides what it has wrong."""

    def __init__(self, system: LabSystem) -> None:
        self.system = system
        console = OpenFile(Inode(), O_WRONLY)
        self.descriptors = dict.fromkeys(range(3), console)
        self.mappings: list[Mapping] = []

    def refuse(self, reason: int) -> NoReturn:
        raise OSError(reason, "refused")

    def panic(self, text: str) -> NoReturn:
        self.system.panic = text
        raise Died(f"the kernel went down: {text}", text)

    # ---- files

    def sysconf(self, name: int) -> int:
        if name != SC_PAGESIZE:
            self.refuse(errno.EINVAL)
        return PAGE

    def open(self, path: str, flags: int, mode: int = 0o600) -> int:
        inode = self.system.names.get(path)
        if inode is None and not flags & O_CREAT:
            self.refuse(errno.ENOENT)
        if inode is not None and flags & O_EXCL:
            self.refuse(errno.EEXIST)
        inode = self.system.names.setdefault(path, inode or Inode())
        if flags & O_TRUNC:
            inode.content.clear()
        return self.install(OpenFile(inode, flags))

    def install(self, file: OpenFile) -> int:
        free = next((fd for fd in range(DESCRIPTORS) if fd not in self.descriptors), None)
        if free is None:
            self.refuse(errno.EMFILE)
        self.descriptors[free] = file
        return free

    def file(self, fd: int) -> OpenFile:
        if fd not in self.descriptors:
            self.refuse(errno.EBADF)
        return self.descriptors[fd]

    def close(self, fd: int) -> None:
        self.file(fd)
        del self.descriptors[fd]

    def dup(self, fd: int) -> int:
        return self.install(self.file(fd))

    def unlink(self, path: str) -> None:
        if path not in self.system.names:
            self.refuse(errno.ENOENT)
        del self.system.names[path]

    def fstat(self, fd: int) -> Stat:
        return Stat("regular", len(self.file(fd).inode.content))

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        return bytes(self.file(fd).inode.content[offset : offset + length])

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        content = self.file(fd).inode.content
        content.extend(bytes(max(0, offset + len(data) - len(content))))
        content[offset : offset + len(data)] = data
        return len(data)

    # ---- mappings

    def mmap(self, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
        file = self.file_to_map(fd)
        if length == 0 or offset % PAGE or offset < 0 or flags not in (MAP_SHARED, MAP_PRIVATE):
            self.refuse(errno.EINVAL)
        if length > TOP // 2:
            self.refuse(errno.ENOMEM)
        self.check_mode(file, prot, flags)
        pages = -(-length // PAGE)
        end = min((mapping.addr for mapping in self.mappings), default=TOP)
        self.mappings.append(Mapping(end - pages * PAGE, end, prot, flags, file, offset))
        return end - pages * PAGE

    def file_to_map(self, fd: int) -> OpenFile:
        return self.file(fd)

    def check_mode(self, file: OpenFile, prot: int, flags: int) -> None:
        if not file.may_read or (prot & PROT_WRITE and flags == MAP_SHARED and not file.may_write):
            self.refuse(errno.EACCES)

    def munmap(self, addr: int, length: int) -> None:
        end = addr + -(-length // PAGE) * PAGE
        if addr % PAGE or length == 0:
            self.refuse(errno.EINVAL)
        mapping = next((mapping for mapping in self.mappings if mapping.addr <= addr < end <= mapping.end), None)
        if mapping is None:
            self.refuse(errno.EINVAL)
        self.write_back(mapping, addr, end)
        self.remove(mapping, addr, end)

    def remove(self, mapping: Mapping, addr: int, end: int) -> None:
        self.mappings.remove(mapping)
        if mapping.addr < addr:
            self.mappings.append(replace(mapping, end=addr))
        if end < mapping.end:
            self.mappings.append(replace(mapping, addr=end, offset=mapping.offset + end - mapping.addr))

    def write_back(self, mapping: Mapping, addr: int, end: int) -> None:
        """Write the changed pages of [addr, end) to the file, no further than its end."""
        content = mapping.file.inode.content
        for at in range(addr, end, PAGE):
            if mapping.flags == MAP_SHARED and at in mapping.dirty:
                position = mapping.offset + at - mapping.addr
                size = min(PAGE, len(content) - position)
                if size > 0:
                    content[position : position + size] = mapping.pages[at][:size]

    def page_for(self, at: int, right: int) -> bytearray:
        """Return the page of a byte, read from the file at its first access; a Fault without the right to access it."""
        mapping = next((mapping for mapping in self.mappings if mapping.addr <= at < mapping.end), None)
        if mapping is None:
            raise Fault("SIGSEGV", "SEGV_MAPERR", at)
        if not mapping.prot & right:
            self.forbidden(at)
        page = at - at % PAGE
        if page not in mapping.pages:
            mapping.pages[page] = self.read_page(mapping, page)
        if right == PROT_WRITE:
            mapping.dirty.add(page)
        return mapping.pages[page]

    def forbidden(self, at: int) -> NoReturn:
        raise Fault("SIGSEGV", "SEGV_ACCERR", at)

    def read_page(self, mapping: Mapping, page: int) -> bytearray:
        position = mapping.offset + page - mapping.addr
        content = mapping.file.inode.content[position : position + PAGE]
        if position >= len(mapping.file.inode.content):
            raise Fault("SIGBUS", "BUS_ADRERR", page)
        return content + bytes(PAGE - len(content))

    def load(self, addr: int, length: int) -> bytes:
        return b"".join(bytes(page[first:last]) for page, first, last in self.parts(addr, length, PROT_READ))

    def store(self, addr: int, data: bytes) -> None:
        done = 0
        for page, first, last in self.parts(addr, len(data), PROT_WRITE):
            page[first:last] = data[done : done + last - first]
            done += last - first

    def parts(self, addr: int, length: int, right: int) -> Iterator[tuple[bytearray, int, int]]:
        """Yield each page of a range, with the first byte of the range in it and the one after the last."""
        at, end = addr, addr + length
        while at < end:
            last = min(PAGE, at % PAGE + end - at)
            yield self.page_for(at, right), at % PAGE, last
            at += last - at % PAGE

    # ---- processes

    def fork(self) -> LabProcess:
        child = type(self)(self.system)
        child.descriptors = dict(self.descriptors)
        self.copy_mappings(child)
        return child

    def copy_mappings(self, child: LabProcess) -> None:
        child.mappings = [
            replace(
                mapping, pages={at: bytearray(page) for at, page in mapping.pages.items()}, dirty=set(mapping.dirty)
            )
            for mapping in self.mappings
        ]

    def exit(self, status: int = 0) -> int:
        for mapping in self.mappings:
            self.write_back(mapping, mapping.addr, mapping.end)
        self.mappings.clear()
        self.descriptors.clear()
        return status & 255


class LabBackend(Backend):
    """The solution of one student."""

    solution: type[LabProcess] = LabProcess

    def facts(self) -> Facts:
        return Facts(self.name, self.solution.__name__, {"page": str(PAGE), "bits": "64", "kernel": "lab 1"})

    def boot(self) -> LabSystem:
        return LabSystem(self.solution)


class WithoutReasons(LabProcess):
    """Right, on a kernel that reports a failure by -1 alone."""

    def refuse(self, reason: int) -> NoReturn:
        raise NoErrno


# -------------------------------------------------------------------------------------- twelve students with a mistake


class UnmapsLastPageOnly(LabProcess):
    """munmap writes back, but removes only the last page of the range."""

    def remove(self, mapping: Mapping, addr: int, end: int) -> None:
        super().remove(mapping, end - PAGE, end)


class FirstStoreDies(LabProcess):
    """A store as the first access to a page ends the process: only loads read a page in."""

    def page_for(self, at: int, right: int) -> bytearray:
        if right == PROT_WRITE and not any(at - at % PAGE in mapping.pages for mapping in self.mappings):
            raise Fault("SIGSEGV", "SEGV_MAPERR", at)
        return super().page_for(at, right)


class ExitLosesStores(LabProcess):
    """exit does not write back shared mappings."""

    def exit(self, status: int = 0) -> int:
        self.mappings.clear()
        return super().exit(status)


class WritesBackFirstKilobyte(LabProcess):
    """Write-back repeats the first 1,024 bytes of a page: the offset in the page is never advanced."""

    def write_back(self, mapping: Mapping, addr: int, end: int) -> None:
        for at in range(addr, end, PAGE):
            if at in mapping.dirty:
                mapping.pages[at][:] = mapping.pages[at][:1024] * 4
        super().write_back(mapping, addr, end)


class UnmapAtEndDoesNothing(LabProcess):
    """munmap of the end of a mapping returns 0 and does nothing."""

    def munmap(self, addr: int, length: int) -> None:
        if not any(mapping.addr < addr and addr + length >= mapping.end for mapping in self.mappings):
            super().munmap(addr, length)


class ForbiddenStorePanics(LabProcess):
    """An access without the right brings the kernel down."""

    def forbidden(self, at: int) -> NoReturn:
        self.panic("panic: kerneltrap")


class BadDescriptorPanics(LabProcess):
    """mmap looks into the table of open files without checking the descriptor."""

    def file_to_map(self, fd: int) -> OpenFile:
        if fd not in self.descriptors:
            self.panic("panic: kerneltrap: load page fault")
        return super().file_to_map(fd)


class WriteBackLengthensFile(LabProcess):
    """Write-back writes whole pages, so a file grows up to the end of its last page."""

    def write_back(self, mapping: Mapping, addr: int, end: int) -> None:
        content = mapping.file.inode.content
        for at in range(addr, end, PAGE):
            if mapping.flags == MAP_SHARED and at in mapping.dirty:
                position = mapping.offset + at - mapping.addr
                content.extend(bytes(max(0, position + PAGE - len(content))))
        super().write_back(mapping, addr, end)


class PrivateReachesFile(LabProcess):
    """Write-back does not look at MAP_PRIVATE."""

    def write_back(self, mapping: Mapping, addr: int, end: int) -> None:
        super().write_back(replace(mapping, flags=MAP_SHARED), addr, end)


class IgnoresMode(LabProcess):
    """mmap does not compare the protection with the mode of the descriptor."""

    def check_mode(self, file: OpenFile, prot: int, flags: int) -> None:
        pass


class SecondMappingUnaligned(LabProcess):
    """The next mapping is placed below the last one by its length, which is not rounded up."""

    def mmap(self, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
        base = super().mmap(addr, length, prot, flags, fd, offset)
        if len(self.mappings) > 1 and length % PAGE:
            end = self.mappings[-1].end
            self.mappings[-1] = replace(self.mappings[-1], addr=end - length)
            return end - length
        return base


class ForkForgetsMappings(LabProcess):
    """A child of fork has no mappings."""

    def copy_mappings(self, child: LabProcess) -> None:
        pass


STUDENTS = (
    UnmapsLastPageOnly,
    FirstStoreDies,
    ExitLosesStores,
    WritesBackFirstKilobyte,
    UnmapAtEndDoesNothing,
    ForbiddenStorePanics,
    BadDescriptorPanics,
    WriteBackLengthensFile,
    PrivateReachesFile,
    IgnoresMode,
    SecondMappingUnaligned,
    ForkForgetsMappings,
)
"""The solutions with a mistake."""

BACKENDS = {
    kind.__name__: type(f"{kind.__name__}Backend", (LabBackend,), {"solution": kind})
    for kind in (LabProcess, WithoutReasons, *STUDENTS)
}
"""A backend for each solution, by the name of its class."""

globals().update({f"{name}Backend": backend for name, backend in BACKENDS.items()})
