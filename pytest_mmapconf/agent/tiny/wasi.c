/* The port of the tiny agent to WebAssembly: WASI with wasi-libc, or Emscripten with files in memory (MEMFS).  In both,
 * mmap is emulated by a copy of the file in allocated memory.  There is one process, and nothing protects memory: only an
 * access past its end fails.
 *
 *     python -m pytest_mmapconf.agent.wasi
 *     python -m pytest_mmapconf.agent.emscripten
 */
#include "tiny.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int tiny_main(void);

#ifdef __EMSCRIPTEN__
#define TEXT(number) #number
#define RELEASE(major, minor, tiny) TEXT(major) "." TEXT(minor) "." TEXT(tiny)
#define SYSTEM                                                                                              \
	"system=Emscripten release=" RELEASE(__EMSCRIPTEN_major__, __EMSCRIPTEN_minor__, __EMSCRIPTEN_tiny__) \
	" machine=wasm32 libc=musl filesystem=memfs"
#define FOLDER "/mmapconf-memory"
enum { FIRST_FILE = 3 };
#else
#define SYSTEM "system=WASI release=0.1 machine=wasm32 libc=wasi-libc"
#define FOLDER "/"
enum { FIRST_FILE = 4 }; /* 3 is the directory */
#endif

const char *tiny_facts = SYSTEM " page=65536 bits=32 byteorder=little signals=none";
const unsigned long tiny_line = TINY_LINE, tiny_data = TINY_DATA;

static int has_process;

/* ------------------------------------------------------------------------------------------------------------ stream */

#ifdef __EMSCRIPTEN__
#include <emscripten.h>
/* Its own stdin ends where nothing has arrived yet. */
EM_JS(int, read_byte, (void), {
	const bytes = new Uint8Array(1);
	return require("fs").readSync(0, bytes, 0, 1) === 1 ? bytes[0] : -1;
});

int tiny_read_byte(void)
{
	return read_byte();
}
#else
int tiny_read_byte(void)
{
	return getchar();
}
#endif

void tiny_write(const char *text, unsigned long length)
{
	fwrite(text, 1, length, stdout);
	fflush(stdout);
}

/* ---------------------------------------------------------------------------------------------------------- accesses */

static int is_outside(unsigned long address)
{
	return address / 65536 >= __builtin_wasm_memory_size(0);
}

int tiny_load(unsigned long address, unsigned char *byte, struct tiny_fault *fault)
{
	(void)fault;
	return is_outside(address) ? 1 : (*byte = *(volatile unsigned char *)address, 0);
}

int tiny_store(unsigned long address, unsigned char byte, struct tiny_fault *fault)
{
	(void)fault;
	return is_outside(address) ? 1 : (*(volatile unsigned char *)address = byte, 0);
}

/* ------------------------------------------------------------------------------------------------------------- calls */

static const struct {
	int number;
	const char *name;
} errors[] = {
#define ERROR(name) {name, #name}
	ERROR(EPERM), ERROR(ENOENT), ERROR(EIO), ERROR(EBADF), ERROR(EAGAIN), ERROR(ENOMEM), ERROR(EACCES), ERROR(EFAULT),
	ERROR(EEXIST), ERROR(ENODEV), ERROR(ENOTDIR), ERROR(EISDIR), ERROR(EINVAL), ERROR(EMFILE), ERROR(EFBIG),
	ERROR(ENOSPC), ERROR(ESPIPE), ERROR(EROFS), ERROR(ENAMETOOLONG), ERROR(ENOSYS), ERROR(EOVERFLOW), ERROR(ENOTSUP),
#ifdef ENOTCAPABLE
	ERROR(ENOTCAPABLE),
#endif
	{0, 0}};

const char *tiny_error(long result)
{
	(void)result;
	for (int at = 0; errors[at].name; at++) {
		if (errors[at].number == errno)
			return errors[at].name;
	}
	return "EIO";
}

static long do_mmap(const long *a)
{
	void *at = mmap((void *)a[0], a[1], a[2], a[3], a[4], a[5]);
	return at == MAP_FAILED ? -1 : (long)at;
}

