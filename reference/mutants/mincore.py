"""Mutants of mincore."""

from __future__ import annotations

from errno import EINVAL, ENOMEM

from ...contract import MADV_DONTNEED
from ..constants import MAP_FIXED, PROT_WRITE
from ..mutant import Original, never, refuses, wrong
from ..process import ReferenceProcess
from .calls import Mmap

REFUSALS = (
    never("mincore-takes-an-unaligned-address", "mincore.errno.EINVAL"),
    never("mincore-ignores-holes", "mincore.errno.ENOMEM"),
    refuses(
        "mincore-of-no-length-is-refused",
        ReferenceProcess.mincore,
        EINVAL,
        lambda self, addr, length: length == 0,
        "mincore.length-zero",
        text="the length is 0",
        bug="NetBSD",
    ),
    refuses(
        "mincore-needs-rights",
        ReferenceProcess.mincore,
        ENOMEM,
        lambda self, addr, length: any(not m.prot & PROT_WRITE for m in self.space.over(addr, addr + length)),
        "mincore.rights",
        text="some of the range cannot be stored to",
    ),
    refuses(
        "mincore-outside-is-EINVAL",
        ReferenceProcess.mincore,
        EINVAL,
        lambda self, addr, length: addr >= self.task_size,
        "mincore.errno.ENOMEM.outside",
        text="the range is outside the address space",
    ),
)


@wrong(ReferenceProcess.mincore, "mincore.errno.ENOMEM.outside")
def mincore_of_no_length_looks_nowhere(mincore: Original, self: ReferenceProcess, addr: int, length: int) -> list[bool]:
    """With a length of 0 an address outside is fine."""
    result: list[bool] = mincore(self, addr, length) if length or addr % self.page else []
    return result


@wrong(ReferenceProcess.mincore, "mincore.vector")
def mincore_reports_the_last_page_first(
    mincore: Original, self: ReferenceProcess, addr: int, length: int
) -> list[bool]:
    """The order is the wrong way round."""
    result: list[bool] = mincore(self, addr, length)
    return result[::-1]


@wrong(ReferenceProcess.mincore, "mincore.vector")
def mincore_reports_all_or_nothing(mincore: Original, self: ReferenceProcess, addr: int, length: int) -> list[bool]:
    """If one page is resident, all are reported as resident."""
    result: list[bool] = mincore(self, addr, length)
    return [any(result)] * len(result)


@wrong(ReferenceProcess.mincore, "mincore.across-mappings")
def mincore_knows_the_first_mapping(mincore: Original, self: ReferenceProcess, addr: int, length: int) -> list[bool]:
    """No page of the mappings after the first is reported as resident."""
    result: list[bool] = mincore(self, addr, length)
    mapping = self.space.find(addr)
    known = len(result) if mapping is None else (mapping.end - addr) // self.page
    return result[:known] + [False] * (len(result) - known)


@wrong(ReferenceProcess.mincore, "mincore.rounding")
def mincore_rounds_down(mincore: Original, self: ReferenceProcess, addr: int, length: int) -> list[bool]:
    """A last page that the range covers only in part is not reported."""
    result: list[bool] = mincore(self, addr, length - length % self.page)
    return result


@wrong(ReferenceProcess.mincore, "mincore.passive")
def mincore_touches(mincore: Original, self: ReferenceProcess, addr: int, length: int) -> list[bool]:
    """mincore makes the pages that it checks resident."""
    result: list[bool] = mincore(self, addr, length)
    self.space.populate(addr, addr + self.round_up(length))
    return result


@wrong(ReferenceProcess.madvise, "mincore.gone")
def dropped_pages_are_resident(madvise: Original, self: ReferenceProcess, addr: int, length: int, advice: int) -> None:
    """Dropped pages are replaced with resident pages of zeros immediately."""
    madvise(self, addr, length, advice)
    if advice == MADV_DONTNEED:
        self.space.populate(addr, addr + self.round_up(length))


@wrong(Mmap, "mincore.gone")
def what_was_replaced_is_resident(self: ReferenceProcess, mmap: Mmap) -> int:
    """Pages of a mapping that replaces another are resident immediately."""
    base = mmap()
    if mmap.flags & MAP_FIXED:
        self.space.populate(base, base + self.round_up(mmap.length))
    return base
