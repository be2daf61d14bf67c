"""The clauses that a difference between an implementation and the reference is attributed to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ..contract import MAP_FIXED
from ..outcomes import Faulted, Outcome, Returned
from ..trace.calls import ACCESSES

if TYPE_CHECKING:
    from ..reference.mapping import Mapping
    from ..reference.process import ReferenceProcess

ENVIRONMENT_ERRNOS: Final = {
    "ftruncate": {"ENOSPC", "EDQUOT", "EIO", "EFBIG"},
    "pwrite": {"ENOSPC", "EDQUOT", "EIO", "EFBIG"},
    "fallocate": {"EOPNOTSUPP", "ENOSYS", "ENOSPC", "EDQUOT", "EIO", "EFBIG"},
    "copy_file_range": {"EOPNOTSUPP", "ENOSYS", "EXDEV", "ENOSPC", "EDQUOT", "EIO", "EFBIG"},
    "rename": {"ENOSPC", "EDQUOT", "EIO", "EACCES", "EROFS"},
    "link": {"EPERM", "EMLINK", "ENOSPC", "EDQUOT", "EIO", "EACCES", "EROFS"},
    "fsync": {"ENOSPC", "EDQUOT", "EIO"},
    "open": {"ENOSPC", "EDQUOT", "EIO", "ENFILE", "EMFILE", "EACCES", "EROFS"},
    "mkdir": {"ENOSPC", "EDQUOT", "EIO", "EACCES", "EROFS"},
    "unlink": {"EIO", "EACCES", "EROFS"},
    "dup": {"EMFILE"},
    "pipe": {"ENFILE", "EMFILE"},
    "socketpair": {"ENFILE", "EMFILE"},
    "memfd": {"ENFILE", "EMFILE", "ENOSYS"},
    "watch": {"ENFILE", "EMFILE", "ENOSPC", "ENOSYS"},
    "fork": {"EAGAIN", "ENOMEM"},
    "set_append_only": {"EOPNOTSUPP", "ENOTTY", "ENOSYS", "EPERM"},
    "set_limit_headroom": {"EPERM"},
    "madvise": {"EOPNOTSUPP", "ENOSYS", "EIO"},
    "read_into": {"EIO"},
    "write_from": {"ENOSPC", "EDQUOT", "EIO", "EFBIG"},
    "preadv": {"EIO"},
    "pwritev": {"ENOSPC", "EDQUOT", "EIO", "EFBIG"},
}
"""By call, the errnos that have reasons in the environment of the implementation, which the reference cannot know."""

EFFECT_CLAUSES: Final = {
    "mmap": ("mmap.range",),
    "munmap": ("munmap.range",),
    "mremap": ("mremap.resize",),
    "mprotect": ("mprotect.rights",),
    "msync": ("msync.flush",),
    "close": ("mmap.refcount.close",),
    "ftruncate": ("file.truncate",),
    "fallocate": ("fallocate.zero",),
    "copy_file_range": ("copy.shared",),
    "rename": ("rename.mapping",),
    "pwrite": ("mmap.flag.shared",),
    "fork": ("fork.mappings",),
    "exec": ("exec.mappings",),
    "exit": ("end.shared", "end.others"),
    "kill": ("end.shared", "end.others"),
}
"""By call, the clauses that state its effect: not kept if an audit after it shows a difference."""

STORES: Final = {"store": 0, "add": 0, "read_into": 1, "preadv": 1, "fstat_into": 1}
"""The calls that store into memory, and the position of the address among their arguments."""

EFFECT_CLAUSES_OF_FAILURE: Final = {"mmap": ("mmap.result.failure", "mmap.result.failure.fixed")}
"""By call, the clauses that state the effect of a call that failed."""

RESULT_CLAUSES: Final = {
    "mmap": ("mmap.result.success",),
    "munmap": ("munmap.result",),
    "mremap": ("mremap.resize",),
    "msync": ("msync.result",),
    "sysconf": ("paging.sysconf",),
    "mprotect": ("mprotect.rights",),
    "ftruncate": ("file.truncate",),
    "fallocate": ("fallocate.size",),
    "copy_file_range": ("copy.stores",),
    "pread": ("overview.one-to-one",),
    "mincore": ("paging.fault-loads",),
    "mlock": ("mlock.errno.ENOMEM",),
    "munlock": ("munlock.errno.ENOMEM",),
    "mlock2": ("mlock.errno.ENOMEM",),
    "mseal": ("mseal.result",),
    "mlockall": ("mlock.errno.ENOMEM",),
    "madvise": ("madvise.length-zero",),
    "read_into": ("buffer.store",),
    "write_from": ("buffer.load",),
    "preadv": ("buffer.two",),
    "pwritev": ("buffer.two",),
    "open_path_at": ("buffer.path",),
    "fstat_into": ("buffer.result",),
    "seal": ("memfd.seal.write.busy",),
    "exit": ("mmap.refcount.exit",),
    "kill": ("mmap.refcount.exit",),
    "exec": ("mmap.refcount.exec",),
}
"""By call, the clauses that state its result: not kept if a call that must succeed has another outcome."""

RIGHT_GRANTED: Final = {
    "load": "mmap.prot.read",
    "store": "mmap.prot.write",
    "add": "mmap.prot.write",
    "execute": "mmap.prot.exec",
}
"""By access, the clause that it works in pages with its right."""

RIGHT_REFUSED: Final = {
    "load": "mmap.prot.none",
    "store": "mmap.prot.read",
    "add": "mmap.prot.read",
    "execute": "mmap.prot.exec",
}
"""By access, the clause that it does not work in pages with other rights only."""

CROSS_PROCESS_CALLS: Final = {"store", "add", "open", "ftruncate", "pwrite", "read_into", "write_from", "madvise"}
CROSS_PROCESS_CALLS.update(("preadv", "pwritev", "fstat_into", "fallocate", "copy_file_range", "rename"))
CROSS_PROCESS_CALLS.update(("fork", "exec", "exit", "kill"))
"""Calls whose effect other processes can observe."""

EFFECTS: Final = frozenset(
    (
        *("mmap", "munmap", "mremap", "msync", "mprotect", "madvise", "mseal", "ftruncate", "fallocate", "close"),
        *("mlock", "mlock2", "munlock", "mlockall", "munlockall"),
    )
)
"""Calls with an effect on mappings, on their pages or on what keeps them."""

MUTATING_CALLS: Final = CROSS_PROCESS_CALLS | EFFECTS
"""Calls that change something; an audit follows them."""


def effect_clauses(
    process: ReferenceProcess, call: str, arguments: Sequence[object], failed: bool = False
) -> tuple[str, ...]:
    """Return the clauses that state the effect of a call that `process` has made."""
    if failed:
        return EFFECT_CLAUSES_OF_FAILURE.get(call, ())
    addr = arguments[STORES[call]] if call in STORES and arguments else None
    mapping = process.space.find(addr) if isinstance(addr, int) else None
    if mapping is not None:
        return ("mmap.flag.shared" if mapping.shared else "mmap.flag.private",)
    return EFFECT_CLAUSES.get(call, ())


def cited_clauses(
    process: ReferenceProcess, call: str, arguments: Sequence[object], expected: Outcome, observed: Outcome
) -> tuple[str, ...]:
    """Return the clauses that state the result of a call that is not refused, or of an access."""
    if call in ACCESSES and isinstance(arguments[0], int):
        mapping = process.space.find(arguments[0])
        if mapping is None:
            return ("munmap.range",)
        right = right_clauses(mapping, call, expected, observed)
        return right or ("mmap.range", "mmap.flag.shared" if mapping.shared else "mmap.flag.private")
    if call == "mmap" and isinstance(arguments[3], int) and arguments[3] & MAP_FIXED:
        return ("mmap.flag.fixed",)
    return RESULT_CLAUSES.get(call, ("file.errno",))


def right_clauses(mapping: Mapping, access: str, expected: Outcome, observed: Outcome) -> tuple[str, ...]:
    """Return the clauses about the rights of a mapping, if the outcomes of an access differ by these; else none."""
    if isinstance(expected, Returned) and isinstance(observed, Faulted) and observed.code == "SEGV_ACCERR":
        return (RIGHT_GRANTED[access],)
    if isinstance(expected, Faulted) and isinstance(observed, Returned) and expected.signal == "SIGSEGV":
        return (RIGHT_REFUSED[access],) if mapping.prot else ("mmap.prot.none",)
    return ()
