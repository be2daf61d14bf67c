"""Choices that follow the observed outcomes of a subject: the reference as a judge.

The subject makes a call first.  `ObservedChoices` records its outcome, and then the reference makes the same call.
Wherever the specification leaves something open, the reference asks, and the answer is the observed one, if it is one
of the right answers; if it is none of them, `NotAllowed` is raised, which says what would have been right.  Where
nothing is open the reference does the one allowed thing, and the caller compares the two results.

So there is one set of rules for playing a system and for judging one.  Some of what is open cannot be observed in the
outcome of the call itself: an experiment on the subject (`ObservedChoices.is_mapped`) shows whether a refused MAP_FIXED
has cleared its range, and indeterminate bytes are determined when they are first read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from errno import EAGAIN, EBADF, EINVAL, EMFILE, ENOTSUP, errorcode
from math import inf
from typing import Final

from ..contract import Fault, Unresolved
from ..outcomes import Failed, Faulted, Outcome, Returned
from .address_space import AddressSpace
from .constants import PROT_ALL, PROT_EXEC, PROT_READ
from .linux_choices import LinuxChoices
from .mapping import Mapping
from .paging import Page
from .refusal import Refusal, TargetSpace


class NotAllowed(Exception):
    """The observed outcome is not allowed: the allowed outcomes, and the clauses that require one of them."""

    def __init__(self, allowed: Sequence[str], clauses: Sequence[str]) -> None:
        super().__init__(f"allowed: {' or '.join(allowed)} ({', '.join(clauses)})")
        self.allowed = tuple(allowed)
        self.clauses = tuple(dict.fromkeys(clauses))


ALWAYS_PARTIAL: Final = ("madvise",)
"""Calls that at every level have done their work on the part of the range before the first error."""

NEVER_PARTIAL: Final = ("msync",)
"""Calls whose partial effect is not compared below level linux: msync may have written pages or not."""

KEEPS_RANGE: Final = (EBADF, EINVAL, ENOTSUP)
"""The errors by which a MAP_FIXED that is refused has unmapped nothing (XSH mmap(), RETURN VALUE)."""

LARGE: Final = 1 << 28
"""From this size in bytes on, a system may fail with ENOMEM; less memory it must have."""

MODEST_PAGES: Final = 16
"""Pages of memory that every system has: below level linux a larger mapping may fail for lack of memory."""

FUZZ_PAGES: Final = 64
"""Pages that the subject's own memory may come and go by, where a limit counts that too."""

ORDER: Final = {"mremap": "mremap.errno.order", "msync": "msync.errno.order", "mprotect": "mprotect.errno.order"}
"""By call, the clause of level linux that of several applicable errors the first in Linux's order is returned."""

ORDER_OF_MMAP: Final = {
    "offset-unaligned": "mmap.order.offset",
    "fd-not-open": "mmap.order.descriptor",
    "fd-path-only": "mmap.order.descriptor",
    "length-zero": "mmap.order.length",
    "length-too-large": "mmap.order.too-long",
    "fixed-range-outside": "mmap.order.address",
    "fixed-addr-unaligned": "mmap.order.address.unaligned",
    "fixed-range-taken": "mmap.order.address.taken",
    "lock-not-permitted": "mmap.order.lock",
    "offset-overflow": "mmap.order.overflow",
    "flags-unknown": "mmap.order.flag",
    "shared-not-writable": "mmap.order.mode",
    "fd-not-readable": "mmap.order.mode",
    "file-noexec": "mmap.errno.EPERM.unmappable",
    "file-not-mappable": "mmap.order.limit.kind",
}
"""For mmap: by the reason of the first refusal, the clause that it is returned before others."""

FOUND_EARLY: Final = {
    "length-too-large": "ENOMEM",
    "libc-new-size": "ENOMEM",
    "libc-low-address": "ENOMEM",
    "sync-unsupported": "EOPNOTSUPP",
}
"""By reason, the errno of a refusal that a C library or a file system may make before the kernel reports another.

It does not excuse "mmap.order.offset": musl checks the offset first.
"""


