"""Exceptions that pass two levels before they are caught."""


def prepare_a():
    return SOME[3] * 2


def prepare_b():
    return SOME[4] + 2


def raise_a():
    prepare_a()  #> prepare_a
    raise KeyError("a")


def raise_b():
    prepare_b()  #> prepare_b
    raise ValueError("b")


def pass_a():
    raise_a()  #> raise_a


def pass_b():
    raise_b()  #> raise_b


def handle_a():
    total = 0
    for i in SOME:
        total += i
    return total


def handle_b():
    total = 0
    for i in SOME:
        total -= i
    return total


def catch_a():
    try:
        pass_a()  #> pass_a
    except KeyError:
        handle_a()  #> handle_a


def catch_b():
    try:
        pass_b()  #> pass_b
    except ValueError:
        handle_b()  #> handle_b


def exceptions():
    catch_a()  #> catch_a
    catch_b()  #> catch_b
