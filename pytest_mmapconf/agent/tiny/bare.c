/* The tiny agent on a bare machine, and an example of a small system: a kernel in two pages of C with a toy mmap of files,
 * on the RISC-V board `virt` of qemu.  Its console echoes what it reads and takes lines of 128 bytes.  A failed call has
 * no reason, and a refused access ends nothing but itself, without a signal.
 *
 *     riscv64-linux-gnu-gcc -std=c11 -O1 -march=rv64imac -mabi=lp64 -mcmodel=medany -ffreestanding -nostdlib -static \
 *         -fno-pie -no-pie -fno-stack-protector -Wl,-N,--no-relax,-Ttext=0x80000000,--build-id=none -o bare tiny_agent.c bare.c
 *     qemu-system-riscv64 -M virt -bios none -nographic -kernel bare
 */
#include "tiny.h"

enum { PAGE = 4096, PROCESSES = 8, DESCRIPTORS = 16, MAPPINGS = 16, FILES = 24, FILE_PAGES = 48, COPIES = 256 };
enum { READ = 1, WRITE = 2, SHARED = 1, PRIVATE = 2, WRONLY = 1, RDWR = 2, CREAT = 0100, EXCL = 0200, TRUNC = 01000 };

const char *tiny_facts = "system=stub release=1 machine=riscv64 libc=none page=4096 bits=64 byteorder=little "
			  "errno=none signals=none echo=yes";
const unsigned long tiny_line = 128, tiny_data = TINY_DATA;

/* ----------------------------------------------------------------------------------------------------------- console */

#define UART ((volatile unsigned char *)0x10000000)

static void put_byte(int byte)
{
	while (!(UART[5] & 0x20))
		;
	UART[0] = byte;
}

int tiny_read_byte(void)
{
	while (!(UART[5] & 1)) { /* each look stops qemu from reading more for a moment */
		for (volatile int wait = 0; wait < 2000; wait++)
			;
	}
	int byte = UART[0];
	put_byte(byte);
	return byte;
}

void tiny_write(const char *text, unsigned long length)
{
	while (length--)
		put_byte(*text++);
}

void *memset(void *to, int byte, unsigned long count)
{
	for (unsigned long at = 0; at < count; at++)
		((volatile unsigned char *)to)[at] = byte;
	return to;
}

void *memcpy(void *to, const void *from, unsigned long count)
{
	for (unsigned long at = 0; at < count; at++)
		((volatile unsigned char *)to)[at] = ((const unsigned char *)from)[at];
	return to;
}

/* ------------------------------------------------------------------------------------------------------------- state */

struct file {
	char name[16]; /* empty: no name */
	int references;
	long size;
	unsigned char data[FILE_PAGES * PAGE];
};

struct mapping {
	unsigned long start, end;
	long prot, flags, offset;
	struct file *file;
	unsigned char *copies[FILE_PAGES]; /* of a private mapping: the pages that were stored to */
};

struct process {
	int is_alive;
	struct {
		struct file *file;
		int mode;
	} descriptors[DESCRIPTORS];
	struct mapping mappings[MAPPINGS]; /* end 0: unused */
};

static struct file files[FILES], console = {.references = 1}; /* descriptors 0 to 2; it is never released */
static struct process processes[PROCESSES], *self;
static unsigned char copies[COPIES][PAGE];
static int is_copied[COPIES];

static void release(struct file *file)
{
	if (!--file->references)
		memset(file->data, 0, sizeof file->data), file->size = 0;
}

static unsigned char *new_copy(const unsigned char *from)
{
	for (int at = 0; at < COPIES; at++) {
		if (!is_copied[at])
			return is_copied[at] = 1, memcpy(copies[at], from, PAGE);
	}
	return 0;
}

static void drop_copies(struct mapping *mapping, unsigned long from, unsigned long to)
{
	for (unsigned long at = from; at < to; at += PAGE) {
		unsigned char **copy = &mapping->copies[(at - mapping->start) / PAGE];
		if (*copy)
			is_copied[(*copy - copies[0]) / PAGE] = 0;
		*copy = 0;
	}
}

/* ------------------------------------------------------------------------------------------------------------- files */

static struct file *opened(long fd)
{
	return fd >= 0 && fd < DESCRIPTORS ? self->descriptors[fd].file : 0;
}

static struct file *file_of(long fd)
{
	return opened(fd) == &console ? 0 : opened(fd);
}

static int equal(const char *one, const char *other)
{
	while (*one && *one == *other)
		one++, other++;
	return *one == *other;
}

static long install(struct file *file, int mode)
{
	for (int fd = 0; fd < DESCRIPTORS; fd++) {
		if (!self->descriptors[fd].file) {
			self->descriptors[fd].file = file;
			self->descriptors[fd].mode = mode;
			file->references++;
			return fd;
		}
	}
	return -1;
}

