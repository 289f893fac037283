/* A V4L2 camera without hardware or kernel module, for any dynamically linked program.
 *
 *   gcc -O2 -shared -fPIC -pthread -o v4l2_camera.so v4l2_camera.c -ldl
 *   FAKE_V4L2_FRAMES=folder LD_PRELOAD=./v4l2_camera.so PROGRAM
 *
 * The program sees a camera at FAKE_V4L2_DEVICE, which need not exist as a file. It answers
 * open, ioctl and mmap the way a UVC webcam's driver does: a few buffers, each filled at the
 * beat of the frame rate and stamped on the monotonic clock; a frame for which no buffer is
 * queued is lost.
 *
 *   FAKE_V4L2_DEVICE   path of the camera (/dev/video9)
 *   FAKE_V4L2_FRAMES   folder of *.jpg, shown in name order, over and over (MJPG only)
 *   FAKE_V4L2_FPS      frames a second (30)
 *   FAKE_V4L2_RAW_FPS  the same for the formats that are not MJPG (FAKE_V4L2_FPS)
 *   FAKE_V4L2_SIZE     the only size it offers (640x480), unless there are SIZES
 *   FAKE_V4L2_SIZES    the sizes that it lists, comma separated; for another one it takes the first
 *   FAKE_V4L2_FORMATS  what it offers, best first: MJPG, JPEG, YUYV, BGR3, GREY, comma separated
 *                      (MJPG); followed by an asterisk instead, it is flagged as emulated
 *   FAKE_V4L2_RATES    whether it says its frame rate: named, unnamed (0/0) or refused (named)
 *   FAKE_V4L2_BUFFERS  how many buffers it gives at most (8)
 *   FAKE_V4L2_AGE      milliseconds that a frame's time stamp lies in the past (0)
 *   FAKE_V4L2_CLOCK    of the time stamps: monotonic or unknown (monotonic)
 *   FAKE_V4L2_CONTROLS a file with its controls, one a line: id, type, least, most, step, default,
 *                      flags, value, id of the one that switches it, that one's value for this to
 *                      be active, name; for an entry of a menu: "menu", id, index, name
 *   FAKE_V4L2_LOG      a file to which every S_FMT, S_CTRL and STREAMON is written
 *   FAKE_V4L2_CONTROL  a file with one word, read before every frame and at every open:
 *       streaming   all is well; also when the file is missing or empty
 *       silent      no frame comes
 *       unplugged   the device is gone: ENODEV, and ENOENT from open
 *       busy        another program has it: EBUSY
 *       garbage     frames of bytes that are no JPEG
 *       truncated   frames that lack their second half
 *       broken      frames cannot be fetched, and the device stays there
 *       padded      frames followed by zeros, as some webcams send them
 *       flagged     every second frame has the error flag
 *       empty       every second frame has no bytes
 *       crowded     too little USB bandwidth: ENOSPC when the stream starts
 *       taken       another program streams: EBUSY when the stream starts
 *       dead        it polls as readable, but nothing can be fetched
 *
 * Raw frames are dark on the left half and bright on the right half.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAX_BUFFERS 8
#define MAX_FRAMES 256
#define MAX_HANDLES 16
#define BUFFER_SIZE (4u << 20)

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

enum state {
    STREAMING,
    SILENT,
    UNPLUGGED,
    BUSY,
    GARBAGE,
    TRUNCATED,
    BROKEN,
    PADDED,
    FLAGGED,
    EMPTY,
    CROWDED,
    TAKEN,
    DEAD
};

struct frame {
    unsigned char *data;
    size_t size;
};

struct ring {
    struct v4l2_buffer items[MAX_BUFFERS];
    unsigned head, count;
};

static struct {
    pthread_mutex_t lock;
    int handles[MAX_HANDLES]; /* open file descriptors, each a pipe's reading end; 0: free */
    int writers[MAX_HANDLES]; /* their writing ends: a byte lies in the pipe for every frame */
    int owner;                /* the one that has buffers; 0: none */
    int memory;               /* memfd behind all buffers */
    unsigned char *buffers;
    unsigned buffer_count;
    struct ring queued, filled;
    bool streaming;
    pthread_t thread;
    unsigned sequence;
    uint32_t format;
    unsigned width, height;
    struct frame frames[MAX_FRAMES];
    unsigned frame_count;
} camera = {.lock = PTHREAD_MUTEX_INITIALIZER, .memory = -1};

