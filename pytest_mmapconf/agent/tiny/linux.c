/* The port of the tiny agent to Linux, without a libc: raw system calls.  Each process is a child of the supervisor and
 * reads its requests from a pipe of its own; it writes its answers itself.
 *
 *     cc -std=c11 -O1 -ffreestanding -nostdlib -static -fno-stack-protector -o tiny tiny_agent.c linux.c
 */
#include "tiny.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/signal.h>
#include <linux/stat.h>
#include <linux/wait.h>
#include <asm/sigcontext.h>
#include <asm/siginfo.h>
#include <asm/unistd.h>

#include "names.h"

int tiny_main(void);

enum { PROCESSES = 64, FIRST_PIPE = 300, CLONE_PARENT_FLAG = 0x8000, SCRATCH_LENGTH = 1 << 24 };
#define SCRATCH 0x200000000000ul

const char *tiny_facts;
static const char system_facts[] = "system=Linux release=tiny libc=none page=4096 bits=64 byteorder=little end=0x7ffffffff000";
const unsigned long tiny_line = TINY_LINE, tiny_data = TINY_DATA;

static long pids[PROCESSES + 1]; /* by number; 0: ended, or not begun */
static long processes, is_booted;
static char folder[] = "/tmp/mmapconf-tiny00000000";

static long call(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	long result;
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
#else
#error "write down how this machine makes a system call"
#endif
}
#define CALL(name, ...) CALL_(__NR_##name, __VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define CALL_(number, a, b, c, d, e, f, ...) call(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* ------------------------------------------------------------------------------------------------------------ stream */

static int input; /* the descriptor that requests come from */
static long read_at, read_end;

int tiny_read_byte(void)
{
	static unsigned char buffer[512];
	if (read_at == read_end) {
		read_at = 0;
		read_end = CALL(read, input, buffer, sizeof buffer);
		if (read_end <= 0)
			return read_end = 0, -1;
	}
	return buffer[read_at++];
}

void tiny_write(const char *text, unsigned long length)
{
	while (length) {
		long written = CALL(write, FIRST_PIPE - 1, text, length);
		if (written <= 0)
			CALL(exit_group, 1);
		text += written, length -= written;
	}
}

/* ------------------------------------------------------------------------------------------------------------ faults */

static struct tiny_fault last;

/* Leaf functions without a frame: where one of them faults, the handler lets it return 1 instead. */
int load_byte(unsigned long address, unsigned char *byte), store_byte(unsigned long address, unsigned char *byte);
void faulted(void), restore(void);
#if defined(__x86_64__)
enum { SAVED_PC = 168 }; /* in the ucontext */
__asm__(".text\nload_byte: movb (%rdi), %al\n movb %al, (%rsi)\n xor %eax, %eax\n ret\n"
	"store_byte: movb (%rsi), %al\n movb %al, (%rdi)\n xor %eax, %eax\n ret\n"
	"faulted: mov $1, %eax\n ret\n"
	"restore: mov $15, %eax\n syscall\n");
#elif defined(__aarch64__)
enum { SAVED_PC = 440 };
__asm__(".text\nload_byte: ldrb w2, [x0]\n strb w2, [x1]\n mov w0, 0\n ret\n"
	"store_byte: ldrb w2, [x1]\n strb w2, [x0]\n mov w0, 0\n ret\n"
	"faulted: mov w0, 1\n ret\n"
	"restore: mov x8, 139\n svc 0\n");
#endif

static void on_fault(int signal, siginfo_t *info, void *context)
{
	last.signal = signal == SIGSEGV ? "SIGSEGV" : "SIGBUS";
	last.code = code_name(signal, info->si_code);
	last.has_address = info->si_code > 0 && info->si_code != SI_KERNEL;
	last.address = (unsigned long)info->si_addr;
	*(unsigned long *)((char *)context + SAVED_PC) = (unsigned long)faulted;
}

static void catch_faults(void)
{
	struct {
		void (*handler)(int, siginfo_t *, void *);
		unsigned long flags;
		void (*restorer)(void);
		unsigned long mask;
	} action = {on_fault, SA_SIGINFO | SA_NODEFER | 0x04000000, restore, 0};
	CALL(rt_sigaction, SIGSEGV, &action, 0, 8);
	CALL(rt_sigaction, SIGBUS, &action, 0, 8);
}

int tiny_load(unsigned long address, unsigned char *byte, struct tiny_fault *fault)
{
	return load_byte(address, byte) ? *fault = last, 1 : 0;
}

int tiny_store(unsigned long address, unsigned char byte, struct tiny_fault *fault)
{
	return store_byte(address, &byte) ? *fault = last, 1 : 0;
}

/* ------------------------------------------------------------------------------------------------------------- calls */

const char *tiny_error(long result)
{
	const char *name = errno_name(-result);
	if (name)
		return name;
	return -result > 0 && -result < 4096 ? "-" : ""; /* "": not a failure, an address in the upper half */
}

