/* The agent: lends a Linux system to the suite, through this system's libc, a line at a time (PROTOCOL.md).
 *
 * One program, two roles.  The SUPERVISOR reads request lines from stdin and answers on stdout.  It owns the folder, the
 * facilities and the PROCESSES: each of them is forked from it (or, by the case's fork, from one another), has a socket
 * to it, and does what its lines say.  The supervisor only passes those lines on, so each process may be at work on one
 * at the same time, and none can do it harm: a process that dies is seen by the end of its socket.
 *
 * Most cases need one process and many small calls, so two things are done ahead or aside.  While a boot's first process
 * is alone, it reads and answers the stream itself, and hands it back with the first line that is not for it.  And the
 * next boot's first process and folder are made, and the last boot's remains cleared away, while the client is busy.
 *
 * A process shares its address space with this code, so it keeps out of the way of what is under test.  After its start
 * it allocates nothing, uses no stdio, and touches static buffers only; its symbols are bound before main, its stack has
 * been used 1 MiB deep, address randomisation is off where that is allowed, its own descriptors have high numbers, and
 * far away from everything lies an arena that nothing but the case uses.  Its calls are libc's, because the libc is
 * under test as well.
 *
 * Build (any Linux libc, static or not, any byte order):
 *     cc -O2 -Wall -Wextra -Wl,-z,now -Wl,-z,noexecstack -o mmap_agent mmap_agent.c
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
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

#define VERSION 1
#define DATA 16384          /* bytes of data in one line, at most */
#define LINE (2 * DATA + 256) /* characters of a line with its newline, at most */
#define AUDITED 65536       /* bytes of a file that an audit looks at, at most */
#define AUDITS 1024         /* pages and files in one audit, at most */
#define PROCESSES 1024      /* of one boot, dead ones included */

/* Descriptors of our own.  Cases see the lowest free numbers, as in any fresh process; these lie beyond. */
#define CHANNEL 224     /* a process's socket to the supervisor */
#define PLACE 225       /* and following: the directories of facilities, in every process of a boot */
#define PLACES 3
enum { STREAM_IN = 240, STREAM_OUT, SUPERVISORS, IMAGE = SUPERVISORS, PRISTINE, GUARD, PARKED, SCRATCH = PARKED + PLACES };

static char in[LINE + 1], out[LINE + 64], bytes[DATA];
static size_t out_length;
static char own_path[PATH_MAX];
static char directory[PATH_MAX] = "/tmp"; /* where the agent makes a folder of its own, */
static char root[PATH_MAX + 32];          /* this one, */
static char folder[PATH_MAX + 64];        /* and in it one for each boot */
static uint64_t own_reads, own_writes;    /* of a process on the stream: no calls of the case */
static int disruptive;
static size_t page;
static uintptr_t arena_start;
static size_t arena_length;
static unsigned char signal_stack[192 * 1024]; /* more than AT_MINSIGSTKSZ + 64 KiB on any machine known */

/* ------------------------------------------------------------------------------------------------------ writing text */

static void put(const char *text)
{
    while (*text && out_length < LINE - 1)
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
    for (size_t i = 0; i < length && out_length < LINE - 2; i++) {
        out[out_length++] = "0123456789abcdef"[(unsigned char)data[i] >> 4];
        out[out_length++] = "0123456789abcdef"[(unsigned char)data[i] & 15];
    }
}

/* Text as one word: what is not printable ASCII, and % and blanks, as %XX. */
static void put_word(const char *text, size_t length)
{
    for (size_t i = 0; i < length && out_length < LINE - 4; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c > ' ' && c < 127 && c != '%')
            out[out_length++] = (char)c;
        else {
            out[out_length++] = '%';
            put_bytes((char *)&c, 1);
        }
    }
}

/* -------------------------------------------------------------------------------------------------------------- names */

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

/* si_code: the kernel's numbers, the same on every machine; a libc may lack the later names. */
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
 * A bit that is not listed is passed on as it is. */
struct bit {
    uint64_t generic, own;
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
    uint64_t own = flags;

    for (const struct bit *b = bits; b->generic; b++)
        own &= ~b->generic;
    for (const struct bit *b = bits; b->generic; b++)
        if (flags & b->generic)
            own |= b->own;
    return (int)own;
}

static const char *name_of(const struct name *names, int64_t number)
{
    for (; names->name; names++)
        if (names->number == number)
            return names->name;
    return 0;
}

static void put_name(const struct name *names, const char *otherwise, int64_t number)
{
    const char *name = name_of(names, number);

    if (name)
        put(name);
    else {
        put(otherwise);
        put_signed(number);
    }
}

/* ------------------------------------------------------------------------------------------------------------ answers */

static void answer(const char *kind, const char *text)
{
    out_length = 0;
    put(kind);
    if (*text) {
        put(" ");
        put(text);
    }
}

static void failed(void)
{
    int error = errno;

    answer("error", "");
    put(" ");
    put_name(errors, "errno-", error);
}

static void answer_result(int64_t result)
{
    if (result == -1)
        failed();
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
        failed();
    else {
        answer("ok", "");
        put(" ");
        put_hexadecimal((uintptr_t)result);
    }
}

/* ------------------------------------------------------------------------------------------------------------ requests */

/* One argument of a request, as its verb's form says: n number, a number that must fit an address, d descriptor,
 * p path or word (%XX decoded), x data, * all words that are left, as they are. */
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

/* Decoded text and data are shorter than what they were written as: they stay where they are. */
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

static int parse_bytes(char *text, size_t *length)
{
    size_t n = 0;

    for (; text[2 * n]; n++) {
        int high = hex_digit(text[2 * n]), low = hex_digit(text[2 * n + 1]);

        if (high < 0 || low < 0)
            return 0;
        text[n] = (char)(high * 16 + low);
    }
    *length = n;
    return 1;
}

/* ------------------------------------------------------------------------------------------------------------ accesses */

/* A load, a store or a call may be refused by a signal.  The handler leaves it for where it was tried from. */
static sigjmp_buf recovery;
static volatile sig_atomic_t trying;
static struct {
    int signal, code;
    uintptr_t address;
} refusal;
static struct {
    volatile unsigned char *at;
    size_t length;
    char *data;
    uint64_t times;
    uint32_t *lock;
} access_to;

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
    (void)context;
    if (!trying) { /* our own code failed: die of it, so that the supervisor can tell of what */
        signal(signal_number, SIG_DFL);
        raise(signal_number);
        return;
    }
    refusal.signal = signal_number;
    refusal.code = info->si_code;
    refusal.address = (uintptr_t)info->si_addr;
    siglongjmp(recovery, 1);
}

static void catch_faults(void)
{
    static const int caught[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE};
    stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK; /* a fault in the handler itself is the end, not a fault for ever */
    sigemptyset(&action.sa_mask);
    sigaltstack(&stack, 0);
    for (size_t i = 0; i < sizeof caught / sizeof *caught; i++)
        sigaction(caught[i], &action, 0);
}

static int tried(void (*access)(void))
{
    /* The mask of signals is not kept, which would be a call at each access, but set right after a fault. */
    if (sigsetjmp(recovery, 0)) {
        sigset_t none;

        trying = 0;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, 0);
        return 0;
    }
    trying = 1;
    access();
    trying = 0;
    return 1;
}

static void answer_fault(void)
{
    const struct name *codes = refusal.signal == SIGSEGV  ? segv_codes
                               : refusal.signal == SIGBUS ? bus_codes
                               : refusal.signal == SIGILL ? ill_codes
                               : refusal.signal == SIGFPE ? fpe_codes
                                                          : trap_codes;

    answer("fault ", "");
    put_name(signals, "SIG", refusal.signal);
    put(" ");
    put_name(name_of(codes, refusal.code) ? codes : any_code, "", refusal.code);
    put(" ");
    if (name_of(codes, refusal.code))
        put_hexadecimal(refusal.address);
    else
        put("-"); /* SI_KERNEL and the like: si_addr says nothing */
}

static void load_bytes(void)
{
    for (size_t i = 0; i < access_to.length; i++)
        access_to.data[i] = (char)access_to.at[i];
}

static void store_bytes(void)
{
    for (size_t i = 0; i < access_to.length; i++)
        access_to.at[i] = (unsigned char)access_to.data[i];
}

static void make_code_visible(void)
{
    __builtin___clear_cache((char *)access_to.at, (char *)access_to.at + access_to.length);
}

static void call(void)
{
#if defined __powerpc64__ && (!defined _CALL_ELF || _CALL_ELF == 1)
    /* A function is a descriptor here: its address, its table of contents, its environment. */
    uint64_t own[3];

    memcpy(own, *(void **)(void *)&(void (*){call}), sizeof own);
    own[0] = (uintptr_t)access_to.at;
    (*(void (**)(void))(void *)&(uint64_t *){own})();
#else
    ((void (*)(void))(uintptr_t)access_to.at)();
#endif
}

