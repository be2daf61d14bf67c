"""The translation caches of the reference's threads, and what drops a translation."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest

from pytest_mmapconf.contract import (
    MADV_DONTNEED,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    O_CREAT,
    O_RDWR,
    Fault,
)
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.process import ReferenceProcess

PAGE = 4096
BASE = 1 << 30
FLAGS = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED


@pytest.fixture
def process() -> ReferenceProcess:
    process = ReferenceBackend().boot().spawn()
    process.mmap(BASE, 2 * PAGE, 3, FLAGS, -1, 0)
    return process


def test_a_process_of_one_thread_keeps_no_translations(process: ReferenceProcess) -> None:
    process.store(BASE, b"x")

    assert process.translations is None
    assert process.space.table.caches == []


def test_each_thread_keeps_what_it_has_accessed(process: ReferenceProcess) -> None:
    thread = process.thread()
    assert process.translations is not None
    assert thread.translations is not None

    thread.store(BASE, b"x")
    process.load(BASE + PAGE, 1)

    assert set(thread.translations.entries) == {(BASE // PAGE, "store"), (BASE // PAGE, "load")}
    assert set(process.translations.entries) == {(BASE // PAGE + 1, "load")}


CHANGES: list[Callable[[ReferenceProcess], object]] = [
    lambda process: process.munmap(BASE, PAGE),
    lambda process: process.mprotect(BASE, PAGE, 0),
    lambda process: process.mmap(BASE, PAGE, 3, FLAGS, -1, 0),
    lambda process: process.mremap(BASE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, BASE + 16 * PAGE),
    lambda process: process.madvise(BASE, PAGE, MADV_DONTNEED),
    lambda process: process.fork(),
]


@pytest.mark.parametrize("change", CHANGES, ids=["munmap", "mprotect", "mmap", "mremap", "madvise", "fork"])
def test_a_call_drops_the_translations_of_all_threads(
    process: ReferenceProcess, change: Callable[[ReferenceProcess], object]
) -> None:
    thread = process.thread()
    thread.store(BASE, b"x")

    change(process)

    assert thread.translations is not None
    assert thread.translations.entries == {}


def test_a_truncation_drops_the_translations_of_all_processes(process: ReferenceProcess) -> None:
    fd = process.open("file", O_RDWR | O_CREAT)
    process.ftruncate(fd, PAGE)
    process.mmap(BASE, PAGE, 3, MAP_SHARED | MAP_FIXED, fd, 0)
    child = process.fork()
    thread = child.thread()
    thread.load(BASE, 1)

    process.ftruncate(fd, 0)

    with pytest.raises(Fault, match="SIGBUS"):
        thread.load(BASE, 1)


def test_write_back_takes_the_right_to_store_away(process: ReferenceProcess) -> None:
    """Otherwise a store after write-back would not make the page dirty."""
    fd = process.open("file", O_RDWR | O_CREAT)
    process.ftruncate(fd, PAGE)
    process.mmap(BASE, PAGE, 3, MAP_SHARED | MAP_FIXED, fd, 0)
    thread = process.thread()
    thread.store(BASE, b"a")
    process.fsync(fd)

    thread.store(BASE, b"b")

    assert process.space.table.entries[BASE // PAGE].dirty


def test_a_copy_of_a_process_and_its_thread_is_one_process(process: ReferenceProcess) -> None:
    thread = process.thread()
    copied, its_thread = pickle.loads(pickle.dumps((process, thread)))

    its_thread.store(BASE, b"copy")

    assert copied.load(BASE, 4) == b"copy"
    assert process.load(BASE, 4) == bytes(4)
