"""plugin.missing_calls: a call that always answers ENOSYS fails one clause, and leaves the others unsupported."""

from __future__ import annotations

import errno
import json

import pytest

from pytest_mmapconf.catalogue.call_experiments import CALLS
from pytest_mmapconf.catalogue.clauses import load
from pytest_mmapconf.contract import Process, Unresolved
from pytest_mmapconf.plugin.failure_cause import chain
from pytest_mmapconf.plugin.missing_calls import call_properties, missing_call
from pytest_mmapconf.plugin.observed_properties import Observation, ObservedProperties
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.testing import ExpectationFailed


def case_that_seals(process: Process) -> None:
    process.mseal(0, 0)
    process.mmap(0, 1, 0, 0, -1, 0)


def raised_from(error: BaseException, cause: BaseException | None) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.fixture
def without_mseal() -> ObservedProperties:
    properties = ObservedProperties(ReferenceBackend())
    properties.observations["call-mseal"] = Observation(False)
    properties.observations["call-mlock"] = Observation(True)
    return properties


NOT_IMPLEMENTED = OSError(errno.ENOSYS, "not implemented")
REASON = "needs call-mseal (mseal does not answer ENOSYS), which does not hold on this system; judged by mseal.result"


def test_calls_of_a_case() -> None:
    assert call_properties(case_that_seals) == ("call-mseal",)
    assert call_properties(None) == ()


@pytest.mark.parametrize("call", CALLS)
def test_each_call_has_a_clause(call: str) -> None:
    assert CALLS[call][0] in load()


@pytest.mark.parametrize(
    "error",
    [
        NOT_IMPLEMENTED,
        raised_from(ExpectationFailed("EPERM", "the call failed with ENOSYS"), NOT_IMPLEMENTED),
        raised_from(Unresolved("set-up failed: ENOSYS"), NOT_IMPLEMENTED),
    ],
    ids=["the-call", "an-expectation", "a-set-up"],
)
def test_a_case_that_meets_enosys_is_unsupported(error: BaseException, without_mseal: ObservedProperties) -> None:
    assert missing_call(error, ("call-mlock", "call-mseal"), ("munmap.errno.EPERM",), without_mseal) == REASON


def test_a_case_of_the_clause_and_another_is_unsupported(without_mseal: ObservedProperties) -> None:
    clauses = ("munmap.errno.EPERM", "mseal.result")
    assert missing_call(NOT_IMPLEMENTED, ("call-mseal",), clauses, without_mseal) == REASON


@pytest.mark.parametrize(
    ("error", "names", "clauses"),
    [
        (OSError(errno.EINVAL, "invalid"), ("call-mseal",), ("munmap.errno.EPERM",)),
        (NOT_IMPLEMENTED, ("call-mlock",), ("mlock.fork",)),
        (NOT_IMPLEMENTED, ("call-mseal",), ("mseal.result",)),
        (None, ("call-mseal",), ("munmap.errno.EPERM",)),
    ],
    ids=["another-error", "a-call-that-is-implemented", "the-clause-of-the-call", "no-error"],
)
def test_a_case_is_judged(
    error: BaseException | None, names: tuple[str, ...], clauses: tuple[str, ...], without_mseal: ObservedProperties
) -> None:
    assert missing_call(error, names, clauses, without_mseal) is None


def test_a_circle_of_causes_ends(without_mseal: ObservedProperties) -> None:
    error, other = RuntimeError("a"), RuntimeError("b")
    error.__cause__, other.__cause__ = other, error

    assert missing_call(error, ("call-mseal",), ("mseal.result",), without_mseal) is None
    assert [str(one) for one in chain(error)] == ["a", "b"]


def test_a_missing_call_fails_its_own_clause_only(pytester: pytest.Pytester) -> None:
    pytester.runpytest_subprocess(
        "--mmap-backend=mutant:mremap-is-a-stub",
        "--mmap-level=linux",
        "--mmap-clause=mremap.linux-only",
        "--mmap-clause=mremap.move.*",
        "--mmap-report=v.json",
        "-mnot mmap_random",
    )

    report = json.loads((pytester.path / "v.json").read_text())
    verdicts = {clause["id"]: clause["verdict"] for clause in report["clauses"]}
    assert {id for id, verdict in verdicts.items() if verdict == "fail"} == {"mremap.linux-only"}
    assert {verdict for id, verdict in verdicts.items() if id.startswith("mremap.move.")} == {"unsupported"}
    assert report["properties"]["call-mremap"] == "does not hold"
