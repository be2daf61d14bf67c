"""Mutants of the calls on files that cases use."""

from __future__ import annotations

from errno import EACCES, EBADF, EEXIST, EINVAL, ENOENT, ENOSPC, EPERM, ESPIPE

from ..mutant import Mutant, never, other


def fails_with(errno: int, *reasons: str | tuple[str, ...]) -> tuple[Mutant, ...]:
    """Make a mutant for each reason (or several reasons), which fails with `errno` instead of the right one."""
    mutants = []
    for reason in reasons:
        name = reason if isinstance(reason, str) else reason[0]
        mutants.append(other(f"files-say-otherwise-{name}", errno, "file.errno", reason=reason))
    return tuple(mutants)


REFUSALS = (
    never("files-know-no-seal-against-writing", "file.errno", reason=("seals-sealed-by-tmpfs", "write-sealed")),
    never("files-know-no-seal-of-their-size", "file.errno", reason="size-sealed"),
    *fails_with(EPERM, "file-missing", "directory-missing", "name-missing", "path-too-long"),
    *fails_with(ENOENT, ("flock-held", "record-lock-held"), "file-exists", ("not-directory", "path-not-directory")),
    *fails_with(EACCES, "is-directory", "append-only", "attribute-not-permitted"),
    *fails_with(ESPIPE, "fd-not-open", ("offset-negative", "length-negative"), "whence-invalid"),
    *fails_with(EINVAL, "no-file-offset", "fd-not-readable", "fd-not-writable", "offset-too-large"),
    *fails_with(EBADF, ("fd-not-writable-file", "fd-not-writable"), "operation-unknown", "no-storage"),
    *fails_with(EEXIST, "not-sealable", "replaced-directory", "replaced-file", "replaced-append-only", "not-linkable"),
    *fails_with(EACCES, "replaced-not-empty", "into-itself"),
    *fails_with(ENOSPC, "file-too-large"),
)
