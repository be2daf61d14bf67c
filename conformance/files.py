"""Errors of the calls on files and descriptors that the other cases are built from."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ..contract import (
    LOCK_NB,
    LOCK_SH,
    MAP_SHARED,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_PATH,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    SEAL_GROW,
    SEAL_SHRINK,
    SEAL_WRITE,
    SEEK_SET,
    Process,
    System,
    Unsupported,
)
from ..testing import clause, fails
from ._helpers import RW, MakeFile, NewPath, append_only, lock_from_another_process, setup, take_lock

CLOSED = 50
"""A descriptor that nobody has opened."""

WITHOUT_DESCRIPTOR: dict[str, Callable[[Process], object]] = {
    "close": lambda process: process.close(CLOSED),
    "dup": lambda process: process.dup(CLOSED),
    "fstat": lambda process: process.fstat(CLOSED),
    "ftruncate": lambda process: process.ftruncate(CLOSED, 0),
    "lseek": lambda process: process.lseek(CLOSED, 0, SEEK_SET),
    "pread": lambda process: process.pread(CLOSED, 1, 0),
    "pwrite": lambda process: process.pwrite(CLOSED, b"x", 0),
    "fsync": lambda process: process.fsync(CLOSED),
    "set_old_mtime": lambda process: process.set_old_mtime(CLOSED),
    "is-backdated": lambda process: process.has_old_mtime(CLOSED),
    "flock": lambda process: process.flock(CLOSED, LOCK_SH | LOCK_NB),
    "record-lock": lambda process: process.record_lock(CLOSED, ofd=True),
}


@clause("file.errno")
@pytest.mark.parametrize("call", WITHOUT_DESCRIPTOR)
def test_descriptor_that_is_not_open(process: Process, call: str) -> None:
    with fails("EBADF"):
        WITHOUT_DESCRIPTOR[call](process)


@clause("file.errno")
@pytest.mark.parametrize("call", ["pread", "pwrite", "ftruncate", "fsync", "set_old_mtime", "flock"])
def test_descriptor_that_only_names_a_file(process: Process, file: MakeFile, new_path: NewPath, call: str) -> None:
    path = new_path()
    file(b"abc", O_RDWR, path)
    with setup():
        fd = process.open(path, O_PATH)
    calls: dict[str, Callable[[], object]] = {
        "pread": lambda: process.pread(fd, 1, 0),
        "pwrite": lambda: process.pwrite(fd, b"x", 0),
        "ftruncate": lambda: process.ftruncate(fd, 0),
        "fsync": lambda: process.fsync(fd),
        "set_old_mtime": lambda: process.set_old_mtime(fd),
        "flock": lambda: process.flock(fd, LOCK_SH | LOCK_NB),
    }
    with fails("EBADF"):
        calls[call]()


@clause("file.errno")
@pytest.mark.parametrize("call", ["open", "unlink", "watch", "free-space", "create-in-it", "mkdir-in-it"])
def test_name_that_does_not_exist(process: Process, new_path: NewPath, call: str) -> None:
    path = new_path()
    calls: dict[str, Callable[[], object]] = {
        "open": lambda: process.open(path, O_RDONLY),
        "unlink": lambda: process.unlink(path),
        "watch": lambda: process.watch(path),
        "free-space": lambda: process.free_space(path),
        "create-in-it": lambda: process.open(f"{path}/file", O_RDWR | O_CREAT),
        "mkdir-in-it": lambda: process.mkdir(f"{path}/folder"),
    }
    with fails("ENOENT"):
        calls[call]()


@clause("file.errno")
@pytest.mark.parametrize(
    ("call", "error"),
    [
        pytest.param("create-exclusively", "EEXIST", id="create-exclusively"),
        pytest.param("mkdir", "EEXIST", id="mkdir"),
        pytest.param("open-as-directory", "ENOTDIR", id="open-as-directory"),
        pytest.param("create-in-it", "ENOTDIR", id="create-in-it"),
        pytest.param("mkdir-in-it", "ENOTDIR", id="mkdir-in-it"),
    ],
)
def test_name_of_a_file(process: Process, file: MakeFile, new_path: NewPath, call: str, error: str) -> None:
    path = new_path()
    file(b"abc", O_RDWR, path)
    calls: dict[str, Callable[[], object]] = {
        "create-exclusively": lambda: process.open(path, O_RDWR | O_CREAT | O_EXCL),
        "mkdir": lambda: process.mkdir(path),
        "open-as-directory": lambda: process.open(path, O_RDONLY | O_DIRECTORY),
        "create-in-it": lambda: process.open(f"{path}/file", O_RDWR | O_CREAT),
        "mkdir-in-it": lambda: process.mkdir(f"{path}/folder"),
    }
    with fails(error):
        calls[call]()


@clause("file.errno")
@pytest.mark.parametrize("call", ["open-for-writing", "pread", "unlink"])
def test_directory(process: Process, new_path: NewPath, call: str) -> None:
    path = new_path()
    with setup():
        process.mkdir(path)
        fd = process.open(path, O_RDONLY | O_DIRECTORY)
    calls: dict[str, Callable[[], object]] = {
        "open-for-writing": lambda: process.open(path, O_RDWR),
        "pread": lambda: process.pread(fd, 1, 0),
        "unlink": lambda: process.unlink(path),
    }
    with fails("EISDIR"):
        calls[call]()


@clause("file.errno")
@pytest.mark.parametrize("call", ["lseek", "pread", "pwrite"])
def test_pipe_has_no_offset(process: Process, call: str) -> None:
    with setup():
        end, other_end = process.pipe()
    calls: dict[str, Callable[[], object]] = {
        "lseek": lambda: process.lseek(end, 0, SEEK_SET),
        "pread": lambda: process.pread(end, 1, 0),
        "pwrite": lambda: process.pwrite(other_end, b"x", 0),
    }
    with fails("ESPIPE"):
        calls[call]()


@clause("file.errno")
def test_pipe_has_no_storage(process: Process) -> None:
    with setup():
        end, _ = process.pipe()
    with fails("EINVAL"):
        process.fsync(end)


@clause("file.errno")
@pytest.mark.parametrize("call", ["ftruncate", "pwrite"])
def test_larger_than_any_file(process: Process, page: int, file: MakeFile, call: str) -> None:
    fd = file(b"abc")
    end = (1 << 63) - page
    with fails("EFBIG"):
        process.ftruncate(fd, end) if call == "ftruncate" else process.pwrite(fd, b"x", end)
        if process.fstat(fd).size >= end:
            raise Unsupported("a file of this file system may be as large as an offset can say")

    assert process.fstat(fd).size == 3


@clause("file.errno")
@pytest.mark.parametrize("call", ["open", "unlink", "ftruncate", "set_old_mtime"])
def test_file_that_can_only_be_appended_to(process: Process, file: MakeFile, new_path: NewPath, call: str) -> None:
    path = new_path()
    fd = file(b"abc", O_RDWR, path)
    calls: dict[str, Callable[[], object]] = {
        "open": lambda: process.open(path, O_RDWR),
        "unlink": lambda: process.unlink(path),
        "ftruncate": lambda: process.ftruncate(fd, 1),
        "set_old_mtime": lambda: process.set_old_mtime(fd),
    }
    with append_only(process, fd), fails("EPERM"):
        calls[call]()

    assert process.pread(fd, 4, 0) == b"abc"


@clause("file.errno")
def test_attribute_that_only_the_privileged_may_set(process: Process, file: MakeFile) -> None:
    fd = file(b"abc")
    with append_only(process, fd):
        pass
    process.drop_capability("CAP_LINUX_IMMUTABLE")

    with fails("EPERM"):
        process.set_append_only(fd, True)


@clause("file.errno")
def test_file_in_memory_that_is_open_for_reading(process: Process) -> None:
    with setup():
        fd = process.memfd()
        reader = process.open(f"/dev/fd/{fd}", O_RDONLY)
    with fails("EPERM"):
        process.seal(reader, SEAL_GROW)


@clause("file.errno")
@pytest.mark.parametrize(
    ("mode", "call", "error"),
    [
        pytest.param(O_RDONLY, "pwrite", "EBADF", id="pwrite"),
        pytest.param(O_RDONLY, "ftruncate", "EINVAL", id="ftruncate"),
        pytest.param(O_RDONLY, "record-lock", "EBADF", id="write-lock"),
        pytest.param(O_WRONLY, "pread", "EBADF", id="pread"),
    ],
)
def test_mode_that_does_not_allow_it(process: Process, file: MakeFile, mode: int, call: str, error: str) -> None:
    fd = file(b"abc", mode)
    calls: dict[str, Callable[[], object]] = {
        "pwrite": lambda: process.pwrite(fd, b"x", 0),
        "ftruncate": lambda: process.ftruncate(fd, 0),
        "record-lock": lambda: process.record_lock(fd, ofd=True),
        "pread": lambda: process.pread(fd, 1, 0),
    }
    with fails(error):
        calls[call]()


@clause("file.errno")
@pytest.mark.parametrize("call", ["ftruncate", "lseek", "lseek-whence", "pread", "pwrite", "flock"])
def test_argument_that_is_not_valid(process: Process, file: MakeFile, call: str) -> None:
    fd = file(b"abc")
    calls: dict[str, Callable[[], object]] = {
        "ftruncate": lambda: process.ftruncate(fd, -1),
        "lseek": lambda: process.lseek(fd, -1, SEEK_SET),
        "lseek-whence": lambda: process.lseek(fd, 0, 99),
        "pread": lambda: process.pread(fd, 1, -1),
        "pwrite": lambda: process.pwrite(fd, b"x", -1),
        "flock": lambda: process.flock(fd, 0),
    }
    with fails("EINVAL"):
        calls[call]()


@clause("file.errno")
@pytest.mark.parametrize("lock", ["flock", "ofd", "record"])
def test_lock_that_another_has(system: System, process: Process, file: MakeFile, new_path: NewPath, lock: str) -> None:
    path = new_path()
    fd = file(b"abc", O_RDWR, path)
    lock_from_another_process(system, path, lock)
    with fails("EAGAIN"):
        take_lock(process, fd, lock)


@clause("file.errno")
@pytest.mark.parametrize(
    ("seal", "call"),
    [
        pytest.param(SEAL_SHRINK, "shrink", id="shrink"),
        pytest.param(SEAL_GROW, "grow", id="grow"),
        pytest.param(SEAL_GROW, "write-behind-the-end", id="write-behind-the-end"),
        pytest.param(SEAL_WRITE, "write", id="write"),
    ],
)
def test_sealed_file(process: Process, page: int, seal: int, call: str) -> None:
    with setup():
        fd = process.memfd()
        process.ftruncate(fd, page)
        process.seal(fd, seal)
    calls: dict[str, Callable[[], object]] = {
        "shrink": lambda: process.ftruncate(fd, 0),
        "grow": lambda: process.ftruncate(fd, 2 * page),
        "write-behind-the-end": lambda: process.pwrite(fd, b"x", page),
        "write": lambda: process.pwrite(fd, b"x", 0),
    }
    with fails("EPERM"):
        calls[call]()


@clause("file.errno")
def test_mapped_file_cannot_be_sealed_against_writing(process: Process, page: int) -> None:
    with setup():
        fd = process.memfd()
        process.ftruncate(fd, page)
    process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    with fails("EBUSY"):
        process.seal(fd, SEAL_WRITE)


@clause("file.errno")
def test_ordinary_file_cannot_be_sealed(process: Process, file: MakeFile) -> None:
    """Its file system knows no seals, or has sealed it against seals (tmpfs)."""
    fd = file(b"abc")
    with fails("EINVAL", "EPERM"):
        process.seal(fd, SEAL_GROW)
