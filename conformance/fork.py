"""Cases of fork: what parent and child have together, and what each has for itself."""

from __future__ import annotations

import pytest

from ..contract import MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, PROT_NONE, PROT_READ, Process
from ..testing import clause, faults
from ._helpers import ANONYMOUS, RW, MakeFile, assert_inaccessible, assert_nothing_mapped, lettered_pages, reserve

SHARED = MAP_SHARED | MAP_ANONYMOUS

MEMORY = pytest.mark.parametrize("what", ["anonymous", "file"])
"""Private memory without a file, or a private mapping of one."""


def private(process: Process, page: int, file: MakeFile, what: str, content: bytes) -> int:
    """The address of a private mapping with that content, which the process has not touched if it is of a file."""
    if what == "file":
        return process.mmap(0, len(content), RW, MAP_PRIVATE, file(content), 0)
    base = process.mmap(0, len(content), RW, ANONYMOUS, -1, 0)
    process.store(base, content)
    return base


# ----------------------------------------------------------------------------------------------------- what is copied


@clause("fork.mappings")
def test_the_child_has_every_mapping_at_its_address(process: Process, page: int, file: MakeFile) -> None:
    """Untouched and touched, private and shared, whole and in pieces; and nothing where the parent has nothing."""
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
def test_the_child_has_every_mapping_with_its_rights(process: Process, page: int) -> None:
    base = reserve(process, 3)
    process.mprotect(base + page, page, PROT_READ)
    process.mprotect(base + 2 * page, page, RW)

    child = process.fork()

    assert_inaccessible(child, base)
    assert child.load(base + page, 1) == b"\0"
    with faults("SIGSEGV", at=base + page, code="SEGV_ACCERR"):
        child.store(base + page, b"x")
    child.store(base + 2 * page, b"x")
    assert_inaccessible(process, base)


@clause("fork.independent")
@pytest.mark.parametrize("who", ["parent", "child"])
def test_what_one_does_to_its_mappings_the_other_does_not_see(process: Process, page: int, who: str) -> None:
    """Unmapping, taking rights away, mapping something else there, mapping more."""
    base = process.mmap(0, 4 * page, RW, SHARED, -1, 0)
    process.store(base, lettered_pages(page, 4))
    more = reserve(process, 1)
    process.munmap(more, page)
    child = process.fork()
    one, other = (process, child) if who == "parent" else (child, process)

    one.munmap(base, page)
    one.mprotect(base + page, page, PROT_NONE)
    assert one.mremap(base + 2 * page, 2 * page, page, 0) == base + 2 * page

    assert other.load(base, 4 * page) == lettered_pages(page, 4)
    other.store(base, b"x" * 4 * page)
    assert_nothing_mapped(one, base)
    assert_inaccessible(one, base + page)
    assert one.load(base + 2 * page, 1) == b"x"
    assert_nothing_mapped(one, base + 3 * page)


# ------------------------------------------------------------------------------------------------------------- private


@clause("fork.private.parent")
@MEMORY
def test_the_child_does_not_see_what_the_parent_stores_then(
    process: Process, page: int, file: MakeFile, what: str
) -> None:
    base = private(process, page, file, what, lettered_pages(page, 2))
    process.store(base, b"before")
    child = process.fork()

    process.store(base, b"after!")
    process.store(base + page, b"after!")

    assert child.load(base, 8) == b"beforeAA"
    assert child.load(base + page, 8) == b"B" * 8
    assert process.load(base, 8) == b"after!AA"


@clause("fork.private.child")
@MEMORY
def test_the_parent_does_not_see_what_the_child_stores(process: Process, page: int, file: MakeFile, what: str) -> None:
    base = private(process, page, file, what, lettered_pages(page, 2))
    process.store(base, b"before")
    child = process.fork()

    child.store(base, b"after!")
    child.store(base + page, b"after!")

    assert process.load(base, 8) == b"beforeAA"
    assert process.load(base + page, 8) == b"B" * 8
    assert child.load(base, 8) == b"after!AA"


