"""Long searches: their parts, what they find, and how they go on after what is known."""

from __future__ import annotations

from collections import Counter

import pytest

from pytest_mmapconf import backends
from pytest_mmapconf.agent.backend import NativeBackend
from pytest_mmapconf.contract import (
    MAP_ANONYMOUS,
    MAP_PRIVATE,
    MS_SYNC,
    O_CREAT,
    O_RDWR,
    PROT_READ,
    PROT_WRITE,
    Backend,
    Fault,
)
from pytest_mmapconf.differential.comparison import LeaveOut
from pytest_mmapconf.differential.divergence import Divergence
from pytest_mmapconf.differential.lockstep import LockstepSystem
from pytest_mmapconf.differential.reproducers import Judge
from pytest_mmapconf.fuzzing.findings import LongSearch
from pytest_mmapconf.fuzzing.search import LENGTH, Search
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.machine import Parameters
from pytest_mmapconf.reference.observed_choices import ObservedChoices
from pytest_mmapconf.reference.system import ReferenceSystem

RW = PROT_READ | PROT_WRITE
MEMORY = MAP_PRIVATE | MAP_ANONYMOUS
PAGE = 4096

TWO = "mutant:munmap-takes-length-0+msync-of-an-unaligned-address-is-ENOMEM"
"""A system that makes a call that it must refuse, and refuses another with a wrong error."""


def mutants(name: str) -> Backend:
    return backends.make(name, [], [])


def long_search(backend: Backend, level: str = "linux", most: int = 20) -> LongSearch:
    return LongSearch(Search(backend, level), lambda divergence: False, most)


# -------------------------------------------------------------------------------------------------------------- parts


@pytest.mark.parametrize("page", [4096, 16384, 65536])
@pytest.mark.parametrize("level", ["linux", "documented"])
def test_the_reference_agrees_with_itself(page: int, level: str) -> None:
    long = long_search(ReferenceBackend(page=page), level)

    assert long.run_part("1", 0, "here", steps=3000) == []
    assert 3000 <= long.search.tally.steps < 3000 + LENGTH
    if level == "linux":
        assert not long.search.tally.uncompared


def test_this_kernel_agrees_with_the_reference() -> None:
    backend = NativeBackend()
    try:
        long = long_search(backend)
        found = long.run_part("1", 0, "here", steps=2000)
    finally:
        backend.close()

    assert not found, f"{found[0].counterexample.divergence}\n{found[0].counterexample.listing()}"
    assert not long.search.unresolved


def test_a_part_is_the_same_whatever_was_run_before() -> None:
    alone, after = long_search(ReferenceBackend()), long_search(ReferenceBackend())
    after.run_part("1", 0, "here", steps=300)

    for long in (alone, after):
        long.run_part("1", 1, "here", steps=300)

    assert alone.search.tally.refusals == after.search.tally.refusals
    assert alone.search.tally.effects == after.search.tally.effects
    assert {"mmap.errno.EINVAL", "munmap.range"} <= {*alone.search.tally.refusals, *alone.search.tally.effects}


def test_a_part_ends_with_its_time() -> None:
    long = long_search(ReferenceBackend())

    long.run_part("1", 0, "here", end=0.0)

    assert long.search.tally.programs == 0


# ----------------------------------------------------------------------------------------------------------- findings


def test_each_difference_is_found_once_and_counted() -> None:
    long = long_search(mutants(TWO))
    kept: list[str] = []
    long.keep = lambda finding: kept.append(str(finding.key))
    followed: Counter[str] = Counter()
    for part in range(6):
        long.run_part("1", part, f"part {part}", steps=1000)
        followed.update(map(str, long.search.tally.followed.elements()))

    calls = {key.call for key in long.findings}
    assert calls == {"munmap", "msync"}
    assert kept == list(map(str, long.findings))
    assert all(followed[key] > 1 for key in kept[:2]), followed
    for finding in long.findings.values():
        assert len(finding.counterexample.program) <= 4, finding.counterexample.listing()
        shown = Judge(long.search.subject, "linux").run(finding.counterexample.program, "none").divergence
        assert shown is not None
        assert shown.key == finding.key


def test_a_search_ends_after_as_many_findings_as_were_asked_for() -> None:
    long = long_search(mutants(TWO), most=1)

    assert len(long.run_part("1", 0, "here", steps=10000)) == 1
    assert long.has_ended
    assert long.search.tally.steps < 10000


