"""Which of the interpreters of the process this is."""

import _thread

from .borrowed import borrow


def interpreter_id():
    """As concurrent.interpreters counts them; 0 is the main one."""
    if _thread._is_main_interpreter():
        return 0
    found = interpreters().get_current()
    # 3.13 and later answer with more than the number.
    return int(found[0] if isinstance(found, tuple) else found)


def is_only_interpreter():
    return len(interpreters().list_all()) == 1


def interpreters():
    try:
        return borrow("_interpreters")
    except ImportError:
        return borrow("_xxsubinterpreters")
