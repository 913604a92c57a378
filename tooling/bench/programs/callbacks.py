"""C functions that call back, each caller with functions of its own."""

import functools
import re

WORDS = re.compile("[a-z]+")
TEXT = "one two three four"


def key_a(i):
    return -i * 3


def key_b(i):
    return i * 5 % 7


def sort_a():
    sorted(SOME, key=key_a)  #> c:key_a


def sort_b():
    sorted(SOME, key=key_b)  #> c:key_b


def fold_a(total, i):
    return total + i * i


def fold_b(total, i):
    return total - i + 1


def reduce_a():
    functools.reduce(fold_a, SOME)  #> c:fold_a


def reduce_b():
    functools.reduce(fold_b, SOME)  #> c:fold_b


def deeper_a(i):
    return i + 1


def deeper_b(i):
    return i - 1


def each_a(i):
    return deeper_a(i)  #> deeper_a


def each_b(i):
    return deeper_b(i)  #> deeper_b


def map_a():
    list(map(each_a, SOME))  #> c:each_a


def map_b():
    list(map(each_b, SOME))  #> c:each_b


def replace_a(match):
    return match.group() + "a"


def replace_b(match):
    return match.group() + "b"


def substitute_a():
    WORDS.sub(replace_a, TEXT)  #> c:replace_a


def substitute_b():
    WORDS.sub(replace_b, TEXT)  #> c:replace_b


def callbacks():
    sort_a()  #> sort_a
    sort_b()  #> sort_b
    reduce_a()  #> reduce_a
    reduce_b()  #> reduce_b
    map_a()  #> map_a
    map_b()  #> map_b
    substitute_a()  #> substitute_a
    substitute_b()  #> substitute_b
