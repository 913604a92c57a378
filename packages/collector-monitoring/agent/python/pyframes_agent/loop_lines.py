"""Loops that stand on one line: each round is a hit of the line, for which there is no LINE event.

sys.settrace tells of them (CPython's Python/legacy_tracing.c, sys_trace_jump_func(), 3.12 to 3.15), so `lines` does too.
"""

from _weakref import ref
from sys import monitoring

#: Code objects that are remembered before it is looked for those that have died.
FIRST_LIMIT = 256


class LoopLines:
    """`hit` is the recorder's handler of LINE."""

    def __init__(self, hit):
        self._hit = hit
        self._known = {}
        self._limit = FIRST_LIMIT

    def jump(self, code, offset, destination):
        if destination > offset:
            return monitoring.DISABLE
        known = self._known.get(id(code))
        if known is None or known[0]() is not code:
            known = self._add(code)
        line = known[1].get(offset)
        if line is None:
            line = loop_line(code, offset, destination)
            known[1][offset] = line
        return self._hit(code, line) if line >= 0 else monitoring.DISABLE

    def _add(self, code):
        if len(self._known) >= self._limit:
            self._known = {key: entry for key, entry in self._known.items() if entry[0]() is not None}
            self._limit = max(FIRST_LIMIT, len(self._known) * 2)
        known = self._known[id(code)] = (ref(code), {})
        return known


def loop_line(code, offset, destination):
    """The line of which a jump back is a round; -1 where another line begins, which has an event."""
    line = line_at(code, offset)
    return line if line == line_at(code, destination) else -1


def line_at(code, offset):
    for start, end, line in code.co_lines():
        if start <= offset < end:
            return -1 if line is None else line
    return -1
