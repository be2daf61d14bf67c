"""Mutate files that users write, and read them: each must be read, or refused with an error of the suite's own.

    python benchmarks/fuzz_files.py [--files 100000] [--seed 1] [--seconds 2]

The files are those of --mmap-expectations, JSON reports, programs as JSON, and catalogues of clauses.  Each mutation is
one or several of bytes replaced, removed, doubled; a value of another type; a part of another file; deep nesting; long
numbers; surrogates and control characters.  What is read is also used: programs are written again, reports
are written as HTML and Markdown.  The run fails for any other exception, and for a file that takes longer than
`--seconds`.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from pytest_mmapconf.catalogue import clauses
from pytest_mmapconf.catalogue.verdicts import CaseResult, judge_all
from pytest_mmapconf.contract import MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE, Facts
from pytest_mmapconf.expectations import file as expectations
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.report import html, json_report, markdown
from pytest_mmapconf.report.result import Run
from pytest_mmapconf.trace import program
from pytest_mmapconf.trace.recorder import RecordedBackend

EXPECTATIONS = """
[[expect]]
case = "munmap.range[whole]"
verdict = "fail"
reason = "munmap leaves the last page"
link = "https://bugs.example/17"
when = { kernel = ">=6.1,<6.17", backend = "!reference" }

[[expect]]
clause = "msync.*"
verdict = "flaky"
reason = "seldom"
when = { file_system = ["tmpfs", "ext*"], libc = "glibc >=2.36" }
"""

CATALOGUE = """
[[clause]]
id = "munmap.range"
level = "documented"
text = "It removes the pages."
observed = "by a load"
source = "chapter 06_02"
when = { property = ["fixed", "!reservation"], kernel = ">=6.1" }
"""

MAX_MESSAGE = 2000
"""Characters of the longest message of an error."""

TOKENS = (
    *('"', "{", "}", "[", "]", "=", ",", "\n", "[[expect]]", "null", "true", "-1", "1e999", "NaN", "1.5", "{}", "[]"),
    *("\\ud800", "\\u0000", "\x1b[31m", "\u202e", "\x00", "\x7f", "𝄞", "*", "..", "'''", '"""', "0x", "1979-05-27"),
    *("2**999", "pages(-1)", "r1 - r2 - r3"),
    *("p1", "p2", "r1", "fd1", "code", "mmap", "spawn", "run_concurrently", "fail", "unsupported", "documented"),
)


LONG = ("[" * 100_000, '{"a":' * 2000, "9" * 5000, "A" * 70_000, "a." * 3000)
"""Tokens that are used seldom, as each takes long."""


def token(random: Random) -> str:
    """Return a token."""
    return random.choice(LONG if random.random() < 0.01 else TOKENS)


