"""Cases of every errno of mmap and each of its causes; a failed call changes no mapping."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ..contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_HUGETLB,
    MAP_LOCKED,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MAP_SYNC,
    MCL_FUTURE,
    O_APPEND,
    O_CREAT,
    O_DIRECTORY,
    O_PATH,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    SEAL_WRITE,
    Facility,
    Process,
    Resource,
    System,
    Unsupported,
)
from ..testing import clause, fails, needs
from ._helpers import (
    ANONYMOUS,
    RW,
    MakeFile,
    NewPath,
    append_only,
    assert_inaccessible,
    assert_nothing_mapped,
    free_range,
    lock_from_another_process,
    pages_of,
    prot_id,
    setup,
    shared_and_private,
)

prot_none_and_read = pytest.mark.parametrize("prot", [PROT_NONE, PROT_READ], ids=prot_id)


@contextmanager
def fails_unmapped(process: Process, file: MakeFile, page: int, *errors: str) -> Iterator[int]:
    """Check that the mmap call in the block fails with one of these errnos and changes no mapping.

    The value is an unmapped address for the call, where nothing is mapped afterwards.
    """
    addr = free_range(process, 1)
    witness = process.mmap(0, page, PROT_READ, MAP_SHARED, file(b"witness"), 0)
    with fails(*errors):
        yield addr
    assert_inaccessible(process, addr)
    assert process.load(witness, 7) == b"witness"


@contextmanager
def fails_keeping_mapping(process: Process, file: MakeFile, page: int, *errors: str) -> Iterator[int]:
    """Check that the MAP_FIXED call in the block fails; the value is the address of pages that keep their content."""
    content = pages_of(page, "a", "b")
    base = process.mmap(0, 2 * page, PROT_READ, MAP_SHARED, file(content), 0)
    with fails(*errors):
        yield base
    assert process.load(base, 2 * page) == content


@needs("upper-addresses-outside")
def too_long(process: Process, page: int) -> int:
    """Return a length that exceeds the address space, while offset + length does not overflow."""
    return 1 << 62 if process.bits == 64 else (1 << process.bits) - page


# ------------------------------------------------------------------------------------------------------------- EACCES


@clause("mmap.errno.EACCES", "mmap.result.failure")
@shared_and_private
@pytest.mark.parametrize("prot", [PROT_NONE, PROT_READ, PROT_WRITE, PROT_EXEC], ids=prot_id)
def test_write_only_descriptor_fails(process: Process, page: int, file: MakeFile, prot: int, kind: int) -> None:
    fd = file(b"abc", O_WRONLY)
    with fails_unmapped(process, file, page, "EACCES") as addr:
        process.mmap(addr, page, prot, kind, fd, 0)


@clause("mmap.errno.EACCES", "mmap.prot.fd-mode", "mmap.result.failure")
@pytest.mark.parametrize("prot", [PROT_WRITE, RW], ids=prot_id)
def test_shared_writable_mapping_of_read_only_descriptor_fails(
    process: Process, page: int, file: MakeFile, prot: int
) -> None:
    fd = file(b"abc", O_RDONLY)
    with fails_unmapped(process, file, page, "EACCES") as addr:
        process.mmap(addr, page, prot, MAP_SHARED, fd, 0)


@clause("mmap.errno.EACCES.append-only")
@pytest.mark.parametrize("prot", [PROT_NONE, PROT_READ, PROT_WRITE], ids=prot_id)
def test_shared_mapping_of_append_only_file_fails(process: Process, page: int, file: MakeFile, prot: int) -> None:
    fd = file(b"abc")
    with append_only(process, fd), fails_unmapped(process, file, page, "EACCES") as addr:
        process.mmap(addr, page, prot, MAP_SHARED, fd, 0)


@clause("mmap.errno.EACCES.append-only")
def test_private_or_read_only_mapping_of_append_only_file_succeeds(
    process: Process, page: int, file: MakeFile, new_path: NewPath
) -> None:
    """A private mapping, and a shared one through a read-only descriptor, succeed."""
    path = new_path()
    fd = file(b"abc", O_RDWR, path)
    with setup():
        reader = process.open(path, O_RDONLY)
    with append_only(process, fd):
        private = process.mmap(0, page, RW, MAP_PRIVATE, fd, 0)
        shared = process.mmap(0, page, PROT_READ, MAP_SHARED, reader, 0)

    assert process.load(private, 3) == process.load(shared, 3) == b"abc"


@clause("mmap.errno.EACCES.append-only")
def test_o_append_descriptor_can_be_mapped_shared(process: Process, page: int, file: MakeFile) -> None:
    base = process.mmap(0, page, RW, MAP_SHARED, file(b"abc", O_RDWR | O_APPEND), 0)

    assert process.load(base, 3) == b"abc"


# ------------------------------------------------------------------------------------------------------------- EAGAIN


@clause("mmap.errno.EAGAIN", "mmap.result.failure")
def test_mandatory_lock_of_other_process_fails(system: System, process: Process, page: int, file: MakeFile) -> None:
    path = system.facility(Facility.MANDATORY_LOCK)
    with setup():
        fd = process.open(path, O_RDWR)
    with fails_unmapped(process, file, page, "EAGAIN") as addr:
        process.mmap(addr, page, RW, MAP_SHARED, fd, 0)


@clause("mmap.errno.EAGAIN.advisory")
@pytest.mark.parametrize("lock", ["flock", "ofd", "record"])
def test_advisory_lock_of_other_process_is_ignored(
    system: System, process: Process, page: int, file: MakeFile, new_path: NewPath, lock: str
) -> None:
    path = new_path()
    fd = file(b"abc", O_RDWR, path)
    lock_from_another_process(system, path, lock)
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)

    assert process.load(base, 3) == b"abc"


@clause("mmap.flag.locked")
def test_map_locked_past_locked_memory_limit_fails(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"abc")
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 2 * page)
    with fails_unmapped(process, file, page, "EAGAIN") as addr:
        process.mmap(addr, 3 * page, PROT_READ, MAP_PRIVATE | MAP_LOCKED, fd, 0)

    base = process.mmap(0, page, PROT_READ, MAP_PRIVATE | MAP_LOCKED, fd, 0)
    assert process.load(base, 3) == b"abc"


@clause("mmap.errno.EAGAIN.memory")
def test_mapping_past_locked_memory_limit_after_mlockall_fails(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"abc")
    addr = free_range(process, 1)
    witness = process.mmap(0, page, PROT_READ, MAP_SHARED, file(b"witness"), 0)
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 2 * page)
    process.mlockall(MCL_FUTURE)
    with fails("EAGAIN"):
        process.mmap(addr, 3 * page, PROT_READ, MAP_PRIVATE, fd, 0)
    # Until here an emulator that runs the process has no memory for itself either.
    process.munlockall()

    assert_inaccessible(process, addr)
    assert process.load(witness, 7) == b"witness"


# -------------------------------------------------------------------------------------------------------------- EBADF


@clause("mmap.errno.EBADF", "mmap.result.failure")
@shared_and_private
@pytest.mark.parametrize(
    "fd",
    [
        pytest.param(-1, id="minus-one"),
        pytest.param(-2, id="minus-two"),
        pytest.param(-(1 << 31), id="lowest"),
        pytest.param(50, id="never-opened"),
        pytest.param(1 << 30, id="past-descriptor-limit"),
        pytest.param((1 << 31) - 1, id="highest"),
    ],
)
def test_invalid_descriptor_fails(process: Process, page: int, file: MakeFile, fd: int, kind: int) -> None:
    with fails_unmapped(process, file, page, "EBADF") as addr:
        process.mmap(addr, page, PROT_READ, kind, fd, 0)


@clause("mmap.errno.EBADF", "mmap.result.failure")
@shared_and_private
def test_closed_descriptor_fails(process: Process, page: int, file: MakeFile, kind: int) -> None:
    addr = free_range(process, 1)
    fd = file(b"abc")
    with setup():
        process.close(fd)
    with fails("EBADF"):
        process.mmap(addr, page, PROT_READ, kind, fd, 0)

    assert_inaccessible(process, addr)


@clause("mmap.errno.EBADF", "mmap.result.failure")
@shared_and_private
def test_invalid_descriptor_with_fixed_fails(process: Process, page: int, file: MakeFile, kind: int) -> None:
    with fails_keeping_mapping(process, file, page, "EBADF") as base:
        process.mmap(base, page, PROT_READ, kind | MAP_FIXED, -1, 0)


@clause("mmap.errno.EBADF.path")
@shared_and_private
def test_o_path_descriptor_fails(process: Process, page: int, file: MakeFile, new_path: NewPath, kind: int) -> None:
    path = new_path()
    file(b"abc", O_RDWR, path)
    with setup():
        fd = process.open(path, O_PATH)
    with fails_unmapped(process, file, page, "EBADF") as addr:
        process.mmap(addr, page, PROT_READ, kind, fd, 0)


# ------------------------------------------------------------------------------------------------------------- EINVAL


@clause("mmap.errno.EINVAL", "mmap.result.failure")
@shared_and_private
@pytest.mark.parametrize("content", [pytest.param(b"abc", id="file"), pytest.param(b"", id="empty-file")])
def test_zero_length_fails(process: Process, page: int, file: MakeFile, content: bytes, kind: int) -> None:
    fd = file(content)
    with fails_unmapped(process, file, page, "EINVAL") as addr:
        process.mmap(addr, 0, PROT_READ, kind, fd, 0)


@clause("mmap.flag.anonymous")
@shared_and_private
def test_zero_length_of_anonymous_memory_fails(process: Process, page: int, file: MakeFile, kind: int) -> None:
    with fails_unmapped(process, file, page, "EINVAL") as addr:
        process.mmap(addr, 0, PROT_READ, kind | MAP_ANONYMOUS, -1, 0)


@clause("mmap.errno.EINVAL", "mmap.result.failure")
def test_zero_length_with_fixed_fails(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"abc")
    with fails_keeping_mapping(process, file, page, "EINVAL") as base:
        process.mmap(base, 0, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)


UNALIGNED: dict[str, Callable[[int], int]] = {
    "one-byte": lambda page: 1,
    "half-a-page": lambda page: page // 2,
    "one-page-minus-one-byte": lambda page: page - 1,
    "one-page-plus-one-byte": lambda page: page + 1,
}


@clause("mmap.errno.EINVAL.offset")
@shared_and_private
@pytest.mark.parametrize("offset", UNALIGNED)
def test_unaligned_offset_fails(process: Process, page: int, file: MakeFile, offset: str, kind: int) -> None:
    fd = file(pages_of(page, "a", "b", "c"))
    with fails_unmapped(process, file, page, "EINVAL") as addr:
        process.mmap(addr, page, PROT_READ, kind, fd, UNALIGNED[offset](page))


@clause("mmap.flag.anonymous")
def test_unaligned_offset_of_anonymous_memory_fails(process: Process, page: int, file: MakeFile) -> None:
    with fails_unmapped(process, file, page, "EINVAL") as addr:
        process.mmap(addr, page, PROT_READ, ANONYMOUS, -1, 1)


@clause("mmap.errno.EINVAL", "mmap.result.failure")
def test_unaligned_offset_with_fixed_fails(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"abc")
    with fails_keeping_mapping(process, file, page, "EINVAL") as base:
        process.mmap(base, page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 1)


@clause("mmap.errno.EINVAL", "mmap.flag.fixed", "mmap.result.failure")
@shared_and_private
@pytest.mark.parametrize("distance", ["one-byte", "half-a-page", "one-page-minus-one-byte"])
def test_unaligned_fixed_address_fails(process: Process, page: int, file: MakeFile, distance: str, kind: int) -> None:
    fd = file(b"abc")
    with fails_keeping_mapping(process, file, page, "EINVAL") as base:
        process.mmap(base + UNALIGNED[distance](page), page, PROT_READ, kind | MAP_FIXED, fd, 0)


@clause("mmap.errno.EINVAL", "mmap.flag.fixed", "mmap.result.failure")
def test_unaligned_fixed_address_in_unmapped_range_fails(process: Process, page: int, file: MakeFile) -> None:
    """The address is not rounded: neither page becomes mapped."""
    addr = free_range(process, 2)
    fd = file(b"abc")
    with fails("EINVAL"):
        process.mmap(addr + 1, page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)

    assert_inaccessible(process, addr)
    assert_inaccessible(process, addr + page)


@clause("mmap.errno.EINVAL.type")
def test_missing_type_fails(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"abc")
    with fails_unmapped(process, file, page, "EINVAL") as addr:
        process.mmap(addr, page, PROT_READ, 0, fd, 0)


@clause("mmap.errno.EINVAL.unknown-type")
@pytest.mark.parametrize("kind", [4, 5, 12, 15], ids=str)
def test_unknown_type_fails(process: Process, page: int, file: MakeFile, kind: int) -> None:
    fd = file(b"abc")
    with fails_unmapped(process, file, page, "EINVAL") as addr:
        process.mmap(addr, page, PROT_READ, kind, fd, 0)


@clause("mmap.errno.EINVAL.unknown-type")
@pytest.mark.parametrize("kind", [4, 5, 12, 15], ids=str)
def test_unknown_type_of_anonymous_memory_fails(process: Process, page: int, file: MakeFile, kind: int) -> None:
    with fails_unmapped(process, file, page, "EINVAL") as addr:
        process.mmap(addr, page, PROT_READ, kind | MAP_ANONYMOUS, -1, 0)


@clause("mmap.errno.EINVAL.flags")
@pytest.mark.parametrize(
    "flags",
    [
        pytest.param(MAP_SHARED | MAP_GROWSDOWN, id="growsdown-shared"),
        pytest.param(MAP_PRIVATE | MAP_GROWSDOWN, id="growsdown-private"),
        pytest.param(MAP_PRIVATE | MAP_HUGETLB, id="hugetlb"),
    ],
)
def test_flag_invalid_for_file_fails(process: Process, page: int, file: MakeFile, flags: int) -> None:
    fd = file(b"abc")
    with fails_unmapped(process, file, page, "EINVAL") as addr:
        process.mmap(addr, page, PROT_READ, flags, fd, 0)


@clause("mmap.errno.EINVAL.flags")
def test_shared_anonymous_growsdown_fails(process: Process, page: int, file: MakeFile) -> None:
    with fails_unmapped(process, file, page, "EINVAL") as addr:
        process.mmap(addr, page, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0)


@clause("mmap.flag.shared-validate", "mmap.flag.anonymous")
def test_shared_validate_of_anonymous_memory_fails(process: Process, page: int, file: MakeFile) -> None:
    with fails_unmapped(process, file, page, "EINVAL") as addr:
        process.mmap(addr, page, PROT_READ, MAP_SHARED_VALIDATE | MAP_ANONYMOUS, -1, 0)


# ------------------------------------------------------------------------------------------------------------- ENFILE


@clause("mmap.errno.ENFILE", "mmap.result.failure")
def test_shared_anonymous_memory_with_full_file_table_fails(system: System, process: Process, page: int) -> None:
    addr = free_range(process, 1)
    process.drop_capability("CAP_SYS_ADMIN")
    with system.full_file_table(), fails("ENFILE"):
        process.mmap(addr, page, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0)

    assert_inaccessible(process, addr)


@clause("mmap.errno.ENFILE", "mmap.result.failure")
def test_shared_zero_device_with_full_file_table_fails(system: System, process: Process, page: int) -> None:
    """The descriptor is O_RDWR: on Linux a mapping through a read-only one shares nothing."""
    path = system.facility(Facility.DEV_ZERO)
    with setup():
        fd = process.open(path, O_RDWR)
    addr = free_range(process, 1)
    process.drop_capability("CAP_SYS_ADMIN")
    with system.full_file_table(), fails("ENFILE"):
        process.mmap(addr, page, PROT_READ, MAP_SHARED, fd, 0)

    assert_inaccessible(process, addr)


@clause("mmap.errno.ENFILE")
@shared_and_private
def test_open_file_with_full_file_table_is_mapped(
    system: System, process: Process, page: int, file: MakeFile, kind: int
) -> None:
    """The mapping needs no further entry of the file table."""
    fd = file(b"abc")
    process.drop_capability("CAP_SYS_ADMIN")
    with system.full_file_table():
        base = process.mmap(0, page, PROT_READ, kind, fd, 0)

    assert process.load(base, 3) == b"abc"


# ------------------------------------------------------------------------------------------------------------- ENODEV


@shared_and_private
@prot_none_and_read
@pytest.mark.parametrize(
    "object_type",
    [
        pytest.param("pipe", marks=clause("mmap.errno.ENODEV.pipe")),
        pytest.param("socket", marks=clause("mmap.errno.ENODEV.socket")),
        pytest.param("directory", marks=clause("mmap.errno.ENODEV.directory")),
        pytest.param("dev-null", marks=clause("mmap.errno.ENODEV.device")),
        pytest.param("dev-random", marks=clause("mmap.errno.ENODEV.device")),
        pytest.param("proc-file", marks=clause("mmap.errno.ENODEV.proc")),
        pytest.param("sys-file", marks=clause("mmap.errno.ENODEV.sys")),
        pytest.param("watch", marks=clause("mmap.errno.ENODEV.nameless")),
    ],
)
def test_unmappable_descriptor_fails(
    system: System,
    process: Process,
    page: int,
    file: MakeFile,
    new_path: NewPath,
    object_type: str,
    prot: int,
    kind: int,
) -> None:
    fd = open_unmappable(system, process, new_path, object_type)
    with fails_unmapped(process, file, page, "ENODEV") as addr:
        process.mmap(addr, page, prot, kind, fd, 0)


@clause("mmap.errno.ENODEV", "mmap.result.failure")
@shared_and_private
@prot_none_and_read
def test_pipe_cannot_be_mapped(
    system: System, process: Process, page: int, file: MakeFile, new_path: NewPath, prot: int, kind: int
) -> None:
    """The set of unmappable objects depends on the system; other cases judge each kind of file."""
    fd = open_unmappable(system, process, new_path, "pipe")
    with fails_unmapped(process, file, page, "ENODEV") as addr:
        process.mmap(addr, page, prot, kind, fd, 0)


def open_unmappable(system: System, process: Process, new_path: NewPath, object_type: str) -> int:
    """Return a descriptor, open for reading, of an object that cannot be mapped."""
    if object_type in ("pipe", "socket", "directory", "watch"):
        with setup():
            if object_type == "pipe":
                return process.pipe()[0]
            if object_type == "socket":
                return process.socketpair()[0]
            if object_type == "watch":
                return process.watch(".")
            path = new_path()
            process.mkdir(path)
            return process.open(path, O_RDONLY | O_DIRECTORY)
    path = system.facility(Facility(object_type))
    with setup():
        return process.open(path, O_RDONLY)


# ------------------------------------------------------------------------------------------------------------- ENOMEM

MAX_TESTED_MAPPING_LIMIT = 262_144
"""The largest limit of mappings that is tested; reaching a larger one takes too long."""

TOO_LONG = ["past-address-space", "address-space-minus-one-page", "rounds-up-to-zero"]


@needs("upper-addresses-outside")
def long_length(process: Process, page: int, name: str) -> int:
    """Return the length with this name of TOO_LONG."""
    space = 1 << process.bits
    return {
        "past-address-space": too_long(process, page),
        "address-space-minus-one-page": space - page,
        "rounds-up-to-zero": space - 1,
    }[name]


@clause("mmap.errno.ENOMEM", "mmap.result.failure")
@pytest.mark.parametrize("length", TOO_LONG)
def test_length_past_address_space_fails(process: Process, page: int, file: MakeFile, length: str) -> None:
    """The specification can also be read as requiring EOVERFLOW."""
    fd = file(b"abc")
    with fails_unmapped(process, file, page, "ENOMEM", "EOVERFLOW") as addr:
        process.mmap(addr, long_length(process, page, length), PROT_READ, MAP_SHARED, fd, 0)


@clause("mmap.errno.ENOMEM.range")
@shared_and_private
def test_file_mapping_past_address_space_fails_with_enomem(
    process: Process, page: int, file: MakeFile, kind: int
) -> None:
    fd = file(b"abc")
    with fails_unmapped(process, file, page, "ENOMEM") as addr:
        process.mmap(addr, too_long(process, page), PROT_READ, kind, fd, 0)


@clause("mmap.errno.ENOMEM.range")
@pytest.mark.parametrize("length", TOO_LONG)
def test_anonymous_memory_past_address_space_fails(process: Process, page: int, file: MakeFile, length: str) -> None:
    with fails_unmapped(process, file, page, "ENOMEM") as addr:
        process.mmap(addr, long_length(process, page, length), PROT_NONE, ANONYMOUS, -1, 0)


@clause("mmap.flag.fixed", "mmap.result.failure")
@pytest.mark.parametrize("place", ["last-page", "middle-of-address-space", "free-address-past-end"])
def test_fixed_range_outside_address_space_fails(process: Process, page: int, file: MakeFile, place: str) -> None:
    """The specification has three errnos that apply."""
    fd = file(b"abc")
    with fails_unmapped(process, file, page, "ENOMEM", "EOVERFLOW", "EINVAL") as addr:
        process.mmap(*range_outside_address_space(process, page, place, addr), PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)


@clause("mmap.errno.ENOMEM.range")
@pytest.mark.parametrize("place", ["last-page", "middle-of-address-space", "free-address-past-end"])
def test_fixed_range_outside_address_space_fails_with_enomem(
    process: Process, page: int, file: MakeFile, place: str
) -> None:
    fd = file(b"abc")
    with fails_unmapped(process, file, page, "ENOMEM", "EINVAL") as addr:  # POSIX: or addr is not valid
        process.mmap(*range_outside_address_space(process, page, place, addr), PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)


@needs("upper-addresses-outside")
def range_outside_address_space(process: Process, page: int, place: str, addr: int) -> tuple[int, int]:
    """Return address and length of a range that starts or, from `addr`, ends outside the address space."""
    space = 1 << process.bits
    if place == "free-address-past-end":
        return addr, too_long(process, page)
    # The upper half belongs to the kernel with 64-bit addresses, but not necessarily with 32-bit addresses.
    start = space // 2 if place == "middle-of-address-space" and process.bits == 64 else space - page
    return start, page


@clause("mmap.errno.ENOMEM", "mmap.result.failure")
@shared_and_private
def test_mapping_past_address_space_limit_fails(process: Process, page: int, file: MakeFile, kind: int) -> None:
    """The process's own memory counts and varies, so the headroom is large and the length larger still."""
    fd = file(b"abc")
    addr = free_range(process, 1)
    process.set_limit_headroom(Resource.ADDRESS_SPACE, 64 * page)
    with fails("ENOMEM"):
        process.mmap(addr, 256 * page, PROT_READ, kind, fd, 0)

    assert_inaccessible(process, addr)
    base = process.mmap(0, page, PROT_READ, kind, fd, 0)
    assert process.load(base, 3) == b"abc"


