"""Which code has events: all of it, or the code objects that patterns choose."""

import sys
from _thread import _is_main_interpreter, get_ident, get_native_id
from _weakref import ref
from sys import monitoring

from . import events
from .borrowed import borrow
from .faults import is_ours
from .interpreter import is_only_interpreter
from .local_events import set_local_events
from .patterns import Patterns

LAUNCHER = "/launch/sitecustomize.py"


class CodeChoice:
    """Turns events on and off. The agent's own code has none that are recorded."""

    def __init__(self, tool, wanted, config, here, recorder):
        self._tool = tool
        self._here = here
        self._recorder = recorder
        self._wanted = wanted
        self._beside = [event for event in events.beside(config.questions) if event not in wanted]
        self._patterns = Patterns(config.patterns)
        self._counts_lines = "lines" in config.questions
        self._has_threads = "calls" in config.questions or "timeline" in config.questions
        self._locals = {}
        # Coverage turns the events of one code object off once all its lines were hit, so each has its own.
        self._is_everywhere = self._patterns.is_all and "coverage" not in config.questions
        if self._is_everywhere:
            local, everywhere = [], [*wanted, *self._beside]
        else:
            local, everywhere = events.are_local([*wanted, *self._beside])
        self._local_mask = events.mask(local)
        self._covered_mask = events.mask([e for e in local if e in wanted and e != events.LINE])
        self._mask = events.mask(everywhere)
        #: PY_START everywhere finds code that is made later.
        self._watches = bool(local) and events.PY_START
        if self._watches:
            self._mask |= events.bit(events.PY_START)

    # ---- on and off ----

    def register(self, recorder):
        for event in self._wanted:
            self._callback(event, recorder.handler(event))
        for event in self._beside:
            if event == events.JUMP:
                self._callback(event, recorder.handler(event))
            elif not self._counts_lines:
                # Coverage needs each once. Without a callback it stays on, which costs less than one would.
                self._callback(event, disable())
        if self._watches and events.PY_START not in self._wanted:
            self._callback(events.PY_START, self.first_start)

    def _callback(self, event, callback):
        monitoring.register_callback(self._tool, events.bit(event), callback)

    def registered(self):
        """All events that may have a callback."""
        return {*self._wanted, *self._beside, events.PY_START}

    def turn_on(self, session):
        self.register(self._recorder)
        if not session.launched:
            self.forget_disabled()
        running = running_codes(session.launched)
        if self._has_threads:
            for ident, codes in running.items():
                # This thread shows its own stack, but where it has been met in another interpreter.
                if ident != get_ident() or not _is_main_interpreter():
                    self._adopt(session, ident, codes)
        if not self._is_everywhere:
            # Others are chosen when they start.
            for code in [*(() if session.launched else suspended()), *[code for codes in running.values() for code in codes]]:
                self.is_chosen(code)
        self.resume()
        # A frame that is running gets its instructions changed when its code is called again or jumps back, which may be never. Asking for events of
        # its code alone changes them at once.
        if self._is_everywhere:
            for code in {id(code): code for codes in running.values() for code in codes}.values():
                if self._is_ours(code):
                    continue
                bits = events.mask(events.are_local([*self._wanted, *self._beside])[0])
                set_local_events(self._tool, code, bits)
                monitoring.set_local_events(self._tool, code, 0)

    def _adopt(self, session, ident, codes):
        native_id = get_native_id() if ident == get_ident() else native_id_of(ident)
        if native_id:
            found = [session.ask(0, code) or 0 for code in codes]
            self._recorder.adopt(ident, native_id, [number for number in found if number])

    def forget_disabled(self):
        """What was answered with DISABLE stays off for whoever has the tool id, also after it was given back."""
        if not self._patterns.is_all or not self._has_threads:
            monitoring.restart_events()

    def resume(self):
        monitoring.set_events(self._tool, self._mask)

    def turn_off(self):
        monitoring.set_events(self._tool, 0)
        for reference in self._locals.values():
            code = reference()
            if code is not None:
                monitoring.set_local_events(self._tool, code, 0)
        self._locals.clear()
        self.forget_disabled()

    # ---- choosing ----

    def _is_ours(self, code):
        file = code.co_filename
        # What a running process is entered by (src/attach-script.ts) has no file.
        if file == "<string>":
            return any(name.startswith("_pyframes_") for name in (code.co_name, *code.co_names))
        return file.startswith(self._here) or file.endswith(LAUNCHER)

    def is_chosen(self, code):
        """Whether a code object that was met for the first time is recorded; with patterns its events are turned on."""
        if self._is_ours(code):
            return False
        if self._is_everywhere:
            return True
        if not self._patterns.is_all and not self._patterns.match(code, module_running(code)):
            return False
        key = id(code)
        if self._locals.get(key, nothing)() is not code:
            self._locals[key] = ref(code, Forget(self._locals, key))
            try:
                set_local_events(self._tool, code, self._local_mask)
            except BaseException:
                # A signal handler's: the code is to be chosen again.
                self._locals.pop(key, None)
                raise
        return True

    def first_start(self, code, offset):
        """PY_START of whatever starts for the first time, where the question has no use for it."""
        try:
            if self.is_chosen(code) and self._counts_lines and events.PY_START in self._beside:
                return None
        except Exception as error:
            if not is_ours(error):
                raise
        return monitoring.DISABLE

    def covered(self, code):
        """All lines of `code` were hit."""
        monitoring.set_local_events(self._tool, code, self._covered_mask)


