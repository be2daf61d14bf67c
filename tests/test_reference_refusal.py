"""Test refusals: a call carries all that apply, and raises one of them."""

from __future__ import annotations

import errno
from collections.abc import Sequence

import pytest

from pytest_mmapconf.contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_HUGETLB,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    MS_ASYNC,
    MS_SYNC,
    O_CREAT,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
)
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.linux_choices import LinuxChoices
from pytest_mmapconf.reference.machine import Parameters
from pytest_mmapconf.reference.process import ReferenceProcess
from pytest_mmapconf.reference.refusal import Refusal, Refusals, Refused
from pytest_mmapconf.reference.system import ReferenceSystem

PAGE = 4096
RW = PROT_READ | PROT_WRITE


class Last(LinuxChoices):
    """Linux's choices, except that of several errors the last is reported."""

    __slots__ = ()

    def refusal(self, call: str, refusals: Sequence[Refusal]) -> Refusal:
        return refusals[-1]


@pytest.fixture
def process() -> ReferenceProcess:
    return ReferenceBackend().boot().spawn()


def test_a_block_without_refusals_does_nothing() -> None:
    reached: set[str] = set()
    with Refusals("call", LinuxChoices(), reached):
        pass
    assert not reached


def test_all_refusals_are_carried_and_the_chosen_one_is_raised() -> None:
    reached: set[str] = set()

    def call() -> None:
        with Refusals("call", Last(), reached) as refuse:
            refuse(errno.EINVAL, "a.clause", "a-reason", "one thing")
            refuse(errno.EOPNOTSUPP, "another.clause", "another-reason", "another thing", late=True)

    with pytest.raises(Refused) as refused:
        call()
    assert refused.value.errno == errno.EOPNOTSUPP
    assert refused.value.chosen.late
    assert refused.value.allowed == {"EINVAL", "EOPNOTSUPP"}
    assert refused.value.clauses == reached == {"a.clause", "another.clause"}
    assert str(refused.value) == f"[Errno {errno.EOPNOTSUPP}] call: another thing (another.clause)"


def test_another_error_in_the_block_is_not_hidden() -> None:
    def call() -> None:
        with Refusals("call", LinuxChoices(), set()) as refuse:
            refuse(errno.EINVAL, "a.clause", "a-reason", "one thing")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        call()


MMAP_ERRORS = [
    pytest.param((0, 0, 0, 0, -1, 5), "EINVAL", {"EINVAL", "EBADF"}, id="everything-wrong"),
    pytest.param((0, 0, RW, MAP_SHARED, 77, 0), "EBADF", {"EBADF", "EINVAL"}, id="descriptor-before-length"),
    pytest.param((0, PAGE, RW, MAP_FIXED, -1, 0), "EBADF", {"EBADF", "EINVAL"}, id="descriptor-before-type"),
    pytest.param((0, 2**64 - 1, RW, 0x21, -1, 0), "ENOMEM", {"ENOMEM"}, id="too-long"),
    pytest.param((1, PAGE, RW, 0x31, -1, 0), "EINVAL", {"EINVAL"}, id="unaligned-fixed-address-is-not-low-for-root"),
    pytest.param((0, PAGE, RW, MAP_ANONYMOUS, -1, 0), "EINVAL", {"EINVAL"}, id="no-type"),
    pytest.param((2**47, PAGE, RW, 0x32, -1, 1), "EINVAL", {"EINVAL", "ENOMEM"}, id="offset-before-range"),
    pytest.param((2**64 - PAGE, 1, RW, 0x32, -1, 0), "ENOMEM", {"ENOMEM"}, id="the-last-page"),
    pytest.param((2**64 - 1, 1, RW, 0x32, -1, 0), "ENOMEM", {"ENOMEM", "EINVAL"}, id="the-last-address"),
]


@pytest.mark.parametrize(("arguments", "raised", "allowed"), MMAP_ERRORS)
def test_errors_of_mmap(
    process: ReferenceProcess, arguments: tuple[int, int, int, int, int, int], raised: str, allowed: set[str]
) -> None:
    with pytest.raises(Refused) as refused:
        process.mmap(*arguments)
    assert refused.value.allowed == allowed
    assert refused.value.chosen.name == raised


def test_mmap_of_a_write_only_file_on_noexec_past_any_file(process: ReferenceProcess) -> None:
    fd = process.open("/noexec/f", O_WRONLY | O_CREAT)
    with pytest.raises(Refused) as refused:
        process.mmap(0, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 2**63 - PAGE)
    assert [refusal.name for refusal in refused.value.refusals] == ["EOVERFLOW", "EACCES", "EPERM"]
    assert refused.value.clauses == {"mmap.errno.EOVERFLOW", "mmap.errno.EACCES", "mmap.errno.EPERM"}


