"""Random programs: what to call next, drawn by a few bytes, guided by what the reference knows of the present state.

Whether random programs find anything is decided by two things.  The first is the **small world** that they act in: an
arena of a few pages for all that is placed at a fixed address, two short files with different bytes in each page,
lengths of one to three pages, offsets on page borders.  In a wide world two calls hardly ever meet in the same page,
and nothing happens that a single call would not have shown.  Most steps mean something in the present state: an access
at a border of a mapping or at the end of the file behind it, a descriptor that is open for what it is wanted for.  A
minority is deliberately wrong, in a way that this program has not been refused for yet.

The second is the size of a step.  Hypothesis shrinks a program by simplifying and deleting choices, so a step is one
choice: a string of `STEP` bytes, in which each byte decides one thing (`Digits`), zeros always the simplest one.  The
first byte says which call is made; 0 is none, so that a step is deleted by making it zeros.

Nothing is drawn from an address that a system chose.  Addresses are pages of *regions* (the arena, what mmap and mremap
returned), and beyond a region's ends nothing is ever touched: the system's own memory may be there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from .contract import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_LOCKED,
    MAP_NORESERVE,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MAP_STACK,
    MAP_SYNC,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    MS_ASYNC,
    MS_INVALIDATE,
    MS_SYNC,
    O_APPEND,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_PATH,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
    O_WRONLY,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    SC_PAGESIZE,
    Facility,
    Fault,
    Process,
    System,
)
from .reference.address_space import Mapping as Area
from .reference.files import Description
from .reference.process import Process as Model

T = TypeVar("T")

STEP: Final = 12
"""Bytes of a step."""

SLOTS: Final = 6
"""Pages of the arena that things are placed in; there is one more on either side."""

LARGEST: Final = 4
"""Pages that a mapping or a file may have."""

PROCESSES: Final = 3
"""Processes that may live at the same time."""

FILES: Final = {"a": (b"abcd", 2, 100), "b": (b"ABCD", 3, 0)}
"""The files by name: a letter for each page, and what they are filled with at first, in pages and bytes."""

RW: Final = PROT_READ | PROT_WRITE
RIGHTS: Final = (
    RW,
    RW,
    RW,
    PROT_READ,
    PROT_READ,
    PROT_WRITE,
    PROT_NONE,
    RW | PROT_EXEC,
    PROT_READ | PROT_EXEC,
    PROT_EXEC,
)
EXTRAS: Final = (0,) * 12 + (MAP_LOCKED, MAP_POPULATE, MAP_NORESERVE, MAP_STACK)
MODES: Final = (O_RDWR, O_RDWR, O_RDONLY, O_WRONLY)
SYNCS: Final = (MS_ASYNC, MS_SYNC, 0, MS_ASYNC | MS_INVALIDATE, MS_INVALIDATE)

ODD_FACILITIES: Final = (Facility.DEV_ZERO, Facility.DEV_NULL, Facility.PROC_FILE)
"""Files of unusual kinds."""


class Digits:
    """The bytes of a step, taken one by one; when there are no more, zeros."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def below(self, limit: int) -> int:
        """From 0 to before `limit`, at most 256."""
        at = self.at
        self.at = at + 1
        return self.data[at] % limit if at < len(self.data) else 0

    def of(self, options: Sequence[T]) -> T:
        """One of the options; the first is the simplest."""
        return options[self.below(len(options))]

    def once_in(self, times: int) -> bool:
        """Rarely so."""
        return self.below(times) == times - 1


@dataclass
class Actor:
    """A process of the program: what makes the calls, and what the reference knows of it."""

    process: Process
    model: Model
    regions: list[tuple[int, int]] = field(default_factory=list)
    """(address, bytes) of the arena, and of what mmap and mremap have returned: where something may be touched."""
    odd: dict[str, int] = field(default_factory=dict)
    """Descriptors of unusual files, by what they are."""


def model_of(process: Any) -> Model:
    """The reference's process behind a pair, a recorded process, or itself."""
    while not isinstance(process, Model):
        process = process.model if hasattr(process, "model") else process.inside
    return process


