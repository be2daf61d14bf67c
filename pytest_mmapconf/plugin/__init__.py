"""The plugin's front: options, markers, and the switch that starts everything else.

pytest loads this module in every run of an environment where the suite is installed, also where nobody wants to judge
anything.  So it does nothing but name its options until `--mmap-backend` (or its ini twin) is given; what follows then
stands in `activation`, which only that run imports.

All imports are relative: the package works under whatever name it was copied to.  Such a copy is named with `-p`, which
pytest loads before what is installed; so it keeps an installed suite of perhaps another version out of the run.
"""

from __future__ import annotations

import pytest

MARKERS = (
    "clause(*ids): the clauses that a case judges (mmap-conformance)",
    "mmap_random: a case that draws with hypothesis",
    "mmap_crash: a case that crashes a file system",
)

ENTRY_POINT = "mmapconf"
"""What an installed suite's plugin is called."""

LEVELS = "documented, posix or linux, each including those before"


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


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("mmapconf", "conformance of mmap, munmap, mremap, msync and sysconf")
    option, ini = group.addoption, parser.addini

    help = "judge this implementation: reference, native, agent:COMMAND, python:MODULE:FACTORY or a registered name"
    option("--mmap-backend", metavar="BACKEND", help=help)
    ini("mmap_backend", help, default="")

    help = f"judge clauses up to this level: {LEVELS} (default: documented)"
    option("--mmap-level", metavar="LEVEL", help=help)
    ini("mmap_level", help, default="documented")

    help = "judge only clauses whose id matches; repeatable"
    option("--mmap-clause", metavar="GLOB", action="append", help=help)
    ini("mmap_clause", help, type="args", default=[])

    help = "seconds that one call may take (default: 30)"
    option("--mmap-timeout", metavar="SECONDS", help=help)
    ini("mmap_timeout", help, default="30")

    help = "the file system under test is the one that holds this folder"
    option("--mmap-dir", metavar="DIR", help=help)
    ini("mmap_dir", help, default="")

    help = "allow what disturbs the machine for a moment (a full file table)"
    option("--mmap-disruptive", action="store_true", default=None, help=help)
    ini("mmap_disruptive", help, type="bool", default=False)

    help = "run every case on the reference as well, side by side: the first difference fails it"
    option("--mmap-lockstep", action="store_true", default=None, help=help)
    ini("mmap_lockstep", help, type="bool", default=False)

    help = "random programs of so many steps in all, instead of a few"
    option("--mmap-steps", metavar="N", type=int, default=0, help=help)

    help = "make the calls of this program (JSON), in lockstep with the reference, instead of the suite's cases"
    option("--mmap-replay", metavar="FILE", help=help)
    ini("mmap_replay", help, default="")

    help = "write what shows each failure to this folder: a program in C, as test lines, and as JSON"
    option("--mmap-reproducers", metavar="DIR", help=help)
    ini("mmap_reproducers", help, default="")

    help = "only the I-th of N parts of the cases, which stay the same whatever cases are added"
    option("--mmap-shard", metavar="I/N", help=help)
    ini("mmap_shard", help, default="")

    help = "write a report of the run to this file: .json, .html, .md (a summary), or .svg (a badge); repeatable"
    option("--mmap-report", metavar="PATH", action="append", help=help)
    ini("mmap_report", help, type="paths", default=[])

    help = "deviations on record, so that only what is new fails (TOML); repeatable"
    option("--mmap-expectations", metavar="FILE", action="append", help=help)
    ini("mmap_expectations", help, type="args", default=[])

    help = "write what fails in this run to the last file of --mmap-expectations, and take out what passes"
    option("--mmap-update-expectations", action="store_true", default=False, help=help)

    option("--mmap-smoke", action="store_true", help="ask whether the adapter works, say what to put right, and exit")
    option("--mmap-list-clauses", action="store_true", help="list the clauses, those of --mmap-level, and exit")
    option("--mmap-list-backends", action="store_true", help="list the backends that can be named, and exit")


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Runs before any session, on the controller and again in each worker, which reads the same command line."""
    option = config.option
    if option.mmap_list_clauses or option.mmap_list_backends:
        from . import listing

        return listing.show(config)
    if option.mmap_smoke:
        from ..smoke import terminal

        return terminal.show(config)
    if option.mmap_backend is not None or config.getini("mmap_backend"):
        from . import activation

        activation.activate(config)
    return None
