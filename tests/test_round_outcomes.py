"""All outcomes that a round of concurrent calls may have."""

from __future__ import annotations

import pytest

from pytest_mmapconf.contract import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, Call, Process
from pytest_mmapconf.differential.concurrency import State, TooMany
from pytest_mmapconf.differential.round_outcomes import MAX_OUTCOMES, possible_outcomes
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.process import ReferenceProcess

PAGE = 4096
RW = 3
FLAGS = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED


class Machine:
    """A reference with a page of memory at `base`, and two threads."""

    def __init__(self) -> None:
        self.system = ReferenceBackend().boot()
        self.process = self.system.spawn()
        self.base, _length = self.process.scratch_range()
        self.process.mmap(self.base, PAGE, RW, FLAGS, -1, 0)
        self.thread = self.process.thread()

    def outcomes(self, *calls: Call, level: str = "linux") -> tuple[set[str], int]:
        """Return the possible outcomes, each as one text, and the number of states in which a round may end."""
        actors: list[Process] = list(dict.fromkeys(call.process for call in calls))
        assert all(isinstance(actor, ReferenceProcess) for actor in actors)
        others = [each for each in (self.process, self.thread) if each not in actors]
        begun = State(self.system, actors, others)  # type: ignore[arg-type]
        places = [actors.index(call.process) for call in calls]
        found, ends = possible_outcomes(begun.copy(), calls, places, level)
        return {"; ".join(outcomes) for outcomes in found}, ends


@pytest.fixture
def machine() -> Machine:
    return Machine()


def call(process: Process, name: str, *arguments: object, stage: int = 0) -> Call:
    return Call(process, name, arguments, stage)


def test_stages_are_in_order(machine: Machine) -> None:
    found, ends = machine.outcomes(
        call(machine.process, "store", machine.base, b"a"), call(machine.thread, "load", machine.base, 1, stage=1)
    )

    assert found == {"ok; ok 61"}
    assert ends == 1


def test_calls_of_a_stage_are_in_any_order(machine: Machine) -> None:
    """A later round finds what the one before has stored: so zeros can be loaded in the first one only."""
    found, ends = machine.outcomes(
        call(machine.process, "store", machine.base, b"a"), call(machine.thread, "load", machine.base, 1)
    )

    assert found == {"ok; ok 00", "ok; ok 61"}
    assert ends == 1


def test_bytes_are_in_any_order(machine: Machine) -> None:
    store = call(machine.process, "store", machine.base, b"ab")

    found, _ends = machine.outcomes(store, call(machine.thread, "load", machine.base, 2))

    assert found == {"ok; ok 0000", "ok; ok 6100", "ok; ok 0062", "ok; ok 6162"}


def test_rounds_may_end_in_several_states(machine: Machine) -> None:
    _found, ends = machine.outcomes(
        call(machine.process, "store", machine.base, b"a"), call(machine.thread, "store", machine.base, b"b")
    )

    assert ends == 2


def test_a_fixed_mapping_is_not_replaced_in_one_step(machine: Machine) -> None:
    mapped = call(machine.process, "mmap", machine.base, PAGE, RW, FLAGS, -1, 0)

    found, _ends = machine.outcomes(mapped, call(machine.thread, "load", machine.base, 1))

    assert found == {"ok; ok 00", "ok; fault SIGSEGV SEGV_MAPERR"}


@pytest.mark.parametrize(("level", "text"), [("linux", "fault SIGSEGV SEGV_MAPERR"), ("posix", "fault SIGSEGV")])
def test_the_code_of_a_fault_is_of_level_linux(machine: Machine, level: str, text: str) -> None:
    found, _ends = machine.outcomes(call(machine.process, "load", machine.base + PAGE, 1), level=level)

    assert found == {text}


def test_any_error_that_applies_is_an_outcome(machine: Machine) -> None:
    found, _ends = machine.outcomes(call(machine.process, "mmap", 0, 0, RW, MAP_SHARED, 99, 1))

    assert found == {"error EBADF", "error EINVAL"}


def test_more_outcomes_than_a_program_lists(machine: Machine) -> None:
    calls = [call(machine.process, "store", machine.base + at, b"a") for at in range(8)]
    calls += [call(machine.thread, "load", machine.base + at, 1) for at in range(8)]
    assert MAX_OUTCOMES < 1 << 8

    with pytest.raises(TooMany):
        machine.outcomes(*calls)
