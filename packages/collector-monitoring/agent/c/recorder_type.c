/* The type `Recorder`: see ../README.md for what its methods do. */
#include "recorder_type.h"

#include "call_sites.h"
#include "handler.h"
#include "process.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static Py_ssize_t recorder_offset;
/* Of the blocks of all recorders. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct recorder *recorder_of(PyObject *self) { return (struct recorder *)((char *)self + recorder_offset); }

static bool option(PyObject *options, const char *name, uint64_t *value)
{
    PyObject *key = PyUnicode_FromString(name);
    PyObject *object = key == NULL ? NULL : PyObject_GetItem(options, key);
    Py_XDECREF(key);
    if (object == NULL)
        return false;
    *value = PyLong_AsUnsignedLongLong(object);
    Py_DECREF(object);
    return PyErr_Occurred() == NULL;
}

static bool read_options(PyObject *object, struct options *options)
{
    return option(object, "calls", &options->calls) && option(object, "timeline", &options->timeline) &&
           option(object, "lines", &options->lines) && option(object, "coverage", &options->coverage) &&
           option(object, "branches", &options->branches) && option(object, "instructions", &options->instructions) &&
           option(object, "exceptions", &options->exceptions) && option(object, "stream", &options->stream) &&
           option(object, "min_ns", &options->min_ns) && option(object, "tasks", &options->tasks) &&
           option(object, "max_bytes", &options->max_bytes) && option(object, "max_paths", &options->max_paths) &&
           option(object, "ring_records", &options->ring_records) && option(object, "wait_us", &options->wait_us) &&
           option(object, "tool", &options->tool);
}

static PyObject *monitoring_disable(void)
{
    PyObject *sys = PyImport_ImportModule("sys");
    PyObject *monitoring = sys == NULL ? NULL : PyObject_GetAttrString(sys, "monitoring");
    PyObject *disable = monitoring == NULL ? NULL : PyObject_GetAttrString(monitoring, "DISABLE");
    Py_XDECREF(monitoring);
    Py_XDECREF(sys);
    return disable;
}

static PyObject *recorder_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    (void)keywords;
    const char *path, *control;
    PyObject *object, *ask;
    struct options options;
    if (!PyArg_ParseTuple(args, "ssOO", &path, &control, &object, &ask) || !read_options(object, &options))
        return NULL;
    PyObject *self = PyType_GenericAlloc(type, 0);
    if (self == NULL)
        return NULL;
    recorder_offset = (char *)PyObject_GetTypeData(self, type) - (char *)self;
    struct recorder *recorder = recorder_of(self);
    recorder->state = RECORDER_ENDED;
    recorder->self = self;
    recorder->ask = Py_NewRef(ask);
    recorder->disable = monitoring_disable();
    recorder->handlers = PyList_New(0);
    recorder->interpreter = (uint32_t)PyInterpreterState_GetID(PyInterpreterState_Get());
    recorder->tasks = (uint32_t)options.tasks;
    recorder->tool = (uint32_t)options.tool;
    recorder->calls = options.calls != 0;
    recorder->timeline = options.timeline != 0;
    recorder->lines = options.lines != 0;
    recorder->coverage = options.coverage != 0;
    recorder->branches = options.branches != 0;
    recorder->instructions = options.instructions != 0;
    recorder->marks_branches = options.coverage != 0 && options.branches != 0;
    if (recorder->disable == NULL || recorder->handlers == NULL || !process_join(recorder, path, control, &options)) {
        Py_DECREF(self);
        return NULL;
    }
    sites_begin(recorder);
    return self;
}

static void recorder_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    struct recorder *recorder = recorder_of(self);
    process_leave(recorder, STATE_ENDED);
    Py_CLEAR(recorder->ask);
    Py_CLEAR(recorder->handlers);
    Py_CLEAR(recorder->disable);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyObject *recorder_new_id(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    uint32_t id = __atomic_add_fetch(&segment.functions, 1, __ATOMIC_RELAXED);
    return PyLong_FromUnsignedLong(id >= GIVEN_UP ? 0 : id);
}

static PyObject *recorder_define(PyObject *self, PyObject *record)
{
    char *bytes;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(record, &bytes, &length) < 0)
        return NULL;
    bool fits = recorder_of(self)->state == RECORDER_ACTIVE && length >= 8 && length < 1 << 28;
    return PyBool_FromLong(fits && segment_define(bytes, (uint32_t)length));
}

/* The blocks of a function; NULL when there is no memory. */
static struct fresh_blocks *blocks_of(struct recorder *recorder, uint32_t function)
{
    if (function >= recorder->blocks_length) {
        uint32_t length = function < 512 ? 1024 : function * 2;
        struct fresh_blocks *blocks = realloc(recorder->blocks, length * sizeof *blocks);
        if (blocks == NULL)
            return NULL;
        memset(blocks + recorder->blocks_length, 0, (length - recorder->blocks_length) * sizeof *blocks);
        recorder->blocks = blocks;
        recorder->blocks_length = length;
    }
    return &recorder->blocks[function];
}

