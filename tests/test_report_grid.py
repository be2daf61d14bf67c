"""The matrix of protections, types and objects."""

from __future__ import annotations

from runs import case, run

from pytest_mmapconf.conformance.mmap_matrix import PROTECTIONS, TABLE
from pytest_mmapconf.report.grid import RIGHTS, Field, grid


def test_a_run_without_the_matrix_has_no_grid() -> None:
    assert grid(run(case("munmap.range[r--]"))) == []


def test_it_is_the_table_of_the_cases() -> None:
    assert tuple(PROTECTIONS) == RIGHTS
    lines = grid(run(case("mmap_matrix.granted[r---shared-rdonly]")))
    assert [(line.kind, line.thing) for line in lines] == list(TABLE)
    assert all(len(line.fields) == len(RIGHTS) for line in lines)


def test_the_gravest_of_a_fields_cases_and_what_was_expected() -> None:
    good = case("mmap_matrix.granted[r---shared-rdonly]")
    refused = case("mmap_matrix.refused[-w--neither-wronly-fixed]")
    worse = case("mmap_matrix.refused_over_a_mapping[-w--neither-wronly-fixed]", verdict="fail")

    lines = {(line.kind, line.thing): line.fields for line in grid(run(good, refused, worse))}

    assert lines["shared", "rdonly"][1] == (Field("pass", "maps", [good]), None)
    assert lines["neither", "wronly"][2] == (None, Field("fail", "EINVAL EACCES", [refused, worse]))
    assert sum(field is not None for of in lines.values() for pair in of for field in pair) == 2
