"""Mutants of mremap."""

from __future__ import annotations

from errno import EACCES, EFAULT, EINVAL, ENOMEM, ENOSYS, EPERM

from ..address_space import AddressSpace
from ..constants import MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE
from ..linux_choices import LinuxChoices
from ..mapping import Mapping
from ..mutant import Original, never, other, refuses, wrong
from ..page_table import PageTable
from ..process import ReferenceProcess
from .calls import Move, Mremap
from .contents import CONTENT

RESIZED = ("mremap.resize", "mremap.flags.maymove", "munmap.range", *CONTENT)
"""Clauses that random programs cite for a mapping that was resized or moved wrongly."""

REFUSALS = (
    refuses(
        "mremap-is-a-stub",
        ReferenceProcess.mremap,
        ENOSYS,
        lambda self, addr, old_size, new_size, flags, new_addr=0: True,
        "mremap.linux-only",
        "mremap.resize",
        "mremap.flags.maymove",
        text="always",
    ),
    other("mremap-says-ENOMEM-for-too-much-locked", ENOMEM, "mremap.errno.EAGAIN"),
    never("mremap-locks-past-the-limit", "mremap.errno.EAGAIN"),
    other("mremap-says-EINVAL-where-nothing-is-mapped", EINVAL, "mremap.errno.EFAULT", reason="addr-unmapped"),
    other("mremap-says-ENOMEM-for-a-hole", ENOMEM, "mremap.errno.EFAULT", reason="old-range-not-one-mapping"),
    other("mremap-says-EACCES-for-an-invalid-range", EACCES, "mremap.errno.EFAULT"),
    other("mremap-says-EFAULT-for-an-invalid-argument", EFAULT, "mremap.errno.EINVAL"),
    never("mremap-takes-unknown-flags", "mremap.errno.EINVAL", reason="flags-unknown"),
    other("mremap-says-EFAULT-for-a-size-beyond", EFAULT, "mremap.errno.EINVAL", named="mremap.errno.EINVAL.new-size"),
    other("mremap-says-ENOMEM-for-a-size-beyond", ENOMEM, "mremap.errno.EINVAL.new-size", reason="new-size-too-large"),
    other(
        "mremap-says-EPERM-for-overlap",
        EPERM,
        "mremap.flags.fixed",
        named="mremap.errno.EINVAL.overlap",
        reason="ranges-overlap",
    ),
    never(
        "mremap-has-no-limit-of-address-space",
        "mremap.errno.ENOMEM",
        reason="address-space-limit",
        bug="gVisor 23438b363",
    ),
    other("mremap-says-EFAULT-where-it-cannot-grow", EFAULT, "mremap.errno.ENOMEM", reason="cannot-grow-in-place"),
    other("mremap-says-EINVAL-where-no-gap-is-left", EINVAL, "mremap.errno.ENOMEM", reason="no-gap", call="mremap"),
    never(
        "mremap-fixed-needs-no-maymove",
        "mremap.flags.fixed",
        named="mremap.errno.EINVAL.fixed",
        reason="fixed-without-maymove",
    ),
    never(
        "mremap-dontunmap-changes-the-size",
        "mremap.flags.dontunmap",
        named="mremap.errno.EINVAL.dontunmap-size",
        reason="dontunmap-resizes",
    ),
    never(
        "mremap-duplicates-private-memory",
        "mremap.old-size-zero",
        named="mremap.errno.EINVAL.old-size-zero",
        reason="duplicate-private",
        bug="gVisor fe3fc44da",
    ),
    never("mremap-moves-to-address-0", "mmap.errno.EPERM.zero", call="mremap"),
    refuses(
        "mremap-refuses-to-move",
        ReferenceProcess.mremap,
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
        ReferenceProcess.mremap,
        EINVAL,
        lambda self, addr, old_size, new_size, flags, new_addr=0: (
            not flags and self.round_up(new_size) == self.round_up(old_size) and self.space.find(addr) is not None
        ),
        "mremap.resize",
        text="the size does not change",
    ),
    refuses(
        "mremap-refuses-a-duplicate",
        ReferenceProcess.mremap,
        EINVAL,
        lambda self, addr, old_size, new_size, flags, new_addr=0: old_size == 0 and self.space.find(addr) is not None,
        "mremap.old-size-zero",
        "mremap.resize",
        text="old_size is 0",
        bug="gVisor fe3fc44da",
    ),
)


@wrong(Mremap, "mremap.errno.EINVAL")
def mremap_rounds_the_address_down(self: ReferenceProcess, mremap: Mremap) -> int:
    """An addr that is not a multiple of the page is rounded down."""
    return mremap(addr=mremap.addr - mremap.addr % self.page)


