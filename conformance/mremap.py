"""Cases of mremap: a mapping grows, shrinks and moves; its content afterwards; errors.

Growth in place needs unmapped pages after the mapping; growth that must fail in place needs mapped ones.  Both are
arranged inside a reservation of the case's own (`reserve_room`), so that no other mapping is involved or damaged.
"""

from __future__ import annotations

from errno import ENOMEM

import pytest

from ..catalogue.experiments import private_memory
from ..contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_LOCKED,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    O_RDONLY,
    PROT_NONE,
    PROT_READ,
    Process,
    Resource,
    Unsupported,
)
from ..testing import clause, fails, faults, needs
from ._helpers import (
    ANONYMOUS,
    KINDS,
    RW,
    WITHOUT_FILE,
    MakeFile,
    assert_inaccessible,
    assert_nothing_mapped,
    lettered_pages,
    map_memory,
    map_memory_at,
    reserve,
)

SHARED_MEMORY = MAP_SHARED | MAP_ANONYMOUS
FLAGS = [pytest.param(0, id="flags-0"), pytest.param(MREMAP_MAYMOVE, id="maymove")]


def reserve_room(process: Process, page: int, mapped: int, free: int) -> int:
    """Reserve `mapped` pages, followed by `free` unmapped pages and an inaccessible page; return their address."""
    base = reserve(process, mapped + free + 1)
    if free:
        process.munmap(base + mapped * page, free * page)
    return base


def growth_errnos(errno: str, flags: int) -> tuple[str, ...]:
    """Return the errnos of a growth that is refused: without MREMAP_MAYMOVE it has no room in place either."""
    return (errno,) if flags & MREMAP_MAYMOVE else (errno, "ENOMEM")


def map_kind(kind: str, process: Process, file: MakeFile, addr: int, page: int, pages: int, in_file: int) -> int:
    """Map `pages` pages holding A, B … at `addr`, of one of KINDS; return the file descriptor, or -1 if anonymous.

    The file is `in_file` pages long.
    """
    flags = (MAP_SHARED if kind.endswith("shared") else MAP_PRIVATE) | MAP_FIXED
    if kind.startswith("file"):
        fd = file(lettered_pages(page, in_file))
        process.mmap(addr, pages * page, RW, flags, fd, 0)
        return fd
    process.mmap(addr, pages * page, RW, flags | WITHOUT_FILE, -1, 0)
    process.store(addr, lettered_pages(page, pages))
    return -1


# --------------------------------------------------------------------------------------------------------------- resize


@clause("mremap.resize")
@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("kind", KINDS)
def test_growth_keeps_content_and_extends_it(
    process: Process, file: MakeFile, page: int, kind: str, flags: int
) -> None:
    """New pages show the file's next bytes, or zeros in private memory; in shared anonymous memory they fault."""
    base = reserve_room(process, page, 2, 2)
    map_kind(kind, process, file, base, page, 2, in_file=3)

    base = process.mremap(base, 2 * page, 4 * page, flags)

    assert process.load(base, 2 * page) == lettered_pages(page, 2)
    if kind == "anonymous-private":
        assert process.load(base + 2 * page, 2 * page) == bytes(2 * page)
        process.store(base + 3 * page, b"x")
    elif kind == "anonymous-shared":
        with faults("SIGBUS"):
            process.load(base + 2 * page, 1)
    else:
        assert process.load(base + 2 * page, page) == b"C" * page
        with faults("SIGBUS"):
            process.load(base + 3 * page, 1)


@clause("mremap.resize")
@needs("anonymous-memory")
@pytest.mark.parametrize(("old", "new"), [(1, 2), (1, 4), (3, 4), (3, 5)])
def test_growth_maps_exactly_new_size(process: Process, file: MakeFile, page: int, old: int, new: int) -> None:
    base = reserve_room(process, page, old, 7 - old)
    map_kind("anonymous-private", process, file, base, page, old, in_file=0)

    assert process.mremap(base, old * page, new * page, 0) == base

    assert process.load(base, new * page) == lettered_pages(page, old).ljust(new * page, b"\0")
    assert_inaccessible(process, base + new * page)
    assert_inaccessible(process, base + 7 * page)


