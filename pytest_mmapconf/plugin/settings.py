"""The settings of a run: every option of the command line and the ini file, checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..catalogue.clauses import LEVELS, Clause, included, load
from ..contract import Backend, Facts
from .guarded_backend import GuardedBackend
from .observed_properties import ObservedProperties
from .search_folder import NOWHERE, Beginning
from .search_plan import NO_SEARCH, Plan

if TYPE_CHECKING:
    from ..catalogue.scope import Scope
    from ..differential.reproducers import Judge
    from ..expectations.file import Entry
    from ..trace.program import Program
    from ..trace.recorder import RecordedBackend


@dataclass(frozen=True)
class Settings:
    """The checked options, and the objects created from them."""

    backend_name: str
    """The value of --mmap-backend."""
    backend: RecordedBackend
    """The backend under test; its calls are recorded, and compared with the reference for --mmap-lockstep."""
    level: str
    clauses: dict[str, Clause]
    """The clauses that are judged: of the level, and of --mmap-clause."""
    narrowed: bool
    """True if --mmap-clause was given."""
    reports: tuple[Path, ...]
    plan: Plan = NO_SEARCH
    """The search that was asked for, if any."""
    beginning: Beginning = NOWHERE
    """The seed of the search, and the number of its first part."""
    subject: Backend | None = None
    """The backend under test, without the wrappers of `backend` that compare and record."""
    reproducers: str = ""
    """--mmap-reproducers: the directory, as the user named it; empty for none."""
    program: tuple[str, Program] | None = None
    """--mmap-replay: the file, as the user named it, and its program."""
    judge: Judge | None = None
    """Judges programs on the backend; None without --mmap-replay and --mmap-reproducers."""
    shard: Shard | None = None
    """--mmap-shard."""
    expectations: tuple[Entry, ...] = ()
    """The entries of --mmap-expectations."""
    update: bool = False
    """--mmap-update-expectations."""
    scope: Scope | None = None
    """--mmap-scope."""
    has_used_processes: bool = False
    """--mmap-process=used."""

    @property
    def bare(self) -> Backend:
        """The backend under test, without wrappers."""
        return self.subject or self.backend

    @property
    def has_user_code(self) -> bool:
        """True if the backend is code of the user in this process, which may print and log."""
        return isinstance(self.subject, GuardedBackend)

    @cached_property
    def for_cases(self) -> Backend:
        """The backend that cases are given: its processes are new ones, or used ones."""
        if not self.has_used_processes:
            return self.backend
        from ..trace.used_process import UsedBackend

        return UsedBackend(self.backend, self.promises_call)

    def promises_call(self, call: str) -> bool:
        """Return True if the scope promises a call; mprotect also has to be judged by the level."""
        is_of_level = call != "mprotect" or self.level != LEVELS[0]
        return is_of_level and (self.scope is None or self.scope.promises("calls", call))

    @cached_property
    def facts(self) -> Facts:
        """The facts that the backend reports, and the kind of processes if it is an unusual one.

        Starts the implementation, and passes on its exceptions.
        """
        from ..trace.adapter import checked_facts

        facts = checked_facts(self.backend)
        return replace(facts, details={**facts.details, "processes": "used"}) if self.has_used_processes else facts

    @cached_property
    def properties(self) -> ObservedProperties:
        """The properties of the system under test that have been observed."""
        return ObservedProperties(self.bare)

    def asks_for(self, ids: Iterable[str]) -> bool:
        """Return True if a case of these clauses runs: all are of the level, and one of them is selected."""
        levels = included(self.level)
        catalogue = load()
        ids = list(ids)
        return all(catalogue[id].level in levels for id in ids) and any(id in self.clauses for id in ids)


class Shard(NamedTuple):
    """One of `of` parts of the cases.  The name alone determines the part of a case."""

    number: int
    """From 1."""
    of: int

    def has(self, name: str) -> bool:
        """Return True if the case of this name is in this part."""
        return int.from_bytes(sha256(name.encode()).digest()) % self.of == self.number - 1
