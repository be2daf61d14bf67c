"""Mutants of repetition: something of each mapping is kept when it is unmapped."""

from __future__ import annotations

from ..address_space import AddressSpace
from ..mapping import Mapping
from ..mutant import Original, wrong
from ..process import ReferenceProcess


@wrong(AddressSpace.remove, "munmap.repeated.address-space")
def unmapping_leaves_a_page_counted(remove: Original, self: AddressSpace, mapping: Mapping) -> None:
    """A page of each mapping counts for the limit of address space after it has been unmapped."""
    remove(self, mapping)
    self.size += self.page


@wrong(AddressSpace.remove, "munmap.repeated.locked-memory")
def unmapping_leaves_bytes_counted_as_locked(remove: Original, self: AddressSpace, mapping: Mapping) -> None:
    """A 16th of a page of each locked mapping counts as locked after it has been unmapped."""
    remove(self, mapping)
    self.locked += self.page // 16 if mapping.locked else 0


@wrong(ReferenceProcess.munmap, "munmap.repeated.storage")
def each_munmap_uses_a_block(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """Each munmap of a shared mapping of a file takes a block of its disk."""
    mapping = self.space.find(addr)
    munmap(self, addr, length)
    if mapping is not None and mapping.shared and mapping.inode is not None and mapping.inode.file_system is not None:
        mapping.inode.file_system.disk.used += self.page


@wrong(ReferenceProcess.munmap, "munmap.repeated.content")
def munmap_after_many_makes_the_file_longer(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """From the 40th time on, munmap of a mapping of a file makes the file a byte longer."""
    mapping = self.space.find(addr)
    munmap(self, addr, length)
    if mapping is not None and mapping.inode is not None:
        times = self.__dict__["unmapped"] = self.__dict__.get("unmapped", 0) + 1
        mapping.inode.size += times >= 40


@wrong(ReferenceProcess.install, "munmap.repeated.descriptors")
def every_tenth_descriptor_is_not_the_lowest(
    install: Original, self: ReferenceProcess, description: object, close_on_exec: bool = False
) -> int:
    """Every tenth descriptor gets a number that is not the lowest free one."""
    times = self.__dict__["installed"] = self.__dict__.get("installed", 0) + 1
    fd = int(install(self, description, close_on_exec))
    if times % 10 == 0 and fd + 1 not in self.descriptors:
        self.descriptors[fd + 1] = self.descriptors.pop(fd)
        fd += 1
    return fd