@clause("mremap.resize")
@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("kind", KINDS)
def test_shrinking_unmaps_end(process: Process, file: MakeFile, page: int, kind: str, flags: int) -> None:
    base = reserve_room(process, page, 4, 0)
    map_kind(kind, process, file, base, page, 4, in_file=4)

    resized = process.mremap(base, 4 * page, 2 * page, flags)

    assert process.load(resized, 2 * page) == lettered_pages(page, 2)
    assert_inaccessible(process, base + 2 * page)
    assert_inaccessible(process, base + 3 * page)
    assert_inaccessible(process, base + 4 * page)


@clause("mremap.resize")
@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("kind", KINDS)
def test_same_size_changes_nothing(process: Process, file: MakeFile, page: int, kind: str, flags: int) -> None:
    base = reserve_room(process, page, 2, 0)
    map_kind(kind, process, file, base, page, 2, in_file=2)

    resized = process.mremap(base, 2 * page, 2 * page, flags)

    assert process.load(resized, 2 * page) == lettered_pages(page, 2)
    assert_inaccessible(process, base + 2 * page)


@clause("mremap.resize")
def test_shrinking_does_not_change_file(process: Process, file: MakeFile, page: int) -> None:
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    process.store(base + page, b"!")

    process.mremap(base, 2 * page, page, 0)

    assert process.fstat(fd).size == 2 * page
    assert process.pread(fd, 2, page) == b"!B"


@clause("mremap.resize")
def test_growth_after_shrinking_shows_file_again(process: Process, file: MakeFile, page: int) -> None:
    base = reserve_room(process, page, 3, 0)
    map_kind("file-shared", process, file, base, page, 3, in_file=3)
    process.mremap(base, 3 * page, page, 0)

    assert process.mremap(base, page, 3 * page, 0) == base

    assert process.load(base, 3 * page) == lettered_pages(page, 3)


@clause("mremap.resize")
def test_growth_after_shrinking_gives_zeros_in_private_memory(process: Process, page: int) -> None:
    base = reserve_room(process, page, 2, 0)
    map_memory_at(process, base, 2 * page)
    process.store(base, b"x" * (2 * page))
    process.mremap(base, 2 * page, page, 0)

    process.mremap(base, page, 2 * page, 0)

    assert process.load(base, 2 * page) == b"x" * page + bytes(page)


@clause("mremap.resize")
def test_growth_continues_at_file_offset_of_mapping(process: Process, file: MakeFile, page: int) -> None:
    base = reserve_room(process, page, 1, 1)
    process.mmap(base, page, PROT_READ, MAP_SHARED | MAP_FIXED, file(lettered_pages(page, 4)), 2 * page)

    process.mremap(base, page, 2 * page, 0)

    assert process.load(base, 2 * page) == lettered_pages(page, 4)[2 * page :]


@clause("mremap.resize")
def test_new_pages_of_shared_mapping_are_shared(process: Process, file: MakeFile, page: int) -> None:
    base = reserve_room(process, page, 1, 1)
    fd = map_kind("file-shared", process, file, base, page, 1, in_file=2)

    process.mremap(base, page, 2 * page, 0)
    process.store(base + page, b"new")

    assert process.pread(fd, 4, page) == b"newB"


@clause("mremap.resize")
def test_new_pages_of_private_mapping_are_private(process: Process, file: MakeFile, page: int) -> None:
    base = reserve_room(process, page, 1, 1)
    fd = map_kind("file-private", process, file, base, page, 1, in_file=2)
    process.store(base, b"old")

    process.mremap(base, page, 2 * page, 0)
    process.store(base + page, b"new")

    assert process.load(base, 4) == b"oldA"
    assert process.load(base + page, 4) == b"newB"
    assert process.pread(fd, 1, 0) + process.pread(fd, 1, page) == b"AB"


