"""Cases of threads and processes that access memory, or change it, at the same time: nothing that was done is lost.

Two concurrent calls have an effect as if one had been made before the other, byte by byte.  Where either order may be,
a case allows the outcomes of both, and no others; after both have returned, the state is one.
"""

from __future__ import annotations

from typing import Literal

import pytest

from ..contract import (
    MADV_DONTNEED,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MS_ASYNC,
    MS_SYNC,
    O_RDWR,
    PROT_NONE,
    PROT_READ,
    Process,
    System,
)
from ..testing import clause
from ._helpers import RW, MakeFile, NewPath, free_range
from ._rounds import FAULT, Memory, call, kinds, of_files, private_kinds, run_rounds

ADDITIONS = 50


# ------------------------------------------------------------------------------------------------------------- accesses


@clause("threads.first-stores")
@kinds
@pytest.mark.parametrize("distance", ["near", "far"])
def test_first_stores_of_two_threads_are_both_kept(
    process: Process, system: System, file: MakeFile, page: int, kind: str, distance: str
) -> None:
    """Both find the page untouched, and cause a page fault at the same time."""
    thread = process.thread()
    memory = Memory(kind, process, file)
    other = 8 if distance == "near" else page - 1

    run_rounds(
        system,
        [memory.mapped(process)],
        [memory.stores(process, b"a"), memory.stores(thread, b"b", other)],
        [memory.loads(process, "ok 61"), memory.loads(process, "ok 62", other)],
        [memory.loads(thread, "ok 61"), memory.loads(thread, "ok 62", other)],
    )


@clause("threads.first-stores")
def test_first_stores_into_hole_are_both_kept(process: Process, system: System, file: MakeFile, page: int) -> None:
    """The file has no storage there until the first of them."""
    thread = process.thread()
    memory = Memory("file-shared", process, file)

    run_rounds(
        system,
        [(call(process, "ftruncate", memory.fd, 0), "ok"), (call(process, "ftruncate", memory.fd, page), "ok")],
        [memory.mapped(process)],
        [memory.stores(process, b"a"), memory.stores(thread, b"b", 8)],
        [memory.loads(process, "ok 61"), memory.loads(process, "ok 62", 8), memory.loads(process, "ok 00", 1)],
    )


@clause("threads.first-stores")
@pytest.mark.parametrize("storage", ["data", "hole"])
def test_first_stores_of_threads_and_processes_are_all_kept(
    process: Process, system: System, file: MakeFile, page: int, storage: str
) -> None:
    thread = process.thread()
    memory = Memory("file-shared", process, file)
    child = process.fork()
    emptied = [(call(process, "ftruncate", memory.fd, 0), "ok"), (call(process, "ftruncate", memory.fd, page), "ok")]

    run_rounds(
        system,
        emptied if storage == "hole" else [(call(process, "pwrite", memory.fd, b"f" * 24, 0), "ok")],
        [memory.mapped(process), memory.mapped(child)],
        [memory.stores(process, b"a"), memory.stores(thread, b"b", 8), memory.stores(child, b"c", 16)],
        [memory.loads(child, "ok 61"), memory.loads(child, "ok 62", 8), memory.loads(process, "ok 63", 16)],
        rounds=50,
    )


@clause("threads.copy")
@private_kinds
@pytest.mark.parametrize("distance", ["near", "far"])
def test_copy_on_write_by_both_threads_is_one_copy(
    process: Process, system: System, file: MakeFile, page: int, kind: str, distance: str
) -> None:
    """Both have loaded from the page, so that both have to copy it."""
    thread = process.thread()
    memory = Memory(kind, process, file)
    other = 8 if distance == "near" else page - 1

    run_rounds(
        system,
        [memory.mapped(process)],
        [memory.loads(process, memory.content), memory.loads(thread, memory.content)],
        [memory.stores(process, b"a"), memory.stores(thread, b"b", other)],
        [
            memory.loads(process, "ok 61"),
            memory.loads(process, "ok 62", other),
            memory.loads(process, memory.content, 1),
        ],
        [memory.loads(thread, "ok 61"), memory.loads(thread, "ok 62", other), memory.loads(thread, memory.content, 1)],
    )
    if memory.has_file:
        assert process.pread(memory.fd, page, 0) == b"f" * page


