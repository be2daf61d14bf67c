"""What a program acts in, as far as drawing needs to know it: processes, addresses, descriptors.

Nothing is drawn from an address that a system chose.  Addresses are pages of *regions* (the scratch_range, what mmap
and mremap returned), and beyond a region's ends nothing is ever touched: the system's own memory may be there.
"""

from __future__ import annotations

from collections import Counter, abc
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from ..contract import (
    MAP_ANONYMOUS,
    MAP_PRIVATE,
    O_CREAT,
    O_DIRECTORY,
    O_PATH,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    PROT_NONE,
    SC_PAGESIZE,
    Facility,
    Fault,
    Process,
    Resource,
    System,
)
from ..reference.files import Description
from ..reference.machine import PATHS
from ..reference.mapping import Mapping
from ..reference.process import Process as Model
from .draws import Draws
from .exercised_clauses import EFFECTS, FAULTS

T = TypeVar("T")

SLOTS: Final = 6
"""Pages of the scratch_range that things are placed in; there is one more on either side."""

MAX_PAGES: Final = 4
"""Pages that a mapping or a file may have."""

SPECIAL_FACILITIES: Final = (
    Facility.DEV_ZERO,
    Facility.DEV_NULL,
    Facility.DEV_RANDOM,
    Facility.PROC_FILE,
    Facility.SYS_FILE,
)
"""Files of unusual kinds."""

UNMAPPABLE: Final = ("pipe", "directory", "path", "file path", "socket", "write end", "watch", *SPECIAL_FACILITIES[1:])
"""What a descriptor may be of that cannot be mapped."""

SPECIAL_FILES: Final = (*UNMAPPABLE, Facility.DEV_ZERO)
"""What a descriptor may be of that cannot be mapped, or not like a file."""

STRIDE: Final = 7
"""How far it is from a mistake that was made already to the next: as many as there may be of a kind."""

NO_REFUSALS: Final[abc.Mapping[str, int]] = {}

MAX_PROCESSES: Final = 3
"""Processes that may live at the same time."""

INITIAL_FILES: Final = {"a": (b"abcd", 2, 100), "b": (b"ABCD", 3, 0)}
"""The files by name: a letter for each page, and what they are filled with at first, in pages and bytes."""


@dataclass
class Actor:
    """A process of the program: what makes the calls, and what the reference knows of it."""

    process: Process
    model: Model
    regions: list[tuple[int, int]] = field(default_factory=list)
    """(address, bytes) of the scratch range and of each result of mmap and mremap: where the program may access."""
    special_files: dict[str, int] = field(default_factory=dict)
    """Descriptors of unusual files, by what they are."""
    locked_all: bool = False
    """Whether all its memory has been locked: the system's own too."""


def model_of(process: Any) -> Model:
    """The reference's process behind a pair, a recorded process, or itself."""
    while not isinstance(process, Model):
        process = process.model if hasattr(process, "model") else process.inside
    return process