/* The protocol's flags of open are those of Linux; wasi-libc has other numbers. */
static long do_open(const long *a)
{
	int flags = (a[1] & 3) == 0 ? O_RDONLY : (a[1] & 3) == 1 ? O_WRONLY : O_RDWR;
	flags |= (a[1] & 0100 ? O_CREAT : 0) | (a[1] & 0200 ? O_EXCL : 0) | (a[1] & 01000 ? O_TRUNC : 0);
	return open((const char *)a[0], flags | (a[1] & 02000 ? O_APPEND : 0), a[2]);
}

static long do_fstat(const long *a)
{
	struct stat about;
	long result = fstat(a[0], &about);
	if (result < 0)
		return result;
	tiny_kind = S_ISREG(about.st_mode) ? "regular" : S_ISDIR(about.st_mode) ? "directory" : "other";
	return about.st_size;
}

#ifdef __EMSCRIPTEN__ /* wasi-libc has none; the numbers are those of Linux */
static long do_msync(const long *a) { return msync((void *)a[0], a[1], a[2]); }
#endif
static long do_munmap(const long *a) { return munmap((void *)a[0], a[1]); }
static long do_close(const long *a) { return close(a[0]); }
static long do_ftruncate(const long *a) { return ftruncate(a[0], a[1]); }
static long do_lseek(const long *a)
{
	return lseek(a[0], a[1], a[2] == 0 ? SEEK_SET : a[2] == 1 ? SEEK_CUR : a[2] == 2 ? SEEK_END : -1);
}
static long do_pread(const long *a) { return pread(a[0], tiny_buffer, a[1], a[2]); }
static long do_pwrite(const long *a) { return pwrite(a[0], (const void *)a[1], a[2], a[3]); }
static long do_fsync(const long *a) { return fsync(a[0]); }
static long do_unlink(const long *a) { return unlink((const char *)a[0]); }
static long do_mkdir(const long *a) { return mkdir((const char *)a[0], 0700); }
static long do_sysconf(const long *a)
{
	errno = EINVAL;
	return sysconf(a[0] == 30 ? _SC_PAGESIZE : a[0]);
}

const struct tiny_call tiny_calls[] = {
#ifdef __EMSCRIPTEN__
	{"msync", "nnn", '-', do_msync},
#endif
	{"mmap", "nnnnnn", 'n', do_mmap}, {"munmap", "nn", '-', do_munmap}, {"sysconf", "n", 'n', do_sysconf},
	{"open", "pnn", 'n', do_open}, {"close", "n", '-', do_close}, {"ftruncate", "nn", '-', do_ftruncate},
	{"lseek", "nnn", 'n', do_lseek}, {"pread", "nnn", 'b', do_pread}, {"pwrite", "ndn", 'n', do_pwrite},
	{"fstat", "n", 'k', do_fstat}, {"fsync", "n", '-', do_fsync}, {"unlink", "p", '-', do_unlink},
	{"mkdir", "p", '-', do_mkdir}, {0, 0, 0, 0}};

/* --------------------------------------------------------------------------------------------------------- processes */

static void remove_files(const char *folder)
{
	DIR *directory = opendir(folder);
	for (struct dirent *entry; directory && (entry = readdir(directory));) {
		char path[PATH_MAX];
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
		if (unlink(path) < 0) {
			remove_files(path);
			rmdir(path);
		}
	}
	if (directory)
		closedir(directory);
}

const char *tiny_boot(void)
{
	tiny_end();
	mkdir(FOLDER, 0700);
	chdir(FOLDER);
	return FOLDER;
}

/* The memory of what is still mapped is not released: libc does not report it. */
void tiny_end(void)
{
	has_process = 0;
	for (int fd = FIRST_FILE; fd < 64; fd++)
		close(fd);
	remove_files(FOLDER);
}

static long last_number;

long tiny_spawn(void)
{
	if (has_process)
		return TINY_LACKS;
	has_process = 1;
	return ++last_number;
}

enum tiny_where tiny_process(long number, char *request)
{
	(void)request;
	return has_process && number == last_number ? TINY_HERE : TINY_NONE;
}

int main(void)
{
	return tiny_main();
}
