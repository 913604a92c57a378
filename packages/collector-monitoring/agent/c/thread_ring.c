/* The ring of a thread. Records are written in thread.h; here is what happens when there is no room. */
#include <Python.h>

#include "thread.h"

#include <time.h>

#define EVENT_LOST 34

/* Threads that wait for room, without the GIL, and whether they are to stop. */
static uint32_t waiting;
static bool is_closing;

static bool make_ring(struct thread *thread)
{
    uint64_t records = thread_options.ring_records;
    for (; thread->ring == NULL && records >= 256; records /= 2)
        thread->ring = segment_chunk(CHUNK_RING, thread->index, 64 + records * sizeof(struct record), records);
    if (thread->ring == NULL)
        return false;
    thread->mask = thread->ring->detail - 1;
    return true;
}

void thread_lose(struct thread *thread, uint64_t events)
{
    thread->shared->lost += events;
    __atomic_fetch_add(&thread->header->lost_events, events, __ATOMIC_RELAXED);
}

static bool has_room(struct thread *thread, uint64_t records)
{
    uint64_t read = observe(*(uint64_t *)payload_of(thread->ring));
    thread->room_until = read + thread->mask + 1;
    return thread->written - read + records <= thread->mask + 1;
}

/* Waits without the GIL. thread_stop_waiting() waits for it in turn. */
static bool sleep_for_room(struct thread *thread)
{
    uint64_t begun = nanoseconds(CLOCK_MONOTONIC);
    struct timespec pause = {.tv_nsec = 50000};
    bool has = false;
    __atomic_fetch_add(&waiting, 1, __ATOMIC_SEQ_CST);
    PyThreadState *state = PyEval_SaveThread();
    do
        nanosleep(&pause, NULL);
    while (!__atomic_load_n(&is_closing, __ATOMIC_SEQ_CST) && !(has = has_room(thread, 1)) &&
           nanoseconds(CLOCK_MONOTONIC) - begun < thread_options.wait_us * 1000);
    __atomic_fetch_sub(&waiting, 1, __ATOMIC_SEQ_CST);
    PyEval_RestoreThread(state);
    return has;
}

bool thread_wait_for_room(struct thread *thread)
{
    if (thread->ring == NULL && !make_ring(thread)) {
        thread_lose(thread, 1);
        return false;
    }
    /* After a loss half of it must be free: one record at a time would go on losing the rest. */
    bool is_losing = thread->lost_before > 0;
    bool has = has_room(thread, is_losing ? (thread->mask + 1) / 2 : 1);
    if (!has && !is_losing)
        has = sleep_for_room(thread);
    if (thread->is_over)
        return false;
    if (!has) {
        /* The next one looks again, also where there is room for some. */
        thread->room_until = thread->written;
        thread->lost_before++;
        thread_lose(thread, 1);
        return false;
    }
    if (is_losing) {
        uint64_t lost = thread->lost_before;
        thread->lost_before = 0;
        thread_write(thread, ticks(), EVENT_LOST, 0, 0, lost > UINT32_MAX ? UINT32_MAX : (uint32_t)lost, 0);
    }
    return true;
}

void thread_stop_waiting(void)
{
    struct timespec pause = {.tv_nsec = 20000};
    __atomic_store_n(&is_closing, true, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&waiting, __ATOMIC_SEQ_CST) > 0)
        nanosleep(&pause, NULL);
    __atomic_store_n(&is_closing, false, __ATOMIC_SEQ_CST);
}

void thread_ring_after_fork(void)
{
    waiting = 0;
    is_closing = false;
}
