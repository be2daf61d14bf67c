/* The port of the tiny agent to 64-bit Windows, or wine: mmap and its relatives are those of windows_mman.h.  Each process
 * is this program again, with pipes from and to the supervisor, which passes requests and answers on.  Nothing is forked.
 *
 *     x86_64-w64-mingw32-gcc -O1 -o tiny.exe tiny_agent.c windows.c
 *     tiny.exe [--directory DIRECTORY]
 *
 * Paths have slashes and no drive: they are on the drive of the directory that the program is started in.
 */
#include "tiny.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "windows_mman.h"

#include "names.h"

int tiny_main(void);

enum { PROCESSES = 64, DESCRIPTORS = 512, SCRATCH_PAGES = 1024 };

static char facts[200];
const char *tiny_facts = facts;
const unsigned long tiny_line = TINY_LINE, tiny_data = TINY_DATA;

static HANDLE input, output;

/* ------------------------------------------------------------------------------------------------------------ stream */

static int write_all(HANDLE to, const char *text, unsigned long length)
{
	DWORD count = 0;
	for (; length; text += count, length -= count) {
		if (!WriteFile(to, text, length, &count, 0))
			return 0;
	}
	return 1;
}

int tiny_read_byte(void)
{
	static unsigned char buffer[512];
	static DWORD at, end;
	if (at == end) {
		at = 0;
		if (!ReadFile(input, buffer, sizeof buffer, &end, 0) || !end)
			return end = 0, -1;
	}
	return buffer[at++];
}

void tiny_write(const char *text, unsigned long length)
{
	if (!write_all(output, text, length))
		ExitProcess(1);
}

/* ---------------------------------------------------------------------------------------------------------- accesses */

static CONTEXT before_access;
static volatile int is_accessing, has_faulted;
static struct tiny_fault last;

/* Note an access that has faulted, and go back to before it. */
static LONG CALLBACK on_exception(EXCEPTION_POINTERS *exception)
{
	const EXCEPTION_RECORD *record = exception->ExceptionRecord;
	int is_in_page = record->ExceptionCode == (DWORD)EXCEPTION_IN_PAGE_ERROR;
	ULONG_PTR address = record->ExceptionInformation[1];
	const struct part *part = part_at((char *)address);
	if (!is_accessing || (!is_in_page && record->ExceptionCode != (DWORD)EXCEPTION_ACCESS_VIOLATION))
		return EXCEPTION_CONTINUE_SEARCH;
	is_accessing = 0;
	has_faulted = 1;
	last.address = address;
	last.has_address = address != (ULONG_PTR)-1; /* not reported for an address that no memory can have */
	if (is_in_page || (part && part->is_past_end)) {
		last.signal = "SIGBUS", last.code = "BUS_ADRERR";
	} else {
		last.signal = "SIGSEGV";
		last.code = !last.has_address ? "SI_KERNEL" : part ? "SEGV_ACCERR" : "SEGV_MAPERR";
	}
	*exception->ContextRecord = before_access;
	return EXCEPTION_CONTINUE_EXECUTION;
}

/* Load or store a byte.  After a fault, the call of RtlCaptureContext returns for the second time. */
static int access_byte(tiny_address address, unsigned char *byte, int is_store, struct tiny_fault *fault)
{
	volatile unsigned char *at = (volatile unsigned char *)address;
	has_faulted = 0;
	RtlCaptureContext(&before_access);
	if (has_faulted)
		return *fault = last, 1;
	is_accessing = 1;
	if (is_store)
		*at = *byte;
	else
		*byte = *at;
	return is_accessing = 0;
}

int tiny_load(tiny_address address, unsigned char *byte, struct tiny_fault *fault)
{
	return access_byte(address, byte, 0, fault);
}

int tiny_store(tiny_address address, unsigned char byte, struct tiny_fault *fault)
{
	return access_byte(address, &byte, 1, fault);
}

/* ------------------------------------------------------------------------------------------------------------- files */

static struct file files[DESCRIPTORS];
static struct file *descriptors[DESCRIPTORS];

static struct file *file_of(int fd)
{
	return fd >= 0 && fd < DESCRIPTORS ? descriptors[fd] : 0;
}

