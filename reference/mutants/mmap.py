"""Mutants of mmap: a wrong address, a wrong protection, or an effect on other mappings."""

from __future__ import annotations

from errno import EBADF, EEXIST, EINVAL, ENOMEM, EPERM

from ..accesses import Accesses
from ..constants import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MAP_TYPE,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
)
from ..linux_choices import LinuxChoices
from ..mapping import Mapping
from ..mutant import Original, refuses, wrong
from ..process import ReferenceProcess
from .calls import Mmap

ANYWHERE = MAP_FIXED | MAP_FIXED_NOREPLACE
DONE = "mmap.result.success"


def is_taken(self: ReferenceProcess, addr: int, length: int) -> bool:
    """Return True if the page of the address or hint is mapped."""
    return not self.space.is_free(addr - addr % self.page, addr + self.round_up(length))


MADE = (
    refuses(
        "mmap-refuses-a-taken-hint",
        ReferenceProcess.mmap,
        EEXIST,
        lambda self, addr, length, prot, flags, fd, offset: (
            addr and length and not flags & ANYWHERE and is_taken(self, addr, length)
        ),
        "mmap.addr.hint",
        DONE,
        text="something is mapped at the hint",
    ),
    refuses(
        "mmap-refuses-an-unaligned-hint",
        ReferenceProcess.mmap,
        EINVAL,
        lambda self, addr, length, prot, flags, fd, offset: not flags & ANYWHERE and addr % self.page,
        "mmap.addr.boundary",
        "mmap.addr.hint",
        DONE,
        text="the hint is not a multiple of the page",
        bug="Cygwin 67a657cb1",
    ),
    refuses(
        "mmap-refuses-a-hint-outside",
        ReferenceProcess.mmap,
        ENOMEM,
        lambda self, addr, length, prot, flags, fd, offset: not flags & ANYWHERE and addr >= self.task_size,
        "mmap.addr.hint.unusable",
        DONE,
        text="the hint is outside the address space",
    ),
    refuses(
        "mmap-refuses-a-low-hint",
        ReferenceProcess.mmap,
        EPERM,
        lambda self, addr, length, prot, flags, fd, offset: (
            not flags & ANYWHERE and 0 < addr < self.space.mmap_min_addr
        ),
        "mmap.addr.hint.unusable",
        DONE,
        text="the hint is below the lowest address",
    ),
    refuses(
        "mmap-fixed-refuses-what-is-taken",
        ReferenceProcess.mmap,
        EINVAL,
        lambda self, addr, length, prot, flags, fd, offset: (
            flags & MAP_FIXED and 0 < length < self.task_size and is_taken(self, addr, length)
        ),
        "mmap.flag.fixed-replaces",
        "mmap.flag.fixed",
        text="fixed, and something is mapped there",
        bug="Cygwin ad8d3195c",
    ),
    refuses(
        "mmap-noreplace-refuses-a-neighbour",
        ReferenceProcess.mmap,
        EEXIST,
        lambda self, addr, length, prot, flags, fd, offset: (
            flags & MAP_FIXED_NOREPLACE and not self.space.is_free(addr - self.page, addr + self.round_up(length))
        ),
        "mmap.flag.fixed-noreplace",
        DONE,
        text="not to be replaced, and something ends where the range begins",
    ),
    refuses(
        "mmap-noreplace-does-not-know-the-end",
        ReferenceProcess.mmap,
        EEXIST,
        lambda self, addr, length, prot, flags, fd, offset: (
            flags & MAP_FIXED_NOREPLACE and not self.space.is_free(addr, addr + self.round_up(length) + self.page)
        ),
        "mmap.flag.fixed-noreplace",
        DONE,
        text="not to be replaced, and something begins where the range ends",
    ),
    refuses(
        "mmap-refuses-write-alone",
        ReferenceProcess.mmap,
        EINVAL,
        lambda self, addr, length, prot, flags, fd, offset: prot == PROT_WRITE,
        "mmap.prot.write",
        DONE,
        "mmap.flag.fixed",
        text="PROT_WRITE without PROT_READ",
    ),
)


# -------------------------------------------------------------------------------------------------------------- places


