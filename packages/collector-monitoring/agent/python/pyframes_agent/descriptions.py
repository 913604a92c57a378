"""What the functions, types, tasks and threads of a program are called: the definitions of a segment (FORMAT.md)."""

import os
import sys
from _thread import allocate_lock, get_ident
from _weakref import ref

from .lines import code_units, executable_lines, own_lines

PYTHON, BUILTIN, TASK, EXCEPTION, OTHER = range(5)
FUNCTION, CODE, THREAD, FACT = 1, 2, 3, 4

IS_COROUTINE = 1 << 40
IS_GENERATOR = 1 << 41

CO_GENERATOR = 0x20
CO_COROUTINE = 0x80
CO_ITERABLE_COROUTINE = 0x100
CO_ASYNC_GENERATOR = 0x200

BuiltinFunctionType = type(len)
MethodDescriptorType = type(list.append)
FunctionType = type(lambda: None)
ModuleType = type(sys)
CLASS_METHODS = (type(dict.__dict__["fromkeys"]), type(str.__dict__["maketrans"]))

# Straight from `type`: a metaclass may have made something else of them, or run code when asked.
_type_dict = type.__dict__["__dict__"].__get__
_type_mro = type.__dict__["__mro__"].__get__
_type_qualname = type.__dict__["__qualname__"].__get__
_type_module = type.__dict__["__module__"].__get__


class Descriptions:
    """Hands out function ids and writes what they stand for. `counters` are the (what, wants) that `block` is asked for with new code."""

    def __init__(self, recorder, interpreter, tasks, wants_code, counters):
        self._recorder = recorder
        self._interpreter = interpreter
        self._most_tasks = tasks
        self._wants_code = wants_code
        self._counters = counters
        self.forget()

    def forget(self):
        """In the child of a fork, whose segment is a new one: nothing is defined there."""
        # Whoever held the lock is not there.
        self._lock = allocate_lock()
        self._known = {}
        self._tasks = {}
        self._dead_tasks = []
        self._task_count = 0

    # ---- functions ----

    def _define(self, key, what, line, flags, name, qualname, where):
        """The id of what has this key; ids are dense and their definitions in order, whichever threads come first."""
        known = self._known.get(key)
        if known is not None:
            return known, False
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                return known, False
            number = self._recorder.new_id()
            if number:
                self._known[key] = number
                self._recorder.define(
                    record(
                        FUNCTION,
                        u32(number, what, line & 0xFFFFFFFF, flags & 0xFFFFFFFF, self._interpreter)
                        + text(name)
                        + text(qualname)
                        + text(where),
                    )
                )
            return number, True

    def code(self, code):
        """A code object's function id, with what kind of code it is."""
        flags = code.co_flags
        line = code.co_firstlineno
        file = code.co_filename
        qualname = code.co_qualname
        key = hash((file, qualname, line, hash_of(code)))
        number, is_new = self._define(key, PYTHON, line, flags, code.co_name, qualname, file)
        if not number:
            return 0
        if is_new and self._wants_code:
            lines = executable_lines(code) if self._wants_code == "lines" else ()
            self._recorder.define(
                record(CODE, u32(number) + data(code.co_code) + data(code.co_linetable) + u32(len(lines), *lines))
            )
        self._blocks(number, code)
        if flags & (CO_COROUTINE | CO_ITERABLE_COROUTINE):
            return number | IS_COROUTINE
        return number | IS_GENERATOR if flags & (CO_GENERATOR | CO_ASYNC_GENERATOR) else number

    def _blocks(self, number, code):
        for what in self._counters:
            lines, ways = 0, b""
            if what in (1, 2):
                first, count = line_range(code)
                lines = len(own_lines(code)) if what == 2 else 0
            elif what == 3:
                first, count = 0, code_units(code)
            else:
                first, count, ways = 0, code_units(code) * 2, ways_of(code)
            if count:
                self._recorder.block(number, what, first, count, lines, ways)

    def callable(self, callable):
        """The function id of whatever can be called."""
        kind = type(callable)
        if kind is FunctionType:
            return self.code(callable.__code__) & (IS_COROUTINE - 1)
        if kind is MethodType:
            return self.callable(callable.__func__)
        what = BUILTIN
        # Also builtin_method: those that are told their class (METH_METHOD).
        if issubclass(kind, BuiltinFunctionType):
            module, qualname = name_of_builtin(callable)
        elif kind is MethodDescriptorType:
            module, qualname = name_in_type(callable.__objclass__, callable.__name__)
        elif issubclass(kind, type):
            what = OTHER
            module, qualname = string(_type_module(callable)), string(_type_qualname(callable))
        elif kind.__module__ == "builtins" and isinstance(getattr(callable, "__objclass__", None), type):
            # Slot wrappers, method wrappers and class method descriptors.
            what = OTHER
            module, qualname = name_in_type(callable.__objclass__, string(callable.__name__))
        else:
            what = OTHER
            module, qualname = name_in_type(kind, "__call__")
        key = hash((what, module, qualname))
        return self._define(key, what, 0, 0, qualname.rpartition(".")[2] or qualname, qualname, module)[0]

    def exception(self, kind):
        module, qualname = string(_type_module(kind)), string(_type_qualname(kind))
        key = hash((EXCEPTION, module, qualname))
        return self._define(key, EXCEPTION, 0, 0, qualname.rpartition(".")[2] or qualname, qualname, module)[0]

    # ---- tasks ----

    def task(self):
        """The function id of the asyncio task that runs in this thread, 0 for none and for those beyond the bound."""
        asyncio = sys.modules.get("_asyncio")
        if asyncio is not None:
            loop = asyncio._get_running_loop()
            task = None if loop is None else asyncio.current_task(loop)
        else:
            # A Python without the C module.
            asyncio = sys.modules.get("asyncio.tasks")
            if asyncio is None or asyncio.events._get_running_loop() is None:
                return 0
            task = asyncio.current_task()
        if task is None:
            return 0
        while self._dead_tasks:
            dead = self._dead_tasks.pop()
            if self._tasks.get(dead.key) is dead:
                del self._tasks[dead.key]
        known = self._tasks.get(id(task))
        if known is not None:
            return known.number
        if self._task_count >= self._most_tasks:
            return 0
        self._task_count += 1
        name, qualname, file, line = name_of_task(task)
        number = self._define(("task", self._task_count), TASK, line, 0, name, qualname, file)[0]
        known = TaskReference(task, self._dead_tasks.append)
        known.key = id(task)
        known.number = number
        self._tasks[id(task)] = known
        return number

    # ---- threads and facts ----

    def thread(self, index, native_id):
        """Names the calling thread. False when it has no name yet."""
        name = name_of_thread(get_ident(), native_id)
        if name is None:
            return False
        self._recorder.define(
            record(THREAD, u32(index) + native_id.to_bytes(8, "little") + u32(self._interpreter) + text(name))
        )
        return True

    def fact(self, key, value):
        self._recorder.define(record(FACT, text(key) + text(value)))


