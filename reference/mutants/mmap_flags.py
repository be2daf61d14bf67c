"""Mutants of mmap's flags: one is rejected, has no effect, or has a further effect."""

from __future__ import annotations

from errno import EACCES, EINVAL, ENOMEM, EOPNOTSUPP, EOVERFLOW, ETXTBSY

from ...contract import MAP_DENYWRITE, MAP_EXECUTABLE, MAP_NORESERVE, MAP_STACK, MAP_UNINITIALIZED
from ..accesses import Accesses
from ..address_space import AddressSpace
from ..constants import (
    MAP_32BIT,
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_FIXED,
    MAP_GROWSDOWN,
    MAP_HUGETLB,
    MAP_LOCKED,
    MAP_NONBLOCK,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED_VALIDATE,
    MAP_TYPE,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
)
from ..linux_choices import LinuxChoices
from ..mapping import Mapping
from ..mutant import NO_KNOWN_BUG, Mutant, Original, never, other, refuses, wrong
from ..paging import Memory, Page
from ..process import ReferenceProcess
from ..state import State
from .calls import Mmap


def ignores(id: str, flag: int, clause: str, *also: str, instead: int = 0, bug: str = NO_KNOWN_BUG) -> Mutant:
    """A mutant whose mmap does not know a flag, or takes it for others."""

    def mmap(
        original: Original, self: ReferenceProcess, addr: int, length: int, prot: int, flags: int, fd: int, offset: int
    ) -> int:
        if flags & flag:
            flags = flags & ~flag | instead
        place: int = original(self, addr, length, prot, flags, fd, offset)
        return place

    text = f"the flag {flag:#x} is ignored" + (f", {instead:#x} taken for it" if instead else "")
    return Mutant(id, (clause, *also), bug, text, ReferenceProcess.mmap, mmap)


FLAGS = (
    ignores("mmap-does-not-populate", MAP_POPULATE, "mmap.flag.populate", bug="WSL #2732"),
    ignores("mmap-populates-although-it-must-not-wait", MAP_NONBLOCK, "mmap.flag.nonblock"),
    ignores("mmap-brings-in-but-does-not-lock", MAP_LOCKED, "mmap.flag.locked", instead=MAP_POPULATE),
    ignores("mmap-has-no-small-addresses", MAP_32BIT, "mmap.flag.32bit", bug="FEX #5872"),
    ignores("mmap-does-not-grow-down", MAP_GROWSDOWN, "mmap.flag.growsdown"),
    ignores("mmap-takes-small-pages-for-huge-ones", MAP_HUGETLB, "mmap.errno.ENOMEM.huge-pages"),
    ignores("mmap-lets-every-stack-grow", MAP_STACK, "mmap.flag.stack", instead=MAP_GROWSDOWN),
    other("mmap-says-ENOMEM-for-huge-pages-of-no-size", ENOMEM, "mmap.errno.EINVAL.huge-size"),
    never("mmap-takes-sync-without-support", "mmap.errno.EOPNOTSUPP.sync"),
    never("mmap-locks-what-is-droppable", "mmap.errno.EINVAL.droppable"),
    refuses(
        "mmap-knows-no-droppable-memory",
        ReferenceProcess.mmap,
        EINVAL,
        lambda self, addr, length, prot, flags, fd, offset: flags & MAP_ANONYMOUS and flags & MAP_TYPE == MAP_DROPPABLE,
        "mmap.flag.droppable",
        text="the type is MAP_DROPPABLE",
    ),
    refuses(
        "mmap-looks-at-the-offset-of-anonymous-memory",
        ReferenceProcess.mmap,
        EOVERFLOW,
        lambda self, addr, length, prot, flags, fd, offset: flags & MAP_ANONYMOUS and (offset < 0 or offset >> 50),
        "mmap.flag.anonymous.offset",
        text="the offset of anonymous memory is negative or huge",
        bug="Asterinas PR #2766",
    ),
    refuses(
        "mmap-denies-write",
        ReferenceProcess.mmap,
        ETXTBSY,
        lambda self, addr, length, prot, flags, fd, offset: (
            flags & MAP_DENYWRITE
            and not flags & MAP_ANONYMOUS
            and (description := self.description(fd)) is not None
            and description.writable
        ),
        "mmap.flag.ignored",
        text="MAP_DENYWRITE, and the descriptor is open for writing",
    ),
    refuses(
        "mmap-validates-old-flags-away",
        ReferenceProcess.mmap,
        EOPNOTSUPP,
        lambda self, addr, length, prot, flags, fd, offset: (
            flags & MAP_TYPE == MAP_SHARED_VALIDATE and flags & ~(MAP_TYPE | MAP_FIXED)
        ),
        "mmap.flag.shared-validate.known",
        text="MAP_SHARED_VALIDATE with any flag but MAP_FIXED",
    ),
    refuses(
        "mmap-wants-executables-executed",
        ReferenceProcess.mmap,
        EACCES,
        lambda self, addr, length, prot, flags, fd, offset: flags & MAP_EXECUTABLE and not prot & PROT_EXEC,
        "mmap.flag.ignored",
        "mmap.flag.shared-validate.known",
        text="MAP_EXECUTABLE without PROT_EXEC",
    ),
    refuses(
        "mmap-validates-no-fixed-address",
        ReferenceProcess.mmap,
        EOPNOTSUPP,
        lambda self, addr, length, prot, flags, fd, offset: (
            flags & MAP_TYPE == MAP_SHARED_VALIDATE and flags & MAP_FIXED
        ),
        "mmap.flag.shared-validate.known",
        text="MAP_SHARED_VALIDATE with MAP_FIXED",
    ),
    refuses(
        "mmap-must-reserve",
        ReferenceProcess.mmap,
        EINVAL,
        lambda self, addr, length, prot, flags, fd, offset: flags & MAP_NORESERVE and prot & PROT_WRITE,
        "mmap.flag.noreserve",
        "mmap.flag.shared-validate.known",
        text="MAP_NORESERVE of memory that may be written",
    ),
    refuses(
        "reservations-take-memory",
        ReferenceProcess.mmap,
        ENOMEM,
        lambda self, addr, length, prot, flags, fd, offset: (
            flags & MAP_ANONYMOUS and 1 << 36 <= length < self.task_size // 2
        ),
        "mmap.prot.none.reservation",
        text="memory is promised for all that is mapped, whatever its rights, and there is not so much",
    ),
    refuses(
        "mmap-finds-32-bit-addresses-too-large",
        ReferenceProcess.mmap,
        EACCES,
        lambda self, addr, length, prot, flags, fd, offset: flags & MAP_32BIT and flags & MAP_FIXED and addr >> 31,
        "mmap.flag.32bit.fixed",
        text="MAP_32BIT at a fixed address above 2 GiB",
        bug="Asterinas #1604",
    ),
)


