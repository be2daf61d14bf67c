"""What a mapping holds: the file's reference count, seen from outside.

A count cannot be read, but what happens when it reaches zero can be seen.  While a mapping holds an open file
description whose descriptors are all closed,

* its flock and its OFD lock stay, so another process cannot take them;
* inotify notes no close;
* the storage of a file without a name is not returned.

When the last mapped page goes, each of these happens.  An *observer*, always another process, watches one of them:
every way in which a mapping can end is tried under every observer.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
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
from ..testing import clause
from ._helpers import ANONYMOUS, RW, MakeFile, NewPath, pages_of, setup, shared_and_private

PAGES: Final = 3
"""Pages of the file that is held."""


class Held:
    """A file of which `process` has a descriptor `fd`, and an observer that tells whether it is let go."""

    def __init__(self, system: System, process: Process, path: str, page: int) -> None:
        self.process = process
        self.observer = system.spawn()
        self.path = path
        with setup():
            self.fd = process.open(path, O_RDWR | O_CREAT | O_EXCL)
            process.pwrite(self.fd, pages_of(page, "a", "b", "c"), 0)
            self.watch()

    def watch(self) -> None:
        """Begin to observe."""
        raise NotImplementedError

    def let_go(self) -> bool:
        """Whether the file has been let go.  Once it has, it is not asked again."""
        raise NotImplementedError


class ByFlock(Held):
    """The process has the flock; the observer tries to get it."""

    def watch(self) -> None:
        self.process.flock(self.fd, LOCK_EX | LOCK_NB)
        self.rival = self.observer.open(self.path, O_RDWR)

    def let_go(self) -> bool:
        return lockable(lambda: self.observer.flock(self.rival, LOCK_EX | LOCK_NB))


class ByOfdLock(Held):
    """The same with a lock that belongs to the open file description."""

    def watch(self) -> None:
        self.process.record_lock(self.fd, ofd=True)
        self.rival = self.observer.open(self.path, O_RDWR)

    def let_go(self) -> bool:
        return lockable(lambda: self.observer.record_lock(self.rival, ofd=True))


class ByCloseEvent(Held):
    """The observer is told of each close of the file."""

    def watch(self) -> None:
        self.events = self.observer.watch(self.path)

    def let_go(self) -> bool:
        return self.observer.close_events(self.events) == 1


class ByStorage(Held):
    """The file has no name any more; the observer looks for its storage among what is free."""

    def watch(self) -> None:
        self.process.unlink(self.path)
        self.folder = self.path.rpartition("/")[0]
        self.free = self.observer.free_space(self.folder)

    def let_go(self) -> bool:
        return self.observer.free_space(self.folder) > self.free


def lockable(take: Callable[[], None]) -> bool:
    try:
        take()
    except OSError as error:
        if error.errno != errno.EAGAIN:
            raise
        return False
    return True


OBSERVERS: Final = {"flock": ByFlock, "ofd-lock": ByOfdLock, "close-event": ByCloseEvent, "storage": ByStorage}

by_every_observer = pytest.mark.parametrize("observer", OBSERVERS)


def hold(observer: str, system: System, process: Process, new_path: NewPath, page: int) -> Held:
    """A file to be mapped by `process`, watched by the observer of that name."""
    path = new_path()
    if observer == "storage":
        path = f"{system.facility(Facility.OWN_FILE_SYSTEM)}/{path}"
    return OBSERVERS[observer](system, process, path, page)


def map_and_close(held: Held, page: int, kind: int = MAP_SHARED) -> int:
    """Map the whole file and close its only descriptor."""
    base = held.process.mmap(0, PAGES * page, PROT_READ, kind, held.fd, 0)
    with setup():
        held.process.close(held.fd)
    return base


# ------------------------------------------------------------------------------------------- what lowers the count


@clause("mmap.refcount.increment", "mmap.refcount.munmap")
@by_every_observer
@shared_and_private
def test_until_it_is_unmapped(
    system: System, process: Process, page: int, new_path: NewPath, observer: str, kind: int
) -> None:
    held = hold(observer, system, process, new_path, page)
    base = map_and_close(held, page, kind)
    assert not held.let_go()

    process.munmap(base, PAGES * page)
    assert held.let_go()


@clause("mmap.refcount.munmap")
@by_every_observer
@pytest.mark.parametrize(
    "order",
    [pytest.param((0, 1, 2), id="first-to-last"), pytest.param((1, 2, 0), id="from-the-middle")],
)
def test_until_the_last_page_is_unmapped(
    system: System, process: Process, page: int, new_path: NewPath, observer: str, order: tuple[int, ...]
) -> None:
    held = hold(observer, system, process, new_path, page)
    base = map_and_close(held, page)
    *others, last = order
    for place in others:
        process.munmap(base + place * page, page)
        assert not held.let_go()
    assert process.load(base + last * page, 1) == b"abc"[last : last + 1]

    process.munmap(base + last * page, page)
    assert held.let_go()


@clause("mmap.refcount.munmap", "mmap.flag.fixed-replaces")
@by_every_observer
def test_until_it_is_replaced(system: System, process: Process, page: int, new_path: NewPath, observer: str) -> None:
    held = hold(observer, system, process, new_path, page)
    base = map_and_close(held, page)
    process.mmap(base, 2 * page, PROT_NONE, ANONYMOUS | MAP_FIXED, -1, 0)
    assert not held.let_go()

    process.mmap(base + 2 * page, page, PROT_NONE, ANONYMOUS | MAP_FIXED, -1, 0)
    assert held.let_go()


@clause("mmap.refcount.increment", "mmap.refcount.munmap")
@by_every_observer
def test_until_both_mappings_are_unmapped(
    system: System, process: Process, page: int, new_path: NewPath, observer: str
) -> None:
    held = hold(observer, system, process, new_path, page)
    one = process.mmap(0, page, PROT_READ, MAP_SHARED, held.fd, 0)
    two = map_and_close(held, page)
    process.munmap(one, page)
    assert not held.let_go()

    process.munmap(two, PAGES * page)
    assert held.let_go()


@clause("mmap.refcount.increment", "mmap.refcount.munmap")
@by_every_observer
def test_mapped_by_a_duplicate(system: System, process: Process, page: int, new_path: NewPath, observer: str) -> None:
    """Descriptors of one open file description and a mapping by either of them hold it together."""
    held = hold(observer, system, process, new_path, page)
    with setup():
        other = process.dup(held.fd)
    base = process.mmap(0, PAGES * page, PROT_READ, MAP_SHARED, other, 0)
    with setup():
        process.close(other)
        process.close(held.fd)
    assert not held.let_go()

    process.munmap(base, PAGES * page)
    assert held.let_go()


@clause("mmap.refcount.munmap")
@by_every_observer
def test_unmapped_before_the_descriptor_is_closed(
    system: System, process: Process, page: int, new_path: NewPath, observer: str
) -> None:
    """Then the descriptor holds it: unmapping takes back no more than mapping added."""
    held = hold(observer, system, process, new_path, page)
    base = process.mmap(0, PAGES * page, PROT_READ, MAP_SHARED, held.fd, 0)
    process.munmap(base, PAGES * page)
    assert not held.let_go()

    with setup():
        process.close(held.fd)
    assert held.let_go()


@clause("mmap.refcount.exit")
@by_every_observer
@pytest.mark.parametrize("end", ["exit", "kill"])
def test_until_the_process_ends(
    system: System, process: Process, page: int, new_path: NewPath, observer: str, end: str
) -> None:
    held = hold(observer, system, process, new_path, page)
    map_and_close(held, page)
    assert not held.let_go()

    if end == "exit":
        process.exit()
    else:
        process.kill()
    assert held.let_go()


@clause("mmap.refcount.exec")
@by_every_observer
def test_until_the_process_becomes_another_program(
    system: System, process: Process, page: int, new_path: NewPath, observer: str
) -> None:
    held = hold(observer, system, process, new_path, page)
    map_and_close(held, page)
    process.exec()

    assert held.let_go()


@clause("mmap.refcount.increment", "mmap.refcount.munmap")
@by_every_observer
def test_until_parent_and_child_have_unmapped(
    system: System, process: Process, page: int, new_path: NewPath, observer: str
) -> None:
    """A fork maps the file once more."""
    held = hold(observer, system, process, new_path, page)
    base = map_and_close(held, page)
    child = process.fork()
    process.munmap(base, PAGES * page)
    assert not held.let_go()
    assert child.load(base, 1) == b"a"

    child.munmap(base, PAGES * page)
    assert held.let_go()


@clause("mmap.refcount.exit")
@by_every_observer
@pytest.mark.parametrize("first", ["parent", "child"])
def test_until_parent_and_child_have_ended(
    system: System, process: Process, page: int, new_path: NewPath, observer: str, first: str
) -> None:
    """Whichever ends first, the other still has the file."""
    held = hold(observer, system, process, new_path, page)
    base = map_and_close(held, page)
    child = process.fork()
    if first == "child":
        assert child.exit() == 0
        assert not held.let_go()
        assert process.load(base, 1) == b"a"
        process.munmap(base, PAGES * page)
    else:
        process.munmap(base, PAGES * page)
        assert not held.let_go()
        assert child.load(base, 1) == b"a"
        assert child.exit() == 0

    assert held.let_go()


# ---------------------------------------------------------------------------------------------- the mapping works on


@clause("mmap.refcount.increment", "mmap.refcount.close")
@shared_and_private
def test_load_after_close(process: Process, page: int, file: MakeFile, kind: int) -> None:
    fd = file(pages_of(page, "a", "b"))
    base = process.mmap(0, 2 * page, PROT_READ, kind, fd, 0)
    with setup():
        process.close(fd)

    assert process.load(base, 2 * page) == pages_of(page, "a", "b")


@clause("mmap.refcount.close")
def test_store_after_close(process: Process, page: int, file: MakeFile, new_path: NewPath) -> None:
    """It reaches the file."""
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
def test_private_store_after_close(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"abc")
    base = process.mmap(0, page, RW, MAP_PRIVATE, fd, 0)
    with setup():
        process.close(fd)
    process.store(base, b"x")

    assert process.load(base, 3) == b"xbc"


@clause("mmap.refcount.close")
def test_number_of_the_descriptor_is_used_again(process: Process, page: int, file: MakeFile, new_path: NewPath) -> None:
    """The mapping belongs to the file, not to the number: both files keep to their own mapping."""
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
def test_unlinked_and_closed(process: Process, page: int, file: MakeFile, new_path: NewPath, kind: int) -> None:
    """The file has neither a name nor a descriptor, but is there: bytes, and what is stored there."""
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
def test_name_used_again_for_another_file(process: Process, page: int, file: MakeFile, new_path: NewPath) -> None:
    path = new_path()
    fd = file(b"old", O_RDWR, path)
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)
    with setup():
        process.close(fd)
        process.unlink(path)
    file(b"new", O_RDWR, path)

    assert process.load(base, 3) == b"old"


@clause("mmap.refcount.close")
def test_child_loads_what_the_parent_closed(process: Process, page: int, file: MakeFile) -> None:
    fd = file(b"abc")
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    with setup():
        process.close(fd)
    child = process.fork()
    process.store(base, b"x")

    assert child.load(base, 3) == b"xbc"


@clause("mmap.refcount.munmap")
def test_rest_of_a_mapping_works_on(process: Process, page: int, file: MakeFile) -> None:
    """Closed and unmapped in the middle, both ends still are the file's, each at its own offset."""
    fd = file(pages_of(page, "a", "b", "c"))
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, fd, 0)
    process.munmap(base + page, page)
    process.store(base, b"A")
    process.store(base + 2 * page, b"C")

    assert process.load(base, 2) == b"Aa"
    assert process.load(base + 2 * page, 2) == b"Cc"
    assert process.pread(fd, 3 * page, 0) == b"A" + b"a" * (page - 1) + b"b" * page + b"C" + b"c" * (page - 1)


# --------------------------------------------------------------------------------------------- what is not held back


@clause("mmap.refcount.record-lock")
def test_record_lock_goes_at_close(
    system: System, process: Process, page: int, file: MakeFile, new_path: NewPath
) -> None:
    """It belongs to the process, and goes although the mapping stays."""
    path = new_path()
    fd = file(b"abc", O_RDWR, path)
    other = system.spawn()
    with setup():
        process.record_lock(fd, ofd=False)
        its = other.open(path, O_RDWR)
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)
    assert not lockable(lambda: other.record_lock(its, ofd=False))
    with setup():
        process.close(fd)

    assert lockable(lambda: other.record_lock(its, ofd=False))
    assert process.load(base, 3) == b"abc"
