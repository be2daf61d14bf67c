"""The judgement of calls that were made concurrently: an outcome is allowed if some order of the calls has it.

The subject has made rounds of calls (`System.together`) and reports which outcomes they had.  The reference makes the
same calls one after the other, in every order that the stages allow, on copies of its machine, each call given the
outcome that was observed; an order in which a call cannot have its outcome is given up at that call.  If no order is
left, the outcome is not allowed.

Nothing promises that an access of several bytes, or the replacement of mappings, is one step.  So accesses of several
bytes that overlap with others of the same stage are made byte by byte, and a MAP_FIXED is also tried as the removal of
what was there and then the mapping.

A round begins in a state in which an earlier one has ended, so all states that are reached are tried.  What the states
differ in at the end is open: the content of pages becomes indeterminate, and where more differs nothing is compared any
more.  Where there are more orders or states than the bounds here, nothing is compared any more either.
"""

from __future__ import annotations

import copyreg
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import partial
from io import BytesIO
from pickle import HIGHEST_PROTOCOL, Pickler, loads
from typing import Final, NamedTuple, TypeAlias

from ..contract import MAP_FIXED, Call, Fault, Unresolved, errno_name
from ..outcomes import Returned
from ..reference.files import Inode
from ..reference.observed_choices import NotAllowed, ObservedChoices
from ..reference.paging import Page
from ..reference.process import ReferenceProcess
from ..reference.refusal import Refused
from ..reference.system import ReferenceSystem
from ..trace.calls import invoke
from ..trace.outcome_text import outcome_of, result_text

MAX_STEPS: Final = 3000
"""Calls of the reference for one outcome: with more, the orders are too many to be tried."""

MAX_STATES: Final = 12
"""States in which a round may begin."""

SMALLEST_PAGE: Final = 4096
"""Bytes of the smallest page that a system has."""

MAX_BYTES: Final = 4
"""Bytes of an access that overlaps with another of its stage: more bytes have too many orders."""


class TooMany(Exception):
    """There are too many orders or states; the text says what of."""


class Unit(NamedTuple):
    """One step of the reference: a call, or a part of one."""

    at: int
    """The actor's place among those of the stage."""
    actor: int
    """The place of its process in `State.actors`."""
    name: str
    arguments: tuple[object, ...]
    expected: str | None
    """The observed outcome as text; None where it is not judged."""


class State(NamedTuple):
    """A copy of the reference's machine, and the processes and threads that take part."""

    machine: ReferenceSystem
    actors: list[ReferenceProcess]
    others: list[ReferenceProcess]
    """The processes that do not take part."""

    def copy(self) -> State:
        """Return a copy that shares with this state what no call changes.

        By pickle it takes a third of a millisecond, a third of the time of copy.deepcopy.
        """
        _shared[:] = self.machine.choices, self.machine.parameters
        stream = BytesIO()
        pickler = Pickler(stream, HIGHEST_PROTOCOL)
        pickler.dispatch_table = copyreg.dispatch_table | {
            type(each): partial(_reduced, at) for at, each in enumerate(_shared)
        }
        pickler.dump(tuple(self))
        return State(*loads(stream.getvalue()))

    def digest(self) -> Hashable:
        """Return a value that is equal for states that are alike."""
        return self.structure(), self.content()

    def structure(self) -> Hashable:
        """Return what is mapped, which descriptors and files there are, and which pages of them are in memory."""
        processes = tuple(
            (
                tuple((m.start, m.end, m.prot, m.shared, m.offset, m.locked) for m in process.space.mappings.values()),
                tuple((fd, d.description.inode.size) for fd, d in sorted(process.descriptors.items())),
                tuple((number, bool(page.refcount)) for number, page in sorted(process.space.table.entries.items())),
            )
            for process in (*self.actors, *self.others)
        )
        return processes, tuple((inode.size, *sorted(inode.cache.pages)) for inode in self.files())

    def content(self) -> Hashable:
        """Return the content of all pages."""
        return tuple(bytes(page.data) for page in self.pages())

    def pages(self) -> list[Page]:
        """Return the pages of the processes and of the files, in an order that is the same in states of one structure.

        A page that is in several places is in the list several times.  A file's pages count where nothing maps them
        any more, too: a store has reached them, or it has not.
        """
        tables = [process.space.table.entries for process in (*self.actors, *self.others)]
        caches = [inode.cache.pages for inode in self.files()]
        return [page for pages in (*tables, *caches) for _number, page in sorted(pages.items())]

    def files(self) -> list[Inode]:
        """Return the files that have a name, or that a process has open or mapped, each once.

        Shared anonymous memory is a file that is only mapped.
        """
        systems = [self.machine.cwd_file_system, *(system for _name, system in sorted(self.machine.mounts.items()))]
        found = {id(inode): inode for system in systems for inode in below(system.root)}
        for process in (*self.actors, *self.others):
            for _fd, descriptor in sorted(process.descriptors.items()):
                found.setdefault(id(descriptor.description.inode), descriptor.description.inode)
            for mapping in process.space.mappings.values():
                if mapping.inode is not None:
                    found.setdefault(id(mapping.inode), mapping.inode)
        return [inode for inode in found.values() if hasattr(inode, "cache")]