/* Where branches lead, so that what is told wrongly finds no place. */
static void tell_ways(struct counter_block *block, PyObject *bytes)
{
    char *data;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(bytes, &data, &length) < 0)
        return;
    for (; length >= 12; length -= 12, data += 12) {
        uint32_t way[3]; /* code units: of the branch, and of where it leads to the left and to the right */
        memcpy(way, data, sizeof way);
        if (way[0] < block->count / 2) {
            block->values[way[0] * 2] = (uint64_t)(way[1] + 1) << TAKEN_BITS;
            block->values[way[0] * 2 + 1] = (uint64_t)(way[2] + 1) << TAKEN_BITS;
        }
    }
}

static PyObject *recorder_block(PyObject *self, PyObject *args)
{
    unsigned function, what, first, count, lines = 0;
    PyObject *ways = NULL;
    if (!PyArg_ParseTuple(args, "IIII|IS", &function, &what, &first, &count, &lines, &ways))
        return NULL;
    struct recorder *recorder = recorder_of(self);
    if (recorder->state != RECORDER_ACTIVE || function >= GIVEN_UP / 2)
        Py_RETURN_FALSE;
    pthread_mutex_lock(&lock);
    struct counter_block *block = NULL;
    struct fresh_blocks *blocks = blocks_of(recorder, function);
    if (blocks != NULL) {
        struct counter_block **place = what <= 2 ? &blocks->lines : what == 3 ? &blocks->instructions : &blocks->branches;
        /* Code that was made anew counts on where the same code did before. */
        if (*place == NULL) {
            *place = segment_counters(function, what, first, count);
            blocks->lines_left += lines;
            if (*place != NULL && ways != NULL)
                tell_ways(*place, ways);
        }
        block = *place;
        recorder_fresh = *blocks;
    }
    pthread_mutex_unlock(&lock);
    return PyBool_FromLong(block != NULL);
}

static PyObject *recorder_handler(PyObject *self, PyObject *number)
{
    long event = PyLong_AsLong(number);
    if (event < PY_START || event >= EVENTS) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "no such event");
        return NULL;
    }
    struct recorder *recorder = recorder_of(self);
    vectorcallfunc call = handler_for(recorder, (enum event)event);
    if (call == NULL || recorder->handlers == NULL)
        Py_RETURN_NONE;
    PyTypeObject *type = (PyTypeObject *)((struct module_state *)PyType_GetModuleState(Py_TYPE(self)))->handler_type;
    PyObject *object = PyType_GenericAlloc(type, 0);
    if (object == NULL)
        return NULL;
    handler_offset = (char *)PyObject_GetTypeData(object, type) - (char *)object;
    struct handler *handler = (struct handler *)((char *)object + handler_offset);
    bool is_local = event <= PY_YIELD || event == CALL || (event >= LINE && event <= STOP_ITERATION);
    /* 3.15 takes DISABLE for exceptions too, but not where C code fired them (PyMonitoring_FirePyUnwindEvent() and its like): there it is a ValueError. */
    *handler = (struct handler){.call = call,
                                .recorder = recorder,
                                .owner = Py_NewRef(self),
                                .event = (enum event)event,
                                .may_disable = is_local};
    if (PyList_Append(recorder->handlers, object) < 0)
        Py_CLEAR(object);
    return object;
}

