"""Cases of munmap: what becomes of what was stored, of locks and limits, of the place, of others' pages."""

from __future__ import annotations

from typing import Final

import pytest

from ..contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_PRIVATE,
    MAP_SHARED,
    MS_INVALIDATE,
    O_RDONLY,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    Fault,
    Process,
    Resource,
)
from ..testing import clause, fails
from ._helpers import (
    ANONYMOUS,
    RW,
    MakeFile,
    NewPath,
    assert_nothing_mapped,
    lettered_pages,
    reserve,
    shared_and_private,
)

parts = pytest.mark.parametrize(
    ("first", "count"), [(0, 3), (0, 1), (1, 1), (2, 1)], ids=["whole", "head", "middle", "tail"]
)
RIGHTS: Final = {
    "none": PROT_NONE,
    "read": PROT_READ,
    "write": PROT_WRITE,
    "read-exec": PROT_READ | PROT_EXEC,
    "all": RW | PROT_EXEC,
}


# -------------------------------------------------------------------------------------------------- what was stored


@clause("munmap.private")
@parts
def test_private_stores_are_discarded(process: Process, file: MakeFile, page: int, first: int, count: int) -> None:
    """They reach neither the file nor a mapping that is made later."""
    fd = file(lettered_pages(page, 3))
    base = process.mmap(0, 3 * page, RW, MAP_PRIVATE, fd, 0)
    process.store(base, b"x" * (3 * page))

    process.munmap(base + first * page, count * page)

    assert process.pread(fd, 3 * page, 0) == lettered_pages(page, 3)
    again = process.mmap(0, 3 * page, RW, MAP_PRIVATE, fd, 0)
    assert process.load(again, 3 * page) == lettered_pages(page, 3)


@clause("munmap.shared")
@parts
def test_shared_stores_are_the_files(process: Process, file: MakeFile, page: int, first: int, count: int) -> None:
    """Nobody has synced them; they are read, and mapped, all the same."""
    fd = file(lettered_pages(page, 3))
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, fd, 0)
    for number in range(3):
        process.store(base + number * page, b"%d" % number)

    process.munmap(base + first * page, count * page)

    again = process.mmap(0, 3 * page, PROT_READ, MAP_SHARED, fd, 0)
    for number, letter in enumerate((b"A", b"B", b"C")):
        assert process.pread(fd, 2, number * page) == b"%d" % number + letter
        assert process.load(again + number * page, 2) == b"%d" % number + letter


@clause("munmap.shared")
def test_shared_stores_of_a_closed_file(process: Process, file: MakeFile, new_path: NewPath, page: int) -> None:
    path = new_path()
    fd = file(b"old", path=path)
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    process.close(fd)
    process.store(base, b"new")

    process.munmap(base, page)

    assert process.pread(process.open(path, O_RDONLY), 4, 0) == b"new"


@clause("munmap.slack")
@shared_and_private
@pytest.mark.parametrize("size", [1, 0], ids=["page-and-a-byte", "one-byte"])
def test_the_file_does_not_grow(process: Process, file: MakeFile, page: int, size: int, kind: int) -> None:
    """Neither by what was stored behind its end nor by what was stored before."""
    length = size * page + 1
    fd = file(b"a" * length)
    base = process.mmap(0, 2 * page, RW, kind, fd, 0)
    process.store(base, b"b")
    process.store(base + length, b"slack")

    process.munmap(base, 2 * page)

    assert process.fstat(fd).size == length
    assert len(process.pread(fd, 2 * page, 0)) == length


@clause("munmap.offset")
@shared_and_private
def test_the_parts_that_stay_keep_their_place_in_the_file(
    process: Process, file: MakeFile, page: int, kind: int
) -> None:
    """They are first touched afterwards; there are three, of a mapping that does not begin where the file does."""
    base = process.mmap(0, 5 * page, RW, kind, file(lettered_pages(page, 6)), page)

    process.munmap(base + page, page)
    process.munmap(base + 3 * page, page)

    for number, letter in ((0, b"B"), (2, b"D"), (4, b"F")):
        assert process.load(base + number * page, page) == letter * page


@clause("munmap.rights")
@pytest.mark.parametrize("rights", RIGHTS)
def test_the_parts_that_stay_keep_their_rights(process: Process, page: int, rights: str) -> None:
    base = process.mmap(0, 3 * page, RIGHTS[rights], ANONYMOUS, -1, 0)
    before = [access_of(process, base + number * page) for number in (0, 2)]

    process.munmap(base + page, page)

    assert_nothing_mapped(process, base + page)
    assert [access_of(process, base + number * page) for number in (0, 2)] == before


def access_of(process: Process, addr: int) -> list[str]:
    """What comes of a load and of a store at an address."""
    found = []
    for access in (lambda: process.load(addr, 1), lambda: process.store(addr, b"x")):
        try:
            access()
            found.append("works")
        except Fault as fault:
            found.append(fault.code)
    return found


@clause("munmap.usual-arguments")
@pytest.mark.parametrize("inside", ["1", "page-1"])
@pytest.mark.parametrize("number", [0, 1, 2], ids=["head", "middle", "tail"])
def test_less_than_a_page_is_the_page(process: Process, page: int, number: int, inside: str) -> None:
    base = process.mmap(0, 3 * page, RW, ANONYMOUS, -1, 0)
    process.store(base, lettered_pages(page, 3))

    process.munmap(base + number * page, 1 if inside == "1" else page - 1)

    assert_nothing_mapped(process, base + number * page)
    for other in {0, 1, 2} - {number}:
        assert process.load(base + other * page, page) == lettered_pages(page, 3)[other * page : (other + 1) * page]