def of_mmap(addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> Iterator[str]:
    """The clauses that a mapping that was made keeps."""
    yield "mmap.result.success"
    yield "mmap.flag.anonymous" if flags & MAP_ANONYMOUS else "mmap.range"
    yield "mmap.flag.shared" if flags & MAP_SHARED else "mmap.flag.private"
    if flags & MAP_FIXED:
        yield "mmap.flag.fixed"
    elif flags & MAP_FIXED_NOREPLACE:
        yield "mmap.flag.fixed-noreplace"
    else:
        yield "mmap.addr.hint" if addr else "mmap.addr.null"


def of_mremap(addr: int, old_size: int, new_size: int, flags: int, new_addr: int) -> Iterator[str]:
    """The clauses that a mapping that was resized or moved keeps."""
    yield "mremap.resize" if old_size else "mremap.old-size-zero"
    if flags & MREMAP_DONTUNMAP:
        yield "mremap.flags.dontunmap"
    else:
        yield "mremap.flags.fixed" if flags & MREMAP_FIXED else "mremap.flags.maymove" if flags else "mremap.flags.zero"


def of_msync(addr: int, length: int, flags: int) -> Iterator[str]:
    """The clauses that a msync that succeeded keeps."""
    yield "msync.result"
    for flag, clause in ((MS_SYNC, "sync"), (MS_ASYNC, "async"), (MS_INVALIDATE, "invalidate")):
        if flags & flag:
            yield f"msync.flag.{clause}"


def always(*clauses: str) -> Callable[..., Iterable[str]]:
    """The same clauses whatever the arguments."""
    return lambda *arguments: clauses


EFFECTS: Final[Mapping[str, Callable[..., Iterable[str]]]] = {
    "mmap": of_mmap,
    "mremap": of_mremap,
    "msync": of_msync,
    "munmap": always("munmap.range", "munmap.result"),
    "mprotect": always("mprotect.rights"),
    "load": always("mmap.prot.read"),
    "store": always("mmap.prot.write"),
    "execute": always("mmap.prot.exec"),
    "pread": always("overview.one-to-one"),
    "pwrite": always("overview.one-to-one"),
    "close": always("mmap.refcount.close"),
    "unlink": always("mmap.refcount.increment"),
    "exit": always("mmap.refcount.exit"),
    "kill": always("mmap.refcount.exit"),
    "fork": always("overview.shared-by-processes"),
    "ftruncate": always("file.truncate"),
    "sysconf": always("paging.sysconf"),
}
"""By call, the clauses that it keeps where it succeeds."""

FAULTS: Final = {"SEGV_ACCERR": "mmap.prot.none", "BUS_ADRERR": "file.truncate"}
"""By its code, the clause that a fault keeps."""

PARTIAL: Final = ("mprotect", "mlock", "munlock")
"""The steps that can fail half-way, what is done then being known for Linux only."""


class World:
    """What a program acts in: a system, and the state of it as far as drawing needs to know.

    The steps are methods, each given an actor and the digits of a step; they make one call, or a few more where a file
    or descriptor is missing.
    """

    def __init__(self, system: System, level: str = "linux") -> None:
        self.system = system
        self.steps = STEPS if level == "linux" else tuple(step for step in STEPS if step not in PARTIAL)
        self.effects: Counter[str] = Counter()
        """How often what each clause promises has happened."""
        self.lacks: dict[str, str] = {}
        """Calls that the system cannot be asked, and why."""
        process = system.spawn()
        self.unit = process.sysconf(SC_PAGESIZE)
        """The page, by symbol: what addresses are counted in."""
        self.page = int(self.unit)
        self.bits = process.bits
        size = (SLOTS + 2) * self.unit
        first = Actor(process, model_of(process))
        self.machine = first.model.machine
        try:
            arena, _length = process.arena()
        except NotImplementedError:
            arena = process.mmap(0, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        first.regions.append((arena, size))
        self.actors = [first]

    def step(self, data: bytes) -> None:
        """Make the step that `data` stands for; zeros for none.  Raises Divergence and what keeps from telling."""
        digits = Digits(data)
        kind = digits.below(256)
        if kind:
            method: Callable[[Actor, Digits], None] = getattr(self, self.steps[(kind - 1) % len(self.steps)])
            method(digits.of(self.actors), digits)

    def call(self, actor: Actor, name: str, *arguments: Any) -> Any:
        """Make a call; what it returned, or None where it was refused, faulted or cannot be asked."""
        try:
            result = getattr(actor.process, name)(*arguments)
        except Fault as fault:
            self.effects[FAULTS.get(fault.code, "munmap.range")] += 1
            return None
        except OSError:
            return None
        except NotImplementedError as error:
            self.lacks[name] = str(error)
            return None
        if name in EFFECTS:
            self.effects.update(EFFECTS[name](*arguments))
        return True if result is None else result

    # ---- addresses

    def symbol(self, actor: Actor, addr: int) -> tuple[int, int]:
        """An address by its region, and how many bytes the region has from there on."""
        for base, size in reversed(actor.regions):
            if base <= addr < base + size:
                pages, rest = divmod(addr - base, self.page)
                return base + pages * self.unit + rest, int(base) + size - addr
        return addr, 0

    def slot(self, actor: Actor, digits: Digits, taken: bool = False) -> int:
        """The address of a page of the arena that things are placed in; if asked for, one where something is."""
        base, size = actor.regions[0]
        which = digits.below(SLOTS * 4)
        there = actor.model.space.over(base, base + size) if taken else ()
        if there:
            return self.symbol(actor, max(there[which % len(there)].start, base))[0]
        return base + (1 + which % SLOTS) * self.unit

    def length(self, digits: Digits) -> int:
        """Bytes of one to three pages, one time in four not a multiple of the page."""
        pages = 1 + digits.below(3)
        odd = digits.of((0, 0, 0, 0, 0, 0, 1, self.page - 1))
        return pages * self.page - odd

    def mapping(self, actor: Actor, digits: Digits, right: int = 0) -> Area | None:
        """One of the actor's mappings, of those with a right if there are any."""
        mappings: Sequence[Area] = actor.model.space.mappings.values()
        if right:
            mappings = [mapping for mapping in mappings if mapping.prot & right] or mappings
        return digits.of(mappings) if mappings else None

    def range(self, actor: Actor, digits: Digits) -> tuple[int, int]:
        """(address, bytes) of a range to work on: (a part of) a mapping, or a window of the arena, holes and all."""
        page = self.page
        mapping = self.mapping(actor, digits)
        shape = digits.below(8)
        which = digits.below(12)
        if mapping is None or shape >= 6:
            addr, length = actor.regions[0][0] + which % (SLOTS + 1) * self.unit, (1 + which % 3) * page
        else:
            addr, length = mapping.start, mapping.end - mapping.start
            pages = length // page
            if shape == 1:
                length = page
            elif shape in (2, 3):
                addr += which % pages * page
                length = page if shape == 2 else mapping.end - addr
            elif shape == 4:
                length += page
            elif shape == 5:
                addr -= page
                length = page * 2
            addr, room = self.symbol(actor, addr)
            length = min(length, room)
            if not room:
                addr, _room = self.symbol(actor, mapping.start)
                length = page
        return addr, length - digits.of((0, 0, 0, 0, 0, 0, 1, page - 1))

    def place(self, actor: Actor, digits: Digits, right: int) -> tuple[int, int]:
        """(address, bytes from there that may be touched): a byte at a border of something, mostly with a right."""
        page = self.page
        mapping = self.mapping(actor, digits, 0 if digits.once_in(6) else right)
        which = digits.below(12)
        if mapping is None or digits.once_in(12):
            addr = int(actor.regions[0][0]) + which % (SLOTS + 2) * page
        else:
            addr = mapping.start + which % ((mapping.end - mapping.start) // page) * page
        border = digits.below(8)
        if border >= 6 and mapping is not None and mapping.inode is not None:
            end = mapping.start + mapping.inode.size - mapping.offset - (border - 6)
            if mapping.start <= end < mapping.end:
                addr = end
        elif border >= 3:
            addr += (page - 1, page // 2, 8)[border % 3]
        return self.symbol(actor, addr)

    # ---- files

    def described(self, actor: Actor, read: bool, write: bool) -> list[tuple[int, Description]]:
        """The actor's descriptors of ordinary files that can be used so."""
        return [
            (fd, descriptor.description)
            for fd, descriptor in actor.model.descriptors.items()
            if descriptor.description.inode.kind == "regular"
            and not descriptor.description.inode.device
            and (descriptor.description.readable or not read)
            and (descriptor.description.writable or not write)
        ]

    def descriptor(self, actor: Actor, digits: Digits, read: bool = False, write: bool = False) -> int:
        """A descriptor of an ordinary file that can be used so; opened where there is none."""
        choice = digits.below(12)
        found = self.described(actor, read, write)
        if found:
            return found[choice % len(found)][0]
        return self.opened(actor, "ab"[choice % 2], O_RDWR)

    def opened(self, actor: Actor, name: str, flags: int) -> int:
        """Open a file, which is made and filled where it is not there; -1 where that is refused."""
        if name in self.machine.home.root.entries:
            fd = self.call(actor, "open", name, flags)
            return -1 if fd is None else int(fd)
        letters, pages, rest = FILES[name]
        fd = self.call(actor, "open", name, O_CREAT | O_RDWR)
        if fd is None:
            return -1
        content = b"".join(letters[at : at + 1] * self.page for at in range(pages)) + letters[pages : pages + 1] * rest
        self.call(actor, "pwrite", fd, content, 0)
        if flags != O_RDWR:
            fd = self.call(actor, "open", name, flags)
        return -1 if fd is None else int(fd)

    def odd_file(self, actor: Actor, digits: Digits) -> int:
        """A descriptor of something that cannot be mapped, or not like a file."""
        kind = digits.of(("pipe", "directory", "path", *ODD_FACILITIES))
        fd = actor.odd.get(kind)
        if fd is not None and fd in actor.model.descriptors:
            return fd
        if kind == "pipe":
            pair = self.call(actor, "pipe")
            fd = None if pair is None else pair[0]
        elif kind == "directory":
            fd = self.call(actor, "open", ".", O_RDONLY | O_DIRECTORY)
        elif kind == "path":
            fd = self.call(actor, "open", ".", O_PATH)
        else:
            try:
                path = self.system.facility(Facility(kind))
            except NotImplementedError:
                return -1
            fd = self.call(actor, "open", path, O_RDWR if kind == Facility.DEV_ZERO else O_RDONLY)
        if fd is None:
            return -1
        actor.odd[kind] = int(fd)
        return actor.odd[kind]

    # ---- wrong on purpose

    def new_first(self, wrongs: Sequence[tuple[str, T]], digits: Digits) -> T:
        """One of several mistakes, each with the clause that it is refused by: one that has not been reached yet."""
        reached = self.machine.reached
        left = [wrong for clause, wrong in wrongs if clause not in reached]
        return digits.of(left or [wrong for _clause, wrong in wrongs])

    # ---- the calls on mappings

    def mmap(self, actor: Actor, digits: Digits) -> None:
        page = self.page
        shared = digits.below(2)
        anonymous = digits.below(3) == 2
        prot = digits.of(RIGHTS)
        where = digits.below(8)
        slot = self.slot(actor, digits, where in (4, 5))
        length = self.length(digits)
        offset = digits.of((0, 0, 0, 1, 2, 3)) * page
        extra = digits.of(EXTRAS)
        flags = MAP_SHARED if shared else MAP_PRIVATE
        addr = 0
        if where >= 2:
            addr = slot
            flags |= MAP_FIXED if where < 6 else MAP_FIXED_NOREPLACE if where == 6 else 0
        flags |= extra
        if digits.once_in(5):
            return self.mmap_wrong(actor, digits, addr, length, prot, flags)
        if anonymous:
            self.mapped(actor, addr, length, prot, flags | MAP_ANONYMOUS, -1, 0)
        else:
            fd = self.descriptor(actor, digits, True, bool(shared and prot & PROT_WRITE))
            self.mapped(actor, addr, length, prot, flags, fd, offset)
        return None

    def mapped(self, actor: Actor, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> None:
        got = self.call(actor, "mmap", addr, length, prot, flags, fd, offset)
        if got is not None:
            self.region(actor, got)

    def region(self, actor: Actor, addr: int) -> None:
        """Something has been mapped there: it may be touched."""
        mapping = actor.model.space.find(addr)
        if mapping is not None and self.symbol(actor, addr)[1] < mapping.end - addr:
            actor.regions.append((addr, mapping.end - int(addr)))

    def mmap_wrong(self, actor: Actor, digits: Digits, addr: int, length: int, prot: int, flags: int) -> None:
        page = self.page
        fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)
        type_ = flags & MAP_SHARED_VALIDATE
        wrong = self.new_first(
            (
                ("mmap.errno.EACCES", "mode"),
                ("mmap.errno.EACCES", "mode"),
                ("mmap.errno.EACCES", "mode"),
                ("mmap.errno.EINVAL", "length"),
                ("mmap.errno.EINVAL", "offset"),
                ("mmap.errno.EINVAL", "address"),
                ("mmap.errno.EBADF", "descriptor"),
                ("mmap.errno.ENODEV", "file"),
                ("mmap.errno.EBADF.path", "file"),
                ("mmap.errno.EINVAL.type", "type"),
                ("mmap.errno.ENOMEM", "huge"),
                ("mmap.errno.ENOMEM", "outside"),
                ("mmap.errno.EOVERFLOW", "overflow"),
                ("mmap.errno.EOPNOTSUPP", "unknown"),
                ("mmap.errno.EOPNOTSUPP", "sync"),
                ("mmap.errno.EEXIST", "taken"),
            ),
            digits,
        )
        fd = offset = 0
        if wrong == "mode":
            write = digits.below(2)
            flags = flags & ~MAP_PRIVATE | MAP_SHARED if write else flags
            prot |= PROT_WRITE if write else 0
            unfit = [
                number
                for number, description in self.described(actor, False, False)
                if not (description.writable if write else description.readable)
            ]
            mode = O_RDONLY if write else O_WRONLY
            fd = digits.of(unfit) if unfit else self.opened(actor, digits.of("ab"), mode)
        elif wrong == "file":
            fd = self.odd_file(actor, digits)
        elif wrong == "descriptor":
            fd = digits.of((-1, 77, -1000))
        else:
            fd = self.descriptor(actor, digits, True, type_ != MAP_PRIVATE and bool(prot & PROT_WRITE))
        if wrong == "length":
            length = 0
        elif wrong == "offset":
            offset = digits.of((1, page - 1, page + 8, -1))
        elif wrong == "address":
            addr, flags = self.slot(actor, digits) + digits.of((1, page - 1)), flags & ~fixed | MAP_FIXED
        elif wrong == "type":
            flags &= ~type_
        elif wrong == "huge":
            length = (1 << self.bits) - digits.of((page, 1, 2 * page))
        elif wrong == "outside":
            addr, flags = digits.of(((1 << self.bits) - page, 1 << (self.bits - 1))), flags & ~fixed | MAP_FIXED
        elif wrong == "overflow":
            offset = digits.of(((1 << 63) - page, -page))
        elif wrong == "unknown":
            flags |= MAP_SHARED_VALIDATE | 1 << 27
        elif wrong == "sync":
            flags |= MAP_SHARED_VALIDATE | MAP_SYNC
        elif wrong == "taken":
            mapping = self.mapping(actor, digits)
            addr = self.symbol(actor, mapping.start)[0] if mapping else self.slot(actor, digits)
            flags = flags & ~MAP_FIXED | MAP_FIXED_NOREPLACE
        self.mapped(actor, addr, length, prot, flags, fd, offset)

    def munmap(self, actor: Actor, digits: Digits) -> None:
        addr, length = self.range(actor, digits)
        if digits.once_in(6):
            addr, length = self.wrong_range("munmap", addr, length, digits)
        self.call(actor, "munmap", addr, length)

    def wrong_range(self, call: str, addr: int, length: int, digits: Digits) -> tuple[int, int]:
        """A range with something the matter with it."""
        page = self.page
        wrong = digits.below(3)
        if wrong == 0:
            return addr + digits.of((1, page - 1)), length
        if wrong == 1 or call != "munmap":
            return addr, 0
        return addr, (1 << self.bits) - digits.of((page, 1))

    def mremap(self, actor: Actor, digits: Digits) -> None:
        page = self.page
        mapping = self.mapping(actor, digits)
        if mapping is None:
            return
        shape = digits.below(6)
        which = digits.below(12)
        new_size = (1 + digits.below(LARGEST)) * page - digits.of((0, 0, 0, 1))
        how = digits.below(6)
        slot = self.slot(actor, digits)
        addr, old_size = mapping.start, mapping.end - mapping.start
        if shape in (2, 3):
            addr += which % (old_size // page) * page
            old_size = mapping.end - addr if shape == 2 else page
        elif shape == 4 and mapping.shared:
            old_size = 0
        addr, room = self.symbol(actor, addr)
        flags = (MREMAP_MAYMOVE, MREMAP_MAYMOVE, 0, MREMAP_MAYMOVE | MREMAP_FIXED, MREMAP_MAYMOVE | MREMAP_FIXED)[
            how % 5
        ]
        if how == 5 and not mapping.locked:  # which parts lose their lock depends on whether they are one mapping
            flags = MREMAP_MAYMOVE | MREMAP_DONTUNMAP
            new_size = old_size
        new_addr = slot if flags & MREMAP_FIXED else 0
        if digits.once_in(6):
            wrong = digits.below(7)
            if wrong == 0:
                addr += 1
            elif wrong == 1:
                new_size = 0
            elif wrong == 2:
                flags |= 8
            elif wrong == 3:
                old_size += page
            elif wrong == 4:
                addr = slot
            elif wrong == 5:
                flags = MREMAP_FIXED
            else:
                new_size = (1 << self.bits) - page
        if addr != slot:
            old_size = min(old_size, room)
        got = self.call(actor, "mremap", addr, old_size, new_size, flags, new_addr)
        if got is not None:
            self.region(actor, got)

    def msync(self, actor: Actor, digits: Digits) -> None:
        addr, length = self.range(actor, digits)
        flags = digits.of(SYNCS)
        if digits.once_in(6):
            wrong = digits.below(4)
            if wrong == 0:
                addr += 1
            elif wrong == 1:
                flags |= 8
            elif wrong == 2:
                flags = MS_ASYNC | MS_SYNC
            else:
                length = (1 << self.bits) - 1
        self.call(actor, "msync", addr, length, flags)

    def mprotect(self, actor: Actor, digits: Digits) -> None:
        addr, length = self.range(actor, digits)
        prot = digits.of(RIGHTS)
        if digits.once_in(8):
            addr, length = self.wrong_range("mprotect", addr, length, digits)
        self.call(actor, "mprotect", addr, length, prot)

    def mlock(self, actor: Actor, digits: Digits) -> None:
        addr, length = self.range(actor, digits)
        self.call(actor, "mlock", addr, length)

    def munlock(self, actor: Actor, digits: Digits) -> None:
        addr, length = self.range(actor, digits)
        self.call(actor, "munlock", addr, length)

    def sysconf(self, actor: Actor, digits: Digits) -> None:
        self.call(actor, "sysconf", digits.of((SC_PAGESIZE, -1, 9999)))

    # ---- memory accesses

    def load(self, actor: Actor, digits: Digits) -> None:
        addr, room = self.place(actor, digits, PROT_READ)
        length = digits.of((1, 2, 8, self.page, self.page + 1))
        if room:
            self.call(actor, "load", addr, min(length, room))

    def store(self, actor: Actor, digits: Digits) -> None:
        addr, room = self.place(actor, digits, PROT_WRITE)
        length = digits.of((1, 2, 8, 8, self.page))
        data = digits.of("xyz").encode() * length
        if room:
            self.call(actor, "store", addr, data[:room])

    def execute(self, actor: Actor, digits: Digits) -> None:
        """Run what is known to return; where something else stands, only what may not be executed."""
        addr, room = self.place(actor, digits, PROT_EXEC)
        if not room:
            return
        code = self.call(actor, "return_code")
        if code is None:
            return
        mapping = actor.model.space.find(addr)
        if mapping is not None and mapping.prot & PROT_WRITE and len(code) <= room:
            self.call(actor, "store", addr, code)
        if mapping is None or not mapping.prot & PROT_EXEC or self.returns(actor, mapping, addr, code):
            self.call(actor, "execute", addr)

    def returns(self, actor: Actor, mapping: Area, addr: int, code: bytes) -> bool:
        """Whether `code` is known to stand at an address."""
        number, start = divmod(addr, self.page)
        found = actor.model.space.table.entries.get(number)
        if found is None and mapping.inode is not None:
            if mapping.room(addr) <= 0:
                return True  # past the end of the file: a fault
            found = mapping.inode.cache.pages.get(mapping.index(number))
        stop = start + len(code)
        if found is None or (found.open and any(start <= at < stop for at in found.open)):
            return False
        return bytes(found.data[start:stop]) == code

    # ---- files

    def open(self, actor: Actor, digits: Digits) -> None:
        name = digits.of("ab")
        mode = digits.of(MODES)
        more = digits.of((0, 0, 0, 0, 0, O_APPEND, O_CREAT | O_EXCL, O_TRUNC))
        if mode == O_RDONLY and more == O_TRUNC:  # it is undefined what these two do together
            mode = O_RDWR
        self.opened(actor, name, mode | more)

    def close(self, actor: Actor, digits: Digits) -> None:
        found = [fd for fd in actor.model.descriptors if fd > 2]
        if found:
            fd = digits.of(found)
            self.call(actor, "close", 77 if digits.once_in(16) else fd)

    def dup(self, actor: Actor, digits: Digits) -> None:
        found = self.described(actor, False, False)
        if found and len(found) < 6:
            self.call(actor, "dup", digits.of(found)[0])

    def unlink(self, actor: Actor, digits: Digits) -> None:
        self.call(actor, "unlink", digits.of("ab"))

    def ftruncate(self, actor: Actor, digits: Digits) -> None:
        length = digits.below(LARGEST + 1) * self.page + digits.of((0, 0, 1, 100))
        fd = self.descriptor(actor, digits, False, not digits.once_in(16))
        self.call(actor, "ftruncate", fd, -1 if digits.once_in(32) else length)

    def pread(self, actor: Actor, digits: Digits) -> None:
        offset, length = self.extent(digits)
        fd = self.descriptor(actor, digits, not digits.once_in(16), False)
        self.call(actor, "pread", fd, length, offset)

    def pwrite(self, actor: Actor, digits: Digits) -> None:
        offset, length = self.extent(digits)
        data = digits.of("pqr").encode() * length
        fd = self.descriptor(actor, digits, False, not digits.once_in(16))
        self.call(actor, "pwrite", fd, data, offset)

    def extent(self, digits: Digits) -> tuple[int, int]:
        """(offset, bytes) of a piece of a file."""
        offset = digits.below(LARGEST) * self.page + digits.of((0, 0, 0, self.page - 1, 100))
        return offset, digits.of((1, 8, self.page, self.page + 1))

    def fsync(self, actor: Actor, digits: Digits) -> None:
        self.call(actor, "fsync", self.descriptor(actor, digits))

    # ---- life

    def fork(self, actor: Actor, digits: Digits) -> None:
        if len(self.actors) < PROCESSES:
            child = self.call(actor, "fork")
            if child is not None:
                self.actors.append(Actor(child, model_of(child), list(actor.regions), dict(actor.odd)))

    def exit(self, actor: Actor, digits: Digits) -> None:
        if len(self.actors) > 1:
            actor = self.actors.pop(1 + digits.below(len(self.actors) - 1))
            if digits.once_in(3):
                self.call(actor, "kill")
            else:
                self.call(actor, "exit", digits.below(4))


STEPS: Final = (
    *("mmap",) * 7,
    *("store",) * 5,
    *("load",) * 4,
    *("munmap",) * 3,
    *("mremap",) * 3,
    *("pwrite",) * 2,
    *("pread",) * 2,
    *("msync",) * 2,
    *("mprotect",) * 2,
    *("ftruncate",) * 2,
    *("fork",) * 3,
    *("open",) * 2,
    "close",
    "dup",
    "unlink",
    "exit",
    "mlock",
    "munlock",
    "execute",
    "sysconf",
    "fsync",
)
"""The steps, each as often as it is drawn."""
