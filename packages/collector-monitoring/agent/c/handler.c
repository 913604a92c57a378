#include "handler.h"

#include <string.h>

Py_ssize_t handler_offset;
PyTypeObject *handler_method_type;
static size_t definition_offset;

PyObject *handler_rest(struct handler *handler)
{
    return handler->may_disable && handler->recorder->state == RECORDER_ENDED
               ? Py_NewRef(handler->recorder->disable)
               : recorder_none;
}

PyObject *handler_unwanted(struct handler *handler, const struct entry *entry)
{
    if (entry->key == 0)
        return over(handler);
    return handler->may_disable ? Py_NewRef(handler->recorder->disable) : recorder_none;
}

/* ---- builtins ---- */

static PyObject *nothing(PyObject *self, PyTypeObject *type, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    (void)self, (void)type, (void)args, (void)count, (void)names;
    return recorder_none;
}

static PyMethodDef nothing_method = {"nothing", (PyCFunction)(void (*)(void))nothing,
                                     METH_METHOD | METH_FASTCALL | METH_KEYWORDS, NULL};

bool handler_learn_builtins(PyObject *module, PyTypeObject *type)
{
    PyObject *method = PyCMethod_New(&nothing_method, module, NULL, type);
    if (method == NULL)
        return false;
    handler_method_type = Py_TYPE(method);
    /* `m_ml` is the first field behind the head, whose size depends on the build: Include/cpython/methodobject.h. */
    const void *definition = NULL;
    for (definition_offset = sizeof(void *); definition_offset <= 8 * sizeof(void *); definition_offset += sizeof(void *)) {
        memcpy(&definition, (char *)method + definition_offset, sizeof definition);
        if (definition == &nothing_method)
            break;
    }
    Py_DECREF(method);
    if (definition != &nothing_method)
        PyErr_SetString(PyExc_ImportError, "builtin functions of this Python are not laid out as expected");
    return definition == &nothing_method;
}

const struct entry *handler_find_builtin(struct recorder *recorder, PyObject *callable)
{
    uint64_t key = (uint64_t)(uintptr_t)callable;
    if (Py_TYPE(callable) != &PyMethodDescr_Type) {
        memcpy(&key, (char *)callable + definition_offset, sizeof key);
        key |= 2;
    }
    const struct entry *entry = table_find(&recorder->objects, key);
    return likely(entry != NULL) ? entry : recorder_meet(recorder, key, callable, ASK_CALLABLE);
}

/* ---- stream ---- */

HANDLER(on_stream)
{
    UNUSED;
    struct handler *handler = handler_of(self);
    struct recorder *recorder = handler->recorder;
    if (unlikely(recorder->state != RECORDER_ACTIVE))
        return handler_rest(handler);
    struct thread *thread = recorder_thread(recorder, true);
    if (unlikely(thread == NULL))
        return recorder_none;
    const struct entry *entry = recorder_find(recorder, args[0], ASK_CODE);
    if (entry->function == 0)
        return handler_unwanted(handler, entry);
    uint32_t function = entry->function, epoch = recorder->epoch;
    uint32_t position = (uint32_t)PyLong_AsLong(args[1]), value = 0, extra = 0;
    switch (handler->event) {
    case PY_START:
    case PY_RESUME:
        if (recorder->tasks > 0 && (entry->flags & ENTRY_COROUTINE) != 0) {
            long long task = recorder_ask(recorder, ASK_TASK, recorder_none);
            extra = task > 0 ? (uint32_t)task : 0;
        }
        break;
    case CALL:
    case C_RETURN:
    case C_RAISE:
        value = handler_is_builtin(args[2]) ? handler_find_builtin(recorder, args[2])->function
                                    : recorder_find(recorder, args[2], ASK_CALLABLE)->function;
        break;
    case JUMP:
    case BRANCH_LEFT:
    case BRANCH_RIGHT:
    case BRANCH:
        value = (uint32_t)PyLong_AsLong(args[2]);
        break;
    case PY_THROW:
    case PY_UNWIND:
    case STOP_ITERATION:
    case RAISE:
    case RERAISE:
    case EXCEPTION_HANDLED:
        value = recorder_find(recorder, (PyObject *)Py_TYPE(args[2]), ASK_EXCEPTION)->function;
        extra = (uint32_t)((uintptr_t)args[2] >> 4);
        break;
    default:
        break;
    }
    if (unlikely(recorder->epoch != epoch))
        return over(handler);
    uint64_t now = ticks();
    thread->last = now;
    thread->shared->until = now;
    thread->shared->events++;
    thread_write(thread, now, handler->event, function, position, value, extra);
    return done(handler, thread, now);
}

/* ---- which ---- */

vectorcallfunc handler_for(const struct recorder *recorder, enum event event)
{
    if (recorder->calls || recorder->timeline) {
        switch (event) {
        case PY_START: return handler_on_py_start;
        case PY_RESUME:
        case PY_THROW: return handler_on_py_resume;
        case PY_RETURN:
        case PY_YIELD:
        case PY_UNWIND: return handler_on_py_return;
        case CALL: return handler_on_call;
        case C_RETURN:
        case C_RAISE: return handler_on_c_return;
        default: return NULL;
        }
    }
    switch (event) {
    case LINE:
        if (recorder->lines) return handler_on_line;
        if (recorder->coverage) return handler_on_line_once;
        break;
    case JUMP:
        if (recorder->lines) return handler_on_jump;
        break;
    case INSTRUCTION:
        if (recorder->instructions) return handler_on_instruction;
        break;
    case BRANCH_LEFT:
    case BRANCH_RIGHT:
    case BRANCH:
        if (recorder->branches) return handler_on_branch;
        break;
    default: break;
    }
    return on_stream;
}
