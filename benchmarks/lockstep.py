"""What judging costs: programs and steps per second in lockstep, beside the same programs with nobody to judge.

    python benchmarks/lockstep.py [--programs 300] [--rounds 5] [--backend native --backend reference]

Each round draws the same programs three times, as the suite's random case does: by hypothesis, of `LENGTH` steps.

* nothing: a backend that does nothing, and a reference that stays empty to draw from; what this takes is drawing.
* without audits: the implementation makes the calls, and the reference judges what each comes to.
* in lockstep: the same, and an audit after each call that changes something: one more round trip to the implementation.

Machines are noisy, so what counts are the ratios within a round; the median round is shown.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from pytest_mmapconf import backends
from pytest_mmapconf.contract import SC_PAGESIZE, Backend, Options, Process, System
from pytest_mmapconf.generator import STEP, World
from pytest_mmapconf.lockstep import LockstepSystem
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.following import Following
from pytest_mmapconf.reference.kernel import Machine, Parameters
from pytest_mmapconf.search import LENGTH, Search, split


class Nothing(Process):
    """Every call succeeds and does nothing."""

    def __init__(self, model: Process) -> None:
        self.model = model

    def sysconf(self, name: int) -> int:
        return self.model.sysconf(SC_PAGESIZE)

    def arena(self) -> tuple[int, int]:
        return self.model.arena()

    def fork(self) -> Process:
        return self

    def return_code(self) -> bytes:
        return b"\xc3"


def _nothing(result: Any) -> Callable[..., Any]:
    return lambda self, *arguments: result


for _name in [
    "munmap",
    "msync",
    "mprotect",
    "mlock",
    "munlock",
    "store",
    "execute",
    "close",
    "ftruncate",
    "fsync",
    "unlink",
    "exit",
    "kill",
]:
    setattr(Nothing, _name, _nothing(None))
for _name in ["mmap", "mremap", "open", "dup", "pwrite"]:
    setattr(Nothing, _name, _nothing(3))
for _name in ["load", "pread"]:
    setattr(Nothing, _name, _nothing(b""))
Nothing.pipe = _nothing((3, 4))  # type: ignore[method-assign]


class NothingSystem(System):
    """A system of such processes."""

    def __init__(self) -> None:
        self.machine = ReferenceBackend().boot()

    def spawn(self) -> Process:
        return Nothing(self.machine.spawn())


def timed(run: Callable[[list[bytes]], object], programs: int, number: int) -> float:
    """Seconds for as many programs of hypothesis's, always the same for a number."""

    @seed(number)
    @settings(
        max_examples=programs,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.binary(min_size=LENGTH * STEP, max_size=LENGTH * STEP))
    def draw(data: bytes) -> None:
        run(split(data))

    began = time.perf_counter()
    draw()
    return time.perf_counter() - began


def nothing(steps: list[bytes]) -> None:
    world = World(NothingSystem())
    for step in steps:
        world.step(step)


def without_audits(subject: Backend, parameters: Parameters) -> Callable[[list[bytes]], None]:
    def run(steps: list[bytes]) -> None:
        system = LockstepSystem(subject.boot(), Machine(parameters, Following()), "none")
        world = World(system)
        for step in steps:
            world.step(step)
        system.close()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--programs", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backend", action="append", help="(repeatable; default: reference and native)")
    parser.add_argument("--mmap-dir", help="the folder whose file system is used")
    chosen = parser.parse_args()

    for name in chosen.backend or ["reference", "native"]:
        backend = backends.make(name, [], [])
        backend.configure(Options(chosen.mmap_dir))
        try:
            search = Search(backend, "linux")
            rows = []
            for number in range(chosen.rounds):
                before = search.tally.steps
                times = (
                    timed(nothing, chosen.programs, number),
                    timed(without_audits(backend, search.parameters), chosen.programs, number),
                    timed(search.run, chosen.programs, number),
                )
                rows.append((*times, search.tally.steps - before))
            drawing, calls, lockstep, steps = (statistics.median(column) for column in zip(*rows, strict=True))
            ratio = statistics.median(row[2] / row[0] for row in rows)
            print(
                f"{name}: {chosen.programs / drawing:.0f} programs/s on nothing,"
                f" {chosen.programs / calls:.0f} without audits, {chosen.programs / lockstep:.0f} in lockstep"
                f" ({steps / lockstep:.0f} steps/s): {ratio:.1f} times as long as drawing alone"
            )
        finally:
            backend.close()


if __name__ == "__main__":
    main()
