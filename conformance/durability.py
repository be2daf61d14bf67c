"""Cases of msync by crash: the content of files on disk after a simulated power failure.

One crash is expensive and can answer many questions, so all actions share one *round*, each with its own file.  A file
is created and fsynced with old content, mapped, stored to, and msynced or not; then the system crashes, and the cases
judge the content of the files after it.

A round in which no store was lost proves nothing.  So each round has a *control*: a store that is never synced.  If it
survives (the system happened to write it back), the round is repeated; after three such rounds the cases are
unresolved.  No case requires that an unsynced store is lost: either outcome is allowed.

An action that ends the system is left out of the rounds that follow, and fails its own cases only.  Where the system
ends elsewhere, the case that needs the round is unresolved, and the next one begins another; the third is the last.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import pytest

from ..contract import (
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    MS_ASYNC,
    MS_INVALIDATE,
    MS_SYNC,
    O_CREAT,
    O_EXCL,
    O_RDONLY,
    O_RDWR,
    PROT_NONE,
    PROT_READ,
    SC_PAGESIZE,
    Backend,
    Died,
    Facility,
    Fault,
    Process,
    System,
    Unresolved,
    Unsupported,
)
from ..testing import clause
from ._helpers import RW, Record, reserve

pytestmark = pytest.mark.mmap_crash

OLD = b"."
NEW = b"!"
PAGES = 4
"""Pages of each file."""
ROUNDS = 3
ATTEMPTS = 3
"""Rounds that may end by a death of the system."""


@dataclass
class MappedFile:
    """A file of PAGES pages that contain OLD on disk, mapped completely by a process."""

    system: System
    path: str
    process: Process
    fd: int
    base: int
    page: int

    def store(self, *pages: int) -> None:
        """Fill whole pages with NEW."""
        for number in pages:
            self.process.store(self.base + number * self.page, NEW * self.page)

    def sync(self, first: int, length: int, flags: int = MS_SYNC) -> None:
        """Sync `length` bytes from page `first`."""
        self.process.msync(self.base + first * self.page, length, flags)

    def unmap(self) -> None:
        """Unmap all pages of the file."""
        self.process.munmap(self.base, PAGES * self.page)


Action = Callable[[MappedFile], None]


# --------------------------------------------------------------------------------------------- actions before the crash


def nothing_synced(file: MappedFile) -> None:
    """Store without any sync: the control of a round."""
    file.store(1)


def all_synced(file: MappedFile) -> None:
    """Store to all pages and sync them."""
    file.store(0, 1, 2, 3)
    file.sync(0, PAGES * file.page)


def one_page_synced(file: MappedFile) -> None:
    """Store to the third page and sync it alone."""
    file.store(2)
    file.sync(2, file.page)


def synced_through_offset_mapping(file: MappedFile) -> None:
    """Sync through a mapping that starts at the file's third page."""
    base = file.process.mmap(0, 2 * file.page, RW, MAP_SHARED, file.fd, 2 * file.page)
    file.process.store(base + file.page, NEW * file.page)
    file.process.msync(base, 2 * file.page, MS_SYNC)


def synced_after_close(file: MappedFile) -> None:
    """Close the descriptor before the store and the sync."""
    file.process.close(file.fd)
    file.store(0)
    file.sync(0, file.page)


def synced_and_unmapped(file: MappedFile) -> None:
    """Store, sync all pages and unmap them."""
    file.store(0, 3)
    file.sync(0, PAGES * file.page)
    file.unmap()


def synced_and_unmapped_by_two_processes(file: MappedFile) -> None:
    """Let each of two processes store to a different page, sync and unmap."""
    child = MappedFile(file.system, file.path, file.process.fork(), file.fd, file.base, file.page)
    file.store(0)
    child.store(3)
    for one in (file, child):
        one.sync(0, PAGES * file.page)
        one.unmap()


