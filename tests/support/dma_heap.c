/* Buffers for cameras, on a kernel that has no /dev/dma_heap and no /dev/udmabuf: preloaded, it
 * stands before the C library. What is allocated there is memory of the process (a memfd).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define MOST 65536

static char is_heap[MOST]; /* by descriptor */

static int names_heap(const char *path)
{
    return path && (!strncmp(path, "/dev/dma_heap/", 14) || !strcmp(path, "/dev/udmabuf"));
}

static int open_heap(const char *path)
{
    if (!strcmp(path, "/dev/dma_heap/vidbuf_cached")) { /* no old kernel has it */
        errno = ENOENT;
        return -1;
    }
    int fd = memfd_create("heap", MFD_CLOEXEC);
    if (fd >= 0 && fd < MOST)
        is_heap[fd] = 1;
    return fd;
}

#define OPEN(name)                                                                                \
    int name(const char *path, int flags, ...)                                                    \
    {                                                                                             \
        static int (*real)(const char *, int, ...);                                               \
        va_list rest;                                                                             \
        va_start(rest, flags);                                                                    \
        int mode = va_arg(rest, int);                                                             \
        va_end(rest);                                                                             \
        if (names_heap(path))                                                                     \
            return open_heap(path);                                                               \
        if (!real)                                                                                \
            real = dlsym(RTLD_NEXT, #name);                                                       \
        return real(path, flags, mode);                                                           \
    }
OPEN(open)
OPEN(open64)

int close(int fd)
{
    static int (*real)(int);
    if (!real)
        real = dlsym(RTLD_NEXT, "close");
    if (fd >= 0 && fd < MOST)
        is_heap[fd] = 0;
    return real(fd);
}

static int allocate(struct dma_heap_allocation_data *wanted)
{
    int fd = memfd_create("buffer", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)wanted->len))
        return -1;
    wanted->fd = (__u32)fd;
    return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
    static int (*real)(int, unsigned long, ...);
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    int heap = fd >= 0 && fd < MOST && is_heap[fd];
    if (heap && request == DMA_HEAP_IOCTL_ALLOC)
        return allocate(argument);
    if (heap && request == UDMABUF_CREATE)
        return fcntl((int)((struct udmabuf_create *)argument)->memfd, F_DUPFD_CLOEXEC, 0);
    if (_IOC_TYPE(request) == DMA_BUF_BASE) /* names and synchronizes buffers */
        return 0;
    if (!real)
        real = dlsym(RTLD_NEXT, "ioctl");
    return real(fd, request, argument);
}
