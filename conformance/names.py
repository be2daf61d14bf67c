"""Cases of mapped files that get other names."""

from __future__ import annotations

import pytest

from ..contract import MAP_PRIVATE, MAP_SHARED, O_RDWR, Process, System
from ..testing import clause, fails
from ._helpers import RW, MakeFile, NewPath, requires


@clause("rename.mapping")
def test_mapping_is_of_the_renamed_file(
    system: System, process: Process, file: MakeFile, new_path: NewPath, page: int
) -> None:
    before, after = new_path(), new_path()
    fd = file(b"x" * page, path=before)
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    process.store(base, b"before")
    process.close(fd)

    process.rename(before, after)
    process.store(base + 6, b" after")

    other = system.spawn()
    opened = other.open(after, O_RDWR)
    assert other.pread(opened, page, 0) == b"before after" + b"x" * (page - 12)
    other.pwrite(opened, b"written", 0)
    assert process.load(base, 12) == b"writtenafter"
    with fails("ENOENT"):
        process.open(before, O_RDWR)


@clause("rename.replaced")
@pytest.mark.parametrize("type", [pytest.param(MAP_SHARED, id="shared"), pytest.param(MAP_PRIVATE, id="private")])
def test_replaced_file_lives_in_its_mappings(
    process: Process, file: MakeFile, new_path: NewPath, page: int, type: int
) -> None:
    old, new = new_path(), new_path()
    fd = file(b"o" * 2 * page, path=old)
    mapped = process.mmap(0, 2 * page, RW, type, fd, 0)
    process.store(mapped, b"stored")
    child = process.fork()
    process.close(fd)
    child.close(fd)
    replacing = file(b"n" * 2 * page, path=new)
    other = process.mmap(0, 2 * page, RW, MAP_SHARED, replacing, 0)

    process.rename(new, old)
    process.store(mapped + page, b"later")
    process.store(other, b"other")

    assert process.load(mapped, 2 * page) == b"stored" + b"o" * (page - 6) + b"later" + b"o" * (page - 5)
    assert child.load(mapped, 6) == b"stored"
    assert child.load(mapped + page, 5) == (b"later" if type == MAP_SHARED else b"ooooo")
    opened = process.open(old, O_RDWR)
    assert process.pread(opened, 2 * page, 0) == b"other" + b"n" * (2 * page - 5)


@clause("link.same")
@pytest.mark.parametrize("removed", ["none", "first", "second"])
def test_mappings_by_two_names_are_of_one_file(
    system: System, process: Process, file: MakeFile, new_path: NewPath, page: int, removed: str
) -> None:
    first, second = new_path(), new_path()
    fd = file(b"x" * page, path=first)
    with requires("a second name of a file"):
        process.link(first, second)
    other = system.spawn()
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    opened = other.open(second, O_RDWR)
    there = other.mmap(0, page, RW, MAP_SHARED, opened, 0)
    process.close(fd)
    other.close(opened)

    if removed != "none":
        process.unlink(first if removed == "first" else second)
    process.store(base, b"one")
    other.store(there + 3, b"two")

    assert process.load(base, 7) == b"onetwox"
    assert other.load(there, 7) == b"onetwox"
    if removed != "first":
        assert process.pread(process.open(first, O_RDWR), 7, 0) == b"onetwox"
    if removed != "second":
        assert process.pread(process.open(second, O_RDWR), 7, 0) == b"onetwox"
