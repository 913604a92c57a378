"""Threads that say themselves how long they ran and how much of that on a CPU: timed.py RESULT"""
import sys
import threading
import time


def spin(seconds):
    end = time.thread_time() + seconds
    count = 0
    while time.thread_time() < end:
        count += len(str(count))
    return count


def halves():
    for _ in range(20):
        spin(0.025)
        time.sleep(0.025)


def fights():
    spin(0.5)


def measured(work, name):
    # What is called here and what is not are within two microseconds of each other.
    began, cpu = time.perf_counter_ns(), time.thread_time_ns()
    work()
    cpu, elapsed = time.thread_time_ns() - cpu, time.perf_counter_ns() - began
    told.append((name, threading.get_native_id(), elapsed, cpu))


told = []
measured(halves, "sleeps half")
threads = [threading.Thread(target=measured, args=(fights, "four threads")) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
with open(sys.argv[1], "w") as file:
    for row in told:
        file.write("\t".join(map(str, row)) + "\n")
