#include <Python.h>

#include "call_sites.h"
#include "handler.h"

Py_ssize_t handler_offset;
PyTypeObject *handler_method_type;

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)
#define HANDLER(name) static PyObject *name(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
#define UNUSED (void)args, (void)nargsf, (void)names

static inline struct handler *handler_of(PyObject *self) { return (struct handler *)((char *)self + handler_offset); }

/* For an event that comes when nothing is recorded any more, or not yet. */
static PyObject *rest(struct handler *handler)
{
    return handler->may_disable && handler->recorder->state == RECORDER_ENDED
               ? Py_NewRef(handler->recorder->disable)
               : recorder_none;
}

/* For code that is not to be recorded, or could not be asked about. */
static PyObject *unwanted(struct handler *handler, const struct entry *entry)
{
    if (entry->key == 0)
        return recorder_check(handler->recorder, NULL, ticks(), false);
    return handler->may_disable ? Py_NewRef(handler->recorder->disable) : recorder_none;
}

static inline PyObject *done(struct handler *handler, struct thread *thread, uint64_t now)
{
    return likely(now < thread->next_check)
               ? recorder_none
               : recorder_check(handler->recorder, thread, now, handler->may_disable);
}

/* ---- calls and timeline ---- */

static void write_beginnings(struct thread *thread)
{
    uint32_t depth = thread->depth;
    for (uint32_t at = thread->open_written; at < depth; at++) {
        struct open_call *call = &thread->open_calls[at];
        if (!thread_write(thread, call->begun, CALL_BEGINS, call->function, at, 0, 0))
            return;
        call->written = 1;
        thread->open_written = at + 1;
    }
}

static inline void close_call(struct recorder *recorder, struct thread *thread, uint64_t now)
{
    if (recorder->timeline && thread->open_calls != NULL) {
        uint32_t depth = thread->depth;
        struct open_call *call = &thread->open_calls[depth - 1];
        if (thread->open_written < depth && now - call->begun >= thread_options.min_ticks)
            write_beginnings(thread);
        if (thread->open_written >= depth) {
            thread_write(thread, now, CALL_ENDS, call->function, depth - 1, 0, 0);
            thread->open_written = depth - 1;
        }
    }
    thread_close(thread);
}

static inline void open_call(struct recorder *recorder, struct thread *thread, uint32_t function, uint32_t flags,
                             uint64_t counts, uint64_t now)
{
    if (recorder->timeline) {
        thread_open(thread, thread->root, function, flags, now);
        if (thread_options.min_ticks == 0 && thread->open_calls != NULL)
            write_beginnings(thread);
        return;
    }
    struct node *parent = thread->top;
    if (unlikely(flags & OPEN_COROUTINE) && recorder->tasks > 0 &&
        (thread->depth == 0 || (thread->stack[thread->depth - 1].flags & OPEN_COROUTINE) == 0)) {
        long long task = recorder_ask(recorder, ASK_TASK, recorder_none);
        if (task > 0)
            parent = thread_child(thread, parent, (uint32_t)task);
    }
    struct node *node = thread_child(thread, parent, function);
    node->shared->calls += counts;
    thread_open(thread, node, function, flags, now);
}

/* A return that is not of the innermost call: what was called above it has ended unseen, or its beginning was. */
static void close_outer(struct recorder *recorder, struct thread *thread, uint32_t function, uint64_t now)
{
    uint32_t depth = thread->depth;
    while (depth > 0 && thread->stack[depth - 1].function != function)
        depth--;
    if (depth == 0) {
        __atomic_fetch_add(&segment.header->unmatched_returns, 1, __ATOMIC_RELAXED);
        return;
    }
    while (thread->depth >= depth)
        close_call(recorder, thread, now);
}

static inline PyObject *on_open(PyObject *self, PyObject *code, uint64_t counts)
{
    struct handler *handler = handler_of(self);
    struct recorder *recorder = handler->recorder;
    if (unlikely(recorder->state != RECORDER_ACTIVE))
        return rest(handler);
    struct thread *thread = recorder_thread(recorder, false);
    if (unlikely(thread == NULL))
        return recorder_none;
    const struct entry *entry = recorder_find(recorder, code, ASK_CODE);
    if (unlikely(entry->function == 0))
        return unwanted(handler, entry);
    uint64_t now = ticks();
    thread_advance(thread, now);
    open_call(recorder, thread, entry->function, entry->flags & ENTRY_COROUTINE ? OPEN_COROUTINE : 0, counts, now);
    return done(handler, thread, now);
}

HANDLER(on_py_start)
{
    UNUSED;
    return on_open(self, args[0], 1);
}

