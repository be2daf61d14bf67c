"""A program as one C file that depends on nothing but a libc: a bug report that can be run.

It makes the steps and compares what each comes to with what is allowed.  It exits 0 where the behaviour conforms, 1
where it deviates (saying of which clause, in which step, what was expected and what was seen), and 2 where it cannot
tell.

Each step is a line that reads as the call that it is, and a line that says what is expected of it.  What these need
besides is taken from ``reproducer.c.in``, where each helper stands between ``#if USES_…`` and ``#endif``: only what is
used is printed.

A program of several processes is one function that all of them run through: each makes its own steps and lets those of
the others pass.  Who makes the next step is told by a message with the values of all the names.  Process 0, which makes
no steps, starts the others, waits for those whose parent has gone, and ends what is left.  One that becomes another
program becomes this one again: it goes on behind that step, with the values of the names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Final

from ..contract import MREMAP_DONTUNMAP, MREMAP_FIXED, O_CREAT, SC_PAGESIZE, Facility, Resource
from .calls import CALLS, PREFIXES, flag_names
from .program import (
    CODE,
    Allowed,
    Argument,
    Fails,
    Faults,
    NotExecuted,
    Program,
    ProgramError,
    Returns,
    Run,
    Special,
    Step,
    Sum,
    SymbolicOutcome,
    length,
    names_in,
)


class NotPrintable(Exception):
    """Why a program cannot be printed as C."""


CALL: Final = {
    "mmap": "mmap({addr}, {length}, {prot}, {flags}, {fd}, {offset})",
    "munmap": "munmap({addr}, {length})",
    "mremap": "mremap({addr}, {old_size}, {new_size}, {flags}{new_addr})",
    "msync": "msync({addr}, {length}, {flags})",
    "sysconf": "sysconf({name})",
    "mprotect": "mprotect({addr}, {length}, {prot})",
    "fragment": "fragment({addr}, {pages})",
    "mlock": "mlock({addr}, {length})",
    "munlock": "munlock({addr}, {length})",
    "mlock2": "mlock2({addr}, {length}, {flags})",
    "mseal": "syscall(462 /* mseal */, {addr}, (size_t)({length}), (size_t){flags})",
    "mlockall": "mlockall({flags})",
    "munlockall": "munlockall()",
    "madvise": "madvise({addr}, {length}, {advice})",
    "mincore": "mincore({addr}, {length}, (unsigned char *)bytes)",
    "load": "load({addr}, {length})",
    "store": "store({addr}, {data})",
    "execute": "execute({addr})",
    "open": "open({path}, {flags}{mode})",
    "close": "close({fd})",
    "dup": "dup({fd})",
    "ftruncate": "ftruncate({fd}, {length})",
    "lseek": "lseek({fd}, {offset}, {whence})",
    "pread": "pread({fd}, bytes, {length}, {offset})",
    "pwrite": "pwrite({fd}, bytes, {data}, {offset})",
    "read_into": "pread({fd}, {addr}, {length}, {offset})",
    "write_from": "pwrite({fd}, {addr}, {length}, {offset})",
    "fstat": "fstat({fd}, &status)",
    "fsync": "fsync({fd})",
    "drop_cache": "fsync({fd}) ? -1 : posix_fadvise({fd}, 0, 0, POSIX_FADV_DONTNEED)",
    "set_old_mtime": "set_old_mtime({fd})",
    "has_old_mtime": "fstat({fd}, &status) ? -1 : status.st_mtim.tv_sec == LONG_PAST",
    "unlink": "unlink({path})",
    "mkdir": "mkdir({path}, 0700)",
    "pipe": "pipe(pair)",
    "socketpair": "socketpair(AF_UNIX, SOCK_STREAM, 0, pair)",
    "memfd": 'memfd_create("file", MFD_ALLOW_SEALING)',
    "seal": "fcntl({fd}, F_ADD_SEALS, {seals})",
    "set_append_only": "set_append_only({fd}, {on})",
    "free_space": "free_space({path})",
    "flock": "flock({fd}, {operation})",
    "record_lock": "lock_record({fd}, {ofd})",
    "watch": "watch({path})",
    "close_events": "close_events({watch})",
    "fork": "fork()",
    "exec": "exec_again({number})",
    "set_limit_headroom": "set_limit_headroom({resource}, {headroom})",
    "drop_capability": "drop_capability({capability})",
    "scratch_range": "free_range",
}
"""Each call that can be printed, in C."""

PRINTED_OTHERWISE: Final = ("return_instruction", "exit", "kill", "spawn", "facility")
"""Calls that are printed as something other than one call of C."""

UNPRINTABLE: Final = (
    *("add", "counters", "run_concurrently", "crash", "full_file_table", "end_full_file_table", "mapping_limit"),
)
"""Calls that no C file can make."""

HELPERS: Final = {
    "fragment": "FRAGMENT",
    "load": "LOAD FAULTS BYTES",
    "store": "STORE FAULTS BYTES FILL",
    "execute": "EXECUTE FAULTS",
    "mincore": "BYTES",
    "pread": "BYTES",
    "pwrite": "BYTES FILL",
    "set_append_only": "APPEND_ONLY",
    "free_space": "FREE_SPACE",
    "set_old_mtime": "OLD_MTIME",
    "has_old_mtime": "OLD_MTIME",
    "record_lock": "LOCK_RECORD",
    "watch": "WATCH",
    "close_events": "CLOSES",
    "set_limit_headroom": "LIMIT",
    "drop_capability": "DROP",
    "scratch_range": "SCRATCH_RANGE",
    "fork": "PROCESSES",
    "exec": "PROCESSES EXEC",
    "spawn": "PROCESSES",
    "exit": "PROCESSES WAIT",
    "kill": "PROCESSES WAIT",
}
"""What each call needs of the template."""

HEADERS: Final = {
    "errno.h": "",
    "fcntl.h": r"\b(open|fcntl|posix_fadvise|F_\w+)\b",
    "linux/capability.h": r"\bdrop\(",
    "linux/fs.h": r"\bFS_IOC_\w+\b",
    "setjmp.h": r"\bsigsetjmp\b",
    "signal.h": r"\b(siginfo_t|kill|signal)\b",
    "stdint.h": r"\buintptr_t\b",
    "stdio.h": "",
    "stdlib.h": r"\b(mkdtemp|ato[il])\b",
    "string.h": "",
    "sys/file.h": r"\bflock\(",
    "sys/inotify.h": r"\binotify_",
    "sys/ioctl.h": r"\bioctl\(",
    "sys/mman.h": r"\b(mmap|munmap|mremap|msync|mprotect|mu?n?lock(2|all)?|mincore|madvise|memfd_create)\b",
    "sys/prctl.h": r"\bprctl\b",
    "sys/resource.h": r"\brlimit\b",
    "sys/socket.h": r"\bsocketpair\b",
    "sys/stat.h": r"\b(fstat|mkdir|futimens)\b",
    "sys/statvfs.h": r"\bstatvfs\b",
    "sys/syscall.h": r"\bsyscall\b",
    "sys/types.h": "",
    "sys/uio.h": r"\breadv\b",
    "sys/wait.h": r"\bwaitpid\b",
    "unistd.h": "",
}
"""Which words need a header; all need those without."""

NEWER: Final = {
    "MREMAP_DONTUNMAP": 4,
    "MAP_FIXED_NOREPLACE": 0x100000,
    "MAP_SHARED_VALIDATE": 3,
    "MAP_SYNC": 0x80000,
    "MADV_POPULATE_READ": 22,
    "MADV_POPULATE_WRITE": 23,
    "MADV_DONTNEED_LOCKED": 24,
    "MAP_32BIT": 0x40,
    "MAP_DROPPABLE": 8,
    "MAP_UNINITIALIZED": 0x4000000,
    "F_SEAL_FUTURE_WRITE": 16,
}
"""Constants that a libc may not have yet."""

FACILITIES: Final = {
    Facility.DEV_ZERO: "/dev/zero",
    Facility.DEV_NULL: "/dev/null",
    Facility.DEV_RANDOM: "/dev/random",
    Facility.PROC_FILE: "/proc/self/maps",
    Facility.SYS_FILE: "/sys/kernel/mm/transparent_hugepage/enabled",
}
"""Those that are there on every Linux."""

MOUNTS: Final = {
    Facility.NOEXEC_DIRECTORY: (100, "8 /* noexec */"),
    Facility.OWN_FILE_SYSTEM: (101, "0"),
}
"""Those that the program mounts: the descriptor of the root, and the mount's attributes."""