_shared: Final[list[object]] = []
"""The objects that the copy which is being made shares with the original."""


def _of_both(at: int) -> object:
    """Return an object that a copy shares, in place of a copy of it."""
    return _shared[at]


def _reduced(at: int, _value: object) -> tuple[Callable[[int], object], tuple[int]]:
    """Return how a shared object is written: as a call of `_of_both`."""
    return _of_both, (at,)


def below(directory: Inode) -> Iterator[Inode]:
    """Yield the files in a directory and in those within."""
    for _name, inode in sorted(directory.entries.items()):
        yield inode
        yield from below(inode)


class Search:
    """The search for orders that have the observed outcomes."""

    def __init__(self, calls: Sequence[Call], places: Sequence[int], choices: ObservedChoices) -> None:
        self.calls = calls
        self.places = places
        """For each call the place of its actor in `State.actors`."""
        self.choices = choices
        self.steps = 0
        self.refused: tuple[int, str, str] = (-1, "", "")
        """The furthest call at which an order was given up: its unit's rank, the call, and what was expected."""

    def ends(self, state: State, outcomes: Sequence[str]) -> list[State]:
        """Return the states in which a round with these outcomes may end; none if no order has them."""
        states = [state]
        for stage in range(max(call.stage for call in self.calls) + 1):
            ended: dict[Hashable, State] = {}
            for begun in states:
                forms = list(sequences(self.calls, self.places, stage, outcomes))
                for form in forms:
                    for end in self.orders(begun, form, is_own=begun is not state and form is forms[-1]):
                        ended.setdefault(end.digest(), end)
                if len(ended) > MAX_STATES:
                    raise TooMany("states in which a round may end")
            states = list(ended.values())
        return states

    def orders(self, state: State, units: Sequence[Sequence[Unit]], is_own: bool) -> Iterator[State]:
        """Return the ends of all orders of the actors' units that have the observed outcomes.

        `is_own`: the caller does not need the state itself any more, so the last branch need not be a copy.
        """
        left = [sequence for sequence in units if sequence]
        if not left:
            yield state
            return
        for place, sequence in enumerate(left):
            branch = state if is_own and place == len(left) - 1 else state.copy()
            # In a wrong order an outcome seems to show what the processor allows: what was learnt is forgotten.
            known = self.choices.hardware.copy()
            if self.make(branch, sequence[0]):
                yield from self.orders(branch, [*left[:place], sequence[1:], *left[place + 1 :]], is_own=True)
            self.choices.hardware = known

    def make(self, state: State, unit: Unit) -> bool:
        """Make a call of a copy of the reference; return whether its outcome is the observed one."""
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise TooMany("orders of the calls")
        process = state.actors[unit.actor]
        check_moment(process, unit.name, unit.arguments, self.choices.level)
        choices = self.choices
        observed = outcome_of(unit.name, unit.arguments, unit.expected) if unit.expected is not None else Returned(None)
        choices.observe(unit.name, observed)
        choices.is_mapped = lambda addr: process.space.find(addr) is not None
        choices.is_full = lambda: False
        try:
            value = invoke(process, unit.name, unit.arguments)
            if isinstance(observed, Returned) and observed.value is None:
                value = None if unit.expected == "ok" else value
            expected = f"ok {result_text(value, 'address' if unit.name in ('mmap', 'mremap') else '')}".rstrip()
        except NotAllowed as error:
            expected = " or ".join(error.allowed)
        except Refused as refused:
            expected = f"error {refused.chosen.name}"
        except OSError as error:
            expected = f"error {errno_name(error)}"
        except Fault as fault:
            expected = f"fault {fault.signal} {fault.code}"
        except (NotImplementedError, Unresolved) as reason:
            raise TooMany(f"unknowns: {reason}") from reason
        if unit.expected is None or self.agree(expected, unit.expected):
            return True
        if unit.at >= self.refused[0]:
            self.refused = unit.at, unit.expected, expected
        return False

    def agree(self, expected: str, observed: str) -> bool:
        """Return True if two outcomes have the same meaning; below level linux only the signal of a fault counts."""
        if expected.startswith("fault") and observed.startswith("fault") and self.choices.level != "linux":
            return expected.split()[1] == observed.split()[1]
        return expected == observed


