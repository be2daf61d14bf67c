"""A program as one C file that depends only on a C library: a bug report that can be run.

The C program makes the steps and compares the outcome of each with those that are allowed.  It exits 0 if the behaviour
conforms, 1 if it deviates (and reports the clause, the step, the expected outcome and the observed one), and 2 if the
result is inconclusive.

Each step is a line that reads as the call that it makes, and a line that states the expectation.  The helpers that
these need are taken from the template ``c_source.c.in``, where each stands between ``#if USES_…`` and ``#endif``: only
helpers that are used are printed.

A program of several processes is one function that every process runs: each makes its own steps and skips those of the
others.  A message passes the turn to the process that makes the next step, with the values of all the names.  Process
0, which makes no steps, starts the others, waits for those without a parent, and ends those that remain.  So is a
program of which a step does not return: its process may not react to an alarm of its own, and process 0 ends it.  A
process that calls exec starts this program again, and continues after that step, with the values of the names.

A thread takes part as a process does: it begins after the step that has started it.  Calls that are made at the same
time are a loop of those that make them (`c_rounds`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from ..contract import MREMAP_DONTUNMAP, MREMAP_FIXED, O_CREAT, SC_PAGESIZE, Facility, Resource
from .c_calls import (
    C_CALLS,
    FACILITIES,
    FILE_KINDS,
    LIMITS,
    MAX_BYTES,
    MAX_PAGE,
    MOUNTS,
    SETUP_CALLS,
    USED_BLOCKS,
)
from .c_file import SECONDS, cases, fill_in
from .c_rounds import KINDS, Written, rounds
from .c_text import literal, number_text, wrapped
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

END_WITH_PARENT: Final = "prctl(PR_SET_PDEATHSIG, SIGKILL);"
"""A process that hangs may ignore other signals: it ends when process 0 does."""


MAX_THREAD_BYTES: Final = 1 << 22
"""Bytes of the buffer of loads, stores, reads and writes, of which each thread has one."""


class NotPrintable(Exception):
    """A program cannot be printed as C; the text is the reason."""


def c_source(
    program: Program, expected: Sequence[Allowed], title: str, clauses: Sequence[str] = (), hangs: bool = False
) -> str:
    """Return the C file that judges a system by a program.

    `expected` are the allowed outcomes of each step, none if a step is not judged; `clauses` are those that a deviation
    violates.  `hangs`: a step that does not return is a deviation.  Raise NotPrintable for a program that no C file can
    run on any system.
    """
    printer = Printer(program, expected, hangs)
    body = printer.steps()
    if printer.threads and printer.buffer_size > MAX_THREAD_BYTES:
        raise NotPrintable(f"a thread has no room for {printer.buffer_size} bytes")
    return fill_in(printer, body, title, clauses)


class Printer:
    """The printer of a program's steps, which collects the blocks of the template that they use."""

    def __init__(self, program: Program, expected: Sequence[Allowed], hangs: bool) -> None:
        self.program = program
        self.hangs = hangs
        self.expected = expected
        others = [number for number, step in enumerate(program) if not _asks_page_size(step, expected[number])]
        has_others = any(program[number].call != "spawn" for number in others)
        self.shown = others if has_others else list(range(len(program)))
        """The indices of the steps that are printed; steps that ask for the page size only if there are no others."""
        if not self.shown:
            raise NotPrintable("there are no steps")
        self.uses: set[str] = {"ERRORS", *(("PROCESSES", "HANGS") if hangs else ())}
        for step in program:
            self.uses.update(USED_BLOCKS.get(step.call, "").split())
        self.numbers = {"p1": 1}
        """The number of each process, by name."""
        for number, step in enumerate(program, 1):
            if step.call in ("fork", "spawn", "thread"):
                if not step.results:
                    raise NotPrintable(f"step {number}: the new process has no name")
                self.numbers[step.results[0]] = len(self.numbers) + 1
        self.parents = {"p1": 0}
        """The number of the process that waits for each process, by the latter's name; 0 if its parent has ended."""
        self.names: dict[str, str] = {}
        """The declaration of each name in C."""
        self.files: list[str] = []
        """The paths that the program creates, and removes at its end."""
        self.mounts: dict[Facility, None] = {}
        self.buffer_size = 0
        """Bytes of the buffer that loads, stores, reads and writes share."""
        self.restarts: list[int] = []
        """The numbers of the steps in which a process starts the program again."""
        self.threads: dict[int, int] = {}
        """By the number of a step in which a thread is started, the number of the thread."""
        self.round_calls = 1
        """The most calls that a step makes at the same time."""

    # ------------------------------------------------------------------------------------------------------- the steps

    def steps(self) -> list[str]:
        """Return the lines of all steps."""
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
            if step.call == "together":
                body += self.turn(owner, block)
                owner, block = "", []
                body += ["", *self.together(index, step)]
                continue
            block += ["", *self.lines(index, step)]
            if step.call in ("fork", "thread"):
                body += self.turn(owner, block)
                body += [f"after_{index + 1}:;"][: step.call == "thread"]
                owner, block = "", []
        body += self.turn(owner, block)
        return body

    def turn(self, owner: str, block: list[str]) -> list[str]:
        """Return the lines of consecutive steps of one process."""
        if not block or "PROCESSES" not in self.uses:
            return block
        return [
            "",
            f"if (by({self.numbers[owner]})) {{ /* {owner} */",
            *(f"    {line}" if line else "" for line in block[1:]),
            "}",
        ]

    def lines(self, index: int, step: Step) -> list[str]:
        """Return the lines of a step and of its expectation."""
        prepared, call, _texts = self.written(index, step)
        condition, judged = self.condition(index, step)
        used = self.used_later(index)
        lines = [*prepared]
        is_named = len(step.results) == 1 and step.call != "thread"
        if is_named and (step.results[0] in used or re.search(rf"\b{step.results[0]}\b", condition)):
            self.declare(step, step.results)
            call = f"{step.results[0]} = {call}"
        lines.append(f"STEP({index + 1}, {call});")
        if condition:
            lines += wrapped(f"{'EXPECT' if judged else 'NEED'}({condition});")
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
            lines += ["if (me)", f"    {END_WITH_PARENT}"][: 2 * self.hangs]
        return lines

    def together(self, index: int, step: Step) -> list[str]:
        """Return the lines of a step of calls that are made at the same time."""
        calls = [part for part in step.arguments[0] if isinstance(part, Step)]  # type: ignore[union-attr]
        for call in calls:
            if CALLS[call.call].result not in KINDS:
                raise NotPrintable(f"step {index + 1}: {call.call} is not made together with other calls in C")
            self.uses.update(USED_BLOCKS.get(call.call, "").split())
        if any(each.call == "exec" for each in self.program):
            raise NotPrintable(f"step {index + 1}: exec ends the memory in which the calls are counted")
        outcomes = [outcome.value for outcome in self.expected[index] if isinstance(outcome, Returns)]
        if len(outcomes) != 1 or not isinstance(outcomes[0], tuple):
            raise NotPrintable(f"step {index + 1}: what the calls may return is not known")
        allowed = [[str(text) for text in texts] for texts in outcomes[0] if isinstance(texts, tuple)]
        self.round_calls = max(self.round_calls, len(calls))
        written = [self.written(index, call) for call in calls]
        least = self.argument("count", step.arguments[1])
        return list(rounds(calls, written, self.numbers, least, allowed, index + 1))

    def written(self, index: int, step: Step) -> Written:
        """Return a step's call in C."""
        if step.call not in C_CALLS:
            raise NotPrintable(f"step {index + 1}: {step.call} has no equivalent in C")
        arguments = dict(zip(CALLS[step.call].arguments, step.arguments, strict=True))
        prepared: list[str] = []
        texts = {"number": str(index + 1)}
        if step.call == "thread":
            self.threads[index + 1] = self.numbers[step.results[0]]
            texts["thread"] = str(self.numbers[step.results[0]])
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
        elif step.call in ("mkdir", "rename", "link"):
            self.note_file(str(arguments["path" if step.call == "mkdir" else "new_path"]))
        elif step.call == "record_lock":
            texts["ofd"] = "F_OFD_SETLK" if arguments["ofd"] != Sum() else "F_SETLK"
        elif step.call in ("load", "load_in_child", "pread", "mincore"):
            self.reserve(arguments["length"])  # type: ignore[arg-type]
        call = C_CALLS[step.call].format(**texts)
        return Written(prepared, call, texts)

    def end(self, index: int, step: Step) -> list[str]:
        """Return the lines with which a process ends and its parent waits for it."""
        if step.process not in self.parents:
            raise NotPrintable(f"step {index + 1}: {step.process} has ended already")
        me, waits = self.numbers[step.process], self.parents.pop(step.process)
        self.parents.update((name, 0) for name, parent in self.parents.items() if parent == me)
        self.names.setdefault(step.process, f"pid_t {step.process};")
        if step.call == "kill":
            how, status = "raise(SIGKILL);", "-SIGKILL"
        else:
            (argument,) = step.arguments
            how = f"_exit({self.argument('count', argument)});"
            status = self.amount(Sum(bytes=argument.bytes & 0xFF)) if isinstance(argument, Sum) else "0"
        self.uses.add("EXPECT")
        return [
            "",
            f"if (by({me})) {{ /* {step.process} ends; {f'p{waits}' if waits else 'process 0'} waits for it */",
            f"    pass_turn({waits});",
            f"    {how}",
            "}",
            f"if (by({waits})) {{",
            f"    STEP({index + 1}, wait_for({step.process}));",
            f"    EXPECT(result == {status});",
            "}",
        ]

    def prologue(self) -> list[str]:
        """Return the lines of main before the first step."""
        lines = ["page = sysconf(_SC_PAGESIZE);"]
        if "BYTES" in self.uses:
            lines.append(f"NEED(page <= {MAX_PAGE});")
            self.uses.add("NEED")
        if "FAULTS" in self.uses:
            lines.append("catch_faults();")
        if self.restarts and self.threads:
            lines += ["if (argc == 3 && strcmp(argv[0], AGAIN) == 0)", "    make_steps(resume(argv));"]
        elif self.restarts:
            lines += ["switch (argc == 3 && strcmp(argv[0], AGAIN) == 0 ? resume(argv) : 0) {"]
            lines += [*cases(self.restarts), "}"]
        if "SCRATCH_RANGE" in self.uses:
            lines += ["free_range = find_free_range();", "NEED(free_range != MAP_FAILED);"]
            self.uses.add("NEED")
        if "FILES" in self.uses:
            lines.append("make_folder(argc > 1 ? argv[1] : NULL);")
        lines += [f"mount_at({root}, {noexec:d});" for root, noexec in map(MOUNTS.__getitem__, self.mounts)]
        if "ROUNDS" in self.uses:
            shared = "mmap(NULL, sizeof *rounds, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)"
            lines += [f"rounds = {shared};", "NEED(rounds != MAP_FAILED);"]
            self.uses.add("NEED")
        if "PROCESSES" in self.uses:
            lines += [
                "setpgid(0, 0);",
                *["prctl(PR_SET_CHILD_SUBREAPER, 1); /* process 0 adopts orphans */"][: "WAIT" in self.uses],
                f"for (int i = 0; i < {len(self.numbers) + 1}; i++)",
                "    NEED(pipe(pipes[i]) == 0);",
            ]
            self.uses.add("NEED")
            for name in ["p1", *(step.results[0] for step in self.program if step.call == "spawn")]:
                self.names.setdefault(name, f"pid_t {name};")
                lines += [f"if (me == 0 && ({name} = fork()) == 0)", f"    me = {self.numbers[name]};"]
            lines += ["if (me)", f"    {END_WITH_PARENT}"][: 2 * self.hangs]
            lines += ["if (me == 0) {", "    signal(SIGALRM, on_alarm);", f"    alarm({SECONDS});", "}"]
        return lines

    def epilogue(self) -> list[str]:
        """Return the lines of main after the last step."""
        lines = []
        if "PROCESSES" in self.uses:
            lines += ["while (!by(0)) /* until the last step is made */", "    pause();"]
        return ["", *lines, 'dprintf(1, "conforms\\n");', "finish(0);"]

    # ---------------------------------------------------------------------------------------------- what is expected

    def condition(self, index: int, step: Step) -> tuple[str, bool]:
        """Return the condition that a step must meet, and True if it is judged, False if it is only a precondition."""
        allowed = self.expected[index]
        if not allowed:
            return "", True
        parts = sorted({self.outcome(index, step, outcome) for outcome in allowed}, key=lambda part: (len(part), part))
        if len(parts) > 1:
            parts = [f"({part})" if " && " in part else part for part in parts]
        is_precondition = step.call in SETUP_CALLS and index != self.shown[-1] and _all_return(allowed)
        return " || ".join(parts), not is_precondition

    def outcome(self, index: int, step: Step, outcome: SymbolicOutcome) -> str:
        """Return the condition that a step has one of its allowed outcomes."""
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
        """Return the condition that a step succeeds with a result."""
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
            file_kind, size = value
            has_kind = f" && {FILE_KINDS[str(file_kind)]}(status.st_mode)" if file_kind in FILE_KINDS else ""
            has_size = f" && status.st_size == {self.amount(size)}" if file_kind == "regular" else ""  # type: ignore[arg-type]
            return f"result == 0{has_kind}{has_size}"
        if step.call == "close_events" and isinstance(value, Sum):
            return f"result == {value.bytes}"
        if step.call in ("has_old_mtime", "errno_cleared"):
            return f"result == {value:d}"
        if step.call == "fragment" and isinstance(value, str):
            self.uses.add("FAILED")
            return f"failed({value})"
        return "result == 0"

    def used_later(self, index: int) -> set[str]:
        """Return the names that later steps, or their expectations, use."""
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
        """Return an argument, other than data, as an expression of C."""
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
        """Return a path as a string literal of C.  Raise NotPrintable if a facility in it is not available in C."""
        for facility, real in FACILITIES.items():
            path = path.replace(f"<{facility.value}>", real)
        for facility, (root, _noexec) in MOUNTS.items():
            if f"<{facility.value}>" in path:
                self.mounts[facility] = None
                self.uses.update(("MOUNTS", "FILES"))
                path = path.replace(f"<{facility.value}>", f"/proc/self/fd/{root}")
        if "<" in path:
            raise NotPrintable(f"{path} must be provided by the tester")
        if not path.startswith("/"):
            self.uses.add("FILES")
        return literal(path.encode())

    def note_file(self, path: str) -> None:
        """Note a file that the program creates, and must remove."""
        if not path.startswith(("/", "<")) and path not in self.files:
            self.files.append(path)

    def declare(self, step: Step, names: Sequence[str]) -> None:
        """Declare variables for the results of a step."""
        kind = CALLS[step.call].result
        for name in names:
            self.names[name] = (
                f"char *{name};"
                if kind in ("address", "scratch_range")
                else f"{'pid_t' if kind == 'process' else 'int'} {name};"
            )

    def address(self, number: Sum) -> str:
        """Return an address as an expression of type char *."""
        if number.name and not number.minus:
            return number_text(Sum(number.name, number.pages, number.bytes))
        if number == Sum():
            return "NULL"
        text = hex(number.bytes % (1 << 64)) if number == Sum(bytes=number.bytes) else f"({self.amount(number)})"
        return f"(char *){text}"

    def amount(self, number: Sum) -> str:
        """Return a number as an expression of an integer type."""
        text = number_text(number)
        for name in (number.name, number.minus):
            if name.startswith("r"):
                text = re.sub(rf"\b{name}\b", f"(long){name}", text)
        return text

    def length(self, data: Sequence[Run]) -> Sum:
        """Return the length of data.  Raise NotPrintable if no sum expresses it."""
        if any(run.content is Special.RETURN_INSTRUCTION for run in data):
            self.uses.add("CODE")
        try:
            return length(data)
        except ProgramError as error:
            raise NotPrintable(str(error)) from error

    def pieces(self, data: Sequence[Run]) -> Iterator[str]:
        """Yield each run as the arguments of `fill` and `holds`: its offset, content, width and length, in bytes."""
        self.reserve(self.length(data))
        for index, run in enumerate(data):
            if run.content is Special.ANY:
                continue
            at = self.amount(self.length(data[:index]))
            if run.content is Special.RETURN_INSTRUCTION:
                yield f"{at}, return_instruction, {CODE}, {CODE}"
            elif isinstance(run.content, bytes):
                yield f"{at}, {literal(run.content)}, {len(run.content)}, {self.amount(_run_length(run))}"

    def fill(self, data: Sequence[Run]) -> Iterator[str]:
        """Yield the statements that put data into the buffer."""
        for piece in self.pieces(data):
            yield from wrapped(f"fill({piece});")

    def holds(self, data: Sequence[Run]) -> Iterator[str]:
        """Yield the conditions that the buffer has this content."""
        for piece in self.pieces(data):
            self.uses.add("HOLDS")
            yield f"holds({piece})"

    def reserve(self, length: Sum) -> None:
        """Make the buffer large enough for `length` bytes."""
        size = abs(length.pages) * MAX_PAGE + abs(length.bytes) + 16
        if size > MAX_BYTES or length.name not in ("", CODE):
            raise NotPrintable(f"{length} bytes in one call are too many")
        self.buffer_size = max(self.buffer_size, size)


# ------------------------------------------------------------------------------------------------------ plain functions


def _run_length(run: Run) -> Sum:
    """Return the length in bytes of a run other than the return instruction."""
    width = len(run.content)
    return Sum("", run.times.pages * width, run.times.bytes * width, run.times.minus)


def _asks_page_size(step: Step, allowed: Allowed) -> bool:
    """Return True if a step only asks for the page size, which every C file does anyway."""
    return step.call == "sysconf" and step.arguments == (SC_PAGESIZE,) and set(allowed) <= {Returns(Sum(pages=1))}


def _all_return(allowed: Allowed) -> bool:
    """Return True if a step must succeed."""
    return bool(allowed) and all(isinstance(outcome, Returns) for outcome in allowed)
