"""Test loads, stores and executions: which fault they raise, where, and in which order."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal

import pytest

from pytest_mmapconf.contract import (
    MADV_FREE,
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_FIXED,
    MAP_GROWSDOWN,
    MAP_LOCKED,
    MAP_PRIVATE,
    MAP_SHARED,
    O_CREAT,
    O_RDWR,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    Fault,
    Resource,
    Unresolved,
)
from pytest_mmapconf.outcomes import Faulted, Outcome, Returned
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.machine import Parameters
from pytest_mmapconf.reference.observed_choices import ObservedChoices
from pytest_mmapconf.reference.process import ReferenceProcess
from pytest_mmapconf.reference.system import ReferenceSystem
from pytest_mmapconf.testing import faults

PAGE = 4096
RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS


@pytest.fixture
def process() -> ReferenceProcess:
    return ReferenceBackend().boot().spawn()


def test_an_access_may_cross_pages_and_mappings(process: ReferenceProcess) -> None:
    base = process.scratch_range()[0]
    process.mmap(base, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.mmap(base + PAGE, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(base + PAGE - 3, b"abcdef")
    assert process.load(base + PAGE - 4, 8) == b"\0abcdef\0"
    assert process.load(base, 0) == b""


@pytest.mark.parametrize("prot", range(8))
def test_protection_of_accesses(process: ReferenceProcess, prot: int) -> None:
    base = process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)
    process.store(base, process.return_instruction())
    process.mprotect(base, PAGE, prot)
    if prot == PROT_NONE:
        with faults("SIGSEGV", at=base, code="SEGV_ACCERR"):
            process.load(base, 1)
    else:
        assert process.load(base, 1) == b"\xc3"
    if prot & PROT_WRITE:
        process.store(base + 1, b"x")
    else:
        with faults("SIGSEGV", at=base + 1, code="SEGV_ACCERR"):
            process.store(base + 1, b"x")
    if prot & PROT_EXEC:
        process.execute(base)
    else:
        with faults("SIGSEGV", at=base, code="SEGV_ACCERR"):
            process.execute(base)


def test_protection_is_checked_before_the_end_of_the_file_except_for_execution(process: ReferenceProcess) -> None:
    fd = process.open("f", O_RDWR | O_CREAT)
    base = process.mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 0)
    with faults("SIGSEGV", at=base, code="SEGV_ACCERR"):
        process.store(base, b"x")
    with faults("SIGBUS", at=base + 7, code="BUS_ADRERR"):
        process.load(base + 7, 1)
    with faults("SIGBUS", at=base, code="BUS_ADRERR"):
        process.execute(base)
    process.mprotect(base, PAGE, PROT_NONE)
    with faults("SIGSEGV", at=base, code="SEGV_ACCERR"):
        process.load(base, 1)


def test_unmapped_and_unmappable_addresses_fault(process: ReferenceProcess) -> None:
    with faults("SIGSEGV", at=process.task_size, code="SEGV_MAPERR"):
        process.load(process.task_size, 1)
    for addr in (1 << 47, 1 << 63, 2**64 - 1):
        with faults("SIGSEGV", code="SI_KERNEL"):
            process.store(addr, b"x")


def test_only_the_return_instruction_can_be_executed(process: ReferenceProcess) -> None:
    base = process.mmap(0, PAGE, PROT_READ | PROT_EXEC, ANONYMOUS, -1, 0)
    with pytest.raises(Unresolved):
        process.execute(base)


@pytest.mark.parametrize(
    ("bits", "user_bits", "addr", "code", "reported"),
    [
        (64, 47, (1 << 47) - 1, "SEGV_MAPERR", True),
        (64, 47, 1 << 47, "SI_KERNEL", False),
        (64, 56, 1 << 47, "SEGV_MAPERR", True),
        (64, 56, 1 << 56, "SI_KERNEL", False),
        (32, 31, (1 << 32) - 1, "SEGV_MAPERR", True),
    ],
)
def test_the_machine_decides_which_addresses_are_canonical(
    bits: int, user_bits: int, addr: int, code: str, reported: bool
) -> None:
    process = ReferenceBackend(bits=bits, user_bits=user_bits).boot().spawn()

    with pytest.raises(Fault) as seen:
        process.load(addr, 1)

    assert (seen.value.code, seen.value.address is not None) == (code, reported)


def test_sizes_have_the_width_of_addresses() -> None:
    process = ReferenceBackend(bits=32, user_bits=31).boot().spawn()
    base = process.mmap(0, process.page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)

    process.msync(base, (1 << 32) - 1, 0)  # rounds to 0

    with pytest.raises(OSError, match="wraps around"):
        process.mlock(base, (1 << 32) - process.page)


# --------------------------------------------------------------------------------------------------------- growing down


@pytest.fixture
def growing(process: ReferenceProcess) -> int:
    """Map a page that grows down, with 512 free pages below it."""
    return process.mmap(process.scratch_range()[0] + 512 * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0)


def grows(process: ReferenceProcess, addr: int) -> bool:
    """Return whether a load succeeds at an unmapped address because a mapping grows down to it."""
    assert process.space.find(addr) is None
    if process.space.growing(addr) is not None:
        with suppress(Fault):
            process.load(addr, 1)
    if process.space.find(addr) is not None:
        return True
    with faults("SIGSEGV", at=addr, code="SEGV_MAPERR"):
        process.load(addr, 1)
    return False


@pytest.mark.parametrize(("below", "allowed"), [(300, 43), (258, 1), (257, 0)])
def test_growth_keeps_a_gap_of_256_pages_to_an_accessible_mapping(
    process: ReferenceProcess, growing: int, below: int, allowed: int
) -> None:
    process.mmap(growing - below * PAGE, PAGE, PROT_READ, ANONYMOUS | MAP_FIXED, -1, 0)

    for byte in (0, PAGE - 1):
        assert not grows(process, growing - (allowed + 1) * PAGE + byte)
    assert not allowed or grows(process, growing - allowed * PAGE)


@pytest.mark.parametrize(("prot", "flags"), [(PROT_NONE, 0), (RW, MAP_GROWSDOWN)], ids=["inaccessible", "growing"])
def test_growth_needs_no_gap_to_these_mappings(process: ReferenceProcess, growing: int, prot: int, flags: int) -> None:
    process.mmap(growing - 2 * PAGE, PAGE, prot, ANONYMOUS | MAP_FIXED | flags, -1, 0)

    assert grows(process, growing - PAGE)


def test_growth_is_limited(process: ReferenceProcess, growing: int) -> None:
    process.set_limit_headroom(Resource.ADDRESS_SPACE, PAGE)
    assert not grows(process, growing - 2 * PAGE)
    assert grows(process, growing - PAGE)
    assert process.space.size == 2 * PAGE


def test_growth_of_a_locked_stack_is_limited_by_rlimit_memlock(process: ReferenceProcess) -> None:
    process.drop_capability("CAP_IPC_LOCK")
    base = process.scratch_range()[0] + 8 * PAGE
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 2 * PAGE)
    process.mmap(base, PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN | MAP_LOCKED, -1, 0)

    assert not grows(process, base - 2 * PAGE)
    assert grows(process, base - PAGE)
    assert process.space.locked == 2 * PAGE


def test_the_rest_of_a_stack_still_grows(process: ReferenceProcess, growing: int) -> None:
    process.load(growing - 3 * PAGE, 1)
    process.munmap(growing - 3 * PAGE, 2 * PAGE)
    child = process.fork()

    assert grows(child, growing - 2 * PAGE)
    assert grows(process, growing - 3 * PAGE)
    assert process.load(growing - 3 * PAGE, 4 * PAGE) == bytes(4 * PAGE)


def test_nothing_grows_below_the_lowest_address(process: ReferenceProcess) -> None:
    process.mmap(65536, PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0)

    assert not grows(process, 65535)


# ------------------------------------------------------------------------------------------------------------ droppable


def test_bytes_stored_in_droppable_memory_may_be_zero(process: ReferenceProcess) -> None:
    base = process.mmap(0, PAGE, RW, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0)
    process.store(base + 1, b"xy")

    page = process.space.table.entries[base // PAGE]
    assert page.indeterminate == {1: b"x\0", 2: b"y\0"}
    assert process.load(base, 4) == b"\0xy\0"


@pytest.mark.parametrize("locked", [MAP_LOCKED, 0], ids=["locked", "not-locked"])
def test_a_stack_grows_by_the_distance_at_low_addresses(process: ReferenceProcess, locked: int) -> None:
    """The mapping also becomes many times as long."""
    process.mmap(1 << 20, 3 * PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN | locked, -1, 0)
    process.store(1 << 17, b"x")
    (mapping,) = process.space.mappings.values()
    assert (mapping.start, mapping.end) == (1 << 17, (1 << 20) + 3 * PAGE)
    assert process.space.size == mapping.end - mapping.start
    assert process.space.locked == (process.space.size if locked else 0)


@pytest.mark.parametrize("at", [1, 6, PAGE - 1])
def test_code_can_be_executed_at_any_offset(process: ReferenceProcess, at: int) -> None:
    base = process.mmap(0, PAGE, RW | PROT_EXEC, ANONYMOUS, -1, 0)
    process.store(base + at, process.return_instruction())
    process.execute(base + at)
    with pytest.raises(Unresolved):
        process.execute(base + at - 1)


@pytest.mark.parametrize(("start", "length"), [(0, 6), (0, 7), (3, 3), (3, 4), (5, 5), (6, 1), (9, 9), (2, PAGE - 2)])
def test_bytes_stored_past_the_end_of_the_file_are_indeterminate(
    process: ReferenceProcess, start: int, length: int
) -> None:
    """The last page of the file has six bytes."""
    fd = process.open("f", O_RDWR | O_CREAT)
    process.ftruncate(fd, 2 * PAGE + 6)
    base = process.mmap(0, 2 * PAGE, RW, MAP_SHARED, fd, PAGE)
    process.store(base + PAGE + start, b"x" * length)
    page = process.space.table.entries[base // PAGE + 1]
    assert sorted(page.indeterminate or ()) == list(range(max(start, 6), start + length))
    process.store(base + PAGE - 3, b"yyyzzz")
    assert page.data[:6] == b"zzz" + (b"\0" * start + b"x" * length + bytes(6))[3:6]


# -------------------------------------------------------------------------------------------------------------- loading


def test_a_load_of_no_bytes_does_not_fault(process: ReferenceProcess) -> None:
    assert process.load(process.scratch_range()[0], 0) == b""


@pytest.mark.parametrize("base", [0, 3 * PAGE, 1 << 20])
def test_accesses_at_low_addresses(process: ReferenceProcess, base: int) -> None:
    """An address that is less than a length is not special."""
    content = bytes(range(1, 252)) * (3 * PAGE // 251 + 1)
    process.mmap(base, 3 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    for at in (0, 1, 5):
        process.store(base + at, content[at : 3 * PAGE - 3])
    assert process.load(base, 3 * PAGE) == content[: 3 * PAGE - 3] + bytes(3)
    for start, length in ((0, 1), (0, PAGE), (0, PAGE + 1), (7, PAGE - 7), (7, PAGE), (PAGE - 1, 2), (PAGE + 3, 5)):
        assert process.load(base + start, length) == content[start : start + length]
    assert process.load(base + 2 * PAGE - 9, PAGE) == content[2 * PAGE - 9 : 3 * PAGE - 9]
    for start, length in ((PAGE - 5, 10), (7, 2 * PAGE + 6), (3, 3), (5, PAGE - 5)):
        process.store(base + start, b"-" * length)
        content = content[:start] + b"-" * length + content[start + length :]
        assert process.load(base, 3 * PAGE - 3) == content[: 3 * PAGE - 3]


def test_addresses_wrap(process: ReferenceProcess) -> None:
    """Addresses have 64 bits; higher bits are ignored."""
    base = process.mmap(0, PAGE, RW | PROT_EXEC, ANONYMOUS, -1, 0)
    process.store(base + (1 << 64), process.return_instruction())
    process.execute(base - (1 << 64))
    assert process.load(base + (1 << 65), 1) == process.load(base, 1) == process.return_instruction()


def test_the_last_access_is_recorded_with_its_fault(process: ReferenceProcess) -> None:
    base = process.mmap(0, PAGE, PROT_READ, ANONYMOUS, -1, 0)
    process.load(base + 1, 1)
    assert process.last_access == ("load", base + 1, "")
    for access, call in (
        ("store", lambda at: process.store(at, b"x")),
        ("execute", process.execute),
        ("load", lambda at: process.load(at, 1)),
    ):
        for at, signal in ((base, "SIGSEGV"), (process.scratch_range()[0], "SIGSEGV"), (1 << 63, "SIGSEGV")):
            if access != "load" or at != base:
                with suppress(Fault):
                    call(at)
                assert process.last_access == (access, at, signal)


@pytest.mark.parametrize("code", [b"\xc2", b"\xc4", b"\0", b"\xff"])
def test_other_code_is_unresolved(process: ReferenceProcess, code: bytes) -> None:
    base = process.mmap(0, PAGE, RW | PROT_EXEC, ANONYMOUS, -1, 0)
    process.store(base + 5, code)
    with pytest.raises(Unresolved):
        process.execute(base + 5)


@pytest.mark.parametrize("flags", [MAP_SHARED, MAP_PRIVATE])
def test_a_page_that_is_only_read_is_neither_copied_nor_dirty(process: ReferenceProcess, flags: int) -> None:
    fd = process.open("f", O_RDWR | O_CREAT)
    process.pwrite(fd, process.return_instruction() * 2 * PAGE, 0)
    process.fsync(fd)
    base = process.mmap(0, 2 * PAGE, RW | PROT_EXEC, flags, fd, 0)
    process.execute(base)
    process.load(base + PAGE, 1)
    cache = process.descriptors[fd].description.inode.cache
    assert list(process.space.table.entries.values()) == list(cache.pages.values())
    assert not any(page.dirty or page.refcount for page in cache.pages.values())


# ----------------------------------------------------------------------------------------------------- limits of growth


def stack(process: ReferenceProcess, pages: int, locked: int = 0) -> int:
    """Map pages that grow down, at an odd page above 1 MiB."""
    base = (1 << 20) + 5 * PAGE
    return process.mmap(base, pages * PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN | locked, -1, 0)


@pytest.mark.parametrize("more", [1, 3, 100, 137, 200, 240])
@pytest.mark.parametrize("resource", [Resource.ADDRESS_SPACE, Resource.LOCKED_MEMORY])
def test_growth_counts_only_the_new_pages(process: ReferenceProcess, resource: Resource, more: int) -> None:
    """The limit admits exactly the new pages, even if they reach most of the way down to 0."""
    base = stack(process, 3, MAP_LOCKED)
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(resource, more * PAGE - 1)
    assert not grows(process, base - more * PAGE)
    process.set_limit_headroom(resource, more * PAGE)
    assert not grows(process, base - more * PAGE - 1)
    assert grows(process, base - more * PAGE + 7)
    assert process.space.size == process.space.locked == (3 + more) * PAGE


@pytest.mark.parametrize(("pages", "most"), [(1, 2), (2, 5), (3, 8), (3, 131), (7, 240)])
def test_a_stack_grows_to_its_limit(process: ReferenceProcess, pages: int, most: int) -> None:
    base = stack(process, pages)
    end = base + pages * PAGE
    process.set_limit_headroom(Resource.STACK, most * PAGE)
    assert not grows(process, end - most * PAGE - 1)
    process.set_limit_headroom(Resource.STACK, most * PAGE - 1)
    assert not grows(process, end - most * PAGE)
    process.set_limit_headroom(Resource.STACK, most * PAGE)
    assert grows(process, end - most * PAGE)


def test_the_default_stack_limit_is_8_mib(process: ReferenceProcess) -> None:
    base = process.scratch_range()[0] + (16 << 20)
    process.mmap(base, PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0)
    assert not grows(process, base + PAGE - (8 << 20) - 1)
    assert grows(process, base + PAGE - (8 << 20))


def test_a_stack_grows_to_the_lowest_address(process: ReferenceProcess) -> None:
    process.mmap(65536 + 2 * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0)
    assert not grows(process, 65535)
    assert grows(process, 65536)


@pytest.mark.parametrize(
    ("seen", "admitted"), [(Returned(b"\0"), True), (Faulted("SIGSEGV", "SEGV_MAPERR", None), False)]
)
@pytest.mark.parametrize("joined", [True, False])
def test_a_merged_mapping_may_count_as_several(seen: Outcome, admitted: bool, joined: bool) -> None:
    """A system that has not merged the mappings counts only one of them for the stack limit."""
    following = ObservedChoices()
    process = ReferenceSystem(Parameters(), following).spawn()
    base = stack(process, 3)
    process.space.mappings[base].merged = joined
    process.set_limit_headroom(Resource.STACK, 3 * PAGE)
    following.observe("load", seen)
    assert (process.grow_to(base - 1) is not None) == (admitted and joined)


# -------------------------------------------------------------------------------------------------- indeterminate bytes


def judged() -> tuple[ObservedChoices, ReferenceProcess]:
    following = ObservedChoices()
    return following, ReferenceSystem(Parameters(), following).spawn()


def opened(process: ReferenceProcess, addr: int) -> list[int]:
    """Return the offsets of the indeterminate bytes in the page at an address."""
    return sorted(process.space.table.entries[addr // PAGE].indeterminate or ())


def test_freed_bytes_are_indeterminate_until_a_store() -> None:
    following, process = judged()
    base = process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)
    process.store(base, b"abcdef")
    process.madvise(base, PAGE, MADV_FREE)
    following.observe("load", Returned(b"abcdef"))
    assert process.load(base, 6) == b"abcdef"
    assert opened(process, base) == [0, 1, 2, 3, 4, 5]
    process.store(base + 3, b"xy")
    assert opened(process, base) == [0, 1, 2, 5]
    following.observe("load", Returned(b"a\0"))
    assert process.load(base, 2) == b"a\0"
    assert opened(process, base) == [2, 5], "the page is no longer freed: the observed bytes stay"


def test_a_load_resolves_bytes_of_a_private_page() -> None:
    following, process = judged()
    fd = process.open("f", O_RDWR | O_CREAT)
    process.ftruncate(fd, PAGE + 2)
    shared = process.mmap(0, 2 * PAGE, RW, MAP_SHARED, fd, 0)
    private = process.mmap(0, 2 * PAGE, RW, MAP_PRIVATE, fd, 0)
    process.store(shared + PAGE, b"abcdef")
    process.store(private + PAGE + 100, b"x")
    following.observe("load", Returned(b"cdef"))
    for base, left in ((shared, [2, 3, 4, 5]), (private, [])):
        assert process.load(base + PAGE + 2, 4) == b"cdef"
        assert opened(process, base + PAGE) == left


@pytest.mark.parametrize(
    ("start", "length"), [(0, 3), (9, 1), (PAGE - 3, 3), (PAGE - 3, 4), (PAGE - 3, 8), (PAGE - 3, PAGE + 5)]
)
def test_a_load_resolves_each_byte_that_it_loads(start: int, length: int) -> None:
    """The load may cross pages.  Each byte of the file is that of `content`, or zero."""
    following, process = judged()
    content = (bytes(range(1, 252)) * (PAGE // 251 + 1))[:PAGE]
    fd = process.open("f", O_RDWR | O_CREAT)
    process.ftruncate(fd, 3 * PAGE)
    base = process.mmap(0, 3 * PAGE, RW, MAP_SHARED, fd, 0)
    for index in range(3):
        process.descriptors[fd].description.inode.cache.page(index).allow(
            {at: bytes((0, value)) for at, value in enumerate(content)}
        )
    seen = (content * 3)[start : start + length]
    following.observe("load", Returned(seen))
    assert process.load(base + start, length) == seen
    following.observe("load", Returned(None))
    process.load(base, 3 * PAGE)
    left = [index * PAGE + byte for index in range(3) for byte in opened(process, base + index * PAGE)]
    assert left == [at for at in range(3 * PAGE) if not start <= at < start + length]


@pytest.mark.parametrize(("start", "length"), [(0, 6), (3, 3), (3, 4), (5, 5), (6, 1), (9, 9), (2, PAGE - 2)])
def test_every_byte_stored_to_droppable_memory_is_indeterminate(
    process: ReferenceProcess, start: int, length: int
) -> None:
    base = process.mmap(0, PAGE, RW, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0)
    process.store(base + start, b"x" * length)
    assert opened(process, base) == list(range(start, start + length))


@pytest.mark.parametrize(
    ("touched", "noticed"), [([], True), ([-1, 3], True), ([0], False), ([2], False), ([0, 1, 2], False)]
)
@pytest.mark.parametrize("elsewhere", [0, 9])
def test_the_first_store_through_a_mapping_updates_st_mtime(
    process: ReferenceProcess, touched: list[int], noticed: bool, elsewhere: int
) -> None:
    """The mapping has three pages, of which `touched` are faulted in, between other mappings in use."""
    fd = process.open("f", O_RDWR | O_CREAT)
    process.ftruncate(fd, 3 * PAGE)
    base = process.mmap(process.scratch_range()[0] + 7 * PAGE, 20 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0) + PAGE
    process.mmap(base, 3 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0)
    for at in [*touched, *range(5, 5 + elsewhere)]:
        process.load(base + at * PAGE, 1)
    inode = process.descriptors[fd].description.inode
    inode.backdated = True
    process.store(base + PAGE, b"x")
    assert inode.backdated == (not noticed)


# ------------------------------------------------------------------------------------------------------------------ add


@pytest.mark.parametrize("times", [0, 1, 2, 3, 4, 5, 7, 1000])
@pytest.mark.parametrize("value", [0, 255, (1 << 32) - 1, (1 << 32) - 3])
@pytest.mark.parametrize("locks", [True, False])
def test_add_changes_one_word(process: ReferenceProcess, times: int, value: int, locks: bool) -> None:
    """The word has 32 bits; the lock, another word, is free afterwards."""
    base = process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)
    process.store(base, b"\xff" * 64)
    process.store(base + 8, value.to_bytes(4, "little"))
    process.store(base + 24, bytes(4))
    process.add(base + 8, times, base + 24 if locks else 0)
    word = ((value + times) % (1 << 32)).to_bytes(4, "little")
    assert process.load(base, 64) == b"\xff" * 8 + word + b"\xff" * 12 + bytes(4) + b"\xff" * 36


@pytest.mark.parametrize(("byte_order", "word"), [("little", b"\x03\0\0\0"), ("big", b"\0\0\0\x03")])
def test_a_word_has_the_byte_order_of_the_machine(byte_order: Literal["little", "big"], word: bytes) -> None:
    process = ReferenceSystem(Parameters(byte_order=byte_order), ObservedChoices()).spawn()
    base = process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)

    process.add(base, 3)

    assert process.load(base, 4) == word


def test_add_waits_for_the_lock(process: ReferenceProcess) -> None:
    base = process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)
    process.store(base + 4, b"\0\0\0\1")
    slices = process.add_slices(base, 4, base + 4)
    for _ in range(9):
        next(slices)
    assert process.load(base, 8) == bytes(7) + b"\1"
    process.store(base + 4, bytes(4))
    next(slices)
    assert process.load_word(base + 4) != 0
    assert process.load_word(base) == 0
    for _ in slices:
        pass
    assert (process.load_word(base), process.load_word(base + 4)) == (4, 0)
