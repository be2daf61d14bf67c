"""What the specification leaves open, and who decides it.

The documented API does not say which of several errors a call fails with, where memory without a wish is placed, what
an unsynced page holds after a crash, or what stands behind the end of a file that has grown.  The model decides none of
this: wherever there is more than one right answer it asks a `Choices`.  So the rules of the API and the habits of one
system never mix, and a judge can put choices in here that follow what a subject was seen to do.

Each module declares what it asks: `RefusalChoices`, `DiskChoices`, `PageChoices`, `FileChoices`, `PlacementChoices`.
`Choices` unites them and adds what the calls ask.  `linux_choices` answers as Linux does, `observed_choices` as a
subject was seen to do.
"""

from __future__ import annotations

from typing import Protocol

from .address_space import PlacementChoices
from .files import FileChoices
from .refusal import RefusalChoices


class Choices(RefusalChoices, PlacementChoices, FileChoices, Protocol):
    """One method for each thing that is left open: those of the modules below, and those that the calls ask."""

    # ---- errors

    def exceeds_limit(self, what: str, used: int, limit: int) -> bool:
        """Whether a limit on `what` ("mappings", or "bytes" mapped) is passed by using so much of it."""

    def has_memory(self, length: int) -> bool:
        """Whether the system is ready to promise `length` more bytes of memory."""

    # ---- addresses

    def has_foreign(self, start: int, end: int) -> bool:
        """Whether there is memory of the system's own in [start, end), which nobody mapped."""

    def grows_in_place(self, start: int, end: int) -> bool:
        """Whether what begins at `start` grows to `end` where that is free (the system's own memory may be there)."""

    def may_grow_down(self, left: int) -> bool:
        """Whether a mapping grows downwards until only `left` pages are between it and the one below."""

    def refuses_sync(self) -> bool:
        """Whether a file system without MAP_SYNC refuses it even where unknown flags are ignored."""

    def has_huge_pages(self) -> bool:
        """Whether there are huge pages to be had."""

    # ---- rights

    def may_load(self, prot: int, addr: int) -> bool:
        """Whether the hardware can load from the page of an address, which has these rights."""

    def may_execute(self, prot: int) -> bool:
        """Whether the hardware can execute from a page with these rights."""

    def non_file_is_noexec(self) -> bool:
        """Whether nothing may be executed of what a process begins with, and of what no file is behind."""

    def eof_before_protection(self) -> bool:
        """Whether execution past the end of a file is SIGBUS, even where the right is missing as well."""

    def reports_address(self, addr: int, canonical: int) -> bool:
        """Whether a fault where nothing is mapped tells the address; from `canonical` on nothing ever can be."""

    # ---- contents

    def device_content(self, content: bytes) -> bytes:
        """What is read from a device or an unusual file."""

    def special_size(self) -> int:
        """What fstat tells as the size of what is not a regular file."""

    def limits_files(self) -> bool:
        """Whether a file cannot be as large as an offset can say."""

    def coalesced_closes(self, reported: int, closes: int) -> int:
        """Return how many events a watch reports for `closes` closes: `reported` in the order of the reference."""

    def is_resident(self, which: int, there: bool) -> bool:
        """Whether page number `which` that mincore is asked about is in memory; it is `there` if none has left."""

    def mtime_updated(self) -> bool:
        """True if st_mtime reflects a change that the system was not obliged to detect."""

    def writes_when_asynchronous(self) -> bool:
        """Whether MS_ASYNC has reached the disk by the time of a crash."""

    def transferred(self, possible: int, wanted: int) -> int:
        """How much a call has moved whose buffer ends, or begins, `possible` bytes on where it cannot be used."""
