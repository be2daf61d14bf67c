/*
 * MS_ASYNC leaves the time of a file on FUSE as it was
 *
 * Promised: after a store into a shared mapping, msync with MS_SYNC or MS_ASYNC marks st_mtime for update by its end (POSIX msync;
 * clause times.store).
 * Seen: st_mtime is old until the page is written back, which MS_ASYNC does not begin.
 * System: bindfs 1.14.7 on Linux 6.18
 * Reported: no report found
 * Needs: gcc bindfs
 * Run: gcc $SOURCE -o finding && mkdir -p from at && bindfs from at && trap 'fusermount3 -u at' EXIT && (cd at && ../finding)
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int fd = open("file", O_RDWR | O_CREAT, 0600);
    struct timespec old[2] = {{1000000000, 0}, {1000000000, 0}};
    struct stat status;
    if (ftruncate(fd, (off_t)page))
        return 77;
    char *start = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    fsync(fd);
    futimens(fd, old);
    start[0] = 1;
    msync(start, page, MS_ASYNC);
    fstat(fd, &status);
    unlink("file");
    printf("st_mtime: %s\n", status.st_mtime == 1000000000 ? "old" : "new");
    return status.st_mtime == 1000000000;
}
