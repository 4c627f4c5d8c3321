# SPDX-License-Identifier: MIT
"""ORD scenarios of callbacks, timers and descriptors; order_callbacks_test.cpp is
their other half."""

import contextlib
import socket
import threading


def ord_1(s):
    s.loop.call_soon(s.notes("a"))
    s.loop.call_soon(s.notes("b"))
    s.loop.call_soon(s.notes("c"))
    s.turns(2)


def ord_2(s):
    def a():
        s.note("a")
        s.loop.call_soon(s.notes("d"))

    s.loop.call_soon(a)
    s.loop.call_soon(s.notes("b"))
    s.loop.call_soon(s.notes("c"))
    s.turns(3)


def ord_3(s):
    s.loop.call_later(0, s.notes("t"))
    s.loop.call_soon(s.notes("a"))
    s.loop.now += 1e-6
    s.turns(3)


def ord_4(s):
    s.loop.call_soon(s.notes("a"))
    s.loop.call_later(-1, s.notes("t"))
    s.loop.call_soon(s.notes("b"))
    s.turns(3)


@contextlib.contextmanager
def readable():
    """A descriptor that stays readable: a listening socket that nobody accepts from."""
    with socket.socket() as server, socket.socket() as client:
        server.bind(("127.0.0.1", 0))
        server.listen()
        client.connect(server.getsockname())
        yield server.fileno()


def ord_5(s):
    with readable() as fd:
        def io():
            s.note("io")
            s.loop.remove_reader(fd)

        s.later(0, s.notes("timer"))
        s.loop.now += 1e-6
        s.loop.add_reader(fd, io)
        s.loop.call_soon(s.notes("ready"))
        s.turns(3)


def ord_6(s):
    future = s.loop.create_future()
    for name in ("c1", "c2", "c3"):
        future.add_done_callback(s.notes(name))
    future.set_result(None)
    s.loop.call_soon(s.notes("x"))
    s.turns(3)


def ord_7(s):
    future = s.loop.create_future()
    future.add_done_callback(s.notes("callback"))

    def setter():
        future.set_result(None)
        s.note("after")

    s.loop.call_soon(setter)
    s.turns(3)


def ord_8(s):
    future = s.loop.create_future()
    future.set_result(None)

    def adder():
        future.add_done_callback(s.notes("callback"))
        s.note("after")

    s.loop.call_soon(adder)
    s.turns(3)


def ord_17(s):
    def b():
        s.note("b")
        s.loop.stop()

    def c():
        s.note("c")
        s.loop.call_soon(s.notes("later"))

    s.loop.call_soon(s.notes("a"))
    s.loop.call_soon(b)
    s.loop.call_soon(c)
    s.loop.run_forever()
    s.note("returned")
    s.turns(1)


def ord_18(s):
    s.mark_turns = False
    future = s.loop.create_future()

    def a():
        s.note("a")
        future.set_result(None)
        s.loop.call_soon(s.notes("p"))

    def b():
        s.note("b")
        s.loop.call_soon(s.notes("q"))

    s.loop.call_soon(a)
    s.loop.call_soon(b)
    s.loop.run_until_complete(future)
    s.note("returned")


def ord_37(s):
    def post():
        s.loop.call_soon_threadsafe(s.notes("x1"))
        s.loop.call_soon_threadsafe(s.notes("x2"))

    thread = threading.Thread(target=post)
    thread.start()
    thread.join()
    s.turns(2)


def ord_38(s):
    def b():
        raise ValueError("b")

    s.handled = lambda context: s.note("handler:" + str(context["exception"]))
    s.loop.call_soon(s.notes("a"))
    s.loop.call_soon(b)
    s.loop.call_soon(s.notes("c"))
    s.turns(2)


def ord_39(s):
    def b():
        raise KeyboardInterrupt

    s.loop.call_soon(s.notes("a"))
    s.loop.call_soon(b)
    s.loop.call_soon(s.notes("c"))
    try:
        s.loop.run_forever()
    except KeyboardInterrupt:
        s.note("raised")
    s.turns(1)


def ord_40(s):
    s.later(2, s.notes("second"))
    s.later(1, s.notes("first"))
    s.loop.now = s.at(3)
    s.turns(2)


def ord_41(s):
    def a():
        s.note("a")
        timer.cancel()

    s.later(1, a)
    timer = s.later(1, s.notes("never"))
    s.later(1, s.notes("b"))
    s.loop.now = s.at(2)
    s.turns(2)


def ord_42(s):
    with readable() as fd:
        def remover():
            s.note("removed:" + str(s.loop.remove_reader(fd)).lower())

        # In the ready queue before the poll that finds the descriptor readable, so
        # it runs before the reader's callback in the same batch.
        s.loop.add_reader(fd, s.notes("never"))
        s.loop.call_soon(remover)
        s.turns(3)
