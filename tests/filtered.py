"""Run a command under a seccomp filter, as in a container: `python filtered.py ENAME NUMBER… -- COMMAND…`.

The system calls of these numbers fail with the error.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

LOAD_NUMBER = struct.pack("=HBBI", 0x20, 0, 0, 0)
ALLOW = struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000)
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, FILTER = 22, 38, 2


def refusing(number: int, error: int) -> bytes:
    """Return the instructions that end with the error for a system call of this number."""
    return struct.pack("=HBBIHBBI", 0x15, 0, 1, number, 0x06, 0, 0, 0x00050000 | error)


def main() -> None:
    at = sys.argv.index("--")
    error = getattr(errno, sys.argv[1])
    code = LOAD_NUMBER + b"".join(refusing(int(number), error) for number in sys.argv[2:at]) + ALLOW
    kept = ctypes.create_string_buffer(code)
    program = ctypes.create_string_buffer(struct.pack("=HxxxxxxQ", len(code) // 8, ctypes.addressof(kept)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, FILTER, program, 0, 0):
        raise OSError(ctypes.get_errno(), "no seccomp filter can be set here")
    os.execvp(sys.argv[at + 1], sys.argv[at + 1 :])


if __name__ == "__main__":
    main()
