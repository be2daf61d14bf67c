"""Mutants of mprotect: the resulting protection of each page, content and locks, errors."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from errno import EACCES, EINVAL, ENOMEM

from ..address_space import AddressSpace
from ..constants import PROT_ALL, PROT_EXEC, PROT_GROWSDOWN, PROT_NONE, PROT_READ, PROT_WRITE
from ..files import OpenFileDescription
from ..linux_choices import LinuxChoices
from ..mapping import Mapping
from ..mapping_calls import MappingCalls
from ..mutant import Original, never, other, refuses, wrong
from ..process import ReferenceProcess
from ..refusal import Refusal

REFUSALS = (
    refuses(
        "mprotect-refuses-length-0",
        ReferenceProcess.mprotect,
        EINVAL,
        lambda self, addr, length, prot: length == 0,
        "mprotect.length-zero",
        "mprotect.rights",
        text="the length is 0",
    ),
    refuses(
        "mprotect-of-nothing-must-be-mapped",
        ReferenceProcess.mprotect,
        ENOMEM,
        lambda self, addr, length, prot: length == 0 and self.space.find(addr) is None,
        "mprotect.length-zero",
        "mprotect.rights",
        text="the length is 0 and nothing is mapped at addr",
    ),
    never("mprotect-knows-no-limit-of-mappings", "mprotect.errno.ENOMEM", reason="cut-mapping-limit"),
    never("mprotect-knows-no-limit-of-data", "mprotect.errno.ENOMEM.data", bug="gVisor (RLIMIT_DATA)"),
    refuses(
        "mprotect-counts-all-memory-as-data",
        ReferenceProcess.mprotect,
        ENOMEM,
        lambda self, addr, length, prot: (
            prot & PROT_WRITE and self.data_limit is not None and length > self.data_limit - self.space.data()
        ),
        "mprotect.errno.ENOMEM.data",
        text="memory of any kind past the limit of data",
    ),
    never("mprotect-takes-a-length-that-wraps-for-0", "mprotect.length-wraps", bug="phoenix-rtos #1759"),
    never("mprotect-takes-unknown-bits", "mprotect.errno.EINVAL.prot"),
    never("mprotect-lets-pages-grow-both-ways", "mprotect.errno.EINVAL.grows"),
    other("mprotect-both-ways-is-ENOMEM", ENOMEM, "mprotect.errno.EINVAL.grows"),
    refuses(
        "mprotect-looks-for-holes-first",
        ReferenceProcess.mprotect,
        ENOMEM,
        lambda self, addr, length, prot: (
            0 < length < self.task_size
            and self.space.hole(addr - addr % self.page, addr + self.round_up(length)) is not None
        ),
        "mprotect.errno.order",
        "mprotect.errno.EINVAL.prot",
        text="some of the range is not mapped, whatever other errors apply",
    ),
    refuses(
        "mprotect-looks-at-the-file-first",
        ReferenceProcess.mprotect,
        EACCES,
        lambda self, addr, length, prot: any(
            prot & PROT_ALL & ~m.max_prot for m in self.space.over(addr, addr + self.round_up(length))
        ),
        "mprotect.errno.order",
        "mprotect.errno.EINVAL.prot",
        text="a mapping of the range cannot have the rights, whatever other errors apply",
    ),
    refuses(
        "mprotect-knows-nothing-that-grows",
        ReferenceProcess.mprotect,
        EINVAL,
        lambda self, addr, length, prot: prot & PROT_GROWSDOWN,
        "mprotect.growsdown",
        "mprotect.rights",
        text="PROT_GROWSDOWN is given",
    ),
    never("mprotect-lets-any-mapping-grow", "mprotect.errno.EINVAL.grows-not"),
    refuses(
        "mprotect-never-makes-a-read-only-file-writable",
        ReferenceProcess.mprotect,
        EACCES,
        lambda self, addr, length, prot: (
            prot & PROT_WRITE
            and any(
                m.description is not None and not m.shared and not m.description.writable
                for m in self.space.over(addr, addr + self.round_up(length))
            )
        ),
        "mprotect.private",
        "mprotect.rights",
        text="a private mapping of a descriptor that is not open for writing",
    ),
    refuses(
        "mprotect-never-gives-a-shared-file-more-rights",
        ReferenceProcess.mprotect,
        EACCES,
        lambda self, addr, length, prot: (
            prot & PROT_WRITE
            and any(
                m.inode is not None and m.shared and not m.prot & PROT_WRITE
                for m in self.space.over(addr, addr + self.round_up(length))
            )
        ),
        "mprotect.shared",
        "mprotect.rights",
        text="a shared mapping that was not writable before",
    ),
)


# ---------------------------------------------------------------------------------------------------------- the rights


@wrong(AddressSpace.protect, "mprotect.none", "mprotect.rights", bug="Asterinas #1203")
def none_is_read(protect: Original, self: AddressSpace, start: int, end: int, prot: int) -> None:
    """Pages with PROT_NONE are still readable."""
    protect(self, start, end, prot or PROT_READ)


@wrong(AddressSpace.protect, "mprotect.none", "mprotect.rights")
def none_is_write(protect: Original, self: AddressSpace, start: int, end: int, prot: int) -> None:
    """Pages with PROT_NONE are still writable."""
    protect(self, start, end, prot or PROT_WRITE)


@wrong(AddressSpace.protect, "mprotect.read", "mprotect.rights", "mmap.flag.private")
def read_is_read_and_write(protect: Original, self: AddressSpace, start: int, end: int, prot: int) -> None:
    """Readable pages are writable as well."""
    protect(self, start, end, prot | PROT_WRITE if prot == PROT_READ else prot)


@wrong(AddressSpace.protect, "mprotect.read", "mprotect.rights")
def none_is_for_ever(protect: Original, self: AddressSpace, start: int, end: int, prot: int) -> None:
    """Pages that had PROT_NONE do not become readable by PROT_READ alone."""
    first = self.find(start)
    protect(self, start, end, PROT_NONE if prot == PROT_READ and first and not first.prot else prot)


@wrong(AddressSpace.protect, "mprotect.write", "mprotect.rights")
def no_right_to_write_is_given(protect: Original, self: AddressSpace, start: int, end: int, prot: int) -> None:
    """Writable pages stay writable, and other pages do not become writable."""
    first = self.find(start)
    had = first.prot & PROT_WRITE if first is not None else 0
    protect(self, start, end, prot & ~(PROT_WRITE & ~had))


@wrong(
    AddressSpace.protect, "mprotect.exec", "mprotect.rights", "mmap.range", "mmap.flag.private", bug="StarryOS #1464"
)
def no_right_to_execute_is_given(protect: Original, self: AddressSpace, start: int, end: int, prot: int) -> None:
    """PROT_EXEC is ignored."""
    protect(self, start, end, prot & ~PROT_EXEC)


@wrong(AddressSpace.protect, "mprotect.exec", "mprotect.rights", "mmap.range", "mmap.flag.private")
def the_right_to_execute_stays(protect: Original, self: AddressSpace, start: int, end: int, prot: int) -> None:
    """A page that was executable stays executable."""
    first = self.find(start)
    protect(self, start, end, prot | (first.prot & PROT_EXEC if first is not None else 0))


@wrong(AddressSpace.protect, "mprotect.at-once", "mprotect.rights", bug="OSv bc6cd07a")
def touched_pages_keep_their_rights(protect: Original, self: AddressSpace, start: int, end: int, prot: int) -> None:
    """Pages that have been accessed keep their protection: the TLB is not flushed."""
    kept = {}
    for number in self.table.within(start // self.page, end // self.page):
        mapping = self.find(number * self.page)
        if mapping is not None:
            kept[number] = mapping.prot
    protect(self, start, end, prot)
    for number, had in kept.items():
        protect(self, number * self.page, (number + 1) * self.page, had)


# ----------------------------------------------------------------------------------------------------------- the range


@wrong(AddressSpace.protect, "mprotect.part", "mprotect.rights", bug="SerenityOS #965, libcx #74")
def whole_mappings_have_the_rights(protect: Original, self: AddressSpace, start: int, end: int, prot: int) -> None:
    """Each mapping that the range overlaps has the new protection as a whole."""
    over = self.over(start, end)
    protect(self, min([start, *(m.start for m in over)]), max([end, *(m.end for m in over)]), prot)


@wrong(AddressSpace.protect, "mprotect.part", "mprotect.rights", bug="nanos #1231")
def the_rest_of_the_mapping_has_the_rights(
    protect: Original, self: AddressSpace, start: int, end: int, prot: int
) -> None:
    """The rest of the last mapping, after the range, has the new protection as well."""
    over = self.over(start, end)
    protect(self, start, max([end, *(m.end for m in over)]), prot)


@wrong(AddressSpace.protect, "mprotect.part", "mprotect.rights")
def what_lies_before_has_the_rights(protect: Original, self: AddressSpace, start: int, end: int, prot: int) -> None:
    """The page before the range has the new protection as well."""
    protect(self, max(start - self.page, 0), end, prot)


@wrong(ReferenceProcess.mprotect, "mprotect.round-up", "mprotect.rights")
def mprotect_always_adds_a_page(mprotect: Original, self: ReferenceProcess, addr: int, length: int, prot: int) -> None:
    """A length that is a multiple of the page size is rounded up to the next one."""
    mprotect(self, addr, length + (self.page if length and length % self.page == 0 else 0), prot)


@wrong(ReferenceProcess.mprotect, "mprotect.round-up", "mprotect.rights")
def mprotect_rounds_down(mprotect: Original, self: ReferenceProcess, addr: int, length: int, prot: int) -> None:
    """A length that is not a multiple of the page size is rounded down."""
    mprotect(self, addr, length - length % self.page if length > self.page else length, prot)


@wrong(ReferenceProcess.mprotect, "mprotect.round-up", "mprotect.rights")
def mprotect_of_less_than_a_page_does_nothing(
    mprotect: Original, self: ReferenceProcess, addr: int, length: int, prot: int
) -> None:
    """A length of less than a page has no effect."""
    mprotect(self, addr, length if length >= self.page else 0, prot)


@wrong(AddressSpace.protect, "mprotect.several", "mprotect.rights")
def only_the_first_mapping_has_the_rights(
    protect: Original, self: AddressSpace, start: int, end: int, prot: int
) -> None:
    """The mappings after the first one keep their protection."""
    first = self.find(start)
    protect(self, start, min(end, first.end) if first is not None else end, prot)


@wrong(
    ReferenceProcess.mprotect,
    "mprotect.process",
    "mprotect.rights",
    "mmap.range",
    "mmap.flag.private",
    bug="Asterinas #959 (reading)",
)
def every_process_has_the_rights(mprotect: Original, self: ReferenceProcess, addr: int, length: int, prot: int) -> None:
    """The pages of other processes at the same addresses have the new protection as well."""
    mprotect(self, addr, length, prot)
    for process in self.machine.processes:
        process.space.protect(addr, addr + self.round_up(length), prot & PROT_ALL)


@wrong(AddressSpace.protect, "mprotect.mapping", "mprotect.rights")
def every_mapping_of_the_file_has_the_rights(
    protect: Original, self: AddressSpace, start: int, end: int, prot: int
) -> None:
    """All mappings of the same file in the process have the new protection."""
    inodes = {mapping.inode for mapping in self.over(start, end)} - {None}
    protect(self, start, end, prot)
    for mapping in list(self.mappings.values()):
        if mapping.inode in inodes:
            mapping.prot = prot & mapping.max_prot


@wrong(ReferenceProcess.mprotect, "mprotect.growsdown", "mprotect.rights")
def what_grows_is_like_any_other(mprotect: Original, self: ReferenceProcess, addr: int, length: int, prot: int) -> None:
    """PROT_GROWSDOWN has no effect on a mapping that grows downwards."""
    first = self.space.find(addr)
    mprotect(self, addr, length, prot & ~PROT_GROWSDOWN if first is not None and first.grows_down else prot)


# ---------------------------------------------------------------------------------------------------------- what stays


@wrong(AddressSpace.protect, "mprotect.content", "mprotect.rights", "mmap.range", "mmap.flag.private")
def without_rights_pages_are_freed(protect: Original, self: AddressSpace, start: int, end: int, prot: int) -> None:
    """Private pages lose their content when PROT_NONE is set."""
    protect(self, start, end, prot)
    if prot == PROT_NONE:
        self.table.zap(start // self.page, end // self.page)


@wrong(AddressSpace.protect, "mprotect.content", "mprotect.rights", "mmap.flag.private", "mmap.range")
def read_only_memory_is_fresh(protect: Original, self: AddressSpace, start: int, end: int, prot: int) -> None:
    """Private memory loses its content when PROT_WRITE is removed."""
    protect(self, start, end, prot)
    if not prot & PROT_WRITE:
        for mapping in self.over(start, end):
            if mapping.inode is None:
                self.table.zap(mapping.start // self.page, mapping.end // self.page)


@wrong(AddressSpace.protect, "mprotect.content", "mprotect.rights", "mmap.flag.private")
def read_only_pages_are_the_files(protect: Original, self: AddressSpace, start: int, end: int, prot: int) -> None:
    """Private copies are dropped when PROT_WRITE is removed."""
    protect(self, start, end, prot)
    if not prot & PROT_WRITE:
        for mapping in self.over(start, end):
            if mapping.inode is not None:
                self.table.zap(mapping.start // self.page, mapping.end // self.page)


@wrong(AddressSpace.protect, "mprotect.content", "mprotect.rights", "mmap.flag.shared")
def stores_are_lost_with_the_right_to_write(
    protect: Original, self: AddressSpace, start: int, end: int, prot: int
) -> None:
    """Stores to a shared mapping that are not synchronised are lost when PROT_WRITE is removed."""
    protect(self, start, end, prot)
    if not prot & PROT_WRITE:
        for mapping in self.over(start, end):
            if mapping.inode is not None and mapping.shared:
                for number in self.table.within(mapping.start // self.page, mapping.end // self.page):
                    if self.table.entries.pop(number).dirty:
                        mapping.inode.cache.pages.pop(mapping.file_page(number), None)


@wrong(ReferenceProcess.mprotect, "mprotect.offset", "mprotect.rights", "mmap.range", bug="usercorn #287 (reading)")
def mprotect_starts_the_second_part_anew(
    mprotect: Original, self: ReferenceProcess, addr: int, length: int, prot: int
) -> None:
    """When a mapping is split, the part after the range has the file offset of the part before it."""
    mprotect(self, addr, length, prot)
    stop = self.space.find(addr + self.round_up(length))
    before = self.space.find(addr)
    if before is not None and stop is not None and stop.start == before.end and stop.inode is before.inode:
        stop.offset = before.offset


@wrong(
    Mapping.is_contiguous_with, "mprotect.join", "mprotect.rights", "mmap.range", bug="Asterinas c7b633e9b (reading)"
)
def neighbours_are_joined_whatever_they_show(continues: Original, self: Mapping, left: Mapping) -> bool:
    """Adjacent mappings of the same file are merged, whatever their offsets."""
    return self.is_like(left)


@wrong(AddressSpace.absorb, "mprotect.join", "mprotect.rights", "mmap.range")
def what_is_joined_begins_where_its_second_part_did(
    append: Original, self: AddressSpace, left: Mapping, right: Mapping
) -> None:
    """A merged mapping has the file offset of the second one."""
    offset = right.offset
    append(self, left, right)
    left.offset = offset


@wrong(Mapping.is_like, "mprotect.join", "mprotect.rights", "mmap.range")
def neighbours_of_unlike_files_are_joined(is_like: Original, self: Mapping, left: Mapping) -> bool:
    """Adjacent private mappings with the same protection are merged, whatever their files."""
    alike = left.end == self.start and left.prot == self.prot and left.locked == self.locked
    return bool(is_like(self, left)) or (alike and not left.shared and not self.shared)


@wrong(AddressSpace.protect, "mprotect.lock", "mprotect.rights", "msync.flag.invalidate.busy")
def mprotect_takes_the_lock_away(protect: Original, self: AddressSpace, start: int, end: int, prot: int) -> None:
    """A new protection unlocks the pages."""
    protect(self, start, end, prot)
    self.lock(start, end, False)


@wrong(AddressSpace.protect, "mprotect.lock.copies", "mprotect.rights", "mmap.range", "mmap.flag.private")
def locked_pages_are_copied_when_stored_to(
    protect: Original, self: AddressSpace, start: int, end: int, prot: int
) -> None:
    """Locked private pages that become writable are copied at the first store only."""
    for mapping in self.cut_out(start, end):
        mapping.prot = prot
    self.merge_adjacent(start, end)


# ------------------------------------------------------------------------------------------ what the mapped file allows


@wrong(AddressSpace.protect, "mprotect.private.copy", "mprotect.rights", "mmap.range", "overview.one-to-one")
def writable_is_shared(protect: Original, self: AddressSpace, start: int, end: int, prot: int) -> None:
    """A private mapping of a file that becomes writable is shared from then on."""
    for mapping in self.cut_out(start, end):
        if mapping.inode is not None and prot & PROT_WRITE and not mapping.prot & PROT_WRITE:
            mapping.shared = True
    protect(self, start, end, prot)


@wrong(AddressSpace.protect, "mprotect.shared", "mprotect.rights", "mmap.flag.shared", "mmap.range")
def writable_is_private(protect: Original, self: AddressSpace, start: int, end: int, prot: int) -> None:
    """A shared mapping of a file that becomes writable is private from then on."""
    for mapping in self.cut_out(start, end):
        if mapping.inode is not None and prot & PROT_WRITE and not mapping.prot & PROT_WRITE:
            mapping.shared = False
    protect(self, start, end, prot)


@wrong(ReferenceProcess.mprotect, "mprotect.maximum", "mprotect.errno.EACCES", bug="gVisor #147")
def any_descriptor_gives_the_right(
    mprotect: Original, self: ReferenceProcess, addr: int, length: int, prot: int
) -> None:
    """A shared mapping may become writable if the process has any writable descriptor of the file."""
    writable = {d.description.inode for d in self.descriptors.values() if d.description.writable}
    for mapping in self.space.over(addr, addr + self.round_up(length)):
        if mapping.inode in writable:
            mapping.max_prot |= PROT_WRITE
    mprotect(self, addr, length, prot)


@wrong(Mapping.part, "mprotect.maximum", "mprotect.errno.EACCES", "mprotect.maximum.fork", "mremap.move.maximum")
def a_part_may_have_all_rights(part: Original, self: Mapping, start: int, end: int, space: AddressSpace) -> Mapping:
    """A part of a mapping may have any protection, whatever the maximum of the whole."""
    made: Mapping = part(self, start, end, space)
    made.max_prot |= PROT_WRITE
    return made


@wrong(AddressSpace.split, "mprotect.maximum", "mprotect.errno.EACCES")
def the_first_part_may_have_all_rights(split: Original, self: AddressSpace, addr: int) -> None:
    """When a mapping is split, the first part may have any protection."""
    first = self.find(addr)
    split(self, addr)
    if first is not None and first.end == addr:
        first.max_prot |= PROT_WRITE


@wrong(AddressSpace.fork, "mprotect.maximum.fork", "mprotect.errno.EACCES")
def a_child_may_have_all_rights(fork: Original, self: AddressSpace) -> AddressSpace:
    """A child's mappings may have any protection."""
    child: AddressSpace = fork(self)
    for mapping in child.mappings.values():
        mapping.max_prot |= PROT_WRITE
    return child


