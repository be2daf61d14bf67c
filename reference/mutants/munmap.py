"""What is wrong with munmap."""

from __future__ import annotations

from errno import EINVAL, ENOENT

from ..mutant import Honest, never, other, refuses, wrong
from ..process import Process
from ..state import State

REFUSALS = (
    never(
        "munmap-takes-an-unaligned-address",
        "munmap.errno.EINVAL",
        "munmap.result",
        cause="addr is not a multiple",
        bug="FreeBSD bug 169608",
    ),
    never("munmap-takes-length-0", "munmap.errno.EINVAL", cause="length is 0", bug="StarryOS #285"),
    never("munmap-takes-a-range-outside", "munmap.errno.EINVAL", cause="outside the address space", bug="occlum #888"),
    other("munmap-of-length-0-is-ENOENT", ENOENT, "munmap.errno.EINVAL", cause="length is 0"),
    never("munmap-knows-no-limit-of-mappings", "munmap.errno.ENOMEM"),
    refuses(
        "munmap-refuses-a-hole",
        Process.munmap,
        EINVAL,
        lambda self, addr, length: self.space.is_free(addr, addr + self.round_up(length)),
        "munmap.hole",
        "munmap.result",
        text="nothing is mapped in the range",
        bug="OSv, SerenityOS, emscripten (reading)",
    ),
)


@wrong(Process.munmap, "munmap.range", bug="Fiwix #18")
def munmap_takes_the_next_page(munmap: Honest, self: Process, addr: int, length: int) -> None:
    """The page behind the range goes as well."""
    munmap(self, addr, length)
    end = addr + self.round_up(length)
    self.space.clear(end, end + self.page)


@wrong(State.round_up, "munmap.usual-arguments", "munmap.range", bug="OSv a4999feb")
def lengths_are_rounded_down(round_up: Honest, self: State, size: int) -> int:
    """A length that is not a multiple of the page is rounded down."""
    rounded: int = round_up(self, size)
    return rounded - self.page if size % self.page and rounded > self.page else rounded