static int lowest_free(void)
{
	int fd = 0;
	while (fd < DESCRIPTORS && descriptors[fd])
		fd++;
	return fd < DESCRIPTORS ? fd : fail(EMFILE);
}

static int add_file(HANDLE handle, int can_read, int can_write)
{
	BY_HANDLE_FILE_INFORMATION about;
	struct file *file = files;
	int fd = lowest_free(); /* so that a file is free as well */
	if (handle == INVALID_HANDLE_VALUE)
		return windows_error();
	if (fd < 0) {
		CloseHandle(handle);
		return -1;
	}
	while (file->references)
		file++;
	*file = (struct file){handle, 0, 1, can_read, can_write, 0};
	file->is_regular = GetFileType(handle) == FILE_TYPE_DISK && GetFileInformationByHandle(handle, &about) &&
			   !(about.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY);
	descriptors[fd] = file;
	return fd;
}

/* Open a path with the flags of Linux; others may read, write and delete the file at the same time, as on POSIX. */
static HANDLE open_handle(const char *path, int flags)
{
	static const DWORD accesses[3] = {GENERIC_READ, GENERIC_WRITE, GENERIC_READ | GENERIC_WRITE};
	static const DWORD made[2][2] = {{OPEN_EXISTING, TRUNCATE_EXISTING}, {OPEN_ALWAYS, CREATE_ALWAYS}};
	DWORD access = accesses[flags & 3], sharing = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
	DWORD how = (flags & 0300) == 0300 ? CREATE_NEW : made[!!(flags & 0100)][!!(flags & 01000)];
	if ((flags & 3) != 1)
		access |= GENERIC_EXECUTE; /* for mappings with PROT_EXEC */
	return CreateFileA(path, access, sharing, 0, how, FILE_FLAG_BACKUP_SEMANTICS, 0); /* a directory, too */
}

static tiny_number do_open(const tiny_number *a)
{
	int flags = (int)a[1] & ~0100000; /* without O_LARGEFILE */
	if ((flags & ~02001303) || (flags & 3) == 3)
		return TINY_LACKS;
	return add_file(open_handle((const char *)a[0], flags), (flags & 3) != 1, (flags & 3) != 0);
}

static tiny_number do_close(const tiny_number *a)
{
	struct file *file = file_of((int)a[0]);
	if (!file)
		return fail(EBADF);
	descriptors[a[0]] = 0;
	if (--file->references == 0)
		CloseHandle(file->handle);
	return 0;
}

static tiny_number do_dup(const tiny_number *a)
{
	struct file *file = file_of((int)a[0]);
	int fd = file ? lowest_free() : fail(EBADF);
	if (fd >= 0) {
		descriptors[fd] = file;
		file->references++;
	}
	return fd;
}

static tiny_number size_of(const struct file *file)
{
	LARGE_INTEGER size;
	return !file->is_regular ? 0 : GetFileSizeEx(file->handle, &size) ? size.QuadPart : windows_error();
}

static tiny_number do_fstat(const tiny_number *a)
{
	struct file *file = file_of((int)a[0]);
	if (!file)
		return fail(EBADF);
	tiny_kind = file->is_regular ? "regular" : GetFileType(file->handle) == FILE_TYPE_DISK ? "directory" : "character";
	return size_of(file);
}

static tiny_number do_ftruncate(const tiny_number *a)
{
	struct file *file = file_of((int)a[0]);
	FILE_END_OF_FILE_INFO end;
	if (!file)
		return fail(EBADF);
	if (!file->can_write || !file->is_regular || a[1] < 0)
		return fail(EINVAL);
	end.EndOfFile.QuadPart = a[1];
	return SetFileInformationByHandle(file->handle, FileEndOfFileInfo, &end, sizeof end) ? 0 : windows_error();
}

static tiny_number do_lseek(const tiny_number *a)
{
	struct file *file = file_of((int)a[0]);
	tiny_number to;
	if (!file)
		return fail(EBADF);
	if (a[2] < 0 || a[2] > 2)
		return TINY_LACKS;
	to = a[1] + (a[2] == 1 ? file->position : a[2] == 2 ? size_of(file) : 0);
	return to < 0 ? fail(EINVAL) : (file->position = to);
}

static OVERLAPPED place_of(tiny_number offset)
{
	OVERLAPPED place = {0};
	place.Offset = (DWORD)offset;
	place.OffsetHigh = (DWORD)(offset >> 32);
	return place;
}

