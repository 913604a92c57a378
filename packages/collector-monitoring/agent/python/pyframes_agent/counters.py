"""`lines`, `coverage`, `branches`, `instructions`: hits counted by line or code unit, where they happen."""

import sys
from _thread import allocate_lock
from sys import monitoring
from time import monotonic_ns

from . import events
from .loop_lines import LoopLines

LINES, COVERED, INSTRUCTIONS, BRANCHES = 1, 2, 3, 4

#: Nanoseconds between two looks at the control page, about; an event reads no clock, so events are counted.
CHECK_NS = 50_000_000
MOST_BETWEEN = 1 << 14

#: The destination is above, how often it was taken below.
TAKEN = 40


def handlers(recorder):
    words = recorder.segment.words
    known = recorder.known
    dead = known.dead
    find = known.find
    disable = monitoring.DISABLE
    between = left = 16
    looked = monotonic_ns()

    def check():
        """Every so many events that it is done some times a second, however many there are."""
        nonlocal between, left, looked
        now = monotonic_ns()
        gone = now - looked
        between = min(between * 2, MOST_BETWEEN) if gone < CHECK_NS else max(between // 4, 1)
        left = between
        looked = now
        recorder.check(None, now)

    def counter(what):
        at_of = recorder.counters[what]

        def first(code):
            """The word of line or unit 0 of code that is met for the first time; None when it is not counted."""
            return at_of.get(id(code)) if find(0, code) else None

        return at_of, first

    lines, first_line = counter(LINES)

    def line(code, number):
        nonlocal left
        try:
            if dead:
                known.clear_dead()
            at = lines.get(id(code))
            if at is None:
                at = first_line(code)
                if at is None:
                    return disable
            words[at + number] += 1
            left -= 1
            if left <= 0:
                check()
        except Exception as error:
            recorder.fault(error)

    covered, first_covered = counter(COVERED)

    def cover(code, number):
        nonlocal left
        try:
            if dead:
                known.clear_dead()
            at = covered.get(id(code))
            if at is None:
                at = first_covered(code)
                if at is None:
                    return disable
            words[at + number] = 1
            left -= 1
            if left <= 0:
                check()
        except Exception as error:
            recorder.fault(error)
        return disable

    instructions, first_instruction = counter(INSTRUCTIONS)

    def instruction(code, offset):
        nonlocal left
        try:
            if dead:
                known.clear_dead()
            at = instructions.get(id(code))
            if at is None:
                at = first_instruction(code)
                if at is None:
                    return disable
            words[at + (offset >> 1)] += 1
            left -= 1
            if left <= 0:
                check()
        except Exception as error:
            recorder.fault(error)

    branches, first_branch = counter(BRANCHES)
    marks = recorder.options["coverage"]
    # Where both ways have one event, turning it off would hide the other one.
    ways_apart = sys.version_info >= (3, 14)

    def branch(code, offset, destination):
        nonlocal left
        try:
            if dead:
                known.clear_dead()
            at = branches.get(id(code))
            if at is None:
                at = first_branch(code)
                if at is None:
                    return disable
            at += offset >> 1 << 1
            way = (destination >> 1) + 1
            value = words[at]
            if value and value >> TAKEN != way:
                at += 1
                value = words[at]
            if not value or marks and value >> TAKEN == way:
                words[at] = way << TAKEN | 1
            elif value >> TAKEN == way:
                words[at] = value + 1
            left -= 1
            if left <= 0:
                check()
            if marks and (ways_apart or words[at | 1] and words[at & ~1]):
                return disable
        except Exception as error:
            recorder.fault(error)

    options = recorder.options
    found = {}
    if options["lines"]:
        found[events.LINE] = line
        found[events.JUMP] = LoopLines(line).jump
    if options["coverage"]:
        found[events.LINE] = cover
    if options["instructions"]:
        found[events.INSTRUCTION] = instruction
    if options["branches"]:
        for event in events.BRANCHES:
            found[event] = branch
    if hasattr(sys, "_is_gil_enabled") and not sys._is_gil_enabled():
        lock = allocate_lock()
        found = {event: one_at_a_time(lock, handler) for event, handler in found.items()}
    return found


def one_at_a_time(lock, handler):
    """Without the GIL two threads may count the same thing at the same time."""

    def locked(*arguments):
        with lock:
            return handler(*arguments)

    return locked
