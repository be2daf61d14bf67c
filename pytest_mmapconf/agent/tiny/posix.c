/* The port of the tiny agent to POSIX systems, by their libc.  Each process is a child of the supervisor or, after fork,
 * of another process; it reads its requests from a pipe of its own, and writes its answers itself.
 *
 *     cc -O1 -o tiny tiny_agent.c posix.c
 *
 * Numbers in requests are those of Linux.  A request with a flag that the system does not define is unsupported.
 */
#define _GNU_SOURCE
#define _DARWIN_C_SOURCE
#define _NETBSD_SOURCE
#include "tiny.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "names.h"

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

int tiny_main(void);

enum { PROCESSES = 64, DESCRIPTORS = 512, FIRST_PIPE = 300, LOCK_FILE = 298, SCRATCH_PAGES = 1024 };

const char *tiny_facts;
const unsigned long tiny_line = TINY_LINE, tiny_data = TINY_DATA;

static pid_t pids[PROCESSES + 1]; /* by number; 0: ended, or not begun */
static int is_child[PROCESSES + 1]; /* of the supervisor, which then gets its status */
static long processes, page;
static char folder[PATH_MAX];

/* ------------------------------------------------------------------------------------------------------------ stream */

static int input = FIRST_PIPE; /* the descriptor that requests come from */
static long read_at, read_end;

int tiny_read_byte(void)
{
	static unsigned char buffer[512];
	if (read_at == read_end) {
		read_at = 0;
		read_end = read(input, buffer, sizeof buffer);
		if (read_end <= 0)
			return read_end = 0, -1;
	}
	return buffer[read_at++];
}

static void write_all(int fd, const char *text, unsigned long length)
{
	while (length) {
		long written = write(fd, text, length);
		if (written <= 0)
			_exit(1);
		text += written, length -= written;
	}
}

void tiny_write(const char *text, unsigned long length)
{
	write_all(FIRST_PIPE - 1, text, length);
}

/* ---------------------------------------------------------------------------------------------------------- accesses */

static struct tiny_fault last;
static sigjmp_buf after_fault;

static void on_fault(int signal, siginfo_t *info, void *context)
{
	(void)context;
	last.signal = signal == SIGSEGV ? "SIGSEGV" : "SIGBUS";
	last.code = code_name(signal, info->si_code);
	last.has_address = last.code[0] != '-' && strcmp(last.code, "SI_KERNEL");
	last.address = (unsigned long)info->si_addr;
	siglongjmp(after_fault, 1);
}

static void catch_faults(void)
{
	struct sigaction action = {0};
	action.sa_sigaction = on_fault;
	action.sa_flags = SA_SIGINFO | SA_NODEFER;
	sigaction(SIGSEGV, &action, 0);
	sigaction(SIGBUS, &action, 0);
}

int tiny_load(unsigned long address, unsigned char *byte, struct tiny_fault *fault)
{
	if (sigsetjmp(after_fault, 0))
		return *fault = last, 1;
	*byte = *(volatile unsigned char *)address;
	return 0;
}

int tiny_store(unsigned long address, unsigned char byte, struct tiny_fault *fault)
{
	if (sigsetjmp(after_fault, 0))
		return *fault = last, 1;
	*(volatile unsigned char *)address = byte;
	return 0;
}

/* ------------------------------------------------------------------------------------------------- numbers and names */

struct bit {
	long linux_bit, bit;
};

/* Translate the bits of a number; TINY_LACKS if there are others. */
static long translated(long given, const struct bit *bits)
{
	long result = 0;
	for (; bits->linux_bit; bits++) {
		if (given & bits->linux_bit)
			result |= bits->bit;
		given &= ~bits->linux_bit;
	}
	return given ? TINY_LACKS : result;
}

static const struct bit protections[] = {{1, PROT_READ}, {2, PROT_WRITE}, {4, PROT_EXEC}, {0, 0}};
static const struct bit mapping_flags[] = {
	{1, MAP_SHARED}, {2, MAP_PRIVATE}, {0x10, MAP_FIXED}, {0x20, MAP_ANONYMOUS}, {0, 0}};