static tiny_number do_pread(const tiny_number *a)
{
	struct file *file = file_of((int)a[0]);
	OVERLAPPED place = place_of(a[2]);
	DWORD count = 0;
	if (a[1] < 0 || a[1] > TINY_DATA)
		return TINY_LACKS;
	if (!file || !file->can_read)
		return fail(EBADF);
	if (a[2] < 0)
		return fail(EINVAL);
	if (!ReadFile(file->handle, tiny_buffer, (DWORD)a[1], &count, &place) && GetLastError() != ERROR_HANDLE_EOF)
		return windows_error();
	return count;
}

static tiny_number do_pwrite(const tiny_number *a)
{
	struct file *file = file_of((int)a[0]);
	OVERLAPPED place = place_of(a[3]);
	DWORD count = 0;
	if (!file || !file->can_write)
		return fail(EBADF);
	if (a[3] < 0)
		return fail(EINVAL);
	return WriteFile(file->handle, (const void *)a[1], (DWORD)a[2], &count, &place) ? (tiny_number)count : windows_error();
}

static tiny_number do_fsync(const tiny_number *a)
{
	struct file *file = file_of((int)a[0]);
	return !file ? fail(EBADF) : !file->can_write || FlushFileBuffers(file->handle) ? 0 : windows_error();
}

/* Windows keeps the name of a deleted file until it is closed; so the file gets another name first. */
static tiny_number do_unlink(const tiny_number *a)
{
	static unsigned count;
	const char *path = (const char *)a[0];
	char other[MAX_PATH];
	DWORD attributes = GetFileAttributesA(path);
	if (attributes == INVALID_FILE_ATTRIBUTES)
		return windows_error();
	if (attributes & FILE_ATTRIBUTE_DIRECTORY)
		return fail(EISDIR);
	snprintf(other, sizeof other, "%s~%lu-%u", path, (unsigned long)GetCurrentProcessId(), ++count);
	return DeleteFileA(MoveFileA(path, other) ? other : path) ? 0 : windows_error();
}

static tiny_number do_mkdir(const tiny_number *a)
{
	return CreateDirectoryA((const char *)a[0], 0) ? 0 : windows_error();
}

/* ----------------------------------------------------------------------------------------------------- other calls */

static tiny_number address_of(void *result) { return result == MAP_FAILED ? -1 : (tiny_number)result; }

const char *tiny_error(tiny_number result)
{
	static char unknown[24];
	if (result != -1)
		return ""; /* an address in the upper half */
	if (errno_name(errno))
		return errno_name(errno);
	snprintf(unknown, sizeof unknown, "errno-%d", errno);
	return unknown;
}

static tiny_number do_mmap(const tiny_number *a)
{
	if ((a[2] & ~7) || (a[3] & ~0x33))
		return TINY_LACKS;
	return address_of(mmap((void *)a[0], a[1], (int)a[2], (int)a[3], (int)a[4], a[5]));
}

static tiny_number do_munmap(const tiny_number *a) { return munmap((void *)a[0], a[1]); }

static tiny_number do_mprotect(const tiny_number *a)
{
	return a[2] & ~7 ? TINY_LACKS : mprotect((void *)a[0], a[1], (int)a[2]);
}

static tiny_number do_msync(const tiny_number *a)
{
	return a[2] & ~7 ? fail(EINVAL) : msync((void *)a[0], a[1], (int)a[2]);
}

static tiny_number do_sysconf(const tiny_number *a) { return a[0] == 30 ? PAGE : TINY_LACKS; }

/* Addresses that nothing else uses: far from where Windows places memory by itself. */
static tiny_number do_scratch_range(const tiny_number *a)
{
	static char *range = (char *)0x200000000000;
	static int is_found;
	(void)a;
	tiny_second = SCRATCH_PAGES * PAGE;
	while (!is_found) {
		if (VirtualAlloc(range, tiny_second, MEM_RESERVE, PAGE_NOACCESS)) {
			VirtualFree(range, 0, MEM_RELEASE);
			is_found = 1;
		} else {
			range += (int64_t)1 << 32;
		}
	}
	return (tiny_number)range;
}

static tiny_number do_exit(const tiny_number *a)
{
	ExitProcess((UINT)a[0] & 255);
}

