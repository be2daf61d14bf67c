"""Every errno that mmap may fail with, by each of its causes; and that a call that failed has changed nothing."""

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
from ..testing import clause, fails
from ._helpers import (
    ANONYMOUS,
    RW,
    MakeFile,
    NewPath,
    append_only,
    assert_nothing_mapped,
    free_range,
    lock_from_another_process,
    pages_of,
    setup,
    shared_and_private,
)

readable_or_not = pytest.mark.parametrize(
    "prot", [pytest.param(PROT_NONE, id="none"), pytest.param(PROT_READ, id="read")]
)


@contextmanager
def refused(process: Process, file: MakeFile, page: int, *errors: str) -> Iterator[int]:
    """The call in the block fails with this errno and changes nothing.

    Gives a free address that the call is to be made for, and at which nothing is mapped afterwards.
    """
    addr = free_range(process, 1)
    witness = process.mmap(0, page, PROT_READ, MAP_SHARED, file(b"witness"), 0)
    with fails(*errors):
        yield addr
    assert_nothing_mapped(process, addr)
    assert process.load(witness, 7) == b"witness"


@contextmanager
def refused_in_place(process: Process, file: MakeFile, page: int, *errors: str) -> Iterator[int]:
    """The same for a call with MAP_FIXED over a mapping of two pages, which keeps its content."""
    content = pages_of(page, "a", "b")
    base = process.mmap(0, 2 * page, PROT_READ, MAP_SHARED, file(content), 0)
    with fails(*errors):
        yield base
    assert process.load(base, 2 * page) == content


def too_long(process: Process, page: int) -> int:
    """A length that no address space has room for, although offset and length can still be added up."""
    return 1 << 62 if process.bits == 64 else (1 << process.bits) - page


# ------------------------------------------------------------------------------------------------------------- EACCES


@clause("mmap.errno.EACCES", "mmap.result.failure")
@shared_and_private
@pytest.mark.parametrize(
    "prot",
    [
        pytest.param(PROT_NONE, id="none"),
        pytest.param(PROT_READ, id="read"),
        pytest.param(PROT_WRITE, id="write"),
        pytest.param(PROT_EXEC, id="exec"),
    ],
)
def test_descriptor_not_open_for_reading(process: Process, page: int, file: MakeFile, prot: int, kind: int) -> None:
    fd = file(b"abc", O_WRONLY)
    with refused(process, file, page, "EACCES") as addr:
        process.mmap(addr, page, prot, kind, fd, 0)


@clause("mmap.errno.EACCES", "mmap.prot.fd-mode", "mmap.result.failure")
@pytest.mark.parametrize("prot", [pytest.param(PROT_WRITE, id="write"), pytest.param(RW, id="read-write")])
def test_shared_and_writable_over_a_read_only_descriptor(
    process: Process, page: int, file: MakeFile, prot: int
) -> None:
    fd = file(b"abc", O_RDONLY)
    with refused(process, file, page, "EACCES") as addr:
        process.mmap(addr, page, prot, MAP_SHARED, fd, 0)


@clause("mmap.errno.EACCES.append-only")
@pytest.mark.parametrize(
    "prot",
    [pytest.param(PROT_NONE, id="none"), pytest.param(PROT_READ, id="read"), pytest.param(PROT_WRITE, id="write")],
)
def test_append_only_file_shared(process: Process, page: int, file: MakeFile, prot: int) -> None:
    fd = file(b"abc")
    with append_only(process, fd), refused(process, file, page, "EACCES") as addr:
        process.mmap(addr, page, prot, MAP_SHARED, fd, 0)


@clause("mmap.errno.EACCES.append-only")
def test_append_only_file_otherwise(process: Process, page: int, file: MakeFile, new_path: NewPath) -> None:
    """Private, or by a descriptor that is open for reading only, it is mapped."""
    path = new_path()
    fd = file(b"abc", O_RDWR, path)
    with setup():
        reader = process.open(path, O_RDONLY)
    with append_only(process, fd):
        private = process.mmap(0, page, RW, MAP_PRIVATE, fd, 0)
        shared = process.mmap(0, page, PROT_READ, MAP_SHARED, reader, 0)

    assert process.load(private, 3) == process.load(shared, 3) == b"abc"


