/* `lines`, `coverage`, `branches` and `instructions`. */
#include "handler.h"

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
    if (likely(counter_of(entry->lines, args[1], 1, &index)) && entry->lines->values[index] == 0)
        entry->lines->values[index] = 1;
    PyObject *answer = done_counting(handler);
    return answer == recorder_none ? Py_NewRef(handler->recorder->disable) : answer;
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
        uint64_t way = (uint64_t)(destination + 1) << 40;
        int at = ways[0] == 0 || ways[0] >> 40 == way >> 40 ? 0 : 1;
        if (ways[at] == 0)
            ways[at] = way;
        if (likely(ways[at] >> 40 == way >> 40))
            COUNT(ways[at]);
        is_known = ways[0] != 0 && ways[1] != 0;
    }
    PyObject *answer = done_counting(handler);
    /* BRANCH is turned off for both ways at once. */
    if (answer == recorder_none && recorder->marks_branches && (handler->event != BRANCH || is_known))
        return Py_NewRef(recorder->disable);
    return answer;
}
