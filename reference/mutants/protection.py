"""Mutants of mprotect, of locked memory, and of mincore."""

from __future__ import annotations

from errno import EACCES, EAGAIN, EFAULT, EINVAL, ENOMEM, EPERM

from ..address_space import AddressSpace
from ..constants import PROT_ALL, PROT_WRITE
from ..mutant import Original, never, other, refuses, wrong
from ..process import ReferenceProcess
from .contents import CONTENT

REFUSALS = (
    never("mprotect-takes-an-unaligned-address", "mprotect.errno.EINVAL", reason="addr-unaligned", bug="StarryOS #285"),
    other("mprotect-says-ENOMEM-for-an-unaligned-address", ENOMEM, "mprotect.errno.EINVAL", reason="addr-unaligned"),
    never("mprotect-skips-holes", "mprotect.errno.ENOMEM", reason="range-unmapped", bug="StarryOS #918"),
    other("mprotect-says-EACCES-for-a-hole", EACCES, "mprotect.errno.ENOMEM", reason="range-unmapped"),
    other("mprotect-says-EINVAL-for-a-range-that-wraps", EINVAL, "mprotect.errno.ENOMEM", reason="range-wraps"),
    never("mprotect-ignores-the-descriptor", "mprotect.errno.EACCES"),
    other("mprotect-says-EPERM-for-EACCES", EPERM, "mprotect.errno.EACCES"),
    never("mlock-skips-holes", "mlock.errno.ENOMEM", reason="range-unmapped", call="mlock"),
    other("mlock-says-EFAULT-for-a-hole", EFAULT, "mlock.errno.ENOMEM", reason="range-unmapped", call="mlock"),
    other("munlock-says-EINVAL-for-a-hole", EINVAL, "munlock.errno.ENOMEM", reason="range-unmapped"),
    never("mlock-has-no-limit", "mlock.errno.ENOMEM", reason="locked-limit", call="mlock"),
    other(
        "mlock-says-EAGAIN-for-too-much",
        EAGAIN,
        "munlock.limit",
        named="mlock.errno.ENOMEM",
        reason="locked-limit",
        call="mlock",
    ),
    never("mlockall-has-no-limit", "mlock.errno.ENOMEM", reason="locked-limit", call="mlockall"),
    never("mlock-is-for-everybody", "mlock.errno.EPERM", "mlock.errno.ENOMEM"),
    other("mlock-says-ENOMEM-for-EPERM", ENOMEM, "mlock.errno.EPERM"),
    other("mlock-says-EFAULT-for-a-range-that-wraps", EFAULT, "mlock.errno.EINVAL", reason="range-wraps"),
    other("mincore-says-EFAULT-for-a-hole", EFAULT, "mincore.errno.ENOMEM"),
    never("mincore-skips-holes", "mincore.errno.ENOMEM"),
    refuses(
        "mprotect-refuses-several-mappings",
        ReferenceProcess.mprotect,
        ENOMEM,
        lambda self, addr, length, prot: len(self.space.over(addr, addr + self.round_up(length))) > 1,
        "mprotect.rights",
        "mprotect.errno.ENOMEM",
        "mprotect.errno.EACCES",
        text="the range holds mappings with different rights",
    ),
    refuses(
        "mprotect-refuses-write-for-a-private-read-only-file",
        ReferenceProcess.mprotect,
        EACCES,
        lambda self, addr, length, prot: any(
            m.description is not None and not m.description.writable and prot & PROT_WRITE
            for m in self.space.over(addr, addr + self.round_up(length))
        ),
        "mprotect.rights",
        "mprotect.errno.EACCES",
        "mprotect.errno.ENOMEM",
        text="fd was open for reading only, whatever the type",
    ),
)


@wrong(AddressSpace.protect, "mprotect.rights", *CONTENT)
def mprotect_does_nothing(protect: Original, self: AddressSpace, start: int, end: int, prot: int) -> None:
    """The protection is not changed."""


@wrong(AddressSpace.protect, "mprotect.rights", *CONTENT, bug="SerenityOS #965, libcx #74")
def mprotect_is_about_whole_mappings(protect: Original, self: AddressSpace, start: int, end: int, prot: int) -> None:
    """Each mapping that the range overlaps has the new protection as a whole."""
    mappings = self.over(start, end)
    if mappings:
        start, end = min(start, mappings[0].start), max(end, mappings[-1].end)
    protect(self, start, end, prot)


@wrong(AddressSpace.protect, "mprotect.rights", *CONTENT, bug="nanos #1231")
def mprotect_changes_the_tail_too(protect: Original, self: AddressSpace, start: int, end: int, prot: int) -> None:
    """The rest of the mapping after the range has the new protection as well."""
    mappings = self.over(start, end)
    protect(self, start, max(end, mappings[-1].end) if mappings else end, prot)


@wrong(AddressSpace.protect, "mprotect.rights", *CONTENT, bug="Asterinas c7b633e9b")
def mprotect_changes_the_first_mapping_only(
    protect: Original, self: AddressSpace, start: int, end: int, prot: int
) -> None:
    """Of several mappings in the range only the first one has the new protection."""
    mappings = self.over(start, end)
    protect(self, start, min(end, mappings[0].end) if mappings else end, prot)


@wrong(AddressSpace.protect, "mprotect.rights", *CONTENT)
def mprotect_none_drops_the_content(protect: Original, self: AddressSpace, start: int, end: int, prot: int) -> None:
    """PROT_NONE drops private pages."""
    protect(self, start, end, prot)
    if not prot:
        self.table.zap(start // self.page, end // self.page)


@wrong(ReferenceProcess.mprotect, "mprotect.rights", *CONTENT, bug="Asterinas")
def mprotect_changes_the_childs_rights(
    mprotect: Original, self: ReferenceProcess, addr: int, length: int, prot: int
) -> None:
    """A new protection applies to parent and child."""
    mprotect(self, addr, length, prot)
    for process in self.machine.processes:
        process.space.protect(addr, addr + self.round_up(length), prot & PROT_ALL)


@wrong(AddressSpace.protect, "mprotect.part", "mprotect.rights", *CONTENT, bug="blink 37cd5bc")
def rights_change_in_units_of_two_pages(protect: Original, self: AddressSpace, start: int, end: int, prot: int) -> None:
    """The page before a range that begins at an odd page has the new protection as well."""
    protect(self, start - start % (2 * self.page), end, prot)
