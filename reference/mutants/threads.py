"""Mutants of threads: translations that a call does not drop, faults that are lost, copies that are not atomic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..mutant import NO_KNOWN_BUG, Mutant, Original
from ..process import ReferenceProcess


def stale(
    id: str,
    method: Original,
    clause: str,
    text: str,
    *also: str,
    pages: Callable[[int], bool] = lambda number: True,
    bug: str = NO_KNOWN_BUG,
) -> Mutant:
    """Make a mutant in which a call does not drop the translations of the other threads, of some `pages`."""

    def change(original: Original, self: Any, *arguments: Any, **keywords: Any) -> Any:
        others = [cache for cache in self.space.table.caches if cache is not self.translations]
        kept = [{key: entry for key, entry in cache.entries.items() if pages(key[0])} for cache in others]
        result = original(self, *arguments, **keywords)
        for cache, entries in zip(others, kept, strict=True):
            cache.entries.update(entries)
        return result

    return Mutant(id, (clause, *also), bug, text, method, change)


STALE = (
    stale(
        "munmap-leaves-translations",
        ReferenceProcess.munmap,
        "threads.munmap",
        "munmap drops the translations of the thread that calls it only",
    ),
)
