"""What is handed over of a failure: a program that shows it, as JSON, as test lines, and as C.

Whatever calls a case has made, they are made again on a fresh system in lockstep with the reference, by symbol.  The
first difference ends the program: its last step is what the implementation may not do, and the steps before it went as
they may.  So what the C file expects comes from the reference alone, and is about a step that the implementation was
seen to get wrong twice.  Where the two do not differ, the case judges something that its steps do not show (that two
answers are the same, say), and a C file would prove nothing: none is written, and the list of files says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple
from zlib import crc32

from ..contract import Backend
from ..reference.linux_choices import LinuxChoices
from ..reference.machine import Parameters
from ..reference.observed_choices import ObservedChoices
from ..reference.system import ReferenceSystem
from ..trace.c_source import NotPrintable, c_source
from ..trace.calls import CALLS
from ..trace.program import Allowed, Fails, Faults, NotExecuted, Program, Step, SymbolicOutcome, needed, to_json
from ..trace.pytest_source import pytest_source
from ..trace.recorder import RecordedProcess, RecordedSystem
from ..trace.replay import Player, allowed, is_address_given, replay
from .blame import MUTATING_CALLS
from .divergence import Divergence, as_data
from .lockstep import LockstepProcess, LockstepSystem, measured

HARMLESS: Final = ("load", "execute", "mincore", "sysconf", "counters", "free_space", "mapping_limit")
"""Calls after which all goes on in the same way, whether they have succeeded or not."""

NAME_LENGTH: Final = 160
"""Characters of a file's name."""


class Replayed(NamedTuple):
    """How a program went in lockstep."""

    program: Program
    """As far as it was made; where there is a divergence, its last step shows it."""
    outcomes: Sequence[SymbolicOutcome]
    """What each step came to on the implementation; of the last not, where there is a divergence."""
    divergence: Divergence | None = None
    uncompared: str | None = None
    """Why it was not compared to its end."""
    unasked: str | None = None
    """The first step that the implementation cannot be asked, and why."""


class Judge:
    """Judges programs on one backend's systems, at one level."""

    def __init__(self, subject: Backend, level: str) -> None:
        self.subject = subject
        self.level = level
        self._parameters: Parameters | None = None

    @property
    def parameters(self) -> Parameters:
        """Of a machine that is like the implementation."""
        if self._parameters is None:
            self._parameters = measured(self.subject)
        return self._parameters

    def judge(self, program: Program) -> Replayed:
        """Make a program's calls in lockstep.

        First by what the calls themselves come to; only where that shows nothing, by what each leaves behind.
        """
        judged = self.run(program, "none")
        if judged.unasked is not None or (judged.divergence is not None and not _by_choice(judged)):
            return judged
        audited = self.run(program, "all")
        return judged if audited.divergence is None else audited

    def run(self, program: Program, audits: Literal["none", "all"]) -> Replayed:
        """Make a program's calls in lockstep, and audit after each."""
        reference = ReferenceSystem(
            self.parameters, ObservedChoices(self.level)
        )  # first: the parameters may take a boot
        system = LockstepSystem(self.subject.boot(), reference, "none")
        recorded = RecordedSystem(system)
        try:
            player = Player(recorded)
            with player.full:
                unasked = None
                for number, step in enumerate(program, 1):
                    try:
                        outcome = player.play(step)
                        if isinstance(outcome, NotExecuted) and not unasked:
                            unasked = f"step {number}, {step}: {outcome.why}"
                        if audits == "all":
                            _audit(system, recorded, player, step, outcome)
                    except Divergence as divergence:
                        if system.looked is not None:
                            _note_look(recorded, player, system.looked, divergence)
                        return Replayed(*needed(*recorded.program()), divergence, None, unasked)
                return Replayed(*needed(*recorded.program()), None, system.uncompared, unasked)
        finally:
            system.close()

    def expected(self, judged: Replayed) -> list[Allowed]:
        """What each step may come to: what the reference does, and where it may do another thing, what was seen.

        Raises NotPrintable where the reference goes another way before the last step.
        """
        answers = replay(judged.program, ReferenceSystem(self.parameters, LinuxChoices()))
        found: list[Allowed] = []
        for number, (step, answer) in enumerate(zip(judged.program, answers, strict=True)):
            may = allowed(step, answer)
            if number < len(judged.outcomes):
                seen = judged.outcomes[number]
                if type(seen) is not type(answer) and step.call not in HARMLESS:
                    raise NotPrintable(f"step {number + 1}, {step}: may come to this or that, and the rest hangs on it")
                may = frozenset(self.as_judged(outcome) for outcome in may)
                if may and not isinstance(seen, NotExecuted):
                    may |= {self.as_judged(seen)}
            elif judged.divergence is not None:
                signal = answer.signal if isinstance(answer, Faults) else " "
                if not judged.divergence.seen.startswith(signal):  # else it is the code or the address that is wrong
                    may = frozenset(self.as_judged(outcome) for outcome in may)
            found.append(may)
        return found

    def as_judged(self, outcome: SymbolicOutcome) -> SymbolicOutcome:
        """An outcome without what is not judged at this level."""
        if isinstance(outcome, Faults) and self.level != "linux":
            return Faults(outcome.signal, None, None)
        return replace(outcome, allowed=frozenset()) if isinstance(outcome, Fails) else outcome


