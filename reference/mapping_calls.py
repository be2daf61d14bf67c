"""The calls of the documented API, and those beside it that change an address space.

Each call reads in the same order: what its arguments mean in whole pages; *refusals*, every one that applies, in the
order in which Linux looks; *effect*; *result*.
"""

from __future__ import annotations

from errno import (
    EACCES,
    EAGAIN,
    EBADF,
    EBUSY,
    EEXIST,
    EFAULT,
    EINVAL,
    ENFILE,
    ENODEV,
    ENOMEM,
    EOPNOTSUPP,
    EOVERFLOW,
    EPERM,
)
from functools import partial

from ..contract import MCL_CURRENT, MCL_FUTURE, SC_PAGESIZE, SEAL_WRITE, Unsupported
from .address_space import Mapping
from .constants import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_HUGETLB,
    MAP_LOCKED,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MAP_SYNC,
    MAP_TYPE,
    MAP_VALIDATED,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    MS_ASYNC,
    MS_INVALIDATE,
    MS_SYNC,
    PROT_ALL,
    PROT_EXEC,
    PROT_WRITE,
)
from .files import LARGEST, Description, shared_memory
from .refusal import Refusals
from .state import SIZE_MASK, State

SYSCONF_NAMES = range(249)
"""The names that sysconf knows."""


