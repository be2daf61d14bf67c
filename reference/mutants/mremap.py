"""What is wrong with mremap."""

from __future__ import annotations

from errno import EFAULT, EINVAL, ENOMEM, ENOSYS, EPERM

from ..address_space import Mapping
from ..choices import LinuxChoices
from ..constants import MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE
from ..mutant import Honest, never, other, refuses, wrong
from ..paging import PageTable
from ..process import Process
from .contents import CONTENT

RESIZED = ("mremap.resize", "mremap.flags.maymove", "munmap.range", *CONTENT)
"""What random programs say of a mapping that was resized or moved wrongly."""

REFUSALS = (
    refuses(
        "mremap-is-a-stub",
        Process.mremap,
        ENOSYS,
        lambda self, addr, old_size, new_size, flags, new_addr=0: True,
        "mremap.linux-only",
        "mremap.resize",
        "mremap.flags.maymove",
        text="always",
    ),
    other("mremap-says-ENOMEM-for-too-much-locked", ENOMEM, "mremap.errno.EAGAIN"),
    never("mremap-locks-past-the-limit", "mremap.errno.EAGAIN"),
    other(
        "mremap-says-EINVAL-where-nothing-is-mapped", EINVAL, "mremap.errno.EFAULT", cause="nothing is mapped at addr"
    ),
    other("mremap-says-ENOMEM-for-a-hole", ENOMEM, "mremap.errno.EFAULT", cause="not all one mapping"),
    never("mremap-takes-unknown-flags", "mremap.errno.EINVAL", cause="a bit that the system does not know"),
    other("mremap-says-ENOMEM-for-a-size-beyond", ENOMEM, "mremap.errno.EINVAL", cause="larger than the address space"),
    other(
        "mremap-says-EPERM-for-overlap",
        EPERM,
        "mremap.flags.fixed",
        named="mremap.errno.EINVAL.overlap",
        cause="overlap",
    ),
    never(
        "mremap-has-no-limit-of-address-space",
        "mremap.errno.ENOMEM",
        cause="address-space limit",
        bug="gVisor 23438b363",
    ),
    other("mremap-says-EFAULT-where-it-cannot-grow", EFAULT, "mremap.errno.ENOMEM", cause="cannot grow where it is"),
    never(
        "mremap-fixed-needs-no-maymove",
        "mremap.flags.fixed",
        named="mremap.errno.EINVAL.fixed",
        cause="without MREMAP_MAYMOVE",
    ),
    never(
        "mremap-dontunmap-changes-the-size",
        "mremap.flags.dontunmap",
        named="mremap.errno.EINVAL.dontunmap-size",
        cause="cannot change the size",
    ),
    never(
        "mremap-duplicates-private-memory",
        "mremap.old-size-zero",
        named="mremap.errno.EINVAL.old-size-zero",
        cause="cannot be duplicated",
        bug="gVisor fe3fc44da",
    ),
    never("mremap-moves-to-address-0", "mmap.errno.EPERM.zero", call="mremap"),
    refuses(
        "mremap-refuses-to-move",
        Process.mremap,
        EFAULT,
        lambda self, addr, old_size, new_size, flags, new_addr=0: (
            flags & MREMAP_MAYMOVE and self.round_up(new_size) > self.round_up(old_size)
        ),
        "mremap.flags.maymove",
        "mremap.resize",
        text="it may move, to grow",
        bug="WSL #4445",
    ),
    refuses(
        "mremap-refuses-the-same-size",
        Process.mremap,
        EINVAL,
        lambda self, addr, old_size, new_size, flags, new_addr=0: (
            not flags and self.round_up(new_size) == self.round_up(old_size) and self.space.find(addr) is not None
        ),
        "mremap.resize",
        text="the size does not change",
    ),
    refuses(
        "mremap-refuses-a-duplicate",
        Process.mremap,
        EINVAL,
        lambda self, addr, old_size, new_size, flags, new_addr=0: old_size == 0 and self.space.find(addr) is not None,
        "mremap.old-size-zero",
        "mremap.resize",
        text="old_size is 0",
        bug="gVisor fe3fc44da",
    ),
)


@wrong(Process.mremap, "mremap.errno.EINVAL")
def mremap_rounds_the_address_down(
    mremap: Honest, self: Process, addr: int, old_size: int, new_size: int, flags: int, new_addr: int = 0
) -> int:
    """An addr that is not a multiple of the page is rounded down."""
    return int(mremap(self, addr - addr % self.page, old_size, new_size, flags, new_addr))


@wrong(Process.mremap, "mremap.errno.EINVAL", *RESIZED)
def mremap_to_size_0_is_a_page(
    mremap: Honest, self: Process, addr: int, old_size: int, new_size: int, flags: int, new_addr: int = 0
) -> int:
    """A new_size of 0 leaves a page."""
    return int(mremap(self, addr, old_size, new_size or 1, flags, new_addr))


