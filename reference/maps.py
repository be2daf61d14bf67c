"""An address space as text, for people: each mapping, its file, and the pages that are in memory.

One line a mapping::

    process 1, pages of 4096 bytes, 3 faults (1 major)
    0x7fffffffb000-0x7fffffffe000 rw- shared  file-1 from 0x1000, resident 0-1, dirty 1   <- store at 0x7fffffffc004
    the last access: store at 0x7fffffffc004

Pages are numbered from the start of their mapping.  `resident` are those that the process has an entry for, `private`
its own copies, `dirty` those of the file that the disk does not have yet.
"""

from __future__ import annotations

from collections.abc import Iterable

from .address_space import AddressSpace
from .constants import PROT_EXEC, PROT_READ, PROT_WRITE
from .mapping import Mapping


def protection_text(prot: int) -> str:
    """Return a protection as three letters: "rw-"."""
    return "".join(
        letter if prot & bit else "-" for letter, bit in (("r", PROT_READ), ("w", PROT_WRITE), ("x", PROT_EXEC))
    )


def ranges(numbers: Iterable[int]) -> str:
    """Numbers, rising, as ranges: "0-2 5"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return " ".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def backing(mapping: Mapping) -> str:
    """Return the file and offset of a mapping as text."""
    inode = mapping.inode
    if inode is None:
        return "private memory"
    gone = "" if inode.links or inode.file_system is None else " (unlinked)"
    return f"{inode.name}{gone} from {mapping.offset:#x}"


def line(mapping: Mapping, space: AddressSpace, frames: bool) -> str:
    """One mapping."""
    page = space.page
    first = mapping.start // page
    entries = space.table.entries
    resident = space.table.within(first, mapping.end // page)
    parts = [backing(mapping)]
    if mapping.locked:
        parts.append("locked")
    if resident:
        parts.append("resident " + ranges(number - first for number in resident))
    private = [number - first for number in resident if entries[number].refcount]
    if private and mapping.inode is not None:
        parts.append("private " + ranges(private))
    if mapping.inode is not None:
        cache = mapping.inode.cache
        from_ = mapping.offset // page
        within = cache.within(from_, from_ + (mapping.end - mapping.start) // page)
        dirty = ranges(index - from_ for index in within if cache.pages[index].dirty)
        if dirty:
            parts.append("dirty " + dirty)
    if frames and resident:
        parts.append("frames " + " ".join(f"{number - first}:{entries[number].frame:#x}" for number in resident))
    sharing = "shared " if mapping.shared else "private"
    return f"{mapping.start:#014x}-{mapping.end:#014x} {protection_text(mapping.prot)} {sharing} {', '.join(parts)}"


def proc_lines(space: AddressSpace) -> list[str]:
    """The mappings of an address space as the lines of /proc/PID/maps (proc_pid_maps(5))."""
    return [proc_line(mapping) for mapping in space.mappings.values()]


def proc_line(mapping: Mapping) -> str:
    """One mapping as a line of /proc/PID/maps."""
    inode = mapping.inode
    rights = protection_text(mapping.prot) + ("s" if mapping.shared else "p")
    start = f"{mapping.start:08x}-{mapping.end:08x} {rights}"
    if inode is None:
        return f"{start} 00000000 00:00 0"
    name = None if mapping.description is None else mapping.description.name
    is_gone = inode.file_system is None or not inode.links if name is None else name.gone
    text = f"/{inode.name if name is None else name.text}{' (deleted)' if is_gone else ''}"
    return f"{start} {mapping.offset:08x} 00:01 {inode.number}".ljust(73) + text


def draw(space: AddressSpace, last_access: tuple[str, int, str] | None, frames: bool = False) -> list[str]:
    """The lines of the picture of an address space."""
    lines = []
    place = None
    where = ""
    if last_access is not None:
        access, place, outcome = last_access
        where = f"{access} at {place:#x}" + (f": {outcome}" if outcome else "")
    is_marked = False
    for mapping in space.mappings.values():
        if place is not None and not is_marked and place < mapping.start:
            lines.append(f"  (nothing mapped)  <- {where}")
            is_marked = True
        mark = ""
        if place is not None and mapping.start <= place < mapping.end:
            mark = f"  <- {where}"
            is_marked = True
        lines.append(line(mapping, space, frames) + mark)
    if place is not None and not is_marked:
        lines.append(f"  (nothing mapped)  <- {where}")
    return lines
