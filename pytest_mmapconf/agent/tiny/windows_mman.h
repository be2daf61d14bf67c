/* mmap, munmap, mprotect and msync for Windows: the names that ports of POSIX programs use there, over views of files and
 * allocated memory.  What is checked here is what POSIX requires; the rest is what Windows does.
 *
 * Windows maps and unmaps regions as a whole, at addresses and offsets that are multiples of 64 KiB; protection is that of
 * pages of 4 KiB.  So a page of a region that is unmapped before the others is made inaccessible, and a mapping from an
 * offset between multiples of 64 KiB begins in the middle of a region.
 */
#ifndef WINDOWS_MMAN_H
#define WINDOWS_MMAN_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#define NOGDI /* its ERROR is another */
#include <windows.h>

enum { PAGE = 4096, GRANULARITY = 65536, PARTS = 8192 };
enum { PROT_NONE = 0, PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4 };
enum { MAP_SHARED = 1, MAP_PRIVATE = 2, MAP_FIXED = 0x10, MAP_ANONYMOUS = 0x20 };
enum { MS_ASYNC = 1, MS_INVALIDATE = 2, MS_SYNC = 4 };
#define MAP_FAILED ((void *)-1)
#define END_OF_USER_SPACE ((uintptr_t)0x7fffffff0000)

/* A file as it was opened; the port has a table of them. */
struct file {
	HANDLE handle;
	int64_t position;
	int references, can_read, can_write, is_regular;
};

static struct file *file_of(int fd); /* the port's; 0: not open */

/* ------------------------------------------------------------------------------------------------------------- errors */

static const struct {
	DWORD error;
	int number;
} windows_errors[] = {
	{ERROR_ACCESS_DENIED, EACCES}, {ERROR_SHARING_VIOLATION, EACCES}, {ERROR_FILE_NOT_FOUND, ENOENT},
	{ERROR_PATH_NOT_FOUND, ENOENT}, {ERROR_ALREADY_EXISTS, EEXIST}, {ERROR_FILE_EXISTS, EEXIST},
	{ERROR_NOT_ENOUGH_MEMORY, ENOMEM}, {ERROR_COMMITMENT_LIMIT, ENOMEM}, {ERROR_INVALID_ADDRESS, ENOMEM},
	{ERROR_INVALID_HANDLE, EBADF}, {ERROR_DISK_FULL, ENOSPC}, {ERROR_TOO_MANY_OPEN_FILES, EMFILE},
	{ERROR_USER_MAPPED_FILE, EBUSY}, {ERROR_DIR_NOT_EMPTY, ENOTEMPTY}, {ERROR_DIRECTORY, ENOTDIR}, {0, EINVAL}};

/* Set errno to what the last error of Windows means; return -1. */
static int windows_error(void)
{
	DWORD error = GetLastError();
	int at = 0;
	while (windows_errors[at].error && windows_errors[at].error != error)
		at++;
	errno = windows_errors[at].number;
	return -1;
}

static int fail(int number)
{
	errno = number;
	return -1;
}

/* ----------------------------------------------------------------------------------------------------- what is mapped */

/* What Windows maps and unmaps as a whole. */
struct region {
	char *base;
	HANDLE file; /* of a view; 0: allocated memory */
	int is_private, can_write;
	int parts; /* pages of so many mappings lie in it; 0: this entry is free */
};

/* Mapped pages that follow each other. */
struct part {
	char *start, *end;
	struct region *region; /* 0: pages that no file fills, without a region */
	int is_past_end;       /* of the file when it was mapped: every access is SIGBUS */
};

static struct region regions[PARTS];
static struct part parts[PARTS];
static int part_count;

static struct part *part_at(const char *address)
{
	for (int at = 0; at < part_count; at++) {
		if (parts[at].start <= address && address < parts[at].end)
			return &parts[at];
	}
	return 0;
}