@wrong(Process.mremap, "mremap.errno.EFAULT", "mremap.resize")
def mremap_maps_where_nothing_was(
    mremap: Honest, self: Process, addr: int, old_size: int, new_size: int, flags: int, new_addr: int = 0
) -> int:
    """Where nothing is mapped at addr, and nothing else is wrong, the call succeeds."""
    aligned = addr % self.page == 0 and addr + max(old_size, new_size) < self.top
    if not flags & ~MREMAP_MAYMOVE and aligned and new_size and self.space.find(addr) is None:
        return addr
    return int(mremap(self, addr, old_size, new_size, flags, new_addr))


@wrong(Process.mremap, "mremap.errno.EFAULT", *RESIZED)
def mremap_believes_old_size(
    mremap: Honest, self: Process, addr: int, old_size: int, new_size: int, flags: int, new_addr: int = 0
) -> int:
    """Of a range that holds more than one mapping, the first is resized."""
    mapping = self.space.find(addr)
    if mapping is not None and not flags & MREMAP_FIXED and new_size > old_size > mapping.end - addr:
        old_size = mapping.end - addr
    return int(mremap(self, addr, old_size, new_size, flags, new_addr))


@wrong(Process.mremap, "mremap.resize", "mremap.flags.maymove", "munmap.range", *CONTENT)
def mremap_loses_the_tail(
    mremap: Honest, self: Process, addr: int, old_size: int, new_size: int, flags: int, new_addr: int = 0
) -> int:
    """The last page of what has grown is not mapped."""
    place = int(mremap(self, addr, old_size, new_size, flags, new_addr))
    if self.round_up(new_size) > self.round_up(old_size):
        end = place + self.round_up(new_size)
        self.space.clear(end - self.page, end)
    return place


@wrong(Process.mremap, "mremap.resize", "munmap.range", *CONTENT)
def mremap_cuts_nothing_off(
    mremap: Honest, self: Process, addr: int, old_size: int, new_size: int, flags: int, new_addr: int = 0
) -> int:
    """Shrinking in place leaves everything mapped."""
    shrinks = self.round_up(new_size) < self.round_up(old_size) and not flags & MREMAP_FIXED
    return int(mremap(self, addr, old_size, old_size if shrinks and new_size else new_size, flags, new_addr))


@wrong(Process.mremap, "mremap.resize", "munmap.range", *CONTENT, bug="zig #5245 (qemu-user)")
def mremap_cuts_a_page_too_many(
    mremap: Honest, self: Process, addr: int, old_size: int, new_size: int, flags: int, new_addr: int = 0
) -> int:
    """Shrinking takes a page more than it should."""
    place = int(mremap(self, addr, old_size, new_size, flags, new_addr))
    end = place + self.round_up(new_size)
    if self.round_up(old_size) > self.round_up(new_size) > self.page:
        self.space.clear(end - self.page, end)
    return place


@wrong(Process.move, "mremap.flags.maymove", *RESIZED, "file.truncate", bug="StarryOS #217, #263")
def a_moved_mapping_is_private(
    move: Honest, self: Process, addr: int, old: int, place: int, new: int, keep: bool
) -> None:
    """What was shared is private after a move."""
    move(self, addr, old, place, new, keep)
    for mapping in self.space.over(place, place + new):
        mapping.shared = mapping.shared and (mapping.inode is None or mapping.inode.name == "anonymous")


@wrong(PageTable.move, "mremap.flags.maymove", *RESIZED)
def a_move_loses_the_pages(move: Honest, self: PageTable, first: int, behind: int, to: int) -> None:
    """What was stored in private pages is lost by a move."""
    self.drop(first, behind)


@wrong(Process.move, "mremap.flags.maymove", *RESIZED, "mremap.resize")
def a_move_leaves_the_old_range(
    move: Honest, self: Process, addr: int, old: int, place: int, new: int, keep: bool
) -> None:
    """After a move the old range is still mapped."""
    move(self, addr, old, place, new, True)


@wrong(Process.move, "mremap.flags.maymove", *RESIZED, "mprotect.rights")
def a_moved_mapping_can_be_written(
    move: Honest, self: Process, addr: int, old: int, place: int, new: int, keep: bool
) -> None:
    """A move of a mapping gives it the rights that its file allows."""
    move(self, addr, old, place, new, keep)
    for mapping in self.space.over(place, place + new):
        mapping.prot = mapping.maximum


@wrong(LinuxChoices.grows_in_place, "mremap.flags.zero", "mremap.resize")
def nothing_grows_in_place(grows_in_place: Honest, self: LinuxChoices, start: int, end: int, new_end: int) -> bool:
    """Growing is always a move."""
    return False


