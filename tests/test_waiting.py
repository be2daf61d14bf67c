"""waiting: the time for which this process was stopped counts for no limit."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pytest_mmapconf.waiting import DELAY, LONGEST, RunningClock


class Machine:
    """A machine whose time is a number; it can stop the process during a wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.stops: list[float] = []
        """The seconds of the stop during each wait that is to come."""
        self.waits: list[float] = []
        monkeypatch.setattr("pytest_mmapconf.waiting.time", SimpleNamespace(monotonic=lambda: self.now))

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now += seconds + (self.stops.pop(0) if self.stops else 0)
        return False


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_stop_does_not_count(machine: Machine) -> None:
    clock = RunningClock()
    before, machine.stops = clock.time(), [3600]

    clock.wait(machine.wait, 2)

    assert clock.time() - before == 2


def test_small_delay_counts(machine: Machine) -> None:
    clock = RunningClock()
    before, machine.stops = clock.time(), [DELAY]

    clock.wait(machine.wait, 2)

    assert clock.time() - before == 2 + DELAY


def test_long_wait_has_parts_and_goes_on_after_a_stop(machine: Machine) -> None:
    clock = RunningClock()
    machine.stops = [0, 3600]

    assert not clock.wait_until(machine.wait, clock.time() + 2.5 * LONGEST)
    assert machine.waits == [LONGEST, LONGEST, LONGEST / 2]


def test_wait_ends_with_the_first_result(machine: Machine) -> None:
    clock = RunningClock()

    assert clock.wait_until(lambda _: "ready", clock.time() + 10) == "ready"
    assert clock.wait_until(lambda _: "ready", clock.time() - 10) == "ready"