static const char *setting(const char *name, const char *fallback) {
    const char *value = getenv(name);
    return value && *value ? value : fallback;
}

static bool is_ours(const char *path) {
    return path && !strcmp(path, setting("FAKE_V4L2_DEVICE", "/dev/video9"));
}

static enum state read_state(void) {
    static const char *const words[] = {"streaming", "silent", "unplugged", "busy",  "garbage",
                                        "truncated", "broken", "padded",    "flagged", "empty",
                                        "crowded",   "taken",  "dead"};
    char text[32] = "";
    const char *path = getenv("FAKE_V4L2_CONTROL");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (file) {
        if (fscanf(file, "%31s", text) != 1)
            text[0] = 0;
        fclose(file);
    }
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(text, words[i]))
            return (enum state)i;
    return STREAMING;
}

/* --- what the camera is and shows ------------------------------------------------------ */

static int is_jpeg(const struct dirent *entry) {
    const char *dot = strrchr(entry->d_name, '.');
    return dot && !strcmp(dot, ".jpg");
}

static void load_frame(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file)
        return;
    struct frame *frame = &camera.frames[camera.frame_count++];
    frame->data = malloc(BUFFER_SIZE);
    frame->size = fread(frame->data, 1, BUFFER_SIZE, file);
    fclose(file);
}

static void load_frames(void) {
    const char *folder = setting("FAKE_V4L2_FRAMES", ".");
    struct dirent **names = NULL;
    int count = scandir(folder, &names, is_jpeg, alphasort);
    for (int i = 0; i < count; i++) {
        if (camera.frame_count < MAX_FRAMES)
            load_frame(folder, names[i]->d_name);
        free(names[i]);
    }
    free(names);
}

static uint32_t format_number(unsigned index) {
    const char *formats = setting("FAKE_V4L2_FORMATS", "MJPG");
    if (strlen(formats) < 5 * index + 4)
        return 0;
    const char *f = formats + 5 * index;
    return v4l2_fourcc(f[0], f[1], f[2], f[3]);
}

static bool is_emulated(unsigned index) {
    const char *formats = setting("FAKE_V4L2_FORMATS", "MJPG");
    return strlen(formats) > 5 * index + 4 && formats[5 * index + 4] == '*';
}

static bool is_jpeg_format(uint32_t format) {
    return format == V4L2_PIX_FMT_MJPEG || format == V4L2_PIX_FMT_JPEG;
}

/* Find the size with this number; return false if there are not so many. */
static bool listed_size(unsigned index, unsigned *width, unsigned *height) {
    const char *text = setting("FAKE_V4L2_SIZES", "");
    while (*text && index--) {
        text += strcspn(text, ",");
        text += *text == ',';
    }
    return sscanf(text, "%ux%u", width, height) == 2;
}

static void set_size(unsigned width, unsigned height) {
    unsigned w, h;
    if (!listed_size(0, &camera.width, &camera.height))
        return;
    for (unsigned i = 0; listed_size(i, &w, &h); i++)
        if (w == width && h == height) {
            camera.width = w;
            camera.height = h;
        }
}

__attribute__((format(printf, 1, 2))) static void note(const char *text, ...) {
    FILE *file = fopen(setting("FAKE_V4L2_LOG", "/dev/null"), "a");
    if (!file)
        return;
    va_list arguments;
    va_start(arguments, text);
    vfprintf(file, text, arguments);
    va_end(arguments);
    fclose(file);
}

static void set_up(void) {
    if (camera.buffers)
        return;
    load_frames();
    sscanf(setting("FAKE_V4L2_SIZE", "640x480"), "%ux%u", &camera.width, &camera.height);
    camera.format = format_number(0);
    camera.memory = memfd_create("v4l2_camera", MFD_CLOEXEC);
    size_t size = (size_t)MAX_BUFFERS * BUFFER_SIZE;
    if (camera.memory < 0 || ftruncate(camera.memory, (off_t)size))
        abort();
    camera.buffers =
        REAL(mmap)(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, camera.memory, 0);
}

static double frame_rate(void) {
    const char *usual = setting("FAKE_V4L2_FPS", "30");
    bool raw = !is_jpeg_format(camera.format);
    return atof(raw ? setting("FAKE_V4L2_RAW_FPS", usual) : usual);
}

