/*
 * valgrind ends when a page of PROT_EXEC alone is executed on a processor with protection keys
 *
 * Promised: code in a page with PROT_EXEC can be executed (POSIX mmap; clause mmap.prot.exec).
 * Seen: valgrind ends with an internal error: on x86 with protection keys (ospke in /proc/cpuinfo) no program
 * can read such a page, and valgrind reads the code there.
 * System: valgrind 3.19.0
 * Reported: no report found
 * Needs: gcc valgrind cpu:ospke
 * Run: gcc $SOURCE -o finding && valgrind -q --tool=none ./finding
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

int main(void)
{
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return 77;
    memcpy(page, "\xc3", 1); /* ret */
    if (mprotect(page, 4096, PROT_EXEC) != 0)
        return 77;
    ((void (*)(void))page)();
    puts("executed");
    return 0;
}
