"""Schedulers for pytest-xdist that lose no case when a worker dies, and never wait for a dead worker.

The schedulers of xdist 3.8.0 have these defects, each of which was observed:

* In every mode, sending work to a worker that has died ends the run with an OSError (see `tolerate_dead_worker`).
* loadscope, loadfile and loadgroup run the case in which a worker died again, and the replacement dies in it too.  A
  group of one case that goes to a new worker waits forever for a next case.  A worker that has started, but has not yet
  reported its collection, receives work, which ends the run with a KeyError.
* each has the last defect too.  It also loses the remaining cases of a worker whose replacement dies, and may give one
  worker's cases to the replacement of another, although the two may judge different systems.

The classes below change only that.  A run with `--mmap-backend` uses them, unless a conftest file provides another
scheduler.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import pytest
from xdist.scheduler import (  # type: ignore[import-untyped]
    EachScheduling,
    LoadFileScheduling,
    LoadGroupScheduling,
    LoadScopeScheduling,
)

Worker: TypeAlias = Any
"""xdist's WorkerController; xdist has no type annotations for mypy."""


class ByScope(LoadScopeScheduling):  # type: ignore[misc]
    """--dist=loadscope: a unit of work is the cases of one scope, or those that remain when its worker dies."""

    def remove_node(self, node: Worker) -> str | None:
        units = {
            scope: remaining
            for scope, unit in self.assigned_work.pop(node).items()
            if (remaining := {nodeid: done for nodeid, done in unit.items() if not done})
        }
        if self.collection is None:  # no work is assigned yet, and the scheduler waits for the replacement
            self.registered_collections.pop(node, None)
        crashed = None
        if units:
            scope, unit = next(iter(units.items()))
            crashed = next(iter(unit))
            del unit[crashed]
            if not unit:
                del units[scope]
        self.workqueue.update(units)
        for other in self.nodes:
            self._reschedule(other)
        return crashed

    def _assign_work_unit(self, node: Worker) -> None:
        self.assigned_work[node].pop(next(iter(self.workqueue)), None)  # finished; the units stay in order
        super()._assign_work_unit(node)

    def _reschedule(self, node: Worker) -> None:
        if node.shutting_down or node not in self.registered_collections:
            return
        while self.workqueue and self._pending_of(self.assigned_work[node]) <= 2:
            self._assign_work_unit(node)
        if not self.workqueue:
            node.shutdown()


class ByFile(ByScope, LoadFileScheduling):  # type: ignore[misc]
    """--dist=loadfile."""


class ByGroup(ByScope, LoadGroupScheduling):  # type: ignore[misc]
    """--dist=loadgroup."""


class Each(EachScheduling):  # type: ignore[misc]
    """--dist=each: the remaining cases of a worker that dies go to its replacement, any number of times."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.replacements: set[Worker] = set()
        """Workers that started after the cases were assigned."""

    def add_node_collection(self, node: Worker, collection: Sequence[str]) -> None:
        if not self.collection_is_completed:
            super().add_node_collection(node, collection)
            return
        self.replacements.add(node)
        self.node2collection[node] = list(collection)
        for dead in self._removed2pending:
            if dead.gateway.spec is node.gateway.spec:
                pending = self._removed2pending.pop(dead)
                if self.node2collection[dead] == self.node2collection[node]:
                    self.node2pending[node] = pending
                return

    def remove_node(self, node: Worker) -> Any:
        if not self.collection_is_completed:  # no work is assigned yet, and the scheduler waits for the replacement
            self.node2collection.pop(node, None)
        return super().remove_node(node)

    def schedule(self) -> None:
        for node, pending in self.node2pending.items():
            if node in self._started or node not in self.node2collection:
                continue
            if node not in self.replacements:
                pending[:] = range(len(self.node2collection[node]))
            if pending:
                node.send_runtest_some(pending)
            node.shutdown()
            self._started.append(node)


def tolerate_dead_worker(node: Worker) -> None:
    """Make commands to a dead worker have no effect, instead of ending the controller with an OSError.

    xdist reports the death by a separate event, after which the worker's cases go to other workers.
    """
    send = node.sendcommand

    def sendcommand(name: str, **arguments: object) -> None:
        with suppress(OSError):
            send(name, **arguments)

    node.sendcommand = sendcommand


SCHEDULERS: dict[str, Any] = {"loadscope": ByScope, "loadfile": ByFile, "loadgroup": ByGroup, "each": Each}


def make_scheduler(config: pytest.Config, log: Any) -> object:
    """Return the scheduler for --dist; None if xdist's own has no defect in that mode."""
    scheduler = SCHEDULERS.get(config.getoption("dist"))
    return scheduler(config, log) if scheduler else None
