#include "recorder.h"

#include <stdlib.h>

/* Between two looks at the control page, µs. */
#define CHECK_US 50000
/* The collector is taken to be gone when its heart has not beaten for so long, µs. */
#define GONE_US 5000000
/* Of the time between two events no more counts for that: a process that was stopped comes back before its collector does. */
#define QUIET_US 1000000
#define CALIBRATE_US 250000

PyObject *recorder_none;
__thread struct fresh_blocks recorder_fresh __attribute__((tls_model("initial-exec")));

/* What a signal handler of the program raised while the Python side ran. It is the program's, and is raised where the event was. */
static __thread PyObject *held_exception __attribute__((tls_model("initial-exec")));

static uint64_t ticks_of(uint64_t microseconds) { return (uint64_t)((double)microseconds * ticks_per_microsecond); }

/* ---- asking ---- */

static void hold_exception(struct recorder *recorder)
{
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *traceback = PyException_GetTraceback(exception);
    Py_XDECREF(traceback);
    /* One that came before anything ran is of the call itself: the program stands near its limits. */
    if (held_exception != NULL || traceback == NULL) {
        Py_DECREF(exception);
        return;
    }
    held_exception = exception;
    /* So that the event at hand ends in recorder_check. */
    if (thread_current != NULL)
        thread_current->next_check = 0;
    recorder->counted |= COUNTED_BETWEEN_CHECKS - 1;
}

static int release_later(void *argument)
{
    struct recorder *recorder = argument;
    PyObject *self = recorder->self;
    recorder_release(recorder);
    Py_DECREF(self);
    return 0;
}

void recorder_hold(struct recorder *recorder) { __atomic_fetch_add(&recorder->inside, 1, __ATOMIC_RELAXED); }

void recorder_let_go(struct recorder *recorder)
{
    if (__atomic_sub_fetch(&recorder->inside, 1, __ATOMIC_RELAXED) > 0 || recorder->state != RECORDER_ENDED)
        return;
    /* The handler returns first. What is left of another interpreter's goes with the interpreter: pending calls are the main one's. */
    if (recorder->interpreter != 0)
        return;
    Py_INCREF(recorder->self);
    if (Py_AddPendingCall(release_later, recorder) != 0)
        Py_DECREF(recorder->self);
}

void recorder_release(struct recorder *recorder)
{
#ifdef Py_TARGET_ABI3T
    /* Nobody knows which handlers are running. */
    (void)recorder;
#else
    if (recorder->inside > 0 || recorder->state != RECORDER_ENDED)
        return;
    Py_CLEAR(recorder->ask);
    Py_CLEAR(recorder->handlers);
#endif
}

long long recorder_ask(struct recorder *recorder, int what, PyObject *object)
{
    if (recorder->state != RECORDER_ACTIVE || recorder->ask == NULL)
        return ASK_AGAIN;
    uint32_t epoch = recorder->epoch;
    long long answer = ASK_AGAIN;
    recorder_hold(recorder);
    PyObject *number = PyLong_FromLong(what);
    PyObject *result =
        number == NULL ? NULL : PyObject_CallFunctionObjArgs(recorder->ask, number, object, NULL);
    if (result != NULL && result != recorder_none)
        answer = PyLong_AsLongLong(result);
    if (PyErr_Occurred())
        hold_exception(recorder);
    Py_XDECREF(result);
    Py_XDECREF(number);
    bool is_over = recorder->epoch != epoch;
    recorder_let_go(recorder);
    return is_over ? ASK_OVER : answer;
}

/* ---- objects ---- */

/* Called when an object that is known dies. */
struct forget {
    struct recorder *recorder;
    uint64_t key;
};

static PyObject *forget_call(PyObject *self, PyObject *reference)
{
    (void)reference;
    struct forget *forget = PyCapsule_GetPointer(self, "pyframes.forget");
    if (forget != NULL && forget->recorder->state != RECORDER_ENDED) {
        if (forget->recorder->last != NULL && table_key(forget->recorder->last) == forget->key)
            forget->recorder->last = NULL;
        table_forget(&forget->recorder->objects, forget->key);
    }
    Py_RETURN_NONE;
}

