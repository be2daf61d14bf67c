"""Conforming variants of the reference: what each has, lacks, and does differently."""

from __future__ import annotations

import pytest

from pytest_mmapconf import backends
from pytest_mmapconf.contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    O_CREAT,
    O_RDWR,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    SC_PAGESIZE,
    Facility,
    Fault,
    Process,
    Unsupported,
)
from pytest_mmapconf.reference.variants import VARIANTS, VariantBackend
from pytest_mmapconf.trace.calls import invoke

RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS


def spawn(name: str) -> Process:
    return VariantBackend(VARIANTS[name]).boot().spawn()


def new_file(process: Process, pages: int = 1) -> int:
    fd = process.open("f", O_RDWR | O_CREAT)
    process.ftruncate(fd, pages * process.sysconf(SC_PAGESIZE))
    return fd


@pytest.mark.parametrize("name", VARIANTS)
def test_variant_is_a_backend_with_a_text_and_a_source(name: str) -> None:
    variant = VARIANTS[name]
    backend = backends.make(f"reference:{name}")

    assert backend.name == f"reference:{name}"
    assert variant.text
    assert variant.source
    assert backend.facts().details["page"] == str(backend.boot().spawn().sysconf(SC_PAGESIZE))


@pytest.mark.parametrize("name", VARIANTS)
def test_lacking_calls_are_unsupported(name: str) -> None:
    process = spawn(name)

    for call in VARIANTS[name].lacks:
        with pytest.raises(Unsupported, match=f"has no {call}"):
            getattr(process, call)()


def test_names_of_the_lacking_calls_are_those_of_the_contract() -> None:
    for variant in VARIANTS.values():
        for call in variant.lacks:
            assert hasattr(Process, call)


def test_facts_name_the_system_that_is_played() -> None:
    details = VariantBackend(VARIANTS["macos"]).facts().details

    assert details["kernel"].startswith("Darwin")
    assert details["page"] == "16384"
    assert "kernel" not in VariantBackend(VARIANTS["no-fork"]).facts().details


def test_anonymous_only_maps_no_file() -> None:
    process = spawn("anonymous-only")

    base = process.mmap(0, 4096, RW, ANONYMOUS, -1, 0)
    process.store(base, b"x")
    with pytest.raises(Unsupported):
        process.mmap(0, 4096, RW, MAP_SHARED, 0, 0)


def test_files_only_maps_no_anonymous_memory() -> None:
    process = spawn("files-only")

    process.mmap(0, 4096, RW, MAP_SHARED, new_file(process), 0)
    with pytest.raises(Unsupported):
        process.mmap(0, 4096, RW, ANONYMOUS, -1, 0)


def test_no_fixed_has_no_fixed_address() -> None:
    with pytest.raises(Unsupported):
        spawn("no-fixed").mmap(1 << 30, 4096, RW, ANONYMOUS | MAP_FIXED, -1, 0)


def test_small_memory_is_1_mib() -> None:
    process = spawn("small-memory")

    process.mmap(0, 800 << 10, RW, ANONYMOUS, -1, 0)
    with pytest.raises(OSError, match="no gap"):
        process.mmap(0, 800 << 10, RW, ANONYMOUS, -1, 0)


def test_protection_that_pages_cannot_have_is_unsupported() -> None:
    process = spawn("macos")
    base = process.mmap(0, 16384, RW, ANONYMOUS, -1, 0)

    with pytest.raises(Unsupported):
        process.mmap(0, 16384, RW | PROT_EXEC, ANONYMOUS, -1, 0)
    with pytest.raises(Unsupported):
        process.mprotect(base, 16384, RW | PROT_EXEC)
    process.mprotect(base, 16384, PROT_READ | PROT_EXEC)


def test_lacking_facility_is_unsupported() -> None:
    with pytest.raises(Unsupported):
        VariantBackend(VARIANTS["macos"]).boot().facility(Facility.DEV_ZERO)


@pytest.mark.parametrize("access", ["load", "store", "execute"])
def test_fault_ends_the_process(access: str) -> None:
    system = VariantBackend(VARIANTS["faults-kill"]).boot()
    process = system.spawn()
    base = process.mmap(0, 4096, PROT_NONE, ANONYMOUS, -1, 0)

    with pytest.raises(Fault):
        invoke(process, access, {"load": (base, 1), "store": (base, b"x")}.get(access, (base,)))
    with pytest.raises(Unsupported, match="a fault has ended the process"):
        process.munmap(base, 4096)
    system.close()


def test_call_with_an_inaccessible_buffer_does_not_end_the_process() -> None:
    process = spawn("faults-kill")
    fd = new_file(process)
    base = process.mmap(0, 4096, PROT_NONE, ANONYMOUS, -1, 0)

    for call in (process.read_into, process.write_from):
        with pytest.raises(OSError, match="buffer"):
            call(fd, base, 4, 0)
    process.munmap(base, 4096)


def test_fault_without_details() -> None:
    process = spawn("no-fault-details")
    base = process.mmap(0, 4096, PROT_NONE, ANONYMOUS, -1, 0)

    with pytest.raises(Fault) as caught:
        process.load(base, 1)
    assert (caught.value.signal, caught.value.code, caught.value.address) == ("SIGSEGV", "SI_KERNEL", None)


def test_fork_of_a_variant_is_one_too() -> None:
    process = spawn("faults-kill")
    base = process.mmap(0, 4096, PROT_NONE, ANONYMOUS, -1, 0)
    child = process.fork()

    with pytest.raises(Fault):
        child.load(base, 1)
    with pytest.raises(Unsupported):
        child.munmap(base, 4096)
    process.munmap(base, 4096)