@wrong(Mmap, "mmap.addr.null", "mmap.range", "mmap.flag.private", "mmap.flag.shared")
def mmap_chooses_what_is_taken(self: ReferenceProcess, mmap: Mmap) -> int:
    """Without a hint the place of another mapping is chosen, which is lost."""
    mappings = self.space.mappings
    if not mmap.addr and not mmap.flags & ANYWHERE and 0 < mmap.length < self.task_size and mappings:
        mmap.addr, mmap.flags = mappings.starts[0], mmap.flags | MAP_FIXED
    return mmap()


@wrong(Mmap, "mmap.addr.null", "mmap.addr.hint", bug="emscripten #4835")
def mmap_returns_an_unaligned_address(self: ReferenceProcess, mmap: Mmap) -> int:
    """The address that the system chose is 16 bytes into the page."""
    place = mmap()
    return place if mmap.flags & ANYWHERE else place + 16


@wrong(Mmap, "mmap.addr.boundary", "mmap.addr.hint")
def mmap_returns_the_hint_as_it_is(self: ReferenceProcess, mmap: Mmap) -> int:
    """If the mapping is placed at the page of the hint, the result has the hint's low bits."""
    place = mmap()
    return mmap.addr if mmap.addr - mmap.addr % self.page == place else place


@wrong(Mmap, "mmap.addr.hint", "mmap.flag.private", "mmap.flag.shared", "mmap.range", bug="prosper #137")
def mmap_takes_a_hint_for_an_order(self: ReferenceProcess, mmap: Mmap) -> int:
    """A hint is taken as if it were MAP_FIXED, whatever is there."""
    if not mmap.flags & ANYWHERE and self.space.mmap_min_addr <= mmap.addr < self.task_size - mmap.length:
        mmap.addr, mmap.flags = mmap.addr - mmap.addr % self.page, mmap.flags | MAP_FIXED
    return mmap()


@wrong(Mmap, "mmap.addr.hint", "mmap.addr.returned", "mmap.addr.null")
def mmap_returns_the_hint(self: ReferenceProcess, mmap: Mmap) -> int:
    """The hint is returned, wherever the mapping is."""
    place = mmap()
    return mmap.addr - mmap.addr % self.page or place


@wrong(Mmap, "mmap.addr.returned", "mmap.range", "mmap.addr.null", "mmap.flag.private", "mmap.flag.shared")
def mmap_returns_the_next_page(self: ReferenceProcess, mmap: Mmap) -> int:
    """The address of the second page is returned, where there are several and the system chose the place."""
    place = mmap()
    return place + self.page if not mmap.addr and mmap.length > self.page else place


@wrong(Mmap, "mmap.result.success", "mmap.addr.null", bug="emscripten #17853")
def mmap_takes_high_addresses_for_errors(self: ReferenceProcess, mmap: Mmap) -> int:
    """An address in the upper half of user space is returned as an error."""
    place = mmap()
    if place > self.task_size // 2:
        raise OSError(ENOMEM, "the mutant takes the address for an error")
    return place


@wrong(Mmap, "mmap.flag.fixed", bug="qiling PR #979, angr #3425")
def mmap_takes_an_order_for_a_hint(self: ReferenceProcess, mmap: Mmap) -> int:
    """MAP_FIXED is a hint."""
    return mmap(flags=mmap.flags & ~MAP_FIXED)


@wrong(Mmap, "mmap.flag.fixed", "mmap.errno.EINVAL", "mmap.errno.ENOMEM", bug="simuvex #101")
def mmap_ignores_an_order_it_cannot_follow(self: ReferenceProcess, mmap: Mmap) -> int:
    """MAP_FIXED at an address that cannot be used is placed elsewhere."""
    if mmap.flags & MAP_FIXED and (mmap.addr % self.page or mmap.addr + mmap.length > self.task_size):
        mmap.flags &= ~MAP_FIXED
    return mmap()