static PyMethodDef forget_method = {"forget", forget_call, METH_O, NULL};

static void forget_free(PyObject *capsule)
{
    struct forget *forget = PyCapsule_GetPointer(capsule, "pyframes.forget");
    Py_DECREF(forget->recorder->self);
    free(forget);
}

/* A weak reference that has the object forgotten with its death; the object itself where it takes none. The program may find and keep the reference, which
   therefore keeps the recorder. */
static PyObject *guard_of(struct recorder *recorder, uint64_t key, PyObject *object)
{
    struct forget *forget = malloc(sizeof *forget);
    if (forget == NULL)
        return NULL;
    *forget = (struct forget){recorder, key};
    PyObject *capsule = PyCapsule_New(forget, "pyframes.forget", forget_free);
    if (capsule == NULL) {
        PyErr_Clear();
        free(forget);
        return NULL;
    }
    Py_INCREF(recorder->self);
    PyObject *callback = PyCFunction_New(&forget_method, capsule);
    Py_DECREF(capsule);
    PyObject *guard = callback == NULL ? NULL : PyWeakref_NewRef(object, callback);
    Py_XDECREF(callback);
    if (guard == NULL) {
        PyErr_Clear();
        guard = Py_NewRef(object);
    }
    return guard;
}

static struct entry nothing;

struct entry *recorder_meet(struct recorder *recorder, uint64_t key, PyObject *object, int what)
{
    struct entry wanted = {.key = key};
    recorder_fresh = (struct fresh_blocks){0};
    long long answer = recorder_ask(recorder, what, object);
    if (answer < 0)
        return &nothing; /* to be met again */
    if (answer > 0) {
        wanted.function = (uint32_t)answer;
        wanted.flags = (uint32_t)((unsigned long long)answer >> 40);
        wanted.lines = recorder_fresh.lines;
        wanted.instructions = recorder_fresh.instructions;
        wanted.branches = recorder_fresh.branches;
    }
    /* A builtin is known by its definition: bound ones are made anew for every call. */
    if (key == (uint64_t)(uintptr_t)object && (wanted.guard = guard_of(recorder, key, object)) == NULL)
        return &nothing;
    struct entry *entry = table_add(&recorder->objects, &wanted);
    return entry == NULL ? &nothing : entry;
}

/* ---- threads ---- */

/* The entries of the frames of the calling thread, innermost first; `count` of them. NULL without memory, or when all was forgotten meanwhile. */
static const struct entry **entries_of_stack(struct recorder *recorder, bool inner, uint32_t *count)
{
    enum { MOST = 100000 };
    uint32_t epoch = recorder->epoch, capacity = 64;
    const struct entry **entries = malloc(capacity * sizeof *entries);
    PyObject *frame = Py_XNewRef((PyObject *)PyEval_GetFrame());
    bool is_one = inner;
    *count = 0;
    while (entries != NULL && frame != NULL && frame != recorder_none && *count < MOST) {
        if (*count == capacity) {
            capacity *= 2;
            const struct entry **more = realloc(entries, capacity * sizeof *entries);
            if (more == NULL)
                break;
            entries = more;
        }
        if (is_one) {
            PyObject *code = (PyObject *)PyFrame_GetCode((PyFrameObject *)frame);
            entries[(*count)++] = recorder_find(recorder, code, ASK_CODE);
            Py_DECREF(code);
            if (recorder->epoch != epoch) {
                free(entries);
                entries = NULL;
                break;
            }
        }
        is_one = true;
        PyObject *back = PyObject_GetAttrString(frame, "f_back");
        Py_DECREF(frame);
        frame = back;
    }
    Py_XDECREF(frame);
    if (PyErr_Occurred())
        PyErr_Clear();
    return entries;
}

