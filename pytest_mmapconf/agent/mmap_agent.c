/* The agent in C: executes the requests of PROTOCOL.md on a Linux system, through the libc it is linked with.
 *
 * One program, two roles.  The SUPERVISOR reads request lines from stdin and writes answer lines to stdout.  It owns
 * the boot's directory, the facilities and the PROCESSES.  Each process is forked from the supervisor (or, by the
 * case's fork, from another process), has a socket to the supervisor, and executes the requests it receives there.  The
 * supervisor only forwards those lines, so several processes can execute a request at the same time, and no process can
 * damage the supervisor: it detects the end of a process by the end of its socket.
 *
 * Most cases need one process and many small calls.  Two optimisations serve them.  While a boot's first process is the
 * only one, it reads and answers the client's stream itself, and returns the stream with the first line that is not for
 * it.  And while the client is busy, the supervisor prepares the first process and the directory of the next boot, and
 * removes what the previous boot left.
 *
 * A process shares its address space with this code, so this code must not disturb what is under test.  After its start
 * a process allocates nothing, uses no stdio, and writes static buffers only; its symbols are bound before main, its
 * stack has been used to the depth that it needs, its own descriptors have high numbers, and far from every other
 * mapping is a scratch range that only the case uses.  The client that starts the agent turns address randomisation
 * off, where that is permitted; the agent never executes itself again to that end, because that would leave an emulator
 * (valgrind, user-mode qemu) that runs it, and the system below would be judged.  Its calls are the libc's, because the
 * libc is under test as well.
 *
 * Build (any Linux libc, static or not, any byte order):
 *     cc -O2 -pthread -Wall -Wextra -Wl,-z,now -Wl,-z,noexecstack -o mmap_agent mmap_agent.c
 *
 * Contents, in the order of the file:
 *     writing text                    put*: append to the answer
 *     names                           tables of errno, signal, si_code, capability and flag names; `translate`
 *     answers                         answer*: begin an answer
 *     requests                        the arguments of a request
 *     accesses                        loads, stores and calls that may fault: `attempt`
 *     the calls of a process          do_*: one function for each verb
 *     a process's account of itself   counters, maps, scratch range, limits, capabilities
 *     lines over sockets              `send_line`, `receive_line`
 *     what runs this program          `find_front`, `put_identity`
 *     fork, exec and exit             also the table of verbs, `execute_request`
 *     threads                         the threads of a process, and calls that are made concurrently; a process's loop, `serve`
 *     the start of a program          `initialise`
 *     supervisor                      boots, processes, directories
 *     facilities                      detached mounts
 *     a file system that can crash    ext4 on a loop device
 *     the system's file table         fs.file-max and its guard; also `provide_facility`, the end of a boot, and the
 *                                     supervisor's loop, `supervise`
 *     start                           the greeting, `main`
 */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#undef _FORTIFY_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <mntent.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

/* With PREBUILT the libc is not under test: the agent brings one of its own, musl, to a system that has no compiler.
 * Musl's mprotect widens the range before it makes the call; the call itself is made instead. */
#ifdef PREBUILT
#define mprotect(address, length, prot) ((int)syscall(SYS_mprotect, address, length, prot))
#endif

#define VERSION 1
#ifndef MAX_DATA
#define MAX_DATA 65536          /* maximum bytes of data in one call; less for a console that loses long lines */
#endif
#define MAX_LINE ((MAX_DATA < 16384 ? 2 * MAX_DATA : 32768) + 256) /* maximum length of a line with its newline */
#define MAX_PERIOD (MAX_LINE < 2048 ? MAX_LINE / 8 : 256) /* the longest pattern that is looked for in an answer */
#define MAX_AUDITED_BYTES 65536       /* maximum bytes of a file that an audit reads */
#define MAX_AUDITED_ITEMS 1024         /* maximum pages and files in one audit */
#define MAX_PROCESSES 1024      /* maximum processes of one boot, ended ones included */

/* The agent's own descriptors.  A case gets the lowest free numbers, as in any new process; these are higher. */
#define CHANNEL_FD 224   /* a process's socket to the supervisor */
#define FACILITY_FDS 225 /* and following: the directories of facilities, in every process of a boot */
#define FACILITY_COUNT 3
#define DIRECTORY_FD 228 /* the working directory of a process while it executes the front again */
enum {
    STREAM_IN_FD = 240, /* the client's stream */
    STREAM_OUT_FD,
    SUPERVISOR_FDS, /* and above: in the supervisor only */
    BOOT_IMAGE_FD = SUPERVISOR_FDS,
    FORMATTED_IMAGE_FD,
    GUARD_FD,
    REUSABLE_FDS, /* and following: mounts of facilities kept for a later boot */
    OTHER_FDS = REUSABLE_FDS + FACILITY_COUNT, /* and above: the sockets of processes */
    NEEDED_FDS = OTHER_FDS + 8,
};

/* The request being executed; and, of each thread, its answer and a buffer for any other data. */
static char in[MAX_LINE + 1];
#define MAX_ANSWER (MAX_LINE + 64)
static char own_out[MAX_ANSWER], own_bytes[MAX_DATA];
/* Pointers: for more than some hundred bytes of thread-local storage musl maps memory when a thread begins, where a
 * case may have unmapped its own. */
static __thread char *out = own_out, *bytes = own_bytes;
static __thread size_t out_length;
static char own_path[PATH_MAX]; /* of this program; absolute, because a case changes the directory */
static char base_directory[PATH_MAX] = "/tmp"; /* where the agent makes its own directory */
static char agent_directory[PATH_MAX + 32];    /* the agent's own directory */
static char boot_directory[PATH_MAX + 64];     /* in agent_directory: the directory of the current boot */
/* The read and write calls that this code has made on the client's stream; `counters` subtracts them. */
static uint64_t own_reads, own_writes;
static int disruptive;
static int making_rounds; /* 1 while the calls of `together` are made */
static size_t page_size;
static uintptr_t scratch_start;
static size_t scratch_length;
#define LEAST_STACK (24 * 1024) /* the frames of the deepest calls take 17 KiB */

static unsigned char signal_stack[192 * 1024]; /* more than AT_MINSIGSTKSZ + 64 KiB on every known machine */

/* ----------------------------------------------------------------------------------------------------- writing text */

static void put(const char *text)
{
    while (*text && out_length < MAX_LINE - 1)
        out[out_length++] = *text++;
}

static void put_unsigned(uint64_t value)
{
    char digits[24];
    size_t i = sizeof digits;

    digits[--i] = 0;
    do
        digits[--i] = (char)('0' + value % 10);
    while (value /= 10);
    put(digits + i);
}

static void put_signed(int64_t value)
{
    if (value < 0)
        put("-");
    put_unsigned(value < 0 ? -(uint64_t)value : (uint64_t)value);
}

static void put_hexadecimal(uint64_t value)
{
    char digits[20];
    size_t i = sizeof digits;

    digits[--i] = 0;
    do
        digits[--i] = "0123456789abcdef"[value % 16];
    while (value /= 16);
    put("0x");
    put(digits + i);
}

static void put_bytes(const char *data, size_t length)
{
    for (size_t i = 0; i < length && out_length < MAX_LINE - 2; i++) {
        out[out_length++] = "0123456789abcdef"[(unsigned char)data[i] >> 4];
        out[out_length++] = "0123456789abcdef"[(unsigned char)data[i] & 15];
    }
}

/* Return byte `n` of a part that repeats its first `width` bytes, or, as numbers, counts on from them. */
static unsigned char next_byte(const unsigned char *part, size_t n, size_t width, int is_number)
{
    size_t lower = n - width + 1;

    while (is_number && lower % width && part[lower] == 255)
        lower++;
    return (unsigned char)(part[n - width] + (is_number && lower % width == 0));
}

static size_t count_part(const unsigned char *part, size_t length, size_t width, int is_number)
{
    size_t n = width;

    while (n < length && part[n] == next_byte(part, n, width, is_number))
        n++;
    return n;
}

/* Return how many bytes are one part that is shorter than their digits, 0 if none are: numbers ('+') of `width` bytes
 * (1 or 4), or a repetition ('*') of `width` bytes. */
static size_t find_part(const unsigned char *data, size_t length, char *kind, size_t *width)
{
    size_t n;

    *kind = '+';
    for (*width = 1; *width <= 4 && length >= 16; *width *= 4)
        if ((n = count_part(data, length, *width, 1)) >= 16)
            return n;
    *kind = '*';
    for (*width = 1; *width <= MAX_PERIOD && *width + 8 <= length; ++*width)
        if (data[*width] == data[0] && !memcmp(data, data + *width, 8) &&
            (n = count_part(data, length, *width, 0)) >= 2 * *width)
            return n;
    return 0;
}

/* Append bytes as parts (PROTOCOL.md, `runs`), which are never longer than their digits; in a script as digits only.  A
 * comma at the end says that the others do not fit into the line. */
static void put_parts(const char *data, size_t length)
{
    const unsigned char *from = (const unsigned char *)data;

    if (making_rounds)
        put_bytes(data, length);
    while (length && !making_rounds) {
        size_t room = out_length < MAX_LINE - 40 ? (MAX_LINE - 40 - out_length) / 2 : 0, pairs = 0, n = 0, width = 0;
        char kind[2] = "";

        while (pairs < length && pairs < room && !(n = find_part(from + pairs, length - pairs, kind, &width)))
            pairs++;
        if (pairs)
            put_bytes((const char *)from, n = pairs);
        else if (room < width + 8 || !n)
            return;
        else {
            put_bytes((const char *)from, width);
            put(kind);
            put_unsigned(n);
        }
        from += n;
        length -= n;
        if (length)
            put(",");
    }
}

/* Append text as one field: bytes that are not printable ASCII, % and the space are written %XX. */
static void put_word(const char *text, size_t length)
{
    for (size_t i = 0; i < length && out_length < MAX_LINE - 4; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c > ' ' && c < 127 && c != '%')
            out[out_length++] = (char)c;
        else {
            out[out_length++] = '%';
            put_bytes((char *)&c, 1);
        }
    }
}

/* ------------------------------------------------------------------------------------------------------------ names */

struct name {
    int64_t number;
    const char *name;
};

#define NAME(constant) { constant, #constant }

static const struct name errors[] = {
    NAME(E2BIG), NAME(EACCES), NAME(EADDRINUSE), NAME(EADDRNOTAVAIL), NAME(EAFNOSUPPORT), NAME(EAGAIN), NAME(EALREADY),
    NAME(EBADF), NAME(EBADMSG), NAME(EBUSY), NAME(ECANCELED), NAME(ECHILD), NAME(ECONNABORTED), NAME(ECONNREFUSED),
    NAME(ECONNRESET), NAME(EDEADLK), NAME(EDESTADDRREQ), NAME(EDOM), NAME(EDQUOT), NAME(EEXIST), NAME(EFAULT),
    NAME(EFBIG), NAME(EHOSTUNREACH), NAME(EIDRM), NAME(EILSEQ), NAME(EINPROGRESS), NAME(EINTR), NAME(EINVAL), NAME(EIO),
    NAME(EISCONN), NAME(EISDIR), NAME(ELOOP), NAME(EMFILE), NAME(EMLINK), NAME(EMSGSIZE), NAME(ENAMETOOLONG),
    NAME(ENFILE), NAME(ENOBUFS), NAME(ENODATA), NAME(ENODEV), NAME(ENOENT), NAME(ENOEXEC), NAME(ENOLCK), NAME(ENOMEM),
    NAME(ENOSPC), NAME(ENOSYS), NAME(ENOTBLK), NAME(ENOTCONN), NAME(ENOTDIR), NAME(ENOTEMPTY), NAME(ENOTSOCK),
    NAME(ENOTTY), NAME(ENXIO), NAME(EOPNOTSUPP), NAME(EOVERFLOW), NAME(EPERM), NAME(EPIPE), NAME(EPROTO), NAME(ERANGE),
    NAME(EREMOTEIO), NAME(EROFS), NAME(ESPIPE), NAME(ESRCH), NAME(ESTALE), NAME(ETIMEDOUT), NAME(ETXTBSY), NAME(EUCLEAN),
    NAME(EUSERS), NAME(EXDEV), {0, 0},
};

static const struct name signals[] = {
    NAME(SIGABRT), NAME(SIGALRM), NAME(SIGBUS), NAME(SIGFPE), NAME(SIGHUP), NAME(SIGILL), NAME(SIGINT), NAME(SIGKILL),
    NAME(SIGPIPE), NAME(SIGQUIT), NAME(SIGSEGV), NAME(SIGSYS), NAME(SIGTERM), NAME(SIGTRAP), NAME(SIGXCPU),
    NAME(SIGXFSZ), {0, 0},
};

/* si_code: the kernel's numbers, the same on every machine; a libc may lack the newer names. */
static const struct name any_code[] = {{0, "SI_USER"}, {0x80, "SI_KERNEL"}, {-1, "SI_QUEUE"}, {-6, "SI_TKILL"}, {0, 0}};
static const struct name segv_codes[] = {
    {1, "SEGV_MAPERR"}, {2, "SEGV_ACCERR"}, {3, "SEGV_BNDERR"}, {4, "SEGV_PKUERR"}, {5, "SEGV_ACCADI"},
    {6, "SEGV_ADIDERR"}, {7, "SEGV_ADIPERR"}, {8, "SEGV_MTEAERR"}, {9, "SEGV_MTESERR"}, {10, "SEGV_CPERR"}, {0, 0},
};
static const struct name bus_codes[] = {
    {1, "BUS_ADRALN"}, {2, "BUS_ADRERR"}, {3, "BUS_OBJERR"}, {4, "BUS_MCEERR_AR"}, {5, "BUS_MCEERR_AO"}, {0, 0},
};
static const struct name ill_codes[] = {
    {1, "ILL_ILLOPC"}, {2, "ILL_ILLOPN"}, {3, "ILL_ILLADR"}, {4, "ILL_ILLTRP"}, {5, "ILL_PRVOPC"}, {6, "ILL_PRVREG"},
    {7, "ILL_COPROC"}, {8, "ILL_BADSTK"}, {0, 0},
};
static const struct name trap_codes[] = {{1, "TRAP_BRKPT"}, {2, "TRAP_TRACE"}, {0, 0}};
static const struct name fpe_codes[] = {{1, "FPE_INTDIV"}, {2, "FPE_INTOVF"}, {3, "FPE_FLTDIV"}, {0, 0}};

static const struct name capabilities[] = {
    {0, "CAP_CHOWN"}, {1, "CAP_DAC_OVERRIDE"}, {2, "CAP_DAC_READ_SEARCH"}, {3, "CAP_FOWNER"}, {4, "CAP_FSETID"},
    {5, "CAP_KILL"}, {6, "CAP_SETGID"}, {7, "CAP_SETUID"}, {8, "CAP_SETPCAP"}, {9, "CAP_LINUX_IMMUTABLE"},
    {12, "CAP_NET_ADMIN"}, {14, "CAP_IPC_LOCK"}, {15, "CAP_IPC_OWNER"}, {17, "CAP_SYS_RAWIO"}, {18, "CAP_SYS_CHROOT"},
    {19, "CAP_SYS_PTRACE"}, {21, "CAP_SYS_ADMIN"}, {22, "CAP_SYS_BOOT"}, {23, "CAP_SYS_NICE"}, {24, "CAP_SYS_RESOURCE"},
    {25, "CAP_SYS_TIME"}, {27, "CAP_MKNOD"}, {28, "CAP_LEASE"}, {34, "CAP_SYSLOG"}, {38, "CAP_PERFMON"}, {39, "CAP_BPF"},
    {0, 0},
};

/* The protocol's numbers are those of asm-generic; some machines (MIPS, PowerPC, SPARC, Alpha, PA-RISC) have their own.
 * A bit that is not listed is passed on unchanged. */
struct bit {
    uint64_t generic, host;
};

static const struct bit map_bits[] = {
    {0x10, MAP_FIXED}, {0x20, MAP_ANONYMOUS}, {0x100, MAP_GROWSDOWN}, {0x2000, MAP_LOCKED}, {0x4000, MAP_NORESERVE},
    {0x8000, MAP_POPULATE}, {0x20000, MAP_STACK}, {0x40000, MAP_HUGETLB}, {0x800, MAP_DENYWRITE},
    {0x1000, MAP_EXECUTABLE}, {0x10000, MAP_NONBLOCK},
#ifdef MAP_SYNC
    {0x80000, MAP_SYNC},
#endif
#ifdef MAP_FIXED_NOREPLACE
    {0x100000, MAP_FIXED_NOREPLACE},
#endif
    {0, 0},
};
static const struct bit msync_bits[] = {{1, MS_ASYNC}, {2, MS_INVALIDATE}, {4, MS_SYNC}, {0, 0}};
static const struct bit mlockall_bits[] = {
    {1, MCL_CURRENT}, {2, MCL_FUTURE},
#ifdef MCL_ONFAULT
    {4, MCL_ONFAULT},
#endif
    {0, 0},
};
static const struct bit open_bits[] = {
    {00000100, O_CREAT}, {00000200, O_EXCL}, {00001000, O_TRUNC}, {00002000, O_APPEND}, {00200000, O_DIRECTORY},
    {02000000, O_CLOEXEC}, {010000000, O_PATH}, {0, 0},
};

static int translate(const struct bit *bits, uint64_t flags)
{
    uint64_t host = flags;

    for (const struct bit *b = bits; b->generic; b++)
        host &= ~b->generic;
    for (const struct bit *b = bits; b->generic; b++)
        if (flags & b->generic)
            host |= b->host;
    return (int)host;
}

static const char *name_of(const struct name *names, int64_t number)
{
    for (; names->name; names++)
        if (names->number == number)
            return names->name;
    return 0;
}

static void put_name(const struct name *names, const char *prefix, int64_t number)
{
    const char *name = name_of(names, number);

    if (name)
        put(name);
    else {
        put(prefix);
        put_signed(number);
    }
}

/* ---------------------------------------------------------------------------------------------------------- answers */

static void answer(const char *kind, const char *text)
{
    out_length = 0;
    put(kind);
    if (*text) {
        put(" ");
        put(text);
    }
}

static void answer_errno(void)
{
    int error = errno;

    answer("error", "");
    put(" ");
    put_name(errors, "errno-", error);
}

