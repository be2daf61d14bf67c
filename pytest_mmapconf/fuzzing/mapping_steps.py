"""The steps that map, unmap, move, protect, synchronise and lock memory."""

from __future__ import annotations

from collections import abc
from typing import Final

from ..contract import (
    MADV_COLD,
    MADV_DOFORK,
    MADV_DONTFORK,
    MADV_DONTNEED,
    MADV_DONTNEED_LOCKED,
    MADV_FREE,
    MADV_KEEPONFORK,
    MADV_NORMAL,
    MADV_PAGEOUT,
    MADV_POPULATE_READ,
    MADV_POPULATE_WRITE,
    MADV_RANDOM,
    MADV_REMOVE,
    MADV_SEQUENTIAL,
    MADV_WILLNEED,
    MADV_WIPEONFORK,
    MAP_DENYWRITE,
    MAP_EXECUTABLE,
    MAP_NORESERVE,
    MAP_STACK,
    MAP_UNINITIALIZED,
    MLOCK_ONFAULT,
    PROT_GROWSUP,
    SC_PAGESIZE,
    Facility,
    Resource,
)
from ..reference.constants import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_HUGETLB,
    MAP_LOCKED,
    MAP_NONBLOCK,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    MS_ASYNC,
    MS_INVALIDATE,
    MS_SYNC,
    PROT_EXEC,
    PROT_GROWSDOWN,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
)
from ..reference.mapping import Mapping
from .draws import Draws
from .invalid_calls import (
    HEADROOM_PAGES,
    LARGE_PAGES,
    LOW_PAGES,
    MMAP_MISTAKES,
    MREMAP_MISTAKES,
    OVER_LIMIT_PAGES,
    MmapCall,
    MremapCall,
)
from .model_view import MAX_PAGES, SLOTS, Actor
from .unusual_mmaps import RESERVED_BYTES, UnusualMmaps