static void add_ones(void)
{
    volatile uint32_t *word = (volatile uint32_t *)(void *)(uintptr_t)access_to.at;

    for (uint64_t i = 0; i < access_to.times; i++) {
        if (access_to.lock)
            while (__atomic_exchange_n(access_to.lock, 1, __ATOMIC_ACQUIRE))
                sched_yield();
        *word = *word + 1;
        if (access_to.lock)
            __atomic_store_n(access_to.lock, 0, __ATOMIC_RELEASE);
    }
}

/* Machine code of a function that only returns, in this machine's byte order. */
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

/* --------------------------------------------------------------------------------------------- what a process is asked */

static void *pointer(struct argument a)
{
    return (void *)(uintptr_t)a.n;
}

/* Our own descriptors do not exist for the case. */
static int descriptor(struct argument a)
{
    int fd = (int)(int64_t)a.n;

    return fd >= CHANNEL && fd < SCRATCH ? -1 : fd;
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
    /* The fifth argument always: glibc 2.36 passes on whatever stands there. */
    answer_address(mremap(pointer(a[0]), (size_t)a[1].n, (size_t)a[2].n, (int)a[3].n, pointer(a[4])));
}

static void do_msync(struct argument *a)
{
    answer_result(msync(pointer(a[0]), (size_t)a[1].n, translate(msync_bits, a[2].n)));
}

static void do_sysconf(struct argument *a)
{
    long value;

    errno = 0; /* -1 without an error: no limit */
    value = sysconf(a[0].n == 30 ? _SC_PAGESIZE : (int)a[0].n);
    if (value == -1 && errno)
        failed();
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
        if (mprotect((char *)pointer(a[0]) + i * page, page, PROT_READ)) {
            failed();
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

/* Advice is a number, not bits.  Alpha has another one for DONTNEED; the other numbers are the same on all machines. */
static void do_madvise(struct argument *a)
{
    int advice = (int)a[2].n;

    answer_result(madvise(pointer(a[0]), (size_t)a[1].n, advice == 4 ? MADV_DONTNEED : advice));
}

static void do_mincore(struct argument *a)
{
    size_t pages = (size_t)(a[1].n / page + (a[1].n % page != 0));

    if (pages > DATA) {
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
    access_to.at = pointer(a[0]);
    access_to.length = (size_t)a[1].n;
    access_to.data = bytes;
    if (access_to.length > DATA)
        answer("bad", "too many bytes for a line");
    else if (tried(load_bytes)) {
        answer("ok ", "");
        put_bytes(bytes, access_to.length);
    } else
        answer_fault();
}

static void do_store(struct argument *a)
{
    access_to.at = pointer(a[0]);
    access_to.length = a[1].length;
    access_to.data = a[1].text;
    if (tried(store_bytes))
        answer("ok", "");
    else
        answer_fault();
}

/* CRC-32 as zlib has it, eight bytes at a time. */
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

static uint32_t crc_of(const volatile unsigned char *data, size_t length, uint32_t crc)
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

static uint32_t crc_of_page;

static void look_at_page(void)
{
    crc_of_page = crc_of(access_to.at, page, 0);
}

static void put_page(uintptr_t address)
{
    access_to.at = (volatile unsigned char *)address;
    put(" ");
    if (tried(look_at_page))
        put_crc(crc_of_page);
    else {
        const struct name *codes = refusal.signal == SIGBUS ? bus_codes : segv_codes;

        put_name(name_of(codes, refusal.code) ? codes : any_code, "", refusal.code);
    }
}

static void put_file(int fd)
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
    while (at < AUDITED && (n = pread(fd, bytes, DATA < AUDITED - at ? DATA : (size_t)(AUDITED - at), at)) > 0) {
        crc = crc_of((unsigned char *)bytes, (size_t)n, crc);
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
    uint64_t n, pages, looked_at = 0;

    answer("ok", "");
    while ((word = next_word(&rest))) {
        int is_file = !strcmp(word, "fd"), good = is_file || (parse_number(word, &n) && n <= UINTPTR_MAX);

        word = next_word(&rest);
        if (!good || !word || !parse_number(word, &pages) || (!is_file && pages > AUDITS) ||
            (looked_at += is_file ? 1 : pages) > AUDITS) {
            out_length = 0;
            answer("bad", "an argument cannot be understood, or there is too much to look at");
            return;
        }
        if (is_file)
            put_file((int)pages);
        else
            for (; pages; pages--, n += page)
                put_page((uintptr_t)n);
    }
}

static void do_return_instruction(struct argument *a)
{
    (void)a;
#ifdef NO_RETURN_CODE
    answer("unsupported", "no code is known that only returns on this machine");
#else
    answer("ok ", "");
    put_bytes((const char *)return_instruction, sizeof return_instruction);
#endif
}

static void do_execute(struct argument *a)
{
    access_to.at = pointer(a[0]);
    access_to.length = 16;
    tried(make_code_visible); /* where it may not even be looked at, the call itself will tell */
    if (tried(call))
        answer("ok", "");
    else
        answer_fault();
}

static void do_add(struct argument *a)
{
    access_to.at = pointer(a[0]);
    access_to.times = a[1].n;
    access_to.lock = pointer(a[2]);
    if (tried(add_ones))
        answer("ok", "");
    else
        answer_fault();
}

static void do_open(struct argument *a)
{
    answer_number(open(a[0].text, translate(open_bits, a[1].n), (mode_t)a[2].n));
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

static void do_lseek(struct argument *a)
{
    answer_number(lseek(descriptor(a[0]), (off_t)a[1].n, (int)a[2].n));
}

static void do_pread(struct argument *a)
{
    ssize_t n;

    if (a[1].n > DATA) {
        answer("bad", "too many bytes for a line");
        return;
    }
    n = pread(descriptor(a[0]), bytes, (size_t)a[1].n, (off_t)a[2].n);
    if (n == -1)
        failed();
    else {
        answer("ok ", "");
        put_bytes(bytes, (size_t)n);
    }
}

static void do_pwrite(struct argument *a)
{
    answer_number(pwrite(descriptor(a[0]), a[1].text, a[1].length, (off_t)a[2].n));
}

/* The buffer is the case's own memory, so what is the matter with it is for the kernel to find. */
static void do_read_into(struct argument *a)
{
    answer_number(pread(descriptor(a[0]), pointer(a[1]), (size_t)a[2].n, (off_t)a[3].n));
}

static void do_write_from(struct argument *a)
{
    answer_number(pwrite(descriptor(a[0]), pointer(a[1]), (size_t)a[2].n, (off_t)a[3].n));
}

static void do_fstat(struct argument *a)
{
    struct stat status;

    if (fstat(descriptor(a[0]), &status) == -1) {
        failed();
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

/* A moment long past, which no file is last modified at by itself: 2001-09-09. */
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
    int fd = descriptor(a[0]);

    if (fsync(fd) == -1)
        failed();
    else if ((errno = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED)))
        failed();
    else
        answer("ok", "");
}

static void do_unlink(struct argument *a)
{
    answer_result(unlink(a[0].text));
}

static void do_mkdir(struct argument *a)
{
    answer_result(mkdir(a[0].text, 0700));
}

static void answer_two(int result, const int *fds)
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
    answer_two(pipe(fds), fds);
}

static void do_socketpair(struct argument *a)
{
    int fds[2];

    (void)a;
    answer_two(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), fds);
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

/* The file attributes (chattr): always read first, then changed. */
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

    while ((n = read(descriptor(a[0]), bytes, sizeof bytes)) > 0)
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
        failed();
    else {
        answer("ok ", "");
        put_unsigned((uint64_t)status.f_bfree * status.f_frsize);
    }
}

/* ------------------------------------------------------------------------------------- what a process tells of itself */

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

static void do_counters(struct argument *a)
{
    struct rusage usage;

    (void)a;
    if (read_file("/proc/self/io", bytes, sizeof bytes) == -1 || getrusage(RUSAGE_SELF, &usage) == -1) {
        failed();
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
        failed();
        return;
    }
    n = pread(fd, bytes, 4096, (off_t)a[0].n); /* 4096: each may become three characters */
    close(fd);
    if (n == -1)
        failed();
    else {
        answer("ok ", "");
        put_word(bytes, (size_t)n);
    }
}

static void do_scratch_range(struct argument *a)
{
    (void)a;
    if (!arena_length) {
        answer("unsupported", "no range of addresses was found free for an arena");
        return;
    }
    answer("ok ", "");
    put_hexadecimal(arena_start);
    put(" ");
    put_unsigned(arena_length);
}

static void do_set_limit_headroom(struct argument *a)
{
    struct rlimit limit;
    int resource;
    uint64_t used;

    if (!strcmp(a[0].text, "address-space")) {
        resource = RLIMIT_AS;
        if (read_file("/proc/self/statm", bytes, sizeof bytes) == -1) {
            failed();
            return;
        }
        used = number_after(bytes, "") * page;
    } else if (!strcmp(a[0].text, "locked-memory")) {
        resource = RLIMIT_MEMLOCK;
        if (read_file("/proc/self/status", bytes, sizeof bytes) == -1) {
            failed();
            return;
        }
        used = number_after(bytes, "VmLck:") * 1024;
    } else if (!strcmp(a[0].text, "data")) {
        resource = RLIMIT_DATA;
        if (read_file("/proc/self/status", bytes, sizeof bytes) == -1) {
            failed();
            return;
        }
        used = number_after(bytes, "VmData:") * 1024;
    } else if (!strcmp(a[0].text, "stack")) {
        resource = RLIMIT_STACK; /* ours is as deep already as it will ever be */
        used = 0;
    } else {
        answer("unsupported", "this agent does not limit that");
        return;
    }
    if (getrlimit(resource, &limit) == -1) {
        failed();
        return;
    }
    limit.rlim_cur = (rlim_t)(used + a[1].n);
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < limit.rlim_cur)
        limit.rlim_max = limit.rlim_cur;
    answer_result(setrlimit(resource, &limit));
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
        answer("unsupported", "a capability that this agent does not know");
        return;
    }
    if (syscall(SYS_capget, &header, sets) == -1) {
        failed();
        return;
    }
    /* From the bounding set too (as far as that is allowed): root would have it back by exec. */
    prctl(PR_CAPBSET_DROP, capability->number, 0, 0, 0);
    prctl(47 /* PR_CAP_AMBIENT */, 3 /* LOWER */, capability->number, 0, 0);
    sets[capability->number / 32].effective &= ~(1u << capability->number % 32);
    sets[capability->number / 32].permitted &= ~(1u << capability->number % 32);
    sets[capability->number / 32].inheritable &= ~(1u << capability->number % 32);
    answer_result(syscall(SYS_capset, &header, sets));
}

