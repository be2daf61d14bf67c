"""Cases of the arguments and the result of mmap: file range, address, protection and type."""

from __future__ import annotations

import pytest

from ..contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    O_RDONLY,
    O_RDWR,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    Process,
    System,
    Unresolved,
)
from ..testing import clause, faults, needs
from ._helpers import (
    RW,
    MakeFile,
    NewPath,
    Record,
    assert_inaccessible,
    can_load,
    free_range,
    pages_of,
    prot_id,
    requires_exec_mount,
    reserve,
    setup,
    shared_and_private,
)

# ------------------------------------------------------------------------------------------------- length and offset


@clause("mmap.range", "mmap.addr.returned", "mmap.result.success")
@shared_and_private
def test_whole_file_is_mapped(process: Process, page: int, file: MakeFile, kind: int) -> None:
    content = pages_of(page, "a", "b", "c")
    base = process.mmap(0, 3 * page, PROT_READ, kind, file(content), 0)

    assert process.load(base, 3 * page) == content


@clause("mmap.range")
@shared_and_private
def test_offset_selects_first_page(process: Process, page: int, file: MakeFile, kind: int) -> None:
    fd = file(pages_of(page, "a", "b", "c"))
    base = process.mmap(0, 2 * page, PROT_READ, kind, fd, page)

    assert process.load(base, 2 * page) == pages_of(page, "b", "c")


@clause("mmap.range")
@shared_and_private
def test_page_in_middle_is_mapped(process: Process, page: int, file: MakeFile, kind: int) -> None:
    fd = file(pages_of(page, "a", "b", "c", "d"))
    base = process.mmap(0, page, PROT_READ, kind, fd, 2 * page)

    assert process.load(base, page) == pages_of(page, "c")


@clause("mmap.range")
def test_offset_past_4_gib_is_not_truncated(process: Process, page: int, file: MakeFile) -> None:
    """The offset has more than 32 bits; the file's first page has other content."""
    offset = 5 << 30
    fd = file(b"first")
    with setup():
        process.ftruncate(fd, offset + page)
        process.pwrite(fd, b"far", offset)
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, offset)

    assert process.load(base, 4) == b"far\0"


@clause("mmap.range")
def test_offset_is_relative_to_start_of_file(process: Process, page: int, file: MakeFile) -> None:
    """The descriptor's file offset has no effect."""
    fd = file(pages_of(page, "a", "b"))
    with setup():
        process.lseek(fd, page, 0)
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)

    assert process.load(base, 1) == b"a"


@clause("mmap.range")
def test_descriptor_0_is_accepted(process: Process, page: int, file: MakeFile) -> None:
    process.close(0)
    fd = file(b"abc")
    if fd != 0:
        raise Unresolved(f"descriptor 0 was closed, but the next open returned {fd}")

    base = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)

    assert process.load(base, 3) == b"abc"


# ------------------------------------------------------------------------------------------------------------ address


@clause("mmap.addr.null")
def test_chosen_addresses_are_aligned_and_disjoint(process: Process, page: int, file: MakeFile) -> None:
    fd = file(pages_of(page, "a", "b", "c", "d"))
    bases = [process.mmap(0, 2 * page, PROT_READ, MAP_SHARED, fd, index * page) for index in range(3)]

    for base in bases:
        assert base != 0
        assert base % page == 0
    for low, high in zip(sorted(bases), sorted(bases)[1:], strict=False):
        assert low + 2 * page <= high
    assert [process.load(base, 1) for base in bases] == [b"a", b"b", b"c"]


@clause("mmap.addr.null")
def test_chosen_address_avoids_fixed_mapping(process: Process, page: int, file: MakeFile) -> None:
    addr = free_range(process, 2)
    fixed = process.mmap(addr, 2 * page, PROT_READ, MAP_SHARED | MAP_FIXED, file(pages_of(page, "a", "b")), 0)
    chosen = process.mmap(0, 2 * page, PROT_READ, MAP_SHARED, file(pages_of(page, "c", "d")), 0)

    assert chosen + 2 * page <= fixed or fixed + 2 * page <= chosen
    assert process.load(fixed, 2 * page) == pages_of(page, "a", "b")


