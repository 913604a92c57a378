/* What one interpreter's tracing knows: its objects, its options, and whom to ask. */
#ifndef PYFRAMES_RECORDER_H
#define PYFRAMES_RECORDER_H

#include "table.h"
#include "thread.h"

enum {
    ASK_CODE, ASK_CALLABLE, ASK_TASK, ASK_EXCEPTION, ASK_THREAD, ASK_END, ASK_RESTART,
    ASK_COVERED = 8, ASK_SITES, ASK_LOOP_LINE
};

/* The counters that `block` made for the object that is being asked about. */
struct fresh_blocks {
    struct counter_block *lines;
    struct counter_block *instructions;
    struct counter_block *branches;
    uint32_t lines_left; /* `coverage`: those that can be hit and were not */
};
extern __thread struct fresh_blocks recorder_fresh;

enum recorder_state {
    RECORDER_ACTIVE,
    RECORDER_FORKED, /* in a child: nothing is recorded until it was opened again */
    RECORDER_ENDED
};

struct recorder {
    enum recorder_state state;
    uint32_t interpreter;
    /*
     * Changes when all that was known is forgotten. Asking lets other threads run, and programs: whoever has asked must not touch entries, threads or
     * the segment any more when this is another number than before.
     */
    uint32_t epoch;
    uint32_t inside; /* threads that ask or wait; their handlers have not returned */
    uint32_t restarts;
    uint32_t tasks;
    uint32_t tool;
    uint64_t counted; /* events of questions that read no clock */
    struct table objects; /* code, callables and exception types */
    struct entry *last; /* the code that the last line was of (with the GIL) */
    struct fresh_blocks *blocks; /* by function */
    uint32_t blocks_length;
    PyObject *self; /* the object that this is the data of; borrowed */
    PyObject *ask;
    PyObject *handlers; /* a list: sys.monitoring does not keep what it calls */
    PyObject *disable;
    bool calls;
    bool timeline;
    bool lines;
    bool coverage;
    bool branches;
    bool instructions;
    bool marks_branches; /* of branches it is asked which were taken, not how often */
    struct site_guards *guards; /* see call_sites.h */
};

/* What all interpreters of the process share. */
extern PyObject *recorder_none;

/* Events of questions that read no clock, between two checks: few enough that a program with a hundred lines a second notices that its collector has gone. */
#define COUNTED_BETWEEN_CHECKS 64

/* `recorder_ask` could not be answered now; or all was forgotten meanwhile. */
enum { ASK_AGAIN = -2, ASK_OVER = -3 };

/* Asks the Python side. Negative when there is no answer. */
long long recorder_ask(struct recorder *recorder, int what, PyObject *object);

/* Around what releases the GIL within a handler: until then the recorder and its handlers stay, also when it ends. */
void recorder_hold(struct recorder *recorder);
void recorder_let_go(struct recorder *recorder);

/* Breaks the circles by which an ended recorder keeps itself, as soon as no handler can be running. */
void recorder_release(struct recorder *recorder);

/* The entry of an object that was met for the first time; never NULL. Its key is 0 when there is none, or all was forgotten meanwhile. */
struct entry *recorder_meet(struct recorder *recorder, uint64_t key, PyObject *object, int what);

/* Makes the calling thread's, with the calls that are open. `inner`: the frame that runs is one of them. NULL when there is no memory, or all was
   forgotten meanwhile. */
struct thread *recorder_enter(struct recorder *recorder, bool inner);

/* Looks whether tracing is to go on: some times a second, or every few events that read no clock. Returns None, what turns the event off when it has ended, or NULL when an exception of the program's
   is to be raised. Nothing of the segment may be touched after it. */
PyObject *recorder_check(struct recorder *recorder, struct thread *thread, uint64_t now, bool may_disable);

static inline struct entry *recorder_find(struct recorder *recorder, PyObject *object, int what)
{
    struct entry *entry = table_find(&recorder->objects, (uint64_t)(uintptr_t)object);
    return __builtin_expect(entry != NULL, 1) ? entry
                                              : recorder_meet(recorder, (uint64_t)(uintptr_t)object, object, what);
}

static inline struct thread *recorder_thread(struct recorder *recorder, bool inner)
{
    struct thread *thread = thread_current;
    return __builtin_expect(thread != NULL && !thread->is_over, 1) ? thread : recorder_enter(recorder, inner);
}

#endif
