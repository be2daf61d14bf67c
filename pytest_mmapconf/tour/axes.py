"""The axes of the tour and their values, which pairs of values are impossible, and which axes interact.

To add a value, append it with `since` one higher than any other: the rows that exist keep their ids, and rows that
cover the new value are added (`array`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..catalogue.clauses import LEVELS, included, load
from . import looks, states
from .call_table import ALL_CALLS as CALLS

Step = Callable[[Any], None]


@dataclass(frozen=True)
class Value:
    """A value of an axis."""

    id: str
    text: str
    """Its description, in words."""
    clauses: tuple[str, ...] = ()
    """The clauses that its steps depend on; a row judges them, and belongs to the highest of their levels."""
    since: int = 1
    """The number of the edition of the tour that added it."""
    set_up: Step | None = None
    """Changes the `Setting`."""
    before: Step | None = None
    """Steps at the earlier one of the axis's two moments."""
    steps: Step | None = None
    """Its steps."""

    @property
    def level(self) -> str:
        """The lowest level whose runs have it."""
        levels = [load()[id].level for id in self.clauses]
        return max(levels, key=LEVELS.index, default=LEVELS[0])


@dataclass(frozen=True)
class Axis:
    """Something that calls can depend on."""

    id: str
    text: str
    values: tuple[Value, ...]

    def __getitem__(self, id: str) -> Value:
        return next(value for value in self.values if value.id == id)


def value(
    steps: Step,
    *clauses: str,
    id: str = "",
    since: int = 1,
    set_up: Step | None = None,
    before: Step | None = None,
) -> Value:
    """Return the value that a function describes."""
    name = id or steps.__name__.replace("_", "-")
    described = steps if not set_up or steps not in (states.nothing,) else set_up
    text = " ".join((described.__doc__ or "").split())
    return Value(name, text, clauses, since, set_up, before, steps)


def set_up(change: Step, *clauses: str, id: str = "", since: int = 1, steps: Step = states.nothing) -> Value:
    """Return the value that a function which changes the `Setting` describes."""
    described = change if steps is states.nothing else steps
    name = id or described.__name__.replace("_", "-")
    return Value(name, " ".join((described.__doc__ or "").split()), clauses, since, change, None, steps)


def early(before: Step, *clauses: str, id: str = "", since: int = 1) -> Value:
    """Return a value whose steps are made at the earlier moment."""
    name = id or before.__name__.replace("_", "-")
    return Value(name, " ".join((before.__doc__ or "").split()), clauses, since, None, before, states.nothing)


FILE: Final = Axis(
    "file",
    "which file, and how it is mapped",
    (
        set_up(states.shared),
        set_up(states.private),
        set_up(states.shared, id="closed", steps=states.closed),
        set_up(states.shared, "mmap.refcount.increment", id="unlinked", steps=states.unlinked),
        set_up(states.shared, id="reused", steps=states.reused),
        set_up(states.private, id="private-closed", steps=states.closed),
        set_up(states.anonymous, "mmap.flag.anonymous"),
        set_up(states.shared_anonymous, "mmap.flag.anonymous"),
        set_up(states.private_read_only, "mmap.prot.fd-mode.private"),
        set_up(states.append, "mmap.fd.append"),
        set_up(states.same_name),
        set_up(states.memfd, "memfd.shared"),
        set_up(states.memfd_private, "memfd.shared"),
        set_up(states.sealed, "memfd.seal.future-write"),
    ),
)

PLACE: Final = Axis(
    "place",
    "the size and place of the mapping",
    (
        value(states.fixed),
        value(states.chosen),
        value(states.window),
        value(states.tail),
        value(states.across_2_gib, "mmap.range.windows", "mmap.errno.EOVERFLOW.boundary"),
        value(states.at_3_gib, "mmap.range.windows", "mmap.errno.EOVERFLOW.boundary"),
        value(states.across_4_gib, "mmap.range.windows", "mmap.errno.EOVERFLOW.boundary"),
        value(states.at_4_gib, "mmap.range.windows", "mmap.errno.EOVERFLOW.boundary"),
    ),
)