static unsigned bytes_per_pixel(uint32_t format) {
    switch (format) {
    case V4L2_PIX_FMT_BGR24:
        return 3;
    case V4L2_PIX_FMT_YUYV:
        return 2;
    case V4L2_PIX_FMT_GREY:
        return 1;
    default:
        return 0;
    }
}

static size_t fill_raw(unsigned char *to) {
    unsigned step = bytes_per_pixel(camera.format);
    size_t row = (size_t)camera.width * step;
    for (unsigned x = 0; x < camera.width; x++) {
        memset(to + x * step, x < camera.width / 2 ? 40 : 200, step);
        if (step == 2)
            to[x * step + 1] = 128;
    }
    for (unsigned y = 1; y < camera.height; y++)
        memcpy(to + y * row, to, row);
    return row * camera.height;
}

static size_t fill(unsigned char *to, enum state state) {
    if (!is_jpeg_format(camera.format))
        return fill_raw(to) / (state == TRUNCATED ? 2 : 1);
    if (state == GARBAGE) {
        memset(to, 0x55, 1000);
        return 1000;
    }
    if (state == EMPTY && camera.sequence % 2)
        return 0;
    if (!camera.frame_count)
        return 0;
    struct frame *frame = &camera.frames[camera.sequence % camera.frame_count];
    memcpy(to, frame->data, frame->size);
    if (state == TRUNCATED)
        return frame->size / 2;
    if (state == PADDED) {
        memset(to + frame->size, 0, 100);
        return frame->size + 100;
    }
    return frame->size;
}

/* --- the buffers ----------------------------------------------------------------------- */

static void put(struct ring *ring, const struct v4l2_buffer *buffer) {
    ring->items[(ring->head + ring->count++) % MAX_BUFFERS] = *buffer;
}

static struct v4l2_buffer take(struct ring *ring) {
    struct v4l2_buffer buffer = ring->items[ring->head];
    ring->head = (ring->head + 1) % MAX_BUFFERS;
    ring->count--;
    return buffer;
}

static int *handle_of(int fd) {
    for (int i = 0; i < MAX_HANDLES; i++)
        if (camera.handles[i] == fd)
            return &camera.handles[i];
    return NULL;
}

static int *writer_of(int fd) {
    return &camera.writers[handle_of(fd) - camera.handles];
}

static void hang_up(int fd) {
    int *writer = writer_of(fd);
    if (*writer)
        REAL(close)(*writer);
    *writer = 0;
}

static struct timeval time_stamp(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t us = now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
    us -= atoll(setting("FAKE_V4L2_AGE", "0")) * 1000;
    return (struct timeval){us / 1000000, us % 1000000};
}

static uint32_t clock_flag(void) {
    bool known = !strcmp(setting("FAKE_V4L2_CLOCK", "monotonic"), "monotonic");
    return known ? V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC : V4L2_BUF_FLAG_TIMESTAMP_UNKNOWN;
}

/* One beat of the frame rate; returns false when there will be no other. */
static bool beat(void) {
    enum state state = read_state();
    if (state == UNPLUGGED) {
        hang_up(camera.owner); /* now it polls as readable for ever, as a real one does */
        return false;
    }
    if (state != SILENT && camera.queued.count) {
        struct v4l2_buffer buffer = take(&camera.queued);
        buffer.timestamp = time_stamp();
        buffer.bytesused =
            (uint32_t)fill(camera.buffers + (size_t)buffer.index * BUFFER_SIZE, state);
        buffer.sequence = camera.sequence;
        buffer.flags = clock_flag() | V4L2_BUF_FLAG_MAPPED;
        if (state == FLAGGED && camera.sequence % 2)
            buffer.flags |= V4L2_BUF_FLAG_ERROR;
        put(&camera.filled, &buffer);
        if (write(*writer_of(camera.owner), "", 1) != 1)
            abort();
    }
    camera.sequence++;
    return true;
}

static void *stream(void *unused) {
    struct timespec due;
    pthread_setname_np(pthread_self(), "fake camera"); /* so that its costs can be left out */
    clock_gettime(CLOCK_MONOTONIC, &due);
    for (bool more = true; more;) {
        due.tv_nsec += (long)(1e9 / frame_rate());
        while (due.tv_nsec >= 1000000000) {
            due.tv_nsec -= 1000000000;
            due.tv_sec++;
        }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
        pthread_mutex_lock(&camera.lock);
        more = camera.streaming && beat();
        pthread_mutex_unlock(&camera.lock);
    }
    return unused;
}