class ProgramState:
    """A system, and the state of it as far as drawing needs to know."""

    unmappable = UNMAPPABLE
    mistakes = 1
    """How many times as often as usual something is wrong on purpose."""

    def __init__(self, system: System, level: str = "linux", refused: abc.Mapping[str, int] = NO_REFUSALS) -> None:
        self.system = system
        self.level = level
        self.refused = refused
        """How often programs before this one were refused by each clause: what was seldom is drawn more often."""
        self.effects: Counter[str] = Counter()
        """How often what each clause promises has happened."""
        self.lacks: dict[str, str] = {}
        """Calls that the system cannot be asked, and why."""
        process = system.spawn()
        self.unit = process.sysconf(SC_PAGESIZE)
        """The page, by symbol: what addresses are counted in."""
        self.page = int(self.unit)
        self.bits = process.bits
        self.machine = model_of(process).machine
        self.folder = ""
        """Where files are opened: empty for the system's own folder, else a path that ends with a slash."""
        self.files_in: Facility | None = None
        """What kind of folder that is; None for the system's own."""
        self.actors = [self.new_actor(process)]

    def new_actor(self, process: Process) -> Actor:
        """A process that has just begun, with its scratch_range."""
        size = (SLOTS + 2) * self.unit
        try:
            scratch_range, _length = process.scratch_range()
        except NotImplementedError:
            scratch_range = process.mmap(0, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        return Actor(process, model_of(process), [(scratch_range, size)])

    def fork_actor(self, actor: Actor) -> Actor | None:
        """A child of a process; None where that is refused."""
        child = self.call(actor, "fork")
        return None if child is None else Actor(child, model_of(child), list(actor.regions), dict(actor.special_files))

    def call(self, actor: Actor, name: str, *arguments: Any, **keywords: Any) -> Any:
        """Make a call; what it returned, or None where it was refused, faulted or cannot be asked."""
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
        """An address by its region, and how many bytes the region has from there on."""
        for base, size in reversed(actor.regions):
            if base <= addr < base + size:
                pages, rest = divmod(addr - base, self.page)
                return base + pages * self.unit + rest, int(base) + size - addr
        return addr, 0

    def draw_slot(self, actor: Actor, draws: Draws, taken: bool = False) -> int:
        """The address of a page in the scratch range; with `taken`, one that is mapped."""
        base, size = actor.regions[0]
        which = draws.below(SLOTS * 4)
        there = actor.model.space.over(base, base + size) if taken else ()
        if there:
            return self.symbolic(actor, max(there[which % len(there)].start, base))[0]
        return base + (1 + which % SLOTS) * self.unit

    def draw_length(self, draws: Draws) -> int:
        """Bytes of one to three pages, one time in four not a multiple of the page."""
        pages = 1 + draws.below(3)
        odd = draws.choice((0, 0, 0, 0, 0, 0, 1, self.page - 1))
        return pages * self.page - odd

    def draw_mapping(self, actor: Actor, draws: Draws, right: int = 0) -> Mapping | None:
        """One of the actor's mappings, of those with a right if there are any."""
        mappings: abc.Sequence[Mapping] = actor.model.space.mappings.values()
        if right:
            mappings = [mapping for mapping in mappings if mapping.prot & right] or mappings
            if draws.one_in(2):  # others see the same pages
                seen = [
                    mapping for mapping in mappings if mapping.inode is not None and len(mapping.inode.mappings) > 1
                ]
                mappings = seen or mappings
        return draws.choice(mappings) if mappings else None

    def choose_mapping(self, actor: Actor, draws: Draws, fits: abc.Callable[[Mapping], bool]) -> Mapping | None:
        """One of the actor's mappings, half the time one that `fits` if there is any."""
        mappings = actor.model.space.mappings.values()
        fitting = [mapping for mapping in mappings if fits(mapping)] if draws.below(2) else []
        return draws.choice(fitting or mappings) if mappings else None

    def draw_range(
        self, actor: Actor, draws: Draws, fits: abc.Callable[[Mapping], bool] = lambda mapping: False
    ) -> tuple[int, int]:
        """(address, bytes) of a range to work on: (a part of) a mapping, or a window of the scratch_range, holes and
        all.

        Of the mappings more often one that `fits`, if there is any.
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

    def draw_place(self, actor: Actor, draws: Draws, right: int) -> tuple[int, int]:
        """(address, bytes from there that may be touched): a byte at a border of something, mostly with a right."""
        page = self.page
        mapping = self.draw_mapping(actor, draws, 0 if draws.one_in(6) else right)
        which = draws.below(12)
        if mapping is None or draws.one_in(12):
            addr = int(actor.regions[0][0]) + which % (SLOTS + 2) * page
        else:
            addr = mapping.start + which % ((mapping.end - mapping.start) // page) * page
        border = draws.below(8)
        if self.bits == 64 and draws.one_in(32):
            return 1 << 62, self.page  # where nothing ever is
        if border >= 6 and mapping is not None and mapping.inode is not None:
            end = mapping.start + mapping.inode.size - mapping.offset - (border - 6)
            if mapping.start <= end < mapping.end:
                addr = end
        elif border >= 3:
            addr += (page - 1, page // 2, 8)[border % 3]
        return self.symbolic(actor, addr)

    # ---- files

    def usable_descriptors(self, actor: Actor, read: bool, write: bool) -> list[tuple[int, Description]]:
        """The actor's descriptors of ordinary files that can be used so."""
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
        """A descriptor of an ordinary file that can be used so; opened where there is none."""
        number = draws.below(12)
        found = self.usable_descriptors(actor, read, write)
        if found:
            return found[number % len(found)][0]
        return self.open_file(actor, "ab"[number % 2], O_RDWR)

    def open_file(self, actor: Actor, name: str, flags: int) -> int:
        """Open a file, which is made and filled where it is not there; -1 where that is refused."""
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
        if self.files_in == Facility.CRASHING_FILE_SYSTEM:  # so that its name and size are there after a crash
            self.call(actor, "fsync", fd)
        if flags != O_RDWR:
            fd = self.call(actor, "open", path, flags)
        return -1 if fd is None else int(fd)

    def sealed_descriptor(self, actor: Actor, draws: Draws, seals: int) -> int:
        """A descriptor of a file with these seals, made where there is none; -1 where that is refused."""
        found = [
            fd for fd, description in self.usable_descriptors(actor, False, False) if description.inode.seals & seals
        ]
        if found:
            return draws.choice(found)
        fd = self.call(actor, "memfd")
        if fd is None:
            return -1
        self.call(actor, "ftruncate", fd, 2 * self.page)
        self.call(actor, "seal", fd, seals)
        return int(fd)

    def append_only_descriptor(self, actor: Actor, draws: Draws) -> int:
        """A descriptor of a file that can be appended to only, made so where there is none."""
        files = self.usable_descriptors(actor, True, True)
        found = [fd for fd, description in files if description.inode.append_only]
        if found:
            return draws.choice(found)
        fd = self.descriptor(actor, draws, True, True)
        if self.files_in != Facility.CRASHING_FILE_SYSTEM:  # nobody knows whether it is still so after a crash
            self.call(actor, "set_append_only", fd, True)
        return fd

    def set_lock_headroom(self, actor: Actor, room: int) -> None:
        """Let a process lock so many bytes more; nothing where the system's own memory is locked and counts."""
        if not actor.locked_all:
            self.call(actor, "drop_capability", "CAP_IPC_LOCK")  # else there is no limit
            self.call(actor, "set_limit_headroom", Resource.LOCKED_MEMORY, room)

    def file_exists(self, name: str) -> bool:
        """Whether there is a file of that name in the folder."""
        return self.machine.look_up((PATHS[self.files_in] + "/" if self.files_in else "") + name)[2] is not None

    def use_facility(self, facility: Facility) -> None:
        """From here on files are opened in a folder of that kind, if there is one to be had."""
        try:
            self.folder = self.system.facility(facility) + "/"
        except NotImplementedError as error:
            self.lacks[facility] = str(error)
        else:
            self.files_in = facility

    def special_file(self, actor: Actor, draws: Draws, wanted: str | None = None) -> int:
        """A descriptor of something that cannot be mapped, or not like a file; of what is wanted, if that is named."""
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

    # ---- wrong on purpose

    def makes_mistake(self, draws: Draws, times: int) -> bool:
        """Whether something is to be wrong, usually once in so many times."""
        return draws.one_in(max(times // self.mistakes, 2))

    def choose_mistake(self, wrongs: abc.Sequence[tuple[str, T]], draws: Draws) -> T:
        """One of several mistakes, each with the clause that it is refused by.

        Where the one that is drawn has been reached already, another that has not; what is drawn does not hang on that,
        so that a program stays as it is when a step of it is left out.  Of two that are drawn, the one that was reached
        less often before.
        """
        reached, many = self.machine.reached, len(wrongs)
        two = []
        for _ in range(2):
            drawn = draws.below(many)
            others = (wrongs[(drawn + STRIDE * turn) % many] for turn in range(many))
            two.append(next((wrong for wrong in others if wrong[0] not in reached), wrongs[drawn]))
        return min(two, key=lambda wrong: self.refused.get(wrong[0], 0))[1]
