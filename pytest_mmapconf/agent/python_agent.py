"""The agent in Python: executes requests on the Linux system it runs on, like the agent in C (an example of a port).

    pytest --mmap-backend='agent:python -m pytest_mmapconf.agent.python_agent'

`serve` implements the protocol; this module implements the system.  The supervisor forks a process of the operating
system for each process of a case, with a socket to it that carries the same lines (`Child` is the supervisor's side,
`serve_process` the other).  In that process a call is a call of libc, through ctypes.  Two things are harder than in C.

*A fault must not end the interpreter*, and Python cannot return from a SIGSEGV.  So the process never accesses the
memory under test itself: the kernel copies between that memory and a socket, with the same page tables, and returns
EFAULT where the access is not permitted.  The fault (signal, code, address) is observed, not derived from that: a child
makes the same access, the fault stops it, and ptrace reads its siginfo.  Code is executed only in such a child.

*The interpreter lives in the same address space.*  Its objects are allocated by malloc (PYTHONMALLOC), which is
configured to use only the heap, made large enough at the start; so no mapping appears or disappears except the case's.

What cannot be reported correctly in this way is unsupported: counters (the interpreter causes page faults of its own),
additions under a lock (Python has no atomic exchange), threads (their accesses would be the kernel's copies, and their
stacks would be among the case's memory), faults of a process that hides memory from its children,
facilities that are more than a path.  Requires glibc, 64 bits, and a machine with asm-generic's numbers.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import errno
import fcntl
import gc
import os
import resource
import shutil
import signal
import socket
import stat
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NoReturn

from ..contract import (
    MADV_DONTFORK,
    MAP_ANONYMOUS,
    MAP_PRIVATE,
    PROT_NONE,
    Backend,
    Facility,
    Facts,
    Fault,
    Process,
    Resource,
    Stat,
    System,
    Unresolved,
    Unsupported,
)
from .serve import LINE, answer, encode_text, execute_request, serve

# -------------------------------------------------------------------------------------------------------- calls of libc

libc = ctypes.CDLL(None, use_errno=True)
PAGE: Final = os.sysconf("SC_PAGESIZE")
TYPES: Final[dict[str, Any]] = {
    "i": ctypes.c_int,
    "l": ctypes.c_long,
    "z": ctypes.c_size_t,
    "s": ctypes.c_char_p,
    "p": ctypes.c_void_p,
}


def libc_function(name: str, form: str) -> Callable[..., Any]:
    """Return a function of libc as a call of the contract; `form` has letters of TYPES, the result's first."""
    result, *arguments = (TYPES[letter] for letter in form)
    failure = result(-1).value
    libc_call = ctypes.CFUNCTYPE(result, *arguments, use_errno=True)((name, libc))

    def call(*values: object) -> int | None:
        ctypes.set_errno(0)
        value: int = libc_call(*(os.fsencode(value) if isinstance(value, str) else value for value in values))
        if value == failure and ctypes.get_errno():  # sysconf also returns -1 for "no limit"
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return value

    return call


def libc_method(name: str, form: str) -> Any:
    return staticmethod(libc_function(name, form))


send = libc_function("send", "lizzi")
recv = libc_function("recv", "lizzi")
ptrace = libc_function("ptrace", "llipp")
prctl = libc_function("prctl", "izzzzz")
capget = libc_function("capget", "ipp")
capset = libc_function("capset", "ipp")
syscall = libc_function("syscall", "llzzz")

# ----------------------------------------------------------------------------------------------------- observing faults

PTRACE_TRACEME, PTRACE_GETSIGINFO = 0, 0x4202
CODES: Final = {
    (signal.SIGSEGV, 1): "SEGV_MAPERR",
    (signal.SIGSEGV, 2): "SEGV_ACCERR",
    (signal.SIGSEGV, 4): "SEGV_PKUERR",
    (signal.SIGBUS, 1): "BUS_ADRALN",
    (signal.SIGBUS, 2): "BUS_ADRERR",
    (signal.SIGBUS, 3): "BUS_OBJERR",
    (signal.SIGILL, 1): "ILL_ILLOPC",
    (signal.SIGILL, 2): "ILL_ILLOPN",
}
"""(signal, si_code) -> name, for the codes with which si_addr is meaningful."""
ONE_BYTE: Final = ctypes.create_string_buffer(1)
TRACE_REFUSED, ACCESS_RAISED = 3, 4