static int start_streaming(void) {
    enum state state = read_state();
    if (state == CROWDED || state == TAKEN) {
        errno = state == CROWDED ? ENOSPC : EBUSY;
        return -1;
    }
    if (camera.streaming)
        return 0;
    note("STREAMON\n");
    camera.streaming = true;
    if (pthread_create(&camera.thread, NULL, stream, NULL))
        abort();
    return 0;
}

/* Called with the lock held; lets go of it while the thread ends. */
static int stop_streaming(void) {
    if (!camera.streaming)
        return 0;
    camera.streaming = false;
    pthread_mutex_unlock(&camera.lock);
    pthread_join(camera.thread, NULL);
    pthread_mutex_lock(&camera.lock);
    char byte;
    while (camera.filled.count && read(camera.owner, &byte, 1) == 1)
        take(&camera.filled);
    memset(&camera.filled, 0, sizeof camera.filled);
    memset(&camera.queued, 0, sizeof camera.queued);
    return 0;
}

/* --- ioctl ----------------------------------------------------------------------------- */

static int fail(int error) {
    errno = error;
    return -1;
}

static int query_capabilities(struct v4l2_capability *it) {
    memset(it, 0, sizeof *it);
    strcpy((char *)it->driver, "fake");
    strcpy((char *)it->card, "Preloaded Camera");
    strcpy((char *)it->bus_info, "memory");
    it->version = 0x060100;
    it->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
    it->capabilities = it->device_caps | V4L2_CAP_DEVICE_CAPS;
    return 0;
}

static int enumerate_formats(struct v4l2_fmtdesc *it) {
    uint32_t format = format_number(it->index);
    if (!format || it->type != V4L2_BUF_TYPE_VIDEO_CAPTURE)
        return fail(EINVAL);
    it->pixelformat = format;
    it->flags = is_jpeg_format(format) ? V4L2_FMT_FLAG_COMPRESSED : 0;
    if (is_emulated(it->index))
        it->flags |= V4L2_FMT_FLAG_EMULATED;
    snprintf((char *)it->description, sizeof it->description, "%.4s", (char *)&format);
    return 0;
}

static int enumerate_sizes(struct v4l2_frmsizeenum *it) {
    if (!listed_size(it->index, &it->discrete.width, &it->discrete.height))
        return fail(EINVAL);
    it->type = V4L2_FRMSIZE_TYPE_DISCRETE;
    return 0;
}

static int format(struct v4l2_format *it, bool set) {
    if (it->type != V4L2_BUF_TYPE_VIDEO_CAPTURE)
        return fail(EINVAL);
    uint32_t chosen = set ? format_number(0) : camera.format;
    for (unsigned i = 0; set && format_number(i); i++)
        if (format_number(i) == it->fmt.pix.pixelformat)
            chosen = format_number(i);
    if (set) {
        camera.format = chosen;
        set_size(it->fmt.pix.width, it->fmt.pix.height);
        note("S_FMT %.4s %ux%u\n", (char *)&it->fmt.pix.pixelformat, it->fmt.pix.width,
             it->fmt.pix.height);
    }
    it->fmt.pix.width = camera.width;
    it->fmt.pix.height = camera.height;
    it->fmt.pix.pixelformat = chosen;
    it->fmt.pix.field = V4L2_FIELD_NONE;
    it->fmt.pix.bytesperline = camera.width * bytes_per_pixel(chosen);
    it->fmt.pix.sizeimage = BUFFER_SIZE;
    it->fmt.pix.colorspace = V4L2_COLORSPACE_SRGB;
    return 0;
}

static int stream_parameters(struct v4l2_streamparm *it) {
    const char *rates = setting("FAKE_V4L2_RATES", "named");
    if (!strcmp(rates, "refused"))
        return fail(ENOTTY);
    it->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
    if (!strcmp(rates, "unnamed")) {
        it->parm.capture.timeperframe = (struct v4l2_fract){0, 0};
        return 0;
    }
    it->parm.capture.timeperframe.numerator = 1000;
    it->parm.capture.timeperframe.denominator = (uint32_t)(frame_rate() * 1000);
    return 0;
}

