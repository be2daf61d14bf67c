/*
 * qemu-user cannot execute a page without PROT_READ on a processor with protection keys
 *
 * Promised: code in a page with PROT_EXEC can be executed (POSIX mmap; clause mmap.prot.exec).
 * Seen: SIGSEGV. qemu makes a page with code that it has translated PROT_EXEC alone; on x86 with protection keys
 * (ospke in /proc/cpuinfo) no program can read such a page, and qemu reads the code there (SEGV_PKUERR).
 * System: qemu-aarch64, qemu-s390x and qemu-ppc 7.2.22
 * Reported: no report found
 * Needs: aarch64-linux-gnu-gcc qemu-aarch64-static cpu:ospke
 * Run: aarch64-linux-gnu-gcc -static $SOURCE -o finding && qemu-aarch64-static ./finding
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#if defined __aarch64__
static const unsigned char code[] = {0xc0, 0x03, 0x5f, 0xd6}; /* ret */
#elif defined __x86_64__ || defined __i386__
static const unsigned char code[] = {0xc3}; /* ret */
#else
#error "add the code of a return"
#endif

int main(void)
{
    char *page = mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return 77;
    memcpy(page, code, sizeof code);
    __builtin___clear_cache(page, page + sizeof code);
    ((void (*)(void))page)();
    puts("executed");
    return 0;
}
