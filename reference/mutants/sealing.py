"""Mutants of mseal, and of calls on sealed mappings."""

from __future__ import annotations

from errno import EACCES, EINVAL, ENOMEM
from typing import Any

from ..address_space import AddressSpace
from ..constants import PROT_READ, PROT_WRITE
from ..madvise import Advice
from ..mapping import Mapping
from ..mutant import Original, never, other, refuses, wrong
from ..page_calls import PageCalls
from ..process import ReferenceProcess
from ..refusal import Refusals

SEALED = ("munmap.errno.EPERM", "mmap.errno.EPERM.sealed", "mremap.errno.EPERM")

REFUSALS = (
    never("mseal-takes-flags", "mseal.errno.EINVAL", reason="flags-not-zero"),
    never("mseal-takes-an-unaligned-address", "mseal.errno.EINVAL", reason="addr-unaligned"),
    never("mseal-takes-a-range-that-wraps", "mseal.errno.EINVAL", reason="range-wraps"),
    never("mseal-takes-a-hole", "mseal.errno.ENOMEM"),
    other("mseal-of-a-hole-is-EINVAL", EINVAL, "mseal.errno.ENOMEM"),
    never("sealed-memory-is-unmapped", "munmap.errno.EPERM", "mseal.result", "mseal.rounding", "mseal.fork"),
    never("sealed-memory-is-replaced", "mmap.errno.EPERM.sealed"),
    never("sealed-memory-is-moved", "mremap.errno.EPERM", reason="mapping-sealed"),
    never("sealed-memory-is-cut-off", "mremap.errno.EPERM", reason="cut-range-sealed"),
    never("sealed-memory-is-moved-onto", "mremap.errno.EPERM", reason="new-range-sealed"),
    never("sealed-memory-is-protected", "mprotect.errno.EPERM", "mseal.fork"),
    other("mprotect-of-sealed-memory-is-EACCES", EACCES, "mprotect.errno.EPERM"),
    never("sealed-memory-is-discarded", "madvise.errno.EPERM"),
    refuses(
        "mseal-refuses-length-0",
        ReferenceProcess.mseal,
        EINVAL,
        lambda self, addr, length, flags=0: not length,
        "mseal.length-zero",
        text="length is 0",
    ),
    refuses(
        "mseal-refuses-what-is-sealed",
        ReferenceProcess.mseal,
        EINVAL,
        lambda self, addr, length, flags=0: self.space.is_sealed(addr, addr + length),
        "mseal.result",
        text="something in the range is sealed",
    ),
    refuses(
        "sealed-memory-cannot-be-locked",
        ReferenceProcess.mlock,
        ENOMEM,
        lambda self, addr, length: self.space.is_sealed(addr, addr + length),
        "mseal.result",
        text="something in the range is sealed",
    ),
)


@wrong(ReferenceProcess.mseal, "mseal.rounding")
def whole_mappings_are_sealed(mseal: Original, self: ReferenceProcess, addr: int, length: int, flags: int = 0) -> None:
    """So are the pages beside the range that are of one mapping with it."""
    mappings = self.space.over(addr, addr + length)
    mseal(self, addr, length, flags)
    for mapping in mappings[:1]:
        start, end = mapping.start, mapping.end
        while (right := self.space.find(end)) is not None:
            end = right.end
        mseal(self, start, end - start, flags)


@wrong(ReferenceProcess.mseal, "mseal.rounding")
def the_last_part_of_a_page_is_not_sealed(
    mseal: Original, self: ReferenceProcess, addr: int, length: int, flags: int = 0
) -> None:
    """The length is rounded down."""
    mseal(self, addr, length - length % self.page if length < 1 << 32 else length, flags)


@wrong(ReferenceProcess.mseal, "mseal.errno.ENOMEM")
def a_range_with_a_hole_is_sealed_up_to_it(
    mseal: Original, self: ReferenceProcess, addr: int, length: int, flags: int = 0
) -> None:
    """The error comes when the pages before the hole have been sealed."""
    hole = self.space.hole(addr, addr + self.round_up(length)) if length < 1 << 32 else None
    if hole is not None and addr % self.page == 0 and not flags:
        mseal(self, addr, hole - addr)
    mseal(self, addr, length, flags)


@wrong(AddressSpace.is_sealed, *SEALED)
def only_the_first_mapping_is_looked_at(is_sealed: Original, self: AddressSpace, start: int, end: int) -> bool:
    """Sealed mappings after the first one are not checked."""
    mappings = self.over(start, end)
    return bool(mappings) and mappings[0].sealed


@wrong(ReferenceProcess.munmap, "munmap.errno.EPERM")
def what_lies_before_sealed_memory_is_unmapped(
    munmap: Original, self: ReferenceProcess, addr: int, length: int
) -> None:
    """munmap goes from mapping to mapping, and stops at the one that is sealed."""
    end = addr + self.round_up(length)
    sealed = next((m for m in self.space.over(addr, end) if m.sealed), None)
    if sealed is not None and sealed.start > addr and addr % self.page == 0:
        munmap(self, addr, sealed.start - addr)
    munmap(self, addr, length)


@wrong(PageCalls.mprotect, "mprotect.errno.EPERM")
def the_same_rights_are_no_change(mprotect: Original, self: PageCalls, addr: int, length: int, prot: int) -> None:
    """mprotect of sealed memory succeeds where it would change nothing."""
    if length and all(mapping.prot == prot for mapping in self.space.over(addr, addr + self.round_up(length))):
        return
    mprotect(self, addr, length, prot)


@wrong(Advice.refuse_advice, "mseal.discard", bug="Linux, while it was made")
def no_sealed_memory_is_discarded(
    refuse_advice: Original, self: Advice, refuse: Refusals, mapping: Mapping, advice: int
) -> None:
    """Advice that discards content is refused for sealed memory, even if it is writable."""
    prot = mapping.prot
    if mapping.sealed and mapping.inode is None:
        mapping.prot &= ~PROT_WRITE
    refuse_advice(self, refuse, mapping, advice)
    mapping.prot = prot


@wrong(Advice.advise, "mseal.discard")
def sealed_shared_memory_is_discarded(advise: Original, self: Advice, addr: int, end: int, advice: int) -> None:
    """MADV_DONTNEED of a sealed mapping takes it away altogether."""
    advise(self, addr, end, advice)
    for mapping in self.space.over(addr, end):
        if mapping.sealed and mapping.shared:
            mapping.prot &= ~PROT_READ


@wrong(AddressSpace.fork, "mseal.fork")
def a_child_has_nothing_sealed(fork: Original, self: AddressSpace, *arguments: Any) -> AddressSpace:
    """The seals are the parent's alone."""
    child: AddressSpace = fork(self, *arguments)
    for mapping in child.mappings.values():
        mapping.sealed = False
    return child


@wrong(ReferenceProcess.exec, "mseal.exec")
def sealed_memory_outlives_exec(exec_: Original, self: ReferenceProcess) -> None:
    """Sealed mappings are still mapped after exec."""
    kept = [mapping for mapping in self.space.mappings.values() if mapping.sealed]
    exec_(self)
    for mapping in kept:
        part = mapping.part(mapping.start, mapping.end, self.space)
        self.space.insert(part)


@wrong(ReferenceProcess.execute, "mseal.result")
def sealed_code_does_not_run(execute: Original, self: ReferenceProcess, addr: int) -> None:
    """The execution of a sealed page faults, as if it were not executable."""
    mapping = self.space.find(addr)
    if mapping is not None and mapping.sealed:
        self.fault("execute", "SIGSEGV", "SEGV_ACCERR", addr)
    execute(self, addr)