@clause("mmap.addr.returned", "mmap.result.success")
def test_free_hint_is_used_or_ignored(process: Process, page: int, file: MakeFile, record: Record) -> None:
    """The content is at the returned address; whether that is the hint is recorded."""
    hint = free_range(process, 1)
    base = process.mmap(hint, page, PROT_READ, MAP_SHARED, file(b"abc"), 0)

    record("free hint honoured", base == hint)
    assert base % page == 0
    assert process.load(base, 3) == b"abc"


@clause("mmap.addr.hint")
@pytest.mark.parametrize(
    "shift",
    [
        pytest.param(0, id="same-range"),
        pytest.param(-1, id="overlaps-start"),
        pytest.param(1, id="overlaps-end"),
    ],
)
def test_hint_at_mapped_range_replaces_nothing(process: Process, page: int, file: MakeFile, shift: int) -> None:
    content = pages_of(page, "a", "b")
    existing = process.mmap(free_range(process, 4) + page, 2 * page, PROT_READ, MAP_SHARED, file(content), 0)
    base = process.mmap(existing + shift * page, 2 * page, PROT_READ, MAP_SHARED, file(pages_of(page, "c", "d")), 0)

    assert base + 2 * page <= existing or existing + 2 * page <= base
    assert process.load(existing, 2 * page) == content
    assert process.load(base, 2 * page) == pages_of(page, "c", "d")


@clause("mmap.addr.hint", "mmap.addr.boundary")
@pytest.mark.parametrize(
    ("above", "below"),
    [pytest.param(1, 0, id="one-byte-above-boundary"), pytest.param(0, 1, id="one-byte-below-boundary")],
)
def test_unaligned_hint_yields_aligned_address(
    process: Process, page: int, file: MakeFile, record: Record, above: int, below: int
) -> None:
    hint = free_range(process, 3) + page + above - below
    base = process.mmap(hint, page, PROT_READ, MAP_SHARED, file(b"abc"), 0)

    record("unaligned hint rounded down", base == hint - hint % page)
    assert base % page == 0
    assert process.load(base, 3) == b"abc"


@clause("mmap.addr.hint", "mmap.addr.boundary")
def test_unaligned_hint_in_mapped_page_replaces_nothing(process: Process, page: int, file: MakeFile) -> None:
    existing = process.mmap(0, page, PROT_READ, MAP_SHARED, file(b"taken"), 0)
    base = process.mmap(existing + 1, page, PROT_READ, MAP_SHARED, file(b"new"), 0)

    assert base % page == 0
    assert base != existing
    assert process.load(existing, 5) == b"taken"
    assert process.load(base, 3) == b"new"


@clause("mmap.addr.hint.unusable")
@pytest.mark.parametrize("place", ["lowest-byte", "lowest-page", "middle-of-address-space", "last-page"])
def test_unusable_hint_is_ignored(process: Process, page: int, file: MakeFile, place: str) -> None:
    space = 1 << process.bits
    hint = {"lowest-byte": 1, "lowest-page": page, "middle-of-address-space": space // 2, "last-page": space - page}[
        place
    ]
    base = process.mmap(hint, page, PROT_READ, MAP_SHARED, file(b"abc"), 0)

    assert base % page == 0
    assert process.load(base, 3) == b"abc"


# ----------------------------------------------------------------------------------------------------------- protection


@clause("mmap.prot.none")
@shared_and_private
def test_prot_none_allows_no_access(process: Process, page: int, file: MakeFile, kind: int) -> None:
    base = process.mmap(0, page, PROT_NONE, kind, file(process.return_instruction()), 0)

    with faults("SIGSEGV"):
        process.load(base, 1)
    with faults("SIGSEGV"):
        process.store(base, b"x")
    with faults("SIGSEGV"):
        process.execute(base)


@clause("mmap.prot.read")
@shared_and_private
def test_prot_read_allows_only_loads(process: Process, page: int, file: MakeFile, kind: int) -> None:
    base = process.mmap(0, page, PROT_READ, kind, file(pages_of(page, "a")), 0)

    assert process.load(base + page - 1, 1) == b"a"
    with faults("SIGSEGV"):
        process.store(base + page - 1, b"x")
    assert process.load(base + page - 1, 1) == b"a"


