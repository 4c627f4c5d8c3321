# SPDX-License-Identifier: MIT
"""The cancellation matrix, without the network; cancellation_test.cpp is its other
half. In each one the awaiting task is cancelled while it waits."""

import asyncio
import threading

from scenario import outcome_of


async def pausing(turns):
    for _ in range(turns):
        await asyncio.sleep(0)


async def cancelled_while(s, awaitable, name="await"):
    """Awaits it in a task that is cancelled once it waits; the task's state."""
    async def waiter():
        await s.noted(name, awaitable)
        count = asyncio.current_task().cancelling()
        s.note(f"count:{count}")

    task = asyncio.create_task(waiter())
    await pausing(3)
    s.note("cancel")
    task.cancel()
    await task


def can_1(s):
    future = s.loop.create_future()

    async def main():
        await cancelled_while(s, future)
        s.note("future:" + outcome_of(future))

    s.run(main())


async def cleaning(s, name, turns):
    """Takes some turns to end when cancelled."""
    try:
        await asyncio.Future()
    finally:
        s.note(name + ":cancelled")
        await pausing(turns)
        s.note(name + ":ended")


async def swallowing(s, name):
    try:
        await asyncio.Future()
    except asyncio.CancelledError:
        s.note(name + ":swallowed")
    return "value"


def can_2(s):
    async def main():
        task = asyncio.create_task(cleaning(s, "task", 2))
        await cancelled_while(s, task)
        s.note("task:" + outcome_of(task))

    s.run(main())


def can_2_swallowed(s):
    async def main():
        task = asyncio.create_task(swallowing(s, "task"))
        await cancelled_while(s, task)
        s.note("task:" + outcome_of(task))

    s.run(main())


def can_3(s):
    async def main():
        await cancelled_while(s, cleaning(s, "inline", 1))

    s.run(main())


def can_3_swallowed(s):
    async def main():
        await cancelled_while(s, swallowing(s, "inline"))

    s.run(main())


async def ending(s, name, turns):
    await pausing(turns)
    s.note(name + ":ended")
    return "value"


def can_4(s):
    async def main():
        task = asyncio.create_task(ending(s, "task", 6))
        await cancelled_while(s, asyncio.shield(task))
        s.note("task:" + outcome_of(task))
        await s.noted("task", task)

    s.run(main())


def can_5(s):
    async def main():
        quick = asyncio.create_task(cleaning(s, "quick", 1))
        slow = asyncio.create_task(cleaning(s, "slow", 3))
        await cancelled_while(s, asyncio.gather(quick, slow))
        s.note("quick:" + outcome_of(quick))
        s.note("slow:" + outcome_of(slow))
        await pausing(4)

    s.run(main())


def can_5_return_exceptions(s):
    async def main():
        quick = asyncio.create_task(cleaning(s, "quick", 1))
        slow = asyncio.create_task(cleaning(s, "slow", 3))
        await cancelled_while(s, asyncio.gather(quick, slow, return_exceptions=True))
        s.note("quick:" + outcome_of(quick))
        s.note("slow:" + outcome_of(slow))
        await pausing(4)

    s.run(main())


def can_6(s):
    async def main():
        task = asyncio.create_task(ending(s, "task", 6))
        await cancelled_while(s, asyncio.wait([task]))
        s.note("task:" + outcome_of(task))
        await s.noted("task", task)

    s.run(main())


def can_7(s):
    async def main():
        task = asyncio.create_task(ending(s, "task", 6))
        each = asyncio.as_completed([task])
        await cancelled_while(s, next(each))
        s.note("task:" + outcome_of(task))
        await s.noted("task", task)

    s.run(main())


def can_8(s):
    async def main():
        task = asyncio.create_task(cleaning(s, "task", 2))
        await cancelled_while(s, asyncio.wait_for(task, 1000))
        s.note("task:" + outcome_of(task))

    s.run(main())


def can_8_swallowed(s):
    async def main():
        task = asyncio.create_task(swallowing(s, "task"))
        await cancelled_while(s, asyncio.wait_for(task, 1000))
        s.note("task:" + outcome_of(task))

    s.run(main())


class InOrder(dict):
    """A set that is gone through in order; asyncio's go by the objects' addresses."""

    def add(self, item):
        self[item] = True

    def discard(self, item):
        self.pop(item, None)


def can_9(s):
    async def group():
        async with asyncio.TaskGroup() as group:
            group._tasks = InOrder()
            group.create_task(cleaning(s, "child1", 1))
            group.create_task(cleaning(s, "child2", 3))

    async def main():
        await cancelled_while(s, group())

    s.run(main())


