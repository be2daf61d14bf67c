"""The choices of Linux, where the specification leaves something open."""

from __future__ import annotations

from errno import EINVAL, ENODEV

import pytest

from pytest_mmapconf.contract import PROT_EXEC, PROT_NONE, PROT_READ, PROT_WRITE
from pytest_mmapconf.reference.address_space import AddressSpace
from pytest_mmapconf.reference.linux_choices import LinuxChoices
from pytest_mmapconf.reference.machine import Parameters
from pytest_mmapconf.reference.mapping import Mapping
from pytest_mmapconf.reference.refusal import Refusal
from pytest_mmapconf.reference.system import ReferenceSystem

PAGE = 4096
RW = PROT_READ | PROT_WRITE
LINUX = LinuxChoices()


def space_with(*taken: tuple[int, int]) -> AddressSpace:
    """User space of 255 pages, of which the first seven are for fixed addresses only; some are taken."""
    space = ReferenceSystem(Parameters(user_bits=20, mmap_min_addr=7 * PAGE), LINUX).spawn().space
    for start, end in taken:
        space.insert(Mapping(space, start * PAGE, end * PAGE, RW, False))
    return space


@pytest.mark.parametrize(
    ("hint", "length", "below", "place"),
    [
        (0, 3, 0, 252),
        (0, 234, 0, 21),
        (0, 235, 0, None),
        (30 * PAGE, 3, 0, 30),
        (30 * PAGE + 1, 3, 0, 30),
        (31 * PAGE - 1, 3, 0, 30),
        (1, 3, 0, 7),
        (6 * PAGE, 3, 0, 7),
        (7 * PAGE, 3, 0, 7),
        (8 * PAGE, 3, 0, 8),
        (17 * PAGE, 3, 0, 17),
        (18 * PAGE, 3, 0, 252),
        (20 * PAGE, 3, 0, 252),
        (21 * PAGE, 3, 0, 21),
        (251 * PAGE, 3, 0, 251),
        (252 * PAGE, 3, 0, 252),
        (253 * PAGE, 3, 0, 252),
        (255 * PAGE, 3, 0, 252),
        (1 << 60, 3, 0, 252),
        (0, 3, 128, 65),
        (0, 63, 128, 65),
        (0, 64, 128, None),
        (124 * PAGE, 3, 128, 124),
        (125 * PAGE, 3, 128, 125),
        (126 * PAGE, 3, 128, 65),
        (9 * PAGE, 3, 128, 9),
        (64 * PAGE, 3, 128, 65),
        (62 * PAGE, 3, 0, 252),
    ],
)
def test_where_memory_is_placed(hint: int, length: int, below: int, place: int | None) -> None:
    """At the hint, else as high as can be; below a bound in its upper half, and as low as can be."""
    space = space_with((20, 21), (64, 65))
    if length > 100:
        space = space_with((20, 21))
    found = LINUX.place(space, length * PAGE, hint, below * PAGE)
    assert found == (None if place is None else place * PAGE)


@pytest.mark.parametrize(("length", "place"), [(12, 8), (13, 7), (14, None)])
def test_nothing_is_placed_too_low(length: int, place: int | None) -> None:
    found = LINUX.place(space_with((20, 255)), length * PAGE, 0)
    assert found == (None if place is None else place * PAGE)


def test_the_first_refusal_is_returned_and_a_late_one_has_cleared_the_range() -> None:
    space = space_with()
    for late in (True, False):
        first = Refusal(ENODEV, "a.clause", "a-reason", "a text", late)
        assert (
            LINUX.refusal(
                "mmap", [first, Refusal(EINVAL, "another.clause", "another-reason", "another text", not late)]
            )
            is first
        )
        assert LINUX.cleared_when_refused(first, space, 0, PAGE) is late


@pytest.mark.parametrize(("used", "is_over"), [(299, False), (300, False), (301, True)])
def test_where_a_limit_or_a_disk_ends(used: int, is_over: bool) -> None:
    assert LINUX.exceeds_limit("bytes", used, 300) is LINUX.exceeds_limit("mappings", used, 300) is is_over
    assert LINUX.has_room(300, used) is not is_over


@pytest.mark.parametrize(("left", "grows"), [(0, False), (1, False), (255, False), (256, True), (257, True)])
def test_the_gap_below_a_stack(left: int, grows: bool) -> None:
    assert LINUX.may_grow_down(left) is grows


@pytest.mark.parametrize(("addr", "reports"), [((1 << 47) - 1, True), (1 << 47, False), (1 << 63, False)])
def test_which_faults_have_an_address(addr: int, reports: bool) -> None:
    assert LINUX.reports_address(addr, 1 << 47) is reports


@pytest.mark.parametrize("more", [0, 0x8, 0x01000000])
@pytest.mark.parametrize("prot", range(8))
def test_rights_of_the_processor(prot: int, more: int) -> None:
    """x86 loads wherever there is any right, and executes where there is that one; other flags give none."""
    assert LINUX.may_load(prot | more, 5 * PAGE) is (prot != PROT_NONE)
    assert LINUX.may_execute(prot | more) is (prot >= PROT_EXEC)


def test_other_choices_of_linux() -> None:
    """Each is a choice that the documented API leaves open; the docstrings in choices.py say what it means."""
    mapping = Mapping(space_with(), 20 * PAGE, 21 * PAGE, RW, False)
    yes = (
        LINUX.has_memory(1 << 60),
        LINUX.applies_prefix("mprotect"),
        LINUX.merges(mapping, mapping),
        LINUX.is_single_vma(mapping),
        LINUX.grows_in_place(PAGE, 3 * PAGE),
        LINUX.refuses_sync(),
        LINUX.non_file_is_noexec(),
        LINUX.eof_before_protection(),
        LINUX.shows_changes(),
        LINUX.limits_files(),
        LINUX.copies_when_populated(),
        LINUX.mtime_updated(),
        LINUX.evicts(),
    )
    no = (
        LINUX.may_merge_moved(mapping, mapping),
        LINUX.has_foreign(PAGE, 2 * PAGE),
        LINUX.has_huge_pages(),
        LINUX.copies_when_loaded(),
        LINUX.slack_survives_growth(),
        LINUX.slack_survives_write_back(),
        LINUX.writes_when_asynchronous(),
        LINUX.survives("f", 0),
    )
    assert yes == (True,) * len(yes)
    assert no == (False,) * len(no)
    assert (LINUX.special_size(), LINUX.coalesced_closes(3, 5), LINUX.transferred("pread", 3, 5)) == (0, 3, 3)
    assert [LINUX.is_resident(0, there) for there in (True, False)] == [True, False]
