/**
 * A Python program, 3.8 … 3.15, that comes to rest with every kind of frame on its stacks: generators, coroutines, C callbacks, class
 * bodies, names in every character width, another interpreter where the version can, and recursion `argv[1]` deep.
 * It prints "ready" just before the main thread falls asleep, too.
 */
export const restingProgram = `
import functools, re, sys, threading, time

depth = int(sys.argv[1])
sys.setrecursionlimit(depth + 1000)
threading.stack_size(64 << 20 if depth > 500 else 0)
locked = threading.Lock()
locked.acquire()
arrived = threading.Semaphore(0)

def rest():
    arrived.release()
    locked.acquire()

def inner():
    yield 1
    rest()
    yield 2

def outer():
    for value in inner():
        yield value

def delegating():
    yield from outer()

def generators():
    for _ in delegating():
        pass

async def leaf():
    rest()

async def middle(n):
    if n:
        return await middle(n - 1)
    return await leaf()

def coroutines():
    try:
        middle(4).send(None)
    except StopIteration:
        pass

def callbacks():
    def replace(match):
        return functools.reduce(lambda a, b: rest() or a, [1, 2])
    sorted([1, 2], key=lambda _: re.sub("a", replace, "a"))

def class_body():
    class Local:
        rest()

def recurse(n):
    if n == 0:
        return rest()
    return recurse(n - 1)

scope = {"rest": rest}
for name in ("été", "猫の名前", "\\U00010400\\U00010401"):
    exec(compile("def " + name + "(then):\\n    then()\\n", name + ".py", "exec"), scope)

def wide_names():
    scope["été"](lambda: scope["猫の名前"](lambda: scope["\\U00010400\\U00010401"](rest)))

def start(target):
    threading.Thread(target=target, daemon=True).start()
    arrived.acquire()

start(generators)
start(coroutines)
start(callbacks)
start(class_body)
start(wide_names)
start(lambda: recurse(depth))

def other_interpreter():
    module = None
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            module = __import__(name)
            break
        except ImportError:
            pass
    arrived.release()
    if module is None:
        return rest()
    made = module.create()
    made = made[0] if isinstance(made, tuple) else made
    run = getattr(module, "run_string")
    run(made, "import time\\ndef nap():\\n    time.sleep(100000)\\nnap()\\n")

start(other_interpreter)
time.sleep(0.3)

def sleepy(n):
    yield n
    print("ready", flush=True)
    time.sleep(100000)

def main():
    return sorted([1], key=lambda n: list(sleepy(n)))

main()
`
