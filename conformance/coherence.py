"""Cases of coherence between the views of one file: mappings, read and write, holes, and changes of its size."""

from __future__ import annotations

import pytest

from ..contract import (
    MADV_REMOVE,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    O_APPEND,
    O_CREAT,
    O_EXCL,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
    PROT_READ,
    Facility,
    Process,
    System,
)
from ..testing import clause, fails, faults, needs
from ._helpers import (
    RW,
    MakeFile,
    NewPath,
    lettered_pages,
    setup,
    shared_and_private,
)

# --------------------------------------------------------------------------------------------- mappings, read and write


@clause("coherence.write")
@pytest.mark.parametrize("how", ["pread", "load"])
@pytest.mark.parametrize("pages", [1, 3])
def test_tiny_file_that_was_overwritten_is_read_whole(
    process: Process, page: int, file: MakeFile, pages: int, how: str
) -> None:
    """What is read is longer than the file.  A file system may have the content of a tiny file in the inode."""
    fd = file(b"tiny")
    content = b"x" * pages * page + b"end"
    process.pwrite(fd, content, 0)
    base = process.mmap(0, (pages + 1) * page, PROT_READ, MAP_SHARED, fd, 0)

    if how == "pread":
        assert process.pread(fd, (pages + 2) * page, 0) == content
    assert process.load(base, len(content)) == content
    assert process.pread(fd, (pages + 2) * page, 0) == content


@clause("coherence.write")
@pytest.mark.parametrize(
    ("start", "length"),
    [
        pytest.param((0, 0), (0, 1), id="first-byte"),
        pytest.param((1, 8), (0, 100), id="within-page"),
        pytest.param((1, -3), (0, 6), id="across-page-boundary"),
        pytest.param((0, 5), (2, 0), id="two-whole-pages"),
        pytest.param((2, -1), (1, 1), id="to-end-of-file"),
    ],
)
def test_write_is_visible_in_shared_mapping(
    process: Process, page: int, file: MakeFile, start: tuple[int, int], length: tuple[int, int]
) -> None:
    """The write is visible immediately and changes no other byte, in pages stored to through the mapping and others."""
    fd = file(lettered_pages(page, 3))
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, fd, 0)
    process.store(base, b"a" * page)
    first, count = start[0] * page + start[1], length[0] * page + length[1]

    assert process.pwrite(fd, b"x" * count, first) == count

    before = b"a" * page + lettered_pages(page, 3)[page:]
    assert process.load(base, 3 * page) == before[:first] + b"x" * count + before[first + count :]


@clause("coherence.offsets")
def test_overlapping_mappings_share_bytes(process: Process, page: int, file: MakeFile) -> None:
    """A byte of the file is the same in every mapping, whatever its position there."""
    fd = file(lettered_pages(page, 4))
    low = process.mmap(0, 3 * page, RW, MAP_SHARED, fd, 0)
    high = process.mmap(0, 3 * page, RW, MAP_SHARED, fd, page)
    last = process.mmap(0, page, RW, MAP_SHARED, fd, 3 * page)

    process.store(low + 2 * page - 2, b"12345")
    process.store(high + page + 3, b"67")
    process.store(last, b"89")

    assert process.load(high + page - 2, 7) == process.load(low + 2 * page - 2, 7) == b"1234567"
    assert process.load(high + 2 * page, 3) == b"89D"
    assert process.load(low, 1) == b"A"


@clause("coherence.opens")
def test_mappings_of_separate_opens_are_coherent(
    process: Process, page: int, file: MakeFile, new_path: NewPath
) -> None:
    """A read-only mapping by another open file description shows the stores."""
    path = new_path()
    fd = file(lettered_pages(page, 2), O_RDWR, path)
    with setup():
        other = process.open(path, O_RDONLY)
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    reader = process.mmap(0, 2 * page, PROT_READ, MAP_SHARED, other, 0)
    assert process.load(reader, 1) == b"A"

    process.store(base + page - 1, b"xy")

    assert process.load(reader + page - 2, 4) == process.pread(other, 4, page - 2) == b"AxyB"


