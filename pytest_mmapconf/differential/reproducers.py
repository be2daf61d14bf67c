"""The files that reproduce a failure: a program that shows it, as JSON, as test lines, and as C.

The calls that a case has made are made again, by symbol, on a fresh system in lockstep with the reference.  The first
difference ends the program: the outcome of its last step is not allowed, and those of the steps before it are.  So the
expectations of the C file are the reference's alone, and concern a step that the implementation got wrong twice.  Where
the two do not differ, the case judges something that its steps do not show (that two results are equal, say), and a C
file would prove nothing: none is written, and the list of files says so.  Only a race may have failed once, and not
again: the files then make the rounds in which it did.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple
from zlib import crc32

from ..contract import Backend, Process
from ..outcomes import Returned
from ..reference.linux_choices import LinuxChoices
from ..reference.machine import Parameters
from ..reference.observed_choices import ObservedChoices
from ..reference.system import ReferenceSystem
from ..trace.c_source import NotPrintable, c_source
from ..trace.calls import CALLS
from ..trace.program import Allowed, Fails, Faults, NotExecuted, Program, Step, SymbolicOutcome, needed, to_json
from ..trace.pytest_source import pytest_source
from ..trace.recorder import RecordedProcess, RecordedSystem
from ..trace.replay import Player, allowed
from .accepted_outcomes import accepted_outcomes
from .blame import MUTATING_CALLS
from .concurrency import TooMany
from .divergence import Divergence, as_data
from .lockstep import LockstepProcess, LockstepSystem
from .pair import Pair
from .parameters import measure_parameters
from .round_outcomes import outcomes_of_step

HARMLESS: Final = ("load", "execute", "mincore", "sysconf", "counters", "free_space", "mapping_limit")
"""Calls on whose success or failure no later step depends."""

RACE_RUNS: Final = 5
"""How often a program that makes calls together is made again, until it shows a difference."""

NAME_LENGTH: Final = 160
"""Characters that the name of a file may have, without its suffix."""


class Replayed(NamedTuple):
    """A program that was run in lockstep, and its outcomes."""

    program: Program
    """The steps that were made; if there is a divergence, the last one shows it."""
    outcomes: Sequence[SymbolicOutcome]
    """The outcome of each step on the implementation; without that of the last step if there is a divergence."""
    divergence: Divergence | None = None
    uncompared: str | None = None
    """The reason why the program was not compared to its end."""
    unsupported: str | None = None
    """The first step that the implementation does not support, with the reason."""


class Judge:
    """A judge of programs on one backend's systems, at one level."""

    def __init__(self, subject: Backend, level: str) -> None:
        self.subject = subject
        self.level = level
        self._parameters: Parameters | None = None

    @property
    def parameters(self) -> Parameters:
        """The parameters of a machine that is like the implementation."""
        if self._parameters is None:
            self._parameters = measure_parameters(self.subject)
        return self._parameters

    def judge(self, program: Program) -> Replayed:
        """Make a program's calls in lockstep: first without audits, and only if that shows nothing, with them."""
        judged = self.run(program, "none")
        if judged.unsupported is not None or (judged.divergence is not None and not _is_disallowed_choice(judged)):
            return judged
        audited = self.run(program, "all")
        return judged if audited.divergence is None else audited

    def judge_again(self, program: Program) -> Replayed:
        """Judge a program of which a case has failed; where it makes calls together, several times if it has to be.

        What happens in a race may not happen again.  Where it does not, the program ends with the last of these calls:
        the outcomes that they may have are known.
        """
        judged = self.judge(program)
        ends = [number for number, step in enumerate(judged.program, 1) if step.call == "together"]
        for _run in range(1, RACE_RUNS):
            if not ends or judged.divergence is not None or judged.unsupported is not None:
                return judged
            judged = self.judge(program)
        if not ends or judged.divergence is not None:
            return judged
        return Replayed(judged.program[: ends[-1]], judged.outcomes[: ends[-1] - 1], None, judged.uncompared)

    def run(self, program: Program, audits: Literal["none", "all"]) -> Replayed:
        """Make a program's calls in lockstep; with audits "all", audit the effect of each step.

        Step by step, because an audit can be noted as a step only once the results of the step before have names.
        """
        parameters = self.parameters  # before the boot of the subject: measuring them may take a boot
        reference = ReferenceSystem(parameters, ObservedChoices(self.level))
        system = LockstepSystem(self.subject.boot(), reference, "none")
        recorded = RecordedSystem(system)
        try:
            player = Player(recorded)
            with player.full:
                unsupported = None
                for number, step in enumerate(program, 1):
                    try:
                        outcome = player.play(step)
                        if isinstance(outcome, NotExecuted) and not unsupported:
                            unsupported = f"step {number}, {step}: {outcome.why}"
                        if audits == "all":
                            _audit(system, recorded, player, step, outcome)
                    except Divergence as divergence:
                        if divergence.effect_of and system.probe is not None:
                            note_probe(recorded, player.processes.values(), system.probe, divergence)
                        return Replayed(*needed(*recorded.program()), divergence, None, unsupported)
                return Replayed(*needed(*recorded.program()), None, system.uncompared, unsupported)
        finally:
            system.close()

    def expected(self, judged: Replayed) -> list[Allowed]:
        """Return the allowed outcomes of each step: the reference's, and where it allows another, the observed one.

        Raise NotPrintable if a step before the last has another kind of outcome on the reference.
        """
        answers = self.answers(judged.program)
        expectations: list[Allowed] = []
        for number, (step, answer) in enumerate(zip(judged.program, answers, strict=True)):
            outcomes = allowed(step, answer)
            is_last = number == len(judged.outcomes)
            if step.call == "together":  # these are all outcomes already
                expectations.append(outcomes)
                continue
            is_asked = is_last or (isinstance(answer, Fails) and len(outcomes) > 1)
            if is_asked and (outcomes or step.call == "mincore"):
                outcomes = accepted_outcomes(judged.program[: number + 1], answer, self.boot_references)
            if not is_last:
                observed = judged.outcomes[number]
                if type(observed) is not type(answer) and step.call not in HARMLESS:
                    raise NotPrintable(
                        f"step {number + 1}, {step}: its outcome is the system's choice, and later steps depend on it"
                    )
                outcomes = frozenset(self.as_judged(outcome) for outcome in outcomes)
                if outcomes and not isinstance(observed, NotExecuted):
                    outcomes |= {self.as_judged(observed)}
            expectations.append(outcomes)
        return expectations

    def answers(self, program: Program) -> list[SymbolicOutcome]:
        """Return the outcome of each step on the reference; of calls made together, all that a round may have."""
        player = Player(ReferenceSystem(self.parameters, LinuxChoices()))
        answers: list[SymbolicOutcome] = []
        with player.full:
            for number, step in enumerate(program, 1):
                if step.call != "together":
                    answers.append(player.play(step))
                    continue
                try:
                    outcomes, ends = outcomes_of_step(player, step, self.level)
                except TooMany as reason:
                    raise NotPrintable(f"step {number}: there are too many {reason}") from reason
                if ends > 1 and number < len(program):
                    raise NotPrintable(f"step {number}: its rounds may end in several states")
                player.play(step)
                answers.append(outcomes)
        return answers

    def boot_references(self) -> LockstepSystem:
        """Return a pair of two references: one that plays the implementation, and one that judges it."""
        judging = ReferenceSystem(self.parameters, ObservedChoices(self.level))
        return LockstepSystem(ReferenceSystem(self.parameters, LinuxChoices()), judging, "none")

    def as_judged(self, outcome: SymbolicOutcome) -> SymbolicOutcome:
        """Return an outcome without the parts that are not judged at this level."""
        if isinstance(outcome, Faults) and self.level != "linux":
            return Faults(outcome.signal, None, None)
        return replace(outcome, allowed=frozenset()) if isinstance(outcome, Fails) else outcome


