"""Lockstep: a system and the reference side by side, up to the first difference.

The subject makes each call first.  Then the reference makes the same call, told what came of it: wherever the
specification leaves something open it does as the subject did, if that is one of the right answers
(`ObservedChoices`).  What it does in the end is compared with what was seen, and a difference raises `Divergence`,
with everything that would have been right.  There are no rules here: the reference judges.

What a call has done wrong may show much later, or never.  So after each call that changes something an *audit* looks:
in one request the subject tells, for the pages in play and those beside them, whether each can be loaded and a digest
of what stands there, and likewise of the open files, and the reference is asked the same.  What may not be stored to
is tried.  Once a program has to do with locked memory each mapping is asked for its lock as well (MS_INVALIDATE, which
changes nothing, is refused there).

A pair of processes keeps the contract, so whatever is written against it runs in lockstep: cases, random programs, a
user's own test.

Where the two can no longer be compared (the reference knows nothing of what was asked, or the specification leaves open
what has happened) the subject goes on alone, and `LockstepSystem.uncompared` says why.  A call that has failed for a
reason of the subject's own (its disk is full, say) has done nothing: the reference leaves it out, and
`LockstepSystem.left_out` counts it.
"""

from __future__ import annotations

import errno
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from typing import Any, Final, Literal, NamedTuple, NoReturn, TypeVar
from zlib import crc32

from ..contract import (
    MAP_ANONYMOUS,
    MAP_GROWSDOWN,
    MAP_LOCKED,
    MAP_POPULATE,
    MAP_PRIVATE,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MS_INVALIDATE,
    Backend,
    Call,
    Counters,
    Facility,
    Facts,
    Fault,
    Options,
    Process,
    System,
    Unresolved,
    errno_name,
)
from ..outcomes import Failed, Faulted, Outcome, Returned
from ..reference.constants import PROT_EXEC, PROT_READ, PROT_WRITE
from ..reference.files import Inode
from ..reference.machine import CAPABILITIES, PATHS, Parameters
from ..reference.mapping import Mapping as Area
from ..reference.observed_choices import NotAllowed, ObservedChoices
from ..reference.process import Process as Model
from ..reference.refusal import Refused
from ..reference.system import ReferenceSystem
from ..trace.calls import CALLS, forward_calls, invoke
from .blame import (
    CROSS_PROCESS_CALLS,
    EFFECT_CLAUSES,
    EFFECT_CLAUSES_OF_FAILURE,
    ENVIRONMENT_ERRNOS,
    MUTATING_CALLS,
    cited_clauses,
)
from .divergence import Divergence, call_text

T = TypeVar("T")

DIRECTORIES: Final = {PATHS[Facility.OWN_FILE_SYSTEM], PATHS[Facility.CRASHING_FILE_SYSTEM]}
"""Facilities with a disk of their own."""

NUMBERS: Final = ("page", "bits", "end", "lowest", "mappings", "locked", "descriptors")
"""The parameters of a machine that a backend's facts may tell, by these names."""

ADDRESSED: Final = {"mmap": ((0, 1),), "mremap": ((0, 1), (4, 2)), "munmap": ((0, 1),), "mprotect": ((0, 1),)}
"""By call, which arguments are an address and the length from there."""

AUDITED_BYTES: Final = 65536
"""How much of a file an audit looks at (`Process.audit`)."""

AUDITED: Final = 16
"""How many pages of a long mapping are audited: so many at its beginning and at its end."""

ROOM: Final = 1 << 16
"""Bytes free of a disk below which a call may say that there is no room."""

PATIENCE: Final = 5
"""How often a call is made again, a hundredth of a second later, that another's full table of files has refused."""

MANY: Final = 64
"""With more mappings than these, only those around what a call was about are audited."""


class AuditedCall(NamedTuple):
    """A call after which an audit looks."""

    call: str
    arguments: Sequence[object]
    leaves: Sequence[str]
    """The clauses that say what it has left behind."""


def parameters(facts: Facts) -> Parameters:
    """The parameters of a machine like the one that a backend tells of; what it does not tell is as usual."""
    told = facts.details
    numbers: dict[str, Any] = {name: int(told[name]) for name in NUMBERS if told.get(name, "").isdecimal()}
    if "capabilities" in told:
        capabilities = CAPABILITIES & frozenset(told["capabilities"].split(","))
    else:
        capabilities = CAPABILITIES if told.get("user", "root") == "root" else frozenset()
    return Parameters(**numbers, capabilities=capabilities)


