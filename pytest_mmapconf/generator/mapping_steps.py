"""The steps that map, unmap, move, protect and lock."""

from __future__ import annotations

from typing import Final

from ..contract import (
    MADV_DOFORK,
    MADV_DONTFORK,
    MADV_DONTNEED,
    MADV_DONTNEED_LOCKED,
    MADV_FREE,
    MADV_KEEPONFORK,
    MADV_NORMAL,
    MADV_POPULATE_READ,
    MADV_POPULATE_WRITE,
    MADV_RANDOM,
    MADV_REMOVE,
    MADV_SEQUENTIAL,
    MADV_WILLNEED,
    MADV_WIPEONFORK,
    MAP_32BIT,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_HUGETLB,
    MAP_LOCKED,
    MAP_NORESERVE,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MAP_STACK,
    MAP_SYNC,
    MLOCK_ONFAULT,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    MS_ASYNC,
    MS_INVALIDATE,
    MS_SYNC,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    SC_PAGESIZE,
    SEAL_WRITE,
    Facility,
)
from ..reference.address_space import Mapping as Area
from .digits import Digits
from .state import LARGEST, Actor, State

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
SYNCS: Final = (MS_ASYNC, MS_SYNC, 0, MS_ASYNC | MS_INVALIDATE, MS_INVALIDATE)

ADVICE: Final = (
    MADV_DONTNEED,
    MADV_DONTNEED,
    MADV_DONTNEED,
    MADV_WIPEONFORK,
    MADV_WIPEONFORK,
    MADV_DONTFORK,
    MADV_DONTFORK,
    MADV_KEEPONFORK,
    MADV_DOFORK,
    MADV_REMOVE,
    MADV_REMOVE,
    MADV_FREE,
    MADV_POPULATE_READ,
    MADV_POPULATE_WRITE,
    MADV_DONTNEED_LOCKED,
    MADV_NORMAL,
    MADV_RANDOM,
    MADV_SEQUENTIAL,
    MADV_WILLNEED,
)
LARGE: Final = (16384, 3000)
"""Pages of a mapping: so many that it is over any limit there is; so many that the second is."""

FAR: Final = 1 << 32
"""Bytes: where 32 bits are too few."""


