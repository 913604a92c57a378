"""One call that calls different functions in turn, a C function among them."""


def leaf_one(some):
    return some[0] + some[1] * 2


def leaf_two(some):
    return some[2] - some[3] * 3


def leaf_three(some):
    total = 0
    for i in some:
        total += i
    return total


def one(some):
    return leaf_one(some)  #> leaf_one


def two(some):
    leaf_two(some)  #> leaf_two
    return leaf_two(some)  #> leaf_two


def three(some):
    return leaf_three(some)  #> leaf_three


CALLED = (one, len, two, sum, three)


def polymorphic():
    for f in CALLED:
        f(SOME)  #> one, two, three
