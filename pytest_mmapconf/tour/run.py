"""Run a row: build its state, make its call, and look, in lockstep with the reference.

The audits of lockstep load pages, which would change what the pages have been.  So there are none until the call has
been made; then every process is audited, and again at the end.  Where that shows a difference, the program is repeated
with an audit after each call: a difference that shows earlier is the effect of that call, and not of the row's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..contract import Backend, Unresolved, Unsupported
from ..differential.blame import MUTATING_CALLS, effect_clauses
from ..differential.comparison import AuditedCall
from ..differential.divergence import Divergence
from ..differential.lockstep import LockstepSystem
from ..differential.reproducers import Judge, note_probe
from ..differential.unused_calls import without_unused_calls
from ..fuzzing.model_view import Actor
from ..reference.machine import Parameters
from ..reference.observed_choices import ObservedChoices
from ..reference.system import ReferenceSystem
from ..trace.program import Program, needed
from ..trace.recorder import RecordedSystem
from .axes import AXES, Row
from .call_table import ALL_CALLS as CALLS
from .calls import TourCall
from .scene import Scene, TourState

WAITING: Final = "an audit would load pages before the call of the row"


@dataclass
class Difference:
    """A row on which the implementation and the reference differ."""

    divergence: Divergence
    program: Program


class RowRun:
    """One run of a row on a freshly booted system.

    `audits_each`: audit after each call, also before the row's.  `symbols`: record numbers with the sums that they were
    computed from, which takes time.
    """

    def __init__(
        self,
        subject: Backend,
        parameters: Parameters,
        level: str,
        row: Row,
        *,
        audits_each: bool = False,
        symbols: bool = True,
    ) -> None:
        self.row = row
        self.audits_each = audits_each
        reference = ReferenceSystem(parameters, ObservedChoices(level))
        self.system = LockstepSystem(subject.boot(), reference, "all")
        self.recorded = RecordedSystem(self.system, symbols)
        self.level = level
        self.scene: Scene | None = None
        self.refusal: str | None = None
        """The reason why the call of the row cannot be judged; None if it can."""

    def run(self) -> Difference | None:
        """Run the row, and return the difference.  Raises Unsupported and Unresolved."""
        system = self.system
        try:
            system.audits.suspended = WAITING
            self.make()
        except Divergence as divergence:
            if divergence.effect_of and system.probe is not None:
                processes = [actor.process for actor in self.scene.program.actors] if self.scene else []
                note_probe(self.recorded, processes, system.probe, divergence)
            return Difference(divergence, needed(*self.recorded.program())[0])
        finally:
            system.close()
        if self.refusal is not None:
            raise Unsupported(self.refusal)
        return None

    def make(self) -> None:
        """Make the calls of the row."""
        scene = self.scene = Scene(TourState(self.recorded, self.level, self.audit_call if self.audits_each else None))
        row = self.row
        for axis in ("file", "rights"):
            change = row[axis].set_up
            if change is not None:
                change(scene.setting)
        self.step(scene, "place")
        scene.make_main()
        self.step(scene, "covers")
        self.step(scene, "sharers", early=True)
        self.step(scene, "rights", early=True)
        for axis in ("pages", "sharers", "rights", "file"):
            self.step(scene, axis)
        self.step(scene, "look", early=True)
        call = CALLS[row["call"].id]
        is_audited = self.make_call(scene, call)
        if row["look"].id == "again":
            self.make_call(scene, call)
        elif row["look"].id != "pages" or not is_audited:
            self.step(scene, "look")
            self.audit(AuditedCall(f"looking ({row['look'].id})", (), ()))

    def step(self, scene: Scene, axis: str, early: bool = False) -> None:
        """Make the steps of the value of an axis: those of the earlier moment, or the others."""
        value = self.row[axis]
        steps = value.before if early else value.steps
        if steps is not None and self.system.uncompared is None:
            steps(scene)

    def make_call(self, scene: Scene, call: TourCall) -> bool:
        """Make the call of the row, and audit its effect in every process; False if it cannot be made."""
        actor = scene.caller
        if actor not in scene.program.actors or self.system.uncompared is not None:
            return False
        arguments = call.arguments(scene)
        if not scene.is_made(call.call, arguments):
            self.refusal = f"{call.call} is not a call of level {self.level} with these arguments"
            return False
        if call.call in ("exit", "kill") and len(scene.program.actors) == 1:
            scene.program.actors.append(scene.program.new_actor(scene.program.system.spawn()))
        effect = effect_clauses(actor.model, call.call, arguments)
        before = dict(self.system.left_out)
        self.perform(scene, actor, call, arguments)
        for (name, errno), count in self.system.left_out.items():
            if name == call.call and count > before.get((name, errno), 0):
                self.refusal = f"{name} failed with {errno}, which has reasons in the environment"
        if call.call in scene.program.lacks:
            self.refusal = scene.program.lacks[call.call]
        self.audit(AuditedCall(call.call, tuple(map(plain, arguments)), effect))
        return True

    def perform(self, scene: Scene, actor: Actor, call: TourCall, arguments: tuple[object, ...]) -> None:
        """Make a call; note the processes and the memory that it begins and ends with."""
        if call.call == "fork":
            scene.fork(actor)
            return
        result = scene.call_of(actor, call.call, *arguments)
        if call.call in ("exit", "kill"):
            scene.program.actors.remove(actor)
        elif call.call == "exec" and result is not None:
            actor.regions = scene.program.new_actor(actor.process).regions

    def audit_call(self, actor: Actor, call: str, arguments: tuple[object, ...], made: bool) -> None:
        """Audit every process after a call that changes something; `made`: it has succeeded."""
        if call in MUTATING_CALLS:
            effect = effect_clauses(actor.model, call, arguments, not made)
            self.audit(AuditedCall(call, tuple(map(plain, arguments)), effect))

    def audit(self, after: AuditedCall) -> None:
        """Audit every process."""
        audits = self.system.audits
        if self.system.uncompared is not None or audits.suspended not in (None, WAITING):
            return
        suspended, audits.suspended = audits.suspended, None
        audits.audit_pairs(list(self.system.pairs), after)
        if audits.suspended is None:
            audits.suspended = suspended


def plain(value: object) -> object:
    """Return an argument as it is shown: a number without the symbol that it was computed from."""
    return int(value) if isinstance(value, int) else value


def run_row(subject: Backend, parameters: Parameters, level: str, row: Row) -> Difference | None:
    """Run a row and return its difference, charged to the earliest call whose effect is wrong.

    Raises Unsupported if the implementation does not have the call, and Unresolved.
    """
    difference = RowRun(subject, parameters, level, row, symbols=False).run()
    if difference is None:
        return None
    for audits_each in (True, False):
        try:
            again = RowRun(subject, parameters, level, row, audits_each=audits_each).run()
        except (Unsupported, Unresolved):
            continue
        if again is not None:
            return again
    return difference


def reduced(subject: Backend, level: str, difference: Difference) -> Difference:
    """Return a difference without the calls that it does not depend on: the last one still has the same outcome."""
    shown = difference.divergence
    judge = Judge(subject, level)

    def run_again(program: Program) -> Difference | None:
        judged = judge.run(program, "none")
        is_shown = judged.divergence is not None and is_alike(judged.divergence, shown)
        return Difference(shown, judged.program) if is_shown else None

    return without_unused_calls(difference, run_again)


def is_alike(one: Divergence, other: Divergence) -> bool:
    """Return True if two differences show in the same call, by the same kind of outcome."""
    return one.call == other.call and type(one.outcome) is type(other.outcome)


def axis_texts(row: Row) -> list[str]:
    """Return a line for each axis: the value of a row, in words."""
    return [f"    {axis.id:8} {row[axis.id].id}: {row[axis.id].text}" for axis in AXES]
