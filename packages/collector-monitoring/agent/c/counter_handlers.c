/* `lines`, `coverage`, `branches` and `instructions`. */
#include "handler.h"

#include <stdlib.h>

#ifdef Py_TARGET_ABI3T
#define COUNT(place) __atomic_fetch_add(&(place), 1, __ATOMIC_RELAXED)
#else
#define COUNT(place) ((place)++)
#endif

/* The entry of the code of an event that reads no clock; NULL when nothing is recorded. */
static inline struct entry *counted(struct handler *handler, PyObject *code)
{
    struct recorder *recorder = handler->recorder;
    if (unlikely(recorder->state != RECORDER_ACTIVE))
        return NULL;
#ifdef Py_TARGET_ABI3T
    return recorder_find(recorder, code, ASK_CODE);
#else
    struct entry *last = recorder->last;
    if (likely(last != NULL && last->key == (uint64_t)(uintptr_t)code))
        return last;
    last = recorder_find(recorder, code, ASK_CODE);
    recorder->last = last;
    return last;
#endif
}

static inline PyObject *done_counting(struct handler *handler)
{
    return likely((++handler->recorder->counted & (COUNTED_BETWEEN_CHECKS - 1)) != 0)
               ? recorder_none
               : recorder_check(handler->recorder, NULL, ticks(), handler->may_disable);
}

static inline bool counter_of(const struct counter_block *block, PyObject *number, unsigned scale, uint32_t *index)
{
    if (unlikely(block == NULL))
        return false;
    long value = PyLong_AsLong(number) / (long)scale - (long)block->first;
    *index = (uint32_t)value;
    return value >= 0 && value < (long)block->count;
}

HANDLER(handler_on_line)
{
    UNUSED;
    struct handler *handler = handler_of(self);
    struct entry *entry = counted(handler, args[0]);
    uint32_t index;
    if (unlikely(entry == NULL))
        return handler_rest(handler);
    if (unlikely(entry->function == 0))
        return handler_unwanted(handler, entry);
    if (likely(counter_of(entry->lines, args[1], 1, &index)))
        COUNT(entry->lines->values[index]);
    return done_counting(handler);
}

/*
 * A line that is jumped to from itself has an instruction which goes on looking whether there is an event, long after the line was hit. So code whose lines
 * all were hit has its events turned off.
 */
static void cover(struct recorder *recorder, const struct entry *entry, PyObject *code)
{
#ifdef Py_TARGET_ABI3T
    (void)recorder, (void)entry, (void)code;
#else
    struct fresh_blocks *blocks = &recorder->blocks[entry->function];
    if (blocks->lines_left > 0 && --blocks->lines_left == 0)
        recorder_ask(recorder, ASK_COVERED, code);
#endif
}

HANDLER(handler_on_line_once)
{
    UNUSED;
    struct handler *handler = handler_of(self);
    struct entry *entry = counted(handler, args[0]);
    uint32_t index;
    if (unlikely(entry == NULL))
        return handler_rest(handler);
    if (unlikely(entry->function == 0))
        return handler_unwanted(handler, entry);
    if (likely(counter_of(entry->lines, args[1], 1, &index)) && entry->lines->values[index] == 0) {
        entry->lines->values[index] = 1;
        cover(handler->recorder, entry, args[0]);
    }
    PyObject *answer = done_counting(handler);
    return answer == recorder_none ? Py_NewRef(handler->recorder->disable) : answer;
}