@clause("mmap.errno.EACCES.append-only")
def test_opened_for_appending_is_no_conflict(process: Process, page: int, file: MakeFile) -> None:
    base = process.mmap(0, page, RW, MAP_SHARED, file(b"abc", O_RDWR | O_APPEND), 0)

    assert process.load(base, 3) == b"abc"


# ------------------------------------------------------------------------------------------------------------- EAGAIN


@clause("mmap.errno.EAGAIN", "mmap.result.failure")
def test_mandatory_lock_of_another(system: System, process: Process, page: int, file: MakeFile) -> None:
    path = system.facility(Facility.MANDATORY_LOCK)
    with setup():
        fd = process.open(path, O_RDWR)
    with refused(process, file, page, "EAGAIN") as addr:
        process.mmap(addr, page, RW, MAP_SHARED, fd, 0)


@clause("mmap.errno.EAGAIN.advisory")
@pytest.mark.parametrize("lock", ["flock", "ofd", "record"])
def test_advisory_lock_of_another(
    system: System, process: Process, page: int, file: MakeFile, new_path: NewPath, lock: str
) -> None:
    path = new_path()
    fd = file(b"abc", O_RDWR, path)
    lock_from_another_process(system, path, lock)
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)

    assert process.load(base, 3) == b"abc"


@clause("mmap.errno.EAGAIN.memory", "mmap.result.failure")
def test_locked_mapping_past_the_limit(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"abc")
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 2 * page)
    with refused(process, file, page, "EAGAIN") as addr:
        process.mmap(addr, 3 * page, PROT_READ, MAP_PRIVATE | MAP_LOCKED, fd, 0)

    base = process.mmap(0, page, PROT_READ, MAP_PRIVATE | MAP_LOCKED, fd, 0)
    assert process.load(base, 3) == b"abc"


@clause("mmap.errno.EAGAIN.memory", "mmap.result.failure")
def test_mapping_past_the_limit_after_mlockall(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"abc")
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 2 * page)
    process.mlockall(MCL_FUTURE)
    with refused(process, file, page, "EAGAIN") as addr:
        process.mmap(addr, 3 * page, PROT_READ, MAP_PRIVATE, fd, 0)


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
        pytest.param(1 << 30, id="beyond-the-limit"),
        pytest.param((1 << 31) - 1, id="highest"),
    ],
)
def test_no_such_descriptor(process: Process, page: int, file: MakeFile, fd: int, kind: int) -> None:
    with refused(process, file, page, "EBADF") as addr:
        process.mmap(addr, page, PROT_READ, kind, fd, 0)


@clause("mmap.errno.EBADF", "mmap.result.failure")
@shared_and_private
def test_closed_descriptor(process: Process, page: int, file: MakeFile, kind: int) -> None:
    addr = free_range(process, 1)
    fd = file(b"abc")
    with setup():
        process.close(fd)
    with fails("EBADF"):
        process.mmap(addr, page, PROT_READ, kind, fd, 0)

    assert_nothing_mapped(process, addr)


@clause("mmap.errno.EBADF", "mmap.result.failure")
@shared_and_private
def test_bad_descriptor_with_fixed(process: Process, page: int, file: MakeFile, kind: int) -> None:
    with refused_in_place(process, file, page, "EBADF") as base:
        process.mmap(base, page, PROT_READ, kind | MAP_FIXED, -1, 0)


@clause("mmap.errno.EBADF.path")
@shared_and_private
def test_descriptor_that_only_names_a_file(
    process: Process, page: int, file: MakeFile, new_path: NewPath, kind: int
) -> None:
    path = new_path()
    file(b"abc", O_RDWR, path)
    with setup():
        fd = process.open(path, O_PATH)
    with refused(process, file, page, "EBADF") as addr:
        process.mmap(addr, page, PROT_READ, kind, fd, 0)