def test_mmap_without_privileges(process: ReferenceProcess) -> None:
    process.drop_capability("CAP_SYS_RAWIO")
    process.drop_capability("CAP_IPC_LOCK")
    process.locked_limit = 0
    with pytest.raises(Refused) as refused:
        process.mmap(0, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | 0x2000, -1, 0)
    assert refused.value.clauses == {"mmap.errno.EPERM.zero", "mmap.errno.EPERM.locked", "mmap.errno.EAGAIN.memory"}
    assert refused.value.chosen.clause == "mmap.errno.EPERM.zero"


@pytest.mark.parametrize(
    ("flag", "clauses"),
    [
        (MREMAP_FIXED, {"mremap.errno.EINVAL.fixed"}),
        (MREMAP_DONTUNMAP, {"mremap.errno.EINVAL.dontunmap", "mremap.errno.ENOMEM"}),
    ],
)
def test_mremap_to_another_address_requires_maymove(process: ReferenceProcess, flag: int, clauses: set[str]) -> None:
    base = process.mmap(0, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    with pytest.raises(Refused) as refused:
        process.mremap(base, PAGE, PAGE, flag, process.scratch_range()[0])
    assert refused.value.clauses == clauses


@pytest.mark.parametrize("of", ["memory", "a-file"])
@pytest.mark.parametrize(
    ("type_", "clause"), [(0, "mmap.errno.EINVAL.type"), (4, "mmap.errno.EINVAL.unknown-type")], ids=["none", "unknown"]
)
def test_clause_of_an_invalid_type(process: ReferenceProcess, of: str, type_: int, clause: str) -> None:
    fd = process.open("f", O_WRONLY | O_CREAT)
    flags = type_ | (MAP_ANONYMOUS if of == "memory" else 0)
    with pytest.raises(Refused) as refused:
        process.mmap(0, PAGE, RW, flags, fd, 0)
    assert refused.value.clauses == {clause}


@pytest.mark.parametrize(
    ("layout", "allowed"),
    [
        ("ro", {"EACCES"}),
        ("ro.", {"EACCES", "ENOMEM"}),
        ("ro.o", {"EACCES", "ENOMEM"}),
        ("r.o", {"ENOMEM", "EACCES"}),
        ("rr.", {"ENOMEM"}),
        ("orr", {"EACCES"}),
    ],
)
def test_errors_of_mprotect_for_a_range(process: ReferenceProcess, layout: str, allowed: set[str]) -> None:
    """Each letter of the layout is a page: memory, a file that is open for reading only, or a hole."""
    process.open("f", O_RDWR | O_CREAT)
    fd = process.open("f", O_RDONLY)
    base = process.scratch_range()[0] + 7 * PAGE
    for number, letter in enumerate(layout):
        if letter == "r":
            process.mmap(base + number * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
        elif letter == "o":
            process.mmap(base + number * PAGE, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)
    with pytest.raises(Refused) as refused:
        process.mprotect(base, len(layout) * PAGE, RW)
    assert refused.value.allowed == allowed


def test_growing_is_not_refused_as_shrinking(process: ReferenceProcess) -> None:
    base = process.scratch_range()[0]
    process.mmap(base, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
    with pytest.raises(Refused) as refused:
        process.mremap(base, process.task_size - PAGE, process.task_size, MREMAP_MAYMOVE)
    assert refused.value.clauses == {"mremap.errno.EFAULT", "mremap.errno.ENOMEM"}


def test_errors_of_munmap_and_msync(process: ReferenceProcess) -> None:
    with pytest.raises(Refused) as refused:
        process.munmap(1, 0)
    assert [refusal.reason for refusal in refused.value.refusals] == ["addr-unaligned", "length-zero"]
    base = process.mmap(0, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    process.mlock(base, PAGE)
    with pytest.raises(Refused) as refused:
        process.msync(base, PAGE, MS_SYNC | MS_ASYNC | 8)
    assert refused.value.allowed == {"EINVAL"}
    with pytest.raises(Refused) as refused:
        process.msync(base - PAGE, 2 * PAGE, 2)
    assert refused.value.allowed == {"EBUSY", "ENOMEM"}
    assert refused.value.chosen.name == "EBUSY"


def test_errors_of_mremap(process: ReferenceProcess) -> None:
    with pytest.raises(Refused) as refused:
        process.mremap(PAGE, PAGE, 2 * PAGE, MREMAP_FIXED, 5)
    assert refused.value.allowed == {"EINVAL", "EFAULT"}
    base = process.scratch_range()[0]
    process.mmap(base, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
    process.set_limit_headroom("address-space", 0)  # type: ignore[arg-type]
    with pytest.raises(Refused) as refused:
        process.mremap(base, PAGE, 2 * PAGE, MREMAP_MAYMOVE)
    assert [refusal.reason for refusal in refused.value.refusals] == ["address-space-limit"]


def test_a_late_refusal_has_cleared_the_fixed_range() -> None:
    machine = ReferenceBackend().boot()
    process = machine.spawn()
    process.drop_capability("CAP_SYS_ADMIN")
    base = process.mmap(0, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    with machine.full_file_table(), pytest.raises(Refused) as refused:
        process.mmap(base, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
    assert refused.value.allowed == {"ENFILE"}
    assert process.space.find(base) is None


def test_an_early_refusal_has_cleared_nothing(process: ReferenceProcess) -> None:
    base = process.mmap(0, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    with pytest.raises(Refused):
        process.mmap(base, PAGE, RW, MAP_SHARED | MAP_FIXED, 0, 1)
    assert process.space.find(base) is not None


def test_the_choices_select_the_error() -> None:
    process = ReferenceSystem(Parameters(), Last()).spawn()
    with pytest.raises(Refused) as refused:
        process.mmap(0, 0, RW, MAP_SHARED, 77, 5)
    assert refused.value.chosen.reason == "length-zero"


def test_clauses_of_refusals_are_recorded(process: ReferenceProcess) -> None:
    with pytest.raises(Refused):
        process.munmap(1, PAGE)
    fd = process.open("f", O_RDWR | O_CREAT)
    with pytest.raises(Refused):
        process.mmap(0, PAGE, RW, MAP_SHARED, fd, 5)
    assert process.machine.reached == {"munmap.errno.EINVAL.address", "mmap.errno.EINVAL.offset"}


@pytest.mark.parametrize("power", range(64))
def test_sizes_of_huge_pages(process: ReferenceProcess, power: int) -> None:
    """x86-64 has 2 MiB and 1 GiB; 0 is the default size.  No huge page is available."""
    with pytest.raises(Refused) as refused:
        process.mmap(0, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | power << 26, -1, 0)
    assert refused.value.allowed == {"ENOMEM" if power in (0, 21, 30) else "EINVAL"}


@pytest.mark.parametrize("bit", range(4, 40))
def test_flags_that_map_shared_validate_accepts(process: ReferenceProcess, bit: int) -> None:
    """Linux 6.18 was observed to do so with a file on ext4, which has neither MAP_SYNC nor huge pages."""
    refused = {18: "EINVAL", 19: "EOPNOTSUPP", 8: "EINVAL"}
    known = {4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 17, 18, 19, *range(26, 31)}
    errno = refused.get(bit) if bit in known else "EOPNOTSUPP"
    fd = process.open("f", O_RDWR | O_CREAT)
    addr = process.scratch_range()[0] if bit == 4 else 0
    arguments = (addr, PAGE, PROT_READ, MAP_SHARED_VALIDATE | 1 << bit, fd, 0)
    if bit == 5:
        errno = "EINVAL"  # memory without a file has nothing to validate
    if errno is None:
        process.mmap(*arguments)
    else:
        with pytest.raises(Refused) as seen:
            process.mmap(*arguments)
        assert seen.value.allowed == {errno}


@pytest.mark.parametrize("prot", range(32))
def test_protection_bits_that_mprotect_accepts(process: ReferenceProcess, prot: int) -> None:
    """mprotect accepts the three protection bits, and PROT_SEM, which has no effect on Linux."""
    base = process.mmap(0, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    if prot < 16:
        process.mprotect(base, PAGE, prot)
        found = process.space.find(base)
        assert found is not None
        assert found.prot & 7 == prot & 7
    else:
        with pytest.raises(Refused) as refused:
            process.mprotect(base, PAGE, prot)
        assert refused.value.allowed == {"EINVAL"}


def test_a_pipe_or_a_terminal_cannot_be_mapped_executable(process: ReferenceProcess) -> None:
    """Linux checks this before it finds that they cannot be mapped at all."""
    for fd in (0, process.pipe()[0], process.watch(".")):
        with pytest.raises(Refused) as refused:
            process.mmap(0, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0)
        assert [refusal.name for refusal in refused.value.refusals] == ["EPERM", "ENODEV"]
