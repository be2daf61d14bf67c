"""The options of a search, and its parts."""

from __future__ import annotations

import pytest

from pytest_mmapconf.plugin.search_options import seconds
from pytest_mmapconf.plugin.search_plan import MOST_PARTS, Plan


def test_the_parts_have_all_the_steps_whatever_the_number_of_workers() -> None:
    plan = Plan(steps=12_345)

    assert [part.steps for part in plan.parts(1)] == [1000] * 12 + [345]
    assert plan.parts(1) == plan.parts(8)
    assert [part.number for part in plan.parts(1, first=7)] == list(range(7, 20))


def test_a_very_long_search_has_longer_parts() -> None:
    parts = Plan(steps=10**9).parts(2)

    assert len(parts) <= MOST_PARTS
    assert sum(part.steps for part in parts) == 10**9


@pytest.mark.parametrize(("duration", "workers"), [(1, 1), (20, 2), (600, 4), (28_800, 2)])
def test_the_parts_of_a_time_take_that_time_together(duration: int, workers: int) -> None:
    parts = Plan(seconds=duration).parts(workers)

    assert sum(part.seconds for part in parts) == pytest.approx(duration * workers)
    assert all(0.5 <= part.seconds <= 61 for part in parts)
    assert len(parts) % workers == 0


@pytest.mark.parametrize(
    ("text", "value"),
    [("90", 90), ("45s", 45), ("30m", 1800), ("8h", 28_800), ("1h30m", 5400), ("0.5h", 1800), ("1d", 86_400)],
)
def test_a_time(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "0", "0s", "-1", "h", "8 h", "8x", "1e9", "inf", "nan", "30m!"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        seconds(text)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--mmap-steps=0"], "--mmap-steps=0: must be a whole number from 1"),
        (["--mmap-steps=many"], "--mmap-steps=many: must be a whole number"),
        (["--mmap-steps=_"], "--mmap-steps=_: must be a whole number"),
        (["--mmap-for=soon"], "--mmap-for=soon: must be a time above 0 and up to 366d, such as 90s, 30m, 8h or 1h30m"),
        (["--mmap-for=9999h"], "--mmap-for=9999h: must be a time above 0 and up to 366d"),
        (["--mmap-max-findings=3"], "--mmap-max-findings: needs a search"),
        (["--mmap-exhaustive=7"], "--mmap-exhaustive=7: must be a whole number from 1 to 6, such as 3"),
        (["--mmap-steps=5", "--mmap-max-findings=0"], "--mmap-max-findings=0: must be a whole number from 1"),
        (["--mmap-steps=5", "--mmap-for=5s"], "--mmap-steps and --mmap-for: give only one of them"),
        (["--mmap-findings=here"], "--mmap-findings: needs a search"),
        (["--mmap-steps=5", "--mmap-findings=file"], "--mmap-findings=file: cannot be used"),
    ],
)
def test_an_invalid_option_is_an_error(pytester: pytest.Pytester, options: list[str], error: str) -> None:
    (pytester.path / "file").touch()

    result = pytester.runpytest_subprocess("--mmap-backend=reference", *options)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{error}*".replace("[", "[[]")])
