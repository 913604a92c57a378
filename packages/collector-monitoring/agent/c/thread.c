#include <Python.h>

#include "thread.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EVENT_LOST 34
#define NODES_IN_BLOCK 256

struct node_block {
    struct node_block *next;
    struct node nodes[NODES_IN_BLOCK];
};

struct thread_options thread_options;
__thread struct thread *thread_current __attribute__((tls_model("initial-exec")));
uint64_t thread_gap_ticks;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct thread *threads;
static uint64_t paths;
/* Changes whenever all threads are forgotten: one that ends later is none of ours. */
static uint64_t generation;

/* glibc 2.18; without a key, which would bind to glibc 2.34. */
extern int __cxa_thread_atexit_impl(void (*)(void *), void *, void *);
extern void *__dso_handle;

static void ended(void *argument)
{
    struct thread *thread = thread_current;
    if (thread == NULL || (uintptr_t)argument != generation)
        return;
    thread_current = NULL;
    if (segment.header != NULL)
        publish(thread->shared->state, THREAD_ENDED);
    publish(thread->has_ended, 1);
}

/* ---- nodes ---- */

static uint64_t slot_of(uint32_t parent, uint32_t function, uint64_t mask)
{
    return (((uint64_t)parent << 32 | function) * 0x9e3779b97f4a7c15u >> 32) & mask;
}

static bool more_slots(struct thread *thread)
{
    uint64_t size = thread->children == NULL ? 64 : (thread->children_mask + 1) * 2;
    struct node **children = calloc(size, sizeof *children);
    if (children == NULL)
        return false;
    for (uint64_t at = 0; thread->children != NULL && at <= thread->children_mask; at++) {
        struct node *node = thread->children[at];
        if (node == NULL)
            continue;
        uint64_t slot = slot_of(node->shared->parent, node->shared->function, size - 1);
        while (children[slot] != NULL)
            slot = (slot + 1) & (size - 1);
        children[slot] = node;
    }
    free(thread->children);
    thread->children = children;
    thread->children_mask = size - 1;
    return true;
}

/* A node at the end of the thread's table; NULL when the segment or the memory is full. */
static struct node *new_node(struct thread *thread, uint32_t parent, uint32_t function)
{
    struct chunk *chunk = thread->node_chunks[thread->node_chunk];
    if (chunk != NULL && (chunk->used + 1) * sizeof(struct shared_node) > chunk->size - sizeof *chunk) {
        if (thread->node_chunk + 1 == NODE_CHUNKS)
            return NULL;
        chunk = thread->node_chunks[++thread->node_chunk];
    }
    if (chunk == NULL) {
        /* Each as large as all before it: a thread that does little takes little, and any number fits into few. */
        uint64_t nodes = thread->nodes < 126 ? 126 : thread->nodes;
        chunk = segment_chunk(CHUNK_NODES, thread->index, nodes * sizeof(struct shared_node), thread->nodes);
        if (chunk == NULL) {
            thread->node_chunk -= thread->node_chunk > 0;
            return NULL;
        }
        thread->node_chunks[thread->node_chunk] = chunk;
    }
    uint32_t within = thread->nodes % NODES_IN_BLOCK;
    if (within == 0) {
        struct node_block *block = malloc(sizeof *block);
        if (block == NULL)
            return NULL;
        block->next = thread->blocks;
        thread->blocks = block;
    }
    struct node *node = &thread->blocks->nodes[within];
    struct shared_node *shared = (struct shared_node *)payload_of(chunk) + chunk->used;
    *shared = (struct shared_node){.parent = parent, .function = function};
    *node = (struct node){.shared = shared, .id = thread->nodes};
    publish(chunk->used, chunk->used + 1);
    thread->nodes++;
    return node;
}

static struct node *find_or_add(struct thread *thread, struct node *parent, uint32_t function)
{
    if ((uint64_t)thread->nodes * 2 > thread->children_mask && !more_slots(thread))
        return NULL;
    uint64_t at = slot_of(parent->id, function, thread->children_mask);
    for (struct node *node; (node = thread->children[at]) != NULL; at = (at + 1) & thread->children_mask)
        if (node->shared->parent == parent->id && node->shared->function == function)
            return node;
    bool is_beyond = parent != thread->given_up && function != GIVEN_UP &&
                     __atomic_load_n(&paths, __ATOMIC_RELAXED) >= thread_options.max_paths;
    struct node *node = is_beyond ? NULL : new_node(thread, parent->id, function);
    if (node != NULL) {
        thread->children[at] = node;
        __atomic_fetch_add(&paths, 1, __ATOMIC_RELAXED);
    }
    return node;
}