# ------------------------------------------------------------------------------------------------------------- EINVAL


@clause("mmap.errno.EINVAL", "mmap.result.failure")
@shared_and_private
@pytest.mark.parametrize("content", [pytest.param(b"abc", id="of-a-file"), pytest.param(b"", id="of-an-empty-file")])
def test_length_zero(process: Process, page: int, file: MakeFile, content: bytes, kind: int) -> None:
    fd = file(content)
    with refused(process, file, page, "EINVAL") as addr:
        process.mmap(addr, 0, PROT_READ, kind, fd, 0)


@clause("mmap.errno.EINVAL", "mmap.flag.anonymous")
@shared_and_private
def test_length_zero_of_anonymous_memory(process: Process, page: int, file: MakeFile, kind: int) -> None:
    with refused(process, file, page, "EINVAL") as addr:
        process.mmap(addr, 0, PROT_READ, kind | MAP_ANONYMOUS, -1, 0)


@clause("mmap.errno.EINVAL", "mmap.result.failure")
def test_length_zero_with_fixed(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"abc")
    with refused_in_place(process, file, page, "EINVAL") as base:
        process.mmap(base, 0, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)


UNALIGNED: dict[str, Callable[[int], int]] = {
    "one": lambda page: 1,
    "half-a-page": lambda page: page // 2,
    "a-page-less-one": lambda page: page - 1,
    "a-page-and-one": lambda page: page + 1,
}


@clause("mmap.errno.EINVAL", "mmap.result.failure")
@shared_and_private
@pytest.mark.parametrize("offset", UNALIGNED)
def test_unaligned_offset(process: Process, page: int, file: MakeFile, offset: str, kind: int) -> None:
    fd = file(pages_of(page, "a", "b", "c"))
    with refused(process, file, page, "EINVAL") as addr:
        process.mmap(addr, page, PROT_READ, kind, fd, UNALIGNED[offset](page))


@clause("mmap.errno.EINVAL", "mmap.flag.anonymous")
def test_unaligned_offset_of_anonymous_memory(process: Process, page: int, file: MakeFile) -> None:
    with refused(process, file, page, "EINVAL") as addr:
        process.mmap(addr, page, PROT_READ, ANONYMOUS, -1, 1)


@clause("mmap.errno.EINVAL", "mmap.result.failure")
def test_unaligned_offset_with_fixed(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"abc")
    with refused_in_place(process, file, page, "EINVAL") as base:
        process.mmap(base, page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 1)


@clause("mmap.errno.EINVAL", "mmap.flag.fixed", "mmap.result.failure")
@shared_and_private
@pytest.mark.parametrize("distance", ["one", "half-a-page", "a-page-less-one"])
def test_unaligned_fixed_address(process: Process, page: int, file: MakeFile, distance: str, kind: int) -> None:
    fd = file(b"abc")
    with refused_in_place(process, file, page, "EINVAL") as base:
        process.mmap(base + UNALIGNED[distance](page), page, PROT_READ, kind | MAP_FIXED, fd, 0)


@clause("mmap.errno.EINVAL", "mmap.flag.fixed", "mmap.result.failure")
def test_unaligned_fixed_address_in_free_memory(process: Process, page: int, file: MakeFile) -> None:
    """Not rounded either: nothing is mapped on either side."""
    addr = free_range(process, 2)
    fd = file(b"abc")
    with fails("EINVAL"):
        process.mmap(addr + 1, page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)

    assert_nothing_mapped(process, addr)
    assert_nothing_mapped(process, addr + page)


@clause("mmap.errno.EINVAL.type", "mmap.result.failure")
def test_no_type(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"abc")
    with refused(process, file, page, "EINVAL") as addr:
        process.mmap(addr, page, PROT_READ, 0, fd, 0)


