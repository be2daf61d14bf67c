"""Calls that an agent's threads make concurrently: the requests, the outcomes, and what an agent may lack."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from pytest_mmapconf.backends import make
from pytest_mmapconf.contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    SC_PAGESIZE,
    Backend,
    Call,
    Fault,
    System,
    Unresolved,
    Unsupported,
)

FLAGS = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
SERVED = f"agent:{sys.executable} -m pytest_mmapconf.agent.serve pytest_mmapconf.reference.backend:ReferenceBackend"


@pytest.fixture(params=["native", SERVED], ids=["C", "served"])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    backend = make(request.param)
    yield backend
    backend.close()


@pytest.fixture
def system(backend: Backend) -> Iterator[System]:
    system = backend.boot()
    yield system
    system.close()


def test_a_thread_has_the_memory_and_the_descriptors_of_its_process(system: System) -> None:
    process = system.spawn()
    page = process.sysconf(SC_PAGESIZE)
    thread = process.thread()
    base = thread.mmap(0, page, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)

    process.store(base, b"stored")

    assert thread.load(base, 6) == b"stored"
    fd = process.memfd()
    thread.close(fd)
    with pytest.raises(OSError, match="descriptor"):
        process.fstat(fd)
    process.munmap(base, page)
    with pytest.raises(Fault):
        thread.load(base, 1)


@pytest.mark.parametrize("call", ["fork", "exec", "exit", "thread"])
def test_a_thread_does_not_make_the_calls_of_the_process(system: System, call: str) -> None:
    thread = system.spawn().thread()

    with pytest.raises(Unsupported):
        getattr(thread, call)()


def test_a_round_has_stages_and_a_tally_has_each_outcome(system: System) -> None:
    process = system.spawn()
    page = process.sysconf(SC_PAGESIZE)
    thread = process.thread()
    base, _length = process.scratch_range()

    tally = system.together(
        [
            Call(process, "mmap", (base, page, 3, FLAGS, -1, 0)),
            Call(process, "store", (base, b"a"), 1),
            Call(thread, "store", (base, b"b"), 1),
            Call(thread, "load", (base, 2), 2),
            Call(process, "munmap", (base, page), 3),
            Call(thread, "load", (base, 1), 4),
            Call(thread, "munmap", (base + 1, page), 4),
        ],
        50,
    )

    assert 0 < sum(tally.values()) <= 50
    for outcomes in tally:
        assert outcomes[:3] == (f"ok {base:#x}", "ok", "ok")
        assert outcomes[3] in ("ok 6100", "ok 6200")
        assert outcomes[4:] == ("ok", "fault SIGSEGV SEGV_MAPERR", "error EINVAL")


def test_the_process_goes_on_after_the_rounds(system: System) -> None:
    process = system.spawn()
    thread = process.thread()

    for _ in range(3):
        system.together([Call(process, "sysconf", (SC_PAGESIZE,)), Call(thread, "sysconf", (SC_PAGESIZE,))], 20)
        assert process.sysconf(SC_PAGESIZE) == thread.sysconf(SC_PAGESIZE)
    assert process.fork().exit(3) == 3
    assert process.exit(7) == 7


def test_calls_of_several_processes_are_in_one_tally() -> None:
    backend = make("native")
    system = backend.boot()
    process = system.spawn()
    page = process.sysconf(SC_PAGESIZE)
    base, _length = process.scratch_range()
    process.mmap(base, page, 3, FLAGS, -1, 0)
    child, thread = process.fork(), process.thread()

    tally = system.together(
        [Call(who, "store", (base, byte)) for who, byte in ((process, b"p"), (child, b"c"))]
        + [Call(who, "load", (base, 1), 1) for who in (thread, child)],
        20,
    )

    assert set(tally) == {("ok", "ok", "ok 70", "ok 63")}
    system.close()
    backend.close()


def test_an_agent_without_threads_is_unsupported() -> None:
    script = (
        "import sys\n"
        "print('mmapconf 1', flush=True)\n"
        "for n, line in enumerate(sys.stdin):\n"
        "    verb = line.split()[1]\n"
        "    print(line.split()[0], 'ok', '/x' if verb == 'boot' else 1, flush=True)\n"
    )
    backend = make(f"agent:{sys.executable} -c {script!r}".replace("\\n", "\n"))
    system = backend.boot()
    process = system.spawn()

    with pytest.raises(Unsupported, match="no threads"):
        process.thread()
    with pytest.raises(Unsupported, match="no threads"):
        system.together([Call(process, "sysconf", (1,))], 1)
    backend.close()


def test_a_closed_system_makes_no_rounds(backend: Backend) -> None:
    system = backend.boot()
    process = system.spawn()
    system.close()

    with pytest.raises(Unresolved):
        system.together([Call(process, "sysconf", (1,))], 1)
