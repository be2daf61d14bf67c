"""Calls that are made concurrently, judged by lockstep: an outcome is allowed if an order of the calls has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import pytest

from pytest_mmapconf.contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    O_CREAT,
    O_RDWR,
    PROT_EXEC,
    PROT_READ,
    Call,
    Process,
)
from pytest_mmapconf.differential.concurrency import MAX_BYTES, TooMany, forms_of
from pytest_mmapconf.differential.divergence import Divergence
from pytest_mmapconf.differential.lockstep import LockstepBackend, LockstepProcess, LockstepSystem
from pytest_mmapconf.reference import mutant
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.linux_choices import LinuxChoices
from pytest_mmapconf.reference.observed_choices import ObservedChoices
from pytest_mmapconf.reference.system import ReferenceSystem

PAGE = 4096
RW = 3
FLAGS = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED


class ReportingSystem(ReferenceSystem):
    """The reference, except for the outcomes that it reports of calls made concurrently."""

    tally: ClassVar[dict[tuple[str, ...], int]]

    def together(self, calls: Sequence[Call], rounds: int) -> dict[tuple[str, ...], int]:
        return self.tally


class Reporting(ReferenceBackend):
    def boot(self) -> ReferenceSystem:
        return ReportingSystem(self.parameters, LinuxChoices())


def lockstep(*tally: Sequence[str], level: str = "linux") -> tuple[LockstepSystem, Process, Process, int]:
    """Return a system that reports these outcomes, a process of it, another thread, and the address of a page."""
    subject = Reporting()
    ReportingSystem.tally = {tuple(outcomes): 1 for outcomes in tally}
    system = LockstepBackend(subject, level).boot()
    system.audits.suspended = "the subject has not made the calls that it reports"
    process = system.spawn()
    base, _length = process.scratch_range()
    process.mmap(base, PAGE, RW, FLAGS, -1, 0)
    return system, process, process.thread(), base


def stores_and_load(process: Process, thread: Process, base: int) -> list[Call]:
    """Return a store of each thread to one byte, and a load of it in the next stage."""
    stores = [Call(process, "store", (base, b"a")), Call(thread, "store", (base, b"b"))]
    return [*stores, Call(process, "load", (base, 1), 1)]


@pytest.mark.parametrize("last", ["61", "62"])
def test_either_of_two_stores_may_be_the_last(last: str) -> None:
    system, process, thread, base = lockstep(["ok", "ok", f"ok {last}"])

    system.together(stores_and_load(process, thread, base), 1)

    assert system.uncompared is None


def test_a_lost_store_is_a_difference() -> None:
    system, process, thread, base = lockstep(["ok", "ok", "ok 00"])

    with pytest.raises(Divergence, match="ok 00 in 1 of 1 rounds"):
        system.together(stores_and_load(process, thread, base), 1)


def test_a_stage_is_over_before_the_next_begins() -> None:
    system, process, thread, base = lockstep(["ok", "ok 00"])

    with pytest.raises(Divergence):
        system.together([Call(process, "store", (base, b"a")), Call(thread, "load", (base, 1), 1)], 1)


def test_bytes_of_overlapping_stores_may_be_mixed() -> None:
    system, process, thread, base = lockstep(["ok", "ok", "ok 6164"])
    calls = [Call(process, "store", (base, b"ab")), Call(thread, "store", (base, b"cd"))]

    system.together([*calls, Call(process, "load", (base, 2), 1)], 1)

    assert system.uncompared is None


def test_a_fixed_mapping_may_be_made_in_two_steps() -> None:
    system, process, thread, base = lockstep(["ok 0x1ff000000000", "fault SIGSEGV SEGV_MAPERR"])
    assert base == 0x1FF000000000

    system.together([Call(process, "mmap", (base, PAGE, RW, FLAGS, -1, 0)), Call(thread, "load", (base, 1))], 1)

    assert system.uncompared is None


def test_a_round_begins_where_an_earlier_one_has_ended() -> None:
    """The load of the second outcome finds the store of the first round."""
    system, process, thread, base = lockstep(["ok 00", "ok"], ["ok 61", "ok"])

    system.together([Call(process, "load", (base, 1)), Call(thread, "store", (base, b"a"), 1)], 2)

    assert system.uncompared is None


def test_content_is_open_where_the_last_round_is_not_known() -> None:
    system = LockstepBackend(ReferenceBackend(), "linux").boot()
    process = system.spawn()
    base, _length = process.scratch_range()
    process.mmap(base, PAGE, RW, FLAGS, -1, 0)
    thread = process.thread()

    system.together([Call(process, "store", (base, b"a")), Call(thread, "store", (base, b"b"))], 9)

    assert process.load(base, 1) in (b"a", b"b")
    assert system.uncompared is None


def test_what_is_open_in_a_process_is_not_open_in_its_child() -> None:
    """The page is shared since the fork where the store has faulted; where it has not, each process has its own."""
    system, process, thread, base = lockstep(["ok", "fault SIGSEGV SEGV_ACCERR"], ["ok", "ok"])
    process.store(base, b"a")
    process.mprotect(base, PAGE, PROT_READ)
    child = process.fork()

    system.together([Call(process, "mprotect", (base, PAGE, RW)), Call(thread, "store", (base, b"t"))], 2)

    assert isinstance(process, LockstepProcess)
    process.subject.mprotect(base, PAGE, RW)
    process.subject.store(base, b"t")  # the subject has not made the calls that it reports
    assert process.load(base, 1) == b"t"
    assert child.load(base, 1) == b"a"
    assert system.uncompared is None


def test_below_level_linux_only_the_signal_counts() -> None:
    system, process, thread, base = lockstep(["ok", "fault SIGSEGV SEGV_ACCERR"], level="posix")

    system.together([Call(process, "munmap", (base, PAGE)), Call(thread, "load", (base, 1), 1)], 1)

    assert system.uncompared is None


def test_nothing_is_compared_where_there_are_too_many_orders() -> None:
    data = b"x" * (MAX_BYTES + 1)
    system, process, thread, base = lockstep(["ok", "ok"])

    system.together([Call(process, "store", (base, data)), Call(thread, "store", (base, data))], 1)

    assert system.uncompared is not None
    assert "too many orders" in system.uncompared


CHILD = {"none": "000000", "former": "780000", "latter": "000078"}
"""What a child may load of two bytes that are stored one after the other, and of one between them."""


@pytest.mark.parametrize(
    ("found", "level", "flags", "is_judged", "is_allowed"),
    [
        ("none", "linux", FLAGS, True, True),
        ("former", "linux", FLAGS, True, True),
        ("latter", "linux", FLAGS, True, False),
        ("latter", "posix", FLAGS, False, True),
        ("latter", "linux", FLAGS ^ MAP_PRIVATE | MAP_SHARED, False, True),
    ],
)
def test_a_child_has_a_page_of_one_moment(
    found: str, level: str, flags: int, is_judged: bool, is_allowed: bool
) -> None:
    system, process, thread, base = lockstep(["ok", "ok", f"ok {CHILD[found]}"], level=level)
    process.mmap(base, PAGE, RW, flags, -1, 0)
    calls = [
        *(Call(thread, "store", (base + at, b"x")) for at in (0, 2)),
        Call(process, "load_in_child", (base, 3)),
    ]

    if is_allowed:
        system.together(calls, 1)
        assert (system.uncompared is None) is is_judged
    else:
        with pytest.raises(Divergence, match=r"threads\.fork\.moment"):
            system.together(calls, 1)


def test_an_access_that_overlaps_with_none_is_one_step() -> None:
    one, other = (Call(Process(), "store", (at, b"x" * 100)) for at in (0, 100))

    assert forms_of(one, "ok", [other]) == [[("store", (0, b"x" * 100), "ok")]]
    with pytest.raises(TooMany):
        forms_of(one, "ok", [one])


@pytest.mark.parametrize(
    ("id", "change"),
    [
        ("munmap-drops-own-translations-only", lambda base: ("munmap", (base, PAGE))),
        ("mprotect-drops-own-translations-only", lambda base: ("mprotect", (base, PAGE, 0))),
    ],
)
def test_a_stale_translation_is_a_difference(id: str, change: Callable[[int], tuple[str, tuple[object, ...]]]) -> None:
    system = LockstepBackend(mutant.load()[id].boot(), "linux").boot()
    process = system.spawn()
    thread = process.thread()
    base, _length = process.scratch_range()
    name, arguments = change(base)

    with pytest.raises(Divergence):
        system.together(
            [
                Call(process, "mmap", (base, PAGE, RW, FLAGS & ~MAP_PRIVATE | MAP_SHARED, -1, 0)),
                Call(thread, "load", (base, 1), 1),
                Call(process, name, arguments, 2),
                Call(thread, "load", (base, 1), 3),
            ],
            10,
        )


def test_an_order_that_was_not_so_teaches_nothing_about_the_processor() -> None:
    """With the load first, its fault would mean that the page cannot be loaded; it was the later one."""
    system, process, thread, base = lockstep(["ok", "fault SIGSEGV SEGV_MAPERR"])
    process.mmap(base, PAGE, PROT_EXEC, FLAGS, -1, 0)

    system.together([Call(process, "munmap", (base, PAGE)), Call(thread, "load", (base, 1))], 1)

    choices = system.machine.choices
    assert isinstance(choices, ObservedChoices)
    assert choices.hardware == {}


def test_a_store_may_have_reached_a_file_that_is_not_mapped_any_more() -> None:
    """In one of two rounds the store came before the munmap, in the other after it, and nothing maps the page now."""
    found = ("ok", "ok"), ("ok", "fault SIGSEGV SEGV_MAPERR")
    system, process, thread, base = lockstep(*found)
    fd = process.open("f", O_RDWR | O_CREAT)
    process.pwrite(fd, b"a", 0)
    process.mmap(base, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0)

    system.together([Call(process, "munmap", (base, PAGE)), Call(thread, "store", (base, b"t"))], 2)

    page = system.machine.cwd_file_system.root.entries["f"].cache.page(0)
    assert {page.data[0], *(page.indeterminate or {}).get(0, b"")} == set(b"at")


def test_a_store_may_have_reached_memory_that_only_another_process_maps() -> None:
    """The child has mapped the shared memory, and has not accessed it before."""
    found = ("ok", "ok"), ("ok", "fault SIGSEGV SEGV_MAPERR")
    system, process, thread, base = lockstep(*found)
    process.mmap(base, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(base, b"a")
    child = process.fork()
    assert isinstance(child, LockstepProcess)

    system.together([Call(process, "munmap", (base, PAGE)), Call(thread, "store", (base, b"t"))], 2)

    mapping = child.model.space.find(base)
    assert mapping is not None
    assert mapping.inode is not None
    page = mapping.inode.cache.page(0)
    assert {page.data[0], *(page.indeterminate or {}).get(0, b"")} == set(b"at")