@clause("mmap.errno.EINVAL.unknown-type")
@pytest.mark.parametrize("kind", [4, 5, 12, 15], ids=str)
def test_unknown_type(process: Process, page: int, file: MakeFile, kind: int) -> None:
    fd = file(b"abc")
    with refused(process, file, page, "EINVAL") as addr:
        process.mmap(addr, page, PROT_READ, kind, fd, 0)


@clause("mmap.errno.EINVAL.unknown-type")
@pytest.mark.parametrize("kind", [4, 5, 12, 15], ids=str)
def test_unknown_type_of_anonymous_memory(process: Process, page: int, file: MakeFile, kind: int) -> None:
    with refused(process, file, page, "EINVAL") as addr:
        process.mmap(addr, page, PROT_READ, kind | MAP_ANONYMOUS, -1, 0)


@clause("mmap.errno.EINVAL.flags")
@pytest.mark.parametrize(
    "flags",
    [
        pytest.param(MAP_SHARED | MAP_GROWSDOWN, id="growing-down-shared"),
        pytest.param(MAP_PRIVATE | MAP_GROWSDOWN, id="growing-down-private"),
        pytest.param(MAP_PRIVATE | MAP_HUGETLB, id="huge-pages"),
    ],
)
def test_flag_that_a_file_cannot_have(process: Process, page: int, file: MakeFile, flags: int) -> None:
    fd = file(b"abc")
    with refused(process, file, page, "EINVAL") as addr:
        process.mmap(addr, page, PROT_READ, flags, fd, 0)


@clause("mmap.errno.EINVAL.flags")
def test_shared_memory_that_grows_down(process: Process, page: int, file: MakeFile) -> None:
    with refused(process, file, page, "EINVAL") as addr:
        process.mmap(addr, page, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0)


@clause("mmap.flag.shared-validate", "mmap.flag.anonymous")
def test_shared_validate_of_anonymous_memory(process: Process, page: int, file: MakeFile) -> None:
    with refused(process, file, page, "EINVAL") as addr:
        process.mmap(addr, page, PROT_READ, MAP_SHARED_VALIDATE | MAP_ANONYMOUS, -1, 0)


# ------------------------------------------------------------------------------------------------------------- ENFILE


@clause("mmap.errno.ENFILE", "mmap.result.failure")
def test_full_file_table_for_shared_anonymous_memory(system: System, process: Process, page: int) -> None:
    addr = free_range(process, 1)
    process.drop_capability("CAP_SYS_ADMIN")
    with system.full_file_table(), fails("ENFILE"):
        process.mmap(addr, page, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0)

    assert_nothing_mapped(process, addr)


@clause("mmap.errno.ENFILE", "mmap.result.failure")
def test_full_file_table_for_the_zero_device_shared(system: System, process: Process, page: int) -> None:
    """Through a descriptor that may write: on Linux nothing can be shared through one that only reads."""
    path = system.facility(Facility.DEV_ZERO)
    with setup():
        fd = process.open(path, O_RDWR)
    addr = free_range(process, 1)
    process.drop_capability("CAP_SYS_ADMIN")
    with system.full_file_table(), fails("ENFILE"):
        process.mmap(addr, page, PROT_READ, MAP_SHARED, fd, 0)

    assert_nothing_mapped(process, addr)


@clause("mmap.errno.ENFILE")
@shared_and_private
def test_full_file_table_for_a_file_that_is_open(
    system: System, process: Process, page: int, file: MakeFile, kind: int
) -> None:
    """No further file is needed, so it is mapped."""
    fd = file(b"abc")
    process.drop_capability("CAP_SYS_ADMIN")
    with system.full_file_table():
        base = process.mmap(0, page, PROT_READ, kind, fd, 0)

    assert process.load(base, 3) == b"abc"


# ------------------------------------------------------------------------------------------------------------- ENODEV