@wrong(Mmap, "mmap.errno.EEXIST", bug="gVisor PR #14008, Asterinas 6e46641a0")
def mmap_noreplace_replaces(self: ReferenceProcess, mmap: Mmap) -> int:
    """MAP_FIXED_NOREPLACE is MAP_FIXED."""
    if mmap.flags & MAP_FIXED_NOREPLACE:
        mmap.flags = mmap.flags & ~MAP_FIXED_NOREPLACE | MAP_FIXED
    return mmap()


@wrong(Mmap, "mmap.errno.EEXIST", "mmap.flag.fixed-noreplace", bug="gVisor a10e246e7")
def mmap_noreplace_is_a_hint(self: ReferenceProcess, mmap: Mmap) -> int:
    """MAP_FIXED_NOREPLACE is a hint, as for kernels that do not know it."""
    return mmap(flags=mmap.flags & ~MAP_FIXED_NOREPLACE)


@wrong(Mmap, "mmap.errno.EEXIST")
def mmap_noreplace_looks_at_the_first_page(self: ReferenceProcess, mmap: Mmap) -> int:
    """Only the first page of a MAP_FIXED_NOREPLACE range has to be free."""
    if mmap.flags & MAP_FIXED_NOREPLACE and self.space.find(mmap.addr) is None:
        mmap.flags = mmap.flags & ~MAP_FIXED_NOREPLACE | MAP_FIXED
    return mmap()


@wrong(Mmap, "mmap.flag.fixed-replaces", "mmap.flag.private", "mmap.flag.shared", "mmap.range")
def mmap_fixed_replaces_a_page_too_many(self: ReferenceProcess, mmap: Mmap) -> int:
    """MAP_FIXED unmaps the page after its range as well."""
    place = mmap()
    if mmap.flags & MAP_FIXED:
        end = place + self.round_up(mmap.length)
        self.space.clear(end, end + self.page)
    return place


@wrong(Mmap, "mmap.flag.fixed-replaces", "mmap.range", "mmap.flag.private", "mmap.flag.shared")
def mmap_fixed_shows_the_old_pages(self: ReferenceProcess, mmap: Mmap) -> int:
    """The private pages of what MAP_FIXED replaces are still there."""
    table = self.space.table
    kept = {}
    if mmap.flags & MAP_FIXED:
        first, stop = mmap.addr // self.page, (mmap.addr + self.round_up(mmap.length)) // self.page
        kept = {number: table.entries[number] for number in table.within(first, stop)}
        kept = {number: page for number, page in kept.items() if page.refcount}
    place = mmap()
    for number, page in kept.items():
        page.refcount += 1
        table.entries[number] = page
    return place


@wrong(
    Mmap,
    "mmap.flag.fixed-replaces",
    "mmap.range",
    "mmap.flag.shared",
    "mmap.flag.private",
    bug="Cygwin 677e31509",
)
def mmap_fixed_keeps_the_old_rights(self: ReferenceProcess, mmap: Mmap) -> int:
    """A mapping with MAP_FIXED has the protection of the mapping that it replaces."""
    before = self.space.find(mmap.addr) if mmap.flags & MAP_FIXED else None
    old = None if before is None else before.prot
    place = mmap()
    if old is not None:
        self.space.protect(place, place + self.round_up(mmap.length), old)
    return place


@wrong(Mmap, "mmap.result.failure", "mmap.result.failure.fixed")
def mmap_fixed_unmaps_before_it_looks_at_the_descriptor(self: ReferenceProcess, mmap: Mmap) -> int:
    """A MAP_FIXED call that fails with EBADF or EINVAL has cleared its range."""
    try:
        return mmap()
    except OSError as error:
        if (
            mmap.flags & MAP_FIXED
            and error.errno in (EBADF, EINVAL)
            and mmap.addr % self.page == 0
            and mmap.length < self.task_size
        ):
            self.space.clear(mmap.addr, mmap.addr + self.round_up(mmap.length))
        raise


@wrong(Mmap, "mmap.result.failure.fixed", "mmap.result.failure")
def mmap_fixed_unmaps_before_it_looks_at_the_mode(self: ReferenceProcess, mmap: Mmap) -> int:
    """A MAP_FIXED call that fails otherwise has cleared its range, as POSIX allows."""
    try:
        return mmap()
    except OSError as error:
        if (
            mmap.flags & MAP_FIXED
            and error.errno not in (EBADF, EINVAL)
            and mmap.addr % self.page == 0
            and mmap.length < self.task_size
        ):
            self.space.clear(mmap.addr, mmap.addr + self.round_up(mmap.length))
        raise


