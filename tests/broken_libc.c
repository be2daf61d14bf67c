/* A libc with one thing wrong, which the environment variable BROKEN names: to be put before the real one.
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

static int broken(const char *what)
{
    const char *name = getenv("BROKEN");
    return name && strcmp(name, what) == 0;
}

static size_t page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t whole(size_t length)
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

/* Which descriptor each mapping was made with. */
static struct {
    int fd;
    void *addr;
    size_t length;
} made[1024];
static size_t makings;

void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
    void *at;
    int type = flags & MAP_TYPE, anonymous = flags & MAP_ANONYMOUS;
    if (!anonymous && type == MAP_PRIVATE && broken("private writes go through")) {
        at = real_mmap(addr, length, prot, (flags & ~MAP_TYPE) | MAP_SHARED, fd, offset);
        if (at != MAP_FAILED)
            return at;
    }
    if (anonymous && type == MAP_SHARED && broken("shared anonymous memory is copied at fork"))
        flags = (flags & ~MAP_TYPE) | MAP_PRIVATE;
    at = real_mmap(addr, length, prot, flags, fd, offset);
    if (at == MAP_FAILED && errno == EACCES && flags & MAP_FIXED
        && broken("a MAP_FIXED that fails with EACCES unmaps first")) {
        real_munmap(addr, length);
        errno = EACCES;
    }
    if (at != MAP_FAILED && !anonymous) {
        size_t last = makings++ % (sizeof made / sizeof *made);
        made[last].fd = fd;
        made[last].addr = at;
        made[last].length = length;
    }
    return at;
}

int munmap(void *addr, size_t length)
{
    int result = real_munmap(addr, length);
    if (result == 0 && broken("munmap frees one page too many"))
        real_munmap((char *)addr + whole(length), page());
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
    if (at != MAP_FAILED && whole(new_size) > whole(old_size) && broken("mremap loses the tail"))
        real_munmap((char *)at + whole(new_size) - page(), page());
    return at;
}

int msync(void *addr, size_t length, int flags)
{
    int result = (int)syscall(SYS_msync, addr, length, flags);
    return result == -1 && errno == ENOMEM && broken("msync says 0 for a hole") ? 0 : result;
}

int close(int fd)
{
    size_t at, count = sizeof made / sizeof *made;
    if (fd >= 0 && broken("close drops the mapping"))
        for (at = 0; at < count; at++)
            if (made[at].length && made[at].fd == fd) {
                real_munmap(made[at].addr, made[at].length);
                made[at].length = 0;
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
    if (length > 0 && used && broken("a truncated page is not zeroed") && fstat(fd, &status) == 0
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
