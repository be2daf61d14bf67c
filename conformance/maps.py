"""Cases of what /proc/PID/maps says of the mappings of the process that reads it."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

import pytest

from ..contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    O_RDONLY,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    Facility,
    Process,
    System,
)
from ..testing import clause
from ._helpers import ANONYMOUS, RW, MakeFile, NewPath, free_range, lettered_pages, prot_id

LINE = re.compile(
    r"(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) (?P<rights>[-r][-w][-x][sp]) (?P<offset>[0-9a-f]+)"
    r" (?P<device>[0-9a-f]+:[0-9a-f]+) (?P<inode>[0-9]+) *(?P<name>.*)"
)

CHUNK = 4000
"""Bytes that one read asks for."""


class Line(NamedTuple):
    """A line of /proc/PID/maps."""

    start: int
    end: int
    rights: str
    offset: int
    device: str
    inode: int
    name: str


def read_lines(system: System, process: Process) -> list[Line]:
    """Return the lines of /proc/PID/maps of a process."""
    fd = process.open(system.facility(Facility.PROC_FILE), O_RDONLY)
    text = b""
    while more := process.pread(fd, CHUNK, len(text)):
        text += more
    process.close(fd)
    lines = []
    for line in text.decode().splitlines():
        parts = LINE.fullmatch(line)
        assert parts, f"not a line of /proc/PID/maps: {line!r}"
        start, end, offset = (int(parts[name], 16) for name in ("start", "end", "offset"))
        lines.append(Line(start, end, parts["rights"], offset, parts["device"], int(parts["inode"]), parts["name"]))
    return lines


def pages_in(system: System, process: Process, page: int, base: int, pages: int) -> list[str]:
    """Return the rights of each page of a range in /proc/PID/maps; "" for a page that no line covers."""
    lines = read_lines(system, process)
    for left, right in pairwise(lines):
        assert left.start < left.end <= right.start
    return [
        next((line.rights for line in lines if line.start <= base + number * page < line.end), "")
        for number in range(pages)
    ]


def line_at(system: System, process: Process, addr: int) -> Line:
    """Return the line of the mapping at an address."""
    (line,) = [line for line in read_lines(system, process) if line.start <= addr < line.end]
    return line


@clause("maps.range")
@pytest.mark.parametrize("kind", ["file-shared", "file-private", "anonymous"])
def test_lines_cover_what_is_mapped(system: System, process: Process, file: MakeFile, page: int, kind: str) -> None:
    base = free_range(process, 12)
    fd = -1 if kind == "anonymous" else file(lettered_pages(page, 4))
    flags = {"anonymous": ANONYMOUS, "file-shared": MAP_SHARED, "file-private": MAP_PRIVATE}[kind] | MAP_FIXED
    letters = "rw-s" if kind == "file-shared" else "rw-p"
    process.mmap(base + page, 4 * page - 1, RW, flags, fd, 0)
    assert pages_in(system, process, page, base, 6) == ["", *[letters] * 4, ""]

    process.munmap(base + 2 * page, page)
    assert pages_in(system, process, page, base, 6) == ["", letters, "", letters, letters, ""]

    process.mremap(base + 3 * page, 2 * page, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED, base + 8 * page)
    assert pages_in(system, process, page, base, 12) == ["", letters, *[""] * 6, letters, letters, "", ""]

    process.mmap(base + 8 * page, page, PROT_NONE, ANONYMOUS | MAP_FIXED, -1, 0)
    assert pages_in(system, process, page, base, 12) == ["", letters, *[""] * 6, "---p", letters, "", ""]


@clause("maps.rights")
@pytest.mark.parametrize("type", [pytest.param(MAP_SHARED, id="shared"), pytest.param(MAP_PRIVATE, id="private")])
@pytest.mark.parametrize(
    "prot",
    [PROT_NONE, PROT_READ, PROT_WRITE, PROT_READ | PROT_WRITE, PROT_EXEC, PROT_READ | PROT_EXEC],
    ids=prot_id,
)
def test_line_has_the_protection(
    system: System, process: Process, file: MakeFile, page: int, type: int, prot: int
) -> None:
    """Of a mapping, and of one page of it that mprotect has changed."""
    fd = file(lettered_pages(page, 3))
    expected = "".join(letter if prot & bit else "-" for letter, bit in zip("rwx", (1, 2, 4), strict=True))
    sharing = "s" if type == MAP_SHARED else "p"
    base = process.mmap(0, 3 * page, prot, type, fd, 0)
    assert pages_in(system, process, page, base, 3) == [expected + sharing] * 3

    other = process.mmap(0, 3 * page, PROT_READ, type, fd, 0)
    process.mprotect(other + page, page, prot)
    assert pages_in(system, process, page, other, 3) == ["r--" + sharing, expected + sharing, "r--" + sharing]


@clause("maps.file")
def test_line_has_the_file(system: System, process: Process, file: MakeFile, new_path: NewPath, page: int) -> None:
    path, other_path, new_name = new_path(), new_path(), new_path()
    fd, other_fd = file(lettered_pages(page, 4), path=path), file(lettered_pages(page, 4), path=other_path)
    first = process.mmap(0, 4 * page, PROT_READ, MAP_SHARED, fd, 0)
    second = process.mmap(0, page, PROT_READ, MAP_PRIVATE, fd, 3 * page)
    third = process.mmap(0, page, PROT_READ, MAP_SHARED, other_fd, 0)
    memory = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.mprotect(first + 2 * page, page, PROT_NONE)

    lines = [line_at(system, process, addr) for addr in (first, first + 2 * page, second, third)]
    assert line_at(system, process, memory).inode == 0
    assert lines[0].inode == lines[1].inode == lines[2].inode != 0
    assert lines[0].inode != lines[3].inode
    assert len({line.device for line in lines}) == 1
    assert [line.offset - lines[0].offset for line in lines[:3]] == [0, 2 * page, 3 * page]
    assert lines[0].name.endswith("/" + path.rpartition("/")[2])
    assert lines[3].name.endswith("/" + other_path.rpartition("/")[2])

    process.rename(path, new_name)
    process.unlink(other_path)

    assert line_at(system, process, second).name.endswith("/" + new_name.rpartition("/")[2])
    assert line_at(system, process, third).name.endswith("/" + other_path.rpartition("/")[2] + " (deleted)")


@clause("maps.rights")
def test_read_only_shared_mapping_is_shared(
    system: System, process: Process, file: MakeFile, new_path: NewPath, page: int
) -> None:
    """Of a file that is open for reading only, and longer than the file; and of memory that has no file."""
    path = new_path()
    file(lettered_pages(page, 1), path=path)
    base = process.mmap(0, 2 * page, PROT_READ, MAP_SHARED, process.open(path, O_RDONLY), 0)
    memory = process.mmap(0, page, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)

    assert pages_in(system, process, page, base, 2) == ["r--s", "r--s"]
    assert pages_in(system, process, page, memory, 1) == ["rw-s"]


@clause("maps.file")
def test_line_has_an_offset_of_more_than_32_bits(system: System, process: Process, file: MakeFile, page: int) -> None:
    far = 1 << 33
    fd = file(lettered_pages(page, 1))
    process.ftruncate(fd, far + page)
    near, base = (process.mmap(0, page, PROT_READ, MAP_SHARED, fd, offset) for offset in (0, far))

    assert line_at(system, process, base).offset - line_at(system, process, near).offset == far


@clause("maps.file")
def test_line_has_the_last_name(system: System, process: Process, file: MakeFile, new_path: NewPath, page: int) -> None:
    """In a child as well; a file that another replaces has no name any more."""
    names = [new_path() for _ in range(4)]
    fd = file(lettered_pages(page, 1), path=names[0])
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)
    child = process.fork()

    process.rename(names[0], names[1])
    process.rename(names[1], names[2])
    last = "/" + names[2].rpartition("/")[2]
    for each in (process, child):
        assert line_at(system, each, base).name.endswith(last)

    file(b"n", path=names[3])
    process.rename(names[3], names[2])
    for each in (process, child):
        assert line_at(system, each, base).name.endswith(last + " (deleted)")


@clause("maps.file")
def test_line_has_the_name_by_which_the_file_was_opened(
    system: System, process: Process, file: MakeFile, new_path: NewPath, page: int
) -> None:
    """Whatever becomes of another name of the file."""
    path, other, renamed = new_path(), new_path(), new_path()
    fd = file(lettered_pages(page, 1), path=path)
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)
    name = "/" + path.rpartition("/")[2]

    process.link(path, other)
    process.rename(other, renamed)
    assert line_at(system, process, base).name.endswith(name)

    process.unlink(path)
    assert line_at(system, process, base).name.endswith(name + " (deleted)")
