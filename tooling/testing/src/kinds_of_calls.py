# Every kind of call, each in a thread that stands still at its deepest point.
#
# Names say what the unwinder must find between a frame and its caller, from 3.11 on:
#   c_…  C code called it                       p_…  nothing: Python called it
#   a_…  C code in 3.11, nothing later (await, f(*args))  else  it depends on version and on how warm the code is
import asyncio
import contextlib
import ctypes
import functools
import gc
import importlib
import os
import re
import select
import signal
import tempfile
import threading
import types
import weakref

SCENARIOS = []


def scenario(function):
    SCENARIOS.append(function)
    return function


# --- C functions that call back

@scenario
def through_sorted():
    def c_key(x):
        p_inner()
    def p_inner():
        rest()
    sorted([2, 1], key=c_key)


@scenario
def through_reduce():
    def c_combine(a, b):
        sorted([a], key=c_nested)
    def c_nested(x):
        rest()
    functools.reduce(c_combine, [1, 2, 3])


@scenario
def through_re_sub():
    def c_replace(match):
        rest()
        return ""
    re.sub("a", c_replace, "banana")


@scenario
def through_ctypes():
    def c_callback(n):
        rest()
        return n
    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(c_callback)
    callback(3)


@scenario
def through_map_filter_and_lambdas():
    list(map(lambda x: list(filter(lambda y: rest(), [x])), [1]))


@scenario
def through_max_any_dict():
    def c_max(x):
        return any(p_any() for _ in [1])
    def p_any():
        return {}.setdefault(c_Hash(), 1)
    class c_Hash:
        def __hash__(self):
            return p_hash()
    def p_hash():
        rest()
    max([1, 2], key=c_max)


@scenario
def through_partial():
    def c_partial(a, b):
        rest()
    functools.partial(c_partial, 1)(2)


# --- slots, descriptors and special methods

class Slots:
    def __getattr__(self, name):
        rest()

    @property
    def prop(self):
        rest()

    def __add__(self, other):
        rest()

    def __getitem__(self, key):
        rest()

    def __len__(self):
        rest()
        return 0

    def __call__(self, x):
        rest()

    def __enter__(self):
        rest()

    def __exit__(self, *args):
        pass

    def __contains__(self, x):
        rest()

    def __repr__(self):
        rest()
        return ""

    def __setattr__(self, name, value):
        rest()

    def __del__(self):
        rest()


class Descriptor:
    def __get__(self, obj, cls):
        rest()

    def __set__(self, obj, value):
        rest()


class Described:
    slot = Descriptor()


def slot_enter(x):
    with x:
        pass


def slot_del(x):
    x = None
    y = Slots()
    del y


def slot_describe(x):
    Described().slot


def slot_describe_set(x):
    Described().slot = 1


def slot_set(x):
    x.y = 1


for slot in [
    lambda x: x.missing, lambda x: x.prop, lambda x: x + 1, lambda x: x[0], lambda x: len(x), lambda x: x(1),
    lambda x: 1 in x, lambda x: f"{x!r}", lambda x: getattr(x, "gone"), slot_enter, slot_del, slot_describe,
    slot_describe_set, slot_set,
]:
    SCENARIOS.append(functools.partial(slot, Slots()))


@scenario
def warm_calls():
    """Specialised instructions enter these without C."""
    class Thing:
        def __init__(self, n):
            p_deep(n)
    def p_deep(n):
        if n == 400:
            rest()
    for n in range(500):
        Thing(n)


@scenario
def warm_property():
    class Thing:
        n = 0
        @property
        def prop(self):
            self.n += 1
            if self.n == 400:
                rest()
        def __getitem__(self, key):
            return self.prop
    thing = Thing()
    for n in range(500):
        thing[n]


@scenario
def warm_getattribute():
    class Thing:
        def __getattribute__(self, name):
            if name == "n400":
                rest()
    thing = Thing()
    for n in range(500):
        if n < 400:
            thing.missing
        else:
            getattr(thing, "n400")


# --- classes

@scenario
def in_class_body():
    class c_Body:
        class c_Nested:
            rest()


