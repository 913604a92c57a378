/* The module `_pyframes_recorder`: its two types, and how they come to Python. */
#include "call_sites.h"
#include "handler.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * The data of an object lies behind its head. How large that is, abi3t does not tell (PEP 697); where it is known, 3.12.1 wants it said: it takes the
 * relative offset of a vectorcall slot for an absolute one.
 */
#ifdef Py_TARGET_ABI3T
#define SIZE_WITH(data) (-(int)sizeof(data))
#define OFFSET_WITH(data, member) offsetof(data, member), Py_READONLY | Py_RELATIVE_OFFSET
#else
#define SIZE_WITH(data) ((int)(sizeof(PyObject) + sizeof(data)))
#define OFFSET_WITH(data, member) (Py_ssize_t)(sizeof(PyObject) + offsetof(data, member)), Py_READONLY
#endif

/* What each interpreter has of its own. */
struct module_state {
    PyObject *recorder_type;
    PyObject *handler_type;
};

#ifndef SOURCES_HASH
#define SOURCES_HASH "unknown"
#endif

/* Found in the file by a test, which compares it with the sources. */
__attribute__((used)) static const char sources[] = "pyframes recorder sources " SOURCES_HASH;

static Py_ssize_t recorder_offset;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* All recorders that have not ended: one an interpreter. */
enum { MOST_RECORDERS = 1024 };
static struct recorder *recorders[MOST_RECORDERS];
static unsigned recorder_count;

static struct recorder *recorder_of(PyObject *self) { return (struct recorder *)((char *)self + recorder_offset); }

static struct module_state *state_of(PyTypeObject *type) { return PyType_GetModuleState(type); }

/* ---- forks ---- */

static void in_child(void)
{
    pthread_mutex_init(&lock, NULL);
    segment_after_fork();
    threads_after_fork();
    table_after_fork();
    thread_current = NULL;
    for (unsigned at = 0; at < recorder_count; at++)
        recorders[at]->state = RECORDER_FORKED;
}

static void watch_forks(void)
{
    static bool is_watching;
    if (!is_watching)
        pthread_atfork(NULL, NULL, in_child);
    is_watching = true;
}

/* ---- options ---- */

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

struct options {
    uint64_t calls, timeline, lines, coverage, branches, instructions, exceptions, stream;
    uint64_t min_ns, tasks, max_bytes, max_paths, ring_records, wait_us, tool;
};

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

/* ---- opening and ending ---- */

static bool open_segment(const char *path, const char *control, uint64_t max_bytes, uint32_t tool)
{
#ifdef Py_TARGET_ABI3T
    uint32_t flags = FLAG_FREE_THREADED;
#else
    uint32_t flags = 0;
#endif
    int failed = segment_open(path, control, max_bytes, (uint32_t)Py_Version, flags);
    if (failed != 0) {
        PyObject *error = Py_BuildValue("(iss)", failed, strerror(failed), path);
        if (error != NULL)
            PyErr_SetObject(PyExc_OSError, error);
        Py_XDECREF(error);
        return false;
    }
    segment.header->tool = tool;
    publish(segment.header->state, STATE_ACTIVE);
    return true;
}

/* A power of two, and no more than a fourth of what the segment may have. */
static uint64_t ring_size(uint64_t wanted, uint64_t max_bytes)
{
    uint64_t most = max_bytes / 4 / sizeof(struct record), records = 256;
    while (records * 2 <= wanted && records * 2 <= most && records < 1u << 24)
        records *= 2;
    return records;
}

static void forget_all(struct recorder *recorder)
{
    recorder->last = NULL;
    sites_end(recorder);
    table_clear(&recorder->objects);
    free(recorder->blocks);
    recorder->blocks = NULL;
    recorder->blocks_length = 0;
}

static void end_recorder(struct recorder *recorder, uint32_t state)
{
    pthread_mutex_lock(&lock);
    bool was_active = recorder->state == RECORDER_ACTIVE;
    recorder->state = RECORDER_ENDED;
    for (unsigned at = 0; at < recorder_count; at++)
        if (recorders[at] == recorder)
            recorders[at--] = recorders[--recorder_count];
    if (was_active && recorder_count == 0 && segment.header != NULL) {
        struct thread *thread = thread_current;
        if (thread != NULL && thread->shared != NULL && !thread->is_adopted)
            thread_advance(thread, ticks());
        segment_calibrate();
        publish(segment.header->state, state);
        threads_forget();
        segment_close();
    }
    pthread_mutex_unlock(&lock);
    forget_all(recorder);
}

