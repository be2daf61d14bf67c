/*
 * qemu-user ends when a path is in a mapped page past the end of its file
 *
 * Promised: open fails with EFAULT if its path is in memory that cannot be accessed (open(2); clause buffer.path).
 * Seen: qemu reads the path itself, gets SIGBUS and ends: an assertion in cpu_exec or rcu_read_unlock fails.
 * System: qemu-aarch64 7.2.22 and the other machines of qemu-user
 * Reported: no report found
 * Needs: aarch64-linux-gnu-gcc qemu-aarch64-static
 * Run: aarch64-linux-gnu-gcc -static $SOURCE -o finding && qemu-aarch64-static ./finding
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