static void answer_result(int64_t result)
{
    if (result == -1)
        answer_errno();
    else
        answer("ok", "");
}

static void answer_number(int64_t result)
{
    answer_result(result);
    if (result != -1) {
        put(" ");
        put_signed(result);
    }
}

static void answer_address(void *result)
{
    if (result == MAP_FAILED)
        answer_errno();
    else {
        answer("ok", "");
        put(" ");
        put_hexadecimal((uintptr_t)result);
    }
}

/* errno before each call: a value that none of the calls reports. */
#define NO_ERROR EDOM
static __thread int errno_after; /* the last call, for `errno-cleared` */

/* --------------------------------------------------------------------------------------------------------- requests */

/* One argument of a request.  Its letter in the verb's form gives its type: n a number, a a number that must fit an
 * address, p a path or text (%XX decoded), x data, * the rest of the line, not decoded. */
struct argument {
    uint64_t n;
    char *text;
    size_t length;
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static int parse_number(const char *text, uint64_t *value)
{
    int negative = *text == '-', base = 10;

    text += negative;
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        base = 16;
        text += 2;
    }
    if (!*text)
        return 0;
    for (*value = 0; *text; text++) {
        int digit = hex_digit(*text);

        if (digit < 0 || digit >= base || *value > (UINT64_MAX - (uint64_t)digit) / (uint64_t)base)
            return 0;
        *value = *value * (uint64_t)base + (uint64_t)digit;
    }
    if (negative)
        *value = -*value;
    return 1;
}

/* Decode in place: decoded text and data are shorter than their encoding. */
static int parse_word(char *text, size_t *length)
{
    char *to = text;

    for (const char *from = text; *from; from++) {
        if (*from == '%') {
            if (hex_digit(from[1]) < 0 || hex_digit(from[2]) < 0)
                return 0;
            *to++ = (char)(hex_digit(from[1]) * 16 + hex_digit(from[2]));
            from += 2;
        } else
            *to++ = *from;
    }
    *to = 0;
    *length = (size_t)(to - text);
    return strlen(text) == *length; /* no NUL within */
}

/* Where the data of a request is decoded, and the bytes that are left there.  A request with several calls keeps the data
 * of all of them until they are made, and in a place of its own: a call may use `bytes`. */
static __thread struct {
    char *at;
    size_t left;
} decoded;
static char script_data[MAX_DATA];

/* Decode parts, separated by commas: pairs of digits, "PAIRS*COUNT", COUNT bytes of these repeated, or "PAIRS+COUNT",
 * COUNT bytes of this number and those that follow it.  Not in place, as what is decoded may be longer than its
 * encoding. */
static int parse_bytes(char **text, size_t *length)
{
    const char *from = *text;
    char *to = decoded.at;
    size_t n = 0;

    while (*from) {
        size_t start = n, end = 0;

        for (; hex_digit(from[0]) >= 0; from += 2) {
            if (hex_digit(from[1]) < 0 || n == decoded.left)
                return 0;
            to[n++] = (char)(hex_digit(from[0]) * 16 + hex_digit(from[1]));
        }
        if (n == start)
            return 0;
        if (*from == '*' || *from == '+') {
            size_t period = n - start;
            int is_number = *from == '+';

            for (from++; *from >= '0' && *from <= '9' && end <= decoded.left; from++)
                end = end * 10 + (size_t)(*from - '0');
            if (end < period || end > decoded.left - start)
                return 0;
            for (end += start; n < end; n++)
                to[n] = (char)next_byte((unsigned char *)to + start, n - start, period, is_number);
        }
        if (*from == ',' && from[1])
            from++;
        else if (*from)
            return 0;
    }
    *text = to;
    *length = n;
    decoded.at += n;
    decoded.left -= n;
    return 1;
}

/* --------------------------------------------------------------------------------------------------------- accesses */

/* A load, a store or a call may raise a signal.  The handler then jumps back to `attempt`, which made the access. */
static __thread sigjmp_buf recovery;
static __thread volatile sig_atomic_t attempting;
static __thread struct {
    int signal, code;
    uintptr_t address;
} caught_fault;
static __thread struct {
    volatile unsigned char *address;
    size_t length;
    char *data;
    uint64_t times;
    uint32_t *lock;
} requested;

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
    (void)context;
    if (!attempting) { /* this code itself faulted: end by the signal, so that the supervisor can report it */
        signal(signal_number, SIG_DFL);
        raise(signal_number);
        return;
    }
    caught_fault.signal = signal_number;
    caught_fault.code = info->si_code;
    caught_fault.address = (uintptr_t)info->si_addr;
    siglongjmp(recovery, 1);
}

static void catch_faults(void)
{
    static const int caught[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE};
    stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK; /* a fault in the handler ends the process instead of recurring */
    sigemptyset(&action.sa_mask);
    sigaltstack(&stack, 0);
    for (size_t i = 0; i < sizeof caught / sizeof *caught; i++)
        sigaction(caught[i], &action, 0);
}

/* Make the requested access; return 1 if it was made, 0 if it raised a signal (then `caught_fault` describes it). */
static int attempt(void (*access)(void))
{
    /* Saving the signal mask would cost a system call at each access; instead it is restored after a fault. */
    if (sigsetjmp(recovery, 0)) {
        sigset_t none;

        attempting = 0;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, 0);
        return 0;
    }
    attempting = 1;
    access();
    attempting = 0;
    return 1;
}

static void answer_fault(void)
{
    const struct name *codes = caught_fault.signal == SIGSEGV  ? segv_codes
                               : caught_fault.signal == SIGBUS ? bus_codes
                               : caught_fault.signal == SIGILL ? ill_codes
                               : caught_fault.signal == SIGFPE ? fpe_codes
                                                               : trap_codes;

    answer("fault ", "");
    put_name(signals, "SIG", caught_fault.signal);
    put(" ");
    put_name(name_of(codes, caught_fault.code) ? codes : any_code, "", caught_fault.code);
    put(" ");
    if (name_of(codes, caught_fault.code))
        put_hexadecimal(caught_fault.address);
    else
        put("-"); /* SI_KERNEL and the like: si_addr is meaningless */
}

static void load_bytes(void)
{
    for (size_t i = 0; i < requested.length; i++)
        requested.data[i] = (char)requested.address[i];
}

static void store_bytes(void)
{
    for (size_t i = 0; i < requested.length; i++)
        requested.address[i] = (unsigned char)requested.data[i];
}

static void flush_instruction_cache(void)
{
    __builtin___clear_cache((char *)requested.address, (char *)requested.address + requested.length);
}

static void call_code(void)
{
#if defined __powerpc64__ && (!defined _CALL_ELF || _CALL_ELF == 1)
    /* A function pointer points to a descriptor here: address, table of contents, environment. */
    uint64_t function[3];

    memcpy(function, *(void **)(void *)&(void(*){call_code}), sizeof function);
    function[0] = (uintptr_t)requested.address;
    (*(void (**)(void))(void *)&(uint64_t *){function})();
#else
    ((void (*)(void))(uintptr_t)requested.address)();
#endif
}

static void increment_word(void)
{
    volatile uint32_t *word = (volatile uint32_t *)(void *)(uintptr_t)requested.address;

    for (uint64_t i = 0; i < requested.times; i++) {
        if (requested.lock)
            while (__atomic_exchange_n(requested.lock, 1, __ATOMIC_ACQUIRE))
                sched_yield();
        *word = *word + 1;
        if (requested.lock)
            __atomic_store_n(requested.lock, 0, __ATOMIC_RELEASE);
    }
}

/* Machine code of a function that does nothing but return, in this machine's byte order. */
#if defined __x86_64__ || defined __i386__
static const uint8_t return_instruction[] = {0xc3};
#elif defined __aarch64__
static const uint8_t return_instruction[] = {0xc0, 0x03, 0x5f, 0xd6};
#elif defined __arm__
static const uint8_t return_instruction[] = {0x1e, 0xff, 0x2f, 0xe1};
#elif defined __riscv
static const uint8_t return_instruction[] = {0x67, 0x80, 0x00, 0x00};
#elif defined __loongarch__
static const uint8_t return_instruction[] = {0x20, 0x00, 0x00, 0x4c};
#elif defined __powerpc__
static const uint32_t return_instruction[] = {0x4e800020};
#elif defined __mips_isa_rev && __mips_isa_rev >= 6
static const uint32_t return_instruction[] = {0x03e00009, 0};
#elif defined __mips__
static const uint32_t return_instruction[] = {0x03e00008, 0};
#elif defined __s390__
static const uint8_t return_instruction[] = {0x07, 0xfe};
#elif defined __sparc__
static const uint32_t return_instruction[] = {0x81c3e008, 0x01000000};
#elif defined __m68k__
static const uint8_t return_instruction[] = {0x4e, 0x75};
#else
#define NO_RETURN_CODE
#endif

/* ------------------------------------------------------------------------------------------- the calls of a process */

static void *pointer(struct argument a)
{
    return (void *)(uintptr_t)a.n;
}

/* Return a descriptor of the case, or -1 for one of the agent's own: a case must get EBADF for those. */
static int descriptor(struct argument a)
{
    int fd = (int)(int64_t)a.n;

    return fd >= CHANNEL_FD && fd < OTHER_FDS ? -1 : fd;
}

static void do_mmap(struct argument *a)
{
    answer_address(mmap(pointer(a[0]), (size_t)a[1].n, (int)a[2].n, translate(map_bits, a[3].n), descriptor(a[4]),
                        (off_t)a[5].n));
}

static void do_munmap(struct argument *a)
{
    answer_result(munmap(pointer(a[0]), (size_t)a[1].n));
}

static void do_mremap(struct argument *a)
{
    /* Always with the fifth argument: glibc 2.36 reads it in any case. */
    answer_address(mremap(pointer(a[0]), (size_t)a[1].n, (size_t)a[2].n, (int)a[3].n, pointer(a[4])));
}

static void do_msync(struct argument *a)
{
    answer_result(msync(pointer(a[0]), (size_t)a[1].n, translate(msync_bits, a[2].n)));
}

static void do_sysconf(struct argument *a)
{
    long value = sysconf(a[0].n == 30 ? _SC_PAGESIZE : (int)a[0].n);

    if (value == -1 && errno && errno != NO_ERROR) /* -1 without an error means no limit */
        answer_errno();
    else {
        answer("ok ", "");
        put_signed(value);
    }
}

static void do_mprotect(struct argument *a)
{
    answer_result(mprotect(pointer(a[0]), (size_t)a[1].n, (int)a[2].n));
}

static void do_fragment(struct argument *a)
{
    for (uint64_t i = 1; i < a[1].n; i += 2)
        if (mprotect((char *)pointer(a[0]) + i * page_size, page_size, PROT_READ)) {
            answer_errno();
            return;
        }
    answer_result(0);
}

static void do_mlock(struct argument *a)
{
    answer_result(mlock(pointer(a[0]), (size_t)a[1].n));
}

static void do_munlock(struct argument *a)
{
    answer_result(munlock(pointer(a[0]), (size_t)a[1].n));
}

static void do_mseal(struct argument *a)
{
    answer_result(syscall(462 /* mseal, the same on all machines */, pointer(a[0]), (size_t)a[1].n, (size_t)a[2].n));
}

static void do_mlock2(struct argument *a)
{
#ifdef MLOCK_ONFAULT
    answer_result(mlock2(pointer(a[0]), (size_t)a[1].n, (unsigned)a[2].n));
#else
    (void)a;
    answer("unsupported", "this libc has no mlock2");
#endif
}

static void do_mlockall(struct argument *a)
{
    answer_result(mlockall(translate(mlockall_bits, a[0].n)));
}

static void do_munlockall(struct argument *a)
{
    (void)a;
    answer_result(munlockall());
}

/* Advice is a number, not a set of bits.  Only MADV_DONTNEED differs between machines (on Alpha). */
static void do_madvise(struct argument *a)
{
    int advice = (int)a[2].n;

    answer_result(madvise(pointer(a[0]), (size_t)a[1].n, advice == 4 ? MADV_DONTNEED : advice));
}

static void do_mincore(struct argument *a)
{
    size_t pages = (size_t)(a[1].n / page_size + (a[1].n % page_size != 0));

    if (pages > MAX_LINE - 64) {
        answer("bad", "too many pages for a line");
        return;
    }
    answer_result(mincore(pointer(a[0]), (size_t)a[1].n, (void *)bytes));
    if (out[0] != 'o')
        return;
    put(" ");
    for (size_t i = 0; i < pages; i++)
        put(bytes[i] & 1 ? "1" : "0");
}

static void do_load(struct argument *a)
{
    requested.address = pointer(a[0]);
    requested.length = (size_t)a[1].n;
    requested.data = bytes;
    if (requested.length > MAX_DATA)
        answer("bad", "too many bytes for a line");
    else if (attempt(load_bytes)) {
        answer("ok ", "");
        put_parts(bytes, requested.length);
    } else
        answer_fault();
}

static void do_store(struct argument *a)
{
    requested.address = pointer(a[0]);
    requested.length = a[1].length;
    requested.data = a[1].text;
    if (attempt(store_bytes))
        answer("ok", "");
    else
        answer_fault();
}

/* CRC-32 as defined by zlib, eight bytes at a time. */
static uint32_t crc_tables[8][256];

static void make_crc_tables(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;

        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
        crc_tables[0][i] = crc;
    }
    for (int table = 1; table < 8; table++)
        for (int i = 0; i < 256; i++) {
            uint32_t before = crc_tables[table - 1][i];

            crc_tables[table][i] = before >> 8 ^ crc_tables[0][before & 255];
        }
}

static uint32_t update_crc(const volatile unsigned char *data, size_t length, uint32_t crc)
{
    crc = ~crc;
    for (; length >= 8; length -= 8, data += 8) {
        crc ^= data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24;
        crc = crc_tables[7][crc & 255] ^ crc_tables[6][crc >> 8 & 255] ^ crc_tables[5][crc >> 16 & 255] ^
              crc_tables[4][crc >> 24] ^ crc_tables[3][data[4]] ^ crc_tables[2][data[5]] ^ crc_tables[1][data[6]] ^
              crc_tables[0][data[7]];
    }
    for (; length; length--, data++)
        crc = crc >> 8 ^ crc_tables[0][(crc ^ *data) & 255];
    return ~crc;
}

static void put_crc(uint32_t crc)
{
    for (int shift = 28; shift >= 0; shift -= 4) {
        char digit[2] = {"0123456789abcdef"[crc >> shift & 15], 0};

        put(digit);
    }
}

static __thread uint32_t page_checksum;

static void checksum_page(void)
{
    page_checksum = update_crc(requested.address, page_size, 0);
}

static void put_page_checksum(uintptr_t address)
{
    requested.address = (volatile unsigned char *)address;
    put(" ");
    if (attempt(checksum_page))
        put_crc(page_checksum);
    else {
        const struct name *codes = caught_fault.signal == SIGBUS ? bus_codes : segv_codes;

        put_name(name_of(codes, caught_fault.code) ? codes : any_code, "", caught_fault.code);
    }
}

static void put_file_checksum(int fd)
{
    struct stat status;
    uint32_t crc = 0;
    off_t at = 0;
    ssize_t n = 1;

    put(" ");
    if (fstat(fd, &status) == -1) {
        put("-:-");
        return;
    }
    put_signed((int64_t)status.st_size);
    put(":");
    while (at < MAX_AUDITED_BYTES) {
        size_t wanted = MAX_DATA < MAX_AUDITED_BYTES - at ? MAX_DATA : (size_t)(MAX_AUDITED_BYTES - at);

        if ((n = pread(fd, bytes, wanted, at)) <= 0)
            break;
        crc = update_crc((unsigned char *)bytes, (size_t)n, crc);
        at += n;
    }
    if (n < 0)
        put("-");
    else
        put_crc(crc);
}

static char *next_word(char **rest);

static void do_audit(struct argument *a)
{
    char *rest = a[0].text, *word;
    uint64_t n, pages, audited = 0;

    answer("ok", "");
    while ((word = next_word(&rest))) {
        int is_file = !strcmp(word, "fd"), is_valid = is_file || (parse_number(word, &n) && n <= UINTPTR_MAX);

        word = next_word(&rest);
        if (!is_valid || !word || !parse_number(word, &pages) || (!is_file && pages > MAX_AUDITED_ITEMS) ||
            (audited += is_file ? 1 : pages) > MAX_AUDITED_ITEMS) {
            out_length = 0;
            answer("bad", "an argument cannot be understood, or there are too many pages and files");
            return;
        }
        if (is_file)
            put_file_checksum((int)pages);
        else
            for (; pages; pages--, n += page_size)
                put_page_checksum((uintptr_t)n);
    }
}

static void do_return_instruction(struct argument *a)
{
    (void)a;
#ifdef NO_RETURN_CODE
    answer("unsupported", "the agent has no return instruction for this machine");
#else
    answer("ok ", "");
    put_bytes((const char *)return_instruction, sizeof return_instruction);
#endif
}

static void do_execute(struct argument *a)
{
    requested.address = pointer(a[0]);
    requested.length = 16;
    attempt(flush_instruction_cache); /* if the code cannot even be read, the call reports the fault */
    if (attempt(call_code))
        answer("ok", "");
    else
        answer_fault();
}

static void do_add(struct argument *a)
{
    requested.address = pointer(a[0]);
    requested.times = a[1].n;
    requested.lock = pointer(a[2]);
    if (attempt(increment_word))
        answer("ok", "");
    else
        answer_fault();
}

/* /dev/fd is a link to /proc/self/fd that not every system makes at its start. */
static void do_open(struct argument *a)
{
    static const char descriptors[] = "/dev/fd/";
    char path[64];
    int flags = translate(open_bits, a[1].n), fd = open(a[0].text, flags, (mode_t)a[2].n);

    if (fd == -1 && errno == ENOENT && !strncmp(a[0].text, descriptors, sizeof descriptors - 1) &&
        access("/dev/fd", F_OK) == -1) {
        if (access("/proc/self/fd", F_OK) == -1) {
            answer("unsupported", "open: there is neither /dev/fd nor /proc/self/fd");
            return;
        }
        snprintf(path, sizeof path, "/proc/self/fd/%s", a[0].text + sizeof descriptors - 1);
        fd = open(path, flags, (mode_t)a[2].n);
    }
    answer_number(fd);
}

