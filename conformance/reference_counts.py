"""Cases of the reference that a mapping holds to its file, observed from outside.

A reference count cannot be read, but its consequences can be observed.  While a mapping refers to an open file
description whose descriptors are all closed,

* its flock and its OFD lock are held, so another process cannot take them;
* inotify reports no close;
* the storage of an unlinked file is not freed.

When the last mapped page is unmapped, each of these happens.  An *observer*, always another process, watches one of
them; every way to remove a mapping is combined with every observer.
"""

from __future__ import annotations

from typing import Final

import pytest

from ..contract import (
    LOCK_EX,
    LOCK_NB,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    O_CREAT,
    O_EXCL,
    O_RDONLY,
    O_RDWR,
    PROT_NONE,
    PROT_READ,
    Facility,
    Process,
    System,
    Unresolved,
)
from ..testing import clause, needs
from ._helpers import (
    ANONYMOUS,
    RW,
    MakeFile,
    NewPath,
    can_lock,
    pages_of,
    requires,
    setup,
    shared_and_private,
)
from .mremap_moves import MOVE_TO, map_between_guards, move, ways

PAGES: Final = 3
"""Number of pages of the file."""


class ObservedFile:
    """A file that `process` has open as `fd`, and an observer that detects its last release."""

    def __init__(self, system: System, process: Process, path: str, page: int) -> None:
        self.process = process
        self.observer = system.spawn()
        self.path = path
        with setup():
            self.fd = process.open(path, O_RDWR | O_CREAT | O_EXCL)
            process.pwrite(self.fd, pages_of(page, "a", "b", "c"), 0)
            self.watch()

    def watch(self) -> None:
        """Start the observation."""
        raise NotImplementedError

    def is_released(self) -> bool:
        """True if the open file description, or the file, has been released; not called again after that."""
        raise NotImplementedError


class ByFlock(ObservedFile):
    """The process holds the flock; the observer tries to take it."""

    def watch(self) -> None:
        self.process.flock(self.fd, LOCK_EX | LOCK_NB)
        self.rival = self.observer.open(self.path, O_RDWR)

    def is_released(self) -> bool:
        return can_lock(lambda: self.observer.flock(self.rival, LOCK_EX | LOCK_NB))


class ByOfdLock(ObservedFile):
    """The process holds an OFD lock; the observer tries to take it."""

    def watch(self) -> None:
        with requires("an OFD lock"):
            self.process.record_lock(self.fd, ofd=True)
        self.rival = self.observer.open(self.path, O_RDWR)

    def is_released(self) -> bool:
        return can_lock(lambda: self.observer.record_lock(self.rival, ofd=True))


class ByCloseEvent(ObservedFile):
    """The observer counts inotify's close events of the file."""

    def watch(self) -> None:
        self.events = self.observer.watch(self.path)

    def is_released(self) -> bool:
        return self.observer.close_events(self.events) == 1


class ByStorage(ObservedFile):
    """The file is unlinked; the observer waits for the free space of its file system to grow."""

    def watch(self) -> None:
        self.process.unlink(self.path)
        self.directory = self.path.rpartition("/")[0]
        self.free = self.observer.free_space(self.directory)

    def is_released(self) -> bool:
        return self.observer.free_space(self.directory) > self.free


OBSERVERS: Final = {"flock": ByFlock, "ofd-lock": ByOfdLock, "close-event": ByCloseEvent, "storage": ByStorage}

by_every_observer = pytest.mark.parametrize(
    "observer",
    [pytest.param(name, marks=[] if name == "storage" else needs("locks-follow-mapped-file")) for name in OBSERVERS],
)
"""Run a case once with each observer.

Where a mapping refers to another open file description of the same file (overlayfs), only the file shows the reference.
"""


def create_observed_file(observer: str, system: System, process: Process, new_path: NewPath, page: int) -> ObservedFile:
    """Create a file for `process` to map, watched by the observer of that name."""
    path = new_path()
    if observer == "storage":
        path = f"{system.facility(Facility.OWN_FILE_SYSTEM)}/{path}"
    return OBSERVERS[observer](system, process, path, page)