COVERS: Final = Axis(
    "covers",
    "what the range of the call covers",
    (
        value(states.whole),
        value(states.first),
        value(states.middle),
        value(states.last),
        value(states.odd),
        value(states.two),
        value(states.border),
        value(states.three),
        value(states.alike),
        value(states.hole_after, "munmap.hole"),
        value(states.hole_before, "munmap.hole"),
        value(states.hole_between, "munmap.hole"),
    ),
)

PAGES: Final = Axis(
    "pages",
    "what the pages have been",
    (
        value(states.untouched),
        value(states.loaded),
        value(states.stored),
        value(states.partly),
        value(states.synced),
        value(states.stored_again),
        value(states.written),
        value(states.stored_and_written),
        value(states.cut, "file.truncate"),
        value(states.regrown, "file.truncate"),
        value(states.regrown_stored, "file.truncate"),
    ),
)

RIGHTS: Final = Axis(
    "rights",
    "what the rights have been",
    (
        value(states.rw),
        set_up(states.mapped_read),
        value(states.read, "mprotect.rights"),
        value(states.none, "mprotect.rights"),
        value(states.round_trip, "mprotect.rights"),
        early(states.round_trip_before, "mprotect.rights"),
        value(states.split, "mprotect.rights", "mprotect.part"),
        value(states.split_first, "mprotect.rights", "mprotect.part"),
        value(states.split_back, "mprotect.rights", "mprotect.part"),
        Value(
            "upgraded",
            "Mapped and loaded with PROT_READ, and then given PROT_WRITE, before the history of the pages.",
            ("mprotect.rights",),
            1,
            states.mapped_read,
            states.upgraded,
            states.nothing,
        ),
    ),
)

SHARERS: Final = Axis(
    "sharers",
    "who else has the pages",
    (
        value(states.alone),
        early(states.second),
        value(states.second_after),
        early(states.overlapping),
        value(states.child, id="child-after"),
        early(states.child, id="child-before"),
        value(states.child_touching),
        value(states.parent_touching),
        value(states.in_child),
        early(states.in_child, id="in-child-before"),
        value(states.in_child_touching),
        value(states.child_ended),
        value(states.child_unmapped),
        value(states.child_replaced),
        value(states.grandchild),
        value(states.process),
    ),
)

CALL: Final = Axis(
    "call",
    "which call is made",
    tuple(Value(name, call.call, call.clauses, call.since) for name, call in CALLS.items()),
)

LOOK: Final = Axis(
    "look",
    "where one looks, in addition to the pages and files of every process",
    (
        value(looks.pages),
        value(looks.store),
        value(looks.fork),
        value(looks.end),
        value(looks.again),
        value(looks.remap),
        value(looks.times, "times.store", before=looks.times_before),
        value(looks.references, "mmap.refcount.increment", "mlock2.onfault", before=looks.references_before),
        value(looks.storage, "hole.storage"),
    ),
)

AXES: Final = (CALL, COVERS, FILE, PLACE, PAGES, RIGHTS, SHARERS, LOOK)
"""The axes, in the order of an id's parts."""

INTERACTING: Final = {
    ("pages", "rights", "sharers"): "whether a store copies a page depends on all three",
    ("file", "pages", "sharers"): "who sees a store depends on the type of the mapping, and on when a page was copied",
}
"""Three axes that interact, of whose values each triple is covered, and why."""

FILELESS: Final = ("anonymous", "shared-anonymous")
HOLES: Final = ("hole-after", "hole-before", "hole-between")
NEXT: Final = ("two", "border", "three", "alike", *HOLES)
FAR: Final = ("across-2-gib", "at-3-gib", "across-4-gib", "at-4-gib")
STORES: Final = (
    "stored", "partly", "synced", "stored-again", "stored-and-written", "cut", "regrown-stored",
)  # fmt: skip
NAMELESS: Final = ("unlinked", "same-name", "memfd", "memfd-private", "sealed")
FILE_CALLS: Final = tuple(name for name, call in CALLS.items() if call.needs_file)
ENDS: Final = ("exit", "kill", "exec")


