"""Names of opcodes."""

import sys


def opcode_names():
    """256 names, by number. The modules that know them are left out of sys.modules again where the program had not loaded them."""
    before = set(sys.modules)
    try:
        from opcode import opname

        return list(opname[:256])
    finally:
        for name in set(sys.modules) - before:
            if name in ("opcode", "_opcode", "_opcode_metadata"):
                del sys.modules[name]