@clause("mmap.errno.ENOMEM", "mmap.result.failure")
def test_mapping_past_mapping_limit_fails(system: System, process: Process, page: int, file: MakeFile) -> None:
    """Splitting or mapping reaches the limit first; mmap fails with ENOMEM, or with POSIX's EMFILE for this limit."""
    limit = system.mapping_limit()
    if limit > MAX_TESTED_MAPPING_LIMIT:
        raise Unsupported(f"the case would need {limit} mappings")
    fd = file(b"abc")
    pages = limit + 4
    base = process.mmap(0, pages * page, PROT_NONE, MAP_SHARED, fd, 0)
    assert process.fragment(base, pages) in (None, "ENOMEM", "EMFILE")
    with fails("ENOMEM", "EMFILE"):
        for _ in range(8):
            process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)

    process.munmap(base, pages * page)
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)
    assert process.load(base, 3) == b"abc"


@clause("mmap.result.failure.fixed")
def test_fixed_split_past_mapping_limit_fails(system: System, process: Process, page: int, file: MakeFile) -> None:
    """The limit of mappings is used up, and MAP_FIXED would split one mapping into three."""
    limit = system.mapping_limit()
    if limit > MAX_TESTED_MAPPING_LIMIT:
        raise Unsupported(f"the case would need {limit} mappings")
    fd = file(pages_of(page, "a", "b", "c"))
    target = process.mmap(0, 3 * page, PROT_READ, MAP_SHARED, fd, 0)
    base = process.mmap(0, (limit + 4) * page, PROT_NONE, MAP_SHARED, fd, 0)
    assert process.fragment(base, limit + 4) == "ENOMEM"
    with fails("ENOMEM"):
        process.mmap(target + page, page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)

    assert process.load(target, 3 * page) == pages_of(page, "a", "b", "c")


