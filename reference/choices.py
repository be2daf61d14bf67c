"""Choices: every point that the specification leaves open is decided by one object.

The documented API does not specify which of several errors a call fails with, where memory without a hint is placed,
what an unsynced page holds after a crash, or which bytes are past the end of a file that has grown.  The model decides
none of this: where more than one result is allowed it asks a `Choices`.  So the rules of the API and the habits of one
system never mix, and a judge can supply choices that follow the observed outcomes of a subject.

Each module declares its questions: `RefusalChoices`, `DiskChoices`, `PageChoices`, `FileChoices`, `PlacementChoices`.
`Choices` unites them and adds those of the calls.  `linux_choices` answers as Linux does, `observed_choices` as a
subject was observed to do.
"""

from __future__ import annotations

from typing import Protocol

from ..contract import Fault
from .address_space import PlacementChoices
from .files import FileChoices
from .refusal import RefusalChoices


class Choices(RefusalChoices, PlacementChoices, FileChoices, Protocol):
    """One method for each thing that is left open: those of the modules below, and those that the calls ask."""

    # ---- errors

    def exceeds_limit(self, what: str, used: int, limit: int, most: int = 0) -> bool:
        """True if using `used` exceeds a limit on `what` ("mappings", or "bytes" mapped).

        `most`: what a system uses at most, if that is more: one that never merges mappings has more of them.
        """

    def accepts_unaligned_offset(self, inside: int) -> bool:
        """True if mmap maps from `inside` bytes in a page of the file on, to an address as many bytes in a page."""

    def libc_refuses(self, errno: int) -> bool:
        """True if the C library fails with `errno`, without a system call, for a number that the kernel could take.

        Libraries with 32-bit addresses do: they pass on offsets below 2^44 only, and sizes below 2^31.
        """

    def requires_no_descriptor(self) -> bool:
        """True if MAP_ANONYMOUS requires that fd is -1 and offset is 0."""

    def is_invalid_offset(self, offset: int, size: int) -> bool:
        """True if a file of `size` bytes, in whole pages, cannot be mapped from `offset` on, past its end."""

    def supports_protection(self, prot: int) -> bool:
        """True if pages can have this protection."""

    def requires_aligned_address(self, call: str) -> bool:
        """True if `call` (msync, mprotect, munmap, mlock, munlock) refuses an address that is not page aligned."""

    def requires_sync_or_async(self) -> bool:
        """True if msync refuses flags with neither MS_SYNC nor MS_ASYNC."""

    def has_memory(self, length: int) -> bool:
        """True if the system can commit `length` more bytes of memory."""

    # ---- addresses

    def wraps_around(self) -> bool:
        """True if a range that ends after the largest address wraps around for the kernel.

        It does not where a 64-bit kernel runs a process with 32-bit addresses: the range then only has a hole.
        """

    def has_foreign(self, start: int, end: int) -> bool:
        """True if [start, end) has memory of the system's own, which no call has mapped."""

    def grows_in_place(self, start: int, end: int) -> bool:
        """True if a mapping at `start` can grow to `end`; memory of the system's own may be in the way."""

    def may_grow_down(self, left: int) -> bool:
        """True if a mapping may grow downwards until `left` pages separate it from the one below."""

    def refuses_sync(self) -> bool:
        """True if a file system without MAP_SYNC refuses it even where unknown flags are ignored."""

    def has_huge_pages(self) -> bool:
        """True if huge pages are available."""

    # ---- protection

    def may_load(self, prot: int, addr: int) -> bool:
        """True if the hardware can load from `addr`, in a page with this protection."""

    def may_execute(self, prot: int) -> bool:
        """True if the hardware can execute from a page with this protection."""

    def non_file_is_noexec(self) -> bool:
        """True if PROT_EXEC is refused for descriptors of no mounted file system: the terminal, a pipe."""

    def eof_before_protection(self) -> bool:
        """True if execution past the end of a file is SIGBUS even without PROT_EXEC."""

    def reports_address(self, addr: int, canonical: int) -> bool:
        """True if a fault on an unmapped address reports it; from `canonical` on no address is valid."""

    def bus_code(self) -> str:
        """Return the si_code of an access past the end of a file."""

    def fault_address(self, addr: int, page: int) -> int:
        """Return the si_addr of a fault at `addr`, with pages of `page` bytes."""

    # ---- contents

    def resized_page(self, addr: int, page: int, done: int) -> bytearray | Fault | None:
        """Return what is observed of a page, of `page` bytes, that the file has lost or gained since it was mapped.

        Its content, or the fault of an access at `addr`; None where that is as in any other page.  `done` bytes have
        been loaded before it.
        """

    def can_lock(self, is_available: bool, was_resized: bool) -> bool:
        """True if mlock finds every page of its range; `is_available` if the reference does.

        `was_resized`: a file has lost or gained a page of the range since it was mapped.
        """

    def device_content(self, content: bytes) -> bytes:
        """Return the bytes read from a device or an unusual file; `content` is the reference's."""

    def special_size(self) -> int:
        """Return the size that fstat reports for a file that is not regular."""

    def limits_files(self) -> bool:
        """True if the largest file is smaller than the largest offset."""

    def coalesced_closes(self, reported: int, closes: int) -> int:
        """Return how many events a watch reports for `closes` closes: `reported` in the order of the reference."""

    def is_resident(self, which: int, there: bool) -> bool:
        """True if page `which` of mincore's range is resident; `there` if no page has been evicted."""

    def mtime_updated(self) -> bool:
        """True if st_mtime reflects a change that the system was not obliged to detect."""

    def marks_first_store(self) -> bool:
        """True if st_mtime reflects the first store through a mapping immediately; else from the next msync on."""

    def marks_at_msync(self) -> bool:
        """True if msync makes st_mtime reflect all stores so far."""

    def writes_when_asynchronous(self) -> bool:
        """True if the writes of MS_ASYNC have reached the disk before a crash."""

    def copied(self, length: int) -> int:
        """Return the bytes that copy_file_range copies if it can copy `length`, which is not 0: at least one."""

    def transferred(self, call: str, possible: int, wanted: int) -> int:
        """Return the bytes that pread or pwrite transfers if only `possible` of `wanted` bytes are accessible."""
