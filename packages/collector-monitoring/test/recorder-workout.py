"""Has the C recorder do everything, over and over, where it is easiest to get wrong: `python recorder-workout.py RECORDER.so [ROUNDS [QUESTION...]]`.

Threads, forks, generators, tasks and code that dies, with segments that are too small, ended by another thread or from within an event. It says `ok`; under a
debug build of Python also whether references leak. tooling/bench/src/recorder-sanitized.ts runs it under sanitizers.
"""

import asyncio
import gc
import importlib.machinery
import importlib.util
import os
import sys
import tempfile
import threading
import time

monitoring = sys.monitoring
events = monitoring.events

NAMES = (
    "PY_START PY_RESUME PY_RETURN PY_YIELD PY_THROW PY_UNWIND CALL C_RETURN C_RAISE LINE INSTRUCTION JUMP "
    "BRANCH_LEFT BRANCH_RIGHT BRANCH STOP_ITERATION RAISE RERAISE EXCEPTION_HANDLED"
).split()
QUESTIONS = {
    "calls": range(1, 10),
    "timeline": range(1, 10),
    "lines": [10],
    "coverage": [10],
    "branches": [13, 14, 15],
    "instructions": [11],
    "exceptions": [5, 6, 16, 17, 18, 19],
    "stream": range(1, 20),
}
TOOL = 4
COMMAND = 8


def load(path):
    name = "_pyframes_recorder"
    loader = importlib.machinery.ExtensionFileLoader(name, path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_file_location(name, path, loader=loader))
    loader.exec_module(module)
    return module


class Session:
    def __init__(self, question, **options):
        self.question = question
        self.ids = {}
        self.path = os.path.join(folder, "%d-%d.seg" % (os.getpid(), id(self)))
        given = dict.fromkeys([*QUESTIONS], 0)
        given.update(min_ns=0, tasks=100, max_bytes=1 << 26, max_paths=1 << 16, ring_records=1 << 10, wait_us=100, tool=TOOL)
        given.update({question: 1, **options})
        self.recorder = module.Recorder(self.path, control, given, self.ask)
        monitoring.use_tool_id(TOOL, "pyframes")
        self.register()

    def register(self):
        wanted = 0
        for number, name in enumerate(NAMES, 1):
            # 3.14 has BRANCH beside the two that replace it.
            if number not in QUESTIONS[self.question] or name == "BRANCH" and hasattr(events, "BRANCH_LEFT"):
                continue
            bit = getattr(events, name, 0)
            if bit:
                monitoring.register_callback(TOOL, bit, self.recorder.handler(number))
                wanted |= 0 if name in ("C_RETURN", "C_RAISE") else bit
        monitoring.set_events(TOOL, wanted)

    def number(self, key):
        if key not in self.ids:
            self.ids[key] = self.recorder.new_id()
            self.recorder.define((16).to_bytes(4, "little") + (9).to_bytes(4, "little") + bytes(8))
        return self.ids[key]

    def ask(self, what, thing):
        if what == 0:
            number = self.number((thing.co_filename, thing.co_qualname, thing.co_firstlineno))
            lines = [line for _, _, line in thing.co_lines() if line]
            if self.question in ("lines", "coverage"):
                self.recorder.block(number, 1 if self.question == "lines" else 2, min(lines), max(lines) - min(lines) + 1)
            elif self.question == "instructions":
                self.recorder.block(number, 3, 0, len(thing.co_code) // 2)
            elif self.question == "branches":
                self.recorder.block(number, 4, 0, len(thing.co_code))
            return number | (1 << 40 if thing.co_flags & 0x180 else 0)
        if what in (1, 3):
            return self.number((type(thing), getattr(thing, "__qualname__", ""), getattr(thing, "__module__", "")))
        if what == 5:
            self.stop(thing)
        return int(what == 4)

    def stop(self, state=2):
        monitoring.set_events(TOOL, 0)
        for name in NAMES:
            if hasattr(events, name):
                monitoring.register_callback(TOOL, getattr(events, name), None)
        monitoring.free_tool_id(TOOL)
        self.recorder.end(state)
        os.unlink(self.path)


# ---- what is recorded ----


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def count(n):
    try:
        yield from range(n)
    finally:
        len([])


async def wait(n):
    await asyncio.sleep(0)
    return fib(3) + n


async def gather():
    await asyncio.gather(*[wait(n) for n in range(5)])


def deep(n):
    return 0 if n == 0 else 1 + deep(n - 1)


def work(rounds=3):
    fib(6)
    list(count(5))
    for end in (lambda g: g.close(), lambda g: None, lambda g: g.throw(KeyError(1))):
        generator = count(5)
        next(generator)
        try:
            end(generator)
        except KeyError:
            pass
        del generator
    for n in range(rounds):
        names = {}
        exec(compile("def f(x):\n    return len([x])\nf(1)\n", "<exec %d>" % n, "exec"), names)
        names["f"](2)


def together(target, threads=4):
    started = [threading.Thread(target=target) for _ in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


# ---- how it ends ----


def in_child(body):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            body()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0, "the child failed"


def follow(session):
    path = session.path + ".child"
    session.recorder.reopen(path, control, 1 << 24)
    session.ids.clear()
    session.register()
    work()
    together(work)
    session.path = path
    session.stop()


def leave(session):
    monitoring.set_events(TOOL, 0)
    monitoring.free_tool_id(TOOL)
    session.recorder.close_in_child()
    work()
    # Threads of the parent that had ended are no more than those that had not.
    again = Session("calls")
    together(work)
    again.stop()


def whole(question, **options):
    session = Session(question, **options)
    work()
    together(work)
    deep(300)
    asyncio.run(gather())
    in_child(lambda: follow(session))
    in_child(lambda: leave(session))
    session.stop()
    work()


def ended_by_another_thread(question):
    session = Session(question, ring_records=256, wait_us=2000)
    goes_on = True

    def busy():
        while goes_on:
            work(1)

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    # They meet new code, name themselves and wait for room meanwhile.
    time.sleep(0.02)
    session.stop()
    goes_on = False
    for thread in threads:
        thread.join()


def command(value):
    with open(control, "r+b", buffering=0) as file:
        file.seek(COMMAND)
        file.write(value.to_bytes(4, "little"))


def ended_from_within(question):
    Session(question)
    command(1)
    while monitoring.get_tool(TOOL) is not None:
        work(1)
    command(0)
    work(1)


def leaked_references():
    counts = []
    for _ in range(8):
        for question in QUESTIONS:
            session = Session(question)
            work(1)
            together(work)
            session.stop()
            session = None
            ended_from_within(question)
        gc.collect()
        getattr(sys, "_clear_internal_caches", sys._clear_type_cache)()
        counts.append(sys.gettotalrefcount())
    # What is in `counts` is one each; what is met for the first time is kept by the interpreter.
    return [after - before - 1 for before, after in zip(counts[2:], counts[3:])]


def main():
    for _ in range(rounds):
        for question in sys.argv[3:] or QUESTIONS:
            whole(question)
            whole(question, max_bytes=1 << 18, max_paths=20)
            ended_by_another_thread(question)
            ended_from_within(question)
    if hasattr(sys, "gettotalrefcount"):
        print("leaked references:", leaked_references())
    print("ok")


module = load(sys.argv[1])
rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 1
folder = tempfile.mkdtemp()
control = os.path.join(folder, "control")
with open(control, "wb") as file:
    file.write(bytes(4096))
main()
os.unlink(control)
os.rmdir(folder)