@clause("mmap.prot.write")
@needs("coherent")
def test_prot_write_allows_stores_to_shared_mapping(
    process: Process, page: int, file: MakeFile, record: Record
) -> None:
    fd = file(pages_of(page, "a"))
    base = process.mmap(0, page, PROT_WRITE, MAP_SHARED, fd, 0)
    process.store(base + 1, b"x")

    assert process.pread(fd, 3, 0) == b"axa"
    record("PROT_WRITE alone can be read", can_load(process, base))


@clause("mmap.prot.write")
def test_prot_write_allows_stores_to_private_mapping(
    process: Process, page: int, file: MakeFile, record: Record
) -> None:
    """The stored byte can be checked only in a mapping that also has PROT_READ."""
    base = process.mmap(0, page, PROT_WRITE, MAP_PRIVATE, file(pages_of(page, "a")), 0)
    process.store(base + 1, b"x")
    record("PROT_WRITE alone can be read", can_load(process, base))

    base = process.mmap(0, page, RW, MAP_PRIVATE, file(pages_of(page, "a")), 0)
    process.store(base + 1, b"x")
    assert process.load(base, 3) == b"axa"


@clause("mmap.prot.exec")
@shared_and_private
@pytest.mark.parametrize(
    "prot", [pytest.param(PROT_EXEC, id="alone"), pytest.param(PROT_READ | PROT_EXEC, id="with-read")]
)
def test_prot_exec_allows_execution(
    process: Process, page: int, file: MakeFile, record: Record, prot: int, kind: int
) -> None:
    with requires_exec_mount():
        base = process.mmap(0, page, prot, kind, file(process.return_instruction()), 0)

    process.execute(base)
    if prot == PROT_EXEC:
        record("PROT_EXEC alone can be read", can_load(process, base))


@clause("mmap.prot.exec")
@needs("no-execute")
@shared_and_private
@pytest.mark.parametrize("prot", [PROT_READ, RW], ids=prot_id)
def test_execution_without_prot_exec_faults(process: Process, page: int, file: MakeFile, prot: int, kind: int) -> None:
    base = process.mmap(0, page, prot, kind, file(process.return_instruction()), 0)

    with faults("SIGSEGV"):
        process.execute(base)


@clause("mmap.prot.fd-mode")
@pytest.mark.parametrize(
    ("mode", "prot", "kind"),
    [
        pytest.param(O_RDONLY, PROT_READ, MAP_SHARED, id="read-only-shared-read"),
        pytest.param(O_RDONLY, PROT_READ, MAP_PRIVATE, id="read-only-private-read"),
        pytest.param(O_RDWR, RW, MAP_SHARED, id="read-write-shared-write"),
        pytest.param(O_RDWR, RW, MAP_PRIVATE, id="read-write-private-write"),
    ],
)
def test_protection_allowed_by_access_mode_is_granted(
    process: Process, page: int, file: MakeFile, mode: int, prot: int, kind: int
) -> None:
    base = process.mmap(0, page, prot, kind, file(b"abc", mode), 0)

    assert process.load(base, 3) == b"abc"
    if prot & PROT_WRITE:
        process.store(base, b"x")
        assert process.load(base, 3) == b"xbc"


@clause("mmap.prot.fd-mode", "mmap.flag.private")
def test_private_mapping_of_read_only_descriptor_may_be_writable(process: Process, page: int, file: MakeFile) -> None:
    """The access mode allows it, as nothing is ever written to the file."""
    fd = file(b"abc", O_RDONLY)
    base = process.mmap(0, page, RW, MAP_PRIVATE, fd, 0)
    process.store(base, b"x")

    assert process.load(base, 3) == b"xbc"
    assert process.pread(fd, 3, 0) == b"abc"


@clause("mmap.prot.fd-mode")
@needs("coherent")
def test_protection_outlives_descriptor(process: Process, page: int, file: MakeFile, new_path: NewPath) -> None:
    """The access mode counts at the time of the call; a later read-only descriptor changes nothing."""
    path = new_path()
    fd = file(b"abc", O_RDWR, path)
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    with setup():
        process.close(fd)
        fd = process.open(path, O_RDONLY)
    process.store(base, b"x")

    assert process.pread(fd, 3, 0) == b"xbc"


