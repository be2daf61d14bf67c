"""The steps that map, unmap, move, protect and lock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ..contract import (
    MADV_DOFORK,
    MADV_DONTFORK,
    MADV_DONTNEED,
    MADV_DONTNEED_LOCKED,
    MADV_FREE,
    MADV_KEEPONFORK,
    MADV_NORMAL,
    MADV_POPULATE_READ,
    MADV_POPULATE_WRITE,
    MADV_RANDOM,
    MADV_REMOVE,
    MADV_SEQUENTIAL,
    MADV_WILLNEED,
    MADV_WIPEONFORK,
    MAP_32BIT,
    MAP_ANONYMOUS,
    MAP_DENYWRITE,
    MAP_DROPPABLE,
    MAP_EXECUTABLE,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_HUGETLB,
    MAP_LOCKED,
    MAP_NONBLOCK,
    MAP_NORESERVE,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MAP_STACK,
    MAP_UNINITIALIZED,
    MLOCK_ONFAULT,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    MS_ASYNC,
    MS_INVALIDATE,
    MS_SYNC,
    O_RDWR,
    PROT_EXEC,
    PROT_GROWSDOWN,
    PROT_GROWSUP,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    SC_PAGESIZE,
    Facility,
    Resource,
)
from ..reference.mapping import Mapping as Area
from .draws import Digits
from .invalid_calls import LARGE, LOW, MMAP, MREMAP, ROOM, MmapCall, MremapCall
from .model_view import LARGEST, SLOTS, Actor, State

RW: Final = PROT_READ | PROT_WRITE
RIGHTS: Final = (
    RW,
    RW,
    RW,
    PROT_READ,
    PROT_READ,
    PROT_WRITE,
    PROT_NONE,
    PROT_NONE,
    RW | PROT_EXEC,
    PROT_READ | PROT_EXEC,
    PROT_EXEC,
)
EXTRAS: Final = (
    *(0,) * 15,
    MAP_LOCKED,
    MAP_LOCKED,
    MAP_POPULATE,
    MAP_POPULATE,
    MAP_POPULATE | MAP_NONBLOCK,
    MAP_NORESERVE,
    MAP_STACK,
    MAP_DENYWRITE,
    MAP_EXECUTABLE,
    MAP_UNINITIALIZED,
)
SYNCS: Final = (MS_ASYNC, MS_SYNC, MS_SYNC, MS_SYNC | MS_INVALIDATE, 0, MS_ASYNC | MS_INVALIDATE, MS_INVALIDATE)

ADVICE: Final = (
    *(MADV_DONTNEED,) * 5,
    *(MADV_WIPEONFORK, MADV_DONTFORK, MADV_KEEPONFORK, MADV_DOFORK, MADV_REMOVE, MADV_DONTNEED_LOCKED) * 2,
    *(MADV_FREE, MADV_FREE, MADV_POPULATE_READ, MADV_POPULATE_WRITE),
    *(MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED),
)
INHERITED: Final = (
    (MADV_WIPEONFORK, 0),
    (MADV_DONTFORK, 0),
    (MADV_WIPEONFORK, MADV_KEEPONFORK),
    (MADV_DONTFORK, MADV_DOFORK),
)
"""What is said of what a child is to have, and perhaps taken back."""

FAR: Final = 1 << 32
"""Bytes: where 32 bits are too few."""

HUGE_12: Final = 12 << 26
"""The flags for huge pages of 4 KiB, which there are none of."""

FEW: Final = 1000
"""Mappings that are soon made."""

RESERVED: Final = 1 << 40
"""Bytes of address space without memory."""


FITTING: Final[Mapping[int, Callable[[Area], bool]]] = {
    MADV_DOFORK: lambda mapping: mapping.not_forked,
    MADV_KEEPONFORK: lambda mapping: mapping.wiped,
    MADV_DONTNEED_LOCKED: lambda mapping: mapping.locked,
    MADV_REMOVE: lambda mapping: mapping.shared and mapping.maximum & PROT_WRITE != 0,
}
"""By advice, which mappings show more often than others whether it is heeded; else those with pages of their own."""


class MappingSteps(State):
    def mmap(self, actor: Actor, digits: Digits) -> None:
        page = self.page
        shared = digits.below(2)
        anonymous = digits.below(3) == 2
        prot = digits.of(RIGHTS)
        where = digits.below(8)
        slot = self.slot(actor, digits, where in (4, 5))
        length = self.length(digits)
        offset = digits.of((0, 0, 0, 1, 2, 3)) * page
        extra = digits.of(EXTRAS)
        flags = MAP_SHARED if shared else MAP_PRIVATE
        addr = 0
        if where >= 2:
            addr = slot
            flags |= MAP_FIXED if where < 6 else MAP_FIXED_NOREPLACE if where == 6 else 0
        flags |= extra
        if self.errs(digits, 5):
            return self.mmap_wrong(actor, digits, addr, length, prot, flags)
        if digits.once_in(6):
            return self.mmap_unusual(actor, digits, addr, length, prot, flags)
        fd = -1 if anonymous else self.descriptor(actor, digits, True, bool(shared and prot & PROT_WRITE))
        flags |= MAP_ANONYMOUS if anonymous else 0
        got = self.mapped(actor, addr, length, prot, flags, fd, 0 if anonymous else offset)
        comes = flags & (MAP_LOCKED | MAP_POPULATE) or actor.model.locks_future
        if got is not None and comes and digits.below(2):  # whether it has been brought in, before anybody touches it
            self.call(actor, "mincore", got, min(length, self.symbol(actor, got)[1]))
        return None

    def large(self, actor: Actor, digits: Digits) -> None:
        """So much that two are over the limit, whatever else there is; perhaps in the place of another."""
        limit = actor.model.address_space_limit
        if limit is None or limit > actor.model.space.size + 2 * ROOM * self.page:
            self.call(actor, "set_limit_headroom", Resource.ADDRESS_SPACE, ROOM * self.page)
        flags = digits.of((MAP_PRIVATE, MAP_SHARED)) | MAP_NORESERVE | MAP_ANONYMOUS
        found = [mapping for mapping in actor.model.space.mappings.values() if self.is_large(mapping)]
        if found and digits.below(2):
            mapping = digits.of(found)
            addr, room = self.symbol(actor, mapping.start)
            self.mapped(actor, addr, min(room, mapping.end - mapping.start), PROT_NONE, flags | MAP_FIXED, -1, 0)
        else:
            self.mapped(actor, 0, digits.of((LARGE[1], LARGE[1], LARGE[0])) * self.page, PROT_NONE, flags, -1, 0)

    def data(self, actor: Actor, digits: Digits) -> None:
        """Two large mappings under a limit of data, which only what can be stored to counts towards."""
        self.call(actor, "set_limit_headroom", Resource.ADDRESS_SPACE, RESERVED)  # any more
        self.call(actor, "set_limit_headroom", Resource.DATA, ROOM * self.page)
        size = LARGE[1] * self.page
        kinds = (RW, MAP_PRIVATE), (PROT_READ, MAP_PRIVATE), (RW, MAP_SHARED)
        drawn = [digits.of(kinds) for _ in range(2)]
        flags = MAP_NORESERVE | MAP_ANONYMOUS
        got = [self.call(actor, "mmap", 0, size, prot, type | flags, -1, 0) for prot, type in drawn]
        for addr in got:
            if addr is not None:
                self.call(actor, "munmap", addr, size)
        self.call(actor, "set_limit_headroom", Resource.DATA, RESERVED)  # no limit any more

    def stack(self, actor: Actor, digits: Digits) -> None:
        """Memory that grows downwards, with room below it or with little."""
        if digits.once_in(6):
            self.call(actor, "set_limit_headroom", Resource.STACK, (2 + digits.below(2)) * self.page)
        base = actor.regions[0][0] + (2 + digits.below(SLOTS - 1)) * self.unit
        prot = digits.of((RW, PROT_READ, PROT_READ))
        flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN
        self.mapped(actor, base, self.page, prot, flags, -1, 0)
        if digits.once_in(3):  # which grows until there is no room
            flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
            self.mapped(actor, base - 2 * self.unit, self.page, RW, flags, -1, 0)

    def below(self, actor: Actor, digits: Digits) -> None:
        """Touch what is below such memory, or give it other rights."""
        growing = [mapping for mapping in actor.model.space.mappings.values() if mapping.grows]
        if not growing:
            return self.stack(actor, digits)
        mapping = digits.of(growing)
        left = actor.model.space.find(mapping.start - 1)
        if mapping.joined or (left and left.grows):  # which the system may take for several, or not
            return None
        if digits.once_in(4):
            addr, room = self.symbol(actor, mapping.end - self.page)
            self.call(actor, "mprotect", addr, min(self.page, room), digits.of(RIGHTS) | PROT_GROWSDOWN)
            return None
        addr, room = self.symbol(actor, mapping.start - digits.of((1, self.page, self.page + 1, 2 * self.page)))
        if room and digits.below(2):
            self.call(actor, "store", addr, b"x")
        elif room:
            self.call(actor, "load", addr, 1)
        return None

    def many(self, actor: Actor, digits: Digits) -> None:
        """Map, unmap or move something when there are as many mappings as there may be, where these are few."""
        try:
            limit = self.system.mapping_limit()
        except NotImplementedError as error:
            self.lacks["mapping_limit"] = str(error)
            return
        if limit > FEW:
            return
        addr, size = actor.regions[0][0] + self.unit, 3 * self.page
        flags = MAP_PRIVATE | MAP_ANONYMOUS
        self.call(actor, "mmap", addr, size, RW, flags | MAP_FIXED, -1, 0)
        pages = 2 * limit
        got = self.call(actor, "mmap", 0, pages * self.page, PROT_NONE, flags, -1, 0)
        if got is not None:
            self.call(actor, "fragment", got, pages)
            wanted = digits.below(3)
            if wanted == 0:
                self.call(actor, "mremap", addr, size, size, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0)
            elif wanted == 1:
                self.call(actor, "munmap", addr + self.unit, self.page)
            else:
                for number, prot in (
                    (3, PROT_READ),
                    (4, PROT_NONE),
                    (5, PROT_READ),
                ):  # the last of them may be one too many
                    self.call(actor, "mmap", addr + number * self.unit, self.page, prot, flags | MAP_FIXED, -1, 0)
            self.call(actor, "munmap", got, pages * self.page)

    def is_large(self, mapping: Area) -> bool:
        return mapping.end - mapping.start > LARGE[1] * self.page // 2

    def zeros(self, actor: Actor, digits: Digits) -> None:
        """A mapping of the device of zeros, or what it reads as."""
        page = self.page
        fd = self.odd_file(actor, digits, Facility.DEV_ZERO)
        if digits.once_in(3):
            self.call(actor, "pread", fd, 8, 0)
            return
        flags = digits.of((MAP_PRIVATE, MAP_SHARED)) | digits.of((0, 0, MAP_FIXED))
        addr = self.slot(actor, digits) if flags & MAP_FIXED else 0
        self.mapped(actor, addr, self.length(digits), digits.of(RIGHTS), flags, fd, digits.of((0, 0, page, 1 << 40)))

    def mmap_unusual(self, actor: Actor, digits: Digits, addr: int, length: int, prot: int, flags: int) -> None:
        """What is right, but seldom done."""
        page = self.page
        fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)
        kinds = ("validate", "unknown flag", "unknown right", "hint", "hint", "anonymous", "anonymous", "zeros", "far")
        kind = digits.of((*kinds, "empty", "descriptor 0", "low", "low", "droppable", "droppable", "reserved", "last"))
        offset = 0
        if kind == "anonymous":
            fd = digits.of((77, -5, *actor.model.descriptors))
            self.mapped(actor, addr, length, prot, flags | MAP_ANONYMOUS, fd, digits.of((0, 0, page, 1 << 62)))
            return None
        if kind == "droppable" and self.bits == 64:
            flags = flags & ~(MAP_SHARED_VALIDATE | MAP_LOCKED) | MAP_DROPPABLE | MAP_ANONYMOUS
            self.mapped(actor, addr, length, prot, flags, -1, 0)
            return None
        if kind == "reserved" and self.bits == 64:
            flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
            return self.mapped_and_gone(actor, RESERVED, PROT_NONE, flags, -1, digits)
        if kind == "zeros":
            fd = self.odd_file(actor, digits, Facility.DEV_ZERO)
        elif kind == "descriptor 0":
            if any(name in self.machine.home.root.entries for name in "ab") and actor.model.descriptors.get(0):
                self.call(actor, "close", 0)
                self.opened(actor, digits.of("ab"), O_RDWR)
            fd = 0
        else:
            fd = self.descriptor(actor, digits, True, bool(flags & MAP_SHARED and prot & PROT_WRITE))
        if kind == "validate" and self.level == "linux":
            flags = flags & ~MAP_PRIVATE | MAP_SHARED_VALIDATE
        elif kind == "unknown flag":
            flags |= 1 << 27
        elif kind == "unknown right":
            prot |= digits.of((8, 0x10, 1 << 20))
        elif kind == "hint":
            near = self.slot(actor, digits) + digits.of((0, 1, page - 1))
            high = 1 << (self.bits - 1)
            addr, flags = digits.of((near, near, page, high, 2 * high - page)), flags & ~fixed
        elif kind == "low":
            flags |= MAP_32BIT
            if digits.below(2):
                addr, flags = 0, flags & ~fixed
        elif kind == "last" and self.bits == 64:
            return self.mapped_and_gone(actor, length, PROT_READ, MAP_SHARED, fd, digits)
        elif kind == "far" and self.bits == 64:
            self.call(actor, "ftruncate", fd, FAR + page)
            offset = FAR
        elif kind == "empty":
            self.call(actor, "ftruncate", fd, 0)
            length = digits.of((length, length, 0))
        self.mapped(actor, addr, length, prot, flags, fd, offset)
        return None

    def mapped(self, actor: Actor, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int | None:
        """Map something that may be touched from now on; where."""
        got: int | None = self.call(actor, "mmap", addr, length, prot, flags, fd, offset)
        if got is not None:
            self.region(actor, got)
        return got

    def mapped_and_gone(self, actor: Actor, length: int, prot: int, flags: int, fd: int, digits: Digits) -> None:
        """Map what is too large, or too far behind, for other calls, and unmap it at once."""
        size = actor.model.round_up(length)
        far = (1 << 63) - digits.of((1, 1, 2, 0)) * self.page - size
        got = self.call(actor, "mmap", 0, length, prot, flags, fd, 0 if flags & MAP_ANONYMOUS else far)
        if got is not None:
            self.call(actor, "munmap", got, size)

    def region(self, actor: Actor, addr: int) -> None:
        """Something has been mapped there: it may be touched."""
        mapping = actor.model.space.find(addr)
        if mapping is not None and self.symbol(actor, addr)[1] < mapping.end - addr:
            actor.regions.append((addr, mapping.end - int(addr)))

    def mmap_wrong(self, actor: Actor, digits: Digits, addr: int, length: int, prot: int, flags: int) -> None:
        """A call with something the matter with it, now and then with two things."""
        call = MmapCall(addr, length, prot, flags)
        self.new_first(MMAP, digits)(self, actor, digits, call)
        if digits.once_in(2):
            digits.of(MMAP)[1](self, actor, digits, call)
        if call.fd is None:
            call.fd = self.descriptor(actor, digits, True, bool(call.flags & MAP_SHARED and call.prot & PROT_WRITE))
        length = call.length & ((1 << self.bits) - 1)
        if call.flags & MAP_HUGETLB and call.flags & MAP_ANONYMOUS:  # whose order is their file system's
            call = MmapCall(0, length, call.prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | HUGE_12, -1)
        assert call.fd is not None
        self.mapped(actor, call.addr, length, call.prot, call.flags, call.fd, call.offset)

    def munmap(self, actor: Actor, digits: Digits) -> None:
        addr, length = self.range(actor, digits)
        if self.errs(digits, 6):
            addr, length = self.wrong_range("munmap", addr, length, digits)
        self.call(actor, "munmap", addr, length)

    def wrong_range(self, call: str, addr: int, length: int, digits: Digits) -> tuple[int, int]:
        """A range with something the matter with it, or two things."""
        page, top = self.page, 1 << self.bits
        for _ in range(2 if digits.once_in(3) else 1):
            wrong = digits.below(4)
            if wrong == 0:  # mlock and munlock take the page that it is in, and must not reach the next
                addr = addr - addr % page + digits.of((1, page - 1))
                length = 1 if "lock" in call and length else length
            elif wrong == 1:
                length = 0
            elif wrong == 2:
                length = top - digits.of((page, 1))
            elif call != "mprotect":  # which has effects before it fails
                addr = (1 << (self.bits - 1)) - page
        return addr, length

    def has_much_to_lose(self, mapping: Area) -> bool:
        """Whether much has to be kept when it is moved: its own pages, a lock, which rights it may not have."""
        return mapping.stored or mapping.locked or not mapping.maximum & PROT_WRITE or self.is_large(mapping)

    def mremap(self, actor: Actor, digits: Digits) -> None:
        page = self.page
        mapping = self.fitting(actor, digits, self.has_much_to_lose)
        if mapping is None:
            return
        shape = digits.below(8)
        which = digits.below(12)
        new_size = (1 + digits.below(LARGEST)) * page - digits.of((0, 0, 0, 1))
        how = digits.below(7)
        slot = self.slot(actor, digits)
        addr, old_size = mapping.start, mapping.end - mapping.start
        at = addr + which % (old_size // page) * page
        if shape in (2, 3):
            addr, old_size = at, mapping.end - at
            if shape == 3:
                old_size = min(old_size, (1 + which % 2) * page)
                new_size = digits.of((new_size, page))
        elif shape == 4 and mapping.is_meant_to_be_shared:
            addr, old_size = at, 0
        elif shape == 5:  # whatever is there: several mappings, with or without holes
            addr, old_size = self.slot(actor, digits, True), (2 + which % 2) * page
            new_size = old_size if digits.below(4) else new_size
            how = digits.of((how, 3))
        elif shape == 6:
            old_size -= digits.of((1, page - 1))
        if self.is_large(mapping):
            new_size = digits.of((mapping.end - addr, mapping.end - addr + page, page))
        addr, room = self.symbol(actor, addr)
        flags = (MREMAP_MAYMOVE, MREMAP_MAYMOVE, 0, MREMAP_MAYMOVE | MREMAP_FIXED)[how % 4]
        new_addr = 0
        if how >= 5 and (not mapping.locked or self.is_one(mapping)):
            flags = MREMAP_MAYMOVE | MREMAP_DONTUNMAP | digits.of((0, 0, MREMAP_FIXED))
            new_addr = slot * digits.below(2)  # a wish
            new_size = old_size - digits.of((0, 0, 0, 1))
        if flags & MREMAP_FIXED:
            flags, new_addr = (flags, slot) if not self.is_large(mapping) else (flags & ~MREMAP_FIXED, 0)
        call = MremapCall(mapping, addr, old_size, new_size, flags, new_addr, room, slot)
        if self.errs(digits, 5):
            for _ in range(2 if digits.once_in(3) else 1):
                digits.of(MREMAP)(self, actor, digits, call)
        if call.old_size < actor.model.top or call.flags & MREMAP_FIXED:  # which would replace it before it is found
            call.old_size = min(call.old_size, self.symbol(actor, call.addr)[1])
        if call.flags & MREMAP_FIXED and self.is_of_several_zeros(actor, call.addr, call.old_size):
            return
        locked = mapping.locked
        if call.flags & MREMAP_FIXED and not call.new_addr:  # what is to be cut off would be gone before that is found
            call.new_size = max(call.new_size, call.old_size)
            if LOW * page < call.new_size <= actor.model.top:  # the subject's own program may be there, and be gone
                return
        old_size, new_size = (size & ((1 << self.bits) - 1) for size in (call.old_size, call.new_size))
        overlaps = call.new_addr < call.addr + old_size and call.addr < call.new_addr + new_size
        if overlaps and not call.flags & MREMAP_FIXED:
            call.new_addr = 0  # a libc need not pass a wish on (musl does not), and then nothing is the matter
        got = self.call(actor, "mremap", call.addr, old_size, new_size, call.flags, call.new_addr)
        if got is not None:
            self.region(actor, got)
            if locked and digits.below(2):  # what it has grown by has been brought in
                self.call(actor, "mincore", got, min(new_size, self.symbol(actor, got)[1]))

    def is_one(self, mapping: Area) -> bool:
        """Whether a mapping is surely one, and none with a copy: it loses its lock as a whole (MREMAP_DONTUNMAP)."""
        left, right = mapping.space.find(mapping.start - 1), mapping.space.find(mapping.end)
        alone = not (left and mapping.is_like(left)) and not (right and right.is_like(mapping))
        return alone and not mapping.joined and not mapping.is_fresh

    def is_of_several_zeros(self, actor: Actor, addr: int, length: int) -> bool:
        """Whether a range holds mappings of the device of zeros, and is not all one mapping.

        Linux moves several at once unless one has a driver that places mappings itself; what went before has moved.
        """
        space, start, end = actor.model.space, int(addr), int(addr) + length
        sources = space.over(start, end)
        zeros = any(source.description and source.description.inode.device for source in sources)
        return zeros and (len(sources) > 1 or sources[0].joined or space.hole(start, end) is not None)

    def msync(self, actor: Actor, digits: Digits) -> None:
        page = self.page
        addr, length = self.range(actor, digits, lambda mapping: mapping.shared and mapping.inode is not None)
        flags = digits.of(SYNCS)
        for _ in range((2 if digits.once_in(3) else 1) if self.errs(digits, 6) else 0):
            wrong = digits.below(6)
            if wrong == 0:
                addr += 1
            elif wrong == 5:
                length = 0
            elif wrong == 1:
                flags |= 8
            elif wrong == 2:
                flags = MS_ASYNC | MS_SYNC
            else:
                length = (1 << self.bits) - (1 if wrong == 3 else page)
        self.call(actor, "msync", addr, length, flags)

    def waits_for_rights(self, mapping: Area) -> bool:
        """Whether new rights show what could not be seen, or copy what is locked, or may lose what it holds."""
        return not mapping.prot or mapping.stored or (mapping.locked and not mapping.shared)

    def mprotect(self, actor: Actor, digits: Digits) -> None:
        addr, length = self.range(actor, digits, self.waits_for_rights)
        prot = digits.of(RIGHTS)
        if self.errs(digits, 6):
            denying = [mapping for mapping in actor.model.space.mappings.values() if not mapping.maximum & PROT_WRITE]
            wrong = digits.below(4)
            if wrong < 2 and denying:
                mapping = digits.of(denying)
                addr, room = self.symbol(actor, mapping.start)
                prot, length = (
                    prot | PROT_WRITE,
                    min(mapping.end - mapping.start + digits.of((0, 1, 1, 2)) * self.page, room),
                )
            elif wrong == 2:
                grows = any(mapping.grows for mapping in actor.model.space.mappings.values())
                prot |= digits.of((0x10000000, PROT_GROWSDOWN | PROT_GROWSUP, 8, 0 if grows else PROT_GROWSDOWN))
            if wrong in (0, 3) and digits.below(3):
                addr, length = self.wrong_range("mprotect", addr, length, digits)
            if digits.once_in(4):
                prot |= digits.of((0x10000000, 8))
        self.call(actor, "mprotect", addr, length, prot)

    def mlock(self, actor: Actor, digits: Digits) -> None:
        addr, length = self.range(actor, digits)
        if digits.once_in(12):
            self.limit_locks(actor, digits.below(3) * self.page)
        if self.errs(digits, 8):
            addr, length = self.wrong_range("mlock", addr, length, digits)
        self.call(actor, "mlock", addr, length)

    def munlock(self, actor: Actor, digits: Digits) -> None:
        addr, length = self.range(actor, digits)
        if self.errs(digits, 8):
            addr, length = self.wrong_range("munlock", addr, length, digits)
        self.call(actor, "munlock", addr, length)

    def mlock2(self, actor: Actor, digits: Digits) -> None:
        addr, length = self.range(actor, digits)
        self.call(actor, "mlock2", addr, length, digits.of((MLOCK_ONFAULT, MLOCK_ONFAULT, 0, 2)))

    def munlockall(self, actor: Actor, digits: Digits) -> None:
        self.call(actor, "munlockall")

    def madvise(self, actor: Actor, digits: Digits) -> None:
        self.advise(actor, digits, digits.of(ADVICE))

    def inherit(self, actor: Actor, digits: Digits) -> None:
        """Say what a child is to have."""
        first, second = digits.of(INHERITED)
        addr, length = self.advise(actor, digits, first)
        if second:
            self.call(actor, "madvise", addr, length, second)

    def advise(self, actor: Actor, digits: Digits, advice: int) -> tuple[int, int]:
        """Say something of a range; which it was."""
        addr, length = self.range(actor, digits, FITTING.get(advice, lambda mapping: mapping.stored))
        for _ in range((2 if digits.once_in(3) else 1) if self.errs(digits, 6) else 0):
            wrong = digits.below(3)
            if wrong == 0:
                addr += 1
            elif wrong == 1:
                advice = 99
            else:
                length = digits.of((0, (1 << self.bits) - self.page))
        done = self.call(actor, "madvise", addr, length, advice)
        if advice == MADV_FREE and done and length:  # what is stored from now on stays
            self.call(actor, "store", addr, b"kept")
        return addr, length

    def mseal(self, actor: Actor, digits: Digits) -> None:
        """Seal what is mapped in a range."""
        addr, length = self.range(actor, digits)
        flags = 0
        if self.errs(digits, 6):
            flags = digits.below(2)
            addr, length = self.wrong_range("mseal", addr, length, digits)
        if self.bits == 64:
            self.call(actor, "mseal", addr, length, flags)

    def mincore(self, actor: Actor, digits: Digits) -> None:
        addr, length = self.range(actor, digits)
        if self.errs(digits, 4):
            addr, length = self.wrong_range("mincore", addr, length, digits)
        self.call(actor, "mincore", addr, length)

    def sysconf(self, actor: Actor, digits: Digits) -> None:
        self.call(actor, "sysconf", digits.of((SC_PAGESIZE, -1, 9999)))
