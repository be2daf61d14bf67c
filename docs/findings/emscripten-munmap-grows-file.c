/*
 * Emscripten makes a file longer when it writes a mapping back
 *
 * Promised: what is after the end of the file in the last page is not written to the file (POSIX mmap; clause
 * overview.slack).
 * Seen: munmap writes back as many bytes as were mapped: a file of 5 bytes has 65536 then.
 * System: Emscripten 3.1.6, under node
 * Reported: not known
 * Needs: emcc node
 * Run: emcc $SOURCE -sSINGLE_FILE=1 -sEXIT_RUNTIME=1 -o finding.js && node finding.js
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void)
{
    struct stat about;
    int file = open("finding.data", O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || write(file, "hello", 5) != 5)
        return 77;
    char *start = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (start == MAP_FAILED)
        return 77;
    munmap(start, 65536);
    fstat(file, &about);
    printf("size after munmap: %ld\n", (long)about.st_size);
    return about.st_size != 5;
}
