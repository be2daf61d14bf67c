"""`python -m pytest_mmapconf …`: what is useful beside judging."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .catalogue.clauses import LEVELS


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}", description="Conformance of memory-mapped I/O.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser("agent", help="build the agent of the native backend and print its path")
    command.add_argument(
        "--source", action="store_true", help="only print where its source is, to be built for elsewhere"
    )
    command = commands.add_parser("print", help="the worked example: print a file through a mapping", add_help=False)
    command.add_argument("arguments", nargs=argparse.REMAINDER)
    command = commands.add_parser("clauses", help="list the clauses")
    command.add_argument("--level", choices=LEVELS, default=LEVELS[-1], help="up to this level (default: all)")
    command.add_argument("globs", metavar="GLOB", nargs="*", help="only those whose id matches")
    commands.add_parser("backends", help="list the backends that can be named")
    command = commands.add_parser("mutants", help="which case catches which known-bad reference; random programs too")
    command.add_argument("globs", metavar="GLOB", nargs="*", help="only those whose id, or a clause of theirs, matches")
    command.add_argument("--level", choices=LEVELS, default=LEVELS[-1], help="with the cases up to this level")
    command.add_argument("-n", dest="workers", metavar="N", type=int, help="so many processes (default: all there are)")
    command.add_argument("--programs", metavar="N", type=int, help="so many random programs for each at most")
    command.add_argument("--all", action="store_true", help="every case that catches one, not only the first")
    command.add_argument("--check", action="store_true", help="the gate: fail where something is missing")
    command.add_argument("--json", metavar="PATH", help="also write the matrix to this file")
    command.add_argument("--list", action="store_true", help="run nothing, list the mutants")
    command = commands.add_parser("report", help="merge the JSON reports of shards; set several backends side by side")
    command.add_argument("files", metavar="FILE.json", nargs="+", help="what --mmap-report=FILE.json has written")
    help = "where it goes: .html, .md, .json or (of one backend) .svg; repeatable"
    command.add_argument("-o", dest="outputs", metavar="PATH", action="append", required=True, help=help)
    command = commands.add_parser(
        "vendor", help="copy this suite into another project, or bring a copy to this version"
    )
    command.add_argument("dest", metavar="DEST", type=Path, help="the copy's folder, such as third_party/mmapconf")
    command.add_argument("--name", metavar="PACKAGE", help="what it is imported as (default: by DEST)")
    command.add_argument("--check", action="store_true", help="only say whether the copy is whole and unmodified")
    command.add_argument("--force", action="store_true", help="overwrite local modifications")
    command = commands.add_parser("reach", help="which errors and faults the cases reach, as a page")
    command.add_argument("--backend", metavar="STRING", action="append", default=[], help="also on this backend")
    command.add_argument("--dir", metavar="DIR", help="the file system under test is the one that holds DIR")
    command.add_argument("--disruptive", action="store_true", help="allow what disturbs the machine for a moment")
    command.add_argument("-o", dest="output", metavar="PAGE.md", help="where the page goes (default: stdout)")
    command.add_argument("--check", action="store_true", help="make no page, only look for holes")
    return parser


def report(files: Sequence[str], outputs: Sequence[str]) -> int:
    """Make reports of JSON reports, and return the exit status.  Raises UsageError."""
    import pytest

    from .report import merge
    from .report.json_report import InvalidReport
    from .report.outputs import OutputError

    try:
        return merge.main(files, outputs)
    except (InvalidReport, merge.Contradiction, OutputError) as error:
        raise pytest.UsageError(str(error)) from error


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["print"]:  # all that follows is the example's own, also what looks like an option
        from .worked_example import main as example

        return example(arguments[1:])
    asked = parser().parse_args(arguments)
    if asked.command == "agent":
        from .agent.build import SOURCE, build_agent

        print(SOURCE if asked.source else build_agent())
        return 0
    if asked.command == "vendor":
        from .vendoring import vendor

        return vendor.main(asked.dest, asked.name, check_only=asked.check, force=asked.force)
    import pytest

    from .plugin import backends, listing, options

    try:
        if asked.command == "reach":
            from .contract import Options
            from .gates import reachability

            judged_with = Options(asked.dir, disruptive=asked.disruptive)
            return reachability.main(asked.backend, judged_with, asked.output, asked.check)
        if asked.command == "report":
            return report(asked.files, asked.outputs)
        if asked.command == "mutants":
            from .gates import mutation_matrix as matrix

            if not asked.list:
                workers = asked.workers or matrix.default_workers()
                programs = matrix.PROGRAMS if asked.programs is None else asked.programs
                return matrix.main(asked.globs, asked.level, workers, programs, asked.all, asked.check, asked.json)
            lines = matrix.listed(matrix.chosen(asked.globs, asked.level))
        elif asked.command == "clauses":
            lines = listing.clauses(options.selected_clauses(asked.level, asked.globs).values())
        else:
            lines = listing.backend_lines(backends.named_backends(()))
    except pytest.UsageError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
