"""What a judge admits: for each thing that is left open, the right answers, and a wrong one.

The subjects are references, some with one method that does it another way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from errno import EACCES, EBADF, EEXIST, EFAULT, EFBIG, EINVAL, ENODEV, ENOMEM
from typing import Any

import pytest

from pytest_mmapconf.contract import (
    MADV_DONTNEED,
    MAP_32BIT,
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_HUGETLB,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SYNC,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    O_CREAT,
    O_RDONLY,
    O_RDWR,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    Facility,
    Fault,
    Resource,
    Unresolved,
)
from pytest_mmapconf.differential.divergence import Divergence
from pytest_mmapconf.differential.lockstep import LockstepProcess, LockstepSystem
from pytest_mmapconf.outcomes import Failed, Faulted, Outcome, Returned
from pytest_mmapconf.reference.linux_choices import LinuxChoices
from pytest_mmapconf.reference.machine import Parameters
from pytest_mmapconf.reference.mapping import Mapping
from pytest_mmapconf.reference.observed_choices import NotAllowed, ObservedChoices
from pytest_mmapconf.reference.paging import Page
from pytest_mmapconf.reference.process import ReferenceProcess
from pytest_mmapconf.reference.refusal import Refusal, TargetSpace
from pytest_mmapconf.reference.system import ReferenceSystem
from pytest_mmapconf.testing import fails

RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS
PAGE = 4096


def subject(
    process: type[ReferenceProcess] = ReferenceProcess, choices: LinuxChoices | None = None, **parameters: Any
) -> ReferenceSystem:
    """A reference to be judged."""

    class Subject(ReferenceSystem):
        process_type = process

    return Subject(Parameters(**parameters), choices or LinuxChoices())


def judged(
    process: type[ReferenceProcess] = ReferenceProcess,
    choices: LinuxChoices | None = None,
    level: str = "linux",
    **parameters: Any,
) -> LockstepProcess:
    """A process of such a reference, in lockstep."""
    machine = ReferenceSystem(Parameters(**parameters), ObservedChoices(level))
    return LockstepSystem(subject(process, choices, **parameters), machine).spawn()


def file(process: LockstepProcess, content: bytes, path: str = "file") -> int:
    fd = process.open(path, O_CREAT | O_RDWR)
    process.pwrite(fd, content, 0)
    return fd


def scratch_range(process: LockstepProcess) -> int:
    return process.scratch_range()[0]


def outside(process: LockstepProcess, pages: int) -> int:
    """Memory that the system has placed, followed by a page that was unmapped."""
    base = process.mmap(0, (pages + 1) * PAGE, RW, ANONYMOUS, -1, 0)
    process.munmap(base + pages * PAGE, PAGE)
    return base


# --------------------------------------------------------------------------------------------------------------- errors


class Last(LinuxChoices):
    def refusal(self, call: str, refusals: Sequence[Refusal]) -> Refusal:
        return refusals[-1]


def failing(call: str, errno: int) -> type[ReferenceProcess]:
    """A process whose `call` fails with that errno, whatever it is asked."""

    def fail(self: ReferenceProcess, *arguments: object) -> None:
        raise OSError(errno, "wrong")

    return type("Failing", (ReferenceProcess,), {call: fail})


def test_any_errno_whose_reason_applies_is_admitted() -> None:
    for choices in (LinuxChoices(), Last()):
        process = judged(choices=choices, level="posix")
        with pytest.raises(OSError) as seen:  # noqa: PT011 - either of two, which differ by `choices`
            process.mmap(0, 0, PROT_READ, MAP_SHARED, 77, 0)

        assert seen.value.errno == (EBADF if type(choices) is LinuxChoices else EINVAL)


@pytest.mark.parametrize(
    ("call", "arguments", "clause"),
    [
        ("mmap", (0, 0, PROT_READ, MAP_SHARED, 77, 0), "mmap.order.descriptor"),
        ("mremap", (1, PAGE, PAGE, MREMAP_MAYMOVE, 0), "mremap.errno.order"),
    ],
)
def test_at_level_linux_the_first_error_must_be_returned(call: str, arguments: tuple[int, ...], clause: str) -> None:
    with pytest.raises(OSError, match=call):
        getattr(judged(), call)(*arguments)
    with pytest.raises(Divergence, match=clause):
        getattr(judged(choices=Last()), call)(*arguments)


def test_a_c_library_may_find_a_length_first() -> None:
    for length, admitted in ((1 << 63, True), (0, False)):
        process = judged(choices=Last())
        with pytest.raises(OSError if admitted else Divergence):
            process.mmap(0, length, PROT_READ, MAP_SHARED, 77, 0)


def test_another_errno_is_not() -> None:
    process = judged(failing("mmap", ENODEV))

    with pytest.raises(Divergence) as seen:
        process.mmap(0, 0, PROT_READ, MAP_SHARED, 77, 0)

    assert seen.value.observed == "ENODEV"
    assert set(seen.value.allowed) == {"EBADF", "EINVAL"}
    assert set(seen.value.clauses) == {"mmap.errno.EBADF", "mmap.errno.EINVAL"}


def test_success_is_not_where_a_reason_to_refuse_applies() -> None:
    class Lenient(ReferenceProcess):
        def munmap(self, addr: int, length: int) -> None:
            pass

    process = judged(Lenient)

    with pytest.raises(Divergence, match="success; allowed: EINVAL") as seen:
        process.munmap(scratch_range(process), 0)

    assert seen.value.clauses == ("munmap.errno.EINVAL",)


def test_an_errno_is_not_where_none_applies() -> None:
    process = judged(failing("munmap", EINVAL))

    with pytest.raises(Divergence, match=r"EINVAL; allowed: success \(munmap.result\)"):
        process.munmap(scratch_range(process), PAGE)


class Cleared(LinuxChoices):
    def cleared_when_refused(self, refusal: Refusal, space: TargetSpace, start: int, end: int) -> bool:
        return True


class Kept(LinuxChoices):
    def cleared_when_refused(self, refusal: Refusal, space: TargetSpace, start: int, end: int) -> bool:
        return False


def refused_with_fixed(process: LockstepProcess, errno: int) -> None:
    """A MAP_FIXED over a mapping that is refused: late for ENODEV, early for EACCES."""
    base = process.mmap(scratch_range(process), PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    if errno == ENODEV:
        path = process.system.facility(Facility.SYS_FILE)
        fd = process.open(path, O_RDONLY)
    else:
        process.close(file(process, b"abc"))
        fd = process.open("file", O_RDONLY)
    with pytest.raises(OSError) as seen:  # noqa: PT011 - compared below
        process.mmap(base, PAGE, RW if errno == EACCES else PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)

    assert seen.value.errno == errno
    if isinstance(process.system.subject, ReferenceSystem) and isinstance(process.system.subject.choices, Cleared):
        with pytest.raises(Fault, match="SEGV_MAPERR"):
            process.load(base, 1)
    else:
        assert process.load(base, 1) == b"\0"


@pytest.mark.parametrize("choices", [Cleared(), Kept()])
def test_late_refusal_may_have_unmapped_the_fixed_range(choices: LinuxChoices) -> None:
    refused_with_fixed(judged(choices=choices), ENODEV)


@pytest.mark.parametrize("choices", [Cleared(), Kept()])
def test_early_refusal_may_have_unmapped_the_fixed_range_at_posix(choices: LinuxChoices) -> None:
    refused_with_fixed(judged(choices=choices, level="posix"), EACCES)


def test_on_linux_it_may_not() -> None:
    refused_with_fixed(judged(choices=Kept()), EACCES)
    with pytest.raises(Divergence, match="then load"):
        refused_with_fixed(judged(choices=Cleared()), EACCES)


def test_very_much_memory_may_be_refused_and_a_page_may_not() -> None:
    class Poor(ReferenceProcess):
        def mmap(self, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
            if length >= self.machine.parameters.open_files:
                raise OSError(ENOMEM, "too much")
            return super().mmap(addr, length, prot, flags, fd, offset)

    for length in (1 << 40, 1 << 20):
        judged().mmap(0, length, RW, ANONYMOUS, -1, 0)
    with pytest.raises(OSError, match="too much"):
        judged(Poor).mmap(0, 1 << 40, RW, ANONYMOUS, -1, 0)
    for length in (1 << 20, (1 << 28) - PAGE):
        with pytest.raises(Divergence, match="ENOMEM; allowed"):
            judged(Poor).mmap(0, length, RW, ANONYMOUS, -1, 0)
    with pytest.raises(OSError, match="too much"):
        judged(Poor).mmap(0, 1 << 28, RW, ANONYMOUS, -1, 0)


@pytest.mark.parametrize(("room", "admitted"), [(40, True), (80, False)])
def test_a_limit_that_counts_the_systems_own_memory_is_met_within_64_pages(room: int, admitted: bool) -> None:
    class Tight(ReferenceProcess):
        def set_limit_headroom(self, resource: Resource, headroom: int) -> None:
            super().set_limit_headroom(resource, 0)

    process = judged(Tight)
    process.set_limit_headroom(Resource.ADDRESS_SPACE, room * PAGE)

    with pytest.raises(OSError if admitted else Divergence, match="limit" if admitted else "ENOMEM"):
        process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)


@pytest.mark.parametrize(("early", "admitted"), [(10, True), (200, False)])
def test_the_limit_of_mappings_may_be_met_a_little_early(early: int, admitted: bool) -> None:
    system = LockstepSystem(
        subject(mappings=1600 - early), ReferenceSystem(Parameters(mappings=1600), ObservedChoices()), "none"
    )
    process = system.spawn()
    base = process.mmap(0, 1602 * PAGE, PROT_NONE, ANONYMOUS, -1, 0)

    if admitted:
        assert process.fragment(base, 1602) == "ENOMEM"
        assert system.uncompared is None
    else:
        with pytest.raises(Divergence, match="ENOMEM; allowed: success"):
            process.fragment(base, 1602)


# ------------------------------------------------------------------------------------------------------------ addresses


def placed(where: int | None) -> type[ReferenceProcess]:
    """A process whose mappings without a fixed address go to one place (None: the lowest)."""

    class Placed(ReferenceProcess):
        def mmap(self, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
            if not flags & MAP_FIXED and where is None:
                addr, flags = (self.space.mappings.starts or [1 << 30])[-1] + (1 << 20), flags | MAP_FIXED
            elif not flags & MAP_FIXED:
                super().mmap(0, length, prot, flags, fd, offset)
                return where  # type: ignore[return-value]
            return super().mmap(addr, length, prot, flags, fd, offset)

    return Placed


@pytest.mark.parametrize("hint", [0, 1 << 40, (1 << 40) + 5])
def test_any_free_page_is_a_place_and_a_hint_does_not_bind(hint: int) -> None:
    process = judged(placed(None))

    for _ in range(3):
        process.mmap(hint, 3 * PAGE, RW, ANONYMOUS, -1, 0)


@pytest.mark.parametrize("where", [0, (1 << 40) + 8, 1 << 41, (1 << 47) - PAGE], ids=["NULL", "odd", "taken", "top"])
def test_another_place_is_not(where: int) -> None:
    process = judged(placed(where))
    process.mmap(1 << 41, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)

    with pytest.raises(Divergence, match=r"allowed: an address that is page aligned.*mmap\.addr\.null"):
        process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)


def test_the_systems_own_memory_may_be_in_the_way_outside_the_arena_only() -> None:
    taken = failing("mmap", EEXIST)
    flags = ANONYMOUS | MAP_FIXED_NOREPLACE

    with pytest.raises(OSError, match="wrong"):
        judged(taken).mmap(1 << 46, PAGE, RW, flags, -1, 0)
    for page in (0, 1):
        process = judged(taken)
        with pytest.raises(Divergence, match="EEXIST; allowed"):
            process.mmap(scratch_range(process) + page * PAGE, PAGE, RW, flags, -1, 0)


class InTheWay(LinuxChoices):
    def grows_in_place(self, start: int, end: int) -> bool:
        return False


def test_growth_where_it_is_may_find_the_systems_own_memory_outside_the_arena_only() -> None:
    for flags in (0, MREMAP_MAYMOVE):
        process = judged(choices=InTheWay())
        base = outside(process, 1)
        if flags:
            assert process.mremap(base, PAGE, 2 * PAGE, flags) != base
        else:
            with pytest.raises(OSError, match="cannot grow"):
                process.mremap(base, PAGE, 2 * PAGE, flags)

        process = judged(choices=InTheWay())
        base = process.mmap(scratch_range(process), PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
        with pytest.raises(Divergence, match=f"allowed: {base:#x}"):
            process.mremap(base, PAGE, 2 * PAGE, flags)


class Several(LinuxChoices):
    def is_single_vma(self, mapping: Mapping) -> bool:
        return False


@pytest.mark.parametrize("choices", [LinuxChoices(), Several()])
def test_neighbours_that_are_alike_may_be_one_mapping_or_several(choices: LinuxChoices) -> None:
    process = judged(choices=choices)
    base = scratch_range(process)
    for at in (0, 1):
        process.mmap(base + at * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)

    if type(choices) is LinuxChoices:
        assert process.mremap(base, 2 * PAGE, 3 * PAGE, 0) == base
    else:
        with pytest.raises(OSError, match="not within one mapping"):
            process.mremap(base, 2 * PAGE, 3 * PAGE, 0)


class OneWhereverMapped(LinuxChoices):
    def may_merge_moved(self, left: Mapping, right: Mapping) -> bool:
        return True


def beside_a_moved_page(process: LockstepProcess, prot: int) -> int:
    """Return private memory that was stored to and moved, before a page that was mapped there with `prot`."""
    base = process.mmap(scratch_range(process) + 8 * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(base, b"x")
    moved = process.mremap(base, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, scratch_range(process))
    process.mmap(moved + PAGE, PAGE, prot, ANONYMOUS | MAP_FIXED, -1, 0)
    return moved


@pytest.mark.parametrize("choices", [LinuxChoices(), OneWhereverMapped()])
def test_a_page_that_was_moved_may_be_one_with_its_new_neighbour(choices: LinuxChoices) -> None:
    process = judged(choices=choices)
    base = beside_a_moved_page(process, RW)

    if type(choices) is LinuxChoices:
        with pytest.raises(OSError, match="not within one mapping"):
            process.mremap(base, 2 * PAGE, 3 * PAGE, 0)
    else:
        assert process.mremap(base, 2 * PAGE, 3 * PAGE, 0) == base


def test_but_not_with_one_of_other_rights() -> None:
    class Lenient(ReferenceProcess):
        def mremap(self, addr: int, old_size: int, new_size: int, flags: int, new_addr: int = 0) -> int:
            return super().mremap(addr, old_size, new_size, flags, new_addr) if flags else addr

    process = judged(Lenient)
    base = beside_a_moved_page(process, PROT_READ)

    with pytest.raises(Divergence, match="allowed: EFAULT"):
        process.mremap(base, 2 * PAGE, 3 * PAGE, 0)


def test_memory_never_split_is_one_mapping() -> None:
    process = judged(failing("mremap", EFAULT))
    base = process.mmap(scratch_range(process), 2 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)

    with pytest.raises(Divergence, match="EFAULT; allowed"):
        process.mremap(base, 2 * PAGE, 3 * PAGE, 0)


# --------------------------------------------------------------------------------------------------------------- rights


def hardware(**answers: bool) -> LinuxChoices:
    """Choices of another processor."""
    methods = {name: lambda self, *arguments, answer=answer: answer for name, answer in answers.items()}
    made: LinuxChoices = type("Hardware", (LinuxChoices,), methods)()
    return made


@pytest.mark.parametrize("allowed", [False, True])
def test_the_hardware_says_whether_a_page_to_write_can_be_loaded(allowed: bool) -> None:
    process = judged(choices=hardware(may_load=allowed))
    base = process.mmap(scratch_range(process), PAGE, PROT_WRITE, ANONYMOUS | MAP_FIXED, -1, 0)

    if allowed:
        assert process.load(base, 1) == b"\0"
    else:
        with pytest.raises(Fault):
            process.load(base, 1)


def test_but_always_the_same_and_nothing_of_a_page_to_read() -> None:
    class Moody(LinuxChoices):
        asked = 0

        def may_load(self, prot: int, addr: int) -> bool:
            self.asked += 1
            return self.asked % 2 == 1

    process = judged(choices=Moody(), level="linux")
    process.system.audits.suspended = "it would load pages"
    base = process.mmap(scratch_range(process), PAGE, PROT_WRITE, ANONYMOUS | MAP_FIXED, -1, 0)
    process.load(base, 1)
    with pytest.raises(Divergence, match="SIGSEGV"):
        process.load(base, 1)

    process = judged(choices=hardware(may_load=False))
    base = process.mmap(scratch_range(process), PAGE, PROT_NONE, ANONYMOUS | MAP_FIXED, -1, 0)
    with pytest.raises(Divergence, match="SIGSEGV"):
        process.mprotect(base, PAGE, PROT_READ)


@pytest.mark.parametrize("allowed", [False, True])
def test_the_hardware_says_whether_a_page_to_read_can_be_executed(allowed: bool) -> None:
    process = judged(choices=hardware(may_execute=allowed))
    fd = file(process, process.return_instruction())
    base = process.mmap(0, PAGE, PROT_READ, MAP_PRIVATE, fd, 0)

    if allowed:
        process.execute(base)
    else:
        with pytest.raises(Fault):
            process.execute(base)


def test_but_not_whether_one_to_execute_can() -> None:
    process = judged(choices=hardware(may_execute=False))
    fd = file(process, process.return_instruction())
    base = process.mmap(0, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0)

    with pytest.raises(Divergence, match="SIGSEGV"):
        process.execute(base)


@pytest.mark.parametrize(("first", "signal"), [(True, "SIGBUS"), (False, "SIGSEGV")])
def test_past_the_end_without_the_right_either_fault_may_come_first(first: bool, signal: str) -> None:
    process = judged(choices=hardware(eof_before_protection=first))
    base = process.mmap(0, 2 * PAGE, PROT_READ, MAP_SHARED, file(process, b"abc"), 0)

    with pytest.raises(Fault, match=signal):
        process.execute(base + PAGE)


def test_past_the_end_of_a_page_to_write_the_processor_has_let_the_load_through() -> None:
    process = judged()
    process.system.audits.suspended = "it would load pages"  # an audit would have loaded from the first page
    base = process.mmap(0, 2 * PAGE, PROT_WRITE, MAP_SHARED, file(process, b"abc"), 0)

    with pytest.raises(Fault, match="SIGBUS"):
        process.load(base + PAGE, 1)


class WrongCode(ReferenceProcess):
    """Reports the right signal and address with another code."""

    def load(self, addr: int, length: int) -> bytes:
        try:
            return super().load(addr, length)
        except Fault as fault:
            raise Fault(fault.signal, "SEGV_BNDERR", fault.address) from None


class WrongPlace(ReferenceProcess):
    """Reports an address within the page."""

    def load(self, addr: int, length: int) -> bytes:
        try:
            return super().load(addr, length)
        except Fault as fault:
            raise Fault(fault.signal, fault.code, (fault.address or 0) & ~0xFFF) from None


class WrongPage(ReferenceProcess):
    """Reports the next page."""

    def load(self, addr: int, length: int) -> bytes:
        try:
            return super().load(addr, length)
        except Fault as fault:
            raise Fault(fault.signal, fault.code, (fault.address or 0) + PAGE) from None


class WrongSignal(ReferenceProcess):
    """Reports SIGBUS."""

    def load(self, addr: int, length: int) -> bytes:
        try:
            return super().load(addr, length)
        except Fault as fault:
            raise Fault("SIGBUS", "BUS_ADRERR", fault.address) from None


@pytest.mark.parametrize(
    ("process", "admitted"),
    [
        (ReferenceProcess, {"linux", "posix"}),
        (WrongCode, {"posix"}),
        (WrongPlace, {"posix"}),
        (WrongPage, set[str]()),
        (WrongSignal, set[str]()),
    ],
)
@pytest.mark.parametrize("level", ["linux", "posix"])
def test_a_fault_is_compared_as_far_as_the_level_requires(
    process: type[ReferenceProcess], admitted: set[str], level: str
) -> None:
    pair = judged(process, level=level)

    with pytest.raises(Fault if level in admitted else Divergence):
        pair.load(scratch_range(pair) + 5, 1)


@pytest.mark.parametrize("reported", [True, False])
def test_a_fault_may_report_a_non_canonical_address_or_not(reported: bool) -> None:
    process = judged(choices=hardware(reports_address=reported))

    with pytest.raises(Fault) as seen:
        process.load(1 << 62, 1)

    assert (seen.value.address is not None) == reported


# ------------------------------------------------------------------------------------------------------------- contents


class Slack(LinuxChoices):
    """Keeps what is stored past the end of a file, as Linux's tmpfs does."""

    def slack_survives_growth(self) -> bool:
        return True

    def slack_survives_write_back(self) -> bool:
        return True