@clause("mmap.prot.unknown-bits")
def test_unknown_protection_bits_are_ignored(process: Process, page: int, file: MakeFile) -> None:
    base = process.mmap(0, page, PROT_READ | 0x800, MAP_PRIVATE, file(b"abc"), 0)

    assert process.load(base, 3) == b"abc"
    with faults("SIGSEGV"):
        process.store(base, b"x")


# ------------------------------------------------------------------------------------------------------------ MAP_FIXED


@clause("mmap.flag.fixed", "mmap.addr.returned")
@shared_and_private
def test_fixed_maps_at_free_address(process: Process, page: int, file: MakeFile, kind: int) -> None:
    addr = free_range(process, 2)
    base = process.mmap(addr, 2 * page, PROT_READ, kind | MAP_FIXED, file(pages_of(page, "a", "b")), 0)

    assert base == addr
    assert process.load(addr, 2 * page) == pages_of(page, "a", "b")


@clause("mmap.flag.fixed")
def test_fixed_fills_hole_between_mappings(process: Process, page: int, file: MakeFile) -> None:
    addr = free_range(process, 3)
    fd = file(pages_of(page, "a", "b", "c"))
    for place in (0, 2, 1):
        base = process.mmap(addr + place * page, page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, place * page)
        assert base == addr + place * page

    assert process.load(addr, 3 * page) == pages_of(page, "a", "b", "c")


@clause("mmap.flag.fixed")
def test_fixed_over_mapping_replaces_it_or_fails(process: Process, page: int, file: MakeFile, record: Record) -> None:
    """The specification allows it to fail, but not to return another address or to replace only part of the range."""
    addr = process.mmap(free_range(process, 2), 2 * page, PROT_READ, MAP_SHARED, file(pages_of(page, "a", "b")), 0)
    fd = file(pages_of(page, "c", "d"))
    try:
        base = process.mmap(addr, 2 * page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)
    except OSError:
        record("MAP_FIXED over a mapping", "fails")
        assert process.load(addr, 2 * page) == pages_of(page, "a", "b")
    else:
        record("MAP_FIXED over a mapping", "replaces it")
        assert base == addr
        assert process.load(addr, 2 * page) == pages_of(page, "c", "d")


