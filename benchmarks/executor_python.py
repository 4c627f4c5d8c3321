# SPDX-License-Identifier: MIT
"""The rows of executor_bench.cpp in CPython: asyncio's threads, concurrent.futures' processes."""

import argparse
import asyncio
import concurrent.futures
import json
import time


def add_one(n):
    return n + 1


def report(row, count, began):
    wall = (time.perf_counter() - began) * 1e9 / count
    print(json.dumps({"library": "cpython", "row": row, "operations": count, "wall_ns": wall}),
          flush=True)


async def thread_round_trips(count):
    loop = asyncio.get_running_loop()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        await loop.run_in_executor(pool, add_one, 1)
        began = time.perf_counter()
        for _ in range(count):
            await loop.run_in_executor(pool, add_one, 1)
        report("thread_round_trip", count, began)


async def threads_100(count):
    loop = asyncio.get_running_loop()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        began = time.perf_counter()
        for _ in range(count // 100):
            await asyncio.gather(*(loop.run_in_executor(pool, add_one, 1) for _ in range(100)))
        report("threads_100", count, began)


def process_round_trips(row, size, count):
    argument = b"x" * size
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        pool.submit(len, argument).result()
        began = time.perf_counter()
        for _ in range(count):
            pool.submit(len, argument).result()
        report(row, count, began)


def process_calls(row, chunk, count):
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        pool.submit(add_one, 1).result()
        began = time.perf_counter()
        for _ in pool.map(add_one, [1] * count, chunksize=chunk):
            pass
        report(row, count, began)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="")
    parser.add_argument("--scale", type=float, default=1)
    options = parser.parse_args()
    rows = options.rows.split(",") if options.rows else None

    def wants(row):
        return rows is None or row in rows

    def scaled(count):
        return max(100, int(count * options.scale) // 100 * 100)

    if wants("thread_round_trip"):
        asyncio.run(thread_round_trips(scaled(50_000)))
    if wants("threads_100"):
        asyncio.run(threads_100(scaled(200_000)))
    if wants("process_round_trip_1"):
        process_round_trips("process_round_trip_1", 1, scaled(20_000))
    if wants("process_round_trip_1m"):
        process_round_trips("process_round_trip_1m", 1 << 20, scaled(1_000))
    if wants("process_calls"):
        process_calls("process_calls", 1, scaled(20_000))
    if wants("process_calls_100"):
        process_calls("process_calls_100", 100, scaled(2_000_000))


if __name__ == "__main__":
    main()
