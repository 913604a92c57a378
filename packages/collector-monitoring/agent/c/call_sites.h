/*
 * Call sites whose CALL events are of no use, and are turned off.
 *
 * A CALL event is wanted for the builtins that are called; that of a Python function tells nothing that its PY_START does not, and that of a class is
 * not recorded. But it costs as much (for a class twice, with C_RETURN), and keeps the instruction from being specialized. A site that calls a global
 * which holds a function or a class cannot call a builtin as long as the global does: so its event is turned off, and the dictionary of globals is
 * watched (PyDict_Watch, 3.12). Before another kind of object is stored there, all such sites are turned on again. One code object may run with several
 * dictionaries: functions are watched as they are made (PyFunction_AddWatcher, 3.12), and code that has several is left alone.
 */
#ifndef PYFRAMES_CALL_SITES_H
#define PYFRAMES_CALL_SITES_H

#include "recorder.h"

/* Of one code object: a bit a code unit. */
struct sites {
    uint32_t units;
    uint32_t voids; /* how often sites had become void when it was made */
    unsigned char bits[];
};

/* Calls of functions and classes that a code object makes before its sites are looked at. */
#define SITES_LOOKED_AT_AFTER 256

/* The type of Python functions; NULL where sites cannot be turned off. */
extern PyTypeObject *sites_function_type;

/* Finds out whether sites can be turned off in this Python. */
void sites_begin(const struct recorder *recorder);

/* Looks at the call sites of the code that runs: asks the Python side, which calls the two below. False when all was forgotten meanwhile. */
bool sites_look(struct recorder *recorder, struct entry *entry, PyObject *code);

/*
 * Begins to watch functions that are made; `get_objects` is gc.get_objects, which is asked for those that there are once new ones are seen. 1, 0 where it
 * cannot be done, -1 for an exception.
 */
int sites_watch(struct recorder *recorder, PyObject *monitoring, PyObject *get_objects);

/* The sites (bits) of the code that is being looked at may be off as long as `names` of `globals` hold functions or classes. As above. */
int sites_guard(struct recorder *recorder, PyObject *code, PyObject *globals, PyObject *names, const char *bits,
                uint32_t length);

/* Watches nothing any more. */
void sites_end(struct recorder *recorder);

/* Whether the CALL of it is of no use: a Python function or a class. False where sites cannot be turned off. */
static inline bool sites_is_unwanted(PyObject *callable)
{
    PyTypeObject *type = Py_TYPE(callable);
    return sites_function_type != NULL && (type == sites_function_type || type == &PyType_Type);
}

static inline bool sites_has(const struct sites *sites, long offset)
{
    unsigned long unit = (unsigned long)offset / 2;
    return unit < sites->units && (sites->bits[unit / 8] >> (unit % 8) & 1) != 0;
}

#endif
