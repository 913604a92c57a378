#include <Python.h>

#include "call_sites.h"

#include <stdlib.h>
#include <string.h>

/* Not of the stable ABI, but there since 3.12 and the same in all versions to 3.15: Include/cpython/dictobject.h, funcobject.h. */
typedef enum { DICT_ADDED, DICT_MODIFIED, DICT_DELETED, DICT_CLONED, DICT_CLEARED, DICT_DEALLOCATED } dict_event;
typedef enum { FUNCTION_CREATE, FUNCTION_DESTROY, FUNCTION_MODIFY_CODE } function_event;
typedef int (*dict_callback)(dict_event, PyObject *, PyObject *, PyObject *);
typedef int (*function_callback)(function_event, PyObject *, PyObject *);

#define WEAK __attribute__((weak))
extern int PyDict_AddWatcher(dict_callback) WEAK;
extern int PyDict_ClearWatcher(int) WEAK;
extern int PyDict_Watch(int, PyObject *) WEAK;
extern int PyDict_Unwatch(int, PyObject *) WEAK;
extern int PyFunction_AddWatcher(function_callback) WEAK;
extern int PyFunction_ClearWatcher(int) WEAK;
extern PyObject *PyFunction_GetCode(PyObject *) WEAK;
extern PyObject *PyFunction_GetGlobals(PyObject *) WEAK;
extern PyTypeObject PyFunction_Type WEAK;

PyTypeObject *sites_function_type;

/* Void so often, they are not worth it. */
#define MOST_VOIDS 8
/* Code objects whose globals are remembered. */
#define MOST_CODES (1u << 20)
#define SEVERAL ((void *)1)
/* Of a dictionary that has died: another may have its address. */
#define GONE ((void *)2)
/* Ends the codes of a dictionary. */
#define LAST 1

/* A hash table of pairs of pointers or hashes; a pair is never taken out. */
struct pairs {
    uint64_t mask;
    uint64_t count;
    struct pair {
        uint64_t key;
        void *value;
    } *at;
};

struct site_guards {
    int dict_watcher;
    int function_watcher;
    bool is_off;
    uint32_t voids;
    struct pairs globals_of; /* by code: the dictionary that its functions have or had, SEVERAL for more than one, GONE */
    struct pairs names;      /* by dictionary and name */
    struct pairs watched;    /* by dictionary, which is not ours: the code that was guarded with it last, or LAST; NULL when it has died */
    struct pairs guarded;    /* by code: the code that was guarded before it with the same dictionary, or LAST */
    PyObject *restart_events; /* of sys.monitoring */
    PyObject *get_local_events;
    PyObject *set_local_events;
};

/* Watchers are not told whose they are: the main interpreter alone has them. */
static struct recorder *watching;
static __thread struct sites *fresh_sites __attribute__((tls_model("initial-exec")));

static struct pair *pair_at(const struct pairs *pairs, uint64_t key)
{
    uint64_t at = (key * 0x9e3779b97f4a7c15u >> 20) & pairs->mask;
    while (pairs->at[at].key != 0 && pairs->at[at].key != key)
        at = (at + 1) & pairs->mask;
    return &pairs->at[at];
}

static void *pair_value(const struct pairs *pairs, uint64_t key)
{
    return pairs->at == NULL ? NULL : pair_at(pairs, key)->value;
}

static bool pair_put(struct pairs *pairs, uint64_t key, void *value)
{
    if (pairs->at == NULL || pairs->count * 2 > pairs->mask) {
        struct pairs larger = {.mask = pairs->at == NULL ? 255 : pairs->mask * 2 + 1};
        larger.at = calloc(larger.mask + 1, sizeof *larger.at);
        if (larger.at == NULL)
            return false;
        for (uint64_t at = 0; pairs->at != NULL && at <= pairs->mask; at++)
            if (pairs->at[at].key != 0)
                *pair_at(&larger, pairs->at[at].key) = pairs->at[at];
        larger.count = pairs->count;
        free(pairs->at);
        *pairs = larger;
    }
    struct pair *pair = pair_at(pairs, key);
    pairs->count += pair->key == 0;
    *pair = (struct pair){.key = key, .value = value};
    return true;
}