def recorded_program() -> str:
    """Return a program with most kinds of arguments, as JSON."""
    system = RecordedBackend(ReferenceBackend()).boot()
    process = system.spawn()
    page = process.sysconf(30)
    fd = process.open("file", 0o102, 0o600)
    process.pwrite(fd, b"abc" * 20, page - 5)
    base = process.mmap(0, 2 * page + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    process.store(base + page - 1, b"\x00\xff\n")
    process.munmap(base + page, page)
    process.fork().exit(3)
    process.pipe()
    process.close(fd)
    steps, _ = system.program()
    return program.to_json(steps)


def recorded_report() -> str:
    """Return a JSON report with passes, failures and evidence."""
    cases = [
        CaseResult("munmap.range[a]", ("munmap.range",), "pass", "", {"address": 4096}),
        CaseResult("munmap.range[b]", ("munmap.range",), "fail", "the page remains", {}, ["b.c", "b.json"]),
        CaseResult("msync.flush", ("msync.flush",), "unresolved", "the agent is gone"),
    ]
    cases[1].cause = {"call": "munmap", "answer": "wrong effect", "shown by": "load → success", "step": "p1.munmap(r1)"}
    cases[1].evidence = {"expected": "SIGSEGV", "seen": "success", "allowed": ["SIGSEGV"], "pictures": []}
    judged = tuple(judge_all(clauses.load(), cases))
    facts = Facts("native", "Linux 6.18", {"kernel": "Linux 6.18", "page": "4096"})
    run = Run("0.1.0", facts, "linux", "2026-11-26T17:00:00+00:00", 3, False, judged, tuple(cases))
    return json.dumps(json_report.document(run), indent=1)


def read_expectations(text: str, folder: Path) -> None:
    (folder / "known.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
    for entry in expectations.parse(expectations.read("known.toml", folder)):
        str(entry), entry.summary, entry.as_data, entry.matches("munmap.range[whole]")
        if entry.when is not None:
            str(entry.when), entry.when.unmet(Facts("native", "6.1", {"kernel": "Linux 6.18-rc1", "libc": "musl"}))


def read_program(text: str, folder: Path) -> None:
    steps = program.from_json(text)
    assert program.from_json(program.to_json(steps)) == steps
    for step in steps:
        str(step)


def read_report(text: str, folder: Path) -> None:
    (folder / "report.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    runs = json_report.read((folder / "report.json").read_text("utf-8"))
    for run in runs:
        json.dumps(json_report.document(run)).encode()
    if runs:
        html.page(runs).encode()
        markdown.markdown(runs).encode()


def read_catalogue(text: str, folder: Path) -> None:
    clauses.parse(text)


class Format(NamedTuple):
    """A format of files: an example, its reader, and the errors by which the reader may refuse a file."""

    example: Callable[[], str]
    read: Callable[[str, Path], None]
    refusal: type[Exception]


FORMATS = {
    "expectations": Format(lambda: EXPECTATIONS, read_expectations, expectations.ExpectationError),
    "catalogue": Format(lambda: CATALOGUE, read_catalogue, clauses.CatalogueError),
    "program": Format(recorded_program, read_program, program.ProgramError),
    "report": Format(recorded_report, read_report, json_report.InvalidReport),
}


def changed_value(value: Any, random: Random) -> Any:
    """Return parsed JSON in which one value, at a random place, is another."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        name = random.choice(list(value))
        if random.random() < 0.1:
            return {**value, token(random)[:100]: value[name]}
        return {key: changed_value(entry, random) if key == name else entry for key, entry in value.items()}
    if isinstance(value, list) and value and random.random() < 0.9:
        at = random.randrange(len(value))
        return [*value[:at], changed_value(value[at], random), *value[at + (random.random() < 0.9) :]]
    others: tuple[Any, ...]
    others = (None, True, False, -1, 0, 1 << 64, 10**4000, 1.5, "", [], {}, [[]], "p1", value, [value], {"a": value})
    return random.choice([*others, *[token(random) for _ in others]])


def mutated(text: str, random: Random) -> str:
    """Return the text with some mutations."""
    if text.startswith("{") and random.random() < 0.5:
        document = json.loads(text)
        for _ in range(random.choice((1, 1, 2, 5))):
            document = changed_value(document, random)
        return json.dumps(document)
    for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
        at = random.randrange(len(text) + 1)
        end = min(len(text), at + random.choice((0, 1, 1, 4, 30, 300)))
        inside = random.choice((token(random), "", text[at:end] * 2, chr(random.randrange(0x300)), text[end:at:-1]))
        text = text[:at] + inside + text[end:]
    return text


def too_slow(_number: int, _frame: object) -> None:
    raise TimeoutError("the time limit")


def main() -> int:
    """Read mutated files until the count is reached; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0, help="CPU time that one file may take")
    options = parser.parse_args()
    random = Random(options.seed)
    examples = {name: of.example() for name, of in FORMATS.items()}
    for name, of in FORMATS.items():
        with tempfile.TemporaryDirectory() as directory:
            of.read(examples[name], Path(directory))  # as it is, each is valid
    counts: Counter[str] = Counter()
    began = time.monotonic()
    signal.signal(signal.SIGPROF, too_slow)
    with tempfile.TemporaryDirectory() as directory:
        for number in range(options.files):
            name = list(FORMATS)[number % len(FORMATS)]
            text = mutated(examples[name], random)
            signal.setitimer(signal.ITIMER_PROF, options.seconds)
            try:
                FORMATS[name].read(text, Path(directory))
                counts[f"{name} read"] += 1
            except FORMATS[name].refusal as refused:
                counts[f"{name} refused"] += 1
                if len(str(refused)) > MAX_MESSAGE or not str(refused).replace("\n", "").isprintable():
                    counts["wrong"] += 1
                    print(f"{name}, file {number}: the message is not printable or too long: {str(refused)[:300]!r}")
            except Exception:
                counts["wrong"] += 1
                print(f"{name}, file {number} of seed {options.seed}: {text[:2000]!r}")
                traceback.print_exc(limit=-4)
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
            if counts["wrong"] >= 10:
                break
    seconds = time.monotonic() - began
    print(f"{number + 1} files, seed {options.seed}, {seconds:.0f} s: {dict(sorted(counts.items()))}")
    return 1 if counts["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