def _ends_with_rounds(judged: Replayed) -> bool:
    """Return True if the last step makes calls together, and is to be judged."""
    return judged.program[-1].call == "together" and len(judged.outcomes) < len(judged.program)


def _is_disallowed_choice(judged: Replayed) -> bool:
    """Return True if the last step returned an address or number of the system's choice that is not allowed.

    It succeeded, as it must, but the choice conflicts with other mappings or descriptors, which a program does not
    state.
    """
    step = judged.program[-1]
    divergence = judged.divergence
    if divergence is None or not isinstance(divergence.outcome, Returned):
        return False
    if CALLS[step.call].result in ("fd", "fds", "process", "scratch_range"):
        return not re.match("E[A-Z]", divergence.allowed[0])
    return divergence.conflicts


def _audit(
    system: LockstepSystem, recorded: RecordedSystem, player: Player, step: Step, outcome: SymbolicOutcome
) -> None:
    """Audit the effect of a step, once its results have names."""
    if step.call not in MUTATING_CALLS or isinstance(outcome, NotExecuted):
        return
    process = player.processes[step.process]
    assert isinstance(process, RecordedProcess)
    assert isinstance(process.inside, LockstepProcess)
    system.audits.suspended = None
    try:
        system.audit(process.inside, step.call, recorded.noted[-1][2], failed=isinstance(outcome, Fails))
    finally:
        system.audits.suspended = "the results of the next step have no names yet"


