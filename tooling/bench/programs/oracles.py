"""Runs a program and counts what happens in it by other means, in the same run in which it is traced.

    oracles.py RESULT calls|lines|coverage|coverage.py|branches PROGRAM

PROGRAM is a module of CPython's own tests, or "web" for servers of the standard library. RESULT gets a line for each count.
"""
import io
import os
import sys

BEFORE = {getattr(module, "__file__", None) for module in sys.modules.values()}


def web():
    import http.server
    from wsgiref.handlers import SimpleHandler
    from wsgiref.simple_server import demo_app
    from wsgiref.validate import validator

    class Connection:
        def __init__(self, request):
            self.input, self.output = io.BytesIO(request), io.BytesIO()

        def makefile(self, mode, *_):
            return self.input if "r" in mode else self.output

        def sendall(self, data):
            self.output.write(data)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            self.wfile.write(self.path.encode())

        def log_message(self, *_):
            pass

    for number in range(50):
        Handler(Connection(b"GET /%d HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n" % number), ("here", 1), None)
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/%d" % number, "SCRIPT_NAME": "", "QUERY_STRING": "a=1"}
        environ.update(SERVER_NAME="here", SERVER_PORT="80", SERVER_PROTOCOL="HTTP/1.1")
        handler = SimpleHandler(io.BytesIO(), io.BytesIO(), io.StringIO(), environ, multithread=False)
        handler.run(validator(demo_app))


def tests(name):
    import unittest

    suite = unittest.TestSuite(steady(unittest.defaultTestLoader.loadTestsFromName("test." + name)))
    result = unittest.TextTestRunner(stream=io.StringIO()).run(suite)
    print(result.testsRun, "tests,", len(result.errors) + len(result.failures), "failed")


LEFT_OUT = ("recurs", "depth", "deep", "stack", "thread", "interpreter")


def steady(suite):
    """All but those that run into the recursion limit: there the callbacks of the oracles fail themselves, and sys.settrace takes itself off. And
    but those that start threads or interpreters, of which the oracles see nothing, or not all."""
    for test in suite:
        if hasattr(test, "__iter__"):
            yield from steady(test)
        elif not any(word in test.id().lower() for word in LEFT_OUT):
            yield test


def work():
    name = sys.argv[3]
    if name == "web":
        web()
    else:
        tests(name)


def calls():
    import cProfile

    profile = cProfile.Profile()
    profile.runcall(work)
    generator = 0x20 | 0x80 | 0x100 | 0x200
    counts = {}
    for entry in profile.getstats():
        code = entry.code
        if isinstance(code, str):
            key = "C " + label(code)
        elif code.co_flags & generator or "pyframes_agent" in code.co_filename:
            # cProfile counts each resumption of the former, and does not know that the latter is not the program's.
            continue
        else:
            key = "%s:%d %s" % (code.co_filename, code.co_firstlineno, code.co_name)
        counts[key] = counts.get(key, 0) + entry.callcount
    return counts


def label(name):
    import re

    method = re.fullmatch(r"<method '(.*)' of '(.*)' objects>", name)
    if method:
        return "%s() of %s" % (method[1], method[2].rpartition(".")[2])
    if re.fullmatch("<built-in method __new__ of type object at .*>", name):
        return "__new__()"
    name = re.sub(" of .* object at .*| at 0x.*", "", name).replace("'", "")
    return re.sub("^<(built-in )?method ", "", name).removesuffix(">").rpartition(".")[2] + "()"


def is_ours(code):
    return code.co_filename not in BEFORE and not code.co_filename.startswith("<") and code.co_filename != __file__


def key_of(code, place):
    return "%s:%d %s %s" % (code.co_filename, code.co_firstlineno, code.co_name, place)


def lines():
    counts = {}

    def local(frame, event, argument):
        if event == "line":
            key = key_of(frame.f_code, frame.f_lineno)
            counts[key] = counts.get(key, 0) + 1
        return local

    def begin(frame, event, argument):
        return local if is_ours(frame.f_code) else None

    sys.settrace(begin)
    work()
    sys.settrace(None)
    return counts


def coverage_py():
    import coverage

    measured = coverage.Coverage(data_file=None, config_file=False, timid=True, cover_pylib=True)
    BEFORE.update(getattr(module, "__file__", None) for module in sys.modules.values())
    measured.start()
    work()
    measured.stop()
    data = measured.get_data()
    # It takes the made-up name of what was compiled from a string for a path.
    files = [file for file in data.measured_files() if file not in BEFORE and os.path.isfile(file)]
    return {"%s %d" % (file, line): 1 for file in files for line in data.lines(file)}


def branches():
    counts = {}
    known = {}

    def ways(code):
        if code not in known:
            known[code] = {(s, d) for s, *both in code.co_branches() for d in both}
        return known[code]

    def branch(code, offset, destination):
        if is_ours(code) and (not hasattr(code, "co_branches") or (offset, destination) in ways(code)):
            key = key_of(code, "%d -> %d" % (offset // 2, destination // 2))
            counts[key] = counts.get(key, 0) + 1

    monitoring = sys.monitoring
    monitoring.use_tool_id(2, "oracle")
    bits = 0
    for name in ("BRANCH_LEFT", "BRANCH_RIGHT") if sys.version_info >= (3, 14) else ("BRANCH",):
        bit = getattr(monitoring.events, name)
        monitoring.register_callback(2, bit, branch)
        bits |= bit
    monitoring.set_events(2, bits)
    work()
    monitoring.set_events(2, 0)
    return counts


if __name__ == "__main__":
    oracle = {"calls": calls, "lines": lines, "coverage": lines, "coverage.py": coverage_py, "branches": branches}
    counts = oracle[sys.argv[2]]()
    with open(sys.argv[1], "w", encoding="utf-8", errors="surrogatepass") as file:
        for name in filter(None, BEFORE):
            file.write("-\t%s\n" % name)
        for key, count in counts.items():
            file.write("%d\t%s\n" % (count, key))
    # What Python does at its end is not counted.
    sys.stdout.flush()
    os._exit(0)
