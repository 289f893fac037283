// viewers: many viewers of one MJPEG stream, cheap enough not to affect the measurement.
//
// One thread, one epoll, and MSG_TRUNC: the kernel discards the data without copying it. On
// loopback, each viewer has its own address, as phones do.
//
//     viewers HOST PORT PATH COUNT WARMUP SECONDS
//
// Prints "started" when the measurement begins (WARMUP seconds after the last connection), and one
// line when it ends: connected closed seconds total_bytes min_bytes max_bytes.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS = 1024,         // returned by one epoll_wait
    BURST = 50,            // connections opened before a short pause,
    PAUSE_US = 20 * 1000,  // so that the listen backlog does not overflow
    CHUNK = 1 << 20,       // bytes discarded by one recv
};

struct viewer {
    int fd;
    long long bytes;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

// Bind to the index-th loopback address, if the server's address is on loopback.
static void bind_own_address(int fd, const struct sockaddr_in *to, int index) {
    if (ntohl(to->sin_addr.s_addr) >> 24 != 127) return;
    struct sockaddr_in from = {.sin_family = AF_INET};
    from.sin_addr.s_addr = htonl(0x7f010001u + (index / 250) * 256 + index % 250);
    if (bind(fd, (struct sockaddr *)&from, sizeof from)) die("bind");
}

static int open_viewer(const struct sockaddr_in *to, const char *request, int index) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket");
    bind_own_address(fd, to, index);
    if (connect(fd, (const struct sockaddr *)to, sizeof *to)) die("connect");
    size_t length = strlen(request);
    if (write(fd, request, length) != (ssize_t)length) die("write");
    return fd;
}

static void open_all(struct viewer *viewers, int count, int epoll, const struct sockaddr_in *to,
                     const char *request) {
    for (int i = 0; i < count; i++) {
        viewers[i].fd = open_viewer(to, request, i);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &viewers[i]};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, viewers[i].fd, &event)) die("epoll_ctl");
        if (i % BURST == BURST - 1) usleep(PAUSE_US);
    }
}

// Discard what one viewer has received. Returns 1 if the server closed the connection.
static int drain(struct viewer *viewer) {
    ssize_t got = recv(viewer->fd, NULL, CHUNK, MSG_TRUNC | MSG_DONTWAIT);
    if (got > 0) viewer->bytes += got;
    if (got > 0 || (got < 0 && errno == EAGAIN)) return 0;
    close(viewer->fd);
    return 1;
}

// Drain all viewers until the time ``end``. Returns how many connections the server closed.
static int drain_until(int epoll, double end) {
    struct epoll_event events[EVENTS];
    int closed = 0;
    for (double left; (left = end - now()) > 0;) {
        int ready = epoll_wait(epoll, events, EVENTS, (int)(left * 1000) + 1);
        for (int i = 0; i < ready; i++) closed += drain(events[i].data.ptr);
    }
    return closed;
}

static void report(const struct viewer *viewers, int count, int closed, double seconds) {
    long long total = 0, min = viewers[0].bytes, max = 0;
    for (int i = 0; i < count; i++) {
        total += viewers[i].bytes;
        if (viewers[i].bytes < min) min = viewers[i].bytes;
        if (viewers[i].bytes > max) max = viewers[i].bytes;
    }
    printf("%d %d %.6f %lld %lld %lld\n", count, closed, seconds, total, min, max);
}

int main(int argc, char **argv) {
    if (argc != 7) {
        fprintf(stderr, "usage: viewers HOST PORT PATH COUNT WARMUP SECONDS\n");
        return 2;
    }
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    if (inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) die(argv[1]);
    char request[512];
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", argv[3]);
    int count = atoi(argv[4]);
    double warmup = atof(argv[5]), seconds = atof(argv[6]);
    struct viewer *viewers = calloc(count, sizeof *viewers);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (count < 1 || !viewers || epoll < 0) die("set-up");

    open_all(viewers, count, epoll, &to, request);
    int closed = drain_until(epoll, now() + warmup);
    for (int i = 0; i < count; i++) viewers[i].bytes = 0;
    puts("started");
    fflush(stdout);
    double start = now();
    closed += drain_until(epoll, start + seconds);
    report(viewers, count, closed, now() - start);
    return 0;
}
