"""The calls of a program in C: how each is printed, and the headers, constants and helpers that it needs."""

from __future__ import annotations

from typing import Final

from ..contract import Facility, Resource

C_CALLS: Final = {
    "mmap": "mmap({addr}, {length}, {prot}, {flags}, {fd}, {offset})",
    "munmap": "munmap({addr}, {length})",
    "mremap": "mremap({addr}, {old_size}, {new_size}, {flags}{new_addr})",
    "msync": "msync({addr}, {length}, {flags})",
    "sysconf": "sysconf({name})",
    "mprotect": "mprotect({addr}, {length}, {prot})",
    "fragment": "fragment({addr}, {pages})",
    "mlock": "mlock({addr}, {length})",
    "munlock": "munlock({addr}, {length})",
    "mlock2": "mlock2({addr}, {length}, {flags})",
    "mseal": "syscall(462 /* mseal */, {addr}, (size_t)({length}), (size_t){flags})",
    "mlockall": "mlockall({flags})",
    "munlockall": "munlockall()",
    "madvise": "madvise({addr}, {length}, {advice})",
    "mincore": "mincore({addr}, {length}, (unsigned char *)bytes)",
    "load": "load({addr}, {length})",
    "store": "store({addr}, {data})",
    "execute": "execute({addr})",
    "open": "open({path}, {flags}{mode})",
    "close": "close({fd})",
    "dup": "dup({fd})",
    "ftruncate": "ftruncate({fd}, {length})",
    "fallocate": "fallocate({fd}, {mode}, {offset}, {length})",
    "lseek": "lseek({fd}, {offset}, {whence})",
    "pread": "pread({fd}, bytes, {length}, {offset})",
    "pwrite": "pwrite({fd}, bytes, {data}, {offset})",
    "read_into": "pread({fd}, {addr}, {length}, {offset})",
    "write_from": "pwrite({fd}, {addr}, {length}, {offset})",
    "preadv": "read_two({fd}, {addr}, {length}, {addr_2}, {length_2}, {offset})",
    "pwritev": "write_two({fd}, {addr}, {length}, {addr_2}, {length_2}, {offset})",
    "open_path_at": "open({addr}, {flags})",
    "fstat_into": 'syscall(SYS_statx, {fd}, "", AT_EMPTY_PATH, 0x7ff, {addr})',
    "copy_file_range": "copy_range({fd}, {offset}, {to_fd}, {to_offset}, {length})",
    "fstat": "fstat({fd}, &status)",
    "fsync": "fsync({fd})",
    "drop_cache": "fsync({fd}) ? -1 : posix_fadvise({fd}, 0, 0, POSIX_FADV_DONTNEED)",
    "set_old_mtime": "set_old_mtime({fd})",
    "has_old_mtime": "fstat({fd}, &status) ? -1 : status.st_mtim.tv_sec == LONG_PAST",
    "unlink": "unlink({path})",
    "rename": "rename({path}, {new_path})",
    "link": "link({path}, {new_path})",
    "mkdir": "mkdir({path}, 0700)",
    "pipe": "pipe(pair)",
    "socketpair": "socketpair(AF_UNIX, SOCK_STREAM, 0, pair)",
    "memfd": 'memfd_create("file", MFD_ALLOW_SEALING)',
    "seal": "fcntl({fd}, F_ADD_SEALS, {seals})",
    "set_append_only": "set_append_only({fd}, {on})",
    "free_space": "free_space({path})",
    "flock": "flock({fd}, {operation})",
    "record_lock": "lock_record({fd}, {ofd})",
    "watch": "watch({path})",
    "close_events": "close_events({watch})",
    "fork": "fork()",
    "load_in_child": "load_in_child({addr}, {length})",
    "exec": "exec_again({number})",
    "set_limit_headroom": "set_limit_headroom({resource}, {headroom})",
    "drop_capability": "drop_capability({capability})",
    "scratch_range": "free_range",
    "errno_cleared": "previous_errno == 0",
    "thread": "start_thread({thread}, {number})",
}
"""Per call, the call of C that it is printed as."""

PRINTED_OTHERWISE: Final = ("return_instruction", "exit", "kill", "spawn", "facility", "together")
"""Calls that are printed as something other than one call of C."""

UNPRINTABLE: Final = (
    *("add", "counters", "run_concurrently", "crash", "full_file_table", "end_full_file_table", "mapping_limit"),
)
"""Calls that have no equivalent in C."""

USED_BLOCKS: Final = {
    "fragment": "FRAGMENT",
    "load": "LOAD FAULTS BYTES",
    "store": "STORE FAULTS BYTES FILL",
    "execute": "EXECUTE FAULTS",
    "mincore": "BYTES",
    "pread": "BYTES",
    "pwrite": "BYTES FILL",
    "set_append_only": "APPEND_ONLY",
    "free_space": "FREE_SPACE",
    "set_old_mtime": "OLD_MTIME",
    "has_old_mtime": "OLD_MTIME",
    "copy_file_range": "COPY_RANGE",
    "preadv": "TWO_BUFFERS",
    "pwritev": "TWO_BUFFERS",
    "record_lock": "LOCK_RECORD",
    "watch": "WATCH",
    "close_events": "CLOSES",
    "set_limit_headroom": "LIMIT",
    "drop_capability": "DROP",
    "errno_cleared": "ERRNO",
    "scratch_range": "SCRATCH_RANGE",
    "fork": "PROCESSES",
    "load_in_child": "IN_CHILD WAIT LOAD FAULTS BYTES",
    "exec": "PROCESSES EXEC",
    "spawn": "PROCESSES",
    "thread": "PROCESSES THREADS",
    "together": "PROCESSES ROUNDS FAULTS",
    "exit": "PROCESSES WAIT",
    "kill": "PROCESSES WAIT",
}
"""Per call, the blocks of the template that it needs: names of `USES_…` conditions."""