def test_what_is_on_record_is_no_finding_and_does_not_hide_another_difference() -> None:
    recorded = [finding.key for finding in found_in(long_search(mutants(TWO)), 4)]
    search = Search(mutants(f"{TWO}+mremap-loses-the-tail"), "linux")
    long = LongSearch(search, lambda divergence: divergence.key in recorded, 20)

    new = found_in(long, 6)

    assert {finding.key.call for finding in new} >= {"mremap"}
    assert not any(finding.key in recorded for finding in new)


def found_in(long: LongSearch, parts: int) -> list:  # type: ignore[type-arg]
    return [finding for part in range(parts) for finding in long.run_part("1", part, "here", steps=1000)]


# ---------------------------------------------------------------------------------------------------- following


def paired(subject: Backend, omitted: frozenset[int] = frozenset()) -> LockstepSystem:
    """A pair in which every difference is known."""
    system = LockstepSystem(subject.boot(), ReferenceSystem(Parameters(), ObservedChoices()))
    system.is_known = lambda divergence: True
    system.omitted = omitted
    return system


def test_a_refusal_that_was_not_made_has_its_effect() -> None:
    system = paired(mutants("mutant:mmap-needs-no-type"))
    process = system.spawn()

    at = process.mmap(0, PAGE, RW, MAP_ANONYMOUS, -1, 0)

    assert [(key.call, key.kind) for key in system.followed] == [("mmap", "success instead of EINVAL")]
    assert process.model.space.find(at) is not None
    process.store(at, b"followed")
    assert process.load(at, 8) == b"followed"
    assert system.uncompared is None


def test_another_error_is_taken() -> None:
    system = paired(mutants("mutant:msync-of-an-unaligned-address-is-ENOMEM"))
    process = system.spawn()
    at = process.mmap(0, PAGE, RW, MEMORY, -1, 0)

    with pytest.raises(OSError, match="msync"):
        process.msync(at + 1, PAGE, MS_SYNC)

    assert system.followed.total() == 1
    assert process.load(at, 1) == b"\0"
    assert system.uncompared is None


class Refusing(ReferenceBackend):
    """A system that refuses every munmap."""

    def boot(self) -> ReferenceSystem:
        system = super().boot()

        class Process(system.process_type):  # type: ignore[name-defined, misc]
            def munmap(self, addr: int, length: int) -> None:
                raise OSError(12, "no")

        system.process_type = Process
        return system


def test_a_call_that_was_refused_is_left_out_when_the_program_is_run_again() -> None:
    def run(omitted: frozenset[int]) -> LockstepSystem:
        system = paired(Refusing(), omitted)
        process = system.spawn()
        at = process.mmap(0, PAGE, RW, MEMORY, -1, 0)
        with pytest.raises(OSError, match="no"):
            process.munmap(at, PAGE)
        process.store(at, b"still there")
        return system

    with pytest.raises(LeaveOut) as left:
        run(frozenset())

    assert Search(ReferenceBackend(), "linux").without_refused_calls(run).uncompared is None
    assert left.value.number == 2


def test_what_cannot_be_followed_ends_the_program_only() -> None:
    system = paired(mutants("mutant:private-stores-reach-the-file"))
    process = system.spawn()
    fd = process.open("a", O_RDWR | O_CREAT)
    process.pwrite(fd, b"here", 0)
    at = process.mmap(0, PAGE, RW, MAP_PRIVATE, fd, 0)

    process.store(at, b"lost")

    assert system.uncompared == "a known difference: a wrong effect"
    assert process.pread(fd, 4, 0) == b"lost", "the subject goes on alone"


def test_the_identity_of_a_difference_has_no_values() -> None:
    system = LockstepSystem(
        mutants("mutant:munmap-takes-the-next-page").boot(), ReferenceSystem(Parameters(), ObservedChoices())
    )
    process = system.spawn()
    at = process.mmap(0, 3 * PAGE, RW, MEMORY, -1, 0)

    with pytest.raises(Divergence) as shown:
        process.munmap(at, PAGE)

    assert shown.value.key == ("munmap", "wrong effect", ("munmap.range",))
    with pytest.raises(Fault):
        process.load(at, 1)