static void do_close(struct argument *a)
{
    answer_result(close(descriptor(a[0])));
}

static void do_dup(struct argument *a)
{
    answer_number(dup(descriptor(a[0])));
}

static void do_ftruncate(struct argument *a)
{
    answer_result(ftruncate(descriptor(a[0]), (off_t)a[1].n));
}

static void do_fallocate(struct argument *a)
{
    answer_result(fallocate(descriptor(a[0]), (int)a[1].n, (off_t)a[2].n, (off_t)a[3].n));
}

static void do_lseek(struct argument *a)
{
    answer_number(lseek(descriptor(a[0]), (off_t)a[1].n, (int)a[2].n));
}

static void do_pread(struct argument *a)
{
    ssize_t n;

    if (a[1].n > MAX_DATA) {
        answer("bad", "too many bytes for a line");
        return;
    }
    n = pread(descriptor(a[0]), bytes, (size_t)a[1].n, (off_t)a[2].n);
    if (n == -1)
        answer_errno();
    else {
        answer("ok ", "");
        put_parts(bytes, (size_t)n);
    }
}

static void do_pwrite(struct argument *a)
{
    answer_number(pwrite(descriptor(a[0]), a[1].text, a[1].length, (off_t)a[2].n));
}

/* The buffer is memory of the case, not of the agent: the kernel checks it and reports its errors. */
static void do_read_into(struct argument *a)
{
    answer_number(pread(descriptor(a[0]), pointer(a[1]), (size_t)a[2].n, (off_t)a[3].n));
}

static void do_write_from(struct argument *a)
{
    answer_number(pwrite(descriptor(a[0]), pointer(a[1]), (size_t)a[2].n, (off_t)a[3].n));
}

static void do_preadv(struct argument *a)
{
    struct iovec buffers[] = {{pointer(a[1]), (size_t)a[2].n}, {pointer(a[3]), (size_t)a[4].n}};

    answer_number(preadv(descriptor(a[0]), buffers, 2, (off_t)a[5].n));
}

static void do_pwritev(struct argument *a)
{
    struct iovec buffers[] = {{pointer(a[1]), (size_t)a[2].n}, {pointer(a[3]), (size_t)a[4].n}};

    answer_number(pwritev(descriptor(a[0]), buffers, 2, (off_t)a[5].n));
}

/* The path is memory of the case, as the buffers are: at any address, also 0, which open of a libc need not take. */
static void do_open_path_at(struct argument *a)
{
    int flags = translate(open_bits, a[1].n) | O_LARGEFILE;

    answer_number((int)syscall(SYS_openat, AT_FDCWD, pointer(a[0]), flags, 0));
}

/* STATX_BASIC_STATS. */
#define BASIC_STATS 0x7ff

/* Without a libc's wrapper, which may store the structure itself. */
static void do_fstat_into(struct argument *a)
{
    answer_result((int)syscall(SYS_statx, descriptor(a[0]), "", AT_EMPTY_PATH, BASIC_STATS, pointer(a[1])));
}

static void do_copy_file_range(struct argument *a)
{
    loff_t from = (loff_t)a[1].n, to = (loff_t)a[3].n;

    answer_number(copy_file_range(descriptor(a[0]), &from, descriptor(a[2]), &to, (size_t)a[4].n, 0));
}

static void do_fstat(struct argument *a)
{
    struct stat status;

    if (fstat(descriptor(a[0]), &status) == -1) {
        answer_errno();
        return;
    }
    answer("ok", S_ISREG(status.st_mode)    ? "regular "
                 : S_ISDIR(status.st_mode)  ? "directory "
                 : S_ISCHR(status.st_mode)  ? "character "
                 : S_ISBLK(status.st_mode)  ? "block "
                 : S_ISFIFO(status.st_mode) ? "fifo "
                 : S_ISSOCK(status.st_mode) ? "socket "
                                            : "other ");
    put_signed(status.st_size);
}

/* 2001-09-09, in seconds since the epoch: no file is last modified then unless the agent sets that time. */
#define LONG_PAST 1000000000

static void do_set_old_mtime(struct argument *a)
{
    const struct timespec times[] = {{.tv_sec = LONG_PAST}, {.tv_sec = LONG_PAST}};

    answer_result(futimens(descriptor(a[0]), times));
}

static void do_has_old_mtime(struct argument *a)
{
    struct stat status;
    int got = fstat(descriptor(a[0]), &status);

    answer_number(got == -1 ? -1 : status.st_mtim.tv_sec == LONG_PAST);
}

static void do_fsync(struct argument *a)
{
    answer_result(fsync(descriptor(a[0])));
}

static void do_drop_cache(struct argument *a)
{
    int fd = descriptor(a[0]), error = 0;

    if (fsync(fd) == 0 && (error = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED)) == 0)
        answer("ok", "");
    else {
        if (error)
            errno = error;
        answer_errno();
    }
}

static void do_unlink(struct argument *a)
{
    answer_result(unlink(a[0].text));
}

static void do_rename(struct argument *a)
{
    answer_result(rename(a[0].text, a[1].text));
}

static void do_link(struct argument *a)
{
    answer_result(link(a[0].text, a[1].text));
}

static void do_mkdir(struct argument *a)
{
    answer_result(mkdir(a[0].text, 0700));
}

static void answer_descriptors(int result, const int *fds)
{
    answer_result(result);
    if (result == -1)
        return;
    put(" ");
    put_signed(fds[0]);
    put(" ");
    put_signed(fds[1]);
}

static void do_pipe(struct argument *a)
{
    int fds[2];

    (void)a;
    answer_descriptors(pipe(fds), fds);
}

static void do_socketpair(struct argument *a)
{
    int fds[2];

    (void)a;
    answer_descriptors(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), fds);
}

static void do_memfd(struct argument *a)
{
    (void)a;
    answer_number(syscall(SYS_memfd_create, "case", 2 /* MFD_ALLOW_SEALING */));
}

static void do_seal(struct argument *a)
{
    answer_result(fcntl(descriptor(a[0]), 1033 /* F_ADD_SEALS */, (int)a[1].n));
}

/* The ioctls of file attributes (chattr); to change one, read all of them first. */
#define GET_ATTRIBUTES _IOR('f', 1, long)
#define SET_ATTRIBUTES _IOW('f', 2, long)
#define APPEND_ONLY 0x20

static int set_append_only(int fd, int on)
{
    int attributes = 0;

    if (ioctl(fd, GET_ATTRIBUTES, &attributes) == -1)
        return -1;
    attributes = on ? attributes | APPEND_ONLY : attributes & ~APPEND_ONLY;
    return ioctl(fd, SET_ATTRIBUTES, &attributes);
}

static void do_append_only(struct argument *a)
{
    answer_result(set_append_only(descriptor(a[0]), a[1].n != 0));
}

static void do_flock(struct argument *a)
{
    answer_result(flock(descriptor(a[0]), (int)a[1].n));
}

static void do_record_lock(struct argument *a)
{
    struct flock lock;
    int result;

    memset(&lock, 0, sizeof lock);
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    result = fcntl(descriptor(a[0]), a[1].n ? F_OFD_SETLK : F_SETLK, &lock);
    if (result == -1 && errno == EACCES)
        errno = EAGAIN;
    answer_result(result);
}

static void do_watch(struct argument *a)
{
    int fd = inotify_init1(IN_NONBLOCK);

    if (fd != -1 && inotify_add_watch(fd, a[0].text, IN_CLOSE_WRITE | IN_CLOSE_NOWRITE) == -1) {
        int error = errno;

        close(fd);
        errno = error;
        fd = -1;
    }
    answer_number(fd);
}

static void do_close_events(struct argument *a)
{
    int64_t closes = 0;
    ssize_t n;

    while ((n = read(descriptor(a[0]), bytes, MAX_DATA)) > 0)
        for (ssize_t at = 0; at < n;) {
            struct inotify_event event;

            memcpy(&event, bytes + at, sizeof event);
            closes += (event.mask & (IN_CLOSE_WRITE | IN_CLOSE_NOWRITE)) != 0;
            at += (ssize_t)(sizeof event + event.len);
        }
    answer_number(n == -1 && errno != EAGAIN ? -1 : closes);
}

static void do_free_space(struct argument *a)
{
    struct statvfs status;

    if (statvfs(a[0].text, &status) == -1)
        answer_errno();
    else {
        answer("ok ", "");
        put_unsigned((uint64_t)status.f_bfree * status.f_frsize);
    }
}

/* ------------------------------------------------------------------------------------ a process's account of itself */

static ssize_t read_file(const char *path, char *to, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = -1;

    if (fd == -1)
        return -1;
    n = read(fd, to, size - 1);
    close(fd);
    to[n > 0 ? n : 0] = 0;
    return n;
}

static uint64_t number_after(const char *text, const char *label)
{
    const char *at = strstr(text, label);
    uint64_t value = 0;

    if (!at)
        return 0;
    for (at += strlen(label); *at == ' ' || *at == '\t'; at++)
        ;
    for (; *at >= '0' && *at <= '9'; at++)
        value = value * 10 + (uint64_t)(*at - '0');
    return value;
}

static void do_errno_cleared(struct argument *a)
{
    (void)a;
    answer_number(errno_after == 0);
}

static void do_counters(struct argument *a)
{
    struct rusage usage;

    (void)a;
    if (read_file("/proc/self/io", bytes, MAX_DATA) == -1 || getrusage(RUSAGE_SELF, &usage) == -1) {
        answer("unsupported", "the counts of /proc/self/io cannot be read");
        return;
    }
    answer("ok ", "");
    put_unsigned(number_after(bytes, "syscr:") - own_reads);
    put(" ");
    put_unsigned(number_after(bytes, "syscw:") - own_writes);
    put(" ");
    put_signed((int64_t)usage.ru_minflt + usage.ru_majflt);
}

static void do_maps(struct argument *a)
{
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd == -1) {
        answer("unsupported", "/proc/self/maps cannot be read");
        return;
    }
    n = pread(fd, bytes, MAX_LINE / 8, (off_t)a[0].n); /* each byte may be written as three characters */
    close(fd);
    if (n == -1)
        answer_errno();
    else {
        answer("ok ", "");
        put_word(bytes, (size_t)n);
    }
}

static void do_scratch_range(struct argument *a)
{
    (void)a;
    if (!scratch_length) {
        answer("unsupported", "no range of addresses was found free for the scratch range");
        return;
    }
    answer("ok ", "");
    put_hexadecimal(scratch_start);
    put(" ");
    put_unsigned(scratch_length);
}

/* A limit, and where a process reads how much of it is in use: the number after `label` in `file`, in KiB, or in pages
 * where the label is empty. */
static const struct limit {
    const char *name;
    int resource;
    const char *file, *label;
} limits[] = {
    {"address-space", RLIMIT_AS, "/proc/self/statm", ""},
    {"locked-memory", RLIMIT_MEMLOCK, "/proc/self/status", "VmLck:"},
    {"data", RLIMIT_DATA, "/proc/self/status", "VmData:"},
    {"stack", RLIMIT_STACK, 0, 0}, /* counts as unused: the agent's stack is already as deep as it ever gets */
    {0, 0, 0, 0},
};

static void do_set_limit_headroom(struct argument *a)
{
    const struct limit *limit = limits;
    struct rlimit values;
    uint64_t used = 0;

    while (limit->name && strcmp(limit->name, a[0].text))
        limit++;
    if (!limit->name) {
        answer("unsupported", "this agent does not limit that");
        return;
    }
    if (limit->file) {
        if (read_file(limit->file, bytes, MAX_DATA) == -1) {
            answer("unsupported", "what is in use of the limit cannot be read: ");
            put(limit->file);
            return;
        }
        used = number_after(bytes, limit->label) * (*limit->label ? 1024 : page_size);
    }
    if (getrlimit(limit->resource, &values) == -1) {
        answer_errno();
        return;
    }
    values.rlim_cur = (rlim_t)(used + a[1].n);
    if (values.rlim_max != RLIM_INFINITY && values.rlim_max < values.rlim_cur)
        values.rlim_max = values.rlim_cur;
    answer_result(setrlimit(limit->resource, &values));
}

static void do_drop_capability(struct argument *a)
{
    const struct name *capability = capabilities;
    struct {
        uint32_t version;
        int pid;
    } header = {0x20080522, 0};
    struct {
        uint32_t effective, permitted, inheritable;
    } sets[2];

    while (capability->name && strcmp(capability->name, a[0].text))
        capability++;
    if (!capability->name) {
        answer("unsupported", "this agent does not know the capability");
        return;
    }
    if (syscall(SYS_capget, &header, sets) == -1) {
        answer_errno();
        return;
    }
    /* Also from the bounding set, as far as that is permitted: otherwise root regains the capability by exec. */
    prctl(PR_CAPBSET_DROP, capability->number, 0, 0, 0);
    prctl(47 /* PR_CAP_AMBIENT */, 3 /* LOWER */, capability->number, 0, 0);
    sets[capability->number / 32].effective &= ~(1u << capability->number % 32);
    sets[capability->number / 32].permitted &= ~(1u << capability->number % 32);
    sets[capability->number / 32].inheritable &= ~(1u << capability->number % 32);
    answer_result(syscall(SYS_capset, &header, sets));
}

/* ----------------------------------------------------------------------------------------------- lines over sockets */

/* Send a line, and with it a descriptor unless passed_fd is -1.  Return 0, or -1 on an error.  Sockets are used rather
 * than pipes also because the kernel's counters of reads and writes, which a case examines, do not include sendmsg and
 * recvmsg. */
static int send_line(int channel, char *line, size_t length, int passed_fd)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {line, length};
    struct msghdr message;

    memset(&message, 0, sizeof message);
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (passed_fd >= 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = sizeof control.space;
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &passed_fd, sizeof passed_fd);
    }
    while (part.iov_len) {
        ssize_t n = sendmsg(channel, &message, MSG_NOSIGNAL);

        if (n == -1 && errno == EINTR)
            continue;
        if (n == -1)
            return -1;
        part.iov_base = (char *)part.iov_base + n;
        part.iov_len -= (size_t)n;
        message.msg_control = 0;
        message.msg_controllen = 0;
    }
    return 0;
}

/* Receive one line, remove its newline, and store a descriptor sent with it in *passed_fd if passed_fd is not null.
 * The sender waits for an answer after each line, so nothing follows the line.  Return its length, or -1 at the end of
 * the stream. */
static ssize_t receive_line(int channel, char *line, size_t size, int *passed_fd)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    size_t length = 0;

    while (length < size) {
        struct iovec part = {line + length, size - length};
        struct msghdr message;
        ssize_t n;

        memset(&message, 0, sizeof message);
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = passed_fd ? &control : 0;
        message.msg_controllen = passed_fd ? sizeof control.space : 0;
        n = recvmsg(channel, &message, MSG_CMSG_CLOEXEC);
        if (n == -1 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        if (passed_fd && CMSG_FIRSTHDR(&message) && control.header.cmsg_type == SCM_RIGHTS)
            memcpy(passed_fd, CMSG_DATA(&control.header), sizeof *passed_fd);
        length += (size_t)n;
        if (line[length - 1] == '\n') {
            line[length - 1] = 0;
            return (ssize_t)length - 1;
        }
    }
    return -1;
}

/* ------------------------------------------------------------------------------------------- what runs this program
 *
 * An emulator of user-mode programs (valgrind, user-mode qemu, a dynamic linker that is called by name) is a program
 * whose process this is: the kernel's command line of this process is `FRONT… PROGRAM ARGUMENTS…`.  The emulator may
 * report another one as /proc/self/cmdline, and another program as /proc/self/exe, but does not do so for thread-self.
 * To execute this program in the same emulator is to execute the front again. */

#define MAX_FRONT 240

static char front_text[8192]; /* the command line: words, each with a null byte */
static size_t front_length; /* bytes of front_text that are the front */
static char *front[MAX_FRONT]; /* its words, without those of a binfmt_misc that the kernel puts there itself */
static int front_count;
static char running_program[PATH_MAX]; /* the program that the kernel executes in this process, or "" */
static char start_directory[PATH_MAX]; /* to which relative paths in the front refer */

/* Store the path of a program that is named as in a command line; return 0, or -1 if there is none. */
static int find_program(const char *name, char *path)
{
    const char *directory = getenv("PATH");

    if (strchr(name, '/'))
        return access(name, X_OK) == 0 && realpath(name, path) ? 0 : -1;
    while (directory && *directory) {
        size_t length = strcspn(directory, ":");
        char candidate[PATH_MAX];

        if (snprintf(candidate, sizeof candidate, "%.*s/%s", (int)length, directory, name) < (int)sizeof candidate &&
            access(candidate, X_OK) == 0 && realpath(candidate, path))
            return 0;
        directory += length + (directory[length] == ':');
    }
    return -1;
}

static int is_this_program(const char *word)
{
    static char resolved[PATH_MAX];

    return realpath(word, resolved) && !strcmp(resolved, own_path);
}

/* Find the front: what precedes this program in the command line, of which its own arguments are the end. */
static void find_front(int count, char **arguments)
{
    static char *words[MAX_FRONT + 64];
    int n = 0, place;
    ssize_t length = read_file("/proc/thread-self/cmdline", front_text, sizeof front_text);
    ssize_t end = readlink("/proc/thread-self/exe", running_program, sizeof running_program - 1);

    running_program[end > 0 ? end : 0] = 0;
    for (char *word = front_text; word < front_text + (length > 0 ? length : 0) && n < MAX_FRONT + 64;
         word += strlen(word) + 1)
        words[n++] = word;
    place = n - count;
    for (int i = 1; i < count && place >= 0; i++)
        if (strcmp(words[place + i], arguments[i]))
            place = -1;
    if (place < 0)
        front_length = length > 0 ? (size_t)length : 0; /* not understood, and so not executed again */
    if (place <= 0)
        return;
    if (is_this_program(words[place - 1]))
        place--; /* binfmt_misc with the flag P adds a word; the kernel does so again, if this program is executed */
    else if (place <= MAX_FRONT) {
        memcpy(front, words, (size_t)place * sizeof *words);
        front_count = place;
        if (!getcwd(start_directory, sizeof start_directory))
            start_directory[0] = 0;
    }
    front_length = (size_t)(words[place] - front_text);
}

