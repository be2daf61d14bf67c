"""The comparison of a call's outcome: the reference makes the same call, and both outcomes must agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Sequence
from typing import Final, NamedTuple

from ..catalogue.clauses import included, load
from ..contract import Fault, Unresolved, errno_name
from ..outcomes import Ended, Failed, Faulted, Outcome, Returned, difference
from ..reference.observed_choices import NotAllowed, ObservedChoices
from ..reference.process import ReferenceProcess
from ..reference.refusal import Refused
from ..trace.calls import invoke
from .blame import cited_clauses
from .divergence import Divergence, Key, call_text
from .pair import Pair

OBSERVATIONS: Final = ("load", "store", "pread", "fstat")
"""Calls by which an audit observes memory and files: a difference is the effect of the call that is audited."""


VALUES: Final = ("sysconf", "mincore", "has_old_mtime", "close_events", "errno_cleared")
"""Calls that only return a value."""


def outcome_of(result: object) -> Outcome:
    """Return the outcome of a call that has returned this, or raised it."""
    if isinstance(result, OSError):
        return Failed(errno_name(result))
    if isinstance(result, Fault):
        return Faulted(result.signal, result.code, result.address)
    return Returned(result)


class LeaveOut(Exception):
    """The subject has not made a call that the model has already made: to be run again without that call of the model.

    `number` is the call's number among those judged.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class AuditedCall(NamedTuple):
    """A call whose effect is audited."""

    call: str
    arguments: Sequence[object]
    effect: Sequence[str]
    """The clauses that state its effect."""


