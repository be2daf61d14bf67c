"""The settings of a run: every option of the command line and the ini file, checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..catalogue.clauses import Clause, included, load
from ..contract import Backend, Facts

if TYPE_CHECKING:
    from ..differential.reproducers import Judge
    from ..expectations.file import Entry
    from ..trace.program import Program


@dataclass(frozen=True)
class Settings:
    """Every option, checked."""

    backend_name: str
    """What the user wrote."""
    backend: Backend
    level: str
    clauses: dict[str, Clause]
    """The clauses that are judged: of the level, and of --mmap-clause."""
    narrowed: bool
    """Whether --mmap-clause was given."""
    reports: tuple[Path, ...]
    steps: int = 0
    """--mmap-steps: how many steps random programs make in all; 0 for a quick look."""
    subject: Backend | None = None
    """The backend by itself, where `backend` is one around it, which compares or records; else None."""
    reproducers: str = ""
    """--mmap-reproducers: the folder, as the user calls it; empty for none."""
    program: tuple[str, Program] | None = None
    """--mmap-replay: the file, as the user calls it, and what it holds."""
    judge: Judge | None = None
    """Judges programs on the backend; there with --mmap-replay and --mmap-reproducers."""
    shard: Shard | None = None
    """--mmap-shard."""
    expectations: tuple[Entry, ...] = ()
    """What --mmap-expectations has on record."""
    update: bool = False
    """--mmap-update-expectations."""

    @property
    def bare(self) -> Backend:
        """The backend by itself."""
        return self.subject or self.backend

    @cached_property
    def facts(self) -> Facts:
        """Who is judged.  Starts the implementation; raises what that raises."""
        return self.backend.facts()

    def asks_for(self, ids: Iterable[str]) -> bool:
        """Whether a case of these clauses is run: each is of the level, and one of them is judged."""
        levels = included(self.level)
        catalogue = load()
        ids = list(ids)
        return all(catalogue[id].level in levels for id in ids) and any(id in self.clauses for id in ids)


class Shard(NamedTuple):
    """A part of the cases: each is in one of `of` parts by its name, whatever others there are."""

    number: int
    """From 1."""
    of: int

    def has(self, name: str) -> bool:
        """Whether what has this name is in this part."""
        return int.from_bytes(sha256(name.encode()).digest()) % self.of == self.number - 1
