"""Steps of several calls in a row, which reach states that single calls hardly ever reach."""

from __future__ import annotations

from ..contract import (
    MADV_FREE,
)
from ..reference.constants import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_LOCKED,
    MAP_PRIVATE,
    MAP_SHARED,
    MS_INVALIDATE,
    MS_SYNC,
    O_RDONLY,
    O_RDWR,
    PROT_READ,
    PROT_WRITE,
)
from .draws import Draws
from .model_view import MAX_PROCESSES, Actor, ProgramState

RW = PROT_READ | PROT_WRITE
ANONYMOUS = MAP_ANONYMOUS | MAP_FIXED


class Sequences(ProgramState):
    """Steps of several calls that belong together."""

    def add_without_lock(self, actor: Actor, draws: Draws) -> None:
        """Add to a word that no other process uses, without a lock."""
        addr = self.draw_slot(actor, draws)
        self.call(actor, "mmap", addr, self.page, RW, draws.choice((MAP_SHARED, MAP_PRIVATE)) | ANONYMOUS, -1, 0)
        self.call(actor, "add", addr + 4, 3)

    def seal_and_shrink(self, actor: Actor, draws: Draws) -> None:
        """Shrink a range whose last page is sealed."""
        addr = self.draw_slot(actor, draws)
        self.call(actor, "mmap", addr, 2 * self.page, RW, MAP_PRIVATE | ANONYMOUS, -1, 0)
        self.call(actor, "mseal", addr + self.unit, self.page, 0)
        self.call(actor, "mremap", addr, 2 * self.page, self.page, 0, 0)

    def free_one_page(self, actor: Actor, draws: Draws) -> None:
        """Mark one of three pages of private memory as no longer needed."""
        addr = self.draw_slot(actor, draws)
        self.call(actor, "mmap", addr, 3 * self.page, RW, MAP_PRIVATE | ANONYMOUS, -1, 0)
        for number in range(3):
            self.call(actor, "store", addr + number * self.unit, b"here")
        self.call(actor, "madvise", addr + draws.below(3) * self.unit, self.page, MADV_FREE)

    def make_locked_writable(self, actor: Actor, draws: Draws) -> None:
        """Make a locked private mapping of a file writable, and change the file."""
        addr = self.draw_slot(actor, draws)
        fd = self.open_file(actor, "a", O_RDWR)
        self.call(actor, "mmap", addr, self.page, PROT_READ, MAP_PRIVATE | MAP_FIXED | MAP_LOCKED, fd, 0)
        self.call(actor, "mprotect", addr, self.page, draws.choice((RW, PROT_WRITE)))
        self.call(actor, "pwrite", fd, b"changed", 0)

    def protect_three(self, actor: Actor, draws: Draws) -> None:
        """Make three mappings writable, of which the middle one must not become writable."""
        base = actor.regions[0][0] + self.unit
        fd = self.open_file(actor, "a", O_RDONLY)
        for number in (0, 2):
            self.call(actor, "mmap", base + number * self.unit, self.page, PROT_READ, MAP_SHARED | ANONYMOUS, -1, 0)
        self.call(actor, "mmap", base + self.unit, self.page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)
        self.call(actor, "mprotect", base, 3 * self.page, RW)

    def lock_and_close(self, actor: Actor, draws: Draws) -> None:
        """Lock a file, map it and close it, which releases the lock; another process requests the lock."""
        if len(self.actors) == MAX_PROCESSES:
            return
        fd = self.open_file(actor, "a", O_RDWR)
        self.call(actor, "record_lock", fd, ofd=draws.one_in(2))
        addr = self.draw_slot(actor, draws)
        self.call(actor, "mmap", addr, self.page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)
        self.call(actor, "close", fd)
        other = self.fork_actor(actor)
        if other is not None:
            self.call(other, "record_lock", self.open_file(other, "a", O_RDWR), ofd=False)
            self.call(other, "exit")

    def exit_with_mapping(self, actor: Actor, draws: Draws) -> None:
        """End a process whose mapping is its only reference to a file, and read the file's close events."""
        if len(self.actors) == MAX_PROCESSES:
            return
        self.open_file(actor, "a", O_RDWR)
        watch = self.call(actor, "watch", self.folder + "a")
        other = self.fork_actor(actor)
        if watch is None or other is None:
            return
        fd = self.open_file(other, "a", O_RDWR)
        addr = self.draw_slot(other, draws)
        self.call(other, "mmap", addr, self.page, PROT_READ, draws.choice((MAP_SHARED, MAP_PRIVATE)) | MAP_FIXED, fd, 0)
        self.call(other, "close", fd)
        self.call(other, draws.choice(("exit", "kill")))
        self.call(actor, "close_events", watch)

    def sync_part(self, actor: Actor, draws: Draws) -> None:
        """Store to two files that are mapped next to each other, and synchronise a part of the range."""
        base = actor.regions[0][0] + self.unit
        for number, name in enumerate("ab"):
            fd = self.open_file(actor, name, O_RDWR)
            self.call(actor, "fsync", fd)  # the disk has the name and the size
            addr = base + 2 * number * self.unit
            if self.call(actor, "mmap", addr, 2 * self.page, RW, MAP_SHARED | MAP_FIXED, fd, 0) is None:
                return
            if draws.below(2):  # dirty pages that this mapping has not accessed
                self.call(actor, "pwrite", fd, b"written", draws.below(2) * self.page)
            self.call(actor, "close", fd)
        for number in range(4):
            if draws.below(3):
                self.call(actor, "store", base + number * self.unit, b"stored")
        first, pages = draws.choice(((0, 4), (0, 4), (1, 1), (3, 1), (1, 2), (0, 1)))
        flags = draws.choice((MS_SYNC, MS_SYNC, MS_SYNC | MS_INVALIDATE))
        if draws.one_in(2):
            self.call(actor, "mprotect", base, 4 * self.page, PROT_READ)
        if flags & MS_INVALIDATE:  # fails at a locked page, after writing the pages before it
            self.call(actor, "mlock", base + 3 * self.unit, self.page)
        self.call(actor, "msync", base + first * self.unit, pages * self.page, flags)
