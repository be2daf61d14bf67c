"""What is wrong with where mmap puts things, what it replaces there, and when it says that there is no room."""

from __future__ import annotations

from errno import EAGAIN, EINVAL, ENOMEM, EOVERFLOW

from ..address_space import AddressSpace, Mapping
from ..choices import LinuxChoices
from ..constants import MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE
from ..mutant import Honest, never, other, refuses, wrong
from ..process import Process
from ..refusal import Refusal

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
        cause="no gap",
        bug="gVisor #2534",
    ),
    never(
        "mmap-counts-no-memory",
        "mmap.errno.ENOMEM.address-space",
        named="mmap.errno.ENOMEM",
        cause="address-space limit",
    ),
    refuses(
        "mmap-counts-all-memory-as-data",
        Process.mmap,
        ENOMEM,
        lambda self, addr, length, prot, flags, fd, offset: (
            self.data_limit is not None and length > self.data_limit - self.space.data()
        ),
        "mmap.errno.ENOMEM.data.others",
        text="memory of any kind past the limit of data",
    ),
    refuses(
        "mmap-stops-a-page-before-the-last-offset",
        Process.mmap,
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
        Process.mmap,
        EINVAL,
        lambda self, addr, length, prot, flags, fd, offset: length and self.round_up(length) == 0,
        "mmap.errno.ENOMEM.length-wraps",
        "mmap.errno.ENOMEM",
        "mmap.errno.ENOMEM.range",
        text="the length rounds up to 0",
        bug="phoenix-rtos #1759",
    ),
)


@wrong(Process.mmap, "mmap.addr.never-replaces", bug="occlum #1110")
def reservations_are_free(
    mmap: Honest, self: Process, addr: int, length: int, prot: int, flags: int, fd: int, offset: int
) -> int:
    """What has no rights is taken for free when a place is looked for."""
    size = self.round_up(length)
    if not flags & (MAP_FIXED | MAP_FIXED_NOREPLACE):
        for mapping in self.space.mappings.values():
            if not mapping.prot and 0 < size <= mapping.end - mapping.start:
                addr, flags = mapping.start, flags | MAP_FIXED
                break
    place: int = mmap(self, addr, length, prot, flags, fd, offset)
    return place


@wrong(Mapping.continues, "mmap.range.windows", bug="usercorn #287")
def neighbours_are_joined_wherever_they_are_from(continues: Honest, self: Mapping, left: Mapping) -> bool:
    """Neighbours become one mapping although they show other parts of the file."""
    return self.is_like(left)


@wrong(Process.mmap, "mmap.flag.fixed-replaces.file")
def what_is_replaced_is_lost(
    mmap: Honest, self: Process, addr: int, length: int, prot: int, flags: int, fd: int, offset: int
) -> int:
    """What was stored through a shared mapping is lost when the mapping is replaced."""
    if flags & MAP_FIXED:
        for mapping in self.space.over(addr, addr + self.round_up(length)):
            if mapping.shared and mapping.inode is not None:
                mapping.inode.cache.pages.clear()
    place: int = mmap(self, addr, length, prot, flags, fd, offset)
    return place


@wrong(Process.mmap, "mmap.flag.fixed-replaces.elsewhere")
def mmap_replaces_in_every_process(
    mmap: Honest, self: Process, addr: int, length: int, prot: int, flags: int, fd: int, offset: int
) -> int:
    """MAP_FIXED takes away what other processes have at that address."""
    place: int = mmap(self, addr, length, prot, flags, fd, offset)
    for process in self.machine.processes:
        if flags & MAP_FIXED and process is not self:
            process.space.clear(place, place + self.round_up(length))
    return place


@wrong(LinuxChoices.cleared_when_refused, "mmap.result.failure.fixed.outside", bug="gVisor 9c7a659d7")
def a_late_refusal_takes_the_page_before(
    cleared_when_refused: Honest, self: LinuxChoices, refusal: Refusal, space: AddressSpace, start: int, end: int
) -> bool:
    """What is refused after the range was cleared has cleared the page before it as well."""
    if refusal.late:
        space.clear(start - space.page, end)
    return bool(cleared_when_refused(self, refusal, space, start, end))