@clause("mmap.errno.ENODEV", "mmap.result.failure")
@shared_and_private
@readable_or_not
@pytest.mark.parametrize(
    "what",
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
def test_what_cannot_be_mapped(
    system: System, process: Process, page: int, file: MakeFile, new_path: NewPath, what: str, prot: int, kind: int
) -> None:
    fd = unmappable(system, process, new_path, what)
    with refused(process, file, page, "ENODEV") as addr:
        process.mmap(addr, page, prot, kind, fd, 0)


@clause("mmap.errno.ENODEV", "mmap.result.failure")
@shared_and_private
@readable_or_not
def test_something_cannot_be_mapped(
    system: System, process: Process, page: int, file: MakeFile, new_path: NewPath, prot: int, kind: int
) -> None:
    """What it is that cannot be mapped is each system's own; the cases above ask that of each kind of file."""
    fd = unmappable(system, process, new_path, "pipe")
    with refused(process, file, page, "ENODEV") as addr:
        process.mmap(addr, page, prot, kind, fd, 0)


def unmappable(system: System, process: Process, new_path: NewPath, what: str) -> int:
    """A descriptor, open for reading, of something that cannot be mapped."""
    if what in ("pipe", "socket", "directory", "watch"):
        with setup():
            if what == "pipe":
                return process.pipe()[0]
            if what == "socket":
                return process.socketpair()[0]
            if what == "watch":
                return process.watch(".")
            path = new_path()
            process.mkdir(path)
            return process.open(path, O_RDONLY | O_DIRECTORY)
    path = system.facility(Facility(what))
    with setup():
        return process.open(path, O_RDONLY)


# ------------------------------------------------------------------------------------------------------------- ENOMEM

MOST_MAPPINGS = 262_144
"""A limit of mappings that is larger would take too long to meet."""

TOO_LONG = ["too-long-by-far", "the-whole-space-but-a-page", "rounds-up-to-zero"]


def long_length(process: Process, page: int, which: str) -> int:
    space = 1 << process.bits
    return {
        "too-long-by-far": too_long(process, page),
        "the-whole-space-but-a-page": space - page,
        "rounds-up-to-zero": space - 1,
    }[which]


@clause("mmap.errno.ENOMEM", "mmap.result.failure")
@pytest.mark.parametrize("length", TOO_LONG)
def test_length_past_the_address_space(process: Process, page: int, file: MakeFile, length: str) -> None:
    """The chapter can be read as if this were EOVERFLOW."""
    fd = file(b"abc")
    with refused(process, file, page, "ENOMEM", "EOVERFLOW") as addr:
        process.mmap(addr, long_length(process, page, length), PROT_READ, MAP_SHARED, fd, 0)


@clause("mmap.errno.ENOMEM.range")
@shared_and_private
def test_file_past_the_address_space(process: Process, page: int, file: MakeFile, kind: int) -> None:
    fd = file(b"abc")
    with refused(process, file, page, "ENOMEM") as addr:
        process.mmap(addr, too_long(process, page), PROT_READ, kind, fd, 0)


@clause("mmap.errno.ENOMEM.range", "mmap.flag.anonymous")
@pytest.mark.parametrize("length", TOO_LONG)
def test_anonymous_memory_past_the_address_space(process: Process, page: int, file: MakeFile, length: str) -> None:
    with refused(process, file, page, "ENOMEM") as addr:
        process.mmap(addr, long_length(process, page, length), PROT_NONE, ANONYMOUS, -1, 0)


@clause("mmap.flag.fixed", "mmap.result.failure")
@pytest.mark.parametrize("place", ["last-page", "half-way", "from-here-to-the-end"])
def test_fixed_range_outside_the_address_space(process: Process, page: int, file: MakeFile, place: str) -> None:
    """It fails: the chapter has three names for it."""
    fd = file(b"abc")
    with refused(process, file, page, "ENOMEM", "EOVERFLOW", "EINVAL") as addr:
        process.mmap(*outside(process, page, place, addr), PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)


@clause("mmap.errno.ENOMEM.range", "mmap.flag.fixed")
@pytest.mark.parametrize("place", ["last-page", "half-way", "from-here-to-the-end"])
def test_fixed_range_outside_the_address_space_is_enomem(
    process: Process, page: int, file: MakeFile, place: str
) -> None:
    fd = file(b"abc")
    with refused(process, file, page, "ENOMEM") as addr:
        process.mmap(*outside(process, page, place, addr), PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)


def outside(process: Process, page: int, place: str, addr: int) -> tuple[int, int]:
    """Address and length of a range that starts outside the address space, or starts at `addr` and ends outside."""
    space = 1 << process.bits
    if place == "from-here-to-the-end":
        return addr, too_long(process, page)
    # The upper half belongs to the system itself where addresses have 64 bits; it need not where they have 32.
    start = space // 2 if place == "half-way" and process.bits == 64 else space - page
    return start, page


@clause("mmap.errno.ENOMEM", "mmap.result.failure")
@shared_and_private
def test_past_the_limit_of_address_space(process: Process, page: int, file: MakeFile, kind: int) -> None:
    """The process's own memory counts, and changes: so the room is large and what is asked for larger still."""
    fd = file(b"abc")
    addr = free_range(process, 1)
    process.set_limit_headroom(Resource.ADDRESS_SPACE, 64 * page)
    with fails("ENOMEM"):
        process.mmap(addr, 256 * page, PROT_READ, kind, fd, 0)

    assert_nothing_mapped(process, addr)
    base = process.mmap(0, page, PROT_READ, kind, fd, 0)
    assert process.load(base, 3) == b"abc"


@clause("mmap.errno.ENOMEM", "mmap.result.failure")
def test_past_the_limit_of_mappings(system: System, process: Process, page: int, file: MakeFile) -> None:
    """Splitting meets the limit first or mapping does; neither goes on for ever, and both say ENOMEM."""
    limit = system.mapping_limit()
    if limit > MOST_MAPPINGS:
        raise Unsupported(f"{limit} mappings would have to be made")
    fd = file(b"abc")
    pages = limit + 4
    base = process.mmap(0, pages * page, PROT_NONE, MAP_SHARED, fd, 0)
    assert process.fragment(base, pages) in (None, "ENOMEM")
    with fails("ENOMEM"):
        for _ in range(8):
            process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)

    process.munmap(base, pages * page)
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)
    assert process.load(base, 3) == b"abc"