@clause("threads.copy")
@private_kinds
def test_thread_that_only_loads_sees_copy_of_other(process: Process, system: System, file: MakeFile, kind: str) -> None:
    """Its processor may have kept the translation to the page before the copy."""
    thread = process.thread()
    memory = Memory(kind, process, file)

    run_rounds(
        system,
        [memory.mapped(process)],
        [memory.loads(thread, memory.content)],
        [memory.stores(process, b"a")],
        [memory.loads(thread, "ok 61")],
        [memory.stores(thread, b"b", 1)],
        [memory.loads(process, "ok 61"), memory.loads(process, "ok 62", 1)],
    )


@clause("threads.load-store")
@kinds
def test_load_beside_store_finds_byte_before_or_after(
    process: Process, system: System, file: MakeFile, kind: str
) -> None:
    thread = process.thread()
    memory = Memory(kind, process, file)

    run_rounds(
        system,
        [memory.mapped(process), (call(process, "store", memory.base, b"o"), "ok")],
        [memory.stores(process, b"n"), (memory.access(thread, "load"), ("ok 6f", "ok 6e"))],
        [memory.loads(thread, "ok 6e")],
    )


@clause("threads.load-store")
@kinds
def test_of_two_stores_to_one_byte_one_is_last(process: Process, system: System, file: MakeFile, kind: str) -> None:
    """Both threads find the same one."""
    thread = process.thread()
    memory = Memory(kind, process, file)

    tally = system.together(
        [
            memory.mapped(process)[0],
            memory.access(process, "store", byte=b"a")._replace(stage=1),
            memory.access(thread, "store", byte=b"b")._replace(stage=1),
            memory.access(process, "load")._replace(stage=2),
            memory.access(thread, "load")._replace(stage=3),
        ],
        300,
    )

    assert {outcomes[3:] for outcomes in tally} <= {("ok 61", "ok 61"), ("ok 62", "ok 62")}


@clause("threads.additions")
@pytest.mark.parametrize("place", ["one mapping", "two mappings", "another process"])
def test_no_addition_under_lock_is_lost_between_threads(
    process: Process, system: System, file: MakeFile, page: int, place: str
) -> None:
    """The lock is a word of the same page, taken by an atomic exchange."""
    fd = file(bytes(page))
    base = free_range(process, 4)
    other = base if place == "one mapping" else base + 2 * page
    for addr in {base, other}:
        process.mmap(addr, page, RW, MAP_SHARED | MAP_FIXED, fd, 0)
    adder = process.fork() if place == "another process" else process.thread()

    rounds = run_rounds(
        system,
        [
            (call(process, "add", base, ADDITIONS, base + 64), "ok"),
            (call(adder, "add", other, ADDITIONS, other + 64), "ok"),
        ],
        rounds=40,
    )

    process.add(base + 128, 1)
    order: Literal["little", "big"] = "little" if process.load(base + 128, 4) == b"\1\0\0\0" else "big"
    assert int.from_bytes(process.load(base, 4), order) == 2 * ADDITIONS * rounds


# --------------------------------------------------------------------------------------- calls that change the mappings


@clause("threads.disjoint")
@kinds
def test_threads_map_and_unmap_neighbouring_ranges(process: Process, system: System, file: MakeFile, kind: str) -> None:
    thread = process.thread()
    one, other = Memory(kind, process, file), Memory(kind, process, file, first=1)

    run_rounds(
        system,
        [one.mapped(process), other.mapped(thread)],
        [one.stores(process, b"a"), other.stores(thread, b"b")],
        [one.loads(thread, "ok 61"), other.loads(process, "ok 62")],
        [one.unmapped(process), other.unmapped(thread)],
        [(one.access(thread, "load"), FAULT), (other.access(process, "load"), FAULT)],
    )


@clause("threads.disjoint")
@kinds
def test_threads_unmap_parts_of_one_mapping(process: Process, system: System, file: MakeFile, kind: str) -> None:
    """The bytes between the parts stay as they were."""
    thread = process.thread()
    memory = Memory(kind, process, file, 3)
    page = memory.page

    run_rounds(
        system,
        [memory.mapped(process), memory.stores(process, b"m", page)],
        [
            (call(process, "munmap", memory.base, page), "ok"),
            (call(thread, "munmap", memory.base + 2 * page, page), "ok"),
        ],
        [
            (memory.access(process, "load"), FAULT),
            (memory.access(thread, "load", 2 * page), FAULT),
            memory.loads(thread, "ok 6d", page),
        ],
    )


