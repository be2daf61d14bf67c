"""Cases of threads: what a call has done to memory holds for every thread of the process once the call has returned.

A second thread runs on another processor.  Before the call it has accessed the memory, so that its processor may have
kept the translation of the address; after the return it accesses it again.  So it is in every round.
"""

from __future__ import annotations

import pytest

from ..contract import (
    MADV_DONTNEED,
    MADV_REMOVE,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    Process,
    System,
)
from ..testing import clause, needs
from ._helpers import KINDS, RW, MakeFile, free_range, requires_exec_mount
from ._rounds import FAULT, Memory, call, kinds, of_files, private_kinds, run_rounds, shared_kinds

accesses = pytest.mark.parametrize("access", ["load", "store"])
"""Run a case once with a load and once with a store of the other thread."""

MANY = 40
"""More pages than some systems drop one by one from the translations of another processor (Linux on x86: 33)."""

WRITTEN = 1 << 18
"""Bytes that a thread writes to pass about a tenth of a millisecond."""


# ---------------------------------------------------------------------------------------------------- munmap, MAP_FIXED


@clause("threads.munmap")
@kinds
@accesses
def test_no_thread_accesses_unmapped_memory(
    process: Process, system: System, file: MakeFile, kind: str, access: str
) -> None:
    thread = process.thread()
    memory = Memory(kind, process, file)

    run_rounds(
        system,
        [memory.mapped(process)],
        [(memory.access(thread, access), "ok")],
        [memory.unmapped(process)],
        [(memory.access(thread, access), FAULT)],
    )