/* Return 1 if every page of a range is mapped. */
static int is_mapped(const char *start, const char *end)
{
	while (start < end) {
		struct part *part = part_at(start);
		if (!part)
			return 0;
		start = part->end;
	}
	return 1;
}

static int has_entries(int count) { return part_count + count <= PARTS; }

static struct region *add_region(char *base, HANDLE file)
{
	struct region *region = regions;
	while (region->parts)
		region++; /* each has a part at least, so that one is free where an entry of `parts` is */
	*region = (struct region){base, file, 0, 1, 0};
	return region;
}

static void add_part(char *start, char *end, struct region *region, int is_past_end)
{
	parts[part_count++] = (struct part){start, end, region, is_past_end};
	if (region)
		region->parts++;
}

static void release(struct region *region)
{
	if (region->file) {
		UnmapViewOfFile(region->base);
		CloseHandle(region->file);
	} else {
		VirtualFree(region->base, 0, MEM_RELEASE);
	}
}

/* Unmap the pages of a part from `from` to `to`; there is an entry for what remains after them. */
static void cut(struct part *part, char *from, char *to)
{
	struct region *region = part->region;
	char *end = part->end;
	DWORD old;
	part->end = from;
	if (to < end)
		add_part(to, end, region, part->is_past_end);
	if (part->start == from) {
		*part = parts[--part_count];
		if (region && --region->parts == 0) {
			release(region);
			return;
		}
	}
	if (!region)
		return;
	if (region->file)
		VirtualProtect(from, to - from, PAGE_NOACCESS, &old);
	else
		VirtualFree(from, to - from, MEM_DECOMMIT);
}

static void unmap_range(char *start, char *end)
{
	for (int at = part_count - 1; at >= 0; at--) { /* the last entry takes the place of one that is removed */
		struct part *part = &parts[at];
		if (part->start < end && start < part->end)
			cut(part, part->start > start ? part->start : start, part->end < end ? part->end : end);
	}
}

/* Round up to pages; 0: there is no such number. */
static size_t in_pages(size_t length) { return (length + PAGE - 1) & ~(size_t)(PAGE - 1); }

/* Check a range of munmap, msync or mprotect; return its end, 0 if errno says what is wrong. */
static char *end_of(const void *address, size_t length, int if_too_long)
{
	uintptr_t start = (uintptr_t)address;
	size_t size = in_pages(length);
	errno = EINVAL;
	if (start % PAGE)
		return 0;
	errno = if_too_long;
	if (size < length || size > END_OF_USER_SPACE || start > END_OF_USER_SPACE - size)
		return 0;
	return (char *)start + size;
}

/* --------------------------------------------------------------------------------------------------------- protection */

static DWORD page_protection(int prot, int is_copy)
{
	static const DWORD protections[2][4] = {
		{PAGE_NOACCESS, PAGE_READONLY, PAGE_READWRITE, PAGE_READWRITE},
		{PAGE_EXECUTE, PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE, PAGE_EXECUTE_READWRITE}};
	DWORD protection = protections[prot >> 2 & 1][prot & 3];
	if (is_copy && protection == PAGE_READWRITE)
		return PAGE_WRITECOPY;
	return is_copy && protection == PAGE_EXECUTE_READWRITE ? PAGE_EXECUTE_WRITECOPY : protection;
}

/* Memory that was mapped with PROT_NONE is only reserved before this. */
static int protect(struct region *region, char *start, char *end, int prot)
{
	DWORD old, protection = page_protection(prot, region->file && region->is_private);
	if (!region->file) /* changes what is committed already, too */
		return VirtualAlloc(start, end - start, MEM_COMMIT, protection) ? 0 : windows_error();
	return VirtualProtect(start, end - start, protection, &old) ? 0 : windows_error();
}

/* --------------------------------------------------------------------------------------------------------------- mmap */

