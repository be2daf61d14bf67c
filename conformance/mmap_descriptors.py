"""Cases of the descriptor of mmap: its number, its access mode and its duplicates."""

from __future__ import annotations

import pytest

from ..contract import (
    MAP_PRIVATE,
    MAP_SHARED,
    O_APPEND,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    Process,
)
from ..testing import clause, fails, needs
from ._helpers import (
    RW,
    MakeFile,
    NewPath,
    assert_nothing_mapped,
    free_range,
    setup,
    shared_and_private,
)


@clause("mmap.fd.zero")
@shared_and_private
def test_descriptor_0_is_valid(process: Process, page: int, file: MakeFile, kind: int) -> None:
    with setup():
        process.close(0)
    fd = file(b"abc")
    assert fd == 0
    base = process.mmap(0, page, PROT_READ, kind, fd, 0)

    assert process.load(base, 3) == b"abc"


@clause("mmap.fd.dup")
@pytest.mark.parametrize("closed", ["original", "duplicate"])
@shared_and_private
def test_duplicate_maps_same_file(process: Process, page: int, file: MakeFile, kind: int, closed: str) -> None:
    """Either descriptor maps the file after the other is closed, and the mappings remain after both are closed."""
    original = file(b"abc")
    with setup():
        duplicate = process.dup(original)
    closed_fd, open_fd = (original, duplicate) if closed == "original" else (duplicate, original)
    first = process.mmap(0, page, PROT_READ, kind, closed_fd, 0)
    process.close(closed_fd)
    second = process.mmap(0, page, PROT_READ, kind, open_fd, 0)
    assert process.load(first, 3) == process.load(second, 3) == b"abc"
    process.close(open_fd)

    assert process.load(first, 3) == process.load(second, 3) == b"abc"


@clause("mmap.fd.dup.mode")
def test_duplicate_has_access_mode_of_original(process: Process, page: int, file: MakeFile) -> None:
    with setup():
        reader = process.dup(file(b"abc", O_RDONLY))
        both = process.dup(file(b"abc", O_RDWR))
    with fails("EACCES"):
        process.mmap(0, page, RW, MAP_SHARED, reader, 0)
    base = process.mmap(0, page, RW, MAP_SHARED, both, 0)
    process.store(base, b"x")

    assert process.pread(both, 3, 0) == b"xbc"


@clause("mmap.fd.append")
def test_store_ignores_o_append(process: Process, page: int, file: MakeFile) -> None:
    """The byte goes to its address, not to the end of the file."""
    fd = file(b"abc", O_RDWR | O_APPEND)
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    process.store(base, b"x")

    assert process.pread(fd, 9, 0) == b"xbc"


@clause("mmap.prot.fd-mode.lasts")
@pytest.mark.parametrize("mode", [pytest.param(O_RDONLY, id="read-only"), pytest.param(O_RDWR, id="read-write")])
def test_permission_depends_on_descriptor_used_for_mmap(
    process: Process, page: int, file: MakeFile, new_path: NewPath, mode: int
) -> None:
    """Reuse of its number by a descriptor with the other access mode changes nothing."""
    path = new_path()
    fd = file(b"abc", mode, path)
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)
    with setup():
        process.close(fd)
        assert process.open(path, O_RDWR if mode == O_RDONLY else O_RDONLY) == fd
    if mode == O_RDONLY:
        with fails("EACCES"):
            process.mprotect(base, page, RW)
    else:
        process.mprotect(base, page, RW)
        process.store(base, b"x")
        assert process.pread(fd, 3, 0) == b"xbc"


@clause("mmap.errno.EACCES.any-prot")
@shared_and_private
@pytest.mark.parametrize(
    "prot",
    [
        pytest.param(PROT_NONE, id="none"),
        pytest.param(PROT_WRITE, id="write"),
        pytest.param(PROT_EXEC, id="exec"),
        pytest.param(PROT_WRITE | PROT_EXEC, id="write-exec", marks=needs("write-exec")),
    ],
)
def test_any_protection_requires_readable_descriptor(
    process: Process, page: int, file: MakeFile, prot: int, kind: int
) -> None:
    fd = file(b"abc", O_WRONLY)
    addr = free_range(process, 1)
    with fails("EACCES"):
        process.mmap(addr, page, prot, kind, fd, 0)

    assert_nothing_mapped(process, addr)


@clause("mmap.prot.fd-mode.private")
@pytest.mark.parametrize("mode", [pytest.param(O_RDONLY, id="read-only"), pytest.param(O_RDWR, id="read-write")])
def test_private_mapping_may_become_writable(process: Process, page: int, file: MakeFile, mode: int) -> None:
    """mprotect allows it for either access mode of the descriptor, as stores do not reach the file."""
    fd = file(b"abc", mode)
    base = process.mmap(0, page, PROT_READ, MAP_PRIVATE, fd, 0)
    process.mprotect(base, page, RW)
    process.store(base, b"x")

    assert process.load(base, 3) == b"xbc"
    assert process.pread(fd, 3, 0) == b"abc"
