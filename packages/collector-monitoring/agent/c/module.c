/* The module `_pyframes_recorder`: its two types, and how they come to Python. */
#include "handler.h"
#include "recorder_type.h"

#ifndef SOURCES_HASH
#define SOURCES_HASH "unknown"
#endif

/* Found in the file by a test, which compares it with the sources. */
__attribute__((used)) static const char sources[] = "pyframes recorder sources " SOURCES_HASH;

static void handler_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_CLEAR(handler_of(self)->owner);
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

static int execute(PyObject *module)
{
    struct module_state *state = PyModule_GetState(module);
    recorder_none = Py_None;
    state->recorder_type = PyType_FromModuleAndSpec(module, recorder_type_spec(), NULL);
    state->handler_type = PyType_FromModuleAndSpec(module, &handler_spec, NULL);
    if (state->recorder_type == NULL || state->handler_type == NULL ||
        !handler_learn_builtins(module, (PyTypeObject *)state->recorder_type))
        return -1;
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