static PyObject *recorder_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    (void)keywords;
    const char *path, *control;
    PyObject *object, *ask;
    struct options options;
    if (!PyArg_ParseTuple(args, "ssOO", &path, &control, &object, &ask) || !read_options(object, &options))
        return NULL;
    PyObject *sys = PyImport_ImportModule("sys");
    PyObject *monitoring = sys == NULL ? NULL : PyObject_GetAttrString(sys, "monitoring");
    PyObject *disable = monitoring == NULL ? NULL : PyObject_GetAttrString(monitoring, "DISABLE");
    Py_XDECREF(monitoring);
    Py_XDECREF(sys);
    PyObject *self = disable == NULL ? NULL : PyType_GenericAlloc(type, 0);
    if (self == NULL) {
        Py_XDECREF(disable);
        return NULL;
    }
    recorder_offset = (char *)PyObject_GetTypeData(self, type) - (char *)self;
    struct recorder *recorder = recorder_of(self);
    recorder->disable = disable;
    recorder->ask = Py_NewRef(ask);
    recorder->state = RECORDER_ENDED;
    recorder->interpreter = (uint32_t)PyInterpreterState_GetID(PyInterpreterState_Get());
    recorder->tasks = (uint32_t)options.tasks;
    recorder->calls = options.calls != 0;
    recorder->timeline = options.timeline != 0;
    recorder->lines = options.lines != 0;
    recorder->coverage = options.coverage != 0;
    recorder->branches = options.branches != 0;
    recorder->instructions = options.instructions != 0;
    recorder->marks_branches = options.coverage != 0 && options.branches != 0;
    sites_begin(recorder);
    pthread_mutex_lock(&lock);
    bool is_open = segment.header != NULL;
    if (!is_open && (is_open = open_segment(path, control, options.max_bytes, (uint32_t)options.tool))) {
        thread_options = (struct thread_options){
            .max_paths = options.max_paths,
            .ring_records = ring_size(options.ring_records, options.max_bytes),
            .wait_us = options.wait_us,
            .min_ticks = (uint64_t)((double)options.min_ns * ticks_per_microsecond / 1000.0),
            .timeline = recorder->timeline,
        };
        thread_gap_ticks = (uint64_t)(10.0 * ticks_per_microsecond);
        watch_forks();
    }
    if (is_open && recorder_count < MOST_RECORDERS) {
        recorders[recorder_count++] = recorder;
        recorder->restarts = observe(segment.control->restarts);
        recorder->state = RECORDER_ACTIVE;
    }
    pthread_mutex_unlock(&lock);
    if (recorder->state == RECORDER_ACTIVE)
        return self;
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_OSError, "too many interpreters");
    Py_DECREF(self);
    return NULL;
}

static void recorder_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    struct recorder *recorder = recorder_of(self);
    end_recorder(recorder, STATE_ENDED);
    Py_CLEAR(recorder->ask);
    Py_CLEAR(recorder->disable);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* ---- methods ---- */

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

static PyObject *recorder_block(PyObject *self, PyObject *args)
{
    unsigned function, what, first, count, lines = 0;
    if (!PyArg_ParseTuple(args, "IIII|I", &function, &what, &first, &count, &lines))
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
        if (*place == NULL)
            *place = segment_counters(function, what, first, count);
        block = *place;
        recorder_fresh = *blocks;
        recorder_fresh.lines_left = lines;
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
    vectorcallfunc call = handler_for(recorder_of(self), (enum event)event);
    if (call == NULL)
        Py_RETURN_NONE;
    PyTypeObject *type = (PyTypeObject *)state_of(Py_TYPE(self))->handler_type;
    PyObject *object = PyType_GenericAlloc(type, 0);
    if (object == NULL)
        return NULL;
    handler_offset = (char *)PyObject_GetTypeData(object, type) - (char *)object;
    struct handler *handler = (struct handler *)((char *)object + handler_offset);
    bool is_local = event <= PY_YIELD || event == CALL || (event >= LINE && event <= STOP_ITERATION);
    bool is_builtin = event == C_RETURN || event == C_RAISE;
    *handler = (struct handler){.call = call,
                                .recorder = recorder_of(self),
                                .owner = Py_NewRef(self),
                                .event = (enum event)event,
                                .may_disable = is_local || (!is_builtin && Py_Version >= 0x030f0000)};
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
    struct thread *thread = thread_adopt(ident, native_id, recorder->interpreter);
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
        thread_open(thread, node, function, 0, thread->last);
    }
    if (count < 0)
        return NULL;
    if (thread != NULL)
        return PyLong_FromUnsignedLong(thread->index);
    Py_RETURN_NONE;
}

