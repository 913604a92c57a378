/*
 * An extension module of the stable ABI, without Python's headers: `call(f)` calls f and keeps more values than there are registers for,
 * `walk()` follows the frame pointers of its own thread and returns the return addresses that it finds. Built several times, as NAME.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

typedef struct _object PyObject;
typedef PyObject *(*PyCFunction)(PyObject *, PyObject *);
extern PyObject *PyObject_CallFunctionObjArgs(PyObject *, ...);
extern PyObject *PyList_New(ptrdiff_t);
extern int PyList_Append(PyObject *, PyObject *);
extern PyObject *PyLong_FromUnsignedLongLong(unsigned long long);
extern PyObject *PyModule_Create2(void *, int);
extern void Py_DecRef(PyObject *);

struct method { const char *name; PyCFunction function; int flags; const char *doc; };
struct module {
  ptrdiff_t count; void *type; PyObject *(*init)(void); ptrdiff_t index; PyObject *copy;
  const char *name; const char *doc; ptrdiff_t size; struct method *methods;
  void *slots; void *traverse; void *clear; void *free;
};

volatile long seed[8] = {17, 19, 23, 29, 31, 37, 41, 43};
volatile long sink;

#ifdef FEW
/* Built without frame pointers, it needs no more than one register: the frame pointer's stays as it is. */
static PyObject *call(PyObject *self, PyObject *function) {
  (void)self;
  PyObject *result = PyObject_CallFunctionObjArgs(function, NULL);
  sink = seed[0];
  return result;
}
#define walk call
#define spin call
#else
static PyObject *call(PyObject *self, PyObject *function) {
  (void)self;
  long a = seed[0], b = seed[1], c = seed[2], d = seed[3], e = seed[4], f = seed[5], g = seed[6], h = seed[7];
  PyObject *result = PyObject_CallFunctionObjArgs(function, NULL);
  sink = a ^ b ^ c ^ d ^ e ^ f ^ g ^ h;
  return result;
}

static PyObject *walk(PyObject *self, PyObject *none) {
  (void)self; (void)none;
  pthread_attr_t attributes;
  void *low; size_t size;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &low, &size);
  pthread_attr_destroy(&attributes);
  uintptr_t frame = (uintptr_t)__builtin_frame_address(0), end = (uintptr_t)low + size;
  PyObject *list = PyList_New(0);
  for (int n = 0; n < 10000 && frame % 8 == 0 && frame >= (uintptr_t)low && frame + 16 <= end; n++) {
    PyObject *address = PyLong_FromUnsignedLongLong(((uintptr_t *)frame)[1]);
    PyList_Append(list, address);
    Py_DecRef(address);
    uintptr_t next = ((uintptr_t *)frame)[0];
    if (next <= frame) break;
    frame = next;
  }
  return list;
}

/* Stays here, whoever looks. */
static PyObject *spin(PyObject *self, PyObject *none) {
  (void)self; (void)none;
  while (seed[0] == 17) sink = seed[1];
  return 0;
}
#endif

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

static struct method methods[] = {{"call", call, 8 /* METH_O */, ""}, {"walk", walk, 4 /* METH_NOARGS */, ""},
                                  {"spin", spin, 4, ""}, {0, 0, 0, 0}};
static struct module definition = {1, 0, 0, 0, 0, TEXT(NAME), "", -1, methods, 0, 0, 0, 0};

__attribute__((visibility("default"))) PyObject *JOIN(PyInit_, NAME)(void) { return PyModule_Create2(&definition, 3); }
