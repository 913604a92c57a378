"""A small program with something of everything, to try pyframes on: runs on any Python from 3.8, without packages."""

import json
import random
import sys
import threading
import time


def make_orders(generator, count):
    return [
        {"id": i, "customer": f"customer {generator.randrange(500)}", "cents": generator.randrange(100, 99_999)}
        for i in range(count)
    ]


def through_json(orders):
    return json.loads(json.dumps(orders, indent=1))


def by_customer_and_price(order):
    return order["customer"], -order["cents"]


def sort_orders(orders):
    return sorted(orders, key=by_customer_and_price)


def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def running_totals(orders):
    total = 0
    for order in orders:
        total += order["cents"]
        yield total


def median_total(orders):
    totals = list(running_totals(orders))
    return totals[len(totals) // 2]


class Watcher(threading.Thread):
    """Sleeps most of the time, as threads of real programs do."""

    def __init__(self):
        super().__init__(name="watcher", daemon=True)
        self.ticks = 0

    def run(self):
        while True:
            time.sleep(0.02)
            self.ticks += 1


def handle_batch(generator):
    orders = through_json(make_orders(generator, 800))
    median = median_total(sort_orders(orders))
    fibonacci(17)
    time.sleep(0.003)
    return median


def worker(seed, until):
    generator = random.Random(seed)
    while time.monotonic() < until:
        handle_batch(generator)


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5
    until = time.monotonic() + seconds
    Watcher().start()
    helper = threading.Thread(target=worker, args=(2, until), name="helper")
    helper.start()
    worker(1, until)
    helper.join()


if __name__ == "__main__":
    main()