def map_and_close(file: ObservedFile, page: int, kind: int = MAP_SHARED) -> int:
    """Map the whole file and close its only descriptor."""
    base = file.process.mmap(0, PAGES * page, PROT_READ, kind, file.fd, 0)
    with setup():
        file.process.close(file.fd)
    return base


# -------------------------------------------------------------------------------------- until the reference is released


@clause("mmap.refcount.increment", "mmap.refcount.munmap")
@by_every_observer
@shared_and_private
def test_file_is_held_until_unmapped(
    system: System, process: Process, page: int, new_path: NewPath, observer: str, kind: int
) -> None:
    file = create_observed_file(observer, system, process, new_path, page)
    base = map_and_close(file, page, kind)
    assert not file.is_released()

    process.munmap(base, PAGES * page)
    assert file.is_released()


@clause("mmap.refcount.munmap")
@by_every_observer
@pytest.mark.parametrize(
    "order",
    [pytest.param((0, 1, 2), id="first-to-last"), pytest.param((1, 2, 0), id="from-middle")],
)
def test_file_is_held_until_last_page_is_unmapped(
    system: System, process: Process, page: int, new_path: NewPath, observer: str, order: tuple[int, ...]
) -> None:
    file = create_observed_file(observer, system, process, new_path, page)
    base = map_and_close(file, page)
    *others, last = order
    for number in others:
        process.munmap(base + number * page, page)
        assert not file.is_released()
    assert process.load(base + last * page, 1) == b"abc"[last : last + 1]

    process.munmap(base + last * page, page)
    assert file.is_released()


@clause("mmap.flag.fixed-replaces")
@by_every_observer
def test_file_is_held_until_last_page_is_replaced(
    system: System, process: Process, page: int, new_path: NewPath, observer: str
) -> None:
    file = create_observed_file(observer, system, process, new_path, page)
    base = map_and_close(file, page)
    process.mmap(base, 2 * page, PROT_NONE, ANONYMOUS | MAP_FIXED, -1, 0)
    assert not file.is_released()

    process.mmap(base + 2 * page, page, PROT_NONE, ANONYMOUS | MAP_FIXED, -1, 0)
    assert file.is_released()


@clause("mmap.refcount.increment", "mmap.refcount.munmap")
@by_every_observer
def test_file_is_held_until_both_mappings_are_unmapped(
    system: System, process: Process, page: int, new_path: NewPath, observer: str
) -> None:
    file = create_observed_file(observer, system, process, new_path, page)
    first = process.mmap(0, page, PROT_READ, MAP_SHARED, file.fd, 0)
    second = map_and_close(file, page)
    process.munmap(first, page)
    assert not file.is_released()

    process.munmap(second, PAGES * page)
    assert file.is_released()


@clause("mmap.refcount.increment", "mmap.refcount.munmap")
@by_every_observer
def test_file_mapped_by_duplicate_is_held_until_unmapped(
    system: System, process: Process, page: int, new_path: NewPath, observer: str
) -> None:
    """Duplicate descriptors and the mapping refer to one open file description."""
    file = create_observed_file(observer, system, process, new_path, page)
    with setup():
        other = process.dup(file.fd)
    base = process.mmap(0, PAGES * page, PROT_READ, MAP_SHARED, other, 0)
    with setup():
        process.close(other)
        process.close(file.fd)
    assert not file.is_released()

    process.munmap(base, PAGES * page)
    assert file.is_released()


@clause("mmap.refcount.munmap")
@by_every_observer
def test_file_unmapped_before_close_is_held_until_close(
    system: System, process: Process, page: int, new_path: NewPath, observer: str
) -> None:
    """munmap drops only the reference that mmap took; the descriptor still has its own."""
    file = create_observed_file(observer, system, process, new_path, page)
    base = process.mmap(0, PAGES * page, PROT_READ, MAP_SHARED, file.fd, 0)
    process.munmap(base, PAGES * page)
    assert not file.is_released()

    with setup():
        process.close(file.fd)
    assert file.is_released()


