/*
 * Emscripten loses stores through a mapping whose descriptor is closed
 *
 * Promised: close of the descriptor does not unmap; a store through the mapping changes the file (POSIX mmap; clause
 * mmap.refcount.close).
 * Seen: munmap writes back by the number of the descriptor that was mapped; once it is closed, the store is lost.
 * System: Emscripten 3.1.6, under node
 * Reported: not known
 * Needs: emcc node
 * Run: emcc $SOURCE -sSINGLE_FILE=1 -sEXIT_RUNTIME=1 -o finding.js && node finding.js
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void)
{
    char byte = 0;
    int file = open("finding.data", O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || write(file, "hello", 5) != 5)
        return 77;
    char *start = mmap(NULL, 5, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (start == MAP_FAILED)
        return 77;
    close(file);
    start[0] = 'j';
    munmap(start, 5);
    file = open("finding.data", O_RDONLY);
    if (file < 0 || read(file, &byte, 1) != 1)
        return 77;
    printf("first byte of the file: %c\n", byte);
    return byte != 'j';
}