@clause("coherence.alias")
def test_file_page_mapped_twice_is_one_page(process: Process, page: int, file: MakeFile) -> None:
    """MAP_FIXED replaces the second page by another mapping of the first."""
    fd = file(lettered_pages(page, 3))
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, fd, 0)
    process.mmap(base + page, page, RW, MAP_SHARED | MAP_FIXED, fd, 0)

    process.store(base + 4, b"x")
    process.store(base + page + 5, b"y")

    assert process.load(base, 8) == process.load(base + page, 8) == b"AAAAxyAA"
    assert process.load(base + 2 * page, 1) == b"C"
    assert process.pread(fd, 1, page) == b"B"


@clause("coherence.append")
def test_append_is_visible_in_mapping(process: Process, page: int, file: MakeFile, new_path: NewPath) -> None:
    """Appended bytes are visible in the former last page and in the next."""
    path = new_path()
    fd = file(b"abc", O_RDWR, path)
    base = process.mmap(0, 2 * page, PROT_READ, MAP_SHARED, fd, 0)
    assert process.load(base, 4) == b"abc\0"
    with setup():
        end = process.open(path, O_RDWR | O_APPEND)

    process.pwrite(end, b"d", 0)
    process.pwrite(end, b"e" * page, 0)

    assert process.load(base, page + 5) == b"abcd" + b"e" * page + b"\0"


# ------------------------------------------------------------------------------ private pages before and after the copy


@clause("private.follows")
@pytest.mark.parametrize("method", ["pwrite", "shared-mapping"])
def test_untouched_private_page_shows_later_file_changes(
    process: Process, page: int, file: MakeFile, method: str
) -> None:
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, RW, MAP_PRIVATE, fd, 0)

    if method == "pwrite":
        process.pwrite(fd, b"xy", page - 1)
    else:
        process.store(process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0) + page - 1, b"xy")

    assert process.load(base + page - 2, 4) == b"AxyB"


@clause("private.loaded")
def test_private_page_shows_file_changes_after_load(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"A" * page)
    base = process.mmap(0, page, RW, MAP_PRIVATE, fd, 0)
    assert process.load(base, 2) == b"AA"

    process.pwrite(fd, b"x", 0)

    assert process.load(base, 2) == b"xA"


@clause("private.page-wise")
def test_store_copies_only_its_page(process: Process, page: int, file: MakeFile) -> None:
    fd = file(lettered_pages(page, 3))
    base = process.mmap(0, 3 * page, RW, MAP_PRIVATE, fd, 0)
    process.store(base + page, b"!")

    process.pwrite(fd, b"x" * 3 * page, 0)

    assert process.load(base, 3 * page) == b"x" * page + b"!" + b"B" * (page - 1) + b"x" * page


@clause("private.same-value")
def test_store_of_same_value_copies_page(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"A" * page)
    base = process.mmap(0, page, RW, MAP_PRIVATE, fd, 0)
    process.store(base, b"A")

    process.pwrite(fd, b"x" * page, 0)

    assert process.load(base, page) == b"A" * page


# ---------------------------------------------------------------------------------------------------------- end of file


@clause("growth.accessible")
@pytest.mark.parametrize("method", ["ftruncate", "pwrite", "another-process"])
@shared_and_private
def test_pages_become_accessible_when_file_grows(
    process: Process, system: System, page: int, file: MakeFile, new_path: NewPath, kind: int, method: str
) -> None:
    """The mapping begins at the file's second page."""
    path = new_path()
    fd = file(lettered_pages(page, 2), O_RDWR, path)
    base = process.mmap(0, 3 * page, RW, kind, fd, page)
    with faults("SIGBUS"):
        process.load(base + page, 1)

    if method == "ftruncate":
        process.ftruncate(fd, 3 * page)
    elif method == "pwrite":
        process.pwrite(fd, b"\0", 3 * page - 1)
    else:
        other = system.spawn()
        other.ftruncate(other.open(path, O_RDWR), 3 * page)

    assert process.load(base, 2 * page) == b"B" * page + bytes(page)
    process.store(base + page, b"x")
    with faults("SIGBUS"):
        process.load(base + 2 * page, 1)