# ---------------------------------------------------------------------------------------------------------- EOVERFLOW


END_OF_OFFSETS = 1 << 63
"""The first number above the largest file offset."""


@clause("mmap.errno.EOVERFLOW", "mmap.result.failure")
@shared_and_private
@pytest.mark.parametrize(
    ("distance", "pages"), [pytest.param(1, 1, id="ends-at-maximum"), pytest.param(2, 4, id="ends-past-maximum")]
)
def test_range_past_largest_offset_fails(
    process: Process, page: int, file: MakeFile, distance: int, pages: int, kind: int
) -> None:
    """The range is also past the end of the file: ENXIO."""
    fd = file(b"abc")
    with fails_unmapped(process, file, page, *offset_errnos(process), "ENXIO") as addr:
        process.mmap(addr, pages * page, PROT_READ, kind, fd, END_OF_OFFSETS - distance * page)


def offset_errnos(process: Process) -> list[str]:
    """Return the errnos allowed for an offset that is too large.

    With 32-bit addresses the C library passes on only offsets below 2^44, and fails with EINVAL for others.
    """
    return ["EOVERFLOW"] if process.bits == 64 else ["EOVERFLOW", "EINVAL"]


@clause("mmap.errno.EOVERFLOW.negative")
@shared_and_private
def test_negative_offset_fails(process: Process, page: int, file: MakeFile, kind: int) -> None:
    fd = file(b"abc")
    with fails_unmapped(process, file, page, *offset_errnos(process)) as addr:
        process.mmap(addr, page, PROT_READ, kind, fd, -page)


