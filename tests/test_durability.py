"""One death of a system while its crash is prepared ends one case, or the cases of the action that ended it."""

from __future__ import annotations

import pytest

from pytest_mmapconf.conformance import durability
from pytest_mmapconf.conformance.durability import MappedFile, Rounds
from pytest_mmapconf.contract import Backend, Died, System, Unresolved
from pytest_mmapconf.reference.backend import ReferenceBackend


class Dying(Backend):
    """The reference, which fails to boot the first `times` times."""

    name = "dying"

    def __init__(self, times: int) -> None:
        self.times = times
        self.boots = 0

    def boot(self) -> System:
        self.boots += 1
        if self.boots <= self.times:
            raise Unresolved(f"death {self.boots}")
        return ReferenceBackend().boot()


def test_the_case_after_a_death_begins_another_round() -> None:
    backend = Dying(1)
    rounds = Rounds(backend)

    with pytest.raises(Unresolved, match="death 1"):
        rounds.judged()
    rounds.judged()[durability.all_synced].assert_pages("!!!!")
    rounds.judged()

    assert backend.boots == 2


def test_after_three_deaths_no_round_begins() -> None:
    backend = Dying(99)
    rounds = Rounds(backend)

    for number in (1, 2, 3, 3, 3):
        with pytest.raises(Unresolved, match=f"death {number}"):
            rounds.judged()

    assert backend.boots == 3


def test_an_action_that_ends_the_system_fails_its_own_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    def ends(file: MappedFile) -> None:
        raise Died("the system ended")

    backend = Dying(0)
    monkeypatch.setattr(durability, "ACTIONS", [*durability.ACTIONS, ends])
    results = Rounds(backend).judged()

    with pytest.raises(Died, match="the system ended"):
        results[ends].assert_pages("....")
    results[durability.all_synced].assert_pages("!!!!")
    assert backend.boots == 2


def test_a_store_without_sync_that_ends_the_system_leaves_nothing_to_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    def ends(file: MappedFile) -> None:
        raise Died("the system ended")

    monkeypatch.setattr(durability, "ACTIONS", [ends])
    monkeypatch.setattr(durability, "CONTROL", ends)

    with pytest.raises(Died, match="the system ended"):
        Rounds(Dying(0)).judged()
