"""Which clauses speak of a difference that lockstep has found in what a call has left behind, or in an access.

What a call has done wrong shows in pages and files that are looked at afterwards.  Which clause that breaks hangs on
the call, on what is mapped where the difference is, and on whose it is: the caller's or another process's.  So there is
a table by these three.  Of an access it hangs on which fault there should be and which one there was.
"""

from __future__ import annotations

from typing import Final

from . import contract
from .reference.address_space import Mapping as Area
from .reference.following import Faulted, Outcome

KINDS: Final = ("nothing", "private-memory", "private-file", "shared-memory", "shared-file")
"""What may be mapped at a place, in short."""


def kind(mapping: Area | None) -> str:
    """What is mapped, as one of KINDS."""
    if mapping is None:
        return "nothing"
    if mapping.inode is None:
        return "private-memory"
    if not mapping.shared:
        return "private-file"
    return "shared-file" if mapping.inode.file_system is not None else "shared-memory"


FORKED: Final = "fork.mappings fork.rights madvise.dofork"
FOLLOWS: Final = (
    "private.follows private.loaded private.page-wise private.same-value mlock.private.copies mprotect.lock.copies "
    "mmap.flag.populate.copies madvise.populate-read madvise.populate-write buffer.private"
)
ADVISED: Final = "madvise.range madvise.length-zero madvise.errno.ENOMEM.rest"

_ROWS: Final = f"""
store | private-memory, private-file | other | fork.private.parent fork.private.child fork.private.generations
store | private-memory | other | fork.private.siblings fork.private.untouched fork.private.end madvise.wipeonfork
store | private-memory | own | madvise.free.store
store | private-file | own | private.page-wise
store | shared-memory | other | fork.shared.anonymous fork.shared.untouched fork.shared.generations
store | shared-file | any | coherence.offsets coherence.opens coherence.alias hole.store fork.shared.later memfd.shared
pwrite | shared-file | any | coherence.write coherence.append growth.accessible growth.zero
pwrite | private-file | any | {FOLLOWS} growth.accessible growth.zero
write_from | shared-file | any | coherence.write coherence.append buffer.own-file buffer.load buffer.load.part
write_from | private-file | any | {FOLLOWS} buffer.own-file buffer.load buffer.load.part
read_into | private-memory, private-file | any | buffer.private buffer.store buffer.store.part
read_into | shared-memory, shared-file | any | buffer.shared buffer.own-file buffer.store buffer.store.part
ftruncate | private-file | any | truncation.private.page truncation.private.tail growth.accessible growth.zero
ftruncate | shared-file | any | truncation.window growth.accessible growth.zero coherence.append hole.zero
ftruncate | private-file, shared-file | any | mlock.truncate
open | private-file, shared-file | any | truncation.open
fork | any | any | {FORKED}
fork | nothing | any | madvise.dontfork
fork | private-memory | any | madvise.wipeonfork madvise.wipeonfork.inherited madvise.keeponfork fork.private.siblings
fork | shared-memory | any | fork.shared.anonymous
exec | nothing | own | exec.mappings exec.memory
exec, exit, kill | any | other | end.others end.shared end.private fork.private.end fork.shared.generations
munmap, mprotect, mremap | any | other | fork.independent
munlock | any | own | munlock.content
madvise DONTNEED | private-memory | own | madvise.dontneed.anonymous madvise.dontneed.rights {ADVISED}
madvise DONTNEED | private-file | own | madvise.dontneed.private-file madvise.dontneed.rights {ADVISED}
madvise DONTNEED | shared-memory, shared-file | any | madvise.dontneed.shared madvise.dontneed.rights
madvise DONTNEED | private-memory, private-file | other | madvise.dontneed.apart
madvise DONTNEED_LOCKED | any | any | madvise.dontneed-locked {ADVISED}
madvise FREE | any | any | madvise.free madvise.range
madvise REMOVE | shared-memory | any | madvise.remove madvise.range
madvise REMOVE | shared-file, private-file | any | madvise.remove.file madvise.remove madvise.range
madvise NORMAL, madvise RANDOM, madvise SEQUENTIAL, madvise WILLNEED | any | any | madvise.hints
madvise POPULATE_READ | any | any | madvise.populate-read
madvise POPULATE_WRITE | any | any | madvise.populate-write
madvise DONTFORK | any | any | madvise.dontfork
madvise WIPEONFORK | any | any | madvise.wipeonfork
"""


def _table() -> dict[tuple[str, str, str], tuple[str, ...]]:
    found: dict[tuple[str, str, str], tuple[str, ...]] = {}
    for row in _ROWS.strip().splitlines():
        calls, kinds, whose, clauses = (part.strip() for part in row.split("|"))
        for call in calls.split(", "):
            for what in KINDS if kinds == "any" else kinds.split(", "):
                for who in ("own", "other") if whose == "any" else (whose,):
                    found[call, what, who] = (*found.get((call, what, who), ()), *clauses.split())
    return found


LEFT: Final = _table()
"""By call, what is mapped where a difference is, and whose that is: the clauses that say what should be there."""

ADVICE: Final = {value: name[5:] for name, value in vars(contract).items() if name.startswith("MADV_")}


def left_behind(call: str, arguments: object, mapping: Area | None, is_callers: bool) -> tuple[str, ...]:
    """The clauses that say what a call has left at a place, which is the caller's or another process's."""
    if call == "madvise" and isinstance(arguments, (tuple, list)):
        call = f"madvise {ADVICE.get(arguments[2], '')}"
    return LEFT.get((call, kind(mapping), "own" if is_callers else "other"), ())


def accessed(access: str, mapping: Area | None, expected: Outcome, seen: Outcome) -> tuple[str, ...]:
    """The clauses that say of an access, beside its content, whether it faults, how and where."""
    if not isinstance(expected, Faulted):
        return ("fault.cured", "growth.accessible") if isinstance(seen, Faulted) and mapping is not None else ()
    if isinstance(seen, Faulted) and (seen.signal, seen.code) == (expected.signal, expected.code):
        return ("fault.address",)
    if expected.signal == "SIGBUS":
        return ("fault.end-of-file", "hole.full")
    if mapping is None:
        return ("fault.unmapped",)
    told = ("fault.order",) if isinstance(seen, Faulted) and seen.signal == "SIGBUS" else ()
    if not mapping.prot:
        return ("fault.inaccessible", *told)
    return ("fault.read-only" if access == "store" else "fault.not-executable", *told)


LOCKS: Final = (
    *("mlock.rounding", "mlock.length-zero", "mlock.nesting", "mlock.fork", "mlock.exec", "mlock.errno.ENOMEM.prefix"),
    *("mlock.errno.ENOMEM.fault", "mlock2.onfault", "mlock2.no-flags", "munlock.range", "munlock.errno.ENOMEM.prefix"),
    *("mlockall.current", "mlockall.future", "mlockall.future.replaced", "mlockall.future.fork"),
    *("mlockall.future.exec", "mlockall.onfault", "munlockall.current", "munlockall.future"),
)
"""The clauses that say what is locked: all that can be said where MS_INVALIDATE or MADV_DONTNEED find it otherwise."""

RESIDENT: Final = (
    *("mincore.vector", "mincore.across-mappings", "mincore.rounding", "mincore.rights", "mincore.passive"),
    *("mincore.gone", "mincore.length-zero", "mlock.resident", "mlock2.onfault", "mlock2.no-flags"),
    *("mlockall.current", "mlockall.future", "mlockall.onfault", "munlockall.future"),
    *("madvise.populate-read", "madvise.populate-write"),
)
"""The clauses that say which pages are in memory, and how that is told."""
