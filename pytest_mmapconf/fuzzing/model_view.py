"""The state of the system that the drawing of steps depends on: processes, addresses, descriptors.

No choice depends on an address that a system chose.  Addresses are pages of *regions* (the scratch range and the
results of mmap and mremap), and no program accesses memory outside them: the system's own memory may be there.
"""

from __future__ import annotations

from collections import Counter, abc
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from ..contract import (
    SC_PAGESIZE,
    Facility,
    Fault,
    Process,
    Resource,
    System,
    Unsupported,
)
from ..reference.constants import (
    MAP_ANONYMOUS,
    MAP_PRIVATE,
    O_CREAT,
    O_DIRECTORY,
    O_PATH,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    PROT_NONE,
)
from ..reference.files import OpenFileDescription
from ..reference.machine import PATHS
from ..reference.mapping import Mapping
from ..reference.process import ReferenceProcess as Model
from .draws import Draws
from .exercised_clauses import EFFECTS, FAULTS
from .levels import has_facility, restricted

T = TypeVar("T")

SLOTS: Final = 6
"""Pages of the scratch range for mappings at fixed addresses; there is one more page on either side."""

MAX_PAGES: Final = 4
"""Largest number of pages of a mapping or a file."""

SPECIAL_FACILITIES: Final = (
    Facility.DEV_ZERO,
    Facility.DEV_NULL,
    Facility.DEV_RANDOM,
    Facility.PROC_FILE,
    Facility.SYS_FILE,
)
"""Special files that a system may provide."""

UNMAPPABLE: Final = ("pipe", "directory", "path", "file path", "socket", "write end", "watch", *SPECIAL_FACILITIES[1:])
"""Kinds of files that cannot be mapped."""

SPECIAL_FILES: Final = (*UNMAPPABLE, Facility.DEV_ZERO)
"""Kinds of files that cannot be mapped, or not like a regular file."""

STRIDE: Final = 7
"""Distance between two mistakes in the table that are tried in turn: the largest number of entries of one mistake."""

NO_REFUSALS: Final[abc.Mapping[str, int]] = {}

MAX_PROCESSES: Final = 3
"""Largest number of processes at the same time."""

INITIAL_FILES: Final = {"a": (b"abcd", 2, 100), "b": (b"ABCD", 3, 0)}
"""For each file name, its initial content: (a letter for each page, whole pages, further bytes)."""


@dataclass
class Actor:
    """A process of the program, and the state that the reference has of it."""

    process: Process
    model: Model
    regions: list[tuple[int, int]] = field(default_factory=list)
    """(address, bytes) of the scratch range and of each result of mmap and mremap; other memory is not accessed."""
    special_files: dict[str, int] = field(default_factory=dict)
    """Descriptors of special files, by kind."""
    locked_all: bool = False
    """True if all its memory has been locked, which includes the system's own."""
    thread: Process | None = None
    """Another thread of it; None until one is made."""


def model_of(process: Any) -> Model:
    """Return the reference's process of a pair, of a recorded process, or the process itself."""
    while not isinstance(process, Model):
        process = process.model if hasattr(process, "model") else process.inside
    return process


