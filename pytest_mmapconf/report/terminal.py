"""The header and the summary of a run on the terminal."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from ..catalogue.verdicts import EXPECTED, FAIL, FLAKY, PASS, UNRESOLVED, UNSUPPORTED, VERDICTS, ClauseResult
from ..contract import Facts
from ..version import suite_version

THE_SYSTEM: Final = "the system itself"
"""What runs an agent that no emulator runs."""


def describe_backend(facts: Facts) -> str:
    """Return the name, version and main facts of a backend as one phrase."""
    parts = [f"backend {facts.name} {facts.version}".strip()]
    if facts.details.get("kernel", "") not in facts.version:
        parts.append(f"kernel {facts.details['kernel']}")
    if "page" in facts.details:
        parts.append(f"page {facts.details['page']}")
    if facts.details.get("run by", THE_SYSTEM) != THE_SYSTEM:
        parts.append(f"run by {facts.details['run by']}")
    return ", ".join(parts)


def header(facts: Facts, level: str, seed: str) -> str:
    """Return the line with the versions of the suite and of the backend, the level, and the seed of random input."""
    return f"mmapconf {suite_version()}: {describe_backend(facts)}, level {level}, seed {seed}"


def table(judged: Iterable[ClauseResult]) -> list[str]:
    """Return a table of the number of clauses by group (lines) and verdict (columns)."""
    groups: dict[str, Counter[str]] = {}
    for entry in judged:
        groups.setdefault(entry.clause.group, Counter())[entry.verdict] += 1
    counts = sum(groups.values(), Counter())
    columns = [verdict for verdict in reversed(VERDICTS) if counts[verdict] or verdict == PASS]
    width = max(map(len, groups), default=0)
    lines = [" " * width + "".join(f"{verdict:>{len(verdict) + 3}}" for verdict in columns)] if groups else []
    for group, of in groups.items():
        lines.append(f"{group:{width}}" + "".join(f"{of[verdict] or '·':>{len(verdict) + 3}}" for verdict in columns))
    return lines


def properties(observed: Mapping[str, str], width: int) -> list[str]:
    """Return lines about the observed properties of the system that do not hold."""
    absent = [f"{name} {text}" for name, text in sorted(observed.items()) if text != "holds"]
    text = f"observed properties: {len(observed) - len(absent)} hold" + "".join(f"; {entry}" for entry in absent)
    return textwrap.wrap(text, max(width, 40), subsequent_indent="  ") if absent else []


HEADINGS: Final = {
    FAIL: ("fail", "red"),
    UNRESOLVED: ("unresolved", "red"),
    FLAKY: ("flaky, on record as that", "yellow"),
    UNSUPPORTED: ("unsupported", "yellow"),
    EXPECTED: ("expected, a deviation on record", "yellow"),
    PASS: ("pass, but some causes could not be asked", "green"),
}


def details(judged: Iterable[ClauseResult], width: int) -> Iterator[tuple[str, dict[str, bool]]]:
    """Yield lines, each with its markup: clauses that do not pass, or have unsupported causes, gravest first."""
    shown = [entry for entry in judged if entry.verdict != PASS or entry.reason]
    indent = 4 + max((len(entry.clause.id) for entry in shown), default=0)
    for verdict in VERDICTS:
        entries = [entry for entry in shown if entry.verdict == verdict]
        if entries:
            text, colour = HEADINGS[verdict]
            yield text, {colour: True, "bold": True}
        for entry in entries:
            same = sum(case.verdict == verdict for case in entry.cases)
            share = f" ({same} of {len(entry.cases)} cases)" if verdict in (FAIL, UNRESOLVED) and same else ""
            first = f"  {entry.clause.id}".ljust(indent)
            lines = textwrap.wrap(
                entry.reason + share, max(width - indent, 36), break_long_words=False, break_on_hyphens=False
            )
            for number, line in enumerate(lines or [""]):
                yield (" " * indent if number else first) + line, {}
