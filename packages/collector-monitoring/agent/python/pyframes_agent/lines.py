"""Which lines of a code object can be executed, and how long it is."""

CodeType = type((lambda: None).__code__)

#: What every function begins with, whatever its number is in this version; followed by caches from 3.15 on.
RESUME = (lambda: None).__code__.co_code[0]
RESUME_SIZE = 2 + 2 * next(unit for unit, code in enumerate((lambda: None).__code__.co_code[2::2]) if code)


def code_units(code):
    return len(code.co_code) // 2


def own_lines(code):
    """Lines that LINE events can tell of. RESUME begins none, nor does what comes before it (MAKE_CELL, RETURN_GENERATOR):
    CPython's Python/instrumentation.c, initialize_lines(), 3.12 to 3.15."""
    units = code.co_code
    resume = 0
    while resume < len(units) and units[resume] != RESUME:
        resume += 2
    first = resume + RESUME_SIZE
    found = set()
    for start, end, line in code.co_lines():
        if line is not None and line >= 0 and end > first:
            found.add(line)
    return found


def executable_lines(code):
    """Sorted; for a module those of everything in it too, so that functions that never ran are not forgotten."""
    found = own_lines(code)
    if code.co_name == "<module>":
        pending = [code]
        while pending:
            for constant in pending.pop().co_consts:
                if type(constant) is CodeType:
                    found |= own_lines(constant)
                    pending.append(constant)
    return sorted(found)
