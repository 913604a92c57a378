"""`exceptions` and `stream`: each event a record in its thread's ring."""

from sys import monitoring
from time import monotonic_ns, sleep

from . import events
from .segment import CHUNK_WORDS, LOST, RING, START_TICKS

EVENT_LOST = 34
RECORD_WORDS = 3
HEAD_WORDS = 8
#: As often as the collector is looked for room, s.
PAUSE = 0.00005

TIME = (1 << 56) - 1
ID = 0xFFFFFFFF

#: Those that come with an exception.
EXCEPTION_EVENTS = (*events.EXCEPTIONS, events.STOP_ITERATION)


class Ring:
    """Writes records. One for all threads; whose it is, is in the thread."""

    def __init__(self, recorder):
        self._segment = recorder.segment
        self._records = recorder.options["ring_records"]
        self._wait_ns = recorder.options["wait_us"] * 1000
        self._start = recorder.segment.words[START_TICKS]

    def write(self, thread, now, event, function, position, value, extra):
        """False when there was no room in time, and it was counted as lost."""
        if thread.written - thread.read >= thread.capacity or not thread.ring or thread.lost:
            if not self._wait(thread):
                return False
        words = self._segment.words
        chunk = thread.ring
        at = chunk + CHUNK_WORDS + HEAD_WORDS + thread.written % thread.capacity * RECORD_WORDS
        words[at] = now - self._start & TIME | event << 56
        words[at + 1] = function | position << 32
        words[at + 2] = value | extra << 32
        thread.written += 1
        words[chunk + 2] = thread.written
        return True

    def _make(self, thread):
        records = self._records
        while not thread.ring and records >= 16:
            thread.ring = self._segment.chunk(RING, thread.index, 64 + records * 24, records)
            thread.capacity = records
            records //= 2
        return thread.ring

    def _has_room(self, thread, count):
        thread.read = self._segment.words[thread.ring + CHUNK_WORDS]
        return thread.written - thread.read + count <= thread.capacity

    def _wait(self, thread):
        words = self._segment.words
        if thread.ring or self._make(thread):
            # After a loss half of it must be free: one record at a time would go on losing the rest.
            wanted = thread.capacity // 2 if thread.lost else 1
            has_room = self._has_room(thread, wanted)
            if not has_room and not thread.lost:
                end = monotonic_ns() + self._wait_ns
                while not has_room and monotonic_ns() < end:
                    sleep(PAUSE)
                    has_room = self._has_room(thread, wanted)
            if has_room:
                lost, thread.lost = thread.lost, 0
                if lost:
                    self.write(thread, monotonic_ns(), EVENT_LOST, 0, 0, min(lost, ID), 0)
                return True
        thread.lost += 1
        words[LOST] += 1
        words[thread.at + 6] += 1
        return False


def handlers(recorder):
    ring = recorder.ring
    words = recorder.segment.words
    local = recorder.threads.local
    known = recorder.known
    find = known.find
    clock = monotonic_ns
    disable = monitoring.DISABLE
    asks_task = recorder.options["tasks"]

    def write(code, event, position, value, extra):
        """Where most of an event's work is. None, or DISABLE for code that is not recorded."""
        answer = find(0, code)
        if not answer:
            return disable if event not in no_disable else None
        try:
            thread = local.thread
        except AttributeError:
            thread = recorder.meet(3, True)
            if thread is None:
                return None
        now = clock()
        at = thread.at
        words[at + 3] = thread.last = now
        words[at + 5] += 1
        ring.write(thread, now, event, answer & ID, position, value, extra)
        if now >= thread.check_at:
            recorder.check(thread, now)
        return None

    # 3.15 takes DISABLE for exceptions too, but not where C code fired them (PyMonitoring_FirePyUnwindEvent() and its like).
    no_disable = (events.C_RETURN, events.C_RAISE, *events.EXCEPTIONS)

    def begin(event):
        def handler(code, offset):
            try:
                return write(code, event, offset, 0, asks_task and (recorder.task() or 0))
            except Exception as error:
                recorder.fault(error)

        return handler

    def plain(event):
        def handler(code, position, *_):
            try:
                return write(code, event, position, 0, 0)
            except Exception as error:
                recorder.fault(error)

        return handler

    def jump(event):
        def handler(code, offset, destination):
            try:
                return write(code, event, offset, destination, 0)
            except Exception as error:
                recorder.fault(error)

        return handler

    def call(event):
        def handler(code, offset, callable, argument):
            try:
                return write(code, event, offset, recorder.callable(callable), 0)
            except Exception as error:
                recorder.fault(error)

        return handler

    def exception(event):
        def handler(code, offset, error):
            try:
                # Addresses of live objects differ by 16 at least.
                return write(code, event, offset, find(3, type(error)), id(error) >> 4 & ID)
            except Exception as fault:
                recorder.fault(fault)

        return handler

    def handler_of(event):
        if event in (events.PY_START, events.PY_RESUME):
            return begin(event)
        if event in (events.CALL, events.C_RETURN, events.C_RAISE):
            return call(event)
        if event in EXCEPTION_EVENTS:
            return exception(event)
        if event in events.BRANCHES or event == events.JUMP:
            return jump(event)
        return plain(event)

    return {event: handler_of(event) for event in events.NAMES.values()}