/* Map `size` bytes of a file at `at`, 0 for anywhere, with all protections that it permits; 0: failed. */
static char *view(struct file *file, int is_private, int64_t offset, size_t size, void *at)
{
	static const DWORD whole[3] = {PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE, PAGE_EXECUTE_WRITECOPY};
	static const DWORD data[3] = {PAGE_READONLY, PAGE_READWRITE, PAGE_WRITECOPY};
	static const DWORD accesses[3] = {FILE_MAP_READ, FILE_MAP_WRITE, FILE_MAP_COPY};
	int kind = is_private ? 2 : file->can_write;
	DWORD access = accesses[kind] | FILE_MAP_EXECUTE;
	HANDLE section = CreateFileMappingA(file->handle, 0, whole[kind], 0, 0, 0);
	char *base;
	if (!section) {
		access = accesses[kind];
		section = CreateFileMappingA(file->handle, 0, data[kind], 0, 0, 0);
	}
	if (!section)
		return 0;
	base = MapViewOfFileEx(section, access, (DWORD)(offset >> 32), (DWORD)offset, size, at);
	CloseHandle(section);
	return base;
}

static void *mapped_memory(char *at, size_t size, int prot)
{
	DWORD kind = prot ? MEM_RESERVE | MEM_COMMIT : MEM_RESERVE;
	char *base = VirtualAlloc(at, size, kind, page_protection(prot, 0));
	if (!base)
		return windows_error(), MAP_FAILED;
	add_part(base, base + size, add_region(base, 0), 0);
	return base;
}

/* Map a file at `at`, where nothing is mapped; `before` bytes of it precede the mapping in its region. */
static void *mapped_file(char *at, size_t before, size_t size, int prot, int is_private, struct file *file, int64_t offset)
{
	LARGE_INTEGER length;
	size_t filled = 0; /* bytes of pages that the file fills at least in part */
	struct region *region;
	DWORD old;
	char *base, *rest;
	if (!GetFileSizeEx(file->handle, &length))
		return windows_error(), MAP_FAILED;
	if (length.QuadPart > offset)
		filled = (uint64_t)(length.QuadPart - offset) < size ? in_pages(length.QuadPart - offset) : size;
	if (filled) {
		size_t bytes = length.QuadPart - offset < (int64_t)filled ? length.QuadPart - offset : (int64_t)filled;
		base = view(file, is_private, offset - before, before + bytes, at);
		if (!base)
			return windows_error(), MAP_FAILED;
		region = add_region(base, INVALID_HANDLE_VALUE);
		region->is_private = is_private;
		region->can_write = is_private || file->can_write;
		add_part(at + before, at + before + filled, region, 0);
		DuplicateHandle(GetCurrentProcess(), file->handle, GetCurrentProcess(), &region->file, 0, 0, DUPLICATE_SAME_ACCESS);
		if (before)
			VirtualProtect(at, before, PAGE_NOACCESS, &old);
		if (protect(region, at + before, at + before + filled, prot) < 0) {
			unmap_range(at + before, at + before + filled);
			return MAP_FAILED;
		}
	}
	if (filled == size)
		return at + before;
	/* No other mapping can begin before the next multiple of 64 KiB. */
	rest = at + (before + filled + GRANULARITY - 1) / GRANULARITY * GRANULARITY;
	region = rest < at + before + size && VirtualAlloc(rest, at + before + size - rest, MEM_RESERVE, PAGE_NOACCESS)
			 ? add_region(rest, 0) : 0;
	add_part(at + before + filled, at + before + size, region, 1);
	return at + before;
}

/* Return where a mapping can be made: at `hint` if that is free, else elsewhere; 0: nowhere. */
static char *free_range(char *hint, size_t size)
{
	char *at = 0;
	if (hint && (uintptr_t)hint % GRANULARITY == 0)
		at = VirtualAlloc(hint, size, MEM_RESERVE, PAGE_NOACCESS);
	if (!at)
		at = VirtualAlloc(0, size, MEM_RESERVE, PAGE_NOACCESS);
	if (!at)
		return windows_error(), (char *)0;
	VirtualFree(at, 0, MEM_RELEASE);
	return at;
}

