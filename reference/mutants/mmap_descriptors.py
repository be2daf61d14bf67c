"""Mutants of mmap's descriptor: its number, its access mode, the kind of its file."""

from __future__ import annotations

from errno import EACCES, EBADF, EINVAL, ENODEV

from ..constants import MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, MAP_TYPE, O_RDWR, PROT_ALL, PROT_READ, PROT_WRITE
from ..file_calls import FileCalls
from ..files import Descriptor, OpenFileDescription
from ..mapping_calls import MappingCalls
from ..mutant import NO_KNOWN_BUG, Mutant, Original, never, refuses, wrong
from ..process import ReferenceProcess
from .calls import Mmap


def maps(id: str, clause: str, *kinds: str, bug: str = NO_KNOWN_BUG) -> Mutant:
    """Return a mutant that maps files of a kind, or of a device, that cannot be mapped, as pages of zeros."""

    def mmap(
        original: Original, self: ReferenceProcess, addr: int, length: int, prot: int, flags: int, fd: int, offset: int
    ) -> int:
        try:
            place: int = original(self, addr, length, prot, flags, fd, offset)
        except OSError as error:
            description = self.description(fd)
            if error.errno != ENODEV or description is None or flags & MAP_ANONYMOUS:
                raise
            if description.inode.kind not in kinds and description.inode.device not in kinds:
                raise
            place = original(self, addr, length, prot, flags | MAP_ANONYMOUS, -1, 0)
        return place

    text = f"it can be mapped: {', '.join(kinds)}"
    return Mutant(id, (clause, "mmap.errno.ENODEV"), bug, text, ReferenceProcess.mmap, mmap)


def is_zeros(self: ReferenceProcess, flags: int, fd: int) -> bool:
    """Return True if the call maps /dev/zero."""
    if flags & MAP_ANONYMOUS or fd not in self.descriptors:
        return False
    return self.descriptors[fd].description.inode.device == "zero"


DESCRIPTORS = (
    maps("mmap-maps-pipes", "mmap.errno.ENODEV.pipe", "fifo"),
    maps("mmap-maps-sockets", "mmap.errno.ENODEV.socket", "socket"),
    maps("mmap-maps-directories", "mmap.errno.ENODEV.directory", "directory"),
    maps("mmap-maps-every-device", "mmap.errno.ENODEV.device", "null", "random"),
    maps("mmap-maps-what-is-made-up", "mmap.errno.ENODEV.proc", "maps"),
    maps("mmap-maps-what-is-no-file", "mmap.errno.ENODEV.nameless", "other"),
    never(
        "mmap-asks-no-driver",
        "mmap.errno.ENODEV.sys",
        "mmap.errno.ENODEV",
        named="mmap.errno.ENODEV",
        reason="driver-refuses",
    ),
    refuses(
        "mmap-takes-descriptor-0-for-none",
        ReferenceProcess.mmap,
        EBADF,
        lambda self, addr, length, prot, flags, fd, offset: fd == 0 and not flags & MAP_ANONYMOUS,
        "mmap.fd.zero",
        text="the descriptor is 0",
        bug="StarryOS #450",
    ),
    refuses(
        "mmap-takes-appending-for-a-conflict",
        ReferenceProcess.mmap,
        EACCES,
        lambda self, addr, length, prot, flags, fd, offset: (
            flags & MAP_TYPE == MAP_SHARED and fd in self.descriptors and self.descriptors[fd].description.append
        ),
        "mmap.fd.append",
        text="shared, and the descriptor appends",
    ),
    refuses(
        "mmap-looks-for-a-place-in-the-device-of-zeros",
        ReferenceProcess.mmap,
        EINVAL,
        lambda self, addr, length, prot, flags, fd, offset: offset and is_zeros(self, flags, fd),
        "mmap.zero.offset",
        text="an offset in the device of zeros",
    ),
    refuses(
        "mmap-takes-whole-pages-of-zeros-only",
        ReferenceProcess.mmap,
        EINVAL,
        lambda self, addr, length, prot, flags, fd, offset: length % self.page and is_zeros(self, flags, fd),
        "mmap.zero.length",
        text="a length of the device of zeros that is not a multiple of the page",
        bug="gVisor 7e9e6745c",
    ),
)


@wrong(ReferenceProcess.close, "mmap.fd.dup", bug="wasix")
def close_closes_duplicates(close: Original, self: ReferenceProcess, fd: int) -> None:
    """Closing a descriptor closes its duplicates."""
    closed = self.descriptors.get(fd)
    close(self, fd)
    for other_fd, descriptor in list(self.descriptors.items()):
        if closed is not None and descriptor.description is closed.description and other_fd > 2:
            close(self, other_fd)


@wrong(ReferenceProcess.dup, "mmap.fd.dup.mode")
def dup_opens_for_both(dup: Original, self: ReferenceProcess, fd: int) -> int:
    """A duplicate can be read from and written to, whatever its original can be."""
    duplicate: int = dup(self, fd)
    inode = self.descriptors[fd].description.inode
    self.descriptors.pop(duplicate).description.release()
    self.descriptors[duplicate] = Descriptor(OpenFileDescription(self.machine.file_table, inode, O_RDWR), False)
    return duplicate


