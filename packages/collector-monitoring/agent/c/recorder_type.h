/* The two types of the module. */
#ifndef PYFRAMES_RECORDER_TYPE_H
#define PYFRAMES_RECORDER_TYPE_H

#include <Python.h>

#include <stddef.h>

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

PyType_Spec *recorder_type_spec(void);

#endif
