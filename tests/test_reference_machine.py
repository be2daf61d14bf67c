"""The machine: sizes, limits, paths."""

from __future__ import annotations

import pytest

from pytest_mmapconf.contract import (
    MAP_ANONYMOUS,
    MAP_PRIVATE,
    O_CREAT,
    O_RDONLY,
    O_RDWR,
    PROT_READ,
    PROT_WRITE,
)
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.machine import Parameters
from pytest_mmapconf.reference.system import ReferenceSystem

PAGE = 4096
RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS


@pytest.fixture
def machine() -> ReferenceSystem:
    return ReferenceBackend().boot()


@pytest.mark.parametrize(
    ("parameters", "top", "canonical"),
    [
        (Parameters(), 0x7FFFFFFFF000, 1 << 47),
        (Parameters(page=16384, user_bits=39), 0x7FFFFFC000, 1 << 39),
        (Parameters(bits=32, user_bits=31), 0x7FFFF000, 1 << 32),
        (Parameters(end=0x12345000), 0x12345000, 1 << 47),
    ],
)
def test_where_user_space_ends(parameters: Parameters, top: int, canonical: int) -> None:
    assert (parameters.task_size, parameters.canonical) == (top, canonical)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (".", "directory"),
        ("/dev", "directory"),
        ("//dev/.//zero", "character"),
        ("./d/./inner/f", "regular"),
        ("d//inner", "directory"),
        ("/own/d/f", "regular"),
    ],
)
def test_where_a_path_leads(machine: ReferenceSystem, path: str, kind: str) -> None:
    process = machine.spawn()
    for directory in ("d", "d/inner", "/own/d"):
        process.mkdir(directory)
    for file in ("d/inner/f", "/own/d/f"):
        process.open(file, O_RDWR | O_CREAT)
    assert process.fstat(process.open(path, O_RDONLY)).kind == kind


def test_processes_are_numbered(machine: ReferenceSystem) -> None:
    first = machine.spawn()
    child = first.fork()
    child.kill()
    assert [process.number for process in (first, child, machine.spawn())] == [1, 2, 3]


def test_a_lower_limit_of_mappings_stays() -> None:
    machine = ReferenceBackend(mappings=100).boot()
    assert machine.max_map_count == machine.mapping_limit() == machine.max_map_count == 100
