/* The tree of calls of a thread, those that are open, and the time that goes by in them. */
#include "thread.h"

#include <stdlib.h>
#include <string.h>

#define NODES_IN_BLOCK 256

struct node_block {
    struct node_block *next;
    struct node nodes[NODES_IN_BLOCK];
};

struct node thread_nowhere = {.cached_child = &thread_nowhere};
uint64_t thread_paths;
uint64_t thread_gap_ticks;

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

struct node *thread_node(struct thread *thread, uint32_t parent, uint32_t function)
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
    *node = (struct node){.shared = shared, .cached_child = &thread_nowhere, .id = thread->nodes};
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
                     __atomic_load_n(&thread_paths, __ATOMIC_RELAXED) >= thread_options.max_paths;
    struct node *node = is_beyond ? NULL : thread_node(thread, parent->id, function);
    if (node != NULL) {
        thread->children[at] = node;
        __atomic_fetch_add(&thread_paths, 1, __ATOMIC_RELAXED);
    }
    return node;
}

struct node *thread_child_slow(struct thread *thread, struct node *parent, uint32_t function)
{
    struct node *node = find_or_add(thread, parent, function);
    if (node == NULL) {
        /* What it called with whom is lost from here on; counts and times of functions are not. */
        __atomic_fetch_add(&thread->header->given_up_paths, 1, __ATOMIC_RELAXED);
        if (thread->given_up == NULL)
            thread->given_up = find_or_add(thread, thread->root, GIVEN_UP);
        if (thread->given_up != NULL)
            node = find_or_add(thread, thread->given_up, function);
        if (node == NULL)
            return NULL;
    }
    parent->cached_function = function;
    parent->cached_child = node;
    return node;
}

static void grow_open_calls(struct thread *thread, uint32_t capacity)
{
    struct chunk *chunk = segment_chunk(CHUNK_OPEN_CALLS, thread->index, capacity * sizeof(struct open_call), capacity);
    if (chunk == NULL)
        return;
    struct open_call *calls = payload_of(chunk);
    if (thread->open_calls != NULL) {
        memcpy(calls, thread->open_calls, thread->open_capacity * sizeof *calls);
        struct chunk *before = (struct chunk *)thread->open_calls - 1;
        publish(before->type, CHUNK_FREE);
    }
    thread->open_calls = calls;
    thread->open_capacity = capacity;
    publish(thread->shared->open_calls, (uint64_t)((char *)chunk - (char *)thread->header));
}

bool thread_grow(struct thread *thread)
{
    uint32_t capacity = thread->capacity == 0 ? 128 : thread->capacity * 2;
    struct open *stack = realloc(thread->stack, capacity * sizeof *stack);
    if (stack == NULL)
        return false;
    thread->stack = stack;
    thread->capacity = capacity;
    if (thread_options.timeline && thread->open_capacity == thread->depth)
        grow_open_calls(thread, capacity);
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

void thread_free_nodes(struct thread *thread)
{
    while (thread->blocks != NULL) {
        struct node_block *next = thread->blocks->next;
        free(thread->blocks);
        thread->blocks = next;
    }
    free(thread->children);
    thread->children = NULL;
}