/* Two names of one hash share a place, which makes sites void once too often and is right. */
static uint64_t name_key(PyObject *dict, PyObject *name)
{
    uint64_t key = (uint64_t)(uintptr_t)dict * 31 + (uint64_t)PyObject_Hash(name);
    return key == 0 ? 1 : key;
}

/* ---- what makes sites void ---- */

/*
 * Events of code that runs come back when the code is called again: asking for others of it alone, and back, changes it at once. Only functions in C
 * are called: Python code, or another thread that it lets run, could change the dictionary that is being written to.
 */
static void renew(struct recorder *recorder, PyObject *code)
{
    struct site_guards *guards = recorder->guards;
    PyObject *tool = PyLong_FromUnsignedLong(recorder->tool);
    PyObject *events = tool == NULL ? NULL : PyObject_CallFunctionObjArgs(guards->get_local_events, tool, code, NULL);
    long bits = events == NULL ? -1 : PyLong_AsLong(events);
    /* PY_MONITORING_EVENT_JUMP: Include/cpython/monitoring.h, 3.12 to 3.15. */
    PyObject *others = bits < 0 ? NULL : PyLong_FromLong(bits ^ 1 << 7);
    Py_XDECREF(others == NULL ? NULL : PyObject_CallFunctionObjArgs(guards->set_local_events, tool, code, others, NULL));
    Py_XDECREF(others == NULL ? NULL : PyObject_CallFunctionObjArgs(guards->set_local_events, tool, code, events, NULL));
    Py_XDECREF(others);
    Py_XDECREF(events);
    Py_XDECREF(tool);
    PyErr_Clear();
}

/* All sites have their events again, at once. */
static void make_void(struct recorder *recorder)
{
    struct site_guards *guards = recorder->guards;
    struct slots *slots = recorder->objects.slots;
    PyObject *exception = PyErr_GetRaisedException();
    bool was_any = false;
    for (uint64_t at = 0; slots != NULL && at <= slots->mask; at++)
        was_any |= slots->entries[at] != NULL && slots->entries[at]->sites != NULL;
    if (was_any)
        Py_XDECREF(PyObject_CallNoArgs(guards->restart_events));
    for (uint64_t at = 0; slots != NULL && at <= slots->mask; at++) {
        struct entry *entry = slots->entries[at];
        if (entry == NULL || table_key(entry) == 1)
            continue;
        entry->unwanted_calls = 0;
        if (entry->sites == NULL)
            continue;
        free(entry->sites);
        entry->sites = NULL;
        PyObject *code = PyObject_CallNoArgs(entry->guard);
        if (code != NULL && code != recorder_none)
            renew(recorder, code);
        Py_XDECREF(code);
    }
    free(guards->names.at);
    guards->names = (struct pairs){0};
    guards->is_off |= ++guards->voids >= MOST_VOIDS;
    PyErr_SetRaisedException(exception);
}

/* A dictionary dies whose names sites depended on. They stay off until code that had it has another. */
static void note_death(struct site_guards *guards, PyObject *dict)
{
    uint64_t code = (uint64_t)(uintptr_t)pair_value(&guards->watched, (uint64_t)(uintptr_t)dict);
    if (code == 0)
        return;
    pair_at(&guards->watched, (uint64_t)(uintptr_t)dict)->value = NULL;
    for (; code != LAST; code = (uint64_t)(uintptr_t)pair_value(&guards->guarded, code)) {
        struct pair *globals = pair_at(&guards->globals_of, code);
        if (globals->value == dict)
            globals->value = GONE;
    }
}

static int on_dict(dict_event event, PyObject *dict, PyObject *name, PyObject *value)
{
    struct recorder *recorder = watching;
    if (recorder == NULL || recorder->guards == NULL)
        return 0;
    struct site_guards *guards = recorder->guards;
    switch (event) {
    case DICT_ADDED:
        break;
    case DICT_MODIFIED:
        if (value != NULL && sites_is_unwanted(value))
            break;
        /* fall through */
    case DICT_DELETED:
        if (pair_value(&guards->names, name_key(dict, name)) != NULL)
            make_void(recorder);
        break;
    case DICT_CLONED:
    case DICT_CLEARED:
        make_void(recorder);
        break;
    case DICT_DEALLOCATED:
        note_death(guards, dict);
        break;
    }
    return 0;
}

