# PYTHON_ARGCOMPLETE_OK
"""`mmapconf …`, or `python -m pytest_mmapconf …`: commands other than running the cases.

With argcomplete (the extra `completion`) a shell completes the commands and their options.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from .catalogue.clauses import LEVELS
from .catalogue.tables import did_you_mean
from .version import suite_version

SCRIPT: Final = "mmapconf"
"""The name of the console script."""


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Return a type for argparse: a whole number within these bounds."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{text}: must be a whole number from {least} to {most}")
        return number

    return parse


WORKERS: Final = whole_number(1, 4096)
PROGRAMS: Final = whole_number(0, 10**9)


def level(text: str) -> str:
    """Return the level that `text` names; a type for argparse."""
    if text not in LEVELS:
        raise argparse.ArgumentTypeError(f"{text}: no such level; {did_you_mean(text, LEVELS)}")
    return text


def called_as() -> str:
    """Return the command by which the user has called this program, for its help."""
    name = os.path.basename(sys.argv[0])
    return name if name == SCRIPT else f"python -m {__package__}"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog=called_as(),
        description="Conformance of memory-mapped I/O.",
        epilog="The cases are run by pytest: pytest --mmap-backend=native",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"pytest-mmapconf {suite_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser("agent", help="build the agent of the native backend and print its path")
    command.add_argument(
        "--source", action="store_true", help="only print the path of its source, to build it for another machine"
    )
    command = commands.add_parser("print", help="the worked example: print a file through a mapping", add_help=False)
    command.add_argument("arguments", nargs=argparse.REMAINDER)
    command = commands.add_parser("clauses", help="list the clauses")
    command.add_argument("--level", type=level, default=LEVELS[-1], help="up to this level (default: all)")
    command.add_argument("globs", metavar="GLOB", nargs="*", help="only those whose id matches")
    commands.add_parser("backends", help="list the names of backends")
    command = commands.add_parser("recipes", help="list the implementations that can be judged here by name")
    command.add_argument("files", metavar="FILE", nargs="*", type=Path, help="a file with further recipes")
    command.add_argument("--json", action="store_true", help="print the list as JSON")
    add_mutants(commands)
    command = commands.add_parser("tour", help="the axes and values of the tour, the pairs that its rows have")
    command.add_argument("--rows", action="store_true", help="make the rows anew and print their ids")
    command = commands.add_parser("variants", help="whether every conforming variant of the reference passes the cases")
    command.add_argument("globs", metavar="GLOB", nargs="*", help="only those whose name matches")
    command.add_argument(
        "-n",
        dest="workers",
        metavar="N",
        type=WORKERS,
        help="number of processes (default: one for each processor)",
    )
    command.add_argument(
        "--used", action="store_true", help="in used processes, as --mmap-process=used; without the tour"
    )
    add_reports(commands)
    add_grade(commands)
    command = commands.add_parser(
        "vendor", help="copy this suite into another project, or upgrade a copy to this version"
    )
    command.add_argument("dest", metavar="DEST", type=Path, help="the copy's directory, such as third_party/mmapconf")
    command.add_argument("--name", metavar="PACKAGE", help="the name to import it by (default: from DEST)")
    command.add_argument("--check", action="store_true", help="only check that the copy is complete and unmodified")
    command.add_argument("--force", action="store_true", help="overwrite local modifications")
    command = commands.add_parser("reach", help="write a page with the errors and faults that the cases reach")
    command.add_argument("--backend", metavar="STRING", action="append", default=[], help="also on this backend")
    command.add_argument("--dir", metavar="DIR", help="the file system under test is the one that holds DIR")
    command.add_argument("--disruptive", action="store_true", help="allow cases that disturb the machine for a moment")
    command.add_argument("-o", dest="output", metavar="PAGE.md", help="the file to write (default: stdout)")
    command.add_argument("--check", action="store_true", help="write no page, only look for gaps")
    return parser


def add_mutants(commands: Any) -> None:
    """Add the command that runs mutants."""
    command = commands.add_parser("mutants", help="which cases and random programs kill which mutant of the reference")
    command.add_argument("globs", metavar="GLOB", nargs="*", help="only those whose id or clause matches")
    command.add_argument("--level", type=level, default=LEVELS[-1], help="with the cases up to this level")
    command.add_argument(
        "-n",
        dest="workers",
        metavar="N",
        type=WORKERS,
        help="number of processes (default: one for each processor)",
    )
    command.add_argument(
        "--programs",
        metavar="N",
        type=PROGRAMS,
        help="number of random programs for each, at most",
    )
    command.add_argument("--all", action="store_true", help="every case that kills a mutant, not only the first")
    command.add_argument("--check", action="store_true", help="the gate: fail if something is missing")
    command.add_argument("--json", metavar="PATH", help="also write the matrix to this file")
    help = "also write which random program finds each mutant, as conformance/mutant_finds.toml has it"
    command.add_argument("--finds", metavar="PATH", help=help)
    command.add_argument("--list", action="store_true", help="run nothing, list the mutants")
    help = "a sample of N mutants that are wrong in one state only, on the cases and the tour"
    command.add_argument("--conditional", metavar="N", type=int, help=help)
    command.add_argument("--seed", default="1", help="of the sample (default: 1)")
    command.add_argument("--tour", action="store_true", help="which mutants the tour kills alone")


def add_reports(commands: Any) -> None:
    """Add the commands that make reports from JSON reports."""
    of_shards = "merge the JSON reports of shards; set several backends side by side"
    of_many = "a page about many implementations, from their JSON reports, with a badge of each beside it"
    for name, purpose, output in (
        ("report", of_shards, "the output: .html, .md, .json or (of one backend) .svg; repeatable"),
        ("implementations", of_many, "the page: .md or .html; repeatable"),
    ):
        command = commands.add_parser(name, help=purpose)
        help = "a report written by --mmap-report=FILE.json"
        command.add_argument("files", metavar="FILE.json", nargs="+", help=help)
        command.add_argument("-o", dest="outputs", metavar="PATH", action="append", required=True, help=output)


def add_grade(commands: Any) -> None:
    """Add the command `grade` to the commands of a parser."""
    command = commands.add_parser("grade", help="points for the reports of a class, in one table")
    command.add_argument(
        "--scope", metavar="SCOPE", default="", help="the --mmap-scope that the reports were made with"
    )
    command.add_argument(
        "--points", metavar="POINTS", required=True, help="the rows of the grade: a file (TOML), or mmap-lab"
    )
    command.add_argument("--model", metavar="FILE.json", help="the report of a model solution: what it passes counts")
    command.add_argument(
        "files", metavar="REPORT.json", nargs="+", help="a report written by --mmap-report=REPORT.json"
    )
    help = "also write the table to this file: .txt, .csv or .html; repeatable"
    command.add_argument("-o", dest="outputs", metavar="PATH", action="append", default=[], help=help)


def report(files: Sequence[str], outputs: Sequence[str]) -> int:
    """Merge JSON reports into other reports, and return the exit status.  Raises UsageError and OutputError."""
    import pytest

    from .report import merge
    from .report.json_report import InvalidReport

    try:
        return merge.main(files, outputs)
    except (InvalidReport, merge.Contradiction) as error:
        raise pytest.UsageError(str(error)) from error


def implementations(files: Sequence[str], outputs: Sequence[str]) -> int:
    """Write the page of implementations, and return the exit status.  Raises UsageError and OutputError."""
    import pytest

    from .report import implementations, merge
    from .report.json_report import InvalidReport

    try:
        return implementations.main(merge.merged(merge.read_files(map(Path, files))), [*map(Path, outputs)])
    except (InvalidReport, merge.Contradiction) as error:
        raise pytest.UsageError(str(error)) from error


def recipe_lines(files: Sequence[Path], as_json: bool) -> list[str]:
    """Return the list of recipes, those of files of the user included.  Raises UsageError."""
    import json

    import pytest

    from .recipes import listing
    from .recipes.recipe import RecipeError

    try:
        if as_json:
            return [json.dumps(list(listing.entries(files)), indent=1)]
        return list(listing.lines(files))
    except RecipeError as error:
        raise pytest.UsageError(str(error)) from error


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the parsed command line.  Exits with status 2, and the nearest name, if it is not valid."""
    whole = parser()
    if "_ARGCOMPLETE" in os.environ and find_spec("argcomplete") is not None:
        from argcomplete import autocomplete

        autocomplete(whole)
    (commands,) = (action.choices for action in whole._actions if isinstance(action, argparse._SubParsersAction))
    first = next(iter(arguments), "")
    if first and not first.startswith("-") and first not in commands:
        whole.error(f"{first}: no such command; {did_you_mean(first, commands)}")
    return whole.parse_args(arguments)