/* ------------------------------------------------------------------------------------------------- lines over sockets */

/* Send a line, and perhaps a descriptor with it.  Sockets, not pipes, also because their calls are no reads and writes in
 * the kernel's counts, so that a case finds its own there. */
static int send_line(int channel, char *line, size_t length, int passed)
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
    if (passed >= 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = sizeof control.space;
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &passed, sizeof passed);
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

/* Receive one line, without its newline, and a descriptor where one is expected.  The other side sends one line and
 * waits for the answer: nothing lies behind it.  Returns its length, -1 at the end of the stream. */
static ssize_t receive_line(int channel, char *line, size_t size, int *passed)
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
        message.msg_control = passed ? &control : 0;
        message.msg_controllen = passed ? sizeof control.space : 0;
        n = recvmsg(channel, &message, MSG_CMSG_CLOEXEC);
        if (n == -1 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        if (passed && CMSG_FIRSTHDR(&message) && control.header.cmsg_type == SCM_RIGHTS)
            memcpy(passed, CMSG_DATA(&control.header), sizeof *passed);
        length += (size_t)n;
        if (line[length - 1] == '\n') {
            line[length - 1] = 0;
            return (ssize_t)length - 1;
        }
    }
    return -1;
}

/* ---------------------------------------------------------------------------------------------------- a process's life */

static volatile sig_atomic_t ended; /* nothing is to be done any more but to tidy up */

/* Write to the client; returns how many calls it took. */
static unsigned write_stream(const char *text, size_t length)
{
    unsigned calls = 0;

    while (length) {
        ssize_t n = write(STREAM_OUT, text, length);

        calls++;
        if (n == -1 && errno == EINTR && !ended)
            continue;
        if (n <= 0) {
            ended = 1;
            break;
        }
        text += n;
        length -= (size_t)n;
    }
    return calls;
}

static int passed = -1; /* the descriptor that came with the line, or -1 */

static void do_exit(struct argument *a)
{
    _exit((int)a[0].n);
}

static void do_fork(struct argument *a)
{
    pid_t pid;

    (void)a;
    if (passed == -1) {
        errno = EMFILE; /* it could not be received */
        failed();
        return;
    }
    pid = fork();
    if (pid == 0) {
        dup3(passed, CHANNEL, O_CLOEXEC);
        close(passed);
        close(STREAM_IN);
        close(STREAM_OUT);
        own_reads = own_writes = 0;
        out_length = 0; /* the answer is the parent's */
        return;
    }
    answer_number(pid);
    close(passed);
}

/* Become the same program anew.  An emulator's processes are not what the kernel takes them for: its own command line,
 * up to the program's name, is what starts one. */
static void become(char **arguments)
{
    static char command[8192];
    static char *words[256];
    ssize_t length;
    int n = 0;

    execve(own_path, arguments, environ);
    if (errno != ENOEXEC || (length = read_file("/proc/thread-self/cmdline", command, sizeof command)) <= 0)
        return;
    for (char *word = command; word < command + length && n < 240; word += strlen(word) + 1) {
        static char resolved[PATH_MAX];

        words[n++] = word;
        if (n > 1 && realpath(word, resolved) && !strcmp(resolved, own_path)) {
            while ((words[n++] = *++arguments))
                ;
            execve("/proc/thread-self/exe", words, environ);
            return;
        }
    }
    errno = ENOEXEC;
}

static void do_exec(struct argument *a)
{
    static char program[] = "mmap_agent", role[] = "--process", reads[24], writes[24];
    char *arguments[] = {program, role, reads, writes, 0};
    int error;

    (void)a;
    snprintf(reads, sizeof reads, "%llu", (unsigned long long)own_reads);
    snprintf(writes, sizeof writes, "%llu", (unsigned long long)own_writes);
    for (int fd = CHANNEL; fd < PLACE + PLACES; fd++)
        fcntl(fd, F_SETFD, 0);
    become(arguments);
    error = errno;
    for (int fd = CHANNEL; fd < PLACE + PLACES; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    errno = error;
    failed();
}

/* Asked by the supervisor, not by the client: */

static void do_wait(struct argument *a)
{
    int status = 0;
    pid_t pid;

    while ((pid = waitpid((pid_t)a[0].n, &status, 0)) == -1 && errno == EINTR)
        ;
    answer_number(pid == -1 ? -1 : status);
}

static void do_take(struct argument *a)
{
    if (passed == -1)
        errno = EMFILE;
    answer_result(passed == -1 ? -1 : dup3(passed, (int)a[0].n, O_CLOEXEC));
    if (passed != -1)
        close(passed);
}

static void do_stream(struct argument *a);

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
    {"return-instruction", "", do_return_instruction},
    {"execute", "a", do_execute},
    {"add", "ana", do_add},
    {"open", "pnn", do_open},
    {"close", "n", do_close},
    {"dup", "n", do_dup},
    {"ftruncate", "nn", do_ftruncate},
    {"lseek", "nnn", do_lseek},
    {"pread", "nnn", do_pread},
    {"pwrite", "nxn", do_pwrite},
    {"read-into", "naan", do_read_into},
    {"write-from", "naan", do_write_from},
    {"fstat", "n", do_fstat},
    {"fsync", "n", do_fsync},
    {"drop-cache", "n", do_drop_cache},
    {"set-old-mtime", "n", do_set_old_mtime},
    {"has-old-mtime", "n", do_has_old_mtime},
    {"unlink", "p", do_unlink},
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
    {"maps", "n", do_maps},
    {"fork", "", do_fork},
    {"exec", "", do_exec},
    {"exit", "n", do_exit},
    {"wait", "n", do_wait},
    {"take", "n", do_take},
    {"stream", "", do_stream},
    {0, 0, 0},
};

/* The next word of a line: cuts it off and moves on to what follows.  An empty word is written as two blanks. */
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

static void obey(char *line)
{
    struct argument arguments[8];
    const struct verb *verb = verbs;
    char *word = next_word(&line);
    int n = 0;

    while (verb->name && strcmp(verb->name, word))
        verb++;
    if (!verb->name) {
        answer("unsupported", "this agent does not know the verb");
        return;
    }
    for (const char *form = verb->form; *form; form++, n++) {
        struct argument *a = &arguments[n];
        int good;

        if (*form == '*') {
            a->text = line;
            line = 0;
            continue;
        }
        if (!(word = next_word(&line)))
            break;
        a->text = word;
        if (*form == 'p')
            good = parse_word(word, &a->length);
        else if (*form == 'x')
            good = parse_bytes(word, &a->length);
        else
            good = parse_number(word, &a->n);
        if (!good) {
            answer("bad", "an argument cannot be understood");
            return;
        }
        if (*form == 'a' && a->n > UINTPTR_MAX) {
            answer("unsupported", "the number is wider than an address of this system");
            return;
        }
    }
    if ((size_t)n != strlen(verb->form) || line) {
        answer("bad", "the verb has another number of arguments");
        return;
    }
    verb->run(arguments);
}

/* Serve process 1 on the client's stream itself, which spares each call the way through the supervisor.  That goes on
 * until a line comes that is not for this process, or is about its life, or the stream ends: then the supervisor has
 * the stream back, with what was read of it, and keeps it for the rest of the boot. */