@clause("mremap.resize")
def test_new_pages_have_protection_of_mapping(process: Process, file: MakeFile, page: int) -> None:
    base = reserve_room(process, page, 1, 1)
    process.mmap(base, page, PROT_READ, MAP_SHARED | MAP_FIXED, file(lettered_pages(page, 2), O_RDONLY), 0)

    process.mremap(base, page, 2 * page, 0)

    assert process.load(base + page, 1) == b"B"
    with faults("SIGSEGV"):
        process.store(base + page, b"x")


@clause("mremap.resize")
def test_growth_after_close_shows_file(process: Process, file: MakeFile, page: int) -> None:
    base = reserve_room(process, page, 1, 1)
    process.close(map_kind("file-shared", process, file, base, page, 1, in_file=2))

    process.mremap(base, page, 2 * page, 0)

    assert process.load(base, 2 * page) == lettered_pages(page, 2)


@clause("mremap.resize")
def test_shrinking_middle_of_mapping_keeps_following_pages(process: Process, file: MakeFile, page: int) -> None:
    """The old range ends inside the mapping; the pages after it stay in place."""
    base = process.mmap(0, 4 * page, RW, MAP_SHARED, file(lettered_pages(page, 4)), 0)

    process.mremap(base + page, 2 * page, page, 0)

    assert process.load(base, 2 * page) == lettered_pages(page, 2)
    assert_inaccessible(process, base + 2 * page)
    assert process.load(base + 3 * page, page) == b"D" * page


@clause("mremap.linux-only")
def test_mremap_works_where_it_exists(process: Process, page: int) -> None:
    """A system without mremap raises Unsupported, which is not a failure."""
    base = map_memory(process, 2 * page)
    process.store(base, b"kept")

    assert process.mremap(base, 2 * page, page, 0) == base

    assert process.load(base, 4) == b"kept"


# ---------------------------------------------------------------------------------------------------------------- flags


@clause("mremap.flags.zero")
@pytest.mark.parametrize("kind", KINDS)
def test_size_changes_in_place_without_flags(process: Process, file: MakeFile, page: int, kind: str) -> None:
    base = reserve_room(process, page, 2, 2)
    map_kind(kind, process, file, base, page, 2, in_file=4)

    assert process.mremap(base, 2 * page, 4 * page, 0) == base
    assert process.mremap(base, 4 * page, page, 0) == base

    assert process.load(base, page) == b"A" * page
    assert_inaccessible(process, base + page)
    assert_inaccessible(process, base + 4 * page)


@clause("mremap.flags.maymove")
@pytest.mark.parametrize("pages", [1, 2, 4], ids=["shrink", "same", "grow"])
@pytest.mark.parametrize("kind", KINDS)
def test_mapping_does_not_move_when_resized_in_place(
    process: Process, file: MakeFile, page: int, kind: str, pages: int
) -> None:
    free = max(pages - 2, 0)
    base = reserve_room(process, page, 2, free)
    map_kind(kind, process, file, base, page, 2, in_file=4)

    assert process.mremap(base, 2 * page, pages * page, MREMAP_MAYMOVE) == base

    assert process.load(base, page) == b"A" * page
    assert_inaccessible(process, base + (2 + free) * page)


@clause("mremap.flags.maymove")
@pytest.mark.parametrize("kind", KINDS)
def test_mapping_moves_when_next_page_is_mapped(process: Process, file: MakeFile, page: int, kind: str) -> None:
    base = reserve_room(process, page, 2, 0)
    map_kind(kind, process, file, base, page, 2, in_file=2)

    moved = process.mremap(base, 2 * page, 3 * page, MREMAP_MAYMOVE)

    assert moved % page == 0
    assert moved != base
    assert process.load(moved, 2 * page) == lettered_pages(page, 2)
    assert_inaccessible(process, base)
    assert_inaccessible(process, base + page)
    assert_inaccessible(process, base + 2 * page)


@clause("mremap.flags.maymove")
def test_moved_mapping_is_shared_with_file(process: Process, file: MakeFile, page: int) -> None:
    base = reserve_room(process, page, 1, 0)
    fd = map_kind("file-shared", process, file, base, page, 1, in_file=2)
    process.store(base, b"before")

    moved = process.mremap(base, page, 2 * page, MREMAP_MAYMOVE)
    process.store(moved + page, b"after")
    process.pwrite(fd, b"file", 8)

    assert process.pread(fd, 6, 0) == b"before"
    assert process.pread(fd, 5, page) == b"after"
    assert process.load(moved + 8, 4) == b"file"


