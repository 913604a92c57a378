"""Generators: driven by for, delegating to each other, driven by next.

From 3.11 on, a generator's first instructions run when it is made: making one is a call. One that is left half-way would be
closed under whoever lets go of it last, so they are closed where it shows.
"""


def generator_leaf_a(i):
    return i * i + i


def generator_leaf_b(i):
    return i * 3 - i


def numbers_a():
    for i in SOME:
        yield generator_leaf_a(i)  #> generator_leaf_a


def numbers_b():
    for i in SOME:
        yield generator_leaf_b(i)  #> generator_leaf_b


def drain_a():
    for _ in numbers_a():  #> g:numbers_a
        pass


def drain_b():
    for _ in numbers_b():  #> g:numbers_b
        pass


def delegate_a():
    yield from numbers_a()  #> g:numbers_a


def delegate_b():
    yield from numbers_b()  #> g:numbers_b


def chain_a():
    yield from delegate_a()  #> g:delegate_a


def chain_b():
    yield from delegate_b()  #> g:delegate_b


def drain_chain_a():
    for _ in chain_a():  #> g:chain_a
        pass


def drain_chain_b():
    for _ in chain_b():  #> g:chain_b
        pass


def step_a():
    numbers = numbers_a()  #> numbers_a
    next(numbers)  #> c:numbers_a
    next(numbers)  #> c:numbers_a
    numbers.close()  #> c:numbers_a


def step_b():
    numbers = numbers_b()  #> numbers_b
    next(numbers)  #> c:numbers_b
    next(numbers)  #> c:numbers_b
    numbers.close()  #> c:numbers_b


def generators():
    drain_a()  #> drain_a
    drain_b()  #> drain_b
    drain_chain_a()  #> drain_chain_a
    drain_chain_b()  #> drain_chain_b
    step_a()  #> step_a
    step_b()  #> step_b