static void put_fact(const char *name, const char *value)
{
    put(" ");
    put(name);
    put("=");
    put_word(value, strlen(value));
}

/* Append what runs this program, as NAME=VALUE fields: in the greeting, and after exec. */
static void put_identity(void)
{
    char text[32];
    const char *platform = (const char *)getauxval(AT_PLATFORM);

    if (running_program[0]) {
        put(" front=");
        put_word(front_text, front_length);
        put_fact("program", running_program);
    }
    if (platform)
        put_fact("platform", platform);
    snprintf(text, sizeof text, "%lu", (unsigned long)page_size);
    put_fact("page", text);
}

/* ---------------------------------------------------------------------------------------------- fork, exec and exit */

static volatile sig_atomic_t terminating; /* the agent only removes what it made, and exits */

/* Write to the client; return the number of write calls made. */
static unsigned write_to_client(const char *text, size_t length)
{
    unsigned calls = 0;

    while (length) {
        ssize_t n = write(STREAM_OUT_FD, text, length);

        calls++;
        if (n == -1 && errno == EINTR && !terminating)
            continue;
        if (n <= 0) {
            terminating = 1;
            break;
        }
        text += n;
        length -= (size_t)n;
    }
    return calls;
}

static int worker_count; /* the threads of this process, besides its first */
static int passed_fd = -1; /* the descriptor received with the current line, or -1 */

static void do_exit(struct argument *a)
{
    _exit((int)a[0].n);
}

/* Answer that no process could be made, from errno. */
static void answer_no_process(void)
{
    struct rlimit limit;

    if (errno == EAGAIN && getrlimit(RLIMIT_NPROC, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        answer("unsupported", "the user's processes are limited (ulimit -u), and no other can be made");
    else
        answer_errno();
}

static void do_fork(struct argument *a)
{
    pid_t pid;

    (void)a;
    if (passed_fd == -1) {
        errno = EMFILE; /* no free descriptor: it could not be received */
        answer_errno();
        return;
    }
    pid = fork();
    if (pid == 0) {
        dup3(passed_fd, CHANNEL_FD, O_CLOEXEC);
        close(passed_fd);
        close(STREAM_IN_FD);
        close(STREAM_OUT_FD);
        own_reads = own_writes = 0;
        worker_count = 0; /* a child has one thread */
        out_length = 0;   /* the parent answers */
        return;
    }
    if (pid == -1)
        answer_no_process();
    else
        answer_number(pid);
    close(passed_fd);
}

/* Load in a child that is forked for it.  The child has one thread, writes the bytes or the fault to a pipe, and ends. */
static void do_load_in_child(struct argument *a)
{
    int ends[2], status;
    ssize_t length = 0, more;
    pid_t pid;

    if (a[1].n > MAX_ANSWER / 4) {
        answer("bad", "too many bytes for a line");
        return;
    }
    if (pipe(ends) == -1) {
        answer_errno();
        return;
    }
    pid = fork();
    if (pid == 0) {
        do_load(a);
        while (length < (ssize_t)out_length && (more = write(ends[1], out + length, out_length - (size_t)length)) > 0)
            length += more;
        _exit(0);
    }
    close(ends[1]);
    while (pid != -1 && (more = read(ends[0], out + length, MAX_ANSWER - (size_t)length)) > 0)
        length += more;
    close(ends[0]);
    if (pid == -1) {
        answer_no_process();
        return;
    }
    while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
        ;
    out_length = (size_t)length;
    if (!length)
        answer("died", "the child has ended");
}

static void restore_directory(void)
{
    if (fchdir(DIRECTORY_FD) == 0)
        close(DIRECTORY_FD);
}

/* Execute this program again in this process, by what runs it now; return only on failure, with errno. */
static void reexec(char **arguments)
{
    static char *words[MAX_FRONT + 8];
    static char program[PATH_MAX];
    struct stat named, real;
    int n = front_count, directory, error;

    memcpy(words, front, (size_t)n * sizeof *words);
    words[n++] = own_path;
    while ((words[n++] = *arguments++))
        ;
    if (!front_count) {
        execve(own_path, words, environ);
        return;
    }
    directory = open(".", O_RDONLY | O_DIRECTORY);
    if (directory != -1 && directory != DIRECTORY_FD) {
        dup2(directory, DIRECTORY_FD);
        close(directory);
    }
    if (directory == -1 || !start_directory[0] || chdir(start_directory) == -1)
        close(DIRECTORY_FD);
    /* What was named may have executed something else in turn, as valgrind does with its tool: name it again. */
    if (find_program(front[0], program) == 0 && stat(program, &named) == 0 &&
        (stat("/proc/thread-self/exe", &real) == -1 || named.st_dev != real.st_dev || named.st_ino != real.st_ino))
        execve(program, words, environ);
    else
        execve("/proc/thread-self/exe", words, environ);
    error = errno;
    restore_directory();
    errno = error;
}

static void do_exec(struct argument *a)
{
    static char role[] = "--process", reads[24], writes[24];
    char *arguments[] = {role, reads, writes, 0};
    int error;

    (void)a;
    snprintf(reads, sizeof reads, "%llu", (unsigned long long)own_reads);
    snprintf(writes, sizeof writes, "%llu", (unsigned long long)own_writes);
    for (int fd = CHANNEL_FD; fd < FACILITY_FDS + FACILITY_COUNT; fd++)
        fcntl(fd, F_SETFD, 0);
    reexec(arguments);
    error = errno;
    for (int fd = CHANNEL_FD; fd < FACILITY_FDS + FACILITY_COUNT; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    errno = error;
    answer_errno();
}

/* Verbs that the supervisor sends; they are not part of the protocol: */

static void do_wait(struct argument *a)
{
    int status = 0;
    pid_t pid;

    while ((pid = waitpid((pid_t)a[0].n, &status, 0)) == -1 && errno == EINTR)
        ;
    answer_number(pid == -1 ? -1 : status);
}

static void do_receive_descriptor(struct argument *a)
{
    if (passed_fd == -1)
        errno = EMFILE;
    answer_result(passed_fd == -1 ? -1 : dup3(passed_fd, (int)a[0].n, O_CLOEXEC));
    if (passed_fd != -1)
        close(passed_fd);
}

static void do_serve_stream(struct argument *a);
static void do_batch(struct argument *a);
static void do_thread(struct argument *a);
static void do_in(struct argument *a);
static void do_together(struct argument *a);

static const struct verb {
    const char *name, *form;
    void (*run)(struct argument *);
} verbs[] = {
    {"load", "an", do_load},
    {"store", "ax", do_store},
    {"mmap", "aannnn", do_mmap},
    {"munmap", "aa", do_munmap},
    {"mremap", "aaana", do_mremap},
    {"msync", "aan", do_msync},
    {"sysconf", "n", do_sysconf},
    {"mprotect", "aan", do_mprotect},
    {"fragment", "an", do_fragment},
    {"mlock", "aa", do_mlock},
    {"munlock", "aa", do_munlock},
    {"mlock2", "aan", do_mlock2},
    {"mseal", "aan", do_mseal},
    {"mlockall", "n", do_mlockall},
    {"munlockall", "", do_munlockall},
    {"madvise", "aan", do_madvise},
    {"mincore", "aa", do_mincore},
    {"audit", "*", do_audit},
    {"batch", "*", do_batch},
    {"return-instruction", "", do_return_instruction},
    {"execute", "a", do_execute},
    {"load-in-child", "an", do_load_in_child},
    {"add", "ana", do_add},
    {"open", "pnn", do_open},
    {"close", "n", do_close},
    {"dup", "n", do_dup},
    {"ftruncate", "nn", do_ftruncate},
    {"fallocate", "nnnn", do_fallocate},
    {"lseek", "nnn", do_lseek},
    {"pread", "nnn", do_pread},
    {"pwrite", "nxn", do_pwrite},
    {"read-into", "naan", do_read_into},
    {"write-from", "naan", do_write_from},
    {"preadv", "naaaan", do_preadv},
    {"pwritev", "naaaan", do_pwritev},
    {"open-path-at", "an", do_open_path_at},
    {"fstat-into", "na", do_fstat_into},
    {"copy-file-range", "nnnnn", do_copy_file_range},
    {"fstat", "n", do_fstat},
    {"fsync", "n", do_fsync},
    {"drop-cache", "n", do_drop_cache},
    {"set-old-mtime", "n", do_set_old_mtime},
    {"has-old-mtime", "n", do_has_old_mtime},
    {"unlink", "p", do_unlink},
    {"rename", "pp", do_rename},
    {"link", "pp", do_link},
    {"mkdir", "p", do_mkdir},
    {"pipe", "", do_pipe},
    {"socketpair", "", do_socketpair},
    {"memfd", "", do_memfd},
    {"seal", "nn", do_seal},
    {"set-append-only", "nn", do_append_only},
    {"flock", "nn", do_flock},
    {"record-lock", "nn", do_record_lock},
    {"watch", "p", do_watch},
    {"close-events", "n", do_close_events},
    {"free-space", "p", do_free_space},
    {"set-limit-headroom", "pn", do_set_limit_headroom},
    {"drop-capability", "p", do_drop_capability},
    {"scratch-range", "", do_scratch_range},
    {"counters", "", do_counters},
    {"errno-cleared", "", do_errno_cleared},
    {"maps", "n", do_maps},
    {"thread", "", do_thread},
    {"in", "n*", do_in},
    {"together", "nnn*", do_together},
    {"fork", "", do_fork},
    {"exec", "", do_exec},
    {"exit", "n", do_exit},
    {"wait", "n", do_wait},
    {"receive-descriptor", "n", do_receive_descriptor},
    {"serve-stream", "", do_serve_stream},
    {0, 0, 0},
};

/* Return the next field of a line, null-terminated, and advance *rest past it; 0 at the end of the line.  Two adjacent
 * spaces enclose an empty field. */
static char *next_word(char **rest)
{
    char *word = *rest, *end;

    if (!word)
        return 0;
    end = strchr(word, ' ');
    *rest = end ? end + 1 : 0;
    if (end)
        *end = 0;
    return word;
}

/* Parse a request into its verb and arguments; return the verb, or 0 with the answer that says what is wrong. */
static const struct verb *parse_request(char *line, struct argument *arguments)
{
    const struct verb *verb = verbs;
    char *word = next_word(&line);
    int n = 0;

    while (verb->name && (!word || strcmp(verb->name, word)))
        verb++;
    if (!verb->name) {
        answer("unsupported", "this agent does not know the verb");
        return 0;
    }
    for (const char *form = verb->form; *form; form++, n++) {
        struct argument *a = &arguments[n];
        int is_valid;

        if (*form == '*') {
            a->text = line;
            line = 0;
            continue;
        }
        if (!(word = next_word(&line)))
            break;
        a->text = word;
        if (*form == 'p')
            is_valid = parse_word(word, &a->length);
        else if (*form == 'x')
            is_valid = parse_bytes(&a->text, &a->length);
        else
            is_valid = parse_number(word, &a->n);
        if (!is_valid) {
            answer("bad", "an argument cannot be understood");
            return 0;
        }
        if (*form == 'a' && a->n > UINTPTR_MAX) {
            answer("unsupported", "the number is wider than an address of this system");
            return 0;
        }
    }
    if ((size_t)n != strlen(verb->form) || line) {
        answer("bad", "the verb has another number of arguments");
        return 0;
    }
    return verb;
}

/* Make a call for no pages, which no kernel refuses by ENOSYS or EPERM. */
static void call_for_no_pages(const char *verb)
{
    char *page = (char *)scratch_start;

    if (!strcmp(verb, "mremap"))
        (void)!mremap(page, 0, 0, 0, page);
    else if (!strcmp(verb, "msync"))
        msync(page, 0, MS_ASYNC);
    else if (!strcmp(verb, "madvise"))
        madvise(page, 0, MADV_NORMAL);
    else if (!strcmp(verb, "mincore"))
        mincore(page, 0, (void *)bytes);
    else if (!strcmp(verb, "mseal"))
        syscall(462, page, (size_t)0, (size_t)0);
    else if (!strcmp(verb, "munlock"))
        munlock(page, 0);
    else if (!strcmp(verb, "mlock"))
        mlock(page, 0);
#ifdef MLOCK_ONFAULT
    else if (!strcmp(verb, "mlock2"))
        mlock2(page, 0, MLOCK_ONFAULT);
#endif
}

/* Return true if a seccomp filter, such as a container's, refuses a call whatever its arguments: then it is not the
 * kernel that has refused it. */
static int is_filtered(const char *verb, int error)
{
    struct rlimit limit;

    /* glibc makes EINVAL of mlock2's ENOSYS. */
    if (error != ENOSYS && error != EPERM && (error != EINVAL || strcmp(verb, "mlock2")))
        return 0;
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != 2 /* SECCOMP_MODE_FILTER */)
        return 0;
    /* A kernel refuses to lock even no pages where a process may lock nothing. */
    if (error == EPERM && !strncmp(verb, "mlock", 5) && (getrlimit(RLIMIT_MEMLOCK, &limit) || !limit.rlim_cur))
        return 0;
    errno = 0;
    call_for_no_pages(verb);
    return errno == error;
}

static void make_call(const struct verb *verb, struct argument *arguments)
{
    if (verb->run == do_errno_cleared) {
        verb->run(arguments);
        return;
    }
    errno = NO_ERROR;
    verb->run(arguments);
    errno_after = errno;
    if (!strncmp(out, "error ", 6) && is_filtered(verb->name, errno_after))
        answer("unsupported", "a seccomp filter refuses this call, whatever its arguments");
}

static void execute_request(char *line)
{
    struct argument arguments[8];
    const struct verb *verb;

    decoded.at = bytes;
    decoded.left = MAX_DATA;
    verb = parse_request(line, arguments);
    if (verb)
        make_call(verb, arguments);
}

/* ---------------------------------------------------------------------------------------------------------- threads */

/* A process has up to MAX_WORKERS threads besides its first, which is the one that receives requests.  Everything that a
 * thread needs is here, in static memory: its stack (in which the libc also places the thread's own variables) and its
 * stack for signals. */
#define MAX_WORKERS 3
#define WORKER_STACK (176 * 1024)
static struct worker {
    sem_t begin, end;
    char *line;         /* the request to be executed, or 0: its calls in `script` */
    const char *answer; /* in the thread's own `out` */
    char out[MAX_ANSWER], bytes[MAX_DATA];
    size_t answer_length;
    int place; /* among the actors of `script` */
    unsigned char signal_stack[64 * 1024];
    unsigned char stack[WORKER_STACK] __attribute__((aligned(64)));
} workers[MAX_WORKERS];

/* The calls of a request `together` that this process makes, and what came of each in this round. */
#define MAX_CALLS 24
#define MAX_STAGES 16
#define MAX_OUTCOME 64
static struct scripted {
    const struct verb *verb;
    struct argument arguments[8];
    unsigned thread, stage;
    char outcome[MAX_OUTCOME];
} script[MAX_CALLS];
static unsigned script_calls, script_stages, script_rounds, script_actors;

/* Where the actors of a boot, which may be of several processes, wait for each other: memory that all of them share. */
static struct meeting {
    unsigned arrived, generation; /* of the actors; how often all of them have arrived */
    unsigned stop;                /* 1 if this round is the last */
    unsigned first_processor;     /* the one on which the first actor runs */
} *meeting;
static cpu_set_t processors; /* those that this program may use */
static int processor_count = 1;

#define MIN_ROUNDS 16           /* rounds that are made in any case */
#define MAX_NANOSECONDS 100000000 /* after which no other round begins */
#define SPINS 2000              /* turns of a waiting loop before it lets others run */

static void relax(void)
{
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#else
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
#endif
}

/* Wait until all actors have arrived.  A waiting actor stays on its processor and makes no system call at first, so that
 * the processor keeps its translations of addresses. */
static void meet(void)
{
    unsigned generation = __atomic_load_n(&meeting->generation, __ATOMIC_ACQUIRE);

    if (__atomic_add_fetch(&meeting->arrived, 1, __ATOMIC_ACQ_REL) == script_actors) {
        __atomic_store_n(&meeting->arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&meeting->generation, generation + 1, __ATOMIC_RELEASE);
        return;
    }
    for (unsigned turns = 0; __atomic_load_n(&meeting->generation, __ATOMIC_ACQUIRE) == generation; turns++) {
        if (turns < SPINS)
            relax();
        else
            sched_yield();
    }
}

/* Run on the processor of this place alone, or, with -1, on any. */
static void use_processor(int place)
{
    cpu_set_t chosen;
    int wanted;

    if (processor_count < 2)
        return;
    if (place < 0) {
        sched_setaffinity(0, sizeof processors, &processors);
        return;
    }
    wanted = (int)((meeting->first_processor + (unsigned)place) % (unsigned)processor_count);
    CPU_ZERO(&chosen);
    for (int processor = 0; processor < CPU_SETSIZE; processor++)
        if (CPU_ISSET(processor, &processors) && wanted-- == 0)
            CPU_SET(processor, &chosen);
    sched_setaffinity(0, sizeof chosen, &chosen);
}

/* Keep the answer of a call of the script: of a fault its signal and code, since its address follows from the call. */
static void keep_outcome(struct scripted *call)
{
    size_t length = out_length < MAX_OUTCOME ? out_length : MAX_OUTCOME;

    if (!strncmp(out, "fault ", 6))
        while (length && out[length - 1] != ' ')
            length--;
    while (length && out[length - 1] == ' ')
        length--;
    memset(call->outcome, 0, MAX_OUTCOME);
    memcpy(call->outcome, out, length);
}

/* Make the calls of a thread in one stage of a round; another round begins at another distance from the others. */
static void make_stage(unsigned thread, unsigned stage, unsigned round)
{
    for (volatile unsigned delay = (round * (thread * 2 + 1) * 37) % 193; thread ? delay : 0; delay--)
        ;
    for (unsigned i = 0; i < script_calls; i++)
        if (script[i].thread == thread && script[i].stage == stage) {
            out_length = 0;
            make_call(script[i].verb, script[i].arguments);
            keep_outcome(&script[i]);
        }
}

static void work_on_script(struct worker *worker, unsigned thread)
{
    use_processor(worker->place);
    for (unsigned round = 0;; round++) {
        for (unsigned stage = 0; stage < script_stages; stage++) {
            meet();
            make_stage(thread, stage, round);
        }
        meet();
        if (__atomic_load_n(&meeting->stop, __ATOMIC_ACQUIRE))
            break;
    }
    use_processor(-1);
}

static void *work(void *given)
{
    struct worker *worker = given;
    stack_t stack = {.ss_sp = worker->signal_stack, .ss_size = sizeof worker->signal_stack};
    volatile char deep[48 * 1024];

    for (size_t at = 0; at < sizeof deep; at += 1024)
        deep[at] = 0;
    out = worker->out;
    bytes = worker->bytes;
    memset(out, 0, sizeof worker->out);
    memset(bytes, 0, sizeof worker->bytes);
    sigaltstack(&stack, 0);
    sem_post(&worker->end);
    for (;;) {
        while (sem_wait(&worker->begin) == -1)
            ;
        if (worker->line) {
            execute_request(worker->line);
            worker->answer = out;
            worker->answer_length = out_length;
        } else
            work_on_script(worker, (unsigned)(worker - workers) + 1);
        sem_post(&worker->end);
    }
    return 0;
}

static void await_worker(struct worker *worker)
{
    while (sem_wait(&worker->end) == -1)
        ;
}

static void do_thread(struct argument *a)
{
    struct worker *worker = &workers[worker_count];
    pthread_attr_t attributes;
    pthread_t thread;
    int error = EAGAIN;

    (void)a;
    if (worker_count == MAX_WORKERS) {
        answer("unsupported", "the agent has no more threads for a process");
        return;
    }
    memset(worker->signal_stack, 0, sizeof worker->signal_stack);
    memset(worker->stack, 0, sizeof worker->stack);
    sem_init(&worker->begin, 0, 0);
    sem_init(&worker->end, 0, 0);
    if (pthread_attr_init(&attributes) == 0 &&
        pthread_attr_setstack(&attributes, worker->stack, sizeof worker->stack) == 0)
        error = pthread_create(&thread, &attributes, work, worker);
    if (error) {
        errno = error;
        answer_no_process();
        return;
    }
    await_worker(worker);
    worker_count++;
    answer_number(worker_count);
}

/* Return 1 if a thread other than the first may execute the verb. */
static int is_for_threads(const char *line)
{
    static const char *const others[] = {"fork", "exec", "exit", "thread", "in", "together", "batch",
                                         "wait", "receive-descriptor", "serve-stream"};
    size_t length = strcspn(line, " ");

    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (length == strlen(others[i]) && !strncmp(line, others[i], length))
            return 0;
    return 1;
}

static void do_in(struct argument *a)
{
    struct worker *worker;

    if (a[0].n < 1 || a[0].n > (uint64_t)worker_count || !a[1].text) {
        answer("bad", "no such thread");
        return;
    }
    if (!is_for_threads(a[1].text)) {
        answer("unsupported", "fork, exec and exit are requests to the process's first thread");
        return;
    }
    worker = &workers[a[0].n - 1];
    worker->line = a[1].text;
    sem_post(&worker->begin);
    await_worker(worker);
    memcpy(out, worker->answer, worker->answer_length);
    out_length = worker->answer_length;
}

/* Parse the calls of a request: each is ; THREAD STAGE VERB ARGUMENT…  Return 0, or -1 with the answer. */
static int parse_script(char *rest)
{
    script_calls = script_stages = 0;
    decoded.at = script_data;
    decoded.left = sizeof script_data;
    while (rest && *rest) {
        struct scripted *call = &script[script_calls];
        char *end = strstr(rest, " ; "), *line = end ? end + 3 : 0;
        uint64_t thread, stage;
        char *first, *second;

        if (end)
            *end = 0;
        if (!strncmp(rest, "; ", 2))
            rest += 2;
        first = next_word(&rest);
        second = next_word(&rest);
        if (script_calls == MAX_CALLS || !second || !rest || !parse_number(first, &thread) ||
            !parse_number(second, &stage) || thread > (uint64_t)worker_count || stage >= MAX_STAGES) {
            answer("bad", "a call is ; THREAD STAGE VERB ARGUMENT...; there are too many calls or stages, or no such thread");
            return -1;
        }
        if (!is_for_threads(rest)) {
            answer("unsupported", "the verb cannot be executed together with others");
            return -1;
        }
        if (!(call->verb = parse_request(rest, call->arguments)))
            return -1;
        call->thread = (unsigned)thread;
        call->stage = (unsigned)stage;
        script_calls++;
        rest = line;
    }
    return 0;
}

/* The outcomes of the rounds: the different ones as they came, and the sequence in which they did, as COUNT times
 * NUMBER.  Return 0, or -1 if there are too many. */
#define MAX_DIFFERENT 64
static struct {
    char text[MAX_DIFFERENT][MAX_CALLS * 24];
    unsigned different, runs, run_outcome[2048], run_count[2048];
} tally;

static int count_outcome(void)
{
    static char text[sizeof *tally.text];
    size_t length = 0;
    unsigned number = 0;

    for (unsigned i = 0; i < script_calls; i++) {
        size_t more = strnlen(script[i].outcome, MAX_OUTCOME);

        if (length + more + 2 > sizeof text)
            return -1;
        memcpy(text + length, script[i].outcome, more);
        length += more;
        text[length++] = i + 1 < script_calls ? ';' : 0;
    }
    while (number < tally.different && strcmp(tally.text[number], text))
        number++;
    if (number == MAX_DIFFERENT)
        return -1;
    if (number == tally.different)
        strcpy(tally.text[tally.different++], text);
    if (tally.runs && tally.run_outcome[tally.runs - 1] == number) {
        tally.run_count[tally.runs - 1]++;
        return 0;
    }
    if (tally.runs == sizeof tally.run_count / sizeof *tally.run_count)
        return -1;
    tally.run_outcome[tally.runs] = number;
    tally.run_count[tally.runs++] = 1;
    return 0;
}

/* Append the outcomes: the sequence, and each of the different ones after " | ".  Return 0, or -1 if they are too many. */
static int put_tally(void)
{
    size_t needed = tally.runs * 10 + 16;

    for (unsigned i = 0; i < tally.different; i++)
        needed += strlen(tally.text[i]) + 3;
    if (needed > MAX_LINE)
        return -1;
    answer("ok ", "");
    for (unsigned i = 0; i < tally.runs; i++) {
        put(i ? "," : "");
        put_unsigned(tally.run_outcome[i]);
        put("*");
        put_unsigned(tally.run_count[i]);
    }
    for (unsigned i = 0; i < tally.different; i++) {
        put(" | ");
        put(tally.text[i]);
    }
    return 0;
}

static int64_t nanoseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Make the rounds as the process's first thread, which counts the outcomes of all its threads; that of the first actor
 * decides when it is enough.  Return 0, or -1 if there were too many different outcomes. */
static int make_rounds(unsigned place)
{
    int64_t deadline = nanoseconds() + MAX_NANOSECONDS;
    int failed = 0;

    for (unsigned round = 0;; round++) {
        for (unsigned stage = 0; stage < script_stages; stage++) {
            meet();
            make_stage(0, stage, round);
        }
        if (!place)
            __atomic_store_n(&meeting->stop,
                             round + 1 >= script_rounds || (round + 1 >= MIN_ROUNDS && nanoseconds() > deadline),
                             __ATOMIC_RELEASE);
        meet();
        failed = failed || count_outcome() == -1;
        if (__atomic_load_n(&meeting->stop, __ATOMIC_ACQUIRE))
            return failed ? -1 : 0;
    }
}

/* together ROUNDS ACTORS PLACE STAGES ; THREAD STAGE VERB ARGUMENT… ; …  ACTORS: those of all processes, among which the
 * first of this process has the place PLACE. */
static void do_together(struct argument *a)
{
    char *rest = a[3].text, *stages = next_word(&rest);
    unsigned place = (unsigned)a[2].n, used = 0;
    uint64_t count;
    int failed;

    if (!stages || !parse_number(stages, &count) || count < 1 || count > MAX_STAGES || !a[0].n) {
        answer("bad", "the number of stages cannot be understood");
        return;
    }
    if (parse_script(rest) == -1)
        return;
    script_stages = (unsigned)count;
    script_rounds = (unsigned)(a[0].n < 100000 ? a[0].n : 100000);
    script_actors = (unsigned)a[1].n;
    for (unsigned i = 0; i < script_calls; i++)
        if (script[i].thread)
            used |= 1u << script[i].thread;
    tally.different = tally.runs = 0;
    making_rounds = 1;
    use_processor((int)place);
    for (unsigned thread = 1, next = place + 1; thread <= MAX_WORKERS; thread++)
        if (used & 1u << thread) {
            workers[thread - 1].line = 0;
            workers[thread - 1].place = (int)next++;
            sem_post(&workers[thread - 1].begin);
        }
    failed = make_rounds(place);
    making_rounds = 0;
    for (unsigned thread = 1; thread <= MAX_WORKERS; thread++)
        if (used & 1u << thread)
            await_worker(&workers[thread - 1]);
    use_processor(-1);
    if (failed == -1 || put_tally() == -1)
        answer("bad", "there are too many different outcomes");
}

/* Find the processors, and make the memory in which actors wait for each other. */
static void prepare_threads(void)
{
    void *shared = mmap(0, page_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    static struct meeting own;

    meeting = shared == MAP_FAILED ? &own : shared;
    if (sched_getaffinity(0, sizeof processors, &processors) == 0)
        processor_count = CPU_COUNT(&processors);
    meeting->first_processor = (unsigned)getpid() % (unsigned)processor_count;
}

/* Execute several requests, separated by semicolons, and answer with their answers, likewise. */
static void do_batch(struct argument *a)
{
    static const char *const other_verbs[] = {"batch", "fork", "exec", "exit", "kill", "wait", "receive-descriptor",
                                              "serve-stream", "together"};
    static char answers[MAX_LINE];
    char *request = a[0].text, *rest;
    size_t length = 0;

    for (; request; request = rest) {
        rest = strchr(request, ';');
        if (rest)
            *rest++ = 0;
        for (size_t i = 0; i < sizeof other_verbs / sizeof *other_verbs; i++)
            if (strcspn(request, " ") == strlen(other_verbs[i]) &&
                !strncmp(request, other_verbs[i], strlen(other_verbs[i]))) {
                answer("bad", "a verb cannot be part of a batch");
                return;
            }
        out_length = 0;
        execute_request(request);
        if (length + out_length + 8 > sizeof answers) {
            answer("bad", "the answers do not fit into a line");
            return;
        }
        memcpy(answers + length, out, out_length);
        length += out_length;
        answers[length++] = ';';
    }
    answer("ok ", "");
    memcpy(out + out_length, answers, length - (length > 0));
    out_length += length - (length > 0);
}

/* Answer the client's stream in process 1 directly, which saves each call the detour through the supervisor.  Stop at a
 * line that is not for this process or that the supervisor must execute (fork, exit, kill, …), or at the end of the
 * stream; then return to the supervisor what has been read but not executed.  The supervisor keeps the stream for the
 * rest of the boot. */
static void do_serve_stream(struct argument *a)
{
    static const char *const supervisor_verbs[] = {
        "fork", "exit ", "exec", "kill", "wait ", "receive-descriptor ", "serve-stream"};
    uint32_t got = 0;

    (void)a;
    for (;;) {
        char *end = 0;
        int is_for_process;

        while (got < MAX_LINE && !(end = memchr(in, '\n', got))) {
            ssize_t n = read(STREAM_IN_FD, in + got, MAX_LINE - got);

            own_reads++;
            if (n == -1 && errno == EINTR)
                continue;
            if (n <= 0)
                break;
            got += (uint32_t)n;
        }
        is_for_process = end && end + 1 == in + got && in[0] == '1' && in[1] == ' ';
        for (size_t i = 0; is_for_process && i < sizeof supervisor_verbs / sizeof *supervisor_verbs; i++)
            is_for_process = strncmp(in + 2, supervisor_verbs[i], strlen(supervisor_verbs[i]));
        if (!is_for_process)
            break;
        *end = 0;
        if (end[-1] == '\r')
            end[-1] = 0;
        execute_request(in + 2);
        memmove(out + 2, out, out_length);
        memcpy(out, "1 ", 2);
        out[out_length + 2] = '\n';
        own_writes += write_to_client(out, out_length + 3);
        got = 0;
    }
    close(STREAM_IN_FD);
    close(STREAM_OUT_FD);
    out_length = 0;
    if (send_line(CHANNEL_FD, (char *)&got, sizeof got, -1) == -1 || send_line(CHANNEL_FD, in, got, -1) == -1)
        _exit(0);
}

static void __attribute__((noreturn)) serve(void)
{
    for (;;) {
        passed_fd = -1;
        if (receive_line(CHANNEL_FD, in, MAX_LINE, &passed_fd) == -1)
            _exit(0); /* the supervisor is gone */
        execute_request(in);
        if (!out_length)
            continue;
        out[out_length++] = '\n';
        if (send_line(CHANNEL_FD, out, out_length, -1) == -1)
            _exit(0);
    }
}

/* ------------------------------------------------------------------------------------------- the start of a program */

/* Return how many bytes of the stack the arguments and the environment take: they lie above this function's frame. */
static size_t stack_used(void)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0), top = here;
    const char *executed = (const char *)getauxval(AT_EXECFN); /* on Linux the last string of all */

    for (char **variable = environ; *variable; variable++)
        if ((uintptr_t)*variable > top)
            top = (uintptr_t)*variable + strlen(*variable);
    if ((uintptr_t)executed > top)
        top = (uintptr_t)executed + strlen(executed);
    return top - here;
}

/* Use the stack to the depth that this program needs, so that it never has to grow into an address where the case has
 * mapped something; three quarters of what is left of it, where it is small. */
static __attribute__((noinline)) void prefault_stack(void)
{
    struct rlimit limit;
    size_t depth = 64 * 1024;

    if (getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        size_t used = stack_used(), left = limit.rlim_cur > used ? (size_t)limit.rlim_cur - used : 0;

        if (left < LEAST_STACK) {
            fprintf(stderr,
                    "mmap_agent: %zu bytes of stack are needed beside the arguments and the environment, more than the "
                    "limit (ulimit -s) leaves\n",
                    (size_t)LEAST_STACK);
            exit(1);
        }
        if (left / 4 * 3 < depth)
            depth = left / 4 * 3;
    }
    {
        volatile char deep[depth + 1];

        for (size_t at = 0; at < depth; at += 1024)
            deep[depth - at] = 0; /* the stack grows down, page by page */
        (void)deep[0];
    }
}

static int is_free(uintptr_t start, size_t length)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned long from, to;
    int taken = 0;

    while (maps && fscanf(maps, "%lx-%lx%*[^\n]", &from, &to) == 2)
        taken |= from < start + length && to > start;
    if (maps)
        fclose(maps);
    return !taken;
}

