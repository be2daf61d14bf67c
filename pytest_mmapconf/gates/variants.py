"""The other direction of the mutation gate: a conforming variant is a mutant that no case may kill.

Each variant (`reference.variants`) runs the deterministic cases of each level that it conforms to.  A case that fails
on one, or that is unresolved, is wrong: it requires a habit of Linux that its level does not promise.
"""

from __future__ import annotations

import io
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import pytest

from ..catalogue.verdicts import FAIL, PASS, UNRESOLVED
from ..plugin.stash import ATTRIBUTE
from ..reference.variants import VARIANTS
from .runner import parallel_map


@dataclass
class VariantResult:
    """The result of running the cases of a level on a variant."""

    name: str
    level: str
    verdicts: Counter[str] = field(default_factory=Counter)
    """The number of cases by verdict."""
    wrong: list[str] = field(default_factory=list)
    """The cases that failed or were not resolved, with the reason."""

    @property
    def is_accepted(self) -> bool:
        """True if no case failed or was unresolved, and one passed."""
        return not self.wrong and self.verdicts[PASS] > 0


class Collector:
    """A plugin of pytest that stores the verdicts of cases in a result.

    Of the rows of the tour it keeps one in `share`, beginning with another one for each variant.
    """

    def __init__(self, result: VariantResult, share: int) -> None:
        self.result = result
        self.share = share

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        rows = [item for item in items if item.get_closest_marker("mmap_tour") is not None]
        kept = set(rows[list(VARIANTS).index(self.result.name) % self.share :: self.share])
        items[:] = [item for item in items if item in kept or item.get_closest_marker("mmap_tour") is None]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = getattr(report, ATTRIBUTE, None)
        if data is None:
            return
        verdict = data["verdict"]
        if verdict in (FAIL, UNRESOLVED):
            self.result.wrong.append(f"{data['case']}: {verdict}: {data['reason']}")
        if report.when == "call" or verdict != PASS:
            self.result.verdicts[verdict] += 1


def select(globs: Sequence[str]) -> list[str]:
    """Return the names of the variants that match a pattern; of all, without patterns.  Raises UsageError."""
    for glob in globs:
        if not any(fnmatchcase(name, glob) for name in VARIANTS):
            raise pytest.UsageError(f"{glob}: no variant's name matches; there are {', '.join(VARIANTS)}")
    return [name for name in VARIANTS if not globs or any(fnmatchcase(name, glob) for glob in globs)]


class Asked(NamedTuple):
    """A run of the suite on a variant."""

    name: str
    level: str
    share: int = 1
    """Of the rows of the tour, one in so many is run."""
    used: bool = False
    """True for the cases, without the tour, in used processes (--mmap-process=used)."""


def run(names: Sequence[str], workers: int, share: int = 1, used: bool = False) -> Iterator[VariantResult]:
    """Run variants at each of their levels, `share` and `used` as `Asked` has them; yield the results in any order."""
    asked = [Asked(name, level, share, used) for name in names for level in VARIANTS[name].levels]
    yield from parallel_map(run_one, asked, workers)


def run_one(asked: Asked) -> VariantResult:
    """Run the installed cases of a level, except those that draw at random, on a variant."""
    name, level, share, used = asked
    result = VariantResult(name, level)
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        ini = Path(folder, "pytest.ini")
        ini.write_text("[pytest]\n", encoding="utf-8")
        arguments = ["-c", str(ini), "--rootdir", folder, "--noconftest", "-p", "no:cacheprovider", "-n0", "-q", "-s"]
        if used:
            arguments += ["--mmap-process=used"]
        marks = "not mmap_random and not mmap_tour" if used else "not mmap_random"
        arguments += ["--tb=no", "-m", marks, f"--mmap-backend=reference:{name}", f"--mmap-level={level}"]
        pytest.main(arguments, plugins=[Collector(result, share)])
    return result


def gaps(results: Sequence[VariantResult]) -> list[str]:
    """Return a line for each case that a variant should have passed."""
    lines = [f"variant {result.name} at {result.level}: {case}" for result in results for case in result.wrong]
    return lines + [f"variant {r.name} at {r.level}: no case passes" for r in results if not r.verdicts[PASS]]


def summary(results: Sequence[VariantResult]) -> str:
    """Return the number of variants that the cases accept, as a line."""
    accepted = sum(result.is_accepted for result in results)
    names = {result.name for result in results}
    return f"conforming variants accepted: {accepted} of {len(results)} runs of {len(names)} variants"


def main(globs: Sequence[str], workers: int, used: bool = False) -> int:
    """Run `python -m pytest_mmapconf variants`; return the exit status."""
    found = run(select(globs), workers, used=used)
    results = sorted(found, key=lambda result: (list(VARIANTS).index(result.name), result.level))
    for result in results:
        counts = ", ".join(f"{number} {verdict}" for verdict, number in sorted(result.verdicts.items()))
        print(f"reference:{result.name} at level {result.level}: {counts}")
    print("\n".join([*gaps(results), summary(results)]))
    return 0 if all(result.is_accepted for result in results) else 1
