"""Cases of fork: memory that parent and child share, and memory that each has of its own."""

from __future__ import annotations

import pytest

from ..contract import MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, PROT_NONE, PROT_READ, Process
from ..testing import clause, faults
from ._helpers import ANONYMOUS, RW, MakeFile, assert_inaccessible, assert_nothing_mapped, lettered_pages, reserve

SHARED = MAP_SHARED | MAP_ANONYMOUS

private_memory = pytest.mark.parametrize("memory", ["anonymous", "file"])
"""Run a case once with private anonymous memory and once with a private mapping of a file."""


def map_private(process: Process, page: int, file: MakeFile, memory: str, content: bytes) -> int:
    """Return the address of a private mapping with this content; a mapping of a file has not been accessed yet."""
    if memory == "file":
        return process.mmap(0, len(content), RW, MAP_PRIVATE, file(content), 0)
    base = process.mmap(0, len(content), RW, ANONYMOUS, -1, 0)
    process.store(base, content)
    return base


# --------------------------------------------------------------------------------------------------- inherited mappings


@clause("fork.mappings")
def test_child_has_all_mappings_at_same_address(process: Process, page: int, file: MakeFile) -> None:
    """Accessed or not, private or shared, whole or split; what is unmapped in the parent is unmapped in the child."""
    fd = file(lettered_pages(page, 3))
    shared = process.mmap(0, 3 * page, PROT_READ, MAP_SHARED, fd, 0)
    pieces = process.mmap(0, 3 * page, RW, MAP_PRIVATE, fd, 0)
    process.store(pieces, b"x")
    process.munmap(pieces + page, page)

    child = process.fork()

    assert child.load(shared, 3 * page) == lettered_pages(page, 3)
    assert child.load(pieces, 2) == b"xA"
    assert_nothing_mapped(child, pieces + page)
    assert child.load(pieces + 2 * page, page) == b"C" * page


@clause("fork.rights")
def test_child_mappings_keep_protection(process: Process, page: int) -> None:
    base = reserve(process, 3)
    process.mprotect(base + page, page, PROT_READ)
    process.mprotect(base + 2 * page, page, RW)

    child = process.fork()

    assert_inaccessible(child, base)
    assert child.load(base + page, 1) == b"\0"
    with faults("SIGSEGV"):
        child.store(base + page, b"x")
    child.store(base + 2 * page, b"x")
    assert_inaccessible(process, base)


@clause("fork.independent")
@pytest.mark.parametrize("caller", ["parent", "child"])
def test_mapping_changes_do_not_affect_other_process(process: Process, page: int, caller: str) -> None:
    """The changes are munmap, mprotect and a shrinking mremap."""
    base = process.mmap(0, 4 * page, RW, SHARED, -1, 0)
    process.store(base, lettered_pages(page, 4))
    more = reserve(process, 1)
    process.munmap(more, page)
    child = process.fork()
    one, other = (process, child) if caller == "parent" else (child, process)

    one.munmap(base, page)
    one.mprotect(base + page, page, PROT_NONE)
    assert one.mremap(base + 2 * page, 2 * page, page, 0) == base + 2 * page

    assert other.load(base, 4 * page) == lettered_pages(page, 4)
    other.store(base, b"x" * 4 * page)
    assert_nothing_mapped(one, base)
    assert_inaccessible(one, base + page)
    assert one.load(base + 2 * page, 1) == b"x"
    assert_nothing_mapped(one, base + 3 * page)


# -------------------------------------------------------------------------------------------------------------- private


@clause("fork.private.parent")
@private_memory
def test_child_does_not_see_later_stores_of_parent(process: Process, page: int, file: MakeFile, memory: str) -> None:
    base = map_private(process, page, file, memory, lettered_pages(page, 2))
    process.store(base, b"before")
    child = process.fork()

    process.store(base, b"after!")
    process.store(base + page, b"after!")

    assert child.load(base, 8) == b"beforeAA"
    assert child.load(base + page, 8) == b"B" * 8
    assert process.load(base, 8) == b"after!AA"


@clause("fork.private.child")
@private_memory
def test_parent_does_not_see_stores_of_child(process: Process, page: int, file: MakeFile, memory: str) -> None:
    base = map_private(process, page, file, memory, lettered_pages(page, 2))
    process.store(base, b"before")
    child = process.fork()

    child.store(base, b"after!")
    child.store(base + page, b"after!")

    assert process.load(base, 8) == b"beforeAA"
    assert process.load(base + page, 8) == b"B" * 8
    assert child.load(base, 8) == b"after!AA"