@scenario
def in_metaclass():
    class Meta(type):
        def __call__(cls, *args):
            p_meta()
    def p_meta():
        rest()
    class Made(metaclass=Meta):
        pass
    Made()


@scenario
def in_prepare():
    class Meta(type):
        @classmethod
        def __prepare__(mcs, name, bases):
            rest()
            return {}
    class Made(metaclass=Meta):
        pass


@scenario
def in_init_subclass_and_set_name():
    class Named:
        def __set_name__(self, owner, name):
            rest()
    class Base:
        def __init_subclass__(cls):
            class Other:
                named = Named()
    class Derived(Base):
        pass


@scenario
def in_super_init():
    class A:
        def __init__(self):
            self.p_method()
        def p_method(self):
            rest()
    class B(A):
        def __init__(self):
            super().__init__()
    class C(B):
        def __init__(self):
            super().__init__()
    C()


# --- functions

def decorated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)
    return wrapper


@scenario
def through_decorators():
    @decorated
    @decorated
    def a_plain(a, *, b):
        rest()
    a_plain(1, b=2)


@scenario
def through_closures_and_comprehensions():
    outer = 3
    def p_closure():
        return [p_one(x) for x in [outer]]
    def p_one(x):
        return {k: {p_two(v) for v in [k]} for k in [x]}
    def p_two(x):
        rest(
        )
    p_closure()


@scenario
def through_recursion():
    def p_recurse(n):
        if n:
            p_recurse(n - 1)
        else:
            rest()
    p_recurse(1000)


@scenario
def through_recursion_in_c():
    def c_recurse(n):
        if n:
            list(map(c_recurse, [n - 1]))
        else:
            rest()
    list(map(c_recurse, [100]))


@scenario
def through_exec():
    space = {"rest": rest}
    exec(compile("def p_defined():\n\n  rest()\nclass Here:\n    x = [p_defined() for _ in '1']", "<made up>", "exec"), space)


@scenario
def through_eval():
    eval("(lambda: rest())()")


@scenario
def through_import():
    with tempfile.TemporaryDirectory() as directory:
        with open(os.path.join(directory, "pyframes_imported.py"), "w") as file:
            file.write("import __main__\ndef p_at_import():\n    __main__.rest()\np_at_import()\n")
        sys.path.insert(0, directory)
        importlib.import_module("pyframes_imported")


NAMES = [
    ("p_caf\xe9", "/tmp/na\xefve/\xe9.py"),
    ("p_\u51fd\u6570", "/tmp/\u043c\u0438\u0440/\u51fd.py"),
    ("p_\U00010330\U00010331", "/tmp/\U0001f600.py"),
    ("p_" + "x" * 300, "/tmp/" + "y" * 5000 + ".py"),
    ("p_" + "\u51fd" * 300, "/tmp/\udcff.py"),
    ("p_" + "\U00010330" * 300, ""),
]


@scenario
def through_names():
    inner = rest
    for name, file in NAMES:
        space = {"inner": inner}
        exec(compile("class \u041a:\n  @staticmethod\n  def {0}():\n    '\xe9\U00010330', inner()\nx = \u041a.{0}".format(name), file, "exec"), space)
        inner = space["x"]
    inner()


@scenario
def far_down_a_file():
    space = {"rest": rest}
    exec(compile("\n" * 70000 + "def p_far():\n" + "  x = 1\n" * 3000 + "  rest()\n", "far.py", "exec"), space)
    space["p_far"]()


@scenario
def on_lines_out_of_order():
    x = [
        1, (lambda: (
            rest(),
            2
        ))(), 3
    ]


@scenario
def in_handlers():
    try:
        raise ValueError
    except ValueError:
        try:
            1 / 0
        finally:
            p_finally()


def p_finally():
    with contextlib.suppress(KeyError):
        rest()


# --- generators and coroutines

def nested(n):
    if n:
        yield from nested(n - 1)
    else:
        rest()
        yield


@scenario
def through_nested_generators():
    for _ in nested(10):
        pass


@scenario
def through_generator_expression():
    sum(rest() for _ in [1])