@clause("fork.private.siblings")
def test_siblings_do_not_see_what_each_other_stores(process: Process, page: int) -> None:
    """Each still has what there was when it was made."""
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, b"first")
    one = process.fork()
    process.store(base, b"then!")
    two = process.fork()

    one.store(base, b"1")
    two.store(base, b"2")

    assert (one.load(base, 5), two.load(base, 5), process.load(base, 5)) == (b"1irst", b"2hen!", b"then!")


@clause("fork.private.generations")
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)], ids=["downwards", "upwards", "from-the-middle"])
def test_three_generations_that_all_store(process: Process, page: int, order: tuple[int, ...]) -> None:
    """The last to store, who has the page for itself by then, changes nobody else's either."""
    base = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)
    process.store(base, lettered_pages(page, 2))
    child = process.fork()
    generations = (process, child, child.fork())

    for number in order:
        generations[number].store(base + page, b"012"[number : number + 1])

    for number, each in enumerate(generations):
        assert each.load(base, 2 * page) == b"A" * page + b"012"[number : number + 1] + b"B" * (page - 1)


@clause("fork.private.untouched")
def test_private_memory_that_is_first_touched_then(process: Process, page: int) -> None:
    """By both: it is no more shared than what was touched before."""
    base = process.mmap(0, 2 * page, RW, ANONYMOUS, -1, 0)
    child = process.fork()

    process.store(base, b"parent")
    child.store(base + page, b"child")

    assert child.load(base, 2 * page) == bytes(page) + b"child" + bytes(page - 5)
    assert process.load(base, 2 * page) == b"parent" + bytes(2 * page - 6)


@clause("fork.private.end")
@pytest.mark.parametrize("first", ["parent", "child"])
def test_when_one_lets_go_the_other_keeps_its_memory(process: Process, page: int, first: str) -> None:
    """By unmapping or, of the child, by its end; then what is stored is still nobody else's."""
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, b"kept")
    child = process.fork()
    third = process.fork()
    if first == "child":
        child.exit()
        left = process
    else:
        process.munmap(base, page)
        left = child

    assert left.load(base, 4) == b"kept"
    left.store(base, b"K")
    assert (left.load(base, 4), third.load(base, 4)) == (b"Kept", b"kept")


# -------------------------------------------------------------------------------------------------------------- shared


@clause("fork.shared.anonymous")
def test_shared_memory_that_was_touched_before(process: Process, page: int) -> None:
    base = process.mmap(0, 2 * page, RW, SHARED, -1, 0)
    process.store(base, lettered_pages(page, 2))
    child = process.fork()

    child.store(base, b"c")
    process.store(base + page, b"p")

    for each in (process, child):
        assert each.load(base, 2) + each.load(base + page, 2) == b"cApB"


@clause("fork.shared.untouched")
@pytest.mark.parametrize("who", ["parent", "child"])
def test_shared_memory_that_is_first_touched_then(process: Process, page: int, who: str) -> None:
    base = process.mmap(0, 2 * page, RW, SHARED, -1, 0)
    child = process.fork()
    one, other = (process, child) if who == "parent" else (child, process)

    one.store(base + page, b"x")

    assert other.load(base + page, 2) == b"x\0"
    other.store(base, b"y")
    assert one.load(base, 2) == b"y\0"


@clause("fork.shared.generations")
def test_shared_memory_of_three_generations(process: Process, page: int) -> None:
    """Of which the second is gone."""
    base = process.mmap(0, page, RW, SHARED, -1, 0)
    child = process.fork()
    grandchild = child.fork()
    child.store(base, b"c")
    child.exit()

    grandchild.store(base + 1, b"g")
    process.store(base + 2, b"p")

    assert process.load(base, 4) == grandchild.load(base, 4) == b"cgp\0"


@clause("fork.shared.later")
def test_a_file_mapped_by_each_afterwards(process: Process, page: int, file: MakeFile) -> None:
    """By the descriptor that both have: mapped later, it is as shared."""
    fd = file(lettered_pages(page, 2))
    child = process.fork()
    its = child.mmap(0, 2 * page, RW, MAP_SHARED, fd, 0)
    base = process.mmap(0, page, RW, MAP_SHARED, fd, page)

    child.store(its + page, b"c")
    process.store(base + 1, b"p")

    assert process.load(base, 3) == child.load(its + page, 3) == b"cpB"
