"""The mistakes that make a call of mmap or mremap invalid.

A mistake changes a call that would succeed.  A call may have two: that shows which of them a system reports, and what
the second one results in if the system misses the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from ..contract import (
    MAP_NORESERVE,
    SEAL_WRITE,
    Facility,
    Resource,
)
from ..reference.constants import (
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_HUGETLB,
    MAP_LOCKED,
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
    """The arguments of a call of mmap."""

    addr: int
    length: int
    prot: int
    flags: int
    fd: int | None = None
    """Descriptor; None for any regular file whose access mode fits."""
    offset: int = 0

    def of_type(self, type: int) -> None:
        """Change the type of the mapping."""
        self.flags = self.flags & ~TYPE_MASK | type

    def at(self, addr: int, how: int) -> None:
        """Change the address and its meaning: MAP_FIXED, MAP_FIXED_NOREPLACE, or 0 for a hint."""
        self.addr, self.flags = addr, self.flags & ~(MAP_FIXED | MAP_FIXED_NOREPLACE) | how


MmapMistake: TypeAlias = "Callable[[ProgramState, Actor, Draws, MmapCall], None]"


def unfit_access_mode(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """Use a file whose access mode does not permit the mapping."""
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
    """Make a shared mapping of an append-only file."""
    call.of_type(MAP_SHARED)
    call.fd = state.append_only_descriptor(actor, draws)


def zero_length(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    call.length = 0


def empty_file(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """Map an empty file with length 0."""
    call.fd = state.descriptor(actor, draws, True, True)
    state.call(actor, "ftruncate", call.fd, 0)
    call.length = 0


def huge_length(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """Map more bytes than there are addresses, or more than can be free."""
    top = 1 << state.bits
    call.length = draws.choice((top - state.page, top - 1, top - 2 * state.page, actor.model.task_size - state.page))
    call.flags |= MAP_NORESERVE
    if call.length < actor.model.task_size:  # no gap is that large
        call.prot = PROT_NONE
        call.flags &= ~(MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_LOCKED | MAP_POPULATE)


def over_address_space_limit(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """Map more than the process may."""
    state.call(actor, "set_limit_headroom", Resource.ADDRESS_SPACE, HEADROOM_PAGES * state.page)
    call.length = OVER_LIMIT_PAGES * state.page
    call.flags = call.flags & ~(MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_POPULATE) | MAP_NORESERVE


def unaligned_offset(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    call.offset = draws.choice((1, state.page - 1, state.page + 8, -1))


def offset_overflow(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """Use an offset at which the range exceeds the largest file offset."""
    call.offset = draws.choice(((1 << 63) - state.page, -state.page))


def unaligned_address(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    odd = state.draw_slot(actor, draws) + draws.choice((1, state.page - 1))
    call.at(odd, draws.choice((MAP_FIXED, MAP_FIXED, MAP_FIXED_NOREPLACE)))


def address_outside_user_space(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """Use an address outside user space."""
    addr = draws.choice(((1 << state.bits) - state.page, 1 << (state.bits - 1)))
    call.at(addr, draws.choice((MAP_FIXED, MAP_FIXED_NOREPLACE)))


def address_0(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """Map address 0 without the capability."""
    state.call(actor, "drop_capability", "CAP_SYS_RAWIO")  # else page 0 would be mapped
    call.at(0, draws.choice((MAP_FIXED, MAP_FIXED_NOREPLACE)))


def occupied_address(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """Use MAP_FIXED_NOREPLACE at an address that is mapped."""
    mapping = state.draw_mapping(actor, draws)
    addr = state.symbolic(actor, mapping.start)[0] if mapping else state.draw_slot(actor, draws)
    call.at(addr, draws.choice((MAP_FIXED_NOREPLACE, MAP_FIXED_NOREPLACE, MAP_FIXED | MAP_FIXED_NOREPLACE)))


def invalid_descriptor(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    call.fd = draws.choice((-1, 77, -1000))


def unmappable_file(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """Map a file that cannot be mapped."""
    call.fd = state.special_file(actor, draws, draws.choice(state.unmappable))


def noexec_file(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """Request PROT_EXEC for a file without execution."""
    call.fd = state.special_file(actor, draws, draws.choice((None, Facility.PROC_FILE)))
    call.prot |= PROT_EXEC


def locked_file(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """Map a file with a mandatory lock."""
    call.fd = state.special_file(actor, draws, Facility.MANDATORY_LOCK)


def sealed_file(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """Make a shared writable mapping of a file that is sealed against writes."""
    call.fd = state.sealed_descriptor(actor, draws, SEAL_WRITE)
    call.of_type(MAP_SHARED)
    call.prot |= PROT_WRITE


def no_type(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    call.of_type(0)


def anonymous_without_type(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    call.of_type(0)
    call.flags, call.fd = call.flags | MAP_ANONYMOUS, -1


def anonymous_shared_validate(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    call.of_type(MAP_SHARED_VALIDATE)
    call.flags, call.fd = call.flags | MAP_ANONYMOUS, -1


def unknown_type(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    call.of_type(draws.choice((4, 7, 15)))


def invalid_droppable(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """Request droppable memory of a file, or locked."""
    call.of_type(MAP_DROPPABLE)
    if draws.below(2):
        call.flags, call.fd = call.flags | MAP_ANONYMOUS | MAP_LOCKED, -1


def unknown_flag(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    call.flags |= MAP_SHARED_VALIDATE | 1 << 27


def unsupported_sync(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    call.flags |= MAP_SHARED_VALIDATE | MAP_SYNC


def invalid_growsdown(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """Request memory that grows downwards, shared or of a file."""
    call.flags |= MAP_GROWSDOWN
    if draws.below(2):
        call.of_type(MAP_SHARED)
        call.flags, call.fd = call.flags | MAP_ANONYMOUS, -1


def invalid_huge_pages(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """Request huge pages of a file, or anonymous huge pages of a size that does not exist."""
    call.flags |= MAP_HUGETLB
    if draws.below(2):
        call.flags, call.fd = call.flags | MAP_ANONYMOUS | 12 << 26, -1


def over_lock_limit(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    state.set_lock_headroom(actor, state.page)
    call.flags |= MAP_LOCKED
    call.length += state.page


def lock_not_permitted(state: ProgramState, actor: Actor, draws: Draws, call: MmapCall) -> None:
    """Request locked memory in a process that may lock none."""
    state.set_lock_headroom(actor, 0)
    call.flags |= MAP_LOCKED
    call.length += state.page


MMAP_MISTAKES: Final[Sequence[tuple[str, MmapMistake]]] = (
    *((("mmap.errno.EACCES", unfit_access_mode),) * 7),
    ("mmap.errno.EACCES.append-only", append_only),
    ("mmap.errno.EINVAL", zero_length),
    ("mmap.errno.EINVAL", unaligned_offset),
    ("mmap.errno.EINVAL", unaligned_address),
    ("mmap.errno.EBADF", invalid_descriptor),
    *((("mmap.errno.ENODEV", unmappable_file),) * 3),
    ("mmap.errno.EBADF.path", unmappable_file),
    ("mmap.errno.EINVAL.type", no_type),
    ("mmap.errno.ENOMEM", huge_length),
    ("mmap.errno.ENOMEM", address_outside_user_space),
    *((("mmap.errno.ENOMEM", over_address_space_limit),) * 2),
    ("mmap.errno.EOVERFLOW", offset_overflow),
    ("mmap.errno.EOPNOTSUPP", unknown_flag),
    ("mmap.errno.EOPNOTSUPP.sync", unsupported_sync),
    ("mmap.errno.EEXIST", occupied_address),
    ("mmap.errno.EPERM.zero", address_0),
    ("mmap.errno.EPERM", noexec_file),
    ("mmap.errno.EPERM.seal", sealed_file),
    ("mmap.errno.EAGAIN", locked_file),
    ("mmap.errno.EAGAIN.memory", over_lock_limit),
    ("mmap.errno.EPERM.locked", lock_not_permitted),
    ("mmap.errno.EINVAL.unknown-type", unknown_type),
    ("mmap.errno.EINVAL.droppable", invalid_droppable),
    ("mmap.errno.EINVAL.type", anonymous_without_type),
    ("mmap.flag.shared-validate", anonymous_shared_validate),
    ("mmap.errno.EINVAL.flags", invalid_growsdown),
    ("mmap.errno.EINVAL.flags", invalid_huge_pages),
    ("mmap.errno.EINVAL", empty_file),
)
"""The mistakes of mmap, each with the clause that requires the error."""


# -------------------------------------------------------------------------------------------------------------- mremap


@dataclass
class MremapCall:
    """The arguments of a call of mremap, and the state that mistakes depend on."""

    mapping: Mapping
    """The mapping that the call was drawn for."""
    addr: int
    old_size: int
    new_size: int
    flags: int
    new_addr: int
    room: int
    """Bytes from `addr` on that the program may access."""
    slot: int
    """The address of a page in the scratch range."""


MremapMistake: TypeAlias = "Callable[[ProgramState, Actor, Draws, MremapCall], None]"


def unaligned_old_address(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    call.addr += 1


def zero_new_size(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    call.new_size = 0


def unknown_mremap_flag(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    call.flags |= 8


def old_size_too_large(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    """Use an old size that may exceed the mapping."""
    call.old_size += state.page


def other_old_address(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    """Use another address of the scratch range, perhaps unmapped."""
    call.addr = state.draw_slot(actor, draws)


def fixed_without_maymove(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    call.flags = MREMAP_FIXED


def dontunmap_without_maymove(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    call.flags, call.new_size = MREMAP_DONTUNMAP, call.old_size


def copy_of_private_mapping(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    if not call.mapping.requested_shared:
        call.old_size = 0


def shrink_outside_user_space(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    """Shrink a range that ends outside user space."""
    call.old_size = (1 << state.bits) - state.page


def huge_new_size(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    call.new_size = draws.choice(((1 << state.bits) - state.page, call.mapping.space.task_size - state.page))


def unaligned_new_address(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    call.flags, call.new_addr = MREMAP_MAYMOVE | MREMAP_FIXED, call.slot + draws.choice((1, state.page - 1))


def onto_itself(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    """Move a range onto itself, without reaching memory after the region."""
    call.flags, call.new_addr = MREMAP_MAYMOVE | MREMAP_FIXED, call.addr
    call.new_size = min(call.new_size, call.room)


def new_address_outside_user_space(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    call.flags, call.new_addr = MREMAP_MAYMOVE | MREMAP_FIXED, 1 << (state.bits - 1)


def new_address_0(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    """Move a range to address 0 without the capability."""
    state.call(actor, "drop_capability", "CAP_SYS_RAWIO")
    call.flags, call.new_addr = MREMAP_MAYMOVE | MREMAP_FIXED, 0


def dontunmap_with_resize(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    call.flags, call.new_size = MREMAP_MAYMOVE | MREMAP_DONTUNMAP, call.old_size + state.page


def grow_over_lock_limit(state: ProgramState, actor: Actor, draws: Draws, call: MremapCall) -> None:
    """Grow a locked mapping in a process that may lock no more."""
    if call.mapping.locked:
        state.set_lock_headroom(actor, 0)
        call.new_size += call.old_size


MREMAP_MISTAKES: Final[Sequence[MremapMistake]] = (
    unaligned_old_address,
    zero_new_size,
    unknown_mremap_flag,
    old_size_too_large,
    other_old_address,
    fixed_without_maymove,
    huge_new_size,
    unaligned_new_address,
    onto_itself,
    new_address_outside_user_space,
    new_address_0,
    dontunmap_with_resize,
    dontunmap_without_maymove,
    grow_over_lock_limit,
    copy_of_private_mapping,
    shrink_outside_user_space,
)
"""The mistakes of mremap."""