#define SIX(verb, name) static long verb(const long *a) { return call(__NR_##name, a[0], a[1], a[2], a[3], a[4], a[5]); }
SIX(do_mmap, mmap)
SIX(do_munmap, munmap)
SIX(do_mremap, mremap)
SIX(do_msync, msync)
SIX(do_mprotect, mprotect)
SIX(do_close, close)
SIX(do_dup, dup)
SIX(do_ftruncate, ftruncate)
SIX(do_lseek, lseek)
SIX(do_fsync, fsync)
static long do_open(const long *a) { return CALL(openat, AT_FDCWD, a[0], a[1], a[2]); }
static long do_unlink(const long *a) { return CALL(unlinkat, AT_FDCWD, a[0], 0); }
static long do_mkdir(const long *a) { return CALL(mkdirat, AT_FDCWD, a[0], 0700); }
static long do_pwrite(const long *a) { return CALL(pwrite64, a[0], a[1], a[2], a[3]); }
static long do_sysconf(const long *a) { return a[0] == 30 ? 4096 : -EINVAL; }
static long do_pread(const long *a)
{
	return a[1] < 0 || a[1] > TINY_DATA ? -EINVAL : CALL(pread64, a[0], tiny_buffer, a[1], a[2]);
}
static long do_fstat(const long *a)
{
	struct statx about;
	long result = CALL(statx, a[0], "", 0x1000 /* AT_EMPTY_PATH */, STATX_SIZE | STATX_TYPE, &about);
	tiny_kind = S_ISREG(about.stx_mode) ? "regular" : S_ISDIR(about.stx_mode) ? "directory" : "other";
	return result < 0 ? result : (long)about.stx_size;
}

static long do_scratch_range(const long *a)
{
	(void)a;
	tiny_second = SCRATCH_LENGTH;
	return SCRATCH;
}

static void begin(long number);

static long do_fork(const long *a)
{
	long pid = CALL(clone, CLONE_PARENT_FLAG | SIGCHLD);
	if (pid == 0)
		begin(a[0]);
	return pid < 0 ? pid : (CALL(write, FIRST_PIPE + 2 * PROCESSES + 3, &pid, sizeof pid), a[0]);
}
static long do_exit(const long *a)
{
	CALL(exit_group, a[0]);
	return 0;
}

const struct tiny_call tiny_calls[] = {
	{"mmap", "nnnnnn", 'n', do_mmap}, {"munmap", "nn", '-', do_munmap}, {"mremap", "nnnnn", 'n', do_mremap},
	{"msync", "nnn", '-', do_msync}, {"mprotect", "nnn", '-', do_mprotect}, {"sysconf", "n", 'n', do_sysconf},
	{"open", "pnn", 'n', do_open}, {"close", "n", '-', do_close}, {"dup", "n", 'n', do_dup},
	{"ftruncate", "nn", '-', do_ftruncate}, {"lseek", "nnn", 'n', do_lseek}, {"fsync", "n", '-', do_fsync},
	{"pread", "nnn", 'b', do_pread}, {"pwrite", "ndn", 'n', do_pwrite}, {"fstat", "n", 'k', do_fstat},
	{"unlink", "p", '-', do_unlink}, {"mkdir", "p", '-', do_mkdir}, {"fork", "n", 'n', do_fork},
	{"exit", "n", '-', do_exit}, {"scratch-range", "", '2', do_scratch_range}, {0, 0, 0, 0}};

/* --------------------------------------------------------------------------------------------------------- processes */

static int pipe_end(long number, int is_write) { return FIRST_PIPE + 2 * number + is_write; }

/* Become process `number`: answer the requests that arrive in its pipe. */
static void begin(long number)
{
	for (long other = 1; other <= PROCESSES; other++) /* only the supervisor writes requests: if it dies, this ends */
		CALL(close, pipe_end(other, 1));
	input = pipe_end(number, 0);
	read_at = read_end = 0;
	tiny_answer_requests(number);
	CALL(exit_group, 0);
}

static void make_pipe(long number)
{
	int ends[2];
	CALL(pipe2, ends, 0);
	for (int end = 0; end < 2; end++) {
		CALL(dup3, ends[end], pipe_end(number, end), O_CLOEXEC);
		CALL(close, ends[end]);
	}
}

static long text_length(const char *text)
{
	long length = 0;
	while (text[length])
		length++;
	return length;
}

static void pass_on(long number, const char *text)
{
	CALL(write, pipe_end(number, 1), text, text_length(text));
}

static void digits(char *at, long number, int count)
{
	while (count--)
		at[count] = '0' + number % 10, number /= 10;
}

static char *decimal(char *to, long number)
{
	if (number > 9)
		to = decimal(to, number / 10);
	*to = '0' + number % 10;
	return to + 1;
}

