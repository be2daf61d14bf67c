/*
 * qemu-user ends when mprotect is given a range up to the last address
 *
 * Promised: mprotect of a range that is not mapped fails with ENOMEM (POSIX mprotect; clause mprotect.errno.ENOMEM).
 * Seen: the emulator ends by a failed assertion, and the program with it.
 * System: qemu-aarch64 7.2.22
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
    char *start = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int result = mprotect(start, -(size_t)start, PROT_READ);
    int right = result == -1 && errno == ENOMEM;
    printf("mprotect: %d, errno %d\n", result, result ? errno : 0);
    return !right;
}
