"""The special file systems of a machine, which absolute paths lead to.

A machine mounts each of them when a path first names it.
"""

from __future__ import annotations

from typing import Final

from .files import FileSystem
from .paging import Memory


def crashing(name: str, memory: Memory) -> FileSystem:
    """An empty file system of 64 MiB of which a crash leaves what the disk has."""
    return FileSystem(name, memory, 64 << 20, may_crash=True)


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
    """/sys, with a file that Linux refuses to map only after other checks."""
    file_system = FileSystem(name, memory, noexec=True)
    attribute = file_system.root.add("regular", "attribute", "attribute")
    attribute.size = memory.page
    attribute.mapping_error = True
    return file_system


def locked(name: str, memory: Memory) -> FileSystem:
    """A file system with mandatory locks, and a file that another process holds one on."""
    file_system = FileSystem(name, memory)
    inode = file_system.root.add("regular", "locked")
    inode.size = memory.page
    inode.mandatory_lock = True
    return file_system


MOUNTS: Final = {
    "own": small,
    "crashing": crashing,
    "noexec": noexec,
    "dev": devices,
    "proc": processes,
    "sys": attributes,
    "mandatory": locked,
}
"""The function that builds each file system mounted below the root."""
