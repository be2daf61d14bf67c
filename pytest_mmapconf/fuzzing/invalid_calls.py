"""What can be the matter with a call of mmap or mremap.

A mistake spoils a call that would succeed.  A call may have two: that shows which of them a system finds first, and
what the second would do if it did not find the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from ..contract import (
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_HUGETLB,
    MAP_LOCKED,
    MAP_NORESERVE,
    MAP_POPULATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MAP_SYNC,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    O_RDONLY,
    O_WRONLY,
    PROT_EXEC,
    PROT_NONE,
    PROT_WRITE,
    SEAL_WRITE,
    Facility,
    Resource,
)
from ..reference.mapping import Mapping
from .draws import Draws

if TYPE_CHECKING:
    from .model_view import Actor, ProgramState

TYPE_MASK: Final = 0xF
"""The bits of mmap's flags that hold the type of the mapping (MAP_TYPE)."""

HEADROOM_PAGES: Final = 5000
"""Pages that a process with a limit may map in addition: enough that its own memory makes no difference."""

LOW_PAGES: Final = 8
"""Pages from address 0 on that no system uses for itself."""

OVER_LIMIT_PAGES: Final = 16384
"""Pages of a mapping that exceeds any limit a program sets."""

LARGE_PAGES: Final = 3000
"""Pages of a mapping of which one is within a limit that a program sets, and two exceed it."""


# ---------------------------------------------------------------------------------------------------------------- mmap


@dataclass
class MmapCall:
    """A call of mmap that is to be made."""

    addr: int
    length: int
    prot: int
    flags: int
    fd: int | None = None
    """None: any file that is open for what is wanted."""
    offset: int = 0

    def of_type(self, type: int) -> None:
        """Be of another type."""
        self.flags = self.flags & ~TYPE_MASK | type

    def at(self, addr: int, how: int) -> None:
        """Be placed at an address: fixed, not to replace anything, or as a hint (0)."""
        self.addr, self.flags = addr, self.flags & ~(MAP_FIXED | MAP_FIXED_NOREPLACE) | how


MmapMistake: TypeAlias = "Callable[[ProgramState, Actor, Draws, MmapCall], None]"


