"""The machine: memory, a table of open files, mounted file systems, processes.

A machine is booted for each case, so what most cases do not use is made when it is first asked for: the special file
systems below the root, which absolute paths lead to.  Relative paths start in the machine's home, a plain file system.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from ..contract import Call, Facility, System, Unsupported
from .choices import Choices
from .constants import O_RDWR
from .files import Description, Descriptor, FileSystem, FileTable, Inode
from .paging import Memory
from .process import Process

if TYPE_CHECKING:
    from .state import State


CAPABILITIES: Final = frozenset({"CAP_IPC_LOCK", "CAP_LINUX_IMMUTABLE", "CAP_SYS_ADMIN", "CAP_SYS_RAWIO"})
"""The privileges that anything here asks for."""


@dataclass(frozen=True)
class Parameters:
    """The sizes and limits of a machine."""

    page: int = 4096
    """Bytes of a page: a power of two."""
    bits: int = 64
    """Width of an address."""
    user_bits: int = 47
    """User space ends one page below 2 ** user_bits, unless `end` is given."""
    end: int = 0
    """The first address behind user space."""
    lowest: int = 65536
    """The lowest address of mappings that are not fixed, and of fixed ones without CAP_SYS_RAWIO."""
    address_space: int | None = None
    """Bytes that a process may map; None for no limit."""
    mappings: int = 65530
    """Mappings that a process may have."""
    locked: int = 8 << 20
    """Bytes that a process without CAP_IPC_LOCK may lock."""
    descriptors: int = 1024
    """Descriptors that a process may have."""
    open_files: int = 1 << 20
    """Open file descriptions that the machine may have."""
    capabilities: frozenset[str] = CAPABILITIES
    """The privileges of a new process."""

    @property
    def canonical(self) -> int:
        """The first of the addresses that 64-bit hardware does not take for any; 32-bit hardware takes them all."""
        return 1 << (self.user_bits if self.bits == 64 else self.bits)

    @property
    def top(self) -> int:
        """The first address behind user space."""
        return self.end or (1 << self.user_bits) - self.page


PATHS: Final = {
    Facility.DEV_ZERO: "/dev/zero",
    Facility.DEV_NULL: "/dev/null",
    Facility.DEV_RANDOM: "/dev/random",
    Facility.PROC_FILE: "/proc/maps",
    Facility.SYS_FILE: "/sys/attribute",
    Facility.NOEXEC_DIRECTORY: "/noexec",
    Facility.OWN_FILE_SYSTEM: "/own",
    Facility.CRASHING_FILE_SYSTEM: "/crashing",
    Facility.MANDATORY_LOCK: "/mandatory/locked",
}
"""Where each facility is found."""

RETURN: Final = b"\xc3"
"""x86's instruction that returns."""

FEW_MAPPINGS: Final = 256
"""The mapping limit of a machine that was asked for it, so that it is met soon."""

ATTRIBUTE: Final = b"1\n"
"""What the attribute in /sys reads as."""