@clause("mmap.flag.fixed-replaces")
@pytest.mark.parametrize(
    ("first", "count"),
    [
        pytest.param(0, 1, id="start"),
        pytest.param(1, 1, id="middle"),
        pytest.param(2, 1, id="end"),
        pytest.param(0, 3, id="all"),
    ],
)
def test_fixed_replaces_only_its_pages(process: Process, page: int, file: MakeFile, first: int, count: int) -> None:
    base = process.mmap(0, 3 * page, PROT_READ, MAP_SHARED, file(pages_of(page, "a", "b", "c")), 0)
    addr = base + first * page
    fd = file(pages_of(page, "x", "y", "z"))

    assert process.mmap(addr, count * page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == addr
    letters = ["a", "b", "c"]
    letters[first : first + count] = ["x", "y", "z"][:count]
    assert process.load(base, 3 * page) == pages_of(page, *letters)


@clause("mmap.flag.fixed-replaces")
def test_fixed_replaces_several_mappings_and_holes(process: Process, page: int, file: MakeFile) -> None:
    addr = free_range(process, 5)
    old = file(pages_of(page, "a", "b", "c", "d", "e"))
    for place in (0, 2, 4):
        process.mmap(addr + place * page, page, PROT_READ, MAP_SHARED | MAP_FIXED, old, place * page)
    new = file(pages_of(page, "v", "w", "x"))

    assert process.mmap(addr + page, 3 * page, PROT_READ, MAP_SHARED | MAP_FIXED, new, 0) == addr + page
    assert process.load(addr, 5 * page) == pages_of(page, "a", "v", "w", "x", "e")


@clause("mmap.flag.fixed-replaces")
def test_fixed_applies_new_protection(process: Process, page: int, file: MakeFile) -> None:
    fd = file(pages_of(page, "a", "b"))
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    process.mmap(base, page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)

    with faults("SIGSEGV"):
        process.store(base, b"x")
    process.store(base + page, b"y")
    assert process.load(base + page - 1, 2) == b"ay"


@clause("mmap.flag.fixed-replaces")
def test_fixed_replaces_reservation_page_by_page(process: Process, page: int, file: MakeFile) -> None:
    """Each page appears at its address; pages that are not replaced yet stay inaccessible."""
    letters = "abcdef"
    base = reserve(process, len(letters) + 1)
    fd = file(pages_of(page, *letters))
    for place, letter in enumerate(letters):
        process.mmap(base + place * page, page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, place * page)
        assert process.load(base + (place + 1) * page - 1, 1) == letter.encode()
        with faults("SIGSEGV"):
            process.load(base + (place + 1) * page, 1)

    assert process.load(base, len(letters) * page) == pages_of(page, *letters)


@clause("mmap.flag.fixed-replaces")
def test_fixed_discards_private_copy(process: Process, page: int, file: MakeFile) -> None:
    """A store to the replaced private page is not visible in the page that replaces it."""
    fd = file(b"abc")
    base = process.mmap(0, page, RW, MAP_PRIVATE, fd, 0)
    process.store(base, b"x")
    process.mmap(base, page, RW, MAP_PRIVATE | MAP_FIXED, fd, 0)

    assert process.load(base, 3) == b"abc"


@clause("mmap.flag.fixed-noreplace")
def test_noreplace_maps_next_to_mapping(process: Process, page: int, file: MakeFile) -> None:
    """The pages directly before and after a mapping are free."""
    addr = free_range(process, 3)
    fd = file(pages_of(page, "a", "b", "c"))
    for place in (1, 0, 2):
        target = addr + place * page
        assert process.mmap(target, page, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, place * page) == target

    assert process.load(addr, 3 * page) == pages_of(page, "a", "b", "c")


# ---------------------------------------------------------------------------------------------------------- MAP_PRIVATE


@clause("mmap.flag.private")
def test_private_store_changes_neither_file_nor_other_mapping(process: Process, page: int, file: MakeFile) -> None:
    content = pages_of(page, "a", "b")
    fd = file(content)
    shared = process.mmap(0, 2 * page, PROT_READ, MAP_SHARED, fd, 0)
    other = process.mmap(0, 2 * page, PROT_READ, MAP_PRIVATE, fd, 0)
    private = process.mmap(0, 2 * page, RW, MAP_PRIVATE, fd, 0)
    process.store(private + page - 1, b"xy")

    assert process.load(private + page - 2, 4) == b"axyb"
    assert process.pread(fd, 2 * page, 0) == content
    assert process.load(shared, 2 * page) == content
    assert process.load(other, 2 * page) == content


@clause("mmap.flag.private")
def test_private_store_never_changes_file(process: Process, page: int, file: MakeFile) -> None:
    """It does not reach the file when the mapping is removed either."""
    fd = file(b"abc")
    base = process.mmap(0, page, RW, MAP_PRIVATE, fd, 0)
    process.store(base, b"x")
    process.munmap(base, page)

    assert process.pread(fd, 3, 0) == b"abc"
    base = process.mmap(0, page, PROT_READ, MAP_PRIVATE, fd, 0)
    assert process.load(base, 3) == b"abc"


@clause("mmap.flag.private")
def test_private_store_is_invisible_to_other_process(
    system: System, process: Process, page: int, file: MakeFile, new_path: NewPath
) -> None:
    path = new_path()
    base = process.mmap(0, page, RW, MAP_PRIVATE, file(b"abc", O_RDWR, path), 0)
    other = system.spawn()
    with setup():
        fd = other.open(path, O_RDONLY)
    other_base = other.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)
    process.store(base, b"x")

    assert other.load(other_base, 3) == b"abc"
    assert process.exit() == 0
    assert other.pread(fd, 3, 0) == b"abc"


@clause("mmap.flag.private")
@pytest.mark.parametrize("touched", [False, True], ids=["untouched", "touched"])
def test_private_stores_after_fork_are_separate(process: Process, page: int, file: MakeFile, touched: bool) -> None:
    """This holds whether or not the page had been copied before the fork."""
    fd = file(b"abcdef")
    base = process.mmap(0, page, RW, MAP_PRIVATE, fd, 0)
    if touched:
        process.store(base + 5, b"F")
    last = b"F" if touched else b"f"
    child = process.fork()

    process.store(base, b"P")
    assert child.load(base, 6) == b"abcde" + last
    child.store(base + 1, b"C")
    assert process.load(base, 6) == b"Pbcde" + last
    assert child.load(base, 6) == b"aCcde" + last
    assert process.pread(fd, 6, 0) == b"abcdef"


