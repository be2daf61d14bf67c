"""An exhaustive search: each call, once, in each distinct state that a few calls reach.

The world is small: two pages of the scratch range, a file of two pages, a process and perhaps its child.  A *move* is a
call with fixed arguments by one of them.  The states are enumerated on the reference alone, by breadth: a state is the
tuple of what a program can observe, now or later, of mappings, pages and the file (`abstract_state`), so two programs
that lead to the same state are one.

Then each move is made in each state, in lockstep and fully audited.  A move that leaves the state as it is needs no new
system; after any other one, a new system is booted, and brought into the next state by the shortest program for it.
The calls of that program are not audited: each was, as a move in the state before it, and an audit loads pages, which
would lead to another state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final, NamedTuple
from zlib import crc32

from ..contract import (
    MADV_DONTNEED,
    Fault,
    System,
    Unresolved,
)
from ..differential.comparison import LeaveOut
from ..differential.divergence import Divergence
from ..differential.lockstep import LockstepSystem
from ..reference.constants import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    MS_INVALIDATE,
    MS_SYNC,
    O_CREAT,
    O_RDWR,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
)
from ..reference.files import Inode
from ..reference.linux_choices import LinuxChoices
from ..reference.machine import Parameters
from ..reference.process import ReferenceProcess as Model
from ..reference.system import ReferenceSystem
from ..trace.program import needed
from ..trace.recorder import RecordedSystem
from .findings import Finding, LongSearch
from .model_view import Actor, ProgramState
from .search import Counterexample

RW: Final = PROT_READ | PROT_WRITE
MOVE: Final = MREMAP_FIXED | MREMAP_MAYMOVE
KEEP: Final = MOVE | MREMAP_DONTUNMAP
PAGES: Final = 2
"""Pages of memory, and of the file."""


class Slot(NamedTuple):
    """An argument that is the address of one of the pages."""

    number: int


class Size(NamedTuple):
    """An argument that is a number of whole pages, in bytes."""

    pages: int


FILE: Final = "the file's descriptor"
"""An argument that is the descriptor of the file."""


class Move(NamedTuple):
    """A call of one of the processes."""

    process: int
    """0 for the first process, 1 for its child."""
    call: str
    arguments: tuple[Any, ...] = ()
    level: str = "documented"
    """The lowest level that has the call."""

    def __str__(self) -> str:
        return f"p{self.process + 1}.{self.call}{self.arguments}"


State = tuple[Any, ...]


def moves_of(process: int) -> Iterator[Move]:
    """Yield the moves of a process."""
    for first, pages in ((0, 1), (1, 1), (0, 2)):
        for type in (MAP_SHARED, MAP_PRIVATE):
            fixed = type | MAP_FIXED
            yield Move(process, "mmap", (Slot(first), Size(pages), RW, fixed, FILE, Size(first)))
            yield Move(process, "mmap", (Slot(first), Size(pages), RW, fixed | MAP_ANONYMOUS, -1, Size(0)))
        yield Move(process, "munmap", (Slot(first), Size(pages)))
    for first in range(PAGES):
        for prot in (PROT_NONE, PROT_READ, RW):
            yield Move(process, "mprotect", (Slot(first), Size(1), prot), "posix")
        yield Move(process, "load", (Slot(first), 1))
        yield Move(process, "store", (Slot(first), b"x"))
        yield Move(process, "madvise", (Slot(first), Size(1), MADV_DONTNEED), "linux")
        yield Move(process, "mremap", (Slot(first), Size(1), Size(1), MOVE, Slot(1 - first)), "linux")
        yield Move(process, "mremap", (Slot(first), Size(1), Size(1), KEEP, Slot(1 - first)), "linux")
        yield Move(process, "mremap", (Slot(first), Size(0), Size(1), MOVE, Slot(1 - first)), "linux")
        yield Move(process, "mlock", (Slot(first), Size(1)), "posix")
        yield Move(process, "munlock", (Slot(first), Size(1)), "posix")
        yield Move(process, "pwrite", (FILE, b"w", Size(first)))
        yield Move(process, "ftruncate", (FILE, Size(first + 1)))
    yield Move(process, "mmap", (Slot(1), Size(1), RW, MAP_SHARED | MAP_FIXED, FILE, Size(0)))
    yield Move(process, "mmap", (Slot(1), Size(1), RW, MAP_PRIVATE | MAP_FIXED, FILE, Size(0)))
    yield Move(process, "ftruncate", (FILE, 100))
    yield Move(process, "pread", (FILE, Size(2), 0))
    yield Move(process, "fsync", (FILE,))
    yield Move(process, "mremap", (Slot(0), Size(2), Size(1), 0, 0), "linux")
    yield Move(process, "mremap", (Slot(0), Size(1), Size(2), 0, 0), "linux")
    yield Move(process, "msync", (Slot(0), Size(2), MS_SYNC))
    yield Move(process, "msync", (Slot(1), Size(1), MS_SYNC | MS_INVALIDATE))
    yield Move(process, "exit" if process else "fork")


MOVES: Final = (*moves_of(0), *moves_of(1))
"""All moves."""

LEVELS: Final = ("documented", "posix", "linux")

LEADING: Final = "the calls that lead to a state are not audited"


class World(ProgramState):
    """A system in the state that its moves so far have led to."""

    def __init__(self, system: System, level: str) -> None:
        super().__init__(system, level)
        first = self.actors[0]
        self.base = first.regions[0][0] + self.unit
        self.fd = self.call(first, "open", "a", O_CREAT | O_RDWR)
        if self.fd is None:
            raise Unresolved("the file of an exhaustive search cannot be opened")
        self.call(first, "pwrite", self.fd, b"a" * self.page + b"b" * self.page, 0)
        self.file: Inode = first.model.descriptors[int(self.fd)].description.inode

    def can_make(self, move: Move) -> bool:
        """Return True if there is the process of a move, or it can be created, and the level has the call."""
        if LEVELS.index(move.level) > LEVELS.index(self.level):
            return False
        return len(self.actors) == 1 if move.call == "fork" else move.process < len(self.actors)

    def make(self, move: Move) -> None:
        """Make a move, whatever it results in."""
        actor = self.actors[move.process]
        if move.call == "fork":
            child = self.fork_actor(actor)
            if child is not None:
                self.actors.append(child)
        elif move.call == "exit":
            self.actors.pop()
            self.call(actor, "exit", 0)
        else:
            self.call(actor, move.call, *map(self.value, move.arguments))

    def value(self, argument: Any) -> Any:
        """Return the value of an argument."""
        if isinstance(argument, Slot):
            return self.base + argument.number * self.unit
        if isinstance(argument, Size):
            return argument.pages * self.unit
        return self.fd if argument is FILE else argument

    def state(self) -> State:
        """Return the state."""
        frames: dict[int, int] = {}
        first = int(self.base) // self.page
        file = self.file
        cache = file.cache.pages
        in_file = tuple(
            (at, crc32(cache[at].data), cache[at].dirty, frames.setdefault(id(cache[at]), len(frames)))
            for at in sorted(cache)
        )
        processes = tuple(abstract_state(actor, first, frames) for actor in self.actors)
        return file.size, in_file, processes


def abstract_state(actor: Actor, first: int, frames: dict[int, int]) -> State:
    """Return what the pages of a process are; equal `frames` numbers are one frame."""
    model: Model = actor.model
    page = model.page
    state: list[object] = []
    for mapping in model.space.over(first * page, (first + PAGES) * page):
        pages: list[State | None] = []
        for number in range(mapping.start // page, mapping.end // page):
            frame = model.space.table.entries.get(number)
            if frame is None:
                pages.append(None)
            else:
                pages.append((frames.setdefault(id(frame), len(frames)), crc32(frame.data), bool(frame.indeterminate)))
        size = 0 if mapping.inode is None else mapping.inode.size
        state.append(
            (
                mapping.start // page - first,
                mapping.prot,
                mapping.shared,
                -1 if mapping.inode is None or mapping.description is None else mapping.offset // page,
                mapping.locked,
                mapping.has_private_pages,
                mapping.least_size == size == mapping.largest_size,
                *pages,
            )
        )
    return tuple(state)


@cache
def shortest_programs(parameters: Parameters, level: str, depth: int) -> dict[State, tuple[int, ...]]:
    """Return each state that at most `depth` moves reach, with a shortest program for it: the numbers of its moves."""

    def world_after(program: Sequence[int]) -> World:
        world = World(ReferenceSystem(parameters, LinuxChoices()), level)
        for number in program:
            world.make(MOVES[number])
        return world

    programs: dict[State, tuple[int, ...]] = {world_after(()).state(): ()}
    newest = list(programs.items())
    for _ in range(depth):
        found: dict[State, tuple[int, ...]] = {}
        for before, program in newest:
            world = world_after(program)
            for number, move in enumerate(MOVES):
                if not world.can_make(move):
                    continue
                world.make(move)
                state = world.state()
                if state != before:
                    if state not in programs:
                        found.setdefault(state, (*program, number))
                    world = world_after(program)
        programs |= found
        newest = list(found.items())
    return programs


def world_after(system: LockstepSystem, level: str, program: Sequence[int]) -> World:
    """Return a system in the state that the moves of a program lead to; from then on it is audited."""
    system.audits.suspended = LEADING
    world = World(system, level)
    for number in program:
        world.make(MOVES[number])
    system.audits.suspended = None
    return world


class ExhaustiveSearch:
    """Makes each move in each state of a part of the states."""

    def __init__(self, long: LongSearch, depth: int) -> None:
        self.long = long
        self.search = long.search
        self.depth = depth

    def run_part(self, part: int, of: int, where: str) -> list[Finding]:
        """Make each move in each of every `of`-th state, from number `part` on; return what is new."""
        self.long.begin()
        programs = list(shortest_programs(self.search.parameters, self.search.level, self.depth).values())
        mine = programs[part::of]
        calls = 0
        for program in mine:
            if self.long.has_ended or self.search.gave_up:
                break
            calls += self.make_each_move(program, where)
        self.search.tally.totals = {"states": len(mine), "calls": calls}
        return self.long.new

    def make_each_move(self, program: tuple[int, ...], where: str) -> int:
        """Make each move after a program; return how many could be made."""
        todo = list(range(len(MOVES)))
        made = 0
        while todo and not self.search.gave_up:
            tried: list[int] = []
            try:
                made += self.make_until_change(program, todo, tried)
            except Divergence as divergence:
                if self.search.counts(divergence):
                    self.add(divergence, (*program, *tried), where)
            except LeaveOut:
                pass
            except Unresolved as unresolved:
                self.search.unresolved.append(unresolved)
                return made
            if tried == []:  # the program itself could not be made
                return made
        return made

    def make_until_change(self, program: tuple[int, ...], todo: list[int], tried: list[int]) -> int:
        """Make the moves of `todo` after a program, up to the first that changes the state; move them to `tried`."""
        system = self.search.boot("all", 1)
        tally = self.search.tally
        made = 0
        try:
            world = world_after(system, self.search.level, program)
            state = world.state()
            while todo and system.uncompared is None:
                tried.append(todo.pop(0))
                move = MOVES[tried[-1]]
                if not world.can_make(move):
                    continue
                made += 1
                world.make(move)
                if world.state() != state:
                    break
            return made
        finally:
            tally.refusals.update(system.machine.reached)
            tally.followed.update(set(system.followed))
            system.close()

    # ---- a difference

    def add(self, divergence: Divergence, numbers: tuple[int, ...], where: str) -> None:
        """Shrink a program that shows a difference, and add it to the findings."""
        shown = self.shown_by(numbers)
        if shown is None:
            divergence.add_note("this occurred once, and not again: the implementation varies")
            shown = Counterexample(divergence, (), ())
        key = shown.divergence.key
        self.search.wanted = key
        try:
            at = 0
            while at < len(numbers):
                shorter = (*numbers[:at], *numbers[at + 1 :])
                other = self.shown_by(shorter)
                if other is not None:
                    numbers, shown = shorter, other
                else:
                    at += 1
        finally:
            self.search.wanted = None
        self.long.add(Finding(shown, where, key))

    def shown_by(self, numbers: tuple[int, ...]) -> Counterexample | None:
        """Make moves, recorded; return the counterexample, if any: with an audit after each, or after the last only."""
        return self.shown(numbers, len(numbers)) or self.shown(numbers, 1)

    def shown(self, numbers: tuple[int, ...], audited: int) -> Counterexample | None:
        """Make moves, recorded, the last `audited` of them with audits; return the counterexample, if any."""
        system: LockstepSystem = self.search.boot("all", 1)
        recorded = RecordedSystem(system)
        try:
            system.audits.suspended = LEADING
            world = World(recorded, self.search.level)
            for at, number in enumerate(numbers):
                if at == len(numbers) - audited:
                    system.audits.suspended = None
                if world.can_make(MOVES[number]):
                    world.make(MOVES[number])
        except Divergence as divergence:
            if self.search.counts(divergence):
                return Counterexample(divergence, *needed(*recorded.program()))
        except (Unresolved, LeaveOut, Fault):
            pass
        finally:
            system.close()
        return None