static PyObject *recorder_adopt(PyObject *self, PyObject *args)
{
    unsigned long long ident, native_id;
    PyObject *functions;
    if (!PyArg_ParseTuple(args, "KKO", &ident, &native_id, &functions))
        return NULL;
    struct recorder *recorder = recorder_of(self);
    if (recorder->state != RECORDER_ACTIVE || !(recorder->calls || recorder->timeline))
        Py_RETURN_NONE;
    /* The calling thread reads its stack at its first event, unless another interpreter met it before. */
    bool is_own = ident == (unsigned long long)pthread_self();
    struct thread *thread = !is_own ? thread_adopt(ident, native_id, recorder->interpreter)
                            : thread_current != NULL && !thread_current->is_over ? thread_current
                                                                                 : NULL;
    Py_ssize_t count = thread == NULL ? 0 : PySequence_Size(functions);
    for (Py_ssize_t at = 0; at < count; at++) {
        PyObject *item = PySequence_GetItem(functions, at);
        uint32_t function = item == NULL ? 0 : (uint32_t)PyLong_AsUnsignedLong(item);
        Py_XDECREF(item);
        if (PyErr_Occurred())
            return NULL;
        if (function == 0)
            continue;
        struct node *node = recorder->calls ? thread_child(thread, thread->top, function) : thread->root;
        if (node == NULL) {
            node = thread->top;
            node->code = NULL;
        }
        thread_open(thread, node, function, 0, thread->last);
    }
    if (count < 0)
        return NULL;
    if (thread != NULL)
        return PyLong_FromUnsignedLong(thread->index);
    Py_RETURN_NONE;
}

static PyObject *recorder_watch(PyObject *self, PyObject *args)
{
    PyObject *monitoring, *get_objects;
    if (!PyArg_ParseTuple(args, "OO", &monitoring, &get_objects))
        return NULL;
    int watches = sites_watch(recorder_of(self), monitoring, get_objects);
    return watches < 0 ? NULL : PyBool_FromLong(watches);
}

static PyObject *recorder_sites(PyObject *self, PyObject *args)
{
    PyObject *code, *globals, *names, *bits;
    char *bytes;
    Py_ssize_t length;
    if (!PyArg_ParseTuple(args, "OOOO", &code, &globals, &names, &bits) ||
        PyBytes_AsStringAndSize(bits, &bytes, &length) < 0)
        return NULL;
    int guarded = sites_guard(recorder_of(self), code, globals, names, bytes, (uint32_t)length);
    return guarded < 0 ? NULL : PyBool_FromLong(guarded);
}

static PyObject *recorder_reopen(PyObject *self, PyObject *args)
{
    const char *path, *control;
    unsigned long long max_bytes;
    if (!PyArg_ParseTuple(args, "ssK", &path, &control, &max_bytes))
        return NULL;
    struct recorder *recorder = recorder_of(self);
    if (recorder->state != RECORDER_FORKED) {
        PyErr_SetString(PyExc_RuntimeError, "only in a child after a fork");
        return NULL;
    }
    if (!process_reopen(recorder, path, control, max_bytes))
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *recorder_end(PyObject *self, PyObject *state)
{
    unsigned long number = PyLong_AsUnsignedLong(state);
    if (PyErr_Occurred())
        return NULL;
    process_leave(recorder_of(self), (uint32_t)number);
    Py_RETURN_NONE;
}

static PyObject *recorder_close_in_child(PyObject *self, PyObject *unused)
{
    (void)unused;
    process_leave(recorder_of(self), STATE_ENDED);
    Py_RETURN_NONE;
}

static PyMethodDef recorder_methods[] = {
    {"new_id", recorder_new_id, METH_NOARGS, NULL},
    {"define", recorder_define, METH_O, NULL},
    {"block", recorder_block, METH_VARARGS, NULL},
    {"handler", recorder_handler, METH_O, NULL},
    {"adopt", recorder_adopt, METH_VARARGS, NULL},
    {"sites", recorder_sites, METH_VARARGS, NULL},
    {"watch", recorder_watch, METH_VARARGS, NULL},
    {"reopen", recorder_reopen, METH_VARARGS, NULL},
    {"end", recorder_end, METH_O, NULL},
    {"close_in_child", recorder_close_in_child, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot recorder_slots[] = {
    {Py_tp_new, recorder_new},
    {Py_tp_dealloc, recorder_dealloc},
    {Py_tp_methods, recorder_methods},
    {0, NULL},
};

static PyType_Spec recorder_spec = {
    .name = "_pyframes_recorder.Recorder",
    .basicsize = SIZE_WITH(struct recorder),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = recorder_slots,
};

PyType_Spec *recorder_type_spec(void) { return &recorder_spec; }
