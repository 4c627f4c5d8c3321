# SPDX-License-Identifier: MIT
"""AG scenarios, of asynchronous generators; async_generators_test.cpp is their other
half."""

import asyncio
import contextlib
import gc

from ex_generators import text_of


async def tried(s, name, awaitable):
    """Notes what it gives or how it fails."""
    try:
        value = await awaitable
    except StopAsyncIteration:
        s.note(name + ":end")
    except asyncio.CancelledError:
        s.note(name + ":cancelled")
    except BaseException as error:
        s.note(f"{name}:{text_of(error)}")
    else:
        s.note(name if value is None else f"{name}:{value}")


async def talk(s, name, ignore=False):
    """Yields twice, with a turn before each, and notes what happens to it."""
    for step in (1, 2):
        await asyncio.sleep(0)
        try:
            word = yield f"{name}{step}"
            s.note(f"{name}<{word or ''}")
        except BaseException as error:
            s.note(f"{name}!{text_of(error)}")
            await asyncio.sleep(0)
            s.note(name + " cleaned")
            if isinstance(error, ValueError):
                continue
            if ignore:
                yield name + " ignores"
            raise


def ag_1(s):
    async def main():
        g = talk(s, "a")
        for _ in range(4):
            await tried(s, "next", g.__anext__())

    s.run(main())


def ag_1_asend(s):
    async def main():
        g = talk(s, "a")
        await tried(s, "asend", g.asend("early"))
        await tried(s, "next", g.__anext__())
        await tried(s, "asend", g.asend("x"))
        await tried(s, "asend", g.asend("y"))
        await tried(s, "asend", g.asend("z"))

    s.run(main())


def ag_1_athrow(s):
    async def main():
        g = talk(s, "a")
        await tried(s, "next", g.__anext__())
        await tried(s, "athrow", g.athrow(ValueError("v")))
        await tried(s, "athrow", g.athrow(KeyError()))
        await tried(s, "athrow", g.athrow(KeyError()))
        g = talk(s, "b")
        await tried(s, "athrow", g.athrow(ValueError("v")))
        await tried(s, "next", g.__anext__())

    s.run(main())


def ag_2(s):
    async def raises(error):
        yield 1
        raise error

    async def main():
        for error in (StopAsyncIteration(), StopIteration(), ValueError("v")):
            g = raises(error)
            await tried(s, "next", g.__anext__())
            await tried(s, "next", g.__anext__())
            await tried(s, "next", g.__anext__())

    s.run(main())


def ag_3(s):
    async def main():
        g = talk(s, "a")
        first = asyncio.create_task(tried(s, "first", g.__anext__()))
        await asyncio.sleep(0)
        await tried(s, "next", g.__anext__())
        await tried(s, "asend", g.asend("x"))
        await tried(s, "athrow", g.athrow(ValueError("v")))
        await tried(s, "aclose", g.aclose())
        await first
        await tried(s, "next", g.__anext__())
        await tried(s, "aclose", g.aclose())

    s.run(main())


def ag_3_reused(s):
    async def main():
        g = talk(s, "a")
        for step in (g.__anext__(), g.aclose()):
            await tried(s, "once", step)
            await tried(s, "twice", step)

    s.run(main())


def ag_4(s):
    async def main():
        g = talk(s, "a")
        await tried(s, "next", g.__anext__())
        await tried(s, "aclose", g.aclose())
        await tried(s, "aclose", g.aclose())
        await tried(s, "next", g.__anext__())
        g = talk(s, "b")
        await tried(s, "aclose", g.aclose())
        await tried(s, "next", g.__anext__())

    s.run(main())


def ag_4_ignored(s):
    async def main():
        g = talk(s, "a", True)
        await tried(s, "next", g.__anext__())
        await tried(s, "aclose", g.aclose())
        await tried(s, "aclose", g.aclose())
        await tried(s, "athrow", g.athrow(ValueError("v")))
        await tried(s, "next", g.__anext__())

    s.run(main())


def ag_4_athrow(s):
    async def main():
        g = talk(s, "a")
        await tried(s, "next", g.__anext__())
        await tried(s, "athrow", g.athrow(GeneratorExit()))

    s.run(main())


def ag_5(s):
    async def main():
        g = talk(s, "a")
        await tried(s, "next", g.__anext__())
        del g
        gc.collect()
        s.note("dropped")
        for turn in range(4):
            await asyncio.sleep(0)
            s.note(f"turn{turn}")

    s.run(main())


def ag_5_not_begun(s):
    async def main():
        g = talk(s, "a")
        del g
        await asyncio.sleep(0)
        g = talk(s, "b")
        async for _ in g:
            pass
        del g
        s.note("dropped")
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    s.run(main())


def ag_5_fails(s):
    async def fails():
        try:
            yield 1
        finally:
            raise ValueError("cleanup")

    async def main():
        s.mark_turns = False  # aster reports on the next turn.
        s.handled = lambda context: s.note(f"{context['message']}: {context['exception']}")
        g = fails()
        await tried(s, "next", g.__anext__())
        del g
        for _ in range(4):
            await asyncio.sleep(0)
            gc.collect()

    s.run(main())


def ag_6(s):
    async def main():
        g = talk(s, "a")
        async for item in g:
            s.note(item)
            break
        s.note("left")
        async for item in g:
            s.note(item)

    s.run(main())


def ag_7(s):
    async def main():
        async with contextlib.aclosing(talk(s, "a")) as g:
            await tried(s, "next", g.__anext__())
            s.note("body")
        s.note("after")
        try:
            async with contextlib.aclosing(talk(s, "b")) as g:
                await tried(s, "next", g.__anext__())
                raise ValueError("body")
        except ValueError as error:
            s.note(str(error))

    s.run(main())


def acc_18(s):
    async def main():
        g = talk(s, "a")
        h = talk(s, "b", True)
        ended = talk(s, "c")
        for each in (g, h):
            await tried(s, "next", each.__anext__())
        await tried(s, "aclose", ended.aclose())
        s.handled = lambda context: s.note(
            f"{context['message'].split(' <')[0]}: {context['exception']}")
        # One at a time: asyncio's set of them has no order.
        s.loop._asyncgens = list(s.loop._asyncgens)
        s.loop._asyncgens.sort(key=lambda each: each is h)
        await s.loop.shutdown_asyncgens()
        s.note("shut down")
        await tried(s, "next", g.__anext__())
        await tried(s, "next", h.__anext__())

    s.run(main())


def can_23(s):
    async def waits(name, swallow):
        for step in (1, 2):
            try:
                yield f"{name}{step}"
                await s.loop.create_future()
            except asyncio.CancelledError:
                s.note(name + "!cancelled")
                if not swallow:
                    raise

    async def main():
        for swallow in (False, True):
            g = waits("a", swallow)
            await tried(s, "next", g.__anext__())
            task = asyncio.create_task(tried(s, "task", g.__anext__()))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0)
            await task
            await tried(s, "aclose", g.aclose())

    s.run(main())
