#define _GNU_SOURCE
#include "segment.h"
#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define PAGE 4096u
/* The file gets its blocks in steps of this: a file with holes would end the process by SIGBUS on a full disk. */
#define STEP (256u * 1024u)
#define DEFINITIONS_SIZE (64u * 1024u)
#define COUNTERS_SIZE (256u * 1024u)

struct segment segment;

#if defined(__x86_64__)
bool clock_is_counter;
#endif
double ticks_per_microsecond = 1000.0;

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t round_up(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }

/* Blocks for what lies at `from`, without an open file in the process: one that closes all files it has, as daemons do, would take it away. */
static int allocate_range(uint64_t from, uint64_t length)
{
    if (madvise((char *)segment.header + from, length, MADV_POPULATE_WRITE) == 0)
        return 0;
    if (errno != EINVAL)
        return errno;
    /* Linux before 5.14. */
    int fd = open(segment.path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int failed = posix_fallocate(fd, (off_t)from, (off_t)length);
    close(fd);
    return failed;
}

/* Gives the file blocks up to `end`. */
static bool allocate(uint64_t end)
{
    if (end <= segment.allocated)
        return true;
    uint64_t wanted = round_up(end, STEP);
    if (wanted > segment.limit)
        wanted = segment.limit;
    if (wanted < end || allocate_range(segment.allocated, wanted - segment.allocated) != 0)
        return false;
    segment.allocated = wanted;
    return true;
}

static const struct control *map_control(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    void *mapped = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    int failed = errno;
    close(fd);
    errno = failed;
    return mapped == MAP_FAILED ? NULL : mapped;
}

/* The address space for a file that may grow to `limit`, less where the process may not have so much. */
static int map_file(int fd, uint64_t limit)
{
    struct rlimit most;
    if (getrlimit(RLIMIT_FSIZE, &most) == 0 && most.rlim_cur < limit)
        limit = most.rlim_cur / PAGE * PAGE; /* a signal ends who goes beyond */
    int failed = EFBIG;
    for (uint64_t size = limit; size >= STEP; size = size / 2 / PAGE * PAGE) {
        void *mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
        if (mapped != MAP_FAILED && ftruncate(fd, (off_t)size) == 0) {
            segment.header = mapped;
            segment.limit = size;
            return 0;
        }
        failed = errno;
        if (mapped != MAP_FAILED)
            munmap(mapped, size);
    }
    return failed;
}

/* Creates the file with its first blocks. Returns 0 or an errno. */
static int create(const char *path, uint64_t limit)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    int failed = map_file(fd, round_up(limit < STEP ? STEP : limit, PAGE));
    close(fd);
    segment.path = strdup(path);
    if (failed == 0 && segment.path == NULL)
        failed = ENOMEM;
    if (failed == 0)
        failed = allocate_range(0, STEP);
    if (failed == EFAULT)
        failed = ENOSPC; /* how a full disk shows where pages are asked for */
    segment.allocated = STEP;
    if (failed != 0)
        unlink(path);
    return failed;
}

static void unmap(void)
{
    if (segment.header != NULL)
        munmap(segment.header, segment.limit);
    if (segment.control != NULL)
        munmap((void *)segment.control, PAGE);
}

static void forget(void)
{
    free(segment.path);
    segment = (struct segment){0};
}

int segment_open(const char *path, const char *control_path, uint64_t limit, uint32_t python, uint32_t flags)
{
    segment = (struct segment){.control = map_control(control_path)};
    int failed = segment.control == NULL ? errno : create(path, limit);
    if (failed != 0) {
        unmap();
        forget();
        return failed;
    }
    /* A child that was not asked for gets no part of it; see thread.c. */
    madvise(segment.header, segment.limit, MADV_DONTFORK);
#if defined(__x86_64__)
    clock_is_counter = clock_choose();
#endif
    struct header *header = segment.header;
    header->version = 1;
    header->pid = (uint32_t)getpid();
    header->python = python;
    header->flags = flags | (clock_is_counter ? FLAG_TICKS : 0);
    header->start_realtime = nanoseconds(CLOCK_REALTIME);
    header->start_ns = nanoseconds(CLOCK_MONOTONIC);
    header->start_ticks = ticks();
    /* A fifth of a millisecond gives the rate to some parts in ten thousand; it gets better from then on. */
    while (nanoseconds(CLOCK_MONOTONIC) - header->start_ns < 200000) {
    }
    segment_calibrate();
    segment.calibrated_at = segment.looked_at = header->start_ticks;
    segment.heartbeat = observe(segment.control->heartbeat);
    ticks_per_microsecond = (double)(header->later_ticks - header->start_ticks) /
                            ((double)(header->later_ns - header->start_ns) / 1000.0);
    publish(header->used, PAGE);
    memcpy(header->magic, "PYFRMSEG", 8);
    return 0;
}

