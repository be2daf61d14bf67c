/*
 * valgrind ends when a path is in a mapped page past the end of its file
 *
 * Promised: open fails with EFAULT if its path is in memory that cannot be accessed (open(2); clause buffer.path).
 * Seen: valgrind reads the path itself and gets SIGBUS: VALGRIND INTERNAL ERROR.
 * System: valgrind 3.19.0
 * Reported: no report found
 * Needs: gcc valgrind
 * Run: gcc $SOURCE -o finding && valgrind -q --tool=none ./finding
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void)
{
    char name[] = "/tmp/finding-XXXXXX";
    long page = sysconf(_SC_PAGESIZE);
    int fd = mkstemp(name), opened;
    char *base;

    unlink(name);
    ftruncate(fd, 1);
    base = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    opened = open(base + page, O_RDONLY);
    printf("open: %s, errno %d\n", opened == -1 ? "failure" : "success", errno);
    return !(opened == -1 && errno == EFAULT);
}
