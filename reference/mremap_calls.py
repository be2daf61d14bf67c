"""mremap: the call that resizes, moves and duplicates mappings.

It has the order of `mapping_calls`: its arguments, decoded into a request; ERRORS, EFFECT, RESULT.
"""

from __future__ import annotations

from collections.abc import Sequence
from errno import EAGAIN, EFAULT, EINVAL, ENOMEM, EPERM
from functools import partial
from typing import NamedTuple

from .constants import MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE
from .mapping import Mapping
from .refusal import Refusals
from .state import State


class MremapRequest(NamedTuple):
    """A call of mremap, decoded."""

    addr: int
    old: int
    """old_size in whole pages, in bytes."""
    new: int
    """new_size in whole pages, in bytes."""
    flags: int
    new_addr: int
    merging: Sequence[Mapping]
    """Mappings after the one at addr, up to the end of the old range, that Linux has merged with it."""

    @property
    def fixed(self) -> bool:
        """True if the new range begins at new_addr."""
        return self.flags & MREMAP_FIXED != 0

    @property
    def keeps_source(self) -> bool:
        """True if the old range stays mapped, without its pages."""
        return self.flags & MREMAP_DONTUNMAP != 0

    def reach(self, mapping: Mapping) -> int:
        """Return the end of the mapping at addr, with those that Linux has merged with it."""
        return self.merging[-1].end if self.merging else mapping.end

    @property
    def must_move(self) -> bool:
        """True if the mapping cannot stay at addr."""
        return self.flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) != 0

    @property
    def only_moves(self) -> bool:
        """True if the range moves to new_addr and keeps its size: it may then consist of several mappings."""
        return self.fixed and self.old == self.new