const struct tiny_call tiny_calls[] = {
	{"mmap", "nnnnnn", 'n', do_mmap}, {"munmap", "nn", '-', do_munmap}, {"msync", "nnn", '-', do_msync},
	{"mprotect", "nnn", '-', do_mprotect}, {"sysconf", "n", 'n', do_sysconf}, {"open", "pnn", 'n', do_open},
	{"close", "n", '-', do_close}, {"dup", "n", 'n', do_dup}, {"ftruncate", "nn", '-', do_ftruncate},
	{"lseek", "nnn", 'n', do_lseek}, {"fsync", "n", '-', do_fsync}, {"pread", "nnn", 'b', do_pread},
	{"pwrite", "ndn", 'n', do_pwrite}, {"fstat", "n", 'k', do_fstat}, {"unlink", "p", '-', do_unlink},
	{"mkdir", "p", '-', do_mkdir}, {"exit", "n", '-', do_exit}, {"scratch-range", "", '2', do_scratch_range},
	{0, 0, 0, 0}};

/* --------------------------------------------------------------------------------------------------------- processes */

static struct {
	HANDLE process, to, from; /* process: 0 after its end */
} children[PROCESSES + 1];
static long processes;
static char program[MAX_PATH], base[MAX_PATH], folder[MAX_PATH];
static HANDLE job; /* ends the processes with the supervisor */

static void remove_files(const char *path)
{
	char inside[2 * MAX_PATH];
	WIN32_FIND_DATAA entry;
	HANDLE search;
	snprintf(inside, sizeof inside, "%s/*", path);
	search = FindFirstFileA(inside, &entry);
	if (search != INVALID_HANDLE_VALUE) {
		do {
			snprintf(inside, sizeof inside, "%s/%s", path, entry.cFileName);
			if (strcmp(entry.cFileName, ".") && strcmp(entry.cFileName, "..") && !DeleteFileA(inside))
				remove_files(inside);
		} while (FindNextFileA(search, &entry));
		FindClose(search);
	}
	RemoveDirectoryA(path);
}

const char *tiny_boot(void)
{
	static unsigned count;
	tiny_end();
	do
		snprintf(folder, sizeof folder, "%s/mmapconf-%lu_%06u", base, (unsigned long)GetCurrentProcessId(), ++count);
	while (!CreateDirectoryA(folder, 0) && GetLastError() == ERROR_ALREADY_EXISTS);
	if (GetFileAttributesA(folder) == INVALID_FILE_ATTRIBUTES)
		*folder = 0;
	return *folder ? folder : 0;
}

/* Wait for the end of a process; return its status. */
static DWORD end_process(long number)
{
	DWORD status = 0;
	WaitForSingleObject(children[number].process, INFINITE);
	GetExitCodeProcess(children[number].process, &status);
	CloseHandle(children[number].process);
	CloseHandle(children[number].to);
	CloseHandle(children[number].from);
	children[number].process = 0;
	return status;
}

void tiny_end(void)
{
	for (long number = 1; number <= processes; number++) {
		if (children[number].process)
			TerminateProcess(children[number].process, 1);
	}
	for (long number = 1; number <= processes; number++) {
		if (children[number].process)
			end_process(number);
	}
	processes = 0;
	if (*folder)
		remove_files(folder);
	*folder = 0;
}

/* Make a pipe, of which one end is inherited: the reading one, or the writing one. */
static int make_pipe(HANDLE *inherited, HANDLE *own, int is_reading)
{
	SECURITY_ATTRIBUTES inherit = {sizeof inherit, 0, TRUE};
	if (!(is_reading ? CreatePipe(inherited, own, &inherit, 0) : CreatePipe(own, inherited, &inherit, 0)))
		return 0;
	return SetHandleInformation(*own, HANDLE_FLAG_INHERIT, 0);
}

