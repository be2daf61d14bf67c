"""The outcomes that a round of concurrent calls may have, found by making the calls in every order.

`concurrency` decides whether observed outcomes are allowed.  A reproducer in C needs the list of all that are: it is
made here, on copies of the reference's machine, by the same orders and the same forms of calls.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import product
from typing import Final, TypeAlias

from ..contract import Call, Fault, Unresolved, errno_name
from ..reference.process import ReferenceProcess
from ..reference.refusal import Refused
from ..reference.system import ReferenceSystem
from ..trace.calls import CALLS, invoke
from ..trace.outcome_text import KEPT, result_text
from ..trace.program import Returns, Step
from ..trace.replay import Player
from .concurrency import MAX_STATES, MAX_STEPS, State, TooMany, Unit, check_moment, sequences

MAX_OUTCOMES: Final = 128
"""Outcomes of a round that are listed."""

Texts: TypeAlias = "tuple[tuple[str, ...], ...]"
"""For each unit of a call that was made, in order, its outcomes as text: several where the system chooses an error."""

Made: TypeAlias = "Mapping[int, Texts]"
"""For each call that was made, by its place among the calls, the outcomes of its units."""


def possible_outcomes(
    begun: State, calls: Sequence[Call], places: Sequence[int], level: str
) -> tuple[frozenset[tuple[str, ...]], int]:
    """Return the outcomes that a round may have, and the number of different states in which the last one may end.

    An outcome is a tuple of the calls' texts, without an address that a call returns, and below level linux without the
    code of a fault.  Raise TooMany if there are more orders, states or outcomes than the bounds.
    """
    enumeration = _Enumeration(calls, places, level)
    found: set[tuple[str, ...]] = set()
    states = {begun.digest(): begun}
    ends: dict[Hashable, State] = {}
    waiting = [begun]
    while waiting:
        for outcomes, end in enumeration.rounds(waiting.pop()):
            found.update(outcomes)
            key = end.digest()
            ends.setdefault(key, end)
            if states.setdefault(key, end) is end:
                waiting.append(end)
        if len(states) > MAX_STATES:
            raise TooMany("states in which a round may begin")
        if len(found) > MAX_OUTCOMES:
            raise TooMany("outcomes of a round")
    return frozenset(found), len(ends)


def outcomes_of_step(player: Player, step: Step, level: str) -> tuple[Returns, int]:
    """Return what `possible_outcomes` does for a step `together` of a program that is played on a reference.

    The step is not made.
    """
    calls = player.resolve(step)[0]
    actors = [actor for actor in dict.fromkeys(call.process for call in calls) if isinstance(actor, ReferenceProcess)]
    assert isinstance(player.system, ReferenceSystem)
    processes = (each for each in player.processes.values() if isinstance(each, ReferenceProcess))
    others = [process for process in processes if process not in actors]
    begun = State(player.system, actors, others)
    found, ends = possible_outcomes(begun.copy(), calls, [actors.index(call.process) for call in calls], level)
    return Returns(tuple(sorted(found))), ends


class _Enumeration:
    """The rounds that the reference can make of the calls, in every order."""

    def __init__(self, calls: Sequence[Call], places: Sequence[int], level: str) -> None:
        self.calls = calls
        self.places = places
        self.level = level
        self.steps = 0

    def rounds(self, state: State) -> Iterator[tuple[list[tuple[str, ...]], State]]:
        """Yield the outcomes of a round with the state in which it ends; one round may have several outcomes."""
        begun: dict[Hashable, tuple[dict[int, Texts], State]] = {("",): ({}, state.copy())}
        for stage in range(max(call.stage for call in self.calls) + 1):
            ended: dict[Hashable, tuple[dict[int, Texts], State]] = {}
            for made, at in begun.values():
                for form in self.forms(stage):
                    for texts, end in self.orders(at, form, {}):
                        whole = {**made, **texts}
                        ended.setdefault((tuple(sorted(whole.items())), end.digest()), (whole, end))
            if len(ended) > MAX_OUTCOMES:
                raise TooMany("outcomes of a stage")
            begun = ended
        for made, end in begun.values():
            yield list(product(*(_joined(made[at]) for at in range(len(self.calls))))), end

    def forms(self, stage: int) -> list[list[list[Unit]]]:
        """Return the units of each actor in a stage: with each call in one piece, and with accesses byte by byte."""
        found = []
        for outcome in ("error", "ok"):  # a call that fails is made in one piece
            for form in sequences(self.calls, self.places, stage, [outcome] * len(self.calls)):
                unjudged = [[unit._replace(expected=None) for unit in sequence] for sequence in form]
                if unjudged not in found:
                    found.append(unjudged)
        return found

    def orders(self, state: State, sequences: Sequence[Sequence[Unit]], made: Made) -> Iterator[tuple[Made, State]]:
        """Yield the outcomes of the sequences in every order, each with the state that it leads to."""
        left = [sequence for sequence in sequences if sequence]
        if not left:
            yield made, state
            return
        for place, sequence in enumerate(left):
            unit, branch = sequence[0], state.copy()
            texts = self.make(branch.actors[unit.actor], unit)
            own = (*made.get(unit.at, ()), texts) if unit.name == self.calls[unit.at].name else made.get(unit.at, ())
            if len(own) > 1 and not all(text.startswith("ok") for part in own for text in part):
                continue  # an access that fails is made in one piece
            yield from self.orders(branch, [*left[:place], sequence[1:], *left[place + 1 :]], {**made, unit.at: own})

    def make(self, process: ReferenceProcess, unit: Unit) -> tuple[str, ...]:
        """Make a call of a copy of the reference; return the outcomes that it may have."""
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise TooMany("orders of the calls")
        check_moment(process, unit.name, unit.arguments, self.level)
        kind = CALLS[unit.name].result
        try:
            value = invoke(process, unit.name, unit.arguments)
            return (f"ok {'' if kind == 'address' else result_text(value, kind)}".rstrip()[:KEPT],)
        except Refused as refused:
            return tuple(f"error {name}" for name in sorted(refused.allowed))
        except OSError as error:
            return (f"error {errno_name(error)}",)
        except Fault as fault:
            return (f"fault {fault.signal} {fault.code}" if self.level == "linux" else f"fault {fault.signal}",)
        except (NotImplementedError, Unresolved) as reason:
            raise TooMany(f"unknowns: {reason}") from reason


def _joined(parts: Texts) -> tuple[str, ...]:
    """Return the outcomes of a call from those of its units: of an access that was made byte by byte, all bytes."""
    if len(parts) == 1:
        return parts[0]
    return (f"ok {''.join(text[3:] for (text,) in parts)}".rstrip()[:KEPT],)
