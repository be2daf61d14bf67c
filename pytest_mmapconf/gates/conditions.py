"""Conditions that restrict a mutant to a state: real faults often show in one state only.

A condition is a question about the call during which the mutant would act otherwise: which process makes it, which
mapping or file it is about, what has happened before.  `Observer` notes what that takes, in a copy of the reference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from ..reference import mutant as mutant_module
from ..reference.backend import ReferenceBackend
from ..reference.mutant import Mutant
from ..reference.process import ReferenceProcess
from ..trace.calls import BUFFERS, BY_ADDRESS, BY_DESCRIPTOR, CALLS

GIB: Final = 1 << 30


@dataclass
class Observer:
    """The call that a copy of the reference is making, as a condition sees it."""

    process: Any = None
    call: str = ""
    arguments: tuple[Any, ...] = ()
    depth: int = 0
    """Calls that are being made, one within another; only the outermost is noted."""
    forks: int = 0
    truncations: int = 0
    children: set[int] = field(default_factory=set)
    """The numbers of processes that were forked."""
    protected: Counter[tuple[int, int]] = field(default_factory=Counter)
    """By process and page number, the calls of mprotect that were about the page."""
    opened: Counter[int] = field(default_factory=Counter)
    """By the identity of a file, how often it was opened."""
    seen: Counter[str] = field(default_factory=Counter)
    """By mutant, how often it would have acted otherwise."""

    def begin(self) -> None:
        """Forget everything: a new system is booted."""
        self.__init__()  # type: ignore[misc]

    def install(self, package: str) -> None:
        """Note the calls of a copy of the reference."""
        mutant_module.patch(package, ReferenceBackend.boot, self.boot)
        for name in CALLS:
            method = getattr(ReferenceProcess, name, None)
            if method is not None and method.__module__.startswith(mutant_module.__package__ or ""):
                mutant_module.patch(package, method, partial(self.note, name))

    def boot(self, original: Callable[..., Any], *arguments: Any) -> Any:
        """Boot a system, of which nothing is known yet."""
        self.begin()
        return original(*arguments)

    def note(self, name: str, original: Callable[..., Any], process: Any, *arguments: Any, **keywords: Any) -> Any:
        """Make a call, and note it."""
        if self.depth:
            return original(process, *arguments, **keywords)
        self.process, self.call, self.arguments = process, name, arguments
        self.depth = 1
        try:
            result = original(process, *arguments, **keywords)
        finally:
            self.depth = 0
        if name == "fork":
            self.forks += 1
            self.children.add(result.number)
        elif name == "ftruncate":
            self.truncations += 1
        elif name == "mprotect":
            self.count_protection(process, *arguments)
        elif name == "open":
            self.opened[id(process.descriptors[result].description.inode)] += 1
        return result

    def count_protection(self, process: Any, addr: int, length: int, prot: int) -> None:
        """Count an mprotect of each page of its range, of the first sixteen."""
        first = addr // process.page
        for number in range(first, first + min(-(-length // process.page), 16)):
            self.protected[process.number, number] += 1

    # ---- what the call is about

    @property
    def addr(self) -> int | None:
        """The address that the call is about; None if it is about none."""
        at = 0 if self.call in BY_ADDRESS else 1 if self.call in BUFFERS else None
        if at is None or len(self.arguments) <= at or not isinstance(self.arguments[at], int):
            return None
        return int(self.arguments[at])

    @property
    def length(self) -> int:
        """The length of the range that the call is about; 1 if it has none."""
        more: Any = self.arguments[1] if len(self.arguments) > 1 else 1
        if self.call == "store":
            return max(len(more), 1)
        return max(more, 1) if isinstance(more, int) and self.call not in BUFFERS else 1

    @property
    def inode(self) -> Any:
        """The file that the call is about; None if it is about none."""
        number = None
        if self.call in BY_DESCRIPTOR or self.call in BUFFERS:
            number = self.arguments[0] if self.arguments else None
        elif self.call == "mmap" and len(self.arguments) == 6:
            number = self.arguments[4]
        descriptor = self.process.descriptors.get(number) if hasattr(self.process, "descriptors") else None
        if descriptor is not None:
            return descriptor.description.inode
        mapping = self.mapping
        return None if mapping is None else mapping.inode

    @property
    def mapping(self) -> Any:
        """The mapping that the call is about: at its address, or the first in its range, or of its file."""
        space = getattr(self.process, "space", None)
        if space is None:
            return None
        addr = self.addr
        if addr is not None:
            found = space.find(addr) or next(iter(space.over(addr, addr + min(self.length, 1 << 40))), None)
            if found is not None or self.call != "mmap":
                return found
        if self.call in BY_DESCRIPTOR or self.call == "mmap":
            number = self.arguments[4 if self.call == "mmap" else 0] if self.arguments else None
            descriptor = self.process.descriptors.get(number)
            mappings = getattr(descriptor.description.inode, "mappings", ()) if descriptor is not None else ()
            return next(iter(mappings), None)
        return None


OBSERVER: Final = Observer()
"""The observer of the copy that runs: only one runs at a time."""


# ---------------------------------------------------------------------------------------------------------- conditions


def after_fork(at: Observer) -> bool:
    """Only after a fork."""
    return at.forks > 0


def in_child(at: Observer) -> bool:
    """Only in a child."""
    return getattr(at.process, "number", None) in at.children


def second_mapping(at: Observer) -> bool:
    """Only for a file with a second mapping."""
    inode = at.inode
    return inode is not None and len(inode.mappings) > 1


def split_mapping(at: Observer) -> bool:
    """Only where a mapping was split."""
    mapping = at.mapping
    if mapping is None:
        return False
    find = mapping.space.find
    return any(
        other is not None
        and other is not mapping
        and (other.inode, other.shared, other.description) == (mapping.inode, mapping.shared, mapping.description)
        and other.offset - other.start == mapping.offset - mapping.start
        for other in (find(mapping.start - 1), find(mapping.end))
    )


def from_2_gib(at: Observer) -> bool:
    """Only from 2 GiB of the file on."""
    return reaches(at, 2 * GIB)


def from_4_gib(at: Observer) -> bool:
    """Only from 4 GiB of the file on."""
    return reaches(at, 4 * GIB)


def reaches(at: Observer, limit: int) -> bool:
    """Return True if the call is about a part of a file that reaches past a limit."""
    if at.call in ("mmap", "pread", "pwrite") and isinstance(at.arguments[-1], int) and at.arguments[-1] >= limit - GIB:
        return bool(at.arguments[-1] + at.length > limit)
    mapping = at.mapping
    if mapping is None or mapping.inode is None:
        return False
    return bool(mapping.offset + mapping.end - mapping.start > limit)


def last_page(at: Observer) -> bool:
    """Only where the range ends with the last of several pages."""
    addr, mapping = at.addr, at.mapping
    if addr is None or mapping is None or mapping.end - mapping.start <= mapping.space.page:
        return False
    page = mapping.space.page
    return bool(-(-(addr + at.length) // page) * page == mapping.end)


def after_protection(at: Observer) -> bool:
    """Only after two calls of mprotect on the page."""
    addr = at.addr
    mapping = at.mapping
    if addr is None or mapping is None:
        return False
    page = mapping.space.page
    numbers = range(addr // page, addr // page + min(-(-at.length // page), 16))
    return any(at.protected[at.process.number, number] > 1 for number in numbers)


def after_truncation(at: Observer) -> bool:
    """Only after a change of the size of a file."""
    return at.truncations > 0


def adjacent_mappings(at: Observer) -> bool:
    """Only for a mapping that has another next to it."""
    mapping = at.mapping
    if mapping is None:
        return False
    return mapping.space.find(mapping.start - 1) is not None or mapping.space.find(mapping.end) is not None


def reopened_file(at: Observer) -> bool:
    """Only for a file that was opened twice, or has no name."""
    inode = at.inode
    return inode is not None and inode.is_regular and (at.opened[id(inode)] > 1 or not inode.links)


def loaded_pages(at: Observer) -> bool:
    """Only for pages that were accessed before."""
    addr, space = at.addr, getattr(at.process, "space", None)
    if addr is None or space is None:
        return False
    page = space.page
    first = addr // page
    return bool(space.table.within(first, first + max(1, -(-min(at.length, 1 << 40) // page))))


CONDITIONS: Final[Mapping[str, Callable[[Observer], bool]]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        *(after_fork, in_child, second_mapping, split_mapping, from_2_gib, from_4_gib, last_page, after_protection),
        *(after_truncation, adjacent_mappings, reopened_file, loaded_pages),
    )
}
"""The conditions by name; a further one is "second-time"."""

SECOND_TIME: Final = "second-time"


@dataclass(frozen=True)
class ConditionalMutant(Mutant):
    """A mutant that is wrong under a condition only."""

    condition: str = ""

    def boot(self) -> ReferenceBackend:
        """Return a backend of it: a copy of the reference, changed and observed."""
        package = mutant_module.copied()
        mutant_module.patch(package, self.method, self.patched)
        OBSERVER.install(package)
        backend: ReferenceBackend = mutant_module.package_backend(package)
        backend.name = f"mutant:{self.id}"
        return backend


def conditional(mutant: Mutant, condition: str) -> ConditionalMutant:
    """Return a mutant that is wrong under a condition only."""
    id = f"{mutant.id}@{condition}"
    holds = CONDITIONS.get(condition)
    text = (holds.__doc__ or "") if holds else "Only the second time."

    def when(*arguments: Any, **keywords: Any) -> bool:
        if not OBSERVER.depth or not mutant.when(*arguments, **keywords):
            return False
        if holds is not None:
            return holds(OBSERVER)
        OBSERVER.seen[id] += 1
        return OBSERVER.seen[id] > 1

    base = replace(mutant, id=id, text=f"{mutant.text}; {text}", when=when)
    return ConditionalMutant(**vars(base), condition=condition)


def all_conditional(mutants: Iterable[Mutant]) -> dict[str, ConditionalMutant]:
    """Return every mutant with every condition, by id."""
    made = (conditional(mutant, name) for mutant in mutants for name in (*CONDITIONS, SECOND_TIME))
    return {mutant.id: mutant for mutant in made}
