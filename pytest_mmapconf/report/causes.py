"""The failures of a run by cause.

Cases in which the same call gave the same wrong answer are one group, and so are cases in which the implementation died
with the same last line of output, whatever the call.

A broken implementation may fail in hundreds of cases for one reason; the list of groups shows the few reasons.  The
cause of a case is determined where the case runs (`plugin.failure_cause`); a case without one is grouped by its reason.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ..catalogue.verdicts import FAIL, UNRESOLVED, CaseResult


class Group(NamedTuple):
    """Failed or unresolved cases with the same cause."""

    call: str
    """The call that caused the failures; empty if none is known, or if the implementation said why it died."""
    answer: str
    """Its outcome; for a group without a call, the reason of its cases."""
    cases: tuple[CaseResult, ...]
    """Not empty; ordered by id."""

    @property
    def text(self) -> str:
        """The cause as a phrase, such as "madvise → ENOSYS"."""
        return f"{self.call} → {self.answer}" if self.call else self.answer

    @property
    def clauses(self) -> list[str]:
        """The clauses of its cases."""
        return sorted({id for case in self.cases for id in case.clauses})

    @property
    def size(self) -> str:
        """The numbers of its cases and clauses, as text."""
        return f"{number(len(self.cases), 'case')} of {number(len(self.clauses), 'clause')}"

    @property
    def required(self) -> list[tuple[str, int]]:
        """The answers that the cases require instead, each with the number of cases, the most frequent first."""
        return self._counted("instead of")

    @property
    def calls(self) -> list[tuple[str, int]]:
        """The calls of which an implementation died with the same last words, each with the number of cases."""
        return [] if self.call else Counter(case.cause["call"] for case in self.cases if case.cause).most_common()

    @property
    def shown_by(self) -> list[tuple[str, int]]:
        """The observations that have shown a wrong effect, each with the number of cases, the most frequent first."""
        return self._counted("shown by")

    def _counted(self, name: str) -> list[tuple[str, int]]:
        return Counter(case.cause[name] for case in self.cases if name in case.cause).most_common()

    @property
    def detail(self) -> str:
        """The requirement or the observation of the cases, as a phrase; may be empty."""
        parts = [("in ", self.calls), ("instead of ", self.required), ("shown by ", self.shown_by)]
        return "; ".join(
            lead + ", ".join(f"{text} ({count})" if len(counted) > 1 else text for text, count in counted)
            for lead, counted in parts
            if counted
        )

    @property
    def example(self) -> CaseResult:
        """A typical case: its required answer and its flags are those of many others; of these, one with few calls."""
        counts = Counter(part for case in self.cases for part in _parts(case))

        def rank(case: CaseResult) -> tuple[int, int]:
            return sum(counts[part] for part in _parts(case)), -len(case.evidence.get("calls", ()))

        return max(self.cases, key=rank)


def number(count: int, noun: str) -> str:
    """Return a count with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _parts(case: CaseResult) -> set[str]:
    """Return what the cause of a case may have in common with others: the answers and the flags."""
    cause = case.cause
    flags = re.findall(r"[A-Z]\w*_[\w|]+", cause.get("step", ""))
    return {f"instead of {cause.get('instead of')}", f"shown by {cause.get('shown by')}", *flags}


def key(cause: dict[str, Any], reason: str) -> tuple[str, str]:
    """Return the key of the group that a case belongs to: its call and answer; without them its reason.

    Last words say more than which call was the last.
    """
    if cause.get("last words"):
        return "", f"died: {cause['last words']}"
    return (cause["call"], cause["answer"]) if cause else ("", reason)


def groups(cases: Iterable[CaseResult]) -> list[Group]:
    """Return the groups of the failed and unresolved cases, the largest first."""
    by_key: dict[tuple[str, str], list[CaseResult]] = {}
    for case in cases:
        if case.verdict in (FAIL, UNRESOLVED):
            by_key.setdefault(key(case.cause, case.reason), []).append(case)
    found = [Group(*of, tuple(sorted(alike, key=lambda case: case.id))) for of, alike in by_key.items()]
    return sorted(found, key=lambda group: (-len(group.cases), -len(group.clauses), group.text))


def as_data(group: Group) -> dict[str, Any]:
    """Return a group as plain data: `group` in `schema.json`."""
    data: dict[str, Any] = {"call": group.call} if group.call else {}
    data["answer"] = group.answer
    for name, counted in (("instead of", group.required), ("shown by", group.shown_by)):
        if counted:
            data[name] = dict(counted)
    if step := group.example.cause.get("step"):
        data["example"] = step
    return {**data, "clauses": group.clauses, "cases": [case.id for case in group.cases]}


def rest_of(found: Sequence[Group]) -> str:
    """Return the number of groups and cases that a shortened list leaves out, as a phrase."""
    cases = sum(len(group.cases) for group in found)
    return f"and {number(len(found), 'more cause')} of {number(cases, 'case')}"