@clause("mmap.flag.private")
def test_write_does_not_undo_private_store(process: Process, page: int, file: MakeFile) -> None:
    """A later write to the file leaves the stored byte unchanged."""
    fd = file(b"abc")
    base = process.mmap(0, page, RW, MAP_PRIVATE, fd, 0)
    process.store(base, b"x")
    with setup():
        process.pwrite(fd, b"zzz", 0)

    assert process.load(base, 1) == b"x"


@clause("mmap.flag.private")
def test_unmodified_private_page_shows_old_or_new_content(
    process: Process, page: int, file: MakeFile, record: Record
) -> None:
    """A later write to the file may be visible or not; which it is, is recorded."""
    fd = file(b"a")
    base = process.mmap(0, page, PROT_READ, MAP_PRIVATE, fd, 0)
    with setup():
        process.pwrite(fd, b"z", 0)
    value = process.load(base, 1)

    assert value in (b"a", b"z")
    record("a change of the file shows in a private page", value == b"z")


# ----------------------------------------------------------------------------------------------------------- MAP_SHARED


@clause("mmap.flag.shared")
@needs("coherent")
def test_shared_store_changes_file_and_other_mapping(process: Process, page: int, file: MakeFile) -> None:
    fd = file(pages_of(page, "a", "b"))
    other = process.mmap(0, 2 * page, PROT_READ, MAP_SHARED, fd, 0)
    base = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    process.store(base + page - 1, b"xy")

    assert process.pread(fd, 4, page - 2) == b"axyb"
    assert process.load(other + page - 2, 4) == b"axyb"


@clause("mmap.flag.shared")
@needs("coherent")
def test_shared_mappings_at_different_offsets_are_coherent(process: Process, page: int, file: MakeFile) -> None:
    """Stores through either of two mappings that overlap in the file are visible in the other."""
    fd = file(pages_of(page, "a", "b", "c"))
    low = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    high = process.mmap(0, 2 * page, RW, MAP_SHARED, fd, page)
    process.store(low + page, b"L")
    process.store(high + 1, b"H")

    assert process.load(high, 3) == b"LHb"
    assert process.load(low + page, 3) == b"LHb"


@clause("mmap.flag.shared")
@needs("coherent")
def test_shared_mappings_of_two_descriptors_are_coherent(
    process: Process, page: int, file: MakeFile, new_path: NewPath
) -> None:
    path = new_path()
    one = process.mmap(0, page, RW, MAP_SHARED, file(b"abc", O_RDWR, path), 0)
    with setup():
        fd = process.open(path, O_RDWR)
    two = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    process.store(one, b"1")
    process.store(two + 1, b"2")

    assert process.load(one, 3) == process.load(two, 3) == b"12c"


@clause("mmap.flag.shared")
@needs("coherent")
def test_shared_mapping_is_coherent_with_other_process(
    system: System, process: Process, page: int, file: MakeFile, new_path: NewPath
) -> None:
    path = new_path()
    base = process.mmap(0, page, RW, MAP_SHARED, file(b"abc", O_RDWR, path), 0)
    other = system.spawn()
    with setup():
        fd = other.open(path, O_RDWR)
    other_base = other.mmap(0, page, RW, MAP_SHARED, fd, 0)
    process.store(base, b"1")
    assert other.load(other_base, 3) == b"1bc"
    other.store(other_base + 1, b"2")

    assert process.load(base, 3) == b"12c"


@clause("mmap.flag.shared")
@needs("coherent")
@pytest.mark.parametrize("touched", [False, True], ids=["untouched", "touched"])
def test_shared_mapping_is_coherent_across_fork(process: Process, page: int, file: MakeFile, touched: bool) -> None:
    fd = file(b"abcdef")
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    if touched:
        process.store(base + 5, b"f")
    child = process.fork()

    process.store(base, b"P")
    assert child.load(base, 6) == b"Pbcdef"
    child.store(base + 1, b"C")
    assert process.load(base, 6) == b"PCcdef"
    assert process.pread(fd, 6, 0) == b"PCcdef"


