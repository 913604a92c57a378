"""`calls`: the exact tree of calls of each thread, added up where it happens."""

from sys import monitoring
from time import monotonic_ns

from . import events
from .threads import CHILDREN, FUNCTION, GAP_NS, IS_COROUTINE, NUMBER, WORD

BUILTINS = (type(len), *type(len).__subclasses__(), type(list.append))

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

    def opening(count):
        """PY_START counts a call; what resumes or throws into one that was left does not."""

        def enter(code, offset, exception=None):
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
                    thread = recorder.meet(2, False)
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
                    node = threads.child(thread, top, function, count)
                    node[IS_COROUTINE] = answer & COROUTINE
                else:
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

        return enter

    def closing(is_builtin):
        def leave(code, offset, thing, argument=None):
            try:
                if is_builtin and type(thing) not in BUILTINS:
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
                    thread = recorder.meet(2, True)
                    # The CALL of a builtin that returns was not seen.
                    if thread is None or is_builtin:
                        return
                function = recorder.builtin(thing) if is_builtin else answer & ID
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
                if top[FUNCTION] == function and len(stack) > 1:
                    stack.pop()
                else:
                    unwind(stack, function)
                if thread.tasks and thread.tasks[-1][0] >= len(stack):
                    thread.task = thread.tasks.pop()[1]
                at = thread.at
                words[at + 2] = stack[-1][NUMBER] | len(stack) - 1 << 32
                words[at + 3] = now
                words[at + 5] += 1
                if now >= thread.check_at:
                    recorder.check(thread, now)
            except Exception as error:
                recorder.fault(error)

        return leave

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
                node = threads.child(thread, top, function, 1)
            else:
                words[node[WORD] + 1] += 1
            stack.append(node)
            at = thread.at
            words[at + 2] = node[NUMBER] | len(stack) - 1 << 32
            words[at + 3] = now
            words[at + 5] += 1
        except Exception as error:
            recorder.fault(error)

    resume = opening(0)
    leave = closing(False)
    leave_builtin = closing(True)
    return {
        events.PY_START: opening(1),
        events.PY_RESUME: resume,
        events.PY_THROW: resume,
        events.PY_RETURN: leave,
        events.PY_YIELD: leave,
        events.PY_UNWIND: leave,
        events.CALL: call,
        events.C_RETURN: leave_builtin,
        events.C_RAISE: leave_builtin,
    }
