"""Test msync, mprotect, mlock, mincore and sysconf: their flags, the pages they change, and where they stop."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import pytest

from pytest_mmapconf.contract import (
    MADV_DONTFORK,
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_FIXED,
    MAP_GROWSDOWN,
    MAP_LOCKED,
    MAP_PRIVATE,
    MAP_SHARED,
    MCL_CURRENT,
    MCL_FUTURE,
    MCL_ONFAULT,
    MLOCK_ONFAULT,
    MREMAP_MAYMOVE,
    MS_ASYNC,
    MS_INVALIDATE,
    MS_SYNC,
    O_CREAT,
    O_RDWR,
    PROT_EXEC,
    PROT_GROWSDOWN,
    PROT_GROWSUP,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    Resource,
    Unresolved,
    Unsupported,
)
from pytest_mmapconf.outcomes import Failed, Returned
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.linux_choices import LinuxChoices
from pytest_mmapconf.reference.machine import Parameters
from pytest_mmapconf.reference.observed_choices import ObservedChoices
from pytest_mmapconf.reference.paging import PageCache
from pytest_mmapconf.reference.process import ReferenceProcess
from pytest_mmapconf.reference.refusal import Refused
from pytest_mmapconf.reference.system import ReferenceSystem
from pytest_mmapconf.testing import fails

PAGE = 4096
RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS
ALL = (1 << 64) - 1


@pytest.fixture
def process() -> ReferenceProcess:
    return ReferenceBackend().boot().spawn()


def window(process: ReferenceProcess, pages: int, prot: int = RW, flags: int = MAP_SHARED) -> tuple[int, PageCache]:
    """Map pages of a file from its third on, all dirty, at an odd page; return the address and the file's cache."""
    fd = process.open("file", O_RDWR | O_CREAT)
    process.pwrite(fd, b"a" * ((3 + pages) * PAGE), 0)
    base = process.mmap(process.scratch_range()[0] + 7 * PAGE, pages * PAGE, prot, flags | MAP_FIXED, fd, 3 * PAGE)
    return base, process.descriptors[fd].description.inode.cache


def clean(cache: PageCache) -> list[int]:
    return [index for index, page in sorted(cache.pages.items()) if not page.dirty]


