"""Schedulers of pytest-xdist that lose no case when a worker dies, and never wait for a dead worker.

Measured with xdist 3.8.0:

* in every mode, sending work to a worker that has died ends the run with an OSError (see `tolerate_dead_worker`);
* loadscope, loadfile and loadgroup run the case again that a worker died in, and its new worker dies of it too; a
  group of one case, handed to a new worker, waits for ever for a next one; and a worker that has said that it is there
  and not yet what it has collected is given work, which ends the run with a KeyError;
* each does that too; it loses what is left of a worker that dies for the second time, and may hand one worker's cases
  to the replacement of another, though the two may judge different systems.

The classes here change just that.  They are used wherever `--mmap-backend` is, unless a conftest file has another.
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
"""xdist's WorkerController; xdist tells mypy no types."""


class ByScope(LoadScopeScheduling):  # type: ignore[misc]
    """--dist=loadscope: a unit of work is the cases of one scope, and what is left of it when its worker dies."""

    def remove_node(self, node: Worker) -> str | None:
        units = {
            scope: left
            for scope, unit in self.assigned_work.pop(node).items()
            if (left := {nodeid: done for nodeid, done in unit.items() if not done})
        }
        if self.collection is None:  # nothing has been handed out; its replacement is waited for
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
        self.assigned_work[node].pop(next(iter(self.workqueue)), None)  # done; so that units are in the order of work
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
    """--dist=each: what is left of a worker goes to the one that replaces it, as often as that is."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.replacing: set[Worker] = set()
        """Workers that came after the cases had been handed out."""

    def add_node_collection(self, node: Worker, collection: Sequence[str]) -> None:
        if not self.collection_is_completed:
            super().add_node_collection(node, collection)
            return
        self.replacing.add(node)
        self.node2collection[node] = list(collection)
        for dead in self._removed2pending:
            if dead.gateway.spec is node.gateway.spec:
                pending = self._removed2pending.pop(dead)
                if self.node2collection[dead] == self.node2collection[node]:
                    self.node2pending[node] = pending
                return

    def remove_node(self, node: Worker) -> Any:
        if not self.collection_is_completed:  # nothing has been handed out; its replacement is waited for
            self.node2collection.pop(node, None)
        return super().remove_node(node)

    def schedule(self) -> None:
        for node, pending in self.node2pending.items():
            if node in self._started or node not in self.node2collection:
                continue
            if node not in self.replacing:
                pending[:] = range(len(self.node2collection[node]))
            if pending:
                node.send_runtest_some(pending)
            node.shutdown()
            self._started.append(node)


def tolerate_dead_worker(node: Worker) -> None:
    """Lets the controller outlive a worker: what is sent to one that has died is lost.

    That it has died is told by an event of its own, upon which all that it had been given goes to others.
    """
    send = node.sendcommand

    def sendcommand(name: str, **arguments: object) -> None:
        with suppress(OSError):
            send(name, **arguments)

    node.sendcommand = sendcommand


SCHEDULERS: dict[str, Any] = {"loadscope": ByScope, "loadfile": ByFile, "loadgroup": ByGroup, "each": Each}


def make_scheduler(config: pytest.Config, log: Any) -> object:
    """The scheduler for --dist; None where xdist's own will do."""
    scheduler = SCHEDULERS.get(config.getoption("dist"))
    return scheduler(config, log) if scheduler else None
