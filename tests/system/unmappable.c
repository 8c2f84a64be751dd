/* A fake of a driver whose memory a CPU cannot map: preloaded, it refuses to map dmabufs, and nothing else. */

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

void *mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    char link[32], target[16] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (fd >= 0 && readlink(link, target, sizeof target - 1) > 0 && strncmp(target, "/dmabuf:", 8) == 0) {
        errno = EINVAL;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
}