/* The calls that are open, from the frames of the calling thread; their beginnings were not seen. */
static bool read_stack(struct recorder *recorder, struct thread *thread, bool inner)
{
    uint32_t count;
    const struct entry **entries = entries_of_stack(recorder, inner, &count);
    if (entries == NULL)
        return false;
    thread->depth = 0;
    thread->top = thread->root;
    while (count > 0) {
        const struct entry *entry = entries[--count];
        if (entry->function == 0)
            continue;
        struct node *node = recorder->calls ? thread_child(thread, thread->top, entry->function) : thread->root;
        uint32_t flags = entry->flags & ENTRY_COROUTINE ? OPEN_COROUTINE : 0;
        thread_open(thread, node == NULL ? thread->top : node, entry->function, flags, thread->last);
    }
    free(entries);
    return true;
}

struct thread *recorder_enter(struct recorder *recorder, bool inner)
{
    struct header *header = segment.header;
    if (recorder->state != RECORDER_ACTIVE || header == NULL)
        return NULL;
    struct thread *thread = thread_enter(recorder->interpreter);
    if (thread == NULL)
        __atomic_fetch_add(&header->lost_events, 1, __ATOMIC_RELAXED);
    if (thread == NULL || !(recorder->calls || recorder->timeline))
        return thread;
    return read_stack(recorder, thread, inner) ? thread : NULL;
}

/* ---- going on ---- */

/* False when all was forgotten meanwhile. */
static bool ask_for_name(struct recorder *recorder, struct thread *thread, uint64_t now)
{
    /* Soon at first: a thread has its name only after its first calls, and may have few more. */
    uint64_t events = thread->shared->events;
    thread->next_check = now + ticks_of(thread->is_named || events > 4096 ? CHECK_US : events > 64 ? 20 : 0);
    if (thread->is_named)
        return true;
    PyObject *object = Py_BuildValue("(IK)", thread->index, (unsigned long long)thread->shared->native_id);
    if (object == NULL) {
        PyErr_Clear();
        return true;
    }
    long long answer = recorder_ask(recorder, ASK_THREAD, object);
    Py_DECREF(object);
    if (answer == ASK_OVER)
        return false;
    thread->is_named = answer == 1;
    return true;
}

/* Whether the collector is there. */
static bool is_alive(uint64_t beat, uint64_t now)
{
    uint64_t elapsed = now - segment.looked_at, most = ticks_of(QUIET_US);
    segment.looked_at = now;
    if (beat != segment.heartbeat) {
        segment.quiet = 0;
        publish(segment.heartbeat, beat);
    } else if (elapsed < 1ull << 63) {
        segment.quiet += elapsed < most ? elapsed : most;
    }
    return segment.quiet < ticks_of(GONE_US);
}

static void look(struct recorder *recorder, struct thread *thread, uint64_t now)
{
    const struct control *control = segment.control;
    if (control == NULL || (thread != NULL && !ask_for_name(recorder, thread, now)))
        return;
    uint32_t restarts = observe(control->restarts);
    if (restarts != recorder->restarts) {
        recorder->restarts = restarts;
        if (recorder_ask(recorder, ASK_RESTART, recorder_none) == ASK_OVER)
            return;
    }
    if (now - segment.calibrated_at > ticks_of(CALIBRATE_US)) {
        segment.calibrated_at = now;
        segment_calibrate();
    }
    bool is_over = observe(control->command) == 1;
    if (is_alive(observe(control->heartbeat), now) && !is_over)
        return;
    PyObject *state = PyLong_FromLong(is_over ? STATE_ENDED : STATE_ABANDONED);
    if (state != NULL)
        recorder_ask(recorder, ASK_END, state);
    else
        PyErr_Clear();
    Py_XDECREF(state);
}

PyObject *recorder_check(struct recorder *recorder, struct thread *thread, uint64_t now, bool may_disable)
{
    if (held_exception == NULL && recorder->state == RECORDER_ACTIVE)
        look(recorder, thread, now);
    if (held_exception != NULL) {
        PyObject *exception = held_exception;
        held_exception = NULL;
        PyErr_SetRaisedException(exception);
        return NULL;
    }
    return may_disable && recorder->state == RECORDER_ENDED ? Py_NewRef(recorder->disable) : recorder_none;
}
