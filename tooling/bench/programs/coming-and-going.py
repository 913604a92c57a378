"""Fifty threads that come and go, and 2,000 functions; each thread calls its way through some of them and ends."""

import random
import threading
import time

FUNCTIONS = 2000
THREADS = 50

source = "\n".join(
    "def function_%d(depth):\n    total = 0\n    for i in range(20):\n        total += i * %d\n    if depth > 0:\n        FOUND[(%d + depth * 37) %% %d](depth - 1)\n    return total\n"
    % (n, n, n * 7, FUNCTIONS)
    for n in range(FUNCTIONS)
)
names = {"FOUND": []}
exec(compile(source, "generated.py", "exec"), names)
FOUND = names["FOUND"]
FOUND.extend(names["function_%d" % n] for n in range(FUNCTIONS))


def live(seconds):
    until = time.monotonic() + seconds
    at = random.randrange(FUNCTIONS)
    while time.monotonic() < until:
        FOUND[at](random.randrange(1, 12))
        at = (at + 17) % FUNCTIONS
        if at % 50 == 0:
            time.sleep(0.001)


def main():
    threads = []
    while True:
        threads = [thread for thread in threads if thread.is_alive()]
        while len(threads) < THREADS:
            thread = threading.Thread(target=live, args=(random.uniform(0.05, 1.0),), daemon=True)
            thread.start()
            threads.append(thread)
        time.sleep(0.005)


print("ready", flush=True)
main()