static int request_buffers(int fd, struct v4l2_requestbuffers *it) {
    if (camera.owner && camera.owner != fd)
        return fail(EBUSY);
    unsigned most = (unsigned)atoi(setting("FAKE_V4L2_BUFFERS", "8"));
    if (it->count > most)
        it->count = most;
    camera.owner = it->count ? fd : 0;
    camera.buffer_count = it->count;
    return 0;
}

static int query_buffer(struct v4l2_buffer *it) {
    if (it->index >= camera.buffer_count)
        return fail(EINVAL);
    it->length = BUFFER_SIZE;
    it->m.offset = it->index * BUFFER_SIZE;
    it->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    return 0;
}

static int queue_buffer(struct v4l2_buffer *it) {
    if (it->index >= camera.buffer_count || camera.queued.count >= camera.buffer_count)
        return fail(EINVAL);
    it->length = BUFFER_SIZE;
    it->m.offset = it->index * BUFFER_SIZE;
    put(&camera.queued, it);
    return 0;
}

static int dequeue_buffer(int fd, struct v4l2_buffer *it) {
    char byte;
    if (read_state() == DEAD)
        return fail(EAGAIN);
    if (!camera.filled.count)
        return fail(EAGAIN);
    if (read(fd, &byte, 1) != 1)
        return -1;
    *it = take(&camera.filled);
    return 0;
}

/* --- controls -------------------------------------------------------------------------- */

#define FAILS 0x10000    /* flags of ours: it cannot be set */
#define NOT_YET 0x20000  /* it cannot be set before the stream starts */

static struct control {
    struct v4l2_queryctrl is;
    int value;
    unsigned master;
    int needed;
} controls[32];

static struct v4l2_querymenu entries[64];
static unsigned control_count, entry_count;

static void load_control(const char *line) {
    struct control *it = &controls[control_count];
    struct v4l2_querymenu *entry = &entries[entry_count];
    if (sscanf(line, "menu %x %u %31[^\n]", &entry->id, &entry->index, (char *)entry->name) == 3)
        entry_count++;
    else if (sscanf(line, "%x %u %d %d %d %d %x %d %x %d %31[^\n]", &it->is.id, &it->is.type,
                    &it->is.minimum, &it->is.maximum, &it->is.step, &it->is.default_value,
                    &it->is.flags, &it->value, &it->master, &it->needed,
                    (char *)it->is.name) == 11)
        control_count++;
}

static void load_controls(void) {
    FILE *file = control_count ? NULL : fopen(setting("FAKE_V4L2_CONTROLS", "/dev/null"), "r");
    if (!file)
        return;
    char line[256];
    while (fgets(line, sizeof line, file) && control_count < 32 && entry_count < 64)
        load_control(line);
    fclose(file);
}

static struct control *control_of(unsigned id) {
    load_controls();
    for (unsigned i = 0; i < control_count; i++)
        if (controls[i].is.id == id)
            return &controls[i];
    return NULL;
}

static int query_control(struct v4l2_queryctrl *it) {
    const struct control *found = control_of(it->id);
    if (!found)
        return fail(EINVAL);
    *it = found->is;
    it->flags &= 0xffff;
    const struct control *master = control_of(found->master);
    if (master && master->value != found->needed)
        it->flags |= V4L2_CTRL_FLAG_INACTIVE;
    return 0;
}

static int query_menu(struct v4l2_querymenu *it) {
    for (unsigned i = 0; i < entry_count; i++)
        if (entries[i].id == it->id && entries[i].index == it->index) {
            *it = entries[i];
            return 0;
        }
    return fail(EINVAL);
}

static int control_ioctl(unsigned long request, struct v4l2_control *it) {
    struct control *found = control_of(it->id);
    if (!found)
        return fail(EINVAL);
    if (request == VIDIOC_G_CTRL) {
        it->value = found->value;
        return 0;
    }
    if (found->is.flags & FAILS)
        return fail(EIO);
    if (found->is.flags & NOT_YET && !camera.streaming)
        return fail(EBUSY);
    found->value = it->value;
    note("S_CTRL %s %d\n", (char *)found->is.name, it->value);
    return 0;
}

static int streaming_ioctl(int fd, unsigned long request, void *argument) {
    switch (request) {
    case VIDIOC_REQBUFS:
        return request_buffers(fd, argument);
    case VIDIOC_QUERYBUF:
        return query_buffer(argument);
    case VIDIOC_QBUF:
        return queue_buffer(argument);
    case VIDIOC_DQBUF:
        return dequeue_buffer(fd, argument);
    case VIDIOC_STREAMON:
        return start_streaming();
    case VIDIOC_STREAMOFF:
        return stop_streaming();
    default:
        return fail(ENOTTY);
    }
}

