"""Other systems that are right: ``--mmap-backend=reference:NAME``.

The suite must accept every conforming system, not only Linux.  A variant is the reference with other choices
(`Choices`), with other sizes and limits (`Parameters`), or without some calls and flags: what it does not have raises
`Unsupported`, as the contract says.  No case may fail on a variant at the levels that it conforms to; the mutation
gate checks that (`pytest_mmapconf.gates.variants`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, wraps
from typing import Any, ClassVar, Final, NoReturn

from ..contract import Facility, Facts, Fault, Unsupported
from ..trace.calls import ACCESSES, PROCESS_CALLS
from .backend import ReferenceBackend
from .choices import Choices
from .constants import (
    MAP_32BIT,
    MAP_ANONYMOUS,
    MAP_DROPPABLE,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_HUGETLB,
    MAP_LOCKED,
    MAP_NONBLOCK,
    MAP_POPULATE,
    MAP_SHARED_VALIDATE,
    MAP_SYNC,
    MAP_TYPE,
    PROT_EXEC,
    PROT_WRITE,
)
from .linux_choices import LinuxChoices
from .machine import Machine, Parameters
from .process import ReferenceProcess
from .strict_choices import StrictChoices
from .system import ReferenceSystem
from .unix_choices import FreeBSDChoices, IllumosChoices, MacOSChoices, NetBSDChoices

LINUX_CALLS: Final = ("mremap", "madvise", "mincore", "mlock2", "mseal", "memfd", "seal", "fallocate")
"""Calls that only Linux has, or that have another effect elsewhere."""

LINUX_FLAGS: Final = (
    MAP_32BIT | MAP_FIXED_NOREPLACE | MAP_GROWSDOWN | MAP_HUGETLB | MAP_LOCKED | MAP_NONBLOCK | MAP_POPULATE | MAP_SYNC
)
"""Flags of mmap that only Linux has, or that have another effect elsewhere."""

OBSERVING_CALLS: Final = (
    *("scratch_range", "maps", "audit", "batch", "counters", "errno_cleared", "drop_cache", "free_space", "fragment"),
    *("set_old_mtime", "has_old_mtime", "watch", "close_events", "set_limit_headroom", "drop_capability"),
)
"""Calls of the contract by which cases observe or prepare a system; no C program makes them as they are."""

FILE_CALLS: Final = ("open", "open_path_at", "memfd", "pipe", "socketpair", "watch")
"""Calls that make a descriptor."""


@dataclass(frozen=True)
class Variant:
    """A conforming system that differs from Linux."""

    name: str
    """Its name, which `reference:` precedes."""
    text: str
    """The difference, in a sentence."""
    source: str
    """The documents that permit or describe it."""
    choices: Callable[[], Choices] = LinuxChoices
    parameters: Parameters = field(default_factory=Parameters)
    """Its sizes and limits."""
    kernel: str = ""
    """Its name as a fact, if it plays a system that has one."""
    machine: str = ""
    """The name of its processor as a fact."""
    lacks: Collection[str] = ()
    """The calls that it does not have."""
    lacks_flags: int = 0
    """The flags of mmap that it does not have."""
    lacks_types: Collection[int] = ()
    """The types of mappings that it does not have."""
    needs_flags: int = 0
    """The flags without which it has no mmap."""
    lacks_protections: Collection[int] = ()
    """Combinations of rights of which mmap and mprotect do not have all together."""
    lacks_facilities: Collection[Facility] = ()
    kills: bool = False
    """True if a fault ends the process."""
    hides_fault_details: bool = False
    """True if a fault has neither code nor address."""
    is_short_of_memory: bool = False
    """True if after each call the pages of files are written back and leave memory.

    Locked pages stay in memory, and so does what a load or a store has accessed last.
    """
    levels: Collection[str] = ("documented", "posix")
    """The levels that it conforms to."""

    @cached_property
    def process_type(self) -> type[VariantProcess]:
        """The class of its processes, in which the calls that it lacks raise Unsupported."""
        methods: dict[str, Any] = {name: absent(name) for name in self.lacks}
        if self.is_short_of_memory:
            methods |= {name: cleaning(getattr(VariantProcess, name), name not in ACCESSES) for name in PROCESS_CALLS}
        return type("Process", (VariantProcess,), {"variant": self, **methods})


def absent(name: str) -> Callable[..., NoReturn]:
    """Return the method of a call that a system does not have."""

    def call(process: object, *arguments: object, **keywords: object) -> NoReturn:
        raise Unsupported(f"the system has no {name}")

    return call


def cleaning(method: Callable[..., Any], evicts: bool) -> Callable[..., Any]:
    """Return a call after which the pages of files are written back, and leave memory if it `evicts`."""

    @wraps(method)
    def call(process: VariantProcess, *arguments: Any, **keywords: Any) -> Any:
        process.depth += 1
        try:
            return method(process, *arguments, **keywords)
        finally:
            process.depth -= 1
            if not process.depth:  # a call may make others
                process.clean_files(evicts)

    return call


class VariantProcess(ReferenceProcess):
    """A process of a variant."""

    variant: ClassVar[Variant]

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.is_in_call = False
        """True while a call accesses memory, so that a fault raises no signal."""
        self.is_killed = False
        """True if a fault has ended it."""
        self.depth = 0
        """Calls that are being made, one within another."""

    def __getattr__(self, name: str) -> NoReturn:
        if name in ("descriptors", "space") and self.is_killed:
            raise Unsupported("a fault has ended the process")
        super().__getattr__(name)

    def clean_files(self, evicts: bool) -> None:
        """Write back, and evict if asked, the pages of the files that any process refers to.

        Files that a crash may lose are left out: cases have to see that something is lost.
        """
        processes = [process for process in self.machine.processes if isinstance(process, ReferenceProcess)]
        mapped = (mapping.inode for process in processes for mapping in process.space.mappings.values())
        opened = (entry.description.inode for process in processes for entry in process.descriptors.values())
        for inode in {id(inode): inode for inode in (*mapped, *opened) if inode is not None}.values():
            record = inode.cache.on_disk if inode.is_regular else None
            if record is not None and not record.disk.may_crash:
                (inode.drop_cache if evicts else inode.sync)(self.choices)

    # ---- what it lacks

    def mmap(self, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
        variant = self.variant
        if flags & variant.lacks_flags or flags & MAP_TYPE in variant.lacks_types:
            raise Unsupported(f"mmap has no flags {flags & variant.lacks_flags or flags & MAP_TYPE:#x}")
        if flags & variant.needs_flags != variant.needs_flags:
            raise Unsupported(f"mmap needs the flags {variant.needs_flags:#x}")
        self.require_protection(prot)
        return super().mmap(addr, length, prot, flags, fd, offset)

    def mprotect(self, addr: int, length: int, prot: int) -> None:
        self.require_protection(prot)
        super().mprotect(addr, length, prot)

    def require_protection(self, prot: int) -> None:
        """Raise Unsupported if pages cannot have these rights together."""
        for lacked in self.variant.lacks_protections:
            if prot & lacked == lacked:
                raise Unsupported(f"pages cannot have the protection {lacked:#x}")

    # ---- faults

    @contextmanager
    def ending_by_fault(self) -> Iterator[None]:
        """A block that ends the process if an access in it raises a signal and the variant is so."""
        try:
            yield
        except Fault as fault:
            if self.variant.kills and not self.is_in_call:
                self.is_killed = True
                self.end()
            if self.variant.hides_fault_details:
                raise Fault(fault.signal, "SI_KERNEL", None) from None
            raise

    @contextmanager
    def in_call(self) -> Iterator[None]:
        """A block of a call that accesses memory."""
        self.is_in_call = True
        try:
            yield
        finally:
            self.is_in_call = False

    def load(self, addr: int, length: int) -> bytes:
        with self.ending_by_fault():
            return super().load(addr, length)

    def store(self, addr: int, data: bytes) -> None:
        with self.ending_by_fault():
            super().store(addr, data)

    def execute(self, addr: int) -> None:
        with self.ending_by_fault():
            super().execute(addr)

    def store_up_to_a_fault(self, addr: int, data: bytes, indeterminate: dict[int, bytes]) -> int:
        with self.in_call():
            return super().store_up_to_a_fault(addr, data, indeterminate)

    def audit(self, ranges: Sequence[tuple[int, int]], fds: Sequence[int] = ()) -> list[str]:
        if self.variant.kills:
            raise Unsupported("a fault ends the process")
        return super().audit(ranges, fds)


class VariantSystem(ReferenceSystem):
    """A booted variant."""

    def __init__(self, variant: Variant) -> None:
        super().__init__(variant.parameters, variant.choices())
        self.variant = variant
        self.process_type = variant.process_type

    def facility(self, facility: Facility) -> str:
        if facility in self.variant.lacks_facilities:
            raise Unsupported(f"the system has no facility {facility}")
        return super().facility(facility)


class VariantBackend(ReferenceBackend):
    """The backend of a variant."""

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        self.parameters = variant.parameters
        self.name = f"reference:{variant.name}"

    def facts(self) -> Facts:
        variant = self.variant
        details = {**super().facts().details, "kernel": variant.kernel, "machine": variant.machine}
        return Facts(self.name, details={name: value for name, value in details.items() if value})

    def boot(self) -> VariantSystem:
        return VariantSystem(self.variant)


UNIX: Final[dict[str, Any]] = {
    "lacks": LINUX_CALLS,
    "lacks_flags": LINUX_FLAGS,
    "lacks_types": (MAP_SHARED_VALIDATE, MAP_DROPPABLE),
    "lacks_facilities": (Facility.NOEXEC_DIRECTORY, Facility.MANDATORY_LOCK, Facility.PROC_FILE, Facility.SYS_FILE),
}
"""The properties that Linux alone has."""

SYSTEMS: Final = (
    Variant(
        "posix-strict",
        "takes every freedom of POSIX.1-2024 in another way than Linux",
        "POSIX.1-2024, cited in reference/strict_choices.py",
        StrictChoices,
    ),
    Variant(
        "freebsd",
        "rounds addresses down, maps from any offset, BUS_OBJERR past the end of a file",
        "FreeBSD mmap(2), sys/vm/vm_mmap.c, sys/vm/vm_fault.c",
        FreeBSDChoices,
        kernel="FreeBSD",
        machine="amd64",
        **UNIX,
    ),
    Variant(
        "netbsd",
        "pages of 8 KiB, reading implies executing, EAGAIN where too much would be locked",
        "NetBSD mmap(2), sys/uvm/uvm_mmap.c",
        NetBSDChoices,
        Parameters(page=8192, user_bits=43),
        kernel="NetBSD",
        machine="sparc64",
        **UNIX,
    ),
    Variant(
        "macos",
        "pages of 16 KiB, private mappings are copies of the moment of mmap, not both writable and executable",
        "macOS mmap(2), XNU bsd/kern/kern_mman.c, osfmk/vm/bsd_vm.c",
        MacOSChoices,
        Parameters(page=16384, mmap_min_addr=1 << 32),
        kernel="Darwin",
        machine="arm64",
        **UNIX
        | {
            "lacks": (*LINUX_CALLS, "mlockall", "munlockall"),
            "lacks_protections": (PROT_WRITE | PROT_EXEC,),
            "lacks_facilities": (*UNIX["lacks_facilities"], Facility.DEV_ZERO),
        },
    ),
    Variant(
        "illumos",
        "32-bit addresses, MAP_FIXED unmaps before it can fail, mlock needs an aligned address, ENXIO",
        "illumos mmap(2), mlock(3C), msync(3C), usr/src/uts/common/os/grow.c",
        IllumosChoices,
        Parameters(bits=32, user_bits=32, end=0xFEFFF000),
        kernel="SunOS",
        machine="i386",
        **UNIX,
    ),
)

LESSER: Final = (
    Variant(
        "anonymous-only",
        "has no files: mmap maps anonymous memory only",
        "contract.py: a call that a system does not have is unsupported",
        lacks=FILE_CALLS,
        needs_flags=MAP_ANONYMOUS,
    ),
    Variant(
        "files-only",
        "has no anonymous memory: mmap maps files only",
        "contract.py: a call that a system does not have is unsupported",
        lacks_flags=MAP_ANONYMOUS,
    ),
    Variant(
        "no-fixed",
        "chooses every address itself: it has no MAP_FIXED",
        "XSH mmap(): MAP_FIXED need not be supported",
        lacks_flags=MAP_FIXED | MAP_FIXED_NOREPLACE,
    ),
    Variant(
        "small-memory",
        "has an address space of 1 MiB",
        "XSH mmap(): ENOMEM",
        parameters=Parameters(bits=32, user_bits=20, mmap_min_addr=4096, mappings=64),
    ),
    Variant(
        "no-fork",
        "has no fork and no exec",
        "contract.py: a call that a system does not have is unsupported",
        lacks=("fork", "exec"),
    ),
    Variant(
        "faults-kill",
        "ends the process at a fault",
        "XBD <signal.h>: the default action of SIGSEGV and SIGBUS",
        kills=True,
    ),
    Variant(
        "chapter-only",
        "has the calls of the documented chapter, those on files and nothing else",
        "chapters 06_01 to 06_07",
        lacks=(
            *("mprotect", "mlock", "munlock", "mlockall", "munlockall", "fork", "exec"),
            *(call for call in LINUX_CALLS if call != "mremap"),
        ),
        lacks_flags=LINUX_FLAGS | MAP_ANONYMOUS,
        lacks_types=(MAP_SHARED_VALIDATE, MAP_DROPPABLE),
    ),
    Variant(
        "no-helpers",
        "has no calls that only observe: no scratch range, no counters, no times of files",
        "contract.py: a call that a system does not have is unsupported",
        lacks=OBSERVING_CALLS,
    ),
    Variant(
        "no-fault-details",
        "reports neither the code nor the address of a fault",
        "chapter 06_02: an access fails; the code is of XBD <signal.h>",
        hides_fault_details=True,
        levels=("documented",),
    ),
    Variant(
        "memory-pressure",
        "writes the pages of files back and evicts them after each call",
        "XSH mmap(), msync(): no page needs to stay in memory; bytes past the end of a file are not written out",
        is_short_of_memory=True,
        levels=("documented", "posix", "linux"),
    ),
    Variant(
        "large-pages",
        "has pages of 64 KiB",
        "XSH sysconf(): _SC_PAGESIZE",
        parameters=Parameters(page=65536),
    ),
)

VARIANTS: Final = {variant.name: variant for variant in (*SYSTEMS, *LESSER)}
"""The variants by name."""