def measured(backend: Backend) -> Parameters:
    """Return `parameters`, with those that only an experiment shows: whether execute-only pages can be loaded.

    If the experiment is not possible, the default remains; the cases find what is wrong with the system.
    """
    found = parameters(backend.facts())
    with suppress(Exception):
        system = backend.boot()
        try:
            found = replace(found, **execute_only(system.spawn(), found.page))
        finally:
            system.close()
    return found


def execute_only(process: Process, page: int) -> dict[str, Any]:
    """Return the parameters of a machine that concern pages with PROT_EXEC alone, as observed in `process`."""
    flags = MAP_PRIVATE | MAP_ANONYMOUS
    try:
        process.load(process.mmap(0, page, PROT_EXEC, flags, -1, 0), 1)
    except Fault as fault:
        if fault.code not in ("SEGV_ACCERR", "SEGV_PKUERR"):
            return {}
        code = fault.code
    else:
        return {}
    populates = code == "SEGV_ACCERR"
    with suppress(NotImplementedError, OSError):
        populates = all(process.mincore(process.mmap(0, page, PROT_EXEC, flags | MAP_POPULATE, -1, 0), page))
    return {"execute_only": code, "populates_execute_only": populates}


class LockstepBackend(Backend):
    """A backend whose systems are run in lockstep with the reference, judged at `level`."""

    def __init__(self, subject: Backend, level: str) -> None:
        self.subject = subject
        self.name = subject.name
        self.level = level
        self.last: LockstepSystem | None = None
        """The system that was booted last."""
        self._parameters: Parameters | None = None

    def configure(self, options: Options) -> None:
        super().configure(options)
        self.subject.configure(options)

    def facts(self) -> Facts:
        return self.subject.facts()

    def boot(self) -> LockstepSystem:
        if self._parameters is None:
            self._parameters = measured(self.subject)
        self.last = LockstepSystem(
            self.subject.boot(), ReferenceSystem(self._parameters, ObservedChoices(self.level)), "touched"
        )
        return self.last

    def close(self) -> None:
        self.subject.close()


def _picture(process: Process) -> str:
    try:
        return process.maps()
    except (NotImplementedError, OSError, Unresolved) as reason:
        return f"(no picture: {reason})"