static long do_open(const long *a)
{
	const char *name = (const char *)a[0];
	struct file *file = 0, *unused = 0;
	int length = 0;
	for (int at = 0; at < FILES; at++) {
		if (files[at].name[0] && equal(files[at].name, name))
			file = &files[at];
		else if (!files[at].references && !files[at].name[0])
			unused = &files[at];
	}
	while (name[length])
		length++;
	if (file ? a[1] & EXCL : !(a[1] & CREAT) || !unused || length > 14 || !length)
		return -1;
	if (!file)
		file = unused, memcpy(file->name, name, length + 1), file->references++; /* of the name */
	if (a[1] & TRUNC)
		memset(file->data, 0, sizeof file->data), file->size = 0;
	return install(file, a[1] & 3);
}

static long do_close(const long *a)
{
	struct file *file = opened(a[0]);
	if (!file)
		return -1;
	self->descriptors[a[0]].file = 0;
	release(file);
	return 0;
}

static long do_dup(const long *a)
{
	return opened(a[0]) ? install(opened(a[0]), self->descriptors[a[0]].mode) : -1;
}

static long do_unlink(const long *a)
{
	for (int at = 0; at < FILES; at++) {
		if (files[at].name[0] && equal(files[at].name, (const char *)a[0]))
			return files[at].name[0] = 0, release(&files[at]), 0;
	}
	return -1;
}

static long do_pread(const long *a)
{
	struct file *file = file_of(a[0]);
	long length = a[1];
	if (!file || a[1] < 0 || a[1] > (long)tiny_data || a[2] < 0)
		return -1;
	if (length > file->size - a[2])
		length = file->size > a[2] ? file->size - a[2] : 0;
	memcpy(tiny_buffer, file->data + a[2], length);
	return length;
}

static long do_pwrite(const long *a)
{
	struct file *file = file_of(a[0]);
	if (!file || a[3] < 0 || a[3] + a[2] > FILE_PAGES * PAGE)
		return -1;
	if (a[3] + a[2] > file->size) {
		memset(file->data + file->size, 0, a[3] + a[2] - file->size); /* what was stored past the end */
		file->size = a[3] + a[2];
	}
	memcpy(file->data + a[3], (const void *)a[1], a[2]);
	return a[2];
}

static long do_fstat(const long *a)
{
	tiny_kind = opened(a[0]) == &console ? "character" : "regular";
	return opened(a[0]) ? opened(a[0])->size : -1;
}

/* ---------------------------------------------------------------------------------------------------------- mappings */

static long do_sysconf(const long *a) { return a[0] == 30 ? PAGE : -1; }

static long do_mmap(const long *a)
{
	struct file *file = file_of(a[4]);
	struct mapping *unused = 0;
	unsigned long top = 0x3ffffff000, pages = (a[1] + PAGE - 1) / PAGE;
	int mode = file ? self->descriptors[a[4]].mode : 0;
	for (int at = 0; at < MAPPINGS; at++) {
		if (!self->mappings[at].end)
			unused = &self->mappings[at];
		else if (self->mappings[at].start < top)
			top = self->mappings[at].start;
	}
	if (!file || !unused || a[1] <= 0 || pages > FILE_PAGES || a[5] % PAGE || a[5] < 0 ||
	    (a[3] != SHARED && a[3] != PRIVATE) || mode == WRONLY || (a[2] & WRITE && a[3] == SHARED && mode != RDWR))
		return -1;
	*unused = (struct mapping){top - pages * PAGE, top, a[2], a[3], a[5], file, {0}};
	file->references++;
	return unused->start;
}

static void remove_range(struct mapping *mapping, unsigned long from, unsigned long to, struct mapping *rest)
{
	drop_copies(mapping, from, to);
	if (to < mapping->end) {
		*rest = *mapping;
		rest->start = to;
		rest->offset += to - mapping->start;
		for (unsigned long at = to; at < mapping->end; at += PAGE)
			rest->copies[(at - to) / PAGE] = mapping->copies[(at - mapping->start) / PAGE];
		rest->file->references++;
	}
	if (mapping->start < from)
		mapping->end = from;
	else
		mapping->end = 0, release(mapping->file);
}

static long do_munmap(const long *a)
{
	unsigned long from = a[0], to = from + (a[1] + PAGE - 1) / PAGE * PAGE;
	struct mapping *found = 0, *unused = 0, old;
	for (int at = 0; at < MAPPINGS; at++) {
		struct mapping *mapping = &self->mappings[at];
		if (!mapping->end)
			unused = mapping;
		else if (mapping->start <= from && from < to && to <= mapping->end)
			found = mapping;
	}
	if (from % PAGE || a[1] <= 0 || !found || (!unused && found->start < from && to < found->end))
		return -1;
	old = *found;
	if (old.start < from) {
		remove_range(found, from, to, unused);
	} else {
		struct mapping rest = {0};
		remove_range(found, from, to, &rest);
		*found = rest;
	}
	return 0;
}

