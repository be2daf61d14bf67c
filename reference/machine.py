"""The machine: its sizes and limits, memory, the table of open files, the mounted file systems, the processes.

A machine is booted for each case, so that what most cases do not use is made when it is first asked for: the special
file systems below the root (`mounts`).  Relative paths start in the machine's home, a plain file system.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, Protocol

from ..contract import Facility
from .address_space import AddressSpace
from .choices import Choices
from .constants import O_RDWR
from .files import FileSystem, FileTable, Inode, OpenFileDescription
from .mounts import MOUNTS
from .paging import Memory

CAPABILITIES: Final = frozenset({"CAP_IPC_LOCK", "CAP_LINUX_IMMUTABLE", "CAP_SYS_ADMIN", "CAP_SYS_RAWIO"})
"""The privileges that anything here asks for."""


@dataclass(frozen=True)
class Parameters:
    """The sizes and limits of a machine."""

    page: int = 4096
    """Bytes of a page: a power of two."""
    bits: int = 64
    """Width of an address."""
    byte_order: Literal["little", "big"] = "little"
    """The order of the bytes of a word (`Process.add`)."""
    user_bits: int = 47
    """User space ends one page below 2 ** user_bits, unless `end` is given."""
    end: int = 0
    """The first address past the end of user space."""
    mmap_min_addr: int = 65536
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
    execute_only: str = ""
    """The si_code of a load from a page with PROT_EXEC alone, if the hardware refuses it; empty if it does not.

    SEGV_PKUERR: x86 with protection keys; SEGV_ACCERR: page tables with an execute-only protection.
    """
    populates_execute_only: bool = False
    """True if the kernel populates such a page on request; protection keys prevent that as well."""

    mappings_keep_locks: bool = True
    """True if a mapping holds the open file description of its descriptor, and so keeps the locks of that.

    On overlayfs it holds another one, of the file in the layer below.
    """

    @property
    def canonical(self) -> int:
        """The first of the addresses that 64-bit hardware does not take for any; 32-bit hardware takes them all."""
        return 1 << (self.user_bits if self.bits == 64 else self.bits)

    @property
    def task_size(self) -> int:
        """The first address past the end of user space."""
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
"""The path of each facility."""

RETURN: Final = b"\xc3"
"""x86's instruction that returns."""


class RunningProcess(Protocol):
    """A process as its machine knows it."""

    space: AddressSpace

    def end(self) -> None:
        """Release all that the process has."""


def parts_of(path: str) -> list[str]:
    """Return the names of a path."""
    return [part for part in path.split("/") if part not in ("", ".")]


class Machine:
    """The inventory of a booted reference."""

    def __init__(self, parameters: Parameters, choices: Choices) -> None:
        self.parameters = parameters
        self.choices = choices
        self.memory = Memory(parameters.page)
        self.file_table = FileTable(parameters.open_files)
        self.max_map_count = parameters.mappings
        """Mappings that a process may have."""
        self.reached: set[str] = set()
        """The clauses by which a call was refused."""
        self.return_instruction = RETURN
        """Machine code that returns."""
        self.cwd_file_system = FileSystem("home", self.memory)
        self.mounts: dict[str, FileSystem] = {}
        """The special file systems that have been mounted so far, by their name below the root."""
        self.processes: list[RunningProcess] = []
        """The processes that have not ended."""
        self.started = 0
        """The number of processes that have been started."""
        self.terminal = OpenFileDescription(self.file_table, Inode(None, "character", "terminal", "terminal"), O_RDWR)
        """The open file description of descriptors 0, 1 and 2 of a new process."""

    def allocate_pid(self) -> int:
        """Return the number of a new process."""
        self.started += 1
        return self.started

    @cached_property
    def memory_files(self) -> FileSystem:
        """The file system of files without a name."""
        return FileSystem("memory", self.memory)

    def mount(self, name: str) -> FileSystem | None:
        """Return the special file system at /name; None if there is none."""
        if name not in self.mounts:
            build = MOUNTS.get(name)
            if build is None:
                return None
            self.mounts[name] = build(name, self.memory)
        return self.mounts[name]

    def look_up(self, path: str) -> tuple[str, Inode | None, Inode | None]:
        """Return the last part of a path, its directory, and the file; None where one of these does not exist."""
        parts = parts_of(path)
        inode: Inode | None = self.cwd_file_system.root
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

    def has_unsynced_names(self) -> bool:
        """True if the disk of the crashing file system lacks the name or the size of a file."""
        file_system = self.mount("crashing")
        assert file_system is not None
        return any(not inode.is_durable for inode in file_system.root.entries.values())
