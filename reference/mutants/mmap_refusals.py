"""Mutants of mmap's errors: an unjustified error, a missing error, or a wrong errno."""

from __future__ import annotations

from errno import (
    EACCES,
    EBADF,
    EFAULT,
    EFBIG,
    EINVAL,
    ENODEV,
    ENOMEM,
    EOPNOTSUPP,
    EPERM,
)

from ..constants import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_HUGETLB,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MAP_TYPE,
    MAP_VALIDATED,
    PROT_ALL,
    PROT_EXEC,
    PROT_WRITE,
)
from ..files import Inode, OpenFileDescription
from ..mapping_calls import MmapRequest
from ..mutant import Original, never, other, refuses, wrong
from ..process import ReferenceProcess
from ..refusal import Refusals
from ..state import State
from .calls import Mmap

DONE = "mmap.result.success"

MADE = (
    # ---- the mode of the descriptor
    never("mmap-takes-a-write-only-descriptor", "mmap.errno.EACCES", reason="fd-not-readable", bug="qiling (reading)"),
    never(
        "mmap-shares-what-is-read-only", "mmap.prot.fd-mode", named="mmap.errno.EACCES", reason="shared-not-writable"
    ),
    other("mmap-says-EFAULT-for-EACCES", EFAULT, "mmap.errno.EACCES", bug="StarryOS #285"),
    never("mmap-shares-an-append-only-file", "mmap.errno.EACCES.append-only"),
    other("mmap-says-EPERM-for-append-only", EPERM, "mmap.errno.EACCES.append-only"),
    # ---- locks
    never("mmap-overlooks-a-mandatory-lock", "mmap.errno.EAGAIN"),
    other("mmap-says-EACCES-for-a-mandatory-lock", EACCES, "mmap.errno.EAGAIN"),
    never("mmap-locks-past-the-limit", "mmap.errno.EAGAIN.memory"),
    other("mmap-says-ENOMEM-for-too-much-locked", ENOMEM, "mmap.errno.EAGAIN.memory"),
    never("mmap-locks-where-nothing-may-be", "mmap.errno.EPERM.locked"),
    other("mmap-says-EOPNOTSUPP-for-MAP_LOCKED", EOPNOTSUPP, "mmap.errno.EPERM.locked", bug="WSL #4857"),
    # ---- the descriptor
    other("mmap-says-EINVAL-for-a-bad-descriptor", EINVAL, "mmap.errno.EBADF"),
    other("mmap-says-ENODEV-for-a-bad-descriptor", ENODEV, "mmap.errno.EBADF"),
    other("mmap-says-EACCES-for-a-path", EACCES, "mmap.errno.EBADF.path"),
    # ---- the file
    other("mmap-says-EBADF-for-a-directory", EBADF, "mmap.errno.ENODEV", bug="StarryOS #285"),
    other("mmap-says-EACCES-for-what-cannot-be-mapped", EACCES, "mmap.errno.ENODEV", reason="file-not-mappable"),
    never(
        "mmap-maps-what-turns-out-not-to-be-mappable",
        "mmap.errno.ENODEV.sys",
        named="mmap.errno.ENODEV",
        reason="driver-refuses",
    ),
    never("mmap-executes-from-noexec", "mmap.errno.EPERM", bug="gVisor 191b53da2"),
    other("mmap-says-EACCES-for-noexec", EACCES, "mmap.errno.EPERM"),
    never("mmap-shares-a-sealed-file", "mmap.errno.EPERM.seal"),
    other("mmap-says-EACCES-for-a-sealed-file", EACCES, "mmap.errno.EPERM.seal"),
    never("mmap-knows-no-full-file-table", "mmap.errno.ENFILE"),
    other("mmap-says-ENOMEM-for-a-full-file-table", ENOMEM, "mmap.errno.ENFILE"),
    # ---- lengths and offsets
    other("mmap-of-length-0-is-ENOMEM", ENOMEM, "mmap.errno.EINVAL", reason="length-zero", bug="SerenityOS #11739"),
    other("mmap-says-EINVAL-for-a-huge-length", EINVAL, "mmap.errno.ENOMEM", reason="length-too-large"),
    never(
        "mmap-has-no-limit-of-address-space",
        "mmap.errno.ENOMEM.address-space",
        named="mmap.errno.ENOMEM",
        reason="address-space-limit",
        call="mmap",
        bug="gVisor #2534",
    ),
    other("mmap-says-EFAULT-for-ENOMEM", EFAULT, "mmap.errno.ENOMEM", call="mmap", bug="void-packages #57156"),
    never("mmap-has-no-limit-of-mappings", "mmap.errno.ENOMEM", reason="mapping-limit"),
    other(
        "mmap-says-EINVAL-for-a-fixed-range-outside",
        EINVAL,
        "mmap.order.address",
        named="mmap.errno.ENOMEM",
        reason="fixed-range-outside",
    ),
    never(
        "mmap-takes-an-unaligned-offset",
        "mmap.errno.EINVAL.offset",
        reason="offset-unaligned",
        bug="FreeBSD mmap(2)",
    ),
    never("mmap-takes-any-offset", "mmap.errno.EOVERFLOW", bug="gVisor 51b96514c"),
    other("mmap-says-EFBIG-for-EOVERFLOW", EFBIG, "mmap.errno.EOVERFLOW", bug="Cygwin d8a8d2ce5"),
    other(
        "mmap-says-EINVAL-for-a-negative-offset", EINVAL, "mmap.errno.EOVERFLOW.negative", named="mmap.errno.EOVERFLOW"
    ),
    # ---- addresses
    other("mmap-says-EINVAL-for-address-0", EINVAL, "mmap.errno.EPERM.zero", call="mmap", bug="km #377"),
    never("mmap-gives-address-0-to-everybody", "mmap.errno.EPERM.zero", call="mmap"),
    other("mmap-says-EINVAL-for-EEXIST", EINVAL, "mmap.errno.EEXIST"),
    # ---- flags
    never(
        "mmap-lets-a-file-grow-down",
        "mmap.errno.EINVAL.flags",
        reason="file-growsdown",
    ),
    never(
        "mmap-lets-shared-memory-grow-down",
        "mmap.errno.EINVAL.flags",
        reason="shared-growsdown",
    ),
    never("mmap-validates-nothing", "mmap.errno.EOPNOTSUPP", reason="flags-unknown"),
    never("mmap-syncs-any-file", "mmap.errno.EOPNOTSUPP.sync", reason="sync-unsupported"),
    other("mmap-says-EINVAL-for-unknown-flags", EINVAL, "mmap.errno.EOPNOTSUPP"),
    # ---- refused, and should not be
    refuses(
        "mmap-refuses-advisory-locks",
        ReferenceProcess.mmap,
        EACCES,
        lambda self, addr, length, prot, flags, fd, offset: (
            (opened := self.description(fd)) is not None and (opened.inode.flocks or opened.inode.record_lock)
        ),
        "mmap.errno.EAGAIN.advisory",
        DONE,
        text="another process has an advisory lock on the file",
    ),
    refuses(
        "mmap-refuses-PROT_NONE",
        ReferenceProcess.mmap,
        EINVAL,
        lambda self, addr, length, prot, flags, fd, offset: not prot & PROT_ALL,
        "mmap.prot.none",
        DONE,
        "mmap.flag.fixed",
        text="prot is PROT_NONE",
        bug="Asterinas #1203, #1275",
    ),
    refuses(
        "mmap-refuses-unknown-prot-bits",
        ReferenceProcess.mmap,
        EINVAL,
        lambda self, addr, length, prot, flags, fd, offset: prot & ~PROT_ALL,
        "mmap.prot.unknown-bits",
        DONE,
        "mmap.flag.fixed",
        text="prot has an unknown bit",
        bug="StarryOS #1464, FreeBSD",
    ),
    refuses(
        "mmap-refuses-unknown-flag-bits",
        ReferenceProcess.mmap,
        EINVAL,
        lambda self, addr, length, prot, flags, fd, offset: (
            flags & ~MAP_VALIDATED and flags & MAP_TYPE != MAP_SHARED_VALIDATE
        ),
        "mmap.flag.unknown-bits",
        DONE,
        "mmap.flag.fixed",
        text="flags have an unknown bit",
    ),
    refuses(
        "mmap-refuses-private-stores-to-a-read-only-file",
        ReferenceProcess.mmap,
        EACCES,
        lambda self, addr, length, prot, flags, fd, offset: (
            prot & PROT_WRITE and (opened := self.description(fd)) is not None and not opened.writable
        ),
        "mmap.prot.fd-mode",
        DONE,
        "mmap.flag.fixed",
        text="writable, and fd is open for reading only, whatever the type",
        bug="libcx #47",
    ),
    refuses(
        "mmap-refuses-descriptor-0",
        ReferenceProcess.mmap,
        EBADF,
        lambda self, addr, length, prot, flags, fd, offset: fd == 0 and not flags & MAP_ANONYMOUS,
        "mmap.range",
        DONE,
        "mmap.flag.fixed",
        text="fd is 0",
        bug="StarryOS #450",
    ),
    refuses(
        "mmap-refuses-a-sealed-file-for-reading",
        ReferenceProcess.mmap,
        EPERM,
        lambda self, addr, length, prot, flags, fd, offset: (
            flags & MAP_TYPE == MAP_PRIVATE and (opened := self.description(fd)) is not None and opened.inode.seals
        ),
        "mmap.errno.EPERM.seal",
        DONE,
        text="private, of a sealed file",
        bug="gVisor d9188f9aa",
    ),
    refuses(
        "mmap-checks-the-descriptor-of-anonymous-memory",
        ReferenceProcess.mmap,
        EBADF,
        lambda self, addr, length, prot, flags, fd, offset: flags & MAP_ANONYMOUS and fd != -1,
        "mmap.flag.anonymous",
        DONE,
        "mmap.flag.fixed",
        text="anonymous, and fd is not -1",
        bug="box64 #4208, ns-3-dce #105, sgx-lkl #755",
    ),
    refuses(
        "mmap-refuses-an-offset-of-anonymous-memory",
        ReferenceProcess.mmap,
        EINVAL,
        lambda self, addr, length, prot, flags, fd, offset: flags & MAP_ANONYMOUS and offset,
        "mmap.flag.anonymous",
        DONE,
        "mmap.flag.fixed",
        text="anonymous, and offset is not 0",
        bug="Asterinas PR #2766",
    ),
    refuses(
        "mmap-refuses-lengths-that-are-no-pages",
        ReferenceProcess.mmap,
        EINVAL,
        lambda self, addr, length, prot, flags, fd, offset: length % self.page,
        "overview.page-multiple",
        DONE,
        "mmap.flag.fixed",
        text="length is not a multiple of the page",
        bug="mystikos #133",
    ),
    refuses(
        "mmap-refuses-a-noexec-file-altogether",
        ReferenceProcess.mmap,
        EPERM,
        lambda self, addr, length, prot, flags, fd, offset: (
            (opened := self.description(fd)) is not None and opened.inode.kind == "regular" and opened.inode.noexec
        ),
        "mmap.errno.EPERM",
        DONE,
        text="the file lies on a noexec file system, whatever the prot",
    ),
    refuses(
        "mmap-takes-O_APPEND-for-append-only",
        ReferenceProcess.mmap,
        EACCES,
        lambda self, addr, length, prot, flags, fd, offset: (
            flags & MAP_TYPE == MAP_SHARED and (opened := self.description(fd)) is not None and opened.append
        ),
        "mmap.errno.EACCES.append-only",
        DONE,
        "mmap.flag.fixed",
        text="shared, and opened with O_APPEND",
    ),
)