@wrong(Mremap, "mremap.errno.EINVAL", *RESIZED)
def mremap_to_size_0_is_a_page(self: ReferenceProcess, mremap: Mremap) -> int:
    """A new_size of 0 leaves a page."""
    return mremap(new_size=mremap.new_size or 1)


@wrong(Mremap, "mremap.errno.EFAULT", "mremap.resize")
def mremap_maps_where_nothing_was(self: ReferenceProcess, mremap: Mremap) -> int:
    """If nothing is mapped at addr and no other error applies, the call succeeds."""
    aligned = mremap.addr % self.page == 0 and mremap.addr + max(mremap.old_size, mremap.new_size) < self.task_size
    if not mremap.flags & ~MREMAP_MAYMOVE and aligned and mremap.new_size and self.space.find(mremap.addr) is None:
        return mremap.addr
    return mremap()


@wrong(Mremap, "mremap.errno.EFAULT", *RESIZED)
def mremap_believes_old_size(self: ReferenceProcess, mremap: Mremap) -> int:
    """If the range has more than one mapping, the first one is resized."""
    mapping = self.space.find(mremap.addr)
    if (
        mapping is not None
        and not mremap.flags & MREMAP_FIXED
        and mremap.new_size > mremap.old_size > mapping.end - mremap.addr
    ):
        mremap.old_size = mapping.end - mremap.addr
    return mremap()


@wrong(Mremap, "mremap.resize", "mremap.flags.maymove", "munmap.range", *CONTENT)
def mremap_loses_the_tail(self: ReferenceProcess, mremap: Mremap) -> int:
    """The last page of what has grown is not mapped."""
    place = mremap()
    if self.round_up(mremap.new_size) > self.round_up(mremap.old_size):
        end = place + self.round_up(mremap.new_size)
        self.space.clear(end - self.page, end)
    return place


@wrong(Mremap, "mremap.resize", "munmap.range", *CONTENT)
def mremap_cuts_nothing_off(self: ReferenceProcess, mremap: Mremap) -> int:
    """Shrinking in place leaves everything mapped."""
    shrinks = self.round_up(mremap.new_size) < self.round_up(mremap.old_size) and not mremap.flags & MREMAP_FIXED
    return mremap(new_size=mremap.old_size if shrinks and mremap.new_size else mremap.new_size)


@wrong(Mremap, "mremap.resize", "munmap.range", *CONTENT, bug="zig #5245 (qemu-user)")
def mremap_cuts_a_page_too_many(self: ReferenceProcess, mremap: Mremap) -> int:
    """Shrinking takes a page more than it should."""
    place = mremap()
    end = place + self.round_up(mremap.new_size)
    if self.round_up(mremap.old_size) > self.round_up(mremap.new_size) > self.page:
        self.space.clear(end - self.page, end)
    return place


@wrong(Move, "mremap.flags.maymove", *RESIZED, "file.truncate", bug="StarryOS #217, #263")
def a_moved_mapping_is_private(self: AddressSpace, move: Move) -> None:
    """A shared mapping is private after a move."""
    move()
    for mapping in self.over(move.place, move.place + move.new):
        mapping.shared = mapping.shared and (mapping.inode is None or mapping.inode.name == "anonymous")


@wrong(PageTable.move, "mremap.flags.maymove", *RESIZED)
def a_move_loses_the_pages(move: Original, self: PageTable, first: int, stop: int, to: int) -> None:
    """A move loses stores to private pages."""
    self.zap(first, stop)


@wrong(Move, "mremap.flags.maymove", *RESIZED, "mremap.resize")
def a_move_leaves_the_old_range(self: AddressSpace, move: Move) -> None:
    """After a move the old range is still mapped."""
    move(keep=True)


@wrong(Move, "mremap.flags.maymove", *RESIZED, "mprotect.rights")
def a_moved_mapping_can_be_written(self: AddressSpace, move: Move) -> None:
    """A moved mapping has the maximum protection that its file allows."""
    move()
    for mapping in self.over(move.place, move.place + move.new):
        mapping.prot = mapping.max_prot


@wrong(LinuxChoices.grows_in_place, "mremap.flags.zero", "mremap.resize")
def nothing_grows_in_place(grows_in_place: Original, self: LinuxChoices, start: int, end: int) -> bool:
    """Growing is always a move."""
    return False


