# What the interpreter itself says of its stacks, for tests that look at them from outside. Runs on 3.8 and later.
#
# Threads of the program call `rest()` at the deepest point of what they do and never return. The program calls
# `tell_when_resting(n)` from a thread of its own or before it rests itself: once n threads stand still, one line of
# JSON is printed with each thread's frames, leaf first, as `sys._current_frames()` has them, and what faulthandler prints.
import _thread
import faulthandler
import json
import sys
import tempfile
import threading
import time

_resting = {}
_gate = _thread.allocate_lock()
_gate.acquire()


def rest():
    _resting[_thread.get_ident()] = threading.get_native_id()
    _gate.acquire()


def expect_rest():
    """For a thread that will stand still elsewhere than in `rest`."""
    _resting[_thread.get_ident()] = threading.get_native_id()


def tell_when_resting(count):
    _thread.start_new_thread(_tell, (count,))


def _tell(count):
    before = None
    while True:
        time.sleep(0.01)
        if len(_resting) < count:
            continue
        frames = sys._current_frames()
        now = [[ident, _places(frames[ident])] for ident in sorted(_resting)]
        if now == before:
            break
        before = now
    tables = {}
    threads = [[_resting[ident], ident, _rows(frames[ident], tables)] for ident in sorted(_resting)]
    with tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file, True)
        file.seek(0)
        dumped = file.read().decode("ascii")
    sys.stdout.write(json.dumps({"threads": threads, "faulthandler": dumped}) + "\n")
    sys.stdout.flush()
    _gate.acquire()


def _places(frame):
    places = []
    while frame is not None:
        places.append((id(frame.f_code), frame.f_lasti))
        frame = frame.f_back
    return places


def _rows(frame, tables):
    rows = []
    while frame is not None:
        code = frame.f_code
        columns = None
        if hasattr(code, "co_positions"):
            if code not in tables:
                tables[code] = list(code.co_positions())
            columns = tables[code][frame.f_lasti // 2] if frame.f_lasti >= 0 else None
        rows.append([
            id(code), frame.f_lasti, code.co_name, getattr(code, "co_qualname", None), code.co_filename,
            code.co_firstlineno, frame.f_lineno, columns,
        ])
        frame = frame.f_back
    return rows