static const struct bit flush_flags[] = {{1, MS_ASYNC}, {2, MS_INVALIDATE}, {4, MS_SYNC}, {0, 0}};
static const struct bit open_flags[] = {{1, O_WRONLY}, {2, O_RDWR}, {0100, O_CREAT}, {0200, O_EXCL}, {01000, O_TRUNC},
					{02000, O_APPEND}, {04000, O_NONBLOCK}, {02000000, O_CLOEXEC}, {0, 0}};

const char *tiny_error(long result)
{
	static char unknown[24];
	if (result != -1)
		return ""; /* an address in the upper half */
	if (errno_name(errno))
		return errno_name(errno);
	snprintf(unknown, sizeof unknown, "errno-%d", errno);
	return unknown;
}

/* ------------------------------------------------------------------------------------------------------------- calls */

static long address_of(void *result) { return result == MAP_FAILED ? -1 : (long)result; }

static long do_mmap(const long *a)
{
	long prot = translated(a[2], protections), flags = translated(a[3], mapping_flags);
	if (prot == TINY_LACKS || flags == TINY_LACKS)
		return TINY_LACKS;
	return address_of(mmap((void *)a[0], a[1], (int)prot, (int)flags, (int)a[4], a[5]));
}

static long do_mprotect(const long *a)
{
	long prot = translated(a[2], protections);
	return prot == TINY_LACKS ? TINY_LACKS : mprotect((void *)a[0], a[1], (int)prot);
}

static long do_msync(const long *a)
{
	long flags = translated(a[2], flush_flags);
	return flags == TINY_LACKS ? TINY_LACKS : msync((void *)a[0], a[1], (int)flags);
}

#ifdef MREMAP_MAYMOVE
static long do_mremap(const long *a)
{
	return address_of(mremap((void *)a[0], a[1], a[2], (int)a[3], (void *)a[4]));
}
#endif

static long do_open(const long *a)
{
	long flags = translated(a[1] & ~0100000l, open_flags); /* without O_LARGEFILE */
	return flags == TINY_LACKS ? TINY_LACKS : open((const char *)a[0], (int)flags, (mode_t)a[2]);
}

static long do_fstat(const long *a)
{
	struct stat about;
	if (fstat((int)a[0], &about))
		return -1;
	tiny_kind = S_ISREG(about.st_mode) ? "regular" : S_ISDIR(about.st_mode) ? "directory" : "other";
	return (long)about.st_size;
}

static long do_sysconf(const long *a)
{
	if (a[0] != 30)
		return TINY_LACKS;
	return sysconf(_SC_PAGESIZE);
}

static long do_lseek(const long *a)
{
	static const int from[] = {SEEK_SET, SEEK_CUR, SEEK_END};
	return a[2] < 0 || a[2] > 2 ? TINY_LACKS : lseek((int)a[0], a[1], from[a[2]]);
}

static long do_pread(const long *a)
{
	return a[1] < 0 || a[1] > TINY_DATA ? TINY_LACKS : pread((int)a[0], tiny_buffer, a[1], a[2]);
}

static long do_munmap(const long *a) { return munmap((void *)a[0], a[1]); }
static long do_close(const long *a) { return close((int)a[0]); }
static long do_dup(const long *a) { return dup((int)a[0]); }
static long do_ftruncate(const long *a) { return ftruncate((int)a[0], a[1]); }
static long do_fsync(const long *a) { return fsync((int)a[0]); }
static long do_pwrite(const long *a) { return pwrite((int)a[0], (const void *)a[1], a[2], a[3]); }
static long do_unlink(const long *a) { return unlink((const char *)a[0]); }
static long do_mkdir(const long *a) { return mkdir((const char *)a[0], 0700); }

