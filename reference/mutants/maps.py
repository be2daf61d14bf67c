"""Mutants of what /proc/PID/maps says."""

from __future__ import annotations

import re
from collections.abc import Callable

from ..mutant import Original, wrong
from ..process import ReferenceProcess


def with_lines(self: ReferenceProcess, change: Callable[[bytes], bytes], proc_maps: Original) -> bytes:
    """Return what /proc/PID/maps has, each line changed by a function."""
    return b"".join(change(line) + b"\n" for line in proc_maps(self).splitlines())


@wrong(ReferenceProcess.proc_maps, "maps.range", "maps.rights")
def the_last_mapping_has_no_line(proc_maps: Original, self: ReferenceProcess) -> bytes:
    """There is no line for the mapping with the largest addresses."""
    return b"".join(proc_maps(self).splitlines(keepends=True)[:-1])


@wrong(ReferenceProcess.proc_maps, "maps.range", "maps.rights", "maps.file")
def lines_are_in_no_order(proc_maps: Original, self: ReferenceProcess) -> bytes:
    """The line of the largest addresses is the first."""
    return b"".join(reversed(proc_maps(self).splitlines(keepends=True)))


@wrong(ReferenceProcess.proc_maps, "maps.range")
def a_line_lacks_the_last_page(proc_maps: Original, self: ReferenceProcess) -> bytes:
    """A line of several pages ends before the last."""

    def change(line: bytes) -> bytes:
        start, _, rest = line.partition(b"-")
        end, _, rest = rest.partition(b" ")
        return start + b"-%x " % (int(end, 16) - 4096) + rest if int(end, 16) - int(start, 16) > 4096 else line

    return with_lines(self, change, proc_maps)


@wrong(ReferenceProcess.proc_maps, "maps.range", "maps.rights")
def memory_without_rights_has_no_line(proc_maps: Original, self: ReferenceProcess) -> bytes:
    """There is no line for PROT_NONE."""
    return b"".join(line for line in proc_maps(self).splitlines(keepends=True) if b" ---" not in line)


@wrong(ReferenceProcess.proc_maps, "maps.rights", "maps.range")
def every_line_is_private(proc_maps: Original, self: ReferenceProcess) -> bytes:
    """The lines of shared mappings have p, too."""
    return with_lines(self, lambda line: re.sub(rb"^(\S+ ...)s", rb"\1p", line), proc_maps)


@wrong(ReferenceProcess.proc_maps, "maps.rights")
def a_line_has_the_right_to_read(proc_maps: Original, self: ReferenceProcess) -> bytes:
    """The lines of mappings that can only be stored to or executed have r."""
    return with_lines(self, lambda line: re.sub(rb"^(\S+) -(w|-x)", rb"\1 r\2", line), proc_maps)


@wrong(ReferenceProcess.proc_maps, "maps.file")
def a_line_has_the_offset_of_the_mmap(proc_maps: Original, self: ReferenceProcess) -> bytes:
    """The lines of a mapping that was split have the offset of its first part."""
    offsets: dict[bytes, bytes] = {}

    def change(line: bytes) -> bytes:
        fields = line.split(None, 5)
        if len(fields) < 6:
            return line
        first = offsets.setdefault(fields[4], fields[2])
        return line.replace(b" " + fields[2] + b" ", b" " + first + b" ", 1)

    return with_lines(self, change, proc_maps)


@wrong(ReferenceProcess.proc_maps, "maps.file")
def private_memory_has_an_inode(proc_maps: Original, self: ReferenceProcess) -> bytes:
    """The lines of private memory have inode 1."""
    return with_lines(self, lambda line: re.sub(rb" 0$", b" 1", line), proc_maps)


@wrong(ReferenceProcess.proc_maps, "maps.file")
def every_file_has_inode_1(proc_maps: Original, self: ReferenceProcess) -> bytes:
    """The lines of all files have one inode."""
    return with_lines(self, lambda line: re.sub(rb" 00:01 [0-9]+", b" 00:01 1", line), proc_maps)


@wrong(ReferenceProcess.proc_maps, "maps.file")
def a_removed_file_is_not_said_to_be_deleted(proc_maps: Original, self: ReferenceProcess) -> bytes:
    """The line of a file that has no name any more does not end with (deleted)."""
    return with_lines(self, lambda line: line.replace(b" (deleted)", b""), proc_maps)
