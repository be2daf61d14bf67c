"""Cases of msync by crash: what is on disk after the power has been cut.

One crash settles many questions, and costs much more than they do: so all of them are put in one *round*, each with a
file of its own.  The file is made and fsynced with old content, mapped, stored to, and msynced or not; then comes the
crash, and what the files then hold is what the cases judge.

A round in which nothing could have been lost proves nothing.  So each has a *control*: a store that nobody synced.
Where it survived (the system happened to write it back) the round is repeated, and after three rounds the suite cannot
tell.  That an unsynced store is lost is never demanded: nothing is promised of it, either way.
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


@dataclass
class Mapped:
    """A file of PAGES pages of OLD on the disk, mapped whole by a process."""

    system: System
    path: str
    process: Process
    fd: int
    base: int
    page: int

    def store(self, *pages: int) -> None:
        """Make whole pages NEW."""
        for number in pages:
            self.process.store(self.base + number * self.page, NEW * self.page)

    def sync(self, first: int, length: int, flags: int = MS_SYNC) -> None:
        self.process.msync(self.base + first * self.page, length, flags)

    def unmap(self) -> None:
        self.process.munmap(self.base, PAGES * self.page)


# ------------------------------------------------------------------------------ what is done to a file before the crash


def nothing_synced(file: Mapped) -> None:
    file.store(1)


def all_synced(file: Mapped) -> None:
    file.store(0, 1, 2, 3)
    file.sync(0, PAGES * file.page)


def one_page_synced(file: Mapped) -> None:
    file.store(2)
    file.sync(2, file.page)


def synced_through_a_window(file: Mapped) -> None:
    """By a mapping that starts in the file's third page: the bytes must go to their place in the file."""
    base = file.process.mmap(0, 2 * file.page, RW, MAP_SHARED, file.fd, 2 * file.page)
    file.process.store(base + file.page, NEW * file.page)
    file.process.msync(base, 2 * file.page, MS_SYNC)


def synced_after_close(file: Mapped) -> None:
    file.process.close(file.fd)
    file.store(0)
    file.sync(0, file.page)


def synced_and_unmapped(file: Mapped) -> None:
    file.store(0, 3)
    file.sync(0, PAGES * file.page)
    file.unmap()


def synced_and_unmapped_by_two(file: Mapped) -> None:
    """Each stores a page of its own, syncs and unmaps; the other's store is not lost by it."""
    child = Mapped(file.system, file.path, file.process.fork(), file.fd, file.base, file.page)
    file.store(0)
    child.store(3)
    for one in (file, child):
        one.sync(0, PAGES * file.page)
        one.unmap()


def synced_unrounded(file: Mapped) -> None:
    """A length that ends in the first byte of the third page."""
    file.store(0, 1, 2)
    file.sync(0, 2 * file.page + 1)


def synced_and_invalidated(file: Mapped) -> None:
    file.store(1)
    file.sync(0, PAGES * file.page, MS_SYNC | MS_INVALIDATE)


def synced_over_several_mappings(file: Mapped) -> None:
    """The range's second page is a mapping of its own, of the file's last page; the range has three."""
    file.process.mmap(file.base + file.page, file.page, RW, MAP_SHARED | MAP_FIXED, file.fd, 3 * file.page)
    file.store(0, 1, 2)
    file.sync(0, 3 * file.page)


def synced_twice(file: Mapped) -> None:
    """A page that is stored to again after it was synced is to be written again."""
    file.process.store(file.base, b"first")
    file.sync(0, file.page)
    file.store(0)
    file.sync(0, file.page)


def synced_over_a_hole(file: Mapped) -> None:
    """The call fails, and what is mapped before and behind the hole is to be on disk all the same."""
    file.store(0, 3)
    file.process.munmap(file.base + file.page, file.page)
    with suppress(OSError):  # with which errno is another case's question
        file.sync(0, PAGES * file.page)