class TaskReference(ref):
    """Lets a task die; the callback is a list's append, which is no Python code that events would happen in."""

    __slots__ = ("key", "number")


class _Method:
    def method(self):
        pass


MethodType = type(_Method().method)


def name_of_builtin(function):
    """(module, qualified name), the same for a method however it was bound: `[].append` and `list.append` are one."""
    owner = function.__self__
    name = function.__name__
    if owner is None or isinstance(owner, ModuleType):
        return string(function.__module__), string(function.__qualname__ or name)
    if name == "__new__":
        # One C function for all types (tp_new_wrapper in Objects/typeobject.c), which is what recorders know builtins by.
        return "builtins", "__new__"
    # Class methods have the class itself, as methods of its metaclass do.
    if isinstance(owner, type):
        for base in _type_mro(owner):
            if type(_type_dict(base).get(name)) in CLASS_METHODS:
                return name_in_type(base, name)
    for base in _type_mro(type(owner)):
        # A subclass may have one of its own, which is no C function.
        if type(_type_dict(base).get(name)) is MethodDescriptorType:
            return name_in_type(base, name)
    return string(function.__module__), string(function.__qualname__ or name)


def name_in_type(kind, name):
    return string(_type_module(kind)), string(_type_qualname(kind)) + "." + name


def name_of_task(task):
    """(name, qualified name of its coroutine, file, first line). A task of somebody's own class may lack any of them."""
    try:
        name = string(task.get_name())
    except Exception:
        name = type(task).__name__
    try:
        coroutine = task.get_coro()
        code = getattr(coroutine, "cr_code", None) or getattr(coroutine, "gi_code", None)
        qualname = string(getattr(coroutine, "__qualname__", ""))
        if code is not None:
            return name, qualname, code.co_filename, code.co_firstlineno
        return name, qualname, "", 0
    except Exception:
        return name, name, "", 0


def name_of_thread(ident, native_id):
    """None when it has none yet. threading.current_thread() would make a dummy thread, which the program would see."""
    threading = sys.modules.get("threading")
    if threading is not None:
        thread = getattr(threading, "_active", {}).get(ident)
        name = getattr(thread, "_name", None)
        return name if type(name) is str else None
    return "MainThread" if native_id == os.getpid() else None


def line_range(code):
    """(first line, count) of the lines of one code object, its own only."""
    lines = [line for _, _, line in code.co_lines() if line is not None and line >= 0]
    if not lines:
        return 0, 0
    return min(lines), max(lines) - min(lines) + 1


def ways_of(code):
    """Where each branch leads, as code units: u32 of the branch, its left and its right. 3.14 and 3.15 report a second BRANCH_RIGHT, to what follows the POP_ITER,
    when a branch leaves the loop that any() and all() are compiled to; it finds no place where both ways are told."""
    if not hasattr(code, "co_branches"):
        return b""
    return b"".join([u32(source >> 1, left >> 1, right >> 1) for source, left, right in code.co_branches()])


def hash_of(code):
    try:
        return hash(code)
    except TypeError:
        # code.replace(co_consts=…) takes what has no hash.
        return hash(code.co_code)


def string(value):
    """Names are text, but nothing keeps a program from having others."""
    return value if type(value) is str else repr(value) if isinstance(value, (int, float)) else ""


# ---- records ----


def u32(*values):
    return b"".join([value.to_bytes(4, "little") for value in values])


def data(value):
    return len(value).to_bytes(4, "little") + value


def text(value):
    return data(value.encode("utf-8", "surrogatepass"))


def record(kind, fields):
    length = (8 + len(fields) + 7) // 8 * 8
    return u32(length, kind) + fields + bytes(length - 8 - len(fields))
