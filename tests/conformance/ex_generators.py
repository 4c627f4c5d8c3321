# SPDX-License-Identifier: MIT
"""Scenarios of generators; generators_test.cpp is their other half."""


def text_of(error):
    if isinstance(error, StopIteration):
        return "stop" if error.value is None else f"stop({error.value})"
    if isinstance(error, (RuntimeError, ValueError)):
        return f"{type(error).__name__}({error})"
    return type(error).__name__


def tried(s, name, call, *args):
    """Notes what it gives or how it fails."""
    try:
        value = call(*args)
    except BaseException as error:
        s.note(f"{name}:{text_of(error)}")
    else:
        s.note(name if value is None else f"{name}:{value}")


def talk(s, name, returns, ignore=False):
    """Yields twice and notes what happens to it."""
    step = 0
    while step < 2:
        step += 1
        try:
            word = yield f"{name}{step}"
            s.note(f"{name}<{word or ''}")
        except BaseException as error:
            s.note(f"{name}!{text_of(error)}")
            if isinstance(error, ValueError):
                continue
            if ignore:
                yield f"{name}ignores"
            raise
        finally:
            if not ignore:  # Else it runs when the garbage collector comes to it.
                s.note(f"{name}.")
    return returns


def ex_12(s):
    g = talk(s, "a", "end")
    for _ in range(4):
        tried(s, "next", next, g)


def ex_12_send(s):
    g = talk(s, "a", None)
    tried(s, "send", g.send, "early")
    tried(s, "next", next, g)
    tried(s, "send", g.send, "x")
    tried(s, "send", g.send, "y")
    tried(s, "send", g.send, "z")


def ex_12_throw(s):
    g = talk(s, "a", "end")
    tried(s, "next", next, g)
    tried(s, "throw", g.throw, ValueError("v"))
    tried(s, "throw", g.throw, KeyError())
    tried(s, "throw", g.throw, ValueError("late"))
    tried(s, "next", next, g)
    g = talk(s, "b", "end")
    tried(s, "throw", g.throw, ValueError("early"))
    tried(s, "next", next, g)


def ex_12_raised(s):
    def raises():
        yield 1
        raise StopIteration

    g = raises()
    tried(s, "next", next, g)
    tried(s, "next", next, g)
    g = talk(s, "a", "end")
    tried(s, "throw", g.throw, StopIteration())


def ex_12_itself(s):
    def asks_itself():
        tried(s, "inside", next, g)
        yield 1

    g = asks_itself()
    tried(s, "next", next, g)


def inner(s):
    word = yield 1
    s.note("inner " + word)
    yield 2
    return "3"


def outer(s):
    word = yield from inner(s)
    s.note("outer " + word)
    yield 4


def ex_12_inner_outer(s):
    g = outer(s)
    tried(s, "next", next, g)
    tried(s, "send", g.send, "abc")
    tried(s, "next", next, g)
    tried(s, "next", next, g)


def around(s, inner, catches, ignore=False):
    """Yields from another and notes how that ends."""
    try:
        s.note("returned:" + (yield from inner))
    except BaseException as error:
        s.note(f"outer!{text_of(error)}")
        if ignore:
            yield "outer ignores"
        if not catches:
            raise
    return "outer"


def deep(s, catches, returns="inner", ignore=False):
    return around(s, around(s, talk(s, "a", returns, ignore), catches), catches)


def ex_12_yield_from(s):
    g = deep(s, True)
    for _ in range(3):
        tried(s, "next", next, g)


def ex_12_yield_from_throw(s):
    for catches in (False, True):
        g = deep(s, catches)
        tried(s, "next", next, g)
        tried(s, "throw", g.throw, ValueError("v"))
        tried(s, "throw", g.throw, KeyError())
        tried(s, "next", next, g)


def ex_12_yield_from_begun(s):
    begun = talk(s, "a", "inner")
    tried(s, "next", next, begun)
    g = around(s, begun, True)
    tried(s, "next", next, g)
    tried(s, "next", next, g)


def ex_13(s):
    g = talk(s, "a", None)
    tried(s, "close", g.close)
    tried(s, "next", next, g)
    g = talk(s, "b", None)
    tried(s, "next", next, g)
    tried(s, "close", g.close)
    tried(s, "close", g.close)
    tried(s, "next", next, g)


def ex_13_ignored(s):
    g = talk(s, "a", None, True)
    tried(s, "next", next, g)
    tried(s, "close", g.close)
    tried(s, "next", next, g)


def ex_13_returns(s):
    g = around(s, talk(s, "a", None), True)
    tried(s, "next", next, g)
    tried(s, "close", g.close)


def ex_13_yield_from(s):
    for catches in (False, True):
        g = deep(s, catches)
        tried(s, "next", next, g)
        tried(s, "close", g.close)
        tried(s, "next", next, g)


def ex_13_yield_from_ignored(s):
    for catches in (False, True):
        g = deep(s, catches, ignore=True)
        tried(s, "next", next, g)
        tried(s, "close", g.close)
    g = around(s, talk(s, "a", "inner"), False, ignore=True)
    tried(s, "next", next, g)
    tried(s, "close", g.close)
    tried(s, "close", g.close)


def fails(s):
    try:
        yield 1
    finally:
        s.note("fails")
        raise ValueError("cleanup")


def ex_13_yield_from_fails(s):
    for catches in (False, True):
        g = around(s, around(s, fails(s), catches), catches)
        tried(s, "next", next, g)
        tried(s, "close", g.close)


def ex_13_cleanup_yields_from(s):
    def nothing():
        s.note("nothing")
        return "x"
        yield

    def cleans(inner):
        try:
            yield 1
        finally:
            s.note("got " + (yield from inner))

    g = around(s, cleans(nothing()), False)
    tried(s, "next", next, g)
    tried(s, "close", g.close)
    def yields():
        yield 2

    g = around(s, cleans(yields()), True)
    tried(s, "next", next, g)
    tried(s, "close", g.close)


def ex_13_thrown(s):
    for catches in (False, True):
        g = deep(s, catches)
        tried(s, "next", next, g)
        tried(s, "throw", g.throw, GeneratorExit())
    g = around(s, talk(s, "a", "inner"), False, ignore=True)
    tried(s, "next", next, g)
    tried(s, "throw", g.throw, GeneratorExit())
    tried(s, "next", next, g)