@clause("threads.munmap")
@pytest.mark.parametrize("pages", [3, MANY])
@pytest.mark.parametrize("kind", KINDS[1:3])
def test_no_thread_accesses_any_of_many_unmapped_pages(
    process: Process, system: System, file: MakeFile, kind: str, pages: int
) -> None:
    thread = process.thread()
    memory = Memory(kind, process, file, pages)
    places = [0, pages // 2 * memory.page, (pages - 1) * memory.page]

    run_rounds(
        system,
        [memory.mapped(process)],
        [memory.stores(thread, at=at) for at in places],
        [memory.unmapped(process)],
        [(memory.access(thread, "load", at), FAULT) for at in places],
    )


@clause("threads.munmap")
def test_every_other_thread_loses_unmapped_memory(process: Process, system: System, file: MakeFile) -> None:
    threads = [process.thread(), process.thread()]
    memory = Memory("file-private", process, file)

    run_rounds(
        system,
        [memory.mapped(process)],
        [memory.stores(thread, at=at) for at, thread in enumerate(threads)],
        [memory.unmapped(process)],
        [(memory.access(thread, "load"), FAULT) for thread in threads],
        rounds=50,
    )


@clause("threads.munmap")
def test_thread_that_unmaps_is_any(process: Process, system: System, file: MakeFile) -> None:
    """The thread unmaps, and the process's first thread loses the page."""
    thread = process.thread()
    memory = Memory("file-private", process, file)

    run_rounds(
        system,
        [memory.mapped(process)],
        [memory.stores(process)],
        [memory.unmapped(thread)],
        [(memory.access(process, "load"), FAULT)],
    )


@clause("threads.munmap.neighbours")
@kinds
def test_threads_keep_neighbours_of_unmapped_page(process: Process, system: System, file: MakeFile, kind: str) -> None:
    thread = process.thread()
    memory = Memory(kind, process, file, 3)
    page = memory.page

    run_rounds(
        system,
        [memory.mapped(process)],
        [memory.stores(thread, b"y", at) for at in (0, page, 2 * page)],
        [(call(process, "munmap", memory.base + page, page), "ok")],
        [
            memory.loads(thread, "ok 79"),
            (memory.access(thread, "load", page), FAULT),
            memory.loads(thread, "ok 79", 2 * page),
        ],
        [memory.stores(thread, b"z", 2 * page)],
        [memory.loads(process, "ok 7a", 2 * page)],
    )


@clause("threads.fixed")
@kinds
@accesses
def test_threads_access_what_fixed_mapping_has_put_there(
    process: Process, system: System, file: MakeFile, kind: str, access: str
) -> None:
    """A store reaches the new mapping, and not what was there before."""
    thread = process.thread()
    memory = Memory(kind, process, file)
    fd = file(b"n" * memory.page)
    replaced = call(process, "mmap", memory.base, memory.page, RW, MAP_PRIVATE | MAP_FIXED, fd, 0)

    run_rounds(
        system,
        [memory.mapped(process)],
        [(memory.access(thread, access, byte=b"f"), "ok")],
        [(replaced, "ok")],
        [(memory.access(thread, access), "ok 6e" if access == "load" else "ok")],
        [memory.loads(process, "ok 6e" if access == "load" else "ok 78")],
    )
    if memory.has_file:
        assert process.pread(memory.fd, memory.page, 0) == b"f" * memory.page


# ----------------------------------------------------------------------------------------------------------- protection


@clause("threads.mprotect.remove")
@kinds
@accesses
def test_no_thread_keeps_right_that_was_taken_away(
    process: Process, system: System, file: MakeFile, kind: str, access: str
) -> None:
    """A load has to fault after mprotect with PROT_NONE, a store after mprotect with PROT_READ."""
    thread = process.thread()
    memory = Memory(kind, process, file)
    prot = PROT_NONE if access == "load" else PROT_READ

    run_rounds(
        system,
        [memory.mapped(process)],
        [(memory.access(thread, access), "ok")],
        [(call(process, "mprotect", memory.base, memory.page, prot), "ok")],
        [(memory.access(thread, access), FAULT)],
    )


@clause("threads.mprotect.remove")
@pytest.mark.parametrize("pages", [3, MANY])
def test_no_thread_stores_to_any_of_many_protected_pages(
    process: Process, system: System, file: MakeFile, pages: int
) -> None:
    thread = process.thread()
    memory = Memory("file-private", process, file, pages)
    places = [0, pages // 2 * memory.page, (pages - 1) * memory.page]

    run_rounds(
        system,
        [memory.mapped(process)],
        [memory.stores(thread, at=at) for at in places],
        [(call(process, "mprotect", memory.base, memory.length, PROT_READ), "ok")],
        [(memory.access(thread, "store", at), FAULT) for at in places],
        [memory.loads(thread, "ok 78", at) for at in places],
    )


@clause("threads.mprotect.add")
@kinds
@accesses
def test_threads_have_right_that_was_given(
    process: Process, system: System, file: MakeFile, kind: str, access: str
) -> None:
    """The thread was refused the access before: PROT_NONE becomes PROT_READ, or PROT_READ becomes PROT_WRITE too."""
    thread = process.thread()
    memory = Memory(kind, process, file)
    before, after = (PROT_NONE, PROT_READ) if access == "load" else (PROT_READ, RW)
    byte = b"\0" if kind.startswith("anonymous") else b"f"

    run_rounds(
        system,
        [memory.mapped(process, before)],
        [(memory.access(thread, access), FAULT)],
        [(call(process, "mprotect", memory.base, memory.page, after), "ok")],
        [(memory.access(thread, access, byte=byte), "ok")],
        [memory.loads(process, memory.content)],
    )


@clause("threads.execute")
def test_no_thread_executes_unmapped_code(process: Process, system: System, file: MakeFile, page: int) -> None:
    thread = process.thread()
    fd = file(process.return_instruction())
    base = free_range(process, 1)
    rights = PROT_READ | PROT_EXEC
    with requires_exec_mount():
        process.mmap(base, page, rights, MAP_PRIVATE | MAP_FIXED, fd, 0)

    run_rounds(
        system,
        [(call(process, "mmap", base, page, rights, MAP_PRIVATE | MAP_FIXED, fd, 0), "ok")],
        [(call(thread, "execute", base), "ok")],
        [(call(process, "munmap", base, page), "ok")],
        [(call(thread, "execute", base), FAULT)],
    )


@clause("threads.execute")
@needs("no-execute")
@pytest.mark.parametrize("prot", [PROT_NONE, PROT_READ], ids=["none", "read"])
def test_no_thread_executes_code_without_right(
    process: Process, system: System, file: MakeFile, page: int, prot: int
) -> None:
    thread = process.thread()
    fd = file(process.return_instruction())
    base = free_range(process, 1)
    rights = PROT_READ | PROT_EXEC
    with requires_exec_mount():
        process.mmap(base, page, rights, MAP_PRIVATE | MAP_FIXED, fd, 0)

    run_rounds(
        system,
        [(call(process, "mprotect", base, page, rights), "ok")],
        [(call(thread, "execute", base), "ok")],
        [(call(process, "mprotect", base, page, prot), "ok")],
        [(call(thread, "execute", base), FAULT)],
    )


# --------------------------------------------------------------------------------------------------- mremap and madvise


@clause("threads.mremap")
@kinds
@accesses
def test_no_thread_accesses_place_that_was_moved_away(
    process: Process, system: System, file: MakeFile, kind: str, access: str
) -> None:
    thread = process.thread()
    memory = Memory(kind, process, file)
    target = memory.base + 8 * memory.page
    moved = (memory.base, memory.page, memory.page, MREMAP_MAYMOVE | MREMAP_FIXED, target)

    run_rounds(
        system,
        [memory.mapped(process)],
        [memory.stores(thread)],
        [(call(process, "mremap", *moved), f"ok {target:#x}")],
        [(memory.access(thread, access), FAULT)],
        [(call(thread, "load", target, 1), "ok 78")],
    )


@clause("threads.madvise")
@private_kinds
def test_no_thread_loads_or_stores_pages_that_are_not_needed(
    process: Process, system: System, file: MakeFile, kind: str
) -> None:
    """A store after MADV_DONTNEED is in the page that the process then has."""
    thread = process.thread()
    memory = Memory(kind, process, file)

    run_rounds(
        system,
        [memory.mapped(process)],
        [memory.stores(thread)],
        [(call(process, "madvise", memory.base, memory.page, MADV_DONTNEED), "ok")],
        [memory.loads(thread, memory.content), memory.stores(thread, b"z", 1)],
        [memory.loads(process, memory.content), memory.loads(process, "ok 7a", 1)],
    )


@clause("threads.madvise")
@needs("remove-advice")
@pytest.mark.parametrize(
    "kind", ["file-shared", pytest.param("anonymous-shared", marks=needs("anonymous-memory", "shared-mapping"))]
)
def test_no_thread_loads_what_was_removed(process: Process, system: System, file: MakeFile, kind: str) -> None:
    thread = process.thread()
    memory = Memory(kind, process, file)

    run_rounds(
        system,
        [memory.mapped(process)],
        [memory.stores(thread)],
        [(call(process, "madvise", memory.base, memory.page, MADV_REMOVE), "ok")],
        [memory.loads(thread, "ok 00")],
    )


# -------------------------------------------------------------------------------------------------- files and processes


@clause("threads.truncate")
@of_files
@pytest.mark.parametrize("pages", [1, 3])
def test_no_thread_accesses_page_that_file_has_lost(
    process: Process, system: System, file: MakeFile, kind: str, pages: int
) -> None:
    """The pages of the file after the first are cut off, or all of them; the thread has only loaded from them."""
    thread = process.thread()
    memory = Memory(kind, process, file, pages)
    left = 0 if pages == 1 else memory.page
    places = range(left, memory.length, memory.page)

    run_rounds(
        system,
        [(call(process, "ftruncate", memory.fd, memory.length), "ok")],
        [memory.mapped(process)],
        [(memory.access(thread, "load", at), "ok") for at in places],
        [(call(process, "ftruncate", memory.fd, left), "ok")],
        [(memory.access(thread, "load", at), "fault SIGBUS") for at in places],
    )


@clause("threads.truncate")
@of_files
def test_no_process_accesses_page_that_file_has_lost(
    process: Process, system: System, file: MakeFile, kind: str
) -> None:
    """Another process has mapped the file: it loses the page as well."""
    memory = Memory(kind, process, file)
    child = process.fork()

    run_rounds(
        system,
        [(call(process, "ftruncate", memory.fd, memory.page), "ok")],
        [memory.mapped(process), memory.mapped(child)],
        [(memory.access(process, "load"), "ok"), (memory.access(child, "load"), "ok")],
        [(call(process, "ftruncate", memory.fd, 0), "ok")],
        [(memory.access(process, "load"), "fault SIGBUS"), (memory.access(child, "load"), "fault SIGBUS")],
    )


@clause("threads.fork.private")
@private_kinds
def test_child_does_not_have_later_stores_of_other_threads(
    process: Process, file: MakeFile, page: int, kind: str
) -> None:
    """The thread has stored to the page just before the fork, so that its processor may store without a fault."""
    thread = process.thread()
    memory = Memory(kind, process, file)
    memory.mapped(process)[0].make()

    for _ in range(12):
        thread.store(memory.base, b"before")
        child = process.fork()
        thread.store(memory.base, b"after!")

        assert child.load(memory.base, 6) == b"before"
        assert process.load(memory.base, 6) == b"after!"
        child.exit()


@clause("threads.fork.moment")
@private_kinds
def test_child_has_page_of_one_moment(process: Process, system: System, file: MakeFile, kind: str) -> None:
    """A child that has a store of another thread has all that the thread has made before.

    Between its stores the thread writes to a file for some time, so that the fork is between two of them.
    """
    thread = process.thread()
    memory = Memory(kind, process, file)
    written = process.mmap(0, WRITTEN, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
    fd = file(b"")
    write = (call(thread, "write_from", fd, written, WRITTEN, 0), f"ok {WRITTEN}")
    stores = [made for at in range(0, 24, 3) for made in (write, memory.stores(thread, b"x", at))]
    found = [("x.." * count + "..." * (8 - count)).encode().hex() for count in range(9)]

    run_rounds(
        system,
        [memory.mapped(process), memory.stores(process, b"." * 24)],
        [*stores, (call(process, "load_in_child", memory.base, 24), tuple(f"ok {content}" for content in found))],
        [(call(process, "load_in_child", memory.base, 24), f"ok {found[-1]}")],
    )


@clause("threads.fork.shared")
@shared_kinds
def test_child_shares_memory_with_every_thread(process: Process, file: MakeFile, page: int, kind: str) -> None:
    thread = process.thread()
    memory = Memory(kind, process, file)
    memory.mapped(process)[0].make()
    thread.store(memory.base, b"before")

    child = process.fork()

    thread.store(memory.base, b"parent")
    assert child.load(memory.base, 6) == b"parent"
    child.store(memory.base, b"child!")
    assert thread.load(memory.base, 6) == b"child!"
