"""`fails`, `faults` and `unlike`: another outcome than the expected one, success included, fails the case."""

from __future__ import annotations

import errno
from collections.abc import Sequence

import pytest

from pytest_mmapconf.contract import Fault, Unresolved, Unsupported
from pytest_mmapconf.testing import clause, fails, faults, unlike


def test_fails_accepts_a_listed_errno_and_keeps_it() -> None:
    with fails("EACCES", "EINVAL") as expected:
        raise OSError(errno.EINVAL, "no")

    assert expected.observed == "EINVAL"


def test_fails_rejects_success() -> None:
    with (
        pytest.raises(AssertionError, match=r"^expected EINVAL or EBADF, but the call succeeded$"),
        fails("EINVAL", "EBADF"),
    ):
        pass


def test_fails_rejects_another_errno() -> None:
    with pytest.raises(AssertionError, match=r"^expected EINVAL, but the call failed with ENOMEM$"), fails("EINVAL"):
        raise OSError(errno.ENOMEM, "no")


def test_fails_rejects_an_error_without_errno() -> None:
    with pytest.raises(AssertionError, match=r"^expected EINVAL, but the call failed with None$"), fails("EINVAL"):
        raise OSError("no number")


@pytest.mark.parametrize(
    "error", [Unsupported("no"), Unresolved("died"), Fault("SIGSEGV", "SEGV_MAPERR", 1), KeyError()]
)
def test_fails_passes_other_exceptions_on(error: Exception) -> None:
    with pytest.raises(type(error)), fails("EINVAL"):
        raise error


@pytest.mark.parametrize(
    "expected",
    [
        faults("SIGBUS"),
        faults("SIGBUS", at=4096),
        faults("SIGBUS", code="BUS_ADRERR"),
        faults("SIGBUS", at=4096, code="BUS_ADRERR"),
    ],
    ids=str,
)
def test_faults_accepts_the_expected_fault(expected: faults) -> None:
    with expected:
        raise Fault("SIGBUS", "BUS_ADRERR", 4096)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (faults("SIGSEGV"), "expected SIGSEGV, but the access got SIGBUS (BUS_ADRERR) at 0x1000"),
        (faults("SIGBUS", at=0), "expected SIGBUS at 0x0, but the access got SIGBUS (BUS_ADRERR) at 0x1000"),
        (faults("SIGBUS", code="X"), "expected SIGBUS (X), but the access got SIGBUS (BUS_ADRERR) at 0x1000"),
    ],
    ids=["signal", "address", "code"],
)
def test_faults_rejects_another_fault(expected: faults, text: str) -> None:
    with pytest.raises(AssertionError) as caught, expected:
        raise Fault("SIGBUS", "BUS_ADRERR", 4096)

    assert str(caught.value) == text


def test_faults_rejects_success() -> None:
    with (
        pytest.raises(AssertionError, match=r"^expected SIGBUS at 0x10, but the access succeeded$"),
        faults("SIGBUS", at=16),
    ):
        pass


@pytest.mark.parametrize("error", [Unsupported("no"), Unresolved("died"), OSError(errno.EFAULT, "no")])
def test_faults_passes_other_exceptions_on(error: Exception) -> None:
    with pytest.raises(type(error)), faults("SIGSEGV"):
        raise error


def test_clause_is_a_marker_of_pytest() -> None:
    assert clause("munmap.range", "munmap.result").mark == pytest.mark.clause("munmap.range", "munmap.result").mark


@pytest.mark.parametrize(
    ("outcomes", "allowed", "is_like"),
    [
        (["ok 0x1000", "ok 61"], [["ok", "ok 61"]], True),
        (["ok 0x1000", "ok 61"], [["ok", "ok 6"]], False),
        (["fault SIGSEGV SEGV_MAPERR"], [["ok"], ["fault SIGSEGV"]], True),
        (["error EINVAL"], [["ok"]], False),
        (["ok"], [], False),
    ],
)
def test_unlike(outcomes: Sequence[str], allowed: Sequence[Sequence[str]], is_like: bool) -> None:
    tally = {tuple(outcomes): 7}

    assert unlike(tally, allowed) == ({} if is_like else tally)
