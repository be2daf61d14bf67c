"""The matrix of mmap: the expected outcome of a call for every protection, type and object, with and without MAP_FIXED.

The cases of conformance/mmap_matrix.py judge it, and the grid of a report shows it.  A case's id names its field of the
matrix: `parameter` writes that part of the id, and CASE_ID reads it.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class Row(NamedTuple):
    """The expected outcome of calls with one type for one object; within a row it depends on PROT_WRITE only."""

    without_write: str
    """The errnos allowed without PROT_WRITE, separated by spaces; empty: the call succeeds."""
    with_write: str
    """The errnos allowed with PROT_WRITE; empty: the call succeeds."""
    failure_clauses: tuple[str, ...]
    """Clauses that require the failure."""
    success_clauses: tuple[str, ...]
    """Clauses that require the success."""


_SHARED = ("mmap.flag.shared", "mmap.prot.fd-mode")
_PRIVATE = ("mmap.flag.private", "mmap.prot.fd-mode")
_VALIDATE = ("mmap.flag.shared-validate",)
_ANONYMOUS = ("mmap.flag.anonymous",)
_ACCESS_MODE = ("mmap.errno.EACCES", "mmap.prot.fd-mode")
_NO_TYPE = ("mmap.errno.EINVAL.type",)

ROWS: Final = {
    ("shared", "rdonly"): Row("", "EACCES", _ACCESS_MODE, _SHARED),
    ("shared", "wronly"): Row("EACCES", "EACCES", _ACCESS_MODE, ()),
    ("shared", "rdwr"): Row("", "", (), _SHARED),
    ("shared", "anonymous"): Row("", "", (), _ANONYMOUS),
    ("private", "rdonly"): Row("", "", (), _PRIVATE),
    ("private", "wronly"): Row("EACCES", "EACCES", _ACCESS_MODE, ()),
    ("private", "rdwr"): Row("", "", (), _PRIVATE),
    ("private", "anonymous"): Row("", "", (), _ANONYMOUS),
    ("neither", "rdonly"): Row("EINVAL", "EINVAL", _NO_TYPE, ()),
    ("neither", "wronly"): Row("EINVAL EACCES", "EINVAL EACCES", _NO_TYPE, ()),  # both errors apply
    ("neither", "rdwr"): Row("EINVAL", "EINVAL", _NO_TYPE, ()),
    ("neither", "anonymous"): Row("EINVAL", "EINVAL", _NO_TYPE, ()),
    ("validate", "rdonly"): Row("", "EACCES", _VALIDATE, _VALIDATE),
    ("validate", "wronly"): Row("EACCES", "EACCES", _VALIDATE, ()),
    ("validate", "rdwr"): Row("", "", (), _VALIDATE),
    ("validate", "anonymous"): Row("EINVAL", "EINVAL", _VALIDATE + _ANONYMOUS, ()),
}
"""By type and object: "neither" has no type flag, an object is a file by its access mode, or anonymous memory."""

PROTECTIONS: Final = ("---", "r--", "-w-", "rw-", "--x", "r-x", "-wx", "rwx")

CASE_ID: Final = re.compile(r"mmap_matrix\.\w+\[([r-][w-][x-])-([a-z]+)-([a-z]+)(-fixed)?\]")
"""The id of a case of the matrix: protection, type, object, and whether with MAP_FIXED."""


def parameter(protection: str, kind: str, target: str, fixed: bool) -> str:
    """Return the parameter part of a case's id, such as "rw--shared-rdonly-fixed"."""
    return f"{protection}-{kind}-{target}" + ("-fixed" if fixed else "")


def expected_errors(protection: str, kind: str, target: str) -> str:
    """Return the errnos allowed for a field of the matrix, separated by spaces; empty if the call must succeed."""
    row = ROWS[kind, target]
    return row.with_write if "w" in protection else row.without_write