@clause("mmap.flag.shared")
def test_file_keeps_shared_store_after_munmap(process: Process, page: int, file: MakeFile) -> None:
    fd = file(pages_of(page, "a", "b"))
    base = process.mmap(0, page, RW, MAP_SHARED, fd, page)
    process.store(base, b"x")
    process.munmap(base, page)

    assert process.pread(fd, 3, page - 1) == b"axb"
    base = process.mmap(0, 2 * page, PROT_READ, MAP_SHARED, fd, 0)
    assert process.load(base + page - 1, 3) == b"axb"


@clause("mmap.flag.shared")
@pytest.mark.parametrize("end", ["exit", "kill"])
def test_file_keeps_shared_store_after_process_end(
    system: System, process: Process, page: int, file: MakeFile, new_path: NewPath, end: str
) -> None:
    path = new_path()
    base = process.mmap(0, page, RW, MAP_SHARED, file(b"abc", O_RDWR, path), 0)
    process.store(base, b"x")
    if end == "exit":
        process.exit()
    else:
        process.kill()
    other = system.spawn()
    with setup():
        fd = other.open(path, O_RDONLY)

    assert other.pread(fd, 3, 0) == b"xbc"


@clause("mmap.flag.shared-validate")
def test_shared_validate_mapping_is_shared(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"abc")
    base = process.mmap(0, page, RW, MAP_SHARED_VALIDATE, fd, 0)
    process.store(base, b"x")

    assert process.pread(fd, 3, 0) == b"xbc"


@clause("mmap.flag.unknown-bits")
@shared_and_private
def test_unknown_flag_bits_are_ignored(process: Process, page: int, file: MakeFile, kind: int) -> None:
    base = process.mmap(0, page, PROT_READ, kind | 0x800000, file(b"abc"), 0)

    assert process.load(base, 3) == b"abc"


# -------------------------------------------------------------------------------------------------------- MAP_ANONYMOUS


@clause("mmap.flag.anonymous")
@shared_and_private
def test_anonymous_memory_is_zero(process: Process, page: int, kind: int) -> None:
    base = process.mmap(0, 2 * page, RW, kind | MAP_ANONYMOUS, -1, 0)
    assert process.load(base, 2 * page) == bytes(2 * page)
    process.store(base + page - 1, b"xy")

    assert process.load(base + page - 2, 4) == b"\0xy\0"


@clause("mmap.flag.anonymous")
def test_anonymous_memory_is_zero_after_replacement(process: Process, page: int) -> None:
    """The content of the replaced page is not visible in the new page."""
    base = process.mmap(0, page, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    process.store(base, b"secret")
    process.mmap(base, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)

    assert process.load(base, page) == bytes(page)


@clause("mmap.flag.anonymous")
@pytest.mark.parametrize("touched", [False, True], ids=["untouched", "touched"])
@shared_and_private
def test_anonymous_memory_is_private_or_shared_across_fork(
    process: Process, page: int, kind: int, touched: bool
) -> None:
    base = process.mmap(0, page, RW, kind | MAP_ANONYMOUS, -1, 0)
    if touched:
        process.store(base, b"0")
    first = b"0" if touched else b"\0"
    child = process.fork()
    process.store(base + 1, b"P")
    child.store(base + 2, b"C")

    shared = kind == MAP_SHARED
    assert process.load(base, 3) == first + (b"PC" if shared else b"P\0")
    assert child.load(base, 3) == first + (b"PC" if shared else b"\0C")


@clause("mmap.flag.anonymous")
@pytest.mark.parametrize("descriptor", ["open", "closed", "too-large"])
def test_anonymous_mapping_ignores_descriptor(process: Process, page: int, file: MakeFile, descriptor: str) -> None:
    fd = file(b"abc")
    if descriptor == "closed":
        process.close(fd)
    base = process.mmap(
        0, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, 1 << 30 if descriptor == "too-large" else fd, 0
    )

    assert process.load(base, 3) == bytes(3)


# --------------------------------------------------------------------------------------------------------------- result


@clause("mmap.result.success")
@shared_and_private
def test_result_is_valid_for_munmap(process: Process, page: int, file: MakeFile, kind: int) -> None:
    base = process.mmap(0, page, PROT_READ, kind, file(b"abc"), 0)
    assert process.load(base, 3) == b"abc"
    process.munmap(base, page)

    assert_inaccessible(process, base)
