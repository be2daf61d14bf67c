"""A time limit for calls of a backend that runs in pytest's own process.

A thread observes the deadline of the call that is under way.  Once it has passed, the thread sends a signal to the
main thread, in which the call runs; the handler raises `Died` there.  So a loop, a sleep or a wait for a lock ends.
A call that catches every `Died`, or is code in C that never returns, ends the run.  Code in C that keeps the lock of
the interpreter cannot be ended: such a backend needs a process of its own (`pytest_mmapconf.agent.serve`).
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from ..contract import Died
from ..waiting import LONGEST, RunningClock

SIGNAL: Final = signal.SIGRTMAX - 2
"""The signal that ends a call.  SIGALRM is used by pytest-timeout, among others."""

REPEAT: Final = 0.1
"""Seconds between two signals to a call that continues after its deadline, as it has caught the exception."""


GRACE: Final = 30.0
"""Seconds after the deadline of a call that continues, until the run is ended."""


class Watchdog:
    """Ends calls of the main thread that do not return in time."""

    def __init__(
        self,
        seconds: float,
        start_seconds: float | None = None,
        end_run: Callable[[str], object] = lambda reason: os._exit(3),
    ) -> None:
        self.seconds = seconds
        """The time limit of one call."""
        self.start_seconds = start_seconds or seconds
        """The time limit of the backend's start, and of a boot."""
        self.end_run = end_run
        """Ends the process, for a reason, when a call continues after its deadline."""
        self._clock = RunningClock()
        self._deadline: float | None = None
        self._call = ""
        """The message about the call that is under way, for its deadline."""
        self._wake = threading.Event()
        self._is_running = False

    def start(self) -> None:
        """Begin to observe.  Without effect outside of the main thread, which alone runs the handlers of signals."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._is_running = True
        self._previous = signal.signal(SIGNAL, self._interrupt)
        threading.Thread(target=self._observe, name="mmapconf-watchdog", daemon=True).start()

    def stop(self) -> None:
        """End the thread.  Safe to call twice."""
        if self._is_running:
            self._is_running = False
            self._wake.set()
            signal.signal(SIGNAL, self._previous)

    def start_limit(self, call: str) -> AbstractContextManager[None]:
        """A context that may take `start_seconds`."""
        return self.limit(call, self.start_seconds)

    @contextmanager
    def limit(self, call: str, seconds: float | None = None) -> Iterator[None]:
        """A context that may take `seconds`, by default those of a call; after that, `Died` is raised in it."""
        seconds = seconds or self.seconds
        self._call = f"no answer to {call!r} in {seconds:g} s"
        self._deadline = self._clock.time() + seconds
        try:
            yield
        finally:
            self._deadline = None

    def _interrupt(self, number: int, frame: object) -> None:
        if self._deadline is not None and self._clock.time() >= self._deadline:
            raise Died(self._call)

    def _observe(self) -> None:
        main = threading.main_thread().ident
        assert main is not None
        while self._is_running:
            deadline = self._deadline
            wait = min(self.seconds, LONGEST) if deadline is None else deadline - self._clock.time()
            if wait <= -GRACE:
                self.end_run(
                    f"was ended: {self._call}, and the call continued for {GRACE:g} s after it was interrupted"
                )
            if wait <= 0:
                signal.pthread_kill(main, SIGNAL)
                wait = REPEAT
            self._clock.wait(self._wake.wait, max(min(wait, self.seconds, LONGEST), 0.005))


def exit_despite_threads(before: Collection[threading.Thread], seconds: float) -> None:
    """End this process, `seconds` after its main thread, if a backend's threads keep it alive.

    `before` are the threads that there were before the backend.
    """
    left = [thread for thread in threading.enumerate() if thread not in before and not thread.daemon]

    def end() -> None:
        threading.main_thread().join()
        time.sleep(seconds)
        names = ", ".join(thread.name for thread in left if thread.is_alive())
        os.write(2, f"mmapconf: a thread of the backend does not end: {names}\n".encode())
        os._exit(3)

    if left:
        threading.Thread(target=end, name="mmapconf-exit", daemon=True).start()
