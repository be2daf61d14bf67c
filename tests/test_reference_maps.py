"""The picture of an address space."""

from __future__ import annotations

import pytest

from pytest_mmapconf.contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_LOCKED,
    MAP_PRIVATE,
    MAP_SHARED,
    O_CREAT,
    O_RDWR,
    PROT_READ,
    PROT_WRITE,
    Fault,
)
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.maps import protection_text, ranges
from pytest_mmapconf.reference.process import ReferenceProcess

PAGE = 4096
RW = PROT_READ | PROT_WRITE


@pytest.fixture
def process() -> ReferenceProcess:
    return ReferenceBackend().boot().spawn()


def test_ranges() -> None:
    assert ranges([]) == ""
    assert ranges([0, 1, 2, 5, 7, 8]) == "0-2 5 7-8"


def test_rights() -> None:
    assert [protection_text(prot) for prot in range(8)] == ["---", "r--", "-w-", "rw-", "--x", "r-x", "-wx", "rwx"]


def test_the_whole(process: ReferenceProcess) -> None:
    base = process.scratch_range()[0]
    fd = process.open("f", O_RDWR | O_CREAT)
    process.pwrite(fd, b"x" * 4 * PAGE, 0)
    process.fsync(fd)
    process.mmap(base, 3 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, PAGE)
    process.store(base + PAGE, b"a")
    process.load(base, 1)
    process.mmap(base + 4 * PAGE, PAGE, RW, MAP_PRIVATE | MAP_FIXED, fd, 0)
    process.store(base + 4 * PAGE, b"b")
    process.mmap(base + 6 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_LOCKED, -1, 0)
    process.unlink("f")
    with pytest.raises(Fault):
        process.store(base + 6 * PAGE + 1, b"c")
    assert process.maps().splitlines() == [
        "process 1, pages of 4096 bytes, 4 minor and 0 major faults",
        f"{base:#014x}-{base + 3 * PAGE:#014x} rw- shared  f (unlinked) from 0x1000, resident 0-1, dirty 1",
        f"{base + 4 * PAGE:#014x}-{base + 5 * PAGE:#014x} rw- private f (unlinked) from 0x0, resident 0, private 0",
        f"{base + 6 * PAGE:#014x}-{base + 7 * PAGE:#014x} r-- private private memory, locked, resident 0"
        f"  <- store at {base + 6 * PAGE + 1:#x}: SIGSEGV",
    ]


@pytest.mark.parametrize("page", [0, 2, 4])
def test_an_access_where_nothing_is_mapped_is_shown_between(process: ReferenceProcess, page: int) -> None:
    base = process.scratch_range()[0]
    for at in (1, 3):
        process.mmap(base + at * PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
    with pytest.raises(Fault):
        process.load(base + page * PAGE, 1)
    lines = process.maps().splitlines()[1:]
    assert [line.startswith("  (nothing mapped)") for line in lines] == [at == page // 2 for at in range(3)]
    assert lines[page // 2].endswith(f"<- load at {base + page * PAGE:#x}: SIGSEGV")


def test_frames_on_request(process: ReferenceProcess) -> None:
    base = process.mmap(0, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    process.store(base, b"x")
    frame = process.space.table.entries[base // PAGE].frame
    assert "frames" not in process.maps()
    assert f"frames 0:{frame:#x}" in process.maps(frames=True)


def test_lines_of_proc_pid_maps(process: ReferenceProcess) -> None:
    fd = process.open("a", O_CREAT | O_RDWR)
    process.ftruncate(fd, 4 * PAGE)
    base, _length = process.scratch_range()
    process.mmap(base, 2 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, PAGE)
    process.mmap(base + 4 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
    process.rename("a", "b")
    number = process.descriptors[fd].description.inode.number

    file, memory = process.proc_maps().decode().splitlines()

    assert file.split() == [f"{base:x}-{base + 2 * PAGE:x}", "rw-s", "00001000", "00:01", str(number), "/b"]
    assert file.index("/b") == 73
    assert memory == f"{base + 4 * PAGE:x}-{base + 5 * PAGE:x} r--p 00000000 00:00 0"
    process.unlink("b")
    assert process.proc_maps().splitlines()[0].endswith(b"/b (deleted)")