class MappingSteps(State):
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
        if self.errs(digits, 5):
            return self.mmap_wrong(actor, digits, addr, length, prot, flags)
        if digits.once_in(6):
            return self.mmap_unusual(actor, digits, addr, length, prot, flags)
        if actor.model.address_space_limit is not None and not digits.below(3):
            # Two of the second size are over the limit of `limit`, whatever else there is.
            flags = flags & ~(MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_LOCKED | MAP_POPULATE) | MAP_NORESERVE
            return self.mapped(actor, 0, digits.of(LARGE) * page, PROT_NONE, flags | MAP_ANONYMOUS, -1, 0)
        if anonymous:
            self.mapped(actor, addr, length, prot, flags | MAP_ANONYMOUS, -1, 0)
        else:
            fd = self.descriptor(actor, digits, True, bool(shared and prot & PROT_WRITE))
            self.mapped(actor, addr, length, prot, flags, fd, offset)
        return None

    def zeros(self, actor: Actor, digits: Digits) -> None:
        """A mapping of the device of zeros."""
        page = self.page
        fd = self.odd_file(actor, digits, Facility.DEV_ZERO)
        flags = digits.of((MAP_PRIVATE, MAP_SHARED)) | digits.of((0, 0, MAP_FIXED))
        addr = self.slot(actor, digits) if flags & MAP_FIXED else 0
        self.mapped(actor, addr, self.length(digits), digits.of(RIGHTS), flags, fd, digits.of((0, 0, page, 1 << 40)))

    def mmap_unusual(self, actor: Actor, digits: Digits, addr: int, length: int, prot: int, flags: int) -> None:
        """What is right, but seldom done."""
        page = self.page
        fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)
        kinds = ("validate", "unknown flag", "unknown right", "hint", "hint", "anonymous", "anonymous", "zeros", "far")
        kind = digits.of((*kinds, "empty", "descriptor 0", "low"))
        offset = 0
        if kind == "anonymous":
            fd = digits.of((77, -5, *actor.model.descriptors))
            return self.mapped(actor, addr, length, prot, flags | MAP_ANONYMOUS, fd, digits.of((0, 0, page, 1 << 62)))
        if kind == "zeros":
            fd = self.odd_file(actor, digits, Facility.DEV_ZERO)
        elif kind == "descriptor 0":
            if any(name in self.machine.home.root.entries for name in "ab") and actor.model.descriptors.get(0):
                self.call(actor, "close", 0)
                self.opened(actor, digits.of("ab"), O_RDWR)
            fd = 0
        else:
            fd = self.descriptor(actor, digits, True, bool(flags & MAP_SHARED and prot & PROT_WRITE))
        if kind == "validate" and self.level == "linux":
            flags = flags & ~MAP_PRIVATE | MAP_SHARED_VALIDATE
        elif kind == "unknown flag":
            flags |= 1 << 27
        elif kind == "unknown right":
            prot |= digits.of((8, 0x10, 1 << 20))
        elif kind == "hint":
            near = self.slot(actor, digits) + digits.of((0, 1, page - 1))
            high = 1 << (self.bits - 1)
            addr, flags = digits.of((near, near, page, high, 2 * high - page)), flags & ~fixed
        elif kind == "low":
            addr, flags = 0, flags & ~fixed | MAP_32BIT
        elif kind == "far" and self.bits == 64:
            self.call(actor, "ftruncate", fd, FAR + page)
            offset = FAR
        elif kind == "empty":
            self.call(actor, "ftruncate", fd, 0)
            length = digits.of((length, length, 0))
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
                *(("mmap.errno.EACCES", "mode"),) * 7,
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
                ("mmap.errno.EOPNOTSUPP.sync", "sync"),
                ("mmap.errno.EEXIST", "taken"),
                ("mmap.errno.EPERM.zero", "low"),
                ("mmap.errno.EPERM", "noexec"),
                ("mmap.errno.EPERM.seal", "seal"),
                ("mmap.errno.EAGAIN.memory", "locked"),
                ("mmap.errno.EPERM.locked", "no lock"),
                ("mmap.errno.EINVAL.unknown-type", "other type"),
                ("mmap.errno.EINVAL.type", "no type"),
                ("mmap.flag.shared-validate", "validate"),
                ("mmap.errno.EINVAL.flags", "grows"),
                ("mmap.errno.EINVAL.flags", "huge pages"),
                ("mmap.errno.EINVAL", "nothing"),
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
        elif wrong == "noexec":
            fd, prot = self.odd_file(actor, digits, digits.of((None, Facility.PROC_FILE))), prot | PROT_EXEC
        elif wrong == "seal":
            fd = self.sealed(actor, digits, SEAL_WRITE)
            flags, prot = flags & ~type_ | MAP_SHARED, prot | PROT_WRITE
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
        elif wrong == "other type":
            flags = flags & ~type_ | digits.of((4, 7, 15))
        elif wrong in ("no type", "validate"):
            flags, fd = flags & ~type_ | MAP_ANONYMOUS | (MAP_SHARED_VALIDATE if wrong == "validate" else 0), -1
        elif wrong == "grows" and digits.below(2):
            flags, fd = flags & ~type_ | MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN, -1
        elif wrong == "grows":
            flags |= MAP_GROWSDOWN
        elif wrong == "huge pages":
            flags |= MAP_HUGETLB
        elif wrong == "nothing":
            self.call(actor, "ftruncate", fd, 0)
            length = 0
        elif wrong == "huge":
            length = (1 << self.bits) - digits.of((page, 1, 2 * page))
        elif wrong == "outside":
            addr, flags = digits.of(((1 << self.bits) - page, 1 << (self.bits - 1))), flags & ~fixed | MAP_FIXED
        elif wrong == "overflow":
            offset = digits.of(((1 << 63) - page, -page))
        elif wrong in ("locked", "no lock"):
            self.limit_locks(actor, 0 if wrong == "no lock" else page)
            flags |= MAP_LOCKED
            length += page
        elif wrong == "low":
            self.call(actor, "drop", "CAP_SYS_RAWIO")  # else page 0 would be there
            addr, flags = 0, flags & ~fixed | MAP_FIXED
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
        if self.errs(digits, 6):
            addr, length = self.wrong_range("munmap", addr, length, digits)
        self.call(actor, "munmap", addr, length)

    def wrong_range(self, call: str, addr: int, length: int, digits: Digits) -> tuple[int, int]:
        """A range with something the matter with it."""
        page = self.page
        wrong = digits.below(4)
        if wrong == 0:  # mlock and munlock take the page that it is in, and must not reach the next
            return addr + digits.of((1, page - 1)), 1 if "lock" in call else length
        if wrong == 1 or call == "mprotect":  # whose huge ranges have effects before they fail
            return addr, 0
        if wrong == 2:
            return addr, (1 << self.bits) - digits.of((page, 1))
        return (1 << (self.bits - 1)) - page, length

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
        if how == 5 and (not mapping.locked or self.is_one(mapping)):
            flags = MREMAP_MAYMOVE | MREMAP_DONTUNMAP
            new_size = old_size
        new_addr = slot if flags & MREMAP_FIXED else 0
        if self.errs(digits, 5):
            wrong = digits.below(13)
            if wrong == 12 and mapping.locked:
                self.limit_locks(actor, 0)
                new_size += old_size
            elif wrong == 0:
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
            elif wrong == 6:
                new_size = (1 << self.bits) - page
            elif wrong == 7:
                flags, new_addr = MREMAP_MAYMOVE | MREMAP_FIXED, slot + digits.of((1, page - 1))
            elif wrong == 8:  # onto itself, and never onto what may lie behind
                flags, new_addr, new_size = MREMAP_MAYMOVE | MREMAP_FIXED, addr, min(new_size, room)
            elif wrong == 9:
                flags, new_addr = MREMAP_MAYMOVE | MREMAP_FIXED, 1 << (self.bits - 1)
            elif wrong == 10:
                flags, new_size = MREMAP_MAYMOVE | MREMAP_DONTUNMAP, old_size + page
            else:
                flags = MREMAP_DONTUNMAP
        if addr != slot:
            old_size = min(old_size, room)
        if flags & MREMAP_FIXED and self.is_of_several_zeros(actor, addr, old_size):
            return
        got = self.call(actor, "mremap", addr, old_size, new_size, flags, new_addr)
        if got is not None:
            self.region(actor, got)

    def is_one(self, mapping: Area) -> bool:
        """Whether a mapping is surely one, and none with a copy: it loses its lock as a whole (MREMAP_DONTUNMAP)."""
        left, right = mapping.space.find(mapping.start - 1), mapping.space.find(mapping.end)
        alone = not (left and mapping.is_like(left)) and not (right and right.is_like(mapping))
        return alone and not mapping.joined and not mapping.is_fresh

    def is_of_several_zeros(self, actor: Actor, addr: int, length: int) -> bool:
        """Whether a range holds mappings of the device of zeros, and more than one mapping.

        Linux moves several at once unless one has a driver that places mappings itself; what went before has moved.
        """
        sources = actor.model.space.over(int(addr), int(addr) + length)
        zeros = any(source.description and source.description.inode.device for source in sources)
        return zeros and (len(sources) > 1 or sources[0].joined)

    def msync(self, actor: Actor, digits: Digits) -> None:
        page = self.page
        addr, length = self.range(actor, digits)
        flags = digits.of(SYNCS)
        if self.errs(digits, 6):
            wrong = digits.below(6)
            if wrong == 0:
                addr += 1
            elif wrong == 5:
                length = 0
            elif wrong == 1:
                flags |= 8
            elif wrong == 2:
                flags = MS_ASYNC | MS_SYNC
            else:
                length = (1 << self.bits) - (1 if wrong == 3 else page)
        self.call(actor, "msync", addr, length, flags)

    def mprotect(self, actor: Actor, digits: Digits) -> None:
        addr, length = self.range(actor, digits)
        prot = digits.of(RIGHTS)
        if self.errs(digits, 6):
            denying = [mapping for mapping in actor.model.space.mappings.values() if not mapping.maximum & PROT_WRITE]
            wrong = digits.below(3)
            if wrong == 0:
                addr, length = self.wrong_range("mprotect", addr, length, digits)
            elif wrong == 1 and denying:
                mapping = digits.of(denying)
                addr, prot = self.symbol(actor, mapping.start)[0], prot | PROT_WRITE
                length = min(length, self.symbol(actor, addr)[1])
            else:
                prot |= digits.of((0x10000000, 0x3000000, 8))
        self.call(actor, "mprotect", addr, length, prot)

    def mlock(self, actor: Actor, digits: Digits) -> None:
        addr, length = self.range(actor, digits)
        if digits.once_in(12):
            self.limit_locks(actor, digits.below(3) * self.page)
        if self.errs(digits, 8):
            addr, length = self.wrong_range("mlock", addr, length, digits)
        self.call(actor, "mlock", addr, length)

    def munlock(self, actor: Actor, digits: Digits) -> None:
        addr, length = self.range(actor, digits)
        if self.errs(digits, 8):
            addr, length = self.wrong_range("munlock", addr, length, digits)
        self.call(actor, "munlock", addr, length)

    def mlock2(self, actor: Actor, digits: Digits) -> None:
        addr, length = self.range(actor, digits)
        self.call(actor, "mlock2", addr, length, digits.of((MLOCK_ONFAULT, MLOCK_ONFAULT, 0, 2)))

    def munlockall(self, actor: Actor, digits: Digits) -> None:
        self.call(actor, "munlockall")

    def madvise(self, actor: Actor, digits: Digits) -> None:
        addr, length = self.range(actor, digits)
        advice = digits.of(ADVICE)
        if self.errs(digits, 6):
            wrong = digits.below(3)
            if wrong == 0:
                addr += 1
            elif wrong == 1:
                advice = 99
            else:
                length = digits.of((0, (1 << self.bits) - self.page))
        self.call(actor, "madvise", addr, length, advice)

    def mincore(self, actor: Actor, digits: Digits) -> None:
        addr, length = self.range(actor, digits)
        if self.errs(digits, 4):
            addr, length = self.wrong_range("mincore", addr, length, digits)
        self.call(actor, "mincore", addr, length)

    def sysconf(self, actor: Actor, digits: Digits) -> None:
        self.call(actor, "sysconf", digits.of((SC_PAGESIZE, -1, 9999)))
