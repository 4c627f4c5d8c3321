#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The rows of core_bench.cpp for CPython's asyncio, on its own event loop."""

import argparse
import asyncio
import contextvars
import json
import os
import random
import sys
import threading
import time

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("--rows", default="", help="only these, with commas between")
arguments.add_argument("--scale", type=float, default=1, help="makes every row longer or shorter")
arguments.add_argument("--memory", action="store_true", help="the memory of a task, nothing else")
arguments = arguments.parse_args()


def wants(row):
    return not arguments.rows or row in arguments.rows.split(",")


def scaled(count, unit=1):
    return max(int(count * arguments.scale) // unit, 1) * unit


def report(row, **values):
    print(json.dumps({"library": "cpython", "row": row, **values}), flush=True)


async def measured(row, count, body, unit=1):
    """Runs `body` for a tenth of `count` to warm up, then measures `count` of it."""
    if not wants(row):
        return
    count = scaled(count, unit)
    await body(max(count // 10 // unit, 1) * unit)
    cpu, wall = time.process_time_ns(), time.monotonic_ns()
    await body(count)
    report(row, operations=count, cpu_ns=round((time.process_time_ns() - cpu) / count, 2),
           wall_ns=round((time.monotonic_ns() - wall) / count, 2))


# Tasks -------------------------------------------------------------------------------


async def nothing():
    pass


async def create_join(count):
    for _ in range(count):
        await asyncio.create_task(nothing())


BATCH_SIZE = 10_000


async def create_join_batch(count):
    for _ in range(count // BATCH_SIZE):
        tasks = [asyncio.create_task(nothing()) for _ in range(BATCH_SIZE)]
        for task in tasks:
            await task


async def sleep_zero(count):
    for _ in range(count):
        await asyncio.sleep(0)


def switches(task_count):
    async def body(count):
        tasks = [asyncio.create_task(sleep_zero(count // task_count)) for _ in range(task_count)]
        for task in tasks:
            await task
    return body


async def chain(depth):
    return 1 if depth <= 1 else await chain(depth - 1) + 1


def await_chains(depth):
    async def body(count):
        for _ in range(count // depth):
            await chain(depth)
    return body


# Generators and contexts ---------------------------------------------------------------


def count_at(depth):
    if depth > 0:
        yield from count_at(depth - 1)
    else:
        number = 0
        while True:
            yield number
            number += 1


def generator_steps(depth):
    async def body(count):
        numbers = count_at(depth)
        for _ in range(count):
            next(numbers)
    return body


async def async_count():
    number = 0
    while True:
        yield number
        number += 1


async def async_generator_steps(count):
    numbers = async_count()
    for _ in range(count):
        await anext(numbers)
    await numbers.aclose()


VARIABLES = [contextvars.ContextVar("variable") for _ in range(10)]


async def context_copy(count):
    for variable in VARIABLES:
        variable.set(1)
    for _ in range(count):
        contextvars.copy_context()


# Callbacks and futures -----------------------------------------------------------------


async def call_soon(count):
    loop = asyncio.get_running_loop()
    for i in range(1, count + 1):
        loop.call_soon(int)
        if i % 1000 == 0:
            await asyncio.sleep(0)
    await asyncio.sleep(0)


async def future_handover(count):
    loop = asyncio.get_running_loop()
    slot = loop.create_future()

    async def give():
        for i in range(count):
            slot.set_result(i)
            await asyncio.sleep(0)

    giver = asyncio.create_task(give())
    for _ in range(count):
        await slot
        slot = loop.create_future()
    await giver


# Locks, semaphores and queues --------------------------------------------------------------


async def lock_free(count):
    lock = asyncio.Lock()
    for _ in range(count):
        async with lock:
            pass


async def lock_handover(count):
    lock = asyncio.Lock()

    async def hold():
        for _ in range(count // 2):
            await lock.acquire()
            await asyncio.sleep(0)
            lock.release()

    other = asyncio.create_task(hold())
    await hold()
    await other


async def semaphore_100(count):
    permits = asyncio.Semaphore(0)

    async def take():
        for _ in range(count // 100):
            await permits.acquire()
            permits.release()

    tasks = [asyncio.create_task(take()) for _ in range(100)]
    await asyncio.sleep(0)
    permits.release()
    for task in tasks:
        await task


async def queue_round_trip(count):
    asked, answered = asyncio.Queue(), asyncio.Queue()

    async def answer():
        for _ in range(count):
            await answered.put(await asked.get())

    other = asyncio.create_task(answer())
    for i in range(count):
        await asked.put(i)
        await answered.get()
    await other


# Timers ------------------------------------------------------------------------------------


async def timer_start_cancel(count):
    loop = asyncio.get_running_loop()
    for i in range(1, count + 1):
        loop.call_later(3600, int).cancel()
        if i % 1000 == 0:
            await asyncio.sleep(0)


async def sleeps(count):
    numbers = random.Random(1)
    tasks = [asyncio.create_task(asyncio.sleep(0.001 + numbers.random() / 10)) for _ in range(count)]
    for task in tasks:
        await task


# Other threads ---------------------------------------------------------------------------------


async def thread_post(count):
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    called = 0

    def call():
        nonlocal called
        called += 1
        if called == count:
            over.set_result(None)

    def post():
        for _ in range(count):
            loop.call_soon_threadsafe(call)

    poster = threading.Thread(target=post)
    poster.start()
    await over
    poster.join()


# Memory --------------------------------------------------------------------------------------


def resident_bytes():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


async def memory():
    task_count = 100_000
    never = asyncio.get_running_loop().create_future()

    async def wait_for_ever():
        await never

    before = resident_bytes()
    tasks = [asyncio.create_task(wait_for_ever()) for _ in range(task_count)]
    await asyncio.sleep(0)
    report("memory_per_task", value=round((resident_bytes() - before) / len(tasks), 1))
    os._exit(0)  # The tasks would be cancelled one by one.


async def rows():
    await measured("create_join", 1_000_000, create_join)
    await measured("create_join_batch", 1_000_000, create_join_batch, BATCH_SIZE)
    for task_count in (1, 100, 10_000):
        await measured(f"switch_{task_count}", 2_000_000, switches(task_count), task_count)
    for depth in (1, 10, 100, 1000):
        await measured(f"await_depth_{depth}", 2_000_000, await_chains(depth), depth)
    await measured("generator_next", 5_000_000, generator_steps(0))
    for depth in (1, 10, 1000):
        await measured(f"generator_next_depth_{depth}", 5_000_000, generator_steps(depth))
    await measured("async_generator_next", 2_000_000, async_generator_steps)
    await measured("context_copy", 5_000_000, context_copy)
    await measured("call_soon", 1_000_000, call_soon)
    await measured("future_handover", 1_000_000, future_handover)
    await measured("lock_free", 5_000_000, lock_free)
    await measured("lock_handover", 1_000_000, lock_handover, 2)
    await measured("semaphore_100", 1_000_000, semaphore_100, 100)
    await measured("queue_round_trip", 1_000_000, queue_round_trip)
    await measured("timer_start_cancel", 1_000_000, timer_start_cancel)
    await measured("sleep_100k", 100_000, sleeps)
    await measured("thread_post", 500_000, thread_post)


sys.setrecursionlimit(5000)  # A thousand levels are more than the default allows.
asyncio.run(memory() if arguments.memory else rows())
