"""Lockstep: a system and the reference side by side, up to the first difference.

The subject makes each call first.  Then the reference makes the same call, given the observed outcome: wherever the
specification leaves a choice, it chooses as the subject did, if that is one of the allowed outcomes
(`ObservedChoices`).  Its own outcome is compared with the observed one, and a difference raises `Divergence`, with
every outcome that is allowed.  There are no rules here: the reference judges.

A wrong effect of a call may show much later, or never.  So an *audit* follows each call that changes something
(`audit`): in one request the subject reports, for the pages in play and those next to them, whether each can be loaded
and a digest of its content, and likewise for the open files, and the reference is asked for the same.  On pages that
may not be stored to, a store is tried.  Once a call was about locked memory, each mapping is asked for its lock as well
(MS_INVALIDATE, which changes nothing, is refused there).

A pair of processes implements the contract, so whatever is written against it runs in lockstep: cases, random programs,
a user's own test.

Where the two can no longer be compared (the reference does not model the call, or the specification leaves its effect
open) the subject goes on alone, and `LockstepSystem.uncompared` is the reason.  A call that has failed for a reason in
the subject's environment (its disk is full, say) has done nothing: the reference leaves it out, and
`LockstepSystem.left_out` counts it.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, Final, Literal, TypeVar

from ..contract import (
    MAP_GROWSDOWN,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    Backend,
    Call,
    Counters,
    Died,
    Facility,
    Fault,
    Process,
    System,
    errno_name,
)
from ..outcomes import Ended, Failed, Faulted, Returned
from ..reference.constants import PROT_READ
from ..reference.machine import PATHS, Parameters
from ..reference.observed_choices import ObservedChoices
from ..reference.process import ReferenceProcess
from ..reference.system import ReferenceSystem
from ..trace.calls import CALLS, forward_calls, invoke
from ..trace.wrapping import WrappingBackend
from .audit import Auditor
from .blame import ENVIRONMENT_ERRNOS
from .comparison import AuditedCall, Comparison
from .concurrency import State, TooMany, merge, reachable
from .divergence import Divergence
from .pair import Pair
from .parameters import measure_parameters

T = TypeVar("T")

DIRECTORIES: Final = {PATHS[Facility.OWN_FILE_SYSTEM], PATHS[Facility.CRASHING_FILE_SYSTEM]}
"""Facilities with a disk of their own."""

ENFILE_RETRIES: Final = 5
"""Retries of a call that failed with ENFILE because another process had filled the system's file table."""

ENFILE_DELAY: Final = 0.01
"""Seconds before each of them."""


class LockstepBackend(WrappingBackend):
    """A backend whose systems are run in lockstep with the reference, judged at `level`."""

    def __init__(self, subject: Backend, level: str) -> None:
        super().__init__(subject)
        self.level = level
        self.last: LockstepSystem | None = None
        """The system that was booted last."""
        self._parameters: Parameters | None = None

    def boot(self) -> LockstepSystem:
        if self._parameters is None:
            self._parameters = measure_parameters(self.subject)
        self.last = LockstepSystem(
            self.subject.boot(), ReferenceSystem(self._parameters, ObservedChoices(self.level)), "touched"
        )
        return self.last


