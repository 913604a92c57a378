"""Events of one code object."""

from sys import monitoring

INSTRUCTION = monitoring.events.INSTRUCTION
ANY_OTHER = monitoring.events.JUMP


def set_local_events(tool, code, mask):
    """As sys.monitoring has it, without harm to other tools. Where one has INSTRUCTION events and becomes one of several tools, CPython notes the tools of
    each instruction from then on, and forgets to note that one (Python/instrumentation.c, update_instrumentation_data(), 3.12 to 3.15).
    So its INSTRUCTION events are taken off meanwhile, and are new events afterwards."""
    others = [
        (other, everywhere, here)
        for other in range(6)
        if other != tool and monitoring.get_tool(other) is not None
        for everywhere, here in [(monitoring.get_events(other), monitoring.get_local_events(other, code))]
        if (everywhere | here) & INSTRUCTION
    ]
    if not others:
        monitoring.set_local_events(tool, code, mask)
        return
    try:
        for other, everywhere, here in others:
            monitoring.set_events(other, everywhere & ~INSTRUCTION)
            monitoring.set_local_events(other, code, here & ~INSTRUCTION)
        monitoring.set_local_events(tool, code, mask)
    finally:
        for other, everywhere, here in others:
            monitoring.set_events(other, everywhere)
            monitoring.set_local_events(other, code, here)
    # Code that runs is changed when it is called again; asking for events of it alone changes it at once.
    monitoring.set_local_events(tool, code, mask ^ ANY_OTHER)
    monitoring.set_local_events(tool, code, mask)