def synced_with_unaligned_length(file: MappedFile) -> None:
    """Sync a length that ends in the first byte of the third page."""
    file.store(0, 1, 2)
    file.sync(0, 2 * file.page + 1)


def synced_and_invalidated(file: MappedFile) -> None:
    """Sync with MS_SYNC and MS_INVALIDATE."""
    file.store(1)
    file.sync(0, PAGES * file.page, MS_SYNC | MS_INVALIDATE)


def synced_across_mappings(file: MappedFile) -> None:
    """Sync three pages, of which the second belongs to another mapping, of the file's last page."""
    file.process.mmap(file.base + file.page, file.page, RW, MAP_SHARED | MAP_FIXED, file.fd, 3 * file.page)
    file.store(0, 1, 2)
    file.sync(0, 3 * file.page)


def synced_twice(file: MappedFile) -> None:
    """Store to a page that has been synced, and sync it again."""
    file.process.store(file.base, b"first")
    file.sync(0, file.page)
    file.store(0)
    file.sync(0, file.page)


def synced_across_hole(file: MappedFile) -> None:
    """Sync a range with a hole: the call fails, and the mapped pages on both sides must still be written."""
    file.store(0, 3)
    file.process.munmap(file.base + file.page, file.page)
    with suppress(OSError):  # another case judges the errno
        file.sync(0, PAGES * file.page)


def synced_with_locked_page(file: MappedFile) -> None:
    """Invalidate a range whose third page is locked: the first two pages are written before EBUSY is returned."""
    file.store(0, 1)
    file.process.mlock(file.base + 2 * file.page, file.page)
    with suppress(OSError):  # another case judges the errno
        file.sync(0, PAGES * file.page, MS_SYNC | MS_INVALIDATE)


def synced_after_partial_unmap(file: MappedFile) -> None:
    """Sync the rest of a mapping whose first pages have been unmapped."""
    file.process.munmap(file.base, 2 * file.page)
    file.store(3)
    file.sync(3, file.page)


def synced_private_mapping(file: MappedFile) -> None:
    """Store to a private mapping of the file and sync that."""
    base = file.process.mmap(0, PAGES * file.page, RW, MAP_PRIVATE, file.fd, 0)
    file.process.store(base, NEW * (PAGES * file.page))
    file.process.msync(base, PAGES * file.page, MS_SYNC)


def synced_through_other_mapping(file: MappedFile) -> None:
    """Store through one mapping and sync through another that has never been accessed."""
    other = file.process.mmap(0, PAGES * file.page, RW, MAP_SHARED, file.fd, 0)
    file.store(1)
    file.process.msync(other, PAGES * file.page, MS_SYNC)


def synced_for_child(file: MappedFile) -> None:
    """Sync in the parent what a child has stored."""
    child = MappedFile(file.system, file.path, file.process.fork(), file.fd, file.base, file.page)
    child.store(1)
    file.sync(0, PAGES * file.page)


def synced_after_write(file: MappedFile) -> None:
    """Change a page by pwrite and sync the mapping."""
    file.process.pwrite(file.fd, NEW * file.page, file.page)
    file.sync(0, PAGES * file.page)


def synced_with_store_past_end(file: MappedFile) -> None:
    """Store a whole page of which only the first byte is inside the file, and sync it."""
    file.process.ftruncate(file.fd, 2 * file.page + 1)
    file.process.fsync(file.fd)
    file.store(2)
    file.sync(0, PAGES * file.page)


def synced_after_mprotect(file: MappedFile, prot: int) -> None:
    """Change the protection between the store and msync."""
    file.store(1)
    file.process.mprotect(file.base, PAGES * file.page, prot)
    file.sync(0, PAGES * file.page)


def synced_after_mprotect_read(file: MappedFile) -> None:
    """Make the mapping read-only between the store and msync."""
    synced_after_mprotect(file, PROT_READ)


def synced_after_mprotect_none(file: MappedFile) -> None:
    """Make the mapping inaccessible between the store and msync."""
    synced_after_mprotect(file, PROT_NONE)