@wrong(Process.mremap, "mremap.flags.zero", "mremap.errno.ENOMEM", "mremap.resize")
def mremap_moves_without_being_allowed(
    mremap: Honest, self: Process, addr: int, old_size: int, new_size: int, flags: int, new_addr: int = 0
) -> int:
    """With flags 0 a mapping is moved where it cannot grow."""
    return int(mremap(self, addr, old_size, new_size, flags or MREMAP_MAYMOVE, new_addr))


@wrong(Process.mremap, "mremap.flags.zero", "mremap.errno.ENOMEM", "munmap.range", *RESIZED)
def mremap_grows_over_its_neighbour(
    mremap: Honest, self: Process, addr: int, old_size: int, new_size: int, flags: int, new_addr: int = 0
) -> int:
    """Growth in place replaces what is there."""
    old, new = self.round_up(old_size), self.round_up(new_size)
    mapping = self.space.find(addr)
    if not flags and mapping is not None and mapping.end == addr + old and old < new <= self.top - addr:
        self.space.clear(addr + old, addr + new)
    return int(mremap(self, addr, old_size, new_size, flags, new_addr))


@wrong(Process.mremap, "mremap.flags.fixed", *RESIZED)
def mremap_fixed_goes_anywhere(
    mremap: Honest, self: Process, addr: int, old_size: int, new_size: int, flags: int, new_addr: int = 0
) -> int:
    """MREMAP_FIXED is ignored."""
    return int(mremap(self, addr, old_size, new_size, flags & ~MREMAP_FIXED, new_addr))


@wrong(Process.mremap, "mremap.flags.fixed", "mremap.errno.EINVAL", *RESIZED)
def mremap_rounds_the_new_address_down(
    mremap: Honest, self: Process, addr: int, old_size: int, new_size: int, flags: int, new_addr: int = 0
) -> int:
    """A new_addr that is not a multiple of the page is rounded down."""
    return int(mremap(self, addr, old_size, new_size, flags, new_addr - new_addr % self.page))


@wrong(Process.mremap, "mremap.flags.fixed", *RESIZED)
def mremap_fixed_replaces_a_page_too_many(
    mremap: Honest, self: Process, addr: int, old_size: int, new_size: int, flags: int, new_addr: int = 0
) -> int:
    """MREMAP_FIXED takes away the page behind its range as well."""
    place = int(mremap(self, addr, old_size, new_size, flags, new_addr))
    if flags & MREMAP_FIXED:
        end = place + self.round_up(new_size)
        self.space.clear(end, end + self.page)
    return place


@wrong(Process.mremap, "mremap.flags.dontunmap", *RESIZED)
def mremap_dontunmap_unmaps(
    mremap: Honest, self: Process, addr: int, old_size: int, new_size: int, flags: int, new_addr: int = 0
) -> int:
    """MREMAP_DONTUNMAP is an ordinary move."""
    place = int(mremap(self, addr, old_size, new_size, flags, new_addr))
    if flags & MREMAP_DONTUNMAP:
        self.space.clear(addr, addr + self.round_up(old_size))
    return place


@wrong(Process.mremap, "mremap.flags.dontunmap", *RESIZED)
def mremap_dontunmap_leaves_the_content(
    mremap: Honest, self: Process, addr: int, old_size: int, new_size: int, flags: int, new_addr: int = 0
) -> int:
    """After MREMAP_DONTUNMAP the old range of private memory still has its content."""
    place = int(mremap(self, addr, old_size, new_size, flags, new_addr))
    if flags & MREMAP_DONTUNMAP:
        table = self.space.table
        for number in table.within(place // self.page, (place + self.round_up(new_size)) // self.page):
            page = table.entries[number]
            page.sharers += page.sharers > 0
            table.entries[number + (addr - place) // self.page] = page
    return place


@wrong(Process.move, "mremap.old-size-zero", *RESIZED)
def a_duplicate_has_pages_of_its_own(
    move: Honest, self: Process, addr: int, old: int, place: int, new: int, keep: bool
) -> None:
    """What is mapped a second time is private."""
    move(self, addr, old, place, new, keep)
    if old == 0:
        for mapping in self.space.over(place, place + new):
            mapping.shared = False


@wrong(Process.move, "mremap.old-size-zero", *RESIZED)
def a_duplicate_takes_the_original_away(
    move: Honest, self: Process, addr: int, old: int, place: int, new: int, keep: bool
) -> None:
    """What is mapped a second time is no longer where it was."""
    move(self, addr, old, place, new, keep)
    if old == 0:
        self.space.clear(addr, addr + min(new, self.page))


@wrong(Mapping.part, "mremap.resize", "mprotect.rights", "munmap.range", *RESIZED, bug="OSv 4a8a2fd2")
def a_part_begins_where_the_whole_does(part: Honest, self: Mapping, start: int, end: int, space: object) -> Mapping:
    """What is cut off, or moved, of a mapping shows the file from where the whole mapping did."""
    made: Mapping = part(self, start, end, space)
    made.offset = self.offset
    return made
