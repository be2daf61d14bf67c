"""Two things are the matter with a call of mmap, and the wrong one is found first."""

from __future__ import annotations

from collections.abc import Sequence
from errno import EFAULT

from ..choices import LinuxChoices
from ..mutant import OWN, Honest, Mutant, wrong
from ..refusal import Refusal


def later(id: str, clause: str, name: str, cause: str = "", than: str = "", bug: str = OWN) -> Mutant:
    """A mutant that finds one thing after another errno's: what has errno `name`, and `cause` in its text."""

    def refusal(honest: Honest, self: LinuxChoices, call: str, refusals: Sequence[Refusal]) -> Refusal:
        first = refusals[0]
        if call == "mmap" and first.name == name and cause in first.cause:
            for refused in refusals:
                if refused.name != name and than in ("", refused.name):
                    return refused
        chosen: Refusal = honest(self, call, refusals)
        return chosen

    text = f"{than or 'whatever else applies'} is found before {name}{': ' + cause if cause else ''}"
    return Mutant(id, (clause,), bug, text, LinuxChoices.refusal, refusal)


ORDER = (
    later("mmap-finds-the-offset-last", "mmap.order.offset", "EINVAL", "offset is not a multiple"),
    later("mmap-finds-the-descriptor-last", "mmap.order.descriptor", "EBADF", bug="Asterinas 6cb366b32"),
    later("mmap-finds-length-0-last", "mmap.order.length", "EINVAL", "length is 0"),
    later("mmap-finds-the-length-last", "mmap.order.too-long", "ENOMEM", "length is larger", bug="Asterinas 6cb366b32"),
    later("mmap-finds-the-range-last", "mmap.order.address", "ENOMEM", "outside the address space"),
    later("mmap-finds-the-address-last", "mmap.order.address.unaligned", "EINVAL", "address is not a multiple"),
    later("mmap-finds-last-what-is-taken", "mmap.order.address.taken", "EEXIST"),
    later("mmap-finds-the-lock-last", "mmap.order.lock", "EPERM", "may lock no memory"),
    later("mmap-finds-the-overflow-last", "mmap.order.overflow", "EOVERFLOW"),
    later("mmap-finds-the-flag-last", "mmap.order.flag", "EOPNOTSUPP", "does not know"),
    later("mmap-finds-the-kind-before-the-mode", "mmap.order.mode", "EACCES", than="ENODEV"),
    later("mmap-finds-the-limit-before-the-mode", "mmap.order.limit.mode", "EACCES", than="ENOMEM"),
    later("mmap-finds-the-limit-before-the-kind", "mmap.order.limit.kind", "ENODEV", than="ENOMEM"),
)


@wrong(LinuxChoices.refusal, "mmap.errors.several")
def two_errors_make_a_third(refusal: Honest, self: LinuxChoices, call: str, refusals: Sequence[Refusal]) -> Refusal:
    """A call with two things the matter says EFAULT."""
    first: Refusal = refusal(self, call, refusals)
    if call == "mmap" and any(refused.errno != first.errno for refused in refusals):
        return first._replace(errno=EFAULT)
    return first
