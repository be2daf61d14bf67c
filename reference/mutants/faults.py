"""Mutants of accesses that fault."""

from __future__ import annotations

from typing import NoReturn

from ...contract import Fault
from ..accesses import Accesses
from ..mapping import Mapping
from ..mutant import Original, wrong
from ..process import ReferenceProcess


@wrong(Accesses.fault, "fault.unmapped")
def unmapped_is_a_missing_right(
    fault: Original, self: ReferenceProcess, access: str, signal: str, code: str, addr: int
) -> NoReturn:
    """SEGV_ACCERR where nothing is mapped."""
    raise Fault(signal, "SEGV_ACCERR" if code == "SEGV_MAPERR" else code, addr)


@wrong(Accesses.fault, "fault.inaccessible", bug="gVisor #12518")
def inaccessible_is_unmapped(
    fault: Original, self: ReferenceProcess, access: str, signal: str, code: str, addr: int
) -> NoReturn:
    """SEGV_MAPERR where PROT_NONE is."""
    mapping = self.space.find(addr)
    raise Fault(signal, "SEGV_MAPERR" if mapping is not None and not mapping.prot else code, addr)


@wrong(Accesses.fault, "fault.read-only")
def read_only_is_unmapped(
    fault: Original, self: ReferenceProcess, access: str, signal: str, code: str, addr: int
) -> NoReturn:
    """SEGV_MAPERR for a store where only loads are allowed."""
    mapping = self.space.find(addr)
    allowed = access == "store" and mapping is not None and mapping.prot and code == "SEGV_ACCERR"
    raise Fault(signal, "SEGV_MAPERR" if allowed else code, addr)


@wrong(Accesses.fault, "fault.not-executable")
def not_executable_is_illegal(
    fault: Original, self: ReferenceProcess, access: str, signal: str, code: str, addr: int
) -> NoReturn:
    """SIGILL for an execution that is not allowed."""
    illegal = access == "execute" and code == "SEGV_ACCERR"
    raise Fault("SIGILL" if illegal else signal, "ILL_ILLOPC" if illegal else code, addr)


@wrong(Accesses.fault, "fault.end-of-file", bug="FreeBSD")
def past_the_end_is_an_object_error(
    fault: Original, self: ReferenceProcess, access: str, signal: str, code: str, addr: int
) -> NoReturn:
    """BUS_OBJERR past the end of a file."""
    raise Fault(signal, "BUS_OBJERR" if code == "BUS_ADRERR" else code, addr)


@wrong(Accesses.fault, "fault.end-of-file", bug="Cygwin 8adc45fde")
def past_the_end_is_a_segmentation_fault(
    fault: Original, self: ReferenceProcess, access: str, signal: str, code: str, addr: int
) -> NoReturn:
    """SIGSEGV past the end of a file."""
    past = code == "BUS_ADRERR"
    raise Fault("SIGSEGV" if past else signal, "SEGV_MAPERR" if past else code, addr)


@wrong(Accesses.fault, "fault.address", bug="s390x (as it is)")
def only_the_page_is_reported(
    fault: Original, self: ReferenceProcess, access: str, signal: str, code: str, addr: int
) -> NoReturn:
    """The address is that of the page's first byte."""
    raise Fault(signal, code, addr - addr % self.page)


@wrong(Accesses.fault, "fault.address")
def no_fault_address_is_reported(
    fault: Original, self: ReferenceProcess, access: str, signal: str, code: str, addr: int
) -> NoReturn:
    """A fault has no address."""
    raise Fault(signal, code, None)


@wrong(Accesses.mapping_at, "fault.order")
def the_end_is_looked_at_before_rights(mapping_at: Original, self: ReferenceProcess, access: str, addr: int) -> Mapping:
    """An access past the end of the file is SIGBUS, whatever the protection."""
    mapping: Mapping = mapping_at(self, access, addr)
    if mapping.inode is not None and mapping.bytes_to_eof(addr) <= 0:
        self.fault(access, "SIGBUS", "BUS_ADRERR", addr)
    return mapping


@wrong(Accesses.mapping_at, "fault.cured")
def what_was_not_mapped_never_will_be(mapping_at: Original, self: ReferenceProcess, access: str, addr: int) -> Mapping:
    """After an access to an unmapped address, no access to that page is allowed any more."""
    pages: set[int] = self.__dict__.setdefault("unmapped_pages", set())
    if self.space.find(addr) is None:
        pages.add(addr // self.page)
    elif addr // self.page in pages:
        self.fault(access, "SIGSEGV", "SEGV_MAPERR", addr)
    mapping: Mapping = mapping_at(self, access, addr)
    return mapping


@wrong(Accesses.fault, "fault.cured", bug="Asterinas #1458 (loops in place of it)")
def a_fault_takes_all_rights_away(
    fault: Original, self: ReferenceProcess, access: str, signal: str, code: str, addr: int
) -> NoReturn:
    """After a fault, no store reaches the mapping's file any more."""
    mapping = self.space.find(addr)
    if mapping is not None:
        mapping.prot = mapping.max_prot = 0
    fault(self, access, signal, code, addr)
    raise AssertionError