LIMITS: Final = {
    Resource.ADDRESS_SPACE: 'RLIMIT_AS, "VmSize:"',
    Resource.LOCKED_MEMORY: 'RLIMIT_MEMLOCK, "VmLck:"',
    Resource.DATA: 'RLIMIT_DATA, "VmData:"',
    Resource.STACK: 'RLIMIT_STACK, "(nothing)"',
}

SETTING_UP: Final = (
    *(
        "open",
        "close",
        "dup",
        "ftruncate",
        "lseek",
        "pwrite",
        "fsync",
        "drop_cache",
        "unlink",
        "mkdir",
        "pipe",
        "set_old_mtime",
    ),
    *(
        "socketpair",
        "memfd",
        "seal",
        "flock",
        "record_lock",
        "watch",
        "fork",
        "spawn",
        "set_limit_headroom",
        "drop_capability",
        "scratch_range",
    ),
)
"""Calls that are made for others' sake: where one fails that should not, nothing can be told, unless it is the last."""

LARGEST_PAGE: Final = 1 << 16
LARGEST: Final = 1 << 26
"""Bytes at once."""


def c_source(program: Program, expected: Sequence[Allowed], title: str, clauses: Sequence[str] = ()) -> str:
    """The C file that judges a system by a program.

    `expected` has the outcomes that are allowed for each step, and none where a step is not judged; `clauses` are what
    a deviation is one from.  A program that no C file can make on any system raises NotPrintable, with the reason.
    """
    printer = _Printer(program, expected)
    body = printer.main()
    return _fill_in(printer, body, title, clauses)


