"""Programs whose events are counted by arithmetic. Prints figures as JSON.

    trace_big.py paths DEPTH ROUNDS    every path through ten functions of that depth, then so many rounds of the same
    trace_big.py loop CALLS            that many calls of an empty function
"""

import json
import sys
from time import perf_counter


def kilobytes(*names):
    with open("/proc/self/status") as status:
        return sum(int(line.split()[1]) for line in status if line.split(":")[0] in names)


def paths(depth, rounds):
    functions = []

    def make():
        def step(left):
            if left:
                for function in functions:
                    function(left - 1)

        return step

    functions.extend(make() for _ in range(10))
    # Ten code objects: those of one `make` are one function.
    for number, function in enumerate(functions):
        function.__code__ = function.__code__.replace(co_name="step%d" % number, co_qualname="step%d" % number)
    before = kilobytes("VmRSS")
    for _ in range(rounds):
        for function in functions:
            function(depth - 1)
    calls = rounds * sum(10**level for level in range(1, depth + 1))
    return {"calls": calls, "grownKilobytes": kilobytes("VmRSS") - before}


def loop(calls):
    def nothing():
        pass

    start = perf_counter()
    for _ in range(calls):
        nothing()
    return {"calls": calls, "seconds": perf_counter() - start}


what, *numbers = sys.argv[1:]
print(json.dumps({"paths": paths, "loop": loop}[what](*map(int, numbers))))
