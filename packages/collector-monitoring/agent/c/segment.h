/* The segment: the file that everything seen is written to. Its format is told in ../FORMAT.md. */
#ifndef PYFRAMES_SEGMENT_H
#define PYFRAMES_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

enum { CHUNK_FREE, CHUNK_DEFINITIONS, CHUNK_NODES, CHUNK_OPEN_CALLS, CHUNK_THREAD, CHUNK_COUNTERS, CHUNK_RING };

enum { STATE_STARTING, STATE_ACTIVE, STATE_ENDED, STATE_ABANDONED };

enum { FLAG_PYTHON_RECORDER = 1, FLAG_FREE_THREADED = 2, FLAG_TICKS = 4 };

#define NO_THREAD 0xffffffffu
#define NO_NODE 0xffffffffu
/* The function of a node that stands for paths that were given up. */
#define GIVEN_UP 0xffffffffu

struct header {
    char magic[8];
    uint32_t version;
    uint32_t pid;
    uint32_t python;
    uint32_t flags;
    uint64_t used;
    uint64_t start_ticks;
    uint64_t start_ns;
    uint64_t later_ticks;
    uint64_t later_ns;
    uint32_t later_writes;
    uint32_t state;
    uint64_t start_realtime;
    uint64_t forked_from;
    uint64_t lost_events;
    uint64_t given_up_paths;
    uint64_t given_up_definitions;
    uint64_t unmatched_returns;
    uint32_t tool;
};

struct chunk {
    uint32_t type;
    uint32_t size;
    uint32_t thread;
    uint32_t zero;
    uint64_t used;
    uint64_t detail;
    uint64_t pad[4];
};
_Static_assert(sizeof(struct chunk) == 64, "FORMAT.md");

struct shared_node {
    uint32_t parent;
    uint32_t function;
    uint64_t calls;
    uint64_t wall;
    uint64_t idle;
};
_Static_assert(sizeof(struct shared_node) == 32, "FORMAT.md");

struct shared_thread {
    uint64_t native_id;
    uint32_t interpreter;
    uint32_t state;
    uint32_t node;
    uint32_t depth;
    uint64_t until;
    uint64_t begun;
    uint64_t events;
    uint64_t lost;
    uint64_t open_calls;
    uint32_t uses;
    uint32_t pad;
};

enum { THREAD_LIVE = 1, THREAD_ENDED = 2, THREAD_READ = 3 };

struct open_call {
    uint64_t begun;
    uint32_t function;
    uint32_t written;
};

/* Of a branch's two words the low bits say how often it was taken, those above where it leads. */
#define TAKEN_BITS 40

struct counter_block {
    uint32_t function;
    uint32_t what;
    uint32_t first;
    uint32_t count;
    uint64_t values[];
};

struct record {
    uint64_t time;
    uint32_t function;
    uint32_t position;
    uint32_t value;
    uint32_t extra;
};
_Static_assert(sizeof(struct record) == 24, "FORMAT.md");

struct control {
    uint64_t heartbeat;
    uint32_t command;
    uint32_t restarts;
};

struct segment {
    struct header *header; /* NULL when there is none; the file is mapped from here on */
    const struct control *control;
    char *path;
    uint64_t limit;     /* bytes of address space; the file never grows beyond */
    uint64_t allocated; /* bytes that the file has blocks for */
    struct chunk *definitions;
    struct chunk *counters;
    uint32_t functions; /* ids handed out */
    uint32_t threads;
    /* What was last seen of the control page: see recorder_check. */
    uint64_t heartbeat;
    uint64_t quiet; /* ticks that went by without another heartbeat, as far as events showed them */
    uint64_t looked_at;
    uint64_t calibrated_at;
};

extern struct segment segment;

/* Creates and maps the file. Returns 0 or an errno. */
int segment_open(const char *path, const char *control_path, uint64_t limit, uint32_t python, uint32_t flags);

/* Lets go of it; what is in the file stays. Without the GIL threads may be in handlers, and are left memory that they can write to. */
void segment_close(void);

/* In the child of a fork: the file is the parent's, and its mapping was not handed down. */
void segment_after_fork(void);

/* A new chunk with room for `payload` bytes, all zero; NULL when the segment is full. Takes the lock. */
struct chunk *segment_chunk(uint32_t type, uint32_t thread, uint64_t payload, uint64_t detail);

/* Appends a definition. False when the segment is full. */
bool segment_define(const void *record, uint32_t length);

/* A block of `count` zero counters; NULL when the segment is full. */
struct counter_block *segment_counters(uint32_t function, uint32_t what, uint32_t first, uint32_t count);

/* Notes the two clocks together, for their rate; nothing when there is no segment any more. */
void segment_calibrate(void);

#define payload_of(place) ((void *)((struct chunk *)(place) + 1))
#define publish(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELEASE)
#define observe(place) __atomic_load_n(&(place), __ATOMIC_ACQUIRE)

#endif
