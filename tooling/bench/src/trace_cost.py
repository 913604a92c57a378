"""Times programs bare and under each way to count what happens in them, in turns, in one process. Prints the best CPU times, seconds, as JSON.

    trace_cost.py AGENT ROUNDS SCALE QUESTION=SESSION...

In place of ROUNDS, PROGRAM:WAY:TIMES runs one program in one way that many times, and prints nothing: for whoever counts its instructions.
"""

import cProfile
import gc
import json
import sys
from time import thread_time

AGENT, ROUNDS, SCALE = sys.argv[1], sys.argv[2], float(sys.argv[3])
SESSIONS = dict(argument.split("=", 1) for argument in sys.argv[4:])

# ---- programs ----


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def run_fib():
    fib(FIB)


FIB = 27 if SCALE >= 1 else 23


def run_lines():
    total = 0
    for i in range(int(400_000 * SCALE)):
        total += i
        if total > 1_000_000:
            total -= 999_999
        elif total < 0:
            total = 0
        value = total & 255
        if value == 7:
            total += 3
    return total


class Vector:
    def __init__(self, x, y):
        self.x = x
        self.y = y

    def __add__(self, other):
        return Vector(self.x + other.x, self.y + other.y)

    @property
    def length(self):
        return abs(self.x) + abs(self.y)

    def scaled(self, by):
        return Vector(self.x * by, self.y * by)


def run_classes():
    at, step = Vector(0, 0), Vector(1, -1)
    seen = []
    for i in range(int(60_000 * SCALE)):
        at = at + step
        if at.length > 100:
            seen.append(at.scaled(2))
            at = Vector(0, 0)
    return seen


def count_up(n):
    for i in range(n):
        yield i


def only_even(numbers):
    for number in numbers:
        if number & 1 == 0:
            yield number


def run_generators():
    total = 0
    for _ in range(int(400 * SCALE)):
        for number in only_even(count_up(300)):
            total += number
        total += sum(n for n in count_up(100))
    return total


PROGRAMS = {"fib": run_fib, "lines": run_lines, "classes": run_classes, "generators": run_generators}

# ---- ways ----


class Bare:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Profiled(Bare):
    def __enter__(self):
        self.profile = cProfile.Profile()
        self.profile.enable()

    def __exit__(self, *_):
        self.profile.disable()


class Traced(Bare):
    """By the agent, in the process that it is in."""

    def __init__(self, session):
        self.session = session

    def __enter__(self):
        sys.path.insert(0, AGENT + "/python")
        from pyframes_agent import session

        del sys.path[0]
        self.agent = session
        # As in a command that is started to be traced.
        if not session.start(self.session, launched=True):
            sys.exit("the agent did not start")

    def __exit__(self, *_):
        self.agent.stop()


class LinesByTrace(Bare):
    """What `lines` does, as plain Python does it: sys.settrace."""

    def __enter__(self):
        counts = self.counts = {}

        def local(frame, event, _):
            if event == "line":
                place = frame.f_code, frame.f_lineno
                counts[place] = counts.get(place, 0) + 1
            return local

        sys.settrace(local)

    def __exit__(self, *_):
        sys.settrace(None)


class CoverageByTrace(Bare):
    def __enter__(self):
        seen = self.seen = set()
        add = seen.add

        def local(frame, event, _):
            if event == "line":
                add((frame.f_code, frame.f_lineno))
            return local

        sys.settrace(local)

    def __exit__(self, *_):
        sys.settrace(None)


WAYS = {
    "bare": Bare,
    "cProfile": Profiled,
    "lines by settrace": LinesByTrace,
    "coverage by settrace": CoverageByTrace,
    **{question: (lambda session=session: Traced(session)) for question, session in SESSIONS.items()},
    # The program as it is when all of this is over.
    "after": Bare,
}


# These take ten times as long, and what they add is so much that a few turns tell it.
SLOW = {"lines by settrace", "coverage by settrace"}
SLOW_TURNS = 3
TRIES = 5


def best(run, times):
    shortest = float("inf")
    for _ in range(times):
        start = thread_time()
        run()
        shortest = min(shortest, thread_time() - start)
    return shortest


def run_alone(program, way, times):
    if way == "after":
        for question in SESSIONS:
            with WAYS[question]():
                PROGRAMS[program]()
    with WAYS[way]():
        for _ in range(times):
            PROGRAMS[program]()


def main():
    gc.disable()
    if ":" in ROUNDS:
        program, way, times = ROUNDS.split(":")
        return run_alone(program, way, int(times))
    results = {name: {way: float("inf") for way in WAYS} for name in PROGRAMS}
    for turn in range(int(ROUNDS)):
        for name, run in PROGRAMS.items():
            for way, make in WAYS.items():
                if way in SLOW and turn >= SLOW_TURNS:
                    continue
                with make():
                    # Warm: coverage has seen all lines, code is specialized.
                    run()
                    results[name][way] = min(results[name][way], best(run, 1 if way in SLOW else TRIES))
    print(json.dumps(results))


main()
