# SPDX-License-Identifier: MIT
"""What the scenarios of this folder run on: asyncio's own loop, turn by turn, with
a clock that stands until it is moved. scenario.hpp is the same for aster.

A scenario is a function `ord_1(s)` of a `Scenario`; what it notes is the trace of
ORD-1. Notes of different turns of the loop are separated by a `|` for each turn that
began between them, so that a trace says when, not only in which order.
"""

import asyncio

TICK = 1.0


class InOrder(dict):
    """A set that is walked in the order of its making."""

    def add(self, item):
        self[item] = None

    def discard(self, item):
        self.pop(item, None)


class TaskGroup(asyncio.TaskGroup):
    """asyncio's cancels the children of a group in the order of their addresses."""

    def __init__(self):
        super().__init__()
        self._tasks = InOrder()


asyncio.TaskGroup = TaskGroup


class Loop(asyncio.SelectorEventLoop):
    def __init__(self):
        super().__init__()
        self.now = 1000.0
        self.turn_count = 0
        self._calls = 0

    def time(self):
        return self.now

    def call_at(self, when, callback, *args, context=None):
        # Equal deadlines in the order of the calls, which asyncio leaves open (LOOP-5).
        self._calls += 1
        return super().call_at(when + self._calls * 1e-9, callback, *args, context=context)

    def _run_once(self):
        self.turn_count += 1
        super()._run_once()
        if self.one_turn:
            self.stop()

    def turn(self, wait=False):
        self.one_turn = True
        if not wait:
            self.stop()
        try:
            self.run_forever()
        finally:
            self.one_turn = False

    one_turn = False

    def is_idle(self):
        return all(handle.cancelled() for handle in self._ready)

    def next_deadline(self):
        return min((timer.when() for timer in self._scheduled if not timer.cancelled()),
                   default=None)


class OrderedSet(dict):
    """The children of a TaskGroup in the order of their making; asyncio's set has none."""

    def add(self, item):
        self[item] = None

    def discard(self, item):
        self.pop(item, None)


def init_group(group, *, init=asyncio.TaskGroup.__init__):
    init(group)
    group._tasks = OrderedSet()


asyncio.TaskGroup.__init__ = init_group


class Scenario:
    def __init__(self):
        self.loop = Loop()
        self.loop.set_exception_handler(self._handle)
        self.handled = None  # What the exception handler does; nothing by default.
        self.mark_turns = True
        self.waits = False  # For what the outside world does: threads, the network.
        self.trace = ""
        self._last_turn = None
        self._start = self.loop.now
        asyncio.set_event_loop(self.loop)

    def _handle(self, loop, context):
        if self.handled is not None:
            self.handled(context)

    def close(self):
        self.loop.close()
        asyncio.set_event_loop(None)

    def note(self, text):
        turn = self.loop.turn_count
        if self.trace:
            if self.mark_turns:
                self.trace += " |" * (turn - self._last_turn)
            self.trace += " "
        self._last_turn = turn
        self.trace += text

    def notes(self, text):
        return lambda *_: self.note(text)

    def later(self, ticks, callback):
        """Calls it when the clock shows so many ticks since the start."""
        return self.loop.call_at(self.at(ticks), callback)

    def at(self, ticks):
        return self._start + ticks * TICK

    def turns(self, count):
        for _ in range(count):
            self.loop.turn()

    def drive(self, is_done):
        """Runs turns; moves the clock to the next deadline when nothing is ready."""
        for _ in range(2000):
            if is_done():
                return
            wait = False
            if self.loop.is_idle():
                deadline = self.loop.next_deadline()
                if deadline is not None:
                    self.loop.now = max(self.loop.now, deadline + 1e-7)
                elif self.waits:
                    wait = True
                else:
                    self.note("stuck")
                    return
            self.loop.turn(wait)
        self.note("endless")

    def run(self, coroutine):
        """Runs it as a task until that has ended; its error is noted."""
        task = self.loop.create_task(coroutine)
        self.drive(task.done)
        if task.done() and (task.cancelled() or task.exception() is not None):
            self.note("main:" + outcome_of(task))

    async def noted(self, name, awaitable):
        """Awaits it and notes how that ended; gives no error on."""
        try:
            value = await awaitable
        except BaseException as error:
            self.note(f"{name}:{name_of(error)}")
        else:
            self.note(name if value is None else f"{name}:{value}")


def name_of(error):
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, BaseExceptionGroup):
        return "group(" + ",".join(name_of(each) for each in error.exceptions) + ")"
    if isinstance(error, ValueError):
        return str(error) or "error"
    if isinstance(error, KeyboardInterrupt):
        return "interrupt"
    return type(error).__name__


def outcome_of(future):
    if not future.done():
        return "pending"
    if future.cancelled():
        return "cancelled"
    if future.exception() is not None:
        return name_of(future.exception())
    return "done" if future.result() is None else str(future.result())
