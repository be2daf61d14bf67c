"""A reference with unusual placement of mappings: ``--mmap-backend=python:odd_machine:Odd``.

Unusual placement detects two mistakes of a case that the usual placement hides:

* A wrong sum of addresses is often right where an address is a multiple of a large power of two: adding to it is the
  same as setting bits.  Linux places memory at random, but the reference as high as possible, and the first addresses
  are round numbers.  Here the page number of a new place ends in binary ones, so that each addition carries.
* A case that unmaps a range, makes another mapping and then expects the range to be free depends on a choice of the
  system.  Here a mapping without a hint is placed in the range that was unmapped last, if it fits.

For the cases it is another implementation.
"""

from __future__ import annotations

from dataclasses import replace

from pytest_mmapconf.reference.address_space import AddressSpace
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.linux_choices import LinuxChoices
from pytest_mmapconf.reference.machine import Parameters
from pytest_mmapconf.reference.process import ReferenceProcess
from pytest_mmapconf.reference.system import ReferenceSystem

ONES = 7
"""Mask of the lowest bits of a page number, which are all set in each place."""


class OddChoices(LinuxChoices):
    """Place mappings in the last hole, else as high as possible at an odd page number."""

    def __init__(self) -> None:
        self.holes: dict[int, list[tuple[int, int]]] = {}
        """Unmapped ranges, in order of time, by the id() of the address space."""

    def place(self, space: AddressSpace, length: int, hint: int, below: int = 0) -> int | None:
        if hint or below:
            return super().place(space, length, hint, below)
        pages = -(-length // space.page) * space.page
        for start, end in reversed(self.holes.get(id(space), [])):
            if end - start >= pages and start >= space.mmap_min_addr and not space.mapped(end - pages, end):
                return end - pages
        lowest = space.gaps.highest(length + ONES * space.page)
        if lowest is not None and lowest >= space.mmap_min_addr:
            return lowest + (ONES - lowest // space.page) % (ONES + 1) * space.page
        return super().place(space, length, hint, below)


class OddProcess(ReferenceProcess):
    """A process with a scratch_range whose second page has an odd page number as well."""

    def munmap(self, addr: int, length: int) -> None:
        super().munmap(addr, length)
        assert isinstance(self.choices, OddChoices)
        end = addr + -(-length // self.page) * self.page
        self.choices.holes.setdefault(id(self.space), []).append((addr, end))

    def scratch_range(self) -> tuple[int, int]:
        start, length = super().scratch_range()
        return start + (ONES - 1) * self.page, length - ONES * self.page


class OddMachine(ReferenceSystem):
    """A machine whose processes are of type OddProcess."""

    process_type = OddProcess


class Odd(ReferenceBackend):
    """A backend with pages of 16 KiB and a user address space that ends at an odd page number."""

    def __init__(self) -> None:
        super().__init__(page=16384)
        self.parameters: Parameters = replace(self.parameters, end=(1 << 47) - 0x2B3D5 * self.parameters.page)

    def boot(self) -> ReferenceSystem:
        return OddMachine(self.parameters, OddChoices())
