"""The steps that begin and end processes, execute programs, change privileges and limits, and affect all processes."""

from __future__ import annotations

from ..contract import (
    MCL_CURRENT,
    MCL_FUTURE,
    MCL_ONFAULT,
    Call,
    Facility,
    Resource,
)
from ..reference.constants import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    MS_SYNC,
    O_RDWR,
    PROT_READ,
    PROT_WRITE,
)
from ..reference.mapping import Mapping
from .draws import Draws
from .invalid_calls import HEADROOM_PAGES
from .model_view import MAX_PROCESSES, Actor
from .sequences import Sequences


class ProcessSteps(Sequences):
    """Steps with calls about processes, limits and crashes."""

    def fork(self, actor: Actor, draws: Draws) -> None:
        if len(self.actors) < MAX_PROCESSES:
            child = self.fork_actor(actor)
            if child is not None:
                self.actors.append(child)

    def exit(self, actor: Actor, draws: Draws) -> None:
        if len(self.actors) > 1:
            actor = self.actors.pop(1 + draws.below(len(self.actors) - 1))
            if draws.one_in(3):
                self.call(actor, "kill")
            else:
                self.call(actor, "exit", draws.choice((0, 1, 200, 259)))

    def exec(self, actor: Actor, draws: Draws) -> None:
        self.call(actor, "exec")
        actor.regions = self.new_actor(actor.process).regions
        actor.locked_all = False

    def spawn(self, actor: Actor, draws: Draws) -> None:
        """Create a process that is not related to any other."""
        if len(self.actors) < MAX_PROCESSES:
            self.actors.append(self.new_actor(self.system.spawn()))

    # ---- privileges and limits

    def drop_capability(self, actor: Actor, draws: Draws) -> None:
        capability = draws.choice(("CAP_IPC_LOCK", "CAP_SYS_RAWIO", "CAP_SYS_ADMIN", "CAP_LINUX_IMMUTABLE"))
        if capability != "CAP_IPC_LOCK" or not actor.locked_all:  # else the system's own memory counts
            self.call(actor, "drop_capability", capability)

    def set_limit_headroom(self, actor: Actor, draws: Draws) -> None:
        kind = draws.below(8)
        if kind < 5:
            self.set_lock_headroom(actor, draws.below(4) * self.page)
        elif kind == 5:  # a privileged process has no limit
            if not actor.locked_all:
                self.call(actor, "set_limit_headroom", Resource.LOCKED_MEMORY, 0)
        else:
            self.call(actor, "set_limit_headroom", Resource.ADDRESS_SPACE, HEADROOM_PAGES * self.page)

    def relock_after_release(self, actor: Actor, draws: Draws) -> None:
        """Release locked memory, with that amount as the limit, and lock as much elsewhere."""
        locked = [mapping for mapping in actor.model.space.mappings.values() if mapping.locked]
        if not locked or actor.locked_all or actor.model.locks_future:
            return
        mapping = draws.choice(locked)
        way = draws.below(6)
        addr, room = self.symbolic(actor, mapping.start)
        size = freed = min(mapping.end - mapping.start, room)
        self.set_lock_headroom(actor, 0)
        if way == 0:
            self.call(actor, "munlock", addr, size)
        elif way == 1:
            self.call(actor, "munmap", addr, size)
        elif way == 2:
            flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
            self.call(actor, "mmap", addr, size, PROT_READ | PROT_WRITE, flags, -1, 0)
        elif way == 3:
            self.call(actor, "mremap", addr, size, self.page, 0, 0)
            freed = size - self.page
        elif way == 4:
            to = self.draw_slot(actor, draws)
            self.call(actor, "mremap", addr, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to)
        else:
            self.exec(actor, draws)
            self.call(actor, "drop_capability", "CAP_IPC_LOCK")
        got = self.call(actor, "mmap", 0, freed or size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        if got is not None:
            actor.regions.append((got, freed or size))
            self.call(actor, "mlock", got, freed or size)

    def mlockall(self, actor: Actor, draws: Draws) -> None:
        flags = draws.choice(
            (MCL_FUTURE, MCL_CURRENT, MCL_CURRENT | MCL_FUTURE, MCL_FUTURE | MCL_ONFAULT, MCL_ONFAULT, 0, 8)
        )
        if actor.model.locks_future and draws.below(2):
            flags = MCL_CURRENT
        if flags & MCL_CURRENT:  # the system's own memory counts, unless privileged
            if "CAP_IPC_LOCK" not in actor.model.capabilities:
                if actor.model.space.size - actor.model.space.locked > self.page:  # over the limit in any case
                    self.set_lock_headroom(actor, self.page)
                else:
                    flags = MCL_FUTURE
            else:
                actor.locked_all = True
        self.call(actor, "mlockall", flags)
        if draws.below(2):  # a later mapping
            got = self.call(actor, "mmap", 0, self.page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
            if got is not None:
                actor.regions.append((got, self.page))
                if draws.below(2):
                    self.call(actor, "mincore", got, self.page)

    def full_file_table(self, actor: Actor, draws: Draws) -> None:
        """Map memory that needs an open file while the system's file table is full."""
        if draws.below(4):
            self.call(actor, "drop_capability", "CAP_SYS_ADMIN")
        try:
            with self.system.full_file_table():
                got = self.call(actor, "mmap", 0, self.page, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        except NotImplementedError as error:
            self.lacks["full_file_table"] = str(error)
            return
        if got is not None:
            actor.regions.append((got, self.page))

    # ---- several processes at the same time

    def run_concurrently(self, actor: Actor, draws: Draws) -> None:
        """Add to a shared word in two processes, under a lock."""
        others = [other for other in self.actors if other is not actor]
        mapping = self.draw_mapping(actor, draws, PROT_WRITE)
        if mapping is None or not mapping.shared or not mapping.prot & PROT_READ or not mapping.prot & PROT_WRITE:
            return
        if not others:  # a single process needs no lock
            if self.is_unlocked(mapping):
                addr, _room = self.symbolic(actor, mapping.start)
                self.call(actor, "add", addr + 4, 3)
            return
        other = draws.choice(others)
        theirs = other.model.space.find(mapping.start)
        if theirs is None or theirs.inode is not mapping.inode or theirs.file_page(0) != mapping.file_page(0):
            return
        if theirs.prot & mapping.prot & (PROT_READ | PROT_WRITE) != PROT_READ | PROT_WRITE:
            return
        if self.is_unlocked(mapping):
            addr, _room = self.symbolic(actor, mapping.start)
            calls = [Call(member.process, "add", (addr + 4, 3, addr)) for member in (actor, other)]
            try:
                self.system.run_concurrently(calls)
            except NotImplementedError as error:
                self.lacks["add"] = str(error)

    def is_unlocked(self, mapping: Mapping) -> bool:
        """Return True if the first word of a shared mapping is known to be 0: a lock that no process holds."""
        assert mapping.inode is not None
        page = mapping.inode.cache.page(mapping.file_page(mapping.start // self.page))
        return mapping.bytes_to_eof(mapping.start) >= 8 and not page.indeterminate and not any(page.data[:4])

    # ---- directories and file systems

    def use_noexec_directory(self, actor: Actor, draws: Draws) -> None:
        """Open files in a directory without execution from now on."""
        if self.files_in is None and draws.below(2):
            self.use_facility(Facility.NOEXEC_DIRECTORY)

    def crash(self, actor: Actor, draws: Draws) -> None:
        """Simulate a power failure if the files are in a crash file system, and begin with a new process."""
        if draws.below(3):
            self.sync_part(actor, draws)
        else:
            self.store_and_sync(actor, draws)
        if self.files_in != Facility.CRASHING_FILE_SYSTEM or self.machine.has_unsynced_names():
            return  # no clause covers files of which the disk has only the name
        self.system.crash()
        self.actors = [self.new_actor(self.system.spawn())]
        for name in "ab":
            if self.file_exists(name):
                self.read_file(self.actors[0], name)

    def store_and_sync(self, actor: Actor, draws: Draws) -> None:
        """Store to a shared page, and synchronise a range at, before or around it."""
        shared = [m for m in actor.model.space.mappings.values() if m.shared and m.prot & PROT_WRITE and m.inode]
        if not shared:
            return
        mapping = draws.choice(shared)
        at = mapping.start + draws.below(4) * self.page % (mapping.end - mapping.start)
        start, end = draws.choice(
            ((at, at), (mapping.start, at), (mapping.start, mapping.end), (at, mapping.end + self.page))
        )
        addr, room = self.symbolic(actor, at)
        self.call(actor, "store", addr, draws.choice((b"one", b"two")))
        addr, room = self.symbolic(actor, start)
        self.call(actor, "msync", addr, min(max(end - start, self.page), room), MS_SYNC)

    def read_file(self, actor: Actor, name: str) -> None:
        """Read the content of a file."""
        fd = self.open_file(actor, name, O_RDWR)
        self.call(actor, "pread", fd, 4 * self.page, 0)
