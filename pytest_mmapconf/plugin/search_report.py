"""On the controller: the progress of a long search, its findings merged from all workers, and its directory."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator
from typing import Any, Final

import pytest

from ..report.causes import number
from ..version import PACKAGE
from . import search_folder
from .stash import ATTRIBUTE, SETTINGS

SEARCH_REPORT: Final = f"{PACKAGE}.search_report"
"""The name of this plugin."""

EVERY: Final = 10.0
"""Seconds from one line of progress to the next."""


class SearchReport:
    """Collects what the parts of a search report; prints the progress and the findings."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        settings = config.stash[SETTINGS]
        self.plan, self.seed = settings.plan, settings.beginning.seed
        self.folder = search_folder.path(config, self.plan)
        self.state: dict[str, Any] = search_folder.read(self.folder) if self.folder else {}
        self.clauses = set(self.state.get("clauses", ()))
        self.earlier = len(self.clauses)
        self.findings: dict[str, dict[str, Any]] = {}
        self.files: dict[str, list[str]] = {}
        self.counts: Counter[str] = Counter()
        self.names: dict[str, str] = {}
        self.totals: Counter[str] = Counter()
        self.done = 0
        self.of = 0
        self.new_clauses = 0
        """The clauses that were reached first since the last line of progress."""
        self.began = self.printed = time.monotonic()

    # ---- the run

    def pytest_sessionstart(self) -> None:
        self.began = self.printed = time.monotonic()

    def pytest_report_header(self) -> str:
        if self.plan.depth:
            return f"mmap search: every call in each state that up to {number(self.plan.depth, 'call')} reach"
        again = f", from part {part + 1} on" if (part := self.config.stash[SETTINGS].beginning.part) else ""
        return f"mmap search: random programs of the seed {self.seed}{again}"

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = getattr(report, ATTRIBUTE, None) or {}
        self.files.update(data.get("findings", {}))
        found = data.get("search")
        if found is not None:
            self.add(found)
            self.keep(found)
            self.show_progress()

    def add(self, found: dict[str, Any]) -> None:
        """Add what a part has found and done."""
        self.done += 1
        self.of = found["of"]
        for name in ("steps", "programs", "states", "calls"):
            self.totals[name] += found.get(name, 0)
        before = len(self.clauses)
        self.clauses.update(found["clauses"])
        self.new_clauses += len(self.clauses) - before
        for new in found["new"]:
            self.findings.setdefault(new["id"], new)
        for id, name, count in found["counts"]:
            self.counts[id] += count
            self.names[id] = name

    def add_interrupted(self, found: dict[str, Any]) -> None:
        """Add a part that was interrupted; a later run begins with it."""
        self.add(found)
        self.keep({**found, "part": found["part"] - 1})

    def keep(self, found: dict[str, Any]) -> None:
        """Write the directory anew."""
        if self.folder is None:
            return
        for new in found["new"]:
            search_folder.keep_finding(self.folder, new)
        state = self.state
        if not self.plan.depth:
            state["parts"] = max(state.get("parts", 0), found["part"] + 1)
            state["seed"] = self.seed
        for name in ("steps", "programs"):
            state[name] = state.get(name, 0) + found.get(name, 0)
        counts = Counter(state.get("counts", {}))
        counts.update({name: count for _id, name, count in found["counts"]})
        state["counts"] = dict(counts)
        state["clauses"] = sorted(self.clauses)
        search_folder.replace(self.folder / search_folder.STATE, state)

    # ---- what is printed

    def show_progress(self) -> None:
        """Print a line if the last one was some time ago."""
        now = time.monotonic()
        if now - self.printed >= EVERY:
            self.printed = now
            write_line(self.config, self.progress(now))
            self.new_clauses = 0

    def progress(self, now: float) -> str:
        """Return the progress as a line."""
        seconds = max(now - self.began, 0.001)
        share = self.done / max(self.of, 1)
        left = seconds / share - seconds if share else 0.0
        what = "calls" if self.plan.depth else "steps"
        return (
            f"search: {100 * share:.0f} % ({self.done} of {self.of} parts), {self.totals[what]} {what},"
            f" {self.totals[what] / seconds:.0f}/s, {duration(left)} left; {number(len(self.findings), 'finding')},"
            f" {len(self.clauses)} clauses reached, {self.new_clauses} new"
        )

    @pytest.hookimpl(wrapper=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Generator[None]:
        yield
        if not self.done:
            return
        write = terminalreporter.write_line
        terminalreporter.write_sep("=", "mmap search")
        seconds = time.monotonic() - self.began
        totals = self.totals
        if self.plan.depth:
            reached = number(self.plan.depth, "call")
            write(
                f"{totals['states']} states that up to {reached} reach, {totals['calls']} calls in"
                f" {self.done} of {self.of} parts, {duration(seconds)}"
            )
        else:
            write(
                f"{totals['steps']} steps in {totals['programs']} programs of the seed {self.seed},"
                f" {self.done} of {self.of} parts, {duration(seconds)}, {totals['steps'] / seconds:.0f} steps/s"
            )
        new = len(self.clauses) - self.earlier
        write(f"{len(self.clauses)} clauses reached" + (f", {new} of them not by earlier runs" if self.earlier else ""))
        for id, finding in sorted(self.findings.items()):
            count = self.counts[id]
            write(f"{number(count, 'program')}: {finding['difference']}", red=True)
            for at, step in enumerate(finding["steps"], 1):
                write(f"    {at:2}  {step}")
            for file in self.files.get(id, ()):
                write(f"    {file}")
        for id, name in sorted(self.names.items()):
            if id not in self.findings:
                write(f"on record, in {number(self.counts[id], 'program')}: {name}")
        if not self.findings:
            write("no new difference", green=True)


def write_line(config: pytest.Config, line: str) -> None:
    """Write a line to the terminal between two tests, on a line of its own."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:
        terminal.ensure_newline()
        if terminal._width_of_current_line:  # dots of workers, of which ensure_newline knows nothing
            terminal.line("")
        terminal.write_line(line)


def duration(seconds: float) -> str:
    """Return a time: "40 s", "12 min", "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