class _Printer:
    """A program on its way to C: what it uses of the template is gathered while its steps are printed."""

    def __init__(self, program: Program, expected: Sequence[Allowed]) -> None:
        self.program = program
        self.expected = expected
        told = [number for number, step in enumerate(program) if not _about_the_page(step, expected[number])]
        said = any(program[number].call != "spawn" for number in told)
        self.shown = told if said else list(range(len(program)))
        """The steps that are printed: how large a page is, only where nothing else is said."""
        if not self.shown:
            raise NotPrintable("there are no steps")
        self.uses: set[str] = {"ERRORS"}
        for step in program:
            self.uses.update(HELPERS.get(step.call, "").split())
        self.numbers = {"p1": 1}
        """Of the processes, by name."""
        for number, step in enumerate(program, 1):
            if step.call in ("fork", "spawn"):
                if not step.results:
                    raise NotPrintable(f"step {number}: the new process has no name")
                self.numbers[step.results[0]] = len(self.numbers) + 1
        self.parents = {"p1": 0}
        """The process that waits for another one, by the latter's name; 0 when that is nobody's child any more."""
        self.names: dict[str, str] = {}
        """The declaration of each name."""
        self.files: list[str] = []
        self.mounts: dict[Facility, None] = {}
        self.room = 0
        """Bytes that are held at once."""
        self.restarts: list[int] = []
        """The steps in which a process starts the program again."""

    # ------------------------------------------------------------------------------------------------------- the steps

    def main(self) -> list[str]:
        """The lines of main."""
        body: list[str] = []
        block: list[str] = []
        owner = ""
        for index in self.shown:
            step = self.program[index]
            if step.call in ("spawn", "return_instruction", "facility"):
                self.parents.update(dict.fromkeys(step.results, 0))
                continue
            if step.process != owner or step.call in ("exit", "kill"):
                body += self.turn(owner, block)
                owner, block = step.process, []
            if step.call in ("exit", "kill"):
                body += self.end(index, step)
                owner = ""
                continue
            block += ["", *self.lines(index, step)]
            if step.call == "fork":
                body += self.turn(owner, block)
                owner = ""
                block = []
        body += self.turn(owner, block)
        return [*self.prologue(), *body, *self.epilogue()]

    def turn(self, owner: str, block: list[str]) -> list[str]:
        """Steps that one process makes, one after the other."""
        if not block or "PROCESSES" not in self.uses:
            return block
        return [
            "",
            f"if (by({self.numbers[owner]})) {{ /* {owner} */",
            *(f"    {line}" if line else "" for line in block[1:]),
            "}",
        ]

    def lines(self, index: int, step: Step) -> list[str]:
        """A step and what is expected of it."""
        if step.call not in CALL:
            raise NotPrintable(f"step {index + 1}: {step.call} has no likeness in C")
        arguments = dict(zip(CALLS[step.call].arguments, step.arguments, strict=True))
        prepared: list[str] = []
        texts = {"number": str(index + 1)}
        for (name, kind), value in zip(CALLS[step.call].arguments.items(), step.arguments, strict=True):
            if kind == "data":
                prepared = list(self.fill(value))  # type: ignore[arg-type]
                texts[name] = self.amount(self.length(value))  # type: ignore[arg-type]
            else:
                texts[name] = self.argument(kind, value)
        if step.call == "mremap":
            moves = int(arguments["flags"]) & (MREMAP_FIXED | MREMAP_DONTUNMAP)  # type: ignore[arg-type]
            texts["new_addr"] = f", {texts['new_addr']}" if moves else ""
        elif step.call == "open":
            creates = int(arguments["flags"]) & O_CREAT  # type: ignore[arg-type]
            texts["mode"] = f", 0{arguments['mode'].bytes:o}" if creates else ""  # type: ignore[union-attr]
            if creates:
                self.note_file(str(arguments["path"]))
        elif step.call == "mkdir":
            self.note_file(str(arguments["path"]))
        elif step.call == "record_lock":
            texts["ofd"] = "F_OFD_SETLK" if arguments["ofd"] != Sum() else "F_SETLK"
        elif step.call in ("load", "pread", "mincore"):
            self.make_room(arguments["length"])  # type: ignore[arg-type]
        call = CALL[step.call].format(**texts)
        condition, judged = self.condition(index, step)
        used = self.used_later(index)
        lines = [*prepared]
        if len(step.results) == 1 and (step.results[0] in used or re.search(rf"\b{step.results[0]}\b", condition)):
            self.declare(step, step.results)
            call = f"{step.results[0]} = {call}"
        lines.append(f"STEP({index + 1}, {call});")
        if condition:
            lines += _wrapped(f"{'EXPECT' if judged else 'NEED'}({condition});")
            self.uses.add("EXPECT" if judged else "NEED")
        if used & set(step.results) and not (condition and _all_return(self.expected[index])):
            lines.append("NEED(result != -1);")
            self.uses.add("NEED")
        if len(step.results) == 2:
            self.declare(step, step.results)
            lines += [f"{name} = pair[{place}];" for place, name in enumerate(step.results)]
        if step.call == "exec":
            self.restarts.append(index + 1)
            lines.append(f"after_{index + 1}:;")
        elif step.call == "fork":
            self.parents[step.results[0]] = self.numbers[step.process]
            lines += ["if (result == 0)", f"    me = {self.numbers[step.results[0]]};"]
        return lines

    def end(self, index: int, step: Step) -> list[str]:
        """The end of a process, which its parent waits for."""
        if step.process not in self.parents:
            raise NotPrintable(f"step {index + 1}: {step.process} has ended already")
        me, waits = self.numbers[step.process], self.parents.pop(step.process)
        self.parents.update((name, 0) for name, parent in self.parents.items() if parent == me)
        self.names.setdefault(step.process, f"pid_t {step.process};")
        if step.call == "kill":
            how, status = "raise(SIGKILL);", "-SIGKILL"
        else:
            (asked,) = step.arguments
            how = f"_exit({self.argument('count', asked)});"
            status = self.amount(Sum(bytes=asked.bytes & 0xFF)) if isinstance(asked, Sum) else "0"
        self.uses.add("EXPECT")
        return [
            "",
            f"if (by({me})) {{ /* {step.process} ends; {f'p{waits}' if waits else 'process 0'} waits for it */",
            f"    hand({waits});",
            f"    {how}",
            "}",
            f"if (by({waits})) {{",
            f"    STEP({index + 1}, wait_for({step.process}));",
            f"    EXPECT(result == {status});",
            "}",
        ]

    def prologue(self) -> list[str]:
        lines = ["page = sysconf(_SC_PAGESIZE);"]
        if "BYTES" in self.uses:
            lines.append(f"NEED(page <= {LARGEST_PAGE});")
            self.uses.add("NEED")
        if "FAULTS" in self.uses:
            lines.append("catch_faults();")
        if self.restarts:
            lines += ["switch (argc == 3 && strcmp(argv[0], AGAIN) == 0 ? take_up(argv) : 0) {"]
            lines += [line for step in self.restarts for line in (f"case {step}:", f"    goto after_{step};")]
            lines += ["}"]
        if "SCRATCH_RANGE" in self.uses:
            lines += ["free_range = find_free_range();", "NEED(free_range != MAP_FAILED);"]
            self.uses.add("NEED")
        if "FILES" in self.uses:
            lines.append("make_folder(argc > 1 ? argv[1] : NULL);")
        lines += [f"mount_at({root}, {attributes});" for root, attributes in map(MOUNTS.__getitem__, self.mounts)]
        if "PROCESSES" in self.uses:
            lines += [
                "setpgid(0, 0);",
                *["prctl(PR_SET_CHILD_SUBREAPER, 1); /* orphans are waited for here */"][: "WAIT" in self.uses],
                f"for (int i = 0; i < {len(self.numbers) + 1}; i++)",
                "    NEED(pipe(ends[i]) == 0);",
            ]
            self.uses.add("NEED")
            for name in ["p1", *(step.results[0] for step in self.program if step.call == "spawn")]:
                self.names.setdefault(name, f"pid_t {name};")
                lines += [f"if (me == 0 && ({name} = fork()) == 0)", f"    me = {self.numbers[name]};"]
            lines += ["if (me == 0) {", "    signal(SIGALRM, on_alarm);", "    alarm(20);", "}"]
        return lines

    def epilogue(self) -> list[str]:
        lines = []
        if "PROCESSES" in self.uses:
            lines += ["while (!by(0)) /* until it is all over */", "    pause();"]
        return ["", *lines, 'dprintf(1, "conforms\\n");', "finish(0);", "return 0;"]

    # ---------------------------------------------------------------------------------------------- what is expected

    def condition(self, index: int, step: Step) -> tuple[str, bool]:
        """What has to be true of a step, and whether that is judged (or only needed)."""
        allowed = self.expected[index]
        if not allowed:
            return "", True
        parts = sorted({self.outcome(index, step, outcome) for outcome in allowed}, key=lambda part: (len(part), part))
        if len(parts) > 1:
            parts = [f"({part})" if " && " in part else part for part in parts]
        only_needed = step.call in SETTING_UP and index != self.shown[-1] and _all_return(allowed)
        return " || ".join(parts), not only_needed

    def outcome(self, index: int, step: Step, outcome: SymbolicOutcome) -> str:
        if isinstance(outcome, NotExecuted):
            raise NotPrintable(f"step {index + 1}: {step}: {outcome.why}")
        if isinstance(outcome, Fails):
            self.uses.add("FAILED")
            return f"failed({outcome.errno})"
        if isinstance(outcome, Faults):
            self.uses.add("FAULTED")
            code = outcome.code or "0"
            address = "NULL" if outcome.address is None else self.address(outcome.address)
            return f"faulted({outcome.signal}, {code}, {address})"
        return self.returned(step, outcome)

    def returned(self, step: Step, outcome: Returns) -> str:
        kind, value = CALLS[step.call].result, outcome.value
        if kind == "address" and isinstance(value, Sum):
            if value in (Sum(), Sum(step.results[0] if step.results else "")):
                return "result != -1 && result % page == 0"
            return f"{step.results[0] if step.results else '(char *)result'} == {self.address(value)}"
        if kind in ("address", "fd", "fds", "process", "scratch_range"):
            return "result != -1"
        if kind == "amount" and isinstance(value, Sum):
            return f"result == {self.amount(value)}"
        if kind == "data" and isinstance(value, tuple):
            data = [run for run in value if isinstance(run, Run)]
            return " && ".join(
                [f"result == {self.amount(self.length(data)) if step.call == 'pread' else 0}", *self.holds(data)]
            )
        if step.call == "fstat" and isinstance(value, tuple):
            form, size = value
            tests = {
                "regular": "REG",
                "directory": "DIR",
                "character": "CHR",
                "block": "BLK",
                "fifo": "FIFO",
                "socket": "SOCK",
            }
            is_form = f" && S_IS{tests[str(form)]}(status.st_mode)" if form in tests else ""
            is_long = f" && status.st_size == {self.amount(size)}" if form == "regular" else ""  # type: ignore[arg-type]
            return f"result == 0{is_form}{is_long}"
        if step.call == "close_events" and isinstance(value, Sum):
            return f"result == {value.bytes}"
        if step.call == "has_old_mtime":
            return f"result == {value:d}"
        if step.call == "fragment" and isinstance(value, str):
            self.uses.add("FAILED")
            return f"failed({value})"
        return "result == 0"

    def used_later(self, index: int) -> set[str]:
        """The names that are used behind a step, or by what is expected there."""
        used: set[str] = set()
        for later in self.shown:
            if later > index:
                used.update(names_in(self.program[later]))
                for outcome in self.expected[later]:
                    value = getattr(outcome, "value", None) or getattr(outcome, "address", None)
                    if isinstance(value, Sum):
                        used.update((value.name, value.minus))
        return used

    # ------------------------------------------------------------------------------------------------------- arguments

    def argument(self, kind: str, value: Argument) -> str:
        if isinstance(value, Sum):
            return self.address(value) if kind == "address" else self.amount(value)
        if kind in PREFIXES:
            names = flag_names(kind, int(value))  # type: ignore[arg-type]
            prefix = {"seal": "F_", "sysconf": "_"}.get(kind, "")
            return " | ".join(prefix + name if name[0].isalpha() else name for name in names)
        if kind == "path":
            return self.path(str(value))
        if kind == "text" and value in list(Resource):
            return LIMITS[Resource(str(value))]
        return str(value)

    def path(self, path: str) -> str:
        for facility, real in FACILITIES.items():
            path = path.replace(f"<{facility.value}>", real)
        for facility, (root, _attributes) in MOUNTS.items():
            if f"<{facility.value}>" in path:
                self.mounts[facility] = None
                self.uses.add("MOUNTS")
                path = path.replace(f"<{facility.value}>", f"/proc/self/fd/{root}")
        if "<" in path:
            raise NotPrintable(f"{path} has to be provided for")
        if not path.startswith("/"):
            self.uses.add("FILES")
        return _literal(path.encode())

    def note_file(self, path: str) -> None:
        """A file that has to be removed."""
        if not path.startswith(("/", "<")) and path not in self.files:
            self.files.append(path)

    def declare(self, step: Step, names: Sequence[str]) -> None:
        kind = CALLS[step.call].result
        for name in names:
            self.names[name] = (
                f"char *{name};"
                if kind in ("address", "scratch_range")
                else f"{'pid_t' if kind == 'process' else 'int'} {name};"
            )

    def address(self, number: Sum) -> str:
        if number.name and not number.minus:
            return _c_text(Sum(number.name, number.pages, number.bytes))
        if number == Sum():
            return "NULL"
        text = hex(number.bytes % (1 << 64)) if number == Sum(bytes=number.bytes) else f"({self.amount(number)})"
        return f"(char *){text}"

    def amount(self, number: Sum) -> str:
        text = _c_text(number)
        for name in (number.name, number.minus):
            if name.startswith("r"):
                text = re.sub(rf"\b{name}\b", f"(long){name}", text)
        return text

    def length(self, data: Sequence[Run]) -> Sum:
        if any(run.content is Special.RETURN_INSTRUCTION for run in data):
            self.uses.add("CODE")
        try:
            return length(data)
        except ProgramError as error:
            raise NotPrintable(str(error)) from error

    def pieces(self, data: Sequence[Run]) -> Iterator[str]:
        """Each run as the arguments of `fill` and `holds`: its place, its content, its width, its length."""
        self.make_room(self.length(data))
        for index, run in enumerate(data):
            if run.content is Special.ANY:
                continue
            at = self.amount(self.length(data[:index]))
            if run.content is Special.RETURN_INSTRUCTION:
                yield f"{at}, return_instruction, {CODE}, {CODE}"
            elif isinstance(run.content, bytes):
                yield f"{at}, {_literal(run.content)}, {len(run.content)}, {self.amount(_times(run))}"

    def fill(self, data: Sequence[Run]) -> Iterator[str]:
        for piece in self.pieces(data):
            yield from _wrapped(f"fill({piece});")

    def holds(self, data: Sequence[Run]) -> Iterator[str]:
        for piece in self.pieces(data):
            self.uses.add("HOLDS")
            yield f"holds({piece})"

    def make_room(self, length: Sum) -> None:
        room = abs(length.pages) * LARGEST_PAGE + abs(length.bytes) + 16
        if room > LARGEST or length.name not in ("", CODE):
            raise NotPrintable(f"{length} bytes at once are too many")
        self.room = max(self.room, room)