@clause("mmap.errno.ENOMEM", "mmap.result.failure.fixed")
def test_fixed_in_the_middle_would_make_one_mapping_too_many(
    system: System, process: Process, page: int, file: MakeFile
) -> None:
    """Splitting has used all the mappings there may be, and the mapping hit would become three."""
    limit = system.mapping_limit()
    if limit > MOST_MAPPINGS:
        raise Unsupported(f"{limit} mappings would have to be made")
    fd = file(pages_of(page, "a", "b", "c"))
    hit = process.mmap(0, 3 * page, PROT_READ, MAP_SHARED, fd, 0)
    base = process.mmap(0, (limit + 4) * page, PROT_NONE, MAP_SHARED, fd, 0)
    assert process.fragment(base, limit + 4) == "ENOMEM"
    with fails("ENOMEM"):
        process.mmap(hit + page, page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)

    assert process.load(hit, 3 * page) == pages_of(page, "a", "b", "c")


# ---------------------------------------------------------------------------------------------------------- EOVERFLOW


END_OF_OFFSETS = 1 << 63
"""The first number that is no offset."""


@clause("mmap.errno.EOVERFLOW", "mmap.result.failure")
@shared_and_private
@pytest.mark.parametrize(
    ("back", "pages"), [pytest.param(1, 1, id="reaches-the-end"), pytest.param(2, 4, id="passes-the-end")]
)
def test_offset_and_length_past_the_largest_file(
    process: Process, page: int, file: MakeFile, back: int, pages: int, kind: int
) -> None:
    fd = file(b"abc")
    with refused(process, file, page, *too_far(process)) as addr:
        process.mmap(addr, pages * page, PROT_READ, kind, fd, END_OF_OFFSETS - back * page)


