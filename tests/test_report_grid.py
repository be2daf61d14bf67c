"""report.grid: the matrix of protections, types and objects."""

from __future__ import annotations

from runs import case, run

from pytest_mmapconf.catalogue.mmap_matrix import PROTECTIONS, ROWS
from pytest_mmapconf.report.grid import Field, grid


def test_a_run_without_the_matrix_has_no_grid() -> None:
    assert grid(run(case("munmap.range[r--]"))) == []


def test_grid_has_the_lines_of_the_table() -> None:
    lines = grid(run(case("mmap_matrix.mmap_succeeds_and_protection_applies[r---shared-rdonly]")))
    assert [(line.kind, line.thing) for line in lines] == list(ROWS)
    assert all(len(line.fields) == len(PROTECTIONS) for line in lines)


def test_field_has_the_gravest_verdict_and_the_expected_outcome() -> None:
    good = case("mmap_matrix.mmap_succeeds_and_protection_applies[r---shared-rdonly]")
    refused = case("mmap_matrix.mmap_fails_and_maps_nothing[-w--neither-wronly-fixed]")
    worse = case("mmap_matrix.failed_mmap_keeps_existing_mapping[-w--neither-wronly-fixed]", verdict="fail")

    lines = {(line.kind, line.thing): line.fields for line in grid(run(good, refused, worse))}

    assert lines["shared", "rdonly"][1] == (Field("pass", "maps", [good]), None)
    assert lines["neither", "wronly"][2] == (None, Field("fail", "EINVAL EACCES", [worse, refused]))
    assert sum(field is not None for of in lines.values() for pair in of for field in pair) == 2
