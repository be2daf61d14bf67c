"""Audits: after a call, a system and the reference are compared in the pages and files that the call may have changed.

One request to the subject returns a word for each page: a digest of its content, or the code of the fault with which a
load ends; and a word for each open file: its size and a digest.  The reference is asked for the same.  Where two words
differ, an ordinary call confirms the difference, so that a program shows it without an audit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal
from zlib import crc32

from ..contract import MAP_LOCKED, MS_INVALIDATE, Fault
from ..outcomes import Faulted, Returned
from ..reference.constants import PROT_READ, PROT_WRITE
from ..reference.files import Inode
from ..reference.mapping import Mapping
from ..reference.observed_choices import ObservedChoices
from ..reference.process import ReferenceProcess
from .blame import CROSS_PROCESS_CALLS, MUTATING_CALLS, effect_clauses
from .comparison import AuditedCall, outcome_of
from .pair import AUDITED_PAGES, Pair, outer_pages

RANGES: Final = {"mmap": ((0, 1),), "mremap": ((0, 1), (4, 2)), "munmap": ((0, 1),), "mprotect": ((0, 1),)}
"""Per call, the positions of the arguments that are an address and the length of the range that begins there."""

DIGEST: Final = 8
"""Characters of the digest of a page; an audit reports the code of a fault instead where a load is refused."""

AUDITED_BYTES: Final = 65536
"""Bytes of a file that an audit reads (`Process.audit`)."""

AUDITED_MAPPINGS: Final = 64
"""If a process has more mappings than these, only those in and next to the ranges of the call are audited."""

Scope = Literal["all", "touched"]
"""The parts of the state that an audit compares.

