"""Mutants that are wrong under a condition only."""

from __future__ import annotations

import pytest

from pytest_mmapconf.contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    O_CREAT,
    O_RDWR,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    Process,
)
from pytest_mmapconf.gates.conditional_sample import PROGRAMS, Sample, Verdict, find, lines, survivor_line
from pytest_mmapconf.gates.conditions import CONDITIONS, SECOND_TIME, all_conditional, conditional
from pytest_mmapconf.reference import mutant

RW = PROT_READ | PROT_WRITE
PAGE = 4096
FAULT = "munmap-takes-length-0"


def boot(condition: str) -> Process:
    return conditional(mutant.load()[FAULT], condition).boot().boot().spawn()


def is_wrong(process: Process, addr: int) -> bool:
    """Return True if munmap takes length 0."""
    try:
        process.munmap(addr, 0)
    except OSError:
        return False
    return True


def mapped(process: Process, pages: int = 2) -> int:
    start, _ = process.scratch_range()
    return process.mmap(start, pages * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)


def of_file(process: Process, start: int, offset: int = 0) -> int:
    fd = process.open("f", O_CREAT | O_RDWR)
    return process.mmap(start, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, offset)


def test_every_mutant_has_every_condition() -> None:
    mutants = mutant.load().values()

    assert len(all_conditional(mutants)) == len(mutants) * (len(CONDITIONS) + 1)


def test_after_fork_and_in_a_child() -> None:
    for condition, of_parent in (("after-fork", True), ("in-child", False)):
        process = boot(condition)
        base = mapped(process)
        assert not is_wrong(process, base)
        child = process.fork()
        assert is_wrong(process, base) == of_parent
        assert is_wrong(child, base)


def test_the_second_time() -> None:
    process = boot(SECOND_TIME)
    base = mapped(process)

    assert [is_wrong(process, base) for _ in range(3)] == [False, True, True]


def test_a_new_system_knows_nothing_of_the_one_before() -> None:
    backend = conditional(mutant.load()[FAULT], "after-fork").boot()
    before = backend.boot().spawn()
    before.fork()
    assert is_wrong(before, mapped(before))
    process = backend.boot().spawn()

    assert not is_wrong(process, mapped(process))


def test_of_mappings_and_protection() -> None:
    process = boot("split-mapping")
    base = mapped(process)
    assert not is_wrong(process, base)
    process.mprotect(base, PAGE, PROT_NONE)
    assert is_wrong(process, base)

    process = boot("after-protection")
    base = mapped(process)
    process.mprotect(base, PAGE, PROT_NONE)
    assert not is_wrong(process, base)
    process.mprotect(base, PAGE, RW)
    assert is_wrong(process, base)

    process = boot("adjacent-mappings")
    base = mapped(process)
    assert not is_wrong(process, base)
    of_file(process, base + 2 * PAGE)
    assert is_wrong(process, base)

    process = boot("last-page")
    base = mapped(process)
    assert not is_wrong(process, base)
    assert is_wrong(process, base + PAGE)

    process = boot("loaded-pages")
    base = mapped(process)
    assert not is_wrong(process, base)
    process.load(base, 1)
    assert is_wrong(process, base)


@pytest.mark.parametrize(("condition", "offset"), [("from-2-gib", 2 << 30), ("from-4-gib", 4 << 30)])
def test_of_offsets(condition: str, offset: int) -> None:
    process = boot(condition)
    base = process.scratch_range()[0]
    assert not is_wrong(process, of_file(process, base, offset - PAGE))
    assert is_wrong(process, of_file(process, base, offset))


def test_of_files() -> None:
    process = boot("second-mapping")
    base = process.scratch_range()[0]
    of_file(process, base)
    assert not is_wrong(process, base)
    of_file(process, base + 4 * PAGE)
    assert is_wrong(process, base)

    process = boot("reopened-file")
    base = process.scratch_range()[0]
    of_file(process, base)
    assert not is_wrong(process, base)
    process.open("f", O_RDWR)
    assert is_wrong(process, base)

    process = boot("after-truncation")
    base = process.scratch_range()[0]
    of_file(process, base)
    assert not is_wrong(process, base)
    process.ftruncate(process.open("f", O_RDWR), 1)
    assert is_wrong(process, base)


def test_random_programs_find_a_survivor_that_can_show() -> None:
    assert find(conditional(mutant.load()[FAULT], "after-fork")) > 0


@pytest.mark.parametrize(
    ("verdict", "line"),
    [
        (
            Verdict("m@c", acted=3, program=7),
            "survives: m@c (acts otherwise in 3 cases and rows); random program 7 finds it",
        ),
        (
            Verdict("m@c", acted=1, crash="KeyError"),
            "survives: m@c (acts otherwise in 1 cases and rows, crashes: KeyError); "
            f"{PROGRAMS} random programs do not find it",
        ),
    ],
    ids=["found", "not-found"],
)
def test_a_survivor_is_a_line(verdict: Verdict, line: str) -> None:
    assert survivor_line(verdict) == line


def test_the_score_is_that_of_all_and_of_those_that_can_show() -> None:
    verdicts = (
        Verdict("a", killer="munmap.x"),
        Verdict("b", killer="tour.x"),
        Verdict("c", killer="munmap.y", used=True),
        Verdict("d", program=7),
        Verdict("e"),
    )

    text = lines(Sample("1", 100, 2, ("e",), verdicts), 0.0)

    assert "killed: 3 of 5 (60.0 %), 1 of these by a row of the tour, 1 in used processes only; " in text[3]
    assert text[4] == "of those that cases, rows or random programs show: 3 of 4 (75.0 %)"