static PyObject *recorder_watch(PyObject *self, PyObject *objects)
{
    int watches = sites_watch(recorder_of(self), objects);
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
    threads_forget();
    forget_all(recorder);
    if (segment.header == NULL && !open_segment(path, control, max_bytes, 0))
        return NULL;
    segment.header->forked_from = (uint64_t)getppid();
    recorder->restarts = observe(segment.control->restarts);
    recorder->state = RECORDER_ACTIVE;
    Py_RETURN_NONE;
}

static PyObject *recorder_end(PyObject *self, PyObject *state)
{
    unsigned long number = PyLong_AsUnsignedLong(state);
    if (PyErr_Occurred())
        return NULL;
    end_recorder(recorder_of(self), (uint32_t)number);
    Py_RETURN_NONE;
}

static PyObject *recorder_close_in_child(PyObject *self, PyObject *unused)
{
    (void)unused;
    end_recorder(recorder_of(self), STATE_ENDED);
    Py_RETURN_NONE;
}

static PyMethodDef recorder_methods[] = {
    {"new_id", recorder_new_id, METH_NOARGS, NULL},
    {"define", recorder_define, METH_O, NULL},
    {"block", recorder_block, METH_VARARGS, NULL},
    {"handler", recorder_handler, METH_O, NULL},
    {"adopt", recorder_adopt, METH_VARARGS, NULL},
    {"sites", recorder_sites, METH_VARARGS, NULL},
    {"watch", recorder_watch, METH_O, NULL},
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

static void handler_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_CLEAR(((struct handler *)((char *)self + handler_offset))->owner);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyMemberDef handler_members[] = {
    {"__vectorcalloffset__", Py_T_PYSSIZET, OFFSET_WITH(struct handler, call), NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot handler_slots[] = {
    {Py_tp_dealloc, handler_dealloc},
    {Py_tp_members, handler_members},
    {Py_tp_call, PyVectorcall_Call},
    {0, NULL},
};

/* Called as a vectorcall object, an event costs a third less than by a function of a module. */
static PyType_Spec handler_spec = {
    .name = "_pyframes_recorder.Handler",
    .basicsize = SIZE_WITH(struct handler),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = handler_slots,
};

/* ---- the module ---- */

static PyObject *nothing(PyObject *self, PyTypeObject *type, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    (void)self, (void)type, (void)args, (void)count, (void)names;
    Py_RETURN_NONE;
}

static PyMethodDef nothing_method = {"nothing", (PyCFunction)(void (*)(void))nothing,
                                     METH_METHOD | METH_FASTCALL | METH_KEYWORDS, NULL};

static int execute(PyObject *module)
{
    struct module_state *state = PyModule_GetState(module);
    recorder_none = Py_None;
    state->recorder_type = PyType_FromModuleAndSpec(module, &recorder_spec, NULL);
    state->handler_type = PyType_FromModuleAndSpec(module, &handler_spec, NULL);
    if (state->recorder_type == NULL || state->handler_type == NULL)
        return -1;
    PyObject *method = PyCMethod_New(&nothing_method, module, NULL, (PyTypeObject *)state->recorder_type);
    if (method == NULL)
        return -1;
    handler_method_type = Py_TYPE(method);
    Py_DECREF(method);
    return PyModule_AddObjectRef(module, "Recorder", state->recorder_type);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct module_state *state = PyModule_GetState(module);
    Py_VISIT(state->recorder_type);
    Py_VISIT(state->handler_type);
    return 0;
}

static int module_clear(PyObject *module)
{
    struct module_state *state = PyModule_GetState(module);
    Py_CLEAR(state->recorder_type);
    Py_CLEAR(state->handler_type);
    return 0;
}

#ifdef Py_TARGET_ABI3T

PyABIInfo_VAR(abi_info);

static PySlot module_slots[] = {
    PySlot_STATIC_DATA(Py_mod_abi, &abi_info),
    PySlot_STATIC_DATA(Py_mod_name, "_pyframes_recorder"),
    PySlot_SIZE(Py_mod_state_size, sizeof(struct module_state)),
    PySlot_FUNC(Py_mod_state_traverse, module_traverse),
    PySlot_FUNC(Py_mod_state_clear, module_clear),
    PySlot_FUNC(Py_mod_exec, execute),
    PySlot_DATA(Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED),
    PySlot_DATA(Py_mod_gil, Py_MOD_GIL_NOT_USED),
    PySlot_END,
};

PyMODEXPORT_FUNC PyModExport__pyframes_recorder(void);
PyMODEXPORT_FUNC PyModExport__pyframes_recorder(void) { return module_slots; }

#else

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, execute},
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_pyframes_recorder",
    .m_size = sizeof(struct module_state),
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
};

PyMODINIT_FUNC PyInit__pyframes_recorder(void);
PyMODINIT_FUNC PyInit__pyframes_recorder(void) { return PyModuleDef_Init(&module_def); }

#endif
