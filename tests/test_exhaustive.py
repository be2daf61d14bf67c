"""The exhaustive search: its states, that each call is made in each, and that it finds what is wrong there."""

from __future__ import annotations

import pytest

from pytest_mmapconf import backends
from pytest_mmapconf.fuzzing.exhaustive import MOVES, ExhaustiveSearch, World, shortest_programs, world_after
from pytest_mmapconf.fuzzing.findings import Finding, LongSearch
from pytest_mmapconf.fuzzing.search import Search
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.linux_choices import LinuxChoices
from pytest_mmapconf.reference.machine import Parameters
from pytest_mmapconf.reference.system import ReferenceSystem


def searched(name: str, level: str, depth: int, parts: int = 1) -> tuple[list[Finding], int, int]:
    """The findings of a search of all parts, and how many states and calls there were."""
    long = LongSearch(Search(backends.make(name, [], []), level), lambda divergence: False, 20)
    findings: list[Finding] = []
    states = calls = 0
    for part in range(parts):
        findings += ExhaustiveSearch(long, depth).run_part(part, parts, f"part {part}")
        states += long.search.tally.totals["states"]
        calls += long.search.tally.totals["calls"]
    return findings, states, calls


@pytest.mark.parametrize(("level", "depth", "states"), [("linux", 0, 1), ("linux", 1, 18), ("linux", 2, 229)])
def test_each_state_has_a_shortest_program_that_leads_to_it(level: str, depth: int, states: int) -> None:
    programs = shortest_programs(Parameters(), level, depth)

    assert len(programs) == states
    assert max(map(len, programs.values())) == depth
    for state, program in list(programs.items())[-20:]:
        world = World(ReferenceSystem(Parameters(), LinuxChoices()), level)
        for number in program:
            world.make(MOVES[number])
        assert world.state() == state


def test_moves_are_made_in_the_states_that_were_enumerated() -> None:
    search = Search(ReferenceBackend(), "linux")
    for state, program in shortest_programs(search.parameters, "linux", 1).items():
        assert world_after(search.boot("all", 1), "linux", program).state() == state


@pytest.mark.parametrize("level", ["documented", "posix", "linux"])
def test_the_reference_agrees_with_itself_and_parts_have_all_states_and_calls(level: str) -> None:
    findings, states, calls = searched("reference", level, 1)

    assert findings == []
    assert searched("reference", level, 1, parts=5)[1:] == (states, calls)
    moves = [move for move in MOVES if not move.process and (level == "linux" or move.level != "linux")]
    assert calls >= states * len(moves) * 0.7


def test_the_moves_are_those_of_the_level() -> None:
    world = World(ReferenceBackend().boot(), "documented")

    made = {move.call for move in MOVES if world.can_make(move)}

    assert {"mmap", "munmap", "msync", "load", "store", "fork"} <= made
    assert not {"mprotect", "mlock", "madvise", "exit"} & made, "of other levels, or of a child that there is not"


@pytest.mark.parametrize(
    ("mutant", "depth", "call"),
    [
        ("munmap-takes-the-next-page", 1, "munmap"),
        ("private-stores-reach-the-file", 1, "store"),
        ("shared-memory-is-copied-at-fork", 2, "store"),
    ],
)
def test_a_defect_is_found_and_its_program_is_short(mutant: str, depth: int, call: str) -> None:
    findings, _states, _calls = searched(f"mutant:{mutant}", "linux", depth)

    assert call in {finding.key.call for finding in findings}
    assert all(len(finding.counterexample.program) <= 8 for finding in findings)
