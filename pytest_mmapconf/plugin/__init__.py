"""The pytest plugin: its options and markers, and the start of everything else.

pytest loads this module in every run of an environment in which the suite is installed, also in runs that judge no
implementation.  So the module only declares its options until `--mmap-backend`, or the ini option of that name, is
given.  The rest of the plugin starts in `activation`, which only such a run imports.

All imports are relative, so a copy of the package works under any name.  A copy is loaded with `-p`, and pytest loads
these plugins before installed ones; the copy then blocks an installed suite, which may have another version.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

MARKERS = (
    "clause(*ids): the clauses that a case judges (mmap-conformance)",
    "mmap_needs(*properties): properties of the system that a case needs beside what it judges",
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


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("mmapconf", "conformance of mmap, munmap, mremap, msync and sysconf")
    option, ini = group.addoption, parser.addini

    help = "judge this implementation: reference, native, agent:COMMAND, python:MODULE:FACTORY, or a name from the list"
    option("--mmap-backend", metavar="BACKEND", help=help)
    ini("mmap_backend", help, default="")

    help = "further recipes of implementations (TOML), which --mmap-backend then names; repeatable"
    option("--mmap-recipes", metavar="FILE", action="append", help=help)
    ini("mmap_recipes", help, type="args", default=[])

    help = f"judge clauses up to this level: {LEVELS} (default: documented)"
    option("--mmap-level", metavar="LEVEL", help=help)
    ini("mmap_level", help, default="documented")

    help = "judge only clauses whose id matches; repeatable"
    option("--mmap-clause", metavar="GLOB", action="append", help=help)
    ini("mmap_clause", help, type="args", default=[])

    help = "ask only for what this scope promises: a file (TOML), or the name of a scope that comes with the suite"
    option("--mmap-scope", metavar="SCOPE", help=help)
    ini("mmap_scope", help, default="")

    help = "seconds that one call may take (default: 30)"
    option("--mmap-timeout", metavar="SECONDS", help=help)
    ini("mmap_timeout", help, default="30")

    help = "seconds that the start of the implementation, and each boot, may take (default: as --mmap-timeout)"
    option("--mmap-start-timeout", metavar="SECONDS", help=help)
    ini("mmap_start_timeout", help, default="")

    help = "test the file system that holds this directory"
    option("--mmap-dir", metavar="DIR", help=help)
    ini("mmap_dir", help, default="")

    help = "allow cases that disturb the machine for a moment (a full file table)"
    option("--mmap-disruptive", action="store_true", default=None, help=help)
    ini("mmap_disruptive", help, type="bool", default=False)

    help = "run every case on the reference as well, side by side; the first difference fails the case"
    option("--mmap-lockstep", action="store_true", default=None, help=help)
    ini("mmap_lockstep", help, type="bool", default=False)

    add_search_options(option, ini)

    help = "run this program (JSON) in lockstep with the reference, instead of the suite's cases"
    option("--mmap-replay", metavar="FILE", help=help)
    ini("mmap_replay", help, default="")

    add_output_options(option, ini)
    for name, help in EXITING_OPTIONS.items():
        option(name, action="store_true", help=help)


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)


def add_search_options(option: Callable[..., None], ini: Callable[..., None]) -> None:
    """Add the options of a search (`search_plan`)."""
    help = "run random programs of N steps in total, instead of a short series"
    option("--mmap-steps", metavar="N", help=help)
    ini("mmap_steps", help, default="")

    help = "run random programs for a time, such as 30m or 8h, instead of a short series"
    option("--mmap-for", metavar="TIME", help=help)
    ini("mmap_for", help, default="")

    help = "instead of random programs, make every call in every small state that K calls can reach"
    option("--mmap-exhaustive", metavar="K", help=help)
    ini("mmap_exhaustive", help, default="")

    help = "end a search after this many distinct differences (default: 20)"
    option("--mmap-max-findings", metavar="N", help=help)
    ini("mmap_max_findings", help, default="20")

    help = "keep the findings and the progress of a search in this directory, and go on from there"
    option("--mmap-findings", metavar="DIR", help=help)
    ini("mmap_findings", help, default="")


def add_output_options(option: Callable[..., None], ini: Callable[..., None]) -> None:
    """Add the options about what a run writes, and about its parts."""
    help = "write programs that reproduce each failure to this directory: in C, as a test, and as JSON"
    option("--mmap-reproducers", metavar="DIR", help=help)
    ini("mmap_reproducers", help, default="")

    help = "run only the I-th of N parts of the cases; a case stays in its part when others are added"
    option("--mmap-shard", metavar="I/N", help=help)
    ini("mmap_shard", help, default="")

    help = "write a report of the run to this file: .json, .html, .md (a summary), or .svg (a badge); repeatable"
    option("--mmap-report", metavar="PATH", action="append", help=help)
    ini("mmap_report", help, type="paths", default=[])

    help = 'deviations on record (TOML; "known": those of the recipe), so that only new ones fail the run; repeatable'
    option("--mmap-expectations", metavar="FILE", action="append", help=help)
    ini("mmap_expectations", help, type="args", default=[])

    help = "add the failures of this run to the last file of --mmap-expectations, and remove entries that pass"
    option("--mmap-update-expectations", action="store_true", default=False, help=help)


READ_BY_LISTS = ("--mmap-level", "--mmap-clause", "--mmap-backend")
"""Options that --mmap-list-clauses and --mmap-list-backends allow beside them."""


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
        from . import activation

        activation.activate(config)
    return None
