"""The pytest plugin: its options and markers, and the start of everything else.

pytest loads this module in every run of an environment in which the suite is installed, also in runs that judge no
implementation.  So the module only declares its options until `--mmap-backend`, or the ini option of that name, is
given.  The rest of the plugin starts in `activation`, which only such a run imports.

All imports are relative, so a copy of the package works under any name.  A copy is loaded with `-p`, and pytest loads
these plugins before installed ones; the copy then blocks an installed suite, which may have another version.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import pytest

MARKERS = (
    "clause(*ids): the clauses that a case judges (mmap-conformance)",
    "mmap_needs(*properties): properties of the system that a case needs in addition to what it judges",
    "mmap_random: a case with random input, which a seed determines",
    "mmap_tour: a row of the tour: one call in one state, generated, and the same in every run",
    "mmap_crash: a case that crashes a file system",
)

ENTRY_POINT = "mmapconf"
"""The name of an installed suite's plugin."""

LEVELS = "documented, posix or linux, each including those before it"


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from . import hookspecs

    hook = getattr(pluginmanager.hook, hookspecs.pytest_mmapconf_backends.__name__, None)
    if hook is not None and hook.has_spec():
        installed = pluginmanager.has_plugin(ENTRY_POINT)
        raise pytest.UsageError(
            f"{__name__}: another copy of the suite is loaded already; "
            + (f"leave the installed one out with -p no:{ENTRY_POINT}" if installed else "name one of them only")
        )
    pluginmanager.add_hookspecs(hookspecs)
    if not pluginmanager.has_plugin(ENTRY_POINT):
        pluginmanager.set_blocked(ENTRY_POINT)


EXITING_OPTIONS = {
    "--mmap-smoke": "check that the adapter works, say how to repair it, and exit",
    "--mmap-list-clauses": "list the clauses of --mmap-level, and exit",
    "--mmap-list-backends": "list the names and forms of backends, and exit",
}
"""Options that run no case: name -> help."""


class Option(NamedTuple):
    """An option that the ini file can set as well, by the same name with underscores and without the dashes."""

    name: str
    metavar: str
    help: str
    default: str = ""
    """The value if neither gives one; of a repeatable option that is no value, of a switch False."""
    type: Literal["string", "bool", "args", "paths"] = "string"
    """The type of the ini option: "bool" is a switch, "args" and "paths" are repeatable options."""


OPTIONS = (
    Option(
        "--mmap-backend",
        "BACKEND",
        "judge this implementation: reference, native, agent:COMMAND, python:MODULE:FACTORY, or a name from the list",
    ),
    Option(
        "--mmap-recipes",
        "FILE",
        "further recipes of implementations (TOML), which --mmap-backend then names; repeatable",
        type="args",
    ),
    Option("--mmap-level", "LEVEL", f"judge clauses up to this level: {LEVELS} (default: documented)", "documented"),
    Option("--mmap-clause", "GLOB", "judge only clauses whose id matches; repeatable", type="args"),
    Option(
        "--mmap-scope",
        "SCOPE",
        "ask only for what this scope promises: a file (TOML), or the name of a scope that comes with the suite",
    ),
    Option(
        "--mmap-process",
        "KIND",
        "run cases in new processes (new, the default), or in children that have changed files and rights (used)",
        "new",
    ),
    Option("--mmap-timeout", "SECONDS", "seconds that one call may take (default: 30)", "30"),
    Option(
        "--mmap-start-timeout",
        "SECONDS",
        "seconds that the start of the implementation, and each boot, may take (default: as --mmap-timeout)",
    ),
    Option("--mmap-dir", "DIR", "test the file system that holds this directory"),
    Option(
        "--mmap-disruptive", "", "allow cases that disturb the machine for a moment (a full file table)", type="bool"
    ),
    Option(
        "--mmap-lockstep",
        "",
        "run every case on the reference as well, side by side; the first difference fails the case",
        type="bool",
    ),
    # A search (`search_plan`).
    Option("--mmap-steps", "N", "run random programs of N steps in total, instead of a short series"),
    Option("--mmap-for", "TIME", "run random programs for a time, such as 30m or 8h, instead of a short series"),
    Option(
        "--mmap-exhaustive",
        "K",
        "instead of random programs, make every call in every small state that K calls can reach",
    ),
    Option("--mmap-max-findings", "N", "end a search after this many distinct differences (default: 20)", "20"),
    Option(
        "--mmap-findings",
        "DIR",
        "keep the findings and the progress of a search in this directory, and go on from there",
    ),
    Option(
        "--mmap-replay",
        "FILE",
        "run this program (JSON) in lockstep with the reference, instead of the suite's cases",
    ),
    # What a run writes, and its parts.
    Option(
        "--mmap-reproducers",
        "DIR",
        "write programs that reproduce each failure to this directory: in C, as a test, and as JSON",
    ),
    Option(
        "--mmap-shard",
        "I/N",
        "run only the I-th of N parts of the cases; a case stays in its part when others are added",
    ),
    Option(
        "--mmap-report",
        "PATH",
        "write a report of the run to this file: .json, .html, .md (a summary), or .svg (a badge); repeatable",
        type="paths",
    ),
    Option(
        "--mmap-expectations",
        "FILE",
        'deviations on record (TOML; "known": those of the recipe), so that only new ones fail the run; repeatable',
        type="args",
    ),
)
"""The options with a value in the ini file, in the order of the help."""

