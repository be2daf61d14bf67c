/*
 * gVisor unmaps a range that ends past user space
 *
 * Promised: munmap of a range that is not in user space fails with EINVAL (POSIX munmap; clause munmap.errno.EINVAL).
 * Seen: it succeeds, and unmaps what is mapped above the address: the stack, for example.
 * System: gVisor release-20221128.0 (Debian 0.0~20221219)
 * Reported: no report found
 * Needs: gcc runsc
 * Run: gcc -static $SOURCE -o finding && runsc --platform=ptrace --network=none --ignore-cgroups do --force-overlay=false -- ./finding
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    /* The highest page of user space, where nothing is mapped, and more. */
    char *last = (char *)(((size_t)1 << 47) - 2 * page);
    int result = munmap(last, (size_t)1 << 47);
    int right = result == -1 && errno == EINVAL;
    printf("munmap: %d, errno %d\n", result, result ? errno : 0);
    return !right;
}
