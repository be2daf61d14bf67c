"""Read a file that a user has named: a regular file, of limited size."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

LARGEST: Final = 64 << 20
"""The largest number of bytes of a file that is read: more than any report of a full run."""


def read_text(path: Path, largest: int = LARGEST) -> str:
    """Return the text of a file.  Raises UnicodeDecodeError, and OSError also for a pipe, a device or a large file.

    A pipe may never end, and neither does a device such as /dev/zero.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        data = file.read(largest + 1)
    if len(data) > largest:
        raise OSError(errno.EFBIG, f"it has more than {largest} bytes")
    return data.decode("utf-8")