def synced_after_mremap(file: MappedFile) -> None:
    """Store to the last two pages, move them, and sync them at their new address."""
    file.store(2, 3)
    moved = file.process.mremap(
        file.base + 2 * file.page,
        2 * file.page,
        2 * file.page,
        MREMAP_MAYMOVE | MREMAP_FIXED,
        reserve(file.process, 2),
    )
    file.process.msync(moved, 2 * file.page, MS_SYNC)


def unmapped_without_sync(file: MappedFile) -> None:
    """Store and unmap without a sync."""
    file.store(1)
    file.unmap()


def exited_without_sync(file: MappedFile) -> None:
    """Let a child store and exit without a sync."""
    child = MappedFile(file.system, file.path, file.process.fork(), file.fd, file.base, file.page)
    child.store(1)
    child.process.exit()


def synced_with_ms_async(file: MappedFile) -> None:
    """Sync with MS_ASYNC, which only schedules the write-back."""
    file.store(1)
    file.sync(0, PAGES * file.page, MS_ASYNC)


ACTIONS: list[Action] = [
    all_synced,
    one_page_synced,
    synced_through_offset_mapping,
    synced_after_close,
    synced_and_unmapped,
    synced_and_unmapped_by_two_processes,
    synced_with_unaligned_length,
    synced_and_invalidated,
    synced_across_mappings,
    synced_twice,
    synced_across_hole,
    synced_with_locked_page,
    synced_after_partial_unmap,
    synced_private_mapping,
    synced_through_other_mapping,
    synced_for_child,
    synced_after_write,
    synced_with_store_past_end,
    synced_after_mprotect_read,
    synced_after_mprotect_none,
    synced_after_mremap,
    unmapped_without_sync,
    exited_without_sync,
    synced_with_ms_async,
    nothing_synced,
]
CONTROL = nothing_synced


# -------------------------------------------------------------------------------------------------------------- a round


ActionError = OSError | Fault | NotImplementedError | Died
"""Exceptions that an action may end with."""


@dataclass
class AfterCrash:
    """The content of a file after the crash, and the exception that its action ended with."""

    pages: list[bytes]
    error: ActionError | None

    def assert_pages(self, expected: str) -> None:
        """Check that the action succeeded and that each page is as in ``".!?."``: old, new, either."""
        self.assert_action_succeeded()
        for number, (content, letter) in enumerate(zip(self.pages, expected, strict=True)):
            allowed = [letter.encode() * len(content)] if letter != "?" else [OLD * len(content), NEW * len(content)]
            assert content in allowed, f"page {number} after the crash is {content[:8]!r}…, expected {letter}"

    def assert_action_succeeded(self) -> None:
        """Check that the action raised no exception; for a call that is not implemented the case is unsupported."""
        if isinstance(self.error, Died):
            raise self.error
        if isinstance(self.error, NotImplementedError):
            raise Unsupported(str(self.error)) from self.error
        if self.error is not None:
            raise AssertionError(f"the action failed before the crash: {self.error}") from self.error

    def is_new(self, number: int) -> bool:
        """True if this page starts with NEW."""
        return self.pages[number].startswith(NEW)


Round = dict[Action, AfterCrash]


def prepare(system: System, path: str) -> MappedFile:
    """Create a file, write its old content to disk, and map it in a new process."""
    process = system.spawn()
    page = process.sysconf(SC_PAGESIZE)
    fd = process.open(path, O_CREAT | O_EXCL | O_RDWR)
    process.pwrite(fd, OLD * (PAGES * page), 0)
    process.fsync(fd)
    return MappedFile(system, path, process, fd, process.mmap(0, PAGES * page, RW, MAP_SHARED, fd, 0), page)