@wrong(AddressSpace.grow, "mremap.resize", "mremap.flags.zero")
def growth_takes_a_page_more(grow: Original, self: AddressSpace, mapping: Mapping, length: int) -> None:
    """A mapping that grows in place grows by a page more, if that page is free."""
    more = self.page if self.is_free(mapping.end, mapping.end + length + self.page) else 0
    grow(self, mapping, length + more)


@wrong(Mremap, "mremap.flags.zero", "mremap.errno.ENOMEM", "mremap.resize")
def mremap_moves_without_being_allowed(self: ReferenceProcess, mremap: Mremap) -> int:
    """With flags 0 a mapping is moved where it cannot grow."""
    return mremap(flags=mremap.flags or MREMAP_MAYMOVE)


@wrong(Mremap, "mremap.flags.zero", "mremap.errno.ENOMEM", "munmap.range", *RESIZED)
def mremap_grows_over_its_neighbour(self: ReferenceProcess, mremap: Mremap) -> int:
    """Growth in place replaces what is there."""
    old, new = self.round_up(mremap.old_size), self.round_up(mremap.new_size)
    mapping = self.space.find(mremap.addr)
    if (
        not mremap.flags
        and mapping is not None
        and mapping.end == mremap.addr + old
        and old < new <= self.task_size - mremap.addr
    ):
        self.space.clear(mremap.addr + old, mremap.addr + new)
    return mremap()


@wrong(Mremap, "mremap.flags.fixed", *RESIZED)
def mremap_fixed_goes_anywhere(self: ReferenceProcess, mremap: Mremap) -> int:
    """MREMAP_FIXED is ignored."""
    return mremap(flags=mremap.flags & ~MREMAP_FIXED)


@wrong(Mremap, "mremap.flags.fixed", "mremap.errno.EINVAL", *RESIZED)
def mremap_rounds_the_new_address_down(self: ReferenceProcess, mremap: Mremap) -> int:
    """A new_addr that is not a multiple of the page is rounded down."""
    return mremap(new_addr=mremap.new_addr - mremap.new_addr % self.page)


@wrong(Mremap, "mremap.flags.fixed", *RESIZED)
def mremap_fixed_replaces_a_page_too_many(self: ReferenceProcess, mremap: Mremap) -> int:
    """MREMAP_FIXED unmaps the page after its range as well."""
    place = mremap()
    if mremap.flags & MREMAP_FIXED:
        end = place + self.round_up(mremap.new_size)
        self.space.clear(end, end + self.page)
    return place


@wrong(Mremap, "mremap.flags.dontunmap", *RESIZED)
def mremap_dontunmap_unmaps(self: ReferenceProcess, mremap: Mremap) -> int:
    """MREMAP_DONTUNMAP is an ordinary move."""
    place = mremap()
    if mremap.flags & MREMAP_DONTUNMAP:
        self.space.clear(mremap.addr, mremap.addr + self.round_up(mremap.old_size))
    return place


@wrong(Mremap, "mremap.flags.dontunmap", *RESIZED)
def mremap_dontunmap_leaves_the_content(self: ReferenceProcess, mremap: Mremap) -> int:
    """After MREMAP_DONTUNMAP the old range of private memory still has its content."""
    place = mremap()
    if mremap.flags & MREMAP_DONTUNMAP:
        table = self.space.table
        for number in table.within(place // self.page, (place + self.round_up(mremap.new_size)) // self.page):
            page = table.entries[number]
            page.refcount += page.refcount > 0
            table.entries[number + (mremap.addr - place) // self.page] = page
    return place


@wrong(Move, "mremap.old-size-zero", *RESIZED)
def a_duplicate_has_pages_of_its_own(self: AddressSpace, move: Move) -> None:
    """A duplicate mapping (old size 0) is private."""
    move()
    if move.old == 0:
        for mapping in self.over(move.place, move.place + move.new):
            mapping.shared = False


@wrong(Move, "mremap.old-size-zero", *RESIZED)
def a_duplicate_takes_the_original_away(self: AddressSpace, move: Move) -> None:
    """A duplicate mapping (old size 0) removes the original."""
    move()
    if move.old == 0:
        self.clear(move.addr, move.addr + min(move.new, self.page))


@wrong(Mapping.part, "mremap.resize", "mprotect.rights", "munmap.range", *RESIZED, bug="OSv 4a8a2fd2")
def a_part_begins_where_the_whole_does(part: Original, self: Mapping, start: int, end: int, space: object) -> Mapping:
    """A part that is split off or moved has the file offset of the whole mapping."""
    made: Mapping = part(self, start, end, space)
    made.offset = self.offset
    return made