class MremapCalls(State):
    """The call that resizes, moves and duplicates mappings."""

    def mremap(self, addr: int, old_size: int, new_size: int, flags: int, new_addr: int = 0) -> int:
        space = self.space
        mapping = space.find(addr & self.mask)
        request = self.decode_mremap(mapping, addr, old_size, new_size, flags, new_addr)
        addr, old, new, flags = request.addr, request.old, request.new, request.flags
        in_place = not request.must_move and (new <= old or self.grows_in_place(mapping, request))
        place = self.place_moved(request, in_place)

        # ERRORS
        with self.errors("mremap") as refuse:
            if flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP):
                refuse(EINVAL, "mremap.errno.EINVAL", "flags-unknown", "flags contain an unknown bit")
            if addr % self.page:
                refuse(EINVAL, "mremap.errno.EINVAL", "addr-unaligned", "addr is not a multiple of the page size")
            self.refuse_new_size(refuse, request, new_size & self.mask)
            if request.must_move:
                self.refuse_new_address(refuse, request)
            if mapping is None:
                refuse(EFAULT, "mremap.errno.EFAULT", "addr-unmapped", "nothing is mapped at addr")
            elif request.only_moves:
                self.refuse_parts(refuse, request)
            else:
                self.refuse_one(refuse, request, mapping, place, in_place)
            if request.fixed and refuse.target is None and self.is_valid_target(request):
                refuse.target = space, request.new_addr, request.new_addr + new

        # EFFECT
        assert mapping is not None
        assert place is not None
        space.merge_across_moves(mapping, addr + old)
        if request.fixed:
            space.clear_target(addr, old, place, new)
        if new < old:
            space.clear(addr + new, addr + old)
            old = new
        if not in_place:
            space.move(addr, old, place, new, keep=request.keeps_source)
        elif new > old:
            space.grow(mapping, new - old)
            space.merge_adjacent(mapping.end, mapping.end)
        if new > old and mapping.locked:
            space.populate(place + old, place + new)

        # RESULT
        return place

    def decode_mremap(
        self, mapping: Mapping | None, addr: int, old_size: int, new_size: int, flags: int, new_addr: int
    ) -> MremapRequest:
        """Return what a call of mremap asks for, of the mapping at addr; invalid arguments are kept for the errors."""
        addr &= self.mask
        old = self.round_up(old_size)
        merging = () if mapping is None else self.space.mergeable(mapping, addr + old)
        return MremapRequest(addr, old, self.round_up(new_size), int(flags), new_addr & self.mask, merging)

    def place_moved(self, request: MremapRequest, in_place: bool) -> int | None:
        """Return the address at which the resized mapping begins; None if no gap is large enough."""
        if request.fixed:
            return request.new_addr
        if in_place or not 0 < request.new <= self.task_size:
            return request.addr
        return self.choices.place(self.space, request.new, request.new_addr if request.must_move else 0)

    def grows_in_place(self, mapping: Mapping | None, request: MremapRequest) -> bool:
        """True if the old range ends where its mapping does, and the mapping can grow there to the new size."""
        end = request.addr + request.old
        new_end = request.addr + request.new
        return (
            mapping is not None
            and end == request.reach(mapping)
            and self.space.is_free(end, new_end)
            and self.choices.grows_in_place(request.addr, new_end)
        )

    def refuse_new_size(self, refuse: Refusals, request: MremapRequest, new_size: int) -> None:
        """Refuse a new size, `new_size` bytes before it was rounded up, that no mapping can have."""
        if request.new == 0:
            refuse(EINVAL, "mremap.errno.EINVAL", "new-size-zero", "new_size is 0")
        too_large = request.new > self.task_size
        if too_large:
            refuse(
                EINVAL,
                "mremap.errno.EINVAL.new-size",
                "new-size-too-large",
                "new_size is larger than the address space",
            )
        if too_large or (new_size > self.mask // 2 and self.choices.libc_refuses(ENOMEM)):
            refuse(
                ENOMEM,
                "mremap.errno.ENOMEM",
                "libc-new-size",
                "new_size is larger than any object: an error of the C library, and of Linux before 6.17",
            )

    def refuse_new_address(self, refuse: Refusals, request: MremapRequest) -> None:
        """Refuse a new range that cannot be used, or not with these flags."""
        addr, old, new, new_addr = request.addr, request.old, request.new, request.new_addr
        may_move = request.flags & MREMAP_MAYMOVE

        if new_addr > self.task_size - new:
            refuse(
                EINVAL,
                "mremap.errno.EINVAL.new-address",
                "new-range-outside",
                "the new range is outside the address space",
            )
        if new_addr % self.page:
            refuse(
                EINVAL,
                "mremap.errno.EINVAL.new-address",
                "new-addr-unaligned",
                "new_addr is not a multiple of the page size",
            )
        if request.fixed and not may_move:
            refuse(
                EINVAL,
                "mremap.errno.EINVAL.fixed",
                "fixed-without-maymove",
                "MREMAP_FIXED requires MREMAP_MAYMOVE",
            )
        if request.keeps_source and not may_move:
            refuse(
                EINVAL,
                "mremap.errno.EINVAL.dontunmap",
                "dontunmap-without-maymove",
                "MREMAP_DONTUNMAP requires MREMAP_MAYMOVE",
            )
        if request.keeps_source and old != new:
            refuse(
                EINVAL,
                "mremap.errno.EINVAL.dontunmap-size",
                "dontunmap-resizes",
                "MREMAP_DONTUNMAP cannot change the size",
            )
        if (addr + old) & self.mask > new_addr and new_addr + new > addr:
            refuse(EINVAL, "mremap.errno.EINVAL.overlap", "ranges-overlap", "the old and the new range overlap")
        if self.exceeds_max_map_count(6 - len(request.merging)):
            refuse(ENOMEM, "mremap.errno.ENOMEM.count", "move-mapping-limit", "moving could make too many mappings")

    def refuse_parts(self, refuse: Refusals, request: MremapRequest) -> None:
        """Refuse to move a range that keeps its size, by its first mapping that cannot move.

        Linux moves one mapping after the other, each to its part of the new range, so those before it have moved.
        """
        space = self.space
        addr, end = request.addr, request.addr + request.old
        distance = request.new_addr - addr
        has_valid_arguments = not refuse.count
        more = data = 0
        for mapping in space.over(addr, end):
            start, stop = max(addr, mapping.start), min(end, mapping.end)
            more -= space.mapped(start + distance, stop + distance)
            if request.keeps_source:
                more += stop - start
                data += (stop - start) * mapping.is_data
            before = refuse.count
            if mapping.sealed:
                refuse(EPERM, "mremap.errno.EPERM", "mapping-sealed", "the mapping is sealed")
            self.refuse_target(refuse, start + distance, stop + distance)
            if request.keeps_source:
                self.refuse_growth(refuse, request, more, data)
            if refuse.count > before:
                if has_valid_arguments:
                    refuse.target = space, start + distance, stop + distance
                    refuse.prefix = partial(self.move_parts, request, start)
                return

    def move_parts(self, request: MremapRequest, end: int) -> None:
        """Move the mappings of the old range that begin before `end`."""
        addr, new_addr, size = request.addr, request.new_addr, end - request.addr
        if size:
            self.space.clear_target(addr, size, new_addr, size)
            self.space.move(addr, size, new_addr, size, keep=request.keeps_source)

    def refuse_one(
        self, refuse: Refusals, request: MremapRequest, mapping: Mapping, place: int | None, in_place: bool
    ) -> None:
        """Refuse to resize, to move or to duplicate a mapping."""
        if mapping.sealed:
            refuse(EPERM, "mremap.errno.EPERM", "mapping-sealed", "the mapping is sealed")
        elif request.new > request.old or request.must_move:
            self.refuse_resizing(refuse, request, mapping)
            if request.fixed:
                start, end = request.new_addr, request.new_addr + request.new
                self.refuse_target(refuse, start, end)
                if request.old == 0 and start <= request.addr < end:
                    refuse(
                        EFAULT,
                        "mremap.errno.EFAULT",
                        "duplicate-replaces-source",
                        "the duplicate would replace its source",
                        late=True,
                    )
            elif not in_place:
                self.refuse_moving(refuse, request, place)
        self.refuse_shrinking(refuse, request)

    def refuse_resizing(self, refuse: Refusals, request: MremapRequest, mapping: Mapping) -> None:
        """Refuse to grow or to move a mapping."""
        addr, old, new = request.addr, request.old, request.new

        if old == 0 and not mapping.requested_shared:
            refuse(
                EINVAL,
                "mremap.errno.EINVAL.old-size-zero",
                "duplicate-private",
                "a private mapping cannot be duplicated",
            )
        joined = mapping.merged or request.merging
        if min(old, new) > request.reach(mapping) - addr or (joined and not self.choices.is_single_vma(mapping)):
            refuse(
                EFAULT, "mremap.errno.EFAULT", "old-range-not-one-mapping", "the old range is not within one mapping"
            )
        if new > old and mapping.locked and self.exceeds_memlock(new - old):
            refuse(EAGAIN, "mremap.errno.EAGAIN", "locked-limit", "too much memory would be locked")
        more = new if request.keeps_source else max(new - old, 0)
        self.refuse_growth(refuse, request, more, more * mapping.is_data)

    def refuse_growth(self, refuse: Refusals, request: MremapRequest, more: int, data: int) -> None:
        """Refuse `more` bytes that exceed a limit of the process, or the memory that the system can commit.

        `data` of them count as data.
        """
        if request.keeps_source and self.exceeds_rlimit_as(more):
            refuse(
                ENOMEM,
                "mremap.dontunmap.limit",
                "address-space-limit-both",
                "the address-space limit is reached by both ranges together",
                late=request.fixed,
            )
        elif self.exceeds_rlimit_as(more):
            refuse(ENOMEM, "mremap.errno.ENOMEM", "address-space-limit", "the address-space limit is reached")
        if data and self.exceeds_rlimit_data(data):
            refuse(ENOMEM, "mremap.errno.ENOMEM.data", "data-limit", "the data limit (RLIMIT_DATA) is reached")
        if not self.choices.has_memory(more):
            refuse(ENOMEM, "mremap.errno.ENOMEM", "overcommit-limit", "the system cannot commit so much memory")

    def is_valid_target(self, request: MremapRequest) -> bool:
        """True if a fixed new range is one that can be mapped."""
        return request.new_addr % self.page == 0 and request.new_addr + request.new <= self.task_size

    def refuse_target(self, refuse: Refusals, start: int, end: int) -> None:
        """Refuse a fixed new range, or a part of it, for what it replaces."""
        if self.space.is_sealed(start, end):
            refuse(EPERM, "mremap.errno.EPERM", "new-range-sealed", "something in the new range is sealed")
            refuse.split = self.space, start, end
        if self.is_too_low(start):
            refuse(EPERM, "mmap.errno.EPERM.zero", "fixed-addr-low", "the fixed address is below mmap_min_addr")

    def refuse_moving(self, refuse: Refusals, request: MremapRequest, place: int | None) -> None:
        """Refuse to move a mapping to an address of the system's choice."""
        if request.old == 0 and not request.flags & MREMAP_MAYMOVE:
            refuse(
                ENOMEM,
                "mremap.errno.ENOMEM.old-size-zero",
                "duplicate-in-place",
                "a duplicate cannot have the address of its source",
            )
        elif not request.flags & MREMAP_MAYMOVE:
            refuse(ENOMEM, "mremap.errno.ENOMEM", "cannot-grow-in-place", "the mapping cannot grow where it is")
        elif place is None:
            refuse(ENOMEM, "mremap.errno.ENOMEM", "no-gap", "no gap of the address space is large enough")
        elif self.exceeds_max_map_count(4 - len(request.merging)):
            refuse(ENOMEM, "mremap.errno.ENOMEM.count", "move-mapping-limit", "moving could make too many mappings")

    def refuse_shrinking(self, refuse: Refusals, request: MremapRequest) -> None:
        """Refuse to unmap the end of the old range, which Linux finds late."""
        addr, old, new = request.addr, request.old, request.new
        if new < old and old > self.task_size - addr:
            refuse(
                EINVAL,
                "mremap.errno.EINVAL",
                "cut-range-outside",
                "the part that shrinking unmaps is outside the address space",
                late=True,
            )
        if new < old and self.space.is_sealed(addr + new, addr + old):
            refuse(
                EPERM,
                "mremap.errno.EPERM",
                "cut-range-sealed",
                "something in the part that shrinking unmaps is sealed",
                late=True,
            )
            refuse.split = self.space, addr + new, addr + old
