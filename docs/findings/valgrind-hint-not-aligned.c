/*
 * valgrind refuses a hint that is not a multiple of the page size
 *
 * Promised: without MAP_FIXED the address is a hint; the kernel picks a page boundary near it (mmap(2);
 * clauses mmap.addr.hint and mmap.addr.boundary).
 * Seen: mmap fails with EINVAL.
 * System: valgrind 3.19.0
 * Reported: known; programs work around it (dolphin-emu/dolphin pull request 2515)
 * Needs: gcc valgrind
 * Run: gcc $SOURCE -o finding && valgrind -q --tool=none ./finding
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *start = mmap(NULL, 4 * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(start, 4 * page);
    void *result = mmap(start + 1, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("mmap: %s, errno %d\n", result == MAP_FAILED ? "failure" : "success", result == MAP_FAILED ? errno : 0);
    return result == MAP_FAILED;
}
