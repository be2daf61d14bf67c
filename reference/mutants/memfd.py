"""Mutants of memory files and their seals."""

from __future__ import annotations

from errno import EBUSY, EPERM

from ...contract import SEAL_FUTURE_WRITE, SEAL_GROW, SEAL_SEAL, SEAL_SHRINK, SEAL_WRITE
from ..constants import MAP_PRIVATE, MAP_SHARED, MAP_TYPE, PROT_ALL, PROT_WRITE
from ..mapping_calls import MappingCalls
from ..mutant import Original, never, refuses, wrong
from ..process import ReferenceProcess
from .calls import Mmap, mappings_of


def is_sealed(self: ReferenceProcess, fd: int) -> bool:
    """Return True if the file is sealed against writes."""
    description = self.description(fd)
    return description is not None and bool(description.inode.seals & SEAL_WRITE)


REFUSALS = (
    never("memfd-is-sealed-although-it-is-mapped", "memfd.seal.write.busy"),
    never("memfd-is-sealed-further", "memfd.seal.seal"),
    refuses(
        "memfd-sealed-is-not-mapped-shared",
        ReferenceProcess.mmap,
        EPERM,
        lambda self, addr, length, prot, flags, fd, offset: flags & MAP_TYPE == MAP_SHARED and is_sealed(self, fd),
        "memfd.seal.write.read-only",
        text="a shared mapping for reading of a file that is sealed against writing",
        bug="gVisor d9188f9aa",
    ),
)


@wrong(MappingCalls.max_protection, "memfd.seal.write.read-only", "memfd.seal.future-write")
def a_seal_is_looked_at_once(
    max_protection: Original, self: ReferenceProcess, description: object, shared: bool
) -> int:
    """mprotect may give a mapping of a sealed file the right to be stored to."""
    return PROT_ALL


@wrong(ReferenceProcess.seal, "memfd.seal.write.busy")
def any_mapping_keeps_a_file_from_being_sealed(seal: Original, self: ReferenceProcess, fd: int, seals: int) -> None:
    """Private mappings count, and those for reading."""
    description = self.description(fd)
    if description is not None and seals & SEAL_WRITE and description.inode.mappings:
        raise OSError(EBUSY, "the mutant counts every mapping")
    seal(self, fd, seals)


@wrong(ReferenceProcess.seal, "memfd.seal.future-write")
def a_seal_against_future_writing_takes_rights_away(
    seal: Original, self: ReferenceProcess, fd: int, seals: int
) -> None:
    """The mappings that there are cannot be stored to any more."""
    seal(self, fd, seals)
    description = self.description(fd)
    if description is not None and seals & SEAL_FUTURE_WRITE:
        for mapping in mappings_of(description.inode):
            mapping.prot &= ~PROT_WRITE


@wrong(ReferenceProcess.seal, "memfd.seal.future-write")
def there_is_no_seal_against_future_writing(seal: Original, self: ReferenceProcess, fd: int, seals: int) -> None:
    """F_SEAL_FUTURE_WRITE does nothing."""
    seal(self, fd, seals & ~SEAL_FUTURE_WRITE)


@wrong(ReferenceProcess.seal, "memfd.seal.shrink")
def there_is_no_seal_against_shrinking(seal: Original, self: ReferenceProcess, fd: int, seals: int) -> None:
    """F_SEAL_SHRINK does nothing."""
    seal(self, fd, seals & ~SEAL_SHRINK)


@wrong(ReferenceProcess.seal, "memfd.seal.grow")
def there_is_no_seal_against_growing(seal: Original, self: ReferenceProcess, fd: int, seals: int) -> None:
    """F_SEAL_GROW does nothing."""
    seal(self, fd, seals & ~SEAL_GROW)


@wrong(ReferenceProcess.seal, "memfd.seal.shrink", "memfd.seal.grow")
def one_seal_keeps_the_size_both_ways(seal: Original, self: ReferenceProcess, fd: int, seals: int) -> None:
    """F_SEAL_SHRINK and F_SEAL_GROW are each both."""
    seal(self, fd, seals | SEAL_SHRINK | SEAL_GROW if seals & (SEAL_SHRINK | SEAL_GROW) else seals)


@wrong(ReferenceProcess.seal, "memfd.seal.seal")
def a_seal_against_seals_is_against_everything(seal: Original, self: ReferenceProcess, fd: int, seals: int) -> None:
    """F_SEAL_SEAL keeps the size too."""
    seal(self, fd, seals | SEAL_SHRINK | SEAL_GROW if seals & SEAL_SEAL else seals)


@wrong(Mmap, "memfd.shared")
def memfds_are_mapped_private(self: ReferenceProcess, mmap: Mmap) -> int:
    """A shared mapping of a file in memory is a private one."""
    description = self.description(mmap.fd)
    if description is not None and description.inode.sealable and mmap.flags & MAP_TYPE == MAP_SHARED:
        mmap.flags = mmap.flags & ~MAP_TYPE | MAP_PRIVATE
    return mmap()