@wrong(Mmap, "mmap.result.failure", "munmap.range")
def mmap_that_fails_leaves_a_mapping(self: ReferenceProcess, mmap: Mmap) -> int:
    """A call that fails because of its file has still mapped memory, if its range is free."""
    try:
        return mmap()
    except OSError:
        if (
            mmap.flags & MAP_FIXED
            and mmap.addr % self.page == 0
            and self.space.is_free(mmap.addr, mmap.addr + self.page)
        ):
            mmap(length=self.page, prot=PROT_READ, flags=MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, fd=-1, offset=0)
        raise


# -------------------------------------------------------------------------------------------------------------- rights


@wrong(LinuxChoices.may_load, "mmap.prot.none", "mmap.range", "mmap.flag.private", "mmap.flag.shared")
def none_can_be_read(may_load: Original, self: LinuxChoices, prot: int, addr: int) -> bool:
    """Pages with PROT_NONE can be loaded from."""
    return True


@wrong(LinuxChoices.may_load, "mmap.prot.read", "mmap.range", "mmap.flag.private", "mmap.flag.shared")
def read_alone_cannot_be_read(may_load: Original, self: LinuxChoices, prot: int, addr: int) -> bool:
    """Pages with PROT_READ alone cannot be loaded from."""
    return bool(may_load(self, prot, addr)) and prot != PROT_READ


@wrong(Mmap, "mmap.prot.read", "mmap.range", "mmap.flag.private", "mmap.flag.shared")
def read_is_write(self: ReferenceProcess, mmap: Mmap) -> int:
    """A private mapping that can be read can be stored to."""
    if mmap.prot & PROT_READ and mmap.flags & MAP_TYPE == MAP_PRIVATE:
        mmap.prot |= PROT_WRITE
    return mmap()


@wrong(Accesses.store, "mmap.prot.write", "mmap.flag.shared", "mmap.flag.private", bug="Asterinas #1458")
def write_alone_cannot_be_written(store: Original, self: Accesses, addr: int, data: bytes) -> None:
    """A store to a page with PROT_WRITE alone faults."""
    mapping = self.space.find(addr)
    if mapping is not None and mapping.prot == PROT_WRITE:
        self.fault("store", "SIGSEGV", "SEGV_ACCERR", addr)
    store(self, addr, data)


@wrong(Accesses.execute, "mmap.prot.exec", "fault.not-executable")
def the_code_of_a_file_can_be_executed(execute: Original, self: Accesses, addr: int) -> None:
    """Code that is in the mapped file can be executed without PROT_EXEC."""
    mapping = self.mapping_at("execute", addr)
    code = self.machine.return_instruction
    offset = mapping.offset + addr - mapping.start
    if mapping.inode is None or mapping.inode.read(len(code), offset, self.choices) != code:
        execute(self, addr)


@wrong(Mmap, "mmap.flag.anonymous")
def private_memory_without_a_file_is_read_only(self: ReferenceProcess, mmap: Mmap) -> int:
    """Private memory without a file cannot be stored to."""
    anonymous = mmap.flags & MAP_ANONYMOUS and mmap.flags & MAP_PRIVATE
    return mmap(prot=mmap.prot & ~PROT_WRITE if anonymous else mmap.prot)


@wrong(LinuxChoices.may_execute, "mmap.prot.exec", "mmap.range", "mmap.flag.private", "mmap.flag.shared")
def nothing_can_be_executed(may_execute: Original, self: LinuxChoices, prot: int) -> bool:
    """PROT_EXEC gives no right."""
    return False


@wrong(Mmap, "mmap.prot.exec", "mmap.range", "mmap.flag.private", "mmap.flag.shared", bug="Asterinas ea142155f")
def exec_is_lost_where_write_is_asked_for(self: ReferenceProcess, mmap: Mmap) -> int:
    """Nothing is both writable and executable: PROT_EXEC is dropped."""
    return mmap(prot=mmap.prot & ~PROT_EXEC if mmap.prot & PROT_WRITE else mmap.prot)


