"""Calls that have many arguments, for mutants of them: each argument by its name."""

from __future__ import annotations

from typing import cast

from ..address_space import AddressSpace
from ..files import Inode
from ..mapping import Mapping
from ..mutant import Call
from ..process import ReferenceProcess


def mappings_of(inode: Inode) -> list[Mapping]:
    """Return the mappings of a file."""
    return cast(list[Mapping], list(inode.mappings))


class Mmap(Call):
    """A call of mmap."""

    method = ReferenceProcess.mmap

    addr: int
    length: int
    prot: int
    flags: int
    fd: int
    offset: int


class Mremap(Call):
    """A call of mremap."""

    method = ReferenceProcess.mremap

    addr: int
    old_size: int
    new_size: int
    flags: int
    new_addr: int = 0


class Move(Call):
    """A move by mremap: `old` bytes at `addr` to `new` bytes at `place`; `keep` is True for MREMAP_DONTUNMAP."""

    method = AddressSpace.move

    addr: int
    old: int
    place: int
    new: int
    keep: bool
