/*
 * Emscripten refuses an address without MAP_FIXED
 *
 * Promised: without MAP_FIXED the address is a hint, and the mapping is made elsewhere if it cannot be there (mmap(2);
 * clause mmap.addr.hint).
 * Seen: mmap fails with EINVAL for every address but 0.
 * System: Emscripten 3.1.6, under node
 * Reported: not known
 * Needs: emcc node
 * Run: emcc $SOURCE -sSINGLE_FILE=1 -sEXIT_RUNTIME=1 -o finding.js && node finding.js
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void)
{
    int file = open("finding.data", O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || write(file, "hello", 5) != 5)
        return 77;
    char *start = mmap((void *)0x100000, 5, PROT_READ, MAP_PRIVATE, file, 0);
    printf("mmap: %s\n", start == MAP_FAILED ? (errno == EINVAL ? "EINVAL" : "another error") : "success");
    return start == MAP_FAILED;
}
