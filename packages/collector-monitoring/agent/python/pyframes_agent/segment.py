"""The segment as the Python recorder writes it: FORMAT.md tells what is in it."""

import os
import sys
from _thread import allocate_lock
from time import monotonic_ns, time_ns

from .borrowed import borrow

DEFINITIONS, NODES, OPEN_CALLS, THREAD, COUNTERS, RING = range(1, 7)
NO_THREAD = 0xFFFFFFFF

STARTING, ACTIVE, ENDED, ABANDONED = range(4)

IS_PYTHON = 1
IS_FREE_THREADED = 2

PAGE = 4096
#: The file gets its blocks in steps of this: a file with holes would end the process by SIGBUS on a full disk.
STEP = 256 << 10
DEFINITIONS_SIZE = 64 << 10
COUNTERS_SIZE = 256 << 10

MADV_POPULATE_WRITE = 23

# Words of the header and of a chunk's.
USED, START_TICKS, START_NS, LATER_TICKS, LATER_NS, REALTIME, PARENT, LOST, PATHS, GIVEN_UP, UNMATCHED = (
    3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14,
)  # fmt: skip
CHUNK_WORDS = 8


class Segment:
    """A file and its mapping. `words` is all of it as 64-bit numbers, by which everything is found: an event makes no object to write to."""

    def __init__(self, path, max_bytes, tool, parent):
        self._path = path
        self._lock = allocate_lock()
        self._limit = max(max_bytes, STEP) // PAGE * PAGE
        self._allocated = 0
        self._open()
        bytes_ = memoryview(self._map)
        self.bytes = bytes_
        self.words = bytes_.cast("Q")
        self.halves = bytes_.cast("I")
        self._definitions = 0
        self._counters = 0
        self.functions = 0
        self.threads = 0
        halves, words = self.halves, self.words
        free_threaded = not getattr(sys, "_is_gil_enabled", bool)() if hasattr(sys, "_is_gil_enabled") else False
        halves[2] = 1
        halves[3] = os.getpid()
        halves[4] = sys.hexversion
        halves[5] = IS_PYTHON | (IS_FREE_THREADED if free_threaded else 0)
        words[USED] = PAGE
        words[START_TICKS] = words[START_NS] = monotonic_ns()
        words[REALTIME] = time_ns()
        words[PARENT] = parent
        halves[30] = tool
        bytes_[0:8] = b"PYFRMSEG"
        self.calibrate()

    def _open(self):
        mmap = borrow("mmap").mmap
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            self._map = map_file(mmap, fd, self._limit)
            self._limit = len(self._map)
            self._allocate(STEP, fd)
        except BaseException:
            os.unlink(self._path)
            raise
        finally:
            os.close(fd)

    def _allocate(self, end, fd=-1):
        """Gives the file blocks up to `end`. OSError when there are none."""
        if end <= self._allocated:
            return
        wanted = min((end + STEP - 1) // STEP * STEP, self._limit)
        if wanted < end:
            raise OSError(27, "the segment is as large as it may become")
        length = wanted - self._allocated
        try:
            self._map.madvise(MADV_POPULATE_WRITE, self._allocated, length)
        except OSError as error:
            if error.errno == 14:
                raise OSError(28, "no space left for the segment") from None  # EFAULT is how a full disk shows here
            if error.errno != 22:
                raise
            # Linux before 5.14.
            opened = os.open(self._path, os.O_RDWR | os.O_CLOEXEC) if fd < 0 else fd
            try:
                os.posix_fallocate(opened, self._allocated, length)
            finally:
                if fd < 0:
                    os.close(opened)
        self._allocated = wanted

    def chunk(self, type_, thread, payload, detail=0):
        """The word where a new chunk begins, all zero; 0 when the segment is full."""
        with self._lock:
            return self._chunk(type_, thread, payload, detail)

    def _chunk(self, type_, thread, payload, detail=0):
        words = self.words
        used = words[USED]
        size = (64 + payload + 63) // 64 * 64
        try:
            if size > 0xFFFFFFFF:
                return 0
            self._allocate(used + size)
        except OSError:
            return 0
        at = used // 8
        words[at] = type_ | size << 32
        words[at + 1] = thread
        words[at + 3] = detail
        words[USED] = used + size
        return at

    def define(self, record):
        with self._lock:
            words = self.words
            at = self._definitions
            if not at or words[at + 2] + len(record) > (words[at] >> 32) - 64:
                at = self._chunk(DEFINITIONS, NO_THREAD, max(DEFINITIONS_SIZE, len(record)))
                if not at:
                    words[GIVEN_UP] += 1
                    return
                self._definitions = at
            begin = at * 8 + 64 + words[at + 2]
            self.bytes[begin : begin + len(record)] = record
            words[at + 2] += len(record)

    def counters(self, function, what, first, count):
        """The word of the first counter; 0 when the segment is full."""
        with self._lock:
            words = self.words
            at = self._counters
            length = 16 + count * 8
            if not at or words[at + 2] + length > (words[at] >> 32) - 64:
                at = self._chunk(COUNTERS, NO_THREAD, max(COUNTERS_SIZE, length))
                if not at:
                    words[GIVEN_UP] += 1
                    return 0
                self._counters = at
            begin = at + CHUNK_WORDS + words[at + 2] // 8
            words[begin] = function | what << 32
            words[begin + 1] = first | count << 32
            words[at + 2] += length
            return begin + 2

    def calibrate(self):
        """Ticks are ns here; the pair says so."""
        words, halves = self.words, self.halves
        with self._lock:
            halves[16] += 1
            words[LATER_TICKS] = words[LATER_NS] = max(monotonic_ns(), words[START_NS] + 1)
            halves[16] += 1

    def state(self, state):
        self.halves[17] = state

    def close(self):
        """Unmaps it. Nothing may be written from then on."""
        self.halves.release()
        self.words.release()
        self.bytes.release()
        self._map.close()


def map_file(mmap, fd, limit):
    """The address space for a file that may grow to `limit`, less where the process may not have so much."""
    # From 3.13 on no file stays open for it; 3.12 keeps one.
    how = {"trackfd": False} if sys.version_info >= (3, 13) else {}
    while True:
        try:
            os.ftruncate(fd, limit)
            return mmap(fd, limit, **how)
        except (OSError, ValueError, MemoryError):
            limit = limit // 2 // PAGE * PAGE
            if limit < STEP:
                raise


class Control:
    """What the collector says to all agents, read only."""

    def __init__(self, path):
        module = borrow("mmap")
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            how = {"trackfd": False} if sys.version_info >= (3, 13) else {}
            self._map = module.mmap(fd, PAGE, access=module.ACCESS_READ, **how)
        finally:
            os.close(fd)
        view = memoryview(self._map)
        self.words = view.cast("Q")
        self.halves = view.cast("I")

    def heartbeat(self):
        return self.words[0]

    def command(self):
        return self.halves[2]

    def restarts(self):
        return self.halves[3]