@clause("mremap.flags.maymove")
@pytest.mark.parametrize("kind", ["file-shared", pytest.param("anonymous-shared", marks=needs("anonymous-memory"))])
def test_moved_mapping_is_shared_with_child(process: Process, file: MakeFile, page: int, kind: str) -> None:
    base = reserve_room(process, page, 1, 0)
    map_kind(kind, process, file, base, page, 1, in_file=2)
    child = process.fork()

    moved = process.mremap(base, page, 2 * page, MREMAP_MAYMOVE)
    process.store(moved, b"moved")
    child.store(base + 8, b"child")

    assert child.load(base, 5) == b"moved"
    assert process.load(moved + 8, 5) == b"child"


@clause("mremap.flags.maymove")
def test_moved_mapping_keeps_private_copies(process: Process, file: MakeFile, page: int) -> None:
    base = reserve_room(process, page, 2, 0)
    fd = map_kind("file-private", process, file, base, page, 2, in_file=3)
    process.store(base + page, b"copy")

    moved = process.mremap(base, 2 * page, 3 * page, MREMAP_MAYMOVE)
    process.store(moved + 2 * page, b"more")

    assert process.load(moved + page, 5) == b"copyB"
    assert process.pread(fd, 2 * page, page) == b"B" * page + b"C" * page


@clause("mremap.flags.maymove")
def test_part_of_mapping_moves_and_rest_stays(process: Process, file: MakeFile, page: int) -> None:
    """The first page cannot grow in place, because the second page of the same mapping follows it."""
    fd = file(lettered_pages(page, 3))
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, fd, 0)

    moved = process.mremap(base, page, 2 * page, MREMAP_MAYMOVE)

    assert process.load(moved, 2 * page) == lettered_pages(page, 2)
    assert_inaccessible(process, base)
    process.store(base + page, b"!")
    assert process.load(base + 2 * page, page) == b"C" * page
    assert process.load(moved + page, 2) == b"!B"


@clause("mremap.flags.maymove")
@pytest.mark.parametrize("kind", ["file", "anonymous"])
def test_moved_mapping_keeps_protection(process: Process, file: MakeFile, page: int, kind: str) -> None:
    base = reserve_room(process, page, 1, 0)
    if kind == "file":
        process.mmap(base, page, PROT_READ, MAP_PRIVATE | MAP_FIXED, file(lettered_pages(page, 2)), 0)
    else:
        map_memory_at(process, base, page, PROT_READ)

    moved = process.mremap(base, page, 2 * page, MREMAP_MAYMOVE)

    assert process.load(moved, 1) == (b"A" if kind == "file" else b"\0")
    with faults("SIGSEGV"):
        process.store(moved, b"x")


# --------------------------------------------------------------------------------------------------------------- EAGAIN


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize(
    ("how", "lock_flag"),
    [
        pytest.param("mlock", 0, id="mlock", marks=clause("mremap.errno.EAGAIN")),
        pytest.param("map-locked", MAP_LOCKED, id="map-locked", marks=clause("mmap.flag.locked")),
    ],
)
def test_growth_past_locked_memory_limit_fails(
    process: Process, page: int, how: str, lock_flag: int, flags: int
) -> None:
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 2 * page)
    base = reserve_room(process, page, 1, 2)
    memory, fd = private_memory(process, 3 * page)
    process.mmap(base, page, RW, memory | MAP_FIXED | lock_flag, fd, 0)
    if how == "mlock":
        process.mlock(base, page)
    process.store(base, b"kept")

    with fails("EAGAIN"):
        process.mremap(base, page, 3 * page, flags)

    assert process.load(base, 4) == b"kept"
    assert_inaccessible(process, base + page)
    assert process.mremap(base, page, 2 * page, 0) == base  # as far as the limit goes


# --------------------------------------------------------------------------------------------------------------- EFAULT