@clause("fork.private.siblings")
def test_siblings_do_not_see_each_others_stores(process: Process, page: int) -> None:
    """Each child keeps the content at the time of its fork."""
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, b"first")
    one = process.fork()
    process.store(base, b"then!")
    two = process.fork()

    one.store(base, b"1")
    two.store(base, b"2")

    assert (one.load(base, 5), two.load(base, 5), process.load(base, 5)) == (b"1irst", b"2hen!", b"then!")


@clause("fork.private.generations")
@pytest.mark.parametrize(
    "order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)], ids=["oldest-first", "youngest-first", "middle-first"]
)
def test_three_generations_keep_their_own_stores(process: Process, page: int, order: tuple[int, ...]) -> None:
    """The last process to store, whose page is no longer shared, does not change the others' pages either."""
    base = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)
    process.store(base, lettered_pages(page, 2))
    child = process.fork()
    generations = (process, child, child.fork())

    for number in order:
        generations[number].store(base + page, b"012"[number : number + 1])

    for number, each in enumerate(generations):
        assert each.load(base, 2 * page) == b"A" * page + b"012"[number : number + 1] + b"B" * (page - 1)


@clause("fork.private.untouched")
def test_private_memory_first_touched_after_fork_is_not_shared(process: Process, page: int) -> None:
    """Both processes store, each to a different page."""
    base = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)
    child = process.fork()

    process.store(base, b"parent")
    child.store(base + page, b"child")

    assert child.load(base, 2 * page) == bytes(page) + b"child" + bytes(page - 5)
    assert process.load(base, 2 * page) == b"parent" + bytes(2 * page - 6)


@clause("fork.private.end")
@pytest.mark.parametrize("first", ["parent", "child"])
def test_memory_survives_unmap_or_exit_of_other_process(process: Process, page: int, first: str) -> None:
    """The parent unmaps, or the child exits; later stores still affect no other process."""
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, b"kept")
    child = process.fork()
    third = process.fork()
    if first == "child":
        child.exit()
        remaining = process
    else:
        process.munmap(base, page)
        remaining = child

    assert remaining.load(base, 4) == b"kept"
    remaining.store(base, b"K")
    assert (remaining.load(base, 4), third.load(base, 4)) == (b"Kept", b"kept")


# --------------------------------------------------------------------------------------------------------------- shared


@clause("fork.shared.anonymous")
def test_shared_memory_touched_before_fork_is_shared(process: Process, page: int) -> None:
    base = process.mmap(0, 2 * page, RW, SHARED, -1, 0)
    process.store(base, lettered_pages(page, 2))
    child = process.fork()

    child.store(base, b"c")
    process.store(base + page, b"p")

    for each in (process, child):
        assert each.load(base, 2) + each.load(base + page, 2) == b"cApB"


@clause("fork.shared.untouched")
@pytest.mark.parametrize("caller", ["parent", "child"])
def test_shared_memory_first_touched_after_fork_is_shared(process: Process, page: int, caller: str) -> None:
    base = process.mmap(0, 2 * page, RW, SHARED, -1, 0)
    child = process.fork()
    one, other = (process, child) if caller == "parent" else (child, process)

    one.store(base + page, b"x")

    assert other.load(base + page, 2) == b"x\0"
    other.store(base, b"y")
    assert one.load(base, 2) == b"y\0"


@clause("fork.shared.generations")
def test_shared_memory_survives_exit_of_middle_generation(process: Process, page: int) -> None:
    """The child, between process and grandchild, has exited."""
    base = process.mmap(0, page, RW, SHARED, -1, 0)
    child = process.fork()
    grandchild = child.fork()
    child.store(base, b"c")
    child.exit()

    grandchild.store(base + 1, b"g")
    process.store(base + 2, b"p")

    assert process.load(base, 4) == grandchild.load(base, 4) == b"cgp\0"


@clause("fork.shared.later")
def test_file_mapped_by_both_after_fork_is_shared(process: Process, page: int, file: MakeFile) -> None:
    """Parent and child map it through the descriptor that both inherited."""
    fd = file(lettered_pages(page, 2))
    child = process.fork()
    child_base = child.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    base = process.mmap(0, page, RW, MAP_SHARED, fd, page)

    child.store(child_base + page, b"c")
    process.store(base + 1, b"p")

    assert process.load(base, 3) == child.load(child_base + page, 3) == b"cpB"
