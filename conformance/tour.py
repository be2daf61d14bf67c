"""The tour: every call in every kind of state, each a short program that runs beside the reference.

A case is a row: its id is the call, and then a value for each thing that a call can depend on (`python -m
pytest_mmapconf tour` lists them).  There is no list of expected results: the reference executes the same program.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ..testing import Tour, clause
from ..tour import array, axes

Case = Callable[..., None]


def rows(*calls: str) -> Callable[[Case], Case]:
    """Parametrize a case with the rows of some calls; each row judges the clauses of its values too."""
    return pytest.mark.parametrize("row", [entry(id) for id in array.ids() if array.call_of(id) in calls])


def entry(id: str) -> Any:
    """Return a row as a parameter."""
    return pytest.param(id, id=id, marks=clause(*axes.row_clauses(array.row(id))))


@pytest.mark.mmap_tour
@rows("mmap")
@clause("mmap.result.success")
def test_mmap(tour: Tour, row: str) -> None:
    tour(row)


@pytest.mark.mmap_tour
@rows("munmap")
@clause("munmap.range")
def test_munmap(tour: Tour, row: str) -> None:
    tour(row)


@pytest.mark.mmap_tour
@rows("mremap")
@clause("mremap.resize")
def test_mremap(tour: Tour, row: str) -> None:
    tour(row)


@pytest.mark.mmap_tour
@rows("msync")
@clause("msync.flush")
def test_msync(tour: Tour, row: str) -> None:
    tour(row)


@pytest.mark.mmap_tour
@rows("mprotect")
@clause("mprotect.rights")
def test_mprotect(tour: Tour, row: str) -> None:
    tour(row)


@pytest.mark.mmap_tour
@rows("madvise")
@clause("madvise.range")
def test_madvise(tour: Tour, row: str) -> None:
    tour(row)


@pytest.mark.mmap_tour
@rows("mlock", "munlock", "mlock2", "mincore", "mseal")
@clause("mmap.range")
def test_lock(tour: Tour, row: str) -> None:
    tour(row)


@pytest.mark.mmap_tour
@rows("load", "store", "read_into", "write_from")
@clause("mmap.range")
def test_access(tour: Tour, row: str) -> None:
    tour(row)


@pytest.mark.mmap_tour
@rows("pwrite", "pread", "close", "ftruncate", "drop_cache")
@clause("overview.one-to-one")
def test_file(tour: Tour, row: str) -> None:
    tour(row)


@pytest.mark.mmap_tour
@rows("fork", "exit", "kill", "exec")
@clause("overview.shared-by-processes")
def test_process(tour: Tour, row: str) -> None:
    tour(row)