HEADERS: Final = {
    "errno.h": "",
    "fcntl.h": r"\b(open|fcntl|fallocate|posix_fadvise|F_\w+)\b",
    "linux/capability.h": r"\b__user_cap_\w+\b",
    "linux/fs.h": r"\bFS_IOC_\w+\b",
    "pthread.h": r"\bpthread_",
    "sched.h": r"\b(unshare|sched_yield)\b",
    "setjmp.h": r"\bsigsetjmp\b",
    "signal.h": r"\b(siginfo_t|kill|signal)\b",
    "stdint.h": r"\buintptr_t\b",
    "stdio.h": "",
    "stdlib.h": r"\b(mkdtemp|ato[il])\b",
    "string.h": "",
    "sys/file.h": r"\bflock\(",
    "sys/inotify.h": r"\binotify_",
    "sys/ioctl.h": r"\bioctl\(",
    "sys/mman.h": r"\b(mmap|munmap|mremap|msync|mprotect|mu?n?lock(2|all)?|mincore|madvise|memfd_create)\b",
    "sys/mount.h": r"\bmount\(",
    "sys/prctl.h": r"\bprctl\b",
    "sys/resource.h": r"\brlimit\b",
    "sys/socket.h": r"\bsocketpair\b",
    "sys/stat.h": r"\b(fstat|mkdir|futimens)\b",
    "sys/statvfs.h": r"\bstatvfs\b",
    "sys/syscall.h": r"\bsyscall\b",
    "sys/types.h": "",
    "sys/uio.h": r"\b(readv|iovec)\b",
    "sys/wait.h": r"\bwaitpid\b",
    "time.h": r"\bclock_gettime\b",
    "unistd.h": "",
}
"""Per header, a pattern of the words that need it; empty if every file needs it."""

NEW_CONSTANTS: Final = {
    "MREMAP_DONTUNMAP": 4,
    "MAP_FIXED_NOREPLACE": 0x100000,
    "MAP_SHARED_VALIDATE": 3,
    "MAP_SYNC": 0x80000,
    "MADV_POPULATE_READ": 22,
    "MADV_POPULATE_WRITE": 23,
    "MADV_DONTNEED_LOCKED": 24,
    "MAP_32BIT": 0x40,
    "MAP_DROPPABLE": 8,
    "MAP_UNINITIALIZED": 0x4000000,
    "F_SEAL_FUTURE_WRITE": 16,
}
"""Constants that a libc may not define yet, with their values."""

FACILITIES: Final = {
    Facility.DEV_ZERO: "/dev/zero",
    Facility.DEV_NULL: "/dev/null",
    Facility.DEV_RANDOM: "/dev/random",
    Facility.PROC_FILE: "/proc/self/maps",
    Facility.SYS_FILE: "/sys/kernel/mm/transparent_hugepage/enabled",
}
"""Facilities that every Linux system has, with their paths."""

MOUNTS: Final = {
    Facility.NOEXEC_DIRECTORY: (100, True),
    Facility.OWN_FILE_SYSTEM: (101, False),
}
"""Facilities that the program mounts: the descriptor of the root directory, and whether the mount is noexec."""

LIMITS: Final = {
    Resource.ADDRESS_SPACE: 'RLIMIT_AS, "VmSize:"',
    Resource.LOCKED_MEMORY: 'RLIMIT_MEMLOCK, "VmLck:"',
    Resource.DATA: 'RLIMIT_DATA, "VmData:"',
    Resource.STACK: 'RLIMIT_STACK, "(nothing)"',
}
"""Per resource, its limit, and the line of /proc/self/status with its current use."""

FILE_KINDS: Final = {
    "regular": "S_ISREG",
    "directory": "S_ISDIR",
    "character": "S_ISCHR",
    "block": "S_ISBLK",
    "fifo": "S_ISFIFO",
    "socket": "S_ISSOCK",
}
"""Per kind of file, the macro that tests st_mode for it."""

SETUP_CALLS: Final = (
    *("open", "close", "dup", "ftruncate", "lseek", "pwrite", "fsync", "drop_cache", "unlink", "mkdir", "pipe"),
    *(
        "rename",
        "link",
        "set_old_mtime",
        "socketpair",
        "memfd",
        "seal",
        "flock",
        "record_lock",
        "watch",
        "fork",
        "spawn",
        "thread",
    ),
    *("set_limit_headroom", "drop_capability", "scratch_range"),
)
"""Calls that prepare others: if one of them, and not the last step, fails against expectation, nothing is judged."""

MAX_PAGE: Final = 1 << 16
"""Bytes of the largest page for which a C file has room."""

MAX_BYTES: Final = 1 << 26
"""Bytes that one step may load, store, read or write."""