"all": the pages in play, the open files, protection and locks.  "touched": only pages that the processes have
accessed, so that the audit changes neither page tables nor the set of resident pages.
"""


class Auditor:
    """The audits of one system."""

    def __init__(
        self, choices: ObservedChoices, confirm: Callable[..., None], scope: Scope = "all", every: int = 1
    ) -> None:
        self.choices = choices
        self.confirm = confirm
        """`Comparison.confirm`."""
        self.scope = scope
        self.every = every
        """Calls that change something from one audit to the next; with more than 1, an audit covers all processes."""
        self.mutations = 0
        """Calls so far that change something."""
        self.locks_memory = False
        """True if a call was about locked memory; from then on the lock of each mapping is compared."""
        self.suspended: str | None = None
        """The reason why there are no audits; None while there are."""

    def audit_call(
        self, pair: Pair, pairs: Sequence[Pair], call: str, arguments: Sequence[object], failed: bool = False
    ) -> None:
        """Audit the effect of a call that `pair`, one of `pairs`, has made, if an audit is due after it."""
        if self.suspended is not None or call not in MUTATING_CALLS:
            return
        if "lock" in call or (call == "mmap" and isinstance(arguments[3], int) and arguments[3] & MAP_LOCKED):
            self.locks_memory = True
        self.mutations += 1
        if self.mutations % self.every:
            return
        effect = effect_clauses(pair.model, call, arguments, failed)
        is_visible_to_all = self.every > 1 or call in CROSS_PROCESS_CALLS
        self.audit_pairs(pairs if is_visible_to_all else (pair,), AuditedCall(call, arguments, effect))

    def audit_all(self, pairs: Sequence[Pair]) -> None:
        """Audit the effects of all calls so far."""
        if self.suspended is None:
            self.audit_pairs(pairs, AuditedCall("all of these", (), ()))

    def audit_pairs(self, pairs: Iterable[Pair], after: AuditedCall) -> None:
        """Audit some processes; suspend the audits if the subject has none."""
        for pair in pairs:
            try:
                self.audit_pair(pair, after)
            except NotImplementedError as reason:
                self.suspended = f"the subject cannot be audited: {reason}"
                return

    def audit_pair(self, pair: Pair, after: AuditedCall) -> None:
        """Compare the pages in play and the open files of a process; with scope "all", protection and locks too."""
        page = pair.model.page
        pages = audited_pages(pair, after.call, after.arguments, self.scope)
        files = audited_files(pair.model) if self.scope == "all" else {}
        if not pages and not files:
            return
        numbers = sorted(pages)
        probes = self.protection_probes(pages.values()) if self.scope == "all" else []
        words, *outcomes = pair.subject.batch([("audit", (_runs(numbers, page), list(files))), *probes])
        if isinstance(words, Exception):
            raise words
        assert isinstance(words, list)
        entries = pair.model.space.table.entries
        for number, word in zip(numbers, words, strict=False):
            mapping = pages[number]
            if mapping is not None and self.is_open(mapping, number):
                continue
            # Most pages need no load: those without a mapping or any protection, and those that the process may read
            # and has accessed before.
            if mapping is None or not mapping.prot:
                expected = "SEGV_MAPERR" if mapping is None else "SEGV_ACCERR"
            elif mapping.prot & PROT_READ and (frame := entries.get(number)) is not None:
                expected = f"{crc32(frame.data):08x}"
            elif len(word) != DIGEST and not word.startswith(("SEGV", "BUS")):
                expected = "a fault without a code, of which only a load shows the signal"
            else:
                expected = self.page_word(pair, number * page, word)
            if word != expected:
                self.confirm(pair, after, "load", number * page, page)
        for (fd, inode), word in zip(files.items(), words[len(numbers) :], strict=True):
            self.choices.observe("pread", Returned(None))
            content = inode.read(AUDITED_BYTES, 0, self.choices)
            if word != f"{inode.size}:{crc32(content):08x}":
                self.confirm(pair, after, "fstat", fd)
                self.confirm(pair, after, "pread", fd, AUDITED_BYTES, 0)
        with pair.model.unobserved():
            for (call, arguments), outcome in zip(probes, outcomes, strict=True):
                if isinstance(outcome, NotImplementedError):
                    raise outcome
                self.confirm(pair, after, call, *arguments, observed=outcome_of(outcome))

    def is_open(self, mapping: Mapping, number: int) -> bool:
        """Return True if the level does not promise what a page shows: lost, gained, or past the end of its file."""
        if self.choices.level == "linux":
            return False
        is_past_end = mapping.inode is not None and mapping.bytes_to_eof(number * mapping.space.page) <= 0
        return mapping.was_resized_at(number) or (is_past_end and self.choices.level == "documented")

    def protection_probes(self, mappings: Iterable[Mapping | None]) -> list[tuple[str, tuple[Any, ...]]]:
        """Return calls that show which mappings refuse a store, and, once a call was about locked memory, the locks.

        MS_INVALIDATE changes nothing, and is refused for locked memory.
        """
        probes: list[tuple[str, tuple[Any, ...]]] = []
        for mapping in dict.fromkeys(mappings):
            if mapping is None:
                continue
            if not mapping.prot & PROT_WRITE:
                probes.append(("store", (mapping.start, b"x")))
            if self.locks_memory and self.choices.level == "linux":
                probes.append(("msync", (mapping.start, mapping.space.page, MS_INVALIDATE)))
        return probes

    def page_word(self, pair: Pair, addr: int, reported: str) -> str:
        """Return the digest or fault code that the reference allows for a page, given the one the subject reported."""
        if len(reported) == DIGEST:
            self.choices.observe("load", Returned(None))
        else:
            signal = "SIGBUS" if reported.startswith("BUS") else "SIGSEGV"
            self.choices.observe("load", Faulted(signal, reported, addr))
        with pair.model.unobserved():
            try:
                return f"{crc32(pair.model.load(addr, pair.model.page)):08x}"
            except Fault as fault:
                return fault.code


def audited_pages(
    pair: Pair, call: str, arguments: Sequence[object], scope: Scope = "all"
) -> dict[int, Mapping | None]:
    """Return the numbers of the pages that an audit after a call compares, each with its mapping.

    They are pages of the mappings, and the pages next to mappings and to the ranges of the call; those without a
    mapping only where the subject has none of its own.
    """
    space, page = pair.model.space, pair.model.page
    pages: dict[int, Mapping | None] = {}
    ranges = [_range(pair.model, arguments[at], arguments[length]) for at, length in RANGES.get(call, ())]
    mappings: Iterable[Mapping] = space.mappings.values()
    if len(space.mappings) > AUDITED_MAPPINGS:
        nearby = [m for start, end in ranges for m in space.over(max(start - page, 0), end + page)]
        mappings = nearby[:AUDITED_MAPPINGS]
    adjacent = {number for start, end in ranges for number in outer_pages(start // page, end // page)}
    for mapping in mappings:
        first, stop = mapping.start // page, mapping.end // page
        if scope == "touched":
            pages.update(dict.fromkeys(_outer(space.table.within(first, stop)), mapping))
        else:
            pages.update(dict.fromkeys(outer_pages(first, stop), mapping))
        adjacent.add(first - 1)
        adjacent.add(stop)
    start, length = pair.subject_scratch_range()
    first, stop = start // page, (start + length) // page
    for number in adjacent:
        is_ours = first <= number < stop or number in pair.mapped_pages
        if is_ours and number not in pages and space.is_free(number * page, number * page + page):
            pages[number] = None
    return pages


def audited_files(process: ReferenceProcess) -> dict[int, Inode]:
    """Return the open regular files of a process, each by one descriptor that can be read from."""
    descriptors: dict[Inode, int] = {}
    for fd, descriptor in process.descriptors.items():
        description = descriptor.description
        inode = description.inode
        if description.readable and inode.kind == "regular" and not inode.device:
            descriptors.setdefault(inode, fd)
    return {fd: inode for inode, fd in descriptors.items()}


def _runs(numbers: Sequence[int], page: int) -> list[tuple[int, int]]:
    """Return sorted page numbers as runs: the address of the first page, and the count of pages."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][0] + runs[-1][1] * page == number * page:
            runs[-1] = runs[-1][0], runs[-1][1] + 1
        else:
            runs.append((number * page, 1))
    return runs


def _range(process: ReferenceProcess, addr: object, length: object) -> tuple[int, int]:
    """Return an address and a length among a call's arguments as a range within user space: its start and end."""
    assert isinstance(addr, int)
    assert isinstance(length, int)
    top, page = process.task_size, process.page
    if not 0 <= addr < top or addr % page:
        return 0, 0
    return addr, min(addr + process.round_up(length), top)


def _outer(numbers: list[int]) -> list[int]:
    """Return the first and the last few of many page numbers."""
    return numbers if len(numbers) <= 2 * AUDITED_PAGES else numbers[:AUDITED_PAGES] + numbers[-AUDITED_PAGES:]
