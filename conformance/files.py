"""Cases of the errors of file and descriptor calls that the other cases use."""

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
"""A descriptor number that is not open."""

CALLS_ON_CLOSED: dict[str, Callable[[Process], object]] = {
    "close": lambda process: process.close(CLOSED),
    "dup": lambda process: process.dup(CLOSED),
    "fstat": lambda process: process.fstat(CLOSED),
    "ftruncate": lambda process: process.ftruncate(CLOSED, 0),
    "fallocate": lambda process: process.fallocate(CLOSED, 0, 0, 1),
    "copy_file_range": lambda process: process.copy_file_range(CLOSED, 0, CLOSED, 1, 1),
    "lseek": lambda process: process.lseek(CLOSED, 0, SEEK_SET),
    "pread": lambda process: process.pread(CLOSED, 1, 0),
    "pwrite": lambda process: process.pwrite(CLOSED, b"x", 0),
    "fsync": lambda process: process.fsync(CLOSED),
    "set_old_mtime": lambda process: process.set_old_mtime(CLOSED),
    "has_old_mtime": lambda process: process.has_old_mtime(CLOSED),
    "flock": lambda process: process.flock(CLOSED, LOCK_SH | LOCK_NB),
    "record_lock": lambda process: process.record_lock(CLOSED, ofd=True),
}


@clause("file.errno")
@pytest.mark.parametrize("call", CALLS_ON_CLOSED)
def test_closed_descriptor_fails(process: Process, call: str) -> None:
    with fails("EBADF"):
        CALLS_ON_CLOSED[call](process)


@clause("file.errno")
@pytest.mark.parametrize("call", ["pread", "pwrite", "ftruncate", "fsync", "set_old_mtime", "flock"])
def test_o_path_descriptor_fails(process: Process, file: MakeFile, new_path: NewPath, call: str) -> None:
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
@pytest.mark.parametrize(
    "call",
    [
        *("open", "unlink", "watch", "free_space", "create-in-directory", "mkdir-in-directory"),
        *("rename", "link", "rename-to-directory", "link-to-directory"),
    ],
)
def test_missing_path_fails(process: Process, file: MakeFile, new_path: NewPath, call: str) -> None:
    path, there = new_path(), new_path()
    file(b"abc", O_RDWR, there)
    calls: dict[str, Callable[[], object]] = {
        "open": lambda: process.open(path, O_RDONLY),
        "unlink": lambda: process.unlink(path),
        "watch": lambda: process.watch(path),
        "free_space": lambda: process.free_space(path),
        "create-in-directory": lambda: process.open(f"{path}/file", O_RDWR | O_CREAT),
        "mkdir-in-directory": lambda: process.mkdir(f"{path}/directory"),
        "rename": lambda: process.rename(path, there),
        "link": lambda: process.link(path, there),
        "rename-to-directory": lambda: process.rename(there, f"{path}/file"),
        "link-to-directory": lambda: process.link(there, f"{path}/file"),
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
        pytest.param("create-in-directory", "ENOTDIR", id="create-in-directory"),
        pytest.param("mkdir-in-directory", "ENOTDIR", id="mkdir-in-directory"),
        pytest.param("link", "EEXIST", id="link"),
        pytest.param("link-in-directory", "ENOTDIR", id="link-in-directory"),
        pytest.param("rename-in-directory", "ENOTDIR", id="rename-in-directory"),
        pytest.param("rename-a-directory", "ENOTDIR", id="rename-a-directory"),
        pytest.param("rename-onto-full-directory", "ENOTEMPTY EEXIST", id="rename-onto-full-directory"),
        pytest.param("rename-into-itself", "EINVAL", id="rename-into-itself"),
    ],
)
def test_path_of_existing_file_fails(
    process: Process, file: MakeFile, new_path: NewPath, call: str, error: str
) -> None:
    path, other, directory, full = new_path(), new_path(), new_path(), new_path()
    file(b"abc", O_RDWR, path)
    file(b"abc", O_RDWR, other)
    with setup():
        process.mkdir(directory)
        process.mkdir(full)
        process.close(process.open(f"{full}/file", O_RDWR | O_CREAT))
    calls: dict[str, Callable[[], object]] = {
        "rename-onto-full-directory": lambda: process.rename(directory, full),
        "rename-into-itself": lambda: process.rename(full, f"{full}/directory"),
        "link": lambda: process.link(other, path),
        "link-in-directory": lambda: process.link(other, f"{path}/file"),
        "rename-in-directory": lambda: process.rename(other, f"{path}/file"),
        "rename-a-directory": lambda: process.rename(directory, path),
        "create-exclusively": lambda: process.open(path, O_RDWR | O_CREAT | O_EXCL),
        "mkdir": lambda: process.mkdir(path),
        "open-as-directory": lambda: process.open(path, O_RDONLY | O_DIRECTORY),
        "create-in-directory": lambda: process.open(f"{path}/file", O_RDWR | O_CREAT),
        "mkdir-in-directory": lambda: process.mkdir(f"{path}/directory"),
    }
    with fails(*error.split()):
        calls[call]()


@clause("file.errno")
@pytest.mark.parametrize("call", ["open-for-writing", "pread", "unlink", "rename", "link"])
def test_directory_instead_of_file_fails(process: Process, file: MakeFile, new_path: NewPath, call: str) -> None:
    path, other = new_path(), new_path()
    file(b"abc", O_RDWR, other)
    with setup():
        process.mkdir(path)
        fd = process.open(path, O_RDONLY | O_DIRECTORY)
    calls: dict[str, Callable[[], object]] = {
        "open-for-writing": lambda: process.open(path, O_RDWR),
        "pread": lambda: process.pread(fd, 1, 0),
        "unlink": lambda: process.unlink(path),
        "rename": lambda: process.rename(other, path),
        "link": lambda: process.link(path, new_path()),
    }
    with fails("EPERM" if call == "link" else "EISDIR"):
        calls[call]()