@clause("mmap.refcount.exit")
@by_every_observer
@pytest.mark.parametrize("end", ["exit", "kill"])
def test_file_is_held_until_process_ends(
    system: System, process: Process, page: int, new_path: NewPath, observer: str, end: str
) -> None:
    file = create_observed_file(observer, system, process, new_path, page)
    map_and_close(file, page)
    assert not file.is_released()

    if end == "exit":
        process.exit()
    else:
        process.kill()
    assert file.is_released()


@clause("mmap.refcount.exec")
@by_every_observer
def test_file_is_held_until_exec(system: System, process: Process, page: int, new_path: NewPath, observer: str) -> None:
    file = create_observed_file(observer, system, process, new_path, page)
    map_and_close(file, page)
    process.exec()

    assert file.is_released()


@clause("mmap.refcount.increment", "mmap.refcount.munmap")
@by_every_observer
def test_file_is_held_until_parent_and_child_unmap(
    system: System, process: Process, page: int, new_path: NewPath, observer: str
) -> None:
    """fork adds a reference for the child's mapping."""
    file = create_observed_file(observer, system, process, new_path, page)
    base = map_and_close(file, page)
    child = process.fork()
    process.munmap(base, PAGES * page)
    assert not file.is_released()
    assert child.load(base, 1) == b"a"

    child.munmap(base, PAGES * page)
    assert file.is_released()


@clause("mmap.refcount.exit")
@by_every_observer
@pytest.mark.parametrize("first", ["parent", "child"])
def test_file_is_held_until_parent_and_child_release_it(
    system: System, process: Process, page: int, new_path: NewPath, observer: str, first: str
) -> None:
    """The child exits and the parent unmaps, in either order; the other process still maps the file."""
    file = create_observed_file(observer, system, process, new_path, page)
    base = map_and_close(file, page)
    child = process.fork()
    if first == "child":
        assert child.exit() == 0
        assert not file.is_released()
        assert process.load(base, 1) == b"a"
        process.munmap(base, PAGES * page)
    else:
        process.munmap(base, PAGES * page)
        assert not file.is_released()
        assert child.load(base, 1) == b"a"
        assert child.exit() == 0

    assert file.is_released()


@clause("mremap.move.reference")
@ways
def test_moved_mapping_keeps_unlinked_file_until_unmapped(
    process: Process, system: System, new_path: NewPath, page: int, way: str
) -> None:
    file = create_observed_file("storage", system, process, new_path, page)
    base = map_between_guards(process, page, 1, RW, MAP_SHARED, file.fd)
    with setup():
        process.close(file.fd)

    moved = move(way, process, page, base, 1)
    assert not file.is_released()
    process.munmap(moved, 2 * page if way == "grow" else page)

    assert file.is_released()


@clause("mremap.fixed.replaces")
def test_replaced_mapping_frees_unlinked_file(process: Process, system: System, new_path: NewPath, page: int) -> None:
    file = create_observed_file("storage", system, process, new_path, page)
    target = process.mmap(0, page, RW, MAP_SHARED, file.fd, 0)
    with setup():
        process.close(file.fd)
    base = map_between_guards(process, page, 1, RW, ANONYMOUS)
    assert not file.is_released()

    process.mremap(base, page, page, MOVE_TO, target)

    assert file.is_released()


# ---------------------------------------------------------------------------------------------- the mapping after close


@clause("mmap.refcount.increment", "mmap.refcount.close")
@shared_and_private
def test_load_after_close_returns_file_content(process: Process, page: int, file: MakeFile, kind: int) -> None:
    fd = file(pages_of(page, "a", "b"))
    base = process.mmap(0, 2 * page, PROT_READ, kind, fd, 0)
    with setup():
        process.close(fd)

    assert process.load(base, 2 * page) == pages_of(page, "a", "b")


@clause("mmap.refcount.close")
@needs("coherent")
def test_store_after_close_reaches_file(process: Process, page: int, file: MakeFile, new_path: NewPath) -> None:
    """A descriptor opened afterwards reads the store."""
    path = new_path()
    fd = file(b"abc", O_RDWR, path)
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    with setup():
        process.close(fd)
    process.store(base, b"x")

    with setup():
        fd = process.open(path, O_RDONLY)
    assert process.pread(fd, 3, 0) == b"xbc"


