"""A pair of processes: one of the system under test, and its model, a process of the reference."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from typing import Final

from ..contract import Fault, Process, Unresolved
from ..reference.process import ReferenceProcess

AUDITED_PAGES: Final = 16
"""Pages of a long mapping that are audited at its beginning, and as many at its end."""

LOW_DISK_BYTES: Final = 1 << 16
"""Bytes of free space below which a call may fail because the disk is full."""


def outer_pages(first: int, stop: int) -> range | tuple[int, ...]:
    """Return the page numbers from `first` to before `stop`; of many, `AUDITED_PAGES` at each end."""
    if stop - first <= 2 * AUDITED_PAGES:
        return range(first, stop)
    return (*range(first, first + AUDITED_PAGES), *range(stop - AUDITED_PAGES, stop))


def maps_text(process: Process) -> str:
    """Return the address space of a process as text, or the reason why there is none."""
    try:
        return process.maps()
    except (NotImplementedError, OSError, Unresolved) as reason:
        return f"(no maps: {reason})"


class Pair(Process):
    """A process of the subject and its model, with the observations of the subject that the model needs."""

    def __init__(
        self,
        subject: Process,
        model: ReferenceProcess,
        mapped_pages: set[int],
        directories: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self.subject = subject
        self.model = model
        self.bits = subject.bits
        self.mapped_pages = mapped_pages
        """Numbers of pages that calls have mapped: the subject has no mappings of its own there."""
        self.directories = directories
        """Returns the paths of the subject's file systems, besides that of its working directory."""
        self._scratch_range: tuple[int, int] | None = None

    def is_mapped(self, addr: int) -> bool:
        """True if the subject has a mapping at an address, as mincore or else a load shows."""
        try:
            self.subject.mincore(addr, self.model.page)
        except OSError as error:
            if error.errno == errno.ENOMEM:
                return False
        except NotImplementedError:
            pass
        else:
            return True
        try:
            self.subject.load(addr, 1)
        except Fault as fault:
            return fault.code != "SEGV_MAPERR"
        return True

    def is_disk_full(self) -> bool:
        """True if one of the subject's file systems has hardly any free space."""
        try:
            return any(self.subject.free_space(path) < LOW_DISK_BYTES for path in (".", *self.directories()))
        except (NotImplementedError, OSError):
            return True

    def subject_scratch_range(self) -> tuple[int, int]:
        """Return the subject's scratch range, or (0, 0) if it has none."""
        if self._scratch_range is None:
            try:
                self._scratch_range = self.subject.scratch_range()
            except NotImplementedError:
                self._scratch_range = 0, 0
        return self._scratch_range

    def both_maps(self) -> tuple[str, str]:
        """Return both address spaces as text: the subject's and the model's."""
        return maps_text(self.subject), maps_text(self.model)

    def claim(self, start: int, length: int) -> None:
        """Note that the system has placed `length` bytes at `start`.

        A call that states the address claims nothing: the subject's own stack may be next to it.
        """
        page = self.model.page
        self.mapped_pages.update(outer_pages(start // page, (start + self.model.round_up(length)) // page))
