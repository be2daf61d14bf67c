/*
 * a read makes written bytes zero on ext4 with inline_data
 *
 * Promised: a read finds what a write has written (POSIX write; clause overview.one-to-one).
 * Seen: a file of 4 bytes, whose content is in its inode, is overwritten with 4,097 bytes. A pread of 8,192 bytes makes the part
 *       after the first page zero, in memory and on the disk; a pread of 4,097 bytes finds it. The blocks are smaller than a page.
 * System: ext4 of Linux 6.18 with the feature inline_data and blocks of 1 KiB
 * Reported: no report found
 * Needs: gcc unshare mkfs.ext4 root
 * Run: gcc $SOURCE -o finding && truncate -s 32M image && mkfs.ext4 -q -b 1024 -O inline_data image && unshare -m sh -c 'mkdir -p at && mount -o loop image at && cd at && ../finding'
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
    static char written[4097], found[8192];
    int fd = open("file", O_RDWR | O_CREAT | O_EXCL, 0600);

    unlink("file");
    memset(written, 's', sizeof written);
    if (fd == -1 || pwrite(fd, "tiny", 4, 0) != 4 || pwrite(fd, written, sizeof written, 0) != sizeof written)
        return 77;
    long length = pread(fd, found, sizeof found, 0);
    printf("pread: %ld, the last byte is %d\n", length, found[sizeof written - 1]);
    return !(length == sizeof written && !memcmp(found, written, sizeof written));
}
