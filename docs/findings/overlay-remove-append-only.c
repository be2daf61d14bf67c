/*
 * MADV_REMOVE makes a hole in an append-only file on overlayfs
 *
 * Promised: an append-only file is changed by appending only; MADV_REMOVE of it fails with EPERM, as fallocate does
 * (fallocate(2), ioctl_iflags(2); clause madvise.remove.append-only).
 * Seen: on overlayfs it succeeds. overlayfs keeps the attribute itself, and asks the file below it, which does not have it.
 * System: overlayfs of Linux 6.18, also with a lower and an upper directory on tmpfs
 * Reported: no report found
 * Needs: gcc unshare root
 * Run: gcc $SOURCE -o finding && unshare -m sh -c 'mkdir -p at && mount -t tmpfs tmp at && cd at && mkdir low up work top && mount -t overlay -o lowerdir=low,upperdir=up,workdir=work none top && cd top && ../../finding'
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int fd = open("file", O_RDWR | O_CREAT, 0600), flags = 0;
    if (ftruncate(fd, (off_t)page))
        return 77;
    char *start = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ioctl(fd, FS_IOC_GETFLAGS, &flags);
    flags |= FS_APPEND_FL;
    if (ioctl(fd, FS_IOC_SETFLAGS, &flags)) {
        perror("FS_IOC_SETFLAGS");
        return 77;
    }
    int result = madvise(start, page, MADV_REMOVE), error = result ? errno : 0;
    flags &= ~FS_APPEND_FL;
    ioctl(fd, FS_IOC_SETFLAGS, &flags);
    unlink("file");
    printf("madvise: %d, errno %d\n", result, error);
    return error != EPERM;
}