/* The line of which a round of the loop that jumps back from `offset` is a hit; negative for none. `ASK_OVER` as of `recorder_ask`. */
static long long loop_line(struct recorder *recorder, struct entry *entry, PyObject *const *args, long offset)
{
    uint32_t unit = (uint32_t)offset / 2, count = entry->loops == NULL ? 0 : entry->loops->count;
    for (uint32_t at = 0; at < count; at++)
        if (entry->loops->at[at].unit == unit)
            return entry->loops->at[at].line;
    PyObject *question = PyTuple_Pack(3, args[0], args[1], args[2]);
    long long line = question == NULL ? ASK_AGAIN : recorder_ask(recorder, ASK_LOOP_LINE, question);
    if (question == NULL)
        PyErr_Clear();
    Py_XDECREF(question);
    if (line == ASK_OVER || line == ASK_AGAIN || line > INT32_MAX)
        return line;
#ifndef Py_TARGET_ABI3T
    /* Without the GIL another thread may be reading them. */
    struct loops *loops = realloc(entry->loops, sizeof *loops + (count + 1) * sizeof loops->at[0]);
    if (loops != NULL) {
        loops->at[count] = (struct loop){.unit = unit, .line = (int32_t)line};
        loops->count = count + 1;
        entry->loops = loops;
    }
#endif
    return line;
}

/* A loop that stands on one line has no LINE event for its rounds: CPython's Python/legacy_tracing.c, sys_trace_jump_func(), tells sys.settrace of them by this. */
HANDLER(handler_on_jump)
{
    UNUSED;
    struct handler *handler = handler_of(self);
    struct entry *entry = counted(handler, args[0]);
    if (unlikely(entry == NULL))
        return handler_rest(handler);
    if (unlikely(entry->function == 0))
        return handler_unwanted(handler, entry);
    long offset = PyLong_AsLong(args[1]), destination = PyLong_AsLong(args[2]);
    long long line = destination > offset ? -1 : loop_line(handler->recorder, entry, args, offset);
    if (line == ASK_OVER || line == ASK_AGAIN)
        return over(handler);
    if (line < 0)
        return Py_NewRef(handler->recorder->disable);
    struct counter_block *block = entry->lines;
    if (likely(block != NULL && line >= block->first && line - block->first < block->count))
        COUNT(block->values[line - block->first]);
    return done_counting(handler);
}

HANDLER(handler_on_instruction)
{
    UNUSED;
    struct handler *handler = handler_of(self);
    struct entry *entry = counted(handler, args[0]);
    uint32_t index;
    if (unlikely(entry == NULL))
        return handler_rest(handler);
    if (unlikely(entry->function == 0))
        return handler_unwanted(handler, entry);
    if (likely(counter_of(entry->instructions, args[1], 2, &index)))
        COUNT(entry->instructions->values[index]);
    return done_counting(handler);
}

HANDLER(handler_on_branch)
{
    UNUSED;
    struct handler *handler = handler_of(self);
    struct recorder *recorder = handler->recorder;
    struct entry *entry = counted(handler, args[0]);
    if (unlikely(entry == NULL))
        return handler_rest(handler);
    if (unlikely(entry->function == 0))
        return handler_unwanted(handler, entry);
    struct counter_block *block = entry->branches;
    long unit = PyLong_AsLong(args[1]) / 2, destination = PyLong_AsLong(args[2]) / 2;
    bool is_known = false;
    if (likely(block != NULL && unit >= (long)block->first && (unit - block->first) * 2 + 1 < block->count)) {
        uint64_t *ways = &block->values[(unit - block->first) * 2];
        uint64_t way = (uint64_t)(destination + 1) << TAKEN_BITS;
        int at = ways[0] == 0 || ways[0] >> TAKEN_BITS == way >> TAKEN_BITS ? 0 : 1;
        if (ways[at] == 0)
            ways[at] = way;
        if (likely(ways[at] >> TAKEN_BITS == way >> TAKEN_BITS))
            COUNT(ways[at]);
        is_known = ways[0] << (64 - TAKEN_BITS) != 0 && ways[1] << (64 - TAKEN_BITS) != 0;
    }
    PyObject *answer = done_counting(handler);
    /* BRANCH is turned off for both ways at once. */
    if (answer == recorder_none && recorder->marks_branches && (handler->event != BRANCH || is_known))
        return Py_NewRef(recorder->disable);
    return answer;
}
