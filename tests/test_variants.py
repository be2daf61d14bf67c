"""The gate's other direction: no case fails on a conforming variant."""

from __future__ import annotations

from collections import Counter

import pytest

from pytest_mmapconf.gates import variants
from pytest_mmapconf.gates.variants import Asked, VariantResult
from pytest_mmapconf.reference.variants import VARIANTS

ACCEPTED = VariantResult("freebsd", "posix", Counter({"pass": 3, "unsupported": 1}))
WRONG = VariantResult("netbsd", "posix", Counter({"pass": 3, "fail": 1}), ["munmap.x: fail: expected EINVAL"])
EMPTY = VariantResult("macos", "posix", Counter({"unsupported": 4}))


def test_cases_run_on_a_variant_in_used_processes() -> None:
    """Its empty files can be mapped, and the page after the end of a file cannot."""
    result = variants.run_one(Asked("posix-strict", "documented", used=True))

    assert result.is_accepted
    assert result.verdicts["pass"] > 400


def test_cases_run_on_a_variant() -> None:
    result = variants.run_one(Asked("anonymous-only", "documented", 20))

    assert result.is_accepted
    assert result.verdicts["pass"] > 100
    assert result.verdicts["unsupported"] > 100


def test_case_that_fails_or_is_unresolved_is_a_gap() -> None:
    assert variants.gaps([ACCEPTED, WRONG]) == ["variant netbsd at posix: munmap.x: fail: expected EINVAL"]


def test_variant_on_which_no_case_passes_is_a_gap() -> None:
    assert variants.gaps([EMPTY]) == ["variant macos at posix: no case passes"]


def test_summary() -> None:
    assert variants.summary([ACCEPTED, WRONG, EMPTY]) == "conforming variants accepted: 1 of 3 runs of 3 variants"


def test_selection_by_name() -> None:
    assert variants.select(()) == list(VARIANTS)
    assert variants.select(["*-only"]) == ["anonymous-only", "files-only", "chapter-only"]
    with pytest.raises(pytest.UsageError, match="no variant's name matches"):
        variants.select(["plan9"])


def test_command_prints_each_run_and_fails_for_a_wrong_case(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(variants, "run", lambda names, workers, used: iter([ACCEPTED, WRONG]))

    assert variants.main((), 1) == 1
    assert capsys.readouterr().out.splitlines() == [
        "reference:freebsd at level posix: 3 pass, 1 unsupported",
        "reference:netbsd at level posix: 1 fail, 3 pass",
        "variant netbsd at posix: munmap.x: fail: expected EINVAL",
        "conforming variants accepted: 1 of 2 runs of 2 variants",
    ]
    monkeypatch.setattr(variants, "run", lambda names, workers, used: iter([ACCEPTED]))
    assert variants.main((), 1) == 0
