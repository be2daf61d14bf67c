"""The choices of Linux 6.18 on x86-64, with ext4 where file systems differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..contract import Fault
from .address_space import AddressSpace
from .constants import PROT_EXEC, PROT_READ, PROT_WRITE
from .mapping import Mapping
from .paging import Page
from .refusal import Refusal, TargetSpace

GUARD: Final = 256
"""Pages that Linux keeps free below what grows downwards."""


class LinuxChoices:
    """The choices of Linux."""

    __slots__ = ()

    overlooks_refusals = False

    def refusal(self, call: str, refusals: Sequence[Refusal]) -> Refusal:
        """The first: each call gathers in the order in which Linux looks."""
        return refusals[0]

    def cleared_when_refused(self, refusal: Refusal, space: TargetSpace, start: int, end: int) -> bool:
        """An error that a driver or a new file detects occurs after the range has been unmapped."""
        return refusal.late

    def exceeds_limit(self, what: str, used: int, limit: int, most: int = 0) -> bool:
        return used > limit

    def errno(self, reason: str, errno: int) -> int:
        return errno

    def accepts_unaligned_offset(self, inside: int) -> bool:
        return False

    def libc_refuses(self, errno: int) -> bool:
        return False

    def requires_no_descriptor(self) -> bool:
        return False

    def is_invalid_offset(self, offset: int, size: int) -> bool:
        return False

    def supports_protection(self, prot: int) -> bool:
        return True

    def requires_aligned_address(self, call: str) -> bool:
        """mlock and munlock round it down."""
        return call not in ("mlock", "munlock")

    def requires_sync_or_async(self) -> bool:
        return False

    def has_memory(self, length: int) -> bool:
        return True

    def finds_arguments_first(self) -> bool:
        return True

    def applies_prefix(self, call: str) -> bool:
        return True

    def place(self, space: AddressSpace, length: int, hint: int, below: int = 0) -> int | None:
        """At the hint, rounded down, if that is free; else in a gap as high as can be found."""
        if hint:
            hint = max(hint - hint % space.page, space.mmap_min_addr)
            if hint <= (below or space.task_size) - length and space.is_free(hint, hint + length):
                return hint
        if below:
            return space.gaps.lowest(length, below // 2, below)
        start = space.gaps.highest(length)
        return start if start is not None and start >= space.mmap_min_addr else None

    def merges(self, left: Mapping, right: Mapping) -> bool:
        return True

    def may_merge_moved(self, left: Mapping, right: Mapping) -> bool:
        """Never: a mapping moved with private pages keeps its own anon_vma and cannot be merged."""
        return False

    def is_single_vma(self, mapping: Mapping) -> bool:
        return True

    def wraps_around(self) -> bool:
        return True

    def has_foreign(self, start: int, end: int) -> bool:
        return False

    def grows_in_place(self, start: int, end: int) -> bool:
        return True

    def may_grow_down(self, left: int) -> bool:
        """A gap is kept."""
        return left >= GUARD

    def refuses_sync(self) -> bool:
        """ext4 refuses it; tmpfs does not."""
        return True

    def has_huge_pages(self) -> bool:
        return False

    def may_load(self, prot: int, addr: int) -> bool:
        """On x86 a page that can be written or executed can be read."""
        return prot & (PROT_READ | PROT_WRITE | PROT_EXEC) != 0

    def may_execute(self, prot: int) -> bool:
        return prot & PROT_EXEC != 0

    def non_file_is_noexec(self) -> bool:
        """Since Linux 6.17 also for pipes and sockets."""
        return True

    def eof_before_protection(self) -> bool:
        return True

    def reports_address(self, addr: int, canonical: int) -> bool:
        """Non-canonical addresses raise a general protection fault, which has no address."""
        return addr < canonical

    def bus_code(self) -> str:
        return "BUS_ADRERR"

    def fault_address(self, addr: int, page: int) -> int:
        return addr

    def resolve(self, page: Page, start: int, firm: int, done: int) -> None:
        """Keep the page's data: bytes stored past the end of the file stay until write-back or growth."""

    def resized_page(self, addr: int, page: int, done: int) -> bytearray | Fault | None:
        return None

    def can_lock(self, is_available: bool, was_resized: bool) -> bool:
        return is_available

    def device_content(self, content: bytes) -> bytes:
        return content

    def special_size(self) -> int:
        return 0

    def shows_changes(self) -> bool:
        return True

    def limits_files(self) -> bool:
        """ext4 has such a limit; tmpfs has none."""
        return True

    def has_room(self, free: int, length: int) -> bool:
        return length <= free

    def coalesced_closes(self, reported: int, closes: int) -> int:
        return reported

    def is_resident(self, which: int, there: bool) -> bool:
        return there

    def note_store(self, addr: int) -> None:
        """Nothing depends on it."""

    def copies_when_mapped(self) -> bool:
        return False

    def shows_added_pages(self) -> bool:
        return True

    def removes_lost_pages(self) -> bool:
        return True

    def copies_when_loaded(self) -> bool:
        return False

    def copies_when_populated(self) -> bool:
        return True

    def mtime_updated(self) -> bool:
        return True

    def marks_first_store(self) -> bool:
        return True

    def marks_at_msync(self) -> bool:
        """Not always: a store to a page that has not been written back since the last is not detected."""
        return False

    def slack_survives_growth(self) -> bool:
        return False

    def slack_survives_write_back(self) -> bool:
        return False

    def evicts(self) -> bool:
        return True

    def writes_when_asynchronous(self) -> bool:
        return False

    def copied(self, length: int) -> int:
        """All: a file system that shares storage between files may copy the whole blocks only."""
        return length

    def transferred(self, call: str, possible: int, wanted: int) -> int:
        return possible

    def survives(self, name: str, block: int) -> bool | None:
        return False
