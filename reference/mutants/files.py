"""What is wrong with the calls on files that cases are built from."""

from __future__ import annotations

import re
from errno import EACCES, EBADF, EEXIST, EINVAL, ENOENT, ENOSPC, EPERM, ESPIPE

from ..mutant import Mutant, never, other


def says(errno: int, *causes: str) -> tuple[Mutant, ...]:
    """A mutant for each cause, which says `errno` instead of what it should."""
    return tuple(
        other("files-say-otherwise-" + re.sub(r"\W+", "-", cause), errno, "file.errno", cause=cause) for cause in causes
    )


REFUSALS = (
    never("files-know-no-seal-against-writing", "file.errno", cause="the file is sealed"),
    never("files-know-no-seal-of-their-size", "file.errno", cause="the file's size is sealed"),
    *says(EPERM, "the file does not exist", "a directory of the path does not exist"),
    *says(ENOENT, "holds the lock", "the file exists", "is not a directory"),
    *says(EACCES, "the file is a directory", "can be appended to only", "may not change the attribute"),
    *says(ESPIPE, "fd is not an open descriptor", "is negative", "or the file offset would be negative"),
    *says(
        EINVAL, "no file offset", "fd is not open for reading", "fd is not open for writing", "behind any file's end"
    ),
    *says(EBADF, "open for writing", "the operation is not known", "the file has no storage"),
    *says(EEXIST, "the file cannot be sealed"),
    *says(ENOSPC, "larger than any file"),
)