@clause("mmap.errno.EOVERFLOW.negative")
def test_offset_near_maximum_is_accepted(process: Process, page: int, file: MakeFile) -> None:
    """The offset is far past the end of the file, which mmap allows."""
    limit = END_OF_OFFSETS if process.bits == 64 else 1 << 44
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, file(b"abc"), limit - 4 * page)

    assert base % page == 0


@clause("mmap.flag.anonymous")
def test_negative_offset_of_anonymous_memory_is_accepted(process: Process, page: int) -> None:
    """The offset has no meaning for anonymous memory."""
    if process.bits != 64:
        raise Unsupported("with 32-bit addresses the C library accepts no such offset")
    base = process.mmap(0, page, PROT_READ, ANONYMOUS, -1, -page)

    assert process.load(base, 3) == bytes(3)


# -------------------------------------------------------------------------------------------------------------- EPERM


@clause("mmap.errno.EPERM")
@shared_and_private
@pytest.mark.parametrize(
    "prot",
    [
        pytest.param(PROT_EXEC, id="exec"),
        pytest.param(PROT_READ | PROT_EXEC, id="read-exec"),
        pytest.param(PROT_WRITE | PROT_EXEC, id="write-exec", marks=needs("write-exec")),
        pytest.param(RW | PROT_EXEC, id="read-write-exec", marks=needs("write-exec")),
    ],
)
def test_exec_mapping_on_noexec_mount_fails(
    system: System, process: Process, page: int, file: MakeFile, prot: int, kind: int
) -> None:
    fd = noexec_file(system, process)
    with fails_unmapped(process, file, page, "EPERM") as addr:
        process.mmap(addr, page, prot, kind, fd, 0)


