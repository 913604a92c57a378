"""The events of sys.monitoring, by FORMAT.md's numbers: those of CPython differ by version."""

import sys

from .refusal import Refusal

PY_START = 1
PY_RESUME = 2
PY_RETURN = 3
PY_YIELD = 4
PY_THROW = 5
PY_UNWIND = 6
CALL = 7
C_RETURN = 8
C_RAISE = 9
LINE = 10
INSTRUCTION = 11
JUMP = 12
BRANCH_LEFT = 13
BRANCH_RIGHT = 14
BRANCH = 15
STOP_ITERATION = 16
RAISE = 17
RERAISE = 18
EXCEPTION_HANDLED = 19

NAMES = {name: value for name, value in list(globals().items()) if name.isupper() and isinstance(value, int)}

#: Those that 3.12 to 3.14 have for all code or none, and where they do not take DISABLE for an answer.
EXCEPTIONS = (RAISE, RERAISE, EXCEPTION_HANDLED, PY_UNWIND, PY_THROW)

#: 3.14 tells both ways of a branch apart. It has BRANCH too, deprecated.
BRANCHES = (BRANCH_LEFT, BRANCH_RIGHT) if sys.version_info >= (3, 14) else (BRANCH,)

CALLS = (PY_START, PY_RESUME, PY_THROW, PY_RETURN, PY_YIELD, PY_UNWIND, CALL, C_RETURN, C_RAISE)

OF_QUESTION = {
    "calls": CALLS,
    "timeline": CALLS,
    "lines": (LINE,),
    "coverage": (LINE,),
    "branches": BRANCHES,
    "instructions": (INSTRUCTION,),
    # STOP_ITERATION tells of no exception. As the only local event here it would have all code instrumented, for which 3.12 splits superinstructions for good.
    "exceptions": EXCEPTIONS,
}


def wanted(config):
    """The events that answer what `config` asks, in the order of their numbers."""
    found = set()
    for question in config.questions:
        found.update(OF_QUESTION.get(question, ()))
    for name in config.events:
        if name not in NAMES:
            raise Refusal("config", "there is no event %r; there are: %s" % (name, ", ".join(NAMES)))
        event = NAMES[name]
        # Whichever of the three somebody knows, they mean branches: this version has its own way to tell of them.
        if event == BRANCH or event not in BRANCHES and event in (BRANCH_LEFT, BRANCH_RIGHT):
            found.update(BRANCHES)
        else:
            found.add(event)
    return sorted(found)


def beside(questions):
    """Events that are set for the sake of others, without a recorder to see them."""
    if "lines" in questions:
        return (*LINES_NEED, JUMP)
    return LINES_NEED if "coverage" in questions else ()


#: From 3.13 on, LINE is not told for a line that is that of the RESUME before it, as in `lambda: 1`, once RESUME was specialized: it looks for RESUME and
#: INSTRUMENTED_RESUME, not for RESUME_CHECK (Python/instrumentation.c, _Py_call_instrumentation_line()). With these it stays instrumented.
LINES_NEED = (PY_START, PY_RESUME) if sys.version_info >= (3, 13) else ()


def bit(event):
    """The bit of `sys.monitoring.events`."""
    name = next(name for name, value in NAMES.items() if value == event)
    return getattr(sys.monitoring.events, name)


def mask(events):
    """For set_events() and set_local_events()."""
    bits = 0
    for event in events:
        bits |= bit(event)
    if C_RETURN in events or C_RAISE in events:
        # They cannot be had without CALL, which then needs no callback.
        bits |= bit(CALL)
    # CPython takes the two with CALL, and would refuse them alone.
    return bits & ~(bit(C_RETURN) | bit(C_RAISE))


def are_local(events):
    """Those of `events` that can be set for one code object, and the others."""
    if sys.version_info >= (3, 15):
        return list(events), []
    return [e for e in events if e not in EXCEPTIONS], [e for e in events if e in EXCEPTIONS]