def too_far(process: Process) -> list[str]:
    """The errnos for an offset that is too large.

    Where addresses have 32 bits, the C library hands the system offsets below 2^44 only and itself says EINVAL.
    """
    return ["EOVERFLOW"] if process.bits == 64 else ["EOVERFLOW", "EINVAL"]


@clause("mmap.errno.EOVERFLOW.negative")
@shared_and_private
def test_negative_offset(process: Process, page: int, file: MakeFile, kind: int) -> None:
    fd = file(b"abc")
    with refused(process, file, page, *too_far(process)) as addr:
        process.mmap(addr, page, PROT_READ, kind, fd, -page)


@clause("mmap.errno.EOVERFLOW.negative")
def test_offset_just_below_the_largest(process: Process, page: int, file: MakeFile) -> None:
    """Far behind the end of the file, but not too far for a mapping."""
    far = END_OF_OFFSETS if process.bits == 64 else 1 << 44
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, file(b"abc"), far - 4 * page)

    assert base % page == 0


@clause("mmap.flag.anonymous")
def test_negative_offset_of_anonymous_memory(process: Process, page: int) -> None:
    """Accepted: nothing is at that offset."""
    if process.bits != 64:
        raise Unsupported("where addresses have 32 bits, the C library takes no such offset")
    base = process.mmap(0, page, PROT_READ, ANONYMOUS, -1, -page)

    assert process.load(base, 3) == bytes(3)


# -------------------------------------------------------------------------------------------------------------- EPERM


@clause("mmap.errno.EPERM", "mmap.result.failure")
@shared_and_private
@pytest.mark.parametrize(
    "prot",
    [
        pytest.param(PROT_EXEC, id="exec"),
        pytest.param(PROT_READ | PROT_EXEC, id="read-exec"),
        pytest.param(PROT_WRITE | PROT_EXEC, id="write-exec"),
        pytest.param(RW | PROT_EXEC, id="all"),
    ],
)
def test_exec_on_a_noexec_file_system(
    system: System, process: Process, page: int, file: MakeFile, prot: int, kind: int
) -> None:
    fd = noexec_file(system, process)
    with refused(process, file, page, "EPERM") as addr:
        process.mmap(addr, page, prot, kind, fd, 0)


@clause("mmap.errno.EPERM")
@shared_and_private
def test_anything_else_on_a_noexec_file_system(system: System, process: Process, page: int, kind: int) -> None:
    fd = noexec_file(system, process)
    base = process.mmap(0, page, RW, kind, fd, 0)

    assert process.load(base, 3) == b"abc"


def noexec_file(system: System, process: Process) -> int:
    path = system.facility(Facility.NOEXEC_DIRECTORY) + "/file"
    with setup():
        fd = process.open(path, O_RDWR | O_CREAT)
        process.pwrite(fd, b"abc", 0)
    return fd


@clause("mmap.errno.EPERM.unmappable")
@shared_and_private
def test_exec_of_what_cannot_be_mapped_anyway(
    system: System, process: Process, page: int, file: MakeFile, kind: int
) -> None:
    path = system.facility(Facility.PROC_FILE)
    with setup():
        fd = process.open(path, O_RDONLY)
    with refused(process, file, page, "EPERM") as addr:
        process.mmap(addr, page, PROT_READ | PROT_EXEC, kind, fd, 0)


@clause("mmap.errno.EPERM.seal")
def test_sealed_against_writing(process: Process, page: int, file: MakeFile) -> None:
    with setup():
        fd = process.memfd()
        process.pwrite(fd, b"abc", 0)
        process.seal(fd, SEAL_WRITE)
    with refused(process, file, page, "EPERM") as addr:
        process.mmap(addr, page, RW, MAP_SHARED, fd, 0)

    base = process.mmap(0, page, RW, MAP_PRIVATE, fd, 0)
    process.store(base, b"x")
    assert process.load(base, 3) == b"xbc"
    assert process.pread(fd, 3, 0) == b"abc"


