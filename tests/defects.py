"""References with one thing wrong each, to see whether it is found."""

from __future__ import annotations

from collections.abc import Mapping
from errno import EACCES
from typing import Final

from pytest_mmapconf.contract import MAP_FIXED, Backend
from pytest_mmapconf.reference.files import Description, shared_memory
from pytest_mmapconf.reference.linux_choices import LinuxChoices
from pytest_mmapconf.reference.machine import Parameters
from pytest_mmapconf.reference.process import Process
from pytest_mmapconf.reference.system import ReferenceSystem


class PrivateWritesGoThrough(Process):
    def store(self, addr: int, data: bytes) -> None:
        super().store(addr, data)
        mapping = self.space.find(addr)
        if mapping is not None and not mapping.shared and mapping.inode is not None:
            part = data[: max(mapping.room(addr) - addr % self.page, 0)][: self.page - addr % self.page]
            page = mapping.inode.cache.page(mapping.index(addr // self.page))
            page.data[addr % self.page : addr % self.page + len(part)] = part


class MremapLosesTheTail(Process):
    def mremap(self, addr: int, old_size: int, new_size: int, flags: int, new_addr: int = 0) -> int:
        place = super().mremap(addr, old_size, new_size, flags, new_addr)
        if self.round_up(new_size) > self.round_up(old_size):
            end = place + self.round_up(new_size)
            self.space.clear(end - self.page, end)
        return place


class MunmapFreesOnePageTooMany(Process):
    def munmap(self, addr: int, length: int) -> None:
        super().munmap(addr, length)
        end = addr + self.round_up(length)
        self.space.clear(end, end + self.page)


class MsyncSays0ForAHole(Process):
    def msync(self, addr: int, length: int, flags: int) -> None:
        try:
            super().msync(addr, length, flags)
        except OSError as error:
            if error.strerror is None or "not mapped" not in error.strerror:
                raise


class FixedUnmapsFirst(Process):
    def mmap(self, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
        try:
            return super().mmap(addr, length, prot, flags, fd, offset)
        except OSError as error:
            if flags & MAP_FIXED and error.errno == EACCES:
                self.space.clear(addr, addr + self.round_up(length))
            raise


class CloseDropsTheMapping(Process):
    def close(self, fd: int) -> None:
        description = self.descriptors[fd].description if fd in self.descriptors else None
        super().close(fd)
        for mapping in list(self.space.mappings.values()):
            if description is not None and mapping.description is description:
                self.space.clear(mapping.start, mapping.end)


class SharedMemoryIsCopiedAtFork(Process):
    def fork(self) -> Process:
        child = super().fork()
        for mapping in child.space.mappings.values():
            if mapping.inode is not None and mapping.inode.name == "anonymous":
                own = shared_memory(self.machine.memory, mapping.inode.size)
                for index, page in mapping.inode.cache.pages.items():
                    own.cache.page(index).data[:] = page.data
                mapping.release()
                mapping.inode, mapping.description = own, Description(self.machine.file_table, own)
                mapping.hold()
                child.space.table.zap(mapping.start // self.page, mapping.end // self.page)
        return child


class TruncatedPageIsNotZeroed(Process):
    def ftruncate(self, fd: int, length: int) -> None:
        description = self.description(fd)
        index, used = divmod(max(length, 0), self.page)
        tail = b""
        if description is not None and length < description.inode.size and used:
            tail = bytes(description.inode.cache.page(index).data[used:])
        super().ftruncate(fd, length)
        if tail and description is not None:
            description.inode.cache.page(index).data[used:] = tail


DEFECTS: Final[Mapping[str, type[Process]]] = {
    "private writes go through": PrivateWritesGoThrough,
    "mremap loses the tail": MremapLosesTheTail,
    "munmap frees one page too many": MunmapFreesOnePageTooMany,
    "msync says 0 for a hole": MsyncSays0ForAHole,
    "a MAP_FIXED that fails with EACCES unmaps first": FixedUnmapsFirst,
    "close drops the mapping": CloseDropsTheMapping,
    "shared anonymous memory is copied at fork": SharedMemoryIsCopiedAtFork,
    "a truncated page is not zeroed": TruncatedPageIsNotZeroed,
}
"""By what is wrong."""


class DefectiveMachine(ReferenceSystem):
    """A machine whose processes are of a defective kind."""

    def __init__(self, kind: type[Process]) -> None:
        super().__init__(Parameters(), LinuxChoices())
        self.process_type = kind


class DefectiveBackend(Backend):
    """A backend of such machines."""

    def __init__(self, defect: str) -> None:
        self.name = defect
        self.kind = DEFECTS[defect]

    def boot(self) -> DefectiveMachine:
        return DefectiveMachine(self.kind)
