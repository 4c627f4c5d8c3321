# SPDX-License-Identifier: MIT
"""Several events in one turn, in all orders: what comes of a result, an error, a
cancellation and deadlines that arrive together, for all that combines awaitables and
nested up to three deep. races_test.cpp runs the same lines on aster.

A line is `<program> <deadlines> <actions>: <trace>`.

The program is read from the outside in; each letter wraps the rest:
    W  wait_for(rest)                     w  wait_for(create_task(rest))
    T  async with timeout: rest           S  shield(rest)
    G  TaskGroup with one child, rest     B  TaskGroup with rest as body and a child G
    A  gather(rest, G)                    I  wait for the first of rest and G
    C  the first of as_completed(rest, G) F  the future f
where G is a task that awaits the future g.

The deadlines of all W, w and T are in one turn, `o`uter first or `i`nner first. In
that turn, before (`-`) or after (`+`) all deadlines, the actions happen:
    C  the main task is cancelled
    D  f gets a result    X  f gets an error    H, E  the same for g

The trace says how each level was left: `T1:timeout` for the outermost; `/1` after it
when the task's count of cancellations was one higher than at its entry. After a `~`
the futures that are still pending get results.
"""

import asyncio
import itertools

from scenario import Scenario, name_of, outcome_of

DEADLINES = "WwT"
WITH_G = "BAIC"


class Race:
    def __init__(self, s, program, deadlines, actions):
        self.s = s
        self.program = program
        self.f = s.loop.create_future()
        self.g = s.loop.create_future()
        places = [i for i, kind in enumerate(program) if kind in DEADLINES]
        if deadlines == "i":
            places.reverse()
        self.deadlines = {place: 1 + 1e-5 * (k + 10) for k, place in enumerate(places)}
        for k in range(0, len(actions), 2):
            late = 100 if actions[k + 1] == "+" else 0
            s.later(1 + 1e-5 * (late + k), lambda letter=actions[k]: self.act(letter))

    def act(self, letter):
        if letter == "C":
            self.main.cancel()
            return
        future = self.f if letter in "DX" else self.g
        if future.done():
            return
        if letter in "DH":
            future.set_result("v")
        else:
            future.set_exception(ValueError("f" if letter == "X" else "g"))

    def run(self):
        s = self.s
        self.main = s.loop.create_task(self.level(0))
        s.turns(10)
        s.loop.now = s.at(1.5)
        s.turns(25)
        s.mark_turns = False
        s.note("~")
        for future in (self.g, self.f):
            if not future.done():
                future.set_result("v")
            s.turns(10)
        s.note("main:" + outcome_of(self.main))
        # What nobody has looked at would be reported when it is collected.
        for task in asyncio.all_tasks(s.loop):
            task.cancel()
        s.turns(10)
        return s.trace

    async def level(self, place):
        task = asyncio.current_task()
        entry = task.cancelling()
        kind = self.program[place]
        text = "?"
        try:
            text = value = await getattr(self, kind)(place)
            return value
        except BaseException as error:
            text = name_of(error)
            raise
        finally:
            count = task.cancelling() - entry
            self.s.note(f"{kind}{place + 1}:{text}" + (f"/{count}" if count else ""))

    async def other(self, place):
        try:
            return await self.g
        finally:
            self.s.note(f"g{place + 1}:{outcome_of(self.g)}")

    def rest(self, place):
        return asyncio.create_task(self.level(place + 1))

    async def F(self, place):
        return await self.f

    async def W(self, place):
        limit = self.s.at(self.deadlines[place]) - self.s.loop.time()
        return await asyncio.wait_for(self.level(place + 1), limit)

    async def w(self, place):
        limit = self.s.at(self.deadlines[place]) - self.s.loop.time()
        return await asyncio.wait_for(self.rest(place), limit)

    async def T(self, place):
        async with asyncio.timeout_at(self.s.at(self.deadlines[place])):
            return await self.level(place + 1)

    async def S(self, place):
        return await asyncio.shield(self.rest(place))

    async def G(self, place):
        async with asyncio.TaskGroup() as group:
            child = group.create_task(self.level(place + 1))
        return child.result()

    async def B(self, place):
        async with asyncio.TaskGroup() as group:
            group.create_task(self.other(place))
            return await self.level(place + 1)

    async def A(self, place):
        return (await asyncio.gather(self.level(place + 1), self.other(place)))[0]

    async def I(self, place):
        tasks = [self.rest(place), asyncio.create_task(self.other(place))]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task for task in tasks if task.done()).result()

    async def C(self, place):
        tasks = [self.rest(place), asyncio.create_task(self.other(place))]
        return await next(iter(asyncio.as_completed(tasks)))


def programs():
    for kind in "WwTSGBAIC":
        yield kind + "F"
    for outer, inner in itertools.product("WTSGBA", repeat=2):
        yield outer + inner + "F"
    for outer, inner in ("Cw", "IT", "CG", "IA", "wT", "TC", "WI", "GC", "Gw", "Sw"):
        yield outer + inner + "F"
    yield from ("TTTF", "WTWF", "TGTF", "GTGF", "WGAF", "ATGF", "STGF", "TSTF", "TBWF", "GGGF")


def races():
    for program in programs():
        deadlines = sum(kind in DEADLINES for kind in program)
        orders = {0: ("-",), 1: ("o",)}.get(deadlines, ("o", "i"))
        sets = ["C", "D", "X", "CD", "DC", "CX", "XC"]
        if len(program) == 2:
            sets.append("CC")
        if any(kind in WITH_G for kind in program):
            sets += ["E", "CE", "EC", "DE", "ED", "XE", "EX"]
        if deadlines:
            sets.insert(0, "")
        for order, letters in itertools.product(orders, sets):
            places = {0: [""], 1: ["-", "+"], 2: ["--", "-+", "++"]}[len(letters)]
            for place in places if deadlines else [places[0]]:
                yield program, order, "".join(map("".join, zip(letters, place))) or "."


def lines():
    for program, order, actions in races():
        s = Scenario()
        trace = Race(s, program, order, actions if actions != "." else "").run()
        s.close()
        yield f"{program} {order} {actions}: {trace}"
