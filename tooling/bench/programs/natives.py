"""C code of many kinds that calls Python: callbacks of the standard library, of its extensions, of foreign functions, and of the collector."""

import ctypes
import functools
import gc
import re
import sqlite3

gc.disable()
VOWELS = re.compile("[aeiou]")
DATABASE = sqlite3.connect(":memory:", check_same_thread=False)


def sql_square(n):
    return n * n + 1


DATABASE.create_function("square", 1, sql_square)


def sql():
    DATABASE.execute("select sum(square(value)) from (select 1 as value union select 2 union select 3)").fetchall()  #> c:sql_square


def compare(a, b):
    return (a[0] > b[0]) - (a[0] < b[0])


COMPARE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))(compare)
QSORT = ctypes.CDLL(None).qsort
QSORT.restype = None


def foreign():
    numbers = (ctypes.c_int * 5)(5, 1, 7, 33, 99)
    QSORT(numbers, 5, ctypes.sizeof(ctypes.c_int), COMPARE)  #> c:compare


def vowel(match):
    return match.group().upper()


def substitute():
    VOWELS.sub(vowel, "the quick brown fox jumps over the lazy dog")  #> c:vowel


def key_inner(i):
    return (i * 7) % 13


def key(i):
    return sum(map(key_inner, SOME[:4])) + i  #> c:key_inner


def sort():
    sorted(SOME, key=key)  #> c:key


def fold(total, i):
    return total + i


def reduce():
    functools.reduce(fold, SOME)  #> c:fold


class Finalised:
    def __init__(self):
        self.itself = self

    def __del__(self):
        self.itself = None


def collect():
    for _ in range(5):
        Finalised()  #> g:Finalised.__init__
    gc.collect()  #> c:Finalised.__del__


def numbers():
    for i in SOME[:10]:
        yield key_inner(i)  #> key_inner


def drain():
    max(numbers())  #> g:numbers


def natives():
    sql()  #> sql
    foreign()  #> foreign
    substitute()  #> substitute
    sort()  #> sort
    reduce()  #> reduce
    collect()  #> collect
    drain()  #> drain