# ------------------------------------------------------------------------------------------------------ plain functions


def _times(run: Run) -> Sum:
    """How many bytes a run is that is not the return code."""
    width = len(run.content)
    return Sum("", run.times.pages * width, run.times.bytes * width, run.times.minus)


def _about_the_page(step: Step, allowed: Allowed) -> bool:
    """Whether a step only asks how large a page is, which the C program does anyway."""
    return step.call == "sysconf" and step.arguments == (SC_PAGESIZE,) and set(allowed) <= {Returns(Sum(pages=1))}


def _all_return(allowed: Allowed) -> bool:
    return bool(allowed) and all(isinstance(outcome, Returns) for outcome in allowed)


def _c_text(number: Sum) -> str:
    """A sum in C, modulo 2 ** 64."""
    count = number.bytes % (1 << 64)
    if count >= (1 << 64) - (1 << 31):
        count -= 1 << 64
    text = Sum(number.name, number.pages, 0 if count.bit_length() > 31 else count, number.minus).text()
    if count.bit_length() > 31:
        return (
            hex(count)
            if text == "0"
            else f"{hex(count)} {'' if text.startswith('-') else '+ '}{text}".replace(" -", " - ", 1)
        )
    return text


def _literal(data: bytes) -> str:
    """Bytes as a string literal of C."""
    text = "".join(chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}" for byte in data)
    pieces = re.findall(r"(?:\\\d{3}|[^\\]){1,64}", text) or [""]
    return " ".join(f'"{piece}"' for piece in pieces)


