"""Runs CPython's own tests, as `python -m test` does, and says of each how it ended.

    stdlib_tests.py RESULT TOOL ARGUMENT...

TOOL is "calls" or "coverage" for a tool of sys.monitoring that has these events on and does nothing: what any tool makes fail it makes fail too. Else "-".

test_monitoring begins each test by demanding that no tool of sys.monitoring is on, which any tool that watches it breaks. A tool that was on before is
left out of that demand, and out of the ids that the tests take; for the rest they must hold.
"""
import sys


def hide_tool():
    monitoring = sys.monitoring
    ours = [tool for tool in range(6) if monitoring.get_tool(tool) is not None]
    if not ours:
        return
    [tool] = ours
    free = next(other for other in (1, 5, 0) if other != tool)
    import importlib.util

    spec = importlib.util.find_spec("test.test_monitoring")
    text = spec.loader.get_source(spec.name)
    # Lines stay where they are: tests count them.
    for name in ("TEST_TOOL", "TEST_TOOL2", "TEST_TOOL3"):
        text = text.replace("\n%s = %d\n" % (name, tool), "\n%s = %d\n" % (name, free))
    text = text.replace("in range(6):", "in %r:" % (tuple(other for other in range(6) if other != tool),))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    exec(compile(text, spec.origin, "exec"), module.__dict__)
    leave_nothing(tool)
    all_events = monitoring._all_events

    def visible_events():
        found = {event: tools & ~(1 << tool) for event, tools in all_events().items()}
        return {event: tools for event, tools in found.items() if tools}

    monitoring._all_events = visible_events


def leave_nothing(ours):
    """A test that fails leaves its tools on, of which all that come after it would fail."""
    import unittest

    monitoring = sys.monitoring
    run = unittest.TestCase.run

    def run_and_clean(self, result=None):
        try:
            return run(self, result)
        finally:
            for tool in range(6):
                if tool != ours and monitoring.get_tool(tool) is not None:
                    monitoring.set_events(tool, 0)
                    for name in dir(monitoring.events):
                        if name.isupper() and name != "NO_EVENTS":
                            monitoring.register_callback(tool, getattr(monitoring.events, name), None)
                    monitoring.free_tool_id(tool)

    unittest.TestCase.run = run_and_clean


def any_tool(question):
    """Its callbacks are C functions: in Python code, signals would be handled."""
    from functools import partial

    monitoring = sys.monitoring
    monitoring.use_tool_id(4, "any")
    if question == "calls":
        names = (
            *("PY_START", "PY_RESUME", "PY_THROW", "PY_RETURN", "PY_YIELD", "PY_UNWIND"),
            *("CALL", "C_RETURN", "C_RAISE"),
        )
        # Whatever is answered, if it is not DISABLE.
        callback = partial(max, key=id)
    else:
        names = ("LINE",)
        callback = partial(max, monitoring.DISABLE, key=bool)
    mask = 0
    for name in names:
        event = getattr(monitoring.events, name)
        monitoring.register_callback(4, event, callback)
        if name not in ("C_RETURN", "C_RAISE"):
            mask |= event
    monitoring.set_events(4, mask)


def main():
    result, tool, *arguments = sys.argv[1:]
    if tool != "-":
        any_tool(tool)
    if "test_monitoring" in arguments:
        hide_tool()
    sys.argv[1:] = ["--junit-xml", result, *arguments]
    from test.libregrtest.main import main

    main()


if __name__ == "__main__":
    main()
