"""The fixture `random_programs`: run random programs on the backend under test, compared with the reference."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from math import inf
from typing import Any

import pytest
from hypothesis import settings

from ..contract import Unsupported
from ..differential.divergence import Divergence, Key
from ..differential.reproducers import Judge
from ..expectations.file import Entry, holding
from ..fuzzing.exhaustive import ExhaustiveSearch
from ..fuzzing.findings import Finding, LongSearch
from ..fuzzing.search import Search, Tally
from ..trace.program import to_json
from . import search_folder, seeds
from .search_plan import Part
from .search_report import SEARCH_REPORT
from .settings import Settings
from .stash import FOUND, LONG_SEARCH, PART, PROGRAM, SETTINGS


class RandomPrograms:
    """The value of the fixture `random_programs` in one case, which may be a part of a long search."""

    def __init__(self, item: pytest.Item, part: Part | None) -> None:
        self.item = item
        self.settings = item.config.stash[SETTINGS]
        self.part = part
        self.findings: list[Finding] = []
        """The findings of this case; without a long search, at most one."""
        self.search: Search
        if part is None:
            self.search = Search(self.settings.bare, self.settings.level, self.settings.clauses)
            self.seed = seeds.seed_of(item.config)
        else:
            item.stash[PART] = part
            self.seed = self.settings.beginning.seed

    def run(self) -> dict[str, object]:
        """Run programs, and return counts for the report.

        Without a long search the programs are a short series, as many as hypothesis's settings have examples, which
        ends with the first difference.
        """
        if self.part is not None:
            self.run_part(self.part)
        else:
            self.search.run_short(settings().max_examples, self.seed)
            if self.search.counterexample is not None:
                counterexample = self.search.counterexample
                self.findings = [Finding(counterexample, "", counterexample.divergence.key)]
        tally = self.search.tally
        uncharged = {", ".join(clauses): count for clauses, count in sorted(tally.uncharged.items())}
        followed = {str(key): count for key, count in sorted(tally.followed.items())}
        return {
            "seed": self.seed,
            **({"differences that break no judged clause": uncharged} if uncharged else {}),
            **({"known differences": followed} if followed else {}),
            "random programs": tally.programs,
            "steps": tally.steps,
            "refused by": dict(sorted(tally.refusals.items())),
            "seen kept": dict(sorted(tally.effects.items())),
        }

    def run_part(self, part: Part) -> None:
        """Run a part of a long search, and store what it has found and done."""
        long = long_search(self.item.config)
        self.search = long.search
        if long.has_ended:
            raise Unsupported(f"not run: the search has ended after {long.most} findings (--mmap-max-findings)")
        folder = search_folder.path(self.item.config, self.settings.plan)

        def keep(finding: Finding) -> None:
            if folder is not None and folder.is_dir():  # on another machine the controller keeps it
                search_folder.keep_finding(folder, as_data(finding, self.seed))

        long.keep = keep
        end = time.monotonic() + part.seconds if part.seconds else inf
        try:
            if part.depth:
                self.findings = ExhaustiveSearch(long, part.depth).run_part(part.number, part.of, part.id)
            else:
                self.findings = long.run_part(self.seed, part.number, part.id, part.steps or inf, end)
        except KeyboardInterrupt:
            report = self.item.config.pluginmanager.get_plugin(SEARCH_REPORT)
            if report is not None:  # pytest makes no report of this part
                report.add_interrupted(summary(part, self.seed, long.search.tally, long.new))
            raise
        finally:
            self.item.stash[FOUND] = summary(part, self.seed, long.search.tally, long.new)
            self.repeated = [key for key in long.search.tally.followed if key in long.findings]

    def check(self) -> None:
        """Raise the first difference that was found, with its reduced program.

        Without a difference, raises Unresolved if a program could not be judged, and Unsupported if no mmap succeeded
        because there is none.
        """
        __tracebackhide__ = True
        search = self.search
        if self.findings:
            counterexample = self.findings[0].counterexample
            self.item.stash[PROGRAM] = counterexample.program
            divergence = counterexample.divergence
            divergence.add_note(counterexample.listing())
            for other in self.findings[1:]:
                divergence.add_note(f"and {other.counterexample.divergence}\n{other.counterexample.listing()}")
            if self.part is None or not self.part.depth:
                divergence.add_note(f"repeat with {seeds.OPTION}={self.seed}")
            raise divergence from None
        if self.part is not None and self.repeated:
            first = self.item.config.stash[LONG_SEARCH].findings[self.repeated[0]]
            divergence = copy.copy(first.counterexample.divergence)
            divergence.__notes__ = [f"found before, in {first.where}"]
            raise divergence from None
        if search.unresolved:
            raise search.unresolved[0]
        if "mmap" in search.tally.lacks and not search.tally.effects["mmap.result.success"]:
            raise Unsupported(search.tally.lacks["mmap"])


def long_search(config: pytest.Config) -> LongSearch:
    """Return the long search of this process, which all its parts use."""
    if LONG_SEARCH not in config.stash:
        settings = config.stash[SETTINGS]
        search = Search(settings.bare, settings.level, settings.clauses)
        config.stash[LONG_SEARCH] = LongSearch(search, on_record(settings), settings.plan.most)
    return config.stash[LONG_SEARCH]


def on_record(settings: Settings) -> Callable[[Divergence], bool]:
    """Return a predicate of the differences that are on record.

    A difference is on record if the program of an entry shows one with the same key, or if each clause that it breaks
    is on record.
    """
    entries = holding(settings.expectations, settings.facts)
    clauses = [entry for entry in entries if entry.kind == "clause" and entry.verdict in ("fail", "flaky")]
    keys = {key for entry in entries for key in keys_of(settings, entry)}

    def is_on_record(divergence: Divergence) -> bool:
        return divergence.key in keys or all(any(entry.matches(id) for entry in clauses) for id in divergence.clauses)

    return is_on_record


def keys_of(settings: Settings, entry: Entry) -> set[Key]:
    """Return the differences that the program of an entry shows: by its last call, and by an audit."""
    if entry.program is None:
        return set()
    judge = settings.judge or Judge(settings.bare, settings.level)
    shown = [judge.run(entry.program, audits).divergence for audits in ("none", "all")]
    return {divergence.key for divergence in shown if divergence is not None}


def as_data(finding: Finding, seed: str) -> dict[str, Any]:
    """Return a finding as plain data."""
    counterexample = finding.counterexample
    key = finding.key
    return {
        "id": search_folder.finding_id(key),
        "call": key.call,
        "kind": key.kind,
        "clauses": list(key.clauses),
        "difference": str(counterexample.divergence),
        "steps": [str(step) for step in counterexample.program],
        "program": to_json(counterexample.program),
        "found in": finding.where,
        "seed": seed,
    }


def summary(part: Part, seed: str, tally: Tally, new: list[Finding]) -> dict[str, Any]:
    """Return what a part of a search has done and found, as plain data."""
    counts = tally.followed.copy()
    counts.update(finding.key for finding in new)
    return {
        "part": part.number,
        "of": part.of,
        "steps": tally.steps,
        "programs": tally.programs,
        "clauses": sorted({*tally.refusals, *tally.effects}),
        "counts": [[search_folder.finding_id(key), str(key), count] for key, count in sorted(counts.items())],
        "new": [as_data(finding, seed) for finding in new],
        **tally.totals,
    }
