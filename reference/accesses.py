"""Loads, stores and executions: what the processor does with an address.

For each byte the processor checks that its page is mapped, that the protection allows the access, and that the page
is available.  The first check that fails decides the fault: SIGSEGV with SEGV_MAPERR (nothing is mapped), SIGSEGV with
SEGV_ACCERR (the protection forbids it) or SEGV_PKUERR (a protection key forbids it), SIGBUS (the page is past the end
of the file, or the disk is full).  An access of many bytes is as many accesses: those before the first fault have
happened.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

from ..contract import Fault, Unresolved
from .constants import PROT_READ, PROT_WRITE
from .mapping import Mapping
from .paging import Page
from .state import State

SLICES = 4
"""The slices of `add`: the number of additions that another process can interrupt."""


class Accesses(State):
    """The accesses of a process to its memory."""

    def load(self, addr: int, length: int) -> bytes:
        self.last_access = ("load", addr, "")
        addr &= self.mask
        page = self.page
        start = addr % page
        if 0 < length <= page - start:
            return bytes(self.load_page(addr, 0)[start : start + length])
        parts = []
        done = 0
        while done < length:
            part = self.load_page(addr, done)[start : start + length - done]
            parts.append(part)
            addr += len(part)
            done += len(part)
            start = 0
        return b"".join(parts)

    def load_page(self, addr: int, done: int) -> bytearray:
        """Return the page at an address, to be loaded from there on; `done` bytes have been loaded before."""
        kept = self.translations.find(addr // self.page, "load") if self.translations else None
        mapping, frame = kept or self.translate_load(addr, done)
        if frame.indeterminate:
            start = addr % self.page
            firm = (
                0
                if frame.lazy_free or mapping.droppable
                else self.page
                if frame.refcount
                else mapping.bytes_to_eof(addr)
            )
            self.choices.resolve(frame, start, firm, done)
        return frame.data

    def translate_load(self, addr: int, done: int) -> tuple[Mapping, Page]:
        """Return the mapping and the page that a load at an address is from; raise its fault."""
        mapping = self.mapping_at("load", addr)
        if mapping.execute_only or not self.choices.may_load(mapping.prot, addr):
            self.fault("load", "SIGSEGV", self.protection_fault_code(mapping), addr)
        if mapping.least_size != mapping.largest_size and mapping.was_resized_at(addr // self.page):
            content = self.resized_page("load", addr, done)
            if content is not None:
                return mapping, Page(0, content)
        frame = self.space.access(mapping, addr // self.page, False)
        if frame is None:
            self.fault("load", "SIGBUS", self.choices.bus_code(), addr)
        if self.translations:
            self.translations.keep(addr // self.page, "load", mapping, frame)
        return mapping, frame

    def store(self, addr: int, data: bytes) -> None:
        self.last_access = ("store", addr, "")
        addr &= self.mask
        page = self.page
        done = 0
        while done < len(data):
            start = addr % page
            kept = self.translations.find(addr // page, "store") if self.translations else None
            mapping, frame, is_first = (*kept, False) if kept else self.translate_store(addr, done)
            inode = mapping.inode
            part = data[done : done + page - start]
            if frame.indeterminate:
                frame.lazy_free = False
            frame.store(start, part)
            if mapping.droppable:
                frame.mark_indeterminate(start, start + len(part))
            if mapping.shared and inode is not None:
                inode.changed_by_store(is_first)
                firm = mapping.bytes_to_eof(addr)
                if start + len(part) > firm:
                    frame.mark_indeterminate(max(start, firm), start + len(part))
            addr += len(part)
            done += len(part)

    def translate_store(self, addr: int, done: int) -> tuple[Mapping, Page, bool]:
        """Return the mapping and the page that a store at an address is to, and whether it is the mapping's first.

        Raise its fault.
        """
        mapping = self.mapping_at("store", addr)
        if not mapping.prot & PROT_WRITE:
            self.fault("store", "SIGSEGV", self.protection_fault_code(mapping), addr)
        if mapping.least_size != mapping.largest_size and mapping.was_resized_at(addr // self.page):
            self.resized_page("store", addr, done)
        inode = mapping.inode
        is_first = (
            inode is not None and inode.backdated and self.is_unused(mapping) and self.choices.marks_first_store()
        )
        frame = self.space.access(mapping, addr // self.page, True)
        if frame is None:
            self.fault("store", "SIGBUS", self.choices.bus_code(), addr)
        if self.translations:
            self.translations.keep(addr // self.page, "store", mapping, frame)
            if mapping.prot & PROT_READ:
                self.translations.keep(addr // self.page, "load", mapping, frame)
        return mapping, frame, is_first

    def store_in_steps(self, addr: int, data: bytes) -> Iterator[None]:
        """Store as `store` does; yield to other threads where they may come between: before the first byte."""
        yield
        self.store(addr, data)

    def resized_page(self, access: str, addr: int, done: int) -> bytearray | None:
        """Return the content of a page that its file has lost or gained, if the choices have it; raise their fault."""
        observed = self.choices.resized_page(addr, self.page, done)
        if isinstance(observed, Fault):
            self.last_access = (access, addr, observed.signal)
            raise observed
        return observed

    def is_unused(self, mapping: Mapping) -> bool:
        """True if no page of a mapping has been faulted in."""
        return not self.space.table.within(mapping.start // self.page, mapping.end // self.page)

    def return_instruction(self) -> bytes:
        return self.machine.return_instruction

    def execute(self, addr: int) -> None:
        self.last_access = ("execute", addr, "")
        addr &= self.mask
        kept = self.translations.find(addr // self.page, "execute") if self.translations else None
        frame = kept[1] if kept else self.translate_execution(addr)
        start = addr % self.page
        code = self.machine.return_instruction
        if bytes(frame.data[start : start + len(code)]) != code:
            raise Unresolved(f"the code at {addr:#x} is not the code that returns, and the reference runs no other")

    def translate_execution(self, addr: int) -> Page:
        """Return the page that holds the code at an address; raise the fault of its execution."""
        mapping = self.mapping_at("execute", addr)
        allowed = self.choices.may_execute(mapping.prot)
        if not allowed and not (self.choices.eof_before_protection() and self.choices.may_load(mapping.prot, addr)):
            self.fault("execute", "SIGSEGV", "SEGV_ACCERR", addr)
        if mapping.was_resized_at(addr // self.page):
            self.resized_page("execute", addr, 0)
        frame = self.space.access(mapping, addr // self.page, False)
        if frame is None:
            self.fault("execute", "SIGBUS", self.choices.bus_code(), addr)
        if not allowed:
            self.fault("execute", "SIGSEGV", "SEGV_ACCERR", addr)
        if self.translations:
            self.translations.keep(addr // self.page, "execute", mapping, frame)
        return frame

    def add(self, addr: int, times: int, lock: int = 0) -> None:
        for _slice in self.add_slices(addr, times, lock):
            pass

    def add_slices(self, addr: int, times: int, lock: int = 0) -> Iterator[None]:
        """Add as `add` does; yield to other processes in each slice, between its load and its store."""
        for turn in range(SLICES):
            share = (times + turn) // SLICES
            while lock and self.load_word(lock):
                yield
            if lock:
                self.store(lock, (1).to_bytes(4, self.machine.parameters.byte_order))
            value = self.load_word(addr)
            yield
            self.store(addr, ((value + share) % (1 << 32)).to_bytes(4, self.machine.parameters.byte_order))
            if lock:
                self.store(lock, bytes(4))

    def load_word(self, addr: int) -> int:
        """Return the 4-byte word at an address."""
        return int.from_bytes(self.load(addr, 4), self.machine.parameters.byte_order)

    def mapping_at(self, access: str, addr: int) -> Mapping:
        """Return the mapping at an address, which grows there if it can; raise the fault if there is none."""
        mapping = self.space.find(addr) or self.grow_to(addr)
        if mapping is None:
            if self.choices.reports_address(addr, self.machine.parameters.canonical):
                self.fault(access, "SIGSEGV", "SEGV_MAPERR", addr)
            self.last_access = (access, addr, "SIGSEGV")
            raise Fault("SIGSEGV", "SI_KERNEL", None)
        return mapping

    def protection_fault_code(self, mapping: Mapping) -> str:
        """Return the code of a fault because of the protection; that of a protection key is one of its own."""
        return self.machine.parameters.execute_only if mapping.execute_only else "SEGV_ACCERR"

    def grow_to(self, addr: int) -> Mapping | None:
        """Grow a mapping downwards to an address and return it; None if none can grow there."""
        growing = self.space.growing(addr)
        if growing is None:
            return None
        mapping, left = growing
        start = addr - addr % self.page
        more = mapping.start - start
        if (
            start < self.machine.parameters.mmap_min_addr
            or (left is not None and not self.choices.may_grow_down(left // self.page))
            or (mapping.end - start > self.stack_limit and not (mapping.merged and self.choices.may_grow_down(1)))
            or self.exceeds_rlimit_as(more)
            or (mapping.locked and self.exceeds_memlock(more))
        ):
            return None
        self.space.grow_down(mapping, start)
        return mapping

    def fault(self, access: str, signal: str, code: str, addr: int) -> NoReturn:
        """Raise the fault of an access."""
        self.last_access = (access, addr, signal)
        raise Fault(signal, code, self.choices.fault_address(addr, self.page))