static unsigned char *byte_at(unsigned long address, int right)
{
	for (int at = 0; at < MAPPINGS; at++) {
		struct mapping *mapping = &self->mappings[at];
		if (mapping->end && mapping->start <= address && address < mapping->end) {
			unsigned long page = (address - mapping->start) / PAGE, position = mapping->offset + page * PAGE;
			unsigned char *data = mapping->file->data + position;
			if (!(mapping->prot & right) || position >= (unsigned long)mapping->file->size)
				return 0;
			if (mapping->flags == PRIVATE && right == WRITE && !mapping->copies[page])
				mapping->copies[page] = new_copy(data);
			if (mapping->copies[page])
				data = mapping->copies[page];
			return data + address % PAGE;
		}
	}
	return 0;
}

int tiny_load(unsigned long address, unsigned char *byte, struct tiny_fault *fault)
{
	unsigned char *at = byte_at(address, READ);
	(void)fault;
	return at ? *byte = *at, 0 : 1;
}

int tiny_store(unsigned long address, unsigned char byte, struct tiny_fault *fault)
{
	unsigned char *at = byte_at(address, WRITE);
	(void)fault;
	return at ? *at = byte, 0 : 1;
}

/* --------------------------------------------------------------------------------------------------------- processes */

static long number_of(struct process *process) { return process - processes + 1; }

long tiny_spawn(void)
{
	for (int at = 0; at < PROCESSES; at++) {
		if (processes[at].is_alive)
			continue;
		self = &processes[at];
		for (int fd = 0; fd < 3; fd++)
			install(&console, RDWR);
		return self->is_alive = 1, number_of(self);
	}
	return -1;
}

static long do_fork(const long *a)
{
	struct process *parent = self, *child;
	long number = tiny_spawn();
	self = parent;
	(void)a;
	if (number < 0)
		return -1;
	child = &processes[number - 1];
	memcpy(child, self, sizeof *child);
	for (int fd = 0; fd < DESCRIPTORS; fd++) {
		if (child->descriptors[fd].file)
			child->descriptors[fd].file->references++;
	}
	for (int at = 0; at < MAPPINGS; at++) {
		struct mapping *mapping = &child->mappings[at];
		if (!mapping->end)
			continue;
		mapping->file->references++;
		for (int page = 0; page < FILE_PAGES; page++) {
			if (mapping->copies[page])
				mapping->copies[page] = new_copy(mapping->copies[page]);
		}
	}
	return number;
}

static long do_exit(const long *a)
{
	for (int at = 0; at < MAPPINGS; at++) {
		struct mapping *mapping = &self->mappings[at];
		if (mapping->end)
			drop_copies(mapping, mapping->start, mapping->end), release(mapping->file);
	}
	for (int fd = 0; fd < DESCRIPTORS; fd++) {
		if (self->descriptors[fd].file)
			release(self->descriptors[fd].file);
	}
	memset(self, 0, sizeof *self);
	return a[0] & 255;
}

void tiny_end(void)
{
	static const long status[] = {0};
	for (int at = 0; at < PROCESSES; at++) {
		self = &processes[at];
		if (self->is_alive)
			do_exit(status);
	}
	for (int at = 0; at < FILES; at++) {
		if (files[at].name[0])
			files[at].name[0] = 0, release(&files[at]);
	}
}

const char *tiny_boot(void)
{
	tiny_end();
	return "/mmapconf-stub00";
}

enum tiny_where tiny_process(long number, char *request)
{
	(void)request;
	if (number < 1 || number > PROCESSES || !processes[number - 1].is_alive)
		return TINY_NONE;
	self = &processes[number - 1];
	return TINY_HERE;
}

const struct tiny_call tiny_calls[] = {
	{"mmap", "nnnnnn", 'n', do_mmap}, {"munmap", "nn", '-', do_munmap}, {"sysconf", "n", 'n', do_sysconf},
	{"open", "pnn", 'n', do_open}, {"close", "n", '-', do_close}, {"dup", "n", 'n', do_dup},
	{"pread", "nnn", 'b', do_pread}, {"pwrite", "ndn", 'n', do_pwrite}, {"fstat", "n", 'k', do_fstat},
	{"unlink", "p", '-', do_unlink}, {"fork", "", 'n', do_fork}, {"exit", "n", 'n', do_exit}, {0, 0, 0, 0}};

const char *tiny_error(long result)
{
	(void)result;
	return "-";
}

int tiny_main(void);
static unsigned char stack[16384] __attribute__((aligned(16), used));
__attribute__((used)) static void start(void)
{
	UART[2] = 1; /* its queue of 16 bytes */
	tiny_main();
	for (;;)
		;
}
__asm__(".section .text.unlikely\n.globl _start\n_start: la sp, stack + 16384\n j start\n");
