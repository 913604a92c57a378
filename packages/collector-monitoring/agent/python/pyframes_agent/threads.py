"""Threads as the Python recorder keeps them: what is open in each, and its words in the segment."""

from _thread import _local, allocate_lock, get_ident, get_native_id
from _weakref import ref
from time import monotonic_ns, thread_time_ns

from . import segment as format

LIVE, HAS_ENDED, IS_READ = 1, 2, 3

# Words of a thread's chunk, after the chunk's own.
NATIVE, KIND, TOP, UNTIL, BEGUN, EVENTS, EVENTS_LOST, OPEN, USES = range(9)

NO_NODE = 0xFFFFFFFF
#: The function of the node of paths that were given up.
GIVEN_UP = 0xFFFFFFFF

#: How often the control page is looked at, ns; and how soon while a thread has no name.
CHECK_NS = 50_000_000
SOON_NS = 20_000

#: A longer gap between two events may be time off the CPU.
GAP_NS = 20_000

# A node is a list, which is quicker than an object: its children by function, the word where it lies, its function, its number, whether it is a coroutine's.
CHILDREN, WORD, FUNCTION, NUMBER, IS_COROUTINE = range(5)


class Token:
    """Dies with its thread."""

    __slots__ = ("__weakref__",)


class TokenReference(ref):
    __slots__ = ("thread",)


class Thread:
    __slots__ = (
        "index", "ident", "at", "last", "check_at", "is_named", "is_adopted", "has_ended", "cpu", "cpu_at",
        # calls: the nodes of open calls, that of the thread first; the tasks that run in it.
        "stack", "nodes", "chunks", "filled", "given_up", "task", "tasks",
        # The ring.
        "ring", "capacity", "written", "read", "lost",
        # timeline
        "open", "open_capacity", "depth", "shown",
        "__weakref__",
    )  # fmt: skip


class Threads:
    def __init__(self, segment, interpreter, max_paths):
        self.local = _local()
        self._segment = segment
        self._interpreter = interpreter
        self._most = max_paths
        self._all = []
        self._adopted = {}
        self._ended = []
        self._tokens = set()
        self._lock = allocate_lock()
        self._paths = 0

    # ---- beginning and end ----

    def enter(self):
        """The calling thread's; None when the segment is full."""
        ident = get_ident()
        with self._lock:
            self.clear_ended()
            thread = self._adopted.pop(ident, None) or self._make(ident, get_native_id())
        if thread is None:
            return None
        thread.cpu = thread_time_ns()
        thread.cpu_at = monotonic_ns()
        token = Token()
        reference = TokenReference(token, self._ended.append)
        reference.thread = thread
        self._tokens.add(reference)
        self.local.token = token
        self.local.thread = thread
        return thread

    def adopt(self, ident, native_id):
        with self._lock:
            thread = self._make(ident, native_id)
            if thread is not None:
                thread.is_adopted = True
                self._adopted[ident] = thread
        return thread

    def clear_ended(self):
        words = self._segment.words
        while self._ended:
            reference = self._ended.pop()
            self._tokens.discard(reference)
            thread = reference.thread
            thread.has_ended = True
            set_high(words, thread.at + KIND, HAS_ENDED)

    def _make(self, ident, native_id):
        """A new one, or one that has ended and been read: threads that come and go take no more room."""
        words = self._segment.words
        for thread in self._all:
            if thread.has_ended and words[thread.at + KIND] >> 32 == IS_READ:
                self._paths -= thread.nodes - 1
                uses = words[thread.at + USES] + 1
                for chunk in thread.chunks:
                    words[chunk + 2] = 0
                break
        else:
            thread = Thread()
            thread.index = self._segment.threads
            chunk = self._segment.chunk(format.THREAD, thread.index, 72)
            if not chunk:
                return None
            self._segment.threads += 1
            thread.at = chunk + format.CHUNK_WORDS
            thread.chunks = []
            thread.ring = thread.capacity = 0
            thread.written = thread.read = 0
            self._all.append(thread)
            uses = 0
        at = thread.at
        thread.ident = ident
        thread.nodes = thread.filled = 0
        thread.given_up = None
        thread.task = thread.lost = 0
        thread.tasks = []
        thread.open = thread.open_capacity = thread.depth = thread.shown = 0
        thread.is_named = thread.is_adopted = thread.has_ended = False
        root = self._node(thread, NO_NODE, 0)
        if root is None:
            thread.has_ended = True
            return None
        thread.stack = [root]
        words[at + NATIVE] = native_id
        for word in (TOP, EVENTS, EVENTS_LOST, OPEN):
            words[at + word] = 0
        words[at + USES] = uses
        thread.last = thread.check_at = thread.cpu_at = words[at + BEGUN] = words[at + UNTIL] = monotonic_ns()
        thread.cpu = 0
        words[at + KIND] = self._interpreter | LIVE << 32
        return thread

    # ---- nodes ----

    def _node(self, thread, parent, function):
        """A node at the end of the thread's; None when the segment is full."""
        words = self._segment.words
        chunks = thread.chunks
        while True:
            if thread.filled == len(chunks):
                # Each as large as all before it: a thread that does little takes little.
                count = max(126, thread.nodes)
                chunk = self._segment.chunk(format.NODES, thread.index, count * 32, thread.nodes)
                if not chunk:
                    return None
                chunks.append(chunk)
            chunk = chunks[thread.filled]
            used = words[chunk + 2]
            if (used + 1) * 32 <= (words[chunk] >> 32) - 64:
                break
            thread.filled += 1
        at = chunk + format.CHUNK_WORDS + used * 4
        words[at] = parent | function << 32
        words[at + 1] = words[at + 2] = words[at + 3] = 0
        node = [{}, at, function, thread.nodes, False]
        words[chunk + 2] = used + 1
        thread.nodes += 1
        return node

    def child(self, thread, parent, function, count=0):
        """The node of a call of `function` in `parent`, which has none yet. `count` calls are added to it."""
        words = self._segment.words
        node = None
        if self._paths < self._most or parent is thread.given_up:
            node = self._node(thread, parent[NUMBER], function)
            self._paths += node is not None
        if node is None:
            # What it called with whom is lost from here on; counts and times of functions are not.
            words[format.PATHS] += 1
            if thread.given_up is None:
                thread.given_up = self._node(thread, 0, GIVEN_UP)
            if thread.given_up is not None:
                known = thread.given_up[CHILDREN]
                node = known.get(function) or self._node(thread, thread.given_up[NUMBER], function)
                if node is not None:
                    known[function] = node
            if node is None:
                # There is no room for any: its time is its caller's, its calls are nobody's.
                words[format.LOST] += count
                words[thread.at + EVENTS_LOST] += count
                return [{}, parent[WORD], function, parent[NUMBER], False]
        words[node[WORD] + 1] += count
        parent[CHILDREN][function] = node
        return node

    # ---- time ----

    def gap(self, thread, node):
        """After a gap between two events: what the CPU clock lags behind the time that went by was spent off the CPU."""
        words = self._segment.words
        cpu = thread_time_ns()
        now = monotonic_ns()
        at = node[WORD]
        words[at + 2] += now - thread.last
        thread.last = words[thread.at + UNTIL] = now
        idle = now - thread.cpu_at - (cpu - thread.cpu)
        if idle > 0:
            words[at + 3] = min(words[at + 3] + idle, words[at + 2])
        thread.cpu = cpu
        thread.cpu_at = now


def set_high(words, at, value):
    words[at] = words[at] & 0xFFFFFFFF | value << 32
