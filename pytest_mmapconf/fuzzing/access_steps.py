"""The steps that load, store and execute."""

from __future__ import annotations

from ..contract import PROT_EXEC, PROT_READ, PROT_WRITE
from ..reference.mapping import Mapping as Area
from .draws import Digits
from .model_view import Actor, State


class AccessSteps(State):
    def load(self, actor: Actor, digits: Digits) -> None:
        addr, room = self.place(actor, digits, PROT_READ)
        length = digits.of((1, 2, 8, self.page, self.page + 1))
        if room:
            self.call(actor, "load", addr, min(length, room))

    def store(self, actor: Actor, digits: Digits) -> None:
        addr, room = self.place(actor, digits, PROT_WRITE)
        length = digits.of((1, 2, 8, self.page, 4 * self.page))
        data = digits.of("xyz").encode() * length
        if digits.once_in(6):  # what stands there already is a store like any other
            data = self.content(actor, addr, length) or data
        if room:
            self.call(actor, "store", addr, data[:room])

    def content(self, actor: Actor, addr: int, length: int) -> bytes:
        """What stands at an address up to the end of the page, as far as that is known."""
        number, start = divmod(addr, self.page)
        mapping = actor.model.space.find(addr)
        found = actor.model.space.table.entries.get(number)
        if found is None and mapping is not None and mapping.inode is not None:
            found = mapping.inode.cache.pages.get(mapping.index(number))
        return b"" if found is None or found.open else bytes(found.data[start : start + length])

    def execute(self, actor: Actor, digits: Digits) -> None:
        """Run what is known to return; where something else stands, only what may not be executed."""
        addr, room = self.place(actor, digits, PROT_EXEC)
        if not room:
            return
        code = self.call(actor, "return_instruction")
        if code is None:
            return
        mapping = actor.model.space.find(addr)
        if mapping is not None and mapping.prot & PROT_WRITE and len(code) <= room:
            self.call(actor, "store", addr, code)
        if mapping is None or not mapping.prot & PROT_EXEC or self.returns(actor, mapping, addr, code):
            self.call(actor, "execute", addr)

    def returns(self, actor: Actor, mapping: Area, addr: int, code: bytes) -> bool:
        """Whether `code` is known to stand at an address."""
        number, start = divmod(addr, self.page)
        found = actor.model.space.table.entries.get(number)
        if found is None and mapping.inode is not None:
            if mapping.room(addr) <= 0:
                return True  # past the end of the file: a fault
            found = mapping.inode.cache.pages.get(mapping.index(number))
        stop = start + len(code)
        if found is None or (found.open and any(start <= at < stop for at in found.open)):
            return False
        return bytes(found.data[start:stop]) == code