@clause("mmap.errno.EPERM")
@shared_and_private
def test_non_exec_mapping_on_noexec_mount_succeeds(system: System, process: Process, page: int, kind: int) -> None:
    fd = noexec_file(system, process)
    base = process.mmap(0, page, RW, kind, fd, 0)

    assert process.load(base, 3) == b"abc"


def noexec_file(system: System, process: Process) -> int:
    """Return a descriptor of a file on a noexec mount; the case is unresolved if it cannot be created."""
    path = system.facility(Facility.NOEXEC_DIRECTORY) + "/file"
    with setup():
        fd = process.open(path, O_RDWR | O_CREAT)
        process.pwrite(fd, b"abc", 0)
    return fd


@needs("unmappable-proc-file")
@clause("mmap.errno.EPERM.unmappable")
@shared_and_private
def test_exec_mapping_of_unmappable_noexec_file_fails(
    system: System, process: Process, page: int, file: MakeFile, kind: int
) -> None:
    path = system.facility(Facility.PROC_FILE)
    with setup():
        fd = process.open(path, O_RDONLY)
    with fails_unmapped(process, file, page, "EPERM") as addr:
        process.mmap(addr, page, PROT_READ | PROT_EXEC, kind, fd, 0)


@clause("mmap.errno.EPERM.seal")
def test_shared_writable_mapping_of_write_sealed_file_fails(process: Process, page: int, file: MakeFile) -> None:
    with setup():
        fd = process.memfd()
        process.pwrite(fd, b"abc", 0)
        process.seal(fd, SEAL_WRITE)
    with fails_unmapped(process, file, page, "EPERM") as addr:
        process.mmap(addr, page, RW, MAP_SHARED, fd, 0)

    base = process.mmap(0, page, RW, MAP_PRIVATE, fd, 0)
    process.store(base, b"x")
    assert process.load(base, 3) == b"xbc"
    assert process.pread(fd, 3, 0) == b"abc"


