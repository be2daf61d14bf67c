"""Mutants of the references that a mapping holds: to a file that it should hold, or that it should release."""

from __future__ import annotations

from ..address_space import AddressSpace
from ..file_calls import FileCalls
from ..files import Inode
from ..mapping import Mapping
from ..mutant import Original, wrong
from ..process import ReferenceProcess
from .calls import mappings_of

GONE = ("mmap.refcount.close", "mmap.range", "mmap.flag.shared", "mmap.flag.private", "overview.one-to-one")
"""Clauses that random programs cite for a mapping that has lost its file."""


@wrong(FileCalls.close, "mmap.refcount.close", bug="emscripten #15140, wasix dup bug")
def closing_drops_the_mapping(close: Original, self: FileCalls, fd: int) -> None:
    """A mapping goes with its descriptor."""
    description = self.descriptors[fd].description if fd in self.descriptors else None
    close(self, fd)
    for mapping in list(self.space.mappings.values()):
        if description is not None and mapping.description is description:
            self.space.clear(mapping.start, mapping.end)


@wrong(FileCalls.close, "mmap.refcount.close", *GONE)
def closing_makes_mappings_private(close: Original, self: FileCalls, fd: int) -> None:
    """After its descriptor is closed a mapping's stores no longer reach the file."""
    description = self.descriptors[fd].description if fd in self.descriptors else None
    close(self, fd)
    for mapping in self.space.mappings.values():
        if description is not None and mapping.description is description:
            mapping.shared = False


@wrong(FileCalls.open, "mmap.refcount.close", *GONE, "file.truncate", bug="Cygwin")
def a_mapping_belongs_to_the_number_of_its_descriptor(
    open: Original, self: FileCalls, path: str, flags: int, mode: int = 0o600
) -> int:
    """The next file that is opened is what mappings of files that are closed show."""
    fd = int(open(self, path, flags, mode))
    inode = self.descriptors[fd].description.inode
    held = {descriptor.description for descriptor in self.descriptors.values()}
    for mapping in self.space.mappings.values():
        old = mapping.inode
        if old is not None and old.name != "anonymous" and mapping.description not in held and inode.kind == "regular":
            del old.mappings[mapping]
            mapping.inode, inode.mappings[mapping] = inode, None
            self.space.table.zap(mapping.start // self.page, mapping.end // self.page)
    return fd


@wrong(Mapping.acquire, "mmap.refcount.increment", *GONE)
def a_mapping_does_not_hold_its_file(hold: Original, self: Mapping) -> None:
    """Mapping a file does not count."""
    hold(self)
    if self.description is not None:
        self.description.references -= 1


@wrong(FileCalls.unlink, "mmap.refcount.increment", *GONE)
def unlinking_cuts_a_mapped_file(unlink: Original, self: FileCalls, path: str) -> None:
    """A file that has lost its last name is emptied, mapped or not."""
    _name, _directory, inode = self.look_up(path)
    unlink(self, path)
    if inode is not None and inode.mappings and not inode.links:
        inode.cut(0)


@wrong(Mapping.release, "mmap.refcount.munmap", bug="emscripten #21360, gVisor d11ef20a9")
def a_mapping_never_releases_its_file(release: Original, self: Mapping) -> None:
    """Unmapping does not lower the file's count."""
    if self.description is not None:
        self.description.references += 1
    release(self)


@wrong(AddressSpace.split, "mmap.refcount.munmap", *GONE, bug="rumprun #41, gVisor 8e9789caa")
def a_part_does_not_hold_the_file(split: Original, self: AddressSpace, addr: int) -> None:
    """A mapping that is split counts once: the file is released with the first part."""
    before = len(self.mappings)
    split(self, addr)
    right = self.mappings.get(addr)
    if len(self.mappings) > before and right is not None and right.description is not None:
        right.description.references -= 1


@wrong(AddressSpace.fork, "mmap.refcount.munmap", "mmap.refcount.exit", *GONE)
def a_fork_does_not_hold_the_file(fork: Original, self: AddressSpace) -> AddressSpace:
    """A child's mappings do not count, but are counted when they go."""
    child: AddressSpace = fork(self)
    for mapping in child.mappings.values():
        if mapping.description is not None:
            mapping.description.references -= 1
    return child


@wrong(ReferenceProcess.exit, "mmap.refcount.exit", bug="gVisor d11ef20a9")
def exit_lets_nothing_go(exit: Original, self: ReferenceProcess, status: int = 0) -> int:
    """A process that exits leaves what it has mapped counted."""
    for mapping in self.space.mappings.values():
        if mapping.description is not None:
            mapping.description.references += 1
    return int(exit(self, status))


@wrong(ReferenceProcess.kill, "mmap.refcount.exit")
def kill_lets_nothing_go(kill: Original, self: ReferenceProcess) -> None:
    """A process that is killed leaves what it has mapped counted."""
    for mapping in self.space.mappings.values():
        if mapping.description is not None:
            mapping.description.references += 1
    kill(self)


@wrong(ReferenceProcess.exec, "mmap.refcount.exec")
def exec_keeps_all_references(exec: Original, self: ReferenceProcess) -> None:
    """After exec, the mappings of the old program still count as references."""
    for mapping in self.space.mappings.values():
        if mapping.description is not None:
            mapping.description.references += 1
    exec(self)


@wrong(FileCalls.close, "mmap.refcount.record-lock", "file.errno")
def a_mapping_keeps_the_record_lock(close: Original, self: FileCalls, fd: int) -> None:
    """A record lock stays while the process has the file mapped."""
    inode = self.descriptors[fd].description.inode if fd in self.descriptors else None
    owner = None if inode is None else inode.record_lock
    close(self, fd)
    if inode is not None and owner is self and any(m.space is self.space for m in mappings_of(inode)):
        inode.record_lock = owner


@wrong(Inode.put, "mmap.refcount.munmap", bug="gVisor d11ef20a9")
def storage_is_never_returned(put: Original, self: Inode) -> None:
    """The storage of a file without references is not released."""