# -------------------------------------------------------------------------------------------------- who else has them


@clause("munmap.mapping")
@shared_and_private
@pytest.mark.parametrize("descriptor", ["same", "dup"])
def test_another_mapping_of_the_same_pages_stays(
    process: Process, file: MakeFile, page: int, descriptor: str, kind: int
) -> None:
    fd = file(lettered_pages(page, 2))
    first = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    second = process.mmap(0, 2 * page, RW, kind, fd if descriptor == "same" else process.dup(fd), 0)
    process.store(second, b"!")

    process.munmap(first, 2 * page)

    assert process.load(second, 2 * page) == b"!" + lettered_pages(page, 2)[1:]
    process.store(second + page, b"x")


@clause("munmap.process")
@pytest.mark.parametrize("who", ["parent", "child"])
@pytest.mark.parametrize("kind", ["file-shared", "file-private", "anonymous-shared", "anonymous-private"])
def test_the_other_process_keeps_its_pages(process: Process, file: MakeFile, page: int, kind: str, who: str) -> None:
    """Also pages that neither has touched since the fork."""
    flags = MAP_SHARED if kind.endswith("shared") else MAP_PRIVATE
    if kind.startswith("file"):
        base = process.mmap(0, 2 * page, RW, flags, file(lettered_pages(page, 2)), 0)
    else:
        base = process.mmap(0, 2 * page, RW, flags | MAP_ANONYMOUS, -1, 0)
        process.store(base, lettered_pages(page, 2))
    child = process.fork()
    leaver, stayer = (process, child) if who == "parent" else (child, process)

    leaver.munmap(base, 2 * page)

    assert stayer.load(base, 2 * page) == lettered_pages(page, 2)
    stayer.store(base, b"!")
    assert stayer.load(base, 2) == b"!A"


# --------------------------------------------------------------------------------------------- place, locks and limits


@clause("munmap.free")
@parts
def test_the_place_is_free(process: Process, page: int, first: int, count: int) -> None:
    """MAP_FIXED_NOREPLACE may have it: exactly the range, and no page more."""
    base = reserve(process, 5) + page
    process.munmap(base + first * page, count * page)

    for start, pages in ((first - 1, 2), (first + count - 1, 2)):
        with fails("EEXIST"):
            process.mmap(base + start * page, pages * page, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0)
    got = process.mmap(base + first * page, count * page, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0)

    assert got == base + first * page


@clause("munmap.reuse")
@pytest.mark.parametrize("kind", ["file-shared", "file-private", "anonymous-shared", "anonymous-private"])
@parts
def test_what_is_mapped_there_next_holds_nothing_old(
    process: Process, file: MakeFile, page: int, first: int, count: int, kind: str
) -> None:
    flags = (MAP_SHARED if kind.endswith("shared") else MAP_PRIVATE) | MAP_FIXED
    base = process.mmap(0, 3 * page, RW, ANONYMOUS, -1, 0)
    process.store(base, lettered_pages(page, 3))

    process.munmap(base + first * page, count * page)
    if kind.startswith("file"):
        process.mmap(base + first * page, count * page, RW, flags, file(b"f" * (count * page)), 0)
    else:
        process.mmap(base + first * page, count * page, RW, flags | MAP_ANONYMOUS, -1, 0)

    new = (b"f" if kind.startswith("file") else b"\0") * (count * page)
    content = lettered_pages(page, 3)
    assert process.load(base, 3 * page) == content[: first * page] + new + content[(first + count) * page :]


@clause("munmap.lock")
def test_a_lock_goes_with_the_pages(process: Process, file: MakeFile, page: int) -> None:
    fd = file(lettered_pages(page, 3))
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, fd, 0)
    process.mlock(base, 3 * page)

    process.munmap(base + page, page)
    process.mmap(base + page, page, RW, MAP_SHARED | MAP_FIXED, fd, page)

    process.msync(base + page, page, MS_INVALIDATE)
    for number in (0, 2):
        with fails("EBUSY"):
            process.msync(base + number * page, page, MS_INVALIDATE)


@clause("munmap.lock.account")
@parts
def test_what_was_locked_no_longer_counts(process: Process, page: int, first: int, count: int) -> None:
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 3 * page)
    base = process.mmap(0, 3 * page, RW, ANONYMOUS, -1, 0)
    other = process.mmap(0, 4 * page, RW, ANONYMOUS, -1, 0)
    process.mlock(base, 3 * page)
    with fails("ENOMEM"):
        process.mlock(other, page)

    process.munmap(base + first * page, count * page)

    process.mlock(other, count * page)
    with fails("ENOMEM"):
        process.mlock(other, (count + 1) * page)


@clause("munmap.limit")
def test_what_was_unmapped_no_longer_counts(process: Process, page: int) -> None:
    """Under the limit of address space as much can be mapped again."""
    base = process.mmap(0, 2048 * page, RW, ANONYMOUS, -1, 0)
    process.set_limit_headroom(Resource.ADDRESS_SPACE, 128 * page)
    with fails("ENOMEM"):
        process.mmap(0, 1024 * page, RW, ANONYMOUS, -1, 0)

    process.munmap(base + 512 * page, 1536 * page)

    process.mmap(0, 1024 * page, RW, ANONYMOUS, -1, 0)
