/*
 * Emscripten ends the program when an empty file is mapped
 *
 * Promised: mmap with length 0 fails with EINVAL (POSIX mmap; clause example.empty).
 * Seen: an exception of JavaScript, TypeError, ends the program.
 * System: Emscripten 3.1.6, under node
 * Reported: not known
 * Needs: emcc node
 * Run: emcc $SOURCE -sSINGLE_FILE=1 -sEXIT_RUNTIME=1 -o finding.js && node finding.js
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

int main(void)
{
    int file = open("finding.data", O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (file < 0)
        return 77;
    char *start = mmap(NULL, 0, PROT_READ, MAP_SHARED, file, 0);
    printf("mmap: %s\n", start == MAP_FAILED ? (errno == EINVAL ? "EINVAL" : "another error") : "success");
    return start != MAP_FAILED || errno != EINVAL;
}