static void do_stream(struct argument *a)
{
    static const char *const not_ours[] = {"fork", "exit ", "exec", "kill", "wait ", "take ", "stream"};
    uint32_t got = 0;

    (void)a;
    for (;;) {
        char *end = 0;
        int ours;

        while (got < LINE && !(end = memchr(in, '\n', got))) {
            ssize_t n = read(STREAM_IN, in + got, LINE - got);

            own_reads++;
            if (n == -1 && errno == EINTR)
                continue;
            if (n <= 0)
                break;
            got += (uint32_t)n;
        }
        ours = end && end + 1 == in + got && in[0] == '1' && in[1] == ' ';
        for (size_t i = 0; ours && i < sizeof not_ours / sizeof *not_ours; i++)
            ours = strncmp(in + 2, not_ours[i], strlen(not_ours[i]));
        if (!ours)
            break;
        *end = 0;
        if (end[-1] == '\r')
            end[-1] = 0;
        obey(in + 2);
        memmove(out + 2, out, out_length);
        memcpy(out, "1 ", 2);
        out[out_length + 2] = '\n';
        own_writes += write_stream(out, out_length + 3);
        got = 0;
    }
    close(STREAM_IN);
    close(STREAM_OUT);
    out_length = 0;
    if (send_line(CHANNEL, (char *)&got, sizeof got, -1) == -1 || send_line(CHANNEL, in, got, -1) == -1)
        _exit(0);
}

static void __attribute__((noreturn)) serve(void)
{
    for (;;) {
        passed = -1;
        if (receive_line(CHANNEL, in, LINE, &passed) == -1)
            _exit(0); /* the supervisor is gone */
        obey(in);
        if (!out_length)
            continue;
        out[out_length++] = '\n';
        if (send_line(CHANNEL, out, out_length, -1) == -1)
            _exit(0);
    }
}

/* ------------------------------------------------------------------------------------------- a program's first moments */