@wrong(Mmap, "mmap.errno.EBADF", bug="OSv 25806da3")
def mmap_of_descriptor_minus_1_is_anonymous(self: ReferenceProcess, mmap: Mmap) -> int:
    """fd -1 makes a mapping anonymous, whatever the flags."""
    return mmap(flags=mmap.flags | MAP_ANONYMOUS if mmap.fd == -1 else mmap.flags)


@wrong(Mmap, "mmap.errno.EINVAL", bug="Asterinas #1180, StarryOS #285")
def mmap_takes_length_0(self: ReferenceProcess, mmap: Mmap) -> int:
    """A length of 0 is a page."""
    return mmap(length=mmap.length or 1)


@wrong(Mmap, "example.empty", "mmap.errno.EINVAL", bug="WSL #658, emscripten #22202")
def mmap_takes_length_0_of_an_empty_file(self: ReferenceProcess, mmap: Mmap) -> int:
    """A length of 0 is a page, where the file is empty."""
    description = self.description(mmap.fd)
    empty = description is not None and description.inode.size == 0 and not mmap.flags & MAP_ANONYMOUS
    return mmap(length=mmap.length or 1 if empty else mmap.length)


@wrong(Mmap, "mmap.errno.EINVAL", bug="emscripten #8633")
def mmap_rounds_the_offset_down(self: ReferenceProcess, mmap: Mmap) -> int:
    """An offset that is not a multiple of the page is rounded down."""
    return mmap(offset=mmap.offset - mmap.offset % self.page)


