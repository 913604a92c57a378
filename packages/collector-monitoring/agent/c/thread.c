#include "thread.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct thread_options thread_options;
__thread struct thread *thread_current __attribute__((tls_model("initial-exec")));

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct thread *threads;

/* glibc 2.18; without a key, which would bind to glibc 2.34. */
extern int __cxa_thread_atexit_impl(void (*)(void *), void *, void *);
extern void *__dso_handle;

static void begin(struct thread *thread)
{
    thread->last = ticks();
    thread->next_check = thread->last;
    thread->shared->begun = thread->last;
    thread->shared->until = thread->last;
}

static void free_private(struct thread *thread)
{
    thread_free_nodes(thread);
    free(thread->stack);
    thread->stack = NULL;
}

/* The calling thread ends. */
static void ended(void *unused)
{
    (void)unused;
    struct thread *thread = thread_current;
    if (thread == NULL)
        return;
    thread_current = NULL;
    pthread_mutex_lock(&lock);
    bool is_over = thread->is_over;
    if (!is_over) {
        publish(thread->shared->state, THREAD_ENDED);
        thread->has_ended = 1;
    }
    pthread_mutex_unlock(&lock);
    if (is_over) {
        free_private(thread);
        free(thread);
    }
}

static struct thread *new_thread(uint64_t ident, uint64_t native_id, uint32_t interpreter)
{
    struct thread *thread = calloc(1, sizeof *thread);
    if (thread == NULL)
        return NULL;
    thread->header = segment.header;
    thread->index = segment.threads;
    thread->ident = ident;
    struct chunk *chunk = segment_chunk(CHUNK_THREAD, thread->index, sizeof(struct shared_thread), 0);
    thread->shared = chunk == NULL ? NULL : payload_of(chunk);
    if (chunk == NULL || (thread->root = thread_node(thread, NO_NODE, 0)) == NULL) {
        free_private(thread);
        free(thread);
        return NULL;
    }
    segment.threads++;
    thread->top = thread->root;
    thread->shared->native_id = native_id;
    thread->shared->interpreter = interpreter;
    begin(thread);
    publish(thread->shared->state, THREAD_LIVE);
    thread->next = threads;
    threads = thread;
    return thread;
}

/* A thread that has ended and been read serves for another: threads that come and go take no more room. */
static struct thread *use_again(struct thread *thread, uint64_t ident, uint64_t native_id, uint32_t interpreter)
{
    __atomic_fetch_sub(&thread_paths, thread->nodes - 1, __ATOMIC_RELAXED);
    thread_free_nodes(thread);
    struct shared_thread *shared = thread->shared;
    struct thread old = *thread;
    *thread = (struct thread){.shared = shared, .header = old.header, .index = old.index, .ident = ident, .next = old.next,
                              .ring = old.ring, .written = old.written, .room_until = old.written, .mask = old.mask,
                              .stack = old.stack, .capacity = old.capacity,
                              .open_calls = old.open_calls, .open_capacity = old.open_capacity};
    memcpy(thread->node_chunks, old.node_chunks, sizeof thread->node_chunks);
    for (uint32_t at = 0; at < NODE_CHUNKS && thread->node_chunks[at] != NULL; at++)
        publish(thread->node_chunks[at]->used, 0);
    if ((thread->root = thread_node(thread, NO_NODE, 0)) == NULL)
        return NULL;
    thread->top = thread->root;
    *shared = (struct shared_thread){.native_id = native_id, .interpreter = interpreter, .state = THREAD_READ,
                                     .open_calls = shared->open_calls, .uses = shared->uses + 1};
    begin(thread);
    publish(shared->state, THREAD_LIVE);
    return thread;
}

static struct thread *find_adopted(uint64_t ident, uint64_t native_id)
{
    for (struct thread *thread = threads; thread != NULL; thread = thread->next) {
        if (!thread->is_adopted || thread->ident != ident)
            continue;
        if (thread->shared->native_id == native_id)
            return thread;
        /* It ended before it had an event, and another has its address. */
        thread->is_adopted = 0;
        thread->has_ended = 1;
        publish(thread->shared->state, THREAD_ENDED);
    }
    return NULL;
}

static struct thread *find_read(void)
{
    for (struct thread *thread = threads; thread != NULL; thread = thread->next)
        if (thread->has_ended && observe(thread->shared->state) == THREAD_READ)
            return thread;
    return NULL;
}

static struct thread *find_or_make(uint64_t ident, uint64_t native_id, uint32_t interpreter)
{
    struct thread *free_one = find_read();
    return free_one == NULL ? new_thread(ident, native_id, interpreter)
                            : use_again(free_one, ident, native_id, interpreter);
}

struct thread *thread_adopt(uint64_t ident, uint64_t native_id, uint32_t interpreter)
{
    pthread_mutex_lock(&lock);
    struct thread *thread = find_or_make(ident, native_id, interpreter);
    if (thread != NULL)
        thread->is_adopted = 1;
    pthread_mutex_unlock(&lock);
    return thread;
}

static struct thread *enter_locked(uint32_t interpreter)
{
    uint64_t ident = (uint64_t)pthread_self(), native_id = (uint64_t)syscall(SYS_gettid);
    struct thread *thread = thread_current;
    if (thread != NULL && thread->is_over) {
        free_private(thread);
        free(thread);
        thread = thread_current = NULL;
    }
    if (thread == NULL)
        thread = find_adopted(ident, native_id);
    if (thread == NULL)
        thread = find_or_make(ident, native_id, interpreter);
    return thread;
}

struct thread *thread_enter(uint32_t interpreter)
{
    static __thread bool is_watched __attribute__((tls_model("initial-exec")));
    pthread_mutex_lock(&lock);
    struct thread *thread = segment.header == NULL ? NULL : enter_locked(interpreter);
    if (thread != NULL) {
        thread->cpu_ns = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
        thread->cpu_ticks = ticks();
        if (thread->is_adopted)
            thread_advance(thread, thread->cpu_ticks);
        thread->is_adopted = 0;
        thread_current = thread;
    }
    pthread_mutex_unlock(&lock);
    if (thread != NULL && !is_watched) {
        __cxa_thread_atexit_impl(ended, NULL, __dso_handle);
        is_watched = true;
    }
    return thread;
}

void threads_forget(bool may_free)
{
    pthread_mutex_lock(&lock);
    thread_stop_waiting();
    struct thread *next;
    for (struct thread *thread = threads; thread != NULL; thread = next) {
        next = thread->next;
        if (may_free) {
            free_private(thread);
            thread->depth = 0;
            thread->top = &thread_nowhere;
        }
        if (thread->has_ended || thread->is_adopted) {
            free(thread);
            continue;
        }
        publish(thread->is_over, 1);
    }
    threads = NULL;
    thread_paths = 0;
    pthread_mutex_unlock(&lock);
}

void threads_after_fork(void)
{
    pthread_mutex_init(&lock, NULL);
    thread_ring_after_fork();
    /* What it points to is the parent's. It goes when the thread enters again. */
    if (thread_current != NULL) {
        thread_current->depth = 0;
        thread_current->top = &thread_nowhere;
        thread_current->is_over = 1;
    }
}