PERMITTED: Final = {
    "mapping-limit": EMFILE,  # XSH mmap(): the number of mapped regions would exceed a limit
    "split-mapping-limit": EMFILE,
    "fixed-range-outside": EINVAL,  # XSH mmap(): the implementation considers addr invalid
    "locked-limit": EAGAIN,  # XSH mlock(): some of the memory could not be locked
}
"""By reason, the errno that POSIX permits besides the one that Linux reports."""


class ObservedChoices(LinuxChoices):
    """Follows the observed outcomes of the subject where they are allowed.

    `level`: at "linux" whatever is known of Linux is asked for; below that, what POSIX and the documented API leave
    open is open.
    """

    __slots__ = (
        "bits",
        "call",
        "failed_after_unmap",
        "hardware",
        "is_full",
        "is_mapped",
        "level",
        "observed",
        "overlooks_refusals",
        "page",
        "rejected_address",
        "scratch_range",
        "stored_at",
    )

    def __init__(self, level: str = "linux") -> None:
        self.level = level
        self.page = 4096
        """Bytes of a page of the subject."""
        self.bits = 64
        """Bits of an address of the subject."""
        self.call = ""
        """The call that was observed."""
        self.observed: Outcome = Returned(None)
        """The outcome of the subject's call."""
        self.overlooks_refusals = False
        """True while a call is made that the subject has not refused although it must."""
        self.rejected_address: NotAllowed | None = None
        """The error for an observed address that is not allowed; None if there is none."""
        self.failed_after_unmap = False
        """True if the observed error may follow the unmapping of a MAP_FIXED range."""
        self.is_full: Callable[[], bool] = lambda: False
        """Return True if a disk of the subject is full."""
        self.is_mapped: Callable[[int], bool] = lambda addr: True
        """Return True if the subject has a mapping at an address."""
        self.scratch_range: Callable[[], tuple[int, int]] = lambda: (0, 0)
        """Return the range in which the subject has no memory of its own: (address, length)."""
        self.stored_at: int | None = None
        """The page that the observed call stores to, as far as the reference has got; None for no store."""
        self.hardware: dict[tuple[str, int], bool] = {}
        """Accesses that the subject's processor was observed to allow or refuse, by access and protection."""

    def observe(self, call: str, outcome: Outcome) -> None:
        """Record the outcome of the subject's `call`."""
        self.call = call
        self.observed = outcome
        self.rejected_address = None
        self.stored_at = None

    # ---- errors

    def refusal(self, call: str, refusals: Sequence[Refusal]) -> Refusal:
        """Return the observed refusal if it applies; at level linux it must be the first that applies."""
        outcome = self.observed
        clause = self.clause_of_order(call, refusals)
        if isinstance(outcome, Failed):
            matching = [refusal for refusal in refusals if refusal.name == outcome.errno]
            if matching and (clause is None or matching[0] is refusals[0]):
                self.failed_after_unmap = any(refusal.late for refusal in matching)
                return matching[0]
            if matching and clause is not None:
                raise NotAllowed([refusals[0].name], [clause, refusals[0].clause])
        names = dict.fromkeys(refusal.name for refusal in refusals)
        raise NotAllowed(list(names), [refusal.clause for refusal in refusals])

    def clause_of_order(self, call: str, refusals: Sequence[Refusal]) -> str | None:
        """Return the clause that requires the first of several errors to be returned; None if any may be."""
        if self.level != "linux":
            return None
        clause = ORDER_OF_MMAP.get(refusals[0].reason) if call == "mmap" else ORDER.get(call)
        early = any(self.observed == Failed(FOUND_EARLY.get(refusal.reason, "")) for refusal in refusals)
        return None if early and clause != "mmap.order.offset" else clause

    def cleared_when_refused(self, refusal: Refusal, space: TargetSpace, start: int, end: int) -> bool:
        """Linux keeps the range except for late errors; POSIX requires that only for three errors."""
        if not self.failed_after_unmap and (self.level == "linux" or refusal.errno in KEEPS_RANGE):
            return False
        first = space.first_mapped(start, end)
        return first is not None and not self.is_mapped(first)

    def finds_arguments_first(self) -> bool:
        """Below level linux any error that applies may be returned (XSH 2.3)."""
        return self.level == "linux"

    def applies_prefix(self, call: str) -> bool:
        if self.level != "linux" and call in NEVER_PARTIAL:
            return False
        if self.level != "linux" and call not in ALWAYS_PARTIAL:
            raise Unresolved(f"below level linux it is open what a failed {call} has done")
        return True

    def exceeds_limit(self, what: str, used: int, limit: int, most: int = 0) -> bool:
        """Follow the subject near a limit, because its own memory counts too."""
        failed = self.observed == Failed("EAGAIN" if self.call == "madvise" else "ENOMEM") or self.permits_errno(
            "EMFILE"
        )
        low, high = (limit // 16, 0) if what == "mappings" else (FUZZ_PAGES * self.page, FUZZ_PAGES * self.page)
        if limit - low < used <= limit + high:
            return failed
        return used > limit or (self.level != "linux" and failed and most > limit - low)

    def permits_errno(self, errno: str) -> bool:
        """True if the subject failed with an errno that POSIX permits and Linux does not have there."""
        return self.level != "linux" and self.observed == Failed(errno)

    def errno(self, reason: str, errno: int) -> int:
        """Return the observed errno where POSIX permits it besides Linux's."""
        other = PERMITTED.get(reason, errno)
        return other if self.permits_errno(errorcode[other]) else errno

    def libc_refuses(self, errno: int) -> bool:
        """mmap(2), mmap2(2): a library with 32-bit addresses passes on the offset as a number of pages, of 32 bits."""
        return self.bits == 32 and self.observed == Failed(errorcode[errno])

    def is_invalid_offset(self, offset: int, size: int) -> bool:
        """XSH mmap(): ENXIO where addresses are invalid for the object."""
        return self.permits_errno("ENXIO")

    def requires_no_descriptor(self) -> bool:
        """XSH mmap(): with MAP_ANONYMOUS the arguments should be -1 and 0."""
        return self.permits_errno("EINVAL")

    def supports_protection(self, prot: int) -> bool:
        """XSH mmap(): every combination of PROT_READ and PROT_WRITE must be supported."""
        return not prot & PROT_EXEC or not self.permits_errno("EOPNOTSUPP")

    def requires_aligned_address(self, call: str) -> bool:
        """XSH mlock(), mprotect(), msync(), munmap(): the implementation may require it."""
        if self.level == "linux":
            return super().requires_aligned_address(call)
        return self.observed == Failed("EINVAL")

    def requires_sync_or_async(self) -> bool:
        """XSH msync(): one of them shall be specified."""
        return self.permits_errno("EINVAL")

    def accepts_unaligned_offset(self, inside: int) -> bool:
        """XSH mmap(): the call may fail with EINVAL, and need not; the address has the remainder of the offset."""
        value = self.observed.value if isinstance(self.observed, Returned) else None
        if self.level == "linux" or not isinstance(value, int) or value % self.page != inside:
            return False
        self.observed = Returned(value - inside)
        return True

    def coalesced_closes(self, reported: int, closes: int) -> int:
        """Accept the observed count if some order of the closes explains it: an exiting process closes in any order."""
        value = self.observed.value if isinstance(self.observed, Returned) else None
        return value if isinstance(value, int) and min(closes, 1) <= value <= closes else reported

    def is_resident(self, which: int, there: bool) -> bool:
        """Follow the subject: a page may be evicted at any time, and a file's page may have been resident before."""
        value = self.observed.value if isinstance(self.observed, Returned) else None
        return value[which] if isinstance(value, list) and which < len(value) else there

    def has_memory(self, length: int) -> bool:
        enough = LARGE if self.level == "linux" else MODEST_PAGES * self.page
        return length < enough or self.observed != Failed("ENOMEM")

    # ---- addresses

    def place(self, space: AddressSpace, length: int, hint: int, below: int = 0) -> int | None:
        """Return the observed address if it is free; a hint binds no system.

        What is very large finds no room where the subject's own memory is in its way.
        """
        outcome = self.observed
        enough = space.task_size // 8 if self.level == "linux" else MODEST_PAGES * self.page
        if outcome == Failed("ENOMEM") and length > enough:
            return None
        if isinstance(outcome, Returned) and isinstance(outcome.value, int):
            at = outcome.value
            top = below or space.task_size
            if at >= space.page and at % space.page == 0 and at <= top - length and space.is_free(at, at + length):
                return at
            # Not raised immediately: the call may have had to be refused, which says more.
            self.rejected_address = NotAllowed(
                [f"an address that is page aligned, not NULL, {'below 2 GiB' if below else 'in user space'} and free"],
                ["mremap.flags.maymove"]
                if self.call == "mremap"
                else ["mmap.flag.32bit"]
                if below
                else ["mmap.addr.null", "mmap.addr.hint"],
            )
        return super().place(space, length, hint, below)

    def may_merge_moved(self, left: Mapping, right: Mapping) -> bool:
        return isinstance(self.observed, Returned)

    def is_single_vma(self, mapping: Mapping) -> bool:
        return self.observed != Failed("EFAULT")

    def wraps_around(self) -> bool:
        """mlock(2), madvise(2): ENOMEM for a hole, unless the range wraps."""
        return not (self.bits == 32 and self.observed == Failed("ENOMEM"))

    def has_foreign(self, start: int, end: int) -> bool:
        return self.observed == Failed("EEXIST") and not self._in_scratch_range(start, end)

    def _in_scratch_range(self, start: int, end: int) -> bool:
        low, length = self.scratch_range()
        return low <= start and end <= low + length

    def grows_in_place(self, start: int, end: int) -> bool:
        """Beyond the scratch_range something of the system's own may be in the way."""
        if self.observed == Returned(start) or isinstance(self.observed, Faulted):
            return True
        return self._in_scratch_range(start, end)

    def may_grow_down(self, left: int) -> bool:
        """Some pages must be left, but their number is a setting of the system."""
        outcome = self.observed
        return left > 0 and not (isinstance(outcome, Faulted) and outcome.code == "SEGV_MAPERR")

    def refuses_sync(self) -> bool:
        return self.observed == Failed("EOPNOTSUPP")

    def has_huge_pages(self) -> bool:
        return self.observed != Failed("ENOMEM")

    # ---- rights

    def may_load(self, prot: int, addr: int) -> bool:
        """The hardware's choice where there is a right, but not this one."""
        prot &= PROT_ALL
        if prot & PROT_READ or not prot:
            return bool(prot)
        known = self._observed_access("load", prot, addr)
        if known is None and self.observed == Failed("EFAULT"):  # a call could not load from its buffer
            return False
        return super().may_load(prot, addr) if known is None else known

    def may_execute(self, prot: int) -> bool:
        prot &= PROT_ALL
        if prot & PROT_EXEC or not prot:
            return bool(prot)
        return bool(self._observed_access("execute", prot))

    def _observed_access(self, access: str, prot: int, addr: float = inf) -> bool | None:
        """True if the processor was observed to allow an access, now or before; None if not observed.

        A fault at a higher address than `addr`, to which the access has come, is another page's.  Of a fault without an
        address that is not known, so it says nothing about later accesses.
        """
        known = self.hardware.get((access, prot))
        if known is None and self.call == access:
            outcome = self.observed
            known = not (
                isinstance(outcome, Faulted) and outcome.signal == "SIGSEGV" and (outcome.address or 0) <= addr
            )
            if not isinstance(outcome, Faulted) or (access == "load" and outcome.address is not None):
                self.hardware[access, prot] = known
        return known

    def non_file_is_noexec(self) -> bool:
        return self.observed == Failed("EPERM")

    def eof_before_protection(self) -> bool:
        return isinstance(self.observed, Faulted) and self.observed.signal == "SIGBUS"

    def reports_address(self, addr: int, canonical: int) -> bool:
        return not isinstance(self.observed, Faulted) or self.observed.address is not None

    def marks_first_store(self) -> bool:
        """XSH mmap(): the times are marked at some point up to the next msync."""
        return self.level == "linux"

    # ---- contents

    def resolve(self, page: Page, start: int, firm: int, done: int) -> None:
        """Adopt the observed value of each indeterminate byte if allowed; zero, or in the file, it is then fixed."""
        outcome = self.observed
        if page.indeterminate is None or not isinstance(outcome, Returned) or not isinstance(outcome.value, bytes):
            return
        loaded = outcome.value[done:]
        for at in [at for at in page.indeterminate if start <= at < start + len(loaded)]:
            byte = loaded[at - start]
            if byte in page.indeterminate[at]:
                page.data[at] = byte
                if at < firm or not byte:
                    del page.indeterminate[at]
            elif not page.indeterminate[at]:
                page.data[at] = byte

    def resized_page(self, addr: int, page: int, done: int) -> bytearray | Fault | None:
        """Below level linux the effect of a reference to added or removed portions is unspecified (XSH mmap())."""
        if self.level == "linux":
            return None
        outcome = self.observed
        if isinstance(outcome, Faulted) and outcome.address is not None and outcome.address // page == addr // page:
            return Fault(outcome.signal, outcome.code, outcome.address)
        if self.call == "load" and isinstance(outcome, Returned) and isinstance(outcome.value, bytes):
            start = addr % page
            return bytearray(start) + bytearray(outcome.value[done : done + page - start]).ljust(page - start, b"\0")
        raise Unresolved("below level linux it is open what a page is that its file has lost or gained since mmap")

    def can_lock(self, is_available: bool, was_resized: bool) -> bool:
        """Follow the subject where it is unspecified what there is."""
        return not self.permits_errno("ENOMEM") if was_resized and self.level != "linux" else is_available

    def device_content(self, content: bytes) -> bytes:
        """The bytes of a device are not specified."""
        return (
            self.observed.value
            if isinstance(self.observed, Returned) and isinstance(self.observed.value, bytes)
            else content
        )

    def special_size(self) -> int:
        value = self.observed.value if isinstance(self.observed, Returned) else None
        return value[1] if isinstance(value, tuple) else 0

    def shows_changes(self) -> bool:
        """Below level linux it is open whether a private page is copied before the first store."""
        return self.level == "linux"

    def copies_when_populated(self) -> bool:
        return self.level == "linux"

    def limits_files(self) -> bool:
        """Follow the subject."""
        return isinstance(self.observed, Failed)

    def has_room(self, free: int, length: int) -> bool:
        """Unless the subject has none: its disks are not those of the reference."""
        outcome = self.observed
        if not isinstance(outcome, Faulted) or outcome.signal != "SIGBUS" or not self.is_full():
            return True
        at = self.stored_at
        return at is not None and outcome.address is not None and outcome.address // self.page != at // self.page

    def note_store(self, addr: int) -> None:
        self.stored_at = addr

    def copied(self, length: int) -> int:
        """As many as the subject has copied."""
        outcome = self.observed
        if isinstance(outcome, Returned) and isinstance(outcome.value, int) and 0 < outcome.value <= length:
            return outcome.value
        return length

    def transferred(self, call: str, possible: int, wanted: int) -> int:
        """All that could be moved, or less where a file system writes a part of that or refuses the write (write(2)).

        Below level linux EFAULT may come although something has been moved.
        """
        if self.level != "linux" and 0 < possible < wanted:
            raise Unresolved("below level linux it is open how much is moved from or to a buffer that ends in a hole")
        if call == "pwrite" and possible < wanted:
            if self.observed == Failed("EFAULT"):
                return 0
            if isinstance(self.observed, Returned) and isinstance(self.observed.value, int):
                return max(min(self.observed.value, possible), min(possible, 1))
        return possible

    def survives(self, name: str, block: int) -> bool | None:
        return None

    def mtime_updated(self) -> bool:
        """Follow the subject."""
        return self.observed == Returned(False)

    def slack_survives_growth(self) -> bool:
        """The bytes stay indeterminate until they are read."""
        return True

    def slack_survives_write_back(self) -> bool:
        return True

    def evicts(self) -> bool:
        """Nothing that can be observed depends on it."""
        return False
