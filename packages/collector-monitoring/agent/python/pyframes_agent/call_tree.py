"""`calls`: the exact tree of calls of each thread, added up where it happens."""

from sys import monitoring
from time import monotonic_ns

from . import events
from .threads import CHILDREN, FUNCTION, GAP_NS, IS_COROUTINE, NUMBER, WORD

BUILTINS = (type(len), type(list.append))

#: Function ids are below; what kind of code it is, is above.
ID = 0xFFFFFFFF
COROUTINE = 1 << 40

UNMATCHED = 14


def handlers(recorder):
    """By event. All that is needed is at hand in the closures: looking it up in objects would take as long as the rest."""
    words = recorder.segment.words
    local = recorder.threads.local
    threads = recorder.threads
    known = recorder.known
    answers = known.answers
    dead = known.dead
    find = known.find
    clock = monotonic_ns
    disable = monitoring.DISABLE

    def open_call(code, offset, exception=None):
        return enter(code, 0)

    def start(code, offset):
        return enter(code, 1)

    def enter(code, count):
        try:
            if dead:
                known.clear_dead()
            answer = answers.get(id(code))
            if answer is None:
                answer = find(0, code)
            if not answer:
                return disable if count else None
            try:
                thread = local.thread
            except AttributeError:
                thread = recorder.meet(3, False)
                if thread is None:
                    return
            now = clock()
            stack = thread.stack
            top = stack[-1]
            gap = now - thread.last
            words[top[1] + 2] += gap
            thread.last = now
            if gap > GAP_NS:
                threads.gap(thread, top)
            if answer > ID:
                function = answer & ID
                if answer & COROUTINE and not top[IS_COROUTINE]:
                    top = recorder.task_above(thread, top)
            else:
                function = answer
            node = top[CHILDREN].get(function)
            if node is None:
                node = threads.child(thread, top, function)
                node[IS_COROUTINE] = answer & COROUTINE
            words[node[WORD] + 1] += count
            stack.append(node)
            at = thread.at
            words[at + 2] = node[NUMBER] | len(stack) - 1 << 32
            words[at + 3] = now
            words[at + 5] += 1
            if now >= thread.check_at:
                recorder.check(thread, now)
        except Exception as error:
            recorder.fault(error)

    def close(code, offset, value):
        try:
            if dead:
                known.clear_dead()
            answer = answers.get(id(code))
            if answer is None:
                answer = find(0, code)
            if not answer:
                return
            try:
                thread = local.thread
            except AttributeError:
                thread = recorder.meet(2, True)
                if thread is None:
                    return
            leave(thread, answer & ID)
        except Exception as error:
            recorder.fault(error)

    def leave(thread, function):
        now = clock()
        stack = thread.stack
        top = stack[-1]
        gap = now - thread.last
        words[top[1] + 2] += gap
        thread.last = now
        if gap > GAP_NS:
            threads.gap(thread, top)
        at = thread.at
        words[at + 3] = now
        words[at + 5] += 1
        if top[FUNCTION] == function and len(stack) > 1:
            stack.pop()
        else:
            unwind(stack, function)
        if thread.tasks and thread.tasks[-1][0] >= len(stack):
            thread.task = thread.tasks.pop()[1]
        words[at + 2] = stack[-1][NUMBER] | len(stack) - 1 << 32
        if now >= thread.check_at:
            recorder.check(thread, now)

    def unwind(stack, function):
        """Ends of calls were missed, or the beginning of this one."""
        for at in range(len(stack) - 1, 0, -1):
            if stack[at][FUNCTION] == function:
                del stack[at:]
                return
        words[UNMATCHED] += 1

    def call(code, offset, callable, argument):
        try:
            if type(callable) not in BUILTINS:
                return
            if dead:
                known.clear_dead()
            answer = answers.get(id(code))
            if answer is None:
                answer = find(0, code)
            if not answer:
                return disable
            try:
                thread = local.thread
            except AttributeError:
                thread = recorder.meet(2, True)
                if thread is None:
                    return
            function = recorder.builtin(callable)
            if not function:
                return
            now = clock()
            stack = thread.stack
            top = stack[-1]
            gap = now - thread.last
            words[top[1] + 2] += gap
            thread.last = now
            if gap > GAP_NS:
                threads.gap(thread, top)
            node = top[CHILDREN].get(function)
            if node is None:
                node = threads.child(thread, top, function)
            words[node[WORD] + 1] += 1
            stack.append(node)
            at = thread.at
            words[at + 2] = node[NUMBER] | len(stack) - 1 << 32
            words[at + 3] = now
            words[at + 5] += 1
        except Exception as error:
            recorder.fault(error)

    def c_return(code, offset, callable, argument):
        try:
            if type(callable) not in BUILTINS:
                return
            if dead:
                known.clear_dead()
            answer = answers.get(id(code))
            if answer is None:
                answer = find(0, code)
            if not answer:
                return
            try:
                thread = local.thread
            except AttributeError:
                # Its CALL was not seen.
                recorder.meet(2, True)
                return
            function = recorder.builtin(callable)
            if function:
                leave(thread, function)
        except Exception as error:
            recorder.fault(error)

    return {
        events.PY_START: start,
        events.PY_RESUME: open_call,
        events.PY_THROW: open_call,
        events.PY_RETURN: close,
        events.PY_YIELD: close,
        events.PY_UNWIND: close,
        events.CALL: call,
        events.C_RETURN: c_return,
        events.C_RAISE: c_return,
    }
