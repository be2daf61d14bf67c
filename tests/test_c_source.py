"""Programs as C: they compile without a warning, exit 0 on this system, and 1 on a broken one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pytest

from pytest_mmapconf.contract import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    MADV_DONTNEED,
    MADV_POPULATE_WRITE,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_PRIVATE,
    MAP_SHARED,
    MLOCK_ONFAULT,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    MS_ASYNC,
    MS_SYNC,
    O_CREAT,
    O_RDONLY,
    O_RDWR,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    SC_PAGESIZE,
    SEEK_DATA,
    Call,
    Facility,
    Fault,
    Process,
    System,
)
from pytest_mmapconf.differential.reproducers import Judge
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.trace.c_source import NotPrintable, c_source
from pytest_mmapconf.trace.program import (
    Allowed,
    Fails,
    Faults,
    Program,
    Returns,
    Run,
    Special,
    Step,
    Sum,
)
from pytest_mmapconf.trace.recorder import RecordedSystem
from pytest_mmapconf.trace.replay import allowed

RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-pthread"]

Make = Callable[[System, Process, int], object]

refused = pytest.raises((OSError, Fault))
"""The block of a call that the reference refuses; this system must refuse it in the same way."""

# ------------------------------------------------------------------------------------------------------------- programs


def letters(process: Process, page: int, path: str = "file-1") -> int:
    """Return a descriptor of a file of three pages, filled with A, B and C."""
    fd = process.open(path, O_RDWR | O_CREAT)
    process.pwrite(fd, b"A" * page + b"B" * page + b"C" * page, 0)
    return fd


def shared_file(system: System, process: Process, page: int) -> None:
    fd = letters(process, page)
    base = process.mmap(0, 2 * page + 1, RW, MAP_SHARED, fd, page)
    process.store(base + page - 2, b'"x?')
    process.msync(base, page, MS_SYNC)
    assert process.pread(fd, 2 * page, page) == b"B" * (page - 2) + b'"x?' + b"C" * (page - 1)
    with refused:
        process.load(base + 2 * page, 1)


def private_file(system: System, process: Process, page: int) -> None:
    fd = letters(process, page)
    base = process.mmap(0, 3 * page, RW, MAP_PRIVATE, fd, 0)
    process.store(base, b"mine")
    process.load(base, page)
    process.pread(fd, 4, 0)


def closed_and_unlinked(system: System, process: Process, page: int) -> None:
    fd = letters(process, page)
    base = process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 2 * page)
    process.close(fd)
    process.unlink("file-1")
    process.load(base, page)
    with refused:
        process.close(fd)


def truncated(system: System, process: Process, page: int) -> None:
    fd = letters(process, page)
    base = process.mmap(0, 3 * page, RW, MAP_SHARED, fd, 0)
    process.ftruncate(fd, page + 5)
    process.load(base + page, page)
    with refused:
        process.store(base + 2 * page, b"x")
    process.fstat(fd)


def a_hole(system: System, process: Process, page: int) -> None:
    base = process.mmap(0, 4 * page, RW, ANONYMOUS, -1, 0)
    process.store(base + 2 * page, b"kept")
    process.munmap(base + page, page)
    with refused:
        process.load(base + page - 1, 2)
    process.load(base + 2 * page, 4)
    with refused:
        process.msync(base, 4 * page, MS_ASYNC)
    with refused:
        process.munmap(base + 1, page)


def placed(system: System, process: Process, page: int) -> None:
    base, _length = process.scratch_range()
    process.mmap(base, 3 * page, PROT_NONE, ANONYMOUS | MAP_FIXED, -1, 0)
    process.mmap(base + page, page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    with refused:
        process.mmap(base, page, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0)
    process.mprotect(base + page, page, PROT_READ)
    with refused:
        process.store(base + page, b"x")
    with refused:
        process.msync(base, (1 << 64) - 2 * page, 99)
    with refused:
        process.mmap(base + 1, (1 << 63) + 1, RW, ANONYMOUS | MAP_FIXED, -1, -page)


def resized(system: System, process: Process, page: int) -> None:
    base, _length = process.scratch_range()
    process.mmap(base, 2 * page, RW, ANONYMOUS | MAP_FIXED, -1, 0)
    process.store(base, b"a" * page + b"b" * page)
    base = process.mremap(base, 2 * page, 3 * page, 0)
    base = process.mremap(base, 3 * page, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED, base + 8 * page)
    base = process.mremap(base, 2 * page, 64 * page, MREMAP_MAYMOVE)
    process.load(base, 3 * page)


def executed(system: System, process: Process, page: int) -> None:
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(base, process.return_instruction())
    with refused:
        process.execute(base)
    process.mprotect(base, page, PROT_READ | PROT_EXEC)
    process.execute(base)


def forked(system: System, process: Process, page: int) -> None:
    shared = process.mmap(0, page, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
    private = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.store(private, b"before")
    child = process.fork()
    process.store(private, b"parent")
    child.store(shared, b"from the child")
    process.load(shared, 14)
    child.load(private, 6)
    child.exit(300)
    with refused:
        process.munmap(shared, 0)


def started_again(system: System, process: Process, page: int) -> None:
    """A process and its child call exec: their mappings are gone, their descriptors remain."""
    fd = letters(process, page)
    start, _length = process.scratch_range()
    process.mmap(start, page, RW, MAP_SHARED | MAP_FIXED, fd, 0)
    process.store(start, b"stored")
    child = process.fork()
    child.exec()
    with refused:
        child.load(start, 1)
    process.load(start, 6)
    process.exec()
    with refused:
        process.store(start, b"!")
    again = process.mmap(0, page, PROT_READ, MAP_PRIVATE, fd, 0)
    process.load(again, 6)
    with refused:
        process.store(again, b"!")
    child.exit(3)


def unrelated(system: System, process: Process, page: int) -> None:
    """Two processes map one file; the first ends, then its child, and the other remains."""
    fd = letters(process, page)
    base = process.mmap(0, page, RW, MAP_SHARED, fd, 0)
    other = system.spawn()
    its = other.mmap(0, page, RW, MAP_SHARED, other.open("file-1", O_RDWR), 0)
    child = process.fork()
    other.store(its, b"other")
    process.load(base, 5)
    process.exit()
    child.store(base + 5, b"child")
    child.kill()
    other.load(its, 10)


def calls_on_files(system: System, process: Process, page: int) -> None:
    process.mkdir("folder")
    fd = process.open("folder/file", O_RDWR | O_CREAT)
    process.dup(fd)
    process.lseek(fd, 5, 1)
    process.flock(fd, 2)
    process.record_lock(fd, ofd=True)
    events = process.watch("folder/file")
    reader = process.open("folder/file", O_RDONLY)
    process.close(reader)
    process.close_events(events)
    process.fstat(fd)
    process.fsync(fd)
    process.drop_cache(fd)
    process.set_old_mtime(fd)
    process.has_old_mtime(fd)
    process.pwrite(fd, b"x", 0)
    process.has_old_mtime(fd)
    with refused:
        process.open("missing", O_RDONLY)
    one, two = process.pipe()
    process.fstat(two)
    process.close(one)
    process.socketpair()
    memory = process.memfd()
    process.seal(memory, 8)
    with refused:
        process.mmap(0, page, RW, MAP_SHARED, memory, 0)
    zero = process.open(system.facility(Facility.DEV_ZERO), O_RDWR)
    process.mmap(0, page, RW, MAP_PRIVATE, zero, 0)


def the_rest(system: System, process: Process, page: int) -> None:
    base = process.mmap(0, 4 * page, PROT_NONE, ANONYMOUS, -1, 0)
    process.fragment(base, 4)
    process.load(base + 3 * page, page)
    process.mlock(base + page, page)
    process.munlock(base + page, page)
    process.mincore(base, 4 * page)
    process.mlockall(1)
    process.munlockall()
    process.mlock2(base + page, page, MLOCK_ONFAULT)
    with refused:
        process.madvise(base, page, MADV_POPULATE_WRITE)
    with refused:
        process.sysconf(12345)


def moved_by_the_kernel(_system: System, process: Process, page: int) -> None:
    fd = letters(process, page)
    base = process.mmap(0, page, RW, ANONYMOUS, -1, 0)
    process.read_into(fd, base + 1, 3, 0)
    process.write_from(fd, base, 3, 3)
    process.pread(fd, 10, 0)
    process.madvise(base, page, MADV_DONTNEED)
    process.load(base, 4)
    with refused:
        process.read_into(fd, base - 1 << 40, 3, 0)


def other_calls_on_files(_system: System, process: Process, page: int) -> None:
    """Where the file system can do it, as ext4 can: a C program that is refused ends with 2."""
    fd, other = letters(process, page), letters(process, page, "other")
    base = process.mmap(0, 4 * page, RW, MAP_SHARED, fd, 0)
    process.store(base, b"stored")
    process.fallocate(fd, 0, 0, 4 * page)
    process.fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2, 3)
    process.load(base, 8)
    process.lseek(fd, 0, SEEK_DATA)
    process.copy_file_range(fd, 0, other, 1, 4)
    process.preadv(other, base + page, 2, base + 8, 3, 0)
    process.pwritev(other, base + 8, 1, base, 2, 9)
    process.pread(other, 20, 0)
    process.load(base, 2 * page)
    process.link("other", "second")
    process.rename("other", "third")
    process.store(base + 3 * page, b"second\0")
    opened = process.open_path_at(base + 3 * page, O_RDWR)
    process.pread(opened, 20, 0)
    process.fstat_into(opened, base + 2 * page)
    with refused:
        process.fallocate(fd, 0, 0, 0)
    with refused:
        process.fstat_into(opened, base - 1 << 40)


def threads(system: System, process: Process, page: int) -> None:
    """Two threads and a child that has one of its own, one call after the other."""
    base = process.mmap(0, 3 * page, RW, ANONYMOUS, -1, 0)
    thread = process.thread()
    other = process.thread()
    thread.store(base, b"first")
    process.load(base, 5)
    fd = other.open("file-1", O_RDWR | O_CREAT)
    process.pwrite(fd, b"written", 0)
    child = process.fork()
    its_thread = child.thread()
    its_thread.store(base, b"child")
    thread.load(base, 5)
    with refused:
        other.mmap(0, page, RW, MAP_SHARED, 99, 0)
    its_thread.pread(fd, 7, 0)
    child.exit(4)
    other.munmap(base, page)
    with refused:
        thread.load(base, 1)


def threads_after_exec(system: System, process: Process, page: int) -> None:
    thread = process.thread()
    fd = thread.open("file-1", O_RDWR | O_CREAT)
    process.exec()
    other = process.thread()
    other.pwrite(fd, b"kept", 0)
    process.pread(fd, 4, 0)


def rounds(system: System, process: Process, page: int) -> None:
    """Calls at the same time: of a thread, and of a child with which a page of a file is shared."""
    thread = process.thread()
    base, _length = process.scratch_range()
    fd = letters(process, page)
    shared = process.mmap(0, page, RW, MAP_SHARED, fd, page)
    child = process.fork()
    system.together(
        [
            Call(process, "mmap", (base, page, RW, ANONYMOUS | MAP_FIXED, -1, 0), 0),
            Call(child, "store", (shared, b"xy"), 0),
            Call(thread, "store", (base, b"z"), 1),
            Call(process, "load", (base, 2), 1),
            Call(child, "pread", (fd, 40, page), 1),
            Call(process, "munmap", (base, page), 2),
            Call(thread, "store", (base, b"x"), 3),
            Call(process, "mmap", (base, 0, RW, ANONYMOUS, -1, 0), 3),
            Call(child, "fsync", (fd,), 3),
        ],
        300,
    )
    thread.load(shared, 3)


def mounted(system: System, process: Process, page: int) -> None:
    path = system.facility(Facility.NOEXEC_DIRECTORY) + "/file"
    fd = letters(process, page, path)
    process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)
    with refused:
        process.mmap(0, page, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0)
    letters(process, page, system.facility(Facility.OWN_FILE_SYSTEM) + "/file")


def append_only(system: System, process: Process, page: int) -> None:
    fd = letters(process, page)
    process.set_append_only(fd, True)
    with refused:
        process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)


def an_attribute(system: System, process: Process, page: int) -> None:
    fd = process.open(system.facility(Facility.SYS_FILE), O_RDONLY)
    with refused:
        process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)


NEED_ROOT: Final[Sequence[Make]] = (mounted, append_only)

PROGRAMS: Final[Sequence[Make]] = (
    *(shared_file, private_file, closed_and_unlinked, truncated, a_hole, placed, resized, executed, forked, unrelated),
    *(started_again, calls_on_files, the_rest, moved_by_the_kernel, other_calls_on_files, an_attribute),
    *(threads, threads_after_exec, rounds),
)
by_name = pytest.mark.parametrize("make", PROGRAMS, ids=lambda make: make.__name__)


def program(make: Make) -> Program:
    system = RecordedSystem(ReferenceBackend().boot())
    process = system.spawn()
    make(system, process, process.sysconf(SC_PAGESIZE))
    return system.program()[0]


def expectations(program: Program) -> list[Allowed]:
    outcomes = Judge(ReferenceBackend(), "linux").answers(program)
    return [allowed(step, outcome) for step, outcome in zip(program, outcomes, strict=True)]


def source(make: Make, *clauses: str) -> str:
    steps = program(make)
    return c_source(steps, expectations(steps), f"The program {make.__name__}", clauses)


def built(folder: Path, text: str, *compiler: str) -> Path:
    (folder / "it.c").write_text(text)
    command = [*(compiler or ("cc",)), *WARNINGS, "-o", str(folder / "it"), str(folder / "it.c")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), text
    return folder / "it"


def run(binary: Path, preload: Path | None = None) -> tuple[int, str]:
    """Run a program in an empty directory, in which it may leave no files."""
    folder = binary.with_name("files")
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, **({"LD_PRELOAD": str(preload)} if preload else {})}
    done = subprocess.run([binary, folder], capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert not list(folder.iterdir())
    assert done.stderr == ""
    return done.returncode, done.stdout


# ------------------------------------------------------------------------------------------------------- a right system


@by_name
def test_conforms_here(tmp_path: Path, make: Make) -> None:
    assert run(built(tmp_path, source(make))) == (0, "conforms\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system, or make a file append-only")
@pytest.mark.parametrize("make", NEED_ROOT, ids=lambda make: make.__name__)
def test_conforms_here_for_root(tmp_path: Path, make: Make) -> None:
    assert run(built(tmp_path, source(make))) == (0, "conforms\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_inconclusive_where_nothing_may_be_mounted(tmp_path: Path) -> None:
    """Another user may mount in a namespace of its own, which takes another process."""
    binary = built(tmp_path, source(mounted))
    with tempfile.TemporaryDirectory() as folder:  # that others may look into
        Path(folder).chmod(0o755)
        command = [shutil.copy(binary, folder)]
        done = subprocess.run(["prlimit", "--nproc=0", *command], user=65534, capture_output=True, check=False)

    assert done.returncode == 2
    assert b"inconclusive: this needs a file system of its own" in done.stdout


@by_name
@pytest.mark.parametrize("compiler", ["cc -O2", "musl-gcc -static", "aarch64-linux-gnu-gcc -static"])
def test_compiles_elsewhere(tmp_path: Path, make: Make, compiler: str) -> None:
    """Compile without a warning; where the program can run, it conforms as well."""
    command = compiler.split()
    if not shutil.which(command[0]):
        pytest.skip(f"there is no {command[0]}")
    binary = built(tmp_path, source(make), *command)
    if not command[0].startswith("aarch64"):
        assert run(binary) == (0, "conforms\n")


def test_reads_as_plain_calls() -> None:
    """A bug report for people: the calls with their constants, and nothing that is not used."""
    text = source(a_hole, "munmap.range", "msync.errno.ENOMEM")

    assert text.startswith(
        "/*\n * The program a_hole\n *\n * Judges:\n *     munmap.range\n *     msync.errno.ENOMEM\n"
    )
    main = text[text.index("int main(void)") :]
    assert [line.strip() for line in main.splitlines()[1:] if line.strip()] == [
        "{",
        "page = sysconf(_SC_PAGESIZE);",
        "NEED(page <= 65536);",
        "catch_faults();",
        "STEP(2, r1 = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));",
        "EXPECT(result != -1 && result % page == 0);",
        'fill(0, "kept", 4, 4);',
        "STEP(3, store(r1 + 2 * page, 4));",
        "EXPECT(result == 0);",
        "STEP(4, munmap(r1 + page, page));",
        "EXPECT(result == 0);",
        "STEP(5, load(r1 + page - 1, 2));",
        "EXPECT(faulted(SIGSEGV, SEGV_MAPERR, r1 + page));",
        "STEP(6, load(r1 + 2 * page, 4));",
        'EXPECT(result == 0 && holds(0, "kept", 4, 4));',
        "STEP(7, msync(r1, 4 * page, MS_ASYNC));",
        "EXPECT(failed(ENOMEM));",
        "STEP(8, munmap(r1 + 1, page));",
        "EXPECT(failed(EINVAL));",
        'dprintf(1, "conforms\\n");',
        "finish(0);",
        "return 0;",
        "}",
    ]
    for unused in ("fork", "mkdtemp", "execute", "pipe", "USES_", "@", "#include <fcntl.h>"):
        assert unused not in text


# ------------------------------------------------------------------------------------------------------ a broken system

BROKEN: Final = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#ifdef PRIVATE_GOES_THROUGH
#define FLAGS (fd >= 0 && (flags & 3) == MAP_PRIVATE ? (flags & ~3) | MAP_SHARED : flags)
#elif defined SHARED_MEMORY_IS_COPIED
#define FLAGS (fd < 0 && (flags & 3) == MAP_SHARED ? (flags & ~3) | MAP_PRIVATE : flags)
#endif
#ifdef FLAGS
void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
    return (void *)syscall(SYS_mmap, addr, length, prot, FLAGS, fd, offset);
}
#elif defined ONE_PAGE_TOO_MANY
int munmap(void *addr, size_t length)
{
    return (int)syscall(SYS_munmap, addr, length + 4096);
}
#elif defined HOLES_ARE_SYNCED
int msync(void *addr, size_t length, int flags)
{
    return syscall(SYS_msync, addr, length, flags) && errno != ENOMEM ? -1 : 0;
}
#elif defined UNMAPPED_STAYS
int munmap(void *addr, size_t length)
{
    return (long)addr % 4096 || !length ? (errno = EINVAL, -1) : 0;
}
#elif defined UNMAPPED_SOMETIMES_STAYS
int munmap(void *addr, size_t length)
{
    static int calls;

    return ++calls % 5 ? (int)syscall(SYS_munmap, addr, length) : 0;
}
#elif defined EXEC_KEEPS_MAPPINGS
int execl(const char *path, const char *name, ...)
{
    return path && name ? 0 : -1;
}
#elif defined MOVES_ELSEWHERE
void *mremap(void *addr, size_t old, size_t new, int flags, ...)
{
    return (void *)syscall(SYS_mremap, addr, old, new, flags & ~2, 0);
}
#endif
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the broken libc makes x86-64's calls, with pages of 4 KiB")
@pytest.mark.parametrize(
    ("defect", "make", "seen"),
    [
        (
            "PRIVATE_GOES_THROUGH",
            private_file,
            r"step 7: pread\(fd1, bytes, 4, 0\)\n"
            r'  expected: result == 4 && holds\(0, "AAAA", 4, 4\)\n  seen:     byte 0 is 0x6d, not 0x41\n',
        ),
        (
            "SHARED_MEMORY_IS_COPIED",
            forked,
            r"step 8: load\(r1, 14\)\n"
            r'  expected: result == 0 && holds\(0, "from the child", 14, 14\)\n  seen:     byte 0 is 0x00, not 0x66\n',
        ),
        (
            "ONE_PAGE_TOO_MANY",
            a_hole,
            r"step 6: load\(r1 \+ 2 \* page, 4\)\n"
            r"  expected: result == 0 && .*\n  seen:     SIGSEGV, si_code 1 \(SEGV_MAPERR\), at 0x[0-9a-f]+000\n",
        ),
        (
            "HOLES_ARE_SYNCED",
            a_hole,
            r"step 7: msync\(r1, 4 \* page, MS_ASYNC\)\n  expected: failed\(ENOMEM\)\n  seen:     result 0 \(0x0\)\n",
        ),
        (
            "UNMAPPED_STAYS",
            a_hole,
            r"step 5: load\(r1 \+ page - 1, 2\)\n  expected: faulted\(SIGSEGV, SEGV_MAPERR, r1 \+ page\)\n"
            r"  seen:     result 0 \(0x0\)\n",
        ),
        (
            "MOVES_ELSEWHERE",
            resized,
            r"step 6: r4 = mremap\(.*\)\n  expected: r4 == r3 \+ 8 \* page\n  seen:     result \d+ \(0x[0-9a-f]+\)\n",
        ),
        (
            "EXEC_KEEPS_MAPPINGS",
            started_again,
            r"step \d+: load\(r1, 1\)\n  expected: faulted\(SIGSEGV, SEGV_MAPERR, r1\)\n  seen:     result 0 \(0x0\)\n",
        ),
    ],
    ids=["private", "shared-memory", "munmap-more", "msync", "munmap-nothing", "mremap", "exec"],
)
def test_deviates_on_a_broken_system(tmp_path: Path, defect: str, make: Make, seen: str) -> None:
    """Exit 1 and print clause, step, expected and observed outcome; also if another process observes it."""
    library = tmp_path / "broken.so"
    (tmp_path / "broken.c").write_text(BROKEN)
    subprocess.run(["cc", "-shared", "-fPIC", f"-D{defect}", "-o", library, tmp_path / "broken.c"], check=True)

    status, output = run(built(tmp_path, source(make, "some.clause", "another.clause")), library)

    assert status == 1
    where = r"  where:    page = 4096, r1 = 0x[0-9a-f]+.*\n"
    assert re.fullmatch(rf"deviates from some\.clause, another\.clause\n{seen}{where}", output), output


def test_rounds_that_deviate_are_counted(tmp_path: Path) -> None:
    """Of a race the number of rounds is said in which it has shown."""
    library = tmp_path / "broken.so"
    (tmp_path / "broken.c").write_text(BROKEN)
    options = ["-shared", "-fPIC", "-DUNMAPPED_SOMETIMES_STAYS"]
    subprocess.run(["cc", *options, "-o", library, tmp_path / "broken.c"], check=True)

    status, output = run(built(tmp_path, source(rounds, "threads.munmap")), library)

    assert status == 1
    assert output.startswith("deviates from threads.munmap\nstep 8, at the same time: p1: mmap(r1, page, ")
    match = re.search(r"seen:     otherwise in (\d+) of (\d+) rounds, first ok; ok; ok; ok [07a]+; ok 7879", output)
    assert match, output
    wrong, made = map(int, match.groups())
    assert made >= 300
    assert wrong == pytest.approx(made / 5, abs=2)


# --------------------------------------------------------------------------------------------------------- inconclusive


def test_inconclusive_if_a_precondition_fails(tmp_path: Path) -> None:
    """A precondition for judging anything does not hold: here, no descriptor is available."""
    binary = built(tmp_path, source(shared_file), "cc", "-static")

    done = subprocess.run(
        ["sh", "-c", 'ulimit -n 3; exec "$0" "$1"', binary, tmp_path], capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert done.stdout.startswith("inconclusive: a precondition does not hold\nstep 2: fd1 = open(")
    assert "expected: result != -1\n  seen:     EMFILE\n" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"it", "it.c"}


def test_a_missing_directory_is_inconclusive(tmp_path: Path) -> None:
    binary = built(tmp_path, source(shared_file))

    done = subprocess.run([binary, tmp_path / "missing"], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "No such file or directory" in done.stderr


PAGE = Sum(pages=1)
MAPPED = Step("p1", "mmap", (Sum(), PAGE, int(RW), int(ANONYMOUS), Sum(bytes=-1), Sum()), ("r1",))
LOAD = Step("p1", "load", (Sum("r1"), Sum(bytes=4)))
STORE = Step("p1", "store", (Sum("r1"), (Run(b"abcd"),)))
ANY_ADDRESS: Final = {Returns(Sum("r1"))}


@pytest.mark.parametrize(
    ("expected", "status"),
    [
        ({Returns((Run(b"a"), Run(Special.ANY, Sum(bytes=2)), Run(b"d")))}, 0),
        ({Returns((Run(b"a"), Run(Special.ANY, Sum(bytes=2)), Run(b"x")))}, 1),
        ({Returns((Run(b"zzzz"),)), Returns((Run(b"abcd"),))}, 0),
        ({Returns((Run(b"zzzz"),)), Faults("SIGBUS", None, None)}, 1),
        ({Returns((Run(b"abcd"),)), Faults("SIGSEGV", "SEGV_MAPERR", Sum("r1"))}, 0),
        ({Faults("SIGSEGV", None, None)}, 1),
        (set[Returns](), 0),
    ],
    ids=["masked", "masked-wrong", "either", "neither", "or-fault", "must-fault", "not-judged"],
)
def test_any_allowed_outcome_conforms(tmp_path: Path, expected: Allowed, status: int) -> None:
    text = c_source((MAPPED, STORE, LOAD), [ANY_ADDRESS, {Returns()}, expected], "Choices")

    assert run(built(tmp_path, text))[0] == status


@pytest.mark.parametrize(
    ("expected", "status"), [({Fails("EINVAL"), Fails("ENOMEM")}, 0), ({Fails("EBADF"), Returns()}, 1)]
)
def test_any_of_several_errors(tmp_path: Path, expected: Allowed, status: int) -> None:
    text = c_source((MAPPED, Step("p1", "munmap", (Sum("r1", 0, 1), PAGE))), [ANY_ADDRESS, expected], "Errors")

    assert run(built(tmp_path, text))[0] == status


def test_a_mapping_that_may_fail_is_a_precondition_of_later_steps(tmp_path: Path) -> None:
    """Either outcome is allowed, but later steps cannot be judged without the mapping."""
    impossible = Step("p1", "mmap", (Sum(), Sum(bytes=1 << 62), 1, int(ANONYMOUS), Sum(bytes=-1), Sum()), ("r1",))
    either: Allowed = {Returns(Sum("r1")), Fails("ENOMEM")}
    anything: Allowed = ()

    assert run(built(tmp_path, c_source((impossible, LOAD), [either, anything], "Needed")))[0] == 2
    assert run(built(tmp_path, c_source((impossible,), [either], "Not needed")))[0] == 0


def test_a_process_that_dies_is_inconclusive(tmp_path: Path) -> None:
    """The wait for it has a limit."""
    steps = (MAPPED, Step("p1", "fork", (), ("p2",)), Step("p2", "munmap", (Sum("r1"), PAGE)))
    text = c_source(steps, [ANY_ADDRESS, {Returns(Sum("p2"))}, {Returns()}], "Dies")
    text = text.replace("alarm(20)", "alarm(1)").replace("STEP(3,", "raise(SIGKILL);\nSTEP(3,")

    assert run(built(tmp_path, text)) == (2, "inconclusive: a process has died or does not respond\n")


def target_of(link: Path) -> str:
    """Return where a symbolic link of /proc points; empty if it cannot be read."""
    try:
        return str(link.readlink())
    except OSError:
        return ""


@pytest.mark.parametrize("forks", [False, True])
def test_a_step_that_does_not_return_deviates(tmp_path: Path, forks: bool) -> None:
    """Process 0 ends it, whatever signals it ignores; a program that returns conforms."""
    forked = (Step("p1", "fork", (), ("p2",)),) if forks else ()
    steps = (MAPPED, *forked, Step("p2" if forks else "p1", "munmap", (Sum("r1"), PAGE)))
    expected: list[Allowed] = [ANY_ADDRESS, *([{Returns(Sum("p2"))}] if forks else []), {Returns()}]
    text = c_source(steps, expected, "Hangs", ["munmap.range"], hangs=True)
    assert run(built(tmp_path, text)) == (0, "conforms\n")

    last = f"STEP({len(steps)},"
    hanging = text.replace(last, f"signal(SIGTERM, SIG_IGN);\nfor (;;)\n    pause();\n{last}").replace(
        "alarm(20)", "alarm(1)"
    )
    assert run(built(tmp_path, hanging)) == (1, "deviates from munmap.range\n  seen:     no answer in 20 s\n")
    assert not [link for link in Path("/proc").glob("[0-9]*/exe") if target_of(link) == str(tmp_path / "it")]


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (Step("", "crash", ()), "step 2: crash has no equivalent in C"),
        (Step("", "full_file_table", ()), "step 2: full_file_table has no equivalent in C"),
        (
            Step("p1", "open", ("<mandatory-lock>", 2, Sum(bytes=0o600)), ("fd1",)),
            "<mandatory-lock> must be provided by the tester",
        ),
        (Step("p1", "load", (Sum("r1"), Sum(bytes=1 << 40))), "2**40 bytes in one call are too many"),
        (Step("p1", "fork", ()), "step 2: the new process has no name"),
    ],
    ids=["crash", "file-table", "file-system", "large", "nameless"],
)
def test_programs_that_cannot_be_printed(step: Step, why: str) -> None:
    with pytest.raises(NotPrintable) as caught:
        c_source((MAPPED, step), [ANY_ADDRESS, ()], "No")

    assert str(caught.value) == why
