"""The reasons to refuse a call: all that apply, not only the first.

A manual page lists the errors of a call without an order, so a system may answer with any of those that apply.  A model
that stops at the first one cannot know them all, and a judge built on it would be wrong about every call that has two
errors.  So a call of the reference *gathers* its refusals in a block::

    with self.errors("munmap") as refuse:
        if addr % page:
            refuse(EINVAL, "munmap.errno.EINVAL", "addr-unaligned", "addr is not a multiple of the page size")
        if length == 0:
            refuse(EINVAL, "munmap.errno.EINVAL", "length-zero", "length is 0")

At the end of the block, if there is a refusal, `Refused` is raised: an OSError with the errno that the machine's
Choices select, which carries all the others.  The refusals are in the order in which Linux checks, so the choices that
play Linux select the first.

Each refusal names its clause, and its reason by a short id.  Choices, mutants and gates compare these ids and never
the text, which is for people and may be reworded at any time.  One id has one text, wherever it is used.  Clause, id
and text are string literals, so that the source shows every refusal (`gates.mutation_matrix.refusal_sites`).

As each refusal names its clause, what a run has reached of the specification is a by-product: `Refusals.reached`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple, Protocol

from ..contract import errno_name


class Refusal(NamedTuple):
    """One reason to refuse a call."""

    errno: int
    clause: str
    """The clause of the catalogue that requires or allows the error."""
    reason: str
    """The reason as a short name: what programs compare, so that the text can be edited freely."""
    text: str
    """The reason as a sentence for people."""
    late: bool = False
    """True if Linux finds it only after it has cleared a MAP_FIXED range."""

    @property
    def name(self) -> str:
        """The errno's symbolic name."""
        return errno_name(OSError(self.errno, self.text))


class Refused(OSError):
    """A refused call: the refusal that was chosen, and all that apply."""

    def __init__(self, call: str, chosen: Refusal, refusals: Sequence[Refusal]) -> None:
        super().__init__(chosen.errno, f"{call}: {chosen.text} ({chosen.clause})")
        self.chosen = chosen
        self.refusals = tuple(refusals)

    @property
    def allowed(self) -> frozenset[str]:
        """The names of all errnos that the call may fail with."""
        return frozenset(refusal.name for refusal in self.refusals)

    @property
    def clauses(self) -> frozenset[str]:
        """The clauses that refuse the call."""
        return frozenset(refusal.clause for refusal in self.refusals)


class TargetSpace(Protocol):
    """The address space of a range that a call maps anew."""

    def first_mapped(self, start: int, end: int) -> int | None:
        """Return the first address in [start, end) at which something is mapped; None if there is none."""

    def clear(self, start: int, end: int) -> None:
        """Unmap [start, end)."""

    def may_be_split(self, start: int, end: int) -> None:
        """Let a system keep apart what is mapped on both sides of `start` and of `end`."""


class RefusalChoices(Protocol):
    """Choices of the error to report, and of what the failed call has changed before."""

    @property
    def overlooks_refusals(self) -> bool:
        """True if a call goes on in spite of its refusals: the subject has made it."""

    def refusal(self, call: str, refusals: Sequence[Refusal]) -> Refusal:
        """Return the one of the refusals that apply, at least one and in Linux's order, that the call fails with."""

    def errno(self, reason: str, errno: int) -> int:
        """Return the errno of a refusal for this reason, of which Linux's errno is `errno`."""

    def finds_arguments_first(self) -> bool:
        """True if a call that has invalid arguments is refused for them, and not for what its range has."""

    def applies_prefix(self, call: str) -> bool:
        """True if a call that fails partway through its range has changed the pages before the failure."""

    def cleared_when_refused(self, refusal: Refusal, space: TargetSpace, start: int, end: int) -> bool:
        """True if [start, end), which MAP_FIXED named, has lost its mappings although the call was refused."""


class Refusals:
    """The block in which one call gathers its refusals."""

    __slots__ = ("arguments", "call", "choices", "gathered", "is_continued", "prefix", "reached", "split", "target")

    def __init__(
        self,
        call: str,
        choices: RefusalChoices,
        reached: set[str],
        after: Refusals | None = None,
        is_continued: bool = False,
    ) -> None:
        self.call = call
        self.choices = choices
        self.reached = reached
        self.is_continued = is_continued
        """True if another block of the call follows, which takes the refusals over unless they have been raised."""
        self.gathered: list[Refusal] | None = None if after is None else after.gathered
        self.arguments = self.count
        """The number of refusals that were taken over: those for the arguments."""
        self.target: tuple[TargetSpace, int, int] | None = None
        """The range that the call replaces: it may have been cleared before a late refusal."""
        self.split: tuple[TargetSpace, int, int] | None = None
        """The range that the call began to unmap before the error: it has split the mappings at both ends, perhaps."""
        self.prefix: Callable[[], object] | None = None
        """The effect on the part of a range before the first error, which a failed call may have had."""

    def __enter__(self) -> Refusals:
        return self

    def __call__(self, errno: int, clause: str, reason: str, text: str, late: bool = False) -> None:
        refusal = Refusal(self.choices.errno(reason, errno), clause, reason, text, late)
        if self.gathered is None:
            self.gathered = [refusal]
        else:
            self.gathered.append(refusal)
        self.reached.add(clause)

    @property
    def count(self) -> int:
        """The number of refusals that have been gathered."""
        return len(self.gathered or ())

    def has(self, errno: int) -> bool:
        """True if a refusal with this errno has been gathered."""
        return any(refusal.errno == errno for refusal in self.gathered or ())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.gathered is not None and error is None and not self.choices.overlooks_refusals:
            if self.is_continued and not self.choices.finds_arguments_first():
                return
            chosen = self.choices.refusal(self.call, self.gathered)
            is_of_range = chosen in self.gathered[self.arguments :]
            if self.prefix is not None and is_of_range and self.choices.applies_prefix(self.call):
                self.prefix()
            if self.target is not None and self.choices.cleared_when_refused(chosen, *self.target):
                space, start, end = self.target
                space.clear(start, end)
            if self.split is not None:
                space, start, end = self.split
                space.may_be_split(start, end)
            raise Refused(self.call, chosen, self.gathered)