@clause("threads.disjoint")
@kinds
def test_threads_protect_parts_of_one_mapping(process: Process, system: System, file: MakeFile, kind: str) -> None:
    thread = process.thread()
    memory = Memory(kind, process, file, 2)
    page = memory.page

    run_rounds(
        system,
        [memory.mapped(process), memory.stores(process, b"a"), memory.stores(process, b"b", page)],
        [
            (call(process, "mprotect", memory.base, page, PROT_READ), "ok"),
            (call(thread, "mprotect", memory.base + page, page, PROT_NONE), "ok"),
        ],
        [
            memory.loads(thread, "ok 61"),
            (memory.access(thread, "store"), FAULT),
            (memory.access(process, "load", page), FAULT),
        ],
    )


@clause("threads.disjoint")
def test_both_threads_may_unmap_one_range(process: Process, system: System, file: MakeFile) -> None:
    """munmap succeeds where nothing is mapped."""
    thread = process.thread()
    memory = Memory("file-shared", process, file, 4)

    run_rounds(
        system,
        [memory.mapped(process)],
        [memory.unmapped(process), memory.unmapped(thread)],
        [(memory.access(thread, "load", 3 * memory.page), FAULT)],
    )


@clause("threads.race.munmap")
@of_files
def test_load_beside_munmap_finds_content_or_faults(
    process: Process, system: System, file: MakeFile, kind: str
) -> None:
    thread = process.thread()
    memory = Memory(kind, process, file)

    run_rounds(
        system,
        [memory.mapped(process)],
        [memory.unmapped(process), (memory.access(thread, "load"), ("ok 66", FAULT))],
        [(memory.access(thread, "load"), FAULT)],
    )


@clause("threads.race.mprotect")
@kinds
def test_store_beside_mprotect_is_kept_or_faults(process: Process, system: System, file: MakeFile, kind: str) -> None:
    """A store that faults has not been made; one that was made is there."""
    thread = process.thread()
    memory = Memory(kind, process, file)
    calls = [
        memory.mapped(process)[0],
        memory.access(process, "store", byte=b"o"),
        call(process, "mprotect", memory.base, memory.page, PROT_READ)._replace(stage=1),
        memory.access(thread, "store", byte=b"n")._replace(stage=1),
        memory.access(process, "load")._replace(stage=2),
        memory.access(thread, "store", byte=b"x")._replace(stage=2),
    ]

    tally = system.together(calls, 300)

    for outcomes in tally:
        stored, found, later = outcomes[3:]
        assert (stored, found) == ("ok", "ok 6e") or (stored.startswith(FAULT) and found == "ok 6f"), outcomes
        assert later.startswith(FAULT), outcomes


@clause("threads.race.fixed")
@of_files
def test_load_beside_fixed_mapping_finds_one_of_both(
    process: Process, system: System, file: MakeFile, kind: str
) -> None:
    """Nothing says that the replacement is one step: the load may also fault."""
    thread = process.thread()
    memory = Memory(kind, process, file)
    fd = file(b"n" * memory.page)
    replaced = call(process, "mmap", memory.base, memory.page, RW, MAP_PRIVATE | MAP_FIXED, fd, 0)

    run_rounds(
        system,
        [memory.mapped(process)],
        [(replaced, "ok"), (memory.access(thread, "load"), ("ok 66", "ok 6e", FAULT))],
        [memory.loads(thread, "ok 6e")],
    )


@clause("threads.race.madvise")
@private_kinds
def test_madvise_keeps_stores_to_other_pages(process: Process, system: System, file: MakeFile, kind: str) -> None:
    thread = process.thread()
    memory = Memory(kind, process, file, 2)
    page = memory.page

    run_rounds(
        system,
        [memory.mapped(process), memory.stores(process, b"a")],
        [
            (call(process, "madvise", memory.base, page, MADV_DONTNEED), "ok"),
            memory.stores(thread, b"b", page),
        ],
        [memory.loads(thread, memory.content), memory.loads(process, "ok 62", page)],
    )


# ---------------------------------------------------------------------------------------------------------------- files


