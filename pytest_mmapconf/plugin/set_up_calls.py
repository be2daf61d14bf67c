"""The calls of the contract that no clause judges: a case needs them, and their failure is never a clause's failure.

They make files, processes and limits.  An errno that a case does not expect from one of them (a full disk, a limit of
processes that the user has set, no privilege) is the environment's refusal, so the case is unresolved.
"""

from __future__ import annotations

from collections.abc import Iterable
from traceback import walk_tb
from typing import Final

from ..contract import Process, System, errno_name

JUDGED: Final = (
    frozenset({"mmap", "munmap", "mremap", "msync", "sysconf"})
    | {"mprotect", "fragment", "mlock", "munlock", "mlock2", "mlockall", "munlockall", "madvise", "mincore", "mseal"}
    | {"load", "store", "execute", "add", "read_into", "write_from", "seal"}
)
"""The calls that clauses judge."""

SET_UP: Final = (
    frozenset(name for owner in (Process, System) for name in vars(owner) if not name.startswith("_")) - JUDGED
)
"""All others."""

ABOUT_FILES: Final = frozenset(
    {"file.errno", "memfd.seal.shrink", "memfd.seal.grow", "memfd.seal.seal", "truncation.pages"}
)
"""The clauses that judge calls of SET_UP."""


def failed_set_up(error: BaseException, clauses: Iterable[str]) -> str | None:
    """Return the call and errno of an error that the environment caused; None for any other error.

    `clauses` are those of the case.

    The call is the outermost one of the contract in the error's traceback: backends and wrappers give their methods the
    contract's names.
    """
    if not isinstance(error, OSError) or not ABOUT_FILES.isdisjoint(clauses):
        return None
    names = (frame.f_code.co_name for frame, _line in walk_tb(error.__traceback__))
    call = next((name for name in names if name in JUDGED or name in SET_UP), None)
    return f"{call}: {errno_name(error)}" if call in SET_UP else None
