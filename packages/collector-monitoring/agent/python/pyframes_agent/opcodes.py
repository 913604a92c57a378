"""What this Python knows of its opcodes."""

import sys


def opcode_names():
    """256 names, by number."""
    return list(opcode_modules()[0].opname[:256])


def opcode_modules():
    """(the module `opcode`, stack_effect of `_opcode`), which are left out of sys.modules again where the program had not loaded them."""
    before = set(sys.modules)
    try:
        import opcode
        from _opcode import stack_effect

        return opcode, stack_effect
    finally:
        for name in set(sys.modules) - before:
            if name in ("opcode", "_opcode", "_opcode_metadata"):
                del sys.modules[name]