@clause("growth.zero")
@needs("size-changes-seen")
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(MAP_SHARED, id="shared"),
        pytest.param(MAP_PRIVATE, id="private", marks=needs("private-follows")),
    ],
)
def test_truncated_bytes_are_zero_after_regrowth(process: Process, page: int, file: MakeFile, kind: int) -> None:
    """This holds in the page of the new end and after it, for mappings and for read."""
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, PROT_READ, kind, fd, 0)
    assert process.load(base + page, 1) == b"B"

    process.ftruncate(fd, 8)
    process.ftruncate(fd, 2 * page)

    assert process.load(base, 2 * page) == process.pread(fd, 2 * page, 0) == b"A" * 8 + bytes(2 * page - 8)


@clause("truncation.window")
@needs("size-changes-seen")
@pytest.mark.parametrize("pages", [1, 2, 3])
def test_mapping_at_offset_loses_truncated_pages(process: Process, page: int, file: MakeFile, pages: int) -> None:
    """Pages are counted from the start of the file, not of the mapping."""
    fd = file(lettered_pages(page, 4))
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, fd, page)
    process.store(base, lettered_pages(page, 3))

    process.ftruncate(fd, pages * page)

    for number in range(3):
        if number + 1 < pages:
            assert process.load(base + number * page, page) == b"ABC"[number : number + 1] * page
        else:
            with faults("SIGBUS"):
                process.load(base + number * page, 1)


@clause("truncation.open")
@needs("size-changes-seen")
def test_open_with_o_trunc_truncates_mapping(process: Process, page: int, file: MakeFile, new_path: NewPath) -> None:
    path = new_path()
    base = process.mmap(0, page, RW, MAP_SHARED, file(b"A" * page, O_RDWR, path), 0)
    process.store(base, b"x")

    process.open(path, O_RDWR | O_TRUNC)

    with faults("SIGBUS"):
        process.load(base, 1)


@clause("truncation.private.page")
def test_truncation_discards_private_copy(process: Process, page: int, file: MakeFile) -> None:
    """Once the file has grown again, its own page is visible."""
    fd = file(lettered_pages(page, 2))
    base = process.mmap(0, 2 * page, RW, MAP_PRIVATE, fd, 0)
    process.store(base + page, b"x" * page)

    process.ftruncate(fd, page)
    process.ftruncate(fd, 2 * page)

    assert process.load(base + page, page) == bytes(page)


@clause("truncation.private.tail")
def test_private_copy_keeps_bytes_after_new_end_of_file(process: Process, page: int, file: MakeFile) -> None:
    """In the page of the new end the file's bytes are zeroed, not those of the copy."""
    fd = file(b"A" * page)
    base = process.mmap(0, page, RW, MAP_PRIVATE, fd, 0)
    process.store(base, b"x")

    process.ftruncate(fd, 8)

    assert process.load(base, page) == b"x" + b"A" * (page - 1)


# ---------------------------------------------------------------------------------------------------------------- holes


@clause("hole.zero")
@shared_and_private
def test_hole_reads_as_zero(process: Process, page: int, file: MakeFile, kind: int) -> None:
    """Holes result from a write past the end of the file and from ftruncate."""
    fd = file(b"A")
    process.pwrite(fd, b"D", 3 * page)
    process.ftruncate(fd, 5 * page)

    base = process.mmap(0, 5 * page, PROT_READ, kind, fd, 0)

    assert process.load(base, 5 * page) == b"A" + bytes(3 * page - 1) + b"D" + bytes(2 * page - 1)


