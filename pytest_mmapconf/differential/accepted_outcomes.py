"""The outcomes of a program's last step that the judge accepts, found by asking the judge.

A reproducer in C must be as strict as the replay of its program: it must report a deviation exactly where the judge
does.  What the judge accepts depends on the level, on the order of errors, on the place of the mapping, so it is not
derived here a second time.  The reference plays the implementation up to the last step; then it gives each possible
outcome in turn, and the judge accepts that outcome, or raises Divergence.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple

from ..contract import MAP_ANONYMOUS, MAP_PRIVATE, PROT_NONE, Fault, Unresolved
from ..trace.calls import CALLS
from ..trace.program import Fails, Faults, Program, Returns, Step, Sum, SymbolicOutcome
from ..trace.replay import Player, is_address_given
from .divergence import Divergence
from .lockstep import LockstepProcess, LockstepSystem

ERRNOS: Final = (
    *("EACCES", "EAGAIN", "EBADF", "EBUSY", "EEXIST", "EFAULT", "EINVAL", "EIO", "EMFILE", "ENFILE", "ENODEV"),
    *("ENOMEM", "ENOSYS", "ENOTSUP", "ENXIO", "EOPNOTSUPP", "EOVERFLOW", "EPERM", "ETXTBSY"),
)
"""The errnos that the judge is asked about."""

CODES: Final = {"SIGSEGV": ("SEGV_MAPERR", "SEGV_ACCERR"), "SIGBUS": ("BUS_ADRERR", "BUS_OBJERR")}
"""By signal, two codes: an outcome with the other one shows whether the judge compares them."""


class Question(NamedTuple):
    """A possible outcome of the last step, and how the reference gives it."""

    outcome: SymbolicOutcome
    give: Callable[[Player, LockstepProcess], object] | None
    """Raises the error, or returns the result; None if the reference makes the call itself."""


def accepted_outcomes(
    program: Program, answer: SymbolicOutcome, boot: Callable[[], LockstepSystem]
) -> frozenset[SymbolicOutcome]:
    """Return the outcomes of the last step of a program that the judge accepts.

    `answer` is the reference's own outcome.  `boot` returns a new pair of two references, the second of which judges.
    """
    step = program[-1]
    if isinstance(answer, Faults):
        return frozenset([_judged_parts(program, answer, boot)])
    accepted = [question.outcome for question in _questions(step, answer) if is_accepted(program, question.give, boot)]
    if step.results and (anywhere := Returns(Sum(step.results[0]))) in accepted:
        accepted = [outcome for outcome in accepted if outcome == anywhere or isinstance(outcome, Fails)]
    return frozenset(accepted)


def is_accepted(
    program: Program, give: Callable[[Player, LockstepProcess], object] | None, boot: Callable[[], LockstepSystem]
) -> bool:
    """Return whether the judge accepts an outcome of the last step; True if it does not judge it."""
    system = boot()
    player = Player(system)
    try:
        with player.full:
            for step in program[:-1]:
                player.play(step)
            pair = player.processes.get(program[-1].process)
            if give is not None and isinstance(pair, LockstepProcess):
                setattr(pair.subject, program[-1].call, _answering(partial(give, player, pair)))
            player.play(program[-1])
    except Divergence:
        return False
    except Unresolved:
        return True
    finally:
        system.close()
    return True


def _answering(give: Callable[[], object]) -> Callable[..., object]:
    """Return a call that gives an outcome, whatever its arguments are."""
    return lambda *_arguments, **_by_name: give()


def _questions(step: Step, answer: SymbolicOutcome) -> Iterator[Question]:
    """Yield the outcomes of a call, other than faults, that the judge is asked about."""
    for name in ERRNOS:
        yield Question(Fails(name), _failing(name))
    if isinstance(answer, Returns):
        yield Question(answer, None)
        if not is_address_given(step) and step.results:
            yield Question(Returns(Sum(step.results[0])), _another_address(step))
    elif CALLS[step.call].result == "nothing":
        yield Question(Returns(None), lambda player, pair: None)


def _failing(name: str) -> Callable[[Player, LockstepProcess], object]:
    def give(player: Player, pair: LockstepProcess) -> object:
        raise OSError(getattr(errno, name), name)

    return give


def _another_address(step: Step) -> Callable[[Player, LockstepProcess], object]:
    """Return a function that returns a free address, which is none of the arguments."""

    def give(player: Player, pair: LockstepProcess) -> object:
        arguments = dict(zip(CALLS[step.call].arguments, player.resolve(step), strict=True))
        length = arguments["new_size" if step.call == "mremap" else "length"]
        call = type(pair.subject).mmap  # the process itself now answers mmap with this function
        return call(pair.subject, 0, max(length, 1), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)

    return give


def _faulting(outcome: Faults) -> Callable[[Player, LockstepProcess], object]:
    def give(player: Player, pair: LockstepProcess) -> object:
        address = player.number(outcome.address) if outcome.address is not None else None
        raise Fault(outcome.signal, outcome.code or "", address)

    return give


def _judged_parts(program: Program, answer: Faults, boot: Callable[[], LockstepSystem]) -> Faults:
    """Return a fault without the parts that the judge does not compare."""

    def ignores(**changed: Any) -> bool:
        return is_accepted(program, _faulting(replace(answer, **changed)), boot)

    codes = CODES.get(answer.signal, ())
    other = next((code for code in codes if code != answer.code), answer.code)
    code = None if answer.code is None or ignores(code=other) else answer.code
    address = answer.address
    if address is not None and ignores(address=replace(address, pages=address.pages + 1)):
        address = None
    return Faults(answer.signal, code, address)