/* Return 1 if a page can be mapped at `start`: the kernel honours a hint if the range is free.  (Only one page is
 * mapped, because some emulators keep a record of every page that was ever mapped.) */
static int can_map_page(uintptr_t start)
{
    void *at = mmap((void *)start, page_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (at == MAP_FAILED)
        return 0;
    munmap(at, page_size);
    return at == (void *)start;
}

/* Find a range that is free now, and so far from all mappings that it stays free; scratch_length stays 0 if none is. */
static void find_scratch_range(void)
{
#if UINTPTR_MAX > UINT32_MAX
    static const uintptr_t starts[] = {0x1000000000, 0x2000000000, 0x800000000};
    const size_t length = (size_t)32 << 30;
#else
    static const uintptr_t starts[] = {0x20000000, 0x30000000, 0x60000000};
    const size_t length = 128 << 20;
#endif
    for (size_t i = 0; i < sizeof starts / sizeof *starts && !scratch_length; i++)
        if (is_free(starts[i], length) && can_map_page(starts[i]) && can_map_page(starts[i] + length - page_size)) {
            scratch_start = starts[i];
            scratch_length = length;
        }
}

/* Find the path of this program; "" if it is not known.  AT_EXECFN is the path that was executed, also in an emulator;
 * /proc/self/exe may be a dynamic linker that was called by name. */
static void find_own_path(char *named)
{
    const char *executed = (const char *)getauxval(AT_EXECFN);
    ssize_t length;

    if (executed && realpath(executed, own_path))
        return;
    length = readlink("/proc/self/exe", own_path, sizeof own_path - 1);
    own_path[length > 0 ? length : 0] = 0;
    if (length <= 0 && (!named || !realpath(named, own_path)))
        own_path[0] = 0;
}

static void initialise(int count, char **arguments)
{
    struct rlimit no_core = {0, 0};

    page_size = (size_t)sysconf(_SC_PAGESIZE);
    find_own_path(arguments[0]);
    find_front(count, arguments);
    make_crc_tables();
    prefault_stack();
    prepare_threads();
    find_scratch_range();
    setrlimit(RLIMIT_CORE, &no_core);
    signal(SIGPIPE, SIG_IGN);
}

/* ------------------------------------------------------------------------------------------------------- supervisor */

/* The processes of this boot, by number; no number is used twice.  Number 0 is the supervisor itself. */
static struct process {
    pid_t pid;
    int channel; /* -1: the process has ended */
    int parent;
    int status; /* of an ended process, in the form of wait() */
    int reaped; /* 1 if it has been waited for */
    int child; /* the number of the process that it is forking */
    char pending; /* the request under way: 0 none, k kill, x exit, f fork, r any other */
} processes[MAX_PROCESSES];
static int process_count = 1;
static int stream_is_lent; /* 1 while process 1 reads the client's stream */
static int stream_was_lent; /* 1 if process 1 has read the stream in this boot, now or earlier */
static char stream[MAX_LINE + 1]; /* what has been read from the client and not yet executed */
static size_t stream_length;

/* The first process of the next boot, and its directory; made while the client is busy. */
static struct {
    pid_t pid;
    int channel;
    char directory[sizeof boot_directory];
} spare;

static void on_termination_signal(int signal_number)
{
    (void)signal_number;
    terminating = 1;
}

static char replies[2 * MAX_LINE]; /* the answers to lines that were read together are written together */
static size_t replies_length;

static void write_replies(void)
{
    write_to_client(replies, replies_length);
    replies_length = 0;
}

/* Queue the contents of `out` as the answer of a process. */
static void send_reply(int number)
{
    if (replies_length + out_length + 16 > sizeof replies)
        write_replies();
    replies_length += (size_t)snprintf(replies + replies_length, 16, "%d ", number);
    memcpy(replies + replies_length, out, out_length);
    replies_length += out_length;
    replies[replies_length++] = '\n';
}

static void reply_status(int number, const char *kind)
{
    int status = processes[number].status;

    answer(kind, "");
    put(" ");
    if (WIFSIGNALED(status))
        put_name(signals, "signal-", WTERMSIG(status));
    else
        put_signed(WEXITSTATUS(status));
    send_reply(number);
}

static void handle_process_end(int number);

/* Make the parent of an ended process wait for it, so that all its resources have been released and its status is the
 * one that the parent obtained.  If the parent is executing a request, do this later; if it has ended, its children
 * are the supervisor's, which waits for them itself. */
static void reap(int number)
{
    struct process *dead = &processes[number];
    int parent = dead->parent;

    if (dead->reaped)
        return;
    if (parent && processes[parent].channel != -1) {
        char line[64];
        int n;

        if (processes[parent].pending)
            return;
        n = snprintf(line, sizeof line, "wait %ld\n", (long)dead->pid);
        if (send_line(processes[parent].channel, line, (size_t)n, -1) == 0 &&
            receive_line(processes[parent].channel, line, sizeof line, 0) != -1) {
            if (!strncmp(line, "ok ", 3))
                dead->status = atoi(line + 3);
            dead->reaped = 1;
        } else
            handle_process_end(parent); /* the parent has ended meanwhile */
    }
    if (!dead->reaped && (!parent || processes[parent].channel == -1)) {
        while (waitpid(dead->pid, &dead->status, 0) == -1 && errno == EINTR)
            ;
        dead->reaped = 1;
    }
    if (!dead->reaped)
        return;
    if (dead->pending == 'k') {
        answer("ok", "");
        send_reply(number);
    } else if (dead->pending == 'x' && WIFEXITED(dead->status))
        reply_status(number, "ok");
    else if (dead->pending)
        reply_status(number, "died");
    dead->pending = 0;
}

/* Record that a process has ended: its socket is at its end. */
static void handle_process_end(int number)
{
    struct process *dead = &processes[number];

    close(dead->channel);
    dead->channel = -1;
    if (!dead->pid)
        dead->reaped = 1; /* its parent ended before reporting the pid: the supervisor waits for it at the end */
    if (dead->pending == 'f')
        processes[dead->child].reaped = 1; /* the fork was never made */
    for (int i = 1; i < process_count; i++)
        if (i == number || (processes[i].channel == -1 && processes[i].parent == number))
            reap(i);
}

/* Add a process to the table; return its number and, in *other_end, the end of its socket, or -1 with errno. */
static int new_process(int parent, int *other_end)
{
    int ends[2];

    if (process_count == MAX_PROCESSES) {
        errno = EAGAIN;
        return -1;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == -1)
        return -1;
    memset(&processes[process_count], 0, sizeof *processes);
    processes[process_count].channel = fcntl(ends[0], F_DUPFD_CLOEXEC, OTHER_FDS);
    close(ends[0]);
    processes[process_count].parent = parent;
    *other_end = ends[1];
    return process_count++;
}

static void close_descriptors(unsigned first, unsigned last)
{
    if (syscall(436 /* close_range, the same on every machine */, first, last, 0) == -1)
        for (unsigned fd = first; fd <= last && fd < OTHER_FDS + MAX_PROCESSES; fd++)
            close((int)fd);
}

static dev_t emptied_device; /* the device of the directory that is being emptied */

/* Remove an entry of a directory that this agent made.  An entry on another device is not its own: under a program that
 * translates paths (proot) the path of an open directory may lead elsewhere, even to the root of the machine. */
static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)where;
    if (kind == FTW_NS || status->st_dev != emptied_device)
        return 1;
    if (remove(path) == -1 && (errno == EPERM || errno == EACCES) && kind != FTW_SL) {
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

        if (fd != -1) {
            set_append_only(fd, 0);
            close(fd);
        }
        remove(path);
    }
    return 0;
}

