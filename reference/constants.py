"""The contract's flags as plain integers.

An operation on enum flags takes about a microsecond, on integers next to nothing; a call of the reference does a dozen
of them.  The names and values are the contract's.
"""

from __future__ import annotations

from typing import Final

from .. import contract

PROT_NONE: Final = int(contract.PROT_NONE)
PROT_READ: Final = int(contract.PROT_READ)
PROT_WRITE: Final = int(contract.PROT_WRITE)
PROT_EXEC: Final = int(contract.PROT_EXEC)
PROT_ALL: Final = PROT_READ | PROT_WRITE | PROT_EXEC
PROT_GROWSDOWN: Final = int(contract.PROT_GROWSDOWN)
PROT_GROWS: Final = PROT_GROWSDOWN | int(contract.PROT_GROWSUP)
PROT_SEM: Final = 0x8
"""Memory for atomic operations: mprotect accepts it on Linux, without an effect."""

MAP_SHARED: Final = int(contract.MAP_SHARED)
MAP_PRIVATE: Final = int(contract.MAP_PRIVATE)
MAP_SHARED_VALIDATE: Final = int(contract.MAP_SHARED_VALIDATE)
MAP_DROPPABLE: Final = int(contract.MAP_DROPPABLE)
MAP_TYPE: Final = 0x0F
MAP_FIXED: Final = int(contract.MAP_FIXED)
MAP_ANONYMOUS: Final = int(contract.MAP_ANONYMOUS)
MAP_32BIT: Final = int(contract.MAP_32BIT)
MAP_GROWSDOWN: Final = int(contract.MAP_GROWSDOWN)
MAP_LOCKED: Final = int(contract.MAP_LOCKED)
MAP_POPULATE: Final = int(contract.MAP_POPULATE)
MAP_NONBLOCK: Final = int(contract.MAP_NONBLOCK)
MAP_HUGETLB: Final = int(contract.MAP_HUGETLB)
MAP_SYNC: Final = int(contract.MAP_SYNC)
MAP_FIXED_NOREPLACE: Final = int(contract.MAP_FIXED_NOREPLACE)
MAP_VALIDATED: Final = 0x7C0FF9FF
"""The flags that MAP_SHARED_VALIDATE accepts on Linux: MAP_SYNC, and those older than itself (LEGACY_MAP_MASK)."""

HUGE_SHIFT: Final = 26
"""The bits of the flags from this one on are the size of huge pages, as a power of two; 0 for the default size."""
HUGE_SIZES: Final = (0, 21, 30)
"""The sizes of huge pages that x86-64 has, as powers of two."""

MREMAP_MAYMOVE: Final = int(contract.MREMAP_MAYMOVE)
MREMAP_FIXED: Final = int(contract.MREMAP_FIXED)
MREMAP_DONTUNMAP: Final = int(contract.MREMAP_DONTUNMAP)

MS_ASYNC: Final = int(contract.MS_ASYNC)
MS_INVALIDATE: Final = int(contract.MS_INVALIDATE)
MS_SYNC: Final = int(contract.MS_SYNC)

O_ACCESS: Final = 3
O_RDONLY: Final = int(contract.O_RDONLY)
O_WRONLY: Final = int(contract.O_WRONLY)
O_RDWR: Final = int(contract.O_RDWR)
O_CREAT: Final = int(contract.O_CREAT)
O_EXCL: Final = int(contract.O_EXCL)
O_TRUNC: Final = int(contract.O_TRUNC)
O_APPEND: Final = int(contract.O_APPEND)
O_DIRECTORY: Final = int(contract.O_DIRECTORY)
O_CLOEXEC: Final = int(contract.O_CLOEXEC)
O_PATH: Final = int(contract.O_PATH)