ONLY_ONCE = {
    "--mmap-update-expectations": (
        "add the failures of this run to the last file of --mmap-expectations, and remove entries that pass"
    ),
    **EXITING_OPTIONS,
}
"""Switches that no ini file sets: name -> help."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("mmapconf", "conformance of mmap, munmap, mremap, msync and sysconf")
    for option in OPTIONS:
        ini = option.name.removeprefix("--").replace("-", "_")
        if option.type == "bool":  # None: not given, so that the ini file decides
            group.addoption(option.name, action="store_true", default=None, help=option.help)
            parser.addini(ini, option.help, type=option.type, default=False)
        elif option.type == "string":
            group.addoption(option.name, metavar=option.metavar, help=option.help)
            parser.addini(ini, option.help, default=option.default)
        else:
            group.addoption(option.name, metavar=option.metavar, action="append", help=option.help)
            parser.addini(ini, option.help, type=option.type, default=[])
    for name, help in ONLY_ONCE.items():
        group.addoption(name, action="store_true", help=help)


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)


READ_BY_LISTS = ("--mmap-level", "--mmap-clause", "--mmap-backend")
"""Options that --mmap-list-clauses and --mmap-list-backends allow together with them."""


def refuse_options_without_effect(config: pytest.Config) -> None:
    """Raise UsageError if the command line has an option of the suite that this run would not read.

    Without this, a run that lacks only --mmap-backend would pass and have judged nothing.  Options in `addopts` and in
    the ini file are allowed in every run: a project sets them there for those runs that name a backend.
    """
    option = config.option
    given = [
        name
        for name in dict.fromkeys(str(argument).partition("=")[0] for argument in config.invocation_params.args)
        if name.startswith("--mmap-") and hasattr(option, name[2:].replace("-", "_")) and name not in EXITING_OPTIONS
    ]
    if option.mmap_list_clauses or option.mmap_list_backends:
        unread, need = [name for name in given if name not in READ_BY_LISTS], "with a list, which runs no case"
    elif option.mmap_backend is None and not config.getini("mmap_backend"):
        unread, need = given, "without --mmap-backend=BACKEND, for example --mmap-backend=native"
    else:
        return
    if unread:
        verb = "does" if len(unread) == 1 else "do"
        raise pytest.UsageError(f"{', '.join(unread)}: {verb} nothing {need}")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """List, run the smoke test, or activate the plugin, as the options ask.

    pytest calls this hook before the session begins, on the controller and again in each worker, which parses the same
    command line.
    """
    option = config.option
    refuse_options_without_effect(config)
    if option.mmap_list_clauses or option.mmap_list_backends:
        from . import listing

        return listing.show(config)
    if option.mmap_smoke:
        from . import smoke_report

        return smoke_report.show(config)
    if option.mmap_backend is not None or config.getini("mmap_backend"):
        from . import assertions

        assertions.rewrite_only_cases(config)
        from . import activation

        activation.activate(config)
    return None