def run_round(system: System, directory: str, number: int, deaths: dict[Action, Died]) -> Round:
    """Carry out every action on a file of its own, crash the system, and return what the files contain.

    Actions in `deaths` are not carried out.  Raises Died where an action ends the system, and adds it to `deaths`.
    """
    errors: dict[Action, ActionError] = {}
    actions = [action for action in ACTIONS if action not in deaths]
    files = {action: prepare(system, f"{directory}/{action.__name__}-{number}") for action in actions}
    for action, file in files.items():
        try:
            action(file)
        except (OSError, Fault, NotImplementedError) as error:
            errors[action] = error
        except Died as death:
            deaths[action] = death
            raise
    system.crash()
    reader = system.spawn()
    results: Round = {action: AfterCrash([], death) for action, death in deaths.items()}
    for action, file in files.items():
        fd = reader.open(file.path, O_RDONLY)
        content = reader.pread(fd, PAGES * file.page, 0)
        pages = [content[start : start + file.page] for start in range(0, PAGES * file.page, file.page)]
        results[action] = AfterCrash(pages, errors.get(action))
    return results


class Rounds:
    """The rounds of one backend, until one has lost the control store."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.results: Round | None = None
        """The results of the round in which the control store was lost; None before it."""
        self.deaths: dict[Action, Died] = {}
        """The actions that have ended the system."""
        self.attempts = 0
        self.failure: Exception | None = None
        """The reason why the last attempt has no results."""

    def judged(self) -> Round:
        """Return the results of the round in which the control store was lost; attempt one where there is none yet."""
        while self.results is None:
            if self.failure is not None and (self.attempts >= ATTEMPTS or not isinstance(self.failure, Unresolved)):
                raise self.failure.with_traceback(None)  # it was raised before: a case each would add to it
            self.attempts += 1
            known = len(self.deaths)
            try:
                self.results = self.attempt()
            except Exception as error:
                self.failure = error
                if len(self.deaths) == known:
                    raise
        return self.results

    def attempt(self) -> Round:
        """Run up to ROUNDS rounds in a new system."""
        if CONTROL in self.deaths:
            raise self.deaths[CONTROL].with_traceback(None)
        system = self.backend.boot()
        try:
            directory = system.facility(Facility.CRASHING_FILE_SYSTEM)
            for number in range(ROUNDS):
                results = run_round(system, directory, number, self.deaths)
                if not results[CONTROL].is_new(1):
                    return results
        finally:
            system.close()
        self.attempts = ATTEMPTS
        raise Unresolved(f"in {ROUNDS} crashes even the unsynced control store survived, so nothing has been shown")


@pytest.fixture(scope="module")
def rounds(backend: Backend) -> Rounds:
    """The rounds that the cases share."""
    return Rounds(backend)


@pytest.fixture
def crashed(rounds: Rounds) -> Round:
    """The results of a round in which the control store was lost."""
    return rounds.judged()


# -------------------------------------------------------------------------------------------------------------- cases


@clause("msync.flush")
@pytest.mark.parametrize(
    ("action", "expected"),
    [
        pytest.param(all_synced, "!!!!", id="all"),
        pytest.param(one_page_synced, "..!.", id="one-page"),
        pytest.param(synced_through_offset_mapping, "...!", id="offset-mapping"),
        pytest.param(synced_after_close, "!...", id="after-close"),
        pytest.param(synced_across_mappings, "!.!!", id="several-mappings"),
        pytest.param(synced_twice, "!...", id="twice"),
    ],
)
def test_synced_pages_are_on_disk(crashed: Round, action: Action, expected: str) -> None:
    crashed[action].assert_pages(expected)


@clause("msync.flag.sync")
@pytest.mark.parametrize(
    ("action", "expected"),
    [
        pytest.param(all_synced, "!!!!", id="sync"),
        pytest.param(synced_and_invalidated, ".!..", id="sync-invalidate"),
    ],
)
def test_ms_sync_returns_after_write_back(crashed: Round, action: Action, expected: str) -> None:
    crashed[action].assert_pages(expected)


@clause("msync.usual-arguments")
def test_unaligned_length_covers_last_page(crashed: Round) -> None:
    crashed[synced_with_unaligned_length].assert_pages("!!!.")


@clause("msync.then-munmap")
@pytest.mark.parametrize(
    "action",
    [
        pytest.param(synced_and_unmapped, id="one-process"),
        pytest.param(synced_and_unmapped_by_two_processes, id="two-processes"),
    ],
)
def test_pages_synced_before_unmap_are_on_disk(crashed: Round, action: Action) -> None:
    crashed[action].assert_pages("!..!")


@clause("msync.errno.ENOMEM.rest")
def test_pages_on_both_sides_of_hole_are_on_disk(crashed: Round) -> None:
    crashed[synced_across_hole].assert_pages("!..!")


@clause("msync.flag.invalidate.busy.rest")
def test_pages_before_locked_page_are_on_disk(crashed: Round) -> None:
    crashed[synced_with_locked_page].assert_pages("!!..")


@clause("msync.part")
@pytest.mark.parametrize(
    ("action", "expected"),
    [
        pytest.param(one_page_synced, "..!.", id="one-page"),
        pytest.param(synced_through_offset_mapping, "...!", id="offset-mapping"),
        pytest.param(synced_after_partial_unmap, "...!", id="after-partial-unmap"),
    ],
)
def test_partial_sync_writes_at_file_offset(crashed: Round, action: Action, expected: str) -> None:
    crashed[action].assert_pages(expected)


@clause("msync.several")
def test_every_mapping_in_range_is_on_disk(crashed: Round) -> None:
    crashed[synced_across_mappings].assert_pages("!.!!")


@clause("msync.private")
def test_private_stores_are_not_on_disk(crashed: Round) -> None:
    crashed[synced_private_mapping].assert_pages("....")


@clause("msync.others")
@pytest.mark.parametrize(
    "action",
    [
        pytest.param(synced_through_other_mapping, id="another-mapping"),
        pytest.param(synced_for_child, id="child"),
        pytest.param(synced_after_write, id="write"),
    ],
)
def test_changes_made_elsewhere_are_on_disk(crashed: Round, action: Action) -> None:
    crashed[action].assert_pages(".!..")


@clause("msync.slack")
def test_bytes_past_end_of_file_are_not_on_disk(crashed: Round) -> None:
    result = crashed[synced_with_store_past_end]

    result.assert_action_succeeded()
    assert b"".join(result.pages) == result.pages[0] + result.pages[1] + NEW


@clause("msync.rights-taken")
@pytest.mark.parametrize(
    "action",
    [
        pytest.param(synced_after_mprotect_read, id="read-only"),
        pytest.param(synced_after_mprotect_none, id="inaccessible"),
    ],
)
def test_store_before_mprotect_is_on_disk(crashed: Round, action: Action) -> None:
    crashed[action].assert_pages(".!..")


@clause("msync.moved")
def test_store_before_mremap_is_on_disk(crashed: Round) -> None:
    crashed[synced_after_mremap].assert_pages("..!!")


@clause("msync.no-promise")
@pytest.mark.parametrize(
    "action",
    [
        pytest.param(nothing_synced, id="mapped"),
        pytest.param(unmapped_without_sync, id="unmapped"),
        pytest.param(exited_without_sync, id="exited"),
    ],
)
def test_unsynced_page_is_old_or_new(crashed: Round, action: Action, record: Record) -> None:
    """The result records which of the two it is; other content, or a change of another page, fails."""
    crashed[action].assert_pages(".?..")
    record("an unsynced store after a crash", "kept" if crashed[action].is_new(1) else "lost")


@clause("msync.flag.async")
def test_ms_async_page_is_old_or_new(crashed: Round, record: Record) -> None:
    crashed[synced_with_ms_async].assert_pages(".?..")
    record("a store synced with MS_ASYNC after a crash", "kept" if crashed[synced_with_ms_async].is_new(1) else "lost")
