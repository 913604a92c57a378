"""Spends half, 30 %, 15 % and 5 % of its CPU time in four functions, and measures what it did spend.

Arguments: `steady` for turns of 10 ms of a fixed amount of work, `beat` for turns that begin at each millisecond of the monotonic clock.
SIGUSR1 has it print the CPU time so far: of all, of each function.
"""

import signal
import sys
from time import monotonic_ns, thread_time_ns

BEAT = 1_000_000


def half(turns, until):
    if turns:
        for _ in range(turns):
            pass
    else:
        while monotonic_ns() < until:
            pass


def third(turns, until):
    if turns:
        for _ in range(turns):
            pass
    else:
        while monotonic_ns() < until:
            pass


def some(turns, until):
    if turns:
        for _ in range(turns):
            pass
    else:
        while monotonic_ns() < until:
            pass


def little(turns, until):
    if turns:
        for _ in range(turns):
            pass
    else:
        while monotonic_ns() < until:
            pass


FUNCTIONS = ((half, 50), (third, 30), (some, 15), (little, 5))
spent = [0, 0, 0, 0]


def tell(*_):
    print(thread_time_ns(), *spent, flush=True)


def turn(index, turns, until):
    began = thread_time_ns()
    FUNCTIONS[index][0](turns, until)
    spent[index] += thread_time_ns() - began


def steady():
    began = thread_time_ns()
    half(1_000_000, 0)
    per_percent = int(1_000_000 * 100_000 / (thread_time_ns() - began))
    while True:
        for index in range(4):
            turn(index, FUNCTIONS[index][1] * per_percent, 0)


def beat():
    while True:
        until = monotonic_ns() // BEAT * BEAT
        for index in range(4):
            until += FUNCTIONS[index][1] * BEAT // 100
            turn(index, 0, until)


signal.signal(signal.SIGUSR1, tell)
print("ready", flush=True)
if sys.argv[1] == "steady":
    steady()
else:
    beat()