@wrong(MappingCalls.max_protection, "mprotect.maximum.seal", "mprotect.errno.EACCES", bug="gVisor d9188f9aa (reading)")
def mprotect_knows_no_seals(
    max_protection: Original, self: ReferenceProcess, description: OpenFileDescription, shared: bool
) -> int:
    """A mapping of a file that is sealed against writes can become writable."""
    most: int = max_protection(self, description, shared)
    return most | PROT_WRITE if description.inode.seals and description.writable else most


@wrong(
    MappingCalls.max_protection, "mprotect.maximum.noexec", "mprotect.errno.EACCES", bug="gVisor 191b53da2 (reading)"
)
def mprotect_knows_no_noexec(
    max_protection: Original, self: ReferenceProcess, description: OpenFileDescription, shared: bool
) -> int:
    """A mapping of a file on a noexec file system can become executable."""
    most: int = max_protection(self, description, shared)
    return most | PROT_EXEC


# ----------------------------------------------------------------------------------------------------- what is refused


@wrong(
    LinuxChoices.applies_prefix,
    "mprotect.errno.ENOMEM.prefix",
    "mprotect.errno.EACCES.prefix",
    "mmap.range",
    bug="StarryOS (reading)",
)
def mprotect_does_all_or_nothing(applies_prefix: Original, self: LinuxChoices, call: str) -> bool:
    """If one mapping denies the protection, no part of the range is changed."""
    return call != "mprotect" and bool(applies_prefix(self, call))


