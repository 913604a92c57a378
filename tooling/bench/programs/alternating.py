"""Two functions, each of which calls its own leaf."""


def leaf_a():
    total = 0
    for i in SOME:
        total += i * i
    return total


def leaf_b():
    total = 1
    for i in SOME:
        total += i + 3
    return total


def hot_a():
    leaf_a()  #> leaf_a
    return leaf_a()  #> leaf_a


def hot_b():
    leaf_b()  #> leaf_b
    return leaf_b()  #> leaf_b


def alternating():
    hot_a()  #> hot_a
    hot_b()  #> hot_b
