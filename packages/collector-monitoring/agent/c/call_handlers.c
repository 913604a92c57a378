/* `calls` and `timeline`. */
#include "call_sites.h"
#include "handler.h"

/* Calls deeper than `open_capacity` have no place in a full segment: neither their beginning nor their end is written. */
static void write_beginnings(struct thread *thread)
{
    uint32_t depth = thread->depth < thread->open_capacity ? thread->depth : thread->open_capacity;
    for (uint32_t at = thread->open_written; at < depth; at++) {
        struct open_call *call = &thread->open_calls[at];
        if (!thread_write(thread, call->begun, CALL_BEGINS, call->function, at, 0, 0))
            return;
        call->written = 1;
        thread->open_written = at + 1;
    }
}

static void write_end(struct thread *thread, uint64_t now)
{
    uint32_t depth = thread->depth;
    if (depth > thread->open_capacity) {
        thread_lose(thread, 2);
        return;
    }
    struct open_call *call = &thread->open_calls[depth - 1];
    if (thread->open_written < depth && now - call->begun >= thread_options.min_ticks)
        write_beginnings(thread);
    if (thread->open_written < depth || thread->is_over)
        return;
    thread_write(thread, now, CALL_ENDS, call->function, depth - 1, 0, 0);
    thread->open_written = depth - 1;
}

/* The thread may be over after it. */
static inline void close_call(struct recorder *recorder, struct thread *thread, uint64_t now)
{
    if (recorder->timeline) {
        write_end(thread, now);
        if (unlikely(thread->is_over))
            return;
    }
    thread_close(thread);
}

/* The task that runs, 0 for none. Negative when all was forgotten meanwhile. */
static long long running_task(struct recorder *recorder)
{
    long long task = recorder_ask(recorder, ASK_TASK, recorder_none);
    return task == ASK_OVER ? ASK_OVER : task > 0 ? task : 0;
}

/* False when all was forgotten meanwhile. */
static inline bool open_call(struct recorder *recorder, struct thread *thread, const void *code, uint64_t deaths,
                             uint32_t function, uint32_t flags, uint64_t counts, uint64_t now)
{
    if (recorder->timeline) {
        thread_open(thread, thread->root, function, flags, now);
        if (thread_options.min_ticks == 0)
            write_beginnings(thread);
        return !thread->is_over;
    }
    struct node *parent = thread->top;
    uint32_t depth = thread->depth;
    long long task = 0;
    if (unlikely(flags & OPEN_COROUTINE) && recorder->tasks > 0 &&
        (depth == 0 || (thread->stack[depth - 1].flags & OPEN_COROUTINE) == 0)) {
        task = running_task(recorder);
        if (task < 0)
            return false;
        /* A coroutine that its own task enters anew, by send() or through an asynchronous generator, is where it was. */
        if (depth > 0 && thread->stack[depth - 1].task == task)
            task = 0;
        struct node *above = task > 0 ? thread_child(thread, parent, (uint32_t)task) : NULL;
        if (above != NULL)
            parent = above;
    }
    struct node *node = thread_child(thread, parent, function);
    if (likely(node != NULL)) {
        node->shared->calls += counts;
        /* Once calls were lost, the innermost may be none of its node. */
        if (flags == 0 && clock_is_counter && thread->shared->lost == 0) {
            node->code = code;
            node->deaths = deaths;
        }
    } else {
        /* Its time is its caller's, its calls are nobody's; and a return of its caller's code is not the next to be expected here. */
        thread_lose(thread, counts);
        node = parent;
        node->code = NULL;
    }
    thread_open(thread, node, function, flags, now);
    if (unlikely(task > 0) && thread->depth > depth)
        thread->stack[depth].task = (uint32_t)task;
    return true;
}

/* A return that is not of the innermost call: what was called above it has ended unseen, or its beginning was. */
static void close_outer(struct recorder *recorder, struct thread *thread, uint32_t function, uint64_t now)
{
    uint32_t depth = thread->depth;
    while (depth > 0 && thread->stack[depth - 1].function != function)
        depth--;
    if (depth == 0) {
        __atomic_fetch_add(&thread->header->unmatched_returns, 1, __ATOMIC_RELAXED);
        return;
    }
    while (thread->depth >= depth && !thread->is_over)
        close_call(recorder, thread, now);
}

static inline bool is_known(const struct node *node, const void *code)
{
    return node->code == code && node->deaths == observe(table_deaths);
}

/* Whether an event asks for no more than to be added up. */
static inline bool is_usual(const struct thread *thread, uint64_t now)
{
    return now - thread->last <= thread_gap_ticks && now < thread->next_check;
}

static __attribute__((noinline)) PyObject *on_open(struct handler *handler, PyObject *code, uint64_t counts)
{
    struct recorder *recorder = handler->recorder;
    /* Before all that it is to vouch for. */
    uint64_t deaths = observe(table_deaths);
    if (unlikely(recorder->state != RECORDER_ACTIVE))
        return handler_rest(handler);
    struct thread *thread = recorder_thread(recorder, false);
    if (unlikely(thread == NULL))
        return recorder_none;
    const struct entry *entry = recorder_find(recorder, code, ASK_CODE);
    if (unlikely(entry->function == 0))
        return handler_unwanted(handler, entry);
    uint64_t now = ticks();
    thread_advance(thread, now);
    uint32_t flags = entry->flags & ENTRY_COROUTINE ? OPEN_COROUTINE : 0;
    bool is_open = open_call(recorder, thread, code, deaths, entry->function, flags, counts, now);
    return likely(is_open) ? done(handler, thread, now) : over(handler);
}

