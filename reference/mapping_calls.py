"""mmap, munmap, mremap: the calls that change what is mapped.

Each call reads in the same order: what its arguments mean in whole pages; *refusals*, every one that applies, in the
order in which Linux looks; *effect*; *result*.
"""

from __future__ import annotations

from errno import (
    EACCES,
    EAGAIN,
    EBADF,
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

from ..contract import SEAL_FUTURE_WRITE, SEAL_WRITE, Unsupported
from .address_space import Mapping
from .constants import (
    HUGE_SHIFT,
    HUGE_SIZES,
    MAP_32BIT,
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_HUGETLB,
    MAP_LOCKED,
    MAP_NONBLOCK,
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
    PROT_ALL,
    PROT_EXEC,
    PROT_WRITE,
)
from .files import LARGEST, Description, shared_memory
from .page_calls import PageCalls
from .refusal import Refusals
from .state import OFFSET_MASK


class MappingCalls(PageCalls):
    """The calls that change what is mapped."""

    # ------------------------------------------------------------------------------------------------------------ mmap

    def mmap(self, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
        space = self.space
        addr, length, offset = addr & self.mask, length & self.mask, offset & OFFSET_MASK
        prot, flags = int(prot), int(flags)
        size = self.round_up(length)
        fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) != 0
        anonymous = flags & MAP_ANONYMOUS != 0
        shared = flags & MAP_TYPE in (MAP_SHARED, MAP_SHARED_VALIDATE)
        locks = flags & MAP_LOCKED != 0 or self.locks_future
        description = None if anonymous else self.description(fd)
        zeros = anonymous or (description is not None and description.inode.device == "zero")
        if zeros and description is not None and not description.writable:
            shared = False  # as nobody can store there, Linux makes it private, which needs no file
        droppable = anonymous and flags & MAP_TYPE == MAP_DROPPABLE and self.bits == 64
        below = 1 << 31 if flags & MAP_32BIT and self.bits == 64 else 0
        is_data = not shared and prot & PROT_WRITE and not flags & MAP_GROWSDOWN
        place = self.choices.place(space, size, addr, below) if not fixed and 0 < size <= self.top else addr
        replaced = space.mapped(addr, addr + size) if fixed else 0

        with self.errors("mmap") as refuse:
            if offset % self.page:
                refuse(EINVAL, "mmap.errno.EINVAL", "offset-unaligned", "offset is not a multiple of the page")
            if not anonymous and description is None:
                if fd in self.descriptors:
                    refuse(EBADF, "mmap.errno.EBADF.path", "fd-path-only", "fd is only a path")
                else:
                    refuse(EBADF, "mmap.errno.EBADF", "fd-not-open", "fd is not an open descriptor")
            if flags & MAP_HUGETLB:
                if not anonymous:
                    refuse(EINVAL, "mmap.errno.EINVAL.flags", "file-without-huge-pages", "the file has no huge pages")
                elif flags >> HUGE_SHIFT & 0x3F not in HUGE_SIZES:
                    refuse(
                        EINVAL,
                        "mmap.errno.EINVAL.huge-size",
                        "huge-page-size",
                        "the machine has no huge pages of that size",
                    )
                elif length and not self.choices.has_huge_pages():
                    refuse(ENOMEM, "mmap.errno.ENOMEM.huge-pages", "no-huge-pages", "there are no huge pages")
            if length == 0:
                refuse(EINVAL, "mmap.errno.EINVAL", "length-zero", "length is 0")
            elif size == 0 or size > self.top:
                refuse(ENOMEM, "mmap.errno.ENOMEM", "length-too-large", "length is larger than the address space")
            if self.too_many_mappings(0):
                refuse(ENOMEM, "mmap.errno.ENOMEM", "mapping-limit", "the process has as many mappings as it may have")
            if fixed:
                self.refuse_address(refuse, addr, size, flags)
            elif place is None:
                refuse(ENOMEM, "mmap.errno.ENOMEM", "no-gap", "no gap of the address space is large enough")
            if flags & MAP_LOCKED and self.may_not_lock():
                refuse(EPERM, "mmap.errno.EPERM.locked", "lock-not-permitted", "the process may lock no memory")
            if locks and self.locks_too_much(size):
                refuse(EAGAIN, "mmap.errno.EAGAIN.memory", "locked-limit", "too much memory would be locked")
            if description is not None:
                self.refuse_file(refuse, description, size, prot, flags, offset)
            elif anonymous:
                self.refuse_anonymous(refuse, flags)
            elif flags & MAP_TYPE == 0:
                refuse(EINVAL, "mmap.errno.EINVAL.type", "type-missing", "flags name neither SHARED nor PRIVATE")
            if flags & MAP_FIXED and not flags & MAP_FIXED_NOREPLACE and space.is_sealed(addr, addr + size):
                refuse(EPERM, "mmap.errno.EPERM.sealed", "fixed-range-sealed", "something in the fixed range is sealed")
            if self.maps_too_much(size - replaced):
                refuse(ENOMEM, "mmap.errno.ENOMEM", "address-space-limit", "the address-space limit is reached")
            if is_data and self.has_too_much_data(size - replaced):
                refuse(ENOMEM, "mmap.errno.ENOMEM.data", "data-limit", "the limit of data is reached")
            if (zeros if shared else prot & PROT_WRITE) and not self.choices.has_memory(size):
                refuse(ENOMEM, "mmap.errno.ENOMEM", "overcommit-limit", "the system has not so much memory to promise")
            if description is not None and description.inode.kind == "socket":  # its driver is asked, and says no
                refuse(ENODEV, "mmap.errno.ENODEV", "file-not-mappable", "the file cannot be mapped", late=True)
            elif description is not None and description.inode.mapping_error:
                refuse(
                    ENODEV, "mmap.errno.ENODEV", "driver-refuses", "the file turns out not to be mappable", late=True
                )
            if zeros and shared and self.file_table_full():
                refuse(
                    ENFILE,
                    "mmap.errno.ENFILE",
                    "file-table-full-for-zeros",
                    "the mapping needs an open file, and the table is full",
                    late=True,
                )
            at_0 = anonymous and not addr and not flags & MAP_FIXED
            if at_0 and any(found.errno == EPERM for found in refuse.gathered or ()):
                refuse(
                    ENOMEM,
                    "mmap.errno.ENOMEM",
                    "libc-low-address",
                    "a C library takes what may not be had at 0 for memory that is not there",
                )

        if flags & MAP_HUGETLB:
            raise Unsupported("the reference has no huge pages")
        assert place is not None
        mapping = Mapping(space, place, place + size, prot & PROT_ALL, shared, locked=locks and not droppable)
        mapping.on_fault = mapping.locked and self.locks_on_fault
        mapping.grows = flags & MAP_GROWSDOWN != 0
        mapping.droppable = mapping.wiped = droppable
        if not zeros:
            assert description is not None
            mapping.inode, mapping.description, mapping.offset = description.inode, description, offset
            mapping.maximum = self.most_rights(description, shared)
            mapping.changes = description.inode.changes
        elif shared:
            mapping.inode = shared_memory(self.machine.memory, size)
            mapping.offset = 0 if anonymous else offset  # as long as the mapping, wherever that begins in it
            mapping.description = Description(self.machine.file_table, mapping.inode)
        else:
            mapping.description, mapping.offset = description, place
            if description is not None:
                mapping.maximum = self.most_rights(description, flags & MAP_TYPE != MAP_PRIVATE)
        if fixed:
            space.clear(place, place + size)
        space.insert(mapping)
        space.join(place, place + size)
        if locks or flags & (MAP_POPULATE | MAP_NONBLOCK) == MAP_POPULATE:
            space.populate(place, place + size)

        return place

    def refuse_address(self, refuse: Refusals, addr: int, size: int, flags: int) -> None:
        """What mmap refuses because of the fixed address."""
        space = self.space
        end = addr + size

        if size <= self.top < end:
            refuse(ENOMEM, "mmap.errno.ENOMEM", "fixed-range-outside", "the fixed range is outside the address space")
        if addr % self.page:
            refuse(
                EINVAL, "mmap.errno.EINVAL", "fixed-addr-unaligned", "the fixed address is not a multiple of the page"
            )
        self.refuse_low(refuse, addr)
        if size == 0 or end > self.top or addr % self.page:
            return
        if not flags & MAP_FIXED_NOREPLACE:
            refuse.target = space, addr, end
            if space.splits(addr, end) and self.too_many_mappings(1):
                refuse(ENOMEM, "mmap.errno.ENOMEM", "split-mapping-limit", "splitting would make too many mappings")
        elif not space.is_free(addr, end) or self.choices.has_foreign(addr, end):
            refuse(EEXIST, "mmap.errno.EEXIST", "fixed-range-taken", "something is mapped in the fixed range")

    def refuse_anonymous(self, refuse: Refusals, flags: int) -> None:
        """What mmap refuses of memory without a file."""
        type_ = flags & MAP_TYPE
        if type_ == 0:
            refuse(EINVAL, "mmap.errno.EINVAL.type", "type-missing", "flags name neither SHARED nor PRIVATE")
        elif type_ == MAP_SHARED_VALIDATE:
            refuse(
                EINVAL, "mmap.flag.shared-validate", "validate-without-file", "MAP_SHARED_VALIDATE is for files only"
            )
        elif type_ == MAP_DROPPABLE and self.bits == 64:
            if flags & (MAP_LOCKED | MAP_HUGETLB | MAP_GROWSDOWN):
                refuse(
                    EINVAL,
                    "mmap.errno.EINVAL.droppable",
                    "droppable-flags",
                    "droppable memory is neither locked, huge nor a stack",
                )
        elif type_ not in (MAP_SHARED, MAP_PRIVATE):
            refuse(
                EINVAL,
                "mmap.errno.EINVAL.unknown-type",
                "type-unknown",
                "flags name a type that the system does not know",
            )
        elif type_ == MAP_SHARED and flags & MAP_GROWSDOWN:
            refuse(EINVAL, "mmap.errno.EINVAL.flags", "shared-growsdown", "shared memory cannot grow downwards")

    def refuse_low(self, refuse: Refusals, addr: int) -> None:
        """What mmap and mremap refuse because a fixed address is too low."""
        if addr < self.machine.parameters.lowest and "CAP_SYS_RAWIO" not in self.capabilities:
            refuse(
                EPERM, "mmap.errno.EPERM.zero", "fixed-addr-low", "the fixed address is below the lowest allowed one"
            )

    def refuse_file(
        self, refuse: Refusals, description: Description, size: int, prot: int, flags: int, offset: int
    ) -> None:
        """What mmap refuses because of the file."""
        inode = description.inode
        type_ = flags & MAP_TYPE
        shared = type_ in (MAP_SHARED, MAP_SHARED_VALIDATE)

        largest = LARGEST if inode.kind in ("regular", "socket") else OFFSET_MASK
        if offset // self.page > (largest - size) // self.page:
            refuse(EOVERFLOW, "mmap.errno.EOVERFLOW", "offset-overflow", "offset + length is larger than any file")
        if type_ == MAP_SHARED_VALIDATE:
            if flags & ~MAP_VALIDATED:
                refuse(
                    EOPNOTSUPP,
                    "mmap.errno.EOPNOTSUPP",
                    "flags-unknown",
                    "flags have a bit that the system does not know",
                )
            elif flags & MAP_SYNC:
                refuse(
                    EOPNOTSUPP,
                    "mmap.errno.EOPNOTSUPP.sync",
                    "sync-unsupported",
                    "the file system has no MAP_SYNC",
                    late=True,
                )
        if shared and prot & PROT_WRITE and not description.writable:
            refuse(
                EACCES,
                "mmap.errno.EACCES",
                "shared-not-writable",
                "shared and writable, but fd is not open for writing",
            )
        if shared and inode.append_only and description.writable:
            refuse(
                EACCES,
                "mmap.errno.EACCES.append-only",
                "shared-append-only",
                "shared, and fd may append to the file only",
            )
        if inode.mandatory_lock:
            refuse(EAGAIN, "mmap.errno.EAGAIN", "file-locked", "the file is locked")
        if type_ == 0:
            refuse(EINVAL, "mmap.errno.EINVAL.type", "type-missing", "flags name neither SHARED nor PRIVATE")
        elif type_ not in (MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE):
            refuse(
                EINVAL,
                "mmap.errno.EINVAL.unknown-type",
                "type-not-for-files",
                "flags name a type that files do not have",
            )
        else:
            if not description.readable:
                refuse(EACCES, "mmap.errno.EACCES", "fd-not-readable", "fd is not open for reading")
            is_nameless = inode.file_system is None and inode.kind in ("character", "other")
            if prot & PROT_EXEC and (self.choices.nameless_is_noexec() if is_nameless else inode.noexec):
                refuse(
                    EPERM,
                    "mmap.errno.EPERM",
                    "file-noexec",
                    "executable, but nothing may be executed from the file system",
                )
            if not inode.mappable and inode.kind != "socket":
                refuse(ENODEV, "mmap.errno.ENODEV", "file-not-mappable", "the file cannot be mapped")
            if flags & MAP_GROWSDOWN:
                refuse(EINVAL, "mmap.errno.EINVAL.flags", "file-growsdown", "a file cannot grow downwards")
            if shared and prot & PROT_WRITE and inode.seals & (SEAL_WRITE | SEAL_FUTURE_WRITE):
                refuse(
                    EPERM,
                    "mmap.errno.EPERM.seal",
                    "shared-sealed",
                    "shared and writable, but the file is sealed against writing",
                )
            if flags & MAP_SYNC and type_ != MAP_SHARED_VALIDATE and inode.file_system and self.choices.refuses_sync():
                refuse(
                    EOPNOTSUPP,
                    "mmap.errno.EOPNOTSUPP.sync",
                    "sync-unsupported",
                    "the file system has no MAP_SYNC",
                    late=True,
                )

    def most_rights(self, description: Description, shared: bool) -> int:
        """The rights that a mapping of a file may ever have: what mprotect may give it."""
        most = PROT_ALL
        sealed = description.inode.seals & (SEAL_WRITE | SEAL_FUTURE_WRITE)
        if shared and (not description.writable or sealed):
            most -= PROT_WRITE
        if description.inode.noexec:
            most -= PROT_EXEC
        return most

    def file_table_full(self) -> bool:
        """Whether this process may open no more files."""
        return self.machine.file_table.full and "CAP_SYS_ADMIN" not in self.capabilities

    # ---------------------------------------------------------------------------------------------------------- munmap

    def munmap(self, addr: int, length: int) -> None:
        addr &= self.mask
        size = self.round_up(length)
        end = addr + size

        with self.errors("munmap") as refuse:
            if addr % self.page:
                refuse(EINVAL, "munmap.errno.EINVAL", "addr-unaligned", "addr is not a multiple of the page")
            if (length & self.mask) > self.top - addr:
                refuse(EINVAL, "munmap.errno.EINVAL", "range-outside", "the range is outside the address space")
            if size == 0:
                refuse(EINVAL, "munmap.errno.EINVAL", "length-zero", "length is 0")
            if self.space.splits(addr, end) and self.too_many_mappings(1):
                refuse(ENOMEM, "munmap.errno.ENOMEM", "split-mapping-limit", "splitting would make too many mappings")
            if self.space.is_sealed(addr, end):
                refuse(EPERM, "munmap.errno.EPERM", "range-sealed", "something in the range is sealed")

        self.space.clear(addr, end)

    # ---------------------------------------------------------------------------------------------------------- mremap

    def mremap(self, addr: int, old_size: int, new_size: int, flags: int, new_addr: int = 0) -> int:
        space = self.space
        addr, new_addr, flags = addr & self.mask, new_addr & self.mask, int(flags)
        old, new = self.round_up(old_size), self.round_up(new_size)
        mapping = space.find(addr)
        if mapping is not None:
            space.fuse(mapping, addr + old)
        elsewhere = flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) != 0
        stays = not elsewhere and (new <= old or self.grows_in_place(mapping, addr, old, new))
        place: int | None = new_addr if flags & MREMAP_FIXED else addr
        if not stays and not flags & MREMAP_FIXED and 0 < new <= self.top:
            place = self.choices.place(space, new, new_addr if elsewhere else 0)

        with self.errors("mremap") as refuse:
            if flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP):
                refuse(EINVAL, "mremap.errno.EINVAL", "flags-unknown", "flags have a bit that the system does not know")
            if addr % self.page:
                refuse(EINVAL, "mremap.errno.EINVAL", "addr-unaligned", "addr is not a multiple of the page")
            if new == 0:
                refuse(EINVAL, "mremap.errno.EINVAL", "new-size-zero", "new_size is 0")
            if new > self.top:
                refuse(EINVAL, "mremap.errno.EINVAL", "new-size-too-large", "new_size is larger than the address space")
            if new_size & self.mask > self.mask // 2:
                refuse(
                    ENOMEM,
                    "mremap.errno.ENOMEM",
                    "libc-new-size",
                    "new_size is larger than a C library takes any object to be",
                )
            if elsewhere:
                self.refuse_new_address(refuse, addr, old, new, flags, new_addr)
            if mapping is None:
                refuse(EFAULT, "mremap.errno.EFAULT", "addr-unmapped", "nothing is mapped at addr")
            elif mapping.sealed:
                refuse(EPERM, "mremap.errno.EPERM", "mapping-sealed", "the mapping is sealed")
            elif new > old or elsewhere:
                self.refuse_resizing(refuse, mapping, addr, old, new, flags)
                if flags & MREMAP_FIXED:
                    if old == 0 and new_addr <= addr < new_addr + new:
                        refuse(
                            EFAULT,
                            "mremap.errno.EFAULT",
                            "duplicate-replaces-source",
                            "the duplicate replaces what it is made from",
                            late=True,
                        )
                    if space.is_sealed(new_addr, new_addr + new):
                        refuse(EPERM, "mremap.errno.EPERM", "new-range-sealed", "something in the new range is sealed")
                    self.refuse_low(refuse, new_addr)
                elif not stays:
                    if old == 0 and not flags & MREMAP_MAYMOVE:
                        refuse(
                            ENOMEM,
                            "mremap.errno.ENOMEM.old-size-zero",
                            "duplicate-in-place",
                            "a duplicate cannot be where the mapping is",
                        )
                    elif not flags & MREMAP_MAYMOVE:
                        refuse(
                            ENOMEM, "mremap.errno.ENOMEM", "cannot-grow-in-place", "the mapping cannot grow where it is"
                        )
                    elif place is None:
                        refuse(ENOMEM, "mremap.errno.ENOMEM", "no-gap", "no gap of the address space is large enough")
                    elif self.too_many_mappings(4):
                        refuse(
                            ENOMEM,
                            "mremap.errno.ENOMEM.count",
                            "move-mapping-limit",
                            "moving could make too many mappings",
                        )
            if mapping is not None and new < old and old > self.top - addr:
                refuse(
                    EINVAL,
                    "mremap.errno.EINVAL",
                    "cut-range-outside",
                    "the part to be cut off is outside the address space",
                    late=True,
                )
            if new < old and space.is_sealed(addr + new, addr + old):
                refuse(
                    EPERM,
                    "mremap.errno.EPERM",
                    "cut-range-sealed",
                    "something in the part to be cut off is sealed",
                    late=True,
                )
            if flags & MREMAP_FIXED and new_addr % self.page == 0 and new_addr + new <= self.top:
                refuse.target = space, new_addr, new_addr + new

        assert mapping is not None
        assert place is not None
        if not stays and space.is_sealed(addr, addr + old):
            raise Unsupported("the reference does not know what becomes of several mappings that are moved, one sealed")
        if flags & MREMAP_FIXED:
            space.clear_target(addr, old, place, new)
        if new < old:
            space.clear(addr + new, addr + old)
            old = new
        if not stays:
            space.move(addr, old, place, new, keep=flags & MREMAP_DONTUNMAP != 0)
        elif new > old:
            space.grow(mapping, new - old)
            space.join(mapping.end, mapping.end)
        if new > old and mapping.locked:
            space.populate(place + old, place + new)

        return place

    def grows_in_place(self, mapping: Mapping | None, addr: int, old: int, new: int) -> bool:
        """Whether the `old` bytes at `addr` end where their mapping does, and can become `new` bytes there."""
        return (
            mapping is not None
            and old == mapping.end - addr
            and self.space.is_free(addr + old, addr + new)
            and self.choices.grows_in_place(addr, addr + new)
        )

    def refuse_new_address(self, refuse: Refusals, addr: int, old: int, new: int, flags: int, new_addr: int) -> None:
        """What mremap refuses because of the new address that it is given."""
        if new_addr > self.top - new:
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
                "new_addr is not a multiple of the page",
            )
        if flags & MREMAP_FIXED and not flags & MREMAP_MAYMOVE:
            refuse(
                EINVAL,
                "mremap.errno.EINVAL.fixed",
                "fixed-without-maymove",
                "MREMAP_FIXED is nothing without MREMAP_MAYMOVE",
            )
        if flags & MREMAP_DONTUNMAP and not flags & MREMAP_MAYMOVE:
            refuse(
                EINVAL,
                "mremap.errno.EINVAL.dontunmap",
                "dontunmap-without-maymove",
                "MREMAP_DONTUNMAP is nothing without MREMAP_MAYMOVE",
            )
        if flags & MREMAP_DONTUNMAP and old != new:
            refuse(
                EINVAL,
                "mremap.errno.EINVAL.dontunmap-size",
                "dontunmap-resizes",
                "MREMAP_DONTUNMAP cannot change the size",
            )
        if (addr + old) & self.mask > new_addr and new_addr + new > addr:
            refuse(EINVAL, "mremap.errno.EINVAL.overlap", "ranges-overlap", "the old and the new range overlap")
        if self.too_many_mappings(6):
            refuse(ENOMEM, "mremap.errno.ENOMEM.count", "move-mapping-limit", "moving could make too many mappings")

    def refuse_resizing(self, refuse: Refusals, mapping: Mapping, addr: int, old: int, new: int, flags: int) -> None:
        """What mremap refuses because of the mapping that is to grow or to move."""
        if old == 0 and not mapping.is_meant_to_be_shared:
            refuse(
                EINVAL,
                "mremap.errno.EINVAL.old-size-zero",
                "duplicate-private",
                "a private mapping cannot be duplicated",
            )
        several = flags & MREMAP_FIXED and old == new
        if not several and (
            min(old, new) > mapping.end - addr or (mapping.joined and not self.choices.is_one(mapping))
        ):
            refuse(EFAULT, "mremap.errno.EFAULT", "old-range-not-one-mapping", "the old range is not all one mapping")
        if new > old and mapping.locked and self.locks_too_much(new - old):
            refuse(EAGAIN, "mremap.errno.EAGAIN", "locked-limit", "too much memory would be locked")
        more = new if flags & MREMAP_DONTUNMAP else max(new - old, 0)
        if self.maps_too_much(more):
            if flags & MREMAP_DONTUNMAP:
                refuse(
                    ENOMEM,
                    "mremap.dontunmap.limit",
                    "address-space-limit-both",
                    "the address-space limit is reached by both ranges together",
                )
            else:
                refuse(ENOMEM, "mremap.errno.ENOMEM", "address-space-limit", "the address-space limit is reached")
        if not self.choices.has_memory(more):
            refuse(ENOMEM, "mremap.errno.ENOMEM", "overcommit-limit", "the system has not so much memory to promise")