def layout(process: ReferenceProcess, base: int) -> list[tuple[int, int, int]]:
    """Return (first page, end page, protection) of each mapping."""
    return [((m.start - base) // PAGE, (m.end - base) // PAGE, m.prot) for m in process.space.mappings.values()]


# ---------------------------------------------------------------------------------------------------------------- msync


class WritesAtOnce(LinuxChoices):
    """A system whose MS_ASYNC writes immediately."""

    def writes_when_asynchronous(self) -> bool:
        return True


@pytest.mark.parametrize("choices", [LinuxChoices(), WritesAtOnce()])
@pytest.mark.parametrize("flags", range(9))
def test_flags_with_which_msync_writes(choices: LinuxChoices, flags: int) -> None:
    process = ReferenceSystem(Parameters(), choices).spawn()
    base, cache = window(process, 2)
    if flags in (MS_ASYNC | MS_SYNC, MS_ASYNC | MS_SYNC | MS_INVALIDATE, 8):
        with fails("EINVAL"):
            process.msync(base, 2 * PAGE, flags)
    else:
        process.msync(base, 2 * PAGE, flags)
    at_once = isinstance(choices, WritesAtOnce) and flags in (MS_ASYNC, MS_ASYNC | MS_INVALIDATE)
    assert clean(cache) == ([3, 4] if at_once or flags in (MS_SYNC, MS_SYNC | MS_INVALIDATE) else [])


@pytest.mark.parametrize("flags", [1 << bit for bit in range(3, 31)])
def test_msync_refuses_unknown_flags(process: ReferenceProcess, flags: int) -> None:
    base, _cache = window(process, 1)
    for more in (0, MS_SYNC, MS_ASYNC | MS_INVALIDATE):
        with fails("EINVAL"):
            process.msync(base, PAGE, flags | more)


@pytest.mark.parametrize("flags", range(5))
def test_only_ms_invalidate_refuses_locked_pages(process: ReferenceProcess, flags: int) -> None:
    base, cache = window(process, 5)
    process.mlock(base + 2 * PAGE, PAGE)
    if flags & MS_INVALIDATE:
        with fails("EBUSY"):
            process.msync(base, 5 * PAGE, flags)
    else:
        process.msync(base, 5 * PAGE, flags)
    assert clean(cache) == ([3, 4, 5, 6, 7] if flags == MS_SYNC else [])


def test_msync_stops_writing_at_a_locked_page(process: ReferenceProcess) -> None:
    base, cache = window(process, 7)
    process.mlock(base + 2 * PAGE, PAGE)
    process.mlock(base + 5 * PAGE, PAGE)
    process.munmap(base + 6 * PAGE, PAGE)
    with pytest.raises(Refused) as refused:
        process.msync(base + PAGE, 6 * PAGE, MS_SYNC | MS_INVALIDATE)
    assert [refusal.name for refusal in refused.value.refusals] == ["EBUSY", "ENOMEM"]
    assert clean(cache) == [4]


def test_msync_writes_shared_pages_of_a_file_only(process: ReferenceProcess) -> None:
    base, cache = window(process, 3, RW, MAP_PRIVATE)
    process.store(base, b"x")
    process.mmap(base + 3 * PAGE, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
    process.mmap(base + 4 * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.msync(base, 5 * PAGE, MS_SYNC)
    assert clean(cache) == []


@pytest.mark.parametrize(("first", "count"), [(0, 9), (0, 5), (1, 6), (2, 3), (6, 2), (6, 3), (8, 1)])
def test_msync_over_several_mappings(process: ReferenceProcess, first: int, count: int) -> None:
    """The range has memory, three pages of a file from its third on, memory, and two from its ninth on."""
    base, cache = window(process, 13)
    process.mmap(base, 20 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    for at, pages, index in ((2, 3, 3), (7, 2, 9)):
        process.mmap(base + at * PAGE, pages * PAGE, RW, MAP_SHARED | MAP_FIXED, 3, index * PAGE)
    process.msync(base + first * PAGE, count * PAGE, MS_SYNC)
    shown = {2: 3, 3: 4, 4: 5, 7: 9, 8: 10}
    assert clean(cache) == [shown[at] for at in range(first, first + count) if at in shown]


@pytest.mark.parametrize("addr", [1, PAGE - 1, PAGE + 8])
def test_unaligned_addresses_are_refused(process: ReferenceProcess, addr: int) -> None:
    base, _cache = window(process, 3)
    for call in (
        lambda: process.msync(base + addr, PAGE, MS_SYNC),
        lambda: process.mprotect(base + addr, PAGE, PROT_READ),
        lambda: process.mseal(base + addr, PAGE),
        lambda: process.mincore(base + addr, PAGE),
    ):
        with fails("EINVAL"):
            call()
    assert layout(process, base) == [(0, 3, RW)]


def test_addresses_wrap(process: ReferenceProcess) -> None:
    """Addresses have 64 bits; higher bits are ignored."""
    base, cache = window(process, 3)
    far = base + (1 << 64)
    process.msync(far + PAGE, PAGE, MS_SYNC)
    assert clean(cache) == [4]
    process.mlock(far + PAGE, PAGE)
    assert process.space.locked == PAGE
    process.munlock(far + PAGE, PAGE)
    assert process.space.locked == 0
    process.load(base + PAGE, 1)
    process.drop_cache(3)
    process.load(base + PAGE, 1)
    assert process.mincore(far, 3 * PAGE) == [False, True, False]
    process.mprotect(far + PAGE, PAGE, PROT_READ)
    process.mseal(far + 2 * PAGE, PAGE)
    assert layout(process, base) == [(0, 1, RW), (1, 2, PROT_READ), (2, 3, RW)]
    assert [m.sealed for m in process.space.mappings.values()] == [False, False, True]


# -------------------------------------------------------------------------------------------------------------- sysconf


@pytest.mark.parametrize("page", [4096, 16384])
def test_sysconf_knows_the_page_size(page: int) -> None:
    assert ReferenceBackend(page=page).boot().spawn().sysconf(30) == page


@pytest.mark.parametrize(("name", "known"), [(-1, False), (0, True), (29, True), (31, True), (250, True), (251, False)])
def test_sysconf_names(process: ReferenceProcess, name: int, known: bool) -> None:
    if known:
        with pytest.raises(Unsupported):
            process.sysconf(name)
    else:
        with fails("EINVAL"):
            process.sysconf(name)


# ------------------------------------------------------------------------------------------------------------- mprotect


@pytest.mark.parametrize("bit", range(32))
def test_protection_bits_that_mprotect_accepts(process: ReferenceProcess, bit: int) -> None:
    """The three protection bits and PROT_SEM (8) are accepted; nothing here grows downwards (1 << 24) or upwards."""
    base = process.mmap(process.scratch_range()[0], 3 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    for more in (PROT_NONE, PROT_READ):
        if bit in range(4):
            process.mprotect(base + PAGE, PAGE, 1 << bit | more)
            assert [m.prot for m in process.space.over(base + PAGE, base + 2 * PAGE)] == [(1 << bit | more) & 7]
        else:
            with fails("EINVAL"):
                process.mprotect(base, 3 * PAGE, 1 << bit | more)


def test_mprotect_ignores_unknown_bits_for_length_0(process: ReferenceProcess) -> None:
    base = process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)
    process.mprotect(base, 0, 1 << 20)
    process.mprotect(process.task_size, 0, PROT_READ)
    assert layout(process, base) == [(0, 1, RW)]


def test_prot_growsdown_extends_to_the_start_of_the_mapping(process: ReferenceProcess) -> None:
    base = process.mmap(
        process.scratch_range()[0] + 7 * PAGE, 5 * PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0
    )
    for both in (PROT_GROWSDOWN | PROT_GROWSUP, PROT_GROWSDOWN | PROT_GROWSUP | PROT_READ):
        with fails("EINVAL"):
            process.mprotect(base, PAGE, both)
    for at in (0, 3):
        with fails("EINVAL"):
            process.mprotect(base + at * PAGE, PAGE, PROT_READ | PROT_GROWSUP)
    process.mprotect(base + 2 * PAGE, PAGE, PROT_READ | PROT_GROWSDOWN)
    assert layout(process, base) == [(0, 3, PROT_READ), (3, 5, RW)]
    process.mprotect(base + PAGE, PAGE, RW)
    assert layout(process, base) == [(0, 1, PROT_READ), (1, 2, RW), (2, 3, PROT_READ), (3, 5, RW)]
    process.mmap(base, 5 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    with fails("EINVAL"):
        process.mprotect(base, PAGE, PROT_READ | PROT_GROWSDOWN)


@pytest.mark.parametrize(("first", "count", "room"), [(1, 1, 2), (2, 2, 2), (0, 2, 1), (3, 2, 1), (0, 5, 0)])
def test_a_part_with_its_own_protection_is_a_mapping(first: int, count: int, room: int) -> None:
    """A part in the middle needs two more mappings (Linux 6.18)."""
    process = ReferenceBackend(mappings=20).boot().spawn()
    base = process.scratch_range()[0]
    process.mmap(base, 5 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    for number in range(19 - room):
        process.mmap(base + (10 + 2 * number) * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    if room == 2:
        process.mmap(base + 7 * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
        with fails("ENOMEM"):
            process.mprotect(base + first * PAGE, count * PAGE, PROT_READ)
        process.munmap(base + 7 * PAGE, PAGE)
    process.mprotect(base + first * PAGE, count * PAGE, PROT_READ)
    assert len(process.space.mappings) == 20


@pytest.mark.parametrize("flag", [PROT_GROWSDOWN, PROT_GROWSUP])
def test_prot_grows_refuses_a_mapping_that_does_not_grow(process: ReferenceProcess, flag: int) -> None:
    base = process.scratch_range()[0]
    with fails("ENOMEM"):
        process.mprotect(base, PAGE, PROT_READ | flag)


def test_prot_grows_of_a_range_that_begins_in_a_hole(process: ReferenceProcess) -> None:
    base = process.scratch_range()[0] + 7 * PAGE
    process.mmap(base, 2 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.mmap(base + 8 * PAGE, 2 * PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0)
    for flag, errno in ((PROT_GROWSDOWN, "EINVAL"), (PROT_GROWSUP, "ENOMEM"), (0, "ENOMEM")):
        with fails(errno):
            process.mprotect(base - PAGE, 2 * PAGE, PROT_READ | flag)
    process.mprotect(base + 6 * PAGE, 3 * PAGE, PROT_READ | PROT_GROWSDOWN)
    assert layout(process, base) == [(0, 2, RW), (8, 9, PROT_READ), (9, 10, RW)]


@pytest.mark.parametrize("hole", range(1, 6))
def test_mprotect_changes_the_pages_before_a_hole(process: ReferenceProcess, hole: int) -> None:
    base = process.mmap(process.scratch_range()[0] + 3 * PAGE, 7 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.munmap(base + hole * PAGE, PAGE)
    with fails("ENOMEM"):
        process.mprotect(base, 7 * PAGE, PROT_READ)
    assert layout(process, base) == [(0, hole, PROT_READ), (hole + 1, 7, RW)]


@pytest.mark.parametrize("first", range(4))
@pytest.mark.parametrize("what", ["denied", "sealed"])
def test_mprotect_changes_the_pages_before_a_mapping_that_refuses(
    process: ReferenceProcess, what: str, first: int
) -> None:
    """Pages 4 and 5 of seven refuse; a range that begins within them changes nothing."""
    base = process.mmap(process.scratch_range()[0] + 3 * PAGE, 7 * PAGE, PROT_READ, ANONYMOUS | MAP_FIXED, -1, 0)
    if what == "denied":
        fd = process.open("file", O_RDWR | O_CREAT)
        process.close(fd)
        fd = process.open("file", 0)
        process.mmap(base + 3 * PAGE, 2 * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)
    else:
        process.mseal(base + 3 * PAGE, 2 * PAGE)
    start = first + 1
    with fails("EACCES" if what == "denied" else "EPERM"):
        process.mprotect(base + start * PAGE, (7 - start) * PAGE, RW)
    rights = [process.space.find(base + at * PAGE) for at in range(7)]
    assert [m.prot for m in rights if m] == [RW if start <= at < 3 else PROT_READ for at in range(7)]


@pytest.mark.parametrize("order", [*permutations(("hole", "denied", "sealed")), ("both", "hole"), ("hole", "both")])
def test_mprotect_reports_the_error_at_the_lowest_address(process: ReferenceProcess, order: tuple[str, ...]) -> None:
    base = process.mmap(process.scratch_range()[0] + 3 * PAGE, 7 * PAGE, PROT_READ, ANONYMOUS | MAP_FIXED, -1, 0)
    process.close(process.open("file", O_RDWR | O_CREAT))
    fd = process.open("file", 0)
    names = {"hole": ["ENOMEM"], "denied": ["EACCES"], "sealed": ["EPERM"], "both": ["EACCES", "EPERM"]}
    for number, what in enumerate(order):
        at = base + (2 * number + 1) * PAGE
        if what == "hole":
            process.munmap(at, PAGE)
        if what in ("denied", "both"):
            process.mmap(at, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)
        if what in ("sealed", "both"):
            process.mseal(at, PAGE)
    with pytest.raises(Refused) as refused:
        process.mprotect(base, 7 * PAGE, RW)
    assert [refusal.name for refusal in refused.value.refusals] == [name for what in order for name in names[what]]
    assert layout(process, base)[0] == (0, 1, RW)


@pytest.mark.parametrize(
    ("before", "after", "flags", "brought_in"),
    [
        (PROT_NONE, RW, MAP_PRIVATE, True),
        (PROT_READ, RW, MAP_PRIVATE, True),
        (PROT_EXEC, RW, MAP_PRIVATE, True),
        (PROT_READ | PROT_EXEC, PROT_WRITE, MAP_PRIVATE, True),
        (PROT_NONE, PROT_READ, MAP_PRIVATE, False),
        (PROT_NONE, PROT_READ | PROT_EXEC, MAP_PRIVATE, False),
        (PROT_WRITE, RW, MAP_PRIVATE, False),
        (RW | PROT_EXEC, RW, MAP_PRIVATE, False),
        (PROT_NONE, RW, MAP_SHARED, False),
        (PROT_READ, RW, MAP_SHARED, False),
    ],
)
@pytest.mark.parametrize("locked", [True, False])
def test_mprotect_populates_locked_private_writable_memory(
    process: ReferenceProcess, before: int, after: int, flags: int, brought_in: bool, locked: bool
) -> None:
    base, _cache = window(process, 5, before, flags)
    if locked:
        process.space.lock(base + PAGE, base + 4 * PAGE, True)  # without populating the accessible pages
    process.mprotect(base, 3 * PAGE, after)
    entries = [number - base // PAGE for number in process.space.table.entries]
    assert entries == ([1, 2] if brought_in and locked else [])
    assert all(process.space.table.entries[base // PAGE + at].refcount for at in entries)


# ---------------------------------------------------------------------------------------------------------------- mseal


@pytest.mark.parametrize("flags", [1, 2, 1 << 31])
def test_mseal_refuses_flags(process: ReferenceProcess, flags: int) -> None:
    base = process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)
    with fails("EINVAL"):
        process.mseal(base, PAGE, flags)
    process.mseal(base, PAGE)


@pytest.mark.parametrize(
    ("length", "errno"),
    [(ALL, "EINVAL"), (ALL - PAGE + 2, "EINVAL"), (ALL - PAGE + 1, "EINVAL"), (5 * PAGE, "ENOMEM"), (1 << 64, None)],
)
def test_lengths_that_mseal_accepts(process: ReferenceProcess, length: int, errno: str | None) -> None:
    """Four pages are mapped; a length that wraps to 0 is refused."""
    base = process.mmap(0, 4 * PAGE, RW, ANONYMOUS, -1, 0)
    if errno is None:
        process.mseal(base, length)
    else:
        with fails(errno):
            process.mseal(base, length)
    assert not process.space.is_sealed(base, base + 4 * PAGE)


def test_whole_pages_are_sealed(process: ReferenceProcess) -> None:
    base = process.mmap(process.scratch_range()[0] + 3 * PAGE, 7 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.mseal(base + 2 * PAGE, 2 * PAGE + 1)
    assert [process.space.is_sealed(base + at * PAGE, base + at * PAGE + 1) for at in range(7)] == [
        at in (2, 3, 4) for at in range(7)
    ]
    assert len(process.space.mappings) == 3
    process.mseal(base, 5 * PAGE)
    assert layout(process, base) == [(0, 5, RW), (5, 7, RW)]


# ------------------------------------------------------------------------------------------------------- mlock, munlock


@pytest.mark.parametrize(
    ("addr", "length", "first", "stop"),
    [
        (0, PAGE, 0, 1),
        (5, 1, 0, 1),
        (5, PAGE - 5, 0, 1),
        (5, PAGE - 4, 0, 2),
        (3 * PAGE - 1, 1, 2, 3),
        (3 * PAGE - 1, 2, 2, 4),
        (PAGE + 1, 2 * PAGE, 1, 4),
        (2 * PAGE, 0, 2, 2),
        (2 * PAGE + 1, 0, 2, 3),
    ],
)
def test_every_page_with_a_byte_of_the_range_is_locked(
    process: ReferenceProcess, addr: int, length: int, first: int, stop: int
) -> None:
    base, _cache = window(process, 5)
    expected = [first <= at < stop for at in range(5)]

    def locked() -> list[bool]:
        found = [process.space.find(base + at * PAGE) for at in range(5)]
        return [mapping is not None and mapping.locked for mapping in found]

    for call in (process.mlock, lambda at, size: process.mlock2(at, size, 0)):
        call(base + addr, length)
        assert locked() == expected
        process.munlock(base, 5 * PAGE)
    process.mlock(base, 5 * PAGE)
    process.munlock(base + addr, length)
    assert locked() == [not at for at in expected]
    assert process.space.locked == locked().count(True) * PAGE


@pytest.mark.parametrize("flags", [1 << bit for bit in range(1, 31)])
def test_mlock2_accepts_one_flag(process: ReferenceProcess, flags: int) -> None:
    base, _cache = window(process, 5)
    for more in (0, MLOCK_ONFAULT):
        with fails("EINVAL"):
            process.mlock2(base, PAGE, flags | more)
    process.mlock2(base + PAGE, 2 * PAGE, MLOCK_ONFAULT)
    assert process.space.locked == 2 * PAGE
    assert process.space.table.entries == {}
    process.mlock2(base + 2 * PAGE, 2 * PAGE, 0)
    assert [number - base // PAGE for number in process.space.table.entries] == [2, 3]
    assert [m.lock_on_fault for m in process.space.mappings.values()] == [False, True, False, False]


@pytest.mark.parametrize("room", [0, 1, PAGE - 1, PAGE, 3 * PAGE - 1, 3 * PAGE])
@pytest.mark.parametrize("call", ["mlock", "mlockall"])
def test_limit_of_locked_memory(process: ReferenceProcess, call: str, room: int) -> None:
    """Four of the seven pages are locked already."""
    base, _cache = window(process, 7)
    process.mlock(base + PAGE, 4 * PAGE)
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, room)
    if room >= 3 * PAGE:
        (lambda: process.mlock(base, 7 * PAGE) if call == "mlock" else process.mlockall(MCL_CURRENT))()
        assert process.space.locked == 7 * PAGE
    else:
        with fails("ENOMEM"):
            (lambda: process.mlock(base, 7 * PAGE) if call == "mlock" else process.mlockall(MCL_CURRENT))()
        assert process.space.locked == 4 * PAGE
        process.mlockall(MCL_FUTURE)


@pytest.mark.parametrize("hole", range(6))
def test_the_pages_before_a_hole_are_locked_or_unlocked(process: ReferenceProcess, hole: int) -> None:
    base, _cache = window(process, 7)
    process.munmap(base + hole * PAGE, PAGE)
    with fails("ENOMEM"):
        process.mlock(base, 7 * PAGE)
    assert process.space.locked == hole * PAGE
    assert process.space.table.entries == {}, "nothing is brought in"
    process.mlock(base + (hole + 1) * PAGE, (6 - hole) * PAGE)
    with fails("ENOMEM"):
        process.munlock(base, 7 * PAGE)
    assert process.space.locked == (6 - hole) * PAGE


def test_mlock_stops_populating_at_an_unavailable_page(process: ReferenceProcess) -> None:
    """The pages after it are locked, but not populated."""
    base, cache = window(process, 7)
    process.mprotect(base + 3 * PAGE, 2 * PAGE, PROT_NONE)
    with fails("ENOMEM"):
        process.mlock(base + PAGE, 6 * PAGE)
    assert process.space.locked == 6 * PAGE
    assert [number - base // PAGE for number in process.space.table.entries] == [1, 2]
    process.munmap(base, 7 * PAGE)
    base = process.mmap(base, 7 * PAGE, RW, MAP_PRIVATE | MAP_FIXED, 3, 7 * PAGE)
    with fails("ENOMEM"):
        process.mlock(base, 7 * PAGE)
    assert process.space.locked == 7 * PAGE
    assert [number - base // PAGE for number in process.space.table.entries] == [0, 1, 2]
    assert len(cache.pages) == 10


@pytest.mark.parametrize("prot", range(8))
def test_populating_copies_writable_private_pages(process: ReferenceProcess, prot: int) -> None:
    for flags in (MAP_PRIVATE, MAP_SHARED):
        base, _cache = window(process, 3, prot, flags)
        assert process.space.populate(base + PAGE, base + 3 * PAGE) == (prot != PROT_NONE)
        copies = flags == MAP_PRIVATE and bool(prot & PROT_WRITE)
        assert [page.refcount for page in process.space.table.entries.values()] == ([copies] * 2 if prot else [])
        process.munmap(base, 3 * PAGE)


# ------------------------------------------------------------------------------------------------------------- mlockall


@pytest.mark.parametrize("flags", range(17))
def test_mlockall(process: ReferenceProcess, flags: int) -> None:
    base, _cache = window(process, 3)
    if flags in (1, 2, 3, 5, 6, 7):
        process.mlockall(flags)
    else:
        with fails("EINVAL"):
            process.mlockall(flags)
    known = flags if flags in (1, 2, 3, 5, 6, 7) else 0
    current, future, on_fault = bool(known & MCL_CURRENT), bool(known & MCL_FUTURE), bool(known & MCL_ONFAULT)
    (mapping,) = process.space.mappings.values()
    assert (mapping.locked, mapping.lock_on_fault) == (current, current and on_fault)
    assert process.space.locked == (3 * PAGE if current else 0)
    assert len(process.space.table.entries) == (3 if current and not on_fault else 0)
    assert (process.locks_future, process.locks_on_fault) == (future, future and on_fault)
    later = process.space.mappings[process.mmap(base + 5 * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)]
    assert (later.locked, later.lock_on_fault) == (future, future and on_fault)
    process.munlockall()
    assert (process.locks_future, process.locks_on_fault, process.space.locked) == (False, False, 0)
    assert not any(m.locked or m.lock_on_fault for m in process.space.mappings.values())


def test_mlockall_without_the_capability(process: ReferenceProcess) -> None:
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 0)
    for flags in (MCL_CURRENT, MCL_FUTURE):
        with fails("EPERM"):
            process.mlockall(flags)
    with fails("EPERM"):
        process.mlock2(process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0), PAGE, 0)


def test_droppable_memory_is_never_locked(process: ReferenceProcess) -> None:
    base = process.mmap(0, 3 * PAGE, RW, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0)
    process.mlock(base + PAGE, PAGE)
    process.mlockall(MCL_CURRENT)
    assert process.space.locked == 0
    assert [(m.locked, m.lock_on_fault) for m in process.space.mappings.values()] == [(False, False)]


def test_locking_twice_counts_once(process: ReferenceProcess) -> None:
    base = process.mmap(0, 5 * PAGE, RW, ANONYMOUS | MAP_LOCKED, -1, 0)
    process.mlock(base + PAGE, 2 * PAGE)
    assert process.space.locked == 5 * PAGE
    process.munlock(base + 3 * PAGE, PAGE)
    process.munlock(base + 2 * PAGE, 2 * PAGE)
    assert process.space.locked == 3 * PAGE


@pytest.mark.parametrize("call", ["mlock", "munlock", "mlock2"])
def test_a_range_that_wraps_cannot_be_locked(process: ReferenceProcess, call: str) -> None:
    calls: dict[str, Callable[[int, int], None]] = {
        "mlock": process.mlock,
        "munlock": process.munlock,
        "mlock2": lambda at, size: process.mlock2(at, size, 0),
    }
    base = process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)
    for length, errno in ((ALL - base - PAGE, "ENOMEM"), (ALL - base - PAGE + 1, "ENOMEM"), (ALL - base - 1, "EINVAL")):
        with fails(errno):
            calls[call](base, length)


# -------------------------------------------------------------------------------------------------------------- mincore


@pytest.mark.parametrize("length", [0, 1, PAGE, PAGE + 1, 3 * PAGE])
def test_mincore_reports_whole_pages(process: ReferenceProcess, length: int) -> None:
    base = process.mmap(process.scratch_range()[0] + PAGE, 3 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(base + PAGE, b"x")
    assert process.mincore(base, length) == [False, True, False][: -(-length // PAGE)]


def test_mincore_refuses_ranges_past_user_space(process: ReferenceProcess) -> None:
    last = process.mmap(process.task_size - 2 * PAGE, 2 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    assert process.mincore(last, 2 * PAGE) == [False, False]
    for addr, length in ((last, 2 * PAGE + 1), (last + PAGE, PAGE + 1), (last, ALL), (process.task_size + PAGE, 0)):
        with fails("ENOMEM"):
            process.mincore(addr, length)
    assert process.mincore(process.task_size, 0) == []


class RecordingChoices(LinuxChoices):
    """Choices that record the pages whose residence was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, bool]] = []

    def is_resident(self, which: int, there: bool) -> bool:
        self.asked.append((which, there))
        return there


def test_pages_whose_residence_is_a_choice() -> None:
    """These are pages of files, and private pages that were touched but not locked, or that a fork may have copied."""
    choices = RecordingChoices()
    process = ReferenceSystem(Parameters(), choices).spawn()
    base, _cache = window(process, 3)
    process.mmap(base + 3 * PAGE, 4 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(base + 4 * PAGE, b"x" * 2 * PAGE)
    process.space.lock(base + 5 * PAGE, base + 7 * PAGE, True)
    assert process.mincore(base + PAGE, 6 * PAGE) == [True, True, False, True, True, False]
    assert choices.asked == [(0, True), (1, True), (3, True)]
    choices.asked.clear()
    assert process.fork().mincore(base + 3 * PAGE, 4 * PAGE) == [False, True, True, False]
    assert choices.asked == [(0, False), (1, True), (2, True), (3, False)]


# ------------------------------------------------------------------------------------------------- what is done in part


def test_below_level_linux_only_a_failing_call_is_unresolved() -> None:
    """How much of the range is changed is unspecified only if a part of it is refused."""
    choices = ObservedChoices("posix")
    process = ReferenceSystem(Parameters(), choices).spawn()
    base, _cache = window(process, 7)
    process.munmap(base + 4 * PAGE, PAGE)
    calls: list[Callable[[int, int], None]] = [
        process.mlock,
        lambda at, size: process.mlock2(at, size, 0),
        process.munlock,
        lambda at, size: process.mprotect(at, size, PROT_READ),
    ]
    for call, locked, prot in zip(calls, (4, 4, 0, 0), (RW, RW, RW, PROT_READ), strict=True):
        choices.observe("", Returned(None))
        call(base, 4 * PAGE)
        mapping = process.space.mappings[base]
        assert (mapping.end, mapping.prot, process.space.locked) == (base + 4 * PAGE, prot, locked * PAGE)
        choices.observe("", Failed("ENOMEM"))
        with pytest.raises(Unresolved, match="below level linux"):
            call(base, 7 * PAGE)


@pytest.mark.parametrize("at", ["start", "middle", "end", "whole"])
def test_a_part_of_a_mapping_at_the_limit_of_mappings(process: ReferenceProcess, at: str) -> None:
    """A change of a whole mapping needs no further one, nor does a change to what it is already."""
    base, _cache = window(process, 3)
    start, pages = {"start": (base, 1), "middle": (base + PAGE, 1), "end": (base + 2 * PAGE, 1), "whole": (base, 3)}[at]
    calls: list[Callable[[], None]] = [
        lambda: process.mprotect(start, pages * PAGE, PROT_READ),
        lambda: process.mlock(start, pages * PAGE),
        lambda: process.mlock2(start, pages * PAGE, MLOCK_ONFAULT),
        lambda: process.madvise(start, pages * PAGE, MADV_DONTFORK),
        lambda: process.mseal(start, pages * PAGE),
    ]
    process.machine.max_map_count = len(process.space.mappings)
    process.mprotect(start, pages * PAGE, RW)
    process.munlock(start, pages * PAGE)
    for call in calls:
        if at == "whole":
            call()
        else:
            with fails("ENOMEM", "EAGAIN"):
                call()
            assert len(process.space.mappings) == process.machine.max_map_count


def test_whole_mappings_before_the_one_that_cannot_be_cut_are_changed(process: ReferenceProcess) -> None:
    base, _cache = window(process, 2)
    process.mprotect(base, PAGE, PROT_READ)
    process.mmap(base + 2 * PAGE, 2 * PAGE, PROT_READ, ANONYMOUS | MAP_FIXED, -1, 0)
    process.machine.max_map_count = len(process.space.mappings)

    with fails("ENOMEM"):
        process.mlock(base, 3 * PAGE)
    assert [mapping.locked for mapping in process.space.over(base, base + 4 * PAGE)] == [True, True, False]


def test_the_limit_of_data_counts_what_becomes_writable(process: ReferenceProcess) -> None:
    base = process.mmap(0, 4 * PAGE, PROT_READ, ANONYMOUS, -1, 0)
    process.mprotect(base + 3 * PAGE, PAGE, RW)
    process.set_limit_headroom(Resource.DATA, 2 * PAGE)

    with fails("ENOMEM"):
        process.mprotect(base, 4 * PAGE, RW)
    process.mprotect(base + PAGE, 3 * PAGE, RW)
    with fails("ENOMEM"):
        process.mremap(base + PAGE, 3 * PAGE, 4 * PAGE, MREMAP_MAYMOVE)
    process.mremap(base, PAGE, 9 * PAGE, MREMAP_MAYMOVE)
