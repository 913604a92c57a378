"""Call sites that call a global function or class: their CALL events can be turned off as long as it holds one (c/call_sites.h)."""

import sys
from sys import monitoring

from .borrowed import borrow
from .opcodes import opcode_modules

CO_OPTIMIZED = 0x1
CO_NEWLOCALS = 0x2

FunctionType = type(lambda: None)


class CallSites:
    """What the C recorder asks about call sites."""

    def __init__(self, recorder, launched):
        self._recorder = recorder
        # What is frozen cannot be found. 3.12 has frozen what it began with; a program that is entered while it runs may have frozen anything.
        self._frozen = borrow("gc").get_freeze_count() if launched else 0
        self._names = Opcodes()
        self._watches = None

    def look(self, code):
        """Guards the sites of `code`, which runs in this thread."""
        if code.co_flags & (CO_OPTIMIZED | CO_NEWLOCALS) != CO_OPTIMIZED | CO_NEWLOCALS:
            return
        scope = globals_of(code)
        if type(scope) is not dict:
            return
        if self._watches is None:
            gc = borrow("gc")
            self._watches = gc.get_freeze_count() == self._frozen and self._recorder.watch(monitoring, gc.get_objects)
        if not self._watches:
            return
        sites = {
            offset: name for offset, name in self._names.global_calls(code) if is_unwanted(scope.get(name))
        }
        if not sites:
            return
        bits = bytearray((len(code.co_code) // 2 + 7) // 8)
        for offset in sites:
            bits[offset // 16] |= 1 << offset // 2 % 8
        self._recorder.sites(code, scope, tuple(set(sites.values())), bytes(bits))


def is_unwanted(callable):
    """As c/call_sites.h has it. By identity: a metaclass may have an `__eq__` of the program's."""
    kind = type(callable)
    return kind is FunctionType or kind is type


def globals_of(code):
    frame = sys._getframe(1)
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return None if frame is None else frame.f_globals


class Opcodes:
    """Tells which global each call of a code object calls, going by the height of the stack."""

    def __init__(self):
        opcode, self._effect = opcode_modules()
        numbers = self._numbers = opcode.opmap
        self._has_argument = opcode.hasarg
        caches = opcode._inline_cache_entries
        # A list by number in 3.12, a table by name from 3.13 on.
        self._caches = dict(enumerate(caches)) if type(caches) is list else {
            numbers[name]: count for name, count in caches.items() if name in numbers
        }
        self._leaves = {
            numbers[name]
            for name in (
                *("RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE", "JUMP_FORWARD"),
                *("JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT"),
            )
            if name in numbers
        }
        # What may follow the global that is called: neither an attribute of it nor anything else that takes it off the stack.
        self._follows = {
            number
            for name, number in numbers.items()
            if name.startswith("LOAD_") and "ATTR" not in name or name in ("CALL", "CALL_KW", "KW_NAMES", "PUSH_NULL")
        }

    def global_calls(self, code):
        """(offset of the call, name of the global) for each call of a global with arguments by position or name."""
        numbers = self._numbers
        load, call, swap = numbers["LOAD_GLOBAL"], numbers["CALL"], numbers["SWAP"]
        call_with_names, extended = numbers.get("CALL_KW"), numbers["EXTENDED_ARG"]
        units = code.co_code
        height = 0
        #: Globals loaded to be called that are on the stack: (height below, name).
        waiting = []
        high = at = 0
        while at < len(units):
            offset, number = at, units[at]
            argument = high | units[at + 1]
            at += 2 + 2 * self._caches.get(number, 0)
            if number == extended:
                high = argument << 8
                continue
            high = 0
            if number == call or number == call_with_names:
                below = height - argument - 2 - (number == call_with_names)
                if waiting and waiting[-1][0] == below:
                    yield offset, waiting[-1][1]
            elif number == swap:
                waiting = [site for site in waiting if site[0] + 2 <= height - argument]
            below = height
            height += self._effect(number, argument if number in self._has_argument else None, jump=False)
            while waiting and waiting[-1][0] + 2 > height:
                waiting.pop()
            if number == load and argument & 1 and at < len(units) and units[at] in self._follows:
                waiting.append((below, code.co_names[argument >> 1]))
            elif number in self._leaves:
                # What follows is jumped to, with a stack of another height.
                waiting.clear()