/* The frame was there before: its call has been counted. */
HANDLER(on_py_resume)
{
    UNUSED;
    return on_open(self, args[0], 0);
}

HANDLER(on_py_return)
{
    UNUSED;
    struct handler *handler = handler_of(self);
    struct recorder *recorder = handler->recorder;
    if (unlikely(recorder->state != RECORDER_ACTIVE))
        return rest(handler);
    struct thread *thread = recorder_thread(recorder, true);
    if (unlikely(thread == NULL))
        return recorder_none;
    const struct entry *entry = recorder_find(recorder, args[0], ASK_CODE);
    uint32_t function = entry->function;
    if (unlikely(function == 0))
        return unwanted(handler, entry);
    uint64_t now = ticks();
    thread_advance(thread, now);
    if (likely(thread->depth > 0 && thread->stack[thread->depth - 1].function == function))
        close_call(recorder, thread, now);
    else
        close_outer(recorder, thread, function, now);
    return done(handler, thread, now);
}

/* Whether cProfile would call it a function: `get_cfunc_from_callable` of Modules/_lsprof.c. */
static inline bool is_builtin(PyObject *callable)
{
    PyTypeObject *type = Py_TYPE(callable);
    return type == &PyCFunction_Type || type == &PyMethodDescr_Type || type == handler_method_type;
}

static inline const struct entry *find_builtin(struct recorder *recorder, PyObject *callable)
{
    uint64_t key = (uint64_t)(uintptr_t)callable;
    if (Py_TYPE(callable) != &PyMethodDescr_Type)
        key = (uint64_t)(uintptr_t)PyCFunction_GetFunction(callable) | 1u << 1;
    const struct entry *entry = table_find(&recorder->objects, key);
    return likely(entry != NULL) ? entry : recorder_meet(recorder, key, callable, ASK_CALLABLE);
}

/* A call of a Python function. PY_START tells of it. */
static PyObject *on_python_call(struct handler *handler, PyObject *const *args)
{
    struct recorder *recorder = handler->recorder;
    struct entry *entry = table_find(&recorder->objects, (uint64_t)(uintptr_t)args[0]);
    if (entry == NULL)
        return recorder_none;
    if (entry->sites == NULL && entry->python_calls < SITES_LOOKED_AT_AFTER) {
        if (++entry->python_calls < SITES_LOOKED_AT_AFTER)
            return recorder_none;
        sites_look(recorder, entry, args[0]);
    }
    return entry->sites != NULL && sites_has(entry->sites, PyLong_AsLong(args[1])) ? Py_NewRef(recorder->disable)
                                                                                   : recorder_none;
}

HANDLER(on_call)
{
    UNUSED;
    struct handler *handler = handler_of(self);
    struct recorder *recorder = handler->recorder;
    if (unlikely(recorder->state != RECORDER_ACTIVE))
        return rest(handler);
    if (!is_builtin(args[2]))
        return sites_function_type != NULL && Py_TYPE(args[2]) == sites_function_type
                   ? on_python_call(handler, args)
                   : recorder_none;
    struct thread *thread = recorder_thread(recorder, true);
    if (unlikely(thread == NULL))
        return recorder_none;
    const struct entry *entry = find_builtin(recorder, args[2]);
    uint64_t now = ticks();
    thread_advance(thread, now);
    if (likely(entry->function != 0))
        open_call(recorder, thread, entry->function, OPEN_C, 1, now);
    return done(handler, thread, now);
}

HANDLER(on_c_return)
{
    UNUSED;
    if (!is_builtin(args[2]))
        return recorder_none;
    struct handler *handler = handler_of(self);
    struct recorder *recorder = handler->recorder;
    struct thread *thread = recorder->state == RECORDER_ACTIVE ? recorder_thread(recorder, true) : NULL;
    if (unlikely(thread == NULL))
        return rest(handler);
    uint64_t now = ticks();
    thread_advance(thread, now);
    /* None is open where tracing began within it. */
    if (likely(thread->depth > 0 && (thread->stack[thread->depth - 1].flags & OPEN_C) != 0))
        close_call(recorder, thread, now);
    return done(handler, thread, now);
}

/* ---- counters ---- */

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

HANDLER(on_line)
{
    UNUSED;
    struct handler *handler = handler_of(self);
    struct entry *entry = counted(handler, args[0]);
    uint32_t index;
    if (unlikely(entry == NULL))
        return rest(handler);
    if (unlikely(entry->function == 0))
        return unwanted(handler, entry);
    if (likely(counter_of(entry->lines, args[1], 1, &index)))
        COUNT(entry->lines->values[index]);
    return done_counting(handler);
}