static void remove_directory(char *path)
{
    struct stat status;

    if (path[0] && rmdir(path) == -1 && errno != ENOENT && lstat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        emptied_device = status.st_dev;
        nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    }
    path[0] = 0;
}

/* Fork a process from the supervisor.  Of the agent's descriptors it keeps its socket and either the directories of
 * this boot's facilities or, as the first process of the next boot, the client's stream. */
static pid_t start_process(int other_end, const char *where)
{
    pid_t supervisor = getpid(), pid = fork();

    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != supervisor || chdir(where) == -1)
        _exit(1);
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    dup3(other_end, CHANNEL_FD, O_CLOEXEC);
    close_descriptors(3, CHANNEL_FD - 1);
    if (where == spare.directory)
        close_descriptors(FACILITY_FDS, STREAM_IN_FD - 1);
    else
        close_descriptors(STREAM_IN_FD, STREAM_OUT_FD);
    close_descriptors(SUPERVISOR_FDS, ~0u);
    serve();
}

static char reusable_directory[sizeof boot_directory]; /* an empty directory that no boot uses, or "" */

/* Remove every entry of a directory on a device; return 1 if it is empty then. */
static int empty_directory(const char *path, dev_t device)
{
    DIR *entries = opendir(path);
    struct dirent *entry;
    struct stat status;
    int emptied = 1;

    if (!entries)
        return 0;
    if (fstat(dirfd(entries), &status) == -1 || status.st_dev != device) {
        closedir(entries);
        return 0;
    }
    emptied_device = device;
    while ((entry = readdir(entries))) {
        char name[sizeof boot_directory + 256];

        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (lstat(name, &status) == -1 || status.st_dev != device || unlink(name) == -1)
            nftw(name, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
        emptied &= access(name, F_OK) == -1;
    }
    closedir(entries);
    return emptied;
}

#define OWNER "agent" /* a symbolic link in an agent's directory; its text identifies the agent's process */

/* Write what identifies a process: the machine's boot id, the pid namespace, and the pid.  Return 0, or -1 on an
 * error. */
static int identify_process(long pid, char *name, size_t size)
{
    char boot[64] = "", numbers[64] = "";
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd == -1)
        return -1;
    n = read(fd, boot, sizeof boot - 1);
    close(fd);
    if (n <= 0 || readlink("/proc/self/ns/pid", numbers, sizeof numbers - 1) <= 0)
        return -1;
    boot[strcspn(boot, "\n")] = 0;
    snprintf(name, size, "%s %s %ld", boot, numbers, pid);
    return 0;
}

/* Return 1 if there is no process with this pid, or only a zombie. */
static int is_dead(long pid)
{
    char path[64], status[1024], *end;
    ssize_t n;
    int fd;

    if (kill((pid_t)pid, 0) == -1 && errno == ESRCH)
        return 1;
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd == -1 ? 0 : read(fd, status, sizeof status - 1);
    close(fd);
    status[n > 0 ? n : 0] = 0;
    end = strrchr(status, ')'); /* the end of the program's name; the state follows */
    return end && (!strncmp(end, ") Z", 3) || !strncmp(end, ") X", 3));
}

/* Remove the directories of agents that were killed together with their clients, so that neither could remove them.
 * Keep a directory that belongs to another machine or container, or that has no OWNER link. */
static void remove_orphans(void)
{
    DIR *entries = opendir(base_directory);
    struct dirent *entry;

    while (entries && (entry = readdir(entries))) {
        char path[sizeof agent_directory + 256], owner[sizeof agent_directory + 264];
        char recorded[256] = "", current[256] = "", *number;
        struct stat status;
        long pid;

        if (strncmp(entry->d_name, "mmapconf-", 9))
            continue;
        snprintf(path, sizeof path, "%s/%s", base_directory, entry->d_name);
        snprintf(owner, sizeof owner, "%s/" OWNER, path);
        if (lstat(path, &status) == -1 || !S_ISDIR(status.st_mode) || status.st_uid != geteuid() ||
            readlink(owner, recorded, sizeof recorded - 1) <= 0 || !(number = strrchr(recorded, ' ')))
            continue;
        pid = strtol(number, 0, 10);
        if (pid > 0 && identify_process(pid, current, sizeof current) == 0 && !strcmp(recorded, current) &&
            is_dead(pid))
            remove_directory(path);
    }
    if (entries)
        closedir(entries);
}

/* Provide an empty directory for a boot: the emptied one of an earlier boot, or a new one.  Return 0, or -1 on an
 * error. */
static int make_directory(char *path, size_t size)
{
    static unsigned long number;
    char name[256];

    if (reusable_directory[0]) {
        strcpy(path, reusable_directory);
        reusable_directory[0] = 0;
        return 0;
    }
    if (!agent_directory[0]) {
        snprintf(agent_directory, sizeof agent_directory, "%s/mmapconf-%ld_XXXXXX", base_directory,
                 (long)getpid());
        remove_orphans();
        if (!mkdtemp(agent_directory)) {
            agent_directory[0] = 0;
            return -1;
        }
        snprintf(path, size, "%s/" OWNER, agent_directory);
        if (identify_process((long)getpid(), name, sizeof name) == 0 && symlink(name, path) == -1)
            path[0] = 0; /* a file system without symbolic links: remove_orphans will not remove this directory */
    }
    snprintf(path, size, "%s/%lu", agent_directory, ++number);
    if (mkdir(path, 0700) == 0)
        return 0;
    path[0] = 0;
    return -1;
}

static void end_spare(void)
{
    close(spare.channel);
    if (spare.pid > 0) {
        kill(spare.pid, SIGKILL);
        while (waitpid(spare.pid, 0, 0) == -1 && errno == EINTR)
            ;
    }
    spare.pid = 0;
    remove_directory(spare.directory);
}

static void make_spare(void)
{
    int ends[2];

    if (make_directory(spare.directory, sizeof spare.directory) == -1 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == -1)
        return;
    spare.channel = fcntl(ends[0], F_DUPFD_CLOEXEC, OTHER_FDS);
    close(ends[0]);
    spare.pid = start_process(ends[1], spare.directory);
    close(ends[1]);
    if (spare.pid == -1)
        end_spare();
}

static void spawn(void)
{
    int other_end, number;

    if (process_count == 1 && spare.pid) {
        memset(&processes[1], 0, sizeof *processes);
        processes[1].pid = spare.pid;
        processes[1].channel = spare.channel;
        spare.pid = 0;
        spare.directory[0] = 0;
        process_count = 2;
        answer("ok 1", "");
        send_reply(0);
        return;
    }
    number = new_process(0, &other_end);
    if (number == -1) {
        answer_errno();
        send_reply(0);
        return;
    }
    processes[number].pid = start_process(other_end, boot_directory);
    if (processes[number].pid == -1)
        answer_no_process();
    close(other_end);
    if (processes[number].pid == -1) {
        close(processes[number].channel);
        processes[number].channel = -1;
        processes[number].reaped = 1;
    } else {
        answer("ok ", "");
        put_signed(number);
    }
    send_reply(0);
}

/* Return whether a request is one that only the supervisor makes. */
static int is_internal(const char *line)
{
    static const char *const verbs_of_supervisor[] = {"wait", "receive-descriptor", "serve-stream"};

    for (size_t i = 0; i < sizeof verbs_of_supervisor / sizeof *verbs_of_supervisor; i++)
        if (strcspn(line, " ") == strlen(verbs_of_supervisor[i]) &&
            !strncmp(line, verbs_of_supervisor[i], strlen(verbs_of_supervisor[i])))
            return 1;
    return 0;
}

/* Forward a client's request to a process. */
static void forward_request(int number, char *line, size_t length)
{
    struct process *p = &processes[number];
    int other_end = -1;

    if (is_internal(line)) {
        answer("unsupported", "this agent does not know the verb");
        send_reply(number);
    } else if (number >= process_count) {
        answer("bad", "no such process");
        send_reply(number);
    } else if (p->channel == -1 && p->reaped)
        reply_status(number, "died");
    else if (p->pending) {
        if (strcmp(line, "kill")) {
            answer("bad", "the process is still at work");
            send_reply(number);
        } else {
            p->pending = 'k'; /* and the request under way is not answered */
            kill(p->pid, SIGKILL);
        }
    } else if (!strcmp(line, "kill")) {
        p->pending = 'k';
        if (p->channel == -1)
            reap(number);
        else
            kill(p->pid, SIGKILL);
    } else {
        p->pending = !strncmp(line, "exit ", 5) ? 'x' : 'r';
        if (!strcmp(line, "fork")) {
            p->child = new_process(number, &other_end);
            if (p->child == -1) {
                p->pending = 0;
                answer_errno();
                send_reply(number);
                return;
            }
            p->pending = 'f';
        }
        line[length] = '\n';
        send_line(p->channel, line, length + 1, other_end); /* a failure is detected as the end of the socket */
        if (other_end != -1)
            close(other_end);
    }
}

/* Receive from process 1 what it has read from the client and not executed.  Return 0, or -1 if it ended first. */
static int reclaim_stream(void)
{
    uint32_t got;

    if (recv(processes[1].channel, &got, sizeof got, MSG_WAITALL) != (ssize_t)sizeof got || got > MAX_LINE)
        return -1;
    if (got && recv(processes[1].channel, stream, got, MSG_WAITALL) != (ssize_t)got)
        return -1;
    stream_length = got;
    return 0;
}

/* Receive what a process sent: the client's stream, an answer, or the end of its socket. */
static void handle_process(int number)
{
    struct process *p = &processes[number];
    ssize_t length;

    if (stream_is_lent && number == 1) {
        stream_is_lent = 0;
        if (reclaim_stream() == -1) {
            p->pending = 'r'; /* a request may or may not have been under way: report the end in both cases */
            handle_process_end(number);
        }
        return;
    }
    length = receive_line(p->channel, out, MAX_LINE, 0);
    if (length == -1) {
        handle_process_end(number);
        return;
    }
    out_length = (size_t)length;
    if (p->pending == 'f') {
        struct process *child = &processes[p->child];
        uint64_t pid = 0;

        if (!strncmp(out, "ok ", 3) && parse_number(out + 3, &pid)) {
            child->pid = (pid_t)pid;
            answer("ok ", "");
            put_signed(p->child);
        } else {
            close(child->channel);
            child->channel = -1;
            child->reaped = 1;
        }
    }
    if (p->pending != 'k') { /* the answer of a process that is being killed is discarded */
        p->pending = 0;
        send_reply(number);
    }
    for (int i = 1; i < process_count; i++)
        if (processes[i].channel == -1 && processes[i].parent == number)
            reap(i);
}

static void kill_processes(void)
{
    for (int i = 1; i < process_count; i++)
        if (processes[i].channel != -1) {
            if (processes[i].pid)
                kill(processes[i].pid, SIGKILL);
            close(processes[i].channel);
            processes[i].channel = -1;
            processes[i].status = SIGKILL; /* in the form of wait() */
        }
}

/* Wait for processes that have been killed; return 1, or 0 if `how` is WNOHANG and one has not ended yet.  Parents
 * precede their children: once the parent has been waited for, its children are the supervisor's. */
static int wait_for_killed(struct process *dead, int number, int how)
{
    for (int i = 1; i < number; i++)
        if (!dead[i].reaped) {
            pid_t pid = -1;

            while (dead[i].pid && (pid = waitpid(dead[i].pid, 0, how)) == -1 && errno == EINTR)
                ;
            if (pid == 0)
                return 0;
            dead[i].reaped = 1;
        }
    return 1;
}

/* ---------------------------------------------------------------------------------------------------------- facilities
 *
 * A facility that needs a file system of its own gets a detached mount, which has no path.  The supervisor and every
 * process have a descriptor of the mount with the same number, so /proc/self/fd/NUMBER is a path that works for all of
 * them, whatever their privileges, and the kernel removes the mount with the last of them, however it ends. */

enum { NOEXEC_FD = FACILITY_FDS, OWN_FILE_SYSTEM_FD, CRASHING_FD };

#ifdef SYS_fsopen
#define FSOPEN SYS_fsopen
#define FSCONFIG SYS_fsconfig
#define FSMOUNT SYS_fsmount
#elif defined __mips__ || defined __alpha__
#define FSOPEN (-1) /* these machines number system calls differently */
#define FSCONFIG (-1)
#define FSMOUNT (-1)
#else
#define FSOPEN 430
#define FSCONFIG 431
#define FSMOUNT 432
#endif
enum { SET_STRING = 1, CREATE = 6, CREATE_EXCLUSIVELY = 8, MOUNT_NOEXEC = 8 };

static char unavailable_reason[256]; /* why the last facility requested is unavailable */
static char noexec_directory[PATH_MAX];

/* Set unavailable_reason from errno, and return -1. */
static int unavailable(const char *what)
{
    snprintf(unavailable_reason, sizeof unavailable_reason, "%s: %s", what, strerror(errno));
    return -1;
}

static int is_open(int fd)
{
    return fcntl(fd, F_GETFD) != -1;
}

/* Give a descriptor the number that every process expects; return the new number, or -1 if fd is -1. */
static int move_descriptor(int fd, int number)
{
    if (fd == -1 || fd == number)
        return fd;
    dup3(fd, number, O_CLOEXEC);
    close(fd);
    return number;
}

/* Make a detached mount of a new tmpfs or of a block device's file system; return a descriptor of its root, or -1. */
static int mount_detached(const char *type, const char *source, int noexec)
{
    int context = (int)syscall(FSOPEN, type, 1 /* close on exec */), mount = -1, made;

    if (context == -1)
        return unavailable("fsopen");
    syscall(FSCONFIG, context, SET_STRING, "source", source ? source : type, 0);
    if (!source) {
        syscall(FSCONFIG, context, SET_STRING, "mode", "1777", 0);
        syscall(FSCONFIG, context, SET_STRING, "size", "32m", 0);
    }
    /* Exclusively: if anything still refers to a crashed file system, a plain create would silently return that one. */
    made = (int)syscall(FSCONFIG, context, CREATE_EXCLUSIVELY, 0, 0, 0);
    if (made == -1 && (errno == EINVAL || errno == EOPNOTSUPP))
        made = (int)syscall(FSCONFIG, context, CREATE, 0, 0, 0);
    if (made == -1)
        unavailable("fsconfig");
    else if ((mount = (int)syscall(FSMOUNT, context, 1 /* close on exec */, noexec ? MOUNT_NOEXEC : 0)) == -1)
        unavailable("fsmount");
    close(context);
    return mount;
}

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC), done;

    if (fd == -1)
        return -1;
    done = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return done ? 0 : -1;
}