/* Have the stack reach 1 MiB deep, so that nothing the case maps comes to lie where it still has to grow. */
static void reach_deep(void)
{
    volatile char deep[1 << 20];

    deep[0] = 0;
    (void)deep[0];
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

/* Whether a page there can be had: a hint is honoured where nothing is in its way.  (Not the whole range: there are
 * emulators that keep a record of every page that was ever mapped.) */
static int can_be_had(uintptr_t start)
{
    void *at = mmap((void *)start, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (at == MAP_FAILED)
        return 0;
    munmap(at, page);
    return at == (void *)start;
}

/* A range that is free now, and so far from everything that it stays free. */
static void find_arena(void)
{
#if UINTPTR_MAX > UINT32_MAX
    static const uintptr_t starts[] = {0x1000000000, 0x2000000000, 0x800000000};
    const size_t length = (size_t)32 << 30;
#else
    static const uintptr_t starts[] = {0x20000000, 0x30000000, 0x60000000};
    const size_t length = 128 << 20;
#endif
    for (size_t i = 0; i < sizeof starts / sizeof *starts && !arena_length; i++)
        if (is_free(starts[i], length) && can_be_had(starts[i]) && can_be_had(starts[i] + length - page)) {
            arena_start = starts[i];
            arena_length = length;
        }
}

static void settle(char **arguments)
{
    struct rlimit no_core = {0, 0};

    if (readlink("/proc/self/exe", own_path, sizeof own_path - 1) <= 0 && !realpath(arguments[0], own_path))
        own_path[0] = 0;
    page = (size_t)sysconf(_SC_PAGESIZE);
    make_crc_tables();
    reach_deep();
    find_arena();
    setrlimit(RLIMIT_CORE, &no_core);
    signal(SIGPIPE, SIG_IGN);
}

/* ---------------------------------------------------------------------------------------------------------- supervisor */

/* The processes of this boot, by their number; numbers are not used twice.  0 is the supervisor itself. */
static struct process {
    pid_t pid;
    int channel; /* -1: dead */
    int parent;
    int status;   /* of a dead one, as wait tells it */
    int reaped;   /* whether it has been waited for */
    int child;    /* the process that it is about to fork */
    char asked;   /* what the client waits for: 0 nothing, k kill, x exit, f fork, r anything else */
} processes[PROCESSES];
static int number_of_processes = 1;
static int on_stream; /* whether process 1 has the stream */
static int had_stream; /* whether it has had it in this boot */
static char stream[LINE + 1]; /* what has been read of the stream and not yet been obeyed */
static size_t in_stream;

/* The process that the next boot's first spawn will give, and its folder: made while the client has other work. */
static struct {
    pid_t pid;
    int channel;
    char folder[sizeof folder];
} spare;

static void on_end(int signal_number)
{
    (void)signal_number;
    ended = 1;
}

static char replies[2 * LINE]; /* those to lines that came together leave together */
static size_t length_of_replies;

static void write_replies(void)
{
    write_stream(replies, length_of_replies);
    length_of_replies = 0;
}

/* Send what stands in `out` as the answer of a process. */
static void reply(int number)
{
    if (length_of_replies + out_length + 16 > sizeof replies)
        write_replies();
    length_of_replies += (size_t)snprintf(replies + length_of_replies, 16, "%d ", number);
    memcpy(replies + length_of_replies, out, out_length);
    length_of_replies += out_length;
    replies[length_of_replies++] = '\n';
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
    reply(number);
}

static void closed_channel(int number);

/* Have a dead process waited for by its parent, so that what its end lets go is gone and its status is what the parent
 * was told.  A parent that is at work is asked later; one that is dead has left its children to the supervisor. */
static void reap(int number)
{
    struct process *dead = &processes[number];
    int parent = dead->parent;

    if (dead->reaped)
        return;
    if (parent && processes[parent].channel != -1) {
        char line[64];
        int n;

        if (processes[parent].asked)
            return;
        n = snprintf(line, sizeof line, "wait %ld\n", (long)dead->pid);
        if (send_line(processes[parent].channel, line, (size_t)n, -1) == 0 &&
            receive_line(processes[parent].channel, line, sizeof line, 0) != -1) {
            if (!strncmp(line, "ok ", 3))
                dead->status = atoi(line + 3);
            dead->reaped = 1;
        } else
            closed_channel(parent); /* it has died meanwhile */
    }
    if (!dead->reaped && (!parent || processes[parent].channel == -1)) {
        while (waitpid(dead->pid, &dead->status, 0) == -1 && errno == EINTR)
            ;
        dead->reaped = 1;
    }
    if (!dead->reaped)
        return;
    if (dead->asked == 'k') {
        answer("ok", "");
        reply(number);
    } else if (dead->asked == 'x' && WIFEXITED(dead->status))
        reply_status(number, "ok");
    else if (dead->asked)
        reply_status(number, "died");
    dead->asked = 0;
}

/* A process has ended, as its socket tells. */
static void closed_channel(int number)
{
    struct process *dead = &processes[number];

    close(dead->channel);
    dead->channel = -1;
    if (!dead->pid)
        dead->reaped = 1; /* its parent died before it could tell of it: the supervisor waits for it at the end */
    if (dead->asked == 'f')
        processes[dead->child].reaped = 1; /* never born */
    for (int i = 1; i < number_of_processes; i++)
        if (i == number || (processes[i].channel == -1 && processes[i].parent == number))
            reap(i);
}

static int new_process(int parent, int *other_end)
{
    int ends[2];

    if (number_of_processes == PROCESSES) {
        errno = EAGAIN;
        return -1;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == -1)
        return -1;
    memset(&processes[number_of_processes], 0, sizeof *processes);
    processes[number_of_processes].channel = fcntl(ends[0], F_DUPFD_CLOEXEC, SCRATCH);
    close(ends[0]);
    processes[number_of_processes].parent = parent;
    *other_end = ends[1];
    return number_of_processes++;
}

static void close_range_of_descriptors(unsigned first, unsigned last)
{
    if (syscall(436 /* close_range, the same on every machine */, first, last, 0) == -1)
        for (unsigned fd = first; fd <= last && fd < SCRATCH + PROCESSES; fd++)
            close((int)fd);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status;
    (void)where;
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

static void remove_folder(char *path)
{
    if (path[0] && rmdir(path) == -1 && errno != ENOENT)
        nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    path[0] = 0;
}

/* Fork a process from the supervisor.  It keeps its channel, and either the places of this boot's facilities or, as the
 * next boot's first, the stream. */
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
    dup3(other_end, CHANNEL, O_CLOEXEC);
    close_range_of_descriptors(3, CHANNEL - 1);
    if (where == spare.folder)
        close_range_of_descriptors(PLACE, STREAM_IN - 1);
    else
        close_range_of_descriptors(STREAM_IN, STREAM_OUT);
    close_range_of_descriptors(SUPERVISORS, ~0u);
    serve();
}

static char free_folder[sizeof folder]; /* one that is there, empty, and nobody's */

/* Empty a folder; whether that was possible. */
static int empty_folder(const char *path)
{
    DIR *entries = opendir(path);
    struct dirent *entry;
    int emptied = 1;

    if (!entries)
        return 0;
    while ((entry = readdir(entries))) {
        char name[sizeof folder + 256];

        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (unlink(name) == -1)
            nftw(name, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
        emptied &= access(name, F_OK) == -1;
    }
    closedir(entries);
    return emptied;
}

#define OWNER "agent" /* a link in an agent's folder: not to a file, but what names the agent's process */

/* What names a process: the start of its machine, where its number is valid, and the number. */
static int name_process(long pid, char *name, size_t size)
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

/* Whether there is no such process, or one that is dead and has not been waited for. */
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
    end = strrchr(status, ')'); /* of the program's name; its state is the next word */
    return end && (!strncmp(end, ") Z", 3) || !strncmp(end, ") X", 3));
}

/* Remove the folders of agents that were killed together with their clients, so that nobody was left to do it.  What
 * belongs to another machine or container, or has no link, is left alone. */
static void remove_orphans(void)
{
    DIR *entries = opendir(directory);
    struct dirent *entry;

    while (entries && (entry = readdir(entries))) {
        char path[sizeof root + 256], owner[sizeof root + 264], told[256] = "", named[256] = "", *number;
        struct stat status;
        long pid;

        if (strncmp(entry->d_name, "mmapconf-", 9))
            continue;
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        snprintf(owner, sizeof owner, "%s/" OWNER, path);
        if (lstat(path, &status) == -1 || !S_ISDIR(status.st_mode) || status.st_uid != geteuid() ||
            readlink(owner, told, sizeof told - 1) <= 0 || !(number = strrchr(told, ' ')))
            continue;
        pid = strtol(number, 0, 10);
        if (pid > 0 && name_process(pid, named, sizeof named) == 0 && !strcmp(told, named) && is_dead(pid))
            remove_folder(path);
    }
    if (entries)
        closedir(entries);
}

/* An empty folder for a boot: one of an earlier boot that could be emptied, or a new one in the agent's own. */
static int make_folder(char *path, size_t size)
{
    static unsigned long number;
    char name[256];

    if (free_folder[0]) {
        strcpy(path, free_folder);
        free_folder[0] = 0;
        return 0;
    }
    if (!root[0]) {
        snprintf(root, sizeof root, "%s/mmapconf-XXXXXX", directory);
        remove_orphans();
        if (!mkdtemp(root)) {
            root[0] = 0;
            return -1;
        }
        snprintf(path, size, "%s/" OWNER, root);
        if (name_process((long)getpid(), name, sizeof name) == 0 && symlink(name, path) == -1)
            path[0] = 0; /* a file system without links: whatever is left there stays */
    }
    snprintf(path, size, "%s/%lu", root, ++number);
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
    remove_folder(spare.folder);
}

static void make_spare(void)
{
    int ends[2];

    if (make_folder(spare.folder, sizeof spare.folder) == -1 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == -1)
        return;
    spare.channel = fcntl(ends[0], F_DUPFD_CLOEXEC, SCRATCH);
    close(ends[0]);
    spare.pid = start_process(ends[1], spare.folder);
    close(ends[1]);
    if (spare.pid == -1)
        end_spare();
}

static void spawn(void)
{
    int other_end, number;

    if (number_of_processes == 1 && spare.pid) {
        memset(&processes[1], 0, sizeof *processes);
        processes[1].pid = spare.pid;
        processes[1].channel = spare.channel;
        spare.pid = 0;
        spare.folder[0] = 0;
        number_of_processes = 2;
        answer("ok 1", "");
        reply(0);
        return;
    }
    number = new_process(0, &other_end);
    if (number == -1) {
        failed();
        reply(0);
        return;
    }
    processes[number].pid = start_process(other_end, folder);
    close(other_end);
    if (processes[number].pid == -1) {
        failed();
        close(processes[number].channel);
        processes[number].channel = -1;
        processes[number].reaped = 1;
    } else {
        answer("ok ", "");
        put_signed(number);
    }
    reply(0);
}

/* Pass a client's line on to a process. */
static void pass_on(int number, char *line, size_t length)
{
    struct process *p = &processes[number];
    int other_end = -1;

    if (number >= number_of_processes) {
        answer("bad", "no such process");
        reply(number);
    } else if (p->channel == -1 && p->reaped)
        reply_status(number, "died");
    else if (p->asked) {
        if (strcmp(line, "kill")) {
            answer("bad", "the process is still at work");
            reply(number);
        } else {
            p->asked = 'k'; /* and what it was doing is not answered any more */
            kill(p->pid, SIGKILL);
        }
    } else if (!strcmp(line, "kill")) {
        p->asked = 'k';
        if (p->channel == -1)
            reap(number);
        else
            kill(p->pid, SIGKILL);
    } else {
        p->asked = !strncmp(line, "exit ", 5) ? 'x' : 'r';
        if (!strcmp(line, "fork")) {
            p->child = new_process(number, &other_end);
            if (p->child == -1) {
                p->asked = 0;
                failed();
                reply(number);
                return;
            }
            p->asked = 'f';
        }
        line[length] = '\n';
        send_line(p->channel, line, length + 1, other_end); /* a failure shows as the end of the channel */
        if (other_end != -1)
            close(other_end);
    }
}

static int take_stream_back(void)
{
    uint32_t got;

    if (recv(processes[1].channel, &got, sizeof got, MSG_WAITALL) != (ssize_t)sizeof got || got > LINE)
        return -1;
    if (got && recv(processes[1].channel, stream, got, MSG_WAITALL) != (ssize_t)got)
        return -1;
    in_stream = got;
    return 0;
}

/* A process has something to say, or has ended. */
static void hear(int number)
{
    struct process *p = &processes[number];
    ssize_t length;

    if (on_stream && number == 1) {
        on_stream = 0;
        if (take_stream_back() == -1) {
            p->asked = 'r'; /* perhaps it has been asked something, and perhaps not: it is told in any case */
            closed_channel(number);
        }
        return;
    }
    length = receive_line(p->channel, out, LINE, 0);
    if (length == -1) {
        closed_channel(number);
        return;
    }
    out_length = (size_t)length;
    if (p->asked == 'f') {
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
    if (p->asked != 'k') { /* one that is being killed has nothing more to tell */
        p->asked = 0;
        reply(number);
    }
    for (int i = 1; i < number_of_processes; i++)
        if (processes[i].channel == -1 && processes[i].parent == number)
            reap(i);
}

static void kill_processes(void)
{
    for (int i = 1; i < number_of_processes; i++)
        if (processes[i].channel != -1) {
            if (processes[i].pid)
                kill(processes[i].pid, SIGKILL);
            close(processes[i].channel);
            processes[i].channel = -1;
            processes[i].status = SIGKILL; /* in the form of wait */
        }
}

/* Wait for processes that have been killed; with WNOHANG, say 0 if one is not yet gone.  A parent comes before its
 * children: once it has been waited for, they are the supervisor's. */
static int wait_for(struct process *dead, int number, int how)
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
 * Directories on file systems of their own are mounted nowhere: the supervisor and every process hold a descriptor of
 * the mount, under the same number, so that /proc/self/fd/NUMBER is a path for all of them, whatever their rights, and
 * nothing is left when the last of them is gone, however that comes about. */

enum { NOEXEC_PLACE = PLACE, OWN_PLACE, CRASHING_PLACE };

#ifdef SYS_fsopen
#define FSOPEN SYS_fsopen
#define FSCONFIG SYS_fsconfig
#define FSMOUNT SYS_fsmount
#elif defined __mips__ || defined __alpha__
#define FSOPEN (-1) /* these count system calls from elsewhere */
#define FSCONFIG (-1)
#define FSMOUNT (-1)
#else
#define FSOPEN 430
#define FSCONFIG 431
#define FSMOUNT 432
#endif
enum { SET_STRING = 1, CREATE = 6, CREATE_EXCLUSIVELY = 8, MOUNT_NOEXEC = 8 };

static char why[256]; /* the reason why something is not to be had */
static char noexec_folder[PATH_MAX];

static int not_had(const char *what)
{
    snprintf(why, sizeof why, "%s: %s", what, strerror(errno));
    return -1;
}

static int is_open(int fd)
{
    return fcntl(fd, F_GETFD) != -1;
}

/* A descriptor under the number where every process expects it. */
static int put_at(int fd, int number)
{
    if (fd == -1 || fd == number)
        return fd;
    dup3(fd, number, O_CLOEXEC);
    close(fd);
    return number;
}

/* A new file system (tmpfs, or that of a block device), mounted nowhere; a descriptor of its root. */
static int mount_nowhere(const char *type, const char *source, int noexec)
{
    int context = (int)syscall(FSOPEN, type, 1 /* close on exec */), mount = -1, made;

    if (context == -1)
        return not_had("fsopen");
    syscall(FSCONFIG, context, SET_STRING, "source", source ? source : type, 0);
    if (!source) {
        syscall(FSCONFIG, context, SET_STRING, "mode", "1777", 0);
        syscall(FSCONFIG, context, SET_STRING, "size", "32m", 0);
    }
    /* Exclusively: should anything still hold a crashed file system, it would be had again, dead, without a word. */
    made = (int)syscall(FSCONFIG, context, CREATE_EXCLUSIVELY, 0, 0, 0);
    if (made == -1 && (errno == EINVAL || errno == EOPNOTSUPP))
        made = (int)syscall(FSCONFIG, context, CREATE, 0, 0, 0);
    if (made == -1)
        not_had("fsconfig");
    else if ((mount = (int)syscall(FSMOUNT, context, 1 /* close on exec */, noexec ? MOUNT_NOEXEC : 0)) == -1)
        not_had("fsmount");
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

/* In a namespace of its own, as root there: a tmpfs by the calls of today, else by mount(2). */
static int mount_privately(int noexec)
{
    char map[64];
    uid_t uid = geteuid();
    gid_t gid = getegid();
    int mount_fd;

    if (unshare(CLONE_NEWNS) == -1) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) == -1)
            return not_had("a mount namespace, with or without a user namespace");
        snprintf(map, sizeof map, "0 %lu 1", (unsigned long)uid);
        if (write_file("/proc/self/uid_map", map) == -1)
            return not_had("uid_map of a user namespace");
        write_file("/proc/self/setgroups", "deny");
        snprintf(map, sizeof map, "0 %lu 1", (unsigned long)gid);
        if (write_file("/proc/self/gid_map", map) == -1)
            return not_had("gid_map of a user namespace");
    }
    if ((mount_fd = mount_nowhere("tmpfs", 0, noexec)) != -1)
        return mount_fd;
    if (mount(0, "/", 0, MS_REC | MS_PRIVATE, 0) == -1 ||
        mount("tmpfs", folder, "tmpfs", noexec ? MS_NOEXEC : 0, "mode=1777,size=32m") == -1)
        return not_had("mount of a tmpfs in a namespace of its own");
    return open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static int new_tmpfs(int noexec)
{
    int ends[2], mount = mount_nowhere("tmpfs", 0, noexec);
    pid_t helper;

    if (mount != -1)
        return mount;
    /* Not allowed, or not known: a helper tries in a namespace, which ends with it, and hands the mount over. */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == -1)
        return not_had("socketpair");
    helper = fork();
    if (helper == 0) {
        close(ends[0]);
        mount = mount_privately(noexec);
        strncat(why, "\n", sizeof why - strlen(why) - 1);
        send_line(ends[1], why, strlen(why), mount);
        _exit(0);
    }
    close(ends[1]);
    why[0] = 0;
    if (receive_line(ends[0], why, sizeof why, &mount) == -1)
        snprintf(why, sizeof why, "the helper that was to mount a tmpfs ended early");
    close(ends[0]);
    while (helper != -1 && waitpid(helper, 0, 0) == -1 && errno == EINTR)
        ;
    return mount;
}

/* A folder on a file system that is mounted noexec already. */
static int existing_noexec(void)
{
    static const char kinds[] = " tmpfs ext2 ext3 ext4 xfs btrfs f2fs "; /* a folder in a cgroup's tree is a cgroup */
    FILE *mounts = setmntent("/proc/self/mounts", "r");
    struct mntent *mount;
    int fd = -1;

    while (mounts && fd == -1 && (mount = getmntent(mounts))) {
        char kind[32];

        snprintf(kind, sizeof kind, " %.20s ", mount->mnt_type);
        if (!strstr(kinds, kind) || !hasmntopt(mount, "noexec") || access(mount->mnt_dir, W_OK | X_OK) == -1)
            continue;
        snprintf(noexec_folder, sizeof noexec_folder, "%s/mmapconf-XXXXXX", mount->mnt_dir);
        if (!mkdtemp(noexec_folder))
            noexec_folder[0] = 0;
        else if ((fd = open(noexec_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
            remove_folder(noexec_folder);
    }
    if (mounts)
        endmntent(mounts);
    return fd;
}

/* -------------------------------------------------------------------------------- a file system that can lose its power
 *
 * ext4 on a loop device over a file in memory.  The power is cut by the shutdown ioctl without a flush of the log: from
 * then on nothing reaches the device.  Mounting the same image again is the next start.  The loop device clears itself
 * with its last user, so nothing of it outlives the agent. */

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

/* A formatted image, made once and copied for each boot. */
static int make_pristine(void)
{
    int status = -1, image = (int)syscall(SYS_memfd_create, "pristine", 1 /* close on exec */);
    pid_t pid;

    if (image == -1 || ftruncate(image, IMAGE_SIZE) == -1)
        return not_had("a file in memory");
    pid = fork();
    if (pid == 0)
        run_mkfs(image);
    while (pid != -1 && waitpid(pid, &status, 0) == -1 && errno == EINTR)
        ;
    if (status == 0) {
        put_at(image, PRISTINE);
        return 0;
    }
    close(image);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        snprintf(why, sizeof why, "mkfs.ext4 is not installed");
    else
        snprintf(why, sizeof why, "mkfs.ext4 failed with status %#x", (unsigned)status);
    return -1;
}

static int copy_pristine(void)
{
    int image = (int)syscall(SYS_memfd_create, "image", 1 /* close on exec */);
    off_t at = 0;

    if (image == -1 || ftruncate(image, IMAGE_SIZE) == -1)
        return not_had("a file in memory");
    while ((at = lseek(PRISTINE, at, SEEK_DATA)) != -1) {
        off_t end = lseek(PRISTINE, at, SEEK_HOLE);

        while (at < end) {
            ssize_t n = pread(PRISTINE, bytes, end - at < DATA ? (size_t)(end - at) : DATA, at);

            if (n <= 0 || pwrite(image, bytes, (size_t)n, at) != n)
                return not_had("copying a file system's image");
            at += n;
        }
    }
    put_at(image, IMAGE);
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
        return not_had("/dev/loop-control");
    memset(&configuration, 0, sizeof configuration);
    configuration.fd = IMAGE;
    configuration.flags = 4; /* LO_FLAGS_AUTOCLEAR */
    strcpy(configuration.name, "mmapconf");
    for (int attempt = 0; attempt < 200; attempt++) { /* others look for a free device, too */
        int number = ioctl(control, LOOP_CTL_GET_FREE);

        if (number == -1) {
            not_had("a free loop device");
            break;
        }
        snprintf(path, sizeof path, "/dev/loop%d", number);
        loop = open(path, O_RDWR | O_CLOEXEC);
        if (loop == -1) {
            not_had(path);
            break;
        }
        if (ioctl(loop, LOOP_CONFIGURE, &configuration) == 0) {
            mount = mount_nowhere("ext4", path, 0);
            close(loop);
            break;
        }
        not_had("LOOP_CONFIGURE");
        close(loop);
        if (errno != EBUSY)
            break;
        usleep(500);
    }
    close(control);
    return mount;
}

static int crashing_file_system(void)
{
    if (geteuid() != 0) {
        snprintf(why, sizeof why, "a loop device and a mount of it need root");
        return -1;
    }
    if (!is_open(PRISTINE) && make_pristine() == -1)
        return -1;
    return copy_pristine() == -1 ? -1 : mount_image();
}

static void crash(void)
{
    uint32_t how = NO_LOG_FLUSH;
    int root;

    if (!is_open(CRASHING_PLACE)) {
        answer("unsupported", "no crashing file system has been asked for");
        return;
    }
    kill_processes(); /* whoever still held something of it would keep the dead file system alive */
    wait_for(processes, number_of_processes, 0);
    root = openat(CRASHING_PLACE, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root == -1 || ioctl(root, FS_SHUTDOWN, &how) == -1) {
        failed();
        close(root);
        return;
    }
    close(root);
    close(CRASHING_PLACE);
    if (put_at(mount_image(), CRASHING_PLACE) == -1)
        answer("bad", why);
    else
        answer("ok", "");
}

/* ------------------------------------------------------------------------------------------ the whole system's file table
 *
 * Full is the table when fs.file-max is below what is open already; root is exempt, so nothing of the system's own stops
 * at once, but ordinary users' programs do.  So the limit is low for one second at most, and a guard sees to that: a
 * process of a session of its own, deaf to signals, that puts the old value back when it is told to, when the agent is
 * gone, or when the second is over, whatever comes first.  A lock on the very file of the limit (it is one for the whole
 * machine, and nothing is left of the lock) keeps agents from reading one another's low value as the old one. */

static void __attribute__((noreturn)) guard_file_table(int supervisor)
{
    const char *file = "/proc/sys/fs/file-max";
    char before[32], low[32];
    struct pollfd told = {supervisor, POLLIN, 0};
    ssize_t length;
    int limit, locked;

    setsid();
    for (int number = 1; number < 32; number++)
        signal(number, SIG_IGN);
    dup2(supervisor, CHANNEL);
    told.fd = CHANNEL;
    close_range_of_descriptors(3, CHANNEL - 1);
    close_range_of_descriptors(CHANNEL + 1, ~0u);
    limit = open(file, O_RDWR | O_CLOEXEC);
    if (limit == -1) {
        send_line(CHANNEL, (char[]){"refused\n"}, 8, -1);
        _exit(0);
    }
    while ((locked = flock(limit, LOCK_EX | LOCK_NB)) == -1 && poll(&told, 1, 5) == 0)
        ;
    length = pread(limit, before, sizeof before, 0);
    if (locked == -1 || length <= 0)
        _exit(0);
    /* Half of what is open: the table is full, and the sockets of all, of which twice the limit may be, are not. */
    if (read_file("/proc/sys/fs/file-nr", low, sizeof low) > 0)
        snprintf(low, sizeof low, "%lu\n", (unsigned long)number_after(low, "") / 2 + 1);
    pwrite(limit, low, strlen(low), 0) == (ssize_t)strlen(low) ? send_line(CHANNEL, (char[]){"full\n"}, 5, -1)
                                    : send_line(CHANNEL, (char[]){"refused\n"}, 8, -1);
    locked = poll(&told, 1, 1000);
    while (pwrite(limit, before, (size_t)length, 0) != length)
        usleep(1000);
    send_line(CHANNEL, locked ? (char[]){"free\n"} : (char[]){"late\n"}, 5, -1);
    _exit(0);
}

static pid_t guard;

static void end_guard(void)
{
    close(GUARD);
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
    if (is_open(GUARD) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == -1) {
        answer("bad", "the file table is full already");
        return;
    }
    guard = fork();
    if (guard == 0)
        guard_file_table(ends[1]);
    close(ends[1]);
    put_at(ends[0], GUARD);
    if (guard == -1)
        guard = 0;
    if (guard && receive_line(GUARD, line, sizeof line, 0) != -1 && !strcmp(line, "full"))
        answer("ok", "");
    else {
        end_guard();
        answer("unsupported", "fs.file-max cannot be changed here");
    }
}

static void free_file_table(void)
{
    char line[16];

    if (!is_open(GUARD)) {
        answer("bad", "the file table is not full");
        return;
    }
    send_line(GUARD, (char[]){"free\n"}, 5, -1);
    if (receive_line(GUARD, line, sizeof line, 0) == -1)
        answer("bad", "the guard of the file table ended early");
    else
        answer("ok", line); /* "free", or "late": it had been freed before */
    end_guard();
}

/* The path of a device or a special file, if it is there and is what it should be. */
static void answer_file(const char *path, mode_t kind)
{
    struct stat status;

    if (stat(path, &status) == 0 && (status.st_mode & S_IFMT) == kind && access(path, R_OK) == 0)
        answer("ok", path);
    else {
        answer("unsupported", path);
        put(" is not to be had here");
    }
}

/* Give the directory to every process that lives; the later ones inherit it. */
static int hand_out(int place)
{
    char line[32];
    int n = snprintf(line, sizeof line, "take %d\n", place);

    for (int i = 1; i < number_of_processes; i++) {
        char said[64];

        if (processes[i].channel == -1)
            continue;
        if (processes[i].asked || send_line(processes[i].channel, line, (size_t)n, place) == -1 ||
            receive_line(processes[i].channel, said, sizeof said, 0) == -1 || strncmp(said, "ok", 2)) {
            snprintf(why, sizeof why, "process %d could not be given the directory", i);
            return -1;
        }
    }
    return 0;
}

static fsblkcnt_t blocks_when_new[PLACES];

static int new_place(int place)
{
    struct statvfs status;
    char path[32];

    if (put_at(new_tmpfs(place == NOEXEC_PLACE), place) == -1)
        return -1;
    snprintf(path, sizeof path, "/proc/self/fd/%d/.", place);
    blocks_when_new[place - PLACE] = statvfs(path, &status) == 0 ? status.f_blocks - status.f_bfree : 0;
    return place;
}

static void facility(const char *name)
{
    int place;

    if (!strcmp(name, "dev-zero"))
        answer_file("/dev/zero", S_IFCHR);
    else if (!strcmp(name, "dev-null"))
        answer_file("/dev/null", S_IFCHR);
    else if (!strcmp(name, "dev-random"))
        answer_file("/dev/random", S_IFCHR);
    else if (!strcmp(name, "proc-file"))
        answer_file("/proc/self/maps", S_IFREG);
    else if (!strcmp(name, "sys-file"))
        answer_file(access("/sys/kernel/uevent_seqnum", R_OK) == 0 ? "/sys/kernel/uevent_seqnum"
                                                                    : "/sys/kernel/mm/transparent_hugepage/enabled",
                    S_IFREG);
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
    } else if ((place = !strcmp(name, "noexec-directory")       ? NOEXEC_PLACE
                        : !strcmp(name, "own-file-system")      ? OWN_PLACE
                        : !strcmp(name, "crashing-file-system") ? CRASHING_PLACE
                                                                : 0)) {
        int made = is_open(place) ? place : -1;

        if (made == -1) {
            if (place == CRASHING_PLACE)
                made = put_at(crashing_file_system(), place);
            else if (is_open(PARKED + place - PLACE))
                made = put_at(PARKED + place - PLACE, place);
            else
                made = new_place(place);
            if (made == -1 && place == NOEXEC_PLACE)
                made = put_at(existing_noexec(), place);
            if (made != -1)
                made = hand_out(place);
        }
        if (made == -1)
            answer("unsupported", why);
        else {
            answer("ok /proc/self/fd/", "");
            put_signed(place);
        }
    } else
        answer("unsupported", "this agent does not know the facility");
}

static void mapping_limit(void)
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
        put(", too many to be met");
        return;
    }
    answer("ok ", "");
    put_unsigned(limit);
}

/* Keep a tmpfs for a later boot, if it is again as it was made: unmounting one takes longer than all else. */
static void park(int place)
{
    struct statvfs status;
    char path[32];

    snprintf(path, sizeof path, "/proc/self/fd/%d/.", place);
    if (empty_folder(path) && statvfs(path, &status) == 0 &&
        status.f_blocks - status.f_bfree == blocks_when_new[place - PLACE])
        dup3(place, PARKED + place - PLACE, O_CLOEXEC);
}

/* What is left of the boot before: the next need not wait until it is cleared away.  (Some ends take milliseconds, as
 * that of a process that watched a file.) */
static struct {
    struct process processes[PROCESSES];
    int number_of_processes; /* 0: nothing is left */
    int places;              /* whether a directory of a facility is */
    char folder[sizeof folder];
} remains;

static void clear_away(int how)
{
    if (!remains.number_of_processes || !wait_for(remains.processes, remains.number_of_processes, how))
        return;
    remains.number_of_processes = 0;
    if (remains.places) { /* else they are those of this boot, if there are any */
        for (int place = PLACE; place < PLACE + PLACES; place++) {
            if (place != CRASHING_PLACE && is_open(place) && !(place == NOEXEC_PLACE && noexec_folder[0]))
                park(place);
            close(place);
        }
        close(IMAGE);
        remove_folder(noexec_folder);
        remains.places = 0;
    }
    if (remains.folder[0] && !free_folder[0] && empty_folder(remains.folder))
        strcpy(free_folder, remains.folder);
    else
        remove_folder(remains.folder);
}

static void end_system(void)
{
    clear_away(0);
    end_guard(); /* it puts the limit back */
    kill_processes();
    memcpy(remains.processes, processes, (size_t)number_of_processes * sizeof *processes);
    remains.number_of_processes = number_of_processes;
    strcpy(remains.folder, folder);
    remains.places = is_open(NOEXEC_PLACE) || is_open(OWN_PLACE) || is_open(CRASHING_PLACE);
    if (spare.pid && !strcmp(spare.folder, folder))
        end_spare(); /* this boot has never asked for its first process */
    folder[0] = 0;
    number_of_processes = 1;
    had_stream = 0;
}

static void boot(void)
{
    if (folder[0])
        end_system();
    if (spare.pid)
        strcpy(folder, spare.folder);
    else if (make_folder(folder, sizeof folder) == -1) {
        failed();
        reply(0);
        return;
    }
    answer_result(chdir(folder));
    if (out[0] == 'o') {
        put(" ");
        put_word(folder, strlen(folder));
    }
    reply(0);
}

/* The end of the agent. */
static void end_everything(void)
{
    end_system();
    clear_away(0);
    if (spare.pid)
        end_spare();
    if (chdir("/") == 0)
        remove_folder(root);
}

static void supervise_line(char *line)
{
    char *verb = next_word(&line);

    if (!strcmp(verb, "boot"))
        boot();
    else if (!strcmp(verb, "spawn"))
        spawn();
    else {
        if (remains.places)
            clear_away(0);
        if (!strcmp(verb, "end")) {
            end_system();
            answer("ok", "");
        } else if (!folder[0])
            answer("bad", "no system is booted");
        else if (!strcmp(verb, "facility") && line)
            facility(line);
        else if (!strcmp(verb, "crash"))
            crash();
        else if (!strcmp(verb, "file-table") && line)
            strcmp(line, "full") ? free_file_table() : fill_file_table();
        else if (!strcmp(verb, "mapping-limit"))
            mapping_limit();
        else
            answer("unsupported", "this agent does not know the verb");
        reply(0);
    }
}

static void client_line(char *line, size_t length)
{
    char *rest;
    long number = strtol(line, &rest, 10);

    if (length && line[length - 1] == '\r')
        line[--length] = 0;
    if (rest == line || *rest != ' ' || number < 0) {
        answer("bad", "a line is a process's number, a verb, and its arguments");
        reply(0);
    } else if (number == 0)
        supervise_line(rest + 1);
    else
        pass_on((int)(number < PROCESSES ? number : PROCESSES), rest + 1, length - (size_t)(rest + 1 - line));
}

static void obey_stream(void)
{
    char *end;

    while ((end = memchr(stream, '\n', in_stream))) {
        size_t length = (size_t)(end - stream);

        memcpy(in, stream, length);
        in[length] = 0;
        in_stream -= length + 1;
        memmove(stream, end + 1, in_stream);
        client_line(in, length);
    }
    if (in_stream == LINE) {
        answer("bad", "the line is too long");
        reply(0);
        ended = 1;
    }
}

static void supervise(void)
{
    static struct pollfd waiting[PROCESSES];
    static int numbers[PROCESSES];

    make_spare();
    while (!ended) {
        nfds_t n = 1;

        obey_stream();
        write_replies();
        if (!had_stream && !in_stream && number_of_processes == 2 && processes[1].channel != -1 &&
            !processes[1].asked) {
            had_stream = on_stream = 1;
            send_line(processes[1].channel, (char[]){"stream\n"}, 7, -1);
        }
        if (!spare.pid && number_of_processes > 1)
            make_spare();
        clear_away(WNOHANG); /* last, for the killed need a moment */
        waiting[0].fd = on_stream ? -1 : STREAM_IN;
        waiting[0].events = POLLIN;
        waiting[0].revents = 0;
        for (int i = 1; i < number_of_processes; i++)
            if (processes[i].channel != -1) {
                waiting[n].fd = processes[i].channel;
                waiting[n].events = POLLIN;
                numbers[n++] = i;
            }
        if (ended || poll(waiting, n, remains.number_of_processes ? 1 : -1) == -1)
            continue;
        for (nfds_t i = 1; i < n; i++)
            if (waiting[i].revents && processes[numbers[i]].channel == waiting[i].fd)
                hear(numbers[i]);
        if (!waiting[0].revents)
            continue;
        ssize_t more = read(STREAM_IN, stream + in_stream, LINE - in_stream);
        if (more == -1 && errno == EINTR)
            continue;
        if (more <= 0)
            return;
        in_stream += (size_t)more;
    }
}

/* ---------------------------------------------------------------------------------------------------------------- start */

static void put_fact(const char *name, const char *value)
{
    put(" ");
    put(name);
    put("=");
    put_word(value, strlen(value));
}

static const char *file_system(void)
{
    static char type[64], real[PATH_MAX];
    FILE *mounts = setmntent("/proc/self/mounts", "r");
    struct mntent *mount;
    size_t best = 0;

    if (!mounts || !realpath(directory, real)) {
        if (mounts)
            endmntent(mounts);
        return "unknown";
    }
    while ((mount = getmntent(mounts))) {
        size_t n = strlen(mount->mnt_dir);

        if (n == 1)
            n = 0; /* the root is the beginning of every path */
        if (n >= best && !strncmp(real, mount->mnt_dir, n) && (real[n] == '/' || real[n] == 0)) {
            best = n;
            snprintf(type, sizeof type, "%s", mount->mnt_type);
        }
    }
    endmntent(mounts);
    return type;
}

/* Whether a mapping can be at an address, taken or not: whether that is in user space. */
static int in_user_space(uintptr_t address)
{
    void *there = mmap((void *)address, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    if (there == MAP_FAILED)
        return errno == EEXIST;
    munmap(there, page);
    return (uintptr_t)there == address;
}

/* What whoever foretells the answers of a process has to know. */
static void put_limits(void)
{
    uintptr_t low = arena_start / page, high = UINTPTR_MAX / page;
    struct rlimit limit;
    struct {
        uint32_t version;
        int pid;
    } header = {0x20080522, 0};
    struct {
        uint32_t effective, permitted, inheritable;
    } sets[2] = {{0, 0, 0}, {0, 0, 0}};

    if (in_user_space(low * page)) {
        while (high - low > 1) {
            uintptr_t middle = low + (high - low) / 2;

            *(in_user_space(middle * page) ? &low : &high) = middle;
        }
        put(" end=");
        put_unsigned((uint64_t)high * page);
    }
    if (read_file("/proc/sys/vm/mmap_min_addr", bytes, sizeof bytes) > 0) {
        put(" lowest=");
        put_unsigned(number_after(bytes, ""));
    }
    if (read_file("/proc/sys/vm/max_map_count", bytes, sizeof bytes) > 0) {
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
    if (!syscall(SYS_capget, &header, sets)) {
        put(" capabilities=");
        for (const struct name *capability = capabilities; capability->name; capability++)
            if (sets[capability->number / 32].effective >> capability->number % 32 & 1) {
                put(capability->name);
                put(",");
            }
    }
}

static void greet(void)
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
#else
    snprintf(text, sizeof text, "musl"); /* which does not tell its name */
#endif
    put_fact("libc", text);
    snprintf(text, sizeof text, "%d", (int)sizeof(void *) * 8);
    put_fact("bits", text);
    snprintf(text, sizeof text, "%lu", (unsigned long)page);
    put_fact("page", text);
    snprintf(text, sizeof text, "%d", __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
    put_fact("byteorder", text[0] == '1' ? "big" : "little");
    snprintf(text, sizeof text, "%lu", (unsigned long)geteuid());
    put_fact("uid", text);
    put_limits();
    put_fact("filesystem", file_system());
    put_fact("directory", directory);
    snprintf(text, sizeof text, "%d", LINE);
    put_fact("line", text);
    snprintf(text, sizeof text, "%d", DATA);
    put_fact("data", text);
    out[out_length++] = '\n';
    write_stream(out, out_length);
}

/* Descriptors as a fresh process has them: 0 to 2 only, and ours far above. */
static void arrange_descriptors(void)
{
    struct rlimit limit;
    int null;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 4096) {
        limit.rlim_cur = limit.rlim_max == RLIM_INFINITY || limit.rlim_max > 4096 ? 4096 : limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    close_range_of_descriptors(3, ~0u);
    dup3(0, STREAM_IN, O_CLOEXEC);
    dup3(1, STREAM_OUT, O_CLOEXEC);
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(null, 0);
    dup2(null, 1);
    close(null);
}

/* A terminal (a serial console) must pass every byte as it is, both ways. */
static void make_raw(void)
{
    struct termios terminal;

    if (tcgetattr(STREAM_IN, &terminal) == 0) {
        cfmakeraw(&terminal);
        tcsetattr(STREAM_IN, TCSANOW, &terminal);
    }
}

int main(int count, char **arguments)
{
    int placed = 0;

    settle(arguments);
    if (count == 4 && !strcmp(arguments[1], "--process")) {
        parse_number(arguments[2], &own_reads);
        parse_number(arguments[3], &own_writes);
        for (int fd = CHANNEL; fd < PLACE + PLACES; fd++)
            fcntl(fd, F_SETFD, FD_CLOEXEC);
        catch_faults();
        answer("ok", "");
        out[out_length++] = '\n';
        if (send_line(CHANNEL, out, out_length, -1) == 0)
            serve();
        return 1;
    }
    for (int i = 1; i < count; i++) {
        if (!strcmp(arguments[i], "--placed"))
            placed = 1;
        else if (!strcmp(arguments[i], "--disruptive"))
            disruptive = 1;
        else if (!strcmp(arguments[i], "--directory") && i + 1 < count && strlen(arguments[i + 1]) < sizeof directory)
            strcpy(directory, arguments[++i]);
        else {
            fprintf(stderr, "usage: %s [--directory FOLDER] [--disruptive]\n", arguments[0]);
            return 2;
        }
    }
    if (!placed && count < 32) {
        /* Once more, with every address where it always is; where that is refused, as it comes. */
        int personality_now = personality(0xffffffff);
        char *again[40];
        static char marker[] = "--placed";

        if (personality_now != -1 && !(personality_now & ADDR_NO_RANDOMIZE) &&
            personality((unsigned long)personality_now | ADDR_NO_RANDOMIZE) != -1) {
            memcpy(again, arguments, (size_t)count * sizeof *again);
            again[count] = marker;
            again[count + 1] = 0;
            execve(own_path, again, environ);
        }
    }
    arrange_descriptors();
    make_raw();
    signal(SIGTERM, on_end);
    signal(SIGINT, on_end);
    signal(SIGHUP, on_end);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    catch_faults();
    greet();
    supervise();
    end_everything();
    return 0;
}
