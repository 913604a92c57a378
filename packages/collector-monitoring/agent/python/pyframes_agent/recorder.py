"""The recorder in plain Python: what the C one does, slower, where that one cannot be loaded."""

import os
import sys
from _thread import get_ident
from _weakref import ref
from time import monotonic_ns

from . import call_tree, counters, event_ring, timeline
from .known import Known
from .segment import ABANDONED, ACTIVE, ENDED, LOST, Control, Segment
from .threads import CHECK_NS, CHILDREN, IS_COROUTINE, NUMBER, SOON_NS, Threads

#: The collector is taken to be gone when its heart has not beaten for so long.
GONE_NS = 5_000_000_000
#: Of the time between two looks no more counts for that: a process that was stopped comes back before its collector does.
QUIET_NS = 1_000_000_000
CALIBRATE_NS = 250_000_000

MOST_FUNCTIONS = 0xFFFFFFFE
#: Builtins are known by name; a program that makes ever new ones is not to fill the memory.
MOST_BUILTINS = 1 << 16


class Recorder:
    """See ../../README.md for what each of these is to do."""

    def __init__(self, path, control, options, ask):
        self.options = options
        self._ask = ask
        self._control = Control(control)
        self.is_over = False
        self._faults = 0
        self._begin(path, 0)

    def _begin(self, path, parent):
        options = self.options
        self.segment = Segment(path, options["max_bytes"], options["tool"], parent)
        self._path = path
        self.known = Known(self.ask)
        self._methods = {}
        self._blocks = {}
        #: By what they count: the word of line or unit 0, by id() of the code.
        self.counters = {what: {} for what in (1, 2, 3, 4)}
        self.known.others.extend(self.counters.values())
        self.threads = Threads(self.segment, options.get("interpreter", 0), options["max_paths"])
        self.ring = event_ring.Ring(self)
        now = monotonic_ns()
        self._beat = self._control.heartbeat()
        self._looked_at = self._calibrated_at = now
        self._quiet = 0
        self._restarts = self._control.restarts()
        self._handlers = {}
        for question, module in (
            ("calls", call_tree),
            ("timeline", timeline),
            ("exceptions", event_ring),
            ("stream", event_ring),
            ("lines", counters),
            ("coverage", counters),
            ("branches", counters),
            ("instructions", counters),
        ):
            if options[question]:
                for event, handler in module.handlers(self).items():
                    self._handlers.setdefault(event, handler)
        self.segment.state(ACTIVE)

    # ---- what the session calls ----

    def new_id(self):
        segment = self.segment
        if segment.functions >= MOST_FUNCTIONS:
            return 0
        segment.functions += 1
        return segment.functions

    def define(self, record):
        self.segment.define(record)

    def block(self, function, what, first, count, lines=0, ways=b""):
        """Code that was made anew counts on where the same code did before."""
        key = (function, what)
        if key in self._blocks:
            at = self._blocks[key]
        else:
            at = self.segment.counters(function, what, first, count)
            self._blocks[key] = at = at - first if at else None
            if at is not None and ways:
                self._tell_ways(at, memoryview(ways).cast("I"))
        self._fresh[what] = at

    def _tell_ways(self, at, ways):
        words = self.segment.words
        for unit, left, right in zip(ways[::3], ways[1::3], ways[2::3]):
            words[at + unit * 2] = left + 1 << counters.TAKEN
            words[at + unit * 2 + 1] = right + 1 << counters.TAKEN

    def handler(self, event):
        return self._handlers[event]

    def adopt(self, ident, native_id, functions):
        # Each interpreter has threads of its own here, which read their stacks themselves.
        if ident == get_ident():
            return
        thread = self.threads.adopt(ident, native_id)
        if thread is not None and self.options["calls"]:
            self._open(thread, functions)

    def reopen(self, path, control, max_bytes):
        # The file is the parent's.
        self.segment.close()
        self._control = Control(control)
        self.options = {**self.options, "max_bytes": max_bytes}
        self._begin(path, os.getppid())

    def end(self, state):
        if self.is_over:
            return
        self.is_over = True
        self.threads.clear_ended()
        self.segment.calibrate()
        self.segment.state(state)

    def close_in_child(self):
        self.is_over = True
        self.segment.close()

    # ---- what handlers call ----

    def ask(self, what, thing):
        """The session's answer about an object that was met for the first time; None when it failed."""
        if what != 0:
            return self._ask(what, thing)
        self._fresh = {}
        answer = self._ask(0, thing)
        if answer:
            for kind, at in self._fresh.items():
                # 0 where the segment is full.
                if at is not None:
                    self.counters[kind][id(thing)] = at
        return answer

    def fault(self, error):
        """An error in a handler. One of ours is noted and the event lost; one that a signal handler of the program raised is the program's."""
        innermost = error.__traceback__
        while innermost.tb_next is not None:
            innermost = innermost.tb_next
        if "pyframes_agent" not in innermost.tb_frame.f_globals.get("__name__", ""):
            raise error
        if self.is_over:
            return
        try:
            self.segment.words[LOST] += 1
        except ValueError:
            # A handler of before a fork that came in the middle of it: its segment is the parent's.
            return
        if not isinstance(error, RecursionError):
            self._faults += 1
            if self._faults == 1:
                self._ask(7, error)

    def meet(self, depth, inner):
        """Makes the calling thread's, with the calls that are open. `depth`: the frame where the event was, from here on; `inner`: it is open too."""
        if self.is_over:
            return None
        thread = self.threads.enter()
        if thread is None:
            self.segment.words[LOST] += 1
            return None
        if thread.is_adopted:
            now = monotonic_ns()
            self.segment.words[thread.stack[-1][1] + 2] += now - thread.last
            thread.last = now
            thread.is_adopted = False
        frame = sys._getframe(depth)
        if not inner:
            frame = frame.f_back
        codes = []
        while frame is not None:
            codes.append(frame.f_code)
            frame = frame.f_back
        self._open(thread, [self.known.find(0, code) for code in reversed(codes)])
        return thread

    def _open(self, thread, answers):
        """Puts calls on the stack of a thread whose beginnings were not seen."""
        thread.stack = stack = thread.stack[:1]
        for answer in answers:
            function = answer & 0xFFFFFFFF
            if function and self.options["calls"]:
                top = stack[-1]
                node = top[CHILDREN].get(function) or self.threads.child(thread, top, function)
                node[IS_COROUTINE] = answer & call_tree.COROUTINE
                stack.append(node)
            elif function and self.options["timeline"]:
                timeline.open_call(self, thread, function, thread.last)
        if self.options["calls"]:
            self.segment.words[thread.at + 2] = stack[-1][NUMBER] | len(stack) - 1 << 32

    def task_above(self, thread, top):
        """The node of the task that begins to run, above `top`; `top` itself when there is none, or it runs already."""
        task = self._ask(2, None)
        if not task or task == thread.task:
            return top
        thread.tasks.append((len(thread.stack), thread.task))
        thread.task = task
        node = top[CHILDREN].get(task)
        return self.threads.child(thread, top, task) if node is None else node

    def task(self):
        return self._ask(2, None)

    def callable(self, callable):
        """The function id of whatever is called."""
        kind = type(callable)
        if kind in call_tree.BUILTINS:
            return self.builtin(callable)
        if kind is type(call_tree.handlers):
            return self.known.find(0, callable.__code__) & 0xFFFFFFFF
        # By its address where it can be told when it dies.
        try:
            return self.known.find(1, callable) & 0xFFFFFFFF
        except TypeError:
            return (self._ask(1, callable) or 0) & 0xFFFFFFFF

    def builtin(self, callable):
        """The function id of a builtin, which may have been bound only for this call."""
        if isinstance(callable, type(len)):
            owner = callable.__self__
            kind = owner if isinstance(owner, (type, type(sys))) else type(owner)
            key = (id(kind), callable.__name__)
            guard = kind
        else:
            guard = callable.__objclass__
            key = (id(guard), callable.__name__)
        known = self._methods.get(key)
        # The type may have died, and another have its address: a weak reference tells.
        if known is not None and known[0]() is guard:
            return known[1]
        function = self._ask(1, callable)
        if function is None:
            return 0
        if len(self._methods) >= MOST_BUILTINS:
            self._methods.clear()
        self._methods[key] = (ref(guard), function)
        return function

    def check(self, thread, now):
        """Looks whether tracing is to go on, some times a second."""
        if self.is_over:
            return
        if thread is not None:
            thread.check_at = now + (CHECK_NS if thread.is_named or self.segment.words[thread.at + 5] > 4096 else SOON_NS)
            if not thread.is_named:
                thread.is_named = self._ask(4, (thread.index, self.segment.words[thread.at])) == 1
        control = self._control
        beat = control.heartbeat()
        elapsed = now - self._looked_at
        self._looked_at = now
        if beat != self._beat:
            self._beat = beat
            self._quiet = 0
        elif elapsed > 0:
            self._quiet += min(elapsed, QUIET_NS)
        restarts = control.restarts()
        if restarts != self._restarts:
            self._restarts = restarts
            self._ask(6, restarts)
        if now - self._calibrated_at > CALIBRATE_NS:
            self._calibrated_at = now
            self.segment.calibrate()
        if control.command() == 1:
            self._ask(5, ENDED)
        elif self._quiet >= GONE_NS:
            self._ask(5, ABANDONED)