def stored_past_the_end(process: LockstepProcess) -> tuple[int, int]:
    """(a descriptor, a shared mapping) of a file of three bytes, with three more in its slack."""
    fd = file(process, b"abc")
    base = process.mmap(scratch_range(process), PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0)
    process.store(base + 2, b"Cxyz")
    return fd, base


@pytest.mark.parametrize("choices", [LinuxChoices(), Slack()])
@pytest.mark.parametrize("grows", [True, False])
def test_bytes_stored_past_the_end_may_be_kept_or_zero(choices: LinuxChoices, grows: bool) -> None:
    process = judged(choices=choices)
    fd, base = stored_past_the_end(process)
    if grows:
        process.ftruncate(fd, PAGE)
    else:
        process.fsync(fd)

    tail = b"xyz" if isinstance(choices, Slack) else b"\0\0\0"
    assert process.load(base, 6) == b"abC" + tail
    assert process.pread(fd, 6, 0) == b"abC" + (tail if grows else b"")


def test_a_file_that_is_made_as_long_as_it_is_keeps_what_is_past_its_end() -> None:
    process = judged(choices=Slack())
    fd, base = stored_past_the_end(process)
    process.ftruncate(fd, 3)
    assert process.load(base, 6) == b"abCxyz"


class Looked(ReferenceProcess):
    """Sees something else at one address from the `turns`th load on."""

    turns = 0
    bytes_there = b""

    def load(self, addr: int, length: int) -> bytes:
        data = super().load(addr, length)
        if length == len(self.bytes_there):
            type(self).turns -= 1
            if type(self).turns < 0:
                return self.bytes_there
        return data