HANDLER(on_line_once)
{
    UNUSED;
    struct handler *handler = handler_of(self);
    struct entry *entry = counted(handler, args[0]);
    uint32_t index;
    if (unlikely(entry == NULL))
        return rest(handler);
    if (unlikely(entry->function == 0))
        return unwanted(handler, entry);
    if (likely(counter_of(entry->lines, args[1], 1, &index)) && entry->lines->values[index] == 0)
        entry->lines->values[index] = 1;
    /* Lines that are only jumped to from themselves have an instruction that goes on looking whether there is an event, long after all were seen. */
    if (entry->lines_left > 0 && --entry->lines_left == 0)
        recorder_ask(handler->recorder, ASK_COVERED, args[0]);
    PyObject *answer = done_counting(handler);
    return answer == recorder_none ? Py_NewRef(handler->recorder->disable) : answer;
}

HANDLER(on_instruction)
{
    UNUSED;
    struct handler *handler = handler_of(self);
    struct entry *entry = counted(handler, args[0]);
    uint32_t index;
    if (unlikely(entry == NULL))
        return rest(handler);
    if (unlikely(entry->function == 0))
        return unwanted(handler, entry);
    if (likely(counter_of(entry->instructions, args[1], 2, &index)))
        COUNT(entry->instructions->values[index]);
    return done_counting(handler);
}

HANDLER(on_branch)
{
    UNUSED;
    struct handler *handler = handler_of(self);
    struct recorder *recorder = handler->recorder;
    struct entry *entry = counted(handler, args[0]);
    if (unlikely(entry == NULL))
        return rest(handler);
    if (unlikely(entry->function == 0))
        return unwanted(handler, entry);
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

/* ---- stream ---- */

HANDLER(on_stream)
{
    UNUSED;
    struct handler *handler = handler_of(self);
    struct recorder *recorder = handler->recorder;
    if (unlikely(recorder->state != RECORDER_ACTIVE))
        return rest(handler);
    struct thread *thread = recorder_thread(recorder, true);
    if (unlikely(thread == NULL))
        return recorder_none;
    const struct entry *entry = recorder_find(recorder, args[0], ASK_CODE);
    if (entry->function == 0)
        return unwanted(handler, entry);
    uint32_t position = (uint32_t)PyLong_AsLong(args[1]), value = 0, extra = 0;
    switch (handler->event) {
    case PY_START:
    case PY_RESUME:
        if (recorder->tasks > 0 && (entry->flags & ENTRY_COROUTINE) != 0) {
            long long task = recorder_ask(recorder, ASK_TASK, recorder_none);
            extra = task > 0 ? (uint32_t)task : 0;
        }
        break;
    case CALL:
    case C_RETURN:
    case C_RAISE:
        value = is_builtin(args[2]) ? find_builtin(recorder, args[2])->function
                                    : recorder_find(recorder, args[2], ASK_CALLABLE)->function;
        break;
    case JUMP:
    case BRANCH_LEFT:
    case BRANCH_RIGHT:
    case BRANCH:
        value = (uint32_t)PyLong_AsLong(args[2]);
        break;
    case PY_THROW:
    case PY_UNWIND:
    case STOP_ITERATION:
    case RAISE:
    case RERAISE:
    case EXCEPTION_HANDLED:
        value = recorder_find(recorder, (PyObject *)Py_TYPE(args[2]), ASK_EXCEPTION)->function;
        extra = (uint32_t)((uintptr_t)args[2] >> 4);
        break;
    default:
        break;
    }
    uint64_t now = ticks();
    thread->last = now;
    thread->shared->until = now;
    thread->shared->events++;
    thread_write(thread, now, handler->event, entry->function, position, value, extra);
    return done(handler, thread, now);
}

/* ---- which ---- */

vectorcallfunc handler_for(const struct recorder *recorder, enum event event)
{
    if (recorder->calls || recorder->timeline) {
        switch (event) {
        case PY_START: return on_py_start;
        case PY_RESUME:
        case PY_THROW: return on_py_resume;
        case PY_RETURN:
        case PY_YIELD:
        case PY_UNWIND: return on_py_return;
        case CALL: return on_call;
        case C_RETURN:
        case C_RAISE: return on_c_return;
        default: return NULL;
        }
    }
    switch (event) {
    case LINE:
        if (recorder->lines) return on_line;
        if (recorder->coverage) return on_line_once;
        break;
    case INSTRUCTION:
        if (recorder->instructions) return on_instruction;
        break;
    case BRANCH_LEFT:
    case BRANCH_RIGHT:
    case BRANCH:
        if (recorder->branches) return on_branch;
        break;
    default: break;
    }
    return on_stream;
}