def note_probe(
    recorded: RecordedSystem,
    processes: Iterable[Process],
    probe: tuple[Pair, str, tuple[object, ...]],
    divergence: Divergence,
) -> None:
    """Add the call with which an audit confirmed a difference, as the last step of the program."""
    pair, call, arguments = probe
    for process in processes:
        if isinstance(process, RecordedProcess) and process.inside is pair:
            recorded.noted.append((process.name, call, arguments, (), None, divergence))


# ---------------------------------------------------------------------------------------------------------- the files


def file_name(id: str) -> str:
    """Return the file name of a case's id, without a suffix: "munmap.range-whole" for "munmap.range[whole]"."""
    name = re.sub(r"[^\w.]+", "-", id, flags=re.ASCII).strip("-")
    return name if len(name) <= NAME_LENGTH else f"{name[:NAME_LENGTH]}-{crc32(id.encode()):08x}"


def shortened(judge: Judge, program: Program) -> str:
    """Return a program up to its first difference, as JSON, or an empty text if it shows none."""
    try:
        judged = judge.judge(program)
    except Exception:  # a broken implementation may do anything
        return ""
    return to_json(judged.program) if judged.divergence is not None else ""


def write(
    judge: Judge, program: Program, id: str, clauses: Sequence[str], folder: Path, called: str
) -> tuple[list[str], dict[str, Any]]:
    """Write the files that reproduce a case's failure to a folder, whose name in messages is `called`.

    Return a line for each file (its name; for a C file that is not written, the reason), and the same as plain data.
    """
    base = file_name(id)
    word = re.sub(r"\W", "_", base)  # a valid name of a Python module
    lines = []
    texts: dict[str, Any] = {}
    shown: dict[str, Any] = {"program": texts}

    def put(kind: str, name: str, text: str) -> None:
        (folder / name).write_text(text, encoding="utf-8")
        lines.append(f"{called}/{name}")
        texts[kind] = text

    def lacks(why: object) -> None:
        lines.append(f"{called}/{base}.c is not written: {why}")
        texts["lacks"] = str(why)

    if not program:
        lacks("no calls of this case's own are on record")
        return lines, shown
    why = ""
    judged = Replayed(program, ())
    try:
        judged = judge.judge_again(program)
    except Exception as error:  # a broken implementation may do anything
        why = f"{type(error).__name__} when its calls were made again: {error}".partition("\n")[0]
    if judged.divergence is not None:
        shown |= as_data(judged.divergence)
    texts["steps"] = [str(step) for step in judged.program]
    put("json", f"{base}.json", to_json(judged.program))
    try:
        if not why and judged.divergence is None and not _ends_with_rounds(judged):
            why = "the outcome of each call is allowed; it judges something that no single one shows"
            why += f" (not compared to the end: {judged.uncompared})" if judged.uncompared else ""
        if why:
            raise NotPrintable(why)
        if _is_disallowed_choice(judged):
            raise NotPrintable(f"{judged.divergence}: this depends on what else the system has placed")
        expected = judge.expected(judged)
        if not expected[-1]:
            raise NotPrintable(f"the outcome of {judged.program[-1]} is specified nowhere")
        cited = judged.divergence.clauses if judged.divergence else clauses
        put("python", f"{word}.py", pytest_source(judged.program, expected, word, cited))
        title = f"{id}: the failure shows in step {len(judged.program)}, {judged.program[-1].call}."
        if judged.divergence is None:
            title = f"{id}: rounds of the calls that have failed; made again {RACE_RUNS} times, they did not."
        died = judged.divergence.died if judged.divergence else None
        hangs = died is not None and died.hangs
        put("c", f"{base}.c", c_source(judged.program, expected, title.replace("*/", "* /"), cited, hangs))
    except NotPrintable as reason:
        lacks(reason)
    return lines, shown
