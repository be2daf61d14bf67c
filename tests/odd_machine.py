"""A reference whose addresses have no round numbers: ``--mmap-backend=python:odd_machine:Odd``.

Where an address is a multiple of much, a wrong sum is often right: adding to it is no other than setting bits.  Linux
places memory at random, but the reference as high as it can, and what comes first lies at round numbers.  Here nothing
does: the page number of what is placed without a wish ends in ones, so that whatever is added carries, and what is
placed next lies elsewhere.  To the cases it is one more implementation.
"""

from __future__ import annotations

from dataclasses import replace

from pytest_mmapconf.reference.address_space import AddressSpace
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.reference.choices import LinuxChoices
from pytest_mmapconf.reference.kernel import Machine, Parameters
from pytest_mmapconf.reference.process import Process

ONES = 7
"""What the page number of each place ends in, in binary."""


class OddChoices(LinuxChoices):
    """Places as high as can be, but at an odd number."""

    def place(self, space: AddressSpace, length: int, hint: int, below: int = 0) -> int | None:
        if not hint and not below:
            lowest = space.gaps.highest(length + ONES * space.page)
            if lowest is not None and lowest >= space.lowest:
                return lowest + (ONES - lowest // space.page) % (ONES + 1) * space.page
        return super().place(space, length, hint, below)


class OddProcess(Process):
    """Whose scratch_range begins so that a page behind its start is at such a number, too."""

    def scratch_range(self) -> tuple[int, int]:
        start, length = super().scratch_range()
        return start + (ONES - 1) * self.page, length - ONES * self.page


class OddMachine(Machine):
    """A machine of such processes."""

    def process(self) -> Process:
        process = OddProcess(self)
        self.processes.append(process)
        return process


class Odd(ReferenceBackend):
    """With pages of 16 KiB, and user space that ends at an odd number."""

    def __init__(self) -> None:
        super().__init__(page=16384)
        self.parameters: Parameters = replace(self.parameters, end=(1 << 47) - 0x2B3D5 * self.parameters.page)

    def boot(self) -> Machine:
        return OddMachine(self.parameters, OddChoices())