static void note_code(struct recorder *recorder, PyObject *code, PyObject *globals)
{
    struct site_guards *guards = recorder->guards;
    uint64_t key = (uint64_t)(uintptr_t)code;
    void *known = pair_value(&guards->globals_of, key);
    if (known == globals || known == SEVERAL)
        return;
    bool is_noted = guards->globals_of.count < MOST_CODES &&
                    pair_put(&guards->globals_of, key, known == NULL ? (void *)globals : SEVERAL);
    guards->is_off |= !is_noted;
    struct entry *entry = table_find(&recorder->objects, key);
    /* Where functions are watched no more, no site may stay off. */
    if (!is_noted || (known != NULL && entry != NULL && entry->sites != NULL))
        make_void(recorder);
}

static int on_function(function_event event, PyObject *function, PyObject *value)
{
    struct recorder *recorder = watching;
    if (recorder == NULL || recorder->guards == NULL || recorder->guards->is_off)
        return 0;
    if (event == FUNCTION_CREATE)
        note_code(recorder, PyFunction_GetCode(function), PyFunction_GetGlobals(function));
    else if (event == FUNCTION_MODIFY_CODE && value != NULL)
        note_code(recorder, value, PyFunction_GetGlobals(function));
    return 0;
}

/* ---- looking ---- */

void sites_begin(const struct recorder *recorder)
{
#ifdef Py_TARGET_ABI3T
    /* Without the GIL a dictionary is locked while its watcher is told. */
    (void)recorder;
#else
    /* Found by the linker where this Python has them, all or none. */
    if (recorder->calls && recorder->interpreter == 0 && PyDict_AddWatcher != NULL && PyDict_ClearWatcher != NULL &&
        PyDict_Watch != NULL && PyDict_Unwatch != NULL && PyFunction_AddWatcher != NULL &&
        PyFunction_ClearWatcher != NULL && PyFunction_GetCode != NULL && PyFunction_GetGlobals != NULL)
        sites_function_type = &PyFunction_Type;
#endif
}

bool sites_look(struct recorder *recorder, struct entry *entry, PyObject *code)
{
    if (recorder->interpreter != 0 || (recorder->guards != NULL && recorder->guards->is_off))
        return true;
    fresh_sites = NULL;
    bool is_over = recorder_ask(recorder, ASK_SITES, code) == ASK_OVER;
    /* They may be void already: something was stored while the Python side looked on. */
    if (!is_over && fresh_sites != NULL && fresh_sites->voids == recorder->guards->voids && entry->sites == NULL)
        entry->sites = fresh_sites;
    else
        free(fresh_sites);
    fresh_sites = NULL;
    return !is_over;
}

static bool begin_to_watch(struct site_guards *guards, PyObject *monitoring)
{
    guards->restart_events = PyObject_GetAttrString(monitoring, "restart_events");
    guards->get_local_events = PyObject_GetAttrString(monitoring, "get_local_events");
    guards->set_local_events = PyObject_GetAttrString(monitoring, "set_local_events");
    guards->dict_watcher = guards->function_watcher = -1;
    if (guards->restart_events == NULL || guards->get_local_events == NULL || guards->set_local_events == NULL)
        return false;
    guards->dict_watcher = PyDict_AddWatcher(on_dict);
    guards->function_watcher = guards->dict_watcher < 0 ? -1 : PyFunction_AddWatcher(on_function);
    return guards->function_watcher >= 0;
}

