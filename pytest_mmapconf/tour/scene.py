"""The state that a row builds: files, mappings, processes, and the range of the call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from ..contract import (
    Process,
    System,
    Unsupported,
)
from ..fuzzing.levels import restricted
from ..fuzzing.model_view import Actor, ProgramState, model_of
from ..reference.constants import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    O_CREAT,
    O_RDWR,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
)

RW: Final = PROT_READ | PROT_WRITE

PAGES: Final = 3
"""Pages of the main mapping."""

ROOM: Final = 16
"""Pages of the scratch range that a row uses: the least that a backend provides with pages of 64 KiB."""

MAIN: Final = 2
"""The page of the scratch range at which the main mapping begins; at other places only the order counts."""

NEIGHBOUR: Final = MAIN + PAGES
TARGET: Final = MAIN + 7
SECOND: Final = MAIN + 11
"""The pages of the scratch range for mappings after the main one, for mremap's new range, for a second mapping."""


AfterCall = Callable[[Actor, str, tuple[Any, ...], bool], None]
"""Called after each call: the process, the call, its arguments, whether it has succeeded."""


@dataclass
class Setting:
    """The arguments of the main mapping that the values of a row require."""

    flags: int = MAP_SHARED
    """The type of the mapping, and MAP_ANONYMOUS."""
    prot: int = RW
    open_flags: int = O_RDWR
    offset: int = 0
    tail: int = 0
    """Bytes of the file's last page; 0 for a whole one."""
    is_fixed: bool = True
    """False: the system chooses the address."""
    make_file: Callable[[Scene], int] | None = None
    """Makes the file and returns a descriptor; None for a file with a name."""


@dataclass
class Scene:
    """A system in lockstep, and what a row has built in it."""

    program: ProgramState
    setting: Setting = field(default_factory=Setting)
    fd: int = -1
    """The descriptor by which the main mapping was made."""
    io: int = -1
    """A descriptor for reads and writes of the file, open in the first process; -1 for anonymous memory."""
    main: int = 0
    """The address of the main mapping."""
    addr: int = 0
    length: int = 0
    """The range of the call."""
    second: int = 0
    """The address of a second mapping of the file; 0 for none."""

    def __post_init__(self) -> None:
        self.actor = self.program.actors[0]
        """The process that has the main mapping first."""
        self.caller = self.actor
        """The process that makes the call."""

    @property
    def page(self) -> int:
        """The page's size, as a symbol."""
        return self.program.unit

    def at(self, slot: int) -> int:
        """Return the address of a page of the scratch range."""
        return self.actor.regions[0][0] + slot * self.page

    def call(self, name: str, *arguments: Any) -> Any:
        """Make a call of the first process; True for no result, None if it was not made or has failed."""
        return self.call_of(self.actor, name, *arguments)

    def call_of(self, actor: Actor, name: str, *arguments: Any) -> Any:
        """Make a call of a process."""
        return self.program.call(actor, name, *arguments)

    def is_made(self, name: str, arguments: tuple[Any, ...]) -> bool:
        """Return True if the level of the run has this call of the calling process."""
        return restricted(self.program.level, self.caller.model, name, arguments) is not None

    # ---- files and mappings

    @property
    def is_anonymous(self) -> bool:
        """True if the main mapping has no file."""
        return int(self.setting.flags) & MAP_ANONYMOUS != 0

    @property
    def size(self) -> int:
        """The size of the file when it is mapped."""
        whole = self.setting.offset + PAGES * self.page
        return whole if not self.setting.tail else whole - self.page + self.setting.tail

    def create(self, path: str, letters: bytes = b"abcdefgh", flags: int = O_RDWR) -> int:
        """Create a file with the size and content that the setting asks for; return a descriptor."""
        fd = self.call("open", path, O_CREAT | O_RDWR)
        if fd is None:
            return -1
        self.fill(fd, letters)
        if flags == O_RDWR:
            return int(fd)
        self.call("close", fd)
        return int(self.call("open", path, flags) or 0)

    def fill(self, fd: int, letters: bytes = b"abcdefgh") -> None:
        """Write different bytes to each page: of the window that is mapped, and of the beginning of the file."""
        page, offset = self.program.page, int(self.setting.offset)
        content = b"".join(letters[number : number + 1] * page for number in range(PAGES))
        if offset:
            self.call("pwrite", fd, b"Z" * page, 0)
        self.call("pwrite", fd, content[: int(self.size) - offset], self.setting.offset)

    def map_file(self, actor: Actor, fd: int, addr: int, offset: int, pages: int = PAGES, prot: int = RW) -> Any:
        """Map a file shared at a fixed address."""
        return self.call_of(actor, "mmap", addr, pages * self.page, prot, MAP_SHARED | MAP_FIXED, fd, offset)

    def make_main(self) -> None:
        """Make the file and the main mapping."""
        setting = self.setting
        if not self.is_anonymous:
            self.fd = self.io = setting.make_file(self) if setting.make_file else self.create("a")
            if setting.open_flags != O_RDWR:
                self.fd = int(self.call("open", "a", setting.open_flags) or 0)
        flags = setting.flags | (MAP_FIXED if setting.is_fixed else 0)
        addr = self.at(MAIN) if setting.is_fixed else 0
        start = self.call("mmap", addr, PAGES * self.page, setting.prot, flags, self.fd, setting.offset)
        if start is None:
            raise Unsupported("the main mapping of the row cannot be made")
        self.main = start
        if not setting.is_fixed:
            self.actor.regions.append((start, PAGES * self.page))
        self.addr, self.length = start, PAGES * self.page

    def fork(self, actor: Actor) -> Actor | None:
        """Fork a process; the child is an actor of its own."""
        child = self.program.fork_actor(actor)
        if child is not None:
            self.program.actors.append(child)
        return child

    def end(self, actor: Actor) -> None:
        """End a process."""
        self.program.actors.remove(actor)
        self.call_of(actor, "exit")

    # ---- accesses

    def store_each(self, actor: Actor, byte: bytes, at: int = 10, pages: int = PAGES) -> None:
        """Store a byte to each page of the main mapping."""
        for number in range(pages):
            self.call_of(actor, "store", self.main + number * self.page + at, byte + b"%d" % number)

    def load_each(self, actor: Actor) -> None:
        """Load from each page of the main mapping."""
        for number in range(PAGES):
            self.call_of(actor, "load", self.main + number * self.page, 1)


class TourState(ProgramState):
    """The state of a row's program: it has more room at fixed addresses than that of random programs."""

    def __init__(self, system: System, level: str, after_call: AfterCall | None = None) -> None:
        self.after_call = after_call
        super().__init__(system, level)

    def call(self, actor: Actor, name: str, *arguments: Any, **keywords: Any) -> Any:
        result = super().call(actor, name, *arguments, **keywords)
        if self.after_call is not None:
            self.after_call(actor, name, arguments, result is not None)
        return result

    def new_actor(self, process: Process) -> Actor:
        size = ROOM * self.unit
        try:
            start, _length = process.scratch_range()
        except NotImplementedError:
            try:
                start = process.mmap(0, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
            except OSError as error:
                raise Unsupported(f"no scratch range, and no anonymous memory for one: {error}") from error
        return Actor(process, model_of(process), [(start, size)])