@dataclass(frozen=True)
class Rule:
    """Pairs of values that no row has; below a level, if one is given."""

    axis: str
    values: tuple[str, ...]
    other: str
    others: tuple[str, ...]
    reason: str
    clause: str = ""
    """A clause: the pairs are possible in rows that judge it, and so at its level."""


RULES: Final = (
    Rule("file", FILELESS, "place", ("window", "tail", *FAR), "anonymous memory has no file, and so no offset"),
    Rule(
        "file", FILELESS, "pages", ("written", "stored-and-written", "cut", "regrown", "regrown-stored"),
        "anonymous memory has no file that could be written to or cut",
    ),
    Rule("file", FILELESS, "sharers", ("second", "second-after", "overlapping", "process"), "there is no file to map"),
    Rule("file", FILELESS, "call", FILE_CALLS, "there is no descriptor for the call"),
    Rule("file", FILELESS, "look", ("times", "references", "storage"), "there is no file to look at"),
    Rule("file", NAMELESS, "sharers", ("process",), "another process cannot open the file by its name"),
    Rule("file", NAMELESS, "look", ("references",), "the file cannot be opened again by its name"),
    Rule("file", ("closed", "reused", "private-closed"), "look", ("references",), "the descriptor is closed already"),
    Rule("file", ("closed", "reused", "private-closed"), "call", ("close",), "the descriptor is closed already"),
    Rule(
        "file", ("sealed",), "pages", ("written", "stored-and-written"), "the seal refuses pwrite",
    ),
    Rule(
        "file", ("closed", "private-closed", "reused"), "covers", ("alike",),
        "the descriptor of the first mapping is needed for a second one that is like it; it is closed later",
        "coherence.write",
    ),
    Rule("place", ("chosen",), "covers", NEXT, "what is next to a place that the system chose may be its own memory"),
    Rule("place", ("chosen",), "call", ("store-across",), "what follows a place that the system chose may be its own"),
    Rule("rights", ("mapped-read",), "pages", STORES, "a page that was never writable has not been stored to"),
    Rule(
        "covers", HOLES, "call",
        tuple(name for name, call in CALLS.items() if call.call in ("mprotect", "mlock", "munlock")),
        "how far the call gets is not specified", "mprotect.errno.ENOMEM.prefix",
    ),
    Rule(
        "covers", tuple(value.id for value in COVERS.values if value.id != "whole"), "call",
        tuple(name for name, call in CALLS.items() if call.call == "mremap"),
        "only a whole mapping is resized", "mremap.shrink.part",
    ),
)  # fmt: skip
"""Impossible pairs, with reasons."""

Row = Mapping[str, Value]
"""A value of each axis, by the axis's id."""


def row_id(row: Row) -> str:
    """Return the id of a row: its values in the order of the axes."""
    return "+".join(row[axis.id].id for axis in AXES)


def row_clauses(row: Row) -> tuple[str, ...]:
    """Return the clauses that a row judges: of its values and of rules that name one, those of the highest level."""
    clauses = [clause for axis in AXES for clause in row[axis.id].clauses]
    for rule in RULES:
        if rule.clause and row[rule.axis].id in rule.values and row[rule.other].id in rule.others:
            clauses.append(rule.clause)
    level = max((load()[id].level for id in clauses), key=LEVELS.index)
    return tuple(dict.fromkeys(id for id in clauses if load()[id].level == level))


def broken_rule(axis: str, value: str, other: str, value_of_other: str, level: str) -> Rule | None:
    """Return the rule by which two values are impossible at a level; None if they are possible."""
    for one, its, two, others in ((axis, value, other, value_of_other), (other, value_of_other, axis, value)):
        for rule in RULES:
            is_broken = rule.axis == one and rule.other == two and its in rule.values and others in rule.others
            if is_broken and (not rule.clause or load()[rule.clause].level not in included(level)):
                return rule
    return None


def editions() -> Iterable[int]:
    """Return the numbers of the editions that have added values."""
    return sorted({value.since for axis in AXES for value in axis.values})
