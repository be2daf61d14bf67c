/*
 * qemu-user ends when the last page of addresses is unmapped
 *
 * Promised: munmap of a range that is not in user space fails with EINVAL (POSIX munmap; clause munmap.errno.EINVAL).
 * Seen: the emulator ends by a failed assertion, and the program with it.
 * System: qemu-aarch64 7.2.22 and the other machines of qemu-user
 * Reported: no report found
 * Needs: aarch64-linux-gnu-gcc qemu-aarch64-static
 * Run: aarch64-linux-gnu-gcc -static $SOURCE -o finding && qemu-aarch64-static ./finding
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int result = munmap((void *)-page, page);
    int right = result == -1 && errno == EINVAL;
    printf("munmap: %d, errno %d\n", result, result ? errno : 0);
    return !right;
}
