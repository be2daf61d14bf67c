"""Random programs by level: what they draw, and that systems which have no more than their level promises are right."""

from __future__ import annotations

from collections.abc import Callable
from errno import EINVAL, ENOMEM, ENOSYS
from typing import Any, NoReturn

import pytest

from pytest_mmapconf.contract import (
    MADV_DONTNEED,
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    O_CREAT,
    O_PATH,
    O_RDWR,
    PROT_READ,
    PROT_WRITE,
    Facility,
    Facts,
    Resource,
    Unsupported,
)
from pytest_mmapconf.fuzzing.levels import LINUX_CALLS, POSIX_CALLS, not_promised, restricted
from pytest_mmapconf.fuzzing.search import Search
from pytest_mmapconf.reference import mutant
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.linux_choices import LinuxChoices
from pytest_mmapconf.reference.machine import Parameters
from pytest_mmapconf.reference.process import ReferenceProcess
from pytest_mmapconf.reference.system import ReferenceSystem
from pytest_mmapconf.reference.variants import VARIANTS, VariantBackend

PAGE = 4096
RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS
MEMORY = 1 << 20
"""Bytes that a mapping of a small system may have."""


@pytest.fixture
def process() -> ReferenceProcess:
    return ReferenceBackend().boot().spawn()


BASE = 1 << 36

CALLS: list[tuple[str, str, tuple[Any, ...], tuple[Any, ...] | None]] = [
    ("documented", "mmap", (0, 1, RW, MAP_SHARED, 3, 0), (0, 1, RW, MAP_SHARED, 3, 0)),
    ("documented", "mmap", (0, 1, RW | 8, MAP_SHARED | MAP_GROWSDOWN, 3, 0), (0, 1, RW, MAP_SHARED, 3, 0)),
    ("posix", "mmap", (0, 1, RW, MAP_SHARED_VALIDATE, 3, 0), None),
    ("posix", "mmap", (0, 1, RW, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0), None),
    ("documented", "mmap", (0, 1, RW, 0, 3, 0), None),
    ("posix", "mmap", (0, 1, RW, 0, 3, 0), (0, 1, RW, 0, 3, 0)),
    ("posix", "mmap", (0, 1, RW, ANONYMOUS | MAP_FIXED, -1, 0), None),
    (
        "posix",
        "mmap",
        (BASE, 1, RW, ANONYMOUS | MAP_FIXED | MAP_FIXED_NOREPLACE, -1, 0),
        (BASE, 1, RW, ANONYMOUS, -1, 0),
    ),
    ("documented", "mprotect", (BASE, 1, RW), None),
    ("posix", "mprotect", (BASE, 1, RW), (BASE, 1, RW)),
    ("posix", "mprotect", (BASE, 1, RW | 1 << 24), None),
    ("posix", "madvise", (BASE, 1, MADV_DONTNEED), None),
    ("posix", "exit", (259,), (3,)),
    ("linux", "exit", (259,), (259,)),
    ("posix", "set_limit_headroom", (Resource.LOCKED_MEMORY, 0), None),
    ("posix", "set_limit_headroom", (Resource.ADDRESS_SPACE, 0), (Resource.ADDRESS_SPACE, 0)),
    ("posix", "open", (".", O_PATH), None),
    ("posix", "munmap", (BASE, 1), (BASE, 1)),
]


@pytest.mark.parametrize(("level", "call", "arguments", "made"), CALLS)
def test_a_call_has_only_what_its_level_has(
    process: ReferenceProcess, level: str, call: str, arguments: tuple[Any, ...], made: tuple[Any, ...] | None
) -> None:
    assert restricted(level, process, call, arguments) == made


def test_mremap_below_level_linux_resizes_whole_mappings(process: ReferenceProcess) -> None:
    base = process.mmap(0, 2 * PAGE, RW, ANONYMOUS, -1, 0)

    def is_made(*arguments: int) -> bool:
        return restricted("documented", process, "mremap", arguments) is not None

    assert is_made(base, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE)
    assert is_made(base, PAGE + 1, PAGE, 0)
    assert is_made(base + 1, PAGE, PAGE, 0), "it is refused"
    assert is_made(base - PAGE, PAGE, PAGE, 0), "it is refused"
    assert not is_made(base, PAGE, 3 * PAGE, MREMAP_MAYMOVE)
    assert not is_made(base + PAGE, PAGE, 3 * PAGE, MREMAP_MAYMOVE)
    assert not is_made(base, 0, PAGE, MREMAP_MAYMOVE)
    assert not is_made(base, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP)


def test_no_page_past_the_end_of_a_file_is_accessed_at_level_documented(process: ReferenceProcess) -> None:
    fd = process.open("f", O_CREAT | O_RDWR)
    process.pwrite(fd, bytes(PAGE + 1), 0)
    base = process.mmap(0, 3 * PAGE, RW, MAP_SHARED, fd, 0)
    accesses: list[tuple[str, tuple[Any, ...], bool]] = [
        ("load", (base, 2 * PAGE), True),
        ("load", (base, 2 * PAGE + 1), False),
        ("store", (base + 2 * PAGE - 1, b"a"), True),
        ("store", (base + 2 * PAGE - 1, b"ab"), False),
        ("execute", (base + 2 * PAGE,), False),
        ("add", (base + PAGE, 1), True),
    ]

    for call, arguments, is_made in accesses:
        assert (restricted("documented", process, call, arguments) is not None) == is_made, (call, arguments)
        assert restricted("posix", process, call, arguments) == arguments


# ------------------------------------------------------------------------------------------------------- right systems