class LockstepSystem(System):
    """A system whose processes are pairs: one of `subject` and one of `machine`, which must be `ObservedChoices`.

    `audits`: "all" pages in play, and files; "touched", only pages that the processes have touched, and no files, so
    that neither page tables nor what is in memory change by being looked at; or "none".  `every`: after so many calls
    that change something an audit looks; with more than 1, at all processes, and `look_around` is for the end.
    """

    def __init__(
        self,
        subject: System,
        machine: ReferenceSystem,
        audits: Literal["all", "touched", "none"] = "all",
        every: int = 1,
    ) -> None:
        if not isinstance(machine.choices, ObservedChoices):
            raise TypeError("the machine must be one that follows: ReferenceSystem(parameters, ObservedChoices())")
        self.subject = subject
        self.machine = machine
        self.following = machine.choices
        self.following.page = machine.memory.page
        self.uncompared: str | None = None
        """Why nothing is compared any more; None while it is."""
        self.left_out: Counter[tuple[str, str]] = Counter()
        """Calls that failed for reasons of the subject's own: (call, errno)."""
        self.looked: tuple[LockstepProcess, str, tuple[object, ...]] | None = None
        """The call by which an audit has shown a difference; nobody but the audit has made it."""
        self.compared = 0
        """How many calls have been compared."""
        self.audits = audits
        self.every = every
        self.changes = 0
        """How many calls have changed something."""
        self.locks = False
        """Whether a call has been about locked memory."""
        self.pairs: list[LockstepProcess] = []
        """The processes that live."""
        self._places: dict[str, str] = {}
        """Where a facility is in the subject -> where it is in the machine."""

    # ---- judging

    def give_up(self, reason: str) -> None:
        """From here on the two cannot be compared."""
        if self.uncompared is None:
            self.uncompared = reason

    def judge(
        self,
        pair: LockstepProcess,
        call: str,
        arguments: Sequence[object],
        seen: Outcome,
        after: AuditedCall | None = None,
    ) -> None:
        """Let the reference make a call that the subject has made, and compare.

        `after`: the call after which an audit had to look by this one.
        """
        following = self.following
        following.tell(call, seen)
        following.is_mapped = pair.is_mapped
        following.scratch_range = pair.subject_scratch_range
        following.is_full = pair.is_full
        try:
            expected: Outcome = Returned(invoke(pair.model, call, tuple(arguments)))
        except NotAllowed as impossible:
            allowed, clauses = impossible.allowed, impossible.clauses
            self.diverge(pair, call, arguments, after, seen, allowed, clauses)
        except Refused as refused:
            expected = Failed(refused.chosen.name)
        except Fault as fault:
            expected = Faulted(fault.signal, fault.code, fault.address)
        except (NotImplementedError, Unresolved) as reason:
            if call == "sysconf":  # which changes nothing
                self.left_out[call, "unknown name"] += 1
            else:
                self.give_up(f"{call_text(call, arguments)}: {reason}")
            return
        self.compared += 1
        if expected != seen and not self.agree(expected, seen):
            allowed, clauses = (str(expected),), cited_clauses(pair.model, call, arguments)
            if following.misplaced is not None:
                allowed, clauses = following.misplaced.allowed, following.misplaced.clauses
            self.diverge(pair, call, arguments, after, seen, allowed, clauses)

    def audit(self, pair: LockstepProcess, call: str, arguments: Sequence[object], refused: bool = False) -> None:
        """Look at what a call has left behind."""
        if self.uncompared is not None or self.audits == "none" or call not in MUTATING_CALLS:
            return
        if "lock" in call or (call == "mmap" and isinstance(arguments[3], int) and arguments[3] & MAP_LOCKED):
            self.locks = True
        self.changes += 1
        if self.changes % self.every:
            return
        after = AuditedCall(call, arguments, (EFFECT_CLAUSES_OF_FAILURE if refused else EFFECT_CLAUSES).get(call, ()))
        self.look_at(self.pairs if self.every > 1 or call in CROSS_PROCESS_CALLS else (pair,), after)

    def look_around(self) -> None:
        """Look at what all the calls so far have left behind."""
        if self.uncompared is None and self.audits != "none":
            self.look_at(self.pairs, AuditedCall("all of these", (), ()))

    def look_at(self, pairs: Iterable[LockstepProcess], after: AuditedCall) -> None:
        """Audit some processes, if the subject can be audited."""
        for pair in pairs:
            try:
                self.look(pair, after)
            except NotImplementedError:
                self.audits = "none"

    def look(self, pair: LockstepProcess, after: AuditedCall) -> None:
        """Compare what stands in the pages in play and the open files of a pair, rights and locks."""
        page = pair.model.page
        pages = pair.in_play(after.call, after.arguments)
        files = pair.open_files() if self.audits == "all" else {}
        if not pages and not files:
            return
        numbers = sorted(pages)
        runs: list[tuple[int, int]] = []
        for number in numbers:
            if runs and runs[-1][0] + runs[-1][1] * page == number * page:
                runs[-1] = runs[-1][0], runs[-1][1] + 1
            else:
                runs.append((number * page, 1))
        told = pair.subject.audit(runs, list(files))
        entries = pair.model.space.table.entries
        for number, word in zip(numbers, told, strict=False):
            mapping = pages[number]
            # Most need no load: nothing is there, or no right is, or the process has had the page before and may read.
            if mapping is None or not mapping.prot:
                expected = "SEGV_MAPERR" if mapping is None else "SEGV_ACCERR"
            elif mapping.prot & PROT_READ and (frame := entries.get(number)) is not None:
                expected = f"{crc32(frame.data):08x}"
            else:
                expected = self.digest(pair, number * page, word)
            if word != expected:
                pair.again(after, "load", number * page, page)
        for (fd, inode), word in zip(files.items(), told[len(numbers) :], strict=True):
            self.following.tell("pread", Returned(None))
            content = inode.read(AUDITED_BYTES, 0, self.following)
            if word != f"{inode.size}:{crc32(content):08x}":
                pair.again(after, "fstat", fd)
                pair.again(after, "pread", fd, AUDITED_BYTES, 0)
        if self.audits == "all":
            self.look_at_rights(pair, after, [mapping for mapping in pages.values() if mapping is not None])

    def look_at_rights(self, pair: LockstepProcess, after: AuditedCall, mappings: Iterable[Area]) -> None:
        """Compare which mappings may be stored to, and once locks have been drawn which are locked."""
        compared = self.compared
        with pair.model.unobserved():
            for mapping in dict.fromkeys(mappings):
                if not mapping.prot & PROT_WRITE:
                    with suppress(Fault):
                        pair.again(after, "store", mapping.start, b"x")
                if self.locks and self.following.level == "linux":
                    pair.again(after, "msync", mapping.start, pair.model.page, MS_INVALIDATE)
        self.compared = compared

    def digest(self, pair: LockstepProcess, addr: int, word: str) -> str:
        """What an audit must tell of a page of the reference, where the subject told `word`."""
        if len(word) == 8:
            self.following.tell("load", Returned(None))
        else:
            self.following.tell("load", Faulted("SIGBUS" if word.startswith("BUS") else "SIGSEGV", word, addr))
        with pair.model.unobserved():
            try:
                return f"{crc32(pair.model.load(addr, pair.model.page)):08x}"
            except Fault as fault:
                return fault.code

    def agree(self, expected: Outcome, seen: Outcome) -> bool:
        """Whether two outcomes that are not equal mean the same."""
        if isinstance(expected, Returned) and isinstance(seen, Returned):
            return isinstance(expected.value, Model)
        if not isinstance(expected, Faulted) or not isinstance(seen, Faulted):
            return False
        if expected.signal != seen.signal:
            return False
        if self.following.level != "linux":
            page = self.machine.memory.page
            told = expected.address is not None and seen.address is not None
            return not told or (expected.address or 0) // page == (seen.address or 0) // page
        return expected.address == seen.address and (expected.code == seen.code or seen.code == "SEGV_PKUERR")

    def diverge(
        self,
        pair: LockstepProcess,
        call: str,
        arguments: Sequence[object],
        after: AuditedCall | None,
        seen: Outcome,
        allowed: Sequence[str],
        clauses: Sequence[str],
    ) -> NoReturn:
        """Raise Divergence; nothing is compared afterwards."""
        step = call_text(call, arguments)
        if after is not None:
            step = f"{call_text(after.call, after.arguments)}, then {step}"
            clauses = tuple(dict.fromkeys((*after.leaves, *clauses)))
        step = f"process {pair.model.number}: {step}"
        pictures = pair.pictures()
        self.give_up(f"it has diverged at {step}")
        raise Divergence(step, str(seen), allowed, clauses, pictures)

    # ---- the contract

    def spawn(self) -> LockstepProcess:
        subject, model = self.subject.spawn(), self.machine.spawn()
        try:
            subject.fstat(0)
        except OSError:  # it begins without descriptors
            for fd in list(model.descriptors):
                model.close(fd)
        except NotImplementedError:
            pass
        return LockstepProcess(self, subject, model, set())

    def run_concurrently(self, calls: Sequence[Call]) -> list[object]:
        pairs = [call.process for call in calls if isinstance(call.process, LockstepProcess)]
        if len(pairs) < len(calls):
            raise TypeError("calls made together are each of another process of this system")
        results = self.subject.run_concurrently(
            [Call(pair.subject, call.name, call.arguments) for pair, call in zip(pairs, calls, strict=True)]
        )
        if any(call.name != "add" for call in calls):
            self.give_up("calls other than add were made together, in an order that is not told")
        for pair, call in zip(pairs, calls, strict=True):
            if self.uncompared is None:
                self.judge(pair, call.name, call.arguments, Returned(None))
        for pair, call in zip(pairs, calls, strict=True):
            unlocked = call.name == "add" and not call.arguments[2:3]
            if self.uncompared is None and (unlocked or not call.arguments[2]):
                self.lost(pair, call)
        for pair in pairs[:1]:
            self.audit(pair, "add", ())
        return results

    def lost(self, pair: LockstepProcess, call: Call) -> None:
        """Additions without a lock may have been lost: any sum may stand there."""
        addr = call.arguments[0]
        assert isinstance(addr, int)
        page, start = pair.model.page, addr % pair.model.page
        frame = pair.model.space.table.entries.get(addr // page)
        if frame is None or start + 4 > page:
            self.give_up("additions without a lock: what they have come to is open")
        else:
            frame.open = (frame.open or {}) | {at: bytes(range(256)) for at in range(start, start + 4)}

    def facility(self, facility: Facility) -> str:
        path = self.subject.facility(facility)
        self._places[path] = PATHS[facility]
        return path

    def translate(self, path: str) -> str | None:
        """Where the machine has what the subject has at `path`; None when that is not known."""
        for place, own in self._places.items():
            if path == place or path.startswith(place.rstrip("/") + "/"):
                return own + path[len(place.rstrip("/")) :]
        return path if not path.startswith("/") or path.startswith("/dev/fd/") else None

    def directories(self) -> list[str]:
        """The folders among the facilities that were asked for."""
        return [place for place, own in self._places.items() if own in DIRECTORIES]

    def crash(self) -> None:
        self.subject.crash()
        self.pairs.clear()
        if self.uncompared is None and self.machine.has_unsynced_names():
            self.give_up("a crash: files whose names or sizes were not synced may be as they were before or after")
        if self.uncompared is None:
            self.machine.crash()

    def full_file_table(self) -> AbstractContextManager[None]:
        return self._full_file_table()

    @contextmanager
    def _full_file_table(self) -> Iterator[None]:
        with self.subject.full_file_table(), self.machine.full_file_table():
            yield

    def mapping_limit(self) -> int:
        limit = self.machine.max_map_count = self.subject.mapping_limit()
        return limit

    def close(self) -> None:
        self.subject.close()
        self.machine.close()


class LockstepProcess(Process):
    """A pair of processes that make the same calls."""

    def __init__(self, system: LockstepSystem, subject: Process, model: Model, own: set[int]) -> None:
        self.system = system
        system.pairs.append(self)
        self.subject = subject
        self.model = model
        self.bits = subject.bits
        self.own = own
        """Numbers of pages that have been mapped here: where nothing is now, the subject has nothing of its own."""
        self._scratch_range: tuple[int, int] | None = None

    # ---- what the judge asks beside the calls

    def is_mapped(self, addr: int) -> bool:
        """Whether something is mapped at an address of the subject."""
        try:
            self.subject.mincore(addr, self.model.page)
        except OSError as error:
            return error.errno != errno.ENOMEM
        except NotImplementedError:
            try:
                self.subject.load(addr, 1)
            except Fault as fault:
                return fault.code != "SEGV_MAPERR"
        return True

    def is_full(self) -> bool:
        """Whether one of the subject's file systems has hardly any room."""
        try:
            return any(self.subject.free_space(place) < ROOM for place in (".", *self.system.directories()))
        except (NotImplementedError, OSError):
            return True

    def subject_scratch_range(self) -> tuple[int, int]:
        """The subject's scratch_range; (0, 0) when it has none."""
        if self._scratch_range is None:
            try:
                self._scratch_range = self.subject.scratch_range()
            except NotImplementedError:
                self._scratch_range = 0, 0
        return self._scratch_range

    def pictures(self) -> tuple[str, str]:
        """Both address spaces as text."""
        return _picture(self.subject), _picture(self.model)

    # ---- making a call twice

    def both(self, call: str, make: Callable[[], T], *arguments: object) -> T:
        """Make a call of the subject, and then, with the outcome, of the reference."""
        system = self.system
        if system.uncompared is not None:
            return make()
        try:
            value = make()
        except OSError as error:
            name = errno_name(error)
            if name in ENVIRONMENT_ERRNOS.get(call, ()):
                system.left_out[call, name] += 1
            else:
                system.judge(self, call, arguments, Failed(name))
                system.audit(self, call, arguments, refused=True)
            raise
        except Fault as fault:
            system.judge(self, call, arguments, Faulted(fault.signal, fault.code, fault.address))
            system.audit(self, call, arguments)
            raise
        if system.uncompared is None:
            system.judge(self, call, arguments, Returned(value))
        system.audit(self, call, arguments)
        return value

    def again(self, after: AuditedCall, call: str, *arguments: object) -> None:
        """Look at the subject once more, at what an audit has found different after another call."""
        self.system.looked = self, call, arguments
        try:
            seen: Outcome = Returned(invoke(self.subject, call, arguments))
        except OSError as error:
            seen = Failed(errno_name(error))
        except Fault as fault:
            seen = Faulted(fault.signal, fault.code, fault.address)
        self.system.judge(self, call, arguments, seen, after=after)

    # ---- what an audit looks at

    def in_play(self, call: str, arguments: Sequence[object]) -> dict[int, Area | None]:
        """The numbers of the pages that an audit after a call looks at, each with what is mapped there."""
        space, page = self.model.space, self.model.page
        pages: dict[int, Area | None] = {}
        around = [self._range(arguments[at], arguments[length]) for at, length in ADDRESSED.get(call, ())]
        mappings: Iterable[Area] = space.mappings.values()
        if len(space.mappings) > MANY:
            mappings = [m for start, end in around for m in space.over(max(start - page, 0), end + page)][:MANY]
        beside = {number for start, end in around for number in self._ends(start // page, end // page)}
        for mapping in mappings:
            first, behind = mapping.start // page, mapping.end // page
            if self.system.audits == "touched":
                pages.update(dict.fromkeys(self._few(space.table.within(first, behind)), mapping))
            else:
                pages.update(dict.fromkeys(self._ends(first, behind), mapping))
            beside.add(first - 1)
            beside.add(behind)
        low, length = self.subject_scratch_range()
        low, high = low // page, (low + length) // page
        for number in beside:
            is_own = low <= number < high or number in self.own
            if is_own and number not in pages and space.is_free(number * page, number * page + page):
                pages[number] = None
        return pages

    def _range(self, addr: object, length: object) -> tuple[int, int]:
        """An address and a length among a call's arguments, as a range within user space."""
        assert isinstance(addr, int)
        assert isinstance(length, int)
        top, page = self.model.top, self.model.page
        if not 0 <= addr < top or addr % page:
            return 0, 0
        return addr, min(addr + self.model.round_up(length), top)

    def _ends(self, first: int, behind: int) -> Iterable[int]:
        """The page numbers from `first` to before `behind`; of many the first and the last few."""
        if behind - first <= 2 * AUDITED:
            return range(first, behind)
        return (*range(first, first + AUDITED), *range(behind - AUDITED, behind))

    def _few(self, numbers: list[int]) -> list[int]:
        return numbers if len(numbers) <= 2 * AUDITED else numbers[:AUDITED] + numbers[-AUDITED:]

    def open_files(self) -> dict[int, Inode]:
        """A descriptor that can be read from for each regular file that is open."""
        files: dict[Inode, int] = {}
        for fd, descriptor in self.model.descriptors.items():
            description = descriptor.description
            inode = description.inode
            if description.readable and inode.kind == "regular" and not inode.device:
                files.setdefault(inode, fd)
        return {fd: inode for inode, fd in files.items()}

    def now_owns(self, start: int, length: int) -> None:
        """The system has placed `length` bytes here (at an address that was asked for, its stack may be beside)."""
        page = self.model.page
        self.own.update(self._ends(start // page, (start + self.model.round_up(length)) // page))

    def by_path(self, call: str, make: Callable[[], T], path: str, *arguments: object) -> T:
        """`both` for a call whose first argument is a path."""
        own = self.system.translate(path)
        if own is not None:
            return self.both(call, make, own, *arguments)
        value = make()
        self.system.give_up(f"{call}({path!r}): a path that the reference does not have")
        return value

    # ---- calls that are more than one call of each

    def mmap(self, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
        arguments = addr, length, prot, flags, fd, offset
        audits = self.system.audits
        if flags & MAP_GROWSDOWN:
            self.system.audits = "none"  # looking below it would make it grow
        try:
            start = self.both("mmap", lambda: self.patiently(lambda: self.subject.mmap(*arguments)), *arguments)
        except OSError:
            self.system.audits = audits
            raise
        if not addr:
            self.now_owns(start, length)
        return start

    def patiently(self, make: Callable[[], int]) -> int:
        """Make a call again where the whole system's table of files is full, which somebody else has done."""
        for _ in range(PATIENCE):
            try:
                return make()
            except OSError as error:
                if error.errno != errno.ENFILE or self.model.machine.file_table.full:
                    raise
            time.sleep(0.01)
        return make()

    def mremap(self, addr: int, old_size: int, new_size: int, flags: int, new_addr: int = 0) -> int:
        arguments = addr, old_size, new_size, flags, new_addr
        start = self.both("mremap", lambda: self.subject.mremap(*arguments), *arguments)
        if not flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) and (start != addr or new_size > old_size):
            self.now_owns(start, new_size)
        return start

    def fragment(self, addr: int, pages: int) -> str | None:
        failed = self.subject.fragment(addr, pages)
        if self.system.uncompared is not None:
            return failed
        done = pages // 2 if failed is None else self.fragmented(addr, pages)
        page = self.model.page
        for at in range(addr + page, addr + page + 2 * page * done, 2 * page):
            self.system.judge(self, "mprotect", (at, page, PROT_READ), Returned(None))
        if failed is not None:
            self.system.judge(self, "mprotect", (addr + page + 2 * page * done, page, PROT_READ), Failed(failed))
        self.system.audit(self, "mprotect", (addr, page))
        return failed

    def fragmented(self, addr: int, pages: int) -> int:
        """How many pages a fragment that failed has given the right to be loaded."""
        page = self.model.page
        done, failed = 0, pages // 2
        while done < failed:
            at = (done + failed) // 2
            try:
                self.subject.load(addr + page + 2 * page * at, 1)
                changed = True
            except Fault as fault:
                changed = fault.signal == "SIGBUS"  # it may be past the end of its file
            done, failed = (at + 1, failed) if changed else (done, at)
        return done

    def return_instruction(self) -> bytes:
        code = self.system.machine.return_instruction = self.subject.return_instruction()
        return code

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        return self.both(
            "pwrite",
            lambda: self.perhaps_cut_short(self.subject.pwrite(fd, data, offset), len(data)),
            *(fd, data, offset),
        )

    def perhaps_cut_short(self, written: int, length: int) -> int:
        """How much of a write was made; a full disk may have cut it short, which the reference cannot know."""
        if written < length and self.is_full():
            self.system.give_up("a write was cut short: the disk is full")
        return written

    def write_from(self, fd: int, addr: int, length: int, offset: int) -> int:
        arguments = fd, addr, length, offset
        return self.both(
            "write_from", lambda: self.perhaps_cut_short(self.subject.write_from(*arguments), length), *arguments
        )

    def free_space(self, path: str) -> int:
        return self.subject.free_space(path)

    def fork(self) -> LockstepProcess:
        system = self.system
        try:
            child = self.subject.fork()
        except OSError as error:
            system.left_out["fork", errno_name(error)] += 1
            raise
        if system.uncompared is not None:
            return LockstepProcess(system, child, self.model, self.own)
        pair = LockstepProcess(system, child, self.model.fork(), set(self.own))
        system.audit(pair, "fork", ())
        return pair

    def exit(self, status: int = 0) -> int:
        self.ended()
        return self.both("exit", lambda: self.subject.exit(status), status)

    def kill(self) -> None:
        self.ended()
        self.both("kill", self.subject.kill)

    def ended(self) -> None:
        """No audit looks at it any more."""
        if self in self.system.pairs:
            self.system.pairs.remove(self)

    def exec(self) -> None:
        self.own.clear()
        self.both("exec", self.subject.exec)

    def scratch_range(self) -> tuple[int, int]:
        return self.subject.scratch_range()

    def counters(self) -> Counters:
        self.system.audits = "none"  # they would count
        return self.subject.counters()

    def maps(self) -> str:
        return self.subject.maps()


def _both(pair: LockstepProcess, call: str, arguments: tuple[Any, ...]) -> Any:
    """Make a call of both processes of a pair."""
    make = pair.by_path if next(iter(CALLS[call].arguments.values()), "") == "path" else pair.both
    return make(call, lambda: invoke(pair.subject, call, arguments), *arguments)


forward_calls(LockstepProcess, _both)
