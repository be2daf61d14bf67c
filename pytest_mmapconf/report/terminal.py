"""The header and the summary of a run on the terminal."""

from __future__ import annotations

import shlex
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from ..catalogue.verdicts import (
    EXPECTED,
    FAIL,
    FLAKY,
    PASS,
    UNRESOLVED,
    UNSUPPORTED,
    VERDICTS,
    CaseResult,
    ClauseResult,
)
from ..contract import Facts
from ..version import suite_version
from .causes import Group, number, rest_of
from .result import Run
from .view import by_function

MANY: Final = 24
"""Length from which on a list is shortened, unless the user asks for more with -v."""

SHOWN: Final = 3
"""Number of causes with a traceback, unless the user asks for more with -vv."""

THE_SYSTEM: Final = "the system itself"
"""The name of the front of an agent that no emulator runs."""


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


def header(facts: Facts, level: str, seed: str, scope: str = "") -> str:
    """Return the line with the versions of the suite and of the backend, the level, and the seed of random input."""
    within = f", scope {scope}" if scope else ""
    within += ", used processes" if facts.details.get("processes") == "used" else ""
    return f"mmapconf {suite_version()}: {describe_backend(facts)}, level {level}{within}, seed {seed}"


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
    """Return lines about the observed properties of the system: how many hold, and which do not; none if all hold."""
    absent = [name for name, text in sorted(observed.items()) if text == "does not hold"]
    holding = sum(text == "holds" for text in observed.values())
    unknown = len(observed) - holding - len(absent)
    parts = [f"{holding} hold", *([f"{unknown} not known"] if unknown else [])]
    text = f"observed properties: {', '.join(parts)}" + "".join(f"; {name} does not hold" for name in absent)
    return textwrap.wrap(text, max(width, 40), subsequent_indent="  ") if absent or unknown else []


HEADINGS: Final = {
    FAIL: ("fail", "red"),
    UNRESOLVED: ("unresolved", "red"),
    FLAKY: ("flaky, on record as that", "yellow"),
    UNSUPPORTED: ("unsupported", "yellow"),
    EXPECTED: ("expected, a deviation on record", "yellow"),
    PASS: ("pass, but some causes could not be asked", "green"),
}


def failures(groups: Sequence[Group], width: int, *, verbose: bool = False) -> Iterator[tuple[str, dict[str, bool]]]:
    """Yield lines, each with its markup: the failures by cause; with `verbose` all of them, and the cases of each."""
    shown = groups if verbose or len(groups) <= MANY // 2 else groups[: MANY // 2]
    for group in shown:
        yield f"{group.text}: {group.size}", {"red": True, "bold": True}
        example = group.example.cause.get("step", "")
        lines = [*filter(None, [group.detail]), *([f"for example {example}"] if example else [])]
        if verbose or not group.call:
            functions = by_function(group.cases)
            lines += [name + _bracketed(parameters, verbose) for name, parameters in functions]
        for line in lines if verbose else lines[:3]:
            yield from ((part, {}) for part in _wrapped(line, width))
    if len(shown) < len(groups):
        yield f"{rest_of(groups[len(shown) :])}: -v shows them", {"red": True}


def _bracketed(parameters: Sequence[str], verbose: bool) -> str:
    """Return the parameters of a function's cases as in an id; not all of them if they are many."""
    if not parameters:
        return ""
    some = parameters if verbose or len(parameters) <= MANY // 2 else [*parameters[: MANY // 4], "…"]
    return f"[{', '.join(some)}]"


