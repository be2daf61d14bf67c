/*
 * qemu-user reports ENOMEM for mremap to a size of 0
 *
 * Promised: mremap with a new size of 0 fails with EINVAL (mremap(2); clause mremap.errno.EINVAL).
 * Seen: it fails with ENOMEM.
 * System: qemu-aarch64 and qemu-s390x 7.2.22
 * Reported: no report found
 * Needs: aarch64-linux-gnu-gcc qemu-aarch64-static
 * Run: aarch64-linux-gnu-gcc -static $SOURCE -o finding && qemu-aarch64-static ./finding
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *start = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *result = mremap(start, page, 0, MREMAP_MAYMOVE);
    int right = result == MAP_FAILED && errno == EINVAL;
    printf("mremap: %s, errno %d\n", result == MAP_FAILED ? "failure" : "success", errno);
    return !right;
}