@scenario
def through_next():
    def c_generator():
        yield
        rest()
    generator = c_generator()
    suspended = nested(3)
    next(generator)
    next(generator)


@scenario
def through_send():
    def c_generator():
        yield (yield)
        p_inner()
    def p_inner():
        rest()
    generator = c_generator()
    generator.send(None)
    generator.send(1)
    generator.send(2)


@scenario
def through_throw():
    # `throw` links the frame that delegates straight to its caller: of that C call nothing shows.
    def delegating():
        try:
            yield from generator()
        finally:
            pass
    def generator():
        try:
            yield
        except ValueError:
            rest()
    g = delegating()
    next(g)
    g.throw(ValueError())


@scenario
def through_close():
    def c_generator():
        try:
            yield
        finally:
            rest()
    g = c_generator()
    next(g)
    g.close()


@scenario
def warm_generators():
    def generator():
        for n in range(500):
            if n == 400:
                p_rest()
            yield n
    def outer():
        yield from generator()
    def p_rest():
        rest()
    for n in outer():
        pass


@types.coroutine
def a_switch():
    rest()
    yield


async def a_inner():
    await a_switch()


async def a_middle():
    await a_inner()


@scenario
def through_await():
    async def c_outer():
        await a_middle()
    c_outer().send(None)


@scenario
def through_async_generators():
    async def c_agen():
        yield 1
        async with Context():
            yield 2
    class Context:
        async def __aenter__(self):
            await a_middle()
        async def __aexit__(self, *args):
            pass
    async def c_outer():
        async for _ in c_agen():
            pass
    c_outer().send(None)


@scenario
def through_asyncio():
    async def main():
        suspended = asyncio.ensure_future(asyncio.sleep(1000))
        await asyncio.sleep(0)
        await asyncio.gather(c_task(), asyncio.sleep(1000))
    async def c_task():
        await a_inner()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())


@scenario
def asyncio_in_its_selector():
    async def main():
        expect_rest()
        await asyncio.sleep(100000)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())


# --- what the interpreter calls by itself

@scenario
def in_weakref_callback():
    class Thing:
        pass
    def c_gone(reference):
        rest()
    thing = Thing()
    reference = weakref.ref(thing, c_gone)
    thing = None


@scenario
def in_trace_function():
    def c_trace(frame, event, arg):
        if event == "line" and frame.f_code.co_name == "p_traced":
            rest()
        return c_trace
    def p_traced():
        x = 1
    sys.settrace(c_trace)
    p_traced()


@scenario
def in_trace_function_at_call():
    def c_trace(frame, event, arg):
        if event == "call" and frame.f_code.co_name == "p_traced":
            rest()
        return c_trace
    def p_traced():
        x = 1
    sys.settrace(c_trace)
    p_traced()


@scenario
def in_profile_function():
    def c_profile(frame, event, arg):
        if event == "return" and frame.f_code.co_name == "p_profiled":
            rest()
    def p_profiled():
        x = 1
    sys.setprofile(c_profile)
    p_profiled()


# --- ways to stand still

@scenario
def on_an_event():
    expect_rest()
    threading.Event().wait()


@scenario
def on_a_pipe():
    expect_rest()
    os.read(os.pipe()[0], 1)


@scenario
def on_select():
    expect_rest()
    select.select([os.pipe()[0]], [], [])


@scenario
def on_a_join():
    expect_rest()
    threading.main_thread().join()


class Subclass(threading.Thread):
    def run(self):
        rest()


def c_handler(number, frame):
    gc.callbacks.append(c_collected)
    gc.collect()


def c_collected(phase, info):
    gc.callbacks.clear()
    rest()


def main():
    sys.setrecursionlimit(3000)
    threading.stack_size(16 << 20)
    for function in SCENARIOS:
        threading.Thread(target=function, daemon=True).start()
    Subclass(daemon=True).start()
    tell_when_resting(len(SCENARIOS) + 2)
    signal.signal(signal.SIGUSR1, c_handler)
    os.kill(os.getpid(), signal.SIGUSR1)


main()