@clause("mmap.errno.EPERM.zero")
def test_unprivileged_fixed_mapping_at_address_zero_fails(process: Process, page: int) -> None:
    process.drop_capability("CAP_SYS_RAWIO")
    with fails("EPERM"):
        process.mmap(0, page, PROT_NONE, ANONYMOUS | MAP_FIXED, -1, 0)

    assert_nothing_mapped(process, 0)


@clause("mmap.errno.EPERM.locked")
def test_map_locked_with_zero_limit_fails(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"abc")
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 0)
    with fails_unmapped(process, file, page, "EPERM") as addr:
        process.mmap(addr, page, PROT_READ, MAP_PRIVATE | MAP_LOCKED, fd, 0)


# --------------------------------------------------------------------------------------------------- EEXIST, EOPNOTSUPP


@clause("mmap.errno.EEXIST")
@pytest.mark.parametrize(
    ("first", "count"),
    [
        pytest.param(1, 3, id="same-range"),
        pytest.param(2, 1, id="inside"),
        pytest.param(0, 2, id="overlaps-start"),
        pytest.param(3, 2, id="overlaps-end"),
        pytest.param(0, 5, id="encloses"),
    ],
)
def test_noreplace_over_mapping_fails(process: Process, page: int, file: MakeFile, first: int, count: int) -> None:
    """The middle three of five pages are mapped and stay so; the others stay unmapped."""
    addr = free_range(process, 5)
    content = pages_of(page, "a", "b", "c")
    process.mmap(addr + page, 3 * page, PROT_READ, MAP_SHARED | MAP_FIXED, file(content), 0)
    fd = file(b"new")
    with fails("EEXIST"):
        process.mmap(addr + first * page, count * page, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0)

    assert process.load(addr + page, 3 * page) == content
    assert_nothing_mapped(process, addr)
    assert_nothing_mapped(process, addr + 4 * page)


