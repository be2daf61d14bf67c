"""What the specification leaves open, and who decides it.

The documented API does not say which of several errors a call fails with, where memory without a wish is placed, what
an unsynced page holds after a crash, or what stands behind the end of a file that has grown.  The model decides none of
this: wherever there is more than one right answer it asks a `Choices`.  So the rules of the API and the habits of one
system never mix, and a judge can put choices in here that follow what a subject was seen to do.

`LinuxChoices` answers as Linux 6.18 on x86-64 does (ext4 where file systems differ).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from .constants import PROT_EXEC, PROT_READ, PROT_WRITE
from .refusal import Refusal

if TYPE_CHECKING:
    from .address_space import AddressSpace, Mapping
    from .paging import Page


GUARD: Final = 256
"""Pages that Linux keeps free below what grows downwards."""


class Choices(Protocol):
    """One method for each thing that is left open."""

    # ---- errors

    def refusal(self, call: str, refusals: Sequence[Refusal]) -> Refusal:
        """Which of the refusals that apply, at least one, the call fails with (they come in Linux's order)."""

    def cleared_when_refused(self, refusal: Refusal, space: AddressSpace, start: int, end: int) -> bool:
        """Whether [start, end), which MAP_FIXED named, has lost its mappings although the call was refused."""

    def is_over(self, what: str, used: int, limit: int) -> bool:
        """Whether a limit on `what` ("mappings", or "bytes" mapped) is passed by using so much of it."""

    def has_memory(self, length: int) -> bool:
        """Whether the system is ready to promise `length` more bytes of memory."""

    def does_part(self, call: str) -> bool:
        """Whether a call that cannot be done for a whole range has been done for what comes before."""

    # ---- addresses

    def place(self, space: AddressSpace, length: int, hint: int, below: int = 0) -> int | None:
        """Where `length` bytes go; `hint` is 0 for none; they end at `below`, if that is not 0.  None: nowhere."""

    def joins(self, left: Mapping, right: Mapping) -> bool:
        """Whether neighbours that are alike become one mapping."""

    def are_one(self, left: Mapping, right: Mapping) -> bool:
        """Whether neighbours of private memory are one mapping although one of them was mapped elsewhere."""

    def is_one(self, mapping: Mapping) -> bool:
        """Whether a mapping that was joined of several can grow or move as one."""

    def has_foreign(self, start: int, end: int) -> bool:
        """Whether there is memory of the system's own in [start, end), which nobody mapped."""

    def grows_in_place(self, start: int, end: int) -> bool:
        """Whether what begins at `start` grows to `end` where that is free (the system's own memory may be there)."""

    def grows_down(self, left: int) -> bool:
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

    def nameless_is_noexec(self) -> bool:
        """Whether nothing may be executed of what a process begins with, and of what no file is behind."""

    def end_before_rights(self) -> bool:
        """Whether execution past the end of a file is SIGBUS, even where the right is missing as well."""

    def tells_address(self, addr: int, canonical: int) -> bool:
        """Whether a fault where nothing is mapped tells the address; from `canonical` on nothing ever can be."""

    # ---- contents

    def settle(self, page: Page, start: int, firm: int, done: int) -> None:
        """Say what the bytes of a page hold where that is open (`Page.open`), as it is loaded from `start` on.

        From `firm` on they are behind the end of the file and stay open; `done` bytes have been loaded before them.
        """

    def device_content(self, content: bytes) -> bytes:
        """What is read from a device or an unusual file."""

    def special_size(self) -> int:
        """What fstat tells as the size of what is not a regular file."""

    def shows_changes(self) -> bool:
        """Whether a private page that has not been copied yet shows how the file has changed since it was mapped."""

    def limits_files(self) -> bool:
        """Whether a file cannot be as large as an offset can say."""

    def has_room(self, free: int, length: int) -> bool:
        """Whether a disk with `free` bytes has room for `length` more."""

    def noted(self, told: int, closes: int) -> int:
        """How many of `closes` a watch tells: `told`, if they came in the order in which they were made here."""

    def is_resident(self, which: int, there: bool) -> bool:
        """Whether page number `which` that mincore is asked about is in memory; it is `there` if none has left."""

    def copies_when_loaded(self) -> bool:
        """Whether a private page is copied when it is first loaded from (else later changes of the file show)."""

    def copies_when_populated(self) -> bool:
        """Whether locking or populating a private writable page makes the private copy at once."""

    def notices(self) -> bool:
        """Whether a file that has changed in a way that a system may miss has been modified to fstat."""

    def slack_survives_growth(self) -> bool:
        """Whether what was stored behind the end of a file is in the file when it grows (else it is zero)."""

    def slack_survives_write_back(self) -> bool:
        """Whether what was stored behind the end of a file outlives the page's write-back (else it is zero)."""

    def evicts(self) -> bool:
        """Whether pages leave memory when they are asked to."""

    def writes_when_asynchronous(self) -> bool:
        """Whether MS_ASYNC has reached the disk by the time of a crash."""

    def moved(self, possible: int, wanted: int) -> int:
        """How much a call has moved whose buffer ends, or begins, `possible` bytes on where it cannot be used."""

    def survives(self, name: str, block: int) -> bool | None:
        """Whether a page not synced after its last change keeps the new content in a crash; None: it is open."""


class LinuxChoices:
    """As Linux does."""

    __slots__ = ()

    def refusal(self, call: str, refusals: Sequence[Refusal]) -> Refusal:
        """The first: each call gathers in the order in which Linux looks."""
        return refusals[0]

    def cleared_when_refused(self, refusal: Refusal, space: AddressSpace, start: int, end: int) -> bool:
        """What a driver or a new file finds wrong is found after the range was cleared."""
        return refusal.late

    def is_over(self, what: str, used: int, limit: int) -> bool:
        return used > limit

    def has_memory(self, length: int) -> bool:
        return True

    def does_part(self, call: str) -> bool:
        return True

    def place(self, space: AddressSpace, length: int, hint: int, below: int = 0) -> int | None:
        """At the hint, rounded down, if that is free; else in a gap as high as can be found."""
        if hint:
            hint = max(hint - hint % space.page, space.lowest)
            if hint <= (below or space.top) - length and space.is_free(hint, hint + length):
                return hint
        if below:
            return space.gaps.lowest(length, below // 2, below)
        found = space.gaps.highest(length)
        return found if found is not None and found >= space.lowest else None

    def joins(self, left: Mapping, right: Mapping) -> bool:
        return True

    def are_one(self, left: Mapping, right: Mapping) -> bool:
        """As far as can be known: what has been moved with pages of its own is told apart."""
        return False

    def is_one(self, mapping: Mapping) -> bool:
        return True

    def has_foreign(self, start: int, end: int) -> bool:
        return False

    def grows_in_place(self, start: int, end: int) -> bool:
        return True

    def grows_down(self, left: int) -> bool:
        """A gap is kept."""
        return left >= GUARD

    def refuses_sync(self) -> bool:
        """As ext4 does (tmpfs does not)."""
        return True

    def has_huge_pages(self) -> bool:
        return False

    def may_load(self, prot: int, addr: int) -> bool:
        """x86 has no right to write or execute without the right to read."""
        return prot & (PROT_READ | PROT_WRITE | PROT_EXEC) != 0

    def may_execute(self, prot: int) -> bool:
        return prot & PROT_EXEC != 0

    def nameless_is_noexec(self) -> bool:
        """As of a pipe."""
        return True

    def end_before_rights(self) -> bool:
        return True

    def tells_address(self, addr: int, canonical: int) -> bool:
        """Non-canonical addresses raise a general protection fault, which has no address."""
        return addr < canonical

    def settle(self, page: Page, start: int, firm: int, done: int) -> None:
        """As the page has it: what was stored behind the end of the file stays until write-back or growth."""

    def device_content(self, content: bytes) -> bytes:
        return content

    def special_size(self) -> int:
        return 0

    def shows_changes(self) -> bool:
        return True

    def limits_files(self) -> bool:
        """As on ext4 (not on tmpfs)."""
        return True

    def has_room(self, free: int, length: int) -> bool:
        return length <= free

    def noted(self, told: int, closes: int) -> int:
        return told

    def is_resident(self, which: int, there: bool) -> bool:
        return there

    def copies_when_loaded(self) -> bool:
        return False

    def copies_when_populated(self) -> bool:
        return True

    def notices(self) -> bool:
        return True

    def slack_survives_growth(self) -> bool:
        return False

    def slack_survives_write_back(self) -> bool:
        return False

    def evicts(self) -> bool:
        return True

    def writes_when_asynchronous(self) -> bool:
        return False

    def moved(self, possible: int, wanted: int) -> int:
        return possible

    def survives(self, name: str, block: int) -> bool | None:
        return False