class Comparison:
    """The comparison of a system with the reference, up to the first difference."""

    def __init__(self, choices: ObservedChoices) -> None:
        self.choices = choices
        self.uncompared: str | None = None
        """The reason why nothing is compared any more; None as long as calls are compared."""
        self.left_out: Counter[tuple[str, str]] = Counter()
        """Calls that failed for reasons in the subject's environment: (call, errno)."""
        self.probe: tuple[Pair, str, tuple[object, ...]] | None = None
        """The last call with which an audit confirmed a difference; it is not a call of the program."""
        self.compared = 0
        """Calls that were compared, without those of audits."""
        self.judged = 0
        """Calls that were to be compared, those that were not included."""
        self.omitted: Container[int] = ()
        """The calls, by the value of `judged`, that the model does not make: the subject has refused them."""
        self.is_known: Callable[[Divergence], bool] = lambda divergence: False
        """Return True for a difference that is known: the comparison goes on where the model can follow."""
        self.followed: Counter[Key] = Counter()
        """The known differences that have occurred."""

    def give_up(self, reason: str) -> None:
        """Compare nothing from here on; the first reason is kept."""
        if self.uncompared is None:
            self.uncompared = reason

    def judge(
        self,
        pair: Pair,
        call: str,
        arguments: Sequence[object],
        observed: Outcome,
        after: AuditedCall | None = None,
    ) -> None:
        """Make a call of the reference that the subject has made, and raise Divergence if the outcomes disagree.

        `after` is the call whose effect an audit examines with this one.
        """
        if after is None:
            self.judged += 1
            if self.judged in self.omitted:
                return
        choices = self.choices
        choices.observe(call, observed)
        choices.is_mapped = pair.is_mapped
        choices.scratch_range = pair.subject_scratch_range
        choices.is_full = pair.is_disk_full
        try:
            expected: Outcome = Returned(invoke(pair.model, call, tuple(arguments)))
        except NotAllowed as error:
            self.differ(pair, call, arguments, after, observed, None, error.allowed, error.clauses)
            return
        except Refused as refused:
            expected = Failed(refused.chosen.name)
        except Fault as fault:
            expected = Faulted(fault.signal, fault.code, fault.address)
        except (NotImplementedError, Unresolved) as reason:
            if call == "sysconf":  # changes nothing
                self.left_out[call, "unknown name"] += 1
            else:
                self.give_up(f"{call_text(call, arguments)}: {reason}")
            return
        self.compared += after is None
        if expected != observed and not self.agree(expected, observed):
            if choices.rejected_address is not None:
                allowed, clauses = choices.rejected_address.allowed, choices.rejected_address.clauses
            else:
                allowed = (difference(observed, expected)[1],)
                clauses = cited_clauses(pair.model, call, arguments, expected, observed)
            if call == "fstat" and after is None and isinstance(expected, Returned) and isinstance(observed, Returned):
                clauses = ()  # which call has made the file longer is not known: the clauses are the case's own
            self.differ(pair, call, arguments, after, observed, expected, allowed, clauses)

    def is_promised(self, clause: str) -> bool:
        """Return True if a clause is of the level that is judged."""
        return load()[clause].level in included(self.choices.level)

    def confirm(
        self, pair: Pair, after: AuditedCall, call: str, *arguments: object, observed: Outcome | None = None
    ) -> None:
        """Make a call of the subject, unless its outcome is given, and judge it, to confirm what an audit has shown."""
        self.probe = pair, call, arguments
        if observed is None:
            try:
                observed = Returned(invoke(pair.subject, call, arguments))
            except (OSError, Fault) as error:
                observed = outcome_of(error)
        self.judge(pair, call, arguments, observed, after)

    def agree(self, expected: Outcome, observed: Outcome) -> bool:
        """Return True if two outcomes that are not equal have the same meaning."""
        if isinstance(expected, Returned) and isinstance(observed, Returned):
            return isinstance(expected.value, ReferenceProcess)
        if not isinstance(expected, Faulted) or not isinstance(observed, Faulted):
            return False
        if expected.signal != observed.signal or self.choices.level == "linux":
            return False
        page = self.choices.page
        have_addresses = expected.address is not None and observed.address is not None
        return not have_addresses or (expected.address or 0) // page == (observed.address or 0) // page

    def differ(
        self,
        pair: Pair,
        call: str,
        arguments: Sequence[object],
        after: AuditedCall | None,
        observed: Outcome,
        expected: Outcome | None,
        allowed: Sequence[str],
        clauses: Sequence[str],
    ) -> None:
        """Raise Divergence, and compare nothing from here on; or follow the subject, if the difference is known.

        `expected`: the outcome of the reference; None if it has refused the call.
        """
        step = call_text(call, arguments)
        if after is not None:
            step = f"{call_text(after.call, after.arguments)}, then {step}"
            effect = tuple(id for id in after.effect if self.is_promised(id))
            clauses = effect if effect and call in OBSERVATIONS else tuple(dict.fromkeys((*effect, *clauses)))
        step = f"process {pair.model.number}: {step}"
        shown = str(observed) if expected is None else difference(observed, expected)[0]
        divergence = Divergence(step, shown, allowed, clauses, ("", ""))
        divergence.call, divergence.outcome = call, observed
        divergence.effect_of = after.call if after is not None else ""
        rejected = self.choices.rejected_address
        divergence.conflicts = rejected is not None and tuple(allowed) == rejected.allowed
        if self.is_known(divergence):
            self.followed[divergence.key] += 1
            self.follow(pair, call, arguments, observed, expected, is_audit=after is not None)
            return
        divergence.maps = pair.both_maps()
        self.give_up(f"it has diverged at {step}")
        raise divergence

    # ---- differences that are known

    def follow(
        self,
        pair: Pair,
        call: str,
        arguments: Sequence[object],
        observed: Outcome,
        expected: Outcome | None,
        *,
        is_audit: bool,
    ) -> None:
        """Give the model the state that the subject has after a call with a known difference, or give up."""
        changes_nothing = call in VALUES or call in ("load", "execute")
        if is_audit or isinstance(observed, Ended):
            self.give_up("a known difference: a wrong effect")
        elif expected is None and isinstance(observed, Returned):
            self.make_despite_refusal(pair, call, arguments, observed)
        elif isinstance(expected, Returned) and not isinstance(observed, Returned):
            if not changes_nothing:
                raise LeaveOut(self.judged)
        elif isinstance(observed, Returned) and not changes_nothing:
            self.give_up(f"a known difference: {call} has succeeded")
        elif call == "load" and isinstance(expected, Returned):
            self.give_up("a known difference: other content")

    def make_despite_refusal(self, pair: Pair, call: str, arguments: Sequence[object], observed: Returned) -> None:
        """Let a call that the model refuses have its effect there, as it had on the subject."""
        self.choices.overlooks_refusals = True
        try:
            expected: Outcome = Returned(invoke(pair.model, call, tuple(arguments)))
        except Exception as reason:  # the model has no rule for what a refused call does
            self.give_up(f"a known difference: what {call} does if it is not refused is not known ({reason})")
            return
        finally:
            self.choices.overlooks_refusals = False
        if not pair.model.space.is_sound() or (expected != observed and not self.agree(expected, observed)):
            self.give_up(f"a known difference: what {call} has done is not known")