def _wrapped(line: str, width: int = 100) -> Iterator[str]:
    """A long line, broken between its parts."""
    start = ""
    while len(line) > width:
        cut = max(line.rfind(mark, 0, width) for mark in (" && ", " || ", '" "'))
        if cut < 0:
            cut = min((place for mark in (" && ", " || ", '" "') if (place := line.find(mark)) >= 0), default=-1)
        if cut < 0:
            break
        yield start + line[: cut + 1]
        line = line[cut + 1 :].lstrip()
        start = "       "
    yield start + line


def _fill_in(printer: _Printer, body: Sequence[str], title: str, clauses: Sequence[str]) -> str:
    """The template with what the printer uses of it."""
    with_files = "FILES" in printer.uses
    steps = [
        f"int main({'int argc, char **argv' if with_files or printer.restarts else 'void'})",
        "{",
        *(f"    {line}" if line else "" for line in _declarations(printer, body)),
        "}",
    ]
    parameters = {
        "steps": "\n".join(steps),
        "clauses": _literal((", ".join(clauses) or "what is expected").encode()),
        "room": str(max(printer.room, 16)),
        "files": ", ".join([*(_literal(path.encode()) for path in reversed(printer.files)), "NULL"]),
        "processes": str(len(printer.numbers) + 1),
        "and_processes": ", processes" if "PROCESSES" in printer.uses else "",
        "names": _names(printer),
    }
    regions = [name for name, declaration in printer.names.items() if declaration.startswith("char *")]
    parameters["region_formats"] = "".join(f", {name} = %p" for name in regions)
    parameters["regions"] = ", ".join(f"(void *){name}" for name in regions)
    if printer.names:
        printer.uses.add("NAMES")
    if regions:
        printer.uses.add("REGIONS")
    text = "\n".join(_used((files(__package__) / "c_source.c.in").read_text("utf-8").splitlines(), printer.uses))
    for name, value in parameters.items():
        text = text.replace(f"@{name}@", value)
    includes = [f"#include <{header}>" for header, words in HEADERS.items() if not words or re.search(words, text)]
    for name, number in NEWER.items():
        if re.search(rf"\b{name}\b", text):
            includes += ["", f"#ifndef {name}", f"#define {name} {number:#x}", "#endif"]
    text = text.replace("@includes@", "\n".join(includes))
    return _heading(title, clauses, with_files) + re.sub(r"\n{3,}", "\n\n", text) + "\n"


