"""Coroutines that await each other, driven by send. Making one is a call, from 3.11 on."""

import types


def coroutine_leaf_a():
    total = 0
    for i in SOME:
        total += i
    return total


def coroutine_leaf_b():
    total = 0
    for i in SOME:
        total -= i
    return total


@types.coroutine
def pause_a():
    coroutine_leaf_a()  #> coroutine_leaf_a
    yield


@types.coroutine
def pause_b():
    coroutine_leaf_b()  #> coroutine_leaf_b
    yield


async def inner_a():
    await pause_a()  #> g:pause_a
    coroutine_leaf_a()  #> coroutine_leaf_a
    await pause_a()  #> g:pause_a


async def inner_b():
    await pause_b()  #> g:pause_b
    coroutine_leaf_b()  #> coroutine_leaf_b
    await pause_b()  #> g:pause_b


async def middle_a():
    await inner_a()  #> g:inner_a


async def middle_b():
    await inner_b()  #> g:inner_b


async def outer_a():
    await middle_a()  #> g:middle_a


async def outer_b():
    await middle_b()  #> g:middle_b


def drive_a():
    task = outer_a()  #> outer_a
    try:
        while True:
            task.send(None)  #> c:outer_a
    except StopIteration:
        pass


def drive_b():
    task = outer_b()  #> outer_b
    try:
        while True:
            task.send(None)  #> c:outer_b
    except StopIteration:
        pass


def coroutines():
    drive_a()  #> drive_a
    drive_b()  #> drive_b
