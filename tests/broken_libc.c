/* A library with one bug, named by the environment variable BROKEN; to be loaded before the real libc.
 *
 *     cc -shared -fPIC -o broken_libc.so broken_libc.c
 *     LD_PRELOAD=./broken_libc.so BROKEN="close drops the mapping" PROGRAM
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int has_bug(const char *bug)
{
    const char *name = getenv("BROKEN");
    return name && strcmp(name, bug) == 0;
}

static size_t page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t round_up_to_page(size_t length)
{
    return (length + page() - 1) / page() * page();
}

static void *real_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
    return (void *)syscall(SYS_mmap, addr, length, prot, flags, fd, offset);
}

static int real_munmap(void *addr, size_t length)
{
    return (int)syscall(SYS_munmap, addr, length);
}

/* The file mappings, each with the descriptor passed to mmap. */
static struct {
    int fd;
    void *addr;
    size_t length;
} mappings[1024];
static size_t mappings_made;

void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
    void *at;
    int type = flags & MAP_TYPE, anonymous = flags & MAP_ANONYMOUS;
    if (!anonymous && type == MAP_PRIVATE && has_bug("private writes go through")) {
        at = real_mmap(addr, length, prot, (flags & ~MAP_TYPE) | MAP_SHARED, fd, offset);
        if (at != MAP_FAILED)
            return at;
    }
    if (anonymous && type == MAP_SHARED && has_bug("shared anonymous memory is copied at fork"))
        flags = (flags & ~MAP_TYPE) | MAP_PRIVATE;
    at = real_mmap(addr, length, prot, flags, fd, offset);
    if (at == MAP_FAILED && errno == EACCES && flags & MAP_FIXED
        && has_bug("a MAP_FIXED that fails with EACCES unmaps first")) {
        real_munmap(addr, length);
        errno = EACCES;
    }
    if (at != MAP_FAILED && !anonymous) {
        size_t last = mappings_made++ % (sizeof mappings / sizeof *mappings);
        mappings[last].fd = fd;
        mappings[last].addr = at;
        mappings[last].length = length;
    }
    return at;
}

int munmap(void *addr, size_t length)
{
    int result = real_munmap(addr, length);
    if (result == 0 && has_bug("munmap frees one page too many"))
        real_munmap((char *)addr + round_up_to_page(length), page());
    if (result == 0 && has_bug("munmap sets errno to 0"))
        errno = 0;
    return result;
}

void *mremap(void *addr, size_t old_size, size_t new_size, int flags, ...)
{
    va_list rest;
    void *new_addr, *at;
    va_start(rest, flags);
    new_addr = va_arg(rest, void *);
    va_end(rest);
    at = (void *)syscall(SYS_mremap, addr, old_size, new_size, flags, new_addr);
    if (at != MAP_FAILED && round_up_to_page(new_size) > round_up_to_page(old_size) && has_bug("mremap loses the tail"))
        real_munmap((char *)at + round_up_to_page(new_size) - page(), page());
    return at;
}

int msync(void *addr, size_t length, int flags)
{
    int result = (int)syscall(SYS_msync, addr, length, flags);
    return result == -1 && errno == ENOMEM && has_bug("msync says 0 for a hole") ? 0 : result;
}

int close(int fd)
{
    size_t at, count = sizeof mappings / sizeof *mappings;
    if (fd >= 0 && has_bug("close drops the mapping"))
        for (at = 0; at < count; at++)
            if (mappings[at].length && mappings[at].fd == fd) {
                real_munmap(mappings[at].addr, mappings[at].length);
                mappings[at].length = 0;
            }
    return (int)syscall(SYS_close, fd);
}

int ftruncate(int fd, off_t length)
{
    static char tail[1 << 16];
    struct stat status;
    off_t used = length % (off_t)page();
    ssize_t kept = 0;
    int result;
    if (length > 0 && used && has_bug("a truncated page is not zeroed") && fstat(fd, &status) == 0
        && status.st_size > length)
        kept = pread(fd, tail, page() - (size_t)used, length);
    result = (int)syscall(SYS_ftruncate, fd, length);
    if (result == 0 && kept > 0) {
        char *at = real_mmap(NULL, page(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, length - used);
        if (at != MAP_FAILED) {
            memcpy(at + used, tail, (size_t)kept);
            real_munmap(at, page());
        }
    }
    return result;
}

#ifdef __GLIBC__
void *mmap64(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
    return mmap(addr, length, prot, flags, fd, offset);
}

int ftruncate64(int fd, off_t length)
{
    return ftruncate(fd, length);
}
#endif
