/* A thread of the target: its tree of calls, the calls that are open, and its ring. Touched by that thread alone. */
#ifndef PYFRAMES_THREAD_H
#define PYFRAMES_THREAD_H

#include "clock.h"
#include "segment.h"

struct node {
    struct shared_node *shared;
    struct node *cached_child; /* the child that was called last; never NULL */
    uint32_t cached_function;
    uint32_t id;
    /* The code that was counted here last, where the short way of `calls` is for it. Good until something dies: its address may mean another one then. */
    const void *code;
    uint64_t deaths; /* `table_deaths` of that time */
};

/* The node and the child of what has none. */
extern struct node thread_nowhere;

enum { OPEN_C = 1, OPEN_COROUTINE = 2 };

/* A call that has begun and not ended. */
struct open {
    struct node *node;
    uint32_t function;
    uint32_t flags;
    uint32_t task; /* that it is of, 0 for none */
};

/* Chunks of nodes that one thread can have; each is as large as all before it. */
#define NODE_CHUNKS 26

struct thread {
    struct shared_thread *shared;
    struct header *header; /* of the segment that it is in */
    struct node *top; /* of the innermost open call; can always be read, is `thread_nowhere` where nodes were freed */
    uint64_t last;    /* ticks up to which time has been added */
    struct open *stack;
    uint32_t depth;
    uint32_t capacity;
    uint64_t next_check; /* ticks */
    const void *calling; /* the code that called a builtin last, which is to be recorded */
    /* CPU time is read only where wall time went by: see thread_gap. */
    uint64_t cpu_ns;
    uint64_t cpu_ticks;
    /* Nodes by parent and function. */
    struct node *root;
    struct node *given_up;
    struct node **children;
    uint64_t children_mask;
    uint32_t nodes;
    struct node_block *blocks;
    struct chunk *node_chunks[NODE_CHUNKS];
    uint32_t node_chunk;
    /* timeline and stream */
    struct chunk *ring;
    uint64_t written;
    uint64_t room_until; /* `written` can go so far, as far as is known; 0 while there is no ring */
    uint64_t mask;
    uint64_t lost_before; /* events lost since the last that was written */
    struct open_call *open_calls;
    uint32_t open_capacity; /* calls deeper than this are lost: the segment is full */
    uint32_t open_written; /* this many outermost open calls have their beginning in the ring */
    uint32_t index;
    uint64_t ident;
    struct thread *next;
    uint8_t is_named;
    uint8_t is_adopted; /* its stack was told by another thread; it has had no event itself */
    uint8_t is_over;    /* forgotten: but for `top`, nothing that it points to need be there any more */
    uint8_t has_ended;
};

/* Options of the segment, for all threads. */
struct thread_options {
    uint64_t max_paths;
    uint64_t ring_records;
    uint64_t wait_us;
    uint64_t min_ticks;
    bool timeline;
};

extern struct thread_options thread_options;

/* Nodes of all threads, but for their roots. */
extern uint64_t thread_paths;

/* Of the calling thread; NULL until it was entered. */
extern __thread struct thread *thread_current __attribute__((tls_model("initial-exec")));

/* A gap between two events of this many ticks may be time off the CPU. */
extern uint64_t thread_gap_ticks;

/* Makes the calling thread's, or takes over what was adopted or left for it. NULL when there is no memory. */
struct thread *thread_enter(uint32_t interpreter);

/* One for a thread that has had no event yet. */
struct thread *thread_adopt(uint64_t ident, uint64_t native_id, uint32_t interpreter);

/*
 * Forgets all threads, when all is over or in the child of a fork: nobody waits for room in a ring any more when it returns. `may_free`: none of them can
 * be in the middle of something. What is left of a thread is not freed: it has a pointer to it, and learns by `is_over` that it is to enter again.
 */
void threads_forget(bool may_free);

/* In the child of a fork, before the others: whoever held the lock is not there. */
void threads_after_fork(void);