RW: Final = PROT_READ | PROT_WRITE
PROTECTIONS: Final = (
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
EXTRA_FLAGS: Final = (
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
MSYNC_FLAGS: Final = (MS_ASYNC, MS_SYNC, MS_SYNC, MS_SYNC | MS_INVALIDATE, 0, MS_ASYNC | MS_INVALIDATE, MS_INVALIDATE)

ADVICE: Final = (
    *(MADV_DONTNEED,) * 5,
    *(MADV_WIPEONFORK, MADV_DONTFORK, MADV_KEEPONFORK, MADV_DOFORK, MADV_REMOVE, MADV_DONTNEED_LOCKED) * 2,
    *(MADV_FREE, MADV_FREE, MADV_POPULATE_READ, MADV_POPULATE_WRITE),
    *(MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_COLD, MADV_PAGEOUT),
)
FORK_ADVICE: Final = (
    (MADV_WIPEONFORK, 0),
    (MADV_DONTFORK, 0),
    (MADV_WIPEONFORK, MADV_KEEPONFORK),
    (MADV_DONTFORK, MADV_DOFORK),
)
"""Pairs of advice about inheritance by a child, and the advice that revokes it (0 for none)."""

HUGE_4_KIB: Final = 12 << 26
"""Flags that request huge pages of 4 KiB, a size that does not exist."""

FEW_MAPPINGS: Final = 1000
"""Largest limit of mappings that a program exhausts."""


REVEALING: Final[abc.Mapping[int, abc.Callable[[Mapping], bool]]] = {
    MADV_DOFORK: lambda mapping: mapping.dont_fork,
    MADV_KEEPONFORK: lambda mapping: mapping.wipe_on_fork,
    MADV_DONTNEED_LOCKED: lambda mapping: mapping.locked,
    MADV_REMOVE: lambda mapping: mapping.shared and mapping.max_prot & PROT_WRITE != 0,
}
"""For each advice, a predicate of the mappings that show its effect; the default is mappings with private pages."""


class MappingSteps(UnusualMmaps):
    """Steps with calls about mappings."""

    def mmap(self, actor: Actor, draws: Draws) -> None:
        page = self.page
        shared = draws.below(2)
        anonymous = draws.below(3) == 2
        prot = draws.choice(PROTECTIONS)
        where = draws.below(8)
        slot = self.draw_slot(actor, draws, where in (4, 5))
        length = self.draw_length(draws)
        offset = draws.choice((0, 0, 0, 1, 2, 3)) * page
        extra = draws.choice(EXTRA_FLAGS)
        flags = MAP_SHARED if shared else MAP_PRIVATE
        addr = 0
        if where >= 2:
            addr = slot
            flags |= MAP_FIXED if where < 6 else MAP_FIXED_NOREPLACE if where == 6 else 0
        flags |= extra
        if self.makes_mistake(draws, 5):
            return self.mmap_invalid(actor, draws, addr, length, prot, flags)
        if draws.one_in(6):
            return self.map_unusual(actor, draws, MmapCall(addr, length, prot, flags))
        fd = -1 if anonymous else self.descriptor(actor, draws, True, bool(shared and prot & PROT_WRITE))
        flags |= MAP_ANONYMOUS if anonymous else 0
        got = self.map_region(actor, addr, length, prot, flags, fd, 0 if anonymous else offset)
        populated = flags & (MAP_LOCKED | MAP_POPULATE) or actor.model.locks_future
        if got is not None and populated and draws.below(2):  # before any access to the pages
            self.call(actor, "mincore", got, min(length, self.symbolic(actor, got)[1]))
        return None

    def map_large(self, actor: Actor, draws: Draws) -> None:
        """Map a region large enough that two of them exceed RLIMIT_AS, sometimes over an existing one."""
        limit = actor.model.address_space_limit
        if limit is None or limit > actor.model.space.size + 2 * HEADROOM_PAGES * self.page:
            self.call(actor, "set_limit_headroom", Resource.ADDRESS_SPACE, HEADROOM_PAGES * self.page)
        flags = draws.choice((MAP_PRIVATE, MAP_SHARED)) | MAP_NORESERVE | MAP_ANONYMOUS
        large = [mapping for mapping in actor.model.space.mappings.values() if self.is_large(mapping)]
        if large and draws.below(2) and self.level == "linux":  # elsewhere there may not be so much memory
            mapping = draws.choice(large)
            addr, room = self.symbolic(actor, mapping.start)
            self.map_region(actor, addr, min(room, mapping.end - mapping.start), PROT_NONE, flags | MAP_FIXED, -1, 0)
        else:
            self.map_region(
                actor,
                0,
                draws.choice((LARGE_PAGES, LARGE_PAGES, OVER_LIMIT_PAGES)) * self.page,
                PROT_NONE,
                flags,
                -1,
                0,
            )

    def reach_data_limit(self, actor: Actor, draws: Draws) -> None:
        """Make two large mappings under RLIMIT_DATA, which counts only private writable memory."""
        self.call(actor, "set_limit_headroom", Resource.ADDRESS_SPACE, RESERVED_BYTES)  # remove the limit
        self.call(actor, "set_limit_headroom", Resource.DATA, HEADROOM_PAGES * self.page)
        size = LARGE_PAGES * self.page
        kinds = (RW, MAP_PRIVATE), (PROT_READ, MAP_PRIVATE), (RW, MAP_SHARED)
        drawn = [draws.choice(kinds) for _ in range(2)]
        flags = MAP_NORESERVE | MAP_ANONYMOUS
        got = [self.call(actor, "mmap", 0, size, prot, type | flags, -1, 0) for prot, type in drawn]
        for addr in got:
            if addr is not None:
                self.call(actor, "munmap", addr, size)
        self.call(actor, "set_limit_headroom", Resource.DATA, RESERVED_BYTES)  # remove the limit

    def map_growing(self, actor: Actor, draws: Draws) -> None:
        """Map memory that grows downwards, sometimes with little space below it."""
        if draws.one_in(6):
            self.call(actor, "set_limit_headroom", Resource.STACK, (2 + draws.below(2)) * self.page)
        base = actor.regions[0][0] + (2 + draws.below(SLOTS - 1)) * self.unit
        prot = draws.choice((RW, PROT_READ, PROT_READ))
        flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN
        self.map_region(actor, base, self.page, prot, flags, -1, 0)
        if draws.one_in(3):  # the memory grows until it reaches this mapping
            flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
            self.map_region(actor, base - 2 * self.unit, self.page, RW, flags, -1, 0)

    def access_below_growing(self, actor: Actor, draws: Draws) -> None:
        """Access the addresses below memory that grows downwards, or change its protection with PROT_GROWSDOWN."""
        growing = [mapping for mapping in actor.model.space.mappings.values() if mapping.grows_down]
        if not growing:
            return self.map_growing(actor, draws)
        mapping = draws.choice(growing)
        left = actor.model.space.find(mapping.start - 1)
        if mapping.merged or (left and left.grows_down):  # the system may have one mapping here, or several
            return None
        if draws.one_in(4):
            addr, room = self.symbolic(actor, mapping.end - self.page)
            self.call(actor, "mprotect", addr, min(self.page, room), draws.choice(PROTECTIONS) | PROT_GROWSDOWN)
            return None
        addr, room = self.symbolic(actor, mapping.start - draws.choice((1, self.page, self.page + 1, 2 * self.page)))
        if room and draws.below(2):
            self.call(actor, "store", addr, b"x")
        elif room:
            self.call(actor, "load", addr, 1)
        return None

    def reach_mapping_limit(self, actor: Actor, draws: Draws) -> None:
        """Map, unmap or move memory at the limit of mappings, if that limit is low."""
        try:
            limit = self.system.mapping_limit()
        except NotImplementedError as error:
            self.lacks["mapping_limit"] = str(error)
            return
        if limit > FEW_MAPPINGS:
            return
        addr, size = actor.regions[0][0] + self.unit, 3 * self.page
        flags = MAP_PRIVATE | MAP_ANONYMOUS
        self.call(actor, "mmap", addr, size, RW, flags | MAP_FIXED, -1, 0)
        pages = 2 * limit
        got = self.call(actor, "mmap", 0, pages * self.page, PROT_NONE, flags, -1, 0)
        if got is not None:
            self.call(actor, "fragment", got, pages)
            wanted = draws.below(3)
            if wanted == 0:
                self.call(actor, "mremap", addr, size, size, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0)
            elif wanted == 1:
                self.call(actor, "munmap", addr + self.unit, self.page)
            else:
                # The last of these calls may exceed the limit.
                for number, prot in ((3, PROT_READ), (4, PROT_NONE), (5, PROT_READ)):
                    self.call(actor, "mmap", addr + number * self.unit, self.page, prot, flags | MAP_FIXED, -1, 0)
            self.call(actor, "munmap", got, pages * self.page)

    def is_large(self, mapping: Mapping) -> bool:
        return mapping.end - mapping.start > LARGE_PAGES * self.page // 2

    def map_dev_zero(self, actor: Actor, draws: Draws) -> None:
        """Map /dev/zero, or read from it."""
        page = self.page
        fd = self.special_file(actor, draws, Facility.DEV_ZERO)
        if draws.one_in(3):
            self.call(actor, "pread", fd, 8, 0)
            return
        flags = draws.choice((MAP_PRIVATE, MAP_SHARED)) | draws.choice((0, 0, MAP_FIXED))
        addr = self.draw_slot(actor, draws) if flags & MAP_FIXED else 0
        self.map_region(
            actor,
            addr,
            self.draw_length(draws),
            draws.choice(PROTECTIONS),
            flags,
            fd,
            draws.choice((0, 0, page, 1 << 40)),
        )

    def mmap_invalid(self, actor: Actor, draws: Draws, addr: int, length: int, prot: int, flags: int) -> None:
        """Make a call with one mistake, or two."""
        call = MmapCall(addr, length, prot, flags)
        self.choose_mistake(MMAP_MISTAKES, draws)(self, actor, draws, call)
        if draws.one_in(2):
            draws.choice(MMAP_MISTAKES)[1](self, actor, draws, call)
        if call.fd is None:
            call.fd = self.descriptor(actor, draws, True, bool(call.flags & MAP_SHARED and call.prot & PROT_WRITE))
        length = call.length & ((1 << self.bits) - 1)
        if call.flags & MAP_HUGETLB and call.flags & MAP_ANONYMOUS:  # the file system decides the order of errors
            call = MmapCall(0, length, call.prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | HUGE_4_KIB, -1)
        assert call.fd is not None
        self.map_region(actor, call.addr, length, call.prot, call.flags, call.fd, call.offset)

    def munmap(self, actor: Actor, draws: Draws) -> None:
        addr, length = self.draw_range(actor, draws)
        if self.makes_mistake(draws, 6):
            addr, length = self.invalid_range("munmap", addr, length, draws)
        self.call(actor, "munmap", addr, length)

    def invalid_range(self, call: str, addr: int, length: int, draws: Draws) -> tuple[int, int]:
        """Return a range with one mistake, or two."""
        page = self.page
        for _ in range(2 if draws.one_in(3) else 1):
            mistake = draws.below(4)
            if mistake == 0:  # mlock and munlock round down; the range must stay within the page
                addr = addr - addr % page + draws.choice((1, page - 1))
                length = 1 if "lock" in call and length else length
            elif mistake == 1:
                length = 0
            elif mistake == 2:
                length = self.wrapping_length(draws.choice((page, 1)), length)
            elif call != "mprotect":  # mprotect has effects before it fails
                addr = (1 << (self.bits - 1)) - page
        return addr, length

    def has_much_to_preserve(self, mapping: Mapping) -> bool:
        """Return True if a move has much to preserve: private pages, a lock, a maximum protection, a large size."""
        return (
            mapping.has_private_pages or mapping.locked or not mapping.max_prot & PROT_WRITE or self.is_large(mapping)
        )

    def mremap(self, actor: Actor, draws: Draws) -> None:
        page = self.page
        mapping = self.choose_mapping(actor, draws, self.has_much_to_preserve)
        if mapping is None:
            return
        shape = draws.below(8)
        which = draws.below(12)
        new_size = (1 + draws.below(MAX_PAGES)) * page - draws.choice((0, 0, 0, 1))
        how = draws.below(7)
        slot = self.draw_slot(actor, draws)
        addr, old_size = mapping.start, mapping.end - mapping.start
        at = addr + which % (old_size // page) * page
        if shape in (2, 3):
            addr, old_size = at, mapping.end - at
            if shape == 3:
                old_size = min(old_size, (1 + which % 2) * page)
                new_size = draws.choice((new_size, page))
        elif shape == 4 and mapping.requested_shared:
            addr, old_size = at, 0
        elif shape == 5:  # a range of several mappings, with or without holes
            addr, old_size = self.draw_slot(actor, draws, True), (2 + which % 2) * page
            new_size = old_size if draws.below(4) else new_size
            how = draws.choice((how, 3))
        elif shape == 6:
            old_size -= draws.choice((1, page - 1))
        if self.is_large(mapping):
            new_size = draws.choice((mapping.end - addr, mapping.end - addr + page, page))
        addr, room = self.symbolic(actor, addr)
        flags = (MREMAP_MAYMOVE, MREMAP_MAYMOVE, 0, MREMAP_MAYMOVE | MREMAP_FIXED)[how % 4]
        new_addr = 0
        if how >= 5 and (not mapping.locked or self.is_single_vma(mapping)):
            flags = MREMAP_MAYMOVE | MREMAP_DONTUNMAP | draws.choice((0, 0, MREMAP_FIXED))
            new_addr = slot * draws.below(2)  # a hint
            new_size = old_size - draws.choice((0, 0, 0, 1))
        if flags & MREMAP_FIXED:
            flags, new_addr = (flags, slot) if not self.is_large(mapping) else (flags & ~MREMAP_FIXED, 0)
        call = MremapCall(mapping, addr, old_size, new_size, flags, new_addr, room, slot)
        if self.makes_mistake(draws, 5):
            for _ in range(2 if draws.one_in(3) else 1):
                draws.choice(MREMAP_MISTAKES)(self, actor, draws, call)
        self.mremap_within_regions(actor, draws, call)

    def mremap_within_regions(self, actor: Actor, draws: Draws, call: MremapCall) -> None:
        """Make a call of mremap, unless it could affect memory outside the regions."""
        mapping = call.mapping
        # With MREMAP_FIXED, the move would replace the end of the range before the call fails.
        if call.old_size < actor.model.task_size or call.flags & MREMAP_FIXED:
            call.old_size = min(call.old_size, self.symbolic(actor, call.addr)[1])
        if call.flags & MREMAP_FIXED and self.has_dev_zero_among_several(actor, call.addr, call.old_size):
            return
        locked = mapping.locked
        if call.flags & MREMAP_FIXED and not call.new_addr:  # the call unmaps the tail before it fails
            call.new_size = max(call.new_size, call.old_size)
            # A larger range at address 0 may contain the subject's own program.
            if LOW_PAGES * self.page < call.new_size <= actor.model.task_size:
                return
        old_size, new_size = (size & ((1 << self.bits) - 1) for size in (call.old_size, call.new_size))
        overlaps = call.new_addr < call.addr + old_size and call.addr < call.new_addr + new_size
        if overlaps and not call.flags & MREMAP_FIXED:
            call.new_addr = 0  # a libc need not pass a hint on (musl does not), and then the call succeeds
        got = self.call(actor, "mremap", call.addr, old_size, new_size, call.flags, call.new_addr)
        if got is not None:
            self.add_region(actor, got)
            if locked and draws.below(2):  # the pages that were added are resident
                self.call(actor, "mincore", got, min(new_size, self.symbolic(actor, got)[1]))

    def is_single_vma(self, mapping: Mapping) -> bool:
        """Return True if a mapping is certainly one VMA: MREMAP_DONTUNMAP then removes its lock as a whole."""
        left, right = mapping.space.find(mapping.start - 1), mapping.space.find(mapping.end)
        separate = not (left and mapping.is_like(left)) and not (right and right.is_like(mapping))
        return separate and not mapping.merged and not mapping.is_untouched

    def has_dev_zero_among_several(self, actor: Actor, addr: int, length: int) -> bool:
        """Return True if a range holds mappings of /dev/zero and is not a single mapping.

        Linux moves several mappings in one call, unless the driver of one places its mappings itself; those before it
        have moved by then.
        """
        space, start, end = actor.model.space, int(addr), int(addr) + length
        sources = space.over(start, end)
        zeros = any(source.description and source.description.inode.device for source in sources)
        return zeros and (len(sources) > 1 or sources[0].merged or space.hole(start, end) is not None)

    def msync(self, actor: Actor, draws: Draws) -> None:
        page = self.page
        addr, length = self.draw_range(actor, draws, lambda mapping: mapping.shared and mapping.inode is not None)
        flags = draws.choice(MSYNC_FLAGS)
        for _ in range((2 if draws.one_in(3) else 1) if self.makes_mistake(draws, 6) else 0):
            mistake = draws.below(6)
            if mistake == 0:
                addr += 1
            elif mistake == 5:
                length = 0
            elif mistake == 1:
                flags |= 8
            elif mistake == 2:
                flags = MS_ASYNC | MS_SYNC
            else:
                length = self.wrapping_length(1 if mistake == 3 else page, length)
        self.call(actor, "msync", addr, length, flags)

    def is_sensitive_to_protection(self, mapping: Mapping) -> bool:
        """Return True if a new protection can show content, copy locked pages, or lose private pages."""
        return not mapping.prot or mapping.has_private_pages or (mapping.locked and not mapping.shared)

    def mprotect(self, actor: Actor, draws: Draws) -> None:
        addr, length = self.draw_range(actor, draws, self.is_sensitive_to_protection)
        prot = draws.choice(PROTECTIONS)
        if self.makes_mistake(draws, 6):
            denying = [mapping for mapping in actor.model.space.mappings.values() if not mapping.max_prot & PROT_WRITE]
            mistake = draws.below(4)
            if mistake < 2 and denying:
                mapping = draws.choice(denying)
                addr, room = self.symbolic(actor, mapping.start)
                prot, length = (
                    prot | PROT_WRITE,
                    min(mapping.end - mapping.start + draws.choice((0, 1, 1, 2)) * self.page, room),
                )
            elif mistake == 2:
                grows = any(mapping.grows_down for mapping in actor.model.space.mappings.values())
                prot |= draws.choice((0x10000000, PROT_GROWSDOWN | PROT_GROWSUP, 8, 0 if grows else PROT_GROWSDOWN))
            if mistake in (0, 3) and draws.below(3):
                addr, length = self.invalid_range("mprotect", addr, length, draws)
            if draws.one_in(4):
                prot |= draws.choice((0x10000000, 8))
        self.call(actor, "mprotect", addr, length, prot)

    def mlock(self, actor: Actor, draws: Draws) -> None:
        addr, length = self.draw_range(actor, draws)
        if draws.one_in(12):
            self.set_lock_headroom(actor, draws.below(3) * self.page)
        if self.makes_mistake(draws, 8):
            addr, length = self.invalid_range("mlock", addr, length, draws)
        self.call(actor, "mlock", addr, length)

    def munlock(self, actor: Actor, draws: Draws) -> None:
        addr, length = self.draw_range(actor, draws)
        if self.makes_mistake(draws, 8):
            addr, length = self.invalid_range("munlock", addr, length, draws)
        self.call(actor, "munlock", addr, length)

    def mlock2(self, actor: Actor, draws: Draws) -> None:
        addr, length = self.draw_range(actor, draws)
        self.call(actor, "mlock2", addr, length, draws.choice((MLOCK_ONFAULT, MLOCK_ONFAULT, 0, 2)))

    def munlockall(self, actor: Actor, draws: Draws) -> None:
        self.call(actor, "munlockall")

    def madvise(self, actor: Actor, draws: Draws) -> None:
        self.advise(actor, draws, draws.choice(ADVICE))

    def advise_inheritance(self, actor: Actor, draws: Draws) -> None:
        """Advise what a child inherits, and sometimes revoke that."""
        first, second = draws.choice(FORK_ADVICE)
        addr, length = self.advise(actor, draws, first)
        if second:
            self.call(actor, "madvise", addr, length, second)

    def advise(self, actor: Actor, draws: Draws, advice: int) -> tuple[int, int]:
        """Give advice on a range; return the range."""
        addr, length = self.draw_range(actor, draws, REVEALING.get(advice, lambda mapping: mapping.has_private_pages))
        for _ in range((2 if draws.one_in(3) else 1) if self.makes_mistake(draws, 6) else 0):
            mistake = draws.below(3)
            if mistake == 0:
                addr += 1
            elif mistake == 1:
                advice = 99
            else:
                length = draws.choice((0, self.wrapping_length(self.page, length)))
        done = self.call(actor, "madvise", addr, length, advice)
        if advice == MADV_FREE and done and length:  # later stores are preserved
            self.call(actor, "store", addr, b"kept")
        return addr, length

    def mseal(self, actor: Actor, draws: Draws) -> None:
        """Seal the mappings of a range."""
        addr, length = self.draw_range(actor, draws)
        flags = 0
        if self.makes_mistake(draws, 6):
            flags = draws.below(2)
            addr, length = self.invalid_range("mseal", addr, length, draws)
        if self.bits == 64:
            self.call(actor, "mseal", addr, length, flags)

    def mincore(self, actor: Actor, draws: Draws) -> None:
        addr, length = self.draw_range(actor, draws)
        if self.makes_mistake(draws, 4):
            addr, length = self.invalid_range("mincore", addr, length, draws)
        self.call(actor, "mincore", addr, length)

    def sysconf(self, actor: Actor, draws: Draws) -> None:
        self.call(actor, "sysconf", draws.choice((SC_PAGESIZE, -1, 9999)))
