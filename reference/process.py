"""A process: descriptors, an address space, and the calls; how it begins, multiplies and ends.

fork makes a child with the same descriptors (of the same open file descriptions) and the same mappings at the same
addresses: what is shared stays shared, private pages are held by both until one of them stores.  exec takes the
mappings and the descriptors that are closed on exec away.  The end of a process releases all that only the process
referred to, however it ends.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import cache
from typing import Any

from ..contract import Counters, Resource, Unsupported
from ..contract import Process as Contract
from . import maps as picture
from .files import Descriptor
from .machine import Machine
from .madvise import Advice
from .mapping_calls import MappingCalls
from .mremap_calls import MremapCalls
from .page_calls import PageCalls
from .storage_calls import StorageCalls
from .user_buffers import BufferCalls


class ReferenceProcess(MappingCalls, MremapCalls, PageCalls, Advice, BufferCalls, StorageCalls):
    """A process of the reference."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        machine.processes.append(self)

    # --------------------------------------------------------------------------------------------------------- threads

    def keep_translations(self) -> None:
        """Give this thread a translation cache, if it has none."""
        if self.translations is None:
            self.translations = self.space.table.new_cache()

    def thread(self) -> ReferenceProcess:
        self.keep_translations()
        kind = thread_type(type(self))  # type: ignore[arg-type]  # a class can be hashed
        thread = kind.__new__(kind)
        thread.__dict__ = self.__dict__
        thread.translations = self.space.table.new_cache()
        return thread

    def __reduce__(self) -> tuple[object, ...]:
        """Return what copies are made of: a copy of a process shares its data with those of its threads."""
        is_thread = isinstance(self, ThreadCalls)
        kind = type(self).__bases__[1] if is_thread else type(self)  # as `thread_type` makes it
        return new_process, (kind, is_thread), (self.__dict__, self.translations)

    def __setstate__(self, state: tuple[dict[str, Any], Any]) -> None:
        self.__dict__, self.translations = state

    # -------------------------------------------------------------------------------------------------------- lifetime

    def fork(self) -> ReferenceProcess:
        child = type(self)(self.machine)
        child.descriptors = {
            fd: Descriptor(descriptor.description, descriptor.close_on_exec)
            for fd, descriptor in self.descriptors.items()
        }
        child.space = self.space.fork()
        child.capabilities = self.capabilities
        child.address_space_limit = self.address_space_limit
        child.data_limit = self.data_limit
        child.stack_limit = self.stack_limit
        child.locked_limit = self.locked_limit
        return child

    def load_in_child_in_steps(self, addr: int, length: int) -> Generator[None, None, bytes]:
        """Fork a child, and load there; yield where other threads may make calls."""
        child = self.fork()
        try:
            yield
            return child.load(addr, length)
        finally:
            child.end()

    def exit(self, status: int = 0) -> int:
        self.end()
        return status & 0xFF

    def kill(self) -> None:
        self.end()

    def end(self) -> None:
        """Release all mappings and descriptors."""
        self.space.end()
        for fd in list(self.descriptors):
            self.close(fd)
        processes = self.machine.processes
        processes[:] = [process for process in processes if process.__dict__ is not self.__dict__]
        del self.space
        del self.descriptors

    def exec(self) -> None:
        self.translations = None  # the other threads end
        self.faults_before += self.space.table.minor + self.space.table.major
        self.space.end()
        self.space = self.new_address_space()
        self.locks_future = self.locks_on_fault = False
        for fd, descriptor in list(self.descriptors.items()):
            if descriptor.close_on_exec:
                self.close(fd)

    # ----------------------------------------------------------------------------------------- capabilities and limits

    def set_limit_headroom(self, resource: Resource, headroom: int) -> None:
        if resource == Resource.ADDRESS_SPACE:
            self.address_space_limit = self.space.size + headroom
        elif resource == Resource.DATA:
            self.data_limit = self.space.data() + headroom
        elif resource == Resource.STACK:
            self.stack_limit = headroom
        else:
            self.locked_limit = self.space.locked + headroom

    def drop_capability(self, capability: str) -> None:
        self.capabilities = self.capabilities - {capability}

    # ---------------------------------------------------------------------------------------------------- introspection

    def scratch_range(self) -> tuple[int, int]:
        """Return a range a quarter of the way up user space; mappings without a hint are placed from its top."""
        size = min(self.task_size // 8, 1 << 36) // self.page * self.page
        return self.task_size // 4 // size * size, size

    def errno_cleared(self) -> bool:
        return False  # a call that succeeds leaves errno as it is

    def counters(self) -> Counters:
        table = self.space.table
        return Counters(self.reads, self.writes, self.faults_before + table.minor + table.major)

    def proc_maps(self) -> bytes:
        """Return what /proc/PID/maps has."""
        return "".join(f"{line}\n" for line in picture.proc_lines(self.space)).encode()

    def maps(self, frames: bool = False) -> str:
        """The address space as text; `frames`: with the page frame of each resident page."""
        table = self.space.table
        head = f"process {self.number}, pages of {self.page} bytes, {table.minor} minor and {table.major} major faults"
        return "\n".join([head, *picture.draw(self.space, self.last_access, frames)])


class ThreadCalls(Contract):
    """The calls that only the process makes, not another thread of it."""

    __slots__ = ()

    def thread(self) -> ReferenceProcess:
        raise Unsupported("a thread makes no thread")

    def fork(self) -> ReferenceProcess:
        raise Unsupported("fork is a call of the process")

    def load_in_child(self, addr: int, length: int) -> bytes:
        raise Unsupported("fork is a call of the process")

    def exec(self) -> None:
        raise Unsupported("exec is a call of the process")

    def exit(self, status: int = 0) -> int:
        raise Unsupported("exit is a call of the process")

    def kill(self) -> None:
        raise Unsupported("kill is a call of the process")


@cache
def thread_type(kind: type[ReferenceProcess]) -> type[ReferenceProcess]:
    """Return the class of the threads of processes of a class."""
    return type("ReferenceThread", (ThreadCalls, kind), {"__slots__": ()})


def new_process(kind: type[ReferenceProcess], is_thread: bool) -> ReferenceProcess:
    """Return an object without state, for a copy of a process of this class, or of a thread of it."""
    made = thread_type(kind) if is_thread else kind  # type: ignore[arg-type]  # a class can be hashed
    return made.__new__(made)
