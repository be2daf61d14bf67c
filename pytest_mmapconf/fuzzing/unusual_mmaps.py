"""Calls of mmap that are valid, but that programs seldom make."""

from __future__ import annotations

from collections import abc
from typing import Final, TypeAlias

from ..contract import (
    MAP_NORESERVE,
    Facility,
)
from ..reference.constants import (
    MAP_32BIT,
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_LOCKED,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    O_RDWR,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
)
from .draws import Draws
from .invalid_calls import MmapCall
from .model_view import Actor, ProgramState

FOUR_GIB: Final = 1 << 32
"""Bytes: the smallest file offset that needs more than 32 bits."""

RESERVED_BYTES: Final = 1 << 40
"""Bytes of address space that are reserved without memory."""


class UnusualMmaps(ProgramState):
    """Makes unusual calls of mmap; each method takes a call as it was drawn, changes it and makes it."""

    def map_unusual(self, actor: Actor, draws: Draws, call: MmapCall) -> None:
        """Make one of the unusual calls."""
        draws.choice(UNUSUAL_MMAPS)(self, actor, draws, call)

    def map_unchanged(self, actor: Actor, draws: Draws, call: MmapCall) -> None:
        """Map a file, with the call as it was drawn."""
        self.map_call(actor, call, self.descriptor_for(actor, draws, call))

    def map_validated(self, actor: Actor, draws: Draws, call: MmapCall) -> None:
        """Use MAP_SHARED_VALIDATE, at level linux."""
        fd = self.descriptor_for(actor, draws, call)
        if self.level == "linux":
            call.flags = call.flags & ~MAP_PRIVATE | MAP_SHARED_VALIDATE
        self.map_call(actor, call, fd)

    def map_with_unknown_flag(self, actor: Actor, draws: Draws, call: MmapCall) -> None:
        """Set a flag that no system defines."""
        fd = self.descriptor_for(actor, draws, call)
        call.flags |= 1 << 27
        self.map_call(actor, call, fd)

    def map_with_unknown_protection(self, actor: Actor, draws: Draws, call: MmapCall) -> None:
        """Set a bit of the protection that no system defines."""
        fd = self.descriptor_for(actor, draws, call)
        call.prot |= draws.choice((8, 0x10, 1 << 20))
        self.map_call(actor, call, fd)

    def map_at_hint(self, actor: Actor, draws: Draws, call: MmapCall) -> None:
        """Give a hint: in the scratch range, at address 1 page, or outside user space."""
        fd = self.descriptor_for(actor, draws, call)
        near = self.draw_slot(actor, draws) + draws.choice((0, 1, self.page - 1))
        high = 1 << (self.bits - 1)
        call.at(draws.choice((near, near, self.page, high, 2 * high - self.page)), 0)
        self.map_call(actor, call, fd)

    def map_anonymous(self, actor: Actor, draws: Draws, call: MmapCall) -> None:
        """Map anonymous memory with any descriptor and offset, which Linux ignores."""
        fd = draws.choice((77, -5, *actor.model.descriptors))
        call.flags |= MAP_ANONYMOUS
        call.offset = draws.choice((0, 0, self.page, 1 << (self.bits - 2)))
        self.map_call(actor, call, fd)

    def map_from_dev_zero(self, actor: Actor, draws: Draws, call: MmapCall) -> None:
        """Map /dev/zero."""
        self.map_call(actor, call, self.special_file(actor, draws, Facility.DEV_ZERO))

    def map_at_far_offset(self, actor: Actor, draws: Draws, call: MmapCall) -> None:
        """Map the page at offset 4 GiB of a file, where addresses have 64 bits."""
        fd = self.descriptor_for(actor, draws, call)
        if self.bits == 64:
            self.call(actor, "ftruncate", fd, FOUR_GIB + self.page)
            call.offset = FOUR_GIB
        self.map_call(actor, call, fd)

    def map_empty_file(self, actor: Actor, draws: Draws, call: MmapCall) -> None:
        """Map an empty file, perhaps with length 0."""
        fd = self.descriptor_for(actor, draws, call)
        self.call(actor, "ftruncate", fd, 0)
        call.length = draws.choice((call.length, call.length, 0))
        self.map_call(actor, call, fd)

    def map_descriptor_0(self, actor: Actor, draws: Draws, call: MmapCall) -> None:
        """Map the file whose descriptor is 0, in place of the inherited one where a file exists."""
        if any(name in self.machine.cwd_file_system.root.entries for name in "ab") and actor.model.descriptors.get(0):
            self.call(actor, "close", 0)
            self.open_file(actor, draws.choice("ab"), O_RDWR)
        self.map_call(actor, call, 0)

    def map_below_2_gib(self, actor: Actor, draws: Draws, call: MmapCall) -> None:
        """Use MAP_32BIT, half the time without an address."""
        fd = self.descriptor_for(actor, draws, call)
        call.flags |= MAP_32BIT
        if draws.below(2):
            call.at(0, 0)
        self.map_call(actor, call, fd)

    def map_droppable(self, actor: Actor, draws: Draws, call: MmapCall) -> None:
        """Map droppable memory, where addresses have 64 bits."""
        if self.bits != 64:
            return self.map_unchanged(actor, draws, call)
        call.flags = call.flags & ~(MAP_SHARED_VALIDATE | MAP_LOCKED) | MAP_DROPPABLE | MAP_ANONYMOUS
        self.map_call(actor, call, -1)
        return None

    def map_reserved(self, actor: Actor, draws: Draws, call: MmapCall) -> None:
        """Reserve 1 TiB of address space and unmap it, where addresses have 64 bits."""
        if self.bits != 64:
            return self.map_unchanged(actor, draws, call)
        return self.map_and_unmap(
            actor, RESERVED_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, draws
        )

    def map_last_page(self, actor: Actor, draws: Draws, call: MmapCall) -> None:
        """Map a file near the largest offset and unmap it, where addresses have 64 bits."""
        fd = self.descriptor_for(actor, draws, call)
        if self.bits == 64:
            self.map_and_unmap(actor, call.length, PROT_READ, MAP_SHARED, fd, draws)
        else:
            self.map_call(actor, call, fd)

    # ---- the call

    def descriptor_for(self, actor: Actor, draws: Draws, call: MmapCall) -> int:
        """Return a descriptor of an ordinary file whose access mode fits the call."""
        return self.descriptor(actor, draws, True, bool(call.flags & MAP_SHARED and call.prot & PROT_WRITE))

    def map_call(self, actor: Actor, call: MmapCall, fd: int) -> None:
        """Make a call of mmap with this descriptor."""
        self.map_region(actor, call.addr, call.length, call.prot, call.flags, fd, call.offset)

    def map_region(
        self, actor: Actor, addr: int, length: int, prot: int, flags: int, fd: int, offset: int
    ) -> int | None:
        """Call mmap and return the address, None if it fails; from now on the program may access the result."""
        got: int | None = self.call(actor, "mmap", addr, length, prot, flags, fd, offset)
        if got is not None:
            self.add_region(actor, got)
        return got

    def map_and_unmap(self, actor: Actor, length: int, prot: int, flags: int, fd: int, draws: Draws) -> None:
        """Map memory that is too large, or too far into a file, for other calls, and unmap it immediately."""
        size = actor.model.round_up(length)
        far = (1 << 63) - draws.choice((1, 1, 2, 0)) * self.page - size
        got = self.call(actor, "mmap", 0, length, prot, flags, fd, 0 if flags & MAP_ANONYMOUS else far)
        if got is not None:
            self.call(actor, "munmap", got, size)

    def add_region(self, actor: Actor, addr: int) -> None:
        """Add the mapping at an address to the regions that the program may access."""
        mapping = actor.model.space.find(addr)
        if mapping is not None and self.symbolic(actor, addr)[1] < mapping.end - addr:
            actor.regions.append((addr, mapping.end - int(addr)))


UnusualMmap: TypeAlias = abc.Callable[[UnusualMmaps, Actor, Draws, MmapCall], None]

UNUSUAL_MMAPS: Final[abc.Sequence[UnusualMmap]] = (
    UnusualMmaps.map_validated,
    UnusualMmaps.map_with_unknown_flag,
    UnusualMmaps.map_with_unknown_protection,
    *(UnusualMmaps.map_at_hint,) * 2,
    *(UnusualMmaps.map_anonymous,) * 2,
    UnusualMmaps.map_from_dev_zero,
    UnusualMmaps.map_at_far_offset,
    UnusualMmaps.map_empty_file,
    UnusualMmaps.map_descriptor_0,
    *(UnusualMmaps.map_below_2_gib,) * 2,
    *(UnusualMmaps.map_droppable,) * 2,
    UnusualMmaps.map_reserved,
    UnusualMmaps.map_last_page,
)
"""The unusual calls, each as often as it is drawn."""
