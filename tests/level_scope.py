"""The calls and flags that each level has, and a backend that writes down which of them a case uses.

Loaded as a plugin of pytest (`-p level_scope`) in a run on ``python:level_scope:WatchedBackend``, it writes a line for
each case to uses.jsonl: the case's id, its clauses, the properties that it needs, and what it has used.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from typing import Any, Final

import pytest

from pytest_mmapconf import testing
from pytest_mmapconf.contract import Call, Map, Mremap, Process, Prot, System
from pytest_mmapconf.plugin.needed_properties import needs_of_item
from pytest_mmapconf.plugin.set_up_calls import SET_UP
from pytest_mmapconf.plugin.stash import CASE
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.trace.calls import forward_calls
from pytest_mmapconf.trace.wrapping import WrappingBackend

LEVEL_USES: Final[dict[str, frozenset[str]]] = {
    "documented": frozenset(
        {
            *("mmap", "munmap", "mremap", "msync", "sysconf", "load", "store", "execute", "add"),
            *("MAP_SHARED", "MAP_PRIVATE", "MAP_FIXED", "MREMAP_MAYMOVE"),
        }
    ),
    "posix": frozenset(
        {
            *("mprotect", "mlock", "munlock", "mlockall", "munlockall", "read_into", "write_from"),
            *("MAP_ANONYMOUS", "no type", "si_code"),
        }
    ),
}
"""What each level has in addition to those before it; level linux has everything."""

PROPERTY_USES: Final[dict[str, frozenset[str]]] = {
    "anonymous-memory": frozenset({"MAP_ANONYMOUS"}),
    "locked-memory-limit": frozenset({"mlock"}),
    "residency": frozenset({"mincore"}),
    "invalidate-busy": frozenset({"mlock"}),
}
"""What a case may use that needs a property, whatever its level."""

ALWAYS: Final = SET_UP | {"fragment"}
"""Calls that make what a case needs: files, processes, limits, many mappings."""

USES: set[str] = set()
"""What the case that runs has used."""


def allowed_uses(level: str, properties: list[str]) -> set[str]:
    """Return what a case of a level may use that needs these properties; level is documented or posix."""
    levels = ["documented"] if level == "documented" else ["documented", "posix"]
    granted = (PROPERTY_USES[name] for name in properties if name in PROPERTY_USES)
    return set(ALWAYS).union(*(LEVEL_USES[name] for name in levels), *granted)


def uses_of(call: str, arguments: tuple[Any, ...]) -> Iterator[str]:
    """Yield a call and the flags of its arguments."""
    yield call
    if call == "mmap":
        prot, flags = arguments[2], arguments[3]
        kind = flags & 15
        yield "no type" if not kind else f"MAP_{Map(kind).name}"
        yield from (f"MAP_{flag.name}" for flag in Map(flags & ~15))
        yield from (f"PROT_{right.name}" for right in Prot(prot & ~7))
    elif call == "mremap":
        yield from (f"MREMAP_{flag.name}" for flag in Mremap(arguments[3] & 7))
        if not arguments[1]:
            yield "old size 0"


class WatchedProcess(Process):
    """A process of the reference that writes down what it is asked."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.bits = process.bits

    def _make(self, call: str, arguments: tuple[Any, ...]) -> Any:
        USES.update(uses_of(call, arguments))
        if call == "record_lock":
            return self._process.record_lock(arguments[0], ofd=arguments[1])
        result = getattr(self._process, call)(*arguments)
        return WatchedProcess(result) if isinstance(result, Process) else result


forward_calls(WatchedProcess, WatchedProcess._make)


class WatchedSystem(System):
    """A system of the reference with watched processes."""

    def __init__(self, system: System) -> None:
        self._system = system

    def __getattribute__(self, name: str) -> Any:
        own = name.startswith("_") or name in vars(WatchedSystem)
        return object.__getattribute__(self, name) if own else getattr(self._system, name)

    def spawn(self) -> Process:
        return WatchedProcess(self._system.spawn())

    def run_concurrently(self, calls: Any) -> list[object]:
        for call in calls:
            USES.update(uses_of(call.name, call.arguments))
        return self._system.run_concurrently([Call(call.process._process, call.name, call.arguments) for call in calls])


class WatchedBackend(WrappingBackend):
    """The reference, watched."""

    def __init__(self) -> None:
        super().__init__(ReferenceBackend())

    def boot(self) -> System:
        return WatchedSystem(self.subject.boot())


class WatchedFaults(testing.faults):
    """Writes down what a case expects of a fault in addition to its signal."""

    def __init__(self, signal: str, *, at: int | None = None, code: str | None = None) -> None:
        USES.update(name for name, value in (("si_addr", at), ("si_code", code)) if value is not None)
        super().__init__(signal, at=at, code=code)


testing.faults = WatchedFaults  # type: ignore[misc]  # before the cases import it


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    USES.clear()
    try:
        return (yield)
    finally:
        name = item.stash[CASE]
        with open("uses.jsonl", "a", encoding="utf-8") as file:
            print(json.dumps([name.id, name.clauses, needs_of_item(item), sorted(USES)]), file=file)
