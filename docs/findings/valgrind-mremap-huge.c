/*
 * valgrind ends when mremap is given the largest size
 *
 * Promised: a new size that is too large makes mremap fail with ENOMEM or EINVAL (mremap(2); clause mremap.errno.EINVAL).
 * Seen: valgrind ends by a failed assertion, and the program with it.
 * System: valgrind 3.19.0
 * Reported: no report found
 * Needs: gcc valgrind
 * Run: gcc $SOURCE -o finding && valgrind -q --tool=none ./finding
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
    void *result = mremap(start, page, -page, MREMAP_MAYMOVE);
    int right = result == MAP_FAILED && (errno == EINVAL || errno == ENOMEM);
    printf("mremap: %s, errno %d\n", result == MAP_FAILED ? "failure" : "success", errno);
    return !right;
}
