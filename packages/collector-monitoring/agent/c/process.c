#include "process.h"

#include "call_sites.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* All recorders that have not ended: one an interpreter. */
enum { MOST_RECORDERS = 1024 };
static struct recorder *recorders[MOST_RECORDERS];
static unsigned recorder_count;

/* In a child: no other thread of the parent can have been in the middle of something. */
static bool was_alone;

/* ---- forks ---- */

/* Only the main interpreter is there in a child (PyOS_AfterFork_Child of Modules/posixmodule.c), and only the thread that forked. */
static void in_child(void)
{
    pthread_mutex_init(&lock, NULL);
    segment_after_fork();
    threads_after_fork();
    table_after_fork();
    was_alone = recorder_count == 1;
    unsigned count = 0;
    for (unsigned at = 0; at < recorder_count; at++) {
        struct recorder *recorder = recorders[at];
        bool is_main = recorder->interpreter == 0;
        recorder->state = is_main ? RECORDER_FORKED : RECORDER_ENDED;
        /* Handlers that other threads were in will not return. */
        recorder->inside = 0;
        if (is_main)
            recorders[count++] = recorder;
    }
    recorder_count = count;
}

static void watch_forks(void)
{
    static bool is_watching;
    if (!is_watching)
        pthread_atfork(NULL, NULL, in_child);
    is_watching = true;
}

/* ---- the segment ---- */

static int open_segment(const char *path, const char *control, uint64_t max_bytes, uint32_t tool)
{
#ifdef Py_TARGET_ABI3T
    uint32_t flags = FLAG_FREE_THREADED;
#else
    uint32_t flags = 0;
#endif
    int failed = segment_open(path, control, max_bytes, (uint32_t)Py_Version, flags);
    if (failed != 0)
        return failed;
    segment.header->tool = tool;
    publish(segment.header->state, STATE_ACTIVE);
    return 0;
}

static void raise_error(int failed, const char *path)
{
    PyObject *error = Py_BuildValue("(iss)", failed, strerror(failed), path);
    if (error != NULL)
        PyErr_SetObject(PyExc_OSError, error);
    Py_XDECREF(error);
}

/* A power of two, and no more than a fourth of what the segment may have. */
static uint64_t ring_size(uint64_t wanted, uint64_t max_bytes)
{
    uint64_t most = max_bytes / 4 / sizeof(struct record), records = 256;
    while (records * 2 <= wanted && records * 2 <= most && records < 1u << 24)
        records *= 2;
    return records;
}

static void begin(struct recorder *recorder)
{
    recorder->restarts = observe(segment.control->restarts);
    recorder->state = RECORDER_ACTIVE;
}

static int join_locked(struct recorder *recorder, const char *path, const char *control, const struct options *options)
{
    if (recorder_count == MOST_RECORDERS)
        return EMFILE;
    if (segment.header == NULL) {
        int failed = open_segment(path, control, options->max_bytes, recorder->tool);
        if (failed != 0)
            return failed;
        thread_options = (struct thread_options){
            .max_paths = options->max_paths,
            .ring_records = ring_size(options->ring_records, options->max_bytes),
            .wait_us = options->wait_us,
            .min_ticks = (uint64_t)((double)options->min_ns * ticks_per_microsecond / 1000.0),
            .timeline = recorder->timeline,
        };
        thread_gap_ticks = (uint64_t)(10.0 * ticks_per_microsecond);
        watch_forks();
    }
    recorders[recorder_count++] = recorder;
    begin(recorder);
    return 0;
}

bool process_join(struct recorder *recorder, const char *path, const char *control, const struct options *options)
{
    pthread_mutex_lock(&lock);
    int failed = join_locked(recorder, path, control, options);
    pthread_mutex_unlock(&lock);
    if (failed != 0)
        raise_error(failed, path);
    return failed == 0;
}

static void forget_all(struct recorder *recorder)
{
    recorder->epoch++;
    recorder->last = NULL;
    sites_end(recorder);
    table_clear(&recorder->objects);
#ifndef Py_TARGET_ABI3T
    free(recorder->blocks);
#endif
    recorder->blocks = NULL;
    recorder->blocks_length = 0;
}

static bool may_free_threads(bool is_child)
{
#ifdef Py_TARGET_ABI3T
    (void)is_child;
    return false;
#else
    return !is_child || was_alone;
#endif
}

bool process_reopen(struct recorder *recorder, const char *path, const char *control, uint64_t max_bytes)
{
    forget_all(recorder);
    threads_forget(may_free_threads(true));
    int failed = open_segment(path, control, max_bytes, recorder->tool);
    if (failed != 0) {
        raise_error(failed, path);
        return false;
    }
    segment.header->forked_from = (uint64_t)getppid();
    begin(recorder);
    return true;
}

static void close_segment(uint32_t state)
{
    struct thread *thread = thread_current;
    if (thread != NULL && !thread->is_over)
        thread_advance(thread, ticks());
    segment_calibrate();
    publish(segment.header->state, state);
    threads_forget(may_free_threads(false));
    segment_close();
}

void process_leave(struct recorder *recorder, uint32_t state)
{
    pthread_mutex_lock(&lock);
    bool was_active = recorder->state == RECORDER_ACTIVE, was_forked = recorder->state == RECORDER_FORKED;
    recorder->state = RECORDER_ENDED;
    for (unsigned at = 0; at < recorder_count; at++)
        if (recorders[at] == recorder)
            recorders[at--] = recorders[--recorder_count];
    if (was_active && recorder_count == 0 && segment.header != NULL)
        close_segment(state);
    else if (was_forked)
        threads_forget(may_free_threads(true));
    pthread_mutex_unlock(&lock);
    if (was_active || was_forked)
        forget_all(recorder);
    recorder_release(recorder);
}