def looked(content: bytes, turns: int) -> type[ReferenceProcess]:
    return type("Wrong", (Looked,), {"bytes_there": content, "turns": turns})


def test_bytes_past_the_end_are_old_or_zero_and_the_file_is_unchanged() -> None:
    for content in (b"abCxyZ", b"abcxyz", b"abC\0y\1"):
        process = judged(looked(content, 0), Slack())
        _fd, base = stored_past_the_end(process)
        with pytest.raises(Divergence, match="load"):
            process.load(base, 6)


def test_while_it_is_past_the_end_it_may_go_at_any_time_but_not_come_back() -> None:
    process = judged(looked(b"abC\0\0\0", 1), Slack())
    _fd, base = stored_past_the_end(process)
    assert process.load(base, 6) == b"abCxyz"
    assert process.load(base, 6) == b"abC\0\0\0"

    process = judged(looked(b"abCxyz", 1), LinuxChoices())
    fd, base = stored_past_the_end(process)
    process.fsync(fd)
    assert process.load(base, 6) == b"abC\0\0\0"
    with pytest.raises(Divergence, match="load"):
        process.load(base, 6)


def test_once_the_file_has_grown_it_stays_as_it_was_first_seen() -> None:
    process = judged(looked(b"abC\0\0\0", 1), Slack())
    fd, base = stored_past_the_end(process)
    process.ftruncate(fd, PAGE)
    assert process.load(base, 6) == b"abCxyz"
    with pytest.raises(Divergence, match="load"):
        process.load(base, 6)


