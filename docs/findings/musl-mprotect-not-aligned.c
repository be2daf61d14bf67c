/*
 * musl changes the protection of a range that is not aligned
 *
 * Promised: Linux's mprotect fails with EINVAL for an address that is not a multiple of the page size (mprotect(2);
 * clause mprotect.errno.EINVAL, level linux). POSIX permits the error and does not require it.
 * Seen: musl rounds the address down and the end up before it makes the call: the call succeeds, and changes one page more
 * than the program has named.
 * System: musl 1.2.3
 * Reported: deliberate, by its source; no report found
 * Needs: musl-gcc
 * Run: musl-gcc -static $SOURCE -o finding && ./finding
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *start = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int result = mprotect(start + page / 2, page, PROT_NONE);
    int right = result == -1 && errno == EINVAL;
    printf("mprotect: %d, errno %d\n", result, result ? errno : 0);
    return !right;
}
