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

races_deep.txt has all programs of two and three levels, with more actions. As those are
some 50,000 lines, it keeps a digest of the lines of each program; `record_traces --races
PROGRAM` prints them. There a gather is not CPython's but does what WAIT-20 says: it is the
same but for when a cancelled one ends.

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
    gather = staticmethod(asyncio.gather)

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
        return (await self.gather(self.level(place + 1), self.other(place)))[0]

    async def I(self, place):
        tasks = [self.rest(place), asyncio.create_task(self.other(place))]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task for task in tasks if task.done()).result()

    async def C(self, place):
        tasks = [self.rest(place), asyncio.create_task(self.other(place))]
        return await next(iter(asyncio.as_completed(tasks)))


def gather_all(*coroutines):
    """asyncio.gather, but cancelled it ends when all have: with what CPython gives."""
    children = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    outer = asyncio.tasks._GatheringFuture(children, loop=children[0].get_loop())
    ended = []

    def failed(child):
        return child.cancelled() or child.exception() is not None

    def done(child):
        ended.append(child)
        decisive = next(filter(failed, ended), None)
        is_last = len(ended) == len(children)
        if outer.done():
            return
        if decisive is not None and (is_last or not outer._cancel_requested):
            outer.set_exception(decisive._make_cancelled_error() if decisive.cancelled()
                                else decisive.exception())
        elif is_last and outer._cancel_requested:
            outer.set_exception(asyncio.CancelledError())
        elif is_last:
            outer.set_result([each.result() for each in children])

    for child in children:
        child.add_done_callback(done)
    return outer


class DeepRace(Race):
    gather = staticmethod(gather_all)


def programs():
    for kind in "WwTSGBAIC":
        yield kind + "F"
    for outer, inner in itertools.product("WTSGBA", repeat=2):
        yield outer + inner + "F"
    for outer, inner in ("Cw", "IT", "CG", "IA", "wT", "TC", "WI", "GC", "Gw", "Sw"):
        yield outer + inner + "F"
    yield from ("TTTF", "WTWF", "TGTF", "GTGF", "WGAF", "ATGF", "STGF", "TSTF", "TBWF", "GGGF")


def has_g(program):
    return any(kind in WITH_G for kind in program)


def actions_of(program, sets):
    """The orders of deadlines and the actions, for all places of the letters of `sets`."""
    deadlines = sum(kind in DEADLINES for kind in program)
    orders = {0: ("-",), 1: ("o",)}.get(deadlines, ("o", "i"))
    if deadlines:
        sets = ["", *sets]
    for order, letters in itertools.product(orders, sets):
        places = {0: [""], 1: ["-", "+"], 2: ["--", "-+", "++"]}[len(letters)]
        for place in places if deadlines else [places[0]]:
            yield order, "".join(map("".join, zip(letters, place))) or "."


def races():
    for program in programs():
        sets = ["C", "D", "X", "CD", "DC", "CX", "XC"]
        if len(program) == 2:
            sets.append("CC")
        if has_g(program):
            sets += ["E", "CE", "EC", "DE", "ED", "XE", "EX"]
        for order, actions in actions_of(program, sets):
            yield program, order, actions


def trace_of(kind, program, order, actions):
    s = Scenario()
    trace = kind(s, program, order, actions if actions != "." else "").run()
    s.close()
    return f"{program} {order} {actions}: {trace}"


def lines():
    for race in races():
        yield trace_of(Race, *race)


def deep_programs():
    for depth in (2, 3):
        for kinds in itertools.product("WwTSGBAIC", repeat=depth):
            yield "".join(kinds) + "F"


def deep_lines(program):
    sets = ["C", "D", "X", "CC", "CD", "DC", "CX", "XC"]
    if has_g(program):
        sets += ["H", "E", "CH", "HC", "CE", "EC", "DE", "ED", "XE", "EX"]
    for order, actions in actions_of(program, sets):
        yield trace_of(DeepRace, program, order, actions)


def digests():
    for program in deep_programs():
        digest = 0xCBF29CE484222325  # FNV-1a.
        count = 0
        for line in deep_lines(program):
            for byte in (line + "\n").encode():
                digest = (digest ^ byte) * 0x100000001B3 % 2**64
            count += 1
        yield f"{program}: {count} {digest:016x}"