@wrong(Mmap, "mmap.errno.EACCES.any-prot", "mmap.errno.EACCES", bug="NetBSD, qiling (reading)")
def mmap_reads_only_what_is_to_be_read(self: ReferenceProcess, mmap: Mmap) -> int:
    """Without PROT_READ a descriptor need not be open for reading."""
    description = None if mmap.flags & MAP_ANONYMOUS else self.description(mmap.fd)
    if description is None or mmap.prot & PROT_READ:
        return mmap()
    before, description.readable = description.readable, True
    try:
        place = mmap()
    finally:
        description.readable = before
    return place


@wrong(ReferenceProcess.mprotect, "mmap.prot.fd-mode.lasts", bug="gVisor #147")
def mprotect_looks_at_the_descriptors_of_now(
    mprotect: Original, self: ReferenceProcess, addr: int, length: int, prot: int
) -> None:
    """The maximum protection of a shared mapping depends on the descriptors of its file that are open now."""
    for mapping in self.space.over(addr, addr + self.round_up(length)):
        if mapping.shared and mapping.description is not None:
            descriptions = [descriptor.description for descriptor in self.descriptors.values()]
            writable = any(found.inode is mapping.inode and found.writable for found in descriptions)
            mapping.max_prot = PROT_ALL if writable else PROT_ALL - PROT_WRITE
    mprotect(self, addr, length, prot)


@wrong(MappingCalls.max_protection, "mmap.prot.fd-mode.private")
def private_mappings_never_become_writable(
    max_protection: Original, self: MappingCalls, description: OpenFileDescription, shared: bool
) -> int:
    """A private mapping that is not writable at first can never be made so."""
    most: int = max_protection(self, description, shared)
    return most if shared else most & ~PROT_WRITE


@wrong(Mmap, "mmap.zero.private")
def private_zeros_are_shared(self: ReferenceProcess, mmap: Mmap) -> int:
    """A private mapping of the device of zeros is shared with children."""
    if is_zeros(self, mmap.flags, mmap.fd) and mmap.flags & MAP_TYPE == MAP_PRIVATE:
        mmap.flags ^= MAP_PRIVATE | MAP_SHARED
    return mmap()


@wrong(Mmap, "mmap.zero.shared")
def shared_zeros_are_private(self: ReferenceProcess, mmap: Mmap) -> int:
    """A shared mapping of the device of zeros is not shared with children."""
    if is_zeros(self, mmap.flags, mmap.fd) and mmap.flags & MAP_TYPE == MAP_SHARED:
        mmap.flags ^= MAP_PRIVATE | MAP_SHARED
    return mmap()


@wrong(Mmap, "mmap.zero.apart")
def zeros_are_one_file(self: ReferenceProcess, mmap: Mmap) -> int:
    """All mappings of the device of zeros are the same memory."""
    if is_zeros(self, mmap.flags, mmap.fd) and mmap.flags & MAP_TYPE == MAP_PRIVATE:
        mmap.flags ^= MAP_PRIVATE | MAP_SHARED
    place = mmap()
    mapping = self.space.find(place)
    if is_zeros(self, mmap.flags, mmap.fd) and mapping is not None and mapping.shared:
        for other_one in list(self.space.mappings.values()):
            if other_one is not mapping and other_one.inode is not None and other_one.inode.name == "anonymous":
                mapping.release()
                mapping.inode, mapping.description = other_one.inode, other_one.description
                mapping.acquire()
                break
    return place


@wrong(Mmap, "mmap.zero.mode")
def zeros_have_no_mode(self: ReferenceProcess, mmap: Mmap) -> int:
    """The mode of a descriptor of the device of zeros does not count."""
    if not is_zeros(self, mmap.flags, mmap.fd):
        return mmap()
    description = self.descriptors[mmap.fd].description
    before = description.readable, description.writable
    description.readable = description.writable = True
    try:
        place = mmap()
    finally:
        description.readable, description.writable = before
    return place


@wrong(FileCalls.read_device, "mmap.zero.unchanged")
def zeros_keep_what_is_stored(read_device: Original, self: FileCalls, device: str, length: int, offset: int) -> bytes:
    """The device of zeros reads as what was stored through a mapping of it."""
    for mapping in self.space.mappings.values():
        if device == "zero" and mapping.description is not None:
            page = self.space.access(mapping, mapping.start // self.page, False)
            if page is not None:
                return bytes(page.data[:length])
    content: bytes = read_device(self, device, length, offset)
    return content


@wrong(ReferenceProcess.memfd, "memfd.empty")
def memory_files_begin_with_a_page(memfd: Original, self: ReferenceProcess) -> int:
    """A new file in memory is a page long."""
    fd: int = memfd(self)
    self.descriptors[fd].description.inode.size = self.page
    return fd