class MappingCalls(State):
    """mmap and its family."""

    # ------------------------------------------------------------------------------------------------------------ mmap

    def mmap(self, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
        space = self.space
        addr, length, offset = addr & SIZE_MASK, length & SIZE_MASK, offset & SIZE_MASK
        prot, flags = int(prot), int(flags)
        size = self.round_up(length)
        fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) != 0
        anonymous = flags & MAP_ANONYMOUS != 0
        shared = flags & MAP_TYPE in (MAP_SHARED, MAP_SHARED_VALIDATE)
        locks = flags & MAP_LOCKED != 0 or self.locks_future
        description = None if anonymous else self.description(fd)
        zeros = anonymous or (description is not None and description.inode.device == "zero")
        place = self.choices.place(space, size, addr) if not fixed and 0 < size <= self.top else addr

        with self.errors("mmap") as refuse:
            if offset % self.page:
                refuse(EINVAL, "mmap.errno.EINVAL", "offset is not a multiple of the page")
            if not anonymous and description is None:
                if fd in self.descriptors:
                    refuse(EBADF, "mmap.errno.EBADF.path", "fd is only a path")
                else:
                    refuse(EBADF, "mmap.errno.EBADF", "fd is not an open descriptor")
            if flags & MAP_HUGETLB:
                if anonymous:
                    refuse(ENOMEM, "mmap.errno.ENOMEM", "there are no huge pages")
                else:
                    refuse(EINVAL, "mmap.errno.EINVAL.type", "the file has no huge pages")
            if length == 0:
                refuse(EINVAL, "mmap.errno.EINVAL", "length is 0")
            elif size == 0 or size > self.top:
                refuse(ENOMEM, "mmap.errno.ENOMEM", "length is larger than the address space")
            if len(space.mappings) > self.machine.most_mappings:
                refuse(ENOMEM, "mmap.errno.ENOMEM", "the process has as many mappings as it may have")
            if fixed:
                self.refuse_address(refuse, addr, size, flags)
            elif place is None:
                refuse(ENOMEM, "mmap.errno.ENOMEM", "no gap of the address space is large enough")
            if flags & MAP_LOCKED and self.may_not_lock():
                refuse(EPERM, "mmap.errno.EPERM.locked", "the process may lock no memory")
            if locks and self.locks_too_much(size):
                refuse(EAGAIN, "mmap.errno.EAGAIN.memory", "too much memory would be locked")
            if description is not None:
                self.refuse_file(refuse, description, size, prot, flags, offset)
            elif anonymous:
                if flags & MAP_TYPE not in (MAP_SHARED, MAP_PRIVATE):
                    refuse(EINVAL, "mmap.errno.EINVAL.type", "flags name neither SHARED nor PRIVATE")
                elif shared and flags & MAP_GROWSDOWN:
                    refuse(EINVAL, "mmap.errno.EINVAL.type", "shared memory cannot grow downwards")
            if self.maps_too_much(size - (space.mapped(addr, addr + size) if fixed else 0)):
                refuse(ENOMEM, "mmap.errno.ENOMEM", "the address-space limit is reached")
            if zeros and shared and self.file_table_full():
                refuse(ENFILE, "mmap.errno.ENFILE", "the mapping needs an open file, and the table is full", late=True)

        assert place is not None
        mapping = Mapping(space, place, place + size, prot & PROT_ALL, shared, locked=locks)
        if not zeros:
            assert description is not None
            mapping.inode, mapping.description, mapping.offset = description.inode, description, offset
            mapping.maximum = self.most_rights(description, shared)
        elif shared:
            mapping.inode = shared_memory(self.machine.memory, size)
            mapping.description = Description(self.machine.file_table, mapping.inode)
        else:
            mapping.description, mapping.offset = description, place
        if fixed:
            space.clear(place, place + size)
        space.insert(mapping)
        space.join(place, place + size)
        if locks or flags & MAP_POPULATE:
            self.populate(place, place + size)

        return place

    def refuse_address(self, refuse: Refusals, addr: int, size: int, flags: int) -> None:
        """What mmap refuses because of the fixed address."""
        space = self.space
        end = addr + size

        if size <= self.top < end:
            refuse(ENOMEM, "mmap.errno.ENOMEM", "the fixed range is outside the address space")
        if addr % self.page:
            refuse(EINVAL, "mmap.errno.EINVAL", "the fixed address is not a multiple of the page")
        self.refuse_low(refuse, addr)
        if size == 0 or end > self.top or addr % self.page:
            return
        if not flags & MAP_FIXED_NOREPLACE:
            refuse.clear = partial(space.clear, addr, end)
            if len(space.mappings) >= self.machine.most_mappings and space.splits(addr, end):
                refuse(ENOMEM, "mmap.errno.ENOMEM", "splitting would make too many mappings")
        elif not space.is_free(addr, end):
            refuse(EEXIST, "mmap.errno.EEXIST", "something is mapped in the fixed range")

    def refuse_low(self, refuse: Refusals, addr: int) -> None:
        """What mmap and mremap refuse because a fixed address is too low."""
        if addr < self.machine.parameters.lowest and "CAP_SYS_RAWIO" not in self.capabilities:
            refuse(EPERM, "mmap.errno.EPERM.zero", "the fixed address is below the lowest allowed one")

    def refuse_file(
        self, refuse: Refusals, description: Description, size: int, prot: int, flags: int, offset: int
    ) -> None:
        """What mmap refuses because of the file."""
        inode = description.inode
        type_ = flags & MAP_TYPE
        shared = type_ in (MAP_SHARED, MAP_SHARED_VALIDATE)

        if inode.kind == "regular" and offset // self.page > (LARGEST - size) // self.page:
            refuse(EOVERFLOW, "mmap.errno.EOVERFLOW", "offset + length is larger than any file")
        if type_ == MAP_SHARED_VALIDATE:
            if flags & ~(MAP_VALIDATED | MAP_SYNC):
                refuse(EOPNOTSUPP, "mmap.errno.EOPNOTSUPP", "flags have a bit that the system does not know")
            elif flags & MAP_SYNC:
                refuse(EOPNOTSUPP, "mmap.errno.EOPNOTSUPP", "the file system has no MAP_SYNC", late=True)
        if shared and prot & PROT_WRITE and not description.writable:
            refuse(EACCES, "mmap.errno.EACCES", "shared and writable, but fd is not open for writing")
        if shared and inode.append_only and description.writable:
            refuse(EACCES, "mmap.errno.EACCES.append-only", "shared, and fd may append to the file only")
        if inode.mandatory_lock:
            refuse(EAGAIN, "mmap.errno.EAGAIN", "the file is locked")
        if type_ not in (MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE):
            refuse(EINVAL, "mmap.errno.EINVAL.type", "flags name neither SHARED nor PRIVATE")
        else:
            if not description.readable:
                refuse(EACCES, "mmap.errno.EACCES", "fd is not open for reading")
            if inode.noexec and prot & PROT_EXEC:
                refuse(EPERM, "mmap.errno.EPERM", "executable, but nothing may be executed from the file system")
            if not inode.mappable:
                refuse(ENODEV, "mmap.errno.ENODEV", "the file cannot be mapped")
            if flags & MAP_GROWSDOWN:
                refuse(EINVAL, "mmap.errno.EINVAL.type", "a file cannot grow downwards")
            if shared and prot & PROT_WRITE and (inode.seals or 0) & SEAL_WRITE:
                refuse(EPERM, "mmap.errno.EPERM.seal", "shared and writable, but the file is sealed against writing")
            if inode.mapping_error:
                refuse(ENODEV, "mmap.errno.ENODEV", "the file turns out not to be mappable", late=True)

    def most_rights(self, description: Description, shared: bool) -> int:
        """The rights that a mapping of a file may ever have: what mprotect may give it."""
        most = PROT_ALL
        if shared and (not description.writable or (description.inode.seals or 0) & SEAL_WRITE):
            most -= PROT_WRITE
        if description.inode.noexec:
            most -= PROT_EXEC
        return most

    def file_table_full(self) -> bool:
        """Whether this process may open no more files."""
        return self.machine.file_table.full and "CAP_SYS_ADMIN" not in self.capabilities

    # ---------------------------------------------------------------------------------------------------------- munmap

    def munmap(self, addr: int, length: int) -> None:
        addr &= SIZE_MASK
        size = self.round_up(length)
        end = addr + size

        with self.errors("munmap") as refuse:
            if addr % self.page:
                refuse(EINVAL, "munmap.errno.EINVAL", "addr is not a multiple of the page")
            if addr > self.top or (length & SIZE_MASK) > self.top - addr:
                refuse(EINVAL, "munmap.errno.EINVAL", "the range is outside the address space")
            if size == 0:
                refuse(EINVAL, "munmap.errno.EINVAL", "length is 0")
            if len(self.space.mappings) >= self.machine.most_mappings and self.space.splits(addr, end):
                refuse(ENOMEM, "munmap.errno.ENOMEM", "splitting would make too many mappings")

        self.space.clear(addr, end)

    # ---------------------------------------------------------------------------------------------------------- mremap

    def mremap(self, addr: int, old_size: int, new_size: int, flags: int, new_addr: int = 0) -> int:
        space = self.space
        addr, new_addr, flags = addr & SIZE_MASK, new_addr & SIZE_MASK, int(flags)
        old, new = self.round_up(old_size), self.round_up(new_size)
        mapping = space.find(addr)
        elsewhere = flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) != 0
        same_fixed = flags & MREMAP_FIXED != 0 and old == new
        maps_more = new > old or elsewhere
        in_place = False
        place: int | None = new_addr if flags & MREMAP_FIXED else addr

        with self.errors("mremap") as refuse:
            if flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP):
                refuse(EINVAL, "mremap.errno.EINVAL", "flags have a bit that the system does not know")
            if addr % self.page:
                refuse(EINVAL, "mremap.errno.EINVAL", "addr is not a multiple of the page")
            if new == 0:
                refuse(EINVAL, "mremap.errno.EINVAL", "new_size is 0")
            if new > self.top:
                refuse(EINVAL, "mremap.errno.EINVAL", "new_size is larger than the address space")
            if elsewhere:
                if new_addr > self.top - new:
                    refuse(EINVAL, "mremap.errno.EINVAL", "the new range is outside the address space")
                if new_addr % self.page:
                    refuse(EINVAL, "mremap.errno.EINVAL", "new_addr is not a multiple of the page")
                if not flags & MREMAP_MAYMOVE:
                    refuse(EINVAL, "mremap.errno.EINVAL", "a new address is asked for without MREMAP_MAYMOVE")
                if flags & MREMAP_DONTUNMAP and old != new:
                    refuse(EINVAL, "mremap.errno.EINVAL", "MREMAP_DONTUNMAP cannot change the size")
                if (addr + old) & SIZE_MASK > new_addr and new_addr + new > addr:
                    refuse(EINVAL, "mremap.errno.EINVAL", "the old and the new range overlap")
                if len(space.mappings) + 2 >= self.machine.most_mappings - 3:
                    refuse(ENOMEM, "mremap.errno.ENOMEM", "moving could make too many mappings")
            if mapping is None:
                refuse(EFAULT, "mremap.errno.EFAULT", "nothing is mapped at addr")
            elif maps_more:
                if old == 0 and not mapping.shared:
                    refuse(EINVAL, "mremap.errno.EINVAL", "a private mapping cannot be duplicated")
                if min(old, new) > mapping.end - addr and not same_fixed:
                    refuse(EFAULT, "mremap.errno.EFAULT", "the old range is not all one mapping")
                if new > old:
                    if mapping.locked and self.locks_too_much(new - old):
                        refuse(EAGAIN, "mremap.errno.EAGAIN", "too much memory would be locked")
                    if self.maps_too_much(new - old):
                        refuse(ENOMEM, "mremap.errno.ENOMEM", "the address-space limit is reached")
                if flags & MREMAP_DONTUNMAP and self.maps_too_much(new):
                    refuse(ENOMEM, "mremap.errno.ENOMEM", "the address-space limit is reached")
                if flags & MREMAP_FIXED:
                    if old == 0 and new_addr <= addr < new_addr + new:
                        refuse.clear = partial(space.clear, new_addr, new_addr + new)
                        refuse(EFAULT, "mremap.errno.EFAULT", "the duplicate replaces what it is made from", late=True)
                    self.refuse_low(refuse, new_addr)
                elif elsewhere or new <= self.top:
                    behind = addr + new
                    in_place = (
                        not elsewhere
                        and old == mapping.end - addr
                        and behind <= self.top
                        and space.is_free(mapping.end, behind)
                    )
                    if not in_place:
                        place = self.choices.place(space, new, new_addr if elsewhere else 0)
                        if not flags & MREMAP_MAYMOVE:
                            refuse(ENOMEM, "mremap.errno.ENOMEM", "the mapping cannot grow where it is")
                        elif place is None:
                            refuse(ENOMEM, "mremap.errno.ENOMEM", "no gap of the address space is large enough")
                        elif len(space.mappings) >= self.machine.most_mappings - 3:
                            refuse(ENOMEM, "mremap.errno.ENOMEM", "moving could make too many mappings")
            if mapping is not None and new < old and old > self.top - addr:
                if flags & MREMAP_FIXED:
                    refuse.clear = partial(space.clear, new_addr, new_addr + new)
                refuse(EINVAL, "mremap.errno.EINVAL", "the part to be cut off is outside the address space", late=True)

        assert mapping is not None
        assert place is not None
        if not elsewhere and new <= old:
            space.clear(addr + new, addr + old)
            return addr
        if in_place:
            space.grow(mapping, new - old)
            space.join(mapping.start, mapping.end)
            place = addr
        else:
            if flags & MREMAP_FIXED:
                self.clear_target(addr, old, place, new)
            if new < old:
                space.clear(addr + new, addr + old)
                old = new
            self.move(addr, old, place, new, keep=flags & MREMAP_DONTUNMAP != 0)
        if new > old and mapping.locked:
            self.populate(place + old, place + new)

        return place

    def clear_target(self, addr: int, old: int, place: int, new: int) -> None:
        """Clear the range that something is moved to: where the moved range has a hole, what was there stays."""
        for source in self.space.over(addr, addr + max(old, 1)):
            start = max(source.start, addr) - addr
            end = min(source.end - addr, old) if old == new else new
            self.space.clear(place + start, place + end)

    def move(self, addr: int, old: int, place: int, new: int, keep: bool) -> None:
        """Move what is mapped in the `old` bytes from `addr` on, becoming `new` bytes, to `place`.

        `keep`: the mappings stay where they were as well, without their pages.  0 bytes are a duplicate.
        """
        space = self.space
        page = self.page
        for source in space.cut_out(addr, addr + old) if old else space.over(addr, addr + 1):
            start = max(source.start, addr)
            length = source.end - start if old == new else new
            if keep and source.locked:
                source.locked = False
                space.locked -= source.end - source.start
                locked = True
            else:
                locked = source.locked
            moved = source.part(start, start + length, space)
            moved.start = place + start - addr
            moved.end = moved.start + length
            moved.locked = locked
            if moved.inode is None and not space.table.has_private(start // page, source.end // page):
                moved.offset = moved.start
            space.insert(moved)
            if old:
                space.table.move(start // page, source.end // page, moved.start // page)
                if not keep:
                    space.remove(source)
        space.join(place, place + new)
        space.join(addr, addr + old)

    # ----------------------------------------------------------------------------------------------------------- msync

    def msync(self, addr: int, length: int, flags: int) -> None:
        addr &= SIZE_MASK
        flags = int(flags)
        end = addr + self.round_up(length)
        wraps = end > SIZE_MASK
        mappings = [] if wraps else self.space.over(addr, end)
        hole = wraps or self.space.hole(addr, end) is not None
        writes = flags & MS_SYNC or (flags & MS_ASYNC and self.choices.writes_when_asynchronous())

        with self.errors("msync") as refuse:
            if flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC):
                refuse(EINVAL, "msync.errno.EINVAL", "flags have a bit that the system does not know")
            if addr % self.page:
                refuse(EINVAL, "msync.errno.EINVAL", "addr is not a multiple of the page")
            if flags & MS_ASYNC and flags & MS_SYNC:
                refuse(EINVAL, "msync.errno.EINVAL", "MS_ASYNC and MS_SYNC exclude each other")

        with self.errors("msync") as refuse:
            for mapping in mappings:
                if flags & MS_INVALIDATE and mapping.locked:
                    refuse(EBUSY, "msync.flag.invalidate.busy", "a page of the range is locked")
                    break
                if writes and mapping.shared and mapping.inode is not None:
                    first = (mapping.offset + max(addr - mapping.start, 0)) // self.page
                    behind = (mapping.offset + min(end, mapping.end) - mapping.start) // self.page
                    mapping.inode.cache.write_back(first, behind, mapping.inode.size, self.choices)
            if hole:
                refuse(ENOMEM, "msync.errno.ENOMEM", "some of the range is not mapped")

    # --------------------------------------------------------------------------------------------------------- sysconf

    def sysconf(self, name: int) -> int:
        with self.errors("sysconf") as refuse:
            if name not in SYSCONF_NAMES:
                refuse(EINVAL, "paging.sysconf.invalid", "the name is not known")

        if name != SC_PAGESIZE:
            raise Unsupported("of sysconf's names the reference knows the page size only")

        return self.page

    # -------------------------------------------------------------------------------------------------------- mprotect

    def mprotect(self, addr: int, length: int, prot: int) -> None:
        space = self.space
        addr &= SIZE_MASK
        prot = int(prot)
        end = addr + self.round_up(length)

        with self.errors("mprotect") as refuse:
            if addr % self.page:
                refuse(EINVAL, "mprotect.errno.EINVAL", "addr is not a multiple of the page")
            if length:
                if not addr < end <= SIZE_MASK:
                    refuse(ENOMEM, "mprotect.errno.ENOMEM", "the range wraps around")
                if prot & ~PROT_ALL:
                    refuse(EINVAL, "mprotect.errno.EINVAL", "prot has a bit that the system does not know")
                if len(space.mappings) >= self.machine.most_mappings and space.splits(addr, end):
                    refuse(ENOMEM, "mprotect.errno.ENOMEM", "splitting would make too many mappings")
        if not length:
            return

        # What lies before the first page that cannot have the rights has them all the same.
        hole = space.hole(addr, end)
        denied = next((m for m in space.over(addr, end) if prot & ~m.maximum), None)
        with self.errors("mprotect") as refuse:
            if hole is not None and (denied is None or hole < denied.start):
                refuse(ENOMEM, "mprotect.errno.ENOMEM", "some of the range is not mapped")
            if denied is not None:
                refuse(EACCES, "mprotect.errno.EACCES", "shared and writable, but fd was not open for writing")
                if hole is not None and hole > denied.start:
                    refuse(ENOMEM, "mprotect.errno.ENOMEM", "some of the range is not mapped")
            stop = min(end, end if hole is None else hole, end if denied is None else max(denied.start, addr))
            if stop > addr:
                self.protect(addr, stop, prot)

    def protect(self, start: int, end: int, prot: int) -> None:
        """Give the mapped pages of [start, end) the rights `prot`."""
        for mapping in self.space.cut_out(start, end):
            gains_store = prot & PROT_WRITE and not mapping.prot & PROT_WRITE
            mapping.prot = prot
            if gains_store and mapping.locked and not mapping.shared:
                self.populate(mapping.start, mapping.end)
        self.space.join(start, end)

    # ----------------------------------------------------------------------------------------------------------- mlock

    def mlock(self, addr: int, length: int) -> None:
        addr &= SIZE_MASK
        start = addr - addr % self.page
        end = start + self.round_up(length + addr - start)
        space = self.space
        hole = space.hole(start, end)
        already = sum(min(end, m.end) - max(start, m.start) for m in space.over(start, end) if m.locked)

        with self.errors("mlock") as refuse:
            if self.may_not_lock():
                refuse(EPERM, "mlock.errno.EPERM", "the process may lock no memory")
            if self.locks_too_much(end - start - already):
                refuse(ENOMEM, "mlock.errno.ENOMEM", "too much memory would be locked")
            if end > SIZE_MASK:
                refuse(EINVAL, "mlock.errno.EINVAL", "the range wraps around")

        # What lies before a hole is locked all the same, and so are pages that cannot be brought in.
        stop = end if hole is None else hole
        with self.errors("mlock") as refuse:
            self.lock(start, stop, True)
            if hole is not None:
                refuse(ENOMEM, "mlock.errno.ENOMEM", "some of the range is not mapped")
            elif not self.populate(start, stop):
                refuse(ENOMEM, "mlock.errno.ENOMEM", "a page of the range cannot be brought in")

    def munlock(self, addr: int, length: int) -> None:
        addr &= SIZE_MASK
        start = addr - addr % self.page
        end = start + self.round_up(length + addr - start)
        hole = self.space.hole(start, end)

        with self.errors("munlock") as refuse:
            if end > SIZE_MASK:
                refuse(EINVAL, "mlock.errno.EINVAL", "the range wraps around")

        with self.errors("munlock") as refuse:
            self.lock(start, end if hole is None else hole, False)
            if hole is not None:
                refuse(ENOMEM, "mlock.errno.ENOMEM", "some of the range is not mapped")

    def mlockall(self, flags: int) -> None:
        with self.errors("mlockall") as refuse:
            if not flags or flags & ~(MCL_CURRENT | MCL_FUTURE):
                refuse(EINVAL, "mlock.errno.EINVAL", "flags are not MCL_CURRENT, MCL_FUTURE or both")
            if self.may_not_lock():
                refuse(EPERM, "mlock.errno.EPERM", "the process may lock no memory")
            if flags & MCL_CURRENT and self.locks_too_much(self.space.size - self.space.locked):
                refuse(ENOMEM, "mlock.errno.ENOMEM", "too much memory would be locked")

        self.locks_future = flags & MCL_FUTURE != 0
        if flags & MCL_CURRENT:
            self.lock(0, self.top, True)
            self.populate(0, self.top)

    def lock(self, start: int, end: int, locked: bool) -> None:
        """Make the mappings of [start, end) locked, or not."""
        if end <= start:
            return
        for mapping in self.space.cut_out(start, end):
            if mapping.locked != locked:
                mapping.locked = locked
                self.space.locked += (mapping.end - mapping.start) * (1 if locked else -1)
        self.space.join(start, end)

    def populate(self, start: int, end: int) -> bool:
        """Bring in the pages of [start, end); False when one of them cannot be had."""
        page = self.page
        for mapping in self.space.over(start, end) if start < end else ():
            if not self.choices.may_load(mapping.prot):
                return False
            copies = not mapping.shared and mapping.prot & PROT_WRITE != 0 and self.choices.copies_when_populated()
            first = max(start, mapping.start) // page
            for number in range(first, min(end, mapping.end) // page):
                if self.space.table.touch(mapping, number, copies) is None:
                    return False
        return True

    # --------------------------------------------------------------------------------------------------------- mincore

    def mincore(self, addr: int, length: int) -> list[bool]:
        space = self.space
        page = self.page
        addr &= SIZE_MASK
        end = addr + self.round_up(length)

        with self.errors("mincore") as refuse:
            if addr % page:
                refuse(EINVAL, "paging.fault-loads", "addr is not a multiple of the page")
            if end > self.top or space.hole(addr, end) is not None:
                refuse(ENOMEM, "paging.fault-loads", "some of the range is not mapped")

        resident = []
        for mapping in space.over(addr, end):
            cached = None if mapping.inode is None else mapping.inode.cache.pages
            shift = (mapping.offset - mapping.start) // page
            for number in range(max(addr, mapping.start) // page, min(end, mapping.end) // page):
                resident.append(number in space.table.entries or (cached is not None and number + shift in cached))
        return resident
