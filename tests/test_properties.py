"""catalogue.properties and its experiments: each holds on the reference, and fails on a system without the property."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest

from pytest_mmapconf.catalogue.call_experiments import CALLS
from pytest_mmapconf.catalogue.clauses import load
from pytest_mmapconf.catalogue.properties import PROPERTIES, call_property
from pytest_mmapconf.contract import (
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_HUGETLB,
    MAP_POPULATE,
    MAP_SHARED,
    PROT_EXEC,
    PROT_READ,
    Process,
)
from pytest_mmapconf.reference.backend import ReferenceBackend


class Changed:
    """A process of the reference, of which some calls are replaced; each gets the process as its first argument."""

    def __init__(self, bits: int = 64, **calls: Callable[..., object]) -> None:
        self._process = ReferenceBackend(bits=bits).boot().spawn()
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        call = self._calls.get(name)
        return getattr(self._process, name) if call is None else lambda *arguments: call(self._process, *arguments)


def mmap_without(bit: int) -> Callable[..., int]:
    """Return an mmap that ignores a bit of its flags."""
    return lambda process, addr, length, prot, flags, fd, offset: process.mmap(
        addr, length, prot, flags & ~bit, fd, offset
    )


def mmap_refusing(bit: int, error: int = errno.EINVAL) -> Callable[..., int]:
    """Return an mmap that refuses a bit of its flags with an error."""

    def mmap(process: Process, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
        if flags & bit:
            raise OSError(error, "unknown flag")
        return process.mmap(addr, length, prot, flags, fd, offset)

    return mmap


def mmap_without_room(process: Process, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
    """An mmap below a limit of address space."""
    if length > 1 << 29:
        raise OSError(errno.ENOMEM, "past the limit")
    return process.mmap(addr, length, prot, flags, fd, offset)


def mmap_adding(right: int) -> Callable[..., int]:
    """Return an mmap that adds a right to the protection."""
    return lambda process, addr, length, prot, flags, fd, offset: process.mmap(
        addr, length, prot | right, flags, fd, offset
    )


def mmap_refusing_protection(bit: int) -> Callable[..., int]:
    """Return an mmap that refuses a bit of its protection."""

    def mmap(process: Process, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
        if prot & bit:
            raise OSError(errno.ENOTSUP, "not together")
        return process.mmap(addr, length, prot, flags, fd, offset)

    return mmap


def write_once(process: Process, fd: int, data: bytes, offset: int) -> int:
    """Write to an empty file only; return the number of bytes as if they had been written."""
    return process.pwrite(fd, data, offset) if not process.fstat(fd).size else len(data)


def refuse(*_: object) -> None:
    raise OSError(errno.ENOSYS, "not implemented")


def no_memory(*_: object) -> None:
    raise OSError(errno.ENOMEM, "not all of the range is mapped")


def invalid(*_: object) -> None:
    raise OSError(errno.EINVAL, "no such flag")


def mmap_at_one_place(process: Process, *_: object) -> int:
    """Return an address however many mappings there are."""
    return 4096


def mmap_at_hint(process: Process, addr: int, *_: object) -> int:
    """Return the address asked for, wherever it is."""
    return addr


def mmap_without_file(process: Process, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
    """Map memory whatever the file is."""
    return process.mmap(addr, length, prot, flags | MAP_ANONYMOUS, -1, 0)


def nothing(*_: object) -> None:
    pass


def munmap_refusing_second(process: Process, addr: int, length: int) -> None:
    """A munmap that refuses a range of which the first page is not mapped."""
    if length > 4096:
        refuse()
    process.munmap(addr, length)


def open_without_description(process: Process, fd: int) -> None:
    process.flock(fd, 8)  # what a mapping keeps of the description is then not its lock
    process.close(fd)


LACKING: list[tuple[str, dict[str, Any]]] = [
    ("anonymous-memory", {"mmap": mmap_refusing(MAP_ANONYMOUS)}),
    ("reservation", {"mmap": mmap_adding(PROT_READ)}),
    ("reservation", {"mmap": refuse}),
    ("shared-mapping", {"mmap": mmap_refusing(MAP_SHARED)}),
    ("fixed", {"mmap": mmap_without(MAP_FIXED)}),
    ("fixed", {"mmap": mmap_refusing(MAP_FIXED)}),
    ("noreplace", {"mmap": mmap_without(MAP_FIXED_NOREPLACE)}),
    ("noreplace", {"mmap": mmap_refusing(MAP_FIXED_NOREPLACE)}),
    ("unmapped-code", {"munmap": lambda process, addr, length: process.mprotect(addr, length, 0)}),
    ("fork", {"fork": refuse}),
    ("no-execute", {"execute": nothing}),
    ("remove-advice", {"madvise": refuse}),
    ("remove-advice", {"madvise": nothing}),
    ("address-space-limit", {"set_limit_headroom": nothing}),
    ("locked-memory-limit", {"set_limit_headroom": nothing}),
    ("locked-memory-limit", {"mlock": refuse}),
    ("locks-follow-mapped-file", {"close": open_without_description}),
    ("invalidate-busy", {"mlock": nothing}),
    ("invalidate-busy", {"msync": refuse}),
    ("residency", {"mincore": lambda process, addr, length: [True] * (length // 4096)}),
    ("aligned-ranges", {"munmap": nothing}),
    ("aligned-ranges", {"msync": nothing}),
    ("known-advice", {"madvise": nothing}),
    ("shared-validate", {"mmap": mmap_refusing(MAP_SHARED)}),
    ("droppable-memory", {"mmap": mmap_refusing(MAP_DROPPABLE)}),
    ("old-size-zero", {"mremap": refuse}),
    ("new-size-zero", {"mremap": no_memory}),
    ("no-room", {"mmap": mmap_at_one_place}),
    ("no-room", {"mmap": mmap_refusing(MAP_ANONYMOUS)}),
    ("noexec-mount", {"mmap": mmap_refusing_protection(PROT_EXEC)}),
    ("unmappable-proc-file", {"mmap": mmap_without_file}),
    ("populate", {"mmap": mmap_without(MAP_POPULATE)}),
    ("lock-on-fault", {"mlock2": invalid}),
    ("size-changes-seen", {"ftruncate": nothing}),
    ("size-changes-seen", {"ftruncate": lambda process, fd, length: length > 4096 and process.ftruncate(fd, length)}),
    ("private-follows", {"pwrite": write_once}),
    ("coherent", {"store": nothing}),
    ("holes", {"munmap": munmap_refusing_second}),
    ("write-exec", {"mmap": mmap_refusing_protection(PROT_EXEC)}),
    ("msync-without-type", {"msync": refuse}),
    ("unaligned-locks", {"mlock": refuse}),
    ("unaligned-locks", {"munlock": refuse}),
    ("native-width", {"bits": 32, "munlock": no_memory, "madvise": no_memory, "msync": no_memory}),
    ("upper-addresses-outside", {"mmap": mmap_at_hint, "munmap": nothing}),
    ("evictable-pages", {"drop_cache": nothing}),
    ("huge-pages", {"mmap": mmap_refusing(MAP_HUGETLB)}),
    ("huge-pages", {"mmap": mmap_refusing(MAP_HUGETLB, errno.ENOENT)}),
    ("large-mappings", {"mmap": mmap_without_room}),
    ("moves-if-needed", {"mremap": lambda process, base, *_: base + 4096}),
    ("moves-if-needed", {"mremap": refuse}),
    *((call_property(call), {call: refuse}) for call in CALLS),
]
"""Systems that lack a property: its name, and the arguments of `Changed`."""


@pytest.mark.parametrize("name", PROPERTIES)
def test_property_holds_on_the_reference(name: str) -> None:
    system = ReferenceBackend().boot()
    assert PROPERTIES[name].observe(system, system.spawn()) is True


@pytest.mark.parametrize("calls", [{"munlock": no_memory}, {"madvise": no_memory}, {"msync": no_memory}])
def test_one_of_three_calls_shows_the_width(calls: dict[str, Any]) -> None:
    others = {name: no_memory for name in ("munlock", "madvise", "msync") if name not in calls}
    for lacking in (others, calls):
        changed: Any = Changed(bits=32, **lacking)
        assert PROPERTIES["native-width"].observe(ReferenceBackend().boot(), changed) is True


@pytest.mark.parametrize(("name", "calls"), LACKING)
def test_property_does_not_hold_on_a_system_without_it(name: str, calls: dict[str, Any]) -> None:
    changed: Any = Changed(**calls)
    assert PROPERTIES[name].observe(ReferenceBackend().boot(), changed) is False


def test_each_experiment_can_fail() -> None:
    assert {name for name, _ in LACKING} == set(PROPERTIES)


@pytest.mark.parametrize("property", PROPERTIES.values(), ids=lambda property: property.name)
def test_property_is_described(property: Any) -> None:
    assert property.text.endswith(".")
    assert set(property.clauses) <= set(load())
