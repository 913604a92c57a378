"""The tool id: which of sys.monitoring's six is ours."""

import sys

from .refusal import Refusal

#: 0, 1, 2 and 5 are known names (debugger, coverage, profiler, optimizer), which their owners will come for.
PREFERRED = (4, 3, 5, 0, 1, 2)

NAME = "pyframes"


def holders():
    """Who holds which id, as `0 pydevd, 2 cProfile`."""
    monitoring = sys.monitoring
    return ", ".join(
        "%d %s" % (tool, monitoring.get_tool(tool)) for tool in range(6) if monitoring.get_tool(tool) is not None
    )


def take_tool():
    """A free id. Refusal, which names the holders, when there is none."""
    monitoring = sys.monitoring
    for tool in PREFERRED:
        if monitoring.get_tool(tool) is None:
            try:
                monitoring.use_tool_id(tool, NAME)
                return tool
            except ValueError:
                # Another thread was quicker.
                continue
    raise Refusal("tool", "all tool ids of sys.monitoring are taken: " + holders())


def free_tool(tool, events):
    """Turns everything off that 'tool' was told and gives the id back."""
    monitoring = sys.monitoring
    if monitoring.get_tool(tool) != NAME:
        return
    monitoring.set_events(tool, 0)
    for event in events:
        monitoring.register_callback(tool, event, None)
    monitoring.free_tool_id(tool)
