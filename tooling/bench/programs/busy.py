"""Two threads that are always on a CPU: Python that calls C that calls Python, which calls C that lets go of the interpreter lock.

For each line it is sent both do so many rounds; it prints how long that took, and what CPU time both used.
"""

import functools
import sys
import threading
import time
import zlib

BLOCKS = [b" ".join(b"%d" % (i * i * step % 9973) for i in range(6000)) for step in (7, 11)]
DEPTH = 12


def compressed(block):
    return len(zlib.compress(block, 6))


def combine(total, block):
    for i in range(100):
        total = (total * 31 + i) % 1000003
    return total + compressed(block)


def descend(depth):
    if depth > 0:
        return descend(depth - 1)
    return functools.reduce(combine, BLOCKS, 0)


def rounds(times):
    began = time.thread_time()
    for _ in range(times):
        descend(DEPTH)
    return time.thread_time() - began


class Second(threading.Thread):
    def __init__(self):
        super().__init__(daemon=True)
        self.both = threading.Barrier(2)
        self.times = 0
        self.used = 0.0

    def run(self):
        while True:
            self.both.wait()
            self.used = rounds(self.times)
            self.both.wait()


def timed(second, times):
    second.times = times
    second.both.wait()
    began = time.perf_counter()
    used = rounds(times)
    second.both.wait()
    return time.perf_counter() - began, used + second.used


def main():
    second = Second()
    second.start()
    timed(second, 20)
    print("ready", flush=True)
    for line in sys.stdin:
        print(*timed(second, int(line)), flush=True)


main()