@wrong(Process.mmap, "mmap.flag.fixed-noreplace.with-fixed", bug="gVisor PR #14008")
def fixed_replaces_all_the_same(
    mmap: Honest, self: Process, addr: int, length: int, prot: int, flags: int, fd: int, offset: int
) -> int:
    """With MAP_FIXED, MAP_FIXED_NOREPLACE is ignored."""
    if flags & MAP_FIXED:
        flags &= ~MAP_FIXED_NOREPLACE
    place: int = mmap(self, addr, length, prot, flags, fd, offset)
    return place


@wrong(Process.mmap, "mmap.errno.EEXIST.inaccessible")
def reservations_are_replaced(
    mmap: Honest, self: Process, addr: int, length: int, prot: int, flags: int, fd: int, offset: int
) -> int:
    """MAP_FIXED_NOREPLACE replaces what has no rights."""
    over = self.space.over(addr, addr + self.round_up(length))
    if flags & MAP_FIXED_NOREPLACE and not any(mapping.prot for mapping in over):
        flags = flags & ~MAP_FIXED_NOREPLACE | MAP_FIXED
    place: int = mmap(self, addr, length, prot, flags, fd, offset)
    return place


@wrong(Process.mmap, "mmap.errno.EINVAL.noreplace")
def noreplace_rounds_its_address(
    mmap: Honest, self: Process, addr: int, length: int, prot: int, flags: int, fd: int, offset: int
) -> int:
    """With MAP_FIXED_NOREPLACE an address within a page is rounded down."""
    if flags & MAP_FIXED_NOREPLACE and not flags & MAP_FIXED:
        addr -= addr % self.page
    place: int = mmap(self, addr, length, prot, flags, fd, offset)
    return place


@wrong(Process.mmap, "mmap.errno.ENOMEM.noreplace", bug="gVisor a10e246e7, Asterinas 6e46641a0")
def noreplace_outside_is_a_wish(
    mmap: Honest, self: Process, addr: int, length: int, prot: int, flags: int, fd: int, offset: int
) -> int:
    """With MAP_FIXED_NOREPLACE an address outside the address space is only a hint."""
    if flags & MAP_FIXED_NOREPLACE and addr > self.top:
        flags &= ~MAP_FIXED_NOREPLACE
    place: int = mmap(self, addr, length, prot, flags, fd, offset)
    return place


@wrong(Process.mmap, "mmap.errno.ENOMEM.noreplace")
def noreplace_ends_where_memory_ends(
    mmap: Honest, self: Process, addr: int, length: int, prot: int, flags: int, fd: int, offset: int
) -> int:
    """With MAP_FIXED_NOREPLACE a range that ends outside the address space is cut off there."""
    if flags & MAP_FIXED_NOREPLACE and addr < self.top < addr + length:
        length = self.top - addr
    place: int = mmap(self, addr, length, prot, flags, fd, offset)
    return place


@wrong(Process.mmap, "mmap.errno.EPERM.noreplace")
def noreplace_at_0_is_no_address(
    mmap: Honest, self: Process, addr: int, length: int, prot: int, flags: int, fd: int, offset: int
) -> int:
    """With MAP_FIXED_NOREPLACE address 0 means any address."""
    if flags & MAP_FIXED_NOREPLACE and addr == 0:
        flags &= ~MAP_FIXED_NOREPLACE
    place: int = mmap(self, addr, length, prot, flags, fd, offset)
    return place


@wrong(Process.mmap, "mmap.errno.ENOMEM.address-space", "mmap.errno.ENOMEM")
def reservations_do_not_count(
    mmap: Honest, self: Process, addr: int, length: int, prot: int, flags: int, fd: int, offset: int
) -> int:
    """What has no rights does not count against the limit of address space."""
    limit = self.address_space_limit
    if not prot:
        self.address_space_limit = None
    try:
        place: int = mmap(self, addr, length, prot, flags, fd, offset)
    finally:
        self.address_space_limit = limit
    return place


@wrong(AddressSpace.mapped, "mmap.errno.ENOMEM.replaced")
def what_is_replaced_counts_twice(mapped: Honest, self: AddressSpace, start: int, end: int) -> int:
    """What MAP_FIXED replaces counts against the limit of address space, beside what replaces it."""
    return 0