def _by_choice(judged: Replayed) -> bool:
    """Whether the last step gave, as it should, a place or number of the system's choice, but a wrong one.

    What makes it wrong is what else there is, of which a program says nothing.
    """
    step = judged.program[-1]
    chosen = CALLS[step.call].result in ("fd", "fds", "process", "scratch_range") or (
        CALLS[step.call].result == "address" and not is_address_given(step)
    )
    if not chosen or judged.divergence is None:
        return False
    return not any(re.match("E[A-Z]", told) for told in (judged.divergence.seen, judged.divergence.allowed[0]))


def _audit(
    system: LockstepSystem, recorded: RecordedSystem, player: Player, step: Step, outcome: SymbolicOutcome
) -> None:
    """Look at what a step has left behind, once its results have got their names."""
    if step.call not in MUTATING_CALLS or isinstance(outcome, NotExecuted):
        return
    process = player.processes[step.process]
    assert isinstance(process, RecordedProcess)
    assert isinstance(process.inside, LockstepProcess)
    system.audits = "all"
    try:
        system.audit(process.inside, step.call, recorded.noted[-1][2], refused=isinstance(outcome, Fails))
    finally:
        system.audits = "none"


def _note_look(
    recorded: RecordedSystem,
    player: Player,
    look: tuple[LockstepProcess, str, tuple[object, ...]],
    divergence: Divergence,
) -> None:
    """Make the call by which an audit has shown a difference the last step of the program."""
    pair, call, arguments = look
    for process in player.processes.values():
        if isinstance(process, RecordedProcess) and process.inside is pair:
            recorded.noted.append((process.name, call, arguments, (), None, divergence))


# ---------------------------------------------------------------------------------------------------------- the files


def file_name(id: str) -> str:
    """A case's name as the name of a file, without an ending: "munmap.range[whole]" is "munmap.range-whole"."""
    name = re.sub(r"[^\w.]+", "-", id, flags=re.ASCII).strip("-")
    return name if len(name) <= NAME_LENGTH else f"{name[:NAME_LENGTH]}-{crc32(id.encode()):08x}"


def shortened(judge: Judge, program: Program) -> str:
    """A program as JSON, as far as it has to go to show a difference; empty where it shows none."""
    try:
        judged = judge.judge(program)
    except Exception:  # an implementation that is broken may do anything
        return ""
    return to_json(judged.program) if judged.divergence is not None else ""


def write(
    judge: Judge, program: Program, id: str, clauses: Sequence[str], folder: Path, called: str
) -> tuple[list[str], dict[str, Any]]:
    """Write what shows a case's failure to a folder, which the user calls `called`.

    Returns a line for each file (its name, and of a C file that is not written, why), and the same as plain data.
    """
    base = file_name(id)
    word = re.sub(r"\W", "_", base)  # a module of Python's has no other name
    told = []
    texts: dict[str, Any] = {}
    shown: dict[str, Any] = {"program": texts}

    def put(kind: str, name: str, text: str) -> None:
        (folder / name).write_text(text, encoding="utf-8")
        told.append(f"{called}/{name}")
        texts[kind] = text

    def lacks(why: object) -> None:
        told.append(f"{called}/{base}.c is not written: {why}")
        texts["lacks"] = str(why)

    if not program:
        lacks("no calls of this case's own are on record")
        return told, shown
    why = ""
    judged = Replayed(program, ())
    try:
        judged = judge.judge(program)
    except Exception as error:  # an implementation that is broken may do anything
        why = f"{type(error).__name__} when its calls were made again: {error}".partition("\n")[0]
    if judged.divergence is not None:
        shown |= as_data(judged.divergence)
    texts["steps"] = [str(step) for step in judged.program]
    put("json", f"{base}.json", to_json(judged.program))
    try:
        if not why and judged.divergence is None:
            why = "its calls come to what they may; it judges something that no single one shows"
            why += f" (not compared to the end: {judged.uncompared})" if judged.uncompared else ""
        if why:
            raise NotPrintable(why)
        if _by_choice(judged):
            raise NotPrintable(f"{judged.divergence}: this hangs on what else the system has placed")
        expected = judge.expected(judged)
        if not expected[-1]:
            raise NotPrintable(f"what {judged.program[-1]} comes to is told nowhere")
        cited = judged.divergence.clauses if judged.divergence else clauses
        put("python", f"{word}.py", pytest_source(judged.program, expected, word, cited))
        title = f"{id}: what shows it is step {len(judged.program)}, {judged.program[-1].call}."
        put("c", f"{base}.c", c_source(judged.program, expected, title.replace("*/", "* /"), cited))
    except NotPrintable as reason:
        lacks(reason)
    return told, shown