def test_truncated_or_written_bytes_are_determined() -> None:
    for content in (b"ab\0xyz", b"ab\0\0\0z"):
        process = judged(looked(content, 0), Slack())
        fd, base = stored_past_the_end(process)
        process.ftruncate(fd, 2)
        with pytest.raises(Divergence, match="load"):
            process.load(base, 6)

    process = judged(looked(b"abCNE\0", 0), Slack())
    fd, base = stored_past_the_end(process)
    process.pwrite(fd, b"NEW", 3)
    with pytest.raises(Divergence, match="load"):
        process.load(base, 6)


class CopiesWhenLoaded(LinuxChoices):
    def copies_when_loaded(self) -> bool:
        return True


@pytest.mark.parametrize("choices", [LinuxChoices(), CopiesWhenLoaded()])
def test_a_private_page_may_show_changes_of_the_file_or_not(choices: LinuxChoices) -> None:
    process = judged(choices=choices, level="posix")
    fd = file(process, b"old")
    base = process.mmap(0, PAGE, RW, MAP_PRIVATE, fd, 0)
    assert process.load(base, 3) == b"old"
    process.pwrite(fd, b"new", 0)

    assert process.load(base, 3) == (b"new" if type(choices) is LinuxChoices else b"old")
    process.store(base, b"N")
    process.pwrite(fd, b"NEW", 0)
    assert process.load(base, 1) == b"N"


def test_on_linux_it_does() -> None:
    process = judged(choices=CopiesWhenLoaded(), level="linux")
    fd = file(process, b"old")
    base = process.mmap(0, PAGE, RW, MAP_PRIVATE, fd, 0)
    process.load(base, 3)

    with pytest.raises(Divergence, match="then load"):
        process.pwrite(fd, b"new", 0)


