"""Mutants of mremap: attributes and content that move or stay, sizes, locks and limits, errors."""

from __future__ import annotations

from collections.abc import Sequence
from errno import EAGAIN, EEXIST, EFAULT, EINVAL, ENOMEM

from ..address_space import AddressSpace
from ..constants import MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE, PROT_ALL, PROT_NONE, PROT_READ, PROT_WRITE
from ..linux_choices import LinuxChoices
from ..mapping import Mapping
from ..mremap_calls import MremapCalls, MremapRequest
from ..mutant import Original, never, other, refuses, wrong
from ..paging import Page
from ..process import ReferenceProcess
from ..refusal import Refusal, Refusals
from .calls import Move, Mremap, mappings_of

# Random programs detect these by the state after a mremap, whichever clause it violates.
LEFT = ("mremap.resize", "mmap.range", "munmap.range")


def range_of(self: ReferenceProcess, addr: int, size: int) -> list[Mapping]:
    """The mappings in a range."""
    return self.space.over(addr, addr + self.round_up(size))


def entries(self: AddressSpace, addr: int, size: int) -> dict[int, Page]:
    """The page table's entries of a range."""
    table = self.table
    return {number: table.entries[number] for number in table.within(addr // self.page, (addr + size) // self.page)}


def back(self: AddressSpace, kept: dict[int, Page]) -> None:
    """Restore earlier entries of the page table."""
    for number, page in kept.items():
        page.refcount += page.refcount > 0
        self.table.entries[number] = page


# -------------------------------------------------------------------------------------------------------- what is moved


@wrong(Move, "mremap.move.sharing", "mmap.flag.shared", *LEFT, bug="StarryOS #217, #263")
def what_moves_is_private(self: AddressSpace, move: Move) -> None:
    """A shared mapping is private after a move."""
    move()
    for mapping in self.over(move.place, move.place + move.new):
        mapping.shared = False


@wrong(Move, "mremap.move.private", "mmap.flag.private", *LEFT)
def what_moves_is_read_anew(self: AddressSpace, move: Move) -> None:
    """The private copies of a file's pages are lost in a move."""
    move()
    for mapping in self.over(move.place, move.place + move.new):
        if mapping.inode is not None:
            self.table.zap(mapping.start // self.page, mapping.end // self.page)


@wrong(Move, "mremap.move.rights", "mmap.flag.private", *LEFT)
def what_moves_can_be_written(self: AddressSpace, move: Move) -> None:
    """A moved mapping is readable and writable."""
    move()
    for mapping in self.over(move.place, move.place + move.new):
        mapping.prot = (PROT_READ | PROT_WRITE) & mapping.max_prot


@wrong(Move, "mremap.move.rights", "mmap.flag.private", *LEFT)
def what_moves_cannot_be_written(self: AddressSpace, move: Move) -> None:
    """A mapping that could be written can only be read after a move."""
    move()
    for mapping in self.over(move.place, move.place + move.new):
        mapping.prot &= ~PROT_WRITE


@wrong(Move, "mremap.move.maximum", "mprotect.errno.EACCES")
def what_moves_may_have_all_rights(self: AddressSpace, move: Move) -> None:
    """A mapping may be given every right after a move."""
    move()
    for mapping in self.over(move.place, move.place + move.new):
        mapping.max_prot = PROT_ALL


@wrong(Move, "mremap.move.offset", "mmap.flag.shared", *LEFT, bug="emscripten #10094 (reading)")
def what_moves_begins_where_the_file_does(self: AddressSpace, move: Move) -> None:
    """A mapping of a file shows its beginning after a move."""
    move()
    for mapping in self.over(move.place, move.place + move.new):
        if mapping.inode is not None:
            mapping.offset = 0


@wrong(Move, "mremap.move.lock", "msync.flag.invalidate.busy", "mremap.resize")
def what_moves_is_not_locked(self: AddressSpace, move: Move) -> None:
    """A mapping is locked no longer after a move."""
    move()
    self.lock(move.place, move.place + move.new, False)


@wrong(Move, "mremap.move.reference", "mmap.refcount.munmap", "file.errno", bug="gVisor 8e9789caa")
def what_moves_holds_its_file_for_ever(self: AddressSpace, move: Move) -> None:
    """A move counts one reference to the open file too many."""
    move()
    for mapping in self.over(move.place, move.place + move.new):
        if mapping.description is not None:
            mapping.description.references += 1


@wrong(Move, "mremap.move.part", *LEFT)
def the_rest_of_the_mapping_goes(self: AddressSpace, move: Move) -> None:
    """If a part of a mapping is moved, the rest is unmapped."""
    whole = self.find(move.addr)
    start, end = (whole.start, whole.end) if whole is not None else (move.addr, move.addr)
    move()
    if not move.keep and move.old and not start < move.place + move.new <= end:
        self.clear(start, end)


@wrong(Move, "mremap.move.neighbours", *LEFT, bug="gVisor 9c7a659d7 (reading)")
def a_move_takes_the_page_after(self: AddressSpace, move: Move) -> None:
    """The page after the old range is unmapped as well."""
    move()
    if move.place != move.addr + move.old and not move.keep and move.old:
        self.clear(move.addr + move.old, move.addr + move.old + self.page)


@wrong(AddressSpace.clear_target, "mremap.move.neighbours", "mremap.fixed.resize", *LEFT)
def fixed_replaces_a_page_too_many(
    clear_target: Original, self: AddressSpace, addr: int, old: int, place: int, new: int
) -> None:
    """The page after the new range is unmapped as well."""
    clear_target(self, addr, old, place, new)
    if place + new != addr:
        self.clear(place + new, place + new + self.page)


@wrong(Move, "mremap.move.old-place", *LEFT)
def a_move_leaves_the_pages(self: AddressSpace, move: Move) -> None:
    """The page table still has the old range's pages: what is mapped there next shows them."""
    kept = entries(self, move.addr, move.old)
    move()
    if not move.keep:
        back(self, kept)


@wrong(Mremap, "mremap.move.process", *LEFT)
def a_move_reaches_other_processes(self: ReferenceProcess, mremap: Mremap) -> int:
    """The old range is unmapped in every process."""
    place = mremap()
    if place != mremap.addr and not mremap.flags & MREMAP_DONTUNMAP:
        for process in self.machine.processes:
            process.space.clear(mremap.addr, mremap.addr + self.round_up(mremap.old_size))
    return place


@wrong(Move, "mremap.move.mapping", *LEFT)
def a_move_takes_every_mapping_of_the_file(self: AddressSpace, move: Move) -> None:
    """The process's other mappings of the same file are unmapped."""
    move()
    for moved in self.over(move.place, move.place + move.new):
        for mapping in mappings_of(moved.inode) if moved.inode is not None else ():
            if mapping.space is self and mapping is not moved and not move.keep and move.old:
                self.clear(mapping.start, mapping.end)


# --------------------------------------------------------------------------------------------------------------- FIXED


@wrong(AddressSpace.clear_target, "mremap.fixed.replaces", "mmap.refcount.munmap", "file.errno")
def what_is_replaced_holds_its_file(
    clear_target: Original, self: AddressSpace, addr: int, old: int, place: int, new: int
) -> None:
    """MREMAP_FIXED does not release the file of the mapping that it replaces."""
    for mapping in self.over(place, place + new):
        if mapping.description is not None:
            mapping.description.references += 1
    clear_target(self, addr, old, place, new)


@wrong(Mremap, "mremap.fixed.resize", *LEFT)
def fixed_shrinks_and_leaves_the_rest(self: ReferenceProcess, mremap: Mremap) -> int:
    """Shrinking with MREMAP_FIXED moves the beginning and leaves the end of the old range where it is."""
    if mremap.flags & MREMAP_FIXED and mremap.new_size:
        mremap.old_size = min(mremap.old_size, self.round_up(mremap.new_size))
    return mremap()


@wrong(AddressSpace.clear_target, "mremap.fixed.holes", *LEFT)
def a_hole_replaces_what_is_there(
    clear_target: Original, self: AddressSpace, addr: int, old: int, place: int, new: int
) -> None:
    """A hole of the old range becomes a hole of the new range."""
    clear_target(self, addr, old, place, new)
    self.clear(place, place + new)


@wrong(MremapCalls.refuse_parts, "mremap.fixed.holes", *LEFT)
def a_sealed_page_at_a_hole_is_in_the_way(
    refuse_parts: Original, self: ReferenceProcess, refuse: Refusals, request: MremapRequest
) -> None:
    """EPERM for any sealed page of the new range, also where the old range has a hole."""
    refuse_parts(self, refuse, request)
    self.refuse_target(refuse, request.new_addr, request.new_addr + request.new)


@wrong(MremapCalls.refuse_growth, "mremap.dontunmap.limit", "mremap.resize")
def what_mremap_replaces_counts_as_mapped(
    refuse_growth: Original, self: ReferenceProcess, refuse: Refusals, request: MremapRequest, more: int, data: int
) -> None:
    """MREMAP_DONTUNMAP fails at the limit of address space although it replaces as much as it maps."""
    refuse_growth(self, refuse, request, request.new if request.keeps_source else more, data)


@wrong(Mremap, "mremap.errno.EFAULT.intact", *LEFT, bug="Linux before 6.17")
def fixed_replaces_before_it_looks(self: ReferenceProcess, mremap: Mremap) -> int:
    """The mapping at the new address is unmapped before the old range is found not to be movable."""
    try:
        place = mremap()
    except OSError as error:
        if error.errno == EFAULT and mremap.flags & MREMAP_FIXED:
            self.space.clear(mremap.new_addr, mremap.new_addr + self.round_up(mremap.new_size))
        raise
    return place


def several(self: ReferenceProcess, addr: int, size: int) -> bool:
    """Return True if a range has more than one mapping."""
    return len(range_of(self, addr, size)) > 1


REFUSALS = (
    never("mremap-takes-fixed-without-maymove", "mremap.errno.EINVAL.fixed", "mremap.resize"),
    never("mremap-takes-dontunmap-without-maymove", "mremap.errno.EINVAL.dontunmap", "mremap.resize"),
    never("mremap-takes-dontunmap-of-another-size", "mremap.errno.EINVAL.dontunmap-size", "mremap.resize"),
    never("mremap-duplicates-private-pages", "mremap.errno.EINVAL.old-size-zero", *LEFT, bug="gVisor fe3fc44da"),
    never("mremap-duplicates-without-maymove", "mremap.errno.ENOMEM.old-size-zero", *LEFT),
    never("mremap-knows-no-limit-of-mappings", "mremap.errno.ENOMEM.count", "mremap.resize"),
    never("mremap-knows-no-limit-of-data", "mremap.errno.ENOMEM.data", bug="gVisor (RLIMIT_DATA)"),
    refuses(
        "mremap-counts-all-memory-as-data",
        ReferenceProcess.mremap,
        ENOMEM,
        lambda self, addr, old, new, flags, new_addr=0: (
            self.data_limit is not None and new > self.data_limit - self.space.data()
        ),
        "mremap.errno.ENOMEM.data",
        text="memory of any kind past the limit of data",
    ),
    never("mremap-charges-no-second-range", "mremap.dontunmap.limit", "mremap.resize", bug="gVisor 23438b363"),
    refuses(
        "mremap-lets-ranges-touch-no-more",
        ReferenceProcess.mremap,
        EINVAL,
        lambda self, addr, old, new, flags, to=0: (
            flags & MREMAP_FIXED and addr <= to + self.round_up(new) and to <= addr + self.round_up(old)
        ),
        "mremap.errno.EINVAL.overlap",
        "mremap.resize",
        text="the new range begins where the old one ends, or the reverse",
    ),
    refuses(
        "mremap-moves-to-free-places-only",
        ReferenceProcess.mremap,
        EEXIST,
        lambda self, addr, old, new, flags, to=0: (
            flags & MREMAP_FIXED and to % self.page == 0 and not self.space.is_free(to, to + self.round_up(new))
        ),
        "mremap.fixed.replaces",
        "mremap.flags.fixed",
        "mremap.resize",
        text="something is mapped at the new address",
    ),
    refuses(
        "mremap-moves-one-mapping-at-a-time",
        ReferenceProcess.mremap,
        EFAULT,
        lambda self, addr, old, new, flags, to=0: flags & MREMAP_FIXED and several(self, addr, old),
        "mremap.fixed.several",
        "mremap.fixed.several.files",
        "mremap.resize",
        text="the range to be moved is not all one mapping",
        bug="Linux before 6.17",
    ),
    refuses(
        "mremap-moves-files-one-at-a-time",
        ReferenceProcess.mremap,
        EFAULT,
        lambda self, addr, old, new, flags, to=0: (
            flags & MREMAP_FIXED
            and several(self, addr, old)
            and any(mapping.inode is not None for mapping in range_of(self, addr, old))
        ),
        "mremap.fixed.several.files",
        "mremap.resize",
        text="the range to be moved has several mappings, one of them of a file",
        bug="Linux on ramfs",
    ),
    refuses(
        "mremap-moves-no-hole",
        ReferenceProcess.mremap,
        EFAULT,
        lambda self, addr, old, new, flags, to=0: (
            flags & MREMAP_FIXED
            and self.space.find(addr) is not None
            and self.space.hole(addr, addr + self.round_up(old)) is not None
        ),
        "mremap.fixed.holes",
        "mremap.resize",
        text="something is missing in the range to be moved",
        bug="Linux before 6.17",
    ),
    refuses(
        "mremap-keeps-no-mapping-at-a-fixed-place",
        ReferenceProcess.mremap,
        EINVAL,
        lambda self, addr, old, new, flags, to=0: flags & MREMAP_FIXED and flags & MREMAP_DONTUNMAP,
        "mremap.dontunmap.fixed",
        "mremap.resize",
        text="MREMAP_FIXED and MREMAP_DONTUNMAP together",
    ),
    refuses(
        "mremap-duplicates-nowhere-fixed",
        ReferenceProcess.mremap,
        EINVAL,
        lambda self, addr, old, new, flags, to=0: flags & MREMAP_FIXED and old == 0,
        "mremap.old-size-zero.fixed",
        "mremap.resize",
        text="old_size is 0 and MREMAP_FIXED is given",
    ),
    refuses(
        "mremap-shrinks-one-mapping-at-a-time",
        ReferenceProcess.mremap,
        EFAULT,
        lambda self, addr, old, new, flags, to=0: 0 < new < old and several(self, addr, old),
        "mremap.shrink.several",
        "mremap.resize",
        text="the range to be shrunk is not all one mapping",
    ),
    refuses(
        "mremap-shrinks-over-no-hole",
        ReferenceProcess.mremap,
        EFAULT,
        lambda self, addr, old, new, flags, to=0: (
            0 < new <= old and self.space.hole(addr, addr + self.round_up(old)) is not None
        ),
        "mremap.shrink.hole",
        "mremap.resize",
        text="something is missing in the old range",
        bug="gVisor (reading)",
    ),
    refuses(
        "mremap-locks-both-places",
        ReferenceProcess.mremap,
        EAGAIN,
        lambda self, addr, old, new, flags, to=0: (
            flags & MREMAP_FIXED
            and any(m.locked for m in range_of(self, addr, old))
            and self.exceeds_memlock(self.round_up(new))
        ),
        "mremap.lock.account-moved",
        "mremap.resize",
        text="both places together would be locked over the limit",
    ),
    refuses(
        "mremap-charges-both-places",
        ReferenceProcess.mremap,
        ENOMEM,
        lambda self, addr, old, new, flags, to=0: (
            flags & MREMAP_MAYMOVE and 0 < new < self.task_size and self.exceeds_rlimit_as(self.round_up(new))
        ),
        "mremap.limit.move",
        "mremap.errno.ENOMEM",
        text="both places together would be over the limit of address space",
    ),
)

NEW_ADDRESS = (
    never("mremap-cuts-off-what-is-outside", "mremap.errno.EINVAL", reason="cut-range-outside"),
    other("mremap-to-no-size-is-EFAULT", EFAULT, "mremap.errno.EINVAL", reason=("new-size-too-large", "new-size-zero")),
    other("mremap-of-ranges-that-overlap-is-EFAULT", EFAULT, "mremap.errno.EINVAL.overlap", "mremap.resize"),
    other(
        "mremap-to-a-place-outside-is-ENOMEM",
        ENOMEM,
        "mremap.errno.EINVAL.new-address",
        "mremap.resize",
        reason="new-range-outside",
    ),
    refuses(
        "mremap-replaces-only",
        ReferenceProcess.mremap,
        ENOMEM,
        lambda self, addr, old, new, flags, to=0: (
            flags & MREMAP_FIXED and to % self.page == 0 and self.space.is_free(to, to + self.round_up(new))
        ),
        "mremap.fixed.replaces",
        "mremap.flags.fixed",
        "mremap.resize",
        text="nothing is mapped at the new address",
    ),
    refuses(
        "mremap-takes-no-hints",
        ReferenceProcess.mremap,
        EINVAL,
        lambda self, addr, old, new, flags, to=0: to and flags == MREMAP_DONTUNMAP | MREMAP_MAYMOVE,
        "mremap.dontunmap.hint",
        "mremap.resize",
        text="a new address is given with MREMAP_DONTUNMAP and without MREMAP_FIXED",
    ),
    refuses(
        "mremap-compares-bytes",
        ReferenceProcess.mremap,
        EINVAL,
        lambda self, addr, old, new, flags, to=0: flags & MREMAP_DONTUNMAP and old != new,
        "mremap.dontunmap.rounding",
        "mremap.flags.dontunmap",
        "mremap.resize",
        text="MREMAP_DONTUNMAP and sizes that differ by less than a page",
        bug="Linux before 6.17",
    ),
    refuses(
        "mremap-knows-no-less-than-a-page",
        ReferenceProcess.mremap,
        EINVAL,
        lambda self, addr, old, new, flags, to=0: new < self.page,
        "mremap.round-up",
        "mremap.resize",
        text="new_size is less than a page",
    ),
    never(
        "mremap-takes-an-unaligned-place",
        "mremap.errno.EINVAL.new-address",
        "mremap.resize",
        reason="new-addr-unaligned",
    ),
)


@wrong(Mremap, "mremap.errno.EINVAL.dontunmap", "mremap.flags.dontunmap", "mremap.resize")
def dontunmap_means_maymove(self: ReferenceProcess, mremap: Mremap) -> int:
    """MREMAP_DONTUNMAP implies MREMAP_MAYMOVE."""
    return mremap(flags=mremap.flags | (MREMAP_MAYMOVE if mremap.flags & MREMAP_DONTUNMAP else 0))


@wrong(Mremap, "mremap.errno.EINVAL.overlap", *LEFT)
def mremap_moves_over_itself(self: ReferenceProcess, mremap: Mremap) -> int:
    """A new range that overlaps the old one is placed elsewhere, without an error."""
    if (
        mremap.flags & MREMAP_FIXED
        and mremap.flags & MREMAP_MAYMOVE
        and mremap.addr < mremap.new_addr < mremap.addr + self.round_up(mremap.old_size)
    ):
        mremap.flags &= ~MREMAP_FIXED
        mremap.new_addr = 0
    return mremap()


@wrong(LinuxChoices.refusal, "mremap.errno.order")
def mremap_reports_the_last_error(
    refusal: Original, self: LinuxChoices, call: str, refusals: Sequence[Refusal]
) -> Refusal:
    """Of several applicable errors the last one is reported."""
    return refusals[-1] if call == "mremap" else refusals[0]


@wrong(LinuxChoices.refusal, "mremap.errno.order.unmapped", bug="Linux before 6.17")
def mremap_looks_for_the_mapping_first(
    refusal: Original, self: LinuxChoices, call: str, refusals: Sequence[Refusal]
) -> Refusal:
    """An unmapped range is reported although the new range is one that no mapping can have."""
    unmapped = [refusal for refusal in refusals if call == "mremap" and refusal.reason == "addr-unmapped"]
    is_early = refusals[0].reason in ("flags-unknown", "addr-unaligned", "new-size-zero")
    return unmapped[0] if unmapped and not is_early else refusals[0]


# ----------------------------------------------------------------------------------------------------------- DONTUNMAP


@wrong(Move, "mremap.dontunmap.file", "mmap.flag.private", *LEFT)
def dontunmap_leaves_copies_of_a_file(self: AddressSpace, move: Move) -> None:
    """The private copies of a file's pages are at both places."""
    kept = {number: page for number, page in entries(self, move.addr, move.old).items() if page.refcount}
    from_file = all(mapping.inode is not None for mapping in self.over(move.addr, move.addr + move.old))
    move()
    if move.keep and from_file:
        back(self, kept)


@wrong(Move, "mremap.dontunmap.shared", "mmap.flag.shared", *LEFT)
def dontunmap_unmaps_shared_pages(self: AddressSpace, move: Move) -> None:
    """Shared pages are at the new place only."""
    shared = any(mapping.shared for mapping in self.over(move.addr, move.addr + move.old))
    move(keep=move.keep and not shared)


@wrong(Move, "mremap.dontunmap.rights", "mmap.flag.private", *LEFT)
def dontunmap_leaves_no_rights(self: AddressSpace, move: Move) -> None:
    """The old range allows no access afterwards."""
    move()
    if move.keep:
        self.protect(move.addr, move.addr + move.old, PROT_NONE)


@wrong(Move, "mremap.dontunmap.rights", "mmap.flag.private", *LEFT)
def dontunmap_leaves_all_rights(self: AddressSpace, move: Move) -> None:
    """The old range can be read and written afterwards."""
    move()
    if move.keep:
        self.protect(move.addr, move.addr + move.old, PROT_READ | PROT_WRITE)


@wrong(Move, "mremap.dontunmap.part", "mmap.flag.private", *LEFT)
def dontunmap_empties_the_whole_mapping(self: AddressSpace, move: Move) -> None:
    """If a part of a mapping is moved, the rest loses its content."""
    whole = self.find(move.addr)
    move()
    if move.keep and whole is not None:
        self.table.zap(whole.start // self.page, whole.end // self.page)


@wrong(Move, "mremap.dontunmap.fork", "mmap.flag.private", *LEFT)
def dontunmap_leaves_what_a_child_has(self: AddressSpace, move: Move) -> None:
    """Pages that are shared with a child since the fork are at both places."""
    kept = {number: page for number, page in entries(self, move.addr, move.old).items() if page.refcount > 1}
    move()
    if move.keep:
        back(self, kept)


@wrong(Move, "mremap.dontunmap.lock", "msync.flag.invalidate", "msync.result")
def dontunmap_leaves_the_lock(self: AddressSpace, move: Move) -> None:
    """The old range stays locked."""
    locked = any(mapping.locked for mapping in self.over(move.addr, move.addr + move.old))
    move()
    if move.keep and locked:
        self.lock(move.addr, move.addr + move.old, True)


@wrong(Mremap, "mremap.dontunmap.hint", "mremap.flags.maymove", *LEFT)
def dontunmap_takes_a_hint_as_fixed(self: ReferenceProcess, mremap: Mremap) -> int:
    """With MREMAP_DONTUNMAP a new address is used and replaced, without MREMAP_FIXED."""
    if mremap.flags & MREMAP_DONTUNMAP and mremap.new_addr:
        mremap.flags |= MREMAP_FIXED
    return mremap()


# ---------------------------------------------------------------------------------------------------------- duplicates


@wrong(Move, "mremap.old-size-zero.offset", "mmap.flag.shared", *LEFT)
def a_duplicate_begins_where_the_mapping_does(self: AddressSpace, move: Move) -> None:
    """A duplicate shows the mapping from its beginning on, wherever in it addr is."""
    whole = self.find(move.addr)
    move(addr=whole.start if whole is not None and not move.old else move.addr)
    for mapping in self.over(move.place, move.place + move.new) if not move.old and whole is not None else ():
        self.remove(mapping)
        mapping.start, mapping.end, mapping.offset = (
            move.place,
            move.place + move.new,
            whole.offset if whole is not None else 0,
        )
        self.insert(mapping)


@wrong(Move, "mremap.old-size-zero.length", "mmap.flag.shared", *LEFT)
def a_duplicate_ends_where_the_mapping_does(self: AddressSpace, move: Move) -> None:
    """A duplicate has no more pages than the mapping has from addr on."""
    whole = self.find(move.addr)
    end = whole.end if whole is not None else move.addr
    move()
    if not move.old and move.new > end - move.addr:
        self.clear(move.place + end - move.addr, move.place + move.new)


@wrong(Mremap, "mremap.old-size-zero.length", "mremap.old-size-zero", *LEFT)
def a_duplicate_is_as_long_as_the_mapping(self: ReferenceProcess, mremap: Mremap) -> int:
    """A duplicate has as many pages as the mapping has from addr on, whatever was asked for."""
    whole = self.space.find(mremap.addr)
    if mremap.old_size == 0 and mremap.new_size and whole is not None:
        mremap.new_size = whole.end - mremap.addr
    return mremap()


@wrong(Move, "mremap.old-size-zero.offset", "mmap.flag.shared", *LEFT)
def a_duplicate_is_private(self: AddressSpace, move: Move) -> None:
    """Stores to a duplicate do not reach the pages of the original mapping."""
    move()
    for mapping in self.over(move.place, move.place + move.new) if not move.old else ():
        mapping.shared = False


@wrong(Move, "mremap.old-size-zero.rights", "mmap.flag.shared", *LEFT)
def a_duplicate_can_be_written(self: AddressSpace, move: Move) -> None:
    """A duplicate is readable and writable, and may have any protection."""
    move()
    for mapping in self.over(move.place, move.place + move.new) if not move.old else ():
        mapping.prot, mapping.max_prot = PROT_READ | PROT_WRITE, PROT_ALL


# --------------------------------------------------------------------------------------------- sizes, locks and limits


@wrong(Mremap, "mremap.round-up", *LEFT)
def mremap_rounds_down(self: ReferenceProcess, mremap: Mremap) -> int:
    """A new size that is not a multiple of the page is rounded down."""
    if self.page < mremap.new_size < self.task_size:
        mremap.new_size -= mremap.new_size % self.page
    return mremap()


@wrong(Mremap, "mremap.round-up", *LEFT)
def mremap_rounds_the_old_size_down(self: ReferenceProcess, mremap: Mremap) -> int:
    """An old size that is not a multiple of the page is rounded down."""
    if self.page < mremap.old_size < self.task_size:
        mremap.old_size -= mremap.old_size % self.page
    return mremap()


@wrong(Mremap, "mremap.flags.maymove", *LEFT)
def mremap_moves_whenever_it_may(self: ReferenceProcess, mremap: Mremap) -> int:
    """With MREMAP_MAYMOVE a mapping is moved also where it need not be."""
    place = mremap()
    size = self.round_up(mremap.new_size)
    target = self.space.gaps.highest(size)
    if mremap.flags == MREMAP_MAYMOVE and mremap.old_size and place == mremap.addr and target is not None:
        self.space.move(mremap.addr, size, target, size, False)
        return target
    return place


@wrong(Mremap, "mremap.resize", "mremap.flags.maymove", "mmap.range", "munmap.range")
def the_same_size_is_a_page_less(self: ReferenceProcess, mremap: Mremap) -> int:
    """If the size is unchanged, the last page is unmapped."""
    place = mremap()
    size = self.round_up(mremap.new_size)
    if size == self.round_up(mremap.old_size):
        self.space.clear(place + size - self.page, place + size)
    return place


@wrong(Mremap, "mremap.resize", "file.truncate", "mmap.range", bug="CPython #110243 (reading)")
def shrinking_cuts_the_file(self: ReferenceProcess, mremap: Mremap) -> int:
    """A file ends where its shrunk mapping does."""
    place = mremap()
    mapping = self.space.find(place)
    if mremap.new_size < mremap.old_size and mapping is not None and mapping.inode is not None:
        mapping.inode.size = min(mapping.inode.size, mapping.offset + mapping.end - mapping.start)
    return place


@wrong(Mremap, "mremap.shrink.part", *LEFT)
def shrinking_cuts_to_the_end_of_the_mapping(self: ReferenceProcess, mremap: Mremap) -> int:
    """The rest of the mapping after the old range is unmapped as well."""
    whole = self.space.find(mremap.addr)
    end = whole.end if whole is not None else 0
    place = mremap()
    if self.round_up(mremap.new_size) < self.round_up(mremap.old_size) and place == mremap.addr:
        self.space.clear(
            mremap.addr + self.round_up(mremap.new_size), max(end, mremap.addr + self.round_up(mremap.old_size))
        )
    return place


def resized(self: ReferenceProcess, mremap: Mremap) -> tuple[int, int, int]:
    """Make the call and return (address, start, end) of the added memory, (address, 0, 0) if there is none."""
    old, new = self.round_up(mremap.old_size), self.round_up(mremap.new_size)
    place = mremap()
    return (place, place + old, place + new) if 0 < old < new else (place, 0, 0)


@wrong(Mremap, "mremap.lock.grown", "msync.flag.invalidate.busy", "mremap.resize")
def growth_is_not_locked(self: ReferenceProcess, mremap: Mremap) -> int:
    """The pages by which a locked mapping grows are not locked."""
    place, start, end = resized(self, mremap)
    self.space.lock(start, end, False)
    return place


@wrong(Mremap, "mremap.lock.resident", "mlock.resident", "mremap.resize")
def growth_is_not_brought_in(self: ReferenceProcess, mremap: Mremap) -> int:
    """The pages by which a locked mapping grows become resident on the first access only."""
    place, start, end = resized(self, mremap)
    self.space.table.zap(start // self.page, end // self.page)
    return place


@wrong(Mremap, "mremap.lock.resident", "mremap.resize")
def all_growth_is_brought_in(self: ReferenceProcess, mremap: Mremap) -> int:
    """The pages by which a mapping grows are resident immediately, locked or not."""
    place, start, end = resized(self, mremap)
    self.space.populate(start, end)
    return place


@wrong(Mremap, "mremap.lock.account", "mremap.errno.EAGAIN", "mlock.errno.ENOMEM")
def what_is_cut_off_counts_as_locked(self: ReferenceProcess, mremap: Mremap) -> int:
    """Locked pages that are cut off still count as locked."""
    locked = self.space.locked
    place = mremap()
    self.space.locked = max(locked, self.space.locked)
    return place


@wrong(Mremap, "mremap.limit.account", "mremap.errno.ENOMEM", "mmap.errno.ENOMEM")
def what_is_cut_off_counts_as_mapped(self: ReferenceProcess, mremap: Mremap) -> int:
    """Pages that are cut off or replaced still count against the limit of address space."""
    size = self.space.size
    place = mremap()
    self.space.size = max(size, self.space.size)
    return place
