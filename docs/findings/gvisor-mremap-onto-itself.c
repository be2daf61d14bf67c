/*
 * gVisor ends when shared memory is duplicated onto itself
 *
 * Promised: mremap returns an address or fails (mremap(2)); an old size of 0 duplicates shared memory, MREMAP_FIXED
 * unmaps the new range first, so that nothing is left to duplicate. Linux reports EFAULT (clause mremap.errno.EFAULT).
 * Seen: the sandbox ends, with every process in it.
 * System: gVisor release-20221128.0 (Debian 0.0~20221219)
 * Reported: no report found
 * Needs: gcc runsc
 * Run: gcc -static $SOURCE -o finding && runsc --platform=ptrace --network=none --ignore-cgroups do --force-overlay=false -- ./finding
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *start = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    void *result = mremap(start, 0, page, MREMAP_MAYMOVE | MREMAP_FIXED, start);
    printf("mremap: %s, errno %d\n", result == MAP_FAILED ? "failure" : "success", result == MAP_FAILED ? errno : 0);
    return 0;
}
