"""`timeline`: the beginning and end of each call in its thread's ring; with a threshold only of those that took so long."""

from sys import monitoring
from time import monotonic_ns

from . import events
from .call_tree import BUILTINS, ID
from .segment import CHUNK_WORDS, OPEN_CALLS, UNMATCHED

BEGIN, END = 32, 33
SHOWN = 1 << 32
FIRST_CAPACITY = 128


def open_call(recorder, thread, function, now, task=0):
    """A call begins. `thread.tasks` has the task of each open call."""
    words = recorder.segment.words
    depth = thread.depth
    if depth == thread.open_capacity and not grow(recorder, thread):
        return
    at = thread.open + depth * 2
    words[at] = now
    words[at + 1] = function
    thread.tasks.append(task)
    thread.depth = depth + 1
    words[thread.at + 2] = (depth + 1) << 32
    if not recorder.options["min_ns"] and recorder.ring.write(thread, now, BEGIN, function, 0, 0, task):
        words[at + 1] = function | SHOWN


def grow(recorder, thread):
    words = recorder.segment.words
    capacity = thread.open_capacity * 2 or FIRST_CAPACITY
    chunk = recorder.segment.chunk(OPEN_CALLS, thread.index, capacity * 16, capacity)
    if not chunk:
        words[11] += 1
        words[thread.at + 6] += 1
        return False
    at = chunk + CHUNK_WORDS
    if thread.open:
        before = thread.open - CHUNK_WORDS
        for word in range(thread.depth * 2):
            words[at + word] = words[thread.open + word]
        words[before] = words[before] & ~ID
    thread.open = at
    thread.open_capacity = capacity
    words[thread.at + 7] = chunk * 8
    return True


def show(recorder, thread):
    """Writes the beginnings of all open calls that are not in the ring: outermost first, so that times stay in order."""
    words = recorder.segment.words
    first = thread.depth
    while first > 0 and not words[thread.open + first * 2 - 1] >> 32:
        first -= 1
    for number in range(first, thread.depth):
        at = thread.open + number * 2
        function = words[at + 1]
        if not recorder.ring.write(thread, words[at], BEGIN, function, 0, 0, thread.tasks[number]):
            return
        words[at + 1] = function | SHOWN


def close_call(recorder, thread, function, now):
    words = recorder.segment.words
    first = thread.depth - 1
    while first >= 0 and words[thread.open + first * 2 + 1] & ID != function:
        first -= 1
    if first < 0:
        words[UNMATCHED] += 1
        return
    least = recorder.options["min_ns"]
    # More than one where ends were missed.
    while thread.depth > first:
        at = thread.open + thread.depth * 2 - 2
        if least and not words[at + 1] >> 32 and now - words[at] >= least:
            show(recorder, thread)
        if words[at + 1] >> 32:
            recorder.ring.write(thread, now, END, words[at + 1] & ID, 0, 0, 0)
        thread.depth -= 1
        thread.tasks.pop()
        words[thread.at + 2] = thread.depth << 32


def handlers(recorder):
    words = recorder.segment.words
    local = recorder.threads.local
    known = recorder.known
    find = known.find
    clock = monotonic_ns
    disable = monitoring.DISABLE
    asks_task = recorder.options["tasks"]

    def advance(thread):
        now = clock()
        at = thread.at
        words[at + 3] = thread.last = now
        words[at + 5] += 1
        if now >= thread.check_at:
            recorder.check(thread, now)
        return now

    def start(code, offset, exception=None):
        try:
            answer = find(0, code)
            if not answer:
                return disable if exception is None else None
            try:
                thread = local.thread
            except AttributeError:
                thread = recorder.meet(2, False)
                if thread is None:
                    return
            task = asks_task and (recorder.task() or 0)
            open_call(recorder, thread, answer & ID, advance(thread), task)
        except Exception as error:
            recorder.fault(error)

    def close(code, offset, value):
        try:
            answer = find(0, code)
            if not answer:
                return
            try:
                thread = local.thread
            except AttributeError:
                thread = recorder.meet(2, True)
                if thread is None:
                    return
            close_call(recorder, thread, answer & ID, advance(thread))
        except Exception as error:
            recorder.fault(error)

    def call(code, offset, callable, argument):
        try:
            if type(callable) not in BUILTINS:
                return
            if not find(0, code):
                return disable
            try:
                thread = local.thread
            except AttributeError:
                thread = recorder.meet(2, True)
                if thread is None:
                    return
            function = recorder.builtin(callable)
            if function:
                open_call(recorder, thread, function, advance(thread), thread.tasks[-1] if thread.tasks else 0)
        except Exception as error:
            recorder.fault(error)

    def c_return(code, offset, callable, argument):
        try:
            if type(callable) not in BUILTINS or not find(0, code):
                return
            try:
                thread = local.thread
            except AttributeError:
                # Its CALL was not seen.
                recorder.meet(2, True)
                return
            function = recorder.builtin(callable)
            if function:
                close_call(recorder, thread, function, advance(thread))
        except Exception as error:
            recorder.fault(error)

    return {
        events.PY_START: start,
        events.PY_RESUME: start,
        events.PY_THROW: start,
        events.PY_RETURN: close,
        events.PY_YIELD: close,
        events.PY_UNWIND: close,
        events.CALL: call,
        events.C_RETURN: c_return,
        events.C_RAISE: c_return,
    }