def sequences(
    calls: Sequence[Call], places: Sequence[int], stage: int, outcomes: Sequence[str]
) -> Iterator[list[list[Unit]]]:
    """Return the units of each actor in a stage, in all forms that calls with these outcomes may have."""
    parts: dict[int, list[int]] = {}
    for at, call in enumerate(calls):
        if call.stage == stage:
            parts.setdefault(places[at], []).append(at)
    forms: list[list[list[Unit]]] = [[]]
    for actor, own in parts.items():
        units: list[list[Unit]] = [[]]
        for at in own:
            call = calls[at]
            others = [calls[other] for place, theirs in parts.items() if place != actor for other in theirs]
            made = [
                [Unit(at, actor, name, arguments, expected) for name, arguments, expected in form]
                for form in forms_of(call, outcomes[at], others)
            ]
            units = [[*before, *form] for before in units for form in made]
        forms = [[*before, form] for before in forms for form in units]
    yield from forms


Form: TypeAlias = "list[tuple[str, tuple[object, ...], str | None]]"
"""Steps of which a call is made: the name and the arguments of each, and its observed outcome if that is judged."""


def forms_of(call: Call, outcome: str, others: Sequence[Call]) -> list[Form]:
    """Return the forms that a call may have for others of its stage: each a list of steps with their outcomes."""
    name, arguments = call.name, call.arguments
    whole: Form = [(name, arguments, outcome)]
    if not others:
        return [whole]
    if name in ("load", "store") and outcome.startswith("ok"):
        start, length = span(call)
        if length > 1 and any(overlaps(start, length, other) for other in others):
            if length > MAX_BYTES:
                raise TooMany(f"orders of the {length} bytes of an access")
            if name == "load":
                data = bytes.fromhex(outcome[3:])
                return [[("load", (start + at, 1), f"ok {data[at : at + 1].hex()}") for at in range(length)]]
            data = bytes(arguments[1])  # type: ignore[call-overload]
            return [[("store", (start + at, data[at : at + 1]), "ok") for at in range(length)]]
    if name == "mmap" and outcome.startswith("ok") and int(arguments[3]) & MAP_FIXED:  # type: ignore[call-overload]
        return [whole, [("munmap", arguments[:2], None), *whole]]
    if name == "add":
        raise TooMany("orders of the loads and stores of an addition")
    return [whole]