def observe_fault(access: Callable[[], object]) -> Fault | None:
    """Make an access in a traced child; return the fault that stops the child, or None if the access succeeds."""
    pid = os.fork()
    if pid == 0:
        try:
            ptrace(PTRACE_TRACEME, 0, None, None)
        except OSError:
            os._exit(TRACE_REFUSED)
        try:
            access()
        except Exception:
            os._exit(ACCESS_RAISED)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
        return None
    if not os.WIFSTOPPED(status):
        traced = os.WIFEXITED(status) and os.WEXITSTATUS(status) == ACCESS_RAISED
        raise Unsupported("Python cannot do that" if traced else "ptrace, which observes faults, is not permitted")
    siginfo = ctypes.create_string_buffer(128)
    ptrace(PTRACE_GETSIGINFO, pid, None, ctypes.addressof(siginfo))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    number, _, code, address = struct.unpack_from("3iP", siginfo)
    name = CODES.get((signal.Signals(number), code))
    return Fault(
        signal.Signals(number).name, name or {0x80: "SI_KERNEL"}.get(code, str(code)), address if name else None
    )


def split_by_page(addr: int, length: int) -> Iterator[tuple[int, int]]:
    """Yield (address, length) of the part of a range in each page, because protection differs between pages only."""
    while length:
        part = min(length, PAGE - addr % PAGE)
        yield addr, part
        addr, length = addr + part, length - part


# ------------------------------------------------------------------------------------------------------------ a process

RETURN: Final = {"x86_64": b"\xc3", "aarch64": b"\xc0\x03\x5f\xd6", "riscv64": b"\x67\x80\x00\x00"}
"""Machine -> machine code of a function that does nothing but return."""
CHANNEL, COPY_IN, COPY_OUT = 224, 225, 226
"""The agent's own descriptors, far above the lowest free ones that a case gets."""
PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER = 24, 36
IN_CLOSE: Final = 0x18
LONG_PAST: Final = 10**9
"""2001-09-09, in seconds since the epoch: no file is last modified then unless the agent sets that time."""
CAPABILITIES: Final = {9: "LINUX_IMMUTABLE", 14: "IPC_LOCK", 17: "SYS_RAWIO", 21: "SYS_ADMIN", 24: "SYS_RESOURCE"}
LIMITS: Final = {
    Resource.ADDRESS_SPACE: (resource.RLIMIT_AS, "VmSize:"),
    Resource.LOCKED_MEMORY: (resource.RLIMIT_MEMLOCK, "VmLck:"),
    Resource.DATA: (resource.RLIMIT_DATA, "VmData:"),
    Resource.STACK: (resource.RLIMIT_STACK, ""),
}