@wrong(Mmap, "mmap.errno.EINVAL")
def mmap_rounds_a_fixed_address_down(self: ReferenceProcess, mmap: Mmap) -> int:
    """A fixed address that is not a multiple of the page is rounded down."""
    fixed = mmap.flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)
    return mmap(addr=mmap.addr - mmap.addr % self.page if fixed else mmap.addr)


@wrong(Mmap, "mmap.errno.ENOMEM", bug="phoenix-rtos #1759, gVisor's HugeLength")
def mmap_wraps_a_huge_length(self: ReferenceProcess, mmap: Mmap) -> int:
    """A length within a page of the largest wraps, to a page."""
    return mmap(length=self.page if mmap.length > self.mask - self.page else mmap.length)


@wrong(Mmap, "mmap.errno.EINVAL.type", bug="nanos #1723")
def mmap_needs_no_type(self: ReferenceProcess, mmap: Mmap) -> int:
    """Without a type a mapping is private."""
    return mmap(flags=mmap.flags if mmap.flags & MAP_TYPE else mmap.flags | MAP_PRIVATE)


@wrong(Mmap, "mmap.errno.EINVAL.type", bug="FreeBSD")
def mmap_needs_no_type_for_anonymous_memory(self: ReferenceProcess, mmap: Mmap) -> int:
    """Without a type anonymous memory is private."""
    typeless = mmap.flags & MAP_ANONYMOUS and not mmap.flags & MAP_TYPE
    return mmap(flags=mmap.flags | MAP_PRIVATE if typeless else mmap.flags)