@wrong(Mmap, "mmap.prot.unknown-bits", "mmap.range", "mmap.flag.private", "mmap.flag.shared")
def unknown_prot_bits_take_the_rights_away(self: ReferenceProcess, mmap: Mmap) -> int:
    """A prot with an unknown bit is PROT_NONE."""
    return mmap(prot=mmap.prot if mmap.prot < 8 else 0)


@wrong(Accesses.fault, "fault.inaccessible", "mmap.range", bug="gVisor #12518")
def missing_rights_are_reported_as_unmapped(
    fault: Original, self: Accesses, access: str, signal: str, code: str, addr: int
) -> None:
    """A protection fault reports SEGV_MAPERR."""
    fault(self, access, signal, "SEGV_MAPERR" if code == "SEGV_ACCERR" else code, addr)


# --------------------------------------------------------------------------------------------------------------- types


@wrong(Mmap, "mmap.flag.shared-validate", "mmap.flag.shared", "mmap.flag.private", "overview.one-to-one")
def shared_validate_is_private(self: ReferenceProcess, mmap: Mmap) -> int:
    """MAP_SHARED_VALIDATE of a file has the bit of MAP_PRIVATE, and is private."""
    if (
        mmap.flags & MAP_TYPE == MAP_SHARED_VALIDATE
        and not mmap.flags & MAP_ANONYMOUS
        and mmap.flags & ~MAP_TYPE in (0, MAP_FIXED)
    ):
        mmap.flags = mmap.flags & ~MAP_TYPE | MAP_PRIVATE
    return mmap()


@wrong(Mmap, "mmap.flag.unknown-bits", "mmap.range", "overview.one-to-one", "mmap.flag.shared")
def unknown_flag_bits_make_a_mapping_private(self: ReferenceProcess, mmap: Mmap) -> int:
    """A mapping with an unknown flag is anonymous."""
    unknown = 1 << 23 | 1 << 27
    return mmap(flags=mmap.flags | MAP_ANONYMOUS if mmap.flags & unknown else mmap.flags)


@wrong(Mmap, "mmap.flag.shared", "overview.one-to-one", "mmap.range", bug="emscripten #21706, elfuse #13")
def shared_is_private(self: ReferenceProcess, mmap: Mmap) -> int:
    """Each writable shared mapping of a file has pages of its own."""
    description = self.description(mmap.fd)
    shared = not mmap.flags & MAP_ANONYMOUS and mmap.flags & MAP_TYPE == MAP_SHARED
    if shared and description is not None and description.readable and description.writable:
        mmap.flags = mmap.flags & ~MAP_TYPE | MAP_PRIVATE
    return mmap()


@wrong(
    Mapping.file_page,
    "mmap.range",
    "overview.one-to-one",
    "mmap.flag.shared",
    "mmap.flag.private",
    bug="emscripten #10094",
)
def the_offset_is_ignored(index: Original, self: Mapping, number: int) -> int:
    """A mapping shows the file from its start, whatever the offset."""
    return number - self.start // self.space.page


@wrong(Mmap, "mmap.range", "overview.one-to-one", "mmap.flag.shared", "mmap.flag.private", bug="zrt #39")
def the_offset_counts_from_the_file_offset(self: ReferenceProcess, mmap: Mmap) -> int:
    """offset counts from the descriptor's file offset."""
    description = self.description(mmap.fd)
    if description is not None and not mmap.flags & MAP_ANONYMOUS:
        mmap.offset += description.offset - description.offset % self.page
    return mmap()


@wrong(Mmap, "mmap.range", "mmap.flag.shared", "mmap.flag.private", "overview.one-to-one")
def offsets_have_32_bits(self: ReferenceProcess, mmap: Mmap) -> int:
    """An offset of a file past 4 GiB wraps."""
    wraps = not mmap.flags & MAP_ANONYMOUS and 1 << 32 <= mmap.offset < 1 << 40
    return mmap(offset=mmap.offset % (1 << 32) if wraps else mmap.offset)
