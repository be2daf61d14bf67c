"""Test the calls on files and descriptors: their flags and their limits."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable

import pytest

from pytest_mmapconf.contract import (
    LOCK_EX,
    LOCK_NB,
    LOCK_SH,
    LOCK_UN,
    MAP_PRIVATE,
    MAP_SHARED,
    O_APPEND,
    O_CLOEXEC,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_PATH,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
    O_WRONLY,
    PROT_READ,
    PROT_WRITE,
    SEAL_FUTURE_WRITE,
    SEAL_GROW,
    SEAL_SEAL,
    SEAL_SHRINK,
    SEAL_WRITE,
    SEEK_CUR,
    SEEK_END,
    SEEK_SET,
    Unresolved,
)
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.files import LARGEST
from pytest_mmapconf.reference.process import ReferenceProcess
from pytest_mmapconf.testing import fails
from pytest_mmapconf.trace.calls import PROCESS_CALLS, invoke

PAGE = 4096
RW = PROT_READ | PROT_WRITE
FILES_THAT_ARE_NOT_REGULAR = ("/dev/zero", "/dev/null", "/proc/maps")
UNKNOWN = 1 << 23
"""A flag that open does not know and ignores (openat2(2))."""


@pytest.fixture
def process() -> ReferenceProcess:
    return ReferenceBackend().boot().spawn()


def make(process: ReferenceProcess, content: bytes = b"abc", path: str = "f") -> int:
    fd = process.open(path, O_RDWR | O_CREAT)
    process.pwrite(fd, content, 0)
    return fd


# ----------------------------------------------------------------------------------------------------------------- open


@pytest.mark.parametrize(
    ("path", "flags", "errno"),
    [
        ("file", O_RDONLY | O_CREAT | O_CLOEXEC, None),
        ("file", O_RDWR | O_EXCL | O_CLOEXEC, None),
        ("file", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, "EEXIST"),
        ("file", O_RDONLY | O_DIRECTORY | O_CLOEXEC, "ENOTDIR"),
        ("file", O_PATH | O_DIRECTORY, "ENOTDIR"),
        ("file", O_PATH | O_CREAT | O_EXCL | O_CLOEXEC, None),
        ("file/x", O_RDONLY | O_CLOEXEC, "ENOTDIR"),
        ("directory", O_RDONLY | O_CLOEXEC, None),
        ("directory", O_RDONLY | O_DIRECTORY | O_CLOEXEC, None),
        ("directory", O_RDONLY | O_CREAT, "EISDIR"),
        ("directory", O_WRONLY, "EISDIR"),
        ("directory", O_RDWR | UNKNOWN, "EISDIR"),
        ("directory", O_WRONLY | O_PATH, None),
        ("nothing", O_RDWR | O_CLOEXEC, "ENOENT"),
        ("nothing", O_RDWR | O_EXCL, "ENOENT"),
        ("nothing", O_PATH | O_CREAT, "ENOENT"),
        ("nothing", O_RDONLY | O_CREAT | O_CLOEXEC, None),
        ("nothing", O_RDONLY | O_CREAT | O_EXCL, None),
        ("directory/nothing", O_WRONLY | O_CREAT, None),
        ("nothing/at-all", O_WRONLY | O_CREAT, "ENOENT"),
        ("append-only", O_RDONLY | O_CLOEXEC, None),
        ("append-only", O_RDONLY | O_APPEND, None),
        ("append-only", O_WRONLY | O_APPEND, None),
        ("append-only", O_RDWR | O_APPEND | O_CLOEXEC, None),
        ("append-only", O_RDWR, "EPERM"),
        ("append-only", O_WRONLY | O_CLOEXEC, "EPERM"),
        ("append-only", O_RDONLY | O_TRUNC, "EPERM"),
        ("append-only", O_RDWR | O_APPEND | O_TRUNC, "EPERM"),
        ("append-only", O_RDWR | O_TRUNC | O_PATH, None),
        ("append-only", O_WRONLY | UNKNOWN, "EPERM"),
    ],
)
def test_errors_of_open(process: ReferenceProcess, path: str, flags: int, errno: str | None) -> None:
    process.mkdir("directory")
    make(process, path="file")
    process.set_append_only(make(process, path="append-only"), True)

    if errno is None:
        assert process.open(path, flags) == 5
    else:
        with fails(errno):
            process.open(path, flags)


@pytest.mark.parametrize(
    ("flags", "properties"),
    [
        (O_RDONLY, {"readable"}),
        (O_WRONLY, {"writable"}),
        (O_RDWR, {"readable", "writable"}),
        (3, set[str]()),
        (O_WRONLY | UNKNOWN, {"writable"}),
        (O_RDONLY | O_APPEND, {"readable", "append"}),
        (O_RDWR | O_CLOEXEC, {"readable", "writable", "close_on_exec"}),
        (O_WRONLY | O_APPEND | O_CLOEXEC, {"writable", "append", "close_on_exec"}),
        (O_RDWR | O_CREAT | O_TRUNC, {"readable", "writable"}),
        (O_PATH, {"path_only"}),
        (O_RDWR | O_PATH | O_APPEND | O_CLOEXEC, {"path_only", "close_on_exec"}),
    ],
)
def test_properties_of_an_open_file(process: ReferenceProcess, flags: int, properties: set[str]) -> None:
    """The flags have the meaning of open(2); access mode 3 is a descriptor that may neither read nor write."""
    make(process)
    descriptor = process.descriptors[process.open("f", flags)]
    found = {
        name: bool(getattr(descriptor if name == "close_on_exec" else descriptor.description, name))
        for name in ("readable", "writable", "append", "path_only", "close_on_exec")
    }
    assert {name for name, value in found.items() if value} == properties


@pytest.mark.parametrize(
    ("flags", "size"),
    [
        (O_RDWR | O_TRUNC, 0),
        (O_WRONLY | O_TRUNC | O_CLOEXEC, 0),
        (O_RDONLY | O_TRUNC, 3),
        (O_RDWR | O_APPEND | O_CLOEXEC, 3),
        (O_RDWR | O_TRUNC | O_PATH, 3),
    ],
)
def test_open_with_o_trunc_empties_a_file(process: ReferenceProcess, flags: int, size: int) -> None:
    """open(2) leaves O_RDONLY with O_TRUNC unspecified; the reference does not truncate."""
    fd = make(process)
    process.open("f", flags)
    assert process.fstat(fd).size == size


def test_descriptors_survive_exec_unless_close_on_exec(process: ReferenceProcess) -> None:
    make(process)
    kept = [process.open("f", flags) for flags in (O_RDWR, O_PATH, O_RDWR | UNKNOWN)]
    gone = [process.open("f", flags) for flags in (O_RDWR | O_CLOEXEC, O_PATH | O_CLOEXEC)]
    process.exec()
    assert set(kept) <= process.descriptors.keys()
    assert not set(gone) & process.descriptors.keys()


def test_names_of_files_and_directories(process: ReferenceProcess) -> None:
    process.mkdir("d")
    make(process, path="d/f")
    make(process, path="f")
    for path, errno in (("d", "EEXIST"), ("f", "EEXIST"), ("no/d", "ENOENT"), ("f/d", "ENOTDIR")):
        with fails(errno):
            process.mkdir(path)
    for path, errno in (("d", "EISDIR"), ("no", "ENOENT"), ("d/no", "ENOENT")):
        with fails(errno):
            process.unlink(path)
    with fails("ENOENT"):
        process.free_space("no")
    process.unlink("d/f")
    with fails("ENOENT"):
        process.open("d/f", O_RDONLY)
    assert process.open("f", O_RDONLY)


# ---------------------------------------------------------------------------------------------------------- descriptors


@pytest.mark.parametrize("free", [0, 1, 2])
@pytest.mark.parametrize(
    ("call", "arguments", "needs"),
    [
        ("open", ("f", O_RDWR), 1),
        ("dup", (3,), 1),
        ("memfd", (), 1),
        ("watch", ("f",), 1),
        ("pipe", (), 2),
        ("socketpair", (), 2),
    ],
)
def test_number_of_descriptors_that_a_call_needs(
    call: str, arguments: tuple[object, ...], needs: int, free: int
) -> None:
    process = ReferenceBackend(descriptors=300).boot().spawn()
    fd = make(process)
    while len(process.descriptors) < 300 - free:
        process.dup(fd)

    if needs <= free:
        getattr(process, call)(*arguments)
    else:
        with fails("EMFILE"):
            getattr(process, call)(*arguments)
    assert len(process.descriptors) == 300 - free + (needs if needs <= free else 0)


@pytest.mark.parametrize("privileged", [True, False])
def test_limit_of_open_files(privileged: bool) -> None:
    """Only a privileged process exceeds the file table; the terminal takes one entry."""
    process = ReferenceBackend(open_files=300).boot().spawn()
    if not privileged:
        process.drop_capability("CAP_SYS_ADMIN")
    fds = [make(process, b"") for _ in range(299)]
    if not privileged:
        with fails("ENFILE"):
            process.open("f", O_RDWR)
        process.close(fds[0])
    process.open("f", O_RDWR)


@pytest.mark.parametrize(
    ("whence", "offset", "now"),
    [
        (SEEK_SET, 0, 0),
        (SEEK_SET, 9, 9),
        (SEEK_SET, -1, None),
        (SEEK_CUR, -7, 0),
        (SEEK_CUR, 1, 8),
        (SEEK_CUR, -8, None),
        (SEEK_END, -300, 0),
        (SEEK_END, 1, 301),
        (SEEK_END, -301, None),
        (-1, 0, None),
        (5, 0, None),
    ],
)
def test_valid_file_offsets(process: ReferenceProcess, whence: int, offset: int, now: int | None) -> None:
    fd = make(process, b"x" * 300)
    process.lseek(fd, 7, SEEK_SET)

    if now is None:
        with fails("EINVAL"):
            process.lseek(fd, offset, whence)
    else:
        assert process.lseek(fd, offset, whence) == now
    assert process.lseek(fd, 0, SEEK_CUR) == (7 if now is None else now)


# -------------------------------------------------------------------------------------------------------------- content


@pytest.mark.parametrize(("offset", "fits"), [(LARGEST - PAGE, True), (LARGEST - PAGE + 1, False), (LARGEST, False)])
def test_largest_size_of_a_file(process: ReferenceProcess, offset: int, fits: bool) -> None:
    fd = make(process)
    if fits:
        assert process.pwrite(fd, b"x", offset) == 1
        process.ftruncate(fd, offset)
        assert process.fstat(fd).size == offset
    else:
        with fails("EFBIG"):
            process.pwrite(fd, b"x", offset)
        with fails("EFBIG"):
            process.ftruncate(fd, offset)


def test_offsets_and_lengths_are_not_negative(process: ReferenceProcess) -> None:
    fd = make(process)
    for call in (
        lambda: process.pread(fd, 1, -1),
        lambda: process.pwrite(fd, b"x", -1),
        lambda: process.ftruncate(fd, -1),
    ):
        with fails("EINVAL"):
            call()
    assert process.pread(fd, 1, 0) == b"a"
    assert process.pwrite(fd, b"x", 0) == 1
    process.ftruncate(fd, 0)


@pytest.mark.parametrize("kind", ["pipe", "socketpair"])
def test_files_without_positioned_reads_and_writes(process: ReferenceProcess, kind: str) -> None:
    reader, writer = getattr(process, kind)()
    positioned: list[Callable[[], object]] = [
        lambda: process.pread(reader, 1, 0),
        lambda: process.pwrite(writer, b"x", 0),
        lambda: process.lseek(reader, 0, SEEK_SET),
    ]
    stored: list[Callable[[], object]] = [
        lambda: process.ftruncate(writer, 0),
        lambda: process.fsync(writer),
        lambda: process.drop_cache(writer),
    ]
    for call in positioned:
        with fails("ESPIPE"):
            call()
    for call in stored:
        with fails("EINVAL"):
            call()
    assert process.fstat(writer) == ("fifo" if kind == "pipe" else "socket", 0)


@pytest.mark.parametrize(
    ("before", "offset", "length", "room", "written", "after"),
    [
        (0, 0, 1, 0, 0, 0),
        (0, 2 * PAGE, 5, 0, 0, 0),
        (10, 3 * PAGE, 5, 1, 0, 10),
        (10, 5, 9, 1, 9, 14),
        (PAGE, PAGE - 5, 3 * PAGE, 2, PAGE + 5, 2 * PAGE),
        (PAGE, PAGE, 3 * PAGE, 3, 2 * PAGE, 3 * PAGE),
        (-10 * PAGE, 2 * PAGE, 3 * PAGE, 1, PAGE, -10 * PAGE),
        (-10 * PAGE, 2 * PAGE + 1, 3 * PAGE, 0, 0, -10 * PAGE),
    ],
)
def test_bytes_written_when_the_disk_is_full(
    process: ReferenceProcess, before: int, offset: int, length: int, room: int, written: int, after: int
) -> None:
    """`room`: pages that the disk has free.  A negative size is that of a file that is one hole."""
    fd = make(process, b"", "/own/f")
    disk = process.machine.mounts["own"].disk
    disk.capacity = room * PAGE
    if before < 0:
        process.ftruncate(fd, -before)
    else:
        process.pwrite(fd, b"a" * before, 0)

    if written:
        assert process.pwrite(fd, b"x" * length, offset) == written
    else:
        with fails("ENOSPC"):
            process.pwrite(fd, b"x" * length, offset)
    assert process.fstat(fd).size == abs(after)
    assert process.pread(fd, length, offset)[:written] == b"x" * written


@pytest.mark.parametrize("path", FILES_THAT_ARE_NOT_REGULAR)
def test_a_device_accepts_and_discards_writes(process: ReferenceProcess, path: str) -> None:
    fd = process.open(path, O_RDWR)
    before = process.fstat(fd).size
    assert process.pwrite(fd, b"x" * 300, 5) == 300
    assert process.fstat(fd).size == before
    assert b"xx" not in process.pread(fd, 300, 0)


def test_a_write_of_no_bytes_changes_nothing(process: ReferenceProcess) -> None:
    fd = make(process)
    assert process.pwrite(fd, b"", 300) == 0
    assert process.fstat(fd).size == 3


def test_calls_on_a_directory(process: ReferenceProcess) -> None:
    fd = process.open(".", O_RDONLY)
    process.fsync(fd)
    process.drop_cache(fd)
    with fails("EINVAL"):
        process.ftruncate(fd, 0)
    with fails("EISDIR"):
        process.pread(fd, 1, 0)


@pytest.mark.parametrize("now", [True, False])
@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("privileged", [True, False])
def test_setting_append_only_requires_a_capability(
    process: ReferenceProcess, now: bool, wanted: bool, privileged: bool
) -> None:
    fd = make(process)
    process.set_append_only(fd, now)
    if not privileged:
        process.drop_capability("CAP_LINUX_IMMUTABLE")
    if privileged or now is wanted:
        process.set_append_only(fd, wanted)
        now = wanted
    else:
        with fails("EPERM"):
            process.set_append_only(fd, wanted)
    assert process.descriptors[fd].description.inode.append_only is now


def test_every_inotify_watch_gets_the_event(process: ReferenceProcess) -> None:
    fds = [make(process), make(process)]
    watches = [process.watch("f") for _ in range(3)]
    for fd in fds:
        process.close(fd)
    assert [process.close_events(watch) for watch in watches] == [1, 1, 1]


# ---------------------------------------------------------------------------------------------------------------- seals


@pytest.mark.parametrize(
    ("seals", "refused"),
    [
        (0, set[str]()),
        (SEAL_SHRINK, {"shorter"}),
        (SEAL_GROW, {"longer", "append"}),
        (SEAL_SHRINK | SEAL_GROW, {"shorter", "longer", "append"}),
        (SEAL_WRITE, {"write", "append"}),
        (SEAL_FUTURE_WRITE, {"write", "append"}),
        (SEAL_SEAL, {"seal"}),
        (SEAL_SEAL | SEAL_GROW | SEAL_WRITE, {"seal", "longer", "write", "append"}),
    ],
)
def test_calls_that_a_seal_refuses(process: ReferenceProcess, seals: int, refused: set[str]) -> None:
    calls: dict[str, Callable[[int], object]] = {
        "shorter": lambda fd: process.ftruncate(fd, 299),
        "as-long": lambda fd: process.ftruncate(fd, 300),
        "longer": lambda fd: process.ftruncate(fd, 301),
        "write": lambda fd: process.pwrite(fd, b"x", 299),
        "append": lambda fd: process.pwrite(fd, b"x", 300),
        "seal": lambda fd: process.seal(fd, SEAL_SHRINK),
    }
    for name, call in calls.items():
        fd = process.memfd()
        process.pwrite(fd, bytes(300), 0)
        process.seal(fd, seals)
        if name in refused:
            with fails("EPERM"):
                call(fd)
        else:
            call(fd)


@pytest.mark.parametrize("first", [SEAL_SHRINK, SEAL_WRITE])
def test_seals_are_added_to_the_existing_ones(process: ReferenceProcess, first: int) -> None:
    fd = process.memfd()
    process.seal(fd, first)
    process.seal(fd, first | SEAL_GROW)
    assert process.descriptors[fd].description.inode.seals == first | SEAL_GROW


@pytest.mark.parametrize(
    ("flags", "type_", "prot", "seals", "busy"),
    [
        (O_RDWR, MAP_SHARED, RW, SEAL_WRITE, True),
        (O_RDWR, MAP_SHARED, PROT_READ, SEAL_WRITE | SEAL_GROW, True),
        (O_RDWR, MAP_SHARED, RW, SEAL_FUTURE_WRITE, False),
        (O_RDWR, MAP_SHARED, RW, SEAL_SHRINK | SEAL_GROW, False),
        (O_RDONLY, MAP_SHARED, PROT_READ, SEAL_WRITE, False),
        (O_RDWR, MAP_PRIVATE, RW, SEAL_WRITE, False),
    ],
)
def test_mappings_that_prevent_a_seal(
    process: ReferenceProcess, flags: int, type_: int, prot: int, seals: int, busy: bool
) -> None:
    """Shared mappings that are writable, now or after mprotect, prevent the seal against writing."""
    fd = process.memfd()
    process.ftruncate(fd, PAGE)
    process.mmap(0, PAGE, prot, type_, process.open(f"/dev/fd/{fd}", flags), 0)

    if busy:
        with fails("EBUSY"):
            process.seal(fd, seals)
    else:
        process.seal(fd, seals)


def test_sealing_requires_a_writable_descriptor(process: ReferenceProcess) -> None:
    fd = process.memfd()
    with fails("EPERM"):
        process.seal(process.open(f"/dev/fd/{fd}", O_RDONLY), SEAL_GROW)
    for fd in (make(process), process.open(".", O_RDONLY), process.pipe()[1]):
        with fails("EINVAL"):
            process.seal(fd, SEAL_GROW)


def test_the_storage_of_a_file_in_memory_is_freed(process: ReferenceProcess) -> None:
    fd = process.memfd()
    process.pwrite(fd, b"x" * 3 * PAGE, 0)
    disk = process.machine.memory_files.disk
    assert disk.used == 3 * PAGE
    process.close(fd)
    assert disk.used == 0


# ---------------------------------------------------------------------------------------------------------------- locks


@pytest.mark.parametrize(
    ("mine", "others"),
    [(None, None), (None, LOCK_SH), (None, LOCK_EX), (LOCK_SH, None), (LOCK_EX, None), (LOCK_SH, LOCK_SH)],
)
@pytest.mark.parametrize("wanted", [0, LOCK_SH, LOCK_EX, LOCK_SH | LOCK_EX, LOCK_UN, LOCK_UN | LOCK_SH, 16, -8])
def test_flock_conflicts(process: ReferenceProcess, mine: int | None, others: int | None, wanted: int) -> None:
    """A lock is shared by any number or exclusive; a request that fails loses the lock already held."""
    fd, other = make(process), process.open("f", O_RDONLY)
    for one, lock in ((fd, mine), (other, others)):
        if lock is not None:
            process.flock(one, lock)
    known = wanted in (LOCK_SH, LOCK_EX, LOCK_UN)
    held = (wanted == LOCK_SH and others == LOCK_EX) or (wanted == LOCK_EX and others is not None)

    if not known:
        with fails("EINVAL"):
            process.flock(fd, wanted)
    elif held:
        with pytest.raises(Unresolved, match="would wait"):
            process.flock(fd, wanted)
        with fails("EAGAIN"):
            process.flock(fd, wanted | LOCK_NB)
    else:
        process.flock(fd, wanted | LOCK_NB)
    now = mine if not known else None if held or wanted == LOCK_UN else wanted
    descriptions = [process.descriptors[one].description for one in (fd, other)]
    locks = process.descriptors[fd].description.inode.flocks or {}
    assert [locks.get(description) for description in descriptions] == [now, others]


def test_a_write_record_lock_requires_a_writable_descriptor(process: ReferenceProcess) -> None:
    make(process)
    for flags in (O_RDONLY, O_PATH | O_RDWR):
        with fails("EBADF"):
            process.record_lock(process.open("f", flags), ofd=True)
    process.record_lock(process.open("f", O_WRONLY), ofd=True)


def test_truncating_an_empty_file_and_a_refused_write_may_mark_it_as_modified() -> None:
    process = ReferenceBackend().boot().spawn()
    fd = process.open("f", O_RDWR | O_CREAT)
    process.set_old_mtime(fd)
    assert process.has_old_mtime(fd)
    process.open("f", O_RDWR | O_TRUNC)
    assert not process.has_old_mtime(fd)

    sealed = process.memfd()
    process.seal(sealed, SEAL_WRITE)
    process.set_old_mtime(sealed)
    with fails("EPERM"):
        process.pwrite(sealed, b"p", 0)
    assert not process.has_old_mtime(sealed)


def descriptors(process: ReferenceProcess) -> list[int]:
    """Open a file of each kind, and return the descriptors, and two numbers that are none."""
    paths = [".", *FILES_THAT_ARE_NOT_REGULAR]
    made = [make(process), *(process.open(path, O_RDONLY) for path in paths), process.open("f", O_PATH)]
    return [*made, *process.pipe(), *process.socketpair(), process.memfd(), process.watch("f"), 99, -1]


@pytest.mark.parametrize("call", [name for name, call in PROCESS_CALLS.items() if "fd" in call.arguments])
def test_every_call_is_defined_for_every_kind_of_file(process: ReferenceProcess, call: str) -> None:
    values = {"length": (0, PAGE), "prot": (RW,), "flags": (MAP_SHARED,), "data": (b"", b"x"), "on": (True,)}
    names = PROCESS_CALLS[call].arguments
    for fd in descriptors(process):
        for arguments in itertools.product(*((fd,) if name == "fd" else values.get(name, (0,)) for name in names)):
            with contextlib.suppress(OSError):
                invoke(process, call, arguments)
            process.audit([], [fd])