@clause("file.errno")
@pytest.mark.parametrize("call", ["lseek", "pread", "pwrite"])
def test_offset_of_pipe_fails(process: Process, call: str) -> None:
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
def test_fsync_of_pipe_fails(process: Process) -> None:
    with setup():
        end, _ = process.pipe()
    with fails("EINVAL"):
        process.fsync(end)


@clause("file.errno")
def test_drop_cache_of_pipe_fails(process: Process) -> None:
    """The fsync that it begins with has no storage to write to."""
    with setup():
        end, _ = process.pipe()
    with fails("EINVAL"):
        process.drop_cache(end)


@clause("file.errno")
@pytest.mark.parametrize("call", ["ftruncate", "pwrite"])
def test_size_beyond_file_system_limit_fails(process: Process, page: int, file: MakeFile, call: str) -> None:
    fd = file(b"abc")
    end = (1 << 63) - page
    with fails("EFBIG"):
        process.ftruncate(fd, end) if call == "ftruncate" else process.pwrite(fd, b"x", end)
        if process.fstat(fd).size >= end:
            raise Unsupported("this file system allows files of any size that an offset can express")

    assert process.fstat(fd).size == 3


@clause("file.errno")
@pytest.mark.parametrize("call", ["open", "unlink", "ftruncate", "set_old_mtime", "rename", "rename-over", "link"])
def test_change_of_append_only_file_fails(process: Process, file: MakeFile, new_path: NewPath, call: str) -> None:
    path, other = new_path(), new_path()
    fd = file(b"abc", O_RDWR, path)
    file(b"other", O_RDWR, other)
    calls: dict[str, Callable[[], object]] = {
        "open": lambda: process.open(path, O_RDWR),
        "unlink": lambda: process.unlink(path),
        "ftruncate": lambda: process.ftruncate(fd, 1),
        "set_old_mtime": lambda: process.set_old_mtime(fd),
        "rename": lambda: process.rename(path, new_path()),
        "rename-over": lambda: process.rename(other, path),
        "link": lambda: process.link(path, new_path()),
    }
    with append_only(process, fd), fails("EPERM"):
        calls[call]()

    assert process.pread(fd, 4, 0) == b"abc"


@clause("file.errno")
def test_append_only_attribute_requires_capability(process: Process, file: MakeFile) -> None:
    fd = file(b"abc")
    with append_only(process, fd):
        pass
    process.drop_capability("CAP_LINUX_IMMUTABLE")

    with fails("EPERM"):
        process.set_append_only(fd, True)


@clause("file.errno")
def test_seal_through_read_only_descriptor_fails(process: Process) -> None:
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
        pytest.param(O_RDONLY, "record_lock", "EBADF", id="write-lock"),
        pytest.param(O_WRONLY, "pread", "EBADF", id="pread"),
    ],
)
def test_wrong_access_mode_fails(process: Process, file: MakeFile, mode: int, call: str, error: str) -> None:
    fd = file(b"abc", mode)
    calls: dict[str, Callable[[], object]] = {
        "pwrite": lambda: process.pwrite(fd, b"x", 0),
        "ftruncate": lambda: process.ftruncate(fd, 0),
        "record_lock": lambda: process.record_lock(fd, ofd=True),
        "pread": lambda: process.pread(fd, 1, 0),
    }
    with fails(error):
        calls[call]()


@clause("file.errno")
@pytest.mark.parametrize("call", ["ftruncate", "lseek", "lseek-whence", "pread", "pwrite", "flock"])
def test_invalid_argument_fails(process: Process, file: MakeFile, call: str) -> None:
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
def test_lock_held_by_other_process_fails(
    system: System, process: Process, file: MakeFile, new_path: NewPath, lock: str
) -> None:
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
        pytest.param(SEAL_GROW, "write-past-end", id="write-past-end"),
        pytest.param(SEAL_WRITE, "write", id="write"),
    ],
)
def test_sealed_operation_fails(process: Process, page: int, seal: int, call: str) -> None:
    with setup():
        fd = process.memfd()
        process.ftruncate(fd, page)
        process.seal(fd, seal)
    calls: dict[str, Callable[[], object]] = {
        "shrink": lambda: process.ftruncate(fd, 0),
        "grow": lambda: process.ftruncate(fd, 2 * page),
        "write-past-end": lambda: process.pwrite(fd, b"x", page),
        "write": lambda: process.pwrite(fd, b"x", 0),
    }
    with fails("EPERM"):
        calls[call]()


@clause("file.errno")
def test_seal_write_of_mapped_file_fails(process: Process, page: int) -> None:
    with setup():
        fd = process.memfd()
        process.ftruncate(fd, page)
    process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    with fails("EBUSY"):
        process.seal(fd, SEAL_WRITE)


@clause("file.errno")
def test_seal_of_regular_file_fails(process: Process, file: MakeFile) -> None:
    """The file system has no seals (EINVAL), or the file has SEAL_SEAL from the start (tmpfs: EPERM)."""
    fd = file(b"abc")
    with fails("EINVAL", "EPERM"):
        process.seal(fd, SEAL_GROW)
