"""Lockstep: pairs of processes, audits, calls that are left out, the end of the comparison, and the plugin's option."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from errno import EMFILE, ENFILE, ENOSPC

import pytest

from pytest_mmapconf.agent.backend import NativeBackend
from pytest_mmapconf.catalogue.clauses import load
from pytest_mmapconf.contract import (
    LOCK_EX,
    LOCK_NB,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    O_CREAT,
    O_RDONLY,
    O_RDWR,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    SC_PAGESIZE,
    Call,
    Facility,
    Facts,
    Fault,
    Stat,
    Unresolved,
    Unsupported,
)
from pytest_mmapconf.contract import Process as Contract
from pytest_mmapconf.differential import blame as module
from pytest_mmapconf.differential.audit import audited_pages
from pytest_mmapconf.differential.divergence import Divergence
from pytest_mmapconf.differential.lockstep import (
    LockstepBackend,
    LockstepProcess,
    LockstepSystem,
)
from pytest_mmapconf.differential.parameters import measure_execute_only, measure_parameters, stated_parameters
from pytest_mmapconf.outcomes import Faulted, Returned
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.linux_choices import LinuxChoices
from pytest_mmapconf.reference.machine import CAPABILITIES, Parameters
from pytest_mmapconf.reference.observed_choices import ObservedChoices
from pytest_mmapconf.reference.process import ReferenceProcess
from pytest_mmapconf.reference.system import ReferenceSystem

RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS
PAGE = 4096


class Subject(ReferenceSystem):
    """A reference under test, whose processes are of a given class."""

    def __init__(self, kind: type[ReferenceProcess]) -> None:
        super().__init__(Parameters(), LinuxChoices())
        self.process_type = kind


def lockstep(kind: type[ReferenceProcess] = ReferenceProcess) -> LockstepProcess:
    return LockstepSystem(Subject(kind), ReferenceSystem(Parameters(), ObservedChoices())).spawn()


def file(process: LockstepProcess, content: bytes = b"abc", path: str = "file") -> int:
    fd = process.open(path, O_CREAT | O_RDWR)
    process.pwrite(fd, content, 0)
    return fd


def fixed(process: LockstepProcess, pages: int = 1, fd: int = -1, shared: bool = False, at: int = 0) -> int:
    """Map pages in the scratch range, from its page `at` on."""
    flags = (MAP_SHARED if shared else MAP_PRIVATE) | (MAP_ANONYMOUS if fd < 0 else 0) | MAP_FIXED
    return process.mmap(process.scratch_range()[0] + at * PAGE, pages * PAGE, RW, flags, fd, 0)


# ---------------------------------------------------------------------------------------------------------------- pairs


def test_a_machine_without_observed_choices_cannot_judge() -> None:
    with pytest.raises(TypeError, match="observed choices"):
        LockstepSystem(Subject(ReferenceProcess), ReferenceSystem(Parameters(), LinuxChoices()))


def test_every_call_of_the_contract_is_one_of_the_pair() -> None:
    calls = {name for name in vars(Contract) if not name.startswith("_") and callable(getattr(Contract, name))}

    assert calls - set(vars(LockstepProcess)) == {"audit", "batch"}, "audits and batches are the judge's own"


def test_the_subjects_answers_are_passed_on() -> None:
    process = lockstep()
    fd = file(process)
    base = process.mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 0)

    assert process.load(base, 3) == b"abc"
    with pytest.raises(Fault, match=f"SEGV_ACCERR.*{base + 1:#x}"):
        process.store(base + 1, b"x")
    with pytest.raises(OSError, match="multiple of the page"):
        process.munmap(base + 1, PAGE)
    assert process.system.compared == 6
    assert process.system.uncompared is None


def test_a_divergence_has_the_call_outcomes_clauses_and_both_address_spaces() -> None:
    class Wrong(ReferenceProcess):
        def load(self, addr: int, length: int) -> bytes:
            return super().load(addr, length).replace(b"b", b"d")

    process = lockstep(Wrong)
    process.system.audits.suspended = "the case loads itself"
    base = process.mmap(0, PAGE, PROT_READ, MAP_SHARED, file(process), 0)

    with pytest.raises(Divergence) as caught:
        process.load(base, 3)

    divergence = caught.value
    assert divergence.step == f"process 1: load({base:#x}, 3)"
    assert divergence.observed == "b'adc'"
    assert divergence.allowed == ("b'abc'",)
    assert divergence.clauses == ("mmap.range", "mmap.flag.shared")
    assert all("file" in maps and f"{base:#x}" in maps for maps in divergence.maps)
    assert str(divergence) == f"{divergence.step}: b'adc'; allowed: b'abc' (mmap.range, mmap.flag.shared)"


def test_every_clause_that_is_cited_exists() -> None:
    cited = {
        clause
        for table in (module.RESULT_CLAUSES, module.EFFECT_CLAUSES, module.EFFECT_CLAUSES_OF_FAILURE)
        for clauses in table.values()
        for clause in clauses
    }
    process = lockstep()
    base = fixed(process)
    returned, faulted = Returned(None), Faulted("SIGSEGV", "SEGV_ACCERR", base)
    for call, arguments in (("load", (base, 1)), ("load", (0, 1)), ("dup", (7,)), ("mmap", (0, 1, 0, MAP_FIXED))):
        cited.update(module.cited_clauses(process.model, call, arguments, returned, returned))
        cited.update(module.effect_clauses(process.model, call, arguments))
    cited.update((*module.RIGHT_GRANTED.values(), *module.RIGHT_REFUSED.values(), "mmap.prot.none"))
    assert module.effect_clauses(process.model, "store", (base, b"x")) == ("mmap.flag.private",)
    for access in module.RIGHT_GRANTED:
        refused = module.cited_clauses(process.model, access, (base,), returned, faulted)
        assert refused == (module.RIGHT_GRANTED[access],)
        granted = module.cited_clauses(process.model, access, (base,), faulted, returned)
        assert granted == (module.RIGHT_REFUSED[access],)

    assert cited <= set(load())


def test_descriptors_are_the_lowest_free_ones() -> None:
    class Skips(ReferenceProcess):
        def dup(self, fd: int) -> int:
            wasted = super().dup(fd)
            result = super().dup(fd)
            self.close(wasted)
            return result

    process = lockstep(Skips)

    with pytest.raises(Divergence, match=r"dup\(3\): 5; allowed: 4"):
        process.dup(file(process))


@pytest.mark.parametrize("kept", [3, 0])
def test_a_process_begins_with_the_descriptors_that_its_system_gives_it(kept: int) -> None:
    class Begins(Subject):
        def spawn(self) -> ReferenceProcess:
            process = super().spawn()
            for fd in range(kept, 3):
                process.close(fd)
            return process

    process = LockstepSystem(Begins(ReferenceProcess), ReferenceSystem(Parameters(), ObservedChoices())).spawn()

    assert file(process) == kept


def test_fork_makes_a_pair_of_children() -> None:
    process = lockstep()
    base = fixed(process, fd=file(process), shared=True)
    private = fixed(process, at=1)
    child = process.fork()
    child.store(base, b"child")
    child.store(private, b"child")

    assert process.load(base, 3) == b"chi"
    assert process.load(private, 1) == b"\0"
    assert child.exit(7) == 7
    assert process.system.pairs == [process]


def test_a_child_that_sees_too_much_diverges() -> None:
    class Shares(ReferenceProcess):
        def fork(self) -> ReferenceProcess:
            child = super().fork()
            for number, page in self.space.table.entries.items():
                child.space.table.entries[number] = page
                page.refcount = 1
            return child

    process = lockstep(Shares)
    private = fixed(process)
    process.store(private, b"before")
    child = process.fork()

    with pytest.raises(Divergence, match=rf"process [12]: store\(.*\), then load\({private:#x}"):
        child.store(private, b"after")


def test_exit_status_and_kill_and_exec() -> None:
    class WrongStatus(ReferenceProcess):
        def exit(self, status: int = 0) -> int:
            return super().exit(status) + 1

    with pytest.raises(Divergence, match=r"exit\(3\): 4; allowed: 3"):
        lockstep(WrongStatus).exit(3)

    class KeepsMappings(ReferenceProcess):
        def exec(self) -> None:
            pass

    process = lockstep(KeepsMappings)
    base = fixed(process)
    process.exec()
    with pytest.raises(Divergence, match=r"allowed: SIGSEGV \(SEGV_MAPERR\)"):
        process.load(base, 1)

    process = lockstep()
    process.kill()
    assert process.system.pairs == []


def test_record_locks_and_watches() -> None:
    process = lockstep()
    fd = file(process)
    process.record_lock(fd, ofd=True)
    watch = process.watch("file")
    process.close(process.open("file", O_RDONLY))

    assert process.close_events(watch) == 1
    with pytest.raises(OSError, match="another"):
        process.record_lock(process.open("file", O_RDWR), ofd=True)
    assert process.system.uncompared is None


def adding(times: int, lost: int, locked: bool) -> bytes:
    """Return the word to which two processes have added concurrently, when the subject has lost some additions."""

    class Loses(Subject):
        def run_concurrently(self, calls: Sequence[Call]) -> list[object]:
            results = super().run_concurrently(calls)
            process, (addr, *_) = calls[0].process, calls[0].arguments
            assert isinstance(addr, int)
            value = int.from_bytes(process.load(addr, 4), "little") - lost
            process.store(addr, value.to_bytes(4, "little"))
            return results

    system = LockstepSystem(Loses(ReferenceProcess), ReferenceSystem(Parameters(), ObservedChoices()))
    one = system.spawn()
    base = fixed(one, shared=True)
    other = one.fork()
    one.store(base, bytes(8))
    lock = base + 4 if locked else 0
    system.run_concurrently([Call(process, "add", (base, times, lock)) for process in (one, other)])
    word = one.load(base, 4)
    assert other.load(base, 4) == word
    assert system.uncompared is None
    return word


def test_additions_at_the_same_time_may_be_lost_without_a_lock() -> None:
    assert adding(100, 0, locked=True) == (200).to_bytes(4, "little")
    assert int.from_bytes(adding(100, 30, locked=False), "little") < 200
    with pytest.raises(Divergence):
        adding(100, 30, locked=True)


def test_fragment_is_compared_up_to_its_failure() -> None:
    process = lockstep()
    limit = process.system.mapping_limit()
    base = process.mmap(0, (limit + 4) * PAGE, 0, ANONYMOUS, -1, 0)

    assert process.fragment(base, limit + 4) == "ENOMEM"
    assert process.system.uncompared is None

    class Forgets(ReferenceProcess):
        def fragment(self, addr: int, pages: int) -> str | None:
            return super().fragment(addr, pages - 4)

    process = lockstep(Forgets)
    base = process.mmap(process.scratch_range()[0], 20 * PAGE, 0, ANONYMOUS | MAP_FIXED, -1, 0)
    with pytest.raises(Divergence, match="mprotect"):
        process.fragment(base, 20)


# --------------------------------------------------------------------------------------------------------------- audits


def test_an_audit_shows_a_difference_in_pages_that_no_call_accesses() -> None:
    class FreesTooMuch(ReferenceProcess):
        def munmap(self, addr: int, length: int) -> None:
            super().munmap(addr, length)
            self.space.clear(addr + length, addr + length + PAGE)

    process = lockstep(FreesTooMuch)
    base = fixed(process, 3)
    step = rf"munmap\({base:#x}, 4096\), then load\({base + PAGE:#x}, 4096\): SIGSEGV"
    with pytest.raises(Divergence, match=step) as caught:
        process.munmap(base, PAGE)
    assert caught.value.clauses == ("munmap.range",)


def test_an_audit_follows_a_call_that_failed() -> None:
    class UnmapsFirst(ReferenceProcess):
        def mmap(self, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
            if fd == 77:
                self.space.clear(addr, addr + length)
            return super().mmap(addr, length, prot, flags, fd, offset)

    process = lockstep(UnmapsFirst)
    fixed(process)
    with pytest.raises(Divergence, match=r"mmap\(.*77, 0\), then load") as caught:
        fixed(process, fd=77)
    assert caught.value.clauses[:2] == ("mmap.result.failure", "mmap.result.failure.fixed")


def test_an_audit_covers_the_adjacent_pages() -> None:
    class FreesTooLittle(ReferenceProcess):
        def munmap(self, addr: int, length: int) -> None:
            super().munmap(addr, length - PAGE)

    process = lockstep(FreesTooLittle)
    base = fixed(process, 2)
    with pytest.raises(Divergence, match=rf"then load\({base + PAGE:#x}.*allowed: SIGSEGV") as caught:
        process.munmap(base, 2 * PAGE)
    assert caught.value.clauses == ("munmap.range",)

    class MapsTooMuch(ReferenceProcess):
        def mmap(self, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
            return super().mmap(addr, length + PAGE, prot, flags, fd, offset)

    with pytest.raises(Divergence, match=r"mmap\(.*\), then load"):
        fixed(lockstep(MapsTooMuch))


def test_an_audit_covers_addresses_at_which_the_system_has_placed_mappings() -> None:
    class FreesNothing(ReferenceProcess):
        def munmap(self, addr: int, length: int) -> None:
            pass

    process = lockstep(FreesNothing)
    base = process.mmap(0, PAGE, RW, ANONYMOUS, -1, 0)

    with pytest.raises(Divergence, match="then load"):
        process.munmap(base, PAGE)


def test_an_audit_reads_the_files() -> None:
    class GoesThrough(ReferenceProcess):
        def store(self, addr: int, data: bytes) -> None:
            super().store(addr, data)
            mapping = self.space.find(addr)
            if mapping is not None and mapping.inode is not None:
                mapping.inode.cache.page(0).data[: len(data)] = data

    process = lockstep(GoesThrough)
    fd = file(process)
    base = fixed(process, fd=fd)

    with pytest.raises(Divergence, match=rf"store\({base:#x}, b'X'\), then pread\({fd}, 0x10000, 0\): b'Xbc'"):
        process.store(base, b"X")


def test_a_wrong_size_is_charged_to_no_clause_about_errors() -> None:
    """Which call has made the file longer is not known, so the case's own clauses are broken."""

    class Longer(ReferenceProcess):
        def fstat(self, fd: int) -> Stat:
            return super().fstat(fd)._replace(size=4096)

    process = lockstep(Longer)
    process.system.audits.suspended = "the case asks itself"
    fd = file(process)

    with pytest.raises(Divergence) as caught:
        process.fstat(fd)

    assert caught.value.clauses == ()
    assert str(caught.value).endswith("; allowed: Stat(kind='regular', size=3)")