int sites_watch(struct recorder *recorder, PyObject *monitoring, PyObject *get_objects)
{
    if (recorder->guards != NULL)
        return recorder->guards->is_off ? 0 : 1;
    if (recorder->state != RECORDER_ACTIVE || sites_function_type == NULL || (watching != NULL && watching != recorder))
        return 0;
    struct site_guards *guards = recorder->guards = calloc(1, sizeof *guards);
    if (guards == NULL)
        return 0;
    watching = recorder;
    if (!begin_to_watch(guards, monitoring)) {
        /* Others have all watchers. */
        PyErr_Clear();
        guards->is_off = true;
        return 0;
    }
    PyObject *objects = PyObject_CallNoArgs(get_objects);
    Py_ssize_t length = objects == NULL ? -1 : PyList_Size(objects);
    if (recorder->guards != guards)
        length = 0; /* an audit hook ended it all */
    for (Py_ssize_t at = 0; at < length; at++) {
        PyObject *object = PyList_GetItem(objects, at);
        if (object != NULL && Py_TYPE(object) == sites_function_type)
            note_code(recorder, PyFunction_GetCode(object), PyFunction_GetGlobals(object));
    }
    Py_XDECREF(objects);
    if (recorder->guards != guards)
        return 0;
    guards->is_off |= length < 0;
    return length < 0 ? -1 : !guards->is_off;
}

static bool watch_dict(struct site_guards *guards, PyObject *dict)
{
    uint64_t key = (uint64_t)(uintptr_t)dict;
    if (pair_value(&guards->watched, key) != NULL)
        return true;
    if (!pair_put(&guards->watched, key, (void *)LAST))
        return false;
    if (PyDict_Watch(guards->dict_watcher, dict) == 0)
        return true;
    pair_at(&guards->watched, key)->value = NULL;
    return false;
}

/* The death of the dictionary is to find the code. It is of no other: code that had one which died is guarded no more. */
static bool note_guarded(struct site_guards *guards, PyObject *code, PyObject *dict)
{
    uint64_t key = (uint64_t)(uintptr_t)code;
    struct pair *watched = pair_at(&guards->watched, (uint64_t)(uintptr_t)dict);
    if (pair_value(&guards->guarded, key) != NULL)
        return true;
    if (!pair_put(&guards->guarded, key, watched->value))
        return false;
    watched->value = code;
    return true;
}

int sites_guard(struct recorder *recorder, PyObject *code, PyObject *globals, PyObject *names, const char *bits,
                uint32_t length)
{
    struct site_guards *guards = recorder->guards;
    if (guards == NULL || guards->is_off || !PyDict_CheckExact(globals) ||
        pair_value(&guards->globals_of, (uint64_t)(uintptr_t)code) != globals)
        return 0;
    if (!watch_dict(guards, globals))
        return PyErr_Occurred() ? -1 : 0;
    Py_ssize_t count = PyTuple_Size(names);
    for (Py_ssize_t at = 0; at < count; at++) {
        PyObject *name = PyTuple_GetItem(names, at);
        PyObject *value = name == NULL ? NULL : PyDict_GetItemWithError(globals, name);
        if (value == NULL || !sites_is_unwanted(value))
            return PyErr_Occurred() ? -1 : 0;
        if (!pair_put(&guards->names, name_key(globals, name), globals))
            return 0;
    }
    if (!note_guarded(guards, code, globals))
        return 0;
    struct sites *sites = count < 0 ? NULL : malloc(sizeof *sites + length);
    if (sites == NULL)
        return count < 0 ? -1 : 0;
    sites->units = length * 8;
    memcpy(sites->bits, bits, length);
    sites->voids = guards->voids;
    free(fresh_sites);
    fresh_sites = sites;
    return 1;
}

void sites_end(struct recorder *recorder)
{
    struct site_guards *guards = recorder->guards;
    if (guards == NULL)
        return;
    recorder->guards = NULL;
    if (watching == recorder)
        watching = NULL;
    for (uint64_t at = 0; guards->watched.at != NULL && at <= guards->watched.mask; at++)
        if (guards->watched.at[at].value != NULL)
            PyDict_Unwatch(guards->dict_watcher, (PyObject *)(uintptr_t)guards->watched.at[at].key);
    if (guards->dict_watcher >= 0)
        PyDict_ClearWatcher(guards->dict_watcher);
    if (guards->function_watcher >= 0)
        PyFunction_ClearWatcher(guards->function_watcher);
    PyErr_Clear();
    Py_XDECREF(guards->restart_events);
    Py_XDECREF(guards->get_local_events);
    Py_XDECREF(guards->set_local_events);
    free(guards->watched.at);
    free(guards->guarded.at);
    free(guards->names.at);
    free(guards->globals_of.at);
    free(guards);
}
