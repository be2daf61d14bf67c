"""The state of a process: its descriptors, address space, capabilities and limits, and its counters.

The calls are in `mapping_calls`, `mremap_calls`, `page_calls`, `accesses` and `file_calls`, each a class that adds its
calls to this one; `process` unites them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

from ..contract import Process as Contract
from ..contract import Unresolved
from .address_space import AddressSpace
from .constants import PROT_ALL, PROT_EXEC
from .files import Descriptor, OpenFileDescription
from .machine import Machine
from .mapping import Mapping
from .refusal import Refusals
from .translations import Translations

OFFSET_MASK: Final = (1 << 64) - 1
"""File offsets have 64 bits, whatever addresses have; they are compared as if they had no sign."""


STACK: Final = 8 << 20
"""The usual limit of a stack, in bytes."""


class State(Contract):
    """A process as data.  Its threads share the data; what each thread has of its own is in the slots."""

    __slots__ = ("translations",)

    descriptors: dict[int, Descriptor]
    space: AddressSpace

    def __init__(self, machine: Machine) -> None:
        parameters = machine.parameters
        self.translations: Translations[Mapping] | None = None
        """The translation cache of this thread; None in a process that has made no thread."""
        self.machine = machine
        self.number = machine.allocate_pid()
        """Its place among the processes that the machine has started, from 1 on."""
        self.choices = machine.choices
        self.bits = parameters.bits
        self.mask = (1 << parameters.bits) - 1
        """The largest address and size: unsigned as C's size_t, so that larger and negative ones wrap."""
        self.page = parameters.page
        self.task_size = parameters.task_size
        self.descriptors = {}
        self.space = self.new_address_space()
        self.capabilities = parameters.capabilities
        self.address_space_limit = parameters.address_space
        """Bytes that may be mapped; None for no limit."""
        self.data_limit: int | None = None
        """Bytes of private memory that may be written; None for no limit."""
        self.stack_limit = STACK
        """Bytes that a mapping may grow to downwards."""
        self.locked_limit = parameters.locked
        """Bytes that may be in locked mappings, for a process without CAP_IPC_LOCK."""
        self.locks_future = False
        """True if new mappings are locked (mlockall's MCL_FUTURE)."""
        self.locks_on_fault = False
        """True if each page of a new mapping is locked when it is first accessed (MCL_ONFAULT)."""
        self.reads = 0
        self.writes = 0
        self.faults_before = 0
        """Faults of the address spaces that it had before exec."""
        self.last_access: tuple[str, int, str] | None = None
        """The last load, store or execution: which, where, and its outcome."""

    def new_address_space(self) -> AddressSpace:
        """Return an address space of this machine in which nothing is mapped."""
        parameters = self.machine.parameters
        return AddressSpace(
            self.machine.memory,
            parameters.mmap_min_addr,
            parameters.task_size,
            self.choices,
            parameters.populates_execute_only,
        )

    def __getattr__(self, name: str) -> NoReturn:
        if name in ("descriptors", "space"):  # taken away when the process ends
            raise Unresolved("the process has ended")
        raise AttributeError(name)

    @contextmanager
    def unobserved(self) -> Iterator[None]:
        """A block whose memory accesses do not become the last access that is reported."""
        last_access = self.last_access
        try:
            yield
        finally:
            self.last_access = last_access

    def errors(self, call: str, after: Refusals | None = None, is_continued: bool = False) -> Refusals:
        """The block in which a call gathers its refusals.

        `is_continued`: it is for the arguments, and a block for the range follows, which is given it as `after`.
        """
        return Refusals(call, self.machine.choices, self.machine.reached, after, is_continued)

    def round_up(self, size: int) -> int:
        """A size in whole pages; like C's it wraps to 0 within a page of the largest."""
        return ((size & self.mask) + self.page - 1) // self.page * self.page & self.mask

    def pages_of(self, addr: int, length: int) -> tuple[int, int]:
        """Return the start and the end of the whole pages that a range has a byte of."""
        addr &= self.mask
        start = addr - addr % self.page
        return start, start + self.round_up(length + addr - start)

    def addressed(self, call: str, addr: int, length: int) -> tuple[int, int]:
        """Return the start and the end of the range of a call, in whole pages.

        An address that is not a multiple of the page size is kept for the error, if there is to be one.
        """
        addr &= self.mask
        if self.choices.requires_aligned_address(call):
            return addr, addr + self.round_up(length)
        return self.pages_of(addr, length)

    def description(self, fd: int) -> OpenFileDescription | None:
        """Return the open file description of a descriptor; None if it is not open, or opened with O_PATH."""
        descriptor = self.descriptors.get(fd)
        if descriptor is None or descriptor.description.path_only:
            return None
        return descriptor.description

    def install(self, description: OpenFileDescription, close_on_exec: bool = False) -> int:
        """The lowest free descriptor, now of this description."""
        fd = 0
        while fd in self.descriptors:
            fd += 1
        self.descriptors[fd] = Descriptor(description, close_on_exec)
        return fd

    def is_execute_only(self, prot: int) -> bool:
        """Return whether a page cannot be loaded from whose mapping was requested with `prot`, unknown bits included.

        Page tables hold the protection only.  Linux assigns a protection key for PROT_EXEC and no other bit, not even
        one without a meaning.
        """
        code = self.machine.parameters.execute_only
        return code != "" and (prot if code == "SEGV_PKUERR" else prot & PROT_ALL) == PROT_EXEC

    def is_too_low(self, addr: int) -> bool:
        """Return whether `addr` is below mmap_min_addr and the process has no capability to map there."""
        return addr < self.machine.parameters.mmap_min_addr and "CAP_SYS_RAWIO" not in self.capabilities

    def exceeds_memlock(self, more: int) -> bool:
        """True if locking `more` bytes would exceed the limit (RLIMIT_MEMLOCK)."""
        return "CAP_IPC_LOCK" not in self.capabilities and self.space.locked + more > self.locked_limit

    def memlock_is_zero(self) -> bool:
        """True if the process may lock no memory at all."""
        return self.locked_limit == 0 and "CAP_IPC_LOCK" not in self.capabilities

    def exceeds_rlimit_as(self, more: int) -> bool:
        """True if mapping `more` bytes would exceed the limit (RLIMIT_AS)."""
        limit = self.address_space_limit
        return limit is not None and self.choices.exceeds_limit("bytes", self.space.size + more, limit)

    def exceeds_rlimit_data(self, more: int) -> bool:
        """True if `more` bytes of private writable memory would exceed the limit (RLIMIT_DATA)."""
        limit = self.data_limit
        return limit is not None and self.choices.exceeds_limit("bytes", self.space.data() + more, limit)

    def first_too_many(self, start: int, end: int, changes: Callable[[Mapping], bool]) -> Mapping | None:
        """Return the first mapping that a change of [start, end) would cut, and so make too many mappings.

        Parts with different properties are mappings of their own; `changes` is true of a mapping that would change.
        """
        more = 0
        for mapping in self.space.over(start, end):
            cuts = (mapping.start < start) + (mapping.end > end)
            if cuts and changes(mapping):
                more += cuts
                if self.exceeds_max_map_count(more):
                    return mapping
        return None

    def exceeds_max_map_count(self, more: int) -> bool:
        """True if `more` mappings would exceed the limit (vm.max_map_count)."""
        pages = self.space.size // self.page
        used = len(self.space.mappings) + more
        return self.choices.exceeds_limit("mappings", used, self.machine.max_map_count, pages + more)
