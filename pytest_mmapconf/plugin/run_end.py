"""Early ends of a run: its report says that it is not complete, and the exit status is above 0.

A signal that asks the process to end (SIGTERM, SIGHUP) ends the session as an interrupt does: the systems are closed,
and what was judged so far is printed and written.  `os._exit` and exec, which skip all of that, write the reports
first, and end with another status than 0 while cases remain.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, Final, NoReturn

SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)

UNFINISHED: Final = 3
"""Exit status of a run that was not finished: pytest's status of an internal error."""


EXEC: Final = ("execv", "execve")
"""The functions of `os` by which all others replace the program of this process."""


class Ended(KeyboardInterrupt):
    """A signal has asked for the end of the run.

    No `except Exception` holds it, and pytest ends the session as after an interrupt of the terminal.
    """


class RunEnd:
    """Observes the end of a run, in the process that writes its reports."""

    def __init__(self) -> None:
        self.write_reports: Callable[[str], None] | None = None
        """Writes the reports of a run that is not finished, for this reason."""
        self.reason = ""
        """The early end of the run, or the failure at its end, to follow "the run "; empty for a complete run."""
        self.is_finished = False
        """True once the results are final."""
        self.status = 0
        """The exit status of a finished run, or of one that a signal has ended; 0 for none."""
        self._pid = os.getpid()
        self._stderr = os.dup(2)
        self._exit: Callable[[int], NoReturn] = getattr(os._exit, "real", os._exit)
        self._exec = {name: getattr(getattr(os, name), "real", getattr(os, name)) for name in EXEC}
        self._previous: dict[int, Any] = {}

    def watch(self) -> None:
        """Take over `os._exit` and exec, and the signals that have no handler."""

        def exit_guarded(status: int) -> NoReturn:
            self._guarded_exit(status)

        setattr(exit_guarded, "real", self._exit)  # noqa: B010 (mypy refuses an attribute of a function)
        setattr(os, "_exit", exit_guarded)  # noqa: B010
        for name, real in self._exec.items():
            setattr(os, name, self._guarded_exec(name, real))
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is signal.SIG_DFL:
                    self._previous[number] = signal.signal(number, self._end)
        # A child that the backend, or a gate, makes ends as it would without this: a handler in Python does not run
        # while the child waits for a lock, and a process that ends it and waits for its end would wait for ever.
        os.register_at_fork(after_in_child=self._give_signals_back)

    def release(self) -> None:
        """Give the signals back.  In pytest's own process `os._exit` stays guarded: functions of atexit may call it."""
        self._give_signals_back()
        if not is_own_process():
            setattr(os, "_exit", self._exit)  # noqa: B010 (mypy refuses an assignment to a function)
            for name, real in self._exec.items():
                setattr(os, name, real)

    def _give_signals_back(self) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)
        self._previous.clear()

    def _end(self, number: int, frame: object) -> None:
        signal.signal(number, self._previous.pop(number))  # a second one ends the process immediately
        if not self.is_finished:
            self.reason = f"was ended by {signal.Signals(number).name}"
            self.status = 128 + number
            raise Ended(f"the run {self.reason}: what was judged so far is reported")

    def _guarded_exit(self, status: int) -> NoReturn:
        if os.getpid() != self._pid:  # a child that the backend has made
            self._exit(status)
        if not self.is_finished:
            self.end(f"was ended by the backend, which called os._exit({status})", status)
        self._exit(status or self.status)

    def _guarded_exec(self, name: str, real: Callable[..., NoReturn]) -> Callable[..., NoReturn]:
        def exec_guarded(*arguments: Any) -> NoReturn:
            succeeds = os.access(arguments[0], os.X_OK)  # otherwise the call fails, and the process goes on
            if succeeds and os.getpid() == self._pid and not self.is_finished:
                self.end(f"was ended by the backend, which called os.{name}")
            real(*arguments)

        setattr(exec_guarded, "real", real)  # noqa: B010 (mypy refuses an attribute of a function)
        return exec_guarded

    def end(self, reason: str, status: int = 0) -> NoReturn:
        """Write the reports of a run that is not finished, and end this process, not with status 0."""
        self.reason = reason
        try:
            os.write(self._stderr, f"\nmmapconf: the run {reason}\n".encode())
            if self.write_reports is not None:
                self.write_reports(reason)
        finally:
            self._exit(status or UNFINISHED)


def is_own_process() -> bool:
    """Return True if this process was started to run pytest; False if a program calls pytest.main."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return getattr(spec, "name", "") == "pytest.__main__" or os.path.basename(sys.argv[0]) in ("pytest", "py.test")
