"""Processes: how they multiply, become another program, end; what they may do."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_mmapconf.contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MCL_CURRENT,
    MCL_FUTURE,
    MCL_ONFAULT,
    O_CLOEXEC,
    O_CREAT,
    O_RDWR,
    PROT_READ,
    PROT_WRITE,
    Resource,
    Unresolved,
)
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.process import ReferenceProcess
from pytest_mmapconf.testing import fails, faults

PAGE = 4096
RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS


@pytest.fixture
def process() -> ReferenceProcess:
    return ReferenceBackend().boot().spawn()


def test_fork_keeps_addresses_and_shares_what_is_shared(process: ReferenceProcess) -> None:
    shared = process.mmap(0, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
    private = process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)
    process.store(private, b"p")
    child = process.fork()
    child.store(shared, b"s")
    child.store(private, b"c")
    assert (process.load(shared, 1), process.load(private, 1)) == (b"s", b"p")
    child.munmap(shared, PAGE)
    assert process.load(shared, 1) == b"s"


def test_locks_are_not_inherited(process: ReferenceProcess) -> None:
    base = process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)
    process.mlock(base, PAGE)
    child = process.fork()
    assert (process.space.locked, child.space.locked) == (PAGE, 0)
    child.msync(base, PAGE, 2)


def test_exit_returns_the_low_byte_of_the_status(process: ReferenceProcess) -> None:
    child = process.fork()
    assert child.exit(-1) == 255
    for status in (0, 1, 7, 255, 256, 263):
        assert process.fork().exit(status) == status % 256
    assert process.exit() == 0
    assert process.machine.processes == []


def test_a_process_that_has_ended_answers_nothing(process: ReferenceProcess) -> None:
    process.kill()
    for call in (lambda: process.load(0, 1), lambda: process.close(0), process.fork, lambda: process.munmap(0, PAGE)):
        with pytest.raises(Unresolved, match="ended"):
            call()
    with pytest.raises(AttributeError):
        process.nothing  # noqa: B018 - the attribute's absence is what is tested


def test_exec_keeps_descriptors_that_are_not_closed_on_exec(process: ReferenceProcess) -> None:
    kept = process.open("kept", O_RDWR | O_CREAT)
    closed = process.open("closed", O_RDWR | O_CREAT | O_CLOEXEC)
    base = process.mmap(0, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
    process.store(base, b"x")
    before = process.counters().faults
    process.exec()
    assert process.fstat(kept).kind == "regular"
    with fails("EBADF"):
        process.fstat(closed)
    with faults("SIGSEGV", at=base, code="SEGV_MAPERR"):
        process.load(base, 1)
    assert process.counters().faults == before


def test_exec_counts_all_faults_on(process: ReferenceProcess) -> None:
    fd = process.open("f", O_RDWR | O_CREAT)
    process.pwrite(fd, b"x" * 5 * PAGE, 0)
    faults = 0
    for _ in range(3):
        base = process.mmap(0, 5 * PAGE, RW, MAP_SHARED, fd, 0)
        process.drop_cache(fd)
        process.load(base, 3 * PAGE)
        memory = process.mmap(0, 3 * PAGE, RW, ANONYMOUS, -1, 0)
        process.store(memory, bytes(3 * PAGE))
        assert (process.space.table.major, process.space.table.minor) == (3, 3), "read from the disk, or fresh"
        faults += 6
        assert process.counters().faults == faults
        process.exec()
        assert process.counters().faults == faults


@pytest.mark.parametrize("flags", [MCL_FUTURE, MCL_FUTURE | MCL_ONFAULT])
def test_exec_locks_nothing_more(process: ReferenceProcess, flags: int) -> None:
    process.mlockall(flags)
    process.exec()
    process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)
    assert process.space.locked == 0
    process.mlockall(MCL_FUTURE)
    assert process.mincore(process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0), PAGE) == [True]


def test_exec_has_the_same_user_space() -> None:
    process = ReferenceBackend(user_bits=40, lowest=7 * PAGE).boot().spawn()
    low, top = process.space.mmap_min_addr, process.space.task_size
    process.exec()
    assert (process.space.mmap_min_addr, process.space.task_size) == (low, top) == (7 * PAGE, (1 << 40) - PAGE)


def test_a_child_has_its_parents_limits_and_rights(process: ReferenceProcess) -> None:
    for room, resource in enumerate(Resource, 7 * PAGE):
        process.set_limit_headroom(resource, room)
    process.drop_capability("CAP_SYS_RAWIO")
    process.mlockall(MCL_FUTURE)
    process.drop_capability("CAP_IPC_LOCK")
    child = process.fork()
    for name in ("address_space_limit", "data_limit", "stack_limit", "locked_limit", "capabilities"):
        assert getattr(child, name) == getattr(process, name)
    child.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)
    assert child.space.locked == 0, "what it locks is its own affair"


def test_a_limit_is_set_as_headroom(process: ReferenceProcess) -> None:
    """The limit of a stack is set as a total."""
    process.mmap(0, 3 * PAGE, RW, ANONYMOUS, -1, 0)
    process.mlock(process.mmap(0, 4 * PAGE, PROT_READ, ANONYMOUS, -1, 0), 4 * PAGE)
    for resource in Resource:
        process.set_limit_headroom(resource, 5 * PAGE)
    assert process.address_space_limit == (3 + 4 + 5) * PAGE
    assert process.data_limit == (3 + 5) * PAGE
    assert process.stack_limit == 5 * PAGE
    assert process.locked_limit == (4 + 5) * PAGE


@pytest.mark.parametrize("there", [0, 3])
@pytest.mark.parametrize("room", [0, 1, 2])
@pytest.mark.parametrize("more", [1, 2, 3])
def test_most_pages_below_each_limit(process: ReferenceProcess, there: int, room: int, more: int) -> None:
    process.drop_capability("CAP_IPC_LOCK")
    if there:
        process.mlock(process.mmap(0, there * PAGE, RW, ANONYMOUS, -1, 0), there * PAGE)
    for resource in Resource:
        process.set_limit_headroom(resource, room * PAGE)
    process.machine.max_map_count = len(process.space.mappings) + room
    asked = (process.exceeds_rlimit_as, process.exceeds_rlimit_data, process.exceeds_memlock)
    assert [is_over(more * PAGE) for is_over in asked] == [more > room] * 3
    assert process.exceeds_max_map_count(more) is (more > room)


@pytest.mark.parametrize("privileged", [True, False])
@pytest.mark.parametrize("limit", [0, 1, PAGE])
def test_unprivileged_process_with_limit_0_may_not_lock(
    process: ReferenceProcess, privileged: bool, limit: int
) -> None:
    process.locked_limit = limit
    if not privileged:
        process.drop_capability("CAP_IPC_LOCK")
    assert process.memlock_is_zero() is (limit == 0 and not privileged)
    assert process.exceeds_memlock(2 * PAGE) is not privileged


def test_without_limits_there_is_none(process: ReferenceProcess) -> None:
    assert not process.exceeds_rlimit_as(1 << 46)
    assert not process.exceeds_rlimit_data(1 << 46)


@pytest.mark.parametrize(
    ("offset", "length", "fits"),
    [
        (2**64 - PAGE, PAGE, False),
        (2**64 - 2 * PAGE, PAGE, True),
        (2**64 - 2 * PAGE, PAGE + 1, False),
        (2**63 - PAGE, PAGE, True),
        (2**63, 3 * PAGE, True),
    ],
)
def test_the_offsets_of_a_device_have_64_bits_without_a_sign(
    process: ReferenceProcess, offset: int, length: int, fits: bool
) -> None:
    fd = process.open("/dev/zero", O_RDWR)
    if fits:
        process.mmap(0, length, RW, MAP_PRIVATE, fd, offset)
    else:
        with fails("EOVERFLOW"):
            process.mmap(0, length, RW, MAP_PRIVATE, fd, offset)


def test_the_address_space_limit_counts_mappings_and_growth(process: ReferenceProcess) -> None:
    base = process.scratch_range()[0]
    process.mmap(base, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.set_limit_headroom(Resource.ADDRESS_SPACE, PAGE)
    process.mmap(base + PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.mmap(base, 2 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    with fails("ENOMEM"):
        process.mmap(0, 1, RW, ANONYMOUS, -1, 0)
    with fails("ENOMEM"):
        process.mremap(base, 2 * PAGE, 3 * PAGE, 0)
    process.munmap(base, PAGE)
    process.mmap(0, 1, RW, ANONYMOUS, -1, 0)


def test_the_locked_memory_limit_is_for_those_without_the_privilege(process: ReferenceProcess) -> None:
    base = process.scratch_range()[0]
    process.mmap(base, 4 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.set_limit_headroom(Resource.LOCKED_MEMORY, PAGE)
    process.mlock(base, 2 * PAGE)
    process.munlock(base, 2 * PAGE)
    process.drop_capability("CAP_IPC_LOCK")
    process.mlock(base, PAGE)
    process.mlock(base, 1)
    with fails("ENOMEM"):
        process.mlock(base + PAGE, PAGE)
    with fails("EAGAIN"):
        process.mmap(0, PAGE, RW, ANONYMOUS | 0x2000, -1, 0)
    process.munmap(base + PAGE, 3 * PAGE)
    for flags in (0, 1):
        with fails("EAGAIN"):
            process.mremap(base, PAGE, 2 * PAGE, flags)
    process.munlock(base, PAGE)
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 0)
    with fails("EPERM"):
        process.mlock(base, PAGE)
    with fails("EPERM"):
        process.mlockall(MCL_FUTURE)


def test_mlockall_brings_in_what_can_be_had(process: ReferenceProcess) -> None:
    """What lies past the end of a file keeps no other mapping from it (Linux 6.18)."""
    fd = process.open("short", O_CREAT | O_RDWR)
    process.pwrite(fd, b"x", 0)
    high = process.mmap(0, PAGE, RW, MAP_PRIVATE, fd, 0)
    low = process.mmap(0, PAGE, PROT_READ, MAP_PRIVATE, fd, 8 * PAGE)
    assert low < high
    process.mlockall(MCL_CURRENT)
    process.pwrite(fd, b"y", 0)
    assert process.load(high, 1) == b"x"


def test_mlockall(process: ReferenceProcess) -> None:
    base = process.mmap(0, 2 * PAGE, RW, ANONYMOUS, -1, 0)
    process.mlockall(MCL_CURRENT)
    assert process.mincore(base, 2 * PAGE) == [True, True]
    process.mlockall(MCL_FUTURE)
    later = process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)
    assert process.mincore(later, PAGE) == [True]
    process.set_limit_headroom(Resource.LOCKED_MEMORY, 1)
    process.drop_capability("CAP_IPC_LOCK")
    with fails("EAGAIN"):
        process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)
    for flags in (0, 8):
        with fails("EINVAL"):
            process.mlockall(flags)


def test_munlockall_reaches_the_first_page(process: ReferenceProcess) -> None:
    process.mmap(0, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.mlockall(MCL_CURRENT)
    process.munlockall()
    assert process.space.locked == 0
    assert [mapping.locked for mapping in process.space.mappings.values()] == [False]


def test_the_arena_is_empty_and_stays_so(process: ReferenceProcess) -> None:
    base, length = process.scratch_range()
    assert base % PAGE == length % PAGE == 0
    assert length >= 1 << 20
    assert process.space.is_free(base, base + length)
    for _ in range(100):
        assert not base <= process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0) < base + length


@pytest.mark.parametrize("page", [4096, 16384, 65536])
@pytest.mark.parametrize("user_bits", [47, 39, 32])
def test_the_arena_of_other_machines(page: int, user_bits: int) -> None:
    process = ReferenceBackend(page=page, user_bits=user_bits).boot().spawn()
    base, length = process.scratch_range()
    assert base % page == length % page == 0
    assert 1 << 20 <= length <= 1 << 36
    assert process.machine.parameters.mmap_min_addr <= base <= base + length <= process.task_size // 2
    assert process.mmap(base + length - page, page, RW, ANONYMOUS | MAP_FIXED, -1, 0) == base + length - page


@pytest.mark.parametrize(
    ("parameters", "start", "length"),
    [
        ({}, (1 << 45) - (1 << 36), 1 << 36),
        ({"user_bits": 48}, (1 << 46) - (1 << 36), 1 << 36),
        ({"user_bits": 32}, (1 << 30) - 2 * PAGE, (1 << 29) - PAGE),
        ({"user_bits": 31, "page": 65536}, (1 << 29) - 2 * 65536, (1 << 28) - 65536),
    ],
)
def test_place_of_the_scratch_range(parameters: dict[str, Any], start: int, length: int) -> None:
    """An eighth of user space, but not more than 64 GiB, below its first quarter's end, at a multiple of its length."""
    assert ReferenceBackend(**parameters).boot().spawn().scratch_range() == (start, length)