@clause("mmap.refcount.close")
def test_private_store_after_close_is_kept(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"abc")
    base = process.mmap(0, page, RW, MAP_PRIVATE, fd, 0)
    with setup():
        process.close(fd)
    process.store(base, b"x")

    assert process.load(base, 3) == b"xbc"


@clause("mmap.refcount.close")
@needs("coherent")
def test_reused_descriptor_number_does_not_affect_mapping(
    process: Process, page: int, file: MakeFile, new_path: NewPath
) -> None:
    """A mapping refers to the file, not to the descriptor's number: each mapping shows its own file."""
    path = new_path()
    fd = file(b"old", O_RDWR, path)
    old = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    with setup():
        process.close(fd)
    again = file(b"new")
    if again != fd:
        raise Unresolved(f"the descriptor {fd} was closed, but the next file got {again}")
    new = process.mmap(0, page, RW, MAP_SHARED, again, 0)
    process.store(old, b"O")
    process.store(new, b"N")

    assert process.load(old, 3) == b"Old"
    assert process.load(new, 3) == b"New"
    assert process.pread(again, 3, 0) == b"New"
    with setup():
        other = process.open(path, O_RDONLY)
    assert process.pread(other, 3, 0) == b"Old"


@clause("mmap.refcount.increment", "mmap.refcount.close")
@shared_and_private
def test_unlinked_and_closed_file_is_mapped(
    process: Process, page: int, file: MakeFile, new_path: NewPath, kind: int
) -> None:
    """The file has neither a name nor a descriptor, but the mapping still shows its content and takes stores."""
    path = new_path()
    fd = file(pages_of(page, "a", "b"), O_RDWR, path)
    base = process.mmap(0, 2 * page, RW, kind, fd, 0)
    with setup():
        process.unlink(path)
        process.close(fd)

    assert process.load(base, 2 * page) == pages_of(page, "a", "b")
    process.store(base + page - 1, b"xy")
    assert process.load(base + page - 2, 4) == b"axyb"


@clause("mmap.refcount.increment")
def test_reused_name_does_not_affect_mapping(process: Process, page: int, file: MakeFile, new_path: NewPath) -> None:
    path = new_path()
    fd = file(b"old", O_RDWR, path)
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)
    with setup():
        process.close(fd)
        process.unlink(path)
    file(b"new", O_RDWR, path)

    assert process.load(base, 3) == b"old"


@clause("mmap.refcount.close")
@needs("coherent")
def test_child_of_fork_after_close_shares_mapping(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"abc")
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    with setup():
        process.close(fd)
    child = process.fork()
    process.store(base, b"x")

    assert child.load(base, 3) == b"xbc"


@clause("mmap.refcount.munmap")
@needs("coherent")
def test_remaining_parts_show_file(process: Process, page: int, file: MakeFile) -> None:
    """After the middle page is unmapped, the two other pages still map the file, each at its own offset."""
    fd = file(pages_of(page, "a", "b", "c"))
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, fd, 0)
    process.munmap(base + page, page)
    process.store(base, b"A")
    process.store(base + 2 * page, b"C")

    assert process.load(base, 2) == b"Aa"
    assert process.load(base + 2 * page, 2) == b"Cc"
    assert process.pread(fd, 3 * page, 0) == b"A" + b"a" * (page - 1) + b"b" * page + b"C" + b"c" * (page - 1)


# --------------------------------------------------------------------------------------------------------- record locks


@clause("mmap.refcount.record-lock")
def test_record_lock_is_released_at_close(
    system: System, process: Process, page: int, file: MakeFile, new_path: NewPath
) -> None:
    """A record lock belongs to the process, and close releases it although the file stays mapped."""
    path = new_path()
    fd = file(b"abc", O_RDWR, path)
    other = system.spawn()
    with setup():
        process.record_lock(fd, ofd=False)
        rival = other.open(path, O_RDWR)
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)
    assert not can_lock(lambda: other.record_lock(rival, ofd=False))
    with setup():
        process.close(fd)

    assert can_lock(lambda: other.record_lock(rival, ofd=False))
    assert process.load(base, 3) == b"abc"
