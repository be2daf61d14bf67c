"""mmap and munmap: the calls that create and remove mappings.

Each call has the order of a manual page: its arguments, decoded; then, each under a comment, ERRORS, which gathers
every refusal that applies, in the order in which Linux checks; EFFECT; RESULT.  mmap decodes its arguments into a
request, which it passes to the methods that refuse.
"""

from __future__ import annotations

from errno import (
    EACCES,
    EAGAIN,
    EBADF,
    EEXIST,
    EINVAL,
    ENFILE,
    ENODEV,
    ENOMEM,
    ENOTSUP,
    ENXIO,
    EOPNOTSUPP,
    EOVERFLOW,
    EPERM,
)
from typing import Final, NamedTuple

from ..contract import SEAL_FUTURE_WRITE, SEAL_WRITE, Unsupported
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
    PROT_ALL,
    PROT_EXEC,
    PROT_WRITE,
)
from .files import LARGEST, OpenFileDescription, shared_memory
from .mapping import Mapping
from .refusal import Refusals
from .state import OFFSET_MASK, State

LIBC_OFFSETS: Final = 1 << 44
"""Bytes: a C library with 32-bit addresses cannot pass on offsets from here on (mmap2(2): 2^32 units of 4096)."""


class MmapRequest(NamedTuple):
    """A call of mmap, decoded."""

    addr: int
    length: int
    """The length that the caller gives, in bytes."""
    size: int
    """`length` in whole pages, in bytes; 0 also if rounding up wraps around."""
    prot: int
    flags: int
    offset: int
    description: OpenFileDescription | None
    """The open file description of fd; None for anonymous memory, and if fd cannot be used."""
    anonymous: bool
    zeros: bool
    """True if the pages begin as zeros that belong to no file: anonymous memory and /dev/zero."""
    shared: bool
    """True if stores are shared; Linux makes a /dev/zero private that nothing can store to, which needs no file."""
    locked: bool
    droppable: bool

    @property
    def type(self) -> int:
        """The type of the mapping: MAP_SHARED, MAP_PRIVATE and others."""
        return self.flags & MAP_TYPE

    @property
    def fixed(self) -> bool:
        """True if the range must begin at addr."""
        return self.flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) != 0

    @property
    def replaces(self) -> bool:
        """True if the range replaces what is mapped there."""
        return self.flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) == MAP_FIXED

    @property
    def end(self) -> int:
        """The end of a range that begins at addr."""
        return self.addr + self.size

    @property
    def is_data(self) -> bool:
        """True if the mapping counts towards RLIMIT_DATA."""
        return bool(not self.shared and self.prot & PROT_WRITE and not self.flags & MAP_GROWSDOWN)

    @property
    def is_committed(self) -> bool:
        """True if the system must commit memory for the mapping."""
        return bool(self.zeros if self.shared else self.prot & PROT_WRITE)