def synced_before_a_locked_page(file: Mapped) -> None:
    """EBUSY is to be told when the first two pages have been written."""
    file.store(0, 1)
    file.process.mlock(file.base + 2 * file.page, file.page)
    with suppress(OSError):  # with which errno is another case's question
        file.sync(0, PAGES * file.page, MS_SYNC | MS_INVALIDATE)


def synced_behind_an_unmapped_page(file: Mapped) -> None:
    """What is left of the mapping does not begin where the mapping did."""
    file.process.munmap(file.base, 2 * file.page)
    file.store(3)
    file.sync(3, file.page)


def synced_privately(file: Mapped) -> None:
    base = file.process.mmap(0, PAGES * file.page, RW, MAP_PRIVATE, file.fd, 0)
    file.process.store(base, NEW * (PAGES * file.page))
    file.process.msync(base, PAGES * file.page, MS_SYNC)


def synced_by_another_mapping(file: Mapped) -> None:
    """Stored to by one mapping, synced by another that has never been touched."""
    other = file.process.mmap(0, PAGES * file.page, RW, MAP_SHARED, file.fd, 0)
    file.store(1)
    file.process.msync(other, PAGES * file.page, MS_SYNC)


def synced_for_a_child(file: Mapped) -> None:
    child = Mapped(file.system, file.path, file.process.fork(), file.fd, file.base, file.page)
    child.store(1)
    file.sync(0, PAGES * file.page)


def synced_after_a_write(file: Mapped) -> None:
    file.process.pwrite(file.fd, NEW * file.page, file.page)
    file.sync(0, PAGES * file.page)


def synced_with_slack(file: Mapped) -> None:
    """The file ends in its third page; behind its end is stored to as well."""
    file.process.ftruncate(file.fd, 2 * file.page + 1)
    file.process.fsync(file.fd)
    file.store(2)
    file.sync(0, PAGES * file.page)


def synced_without_right(file: Mapped, prot: int) -> None:
    """The right to store is taken away between store and msync."""
    file.store(1)
    file.process.mprotect(file.base, PAGES * file.page, prot)
    file.sync(0, PAGES * file.page)


def synced_read_only(file: Mapped) -> None:
    synced_without_right(file, PROT_READ)


def synced_inaccessible(file: Mapped) -> None:
    synced_without_right(file, PROT_NONE)


def synced_after_a_move(file: Mapped) -> None:
    """The last two pages are stored to, moved, and synced from where they are then."""
    file.store(2, 3)
    moved = file.process.mremap(
        file.base + 2 * file.page,
        2 * file.page,
        2 * file.page,
        MREMAP_MAYMOVE | MREMAP_FIXED,
        reserve(file.process, 2),
    )
    file.process.msync(moved, 2 * file.page, MS_SYNC)


def only_unmapped(file: Mapped) -> None:
    file.store(1)
    file.unmap()


def only_exited(file: Mapped) -> None:
    child = Mapped(file.system, file.path, file.process.fork(), file.fd, file.base, file.page)
    child.store(1)
    child.process.exit()


def synced_asynchronously(file: Mapped) -> None:
    file.store(1)
    file.sync(0, PAGES * file.page, MS_ASYNC)


ACTIONS: list[Callable[[Mapped], None]] = [
    all_synced,
    one_page_synced,
    synced_through_a_window,
    synced_after_close,
    synced_and_unmapped,
    synced_and_unmapped_by_two,
    synced_unrounded,
    synced_and_invalidated,
    synced_over_several_mappings,
    synced_twice,
    synced_over_a_hole,
    synced_before_a_locked_page,
    synced_behind_an_unmapped_page,
    synced_privately,
    synced_by_another_mapping,
    synced_for_a_child,
    synced_after_a_write,
    synced_with_slack,
    synced_read_only,
    synced_inaccessible,
    synced_after_a_move,
    only_unmapped,
    only_exited,
    synced_asynchronously,
    nothing_synced,
]
CONTROL = nothing_synced


# -------------------------------------------------------------------------------------------------------------- a round


Refused = OSError | Fault | NotImplementedError
"""What may become of an action instead."""


