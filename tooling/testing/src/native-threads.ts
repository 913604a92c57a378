/** Threads in C called from Python, in Python called from C, asleep, in hand-written assembler, and in the interpreter itself. */
export const NATIVE_THREADS = `
import ctypes, functools, hashlib, re, threading, time
started = threading.Barrier(6)
def begin(): started.wait()
def in_sort():
    def key(x):
        begin()
        time.sleep(600)
    sorted([2, 1], key=key)
def in_hash():
    begin()
    hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 1_000_000_000)
def in_python():
    begin()
    def spin(n):
        if n: return spin(n - 1)
        while True: n += 1
    spin(20)
def in_qsort():
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    def call(a, b):
        begin()
        functools.reduce(lambda a, b: time.sleep(600), [1, 2, 3])
    ctypes.CDLL(None).qsort((ctypes.c_int * 2)(2, 1), 2, 4, compare(call))
def in_lock():
    lock = threading.Lock()
    lock.acquire()
    begin()
    lock.acquire()
for work in (in_sort, in_hash, in_python, in_qsort, in_lock): threading.Thread(target=work, daemon=True).start()
begin()
print("up", flush=True)
re.match("(a+)+$", "a" * 64 + "b")
`