class MappingCalls(State):
    """The calls that create and remove mappings."""

    # ------------------------------------------------------------------------------------------------------------ mmap

    def mmap(self, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
        inside = offset % self.page
        if inside and length and not flags & MAP_ANONYMOUS and self.choices.accepts_unaligned_offset(inside):
            start = addr - inside if addr else 0
            return self.mmap_pages(start, length + inside, prot, flags, fd, offset - inside) + inside
        return self.mmap_pages(addr, length, prot, flags, fd, offset)

    def mmap_pages(self, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
        """Make a mapping as mmap does, where `offset` must be a multiple of the page size."""
        space = self.space
        request = self.decode_mmap(addr, length, prot, flags, fd, offset)
        size, description = request.size, request.description
        place = self.place_mapping(request)

        # ERRORS
        with self.errors("mmap") as refuse:
            if request.offset >= LIBC_OFFSETS and self.choices.libc_refuses(EINVAL):
                refuse(EINVAL, "mmap.errno.EOVERFLOW", "libc-offset", "the C library cannot pass on the offset")
            if request.offset % self.page:
                refuse(
                    EINVAL, "mmap.errno.EINVAL.offset", "offset-unaligned", "offset is not a multiple of the page size"
                )
            if not request.anonymous and description is None:
                self.refuse_descriptor(refuse, fd)
            self.refuse_huge_pages(refuse, request)
            if request.length == 0:
                refuse(EINVAL, "mmap.errno.EINVAL", "length-zero", "length is 0")
            elif size == 0 or size > self.task_size:
                refuse(ENOMEM, "mmap.errno.ENOMEM", "length-too-large", "length is larger than the address space")
            if self.exceeds_max_map_count(0):
                refuse(ENOMEM, "mmap.errno.ENOMEM", "mapping-limit", "the process has as many mappings as it may have")
            if request.fixed:
                self.refuse_address(refuse, request)
            elif place is None:
                refuse(ENOMEM, "mmap.errno.ENOMEM", "no-gap", "no gap of the address space is large enough")
            self.refuse_locked(refuse, request)
            if description is not None:
                self.refuse_file(refuse, request, description)
            elif request.anonymous:
                self.refuse_anonymous(refuse, request, fd)
            elif request.type == 0:
                refuse(
                    EINVAL, "mmap.errno.EINVAL.type", "type-missing", "flags contain neither MAP_SHARED nor MAP_PRIVATE"
                )
            self.refuse_replacing(refuse, request)
            self.refuse_late(refuse, request)
            self.refuse_as_library(refuse, request)

        # EFFECT
        if request.flags & MAP_HUGETLB:
            raise Unsupported("the reference has no huge pages")
        assert place is not None
        end = place + size
        mapping = self.new_mapping(request, place)
        if request.fixed:
            space.clear(place, end)
        space.insert(mapping)
        space.copy_at_once(mapping)
        space.merge_adjacent(place, end)
        if request.locked or request.flags & (MAP_POPULATE | MAP_NONBLOCK) == MAP_POPULATE:
            space.populate(place, end)

        # RESULT
        return place

    def decode_mmap(self, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> MmapRequest:
        """Return what a call of mmap asks for; invalid arguments are kept for the errors."""
        length &= self.mask
        prot, flags = int(prot), int(flags)
        anonymous = flags & MAP_ANONYMOUS != 0
        shared = flags & MAP_TYPE in (MAP_SHARED, MAP_SHARED_VALIDATE)
        description = None if anonymous else self.description(fd)
        zeros = anonymous or (description is not None and description.inode.device == "zero")
        if zeros and description is not None and not description.writable:
            shared = False
        droppable = anonymous and flags & MAP_TYPE == MAP_DROPPABLE and self.bits == 64
        return MmapRequest(
            addr=addr & self.mask,
            length=length,
            size=self.round_up(length),
            prot=prot,
            flags=flags,
            offset=offset & OFFSET_MASK,
            description=description,
            anonymous=anonymous,
            zeros=zeros,
            shared=shared,
            locked=flags & MAP_LOCKED != 0 or self.locks_future,
            droppable=droppable,
        )

    def place_mapping(self, request: MmapRequest) -> int | None:
        """Return the address at which a new mapping begins; None if no gap is large enough."""
        if request.fixed or not 0 < request.size <= self.task_size:
            return request.addr
        below = 1 << 31 if request.flags & MAP_32BIT and self.bits == 64 else 0
        return self.choices.place(self.space, request.size, request.addr, below)

    def new_mapping(self, request: MmapRequest, place: int) -> Mapping:
        """Return the mapping that a valid request asks for, at `place`, not yet in the address space."""
        description = request.description
        mapping = Mapping(self.space, place, place + request.size, request.prot & PROT_ALL, request.shared)
        mapping.locked = request.locked and not request.droppable
        mapping.execute_only = self.is_execute_only(request.prot)
        mapping.lock_on_fault = mapping.locked and self.locks_on_fault
        mapping.grows_down = request.flags & MAP_GROWSDOWN != 0
        mapping.droppable = mapping.wipe_on_fork = request.droppable
        if not request.zeros:
            assert description is not None
            mapping.inode, mapping.offset = description.inode, request.offset
            mapping.description = description if self.machine.parameters.mappings_keep_locks else description.below()
            mapping.max_prot = self.max_protection(description, request.shared)
            mapping.file_version = description.inode.content_version
            mapping.least_size = mapping.largest_size = description.inode.size
        elif request.shared:
            mapping.inode = shared_memory(self.machine.memory, request.size)
            mapping.least_size = mapping.largest_size = request.size
            mapping.offset = 0 if request.anonymous else request.offset  # the file is as long as the mapping
            mapping.description = OpenFileDescription(self.machine.file_table, mapping.inode)
        else:
            mapping.description, mapping.offset = description, place
            if description is not None:
                mapping.max_prot = self.max_protection(description, request.type != MAP_PRIVATE)
        return mapping

    def refuse_descriptor(self, refuse: Refusals, fd: int) -> None:
        """Refuse a descriptor that has no open file to map."""
        if fd in self.descriptors:
            refuse(EBADF, "mmap.errno.EBADF.path", "fd-path-only", "fd was opened with O_PATH")
        else:
            refuse(EBADF, "mmap.errno.EBADF", "fd-not-open", "fd is not an open descriptor")

    def refuse_huge_pages(self, refuse: Refusals, request: MmapRequest) -> None:
        """Refuse what MAP_HUGETLB asks for and the machine does not have."""
        if not request.flags & MAP_HUGETLB:
            return
        if not request.anonymous:
            refuse(EINVAL, "mmap.errno.EINVAL.flags", "file-without-huge-pages", "the file has no huge pages")
        elif request.flags >> HUGE_SHIFT & 0x3F not in HUGE_SIZES:
            refuse(
                EINVAL,
                "mmap.errno.EINVAL.huge-size",
                "huge-page-size",
                "the machine has no huge pages of that size",
            )
        elif request.length and not self.choices.has_huge_pages():
            refuse(ENOMEM, "mmap.errno.ENOMEM.huge-pages", "no-huge-pages", "there are no huge pages")

    def refuse_address(self, refuse: Refusals, request: MmapRequest) -> None:
        """Refuse a fixed range that cannot be mapped."""
        space = self.space
        addr, size, end = request.addr, request.size, request.end

        if size <= self.task_size < end:
            refuse(
                ENOMEM,
                "mmap.errno.ENOMEM",
                "fixed-range-outside",
                "the fixed range is outside the address space",
            )
        if addr % self.page:
            refuse(
                EINVAL,
                "mmap.errno.EINVAL",
                "fixed-addr-unaligned",
                "the fixed address is not a multiple of the page size",
            )
        if self.is_too_low(addr):
            refuse(EPERM, "mmap.errno.EPERM.zero", "fixed-addr-low", "the fixed address is below mmap_min_addr")
        if size == 0 or end > self.task_size or addr % self.page:
            return
        if request.replaces:
            refuse.target = space, addr, end
            if space.splits(addr, end) and self.exceeds_max_map_count(1):
                refuse(
                    ENOMEM,
                    "mmap.errno.ENOMEM",
                    "split-mapping-limit",
                    "splitting would make too many mappings",
                )
        elif not space.is_free(addr, end) or self.choices.has_foreign(addr, end):
            refuse(EEXIST, "mmap.errno.EEXIST", "fixed-range-taken", "something is mapped in the fixed range")

    def refuse_locked(self, refuse: Refusals, request: MmapRequest) -> None:
        """Refuse memory that would have to be locked, and may not be."""
        if request.flags & MAP_LOCKED and self.memlock_is_zero():
            refuse(EPERM, "mmap.errno.EPERM.locked", "lock-not-permitted", "the process may lock no memory")
        if request.locked and self.exceeds_memlock(request.size):
            refuse(EAGAIN, "mmap.errno.EAGAIN.memory", "locked-limit", "too much memory would be locked")

    def refuse_anonymous(self, refuse: Refusals, request: MmapRequest, fd: int) -> None:
        """Refuse flags that anonymous memory cannot have, and a file that it does not need."""
        flags, type_ = request.flags, request.type
        if (fd != -1 or request.offset) and self.choices.requires_no_descriptor():
            refuse(EINVAL, "mmap.flag.anonymous", "anonymous-with-file", "MAP_ANONYMOUS requires fd -1 and offset 0")
        if type_ == 0:
            refuse(EINVAL, "mmap.errno.EINVAL.type", "type-missing", "flags contain neither MAP_SHARED nor MAP_PRIVATE")
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
                    "droppable memory cannot be locked, huge or growing",
                )
        elif type_ not in (MAP_SHARED, MAP_PRIVATE):
            refuse(
                EINVAL,
                "mmap.errno.EINVAL.unknown-type",
                "type-unknown",
                "flags contain an unknown type",
            )
        elif type_ == MAP_SHARED and flags & MAP_GROWSDOWN:
            refuse(EINVAL, "mmap.errno.EINVAL.flags", "shared-growsdown", "shared memory cannot grow downwards")

    def refuse_file(self, refuse: Refusals, request: MmapRequest, description: OpenFileDescription) -> None:
        """Refuse what the file, or the way in which it is open, does not allow."""
        inode = description.inode
        prot, flags, type_ = request.prot, request.flags, request.type
        shared = type_ in (MAP_SHARED, MAP_SHARED_VALIDATE)

        largest = LARGEST if inode.kind in ("regular", "socket") else OFFSET_MASK
        if request.offset // self.page > (largest - request.size) // self.page:
            refuse(EOVERFLOW, "mmap.errno.EOVERFLOW", "offset-overflow", "offset + length is larger than any file")
        size = inode.size + -inode.size % self.page
        if inode.is_regular and request.offset >= size and self.choices.is_invalid_offset(request.offset, size):
            refuse(ENXIO, "mmap.range", "offset-past-end", "offset is past the end of the file")
        if type_ == MAP_SHARED_VALIDATE:
            if flags & ~MAP_VALIDATED:
                refuse(
                    EOPNOTSUPP,
                    "mmap.errno.EOPNOTSUPP",
                    "flags-unknown",
                    "flags contain an unknown bit",
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
                "shared, but the file is append-only",
            )
        if inode.mandatory_lock:
            refuse(EAGAIN, "mmap.errno.EAGAIN", "file-locked", "the file is locked")
        if type_ == 0:
            refuse(EINVAL, "mmap.errno.EINVAL.type", "type-missing", "flags contain neither MAP_SHARED nor MAP_PRIVATE")
        elif type_ not in (MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE):
            refuse(
                EINVAL,
                "mmap.errno.EINVAL.unknown-type",
                "type-not-for-files",
                "flags contain a type that files cannot have",
            )
        else:
            self.refuse_kind_of_file(refuse, request, description)

    def refuse_kind_of_file(self, refuse: Refusals, request: MmapRequest, description: OpenFileDescription) -> None:
        """Refuse what the kind of a file does not allow, for a request of a valid type."""
        inode = description.inode
        prot, flags = request.prot, request.flags
        shared = request.type in (MAP_SHARED, MAP_SHARED_VALIDATE)

        if not description.readable:
            refuse(EACCES, "mmap.errno.EACCES", "fd-not-readable", "fd is not open for reading")
        is_nameless = inode.file_system is None and inode.kind in ("character", "other", "fifo", "socket")
        if prot & PROT_EXEC and (self.choices.non_file_is_noexec() if is_nameless else inode.noexec):
            refuse(
                EPERM,
                "mmap.errno.EPERM",
                "file-noexec",
                "PROT_EXEC, but the file system is mounted noexec",
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
        ignores_sync = not flags & MAP_SYNC or request.type == MAP_SHARED_VALIDATE or not inode.file_system
        if not ignores_sync and self.choices.refuses_sync():
            refuse(
                EOPNOTSUPP,
                "mmap.errno.EOPNOTSUPP.sync",
                "sync-unsupported",
                "the file system has no MAP_SYNC",
                late=True,
            )

    def refuse_replacing(self, refuse: Refusals, request: MmapRequest) -> None:
        """Refuse what Linux finds when it has begun to unmap a fixed range: a seal, a limit, too little memory.

        And first a protection that pages cannot have, of which Linux knows none.
        """
        if not self.choices.supports_protection(request.prot & PROT_ALL):
            refuse(ENOTSUP, "mmap.prot.exec", "prot-unsupported", "pages cannot have this combination of rights")
        size = request.size
        before = refuse.count
        added = size - (self.space.mapped(request.addr, request.end) if request.fixed else 0)

        if request.replaces and self.space.is_sealed(request.addr, request.end):
            refuse(EPERM, "mmap.errno.EPERM.sealed", "fixed-range-sealed", "something in the fixed range is sealed")
        if self.exceeds_rlimit_as(added):
            refuse(ENOMEM, "mmap.errno.ENOMEM", "address-space-limit", "the address-space limit is reached")
        if request.is_data and self.exceeds_rlimit_data(added):
            refuse(ENOMEM, "mmap.errno.ENOMEM.data", "data-limit", "the data limit (RLIMIT_DATA) is reached")
        if request.is_committed and not self.choices.has_memory(size):
            refuse(ENOMEM, "mmap.errno.ENOMEM", "overcommit-limit", "the system cannot commit so much memory")
        if refuse.count > before:
            refuse.split = refuse.target

    def refuse_late(self, refuse: Refusals, request: MmapRequest) -> None:
        """Refuse what a driver refuses, or a new file: Linux has cleared a MAP_FIXED range by then."""
        description = request.description
        if description is not None and description.inode.kind == "socket":
            refuse(ENODEV, "mmap.errno.ENODEV", "file-not-mappable", "the file cannot be mapped", late=True)
        elif description is not None and description.inode.mapping_error:
            refuse(ENODEV, "mmap.errno.ENODEV", "driver-refuses", "the driver of the file refuses to map it", late=True)
        if request.zeros and request.shared and self.file_table_full():
            refuse(
                ENFILE,
                "mmap.errno.ENFILE",
                "file-table-full-for-zeros",
                "the mapping needs an open file, but the file table is full",
                late=True,
            )

    def refuse_as_library(self, refuse: Refusals, request: MmapRequest) -> None:
        """Refuse with ENOMEM what a C library (musl) reports so instead of EPERM: anonymous memory at address 0."""
        if request.anonymous and not request.addr and not request.flags & MAP_FIXED and refuse.has(EPERM):
            refuse(
                ENOMEM,
                "mmap.errno.ENOMEM",
                "libc-low-address",
                "a C library reports EPERM at address 0 as ENOMEM",
            )

    def max_protection(self, description: OpenFileDescription, shared: bool) -> int:
        """Return the protection that a mapping of a file may have at most: what mprotect may give it."""
        most = PROT_ALL
        sealed = description.inode.seals & (SEAL_WRITE | SEAL_FUTURE_WRITE)
        if shared and (not description.writable or sealed):
            most -= PROT_WRITE
        if description.inode.noexec:
            most -= PROT_EXEC
        return most

    def file_table_full(self) -> bool:
        """True if this process may open no more files."""
        return self.machine.file_table.full and "CAP_SYS_ADMIN" not in self.capabilities

    # ---------------------------------------------------------------------------------------------------------- munmap

    def munmap(self, addr: int, length: int) -> None:
        addr &= self.mask
        start, end = self.addressed("munmap", addr, length)

        # ERRORS
        with self.errors("munmap") as refuse:
            if start % self.page:
                refuse(
                    EINVAL, "munmap.errno.EINVAL.address", "addr-unaligned", "addr is not a multiple of the page size"
                )
            if (length & self.mask) > self.task_size - addr:
                refuse(EINVAL, "munmap.errno.EINVAL", "range-outside", "the range is outside the address space")
            if self.round_up(length) == 0:
                refuse(EINVAL, "munmap.errno.EINVAL", "length-zero", "length is 0")
            if self.space.splits(start, end) and self.exceeds_max_map_count(1):
                refuse(ENOMEM, "munmap.errno.ENOMEM", "split-mapping-limit", "splitting would make too many mappings")
            if self.space.is_sealed(start, end):
                refuse(EPERM, "munmap.errno.EPERM", "range-sealed", "something in the range is sealed")
                refuse.split = self.space, addr, end

        # EFFECT
        self.space.clear(start, end)