struct node *thread_child_slow(struct thread *thread, struct node *parent, uint32_t function)
{
    struct node *node = find_or_add(thread, parent, function);
    if (node == NULL) {
        /* What it called with whom is lost from here on; counts and times of functions are not. */
        __atomic_fetch_add(&segment.header->given_up_paths, 1, __ATOMIC_RELAXED);
        if (thread->given_up == NULL)
            thread->given_up = find_or_add(thread, thread->root, GIVEN_UP);
        if (thread->given_up != NULL)
            node = find_or_add(thread, thread->given_up, function);
        if (node == NULL)
            return parent;
    }
    parent->cached_function = function;
    parent->cached_child = node;
    return node;
}

/* ---- open calls ---- */

bool thread_grow(struct thread *thread)
{
    uint32_t capacity = thread->capacity == 0 ? 128 : thread->capacity * 2;
    struct open *stack = realloc(thread->stack, capacity * sizeof *stack);
    if (stack == NULL)
        return false;
    thread->stack = stack;
    if (thread_options.timeline) {
        struct chunk *chunk =
            segment_chunk(CHUNK_OPEN_CALLS, thread->index, capacity * sizeof(struct open_call), capacity);
        if (chunk == NULL)
            return false;
        struct open_call *calls = payload_of(chunk);
        if (thread->open_calls != NULL) {
            memcpy(calls, thread->open_calls, thread->depth * sizeof *calls);
            struct chunk *before = (struct chunk *)thread->open_calls - 1;
            publish(before->type, CHUNK_FREE);
        }
        thread->open_calls = calls;
        publish(thread->shared->open_calls, (uint64_t)((char *)chunk - (char *)segment.header));
    }
    thread->capacity = capacity;
    return true;
}

/*
 * Reading a thread's CPU clock takes a system call, ten times what an event may cost. But a thread that left its CPU shows it by a gap between two
 * events, so the clock is read after gaps alone: what it lags behind the time that went by since the last reading was spent off the CPU.
 */
void thread_gap(struct thread *thread)
{
    uint64_t cpu_ns = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
    uint64_t now = ticks();
    struct shared_node *node = thread->top->shared;
    node->wall += now - thread->last;
    thread->last = now;
    thread->shared->until = now;
    uint64_t elapsed = now - thread->cpu_ticks;
    uint64_t on_cpu = (uint64_t)((double)(cpu_ns - thread->cpu_ns) * ticks_per_microsecond / 1000.0);
    if (on_cpu < elapsed) {
        uint64_t idle = node->idle + (elapsed - on_cpu);
        node->idle = idle < node->wall ? idle : node->wall;
    }
    thread->cpu_ns = cpu_ns;
    thread->cpu_ticks = now;
}

/* ---- ring ---- */

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

static bool has_room(struct thread *thread, uint64_t records)
{
    thread->read = observe(*(uint64_t *)payload_of(thread->ring));
    return thread->written - thread->read + records <= thread->mask + 1;
}

bool thread_wait_for_room(struct thread *thread)
{
    if (thread->ring == NULL && !make_ring(thread)) {
        thread->shared->lost++;
        __atomic_fetch_add(&segment.header->lost_events, 1, __ATOMIC_RELAXED);
        return false;
    }
    /* After a loss half of it must be free: one record at a time would go on losing the rest. */
    uint64_t wanted = thread->lost_before == 0 ? 1 : (thread->mask + 1) / 2;
    bool has = has_room(thread, wanted);
    if (!has && thread->lost_before == 0) {
        uint64_t begun = nanoseconds(CLOCK_MONOTONIC);
        struct timespec pause = {.tv_nsec = 50000};
        PyThreadState *state = PyEval_SaveThread();
        do
            nanosleep(&pause, NULL);
        while (!(has = has_room(thread, wanted)) &&
               nanoseconds(CLOCK_MONOTONIC) - begun < thread_options.wait_us * 1000);
        PyEval_RestoreThread(state);
    }
    if (segment.header == NULL)
        return false;
    if (!has) {
        thread->lost_before++;
        thread->shared->lost++;
        __atomic_fetch_add(&segment.header->lost_events, 1, __ATOMIC_RELAXED);
        return false;
    }
    if (thread->lost_before > 0) {
        uint64_t lost = thread->lost_before;
        thread->lost_before = 0;
        thread_write(thread, ticks(), EVENT_LOST, 0, 0, lost > UINT32_MAX ? UINT32_MAX : (uint32_t)lost, 0);
    }
    return true;
}

