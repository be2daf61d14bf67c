"""Mutants of the order of mmap's errors: of two applicable errors, the wrong one is reported."""

from __future__ import annotations

from collections.abc import Sequence
from errno import EFAULT

from ..linux_choices import LinuxChoices
from ..mutant import NO_KNOWN_BUG, Mutant, Original, wrong
from ..refusal import Refusal


def later(id: str, clause: str, name: str, reason: str = "", than: str = "", bug: str = NO_KNOWN_BUG) -> Mutant:
    """Make a mutant that reports a refusal, with errno `name` and of `reason`, after those with other errnos."""

    def refusal(original: Original, self: LinuxChoices, call: str, refusals: Sequence[Refusal]) -> Refusal:
        first = refusals[0]
        if call == "mmap" and first.name == name and reason in ("", first.reason):
            for refused in refusals:
                if refused.name != name and than in ("", refused.name):
                    return refused
        chosen: Refusal = original(self, call, refusals)
        return chosen

    text = f"{than or 'whatever else applies'} is found before {name}{': ' + reason if reason else ''}"
    return Mutant(id, (clause,), bug, text, LinuxChoices.refusal, refusal)


ORDER = (
    later("mmap-finds-the-offset-last", "mmap.order.offset", "EINVAL", "offset-unaligned"),
    later("mmap-finds-the-descriptor-last", "mmap.order.descriptor", "EBADF", bug="Asterinas 6cb366b32"),
    later("mmap-finds-length-0-last", "mmap.order.length", "EINVAL", "length-zero"),
    later("mmap-finds-the-length-last", "mmap.order.too-long", "ENOMEM", "length-too-large", bug="Asterinas 6cb366b32"),
    later("mmap-finds-the-range-last", "mmap.order.address", "ENOMEM", "fixed-range-outside"),
    later("mmap-finds-the-address-last", "mmap.order.address.unaligned", "EINVAL", "fixed-addr-unaligned"),
    later("mmap-finds-last-what-is-taken", "mmap.order.address.taken", "EEXIST"),
    later("mmap-finds-the-lock-last", "mmap.order.lock", "EPERM", "lock-not-permitted"),
    later("mmap-finds-the-overflow-last", "mmap.order.overflow", "EOVERFLOW"),
    later("mmap-finds-the-flag-last", "mmap.order.flag", "EOPNOTSUPP", "flags-unknown"),
    later("mmap-finds-the-kind-before-the-mode", "mmap.order.mode", "EACCES", than="ENODEV"),
    later("mmap-finds-the-limit-before-the-mode", "mmap.order.limit.mode", "EACCES", than="ENOMEM"),
    later("mmap-finds-the-limit-before-the-kind", "mmap.order.limit.kind", "ENODEV", than="ENOMEM"),
)


@wrong(LinuxChoices.refusal, "mmap.errors.several")
def two_errors_make_a_third(refusal: Original, self: LinuxChoices, call: str, refusals: Sequence[Refusal]) -> Refusal:
    """A call with two applicable errors fails with EFAULT."""
    first: Refusal = refusal(self, call, refusals)
    if call == "mmap" and any(refused.errno != first.errno for refused in refusals):
        return first._replace(errno=EFAULT)
    return first