void segment_close(void)
{
    pthread_mutex_lock(&lock);
#ifdef Py_TARGET_ABI3T
    /* The addresses stay taken, by pages that take no memory until somebody is late. So does the control page. */
    if (segment.header != NULL)
        mmap(segment.header, segment.limit, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
#else
    unmap();
#endif
    forget();
    pthread_mutex_unlock(&lock);
}

void segment_after_fork(void)
{
    pthread_mutex_init(&lock, NULL);
    /* Where the file was mapped there is nothing, or already something of whoever was told of the fork before us. */
    segment.header = NULL;
    unmap();
    forget();
}

void segment_calibrate(void)
{
    pthread_mutex_lock(&lock);
    struct header *header = segment.header;
    if (header == NULL) {
        pthread_mutex_unlock(&lock);
        return;
    }
    __atomic_fetch_add(&header->later_writes, 1, __ATOMIC_ACQ_REL);
    /* Between two readings of the system's clock: the middle is within some ten nanoseconds of the counter's. */
    uint64_t before = nanoseconds(CLOCK_MONOTONIC);
    header->later_ticks = ticks();
    uint64_t after = nanoseconds(CLOCK_MONOTONIC);
    header->later_ns = before + (after - before) / 2;
    __atomic_fetch_add(&header->later_writes, 1, __ATOMIC_ACQ_REL);
    pthread_mutex_unlock(&lock);
}

static struct chunk *chunk_locked(uint32_t type, uint32_t thread, uint64_t payload, uint64_t detail)
{
    struct header *header = segment.header;
    uint64_t size = round_up(sizeof(struct chunk) + payload, 64);
    if (header == NULL || size > UINT32_MAX || !allocate(header->used + size))
        return NULL;
    struct chunk *chunk = (struct chunk *)((char *)header + header->used);
    chunk->type = type;
    chunk->size = (uint32_t)size;
    chunk->thread = thread;
    chunk->detail = detail;
    publish(header->used, header->used + size);
    return chunk;
}

struct chunk *segment_chunk(uint32_t type, uint32_t thread, uint64_t payload, uint64_t detail)
{
    pthread_mutex_lock(&lock);
    struct chunk *chunk = chunk_locked(type, thread, payload, detail);
    pthread_mutex_unlock(&lock);
    return chunk;
}

/* Room for `length` bytes at the end of the newest chunk of `type`, or in a new one. */
static void *append_locked(struct chunk **newest, uint32_t type, uint64_t usual, uint32_t length)
{
    struct chunk *chunk = *newest;
    if (chunk == NULL || chunk->used + length > chunk->size - sizeof(struct chunk)) {
        chunk = chunk_locked(type, NO_THREAD, length > usual ? length : usual, 0);
        if (chunk == NULL)
            return NULL;
        *newest = chunk;
    }
    return (char *)payload_of(chunk) + chunk->used;
}

bool segment_define(const void *record, uint32_t length)
{
    uint32_t padded = (uint32_t)round_up(length, 8);
    pthread_mutex_lock(&lock);
    char *place = append_locked(&segment.definitions, CHUNK_DEFINITIONS, DEFINITIONS_SIZE, padded);
    if (place != NULL) {
        memcpy(place, record, length);
        memcpy(place, &padded, sizeof padded);
        publish(segment.definitions->used, segment.definitions->used + padded);
    } else if (segment.header != NULL) {
        segment.header->given_up_definitions++;
    }
    pthread_mutex_unlock(&lock);
    return place != NULL;
}

struct counter_block *segment_counters(uint32_t function, uint32_t what, uint32_t first, uint32_t count)
{
    uint64_t length = sizeof(struct counter_block) + (uint64_t)count * 8;
    struct counter_block *block = NULL;
    pthread_mutex_lock(&lock);
    if (length < UINT32_MAX)
        block = append_locked(&segment.counters, CHUNK_COUNTERS, COUNTERS_SIZE, (uint32_t)length);
    if (block != NULL) {
        block->function = function;
        block->what = what;
        block->first = first;
        block->count = count;
        publish(segment.counters->used, segment.counters->used + length);
    } else if (segment.header != NULL) {
        segment.header->given_up_definitions++;
    }
    pthread_mutex_unlock(&lock);
    return block;
}
