/*
 * qemu-user moves a mapping that can stay where it is
 *
 * Promised: with MREMAP_MAYMOVE a mapping moves if there is no room to grow in place (mremap(2);
 * clause mremap.flags.maymove).
 * Seen: a mapping moves also if it becomes smaller.
 * System: qemu-aarch64 and qemu-s390x 7.2.22
 * Reported: no report found
 * Needs: aarch64-linux-gnu-gcc qemu-aarch64-static
 * Run: aarch64-linux-gnu-gcc -static $SOURCE -o finding && qemu-aarch64-static ./finding
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *start = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *result = mremap(start, 2 * page, page, MREMAP_MAYMOVE);
    printf("mremap to a smaller size: %s\n", result == start ? "in place" : "moved");
    return result != start;
}