class ProgramState:
    """A system, and the part of its state that drawing depends on."""

    unmappable = UNMAPPABLE
    mistakes = 1
    """Factor by which invalid calls are more frequent than usual."""

    def __init__(
        self,
        system: System,
        level: str = "linux",
        refused: abc.Mapping[str, int] = NO_REFUSALS,
        missing: abc.Container[str] = (),
    ) -> None:
        self.system = system
        self.level = level
        self.missing = missing
        """Clauses that are not promised on the system."""
        self.refused = refused
        """For each clause, how many earlier programs had a call fail by it; a low number is preferred."""
        self.effects: Counter[str] = Counter()
        """For each clause, how often a call has exercised it."""
        self.lacks: dict[str, str] = {}
        """Calls that the system does not support, and the reasons."""
        process = system.spawn()
        self.unit = process.sysconf(SC_PAGESIZE)
        """The page's size as a symbol; addresses are sums of it."""
        self.page = int(self.unit)
        self.bits = process.bits
        self.machine = model_of(process).machine
        self.folder = ""
        """Directory in which files are opened: empty for the working directory, else a path that ends with a slash."""
        self.files_in: Facility | None = None
        """Facility that provides this directory; None for the working directory."""
        self.actors = [self.new_actor(process)]

    def new_actor(self, process: Process) -> Actor:
        """Return a new process with its scratch range."""
        size = (SLOTS + 2) * self.unit
        try:
            scratch_range, _length = process.scratch_range()
        except NotImplementedError:
            try:
                scratch_range = process.mmap(0, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
            except OSError as error:
                raise Unsupported(f"no scratch range, and no anonymous memory for one: {error}") from error
        return Actor(process, model_of(process), [(scratch_range, size)])

    def fork_actor(self, actor: Actor) -> Actor | None:
        """Fork a process and return the child; None if the call fails."""
        child = self.call(actor, "fork")
        return None if child is None else Actor(child, model_of(child), list(actor.regions), dict(actor.special_files))

    def call(self, actor: Actor, name: str, *arguments: Any, **keywords: Any) -> Any:
        """Make a call and return its result: True for none, None if it fails, faults or is not supported.

        A call that the level does not have, or that the system need not have, is not made, and returns None.
        """
        allowed = restricted(self.level, actor.model, name, arguments, self.missing)
        if allowed is None:
            return None
        arguments = allowed
        try:
            result = getattr(actor.process, name)(*arguments, **keywords)
        except Fault as fault:
            self.effects[FAULTS.get(fault.code, "munmap.range")] += 1
            return None
        except OSError:
            return None
        except NotImplementedError as error:
            self.lacks[name] = str(error)
            return None
        if name in EFFECTS:
            self.effects.update(EFFECTS[name](*arguments))
        return True if result is None else result

    # ---- addresses

    def symbolic(self, actor: Actor, addr: int) -> tuple[int, int]:
        """Return an address relative to its region, and the number of bytes from there to the region's end."""
        for base, size in reversed(actor.regions):
            if base <= addr < base + size:
                pages, rest = divmod(addr - base, self.page)
                return base + pages * self.unit + rest, int(base) + size - addr
        return addr, 0

    def draw_slot(self, actor: Actor, draws: Draws, taken: bool = False) -> int:
        """Draw the address of a page in the scratch range; with `taken`, of a mapping there if there is one."""
        base, size = actor.regions[0]
        which = draws.below(SLOTS * 4)
        there = actor.model.space.over(base, base + size) if taken else ()
        if there:
            return self.symbolic(actor, max(there[which % len(there)].start, base))[0]
        return base + (1 + which % SLOTS) * self.unit

    def draw_length(self, draws: Draws) -> int:
        """Draw a length of one to three pages, one time in four not a multiple of the page."""
        pages = 1 + draws.below(3)
        odd = draws.choice((0, 0, 0, 0, 0, 0, 1, self.page - 1))
        return pages * self.page - odd

    def draw_mapping(self, actor: Actor, draws: Draws, prot: int = 0) -> Mapping | None:
        """Draw one of the actor's mappings, one with a bit of the protection `prot` if there is any."""
        mappings: abc.Sequence[Mapping] = actor.model.space.mappings.values()
        if prot:
            mappings = [mapping for mapping in mappings if mapping.prot & prot] or mappings
            if draws.one_in(2):  # pages that are mapped more than once
                mapped_twice = [
                    mapping for mapping in mappings if mapping.inode is not None and len(mapping.inode.mappings) > 1
                ]
                mappings = mapped_twice or mappings
        return draws.choice(mappings) if mappings else None

    def choose_mapping(self, actor: Actor, draws: Draws, fits: abc.Callable[[Mapping], bool]) -> Mapping | None:
        """Draw one of the actor's mappings, half the time one that `fits` if there is any."""
        mappings = actor.model.space.mappings.values()
        fitting = [mapping for mapping in mappings if fits(mapping)] if draws.below(2) else []
        return draws.choice(fitting or mappings) if mappings else None

    def draw_range(
        self, actor: Actor, draws: Draws, fits: abc.Callable[[Mapping], bool] = lambda mapping: False
    ) -> tuple[int, int]:
        """Draw the (address, bytes) of a range: a mapping, a part of one, or pages of the scratch range with any holes.

        A mapping that `fits` is preferred, if there is any.
        """
        page = self.page
        mapping = self.choose_mapping(actor, draws, fits)
        shape = draws.below(8)
        which = draws.below(12)
        if mapping is None or shape >= 6:
            addr, length = actor.regions[0][0] + which % (SLOTS + 1) * self.unit, (1 + which % 3) * page
        else:
            addr, length = mapping.start, mapping.end - mapping.start
            pages = length // page
            if shape == 1:
                length = page
            elif shape in (2, 3):
                addr += which % pages * page
                length = page if shape == 2 else mapping.end - addr
            elif shape == 4:
                length += page
            elif shape == 5:
                addr -= page
                length = page * 2
            addr, room = self.symbolic(actor, addr)
            length = min(length, room)
            if not room:
                addr, _room = self.symbolic(actor, mapping.start)
                length = page
        return addr, length - draws.choice((0, 0, 0, 0, 0, 0, 1, page - 1))

    def wrapping_length(self, below: int, otherwise: int) -> int:
        """Return the length, in bytes, that is `below` bytes less than 2^64, so that no range can have it.

        With 32-bit addresses it is `otherwise`: for a 64-bit kernel a range of 2^32 bytes does not wrap around, and the
        call would have an effect on everything that is mapped above.
        """
        return (1 << 64) - below if self.bits == 64 else otherwise

    def draw_place(self, actor: Actor, draws: Draws, prot: int) -> tuple[int, int]:
        """Draw an (address, accessible bytes) at a boundary, mostly in a mapping with the protection `prot`."""
        page = self.page
        mapping = self.draw_mapping(actor, draws, 0 if draws.one_in(6) else prot)
        which = draws.below(12)
        if mapping is None or draws.one_in(12):
            addr = int(actor.regions[0][0]) + which % (SLOTS + 2) * page
        else:
            addr = mapping.start + which % ((mapping.end - mapping.start) // page) * page
        border = draws.below(8)
        if self.bits == 64 and draws.one_in(32):
            return 1 << 55, self.page  # never mapped, and its highest byte is 0: arm64 ignores that byte
        if border >= 6 and mapping is not None and mapping.inode is not None:
            end = mapping.start + mapping.inode.size - mapping.offset - (border - 6)
            if mapping.start <= end < mapping.end:
                addr = end
        elif border >= 3:
            addr += (page - 1, page // 2, 8)[border % 3]
        return self.symbolic(actor, addr)

    # ---- files

    def usable_descriptors(self, actor: Actor, read: bool, write: bool) -> list[tuple[int, OpenFileDescription]]:
        """Return the actor's (descriptor, description) pairs of regular files with the access mode that is required."""
        return [
            (fd, descriptor.description)
            for fd, descriptor in actor.model.descriptors.items()
            if descriptor.description.inode.kind == "regular"
            and not descriptor.description.inode.device
            and not descriptor.description.path_only
            and (descriptor.description.readable or not read)
            and (descriptor.description.writable or not write)
        ]

    def descriptor(self, actor: Actor, draws: Draws, read: bool = False, write: bool = False) -> int:
        """Draw a descriptor of a regular file with the access mode that is required; open a file if there is none."""
        number = draws.below(12)
        fds = self.usable_descriptors(actor, read, write)
        if fds:
            return fds[number % len(fds)][0]
        return self.open_file(actor, "ab"[number % 2], O_RDWR)

    def open_file(self, actor: Actor, name: str, flags: int) -> int:
        """Open a file, after creating and filling it if it does not exist; return -1 if a call fails."""
        path = self.folder + name
        if self.file_exists(name):
            fd = self.call(actor, "open", path, flags)
            return -1 if fd is None else int(fd)
        letters, pages, rest = INITIAL_FILES[name]
        fd = self.call(actor, "open", path, O_CREAT | O_RDWR)
        if fd is None:
            return -1
        content = b"".join(letters[at : at + 1] * self.page for at in range(pages)) + letters[pages : pages + 1] * rest
        self.call(actor, "pwrite", fd, content, 0)
        if self.files_in == Facility.CRASHING_FILE_SYSTEM:  # its name and size survive a crash
            self.call(actor, "fsync", fd)
        if flags != O_RDWR:
            fd = self.call(actor, "open", path, flags)
        return -1 if fd is None else int(fd)

    def sealed_descriptor(self, actor: Actor, draws: Draws, seals: int) -> int:
        """Return a descriptor of a file with one of these seals, a new file if there is none; -1 if the call fails."""
        fds = [
            fd for fd, description in self.usable_descriptors(actor, False, False) if description.inode.seals & seals
        ]
        if fds:
            return draws.choice(fds)
        fd = self.call(actor, "memfd")
        if fd is None:
            return -1
        self.call(actor, "ftruncate", fd, 2 * self.page)
        self.call(actor, "seal", fd, seals)
        return int(fd)

    def append_only_descriptor(self, actor: Actor, draws: Draws) -> int:
        """Return a descriptor of an append-only file; make a file append-only if there is none."""
        files = self.usable_descriptors(actor, True, True)
        fds = [fd for fd, description in files if description.inode.append_only]
        if fds:
            return draws.choice(fds)
        fd = self.descriptor(actor, draws, True, True)
        if self.files_in != Facility.CRASHING_FILE_SYSTEM:  # a crash may lose the attribute
            self.call(actor, "set_append_only", fd, True)
        return fd

    def set_lock_headroom(self, actor: Actor, room: int) -> None:
        """Limit a process to `room` more locked bytes, unless the system's own memory is locked and counts."""
        if not actor.locked_all:
            self.call(actor, "drop_capability", "CAP_IPC_LOCK")  # else the limit has no effect
            self.call(actor, "set_limit_headroom", Resource.LOCKED_MEMORY, room)

    def file_exists(self, name: str) -> bool:
        """Return True if a file of that name exists in the directory."""
        return self.machine.look_up((PATHS[self.files_in] + "/" if self.files_in else "") + name)[2] is not None

    def use_facility(self, facility: Facility) -> None:
        """Open files in the directory of a facility from now on, if the system provides it."""
        try:
            self.folder = self.system.facility(facility) + "/"
        except NotImplementedError as error:
            self.lacks[facility] = str(error)
        else:
            self.files_in = facility

    def special_file(self, actor: Actor, draws: Draws, wanted: str | None = None) -> int:
        """Return a descriptor of a special file, of the kind `wanted` if that is given; -1 if there is none."""
        kind = wanted or draws.choice(SPECIAL_FILES)
        fd = actor.special_files.get(kind)
        if fd is not None and fd in actor.model.descriptors:
            return fd
        if kind in ("pipe", "write end", "socket"):
            pair = self.call(actor, "socketpair" if kind == "socket" else "pipe")
            fd = None if pair is None else pair[kind == "write end"]
        elif kind == "directory":
            fd = self.call(actor, "open", ".", O_RDONLY | O_DIRECTORY)
        elif kind == "path":
            fd = self.call(actor, "open", ".", O_PATH)
        elif kind == "file path":
            fd = self.open_file(actor, "a", O_PATH)
        elif kind == "watch":
            self.open_file(actor, "a", O_RDWR)
            fd = self.call(actor, "watch", self.folder + "a")
        else:
            if not has_facility(self.level, Facility(kind)):
                return -1
            try:
                path = self.system.facility(Facility(kind))
            except NotImplementedError:
                return -1
            mode = O_RDONLY
            if kind in (Facility.DEV_ZERO, Facility.MANDATORY_LOCK):
                mode = draws.choice((O_RDWR, O_RDWR, O_RDONLY, O_WRONLY))
            fd = self.call(actor, "open", path, mode)
        if fd is None:
            return -1
        actor.special_files[kind] = int(fd)
        return actor.special_files[kind]

    # ---- invalid calls

    def makes_mistake(self, draws: Draws, times: int) -> bool:
        """Return True if the call is made invalid: once in `times` draws at the usual rate."""
        return draws.one_in(max(times // self.mistakes, 2))

    def choose_mistake(self, mistakes: abc.Sequence[tuple[str, T]], draws: Draws) -> T:
        """Draw one of several mistakes, each with the clause that it violates.

        If the program has reached the clause of the drawn mistake already, take the next one that it has not reached.
        The number of draws does not depend on that, so that the rest of a program stays the same when a step is
        removed.  Of two mistakes that are drawn, take the one that earlier programs reached less often.
        """
        reached, number = self.machine.reached, len(mistakes)
        two = []
        for _ in range(2):
            drawn = draws.below(number)
            others = (mistakes[(drawn + STRIDE * turn) % number] for turn in range(number))
            two.append(next((mistake for mistake in others if mistake[0] not in reached), mistakes[drawn]))
        return min(two, key=lambda mistake: self.refused.get(mistake[0], 0))[1]