@dataclass
class Found:
    """What a file holds after the crash, and how its action ended before."""

    pages: list[bytes]
    refused: Refused | None

    def judge(self, expected: str) -> None:
        """The action was not refused, and the pages are as in ``".!?."``: old, new, either."""
        self.done()
        for number, (content, letter) in enumerate(zip(self.pages, expected, strict=True)):
            allowed = [letter.encode() * len(content)] if letter != "?" else [OLD * len(content), NEW * len(content)]
            assert content in allowed, f"page {number} after the crash is {content[:8]!r}…, expected {letter}"

    def done(self) -> None:
        """The action was not refused; what the implementation does not have is not judged."""
        if isinstance(self.refused, NotImplementedError):
            raise Unsupported(str(self.refused)) from self.refused
        if self.refused is not None:
            raise AssertionError(f"refused before the crash: {self.refused}") from self.refused

    def kept(self, number: int) -> bool:
        return self.pages[number].startswith(NEW)


Round = dict[Callable[[Mapped], None], Found]


def prepare(system: System, path: str) -> Mapped:
    """A file whose old content is on the disk, mapped by a process of its own."""
    process = system.spawn()
    page = process.sysconf(SC_PAGESIZE)
    fd = process.open(path, O_CREAT | O_EXCL | O_RDWR)
    process.pwrite(fd, OLD * (PAGES * page), 0)
    process.fsync(fd)
    return Mapped(system, path, process, fd, process.mmap(0, PAGES * page, RW, MAP_SHARED, fd, 0), page)


def run_round(system: System, folder: str, number: int) -> Round:
    refused: dict[Callable[[Mapped], None], Refused] = {}
    files = {action: prepare(system, f"{folder}/{action.__name__}-{number}") for action in ACTIONS}
    for action, file in files.items():
        try:
            action(file)
        except (OSError, Fault, NotImplementedError) as error:
            refused[action] = error
    system.crash()
    reader = system.spawn()
    found: Round = {}
    for action, file in files.items():
        fd = reader.open(file.path, O_RDONLY)
        content = reader.pread(fd, PAGES * file.page, 0)
        pages = [content[place : place + file.page] for place in range(0, PAGES * file.page, file.page)]
        found[action] = Found(pages, refused.get(action))
    return found


@pytest.fixture(scope="module")
def crashed(backend: Backend) -> Round:
    """A round in which something was lost."""
    system = backend.boot()
    try:
        folder = system.facility(Facility.CRASHING_FILE_SYSTEM)
        for number in range(ROUNDS):
            found = run_round(system, folder, number)
            if not found[CONTROL].kept(1):
                return found
    finally:
        system.close()
    raise Unresolved(f"in {ROUNDS} crashes not even a store that nobody synced was lost: nothing was cut off")


# -------------------------------------------------------------------------------------------------------------- cases


@clause("msync.flush")
@pytest.mark.parametrize(
    ("action", "expected"),
    [
        pytest.param(all_synced, "!!!!", id="all"),
        pytest.param(one_page_synced, "..!.", id="one-page"),
        pytest.param(synced_through_a_window, "...!", id="window"),
        pytest.param(synced_after_close, "!...", id="after-close"),
        pytest.param(synced_over_several_mappings, "!.!!", id="several-mappings"),
        pytest.param(synced_twice, "!...", id="twice"),
    ],
)
def test_what_was_synced_is_on_disk(crashed: Round, action: Callable[[Mapped], None], expected: str) -> None:
    crashed[action].judge(expected)


@clause("msync.flag.sync")
@pytest.mark.parametrize(
    ("action", "expected"),
    [
        pytest.param(all_synced, "!!!!", id="sync"),
        pytest.param(synced_and_invalidated, ".!..", id="sync-invalidate"),
    ],
)
def test_sync_returns_when_all_is_on_disk(crashed: Round, action: Callable[[Mapped], None], expected: str) -> None:
    crashed[action].judge(expected)


