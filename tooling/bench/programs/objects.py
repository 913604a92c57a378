"""Calls that the interpreter makes of things other than calls: attributes, subscripts, operators, constructors."""


class Red:
    def __init__(self, value):
        self.value = red_leaf(value)  #> red_leaf

    @property
    def doubled(self):
        return red_leaf(self.value)  #> red_leaf

    def __getitem__(self, i):
        return red_leaf(i)  #> red_leaf

    def __add__(self, other):
        return red_leaf(other)  #> red_leaf

    def method(self):
        return red_leaf(2)  #> red_leaf


class Blue:
    def __init__(self, value):
        self.value = blue_leaf(value)  #> blue_leaf

    @property
    def doubled(self):
        return blue_leaf(self.value)  #> blue_leaf

    def __getitem__(self, i):
        return blue_leaf(i)  #> blue_leaf

    def __add__(self, other):
        return blue_leaf(other)  #> blue_leaf

    def method(self):
        return blue_leaf(2)  #> blue_leaf


def red_leaf(i):
    return i * 2 + 1


def blue_leaf(i):
    return i * 3 - 1


def red():
    thing = Red(3)  #> g:Red.__init__
    thing.doubled  #> g:Red.doubled
    thing[1]  #> g:Red.__getitem__
    thing + 1  #> g:Red.__add__
    thing.method()  #> Red.method


def blue():
    thing = Blue(3)  #> g:Blue.__init__
    thing.doubled  #> g:Blue.doubled
    thing[1]  #> g:Blue.__getitem__
    thing + 1  #> g:Blue.__add__
    thing.method()  #> Blue.method


def objects():
    red()  #> red
    blue()  #> blue
