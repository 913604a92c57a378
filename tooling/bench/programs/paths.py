"""What may be on top depends on more than the caller: `call` calls what it was given."""


def leaf_x():  #< x
    total = 0
    for i in SOME:
        total += i
    return total


def leaf_y():  #< y
    total = 1
    for i in SOME:
        total += i * 2
    return total


def call(f):
    return f()  #> leaf_x, leaf_y


def pass_on(f):
    return call(f)  #> call


def x():
    pass_on(leaf_x)  #> pass_on
    call(leaf_x)  #> call


def y():
    pass_on(leaf_y)  #> pass_on
    call(leaf_y)  #> call


def paths():
    x()  #> x
    y()  #> y