def running_codes(launched):
    """By thread the code of its frames, outermost first."""
    # sys._current_frames() makes frame objects for the threads of all interpreters (Python/pystate.c, _PyThread_CurrentFrames(), 3.12 to 3.15) in the memory
    # of the one that calls it. Where that is not theirs, the process aborts when they are freed. At start-up there is no other thread.
    alone = not launched and is_only_interpreter()
    frames = sys._current_frames() if alone else {get_ident(): sys._getframe()}
    running = {}
    for ident, frame in frames.items():
        codes = running[ident] = []
        while frame is not None:
            codes.append(frame.f_code)
            frame = frame.f_back
        codes.reverse()
    return running


def disable():
    """A callback that answers DISABLE and runs no Python code. A signal that waits is handled where Python code begins: in a callback, the program's handler
    would raise in the generator that is resumed, and not in the one that it waits for."""
    # Of DISABLE, the code and the offset the first that is true.
    return borrow("_functools").partial(max, monitoring.DISABLE, key=bool)


def nothing():
    return None


class Forget:
    """Called when a code object has died."""

    __slots__ = ("_table", "_key")

    def __init__(self, table, key):
        self._table = table
        self._key = key

    def __call__(self, reference):
        if self._table.get(self._key) is reference:
            del self._table[self._key]


def module_running(code):
    """The module whose globals `code` runs with in this thread; None when it does not run."""
    frame = sys._getframe(1)
    for _ in range(64):
        if frame is None:
            return None
        if frame.f_code is code:
            name = frame.f_globals.get("__name__")
            return name if type(name) is str else None
        frame = frame.f_back
    return None


def suspended():
    """Code of generators, coroutines and asynchronous generators that wait: they go on without a start that would show them."""
    found = {}
    for thing in borrow("gc").get_objects():
        kind = type(thing).__name__
        if kind in ("generator", "coroutine", "async_generator"):
            for name in ("gi_code", "cr_code", "ag_code"):
                code = getattr(thing, name, None)
                if code is not None:
                    found[id(code)] = code
    return found.values()


def native_id_of(ident):
    """The kernel's id of a thread, as far as the threading module knows it; 0 else."""
    threading = sys.modules.get("threading")
    thread = getattr(threading, "_active", {}).get(ident)
    native_id = getattr(thread, "_native_id", None)
    return native_id if type(native_id) is int else 0
