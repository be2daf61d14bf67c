"""The tour: which rows there are, and what they detect."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product

import pytest

from pytest_mmapconf.catalogue.clauses import LEVELS, load
from pytest_mmapconf.contract import Unsupported
from pytest_mmapconf.differential.parameters import measure_parameters
from pytest_mmapconf.reference import mutant
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.tour import array, axes, command
from pytest_mmapconf.tour.run import Difference, reduced, run_row

ORIGINAL = "munmap+whole+shared+fixed+untouched+rw+alone+pages"


def test_the_file_has_the_rows_that_are_made() -> None:
    made = [axes.row_id(row) for row in array.make_rows()]

    assert list(array.ids()) == made, "write it anew: python -m pytest_mmapconf tour --rows > .../tour/rows.txt"


def test_ids_are_unique() -> None:
    assert len(set(array.ids())) == len(array.ids())


def test_rows_have_every_possible_pair() -> None:
    rows = [array.row(id) for id in array.ids()]
    covered = {pair for row in rows for pair in combinations([(a.id, row[a.id].id) for a in axes.AXES], 2)}

    assert set(command.possible_pairs()) <= covered


def test_rows_have_every_possible_triple_of_interacting_axes() -> None:
    rows = [array.row(id) for id in array.ids()]
    by_id = {axis.id: axis for axis in axes.AXES}
    for names in axes.INTERACTING:
        covered = {tuple(row[name].id for name in names) for row in rows}
        for values in product(*([value.id for value in by_id[name].values] for name in names)):
            pairs = combinations(zip(names, values, strict=True), 2)
            if all(axes.broken_rule(*one, *two, LEVELS[-1]) is None for one, two in pairs):
                assert values in covered


def test_a_new_value_changes_no_id(monkeypatch: pytest.MonkeyPatch) -> None:
    place = next(axis for axis in axes.AXES if axis.id == "place")
    value = replace(place.values[0], id="elsewhere", since=max(axes.editions()) + 1)
    more = tuple(replace(a, values=(*a.values, value)) if a is place else a for a in axes.AXES)
    for module in (array, axes):
        monkeypatch.setattr(module, "AXES", more)
    array.is_possible.cache_clear()
    made = [axes.row_id(row) for row in array.make_rows()]
    monkeypatch.undo()
    array.is_possible.cache_clear()

    assert made[: len(array.ids())] == list(array.ids())
    assert len(made) > len(array.ids())
    assert all("+elsewhere+" in id for id in made[len(array.ids()) :])


def test_every_clause_of_a_value_exists() -> None:
    for axis in axes.AXES:
        for value in axis.values:
            assert set(value.clauses) <= load().keys(), value.id
            assert value.text, value.id


def test_every_rule_is_about_values_that_exist() -> None:
    by_id = {axis.id: {value.id for value in axis.values} for axis in axes.AXES}
    for rule in axes.RULES:
        assert set(rule.values) <= by_id[rule.axis]
        assert set(rule.others) <= by_id[rule.other]
        assert rule.reason


def run(id: str, fault: str, level: str = "linux") -> Difference | None:
    backend = mutant.load()[fault].boot() if fault else ReferenceBackend()
    return run_row(backend, measure_parameters(backend), level, array.row(id))


@pytest.mark.parametrize("id", [ORIGINAL, *array.ids()[::211]])
def test_the_reference_passes(id: str) -> None:
    assert run(id, "") is None


def test_a_difference_is_charged_to_the_call() -> None:
    difference = run(ORIGINAL.replace("whole", "first"), "munmap-takes-the-next-page")

    assert difference is not None
    assert "munmap.range" in difference.divergence.clauses
    assert [step.call for step in difference.program][-2:] == ["munmap", "load"]


def test_a_difference_is_reduced() -> None:
    fault = mutant.load()["munmap-takes-the-next-page"].boot()
    id = ORIGINAL.replace("whole", "first").replace("alone", "child-touching")
    difference = run(id, "munmap-takes-the-next-page")
    assert difference is not None

    smaller = reduced(fault, "linux", difference)

    assert len(smaller.program) < len(difference.program)
    assert smaller.divergence.clauses == difference.divergence.clauses


def test_a_call_that_the_level_does_not_have_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="is not a call of level documented"):
        run(ORIGINAL.replace("munmap", "mincore"), "", "documented")


def test_the_command_prints_axes_and_pairs() -> None:
    text = "\n".join(command.lines())

    assert "(100.0 %)" in text
    assert "impossible pairs:" in text
    for axis in axes.AXES:
        assert f"{axis.id}: {axis.text}" in text