@clause("msync.usual-arguments")
def test_the_unrounded_length_covers_the_last_page(crashed: Round) -> None:
    crashed[synced_unrounded].judge("!!!.")


@clause("msync.then-munmap")
@pytest.mark.parametrize(
    "action",
    [
        pytest.param(synced_and_unmapped, id="one-process"),
        pytest.param(synced_and_unmapped_by_two, id="two-processes"),
    ],
)
def test_synced_then_unmapped_is_on_disk(crashed: Round, action: Callable[[Mapped], None]) -> None:
    crashed[action].judge("!..!")


@clause("msync.errno.ENOMEM.rest")
def test_what_is_mapped_beside_a_hole_is_on_disk(crashed: Round) -> None:
    crashed[synced_over_a_hole].judge("!..!")


@clause("msync.flag.invalidate.busy.rest")
def test_what_lies_before_a_locked_page_is_on_disk(crashed: Round) -> None:
    crashed[synced_before_a_locked_page].judge("!!..")


@clause("msync.part")
@pytest.mark.parametrize(
    ("action", "expected"),
    [
        pytest.param(one_page_synced, "..!.", id="one-page"),
        pytest.param(synced_through_a_window, "...!", id="window"),
        pytest.param(synced_behind_an_unmapped_page, "...!", id="behind-an-unmapped-page"),
    ],
)
def test_a_part_goes_to_its_own_place(crashed: Round, action: Callable[[Mapped], None], expected: str) -> None:
    crashed[action].judge(expected)


@clause("msync.several")
def test_every_mapping_of_the_range_is_on_disk(crashed: Round) -> None:
    crashed[synced_over_several_mappings].judge("!.!!")


@clause("msync.private")
def test_private_stores_are_not_on_disk(crashed: Round) -> None:
    crashed[synced_privately].judge("....")


@clause("msync.others")
@pytest.mark.parametrize(
    "action",
    [
        pytest.param(synced_by_another_mapping, id="another-mapping"),
        pytest.param(synced_for_a_child, id="a-child"),
        pytest.param(synced_after_a_write, id="write"),
    ],
)
def test_what_others_have_changed_is_on_disk(crashed: Round, action: Callable[[Mapped], None]) -> None:
    crashed[action].judge(".!..")


@clause("msync.slack")
def test_what_was_stored_behind_the_end_is_not_on_disk(crashed: Round) -> None:
    found = crashed[synced_with_slack]

    found.done()
    assert b"".join(found.pages) == found.pages[0] + found.pages[1] + NEW


@clause("msync.rights-taken")
@pytest.mark.parametrize(
    "action",
    [
        pytest.param(synced_read_only, id="read-only"),
        pytest.param(synced_inaccessible, id="inaccessible"),
    ],
)
def test_what_was_stored_before_the_right_was_taken_is_on_disk(
    crashed: Round, action: Callable[[Mapped], None]
) -> None:
    crashed[action].judge(".!..")


@clause("msync.moved")
def test_what_was_stored_before_the_move_is_on_disk(crashed: Round) -> None:
    crashed[synced_after_a_move].judge("..!!")


@clause("msync.no-promise")
@pytest.mark.parametrize(
    "action",
    [
        pytest.param(nothing_synced, id="mapped"),
        pytest.param(only_unmapped, id="unmapped"),
        pytest.param(only_exited, id="exited"),
    ],
)
def test_unsynced_is_old_or_new(crashed: Round, action: Callable[[Mapped], None], record: Record) -> None:
    """Which of the two is recorded; a third content, or a change elsewhere in the file, is wrong."""
    crashed[action].judge(".?..")
    record("an unsynced store after a crash", "kept" if crashed[action].kept(1) else "lost")


@clause("msync.flag.async")
def test_async_is_old_or_new(crashed: Round, record: Record) -> None:
    crashed[synced_asynchronously].judge(".?..")
    record("a store synced with MS_ASYNC after a crash", "kept" if crashed[synced_asynchronously].kept(1) else "lost")