def test_an_audit_covers_other_processes() -> None:
    class Copies(ReferenceProcess):
        def fork(self) -> ReferenceProcess:
            child = super().fork()
            for mapping in child.space.mappings.values():
                mapping.shared = False
            return child

    process = lockstep(Copies)
    base = fixed(process, shared=True)
    process.load(base, 1)
    child = process.fork()

    with pytest.raises(Divergence, match=rf"process 1: store\({base:#x}, b'x'\), then load"):
        child.store(base, b"x")


def test_an_audit_of_touched_pages_accesses_no_others() -> None:
    system = LockstepSystem(Subject(ReferenceProcess), ReferenceSystem(Parameters(), ObservedChoices()), "touched")
    process = system.spawn()
    base = process.mmap(0, 3 * PAGE, RW, ANONYMOUS, -1, 0)
    process.store(base + PAGE, b"x")
    assert process.mincore(base, 3 * PAGE) == [False, True, False]

    system = LockstepSystem(Subject(ReferenceProcess), ReferenceSystem(Parameters(), ObservedChoices()))
    process = system.spawn()
    base = process.mmap(0, 3 * PAGE, RW, ANONYMOUS, -1, 0)
    assert process.mincore(base, 3 * PAGE) == [True, True, True]


class Crowded(ReferenceProcess):
    """A process whose first calls of mmap fail because another process has filled the file table."""

    tries = 0

    def mmap(self, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
        self.tries += 1
        if self.tries < 3:
            raise OSError(ENFILE, "full")
        return super().mmap(addr, length, prot, flags, fd, offset)


def test_enfile_caused_by_another_process_is_retried() -> None:
    process = lockstep(Crowded)
    assert process.mmap(0, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)


class Full(ReferenceProcess):
    """A process whose calls of mmap always fail with ENFILE."""

    def mmap(self, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
        raise OSError(ENFILE, "full")


def test_enfile_without_a_cause_is_a_difference() -> None:
    with pytest.raises(Divergence, match="ENFILE"):
        lockstep(Full).mmap(0, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)


class Forgets(ReferenceProcess):
    """A process whose msync zeroes the page."""

    def msync(self, addr: int, length: int, flags: int) -> None:
        super().msync(addr, length, flags)
        super().store(addr, bytes(PAGE))


def test_a_sparse_audit_follows_every_nth_call_or_a_request() -> None:
    system = LockstepSystem(Subject(Forgets), ReferenceSystem(Parameters(), ObservedChoices()), every=4)
    process = system.spawn()
    base = fixed(process)
    process.store(base, b"x")
    process.msync(base, PAGE, 0)
    with pytest.raises(Divergence, match="then load"):
        process.mlock(base, PAGE)

    system = LockstepSystem(Subject(Forgets), ReferenceSystem(Parameters(), ObservedChoices()), every=4)
    process = system.spawn()
    base = fixed(process)
    process.store(base, b"x")
    process.msync(base, PAGE, 0)
    with pytest.raises(Divergence, match="all of these"):
        system.audit_all()


def test_counters_suspend_the_audits() -> None:
    process = lockstep()
    base = fixed(process)
    before = process.counters()
    process.store(base, b"x")

    assert process.counters()._replace(faults=0) == before._replace(faults=0)
    assert process.system.audits.suspended is not None


def test_long_and_many_mappings_are_audited_in_part() -> None:
    process = lockstep()
    fixed(process, 1 << 14)
    assert len(audited_pages(process, "store", ())) == 32 + 1, (
        "and the page after it; the one before is outside the scratch_range"
    )

    process = lockstep()
    base = fixed(process, 400)
    for at in range(0, 400, 2):
        process.mprotect(base + at * PAGE, PAGE, PROT_READ)
    assert len(audited_pages(process, "mprotect", (base + 8 * PAGE, PAGE, PROT_READ))) < 10


# -------------------------------------------------------------------------------------------- the end of the comparison


def test_a_call_that_failed_because_of_the_environment_is_left_out() -> None:
    class Full(ReferenceProcess):
        def pwrite(self, fd: int, data: bytes, offset: int) -> int:
            raise OSError(ENOSPC, "no room")

        def dup(self, fd: int) -> int:
            raise OSError(EMFILE, "too many")

    process = lockstep(Full)
    fd = process.open("file", O_CREAT | O_RDWR)
    with pytest.raises(OSError, match="no room"):
        process.pwrite(fd, b"abc", 0)
    with pytest.raises(OSError, match="too many"):
        process.dup(fd)

    assert process.system.left_out == {("pwrite", "ENOSPC"): 1, ("dup", "EMFILE"): 1}
    assert process.fstat(fd).size == 0
    assert process.open("other", O_CREAT | O_RDWR) == fd + 1
    assert process.system.uncompared is None


def test_an_unsupported_call_is_not_made_by_the_reference() -> None:
    class Without(ReferenceProcess):
        def mlock(self, addr: int, length: int) -> None:
            raise Unsupported("no mlock")

    process = lockstep(Without)
    with pytest.raises(Unsupported):
        process.mlock(process.scratch_range()[0], PAGE)
    fixed(process)

    assert process.system.uncompared is None


def test_after_the_comparison_has_ended_the_subject_goes_on_alone() -> None:
    process = lockstep()
    fd = file(process)
    base = process.mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 0)
    process.system.give_up("why")
    process.system.give_up("another reason")
    process.munmap(base, PAGE)

    assert process.system.uncompared == "why"
    assert process.model.load(base, 3) == b"abc", "the reference was not asked any more"


def test_an_unknown_name_of_sysconf_changes_nothing() -> None:
    class Knows(ReferenceProcess):
        def sysconf(self, name: int) -> int:
            return self.page if name == SC_PAGESIZE else 7

    process = lockstep(Knows)

    assert process.sysconf(2) == 7
    assert process.sysconf(SC_PAGESIZE) == PAGE
    assert process.system.uncompared is None
    with pytest.raises(Divergence, match="EINVAL"):
        process.sysconf(100_000)


def test_sigbus_of_a_store_is_allowed_only_on_a_full_disk() -> None:
    class Full(ReferenceProcess):
        def store(self, addr: int, data: bytes) -> None:
            raise Fault("SIGBUS", "BUS_ADRERR", addr)

    class ReportsFull(Full):
        def free_space(self, path: str) -> int:
            return 0

    for kind, expected in ((Full, Divergence), (ReportsFull, Fault)):
        process = lockstep(kind)
        fd = process.open("file", O_CREAT | O_RDWR)
        process.ftruncate(fd, PAGE)
        base = fixed(process, fd=fd, shared=True)
        with pytest.raises(expected, match="SIGBUS"):
            process.store(base, b"x")


# -------------------------------------------------------------------------------------------- facilities and parameters


def test_the_path_of_a_facility_is_translated() -> None:
    class Elsewhere(Subject):
        def facility(self, facility: Facility) -> str:
            return "there" if facility is Facility.NOEXEC_DIRECTORY else super().facility(facility)

    subject = Elsewhere(ReferenceProcess)
    subject.spawn().mkdir("there")
    system = LockstepSystem(subject, ReferenceSystem(Parameters(), ObservedChoices()))
    process = system.spawn()
    path = system.facility(Facility.NOEXEC_DIRECTORY)

    assert path == "there"
    assert system.translate("there/file") == "/noexec/file"
    assert system.translate("thereabouts") == "thereabouts"
    assert system.translate("/elsewhere") is None
    process.open(f"{path}/file", O_CREAT | O_RDWR)
    assert system.uncompared is None


def test_a_path_that_only_the_subject_has_ends_the_comparison() -> None:
    process = lockstep()
    process.open("/dev/zero", O_RDONLY)

    assert process.system.uncompared is not None
    assert "/dev/zero" in process.system.uncompared


def test_the_facts_of_the_backend_determine_the_machine() -> None:
    facts = Facts("some", details={"page": "16384", "end": str(1 << 48), "locked": "7", "user": "uid 1"})
    stated = stated_parameters(facts)
    assert (stated.page, stated.task_size, stated.locked, stated.capabilities) == (16384, 1 << 48, 7, frozenset())
    assert stated_parameters(Facts("none")) == Parameters()
    assert stated_parameters(Facts("s390x", details={"byte order": "big"})) == Parameters(byte_order="big")
    assert stated_parameters(Facts("root", details={"capabilities": "CAP_IPC_LOCK,CAP_OTHER"})).capabilities == {
        "CAP_IPC_LOCK"
    }
    reference = ReferenceBackend(page=65536, lowest=1 << 20)
    assert stated_parameters(reference.facts()) == replace(reference.parameters, end=reference.parameters.task_size)
    assert reference.parameters.capabilities == CAPABILITIES


class WrongCode(ReferenceProcess):
    """A process in which each access that its protection forbids has the code of a protection key."""

    def load(self, addr: int, length: int) -> bytes:
        try:
            return super().load(addr, length)
        except Fault as fault:
            raise Fault(fault.signal, "SEGV_PKUERR", fault.address) from None


def test_a_protection_key_is_no_reason_for_a_fault_where_the_machine_has_none() -> None:
    process = lockstep(WrongCode)

    with pytest.raises(Divergence, match=r"SEGV_PKUERR\).*allowed: SIGSEGV \(SEGV_ACCERR\)"):  # an audit loads
        process.mmap(0, PAGE, PROT_NONE, ANONYMOUS, -1, 0)


class PartialBackend(ReferenceBackend):
    """A reference with execute-only pages that lacks one call, or fails to start."""

    def __init__(self, lacks: str) -> None:
        super().__init__(execute_only="SEGV_PKUERR")
        self.lacks = lacks
        self.closed = 0

    def boot(self) -> ReferenceSystem:
        backend = self
        if self.lacks == "boot":
            raise Unresolved("it does not start")

        class PartialSystem(ReferenceSystem):
            def spawn(self) -> ReferenceProcess:
                if backend.lacks == "spawn":
                    raise Unresolved("it has died")
                process = super().spawn()
                if hasattr(process, backend.lacks):

                    def lacking(*arguments: object) -> None:
                        raise NotImplementedError

                    setattr(process, backend.lacks, lacking)
                return process

            def close(self) -> None:
                backend.closed += 1
                super().close()

        return PartialSystem(self.parameters, LinuxChoices())


@pytest.mark.parametrize("lacks", ["boot", "spawn", "mmap", "load", "mincore", "nothing"])
def test_experiment_with_execute_only_pages_ignores_other_failures(lacks: str) -> None:
    backend = PartialBackend(lacks)
    measured = measure_parameters(backend)

    assert measured.execute_only == ("SEGV_PKUERR" if lacks in ("mincore", "nothing") else "")
    assert not measured.populates_execute_only
    assert replace(measured, execute_only="") == stated_parameters(backend.facts())
    assert backend.closed == (lacks != "boot")


@pytest.mark.parametrize(
    ("code", "resident", "populates"),
    [
        ("SEGV_PKUERR", [False], False),
        ("SEGV_PKUERR", [True], True),
        ("SEGV_PKUERR", None, False),
        ("SEGV_ACCERR", [False], False),
        ("SEGV_ACCERR", [True], True),
        ("SEGV_ACCERR", None, True),
        ("SEGV_MAPERR", [True], None),
        ("BUS_ADRERR", [True], None),
    ],
)
def test_the_experiment_finds_the_fault_code_and_if_the_kernel_populates_the_page(
    code: str, resident: list[bool] | None, populates: bool | None
) -> None:
    class Odd(ReferenceProcess):
        def load(self, addr: int, length: int) -> bytes:
            raise Fault("SIGSEGV", code, addr)

        def mincore(self, addr: int, length: int) -> list[bool]:
            if resident is None:
                raise OSError(ENOSPC, "no mincore here")
            return resident

    result = measure_execute_only(Subject(Odd).spawn(), PAGE)
    assert result == ({} if populates is None else {"execute_only": code, "populates_execute_only": populates})


def test_the_native_system_in_lockstep() -> None:
    backend = LockstepBackend(NativeBackend(), "linux")
    try:
        system = backend.boot()
        process = system.spawn()
        assert system.machine.parameters.page == process.sysconf(SC_PAGESIZE)
        base = process.mmap(0, 3, RW, MAP_SHARED, file(process), 0)
        process.store(base + 2, b"Cd")
        process.munmap(base, 3)
        assert process.fork().exit(5) == 5
        assert system.uncompared is None
        assert backend.facts().name == "native"
        system.close()
    finally:
        backend.close()


# ----------------------------------------------------------------------------------------------------------- the plugin

CASE = """
from pytest_mmapconf.contract import *
from pytest_mmapconf.testing import clause

@clause("munmap.range")
def test_nothing_is_looked_at(process, page):
    base = process.mmap(0, 2 * page, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    process.store(base, bytes([7]) * (page + 1))
    process.munmap(base, page)

@clause("munmap.range")
def test_not_compared(process):
    process.open("/dev/zero", O_RDONLY)
"""

WRONG = """
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.process import ReferenceProcess

class Wrong(ReferenceBackend):
    def boot(self):
        machine = super().boot()
        machine.process_type = FreesTooMuch
        return machine

class FreesTooMuch(ReferenceProcess):
    def munmap(self, addr, length):
        super().munmap(addr, length)
        self.space.clear(addr + length, addr + length + self.page)
"""


@pytest.fixture
def run(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(wrong=WRONG, test_mine=CASE)
    return pytester


@pytest.mark.parametrize("option", ["command line", "ini", "none"])
def test_a_divergence_fails_a_case_that_sees_nothing_itself(run: pytest.Pytester, option: str) -> None:
    if option == "ini":
        run.makeini("[pytest]\nmmap_lockstep = true")
    arguments = ["--mmap-lockstep"] if option == "command line" else []
    result = run.runpytest_subprocess(
        "--mmap-backend=python:wrong:Wrong", "--mmap-report=report.json", "test_mine.py", *arguments
    )
    if option == "none":
        result.assert_outcomes(passed=2)
        return

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*Divergence: process 1: munmap(*, 4096), then load(*, 4096): SIGSEGV*",
            "*- address space of the implementation -*",
            "*- address space of the reference -*",
        ]
    )
    report = json.loads((run.path / "report.json").read_text())
    cases = {case["id"]: case for case in report["cases"]}
    assert "munmap.range" in cases["test_mine.nothing_is_looked_at"]["reason"]
    assert "/dev/zero" in cases["test_mine.not_compared"]["recorded"]["not compared"]