@wrong(Memory.allocate, "mmap.flag.anonymous.recycled", "mmap.flag.anonymous", bug="unikraft #394, phoenix-rtos #1742")
def freed_pages_are_not_cleared(fresh: Original, self: Memory, content: bytes = b"") -> Page:
    """Freed pages are not cleared, so new memory has the content of earlier mappings."""
    page: Page = fresh(self, content)
    if not content and self.handed_out > 4:
        page.data[:] = b"\xaa" * self.page
    return page


@wrong(AddressSpace.fault_in, "mmap.flag.anonymous.recycled", "mmap.flag.anonymous", bug="Cygwin 677e31509")
def private_memory_is_not_cleared(fault_in: Original, self: AddressSpace, mapping: Mapping, number: int) -> Page | None:
    """A new page of private memory has the content that the page had when it was freed."""
    page: Page | None = fault_in(self, mapping, number)
    if mapping.inode is None and self.table.memory.handed_out > 4:
        page = self.table.entries[number] = self.table.memory.allocate(b"\xaa" * self.table.memory.page)
    return page


@wrong(Mmap, "mmap.flag.uninitialized")
def mmap_leaves_memory_uninitialized(self: ReferenceProcess, mmap: Mmap) -> int:
    """With MAP_UNINITIALIZED, the memory has the content of earlier mappings."""
    place = mmap()
    mapping = self.space.find(place)
    if mmap.flags & MAP_ANONYMOUS and mmap.flags & MAP_UNINITIALIZED and mapping is not None:
        page = self.space.access(mapping, place // self.page, True)
        assert page is not None
        page.data[:4] = b"left"
    return place


@wrong(Mmap, "mmap.flag.anonymous.apart", "mmap.flag.anonymous", "mmap.zero.apart")
def all_shared_memory_is_one_file(self: ReferenceProcess, mmap: Mmap) -> int:
    """All shared anonymous mappings use one object."""
    place = mmap()
    mapping = self.space.find(place)
    if mapping is not None and is_shared_memory(mapping):
        for other_one in list(self.space.mappings.values()):
            if other_one is not mapping and is_shared_memory(other_one):
                mapping.release()
                mapping.inode, mapping.description = other_one.inode, other_one.description
                mapping.acquire()
                break
    return place


def is_shared_memory(mapping: Mapping) -> bool:
    """Return True if a mapping is shared anonymous memory."""
    return mapping.inode is not None and mapping.inode.name == "anonymous"


@wrong(LinuxChoices.copies_when_populated, "mmap.flag.populate.copies", "mlock.private.copies")
def populated_pages_are_not_copied(copies_when_populated: Original, self: LinuxChoices) -> bool:
    """Private pages that are resident before the first store continue to show the file."""
    return False


@wrong(Mmap, "mmap.flag.populate.copies")
def populated_pages_are_always_copied(self: ReferenceProcess, mmap: Mmap) -> int:
    """MAP_POPULATE copies private pages also where they can only be loaded from."""
    place = mmap()
    mapping = self.space.find(place)
    if mmap.flags & MAP_POPULATE and mapping is not None and not mapping.shared:
        for number in range(place // self.page, (place + self.round_up(mmap.length)) // self.page):
            self.space.access(mapping, number, True)
    return place


@wrong(Mmap, "mmap.errno.EINVAL.droppable")
def files_are_droppable(self: ReferenceProcess, mmap: Mmap) -> int:
    """A file is mapped private where it should be mapped droppable."""
    if mmap.flags & MAP_TYPE == MAP_DROPPABLE and not mmap.flags & MAP_ANONYMOUS:
        mmap.flags ^= MAP_DROPPABLE | MAP_PRIVATE
    return mmap()


@wrong(Mmap, "mmap.flag.populate.best-effort", bug="StarryOS #1164, OSv f9dfd864")
def mmap_must_populate(self: ReferenceProcess, mmap: Mmap) -> int:
    """MAP_POPULATE fails if a page cannot be made resident."""
    place = mmap()
    if mmap.flags & MAP_POPULATE and not self.space.populate(place, place + self.round_up(mmap.length)):
        raise OSError(ENOMEM, "the mutant cannot bring in a page")
    return place


@wrong(Mmap, "mmap.flag.locked.best-effort")
def mmap_must_lock(self: ReferenceProcess, mmap: Mmap) -> int:
    """MAP_LOCKED fails if a page cannot be made resident, as mlock does."""
    place = mmap()
    if mmap.flags & MAP_LOCKED and not self.space.populate(place, place + self.round_up(mmap.length)):
        raise OSError(ENOMEM, "the mutant cannot bring in a page")
    return place


@wrong(Mmap, "mmap.flag.locked.resident")
def locked_memory_is_not_resident_at_once(self: ReferenceProcess, mmap: Mmap) -> int:
    """MAP_LOCKED does not make the pages resident."""
    place = mmap()
    mapping = self.space.find(place)
    if mmap.flags & MAP_LOCKED and mmap.flags & MAP_ANONYMOUS and mapping is not None:
        self.space.table.zap(place // self.page, (place + self.round_up(mmap.length)) // self.page)
        if mapping.inode is not None:
            mapping.inode.cache.pages.clear()
    return place


@wrong(State.memlock_is_zero, "mmap.flag.locked.privileged")
def no_process_locks_past_the_limit(memlock_is_zero: Original, self: State) -> bool:
    """The limit of locked memory binds privileged processes as well."""
    return self.locked_limit == 0


@wrong(Mmap, "mmap.flag.droppable.fork")
def children_have_droppable_memory(self: ReferenceProcess, mmap: Mmap) -> int:
    """A child finds in droppable memory what its parent has stored."""
    place = mmap()
    mapping = self.space.find(place)
    if mapping is not None and mapping.droppable:
        mapping.wipe_on_fork = False
    return place


@wrong(AddressSpace.grow_down, "mmap.flag.growsdown.rights")
def what_grows_can_be_written(grow_down: Original, self: AddressSpace, mapping: Mapping, start: int) -> None:
    """The pages by which a mapping grows downwards are readable and writable."""
    grow_down(self, mapping, start)
    mapping.prot = PROT_READ | PROT_WRITE


@wrong(LinuxChoices.may_grow_down, "mmap.flag.growsdown.gap")
def stacks_grow_into_each_other(grows_down: Original, self: LinuxChoices, left: int) -> bool:
    """No gap is kept between what grows down and what is below."""
    return True


@wrong(Accesses.grow_to, "mmap.flag.growsdown.limit")
def stacks_grow_without_a_limit(grow_to: Original, self: Accesses, addr: int) -> Mapping | None:
    """A mapping grows downwards past the limit of the stack."""
    limit = self.stack_limit
    self.stack_limit = self.task_size
    mapping: Mapping | None = grow_to(self, addr)
    self.stack_limit = limit
    return mapping


@wrong(Mmap, "mmap.flag.fixed-replaces.lock")
def replaced_memory_stays_locked(self: ReferenceProcess, mmap: Mmap) -> int:
    """Memory that MAP_FIXED has replaced still counts as locked."""
    before = self.space.locked
    place = mmap()
    if mmap.flags & MAP_FIXED:
        self.space.locked = max(self.space.locked, before)
    return place