/* Mount a tmpfs as root of a new namespace, by fsmount or else by mount(2); return a descriptor of its root, or -1. */
static int mount_in_namespace(int noexec)
{
    char map[64];
    uid_t uid = geteuid();
    gid_t gid = getegid();
    int mount_fd;

    if (unshare(CLONE_NEWNS) == -1) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) == -1)
            return unavailable("a mount namespace, with or without a user namespace");
        snprintf(map, sizeof map, "0 %lu 1", (unsigned long)uid);
        if (write_file("/proc/self/uid_map", map) == -1)
            return unavailable("uid_map of a user namespace");
        write_file("/proc/self/setgroups", "deny");
        snprintf(map, sizeof map, "0 %lu 1", (unsigned long)gid);
        if (write_file("/proc/self/gid_map", map) == -1)
            return unavailable("gid_map of a user namespace");
    }
    if ((mount_fd = mount_detached("tmpfs", 0, noexec)) != -1)
        return mount_fd;
    if (mount(0, "/", 0, MS_REC | MS_PRIVATE, 0) == -1 ||
        mount("tmpfs", boot_directory, "tmpfs", noexec ? MS_NOEXEC : 0, "mode=1777,size=32m") == -1)
        return unavailable("mount of a tmpfs in a namespace of its own");
    return open(boot_directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static int new_tmpfs(int noexec)
{
    int ends[2], mount = mount_detached("tmpfs", 0, noexec);
    pid_t helper;

    if (mount != -1)
        return mount;
    /* Not permitted or not implemented: a helper process tries in a namespace of its own, and sends the mount back. */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == -1)
        return unavailable("socketpair");
    helper = fork();
    if (helper == 0) {
        close(ends[0]);
        mount = mount_in_namespace(noexec);
        strncat(unavailable_reason, "\n", sizeof unavailable_reason - strlen(unavailable_reason) - 1);
        send_line(ends[1], unavailable_reason, strlen(unavailable_reason), mount);
        _exit(0);
    }
    close(ends[1]);
    unavailable_reason[0] = 0;
    if (receive_line(ends[0], unavailable_reason, sizeof unavailable_reason, &mount) == -1)
        snprintf(unavailable_reason, sizeof unavailable_reason, "the helper process that mounts a tmpfs ended early");
    close(ends[0]);
    while (helper != -1 && waitpid(helper, 0, 0) == -1 && errno == EINTR)
        ;
    return mount;
}

