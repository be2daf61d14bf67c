"""The steps that load, store and execute."""

from __future__ import annotations

from ..reference.constants import (
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
)
from ..reference.mapping import Mapping
from .draws import Draws
from .model_view import Actor, ProgramState


class AccessSteps(ProgramState):
    """Steps that load, store, add and execute."""

    def load(self, actor: Actor, draws: Draws) -> None:
        addr, room = self.draw_place(actor, draws, PROT_READ)
        length = draws.choice((1, 2, 8, self.page, self.page + 1))
        if room:
            self.call(actor, "load", addr, min(length, room))

    def store(self, actor: Actor, draws: Draws) -> None:
        addr, room = self.draw_place(actor, draws, PROT_WRITE)
        length = draws.choice((1, 2, 8, self.page, 4 * self.page))
        data = draws.choice("xyz").encode() * length
        if draws.one_in(6):  # to store the current content is a store like any other
            data = self.known_content(actor, addr, length) or data
        if room:
            self.call(actor, "store", addr, data[:room])

    def known_content(self, actor: Actor, addr: int, length: int) -> bytes:
        """Return the content from an address to the end of its page, empty unless it is determined."""
        number, start = divmod(addr, self.page)
        mapping = actor.model.space.find(addr)
        page = actor.model.space.table.entries.get(number)
        if page is None and mapping is not None and mapping.inode is not None:
            page = mapping.inode.cache.pages.get(mapping.file_page(number))
        return b"" if page is None or page.indeterminate else bytes(page.data[start : start + length])

    def execute(self, actor: Actor, draws: Draws) -> None:
        """Execute an instruction that is known to return; any other content only where any access is a fault.

        A machine may execute what it can load, whatever the protection.
        """
        addr, room = self.draw_place(actor, draws, PROT_EXEC)
        if not room:
            return
        code = self.call(actor, "return_instruction")
        if code is None:
            return
        mapping = actor.model.space.find(addr)
        if mapping is not None and mapping.prot & PROT_WRITE and len(code) <= room:
            self.call(actor, "store", addr, code)
        if mapping is None or not mapping.prot or self.has_known_code(actor, mapping, addr, code):
            self.call(actor, "execute", addr)

    def has_known_code(self, actor: Actor, mapping: Mapping, addr: int, code: bytes) -> bool:
        """Return True if `code` is known to be at an address, or the access is a fault."""
        number, start = divmod(addr, self.page)
        page = actor.model.space.table.entries.get(number)
        if self.level != "linux" and mapping.inode is not None:
            is_changed = not mapping.shared and mapping.inode.content_version != mapping.file_version
            if is_changed or mapping.was_resized_at(number):
                return False  # elsewhere it is open what the page shows
        if page is None and mapping.inode is not None:
            if mapping.bytes_to_eof(addr) <= 0:
                return True  # past the end of the file: a fault
            page = mapping.inode.cache.pages.get(mapping.file_page(number))
        stop = start + len(code)
        if page is None or (page.indeterminate and any(start <= at < stop for at in page.indeterminate)):
            return False
        return bytes(page.data[start:stop]) == code
