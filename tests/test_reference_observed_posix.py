"""What the judge permits below level linux, because POSIX permits it, and refuses at level linux.

Each program runs on a variant of the reference in lockstep: at level posix without a difference, at level linux with
one.  The source of each permission is in observed_choices.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from errno import EACCES, EINVAL, ENOTSUP

import pytest

from pytest_mmapconf.contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MS_ASYNC,
    MS_SYNC,
    O_CREAT,
    O_RDONLY,
    O_RDWR,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    Fault,
    Resource,
)
from pytest_mmapconf.differential.divergence import Divergence
from pytest_mmapconf.differential.lockstep import LockstepProcess, LockstepSystem
from pytest_mmapconf.outcomes import Failed, Returned
from pytest_mmapconf.reference.linux_choices import LinuxChoices
from pytest_mmapconf.reference.machine import Parameters
from pytest_mmapconf.reference.mapping import Mapping
from pytest_mmapconf.reference.observed_choices import NotAllowed, ObservedChoices
from pytest_mmapconf.reference.refusal import Refusal
from pytest_mmapconf.reference.strict_choices import StrictChoices
from pytest_mmapconf.reference.system import ReferenceSystem
from pytest_mmapconf.reference.unix_choices import FreeBSDChoices, MacOSChoices, NetBSDChoices

PAGE = 4096
RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS
MAPPINGS = 64

Program = Callable[[LockstepProcess], object]


def judged(choices: LinuxChoices, level: str) -> LockstepProcess:
    """A process of a reference with these choices, in lockstep."""
    parameters = Parameters(mappings=MAPPINGS)
    machine = ReferenceSystem(parameters, ObservedChoices(level))
    return LockstepSystem(ReferenceSystem(parameters, choices), machine).spawn()


def new_file(process: LockstepProcess, pages: int = 1) -> int:
    fd = process.open("f", O_CREAT | O_RDWR)
    process.pwrite(fd, b"a" * (pages * PAGE), 0)
    return fd


def memory(process: LockstepProcess, pages: int = 3) -> int:
    base, _length = process.scratch_range()
    return process.mmap(base, pages * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)


def fill_mappings(process: LockstepProcess) -> None:
    for _ in range(MAPPINGS + 2):
        process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)


def map_past_end(process: LockstepProcess) -> None:
    process.mmap(0, PAGE, PROT_READ, MAP_SHARED, new_file(process), PAGE)


def map_writable_code(process: LockstepProcess) -> None:
    process.mmap(0, PAGE, RW | PROT_EXEC, ANONYMOUS, -1, 0)


def protect_writable_code(process: LockstepProcess) -> None:
    process.mprotect(memory(process), PAGE, RW | PROT_EXEC)


def lock_unaligned(process: LockstepProcess) -> None:
    process.mlock(memory(process) + 1, 1)


def unlock_unaligned(process: LockstepProcess) -> None:
    process.munlock(memory(process) + 1, 1)


def unmap_unaligned(process: LockstepProcess) -> None:
    process.munmap(memory(process) + PAGE + 1, 1)


def protect_unaligned(process: LockstepProcess) -> None:
    process.mprotect(memory(process) + 1, PAGE, PROT_READ)


def sync_unaligned(process: LockstepProcess) -> None:
    process.msync(memory(process) + 1, PAGE, MS_SYNC)


def sync_without_kind(process: LockstepProcess) -> None:
    process.msync(memory(process), PAGE, 0)


def sync_with_both_kinds_over_hole(process: LockstepProcess) -> None:
    base = memory(process)
    process.munmap(base + PAGE, PAGE)
    process.msync(base, 2 * PAGE, MS_SYNC | MS_ASYNC)


def map_from_unaligned_offset(process: LockstepProcess) -> None:
    base = process.mmap(0, 2, PROT_READ, MAP_SHARED, new_file(process), 9)
    process.load(base, 2)


def map_outside(process: LockstepProcess) -> None:
    process.mmap(1 << 47, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)


def map_anonymous_with_descriptor(process: LockstepProcess) -> None:
    process.mmap(0, PAGE, RW, ANONYMOUS, new_file(process), 0)


def lock_past_limit(process: LockstepProcess) -> None:
    base = memory(process)
    process.drop_capability("CAP_IPC_LOCK")
    process.set_limit_headroom(Resource.LOCKED_MEMORY, PAGE)
    process.mlock(base, 2 * PAGE)


def load_past_end(process: LockstepProcess) -> None:
    base = process.mmap(0, 2 * PAGE, PROT_READ, MAP_SHARED, new_file(process), 0)
    process.load(base + PAGE, 1)


def store_at_end_of_page(process: LockstepProcess) -> None:
    base = process.mmap(0, PAGE, PROT_READ, MAP_SHARED, new_file(process), 0)
    process.store(base + PAGE - 1, b"x")


def load_private_after_change(process: LockstepProcess) -> None:
    fd = new_file(process)
    base = process.mmap(0, PAGE, PROT_READ, MAP_PRIVATE, fd, 0)
    process.pwrite(fd, b"changed", 0)
    process.load(base, PAGE)


def load_added_page(process: LockstepProcess) -> None:
    fd = new_file(process)
    base = process.mmap(0, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0)
    process.ftruncate(fd, 2 * PAGE)
    process.load(base + PAGE, 1)


def load_removed_page(process: LockstepProcess) -> None:
    fd = new_file(process, 2)
    base = process.mmap(0, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0)
    process.load(base, 2 * PAGE)
    process.ftruncate(fd, PAGE)
    process.load(base + PAGE, PAGE)


def lock_added_page(process: LockstepProcess) -> None:
    fd = new_file(process)
    base = process.mmap(0, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0)
    process.ftruncate(fd, 2 * PAGE)
    process.mlock(base + PAGE, PAGE)


def time_after_store(process: LockstepProcess) -> None:
    fd = new_file(process)
    base = process.mmap(0, PAGE, RW, MAP_SHARED, fd, 0)
    process.set_old_mtime(fd)
    process.store(base, b"x")
    process.has_old_mtime(fd)


def replace_and_fail(process: LockstepProcess) -> None:
    base = memory(process)
    new_file(process)
    fd = process.open("f", O_RDONLY)
    with suppress(OSError):
        process.mmap(base, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0)
    process.load(base, 1)


PROGRAMS: list[tuple[type[LinuxChoices], Program]] = [
    (StrictChoices, fill_mappings),
    (StrictChoices, map_past_end),
    (StrictChoices, map_writable_code),
    (StrictChoices, protect_writable_code),
    (StrictChoices, lock_unaligned),
    (StrictChoices, unlock_unaligned),
    (StrictChoices, unmap_unaligned),
    (StrictChoices, protect_unaligned),
    (StrictChoices, sync_unaligned),
    (StrictChoices, sync_without_kind),
    (StrictChoices, sync_with_both_kinds_over_hole),
    (FreeBSDChoices, map_from_unaligned_offset),
    (FreeBSDChoices, map_outside),
    (FreeBSDChoices, map_anonymous_with_descriptor),
    (NetBSDChoices, lock_past_limit),
    (StrictChoices, load_past_end),
    (StrictChoices, store_at_end_of_page),
    (MacOSChoices, load_private_after_change),
    (StrictChoices, load_added_page),
    (StrictChoices, load_removed_page),
    (StrictChoices, lock_added_page),
    (NetBSDChoices, time_after_store),
    (StrictChoices, replace_and_fail),
]

OPEN_AT_LEVEL_LINUX = (time_after_store,)
"""Programs without a difference at level linux either: tmpfs detects no store to a page that was loaded from."""


def parametrized(entries: list[tuple[type[LinuxChoices], Program]]) -> pytest.MarkDecorator:
    sets = [pytest.param(*entry, id=entry[1].__name__.replace("_", "-")) for entry in entries]
    return pytest.mark.parametrize(("choices", "program"), sets)


@parametrized(PROGRAMS)
def test_permitted_at_level_posix(choices: type[LinuxChoices], program: Program) -> None:
    process = judged(choices(), "posix")

    with suppress(OSError, Fault):
        program(process)
    assert process.system.uncompared is None


@parametrized([entry for entry in PROGRAMS if entry[1] not in OPEN_AT_LEVEL_LINUX])
def test_refused_at_level_linux(choices: type[LinuxChoices], program: Program) -> None:
    process = judged(choices(), "linux")

    with pytest.raises(Divergence), suppress(OSError, Fault):
        program(process)


@parametrized(PROGRAMS)
def test_linux_conforms_to_level_posix(choices: type[LinuxChoices], program: Program) -> None:
    process = judged(LinuxChoices(), "posix")

    with suppress(OSError, Fault):
        program(process)
    assert process.system.uncompared is None


@pytest.mark.parametrize(("errno", "cleared"), [(EINVAL, False), (ENOTSUP, False), (EACCES, True)])
def test_errors_by_which_a_fixed_range_is_kept(errno: int, cleared: bool) -> None:
    choices = ObservedChoices("posix")
    choices.is_mapped = lambda addr: False
    space = ReferenceSystem(Parameters(), choices).spawn().space
    space.insert(Mapping(space, 16 * PAGE, 17 * PAGE, RW, False))

    refusal = Refusal(errno, "clause", "reason", "text")
    assert choices.cleared_when_refused(refusal, space, 16 * PAGE, 17 * PAGE) is cleared


@pytest.mark.parametrize("level", ["posix", "linux"])
def test_error_that_no_reason_explains_is_refused(level: str) -> None:
    """What is open is the errno of a reason that applies, and not any errno."""
    process = ReferenceSystem(Parameters(), choices := ObservedChoices(level)).spawn()
    base = process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)

    for call, arguments in (
        ("mmap", (0, PAGE, RW, ANONYMOUS, -1, 0)),
        ("mprotect", (base, PAGE, PROT_READ)),
        ("munmap", (base, PAGE)),
    ):
        for errno in ("EMFILE", "ENXIO", "EOPNOTSUPP", "EAGAIN"):
            choices.observe(call, Failed(errno))
            try:
                getattr(process, call)(*arguments)
            except (OSError, NotAllowed):
                pytest.fail(f"{call}: {errno} is permitted")
            choices.observe("mmap", Returned(base))
            process.mmap(base, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0)