@pytest.mark.parametrize("level", ["posix", "linux"])
@pytest.mark.parametrize("bits", [32, 64])
def test_a_c_library_of_32_bits_refuses_a_large_offset_itself(level: str, bits: int) -> None:
    class Libc(ReferenceProcess):
        def mmap(self, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
            if offset >> 44:
                raise OSError(EINVAL, "")
            return super().mmap(addr, length, prot, flags, fd, offset)

    sizes: dict[str, Any] = {"bits": 32, "user_bits": 32} if bits == 32 else {}
    process = judged(Libc, level=level, **sizes)
    fd = file(process, b"abc")

    with pytest.raises(OSError if bits == 32 else Divergence):
        process.mmap(0, PAGE, PROT_READ, MAP_PRIVATE, fd, (1 << 63) - PAGE)
    if bits == 32:
        with pytest.raises(OSError, match="Errno 22"):  # before it asks the kernel about the descriptor
            process.mmap(0, PAGE, PROT_READ, MAP_PRIVATE, -1, (1 << 63) - PAGE)


@pytest.mark.parametrize("is_refused", [False, True])
def test_a_c_library_of_32_bits_may_refuse_sizes_from_2_gib_itself(is_refused: bool) -> None:
    class Libc(ReferenceProcess):
        def mremap(self, addr: int, old_size: int, new_size: int, flags: int, new_addr: int = 0) -> int:
            if is_refused and new_size >> 31:
                raise OSError(ENOMEM, "")
            return super().mremap(addr, old_size, new_size, flags, new_addr)

    process = judged(Libc, level="linux", bits=32, user_bits=32)

    with pytest.raises(OSError, match=f"Errno {ENOMEM if is_refused else EFAULT}"):
        process.mremap(PAGE, PAGE, 1 << 31, MREMAP_MAYMOVE)


@pytest.mark.parametrize("call", ["mlock", "munlock", "madvise"])
@pytest.mark.parametrize(("bits", "seen", "is_allowed"), [(32, ENOMEM, True), (32, EINVAL, True), (64, ENOMEM, False)])
def test_a_range_past_the_last_address_of_32_bits_need_not_wrap_around(
    call: str, bits: int, seen: int, is_allowed: bool
) -> None:
    class Kernel(ReferenceProcess):
        pass

    def refuse(process: ReferenceProcess, *arguments: int) -> None:
        raise OSError(seen, "")

    setattr(Kernel, call, refuse)
    process = judged(Kernel, level="linux", bits=bits, user_bits=min(bits, 47))
    arguments = (MADV_DONTNEED,) if call == "madvise" else ()

    with pytest.raises(OSError if is_allowed else Divergence):
        getattr(process, call)((1 << bits) - PAGE, 2 * PAGE, *arguments)


def test_store_into_a_private_page_is_kept() -> None:
    process = judged(looked(b"old", 0), level="posix")
    fd = file(process, b"old")
    base = process.mmap(0, PAGE, RW, MAP_PRIVATE, fd, 0)
    process.pwrite(fd, b"new", 0)
    process.store(base, b"sto")

    with pytest.raises(Divergence, match="load"):
        process.load(base, 3)


@pytest.mark.parametrize("survives", [True, False])
def test_after_a_crash_what_was_not_synced_may_be_old_or_new(survives: bool) -> None:
    process = judged(choices=hardware(survives=survives))
    system = process.system
    folder = system.facility(Facility.CRASHING_FILE_SYSTEM)
    fd = file(process, b"synced, old", f"{folder}/file")
    process.fsync(fd)
    base = process.mmap(0, PAGE, RW, MAP_SHARED, fd, 0)
    process.store(base + 8, b"new")
    system.crash()

    process = system.spawn()
    fd = process.open(f"{folder}/file", O_RDONLY)
    assert process.pread(fd, 20, 0) == (b"synced, new" if survives else b"synced, old")
    assert system.uncompared is None


@pytest.mark.parametrize("how", ["pwrite", "store"])
def test_after_a_crash_a_page_may_be_as_it_was_written_back_between_two_changes(how: str) -> None:
    class WritesBack(ReferenceProcess):
        """Its pages are written back whenever their protection is changed."""

        def mprotect(self, addr: int, length: int, prot: int) -> None:
            super().mprotect(addr, length, prot)
            inode = self.space.over(addr, addr + 1)[0].inode
            assert inode is not None
            inode.sync(self.choices)

    process = judged(WritesBack, hardware(survives=False))
    system = process.system
    folder = system.facility(Facility.CRASHING_FILE_SYSTEM)
    fd = file(process, b"synced, old", f"{folder}/file")
    process.fsync(fd)
    base = process.mmap(0, PAGE, RW, MAP_SHARED, fd, 0)
    process.pwrite(fd, b"middle", 5)
    process.mprotect(base, PAGE, PROT_READ)
    process.mprotect(base, PAGE, RW)
    if how == "store":
        process.store(base + 5, b"new")
    else:
        process.pwrite(fd, b"new", 5)
    system.crash()

    process = system.spawn()
    fd = process.open(f"{folder}/file", O_RDONLY)
    assert process.pread(fd, 20, 0) == b"syncemiddle"
    assert process.pread(fd, 20, 0) == b"syncemiddle"
    assert system.uncompared is None


def test_but_nothing_else_and_what_was_synced_is_there() -> None:
    class Loses(ReferenceProcess):
        def fsync(self, fd: int) -> None:
            pass

    class Mangles(ReferenceProcess):
        def pread(self, fd: int, length: int, offset: int) -> bytes:
            return super().pread(fd, length, offset).replace(b"old", b"odd")

    for wrong in (Loses, Mangles):
        process = judged(wrong)
        system = process.system
        system.audits.suspended = "it would load pages"
        folder = system.facility(Facility.CRASHING_FILE_SYSTEM)
        fd = file(process, b"synced, old", f"{folder}/file")
        process.fsync(fd)
        system.crash()
        process = system.spawn()
        with pytest.raises(Divergence):
            process.pread(process.open(f"{folder}/file", O_RDONLY), 20, 0)


@pytest.mark.parametrize("notices", [True, False])
def test_a_store_to_a_page_that_is_there_may_be_missed(notices: bool) -> None:
    class Time(ReferenceProcess):
        def has_old_mtime(self, fd: int) -> bool:
            return not notices

    process = judged(Time)
    fd = file(process, bytes(PAGE))
    base = process.mmap(0, PAGE, RW, MAP_SHARED, fd, 0)
    process.load(base, 1)
    process.set_old_mtime(fd)
    process.store(base, b"x")

    assert process.has_old_mtime(fd) is not notices


@pytest.mark.parametrize("changes", [True, False])
def test_but_not_the_store_that_brings_it_in_nor_is_one_made_up(changes: bool) -> None:
    class Time(ReferenceProcess):
        def has_old_mtime(self, fd: int) -> bool:
            return changes

    process = judged(Time)
    process.system.audits.suspended = "it would load pages"  # they would bring it in
    fd = file(process, bytes(PAGE))
    base = process.mmap(0, PAGE, RW, MAP_SHARED, fd, 0)
    process.set_old_mtime(fd)
    if changes:
        process.store(base, b"x")

    with pytest.raises(Divergence):
        process.has_old_mtime(fd)


def test_a_device_reads_as_it_likes_and_a_folder_has_the_size_it_likes() -> None:
    class Odd(ReferenceProcess):
        def pread(self, fd: int, length: int, offset: int) -> bytes:
            return super().pread(fd, length, offset)[::-1]

        def fstat(self, fd: int) -> Any:
            return super().fstat(fd)._replace(size=40)

    process = judged(Odd)
    process.system.audits.suspended = "it would load pages"
    fd = process.open(process.system.facility(Facility.DEV_RANDOM), O_RDONLY)
    process.pread(fd, 8, 0)
    assert process.fstat(process.open(".", O_RDONLY)).size == 40
    with pytest.raises(Divergence, match="fstat"):
        process.fstat(file(process, b"abc"))


# ------------------------------------------------------------------------------------------------------ partial effects


def test_below_level_linux_a_failed_call_may_have_done_a_part_and_nothing_is_compared_any_more() -> None:
    for level in ("linux", "posix"):
        process = judged(level=level)
        base = process.mmap(scratch_range(process), PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
        with pytest.raises(OSError, match="not mapped"):
            process.mprotect(base, 2 * PAGE, PROT_READ)

        assert (process.system.uncompared is None) == (level == "linux")


def test_at_level_linux_it_has() -> None:
    process = judged(choices=hardware(applies_prefix=False))
    base = process.mmap(scratch_range(process), PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)

    with pytest.raises(Divergence, match=r"mprotect.*, then store"):
        process.mprotect(base, 2 * PAGE, PROT_READ)


# ---------------------------------------------------------------------------------------------------------------- flags


class Otherwise(LinuxChoices):
    """Another right answer to each of these."""

    def refuses_sync(self) -> bool:
        return False

    def may_grow_down(self, left: int) -> bool:
        return left >= 1


def test_a_file_system_may_ignore_sync_or_refuse_it() -> None:
    process = judged()
    with pytest.raises(OSError, match="MAP_SYNC"):
        process.mmap(0, PAGE, PROT_READ, MAP_SHARED | MAP_SYNC, file(process, b"abc"), 0)
    process = judged(choices=Otherwise())
    process.mmap(0, PAGE, PROT_READ, MAP_SHARED | MAP_SYNC, file(process, b"abc"), 0)

    assert process.system.uncompared is None


@pytest.mark.parametrize("choices", [LinuxChoices(), Otherwise()])
def test_size_of_the_gap_below_a_stack_is_a_choice(choices: LinuxChoices) -> None:
    process = judged(choices=choices)
    base = scratch_range(process) + 9 * PAGE
    process.mmap(base, PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0)
    process.mmap(base - 3 * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)

    with contextlib.suppress(Fault):
        process.load(base - PAGE, 1)
    with pytest.raises(Fault):
        process.load(base - 2 * PAGE, 1)


def test_no_gap_below_a_stack_is_a_difference() -> None:
    class NoGap(LinuxChoices):
        def may_grow_down(self, left: int) -> bool:
            return True

    process = judged(choices=NoGap())
    base = scratch_range(process) + 9 * PAGE
    process.mmap(base, PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0)
    process.mmap(base - 2 * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)

    with pytest.raises(Divergence, match="SEGV_MAPERR"):
        process.load(base - PAGE, 1)


def test_nothing_is_compared_any_more_where_there_are_huge_pages() -> None:
    class Rich(ReferenceProcess):
        def mmap(self, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
            return super().mmap(addr, length, prot, flags & ~MAP_HUGETLB, fd, offset)

    process = judged(Rich)
    process.mmap(0, PAGE, RW, ANONYMOUS | MAP_HUGETLB, -1, 0)

    assert "huge pages" in (process.system.uncompared or "")


def test_memory_below_2_gib_has_to_be_there() -> None:
    class High(ReferenceProcess):
        def mmap(self, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
            return super().mmap(addr, length, prot, flags & ~MAP_32BIT, fd, offset)

    assert judged().mmap(0, PAGE, RW, ANONYMOUS | MAP_32BIT, -1, 0) < 1 << 31
    with pytest.raises(Divergence, match=r"below 2 GiB and free \(mmap.flag.32bit\)"):
        judged(High).mmap(0, PAGE, RW, ANONYMOUS | MAP_32BIT, -1, 0)


@pytest.mark.parametrize(("seen", "admitted"), [(b"\0", True), (b"?", False)])
def test_droppable_memory_may_be_zero_and_nothing_else(seen: bytes, admitted: bool) -> None:
    class Dropping(ReferenceProcess):
        def load(self, addr: int, length: int) -> bytes:
            return seen * length

    process = judged(Dropping)
    process.system.audits.suspended = "it would load pages"
    base = process.mmap(0, PAGE, RW, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0)
    process.store(base, b"xyz")

    if admitted:
        assert process.load(base, 3) == bytes(3)
    else:
        with pytest.raises(Divergence):
            process.load(base, 3)


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (Returned(b"x" * 32), repr(b"x" * 32)),
        (Returned(b"x" * 33), f"{b'x' * 32!r}… (33 bytes)"),
        (Returned(0xFFFF), "65535"),
        (Returned(0x10000), "0x10000"),
        (Returned(None), "success"),
        (Failed("EINVAL"), "EINVAL"),
        (Faulted("SIGBUS", "BUS_ADRERR", 0x1000), "SIGBUS (BUS_ADRERR) at 0x1000"),
        (Faulted("SIGSEGV", "SI_KERNEL", None), "SIGSEGV (SI_KERNEL)"),
    ],
)
def test_an_outcome_in_words(outcome: Outcome, text: str) -> None:
    assert str(outcome) == text


def following(seen: Outcome, call: str = "call", level: str = "linux") -> ObservedChoices:
    """A judge who has seen that.  Its strings are no literals, so equal ones are two objects."""
    choices = ObservedChoices("".join(level))
    choices.observe("".join(call), seen)
    return choices


def test_an_errno_is_known_by_its_letters() -> None:
    refusal = Refusal(EINVAL, "a.clause", "a-reason", "a text")
    assert following(Failed("".join(("EIN", "VAL")))).refusal("call", [refusal]) is refusal


def test_at_level_linux_how_much_was_moved_is_no_question() -> None:
    for possible in (0, 4, 10):
        assert following(Returned(possible)).transferred("pread", possible, 10) == possible


def test_observed_mincore_result_is_adopted_for_its_pages() -> None:
    choices = following(Returned([True, False]))
    assert [choices.is_resident(which, False) for which in range(4)] == [True, False, False, False]
    assert [choices.is_resident(which, True) for which in range(4)] == [True, False, True, True]


@pytest.mark.parametrize(
    ("closes", "seen", "expected"),
    [(0, 0, 0), (0, 1, 9), (3, 0, 9), (3, 1, 1), (3, 2, 2), (3, 3, 3), (3, 4, 9)],
)
def test_as_many_closes_are_reported_as_may_be(closes: int, seen: int, expected: int) -> None:
    assert following(Returned(seen)).coalesced_closes(9, closes) == expected


NO_MEMORY = Failed("ENOMEM")


@pytest.mark.parametrize(
    ("what", "used", "seen_failing", "else_"),
    [
        ("bytes", (1000 - 64) * PAGE, False, False),
        ("bytes", (1000 - 64) * PAGE + 1, True, False),
        ("bytes", 1000 * PAGE, True, False),
        ("bytes", (1000 + 64) * PAGE, True, False),
        ("bytes", (1000 + 64) * PAGE + 1, True, True),
        ("mappings", 1000 * PAGE - 62 * PAGE - PAGE // 2, False, False),
        ("mappings", 1000 * PAGE - 62 * PAGE - PAGE // 2 + 1, True, False),
        ("mappings", 1000 * PAGE, True, False),
        ("mappings", 1000 * PAGE + 1, True, True),
    ],
)
def test_limit_is_exceeded_as_observed(what: str, used: int, seen_failing: bool, else_: bool) -> None:
    what = "".join(what)
    assert following(NO_MEMORY).exceeds_limit(what, used, 1000 * PAGE) is seen_failing
    assert following(Returned(0)).exceeds_limit(what, used, 1000 * PAGE) is else_
    assert following(Failed("EAGAIN")).exceeds_limit(what, used, 1000 * PAGE) is else_


@pytest.mark.parametrize(
    ("length", "may_fail"), [(PAGE, False), ((1 << 28) - 1, False), (1 << 28, True), (1 << 40, True)]
)
def test_least_memory_of_a_system(length: int, may_fail: bool) -> None:
    assert following(NO_MEMORY).has_memory(length) is not may_fail
    assert following(Failed("EINVAL")).has_memory(length)


TOP = (1 << 47) - PAGE


@pytest.mark.parametrize(
    ("seen", "below", "right"),
    [
        (0, 0, False),
        (PAGE, 0, True),
        (PAGE + 1, 0, False),
        (TOP - 3 * PAGE, 0, True),
        (TOP - 2 * PAGE, 0, False),
        ((1 << 31) - 3 * PAGE, 1 << 31, True),
        ((1 << 31) - 2 * PAGE, 1 << 31, False),
        (17 * PAGE, 0, True),
        (18 * PAGE, 0, False),
        (20 * PAGE, 0, False),
        (21 * PAGE, 0, True),
    ],
)
def test_which_places_may_be_seen(seen: int, below: int, right: bool) -> None:
    """Of three pages, where the twenty-first is taken."""
    space = ReferenceSystem(Parameters(), LinuxChoices()).spawn().space
    space.insert(Mapping(space, 20 * PAGE, 21 * PAGE, RW, False))
    choices = following(Returned(seen))
    assert (choices.place(space, 3 * PAGE, 0, below) == seen) is right
    assert (choices.rejected_address is None) is right


def test_wrong_address_is_charged_to_a_clause_of_the_call() -> None:
    space = ReferenceSystem(Parameters(), LinuxChoices()).spawn().space
    for call, below, clauses in (
        ("mmap", 0, ("mmap.addr.null", "mmap.addr.hint")),
        ("mmap", 1 << 31, ("mmap.flag.32bit",)),
        ("mremap", 0, ("mremap.flags.maymove",)),
    ):
        choices = following(Returned(1), call)
        choices.place(space, PAGE, 0, below)
        assert choices.rejected_address is not None
        assert choices.rejected_address.clauses == clauses
        choices.observe(call, Returned(None))
        assert choices.rejected_address is None


@pytest.mark.parametrize(
    ("start", "end", "within"),
    [
        (7, 12, True),
        (7, 8, True),
        (6, 8, False),
        (11, 12, True),
        (11, 13, False),
        (6, 13, False),
    ],
)
def test_where_the_systems_own_memory_may_be(start: int, end: int, within: bool) -> None:
    """Not in the scratch_range, here from the eighth page to the twelfth."""
    choices = following(Failed("EEXIST"))
    choices.scratch_range = lambda: (7 * PAGE, 5 * PAGE)
    assert choices.has_foreign(start * PAGE, end * PAGE) is not within
    assert choices.grows_in_place(start * PAGE, end * PAGE) is within


def test_which_bytes_are_settled_by_what_was_loaded() -> None:
    """Those that were seen to have a value that they may have; what may have any stays open."""
    page = Page(0, bytearray(b"abcdefgh"))
    page.indeterminate = {2: b"cC", 3: b"dA", 4: b"e\0", 5: b"fC", 6: b"", 7: b"h\0"}
    following(Returned(b"A4CD")).resolve(page, 3, 8, 0)
    assert page.data == b"abcAeCDh"
    assert page.indeterminate == {2: b"cC", 4: b"e\0", 6: b"", 7: b"h\0"}


@pytest.mark.parametrize("done", [0, 5])
def test_bytes_past_the_end_stays_open_unless_it_is_zero(done: int) -> None:
    page = Page(0, bytearray(b"abcdefgh"))
    page.indeterminate = {0: b"a\0", 1: b"b\0", 4: b"e\0", 5: b"f\0", 6: b"gX"}
    choices = following(Returned(b"\0" * done + b"\0de\0Xh"))
    choices.resolve(page, 2, 5, done)
    assert page.data == b"abcde\0Xh"
    assert page.indeterminate == {0: b"a\0", 1: b"b\0", 6: b"gX"}


@pytest.mark.parametrize("at", range(6))
@pytest.mark.parametrize("done", [0, 1, 4])
def test_a_load_resolves_the_bytes_that_it_reaches(at: int, done: int) -> None:
    """Here of a page's bytes 2 and 3, `done` bytes after it began; the others may be as they were seen elsewhere."""
    for values, value in ((b"oZ", ord("Z")), (b"", ord("Z")), (b"ox", ord("o"))):
        page = Page(0, bytearray(b"oooooo"))
        page.indeterminate = {at: values}
        following(Returned(b"Z" * done + b"ZZ")).resolve(page, 2, 6, done)
        is_loaded = at in (2, 3)
        assert page.data[at] == (value if is_loaded else ord("o"))
        assert page.indeterminate == ({} if is_loaded and values == b"oZ" else {at: values})


def test_a_read_over_pages_settles_what_is_open_in_each() -> None:
    process = ReferenceSystem(Parameters(page=16), LinuxChoices()).spawn()
    fd = process.open("f", O_CREAT | O_RDWR)
    process.pwrite(fd, b"o" * 48, 0)
    inode = process.descriptors[fd].description.inode
    values = b"oabcdefghijklmnopqrstuvwxyz"
    for index in range(3):
        inode.cache.page(index).indeterminate = dict.fromkeys(range(16), values)
    seen = b"abcdefghijklmnopqrstuvwxyz"
    assert inode.read(26, 13, following(Returned(seen))) == seen
    assert process.pread(fd, 48, 0) == b"o" * 13 + seen + b"o" * 9
    assert inode.indeterminate_bytes(0, 48).keys() == {*range(13), *range(39, 48)}


@pytest.mark.parametrize("seen", [Failed("EINVAL"), Faulted("SIGBUS", "BUS_ADRERR", 0), Returned(5), Returned(None)])
def test_outcome_of_another_call_determines_no_bytes(seen: Outcome) -> None:
    page = Page(0, bytearray(b"abc"))
    following(seen).resolve(page, 0, 3, 0)
    page.indeterminate = {0: b"a\0"}
    following(seen).resolve(page, 0, 3, 0)
    assert page.data == b"abc"
    assert page.indeterminate == {0: b"a\0"}


@pytest.mark.parametrize(
    "errno", ["EACCES", "EAGAIN", "EEXIST", "EFAULT", "EINVAL", "ENOMEM", "EOPNOTSUPP", "EPERM", "EXDEV"]
)
def test_which_errno_says_what(errno: str) -> None:
    choices = following(Failed("".join(letter for letter in errno)))
    space = ReferenceSystem(Parameters(), LinuxChoices()).spawn().space
    mapping = Mapping(space, 20 * PAGE, 21 * PAGE, RW, False)
    said = {
        "EEXIST": choices.has_foreign(PAGE, 2 * PAGE),
        "EFAULT": not choices.is_single_vma(mapping),
        "EOPNOTSUPP": choices.refuses_sync(),
        "EPERM": choices.non_file_is_noexec(),
    }
    assert [name for name, value in said.items() if value] == ([errno] if errno in said else [])
    is_poor = errno == "ENOMEM"
    assert choices.has_huge_pages() is not is_poor
    assert choices.has_memory(1 << 60) is not is_poor
    assert (choices.place(space, space.task_size // 2, 0) is None) is is_poor
    assert choices.limits_files()
    assert not choices.may_merge_moved(mapping, mapping)
    assert not choices.grows_in_place(PAGE, 3 * PAGE)
    assert not choices.mtime_updated()
    assert not choices.eof_before_protection()
    assert choices.reports_address(0, 0)
    assert choices.may_grow_down(1)


@pytest.mark.parametrize("seen", [Returned(None), Returned(True), Returned(5), Faulted("SIGSEGV", "SEGV_ACCERR", 5)])
def test_success_or_fault_shows_no_limit(seen: Outcome) -> None:
    choices = following(seen)
    space = ReferenceSystem(Parameters(), LinuxChoices()).spawn().space
    mapping = Mapping(space, 20 * PAGE, 21 * PAGE, RW, False)
    assert choices.is_single_vma(mapping)
    assert choices.has_huge_pages()
    assert choices.has_memory(1 << 60)
    assert choices.place(space, space.task_size // 2, 0) is not None
    for said in (
        choices.has_foreign(PAGE, 2 * PAGE),
        choices.refuses_sync(),
        choices.non_file_is_noexec(),
        choices.limits_files(),
        choices.mtime_updated(),
    ):
        assert not said
    assert following(Returned(False)).mtime_updated()
    assert choices.may_merge_moved(mapping, mapping) is isinstance(seen, Returned)


@pytest.mark.parametrize(("more", "may_fail"), [(-1, False), (0, False), (1, True), (PAGE, True)])
def test_from_which_length_on_there_may_be_no_gap(more: int, may_fail: bool) -> None:
    """More than an eighth of user space."""
    space = ReferenceSystem(Parameters(), LinuxChoices()).spawn().space
    assert (following(NO_MEMORY).place(space, space.task_size // 8 + more, 0) is None) is may_fail
    assert following(Failed("EINVAL")).place(space, space.task_size // 8 + more, 0) is not None


@pytest.mark.parametrize(
    ("seen", "in_place"),
    [
        (Returned(7 * PAGE), True),
        (Returned(8 * PAGE), False),
        (Returned(None), False),
        (Failed("ENOMEM"), False),
        (Faulted("SIGSEGV", "SEGV_MAPERR", 7 * PAGE), True),
    ],
)
def test_growth_outside_of_the_arena_is_where_it_was_seen(seen: Outcome, in_place: bool) -> None:
    """A fault says nothing of it."""
    choices = following(seen)
    choices.scratch_range = lambda: (7 * PAGE, 2 * PAGE)
    assert choices.grows_in_place(7 * PAGE, 10 * PAGE) is in_place
    assert choices.grows_in_place(7 * PAGE, 9 * PAGE)


@pytest.mark.parametrize(("left", "may"), [(-1, False), (0, False), (1, True), (256, True)])
def test_a_stack_has_grown_unless_nothing_is_there(left: int, may: bool) -> None:
    for seen in (
        Returned(b"a"),
        Failed("EFAULT"),
        Faulted("SIGSEGV", "SEGV_ACCERR", 5),
        Faulted("SIGSEGV", "SI_KERNEL", None),
        Faulted("SIGBUS", "BUS_ADRERR", 5),
    ):
        assert following(seen).may_grow_down(left) is may
    assert not following(Faulted("SIGSEGV", "".join(("SEGV_", "MAPERR")), 5)).may_grow_down(left)


@pytest.mark.parametrize(
    ("seen", "allowed", "remembered"),
    [
        (Returned(b"a"), True, True),
        (Failed("EFAULT"), True, True),
        (Faulted("".join(("SIG", "SEGV")), "SEGV_ACCERR", 7 * PAGE + 5), False, True),
        (Faulted("SIGSEGV", "SEGV_ACCERR", 7 * PAGE + 4), False, True),
        (Faulted("SIGSEGV", "SEGV_ACCERR", None), False, False),
        (Faulted("SIGSEGV", "SEGV_ACCERR", 7 * PAGE + 6), True, True),
        (Faulted("SIGBUS", "BUS_ADRERR", 7 * PAGE + 5), True, True),
    ],
)
def test_processor_s_rights_are_adopted_and_kept(seen: Outcome, allowed: bool, remembered: bool) -> None:
    """A fault is this page's if it is no higher than the byte that the access has reached; SIGBUS is of the file."""
    choices = following(seen, "load")
    assert choices.may_load(PROT_WRITE, 7 * PAGE + 5) is allowed
    choices.observe("load", Faulted("SIGSEGV", "SEGV_ACCERR", 0) if allowed else Returned(b""))
    assert choices.may_load(PROT_WRITE, 0) is (allowed if remembered else True)
    choices.observe("pread", Returned(b""))
    assert choices.may_load(PROT_WRITE, 0) is (allowed if remembered else True)
    assert choices.may_load(PROT_EXEC, 0), "as on x86, as long as it has not been observed"
    assert not choices.may_execute(PROT_WRITE)


@pytest.mark.parametrize("address", [None, 0])
def test_a_fault_without_an_address_is_any_page_s(address: int | None) -> None:
    assert not following(Faulted("SIGSEGV", "SEGV_ACCERR", address), "load").may_load(PROT_WRITE, 0)


def test_of_execution_only_success_stays_so() -> None:
    """The order of several applicable faults is open, so one implies nothing about the next."""
    choices = following(Faulted("SIGSEGV", "SEGV_ACCERR", 1 << 46), "execute")
    assert not choices.may_execute(PROT_READ)
    choices.observe("execute", Faulted("SIGBUS", "BUS_ADRERR", 0))
    assert choices.may_execute(PROT_READ)
    choices.observe("load", Returned(b""))
    assert not choices.may_execute(PROT_READ), "as on x86"
    choices.observe("execute", Returned(None))
    assert choices.may_execute(PROT_READ)
    choices.observe("execute", Faulted("SIGSEGV", "SEGV_ACCERR", 0))
    assert choices.may_execute(PROT_READ)
    assert not choices.may_execute(PROT_WRITE)


@pytest.mark.parametrize(
    ("seen", "first", "reports", "room_asked"),
    [
        (Returned(b""), False, True, False),
        (Failed("ENOMEM"), False, True, False),
        (Faulted("".join(("SIG", "BUS")), "BUS_ADRERR", 5), True, True, True),
        (Faulted("SIGSEGV", "SEGV_ACCERR", 0), False, True, False),
        (Faulted("SIGSEGV", "SI_KERNEL", None), False, False, False),
        (Faulted("SIGABRT", "SI_USER", 5), False, True, False),
        (Faulted("SIGTRAP", "SI_USER", 5), False, True, False),
    ],
)
def test_choices_adopted_from_a_fault(seen: Outcome, first: bool, reports: bool, room_asked: bool) -> None:
    choices = following(seen)
    assert choices.eof_before_protection() is first
    assert choices.reports_address(5, 9) is reports
    assert choices.has_room(0, PAGE), "the subject's disk is not full"
    choices.is_full = lambda: True
    assert choices.has_room(PAGE, PAGE) is not room_asked
    choices.note_store(7 * PAGE)
    elsewhere = isinstance(seen, Faulted) and seen.address is not None and seen.address // PAGE != 7
    assert choices.has_room(PAGE, PAGE) is (elsewhere or not room_asked)


@pytest.mark.parametrize(("possible", "is_open"), [(0, False), (1, True), (9, True), (10, False)])
def test_below_level_linux_a_part_that_was_moved_is_open(possible: int, is_open: bool) -> None:
    choices = following(Returned(possible), level="posix")
    if is_open:
        with pytest.raises(Unresolved, match="how much is moved"):
            choices.transferred("pread", possible, 10)
    else:
        assert choices.transferred("pread", possible, 10) == possible


@pytest.mark.parametrize(("call", "moved"), [("pwrite", 0), ("pread", 4)])
def test_a_file_system_may_refuse_a_write_that_could_be_done_in_part(call: str, moved: int) -> None:
    assert following(Failed("EFAULT")).transferred(call, 4, 10) == moved


def refusals(*reasons: tuple[int, str]) -> list[Refusal]:
    return [Refusal(errno, f"clause.{number}", reason, "a text") for number, (errno, reason) in enumerate(reasons)]


UNALIGNED = (EINVAL, "offset-unaligned")
NO_DESCRIPTOR = (EBADF, "fd-not-open")
TOO_LONG = (ENOMEM, "length-too-large")
NO_LENGTH = (EINVAL, "length-zero")


@pytest.mark.parametrize(
    ("call", "reasons", "seen", "clause"),
    [
        ("mmap", (UNALIGNED, NO_DESCRIPTOR), "EBADF", "mmap.order.offset"),
        ("mmap", (UNALIGNED, TOO_LONG), "ENOMEM", "mmap.order.offset"),
        ("mmap", (NO_DESCRIPTOR, NO_LENGTH), "EINVAL", "mmap.order.descriptor"),
        ("mmap", (NO_DESCRIPTOR, TOO_LONG), "ENOMEM", None),
        ("mmap", (NO_DESCRIPTOR, TOO_LONG), "EBADF", "mmap.order.descriptor"),
        ("mmap", ((EINVAL, "another-reason"), NO_DESCRIPTOR), "EBADF", None),
        ("mremap", (NO_LENGTH, NO_DESCRIPTOR), "EBADF", "mremap.errno.order"),
        ("mremap", (NO_LENGTH, UNALIGNED), "EINVAL", "mremap.errno.order"),
        ("mremap", (NO_LENGTH, (ENOMEM, "libc-new-size")), "ENOMEM", None),
        ("msync", (NO_LENGTH, NO_DESCRIPTOR), "EBADF", "msync.errno.order"),
        ("mprotect", (NO_LENGTH, NO_DESCRIPTOR), "EBADF", "mprotect.errno.order"),
        ("munmap", (NO_LENGTH, NO_DESCRIPTOR), "EBADF", None),
    ],
)
def test_which_of_several_must_be_returned_first(
    call: str, reasons: tuple[tuple[int, str], ...], seen: str, clause: str | None
) -> None:
    """Here the last is seen: it is right where nothing says which is first, and at lower levels."""
    first, last = found = refusals(*reasons)
    choices = following(Failed(seen))
    call = "".join(call)
    assert choices.clause_of_order(call, found) == clause
    if clause is None or seen == first.name:
        assert choices.refusal(call, found).name == seen
    else:
        with pytest.raises(NotAllowed) as wrong:
            choices.refusal(call, found)
        assert wrong.value.allowed == (first.name,)
        assert wrong.value.clauses == (clause, first.clause)
    for level in ("posix", "documented"):
        assert following(Failed(seen), level=level).refusal(call, found).name == seen
        assert following(Failed(seen), level=level).clause_of_order(call, found) is None
    for other in (Failed("ENOSYS"), Returned(0)):
        with pytest.raises(NotAllowed) as wrong:
            following(other).refusal(call, found)
        assert wrong.value.allowed == tuple(dict.fromkeys((first.name, last.name)))
        assert wrong.value.clauses == (first.clause, last.clause)


def test_of_several_with_the_errno_that_was_seen_it_is_the_first_and_one_that_is_late_may_be_meant() -> None:
    for late in (None, 0, 1, 2):
        found = [Refusal(EINVAL if n else EBADF, f"clause.{n}", "a-reason", "a text", late=n == late) for n in range(3)]
        choices = following(Failed("EINVAL"))
        assert choices.refusal("munmap", found) is found[1]
        assert choices.failed_after_unmap is (late in (1, 2))


class Stays(LinuxChoices):
    """Keeps pages in memory, and their bytes past the end of a file: as tmpfs does."""

    def evicts(self) -> bool:
        return False

    def slack_survives_write_back(self) -> bool:
        return True


def test_bytes_past_the_end_of_a_file_may_outlive_eviction() -> None:
    process = judged(choices=Stays())
    fd, base = stored_past_the_end(process)
    process.drop_cache(fd)
    assert process.load(base, 6) == b"abCxyz"


def test_a_device_of_zeros_has_no_others() -> None:
    class Wrong(ReferenceProcess):
        def pread(self, fd: int, length: int, offset: int) -> bytes:
            return b"x" * length

    process = judged(Wrong)
    fd = process.open(process.system.facility(Facility.DEV_ZERO), O_RDONLY)
    with pytest.raises(Divergence, match="pread"):
        process.pread(fd, 5, 0)


@pytest.mark.parametrize("refuses", [True, False])
def test_a_file_may_be_as_large_as_an_offset_can_say(refuses: bool) -> None:
    class Large(ReferenceProcess):
        def ftruncate(self, fd: int, length: int) -> None:
            if refuses:
                raise OSError(EFBIG, "")
            self.description(fd).inode.size = length  # type: ignore[union-attr]

    process = judged(Large)
    fd = file(process, b"abc")
    process.system.audits.suspended = "it would load pages"

    if refuses:
        with fails("EFBIG"):
            process.ftruncate(fd, 2**63 - PAGE)
    else:
        process.ftruncate(fd, 2**63 - PAGE)
    assert process.fstat(fd).size == (3 if refuses else 2**63 - PAGE)


@pytest.mark.parametrize("level", ["documented", "posix", "linux"])
def test_choices_open_below_level_linux(level: str) -> None:
    choices = following(Returned(4), level=level)
    is_linux = level == "linux"
    assert choices.shows_changes() is choices.copies_when_populated() is is_linux
    if is_linux:
        assert choices.applies_prefix("a call")
        assert choices.transferred("pread", 4, 10) == 4
    else:
        with pytest.raises(Unresolved, match="below level linux"):
            choices.applies_prefix("a call")
        with pytest.raises(Unresolved, match="below level linux"):
            choices.transferred("pread", 4, 10)
    space = ReferenceSystem(Parameters(), LinuxChoices()).spawn().space
    space.insert(Mapping(space, 20 * PAGE, 22 * PAGE, RW, False))
    asked: list[int] = []

    def is_mapped(addr: int) -> bool:
        asked.append(addr)
        return False

    choices.is_mapped = is_mapped
    for errno, may_be_cleared in ((EINVAL, False), (EBADF, False), (ENOMEM, not is_linux)):
        asked.clear()
        refusal = Refusal(errno, "a.clause", "a-reason", "a text")
        assert choices.cleared_when_refused(refusal, space, 19 * PAGE, 21 * PAGE) is may_be_cleared
        assert asked == [20 * PAGE] * may_be_cleared
    assert not choices.cleared_when_refused(
        Refusal(ENOMEM, "a.clause", "a-reason", "a text"), space, 22 * PAGE, 30 * PAGE
    )


@pytest.mark.parametrize(
    "seen",
    [
        Failed("EINVAL"),
        Faulted("SIGSEGV", "SEGV_MAPERR", 0),
        Returned(None),
        Returned(2),
        Returned(b"seen"),
        Returned([False]),
        Returned(("directory", 7)),
    ],
    ids=str,
)
def test_result_of_another_type_is_not_adopted(seen: Outcome) -> None:
    choices = following(seen)
    value = seen.value if isinstance(seen, Returned) else None
    assert choices.device_content(b"said") == (value if isinstance(value, bytes) else b"said")
    assert choices.special_size() == (7 if isinstance(value, tuple) else 0)
    assert choices.coalesced_closes(9, 3) == (2 if value == 2 else 9)
    assert choices.is_resident(0, True) is not isinstance(value, list)
    page = Page(0, bytearray(b"open"))
    page.indeterminate = dict.fromkeys(range(4), b"")
    choices.resolve(page, 0, 4, 0)
    assert page.data == (value if isinstance(value, bytes) else b"open")


@pytest.mark.parametrize("prot", range(8))
@pytest.mark.parametrize("allowed", [True, False])
def test_which_accesses_are_the_hardwares_choice(prot: int, allowed: bool) -> None:
    """Loading where there is a right but not this one, and executing likewise; where there is none nothing is."""
    seen = Returned(b"") if allowed else Faulted("SIGSEGV", "SEGV_ACCERR", PAGE)
    loads = following(seen, "load").may_load(prot, PAGE)
    executes = following(seen, "execute").may_execute(prot)
    assert loads is (prot != 0 and (prot & PROT_READ != 0 or allowed))
    assert executes is (prot != 0 and (prot & PROT_EXEC != 0 or allowed))