@clause("mmap.errno.EOPNOTSUPP")
@pytest.mark.parametrize(
    "flag",
    [
        pytest.param(0x800000, id="unknown"),
        pytest.param(0x80000000, id="highest-bit"),
        pytest.param(MAP_SYNC, id="sync"),
    ],
)
def test_unsupported_flag_fails(process: Process, page: int, file: MakeFile, flag: int) -> None:
    fd = file(b"abc")
    with fails_unmapped(process, file, page, "EOPNOTSUPP") as addr:
        process.mmap(addr, page, RW, MAP_SHARED_VALIDATE | flag, fd, 0)


# --------------------------------------------------------------------------------------------- MAP_FIXED over a mapping


@clause("mmap.result.failure.fixed")
@pytest.mark.parametrize("object_type", ["pipe", "directory"])
def test_fixed_range_is_kept_after_enodev(
    system: System, process: Process, page: int, file: MakeFile, new_path: NewPath, object_type: str
) -> None:
    fd = open_unmappable(system, process, new_path, object_type)
    with fails_keeping_mapping(process, file, page, "ENODEV") as base:
        process.mmap(base, page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)


@clause("mmap.result.failure.fixed")
def test_fixed_range_is_kept_after_eacces(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"abc", O_RDONLY)
    with fails_keeping_mapping(process, file, page, "EACCES") as base:
        process.mmap(base, page, RW, MAP_SHARED | MAP_FIXED, fd, 0)


@clause("mmap.result.failure.fixed")
def test_fixed_range_is_kept_after_eoverflow(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"abc")
    with fails_keeping_mapping(process, file, page, *offset_errnos(process)) as base:
        process.mmap(base, page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, END_OF_OFFSETS - page)


@clause("mmap.result.failure.fixed")
def test_fixed_range_is_kept_after_enomem(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"abc")
    with fails_keeping_mapping(process, file, page, "ENOMEM") as base:
        process.mmap(base, too_long(process, page), PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)


@needs("noexec-mount")
@clause("mmap.result.failure.fixed")
def test_fixed_range_is_kept_after_eperm(system: System, process: Process, page: int, file: MakeFile) -> None:
    fd = noexec_file(system, process)
    with fails_keeping_mapping(process, file, page, "EPERM") as base:
        process.mmap(base, page, PROT_EXEC, MAP_SHARED | MAP_FIXED, fd, 0)


@clause("mmap.result.failure.fixed")
def test_fixed_range_is_kept_after_eagain(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"abc")
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, page)
    with fails_keeping_mapping(process, file, page, "EAGAIN") as base:
        process.mmap(base, 2 * page, PROT_READ, MAP_PRIVATE | MAP_FIXED | MAP_LOCKED, fd, 0)
