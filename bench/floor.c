// floor: what the kernel alone needs to send a stream of frames to many viewers.
//
// A simple loop that calls send() with the same buffer once for every connection, a given number
// of times per second, and does nothing else: it does not parse HTTP, does not treat viewers
// fairly, does not skip old frames and does not remove slow viewers.
//
//     floor PORT FPS FILE      FILE holds one multipart part

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_VIEWERS = 4096, MAX_PART = 1 << 20 };

struct viewer {
    int fd;
    size_t offset;  // bytes of the part that are already sent
};

static const char head[] =
    "HTTP/1.1 200 OK\r\n"
    "Content-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n";

static struct viewer viewers[MAX_VIEWERS];
static int count;
static char part[MAX_PART];
static size_t length;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (bind(fd, (struct sockaddr *)&address, sizeof address)) die("bind");
    if (listen(fd, 1024)) die("listen");
    return fd;
}

static void read_part(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) die(path);
    length = fread(part, 1, sizeof part, file);
    fclose(file);
}

// Accept all waiting connections. The request is read and ignored.
static void accept_all(int listener) {
    struct pollfd waiting = {.fd = listener, .events = POLLIN};
    while (count < MAX_VIEWERS && poll(&waiting, 1, 0) > 0) {
        int fd = accept(listener, NULL, NULL), on = 1;
        char request[1024];
        if (fd < 0) continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (read(fd, request, sizeof request) <= 0 || send(fd, head, sizeof head - 1, 0) < 0) {
            close(fd);
            continue;
        }
        viewers[count++] = (struct viewer){.fd = fd};
    }
}

static void send_to_all(void) {
    for (int i = 0; i < count; i++) {
        struct viewer *viewer = &viewers[i];
        ssize_t sent = send(viewer->fd, part + viewer->offset, length - viewer->offset,
                            MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) viewer->offset = (viewer->offset + sent) % length;
    }
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: floor PORT FPS FILE\n");
        return 2;
    }
    int listener = listen_on(atoi(argv[1]));
    long period = 1000000000L / atoi(argv[2]);
    read_part(argv[3]);
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (;;) {
        accept_all(listener);
        send_to_all();
        next.tv_nsec += period;
        if (next.tv_nsec >= 1000000000L) {
            next.tv_sec++;
            next.tv_nsec -= 1000000000L;
        }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
}
