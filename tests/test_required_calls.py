"""plugin.required_calls: the calls that a case needs, and the number of clauses that some calls support."""

from __future__ import annotations

from collections import Counter

import pytest

from pytest_mmapconf.catalogue.clauses import included, load
from pytest_mmapconf.contract import Call, Process, System
from pytest_mmapconf.plugin import required_calls, used_calls
from pytest_mmapconf.smoke.contract_calls import CALLS
from pytest_mmapconf.testing import File, clause

SMALL = {"mmap", "munmap", "sysconf", "load", "store"}


def case_of_memory(process: Process, page: int) -> None:
    base = process.mmap(0, page, 3, 0x22, -1, 0)
    [process.load(at, 1) for at in range(base, base + page)]


def case_of_a_file(process: Process, file: File) -> None:
    helper(process, file())


def helper(process: Process, fd: int) -> None:
    another(process, fd)


def another(process: Process, fd: int) -> None:
    process.fsync(fd)
    {1}.add(2)
    case_of_a_file  # noqa: B018 - names go round in a circle


def case_of_calls_together(system: System) -> None:
    system.run_concurrently([Call(system.spawn(), "add", (1, 1)), Call(system.spawn(), "store", (1, b""))])


@pytest.mark.parametrize(
    ("case", "calls"),
    [
        (case_of_memory, {"sysconf", "mmap", "load"}),
        (case_of_a_file, {"open", "pwrite", "close", "fsync"}),
        (case_of_calls_together, {"add", "store"}),
    ],
)
def test_calls_that_a_case_names(case: object, calls: set[str]) -> None:
    assert used_calls.calls_of(case) - {"mmap", "load"} == calls - {"mmap", "load"}
    assert calls <= used_calls.calls_of(case)


def test_parameters_with_own_clauses_are_separate_cases() -> None:
    @clause("map.size")
    @pytest.mark.parametrize("a", [1, pytest.param(2, marks=clause("map.two")), pytest.param(3, id="three")])
    def case(process: Process, a: int) -> None:
        process.munmap(0, a)

    assert list(required_calls._variants(case)) == [
        (frozenset({"munmap"}), ("map.size",)),
        (frozenset({"munmap"}), ("map.size", "map.two")),
    ]


def test_all_calls_support_every_clause_with_a_case() -> None:
    asked = {id for _, ids in required_calls.cases() for id in ids}

    for level in ("documented", "posix", "linux"):
        possible, total, missing = required_calls.possible(level, CALLS)
        ids = {id for id, clause in load().items() if clause.level in included(level)}
        assert total == len(ids)
        assert possible <= len(ids & asked)
        assert missing == Counter()
    assert possible == total


def test_few_calls_support_some_clauses() -> None:
    possible, total, missing = required_calls.possible("documented", SMALL)

    assert 0 < possible < total
    assert missing["open"] > 20
    assert missing["mremap"] == sum(id.startswith("mremap.") for id, c in load().items() if c.level == "documented")
    assert not missing.keys() & SMALL
    more = required_calls.possible("documented", SMALL | {"mremap"})
    assert more[0] > possible
    assert more[2]["mremap"] == 0


def test_no_calls_support_no_clause() -> None:
    assert required_calls.possible("linux", ())[0] == 0