/* Make a directory on a file system that is already mounted noexec; return a descriptor of it, or -1. */
static int make_directory_on_noexec_mount(void)
{
    /* Not cgroup: a new directory there is a cgroup. */
    static const char kinds[] = " tmpfs ext2 ext3 ext4 xfs btrfs f2fs ";
    FILE *mounts = setmntent("/proc/self/mounts", "r");
    struct mntent *mount;
    int fd = -1;

    while (mounts && fd == -1 && (mount = getmntent(mounts))) {
        char kind[32];

        snprintf(kind, sizeof kind, " %.20s ", mount->mnt_type);
        if (!strstr(kinds, kind) || !hasmntopt(mount, "noexec") || access(mount->mnt_dir, W_OK | X_OK) == -1)
            continue;
        snprintf(noexec_directory, sizeof noexec_directory, "%s/mmapconf-XXXXXX", mount->mnt_dir);
        if (!mkdtemp(noexec_directory))
            noexec_directory[0] = 0;
        else if ((fd = open(noexec_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
            remove_directory(noexec_directory);
    }
    if (mounts)
        endmntent(mounts);
    return fd;
}

/* ---------------------------------------------------------------------------------------- a file system that can crash
 *
 * ext4 on a loop device over a file in memory.  The shutdown ioctl, without a flush of the log, simulates a loss of
 * power: from then on nothing reaches the device.  Mounting the same image again simulates the next start.  The kernel
 * detaches the loop device with its last user, so nothing of it outlives the agent. */

#define IMAGE_SIZE (32 << 20)
#define LOOP_CONFIGURE 0x4c0a
#define LOOP_CTL_GET_FREE 0x4c82
#define FS_SHUTDOWN _IOR('X', 125, uint32_t)
#define NO_LOG_FLUSH 2

static void run_mkfs(int image)
{
    static const char *const programs[] = {"/sbin/mkfs.ext4", "/usr/sbin/mkfs.ext4", "/usr/bin/mkfs.ext4"};
    char path[32];

    snprintf(path, sizeof path, "/proc/self/fd/%d", image);
    fcntl(image, F_SETFD, 0);
    dup2(0, 2); /* /dev/null */
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
        execl(programs[i], "mkfs.ext4", "-F", "-q", "-b", "4096", "-N", "256", "-m", "0", "-J", "size=4", "-E",
              "lazy_itable_init=0,lazy_journal_init=1,nodiscard", path, (char *)0);
    _exit(127);
}

/* Make a formatted image: once per agent; each boot gets a copy.  Return 0, or -1 with unavailable_reason. */
static int format_image(void)
{
    int status = -1, image = (int)syscall(SYS_memfd_create, "pristine", 1 /* close on exec */);
    pid_t pid;

    if (image == -1 || ftruncate(image, IMAGE_SIZE) == -1)
        return unavailable("a file in memory");
    pid = fork();
    if (pid == 0)
        run_mkfs(image);
    while (pid != -1 && waitpid(pid, &status, 0) == -1 && errno == EINTR)
        ;
    if (status == 0) {
        move_descriptor(image, FORMATTED_IMAGE_FD);
        return 0;
    }
    close(image);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        snprintf(unavailable_reason, sizeof unavailable_reason, "mkfs.ext4 is not installed");
    else
        snprintf(unavailable_reason, sizeof unavailable_reason, "mkfs.ext4 failed with status %#x", (unsigned)status);
    return -1;
}

static int copy_formatted_image(void)
{
    int image = (int)syscall(SYS_memfd_create, "image", 1 /* close on exec */);
    off_t at = 0;

    if (image == -1 || ftruncate(image, IMAGE_SIZE) == -1)
        return unavailable("a file in memory");
    while ((at = lseek(FORMATTED_IMAGE_FD, at, SEEK_DATA)) != -1) {
        off_t end = lseek(FORMATTED_IMAGE_FD, at, SEEK_HOLE);

        while (at < end) {
            ssize_t n = pread(FORMATTED_IMAGE_FD, bytes, end - at < MAX_DATA ? (size_t)(end - at) : MAX_DATA, at);

            if (n <= 0 || pwrite(image, bytes, (size_t)n, at) != n)
                return unavailable("copying a file system's image");
            at += n;
        }
    }
    move_descriptor(image, BOOT_IMAGE_FD);
    return 0;
}

static int mount_image(void)
{
    struct {
        uint32_t fd, block_size;
        uint64_t unused_numbers[5];
        uint32_t more_numbers[3], flags;
        char name[64], unused_names[96];
        uint64_t reserved[10];
    } configuration;
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), loop = -1, mount = -1;
    char path[32];

    if (control == -1)
        return unavailable("/dev/loop-control");
    memset(&configuration, 0, sizeof configuration);
    configuration.fd = BOOT_IMAGE_FD;
    configuration.flags = 4; /* LO_FLAGS_AUTOCLEAR */
    strcpy(configuration.name, "mmapconf");
    for (int attempt = 0; attempt < 200; attempt++) { /* another process may take the free device first */
        int number = ioctl(control, LOOP_CTL_GET_FREE);

        if (number == -1) {
            unavailable("a free loop device");
            break;
        }
        snprintf(path, sizeof path, "/dev/loop%d", number);
        loop = open(path, O_RDWR | O_CLOEXEC);
        if (loop == -1) {
            unavailable(path);
            break;
        }
        if (ioctl(loop, LOOP_CONFIGURE, &configuration) == 0) {
            mount = mount_detached("ext4", path, 0);
            close(loop);
            break;
        }
        unavailable("LOOP_CONFIGURE");
        close(loop);
        if (errno != EBUSY)
            break;
        usleep(500);
    }
    close(control);
    return mount;
}

static int mount_crashing_file_system(void)
{
    if (geteuid() != 0) {
        snprintf(unavailable_reason, sizeof unavailable_reason, "a loop device and a mount of it need root");
        return -1;
    }
    if (!is_open(FORMATTED_IMAGE_FD) && format_image() == -1)
        return -1;
    return copy_formatted_image() == -1 ? -1 : mount_image();
}

static void crash(void)
{
    uint32_t how = NO_LOG_FLUSH;
    int mount_root;

    if (!is_open(CRASHING_FD)) {
        answer("unsupported", "no crashing file system has been requested");
        return;
    }
    kill_processes(); /* any process that still used it would keep the crashed file system in the kernel */
    wait_for_killed(processes, process_count, 0);
    mount_root = openat(CRASHING_FD, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (mount_root == -1 || ioctl(mount_root, FS_SHUTDOWN, &how) == -1) {
        answer_errno();
        close(mount_root);
        return;
    }
    close(mount_root);
    close(CRASHING_FD);
    if (move_descriptor(mount_image(), CRASHING_FD) == -1)
        answer("bad", unavailable_reason);
    else
        answer("ok", "");
}

/* --------------------------------------------------------------------------------------------- the system's file table
 *
 * The table is full while fs.file-max is below the number of open files.  Root is exempt, so the system's own programs
 * go on, but those of ordinary users fail.  The limit is therefore low for one second at most, which a guard ensures: a
 * process in its own session that ignores signals and restores the old value when the agent asks for it, when the agent
 * has ended, or after one second, whichever is first.  A lock on the file of the limit, of which there is one per
 * machine, keeps agents from mistaking each other's low value for the old one; it is released when the guard ends. */

static void __attribute__((noreturn)) guard_file_table(int supervisor)
{
    const char *file = "/proc/sys/fs/file-max";
    char before[32], low[32];
    struct pollfd stop_request = {supervisor, POLLIN, 0};
    ssize_t length;
    int limit, locked;

    setsid();
    for (int number = 1; number < 32; number++)
        signal(number, SIG_IGN);
    dup2(supervisor, CHANNEL_FD);
    stop_request.fd = CHANNEL_FD;
    close_descriptors(3, CHANNEL_FD - 1);
    close_descriptors(CHANNEL_FD + 1, ~0u);
    limit = open(file, O_RDWR | O_CLOEXEC);
    if (limit == -1) {
        send_line(CHANNEL_FD, (char[]){"refused\n"}, 8, -1);
        _exit(0);
    }
    while ((locked = flock(limit, LOCK_EX | LOCK_NB)) == -1 && poll(&stop_request, 1, 5) == 0)
        ;
    length = pread(limit, before, sizeof before, 0);
    if (locked == -1 || length <= 0)
        _exit(0);
    /* Half of the open files: the table is full, but AF_UNIX sockets, limited to twice the value, are available. */
    if (read_file("/proc/sys/fs/file-nr", low, sizeof low) > 0)
        snprintf(low, sizeof low, "%lu\n", (unsigned long)number_after(low, "") / 2 + 1);
    if (pwrite(limit, low, strlen(low), 0) == (ssize_t)strlen(low))
        send_line(CHANNEL_FD, (char[]){"full\n"}, 5, -1);
    else
        send_line(CHANNEL_FD, (char[]){"refused\n"}, 8, -1);
    locked = poll(&stop_request, 1, 1000);
    while (pwrite(limit, before, (size_t)length, 0) != length)
        usleep(1000);
    send_line(CHANNEL_FD, locked ? (char[]){"free\n"} : (char[]){"late\n"}, 5, -1);
    _exit(0);
}

static pid_t guard;

static void end_guard(void)
{
    close(GUARD_FD);
    while (guard && waitpid(guard, 0, 0) == -1 && errno == EINTR)
        ;
    guard = 0;
}

static void fill_file_table(void)
{
    char line[16];
    int ends[2];

    if (!disruptive) {
        answer("unsupported", "needs --mmap-disruptive: it fills the whole system's table for a moment");
        return;
    }
    if (geteuid() != 0) {
        answer("unsupported", "only root can fill the whole system's table of open files");
        return;
    }
    if (is_open(GUARD_FD) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == -1) {
        answer("bad", "the file table is full already");
        return;
    }
    guard = fork();
    if (guard == 0)
        guard_file_table(ends[1]);
    close(ends[1]);
    move_descriptor(ends[0], GUARD_FD);
    if (guard == -1)
        guard = 0;
    if (guard && receive_line(GUARD_FD, line, sizeof line, 0) != -1 && !strcmp(line, "full"))
        answer("ok", "");
    else {
        end_guard();
        answer("unsupported", "fs.file-max cannot be changed here");
    }
}

static void free_file_table(void)
{
    char line[16];

    if (!is_open(GUARD_FD)) {
        answer("bad", "the file table is not full");
        return;
    }
    send_line(GUARD_FD, (char[]){"free\n"}, 5, -1);
    if (receive_line(GUARD_FD, line, sizeof line, 0) == -1)
        answer("bad", "the guard of the file table ended early");
    else
        answer("ok", line); /* "free", or "late" if the guard had already restored the limit */
    end_guard();
}

/* Answer with the path of a device or a special file if it exists, has the expected type and is readable. */
static void answer_path(const char *path, mode_t kind)
{
    struct stat status;

    if (stat(path, &status) == 0 && (status.st_mode & S_IFMT) == kind && access(path, R_OK) == 0)
        answer("ok", path);
    else {
        answer("unsupported", path);
        put(" is unavailable on this system");
    }
}

#define SYSFS_MAGIC 0x62656572

/* Answer with the path of a file of sysfs, if /sys is one: a system may show another's files there, as ordinary files. */
static void answer_sys_file(void)
{
    struct statfs status;

    if (statfs("/sys", &status) == -1 || status.f_type != SYSFS_MAGIC)
        answer("unsupported", "/sys is no sysfs on this system");
    else if (access("/sys/kernel/uevent_seqnum", R_OK) == 0)
        answer_path("/sys/kernel/uevent_seqnum", S_IFREG);
    else
        answer_path("/sys/kernel/mm/transparent_hugepage/enabled", S_IFREG);
}

/* Send the directory of a facility to every live process; later processes inherit it.  Return 0, or -1. */
static int send_descriptor(int fd)
{
    char line[32];
    int n = snprintf(line, sizeof line, "receive-descriptor %d\n", fd);

    for (int i = 1; i < process_count; i++) {
        char response[64];

        if (processes[i].channel == -1)
            continue;
        if (processes[i].pending || send_line(processes[i].channel, line, (size_t)n, fd) == -1 ||
            receive_line(processes[i].channel, response, sizeof response, 0) == -1 || strncmp(response, "ok", 2)) {
            snprintf(unavailable_reason, sizeof unavailable_reason, "process %d did not accept the directory", i);
            return -1;
        }
    }
    return 0;
}

/* Return 1 if the path of an open directory leads to it.  It does not under a program that translates paths by their
 * text: the text of the link is "/" for a detached mount. */
static int path_leads_to(int fd)
{
    struct stat by_path, by_descriptor;
    char path[32];

    snprintf(path, sizeof path, "/proc/self/fd/%d/.", fd);
    return stat(path, &by_path) == 0 && fstat(fd, &by_descriptor) == 0 && by_path.st_dev == by_descriptor.st_dev &&
           by_path.st_ino == by_descriptor.st_ino;
}

static fsblkcnt_t initially_used_blocks[FACILITY_COUNT];

static int mount_facility(int fd)
{
    struct statvfs status;
    char path[32];

    if (move_descriptor(new_tmpfs(fd == NOEXEC_FD), fd) == -1)
        return -1;
    snprintf(path, sizeof path, "/proc/self/fd/%d/.", fd);
    initially_used_blocks[fd - FACILITY_FDS] = statvfs(path, &status) == 0 ? status.f_blocks - status.f_bfree : 0;
    return fd;
}

static void provide_facility(const char *name)
{
    int fd;

    if (!strcmp(name, "dev-zero"))
        answer_path("/dev/zero", S_IFCHR);
    else if (!strcmp(name, "dev-null"))
        answer_path("/dev/null", S_IFCHR);
    else if (!strcmp(name, "dev-random"))
        answer_path("/dev/random", S_IFCHR);
    else if (!strcmp(name, "proc-file"))
        answer_path("/proc/self/maps", S_IFREG);
    else if (!strcmp(name, "sys-file"))
        answer_sys_file();
    else if (!strcmp(name, "mandatory-lock")) {
        struct utsname system;
        int major = 0, minor = 0;

        uname(&system);
        sscanf(system.release, "%d.%d", &major, &minor);
        if (major > 5 || (major == 5 && minor >= 15)) {
            answer("unsupported", "Linux ended mandatory locks in 5.15; this is ");
            put(system.release);
        } else
            answer("unsupported", "this agent does not provide a mandatory lock");
    } else if ((fd = !strcmp(name, "noexec-directory")       ? NOEXEC_FD
                     : !strcmp(name, "own-file-system")      ? OWN_FILE_SYSTEM_FD
                     : !strcmp(name, "crashing-file-system") ? CRASHING_FD
                                                             : 0)) {
        int made = is_open(fd) ? fd : -1;

        if (access("/proc/self/fd", F_OK) == -1) {
            answer("unsupported", "the path of a detached mount is in /proc/self/fd, which does not exist");
            return;
        }
        if (made == -1) {
            if (fd == CRASHING_FD)
                made = move_descriptor(mount_crashing_file_system(), fd);
            else if (is_open(REUSABLE_FDS + fd - FACILITY_FDS))
                made = move_descriptor(REUSABLE_FDS + fd - FACILITY_FDS, fd);
            else
                made = mount_facility(fd);
            if (made == -1 && fd == NOEXEC_FD)
                made = move_descriptor(make_directory_on_noexec_mount(), fd);
            if (made != -1 && !path_leads_to(fd)) {
                close(fd);
                snprintf(unavailable_reason, sizeof unavailable_reason,
                         "the path of an open directory in /proc/self/fd leads elsewhere on this system");
                made = -1;
            }
            if (made != -1)
                made = send_descriptor(fd);
        }
        if (made == -1)
            answer("unsupported", unavailable_reason);
        else {
            answer("ok /proc/self/fd/", "");
            put_signed(fd);
        }
    } else
        answer("unsupported", "this agent does not know the facility");
}

static void answer_mapping_limit(void)
{
    char text[32];
    uint64_t limit;

    if (read_file("/proc/sys/vm/max_map_count", text, sizeof text) <= 0) {
        answer("unsupported", "vm.max_map_count cannot be read");
        return;
    }
    limit = number_after(text, "");
    if (limit > 262144) {
        answer("unsupported", "vm.max_map_count is ");
        put_unsigned(limit);
        put(", too many to reach");
        return;
    }
    answer("ok ", "");
    put_unsigned(limit);
}

/* Keep a tmpfs for a later boot if it is as empty as a new one: unmounting it is the slowest part of ending a boot. */
static void keep_for_reuse(int fd)
{
    struct statvfs status;
    struct stat directory;
    char path[32];

    snprintf(path, sizeof path, "/proc/self/fd/%d/.", fd);
    if (fstat(fd, &directory) == 0 && empty_directory(path, directory.st_dev) && statvfs(path, &status) == 0 &&
        status.f_blocks - status.f_bfree == initially_used_blocks[fd - FACILITY_FDS])
        dup3(fd, REUSABLE_FDS + fd - FACILITY_FDS, O_CLOEXEC);
}

/* What the previous boot left: the next boot does not wait for its removal.  (Some processes need milliseconds to end,
 * for instance one that watched a file.) */
static struct {
    struct process processes[MAX_PROCESSES];
    int process_count; /* 0: nothing is left */
    int has_facilities; /* 1 if directories of facilities are left */
    char directory[sizeof boot_directory];
} previous_boot;

static void clean_up_previous_boot(int how)
{
    struct stat status;

    if (!previous_boot.process_count || !wait_for_killed(previous_boot.processes, previous_boot.process_count, how))
        return;
    previous_boot.process_count = 0;
    if (previous_boot.has_facilities) { /* otherwise any such directories belong to the current boot */
        for (int fd = FACILITY_FDS; fd < FACILITY_FDS + FACILITY_COUNT; fd++) {
            if (fd != CRASHING_FD && is_open(fd) && !(fd == NOEXEC_FD && noexec_directory[0]))
                keep_for_reuse(fd);
            close(fd);
        }
        close(BOOT_IMAGE_FD);
        remove_directory(noexec_directory);
        previous_boot.has_facilities = 0;
    }
    if (previous_boot.directory[0] && !reusable_directory[0] && lstat(previous_boot.directory, &status) == 0 &&
        S_ISDIR(status.st_mode) && empty_directory(previous_boot.directory, status.st_dev))
        strcpy(reusable_directory, previous_boot.directory);
    else
        remove_directory(previous_boot.directory);
}

static void end_system(void)
{
    clean_up_previous_boot(0);
    end_guard(); /* the guard restores the limit */
    kill_processes();
    memcpy(previous_boot.processes, processes, (size_t)process_count * sizeof *processes);
    previous_boot.process_count = process_count;
    strcpy(previous_boot.directory, boot_directory);
    previous_boot.has_facilities = is_open(NOEXEC_FD) || is_open(OWN_FILE_SYSTEM_FD) || is_open(CRASHING_FD);
    if (spare.pid && !strcmp(spare.directory, boot_directory))
        end_spare(); /* this boot never spawned its first process */
    boot_directory[0] = 0;
    process_count = 1;
    stream_was_lent = 0;
}

static void boot(void)
{
    if (boot_directory[0])
        end_system();
    if (spare.pid)
        strcpy(boot_directory, spare.directory);
    else if (make_directory(boot_directory, sizeof boot_directory) == -1) {
        answer_errno();
        send_reply(0);
        return;
    }
    meeting->arrived = 0;
    answer_result(chdir(boot_directory));
    if (out[0] == 'o') {
        put(" ");
        put_word(boot_directory, strlen(boot_directory));
    }
    send_reply(0);
}

/* End the agent: every process, and everything it made. */
static void end_agent(void)
{
    end_system();
    clean_up_previous_boot(0);
    if (spare.pid)
        end_spare();
    if (chdir("/") == 0)
        remove_directory(agent_directory);
}

static void execute_supervisor_request(char *line)
{
    char *verb = next_word(&line);

    if (!strcmp(verb, "boot"))
        boot();
    else if (!strcmp(verb, "spawn"))
        spawn();
    else {
        if (previous_boot.has_facilities)
            clean_up_previous_boot(0);
        if (!strcmp(verb, "end")) {
            end_system();
            answer("ok", "");
        } else if (!boot_directory[0])
            answer("bad", "no system is booted");
        else if (!strcmp(verb, "facility") && line)
            provide_facility(line);
        else if (!strcmp(verb, "crash"))
            crash();
        else if (!strcmp(verb, "file-table") && line)
            strcmp(line, "full") ? free_file_table() : fill_file_table();
        else if (!strcmp(verb, "mapping-limit"))
            answer_mapping_limit();
        else
            answer("unsupported", "this agent does not know the verb");
        send_reply(0);
    }
}

static void handle_client_line(char *line, size_t length)
{
    char *rest;
    long number = strtol(line, &rest, 10);

    if (length && line[length - 1] == '\r')
        line[--length] = 0;
    if (rest == line || *rest != ' ' || number < 0) {
        answer("bad", "a line is a process's number, a verb, and its arguments");
        send_reply(0);
    } else if (number == 0)
        execute_supervisor_request(rest + 1);
    else
        forward_request((int)(number < MAX_PROCESSES ? number : MAX_PROCESSES), rest + 1,
                        length - (size_t)(rest + 1 - line));
}

static void handle_client_lines(void)
{
    char *end;

    while ((end = memchr(stream, '\n', stream_length))) {
        size_t length = (size_t)(end - stream);

        memcpy(in, stream, length);
        in[length] = 0;
        stream_length -= length + 1;
        memmove(stream, end + 1, stream_length);
        handle_client_line(in, length);
    }
    if (stream_length == MAX_LINE) {
        answer("bad", "the line is too long");
        send_reply(0);
        terminating = 1;
    }
}

static void supervise(void)
{
    static struct pollfd waiting[MAX_PROCESSES];
    static int numbers[MAX_PROCESSES];

    make_spare();
    while (!terminating) {
        nfds_t n = 1;

        handle_client_lines();
        write_replies();
        if (!stream_was_lent && !stream_length && process_count == 2 && processes[1].channel != -1 &&
            !processes[1].pending) {
            stream_was_lent = stream_is_lent = 1;
            send_line(processes[1].channel, (char[]){"serve-stream\n"}, 13, -1);
        }
        if (!spare.pid && process_count > 1)
            make_spare();
        clean_up_previous_boot(WNOHANG); /* last, to give killed processes time to end */
        waiting[0].fd = stream_is_lent ? -1 : STREAM_IN_FD;
        waiting[0].events = POLLIN;
        waiting[0].revents = 0;
        for (int i = 1; i < process_count; i++)
            if (processes[i].channel != -1) {
                waiting[n].fd = processes[i].channel;
                waiting[n].events = POLLIN;
                numbers[n++] = i;
            }
        if (terminating || poll(waiting, n, previous_boot.process_count ? 1 : -1) == -1)
            continue;
        for (nfds_t i = 1; i < n; i++)
            if (waiting[i].revents && processes[numbers[i]].channel == waiting[i].fd)
                handle_process(numbers[i]);
        if (!waiting[0].revents)
            continue;
        ssize_t more = read(STREAM_IN_FD, stream + stream_length, MAX_LINE - stream_length);
        if (more == -1 && errno == EINTR)
            continue;
        if (more <= 0)
            return;
        stream_length += (size_t)more;
    }
}

/* ------------------------------------------------------------------------------------------------------------ start */

static const char *file_system_type(void)
{
    static char type[64], real[PATH_MAX];
    FILE *mounts = setmntent("/proc/self/mounts", "r");
    struct mntent *mount;
    size_t best = 0;

    if (!mounts || !realpath(base_directory, real)) {
        if (mounts)
            endmntent(mounts);
        return "unknown";
    }
    while ((mount = getmntent(mounts))) {
        size_t n = strlen(mount->mnt_dir);

        if (n == 1)
            n = 0; /* "/" is a prefix of every path */
        if (n >= best && !strncmp(real, mount->mnt_dir, n) && (real[n] == '/' || real[n] == 0)) {
            best = n;
            snprintf(type, sizeof type, "%s", mount->mnt_type);
        }
    }
    endmntent(mounts);
    return type;
}

/* Return 1 if an address is in user space: something can be, or already is, mapped there.  A hint is honoured where the
 * page is free, but not near a stack.  There MAP_FIXED_NOREPLACE shows it; where that flag is unknown, munmap does,
 * unless munmap succeeds at the end of all addresses, too. */
static int is_user_address(uintptr_t address)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    unsigned char resident;
    void *page = (void *)address, *there = mmap(page, page_size, PROT_NONE, flags, -1, 0);

    if (there == page || mincore(page, page_size, &resident) == 0)
        return 1;
    there = mmap(page, page_size, PROT_NONE, flags | MAP_FIXED_NOREPLACE, -1, 0);
    if (there == MAP_FAILED)
        return errno == EEXIST;
    return there == page ||
           (munmap((void *)(UINTPTR_MAX - 2 * page_size + 1), page_size) == -1 && munmap(page, page_size) == 0);
}

/* Return the first address after user space, or 0 if it cannot be found.  A child searches it: the calls are under
 * test, and their faults must not end or damage the agent. */
static uint64_t find_end_of_user_space(void)
{
    uintptr_t low = scratch_start / page_size, high = UINTPTR_MAX / page_size;
    uint64_t end = 0;
    int ends[2];
    pid_t pid;

    if (pipe(ends) == -1)
        return 0;
    pid = fork();
    if (pid == 0) {
        if (is_user_address(low * page_size)) {
            while (high - low > 1) {
                uintptr_t middle = low + (high - low) / 2;

                *(is_user_address(middle * page_size) ? &low : &high) = middle;
            }
            end = (uint64_t)high * page_size;
        }
        _exit(write(ends[1], &end, sizeof end) != sizeof end);
    }
    close(ends[1]);
    if (pid == -1 || read(ends[0], &end, sizeof end) != sizeof end)
        end = 0;
    close(ends[0]);
    while (pid != -1 && waitpid(pid, 0, 0) == -1 && errno == EINTR)
        ;
    return end;
}

/* Limits that the agent inherits and raises as far as that is permitted.  The locked memory and the stack are left as
 * they are, because cases ask for their limits. */
static const struct name raised_limits[] = {
    {RLIMIT_AS, "address-space"}, {RLIMIT_DATA, "data"}, {RLIMIT_FSIZE, "file-size"}, {RLIMIT_NPROC, "processes"},
    {0, 0},
};

static void raise_limits(void)
{
    struct rlimit limit, none = {RLIM_INFINITY, RLIM_INFINITY};

    for (const struct name *raised = raised_limits; raised->name; raised++)
        if (setrlimit((int)raised->number, &none) == -1 && getrlimit((int)raised->number, &limit) == 0) {
            limit.rlim_cur = limit.rlim_max;
            setrlimit((int)raised->number, &limit);
        }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 4096) {
        struct rlimit more = {4096, limit.rlim_max < 4096 ? 4096 : limit.rlim_max};

        if (setrlimit(RLIMIT_NOFILE, &more) == -1) {
            limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
            setrlimit(RLIMIT_NOFILE, &limit);
        }
    }
}

/* Append what is still limited, as NAME:NUMBER, each followed by a comma. */
static void put_inherited_limits(void)
{
    struct rlimit limit;

    put(" limits=");
    for (const struct name *raised = raised_limits; raised->name; raised++)
        if (getrlimit((int)raised->number, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
            put(raised->name);
            put(":");
            put_unsigned(limit.rlim_cur);
            put(",");
        }
}

/* Append the limits that a model needs to predict the results of a process's calls. */
static void put_limits(void)
{
    uint64_t end = find_end_of_user_space();
    struct rlimit limit;
    struct {
        uint32_t version;
        int pid;
    } header = {0x20080522, 0};
    struct {
        uint32_t effective, permitted, inheritable;
    } sets[2] = {{0, 0, 0}, {0, 0, 0}};

    if (end) {
        put(" end=");
        put_unsigned(end);
    }
    if (read_file("/proc/sys/vm/mmap_min_addr", bytes, MAX_DATA) > 0) {
        put(" lowest=");
        put_unsigned(number_after(bytes, ""));
    }
    if (read_file("/proc/sys/vm/max_map_count", bytes, MAX_DATA) > 0) {
        put(" mappings=");
        put_unsigned(number_after(bytes, ""));
    }
    if (!getrlimit(RLIMIT_MEMLOCK, &limit) && limit.rlim_cur != RLIM_INFINITY) {
        put(" locked=");
        put_unsigned(limit.rlim_cur);
    }
    if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur != RLIM_INFINITY) {
        put(" descriptors=");
        put_unsigned(limit.rlim_cur);
    }
    put_inherited_limits();
    if (!syscall(SYS_capget, &header, sets)) {
        put(" capabilities=");
        for (const struct name *capability = capabilities; capability->name; capability++)
            if (sets[capability->number / 32].effective >> capability->number % 32 & 1) {
                put(capability->name);
                put(",");
            }
    }
}

static void write_greeting(void)
{
    struct utsname name;
    char text[64];

    uname(&name);
    out_length = 0;
    put("mmapconf ");
    put_signed(VERSION);
    put_fact("system", name.sysname);
    put_fact("release", name.release);
    put_fact("machine", name.machine);
#if defined __GLIBC__
    snprintf(text, sizeof text, "glibc %s", gnu_get_libc_version());
#elif defined __UCLIBC__
    snprintf(text, sizeof text, "uClibc");
#elif defined __BIONIC__
    snprintf(text, sizeof text, "bionic");
#elif defined PREBUILT
    snprintf(text, sizeof text, "prebuilt agent"); /* the libc of the system is not judged */
#else
    snprintf(text, sizeof text, "musl"); /* musl does not define a macro of its own */
#endif
    put_fact("libc", text);
    snprintf(text, sizeof text, "%d", (int)sizeof(void *) * 8);
    put_fact("bits", text);
    put_identity();
    snprintf(text, sizeof text, "%d", __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
    put_fact("byteorder", text[0] == '1' ? "big" : "little");
    snprintf(text, sizeof text, "%lu", (unsigned long)geteuid());
    put_fact("uid", text);
    put_limits();
    snprintf(text, sizeof text, "%d", processor_count);
    put_fact("processors", text);
    snprintf(text, sizeof text, "%d", MAX_WORKERS);
    put_fact("threads", text);
    put_fact("filesystem", file_system_type());
    put_fact("directory", base_directory);
    snprintf(text, sizeof text, "%d", MAX_LINE);
    put_fact("line", text);
    put_fact("runs", "both");
    snprintf(text, sizeof text, "%d", MAX_DATA);
    put_fact("data", text);
    out[out_length++] = '\n';
    write_to_client(out, out_length);
}

/* Leave descriptors 0 to 2 only, as in a new process; move the agent's own far above.  Return 0, or -1 with a message
 * if there are too few. */
static int move_own_descriptors(void)
{
    int null;

    close_descriptors(3, ~0u);
    if (dup3(0, STREAM_IN_FD, O_CLOEXEC) == -1 || dup3(1, STREAM_OUT_FD, O_CLOEXEC) == -1 ||
        dup3(0, NEEDED_FDS - 1, O_CLOEXEC) == -1) {
        if (fcntl(0, F_GETFD) == -1 || fcntl(1, F_GETFD) == -1)
            fprintf(stderr, "mmap_agent: descriptors 0 and 1, the client's stream, must be open\n");
        else
            fprintf(stderr, "mmap_agent: %d file descriptors are needed, more than the limit (ulimit -n) allows\n",
                    NEEDED_FDS);
        return -1;
    }
    close(NEEDED_FDS - 1);
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null == -1)
        null = open("/", O_RDONLY | O_CLOEXEC);
    dup2(null, 0);
    dup2(null, 1);
    if (null == 2) /* there is no stderr, as for an init without a console */
        fcntl(2, F_SETFD, 0);
    else
        close(null);
    return 0;
}

/* If the stream is a terminal (a serial console), make it pass every byte unchanged in both directions. */
static void make_terminal_raw(void)
{
    struct termios terminal;

    if (tcgetattr(STREAM_IN_FD, &terminal) == 0) {
        cfmakeraw(&terminal);
        tcsetattr(STREAM_IN_FD, TCSANOW, &terminal);
    }
}

int main(int count, char **arguments)
{
    initialise(count, arguments);
    if (count == 4 && !strcmp(arguments[1], "--process")) {
        if (front_count)
            restore_directory();
        parse_number(arguments[2], &own_reads);
        parse_number(arguments[3], &own_writes);
        for (int fd = CHANNEL_FD; fd < FACILITY_FDS + FACILITY_COUNT; fd++)
            fcntl(fd, F_SETFD, FD_CLOEXEC);
        catch_faults();
        answer("ok", "");
        put_identity();
        out[out_length++] = '\n';
        if (send_line(CHANNEL_FD, out, out_length, -1) == 0)
            serve();
        return 1;
    }
    for (int i = 1; i < count; i++) {
        if (!strcmp(arguments[i], "--disruptive"))
            disruptive = 1;
        else if (!strcmp(arguments[i], "--directory") && i + 1 < count &&
                 strlen(arguments[i + 1]) < sizeof base_directory)
            strcpy(base_directory, arguments[++i]);
        else {
            fprintf(stderr, "usage: %s [--directory DIRECTORY] [--disruptive]\n", arguments[0]);
            return 2;
        }
    }
    raise_limits();
    if (move_own_descriptors() == -1)
        return 1;
    make_terminal_raw();
    signal(SIGTERM, on_termination_signal);
    signal(SIGINT, on_termination_signal);
    signal(SIGHUP, on_termination_signal);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    catch_faults();
    write_greeting();
    supervise();
    end_agent();
    return 0;
}