def run_mutants(asked: argparse.Namespace) -> int:
    """List mutants, or run them as asked; return the exit status.  Raises UsageError and OutputError."""
    from .gates import conditional_sample, mutants_command

    workers = asked.workers or mutants_command.default_workers()
    programs = mutants_command.PROGRAMS if asked.programs is None else asked.programs
    if asked.list or asked.tour or asked.conditional:
        mutants = mutants_command.select(asked.globs, asked.level)
        if asked.list:
            print("\n".join(mutants_command.list_mutants(mutants)))
            return 0
        if asked.tour:
            return conditional_sample.main_tour(mutants, asked.level, workers)
        return conditional_sample.main(mutants, asked.conditional, asked.seed, asked.level, workers)
    outputs = asked.json, asked.finds
    return mutants_command.main(asked.globs, asked.level, workers, programs, asked.all, asked.check, *outputs)


def print_tour(makes_rows: bool) -> int:
    """Print the axes and pairs of the tour, or the ids of its rows, made anew; return the exit status."""
    from .tour import command

    print("\n".join(command.row_ids() if makes_rows else command.lines()))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status; 141, as for SIGPIPE, if the reader of the output ends before it.

    In that case standard output becomes /dev/null, so that Python's own flush at its end does not fail again.
    """
    try:
        status = run(argv)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def run(argv: Sequence[str] | None) -> int:
    """Run one command and return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["print"]:  # all other arguments are the example's, even if they look like options
        from .worked_example import main as example

        return example(arguments[1:])
    asked = parse(arguments)
    if asked.command == "agent":
        from .agent.build import SOURCE, build_agent

        print(SOURCE if asked.source else build_agent())
        return 0
    if asked.command == "grade":
        from .grading import command

        return command.main(asked.scope, asked.points, asked.model, asked.files, asked.outputs)
    if asked.command == "vendor":
        from .vendoring import vendor

        return vendor.main(asked.dest, asked.name, check_only=asked.check, force=asked.force)
    if asked.command == "tour":
        return print_tour(asked.rows)
    import pytest

    from . import backends
    from .plugin import listing, options
    from .report.outputs import OutputError

    try:
        if asked.command == "reach":
            from .contract import Options
            from .gates import reachability

            judged_with = Options(asked.dir, disruptive=asked.disruptive)
            return reachability.main(asked.backend, judged_with, asked.output, asked.check)
        if asked.command == "report":
            return report(asked.files, asked.outputs)
        if asked.command == "implementations":
            return implementations(asked.files, asked.outputs)
        if asked.command == "variants":
            from .gates import mutants_command, variants

            return variants.main(asked.globs, asked.workers or mutants_command.default_workers(), asked.used)
        if asked.command == "mutants":
            return run_mutants(asked)
        if asked.command == "recipes":
            lines = recipe_lines(asked.files, asked.json)
        elif asked.command == "clauses":
            lines = listing.clauses(options.selected_clauses(asked.level, asked.globs).values())
        else:
            lines = listing.backend_lines(backends.named_backends(()))
    except (pytest.UsageError, OutputError) as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