def mode(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """Of a file that is not open for what is wanted."""
    write = draws.below(2)
    if write:
        call.of_type(MAP_SHARED)
        call.prot |= PROT_WRITE
    unfit = [
        number
        for number, description in state.usable_descriptors(actor, False, False)
        if not (description.writable if write else description.readable)
    ]
    if unfit:
        call.fd = draws.choice(unfit)
    else:
        call.fd = state.open_file(actor, draws.choice("ab"), O_RDONLY if write else O_WRONLY)


def append_only(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """Shared, of a file that can be appended to only."""
    call.of_type(MAP_SHARED)
    call.fd = state.append_only_descriptor(actor, draws)


def no_length(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    call.length = 0


def nothing(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """Nothing of an empty file."""
    call.fd = state.descriptor(actor, draws, True, True)
    state.call(actor, "ftruncate", call.fd, 0)
    call.length = 0


def huge(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """More than there are addresses, or than can be free."""
    top = 1 << state.bits
    call.length = draws.choice((top - state.page, top - 1, top - 2 * state.page, actor.model.top - state.page))
    call.flags |= MAP_NORESERVE
    if call.length < actor.model.top:  # there is no gap so large, and no room for so much memory
        call.prot = PROT_NONE
        call.flags &= ~(MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_LOCKED | MAP_POPULATE)


def over_the_limit(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """More than the process may map."""
    state.call(actor, "set_limit_headroom", Resource.ADDRESS_SPACE, HEADROOM_PAGES * state.page)
    call.length = OVER_LIMIT_PAGES * state.page
    call.flags = call.flags & ~(MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_POPULATE) | MAP_NORESERVE


def odd_offset(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    call.offset = draws.choice((1, state.page - 1, state.page + 8, -1))


def overflow(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """So far behind the beginning that the end is behind any file's."""
    call.offset = draws.choice(((1 << 63) - state.page, -state.page))


def odd_address(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    odd = state.draw_slot(actor, draws) + draws.choice((1, state.page - 1))
    call.at(odd, draws.choice((MAP_FIXED, MAP_FIXED, MAP_FIXED_NOREPLACE)))


def outside(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """Where no memory can be."""
    addr = draws.choice(((1 << state.bits) - state.page, 1 << (state.bits - 1)))
    call.at(addr, draws.choice((MAP_FIXED, MAP_FIXED_NOREPLACE)))


def low(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """At address 0, by a process that may not."""
    state.call(actor, "drop_capability", "CAP_SYS_RAWIO")  # else page 0 would be there
    call.at(0, draws.choice((MAP_FIXED, MAP_FIXED_NOREPLACE)))


def taken(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """Where something is already that is not to be replaced."""
    mapping = state.draw_mapping(actor, draws)
    addr = state.symbolic(actor, mapping.start)[0] if mapping else state.draw_slot(actor, draws)
    call.at(addr, draws.choice((MAP_FIXED_NOREPLACE, MAP_FIXED_NOREPLACE, MAP_FIXED | MAP_FIXED_NOREPLACE)))


def no_descriptor(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    call.fd = draws.choice((-1, 77, -1000))


def odd_file(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """Of what cannot be mapped."""
    call.fd = state.special_file(actor, draws, draws.choice(state.unmappable))


def noexec(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """To be executed, of a file that cannot be."""
    call.fd = state.special_file(actor, draws, draws.choice((None, Facility.PROC_FILE)))
    call.prot |= PROT_EXEC


def locked_file(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """Of a file that somebody holds a mandatory lock on."""
    call.fd = state.special_file(actor, draws, Facility.MANDATORY_LOCK)


def sealed(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """Shared and writable, of a file that is sealed against writing."""
    call.fd = state.sealed_descriptor(actor, draws, SEAL_WRITE)
    call.of_type(MAP_SHARED)
    call.prot |= PROT_WRITE


def no_type(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    call.of_type(0)


def no_type_and_no_file(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    call.of_type(0)
    call.flags, call.fd = call.flags | MAP_ANONYMOUS, -1


def validated_without_a_file(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    call.of_type(MAP_SHARED_VALIDATE)
    call.flags, call.fd = call.flags | MAP_ANONYMOUS, -1


def other_type(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    call.of_type(draws.choice((4, 7, 15)))


def droppable(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """Droppable, and of a file or locked."""
    call.of_type(MAP_DROPPABLE)
    if draws.below(2):
        call.flags, call.fd = call.flags | MAP_ANONYMOUS | MAP_LOCKED, -1


def unknown_flag(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    call.flags |= MAP_SHARED_VALIDATE | 1 << 27


def synchronous(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    call.flags |= MAP_SHARED_VALIDATE | MAP_SYNC


def growing(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """To grow downwards, and shared or of a file."""
    call.flags |= MAP_GROWSDOWN
    if draws.below(2):
        call.of_type(MAP_SHARED)
        call.flags, call.fd = call.flags | MAP_ANONYMOUS, -1


def huge_pages(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """Huge pages of a file; or of no file, and of a size that there is not."""
    call.flags |= MAP_HUGETLB
    if draws.below(2):
        call.flags, call.fd = call.flags | MAP_ANONYMOUS | 12 << 26, -1


def over_the_limit_of_locks(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    state.set_lock_headroom(actor, state.page)
    call.flags |= MAP_LOCKED
    call.length += state.page


def no_lock(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """Locked, by a process that may lock nothing."""
    state.set_lock_headroom(actor, 0)
    call.flags |= MAP_LOCKED
    call.length += state.page


MMAP_MISTAKES: Final[Sequence[tuple[str, MmapMistake]]] = (
    *((("mmap.errno.EACCES", mode),) * 7),
    ("mmap.errno.EACCES.append-only", append_only),
    ("mmap.errno.EINVAL", no_length),
    ("mmap.errno.EINVAL", odd_offset),
    ("mmap.errno.EINVAL", odd_address),
    ("mmap.errno.EBADF", no_descriptor),
    *((("mmap.errno.ENODEV", odd_file),) * 3),
    ("mmap.errno.EBADF.path", odd_file),
    ("mmap.errno.EINVAL.type", no_type),
    ("mmap.errno.ENOMEM", huge),
    ("mmap.errno.ENOMEM", outside),
    *((("mmap.errno.ENOMEM", over_the_limit),) * 2),
    ("mmap.errno.EOVERFLOW", overflow),
    ("mmap.errno.EOPNOTSUPP", unknown_flag),
    ("mmap.errno.EOPNOTSUPP.sync", synchronous),
    ("mmap.errno.EEXIST", taken),
    ("mmap.errno.EPERM.zero", low),
    ("mmap.errno.EPERM", noexec),
    ("mmap.errno.EPERM.seal", sealed),
    ("mmap.errno.EAGAIN", locked_file),
    ("mmap.errno.EAGAIN.memory", over_the_limit_of_locks),
    ("mmap.errno.EPERM.locked", no_lock),
    ("mmap.errno.EINVAL.unknown-type", other_type),
    ("mmap.errno.EINVAL.droppable", droppable),
    ("mmap.errno.EINVAL.type", no_type_and_no_file),
    ("mmap.flag.shared-validate", validated_without_a_file),
    ("mmap.errno.EINVAL.flags", growing),
    ("mmap.errno.EINVAL.flags", huge_pages),
    ("mmap.errno.EINVAL", nothing),
)
"""The mistakes of mmap, each with the clause that refuses it."""


# -------------------------------------------------------------------------------------------------------------- mremap


@dataclass
class MremapCall:
    """A call of mremap that is to be made."""

    mapping: Mapping
    """What it is about."""
    addr: int
    old_size: int
    new_size: int
    flags: int
    new_addr: int
    room: int
    """Bytes from `addr` on that may be touched."""
    slot: int
    """A place in the scratch_range."""


MremapMistake: TypeAlias = "Callable[[ProgramState, Actor, Draws, MremapCall], None]"


def odd_old_address(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    call.addr += 1


def to_nothing(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    call.new_size = 0


def unknown_mremap_flag(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    call.flags |= 8


def too_much(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    """More than is mapped there, perhaps."""
    call.old_size += state.page


def from_the_arena(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    """Whatever is at another place, perhaps nothing."""
    call.addr = state.draw_slot(actor, draws)


def fixed_alone(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    call.flags = MREMAP_FIXED


def dontunmap_alone(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    call.flags, call.new_size = MREMAP_DONTUNMAP, call.old_size


def a_copy_of_private_memory(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    if not call.mapping.is_meant_to_be_shared:
        call.old_size = 0


def cut_off_outside(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    """Cut, at an end that is outside the address space."""
    call.old_size = (1 << state.bits) - state.page


def to_a_huge_size(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    call.new_size = draws.choice(((1 << state.bits) - state.page, call.mapping.space.top - state.page))


def to_an_odd_address(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    call.flags, call.new_addr = MREMAP_MAYMOVE | MREMAP_FIXED, call.slot + draws.choice((1, state.page - 1))


def onto_itself(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    """And never onto what may lie behind."""
    call.flags, call.new_addr = MREMAP_MAYMOVE | MREMAP_FIXED, call.addr
    call.new_size = min(call.new_size, call.room)


def to_outside(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    call.flags, call.new_addr = MREMAP_MAYMOVE | MREMAP_FIXED, 1 << (state.bits - 1)


def to_address_0(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    """In a process that may not."""
    state.call(actor, "drop_capability", "CAP_SYS_RAWIO")
    call.flags, call.new_addr = MREMAP_MAYMOVE | MREMAP_FIXED, 0


def kept_and_resized(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    call.flags, call.new_size = MREMAP_MAYMOVE | MREMAP_DONTUNMAP, call.old_size + state.page


def locks_more(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    """A locked mapping that grows, in a process that may lock no more."""
    if call.mapping.locked:
        state.set_lock_headroom(actor, 0)
        call.new_size += call.old_size


MREMAP_MISTAKES: Final[Sequence[MremapMistake]] = (
    odd_old_address,
    to_nothing,
    unknown_mremap_flag,
    too_much,
    from_the_arena,
    fixed_alone,
    to_a_huge_size,
    to_an_odd_address,
    onto_itself,
    to_outside,
    to_address_0,
    kept_and_resized,
    dontunmap_alone,
    locks_more,
    a_copy_of_private_memory,
    cut_off_outside,
)
"""The mistakes of mremap."""