@clause("mremap.errno.EFAULT")
@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("pages", [1, 2, 3], ids=["shrink", "same", "grow"])
def test_unmapped_start_fails(process: Process, page: int, pages: int, flags: int) -> None:
    base = reserve_room(process, page, 0, 3)
    map_memory_at(process, base + page, page)
    process.store(base + page, b"kept")

    with fails("EFAULT"):
        process.mremap(base, 2 * page, pages * page, flags)

    assert_inaccessible(process, base)
    assert process.load(base + page, 4) == b"kept"
    assert_inaccessible(process, base + 2 * page)


@clause("mremap.errno.EFAULT")
@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("hole", [1, 2], ids=["middle", "end"])
def test_growth_of_range_with_hole_fails(process: Process, page: int, hole: int, flags: int) -> None:
    base = reserve_room(process, page, 3, 3)
    map_memory_at(process, base, 3 * page)
    process.store(base, lettered_pages(page, 3))
    process.munmap(base + hole * page, page)

    with fails(*growth_errnos("EFAULT", flags)):
        process.mremap(base, 3 * page, 4 * page, flags)

    for number in range(3):
        if number == hole:
            assert_inaccessible(process, base + number * page)
        else:
            assert (
                process.load(base + number * page, page) == lettered_pages(page, 3)[number * page : (number + 1) * page]
            )
    assert_inaccessible(process, base + 3 * page)


@clause("mremap.errno.EFAULT")
@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize(
    "difference",
    [
        "protection",
        pytest.param("anonymous", marks=needs("anonymous-memory")),
        "private",
        "another-file",
        "another-offset",
    ],
)
def test_growth_of_range_with_different_mappings_fails(
    process: Process, file: MakeFile, page: int, difference: str, flags: int
) -> None:
    """The two mappings differ so that no system can merge them; equal ones may have been merged."""
    base = reserve_room(process, page, 2, 2)
    fd = file(lettered_pages(page, 2))
    process.mmap(base, page, RW, MAP_SHARED | MAP_FIXED, fd, 0)
    second = base + page
    match difference:
        case "protection":
            process.mmap(second, page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, page)
        case "anonymous":
            process.mmap(second, page, RW, SHARED_MEMORY | MAP_FIXED, -1, 0)
        case "private":
            process.mmap(second, page, RW, MAP_PRIVATE | MAP_FIXED, fd, page)
        case "another-file":
            process.mmap(second, page, RW, MAP_SHARED | MAP_FIXED, file(bytes(2 * page)), page)
        case "another-offset":
            process.mmap(second, page, RW, MAP_SHARED | MAP_FIXED, fd, 0)
    before = process.load(base, 2 * page)

    with fails(*growth_errnos("EFAULT", flags)):
        process.mremap(base, 2 * page, 3 * page, flags)

    assert process.load(base, 2 * page) == before
    assert_inaccessible(process, base + 2 * page)


# --------------------------------------------------------------------------------------------------------------- EINVAL


@clause("mremap.errno.EINVAL")
def test_shrinking_range_past_address_space_fails(process: Process, page: int) -> None:
    """The old range extends past the end of the address space."""
    base = map_memory(process, page)
    process.store(base, b"kept")

    with fails("EINVAL"):
        process.mremap(base, (1 << process.bits) - 2 * page, page, 0)

    assert process.load(base, 4) == b"kept"


