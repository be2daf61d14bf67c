"""Measure the cost of lockstep: programs and steps per second with and without comparing the results.

    python benchmarks/lockstep.py [--programs 300] [--rounds 5] [--backend native --backend reference]

Each round draws the same programs four times, as the suite's random case does: by hypothesis, of `LENGTH` steps.

* blind: with a backend that does nothing and an empty reference.  This is the cost of the bytes and of decoding them.
* drawing: the reference alone makes the calls, since the choice of each step depends on its state.
* in lockstep: the implementation makes the calls, and the reference judges each result, as in the suite, with an audit
  after every `search.AUDIT_INTERVAL` state-changing calls.  The time in the implementation, with its audits, is
  measured separately; the rest, without the time for drawing, is the cost of judging.
* fully audited: with an audit after each state-changing call, as programs are run that show a difference.

Times vary with the load of the machine, so only the ratios within a round are compared; the output is the median round.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any, cast

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from pytest_mmapconf import backends
from pytest_mmapconf.contract import SC_PAGESIZE, Call, Options, Process, System
from pytest_mmapconf.fuzzing import STEP, ProgramGenerator
from pytest_mmapconf.fuzzing.search import LENGTH, Search, split
from pytest_mmapconf.reference.backend import ReferenceBackend


class Nothing(Process):
    """A process whose calls all succeed without any effect."""

    def __init__(self, model: Process) -> None:
        self.model = model

    def sysconf(self, name: int) -> int:
        return self.model.sysconf(SC_PAGESIZE)

    def scratch_range(self) -> tuple[int, int]:
        return self.model.scratch_range()

    def fork(self) -> Process:
        return self

    def return_instruction(self) -> bytes:
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
    """A system whose processes do nothing."""

    def __init__(self) -> None:
        self.machine = ReferenceBackend().boot()

    def spawn(self) -> Process:
        return Nothing(self.machine.spawn())


def timed(run: Callable[[list[bytes]], object], programs: int, number: int) -> float:
    """Return the seconds for `programs` programs of hypothesis, which are the same for the same `number`."""

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
    world = ProgramGenerator(NothingSystem())
    for step in steps:
        world.step(step)


def drawn(steps: list[bytes]) -> None:
    world = ProgramGenerator(ReferenceBackend().boot())
    for step in steps:
        world.step(step)


def unwrapped(argument: Any) -> Any:
    """Return an argument without wrappers: a system compares the processes of its concurrent calls with its own."""
    if isinstance(argument, Timed):
        return argument.inside
    if isinstance(argument, Call):
        return Call(unwrapped(argument.process), argument.name, argument.arguments)
    return [unwrapped(each) for each in argument] if isinstance(argument, list) else argument


class Timed:
    """A wrapper of a backend, system or process that adds the duration of each call to `clock`."""

    def __init__(self, inside: Any, clock: list[float]) -> None:
        self.__dict__.update(inside=inside, clock=clock)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.inside, name)
        if not callable(value):
            return value

        def timed_call(*arguments: Any, **keywords: Any) -> Any:
            began = time.perf_counter()
            try:
                result = value(*map(unwrapped, arguments), **keywords)
            finally:
                self.clock[0] += time.perf_counter() - began
            return Timed(result, self.clock) if isinstance(result, (System, Process)) else result

        self.__dict__[name] = timed_call
        return timed_call


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--programs", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backend", action="append", help="(repeatable; default: reference and native)")
    parser.add_argument("--mmap-dir", help="the directory whose file system is used")
    chosen = parser.parse_args()

    for name in chosen.backend or ["reference", "native"]:
        backend = backends.make(name, [], [])
        backend.configure(Options(chosen.mmap_dir))
        try:
            clock = [0.0]
            search = Search(cast(Any, Timed(backend, clock)), "linux")
            rows = []
            for number in range(chosen.rounds):
                before, clock[0] = search.tally.steps, 0.0
                blind = timed(nothing, chosen.programs, number)
                drawing = timed(drawn, chosen.programs, number)
                lockstep = timed(search.run_sparsely_audited, chosen.programs, number)
                calls, steps = clock[0], search.tally.steps - before
                audited = timed(search.run_audited, chosen.programs, number)
                rows.append((blind, drawing, calls, lockstep, audited, (lockstep - calls) / drawing, steps))
            blind, drawing, calls, lockstep, audited, ratio, steps = (
                statistics.median(column) for column in zip(*rows, strict=True)
            )
            each = 1000 / chosen.programs
            print(
                f"{name}: {each * drawing:.2f} ms a program for drawing ({each * blind:.2f} blind),"
                f" {each * lockstep:.2f} in lockstep ({steps / lockstep:.0f} steps/s),"
                f" of which {each * calls:.2f} in the implementation:"
                f" drawing and judging take {ratio:.1f} times as long as drawing alone;"
                f" fully audited {each * audited:.2f} ms"
            )
        finally:
            backend.close()


if __name__ == "__main__":
    main()