static char *append(char *to, const char *text)
{
	while (*text)
		*to++ = *text++;
	return to;
}

const char *tiny_boot(void)
{
	static long boots;
	tiny_end();
	for (long number = 1; number <= PROCESSES; number++) /* now: a child of fork must have its pipe too */
		make_pipe(number);
	digits(folder + sizeof folder - 9, CALL(getpid, 0) % 100000 * 1000 + boots++ % 1000, 8);
	if (CALL(mkdirat, AT_FDCWD, folder, 0700) < 0 || CALL(chdir, folder) < 0)
		return 0;
	is_booted = 1;
	return folder;
}

/* Remove what is in a directory, directories of files among them. */
static void remove_files(long parent, const char *name)
{
	char entries[1024], *entry;
	long at, length, directory = CALL(openat, parent, name, O_RDONLY | O_DIRECTORY);
	while ((length = CALL(getdents64, directory, entries, sizeof entries)) > 0)
		for (at = 0; at < length; at += *(unsigned short *)(entries + at + 16)) {
			entry = entries + at + 19;
			if (entry[0] == '.' && (!entry[1] || (entry[1] == '.' && !entry[2])))
				continue;
			if (CALL(unlinkat, directory, entry, 0) < 0) {
				remove_files(directory, entry);
				CALL(unlinkat, directory, entry, 0x200 /* AT_REMOVEDIR */);
			}
		}
	CALL(close, directory);
}

void tiny_end(void)
{
	for (long number = 1; number <= processes; number++) {
		if (pids[number]) {
			CALL(kill, pids[number], SIGKILL);
			CALL(wait4, pids[number], 0, 0, 0);
		}
		pids[number] = 0;
	}
	processes = 0;
	if (is_booted) {
		is_booted = 0;
		remove_files(AT_FDCWD, ".");
		CALL(chdir, "/");
		CALL(unlinkat, AT_FDCWD, folder, 0x200);
	}
}

static long next_process(void) { return processes == PROCESSES ? -EAGAIN : ++processes; }

long tiny_spawn(void)
{
	long number = next_process(), pid;
	if (number < 0)
		return number;
	pid = CALL(clone, SIGCHLD);
	if (pid == 0)
		begin(number);
	pids[number] = pid;
	return pid < 0 ? pid : number;
}

enum tiny_where tiny_process(long number, char *request)
{
	int is_exit = request[0] == 'e' && request[1] == 'x' && request[2] == 'i', is_kill = request[0] == 'k';
	static char text[40];
	if (number < 1 || number > processes)
		return TINY_NONE;
	if (!pids[number]) {
		tiny_write(text, append(decimal(text, number), " died 0\n") - text);
		return TINY_ELSEWHERE;
	}
	if (request[0] == 'f' && request[1] == 'o') { /* fork: the child's number goes with it */
		long child = next_process();
		if (child < 0)
			return TINY_NONE;
		*append(decimal(append(text, "fork "), child), "\n") = 0;
		pass_on(number, text);
		CALL(read, FIRST_PIPE + 2 * PROCESSES + 2, &pids[child], sizeof pids[child]);
		return TINY_ELSEWHERE;
	}
	if (is_kill)
		CALL(kill, pids[number], SIGKILL);
	else
		pass_on(number, request), pass_on(number, "\n");
	if (is_exit || is_kill) {
		int status = 0;
		char *end = text;
		CALL(wait4, pids[number], &status, 0, 0);
		pids[number] = 0;
		end = append(decimal(end, number), " ok");
		end = is_kill ? end : decimal(append(end, " "), status >> 8 & 255);
		tiny_write(text, append(end, "\n") - text);
	}
	return TINY_ELSEWHERE;
}

__attribute__((used)) static void start(void)
{
	static char facts[160];
	struct {
		unsigned long now, most;
	} descriptors = {1024, 1024};
	CALL(prlimit64, 0, 7 /* RLIMIT_NOFILE */, &descriptors, 0);
	CALL(dup3, 1, FIRST_PIPE - 1, O_CLOEXEC); /* answers */
	CALL(dup3, 0, FIRST_PIPE, O_CLOEXEC);     /* requests */
	input = FIRST_PIPE;
	make_pipe(PROCESSES + 1); /* for the numbers of children */
	for (int fd = 0; fd < 3; fd++) {
		CALL(close, fd);
		CALL(openat, AT_FDCWD, "/dev/null", O_RDWR);
	}
	decimal(append(append(facts, system_facts), " uid="), CALL(geteuid, 0));
	tiny_facts = facts;
	catch_faults();
	CALL(exit_group, tiny_main());
}

#if defined(__x86_64__)
__asm__(".text\n.globl _start\n_start: and $-16, %rsp\n call start\n");
#else
__asm__(".text\n.globl _start\n_start: bl start\n");
#endif