class Machine(System):
    """A booted reference."""

    def __init__(self, parameters: Parameters, choices: Choices) -> None:
        self.parameters = parameters
        self.choices = choices
        self.memory = Memory(parameters.page)
        self.file_table = FileTable(parameters.open_files)
        self.most_mappings = parameters.mappings
        self.reached: set[str] = set()
        """The clauses that a call was refused by."""
        self.return_instruction = RETURN
        """Machine code that returns."""
        self.home = FileSystem("home", self.memory)
        self.mounts: dict[str, FileSystem] = {}
        """Special file systems by their name below the root, as far as somebody asked for them."""
        self.processes: list[Process] = []
        """Those that live."""
        self.numbers = 0
        """How many there have been."""
        self.terminal = Description(self.file_table, Inode(None, "character", "terminal", "terminal"), O_RDWR)
        """What descriptors 0, 1 and 2 of a new process are of."""

    # ------------------------------------------------------------------------------------------------------- processes

    def spawn(self) -> Process:
        process = self.process()
        process.descriptors = {fd: Descriptor(self.terminal, False) for fd in range(3)}
        return process

    def process(self) -> Process:
        """A process with nothing."""
        process = Process(self)
        self.processes.append(process)
        return process

    def numbered(self) -> int:
        """The number of a process that begins."""
        self.numbers += 1
        return self.numbers

    def run_concurrently(self, calls: Sequence[Call]) -> list[object]:
        """Additions take turns, the others are made one after the other."""
        running = {}
        results: list[object] = []
        for at, call in enumerate(calls):
            if call.name == "add" and isinstance(call.process, Process):
                running[at] = call.process.adding(*call.arguments)  # type: ignore[arg-type]
                results.append(None)
            else:
                results.append(call.make())
        while running:
            for at, turns in list(running.items()):
                if next(turns, running) is running:
                    del running[at]
        return results

    def close(self) -> None:
        for process in list(self.processes):
            process.end()

    # ----------------------------------------------------------------------------------------------------------- files

    @cached_property
    def memory_files(self) -> FileSystem:
        """Where files without a name are."""
        return FileSystem("memory", self.memory)

    def mount(self, name: str) -> FileSystem | None:
        """The special file system at /name."""
        if name not in self.mounts:
            build = MOUNTS.get(name)
            if build is None:
                return None
            self.mounts[name] = build(name, self.memory)
        return self.mounts[name]

    def look_up(self, path: str) -> tuple[str, Inode | None, Inode | None]:
        """(last part of the path, the directory that it is looked for in, the file): None where there is none."""
        parts = [part for part in path.split("/") if part not in ("", ".")]
        inode: Inode | None = self.home.root
        directory = inode
        if path.startswith("/") and parts:
            mounted = self.mount(parts.pop(0))
            directory = inode = None if mounted is None else mounted.root
        elif not path:
            inode = None
        for part in parts:
            directory = inode
            inode = directory.entries.get(part) if directory is not None else None
        return (parts[-1] if parts else "."), directory, inode

    def read_device(self, process: State, device: str, length: int, offset: int) -> bytes:
        """What reading a device or an unusual file gives."""
        if device == "zero":
            return bytes(length)
        if device == "random":
            blocks = range(offset // 32, (offset + length) // 32 + 1)
            return b"".join(sha256(b"%d" % block).digest() for block in blocks)[offset % 32 :][:length]
        content = {"attribute": ATTRIBUTE, "maps": process.maps().encode()}.get(device, b"")
        return content[offset : offset + length]

    # ------------------------------------------------------------------------------------------------------ facilities

    def facility(self, facility: Facility) -> str:
        if facility not in PATHS:
            raise Unsupported(f"the reference has no facility {facility}")
        return PATHS[facility]

    def crash(self) -> None:
        self.close()
        file_system = self.mount("crashing")
        assert file_system is not None
        file_system.crash(self.choices)

    def has_unsynced_names(self) -> bool:
        """Whether a file of the crashing file system has a name or a size that its disk does not know."""
        file_system = self.mount("crashing")
        assert file_system is not None
        return any(not inode.is_recorded for inode in file_system.root.entries.values())

    @contextmanager
    def full_file_table(self) -> Iterator[None]:
        limit = self.file_table.limit
        self.file_table.limit = 0
        try:
            yield
        finally:
            self.file_table.limit = limit

    def mapping_limit(self) -> int:
        self.most_mappings = min(self.most_mappings, FEW_MAPPINGS)
        return self.most_mappings


# ------------------------------------------------------------------------------------------------ special file systems


def plain(name: str, memory: Memory) -> FileSystem:
    """An empty file system of 64 MiB."""
    return FileSystem(name, memory, 64 << 20)


def small(name: str, memory: Memory) -> FileSystem:
    """An empty file system that is soon full: of 1 MiB."""
    return FileSystem(name, memory, 1 << 20)


def noexec(name: str, memory: Memory) -> FileSystem:
    """An empty file system from which nothing may be executed."""
    return FileSystem(name, memory, noexec=True)


def devices(name: str, memory: Memory) -> FileSystem:
    """/dev."""
    file_system = FileSystem(name, memory)
    for device in ("zero", "null", "random"):
        file_system.root.add("character", device, device)
    return file_system


def processes(name: str, memory: Memory) -> FileSystem:
    """/proc, with a file that cannot be mapped."""
    file_system = FileSystem(name, memory, noexec=True)
    file_system.root.add("regular", "maps", "maps")
    return file_system


def attributes(name: str, memory: Memory) -> FileSystem:
    """/sys, with a file that is found out late not to be mappable."""
    file_system = FileSystem(name, memory, noexec=True)
    attribute = file_system.root.add("regular", "attribute", "attribute")
    attribute.size = memory.page
    attribute.mapping_error = True
    return file_system


def locked(name: str, memory: Memory) -> FileSystem:
    """A file system with mandatory locks, and a file that somebody holds one on."""
    file_system = FileSystem(name, memory)
    inode = file_system.root.add("regular", "locked")
    inode.size = memory.page
    inode.mandatory_lock = True
    return file_system


MOUNTS: Final = {
    "own": small,
    "crashing": plain,
    "noexec": noexec,
    "dev": devices,
    "proc": processes,
    "sys": attributes,
    "mandatory": locked,
}
"""What is mounted below the root."""
