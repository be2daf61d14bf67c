"""The calls of the contract that no clause judges: a case needs them, and their failure is never a clause's failure.

They make files, processes and limits.  An errno that a case does not expect from one of them (a full disk, a limit of
processes that the user has set, no privilege) is the environment's refusal, so the case is unresolved.
"""

from __future__ import annotations

from collections.abc import Iterable
from traceback import walk_tb
from typing import Final

from ..contract import Process, System, errno_name

SET_UP: Final = frozenset(
    (
        *("open", "close", "dup", "ftruncate", "lseek", "pread", "pwrite", "fstat", "fsync", "unlink", "mkdir"),
        *("rename", "link"),
        *("pipe", "socketpair", "memfd", "set_append_only", "set_old_mtime", "has_old_mtime", "drop_cache"),
        *("flock", "record_lock", "watch", "close_events", "free_space"),
        *("spawn", "fork", "thread", "exit", "kill", "exec", "set_limit_headroom", "drop_capability"),
        *("scratch_range", "bits", "return_instruction", "errno_cleared", "counters", "maps", "audit", "batch"),
        *("run_concurrently", "together", "facility", "crash", "full_file_table", "mapping_limit"),
    )
)
"""The calls that no clause judges."""

JUDGED: Final = (
    frozenset(name for owner in (Process, System) for name in vars(owner) if not name.startswith("_")) - SET_UP
)
"""All others."""

ABOUT_FILES: Final = frozenset(
    {
        "file.errno",
        "file.holes.stores",
        "link.same",
        "memfd.seal.shrink",
        "memfd.seal.grow",
        "memfd.seal.seal",
        "truncation.pages",
    }
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