/* Addresses that nothing else uses: where the system would place a mapping of this length, which is then removed. */
static long do_scratch_range(const long *a)
{
	static void *range;
	(void)a;
	tiny_second = SCRATCH_PAGES * page;
	if (!range) {
		range = mmap(0, 2 * tiny_second, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (range == MAP_FAILED)
			return -1;
		munmap(range, 2 * tiny_second);
	}
	return (long)range;
}

static void begin(long number);

static int pipe_end(long number, int is_write) { return (int)(FIRST_PIPE + 2 * number + is_write); }

static long do_fork(const long *a)
{
	pid_t pid = fork();
	if (pid == 0)
		begin(a[0]);
	if (pid < 0)
		write_all(pipe_end(PROCESSES + 1, 1), (const char *)&pid, sizeof pid);
	return pid < 0 ? -1 : a[0];
}

static long do_exit(const long *a)
{
	_exit((int)a[0]);
}

const struct tiny_call tiny_calls[] = {
	{"mmap", "nnnnnn", 'n', do_mmap}, {"munmap", "nn", '-', do_munmap}, {"msync", "nnn", '-', do_msync},
#ifdef MREMAP_MAYMOVE
	{"mremap", "nnnnn", 'n', do_mremap},
#endif
	{"mprotect", "nnn", '-', do_mprotect}, {"sysconf", "n", 'n', do_sysconf}, {"open", "pnn", 'n', do_open},
	{"close", "n", '-', do_close}, {"dup", "n", 'n', do_dup}, {"ftruncate", "nn", '-', do_ftruncate},
	{"lseek", "nnn", 'n', do_lseek}, {"fsync", "n", '-', do_fsync}, {"pread", "nnn", 'b', do_pread},
	{"pwrite", "ndn", 'n', do_pwrite}, {"fstat", "n", 'k', do_fstat}, {"unlink", "p", '-', do_unlink},
	{"mkdir", "p", '-', do_mkdir}, {"fork", "n", 'n', do_fork}, {"exit", "n", '-', do_exit},
	{"scratch-range", "", '2', do_scratch_range}, {0, 0, 0, 0}};

/* --------------------------------------------------------------------------------------------------------- processes */

/* Give a descriptor another number; the new one is closed by exec. */
static void move(int from, int to)
{
	dup2(from, to);
	fcntl(to, F_SETFD, FD_CLOEXEC);
	close(from);
}

/* A process holds the lock of its byte of a file until it has ended, whether anything waits for it or not. */
static struct flock lock_of(long number)
{
	struct flock lock = {0};
	lock.l_type = F_WRLCK;
	lock.l_whence = SEEK_SET;
	lock.l_start = number;
	lock.l_len = 1;
	return lock;
}

static int make_lock_file(void)
{
	FILE *file = tmpfile();
	if (!file)
		return 0;
	move(fileno(file), LOCK_FILE);
	return 1;
}

/* Become process `number`: answer the requests that arrive in its pipe. */
static void begin(long number)
{
	struct flock lock = lock_of(number);
	pid_t pid = getpid();
	fcntl(LOCK_FILE, F_SETLK, &lock);
	write_all(pipe_end(PROCESSES + 1, 1), (const char *)&pid, sizeof pid);
	for (long other = 1; other <= PROCESSES; other++) /* only the supervisor writes requests: if it dies, this ends */
		close(pipe_end(other, 1));
	input = pipe_end(number, 0);
	read_at = read_end = 0;
	tiny_answer_requests(number);
	_exit(0);
}

static void make_pipe(long number)
{
	int ends[2];
	if (pipe(ends))
		_exit(1);
	move(ends[0], pipe_end(number, 0));
	move(ends[1], pipe_end(number, 1));
}

static void remove_files(const char *path)
{
	DIR *directory = opendir(path);
	for (struct dirent *entry; directory && (entry = readdir(directory));) {
		char inside[PATH_MAX];
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (snprintf(inside, sizeof inside, "%s/%s", path, entry->d_name) < (int)sizeof inside && unlink(inside))
			remove_files(inside);
	}
	if (directory)
		closedir(directory);
	rmdir(path);
}

const char *tiny_boot(void)
{
	const char *temporary = getenv("TMPDIR");
	tiny_end();
	for (long number = 1; number <= PROCESSES; number++) /* now: a child of fork must have its pipe too */
		make_pipe(number);
	snprintf(folder, sizeof folder, "%s/mmapconf-XXXXXX", temporary && *temporary == '/' ? temporary : "/tmp");
	if (!mkdtemp(folder) || chdir(folder)) {
		*folder = 0;
		return 0;
	}
	return folder;
}

/* Wait until a process has ended; return its status if it is a child of this one, else -1. */
static int wait_for(long number)
{
	int status = -1;
	if (is_child[number]) {
		waitpid(pids[number], &status, 0);
		status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	} else {
		struct flock lock = lock_of(number);
		while (!fcntl(LOCK_FILE, F_GETLK, &lock) && lock.l_type != F_UNLCK) {
			usleep(500);
			lock = lock_of(number);
		}
	}
	pids[number] = 0;
	return status;
}

void tiny_end(void)
{
	for (long number = 1; number <= processes; number++) {
		if (pids[number])
			kill(pids[number], SIGKILL);
	}
	for (long number = 1; number <= processes; number++) {
		if (pids[number])
			wait_for(number);
	}
	processes = 0;
	if (*folder) {
		if (chdir("/"))
			_exit(1);
		remove_files(folder);
		*folder = 0;
	}
}

static long next_process(void)
{
	errno = EAGAIN;
	return processes == PROCESSES ? -1 : ++processes;
}

/* Read the pid that a new process has written when it holds its lock; 0: fork has failed. */
static int read_pid(long number)
{
	if (read(pipe_end(PROCESSES + 1, 0), &pids[number], sizeof pids[number]) != sizeof pids[number])
		_exit(1);
	return pids[number] > 0;
}

long tiny_spawn(void)
{
	long number;
	errno = EINVAL;
	number = *folder ? next_process() : -1; /* only after a boot */
	if (number < 0)
		return number;
	pids[number] = fork();
	if (pids[number] == 0) {
		signal(SIGCHLD, SIG_IGN); /* nothing waits for its children */
		begin(number);
	}
	is_child[number] = 1;
	return pids[number] < 0 || !read_pid(number) ? -1 : number;
}

static void pass_on(long number, const char *request)
{
	write_all(pipe_end(number, 1), request, strlen(request));
	write_all(pipe_end(number, 1), "\n", 1);
}

enum tiny_where tiny_process(long number, char *request)
{
	char text[64];
	int is_kill = !strcmp(request, "kill");
	const char *status = request + 5 + (!strncmp(request, "exit -", 6)); /* after the sign */
	int is_exit = !strncmp(request, "exit ", 5) && *status && !status[strspn(status, "0123456789")];
	if (number < 1 || number > processes)
		return TINY_NONE;
	if (!pids[number]) {
		tiny_write(text, (unsigned long)snprintf(text, sizeof text, "%ld died 0\n", number));
		return TINY_ELSEWHERE;
	}
	if (!strcmp(request, "fork")) { /* the child's number goes with it */
		long child = next_process();
		if (child < 0) {
			tiny_write(text, (unsigned long)snprintf(text, sizeof text, "%ld error EAGAIN\n", number));
			return TINY_ELSEWHERE;
		}
		snprintf(text, sizeof text, "fork %ld", child);
		pass_on(number, text);
		is_child[child] = 0;
		if (!read_pid(child))
			pids[child] = 0;
		return TINY_ELSEWHERE;
	}
	if (is_kill)
		kill(pids[number], SIGKILL);
	else
		pass_on(number, request);
	if (is_exit) {
		int seen = wait_for(number);
		seen = seen < 0 ? atoi(request + 5) & 255 : seen;
		tiny_write(text, (unsigned long)snprintf(text, sizeof text, "%ld ok %d\n", number, seen));
	} else if (is_kill) {
		wait_for(number);
		tiny_write(text, (unsigned long)snprintf(text, sizeof text, "%ld ok\n", number));
	}
	return TINY_ELSEWHERE;
}

int main(void)
{
	static char facts[600];
	struct utsname name;
	int one = 1;
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = DESCRIPTORS;
	page = sysconf(_SC_PAGESIZE);
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0) {
		fprintf(stderr, "tiny: it needs %d descriptors: ulimit -Hn %d\n", DESCRIPTORS, DESCRIPTORS);
		return 1;
	}
	if (uname(&name) < 0)
		return 1;
	snprintf(facts, sizeof facts, "system=%.60s release=%.100s machine=%.60s page=%ld bits=%d byteorder=%s uid=%ld descriptors=%d",
		 name.sysname, name.release, name.machine, page, (int)sizeof(long) * CHAR_BIT,
		 *(char *)&one ? "little" : "big", (long)geteuid(), DESCRIPTORS);
	tiny_facts = facts;
	move(dup(1), FIRST_PIPE - 1); /* answers */
	move(dup(0), FIRST_PIPE);     /* requests */
	make_pipe(PROCESSES + 1);     /* for the pids of new processes */
	if (!make_lock_file())
		return 1;
	for (int fd = 0; fd < 3; fd++) {
		close(fd);
		if (open("/dev/null", O_RDWR) != fd)
			return 1;
	}
	catch_faults();
	return tiny_main();
}