def test_the_reference_agrees_with_itself(run: pytest.Pytester) -> None:
    run.runpytest_subprocess("--mmap-backend=reference", "--mmap-lockstep", "test_mine.py").assert_outcomes(passed=2)


@pytest.mark.parametrize("keep", [True, False])
def test_what_mappings_keep_is_measured_and_modelled(keep: bool) -> None:
    """On overlayfs a mapping is of a file in the layer below, so that the close of the last descriptor ends a lock."""
    backend = ReferenceBackend()
    backend.parameters = replace(backend.parameters, mappings_keep_locks=keep)

    measured = measure_parameters(backend)

    assert measured.mappings_keep_locks is keep
    process = ReferenceSystem(measured, LinuxChoices()).spawn()
    watch_fd = process.open("file", O_RDWR | O_CREAT)
    watch = process.watch("file")
    process.flock(watch_fd, LOCK_EX | LOCK_NB)
    base = process.mmap(0, PAGE, RW, MAP_SHARED, watch_fd, 0)
    process.close(watch_fd)
    assert process.close_events(watch) == int(not keep)
    rival = process.open("file", O_RDWR)
    with suppress(OSError) if keep else nullcontext():
        process.flock(rival, LOCK_EX | LOCK_NB)
        assert not keep
    process.munmap(base, PAGE)
    assert process.close_events(watch) == int(keep)
    process.flock(rival, LOCK_EX | LOCK_NB)
