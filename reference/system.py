"""The reference as a system of the contract: it starts processes and ends them, crashes, and has facilities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from ..contract import Call, Facility, System, Unsupported
from .files import Descriptor
from .machine import PATHS, Machine
from .process import ReferenceProcess

LOW_MAP_COUNT: Final = 256
"""The mapping limit of a system that was asked for it: so low that a case reaches it soon."""


class ReferenceSystem(Machine, System):
    """A booted reference."""

    process_type: type[ReferenceProcess] = ReferenceProcess
    """The class of its processes."""

    # ------------------------------------------------------------------------------------------------------- processes

    def spawn(self) -> ReferenceProcess:
        process = self.process_type(self)
        process.descriptors = {fd: Descriptor(self.terminal, False) for fd in range(3)}
        return process

    def run_concurrently(self, calls: Sequence[Call]) -> list[object]:
        """Additions take turns; the other calls are made one after the other."""
        running = {}
        results: list[object] = []
        for at, call in enumerate(calls):
            if call.name == "add" and isinstance(call.process, ReferenceProcess):
                running[at] = call.process.add_slices(*call.arguments)  # type: ignore[arg-type]
                results.append(None)
            else:
                results.append(call.make())
        while running:
            for at, turns in list(running.items()):
                if next(turns, running) is running:
                    del running[at]
        return results

    def close(self) -> None:
        for process in list(self.processes):
            process.end()

    # ------------------------------------------------------------------------------------------------------ facilities

    def facility(self, facility: Facility) -> str:
        if facility not in PATHS:
            raise Unsupported(f"the reference has no facility {facility}")
        return PATHS[facility]

    def crash(self) -> None:
        self.close()
        file_system = self.mount("crashing")
        assert file_system is not None
        file_system.crash(self.choices)

    @contextmanager
    def full_file_table(self) -> Iterator[None]:
        limit = self.file_table.limit
        self.file_table.limit = 0
        try:
            yield
        finally:
            self.file_table.limit = limit

    def mapping_limit(self) -> int:
        self.max_map_count = min(self.max_map_count, LOW_MAP_COUNT)
        return self.max_map_count
