"""Mutants of mmap's placement: the address, the mappings it replaces, and ENOMEM."""

from __future__ import annotations

from errno import EAGAIN, EINVAL, ENOMEM, EOVERFLOW

from ..address_space import AddressSpace
from ..constants import MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE
from ..linux_choices import LinuxChoices
from ..mapping import Mapping
from ..mutant import Original, never, other, refuses, wrong
from ..process import ReferenceProcess
from ..refusal import Refusal
from .calls import Mmap

END = 1 << 63
"""The first number that is no offset."""

ROOM = (
    never("mmap-knows-no-limit-of-data", "mmap.errno.ENOMEM.data", bug="gVisor (RLIMIT_DATA)"),
    other(
        "mmap-says-EAGAIN-for-want-of-a-gap",
        EAGAIN,
        "mmap.errno.ENOMEM.no-room",
        "mmap.errno.ENOMEM",
        named="mmap.errno.ENOMEM",
        reason="no-gap",
        bug="gVisor #2534",
    ),
    never(
        "mmap-counts-no-memory",
        "mmap.errno.ENOMEM.address-space",
        named="mmap.errno.ENOMEM",
        reason="address-space-limit",
    ),
    refuses(
        "mmap-counts-all-memory-as-data",
        ReferenceProcess.mmap,
        ENOMEM,
        lambda self, addr, length, prot, flags, fd, offset: (
            self.data_limit is not None and length > self.data_limit - self.space.data()
        ),
        "mmap.errno.ENOMEM.data.others",
        text="memory of any kind past the limit of data",
    ),
    refuses(
        "mmap-stops-a-page-before-the-last-offset",
        ReferenceProcess.mmap,
        EOVERFLOW,
        lambda self, addr, length, prot, flags, fd, offset: (
            not flags & MAP_ANONYMOUS and length > 0 and offset + self.round_up(length) == END - self.page
        ),
        "mmap.errno.EOVERFLOW.boundary",
        text="the mapping ends a page before 2^63",
        bug="gVisor 51b96514c",
    ),
    refuses(
        "mmap-takes-the-largest-length-for-0",
        ReferenceProcess.mmap,
        EINVAL,
        lambda self, addr, length, prot, flags, fd, offset: length and self.round_up(length) == 0,
        "mmap.errno.ENOMEM.length-wraps",
        "mmap.errno.ENOMEM",
        "mmap.errno.ENOMEM.range",
        text="the length rounds up to 0",
        bug="phoenix-rtos #1759",
    ),
)


@wrong(Mmap, "mmap.addr.never-replaces", bug="occlum #1110")
def reservations_are_free(self: ReferenceProcess, mmap: Mmap) -> int:
    """The placement regards mappings with PROT_NONE as free."""
    size = self.round_up(mmap.length)
    if not mmap.flags & (MAP_FIXED | MAP_FIXED_NOREPLACE):
        for mapping in self.space.mappings.values():
            if not mapping.prot and 0 < size <= mapping.end - mapping.start:
                mmap.addr, mmap.flags = mapping.start, mmap.flags | MAP_FIXED
                break
    return mmap()


@wrong(Mapping.is_contiguous_with, "mmap.range.windows", bug="usercorn #287")
def neighbours_are_joined_wherever_they_are_from(continues: Original, self: Mapping, left: Mapping) -> bool:
    """Neighbours become one mapping although they show other parts of the file."""
    return self.is_like(left)


@wrong(Mmap, "mmap.flag.fixed-replaces.file")
def what_is_replaced_is_lost(self: ReferenceProcess, mmap: Mmap) -> int:
    """Stores through a shared mapping are lost when the mapping is replaced."""
    if mmap.flags & MAP_FIXED:
        for mapping in self.space.over(mmap.addr, mmap.addr + self.round_up(mmap.length)):
            if mapping.shared and mapping.inode is not None:
                mapping.inode.cache.pages.clear()
    return mmap()


@wrong(Mmap, "mmap.flag.fixed-replaces.elsewhere")
def mmap_replaces_in_every_process(self: ReferenceProcess, mmap: Mmap) -> int:
    """MAP_FIXED takes away what other processes have at that address."""
    place = mmap()
    for process in self.machine.processes:
        if mmap.flags & MAP_FIXED and process is not self:
            process.space.clear(place, place + self.round_up(mmap.length))
    return place