def can_9_error(s):
    async def failing():
        try:
            await asyncio.Future()
        finally:
            s.note("child1:fails")
            raise ValueError("child1")

    async def waiter():
        async def group():
            async with asyncio.TaskGroup() as group:
                group.create_task(failing())
                group.create_task(cleaning(s, "child2", 3))

        await s.noted("group", group())
        s.note(f"count:{asyncio.current_task().cancelling()}")
        await s.noted("next", asyncio.sleep(0))
        s.note(f"count:{asyncio.current_task().cancelling()}")

    async def main():
        task = asyncio.create_task(waiter())
        await pausing(3)
        s.note("cancel")
        task.cancel()
        await task

    s.run(main())


def can_13(s):
    async def main():
        await cancelled_while(s, asyncio.sleep(1000))

    s.run(main())
    s.note("timer:none" if s.loop.next_deadline() is None else "timer:left")


def can_14(s):
    s.mark_turns = False
    started, gate, ended = threading.Event(), threading.Event(), threading.Event()

    def job():
        started.set()
        gate.wait()
        ended.set()
        return "value"

    async def main():
        future = s.loop.run_in_executor(None, job)
        started.wait()
        await cancelled_while(s, future)
        s.note("future:" + outcome_of(future))
        s.note("function:" + ("ended" if ended.is_set() else "running"))
        gate.set()
        ended.wait()
        s.note("function:ended")

    s.run(main())


def can_22(s):
    s.mark_turns = False
    s.waits = True
    gate, ended = threading.Event(), threading.Event()

    def job():
        gate.wait()
        ended.set()

    async def main():
        s.loop.run_in_executor(None, job)
        await cancelled_while(s, s.loop.shutdown_default_executor())
        s.note("job:" + ("ended" if ended.is_set() else "running"))
        gate.set()
        ended.wait()
        s.note("job:ended")

    s.run(main())


def can_24(s):
    class Manager:
        async def __aenter__(self):
            s.note("enter")
            await asyncio.Future()

        async def __aexit__(self, *_):
            s.note("exit")

    async def block():
        async with Manager():
            s.note("body")

    async def main():
        await cancelled_while(s, block())

    s.run(main())


def can_16(s):
    reader = asyncio.StreamReader(loop=s.loop)

    async def main():
        reader.feed_data(b"ab")
        await cancelled_while(s, reader.readexactly(5))
        reader.feed_data(b"cde")
        s.note((await reader.readexactly(5)).decode())

    s.run(main())


def can_10_lock(s):
    async def main():
        lock = asyncio.Lock()
        await lock.acquire()
        await cancelled_while(s, lock.acquire())
        s.note("locked" if lock.locked() else "free")
        lock.release()
        s.note("locked" if lock.locked() else "free")

    s.run(main())


def can_10_semaphore(s):
    async def main():
        semaphore = asyncio.Semaphore(0)
        await cancelled_while(s, semaphore.acquire())
        semaphore.release()
        s.note("locked" if semaphore.locked() else "free")

    s.run(main())


def can_10_get(s):
    async def main():
        queue = asyncio.Queue()
        await cancelled_while(s, queue.get())
        queue.put_nowait("item")
        s.note(queue.get_nowait())

    s.run(main())


def can_10_put(s):
    async def main():
        queue = asyncio.Queue(1)
        queue.put_nowait("first")
        await cancelled_while(s, queue.put("second"))
        s.note(queue.get_nowait())
        s.note("empty" if queue.empty() else "more")

    s.run(main())


def can_10_event(s):
    async def main():
        event = asyncio.Event()
        await cancelled_while(s, event.wait())
        event.set()
        await s.noted("wait", event.wait())

    s.run(main())


def can_11(s):
    condition = asyncio.Condition()

    async def waiting():
        async with condition:
            try:
                await condition.wait()
            finally:
                s.note("inside:" + ("locked" if condition.locked() else "free"))

    async def main():
        await cancelled_while(s, waiting())
        s.note("after:" + ("locked" if condition.locked() else "free"))

    s.run(main())


def can_11_locked(s):
    condition = asyncio.Condition()

    async def waiting():
        async with condition:
            try:
                await condition.wait()
            finally:
                s.note("inside:" + ("locked" if condition.locked() else "free"))

    async def main():
        task = asyncio.create_task(s.noted("wait", waiting()))
        await asyncio.sleep(0)
        async with condition:
            for _ in range(3):
                s.note("cancel")
                task.cancel()
                await pausing(2)
            s.note("release")
        await task

    s.run(main())


def can_12(s):
    async def main():
        barrier = asyncio.Barrier(2)
        await cancelled_while(s, barrier.wait())
        s.note(f"waiting:{barrier.n_waiting}")
        s.note("broken" if barrier.broken else "whole")

    s.run(main())