@clause("mremap.errno.EINVAL")
@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("inside", ["1", "half", "last"])
@pytest.mark.parametrize("pages", [1, 2, 3], ids=["shrink", "same", "grow"])
def test_unaligned_address_is_refused(process: Process, page: int, pages: int, inside: str, flags: int) -> None:
    base = map_memory(process, 3 * page)
    process.store(base, lettered_pages(page, 3))
    addr = base + {"1": 1, "half": page // 2, "last": page - 1}[inside]

    with fails(*growth_errnos("EINVAL", flags if pages > 2 else MREMAP_MAYMOVE)):
        process.mremap(addr, 2 * page, pages * page, flags)

    assert process.load(base, 3 * page) == lettered_pages(page, 3)


@clause("mremap.errno.EINVAL")
@pytest.mark.parametrize("flags", FLAGS)
def test_new_size_zero_is_refused(process: Process, page: int, flags: int) -> None:
    base = map_memory(process, page)
    process.store(base, b"kept")

    with fails("EINVAL"):
        process.mremap(base, page, 0, flags)

    assert process.load(base, 4) == b"kept"


@clause("mremap.errno.EINVAL")
@pytest.mark.parametrize("flags", [8, 8 | MREMAP_MAYMOVE, 1 << 20], ids=["8", "8-and-maymove", "bit-20"])
def test_unknown_flags_are_refused(process: Process, page: int, flags: int) -> None:
    base = map_memory(process, 2 * page)
    process.store(base, lettered_pages(page, 2))

    with fails("EINVAL"):
        process.mremap(base, 2 * page, page, flags)

    assert process.load(base, 2 * page) == lettered_pages(page, 2)


@clause("mremap.errno.EINVAL")
@pytest.mark.parametrize("flags", FLAGS)
def test_new_size_larger_than_address_space_is_refused(process: Process, page: int, flags: int) -> None:
    if process.bits < 64:
        raise Unsupported("half of a small address space may be mappable")
    base = map_memory(process, page)
    process.store(base, b"kept")

    with fails("EINVAL", "ENOMEM"):  # there is no room for it either
        process.mremap(base, page, (1 << 63) - page, flags)

    assert process.load(base, 4) == b"kept"


@clause("mremap.errno.EINVAL")
@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("size", ["last-page", "round-up"])
def test_new_size_above_ptrdiff_max_is_refused(process: Process, page: int, size: str, flags: int) -> None:
    """A C library may refuse these sizes itself (musl: ENOMEM)."""
    base = map_memory(process, page)
    process.store(base, b"kept")
    span = 1 << process.bits

    with fails("EINVAL", "ENOMEM"):
        process.mremap(base, page, {"last-page": span - page, "round-up": span - 1}[size], flags)

    assert process.load(base, 4) == b"kept"


# --------------------------------------------------------------------------------------------------------------- ENOMEM


def largest_reservation(process: Process) -> int:
    """Return the largest power of two, from 2^45 down, of bytes that can be mapped without access."""
    length = 1 << (process.bits - 19 if process.bits == 64 else 30)
    while True:
        try:
            process.munmap(process.mmap(0, length, PROT_NONE, ANONYMOUS, -1, 0), length)
            return length
        except OSError as error:
            if error.errno != ENOMEM or length == 1:
                raise
            length //= 2


@needs("no-room")
@clause("mremap.errno.ENOMEM")
def test_growth_beyond_largest_gap_fails(process: Process, page: int) -> None:
    """Reservations fill the address space until no gap of the new size is left."""
    base = process.mmap(0, page, PROT_NONE, ANONYMOUS, -1, 0)
    length = largest_reservation(process)
    with fails("ENOMEM"):
        for _ in range(1 << 12):
            process.mmap(0, length, PROT_NONE, ANONYMOUS, -1, 0)

    with fails("ENOMEM"):
        process.mremap(base, page, length, MREMAP_MAYMOVE)

    assert_inaccessible(process, base)


@clause("mremap.errno.ENOMEM", "mremap.flags.zero")
@pytest.mark.parametrize("kind", KINDS)
def test_growth_in_place_over_next_mapping_fails(process: Process, file: MakeFile, page: int, kind: str) -> None:
    """One page after the mapping is free and two are requested; not even the free one becomes mapped."""
    base = reserve_room(process, page, 2, 1)
    fd = map_kind(kind, process, file, base, page, 2, in_file=4)

    with fails("ENOMEM"):
        process.mremap(base, 2 * page, 4 * page, 0)

    assert process.load(base, 2 * page) == lettered_pages(page, 2)
    assert_inaccessible(process, base + 2 * page)
    assert_inaccessible(process, base + 3 * page)
    process.store(base, b"!")
    if kind == "file-shared":
        assert process.pread(fd, 2, 0) == b"!A"


@clause("mremap.errno.ENOMEM", "mremap.flags.zero")
def test_growth_of_first_page_over_second_fails(process: Process, page: int) -> None:
    """The second page belongs to the same mapping."""
    base = map_memory(process, 2 * page)
    process.store(base, lettered_pages(page, 2))

    with fails("ENOMEM"):
        process.mremap(base, page, 2 * page, 0)

    assert process.load(base, 2 * page) == lettered_pages(page, 2)


@clause("mremap.errno.ENOMEM")
@pytest.mark.parametrize("flags", FLAGS)
def test_growth_past_address_space_limit_fails(process: Process, page: int, flags: int) -> None:
    """The pages after the mapping are unmapped, so that only RLIMIT_AS prevents the growth."""
    base = reserve_room(process, page, 1, 128)
    map_memory_at(process, base, page)
    process.store(base, b"kept")
    process.set_limit_headroom(Resource.ADDRESS_SPACE, 64 * page)

    with fails("ENOMEM"):
        process.mremap(base, page, 128 * page, flags)

    assert process.load(base, 4) == b"kept"
    assert_inaccessible(process, base + page)


# -------------------------------------------------------------------------------------- documented by Linux only: FIXED


@clause("mremap.flags.fixed")
@pytest.mark.parametrize("kind", KINDS)
def test_fixed_moves_to_requested_address(process: Process, file: MakeFile, page: int, kind: str) -> None:
    base = reserve_room(process, page, 2, 0)
    map_kind(kind, process, file, base, page, 2, in_file=2)
    target = reserve(process, 4)

    assert process.mremap(base, 2 * page, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED, target + page) == target + page

    assert process.load(target + page, 2 * page) == lettered_pages(page, 2)
    assert_nothing_mapped(process, base)
    assert_nothing_mapped(process, base + page)
    assert_inaccessible(process, target)
    assert_inaccessible(process, target + 3 * page)


@clause("mremap.flags.fixed")
@pytest.mark.parametrize("pages", [1, 3], ids=["shrink", "grow"])
def test_fixed_replaces_exactly_new_size(process: Process, page: int, pages: int) -> None:
    base = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)
    process.store(base, lettered_pages(page, 2))
    target = process.mmap(0, 4 * page, RW, ANONYMOUS, -1, 0)
    process.store(target, b"t" * (4 * page))

    process.mremap(base, 2 * page, pages * page, MREMAP_MAYMOVE | MREMAP_FIXED, target)

    moved = (lettered_pages(page, 2) + bytes(page))[: pages * page]
    assert process.load(target, 4 * page) == moved + b"t" * ((4 - pages) * page)
    assert_nothing_mapped(process, base)
    assert_nothing_mapped(process, base + page)


