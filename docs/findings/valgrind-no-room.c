/*
 * valgrind reports EINVAL for a mapping for which there is no room
 *
 * Promised: where there are not enough addresses, mmap fails with ENOMEM (POSIX mmap, mmap(2); clause mmap.errno.ENOMEM).
 * Seen: it fails with EINVAL.
 * System: valgrind 3.19.0
 * Reported: no report found
 * Needs: gcc valgrind
 * Run: gcc $SOURCE -o finding && valgrind -q --tool=none ./finding
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

int main(void)
{
    size_t length = (size_t)1 << 47;
    void *result = mmap(NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int right = result == MAP_FAILED && errno == ENOMEM;
    printf("mmap: %s, errno %d\n", result == MAP_FAILED ? "failure" : "success", errno);
    return !right;
}