@wrong(ReferenceProcess.mprotect, "mprotect.errno.ENOMEM.prefix", "mmap.range", bug="StarryOS #918")
def mprotect_goes_on_after_a_hole(
    mprotect: Original, self: ReferenceProcess, addr: int, length: int, prot: int
) -> None:
    """The mappings after a hole have the new protection as well, although the call fails with ENOMEM."""
    goes_on(mprotect, self, addr, length, prot, ENOMEM)


@wrong(ReferenceProcess.mprotect, "mprotect.errno.EACCES.prefix", "mmap.range")
def mprotect_goes_on_after_a_refused_mapping(
    mprotect: Original, self: ReferenceProcess, addr: int, length: int, prot: int
) -> None:
    """The mappings after one that denies the protection have it as well, although the call fails with EACCES."""
    goes_on(mprotect, self, addr, length, prot, EACCES)


def goes_on(mprotect: Original, self: ReferenceProcess, addr: int, length: int, prot: int, errno: int) -> None:
    try:
        mprotect(self, addr, length, prot)
    except OSError as error:
        if error.errno == errno:
            for mapping in self.space.over(addr, addr + self.round_up(length)):
                with suppress(OSError):
                    end = min(mapping.end, addr + self.round_up(length))
                    mprotect(self, max(mapping.start, addr), end - max(mapping.start, addr), prot)
        raise


@wrong(LinuxChoices.refusal, "mprotect.errno.order")
def mprotect_reports_the_last_error(
    refusal: Original, self: LinuxChoices, call: str, refusals: Sequence[Refusal]
) -> Refusal:
    """Of several applicable errors the last one is reported."""
    return refusals[-1] if call == "mprotect" else refusals[0]


@wrong(ReferenceProcess.mprotect, "mprotect.errno.order", "mprotect.errno.EINVAL")
def mprotect_of_length_0_always_succeeds(
    mprotect: Original, self: ReferenceProcess, addr: int, length: int, prot: int
) -> None:
    """A length of 0 succeeds, whatever other errors apply."""
    if length:
        mprotect(self, addr, length, prot)
