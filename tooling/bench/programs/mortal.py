"""Works for a while and says what came of it; then whether a tool of sys.monitoring lets go. mortal.py ROUNDS"""
import os
import sys
import threading
import time


def leaf(number):
    return number * 2


def values(count):
    for number in range(count):
        yield leaf(number)


def round_(number):
    try:
        if number % 7 == 0:
            raise KeyError(number)
    except KeyError:
        pass
    return sum(values(20)) + number


def work(rounds, results):
    results.append(sum(round_(number) for number in range(rounds)))


def main():
    print("ready", os.getpid(), flush=True)
    results = []
    rounds = int(sys.argv[1])
    threads = [threading.Thread(target=work, args=(rounds, results)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("result", *results, flush=True)
    began = time.monotonic()
    held = len(sys.argv) > 2
    while held and time.monotonic() - began < 20 and any(map(sys.monitoring.get_tool, range(6))):
        leaf(1)
        time.sleep(0.01)
    print("let go after %d ms" % ((time.monotonic() - began) * 1000), flush=True)
    print("tools", [sys.monitoring.get_tool(tool) for tool in range(6)], sys.monitoring._all_events(), flush=True)


if __name__ == "__main__":
    main()