@clause("hole.store")
def test_store_into_hole_changes_file(process: Process, page: int, file: MakeFile) -> None:
    """No other byte changes, and the file keeps its size."""
    fd = file()
    process.ftruncate(fd, 4 * page)
    base = process.mmap(0, 4 * page, RW, MAP_SHARED, fd, 0)
    assert process.load(base + 2 * page, 1) == b"\0"

    process.store(base + page + 5, b"x")
    process.store(base + 2 * page, b"y")

    expected = bytes(page + 5) + b"x" + bytes(page - 6) + b"y" + bytes(2 * page - 1)
    assert process.pread(fd, 5 * page, 0) == expected
    assert process.load(base, 4 * page) == expected


@clause("hole.storage")
def test_store_into_hole_allocates_space(process: Process, system: System, page: int, new_path: NewPath) -> None:
    """MADV_REMOVE frees the space again."""
    directory = system.facility(Facility.OWN_FILE_SYSTEM)
    with setup():
        fd = process.open(f"{directory}/{new_path()}", O_RDWR | O_CREAT | O_EXCL)
        process.ftruncate(fd, 64 * page)
    base = process.mmap(0, 64 * page, RW, MAP_SHARED, fd, 0)
    free = process.free_space(directory)

    process.store(base + 5 * page, b"x")
    process.store(base + 50 * page, b"x")
    after_store = process.free_space(directory)
    assert after_store <= free - 2 * page

    process.madvise(base, 64 * page, MADV_REMOVE)
    assert process.free_space(directory) >= after_store + 2 * page


@clause("hole.full")
def test_store_into_hole_of_full_file_system_faults(
    process: Process, system: System, page: int, new_path: NewPath
) -> None:
    """Allocated pages stay writable; once space is free, a store into the hole succeeds."""
    directory = system.facility(Facility.OWN_FILE_SYSTEM)
    filler = f"{directory}/{new_path()}"
    with setup():
        fd = process.open(f"{directory}/{new_path()}", O_RDWR | O_CREAT | O_EXCL)
        process.ftruncate(fd, 2 * page)
        filler_fd = process.open(filler, O_RDWR | O_CREAT | O_EXCL)
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    process.store(base, b"x")
    free = process.free_space(directory)
    zeros = process.mmap(0, free + page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    with setup():
        assert process.write_from(filler_fd, zeros, free + page, 0) <= free

    with faults("SIGBUS"):
        process.store(base + page, b"y")
    process.store(base + 1, b"z")

    with setup():
        process.ftruncate(filler_fd, 0)
    process.store(base + page, b"y")
    assert process.pread(fd, 2, 0) + process.pread(fd, 1, page) == b"xzy"


@clause("hole.full", "file.errno")
def test_write_on_full_file_system_fails(process: Process, system: System, page: int, new_path: NewPath) -> None:
    """Both a write from mapped memory and pwrite fail with ENOSPC once no space is left."""
    directory = system.facility(Facility.OWN_FILE_SYSTEM)
    with setup():
        filler_fd = process.open(f"{directory}/{new_path()}", O_RDWR | O_CREAT | O_EXCL)
    free = process.free_space(directory)
    zeros = process.mmap(0, free + page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)

    written = 0
    with fails("ENOSPC"):
        for _ in range(64):
            written += process.write_from(filler_fd, zeros, free + page, written)
    with fails("ENOSPC"):
        process.pwrite(filler_fd, b"x" * page, -(-written // page) * page)

    assert process.fstat(filler_fd).size == written


# ---------------------------------------------------------------------------------------------------------- descriptors


@clause("mmap.refcount.no-descriptor")
def test_mapping_uses_no_descriptor(process: Process, page: int, file: MakeFile, new_path: NewPath) -> None:
    """The lowest free descriptor is the same before and after several mmap calls."""
    path = new_path()
    fd = file(b"A" * page, O_RDWR, path)
    free = process.dup(fd)
    process.close(free)

    kept = [process.mmap(0, page, PROT_READ, kind, fd, 0) for kind in (MAP_SHARED, MAP_PRIVATE)]
    kept.append(process.mmap(0, page, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
    for _ in range(3):
        process.munmap(process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0), page)

    assert process.dup(fd) == free
    assert [process.load(base, 1) for base in kept] == [b"A", b"A", b"\0"]