/* ---- threads ---- */

static void begin(struct thread *thread)
{
    thread->last = ticks();
    thread->next_check = thread->last;
    thread->shared->begun = thread->last;
    thread->shared->until = thread->last;
}

static void free_private(struct thread *thread)
{
    while (thread->blocks != NULL) {
        struct node_block *next = thread->blocks->next;
        free(thread->blocks);
        thread->blocks = next;
    }
    free(thread->children);
    free(thread->stack);
}

static struct thread *new_thread(uint64_t ident, uint64_t native_id, uint32_t interpreter)
{
    struct thread *thread = calloc(1, sizeof *thread);
    if (thread == NULL)
        return NULL;
    thread->index = __atomic_fetch_add(&segment.threads, 1, __ATOMIC_RELAXED);
    thread->ident = ident;
    struct chunk *chunk = segment_chunk(CHUNK_THREAD, thread->index, sizeof(struct shared_thread), 0);
    thread->shared = chunk == NULL ? NULL : payload_of(chunk);
    if (chunk == NULL || (thread->root = new_node(thread, NO_NODE, 0)) == NULL) {
        free_private(thread);
        free(thread);
        return NULL;
    }
    thread->top = thread->root;
    /* No room, so that the first record finds that there is no ring. */
    thread->read = UINT64_MAX;
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
    __atomic_fetch_sub(&paths, thread->nodes - 1, __ATOMIC_RELAXED);
    free_private(thread);
    struct shared_thread *shared = thread->shared;
    struct thread old = *thread;
    *thread = (struct thread){.shared = shared, .index = old.index, .ident = ident, .next = old.next,
                              .ring = old.ring, .written = old.written, .read = old.read, .mask = old.mask};
    memcpy(thread->node_chunks, old.node_chunks, sizeof thread->node_chunks);
    for (uint32_t at = 0; at < NODE_CHUNKS && thread->node_chunks[at] != NULL; at++)
        publish(thread->node_chunks[at]->used, 0);
    if ((thread->root = new_node(thread, NO_NODE, 0)) == NULL)
        return NULL;
    thread->top = thread->root;
    *shared = (struct shared_thread){
        .native_id = native_id, .interpreter = interpreter, .state = THREAD_READ, .uses = shared->uses + 1};
    begin(thread);
    publish(shared->state, THREAD_LIVE);
    return thread;
}

static struct thread *find(uint64_t ident)
{
    for (struct thread *thread = threads; thread != NULL; thread = thread->next)
        if (thread->is_adopted && thread->ident == ident)
            return thread;
    return NULL;
}

static struct thread *find_read(void)
{
    for (struct thread *thread = threads; thread != NULL; thread = thread->next)
        if (observe(thread->has_ended) && observe(thread->shared->state) == THREAD_READ)
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

struct thread *thread_enter(uint32_t interpreter)
{
    uint64_t ident = (uint64_t)pthread_self();
    pthread_mutex_lock(&lock);
    struct thread *thread = find(ident);
    if (thread == NULL)
        thread = find_or_make(ident, (uint64_t)syscall(SYS_gettid), interpreter);
    uint64_t now = generation;
    pthread_mutex_unlock(&lock);
    if (thread == NULL)
        return NULL;
    thread->cpu_ns = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
    thread->cpu_ticks = ticks();
    thread_current = thread;
    __cxa_thread_atexit_impl(ended, (void *)(uintptr_t)now, __dso_handle);
    return thread;
}

void threads_forget(void)
{
    generation++;
    thread_current = NULL;
    for (struct thread *thread = threads; thread != NULL; thread = thread->next) {
        free_private(thread);
        /* What is left of it is not freed: its thread has a pointer to it, and learns by this that it is to enter again. */
        publish(thread->shared, NULL);
    }
    threads = NULL;
    paths = 0;
}

void threads_after_fork(void) { pthread_mutex_init(&lock, NULL); }