class LockstepSystem(Comparison, System):
    """A system whose processes are pairs: one of `subject` and one of `machine`, which must have `ObservedChoices`.

    `audits`: the scope of the audits (`audit.Scope`), or "none".  `every`: calls that change something from one audit
    to the next; with more than 1, an audit covers all processes, and the caller ends with `audit_all`.
    """

    def __init__(
        self,
        subject: System,
        machine: ReferenceSystem,
        audits: Literal["all", "touched", "none"] = "all",
        every: int = 1,
    ) -> None:
        if not isinstance(machine.choices, ObservedChoices):
            raise TypeError("the machine must have observed choices: ReferenceSystem(parameters, ObservedChoices())")
        super().__init__(machine.choices)
        self.choices.page = machine.memory.page
        self.choices.bits = machine.parameters.bits
        self.subject = subject
        self.machine = machine
        self.audits = Auditor(self.choices, self.confirm, "all" if audits == "none" else audits, every)
        if audits == "none":
            self.audits.suspended = "the system was booted without audits"
        self.pairs: list[LockstepProcess] = []
        """The processes that have not ended."""
        self._paths: dict[str, str] = {}
        """The path of a facility in the subject -> its path in the machine."""

    # ---- audits

    def audit(self, pair: LockstepProcess, call: str, arguments: Sequence[object], failed: bool = False) -> None:
        """Audit the effect of a call, if an audit is due."""
        if self.uncompared is None:
            self.audits.audit_call(pair, self.pairs, call, arguments, failed)

    def audit_all(self) -> None:
        """Audit the effects of all calls so far."""
        if self.uncompared is None:
            self.audits.audit_all(self.pairs)

    # ---- the contract

    def spawn(self) -> LockstepProcess:
        subject, model = self.subject.spawn(), self.machine.spawn()
        try:
            subject.fstat(0)
        except OSError:  # the subject's processes begin without descriptors
            for fd in list(model.descriptors):
                model.close(fd)
        except NotImplementedError:
            pass
        return LockstepProcess(self, subject, model, set())

    def run_concurrently(self, calls: Sequence[Call]) -> list[object]:
        pairs = [call.process for call in calls if isinstance(call.process, LockstepProcess)]
        if len(pairs) < len(calls):
            raise TypeError("concurrent calls must be those of processes of this system")
        results = self.subject.run_concurrently(
            [Call(pair.subject, call.name, call.arguments) for pair, call in zip(pairs, calls, strict=True)]
        )
        if any(call.name != "add" for call in calls):
            self.give_up("calls other than add were made concurrently, in an unknown order")
        for pair, call in zip(pairs, calls, strict=True):
            if self.uncompared is None:
                self.judge(pair, call.name, call.arguments, Returned(None))
        for pair, call in zip(pairs, calls, strict=True):
            unlocked = call.name == "add" and not call.arguments[2:3]
            if self.uncompared is None and (unlocked or not call.arguments[2]):
                self.admit_lost_updates(pair, call)
        for pair in pairs[:1]:
            self.audit(pair, "add", ())
        return results

    def together(self, calls: Sequence[Call], rounds: int) -> dict[tuple[str, ...], int]:
        pairs = [call.process for call in calls if isinstance(call.process, LockstepProcess)]
        if len(pairs) < len(calls):
            raise TypeError("calls that are made together must be those of processes of this system")
        tally = self.subject.together(
            [
                Call(pair.subject, call.name, call.arguments, call.stage)
                for pair, call in zip(pairs, calls, strict=True)
            ],
            rounds,
        )
        if self.uncompared is None:
            self.judge_rounds(pairs, calls, tally)
        if self.uncompared is None and self.audits.suspended is None:
            self.audits.audit_pairs(self.pairs, AuditedCall("together", (), ()))
        return tally

    def judge_rounds(
        self, pairs: Sequence[LockstepProcess], calls: Sequence[Call], tally: Mapping[tuple[str, ...], int]
    ) -> None:
        """Search an order of the calls for each outcome, and follow what the rounds have done."""
        actors = list(dict.fromkeys(pairs))
        others = [pair for pair in self.all_pairs() if pair not in actors]
        begun = State(self.machine, [pair.model for pair in actors], [pair.model for pair in others])
        try:
            ends, rejected = reachable(begun.copy(), calls, [actors.index(pair) for pair in pairs], tally)
            if rejected is not None:
                outcomes, observed, expected = rejected
                at = next((at for at, text in enumerate(outcomes) if text == observed), 0)
                self.differ(
                    pairs[at],
                    "together",
                    tuple(
                        f"{call.name} in stage {call.stage}: {text}" for call, text in zip(calls, outcomes, strict=True)
                    ),
                    None,
                    Returned(f"{observed} in {tally[outcomes]} of {sum(tally.values())} rounds"),
                    Returned(expected),
                    (expected,),
                    (OF_ROUNDS.get(calls[at].name, "threads.disjoint"),),
                )
                return
            end = merge(ends)
        except TooMany as reason:
            self.give_up(f"calls were made concurrently, and there are too many {reason}")
            return
        # The objects stay, with the state of the copies: others refer to them.
        self.machine.__dict__ = end.machine.__dict__
        for pair, model in zip((*actors, *others), (*end.actors, *end.others), strict=True):
            pair.model.__dict__ = model.__dict__
            pair.model.translations = model.translations
            pair.model.machine = self.machine
        self.machine.processes[:] = [pair.model for pair in self.pairs]
        self.compared += len(calls)

    def all_pairs(self) -> list[LockstepProcess]:
        """Return the processes that have not ended, each followed by its other threads."""
        return [each for pair in self.pairs for each in (pair, *pair.threads)]

    def admit_lost_updates(self, pair: LockstepProcess, call: Call) -> None:
        """Allow any content of the word of an addition without a lock: updates of it may have been lost."""
        addr = call.arguments[0]
        assert isinstance(addr, int)
        page, start = pair.model.page, addr % pair.model.page
        frame = pair.model.space.table.entries.get(addr // page)
        if frame is None or start + 4 > page:
            self.give_up("additions without a lock: their sum is indeterminate")
        else:
            frame.allow({at: bytes(range(256)) for at in range(start, start + 4)})

    def facility(self, facility: Facility) -> str:
        path = self.subject.facility(facility)
        self._paths[path] = PATHS[facility]
        return path

    def translate(self, path: str) -> str | None:
        """Return the path in the machine of what the subject has at `path`; None if the machine has no such file."""
        for of_subject, of_machine in self._paths.items():
            if path == of_subject or path.startswith(of_subject.rstrip("/") + "/"):
                return of_machine + path[len(of_subject.rstrip("/")) :]
        return path if not path.startswith("/") or path.startswith("/dev/fd/") else None

    def directories(self) -> list[str]:
        """Return the subject's paths of the directories among the facilities that were requested."""
        return [path for path, of_machine in self._paths.items() if of_machine in DIRECTORIES]

    def crash(self) -> None:
        self.subject.crash()
        self.pairs.clear()
        if self.uncompared is None and self.machine.has_unsynced_names():
            self.give_up("a crash: changes of names and sizes that were not synced may or may not have survived")
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


OF_ROUNDS: Final = {
    "load": "threads.load-store",
    "store": "threads.load-store",
    "load_in_child": "threads.fork.moment",
}
"""By call, the clause that a disallowed outcome among concurrent calls is charged to; threads.disjoint for others."""


class LockstepProcess(Pair):
    """A pair of processes that make the same calls.  Its other calls are forwarders made from `CALLS`."""

    def __init__(
        self,
        system: LockstepSystem,
        subject: Process,
        model: ReferenceProcess,
        mapped_pages: set[int],
        is_process: bool = True,
    ) -> None:
        super().__init__(subject, model, mapped_pages, system.directories)
        self.system = system
        self.threads: list[LockstepProcess] = []
        """Its other threads."""
        if is_process:
            system.pairs.append(self)

    # ---- making a call twice

    def call_both(self, call: str, make: Callable[[], T], *arguments: object) -> T:
        """Make a call of the subject, and then, given its outcome, of the reference; audit the effect.

        `make` makes the subject's call; `arguments` are those of the reference's.
        """
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
                system.audit(self, call, arguments, failed=True)
            raise
        except Fault as fault:
            system.judge(self, call, arguments, Faulted(fault.signal, fault.code, fault.address))
            system.audit(self, call, arguments)
            raise
        except Died as died:
            try:
                system.judge(self, call, arguments, Ended(died.text))
            except Divergence as divergence:
                divergence.died = died
                raise divergence from died
            raise
        if system.uncompared is None:
            system.judge(self, call, arguments, Returned(value))
        system.audit(self, call, arguments)
        return value

    def call_both_by_path(self, call: str, make: Callable[[], T], *arguments: object) -> T:
        """Make a call with paths, which are the subject's, as `call_both` does."""
        kinds = CALLS[call].arguments.values()
        translated = list(arguments)
        for place, (kind, argument) in enumerate(zip(kinds, arguments, strict=False)):
            if kind != "path":
                continue
            path = self.system.translate(str(argument))
            if path is None:
                value = make()
                self.system.give_up(f"{call}({argument!r}): a path that the reference does not have")
                return value
            translated[place] = path
        return self.call_both(call, make, *translated)

    # ---- calls that are more than one call of each

    def mmap(self, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
        arguments = addr, length, prot, flags, fd, offset
        audits = self.system.audits
        suspended = audits.suspended
        if flags & MAP_GROWSDOWN:
            audits.suspended = "an audit below a mapping that grows down would make it grow"
        try:
            start = self.call_both("mmap", lambda: self.retry_enfile(lambda: self.subject.mmap(*arguments)), *arguments)
        except OSError:
            audits.suspended = suspended
            raise
        if not addr:
            self.claim(start, length)
        return start

    def retry_enfile(self, make: Callable[[], int]) -> int:
        """Make a call, again if it fails with ENFILE because another process has filled the system's file table."""
        for _ in range(ENFILE_RETRIES):
            try:
                return make()
            except OSError as error:
                if error.errno != errno.ENFILE or self.model.machine.file_table.full:
                    raise
            time.sleep(ENFILE_DELAY)
        return make()

    def mremap(self, addr: int, old_size: int, new_size: int, flags: int, new_addr: int = 0) -> int:
        arguments = addr, old_size, new_size, flags, new_addr
        start = self.call_both("mremap", lambda: self.subject.mremap(*arguments), *arguments)
        if not flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) and (start != addr or new_size > old_size):
            self.claim(start, new_size)
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
        """Return the number of pages that a `fragment` that failed has made readable."""
        page = self.model.page
        done, failed = 0, pages // 2
        while done < failed:
            at = (done + failed) // 2
            try:
                self.subject.load(addr + page + 2 * page * at, 1)
                changed = True
            except Fault as fault:
                changed = fault.signal == "SIGBUS"  # the page may be past the end of its file
            done, failed = (at + 1, failed) if changed else (done, at)
        return done

    def return_instruction(self) -> bytes:
        code = self.system.machine.return_instruction = self.subject.return_instruction()
        return code

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        return self.call_both(
            "pwrite",
            lambda: self.admit_short_write(self.subject.pwrite(fd, data, offset), len(data)),
            *(fd, data, offset),
        )

    def admit_short_write(self, written: int, length: int) -> int:
        """Return the bytes written; give up if a full disk, unknown to the reference, cut the write short."""
        if written < length and self.is_disk_full():
            self.system.give_up("a write was cut short: the disk is full")
        return written

    def write_from(self, fd: int, addr: int, length: int, offset: int) -> int:
        arguments = fd, addr, length, offset
        return self.call_both(
            "write_from", lambda: self.admit_short_write(self.subject.write_from(*arguments), length), *arguments
        )

    def pwritev(self, fd: int, addr: int, length: int, addr_2: int, length_2: int, offset: int) -> int:
        arguments = fd, addr, length, addr_2, length_2, offset
        return self.call_both(
            "pwritev", lambda: self.admit_short_write(self.subject.pwritev(*arguments), length + length_2), *arguments
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
            return LockstepProcess(system, child, self.model, self.mapped_pages)
        pair = LockstepProcess(system, child, self.model.fork(), set(self.mapped_pages))
        pair._scratch_range = self._scratch_range
        system.audit(pair, "fork", ())
        return pair

    def load_in_child(self, addr: int, length: int) -> bytes:
        return Process.load_in_child(self, addr, length)  # a pair of children, which are compared

    def thread(self) -> LockstepProcess:
        system = self.system
        try:
            thread = self.subject.thread()
        except OSError as error:
            system.left_out["thread", errno_name(error)] += 1
            raise
        model = self.model if system.uncompared is not None else self.model.thread()
        self.threads.append(LockstepProcess(system, thread, model, self.mapped_pages, False))
        return self.threads[-1]

    def exit(self, status: int = 0) -> int:
        self.forget()
        return self.call_both("exit", lambda: self.subject.exit(status), status)

    def kill(self) -> None:
        self.forget()
        self.call_both("kill", self.subject.kill)

    def forget(self) -> None:
        """Audit this pair no more: its processes end."""
        if self in self.system.pairs:
            self.system.pairs.remove(self)

    def exec(self) -> None:
        self.mapped_pages.clear()
        self._scratch_range = None
        self.call_both("exec", self.subject.exec)

    def scratch_range(self) -> tuple[int, int]:
        if self._scratch_range is None:
            self._scratch_range = self.subject.scratch_range()
        return self._scratch_range

    def counters(self) -> Counters:
        self.system.audits.suspended = "the system calls and faults of an audit would be counted"
        return self.subject.counters()

    def maps(self) -> str:
        return self.subject.maps()


_BY_PATH: Final = {call for call, signature in CALLS.items() if "path" in signature.arguments.values()}
"""The calls with paths."""


def _both(pair: LockstepProcess, call: str, arguments: tuple[Any, ...]) -> Any:
    """Make a call of both processes of a pair."""
    make_both = pair.call_both_by_path if call in _BY_PATH else pair.call_both
    return make_both(call, partial(invoke, pair.subject, call, arguments), *arguments)


forward_calls(LockstepProcess, _both)