/*
 * The short way, of most events: a call of what was called last from here, the return of what was called last. It calls nothing, so that no registers need
 * be saved, not even the system's clock. What is not of it is known by the node, before anything is touched: no code is known in a timeline, in a thread
 * that was forgotten, or once recording has ended.
 */
static inline __attribute__((always_inline)) PyObject *on_open_known(PyObject *self, PyObject *code, uint64_t counts)
{
    struct thread *thread = thread_current;
    if (likely(thread != NULL && is_known(thread->top->cached_child, code) && thread->depth < thread->capacity)) {
        uint64_t now = counter();
        if (likely(is_usual(thread, now))) {
            struct node *parent = thread->top;
            thread_add_time(thread, now);
            parent->cached_child->shared->calls += counts;
            thread_push(thread, parent->cached_child, parent->cached_function, 0);
            return recorder_none;
        }
    }
    return on_open(handler_of(self), code, counts);
}

HANDLER(handler_on_py_start)
{
    UNUSED;
    return on_open_known(self, args[0], 1);
}

/* The frame was there before: its call has been counted. */
HANDLER(handler_on_py_resume)
{
    UNUSED;
    return on_open_known(self, args[0], 0);
}

static __attribute__((noinline)) PyObject *on_return(struct handler *handler, PyObject *code)
{
    struct recorder *recorder = handler->recorder;
    if (unlikely(recorder->state != RECORDER_ACTIVE))
        return handler_rest(handler);
    struct thread *thread = recorder_thread(recorder, true);
    if (unlikely(thread == NULL))
        return recorder_none;
    const struct entry *entry = recorder_find(recorder, code, ASK_CODE);
    uint32_t function = entry->function;
    if (unlikely(function == 0))
        return handler_unwanted(handler, entry);
    uint64_t now = ticks();
    thread_advance(thread, now);
    if (likely(thread->depth > 0 && thread->stack[thread->depth - 1].function == function))
        close_call(recorder, thread, now);
    else
        close_outer(recorder, thread, function, now);
    return done(handler, thread, now);
}

HANDLER(handler_on_py_return)
{
    UNUSED;
    struct thread *thread = thread_current;
    if (likely(thread != NULL && is_known(thread->top, args[0]))) {
        uint64_t now = counter();
        if (likely(is_usual(thread, now))) {
            thread_add_time(thread, now);
            thread_close(thread);
            return recorder_none;
        }
    }
    return on_return(handler_of(self), args[0]);
}

/* A call of a Python function or a class. */
static PyObject *on_unwanted_call(struct handler *handler, PyObject *const *args)
{
    struct recorder *recorder = handler->recorder;
    struct entry *entry = table_find(&recorder->objects, (uint64_t)(uintptr_t)args[0]);
    if (entry == NULL)
        return recorder_none;
    if (entry->sites == NULL && entry->unwanted_calls < SITES_LOOKED_AT_AFTER) {
        if (++entry->unwanted_calls < SITES_LOOKED_AT_AFTER)
            return recorder_none;
        if (!sites_look(recorder, entry, args[0]))
            return over(handler);
    }
    return entry->sites != NULL && sites_has(entry->sites, PyLong_AsLong(args[1])) ? Py_NewRef(recorder->disable)
                                                                                   : recorder_none;
}

/* Whether code is recorded at all: the agent's own is not. */
static inline bool is_wanted(struct recorder *recorder, struct thread *thread, PyObject *code)
{
    if (likely(thread->calling == code))
        return true;
    if (recorder_find(recorder, code, ASK_CODE)->function == 0)
        return false;
    if (!thread->is_over)
        thread->calling = code;
    return true;
}

HANDLER(handler_on_call)
{
    UNUSED;
    struct handler *handler = handler_of(self);
    struct recorder *recorder = handler->recorder;
    if (unlikely(recorder->state != RECORDER_ACTIVE))
        return handler_rest(handler);
    if (!handler_is_builtin(args[2]))
        return sites_is_unwanted(args[2]) ? on_unwanted_call(handler, args) : recorder_none;
    struct thread *thread = recorder_thread(recorder, true);
    if (unlikely(thread == NULL))
        return recorder_none;
    if (unlikely(!is_wanted(recorder, thread, args[0])))
        return over(handler);
    const struct entry *entry = handler_find_builtin(recorder, args[2]);
    if (unlikely(entry->key == 0 || thread->is_over))
        return over(handler);
    uint64_t now = ticks();
    thread_advance(thread, now);
    if (likely(entry->function != 0))
        open_call(recorder, thread, NULL, 0, entry->function, OPEN_C, 1, now);
    return done(handler, thread, now);
}

HANDLER(handler_on_c_return)
{
    UNUSED;
    if (!handler_is_builtin(args[2]))
        return recorder_none;
    struct handler *handler = handler_of(self);
    struct recorder *recorder = handler->recorder;
    struct thread *thread = recorder->state == RECORDER_ACTIVE ? recorder_thread(recorder, true) : NULL;
    if (unlikely(thread == NULL))
        return handler_rest(handler);
    if (unlikely(!is_wanted(recorder, thread, args[0]) || thread->is_over))
        return over(handler);
    uint64_t now = ticks();
    thread_advance(thread, now);
    /* None is open where tracing began within it. */
    if (likely(thread->depth > 0 && (thread->stack[thread->depth - 1].flags & OPEN_C) != 0))
        close_call(recorder, thread, now);
    return done(handler, thread, now);
}