def _wrapped(line: str, width: int, indent: str = "    ") -> list[str]:
    """Return indented lines of at most `width` characters, unless a word is longer."""
    return textwrap.wrap(
        line,
        max(width, 40),
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def alike(group: Group) -> str:
    """Return the text that replaces the tracebacks of all cases of a group but one."""
    functions = [
        f"{name}: {number(len(parameters), 'case')}" if len(parameters) > 1 else name
        for name, parameters in by_function(case for case in group.cases if case is not group.example)
    ]
    lines = functions if len(functions) <= MANY // 2 else [*functions[: MANY // 2], "…"]
    return "\n".join([f"{group.text}, like this case (-vv shows the traceback of each)", *lines])


def reproducers(cases: Iterable[CaseResult], directory: str, *, verbose: bool = False) -> list[str]:
    """Return lines about the files that reproduce failures: each file, or if they are many, how many there are."""
    with_files = [case for case in cases if case.reproducer]
    lines = [line for case in with_files for line in case.reproducer]
    if verbose or len(lines) <= MANY:
        return [f"  {line}" for line in lines]
    written = [line for line in lines if " is not written: " not in line]
    missing = Counter(line.partition(" is not written: ")[2] for line in lines if " is not written: " in line)
    reasons = "; ".join(f"{why}: {count}" for why, count in missing.most_common(3))
    return [
        f"  {directory}: {number(len(written), 'file')} of {number(len(with_files), 'case')}; -v lists them",
        *([f"  without a C program: {number(missing.total(), 'case')}: {reasons}"] if missing else []),
    ]


def share_of(entry: ClauseResult) -> str:
    """Return how many of a clause's cases have its verdict, as a phrase; empty if it has one case only."""
    same, all_cases = sum(case.verdict == entry.verdict for case in entry.cases), len(entry.cases)
    if not same or all_cases == 1:
        return ""
    return f" (all {same} cases)" if same == all_cases else f" ({same} of {all_cases} cases)"


def by_reason(entries: Sequence[ClauseResult], width: int) -> Iterator[str]:
    """Yield lines about clauses with few reasons: each reason once, with the clauses that have it."""
    reasons: dict[str, list[str]] = {}
    for entry in entries:
        reasons.setdefault(entry.reason, []).append(entry.clause.id)
    for reason, ids in reasons.items():
        yield from _wrapped(f"{reason}:" if reason else "no reason:", width, "  ")
        yield from _wrapped(", ".join(ids), width, "      ")


def next_commands(run: Run, backend: str, reproducers: str, page: bool) -> list[str]:
    """Return what to do next about the failures of a run: a line for each command, with its purpose.

    `backend` is the value of --mmap-backend, which may be longer than the name of the system.
    """
    failing = sum(len(group.cases) for group in run.groups)
    lines = []
    if run.harness_is_broken or (failing > MANY and failing > len(run.cases) / 20):
        smoke = f"pytest --mmap-backend={shlex.quote(backend)} --mmap-smoke"
        lines.append(f"{smoke}    is the adapter right? says what to repair first")
    if failing > SHOWN:
        lines.append("--tb=short, -vv                 shorter tracebacks; the traceback of every case")
    if reproducers:
        lines.append(f"--mmap-replay={reproducers}/CASE.json    make the calls of one failure again")
    elif failing:
        lines.append("--mmap-reproducers=shown        write a C program for each failure, for --mmap-replay, too")
    if failing and not page:
        lines.append("--mmap-report=mmap.html         every failure on a page, with calls and address spaces")
    return lines


def details(
    judged: Iterable[ClauseResult], width: int, *, verbose: bool = True
) -> Iterator[tuple[str, dict[str, bool]]]:
    """Yield lines, each with its markup: clauses that do not pass, or have unsupported causes, gravest first.

    Without `verbose`, a clause of a long list has one line.
    """
    shown = [entry for entry in judged if entry.verdict != PASS or entry.reason]
    indent = 4 + max((len(entry.clause.id) for entry in shown), default=0)
    for verdict in VERDICTS:
        entries = [entry for entry in shown if entry.verdict == verdict]
        if entries:
            text, colour = HEADINGS[verdict]
            yield text, {colour: True, "bold": True}
        if verdict in (UNSUPPORTED, PASS) and not verbose:
            yield from ((line, {}) for line in by_reason(entries, width))
            continue
        left_out = 0 if verbose else max(len(entries) - MANY, 0)
        for entry in entries[: len(entries) - left_out]:
            share = share_of(entry) if verdict in (FAIL, UNRESOLVED) else ""
            first = f"  {entry.clause.id}".ljust(indent)
            room = max(width - indent, 36)
            if verbose or len(entries) <= MANY:
                lines = textwrap.wrap(entry.reason + share, room, break_long_words=False, break_on_hyphens=False)
            else:
                lines = [textwrap.shorten(entry.reason, room - len(share), placeholder=" …") + share]
            for place, line in enumerate(lines or [""]):
                yield (" " * indent if place else first) + line, {}
        if left_out:
            yield f"  and {number(left_out, 'more clause')}: -v lists them", {}
