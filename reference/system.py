"""The reference as a system of the contract: it starts processes and ends them, crashes, and has facilities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Final

from ..contract import Call, Facility, Fault, System, Unsupported
from ..trace.outcome_text import KEPT, outcome_text, result_text
from .files import Descriptor
from .machine import PATHS, Machine
from .process import ReferenceProcess

LOW_MAP_COUNT: Final = 256
"""The mapping limit of a system that was asked for it: so low that a case reaches it soon."""


ROUNDS: Final = 16
"""The most rounds of `together`: each makes the calls in another order."""


class ReferenceSystem(Machine, System):
    """A booted reference."""

    process_type: type[ReferenceProcess] = ReferenceProcess
    """The class of its processes."""

    rounds_made = 0
    """Rounds of concurrent calls so far, each with another order of the calls."""

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

    def together(self, calls: Sequence[Call], rounds: int) -> dict[tuple[str, ...], int]:
        """Make calls concurrently: in each round in another order, up to ROUNDS rounds."""
        for call in calls:
            if isinstance(call.process, ReferenceProcess):
                call.process.keep_translations()
        tally: Counter[tuple[str, ...]] = Counter()
        for _round in range(min(rounds, ROUNDS)):
            order = Random(self.rounds_made)
            self.rounds_made += 1
            outcomes = [""] * len(calls)
            for stage in range(max(call.stage for call in calls) + 1):
                running = self.sequences([(at, call) for at, call in enumerate(calls) if call.stage == stage], outcomes)
                while running:
                    sequence = order.choice(running)
                    if next(sequence, running) is running:
                        running.remove(sequence)
            tally[tuple(outcomes)] += 1
        return dict(tally)

    def sequences(self, calls: Sequence[tuple[int, Call]], outcomes: list[str]) -> list[Iterator[None]]:
        """Return for each actor the calls that it makes in a stage; it yields where others may come between."""

        def sequence(own: Sequence[tuple[int, Call]]) -> Iterator[None]:
            for at, call in own:
                yield
                outcomes[at] = yield from steps_of(call)

        actors: dict[int, list[tuple[int, Call]]] = {}
        for at, call in calls:
            actors.setdefault(id(call.process), []).append((at, call))
        return [sequence(own) for own in actors.values()]

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


def steps_of(call: Call) -> Generator[None, None, str]:
    """Make a call, yielding where others may come between; return its outcome as text."""
    if call.name not in ("store", "load_in_child") or not isinstance(call.process, ReferenceProcess):
        return outcome_text(call.name, call.make)
    try:
        if call.name == "store":
            yield from call.process.store_in_steps(*call.arguments)  # type: ignore[arg-type]
            return "ok"
        data = yield from call.process.load_in_child_in_steps(*call.arguments)  # type: ignore[arg-type]
    except Fault as fault:
        return f"fault {fault.signal} {fault.code}"
    return f"ok {result_text(data)}"[:KEPT]