@clause("threads.msync")
@pytest.mark.parametrize("flags", [MS_SYNC, MS_ASYNC], ids=["sync", "async"])
def test_msync_loses_no_store_that_is_made_meanwhile(
    process: Process, system: System, file: MakeFile, page: int, flags: int
) -> None:
    thread = process.thread()
    memory = Memory("file-shared", process, file)

    run_rounds(
        system,
        [memory.mapped(process), memory.stores(process, b"a"), memory.stores(process, b"-", 1)],
        [(call(process, "msync", memory.base, page, flags), "ok"), memory.stores(thread, b"b", 1)],
        [memory.loads(process, "ok 61"), memory.loads(process, "ok 62", 1)],
        [(call(process, "msync", memory.base, page, MS_SYNC), "ok")],
        [(call(thread, "pread", memory.fd, 2, 0), "ok 6162")],
        rounds=100,
    )


@clause("threads.write")
def test_write_and_store_to_one_page_are_both_kept(process: Process, system: System, file: MakeFile, page: int) -> None:
    thread = process.thread()
    memory = Memory("file-shared", process, file)

    run_rounds(
        system,
        [memory.mapped(process), (call(process, "pwrite", memory.fd, b"----", 0), "ok 4")],
        [(call(process, "pwrite", memory.fd, b"aa", 0), "ok 2"), memory.stores(thread, b"b", 2)],
        [
            (call(process, "load", memory.base, 4), "ok 6161622d"),
            (call(process, "pread", memory.fd, 4, 0), "ok 6161622d"),
        ],
    )


@clause("threads.write")
def test_read_beside_store_finds_byte_before_or_after(
    process: Process, system: System, file: MakeFile, page: int
) -> None:
    thread = process.thread()
    memory = Memory("file-shared", process, file)

    run_rounds(
        system,
        [memory.mapped(process), memory.stores(process, b"o")],
        [memory.stores(process, b"n"), (call(thread, "pread", memory.fd, 1, 0), ("ok 6f", "ok 6e"))],
        [(call(thread, "pread", memory.fd, 1, 0), "ok 6e")],
    )


@clause("threads.race.truncate")
@of_files
def test_load_beside_truncation_finds_content_or_faults(
    process: Process, system: System, file: MakeFile, page: int, kind: str
) -> None:
    """The byte may also be zero already; once ftruncate has returned, the load faults."""
    thread = process.thread()
    memory = Memory(kind, process, file)

    run_rounds(
        system,
        [(call(process, "ftruncate", memory.fd, page), "ok"), (call(process, "pwrite", memory.fd, b"f", 0), "ok 1")],
        [memory.mapped(process)],
        [
            (call(process, "ftruncate", memory.fd, 0), "ok"),
            (memory.access(thread, "load"), ("ok 66", "ok 00", "fault SIGBUS")),
        ],
        [(memory.access(thread, "load"), "fault SIGBUS")],
    )


@clause("threads.race.close")
@of_files
def test_mapping_outlives_close_by_other_thread(
    process: Process, system: System, file: MakeFile, new_path: NewPath, page: int, kind: str
) -> None:
    """The first access to the page is made while the descriptor is closed."""
    path = new_path()
    file(b"f" * page, path=path)
    thread = process.thread()
    base = free_range(process, 1)
    flags = MAP_FIXED | (MAP_SHARED if kind == "file-shared" else MAP_PRIVATE)
    fd = process.open(path, O_RDWR)
    process.close(fd)

    run_rounds(
        system,
        [(call(process, "open", path, O_RDWR, 0), f"ok {fd}")],
        [(call(process, "mmap", base, page, PROT_READ, flags, fd, 0), f"ok {base:#x}")],
        [(call(thread, "close", fd), "ok"), (call(process, "load", base, 1), "ok 66")],
        [(call(thread, "load", base + page - 1, 1), "ok 66"), (call(process, "fstat", fd), "error EBADF")],
    )


@clause("threads.race.close")
def test_mapping_outlives_dup_and_close_at_once(process: Process, system: System, file: MakeFile, page: int) -> None:
    """A thread duplicates a descriptor and closes the copy, while the other maps by the descriptor and unmaps."""
    thread = process.thread()
    memory = Memory("file-shared", process, file)
    copy = process.dup(memory.fd)
    process.close(copy)

    run_rounds(
        system,
        [
            memory.mapped(process),
            memory.stores(process, b"a"),
            (call(thread, "dup", memory.fd), f"ok {copy}"),
            (call(thread, "close", copy), "ok"),
        ],
        [memory.loads(thread, "ok 61")],
        [memory.unmapped(process)],
        [(call(process, "pread", memory.fd, 1, 0), "ok")],
    )
