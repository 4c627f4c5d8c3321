# SPDX-License-Identifier: MIT
"""ORD scenarios of tasks and what combines them; order_tasks_test.cpp is their other
half."""

import asyncio
import threading

from scenario import outcome_of


def ord_9(s):
    async def steps(name):
        s.note(name + "1")
        await asyncio.sleep(0)
        s.note(name + "2")
        await asyncio.sleep(0)
        s.note(name + "3")

    s.loop.create_task(steps("A"))
    s.loop.create_task(steps("B"))
    s.turns(4)


async def noting(s, name):
    s.note(name)


def ord_10(s):
    async def main():
        task = asyncio.create_task(noting(s, "A"))
        await noting(s, "B")
        s.note("main")
        await task

    s.run(main())


def ord_11(s):
    async def main():
        asyncio.create_task(noting(s, "A"))
        await asyncio.sleep(0)
        s.note("main")

    s.run(main())


def ord_12(s):
    async def main():
        task = asyncio.Task(noting(s, "A"), loop=s.loop, eager_start=True)
        s.note("created:" + ("done" if task.done() else "pending"))
        task.add_done_callback(s.notes("callback"))
        s.note("main")
        await asyncio.sleep(0)

    s.run(main())


def ord_13(s):
    future = s.loop.create_future()

    def resolve():
        s.note("set")
        future.set_result(None)
        s.loop.call_soon(s.notes("posted_after"))

    async def main():
        s.note("wait")
        s.loop.call_soon(resolve)
        await future
        s.note("resumed")

    s.run(main())


def ord_14(s):
    async def main():
        await asyncio.create_task(noting(s, "ends"))
        s.note("resumed")

    s.run(main())


def ord_15(s):
    async def link(name, inner):
        if inner is not None:
            await inner
        else:
            await asyncio.sleep(0)
        s.note(name)

    async def main():
        inner = None
        for name in ("a", "b", "c"):
            inner = asyncio.create_task(link(name, inner))
        await inner
        s.note("main")

    s.run(main())


def ord_16(s):
    async def level(depth):
        if depth > 0:
            await level(depth - 1)
        s.note(f"level{depth}")

    async def main():
        s.note("begin")
        await level(3)
        s.note("end")

    s.run(main())


def ord_19(s):
    async def sleeper():
        await s.noted("sleep", asyncio.sleep(1000))

    async def main():
        task = asyncio.create_task(sleeper())
        await asyncio.sleep(0)
        task.cancel()
        s.note("requested")
        s.loop.call_soon(s.notes("posted_after"))
        await task
        s.note("main")

    s.run(main())


def ord_20(s):
    future = s.loop.create_future()

    async def waiter():
        await s.noted("await", future)

    async def main():
        task = asyncio.create_task(waiter())
        await asyncio.sleep(0)
        future.set_result("value")
        s.note(f"refused:{str(future.cancel()).lower()}")
        task.cancel()
        await task
        s.note("future:" + outcome_of(future))

    s.run(main())


async def failing(s, name):
    s.note(name)
    raise ValueError(name)


def ord_31(s):
    async def sleeper():
        await s.noted("child2", asyncio.sleep(1000))
        raise asyncio.CancelledError

    async def group():
        async with asyncio.TaskGroup() as group:
            group.create_task(failing(s, "child1"))
            group.create_task(sleeper())
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                s.note("body:cancelled")
                raise

    async def main():
        await s.noted("group", group())
        s.note(f"count:{asyncio.current_task().cancelling()}")

    s.run(main())


def ord_32(s):
    async def slow():
        for _ in range(3):
            await asyncio.sleep(0)
        s.note("child2")

    async def main():
        slow_task = asyncio.create_task(slow())
        await s.noted("gather", asyncio.gather(failing(s, "child1"), slow_task))
        await slow_task
        s.note("main")

    s.run(main())


def ord_33(s):
    async def inner():
        for _ in range(4):
            await asyncio.sleep(0)
        s.note("inner")
        return "kept"

    async def main():
        task = asyncio.create_task(inner())

        async def shielded():
            await s.noted("shield", asyncio.shield(task))

        outer = asyncio.create_task(shielded())
        await asyncio.sleep(0)
        outer.cancel()
        await outer
        await s.noted("task", task)

    s.run(main())


def ord_34(s):
    async def block():
        async with asyncio.timeout(0):
            s.note("body")
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                s.note("cancelled_inside")
                raise
            s.note("went_on")

    async def main():
        await s.noted("block", block())

    s.run(main())


def ord_35(s):
    async def main():
        await s.noted("wait_for", asyncio.wait_for(noting(s, "body"), 0))
        s.note("main")

    s.run(main())


def ord_36(s):
    s.mark_turns = False

    async def leftover():
        s.note("started")
        try:
            await asyncio.sleep(1000)
        finally:
            s.note("finally")

    def job():
        gate.wait()
        s.note("executor")

    gate = threading.Event()

    async def main():
        asyncio.create_task(leftover()).add_done_callback(lambda _: gate.set())
        s.loop.run_in_executor(None, job)
        await asyncio.sleep(0)
        s.note("main")

    with asyncio.Runner(loop_factory=lambda: s.loop) as runner:
        runner.run(main())
        s.note("ran")
    s.note("closed")


def ord_44(s):
    async def ends(name, turn):
        for _ in range(turn):
            await asyncio.sleep(0)
        return name

    async def main():
        tasks = [asyncio.create_task(ends(name, turn))
                 for name, turn in (("1", 4), ("2", 6), ("3", 2))]
        for each in asyncio.as_completed(tasks):
            s.note("yields:" + await each)

    s.run(main())