@clause("mmap.errno.EPERM.zero")
def test_fixed_at_address_zero(process: Process, page: int) -> None:
    process.drop_capability("CAP_SYS_RAWIO")
    with fails("EPERM"):
        process.mmap(0, page, PROT_NONE, ANONYMOUS | MAP_FIXED, -1, 0)

    assert_nothing_mapped(process, 0)


@clause("mmap.errno.EPERM.locked")
def test_locked_where_nothing_may_be(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"abc")
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 0)
    with refused(process, file, page, "EPERM") as addr:
        process.mmap(addr, page, PROT_READ, MAP_PRIVATE | MAP_LOCKED, fd, 0)


# ------------------------------------------------------------------------------------------------- EEXIST, EOPNOTSUPP


@clause("mmap.errno.EEXIST")
@pytest.mark.parametrize(
    ("first", "count"),
    [
        pytest.param(1, 3, id="exactly-over"),
        pytest.param(2, 1, id="inside"),
        pytest.param(0, 2, id="over-its-start"),
        pytest.param(3, 2, id="over-its-end"),
        pytest.param(0, 5, id="around"),
    ],
)
def test_noreplace_over_a_mapping(process: Process, page: int, file: MakeFile, first: int, count: int) -> None:
    """Five pages, of which the middle three are mapped: those stay, the others stay free."""
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
        pytest.param(0x80000000, id="the-last-bit"),
        pytest.param(MAP_SYNC, id="sync"),
    ],
)
def test_flag_that_is_not_supported(process: Process, page: int, file: MakeFile, flag: int) -> None:
    fd = file(b"abc")
    with refused(process, file, page, "EOPNOTSUPP") as addr:
        process.mmap(addr, page, RW, MAP_SHARED_VALIDATE | flag, fd, 0)


# -------------------------------------------------------------------------------------- MAP_FIXED and what was there


@clause("mmap.result.failure.fixed")
@pytest.mark.parametrize("what", ["pipe", "directory"])
def test_fixed_range_is_kept_after_enodev(
    system: System, process: Process, page: int, file: MakeFile, new_path: NewPath, what: str
) -> None:
    fd = unmappable(system, process, new_path, what)
    with refused_in_place(process, file, page, "ENODEV") as base:
        process.mmap(base, page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)


@clause("mmap.result.failure.fixed")
def test_fixed_range_is_kept_after_eacces(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"abc", O_RDONLY)
    with refused_in_place(process, file, page, "EACCES") as base:
        process.mmap(base, page, RW, MAP_SHARED | MAP_FIXED, fd, 0)


@clause("mmap.result.failure.fixed")
def test_fixed_range_is_kept_after_eoverflow(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"abc")
    with refused_in_place(process, file, page, *too_far(process)) as base:
        process.mmap(base, page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, END_OF_OFFSETS - page)


@clause("mmap.result.failure.fixed")
def test_fixed_range_is_kept_after_enomem(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"abc")
    with refused_in_place(process, file, page, "ENOMEM") as base:
        process.mmap(base, too_long(process, page), PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)


@clause("mmap.result.failure.fixed")
def test_fixed_range_is_kept_after_eperm(system: System, process: Process, page: int, file: MakeFile) -> None:
    fd = noexec_file(system, process)
    with refused_in_place(process, file, page, "EPERM") as base:
        process.mmap(base, page, PROT_EXEC, MAP_SHARED | MAP_FIXED, fd, 0)


@clause("mmap.result.failure.fixed")
def test_fixed_range_is_kept_after_eagain(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"abc")
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, page)
    with refused_in_place(process, file, page, "EAGAIN") as base:
        process.mmap(base, 2 * page, PROT_READ, MAP_PRIVATE | MAP_FIXED | MAP_LOCKED, fd, 0)
