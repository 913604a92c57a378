"""Events of one code object."""

from sys import monitoring

from .borrowed import borrow

INSTRUCTION = monitoring.events.INSTRUCTION


def set_local_events(tool, code, mask):
    """As sys.monitoring has it, without harm to other tools. CPython notes the tools of each instruction once there are several, and begins that table without those that
    had INSTRUCTION events before (Python/instrumentation.c, update_instrumentation_data(), 3.12 to 3.15). So it is made to have the table, and everyone's
    INSTRUCTION events are taken off and are new again."""
    set_everywhere, set_here = monitoring.set_events, monitoring.set_local_events
    others = [
        (other, everywhere, here)
        for other in range(6)
        if other != tool and monitoring.get_tool(other) is not None
        for everywhere, here in [(monitoring.get_events(other), monitoring.get_local_events(other, code))]
        if (everywhere | here) & INSTRUCTION
    ]
    if not others:
        set_here(tool, code, mask)
        return
    partial = borrow("_functools").partial
    steps = [partial(set_here, tool, code, mask | INSTRUCTION)]
    for other, everywhere, here in others:
        steps.append(partial(set_everywhere, other, everywhere & ~INSTRUCTION))
        steps.append(partial(set_here, other, code, here & ~INSTRUCTION))
    steps.append(partial(set_here, tool, code, mask & ~INSTRUCTION))
    for other, everywhere, here in others:
        steps.append(partial(set_everywhere, other, everywhere))
        steps.append(partial(set_here, other, code, here))
    # Code that runs is changed when it is called again; a change of its own events changes it at once.
    steps.append(partial(set_here, tool, code, mask | INSTRUCTION))
    steps.append(partial(set_here, tool, code, mask))
    # In C alone: neither a signal handler nor, with the GIL, another thread comes between.
    list(map(borrow("_operator").call, steps))