static int camera_ioctl(int fd, unsigned long request, void *argument) {
    enum state state = read_state();
    if (state == UNPLUGGED && request != VIDIOC_STREAMOFF)
        return fail(ENODEV);
    if (state == BUSY && (request == VIDIOC_S_FMT || request == VIDIOC_REQBUFS))
        return fail(EBUSY);
    if (state == BROKEN && request == VIDIOC_DQBUF)
        return fail(EPROTO);
    switch (request) {
    case VIDIOC_QUERYCAP:
        return query_capabilities(argument);
    case VIDIOC_ENUM_FMT:
        return enumerate_formats(argument);
    case VIDIOC_ENUM_FRAMESIZES:
        return enumerate_sizes(argument);
    case VIDIOC_QUERYCTRL:
        return query_control(argument);
    case VIDIOC_QUERYMENU:
        return query_menu(argument);
    case VIDIOC_G_CTRL:
    case VIDIOC_S_CTRL:
        return control_ioctl(request, argument);
    case VIDIOC_G_FMT:
        return format(argument, false);
    case VIDIOC_S_FMT:
        return format(argument, true);
    case VIDIOC_G_PARM:
    case VIDIOC_S_PARM:
        return stream_parameters(argument);
    case VIDIOC_G_INPUT:
        *(int *)argument = 0;
        return 0;
    case VIDIOC_S_INPUT:
        return 0;
    default:
        return streaming_ioctl(fd, request, argument);
    }
}

/* --- the C library's functions that programs reach a camera by -------------------------- */

static int open_camera(void) {
    if (read_state() == UNPLUGGED)
        return fail(ENOENT);
    pthread_mutex_lock(&camera.lock);
    set_up();
    int *free_handle = handle_of(0);
    int ends[2];
    int result = free_handle ? pipe2(ends, O_NONBLOCK | O_CLOEXEC) : fail(ENFILE);
    if (!result) {
        result = *free_handle = ends[0];
        *writer_of(ends[0]) = ends[1];
    }
    pthread_mutex_unlock(&camera.lock);
    return result;
}

static mode_t mode_argument(int flags, va_list arguments) {
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

int open(const char *path, int flags, ...) {
    if (is_ours(path))
        return open_camera();
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_argument(flags, arguments);
    va_end(arguments);
    return REAL(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    if (is_ours(path))
        return open_camera();
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_argument(flags, arguments);
    va_end(arguments);
    return REAL(open64)(path, flags, mode);
}

int close(int fd) {
    pthread_mutex_lock(&camera.lock);
    int *handle = fd > 0 ? handle_of(fd) : NULL;
    if (handle) {
        if (camera.owner == fd) {
            stop_streaming();
            camera.owner = 0;
        }
        hang_up(fd);
        *handle = 0;
    }
    pthread_mutex_unlock(&camera.lock);
    return REAL(close)(fd);
}

int ioctl(int fd, unsigned long request, ...) {
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    pthread_mutex_lock(&camera.lock);
    bool ours = fd > 0 && handle_of(fd);
    /* Some callers pass the request sign-extended from an int. */
    int result = ours ? camera_ioctl(fd, (uint32_t)request, argument) : 0;
    pthread_mutex_unlock(&camera.lock);
    return ours ? result : REAL(ioctl)(fd, request, argument);
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    bool ours = fd > 0 && handle_of(fd);
    return REAL(mmap)(address, length, protection, flags, ours ? camera.memory : fd, offset);
}

void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t offset) {
    return mmap(address, length, protection, flags, fd, (off_t)offset);
}

static int describe(struct stat *it) {
    if (read_state() == UNPLUGGED)
        return fail(ENOENT);
    memset(it, 0, sizeof *it);
    it->st_mode = S_IFCHR | 0660;
    return 0;
}

int stat(const char *path, struct stat *it) {
    return is_ours(path) ? describe(it) : REAL(stat)(path, it);
}

int lstat(const char *path, struct stat *it) {
    return is_ours(path) ? describe(it) : REAL(lstat)(path, it);
}

int access(const char *path, int mode) {
    struct stat unused;
    return is_ours(path) ? describe(&unused) : REAL(access)(path, mode);
}
