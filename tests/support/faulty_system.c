/* A system that fails at the test's word, for one process: preloaded, it stands before the C
 * library. What is wrong is read from a file that the test and the process both map, so that it
 * comes and goes at once, and costs neither a descriptor nor a system call. See faulty_system.py.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct faults {
    int64_t clock_offset; /* seconds that the clock on the wall is ahead */
    int64_t no_threads;   /* as with RLIMIT_NPROC or TasksMax= used up; from the Nth on */
    int64_t no_watches;   /* as with /proc/sys/fs/epoll/max_user_watches used up */
};

static const struct faults none;
static const volatile struct faults *faults = &none;

__attribute__((constructor)) static void map_faults(void)
{
    const char *path = getenv("FAULTY_SYSTEM");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *found = mmap(NULL, sizeof *faults, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (found != MAP_FAILED)
        faults = found;
}

#define NEXT(name) __typeof__(&name) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static __typeof__(&clock_gettime) cached;
    if (!cached) {
        NEXT(clock_gettime);
        cached = next;
    }
    int result = cached(clock, now);
    if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += faults->clock_offset;
    return result;
}

int gettimeofday(struct timeval *now, void *zone)
{
    NEXT(gettimeofday);
    int result = next(now, zone);
    if (!result)
        now->tv_sec += faults->clock_offset;
    return result;
}

time_t time(time_t *copy)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (copy)
        *copy = now.tv_sec;
    return now.tv_sec;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *argument)
{
    static atomic_int asked;
    int64_t first = faults->no_threads;
    if (atomic_fetch_add(&asked, 1) + 1 >= first && first)
        return EAGAIN;
    NEXT(pthread_create);
    return next(thread, attributes, run, argument);
}

int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    if (faults->no_watches && operation == EPOLL_CTL_ADD) {
        errno = ENOSPC;
        return -1;
    }
    NEXT(epoll_ctl);
    return next(epoll, operation, fd, event);
}
