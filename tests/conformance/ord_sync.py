# SPDX-License-Identifier: MIT
"""ORD scenarios of locks, semaphores, queues, events, conditions and barriers;
order_sync_test.cpp is their other half."""

import asyncio


def ord_21(s):
    async def others(lock, name):
        async with lock:
            s.note(name)
            await asyncio.sleep(0)

    async def main():
        lock = asyncio.Lock()
        await lock.acquire()
        tasks = [asyncio.create_task(others(lock, name)) for name in "BC"]
        await asyncio.sleep(0)
        lock.release()
        s.note("released:" + ("locked" if lock.locked() else "free"))
        await lock.acquire()
        s.note("A")
        for task in tasks:
            await task

    s.run(main())


def ord_22(s):
    async def other(semaphore, name):
        await semaphore.acquire()
        s.note(name)
        await asyncio.sleep(0)
        semaphore.release()

    async def main():
        semaphore = asyncio.Semaphore(1)
        await semaphore.acquire()
        b = asyncio.create_task(other(semaphore, "B"))
        await asyncio.sleep(0)
        semaphore.release()
        s.note("locked" if semaphore.locked() else "unlocked")
        await other(semaphore, "C")
        await b

    s.run(main())


def ord_23(s):
    async def getter(queue, name):
        s.note(name + await queue.get())

    async def main():
        queue = asyncio.Queue()
        tasks = [asyncio.create_task(getter(queue, name)) for name in ("g1", "g2")]
        await asyncio.sleep(0)
        await queue.put("x")
        await queue.put("y")
        s.note(f"size:{queue.qsize()}")
        for task in tasks:
            await task

    s.run(main())


def ord_23_taken(s):
    async def getter(queue, name):
        s.note(name + await queue.get())

    async def main():
        queue = asyncio.Queue()
        tasks = [asyncio.create_task(getter(queue, name)) for name in ("g1", "g2")]
        await asyncio.sleep(0)
        queue.put_nowait("x")
        s.note("taken:" + queue.get_nowait())
        await asyncio.sleep(0)
        queue.put_nowait("y")
        queue.put_nowait("z")
        for task in tasks:
            await task

    s.run(main())


def ord_24(s):
    async def waiter(event, name):
        await event.wait()
        s.note(name)

    async def main():
        event = asyncio.Event()
        tasks = [asyncio.create_task(waiter(event, name)) for name in "abc"]
        await asyncio.sleep(0)
        event.set()
        event.clear()
        s.note("cleared")
        for task in tasks:
            await task

    s.run(main())


def ord_25(s):
    async def waiter(condition, name):
        async with condition:
            await condition.wait()
            s.note(name)

    async def main():
        condition = asyncio.Condition()
        tasks = [asyncio.create_task(waiter(condition, name)) for name in "ab"]
        await asyncio.sleep(0)
        async with condition:
            condition.notify(1)
            s.note("notified")
            await asyncio.sleep(0)
            s.note("release")
        await tasks[0]
        for _ in range(3):
            await asyncio.sleep(0)
        s.note("b:" + ("done" if tasks[1].done() else "waits"))
        async with condition:
            condition.notify_all()
        await tasks[1]

    s.run(main())


def ord_45(s):
    async def waiter(barrier, name):
        s.note(name + ":waits")
        s.note(f"{name}:{await barrier.wait()}")

    async def main():
        barrier = asyncio.Barrier(3)
        tasks = [asyncio.create_task(waiter(barrier, name)) for name in "abc"]
        for task in tasks:
            await task

    s.run(main())