def check_moment(process: ReferenceProcess, call: str, arguments: Sequence[object], level: str) -> None:
    """Raise TooMany if nothing promises that what a child loads is of one moment.

    It is only at level linux, and not if it is bytes of several pages or of shared memory.
    """
    if call != "load_in_child":
        return
    addr, length = arguments
    assert isinstance(addr, int)
    assert isinstance(length, int)
    mapping = process.space.find(addr)
    is_shared = mapping is not None and mapping.shared
    if length > 1 and (level != "linux" or is_shared or addr // SMALLEST_PAGE != (addr + length - 1) // SMALLEST_PAGE):
        raise TooMany("moments at which a child has its bytes")


def span(call: Call) -> tuple[int, int]:
    """Return the address and the length of a load or store."""
    addr, second = call.arguments[:2]
    assert isinstance(addr, int)
    return addr, second if isinstance(second, int) else len(second)  # type: ignore[arg-type]


def overlaps(start: int, length: int, other: Call) -> bool:
    """Return True if another call may change or read some of these bytes one by one."""
    if other.name not in ("load", "store"):
        return other.name in ("pread", "pwrite", "read_into", "write_from", "load_in_child")
    addr, size = span(other)
    return addr < start + length and start < addr + size


def reachable(
    state: State, calls: Sequence[Call], places: Sequence[int], tally: Mapping[tuple[str, ...], int]
) -> tuple[list[State], tuple[tuple[str, ...], str, str] | None]:
    """Return the states in which the last round may have ended, and an outcome that no order has, if there is one.

    The latter with the outcome of the furthest call that an order reached, and what it should have been.
    """
    choices = state.machine.choices
    assert isinstance(choices, ObservedChoices)
    states = {state.digest(): state}
    waiting = [state]
    possible: dict[tuple[str, ...], dict[Hashable, State]] = {outcomes: {} for outcomes in tally}
    refused: dict[tuple[str, ...], tuple[int, str, str]] = {}
    while waiting:
        begun = waiting.pop()
        for outcomes, ended in possible.items():
            search = Search(calls, places, choices)
            for end in search.ends(begun, outcomes):
                key = end.digest()
                ended.setdefault(key, end)
                if key not in states:
                    states[key] = end
                    waiting.append(end)
            refused[outcomes] = max(refused.get(outcomes, (-1, "", "")), search.refused)
        if len(states) > MAX_STATES:
            raise TooMany("states in which a round may begin")
    for outcomes, ended in possible.items():
        if not ended:
            return [], (outcomes, *refused[outcomes][1:])
    return list({key: end for ended in possible.values() for key, end in ended.items()}.values()), None


def copy_where_any_has(first: State, others: Sequence[State]) -> None:
    """Copy the pages that processes share in the first state and that are copied in another one.

    What is indeterminate in one process is then not in the other.
    """
    tables = [process.space.table for process in (*first.actors, *first.others)]
    theirs = [[process.space.table.entries for process in (*other.actors, *other.others)] for other in others]
    for at, table in enumerate(tables):
        for number, page in list(table.entries.items()):
            if page.refcount > min((entries[at][number].refcount for entries in theirs), default=page.refcount):
                table.copy(number, page)


def merge(states: Sequence[State]) -> State:
    """Return one state for all of them: what differs in the content of pages is indeterminate.

    Raises TooMany if more differs.
    """
    first, *others = states
    if any(other.structure() != first.structure() for other in others):
        raise TooMany("different mappings and files in which the rounds may have ended")
    copy_where_any_has(first, others)
    for other in others:
        for page, its in zip(first.pages(), other.pages(), strict=True):
            theirs = its.data
            if theirs != page.data:
                known = page.indeterminate or {}
                page.allow(
                    {
                        at: bytes({*known.get(at, b""), page.data[at], value})
                        for at, value in enumerate(theirs)
                        if value != page.data[at] or at in known
                    }
                )
    return first