def _declarations(printer: _Printer, body: Sequence[str]) -> list[str]:
    """The body of main with what it declares."""
    text = "\n".join(body)
    found = []
    if "&status" in text:
        found.append("struct stat status;")
    if "pair[" in text or "(pair)" in text or ", pair)" in text:
        found.append("int pair[2];")
    return [*found, *([""] if found else []), *body]


def _names(printer: _Printer) -> str:
    """The declarations of all names; with several processes in one piece, to be handed on."""
    if "PROCESSES" not in printer.uses:
        return "\n".join(f"static {declaration}" for declaration in printer.names.values())
    lines = ["static struct {", "    int verdict;", *(f"    {line}" for line in printer.names.values()), "} known;"]
    return "\n".join([*lines, *(f"#define {name} known.{name}" for name in printer.names)])


def _used(lines: Sequence[str], uses: set[str]) -> Iterator[str]:
    """The lines of the template; those between #if USES_… and #endif where that is used."""
    blocks = [(False, True)]  # (whether it is one of ours, whether its lines are kept)
    for line in lines:
        ours, kept = blocks[-1]
        word, _, condition = line.partition(" ")
        if word.startswith("#if"):
            ours = condition.startswith("USES_")
            blocks.append((ours, kept and (not ours or condition[len("USES_") :] in uses)))
        elif word == "#else" and ours:
            blocks[-1] = ours, blocks[-2][1] and not kept
        elif word == "#endif":
            blocks.pop()
        if kept and not (ours and word in ("#else", "#endif")) and not (word == "#if" and ours):
            yield line


def _heading(title: str, clauses: Sequence[str], with_files: bool) -> str:
    judged = "".join(f" *     {clause}\n" for clause in clauses)
    where = " [DIRECTORY]" if with_files else ""
    note = " * Files are made in a new folder in DIRECTORY (/tmp), and removed.\n" if with_files else ""
    return (
        f"/*\n * {title}\n *\n"
        + (f" * Judges:\n{judged} *\n" if judged else "")
        + " * Exits 0 where the system conforms, 1 where it deviates, 2 where that cannot be told.\n"
        f" *     cc -Wall -Wextra -Werror THIS.c -o reproducer && ./reproducer{where}\n{note} */\n"
    )
