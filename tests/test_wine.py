"""agent.wine: the tiny agent as a program of Windows, under wine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_mmapconf import backends
from pytest_mmapconf.agent.guardian import marked
from pytest_mmapconf.agent.wine import COMPILER, libraries, make_prefix
from pytest_mmapconf.contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    O_CREAT,
    O_EXCL,
    O_RDWR,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    Backend,
    Fault,
    Options,
    Process,
)

pytestmark = pytest.mark.skipif(
    not (shutil.which("wine") and shutil.which(COMPILER[0])),
    reason="needs wine and mingw-w64 (Debian: wine wine64 gcc-mingw-w64-x86-64)",
)

RW = PROT_READ | PROT_WRITE
MEMORY = MAP_PRIVATE | MAP_ANONYMOUS
PAGE = 4096
GRANULARITY = 65536


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Backend:
    backend = backends.make("wine", [], [])
    backend.configure(Options(directory=str(tmp_path_factory.mktemp("wine")), start_timeout=120))
    return backend


@pytest.fixture
def process(backend: Backend) -> Process:
    return backend.boot().spawn()


def fault_of(process: Process, address: int) -> tuple[str, str, int | None]:
    with pytest.raises(Fault) as fault:
        process.load(address, 1)
    return fault.value.signal, fault.value.code, fault.value.address


def test_faults_say_what_is_there(process: Process) -> None:
    at = process.mmap(0, 3 * PAGE, PROT_NONE, MEMORY, -1, 0)
    fd = process.open("file", O_RDWR | O_CREAT)
    process.pwrite(fd, b"a", 0)
    file = process.mmap(0, 2 * PAGE, RW, MAP_SHARED, fd, 0)
    process.munmap(at + PAGE, PAGE)

    assert fault_of(process, at) == ("SIGSEGV", "SEGV_ACCERR", at)
    assert fault_of(process, at + PAGE) == ("SIGSEGV", "SEGV_MAPERR", at + PAGE)
    assert process.load(file, 2) == b"a\0"
    assert fault_of(process, file + PAGE) == ("SIGBUS", "BUS_ADRERR", file + PAGE)
    assert fault_of(process, 1 << 63) == ("SIGSEGV", "SI_KERNEL", None)


def test_pages_are_unmapped_one_by_one_though_windows_unmaps_whole_regions(process: Process) -> None:
    at = process.mmap(0, 3 * PAGE, RW, MEMORY, -1, 0)
    process.store(at, b"one")
    process.store(at + 2 * PAGE, b"two")
    process.munmap(at + PAGE, PAGE)
    assert (process.load(at, 3), process.load(at + 2 * PAGE, 3)) == (b"one", b"two")
    process.munmap(at, 3 * PAGE)

    assert process.mmap(at, PAGE, RW, MEMORY | MAP_FIXED, -1, 0) == at, "nothing of the region is left"
    assert process.load(at, 3) == bytes(3)


def test_a_mapping_begins_at_any_page_of_its_file(process: Process) -> None:
    fd = process.open("file", O_RDWR | O_CREAT)
    for page in range(18):
        process.pwrite(fd, b"%02d" % page, page * PAGE)
    at = process.mmap(0, 2 * PAGE, RW, MAP_SHARED, fd, 16 * PAGE + PAGE)
    process.store(at, b"xy")

    assert process.pread(fd, 2, 17 * PAGE) == b"xy"
    assert at % GRANULARITY == PAGE
    assert fault_of(process, at - PAGE)[1] == "SEGV_MAPERR"


def test_memory_gets_protection_later(process: Process) -> None:
    at = process.mmap(0, 2 * PAGE, PROT_NONE, MEMORY, -1, 0)
    process.mprotect(at, PAGE, RW)
    process.store(at, b"kept")
    process.mprotect(at, PAGE, PROT_NONE)
    process.mprotect(at, PAGE, PROT_READ)

    assert process.load(at, 4) == b"kept"
    with pytest.raises(Fault):
        process.store(at, b"x")


def test_the_name_of_a_deleted_file_is_free_while_it_is_open(process: Process) -> None:
    fd = process.open("file", O_RDWR | O_CREAT)
    process.unlink("file")

    assert process.open("file", O_RDWR | O_CREAT | O_EXCL) == fd + 1


def test_processes_end_with_their_status(backend: Backend) -> None:
    system = backend.boot()
    one, other = system.spawn(), system.spawn()
    other.kill()

    assert one.exit(-1) == 255


def test_nothing_is_left_after_its_end(tmp_path: Path) -> None:
    """No directory, no server of wine, nothing in the directory for temporary files; no prefix of the user is made."""
    mark, home = f"test-{os.getpid()}", tmp_path / "home"
    files, temporary = tmp_path / "files", tmp_path / "temporary"
    for folder in (home, files, temporary):
        folder.mkdir()
    settings = {"HOME": str(home), "TMPDIR": str(temporary), "MMAPCONF_AGENT_OF": mark}
    command = [sys.executable, "-m", "pytest_mmapconf.agent.wine", "--directory", str(files)]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), **settings}

    done = subprocess.run(
        command, input="0 boot\n0 spawn\n1 sysconf 30\n", capture_output=True, text=True, env=environment, timeout=120
    )

    assert done.stdout.splitlines()[2:] == ["0 ok 1", "1 ok 4096"]
    assert list(marked(mark)) == []
    assert [*home.iterdir(), *files.iterdir(), *temporary.iterdir()] == []


def test_the_prefix_has_links_to_the_libraries_only(tmp_path: Path) -> None:
    make_prefix(tmp_path / "prefix")

    system = tmp_path / "prefix" / "drive_c" / "windows" / "system32"
    assert {path.name for path in system.iterdir()} == {path.name for path in libraries()}
    assert all(path.is_symlink() for path in system.iterdir())
    assert (system / "kernel32.dll").exists()