def missing(name: str) -> Callable[..., NoReturn]:
    """Return the method of a call that a system does not have and reports as such."""

    def call(*arguments: object, **keywords: object) -> NoReturn:
        raise OSError(ENOSYS, f"there is no {name}")

    return call


class Simple(ReferenceProcess):
    """A process that has the chapter's calls and flags, and little memory; it ignores other flags."""

    def mmap(self, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
        if length > MEMORY:
            raise OSError(ENOMEM, "there is not so much memory")
        flags &= MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS
        return super().mmap(addr, length, prot & 7, flags, fd, offset)

    def mremap(self, addr: int, old_size: int, new_size: int, flags: int, new_addr: int = 0) -> int:
        if flags & ~MREMAP_MAYMOVE:
            raise OSError(EINVAL, "unknown flags")
        if new_size > MEMORY:
            raise OSError(ENOMEM, "there is not so much memory")
        return super().mremap(addr, old_size, new_size, flags)

    def exit(self, status: int = 0) -> int:
        super().exit(status)
        return status


class Refusing(Simple):
    """A process that refuses other flags than the chapter's."""

    def mmap(self, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
        if flags & ~(MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS) or prot & ~7:
            raise OSError(EINVAL, "unknown flags")
        return super().mmap(addr, length, prot, flags, fd, offset)


for name in LINUX_CALLS | POSIX_CALLS:
    setattr(Simple, name, missing(name))


class SimpleSystem(ReferenceSystem):
    def __init__(self, kind: type[ReferenceProcess]) -> None:
        super().__init__(Parameters(), LinuxChoices())
        self.process_type = kind

    def facility(self, facility: Facility) -> str:
        if facility != Facility.CRASHING_FILE_SYSTEM:
            raise Unsupported(f"there is no {facility}")
        return super().facility(facility)


class SimpleBackend(ReferenceBackend):
    def __init__(self, kind: type[ReferenceProcess]) -> None:
        super().__init__()
        self.kind = kind

    def boot(self) -> ReferenceSystem:
        return SimpleSystem(self.kind)


def assert_no_difference(search: Search) -> None:
    assert search.counterexample is None, f"{search.counterexample.divergence}\n{search.counterexample.listing()}"
    assert not search.unresolved
    assert search.tally.steps


@pytest.mark.parametrize("kind", [Simple, Refusing])
def test_a_system_that_has_only_the_chapter_is_right(kind: type[ReferenceProcess]) -> None:
    for seed in range(3):
        search = Search(SimpleBackend(kind), "documented")
        search.run_short(100, f"{seed}")
        assert_no_difference(search)


@pytest.mark.parametrize("level", ["documented", "posix"])
@pytest.mark.parametrize("name", VARIANTS)
def test_other_conforming_systems_are_right(name: str, level: str) -> None:
    search = Search(VariantBackend(VARIANTS[name]), level)
    search.run_short(20, name)
    assert_no_difference(search)


@pytest.mark.parametrize("clauses", [None, {"munmap.range"}, {"paging.sysconf"}])
def test_a_difference_counts_if_its_clause_is_judged(clauses: set[str] | None) -> None:
    search = Search(mutant.load()["munmap-takes-the-next-page"].boot(), "documented", clauses)
    search.run_short(30, "1")

    assert (search.counterexample is None) == (clauses == {"paging.sysconf"})
    assert search.tally.uncharged or search.counterexample is not None


@pytest.mark.parametrize(
    ("name", "level", "seed"), [("no-fault-details", "documented", 7), ("posix-strict", "posix", 13)]
)
def test_loads_from_pages_that_can_only_be_stored_to_are_the_hardwares_choice(name: str, level: str, seed: int) -> None:
    """Also where a fault has no address, and where a call loads from its buffer."""
    search = Search(VariantBackend(VARIANTS[name]), level)
    search.run_short(80, f"{seed}")
    assert_no_difference(search)


def test_what_an_older_kernel_does_not_promise_is_not_asked() -> None:
    """A clause with a condition on the kernel governs random programs as it does the cases."""

    class OldBackend(ReferenceBackend):
        def facts(self) -> Facts:
            return Facts("old", "1", {**super().facts().details, "kernel": "Linux 6.1.176"})

    missing = not_promised(OldBackend().facts())
    assert {"mseal.result", "mremap.fixed.several", "mmap.flag.droppable"} <= missing
    assert not not_promised(ReferenceBackend().facts()) & {"mseal.result", "mremap.fixed.several"}

    model = ReferenceBackend().boot().spawn()
    page = model.page
    base = model.mmap(0, 2 * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    far = base - (1 << 30)
    move = MREMAP_MAYMOVE | MREMAP_FIXED
    keep = MREMAP_MAYMOVE | MREMAP_DONTUNMAP
    for arguments, is_made in [
        ((base, page, page, 0), True),
        ((base, 2 * page, page, move, far), True),
        ((base, 3 * page, 3 * page, move, far), False),
        ((base, page, page, move, far + 1), False),
        ((base, page, page, MREMAP_FIXED, far), False),
        ((base, 2 * page, 2 * page, keep), True),
        ((base, 2 * page, 2 * page - 1, keep), False),
        ((far, page, page, 0), True),
        ((far, page, 1 << 62, 0), False),
    ]:
        assert (restricted("linux", model, "mremap", arguments, missing) is not None) == is_made, arguments
        assert restricted("linux", model, "mremap", arguments) == arguments
    assert restricted("linux", model, "mseal", (base, page, 0), missing) is None
    droppable = (0, page, PROT_READ, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0)
    assert restricted("linux", model, "mmap", droppable, missing) is None