@wrong(Mmap, "mmap.errno.EINVAL.unknown-type", "mmap.errno.EINVAL.type", bug="unikraft #790")
def mmap_takes_the_type_for_two_bits(self: ReferenceProcess, mmap: Mmap) -> int:
    """A type that has the bit of MAP_SHARED is shared, any other that has one at all is private."""
    if mmap.flags & MAP_TYPE > MAP_SHARED_VALIDATE:
        mmap.flags = mmap.flags & ~MAP_TYPE | (MAP_SHARED if mmap.flags & MAP_SHARED else MAP_PRIVATE)
    return mmap()


@wrong(ReferenceProcess.refuse_file, "mmap.errno.EOVERFLOW.negative", "mmap.errno.EOVERFLOW", bug="gVisor 51b96514c")
def mmap_takes_a_negative_offset(
    refuse_file: Original,
    self: ReferenceProcess,
    refuse: Refusals,
    request: MmapRequest,
    description: OpenFileDescription,
) -> None:
    """A negative offset is not EOVERFLOW."""
    offset = 0 if request.offset >> 63 else request.offset
    refuse_file(self, refuse, request._replace(offset=offset), description)


@wrong(ReferenceProcess.refuse_file, "mmap.errno.EOVERFLOW")
def mmap_looks_at_the_offset_without_the_length(
    refuse_file: Original,
    self: ReferenceProcess,
    refuse: Refusals,
    request: MmapRequest,
    description: OpenFileDescription,
) -> None:
    """Only the offset is checked against the largest one, not the end of the mapping."""
    refuse_file(self, refuse, request._replace(size=0), description)


@wrong(ReferenceProcess.refuse_file, "mmap.errno.EPERM.unmappable")
def mmap_says_ENODEV_before_EPERM(
    refuse_file: Original,
    self: ReferenceProcess,
    refuse: Refusals,
    request: MmapRequest,
    description: OpenFileDescription,
) -> None:
    """A file that cannot be mapped is ENODEV, even if it could not be executed either."""
    if not description.inode.mappable:
        request = request._replace(prot=request.prot & ~PROT_EXEC)
    refuse_file(self, refuse, request, description)


@wrong(Inode.mappable, "mmap.errno.ENODEV.proc")
def mmap_maps_any_regular_file(mappable: Original, self: Inode) -> bool:
    """A regular file of a kind that cannot be mapped is mapped."""
    return bool(mappable(self)) or self.kind == "regular"


@wrong(State.description, "mmap.errno.EBADF.path", bug="own: the descriptor is found, its rights refuse it later")
def a_path_is_a_descriptor_like_any_other(description: Original, self: State, fd: int) -> OpenFileDescription | None:
    """An O_PATH descriptor is EACCES, as one that is not open for reading."""
    descriptor = self.descriptors.get(fd)
    return descriptor.description if descriptor is not None else None


@wrong(Mmap, "mmap.flag.shared-validate", "mmap.errno.EINVAL.type", bug="StarryOS #285")
def mmap_validates_anonymous_memory(self: ReferenceProcess, mmap: Mmap) -> int:
    """MAP_SHARED and MAP_PRIVATE together mean anonymous memory."""
    if mmap.flags & MAP_ANONYMOUS and mmap.flags & MAP_TYPE == MAP_SHARED_VALIDATE:
        mmap.flags = mmap.flags & ~MAP_TYPE | MAP_SHARED
    return mmap()


@wrong(Mmap, "mmap.errno.EAGAIN.memory")
def mlockall_forgets_what_is_to_come(self: ReferenceProcess, mmap: Mmap) -> int:
    """MCL_FUTURE locks nothing."""
    self.locks_future = False
    return mmap()


@wrong(Mmap, "mmap.errno.EINVAL.flags")
def mmap_has_huge_pages_for_any_file(self: ReferenceProcess, mmap: Mmap) -> int:
    """MAP_HUGETLB is ignored for a file that has no huge pages."""
    return mmap(flags=mmap.flags if mmap.flags & MAP_ANONYMOUS else mmap.flags & ~MAP_HUGETLB)