long tiny_spawn(void)
{
	STARTUPINFOA start = {0};
	PROCESS_INFORMATION made;
	char command[MAX_PATH + 16];
	long number = processes + 1;
	if (!*folder)
		return fail(EINVAL); /* only after a boot */
	if (number > PROCESSES || !make_pipe(&start.hStdInput, &children[number].to, 1) ||
	    !make_pipe(&start.hStdOutput, &children[number].from, 0))
		return fail(EAGAIN);
	start.cb = sizeof start;
	start.dwFlags = STARTF_USESTDHANDLES;
	start.hStdError = GetStdHandle(STD_ERROR_HANDLE);
	snprintf(command, sizeof command, "\"%s\" --process %ld", program, number);
	if (!CreateProcessA(program, command, 0, 0, TRUE, 0, 0, folder, &start, &made))
		return windows_error();
	AssignProcessToJobObject(job, made.hProcess);
	CloseHandle(made.hThread);
	CloseHandle(start.hStdInput);
	CloseHandle(start.hStdOutput);
	children[number].process = made.hProcess;
	return processes = number;
}

/* Pass a request on, and its answer back; return 0 if the process has ended instead. */
static int ask(long number, const char *request)
{
	char answer[2 * TINY_DATA + 64];
	unsigned long length = 0;
	if (!write_all(children[number].to, request, strlen(request)) || !write_all(children[number].to, "\n", 1))
		return 0;
	while (length < sizeof answer) {
		DWORD count;
		if (!ReadFile(children[number].from, answer + length, sizeof answer - length, &count, 0) || !count)
			return 0;
		length += count;
		if (answer[length - 1] == '\n')
			break;
	}
	tiny_write(answer, length);
	return 1;
}

enum tiny_where tiny_process(long number, char *request)
{
	char text[64];
	int is_exit = !strncmp(request, "exit ", 5);
	DWORD status;
	if (number < 1 || number > processes)
		return TINY_NONE;
	if (!children[number].process) {
		snprintf(text, sizeof text, "%ld died 0\n", number);
	} else if (!strcmp(request, "kill")) {
		TerminateProcess(children[number].process, 1);
		end_process(number);
		snprintf(text, sizeof text, "%ld ok\n", number);
	} else {
		if (ask(number, request))
			return TINY_ELSEWHERE;
		status = end_process(number);
		if (status == (DWORD)EXCEPTION_ACCESS_VIOLATION)
			snprintf(text, sizeof text, "%ld died SIGSEGV\n", number);
		else
			snprintf(text, sizeof text, "%ld %s %lu\n", number, is_exit ? "ok" : "died", (unsigned long)status);
	}
	tiny_write(text, strlen(text));
	return TINY_ELSEWHERE;
}

/* Answer requests as a process; descriptors 0 to 2 are its own, not those of the agent. */
static void be_process(void)
{
	AddVectoredExceptionHandler(1, on_exception);
	for (int fd = 0; fd < 3; fd++)
		add_file(CreateFileA("NUL", GENERIC_READ | GENERIC_WRITE, 3, 0, OPEN_EXISTING, 0, 0), 1, 1);
}

static void be_supervisor(int count, char **words)
{
	JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {0};
	OSVERSIONINFOA version = {0};
	char *letter;
	version.dwOSVersionInfoSize = sizeof version;
	GetVersionExA(&version);
	GetModuleFileNameA(0, program, sizeof program);
	if (count == 3 && !strcmp(words[1], "--directory"))
		snprintf(base, sizeof base, "%s", words[2]);
	else
		GetTempPathA(sizeof base, base);
	while ((letter = strchr(base, '\\')))
		*letter = '/';
	if (base[0] && base[1] == ':')
		memmove(base, base + 2, strlen(base + 2) + 1);
	if (*base && base[strlen(base) - 1] == '/')
		base[strlen(base) - 1] = 0;
	job = CreateJobObjectA(0, 0);
	limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
	SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits);
	snprintf(facts, sizeof facts,
		 "system=Windows release=%lu.%lu.%lu machine=x86_64 page=%d bits=64 byteorder=little end=0x%llx lowest=0x%x descriptors=%d",
		 version.dwMajorVersion, version.dwMinorVersion, version.dwBuildNumber, PAGE,
		 (unsigned long long)END_OF_USER_SPACE, GRANULARITY, DESCRIPTORS);
}

int main(int count, char **words)
{
	input = GetStdHandle(STD_INPUT_HANDLE);
	output = GetStdHandle(STD_OUTPUT_HANDLE);
	if (count == 3 && !strcmp(words[1], "--process")) {
		be_process();
		tiny_answer_requests(atol(words[2]));
		return 0;
	}
	be_supervisor(count, words);
	return tiny_main();
}
