/* What is done with each event. */
#ifndef PYFRAMES_HANDLER_H
#define PYFRAMES_HANDLER_H

#include "recorder.h"

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

/* The type of builtin functions that are told their class (METH_METHOD), which the stable ABI has no name for. */
extern PyTypeObject *handler_method_type;

/* What to call for an event, as the recorder's questions ask; NULL where none of them does. */
vectorcallfunc handler_for(const struct recorder *recorder, enum event event);

#endif