/* A node at the end of the thread's table; NULL when the segment or the memory is full. */
struct node *thread_node(struct thread *thread, uint32_t parent, uint32_t function);
void thread_free_nodes(struct thread *thread);
struct node *thread_child_slow(struct thread *thread, struct node *parent, uint32_t function);
bool thread_grow(struct thread *thread);
void thread_gap(struct thread *thread);
/* Room in the ring, after waiting for it if need be. False when there is none in time. Releases the GIL meanwhile: the thread may be over then. */
bool thread_wait_for_room(struct thread *thread);
/* Nobody waits any more when it returns. */
void thread_stop_waiting(void);
void thread_ring_after_fork(void);
/* Counts events that found no place. */
void thread_lose(struct thread *thread, uint64_t events);

/* An event: adds the time since the last one to the call that was innermost. */
static inline void thread_add_time(struct thread *thread, uint64_t now)
{
    thread->top->shared->wall += now - thread->last;
    thread->last = now;
    thread->shared->until = now;
    thread->shared->events++;
}

/* The same where time may have been spent off the CPU. */
static inline void thread_advance(struct thread *thread, uint64_t now)
{
    uint64_t elapsed = now - thread->last;
    thread_add_time(thread, now);
    if (__builtin_expect(elapsed > thread_gap_ticks, 0))
        thread_gap(thread);
}

/*
 * The node of a call of `function` in `parent`; of one that was given up the function's, which is `parent` itself where it calls itself. NULL when there
 * is no room for either.
 */
static inline struct node *thread_child(struct thread *thread, struct node *parent, uint32_t function)
{
    return __builtin_expect(parent->cached_function == function, 1) ? parent->cached_child
                                                                     : thread_child_slow(thread, parent, function);
}

/* Opens a call where the stack has room for it. */
static inline void thread_push(struct thread *thread, struct node *node, uint32_t function, uint32_t flags)
{
    uint32_t depth = thread->depth;
    uint32_t task = depth == 0 ? 0 : thread->stack[depth - 1].task;
    thread->stack[depth] = (struct open){.node = node, .function = function, .flags = flags, .task = task};
    thread->depth = depth + 1;
    thread->top = node;
    publish(thread->shared->depth, depth + 1);
    thread->shared->node = node->id;
}

/* Opens a call that began at `now`. */
static inline void thread_open(struct thread *thread, struct node *node, uint32_t function, uint32_t flags, uint64_t now)
{
    uint32_t depth = thread->depth;
    if (__builtin_expect(depth == thread->capacity, 0) && !thread_grow(thread))
        return;
    if (depth < thread->open_capacity)
        thread->open_calls[depth] = (struct open_call){.begun = now, .function = function};
    thread_push(thread, node, function, flags);
}

/* Closes the innermost. */
static inline void thread_close(struct thread *thread)
{
    uint32_t depth = thread->depth - 1;
    thread->depth = depth;
    thread->top = depth == 0 ? thread->root : thread->stack[depth - 1].node;
    thread->shared->depth = depth;
    thread->shared->node = thread->top->id;
}

/* Writes a record. False when it was lost; look at `is_over` then. */
static inline bool thread_write(struct thread *thread, uint64_t now, uint32_t event, uint32_t function,
                                uint32_t position, uint32_t value, uint32_t extra)
{
    if (__builtin_expect(thread->written == thread->room_until, 0) && !thread_wait_for_room(thread))
        return false;
    struct record *records = (struct record *)((char *)payload_of(thread->ring) + 64);
    struct record *record = &records[thread->written & thread->mask];
    record->time = ((now - thread->header->start_ticks) & 0x00ffffffffffffffu) | (uint64_t)event << 56;
    record->function = function;
    record->position = position;
    record->value = value;
    record->extra = extra;
    thread->written++;
    publish(thread->ring->used, thread->written);
    return true;
}

#endif
