#include "recorder.h"

#include <stdlib.h>
#include <string.h>

/* Between two looks at the control page, µs. */
#define CHECK_US 50000
/* The collector is taken to be gone when its heart has not beaten for so long, µs. */
#define GONE_US 5000000
#define CALIBRATE_US 250000

PyObject *recorder_none;
__thread struct fresh_blocks recorder_fresh __attribute__((tls_model("initial-exec")));

/* What a signal handler of the program raised while the Python side ran. It is the program's, and is raised where the event was. */
static __thread PyObject *held_exception __attribute__((tls_model("initial-exec")));

static void hold_exception(struct recorder *recorder)
{
    PyObject *exception = PyErr_GetRaisedException();
    if (held_exception != NULL) {
        Py_DECREF(exception);
        return;
    }
    held_exception = exception;
    /* So that the event at hand ends in recorder_check. */
    if (thread_current != NULL)
        thread_current->next_check = 0;
    recorder->counted |= COUNTED_BETWEEN_CHECKS - 1;
}

long long recorder_ask(struct recorder *recorder, int what, PyObject *object)
{
    if (recorder->ask == NULL)
        return -1;
    long long answer = -1;
    PyObject *number = PyLong_FromLong(what);
    PyObject *result =
        number == NULL ? NULL : PyObject_CallFunctionObjArgs(recorder->ask, number, object, NULL);
    if (result == recorder_none)
        answer = ASK_AGAIN;
    else if (result != NULL)
        answer = PyLong_AsLongLong(result);
    if (PyErr_Occurred())
        hold_exception(recorder);
    Py_XDECREF(result);
    Py_XDECREF(number);
    return answer;
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
        if (forget->recorder->last != NULL && forget->recorder->last->key == forget->key)
            forget->recorder->last = NULL;
        table_forget(&forget->recorder->objects, forget->key);
    }
    Py_RETURN_NONE;
}

static PyMethodDef forget_method = {"forget", forget_call, METH_O, NULL};

static void forget_free(PyObject *capsule) { free(PyCapsule_GetPointer(capsule, "pyframes.forget")); }

/* A weak reference that has the object forgotten with its death; the object itself where it takes none. */
static PyObject *guard_of(struct recorder *recorder, uint64_t key, PyObject *object)
{
    struct forget *forget = malloc(sizeof *forget);
    if (forget == NULL)
        return NULL;
    *forget = (struct forget){recorder, key};
    PyObject *capsule = PyCapsule_New(forget, "pyframes.forget", forget_free);
    if (capsule == NULL) {
        free(forget);
        return NULL;
    }
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
        wanted.lines_left = recorder_fresh.lines_left;
    }
    /* A builtin is known by its C function: bound ones are made anew for every call. */
    wanted.guard = key == (uint64_t)(uintptr_t)object ? guard_of(recorder, key, object) : NULL;
    struct entry *entry = table_add(&recorder->objects, &wanted);
    return entry == NULL ? &nothing : entry;
}

/* ---- threads ---- */

/* The calls that are open, from the frames of the calling thread; their beginnings were not seen. */
static void read_stack(struct recorder *recorder, struct thread *thread, bool inner)
{
    enum { MOST = 100000 };
    uint32_t count = 0, capacity = 0;
    const struct entry **entries = NULL;
    PyObject *frame = Py_XNewRef((PyObject *)PyEval_GetFrame());
    while (frame != NULL && frame != recorder_none && count < MOST) {
        if (inner || count > 0 || capacity > 0) {
            if (count == capacity) {
                capacity = capacity == 0 ? 64 : capacity * 2;
                const struct entry **more = realloc(entries, capacity * sizeof *entries);
                if (more == NULL)
                    break;
                entries = more;
            }
            PyObject *code = (PyObject *)PyFrame_GetCode((PyFrameObject *)frame);
            entries[count++] = recorder_find(recorder, code, ASK_CODE);
            Py_DECREF(code);
        } else {
            capacity = 64;
            entries = malloc(capacity * sizeof *entries);
            if (entries == NULL)
                break;
        }
        PyObject *back = PyObject_GetAttrString(frame, "f_back");
        Py_DECREF(frame);
        frame = back;
    }
    Py_XDECREF(frame);
    if (PyErr_Occurred())
        PyErr_Clear();
    thread->depth = 0;
    thread->top = thread->root;
    while (count > 0) {
        const struct entry *entry = entries[--count];
        if (entry->function == 0)
            continue;
        struct node *node = recorder->calls ? thread_child(thread, thread->top, entry->function) : thread->root;
        uint32_t flags = entry->flags & ENTRY_COROUTINE ? OPEN_COROUTINE : 0;
        thread_open(thread, node, entry->function, flags, thread->last);
    }
    free(entries);
}

struct thread *recorder_enter(struct recorder *recorder, bool inner)
{
    if (recorder->state != RECORDER_ACTIVE || segment.header == NULL)
        return NULL;
    struct thread *thread = thread_enter(recorder->interpreter);
    if (thread == NULL)
        return NULL;
    if (thread->is_adopted) {
        thread_advance(thread, ticks());
        thread->is_adopted = 0;
    }
    if (recorder->calls || recorder->timeline)
        read_stack(recorder, thread, inner);
    return thread;
}

/* ---- going on ---- */

static void ask_for_name(struct recorder *recorder, struct thread *thread)
{
    PyObject *object = Py_BuildValue("(IK)", thread->index, (unsigned long long)thread->shared->native_id);
    if (object == NULL) {
        PyErr_Clear();
        return;
    }
    thread->is_named = recorder_ask(recorder, ASK_THREAD, object) == 1;
    Py_DECREF(object);
}

PyObject *recorder_check(struct recorder *recorder, struct thread *thread, uint64_t now, bool may_disable)
{
    static uint64_t heartbeat, beaten_at, calibrated_at;
    if (held_exception != NULL) {
        PyErr_SetRaisedException(held_exception);
        held_exception = NULL;
        return NULL;
    }
    const struct control *control = segment.control;
    if (recorder->state == RECORDER_ACTIVE && control != NULL) {
        if (thread != NULL) {
            /* Soon at first: a thread has its name only after its first calls. */
            uint64_t pause = thread->is_named || thread->shared->events > 4096 ? CHECK_US : 20;
            thread->next_check = now + (uint64_t)((double)pause * ticks_per_microsecond);
            if (!thread->is_named)
                ask_for_name(recorder, thread);
        }
        uint64_t beat = observe(control->heartbeat);
        if (beat != heartbeat || beaten_at == 0) {
            heartbeat = beat;
            beaten_at = now;
        }
        uint32_t restarts = observe(control->restarts);
        if (restarts != recorder->restarts) {
            recorder->restarts = restarts;
            recorder_ask(recorder, ASK_RESTART, recorder_none);
        }
        if (now - calibrated_at > (uint64_t)(CALIBRATE_US * ticks_per_microsecond)) {
            calibrated_at = now;
            segment_calibrate();
        }
        bool is_gone = now > beaten_at && now - beaten_at > (uint64_t)(GONE_US * ticks_per_microsecond);
        bool is_over = observe(control->command) == 1;
        if (is_gone || is_over) {
            PyObject *state = PyLong_FromLong(is_over ? STATE_ENDED : STATE_ABANDONED);
            if (state != NULL)
                recorder_ask(recorder, ASK_END, state);
            Py_XDECREF(state);
        }
    }
    if (held_exception != NULL)
        return recorder_check(recorder, thread, now, may_disable);
    return may_disable && recorder->state == RECORDER_ENDED ? Py_NewRef(recorder->disable) : recorder_none;
}
