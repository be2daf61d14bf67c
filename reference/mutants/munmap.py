"""Mutants of munmap."""

from __future__ import annotations

from errno import EINVAL, ENOENT

from ..mutant import Original, never, other, refuses, wrong
from ..process import ReferenceProcess
from ..state import State

REFUSALS = (
    never(
        "munmap-takes-an-unaligned-address",
        "munmap.errno.EINVAL.address",
        "munmap.result",
        reason="addr-unaligned",
        bug="FreeBSD bug 169608",
    ),
    never("munmap-takes-length-0", "munmap.errno.EINVAL", reason="length-zero", bug="StarryOS #285"),
    never("munmap-takes-a-range-outside", "munmap.errno.EINVAL", reason="range-outside", bug="occlum #888"),
    other("munmap-of-length-0-is-ENOENT", ENOENT, "munmap.errno.EINVAL", reason="length-zero"),
    never("munmap-knows-no-limit-of-mappings", "munmap.errno.ENOMEM"),
    refuses(
        "munmap-refuses-a-hole",
        ReferenceProcess.munmap,
        EINVAL,
        lambda self, addr, length: self.space.is_free(addr, addr + self.round_up(length)),
        "munmap.hole",
        "munmap.result",
        text="nothing is mapped in the range",
        bug="OSv, SerenityOS, emscripten",
    ),
)


@wrong(ReferenceProcess.munmap, "munmap.range", bug="Fiwix #18")
def munmap_takes_the_next_page(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """The page after the range is unmapped as well."""
    munmap(self, addr, length)
    end = addr + self.round_up(length)
    self.space.clear(end, end + self.page)


@wrong(State.round_up, "munmap.usual-arguments", "munmap.range", bug="OSv a4999feb")
def lengths_are_rounded_down(round_up: Original, self: State, size: int) -> int:
    """A length that is not a multiple of the page size is rounded down."""
    rounded: int = round_up(self, size)
    return rounded - self.page if size % self.page and rounded > self.page else rounded


@wrong(ReferenceProcess.munmap, "munmap.range", bug="rumprun #41, Fiwix #18")
def munmap_of_a_part_takes_the_whole_mapping(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """Unmapping a part takes the whole of each mapping that it touches."""
    mappings = self.space.over(addr, addr + self.round_up(length)) if addr % self.page == 0 else []
    wider = [(mapping.start, mapping.end) for mapping in mappings]
    munmap(self, addr, length)
    for start, end in wider:
        self.space.clear(start, end)


@wrong(ReferenceProcess.munmap, "munmap.range", "mmap.result.success", bug="SerenityOS #5510, qiling (reading)")
def munmap_takes_one_mapping(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """Only the first of several mappings goes."""
    mappings = self.space.over(addr, addr + self.round_up(length)) if addr % self.page == 0 else []
    if len(mappings) > 1 and addr + length <= self.task_size:
        length = mappings[0].end - addr
    munmap(self, addr, length)


@wrong(ReferenceProcess.munmap, "munmap.range", "munmap.usual-arguments", bug="sgx-lkl #642")
def munmap_does_nothing(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """Always 0, and nothing is unmapped."""


@wrong(ReferenceProcess.munmap, "munmap.usual-arguments", "munmap.range", bug="OSv a4999feb, cosmopolitan")
def munmap_rounds_the_length_down(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """The last page stays where length is not a multiple of the page."""
    munmap(self, addr, length - length % self.page if length > self.page else length)


@wrong(ReferenceProcess.munmap, "munmap.result", "munmap.range")
def munmap_that_succeeds_says_EINVAL(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """The mappings of the range are unmapped, and the call fails with EINVAL."""
    mapping = self.space.find(addr)
    munmap(self, addr, length)
    if mapping is not None:
        raise OSError(EINVAL, "the mutant has unmapped the range")


@wrong(ReferenceProcess.munmap, "munmap.errno.EINVAL.address", "munmap.result", "munmap.range")
def munmap_that_is_refused_unmaps(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """A call that fails because addr is not aligned has unmapped the page."""
    try:
        munmap(self, addr, length)
    except OSError:
        start = addr - addr % self.page
        if addr % self.page and addr < self.task_size:
            self.space.clear(start, start + self.page)
        raise


@wrong(
    ReferenceProcess.munmap,
    "munmap.range",
    "mmap.flag.private",
    "mmap.flag.shared",
    "mmap.range",
    bug="SerenityOS #5510",
)
def munmap_takes_the_childs_mapping(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """The range is unmapped in every process that shares the file there."""
    inodes = {mapping.inode for mapping in self.space.over(addr, addr + self.round_up(length)) if mapping.shared}
    munmap(self, addr, length)
    for process in self.machine.processes:
        for mapping in process.space.over(addr, addr + self.round_up(length)):
            if process is not self and mapping.inode in inodes:
                process.space.clear(mapping.start, mapping.end)


@wrong(
    ReferenceProcess.munmap, "munmap.range", "mmap.range", "mmap.flag.shared", "mmap.flag.private", bug="OSv bc6cd07a"
)
def translations_outlive_their_mapping(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """A new mapping shows the pages that were accessed in the old mapping."""
    first, stop = addr // self.page, (addr + self.round_up(length)) // self.page
    table = self.space.table
    kept = {number: table.entries[number] for number in table.within(first, stop)}
    munmap(self, addr, length)
    for page in kept.values():
        page.refcount += page.refcount > 0
    table.entries.update(kept)


@wrong(ReferenceProcess.munmap, "munmap.usual-arguments", "munmap.range", bug="gVisor 9c7a659d7, lind-wasm #1062")
def munmap_rounds_up_over_the_next_mapping(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """A length that is not a multiple of the page is rounded up to one page more, if that is another mapping's."""
    munmap(self, addr, length)
    end = addr + self.round_up(length)
    if length % self.page and self.space.find(end) is not None:
        self.space.clear(end, end + self.page)


@wrong(ReferenceProcess.munmap, "munmap.errno.EINVAL", bug="phoenix-rtos #1759")
def munmap_wraps_a_huge_length(munmap: Original, self: ReferenceProcess, addr: int, length: int) -> None:
    """A length that rounds up to 0 is nothing to do."""
    if length and self.round_up(length) == 0:
        return
    munmap(self, addr, length)