/* Check what mmap is given; return 0, or -1 with errno. */
static int check(const struct file *file, const void *hint, size_t length, int prot, int flags, int64_t offset)
{
	int is_shared = (flags & (MAP_SHARED | MAP_PRIVATE)) == MAP_SHARED;
	size_t size = in_pages(length);
	if (!(flags & MAP_ANONYMOUS) && !file)
		return fail(EBADF);
	if (!length || offset % PAGE || (!is_shared && !(flags & MAP_PRIVATE)) || (flags & 3) == 3)
		return fail(EINVAL);
	if ((flags & MAP_FIXED) && (uintptr_t)hint % PAGE)
		return fail(EINVAL);
	if (size < length || size > END_OF_USER_SPACE)
		return fail(ENOMEM);
	if ((flags & MAP_FIXED) && (uintptr_t)hint > END_OF_USER_SPACE - size)
		return fail(ENOMEM);
	if (flags & MAP_ANONYMOUS)
		return 0;
	if (offset < 0 || (uint64_t)offset + size > INT64_MAX)
		return fail(EOVERFLOW);
	if (!file->can_read || (is_shared && (prot & PROT_WRITE) && !file->can_write))
		return fail(EACCES);
	return file->is_regular ? 0 : fail(ENODEV);
}

static void *mmap(void *hint, size_t length, int prot, int flags, int fd, int64_t offset)
{
	struct file *file = flags & MAP_ANONYMOUS ? 0 : file_of(fd);
	size_t size = in_pages(length), before = file ? offset % GRANULARITY : 0;
	char *at;
	if (check(file, hint, length, prot, flags, offset) < 0)
		return MAP_FAILED;
	if (!has_entries(3))
		return fail(ENOMEM), MAP_FAILED;
	if (flags & MAP_FIXED) {
		at = (char *)hint - before;
		if ((uintptr_t)at % GRANULARITY) /* Windows maps nothing there */
			return fail(EINVAL), MAP_FAILED;
		unmap_range(hint, (char *)hint + size);
	} else {
		at = free_range(hint, before + size);
		if (!at)
			return MAP_FAILED;
	}
	if (!file)
		return mapped_memory(at, size, prot);
	return mapped_file(at, before, size, prot, !(flags & MAP_SHARED), file, offset);
}

/* --------------------------------------------------------------------------------------------------- the other calls */

static int munmap(void *address, size_t length)
{
	char *end = end_of(address, length, EINVAL);
	if (!end)
		return -1;
	if (!length)
		return fail(EINVAL);
	if (!has_entries(1))
		return fail(ENOMEM);
	unmap_range(address, end);
	return 0;
}

static int mprotect(void *address, size_t length, int prot)
{
	char *at = address, *end = end_of(address, length, ENOMEM);
	if (!end)
		return -1;
	if (!is_mapped(at, end))
		return fail(ENOMEM);
	while (at < end) {
		struct part *part = part_at(at);
		char *to = part->end < end ? part->end : end;
		if (part->region && !part->is_past_end) {
			if ((prot & PROT_WRITE) && !part->region->can_write)
				return fail(EACCES);
			if (protect(part->region, at, to, prot) < 0)
				return -1;
		}
		at = to;
	}
	return 0;
}

static int msync(void *address, size_t length, int flags)
{
	char *at = address, *end = end_of(address, length, ENOMEM);
	if (!end)
		return -1;
	if ((flags & MS_ASYNC) && (flags & MS_SYNC))
		return fail(EINVAL);
	if (!is_mapped(at, end))
		return fail(ENOMEM);
	while (at < end) {
		struct part *part = part_at(at);
		char *to = part->end < end ? part->end : end;
		if (part->region && part->region->file && !part->region->is_private) {
			if (!FlushViewOfFile(at, to - at))
				return windows_error();
			if ((flags & MS_SYNC) && part->region->can_write && !FlushFileBuffers(part->region->file))
				return windows_error();
		}
		at = to;
	}
	return 0;
}

#endif