class LinuxProcess(Process):
    """The current process of the operating system as a process of the contract."""

    def __init__(self, scratch_range: tuple[int, int] | None) -> None:
        self._scratch_range = scratch_range
        self.hides_memory_from_children = False
        copy_sockets = socket.socketpair()
        for end, number in zip(copy_sockets, (COPY_IN, COPY_OUT), strict=True):
            os.dup2(end.fileno(), number, inheritable=False)
            end.close()

    mmap = libc_method("mmap", "zzziiil")
    munmap = libc_method("munmap", "izz")
    mremap = libc_method("mremap", "zzzziz")
    msync = libc_method("msync", "izzi")
    sysconf = libc_method("sysconf", "li")
    mprotect = libc_method("mprotect", "izzi")
    mlock = libc_method("mlock", "izz")
    mlock2 = libc_method("mlock2", "izzi")
    munlock = libc_method("munlock", "izz")
    mlockall = libc_method("mlockall", "ii")
    munlockall = libc_method("munlockall", "i")
    open = libc_method("open", "isii")
    close = libc_method("close", "ii")
    dup = libc_method("dup", "ii")
    ftruncate = libc_method("ftruncate", "iil")
    fallocate = libc_method("fallocate", "iiill")
    lseek = libc_method("lseek", "lili")
    read_into = libc_method("pread", "lizzl")
    write_from = libc_method("pwrite", "lizzl")
    open_path_at = libc_method("open", "izi")
    fsync = libc_method("fsync", "ii")
    flock = libc_method("flock", "iii")
    unlink = libc_method("unlink", "is")
    rename = libc_method("rename", "iss")
    link = libc_method("link", "iss")
    _madvise = staticmethod(libc_function("madvise", "izzi"))
    _mincore = staticmethod(libc_function("mincore", "izzp"))
    _statx = staticmethod(libc_function("statx", "iisiiz"))
    _preadv = staticmethod(libc_function("preadv", "lisil"))
    _pwritev = staticmethod(libc_function("pwritev", "lisil"))
    _pair = staticmethod(libc_function("pipe", "ip"))
    _sockets = staticmethod(libc_function("socketpair", "iiiip"))
    _inotify = staticmethod(libc_function("inotify_init1", "ii"))
    _add_watch = staticmethod(libc_function("inotify_add_watch", "iisi"))
    _memfd = staticmethod(libc_function("memfd_create", "isi"))

    def madvise(self, addr: int, length: int, advice: int) -> None:
        self._madvise(addr, length, advice)
        self.hides_memory_from_children |= advice == MADV_DONTFORK

    def mincore(self, addr: int, length: int) -> list[bool]:
        resident = ctypes.create_string_buffer(max(1, -(-length // PAGE)))
        self._mincore(addr, length, ctypes.addressof(resident))
        return [bool(page & 1) for page in resident.raw[: -(-length // PAGE)]]

    # ---- memory accesses

    def load(self, addr: int, length: int) -> bytes:
        loaded = b""
        for at, part in split_by_page(addr, length):
            self._copy(send, COPY_IN, at, part, lambda at=at: ctypes.memmove(ONE_BYTE, at, 1))  # type: ignore[misc]
            loaded += os.read(COPY_OUT, part)
        return loaded

    def store(self, addr: int, data: bytes) -> None:
        for at, part in split_by_page(addr, len(data)):
            os.write(COPY_IN, data[at - addr : at - addr + part])
            try:
                self._copy(recv, COPY_OUT, at, part, lambda at=at: ctypes.memset(at, 0, 1))  # type: ignore[misc]
            except BaseException:
                os.read(COPY_OUT, part)
                raise

    def _copy(self, call: Callable[..., Any], fd: int, at: int, length: int, access: Callable[[], object]) -> None:
        """Let the kernel copy between a socket and the memory under test; raise the fault that prevents it."""
        try:
            call(fd, at, length, 0)
        except OSError as error:
            if error.errno != errno.EFAULT:
                raise Unresolved(f"a copy by the kernel failed: {error.strerror}") from error
            fault = self._observe_fault(access)
            raise fault or Unsupported("the kernel failed to access memory that a child can access") from None

    def _observe_fault(self, access: Callable[[], object]) -> Fault | None:
        if self.hides_memory_from_children:
            raise Unsupported("this process hides memory from its children, which observe faults")
        return observe_fault(access)

    def return_instruction(self) -> bytes:
        return RETURN[os.uname().machine]

    def execute(self, addr: int) -> None:
        fault = self._observe_fault(ctypes.CFUNCTYPE(None)(addr))
        if fault:
            raise fault

    def add(self, addr: int, times: int, lock: int = 0) -> None:
        if lock:
            raise Unsupported("Python has no atomic exchange with which to take the lock")
        for _ in range(times):
            self.store(addr, struct.pack("=I", struct.unpack("=I", self.load(addr, 4))[0] + 1 & 0xFFFFFFFF))

    # ---- files

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        return os.pread(fd, length, offset)

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        return os.pwrite(fd, data, offset)

    def preadv(self, fd: int, addr: int, length: int, addr_2: int, length_2: int, offset: int) -> int:
        buffers = struct.pack("PNPN", addr, length, addr_2, length_2)
        return int(self._preadv(fd, buffers, 2, offset))

    def pwritev(self, fd: int, addr: int, length: int, addr_2: int, length_2: int, offset: int) -> int:
        buffers = struct.pack("PNPN", addr, length, addr_2, length_2)
        return int(self._pwritev(fd, buffers, 2, offset))

    def fstat_into(self, fd: int, addr: int) -> None:
        empty_path, basic_stats = 0x1000, 0x7FF  # AT_EMPTY_PATH, STATX_BASIC_STATS
        self._statx(fd, b"", empty_path, basic_stats, addr)

    def copy_file_range(self, fd: int, offset: int, to_fd: int, to_offset: int, length: int) -> int:
        return os.copy_file_range(fd, to_fd, length, offset, to_offset)

    def fstat(self, fd: int) -> Stat:
        status = os.fstat(fd)
        kinds = {"d": "directory", "c": "character", "b": "block", "p": "fifo", "s": "socket", "-": "regular"}
        return Stat(kinds.get(stat.filemode(status.st_mode)[0], "other"), status.st_size)

    def drop_cache(self, fd: int) -> None:
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def mseal(self, addr: int, length: int, flags: int = 0) -> None:
        syscall(462, addr, length, flags)

    def set_old_mtime(self, fd: int) -> None:
        os.utime(fd, (LONG_PAST, LONG_PAST))

    def has_old_mtime(self, fd: int) -> bool:
        return os.fstat(fd).st_mtime == LONG_PAST

    def mkdir(self, path: str) -> None:
        os.mkdir(path, 0o700)

    def pipe(self) -> tuple[int, int]:
        return self._descriptors(self._pair)

    def socketpair(self) -> tuple[int, int]:
        return self._descriptors(lambda at: self._sockets(socket.AF_UNIX, socket.SOCK_STREAM, 0, at))

    def _descriptors(self, call: Callable[[int], object]) -> tuple[int, int]:
        fds = (ctypes.c_int * 2)()
        call(ctypes.addressof(fds))
        return fds[0], fds[1]

    def memfd(self) -> int:
        fd: int = self._memfd("case", os.MFD_ALLOW_SEALING)
        return fd

    def seal(self, fd: int, seals: int) -> None:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)

    def set_append_only(self, fd: int, on: bool) -> None:
        get, put, append_only = 0x80086601, 0x40086602, 0x20  # FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_APPEND_FL
        (flags,) = struct.unpack("i", fcntl.ioctl(fd, get, bytes(4)))
        fcntl.ioctl(fd, put, struct.pack("i", flags | append_only if on else flags & ~append_only))

    def record_lock(self, fd: int, *, ofd: bool) -> None:
        command = fcntl.F_OFD_SETLK if ofd else fcntl.F_SETLK
        try:
            fcntl.fcntl(fd, command, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        except PermissionError:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None

    def watch(self, path: str) -> int:
        fd: int = self._inotify(os.O_NONBLOCK)
        try:
            self._add_watch(fd, path, IN_CLOSE)
        except OSError:
            os.close(fd)
            raise
        return fd

    def close_events(self, watch: int) -> int:
        closes = 0
        with contextlib.suppress(BlockingIOError):
            while events := os.read(watch, 65536):
                while events:
                    _, mask, _, name = struct.unpack_from("iIII", events)
                    closes += mask & IN_CLOSE != 0
                    events = events[16 + name :]
        return closes

    def free_space(self, path: str) -> int:
        status = os.statvfs(path)
        return status.f_bfree * status.f_frsize

    # ---- limits, capabilities, introspection

    def set_limit_headroom(self, resource_: Resource, headroom: int) -> None:
        which, label = LIMITS[resource_]
        used = 0
        if label:
            with open("/proc/self/status") as status:
                used = next(int(line.split()[1]) * 1024 for line in status if line.startswith(label))
        _, hard_limit = resource.getrlimit(which)
        limit = used + headroom
        resource.setrlimit(which, (limit, hard_limit if hard_limit == -1 else max(hard_limit, limit)))

    def drop_capability(self, capability: str) -> None:
        number = {f"CAP_{name}": number for number, name in CAPABILITIES.items()}.get(capability)
        if number is None:
            raise Unsupported("this agent does not know the capability")
        with contextlib.suppress(OSError):  # without CAP_SETPCAP it fails, but exec does not restore the capability
            prctl(PR_CAPBSET_DROP, number, 0, 0, 0)
        header, sets = capabilities()
        for kind in range(3):
            sets[number // 32 * 3 + kind] &= ~(1 << number % 32)
        capset(ctypes.addressof(header), ctypes.addressof(sets))

    def scratch_range(self) -> tuple[int, int]:
        if self._scratch_range is None:
            raise Unsupported("no range of addresses was found free for the scratch range")
        return self._scratch_range

    def maps(self) -> str:
        with open("/proc/self/maps") as maps:
            return maps.read()


def capabilities() -> tuple[Any, Any]:
    """Return capget's header and its result: effective, permitted, inheritable, of 32 capabilities each, twice."""
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    capget(ctypes.addressof(header), ctypes.addressof(sets))
    return header, sets


def serve_process(process: LinuxProcess) -> NoReturn:
    """Answer the supervisor's requests to this process until its socket is closed."""
    channel = socket.socket(fileno=CHANNEL)
    while True:
        received, passed, _, _ = socket.recv_fds(channel, LINE, 1)
        while received and not received.endswith(b"\n"):
            received += channel.recv(LINE)
        if not received:
            os._exit(0)
        verb, _, argument = received.decode("ascii").rstrip("\n").partition(" ")
        if verb == "exit":
            os._exit(int(argument) & 255)
        elif verb == "fork":
            answered = answer(lambda: fork(passed))  # noqa: B023 - called immediately
        elif verb == "exec":
            answered = answer(reexec)
        else:
            answered = execute_request(process, f"{verb} {argument}" if argument or received.endswith(b" \n") else verb)
        channel.sendall(answered.encode("ascii", "replace") + b"\n")


def fork(passed: list[int]) -> int | str:
    """Fork twice, so that the supervisor is the parent of every process; the child answers on its own channel."""
    if not passed:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    intermediate = os.fork()
    if intermediate:
        os.close(passed[0])
        _, status = os.waitpid(intermediate, 0)
        if os.WEXITSTATUS(status):
            raise OSError(os.WEXITSTATUS(status), os.strerror(os.WEXITSTATUS(status)))
        return "forked"
    try:
        if os.fork():
            os._exit(0)
    except OSError as error:
        os._exit(error.errno or errno.EAGAIN)
    os.dup2(passed[0], CHANNEL, inheritable=False)
    os.close(passed[0])
    return os.getpid()


def reexec() -> None:
    """Execute this program again in the same process; the new program writes the answer."""
    os.set_inheritable(CHANNEL, True)
    try:
        execute_again(command("--process"), os.environ)
    finally:
        os.set_inheritable(CHANNEL, False)


# ------------------------------------------------------------------------------------------------ the supervisor's side


class Child(Process):
    """A process, from the supervisor's side: each call is a request over a socket."""

    def __init__(self, system: LinuxSystem, channel: socket.socket, pid: int) -> None:
        self.system = system
        self.channel = channel
        self.pid = pid
        self.status: int | None = None
        system.children.append(self)

    def ask(self, request: str, passed: list[int] | None = None) -> str:
        """Send a request, with descriptors, and return the answer; if the process has ended, return "died" and how."""
        try:
            socket.send_fds(self.channel, [request.encode("ascii", "replace") + b"\n"], passed or [])
            return self.receive()
        except OSError:
            return f"died {self.reap()}"

    def receive(self) -> str:
        line = b""
        while not line.endswith(b"\n"):
            more = self.channel.recv(LINE)
            if not more:
                return f"died {self.reap()}"
            line += more
        return line.decode("ascii").rstrip("\n")

    def reap(self) -> str:
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            self.channel.close()
        return str(self.status) if self.status >= 0 else signal.Signals(-self.status).name

    def thread(self) -> Process:
        raise Unsupported("accesses are copies by the kernel here, which show nothing of a thread's own processor")

    def fork(self) -> Child:
        ours, theirs = socket.socketpair()
        answered = self.ask("fork", [theirs.fileno()])
        theirs.close()
        kind, _, rest = answered.partition(" ")
        if kind == "error":
            code = getattr(errno, rest)
            raise OSError(code, os.strerror(code))
        if kind != "ok":
            raise Unresolved(rest)
        child = Child(self.system, ours, 0)
        child.pid = int(child.receive().partition(" ")[2])
        return child

    def exit(self, status: int = 0) -> int:
        self.ask(f"exit {status}")
        return int(self.reap())

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.reap()


def ask(process: Process, request: str) -> str:
    """Execute a request for `serve`: exit and kill here, because the supervisor waits for the process; others there."""
    assert isinstance(process, Child)
    return execute_request(process, request) if request.partition(" ")[0] in ("exit", "kill") else process.ask(request)


class LinuxSystem(System):
    """A directory, and the processes that were started in it."""

    FILES: Final = {
        Facility.DEV_ZERO: "/dev/zero",
        Facility.DEV_NULL: "/dev/null",
        Facility.DEV_RANDOM: "/dev/random",
        Facility.PROC_FILE: "/proc/self/maps",
        Facility.SYS_FILE: "/sys/kernel/uevent_seqnum",
    }

    def __init__(self, directory: str, scratch_range: tuple[int, int] | None) -> None:
        self.folder = tempfile.mkdtemp(prefix=f"mmapconf-{os.getpid()}_", dir=directory)
        self.scratch_range = scratch_range
        self.children: list[Child] = []

    def spawn(self) -> Child:
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            try:
                os.chdir(self.folder)
                os.dup2(theirs.fileno(), CHANNEL, inheritable=False)
                os.closerange(3, CHANNEL)
                os.closerange(CHANNEL + 1, 1 << 20)
                serve_process(LinuxProcess(self.scratch_range))
            finally:
                os._exit(1)
        theirs.close()
        return Child(self, ours, pid)

    def facility(self, facility: Facility) -> str:
        path = self.FILES.get(facility)
        if path is None or not os.path.exists(path):
            raise Unsupported(f"this agent has no {facility.value}")
        return path

    def mapping_limit(self) -> int:
        with open("/proc/sys/vm/max_map_count") as limit:
            return int(limit.read())

    def close(self) -> None:
        for child in self.children:
            if child.status is None:
                child.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class LinuxBackend(Backend):
    """The Linux system that this agent runs on."""

    name = "Linux"

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.scratch_range = find_scratch_range()

    def facts(self) -> Facts:
        system = os.uname()
        _, sets = capabilities()
        held = [f"CAP_{name}" for number, name in CAPABILITIES.items() if sets[number // 32 * 3] >> number % 32 & 1]
        details = {
            "kernel": f"{system.sysname} {system.release}",
            "machine": system.machine,
            "libc": os.confstr("CS_GNU_LIBC_VERSION") or "?",
            "page": str(PAGE),
            "bits": "64",
            "byteorder": sys.byteorder,
            "uid": str(os.geteuid()),
            "directory": self.directory,
            **identity(),
            "capabilities": ",".join(held) or ",",
        }
        for name, path in {"mappings": "vm/max_map_count", "lowest": "vm/mmap_min_addr"}.items():
            with open(f"/proc/sys/{path}") as limit:
                details[name] = limit.read().strip()
        limits = {"locked": resource.RLIMIT_MEMLOCK, "descriptors": resource.RLIMIT_NOFILE}
        soft = {name: resource.getrlimit(which)[0] for name, which in limits.items()}
        details |= {name: str(limit) for name, limit in soft.items() if limit != resource.RLIM_INFINITY}
        return Facts(self.name, details=details)

    def boot(self) -> LinuxSystem:
        return LinuxSystem(self.directory, self.scratch_range)


# ---------------------------------------------------------------------------------------------------------------- start


def find_scratch_range() -> tuple[int, int] | None:
    """Return (address, length) of a range so far from all mappings that it stays free; None if there is none."""
    length = 32 << 30
    for start in (0x1000000000, 0x2000000000):
        try:
            ends = (start, start + length - PAGE)
            made = [LinuxProcess.mmap(at, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) for at in ends]
            for at in made:
                LinuxProcess.munmap(at, PAGE)
            if made == list(ends):  # a hint is honoured where the page is free
                return start, length
        except OSError:
            continue
    return None


def front() -> list[str]:
    """Return the words before the interpreter in this process's command line: an emulator that runs it."""
    try:
        with open("/proc/thread-self/cmdline") as line:
            words = line.read().split("\0")[:-1]
    except OSError:
        return []
    own = sys.orig_argv
    return words[: -len(own)] if words[-len(own) :] == own else []


def identity() -> dict[str, str]:
    """Return what runs this agent, as fields of the greeting."""
    try:
        program = os.readlink("/proc/thread-self/exe")
    except OSError:
        return {}
    return {"front": "".join(f"{word}\0" for word in front()), "program": program}


def execute_again(words: list[str], environment: Mapping[str, str]) -> None:
    """Execute a command of the interpreter in this process, by what runs the interpreter."""
    words = [*front(), *words]
    os.execve(shutil.which(words[0]) or words[0], words, environment)


def command(*arguments: str) -> list[str]:
    """Return the command that starts this program."""
    return [sys.executable, "-P", "-m", __spec__.name, *arguments]


def confine_allocator_to_heap() -> None:
    """Prevent the interpreter from making mappings from now on; the module's docstring has the reason."""
    mmap_max, top_pad, trim_threshold = -4, -2, -1
    libc.mallopt(mmap_max, 0)
    libc.mallopt(trim_threshold, -1)
    libc.mallopt(top_pad, 64 << 20)
    gc.disable()


def main() -> int:
    """Execute this program again without address randomisation and with malloc for objects; then serve the system."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {__spec__.name}", description="Make this Linux system available to the suite."
    )
    parser.add_argument("--directory", default=tempfile.gettempdir(), help="where the cases' files are made")
    parser.add_argument("--process", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if os.uname().machine not in RETURN or not os.confstr("CS_GNU_LIBC_VERSION"):
        print("this agent is for glibc on x86_64, aarch64 or riscv64", file=sys.stderr)
        return 2
    if os.environ.get("PYTHONMALLOC") != "malloc":
        not_random = 0x0040000
        libc.personality(libc.personality(0xFFFFFFFF) | not_random)
        root = os.path.abspath(__file__).removesuffix(__spec__.name.replace(".", "/") + ".py")
        paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        execute_again(command(*sys.argv[1:]), {**os.environ, "PYTHONMALLOC": "malloc", "PYTHONPATH": paths})
    confine_allocator_to_heap()
    scratch_range = find_scratch_range()
    if asked.process:
        os.set_inheritable(CHANNEL, False)
        fields = " ".join(f"{name}={encode_text(value)}" for name, value in identity().items())
        os.write(CHANNEL, f"ok {fields}\n".encode())
        serve_process(LinuxProcess(scratch_range))
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    stream = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    serve(LinuxBackend(os.path.abspath(asked.directory)), *stream, ask)
    return 0


if __name__ == "__main__":
    sys.exit(main())