@wrong(LinuxChoices.cleared_when_refused, "mmap.result.failure.fixed.outside", bug="gVisor 9c7a659d7")
def a_late_refusal_takes_the_page_before(
    cleared_when_refused: Original, self: LinuxChoices, refusal: Refusal, space: AddressSpace, start: int, end: int
) -> bool:
    """A call that fails after clearing its range has cleared the page before the range as well."""
    if refusal.late:
        space.clear(start - space.page, end)
    return bool(cleared_when_refused(self, refusal, space, start, end))


@wrong(Mmap, "mmap.flag.fixed-noreplace.with-fixed", bug="gVisor PR #14008")
def fixed_with_noreplace_replaces(self: ReferenceProcess, mmap: Mmap) -> int:
    """With MAP_FIXED, MAP_FIXED_NOREPLACE is ignored."""
    if mmap.flags & MAP_FIXED:
        mmap.flags &= ~MAP_FIXED_NOREPLACE
    return mmap()


@wrong(Mmap, "mmap.errno.EEXIST.inaccessible")
def reservations_are_replaced(self: ReferenceProcess, mmap: Mmap) -> int:
    """MAP_FIXED_NOREPLACE replaces mappings with PROT_NONE."""
    over = self.space.over(mmap.addr, mmap.addr + self.round_up(mmap.length))
    if mmap.flags & MAP_FIXED_NOREPLACE and not any(mapping.prot for mapping in over):
        mmap.flags = mmap.flags & ~MAP_FIXED_NOREPLACE | MAP_FIXED
    return mmap()


@wrong(Mmap, "mmap.errno.EINVAL.noreplace")
def noreplace_rounds_its_address(self: ReferenceProcess, mmap: Mmap) -> int:
    """With MAP_FIXED_NOREPLACE an address within a page is rounded down."""
    if mmap.flags & MAP_FIXED_NOREPLACE and not mmap.flags & MAP_FIXED:
        mmap.addr -= mmap.addr % self.page
    return mmap()


@wrong(Mmap, "mmap.errno.ENOMEM.noreplace", bug="gVisor a10e246e7, Asterinas 6e46641a0")
def noreplace_outside_is_a_hint(self: ReferenceProcess, mmap: Mmap) -> int:
    """With MAP_FIXED_NOREPLACE an address outside the address space is only a hint."""
    if mmap.flags & MAP_FIXED_NOREPLACE and mmap.addr > self.task_size:
        mmap.flags &= ~MAP_FIXED_NOREPLACE
    return mmap()


@wrong(Mmap, "mmap.errno.ENOMEM.noreplace")
def noreplace_ends_where_memory_ends(self: ReferenceProcess, mmap: Mmap) -> int:
    """With MAP_FIXED_NOREPLACE a range that ends outside the address space is cut off there."""
    if mmap.flags & MAP_FIXED_NOREPLACE and mmap.addr < self.task_size < mmap.addr + mmap.length:
        mmap.length = self.task_size - mmap.addr
    return mmap()


@wrong(Mmap, "mmap.errno.ENOMEM.range")
def fixed_ends_where_memory_ends(self: ReferenceProcess, mmap: Mmap) -> int:
    """With MAP_FIXED a range that ends outside the address space is cut off there."""
    if mmap.flags & MAP_FIXED and mmap.addr < self.task_size < mmap.addr + mmap.length:
        mmap.length = self.task_size - mmap.addr
    return mmap()


@wrong(Mmap, "mmap.errno.EPERM.noreplace")
def noreplace_at_0_is_no_address(self: ReferenceProcess, mmap: Mmap) -> int:
    """With MAP_FIXED_NOREPLACE address 0 means any address."""
    if mmap.flags & MAP_FIXED_NOREPLACE and mmap.addr == 0:
        mmap.flags &= ~MAP_FIXED_NOREPLACE
    return mmap()


@wrong(Mmap, "mmap.errno.ENOMEM.address-space", "mmap.errno.ENOMEM")
def reservations_do_not_count(self: ReferenceProcess, mmap: Mmap) -> int:
    """Mappings with PROT_NONE do not count against the limit of address space."""
    limit = self.address_space_limit
    if not mmap.prot:
        self.address_space_limit = None
    try:
        place = mmap()
    finally:
        self.address_space_limit = limit
    return place


@wrong(AddressSpace.mapped, "mmap.errno.ENOMEM.replaced")
def what_is_replaced_counts_twice(mapped: Original, self: AddressSpace, start: int, end: int) -> int:
    """The memory that MAP_FIXED replaces counts against the limit of address space in addition to the new mapping."""
    return 0
