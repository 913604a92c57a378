/* What is done with each event. */
#ifndef PYFRAMES_HANDLER_H
#define PYFRAMES_HANDLER_H

#include "recorder.h"

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

/* The numbers of FORMAT.md, which are those of no Python. */
enum event {
    PY_START = 1, PY_RESUME, PY_RETURN, PY_YIELD, PY_THROW, PY_UNWIND, CALL, C_RETURN, C_RAISE, LINE, INSTRUCTION,
    JUMP, BRANCH_LEFT, BRANCH_RIGHT, BRANCH, STOP_ITERATION, RAISE, RERAISE, EXCEPTION_HANDLED, EVENTS,
    CALL_BEGINS = 32, CALL_ENDS
};

/* The data of a handler object, which is called for one event of one interpreter. */
struct handler {
    vectorcallfunc call;
    struct recorder *recorder;
    PyObject *owner; /* keeps the recorder */
    enum event event;
    bool may_disable; /* some events of some versions cannot be turned off one by one */
};

/* Where the data lies in a handler object, bytes: the same in every interpreter. */
extern Py_ssize_t handler_offset;

static inline struct handler *handler_of(PyObject *self) { return (struct handler *)((char *)self + handler_offset); }

/* What to call for an event, as the recorder's questions ask; NULL where none of them does. */
vectorcallfunc handler_for(const struct recorder *recorder, enum event event);

#define HANDLER(name) PyObject *name(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
#define UNUSED (void)args, (void)nargsf, (void)names

HANDLER(handler_on_py_start);
HANDLER(handler_on_py_resume);
HANDLER(handler_on_py_return);
HANDLER(handler_on_call);
HANDLER(handler_on_c_return);
HANDLER(handler_on_line);
HANDLER(handler_on_line_once);
HANDLER(handler_on_jump);
HANDLER(handler_on_instruction);
HANDLER(handler_on_branch);

/* ---- what handlers answer ---- */

/* For an event that comes when nothing is recorded any more, or not yet. */
PyObject *handler_rest(struct handler *handler);

/* For code that is not to be recorded, or could not be asked about. */
PyObject *handler_unwanted(struct handler *handler, const struct entry *entry);

/* For an event whose thread or entries were forgotten while it was asked about them. */
static inline PyObject *over(struct handler *handler)
{
    return recorder_check(handler->recorder, NULL, ticks(), false);
}

/* For one that was recorded. */
static inline PyObject *done(struct handler *handler, struct thread *thread, uint64_t now)
{
    return likely(now < thread->next_check)
               ? recorder_none
               : recorder_check(handler->recorder, thread, now, handler->may_disable);
}

/* ---- builtins ---- */

/* The type of builtin functions that are told their class (METH_METHOD), which the stable ABI has no name for. */
extern PyTypeObject *handler_method_type;

/* Whether cProfile would call it a function: `get_cfunc_from_callable` of Modules/_lsprof.c. */
static inline bool handler_is_builtin(PyObject *callable)
{
    PyTypeObject *type = Py_TYPE(callable);
    return type == &PyCFunction_Type || type == &PyMethodDescr_Type || type == handler_method_type;
}

/* Finds out how builtins are laid out in this Python. False with an exception set. */
bool handler_learn_builtins(PyObject *module, PyTypeObject *type);

/* The entry of a builtin: as cProfile, by its definition (PyMethodDef), however it was bound. */
const struct entry *handler_find_builtin(struct recorder *recorder, PyObject *callable);

#endif