@clause("mremap.flags.fixed")
@pytest.mark.parametrize(
    "error", ["without-maymove", "unaligned", "above-user-space", "overlap-at-start", "overlap-at-end", "same-address"]
)
def test_fixed_with_invalid_target_is_refused(process: Process, page: int, error: str) -> None:
    """Each call has exactly one error: apart from it, the new range is valid."""
    base = process.mmap(0, 6 * page, RW, ANONYMOUS, -1, 0)
    process.store(base, lettered_pages(page, 6))
    source = base + page
    flags = MREMAP_FIXED if error == "without-maymove" else MREMAP_MAYMOVE | MREMAP_FIXED
    target = {
        "without-maymove": base + 3 * page,
        "unaligned": base + 3 * page + 1,
        "above-user-space": (1 << process.bits) - 2 * page,
        "overlap-at-start": source - page,
        "overlap-at-end": source + page,
        "same-address": source,
    }[error]

    with fails("EINVAL"):
        process.mremap(source, 2 * page, 2 * page, flags, target)

    assert process.load(base, 6 * page) == lettered_pages(page, 6)


@clause("mremap.flags.fixed")
def test_fixed_from_unmapped_range_fails(process: Process, page: int) -> None:
    target = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(target, b"kept")
    base = reserve_room(process, page, 0, 1)

    with fails("EFAULT"):
        process.mremap(base, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, target)

    assert process.load(target, 4) == b"kept"


@needs("old-size-zero")
@clause("mremap.flags.fixed")
def test_fixed_duplicate_onto_its_source_fails(process: Process, page: int, file: MakeFile) -> None:
    base = process.mmap(0, page, RW, MAP_SHARED, file(b"abc"), 0)

    with fails("EFAULT"):
        process.mremap(base, 0, page, MREMAP_MAYMOVE | MREMAP_FIXED, base)


@clause("mmap.errno.EPERM.zero", "mremap.flags.fixed")
def test_fixed_at_address_zero_without_privilege_is_refused(process: Process, page: int) -> None:
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, b"kept")
    process.drop_capability("CAP_SYS_RAWIO")

    with fails("EPERM"):
        process.mremap(base, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, 0)

    assert process.load(base, 4) == b"kept"
    assert_nothing_mapped(process, 0)


# ------------------------------------------------------------------------------------------------------------ DONTUNMAP


@clause("mremap.flags.dontunmap")
def test_dontunmap_leaves_zeros_in_old_range(process: Process, page: int) -> None:
    base = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)
    process.store(base, lettered_pages(page, 2))

    moved = process.mremap(base, 2 * page, 2 * page, MREMAP_MAYMOVE | MREMAP_DONTUNMAP)

    assert moved != base
    assert process.load(moved, 2 * page) == lettered_pages(page, 2)
    assert process.load(base, 2 * page) == bytes(2 * page)
    process.store(base, b"x")
    assert process.load(moved, 1) == b"A"


@clause("mremap.flags.dontunmap")
def test_dontunmap_of_shared_file_maps_it_twice(process: Process, file: MakeFile, page: int) -> None:
    base = process.mmap(0, page, RW, MAP_SHARED, file(lettered_pages(page, 1)), 0)

    moved = process.mremap(base, page, page, MREMAP_MAYMOVE | MREMAP_DONTUNMAP)
    process.store(moved, b"new")

    assert process.load(base, 4) == b"newA"


@clause("mremap.flags.dontunmap")
@pytest.mark.parametrize("error", ["without-maymove", "another-size"])
def test_invalid_dontunmap_is_refused(process: Process, page: int, error: str) -> None:
    base = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)
    process.store(base, lettered_pages(page, 2))
    flags = MREMAP_DONTUNMAP if error == "without-maymove" else MREMAP_MAYMOVE | MREMAP_DONTUNMAP

    with fails("EINVAL"):
        process.mremap(base, 2 * page, (3 if error == "another-size" else 2) * page, flags)

    assert process.load(base, 2 * page) == lettered_pages(page, 2)


# ----------------------------------------------------------------------------------------------------------- old size 0


@clause("mremap.old-size-zero")
@pytest.mark.parametrize("kind", ["file-shared", "anonymous-shared"])
def test_old_size_zero_duplicates_shared_pages(process: Process, file: MakeFile, page: int, kind: str) -> None:
    base = reserve_room(process, page, 2, 0)
    map_kind(kind, process, file, base, page, 2, in_file=2)

    duplicate = process.mremap(base, 0, 2 * page, MREMAP_MAYMOVE)

    assert duplicate != base
    assert process.load(duplicate, 2 * page) == lettered_pages(page, 2)
    process.store(duplicate, b"new")
    assert process.load(base, 4) == b"newA"


@clause("mremap.old-size-zero")
@pytest.mark.parametrize("flags", FLAGS)
def test_old_size_zero_of_private_memory_is_refused(process: Process, page: int, flags: int) -> None:
    base = reserve_room(process, page, 1, 1)
    process.mmap(base, page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(base, b"kept")

    with fails("EINVAL"):
        process.mremap(base, 0, page, flags)

    assert process.load(base, 4) == b"kept"


@clause("mremap.old-size-zero")
def test_old_size_zero_without_maymove_fails(process: Process, file: MakeFile, page: int) -> None:
    base = reserve_room(process, page, 1, 1)
    map_kind("file-shared", process, file, base, page, 1, in_file=1)

    with fails("ENOMEM"):
        process.mremap(base, 0, page, 0)

    assert process.load(base, page) == b"A" * page
    assert_nothing_mapped(process, base + page)
